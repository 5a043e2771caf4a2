/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <criterion/criterion.h>

static uint32_t own_growth;

static void count(struct tcp_conn *c, uint32_t acked, uint64_t now_us) {
    (void)c, (void)now_us;
    own_growth += acked;
}

Test(tcp_cc, slow_start_then_the_algorithm) {
    struct tcp_cc cc = {"test", NULL, count, NULL};
    struct tcp_core core = {.cc = &cc};
    struct tcp_conn c = {.mss = 1000, .cwnd = 10000, .ssthresh = 15000};
    tcp_cc_acked(&core, &c, 3000, 10000);
    cr_assert_eq(c.cwnd, 13000, "by bytes");
    tcp_cc_acked(&core, &c, 3000, 13000);
    cr_assert_eq(c.cwnd, 15000, "up to ssthresh");
    cr_assert_eq(own_growth, 1000, "the rest is the algorithm's");
    tcp_cc_acked(&core, &c, 500, 15000);
    cr_assert(c.cwnd == 15000 && own_growth == 1500);
}

Test(tcp_cc, an_unused_window_does_not_grow) {
    struct tcp_cc cc = {"test", NULL, count, NULL};
    struct tcp_core core = {.cc = &cc};
    struct tcp_conn c = {.mss = 1000, .cwnd = 10000, .ssthresh = UINT32_MAX};
    own_growth = 0;
    tcp_cc_acked(&core, &c, 1000, 4000);
    cr_assert_eq(c.cwnd, 10000);
}

Test(tcp_cc, split_acks_gain_nothing) {
    struct tcp_cc cc = {"test", NULL, count, NULL};
    struct tcp_core core = {.cc = &cc};
    struct tcp_conn one = {.mss = 1000, .cwnd = 10000, .ssthresh = UINT32_MAX}, many = one;
    tcp_cc_acked(&core, &one, 1000, 10000);
    for (int i = 0; i < 1000; i++)
        tcp_cc_acked(&core, &many, 1, 10000);
    cr_assert_eq(one.cwnd, many.cwnd); /* RFC 3465 */
}
