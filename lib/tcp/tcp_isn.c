/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers that an outsider must not guess: initial sequence numbers (RFC 6528), timestamp offsets (RFC 7323 5.4), and
 * the jitter of the rate limits. All from SipHash-2-4 under the core's boot secret. */
#include "tcp_int.h"

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

uint32_t tcp_isn(const struct tcp_core *core, const struct flow_key *key) {
    /* ISN = M + F(4-tuple, secret), M a clock of 4 us (RFC 6528 3). */
    return (uint32_t)(core->now_us / 4) + (uint32_t)tcp_siphash(core->cfg.secret, key, sizeof *key);
}

uint32_t tcp_ts_offset(const struct tcp_core *core, const struct flow_key *key) {
    /* The upper half of the same hash: constant for a 4-tuple, so that our timestamps rise from one incarnation to the
     * next, as RFC 6191 wants. */
    return (uint32_t)(tcp_siphash(core->cfg.secret, key, sizeof *key) >> 32);
}

bool tcp_limit_take(struct tcp_core *core, struct tcp_limit *l, uint32_t per_s, uint32_t jitter) {
    if (l->window_us == 0 || core->now_us - l->window_us >= 1000000) {
        l->window_us = core->now_us;
        l->left = per_s;
        if (jitter) /* an off-path attacker who counts our challenge ACKs learns nothing from the total */
            l->left += (uint32_t)tcp_siphash(core->cfg.secret, &core->now_us, sizeof core->now_us) % jitter;
    }
    if (!l->left)
        return false;
    l->left--;
    return true;
}
