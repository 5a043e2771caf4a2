/* SPDX-License-Identifier: BSD-3-Clause */
/* How much a peer may make its handshake hold, and look through. libssl takes a ClientHello of 128 KB, reserves what a
 * message's header announces before the message is there, and makes lists of a ClientHello into objects of many times
 * their size. As long as the client says nothing more, all of that stays. And it looks for each key share in the list
 * of groups, and for the key of each ticket: 16 KB full of them would take many times as long as a whole handshake. */
#include "tls_msg.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

enum { CLIENT_HELLO = 1, SERVER_KEY_EXCHANGE = 12 }; /* 128 KB and 100 KB; others have good bounds, or are told one */

#define HEAD_BYTES     4u
#define SUITES_MAX     1024u /* bytes; all that were ever defined are fewer */
#define LIST_MAX       512u  /* bytes of an extension that becomes objects, or is looked through many times */
#define KEYS_MAX       16u   /* key shares; and tickets and pre-shared keys */
#define ELEMENTS_MAX   384u  /* of ASN.1, in the extensions of a client's certificates */
#define ELEMENTS_USUAL 40u   /* of one */

/* Are messages in records of this type in the clear? In 1.3 until our flight is out, in 1.2 until ChangeCipherSpec; as
 * long as nothing is agreed on, libssl says 1.3. */
static bool in_the_clear(struct tls_msg *msg, uint8_t type) {
    struct tls_messages *in = &msg->messages;

    in->ccs |= type == TLS_CT_CCS;
    if (type != TLS_CT_HANDSHAKE)
        return false;
    if (msg->ssl == NULL)
        return true;
    return SSL_version(msg->ssl) == TLS_V13 ? msg->secret_bytes[TLS_WRITE] == 0 : !in->ccs;
}

bool tls_limits_record(struct tls_msg *msg) {
    struct tls_messages *in = &msg->messages;
    uint32_t at = TLS_HEADER_BYTES, n = msg->in.len_bytes;
    uint8_t type = 0;

    rope_copy(&msg->in, 0, &type, 1);
    if (!in_the_clear(msg, type))
        return true;
    while (at < n) {
        uint32_t part = weir_min_u32(in->left, n - at);
        at += part;
        in->left -= part;
        if (in->left > 0)
            break;
        part = rope_copy(&msg->in, at, in->head + in->head_bytes, HEAD_BYTES - in->head_bytes);
        at += part;
        in->head_bytes = (uint8_t)(in->head_bytes + part);
        if (in->head_bytes < HEAD_BYTES)
            break;
        in->head_bytes = 0;
        in->left = (uint32_t)in->head[1] << 16 | (uint32_t)in->head[2] << 8 | in->head[3];
        bool generous = in->head[0] == CLIENT_HELLO || in->head[0] == SERVER_KEY_EXCHANGE;
        if (generous && in->left > TLS_MESSAGE_MAX)
            return false;
    }
    return true;
}

static struct span extension(SSL *ssl, unsigned type) {
    const uint8_t *data = NULL;
    size_t n = 0;

    return SSL_client_hello_get0_ext(ssl, type, &data, &n) == 1 ? span_of(data, n) : (struct span){0};
}

/* Entries of the list in an extension, counted to KEYS_MAX + 1: `before` and `behind` bytes around a vector of bytes. A
 * list that is torn is libssl's to refuse. */
static uint32_t entries(SSL *ssl, unsigned type, uint32_t before, uint32_t behind) {
    struct span s = extension(ssl, type), list = span_sub(&s, span_u16(&s));
    uint32_t n = 0;

    for (; n <= KEYS_MAX && !list.failed && span_left(&list) > 0; n++) {
        span_skip(&list, before);
        span_skip(&list, span_u16(&list));
        span_skip(&list, behind);
    }
    return n;
}

bool tls_limits_hello(SSL *ssl) {
    static const unsigned lists[] = {TLSEXT_TYPE_status_request, TLSEXT_TYPE_certificate_authorities,
                                     TLSEXT_TYPE_supported_groups, TLSEXT_TYPE_signature_algorithms,
                                     TLSEXT_TYPE_signature_algorithms_cert};
    const uint8_t *suites;

    for (size_t i = 0; i < WEIR_ARRAY_LEN(lists); i++) {
        struct span list = extension(ssl, lists[i]);
        if (span_left(&list) > LIST_MAX)
            return false;
    }
    return SSL_client_hello_get0_ciphers(ssl, &suites) <= SUITES_MAX &&
           entries(ssl, TLSEXT_TYPE_key_share, 2, 0) <= KEYS_MAX && entries(ssl, TLSEXT_TYPE_psk, 0, 4) <= KEYS_MAX;
}

/* Elements of ASN.1 in n bytes, those within others, too, as far as they are whole. */
static uint32_t elements(const uint8_t *p, long n) {
    const uint8_t *end = p + n;
    uint32_t count = 0;

    while (p < end) {
        long bytes;
        int type, class, form = ASN1_get_object(&p, &bytes, &type, &class, end - p);
        if (form & 0x80)
            break;
        count++;
        if (!(form & V_ASN1_CONSTRUCTED))
            p += bytes;
    }
    return count;
}

bool tls_limits_certificates(const struct stack_st_X509 *certificates) {
    uint32_t count = 0;

    ERR_set_mark(); /* what is torn, or no ASN.1, is for libcrypto to judge */
    for (int i = 0; i < sk_X509_num(certificates); i++) {
        const X509 *x509 = sk_X509_value(certificates, i);
        for (int k = 0; k < X509_get_ext_count(x509); k++) {
            X509_EXTENSION *extension = X509_get_ext(x509, k);
            const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(extension);
            if (X509V3_EXT_get(extension) != NULL) /* libcrypto makes objects of it */
                count += elements(ASN1_STRING_get0_data(value), ASN1_STRING_length(value));
        }
    }
    ERR_pop_to_mark();
    uint32_t n = (uint32_t)sk_X509_num(certificates), usual = TLS_CLIENT_DEPTH + 2;
    return count <= ELEMENTS_MAX + (n > usual ? n - usual : 0) * ELEMENTS_USUAL;
}
