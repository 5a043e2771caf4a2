/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

uint64_t report_preemptions(void) {
    struct rusage usage = {0};
    getrusage(RUSAGE_THREAD, &usage);
    return (uint64_t)usage.ru_nivcsw;
}

void report_add(struct report *r, double value) {
    if (r->n < REPORT_MAX)
        r->sample[r->n++] = value;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double report_end(struct report *r, const char *metric, const char *unit, bool largest) {
    if (r->n == 0) {
        fprintf(stderr, "perf: %s: no sample ran undisturbed\n", metric);
        return 0;
    }
    qsort(r->sample, r->n, sizeof(r->sample[0]), by_size);
    double best = r->sample[largest ? r->n - 1 : 0];
    double median = r->sample[r->n / 2];
    double poor = r->sample[largest ? r->n / 10 : r->n - 1 - r->n / 10];
    if (r->csv)
        printf("%s,%s,%.2f,%.2f,%.2f\n", metric, unit, best, median, poor);
    else
        printf("%-34s %10.1f  median %10.1f  p90 %10.1f  %s\n", metric, best, median, poor, unit);
    fflush(stdout);
    return best;
}
