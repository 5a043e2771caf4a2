/* SPDX-License-Identifier: BSD-3-Clause */
#include "lb_int.h"

#include <stdlib.h>

const char *lb_state_name(enum lb_state s) {
    static const char *const names[] = {[LB_UP] = "up", [LB_DRAINING] = "draining", [LB_DOWN] = "down"};

    return (unsigned)s < WEIR_ARRAY_LEN(names) ? names[s] : "unknown";
}

const char *lb_policy_name(enum lb_policy p) {
    static const char *const names[] = {[LB_CLIENT_ID] = "client-id",
                                        [LB_USERNAME] = "username",
                                        [LB_CERTIFICATE] = "certificate",
                                        [LB_SOURCE] = "source",
                                        [LB_LEAST_CONNECTIONS] = "least-connections",
                                        [LB_ROUND_ROBIN] = "round-robin"};

    return (unsigned)p < WEIR_ARRAY_LEN(names) ? names[p] : "unknown";
}

int lb_pool_build(struct lb_pool *p) {
    assert(p->n_servers <= LB_MAX_SERVERS);
    return lb_maglev_fill(p);
}

void lb_pool_fini(struct lb_pool *p) {
    free(p->maglev);
    p->maglev = NULL;
}

/* Servers that take new connections, a bit each. */
static uint64_t usable_servers(const struct lb_pool *p, lb_tried tried) {
    uint64_t usable = 0;

    for (uint16_t i = 0; i < p->n_servers && i < LB_MAX_SERVERS; i++) /* the second half is for the compiler */
        usable |= (uint64_t)(p->servers[i].state == LB_UP) << i;
    return usable & ~tried;
}

static uint32_t weight_of(const struct lb_server *s) {
    return s->weight ? s->weight : 1;
}

/* Smooth weighted round robin: each turn every server gains its weight, the richest is picked and pays what all gained.
 * So 5:1 comes as aaabaa, not aaaaab. */
static uint16_t pick_round_robin(struct lb_pool *p, uint64_t usable) {
    uint16_t best = LB_NONE;
    int32_t total = 0;

    for (uint16_t i = 0; i < p->n_servers; i++) {
        struct lb_server *s = &p->servers[i];
        if (!(usable >> i & 1))
            continue;
        s->wrr_current += (int32_t)weight_of(s);
        total += (int32_t)weight_of(s);
        if (best == LB_NONE || s->wrr_current > p->servers[best].wrr_current)
            best = i;
    }
    if (best != LB_NONE)
        p->servers[best].wrr_current -= total;
    return best;
}

/* Least (connections + 1) / weight, the load it would have with this one. */
static uint16_t pick_least_connections(const struct lb_pool *p, uint64_t usable) {
    uint16_t best = LB_NONE;

    for (uint16_t i = 0; i < p->n_servers; i++) {
        const struct lb_server *s = &p->servers[i];
        if (!(usable >> i & 1))
            continue;
        if (best == LB_NONE || ((uint64_t)s->connections + 1) * weight_of(&p->servers[best]) <
                                   ((uint64_t)p->servers[best].connections + 1) * weight_of(s))
            best = i;
    }
    return best;
}

uint16_t lb_pick(struct lb_pool *p, uint64_t key_hash, lb_tried tried) {
    uint64_t usable = usable_servers(p, tried);

    switch (p->policy) {
    case LB_ROUND_ROBIN:
        return pick_round_robin(p, usable);
    case LB_LEAST_CONNECTIONS:
        return pick_least_connections(p, usable);
    default:
        return lb_maglev_lookup(p, key_hash, usable);
    }
}
