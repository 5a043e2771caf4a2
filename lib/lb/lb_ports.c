/* SPDX-License-Identifier: BSD-3-Clause */
/* Source ports towards the servers, a bit map for each (source address, server). A port whose replies would come to
 * another worker is found out by trial once and marked for good. */
#include "lb_int.h"

#include <rte_byteorder.h>
#include <rte_random.h>
#include <stdlib.h>
#include <string.h>

#define PORT_FIRST 1024u
#define PORT_COUNT (65536u - PORT_FIRST)
#define WORDS      (PORT_COUNT / 64)
#define TRIALS     4096u /* a call: ports tested, and words of 64 found full */

struct port_map {
    uint64_t busy[WORDS]; /* in use, or not ours */
    uint32_t used;        /* handed out */
    uint32_t next;        /* where the search goes on: ports rotate, so one just freed comes last */
};

struct lb_ports {
    lb_port_accept accept;
    void *ctx;
    uint16_t n_sources, n_servers;
    uint32_t sources_be[LB_MAX_SOURCES];
    uint16_t turn[LB_MAX_SERVERS]; /* which source comes first */
    struct port_map maps[];        /* server x source */
};

static struct port_map *map_of(struct lb_ports *p, uint16_t server, uint16_t source) {
    return &p->maps[(uint32_t)server * p->n_sources + source];
}

struct lb_ports *lb_ports_new(const uint32_t *sources_be, uint16_t n_sources, uint16_t n_servers, lb_port_accept accept,
                              void *ctx) {
    assert(n_sources >= 1 && n_sources <= LB_MAX_SOURCES && n_servers <= LB_MAX_SERVERS);
    uint32_t n_maps = (uint32_t)n_sources * n_servers;
    struct lb_ports *p = calloc(1, sizeof(*p) + n_maps * sizeof(p->maps[0]));

    if (p == NULL)
        return NULL;
    p->accept = accept;
    p->ctx = ctx;
    p->n_sources = n_sources;
    p->n_servers = n_servers;
    memcpy(p->sources_be, sources_be, n_sources * sizeof(*sources_be));
    /* Somewhere at random: started anew, do not walk into connections that servers still hold from before (RFC
     * 6056 3.3). */
    for (uint32_t i = 0; i < n_maps; i++)
        p->maps[i].next = (uint32_t)rte_rand_max(PORT_COUNT);
    return p;
}

void lb_ports_free(struct lb_ports *p) {
    free(p);
}

/* Find a port in one map with at most `trials`. Returns 0 or WEIR_EFULL; the search goes on there next time. */
static int map_take(const struct lb_ports *p, struct port_map *map, uint32_t trials, uint32_t saddr_be,
                    uint32_t daddr_be, uint16_t dport_be, uint16_t *sport_be) {
    uint32_t at = map->next;

    for (uint32_t seen = 0; trials > 0 && seen < PORT_COUNT; trials--) {
        uint64_t *word = &map->busy[at / 64];
        uint64_t free_bits = ~*word & (UINT64_MAX << at % 64);
        uint32_t step = free_bits ? (uint32_t)__builtin_ctzll(free_bits) - at % 64 : 64 - at % 64;

        at += step; /* in one go over what is busy */
        seen += step;
        if (free_bits) {
            uint32_t port = at++;
            seen++;
            *word |= UINT64_C(1) << port % 64;
            *sport_be = rte_cpu_to_be_16((uint16_t)(PORT_FIRST + port));
            if (p->accept == NULL || p->accept(p->ctx, saddr_be, *sport_be, daddr_be, dport_be)) {
                map->used++;
                map->next = at % PORT_COUNT;
                return 0;
            }
        }
        at %= PORT_COUNT;
    }
    map->next = at;
    return WEIR_EFULL;
}

int lb_ports_take(struct lb_ports *p, uint16_t index, uint32_t daddr_be, uint16_t dport_be, uint32_t *saddr_be,
                  uint16_t *sport_be) {
    assert(index < p->n_servers);
    uint16_t first = p->turn[index];

    p->turn[index] = (uint16_t)((first + 1) % p->n_sources);
    for (uint16_t i = 0; i < p->n_sources; i++) {
        uint16_t source = (uint16_t)((first + i) % p->n_sources);
        *saddr_be = p->sources_be[source];
        if (map_take(p, map_of(p, index, source), TRIALS / p->n_sources, *saddr_be, daddr_be, dport_be, sport_be) == 0)
            return 0;
    }
    return WEIR_EFULL;
}

void lb_ports_give(struct lb_ports *p, uint16_t index, uint32_t saddr_be, uint16_t sport_be) {
    uint32_t port = rte_be_to_cpu_16(sport_be) - PORT_FIRST;

    assert(index < p->n_servers && port < PORT_COUNT);
    for (uint16_t i = 0; i < p->n_sources; i++) {
        struct port_map *map = map_of(p, index, i);
        if (p->sources_be[i] != saddr_be)
            continue;
        assert(map->busy[port / 64] >> port % 64 & 1);
        map->busy[port / 64] &= ~(UINT64_C(1) << port % 64);
        map->used--;
        return;
    }
    assert(!"a source address of this pool");
}

uint32_t lb_ports_used(const struct lb_ports *p, uint16_t index) {
    uint32_t used = 0;

    for (uint16_t i = 0; i < p->n_sources; i++)
        used += p->maps[(uint32_t)index * p->n_sources + i].used;
    return used;
}
