/* SPDX-License-Identifier: BSD-3-Clause */
#include "weirctl.h"

#include <stdio.h>
#include <string.h>

static const char *text(const json_t *o, const char *key) {
    const char *s = json_string_value(json_object_get(o, key));
    return s != NULL ? s : "-";
}

static long long number(const json_t *o, const char *key) {
    return (long long)json_number_value(json_object_get(o, key));
}

/* --- stats: a section a subject, a line a metric, its series side by side --- */

static const struct {
    const char *prefix, *title;
} sections[] = {
    {"weir_build_", "Build"},
    {"weir_config_", "Configuration"},
    {"weir_port_", "Ports"},
    {"weir_listener_", "Listeners"},
    {"weir_server_", "Servers"},
    {"weir_worker_", "Workers"},
    {"weir_sessions", "Connections"},
    {"weir_tcp_", "TCP"},
    {"weir_tls_", "TLS"},
    {"weir_mqtt_", "MQTT"},
    {"weir_udp_", "UDP"},
    {"weir_drops_", "Drops"},
    {"weir_memory_", "Memory"},
    {"weir_mbufs", "Buffers"},
    {"weir_", "Other"},
};

static unsigned section_of(const char *name) {
    unsigned i = 0;
    while (strncmp(name, sections[i].prefix, strlen(sections[i].prefix)) != 0)
        i++;
    return i;
}

static void print_value(double v) {
    if (v == (double)(long long)v)
        printf("%16lld", (long long)v);
    else
        printf("%16.3f", v);
}

static void print_sample(const json_t *s, unsigned section) {
    const char *name = text(s, "name"), *key;
    json_t *value;
    char series[160] = "";
    const char *prefix = sections[section].prefix;
    size_t n = 0, skip = prefix[strlen(prefix) - 1] == '_' ? strlen(prefix) : strlen("weir_");
    json_object_foreach(json_object_get(s, "labels"), key, value) {
        int more = snprintf(series + n, sizeof(series) - n, "%s%s", n != 0 ? " " : "", json_string_value(value));
        if (more > 0 && n + (size_t)more < sizeof(series))
            n += (size_t)more;
    }
    printf("  %-30s %-44s", name + skip, series);
    print_value(json_number_value(json_object_get(s, "value")));
    putchar('\n');
}

static void print_stats(const json_t *answer, bool all, const char *filter) {
    const json_t *samples = json_object_get(answer, "samples");
    size_t i;
    json_t *s;
    bool any = false;
    for (unsigned section = 0; section < sizeof(sections) / sizeof(sections[0]); section++) {
        bool titled = false;
        json_array_foreach(samples, i, s) {
            const char *name = text(s, "name");
            if (section_of(name) != section || (filter != NULL && strstr(name, filter) == NULL) ||
                (!all && json_number_value(json_object_get(s, "value")) == 0))
                continue;
            if (!titled)
                printf("%s\n", sections[section].title);
            titled = any = true;
            print_sample(s, section);
        }
    }
    if (!any && filter != NULL)
        printf("no metric with \"%s\" in its name%s\n", filter, all ? "" : " is other than zero (-a shows zeros)");
}

/* --- flows: two lines each, like ss -ti --- */

/* " key:N", where it is not 0. */
static void print_unless_zero(const json_t *f, const char *key) {
    if (number(f, key) != 0)
        printf(" %s:%lld", key, number(f, key));
}

static void print_congestion(const json_t *f) {
    long long scale = number(f, "wscale");
    printf("%s %s%s%swscale:%lld,%lld rto:%.3g rtt:%.3g/%.3g mss:%lld cwnd:%lld ", text(f, "congestion"),
           json_is_true(json_object_get(f, "ts")) ? "ts " : "", json_is_true(json_object_get(f, "sack")) ? "sack " : "",
           json_is_true(json_object_get(f, "ecn")) ? "ecn " : "", scale >> 4, scale & 15,
           (double)number(f, "rto_us") / 1e3, (double)number(f, "srtt_us") / 1e3, (double)number(f, "rttvar_us") / 1e3,
           number(f, "mss"), number(f, "cwnd"));
    if (number(f, "ssthresh") < 1 << 30)
        printf("ssthresh:%lld ", number(f, "ssthresh"));
}

static void print_flows(const json_t *answer) {
    size_t i;
    json_t *f;
    printf("%-12s %-22s %-22s %s\n", "State", "Local", "Peer", "For");
    json_array_foreach(json_object_get(answer, "flows"), i, f) {
        bool client = json_object_get(f, "listener") != NULL;
        printf("%-12s %-22s %-22s ", text(f, "state"), text(f, "local"), text(f, "peer"));
        if (client)
            printf("listener:%s ", text(f, "listener"));
        if (json_object_get(f, "server") != NULL)
            printf("server:%s ", text(f, "server"));
        printf("worker:%lld port:%s\n\t", number(f, "worker"), text(f, "port"));
        print_congestion(f);
        printf("snd_wnd:%lld rcv_wnd:%lld unacked:%lld rx_queued:%lld retrans:%lld", number(f, "snd_wnd"),
               number(f, "rcv_wnd"), number(f, "unacked"), number(f, "rx_queued"), number(f, "retransmits"));
        print_unless_zero(f, "unsent");
        print_unless_zero(f, "sacked");
        print_unless_zero(f, "lost");
        print_unless_zero(f, "backoff");
        if (strcmp(text(f, "recovery"), "none") != 0)
            printf(" recovery:%s", text(f, "recovery"));
        if (json_object_get(f, "tls") != NULL)
            printf(" tls:%s", text(f, "tls"));
        if (json_object_get(f, "alpn") != NULL)
            printf(" alpn:%s", text(f, "alpn"));
        if (json_object_get(f, "client") != NULL)
            printf(" client:%s", text(f, "client"));
        putchar('\n');
    }
}

/* --- servers --- */

static void print_states(const json_t *states) {
    size_t i;
    json_t *s;
    const char *first = json_string_value(json_array_get(states, 0));
    bool same = true;
    json_array_foreach(states, i, s) same = same && strcmp(json_string_value(s), first) == 0;
    if (same) {
        printf("%s", first);
        return;
    }
    json_array_foreach(states, i, s) printf("%s%s", i != 0 ? "," : "", json_string_value(s));
}

/* Nothing where the pool speaks no TLS, or all is well. */
static void print_server_tls(const json_t *tls) {
    const char *why = json_string_value(json_object_get(tls, "text"));
    if (why != NULL)
        printf("; TLS: %s", why);
}

static void print_servers(const json_t *answer) {
    size_t i;
    json_t *s;
    printf("%-16s %-16s %-22s %6s %8s %12s %8s  %s\n", "Pool", "Server", "Address", "Weight", "Open", "Connections",
           "Failed", "State (by worker where they differ)");
    json_array_foreach(json_object_get(answer, "servers"), i, s) {
        printf("%-16s %-16s %-22s %6lld %8lld %12lld %8lld  ", text(s, "pool"), text(s, "server"), text(s, "address"),
               number(s, "weight"), number(s, "open"), number(s, "connections"), number(s, "failures"));
        print_states(json_object_get(s, "states"));
        print_server_tls(json_object_get(s, "tls"));
        putchar('\n');
    }
}

void print_answer(const char *command, const json_t *answer, bool all, const char *filter) {
    if (strcmp(command, "stats") == 0)
        print_stats(answer, all, filter);
    else if (strcmp(command, "flows") == 0)
        print_flows(answer);
    else if (strcmp(command, "servers") == 0)
        print_servers(answer);
    else if (strcmp(command, "cert") == 0 && json_object_get(answer, "certificates") != NULL)
        print_certs(answer);
    else if (strcmp(command, "capture") == 0)
        printf("%lld packets captured, %lld lost\n", number(answer, "packets"), number(answer, "lost"));
    else
        printf("ok\n");
}
