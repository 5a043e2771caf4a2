/* SPDX-License-Identifier: BSD-3-Clause */
/* How much a peer may make its handshake hold, and look through. libssl takes a ClientHello of 128 KB, reserves what a
 * message's header announces before the message is there, and makes lists of a ClientHello into objects of many times
 * their size. As long as the client says nothing more, all of that stays. And it looks for each key share in the list
 * of groups, and for the key of each ticket: 16 KB full of them would take many times as long as a whole handshake. */
#include "tls_msg.h"

#include <openssl/ssl.h>

enum { CLIENT_HELLO = 1, SERVER_KEY_EXCHANGE = 12 }; /* 128 KB and 100 KB; others have good bounds, or are told one */

#define HEAD_BYTES 4u
#define SUITES_MAX 1024u /* bytes; all that were ever defined are fewer */
#define LIST_MAX   512u  /* bytes of an extension that becomes objects, or is looked through many times */
#define KEYS_MAX   16u   /* key shares; and tickets and pre-shared keys */

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
