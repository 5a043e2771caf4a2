/* SPDX-License-Identifier: BSD-3-Clause */
/* Round-trip times and the timeout made of them (RFC 6298), by hand. */
#include "loss_fixture.h"

Test(tcp_rtt, estimator) {
    struct tcp_conn e = {.rto_us = TCP_RTO_INITIAL_US};
    tcp_rtt_sample(&e, 400000, 0); /* RFC 6298 2.2 */
    cr_assert(e.srtt_us == 400000 && e.rttvar_us == 200000 && e.rto_us == 1200000);
    tcp_rtt_sample(&e, 800000, 0); /* 2.3 */
    cr_assert(e.srtt_us == 450000 && e.rttvar_us == 250000 && e.rto_us == 1450000);
    for (int i = 0; i < 100; i++)
        tcp_rtt_sample(&e, 100, 0);
    cr_assert_eq(e.rto_us, e.srtt_us + TCP_RTO_MIN_US, "the minimum is for what varies");
    for (int i = 0; i < 100; i++)
        tcp_rtt_sample(&e, 100000000, 0);
    cr_assert_eq(e.rto_us, TCP_RTO_MAX_US);
    e.backoff = 255;
    cr_assert_eq(tcp_rtt_rto_ms(&e), TCP_RTO_MAX_US / 1000);
}

Test(tcp_rtt, many_measurements_a_round_trip_count_for_one) {
    struct tcp_conn e = {.mss = MSS, .srtt_us = 80000, .rttvar_us = 10000};
    tcp_rtt_sample(&e, 160000, 10); /* RFC 7323 G */
    cr_assert_eq(e.srtt_us, 80000 + 80000 / 8 / 10);
    cr_assert_eq(e.rttvar_us, 10000 + 70000 / 4 / 10);
}

/* A window of 4 MB has 1,436 of them, each worth a part of a microsecond. */
Test(tcp_rtt, many_measurements_move_the_average) {
    struct tcp_conn e = {.mss = MSS, .srtt_us = 1000, .rttvar_us = 500};
    for (unsigned trip = 0; trip < 30; trip++)
        for (unsigned i = 0; i < 1436; i++)
            tcp_rtt_sample(&e, 12000, 1436);
    cr_assert_geq(e.srtt_us, 11900);
    cr_assert_leq(e.srtt_us, 12000);
    cr_assert_lt(e.rttvar_us, 1000, "the path is as steady as can be");
    for (unsigned trip = 0; trip < 30; trip++)
        for (unsigned i = 0; i < 1436; i++)
            tcp_rtt_sample(&e, 1000, 1436);
    cr_assert_leq(e.srtt_us, 1100);
}

/* RFC 4015 3.7. */
Test(tcp_rtt, longer_than_the_timeout_begins_anew) {
    struct tcp_conn e = {.srtt_us = 100000, .rttvar_us = 1000, .rto_us = 300000, .backoff = 1};
    tcp_rtt_sample(&e, 600000, 0);
    cr_assert(e.srtt_us == 600000 && e.rttvar_us == 300000 && e.rto_us == 1800000);
    cr_assert_eq(e.backoff, 0);
    e = (struct tcp_conn){.srtt_us = 100000, .rttvar_us = 4000, .rto_us = 300000, .backoff = 1};
    tcp_rtt_sample(&e, 180000, 0);
    cr_assert(e.srtt_us == 110000 && e.rttvar_us == 23000 && e.backoff == 0, "a loss on the same path");
}

Test(tcp_rtt, what_was_sent_once_measures) {
    open_flow(true);
    fly(2);
    sleep_ms(core, 30);
    ack(2, 0, 0);
    cr_assert_eq(c->srtt_us, 30000);
    cr_assert_eq(c->rttvar_us, 15000);
    harness_core_free(core);
}

Test(tcp_rtt, karn) {
    open_flow(true);
    struct decoded d[64];
    fly(1);
    sleep_ms(core, c->rto_us / 1000 + 1);
    cr_assert_eq(out(d), 1);
    cr_assert_eq(d[0].seq, first);
    uint32_t rto_us = c->rto_us;
    cr_assert_eq(c->backoff, 1);
    ack(1, 0, 0); /* of which copy? */
    cr_assert_eq(c->srtt_us, 0);
    cr_assert_eq(c->rto_us, rto_us);
    cr_assert_eq(c->backoff, 1, "the next new segment is sent with the backed off timeout: RFC 6298 5 note");
    fly(1);
    sleep_ms(core, 40);
    ack(2, 0, 0);
    cr_assert_eq(c->srtt_us, 40000);
    cr_assert_eq(c->backoff, 0);
    harness_core_free(core);
}

/* RFC 7323 4: the echo says which copy it was. */
Test(tcp_rtt, a_timestamp_measures_a_retransmission) {
    open_flow_with(&(struct craft){.mss = MSS, .sack_ok = true, .has_ts = true, .ts_val = 7});
    send_bytes(core, id, 100);
    drain_one(core);
    sleep_ms(core, 1001);
    struct decoded again = drain_one(core);
    sleep_ms(core, 25);
    struct craft a = peer_segment(core, id);
    a.ts_ecr = again.opts.ts_val;
    cr_assert_eq(feed(core, &a), TCP_SEG_FREE);
    cr_assert_eq(c->srtt_us, 25000);
    harness_core_free(core);
}

/* A peer that acknowledges rarely, as one does whose device joins segments, gives few measurements: each counts for
 * what it covers. */
Test(tcp_rtt, a_rare_measurement_counts_in_full) {
    open_flow(true);
    c->srtt_us = 80000;
    c->rttvar_us = 10000;
    fly(40);
    sleep_ms(core, 160);
    ack(40, 0, 0);
    cr_assert_eq(c->srtt_us, 80000 + 80000 / 8);
    fly(40);
    sleep_ms(core, 170);
    ack(50, 0, 0);
    cr_assert_eq(c->srtt_us, 90000 + 80000 / 8 / 4, "a quarter of what was out");
    ack(80, 0, 0);
    harness_core_free(core);
}
