/* SPDX-License-Identifier: BSD-3-Clause */
/* What every sample of the walk has to be, what it sums up, and that docs/metrics.md names all of them and nothing
 * else. */
#include "stats_fixture.h"
#include "weir/server_tls.h"

#include <math.h>
#include <regex.h>
#include <time.h>

#define MAX_SAMPLES 4096

/* A sample that outlives the call. */
struct kept {
    const char *name, *help;
    bool gauge;
    double value;
    uint8_t n_labels;
    char labels[256]; /* name=value, each followed by a comma */
    char label_names[64];
};

static struct kept kept[MAX_SAMPLES];
static size_t n_kept;

static void keep(void *ctx, const struct stats_sample *s) {
    struct kept *k = &kept[n_kept++];
    size_t at = 0, names_at = 0;
    (void)ctx;
    cr_assert_leq(n_kept, MAX_SAMPLES);
    *k = (struct kept){.name = s->name, .help = s->help, .gauge = s->gauge, .value = s->value, .n_labels = s->n_labels};
    cr_assert_leq(s->n_labels, STATS_MAX_LABELS);
    for (uint8_t i = 0; i < s->n_labels; i++) {
        at += (size_t)snprintf(k->labels + at, sizeof(k->labels) - at, "%s=%s,", s->labels[i].name, s->labels[i].value);
        names_at += (size_t)snprintf(k->label_names + names_at, sizeof(k->label_names) - names_at, "%s`%s`",
                                     i == 0 ? "" : ", ", s->labels[i].name);
    }
    cr_assert(at < sizeof(k->labels) && names_at < sizeof(k->label_names));
}

static void walk(void) {
    n_kept = 0;
    stats_walk(&fx.source, keep, NULL);
    cr_assert_gt(n_kept, 100);
}

static void with_workers(uint16_t n) {
    fixture_make(n);
    walk();
}

static double value_of(const char *name, const char *labels) {
    for (size_t i = 0; i < n_kept; i++)
        if (strcmp(kept[i].name, name) == 0 && strcmp(kept[i].labels, labels) == 0)
            return kept[i].value;
    cr_assert_fail("there is no %s{%s}", name, labels);
    return 0;
}

static bool matches(const char *pattern, const char *text) {
    regex_t re;
    cr_assert_eq(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
    bool yes = regexec(&re, text, 0, NULL, 0) == 0;
    regfree(&re);
    return yes;
}

TestSuite(stats, .init = fixture_eal);

/* --- form --- */

static void check_form(const struct kept *k) {
    size_t n = strlen(k->name), total = strlen("_total");
    bool ends_in_total = n > total && strcmp(k->name + n - total, "_total") == 0;
    cr_expect(matches("^weir_[a-z0-9_]+$", k->name), "%s", k->name);
    cr_expect_eq(ends_in_total, !k->gauge, "%s is a %s", k->name, k->gauge ? "gauge" : "counter");
    cr_expect(matches("^[A-Zm1-9].*[^.]\\.$", k->help), "%s: \"%s\" is no sentence", k->name, k->help);
    cr_expect(strstr(k->help, ". ") == NULL && strpbrk(k->help, "\n\\|") == NULL, "%s: \"%s\" is not one sentence",
              k->name, k->help);
    cr_expect(isfinite(k->value) && k->value >= 0, "%s{%s} is %f", k->name, k->labels, k->value);
}

Test(stats, form_of_every_sample) {
    for (uint16_t workers = 1; workers <= 2; workers++) {
        with_workers(workers);
        for (size_t i = 0; i < n_kept; i++)
            check_form(&kept[i]);
        fixture_free();
    }
}

static void check_row(size_t i) {
    for (size_t before = 0; before < i; before++) {
        if (strcmp(kept[before].name, kept[i].name) != 0)
            continue;
        cr_expect_str_eq(kept[i - 1].name, kept[i].name, "samples of %s do not come in a row", kept[i].name);
        cr_expect_str_eq(kept[before].help, kept[i].help);
        cr_expect_eq(kept[before].gauge, kept[i].gauge, "%s", kept[i].name);
        cr_expect_str_eq(kept[before].label_names, kept[i].label_names, "%s has different labels", kept[i].name);
        cr_expect_str_neq(kept[before].labels, kept[i].labels, "%s{%s} comes twice", kept[i].name, kept[i].labels);
    }
}

Test(stats, samples_of_a_metric_come_in_a_row_and_once) {
    for (uint16_t workers = 1; workers <= 2; workers++) {
        with_workers(workers);
        for (size_t i = 0; i < n_kept; i++)
            check_row(i);
        fixture_free();
    }
}

Test(stats, without_pools_listeners_ports) {
    fixture_make(1);
    fx.config.n_pools = fx.config.n_listeners = 0;
    fx.weir.ports.n = 0;
    walk();
    for (size_t i = 0; i < n_kept; i++)
        check_form(&kept[i]);
}

/* --- sums --- */

Test(stats, workers_count_for_themselves) {
    fixture_make(2);
    fx.weir.workers[1]->stats.turns = 7;
    fx.weir.workers[1]->stats.busy_tsc = 3 * FIXTURE_HZ / 2;
    fx.weir.workers[1]->stats.longest_turn_tsc = FIXTURE_HZ / 1000;
    fx.weir.workers[0]->stats.source_ports_exhausted = UINT32_MAX + 2ull;
    fx.weir.workers[0]->tcp.stats.retransmits = 4;
    fx.weir.workers[0]->tcp.stats.by_state[TCP_ESTABLISHED] = 5;
    fx.weir.workers[1]->tls.stats.handshakes_failed = 6;
    fx.weir.workers[1]->tls.stats.ssl_objects = 8;
    fx.weir.workers[1]->cycles.busy.turns = 9;
    fx.weir.workers[1]->cycles.busy.stages[CYCLES_TLS_OPEN] = 1ull << 40;
    fx.weir.workers[1]->cycles.empty.stages[CYCLES_RX] = 10;
    walk();
    cr_expect_eq(value_of("weir_worker_turns_total", "worker=0,"), 0);
    cr_expect_eq(value_of("weir_worker_turns_total", "worker=1,"), 7);
    cr_expect_float_eq(value_of("weir_worker_busy_seconds_total", "worker=1,"), 1.5, 1e-6);
    cr_expect_float_eq(value_of("weir_worker_longest_turn_seconds", "worker=1,"), 1e-3, 1e-9);
    cr_expect_eq(value_of("weir_source_ports_exhausted_total", "worker=0,"), UINT32_MAX + 2.0);
    cr_expect_eq(value_of("weir_tcp_retransmits_total", "worker=0,"), 4);
    cr_expect_eq(value_of("weir_tcp_flows", "state=ESTABLISHED,worker=0,"), 5);
    cr_expect_eq(value_of("weir_tls_handshakes_failed_total", "worker=1,"), 6);
    cr_expect_eq(value_of("weir_tls_ssl_objects", "worker=1,"), 8);
    cr_expect_eq(value_of("weir_worker_measured_turns_total", "worker=1,"), 9);
    cr_expect_eq(value_of("weir_worker_stage_cycles_total", "stage=tls_open,worker=1,"), (double)(1ull << 40));
    cr_expect_eq(value_of("weir_worker_stage_cycles_total", "stage=tls_open,worker=0,"), 0);
    cr_expect_eq(value_of("weir_worker_stage_cycles_total", "stage=rx,worker=1,"), 0); /* empty turns are no work */
}

Test(stats, listeners_servers_ports_are_summed_over_workers) {
    fixture_make(2);
    for (uint16_t i = 0; i < 2; i++) {
        struct worker *w = fx.weir.workers[i];
        w->listeners[1].accepted = 10;
        w->listeners[1].open = 3;
        w->listeners[1].closed[SESSION_END_COUNT - 1] = 4;
        w->servers[3].connections = 20;
        w->servers[3].open = 2;
        w->ports[1].rx_packets = 100;
        w->stats.mqtt_packets_in[3] = 30;
    }
    walk();
    cr_expect_eq(value_of("weir_listener_connections_total", "listener=mqtt,"), 20);
    cr_expect_eq(value_of("weir_listener_open", "listener=mqtt,"), 6);
    cr_expect_eq(value_of("weir_listener_connections_total", "listener=mqtts,"), 0);
    cr_expect_eq(value_of("weir_server_connections_total", "pool=pool1,server=b2,"), 40);
    cr_expect_eq(value_of("weir_server_open", "pool=pool1,server=b2,"), 4);
    cr_expect_eq(value_of("weir_port_rx_packets_total", "port=back,"), 200);
    cr_expect_eq(value_of("weir_mqtt_packets_from_clients_total", "type=publish,"), 60);
    cr_expect_eq(value_of("weir_mbufs", "pool=mbufs_p0_w1,"), 15);
    cr_expect_eq(value_of("weir_mbufs_in_use", "pool=mbufs_p0_w1,"), 0);
    char labels[96];
    snprintf(labels, sizeof(labels), "listener=mqtt,reason=%s,", session_end_name(SESSION_END_COUNT - 1));
    cr_expect_eq(value_of("weir_listener_closed_total", labels), 8);
}

Test(stats, certificates_expire) {
    fixture_make(1);
    fx.certs.reloads[0] = 3;
    fx.certs.refusals[0] = 2;
    walk();
    double now = (double)time(NULL);
    for (size_t i = 0; i < n_kept; i++) {
        if (strcmp(kept[i].name, "weir_tls_certificate_expiry_timestamp_seconds") == 0) {
            cr_expect(strncmp(kept[i].labels, "tls=default,certificate=/tmp/", 29) == 0, "%s", kept[i].labels);
            cr_expect(kept[i].value > now + 3500 && kept[i].value <= now + 3600, "%f", kept[i].value);
        }
    }
    cr_expect_eq(value_of("weir_tls_certificate_reloads_total", "tls=default,"), 3);
    cr_expect_eq(value_of("weir_tls_certificate_refusals_total", "tls=default,"), 2);
}

Test(stats, a_server_is_up_where_all_workers_think_so) {
    fixture_make(2);
    fx.weir.workers[1]->pools[0].servers[1].state = LB_DOWN;
    fx.weir.workers[0]->pools[1].servers[0].state = LB_DRAINING;
    walk();
    cr_expect_eq(value_of("weir_server_up", "pool=pool0,server=b1,"), 1);
    cr_expect_eq(value_of("weir_server_up", "pool=pool0,server=b2,"), 0);
    cr_expect_eq(value_of("weir_server_up", "pool=pool1,server=b1,"), 0);
    cr_expect_eq(value_of("weir_server_draining", "pool=pool0,server=b2,"), 0);
    cr_expect_eq(value_of("weir_server_draining", "pool=pool1,server=b1,"), 1);
}

/* Of servers that are met with TLS, over both workers. */
Test(stats, server_tls) {
    fixture_make(2);
    for (unsigned i = 0; i < 2; i++) {
        struct worker_server *s = &fx.weir.workers[i]->servers[1];
        s->tls_handshakes = 5 + i;
        s->tls_resumed = 2;
        s->tls_failures[SERVER_TLS_EXPIRED] = 1 + i;
    }
    fx.certs.reloads[WEIR_MAX_TLS] = 3;
    fx.certs.refusals[WEIR_MAX_TLS] = 1;
    walk();
    cr_expect_eq(value_of("weir_server_tls_handshakes_total", "pool=pool0,server=b2,"), 11);
    cr_expect_eq(value_of("weir_server_tls_resumed_total", "pool=pool0,server=b2,"), 4);
    cr_expect_eq(value_of("weir_server_tls_failures_total", "pool=pool0,server=b2,reason=expired,"), 3);
    cr_expect_eq(value_of("weir_server_tls_failures_total", "pool=pool0,server=b1,reason=expired,"), 0);
    cr_expect_eq(value_of("weir_pool_certificate_reloads_total", "pool=pool0,"), 3);
    cr_expect_eq(value_of("weir_pool_certificate_refusals_total", "pool=pool0,"), 1);
    cr_expect_gt(value_of("weir_pool_certificate_expiry_timestamp_seconds", "pool=pool0,"), (double)time(NULL) + 3500);
}

Test(stats, drops_by_layer_and_reason) {
    fixture_make(1);
    fx.weir.workers[0]->stats.net_drops[1] = 1;
    fx.weir.workers[0]->tcp.stats.drops[2] = 2;
    fx.weir.workers[0]->tls.stats.drops[1] = 3;
    fx.weir.workers[0]->stats.mqtt_drops[1] = 4;
    fx.weir.workers[0]->tcp.stats.ends[1] = 5;
    walk();
    char labels[128];
    snprintf(labels, sizeof(labels), "layer=net,reason=%s,worker=0,", net_drop_name(1));
    cr_expect_eq(value_of("weir_drops_total", labels), 1);
    snprintf(labels, sizeof(labels), "layer=tcp,reason=%s,worker=0,", tcp_drop_name(2));
    cr_expect_eq(value_of("weir_drops_total", labels), 2);
    snprintf(labels, sizeof(labels), "layer=tls,reason=%s,worker=0,", tls_drop_name(1));
    cr_expect_eq(value_of("weir_drops_total", labels), 3);
    snprintf(labels, sizeof(labels), "layer=mqtt,reason=%s,worker=0,", mqtt_drop_name(1));
    cr_expect_eq(value_of("weir_drops_total", labels), 4);
    snprintf(labels, sizeof(labels), "reason=%s,worker=0,", tcp_end_name(1));
    cr_expect_eq(value_of("weir_tcp_ends_total", labels), 5);
}

Test(stats, alerts_by_direction_and_name) {
    fixture_make(2);
    fx.weir.workers[0]->tls.stats.alerts[TLS_READ][TLS_ALERTED_UNKNOWN_CA] = 1;
    fx.weir.workers[1]->tls.stats.alerts[TLS_READ][TLS_ALERTED_OTHER] = 2;
    fx.weir.workers[1]->tls.stats.alerts[TLS_WRITE][TLS_ALERTED_CLOSE_NOTIFY] = 3;
    walk();
    cr_expect_eq(value_of("weir_tls_alerts_total", "direction=in,alert=unknown_ca,worker=0,"), 1);
    cr_expect_eq(value_of("weir_tls_alerts_total", "direction=out,alert=unknown_ca,worker=0,"), 0);
    cr_expect_eq(value_of("weir_tls_alerts_total", "direction=in,alert=other,worker=1,"), 2);
    cr_expect_eq(value_of("weir_tls_alerts_total", "direction=out,alert=close_notify,worker=1,"), 3);
}

/* --- documentation --- */

static char *document(void) {
    FILE *f = fopen(WEIR_SOURCE_ROOT "/docs/metrics.md", "r");
    cr_assert(f != NULL, "docs/metrics.md cannot be read");
    char *text = calloc(1, 1 << 20);
    cr_assert(text != NULL);
    size_t n = fread(text, 1, (1 << 20) - 1, f);
    cr_assert(n > 0 && feof(f));
    fclose(f);
    return text;
}

/* A row as the tables of docs/metrics.md have it: name, type, labels, what help says (more may follow), unit. */
static void check_documented(const char *text, const struct kept *k) {
    char row[512];
    snprintf(row, sizeof(row), "\n| `%s` | %s | %s | %s", k->name, k->gauge ? "gauge" : "counter",
             k->n_labels != 0 ? k->label_names : "none", k->help);
    const char *at = strstr(text, row);
    cr_expect(at != NULL, "docs/metrics.md lacks the row:%s", row);
    if (at != NULL)
        cr_expect(strstr(at + 1, row) == NULL, "docs/metrics.md has %s twice", k->name);
}

Test(stats, every_metric_is_documented) {
    with_workers(1);
    char *text = document();
    for (size_t i = 0; i < n_kept; i++)
        if (i == 0 || strcmp(kept[i - 1].name, kept[i].name) != 0)
            check_documented(text, &kept[i]);
    free(text);
}

static bool exists(const char *name, size_t n) {
    for (size_t i = 0; i < n_kept; i++)
        if (strlen(kept[i].name) == n && memcmp(kept[i].name, name, n) == 0)
            return true;
    return false;
}

Test(stats, nothing_else_is_documented) {
    with_workers(1);
    char *text = document();
    unsigned found = 0;
    for (const char *at = text; (at = strstr(at, "weir_")) != NULL; found++) {
        size_t n = strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789_");
        cr_expect(exists(at, n), "docs/metrics.md names %.*s, which is no metric", (int)n, at);
        at += n;
    }
    cr_assert_gt(found, 50);
    free(text);
}
