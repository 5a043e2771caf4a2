/* SPDX-License-Identifier: BSD-3-Clause */
/* Counts by value with a bounded relative error, like HdrHistogram: 64 linear buckets in every power of two, values
 * from 1 ns to about 137 s (2^37); relative error below 1/64. Fixed memory, O(1) to add, merges by addition. */
#ifndef WEIR_HISTOGRAM_H
#define WEIR_HISTOGRAM_H

#include "base/base.h"

#define HISTOGRAM_SUB_BITS 6
#define HISTOGRAM_MAX_BITS 37
#define HISTOGRAM_BUCKETS  ((HISTOGRAM_MAX_BITS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

struct histogram {
    uint64_t count, sum, min, max;
    uint64_t bucket[HISTOGRAM_BUCKETS];
};

void histogram_clear(struct histogram *h);
/* Larger values count as the largest bucket; `max` keeps the true value. */
void histogram_add(struct histogram *h, uint64_t value);
/* Coordinated omission (closed loops with a known pace): a value above `expected` also stands for the ones that could
 * not be started meanwhile: value - expected, value - 2 expected, ... (at most 10,000 of them). 0: plain add. */
void histogram_add_corrected(struct histogram *h, uint64_t value, uint64_t expected);
void histogram_merge(struct histogram *into, const struct histogram *from);
/* Least value v such that at least share (0..1) of the counts are <= v: upper edge of its bucket, never above max. 0
 * where empty. */
uint64_t histogram_quantile(const struct histogram *h, double share);
double histogram_mean(const struct histogram *h);

#endif
