/* SPDX-License-Identifier: BSD-3-Clause */
#include "perf/e2e/load/schedule.h"

#include <criterion/criterion.h>

static struct schedule_config with_sizes(const char *text) {
    struct schedule_config c = {.seed = 1};

    cr_assert_eq(schedule_parse_sizes(text, &c), 0, "%s", text);
    return c;
}

Test(schedule, sizes_are_parsed) {
    struct schedule_config c = with_sizes("64");
    cr_expect_eq(c.n_sizes, 1);
    cr_expect_eq(c.sizes[0].min_bytes, 64);
    cr_expect_eq(c.sizes[0].max_bytes, 64);
    cr_expect_eq(c.sizes[0].weight, 1);
    c = with_sizes("64*9,1024-4096*2,7");
    cr_expect_eq(c.n_sizes, 3);
    cr_expect_eq(c.sizes[0].weight, 9);
    cr_expect_eq(c.sizes[1].min_bytes, 1024);
    cr_expect_eq(c.sizes[1].max_bytes, 4096);
    cr_expect_eq(c.sizes[1].weight, 2);
    cr_expect_eq(c.sizes[2].max_bytes, 7);
    cr_expect_eq(with_sizes("1,2,3,4,5,6,7,8").n_sizes, SCHEDULE_MAX_SIZES);
    cr_expect_eq(with_sizes("0-4294967295").sizes[0].max_bytes, UINT32_MAX);
}

Test(schedule, nonsense_is_refused_and_changes_nothing) {
    static const char *bad[] = {"",
                                ",",
                                "x",
                                "64,",
                                ",64",
                                "64-",
                                "64*",
                                "64*0",
                                "65-64",
                                "64 ",
                                " 64",
                                "-64",
                                "64--65",
                                "64*2*2",
                                "64-1-2",
                                "1.5",
                                "64*1-2",
                                "64;65",
                                "99999999999",
                                "64*4294967296",
                                "1*4294967295,2*1",
                                "1,2,3,4,5,6,7,8,9"};

    for (size_t i = 0; i < WEIR_ARRAY_LEN(bad); i++) {
        struct schedule_config c = with_sizes("77*3");
        cr_expect_eq(schedule_parse_sizes(bad[i], &c), WEIR_EINVAL, "\"%s\"", bad[i]);
        cr_expect(c.n_sizes == 1 && c.sizes[0].min_bytes == 77 && c.sizes[0].weight == 3, "\"%s\"", bad[i]);
    }
}

Test(schedule, sizes_follow_their_weights) {
    struct schedule_config c = with_sizes("64*9,1000-1003*1");
    struct schedule s;
    uint32_t small = 0, large[4] = {0}, n = 100000;

    schedule_init(&s, &c, 0);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t size = schedule_size(&s);
        small += size == 64;
        if (size != 64) {
            cr_assert(size >= 1000 && size <= 1003, "%u", size);
            large[size - 1000]++;
        }
    }
    cr_expect(small > 89500 && small < 90500, "%u of %u", small, n);
    for (int i = 0; i < 4; i++)
        cr_expect(large[i] > 2300 && large[i] < 2700, "%d: %u", 1000 + i, large[i]);
}

Test(schedule, without_sizes_or_weights) {
    struct schedule s;

    schedule_init(&s, &(struct schedule_config){0}, 0);
    cr_expect_eq(schedule_size(&s), 0);
    schedule_init(&s, &(struct schedule_config){.n_sizes = 2, .sizes = {{.min_bytes = 5, .max_bytes = 5}}}, 0);
    cr_expect_eq(schedule_size(&s), 5);
    struct schedule_config all = with_sizes("0-4294967295");
    schedule_init(&s, &all, 0);
    cr_expect_neq(schedule_size(&s), schedule_size(&s));
}

Test(schedule, closed_loop_is_never_due) {
    struct schedule s;
    uint64_t due;

    schedule_init(&s, &(struct schedule_config){.arrivals = SCHEDULE_POISSON}, 5);
    cr_expect_not(schedule_due(&s, UINT64_MAX, &due));
}

/* From a clock far beyond what a double holds to the nanosecond. */
Test(schedule, constant_pace) {
    const uint64_t start = 1700000000000000000ull;
    struct schedule s;
    uint64_t due;

    schedule_init(&s, &(struct schedule_config){.rate_per_s = 1000000}, start);
    cr_expect_not(schedule_due(&s, start, &due));
    cr_expect_not(schedule_due(&s, start + 999, &due));
    for (uint64_t i = 1; i <= 1000000; i++) { /* all late, each with its own time */
        cr_assert(schedule_due(&s, start + 1000000000, &due));
        cr_assert_eq(due, start + i * 1000, "%lu", i);
    }
    cr_expect_not(schedule_due(&s, start + 1000000000, &due));
}

Test(schedule, poisson_has_its_rate_and_spread) {
    struct schedule s;
    uint64_t due, before = 1000, n = 0;
    double squares = 0;

    schedule_init(&s, &(struct schedule_config){.rate_per_s = 100000, .arrivals = SCHEDULE_POISSON, .seed = 7}, before);
    while (schedule_due(&s, 1000000000, &due)) {
        double gap = (double)(due - before);
        cr_assert_geq(due, before);
        squares += (gap - 10000) * (gap - 10000);
        before = due;
        n++;
    }
    cr_expect(n > 99000 && n < 101000, "%lu", n);
    double spread = squares / (double)n / 1e8; /* variance over mean squared: 1 */
    cr_expect(spread > 0.95 && spread < 1.05, "%g", spread);
}

Test(schedule, repeats_by_seed) {
    struct schedule_config c = with_sizes("10-1000");
    struct schedule a, b, other;
    uint64_t due[3];
    bool differs = false;

    c.rate_per_s = 10;
    c.arrivals = SCHEDULE_POISSON;
    schedule_init(&a, &c, 0);
    schedule_init(&b, &c, 0);
    c.seed++;
    schedule_init(&other, &c, 0);
    for (int i = 0; i < 100; i++) {
        cr_assert(schedule_due(&a, UINT64_MAX / 2, &due[0]) && schedule_due(&b, UINT64_MAX / 2, &due[1]) &&
                  schedule_due(&other, UINT64_MAX / 2, &due[2]));
        cr_assert_eq(due[0], due[1]);
        cr_assert_eq(schedule_size(&a), schedule_size(&b));
        differs |= due[0] != due[2];
    }
    cr_expect(differs);
}

Test(schedule, another_rate_forgets_what_was_due) {
    struct schedule s;
    uint64_t due;

    schedule_init(&s, &(struct schedule_config){.rate_per_s = 1000}, 0);
    schedule_rate(&s, 10, 5000000000);
    cr_expect_not(schedule_due(&s, 5099999999, &due));
    cr_expect(schedule_due(&s, 5100000000, &due));
    cr_expect_eq(due, 5100000000);
    schedule_rate(&s, 0, 6000000000);
    cr_expect_not(schedule_due(&s, 9000000000, &due));
}

Test(schedule, a_shift_makes_everything_due_later) {
    struct schedule s;
    uint64_t due;

    schedule_init(&s, &(struct schedule_config){.rate_per_s = 1000}, 0);
    cr_expect(schedule_due(&s, 1000000, &due));
    schedule_shift(&s, 500000000);
    cr_expect_not(schedule_due(&s, 501999999, &due));
    cr_expect(schedule_due(&s, 502000000, &due));
    cr_expect_eq(due, 502000000);
}
