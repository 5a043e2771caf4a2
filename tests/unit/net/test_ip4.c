/* SPDX-License-Identifier: BSD-3-Clause */
#include "frame_fixture.h"

TestSuite(ip4, .init = frames_start, .fini = frames_expect_no_leak);

static void expect(struct rte_mbuf *m, int verdict, const char *what) {
    int v = frame_receive(m);

    cr_expect_eq(v, verdict, "%s: %s, not %s", what, v < 0 ? net_drop_name((enum net_drop) - v) : "a verdict",
                 verdict < 0 ? net_drop_name((enum net_drop) - verdict) : "a verdict");
    rte_pktmbuf_free(m);
}

Test(ip4, protocols) {
    struct {
        uint8_t proto;
        int verdict;
    } rows[] = {{IPPROTO_TCP, NET_TO_TCP},
                {IPPROTO_UDP, NET_TO_UDP},
                {IPPROTO_ICMP, NET_TO_ICMP},
                {IPPROTO_IGMP, -NET_DROP_IP4_PROTOCOL},
                {0, -NET_DROP_IP4_PROTOCOL}};

    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++)
        expect(frame_ip4(rows[i].proto, NULL, 30), rows[i].verdict, "protocol");
}

Test(ip4, padding_goes) {
    struct rte_mbuf *m = frame_ip4(IPPROTO_TCP, NULL, 20);

    rte_pktmbuf_append(m, 6);
    cr_expect_eq(frame_receive(m), NET_TO_TCP);
    cr_expect_eq(m->pkt_len, 54);
    cr_expect_eq(m->data_len, 54);
    cr_expect_eq(m->l3_len, 20);
    rte_pktmbuf_free(m);
}

Test(ip4, padding_in_a_segment_of_its_own_goes) {
    struct rte_mbuf *m = frame_ip4(IPPROTO_TCP, NULL, 20);

    rte_pktmbuf_chain(m, fixture_mbuf(frames, NULL, 10));
    rte_pktmbuf_chain(m, fixture_mbuf(frames, NULL, 10));
    cr_expect_eq(frame_receive(m), NET_TO_TCP);
    cr_expect_eq(m->pkt_len, 54);
    cr_expect_eq(m->nb_segs, 1);
    rte_pktmbuf_free(m);
}

Test(ip4, cut_short_anywhere) {
    for (uint16_t n = 14; n < 34; n++) {
        struct rte_mbuf *m = frame_ip4(IPPROTO_TCP, NULL, 20);
        rte_pktmbuf_trim(m, (uint16_t)(54 - n));
        expect(m, -NET_DROP_IP4_SHORT, "header");
    }
    for (uint16_t n = 34; n < 54; n++) {
        struct rte_mbuf *m = frame_ip4(IPPROTO_TCP, NULL, 20);
        rte_pktmbuf_trim(m, (uint16_t)(54 - n));
        expect(m, -NET_DROP_IP4_LENGTH, "payload");
    }
}

Test(ip4, header_fields) {
    struct {
        const char *what;
        uint8_t version_ihl, ttl;
        uint16_t total_len, frag;
        int verdict;
    } rows[] = {
        {"fine", 0x45, 64, 60, 0, NET_TO_TCP},
        {"TTL 1 has arrived", 0x45, 1, 60, 0, NET_TO_TCP},
        {"version 6", 0x65, 64, 60, 0, -NET_DROP_IP4_VERSION},
        {"version 0", 0x05, 64, 60, 0, -NET_DROP_IP4_VERSION},
        {"IHL 4", 0x44, 64, 60, 0, -NET_DROP_IP4_IHL},
        {"IHL 0", 0x40, 64, 60, 0, -NET_DROP_IP4_IHL},
        {"total below header", 0x45, 64, 19, 0, -NET_DROP_IP4_LENGTH},
        {"total 0", 0x45, 64, 0, 0, -NET_DROP_IP4_LENGTH},
        {"total beyond frame", 0x45, 64, 61, 0, -NET_DROP_IP4_LENGTH},
        {"total 65535", 0x45, 64, 65535, 0, -NET_DROP_IP4_LENGTH},
        {"TTL 0", 0x45, 0, 60, 0, -NET_DROP_IP4_TTL},
        {"DF", 0x45, 64, 60, WIRE_IP4_DF, NET_TO_TCP},
        {"MF", 0x45, 64, 60, WIRE_IP4_MF, NET_TO_FRAG},
        {"offset", 0x45, 64, 60, 1, NET_TO_FRAG},
        {"total exactly the header", 0x45, 64, 20, 0, NET_TO_TCP},
    };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct rte_mbuf *m = frame_ip4(IPPROTO_TCP, NULL, 40);
        struct wire_ip4 *ip = frame_ip(m);
        ip->version_ihl = rows[i].version_ihl;
        ip->ttl = rows[i].ttl;
        ip->total_len_be = rte_cpu_to_be_16(rows[i].total_len);
        ip->frag_be = rte_cpu_to_be_16(rows[i].frag);
        frame_fix_ip_checksum(m);
        expect(m, rows[i].verdict, rows[i].what);
    }
    struct rte_mbuf *m = frame_ip4(IPPROTO_TCP, NULL, 0);
    frame_ip(m)->version_ihl = 0x4f;
    expect(m, -NET_DROP_IP4_IHL, "IHL 15 in a 20-byte packet: not read");
}

Test(ip4, every_bit_of_the_header_is_checked) {
    for (int bit = 0; bit < 160; bit++) {
        struct rte_mbuf *m = frame_ip4(IPPROTO_TCP, NULL, 40);
        ((uint8_t *)frame_ip(m))[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_expect_lt(frame_receive(m), 0, "bit %d", bit);
        rte_pktmbuf_free(m);
    }
}

Test(ip4, checksum_and_what_the_nic_says) {
    struct {
        uint64_t flag;
        bool broken;
        int verdict;
    } rows[] = {
        {RTE_MBUF_F_RX_IP_CKSUM_UNKNOWN, true, -NET_DROP_IP4_CHECKSUM},
        {RTE_MBUF_F_RX_IP_CKSUM_GOOD, true, NET_TO_TCP},
        {RTE_MBUF_F_RX_IP_CKSUM_NONE, true, NET_TO_TCP},
        {RTE_MBUF_F_RX_IP_CKSUM_BAD, false, -NET_DROP_IP4_CHECKSUM},
    };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct rte_mbuf *m = frame_ip4(IPPROTO_TCP, NULL, 40);
        m->ol_flags |= rows[i].flag;
        frame_ip(m)->checksum_be ^= rows[i].broken;
        expect(m, rows[i].verdict, "offload");
    }
}

/* LAND (CVE-1999-0016), martians (RFC 1812 5.3.7), broadcast amplification. */
Test(ip4, attack_addresses) {
    struct {
        const char *what;
        uint32_t saddr_be, daddr_be;
        int verdict;
    } rows[] = {
        {"fine", PEER_ADDR, OUR_ADDR, NET_TO_TCP},
        {"second address", PEER_ADDR, OUR_ADDR_2, NET_TO_TCP},
        {"off-link source", IP(203, 0, 113, 1), OUR_ADDR, NET_TO_TCP},
        {"LAND", OUR_ADDR, OUR_ADDR, -NET_DROP_IP4_LAND},
        {"LAND by the other address", OUR_ADDR_2, OUR_ADDR, -NET_DROP_IP4_LAND},
        {"from 0.0.0.0", 0, OUR_ADDR, -NET_DROP_IP4_SOURCE},
        {"from 0/8", IP(0, 1, 2, 3), OUR_ADDR, -NET_DROP_IP4_SOURCE},
        {"from loopback", IP(127, 0, 0, 1), OUR_ADDR, -NET_DROP_IP4_SOURCE},
        {"from multicast", IP(224, 0, 0, 5), OUR_ADDR, -NET_DROP_IP4_SOURCE},
        {"from class E", IP(240, 0, 0, 1), OUR_ADDR, -NET_DROP_IP4_SOURCE},
        {"from limited broadcast", IP(255, 255, 255, 255), OUR_ADDR, -NET_DROP_IP4_SOURCE},
        {"from our subnet's broadcast", IP(198, 18, 0, 255), OUR_ADDR, -NET_DROP_IP4_SOURCE},
        {"from our subnet's network", IP(198, 18, 0, 0), OUR_ADDR, -NET_DROP_IP4_SOURCE},
        {"to another host", PEER_ADDR, IP(198, 18, 0, 9), -NET_DROP_IP4_NOT_OURS},
        {"to broadcast", PEER_ADDR, IP(255, 255, 255, 255), -NET_DROP_IP4_NOT_OURS},
        {"to our subnet's broadcast", PEER_ADDR, IP(198, 18, 0, 255), -NET_DROP_IP4_NOT_OURS},
        {"to multicast", PEER_ADDR, IP(224, 0, 0, 1), -NET_DROP_IP4_NOT_OURS},
    };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct rte_mbuf *m = frame_ip4(IPPROTO_TCP, NULL, 40);
        frame_ip(m)->saddr_be = rows[i].saddr_be;
        frame_ip(m)->daddr_be = rows[i].daddr_be;
        frame_fix_ip_checksum(m);
        expect(m, rows[i].verdict, rows[i].what);
    }
    struct rte_mbuf *m = frame_ip4(IPPROTO_TCP, NULL, 40);
    memcpy(frame_eth(m)->dst, all_macs, 6);
    expect(m, -NET_DROP_IP4_NOT_OURS, "unicast in a broadcast frame (RFC 1122 3.3.6)");
}

/* RFC 7126; option lengths that lie must neither loop nor read on. */
Test(ip4, attack_options) {
    struct {
        const char *what;
        uint8_t bytes[8];
        int verdict;
    } rows[] = {
        {"no-operations", {1, 1, 1, 1, 1, 1, 1, 1}, NET_TO_TCP},
        {"end hides the rest", {0, 131, 0, 0, 0, 0, 0, 0}, NET_TO_TCP},
        {"router alert", {148, 4, 0, 0, 0, 0, 0, 0}, NET_TO_TCP},
        {"record route is skipped", {7, 7, 4, 0, 0, 0, 0, 0}, NET_TO_TCP},
        {"loose source route", {131, 7, 4, 1, 2, 3, 4, 0}, -NET_DROP_IP4_SOURCE_ROUTE},
        {"strict source route", {1, 137, 7, 4, 1, 2, 3, 4}, -NET_DROP_IP4_SOURCE_ROUTE},
        {"source route behind another", {148, 4, 0, 0, 131, 3, 4, 0}, -NET_DROP_IP4_SOURCE_ROUTE},
        {"length 0", {7, 0, 0, 0, 0, 0, 0, 0}, -NET_DROP_IP4_OPTION},
        {"length 1", {7, 1, 0, 0, 0, 0, 0, 0}, -NET_DROP_IP4_OPTION},
        {"length beyond the header", {7, 9, 0, 0, 0, 0, 0, 0}, -NET_DROP_IP4_OPTION},
        {"length 255", {7, 255, 0, 0, 0, 0, 0, 0}, -NET_DROP_IP4_OPTION},
        {"no length byte left", {1, 1, 1, 1, 1, 1, 1, 7}, -NET_DROP_IP4_OPTION},
    };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct rte_mbuf *m = frame_ip4(IPPROTO_TCP, NULL, 40);
        frame_ip(m)->version_ihl = 0x47;
        memcpy(frame_l4(m), rows[i].bytes, 8);
        frame_fix_ip_checksum(m);
        expect(m, rows[i].verdict, rows[i].what);
    }
}

Test(ip4, output_header) {
    struct rte_mbuf *m = fixture_mbuf(frames, "abc", 3);

    cr_assert_eq(ip4_output(m, OUR_ADDR, PEER_ADDR, IPPROTO_TCP, WIRE_IP4_ECT0, false), 0);
    struct wire_ip4 *ip = rte_pktmbuf_mtod(m, struct wire_ip4 *);
    cr_expect_eq(ip->total_len_be, RTE_BE16(23));
    cr_expect_eq(ip->frag_be, RTE_BE16(WIRE_IP4_DF));
    cr_expect_eq(ip->ttl, 64);
    cr_expect_eq(ip->tos, WIRE_IP4_ECT0);
    cr_expect_eq(ip->id_be, 0, "nobody learns how many went before");
    cr_expect_eq(naive_sum(ip, 20), 0xffff);
    cr_expect_eq(m->l2_len + m->l3_len, 34);
    rte_pktmbuf_adj(m, 20);
    cr_assert_eq(ip4_output(m, OUR_ADDR, PEER_ADDR, IPPROTO_TCP, 0, true), 0);
    cr_expect_eq(rte_pktmbuf_mtod(m, struct wire_ip4 *)->checksum_be, 0);
    cr_expect(m->ol_flags & RTE_MBUF_F_TX_IP_CKSUM);
    rte_pktmbuf_prepend(m, rte_pktmbuf_headroom(m));
    cr_expect_eq(ip4_output(m, OUR_ADDR, PEER_ADDR, IPPROTO_TCP, 0, true), -NET_DROP_NO_HEADROOM);
    rte_pktmbuf_free(m);
}

/* Any bytes: no read outside (ASan watches), a verdict always, lengths in step. */
Test(ip4, random_frames) {
    uint64_t seed = 99;

    for (int round = 0; round < 20000; round++) {
        uint16_t n = (uint16_t)(fixture_random(&seed) % 80);
        struct rte_mbuf *m = frame_ip4(IPPROTO_TCP, NULL, n);
        for (int flips = (int)(fixture_random(&seed) % 4); flips >= 0; flips--)
            ((uint8_t *)frame_ip(m))[fixture_random(&seed) % (20u + n)] = (uint8_t)fixture_random(&seed);
        if (round % 4)
            frame_fix_ip_checksum(m);
        rte_pktmbuf_trim(m, (uint16_t)(fixture_random(&seed) % (m->data_len + 1)));
        if (frame_receive(m) >= 0) {
            cr_assert_eq(m->pkt_len, m->data_len);
            cr_assert_leq(m->l2_len + m->l3_len, m->data_len);
        }
        rte_pktmbuf_free(m);
    }
}
