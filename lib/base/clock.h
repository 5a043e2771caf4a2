/* SPDX-License-Identifier: BSD-3-Clause */
/* The only place that reads the TSC for time. worker.c calls clock_now_us once a turn; everything else takes now_us. */
#ifndef WEIR_CLOCK_H
#define WEIR_CLOCK_H

#include "base.h"

struct clock_tsc {
    uint64_t start_tsc;
    uint64_t mult; /* us = ((tsc - start) * mult) >> 32 (128-bit product) */
};

/* Take the TSC rate from DPDK (rte_get_tsc_hz) and start at now. */
void clock_init(struct clock_tsc *c);

/* Microseconds since clock_init, plus 1 (never 0). Monotonic on an invariant TSC. */
uint64_t clock_now_us(const struct clock_tsc *c);

/* Seconds between two ticks of the TSC. */
static inline double clock_tick_s(const struct clock_tsc *c) {
    return (double)c->mult / (double)(1ull << 32) / 1e6;
}

static inline uint32_t clock_ms(uint64_t now_us) {
    return (uint32_t)(now_us / 1000);
}

#endif
