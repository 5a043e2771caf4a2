/* SPDX-License-Identifier: BSD-3-Clause */
/* Transfers under conditions drawn from a seed. A failure prints the command that runs that one again. */
#include "pair.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    static const struct option options[] = {{"seeds", required_argument, NULL, 'n'},
                                            {"first", required_argument, NULL, 'f'},
                                            {"verbose", no_argument, NULL, 'v'},
                                            {0}};
    uint64_t seeds = 100, first = 1, failed = 0;
    bool verbose = false;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o == 'n')
            seeds = strtoull(optarg, NULL, 0);
        else if (o == 'f')
            first = strtoull(optarg, NULL, 0);
        else if (o == 'v')
            verbose = true;
        else
            return 2;
    }
    pair_init();
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        struct pair_cell cell;
        char text[512];
        pair_cell_draw(&cell, seed);
        pair_cell_print(&cell, text, sizeof(text));
        if (verbose)
            fprintf(stderr, "seed %" PRIu64 ": %s\n", seed, text);
        if (pair_cell_run(&cell))
            continue;
        failed++;
        fprintf(stderr, "again: %s --seeds 1 --first %" PRIu64 "\n", argv[0], seed);
    }
    printf("%" PRIu64 " seeds from %" PRIu64 ", %" PRIu64 " failed\n", seeds, first, failed);
    return failed != 0;
}
