/* SPDX-License-Identifier: BSD-3-Clause */
/* Expanded GCM keys, about 1 KB each, of the connections in use lately: a few hundred stay in the CPU's caches where
 * one for each of thousands of connections would not, and expanding anew costs less than fetching from memory.
 *
 * Eight ways a set. The names of a set lie in one cache line; within a set a clock picks what to replace. */
#include "tls_int.h"

#include <intel-ipsec-mb.h>
#include <rte_prefetch.h>
#include <stdlib.h>
#include <sys/mman.h>

#define WAYS 8u

struct slot {
    struct gcm_key_data key __attribute__((aligned(64)));
};

struct set {
    uint64_t name[WAYS]; /* 0: empty */
    uint8_t used;        /* bit a way: touched since the hand passed */
    uint8_t hand;
} __attribute__((aligned(64)));

struct tls_keycache {
    uint32_t sets; /* power of two */
    uint32_t shift;
    size_t mapped_bytes;
    struct set *set;
    struct slot *slot; /* WAYS a set */
};

struct tls_keycache *tls_keycache_new(uint32_t keys) {
    struct tls_keycache *cache = calloc(1, sizeof(*cache));

    if (cache == NULL)
        return NULL;
    cache->sets = 1;
    while (cache->sets * WAYS < keys && cache->sets < 1u << 16)
        cache->sets *= 2;
    cache->shift = 64 - (uint32_t)__builtin_ctz(cache->sets);

    size_t set_bytes = cache->sets * sizeof(struct set);
    cache->mapped_bytes = set_bytes + (size_t)cache->sets * WAYS * sizeof(struct slot);
    uint8_t *p = mmap(NULL, cache->mapped_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        free(cache);
        return NULL;
    }
    (void)mlock(p, cache->mapped_bytes); /* best effort, as for the raw keys */
    (void)madvise(p, cache->mapped_bytes, MADV_DONTDUMP);
    cache->set = (struct set *)(void *)p;
    cache->slot = (struct slot *)(void *)(p + set_bytes);
    return cache;
}

void tls_keycache_free(struct tls_keycache *cache) {
    if (cache == NULL)
        return;
    explicit_bzero(cache->set, cache->mapped_bytes);
    munmap(cache->set, cache->mapped_bytes);
    free(cache);
}

static uint32_t set_of(const struct tls_keycache *cache, uint64_t name) {
    if (cache->sets == 1)
        return 0;
    return (uint32_t)(name * 0x9e3779b97f4a7c15ull >> cache->shift);
}

static int way_of(const struct set *s, uint64_t name) {
    for (uint32_t i = 0; i < WAYS; i++) {
        if (s->name[i] == name)
            return (int)i;
    }
    return -1;
}

/* Way to be replaced: the first since the hand that was not touched lately. */
static uint32_t victim(struct set *s) {
    int empty = way_of(s, 0);

    if (empty >= 0)
        return (uint32_t)empty;
    while (s->used & 1u << s->hand) {
        s->used &= (uint8_t) ~(1u << s->hand);
        s->hand = (s->hand + 1) % WAYS;
    }
    uint32_t way = s->hand;
    s->hand = (s->hand + 1) % WAYS;
    return way;
}

struct gcm_key_data *tls_keycache_get(struct tls_keycache *cache, uint64_t name, bool *hit) {
    uint32_t index = set_of(cache, name);
    struct set *s = &cache->set[index];
    int way = way_of(s, name);

    *hit = way >= 0;
    if (way < 0) {
        way = (int)victim(s);
        s->name[way] = name;
    }
    if (*hit) /* not at once: connections that come once would push out those that come often */
        s->used |= (uint8_t)(1u << way);
    return &cache->slot[index * WAYS + (uint32_t)way].key;
}

void tls_keycache_fetch(const struct tls_keycache *cache, uint64_t name) {
    uint32_t index = set_of(cache, name);
    const struct set *s = &cache->set[index];
    int way = way_of(s, name);

    if (way < 0)
        return;
    /* Round keys come first; of the powers of H the AVX-512 code has the low ones, which small records use, at the end.
     */
    const uint8_t *key = (const uint8_t *)&cache->slot[index * WAYS + (uint32_t)way].key;
    for (uint32_t line = 0; line < 3; line++)
        rte_prefetch0(key + line * WEIR_CACHE_LINE);
    for (uint32_t line = 1; line <= 2; line++)
        rte_prefetch0(key + sizeof(struct slot) - line * WEIR_CACHE_LINE);
}

void tls_keycache_evict(struct tls_keycache *cache, uint64_t name) {
    uint32_t index = set_of(cache, name);
    struct set *s = &cache->set[index];
    int way = way_of(s, name);

    if (way < 0)
        return;
    s->name[way] = 0;
    s->used &= (uint8_t) ~(1u << way);
    explicit_bzero(&cache->slot[index * WAYS + (uint32_t)way], sizeof(struct slot));
}
