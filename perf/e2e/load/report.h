/* SPDX-License-Identifier: BSD-3-Clause */
/* What weir-load tells: a line a second while it works, a table at the end, and the same as JSON. */
#ifndef WEIR_REPORT_H
#define WEIR_REPORT_H

#include "run.h"

#include <stdio.h>

/* Lines of progress. per_s: since the last line. */
void report_connecting(FILE *out, const struct load_stats *s, uint32_t wanted, double per_s);
void report_publishing(FILE *out, const char *what, const struct load_stats *s, double per_s);
void report_holding(FILE *out, const struct load_stats *s, double left_s);
void report_storm(FILE *out, const struct load_stats *s, uint64_t clients, uint64_t open, double per_s);
void report_goodbye(FILE *out, const struct load_stats *s);
void report_trial(FILE *out, uint32_t number, const struct run_trial *t);

/* The table. */
void report_print(FILE *out, const struct load_options *o, const struct run_result *r);

/* JSON to o->json ("-": stdout). 0, or WEIR_EIO with errno. */
int report_json(const struct load_options *o, const struct run_result *r);

#endif
