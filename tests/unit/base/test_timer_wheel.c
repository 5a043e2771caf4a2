/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/timer_wheel.h"

#include "mbuf_fixture.h"

#define MAX_FIRED 8192

static struct timer_wheel w;
static uint32_t fired[MAX_FIRED];

static void start(uint32_t capacity, uint32_t now_ms) {
    cr_assert_eq(timer_wheel_init(&w, capacity, now_ms), 0);
}

static void stop(void) {
    timer_wheel_fini(&w);
}

TestSuite(timer_wheel, .fini = stop);

Test(timer_wheel, refuses_no_capacity) {
    cr_expect_eq(timer_wheel_init(&w, 0, 0), WEIR_EINVAL);
}

/* One timer on each side of every level's edge, from starts that put wraps in between, fires on its very tick. */
Test(timer_wheel, fires_on_the_tick) {
    const uint32_t starts[] = {0, 1, 255, 256, 65535, 0xfffffff0u, 0x7fffffffu, 0xffffffffu};
    const uint32_t delays[] = {1,     2,     254,   255,   256,      257,      511,      512,
                               65534, 65535, 65536, 65537, 16777215, 16777216, 100000000};

    for (size_t s = 0; s < WEIR_ARRAY_LEN(starts); s++)
        for (size_t d = 0; d < WEIR_ARRAY_LEN(delays); d++) {
            uint32_t at = starts[s] + delays[d];
            start(4, starts[s]);
            timer_wheel_arm(&w, 1, at);
            cr_assert_eq(timer_wheel_advance(&w, at - 1, fired, 4), 0, "start %u delay %u", starts[s], delays[d]);
            cr_assert_eq(w.armed, 1);
            cr_assert_eq(timer_wheel_advance(&w, at, fired, 4), 1, "start %u delay %u", starts[s], delays[d]);
            cr_assert_eq(fired[0], 1);
            cr_assert_eq(w.armed, 0);
            cr_assert_eq(w.now_ms, at);
            stop();
        }
}

Test(timer_wheel, the_past_fires_at_the_next_tick) {
    start(4, 1000);
    timer_wheel_arm(&w, 1, 1000);
    timer_wheel_arm(&w, 2, 10);
    cr_expect_eq(timer_wheel_advance(&w, 1000, fired, 4), 0);
    cr_expect_eq(timer_wheel_advance(&w, 1001, fired, 4), 2);
}

Test(timer_wheel, later_is_lazy_and_earlier_moves) {
    start(4, 0);
    timer_wheel_arm(&w, 1, 100);
    timer_wheel_arm(&w, 1, 500);
    cr_expect_eq(timer_wheel_next(&w, 1000), 100, "still early");
    timer_wheel_arm(&w, 1, 50);
    cr_expect_eq(timer_wheel_next(&w, 1000), 50);
    cr_expect_eq(w.armed, 1);
    cr_expect_eq(timer_wheel_advance(&w, 1000, fired, 4), 1);
}

Test(timer_wheel, cancel) {
    start(4, 0);
    timer_wheel_cancel(&w, 1);
    timer_wheel_arm(&w, 1, 300);
    timer_wheel_arm(&w, 2, 300);
    timer_wheel_arm(&w, 3, 300);
    timer_wheel_cancel(&w, 2);
    timer_wheel_cancel(&w, 2);
    cr_expect_eq(w.armed, 2);
    cr_expect_eq(timer_wheel_advance(&w, 300, fired, 4), 2);
    timer_wheel_arm(&w, 1, 301);
    timer_wheel_cancel(&w, 1);
    cr_expect_eq(timer_wheel_next(&w, 77), 377);
}

Test(timer_wheel, hands_out_at_most_max_and_loses_none) {
    const uint32_t n = 1000;
    uint32_t total = 0;

    start(n, 0);
    for (uint32_t id = 1; id <= n; id++)
        timer_wheel_arm(&w, id, 512); /* by way of a cascade */
    for (int calls = 0; calls < 1000 && total < n; calls++) {
        uint32_t got = timer_wheel_advance(&w, 2000, fired, 7);
        cr_assert_leq(got, 7);
        total += got;
        if (got == 7 && total < n)
            cr_assert_eq(w.now_ms, 511, "the tick is not over");
    }
    cr_expect_eq(total, n);
    timer_wheel_advance(&w, 2000, fired, 7);
    cr_expect_eq(w.now_ms, 2000);
}

Test(timer_wheel, a_cascade_is_bounded_too) {
    const uint32_t n = 3 * TIMER_WHEEL_CASCADE_MAX;
    uint32_t total = 0, calls = 0;

    start(n + 1, 0);
    for (uint32_t id = 1; id <= n; id++)
        timer_wheel_arm(&w, id, 70000 + id % 100);
    for (; total < n && calls < 100; calls++) {
        total += timer_wheel_advance(&w, 80000, fired, MAX_FIRED);
        /* Arming between two parts of a cascade disturbs nothing. */
        timer_wheel_arm(&w, n + 1, w.now_ms + 256);
        timer_wheel_cancel(&w, n + 1);
    }
    cr_expect_eq(total, n);
    cr_expect_geq(calls, 3);
    cr_expect_eq(w.armed, 0);
}

/* Against a plain array of deadlines. Arms, cancels, and advances by random steps, from a start that wraps soon. */
static void against_model(uint64_t seed) {
    enum { IDS = 64 };
    uint32_t deadline[IDS + 1];
    bool armed[IDS + 1] = {false};
    uint32_t now = 0xffff0000u + (uint32_t)(fixture_random(&seed) % 70000), n_armed = 0;

    start(IDS, now);
    for (int step = 0; step < 20000; step++) {
        uint32_t id = 1 + (uint32_t)(fixture_random(&seed) % IDS);
        switch (fixture_random(&seed) % 4) {
        case 0:
        case 1: {
            uint32_t at = now + (uint32_t)(fixture_random(&seed) >> (34 + fixture_random(&seed) % 30));
            timer_wheel_arm(&w, id, at);
            at = (int32_t)(at - now) <= 0 ? now + 1 : at;
            if (!armed[id] || (int32_t)(at - deadline[id]) < 0)
                deadline[id] = at;
            n_armed += !armed[id];
            armed[id] = true;
            break;
        }
        case 2:
            timer_wheel_cancel(&w, id);
            n_armed -= armed[id];
            armed[id] = false;
            break;
        default: {
            now += (uint32_t)(fixture_random(&seed) >> (44 + fixture_random(&seed) % 20));
            uint32_t n = timer_wheel_advance(&w, now, fired, IDS + 1);
            for (uint32_t i = 0; i < n; i++) {
                cr_assert(armed[fired[i]] && (int32_t)(deadline[fired[i]] - now) <= 0, "step %d", step);
                armed[fired[i]] = false;
            }
            n_armed -= n;
            for (id = 1; id <= IDS; id++)
                cr_assert(!armed[id] || (int32_t)(deadline[id] - now) > 0, "step %d: %u is late", step, id);
            uint32_t next = timer_wheel_next(&w, 1000000);
            for (id = 1; id <= IDS; id++)
                cr_assert(!armed[id] || (int32_t)(deadline[id] - next) >= 0 || next == now + 1000000);
        }
        }
        cr_assert_eq(w.armed, n_armed, "step %d", step);
    }
    stop();
}

Test(timer_wheel, agrees_with_a_model) {
    for (uint64_t seed = 1; seed <= 20; seed++)
        against_model(seed);
}
