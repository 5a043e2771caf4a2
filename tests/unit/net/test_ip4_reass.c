/* SPDX-License-Identifier: BSD-3-Clause */
#include "frame_fixture.h"

#define S 1000000ull

static struct ip4_reass *r;
static struct rte_mbuf *whole;

static void start(void) {
    frames_start();
    r = ip4_reass_new(32, 4, SOCKET_ID_ANY);
    cr_assert_not_null(r);
}

static void stop(void) {
    ip4_reass_free(r);
    frames_expect_no_leak();
}

TestSuite(ip4_reass, .init = start, .fini = stop);

static uint8_t byte_at(uint32_t i) {
    return (uint8_t)(i * 5 + (i >> 8));
}

/* The piece [begin, end) of a datagram, after ip4_input. */
static struct rte_mbuf *piece(uint32_t saddr_be, uint16_t id, uint8_t proto, uint32_t begin, uint32_t end, bool more) {
    struct rte_mbuf *m = frame_ip4(proto, NULL, (uint16_t)(end - begin));
    struct wire_ip4 *ip = frame_ip(m);

    for (uint32_t i = begin; i < end; i++)
        ((uint8_t *)frame_l4(m))[i - begin] = byte_at(i);
    ip->saddr_be = saddr_be;
    ip->id_be = id;
    ip->frag_be = rte_cpu_to_be_16((uint16_t)(begin / 8 | (more ? WIRE_IP4_MF : 0)));
    frame_fix_ip_checksum(m);
    cr_assert_eq(frame_receive(m), NET_TO_FRAG);
    return m;
}

/* Hand it in; a dropped one is freed here, with what hangs behind it. */
static int give(struct rte_mbuf *m, uint64_t now_us) {
    int v = ip4_reassemble(r, m, now_us, &whole);

    if (v < 0)
        rte_pktmbuf_free(m);
    return v;
}

static int udp(uint16_t id, uint32_t begin, uint32_t end, bool more) {
    return give(piece(PEER_ADDR, id, IPPROTO_UDP, begin, end, more), S);
}

static void expect_whole(uint32_t n) {
    uint8_t bytes[65536];

    cr_assert_eq(whole->pkt_len, 34 + n);
    cr_expect_eq(ip4_input(&interface, whole), NET_TO_UDP, "valid as a packet of its own");
    cr_expect_eq(frame_ip(whole)->frag_be, 0);
    const uint8_t *p = rte_pktmbuf_read(whole, 34, n, bytes);
    cr_assert_not_null(p);
    for (uint32_t i = 0; i < n; i++)
        cr_assert_eq(p[i], byte_at(i), "byte %u", i);
    uint16_t segments = 0;
    for (struct rte_mbuf *m = whole; m; m = m->next)
        segments++;
    cr_expect_eq(whole->nb_segs, segments);
    rte_pktmbuf_free(whole);
}

Test(ip4_reass, in_any_order) {
    const uint8_t orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

    for (uint16_t o = 0; o < 6; o++)
        for (int i = 0; i < 3; i++) {
            uint32_t begin = orders[o][i] * 1480u;
            cr_expect_eq(udp(o, begin, begin + (begin == 2960 ? 101 : 1480), begin < 2960),
                         i < 2 ? NET_HELD : NET_TO_IP4);
            if (i == 2)
                expect_whole(2960 + 101);
        }
}

Test(ip4_reass, what_fits_becomes_one_segment) {
    cr_expect_eq(udp(1, 0, 512, true), NET_HELD);
    cr_expect_eq(udp(1, 512, 1000, false), NET_TO_IP4);
    cr_expect_eq(whole->nb_segs, 1);
    expect_whole(1000);
}

Test(ip4_reass, the_largest_datagram) {
    for (uint32_t begin = 0; begin < 65515; begin += 1480) {
        uint32_t end = weir_min_u32(begin + 1480, 65515);
        cr_assert_eq(udp(1, begin, end, end < 65515), end < 65515 ? NET_HELD : NET_TO_IP4);
    }
    expect_whole(65515);
}

Test(ip4_reass, datagrams_are_told_apart) {
    cr_expect_eq(udp(1, 0, 800, true), NET_HELD);
    cr_expect_eq(give(piece(PEER_ADDR, 2, IPPROTO_UDP, 800, 900, false), S), NET_HELD, "id");
    cr_expect_eq(give(piece(IP(198, 18, 0, 78), 1, IPPROTO_UDP, 800, 900, false), S), NET_HELD, "source");
    cr_expect_eq(give(piece(PEER_ADDR, 1, IPPROTO_TCP, 800, 900, false), S), NET_HELD, "protocol");
    cr_expect_eq(udp(1, 800, 900, false), NET_TO_IP4);
    expect_whole(900);
}

Test(ip4_reass, attack_malformed_pieces) {
    cr_expect_eq(udp(1, 0, 801, true), -NET_DROP_FRAG_MALFORMED, "not a multiple of 8");
    cr_expect_eq(udp(1, 800, 800, true), -NET_DROP_FRAG_MALFORMED, "empty");
    cr_expect_eq(udp(1, 800, 800, false), -NET_DROP_FRAG_MALFORMED, "empty last");
    cr_expect_eq(udp(1, 65528, 65600, false), -NET_DROP_FRAG_MALFORMED, "ping of death");
    cr_expect_eq(udp(1, 65512, 65516, false), -NET_DROP_FRAG_MALFORMED, "one byte beyond the largest");
    cr_expect_eq(give(piece(PEER_ADDR, 1, IPPROTO_TCP, 0, 16, true), S), -NET_DROP_FRAG_MALFORMED,
                 "tiny first fragment (RFC 1858)");
    cr_expect_eq(give(piece(PEER_ADDR, 1, IPPROTO_TCP, 0, 24, true), S), NET_HELD);
}

/* The first header is longer than the others': only together they are too long. */
Test(ip4_reass, attack_too_long_as_a_whole) {
    for (int first_last = 0; first_last < 2; first_last++) {
        struct rte_mbuf *m = piece(PEER_ADDR, (uint16_t)first_last, IPPROTO_UDP, 0, 64, true);
        m->l3_len = 28; /* 8 bytes of options, 56 of payload */
        int rc = 0;
        if (!first_last)
            cr_expect_eq(give(m, S), NET_HELD);
        rc = udp((uint16_t)first_last, 65504, 65515, false);
        if (first_last) {
            cr_expect_eq(rc, NET_HELD);
            rc = give(m, S);
        }
        cr_expect_eq(rc, -NET_DROP_FRAG_MALFORMED);
    }
}

/* Teardrop (CVE-1999-0015) and its kin: RFC 5722 4 drops the datagram, with what is still to come. */
Test(ip4_reass, attack_overlaps) {
    const uint32_t rows[][2] = {{792, 1600}, {0, 808}, {8, 16}, {400, 800}, {1600, 2408}, {1608, 1616}, {0, 1608}};

    for (uint16_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        uint32_t from = rte_cpu_to_be_32(0xc6120080u + i);
        cr_assert_eq(give(piece(from, i, IPPROTO_UDP, 0, 800, true), S), NET_HELD);
        cr_assert_eq(give(piece(from, i, IPPROTO_UDP, 1600, 2400, true), S), NET_HELD);
        unsigned held = rte_mempool_in_use_count(frames);
        cr_expect_eq(give(piece(from, i, IPPROTO_UDP, rows[i][0], rows[i][1], true), S), -NET_DROP_FRAG_OVERLAP, "%u",
                     i);
        cr_expect_eq(rte_mempool_in_use_count(frames), held - 2, "its fragments went with it");
        cr_expect_eq(give(piece(from, i, IPPROTO_UDP, 800, 1600, true), S), -NET_DROP_FRAG_OVERLAP, "dead");
        cr_expect_eq(give(piece(from, i, IPPROTO_UDP, 2400, 2500, false), S), -NET_DROP_FRAG_OVERLAP, "dead");
    }
}

Test(ip4_reass, an_exact_repetition_is_dropped_alone) {
    cr_expect_eq(udp(1, 0, 800, true), NET_HELD);
    cr_expect_eq(udp(1, 1600, 1700, false), NET_HELD);
    cr_expect_eq(udp(1, 0, 800, true), -NET_DROP_FRAG_OVERLAP);
    cr_expect_eq(udp(1, 1600, 1700, false), -NET_DROP_FRAG_OVERLAP);
    cr_expect_eq(udp(1, 800, 1600, true), NET_TO_IP4);
    expect_whole(1700);
}

Test(ip4_reass, attack_contradicting_ends) {
    cr_expect_eq(udp(1, 0, 800, true), NET_HELD);
    cr_expect_eq(udp(1, 1600, 1700, false), NET_HELD);
    cr_expect_eq(udp(1, 1704, 1800, true), -NET_DROP_FRAG_MALFORMED, "beyond the end");
    cr_expect_eq(udp(2, 1600, 1700, false), NET_HELD);
    cr_expect_eq(udp(2, 800, 900, false), -NET_DROP_FRAG_MALFORMED, "a second end");
    cr_expect_eq(udp(3, 1600, 2400, true), NET_HELD);
    cr_expect_eq(udp(3, 800, 900, false), -NET_DROP_FRAG_MALFORMED, "an end before what is there");
}

Test(ip4_reass, timeout_gives_everything_back) {
    struct rte_mbuf *out[8];

    cr_expect_eq(udp(1, 0, 800, true), NET_HELD);
    cr_expect_eq(udp(1, 1600, 1700, false), NET_HELD);
    cr_expect_eq(give(piece(PEER_ADDR, 2, IPPROTO_UDP, 0, 8, true), 2 * S), NET_HELD);
    cr_expect_eq(ip4_reass_expired(r, S + IP4_REASS_TIMEOUT_US - 1, out, 8), 0);
    cr_assert_eq(ip4_reass_expired(r, S + IP4_REASS_TIMEOUT_US, out, 8), 1);
    cr_expect_eq(out[0]->nb_segs, 2);
    rte_pktmbuf_free(out[0]);
    cr_assert_eq(ip4_reass_expired(r, 2 * S + IP4_REASS_TIMEOUT_US, out, 8), 1);
    rte_pktmbuf_free(out[0]);
    frames_expect_no_leak();
    cr_expect_eq(udp(1, 800, 1600, true), NET_HELD, "a new datagram");
}

Test(ip4_reass, attack_one_source_gets_its_share_only) {
    for (uint16_t id = 0; id < 4; id++)
        cr_expect_eq(udp(id, 0, 800, true), NET_HELD);
    cr_expect_eq(udp(9, 0, 800, true), -NET_DROP_FRAG_LIMIT);
    cr_expect_eq(give(piece(IP(198, 18, 0, 78), 9, IPPROTO_UDP, 0, 800, true), S), NET_HELD, "another is not touched");
    cr_expect_eq(udp(0, 800, 900, false), NET_TO_IP4, "and what is under way goes on");
    expect_whole(900);
    cr_expect_eq(udp(9, 0, 800, true), NET_HELD, "its place is free again");
}

/* CVE-2018-5391 (FragmentSmack): many sources, tiny pieces, never complete. Memory stays bounded, a genuine datagram
 * still comes through, and afterwards nothing is held. */
Test(ip4_reass, attack_fragment_flood) {
    uint64_t seed = 5, now = S;
    struct rte_mbuf *out[16];
    unsigned most = 0;

    for (int i = 0; i < 20000; i++, now += 10) {
        uint32_t from = rte_cpu_to_be_32(0xc6130000u + (uint32_t)(fixture_random(&seed) % 5000));
        uint32_t begin = 8 * (uint32_t)(fixture_random(&seed) % 2000);
        give(piece(from, (uint16_t)(fixture_random(&seed) % 3), IPPROTO_UDP, begin, begin + 8, true), now);
        uint16_t n = ip4_reass_expired(r, now, out, 16);
        for (uint16_t k = 0; k < n; k++)
            rte_pktmbuf_free(out[k]);
        most = RTE_MAX(most, rte_mempool_in_use_count(frames));
    }
    cr_expect_leq(most, 32 * IP4_REASS_HELD_PER_DATAGRAM);
    cr_expect_eq(give(piece(PEER_ADDR, 7, IPPROTO_UDP, 0, 800, true), now), NET_HELD);
    cr_expect_eq(give(piece(PEER_ADDR, 7, IPPROTO_UDP, 800, 900, false), now), NET_TO_IP4);
    expect_whole(900);
    for (uint16_t n = 1; n > 0;) {
        n = ip4_reass_expired(r, now + IP4_REASS_TIMEOUT_US, out, 16);
        for (uint16_t k = 0; k < n; k++)
            rte_pktmbuf_free(out[k]);
    }
    frames_expect_no_leak();
}

Test(ip4_reass, attack_too_many_pieces_of_one_datagram) {
    for (uint32_t i = 0; i < IP4_REASS_FRAGMENTS; i++)
        cr_assert_eq(udp(1, i * 16, i * 16 + 8, true), NET_HELD);
    cr_expect_eq(udp(1, 4000, 4008, true), -NET_DROP_FRAG_LIMIT);
    frames_expect_no_leak();
}

Test(ip4_reass, pieces_held_in_all_are_bounded) {
    uint32_t held = 0;

    for (uint32_t from = 0; from < 8; from++)
        for (uint32_t i = 0; i < 40; i++)
            held += give(piece(rte_cpu_to_be_32(0xc6120080u + from), 1, IPPROTO_UDP, i * 16, i * 16 + 8, true), S) ==
                    NET_HELD;
    cr_expect_eq(held, 320, "the oldest made room");
    struct rte_mbuf *out[64];
    uint16_t n = ip4_reass_expired(r, S, out, 64);
    cr_expect_gt(n, 0);
    for (uint16_t k = 0; k < n; k++)
        rte_pktmbuf_free(out[k]);
    cr_expect_leq(rte_mempool_in_use_count(frames), 32 * IP4_REASS_HELD_PER_DATAGRAM);
}

Test(ip4_reass, a_first_piece_in_a_shared_buffer_is_refused) {
    struct rte_mbuf *m = piece(PEER_ADDR, 1, IPPROTO_UDP, 0, 800, true), *clone = rte_pktmbuf_clone(m, frames);

    clone->l2_len = m->l2_len;
    clone->l3_len = m->l3_len;
    cr_expect_eq(give(clone, S), -NET_DROP_MBUF_SHARED);
    rte_pktmbuf_free(m);
}

/* Random cuts, random order, repetitions: the datagram or nothing, and never a leak. */
Test(ip4_reass, random_cuts, .timeout = 60) {
    for (uint64_t seed = 1; seed <= 300; seed++) {
        uint64_t state = seed;
        uint32_t total = 1500 + (uint32_t)(fixture_random(&state) % 20000), cuts[IP4_REASS_FRAGMENTS + 1] = {0}, n = 0;
        while (cuts[n] < total) {
            uint32_t step = 8 * (1 + (uint32_t)(fixture_random(&state) % 180));
            cuts[n + 1] = n + 1 == IP4_REASS_FRAGMENTS ? total : weir_min_u32(total, cuts[n] + step);
            if (cuts[n + 1] - cuts[n] > 1900)
                break;
            n++;
        }
        if (cuts[n] < total)
            continue;
        bool given[IP4_REASS_FRAGMENTS] = {false};
        for (uint32_t left = n; left > 0;) {
            uint32_t i = (uint32_t)(fixture_random(&state) % n);
            int v = udp((uint16_t)seed, cuts[i], cuts[i + 1], i + 1 < n);
            if (given[i])
                cr_assert_eq(v, -NET_DROP_FRAG_OVERLAP);
            else
                cr_assert_eq(v, left > 1 ? NET_HELD : NET_TO_IP4, "seed %lu", (unsigned long)seed);
            left -= !given[i];
            given[i] = true;
        }
        expect_whole(total);
        frames_expect_no_leak();
    }
}

/* RFC 3168 5.3: every pair of ECN fields. */
Test(ip4_reass, congestion_marks) {
    for (uint8_t a = 0; a < 4; a++)
        for (uint8_t b = 0; b < 4; b++) {
            bool lost = (a == WIRE_IP4_CE && b == WIRE_IP4_NOT_ECT) || (b == WIRE_IP4_CE && a == WIRE_IP4_NOT_ECT);
            uint16_t id = (uint16_t)(a << 2 | b);
            uint32_t saddr_be = IP(198, 18, 0, 10 + id);
            struct rte_mbuf *m[2] = {piece(saddr_be, id, IPPROTO_UDP, 0, 16, true),
                                     piece(saddr_be, id, IPPROTO_UDP, 16, 20, false)};
            frame_ip(m[0])->tos = 0xb8 | a;
            frame_ip(m[1])->tos = 0xb8 | b;
            cr_assert_eq(give(m[0], S), NET_HELD);
            cr_expect_eq(give(m[1], S), lost ? -NET_DROP_FRAG_ECN : NET_TO_IP4, "%u %u", a, b);
            if (lost)
                continue;
            uint8_t ecn = a == WIRE_IP4_CE || b == WIRE_IP4_CE ? WIRE_IP4_CE : a;
            cr_expect_eq(frame_ip(whole)->tos, 0xb8 | ecn, "%u %u", a, b);
            expect_whole(20);
        }
}
