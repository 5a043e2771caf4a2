/* SPDX-License-Identifier: BSD-3-Clause */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <rte_thash.h>
#include <stdlib.h>

#include "app/weir/steer.h"

static struct steer steer;

static void random_key(uint8_t key[STEER_KEY_BYTES], unsigned seed) {
    srandom(seed);
    for (int i = 0; i < STEER_KEY_BYTES; i++)
        key[i] = (uint8_t)(random() >> 8);
}

static uint32_t random_u32(void) {
    return (uint32_t)random() << 16 ^ (uint32_t)random();
}

/* The values of Microsoft's "Verifying the RSS Hash Calculation", which every NIC's data sheet repeats. */
Test(steer, published_vectors) {
    static const uint8_t key[STEER_KEY_BYTES] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
                                                 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
                                                 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
                                                 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};
    steer_init(&steer, key, 1);
    uint32_t s = inet_addr("66.9.149.187"), d = inet_addr("161.142.100.80");
    cr_assert_eq(steer_hash2(&steer, s, d), 0x323e8fc2u);
    cr_assert_eq(steer_hash4(&steer, s, d, htons(2794), htons(1766)), 0x51ccc178u);
    s = inet_addr("199.92.111.2"), d = inet_addr("65.69.140.83");
    cr_assert_eq(steer_hash2(&steer, s, d), 0xd718262au);
    cr_assert_eq(steer_hash4(&steer, s, d, htons(14230), htons(4739)), 0xc626b0eau);
}

Test(steer, agrees_with_softrss) {
    for (unsigned seed = 1; seed <= 20; seed++) {
        uint8_t key[STEER_KEY_BYTES];
        random_key(key, seed);
        steer_init(&steer, key, 3);
        for (int i = 0; i < 500; i++) {
            union rte_thash_tuple t;
            t.v4.src_addr = random_u32();
            t.v4.dst_addr = random_u32();
            t.v4.sport = (uint16_t)random_u32();
            t.v4.dport = (uint16_t)random_u32();
            cr_assert_eq(
                steer_hash4(&steer, htonl(t.v4.src_addr), htonl(t.v4.dst_addr), htons(t.v4.sport), htons(t.v4.dport)),
                rte_softrss((uint32_t *)&t, RTE_THASH_V4_L4_LEN, key));
            cr_assert_eq(steer_hash2(&steer, htonl(t.v4.src_addr), htonl(t.v4.dst_addr)),
                         rte_softrss((uint32_t *)&t, RTE_THASH_V4_L3_LEN, key));
        }
    }
}

Test(steer, table_is_even) {
    uint8_t key[STEER_KEY_BYTES];
    random_key(key, 7);
    for (uint16_t n = 1; n <= 32; n++) {
        unsigned slots[32] = {0};
        steer_init(&steer, key, n);
        cr_assert_eq(steer.n_workers, n);
        for (int i = 0; i < STEER_RETA; i++) {
            cr_assert_lt(steer.reta[i], n);
            slots[steer.reta[i]]++;
        }
        for (uint16_t i = 0; i < n; i++)
            cr_assert(slots[i] - STEER_RETA / n <= 1u, "worker %u of %u: %u slots", i, n, slots[i]);
    }
}

/* Clients behind one address, told apart by their ports alone, as behind a carrier's NAT. */
Test(steer, flows_are_even) {
    enum { WORKERS = 4, FLOWS = 40000 };
    uint8_t key[STEER_KEY_BYTES];
    unsigned flows[WORKERS] = {0};
    random_key(key, 99);
    steer_init(&steer, key, WORKERS);
    for (int i = 0; i < FLOWS; i++)
        flows[steer_owner(&steer, steer_hash4(&steer, inet_addr("198.18.0.2"), inet_addr("198.18.0.1"),
                                              htons((uint16_t)(20000 + i)), htons(8883)))]++;
    for (int i = 0; i < WORKERS; i++)
        cr_assert(flows[i] > FLOWS / WORKERS / 2 && flows[i] < FLOWS / WORKERS * 2, "worker %d: %u flows", i, flows[i]);
}
