/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <criterion/criterion.h>

static void ack(struct tcp_core *core, struct tcp_conn *c, uint32_t acked, uint32_t flight) {
    tcp_cc_acked(core, c, &(struct tcp_cc_ack){.acked = acked, .flight = flight});
}

Test(tcp_cc, slow_start_then_the_algorithm) {
    struct tcp_core core = {0};
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
    struct tcp_conn c = {.mss = 1000, .cwnd = 10000, .ssthresh = UINT32_MAX, .cc = TCP_CC_RENO};
    ack(&core, &c, 1000, 4000);
    cr_assert_eq(c.cwnd, 10000);
}

Test(tcp_cc, split_acks_gain_nothing) {
    struct tcp_core core = {0};
    struct tcp_conn one = {.mss = 1000, .cwnd = 10000, .ssthresh = UINT32_MAX, .cc = TCP_CC_RENO}, many = one;
    ack(&core, &one, 1000, 10000);
    for (int i = 0; i < 1000; i++)
        ack(&core, &many, 1, 10000);
    cr_assert_eq(one.cwnd, many.cwnd); /* RFC 3465 */
}
