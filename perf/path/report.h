/* SPDX-License-Identifier: BSD-3-Clause */
/* What a program of perf/path prints: a line a figure for people, and with --csv one for perf/path/run
 * ("metric,unit,least,median,p90"). The least is the cost, the median and the 90th percentile say how noisy the machine
 * was. */
#ifndef WEIR_PERF_REPORT_H
#define WEIR_PERF_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#define REPORT_MAX 8192

struct report {
    bool csv;
    uint32_t n;
    double sample[REPORT_MAX];
};

static inline void report_begin(struct report *r) {
    r->n = 0;
}
/* How often the kernel has taken the CPU away from this thread: a repetition in between which this grew measured
 * somebody else's work, and is to be done again. */
uint64_t report_preemptions(void);
/* One repetition's figure. Beyond REPORT_MAX they are not kept. */
void report_add(struct report *r, double value);
/* Sort, print. Returns the least. `largest`: the best is the largest (a rate), so that is what stands for the least. */
double report_end(struct report *r, const char *metric, const char *unit, bool largest);

#endif
