/* SPDX-License-Identifier: BSD-3-Clause */
#include "perf/e2e/load/histogram.h"

#include <criterion/criterion.h>
#include <math.h>

static struct histogram h, other;

static void clear(void) {
    histogram_clear(&h);
    histogram_clear(&other);
}

TestSuite(histogram, .init = clear);

Test(histogram, empty) {
    cr_expect_eq(histogram_quantile(&h, 0.5), 0);
    cr_expect_eq(histogram_mean(&h), 0);
    histogram_merge(&h, &other);
    cr_expect_eq(h.count, 0);
}

Test(histogram, small_values_are_exact) {
    for (uint64_t v = 0; v < 64; v++)
        histogram_add(&h, v);
    cr_expect_eq(h.min, 0);
    cr_expect_eq(h.max, 63);
    for (uint64_t v = 0; v < 64; v++)
        cr_expect_eq(histogram_quantile(&h, (double)(v + 1) / 64), v);
    cr_expect_float_eq(histogram_mean(&h), 31.5, 1e-9);
}

/* Whatever the value, its bucket's upper edge is not below it and less than 1/64 above. A larger second value keeps
 * the answer from being cut at max. */
Test(histogram, relative_error) {
    for (uint32_t bits = 0; bits < HISTOGRAM_MAX_BITS; bits++)
        for (int64_t off = -3; off <= 3; off++) {
            int64_t v = ((int64_t)1 << bits) + off * (bits > 8 ? (int64_t)1 << (bits - 3) : 1);
            if (v < 0)
                continue;
            histogram_clear(&h);
            histogram_add(&h, (uint64_t)v);
            histogram_add(&h, UINT64_MAX / 4);
            uint64_t got = histogram_quantile(&h, 0.5);
            cr_expect_geq(got, (uint64_t)v);
            cr_expect_leq((double)got, (double)v * (1 + 1.0 / 64), "%lu for %ld", got, v);
        }
}

/* Neighbours never share a bucket with a value that is out of order, and every bucket is reached. */
Test(histogram, buckets_are_in_order_and_all_used) {
    uint64_t used = 0, before = 0;

    for (uint64_t v = 0; v < (uint64_t)1 << HISTOGRAM_MAX_BITS; v += 1 + v / 200) {
        histogram_clear(&h);
        histogram_add(&h, v);
        uint64_t at = 0;
        while (h.bucket[at] == 0)
            at++;
        cr_assert(at >= before && at <= before + 1, "%lu: bucket %lu after %lu", v, at, before);
        used += at != before;
        before = at;
    }
    cr_expect_eq(used, HISTOGRAM_BUCKETS - 1);
}

Test(histogram, beyond_the_largest_bucket) {
    histogram_add(&h, 5);
    histogram_add(&h, (uint64_t)1 << 40);
    cr_expect_eq(h.bucket[HISTOGRAM_BUCKETS - 1], 1);
    cr_expect_eq(histogram_quantile(&h, 0.5), 5);
    cr_expect_eq(histogram_quantile(&h, 1), (uint64_t)1 << 40);
}

Test(histogram, quantiles) {
    for (uint64_t v = 1; v <= 100000; v++)
        histogram_add(&h, v * 1000);
    const double shares[] = {0, 0.07, 0.5, 0.9, 0.99, 0.999, 0.9999, 1};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(shares); i++) {
        double want = fmax(1000, shares[i] * 1e8), got = (double)histogram_quantile(&h, shares[i]);
        cr_expect(got >= want && got <= want * (1 + 1.0 / 64), "%g: %g, not %g", shares[i], got, want);
    }
    cr_expect_eq(histogram_quantile(&h, 1), 100000000);
    cr_expect_float_eq(histogram_mean(&h), 50000500, 1);
}

/* 0.07 * 100 is 7.000000000000001: the seventh, not the eighth. */
Test(histogram, ranks_are_not_rounded_up) {
    for (uint64_t v = 1; v <= 50; v++) {
        histogram_add(&h, v);
        histogram_add(&h, v);
    }
    cr_expect_eq(histogram_quantile(&h, 0.07), 4);
    cr_expect_eq(histogram_quantile(&h, 0.06), 3);
    cr_expect_eq(histogram_quantile(&h, 0.061), 4);
}

Test(histogram, corrected) {
    histogram_add_corrected(&h, 50, 10);
    cr_expect_eq(h.count, 5, "50, 40, 30, 20, 10");
    cr_expect_eq(h.sum, 150);
    cr_expect_eq(h.min, 10);
    histogram_clear(&h);
    histogram_add_corrected(&h, 55, 10);
    cr_expect_eq(h.count, 5, "55, 45, 35, 25, 15");
    cr_expect_eq(h.min, 15);
    histogram_clear(&h);
    histogram_add_corrected(&h, 10, 10);
    histogram_add_corrected(&h, 19, 10);
    histogram_add_corrected(&h, 1000, 0);
    cr_expect_eq(h.count, 3, "in time, or no pace known");
    histogram_clear(&h);
    histogram_add_corrected(&h, 10000000, 1);
    cr_expect_eq(h.count, 10001, "bounded");
}

Test(histogram, merge_is_the_same_as_adding) {
    static struct histogram all;

    for (uint64_t v = 1; v < 1000000; v += 17) {
        histogram_add(v % 2 ? &h : &other, v * v % 777777);
        histogram_add(&all, v * v % 777777);
    }
    histogram_merge(&h, &other);
    cr_expect_eq(h.count, all.count);
    cr_expect_eq(h.sum, all.sum);
    cr_expect_eq(h.min, all.min);
    cr_expect_eq(h.max, all.max);
    cr_expect_arr_eq(h.bucket, all.bucket, sizeof(h.bucket));
    histogram_clear(&other);
    histogram_merge(&other, &h);
    cr_expect_eq(other.min, all.min, "into an empty one");
}
