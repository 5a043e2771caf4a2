/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <criterion/criterion.h>

static struct tcp_core *core;
static tcp_id id;
static struct tcp_conn *c;

static const struct tcp_config wide = {.rcv_buf_bytes = 1u << 20, .snd_buf_bytes = 1u << 20};

static void open_flow(const struct tcp_config *config, const struct craft *syn) {
    core = harness_core(config);
    id = establish(core, syn);
    c = tcp_conn_of(core, id);
}

static const struct craft with_ts = {.mss = 1460, .wscale = 8, .has_ts = true, .ts_val = 5},
                          without_ts = {.mss = 1460, .wscale = 8};

static void consume(uint32_t n) {
    rope_trim(tcp_conn_rx(core, id), n);
    tcp_conn_consumed(core, id);
}

static uint32_t offered(void) {
    return c->rcv_adv - c->rcv_nxt;
}

/* The peer sends `bytes`, or what the window takes; the owner reads `read` in a thousand of them; then a round trip of
 * 10 ms goes by. The echoes are of what was sent a round trip ago. */
static void round_trip(uint32_t bytes, uint32_t read) {
    uint32_t echo = tcp_ts_now(core, c);
    sleep_ms(core, 10);
    for (uint32_t sent = 0; sent < bytes && offered() >= 1400; sent += 1400) {
        struct craft f = peer_segment(core, id);
        f.len = 1400;
        f.ts_ecr = echo;
        cr_assert_eq(feed(core, &f), TCP_SEG_KEPT);
        if (read == 1000)
            consume(1400);
        drain_all(core);
    }
    if (read < 1000)
        consume((uint32_t)((uint64_t)tcp_conn_rx(core, id)->len_bytes * read / 1000));
    drain_all(core);
}

Test(tcp_window, begins_modestly_and_scales_for_the_most) {
    open_flow(&wide, &with_ts);
    cr_assert_eq(tcp_rcv_buf(core, c), 65536);
    cr_assert_leq(offered(), 65536);
    cr_assert_eq(core->rcv_wscale, 5, "1 MB does not fit 65535 << 4");
    cr_assert_eq(tcp_rcv_wscale(c), 5);
    cr_assert_eq(tcp_window_of_syn(core, c), 65535);
    harness_core_free(core);
    struct tcp_config narrow = {.rcv_buf_bytes = 10000};
    open_flow(&narrow, &with_ts);
    cr_assert_eq(tcp_rcv_buf(core, c), 10000);
    cr_assert_eq(core->rcv_wscale, 0);
    harness_core_free(core);
}

/* Each round trip that a reader keeps up with a full window doubles it, up to the most. */
Test(tcp_window, grows_with_the_reader) {
    static const struct craft *const options[] = {&with_ts, &without_ts};
    for (unsigned o = 0; o < WEIR_ARRAY_LEN(options); o++) {
        open_flow(&wide, options[o]);
        c->srtt_us = o ? 10000 : 1; /* with timestamps the echo tells, whatever the handshake measured */
        uint32_t before = tcp_rcv_buf(core, c);
        for (unsigned i = 0; i < 8; i++) {
            round_trip(UINT32_MAX / 2 > before ? before : 0, 1000);
            cr_assert_leq(tcp_rcv_buf(core, c), 3 * before, "at most what was read, twice");
            before = tcp_rcv_buf(core, c);
        }
        cr_assert_eq(before, 1u << 20, "%u", before);
        cr_assert_geq(offered(), (1u << 20) - 65536);
        harness_core_free(core);
    }
}

/* Without timestamps or an RTT, reading a window's worth is a round. */
Test(tcp_window, grows_without_a_clock) {
    open_flow(&wide, &without_ts);
    c->srtt_us = 0;
    for (unsigned i = 0; i < 20; i++)
        round_trip(tcp_rcv_buf(core, c), 1000);
    cr_assert_eq(tcp_rcv_buf(core, c), 1u << 20);
    harness_core_free(core);
}

Test(tcp_window, stays_where_the_sender_is_slow) {
    open_flow(&wide, &with_ts);
    for (unsigned i = 0; i < 50; i++)
        round_trip(28000, 1000);
    cr_assert_eq(tcp_rcv_buf(core, c), 65536);
    harness_core_free(core);
}

Test(tcp_window, stays_where_the_reader_is_slow) {
    open_flow(&wide, &with_ts);
    for (unsigned i = 0; i < 50; i++)
        round_trip(1u << 20, 250);
    cr_assert_eq(tcp_rcv_buf(core, c), 65536, "%u", tcp_rcv_buf(core, c));
    harness_core_free(core);
}

Test(tcp_window, a_pause_is_no_round_trip) {
    open_flow(&wide, &with_ts);
    for (unsigned i = 0; i < 5; i++) {
        sleep_ms(core, 65530); /* the 16 bits of drs_ms go round: this round is taken with the next */
        round_trip(14000, 1000);
    }
    cr_assert_eq(tcp_rcv_buf(core, c), 65536);
    harness_core_free(core);
}

Test(tcp_window, stays_while_the_budget_is_short) {
    struct tcp_config config = wide;
    config.rx_budget_mbufs = 400;
    open_flow(&config, &with_ts);
    tcp_rx_kept(core, 201);
    for (unsigned i = 0; i < 20; i++)
        round_trip(65536, 1000);
    cr_assert_eq(tcp_rcv_buf(core, c), 65536);
    tcp_rx_kept(core, -201);
    round_trip(65536, 1000);
    round_trip(65536, 1000);
    cr_assert_gt(tcp_rcv_buf(core, c), 65536);
    harness_core_free(core);
}

Test(tcp_window, closes_and_opens) {
    struct tcp_config config = {.rcv_buf_bytes = 10000};
    open_flow(&config, NULL);
    uint32_t edge = c->rcv_adv;
    cr_assert_eq(edge, 1001 + 10000);
    for (unsigned i = 0; i < 8; i++)
        cr_assert_eq(feed_data(core, id, 1250), TCP_SEG_KEPT);
    struct decoded d = drain_one(core);
    cr_assert(d.wnd == 0 && d.ack == edge);
    struct craft probe = peer_segment(core, id);
    probe.len = 1;
    cr_assert_eq(feed(core, &probe), -TCP_DROP_WINDOW_CLOSED);
    d = drain_one(core);
    cr_assert(d.wnd == 0 && d.ack == edge, "a probe is answered");
    consume(1250); /* less than a segment: not worth an update (RFC 9293 3.8.6.2.2) */
    cr_assert_eq(drain_all(core), 0);
    feed(core, &probe);
    cr_assert_eq(drain_one(core).wnd, 0, "nor told to one that asks");
    consume(2500);
    d = drain_one(core);
    cr_assert(d.wnd == 3750 && d.ack == edge);
    harness_core_free(core);
}

Test(tcp_window, a_reader_that_keeps_up_causes_no_updates) {
    open_flow(NULL, NULL);
    for (unsigned i = 0; i < 100; i++) {
        feed_data(core, id, 1000);
        consume(1000);
        cr_assert_leq(drain_all(core), 1);
    }
    cr_assert_leq(core->stats.segs_out, 2 + TCP_QUICK_ACKS + 50);
    harness_core_free(core);
}

Test(tcp_window, shrinks_towards_the_budget_and_the_edge_stays) {
    struct tcp_config config = {.rx_budget_mbufs = 100};
    open_flow(&config, NULL);
    uint32_t edge = c->rcv_adv;
    for (unsigned i = 0; i < 44; i++) {
        feed_data(core, id, 1400);
        struct decoded d[4];
        unsigned n = drain(core, d, 4);
        if (n) {
            uint32_t told = d[n - 1].ack + d[n - 1].wnd;
            cr_assert_not(seq_lt(told, edge), "the right edge moved left");
            cr_assert_eq(told, c->rcv_adv);
            edge = told;
        }
    }
    cr_assert_lt(edge - 1001, 65536u + 1, "no more than was free");
    tcp_rx_kept(core, 56);
    cr_assert_eq(feed_data(core, id, 1400), -TCP_DROP_RX_BUDGET, "nothing is left");
    drain_all(core);
    struct craft syn = {.mss = 1460, .remote_port = 5};
    tcp_ready_next(core);
    tcp_id other = establish(core, &syn);
    cr_assert_eq(tcp_conn_of(core, other)->rcv_adv, 1001, "nor for a newcomer");
    tcp_rx_kept(core, -56);
    consume(1400 * 44);
    drain_all(core);
    cr_assert_eq(core->stats.rx_mbufs, 0);
    cr_assert_geq(offered(), 65535);
    harness_core_free(core);
}

/* Half of what is free: a greedy flow leaves as much as it takes, each further one the same. */
Test(tcp_window, half_of_what_is_free) {
    struct tcp_config config = {.rx_budget_mbufs = 60, .rcv_buf_bytes = 1u << 20, .rcv_buf_initial_bytes = 1u << 20};
    open_flow(&config, &with_ts);
    cr_assert_leq(offered(), 30 * 1460 + 32);
    cr_assert_geq(offered(), 29 * 1460);
    while (offered() >= 1400) {
        feed_data(core, id, 1400);
        drain_all(core);
    }
    cr_assert_leq(core->stats.rx_mbufs, 32, "%u", core->stats.rx_mbufs);
    struct craft syn = with_ts;
    syn.remote_port = 5;
    tcp_ready_next(core);
    struct tcp_conn *other = tcp_conn_of(core, establish(core, &syn));
    cr_assert_geq(other->rcv_adv - other->rcv_nxt, 12 * 1460, "the next one finds room");
    harness_core_free(core);
}

/* A piece that holds an mbuf of its own weighs like one: a window is memory and not bytes alone. */
Test(tcp_window, small_pieces_weigh_what_they_hold) {
    open_flow(NULL, NULL);
    for (unsigned i = 0; i < 50; i++)
        feed_data(core, id, 300);
    drain_all(core);
    cr_assert_eq(core->stats.rx_mbufs, 50);
    cr_assert_leq(c->rcv_adv - 1001, 65536u, "nothing beyond the first offer: 50 mbufs are 59 KB of it");
    cr_assert_leq(tcp_rx_right_edge(core, c) - 1001, 65536u);
    consume(40 * 300);
    cr_assert_eq(tcp_rx_right_edge(core, c) - c->rcv_nxt, 65536u - 10 * TCP_MBUF_BYTES / 2);
    harness_core_free(core);
}

Test(tcp_window, send_side) {
    struct tcp_config config = wide;
    config.tx_budget_mbufs = 2000;
    open_flow(&config, &with_ts);
    cr_assert_eq(tcp_snd_buf(core, c), 65536);
    c->cwnd = 100000;
    cr_assert_eq(tcp_snd_buf(core, c), 200000, "twice the congestion window");
    c->cwnd = 10000000;
    cr_assert_eq(tcp_snd_buf(core, c), 1u << 20);
    core->stats.tx_mbufs = 1800;
    cr_assert_eq(tcp_snd_buf(core, c), 100u * c->mss, "half of what is free");
    core->stats.tx_mbufs = 1999;
    cr_assert_eq(tcp_snd_buf(core, c), 2u * c->mss);
    core->stats.tx_mbufs = 2000;
    cr_assert_eq(tcp_snd_buf(core, c), 2u * c->mss, "one that holds nothing goes on");
    core->stats.tx_mbufs = 0;
    send_bytes(core, id, 10);
    core->stats.tx_mbufs += 2000;
    cr_assert_eq(tcp_snd_buf(core, c), 0);
    core->stats.tx_mbufs -= 2000;
    harness_core_free(core);
}
