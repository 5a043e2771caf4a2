/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers that an outsider must not guess: initial sequence numbers (RFC 6528) and timestamp offsets (RFC 7323 5.4).
 * All from SipHash-2-4 under the core's boot secret, or keys derived from it.
 *
 * ISN = M + F(4-tuple, key). The key is another one each ISN_PERIOD_US, so that what somebody has learned about it
 * ends. A new key alone would throw the number of a 4-tuple anywhere, as often back as forth, and a peer that holds the
 * old flow in TIME-WAIT takes a SYN without timestamps only where its number is higher (RFC 9293 3.10.7.4). So F is a
 * step of 2^29 for each period plus 29 bits of hash: from one period to the next F rises by 1 to 2^30 for every
 * 4-tuple, and numbers go on rising over the change. That costs 3 of 32 unknown bits. The period is hours because each
 * change also spends up to a quarter of the sequence space, of which the clock needs the whole in 4.8 hours: within the
 * 4 minutes that old segments live (2 MSL, RFC 9293 3.4.2) there is at most one change. Flows that we remember
 * ourselves are safe beyond this: a SYN to a flow in TIME-WAIT is answered above all that it sent (tcp_listen_reuse).
 */
#include "tcp_int.h"

#define ISN_PERIOD_US (4 * 3600000000ull)
#define ISN_BITS      29
#define ISN_LABEL     0x69736eu

static inline uint64_t rotl64(uint64_t v, int n) {
    return v << n | v >> (64 - n);
}

static inline void sip_rounds(uint64_t v[4], int n) {
    while (n--) {
        v[0] += v[1];
        v[1] = rotl64(v[1], 13) ^ v[0];
        v[0] = rotl64(v[0], 32);
        v[2] += v[3];
        v[3] = rotl64(v[3], 16) ^ v[2];
        v[0] += v[3];
        v[3] = rotl64(v[3], 21) ^ v[0];
        v[2] += v[1];
        v[1] = rotl64(v[1], 17) ^ v[2];
        v[2] = rotl64(v[2], 32);
    }
}

uint64_t tcp_siphash(const uint64_t key[2], const void *data, size_t len) {
    const uint8_t *p = data;
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575ull, key[1] ^ 0x646f72616e646f6dull, key[0] ^ 0x6c7967656e657261ull,
                     key[1] ^ 0x7465646279746573ull};
    uint64_t word;
    size_t left = len;
    for (; left >= 8; left -= 8, p += 8) {
        memcpy(&word, p,
               8); /* the hash is defined on little-endian words, as is every machine DPDK's x86 build runs on */
        v[3] ^= word;
        sip_rounds(v, 2);
        v[0] ^= word;
    }
    word = (uint64_t)len << 56;
    for (size_t i = 0; i < left; i++)
        word |= (uint64_t)p[i] << (8 * i);
    v[3] ^= word;
    sip_rounds(v, 2);
    v[0] ^= word;
    v[2] ^= 0xff;
    sip_rounds(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void tcp_key_derive(const struct tcp_core *core, uint32_t label, uint64_t number, uint64_t key[2]) {
    const uint64_t input[3] = {label, number, 0}, other[3] = {label, number, 1};
    key[0] = tcp_siphash(core->cfg.secret, input, sizeof(input));
    key[1] = tcp_siphash(core->cfg.secret, other, sizeof(other));
}

uint32_t tcp_isn(struct tcp_core *core, const struct flow_key *key) {
    struct tcp_isn_key *k = &core->isn;
    if (core->now_us >= k->until_us) {
        uint64_t generation = core->now_us / ISN_PERIOD_US;
        tcp_key_derive(core, ISN_LABEL, generation, k->key);
        k->step = (uint32_t)generation << ISN_BITS;
        k->until_us = (generation + 1) * ISN_PERIOD_US;
    }
    uint32_t f = k->step + ((uint32_t)tcp_siphash(k->key, key, sizeof(*key)) & ((1u << ISN_BITS) - 1));
    return (uint32_t)(core->now_us / 4) + f; /* M: a clock of 4 us */
}

uint32_t tcp_ts_offset(const struct tcp_core *core, const struct flow_key *key) {
    /* Under the boot secret itself: constant for a 4-tuple, so that our timestamps rise from one incarnation to the
     * next, as RFC 6191 wants, whatever happens to the numbers. */
    return (uint32_t)(tcp_siphash(core->cfg.secret, key, sizeof(*key)) >> 32);
}
