/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <intel-ipsec-mb.h>

Test(tls_keycache, hit_miss_and_evict) {
    struct tls_keycache *cache = tls_keycache_new(512);
    uint64_t name = tls_keycache_name(3, TLS_WRITE, 9);
    bool hit = true;

    struct gcm_key_data *k = tls_keycache_get(cache, name, &hit);
    cr_assert_not(hit);
    cr_assert_eq((uintptr_t)k % 64, 0);
    memset(k, 0xaa, sizeof(*k));
    cr_assert_eq(tls_keycache_get(cache, name, &hit), k);
    cr_assert(hit);
    cr_assert_neq(tls_keycache_get(cache, tls_keycache_name(3, TLS_READ, 9), &hit), k);
    cr_assert_not(hit);
    cr_assert_neq(tls_keycache_get(cache, tls_keycache_name(3, TLS_WRITE, 10), &hit), k);
    cr_assert_not(hit);
    tls_keycache_evict(cache, name);
    for (size_t i = 0; i < sizeof(*k); i++)
        cr_assert_eq(((const uint8_t *)k)[i], 0, "an evicted key is wiped");
    tls_keycache_evict(cache, name); /* twice is harmless */
    tls_keycache_get(cache, name, &hit);
    cr_assert_not(hit);
    tls_keycache_free(cache);
}

/* Keys in steady use survive a stream of others that are used once. */
Test(tls_keycache, clock_keeps_what_is_used) {
    struct tls_keycache *cache = tls_keycache_new(8);
    bool hit;
    uint32_t misses = 0;

    for (tls_id id = 100; id < 1000; id++) {
        for (tls_id hot = 1; hot <= 3; hot++) {
            tls_keycache_get(cache, tls_keycache_name(hot, TLS_READ, 0), &hit);
            misses += !hit;
        }
        tls_keycache_get(cache, tls_keycache_name(id, TLS_READ, 0), &hit);
        cr_assert_not(hit);
    }
    cr_assert_leq(misses, 3);
    tls_keycache_free(cache);
}

/* Both keys of as many connections as half a cache has room for: none drives another one out. */
Test(tls_keycache, spreads_connections_over_its_sets) {
    struct tls_keycache *cache = tls_keycache_new(512);
    const tls_id first = 1001, n = 512 / 4;
    bool hit;

    for (int round = 0; round < 2; round++) {
        for (tls_id id = first; id < first + n; id++) {
            for (uint32_t dir = TLS_READ; dir <= TLS_WRITE; dir++) {
                tls_keycache_get(cache, tls_keycache_name(id, dir, 1), &hit);
                cr_assert_eq(hit, round == 1, "%u, %u", id, dir);
            }
        }
    }
    tls_keycache_free(cache);
}

Test(tls_keycache, never_hands_out_one_place_for_two_names) {
    struct tls_keycache *cache = tls_keycache_new(64);
    uint64_t seed = 1;
    bool hit;

    for (int i = 0; i < 20000; i++) {
        uint64_t name = tls_keycache_name(1 + harness_random(&seed, 200), TLS_READ, 0);
        struct gcm_key_data *k = tls_keycache_get(cache, name, &hit);
        if (hit)
            cr_assert_eq(memcmp(k, &name, sizeof(name)), 0);
        memcpy(k, &name, sizeof(name));
        if (harness_random(&seed, 10) == 0)
            tls_keycache_evict(cache, name);
    }
    tls_keycache_free(cache);
}

/* Whichever of a set's ways it is in. */
Test(tls_keycache, find_finds_what_get_finds) {
    struct tls_keycache *cache = tls_keycache_new(2 * TLS_KEYCACHE_WAYS);
    uint32_t ways_seen = 0;

    for (tls_id id = 1; id <= 200; id++) {
        uint64_t name = tls_keycache_name(id, TLS_READ, 0);
        const void *key = NULL;
        bool hit;
        cr_assert_not(tls_keycache_find(cache, name, &key));
        const struct gcm_key_data *k = tls_keycache_get(cache, name, &hit);
        cr_assert(tls_keycache_find(cache, name, &key));
        cr_assert_eq(key, k);
        ways_seen |= 1u << (((const uint8_t *)key - cache->key) / TLS_EXPANDED_BYTES % TLS_KEYCACHE_WAYS);
        cr_assert_not(tls_keycache_find(cache, tls_keycache_name(id, TLS_WRITE, 0), &key), "the other direction's");
    }
    cr_assert_eq(ways_seen, (1u << TLS_KEYCACHE_WAYS) - 1);
    tls_keycache_free(cache);
}
