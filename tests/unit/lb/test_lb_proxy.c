/* SPDX-License-Identifier: BSD-3-Clause */
#include "servers.h"

#include <criterion/criterion.h>

static uint32_t addr(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
    return rte_cpu_to_be_32((uint32_t)a << 24 | (uint32_t)b << 16 | (uint32_t)c << 8 | d);
}

Test(lb_proxy, version_1) {
    uint8_t buf[109];

    memset(buf, 0xee, sizeof(buf));
    uint32_t n = lb_proxy_header(1, addr(198, 18, 0, 7), rte_cpu_to_be_16(56324), addr(198, 18, 1, 10),
                                 rte_cpu_to_be_16(443), buf);
    static const char want[] = "PROXY TCP4 198.18.0.7 198.18.1.10 56324 443\r\n";
    cr_assert_eq(n, sizeof(want) - 1);
    cr_assert_arr_eq(buf, want, n);
    cr_assert_eq(buf[n], 0xee);
}

Test(lb_proxy, version_1_at_its_longest_and_shortest) {
    uint8_t buf[108];
    static const char longest[] = "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n";
    static const char shortest[] = "PROXY TCP4 0.0.0.0 1.2.3.4 0 1\r\n";

    cr_assert_eq(lb_proxy_header(1, UINT32_MAX, UINT16_MAX, UINT32_MAX, UINT16_MAX, buf), sizeof(longest) - 1);
    cr_assert_arr_eq(buf, longest, sizeof(longest) - 1);
    cr_assert_eq(lb_proxy_header(1, 0, 0, addr(1, 2, 3, 4), rte_cpu_to_be_16(1), buf), sizeof(shortest) - 1);
    cr_assert_arr_eq(buf, shortest, sizeof(shortest) - 1);
}

Test(lb_proxy, version_2) {
    static const uint8_t want[28] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 'Q', 'U', 'I', 'T',  0x0a, 0x21, 0x11,
                                     0,    12,   198,  18,   0,    7,    198,  18,  1,   10,  0xdc, 0x04, 0x01, 0xbb};
    uint8_t buf[108];

    memset(buf, 0xee, sizeof(buf));
    uint32_t n = lb_proxy_header(2, addr(198, 18, 0, 7), rte_cpu_to_be_16(0xdc04), addr(198, 18, 1, 10),
                                 rte_cpu_to_be_16(443), buf);
    cr_assert_eq(n, sizeof(want));
    cr_assert_arr_eq(buf, want, n);
    cr_assert_eq(buf[n], 0xee);
}

Test(lb_proxy, off) {
    uint8_t buf[108];

    cr_assert_eq(lb_proxy_header(0, 1, 2, 3, 4, buf), 0);
}
