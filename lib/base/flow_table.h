/* SPDX-License-Identifier: BSD-3-Clause */
/* From a flow's 4-tuple to a 4-byte index, on rte_hash (bulk lookup, extendable buckets), with a hash keyed per boot: a
 * symmetric Toeplitz key yields only 65,536 values and can be flooded. Single writer and reader: the owning worker. */
#ifndef WEIR_FLOW_TABLE_H
#define WEIR_FLOW_TABLE_H

#include "base.h"

#include <rte_hash.h>

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

struct flow_table {
    struct rte_hash *hash;
    uint64_t secret[2]; /* keys the hash of flow keys */
    uint32_t used;
    uint32_t capacity;
};

#define FLOW_TABLE_BURST 64

/* `name` is unique in the process (rte_hash keeps a registry). secret: per-boot random. Memory from EAL on `socket_id`.
 * Returns 0 or WEIR_ENOMEM. */
int flow_table_init(struct flow_table *t, const char *name, uint32_t capacity, uint64_t secret, int socket_id);
void flow_table_fini(struct flow_table *t);

/* Approximate EAL bytes for this capacity: the memory plan. */
uint64_t flow_table_bytes(uint32_t capacity);

/* Returns 0, WEIR_EEXIST or WEIR_EFULL. index != 0. */
int flow_table_add(struct flow_table *t, const struct flow_key *key, uint32_t index);

/* Returns 0 or WEIR_ENOENT. */
int flow_table_del(struct flow_table *t, const struct flow_key *key);

/* The index, or 0. */
uint32_t flow_table_find(const struct flow_table *t, const struct flow_key *key);

/* indices[i] = index of keys[i] or 0; n <= FLOW_TABLE_BURST. Hashes all, prefetches, then compares. */
void flow_table_find_bulk(const struct flow_table *t, const struct flow_key *const *keys, uint32_t n,
                          uint32_t *indices);

#endif
