/* SPDX-License-Identifier: BSD-3-Clause */
/* Pools for the tests of lib/lb. */
#ifndef WEIR_TEST_SERVERS_H
#define WEIR_TEST_SERVERS_H

#include "lb/lb.h"

#include <rte_byteorder.h>
#include <stdio.h>
#include <string.h>

/* Server "b<number>" at 198.18.1.<number>:1883. */
static inline struct lb_server server_of(unsigned number, uint16_t weight) {
    struct lb_server s = {.addr_be = rte_cpu_to_be_32(0xc6120100u + number),
                          .port_be = rte_cpu_to_be_16(1883),
                          .weight = weight,
                          .server_id = (uint16_t)number,
                          .state = LB_UP};
    snprintf(s.name, sizeof(s.name), "b%u", number);
    return s;
}

static inline void pool_of(struct lb_pool *p, enum lb_policy policy, uint16_t n, uint16_t weight) {
    *p = (struct lb_pool){.policy = (uint8_t)policy, .n_servers = n};
    for (uint16_t i = 0; i < n; i++)
        p->servers[i] = server_of(i + 1u, weight);
}

static inline uint64_t client_hash(unsigned i) {
    char id[32];
    int n = snprintf(id, sizeof(id), "client-%u", i);
    return lb_hash(id, (uint32_t)n);
}

#endif
