/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <criterion/criterion.h>

static struct tcp_core *core;
static tcp_id id;

static void open_flow(const struct tcp_config *config) {
    struct craft syn = {.mss = 1460, .sack_ok = true};
    core = harness_core(config);
    id = establish(core, &syn);
}

/* Bytes [from, to) counted from the peer's first byte. */
static int data(uint32_t from, uint32_t to, uint8_t fill, uint8_t more_flags) {
    struct craft f = peer_segment(core, id);
    f.seq = 1001 + from;
    f.len = to - from;
    f.fill = fill;
    f.flags |= more_flags;
    return feed(core, &f);
}

static void expect_rope(const char *bytes) {
    char got[64] = {0};
    struct rope *rx = tcp_conn_rx(core, id);
    cr_assert_eq(rx->len_bytes, strlen(bytes), "%u bytes", rx->len_bytes);
    rope_copy(rx, 0, got, sizeof got);
    cr_assert_str_eq(got, bytes);
}

static struct decoded last_ack(void) {
    struct decoded d[8];
    unsigned n = drain(core, d, 8);
    cr_assert_geq(n, 1);
    return d[n - 1];
}

Test(tcp_reasm, gap_is_filled) {
    open_flow(NULL);
    cr_assert_eq(data(2, 4, 'b', 0), TCP_SEG_KEPT);
    cr_assert_eq(data(6, 8, 'd', 0), TCP_SEG_KEPT);
    expect_rope("");
    cr_assert_eq(tcp_conn_of(core, id)->reasm_count, 2);
    cr_assert_eq(data(0, 2, 'a', 0), TCP_SEG_KEPT);
    expect_rope("aabb");
    cr_assert_eq(data(4, 6, 'c', 0), TCP_SEG_KEPT);
    expect_rope("aabbccdd");
    cr_assert_eq(tcp_conn_of(core, id)->reasm_count, 0);
    cr_assert_eq(core->reasm.used, 0);
    harness_core_free(core);
}

Test(tcp_reasm, every_order_of_five) {
    for (unsigned permutation = 0; permutation < 120; permutation++) {
        open_flow(NULL);
        unsigned left[5] = {0, 1, 2, 3, 4}, p = permutation;
        for (unsigned n = 5; n; n--) {
            unsigned k = p % n, i = left[k];
            p /= n;
            memmove(&left[k], &left[k + 1], (n - k - 1) * sizeof left[0]);
            data(i * 2, i * 2 + 2, (uint8_t)('a' + i), i == 4 ? WIRE_TCP_FIN : 0);
        }
        expect_rope("aabbccddee");
        cr_assert(tcp_conn_peer_fin(core, id));
        harness_core_free(core);
    }
}

Test(tcp_reasm, first_copy_wins) {
    open_flow(NULL);
    data(2, 4, 'b', 0);
    cr_assert_eq(data(2, 4, 'X', 0), -TCP_DROP_OVERLAP);
    cr_assert_eq(data(3, 6, 'c', 0), TCP_SEG_KEPT); /* loses its first byte */
    cr_assert_eq(data(1, 3, 'Y', 0), TCP_SEG_KEPT); /* loses its last byte */
    cr_assert_eq(data(0, 8, 'Z', 0), TCP_SEG_KEPT); /* in order: what the others have not */
    expect_rope("ZYbbccZZ");
    cr_assert_eq(core->stats.overlaps_in, 4);
    harness_core_free(core);
}

/* A retransmission put together anew over many small pieces fills every hole that it covers, and brings its FIN. */
Test(tcp_reasm, one_segment_fills_all_holes) {
    open_flow(NULL);
    data(1, 2, 'b', 0);
    data(3, 4, 'd', 0);
    data(5, 6, 'f', 0);
    cr_assert_eq(data(0, 6, 'z', 0), TCP_SEG_FREE); /* nothing of it is kept: the holes were copied */
    expect_rope("zbzdzf");
    data(8, 9, 'i', 0);
    cr_assert_eq(data(6, 10, 'y', WIRE_TCP_FIN), TCP_SEG_KEPT);
    expect_rope("zbzdzfyyiy");
    cr_assert(tcp_conn_peer_fin(core, id));
    cr_assert_eq(core->reasm.used, 0);
    cr_assert_eq(core->stats.rx_mbufs, tcp_conn_rx(core, id)->mbufs);
    harness_core_free(core);
}

Test(tcp_reasm, bounded_by_holes) {
    open_flow(NULL);
    for (unsigned i = 0; i < TCP_REASM_MAX; i++)
        cr_assert_eq(data(10 + i * 2, 11 + i * 2, 'x', 0), TCP_SEG_KEPT);
    cr_assert_eq(data(2000, 2001, 'x', 0), -TCP_DROP_OOO_LIMIT);
    cr_assert_eq(core->stats.ooo_dropped, 1);
    cr_assert_eq(core->stats.rx_mbufs, TCP_REASM_MAX);
    cr_assert_eq(data(11, 12, 'x', 0), TCP_SEG_KEPT, "what closes a hole is taken");
    cr_assert_eq(tcp_conn_of(core, id)->reasm_count, TCP_REASM_MAX - 1);
    cr_assert_eq(core->stats.rx_mbufs, TCP_REASM_MAX - 1, "and the three are one mbuf");
    tcp_conn_abort(core, id);
    cr_assert_eq(core->stats.rx_mbufs, 0);
    harness_core_free(core);
}

/* A window full of segments behind one hole is one run; in whatever order they come, with what is asked of the pool. */
Test(tcp_reasm, a_record_is_a_hole) {
    enum { SEGMENTS = 600, LEN = 1400 };
    static const unsigned strides[] = {1, SEGMENTS - 1, 7, 251}; /* in order, backwards, scattered */
    struct tcp_config config = {.rcv_buf_bytes = 1u << 20, .rcv_buf_initial_bytes = 1u << 20};
    struct craft syn = {.mss = 1460, .sack_ok = true, .wscale = 1};
    for (unsigned s = 0; s < WEIR_ARRAY_LEN(strides); s++) {
        core = harness_core(&config);
        id = establish(core, &syn);
        struct tcp_conn *c = tcp_conn_of(core, id);
        struct craft one = peer_segment(core, id);
        feed(core, &one);
        tcp_ack_now(core, c);
        last_ack();
        unsigned runs = 0;
        for (unsigned n = 0, i = s == 1 ? SEGMENTS - 1 : 0; n < SEGMENTS; n++, i = (i + strides[s]) % SEGMENTS) {
            int verdict = data(LEN * (i + 1), LEN * (i + 2), 0, 0);
            cr_assert(verdict == TCP_SEG_KEPT || c->reasm_count == TCP_REASM_MAX);
            runs = c->reasm_count > runs ? c->reasm_count : runs;
        }
        cr_assert(s > 1 || runs == 1, "%u runs", runs);
        if (runs == 1) {
            cr_assert_eq(core->stats.rx_mbufs, SEGMENTS);
            data(0, LEN, 0, 0);
            cr_assert_eq(c->rcv_nxt, 1001 + (SEGMENTS + 1) * LEN);
            uint8_t b;
            for (uint32_t at = 0; at < (SEGMENTS + 1) * LEN; at += 997)
                cr_assert(rope_copy(&c->rx, at, &b, 1) == 1 && b == pattern_at(1001 + at), "byte %u", at);
        }
        harness_core_free(core);
    }
}

/* A byte never holds an mbuf of its own where it can lie beside others. */
Test(tcp_reasm, small_neighbours_share_an_mbuf) {
    open_flow(NULL);
    for (unsigned i = 0; i < 1000; i++)
        cr_assert_eq(data(10 + i, 11 + i, 0, 0), TCP_SEG_KEPT);
    cr_assert_eq(tcp_conn_of(core, id)->reasm_count, 1);
    cr_assert_eq(core->stats.rx_mbufs, 1);
    for (unsigned i = 0; i < 1000; i++)
        cr_assert_eq(data(3000 - i, 3001 - i, 0, 0), TCP_SEG_KEPT);
    cr_assert_eq(tcp_conn_of(core, id)->reasm_count, 2);
    cr_assert_leq(core->stats.rx_mbufs, 6, "backwards too: a copy of up to 256 bytes each");
    harness_core_free(core);
}

/* Holes everywhere: what lies behind them may fill half of the budget, of which one flow leaves as much as it holds.
 * What closes them gets in, is read, and so frees the rest. */
Test(tcp_reasm, bounded_by_half_of_the_cores_budget) {
    struct tcp_config config = {.rx_budget_mbufs = 16};
    open_flow(&config);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(data(300 + i * 600, 600 + i * 600, 'x', 0), TCP_SEG_KEPT);
    cr_assert_eq(data(3000, 3001, 'x', 0), -TCP_DROP_RX_BUDGET);
    cr_assert_eq(core->stats.ooo_dropped, 1);
    last_ack();
    struct craft syn = {.mss = 1460, .sack_ok = true, .remote_port = 5};
    tcp_id other = establish(core, &syn);
    struct craft f = peer_segment(core, other);
    f.remote_port = 5;
    f.len = 300;
    for (unsigned i = 0; i < 3; i++) {
        f.seq += 600;
        cr_assert_eq(feed(core, &f), i < 2 ? TCP_SEG_KEPT : -TCP_DROP_RX_BUDGET, "the other's share %u", i);
    }
    tcp_conn_abort(core, other);
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_eq(data(i * 600, 300 + i * 600, 'y', 0), TCP_SEG_KEPT, "hole %u", i);
        cr_assert_eq(tcp_conn_rx(core, id)->len_bytes, 600);
        rope_clear(tcp_conn_rx(core, id));
        tcp_conn_consumed(core, id);
    }
    cr_assert_eq(core->stats.rx_mbufs, 0);
    cr_assert_eq(core->reasm.used, 0);
    harness_core_free(core);
}

Test(tcp_reasm, bounded_by_the_window) {
    open_flow(NULL);
    uint32_t window = tcp_conn_of(core, id)->rcv_adv - 1001;
    cr_assert_eq(data(window - 1, window + 1, 'x', 0), TCP_SEG_KEPT, "cut at the edge");
    cr_assert_eq(data(window, window + 1, 'x', 0), -TCP_DROP_OUT_OF_WINDOW);
    harness_core_free(core);
}

Test(tcp_reasm, latest_block_first) {
    open_flow(NULL);
    data(10, 12, 'x', 0);
    data(20, 22, 'x', 0);
    data(30, 32, 'x', 0);
    data(22, 24, 'x', 0);
    struct decoded d = last_ack();
    cr_assert_eq(d.ack, 1001);
    cr_assert_eq(d.opts.n_sacks, 3);
    cr_assert(d.opts.sacks[0].left == 1021 && d.opts.sacks[0].right == 1025);
    data(40, 42, 'x', 0);
    data(50, 52, 'x', 0);
    d = last_ack();
    cr_assert_eq(d.opts.n_sacks, 4, "what the header holds");
    cr_assert_eq(d.opts.sacks[0].left, 1051);
    data(10, 11, 'y', 0); /* once more: its block moves to the front, the others keep their order (RFC 2018 4) */
    d = last_ack();
    cr_assert_eq(d.opts.n_sacks, 4);
    cr_assert(d.opts.sacks[0].left == 1011 && d.opts.sacks[0].right == 1012, "what arrived twice (RFC 2883)");
    cr_assert(d.opts.sacks[1].left == 1011 && d.opts.sacks[1].right == 1013, "and the block around it");
    cr_assert(d.opts.sacks[2].left == 1051 && d.opts.sacks[3].left == 1041);
    harness_core_free(core);
}

/* The run that a hole's end waits for keeps its age while earlier ones come in before it. */
Test(tcp_reasm, the_age_of_the_hole) {
    open_flow(NULL);
    data(100, 110, 'x', 0);
    uint32_t since_ms = tcp_now_ms(core);
    sleep_ms(core, 50);
    data(50, 60, 'x', 0);
    cr_assert_eq(tcp_reasm_since_ms(core, tcp_conn_of(core, id)), since_ms);
    data(0, 50, 'x', 0);
    cr_assert_eq(tcp_reasm_since_ms(core, tcp_conn_of(core, id)), since_ms + 50, "the next hole");
    harness_core_free(core);
}

Test(tcp_reasm, fin_waits_its_turn) {
    open_flow(NULL);
    cr_assert_eq(data(2, 2, 0, WIRE_TCP_FIN), TCP_SEG_FREE); /* a bare FIN holds no mbuf */
    cr_assert_not(tcp_conn_peer_fin(core, id));
    data(0, 2, 'a', 0);
    cr_assert(tcp_conn_peer_fin(core, id));
    cr_assert_eq(tcp_conn_state(core, id), TCP_CLOSE_WAIT);
    cr_assert_eq(last_ack().ack, 1001 + 3);
    harness_core_free(core);
}

Test(tcp_reasm, a_bare_fin_joins_its_data) {
    open_flow(NULL);
    data(2, 4, 'b', 0);
    cr_assert_eq(data(4, 4, 0, WIRE_TCP_FIN), TCP_SEG_FREE);
    cr_assert_eq(tcp_conn_of(core, id)->reasm_count, 1);
    data(0, 2, 'a', 0);
    cr_assert(tcp_conn_peer_fin(core, id));
    harness_core_free(core);
    open_flow(NULL);
    data(4, 4, 0, WIRE_TCP_FIN);
    data(2, 4, 'b', 0);
    cr_assert_eq(tcp_conn_of(core, id)->reasm_count, 1);
    data(0, 2, 'a', 0);
    expect_rope("aabb");
    cr_assert(tcp_conn_peer_fin(core, id));
    harness_core_free(core);
}

/* A FIN behind a hole takes a record and no buffer, so no budget ends it: with many of them data must find records all
 * the same. */
Test(tcp_reasm, attack_fins_behind_holes) {
    struct tcp_config config = {.max_conns = 400, .rx_budget_mbufs = 64};
    open_flow(&config);
    for (uint16_t i = 0; i < 300; i++) {
        struct craft syn = {.mss = 1460, .sack_ok = true, .remote_port = (uint16_t)(100 + i)};
        struct craft f = peer_segment(core, establish(core, &syn));
        f.remote_port = syn.remote_port;
        f.seq += 1;
        f.flags |= WIRE_TCP_FIN;
        feed(core, &f);
        drain_all(core);
    }
    for (uint32_t i = 0; i < 16; i++)
        cr_assert_eq(data(300 + i * 600, 600 + i * 600, 'x', 0), TCP_SEG_KEPT, "run %u", i);
    cr_assert_eq(data(300 + 16 * 600, 600 + 16 * 600, 'x', 0), -TCP_DROP_RX_BUDGET, "the budget is what ends it");
    harness_core_free(core);
}

Test(tcp_reasm, nothing_behind_a_fin) {
    open_flow(NULL);
    data(2, 4, 'b', WIRE_TCP_FIN);
    cr_assert_eq(data(3, 6, 'x', 0), -TCP_DROP_AFTER_FIN, "begins within, ends behind");
    cr_assert_eq(data(6, 8, 'x', 0), -TCP_DROP_AFTER_FIN);
    data(10, 12, 'x', 0);
    data(0, 2, 'a', 0);
    expect_rope("aabb");
    cr_assert_eq(core->reasm.used, 0);
    harness_core_free(core);
}
