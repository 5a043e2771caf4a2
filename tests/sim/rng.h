/* SPDX-License-Identifier: BSD-3-Clause */
/* The only source of chance in simulations: xoshiro256** seeded through splitmix64. A run is its seed. */
#ifndef WEIR_SIM_RNG_H
#define WEIR_SIM_RNG_H

#include <stdbool.h>
#include <stdint.h>

struct sim_rng {
    uint64_t s[4];
};

static inline void sim_rng_seed(struct sim_rng *r, uint64_t seed) {
    for (int i = 0; i < 4; i++) {
        uint64_t z = (seed += 0x9e3779b97f4a7c15ull);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
        r->s[i] = z ^ (z >> 31);
    }
}

static inline uint64_t sim_rng_next(struct sim_rng *r) {
    uint64_t *s = r->s, x5 = s[1] * 5, result = ((x5 << 7) | (x5 >> 57)) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = (s[3] << 45) | (s[3] >> 19);
    return result;
}

/* Uniform in 0 .. n-1; 0 where n is 0. */
static inline uint32_t sim_rng_below(struct sim_rng *r, uint32_t n) {
    return (uint32_t)(((sim_rng_next(r) >> 32) * n) >> 32);
}

/* True `ppm` times in a million. Always draws, so that the stream does not depend on the configuration. */
static inline bool sim_rng_chance(struct sim_rng *r, uint32_t ppm) {
    return sim_rng_below(r, 1000000) < ppm;
}

#endif
