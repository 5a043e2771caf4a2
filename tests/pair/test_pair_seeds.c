/* SPDX-License-Identifier: BSD-3-Clause */
/* Transfers under conditions drawn from a seed, each judged by the reference model. A failure prints the command that
 * runs that one again. Without --seeds the depth says how many (WEIR_TEST_DEPTH: quick, plain, nightly); --part 2/4
 * runs the second quarter of them, --counters adds what both stacks have counted. */
#include "pair.h"

#include "base/poison.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Sanitizers make a run ten times as long: of the longest depth a quarter. */
static uint64_t seeds_by_depth(void) {
    const char *depth = getenv("WEIR_TEST_DEPTH");
    uint64_t seeds = depth && strcmp(depth, "nightly") == 0 ? 20000 : depth && strcmp(depth, "quick") == 0 ? 100 : 1000;
#ifdef WEIR_ASAN
    seeds = seeds > 1000 ? seeds / 4 : seeds;
#endif
    return seeds;
}

/* What the runs have been through: a counter that stays at 0 over many seeds is a rule that no cell tries. */
static void print_counted(const struct tcp_stats *c) {
#define X(name, help) fprintf(stderr, "%14" PRIu64 " %s\n", c->name, #name);
    TCP_COUNTERS(X)
#undef X
    for (uint32_t i = 1; i < TCP_DROP_COUNT; i++)
        if (c->drops[i])
            fprintf(stderr, "%14" PRIu64 " dropped: %s\n", c->drops[i], tcp_drop_name((enum tcp_drop)i));
    for (uint32_t i = 1; i < TCP_END_COUNT; i++)
        if (c->ends[i])
            fprintf(stderr, "%14" PRIu64 " ended: %s\n", c->ends[i], tcp_end_name((enum tcp_end)i));
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"seeds", required_argument, NULL, 'n'}, {"first", required_argument, NULL, 'f'},
        {"part", required_argument, NULL, 'p'},  {"counters", no_argument, NULL, 'c'},
        {"verbose", no_argument, NULL, 'v'},     {0}};
    uint64_t seeds = seeds_by_depth(), first = 1, failed = 0, part = 1, parts = 1;
    bool verbose = false, counters = false;
    struct tcp_stats counted = {0};
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o == 'n')
            seeds = strtoull(optarg, NULL, 0);
        else if (o == 'f')
            first = strtoull(optarg, NULL, 0);
        else if (o == 'p' && sscanf(optarg, "%" SCNu64 "/%" SCNu64, &part, &parts) == 2 && part && part <= parts)
            continue;
        else if (o == 'c')
            counters = true;
        else if (o == 'v')
            verbose = true;
        else
            return 2;
    }
    first += seeds * (part - 1) / parts;
    seeds = seeds * part / parts - seeds * (part - 1) / parts;
    pair_init();
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        struct pair_cell cell;
        char text[600];
        pair_cell_draw(&cell, seed);
        pair_cell_print(&cell, text, sizeof(text));
        if (verbose)
            fprintf(stderr, "seed %" PRIu64 ": %s\n", seed, text);
        if (pair_cell_run(&cell, &counted))
            continue;
        failed++;
        fprintf(stderr, "again: %s --seeds 1 --first %" PRIu64 "\n", argv[0], seed);
    }
    if (counters)
        print_counted(&counted);
    printf("%" PRIu64 " seeds from %" PRIu64 ", %" PRIu64 " failed\n", seeds, first, failed);
    return failed != 0;
}
