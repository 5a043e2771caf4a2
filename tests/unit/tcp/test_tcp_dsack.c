/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <criterion/criterion.h>

static struct tcp_core *core;
static tcp_id id;

static void open_flow(bool sack_ok) {
    struct craft syn = {.mss = 1460, .sack_ok = sack_ok};
    core = harness_core(NULL);
    id = establish(core, &syn);
}

/* Bytes [from, to) counted from the peer's first byte. */
static int data(uint32_t from, uint32_t to) {
    struct craft f = peer_segment(core, id);
    f.seq = 1001 + from;
    f.len = to - from;
    return feed(core, &f);
}

/* The same, answered at once. */
static struct decoded answer(uint32_t from, uint32_t to) {
    data(from, to);
    return drain_one(core);
}

static void expect_block(const struct decoded *d, unsigned i, uint32_t left, uint32_t right) {
    cr_assert_gt(d->opts.n_sacks, i);
    cr_assert(d->opts.sacks[i].left == 1001 + left && d->opts.sacks[i].right == 1001 + right, "block %u: %u-%u", i,
              d->opts.sacks[i].left - 1001, d->opts.sacks[i].right - 1001);
}

/* RFC 2883 4.1: a whole segment again, below the cumulative ACK; said once. */
Test(tcp_dsack, a_whole_segment) {
    open_flow(true);
    answer(0, 500);
    cr_assert_eq(data(0, 500), -TCP_DROP_DUPLICATE);
    struct decoded d = drain_one(core);
    cr_assert(d.ack == 1501 && d.opts.n_sacks == 1);
    expect_block(&d, 0, 0, 500);
    d = answer(500, 600);
    cr_assert_eq(d.opts.n_sacks, 0, "each duplicate is reported once");
    harness_core_free(core);
}

/* RFC 2883 4.2.1: a part of a segment, with new bytes behind it. */
Test(tcp_dsack, a_part_of_a_segment) {
    open_flow(true);
    answer(0, 500);
    struct decoded d = answer(300, 800);
    cr_assert_eq(d.ack, 1801);
    expect_block(&d, 0, 300, 500);
    harness_core_free(core);
}

/* RFC 2883 4: above the cumulative ACK the second block is the one that the duplicate lies in. */
Test(tcp_dsack, behind_a_hole) {
    open_flow(true);
    data(1000, 1500);
    answer(1500, 2000);
    cr_assert_eq(data(1500, 2000), -TCP_DROP_OVERLAP);
    struct decoded d = drain_one(core);
    cr_assert_eq(d.opts.n_sacks, 2);
    expect_block(&d, 0, 1500, 2000);
    expect_block(&d, 1, 1000, 2000);
    harness_core_free(core);
}

/* One segment over several runs: the first part that was here already. */
Test(tcp_dsack, a_segment_over_a_run) {
    open_flow(true);
    answer(100, 200);
    struct decoded d = answer(0, 400);
    cr_assert_eq(d.ack, 1401);
    expect_block(&d, 0, 100, 200);
    harness_core_free(core);
}

Test(tcp_dsack, a_burst_of_duplicates_is_one_block) {
    open_flow(true);
    answer(0, 1500);
    for (unsigned i = 0; i < 3; i++)
        data(i * 500, i * 500 + 500);
    struct decoded d = drain_one(core);
    cr_assert_eq(d.opts.n_sacks, 1);
    expect_block(&d, 0, 0, 1500);
    harness_core_free(core);
}

/* An ACK that rides on data has no blocks: the bare one follows. */
Test(tcp_dsack, not_lost_on_data) {
    open_flow(true);
    answer(0, 500);
    data(0, 500);
    send_bytes(core, id, 10);
    struct decoded d[4];
    cr_assert_eq(drain(core, d, 4), 2);
    expect_block(d[0].len ? &d[1] : &d[0], 0, 0, 500);
    harness_core_free(core);
}

Test(tcp_dsack, only_where_sack_was_agreed_on) {
    open_flow(false);
    answer(0, 500);
    struct decoded d = answer(0, 500);
    cr_assert_eq(d.opts.n_sacks, 0);
    cr_assert_not(tcp_conn_of(core, id)->flags & TCP_F_DSACK);
    harness_core_free(core);
}

/* Two flows in one slot: one of them says nothing, and never the other's numbers. */
Test(tcp_dsack, a_shared_slot) {
    open_flow(true);
    struct tcp_conn *c = tcp_conn_of(core, id);
    struct tcp_sack block;
    tcp_dsack_note(core, c, 1, 2);
    core->dsacks[id % TCP_DSACKS] = (struct tcp_dsack){id + TCP_DSACKS, {7, 8}};
    cr_assert_eq(tcp_dsack_block(core, c, &block), 0);
    struct decoded d = answer(10, 20);
    cr_assert_eq(d.opts.n_sacks, 1);
    expect_block(&d, 0, 10, 20);
    harness_core_free(core);
}
