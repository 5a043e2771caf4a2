/* SPDX-License-Identifier: BSD-3-Clause */
/* Who is let in, and what those who are not are told: reason, counter and alert, in both versions, and again where a
 * session is resumed. */
#include <openssl/err.h>

#include "clients_fixture.h"
#include "tls/tls_vault.h"

#include <time.h>

/* The clock of weir, and of libssl on both ends. */
static long ahead_s;
time_t time(time_t *out) {
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    now.tv_sec += ahead_s;
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}

TestSuite(tls_verify, .init = cl_init, .fini = cl_fini);

static const uint16_t versions[] = {TLS_V12, TLS_V13};

static void expect(enum tls_drop reason, int alert12, int alert13) {
    cr_assert(fx_load(), "%s", fx.error);
    for (size_t v = 0; v < WEIR_ARRAY_LEN(versions); v++) {
        int alert;
        uint64_t before = fx.h.core.stats.drops[reason];
        int told = versions[v] == TLS_V12 ? alert12 : alert13;
        uint64_t told_before = harness_alerts(&fx.h.core, TLS_WRITE, told);
        cl_version(versions[v]);
        enum tls_drop drop = cl_shake(NULL, &alert);
        cr_expect_eq(drop, reason, "version %x: %s", versions[v], tls_drop_name(drop));
        cr_expect_eq(alert, told, "version %x: alert %d", versions[v], alert);
        cr_expect_eq(harness_alerts(&fx.h.core, TLS_WRITE, told), told_before + (told >= 0), "%x", versions[v]);
        cr_expect(reason == TLS_DROP_NONE || fx.h.core.stats.drops[reason] == before + 1);
        cl_end();
    }
}

Test(tls_verify, good_one) {
    expect(TLS_DROP_NONE, -1, -1);
}

static void without(void) {
    SSL_CTX_free(fx.h.client_ctx);
    fx.h.client_ctx = SSL_CTX_new(TLS_client_method());
}

Test(tls_verify, none_where_one_is_required) {
    without();
    expect(TLS_DROP_HS_CLIENT_NO_CERT, SSL_AD_HANDSHAKE_FAILURE, SSL_AD_CERTIFICATE_REQUIRED);
}

Test(tls_verify, none_where_it_is_optional) {
    without();
    fx.config.client_certificates = TLS_CLIENT_CERTIFICATES_OPTIONAL;
    expect(TLS_DROP_NONE, -1, -1);
}

Test(tls_verify, of_another_authority_though_optional) {
    cl_issue(&(struct harness_certificate){.kind = KEY_EC});
    fx.config.client_certificates = TLS_CLIENT_CERTIFICATES_OPTIONAL;
    expect(TLS_DROP_HS_CLIENT_UNTRUSTED, SSL_AD_UNKNOWN_CA, SSL_AD_UNKNOWN_CA);
}

Test(tls_verify, expired) {
    cl_issue(&(struct harness_certificate){
        .kind = KEY_EC, .begins_s = -100, .expires_s = -10, .issuer_certificate = cl_ca, .issuer_key = cl_ca_key});
    expect(TLS_DROP_HS_CLIENT_EXPIRED, SSL_AD_CERTIFICATE_EXPIRED, SSL_AD_CERTIFICATE_EXPIRED);
}

Test(tls_verify, for_servers_alone) {
    cl_issue(&(struct harness_certificate){
        .kind = KEY_EC, .usage = "serverAuth", .issuer_certificate = cl_ca, .issuer_key = cl_ca_key});
    expect(TLS_DROP_HS_CLIENT_PURPOSE, SSL_AD_UNSUPPORTED_CERTIFICATE, SSL_AD_UNSUPPORTED_CERTIFICATE);
}

Test(tls_verify, revoked) {
    fx.config.client_crl_file = cl_crl;
    cl_crl_write(0, 3600);
    expect(TLS_DROP_NONE, -1, -1);
    cl_crl_write(1, 3600);
    expect(TLS_DROP_HS_CLIENT_REVOKED, SSL_AD_CERTIFICATE_REVOKED, SSL_AD_CERTIFICATE_REVOKED);
}

/* An expired list could hide a revocation. */
Test(tls_verify, crl_expired) {
    fx.config.client_crl_file = cl_crl;
    cl_crl_write(0, -10);
    expect(TLS_DROP_HS_CLIENT_NO_CRL, SSL_AD_CERTIFICATE_EXPIRED, SSL_AD_CERTIFICATE_EXPIRED);
}

/* An authority between the one that is trusted and the client, which sends it along. */
static char middle_file[] = "/tmp/weir-middle-XXXXXX", middle_key[] = "/tmp/weir-middle-XXXXXX";
static void middle_add(void) {
    FILE *f = fopen(cl_ca, "r");
    X509 *ca = PEM_read_X509(f, NULL, NULL, NULL), *middle = X509_new();
    fclose(f);
    f = fopen(cl_ca_key, "r");
    EVP_PKEY *ca_key = PEM_read_PrivateKey(f, NULL, NULL, NULL), *key = EVP_EC_gen("P-256");
    fclose(f);
    X509_set_version(middle, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(middle), 7);
    X509_gmtime_adj(X509_getm_notBefore(middle), -60);
    X509_gmtime_adj(X509_getm_notAfter(middle), 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(middle), "CN", MBSTRING_ASC, (const uint8_t *)"middle", -1, -1, 0);
    X509_set_issuer_name(middle, X509_get_subject_name(ca));
    X509_set_pubkey(middle, key);
    X509_EXTENSION *is_ca = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");
    X509_add_ext(middle, is_ca, -1);
    X509_EXTENSION_free(is_ca);
    cr_assert_gt(X509_sign(middle, ca_key, EVP_sha256()), 0);
    f = fdopen(mkstemp(middle_file), "w");
    PEM_write_X509(f, middle);
    fclose(f);
    f = fdopen(mkstemp(middle_key), "w");
    PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
    cl_issue(
        &(struct harness_certificate){.kind = KEY_EC, .issuer_certificate = middle_file, .issuer_key = middle_key});
    SSL_CTX_add_extra_chain_cert(fx.h.client_ctx, middle);
    X509_free(ca);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(key);
}

Test(tls_verify, depth) {
    static const int none = 0, one = 1;
    middle_add();
    fx.config.client_depth = &one;
    expect(TLS_DROP_NONE, -1, -1);
    fx.config.client_depth = &none;
    expect(TLS_DROP_HS_CLIENT_DEPTH, SSL_AD_UNKNOWN_CA, SSL_AD_UNKNOWN_CA);
    harness_files_remove(middle_file, middle_key);
}

/* A session made with a certificate keeps it, until that is revoked: then a full handshake says so. */
Test(tls_verify, resumed_session_is_looked_at_again) {
    for (size_t v = 0; v < WEIR_ARRAY_LEN(versions); v++) {
        int alert;
        fx.config.client_crl_file = cl_crl;
        cl_crl_write(0, 3600);
        cr_assert(fx_load(), "%s", fx.error);
        cl_version(versions[v]);
        cr_assert_eq(cl_shake(NULL, &alert), TLS_DROP_NONE);
        cl_end();
        SSL_SESSION *kept = SSL_SESSION_dup(cl_session);
        cr_assert_eq(cl_shake(kept, &alert), TLS_DROP_NONE);
        cr_expect(SSL_session_reused(fx.h.client), "version %x", versions[v]);
        const struct tls_identity *id = tls_conn_identity(&fx.h.core, fx.h.id);
        cr_assert_not_null(id);
        cr_expect(id->certificate && id->resumed && strcmp(id->common_name, "weir leaf") == 0);
        cl_end();
        cl_crl_write(1, 3600);
        cr_assert(fx_load(), "%s", fx.error);
        cr_expect_eq(cl_shake(kept, &alert), TLS_DROP_HS_CLIENT_REVOKED);
        cr_expect(!SSL_session_reused(fx.h.client));
        cl_end();
        SSL_SESSION_free(kept);
    }
}

/* Is a session of a full handshake now still taken once there are these lists? */
static bool resumed_with(long root_revokes, long middle_revokes, long until_s) {
    int alert;
    cl_crl_put(cl_ca, cl_ca_key, 0, 3600, "w");
    cl_crl_put(middle_file, middle_key, 0, 3600, "a");
    cr_assert(fx_load(), "%s", fx.error);
    cr_assert_eq(cl_shake(NULL, &alert), TLS_DROP_NONE);
    cl_end();
    SSL_SESSION *kept = SSL_SESSION_dup(cl_session);
    cl_crl_put(cl_ca, cl_ca_key, root_revokes, 3600, "w");
    cl_crl_put(middle_file, middle_key, middle_revokes, until_s, "a");
    cr_assert(fx_load(), "%s", fx.error);
    (void)cl_shake(kept, &alert);
    bool resumed = SSL_session_reused(fx.h.client);
    cl_end();
    SSL_SESSION_free(kept);
    return resumed;
}

/* The authority between is not in the session: it is known by the file of CAs, or not at all. */
Test(tls_verify, resumed_session_of_an_authority_that_is_revoked) {
    middle_add();
    fx.config.client_crl_file = cl_crl;
    for (size_t v = 0; v < WEIR_ARRAY_LEN(versions); v++) {
        cl_version(versions[v]);
        cr_expect(!resumed_with(0, 0, 3600), "nobody can say that the one between is good");
    }
    FILE *from = fopen(middle_file, "r"), *to = fopen(cl_ca, "a");
    for (int c; (c = getc(from)) != EOF;)
        putc(c, to);
    fclose(from);
    fclose(to);
    for (size_t v = 0; v < WEIR_ARRAY_LEN(versions); v++) {
        cl_version(versions[v]);
        cr_expect(resumed_with(0, 0, 3600));
        cr_expect(!resumed_with(7, 0, 3600), "the one between is revoked");
        cr_expect(!resumed_with(0, 1, 3600), "the client is");
        cr_expect(!resumed_with(0, 0, -10), "the list has expired");
    }
    harness_files_remove(middle_file, middle_key);
}

/* A session of somebody who was not asked is worth nothing once certificates are required. */
Test(tls_verify, session_without_a_certificate_is_not_resumed) {
    int alert;
    without();
    SSL_CTX_set_session_cache_mode(fx.h.client_ctx, SSL_SESS_CACHE_CLIENT);
    SSL_CTX_sess_set_new_cb(fx.h.client_ctx, cl_new_session);
    fx.config.client_certificates = TLS_CLIENT_CERTIFICATES_OPTIONAL;
    cr_assert(fx_load(), "%s", fx.error);
    cr_assert_eq(cl_shake(NULL, &alert), TLS_DROP_NONE);
    cl_end();
    fx.config.client_certificates = TLS_CLIENT_CERTIFICATES_REQUIRED;
    cr_assert(fx_load(), "%s", fx.error);
    cr_expect_eq(cl_shake(cl_session, &alert), TLS_DROP_HS_CLIENT_NO_CERT);
    cl_end();
}

Test(tls_verify, files) {
    fx.config.client_ca_file = "/nowhere/ca.pem";
    cr_expect(!fx_load() && strstr(fx.error, "client_ca /nowhere/ca.pem: No such file"), "%s", fx.error);
    fx.config.client_ca_file = cl_key;
    cr_expect(!fx_load() && strstr(fx.error, "no PEM block of a certificate found"), "%s", fx.error);
    fx.config.client_ca_file = cl_ca;
    fx.config.client_crl_file = cl_ca;
    cr_expect(!fx_load() && strstr(fx.error, "no PEM block of a CRL found"), "%s", fx.error);
}

/* --- files that are refused when they are read again --- */

static void file_break(const char *path) {
    FILE *f = fopen(path, "w");
    fputs("nonsense\n", f);
    fclose(f);
}

static void reload_refuses(const char *about) {
    cr_assert(fx_load(), "%s", fx.error);
    cr_expect_eq(fx.refusals, 1, "%s", fx.told);
    cr_expect(strstr(fx.told, about), "%s", fx.told);
}

/* CAs and CRLs of before, sessions that were made under them, and no less of what else is new. */
Test(tls_verify, bad_files_on_reload) {
    fx.config.client_crl_file = cl_crl;
    for (size_t v = 0; v < WEIR_ARRAY_LEN(versions); v++) {
        int alert;
        cl_crl_write(0, 3600);
        cr_assert(fx_load(), "%s", fx.error);
        cl_version(versions[v]);
        cr_assert_eq(cl_shake(NULL, &alert), TLS_DROP_NONE);
        cl_end();
        SSL_SESSION *kept = SSL_SESSION_dup(cl_session);
        file_break(cl_crl);
        reload_refuses("client_crl ");
        fx_renew(0, KEY_EC, "DNS:a.example");
        reload_refuses("client_crl ");
        cr_expect_eq(cl_shake(NULL, &alert), TLS_DROP_NONE);
        cr_expect_eq(fx_served(), 0, "the certificate as renewed");
        cl_end();
        cr_expect_eq(cl_shake(kept, &alert), TLS_DROP_NONE);
        cr_expect(SSL_session_reused(fx.h.client), "version %x", versions[v]);
        cl_end();
        cl_crl_write(1, 3600);
        cr_assert(fx_load(), "%s", fx.error);
        file_break(cl_crl);
        reload_refuses("client_crl ");
        cr_expect_eq(cl_shake(kept, &alert), TLS_DROP_HS_CLIENT_REVOKED, "what was revoked stays so");
        cl_end();
        SSL_SESSION_free(kept);
    }
    file_break(cl_ca);
    cl_issue(&(struct harness_certificate){.kind = KEY_EC});
    reload_refuses("client_ca ");
    int alert;
    cr_expect_eq(cl_shake(NULL, &alert), TLS_DROP_HS_CLIENT_UNTRUSTED);
    cl_end();
}

/* A file that has nothing to do with it keeps no revocation from being heard of. */
Test(tls_verify, revoked_beside_a_bad_file) {
    int alert;
    char psk_file[] = "/tmp/weir-psk-XXXXXX";
    FILE *f = fdopen(mkstemp(psk_file), "w");
    fputs("device:00112233445566778899aabbccddeeff\n", f);
    fclose(f);
    fx.config.psk_file = psk_file;
    fx.config.client_crl_file = cl_crl;
    cl_crl_write(0, 3600);
    cr_assert(fx_load(), "%s", fx.error);
    file_break(psk_file);
    cl_crl_write(1, 3600);
    reload_refuses("psk_file ");
    cr_expect_eq(cl_shake(NULL, &alert), TLS_DROP_HS_CLIENT_REVOKED);
    cl_end();
    unlink(psk_file);
}

/* What other files, or other rules, say is no substitute. */
Test(tls_verify, bad_files_that_are_new) {
    static const int depth = 2;
    struct tls_ctx_config before = fx.config;
    cr_assert(fx_load(), "%s", fx.error);
    fx.config.client_crl_file = "/nowhere/crl";
    cr_expect(!fx_load() && strstr(fx.error, "client_crl /nowhere/crl"), "%s", fx.error);
    fx.config = before;
    fx.config.client_ca_file = "/nowhere/ca";
    cr_expect(!fx_load() && strstr(fx.error, "client_ca /nowhere/ca"), "%s", fx.error);
    file_break(cl_ca);
    fx.config = before;
    fx.config.client_depth = &depth;
    cr_expect(!fx_load() && strstr(fx.error, "client_ca "), "%s", fx.error);
    fx.config = before;
    fx.config.client_certificates = TLS_CLIENT_CERTIFICATES_OPTIONAL;
    cr_expect(!fx_load() && strstr(fx.error, "client_ca "), "%s", fx.error);
    fx.config = before;
    reload_refuses("client_ca ");
}

/* --- sessions that libssl would resume, and may not --- */

/* A handshake with this name (NULL: none). Is the session resumed? */
static bool resumes(SSL_SESSION *session, const char *name) {
    SSL_SESSION *copy = session ? SSL_SESSION_dup(session) : NULL;

    harness_connect(&fx.h, copy);
    SSL_SESSION_free(copy);
    if (name)
        SSL_ctrl(fx.h.client, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, (void *)(uintptr_t)name);
    cr_assert(harness_handshake(&fx.h), "%s", tls_drop_name((enum tls_drop) - fx.h.error));
    struct tls_info info;
    tls_conn_info(&fx.h.core, fx.h.id, &info);
    cr_assert_eq(info.resumed, SSL_session_reused(fx.h.client));
    if (session == NULL) {
        uint8_t byte;
        harness_turn(&fx.h);
        (void)SSL_read(fx.h.client, &byte, 1); /* tickets of 1.3 */
    }
    cl_end();
    return info.resumed;
}

/* A session of its own, not replaced by those that follow. */
static SSL_SESSION *session_under(const char *name) {
    cr_assert_not(resumes(NULL, name));
    cr_assert_not_null(cl_session);
    return SSL_SESSION_dup(cl_session);
}

Test(tls_verify, session_of_a_suite_that_is_gone) {
    for (size_t v = 0; v < WEIR_ARRAY_LEN(versions); v++) {
        fx.config.ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305";
        fx.config.ciphersuites = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256";
        cr_assert(fx_load());
        cl_version(versions[v]);
        SSL_SESSION *session = session_under("a.example");
        cr_expect(resumes(session, "a.example"));
        fx.config.ciphers = "ECDHE-ECDSA-CHACHA20-POLY1305";
        fx.config.ciphersuites = "TLS_CHACHA20_POLY1305_SHA256";
        cr_assert(fx_load());
        bool resumed = resumes(session, "a.example"); /* in 1.3 with the other suite, whose hash is the same */
        cr_expect_eq(resumed, versions[v] == TLS_V13, "%x", versions[v]);
        SSL_SESSION_free(session);
    }
}

Test(tls_verify, session_of_another_name) {
    harness_files_remove(fx.certificate[0], fx.key[0]);
    harness_certificate(&(struct harness_certificate){.kind = KEY_EC, .alt_names = "DNS:a.example,DNS:b.example"},
                        fx.certificate[0], fx.key[0]);
    cr_assert(fx_load());
    cl_version(TLS_V12);
    SSL_SESSION *session = session_under("a.example"), *nameless = session_under(NULL);
    cr_expect(resumes(session, "a.example"));
    cr_expect(resumes(session, "A.example"), "names have no case");
    cr_expect_not(resumes(session, "b.example"), "RFC 6066 section 3");
    cr_expect_not(resumes(session, NULL));
    cr_expect(resumes(nameless, NULL));
    cr_expect_not(resumes(nameless, "b.example"));
    SSL_SESSION_free(session);
    SSL_SESSION_free(nameless);
}

/* --- sessions without an end --- */

#define HOUR_S 3600l
#define DAY_S  86400l

/* As resumes, and what the client got is what it offers next: in 1.3 another ticket. */
static bool resumes_on(long at_s) {
    SSL_SESSION *offer = SSL_SESSION_dup(cl_session);
    int alert;

    ahead_s = at_s;
    cr_assert_eq(tls_ctx_expires_in_s(fx.h.ctx) < 0, at_s > HOUR_S, "libcrypto reads another clock");
    enum tls_drop drop = cl_shake(offer, &alert);
    bool resumed = drop == TLS_DROP_NONE && SSL_session_reused(fx.h.client);
    cl_end();
    SSL_SESSION_free(offer);
    return resumed;
}

/* Each ticket is good for 7 days, and so is the whole row of them (RFC 8446 section 4.6.1). */
Test(tls_verify, sessions_end_however_often_they_are_resumed) {
    fx.config.client_certificates = TLS_CLIENT_CERTIFICATES_OFF;
    fx.config.ticket_rotate_s = 7 * DAY_S;
    cr_assert(fx_load(), "%s", fx.error);
    for (size_t v = 0; v < WEIR_ARRAY_LEN(versions); v++) {
        int alert;
        ahead_s = 0;
        cl_version(versions[v]);
        cr_assert_eq(cl_shake(NULL, &alert), TLS_DROP_NONE);
        cl_end();
        for (long day = 2; day <= 6; day += 2)
            cr_expect(resumes_on(day * DAY_S), "version %x, day %ld", versions[v], day);
        cr_expect(resumes_on(7 * DAY_S - 60), "version %x", versions[v]);
        cr_expect(!resumes_on(7 * DAY_S + 60), "version %x", versions[v]);
        cr_expect(resumes_on(8 * DAY_S), "version %x: that was a full one", versions[v]);
    }
}

/* A client whose own certificate is good for a day, below others that are good for an hour. */
static void chain_expires(bool middle) {
    if (middle) {
        harness_files_remove(cl_ca, cl_ca_key);
        harness_certificate(&(struct harness_certificate){.kind = KEY_EC, .begins_s = -60, .expires_s = 2 * DAY_S},
                            cl_ca, cl_ca_key);
        middle_add();
    }
    cl_issue(&(struct harness_certificate){.kind = KEY_EC,
                                           .begins_s = -60,
                                           .expires_s = DAY_S,
                                           .issuer_certificate = middle ? middle_file : cl_ca,
                                           .issuer_key = middle ? middle_key : cl_ca_key});
    cr_assert(fx_load(), "%s", fx.error);
    for (size_t v = 0; v < WEIR_ARRAY_LEN(versions); v++) {
        int alert;
        ahead_s = 0;
        cl_version(versions[v]);
        cr_assert_eq(cl_shake(NULL, &alert), TLS_DROP_NONE);
        cl_end();
        cr_expect(resumes_on(HOUR_S / 2), "version %x", versions[v]);
        cr_expect(resumes_on(HOUR_S - 60), "version %x", versions[v]);
        ahead_s = HOUR_S + 60;
        SSL_SESSION *offer = SSL_SESSION_dup(cl_session);
        cr_expect_eq(cl_shake(offer, &alert), TLS_DROP_HS_CLIENT_EXPIRED, "version %x", versions[v]);
        cl_end();
        SSL_SESSION_free(offer);
    }
}

Test(tls_verify, sessions_end_with_an_authority) {
    chain_expires(false);
}

Test(tls_verify, sessions_end_with_an_authority_between) {
    chain_expires(true);
    harness_files_remove(middle_file, middle_key);
}

static struct {
    uint8_t data[256];
    size_t n;
} kept;
static int keep_other(SSL *ssl, void *arg) {
    (void)arg;
    tls_vault_enter();
    return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), kept.data, kept.n);
}

/* Of a ticket that does not say since when, nobody knows how long it has been resumed: as weir made them before. */
Test(tls_verify, sessions_that_do_not_say_when) {
    static const size_t lengths[] = {0, 15, 17, 16 + 8, 16 + 16, 16 + 16 + TLS_PSK_NAME_MAX + 1, sizeof(kept.data)};
    for (size_t v = 0; v < WEIR_ARRAY_LEN(versions); v++) {
        cl_version(versions[v]);
        for (size_t i = 0; i < WEIR_ARRAY_LEN(lengths); i++) {
            int alert;
            cr_assert(fx_load(), "%s", fx.error);
            memset(kept.data, 0x41, sizeof(kept.data));
            kept.n = lengths[i];
            SSL_CTX_set_session_ticket_cb(fx.h.ctx->ssl, keep_other, NULL, NULL);
            cr_assert_eq(cl_shake(NULL, &alert), TLS_DROP_NONE);
            cl_end();
            cr_assert(fx_load(), "%s", fx.error);
            cr_expect(!resumes_on(0), "version %x, %zu bytes", versions[v], lengths[i]);
            cr_expect(resumes_on(0), "version %x, and then one that does", versions[v]);
        }
    }
}
