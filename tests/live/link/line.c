/* SPDX-License-Identifier: BSD-3-Clause */
#include "line.h"

#include <stdlib.h>

#define ETHERNET_BYTES 14u
#define IP4_BYTES      20u
#define NS_PER_S       1000000000ull
#define LATE_NS        1000000ull

/* Which draw of a frame: each has numbers of its own, so that switching one on does not move the others. */
enum draw { DRAW_LOSS, DRAW_CORRUPT, DRAW_BIT, DRAW_DUPLICATE, DRAW_REORDER, DRAW_MARK };

bool pool_init(struct pool *pool) {
    pool->frames = calloc(POOL_FRAMES, sizeof(struct frame));
    if (pool->frames == NULL)
        return false;
    for (uint32_t i = 0; i < POOL_FRAMES; i++)
        pool->free[i] = &pool->frames[i];
    pool->n_free = POOL_FRAMES;
    return true;
}

void pool_put(struct pool *pool, struct frame *f) {
    pool->free[pool->n_free++] = f;
}

struct frame *pool_get(struct pool *pool) {
    return pool->n_free != 0 ? pool->free[--pool->n_free] : NULL;
}

/* SplitMix64 (Steele, Lea, Flood 2014) of seed, frame and draw: no state, so nothing depends on what was drawn before.
 */
static uint64_t draw(const struct line *line, enum draw what) {
    uint64_t z = line->config.seed * 0xd1342543de82ef95ull + (line->number * 8 + what) * 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static bool happens(const struct line *line, enum draw what, double probability) {
    return (double)(draw(line, what) >> 11) * 0x1p-53 < probability;
}

static bool before(const struct frame *a, const struct frame *b) {
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->serial < b->serial;
}

static void heap_push(struct line *line, struct frame *f) {
    uint32_t at = line->n++;
    for (; at != 0 && before(f, line->heap[(at - 1) / 2]); at = (at - 1) / 2)
        line->heap[at] = line->heap[(at - 1) / 2];
    line->heap[at] = f;
}

static struct frame *heap_pop(struct line *line) {
    struct frame *first = line->heap[0], *last = line->heap[--line->n];
    uint32_t at = 0;
    for (uint32_t child; (child = 2 * at + 1) < line->n; at = child) {
        if (child + 1 < line->n && before(line->heap[child + 1], line->heap[child]))
            child++;
        if (!before(line->heap[child], last))
            break;
        line->heap[at] = line->heap[child];
    }
    line->heap[at] = last;
    return first;
}

void line_init(struct line *line, const struct line_config *config, struct pool *pool) {
    *line = (struct line){.config = *config, .pool = pool};
}

/* When the last byte of the frame has passed the bottleneck; 0: its queue is full. A queue that is served at a constant
 * rate is fully described by the time when it will be empty. */
static uint64_t pass_bottleneck(struct line *line, const struct frame *f, uint64_t now_ns) {
    const struct line_config *c = &line->config;
    if (c->rate_bps == 0)
        return now_ns;
    uint64_t start = line->bottleneck_free > now_ns ? line->bottleneck_free : now_ns;
    uint64_t waiting = (uint64_t)((unsigned __int128)(start - now_ns) * c->rate_bps / 8 / NS_PER_S) + f->len;
    if (c->queue_bytes != 0 && waiting > c->queue_bytes)
        return 0;
    if (waiting > line->max_queue_bytes)
        line->max_queue_bytes = waiting;
    line->bottleneck_free = start + f->len * 8ull * NS_PER_S / c->rate_bps;
    return line->bottleneck_free;
}

static void travel(struct line *line, struct frame *f, uint64_t due_ns) {
    f->due_ns = due_ns;
    f->serial = line->serial++;
    heap_push(line, f);
}

static void duplicate(struct line *line, const struct frame *f) {
    struct frame *copy = pool_get(line->pool);
    if (copy == NULL) {
        line->pool_empty++;
        return;
    }
    __builtin_memcpy(copy->data, f->data, f->len);
    copy->len = f->len;
    line->duplicated++;
    travel(line, copy, f->due_ns);
}

static bool is_ip4(const struct frame *f) {
    return f->len > ETHERNET_BYTES && f->data[12] == 0x08 && f->data[13] == 0x00;
}

/* The two bits of the TOS byte (RFC 3168 5). */
enum ecn { ECN_NOT_ECT, ECN_ECT1, ECN_ECT0, ECN_CE };

/* CE in place of ECT, and the header's checksum by what that changes: HC' = ~(~HC + ~m + m') (RFC 1624 3, eqn. 3). */
static void mark(struct line *line, struct frame *f) {
    uint8_t *ip = f->data + ETHERNET_BYTES, was = ip[1];
    uint8_t ecn = was & ECN_CE;
    if (f->len < ETHERNET_BYTES + IP4_BYTES || ecn == ECN_NOT_ECT || ecn == ECN_CE)
        return;
    line->ect++;
    if (!happens(line, DRAW_MARK, line->config.mark))
        return;
    ip[1] |= ECN_CE;
    uint32_t sum = (uint16_t) ~(ip[10] << 8 | ip[11]) + (uint16_t) ~(ip[0] << 8 | was) + (ip[0] << 8 | ip[1]);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    ip[10] = (uint8_t)(~sum >> 8);
    ip[11] = (uint8_t)~sum;
    line->marked++;
}

void line_enter(struct line *line, struct frame *f, uint64_t now_ns) {
    const struct line_config *c = &line->config;
    line->frames_in++;
    line->bytes_in += f->len;
    uint64_t left_ns = pass_bottleneck(line, f, now_ns);
    if (left_ns == 0) {
        line->queue_full++;
        pool_put(line->pool, f);
        return;
    }
    if (!is_ip4(f)) {
        travel(line, f, left_ns + c->delay_ns);
        return;
    }
    line->number++;
    if (happens(line, DRAW_LOSS, c->loss)) {
        line->lost++;
        pool_put(line->pool, f);
        return;
    }
    mark(line, f);
    if (happens(line, DRAW_CORRUPT, c->corrupt)) {
        uint64_t bit = draw(line, DRAW_BIT) % ((f->len - ETHERNET_BYTES) * 8ull);
        f->data[ETHERNET_BYTES + bit / 8] ^= (uint8_t)(1u << bit % 8);
        line->corrupted++;
    }
    bool late = happens(line, DRAW_REORDER, c->reorder);
    line->reordered += late;
    travel(line, f, left_ns + c->delay_ns + (late ? c->reorder_ns : 0));
    if (happens(line, DRAW_DUPLICATE, c->duplicate))
        duplicate(line, f);
}

struct frame *line_leave(struct line *line, uint64_t now_ns) {
    if (line_next_ns(line) > now_ns)
        return NULL;
    struct frame *f = heap_pop(line);
    uint64_t late_ns = now_ns - f->due_ns;
    if (late_ns / 1000 > line->max_late_us)
        line->max_late_us = late_ns / 1000;
    line->late += late_ns > LATE_NS;
    return f;
}

uint64_t line_next_ns(const struct line *line) {
    return line->n != 0 ? line->heap[0]->due_ns : UINT64_MAX;
}
