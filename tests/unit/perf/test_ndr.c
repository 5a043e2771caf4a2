/* SPDX-License-Identifier: BSD-3-Clause */
#include "perf/e2e/load/ndr.h"

#include <criterion/criterion.h>

/* A device that drops above `capacity`; returns the number of trials that the search took, 0 where it does not end. */
static uint32_t search(struct ndr *n, double capacity) {
    double rate;
    for (uint32_t trials = 0; trials < 200; trials++) {
        if (!ndr_next(n, &rate))
            return trials;
        ndr_result(n, rate <= capacity);
    }
    return 0;
}

Test(ndr, finds_the_capacity_within_precision_from_above) {
    for (double capacity = 1200; capacity < 1e6; capacity *= 1.7) {
        struct ndr n;
        ndr_init(&n, 1000, 1e6, 0.01);
        cr_assert_gt(search(&n, capacity), 0);
        cr_assert(n.good <= capacity && n.good >= capacity * 0.989, "%f for %f", n.good, capacity);
    }
}

Test(ndr, finds_the_capacity_without_a_maximum) {
    for (double capacity = 1000; capacity < 1e7; capacity *= 1.9) {
        struct ndr n;
        ndr_init(&n, 1000, 0, 0.02);
        cr_assert_gt(search(&n, capacity), 0);
        cr_assert(n.good <= capacity && n.good >= capacity * 0.979, "%f for %f", n.good, capacity);
    }
}

Test(ndr, a_maximum_that_is_good_takes_one_trial) {
    struct ndr n;
    ndr_init(&n, 1000, 50000, 0.01);
    cr_assert_eq(search(&n, 50000), 1);
    cr_assert_eq(n.good, 50000);
}

Test(ndr, where_even_the_minimum_fails_nothing_is_found) {
    struct ndr n;
    ndr_init(&n, 1000, 0, 0.01);
    cr_assert_eq(search(&n, 10), NDR_TRIES);
    cr_assert_eq(n.good, 0);
    ndr_init(&n, 1000, 64000, 0.01);
    cr_assert_gt(search(&n, 10), 0);
    cr_assert_eq(n.good, 0);
}

Test(ndr, the_minimum_itself_is_tried_before_giving_up) {
    struct ndr n;
    ndr_init(&n, 1000, 64000, 0.01);
    cr_assert_gt(search(&n, 1000), 0);
    cr_assert_eq(n.good, 1000);
}

Test(ndr, one_bad_trial_is_repeated) {
    struct ndr n;
    double rate, again;
    ndr_init(&n, 1000, 8000, 0.01);
    cr_assert(ndr_next(&n, &rate));
    ndr_result(&n, false);
    cr_assert(ndr_next(&n, &again));
    cr_assert_eq(rate, again);
    ndr_result(&n, true);
    cr_assert_not(ndr_next(&n, &rate));
    cr_assert_eq(n.good, 8000);
}

Test(ndr, doubling_ends_somewhere) {
    struct ndr n;
    ndr_init(&n, 1, 0, 0.01);
    cr_assert_gt(search(&n, 1e300), 0);
    cr_assert_geq(n.good, NDR_CEILING);
}

Test(ndr, judges) {
    const struct ndr_observation fine = {.due = 10000, .sent = 10000};
    cr_assert_eq(ndr_judge(&fine, 0), NDR_GOOD);
    struct ndr_observation o = fine;
    o.lost = 1;
    cr_assert_eq(ndr_judge(&o, 0), NDR_LOST);
    cr_assert_eq(ndr_judge(&o, 0.001), NDR_GOOD);
    o.lost = 11;
    cr_assert_eq(ndr_judge(&o, 0.001), NDR_LOST);
    o = fine;
    o.resets = 1;
    cr_assert_eq(ndr_judge(&o, 1), NDR_RESET);
    o = fine;
    o.corrupt = 1;
    cr_assert_eq(ndr_judge(&o, 1), NDR_CORRUPT);
}

Test(ndr, a_queue_may_move_but_not_grow) {
    struct ndr_observation o = {.due = 10000, .sent = 9900, .queue_growth = 100};
    cr_assert_eq(ndr_judge(&o, 0), NDR_GOOD);
    o.queue_growth = 101;
    cr_assert_eq(ndr_judge(&o, 0), NDR_QUEUE);
    o.queue_growth = -5000;
    cr_assert_eq(ndr_judge(&o, 0), NDR_GOOD);
    o = (struct ndr_observation){
        .due = 100, .sent = 80, .queue_growth = 20}; /* slow rates: a few messages are nothing */
    cr_assert_eq(ndr_judge(&o, 0), NDR_GOOD);
}

Test(ndr, every_verdict_has_a_text) {
    for (int v = NDR_GOOD; v <= NDR_QUEUE; v++)
        cr_assert_not_null(ndr_verdict_text((enum ndr_verdict)v));
}
