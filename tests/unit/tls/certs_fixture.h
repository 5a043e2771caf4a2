/* SPDX-License-Identifier: BSD-3-Clause */
/* A context with certificates of the test's choice, and a libssl client that says what it was answered with. */
#ifndef TLS_CERTS_FIXTURE_H
#define TLS_CERTS_FIXTURE_H

#include "harness.h"
#include "tls/tls_certs.h"

#include <openssl/pem.h>
#include <stdio.h>
#include <unistd.h>

#define FX_CERTS 8

static struct fx {
    struct tls_ctx_config config;
    struct tls_certificate_config certs[FX_CERTS];
    char certificate[FX_CERTS][64], key[FX_CERTS][64];
    char told[4096]; /* lines */
    uint32_t warnings, refusals;
    char error[512];
    struct harness h;
} fx;

static inline void fx_told(void *arg, enum tls_told what, const char *text) {
    (void)arg;
    fx.warnings += what == TLS_TOLD_WARNING;
    fx.refusals += what == TLS_TOLD_REFUSED;
    strncat(fx.told, text, sizeof(fx.told) - strlen(fx.told) - 2);
    strcat(fx.told, "\n");
}

/* One more certificate in the configuration. Returns its place. */
static inline uint32_t fx_add(enum key_kind kind, const char *alt_names) {
    uint32_t i = fx.config.n_certificates++;

    harness_certificate(&(struct harness_certificate){.kind = kind, .alt_names = alt_names}, fx.certificate[i],
                        fx.key[i]);
    fx.certs[i] = (struct tls_certificate_config){.certificate_file = fx.certificate[i], .key_file = fx.key[i]};
    fx.config.certificates = fx.certs;
    return i;
}

static inline void fx_init(void) {
    harness_init(&fx.h, &(struct harness_options){.version = TLS_V13});
    harness_disconnect(&fx.h);
    tls_ctx_unref(fx.h.ctx);
    fx.h.ctx = NULL;
    fx.config = (struct tls_ctx_config){.name = "test", .told = fx_told};
}

/* Load what was added; what served before, if anything, is the old one. */
static inline bool fx_load(void) {
    fx.config.old = fx.h.ctx;
    fx.told[0] = 0;
    fx.warnings = fx.refusals = 0;
    struct tls_ctx *ctx = tls_ctx_new(&fx.config, fx.error, sizeof(fx.error));
    if (ctx == NULL)
        return false;
    tls_ctx_unref(fx.h.ctx);
    fx.h.ctx = ctx;
    return true;
}

static inline void fx_fini(void) {
    for (uint32_t i = 0; i < fx.config.n_certificates; i++)
        harness_files_remove(fx.certificate[i], fx.key[i]);
    harness_fini(&fx.h);
}

/* The place of the certificate that a client got; -1: none. */
static inline int fx_served(void) {
    X509 *peer = SSL_get1_peer_certificate(fx.h.client);
    int found = -1;

    for (uint32_t i = 0; peer && fx.h.ctx->certs && i < fx.h.ctx->certs->n_certs; i++)
        if (X509_cmp(peer, fx.h.ctx->certs->certs[i]->x509) == 0)
            found = (int)i;
    X509_free(peer);
    return found;
}

/* Other files where the i-th pair was. */
static inline void fx_renew(uint32_t i, enum key_kind kind, const char *alt_names) {
    char certificate[64], key[64];

    harness_certificate(&(struct harness_certificate){.kind = kind, .alt_names = alt_names}, certificate, key);
    cr_assert(rename(certificate, fx.certificate[i]) == 0 && rename(key, fx.key[i]) == 0);
}

/* A handshake with this server name (NULL: none). The connection stays; harness_disconnect ends it. */
static inline bool fx_shake(const char *name) {
    harness_connect(&fx.h, NULL);
    if (name)
        SSL_ctrl(fx.h.client, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, (void *)(uintptr_t)name);
    return harness_handshake(&fx.h);
}

/* What a client of this name is served with; -1: it is refused. */
static inline int fx_ask(const char *name) {
    int place = fx_shake(name) ? fx_served() : -1;

    harness_disconnect(&fx.h);
    return place;
}

#endif
