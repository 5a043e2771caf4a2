/* SPDX-License-Identifier: BSD-3-Clause */
#include "frame_fixture.h"

TestSuite(udp, .init = frames_start, .fini = frames_expect_no_leak);

/* A datagram with n bytes of payload from the peer, checksum right, after ip4_input. */
static struct rte_mbuf *datagram(uint16_t n) {
    struct rte_mbuf *m = frame_ip4(IPPROTO_UDP, NULL, (uint16_t)(8 + n));
    struct wire_udp *udp = frame_l4(m);

    *udp = (struct wire_udp){RTE_BE16(4000), RTE_BE16(5000), rte_cpu_to_be_16((uint16_t)(8 + n)), 0};
    for (uint16_t i = 0; i < n; i++)
        ((uint8_t *)(udp + 1))[i] = (uint8_t)(i * 3);
    cr_assert_eq(frame_receive(m), NET_TO_UDP);
    udp->checksum_be = checksum_l4(m, 34, (uint16_t)(8 + n), PEER_ADDR, OUR_ADDR, IPPROTO_UDP);
    return m;
}

static void expect(struct rte_mbuf *m, int verdict) {
    cr_expect_eq(udp_input(m), verdict, "%d expected", verdict);
    rte_pktmbuf_free(m);
}

Test(udp, valid) {
    for (uint16_t n = 0; n < 100; n++) {
        struct rte_mbuf *m = datagram(n);
        cr_expect_eq(udp_input(m), NET_TO_UDP);
        cr_expect_eq(m->l4_len, 8);
        rte_pktmbuf_free(m);
    }
}

Test(udp, lengths) {
    for (uint16_t n = 0; n < 8; n++) {
        struct rte_mbuf *m = frame_ip4(IPPROTO_UDP, NULL, n);
        cr_assert_eq(frame_receive(m), NET_TO_UDP);
        expect(m, -NET_DROP_UDP_SHORT);
    }
    const uint16_t bad[] = {0, 7, 19, 65535};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(bad); i++) {
        struct rte_mbuf *m = datagram(10);
        ((struct wire_udp *)frame_l4(m))->len_be = rte_cpu_to_be_16(bad[i]);
        expect(m, -NET_DROP_UDP_SHORT);
    }
}

Test(udp, bytes_behind_the_datagram_go) {
    struct rte_mbuf *m = datagram(10);
    struct wire_udp *udp = frame_l4(m);

    udp->len_be = RTE_BE16(13);
    udp->checksum_be = 0;
    cr_expect_eq(udp_input(m), NET_TO_UDP);
    cr_expect_eq(m->pkt_len, 34 + 13);
    rte_pktmbuf_free(m);
}

/* Software looks only where the NIC did not. */
Test(udp, checksum_and_what_the_nic_says) {
    struct {
        uint64_t flag;
        bool broken;
        int verdict;
    } rows[] = {
        {RTE_MBUF_F_RX_L4_CKSUM_UNKNOWN, false, NET_TO_UDP},
        {RTE_MBUF_F_RX_L4_CKSUM_UNKNOWN, true, -NET_DROP_UDP_CHECKSUM},
        {RTE_MBUF_F_RX_L4_CKSUM_GOOD, true, NET_TO_UDP},
        {RTE_MBUF_F_RX_L4_CKSUM_NONE, true, NET_TO_UDP},
        {RTE_MBUF_F_RX_L4_CKSUM_BAD, false, -NET_DROP_UDP_CHECKSUM},
    };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct rte_mbuf *m = datagram(33);
        m->ol_flags |= rows[i].flag;
        ((uint8_t *)frame_l4(m))[20] ^= rows[i].broken;
        expect(m, rows[i].verdict);
    }
    struct rte_mbuf *m = datagram(33);
    ((struct wire_udp *)frame_l4(m))->checksum_be = 0;
    ((uint8_t *)frame_l4(m))[20] ^= 1;
    expect(m, NET_TO_UDP);
}

Test(udp, output_is_valid_input) {
    for (uint16_t n = 0; n < 200; n += 13) {
        struct rte_mbuf *m = fixture_mbuf(frames, NULL, n);
        memset(rte_pktmbuf_mtod(m, void *), 0xab, n);
        cr_assert_eq(udp_output(m, PEER_ADDR, OUR_ADDR, 1, 2, false), 0);
        cr_assert_eq(ip4_output(m, PEER_ADDR, OUR_ADDR, IPPROTO_UDP, 0, false), 0);
        cr_assert_eq(eth_output(&interface, m, our_mac), 0);
        memcpy(frame_eth(m)->src, peer_mac, 6);
        cr_expect_eq(frame_receive(m), NET_TO_UDP);
        cr_expect_neq(((struct wire_udp *)frame_l4(m))->checksum_be, 0);
        expect(m, NET_TO_UDP);
        cr_expect_eq(frame_ip(m)->id_be, 0, "it tells nothing");
    }
}

/* The one sum in 65,536 that would read as "no checksum" (RFC 768). */
Test(udp, a_sum_of_zero_is_sent_as_ones) {
    struct rte_mbuf *m = fixture_mbuf(frames, "\0\0", 2);

    cr_assert_eq(udp_output(m, PEER_ADDR, OUR_ADDR, 1, 2, false), 0);
    uint16_t fill = rte_pktmbuf_mtod(m, struct wire_udp *)->checksum_be;
    rte_pktmbuf_free(m);
    m = fixture_mbuf(frames, &fill, 2);
    cr_assert_eq(udp_output(m, PEER_ADDR, OUR_ADDR, 1, 2, false), 0);
    cr_expect_eq(rte_pktmbuf_mtod(m, struct wire_udp *)->checksum_be, 0xffff);
    rte_pktmbuf_free(m);
}

Test(udp, output_asks_the_nic_with_the_pseudo_sum) {
    struct rte_mbuf *m = fixture_mbuf(frames, "hello", 5);

    cr_assert_eq(udp_output(m, OUR_ADDR, PEER_ADDR, 1, 2, true), 0);
    cr_expect_eq(rte_pktmbuf_mtod(m, struct wire_udp *)->checksum_be,
                 checksum_pseudo(OUR_ADDR, PEER_ADDR, IPPROTO_UDP, 13));
    cr_expect(m->ol_flags & RTE_MBUF_F_TX_UDP_CKSUM);
    rte_pktmbuf_prepend(m, rte_pktmbuf_headroom(m));
    cr_expect_eq(udp_output(m, OUR_ADDR, PEER_ADDR, 1, 2, true), -NET_DROP_NO_HEADROOM);
    rte_pktmbuf_free(m);
}

/* Wherever it goes, what arrives there must be valid, and the payload what was sent. */
Test(udp, new_addresses_in_place) {
    uint32_t saddr_be = RTE_BE32(0xc6130203u);
    for (uint16_t n = 0; n < 600; n++) {
        struct rte_mbuf *m = datagram(n);
        cr_assert_eq(udp_input(m), NET_TO_UDP);
        uint16_t sport_be = (uint16_t)(n * 40503u | 1), dport_be = (uint16_t)(n * 9973u | 1);
        cr_assert(udp_readdress(m, saddr_be, OUR_ADDR, sport_be, dport_be, false, false));
        struct wire_udp *udp = frame_l4(m);
        cr_expect_eq(udp->sport_be, sport_be);
        cr_expect_eq(udp->dport_be, dport_be);
        cr_expect_neq(udp->checksum_be, 0);
        cr_expect_eq(rte_pktmbuf_mtod_offset(m, const struct wire_ip4 *, 14)->id_be, 0,
                     "the sender's does not travel on");
        cr_expect_eq(frame_receive(m), NET_TO_UDP, "its IPv4 header is valid");
        cr_expect_eq(udp_input(m), NET_TO_UDP, "so is its checksum");
        rte_pktmbuf_free(m);
    }
}

/* A byte that the sender's checksum did not cover must not be covered now. */
Test(udp, new_addresses_hide_no_damage) {
    struct rte_mbuf *m = datagram(33);

    cr_assert_eq(udp_input(m), NET_TO_UDP);
    ((uint8_t *)frame_l4(m))[20] ^= 1;
    cr_assert(udp_readdress(m, PEER_ADDR, OUR_ADDR, 1, 2, false, false));
    expect(m, -NET_DROP_UDP_CHECKSUM);
}

Test(udp, no_checksum_stays_none) {
    for (int hw = 0; hw < 2; hw++) {
        struct rte_mbuf *m = datagram(33);
        ((struct wire_udp *)frame_l4(m))->checksum_be = 0;
        cr_assert_eq(udp_input(m), NET_TO_UDP);
        cr_assert(udp_readdress(m, PEER_ADDR, OUR_ADDR, 1, 2, hw, hw));
        cr_expect_eq(((struct wire_udp *)frame_l4(m))->checksum_be, 0);
        cr_expect_eq(m->ol_flags & RTE_MBUF_F_TX_L4_MASK, 0);
        rte_pktmbuf_free(m);
    }
}

/* Bytes behind the datagram do not travel on, and the new IPv4 header does not count them. */
Test(udp, new_addresses_of_a_datagram_with_bytes_behind_it) {
    struct rte_mbuf *m = datagram(10);
    struct wire_udp *udp = frame_l4(m);

    udp->len_be = RTE_BE16(13);
    udp->checksum_be = 0;
    udp->checksum_be = checksum_l4(m, 34, 13, PEER_ADDR, OUR_ADDR, IPPROTO_UDP);
    cr_assert_eq(udp_input(m), NET_TO_UDP);
    cr_assert(udp_readdress(m, RTE_BE32(0xc6130203u), OUR_ADDR, 1, 2, false, false));
    cr_expect_eq(rte_pktmbuf_mtod_offset(m, const struct wire_ip4 *, 14)->total_len_be, RTE_BE16(20 + 13));
    cr_expect_eq(frame_receive(m), NET_TO_UDP);
    cr_expect_eq(udp_input(m), NET_TO_UDP);
    rte_pktmbuf_free(m);
}

Test(udp, no_checksum_to_carry_on_yet) {
    struct rte_mbuf *m = datagram(33);

    m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE;
    cr_expect_eq(udp_input(m), NET_TO_UDP);
    cr_expect_not(udp_readdress(m, PEER_ADDR, OUR_ADDR, 1, 2, false, false));
    rte_pktmbuf_free(m);
}
