/* SPDX-License-Identifier: BSD-3-Clause */
/* Contexts of clients: whom to trust, what to offer, and an SSL object's set-up to meet one server. */
#include "tls_certs.h"
#include "tls_vault.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

/* libssl has made something that a later handshake can resume; the newest is the one to keep. Copies are kept and
 * offered: libssl marks its own as used up (1.3: with the first handshake that resumes it) or spoiled (where the SSL
 * object goes without a close_notify, as ours do), and workers share ours. */
static int new_session(SSL *ssl, SSL_SESSION *session) {
    struct tls_msg *msg = SSL_get_app_data(ssl);

    tls_session_unref(msg->session);
    tls_vault_enter(); /* it is kept for hours, and whoever has its secret can be us */
    msg->session = SSL_SESSION_dup(session);
    tls_vault_leave();
    return 0; /* no reference kept */
}

static bool set_trust(SSL_CTX *ssl, const struct tls_client_ctx_config *config, char *error, size_t error_bytes) {
    if (config->verify_off) {
        SSL_CTX_set_verify(ssl, SSL_VERIFY_NONE, NULL);
        return true;
    }
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, NULL);
    if (config->ca_file == NULL && SSL_CTX_set_default_verify_paths(ssl) != 1) {
        snprintf(error, error_bytes, "ca: the system's list of CAs: %s; name a file", tls_ctx_reason());
        return false;
    }
    if (config->ca_file && SSL_CTX_load_verify_file(ssl, config->ca_file) != 1) {
        snprintf(error, error_bytes, "ca %s: %s; it must be a readable PEM file of CA certificates", config->ca_file,
                 tls_ctx_reason());
        return false;
    }
    return true;
}

/* Its own certificate, as the only one of the context. */
static bool own_load(struct tls_ctx *ctx, const struct tls_client_ctx_config *config, char *error, size_t error_bytes) {
    const struct tls_ctx_config tc = {.name = config->name};
    const struct tls_certificate_config files = {.certificate_file = config->certificate_file,
                                                 .key_file = config->key_file};
    const struct tls_certs *old = config->old ? config->old->certs : NULL;

    if (config->certificate_file == NULL && config->key_file == NULL)
        return true;
    if (config->certificate_file == NULL || config->key_file == NULL) {
        snprintf(error, error_bytes, "%s alone: a client has both a certificate and its key, or neither",
                 config->key_file ? config->key_file : config->certificate_file);
        return false;
    }
    ctx->certs = calloc(1, sizeof(*ctx->certs));
    if (ctx->certs == NULL || (ctx->certs->certs = calloc(1, sizeof(struct tls_cert *))) == NULL)
        return false;
    struct tls_cert *cert = tls_cert_load(&tc, &files, old ? old->certs[0] : NULL, error, error_bytes);
    if (cert == NULL)
        return false;
    ctx->certs->certs[0] = cert;
    ctx->certs->n_certs = 1;
    if (SSL_CTX_use_cert_and_key(ctx->ssl, cert->x509, cert->key, cert->chain, 1) == 1)
        return true;
    snprintf(error, error_bytes, "certificate %s: %s", config->certificate_file, tls_ctx_reason());
    return false;
}

static bool fill(struct tls_ctx *ctx, const struct tls_client_ctx_config *config, char *error, size_t error_bytes) {
    ctx->client = true;
    ctx->verify = !config->verify_off;
    ctx->ssl = SSL_CTX_new(TLS_client_method());
    if (ctx->ssl == NULL || RAND_bytes(ctx->mark, sizeof(ctx->mark)) != 1 ||
        !set_trust(ctx->ssl, config, error, error_bytes) || !own_load(ctx, config, error, error_bytes) ||
        !tls_ctx_set_policy(ctx->ssl, config->min_version, config->ciphers, config->ciphersuites, error, error_bytes))
        return false;
    SSL_CTX_set_session_cache_mode(ctx->ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx->ssl, new_session);
    return true;
}

struct tls_ctx *tls_client_ctx_new(const struct tls_client_ctx_config *config, char *error, size_t error_bytes) {
    struct tls_ctx *ctx = tls_ctx_wrap(NULL);

    ERR_clear_error();
    snprintf(error, error_bytes, "out of memory");
    if (ctx && !fill(ctx, config, error, error_bytes)) {
        tls_ctx_unref(ctx);
        ctx = NULL;
    }
    ERR_clear_error();
    return ctx;
}

/* A resumed session is not verified again. So each one bears a mark of the context and the name it was verified for,
 * and is offered where both are the same. Returns false: out of memory. */
static bool offer(SSL *ssl, const struct tls_msg *msg) {
    uint8_t told[sizeof(msg->ctx->mark) + sizeof(msg->server_name)], mark[EVP_MAX_MD_SIZE];
    unsigned mark_bytes = 0, made_for_bytes;

    memcpy(told, msg->ctx->mark, sizeof(msg->ctx->mark));
    memcpy(told + sizeof(msg->ctx->mark), msg->server_name, sizeof(msg->server_name));
    if (EVP_Digest(told, sizeof(told), mark, &mark_bytes, EVP_sha256(), NULL) != 1 ||
        SSL_set_session_id_context(ssl, mark, mark_bytes) != 1)
        return false;
    if (msg->offer == NULL)
        return true;
    const uint8_t *made_for = SSL_SESSION_get0_id_context(msg->offer, &made_for_bytes);
    if (made_for_bytes != mark_bytes || memcmp(made_for, mark, mark_bytes) != 0)
        return true;
    SSL_SESSION *copy = SSL_SESSION_dup(msg->offer);
    bool ok = copy && SSL_set_session(ssl, copy) == 1;
    SSL_SESSION_free(copy);
    return ok;
}

bool tls_client_ssl_set(SSL *ssl, const struct tls_msg *msg) {
    const char *name = msg->server_name;

    SSL_set_connect_state(ssl);
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    ASN1_OCTET_STRING *address = a2i_IPADDRESS(name);
    bool is_address = address != NULL;
    ASN1_OCTET_STRING_free(address);
    ERR_clear_error();
    if (is_address) { /* RFC 6066 section 3: not to be sent */
        if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) != 1)
            return false;
    } else if (name[0] != 0) {
        if (SSL_set1_host(ssl, name) != 1 ||
            SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, (void *)(uintptr_t)name) != 1)
            return false;
    }
    return offer(ssl, msg);
}

enum tls_drop tls_client_verify_drop(const SSL *ssl) {
    switch (SSL_get_verify_result(ssl)) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return TLS_DROP_HS_CERT_NAME;
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return TLS_DROP_HS_CERT_EXPIRED;
    default:
        return TLS_DROP_HS_CERT_UNTRUSTED;
    }
}
