/* SPDX-License-Identifier: BSD-3-Clause */
#include "histogram.h"

#include <math.h>
#include <string.h>

#define SUB_BUCKETS     (1u << HISTOGRAM_SUB_BITS)
#define CORRECTIONS_MAX 10000u

/* Values below 64 have a bucket each (row 0); row r > 0 holds [2^(r+5), 2^(r+6)) in 64 buckets of width 2^(r-1). */
static uint32_t bucket_of(uint64_t value) {
    if (value < SUB_BUCKETS)
        return (uint32_t)value;
    if (value >> HISTOGRAM_MAX_BITS)
        return HISTOGRAM_BUCKETS - 1;
    uint32_t top = 63 - (uint32_t)__builtin_clzll(value);
    uint32_t shift = top - HISTOGRAM_SUB_BITS;

    return (shift << HISTOGRAM_SUB_BITS) + (uint32_t)(value >> shift); /* value >> shift is in [64, 128) */
}

/* The largest value of a bucket. */
static uint64_t upper_edge(uint32_t bucket) {
    if (bucket < SUB_BUCKETS)
        return bucket;
    uint32_t shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
    uint64_t first = SUB_BUCKETS + bucket % SUB_BUCKETS;

    return ((first + 1) << shift) - 1;
}

void histogram_clear(struct histogram *h) {
    memset(h, 0, sizeof(*h));
}

void histogram_add(struct histogram *h, uint64_t value) {
    h->bucket[bucket_of(value)]++;
    h->min = h->count == 0 || value < h->min ? value : h->min;
    h->max = value > h->max ? value : h->max;
    h->sum += value;
    h->count++;
}

void histogram_add_corrected(struct histogram *h, uint64_t value, uint64_t expected) {
    histogram_add(h, value);
    if (expected == 0)
        return;
    /* What is left of the last interval belongs to the next message that really left. */
    for (uint32_t i = 0; i < CORRECTIONS_MAX && value >= 2 * expected; i++) {
        value -= expected;
        histogram_add(h, value);
    }
}

void histogram_merge(struct histogram *into, const struct histogram *from) {
    if (from->count == 0)
        return;
    into->min = into->count == 0 || from->min < into->min ? from->min : into->min;
    into->max = from->max > into->max ? from->max : into->max;
    into->sum += from->sum;
    into->count += from->count;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->bucket[i] += from->bucket[i];
}

uint64_t histogram_quantile(const struct histogram *h, double share) {
    /* The slack keeps a product that is whole but for its rounding (0.07 * 100) from counting one further. */
    double rank = ceil(share * (double)h->count - 1e-6);
    uint64_t seen = 0;

    if (h->count == 0)
        return 0;
    if (rank < 1)
        rank = 1;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        seen += h->bucket[i];
        if ((double)seen >= rank)
            return upper_edge(i) < h->max ? upper_edge(i) : h->max;
    }
    return h->max; /* the last bucket is open above */
}

double histogram_mean(const struct histogram *h) {
    return h->count ? (double)h->sum / (double)h->count : 0;
}
