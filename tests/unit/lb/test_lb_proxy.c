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
                                 rte_cpu_to_be_16(443), NULL, buf);
    static const char want[] = "PROXY TCP4 198.18.0.7 198.18.1.10 56324 443\r\n";
    cr_assert_eq(n, sizeof(want) - 1);
    cr_assert_arr_eq(buf, want, n);
    cr_assert_eq(buf[n], 0xee);
}

Test(lb_proxy, version_1_at_its_longest_and_shortest) {
    uint8_t buf[108];
    static const char longest[] = "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n";
    static const char shortest[] = "PROXY TCP4 0.0.0.0 1.2.3.4 0 1\r\n";

    cr_assert_eq(lb_proxy_header(1, UINT32_MAX, UINT16_MAX, UINT32_MAX, UINT16_MAX, NULL, buf), sizeof(longest) - 1);
    cr_assert_arr_eq(buf, longest, sizeof(longest) - 1);
    cr_assert_eq(lb_proxy_header(1, 0, 0, addr(1, 2, 3, 4), rte_cpu_to_be_16(1), NULL, buf), sizeof(shortest) - 1);
    cr_assert_arr_eq(buf, shortest, sizeof(shortest) - 1);
}

Test(lb_proxy, version_2) {
    static const uint8_t want[28] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 'Q', 'U', 'I', 'T',  0x0a, 0x21, 0x11,
                                     0,    12,   198,  18,   0,    7,    198,  18,  1,   10,  0xdc, 0x04, 0x01, 0xbb};
    uint8_t buf[108];

    memset(buf, 0xee, sizeof(buf));
    uint32_t n = lb_proxy_header(2, addr(198, 18, 0, 7), rte_cpu_to_be_16(0xdc04), addr(198, 18, 1, 10),
                                 rte_cpu_to_be_16(443), NULL, buf);
    cr_assert_eq(n, sizeof(want));
    cr_assert_arr_eq(buf, want, n);
    cr_assert_eq(buf[n], 0xee);
}

Test(lb_proxy, off) {
    uint8_t buf[108];

    cr_assert_eq(lb_proxy_header(0, 1, 2, 3, 4, NULL, buf), 0);
}

/* The whole of what a broker learns of a client's TLS, byte by byte. */
Test(lb_proxy, version_2_with_tls) {
    static const uint8_t want[] = {0x21, 0x11,
                                   0,    12 + 7 + 4 + 8 + 3 + 5 + 10 + 6 + 8,
                                   198,  18,
                                   0,    7,
                                   198,  18,
                                   1,    10,
                                   0xdc, 0x04,
                                   0x01, 0xbb,
                                   0x01, 0,
                                   4,    'm',
                                   'q',  't',
                                   't',  0x02,
                                   0,    1,
                                   'a',  0x20,
                                   0,    5 + 10 + 6 + 8,
                                   0x07, 0,
                                   0,    0,
                                   0,    0x21,
                                   0,    7,
                                   'T',  'L',
                                   'S',  'v',
                                   '1',  '.',
                                   '3',  0x22,
                                   0,    3,
                                   'd',  'e',
                                   'v',  0x23,
                                   0,    5,
                                   'S',  'U',
                                   'I',  'T',
                                   'E'};
    struct lb_proxy_tls tls = {.certificate = true,
                               .version = "TLSv1.3",
                               .cipher = "SUITE",
                               .common_name = "dev",
                               .alpn = "mqtt",
                               .authority = "a"};
    uint8_t buf[LB_PROXY_MAX];
    uint32_t n = lb_proxy_header(2, addr(198, 18, 0, 7), rte_cpu_to_be_16(0xdc04), addr(198, 18, 1, 10),
                                 rte_cpu_to_be_16(443), &tls, buf);
    cr_assert_eq(n, 12 + sizeof(want));
    cr_expect_eq(buf[15], n - 16, "the length is of what follows it");
    for (uint32_t i = 4; i < sizeof(want); i++)
        cr_expect_eq(buf[12 + i], want[i], "byte %u: %02x", 12 + i, buf[12 + i]);
    tls.resumed = true;
    lb_proxy_header(2, 1, 2, 3, 4, &tls, buf);
    cr_expect_eq(buf[28 + 7 + 4 + 3], 0x05, "a certificate of the session, not of this connection");
}

Test(lb_proxy, version_2_without_a_certificate) {
    struct lb_proxy_tls tls = {.version = "TLSv1.2", .alpn = ""};
    char longer[300];
    uint8_t buf[LB_PROXY_MAX];
    memset(longer, 'a', sizeof(longer));
    longer[sizeof(longer) - 1] = 0;
    tls.common_name = longer; /* left out rather than cut */
    cr_assert_eq(lb_proxy_header(2, 1, 2, 3, 4, &tls, buf), 28 + 3 + 5 + 10);
    cr_expect(buf[28] == 0x20 && buf[31] == 0x01 && buf[35] == 1, "TLS, no certificate, so nothing was verified");
}

Test(lb_proxy, version_2_at_its_longest) {
    char text[256];
    uint8_t buf[LB_PROXY_MAX];
    memset(text, 'a', 255);
    text[255] = 0;
    static const uint8_t der[LB_PROXY_CERTIFICATE_MAX] = {0x30};
    struct lb_proxy_tls tls = {true, false, "TLSv1.3",  "ECDHE-ECDSA-AES256-GCM-SHA384", text, text,
                               text, der,   sizeof(der)};
    uint32_t n = lb_proxy_header(2, 1, 2, 3, 4, &tls, buf),
             all = 28 + 2 * 258 + 8 + 10 + 258 + 3 + 29 + 3 + sizeof(der);
    cr_assert_eq(n, all);
    cr_expect_eq(buf[14] << 8 | buf[15], n - 16);
}

/* Behind the names, in the TLV of TLS, as it was signed. */
Test(lb_proxy, version_2_with_the_certificate) {
    static const uint8_t der[LB_PROXY_CERTIFICATE_MAX + 1] = {0x30, 0x82, 0x01, 0x02, 0x00, 0xff};
    struct lb_proxy_tls tls = {
        .certificate = true, .version = "TLSv1.3", .common_name = "dev", .der = der, .der_bytes = 300};
    uint8_t buf[LB_PROXY_MAX];
    uint32_t names = 28 + 3 + 5 + 10 + 6;
    cr_assert_eq(lb_proxy_header(2, 1, 2, 3, 4, &tls, buf), names + 3 + 300);
    cr_expect_eq(buf[14] << 8 | buf[15], (int)names - 16 + 3 + 300);
    cr_expect(buf[28] == 0x20 && (buf[29] << 8 | buf[30]) == 5 + 10 + 6 + 3 + 300);
    cr_expect(buf[names] == 0x28 && (buf[names + 1] << 8 | buf[names + 2]) == 300);
    cr_expect_arr_eq(buf + names + 3, der, 300);
    tls.der_bytes = sizeof(der); /* left out rather than cut */
    cr_expect_eq(lb_proxy_header(2, 1, 2, 3, 4, &tls, buf), names);
    tls.der_bytes = 0;
    cr_expect_eq(lb_proxy_header(2, 1, 2, 3, 4, &tls, buf), names);
}
