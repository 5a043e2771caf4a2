/* SPDX-License-Identifier: BSD-3-Clause */
/* The load generator on two ring ports of a test's own, which owns the clock. */
#ifndef WEIR_LOAD_FIXTURE_H
#define WEIR_LOAD_FIXTURE_H

#include "perf/e2e/load/load.h"

#include <rte_ring.h>

#define FIXTURE_STEP_NS 10000u /* a turn's time */

struct fixture {
    struct rte_ring *ring[2]; /* what leaves port i comes in at the other one */
    struct rte_mempool *pool;
    uint16_t eth_port[2];
    uint64_t now_ns;
    struct load_config config; /* ports, addresses, one broker: the test adds traffic */
    struct load *load;
};

/* EAL and ports, joined with each other. Aborts where that fails. */
void fixture_open(struct fixture *f);
void fixture_start(struct fixture *f);
/* Turns for so much time. */
void fixture_run(struct fixture *f, uint64_t ms);
/* The load generator ends; frames on the way are freed, and no mbuf is left. */
void fixture_close(struct fixture *f);

/* An ethdev on two rings. Its number. */
uint16_t fixture_eth(const char *name, struct rte_ring *rx, struct rte_ring *tx, struct rte_mempool *pool);

#endif
