/* SPDX-License-Identifier: BSD-3-Clause */
#include "loss_fixture.h"

Test(tcp_loss, initial_window) {
    struct tcp_conn e = {.mss = 1460};
    cr_assert_eq(tcp_loss_iw(&e), 14600);
    e.mss = 100;
    cr_assert_eq(tcp_loss_iw(&e), 1000);
    e.mss = 8960;
    cr_assert_eq(tcp_loss_iw(&e), 2 * 8960);
}

Test(tcp_loss, third_duplicate_retransmits_the_head) {
    open_flow(false);
    fly(10);
    struct decoded d[64];
    ack(0, 0, 0);
    ack(0, 0, 0);
    cr_assert_eq(out(d), 0);
    ack(0, 0, 0);
    cr_assert_eq(out(d), 1);
    cr_assert(d[0].seq == first && d[0].len == MSS);
    cr_assert_eq(c->ssthresh, 5 * MSS);
    cr_assert_eq(c->cwnd, 7 * MSS, "six in the network, and the retransmission");
    ack(0, 0, 0);
    cr_assert_eq(c->cwnd, 6 * MSS, "one has left for two that may come back: RFC 6937");
    ack(4, 0, 0); /* partial: the next hole (RFC 6582) */
    cr_assert_eq(out(d), 1);
    cr_assert_eq(d[0].seq, first + 4 * MSS);
    cr_assert(c->flags & TCP_F_RECOVERY);
    ack(10, 0, 0);
    cr_assert_not(c->flags & TCP_F_RECOVERY);
    cr_assert_leq(c->cwnd, 5 * MSS, "deflated");
    cr_assert_eq(core->stats.fast_retransmits, 1);
    cr_assert_eq(c->rexmit_ms, 0);
    harness_core_free(core);
}

Test(tcp_loss, what_is_no_duplicate) {
    open_flow(false);
    fly(10);
    for (unsigned i = 0; i < 5; i++) {
        struct craft f = peer_segment(core, id);
        f.ack = first;
        f.wnd = (uint16_t)(60000 - i); /* a window update */
        feed(core, &f);
        f.wnd = (uint16_t)(60000 - i);
        f.len = 1; /* data */
        feed(core, &f);
    }
    cr_assert_eq(core->stats.fast_retransmits, 0);
    ack(10, 0, 0);
    for (unsigned i = 0; i < 5; i++) /* nothing outstanding */
        ack(10, 0, 0);
    cr_assert_eq(core->stats.dup_acks_in, 0);
    harness_core_free(core);
}

Test(tcp_loss, one_sack_may_stand_for_three_duplicates) {
    open_flow(true);
    fly(10);
    core->now_us += 10000;
    struct decoded d[64];
    ack(0, 1, 3);
    cr_assert_eq(out(d), 0, "two segments may be reordering");
    ack(0, 1, 6);
    cr_assert_eq(out(d), 1);
    cr_assert_eq(d[0].seq, first);
    harness_core_free(core);
}

Test(tcp_loss, forged_sacks_do_nothing) {
    open_flow(true);
    fly(10);
    ack(0, 10, 5000);               /* never sent */
    ack(0, (0u - 50000u) / MSS, 0); /* none */
    struct craft f = peer_segment(core, id);
    f.ack = first;
    f.n_sacks = 4;
    for (unsigned i = 0; i < 4; i++) /* reversed */
        f.sacks[i] = (struct tcp_sack){first + 9 * MSS, first + MSS};
    feed(core, &f);
    for (unsigned i = 0; i < 4; i++) /* below the ACK: D-SACK */
        f.sacks[i] = (struct tcp_sack){first - 9 * MSS, first - MSS};
    feed(core, &f);
    cr_assert_eq(core->stats.dup_acks_in, 0);
    cr_assert_eq(core->stats.fast_retransmits, 0);
    harness_core_free(core);
}

Test(tcp_loss, limited_transmit) {
    open_flow(false);
    fly(10);
    send_bytes(core, id, 5 * MSS); /* cwnd is full */
    struct decoded d[64];
    cr_assert_eq(out(d), 0);
    ack(0, 0, 0);
    cr_assert_eq(out(d), 1);
    ack(0, 0, 0);
    cr_assert_eq(out(d), 1);
    cr_assert_eq(d[0].seq, first + 11 * MSS);
    harness_core_free(core);
}

Test(tcp_loss, early_retransmit) {
    open_flow(false);
    fly(3);
    struct decoded d[64];
    ack(0, 0, 0);
    cr_assert_eq(out(d), 0);
    ack(0, 0, 0); /* a third can never come: RFC 5827 */
    cr_assert_eq(out(d), 1);
    cr_assert_eq(d[0].seq, first);
    harness_core_free(core);
}

Test(tcp_loss, echo_of_a_loss_is_no_second_loss) {
    open_flow(false);
    fly(10);
    struct decoded d[64];
    for (int i = 0; i < 3; i++)
        ack(0, 0, 0);
    out(d);
    ack(10, 0, 0);
    fly(4);
    for (int i = 0; i < 3; i++)
        ack(10, 0, 0);
    cr_assert_eq(core->stats.fast_retransmits, 1, "duplicates of `recover` itself: RFC 6582 3.2 step 2");
    harness_core_free(core);
}

Test(tcp_loss, timeout) {
    open_flow(false);
    fly(10);
    struct decoded d[64];
    sleep_ms(core, 1001);
    cr_assert_eq(core->stats.rto_fired, 1);
    cr_assert_eq(out(d), 1, "one segment");
    cr_assert_eq(d[0].seq, first);
    cr_assert(c->cwnd == MSS && c->ssthresh == 5 * MSS);
    sleep_ms(core, 1900);
    cr_assert_eq(core->stats.rto_fired, 1);
    sleep_ms(core, 101);
    cr_assert_eq(core->stats.rto_fired, 2, "backed off to 2 s");
    cr_assert_eq(c->ssthresh, 5 * MSS, "the same loss halves once");
    out(d);
    ack(1, 0, 0); /* without timestamps this measures nothing (Karn) */
    cr_assert(!c->srtt_us && c->backoff == 2);
    cr_assert_eq(out(d), 2, "slow start goes over the rest");
    cr_assert_eq(d[0].seq, first + MSS);
    ack(10, 0, 0); /* the peer had the others */
    cr_assert_eq(c->snd_nxt, c->snd_nxt);
    cr_assert_not(c->flags & TCP_F_LOSS);
    fly(1);
    ack(11, 0, 0);
    cr_assert_eq(c->backoff, 0, "a fresh segment was measured");
    harness_core_free(core);
}

Test(tcp_loss, sacked_is_skipped_after_a_timeout) {
    open_flow(true);
    fly(10);
    struct decoded d[64];
    sleep_ms(core, 1001);
    out(d);
    ack(1, 3, 9);
    cr_assert_eq(out(d), 3, "3 to 8 are not sent again");
    cr_assert(d[0].seq == first + MSS && d[1].seq == first + 2 * MSS && d[2].seq == first + 9 * MSS);
    ack(10, 0, 0);
    cr_assert_eq(core->stats.retransmits, 4);
    harness_core_free(core);
}

Test(tcp_loss, probe_before_the_timeout) {
    open_flow(true);
    fly(4);
    core->now_us += 10000;
    ack(4, 0, 0); /* RTT 10 ms */
    struct decoded d[64];
    fly(6);
    sleep_ms(core, 60);
    cr_assert_eq(out(d), 1);
    cr_assert_eq(core->stats.tlp_probes, 1);
    cr_assert_eq(core->stats.rto_fired, 0);
    cr_assert_eq(d[0].seq, first + 9 * MSS, "the last one");
    sleep_ms(core, 150);
    cr_assert_eq(out(d), 0);
    cr_assert_eq(core->stats.tlp_probes, 1, "one probe, then the RTO");
    sleep_ms(core, 100);
    cr_assert_eq(core->stats.rto_fired, 1);
    harness_core_free(core);
}

Test(tcp_loss, user_timeout) {
    open_flow(false);
    fly(1);
    struct decoded d[64];
    for (unsigned i = 0; i < 130 && tcp_conn_state(core, id) != TCP_CLOSED; i++) {
        sleep_ms(core, 1000);
        out(d);
    }
    cr_assert_eq(tcp_conn_end(core, id), TCP_END_RTO_TIMEOUT);
    cr_assert_eq(core->stats.tx_mbufs, 0);
    harness_core_free(core);
}

Test(tcp_loss, window_of_an_older_segment_is_ignored) {
    open_flow(false);
    struct craft f = peer_segment(core, id);
    f.len = 10;
    f.wnd = 5000;
    feed(core, &f);
    cr_assert_eq(c->snd_wnd, 5000);
    fly(2);
    f.seq -= 1; /* reordered: it left before the other */
    f.len = 11;
    f.wnd = 9000;
    f.ack = first;
    feed(core, &f);
    cr_assert_eq(c->snd_wnd, 5000);
    harness_core_free(core);
}

/* A segment that left before a retransmission and arrives after it has the higher number and the older news. */
Test(tcp_loss, window_of_an_older_acknowledgement_is_ignored) {
    open_flow(false);
    fly(4);
    struct craft f = peer_segment(core, id);
    f.len = 5;
    f.wnd = 5000;
    f.ack = first + 2 * MSS;
    feed(core, &f);
    cr_assert_eq(c->snd_wnd, 5000);
    f.seq += 20;
    f.wnd = 60000;
    f.ack = first + MSS;
    feed(core, &f);
    cr_assert_eq(c->snd_wnd, 5000);
    cr_assert_eq(c->snd_una, first + 2 * MSS);
    harness_core_free(core);
}
