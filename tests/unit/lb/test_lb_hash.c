/* SPDX-License-Identifier: BSD-3-Clause */
#include "servers.h"

#include <criterion/criterion.h>

/* What machines of a fleet agreed on stays as it is: these numbers may never change. */
Test(lb_hash, is_the_same_for_ever) {
    cr_assert_eq(lb_hash("", 0), UINT64_C(0x4fd2cbea75016eba));
    cr_assert_eq(lb_hash("sensor-1", 8), UINT64_C(0x1bff7f610c7d2db0));
    cr_assert_eq(lb_hash("mosq-7f3a9c21be", 15), UINT64_C(0xe5eea62042c2f9ec));
}

Test(lb_hash, does_not_care_where_the_bytes_lie) {
    char buf[64];

    for (uint32_t at = 0; at < 16; at++) {
        memcpy(buf + at, "some-client-identifier", 22);
        cr_assert_eq(lb_hash(buf + at, 22), lb_hash("some-client-identifier", 22));
    }
}

Test(lb_hash, tells_lengths_apart) {
    static const uint8_t zeroes[64];

    for (uint32_t a = 0; a < sizeof(zeroes); a++)
        for (uint32_t b = 0; b < a; b++)
            cr_assert_neq(lb_hash(zeroes, a), lb_hash(zeroes, b));
}

/* Flip each bit of keys of several lengths: about half of the result's bits must flip. */
Test(lb_hash, every_bit_of_the_key_reaches_every_bit_of_the_hash) {
    static const uint32_t lengths[] = {1, 4, 7, 8, 9, 16, 23};

    for (size_t l = 0; l < WEIR_ARRAY_LEN(lengths); l++) {
        uint32_t flipped = 0, trials = 0;
        for (unsigned k = 0; k < 64; k++) {
            uint8_t key[23];
            for (uint32_t i = 0; i < sizeof(key); i++)
                key[i] = (uint8_t)(k * 37 + i * 11);
            uint64_t before = lb_hash(key, lengths[l]);
            for (uint32_t bit = 0; bit < lengths[l] * 8; bit++) {
                key[bit / 8] ^= (uint8_t)(1 << bit % 8);
                int n = __builtin_popcountll(before ^ lb_hash(key, lengths[l]));
                key[bit / 8] ^= (uint8_t)(1 << bit % 8);
                cr_assert(n >= 8, "bit %u of %u bytes flips %d", bit, lengths[l], n);
                flipped += (uint32_t)n;
                trials++;
            }
        }
        double mean = (double)flipped / trials;
        cr_assert(mean > 30 && mean < 34, "%u bytes: %f bits flip", lengths[l], mean);
    }
}

Test(lb_hash, numbered_keys_do_not_collide_and_spread) {
    enum { KEYS = 65536, BUCKETS = 16 };
    static uint32_t counts[BUCKETS];

    for (unsigned i = 0; i < KEYS; i++)
        counts[client_hash(i) % BUCKETS]++;
    for (unsigned b = 0; b < BUCKETS; b++)
        cr_assert(counts[b] > 3800 && counts[b] < 4400, "%u", counts[b]);
}
