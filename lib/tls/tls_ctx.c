/* SPDX-License-Identifier: BSD-3-Clause */
/* Contexts: certificates and policy of a listener, as an SSL_CTX for each set of certificates (tls_certs.h); and what
 * clients' have in common with it. */
#include "tls_certs.h"
#include "tls_key_log.h"
#include "tls_psk.h"
#include "tls_srp.h"
#include "tls_ticket_keys.h"
#include "tls_verify.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_CIPHERS      "ECDHE+AESGCM:ECDHE+CHACHA20"
#define PSK_CIPHERS          "ECDHEPSK+CHACHA20:DHEPSK+AESGCM:PSK+AESGCM:PSK+CHACHA20"
#define SRP_CIPHERS          "SRP+aRSA:aSRP"
#define SUITE_BITS_MIN       112 /* of an effective key */
#define DEFAULT_GROUPS       "X25519:P-256:P-384"
#define CONTEXT_NAME_MAX     256u /* of a context's name, what tells sessions apart */
#define DEFAULT_CIPHERSUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

static uint8_t hex_digit(char c) {
    return (uint8_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

/* Lines of the NSS key log, "LABEL client_random secret" in hex: how libssl tells the application secrets of TLS 1.3.
 * They go to the message that owns the SSL object and nowhere else, but where a key_log is asked for. */
static void keylog(const SSL *ssl, const char *line) {
    static const char *const clients = "CLIENT_TRAFFIC_SECRET_0 ", *const servers = "SERVER_TRAFFIC_SECRET_0 ";
    const char *const labels[2] = {
        [TLS_READ] = SSL_is_server(ssl) ? clients : servers,
        [TLS_WRITE] = SSL_is_server(ssl) ? servers : clients,
    };
    struct tls_msg *msg = SSL_get_app_data(ssl);

    if (msg->ctx->key_log)
        tls_key_log_line(msg->ctx->key_log, line);
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

/* What libssl tells on its way: of that, the alerts it has read and written, to be counted. */
static void progress(const SSL *ssl, int where, int value) {
    if (where == SSL_CB_READ_ALERT || where == SSL_CB_WRITE_ALERT)
        tls_msg_alert(SSL_get_app_data(ssl), where == SSL_CB_READ_ALERT ? TLS_READ : TLS_WRITE,
                      (uint8_t)(value & UINT8_MAX)); /* above is the level */
}

/* An error of the file system rather than what followed from it. */
const char *tls_ctx_reason(void) {
    unsigned long first = ERR_peek_error();
    const char *text = ERR_SYSTEM_ERROR(first) ? strerror(ERR_GET_REASON(first)) : ERR_reason_error_string(first);

    return text ? text : "unknown reason";
}

/* What is wrong with a suite whoever is in the middle could read or be part of; NULL: nothing. Lists name such suites
 * by the way: "ALL" and "HIGH" hold anonymous ones. */
static const char *suite_fault(const SSL_CIPHER *suite) {
    if (SSL_CIPHER_get_bits(suite, NULL) == 0)
        return "does not encrypt";
    if (SSL_CIPHER_get_auth_nid(suite) == NID_auth_null)
        return "authenticates nobody";
    return SSL_CIPHER_get_bits(suite, NULL) < SUITE_BITS_MIN ? "encrypts with a key that can be guessed" : NULL;
}

static bool suites_good(const SSL_CTX *ssl, const char *ciphers, char *error, size_t error_bytes) {
    STACK_OF(SSL_CIPHER) *suites = SSL_CTX_get_ciphers(ssl);

    for (int i = 0; i < sk_SSL_CIPHER_num(suites); i++) {
        const SSL_CIPHER *suite = sk_SSL_CIPHER_value(suites, i);
        const char *fault = suite_fault(suite);
        if (fault) {
            snprintf(error, error_bytes, "ciphers \"%s\": %s %s; append :!aNULL:!eNULL, or leave it out", ciphers,
                     SSL_CIPHER_get_name(suite), fault);
            return false;
        }
    }
    return true;
}

bool tls_ctx_set_policy(SSL_CTX *ssl, uint16_t min_version, const char *ciphers, const char *suites, char *error,
                        size_t error_bytes) {
    if (ciphers == NULL)
        ciphers = DEFAULT_CIPHERS;
    if (suites == NULL)
        suites = DEFAULT_CIPHERSUITES;
    if (min_version == 0)
        min_version = TLS_V12;
    if (min_version != TLS_V12 && min_version != TLS_V13) {
        snprintf(error, error_bytes, "min_version 0x%04x: only TLS 1.2 (0x0303) and 1.3 (0x0304) are spoken",
                 min_version);
        return false;
    }
    if (SSL_CTX_set_cipher_list(ssl, ciphers) != 1) {
        snprintf(error, error_bytes, "ciphers \"%s\": no TLS 1.2 suite matches; see openssl-ciphers(1)", ciphers);
        return false;
    }
    if (!suites_good(ssl, ciphers, error, error_bytes))
        return false;
    if (SSL_CTX_set_ciphersuites(ssl, suites) != 1) {
        snprintf(error, error_bytes, "ciphersuites \"%s\": not a list of TLS 1.3 suites; the default is %s", suites,
                 DEFAULT_CIPHERSUITES);
        return false;
    }
    if (!tls_record_size_offer(ssl)) {
        snprintf(error, error_bytes, "out of memory");
        return false;
    }
    SSL_CTX_set_min_proto_version(ssl, min_version);
    SSL_CTX_set_max_proto_version(ssl, TLS_V13);
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_max_cert_list(ssl, TLS_MESSAGE_MAX);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_dh_auto(ssl, 1); /* DHE where the lists name it: a group as strong as the rest (RFC 7919) */
    SSL_CTX_set_keylog_callback(ssl, keylog);
    SSL_CTX_set_info_callback(ssl, progress);
    return true;
}

bool tls_ctx_set_groups(SSL_CTX *ssl, const char *groups, char *error, size_t error_bytes) {
    if (SSL_CTX_set1_groups_list(ssl, groups ? groups : DEFAULT_GROUPS) == 1)
        return true;
    snprintf(error, error_bytes, "groups \"%s\": not a list of groups that libssl knows, each once; the default is %s",
             groups, DEFAULT_GROUPS);
    return false;
}

static uint32_t rotate_s(const struct tls_ctx_config *config) {
    return config->ticket_rotate_s ? config->ticket_rotate_s : TLS_TICKET_ROTATE_S;
}

/* Those of the context before, so that what it sealed can be opened; a file is read again. */
static struct tls_ticket_keys *ticket_keys_of(const struct tls_ctx_config *config, char *error, size_t error_bytes) {
    struct tls_ticket_keys *old = config->old ? config->old->ticket_keys : NULL;

    if (old == NULL || !tls_ticket_keys_are(old, config->ticket_keys_file, rotate_s(config)))
        return tls_ticket_keys_new(config->ticket_keys_file, rotate_s(config), error, error_bytes);
    if (config->ticket_keys_file && !tls_ticket_keys_read(old, error, error_bytes) && config->told)
        config->told(config->told_arg, TLS_TOLD_REFUSED, error);
    return tls_ticket_keys_ref(old);
}

/* A session is for the listener that it was made under, and its rules for clients. The same on every machine that is
 * configured so, and in all sets: which certificate there was says nothing of the client, and is another one as soon as
 * it is renewed. That sessions of 1.2 stay with their server name is looked at in tls_verify.c; in 1.3 they need not
 * (RFC 8446 section 4.2.11): whether the name is the server's that it knows is for the client to say (section 4.6.1).
 */
static bool set_sessions(SSL_CTX *ssl, const struct tls_ctx *ctx, const struct tls_ctx_config *config) {
    uint8_t told[CONTEXT_NAME_MAX + 1 + 32] = {0}, mark[SSL_MAX_SID_CTX_LENGTH];

    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF); /* tickets carry the sessions */
    SSL_CTX_set_max_early_data(ssl, 0);
    tls_ticket_keys_offer(ssl, config->tickets ? *config->tickets : TLS_TICKETS, rotate_s(config));
    snprintf((char *)told, CONTEXT_NAME_MAX + 1, "%s", config->name ? config->name : "");
    memcpy(told + sizeof(told) - 32, tls_verify_mark(ctx->verifier), 32);
    return EVP_Digest(told, sizeof(told), mark, NULL, EVP_sha256(), NULL) == 1 &&
           SSL_CTX_set_session_id_context(ssl, mark, sizeof(mark)) == 1;
}

static const char *ciphers_of(const struct tls_ctx_config *config) {
    static const char *const lists[2][2] = {
        {DEFAULT_CIPHERS, DEFAULT_CIPHERS ":" SRP_CIPHERS},
        {DEFAULT_CIPHERS ":" PSK_CIPHERS, DEFAULT_CIPHERS ":" PSK_CIPHERS ":" SRP_CIPHERS},
    };

    return config->ciphers ? config->ciphers : lists[config->psk_file != NULL][config->srp_file != NULL];
}

static void warn(const struct tls_ctx_config *config, const char *text) {
    if (config->told)
        config->told(config->told_arg, TLS_TOLD_WARNING, text);
}

/* What the same file held before serves on where it is refused now. One bad file is no reason to do without what the
 * others say: that somebody is revoked, or a renewed certificate. */
static bool serves_on(const struct tls_ctx_config *config, bool same_file, const char *error) {
    if (!same_file)
        return false;
    ERR_clear_error();
    if (config->told)
        config->told(config->told_arg, TLS_TOLD_REFUSED, error);
    return true;
}

static struct tls_psk *psk_of(const struct tls_ctx_config *config, char *error, size_t error_bytes) {
    struct tls_psk *old = config->old ? config->old->psk : NULL;
    uint32_t weak = 0;
    struct tls_psk *psk = tls_psk_new(config->psk_file, &weak, error, error_bytes);
    char text[512];

    if (psk == NULL)
        return serves_on(config, old && tls_psk_is_of(old, config->psk_file), error) ? tls_psk_ref(old) : NULL;
    if (weak > 0) {
        snprintf(text, sizeof(text), "psk_file %s: %u keys are shorter than %u bytes and can be guessed",
                 config->psk_file, weak, TLS_PSK_KEY_GOOD);
        warn(config, text);
    }
    return psk;
}

static struct tls_srp *srp_of(const struct tls_ctx_config *config, char *error, size_t error_bytes) {
    struct tls_srp *old = config->old ? config->old->srp : NULL;
    struct tls_srp *srp = tls_srp_new(config->srp_file, error, error_bytes);

    if (srp == NULL && serves_on(config, old && tls_srp_is_of(old, config->srp_file), error))
        return tls_srp_ref(old);
    return srp;
}

/* CAs and their CRLs belong together. */
static struct tls_verify *verifier_of(const struct tls_ctx_config *config, char *error, size_t error_bytes) {
    struct tls_verify *old = config->old ? config->old->verifier : NULL;
    struct tls_verify *verifier = tls_verify_new(config, error, error_bytes);

    if (verifier == NULL && serves_on(config, old && tls_verify_is_of(old, config), error))
        return tls_verify_ref(old);
    return verifier;
}

/* Clients' keys, and where all keys are written. */
static bool keys_load(struct tls_ctx *ctx, const struct tls_ctx_config *config, char *error, size_t error_bytes) {
    char text[512];

    if (config->psk_file && (ctx->psk = psk_of(config, error, error_bytes)) == NULL)
        return false;
    if (config->srp_file && (ctx->srp = srp_of(config, error, error_bytes)) == NULL)
        return false;
    if (config->key_log_file == NULL)
        return true;
    snprintf(text, sizeof(text), "key_log: the keys of all connections are written to %s; whoever reads it reads them",
             config->key_log_file);
    warn(config, text);
    ctx->key_log = tls_key_log_open(config->key_log_file, error, error_bytes);
    return ctx->key_log != NULL;
}

static bool suite_serves(const struct tls_ctx *ctx, const struct tls_set *set, const SSL_CIPHER *suite) {
    struct tls_cert *const *certs = set->certs;

    switch (SSL_CIPHER_get_auth_nid(suite)) {
    case NID_auth_rsa:
        return certs[TLS_KEY_RSA] || certs[TLS_KEY_RSA_PSS];
    case NID_auth_ecdsa: /* RFC 8422 section 5.10: Edwards curves too */
        return certs[TLS_KEY_EC] || certs[TLS_KEY_ED25519] || certs[TLS_KEY_ED448];
    case NID_auth_psk:
        return ctx->psk != NULL;
    case NID_auth_srp:
        return ctx->srp != NULL;
    default: /* of TLS 1.3, which says nothing of certificates */
        return false;
    }
}

/* Suites of TLS 1.2 name the kind of the certificate. Where none goes with what there is, libssl would tell it to one
 * client after the other, and to nobody else. */
static void warn_barren(const struct tls_ctx *ctx, const struct tls_ctx_config *config, const struct tls_set *set) {
    STACK_OF(SSL_CIPHER) *suites = SSL_CTX_get_ciphers(set->ssl);
    const char *file = "";
    char text[512];

    if (config->min_version == TLS_V13)
        return;
    for (int i = 0; i < sk_SSL_CIPHER_num(suites); i++)
        if (suite_serves(ctx, set, sk_SSL_CIPHER_value(suites, i)))
            return;
    for (unsigned kind = TLS_KEY_KINDS; kind-- > 0;)
        file = set->certs[kind] ? set->certs[kind]->info.certificate_file : file;
    snprintf(
        text, sizeof(text),
        "ciphers \"%s\": none goes with certificate %s, so clients of TLS 1.2 are refused; with an RSA key it takes "
        "suites of aRSA, with any other of aECDSA",
        ciphers_of(config), file);
    warn(config, text);
}

/* The SSL_CTX of one set. What libssl takes from the SSL_CTX in the course of a handshake rather than at its beginning
 * must be the same in all sets of a context: so everything is set in each. */
static SSL_CTX *set_ssl_new(struct tls_ctx *ctx, const struct tls_ctx_config *config, struct tls_set *set, char *error,
                            size_t error_bytes) {
    SSL_CTX *ssl = SSL_CTX_new(TLS_server_method());

    if (ssl && config->security_level)
        SSL_CTX_set_security_level(ssl, *config->security_level);
    if (ssl &&
        tls_ctx_set_policy(ssl, config->min_version, ciphers_of(config), config->ciphersuites, error, error_bytes) &&
        tls_ctx_set_groups(ssl, config->groups, error, error_bytes) && tls_set_use(set, ssl, error, error_bytes) &&
        set_sessions(ssl, ctx, config) && tls_verify_offer(ssl, ctx->verifier)) {
        tls_certs_offer(ssl, ctx->certs);
        tls_ocsp_offer(ssl, set);
        tls_alpn_offer(ssl, ctx->alpn);
        if (ctx->psk)
            tls_psk_offer(ssl);
        if (ctx->srp)
            tls_srp_offer(ssl);
        return ssl;
    }
    SSL_CTX_free(ssl);
    return NULL;
}

struct tls_ctx *tls_ctx_wrap(SSL_CTX *ssl) {
    struct tls_ctx *ctx = calloc(1, sizeof(*ctx));

    if (ctx == NULL)
        return NULL;
    ctx->ssl = ssl;
    atomic_init(&ctx->references, 1);
    return ctx;
}

static bool fill(struct tls_ctx *ctx, const struct tls_ctx_config *config, char *error, size_t error_bytes) {
    ctx->certs = calloc(1, sizeof(*ctx->certs));
    ctx->alpn = calloc(1, sizeof(*ctx->alpn));
    ctx->tell_names = config->tell_names;
    ctx->keep_alt_names = config->keep_alt_names;
    ctx->keep_certificate = config->keep_certificate;
    if (ctx->certs == NULL || ctx->alpn == NULL || !tls_alpn_pack(ctx->alpn, config, error, error_bytes) ||
        !tls_certs_load(ctx->certs, config, error, error_bytes) || !keys_load(ctx, config, error, error_bytes) ||
        (ctx->verifier = verifier_of(config, error, error_bytes)) == NULL ||
        (ctx->ticket_keys = ticket_keys_of(config, error, error_bytes)) == NULL)
        return false;
    for (uint32_t i = 0; i < ctx->certs->n_sets; i++) {
        struct tls_set *set = &ctx->certs->sets[i];
        if ((set->ssl = set_ssl_new(ctx, config, set, error, error_bytes)) == NULL)
            return false;
        warn_barren(ctx, config, set);
    }
    ctx->ssl = ctx->certs->sets[0].ssl;
    return SSL_CTX_up_ref(ctx->ssl) == 1;
}

struct tls_ctx *tls_ctx_new(const struct tls_ctx_config *config, char *error, size_t error_bytes) {
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

const struct tls_cert_info *tls_ctx_cert(const struct tls_ctx *ctx, uint32_t i) {
    return ctx->certs && i < ctx->certs->n_certs ? &ctx->certs->certs[i]->info : NULL;
}

static int64_t expires_in_s(const X509 *certificate) {
    int days = 0, seconds = 0;

    ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(certificate));
    return (int64_t)days * 86400 + seconds;
}

int64_t tls_ctx_expires_in_s(const struct tls_ctx *ctx) {
    int64_t least_s = INT64_MAX;

    for (uint32_t i = 0; ctx->certs && i < ctx->certs->n_certs; i++) {
        int64_t s = expires_in_s(ctx->certs->certs[i]->x509);
        least_s = s < least_s ? s : least_s;
    }
    return least_s;
}

void tls_ctx_tick(struct tls_ctx *ctx, uint64_t now_us) {
    if (ctx->ticket_keys)
        tls_ticket_keys_tick(ctx->ticket_keys, now_us);
}

void tls_ctx_ref(struct tls_ctx *ctx) {
    atomic_fetch_add_explicit(&ctx->references, 1, memory_order_relaxed);
}

bool tls_ctx_shared(const struct tls_ctx *ctx) {
    return atomic_load_explicit(&ctx->references, memory_order_acquire) > 1;
}

void tls_ctx_unref(struct tls_ctx *ctx) {
    if (ctx == NULL || atomic_fetch_sub_explicit(&ctx->references, 1, memory_order_acq_rel) != 1)
        return;
    SSL_CTX_free(ctx->ssl);
    tls_certs_free(ctx->certs);
    tls_ticket_keys_unref(ctx->ticket_keys);
    tls_verify_unref(ctx->verifier);
    tls_psk_unref(ctx->psk);
    tls_srp_unref(ctx->srp);
    tls_key_log_close(ctx->key_log);
    if (ctx->alpn)
        free(ctx->alpn->wire);
    free(ctx->alpn);
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
    SSL_set_app_data(ssl, msg);
    if (!ctx->client) {
        SSL_set_accept_state(ssl);
    } else if (!tls_client_ssl_set(ssl, msg)) {
        SSL_free(ssl);
        return NULL;
    }
    return ssl;
}
