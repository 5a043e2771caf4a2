/* SPDX-License-Identifier: BSD-3-Clause */
/* Whole-worker runs: from seeds, or one of the fixed scenarios. A failure prints the command that runs it again. */
#include "sim.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static bool run(const struct sim_setup *setup, void (*check)(struct sim *sim), bool verbose) {
    char text[1024];
    clock_t begin = clock();
    struct sim *sim = sim_new(setup);
    bool good = sim_run(sim);
    if (good && check != NULL)
        check(sim);
    good = sim->error[0] == '\0';
    if (!good || verbose) {
        sim_setup_print(setup, text, sizeof(text));
        fprintf(stderr, "seed %" PRIu64 ": %s\n  %.1f s of virtual time in %" PRIu64 " steps, %.2f s of CPU\n",
                setup->seed, text, (double)sim_elapsed(sim) / 1e6, sim->steps,
                (double)(clock() - begin) / CLOCKS_PER_SEC);
        sim_weir_print(sim, stderr);
    }
    if (!good)
        fprintf(stderr, "  VIOLATED: %s\n", sim->error);
    sim_free(sim);
    return good;
}

static int run_seeds(const char *program, uint64_t first, uint64_t seeds, bool verbose) {
    uint64_t failed = 0;
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        struct sim_setup setup;
        sim_setup_draw(&setup, seed);
        if (run(&setup, NULL, verbose))
            continue;
        failed++;
        fprintf(stderr, "  again: %s --seeds 1 --first %" PRIu64 "\n", program, seed);
    }
    printf("%" PRIu64 " seeds from %" PRIu64 ", %" PRIu64 " failed\n", seeds, first, failed);
    return failed != 0;
}

/* The fixed scenarios of that name, or all of them. */
static int run_cases(const char *program, const char *name, uint64_t seed, bool verbose) {
    unsigned ran = 0, failed = 0;
    for (unsigned i = 0; i < sim_n_cases + sim_n_tls_cases; i++) {
        const struct sim_case *c = i < sim_n_cases ? &sim_cases[i] : &sim_tls_cases[i - sim_n_cases];
        struct sim_setup setup;
        if (strcmp(name, "all") != 0 && strcmp(name, c->name) != 0)
            continue;
        ran++;
        sim_setup_default(&setup, seed);
        c->make(&setup);
        if (verbose)
            fprintf(stderr, "%s\n", c->name);
        if (run(&setup, c->check, verbose))
            continue;
        failed++;
        fprintf(stderr, "  again: %s --case %s --first %" PRIu64 "\n", program, c->name, seed);
    }
    if (ran == 0)
        fprintf(stderr, "no case is named \"%s\"\n", name);
    printf("%u cases, %u failed\n", ran, failed);
    return ran == 0 || failed != 0;
}

int main(int argc, char **argv) {
    static const struct option options[] = {{"seeds", required_argument, NULL, 'n'},
                                            {"first", required_argument, NULL, 'f'},
                                            {"case", required_argument, NULL, 'c'},
                                            {"verbose", no_argument, NULL, 'v'},
                                            {0}};
    uint64_t seeds = 30, first = 1;
    const char *name = NULL;
    bool verbose = false;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o == 'n')
            seeds = strtoull(optarg, NULL, 0);
        else if (o == 'f')
            first = strtoull(optarg, NULL, 0);
        else if (o == 'c')
            name = optarg;
        else if (o == 'v')
            verbose = true;
        else
            return 2;
    }
    sim_init();
    int rc = name ? run_cases(argv[0], name, first, verbose) : run_seeds(argv[0], first, seeds, verbose);
    sim_fini();
    return rc;
}
