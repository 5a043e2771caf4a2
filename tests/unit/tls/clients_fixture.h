/* SPDX-License-Identifier: BSD-3-Clause */
/* A listener that asks its clients for certificates, an authority, and clients of it. */
#ifndef TLS_CLIENTS_FIXTURE_H
#define TLS_CLIENTS_FIXTURE_H

#include "certs_fixture.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

static char cl_ca[64], cl_ca_key[64], cl_certificate[64], cl_key[64], cl_crl[] = "/tmp/weir-crl-XXXXXX";
static SSL_SESSION *cl_session; /* the newest */

static inline int cl_new_session(SSL *ssl, SSL_SESSION *session) {
    (void)ssl;
    SSL_SESSION_free(cl_session);
    cl_session = session;
    return 1;
}

static inline void cl_issue(const struct harness_certificate *what) {
    if (cl_certificate[0])
        harness_files_remove(cl_certificate, cl_key);
    harness_certificate(what, cl_certificate, cl_key);
    SSL_CTX_use_certificate_file(fx.h.client_ctx, cl_certificate, SSL_FILETYPE_PEM);
    SSL_CTX_use_PrivateKey_file(fx.h.client_ctx, cl_key, SSL_FILETYPE_PEM);
}

static inline void cl_version(uint16_t version) {
    SSL_CTX_set_min_proto_version(fx.h.client_ctx, version);
    SSL_CTX_set_max_proto_version(fx.h.client_ctx, version);
}

/* The listener, and a client with a good certificate. */
static inline void cl_init(void) {
    fx_init();
    close(mkstemp(cl_crl));
    fx_add(KEY_EC, "DNS:a.example");
    harness_certificate(&(struct harness_certificate){.kind = KEY_EC}, cl_ca, cl_ca_key);
    cl_issue(&(struct harness_certificate){.kind = KEY_EC,
                                           .alt_names = "DNS:device.example,IP:198.18.0.9,URI:urn:dev:1",
                                           .issuer_certificate = cl_ca,
                                           .issuer_key = cl_ca_key});
    fx.config.client_certificates = TLS_CLIENT_CERTIFICATES_REQUIRED;
    fx.config.client_ca_file = cl_ca;
    SSL_CTX_set_session_cache_mode(fx.h.client_ctx, SSL_SESS_CACHE_CLIENT);
    SSL_CTX_sess_set_new_cb(fx.h.client_ctx, cl_new_session);
}

static inline void cl_fini(void) {
    SSL_SESSION_free(cl_session);
    cl_session = NULL;
    unlink(cl_crl);
    harness_files_remove(cl_ca, cl_ca_key);
    harness_files_remove(cl_certificate, cl_key);
    fx_fini();
}

/* A CRL of the authority with this certificate; `serial` 0: it revokes nothing. `how`: "w", or "a" behind others. */
static inline void cl_crl_put(const char *ca_file, const char *ca_key, long serial, long until_s, const char *how) {
    FILE *f = fopen(ca_file, "r");
    X509 *ca = PEM_read_X509(f, NULL, NULL, NULL);
    fclose(f);
    f = fopen(ca_key, "r");
    EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
    fclose(f);
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *from = X509_gmtime_adj(NULL, -60), *until = X509_gmtime_adj(NULL, until_s);
    X509_CRL_set_version(crl, 1);
    X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca));
    X509_CRL_set1_lastUpdate(crl, from);
    X509_CRL_set1_nextUpdate(crl, until);
    if (serial) {
        X509_REVOKED *entry = X509_REVOKED_new();
        ASN1_INTEGER *number = ASN1_INTEGER_new();
        ASN1_INTEGER_set(number, serial);
        X509_REVOKED_set_serialNumber(entry, number);
        X509_REVOKED_set_revocationDate(entry, from);
        X509_CRL_add0_revoked(crl, entry);
        ASN1_INTEGER_free(number);
    }
    cr_assert_gt(X509_CRL_sign(crl, key, EVP_sha256()), 0);
    f = fopen(cl_crl, how);
    PEM_write_X509_CRL(f, crl);
    fclose(f);
    X509_CRL_free(crl);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    X509_free(ca);
    EVP_PKEY_free(key);
}

static inline void cl_crl_write(long serial, long until_s) {
    cl_crl_put(cl_ca, cl_ca_key, serial, until_s, "w");
}

/* What became of a handshake: 0, or the reason it was refused for; the alert as the client saw it in *alert. The
 * connection stays. */
static inline enum tls_drop cl_shake(SSL_SESSION *session, int *alert) {
    SSL_SESSION *copy = session ? SSL_SESSION_dup(session) : NULL; /* libssl marks what it resumes as used up */
    harness_connect(&fx.h, copy);
    SSL_SESSION_free(copy);
    bool done = harness_handshake(&fx.h);
    for (int i = 0; i < 4 && fx.h.error == 0; i++) /* in 1.3 the client is done before it is judged */
        harness_turn(&fx.h);
    uint8_t byte;
    ERR_clear_error();
    (void)SSL_read(fx.h.client, &byte, 1);
    int reason = ERR_GET_REASON(ERR_peek_last_error());
    *alert = reason > SSL_AD_REASON_OFFSET ? reason - SSL_AD_REASON_OFFSET : -1;
    ERR_clear_error();
    return done && fx.h.error == 0 ? TLS_DROP_NONE : (enum tls_drop) - fx.h.error;
}

static inline void cl_end(void) {
    SSL_shutdown(fx.h.client);
    harness_disconnect(&fx.h);
}

#endif
