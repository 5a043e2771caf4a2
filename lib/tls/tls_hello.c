/* SPDX-License-Identifier: BSD-3-Clause */
/* A look into a ClientHello before libssl has it: does the client hope to resume a session? It decides nothing but the
 * order in which handshakes begin, so whatever is malformed or too long simply counts as a full handshake, and a client
 * that lies gains a place in a queue and nothing else. */
#include "tls_int.h"

#define LOOKED_BYTES   4096u /* of the first record; pre_shared_key comes last (RFC 8446 section 4.2.11) */
#define EXTENSIONS_MAX 64u

enum { CLIENT_HELLO = 1, EXT_SESSION_TICKET = 35, EXT_PRE_SHARED_KEY = 41, RANDOM_BYTES = 32 };

/* Skip what stands in front of the extensions (RFC 8446 section 4.1.2). Returns a view of them. */
static struct span extensions_of(struct span *s) {
    uint8_t type = span_u8(s);

    span_skip(s, 3 + 2 + RANDOM_BYTES); /* length, legacy_version */
    span_skip(s, span_u8(s));           /* legacy_session_id: random in 1.3, and there is no session cache for 1.2 */
    span_skip(s, span_u16(s));          /* cipher_suites */
    span_skip(s, span_u8(s));           /* legacy_compression_methods */
    uint32_t n = span_u16(s);
    s->failed |= type != CLIENT_HELLO;
    return span_sub(s, weir_min_u32(n, (uint32_t)span_left(s))); /* a hello in several records ends early here */
}

bool tls_hello_resumes(const struct rope *wire) {
    uint8_t scratch[LOOKED_BYTES];
    uint32_t n = weir_min_u32(wire->len_bytes, LOOKED_BYTES);
    const uint8_t *p = rope_peek(wire, 0, n, scratch);
    struct span s = span_of(p, p ? n : 0);

    span_skip(&s, TLS_HEADER_BYTES);
    struct span ext = extensions_of(&s);
    for (uint32_t i = 0; i < EXTENSIONS_MAX && !ext.failed && span_left(&ext) > 0; i++) {
        uint16_t type = span_u16(&ext), bytes = span_u16(&ext);
        /* A ticket of 1.2 (RFC 5077 section 3.2): empty, it asks for one. */
        if (!ext.failed && bytes > 0 && (type == EXT_PRE_SHARED_KEY || type == EXT_SESSION_TICKET))
            return true;
        span_skip(&ext, bytes);
    }
    return false;
}
