/* SPDX-License-Identifier: BSD-3-Clause */
/* Expanded GCM keys, about 1 KB each, of the connections in use lately: a few hundred stay in the CPU's caches where
 * one for each of thousands of connections would not, and expanding anew costs less than fetching from memory.
 *
 * Eight ways a set. The names of a set lie in one cache line; within a set a clock picks what to replace. */
#include "tls_int.h"

#include <intel-ipsec-mb.h>
#include <rte_prefetch.h>
#include <stdlib.h>

#define WAYS TLS_KEYCACHE_WAYS

static_assert(sizeof(struct gcm_key_data) <= TLS_EXPANDED_BYTES, "an expanded key has room");

struct tls_keycache *tls_keycache_new(uint32_t keys) {
    struct tls_keycache *cache = calloc(1, sizeof(*cache));

    if (cache == NULL)
        return NULL;
    cache->sets = 2; /* so that the shift is less than the width */
    while (cache->sets * WAYS < keys && cache->sets < 1u << 16)
        cache->sets *= 2;
    cache->shift = 64 - (uint32_t)__builtin_ctz(cache->sets);

    size_t set_bytes = cache->sets * sizeof(struct tls_keycache_set);
    cache->mapped_bytes = set_bytes + (size_t)cache->sets * WAYS * TLS_EXPANDED_BYTES;
    cache->locked = true;
    uint8_t *p = tls_secret_alloc(cache->mapped_bytes, &cache->locked);
    if (p == NULL) {
        free(cache);
        return NULL;
    }
    cache->set = (struct tls_keycache_set *)(void *)p;
    cache->key = p + set_bytes;
    return cache;
}

void tls_keycache_free(struct tls_keycache *cache) {
    if (cache == NULL)
        return;
    tls_secret_free(cache->set, cache->mapped_bytes);
    free(cache);
}

static uint32_t set_of(const struct tls_keycache *cache, uint64_t name) {
    return (uint32_t)(name * TLS_KEYCACHE_HASH >> cache->shift);
}

static void *key_of(const struct tls_keycache *cache, uint32_t index, uint32_t way) {
    return cache->key + (size_t)(index * WAYS + way) * TLS_EXPANDED_BYTES;
}

static int way_of(const struct tls_keycache_set *s, uint64_t name) {
    for (uint32_t i = 0; i < WAYS; i++) {
        if (s->name[i] == name)
            return (int)i;
    }
    return -1;
}

/* Way to be filled: an empty one, which the name draws, since places of equal number in different sets meet in the same
 * few lines of the CPU's caches; or the first since the hand that was not touched lately. */
static uint32_t victim(const struct tls_keycache *cache, struct tls_keycache_set *s, uint64_t name) {
    uint32_t first = (uint32_t)(name * TLS_KEYCACHE_HASH >> (cache->shift - 3));

    for (uint32_t i = 0; i < WAYS; i++) {
        if (s->name[(first + i) % WAYS] == 0)
            return (first + i) % WAYS;
    }
    while (s->used & 1u << s->hand) {
        s->used &= (uint8_t) ~(1u << s->hand);
        s->hand = (s->hand + 1) % WAYS;
    }
    uint32_t way = s->hand;
    s->hand = (s->hand + 1) % WAYS;
    return way;
}

struct gcm_key_data *tls_keycache_get(struct tls_keycache *cache, uint64_t name, uint32_t *way, bool *hit) {
    uint32_t index = set_of(cache, name);
    struct tls_keycache_set *s = &cache->set[index];
    int at = way_of(s, name);

    *hit = at >= 0;
    *way = *hit ? (uint32_t)at : victim(cache, s, name);
    if (*hit) /* not at once: connections that come once would push out those that come often */
        s->used |= (uint8_t)(1u << *way);
    else
        s->name[*way] = name;
    return key_of(cache, index, *way);
}

void tls_keycache_fetch(const struct tls_keycache *cache, uint64_t name, uint32_t way) {
    uint32_t index = set_of(cache, name);

    if (cache->set[index].name[way] != name)
        return;
    /* Round keys come first; of the powers of H the AVX-512 code has the low ones, which small records use, at the end.
     */
    const uint8_t *key = key_of(cache, index, way);
    for (uint32_t line = 0; line < 3; line++)
        rte_prefetch0(key + line * WEIR_CACHE_LINE);
    for (uint32_t line = 1; line <= 2; line++)
        rte_prefetch0(key + sizeof(struct gcm_key_data) - line * WEIR_CACHE_LINE);
}

void tls_keycache_evict(struct tls_keycache *cache, uint64_t name) {
    uint32_t index = set_of(cache, name);
    struct tls_keycache_set *s = &cache->set[index];
    int way = way_of(s, name);

    if (way < 0)
        return;
    s->name[way] = 0;
    s->used &= (uint8_t) ~(1u << way);
    explicit_bzero(key_of(cache, index, (uint32_t)way), TLS_EXPANDED_BYTES);
}
