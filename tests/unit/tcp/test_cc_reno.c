/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <criterion/criterion.h>

Test(cc_reno, a_segment_a_round_trip) {
    struct tcp_conn c = {.mss = 1000, .cwnd = 10000};
    tcp_cc_reno.start(&c);
    for (int trip = 1; trip <= 3; trip++) {
        uint32_t cwnd = c.cwnd;
        for (uint32_t acked = 0; acked < cwnd; acked += 1000)
            tcp_cc_reno.acked(&c, NULL, &(struct tcp_cc_ack){.acked = 1000});
        cr_assert_eq(c.cwnd, cwnd + 1000);
    }
}

Test(cc_reno, half_on_loss) {
    struct tcp_conn c = {.mss = 1000, .cwnd = 10000};
    cr_assert_eq(tcp_cc_reno.lost(&c, NULL, 8000, 1), 4000);
    cr_assert_eq(tcp_cc_reno.lost(&c, NULL, 1000, 1), 2000, "never below two segments");
}
