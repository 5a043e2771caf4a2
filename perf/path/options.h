/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line that the programs of perf/path share. */
#ifndef WEIR_PERF_OPTIONS_H
#define WEIR_PERF_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct options {
    const char *only;        /* --only NAME: this one figure; NULL: all */
    uint32_t perf_s;         /* --perf SECONDS: do it for so long, to be profiled */
    bool quick;              /* --quick: fewer repetitions */
    bool csv;                /* --csv: as report.h says */
    bool count;              /* --count: one repetition as a callgrind profile "instructions <operations> <name>" */
    bool software_checksums; /* --software-checksums: as on ports without offload */
};

/* Ends the program with a usage line, and the names `list` prints, where the arguments are not these. */
void options_read(struct options *o, int argc, char **argv, void (*list)(void));

bool options_want(const struct options *o, const char *name);

#endif
