/* SPDX-License-Identifier: BSD-3-Clause */
/* Expanded GCM keys of the connections that were busy last: a set-associative cache, with a hand that passes over those
 * in use. A connection keeps its raw key alone. */
#ifndef WEIR_TLS_KEYCACHE_H
#define WEIR_TLS_KEYCACHE_H

#include "tls.h"

#include <smmintrin.h>

struct gcm_key_data;

/* `name` tells whose key it is: connection, direction (enum tls_dir) and epoch. */
static inline uint64_t tls_keycache_name(tls_id id, uint32_t dir, uint8_t epoch) {
    return ((uint64_t)epoch << 1 | dir) << 32 | id;
}

#define TLS_KEYCACHE_HASH  0x9e3779b97f4a7c15ull
#define TLS_KEYCACHE_WAYS  8u
#define TLS_EXPANDED_BYTES 1024u /* of a struct gcm_key_data, in whole cache lines */

struct tls_keycache_set {
    uint64_t name[TLS_KEYCACHE_WAYS]; /* 0: empty */
    uint8_t used;                     /* bit a way: touched since the hand passed */
    uint8_t hand;
} __attribute__((aligned(WEIR_CACHE_LINE)));

struct tls_keycache {
    uint32_t sets; /* power of two, at least 2 */
    uint32_t shift;
    struct tls_keycache_set *set;
    uint8_t *key; /* TLS_KEYCACHE_WAYS a set, of TLS_EXPANDED_BYTES each */
    size_t mapped_bytes;
    bool locked;
};

struct tls_keycache *tls_keycache_new(uint32_t keys);
void tls_keycache_free(struct tls_keycache *cache);

/* The expanded key of `name`. `*hit` false: the place is new and the caller fills it at once. Valid until the next
 * call. */
struct gcm_key_data *tls_keycache_get(struct tls_keycache *cache, uint64_t name, bool *hit);

/* Two bits a way, from the lowest: is it there? Which one it is nobody can foretell, so nothing branches on it. */
static inline uint32_t tls_keycache_ways(const struct tls_keycache_set *s, uint64_t name) {
    const __m128i *names = (const __m128i *)(const void *)s->name, all = _mm_set1_epi64x((long long)name);
    __m128i low = _mm_packs_epi32(_mm_cmpeq_epi64(names[0], all), _mm_cmpeq_epi64(names[1], all));
    __m128i high = _mm_packs_epi32(_mm_cmpeq_epi64(names[2], all), _mm_cmpeq_epi64(names[3], all));

    return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(low, high));
}

/* Is it there? Then `key` is the same as tls_keycache_get would return. */
static inline bool tls_keycache_find(struct tls_keycache *cache, uint64_t name, const void **key) {
    uint32_t index = (uint32_t)(name * TLS_KEYCACHE_HASH >> cache->shift);
    struct tls_keycache_set *s = &cache->set[index];
    uint32_t ways = tls_keycache_ways(s, name);

    if (WEIR_UNLIKELY(ways == 0))
        return false;
    uint32_t way = (uint32_t)__builtin_ctz(ways) / 2;
    s->used |= (uint8_t)(1u << way);
    *key = cache->key + (size_t)(index * TLS_KEYCACHE_WAYS + way) * TLS_EXPANDED_BYTES;
    return true;
}

void tls_keycache_evict(struct tls_keycache *cache, uint64_t name);
/* Fetch ahead what tls_keycache_get of that name will look at, and of the key what a small record needs. */
void tls_keycache_fetch(const struct tls_keycache *cache, uint64_t name);

#endif
