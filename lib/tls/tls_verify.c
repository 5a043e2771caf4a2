/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_verify.h"
#include "tls_certs.h"
#include "tls_srp.h"
#include "tls_vault.h"

#include <endian.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MARK_BYTES         32
#define SESSION_LIFE_MAX_S 604800 /* after the full handshake: 7 days, as a ticket (RFC 8446 section 4.6.1) */

struct tls_verify {
    atomic_uint references;
    char *ca_file, *crl_file; /* NULL: none */
    enum tls_client_certificates mode;
    int depth;
    X509_STORE *trust;             /* CAs and CRLs; NULL: mode is off */
    STACK_OF(X509_NAME) * issuers; /* told to clients (RFC 8446 section 4.2.4) */
    STACK_OF(X509) * cas;          /* as in `trust`, whose own list libcrypto sorts when it looks something up */
    STACK_OF(X509_CRL) * crls;
    uint8_t mark[MARK_BYTES];
};

/* --- loading --- */

/* One after the other of a PEM file's objects. Returns how many `add` took, or -1: one is broken, or it is no file. */
static int pem_each(const char *file, bool (*add)(struct tls_verify *, BIO *), struct tls_verify *verify) {
    int n = 0;

    ERR_clear_error();
    BIO *bio = BIO_new_file(file, "r");
    if (bio == NULL)
        return -1;
    while (add(verify, bio))
        n++;
    bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    BIO_free(bio);
    if (at_end)
        ERR_clear_error();
    return at_end ? n : -1;
}

static bool ca_add(struct tls_verify *verify, BIO *bio) {
    X509 *ca = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    X509_NAME *name = ca ? X509_NAME_dup(X509_get_subject_name(ca)) : NULL;
    bool ok = name && X509_STORE_add_cert(verify->trust, ca) == 1 &&
              X509_add_cert(verify->cas, ca, X509_ADD_FLAG_UP_REF) == 1;

    if (!ok || sk_X509_NAME_push(verify->issuers, name) == 0) {
        X509_NAME_free(name);
        ok = false;
    }
    X509_free(ca);
    return ok;
}

static bool crl_add(struct tls_verify *verify, BIO *bio) {
    X509_CRL *crl = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL);

    if (crl == NULL)
        return false;
    if (X509_STORE_add_crl(verify->trust, crl) == 1 && sk_X509_CRL_push(verify->crls, crl) > 0)
        return true;
    X509_CRL_free(crl);
    return false;
}

static const char *why_not(int n, const char *none) {
    return n == 0 ? none : tls_ctx_reason();
}

static bool load(struct tls_verify *verify, const struct tls_ctx_config *config, char *error, size_t error_bytes) {
    int n = pem_each(config->client_ca_file, ca_add, verify);

    if (n <= 0) {
        snprintf(error, error_bytes, "client_ca %s: %s; it must be a readable PEM file of CA certificates",
                 config->client_ca_file, why_not(n, "no PEM block of a certificate found"));
        return false;
    }
    if (config->client_crl_file == NULL)
        return true;
    n = pem_each(config->client_crl_file, crl_add, verify);
    if (n <= 0) {
        snprintf(error, error_bytes, "client_crl %s: %s; it must be a readable PEM file of CRLs",
                 config->client_crl_file, why_not(n, "no PEM block of a CRL found"));
        return false;
    }
    return true;
}

/* Sessions are for the same CAs, asked for the same way. A CRL may change: it is looked at each time. */
static bool mark_make(struct tls_verify *verify) {
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    uint8_t how[2] = {(uint8_t)verify->mode, (uint8_t)verify->depth}, hash[EVP_MAX_MD_SIZE];
    STACK_OF(X509_OBJECT) *objects = verify->trust ? X509_STORE_get0_objects(verify->trust) : NULL;
    unsigned n;
    bool ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 && EVP_DigestUpdate(md, how, sizeof(how)) == 1;

    for (int i = 0; ok && i < sk_X509_OBJECT_num(objects); i++) {
        const X509 *ca = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
        ok = ca == NULL || (X509_digest(ca, EVP_sha256(), hash, &n) == 1 && EVP_DigestUpdate(md, hash, n) == 1);
    }
    ok = ok && EVP_DigestFinal_ex(md, verify->mark, NULL) == 1;
    EVP_MD_CTX_free(md);
    return ok;
}

static int depth_of(const struct tls_ctx_config *config) {
    return config->client_depth ? *config->client_depth : TLS_CLIENT_DEPTH;
}

struct tls_verify *tls_verify_new(const struct tls_ctx_config *config, char *error, size_t error_bytes) {
    struct tls_verify *verify = calloc(1, sizeof(*verify));
    bool ok = verify != NULL;

    snprintf(error, error_bytes, "out of memory");
    if (ok)
        atomic_init(&verify->references, 1);
    if (ok && config->client_certificates != TLS_CLIENT_CERTIFICATES_OFF) {
        verify->mode = config->client_certificates;
        verify->depth = depth_of(config);
        verify->ca_file = strdup(config->client_ca_file);
        verify->crl_file = config->client_crl_file ? strdup(config->client_crl_file) : NULL;
        verify->trust = X509_STORE_new();
        verify->issuers = sk_X509_NAME_new_null();
        verify->cas = sk_X509_new_null();
        verify->crls = sk_X509_CRL_new_null();
        ok = verify->ca_file && (verify->crl_file || config->client_crl_file == NULL) && verify->trust &&
             verify->issuers && verify->cas && verify->crls && load(verify, config, error, error_bytes);
        if (ok && config->client_crl_file)
            X509_STORE_set_flags(verify->trust, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    }
    if (!ok || !mark_make(verify)) {
        tls_verify_unref(verify);
        return NULL;
    }
    return verify;
}

struct tls_verify *tls_verify_ref(struct tls_verify *verify) {
    atomic_fetch_add_explicit(&verify->references, 1, memory_order_relaxed);
    return verify;
}

void tls_verify_unref(struct tls_verify *verify) {
    if (verify == NULL || atomic_fetch_sub_explicit(&verify->references, 1, memory_order_acq_rel) != 1)
        return;
    free(verify->ca_file);
    free(verify->crl_file);
    X509_STORE_free(verify->trust);
    sk_X509_NAME_pop_free(verify->issuers, X509_NAME_free);
    sk_X509_pop_free(verify->cas, X509_free);
    sk_X509_CRL_pop_free(verify->crls, X509_CRL_free);
    free(verify);
}

static bool same(const char *a, const char *b) {
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

bool tls_verify_is_of(const struct tls_verify *verify, const struct tls_ctx_config *config) {
    return verify->mode == config->client_certificates && verify->depth == depth_of(config) &&
           same(verify->ca_file, config->client_ca_file) && same(verify->crl_file, config->client_crl_file);
}

const uint8_t *tls_verify_mark(const struct tls_verify *verify) {
    return verify->mark;
}

/* --- in a handshake --- */

/* Does a list of its issuer's that has not expired say nothing of it, and none that it is revoked? */
static bool listed_good(const struct tls_verify *verify, X509 *x509) {
    X509_REVOKED *entry;
    bool listed = false;

    for (int i = 0; i < sk_X509_CRL_num(verify->crls); i++) {
        X509_CRL *crl = sk_X509_CRL_value(verify->crls, i);
        const ASN1_TIME *until = X509_CRL_get0_nextUpdate(crl);
        if (X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_issuer_name(x509)) != 0)
            continue;
        if (X509_CRL_get0_by_cert(crl, &entry, x509) == 1)
            return false;
        listed |= until == NULL || X509_cmp_current_time(until) > 0;
    }
    return listed;
}

static X509 *issuer_of(const struct tls_verify *verify, X509 *x509) {
    for (int i = 0; i < sk_X509_num(verify->cas); i++)
        if (X509_check_issued(sk_X509_value(verify->cas, i), x509) == X509_V_OK)
            return sk_X509_value(verify->cas, i);
    return NULL;
}

/* May a session still stand for this certificate, as far as lists can tell? Those above it are not in the session: they
 * are looked for among the CAs, and where one is not there, nobody can say that it is not revoked. */
static bool still_good(const struct tls_verify *verify, X509 *x509) {
    for (int above = 0; above <= verify->depth + 1; above++) {
        if (X509_cmp_current_time(X509_get0_notAfter(x509)) <= 0)
            return false;
        if (sk_X509_CRL_num(verify->crls) == 0)
            return true;
        X509 *issuer = issuer_of(verify, x509);
        if (issuer == NULL || !listed_good(verify, x509))
            return false;
        if (X509_check_issued(issuer, issuer) == X509_V_OK)
            return true;
        x509 = issuer;
    }
    return false;
}

/* What a ticket keeps of the full handshake besides the client's certificate, which it has by itself; between the
 * machines of a fleet, so in network order. The name is as long as it is, and neither it nor the mark is there where
 * there is no PSK or SRP. */
struct kept {
    uint64_t since_s_be; /* when that was, seconds since 1970, however often it was resumed */
    uint64_t until_s_be; /* when the first certificate of the client's chain expires; FOREVER: it has none */
    uint8_t mark[TLS_PSK_MARK_BYTES]; /* whose key, or password, it is */
    char name[TLS_PSK_NAME_MAX + 1];
};
#define FOREVER INT64_MAX

/* false: it is none of these. So are tickets of weir before it kept them: nobody knows when their clients proved who
 * they are, so they do it now. */
static bool kept_read(SSL_SESSION *session, struct kept *kept) {
    const size_t least = offsetof(struct kept, mark), name = offsetof(struct kept, name);
    void *data;
    size_t n;

    if (SSL_SESSION_get0_ticket_appdata(session, &data, &n) != 1 ||
        (n != least && (n <= name || n > name + TLS_PSK_NAME_MAX)))
        return false;
    *kept = (struct kept){0};
    memcpy(kept, data, n);
    return true;
}

static int64_t chain_until(const SSL *ssl) {
    STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
    int64_t until_s = FOREVER;

    for (int i = 0; i < sk_X509_num(chain); i++) {
        int64_t s = tls_cert_seconds(X509_get0_notAfter(sk_X509_value(chain, i)));
        until_s = s < until_s ? s : until_s;
    }
    return until_s;
}

static bool holder_mark(const struct tls_ctx *ctx, const SSL_SESSION *session, struct kept *k) {
    const SSL_CIPHER *suite = SSL_SESSION_get0_cipher(session);

    if (suite && SSL_CIPHER_get_kx_nid(suite) == NID_kx_srp)
        return ctx->srp && tls_srp_mark(ctx->srp, k->name, k->mark);
    return ctx->psk && tls_psk_mark(ctx->psk, k->name, k->mark);
}

static bool kept_write(SSL *ssl) {
    const struct tls_msg *msg = SSL_get_app_data(ssl);
    SSL_SESSION *session = SSL_get_session(ssl);
    const char *psk = tls_psk_in_use(ssl, msg);
    size_t n = offsetof(struct kept, mark);
    struct kept k;

    if (!kept_read(session, &k)) /* it is not resumed */
        k = (struct kept){.since_s_be = htobe64((uint64_t)time(NULL)),
                          .until_s_be = htobe64((uint64_t)chain_until(ssl))};
    if (*psk) {
        n = offsetof(struct kept, name) + strlen(psk);
        snprintf(k.name, sizeof(k.name), "%s", psk);
        if (!holder_mark(msg->ctx, session, &k))
            return false;
    }
    return SSL_SESSION_set1_ticket_appdata(session, &k, n) == 1;
}

static int keep(SSL *ssl, void *arg) {
    (void)arg;
    if (!kept_write(ssl))
        return 0;
    tls_vault_enter(); /* libssl writes the session down, secret and all; tls_ticket_keys.c leaves */
    return 1;
}

/* Each resumption of 1.3 brings a new ticket: without an end of its own a secret that was stolen, or a chain that was
 * good once, would be good for ever. */
static bool still_fresh(const struct kept *kept) {
    int64_t now_s = time(NULL), since_s = (int64_t)be64toh(kept->since_s_be);

    return since_s >= now_s - SESSION_LIFE_MAX_S && since_s <= now_s + SESSION_LIFE_MAX_S /* clocks of a fleet */ &&
           now_s < (int64_t)be64toh(kept->until_s_be);
}

/* Who it was, if anybody. Returns false where that key is not in the file any more. */
static bool recall(struct tls_msg *msg, SSL_SESSION *session, const struct kept *kept) {
    struct kept now = *kept;

    msg->psk_new = false;
    msg->psk[0] = '\0';
    if (kept->name[0] == '\0')
        return true;
    if (!holder_mark(msg->ctx, session, &now) || CRYPTO_memcmp(now.mark, kept->mark, sizeof(now.mark)) != 0)
        return false;
    memcpy(msg->psk, kept->name, sizeof(msg->psk));
    return true;
}

/* libssl resumes a session of 1.2 with the suite that it was made with, whether it may still be used or not, and
 * whatever name the client asks for now (RFC 5246 appendix F.1.4; RFC 6066 section 3: not under another name). In 1.3
 * it chooses the suite anew, and a name is not the session's (RFC 8446 section 4.2.11). */
static bool still_offered(const SSL *ssl, const SSL_SESSION *session) {
    const struct tls_msg *msg = SSL_get_app_data(ssl);
    const char *name = SSL_SESSION_get0_hostname(session), *asked = msg->named ? msg->server_name : "";

    if (SSL_version(ssl) == TLS_V13)
        return true;
    return sk_SSL_CIPHER_find(SSL_get_ciphers(ssl), (SSL_CIPHER *)(uintptr_t)SSL_SESSION_get0_cipher(session)) >= 0 &&
           strcasecmp(name ? name : "", asked) == 0;
}

/* A resumed session is not verified again by libssl. What has changed since is looked at here, without any signature:
 * where it is not good any more, a full handshake follows, and says why. */
static SSL_TICKET_RETURN resume(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t name_bytes,
                                SSL_TICKET_STATUS status, void *arg) {
    const struct tls_verify *verify = arg;
    struct tls_msg *msg = SSL_get_app_data(ssl);
    struct kept kept;
    X509 *peer = session ? SSL_SESSION_get0_peer(session) : NULL;

    tls_vault_leave(); /* libssl has read what the ticket held; tls_ticket_keys.c entered */
    (void)name;
    (void)name_bytes;
    if (status == SSL_TICKET_EMPTY || status == SSL_TICKET_NO_DECRYPT)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
        return SSL_TICKET_RETURN_ABORT;
    if (!kept_read(session, &kept) || !still_fresh(&kept))
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    if (!still_offered(ssl, session) || !recall(msg, session, &kept))
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    if (peer == NULL && msg->psk[0] == '\0' && verify->mode == TLS_CLIENT_CERTIFICATES_REQUIRED)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    if (peer && verify->mode != TLS_CLIENT_CERTIFICATES_OFF && !still_good(verify, peer))
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    /* A ticket of 1.3 is for one use (RFC 8446 appendix C.4): each time there is a new one. */
    return status == SSL_TICKET_SUCCESS && SSL_version(ssl) != TLS_V13 ? SSL_TICKET_RETURN_USE
                                                                       : SSL_TICKET_RETURN_USE_RENEW;
}

/* libssl parses whatever comes with the client's certificate, and keeps it. No more is of use than a chain with its
 * root (RFC 8446 section 4.4.2). What is in its extensions becomes objects when it is verified, and these stay, too. */
static int chain_verify(X509_STORE_CTX *store, void *arg) {
    const struct tls_verify *verify = arg;
    const STACK_OF(X509) *certificates = X509_STORE_CTX_get0_untrusted(store);

    if (sk_X509_num(certificates) > verify->depth + 2) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_CHAIN_TOO_LONG);
        return 0;
    }
    if (!tls_limits_certificates(certificates)) {
        const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
        struct tls_msg *msg = SSL_get_app_data(ssl);
        msg->refused = TLS_DROP_HS_TOO_LONG;
        X509_STORE_CTX_set_error(store, X509_V_ERR_INVALID_EXTENSION);
        return 0;
    }
    return X509_verify_cert(store);
}

bool tls_verify_offer(SSL_CTX *ssl, struct tls_verify *verify) {
    if (SSL_CTX_set_session_ticket_cb(ssl, keep, resume, verify) != 1)
        return false;
    if (verify->mode == TLS_CLIENT_CERTIFICATES_OFF)
        return true;
    STACK_OF(X509_NAME) *issuers = SSL_dup_CA_list(verify->issuers);
    int required = verify->mode == TLS_CLIENT_CERTIFICATES_REQUIRED ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0;

    if (issuers == NULL || SSL_CTX_set1_verify_cert_store(ssl, verify->trust) != 1) {
        sk_X509_NAME_pop_free(issuers, X509_NAME_free);
        return false;
    }
    SSL_CTX_set_client_CA_list(ssl, issuers);
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | required, NULL);
    SSL_CTX_set_verify_depth(ssl, verify->depth);
    SSL_CTX_set_cert_verify_callback(ssl, chain_verify, verify);
    return true;
}

enum tls_drop tls_verify_drop(const SSL *ssl) {
    switch (SSL_get_verify_result(ssl)) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return TLS_DROP_HS_CLIENT_EXPIRED;
    case X509_V_ERR_CERT_REVOKED:
        return TLS_DROP_HS_CLIENT_REVOKED;
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_CRL_NOT_YET_VALID:
    case X509_V_ERR_CRL_SIGNATURE_FAILURE:
    case X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER:
        return TLS_DROP_HS_CLIENT_NO_CRL;
    case X509_V_ERR_CERT_CHAIN_TOO_LONG:
    case X509_V_ERR_PATH_LENGTH_EXCEEDED:
        return TLS_DROP_HS_CLIENT_DEPTH;
    case X509_V_ERR_INVALID_PURPOSE:
        return TLS_DROP_HS_CLIENT_PURPOSE;
    default:
        return TLS_DROP_HS_CLIENT_UNTRUSTED;
    }
}
