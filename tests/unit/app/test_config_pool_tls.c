/* SPDX-License-Identifier: BSD-3-Clause */
/* `tls` of a pool: what it becomes, what its servers are called, and every refusal with its line. */
#include "config_fixture.h"

TestSuite(config_pool_tls, .init = set_up, .fini = tear_down);

/* Line 6 is what the cases write there. */
static const char head[] = "ports: [{name: p, device: net_tap0, addresses: [198.18.0.1/24]}]\n"
                           "pools:\n"
                           "  - name: brokers\n"
                           "    servers: [{name: b1, address: \"198.18.0.2:8883\"}, "
                           "{name: b2, address: \"198.18.0.3:8883\"%s}]\n"
                           "    policy: round-robin\n"
                           "    %s\n"
                           "listeners: [{name: l, address: \"198.18.0.1:1883\", mode: %s, pool: brokers}]\n";

static int parse(const char *of_b2, const char *line, const char *mode, struct config **c, struct config_error *e) {
    char text[2048];
    snprintf(text, sizeof(text), head, of_b2, line, mode);
    const struct config_source source = {text, strlen(text), "weir.yaml", folder};
    return config_parse_on(&source, eight_cpus, c, e);
}

static struct config *accepted(const char *of_b2, const char *line) {
    struct config *c;
    struct config_error e;
    char said[1200];
    cr_assert(parse(of_b2, line, "tcp", &c, &e) == 0, "%s", config_error_format(&e, said, sizeof(said)));
    return c;
}

static void refused(const char *of_b2, const char *line, const char *mode, unsigned at, const char *key,
                    const char *text) {
    struct config *c;
    struct config_error e;
    char said[1200];
    int rc = parse(of_b2, line, mode, &c, &e);
    config_error_format(&e, said, sizeof(said));
    cr_expect(rc == WEIR_EINVAL, "<%s> was accepted", line);
    cr_expect_eq(e.line, at, "<%s>: %s", line, said);
    cr_expect_str_eq(e.key, key, "<%s>: %s", line, said);
    cr_expect(strstr(said, text), "<%s>: no <%s> in %s", line, text, said);
    config_free(c);
}

Test(config_pool_tls, none) {
    struct config *c = accepted("", "proxy_protocol: off");
    cr_expect_not(c->pools[0].tls.on);
    cr_expect_null(c->pools[0].servers[0].tls_name);
    config_free(c);
}

/* A server is an address here: unless it gets a name, its certificate is for that address. */
Test(config_pool_tls, defaults) {
    struct config *c = accepted("", "tls: {}");
    const struct config_pool_tls *t = &c->pools[0].tls;
    cr_expect(t->on && t->verify && t->min_version == 0x0303);
    cr_expect(!t->ca && !t->certificate && !t->key && !t->ciphers && !t->ciphersuites);
    cr_expect_str_eq(c->pools[0].servers[0].tls_name, "198.18.0.2");
    cr_expect_str_eq(c->pools[0].servers[1].tls_name, "198.18.0.3");
    cr_expect_str_eq(t->where, "weir.yaml:6:10: pools[0].tls");
    config_free(c);
}

Test(config_pool_tls, all_keys) {
    char path[512];
    struct config *c =
        accepted(", server_name: b2.example",
                 "tls: {ca: server.crt, verify: on, server_name: broker.example, certificate: server.crt, "
                 "key: server.key, min_version: \"1.3\", ciphers: X, ciphersuites: Y}");
    const struct config_pool_tls *t = &c->pools[0].tls;
    snprintf(path, sizeof(path), "%s/server.crt", folder);
    cr_expect_str_eq(t->ca, path);
    cr_expect_str_eq(t->certificate, path);
    cr_expect_eq(t->min_version, 0x0304);
    cr_expect(!strcmp(t->ciphers, "X") && !strcmp(t->ciphersuites, "Y"));
    cr_expect_str_eq(t->where_ca, "weir.yaml:6:15: pools[0].tls.ca");
    cr_expect_str_eq(t->where_key, "weir.yaml:6:98: pools[0].tls.key");
    cr_expect_str_eq(c->pools[0].servers[0].tls_name, "broker.example");
    cr_expect_str_eq(c->pools[0].servers[1].tls_name, "b2.example", "its own name comes first");
    config_free(c);
}

Test(config_pool_tls, verify_off_is_warned_of) {
    struct config *c = accepted("", "tls: {verify: off}");
    cr_expect_not(c->pools[0].tls.verify);
    bool told = false;
    for (unsigned i = 0; i < c->n_warnings; i++)
        told |= strstr(c->warnings[i], "pools[0].tls.verify: servers are not verified") != NULL;
    cr_expect(told);
    config_free(c);
}

Test(config_pool_tls, refusals) {
    refused("", "tls: {ca: absent.crt}", "tcp", 6, "pools[0].tls.ca", "absent.crt cannot be read");
    refused("", "tls: {ca: server.crt, verify: off}", "tcp", 6, "pools[0].tls.ca", "verify is off (set it to on");
    refused("", "tls: {verify: maybe}", "tcp", 6, "pools[0].tls.verify", "\"maybe\" is not known here (on | off)");
    refused("", "tls: {verify: ''}", "tcp", 6, "pools[0].tls.verify", "(on | off)");
    refused("", "tls: {verify: [on]}", "tcp", 6, "pools[0].tls.verify", "a single value is expected here");
    refused("", "tls: {ca: ''}", "tcp", 6, "pools[0].tls.ca", "is empty");
    refused("", "tls: {certificate: server.crt}", "tcp", 6, "pools[0].tls.key", "is missing");
    refused("", "tls: {key: server.key}", "tcp", 6, "pools[0].tls.certificate", "is missing");
    refused("", "tls: {min_version: \"1.1\"}", "tcp", 6, "pools[0].tls.min_version", "(1.2 | 1.3)");
    refused("", "tls: {ciphers: ''}", "tcp", 6, "pools[0].tls.ciphers", "is empty");
    refused("", "tls: {ciphersuites: ''}", "tcp", 6, "pools[0].tls.ciphersuites", "is empty");
    refused("", "tls: {server_name: .example}", "tcp", 6, "pools[0].tls.server_name", "is no server's name");
    refused("", "tls: {server_name: 'a b'}", "tcp", 6, "pools[0].tls.server_name", "is no server's name");
    refused("", "tls: {server_name: ''}", "tcp", 6, "pools[0].tls.server_name", "is no server's name");
    refused("", "tls: {name: x}", "tcp", 6, "pools[0].tls.name", "unknown key");
    refused("", "tls: on", "tcp", 6, "pools[0].tls", "a mapping (key: value) is expected here");
    refused(", server_name: x/y", "tls: {}", "tcp", 4, "pools[0].servers[1].server_name", "is no server's name");
    refused(", server_name: x", "ecn: off", "tcp", 4, "pools[0].servers[1].server_name", "the pool speaks no TLS");
    refused("", "tls: {}", "udp", 7, "listeners[0].pool", "mode udp cannot use \"brokers\", which speaks TLS");
}

/* A name that no certificate can have would keep every server out. */
Test(config_pool_tls, names) {
    static const char *const good[] = {"a", "broker-1.example.com", "_mqtt._tcp.example", "198.18.0.2", "1.example"},
                             *const bad[] = {"a..b",       "a.",          ".",   "-a.example",
                                             "a-.example", "'*.example'", "a/b", "'::1'"};
    char line[128];
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        snprintf(line, sizeof(line), "tls: {server_name: %s}", good[i]);
        config_free(accepted("", line));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(line, sizeof(line), "tls: {server_name: %s}", bad[i]);
        refused("", line, "tcp", 6, "pools[0].tls.server_name", "is no server's name");
    }
    snprintf(line, sizeof(line), "tls: {server_name: %064d.example}", 0);
    refused("", line, "tcp", 6, "pools[0].tls.server_name", "is no server's name");
}

Test(config_pool_tls, a_name_has_253_characters) {
    char line[400], name[TLS_NAME_MAX + 2];
    memset(name, 'a', sizeof(name));
    for (unsigned i = 50; i < TLS_NAME_MAX; i += 51)
        name[i] = '.';
    name[TLS_NAME_MAX] = 0;
    snprintf(line, sizeof(line), "tls: {server_name: %s}", name);
    config_free(accepted("", line));
    name[TLS_NAME_MAX] = 'a';
    name[TLS_NAME_MAX + 1] = 0;
    snprintf(line, sizeof(line), "tls: {server_name: %s}", name);
    refused("", line, "tcp", 6, "pools[0].tls.server_name", "longer than 253 characters");
}
