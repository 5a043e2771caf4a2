/* SPDX-License-Identifier: BSD-3-Clause */
/* The hash is computed here and handed to rte_hash's *_with_hash functions: its own hash function gets 32 bits of key
 * only. Indices are stored as rte_hash's per-key data, so rte_hash's own positions are not used. */
#include "flow_table.h"

#include <rte_errno.h>
#include <string.h>

/* A 64 x 64 bit product folded to 64 bits. */
static inline uint64_t mix(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Two rounds: after one, keys that differ in few bits still show it; rte_hash takes the bucket from the low bits and
 * the signature from the high ones, so both must be good. Without the secret nobody can choose colliding flows. */
static inline hash_sig_t hash_of(const struct flow_table *t, const struct flow_key *key) {
    uint64_t k[2];

    memcpy(k, key, sizeof(k));
    uint64_t h = mix(k[0] ^ t->secret[0], k[1] ^ t->secret[1]);
    h = mix(h ^ t->secret[1], 0x9e3779b97f4a7c15ull ^ t->secret[0]);
    return (hash_sig_t)(h ^ h >> 32);
}

/* splitmix64: spreads one secret over as many words as are asked for. */
static uint64_t secret_next(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

int flow_table_init(struct flow_table *t, const char *name, uint32_t capacity, uint64_t secret, int socket_id) {
    /* Extendable buckets: without them rte_hash may refuse a key well before it is full. */
    struct rte_hash_parameters params = {.name = name,
                                         .entries = weir_max_u32(capacity, 8), /* rte_hash's smallest */
                                         .key_len = sizeof(struct flow_key),
                                         .socket_id = socket_id,
                                         .extra_flag = RTE_HASH_EXTRA_FLAGS_EXT_TABLE};

    *t = (struct flow_table){.capacity = capacity};
    t->hash = rte_hash_create(&params);
    if (t->hash == NULL)
        return WEIR_ENOMEM;
    t->secret[0] = secret_next(&secret);
    t->secret[1] = secret_next(&secret);
    return 0;
}

void flow_table_fini(struct flow_table *t) {
    rte_hash_free(t->hash);
    *t = (struct flow_table){0};
}

static uint64_t power_of_2(uint64_t n) {
    uint64_t p = 1;

    while (p < n)
        p <<= 1;
    return p;
}

/* What rte_hash_create of DPDK 22.11 takes: an aligned key record (data pointer and key) an entry, a 64-byte bucket an
 * 8 entries twice (the second set are the extensions), and a ring of 4-byte numbers of free entries and free
 * extensions. */
uint64_t flow_table_bytes(uint32_t capacity) {
    uint64_t buckets = power_of_2(weir_max_u32(capacity, 8)) / 8;

    return (capacity + 1ull) * 32 + 2 * buckets * 64 + power_of_2(capacity + 2ull) * 4 + power_of_2(buckets + 1) * 4;
}

int flow_table_add(struct flow_table *t, const struct flow_key *key, uint32_t index) {
    assert(index != 0);
    hash_sig_t sig = hash_of(t, key);

    /* rte_hash would overwrite the entry. */
    if (rte_hash_lookup_with_hash(t->hash, key, sig) >= 0)
        return WEIR_EEXIST;
    if (t->used >= t->capacity || rte_hash_add_key_with_hash_data(t->hash, key, sig, (void *)(uintptr_t)index) != 0)
        return WEIR_EFULL;
    t->used++;
    return 0;
}

int flow_table_del(struct flow_table *t, const struct flow_key *key) {
    if (rte_hash_del_key_with_hash(t->hash, key, hash_of(t, key)) < 0)
        return WEIR_ENOENT;
    t->used--;
    return 0;
}

uint32_t flow_table_find(const struct flow_table *t, const struct flow_key *key) {
    void *data;

    if (rte_hash_lookup_with_hash_data(t->hash, key, hash_of(t, key), &data) < 0)
        return 0;
    return (uint32_t)(uintptr_t)data;
}

void flow_table_find_bulk(const struct flow_table *t, const struct flow_key *const *keys, uint32_t n,
                          uint32_t *indices) {
    assert(n <= FLOW_TABLE_BURST);
    static_assert(FLOW_TABLE_BURST <= RTE_HASH_LOOKUP_BULK_MAX, "one rte_hash call a burst");
    hash_sig_t sigs[FLOW_TABLE_BURST];
    const void *raw_keys[FLOW_TABLE_BURST];
    void *data[FLOW_TABLE_BURST];
    uint64_t hits = 0;

    if (n == 0)
        return;
    for (uint32_t i = 0; i < n; i++) {
        raw_keys[i] = keys[i];
        sigs[i] = hash_of(t, keys[i]);
    }
    rte_hash_lookup_with_hash_bulk_data(t->hash, raw_keys, sigs, n, &hits, data);
    for (uint32_t i = 0; i < n; i++)
        indices[i] = hits >> i & 1 ? (uint32_t)(uintptr_t)data[i] : 0;
}
