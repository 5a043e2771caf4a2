/* SPDX-License-Identifier: BSD-3-Clause */
/* A server's health: THE TABLE of state x event below. */
#include "lb_int.h"

#define FAILURES_TO_DOWN 3
#define PROBES_TO_UP     2
#define BACKOFF_FIRST_US 500000ull
#define BACKOFF_STEPS    3          /* doublings: intervals start at 0.5, 1, 2, 4 s and stretch up to twice that */
#define PROBE_SILENT_US  8000000ull /* a probe nobody reported on is asked again after so long */

/* When to probe next. An interval of b to 2 b, spread by a hash, so that a fleet's workers do not probe in step. */
static uint64_t next_probe_us(const struct lb_server *s, uint64_t now_us) {
    uint32_t step = s->failures > FAILURES_TO_DOWN ? s->failures - FAILURES_TO_DOWN : 0;
    uint64_t base_us = BACKOFF_FIRST_US << weir_min_u32(step, BACKOFF_STEPS);
    const uint64_t key[] = {now_us, s->server_id, s->failures};

    return now_us + base_us + lb_hash(key, sizeof(key)) % base_us;
}

static void count_failure(struct lb_server *s) {
    if (s->failures < UINT8_MAX)
        s->failures++;
}

static void go_down(struct lb_server *s, uint64_t now_us) {
    s->state = LB_DOWN;
    s->successes = 0;
    s->probe_at_us = next_probe_us(s, now_us);
}

static void go_serving(struct lb_server *s) {
    s->state = s->admin_drain ? LB_DRAINING : LB_UP;
    s->failures = 0;
    s->successes = 0;
    s->wrr_current = 0; /* no credit from before */
}

static void on_nothing(struct lb_server *s, uint64_t now_us) {
    (void)s, (void)now_us;
}

static void on_connect_ok(struct lb_server *s, uint64_t now_us) {
    (void)now_us;
    s->failures = 0;
}

static void on_connect_failed(struct lb_server *s, uint64_t now_us) {
    count_failure(s);
    if (s->failures >= FAILURES_TO_DOWN)
        go_down(s, now_us);
}

static void on_probe_ok(struct lb_server *s, uint64_t now_us) {
    s->failures = FAILURES_TO_DOWN; /* the next probes come quickly again */
    if (++s->successes >= PROBES_TO_UP)
        go_serving(s);
    else
        s->probe_at_us = next_probe_us(s, now_us);
}

static void on_probe_failed(struct lb_server *s, uint64_t now_us) {
    count_failure(s);
    s->successes = 0;
    s->probe_at_us = next_probe_us(s, now_us);
}

static void on_drain(struct lb_server *s, uint64_t now_us) {
    (void)now_us;
    s->admin_drain = true;
    if (s->state == LB_UP)
        s->state = LB_DRAINING;
}

static void on_ready(struct lb_server *s, uint64_t now_us) {
    (void)now_us;
    s->admin_drain = false;
    if (s->state == LB_DRAINING)
        s->state = LB_UP;
}

/* An operator's word does not make a dead server live, but it is looked at now. */
static void on_ready_while_down(struct lb_server *s, uint64_t now_us) {
    s->admin_drain = false;
    s->probe_at_us = now_us;
}

typedef void (*handler)(struct lb_server *s, uint64_t now_us);

/* Reports about connections begun before a server went down, and about probes begun before it came up, change nothing.
 */
static const handler table[3][6] = {
    [LB_UP] = {[LB_EV_CONNECT_OK] = on_connect_ok,
               [LB_EV_CONNECT_FAILED] = on_connect_failed,
               [LB_EV_PROBE_OK] = on_nothing,
               [LB_EV_PROBE_FAILED] = on_nothing,
               [LB_EV_DRAIN] = on_drain,
               [LB_EV_READY] = on_ready},
    [LB_DRAINING] = {[LB_EV_CONNECT_OK] = on_connect_ok,
                     [LB_EV_CONNECT_FAILED] = on_connect_failed,
                     [LB_EV_PROBE_OK] = on_nothing,
                     [LB_EV_PROBE_FAILED] = on_nothing,
                     [LB_EV_DRAIN] = on_drain,
                     [LB_EV_READY] = on_ready},
    [LB_DOWN] = {[LB_EV_CONNECT_OK] = on_nothing,
                 [LB_EV_CONNECT_FAILED] = on_nothing,
                 [LB_EV_PROBE_OK] = on_probe_ok,
                 [LB_EV_PROBE_FAILED] = on_probe_failed,
                 [LB_EV_DRAIN] = on_drain,
                 [LB_EV_READY] = on_ready_while_down},
};

enum lb_state lb_server_event(struct lb_server *s, enum lb_event ev, uint64_t now_us) {
    assert(s->state < WEIR_ARRAY_LEN(table) && ev < WEIR_ARRAY_LEN(table[0]));
    table[s->state][ev](s, now_us);
    return s->state;
}

uint16_t lb_probe_due(struct lb_pool *p, uint64_t now_us) {
    for (uint16_t i = 0; i < p->n_servers; i++) {
        struct lb_server *s = &p->servers[i];
        if (s->state == LB_DOWN && now_us >= s->probe_at_us) {
            s->probe_at_us = now_us + PROBE_SILENT_US;
            return i;
        }
    }
    return LB_NONE;
}
