/* SPDX-License-Identifier: BSD-3-Clause */
#include "frame_fixture.h"

TestSuite(checksum, .init = frames_start, .fini = frames_expect_no_leak);

/* A chain of random segments (of every length from 0, odd ones too) against one flat copy, any offset, any length. */
Test(checksum, agrees_with_the_naive_sum) {
    uint64_t seed = 7;
    uint8_t flat[8192];

    for (int round = 0; round < 2000; round++) {
        struct rte_mbuf *head = NULL, *tail = NULL;
        uint32_t n = 0;
        for (uint64_t segments = 1 + fixture_random(&seed) % 6; segments > 0; segments--) {
            uint16_t len = (uint16_t)(fixture_random(&seed) % (round % 2 ? 20 : 1000));
            struct rte_mbuf *m = fixture_mbuf(frames, NULL, 0);
            rte_pktmbuf_adj(m, 0);
            m->data_off = (uint16_t)(m->data_off + fixture_random(&seed) % 8);
            uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, len);
            for (uint16_t i = 0; i < len; i++)
                flat[n++] = p[i] = fixture_random(&seed) % 5 ? (uint8_t)fixture_random(&seed) : 0xff;
            if (tail)
                tail->next = m;
            else
                head = m;
            tail = m;
        }
        uint32_t offset = (uint32_t)(fixture_random(&seed) % (n + 1)),
                 len = (uint32_t)(fixture_random(&seed) % (n - offset + 1));
        uint16_t fast = checksum_chain(head, offset, len), naive = naive_sum(flat + offset, len);
        cr_assert_eq(fast, naive, "round %d: %u bytes from %u of %u: %04x, not %04x", round, len, offset, n, fast,
                     naive);
        rte_pktmbuf_free(head);
    }
}

Test(checksum, all_ones_carry_round) {
    uint8_t bytes[1501];

    memset(bytes, 0xff, sizeof(bytes));
    for (uint16_t n = 0; n <= sizeof(bytes); n++) {
        struct rte_mbuf *m = fixture_mbuf(frames, bytes, n);
        cr_assert_eq(checksum_chain(m, 0, n), naive_sum(bytes, n), "%u", n);
        rte_pktmbuf_free(m);
    }
}

Test(checksum, rfc1071_example) {
    const uint8_t bytes[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
    struct rte_mbuf *m = fixture_mbuf(frames, bytes, sizeof(bytes));

    cr_expect_eq(checksum_chain(m, 0, 8), RTE_BE16(0xddf2));
    cr_expect_eq(checksum_chain(m, 0, 100), RTE_BE16(0xddf2), "the chain's end is the end");
    rte_pktmbuf_free(m);
}

Test(checksum, pseudo_header_counts_every_field) {
    struct {
        uint32_t saddr_be, daddr_be;
        uint8_t zero, proto;
        uint16_t len_be;
    } pseudo = {IP(198, 18, 255, 255), IP(198, 19, 255, 254), 0, IPPROTO_UDP, RTE_BE16(65515)};

    cr_expect_eq(checksum_pseudo(pseudo.saddr_be, pseudo.daddr_be, IPPROTO_UDP, 65515), naive_sum(&pseudo, 12));
    pseudo.len_be = 0;
    cr_expect_eq(checksum_pseudo(pseudo.saddr_be, pseudo.daddr_be, IPPROTO_UDP, 0), naive_sum(&pseudo, 12));
}

/* A segment with its checksum in place sums to zero, inverted. */
Test(checksum, l4_verifies_what_it_made) {
    uint8_t bytes[333] = {1, 2, 3, 4, 5, 6, 0, 0, 9};
    struct rte_mbuf *m = fixture_mbuf(frames, bytes, sizeof(bytes));
    uint16_t sum = checksum_l4(m, 0, sizeof(bytes), OUR_ADDR, PEER_ADDR, IPPROTO_TCP);

    memcpy(rte_pktmbuf_mtod_offset(m, uint8_t *, 6), &sum, 2);
    cr_expect_eq(checksum_l4(m, 0, sizeof(bytes), OUR_ADDR, PEER_ADDR, IPPROTO_TCP), 0);
    rte_pktmbuf_mtod(m, uint8_t *)[300] ^= 1;
    cr_expect_neq(checksum_l4(m, 0, sizeof(bytes), OUR_ADDR, PEER_ADDR, IPPROTO_TCP), 0);
    rte_pktmbuf_free(m);
}
