/* SPDX-License-Identifier: BSD-3-Clause */
/* What the micro-benchmarks share: each repetition is timed with the TSC; the least and the median of them are printed
 * as cycles per operation. The least is the cost, the median says how noisy the machine was. */
#ifndef WEIR_BENCH_H
#define WEIR_BENCH_H

#include <rte_cycles.h>
#include <rte_eal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define BENCH_REPETITIONS 201

static inline int bench_compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Run `once`, which does `ops` operations, again and again after a warm-up; print a line. `reset`, where there is one,
 * runs before each repetition, untimed. */
static inline void bench_run(const char *name, uint32_t ops, void (*once)(void *), void (*reset)(void *), void *ctx) {
    static uint64_t cycles[BENCH_REPETITIONS];

    for (int i = -20; i < BENCH_REPETITIONS; i++) {
        if (reset)
            reset(ctx);
        uint64_t start = rte_rdtsc_precise();
        once(ctx);
        uint64_t took = rte_rdtsc_precise() - start;
        if (i >= 0)
            cycles[i] = took;
    }
    qsort(cycles, BENCH_REPETITIONS, sizeof(cycles[0]), bench_compare);
    printf("%-40s min %8.1f  median %8.1f cycles/op\n", name, (double)cycles[0] / ops,
           (double)cycles[BENCH_REPETITIONS / 2] / ops);
}

/* An EAL without devices or hugepages, with `megabytes` of memory. */
static inline void bench_eal(const char *megabytes) {
    char text[][24] = {"bench",          "--no-huge",         "--no-pci", "--no-shconf",
                       "--no-telemetry", "--log-level=error", "-m",       ""};
    char *args[sizeof(text) / sizeof(text[0])];

    snprintf(text[7], sizeof(text[7]), "%s", megabytes);
    for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++)
        args[i] = text[i];
    if (rte_eal_init(sizeof(text) / sizeof(text[0]), args) < 0)
        exit(1);
}

#endif
