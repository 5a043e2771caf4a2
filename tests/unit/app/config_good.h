/* SPDX-License-Identifier: BSD-3-Clause */
/* A good configuration, and what becomes of it where some of its words are others. */
#ifndef WEIR_TEST_CONFIG_GOOD_H
#define WEIR_TEST_CONFIG_GOOD_H

#include "config_fixture.h"

// clang-format off
/* Line 1 is the first one in quotes. */
static const char good[] =
    /*  1 */ "cores: {control: 0, workers: [1, 2], handshake: [3], idle: poll}\n"
    /*  2 */ "memory: {max_connections: 50000, hugepages: off}\n"
    /*  3 */ "timeouts: {connect_s: 4, handshake_s: 11, mqtt_connect_s: 12, drain_s: 0, udp_idle_s: 90, "
             "tcp_user_s: 20, tcp_keepalive_s: 7}\n"
    /*  4 */ "log: {level: debug, target: weir.log, format: json}\n"
    /*  5 */ "ports:\n"
    /*  6 */ "  - {name: front, device: \"net_tap0,iface=a\", addresses: [198.18.0.1/24], "
             "gateway: 198.18.0.254, mtu: 9000, mss: 1200}\n"
    /*  7 */ "  - {name: back, device: \"0000:18:00.1\", addresses: [198.18.1.1/24, 198.18.1.9/24], exclusive: true}\n"
    /*  8 */ "tls:\n"
    /*  9 */ "  - {name: t, certificate: server.crt, key: server.key, min_version: \"1.3\", ciphersuites: X}\n"
    /* 10 */ "pools:\n"
    /* 11 */ "  - name: brokers\n"
    /* 12 */ "    policy: round-robin\n"
    /* 13 */ "    source_addresses: [198.18.1.1, 198.18.1.5]\n"
    /* 14 */ "    proxy_protocol: v2\n"
    /* 15 */ "    servers:\n"
    /* 16 */ "      - {name: b1, address: \"198.18.1.2:1883\", weight: 3}\n"
    /* 17 */ "      - {name: b2, address: \"198.18.1.3:1883\"}\n"
    /* 18 */ "listeners:\n"
    /* 19 */ "  - {name: mqtts, address: \"198.18.0.1:8883\", mode: mqtt, tls: t, pool: brokers}\n"
    /* 20 */ "  - {name: echo, address: \"198.18.0.1:7\", mode: echo}\n"
    /* 21 */ "  - {name: dgram, address: \"198.18.0.1:8883\", mode: udp, pool: brokers}\n"
    /* 22 */ "control: {socket: weir.sock, http: \"127.0.0.1:9090\"}\n"
    /* 23 */ "limits: {handshakes: 300, handshakes_per_source: 5, handshake_refusal: alert}\n";
// clang-format on

static inline int parse(const char *text, size_t len, struct config **c, struct config_error *e) {
    const struct config_source source = {text, len, "weir.yaml", folder};
    return config_parse_on(&source, eight_cpus, c, e);
}

/* `good` with the first `from` made `to`; the caller frees. */
static inline char *changed(const char *from, const char *to) {
    const char *at = strstr(good, from);
    size_t room = sizeof(good) + strlen(to);
    char *text = malloc(room);
    cr_assert(at && text, "the base has no <%s>", from);
    snprintf(text, room, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
    return text;
}

struct refusal {
    const char *from, *to;
    unsigned line;
    const char *key, *text; /* text: part of message or hint as formatted */
};

static inline void refused(const struct refusal *r) {
    struct config *c;
    struct config_error e;
    char line[1200];
    char *text = changed(r->from, r->to);
    int rc = parse(text, strlen(text), &c, &e);
    config_error_format(&e, line, sizeof(line));
    cr_expect(rc == WEIR_EINVAL && !c, "<%s> -> <%s> was accepted", r->from, r->to);
    cr_expect(!strcmp(e.file, "weir.yaml"));
    cr_expect(e.line == r->line, "<%s>: line %u, not %u: %s", r->to, e.line, r->line, line);
    cr_expect(e.column >= 1, "<%s>: no column", r->to);
    cr_expect(!strcmp(e.key, r->key), "<%s>: key %s, not %s: %s", r->to, e.key, r->key, line);
    cr_expect(strstr(line, r->text), "<%s>: no <%s> in: %s", r->to, r->text, line);
    config_free(c);
    free(text);
}

#define REFUSED(...)                                                                                                   \
    do {                                                                                                               \
        static const struct refusal cases[] = {__VA_ARGS__};                                                           \
        for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++)                                                             \
            refused(&cases[i]);                                                                                        \
    } while (0)

static inline struct config *accepted(const char *from, const char *to) {
    struct config *c;
    struct config_error e;
    char *text = changed(from, to);
    cr_assert_eq(parse(text, strlen(text), &c, &e), 0, "%s: %s", e.key, e.message);
    free(text);
    return c;
}

#endif
