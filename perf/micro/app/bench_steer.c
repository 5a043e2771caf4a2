/* SPDX-License-Identifier: BSD-3-Clause */
/* Whose flow is it: the Toeplitz hash of a tuple and its entry in the indirection table, as every packet of a port
 * without RSS is asked. */
#include "app/weir/steer.h"

#include "bench.h"

#include <rte_byteorder.h>

#define ROUNDS 256

struct ctx {
    struct steer steer;
    uint32_t addrs_be[ROUNDS];
    uint32_t sum;
};

static void owner(void *arg, uint32_t rounds) {
    struct ctx *c = arg;

    for (uint32_t i = 0; i < rounds; i++) {
        uint16_t port_be = (uint16_t)c->addrs_be[i];
        uint32_t hash = steer_hash4(&c->steer, c->addrs_be[i], RTE_BE32(0xc6120001u), port_be, RTE_BE16(1883));
        c->sum += steer_owner(&c->steer, hash);
    }
}

static void owner_of_fragment(void *arg, uint32_t rounds) {
    struct ctx *c = arg;

    for (uint32_t i = 0; i < rounds; i++)
        c->sum += steer_owner(&c->steer, steer_hash2(&c->steer, c->addrs_be[i], RTE_BE32(0xc6120001u)));
}

int main(void) {
    static struct ctx c;
    uint8_t key[STEER_KEY_BYTES];

    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)rand();
    for (size_t i = 0; i < ROUNDS; i++)
        c.addrs_be[i] = (uint32_t)rand();
    steer_init(&c.steer, key, 2);
    bench_run("hand-off hash of a 4-tuple", 1, ROUNDS, owner, NULL, &c);
    bench_run("hand-off hash of 2 addresses", 1, ROUNDS, owner_of_fragment, NULL, &c);
    return 0;
}
