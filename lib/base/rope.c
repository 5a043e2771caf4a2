/* SPDX-License-Identifier: BSD-3-Clause */
#include "rope.h"

#include <string.h>

static uint8_t *bytes_of(const struct rte_mbuf *m) {
    return rte_pktmbuf_mtod(m, uint8_t *);
}

/* Bytes that may be written behind the rope's last one, in place. */
static uint32_t tail_room(const struct rope *r) {
    return r->tail && rope_mbuf_private(r->tail) ? rte_pktmbuf_tailroom(r->tail) : 0;
}

/* The caller has checked tail_room. */
static void write_tail(struct rope *r, const void *data, uint32_t n) {
    memcpy(bytes_of(r->tail) + r->tail->data_len, data, n);
    r->tail->data_len = (uint16_t)(r->tail->data_len + n);
    r->len_bytes += n;
}

/* Take the first mbuf off. */
static struct rte_mbuf *unlink_head(struct rope *r) {
    struct rte_mbuf *m = r->head;

    r->head = m->next;
    if (r->head == NULL)
        r->tail = NULL;
    m->next = NULL;
    r->len_bytes -= m->data_len;
    r->mbufs--;
    return m;
}

static void push_segment(struct rope *r, struct rte_mbuf *m) {
    if (m->data_len <= ROPE_COPY_MAX && m->data_len <= tail_room(r)) {
        write_tail(r, bytes_of(m), m->data_len);
        rte_pktmbuf_free_seg(m);
    } else {
        rope_link(r, m);
    }
}

void rope_push_chain(struct rope *r, struct rte_mbuf *m) {
    while (m) {
        struct rte_mbuf *next = m->next;

        if (m->data_len == 0)
            rte_pktmbuf_free_seg(m);
        else
            push_segment(r, m);
        m = next;
    }
}

/* Fresh mbufs holding a copy of the n bytes. Returns 0 or WEIR_ENOMEM: then `r` is empty. */
static int copy_to_fresh(struct rope *r, struct rte_mempool *pool, const uint8_t *data, uint32_t n) {
    *r = (struct rope){0};
    while (n > 0) {
        struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
        if (m == NULL) {
            rope_clear(r);
            return WEIR_ENOMEM;
        }
        uint32_t part = weir_min_u32(n, rte_pktmbuf_tailroom(m));
        m->data_len = (uint16_t)part;
        memcpy(bytes_of(m), data, part);
        rope_link(r, m);
        data += part;
        n -= part;
    }
    return 0;
}

/* Link the whole of `src` behind `dst`, copying nothing. */
static void concat(struct rope *dst, struct rope *src) {
    if (src->head == NULL)
        return;
    if (dst->tail)
        dst->tail->next = src->head;
    else
        dst->head = src->head;
    dst->tail = src->tail;
    dst->len_bytes += src->len_bytes;
    dst->mbufs += src->mbufs;
    *src = (struct rope){0};
}

int rope_append(struct rope *r, struct rte_mempool *pool, const void *data, uint32_t n) {
    uint32_t in_tail = weir_min_u32(n, tail_room(r));
    struct rope fresh;

    if (copy_to_fresh(&fresh, pool, (const uint8_t *)data + in_tail, n - in_tail) < 0)
        return WEIR_ENOMEM;
    if (in_tail > 0)
        write_tail(r, data, in_tail);
    concat(r, &fresh);
    return 0;
}

void rope_splice_behind(struct rope *dst, struct rope *src) {
    while (src->head && src->head->data_len <= ROPE_COPY_MAX && src->head->data_len <= tail_room(dst))
        push_segment(dst, unlink_head(src));
    concat(dst, src);
}

/* Where byte n of a rope lies: `at` is the mbuf that holds it, `before` the one in front of that (NULL: it is the
 * head), `skipped` and `mbufs` count bytes and mbufs in front of `at`. */
struct position {
    struct rte_mbuf *before, *at;
    uint32_t skipped, mbufs;
};

static struct position find(const struct rope *r, uint32_t n) {
    struct position p = {.at = r->head};

    while (p.at && n - p.skipped >= p.at->data_len) {
        p.skipped += p.at->data_len;
        p.mbufs++;
        p.before = p.at;
        p.at = p.at->next;
    }
    return p;
}

/* Cut `r` in front of p.at: the mbufs before it are returned, `r` keeps the rest. */
static struct rope cut_between(struct rope *r, const struct position *p) {
    if (p->before == NULL)
        return (struct rope){0};
    struct rope front = {r->head, p->before, p->skipped, p->mbufs};
    p->before->next = NULL;
    r->head = p->at;
    if (p->at == NULL)
        r->tail = NULL;
    r->len_bytes -= front.len_bytes;
    r->mbufs -= front.mbufs;
    return front;
}

/* A second mbuf for the bytes of `m` behind its first k: a copy where they are few, else one that shares the buffer.
 * NULL: pool empty. */
static struct rte_mbuf *split_rest(const struct rte_mbuf *m, uint32_t k, struct rte_mempool *pool) {
    uint32_t rest_bytes = m->data_len - k;
    struct rte_mbuf *rest = rte_pktmbuf_alloc(pool);

    if (rest == NULL)
        return NULL;
    if (rest_bytes <= ROPE_COPY_MAX && rest_bytes <= rte_pktmbuf_tailroom(rest)) {
        memcpy(bytes_of(rest), bytes_of(m) + k, rest_bytes);
    } else {
        rte_pktmbuf_attach(rest, (struct rte_mbuf *)(uintptr_t)m); /* raises the reference count of m's buffer */
        rest->data_off = (uint16_t)(m->data_off + k);
    }
    rest->data_len = (uint16_t)rest_bytes;
    return rest;
}

/* Put `rest`, split off the head's end at k, behind the head. */
static void insert_rest(struct rope *r, struct rte_mbuf *rest, uint32_t k) {
    struct rte_mbuf *m = r->head;

    m->data_len = (uint16_t)k;
    rest->next = m->next;
    m->next = rest;
    if (r->tail == m)
        r->tail = rest;
    r->mbufs++;
}

int rope_move(struct rope *dst, struct rope *src, uint32_t n, struct rte_mempool *pool) {
    assert(n <= src->len_bytes);
    if (n == src->len_bytes) {
        rope_splice(dst, src);
        return 0;
    }
    struct position p = find(src, n);
    uint32_t k = n - p.skipped; /* bytes of p.at that go */
    struct rope front;

    if (k > 0 && (k > ROPE_COPY_MAX || k > p.at->data_len - k)) {
        /* The part that stays is the smaller one, or both are large: give it an mbuf of its own, then cut there. */
        struct rte_mbuf *rest = split_rest(p.at, k, pool);
        if (rest == NULL)
            return WEIR_ENOMEM;
        front = cut_between(src, &p);
        insert_rest(src, rest, k);
        rope_link(&front, unlink_head(src));
    } else {
        front = cut_between(src, &p);
        if (k > 0 && rope_append(front.head ? &front : dst, pool, bytes_of(p.at), k) < 0) {
            concat(&front, src); /* undo the cut */
            *src = front;
            return WEIR_ENOMEM;
        }
        if (k > 0)
            rope_trim(src, k);
    }
    rope_splice(dst, &front);
    return 0;
}

void rope_trim(struct rope *r, uint32_t n) {
    assert(n <= r->len_bytes);
    while (n > 0 && n >= r->head->data_len) {
        n -= r->head->data_len;
        rte_pktmbuf_free_seg(unlink_head(r));
    }
    if (n > 0) {
        r->head->data_off = (uint16_t)(r->head->data_off + n);
        r->head->data_len = (uint16_t)(r->head->data_len - n);
        r->len_bytes -= n;
    }
}

void rope_clear(struct rope *r) {
    while (r->head)
        rte_pktmbuf_free_seg(unlink_head(r));
}

uint32_t rope_copy(const struct rope *r, uint32_t offset, void *dst, uint32_t n) {
    if (offset >= r->len_bytes)
        return 0;
    struct position p = find(r, offset);
    uint32_t skip = offset - p.skipped, copied = 0;

    for (const struct rte_mbuf *m = p.at; m && copied < n; m = m->next, skip = 0) {
        uint32_t part = weir_min_u32(n - copied, m->data_len - skip);
        memcpy((uint8_t *)dst + copied, bytes_of(m) + skip, part);
        copied += part;
    }
    return copied;
}

const uint8_t *rope_peek(const struct rope *r, uint32_t offset, uint32_t n, void *scratch) {
    if (WEIR_LIKELY(r->head && n && (uint64_t)offset + n <= r->head->data_len))
        return bytes_of(r->head) + offset;
    if (n > r->len_bytes || offset > r->len_bytes - n)
        return NULL;
    if (n == 0)
        return scratch;
    struct position p = find(r, offset);
    uint32_t skip = offset - p.skipped;

    if (n <= p.at->data_len - skip)
        return bytes_of(p.at) + skip;
    rope_copy(r, offset, scratch, n);
    return scratch;
}
