/* SPDX-License-Identifier: BSD-3-Clause */
/* A rope: bytes in order, held in a chain of mbufs that exists only while data waits. An empty rope is all zeroes and
 * holds no mbuf.
 *
 * In a rope only data_off, data_len and next of each mbuf count; pkt_len, nb_segs and the offload fields are stale, and
 * whoever hands mbufs to a PMD sets them anew. No mbuf in a rope has data_len 0.
 *
 * In-place rule: bytes are written into a rope's mbuf (append to the tail, decrypt where they lie) only where the mbuf
 * is direct and its reference count is 1 (rope_mbuf_private). Otherwise a new mbuf is taken.
 *
 * Small pieces: payloads up to ROPE_COPY_MAX bytes are copied into the tail room of the last mbuf, where there is room,
 * so that a stream of small messages does not hold a 2 KB mbuf each.
 *
 * Ownership: a rope owns its mbufs (one reference each). Not shared between threads. */
#ifndef WEIR_ROPE_H
#define WEIR_ROPE_H

#include "base.h"

#include <rte_mbuf.h>

#define ROPE_COPY_MAX 256u

struct rope {
    struct rte_mbuf *head, *tail;
    uint32_t len_bytes;
    uint32_t mbufs; /* mbufs in the chain: the true size is about mbufs x 2,368 B */
};

/* May bytes be written into this mbuf's buffer? */
static inline bool rope_mbuf_private(const struct rte_mbuf *m) {
    return RTE_MBUF_DIRECT(m) && rte_mbuf_refcnt_read(m) == 1;
}

/* Link one mbuf with data_len > 0 behind the tail, whatever its size. */
static inline void rope_link(struct rope *r, struct rte_mbuf *m) {
    m->next = NULL;
    if (r->tail)
        r->tail->next = m;
    else
        r->head = m;
    r->tail = m;
    r->len_bytes += m->data_len;
    r->mbufs++;
}

/* rope_push where it is not as simple as it mostly is. */
void rope_push_chain(struct rope *r, struct rte_mbuf *m);

/* Append the payload of the chain `m` (each segment's data_off/data_len); the rope owns `m` from here on, segments of
 * zero length are freed. Copies and frees segments of up to ROPE_COPY_MAX bytes where the tail has room and is private.
 */
static inline void rope_push(struct rope *r, struct rte_mbuf *m) {
    if (WEIR_LIKELY(!m->next && m->data_len && (!r->tail || m->data_len > ROPE_COPY_MAX)))
        rope_link(r, m);
    else
        rope_push_chain(r, m);
}

/* Append a copy of `n` bytes, taking mbufs from `pool` where the tail has no room.
 * Returns 0, or WEIR_ENOMEM: then nothing was appended. */
int rope_append(struct rope *r, struct rte_mempool *pool, const void *data, uint32_t n);

/* rope_splice where there is something in `dst`. */
void rope_splice_behind(struct rope *dst, struct rope *src);

/* Move everything in `src` to the end of `dst`; `src` is empty afterwards. Small leading pieces are copied as in
 * rope_push. */
static inline void rope_splice(struct rope *dst, struct rope *src) {
    if (WEIR_LIKELY(dst->head == NULL)) {
        *dst = *src;
        *src = (struct rope){0};
    } else {
        rope_splice_behind(dst, src);
    }
}

/* Move the first `n` bytes (n <= src->len_bytes) of `src` to the end of `dst`. An mbuf that straddles the cut is split:
 * its smaller part is copied when up to ROPE_COPY_MAX bytes, else an indirect mbuf from `pool` shares the buffer.
 * Returns 0, or WEIR_ENOMEM: then nothing moved. */
int rope_move(struct rope *dst, struct rope *src, uint32_t n, struct rte_mempool *pool);

/* Drop the first `n` bytes (n <= len_bytes), freeing emptied mbufs. */
void rope_trim(struct rope *r, uint32_t n);

/* Drop all. */
void rope_clear(struct rope *r);

/* Copy `n` bytes from `offset` to `dst`. Returns the number copied, fewer where the rope ends before. */
uint32_t rope_copy(const struct rope *r, uint32_t offset, void *dst, uint32_t n);

/* `n` bytes from `offset` as one piece: a pointer into the mbuf where they lie in one, else copied to `scratch` (at
 * least n bytes). NULL where the rope holds fewer than offset + n bytes. Valid until the rope changes. */
const uint8_t *rope_peek(const struct rope *r, uint32_t offset, uint32_t n, void *scratch);

#endif
