/* SPDX-License-Identifier: BSD-3-Clause */
/* Who a client is, in one block of exactly the bytes it takes. Names come from a peer, be it one that a CA has looked
 * at: what is not printable text is left out as a whole, so that nobody further on mistakes it for something else. */
#include "tls_psk.h"
#include "tls_verify.h"

#include <openssl/x509v3.h>
#include <stdlib.h>

#define CN_MAX   256u
#define ALPN_MAX 255u /* RFC 7301 section 3.1 */
/* Each with its zero. */
#define NAMES_MAX (sizeof(struct tls_identity) + TLS_NAME_MAX + ALPN_MAX + TLS_PSK_NAME_MAX + 4 + TLS_ALT_NAMES)
static_assert(NAMES_MAX <= TLS_IDENTITY_NAMES_MAX, "bound");
static_assert(NAMES_MAX + CN_MAX <= TLS_IDENTITY_MAX, "bound");

struct draft { /* an identity under way */
    char cn[CN_MAX];
    GENERAL_NAMES *alts;
    const uint8_t *alt[TLS_ALT_NAMES]; /* in those */
    size_t alt_bytes[TLS_ALT_NAMES];
    const uint8_t *server_name, *alpn, *psk; /* not terminated */
    size_t server_name_bytes, alpn_bytes, psk_bytes;
    uint8_t *der;
    int der_bytes;
};

static bool is_text(const uint8_t *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (p[i] < 0x20 || p[i] == 0x7f)
            return false;
    return true;
}

static void cn_take(struct draft *d, const X509 *peer) {
    const X509_NAME *subject = X509_get_subject_name(peer);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    unsigned char *utf8 = NULL;

    if (at < 0)
        return;
    int n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    if (n > 0 && (size_t)n < sizeof(d->cn) && is_text(utf8, (size_t)n))
        memcpy(d->cn, utf8, (size_t)n);
    OPENSSL_free(utf8);
}

static bool is_ascii(const uint8_t *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (p[i] < 0x20 || p[i] > 0x7e)
            return false;
    return true;
}

static enum tls_alt_name kind_of(int type) {
    switch (type) {
    case GEN_DNS:
        return TLS_ALT_DNS;
    case GEN_EMAIL:
        return TLS_ALT_EMAIL;
    case GEN_URI:
        return TLS_ALT_URI;
    default:
        return TLS_ALT_NAMES;
    }
}

/* As the certificate's structure tells them apart: in a text of all of them one could pass for another. Of a kind only
 * the first counts, of use or not, so that nobody is called by another name than that. */
static void alt_names_take(struct draft *d, const X509 *peer, uint32_t wanted) {
    d->alts = X509_get_ext_d2i(peer, NID_subject_alt_name, NULL, NULL); /* none where it is there twice */

    for (int i = 0; i < sk_GENERAL_NAME_num(d->alts); i++) {
        int type;
        const ASN1_STRING *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(d->alts, i), &type);
        enum tls_alt_name kind = kind_of(type);
        if (kind == TLS_ALT_NAMES || !(wanted >> kind & 1))
            continue;
        wanted &= ~(1u << kind);
        size_t n = (size_t)ASN1_STRING_length(value);
        if (n <= TLS_IDENTITY_ALT_MAX && is_ascii(ASN1_STRING_get0_data(value), n)) {
            d->alt[kind] = ASN1_STRING_get0_data(value);
            d->alt_bytes[kind] = n;
        }
    }
}

static const char *put(char **at, const void *data, size_t n) {
    char *begin = *at;

    if (n > 0)
        memcpy(begin, data, n);
    begin[n] = '\0';
    *at += n + 1;
    return begin;
}

static struct tls_identity *block_make(const struct draft *d) {
    size_t cn = strlen(d->cn);
    size_t bytes = sizeof(struct tls_identity) + cn + 1 + d->server_name_bytes + 1 + d->alpn_bytes + 1 + d->psk_bytes +
                   1 + (size_t)d->der_bytes;
    for (int i = 0; i < TLS_ALT_NAMES; i++)
        bytes += d->alt_bytes[i] + 1;
    struct tls_identity *id = calloc(1, bytes);

    if (id == NULL)
        return NULL;
    char *at = id->text;
    id->bytes = (uint32_t)bytes;
    id->common_name = put(&at, d->cn, cn);
    for (int i = 0; i < TLS_ALT_NAMES; i++)
        id->alt_names[i] = put(&at, d->alt[i], d->alt_bytes[i]);
    id->server_name = put(&at, d->server_name, d->server_name_bytes);
    id->alpn = put(&at, d->alpn, d->alpn_bytes);
    id->psk = put(&at, d->psk, d->psk_bytes);
    id->der = (const uint8_t *)at;
    id->der_bytes = (uint32_t)d->der_bytes;
    if (d->der_bytes > 0)
        memcpy(at, d->der, (size_t)d->der_bytes);
    return id;
}

/* What the client asked for in this hello: of a resumed session of 1.2 libssl tells the name that it was made under, if
 * a certificate had it. */
static void names_take(struct draft *d, SSL *ssl, const struct tls_msg *msg) {
    const uint8_t *name = (const uint8_t *)msg->server_name;
    size_t name_bytes = strlen(msg->server_name);
    unsigned n = 0;

    if (is_text(name, name_bytes)) {
        d->server_name = name;
        d->server_name_bytes = name_bytes;
    }
    SSL_get0_alpn_selected(ssl, &d->alpn, &n);
    d->alpn_bytes = n;
    if (!is_text(d->alpn, n))
        d->alpn_bytes = 0;
}

bool tls_identity_new(SSL *ssl, const struct tls_msg *msg, struct tls_identity **out) {
    X509 *peer = SSL_get0_peer_certificate(ssl);
    const char *psk = tls_psk_in_use(ssl, msg);
    struct draft d = {.psk = (const uint8_t *)psk, .psk_bytes = strlen(psk)};

    *out = NULL;
    if (peer == NULL && d.psk_bytes == 0 && !msg->ctx->tell_names)
        return true;
    if (peer) {
        cn_take(&d, peer);
        if (msg->ctx->keep_alt_names)
            alt_names_take(&d, peer, msg->ctx->keep_alt_names);
        d.der_bytes = msg->ctx->keep_certificate ? i2d_X509(peer, &d.der) : 0;
        if (d.der_bytes < 0 || d.der_bytes > (int)TLS_IDENTITY_DER_MAX)
            d.der_bytes = 0;
    }
    names_take(&d, ssl, msg);
    struct tls_identity *id = block_make(&d);
    OPENSSL_free(d.der);
    GENERAL_NAMES_free(d.alts);
    if (id == NULL)
        return false;
    id->certificate = peer != NULL;
    id->resumed = msg->resumed;
    id->version = SSL_get_version(ssl);
    id->cipher = SSL_CIPHER_get_name(SSL_get_current_cipher(ssl));
    if (peer && X509_digest(peer, EVP_sha256(), id->fingerprint, NULL) != 1) {
        free(id);
        return false;
    }
    *out = id;
    return true;
}

void tls_identity_free(struct tls_identity *identity) {
    free(identity);
}
