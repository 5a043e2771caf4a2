/* SPDX-License-Identifier: BSD-3-Clause */
#include "flow_table.h"

#include "region.h"

#include <rte_prefetch.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define ENTRIES_PER_BUCKET 6u /* of 10 slots, at capacity */

/* A 64 x 64 bit product folded to 64 bits. */
static inline uint64_t mix(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Two rounds: after one, keys that differ in few bits still show it; the bucket comes from the high bits, the signature
 * from the low ones, so both must be good. Without the secret nobody can choose colliding flows. */
static inline uint64_t hash_of(const struct flow_table *t, const struct flow_key *key) {
    uint64_t k[2];

    memcpy(k, key, sizeof(k));
    uint64_t h = mix(k[0] ^ t->secret[0], k[1] ^ t->secret[1]);
    return mix(h ^ t->secret[1], 0x9e3779b97f4a7c15ull ^ t->secret[0]);
}

static inline uint32_t home_of(const struct flow_table *t, uint64_t hash) {
    return (uint32_t)((hash >> 32) * t->n_buckets >> 32);
}

static inline uint32_t next_bucket(const struct flow_table *t, uint32_t at) {
    return at + 1 == t->n_buckets ? 0 : at + 1;
}

/* splitmix64: spreads one secret over as many words as are asked for. */
static uint64_t secret_next(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static uint32_t buckets_for(uint32_t capacity) {
    return capacity / ENTRIES_PER_BUCKET + 1;
}

uint64_t flow_table_bytes(uint32_t capacity) {
    return (uint64_t)buckets_for(capacity) * sizeof(struct flow_bucket);
}

int flow_table_init(struct flow_table *t, uint32_t capacity, uint64_t secret, const struct flow_objects *objects) {
    *t = (struct flow_table){.capacity = capacity, .n_buckets = buckets_for(capacity), .objects = *objects};
    t->buckets = region_map(flow_table_bytes(capacity));
    if (t->buckets == NULL)
        return WEIR_ENOMEM;
    t->secret[0] = secret_next(&secret);
    t->secret[1] = secret_next(&secret);
    return 0;
}

void flow_table_populate(const struct flow_table *t) {
    region_populate(t->buckets, flow_table_bytes(t->capacity));
}

void flow_table_fini(struct flow_table *t) {
    region_unmap(t->buckets, flow_table_bytes(t->capacity));
    *t = (struct flow_table){0};
}

static inline const uint8_t *object_of(const struct flow_table *t, uint32_t entry) {
    uint32_t object = entry >> (t->objects.keys - 1);

    return (const uint8_t *)t->objects.base + (size_t)(object - 1) * t->objects.stride_bytes;
}

static inline bool has_key(const struct flow_table *t, uint32_t entry, const struct flow_key *key) {
    uint32_t k = entry & (t->objects.keys - 1u);
    const uint8_t *at = object_of(t, entry) + t->objects.key_offset + k * sizeof(*key);
    uint64_t a[2], b[2];

    memcpy(a, at, sizeof(a));
    memcpy(b, key, sizeof(b));
    return ((a[0] ^ b[0]) | (a[1] ^ b[1])) == 0;
}

/* Slots in use whose signature is this one, a bit each. */
#ifdef __SSE2__
static inline uint32_t matches(const struct flow_bucket *b, uint16_t signature) {
    static_assert(offsetof(struct flow_bucket, signatures) + 32 <= sizeof(*b), "the second load stays within");
    const __m128i *from = (const __m128i *)b->signatures;
    __m128i all = _mm_set1_epi16((short)signature);
    __m128i low = _mm_cmpeq_epi16(_mm_load_si128(from), all), high = _mm_cmpeq_epi16(_mm_load_si128(from + 1), all);

    return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(low, high)) & b->used;
}
#else
static inline uint32_t matches(const struct flow_bucket *b, uint16_t signature) {
    uint32_t bits = 0;

    for (uint32_t i = 0; i < FLOW_BUCKET_SLOTS; i++)
        bits |= (uint32_t)(b->signatures[i] == signature) << i;
    return bits & b->used;
}
#endif

/* Where an entry lies. */
struct place {
    struct flow_bucket *bucket; /* NULL: nowhere */
    uint32_t slot;
};

static struct place search(const struct flow_table *t, const struct flow_key *key, uint64_t hash) {
    uint32_t at = home_of(t, hash);
    uint32_t far = t->buckets[at].away ? t->reach : 0;

    for (uint32_t i = 0; i <= far; i++, at = next_bucket(t, at)) {
        struct flow_bucket *b = &t->buckets[at];
        for (uint32_t bits = matches(b, (uint16_t)hash); bits; bits &= bits - 1) {
            uint32_t slot = (uint32_t)__builtin_ctz(bits);
            if (WEIR_LIKELY(has_key(t, b->entries[slot], key)))
                return (struct place){b, slot};
        }
    }
    return (struct place){0};
}

int flow_table_add(struct flow_table *t, const struct flow_key *key, uint32_t entry) {
    assert(entry >= t->objects.keys);
    uint64_t hash = hash_of(t, key);
    uint32_t home = home_of(t, hash), at = home, far = 0;

    if (search(t, key, hash).bucket)
        return WEIR_EEXIST;
    if (t->used >= t->capacity)
        return WEIR_EFULL;
    const uint16_t full = (1u << FLOW_BUCKET_SLOTS) - 1;
    for (; t->buckets[at].used == full; far++)
        at = next_bucket(t, at);
    struct flow_bucket *b = &t->buckets[at];
    uint32_t slot = (uint32_t)__builtin_ctz(~(uint32_t)b->used);
    b->signatures[slot] = (uint16_t)hash;
    b->entries[slot] = entry;
    b->used |= (uint16_t)(1u << slot);
    if (far) {
        assert(t->buckets[home].away < UINT16_MAX);
        t->buckets[home].away++;
        t->reach = weir_max_u32(t->reach, far);
    }
    t->used++;
    return 0;
}

int flow_table_del(struct flow_table *t, const struct flow_key *key) {
    uint64_t hash = hash_of(t, key);
    struct place p = search(t, key, hash);

    if (!p.bucket)
        return WEIR_ENOENT;
    p.bucket->used &= (uint16_t) ~(1u << p.slot);
    struct flow_bucket *home = &t->buckets[home_of(t, hash)];
    home->away -= p.bucket != home;
    t->used--;
    return 0;
}

uint32_t flow_table_find(const struct flow_table *t, const struct flow_key *key) {
    struct place p = search(t, key, hash_of(t, key));

    return p.bucket ? p.bucket->entries[p.slot] : 0;
}

static inline void object_fetch(const uint8_t *object, uint32_t bytes) {
    for (uint32_t line = 0; line < bytes; line += WEIR_CACHE_LINE)
        rte_prefetch0(object + line);
}

void flow_table_find_bulk(const struct flow_table *t, const struct flow_key *const *keys, uint32_t n,
                          uint32_t *entries) {
    assert(n <= FLOW_TABLE_BURST);
    const struct flow_bucket *homes[FLOW_TABLE_BURST];
    uint16_t signatures[FLOW_TABLE_BURST];
    const uint32_t object_bytes = t->objects.stride_bytes;

    for (uint32_t i = 0; i < n; i++) {
        uint64_t hash = hash_of(t, keys[i]);
        homes[i] = &t->buckets[home_of(t, hash)];
        signatures[i] = (uint16_t)hash;
        rte_prefetch0(homes[i]);
    }
    /* The first slot whose signature fits, nearly always the right one: a wrong one is one of 6,500. */
    for (uint32_t i = 0; i < n; i++) {
        uint32_t bits = matches(homes[i], signatures[i]);
        entries[i] = 0;
        if (WEIR_LIKELY(bits)) {
            entries[i] = homes[i]->entries[__builtin_ctz(bits)];
            object_fetch(object_of(t, entries[i]), object_bytes);
        }
    }
    for (uint32_t i = 0; i < n; i++)
        if (WEIR_UNLIKELY(entries[i] ? !has_key(t, entries[i], keys[i]) : homes[i]->away))
            entries[i] = flow_table_find(t, keys[i]);
}
