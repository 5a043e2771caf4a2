/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/clock.h"

#include "mbuf_fixture.h"

#include <time.h>
#include <unistd.h>

Test(clock, runs_with_real_time_and_is_never_zero) {
    struct clock_tsc c;
    struct timespec before, after;

    fixture_eal();
    clock_init(&c);
    uint64_t first = clock_now_us(&c);
    clock_gettime(CLOCK_MONOTONIC, &before);
    cr_expect_gt(first, 0);
    usleep(50000);
    uint64_t second = clock_now_us(&c);
    clock_gettime(CLOCK_MONOTONIC, &after);
    int64_t real_us = (after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000;
    int64_t off_us = (int64_t)(second - first) - real_us;
    cr_expect(off_us > -20000 && off_us < 20000, "%ld us off in %ld", (long)off_us, (long)real_us);
}

Test(clock, does_not_overflow_in_years) {
    struct clock_tsc c = {.mult = (1000000ull << 32) / 3000000000ull};

    c.start_tsc = __builtin_ia32_rdtsc() - 3000000000ull * 86400 * 3650;
    uint64_t us = clock_now_us(&c);
    cr_expect_gt(us, 86400ull * 3650 * 999999);
    cr_expect_lt(us, 86400ull * 3651 * 1000000);
}

Test(clock, ms_of_us) {
    cr_expect_eq(clock_ms(1999), 1);
    cr_expect_eq(clock_ms(4294967296ull * 1000), 0, "wraps at 2^32 ms");
}

Test(clock, seconds_of_ticks) {
    struct clock_tsc c = {.mult = (1000000ull << 32) / 2500000000ull};

    cr_expect_float_eq(clock_tick_s(&c) * 2.5e9, 1, 1e-6);
}
