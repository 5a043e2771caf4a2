/* SPDX-License-Identifier: BSD-3-Clause */
#include "app/weir/config.h"
#include "app/weir/listener_map.h"

#include <criterion/criterion.h>

static struct config config;

static void listener(uint32_t addr_be, uint16_t port_be, enum config_mode mode) {
    config.listeners[config.n_listeners++] =
        (struct config_listener){.addr_be = addr_be, .port_be = port_be, .mode = mode};
}

Test(listener_map, datagrams_alone) {
    struct listener_map map;

    listener(1, 1883, CONFIG_MODE_MQTT);
    listener(1, 7, CONFIG_MODE_ECHO);
    listener(1, 9, CONFIG_MODE_TCP);
    listener(2, 7, CONFIG_MODE_UDP);
    listener_map_init(&map, &config);
    cr_assert_eq(listener_map_find(&map, 1, 7), 1);
    cr_assert_eq(listener_map_find(&map, 2, 7), 3);
    cr_assert_eq(listener_map_find(&map, 1, 1883), -1);
    cr_assert_eq(listener_map_find(&map, 1, 9), -1);
    cr_assert_eq(listener_map_find(&map, 2, 9), -1);
}

/* As many as a configuration may have, addresses and ports in a row: all are found, nothing else is. */
Test(listener_map, full) {
    struct listener_map map;

    for (uint32_t i = 0; i < WEIR_MAX_LISTENERS; i++)
        listener(0x0100c612u + (i % 4) * 0x01000000u, (uint16_t)(0x1400u + i / 4), CONFIG_MODE_UDP);
    listener_map_init(&map, &config);
    for (uint32_t i = 0; i < WEIR_MAX_LISTENERS; i++)
        cr_assert_eq(listener_map_find(&map, config.listeners[i].addr_be, config.listeners[i].port_be), (int)i);
    for (uint32_t i = 0; i < 100000; i++) {
        uint32_t addr_be = i * 2654435761u;
        cr_assert_eq(listener_map_find(&map, addr_be | 1, (uint16_t)(i | 0x8000)), -1);
    }
}
