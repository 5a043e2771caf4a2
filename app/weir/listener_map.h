/* SPDX-License-Identifier: BSD-3-Clause */
/* Which datagram listener an address and port belong to: a small open-addressed table, made once from the
 * configuration. Two loads for a packet, however many listeners there are. */
#ifndef WEIR_LISTENER_MAP_H
#define WEIR_LISTENER_MAP_H

#include "base/base.h"
#include "limits.h"

struct config;

#define LISTENER_MAP_SLOTS (4u * WEIR_MAX_LISTENERS)
static_assert((LISTENER_MAP_SLOTS & (LISTENER_MAP_SLOTS - 1)) == 0, "a power of two");

struct listener_map {
    struct {
        uint32_t addr_be;
        uint16_t port_be; /* 0: empty slot; no listener has port 0 */
        uint16_t index;   /* in config->listeners */
    } slot[LISTENER_MAP_SLOTS];
};

/* The listeners of `c` that take datagrams: modes udp and echo. */
void listener_map_init(struct listener_map *map, const struct config *c);

static inline uint32_t listener_map_hash(uint32_t addr_be, uint16_t port_be) {
    return (addr_be ^ (uint32_t)port_be * 0x10001u) * 0x9e3779b1u / (UINT32_MAX / LISTENER_MAP_SLOTS + 1);
}

/* Index in config->listeners, or -1. */
static inline int listener_map_find(const struct listener_map *map, uint32_t addr_be, uint16_t port_be) {
    for (uint32_t i = listener_map_hash(addr_be, port_be); map->slot[i].port_be != 0; i = (i + 1) % LISTENER_MAP_SLOTS)
        if (map->slot[i].addr_be == addr_be && map->slot[i].port_be == port_be)
            return map->slot[i].index;
    return -1;
}

#endif
