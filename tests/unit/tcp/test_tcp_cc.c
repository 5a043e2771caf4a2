/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <criterion/criterion.h>

static void ack(struct tcp_core *core, struct tcp_conn *c, uint32_t acked, uint32_t flight) {
    tcp_cc_acked(core, c, &(struct tcp_cc_ack){.acked = acked, .flight = flight});
}

Test(tcp_cc, slow_start_then_the_algorithm) {
    struct tcp_core core = {0};
    cr_assert_eq(pool_init(&core.flights, "flights", sizeof(struct tcp_flight), 4, 0), 0);
    struct tcp_conn c = {.mss = 1000, .cwnd = 10000, .ssthresh = 15000, .cc = TCP_CC_RENO};
    ack(&core, &c, 3000, 10000);
    cr_assert_eq(c.cwnd, 13000, "by bytes");
    ack(&core, &c, 3000, 13000);
    cr_assert_eq(c.cwnd, 15000, "up to ssthresh");
    ack(&core, &c, 13999, 15000);
    cr_assert_eq(c.cwnd, 15000, "the thousand that was over counts, and is not enough");
    ack(&core, &c, 1, 15000);
    cr_assert_eq(c.cwnd, 16000, "a segment a round trip");
}

Test(tcp_cc, an_unused_window_does_not_grow) {
    struct tcp_core core = {0};
    cr_assert_eq(pool_init(&core.flights, "flights", sizeof(struct tcp_flight), 4, 0), 0);
    struct tcp_conn c = {.mss = 1000, .cwnd = 10000, .ssthresh = UINT32_MAX, .cc = TCP_CC_RENO};
    ack(&core, &c, 1000, 4000);
    cr_assert_eq(c.cwnd, 10000);
}

Test(tcp_cc, each_id_has_its_algorithm) {
    struct tcp_conn c = {0};
    cr_assert_eq(tcp_cc_of(&c), &tcp_cc_cubic, "the default");
    c.cc = TCP_CC_RENO;
    cr_assert_eq(tcp_cc_of(&c), &tcp_cc_reno);
    cr_assert_str_eq(tcp_cc_name(TCP_CC_CUBIC), "cubic");
    cr_assert_str_eq(tcp_cc_name(TCP_CC_RENO), "reno");
    cr_assert_str_eq(tcp_cc_name(TCP_CC_COUNT), "unknown");
}

Test(tcp_cc, the_largest_window) {
    struct tcp_core core = {0};
    cr_assert_eq(pool_init(&core.flights, "flights", sizeof(struct tcp_flight), 4, 0), 0);
    struct tcp_conn c = {.mss = 1000, .cwnd = (1u << 30) - 10, .ssthresh = TCP_SSTHRESH_INITIAL};
    ack(&core, &c, 1u << 30, 1u << 30);
    cr_assert_eq(c.cwnd, 1u << 30);
}

/* RFC 5681 4.1 */
Test(tcp_cc, restart_after_idle) {
    struct tcp_core core = {.now_us = 10000000};
    struct tcp_conn c = {.mss = 1000, .cwnd = 100000, .ssthresh = 50000, .rto_us = 300000};
    c.progress_ms = 9700;
    c.last_rx_ms = 10000; /* what it received says nothing about what it sends */
    tcp_cc_idle(&core, &c);
    cr_assert_eq(c.cwnd, 100000, "an RTO, not longer");
    c.snd_nxt++; /* outstanding */
    c.progress_ms = 9000;
    tcp_cc_idle(&core, &c);
    cr_assert_eq(c.cwnd, 100000);
    c.snd_nxt--;
    tcp_cc_idle(&core, &c);
    cr_assert_eq(c.cwnd, 10000, "the initial window");
    cr_assert_eq(c.ssthresh, 75000, "and slow start to where it had been");
    c.cwnd = 4000;
    tcp_cc_idle(&core, &c);
    cr_assert_eq(c.cwnd, 4000, "never more than it was");
    cr_assert_eq(c.ssthresh, 75000);
}

Test(tcp_cc, idle_before_any_loss_leaves_slow_start_open) {
    struct tcp_core core = {.now_us = 10000000};
    struct tcp_conn c = {.mss = 1000, .cwnd = 100000, .ssthresh = TCP_SSTHRESH_INITIAL, .rto_us = 300000};
    tcp_cc_idle(&core, &c);
    cr_assert_eq(c.cwnd, 10000);
    cr_assert_eq(c.ssthresh, TCP_SSTHRESH_INITIAL);
}

Test(tcp_cc, split_acks_gain_nothing) {
    struct tcp_core core = {0};
    cr_assert_eq(pool_init(&core.flights, "flights", sizeof(struct tcp_flight), 4, 0), 0);
    struct tcp_conn one = {.mss = 1000, .cwnd = 10000, .ssthresh = UINT32_MAX, .cc = TCP_CC_RENO}, many = one;
    ack(&core, &one, 1000, 10000);
    for (int i = 0; i < 1000; i++)
        ack(&core, &many, 1, 10000);
    cr_assert_eq(one.cwnd, many.cwnd); /* RFC 3465 */
}
