/* SPDX-License-Identifier: BSD-3-Clause */
/* The watch over the workers' turns: who is told of, who ends the process, and what is no stall. */
#include "stats_fixture.h"
#include "weir/control_int.h"

#include <rte_cycles.h>
#include <signal.h>
#include <unistd.h>

static struct control control;

static void setup(void) {
    fixture_eal();
    fixture_make(2);
    fx.weir.ports.n = 0; /* links have no say here */
    control = (struct control){.weir = &fx.weir, .tick = 1};
    cr_assert_eq(log_open("/dev/null", LOG_LVL_ERROR, LOG_FMT_TEXT), 0);
}

TestSuite(watch, .init = setup);

/* The last turn of a worker began so many seconds ago. */
static void turned(uint16_t worker, double s_ago) {
    fx.weir.workers[worker]->turn_tsc = rte_rdtsc() - (uint64_t)(s_ago * (double)rte_get_tsc_hz());
}

Test(watch, workers_that_turn) {
    turned(0, 0);
    turned(1, 0.5);
    watch_tick(&control);
    cr_expect(!control.stalled[0] && !control.stalled[1]);
}

Test(watch, a_stall_is_seen_and_its_end) {
    turned(0, 0);
    turned(1, 2);
    watch_tick(&control);
    cr_expect(!control.stalled[0] && control.stalled[1]);
    turned(1, 0);
    watch_tick(&control);
    cr_expect(!control.stalled[1]);
}

Test(watch, a_worker_that_has_not_begun) {
    watch_tick(&control);
    cr_expect(!control.stalled[0] && !control.stalled[1]);
}

Test(watch, a_long_stall_aborts, .signal = SIGABRT) {
    turned(0, 0);
    turned(1, 0);
    watch_tick(&control);
    turned(1, 11);
    watch_tick(&control);
}

/* SIGSTOP and SIGCONT: workers and control alike were still, and the workers have not had their turn yet. */
Test(watch, a_pause_of_the_process_is_no_stall) {
    turned(0, 0);
    turned(1, 0);
    watch_tick(&control);
    control.watched_tsc -= 60 * rte_get_tsc_hz();
    turned(0, 60);
    turned(1, 60);
    watch_tick(&control);
    cr_expect(!control.stalled[0] && !control.stalled[1]);
    watch_tick(&control); /* from here on the clock runs again */
    cr_expect(!control.stalled[0]);
    control.watch_from_tsc -= 2 * rte_get_tsc_hz();
    watch_tick(&control);
    cr_expect(control.stalled[0]);
}
