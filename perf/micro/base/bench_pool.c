/* SPDX-License-Identifier: BSD-3-Clause */
/* An object out of a pool and back, of the sizes of a TCP connection and a TLS state; the pool's objects lie apart as
 * after a while of use: they were freed in random order. */
#include "base/pool.h"

#include "bench.h"

#define OBJECTS 65536
#define ROUNDS  256

struct ctx {
    struct pool pool;
    uint32_t out[ROUNDS];
};

static void shuffle(struct pool *p) {
    static uint32_t ids[OBJECTS];

    for (uint32_t i = 0; i < OBJECTS; i++)
        ids[i] = pool_alloc(p);
    for (uint32_t left = OBJECTS; left > 0; left--) {
        uint32_t at = (uint32_t)rand() % left;
        pool_free(p, ids[at]);
        ids[at] = ids[left - 1];
    }
}

static void alloc_free(void *arg, uint32_t rounds) {
    struct ctx *c = arg;

    for (uint32_t i = 0; i < rounds; i++)
        c->out[i] = pool_alloc(&c->pool);
    for (uint32_t i = 0; i < rounds; i++)
        pool_free(&c->pool, c->out[i]);
}

static void run(const char *name, uint32_t bytes, unsigned flags) {
    static struct ctx c;

    if (pool_init(&c.pool, "bench", bytes, OBJECTS, flags) < 0)
        exit(1);
    shuffle(&c.pool);
    bench_run(name, 1, ROUNDS, alloc_free, NULL, &c);
    pool_fini(&c.pool);
}

int main(void) {
    run("pool_alloc + free 256 B", 256, 0);
    run("pool_alloc + free 160 B, secret", 160, POOL_SECRET);
    return 0;
}
