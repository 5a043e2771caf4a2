/* SPDX-License-Identifier: BSD-3-Clause */
/* When the next message is due and how large it is. Deterministic by seed; time is an argument. */
#ifndef WEIR_SCHEDULE_H
#define WEIR_SCHEDULE_H

#include "base/base.h"

enum schedule_arrivals { SCHEDULE_CONSTANT, SCHEDULE_POISSON };

#define SCHEDULE_MAX_SIZES 8

struct schedule_config {
    double rate_per_s; /* 0: closed loop, nothing is ever due by time */
    enum schedule_arrivals arrivals;
    uint32_t n_sizes; /* 1: all the same; else drawn by weight */
    struct {
        uint32_t min_bytes, max_bytes; /* uniform in between */
        uint32_t weight;
    } sizes[SCHEDULE_MAX_SIZES];
    uint64_t seed;
};

struct schedule {
    struct schedule_config config;
    uint64_t start_ns;  /* when the present rate began: a double would lose the nanoseconds of a clock that runs long */
    double interval_ns; /* mean; 0: closed loop */
    double next_due_ns; /* behind start_ns */
    uint64_t state[2];
    uint32_t weight_sum;
};

/* "64", "64-1024", "64*9,1024-4096*1" (size or range, weight behind *). 0 or WEIR_EINVAL. */
int schedule_parse_sizes(const char *text, struct schedule_config *c);
void schedule_init(struct schedule *s, const struct schedule_config *c, uint64_t now_ns);
/* Another rate from now on. */
void schedule_rate(struct schedule *s, double per_s, uint64_t now_ns);
/* Everything is due that much later: a stretch of time that shall not have been. */
void schedule_shift(struct schedule *s, uint64_t ns);
/* Is a message due at now_ns? Then *due_ns is when exactly, and the next one is drawn. Call until false. */
bool schedule_due(struct schedule *s, uint64_t now_ns, uint64_t *due_ns);
/* Bytes of the next message; 0 where no sizes are configured. */
uint32_t schedule_size(struct schedule *s);

#endif
