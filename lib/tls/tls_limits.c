/* SPDX-License-Identifier: BSD-3-Clause */
/* How much a peer may make its handshake hold. libssl takes a ClientHello of 128 KB, reserves what a message's header
 * announces before the message is there, and makes lists of a ClientHello into objects of many times their size. As
 * long as the client says nothing more, all of that stays. */
#include "tls_msg.h"

#include <openssl/ssl.h>

enum { CLIENT_HELLO = 1, SERVER_KEY_EXCHANGE = 12 }; /* 128 KB and 100 KB; others have good bounds, or are told one */

#define HEAD_BYTES   4u
#define SUITES_MAX   1024u /* bytes; all that were ever defined are fewer */
#define OBJECTS_MAX  512u  /* bytes of an extension that becomes objects */
#define EXT_STATUS   TLSEXT_TYPE_status_request
#define EXT_CA_NAMES TLSEXT_TYPE_certificate_authorities

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

static size_t extension_bytes(SSL *ssl, unsigned type) {
    const uint8_t *data;
    size_t n = 0;

    return SSL_client_hello_get0_ext(ssl, type, &data, &n) == 1 ? n : 0;
}

bool tls_limits_hello(SSL *ssl) {
    const uint8_t *suites;

    return SSL_client_hello_get0_ciphers(ssl, &suites) <= SUITES_MAX &&
           extension_bytes(ssl, EXT_STATUS) <= OBJECTS_MAX && extension_bytes(ssl, EXT_CA_NAMES) <= OBJECTS_MAX;
}
