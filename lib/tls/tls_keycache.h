/* SPDX-License-Identifier: BSD-3-Clause */
/* Expanded GCM keys of the connections that were busy last: a set-associative cache, with a hand that passes over those
 * in use. A connection keeps its raw key alone. */
#ifndef WEIR_TLS_KEYCACHE_H
#define WEIR_TLS_KEYCACHE_H

#include "tls.h"

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

/* The expanded key of `name`, and which way of its set it is in. `*hit` false: the place is new and the caller fills it
 * at once. Valid until the next call. */
struct gcm_key_data *tls_keycache_get(struct tls_keycache *cache, uint64_t name, uint32_t *way, bool *hit);

/* The same, where it still is in the way that tls_keycache_get said; NULL where it is not. Who remembers the way has
 * the key's address without a look at the set, whose names are then compared beside the cipher that begins already. */
static inline const void *tls_keycache_find(struct tls_keycache *cache, uint64_t name, uint32_t way) {
    uint32_t index = (uint32_t)(name * TLS_KEYCACHE_HASH >> cache->shift);
    struct tls_keycache_set *s = &cache->set[index];

    if (WEIR_UNLIKELY(s->name[way] != name))
        return NULL;
    s->used |= (uint8_t)(1u << way);
    return cache->key + (size_t)(index * TLS_KEYCACHE_WAYS + way) * TLS_EXPANDED_BYTES;
}

void tls_keycache_evict(struct tls_keycache *cache, uint64_t name);
/* Fetch ahead what tls_keycache_find will look at, and of the key what a small record needs. */
void tls_keycache_fetch(const struct tls_keycache *cache, uint64_t name, uint32_t way);

#endif
