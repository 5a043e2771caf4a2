/* SPDX-License-Identifier: BSD-3-Clause */
#include "frame_fixture.h"

TestSuite(eth, .init = frames_start, .fini = frames_expect_no_leak);

Test(eth, verdicts) {
    struct {
        uint8_t dst[6], src[6];
        uint16_t type;
        int verdict;
    } rows[] = {
        {{2, 0, 0, 0, 0, 1}, {2, 9}, WIRE_ETH_IP4, NET_TO_IP4},
        {{2, 0, 0, 0, 0, 1}, {2, 9}, WIRE_ETH_ARP, NET_TO_ARP},
        {{255, 255, 255, 255, 255, 255}, {2, 9}, WIRE_ETH_ARP, NET_TO_ARP},
        {{2, 0, 0, 0, 0, 2}, {2, 9}, WIRE_ETH_IP4, -NET_DROP_ETH_NOT_OURS},
        {{1, 0, 0x5e, 0, 0, 1}, {2, 9}, WIRE_ETH_IP4, -NET_DROP_ETH_NOT_OURS},
        {{2, 0, 0, 0, 0, 1}, {3, 9}, WIRE_ETH_IP4, -NET_DROP_ETH_SOURCE},
        {{2, 0, 0, 0, 0, 1}, {2, 9}, WIRE_ETH_VLAN, -NET_DROP_ETH_VLAN},
        {{2, 0, 0, 0, 0, 1}, {2, 9}, 0x86dd, -NET_DROP_ETH_TYPE},
        {{2, 0, 0, 0, 0, 1}, {2, 9}, 46, -NET_DROP_ETH_TYPE}, /* an 802.3 length */
    };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct rte_mbuf *m = frame_ip4(IPPROTO_UDP, NULL, 30);
        memcpy(frame_eth(m)->dst, rows[i].dst, 6);
        memcpy(frame_eth(m)->src, rows[i].src, 6);
        frame_eth(m)->type_be = rte_cpu_to_be_16(rows[i].type);
        cr_expect_eq(eth_input(&interface, m), rows[i].verdict, "row %zu", i);
        if (rows[i].verdict >= 0)
            cr_expect_eq(m->l2_len, 14);
        rte_pktmbuf_free(m);
    }
}

Test(eth, short_frames) {
    for (uint16_t n = 0; n < 14; n++) {
        struct rte_mbuf *m = fixture_mbuf(frames, NULL, n);
        cr_expect_eq(eth_input(&interface, m), -NET_DROP_ETH_SHORT);
        rte_pktmbuf_free(m);
    }
}

Test(eth, output_needs_headroom) {
    struct rte_mbuf *m = fixture_mbuf(frames, "payload", 7);

    cr_expect_eq(eth_output(&interface, m, peer_mac), 0);
    cr_expect_eq(m->pkt_len, 21);
    cr_expect_arr_eq(frame_eth(m)->dst, peer_mac, 6);
    cr_expect_arr_eq(frame_eth(m)->src, our_mac, 6);
    cr_expect_eq(frame_eth(m)->type_be, RTE_BE16(WIRE_ETH_IP4));
    rte_pktmbuf_prepend(m, rte_pktmbuf_headroom(m) - 13);
    cr_expect_eq(eth_output(&interface, m, peer_mac), -NET_DROP_NO_HEADROOM);
    rte_pktmbuf_free(m);
}
