/* SPDX-License-Identifier: BSD-3-Clause */
/* Which certificate a client is answered with: by name, and by what keys it can do. */
#include "certs_fixture.h"

#include <openssl/err.h>

TestSuite(tls_certs, .init = fx_init, .fini = fx_fini);

Test(tls_certs, exact_then_wildcard_then_default) {
    for (int version = TLS_V12; version <= TLS_V13; version++) {
        fx.config.n_certificates = 0;
        SSL_CTX_set_min_proto_version(fx.h.client_ctx, TLS_V12);
        SSL_CTX_set_max_proto_version(fx.h.client_ctx, version);
        fx_add(KEY_EC, "DNS:default.example");
        fx_add(KEY_EC, "DNS:*.fleet.example");
        fx_add(KEY_EC, "DNS:one.fleet.example,DNS:fleet.example");
        cr_assert(fx_load(), "%s", fx.error);
        cr_expect_eq(fx.warnings, 0, "%s", fx.told);
        cr_expect_eq(fx_ask("default.example"), 0);
        cr_expect_eq(fx_ask("one.fleet.example"), 2, "exact before wildcard");
        cr_expect_eq(fx_ask("two.fleet.example"), 1);
        cr_expect_eq(fx_ask("Two.FLEET.example"), 1, "case does not matter");
        cr_expect_eq(fx_ask("fleet.example"), 2);
        cr_expect_eq(fx_ask("a.two.fleet.example"), 0, "a wildcard stands for one label");
        cr_expect_eq(fx_ask("unknown.example"), 0);
        cr_expect_eq(fx_ask(NULL), 0);
        if (version == TLS_V12)
            for (uint32_t i = 0; i < 3; i++)
                harness_files_remove(fx.certificate[i], fx.key[i]);
    }
}

Test(tls_certs, name_is_acknowledged_where_it_was_used) {
    fx_add(KEY_EC, "DNS:a.example");
    cr_assert(fx_load(), "%s", fx.error);
    cr_assert(fx_shake("a.example"));
    cr_expect(SSL_SESSION_get0_hostname(SSL_get_session(fx.h.client)), "an empty server_name in the answer");
    harness_disconnect(&fx.h);
    cr_assert(fx_shake("b.example"));
    cr_expect_null(SSL_SESSION_get0_hostname(SSL_get_session(fx.h.client)));
    harness_disconnect(&fx.h);
}

/* Suites of TLS 1.2 say by which kind of key the server proves itself. */
Test(tls_certs, ciphers_that_go_with_no_certificate_are_told) {
    fx_add(KEY_EC, "DNS:ec.example");
    fx_add(KEY_RSA, "DNS:rsa.example");
    fx.config.ciphers = "ECDHE-RSA-AES128-GCM-SHA256";
    cr_assert(fx_load(), "%s", fx.error);
    cr_expect_eq(fx.warnings, 1, "%s", fx.told);
    cr_expect(strstr(fx.told, "none goes with certificate") && strstr(fx.told, fx.certificate[0]), "%s", fx.told);
    SSL_CTX_set_min_proto_version(fx.h.client_ctx, TLS_V12);
    SSL_CTX_set_max_proto_version(fx.h.client_ctx, TLS_V12);
    cr_expect_eq(fx_ask("ec.example"), -1, "it is so");
    cr_expect_eq(fx_ask("rsa.example"), 1);

    fx.config.ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256";
    cr_assert(fx_load(), "%s", fx.error);
    cr_expect_eq(fx.warnings, 0, "%s", fx.told);
    fx.config.ciphers = "ECDHE-RSA-AES128-GCM-SHA256";
    fx.config.min_version = TLS_V13;
    cr_assert(fx_load(), "%s", fx.error);
    cr_expect_eq(fx.warnings, 0, "nobody speaks 1.2 there: %s", fx.told);
}

static void strictly_refused(const char *name) {
    uint64_t before = fx.h.core.stats.drops[TLS_DROP_HS_UNKNOWN_NAME];
    ERR_clear_error();
    cr_expect_eq(fx_ask(name), -1, "%s", name ? name : "no name");
    cr_expect_eq(fx.h.core.stats.drops[TLS_DROP_HS_UNKNOWN_NAME], before + 1);
    cr_expect_eq(harness_alerts(&fx.h.core, TLS_WRITE, SSL_AD_UNRECOGNIZED_NAME), before + 1);
}

Test(tls_certs, strict_refuses_what_is_not_named) {
    fx_add(KEY_EC, "DNS:a.example,DNS:*.a.example");
    fx.config.strict_sni = true;
    cr_assert(fx_load(), "%s", fx.error);
    cr_expect_eq(fx_ask("a.example"), 0);
    cr_expect_eq(fx_ask("x.a.example"), 0);
    strictly_refused("b.example");
    strictly_refused("x.y.a.example");
    strictly_refused(NULL);
    fx_shake("b.example");
    SSL_do_handshake(fx.h.client);
    cr_expect_eq(ERR_GET_REASON(ERR_peek_last_error()), SSL_AD_REASON_OFFSET + SSL_AD_UNRECOGNIZED_NAME);
    harness_disconnect(&fx.h);
}

/* Clients of TLS 1.2 choose by suite, those of 1.3 by signature algorithm. */
Test(tls_certs, rsa_and_ecdsa_side_by_side) {
    fx_add(KEY_RSA, "DNS:other.example");
    uint32_t rsa = fx_add(KEY_RSA, "DNS:a.example,DNS:r.example"), ec = fx_add(KEY_EC, "DNS:a.example,DNS:e.example");
    cr_assert(fx_load(), "%s", fx.error);
    SSL_CTX_set1_sigalgs_list(fx.h.client_ctx, "RSA-PSS+SHA256");
    cr_expect_eq(fx_ask("a.example"), (int)rsa);
    cr_expect_eq(fx_ask("e.example"), -1, "only the other key is for this name");
    cr_expect_eq(fx.h.core.stats.drops[TLS_DROP_HS_NO_SHARED_CIPHER], 1);
    SSL_CTX_set1_sigalgs_list(fx.h.client_ctx, "ECDSA+SHA256");
    cr_expect_eq(fx_ask("a.example"), (int)ec);
    SSL_CTX_set1_sigalgs_list(fx.h.client_ctx, "ECDSA+SHA256:RSA-PSS+SHA256:RSA+SHA256");
    cr_expect_eq(fx_ask("a.example"), (int)ec);
    cr_expect_eq(fx_ask("r.example"), (int)rsa);
    SSL_CTX_set_min_proto_version(fx.h.client_ctx, TLS_V12);
    SSL_CTX_set_max_proto_version(fx.h.client_ctx, TLS_V12);
    SSL_CTX_set_cipher_list(fx.h.client_ctx, "ECDHE-RSA-AES128-GCM-SHA256");
    cr_expect_eq(fx_ask("a.example"), (int)rsa);
    SSL_CTX_set_cipher_list(fx.h.client_ctx, "ECDHE-ECDSA-AES128-GCM-SHA256");
    cr_expect_eq(fx_ask("a.example"), (int)ec);
}

Test(tls_certs, default_has_its_sibling) {
    fx_add(KEY_EC, "DNS:a.example");
    fx_add(KEY_RSA, "DNS:b.example");
    uint32_t rsa = fx_add(KEY_RSA, "DNS:a.example");
    cr_assert(fx_load(), "%s", fx.error);
    SSL_CTX_set1_sigalgs_list(fx.h.client_ctx, "RSA-PSS+SHA256");
    cr_expect_eq(fx_ask("unknown.example"), (int)rsa);
}

Test(tls_certs, first_of_the_same_kind_wins_and_the_other_is_told) {
    fx_add(KEY_EC, "DNS:a.example,DNS:b.example");
    fx_add(KEY_EC, "DNS:A.example");
    cr_assert(fx_load(), "%s", fx.error);
    cr_expect_eq(fx_ask("a.example"), 0);
    cr_expect_eq(fx.warnings, 1);
    cr_expect(strstr(fx.told, fx.certificate[1]) && strstr(fx.told, "never used"), "%s", fx.told);
}

/* What follows the switch: suites, versions, session id context; and a session is not taken to another name. */
Test(tls_certs, policy_holds_in_every_set) {
    fx_add(KEY_EC, "DNS:a.example");
    fx_add(KEY_EC, "DNS:b.example");
    fx.config.ciphersuites = "TLS_CHACHA20_POLY1305_SHA256";
    fx.config.groups = "P-384";
    cr_assert(fx_load(), "%s", fx.error);
    static const char *const names[] = {"a.example", "b.example"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(names); i++) {
        cr_assert(fx_shake(names[i]));
        cr_expect_str_eq(SSL_get_cipher_name(fx.h.client), "TLS_CHACHA20_POLY1305_SHA256");
        cr_expect_eq(SSL_get_negotiated_group(fx.h.client), NID_secp384r1);
        harness_disconnect(&fx.h);
    }
}

static SSL_SESSION *session_of(const char *name) {
    cr_assert(fx_shake(name));
    harness_turn(&fx.h);
    char byte;
    SSL_read(fx.h.client, &byte, 1);                                      /* takes the tickets */
    SSL_SESSION *session = SSL_SESSION_dup(SSL_get_session(fx.h.client)); /* libssl spoils its own */
    cr_assert(SSL_SESSION_is_resumable(session));
    harness_disconnect(&fx.h);
    return session;
}

static bool shake_again(SSL_SESSION *session, const char *name) {
    SSL_SESSION *copy = SSL_SESSION_dup(session);
    harness_connect(&fx.h, copy);
    SSL_SESSION_free(copy);
    SSL_ctrl(fx.h.client, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, (void *)(uintptr_t)name);
    return harness_handshake(&fx.h);
}

static bool resumes(SSL_SESSION *session, const char *name) {
    cr_assert(shake_again(session, name));
    bool yes = SSL_session_reused(fx.h.client);
    harness_disconnect(&fx.h);
    return yes;
}

static void version_set(int version) {
    SSL_CTX_set_min_proto_version(fx.h.client_ctx, TLS_V12);
    SSL_CTX_set_max_proto_version(fx.h.client_ctx, version);
}

/* In 1.3 it is the client that knows which names the server it met has (RFC 8446 sections 4.2.11 and 4.6.1). */
Test(tls_certs, sessions_stay_with_their_names) {
    fx_add(KEY_EC, "DNS:a.example,DNS:a2.example");
    fx_add(KEY_EC, "DNS:b.example");
    cr_assert(fx_load(), "%s", fx.error);
    for (int version = TLS_V12; version <= TLS_V13; version++) {
        version_set(version);
        SSL_SESSION *session = session_of("b.example"), *nameless = session_of(NULL);
        cr_expect(resumes(session, "b.example"));
        cr_expect_eq(resumes(session, "a.example"), version == TLS_V13, "another name (RFC 6066 section 3)");
        cr_expect_eq(resumes(session, "c.example"), version == TLS_V13, "one that is nobody's");
        cr_expect_eq(resumes(nameless, "b.example"), version == TLS_V13);
        fx.config.strict_sni = true;
        cr_assert(fx_load(), "%s", fx.error);
        cr_expect(!shake_again(session, "c.example") && fx.h.error == -TLS_DROP_HS_UNKNOWN_NAME, "%d", fx.h.error);
        harness_disconnect(&fx.h);
        fx.config.strict_sni = false;
        cr_assert(fx_load(), "%s", fx.error);
        SSL_SESSION_free(session);
        SSL_SESSION_free(nameless);
    }
}

/* With a first name that it did not have, or without the one that it had; and so it is on two machines while one after
 * the other gets it. */
Test(tls_certs, sessions_outlive_a_certificate) {
    static const char *const renewed[] = {"DNS:0.example,DNS:a.example,DNS:b.example", "DNS:b.example,DNS:a.example",
                                          "DNS:a.example"};
    fx_add(KEY_EC, "DNS:x.example");
    fx_add(KEY_EC, "DNS:a.example,DNS:b.example");
    for (int version = TLS_V12; version <= TLS_V13; version++) {
        for (size_t i = 0; i < WEIR_ARRAY_LEN(renewed); i++) {
            fx_renew(0, KEY_EC, "DNS:x.example");
            fx_renew(1, KEY_EC, "DNS:a.example,DNS:b.example");
            cr_assert(fx_load(), "%s", fx.error);
            version_set(version);
            SSL_SESSION *session = session_of("a.example"), *of_default = session_of("x.example");
            fx_renew(0, KEY_EC, "DNS:0x.example,DNS:x.example");
            fx_renew(1, KEY_EC, renewed[i]);
            cr_assert(fx_load(), "%s", fx.error);
            cr_expect(resumes(session, "a.example"), "version %x, renewed for %s", (unsigned)version, renewed[i]);
            cr_expect(resumes(of_default, "x.example"), "version %x", (unsigned)version);
            if (version == TLS_V12)
                cr_expect(!resumes(session, "b.example"), "another name");
            SSL_SESSION_free(session);
            SSL_SESSION_free(of_default);
        }
    }
}

/* A context that is replaced while a handshake runs on it. */
Test(tls_certs, context_lives_as_long_as_its_handshakes) {
    fx_add(KEY_EC, "DNS:a.example");
    fx_add(KEY_EC, "DNS:b.example");
    cr_assert(fx_load(), "%s", fx.error);
    harness_connect(&fx.h, NULL);
    SSL_ctrl(fx.h.client, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, (void *)"b.example");
    cr_assert(fx_load(), "%s", fx.error); /* drops the test's reference on the first one */
    cr_assert(harness_handshake(&fx.h));
    cr_expect_eq(fx_served(), 1);
    harness_disconnect(&fx.h);
}

Test(tls_certs, hundreds_of_names_are_found) {
    static const char *names[600];
    static char text[600][24];
    fx_add(KEY_EC, "DNS:default.example");
    uint32_t i = fx_add(KEY_EC, NULL);
    for (unsigned n = 0; n < WEIR_ARRAY_LEN(names); n++) {
        snprintf(text[n], sizeof(text[n]), "host-%u.example", n * 7919 % 600);
        names[n] = text[n];
    }
    fx.certs[i].names = names;
    fx.certs[i].n_names = WEIR_ARRAY_LEN(names);
    cr_assert(fx_load(), "%s", fx.error);
    const struct tls_certs *certs = fx.h.ctx->certs;
    cr_expect_eq(certs->n_sets, 2, "names of the same certificate share an SSL_CTX");
    for (unsigned n = 0; n < WEIR_ARRAY_LEN(names); n++)
        cr_assert_eq(tls_certs_find(certs, text[n], strlen(text[n])), &certs->sets[1], "%s", text[n]);
    cr_expect_null(tls_certs_find(certs, "host-600.example", 16));
    cr_expect_null(tls_certs_find(certs, NULL, 0));
}

Test(tls_certs, malformed_server_name_is_libssls_to_refuse) {
    fx_add(KEY_EC, "DNS:a.example");
    cr_assert(fx_load(), "%s", fx.error);
    harness_connect(&fx.h, NULL);
    SSL_ctrl(fx.h.client, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, (void *)"a.example");
    SSL_do_handshake(fx.h.client);
    uint8_t hello[4096];
    int n = BIO_read(SSL_get_wbio(fx.h.client), hello, sizeof(hello));
    uint8_t *name = memmem(hello, (size_t)n, "a.example", 9);
    cr_assert_not_null(name);
    name[-1] = 200; /* longer than its extension */
    harness_inject(&fx.h, hello, (uint32_t)n);
    for (int i = 0; i < 10 && fx.h.error == 0; i++)
        harness_turn(&fx.h);
    cr_expect_eq(fx.h.error, -TLS_DROP_HS_FAILED, "%d", fx.h.error);
    harness_disconnect(&fx.h);
}

/* Accepted before a reload, and silent until after it: what is served now. Not so once the handshake has begun. */
Test(tls_certs, renewed_until_the_handshake_begins) {
    fx_add(KEY_EC, "DNS:a.example");
    cr_assert(fx_load());
    for (int begun = 0; begun < 2; begun++) {
        harness_connect(&fx.h, NULL);
        if (begun) {
            SSL_do_handshake(fx.h.client);
            harness_client_flush(&fx.h);
            harness_turn(&fx.h);
        }
        struct tls_ctx *old = fx.h.ctx;
        tls_ctx_ref(old);
        harness_files_remove(fx.certificate[0], fx.key[0]);
        harness_files(KEY_EC, fx.certificate[0], fx.key[0]);
        cr_assert(fx_load());
        tls_conn_renew(&fx.h.core, fx.h.id, fx.h.ctx);
        tls_conn_renew(&fx.h.core, fx.h.id, fx.h.ctx);
        cr_expect_eq(tls_ctx_shared(old), begun, "held by nobody else but a handshake");
        cr_assert(harness_handshake(&fx.h));
        cr_expect_eq(fx_served(), begun ? -1 : 0);
        harness_disconnect(&fx.h);
        tls_ctx_unref(old);
    }
}
