/* SPDX-License-Identifier: BSD-3-Clause */
#include "lb.h"

#include <rte_byteorder.h>
#include <string.h>

/* Odd constants without structure: the fractions of the golden ratio and of the square root of 3. Never change them:
 * every machine of a fleet, of whatever version, must send a key to the same server. */
#define SEED       UINT64_C(0x9e3779b97f4a7c15)
#define MULTIPLIER UINT64_C(0xbb67ae8584caa73b)

static uint64_t mix(uint64_t h, uint64_t word) {
    h = (h ^ word) * MULTIPLIER;
    return h ^ h >> 32;
}

/* Little endian whatever the machine; missing bytes are zero. */
static uint64_t load_word(const uint8_t *p, uint32_t n) {
    uint64_t w = 0;

    memcpy(&w, p, n);
    return rte_le_to_cpu_64(w);
}

/* Multiply and fold, eight bytes a step. Not keyed: who picks client-ids may pick a server, as with any hash that a
 * fleet shares; limits per server bound what that is worth. */
uint64_t lb_hash(const void *data, uint32_t len) {
    const uint8_t *p = data;
    uint64_t h = mix(SEED, len);

    for (; len >= 8; len -= 8, p += 8)
        h = mix(h, load_word(p, 8));
    if (len > 0)
        h = mix(h, load_word(p, len));
    h = mix(h, SEED); /* so that the last bytes reach every bit as the first did */
    return mix(h, 0);
}
