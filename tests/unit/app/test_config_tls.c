/* SPDX-License-Identifier: BSD-3-Clause */
/* `tls` of the configuration, and what listeners take from it: what it becomes, and every refusal with its line. */
#include "config_good.h"

TestSuite(config_tls, .init = set_up, .fini = tear_down);

Test(config_tls, takes_several_certificates) {
    struct config *c;
    struct config_error e;
    char line[1200];
    char *text = changed("certificate: server.crt, key: server.key, ",
                         "certificate: server.crt, key: server.key, strict_sni: on, watch: off, security_level: 1,\n"
                         "     groups: P-256, alpn: [h2, mqtt],\n"
                         "     certificates: [{certificate: other.crt, key: server.key, names: [a.b, \"*.b\"], "
                         "ocsp: x.der}], ");
    touch("other.crt");
    cr_assert(parse(text, strlen(text), &c, &e) == 0, "%s", config_error_format(&e, line, sizeof(line)));
    const struct config_tls *t = &c->tls[0];
    cr_expect(t->strict_sni && !t->watch && t->security_level == 1 && t->n_certificates == 2);
    cr_expect_str_eq(t->where_groups, "weir.yaml:10:14: tls[0].groups");
    cr_expect_str_eq(t->alpn[1], "mqtt");
    cr_expect_eq(t->n_alpn, 2);
    cr_expect_str_eq(t->certificates[0].where, "weir.yaml:9:5: tls[0]");
    cr_expect_str_eq(t->certificates[1].where, "weir.yaml:11:21: tls[0].certificates[0]");
    cr_expect(t->certificates[1].n_names == 2 && !strcmp(t->certificates[1].names[1], "*.b"));
    cr_expect(t->certificates[1].ocsp[0] == '/' && t->certificates[0].ocsp == NULL);
    config_free(c);
    free(text);

    text = changed("certificate: server.crt, key: server.key, ",
                   "certificates: [{certificate: other.crt, key: server.key}], ");
    cr_assert(parse(text, strlen(text), &c, &e) == 0, "%s", config_error_format(&e, line, sizeof(line)));
    cr_expect_eq(c->tls[0].n_certificates, 1, "a list alone will do");
    config_free(c);
    free(text);
}

Test(config_tls, refuses) {
    REFUSED(
        {"name: t,", "name: \"\",", 9, "tls[0].name", "cannot be a name"},
        {"certificate: server.crt, ", "", 9, "tls[0].certificate", "is missing (a PEM file"},
        {"key: server.key, ", "", 9, "tls[0].key", "is missing (a PEM file"},
        {"server.crt", "absent.crt", 9, "tls[0].certificate", "absent.crt cannot be read: No such file"},
        {"server.key", "/", 9, "tls[0].key", "/ is not a file"},
        {"\"1.3\"", "\"1.1\"", 9, "tls[0].min_version", "\"1.1\" is not known here (1.2 | 1.3)"},
        {"ciphersuites: X", "ciphersuites: ''", 9, "tls[0].ciphersuites", "is empty"},
        {"ciphersuites: X", "ciphers: ''", 9, "tls[0].ciphers", "is empty"},
        {"ciphersuites: X", "groups: ''", 9, "tls[0].groups", "is empty"},
        {"ciphersuites: X", "security_level: 6", 9, "tls[0].security_level", "0 to 5"},
        {"ciphersuites: X", "strict_sni: yes", 9, "tls[0].strict_sni", "(on | off)"},
        {"ciphersuites: X", "watch: 1", 9, "tls[0].watch", "(on | off)"},
        {"ciphersuites: X", "client_certificates: yes", 9, "tls[0].client_certificates", "(off | optional | required)"},
        {"ciphersuites: X", "client_certificates: required", 9, "tls[0].client_ca", "is missing"},
        {"ciphersuites: X", "client_ca: server.crt", 9, "tls[0].client_ca", "client_certificates is off"},
        {"ciphersuites: X", "client_certificates: optional, client_ca: absent", 9, "tls[0].client_ca",
         "absent cannot be read"},
        {"ciphersuites: X", "client_depth: 17", 9, "tls[0].client_depth", "0 to 16"},
        {"ciphersuites: X", "psk_file: absent", 9, "tls[0].psk_file", "absent cannot be read"},
        {"ciphersuites: X", "srp_file: absent", 9, "tls[0].srp_file", "absent cannot be read"},
        {"ciphersuites: X", "key_log: ''", 9, "tls[0].key_log", "is empty"},
        {"ciphersuites: X", "tickets: 5", 9, "tls[0].tickets", "0 to 4"},
        {"ciphersuites: X", "ticket_rotate_s: 1", 9, "tls[0].ticket_rotate_s", "10 to 604800"},
        {"ciphersuites: X", "ticket_keys: absent", 9, "tls[0].ticket_keys", "absent cannot be read: No such file"},
        {"ciphersuites: X", "alpn: []", 9, "tls[0].alpn", "the list is empty"},
        {"ciphersuites: X", "alpn: [h2, '']", 9, "tls[0].alpn[1]", "is empty"},
        {"ciphersuites: X", "certificates: [{key: server.key}]", 9, "tls[0].certificates[0].certificate", "is missing"},
        {"ciphersuites: X", "certificates: [{certificate: server.crt, key: server.key}]", 9,
         "tls[0].certificates[0].certificate", "named twice"},
        {"ciphersuites: X", "certificates: [{certificate: server.key, key: server.key, names: []}]", 9,
         "tls[0].certificates[0].names", "the list is empty"},
        {"ciphersuites: X", "certificates: [{file: server.key}]", 9, "tls[0].certificates[0].file", "unknown key"},
        {"tls:\n", "tls:\n  - {name: t, certificate: server.crt, key: server.key}\n", 10, "tls[1].name",
         "tls entry \"t\" exists already"});
}

Test(config_tls, warns_of_an_open_key_file) {
    struct config *c;
    struct config_error e;
    char path[128];
    snprintf(path, sizeof(path), "%s/server.key", folder);
    chmod(path, 0644);
    cr_assert(parse(good, strlen(good), &c, &e) == 0);
    cr_expect(strstr(c->warnings[0], "tls[0].key") && strstr(c->warnings[0], "can be read by everybody"));
    config_free(c);
}

Test(config_tls, refuses_usernames_from_nowhere) {
    REFUSED({"mode: mqtt, tls: t", "mode: mqtt, tls: t, username_from: subject", 19, "listeners[0].username_from",
             "(client | common-name | fingerprint | psk-identity | alt-dns | alt-email | alt-uri)"},
            {"mode: mqtt, tls: t", "mode: mqtt, tls: t, username_from: common-name", 19, "listeners[0].username_from",
             "clients show no certificates here"},
            {"mode: mqtt, tls: t", "mode: mqtt, username_from: fingerprint", 19, "listeners[0].username_from",
             "clients show no certificates here"},
            {"mode: mqtt, tls: t", "mode: mqtt, tls: t, username_from: alt-uri", 19, "listeners[0].username_from",
             "clients show no certificates here"},
            {"mode: mqtt, tls: t", "mode: mqtt, tls: t, username_from: psk-identity", 19, "listeners[0].username_from",
             "clients have no pre-shared keys here"},
            {"mode: echo}", "mode: echo, tls: t, username_from: common-name}", 20, "listeners[1].username_from",
             "mode echo has no user names"});
}

/* The good configuration with clients that have to show certificates, and `more` said of its first listener. */
static struct config *with_certificates(const char *more) {
    static const char ca[] = "ciphersuites: X, client_certificates: required, client_ca: server.crt}\n";
    struct config *c;
    struct config_error e;
    char text[4096];
    const char *at = strstr(good, "ciphersuites: X}\n"), *rest = at + strlen("ciphersuites: X}\n");
    const char *listener = strstr(rest, "mode: mqtt, tls: t");
    snprintf(text, sizeof(text), "%.*s%s%.*s%s%s", (int)(at - good), good, ca, (int)(listener - rest), rest, more,
             listener);
    cr_assert_eq(parse(text, strlen(text), &c, &e), 0, "%s: %s", e.key, e.message);
    return c;
}

/* Only what somebody reads is kept of clients. */
Test(config_tls, usernames_from_certificates) {
    static const struct {
        const char *word;
        int username;
        uint32_t kept;
    } cases[] = {{"common-name", CONFIG_USERNAME_COMMON_NAME, 0},
                 {"fingerprint", CONFIG_USERNAME_FINGERPRINT, 0},
                 {"alt-dns", CONFIG_USERNAME_ALT + TLS_ALT_DNS, 1u << TLS_ALT_DNS},
                 {"alt-email", CONFIG_USERNAME_ALT + TLS_ALT_EMAIL, 1u << TLS_ALT_EMAIL},
                 {"alt-uri", CONFIG_USERNAME_ALT + TLS_ALT_URI, 1u << TLS_ALT_URI}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        char more[64];
        snprintf(more, sizeof(more), "username_from: %s, ", cases[i].word);
        struct config *c = with_certificates(more);
        cr_expect_eq((int)c->listeners[0].username, cases[i].username, "%s", cases[i].word);
        cr_expect_eq(c->listeners[1].username, CONFIG_USERNAME_KEPT);
        cr_expect_eq(c->tls[0].keep_alt_names, cases[i].kept, "%s", cases[i].word);
        config_free(c);
    }
}

/* A certificate is kept where a pool behind a listener that asks for it wants it told. */
Test(config_tls, certificates_for_a_pool) {
    struct config *c = with_certificates("");
    cr_expect(!c->pools[0].proxy_certificate && !c->tls[0].keep_certificate && c->tls[0].tell_names);
    config_free(c);
    c = accepted("proxy_protocol: v2", "proxy_protocol: v2\n    proxy_certificate: true");
    cr_expect(c->pools[0].proxy_certificate && c->tls[0].keep_certificate);
    config_free(c);
    c = accepted("proxy_protocol: v2", "proxy_protocol: v1\n    proxy_certificate: false");
    cr_expect(!c->pools[0].proxy_certificate && !c->tls[0].keep_certificate);
    config_free(c);
}
