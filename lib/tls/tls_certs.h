/* SPDX-License-Identifier: BSD-3-Clause */
/* The certificates of a listener, inside lib/tls.
 *
 *   tls_cert.c   one pair as loaded: chain, key, the names it is for, what people want to know of it
 *   tls_ocsp.c   the response about it that is stapled
 *   tls_names.c  host names: folded, checked, read from a certificate
 *   tls_certs.c  all pairs of a context: which of them a name is answered with
 *   tls_alpn.c   protocols that a context speaks (RFC 7301)
 *
 * libssl holds at most one certificate of each key type in an SSL_CTX and picks among them by the client's signature
 * algorithms and suites. So names that are served by the same certificates share one SSL_CTX, a set; the ClientHello's
 * server name picks the set before libssl looks at anything else. */
#ifndef WEIR_TLS_CERTS_H
#define WEIR_TLS_CERTS_H

#include "tls_msg.h"

#include <openssl/ssl.h>

enum tls_key_kind { TLS_KEY_RSA, TLS_KEY_RSA_PSS, TLS_KEY_EC, TLS_KEY_ED25519, TLS_KEY_ED448, TLS_KEY_KINDS };

struct tls_ocsp {
    uint8_t *der; /* NULL: none */
    uint32_t bytes;
    int64_t next_update_s; /* it may be shown until then, seconds since 1970 */
};

struct tls_cert { /* immutable; shared by the contexts before and after a reload where the new files are refused */
    atomic_uint references;
    enum tls_key_kind kind;
    X509 *x509;
    EVP_PKEY *key;
    STACK_OF(X509) * chain; /* behind it; NULL: none */
    char **names;           /* folded; a wildcard begins with "*." */
    struct tls_ocsp ocsp;
    struct tls_cert_info info; /* points into this struct */
};

struct tls_set { /* certificates of different key types for the same names */
    SSL_CTX *ssl;
    struct tls_cert *certs[TLS_KEY_KINDS]; /* borrowed */
    uint32_t next;                         /* the next set with the same first certificate, + 1; 0: none */
};

struct tls_named {
    const char *name; /* of a certificate */
    struct tls_set *set;
};

struct tls_certs {
    struct tls_cert **certs; /* one reference each */
    struct tls_set *sets;    /* [0] is the default: the first certificate's, and its siblings' */
    struct tls_named *names; /* sorted, each once */
    uint32_t n_certs, n_sets, n_names;
    bool strict; /* no name, or an unknown one: refused */
};

/* --- tls_cert.c --- */
/* NULL: `error` says why. `old`: what the same files held before, or NULL. */
struct tls_cert *tls_cert_load(const struct tls_ctx_config *config, const struct tls_certificate_config *files,
                               const struct tls_cert *old, char *error, size_t error_bytes);
void tls_cert_unref(struct tls_cert *cert);      /* NULL is allowed */
int64_t tls_cert_seconds(const ASN1_TIME *time); /* since 1970 */

/* --- tls_ocsp.c --- */
/* Read a DER response that says of this certificate that it is good, now. false: `error` says why not. */
bool tls_ocsp_load(const struct tls_cert *cert, const char *file, struct tls_ocsp *out, char *error,
                   size_t error_bytes);
/* Set up an SSL_CTX to staple what its set has (RFC 6066 section 8, RFC 8446 section 4.4.2.1). */
void tls_ocsp_offer(SSL_CTX *ssl, struct tls_set *set);

/* --- tls_names.c --- */
/* Lower case into `out`. Returns false where it is no host name, or a wildcard and those are not allowed. */
bool tls_name_fold(const char *name, size_t n, bool wildcard, char out[TLS_NAME_MAX + 1]);
/* The names a certificate is for: its DNS names, else its common name (RFC 6125 section 6.4.4), folded, without those
 * that cannot be a server's. Returns how many are in *names, which tls_names_free frees, or -1 (out of memory). */
int tls_names_of(const X509 *x509, char ***names);
void tls_names_free(char **names, uint32_t n);

/* --- tls_certs.c --- */
/* Load them all. false: `error` says why. */
bool tls_certs_load(struct tls_certs *certs, const struct tls_ctx_config *config, char *error, size_t error_bytes);
void tls_certs_free(struct tls_certs *certs);
/* Give a set's SSL_CTX its certificates. false: `error` says why. */
bool tls_set_use(const struct tls_set *set, SSL_CTX *ssl, char *error, size_t error_bytes);
/* The set for a server name as it came from a client. NULL: none has that name. */
struct tls_set *tls_certs_find(const struct tls_certs *certs, const char *name, size_t n);
/* Let the ClientHello's server name pick the set. */
void tls_certs_offer(SSL_CTX *ssl, struct tls_certs *certs);

/* --- tls_alpn.c --- */
struct tls_alpn {
    uint8_t *wire; /* as in the extension: length and name, in order of preference; NULL: none */
    uint32_t bytes;
};
/* false: `error` says why. */
bool tls_alpn_pack(struct tls_alpn *alpn, const struct tls_ctx_config *config, char *error, size_t error_bytes);
void tls_alpn_offer(SSL_CTX *ssl, struct tls_alpn *alpn);

#endif
