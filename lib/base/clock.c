/* SPDX-License-Identifier: BSD-3-Clause */
#include "clock.h"

#include <rte_cycles.h>

void clock_init(struct clock_tsc *c) {
    c->mult = (uint64_t)(((unsigned __int128)1000000 << 32) / rte_get_tsc_hz());
    c->start_tsc = rte_rdtsc();
}

uint64_t clock_now_us(const struct clock_tsc *c) {
    uint64_t ticks = rte_rdtsc() - c->start_tsc;

    return (uint64_t)((unsigned __int128)ticks * c->mult >> 32) + 1;
}
