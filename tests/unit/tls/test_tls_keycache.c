/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <intel-ipsec-mb.h>

Test(tls_keycache, hit_miss_and_evict) {
    struct tls_keycache *cache = tls_keycache_new(512);
    uint64_t name = tls_keycache_name(3, TLS_WRITE, 9);
    uint32_t way;
    bool hit = true;

    struct gcm_key_data *k = tls_keycache_get(cache, name, &way, &hit);
    cr_assert_not(hit);
    cr_assert_eq((uintptr_t)k % 64, 0);
    memset(k, 0xaa, sizeof(*k));
    cr_assert_eq(tls_keycache_get(cache, name, &way, &hit), k);
    cr_assert(hit);
    cr_assert_neq(tls_keycache_get(cache, tls_keycache_name(3, TLS_READ, 9), &way, &hit), k);
    cr_assert_not(hit);
    cr_assert_neq(tls_keycache_get(cache, tls_keycache_name(3, TLS_WRITE, 10), &way, &hit), k);
    cr_assert_not(hit);
    tls_keycache_evict(cache, name);
    for (size_t i = 0; i < sizeof(*k); i++)
        cr_assert_eq(((const uint8_t *)k)[i], 0, "an evicted key is wiped");
    tls_keycache_evict(cache, name); /* twice is harmless */
    tls_keycache_get(cache, name, &way, &hit);
    cr_assert_not(hit);
    tls_keycache_free(cache);
}

/* Keys in steady use survive a stream of others that are used once. */
Test(tls_keycache, clock_keeps_what_is_used) {
    struct tls_keycache *cache = tls_keycache_new(8);
    uint32_t way, misses = 0;
    bool hit;

    for (tls_id id = 100; id < 1000; id++) {
        for (tls_id hot = 1; hot <= 3; hot++) {
            tls_keycache_get(cache, tls_keycache_name(hot, TLS_READ, 0), &way, &hit);
            misses += !hit;
        }
        tls_keycache_get(cache, tls_keycache_name(id, TLS_READ, 0), &way, &hit);
        cr_assert_not(hit);
    }
    cr_assert_leq(misses, 3);
    tls_keycache_free(cache);
}

/* Both keys of as many connections as half a cache has room for: none drives another one out. */
Test(tls_keycache, spreads_connections_over_its_sets) {
    struct tls_keycache *cache = tls_keycache_new(512);
    const tls_id first = 1001, n = 512 / 4;
    uint32_t way;
    bool hit;

    for (int round = 0; round < 2; round++) {
        for (tls_id id = first; id < first + n; id++) {
            for (uint32_t dir = TLS_READ; dir <= TLS_WRITE; dir++) {
                tls_keycache_get(cache, tls_keycache_name(id, dir, 1), &way, &hit);
                cr_assert_eq(hit, round == 1, "%u, %u", id, dir);
            }
        }
    }
    tls_keycache_free(cache);
}

/* Sets that are nearly empty do not all fill the same way: their keys would meet in the same lines of the CPU's caches.
 */
Test(tls_keycache, fills_all_ways_alike) {
    struct tls_keycache *cache = tls_keycache_new(4096);
    uint32_t filled[TLS_KEYCACHE_WAYS] = {0};
    const uint32_t keys = 256;
    bool hit;

    for (tls_id id = 1; id <= keys; id++) {
        uint32_t way;
        tls_keycache_get(cache, tls_keycache_name(id, TLS_READ, 0), &way, &hit);
        filled[way]++;
    }
    for (uint32_t way = 0; way < TLS_KEYCACHE_WAYS; way++)
        cr_expect_leq(filled[way], 2 * keys / TLS_KEYCACHE_WAYS, "way %u: %u", way, filled[way]);
    tls_keycache_free(cache);
}

Test(tls_keycache, never_hands_out_one_place_for_two_names) {
    struct tls_keycache *cache = tls_keycache_new(64);
    uint64_t seed = 1;
    uint32_t way;
    bool hit;

    for (int i = 0; i < 20000; i++) {
        uint64_t name = tls_keycache_name(1 + harness_random(&seed, 200), TLS_READ, 0);
        struct gcm_key_data *k = tls_keycache_get(cache, name, &way, &hit);
        if (hit)
            cr_assert_eq(memcmp(k, &name, sizeof(name)), 0);
        memcpy(k, &name, sizeof(name));
        if (harness_random(&seed, 10) == 0)
            tls_keycache_evict(cache, name);
    }
    tls_keycache_free(cache);
}

/* In the way that get said, whichever of a set's it is; until another key has it. */
Test(tls_keycache, find_finds_what_get_finds) {
    struct tls_keycache *cache = tls_keycache_new(2 * TLS_KEYCACHE_WAYS);
    uint32_t ways_seen = 0, ways[201];
    const void *keys[201];

    for (tls_id id = 1; id <= 200; id++) {
        uint64_t name = tls_keycache_name(id, TLS_READ, 0);
        bool hit;
        for (uint32_t way = 0; way < TLS_KEYCACHE_WAYS; way++)
            cr_assert_null(tls_keycache_find(cache, name, way));
        keys[id] = tls_keycache_get(cache, name, &ways[id], &hit);
        ways_seen |= 1u << ways[id];
        for (uint32_t way = 0; way < TLS_KEYCACHE_WAYS; way++) {
            cr_assert_eq(tls_keycache_find(cache, name, way), way == ways[id] ? keys[id] : NULL);
            cr_assert_null(tls_keycache_find(cache, tls_keycache_name(id, TLS_WRITE, 0), way), "the other direction's");
        }
        for (tls_id earlier = 1; earlier < id; earlier++) {
            const void *key = tls_keycache_find(cache, tls_keycache_name(earlier, TLS_READ, 0), ways[earlier]);
            cr_assert(key == NULL || (key == keys[earlier] && key != keys[id]), "%u's for %u", id, earlier);
        }
    }
    cr_assert_eq(ways_seen, (1u << TLS_KEYCACHE_WAYS) - 1);
    tls_keycache_free(cache);
}
