/* SPDX-License-Identifier: BSD-3-Clause */
/* Ropes: received payload pushed (small ones are copied into the tail), bytes appended, a record's worth moved off the
 * front, a whole rope spliced; each starts from empty ropes. */
#include "base/rope.h"

#include "bench.h"

#define ROUNDS 64

struct ctx {
    struct rte_mempool *pool;
    uint32_t len;
    struct rope from[ROUNDS], to[ROUNDS];
    struct rte_mbuf *m[ROUNDS];
    uint8_t bytes[ROPE_COPY_MAX * 8];
};

static void clear(struct ctx *c) {
    for (uint32_t i = 0; i < ROUNDS; i++) {
        rope_clear(&c->from[i]);
        rope_clear(&c->to[i]);
    }
}

static void empty(void *arg, uint32_t rounds) {
    (void)rounds;
    clear(arg);
}

static void make_mbufs(void *arg, uint32_t rounds) {
    struct ctx *c = arg;

    clear(c);
    for (uint32_t i = 0; i < rounds; i++)
        c->m[i] = bench_mbuf(c->pool, (uint16_t)c->len);
}

/* Two mbufs' worth in each `from`, so that a move cuts in the middle of the second. */
static void make_ropes(void *arg, uint32_t rounds) {
    struct ctx *c = arg;

    clear(c);
    for (uint32_t i = 0; i < rounds; i++) {
        rope_push(&c->from[i], bench_mbuf(c->pool, 1448));
        rope_push(&c->from[i], bench_mbuf(c->pool, 1448));
    }
}

/* All to one rope, as a stream's segments go. */
static void push(void *arg, uint32_t rounds) {
    struct ctx *c = arg;

    for (uint32_t i = 0; i < rounds; i++)
        rope_push(&c->to[0], c->m[i]);
}

static void append(void *arg, uint32_t rounds) {
    struct ctx *c = arg;

    for (uint32_t i = 0; i < rounds; i++)
        if (rope_append(&c->to[0], c->pool, c->bytes, c->len) < 0)
            exit(1);
}

static void move(void *arg, uint32_t rounds) {
    struct ctx *c = arg;

    for (uint32_t i = 0; i < rounds; i++)
        if (rope_move(&c->to[i], &c->from[i], c->len, c->pool) < 0)
            exit(1);
}

static void splice(void *arg, uint32_t rounds) {
    struct ctx *c = arg;

    for (uint32_t i = 0; i < rounds; i++)
        rope_splice(&c->to[i], &c->from[i]);
}

int main(void) {
    static struct ctx c;

    bench_eal("32");
    c.pool = bench_mbufs(2047);
    c.len = 64;
    bench_run("rope_push 64 B (copied)", 1, ROUNDS, push, make_mbufs, &c);
    bench_run("rope_append 64 B", 1, ROUNDS, append, empty, &c);
    bench_run("rope_move 64 B (copied)", 1, ROUNDS, move, make_ropes, &c);
    c.len = 1448;
    bench_run("rope_push 1448 B", 1, ROUNDS, push, make_mbufs, &c);
    bench_run("rope_append 1448 B", 1, ROUNDS, append, empty, &c);
    bench_run("rope_move 1448 B (whole mbuf)", 1, ROUNDS, move, make_ropes, &c);
    c.len = 2172;
    bench_run("rope_move 2172 B (mbuf shared)", 1, ROUNDS, move, make_ropes, &c);
    bench_run("rope_splice 2896 B", 1, ROUNDS, splice, make_ropes, &c);
    clear(&c);
    return 0;
}
