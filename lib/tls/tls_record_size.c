/* SPDX-License-Identifier: BSD-3-Clause */
/* How long the records are that we send.
 *
 *   at most       what the peer can take: record_size_limit (RFC 8449), which libssl 3.0 does not know and which is a
 *                 custom extension here, and max_fragment_length (RFC 6066 section 4), which libssl agrees on by itself
 *   in a burst    one TCP segment each at first, so that the peer can open the first when it has come and need not wait
 *                 for a window's worth of round trips; the longest there are once the burst has gone on for a while. A
 *                 pause of a second begins anew. Messages of up to TLS_SMALL_BYTES are not bursts: one record each
 *
 * What we can take is the protocol's own limit, and this is what we say.
 *
 * A client that offers both extensions, as GnuTLS does where its user asks for small records, should be answered the
 * newer one (RFC 8449 section 5). libssl answers the older in any case, and both in one answer are an error: so it is
 * the older. The records are short enough for either. */
#include "tls_msg.h"

#include <openssl/ssl.h>

#define EXTENSION   28u  /* record_size_limit */
#define LIMIT_MIN   64u  /* RFC 8449 section 4 */
#define SEND_MIN    512u /* what libssl can limit itself to */
#define SEGMENT_MIN 256u /* smaller ones: header and tag would be what is sent */
#define TICK_SHIFT  19   /* 2^19 us: about half a second */
#define TICKS       64u  /* as many as the state of a connection tells apart */
#define TICKS_PAUSE 2u
#define BURST_MAX   31u /* records of one segment, then bulk */

static bool is_v13(SSL *ssl) {
    return SSL_version(ssl) == TLS_V13;
}

/* Our own limit: in a ClientHello, which does not know the version yet, that of 1.3. A server says it to those alone
 * who said theirs. */
static int limit_add(SSL *ssl, unsigned type, unsigned context, const unsigned char **out, size_t *n, X509 *x,
                     size_t chain, int *alert, void *arg) {
    static const uint8_t limit12[2] = {TLS_RECORD_MAX >> 8, TLS_RECORD_MAX & 0xff};
    static const uint8_t limit13[2] = {(TLS_RECORD_MAX + 1) >> 8, (TLS_RECORD_MAX + 1) & 0xff}; /* and the inner type */
    const struct tls_msg *msg = SSL_get_app_data(ssl);
    bool hello = context & SSL_EXT_CLIENT_HELLO;

    (void)type, (void)x, (void)chain, (void)alert, (void)arg;
    if (!hello && !msg->limit_agreed)
        return 0;
    *out = hello || is_v13(ssl) ? limit13 : limit12;
    *n = sizeof(limit13);
    return 1;
}

/* May a server say yes? Not where libssl answers max_fragment_length; nor in 1.3 where libssl's own handshake messages,
 * all protected, would be longer. Our records keep to the limit all the same. */
static bool may_agree(SSL *ssl, uint32_t limit) {
    return SSL_SESSION_get_max_fragment_length(SSL_get_session(ssl)) == 0 && !(is_v13(ssl) && limit <= SEND_MIN);
}

/* The peer's. */
static int limit_parse(SSL *ssl, unsigned type, unsigned context, const unsigned char *in, size_t n, X509 *x,
                       size_t chain, int *alert, void *arg) {
    struct tls_msg *msg = SSL_get_app_data(ssl);
    struct span s = span_of(in, n);
    uint32_t limit = span_u16(&s);

    (void)type, (void)context, (void)x, (void)chain, (void)arg;
    if (s.failed || span_left(&s) > 0) {
        *alert = SSL_AD_DECODE_ERROR;
        return 0;
    }
    if (limit < LIMIT_MIN) {
        *alert = SSL_AD_ILLEGAL_PARAMETER;
        return 0;
    }
    msg->record_limit = (uint16_t)limit;
    msg->limit_agreed = may_agree(ssl, limit);
    SSL_set_max_send_fragment(ssl, weir_max_u32(tls_record_limit_bytes(msg->record_limit, is_v13(ssl)), SEND_MIN));
    return 1;
}

bool tls_record_size_offer(SSL_CTX *ssl) {
    const unsigned where = SSL_EXT_CLIENT_HELLO | SSL_EXT_TLS1_2_SERVER_HELLO | SSL_EXT_TLS1_3_ENCRYPTED_EXTENSIONS;

    return SSL_CTX_add_custom_ext(ssl, EXTENSION, where, limit_add, NULL, NULL, limit_parse, NULL) == 1;
}

uint32_t tls_record_limit_bytes(uint16_t record_limit, bool v13) {
    return record_limit ? weir_min_u32((uint32_t)record_limit - v13, TLS_RECORD_MAX) : TLS_RECORD_MAX;
}

void tls_record_size_set(struct tls_conn *c, uint8_t fragment_code, uint16_t record_limit) {
    c->fragment_code = fragment_code & 7;
    c->record_max = (uint16_t)weir_min_u32(tls_conn_read_max(c),
                                           tls_record_limit_bytes(record_limit, tls_conn_suite(c)->version == TLS_V13));
}

uint32_t tls_record_size_next(const struct tls_core *core, struct tls_conn *c, uint32_t segment_bytes) {
    uint32_t tick = (uint32_t)(core->now_us >> TICK_SHIFT) % TICKS;

    if ((tick - c->burst_tick) % TICKS >= TICKS_PAUSE)
        c->burst = 0;
    c->burst_tick = tick & (TICKS - 1);
    if (c->burst == BURST_MAX || segment_bytes < SEGMENT_MIN)
        return c->record_max;
    c->burst++;
    return weir_min_u32(c->record_max, segment_bytes - TLS_HEADER_BYTES - tls_suite_overhead(tls_conn_suite(c)));
}
