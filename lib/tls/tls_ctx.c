/* SPDX-License-Identifier: BSD-3-Clause */
/* Contexts: certificate, key and policy of a listener, as an SSL_CTX. */
#include "tls_msg.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_CIPHERS      "ECDHE+AESGCM:ECDHE+CHACHA20"
#define DEFAULT_CIPHERSUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

static uint8_t hex_digit(char c) {
    return (uint8_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

/* Lines of the NSS key log, "LABEL client_random secret" in hex: how libssl tells the application secrets of TLS 1.3.
 * They go to the message that owns the SSL object and nowhere else. */
static void keylog(const SSL *ssl, const char *line) {
    static const char *const labels[2] = {
        [TLS_READ] = "CLIENT_TRAFFIC_SECRET_0 ",
        [TLS_WRITE] = "SERVER_TRAFFIC_SECRET_0 ",
    };
    struct tls_msg *msg = SSL_get_app_data(ssl);

    for (int dir = TLS_READ; dir <= TLS_WRITE; dir++) {
        if (strncmp(line, labels[dir], strlen(labels[dir])) != 0)
            continue;
        const char *hex = strrchr(line, ' ') + 1;
        size_t n = strlen(hex) / 2;
        if (n > TLS_SECRET_MAX)
            return;
        for (size_t i = 0; i < n; i++)
            msg->secret[dir][i] = (uint8_t)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
        msg->secret_bytes[dir] = (uint8_t)n;
    }
}

/* Never ask at a terminal for a passphrase. */
static int no_passphrase(char *buffer, int bytes, int writing, void *user) {
    (void)buffer;
    (void)bytes;
    (void)writing;
    *(bool *)user = true;
    return -1;
}

/* Why the last call failed; an error of the file system rather than what followed from it. */
static const char *reason(void) {
    unsigned long first = ERR_peek_error();
    const char *text = ERR_SYSTEM_ERROR(first) ? strerror(ERR_GET_REASON(first)) : ERR_reason_error_string(first);

    return text ? text : "unknown reason";
}

static bool load_files(SSL_CTX *ssl, const struct tls_ctx_config *config, char *error, size_t error_bytes) {
    bool encrypted = false;

    SSL_CTX_set_default_passwd_cb(ssl, no_passphrase);
    SSL_CTX_set_default_passwd_cb_userdata(ssl, &encrypted);
    if (SSL_CTX_use_certificate_chain_file(ssl, config->certificate_file) != 1) {
        snprintf(error, error_bytes, "certificate %s: %s; it must be a readable PEM file, own certificate first",
                 config->certificate_file, reason());
        return false;
    }
    ERR_clear_error();
    if (SSL_CTX_use_PrivateKey_file(ssl, config->key_file, SSL_FILETYPE_PEM) != 1) {
        if (encrypted)
            snprintf(error, error_bytes, "key %s: encrypted; store it without a passphrase, readable by weir alone",
                     config->key_file);
        else if (ERR_GET_REASON(ERR_peek_error()) == X509_R_KEY_VALUES_MISMATCH)
            snprintf(error, error_bytes, "key %s does not belong to certificate %s; give a matching pair",
                     config->key_file, config->certificate_file);
        else
            snprintf(error, error_bytes, "key %s: %s; it must be a readable PEM file with one private key",
                     config->key_file, reason());
        return false;
    }
    SSL_CTX_set_default_passwd_cb_userdata(ssl, NULL);
    if (SSL_CTX_check_private_key(ssl) != 1) {
        snprintf(error, error_bytes, "key %s does not belong to certificate %s; give a matching pair", config->key_file,
                 config->certificate_file);
        return false;
    }
    return true;
}

static bool set_policy(SSL_CTX *ssl, const struct tls_ctx_config *config, char *error, size_t error_bytes) {
    const char *ciphers = config->ciphers ? config->ciphers : DEFAULT_CIPHERS;
    const char *suites = config->ciphersuites ? config->ciphersuites : DEFAULT_CIPHERSUITES;
    uint16_t min_version = config->min_version ? config->min_version : TLS_V12;

    if (min_version != TLS_V12 && min_version != TLS_V13) {
        snprintf(error, error_bytes, "min_version 0x%04x: only TLS 1.2 (0x0303) and 1.3 (0x0304) are spoken",
                 min_version);
        return false;
    }
    if (SSL_CTX_set_cipher_list(ssl, ciphers) != 1) {
        snprintf(error, error_bytes, "ciphers \"%s\": no TLS 1.2 suite matches; see openssl-ciphers(1)", ciphers);
        return false;
    }
    if (SSL_CTX_set_ciphersuites(ssl, suites) != 1) {
        snprintf(error, error_bytes, "ciphersuites \"%s\": not a list of TLS 1.3 suites; the default is %s", suites,
                 DEFAULT_CIPHERSUITES);
        return false;
    }
    SSL_CTX_set_min_proto_version(ssl, min_version);
    SSL_CTX_set_max_proto_version(ssl, TLS_V13);
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF); /* tickets carry the sessions */
    SSL_CTX_set_max_early_data(ssl, 0);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_keylog_callback(ssl, keylog);
    /* A ticket is for the listener that sealed it. */
    size_t name_bytes = config->name ? strlen(config->name) : 0;
    SSL_CTX_set_session_id_context(
        ssl, (const unsigned char *)config->name,
        (unsigned)(name_bytes < SSL_MAX_SID_CTX_LENGTH ? name_bytes : SSL_MAX_SID_CTX_LENGTH));
    return true;
}

struct tls_ctx *tls_ctx_new(const struct tls_ctx_config *config, char *error, size_t error_bytes) {
    struct tls_ctx *ctx = calloc(1, sizeof(*ctx));
    SSL_CTX *ssl = ctx ? SSL_CTX_new(TLS_server_method()) : NULL;

    ERR_clear_error();
    if (ssl == NULL)
        snprintf(error, error_bytes, "out of memory");
    if (ssl == NULL || !load_files(ssl, config, error, error_bytes) || !set_policy(ssl, config, error, error_bytes)) {
        ERR_clear_error();
        SSL_CTX_free(ssl);
        free(ctx);
        return NULL;
    }
    ctx->ssl = ssl;
    atomic_init(&ctx->references, 1);
    return ctx;
}

int64_t tls_ctx_expires_in_s(const struct tls_ctx *ctx) {
    int days = 0, seconds = 0;
    const X509 *certificate = SSL_CTX_get0_certificate(ctx->ssl);

    ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(certificate));
    return (int64_t)days * 86400 + seconds;
}

void tls_ctx_ref(struct tls_ctx *ctx) {
    atomic_fetch_add_explicit(&ctx->references, 1, memory_order_relaxed);
}

void tls_ctx_unref(struct tls_ctx *ctx) {
    if (ctx == NULL || atomic_fetch_sub_explicit(&ctx->references, 1, memory_order_acq_rel) != 1)
        return;
    SSL_CTX_free(ctx->ssl);
    free(ctx);
}

SSL *tls_ctx_ssl_new(struct tls_ctx *ctx, struct tls_msg *msg) {
    SSL *ssl = SSL_new(ctx->ssl);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());

    if (ssl == NULL || in == NULL || out == NULL) {
        SSL_free(ssl);
        BIO_free(in);
        BIO_free(out);
        return NULL;
    }
    SSL_set_bio(ssl, in, out);
    SSL_set_accept_state(ssl);
    SSL_set_app_data(ssl, msg);
    return ssl;
}
