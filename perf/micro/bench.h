/* SPDX-License-Identifier: BSD-3-Clause */
/* What the micro-benchmarks share. A program prepares what an operation works on and calls bench_run once for each
 * operation; how it is measured is the caller's choice, through the environment (perf/micro/run sets it):
 *
 *   WEIR_BENCH=warm   TSC cycles an operation: many rounds a repetition, the least and the median of the repetitions.
 *                     The least is the cost, the median says how noisy the machine was. The default.
 *   WEIR_BENCH=cold   the same for one round a repetition, after BENCH_FLUSH_BYTES of other memory were read, which
 *                     pushes data, code and page translations out of L1, L2 and the TLBs (not out of L3): what an
 *                     operation costs a worker that did other things meanwhile
 *   WEIR_BENCH=count  under callgrind (--instr-atstart=no --cache-sim=yes), two profiles an operation:
 *                     "touched": one round from an empty simulated cache, so large that each miss is another line;
 *                     "instructions": all rounds of a repetition. Vector code is counted as it runs under valgrind
 *                     (3.19: up to AVX2), not as the CPU would have it.
 *   WEIR_BENCH_ONLY=text   only operations whose name contains it
 *   WEIR_BENCH_QUICK=1     fewer repetitions
 *
 * A line an operation: name, least, median. What the measurement itself takes is taken off. */
#ifndef WEIR_BENCH_H
#define WEIR_BENCH_H

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_mbuf.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <valgrind/callgrind.h>

#define BENCH_REPETITIONS 201
#define BENCH_WARM_UP     20
#define BENCH_LEAST       5 /* repetitions, however long they take; cold ones are a quarter */
#define BENCH_FLUSH_BYTES (16u << 20)

/* `run` does `rounds` rounds of an operation; `reset`, where there is one, makes ready for so many, untimed. */
typedef void (*bench_step)(void *ctx, uint32_t rounds);

static inline const char *bench_setting(const char *name) {
    const char *text = getenv(name);

    return text ? text : "";
}

static inline int bench_compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static inline void bench_flush(void) {
    static volatile uint8_t memory[BENCH_FLUSH_BYTES];
    static bool mapped;

    for (uint32_t i = 0; i < sizeof(memory); i += 64) {
        if (!mapped) /* else all pages are the same zero page */
            memory[i] = 1;
        (void)memory[i];
    }
    mapped = true;
}

static inline void bench_nothing(void *ctx, uint32_t rounds) {
    (void)ctx;
    (void)rounds;
}

static __attribute__((noinline)) uint64_t bench_measure(bench_step run, void *ctx, uint32_t rounds) {
    uint64_t start = rte_rdtsc_precise();

    run(ctx, rounds);
    return rte_rdtsc_precise() - start;
}

/* Time repetitions until there are enough of them or time is up. `cycles` is sorted on return; returns how many. */
static inline int bench_time(bool cold, uint32_t rounds, bench_step run, bench_step reset, void *ctx,
                             uint64_t cycles[BENCH_REPETITIONS]) {
    bool quick = *bench_setting("WEIR_BENCH_QUICK");
    int most = BENCH_REPETITIONS / (quick ? 4 : 1) / (cold ? 4 : 1), n = 0;
    clock_t until = clock() + CLOCKS_PER_SEC / (quick ? 8 : 1);

    for (int i = cold ? -2 : -BENCH_WARM_UP; i < most && (n < BENCH_LEAST || clock() < until); i++) {
        if (reset)
            reset(ctx, rounds);
        if (cold)
            bench_flush();
        bench_measure(bench_nothing, NULL, 0); /* what measures is warm in any case */
        uint64_t took = bench_measure(run, ctx, rounds);
        if (i >= 0)
            cycles[n++] = took;
    }
    qsort(cycles, (size_t)n, sizeof(cycles[0]), bench_compare);
    return n;
}

static inline double bench_per_op(uint64_t cycles, uint64_t overhead, uint32_t ops) {
    return cycles > overhead ? (double)(cycles - overhead) / ops : 0;
}

/* A profile of its own, labelled "<what> <ops> <name>". Switching the instrumentation on empties the simulated cache.
 */
static inline void bench_profile(const char *what, const char *name, uint32_t ops, uint32_t rounds, bench_step run,
                                 bench_step reset, void *ctx) {
    char label[128];

    snprintf(label, sizeof(label), "%s %u %s", what, ops * rounds, name);
    if (reset)
        reset(ctx, rounds);
    CALLGRIND_START_INSTRUMENTATION;
    run(ctx, rounds);
    CALLGRIND_DUMP_STATS_AT(label);
    CALLGRIND_STOP_INSTRUMENTATION;
}

static inline void bench_count(const char *name, uint32_t ops, uint32_t rounds, bench_step run, bench_step reset,
                               void *ctx) {
    static bool started;

    if (!RUNNING_ON_VALGRIND) {
        fprintf(stderr, "WEIR_BENCH=count: run it under valgrind --tool=callgrind, as perf/micro/run does\n");
        exit(1);
    }
    for (int i = 0; !started && i < 2; i++) { /* what is to be taken off; the first profile of a process is empty */
        bench_profile("touched", "nothing", 1, 1, bench_nothing, NULL, NULL);
        bench_profile("instructions", "nothing", 1, 1, bench_nothing, NULL, NULL);
    }
    started = true;
    if (reset)
        reset(ctx, rounds);
    run(ctx, rounds); /* fills the caches of mempools, faults pages in */
    bench_profile("touched", name, ops, 1, run, reset, ctx);
    bench_profile("instructions", name, ops, rounds, run, reset, ctx);
}

/* Measure one operation. `ops`: operations `run` does in a round; `rounds`: in a repetition with warm caches. */
static inline void bench_run(const char *name, uint32_t ops, uint32_t rounds, bench_step run, bench_step reset,
                             void *ctx) {
    static uint64_t cycles[BENCH_REPETITIONS];
    const char *mode = bench_setting("WEIR_BENCH");
    bool cold = strcmp(mode, "cold") == 0;

    if (!strstr(name, bench_setting("WEIR_BENCH_ONLY")))
        return;
    if (strcmp(mode, "count") == 0) {
        bench_count(name, ops, rounds, run, reset, ctx);
    } else {
        rounds = cold ? 1 : rounds;
        bench_time(false, 1, bench_nothing, NULL, NULL, cycles);
        uint64_t overhead = cycles[0];
        int n = bench_time(cold, rounds, run, reset, ctx, cycles);
        printf("%-44s %10.1f %10.1f\n", name, bench_per_op(cycles[0], overhead, ops * rounds),
               bench_per_op(cycles[n / 2], overhead, ops * rounds));
    }
    fflush(stdout);
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

/* A pool of `mbufs` mbufs of the usual size, with a cache as workers have it. */
static inline struct rte_mempool *bench_mbufs(uint32_t mbufs) {
    struct rte_mempool *pool =
        rte_pktmbuf_pool_create("bench", mbufs, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);

    if (pool == NULL)
        exit(1);
    return pool;
}

static inline struct rte_mbuf *bench_mbuf(struct rte_mempool *pool, uint16_t bytes) {
    struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

    if (m == NULL)
        exit(1);
    memset(rte_pktmbuf_append(m, bytes), 0x5a, bytes);
    return m;
}

#endif
