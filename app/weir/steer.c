/* SPDX-License-Identifier: BSD-3-Clause */
#include "steer.h"

#include <arpa/inet.h>
#include <string.h>

/* Toeplitz: every set bit i of the input XORs in the 32 key bits that start at bit i. All bits of one input byte see a
 * fixed window of the key, so a byte's contribution depends on its position and value alone. */
static uint32_t byte_contribution(const uint8_t *key, uint32_t position, uint32_t value) {
    uint64_t window = 0; /* 40 bits of key from this byte's first bit: enough for its eight windows of 32 */
    for (uint32_t i = 0; i < 5; i++)
        window = window << 8 | key[position + i];
    uint32_t sum = 0;
    for (uint32_t bit = 0; bit < 8; bit++)
        if (value & (0x80u >> bit))
            sum ^= (uint32_t)(window >> (8 - bit));
    return sum;
}

void steer_init(struct steer *s, const uint8_t key[STEER_KEY_BYTES], uint16_t n_workers) {
    assert(n_workers > 0);
    memcpy(s->key, key, STEER_KEY_BYTES);
    s->n_workers = n_workers;
    for (uint32_t i = 0; i < STEER_RETA; i++)
        s->reta[i] = (uint8_t)(i % n_workers);
    for (uint32_t position = 0; position < WEIR_ARRAY_LEN(s->table); position++)
        for (uint32_t value = 0; value < 256; value++)
            s->table[position][value] = byte_contribution(key, position, value);
}

/* Four bytes of the tuple, from its byte `first` on. */
static inline uint32_t hash_u32(const struct steer *s, uint32_t first, uint32_t v) {
    return s->table[first][v >> 24] ^ s->table[first + 1][v >> 16 & 0xff] ^ s->table[first + 2][v >> 8 & 0xff] ^
           s->table[first + 3][v & 0xff];
}

uint32_t steer_hash2(const struct steer *s, uint32_t saddr_be, uint32_t daddr_be) {
    return hash_u32(s, 0, ntohl(saddr_be)) ^ hash_u32(s, 4, ntohl(daddr_be));
}

uint32_t steer_hash4(const struct steer *s, uint32_t saddr_be, uint32_t daddr_be, uint16_t sport_be,
                     uint16_t dport_be) {
    return steer_hash2(s, saddr_be, daddr_be) ^ hash_u32(s, 8, (uint32_t)ntohs(sport_be) << 16 | ntohs(dport_be));
}
