/* SPDX-License-Identifier: BSD-3-Clause */
/* One certificate with its key, as loaded from its files. */
#include "tls_certs.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static bool kind_of(const EVP_PKEY *key, enum tls_key_kind *kind) {
    static const char *const names[TLS_KEY_KINDS] = {"RSA", "RSA-PSS", "EC", "ED25519", "ED448"};

    for (int i = 0; i < TLS_KEY_KINDS; i++) {
        if (EVP_PKEY_is_a(key, names[i])) {
            *kind = (enum tls_key_kind)i;
            return true;
        }
    }
    return false;
}

/* "RSA 2048", "EC P-256", "ED25519". */
static void key_describe(const struct tls_cert *cert, char *out, size_t bytes) {
    const char *type = EVP_PKEY_get0_type_name(cert->key);
    char group[32];

    if (cert->kind == TLS_KEY_EC && EVP_PKEY_get_group_name(cert->key, group, sizeof(group), NULL) == 1) {
        const char *nist = EC_curve_nid2nist(OBJ_sn2nid(group));
        snprintf(out, bytes, "%s %s", type, nist ? nist : group);
    } else if (cert->kind <= TLS_KEY_RSA_PSS) {
        snprintf(out, bytes, "%s %d", type, EVP_PKEY_get_bits(cert->key));
    } else {
        snprintf(out, bytes, "%s", type);
    }
}

int64_t tls_cert_seconds(const ASN1_TIME *time) {
    struct tm tm;
    return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static void issuer_describe(const X509 *x509, char *out, size_t bytes) {
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;

    out[0] = 0;
    if (bio && X509_NAME_print_ex(bio, X509_get_issuer_name(x509), 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0) {
        long n = BIO_get_mem_data(bio, &text);
        snprintf(out, bytes, "%.*s", (int)n, text);
    }
    BIO_free(bio);
}

static void describe(struct tls_cert *cert) {
    struct tls_cert_info *info = &cert->info;
    BIGNUM *serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert->x509), NULL);
    char *hex = serial ? BN_bn2hex(serial) : NULL;

    snprintf(info->serial, sizeof(info->serial), "%s", hex ? hex : "");
    OPENSSL_free(hex);
    BN_free(serial);
    key_describe(cert, info->key_type, sizeof(info->key_type));
    issuer_describe(cert->x509, info->issuer, sizeof(info->issuer));
    info->not_before_s = tls_cert_seconds(X509_get0_notBefore(cert->x509));
    info->not_after_s = tls_cert_seconds(X509_get0_notAfter(cert->x509));
    X509_digest(cert->x509, EVP_sha256(), info->fingerprint, NULL);
    info->names = (const char *const *)cert->names;
}

/* By way of an SSL_CTX of its own: libssl judges pair, encryption and strength, and keeps nothing of another one. */
static bool pair_load(struct tls_cert *cert, const struct tls_ctx_config *config,
                      const struct tls_certificate_config *files, char *error, size_t error_bytes) {
    SSL_CTX *ssl = SSL_CTX_new(TLS_server_method());
    STACK_OF(X509) *chain = NULL;

    if (ssl && config->security_level)
        SSL_CTX_set_security_level(ssl, *config->security_level);
    if (ssl == NULL || !tls_pair_load(ssl, files->certificate_file, files->key_file, error, error_bytes)) {
        SSL_CTX_free(ssl);
        return false;
    }
    cert->x509 = SSL_CTX_get0_certificate(ssl);
    cert->key = SSL_CTX_get0_privatekey(ssl);
    X509_up_ref(cert->x509);
    EVP_PKEY_up_ref(cert->key);
    SSL_CTX_get0_chain_certs(ssl, &chain);
    bool ok = chain == NULL || (cert->chain = X509_chain_up_ref(chain)) != NULL;
    SSL_CTX_free(ssl);
    if (ok && !kind_of(cert->key, &cert->kind)) {
        snprintf(error, error_bytes, "certificate %s: a key of type %s; RSA, RSA-PSS, EC, ED25519 and ED448 serve",
                 files->certificate_file, EVP_PKEY_get0_type_name(cert->key));
        return false;
    }
    return ok;
}

static bool names_take(struct tls_cert *cert, const struct tls_certificate_config *files, char *error,
                       size_t error_bytes) {
    if (files->n_names == 0) {
        int n = tls_names_of(cert->x509, &cert->names);
        cert->info.n_names = n > 0 ? (uint32_t)n : 0;
        return n >= 0;
    }
    cert->names = calloc(files->n_names, sizeof(*cert->names));
    for (uint32_t i = 0; cert->names && i < files->n_names; i++) {
        char folded[TLS_NAME_MAX + 1];
        if (!tls_name_fold(files->names[i], strlen(files->names[i]), true, folded)) {
            snprintf(error, error_bytes,
                     "names \"%s\" of certificate %s: not a host name; a wildcard is *. in front of one",
                     files->names[i], files->certificate_file);
            return false;
        }
        if ((cert->names[i] = strdup(folded)) == NULL)
            return false;
        cert->info.n_names = i + 1;
    }
    return cert->names != NULL;
}

/* A response that does not serve is worth a word, but no reason to go without the certificate. Where an older one about
 * it still holds, that one stays. */
static void ocsp_take(struct tls_cert *cert, const struct tls_ctx_config *config,
                      const struct tls_certificate_config *files, const struct tls_cert *old) {
    char text[512];
    struct tls_ocsp *ocsp = &cert->ocsp;

    if (files->ocsp_file == NULL)
        return;
    if (!tls_ocsp_load(cert, files->ocsp_file, ocsp, text, sizeof(text))) {
        ERR_clear_error();
        *ocsp = (struct tls_ocsp){0};
        if (old && old->ocsp.next_update_s > (int64_t)time(NULL) &&
            (ocsp->der = OPENSSL_memdup(old->ocsp.der, old->ocsp.bytes)) != NULL) {
            ocsp->bytes = old->ocsp.bytes;
            ocsp->next_update_s = old->ocsp.next_update_s;
        }
        if (config->told)
            config->told(config->told_arg, TLS_TOLD_WARNING, text);
    }
    cert->info.ocsp_next_update_s = ocsp->next_update_s;
}

struct tls_cert *tls_cert_load(const struct tls_ctx_config *config, const struct tls_certificate_config *files,
                               const struct tls_cert *old, char *error, size_t error_bytes) {
    struct tls_cert *cert = calloc(1, sizeof(*cert));

    snprintf(error, error_bytes, "out of memory");
    if (cert == NULL)
        return NULL;
    atomic_init(&cert->references, 1);
    cert->info.certificate_file = strdup(files->certificate_file);
    if (cert->info.certificate_file == NULL || !pair_load(cert, config, files, error, error_bytes) ||
        !names_take(cert, files, error, error_bytes)) {
        tls_cert_unref(cert);
        return NULL;
    }
    describe(cert);
    bool same = old && memcmp(old->info.fingerprint, cert->info.fingerprint, sizeof(cert->info.fingerprint)) == 0;
    cert->info.since_s = same ? old->info.since_s : (int64_t)time(NULL);
    ocsp_take(cert, config, files, same ? old : NULL);
    return cert;
}

void tls_cert_unref(struct tls_cert *cert) {
    if (cert == NULL || atomic_fetch_sub_explicit(&cert->references, 1, memory_order_acq_rel) != 1)
        return;
    X509_free(cert->x509);
    EVP_PKEY_free(cert->key);
    sk_X509_pop_free(cert->chain, X509_free);
    tls_names_free(cert->names, cert->info.n_names);
    OPENSSL_free(cert->ocsp.der);
    free((char *)(uintptr_t)cert->info.certificate_file);
    free(cert);
}
