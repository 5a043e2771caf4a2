/* SPDX-License-Identifier: BSD-3-Clause */
/* A bounded view of bytes. Peers' bytes are read through struct span only, packets are built through struct
 * span_writer only. A read or write past the end yields zeroes (or NULL), moves nothing and sets `failed`, which
 * sticks: a parser reads its fields in one go and checks once at the end. */
#ifndef WEIR_SPAN_H
#define WEIR_SPAN_H

#include "base.h"

#include <string.h>

struct span {
    const uint8_t *cur, *end;
    bool failed;
};

struct span_writer {
    uint8_t *begin, *cur, *end;
    bool failed;
};

static inline struct span span_of(const void *data, size_t len_bytes) {
    const uint8_t *p = data;
    return (struct span){p, p + len_bytes, false};
}

static inline size_t span_left(const struct span *s) {
    return (size_t)(s->end - s->cur);
}

/* The next `n` bytes, or NULL (and failed) where fewer are left. The pointer is into the viewed bytes. */
static inline const uint8_t *span_bytes(struct span *s, size_t n) {
    if (WEIR_UNLIKELY(s->failed || span_left(s) < n)) {
        s->failed = true;
        return NULL;
    }
    const uint8_t *p = s->cur;
    s->cur += n;
    return p;
}

static inline void span_skip(struct span *s, size_t n) {
    (void)span_bytes(s, n);
}

/* A view of the next `n` bytes, which are consumed here; empty and failed where fewer are left. */
static inline struct span span_sub(struct span *s, size_t n) {
    const uint8_t *p = span_bytes(s, n);
    return p ? (struct span){p, p + n, false} : (struct span){s->end, s->end, true};
}

static inline uint8_t span_u8(struct span *s) {
    const uint8_t *p = span_bytes(s, 1);
    return p ? p[0] : 0;
}

static inline uint16_t span_u16(struct span *s) { /* big endian on the wire, host order returned */
    const uint8_t *p = span_bytes(s, 2);
    return p ? (uint16_t)(p[0] << 8 | p[1]) : 0;
}

static inline uint32_t span_u24(struct span *s) {
    const uint8_t *p = span_bytes(s, 3);
    return p ? (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2] : 0;
}

static inline uint32_t span_u32(struct span *s) {
    const uint8_t *p = span_bytes(s, 4);
    return p ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3] : 0;
}

static inline struct span_writer span_writer_of(void *data, size_t capacity_bytes) {
    uint8_t *p = data;
    return (struct span_writer){p, p, p + capacity_bytes, false};
}

static inline size_t span_written(const struct span_writer *w) {
    return (size_t)(w->cur - w->begin);
}

/* Room for `n` bytes to fill in, or NULL (and failed) where it does not fit. */
static inline uint8_t *span_put(struct span_writer *w, size_t n) {
    if (WEIR_UNLIKELY(w->failed || (size_t)(w->end - w->cur) < n)) {
        w->failed = true;
        return NULL;
    }
    uint8_t *p = w->cur;
    w->cur += n;
    return p;
}

static inline void span_put_bytes(struct span_writer *w, const void *data, size_t n) {
    uint8_t *p = span_put(w, n);
    if (p && n)
        memcpy(p, data, n);
}

static inline void span_put_u8(struct span_writer *w, uint8_t v) {
    uint8_t *p = span_put(w, 1);
    if (p)
        p[0] = v;
}

static inline void span_put_u16(struct span_writer *w, uint16_t v) {
    uint16_t be = __builtin_bswap16(v); /* x86: one store, where bytes would be several */
    span_put_bytes(w, &be, sizeof(be));
}

static inline void span_put_u32(struct span_writer *w, uint32_t v) {
    uint32_t be = __builtin_bswap32(v);
    span_put_bytes(w, &be, sizeof(be));
}

#endif
