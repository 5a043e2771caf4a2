/* SPDX-License-Identifier: BSD-3-Clause */
/* From a flow's 4-tuple to the index of its object. Buckets of one cache line hold ten entries, each a 16-bit signature
 * and a 4-byte index; the key itself is compared where it lies anyway, in the object, so a flow costs about 11 bytes
 * here and its lookup one line beside the object's own. A key's home bucket comes from its hash; where that is full
 * the entry lies in the next one with room, and the home counts those that are away, so that nearly every lookup, also
 * of a key that is not there, ends in the home bucket.
 *
 * Buckets are 60 % full at capacity: an entry always finds room, and how far from home grows with the logarithm of the
 * number of buckets only, whatever keys a peer chooses: it does not know the hash's secret. (A symmetric Toeplitz key
 * yields only 65,536 values and can be flooded.) One thread. */
#ifndef WEIR_FLOW_TABLE_H
#define WEIR_FLOW_TABLE_H

#include "base.h"

#define FLOW_FAMILY_IP4 4

/* As the packet arrives: remote is its source, local its destination. */
struct flow_key {
    uint32_t remote_addr_be, local_addr_be;
    uint16_t remote_port_be, local_port_be;
    uint8_t family; /* FLOW_FAMILY_IP4; keeps the door open for IPv6 */
    uint8_t proto;  /* IPPROTO_TCP or IPPROTO_UDP */
    uint16_t zero;
};
static_assert(sizeof(struct flow_key) == 16, "flow keys are hashed as two 8-byte words");

/* The owner's objects, which hold the keys. Object i (from 1) begins at base + (i - 1) * stride_bytes; with several
 * keys each (they lie one behind the other), key k of object i is entry i * keys + k. */
struct flow_objects {
    const void *base;
    uint32_t stride_bytes;
    uint16_t key_offset;
    uint8_t keys; /* 1 or 2 */
};

#define FLOW_BUCKET_SLOTS 10u

struct flow_bucket {
    uint16_t signatures[FLOW_BUCKET_SLOTS];
    uint16_t used; /* bit i: slot i holds an entry */
    uint16_t away; /* entries whose home this is and that lie in buckets behind it */
    uint32_t entries[FLOW_BUCKET_SLOTS];
};
static_assert(sizeof(struct flow_bucket) == WEIR_CACHE_LINE, "a bucket is one cache line");

struct flow_table {
    struct flow_bucket *buckets;
    uint32_t n_buckets;
    uint32_t reach;     /* no entry has ever lain more buckets behind its home */
    uint64_t secret[2]; /* keys the hash */
    struct flow_objects objects;
    uint32_t used;
    uint32_t capacity;
};

#define FLOW_TABLE_BURST 64

/* secret: per-boot random. Pages are touched on use, or by flow_table_populate at once. Returns 0 or WEIR_ENOMEM. */
int flow_table_init(struct flow_table *t, uint32_t capacity, uint64_t secret, const struct flow_objects *objects);
void flow_table_populate(const struct flow_table *t);
void flow_table_fini(struct flow_table *t);

/* Bytes for this capacity: the memory plan. */
uint64_t flow_table_bytes(uint32_t capacity);

/* Make `key` lead to `entry` (not 0), whose object holds the key from now on until it is deleted. Returns 0,
 * WEIR_EEXIST or, beyond capacity only, WEIR_EFULL. */
int flow_table_add(struct flow_table *t, const struct flow_key *key, uint32_t entry);

/* Returns 0 or WEIR_ENOENT. */
int flow_table_del(struct flow_table *t, const struct flow_key *key);

/* The entry, or 0. */
uint32_t flow_table_find(const struct flow_table *t, const struct flow_key *key);

/* entries[i] = entry of keys[i] or 0; n <= FLOW_TABLE_BURST. Hashes all and fetches their buckets, then fetches whole
 * objects, then compares: all of them are on their way into the cache when it returns. */
void flow_table_find_bulk(const struct flow_table *t, const struct flow_key *const *keys, uint32_t n,
                          uint32_t *entries);

#endif
