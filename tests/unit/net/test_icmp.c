/* SPDX-License-Identifier: BSD-3-Clause */
#include "frame_fixture.h"

TestSuite(icmp, .init = frames_start, .fini = frames_expect_no_leak);

#define PLENTY                                                                                                         \
    { .per_s = 1000 }

static void fix_icmp_checksum(struct rte_mbuf *m, uint32_t at) {
    struct wire_icmp *icmp = rte_pktmbuf_mtod_offset(m, struct wire_icmp *, at);

    icmp->checksum_be = 0;
    icmp->checksum_be = (uint16_t)~checksum_chain(m, at, m->pkt_len - at);
}

/* An echo request with n bytes of data, after ip4_input. */
static struct rte_mbuf *echo(uint16_t n) {
    struct rte_mbuf *m = frame_ip4(IPPROTO_ICMP, NULL, (uint16_t)(8 + n));

    *(struct wire_icmp *)frame_l4(m) = (struct wire_icmp){.type = 8, .a_be = RTE_BE16(0x1234), .b_be = RTE_BE16(1)};
    for (uint16_t i = 0; i < n; i++)
        ((uint8_t *)frame_l4(m))[8 + i] = (uint8_t)i;
    fix_icmp_checksum(m, 34);
    cr_assert_eq(frame_receive(m), NET_TO_ICMP);
    return m;
}

static int input(struct rte_mbuf *m, struct icmp_error *err) {
    struct icmp_limit limit = PLENTY;

    return icmp_input(&interface, m, &limit, 5000000, err);
}

static void expect(struct rte_mbuf *m, int verdict, const char *what) {
    struct icmp_error err;

    cr_expect_eq(input(m, &err), verdict, "%s", what);
    rte_pktmbuf_free(m);
}

static void expect_turned_round(struct rte_mbuf *m) {
    struct wire_ip4 *ip = frame_ip(m);

    cr_expect_arr_eq(frame_eth(m)->dst, peer_mac, 6);
    cr_expect_arr_eq(frame_eth(m)->src, our_mac, 6);
    cr_expect_eq(ip->saddr_be, OUR_ADDR);
    cr_expect_eq(ip->daddr_be, PEER_ADDR);
    cr_expect_eq(ip->version_ihl, 0x45);
    cr_expect_eq(rte_be_to_cpu_16(ip->total_len_be), m->pkt_len - 14);
    cr_expect_eq(naive_sum(ip, 20), 0xffff);
    cr_expect_eq(checksum_chain(m, 34, m->pkt_len - 34), 0xffff);
    cr_expect_eq(m->ol_flags, 0);
}

Test(icmp, echo_is_answered) {
    const uint16_t sizes[] = {0, 1, 56, 1472};
    struct icmp_error err;

    for (size_t i = 0; i < WEIR_ARRAY_LEN(sizes); i++) {
        struct rte_mbuf *m = echo(sizes[i]);
        cr_expect_eq(input(m, &err), NET_REPLY);
        expect_turned_round(m);
        struct wire_icmp *icmp = frame_l4(m);
        cr_expect_eq(icmp->type, 0);
        cr_expect_eq(icmp->a_be, RTE_BE16(0x1234));
        cr_expect_eq(icmp->b_be, RTE_BE16(1));
        for (uint16_t b = 0; b < sizes[i]; b++)
            cr_assert_eq(((uint8_t *)(icmp + 1))[b], (uint8_t)b);
        rte_pktmbuf_free(m);
    }
}

Test(icmp, echo_answer_drops_options) {
    struct rte_mbuf *m = frame_ip4(IPPROTO_ICMP, NULL, 20);
    struct icmp_error err;

    frame_ip(m)->version_ihl = 0x46;
    memcpy(frame_l4(m), (uint8_t[]){1, 1, 1, 0, 8, 0, 0, 0, 9, 9, 8, 8, 'd', 'a', 't', 'a'}, 16);
    frame_fix_ip_checksum(m);
    fix_icmp_checksum(m, 38);
    cr_assert_eq(frame_receive(m), NET_TO_ICMP);
    cr_expect_eq(input(m, &err), NET_REPLY);
    expect_turned_round(m);
    cr_expect_arr_eq((uint8_t *)frame_l4(m) + 8, "data", 4);
    rte_pktmbuf_free(m);
}

Test(icmp, echo_larger_than_the_mtu_is_not_answered) {
    expect(echo(1473), -NET_DROP_ICMP_TOO_BIG, "1501 bytes");
}

Test(icmp, a_shared_buffer_is_not_written) {
    struct rte_mbuf *m = echo(10), *clone = rte_pktmbuf_clone(m, frames);

    clone->l2_len = m->l2_len;
    clone->l3_len = m->l3_len;
    expect(clone, -NET_DROP_MBUF_SHARED, "clone");
    cr_expect_eq(((struct wire_icmp *)frame_l4(m))->type, 8);
    rte_pktmbuf_free(m);
}

Test(icmp, malformed) {
    for (uint16_t n = 0; n < 8; n++) {
        struct rte_mbuf *m = frame_ip4(IPPROTO_ICMP, NULL, n);
        cr_assert_eq(frame_receive(m), NET_TO_ICMP);
        expect(m, -NET_DROP_ICMP_SHORT, "short");
    }
    struct rte_mbuf *m = echo(11);
    ((uint8_t *)frame_l4(m))[18] ^= 1;
    expect(m, -NET_DROP_ICMP_CHECKSUM, "checksum over the odd last byte");
    const uint8_t types[] = {0, 4, 5, 9, 10, 12, 13, 15, 17, 30, 255};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(types); i++) {
        m = echo(30);
        ((struct wire_icmp *)frame_l4(m))->type = types[i];
        fix_icmp_checksum(m, 34);
        expect(m, -NET_DROP_ICMP_TYPE, "type");
    }
}

Test(icmp, limit_is_a_token_bucket) {
    struct icmp_limit limit = {.per_s = 10}, none = {0};
    struct icmp_error err;
    int answered = 0;

    for (int i = 0; i < 3000; i++) { /* a second's burst, then three seconds at 1,000 a second */
        struct rte_mbuf *m = echo(0);
        int v = icmp_input(&interface, m, &limit, 10000000 + (uint64_t)i * 1000, &err);
        cr_assert(v == NET_REPLY || v == -NET_DROP_ICMP_LIMIT);
        answered += v == NET_REPLY;
        rte_pktmbuf_free(m);
    }
    cr_expect(answered >= 38 && answered <= 40, "%d", answered);
    struct rte_mbuf *m = echo(0);
    cr_expect_eq(icmp_input(&interface, m, &none, 10000000, &err), -NET_DROP_ICMP_LIMIT);
    rte_pktmbuf_free(m);
}

/* An error that quotes a segment of ours to the peer. */
static struct rte_mbuf *error(uint8_t type, uint8_t code, uint8_t proto) {
    struct rte_mbuf *m = frame_ip4(IPPROTO_ICMP, NULL, 36);
    struct wire_icmp *icmp = frame_l4(m);
    struct wire_ip4 *quoted = (struct wire_ip4 *)(icmp + 1);
    struct wire_tcp *l4 = (struct wire_tcp *)(quoted + 1);

    *icmp = (struct wire_icmp){.type = type, .code = code, .b_be = RTE_BE16(1400)};
    *quoted = (struct wire_ip4){.version_ihl = 0x45, .proto = proto, .saddr_be = OUR_ADDR, .daddr_be = PEER_ADDR};
    l4->sport_be = RTE_BE16(8883);
    l4->dport_be = RTE_BE16(40000);
    l4->seq_be = RTE_BE32(0xdeadbeef);
    return m;
}

static struct rte_mbuf *received(struct rte_mbuf *m) {
    fix_icmp_checksum(m, 34);
    cr_assert_eq(frame_receive(m), NET_TO_ICMP);
    return m;
}

Test(icmp, errors_about_our_packets_are_told) {
    struct icmp_error err;
    struct rte_mbuf *m = received(error(3, 4, IPPROTO_TCP));

    cr_expect_eq(input(m, &err), NET_TO_TCP_ERR);
    cr_expect_eq(err.type, 3);
    cr_expect_eq(err.code, 4);
    cr_expect_eq(err.next_hop_mtu, 1400);
    cr_expect_eq(err.local_addr_be, OUR_ADDR);
    cr_expect_eq(err.remote_addr_be, PEER_ADDR);
    cr_expect_eq(err.local_port_be, RTE_BE16(8883));
    cr_expect_eq(err.remote_port_be, RTE_BE16(40000));
    cr_expect_eq(err.tcp_seq, 0xdeadbeef);
    rte_pktmbuf_free(m);

    m = received(error(11, 0, IPPROTO_UDP));
    cr_expect_eq(input(m, &err), NET_TO_UDP_ERR);
    cr_expect_eq(err.next_hop_mtu, 0);
    cr_expect_eq(err.tcp_seq, 0);
    rte_pktmbuf_free(m);
}

/* RFC 5927: what a forger can get wrong here. The sequence number is TCP's to check. */
Test(icmp, attack_forged_quotes) {
    struct rte_mbuf *m = error(3, 3, IPPROTO_TCP);

    ((struct wire_ip4 *)((struct wire_icmp *)frame_l4(m) + 1))->saddr_be = PEER_ADDR;
    expect(received(m), -NET_DROP_ICMP_QUOTE, "a packet of somebody else");
    m = error(3, 3, IPPROTO_TCP);
    ((struct wire_ip4 *)((struct wire_icmp *)frame_l4(m) + 1))->frag_be = RTE_BE16(1);
    expect(received(m), -NET_DROP_ICMP_QUOTE, "not a first fragment: no ports there");
    m = error(3, 3, IPPROTO_TCP);
    ((struct wire_ip4 *)((struct wire_icmp *)frame_l4(m) + 1))->version_ihl = 0x44;
    expect(received(m), -NET_DROP_ICMP_QUOTE, "quoted IHL 4");
    m = error(3, 3, IPPROTO_TCP);
    ((struct wire_ip4 *)((struct wire_icmp *)frame_l4(m) + 1))->version_ihl = 0x4f;
    expect(received(m), -NET_DROP_ICMP_SHORT, "quoted IHL 15 beyond the packet");
    expect(received(error(3, 3, IPPROTO_ICMP)), -NET_DROP_ICMP_QUOTE, "an ICMP message");
    for (uint16_t cut = 1; cut <= 28; cut++) {
        m = error(3, 3, IPPROTO_TCP);
        rte_pktmbuf_trim(m, cut);
        frame_ip(m)->total_len_be = rte_cpu_to_be_16((uint16_t)(56 - cut));
        frame_fix_ip_checksum(m);
        expect(received(m), -NET_DROP_ICMP_SHORT, "cut quote");
    }
}

Test(icmp, unreachable_quotes_header_and_8_bytes) {
    const uint16_t payloads[] = {0, 5, 8, 9, 1400};
    struct icmp_limit limit = PLENTY;

    for (size_t i = 0; i < WEIR_ARRAY_LEN(payloads); i++) {
        struct rte_mbuf *m = frame_ip4(IPPROTO_UDP, NULL, payloads[i]);
        struct wire_ip4 before = *frame_ip(m);
        cr_assert_eq(frame_receive(m), NET_TO_UDP);
        cr_expect_eq(icmp_unreachable(&interface, m, ICMP_NO_PORT, &limit, 5000000), NET_REPLY);
        expect_turned_round(m);
        struct wire_icmp *icmp = frame_l4(m);
        cr_expect_eq(icmp->type, 3);
        cr_expect_eq(icmp->code, 3);
        cr_expect_eq(m->pkt_len, 14 + 20 + 8 + 20 + weir_min_u32(payloads[i], 8));
        cr_expect_eq(memcmp(icmp + 1, &before, sizeof(before)), 0, "as it was received");
        rte_pktmbuf_free(m);
    }
}

Test(icmp, unreachable_quotes_options_and_cuts_chains) {
    struct icmp_limit limit = PLENTY;
    struct rte_mbuf *m = frame_ip4(IPPROTO_UDP, NULL, 40), *more = fixture_mbuf(frames, NULL, 100);

    frame_ip(m)->version_ihl = 0x46;
    memset(frame_l4(m), 1, 4);
    frame_ip(m)->total_len_be = RTE_BE16(160);
    frame_fix_ip_checksum(m);
    rte_pktmbuf_chain(m, more);
    cr_assert_eq(frame_receive(m), NET_TO_UDP);
    cr_expect_eq(icmp_unreachable(&interface, m, ICMP_NO_PROTOCOL, &limit, 5000000), NET_REPLY);
    cr_expect_eq(m->pkt_len, 14 + 20 + 8 + 24 + 8);
    cr_expect_eq(m->nb_segs, 1);
    expect_turned_round(m);
    rte_pktmbuf_free(m);
}

/* RFC 1122 3.2.2: what must never be answered. */
Test(icmp, attack_no_error_about_errors_fragments_and_broadcasts) {
    struct icmp_limit limit = PLENTY;
    struct rte_mbuf *m = received(error(3, 3, IPPROTO_TCP));

    cr_expect_eq(icmp_unreachable(&interface, m, ICMP_NO_PROTOCOL, &limit, 5000000), -NET_DROP_ICMP_UNFIT);
    rte_pktmbuf_free(m);
    m = frame_ip4(IPPROTO_UDP, NULL, 40);
    cr_assert_eq(frame_receive(m), NET_TO_UDP);
    frame_ip(m)->frag_be = RTE_BE16(10);
    cr_expect_eq(icmp_unreachable(&interface, m, ICMP_NO_PORT, &limit, 5000000), -NET_DROP_ICMP_UNFIT);
    frame_ip(m)->frag_be = 0;
    memcpy(frame_eth(m)->dst, all_macs, 6);
    cr_expect_eq(icmp_unreachable(&interface, m, ICMP_NO_PORT, &limit, 5000000), -NET_DROP_ICMP_UNFIT);
    memcpy(frame_eth(m)->dst, our_mac, 6);
    limit = (struct icmp_limit){.last_us = 5000000, .per_s = 1};
    cr_expect_eq(icmp_unreachable(&interface, m, ICMP_NO_PORT, &limit, 5000001), -NET_DROP_ICMP_LIMIT);
    rte_pktmbuf_prepend(m, rte_pktmbuf_headroom(m) - 26);
    cr_expect_eq(icmp_unreachable(&interface, m, ICMP_NO_PORT, &limit, 9000000), -NET_DROP_NO_HEADROOM);
    rte_pktmbuf_free(m);
}
