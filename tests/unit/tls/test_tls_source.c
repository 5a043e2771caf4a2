/* SPDX-License-Identifier: BSD-3-Clause */
/* Counts by address: limits, a full table, and a long random life beside plain counters. */
#include "tls/tls_source.h"

#include "harness.h"

Test(tls_source, each_address_has_its_limit) {
    struct tls_sources *t = tls_sources_new(2, 8);

    for (uint32_t addr = 0; addr < 4; addr++) { /* 0 is an address like any other */
        cr_assert(tls_sources_enter(t, addr));
        cr_assert(tls_sources_enter(t, addr));
        cr_assert_not(tls_sources_enter(t, addr));
        cr_assert_eq(tls_sources_count(t, addr), 2);
    }
    tls_sources_leave(t, 3);
    cr_assert(tls_sources_enter(t, 3));
    tls_sources_free(t);
    tls_sources_free(NULL);
}

Test(tls_source, holds_as_many_addresses_as_it_was_made_for) {
    struct tls_sources *t = tls_sources_new(5, 3);

    for (uint32_t addr = 1; addr <= 3; addr++)
        cr_assert(tls_sources_enter(t, addr));
    cr_assert_not(tls_sources_enter(t, 4));
    cr_assert_eq(tls_sources_count(t, 4), 0);
    cr_assert(tls_sources_enter(t, 2), "one that is there may have more");
    tls_sources_leave(t, 1);
    cr_assert(tls_sources_enter(t, 4));
    tls_sources_free(t);
}

Test(tls_source, counts_as_plain_counters_do) {
    enum { ADDRESSES = 96, MAX = 64, LIMIT = 4 };
    struct tls_sources *t = tls_sources_new(LIMIT, MAX);
    uint32_t count[ADDRESSES] = {0}, used = 0;
    uint64_t seed = 5;

    for (int i = 0; i < 200000; i++) {
        uint32_t addr = harness_random(&seed, ADDRESSES);
        if (harness_random(&seed, 2)) {
            bool room = count[addr] < LIMIT && (count[addr] > 0 || used < MAX);
            cr_assert_eq(tls_sources_enter(t, addr), room);
            used += room && count[addr] == 0;
            count[addr] += room;
        } else if (count[addr] > 0) {
            tls_sources_leave(t, addr);
            used -= --count[addr] == 0;
        }
        addr = harness_random(&seed, ADDRESSES);
        cr_assert_eq(tls_sources_count(t, addr), count[addr]);
    }
    tls_sources_free(t);
}
