/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include <jansson.h>

#define COUNT_BYTES 32

/* "1,234,567" */
static const char *count(char buf[COUNT_BYTES], double value) {
    char digits[COUNT_BYTES];
    int n = snprintf(digits, sizeof(digits), "%.0f", value < 0 ? 0 : value < 1e18 ? value : 1e18), at = 0;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0)
            buf[at++] = ',';
        buf[at++] = digits[i];
    }
    buf[at] = '\0';
    return buf;
}

/* Three figures and the unit that fits. */
static const char *duration(char buf[COUNT_BYTES], double ns) {
    static const char *const units[] = {"ns", "us", "ms", "s"};
    unsigned unit = 0;
    for (; ns >= 1000 && unit + 1 < WEIR_ARRAY_LEN(units); unit++)
        ns /= 1000;
    snprintf(buf, COUNT_BYTES, "%.*f %s", ns >= 100 || unit == 0 ? 0 : ns >= 10 ? 1 : 2, ns, units[unit]);
    return buf;
}

static double busy(const struct load_stats *s) {
    uint64_t all = s->busy_tsc + s->idle_tsc;
    return all ? 100.0 * (double)s->busy_tsc / (double)all : 0;
}

/* --- progress --- */

void report_connecting(FILE *out, const struct load_stats *s, uint32_t wanted, double per_s) {
    char a[COUNT_BYTES], b[COUNT_BYTES], c[COUNT_BYTES], d[COUNT_BYTES];
    uint64_t failed = s->connect_failed + s->tls_failed + s->mqtt_refused + s->resets;
    fprintf(out, "connecting  %9s%s%s  %s/s, %u in their handshake, p99 %s, generator %.0f%% busy",
            count(a, wanted ? s->open : (double)s->mqtt_accepted), wanted ? "/" : "", wanted ? count(b, wanted) : "",
            count(c, per_s), s->connecting, duration(d, (double)histogram_quantile(&s->connect_ns, 0.99)), busy(s));
    if (failed)
        fprintf(out, ", %s failed or reset", count(a, (double)failed));
    fputc('\n', out);
    fflush(out);
}

void report_publishing(FILE *out, const char *what, const struct load_stats *s, double per_s) {
    char a[COUNT_BYTES], b[COUNT_BYTES], c[COUNT_BYTES];
    fprintf(out, "%-11s %9s msg/s, p50 %s, p99 %s so far, generator %.0f%% busy", what, count(a, per_s),
            duration(b, (double)histogram_quantile(&s->latency_ns, 0.5)),
            duration(c, (double)histogram_quantile(&s->latency_ns, 0.99)), busy(s));
    if (s->backlog)
        fprintf(out, ", %s waiting", count(a, s->backlog));
    if (s->messages_lost || s->resets)
        fprintf(out, ", %s lost, %s reset", count(a, (double)s->messages_lost), count(b, (double)s->resets));
    fputc('\n', out);
    fflush(out);
}

void report_holding(FILE *out, const struct load_stats *s, double left_s) {
    char a[COUNT_BYTES];
    fprintf(out, "holding     %9s open, %.0f s to go", count(a, s->open), left_s > 0 ? left_s : 0);
    if (s->resets || s->closed)
        fprintf(out, ", %s lost", count(a, (double)(s->resets + s->closed)));
    fputc('\n', out);
    fflush(out);
}

void report_storm(FILE *out, const struct load_stats *s, uint64_t clients, uint64_t open, double per_s) {
    char a[COUNT_BYTES], b[COUNT_BYTES], c[COUNT_BYTES], d[COUNT_BYTES], e[COUNT_BYTES];
    fprintf(out, "storm       %9s/%s in, %s/s, %u under way, %s gave up, round trips p99 %s, generator %.0f%% busy\n",
            count(a, (double)open), count(b, (double)clients), count(c, per_s), s->connecting,
            count(d, (double)(s->connect_failed + s->tls_failed + s->mqtt_refused)),
            duration(e, (double)histogram_quantile(&s->latency_ns, 0.99)), busy(s));
    fflush(out);
}

void report_goodbye(FILE *out, const struct load_stats *s) {
    char a[COUNT_BYTES];
    fprintf(out, "goodbye     %9s still open\n", count(a, s->open));
    fflush(out);
}

void report_trial(FILE *out, uint32_t number, const struct run_trial *t) {
    char a[COUNT_BYTES], b[COUNT_BYTES];
    fprintf(out, "trial %-5u %9s msg/s: %s", number + 1, count(a, t->rate), ndr_verdict_text(t->verdict));
    if (t->lost)
        fprintf(out, " (%s)", count(b, (double)t->lost));
    fprintf(out, "; generator %.0f%% busy\n", 100 * t->busy_share);
    fflush(out);
}

/* --- the table --- */

static void row(FILE *out, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void row(FILE *out, const char *name, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(out, "  %-14s", name);
    vfprintf(out, format, args);
    fputc('\n', out);
    va_end(args);
}

static void print_quantiles(FILE *out, const char *name, const struct run_quantiles *q) {
    char a[COUNT_BYTES], b[COUNT_BYTES], c[COUNT_BYTES], d[COUNT_BYTES], e[COUNT_BYTES];
    row(out, name, "p50 %s, p90 %s, p99 %s, p99.9 %s, longest %s", duration(a, (double)q->p50),
        duration(b, (double)q->p90), duration(c, (double)q->p99), duration(d, (double)q->p999),
        duration(e, (double)q->max));
}

static void print_connect(FILE *out, const struct load_options *o, const struct run_connect *c) {
    char a[COUNT_BYTES], b[COUNT_BYTES], d[COUNT_BYTES];
    row(out, "connections", "%s of %s in %.2f s: %s/s, %s", count(a, (double)c->connected), count(b, (double)c->wanted),
        c->seconds, count(d, c->per_s), o->tls ? load_suite_name(o->suite) : "no TLS");
    if (c->failed)
        row(out, "", "%s failed", count(a, (double)c->failed));
    if (o->resume)
        row(out, "", "%s resumed", count(a, (double)c->resumed));
    if (c->connected)
        print_quantiles(out, "  to CONNACK", &c->ns);
}

static void print_traffic(FILE *out, const struct load_options *o, const struct run_traffic *t) {
    char a[COUNT_BYTES], b[COUNT_BYTES], c[COUNT_BYTES];
    bool qos1 = o->traffic == LOAD_QOS1;
    row(out, load_traffic_name(o->traffic), "%s messages/s, %.1f MB/s of payload, over %.2f s", count(a, t->per_s),
        t->bytes_per_s / 1e6, t->seconds);
    row(out, "  messages", "%s sent, %s %s", count(a, (double)t->sent),
        count(b, (double)(qos1 ? t->acked : t->received)), qos1 ? "acknowledged" : "arrived");
    if (o->schedule.rate_per_s > 0 || o->ndr.on)
        row(out, "  due", "%s; the queue grew by %s", count(a, (double)t->due), count(b, (double)t->queue_growth));
    row(out, "  not well", "%s lost, %s corrupt, %s connections reset", count(a, (double)t->lost),
        count(b, (double)t->corrupt), count(c, (double)t->resets));
    print_quantiles(out, qos1 ? "  round trip" : "  one way", &t->ns);
}

static void print_storm(FILE *out, const struct run_storm *s) {
    char a[COUNT_BYTES], b[COUNT_BYTES], c[COUNT_BYTES], d[COUNT_BYTES];
    row(out, "storm", "%s of %s clients in after %.2f s; %s/s until 95%% were", count(a, (double)s->opened),
        count(b, (double)s->clients), s->seconds, count(c, s->per_s));
    row(out, "", "%s attempts, %s of them given up or refused", count(a, (double)s->attempts),
        count(d, (double)s->gave_up));
    print_quantiles(out, "  to CONNACK", &s->open);
    print_quantiles(out, "  round trip", &s->ns);
}

static void print_ndr(FILE *out, const struct load_options *o, const struct run_ndr *n) {
    char a[COUNT_BYTES], b[COUNT_BYTES], c[COUNT_BYTES], d[COUNT_BYTES];
    if (n->rate > 0 && n->rate >= o->ndr.max && o->ndr.max > 0)
        row(out, "without loss", "%s messages/s, and maybe more: --ndr-max ended the search", count(a, n->rate));
    else if (n->rate > 0)
        row(out, "without loss", "%s messages/s at most, after %u trials", count(a, n->rate), n->n_trials);
    else
        row(out, "without loss", "no rate found in %u trials", n->n_trials);
    if (n->limited)
        row(out, "", "the generator was above 90%% busy in a trial that failed: it may be the limit");
    for (uint32_t i = 0; i < n->n_latency; i++) {
        const struct run_latency *l = &n->latency[i];
        row(out, "", "at %3.0f%% (%s/s): p50 %s, p99 %s, p99.9 %s", 100 * l->share, count(a, l->rate),
            duration(b, (double)l->ns.p50), duration(c, (double)l->ns.p99), duration(d, (double)l->ns.p999));
    }
}

void report_print(FILE *out, const struct load_options *o, const struct run_result *r) {
    char a[COUNT_BYTES], b[COUNT_BYTES];
    fputc('\n', out);
    if (r->connected)
        print_connect(out, o, &r->connect);
    if (r->hold_done)
        row(out, "hold", "%s open after %.0f s, %s resets", count(a, (double)r->hold.open_at_end), r->hold.seconds,
            count(b, (double)r->hold.resets));
    if (r->ndr_done)
        print_ndr(out, o, &r->ndr);
    if (r->traffic_done && o->traffic != LOAD_CHURN)
        print_traffic(out, o, &r->traffic);
    if (r->storm_done)
        print_storm(out, &r->storm);
    row(out, "generator", "%.1f%% busy, %s packets in, %s out%s", 100 * r->generator.busy_share,
        count(a, (double)r->generator.packets_in), count(b, (double)r->generator.packets_out),
        r->generator.limited ? ": it may have been the limit" : "");
    for (uint32_t i = 0; i < r->n_failures; i++)
        row(out, "FAILED", "%s", r->failures[i]);
    fflush(out);
}

/* --- JSON --- */

static double us(uint64_t ns) {
    return (double)ns / 1000;
}

static json_t *quantiles_json(const struct run_quantiles *q) {
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "min", us(q->min), "mean", q->mean / 1000, "p50",
                     us(q->p50), "p90", us(q->p90), "p99", us(q->p99), "p999", us(q->p999), "max", us(q->max));
}

static json_t *connect_json(const struct run_connect *c) {
    return json_pack("{s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f}", "wanted", (json_int_t)c->wanted, "connected",
                     (json_int_t)c->connected, "failed", (json_int_t)c->failed, "resumed", (json_int_t)c->resumed,
                     "seconds", c->seconds, "per_s", c->per_s, "p50_us", us(c->ns.p50), "p99_us", us(c->ns.p99),
                     "p999_us", us(c->ns.p999));
}

static json_t *traffic_json(const struct load_options *o, const struct run_traffic *t) {
    return json_pack("{s:s, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:o}", "kind",
                     load_traffic_name(o->traffic), "seconds", t->seconds, "due", (json_int_t)t->due, "sent",
                     (json_int_t)t->sent, "received", (json_int_t)t->received, "acked", (json_int_t)t->acked, "lost",
                     (json_int_t)t->lost, "corrupt", (json_int_t)t->corrupt, "resets", (json_int_t)t->resets,
                     "queue_growth", (json_int_t)t->queue_growth, "per_s", t->per_s, "bytes_per_s", t->bytes_per_s,
                     "latency_us", quantiles_json(&t->ns));
}

static json_t *generator_json(const struct run_generator *g) {
    return json_pack("{s:f, s:I, s:I, s:I, s:b}", "busy_share", g->busy_share, "turns", (json_int_t)g->turns,
                     "packets_in", (json_int_t)g->packets_in, "packets_out", (json_int_t)g->packets_out, "limited",
                     (int)g->limited);
}

static json_t *hold_json(const struct run_hold *h) {
    return json_pack("{s:f, s:I, s:I}", "seconds", h->seconds, "open_at_end", (json_int_t)h->open_at_end, "resets",
                     (json_int_t)h->resets);
}

static json_t *storm_json(const struct run_storm *s) {
    return json_pack("{s:I, s:I, s:I, s:I, s:f, s:f, s:o, s:o}", "clients", (json_int_t)s->clients, "opened",
                     (json_int_t)s->opened, "attempts", (json_int_t)s->attempts, "gave_up", (json_int_t)s->gave_up,
                     "seconds", s->seconds, "per_s", s->per_s, "latency_us", quantiles_json(&s->ns), "connect_us",
                     quantiles_json(&s->open));
}

static json_t *ndr_json(const struct run_ndr *n) {
    json_t *trials = json_array(), *latency = json_array();
    for (uint32_t i = 0; i < n->n_trials; i++) {
        const struct run_trial *t = &n->trials[i];
        json_array_append_new(trials, json_pack("{s:f, s:I, s:b, s:s, s:f}", "rate", t->rate, "lost",
                                                (json_int_t)t->lost, "ok", (int)(t->verdict == NDR_GOOD), "verdict",
                                                ndr_verdict_text(t->verdict), "generator_busy_share", t->busy_share));
    }
    for (uint32_t i = 0; i < n->n_latency; i++) {
        const struct run_latency *l = &n->latency[i];
        json_array_append_new(latency,
                              json_pack("{s:f, s:f, s:f, s:f, s:f}", "share", l->share, "rate", l->rate, "p50_us",
                                        us(l->ns.p50), "p99_us", us(l->ns.p99), "p999_us", us(l->ns.p999)));
    }
    return json_pack("{s:f, s:b, s:o, s:o}", "rate", n->rate, "limited", (int)n->limited, "trials", trials, "latency",
                     latency);
}

static json_t *command_json(const struct load_options *o) {
    char text[4096];
    size_t at = 0;
    text[0] = '\0';
    for (int i = 0; i < o->argc && at < sizeof(text); i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", i ? " " : "", o->argv[i]);
    return json_string(text);
}

int report_json(const struct load_options *o, const struct run_result *r) {
    json_t *failures = json_array();
    for (uint32_t i = 0; i < r->n_failures; i++)
        json_array_append_new(failures, json_string(r->failures[i]));
    json_t *rests = json_pack("{s:I, s:f}", "n", (json_int_t)r->rests.n, "seconds", r->rests.seconds);
    json_t *all = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "command", command_json(o), "connect",
        connect_json(&r->connect), "traffic", traffic_json(o, &r->traffic), "generator", generator_json(&r->generator),
        "rests", rests, "hold", r->hold_done ? hold_json(&r->hold) : json_null(), "storm",
        r->storm_done ? storm_json(&r->storm) : json_null(), "ndr", r->ndr_done ? ndr_json(&r->ndr) : json_null(),
        "failures", failures, "interrupted", (int)r->interrupted);
    bool to_stdout = strcmp(o->json, "-") == 0;
    FILE *out = to_stdout ? stdout : fopen(o->json, "we");
    bool ok =
        out && all && json_dumpf(all, out, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) == 0 && fputc('\n', out) != EOF;
    if (out)
        ok = (to_stdout ? fflush(out) : fclose(out)) == 0 && ok;
    json_decref(all);
    return ok ? 0 : WEIR_EIO;
}
