/* SPDX-License-Identifier: BSD-3-Clause */
/* For tests with mbufs: an EAL without hugepages or devices in this test's own process, one pool, and a leak check. */
#ifndef WEIR_MBUF_FIXTURE_H
#define WEIR_MBUF_FIXTURE_H

#include "base/base.h"
#include "tests/eal.h"

#include <criterion/criterion.h>
#include <rte_mbuf.h>
#include <stdlib.h>
#include <string.h>

#define FIXTURE_MBUFS 2047

static inline void fixture_eal(void) {
    cr_assert(test_eal(64), "EAL does not start");
}

/* Without a per-core cache, so that rte_mempool_avail_count is exact and an empty pool is really empty. */
static inline struct rte_mempool *fixture_pool(const char *name, unsigned mbufs) {
    struct rte_mempool *pool = rte_pktmbuf_pool_create(name, mbufs, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);

    cr_assert_not_null(pool);
    return pool;
}

/* An mbuf with the n bytes at `data` (NULL: not written). */
static inline struct rte_mbuf *fixture_mbuf(struct rte_mempool *pool, const void *data, uint16_t n) {
    struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

    cr_assert_not_null(m);
    char *p = rte_pktmbuf_append(m, n);
    cr_assert_not_null(p);
    if (data)
        memcpy(p, data, n);
    return m;
}

/* xorshift64*: the same numbers from the same seed everywhere. */
static inline uint64_t fixture_random(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1dull;
}

#endif
