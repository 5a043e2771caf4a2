/* SPDX-License-Identifier: BSD-3-Clause */
#include "listener_map.h"

#include "config.h"

void listener_map_init(struct listener_map *map, const struct config *c) {
    *map = (struct listener_map){0};
    for (uint16_t l = 0; l < c->n_listeners; l++) {
        const struct config_listener *from = &c->listeners[l];
        if (from->mode != CONFIG_MODE_UDP && from->mode != CONFIG_MODE_ECHO)
            continue;
        uint32_t i = listener_map_hash(from->addr_be, from->port_be);
        while (map->slot[i].port_be != 0)
            i = (i + 1) % LISTENER_MAP_SLOTS;
        map->slot[i].addr_be = from->addr_be;
        map->slot[i].port_be = from->port_be;
        map->slot[i].index = l;
    }
}
