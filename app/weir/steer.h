/* SPDX-License-Identifier: BSD-3-Clause */
/* Who owns a flow: a logical 128-entry indirection table (RETA) indexed by Toeplitz(per-boot key, tuple as received).
 * Replicated into each PMD where it takes key and table; elsewhere workers compute it and hand foreign packets over.
 * Immutable once made; read by all workers. The hash runs over byte tables: 12 loads and XORs a tuple. */
#ifndef WEIR_STEER_H
#define WEIR_STEER_H

#include "base/base.h"

#define STEER_KEY_BYTES 40
#define STEER_RETA 128

struct steer {
    uint8_t key[STEER_KEY_BYTES];
    uint8_t reta[STEER_RETA]; /* worker index */
    uint16_t n_workers;
    uint32_t table[12][256]; /* contribution of each tuple byte's value */
};

/* Spread `n_workers` evenly over the table. key: 40 random bytes. */
void steer_init(struct steer *s, const uint8_t key[STEER_KEY_BYTES], uint16_t n_workers);

/* Toeplitz hash as NICs compute it for TCP/UDP over IPv4 (source, destination, source port, destination port). */
uint32_t steer_hash4(const struct steer *s, uint32_t saddr_be, uint32_t daddr_be, uint16_t sport_be, uint16_t dport_be);
/* For fragments: addresses only. */
uint32_t steer_hash2(const struct steer *s, uint32_t saddr_be, uint32_t daddr_be);

static inline uint16_t steer_owner(const struct steer *s, uint32_t hash) {
    return s->reta[hash % STEER_RETA];
}

#endif
