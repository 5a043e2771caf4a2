/* SPDX-License-Identifier: BSD-3-Clause */
/* RACK-TLP (RFC 8985): when a segment counts as lost, and the probe for losses at the tail. */
#include "loss_fixture.h"

/* Two segments, 2 ms apart; the second arrives after 20 ms. */
static void second_arrives(void) {
    open_flow(true);
    fly(1);
    sleep_ms(core, 2);
    fly(1);
    sleep_ms(core, 20);
    ack(0, 1, 2);
}

Test(tcp_rack, lost_once_the_reordering_window_has_passed) {
    second_arrives();
    struct tcp_flight *f = tcp_flight_of(core, c);
    cr_assert(f && f->rack_rtt_us == 20000 && f->min_rtt_us == 20000);
    cr_assert_eq(f->reo_wait_us, 3000, "20 ms and a quarter, of which 22 have passed");
    cr_assert(!f->lost && (c->flags & TCP_F_REO));
    sleep_ms(core, 3);
    struct decoded d = drain_one(core);
    cr_assert(d.seq == first && (c->flags & TCP_F_RECOVERY));
    cr_assert_eq(core->stats.rack_lost, 1);
    harness_core_free(core);
}

Test(tcp_rack, late_is_not_lost) {
    second_arrives();
    sleep_ms(core, 2);
    ack(2, 0, 0);
    sleep_ms(core, 100);
    struct decoded d[64];
    cr_assert_eq(out(d), 0);
    cr_assert_eq(core->stats.fast_retransmits, 0);
    harness_core_free(core);
}

Test(tcp_rack, three_behind_a_hole_need_no_window) {
    open_flow(true);
    fly(1);
    sleep_ms(core, 1);
    fly(3);
    sleep_ms(core, 20);
    ack(0, 1, 4);
    cr_assert_eq(drain_one(core).seq, first);
    harness_core_free(core);
}

/* 6.2 step 4. */
Test(tcp_rack, reports_of_duplicates_widen_the_window) {
    second_arrives();
    struct tcp_flight *f = tcp_flight_of(core, c);
    const struct tcp_sent *s = tcp_sent_of(core, c->seg_head);
    c->srtt_us = 1000000; /* its bound */
    cr_assert_eq(tcp_rack_remaining(core, c, f, s), 3000);
    tcp_rack_dsack(c, f);
    cr_assert_eq(tcp_rack_remaining(core, c, f, s), 8000);
    tcp_rack_dsack(c, f);
    cr_assert_eq(f->reo_mult, 2, "once a round trip");
    for (unsigned i = 0; i < 16; i++) {
        cr_assert_eq(f->reo_mult, 2);
        tcp_rack_recovered(f);
    }
    cr_assert_eq(f->reo_mult, 1, "it wears off after 16 recoveries");
    c->srtt_us = 1000;
    cr_assert_eq(tcp_rack_remaining(core, c, f, s), -1000, "no longer than SRTT");
    harness_core_free(core);
}

/* A flow that is never idle: round trips end on either side of the sequence space. */
Test(tcp_rack, dsacks_count_however_far_the_flow_has_come) {
    second_arrives();
    struct tcp_flight *f = tcp_flight_of(core, c);
    struct tcp_conn far = *c;
    for (unsigned i = 1; i <= 8; i++) {
        tcp_rack_dsack(&far, f);
        cr_assert_eq(f->reo_mult, 1 + i);
        tcp_rack_dsack(&far, f);
        cr_assert_eq(f->reo_mult, 1 + i, "once a round trip");
        far.snd_una += 0x60000000u * i; /* up to beyond a turn */
        far.snd_nxt = far.snd_una + 2 * c->mss;
    }
    harness_core_free(core);
}

/* 6.2 step 2. */
Test(tcp_rack, the_ack_of_an_earlier_copy_says_nothing) {
    second_arrives();
    struct tcp_flight *f = tcp_flight_of(core, c);
    uint32_t i = c->seg_head, rack_us = f->rack_us;
    sleep_ms(core, 3);
    cr_assert_eq(drain_one(core).seq, first);
    sleep_ms(core, 1); /* far less than the shortest round trip */
    tcp_rack_delivered(core, c, f, tcp_sent_of(core, i), &(struct tcp_opts){0});
    cr_assert_eq(f->rack_us, rack_us);
    sleep_ms(core, 30);
    tcp_rack_delivered(core, c, f, tcp_sent_of(core, i), &(struct tcp_opts){0});
    cr_assert_eq(f->rack_us, tcp_sent_of(core, i)->sent_us);
    harness_core_free(core);
}

/* Microseconds in 32 bits are in no order over more than 35 minutes: what arrived before such an outage would look later
 * than all that is sent after it. */
Test(tcp_rack, forgets_over_a_long_outage) {
    second_arrives();
    core->cfg.user_timeout_ms = 24 * 3600000;
    for (unsigned s = 0; s < 40 * 60; s++) {
        tcp_timers(core, core->now_us + 1000000);
        drain_all(core);
    }
    const struct tcp_sent *s = tcp_sent_of(core, c->seg_head);
    cr_assert_gt(s->times, 10);
    sleep_ms(core, 30);
    tcp_rack_delivered(core, c, tcp_flight_of(core, c), s, &(struct tcp_opts){0});
    cr_assert_eq(tcp_flight_of(core, c)->rack_us, s->sent_us);
    harness_core_free(core);
}

/* 7.2. */
Test(tcp_rack, probe_timeout) {
    open_flow(true);
    fly(1);
    cr_assert_eq(tcp_tlp_pto_ms(core, c), 0, "nothing was measured");
    c->srtt_us = 10000;
    cr_assert_eq(tcp_tlp_pto_ms(core, c), 2 * 10 + 2 + 200, "a single segment's ACK may be delayed");
    fly(1);
    cr_assert_eq(tcp_tlp_pto_ms(core, c), 2 * 10 + 2);
    c->backoff = 1;
    cr_assert_eq(tcp_tlp_pto_ms(core, c), 0);
    c->backoff = 0;
    c->flags &= ~TCP_F_SACK;
    cr_assert_eq(tcp_tlp_pto_ms(core, c), 0, "only with SACK");
    c->flags |= TCP_F_SACK;
    c->rto_us = 22000;
    cr_assert_eq(tcp_tlp_pto_ms(core, c), 0, "the RTO comes first");
    harness_core_free(core);
}

/* 7.4.2. */
Test(tcp_rack, what_a_probe_finds_out) {
    static const struct {
        bool resent, dsack;
        uint32_t ack;
        bool acked, still_out, repaired;
    } cases[] = {
        {true, false, 999, true, true, false},    /* not yet */
        {true, false, 1001, true, false, true},   /* the probe filled the hole, what came later was acknowledged */
        {true, true, 1000, true, false, false},   /* both copies arrived */
        {true, false, 1000, false, false, false}, /* a plain duplicate ACK: so they did */
        {true, false, 1000, true, true, false},   /* one of the two */
        {false, false, 1000, true, false, false}, /* it carried new data: RACK sees what is missing */
    };
    for (unsigned i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        struct tcp_flight f = {.tlp_out = true, .tlp_end = 1000, .tlp_resent = cases[i].resent};
        struct tcp_seg seg = {.ack = cases[i].ack};
        struct tcp_news news = {.acked = cases[i].acked, .dsack_right = cases[i].dsack};
        cr_assert_eq(tcp_tlp_ack(&f, &seg, &news), cases[i].repaired, "case %u", i);
        cr_assert_eq(f.tlp_out, cases[i].still_out, "case %u", i);
    }
}
