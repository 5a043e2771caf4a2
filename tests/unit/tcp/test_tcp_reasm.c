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

Test(tcp_reasm, bounded_by_segments) {
    open_flow(NULL);
    for (unsigned i = 0; i < TCP_REASM_MAX; i++)
        cr_assert_eq(data(10 + i * 2, 11 + i * 2, 'x', 0), TCP_SEG_KEPT);
    cr_assert_eq(data(2000, 2001, 'x', 0), -TCP_DROP_OOO_LIMIT);
    cr_assert_eq(core->stats.ooo_dropped, 1);
    cr_assert_eq(core->stats.rx_mbufs, TCP_REASM_MAX);
    tcp_conn_abort(core, id);
    cr_assert_eq(core->stats.rx_mbufs, 0);
    harness_core_free(core);
}

/* Holes everywhere: what lies behind them may fill half of the budget, what closes them gets in, is read, and so frees
 * the rest. */
Test(tcp_reasm, bounded_by_half_of_the_cores_budget) {
    struct tcp_config config = {.rx_budget_mbufs = 8};
    open_flow(&config);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(data(300 + i * 600, 600 + i * 600, 'x', 0), TCP_SEG_KEPT);
    cr_assert_eq(data(3000, 3001, 'x', 0), -TCP_DROP_RX_BUDGET);
    cr_assert_eq(core->stats.ooo_dropped, 1);
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

Test(tcp_reasm, nothing_behind_a_fin) {
    open_flow(NULL);
    data(2, 4, 'b', WIRE_TCP_FIN);
    cr_assert_eq(data(6, 8, 'x', 0), -TCP_DROP_AFTER_FIN);
    data(10, 12, 'x', 0);
    data(0, 2, 'a', 0);
    expect_rope("aabb");
    cr_assert_eq(core->reasm.used, 0);
    harness_core_free(core);
}
