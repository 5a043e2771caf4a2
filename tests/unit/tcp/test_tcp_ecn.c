/* SPDX-License-Identifier: BSD-3-Clause */
/* RFC 3168: who agrees on it with whom, what is marked, how a mark travels back and forth. */
#include "harness.h"

#include <criterion/criterion.h>

#define MSS   1000u
#define ECE   WIRE_TCP_ECE
#define CWR   WIRE_TCP_CWR
#define SETUP (ECE | CWR)

static struct tcp_core *core;
static tcp_id id;
static struct tcp_conn *c;

static void listen_with(bool ecn) {
    core = harness_core(NULL);
    tcp_listen(core, LOCAL_ADDR, LOCAL_PORT, 7);
    tcp_listen_options(core, 7, &(struct tcp_options){.ecn = ecn, .cc = TCP_CC_RENO});
}

static int syn_with(uint8_t flags) {
    struct craft syn = {.seq = 1000, .flags = WIRE_TCP_SYN | flags, .wnd = 65535, .mss = MSS, .sack_ok = true};
    return feed(core, &syn);
}

/* An established passive flow on which both sides want it. */
static void open_flow(void) {
    listen_with(true);
    syn_with(SETUP);
    struct decoded d = drain_one(core);
    struct craft ack = {.seq = 1001, .ack = d.seq + 1, .flags = WIRE_TCP_ACK, .wnd = 65535};
    feed(core, &ack);
    id = tcp_ready_next(core);
    c = tcp_conn_of(core, id);
    tcp_conn_events(core, id);
    c->srtt_us = 200000; /* no probe before the delayed ACK */
}

static void arrive(uint32_t len, uint8_t ecn, uint8_t flags) {
    struct craft f = peer_segment(core, id);
    f.len = len;
    f.ecn = ecn;
    f.flags |= flags;
    f.ack = c->snd_una;
    cr_assert_geq(feed(core, &f), 0);
}

/* The peer acknowledges so much more. */
static void ack(uint32_t bytes, uint8_t flags) {
    struct craft f = peer_segment(core, id);
    f.ack = c->snd_una + bytes;
    f.flags |= flags;
    cr_assert_geq(feed(core, &f), 0);
}

static unsigned fly(uint32_t segments, struct decoded *d) {
    send_bytes(core, id, segments * MSS);
    return drain(core, d, 64);
}

/* Something leaves, and nothing of it is marked. */
static void expect_unmarked(void) {
    struct decoded d[64];
    unsigned n = drain(core, d, 64);
    cr_assert_geq(n, 1);
    for (unsigned i = 0; i < n; i++)
        cr_assert_eq(d[i].ecn, WIRE_IP4_NOT_ECT);
}

/* --- 6.1.1 --- */

Test(tcp_ecn, server) {
    static const struct {
        bool willing;
        uint8_t asked;
        bool agreed;
    } rows[] = {{true, SETUP, true}, {true, ECE, false},    {true, CWR, false},
                {true, 0, false},    {false, SETUP, false}, {false, 0, false}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        listen_with(rows[i].willing);
        syn_with(rows[i].asked);
        struct decoded d = drain_one(core);
        cr_expect_eq(d.flags, WIRE_TCP_SYN | WIRE_TCP_ACK | (rows[i].agreed ? ECE : 0), "row %zu", i);
        cr_expect_eq(d.ecn, WIRE_IP4_NOT_ECT);
        struct craft last = {.seq = 1001, .ack = d.seq + 1, .flags = WIRE_TCP_ACK, .wnd = 65535};
        feed(core, &last);
        struct tcp_info info;
        tcp_conn_info(core, tcp_ready_next(core), &info);
        cr_expect_eq(info.ecn, rows[i].agreed, "row %zu", i);
        cr_expect_eq(info.cc, TCP_CC_RENO);
        harness_core_free(core);
    }
}

Test(tcp_ecn, client) {
    static const struct {
        bool offer;
        uint8_t answer;
        bool agreed;
    } rows[] = {{true, ECE, true}, {true, SETUP, false}, {true, 0, false}, {true, CWR, false}, {false, ECE, false}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        core = harness_core(NULL);
        tcp_connect(core, 0, LOCAL_ADDR, LOCAL_PORT, REMOTE_ADDR, REMOTE_PORT, 9, core->now_us, &id);
        tcp_conn_options(core, id, &(struct tcp_options){.ecn = rows[i].offer});
        struct decoded d = drain_one(core);
        cr_expect_eq(d.flags, WIRE_TCP_SYN | (rows[i].offer ? SETUP : 0));
        cr_expect_eq(d.ecn, WIRE_IP4_NOT_ECT);
        struct craft f = {.seq = 5000,
                          .ack = d.seq + 1,
                          .flags = WIRE_TCP_SYN | WIRE_TCP_ACK | rows[i].answer,
                          .wnd = 65535,
                          .mss = MSS};
        feed(core, &f);
        d = drain_one(core);
        cr_expect_eq(d.flags, WIRE_TCP_ACK);
        cr_expect_eq(d.ecn, WIRE_IP4_NOT_ECT, "a bare ACK");
        cr_expect_eq(tcp_core_stats(core)->ecn_ece_in, 0, "row %zu: the ECE of a SYN tells of no mark", i);
        send_bytes(core, id, MSS);
        d = drain_one(core);
        cr_expect_eq(d.ecn, rows[i].agreed ? WIRE_IP4_ECT0 : WIRE_IP4_NOT_ECT, "row %zu", i);
        harness_core_free(core);
    }
}

/* 6.1.1.1: a SYN that nobody answers is sent again without. Then our data is not ECT, whatever the answer, but marks
 * are echoed where the peer thinks that they will be. */
Test(tcp_ecn, a_syn_that_is_lost_is_repeated_without) {
    for (int late = 0; late < 2; late++) {
        core = harness_core(NULL);
        tcp_connect(core, 0, LOCAL_ADDR, LOCAL_PORT, REMOTE_ADDR, REMOTE_PORT, 9, core->now_us, &id);
        tcp_conn_options(core, id, &(struct tcp_options){.ecn = true});
        c = tcp_conn_of(core, id);
        cr_assert_eq(drain_one(core).flags, WIRE_TCP_SYN | SETUP);
        sleep_ms(core, 1100);
        struct decoded d = drain_one(core);
        cr_assert_eq(d.flags, WIRE_TCP_SYN);
        struct craft f = {.seq = 5000,
                          .ack = d.seq + 1,
                          .flags = WIRE_TCP_SYN | WIRE_TCP_ACK | (late ? ECE : 0),
                          .wnd = 65535,
                          .mss = MSS};
        feed(core, &f);
        drain_one(core);
        send_bytes(core, id, MSS);
        cr_assert_eq(drain_one(core).ecn, WIRE_IP4_NOT_ECT);
        arrive(100, WIRE_IP4_CE, 0);
        sleep_ms(core, 50);
        cr_assert_eq(drain_one(core).flags, WIRE_TCP_ACK | (late ? ECE : 0));
        harness_core_free(core);
    }
}

Test(tcp_ecn, a_peer_that_gives_it_up_in_its_second_syn) {
    listen_with(true);
    syn_with(SETUP);
    cr_assert_eq(drain_one(core).flags, WIRE_TCP_SYN | WIRE_TCP_ACK | ECE);
    syn_with(SETUP);
    cr_assert_eq(drain_one(core).flags, WIRE_TCP_SYN | WIRE_TCP_ACK | ECE, "the same again");
    syn_with(0);
    cr_assert_eq(drain_one(core).flags, WIRE_TCP_SYN | WIRE_TCP_ACK);
    harness_core_free(core);
}

Test(tcp_ecn, simultaneous_open) {
    core = harness_core(NULL);
    tcp_connect(core, 0, LOCAL_ADDR, LOCAL_PORT, REMOTE_ADDR, REMOTE_PORT, 9, core->now_us, &id);
    tcp_conn_options(core, id, &(struct tcp_options){.ecn = true});
    drain_one(core);
    syn_with(SETUP);
    cr_assert_eq(drain_one(core).flags, WIRE_TCP_SYN | WIRE_TCP_ACK | ECE);
    harness_core_free(core);
}

/* --- 6.1.3: receiving --- */

Test(tcp_ecn, a_mark_is_echoed_until_cwr) {
    open_flow();
    arrive(100, WIRE_IP4_ECT0, 0);
    sleep_ms(core, 50);
    cr_assert_eq(drain_one(core).flags, WIRE_TCP_ACK);
    arrive(100, WIRE_IP4_CE, 0);
    cr_assert_eq(drain_one(core).flags, WIRE_TCP_ACK | ECE, "at once");
    for (int i = 0; i < 3; i++) {
        arrive(100, WIRE_IP4_ECT0, 0);
        sleep_ms(core, 50);
        cr_assert_eq(drain_one(core).flags, WIRE_TCP_ACK | ECE);
    }
    send_bytes(core, id, 10);
    cr_assert_eq(drain_one(core).flags, WIRE_TCP_ACK | WIRE_TCP_PSH | ECE, "on data too");
    arrive(100, WIRE_IP4_CE, CWR); /* the news is newer */
    sleep_ms(core, 50);
    cr_assert_eq(drain_one(core).flags, WIRE_TCP_ACK | ECE);
    arrive(100, WIRE_IP4_ECT0, CWR);
    sleep_ms(core, 50);
    cr_assert_eq(drain_one(core).flags, WIRE_TCP_ACK);
    cr_assert_eq(core->stats.ecn_ce_in, 2);
    harness_core_free(core);
}

Test(tcp_ecn, marks_that_say_nothing) {
    open_flow();
    arrive(0, WIRE_IP4_CE, 0);
    cr_assert_not(c->flags & TCP_F_ECE, "no data: 6.1.4");
    arrive(100, WIRE_IP4_NOT_ECT, 0);
    struct craft f = peer_segment(core, id);
    f.seq += 1u << 20;
    f.len = 100;
    f.ecn = WIRE_IP4_CE;
    cr_assert_lt(feed(core, &f), 0);
    cr_assert_not(c->flags & TCP_F_ECE, "outside the window: 6.1.5");
    f = peer_segment(core, id);
    f.seq -= 100;
    f.len = 100;
    f.ecn = WIRE_IP4_CE;
    cr_assert_lt(feed(core, &f), 0);
    cr_assert_not(c->flags & TCP_F_ECE, "a repetition");
    cr_assert_eq(core->stats.ecn_ce_in, 0);
    harness_core_free(core);
}

Test(tcp_ecn, a_flow_that_did_not_agree_ignores_it_all) {
    core = harness_core(NULL);
    id = establish(core, NULL);
    c = tcp_conn_of(core, id);
    struct decoded d[64];
    arrive(100, WIRE_IP4_CE, SETUP);
    sleep_ms(core, 50);
    cr_assert_eq(drain_one(core).flags, WIRE_TCP_ACK);
    cr_assert_eq(fly(4, d), 3); /* MSS 1460 */
    uint32_t cwnd = c->cwnd;
    ack(1460, ECE);
    cr_assert_geq(c->cwnd, cwnd);
    cr_assert_eq(core->stats.ecn_ce_in + core->stats.ecn_ece_in + core->stats.ecn_reductions, 0);
    harness_core_free(core);
}

/* --- 6.1.2: sending --- */

Test(tcp_ecn, one_reduction_a_window_and_cwr_on_new_data) {
    struct decoded d[64];
    open_flow();
    cr_assert_eq(fly(10, d), 10);
    for (int i = 0; i < 10; i++)
        cr_assert(d[i].ecn == WIRE_IP4_ECT0 && !(d[i].flags & SETUP));
    ack(MSS, ECE);
    cr_assert_eq(c->ssthresh, 5 * MSS);
    cr_assert_eq(c->cwnd, 5 * MSS);
    for (int i = 0; i < 8; i++) { /* the peer says it until it has seen CWR */
        ack(MSS, ECE);
        cr_assert_eq(c->cwnd, 5 * MSS, "nor does the window grow");
    }
    ack(MSS, 0);
    cr_assert_eq(c->cwnd, 5 * MSS);
    cr_assert_eq(core->stats.ecn_reductions, 1);
    cr_assert_eq(core->stats.ecn_ece_in, 9);
    cr_assert_eq(fly(5, d), 5);
    cr_assert_eq(d[0].flags & SETUP, CWR);
    for (int i = 1; i < 5; i++)
        cr_assert_eq(d[i].flags & SETUP, 0, "once");
    ack(MSS, ECE); /* of the new window */
    cr_assert_eq(core->stats.ecn_reductions, 2);
    cr_assert_eq(c->cwnd, 5 * MSS / 2);
    harness_core_free(core);
}

/* 6.1.2: CWR follows any reduction, and there is one a window, whatever told of congestion. */
Test(tcp_ecn, losses_and_marks_of_one_window) {
    struct decoded d[64];
    open_flow();
    cr_assert_eq(fly(10, d), 10);
    sleep_ms(core, 20);
    ack(MSS, ECE);
    cr_assert_eq(c->cwnd, 5 * MSS);
    struct craft f = peer_segment(core, id);
    f.ack = c->snd_una;
    f.n_sacks = 1;
    f.sacks[0] = (struct tcp_sack){c->snd_una + MSS, c->snd_una + 6 * MSS};
    feed(core, &f); /* a hole: recovery, but no second reduction */
    cr_assert(c->flags & TCP_F_RECOVERY);
    cr_assert_eq(c->ssthresh, 5 * MSS);
    unsigned n = drain(core, d, 64);
    cr_assert_geq(n, 1);
    cr_assert(d[0].ecn == WIRE_IP4_NOT_ECT && !(d[0].flags & CWR), "what is sent again does not say it");
    ack(9 * MSS, ECE);
    cr_assert_eq(core->stats.ecn_reductions, 1);
    cr_assert_eq(c->ssthresh, 5 * MSS);
    harness_core_free(core);
}

Test(tcp_ecn, cwr_after_a_timeout) {
    struct decoded d[64];
    open_flow();
    cr_assert_eq(fly(2, d), 2);
    sleep_ms(core, 3000);
    cr_assert_geq(drain(core, d, 64), 1);
    cr_assert(c->flags & TCP_F_CWR);
    ack(c->snd_nxt - c->snd_una, 0);
    fly(1, d);
    cr_assert_eq(d[0].flags & SETUP, CWR);
    harness_core_free(core);
}

Test(tcp_ecn, cwr_waits_for_new_data) {
    struct decoded d[64];
    open_flow();
    fly(4, d);
    ack(MSS, ECE);
    cr_assert(c->flags & TCP_F_CWR);
    arrive(100, WIRE_IP4_ECT0, 0);
    sleep_ms(core, 50);
    cr_assert_eq(drain_one(core).flags, WIRE_TCP_ACK, "an ACK does not carry it");
    ack(3 * MSS, 0);
    fly(1, d);
    cr_assert_eq(d[0].flags & SETUP, CWR);
    harness_core_free(core);
}

Test(tcp_ecn, nothing_outstanding_nothing_to_slow_down) {
    open_flow();
    uint32_t cwnd = c->cwnd;
    arrive(100, WIRE_IP4_ECT0, ECE);
    cr_assert_eq(c->cwnd, cwnd);
    cr_assert_eq(core->stats.ecn_reductions, 0);
    harness_core_free(core);
}

/* 6.1.5 */
Test(tcp_ecn, retransmissions_are_not_marked) {
    struct decoded d[64];
    open_flow();
    fly(2, d);
    sleep_ms(core, 3000);
    expect_unmarked();
    harness_core_free(core);
}

/* 6.1.6 */
Test(tcp_ecn, window_probes_are_not_marked) {
    struct decoded d[64];
    open_flow();
    struct craft f = peer_segment(core, id);
    f.wnd = 0;
    feed(core, &f);
    cr_assert_eq(fly(1, d), 0);
    sleep_ms(core, 1500);
    expect_unmarked();
    harness_core_free(core);
}

/* A flow that never lost anything: `recover` comes along and does not lie ahead after 2 GB. */
Test(tcp_ecn, recover_follows) {
    open_flow();
    c->ssthresh = c->cwnd;
    for (uint32_t i = 0; i < 40; i++) {
        c->snd_una = c->snd_nxt += 100000000;
        uint32_t cwnd = c->cwnd;
        tcp_cc_acked(core, c, &(struct tcp_cc_ack){.acked = cwnd, .flight = cwnd, .now_us = core->now_us});
        cr_assert_gt(c->cwnd, cwnd);
    }
    harness_core_free(core);
}
