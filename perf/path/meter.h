/* SPDX-License-Identifier: BSD-3-Clause */
/* What lies between meter_on and meter_off, and nothing else: TSC ticks, and under callgrind the instructions. Fences
 * keep the CPU from beginning the span's work before it, or from ending it after: that takes some 20 ticks of a span.
 */
#ifndef WEIR_METER_H
#define WEIR_METER_H

#include <emmintrin.h>
#include <rte_cycles.h>
#include <stdint.h>
#include <stdio.h>
#include <valgrind/callgrind.h>

struct meter {
    uint64_t begun_tsc, ticks;
    uint64_t times; /* spans measured */
};

static inline void meter_on(struct meter *m) {
    CALLGRIND_TOGGLE_COLLECT;
    _mm_lfence();
    m->begun_tsc = rte_rdtsc();
    _mm_lfence();
}

static inline void meter_off(struct meter *m) {
    _mm_lfence();
    m->ticks += rte_rdtsc() - m->begun_tsc;
    m->times++;
    CALLGRIND_TOGGLE_COLLECT;
}

/* A callgrind profile (--collect-atstart=no --instr-atstart=no) of the spans between these two, labelled as
 * perf/guard/run reads it. */
static inline void meter_count_begin(void) {
    CALLGRIND_START_INSTRUMENTATION;
    CALLGRIND_ZERO_STATS;
}

static inline void meter_count_end(const char *name, uint32_t operations) {
    char label[128];
    snprintf(label, sizeof(label), "instructions %u %s", operations, name);
    CALLGRIND_DUMP_STATS_AT(label);
    CALLGRIND_STOP_INSTRUMENTATION;
}

#endif
