/* SPDX-License-Identifier: BSD-3-Clause */
/* Streams both ways at once over every kind of bad path: what arrives is what was sent, and nothing stays behind. */
#include "pair.h"

#include "base/poison.h"
#include "net/wire.h"

#include <criterion/criterion.h>

#ifdef WEIR_ASAN
#define BULK_BYTES (1u << 18)
#else
#define BULK_BYTES (1u << 20)
#endif

TestSuite(pair_transfer, .init = pair_init, .timeout = 280);

static void run_cells(uint32_t loss_ppm) {
    static const uint32_t rtt_us[] = {100, 20000, 200000}, windows[] = {2920, 16384, 262144};
    uint64_t seed = 1000 + loss_ppm;
    for (uint32_t bits = 0; bits < 8; bits++)
        for (uint32_t r = 0; r < WEIR_ARRAY_LEN(rtt_us); r++)
            for (uint32_t w = 0; w < WEIR_ARRAY_LEN(windows); w++) {
                struct pair_cell c = {.seed = ++seed,
                                      .loss_ppm = loss_ppm,
                                      .reorder_ppm = bits & 1 ? 50000 : 0,
                                      .dup_ppm = bits & 2 ? 20000 : 0,
                                      .corrupt_ppm = bits & 4 ? 10000 : 0,
                                      .rtt_us = rtt_us[r],
                                      .rcv_buf_bytes = windows[w],
                                      .bytes = loss_ppm > 100000 ? BULK_BYTES / 8 : BULK_BYTES,
                                      .conns = 1,
                                      .tx_room = -1,
                                      .multi_seg = {(bits + r + w) & 1, (bits + r) & 1},
                                      .hold_tx = (bits + w) & 1};
                cr_assert(pair_cell_run(&c, NULL));
            }
}

Test(pair_transfer, bulk_loss_none) {
    run_cells(0);
}

Test(pair_transfer, bulk_loss_1_in_1000) {
    run_cells(1000);
}

Test(pair_transfer, bulk_loss_1_in_100) {
    run_cells(10000);
}

Test(pair_transfer, bulk_loss_5_in_100) {
    run_cells(50000);
}

Test(pair_transfer, bulk_loss_20_in_100) {
    run_cells(200000);
}

static const struct pair_cell plain = {.seed = 1,
                                       .rtt_us = 1000,
                                       .rcv_buf_bytes = 65536,
                                       .bytes = 100000,
                                       .conns = 1,
                                       .tx_room = -1,
                                       .multi_seg = {true, true}};

Test(pair_transfer, echo) {
    for (uint32_t i = 0; i < 8; i++) {
        struct pair_cell c = plain;
        c.echo = true;
        c.bytes = i & 1 ? 1 : 300000;
        c.multi_seg[0] = c.multi_seg[1] = i & 2;
        c.loss_ppm = i & 4 ? 10000 : 0;
        c.hold_tx = true;
        cr_assert(pair_cell_run(&c, NULL));
    }
}

Test(pair_transfer, no_bytes_at_all) {
    struct pair_cell c = plain;
    c.bytes = 0;
    cr_assert(pair_cell_run(&c, NULL));
}

/* A reader of a few bytes a turn, a writer of a few bytes a turn, both; on both kinds of port. */
Test(pair_transfer, small_steps) {
    for (uint32_t i = 0; i < 8; i++) {
        struct pair_cell c = plain;
        c.bytes = 20000;
        c.read_chunk = i & 1 ? 3 : 0;
        c.write_chunk = i & 2 ? 5 : 0;
        c.multi_seg[0] = c.multi_seg[1] = i & 4;
        c.rcv_buf_bytes = 4096;
        cr_assert(pair_cell_run(&c, NULL));
    }
}

Test(pair_transfer, short_transmit) {
    for (int32_t room = 1; room <= 3; room++) {
        struct pair_cell c = plain;
        c.tx_room = room;
        c.conns = 4;
        cr_assert(pair_cell_run(&c, NULL));
        c.loss_ppm = 20000;
        c.multi_seg[0] = c.multi_seg[1] = false;
        cr_assert(pair_cell_run(&c, NULL));
    }
}

/* Large segments, cut on their way by something that is not ours: the other end sees a sender like any other. */
Test(pair_transfer, cut_by_the_device) {
    static const uint16_t most_mbufs[] = {3, 5, 40};
    for (uint32_t i = 0; i < 2 * WEIR_ARRAY_LEN(most_mbufs); i++) {
        struct pair_setup setup;
        pair_setup_default(&setup, i);
        setup.tso_segs[0] = most_mbufs[i / 2];
        setup.hw_cksum[0] = true;
        setup.link[0].hold_tx = i & 1;
        setup.options[0].ecn = setup.options[1].ecn = i & 1;
        struct pair *p = pair_new(&setup);
        for (unsigned s = 0; s < 2; s++)
            p->conn[0].end[s] =
                (struct pair_end){.write_bytes = s ? 1 : BULK_BYTES, .does = PAIR_CLOSE | PAIR_SHUTDOWN};
        pair_open(p, 0, 0);
        pair_run(p, pair_is_over, 100 * PAIR_SECOND);
        const struct sim_link_stats *out = sim_link_stats(p->side[0].tx), *in = sim_link_stats(p->side[1].tx);
        cr_expect(out->cut >= BULK_BYTES / 65536 && in->cut == 0, "%lu and %lu cut", out->cut, in->cut);
        cr_expect_eq(tcp_core_stats(p->side[0].core)->segs_out, out->sent, "counted as the wire sees them");
        cr_expect_eq(tcp_core_stats(p->side[0].core)->retransmits, 0);
        cr_assert(pair_finish(p));
    }
}

/* A narrow path with a short queue: loss comes from our own sending too fast. */
Test(pair_transfer, narrow_path) {
    struct pair_cell c = plain;
    c.bytes_per_s = 500000;
    c.rtt_us = 20000;
    c.conns = 3;
    c.bytes = 300000;
    cr_assert(pair_cell_run(&c, NULL));
}

/* The wrap of 32-bit milliseconds and microseconds passes unnoticed. */
Test(pair_transfer, clock_wrap) {
    struct pair_cell c = plain;
    c.wrap = true;
    c.rtt_us = 200000;
    c.loss_ppm = 20000;
    cr_assert(pair_cell_run(&c, NULL));
}

/* Peers, and boxes between, that know fewer options: all 16 sets of MSS, window scale, SACK and timestamps. */
Test(pair_transfer, fewer_options) {
    for (uint32_t set = 0; set < 16; set++) {
        struct pair_cell c = plain;
        c.strip = (set & 1) << 2 | (set & 2) << 2 | (set & 4) << 2 | (set & 8) << 5;
        c.loss_ppm = 10000;
        c.reorder_ppm = 20000;
        c.rcv_buf_bytes = 200000;
        cr_assert(pair_cell_run(&c, NULL));
    }
}

Test(pair_transfer, unequal_mtus) {
    static const uint16_t mtus[] = {68, 296, 576, 1280, 1499, 1500};
    for (uint32_t i = 0; i < WEIR_ARRAY_LEN(mtus); i++)
        for (uint32_t k = 0; k < WEIR_ARRAY_LEN(mtus); k++) {
            struct pair_cell c = plain;
            c.mtu[0] = mtus[i];
            c.mtu[1] = mtus[k];
            c.bytes = 30000;
            cr_assert(pair_cell_run(&c, NULL));
        }
}

/* On a clean path nothing is sent twice, and most segments take the predicted route. */
Test(pair_transfer, clean_path_is_clean) {
    struct pair *p = pair_new_established(5);
    p->conn[0].end[1].does = PAIR_CLOSE;
    p->conn[0].end[0] = (struct pair_end){
        .id = p->conn[0].end[0].id, .opened = true, .write_bytes = 1 << 20, .does = PAIR_CLOSE | PAIR_SHUTDOWN};
    p->conn[0].end[1].write_bytes = 1;
    tcp_conn_again(p->side[0].core, p->conn[0].end[0].id, TCP_EV_WRITABLE);
    tcp_conn_again(p->side[1].core, p->conn[0].end[1].id, TCP_EV_WRITABLE);
    pair_run(p, pair_is_over, 100 * PAIR_SECOND);
    const struct tcp_stats *from = tcp_core_stats(p->side[0].core), *to = tcp_core_stats(p->side[1].core);
    cr_expect_eq(from->retransmits, 0);
    cr_expect_eq(from->rto_fired, 0);
    cr_expect_eq(to->ooo_in, 0);
    cr_expect_geq(to->predicted_in * 10, to->segs_in * 9, "%lu of %lu", to->predicted_in, to->segs_in);
    cr_expect_leq(from->segs_out, (1u << 20) / 1400 + 20, "full segments");
    cr_expect_leq(to->segs_out, from->segs_out, "no more ACKs than segments");
    cr_assert(pair_finish(p));
}

/* What the peer sends again has an older number, and yet the newest ACK and window: by the number alone (RFC 9293
 * 3.10.7.4, SND.WL1) we would go on from the new SND.UNA with the old window, beyond the right edge. */
Test(pair_transfer, window_of_a_segment_sent_again) {
    struct pair *p = pair_new_established(6);
    p->conn[0].may_break = true;
    p->side[0].dark = true;
    pair_write(p, 0, 0, 3000);
    pair_run(p, NULL, 1000);
    const struct tcp_conn *c = pool_get(&p->side[0].core->conns, p->conn[0].end[0].id);
    uint32_t una = c->snd_una;
    struct pair_segment s = {.sport = PAIR_SERVER_PORT,
                             .dport = PAIR_CLIENT_PORT,
                             .seq = c->rcv_nxt + 1000,
                             .ack = una,
                             .window = 2000,
                             .flags = WIRE_TCP_ACK,
                             .has_ts = true,
                             .ts_val = p->side[1].last.ts_val,
                             .ts_ecr = p->side[0].last.ts_val};
    uint32_t edge = una + (2000u << (c->wscales & 15));
    pair_inject(p, 1, &s);
    s.seq -= 1000;
    s.ack += 2000;
    s.window = (uint16_t)((edge - s.ack) >> (c->wscales & 15));
    pair_inject(p, 1, &s);
    pair_run(p, NULL, 10);
    cr_expect_eq(c->snd_una, una + 2000);
    cr_expect_eq(c->snd_una + c->snd_wnd, edge);
    pair_abort(p, 0, 0);
    p->side[0].dark = false;
    pair_abort(p, 1, 0);
    cr_assert(pair_finish(p));
}

/* A black hole swallows the one segment that there is, larger than the path and smaller than the MSS. */
Test(pair_transfer, black_hole_below_the_mss) {
    struct pair *p = pair_new_established(7);
    p->path_mtu = 1006;
    p->black_hole = true;
    pair_write(p, 0, 0, 1000);
    pair_run(p, pair_all_arrived, 20 * PAIR_SECOND);
    cr_expect_eq(tcp_core_stats(p->side[0].core)->pmtu_blackholes, 1);
    pair_close(p, 0);
    cr_assert(pair_finish(p));
}

/* Both sides' small segments come from silence that was no black hole: soon they are full again. One that is a black
 * hole stays small, and the tries that it swallows become rare. */
static void transfer_after_silence(bool black_hole) {
    struct pair *p = pair_new_established(8);
    const struct tcp_stats *st = tcp_core_stats(p->side[0].core);
    p->path_mtu = 1100;
    p->black_hole = true;
    pair_write(p, 0, 0, 4000);
    pair_run(p, pair_all_arrived, 20 * PAIR_SECOND);
    cr_assert_eq(st->pmtu_blackholes, 1);
    p->path_mtu = black_hole ? 1100 : 0;
    for (unsigned i = 0; i < 60 && !p->error[0]; i++) {
        pair_write(p, 0, 0, 4000);
        pair_run(p, pair_all_arrived, 20 * PAIR_SECOND);
        pair_run(p, NULL, PAIR_SECOND);
    }
    cr_expect_eq(tcp_conn_mss(p->side[0].core, p->conn[0].end[0].id), black_hole ? 1064 - 52 : 1448);
    cr_expect_eq(st->pmtu_raised, !black_hole);
    cr_expect_eq(st->pmtu_probes, black_hole ? 3 : 1, "%lu", st->pmtu_probes); /* after 5, 10, 20 s; 40 more */
    cr_expect_eq(st->pmtu_blackholes, 1);
    p->path_mtu = 0;
    pair_close(p, 0);
    cr_assert(pair_finish(p));
}

Test(pair_transfer, large_segments_again_after_an_outage) {
    transfer_after_silence(false);
}

Test(pair_transfer, small_segments_stay_in_a_black_hole) {
    transfer_after_silence(true);
}
