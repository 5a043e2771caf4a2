/* SPDX-License-Identifier: BSD-3-Clause */
/* 1,000,000 established flows: what they cost in memory, and that no call does more work than its bound whatever
 * happens to all of them at the same millisecond. Work is counted and judged; CPU time is printed only. */
#include "harness.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    FLOWS = 1000000,
    BURST = TCP_BURST,
    HALF = FLOWS / 2 / BURST * BURST,
    OUT_MAX = 64,
    BYTES_A_FLOW = 256 + 16 + 12, /* struct tcp_conn, its timer node, its part of the flow table */
};

#ifdef __SANITIZE_ADDRESS__
#define SANITIZED true
#else
#define SANITIZED false
#endif

static struct tcp_core *core;
static struct timespec begun;
static uint64_t longest_ns, calls;

/* --- what a call takes --- */

static void clock_start(void) {
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begun);
}

static void clock_stop(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    uint64_t ns = (uint64_t)(now.tv_sec - begun.tv_sec) * 1000000000u + (uint64_t)(now.tv_nsec - begun.tv_nsec);
    longest_ns = ns > longest_ns ? ns : longest_ns;
    calls++;
}

static void clock_print(const char *what) {
    fprintf(stderr, "%-46s %8lu calls, the longest %6lu us\n", what, (unsigned long)calls,
            (unsigned long)longest_ns / 1000);
    longest_ns = calls = 0;
}

static uint64_t resident_bytes(void) {
    unsigned long all = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    cr_assert(f && fscanf(f, "%lu %lu", &all, &resident) == 2);
    fclose(f);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* --- a million peers --- */

/* Flow i's segment: addresses 198.18.16.x and on, 50,000 ports each. */
static struct rte_mbuf *from_peer(uint32_t i, struct craft f) {
    f.remote_port = (uint16_t)(10000 + i % 50000);
    f.wnd = 65535;
    struct rte_mbuf *m = craft(&f);
    rte_pktmbuf_mtod_offset(m, struct wire_ip4 *, 14)->saddr_be = RTE_BE32(0xc6121000u) + RTE_BE32(i / 50000);
    return m;
}

/* Its id: the pool hands indices out in order. */
static struct tcp_conn *flow(uint32_t i) {
    return tcp_conn_of(core, i + 1);
}

static void input(struct rte_mbuf **m, uint16_t n) {
    int16_t verdicts[BURST];
    clock_start();
    tcp_input_burst(core, m, n, core->now_us, verdicts);
    clock_stop();
    for (uint16_t i = 0; i < n; i++)
        if (verdicts[i] != TCP_SEG_KEPT)
            rte_pktmbuf_free(m[i]);
}

static uint16_t output(void) {
    struct rte_mbuf *out[OUT_MAX];
    tcp_core_port(core, 0)->tx_room = UINT16_MAX;
    uint16_t n = tcp_output(core, out, OUT_MAX, core->now_us);
    rte_pktmbuf_free_bulk(out, n);
    return n;
}

static void output_all(void) {
    while (output() != 0)
        ;
}

static void adopt_all(void) {
    for (tcp_id id; (id = tcp_ready_next(core)) != 0;) {
        cr_assert_eq(tcp_conn_events(core, id), TCP_EV_ACCEPTED);
        tcp_conn_set_user(core, id, id);
    }
}

static void establish_burst(uint32_t first) {
    struct rte_mbuf *m[BURST];
    for (uint32_t i = 0; i < BURST; i++)
        m[i] = from_peer(first + i, (struct craft){.seq = 1000, .flags = WIRE_TCP_SYN, .mss = 1460, .sack_ok = true});
    input(m, BURST);
    output_all();
    for (uint32_t i = 0; i < BURST; i++)
        m[i] = from_peer(first + i,
                         (struct craft){.seq = 1001, .ack = flow(first + i)->snd_una + 1, .flags = WIRE_TCP_ACK});
    input(m, BURST);
    adopt_all();
    output_all();
}

/* They are not what is to be measured. */
static void touch_mbufs(void) {
    static struct rte_mbuf *all[8192];
    uint32_t n = 0;
    while (n < WEIR_ARRAY_LEN(all) && (all[n] = rte_pktmbuf_alloc(harness_pool())) != NULL)
        memset(rte_pktmbuf_append(all[n++], 1600), 0, 1600);
    rte_pktmbuf_free_bulk(all, n);
}

/* All at one millisecond: what is due for one is due for all. */
static void establish_all(void) {
    struct tcp_config config = {.max_conns = FLOWS, .keepalive_idle_ms = 100000};
    core = harness_core(&config);
    cr_assert_eq(tcp_listen(core, LOCAL_ADDR, LOCAL_PORT, 1), 0);
    touch_mbufs();
    uint64_t before = resident_bytes();
    for (uint32_t i = 0; i < FLOWS; i += BURST)
        establish_burst(i);
    cr_assert_eq(core->stats.by_state[TCP_ESTABLISHED], FLOWS);
    cr_assert_eq(core->stats.accepted, FLOWS);
    uint64_t resident = resident_bytes() - before;
    fprintf(stderr, "a flow: %zu B object, %zu B timer node, %.1f B flow table; %.1f B resident in all\n",
            sizeof(struct tcp_conn), sizeof(struct timer_node), (double)flow_table_bytes(FLOWS) / FLOWS,
            (double)resident / FLOWS);
    cr_assert_leq(sizeof(struct tcp_conn) + sizeof(struct timer_node) + flow_table_bytes(FLOWS) / FLOWS, BYTES_A_FLOW);
    if (!SANITIZED) /* their shadow counts, too */
        cr_assert_leq(resident, (uint64_t)FLOWS * (BYTES_A_FLOW + 16), "%.1f B a flow", (double)resident / FLOWS);
    cr_assert_leq(core->table.reach, 8, "an entry lies %u buckets from its home", core->table.reach);
    clock_print("SYN and ACK, bursts of 64");
}

/* --- what may happen to all of them --- */

/* Nodes of the wheel that changed their place since the last call. */
static uint32_t nodes_moved(void) {
    static uint16_t places[FLOWS + 1];
    uint32_t n = 0;
    for (uint32_t id = 1; id <= FLOWS; id++) {
        n += core->wheel.nodes[id].slot != places[id];
        places[id] = core->wheel.nodes[id].slot;
    }
    return n;
}

/* A call of tcp_timers; returns how many flows it woke. */
static uint32_t timers(void) {
    uint32_t pending = core->pending[0].count, open = core->conns.used;
    clock_start();
    tcp_timers(core, core->now_us);
    clock_stop();
    uint32_t woken = core->pending[0].count - pending + open - core->conns.used;
    cr_assert_leq(woken, TCP_TIMERS_FIRED);
    return woken;
}

/* Every keep-alive timer is due at the same millisecond. On their way there all nodes come down the levels of the
 * wheel, so many a call. */
static void every_keepalive_at_once(void) {
    core->now_us += 100000000;
    nodes_moved();
    for (uint32_t woken = 0; !woken;) {
        woken = timers();
        cr_assert_leq(nodes_moved(), TIMER_WHEEL_CASCADE_MAX + woken);
    }
    cr_assert_geq(calls, FLOWS / TIMER_WHEEL_CASCADE_MAX);
    uint64_t probes = core->stats.keepalive_probes;
    output_all();
    while (core->stats.keepalive_probes < probes + FLOWS) {
        timers();
        do {
            cr_assert_leq(core->pending[0].count, TCP_TIMERS_FIRED);
        } while (output() == OUT_MAX);
    }
    cr_assert_geq(calls, FLOWS / TCP_TIMERS_FIRED);
    clock_print("keep-alive of all due at once, tcp_timers");
}

/* Flows spread over the whole pool, another one a segment. */
static uint32_t spread(uint32_t k) {
    return (uint32_t)((uint64_t)k * 7919 % FLOWS);
}

static void bursts_of_different_flows(void) {
    struct rte_mbuf *m[BURST];
    for (uint32_t k = 0; k < 1024 * BURST; k += BURST) {
        for (uint32_t i = 0; i < BURST; i++) {
            const struct tcp_conn *c = flow(spread(k + i));
            m[i] = from_peer(spread(k + i),
                             (struct craft){.seq = c->rcv_nxt, .ack = c->snd_una, .len = 100, .flags = WIRE_TCP_ACK});
        }
        uint64_t predicted = core->stats.predicted_in;
        input(m, BURST);
        cr_assert_eq(core->stats.predicted_in - predicted, BURST);
        cr_assert_leq(core->ready.count, BURST);
        cr_assert_leq(core->pending[0].count, BURST);
        for (tcp_id id; (id = tcp_ready_next(core)) != 0;) {
            tcp_conn_events(core, id);
            rope_clear(tcp_conn_rx(core, id));
            tcp_conn_consumed(core, id);
        }
        output_all();
    }
    clock_print("100 B in order, 64 flows of all a burst");
}

/* The port is down for a while: everybody's window update waits, and then has nothing to say any more. */
static void all_pending_for_nothing(void) {
    for (uint32_t i = 0; i < FLOWS; i++)
        tcp_pending(core, flow(i));
    cr_assert_eq(core->pending[0].count, FLOWS);
    while (core->pending[0].count) {
        uint32_t before = core->pending[0].count;
        clock_start();
        cr_assert_eq(output(), 0);
        clock_stop();
        cr_assert_leq(before - core->pending[0].count, TCP_OUT_VISITS);
        cr_assert_gt(before, core->pending[0].count);
    }
    clock_print("all pending without a segment, tcp_output");
}

static void resets_for(uint32_t flows) {
    struct rte_mbuf *m[BURST];
    for (uint32_t k = 0; k < flows; k += BURST) {
        for (uint32_t i = 0; i < BURST; i++)
            m[i] = from_peer(FLOWS - 1 - k - i,
                             (struct craft){.seq = flow(FLOWS - 1 - k - i)->rcv_nxt, .flags = WIRE_TCP_RST});
        uint64_t resets = core->stats.resets_in;
        input(m, BURST);
        cr_assert_eq(core->stats.resets_in - resets, BURST);
        cr_assert_eq(core->ready.count, BURST);
        for (tcp_id id; (id = tcp_ready_next(core)) != 0;)
            tcp_conn_release(core, id);
    }
    cr_assert_eq(core->stats.by_state[TCP_ESTABLISHED], FLOWS - flows);
    clock_print("RST, 64 flows a burst");
}

/* We close first: FIN out, its ACK and the peer's FIN in. */
static void time_wait_for(uint32_t flows) {
    struct rte_mbuf *m[BURST];
    for (uint32_t k = 0; k < flows; k += BURST) {
        for (uint32_t i = 0; i < BURST; i++)
            tcp_conn_release(core, k + i + 1);
        output_all();
        for (uint32_t i = 0; i < BURST; i++)
            m[i] = from_peer(k + i, (struct craft){.seq = flow(k + i)->rcv_nxt,
                                                   .ack = flow(k + i)->snd_una + 1,
                                                   .flags = WIRE_TCP_ACK | WIRE_TCP_FIN});
        input(m, BURST);
        output_all();
    }
    cr_assert_eq(core->stats.by_state[TCP_TIME_WAIT], flows);
    clock_print("FIN and ACK, 64 flows a burst");
}

static void every_time_wait_at_once(void) {
    core->now_us += (uint64_t)core->cfg.time_wait_ms * 1000 + 1000;
    while (core->stats.by_state[TCP_TIME_WAIT]) {
        timers();
        while (output() == OUT_MAX)
            ;
    }
    clock_print("end of TIME-WAIT of all at once, tcp_timers");
}

Test(tcp_million, memory_and_work_are_bounded, .timeout = 300) {
    establish_all();
    every_keepalive_at_once();
    bursts_of_different_flows();
    all_pending_for_nothing();
    resets_for(HALF);
    time_wait_for(FLOWS - HALF);
    every_time_wait_at_once();
    cr_assert_eq(core->conns.used, 0);
    cr_assert_eq(core->table.used, 0);
    cr_assert_eq(core->wheel.armed, 0);
    cr_assert_eq(harness_mbufs_out(), 0);
    harness_core_free(core);
}
