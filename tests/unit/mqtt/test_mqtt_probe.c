/* SPDX-License-Identifier: BSD-3-Clause */
#include "packets.h"

#include <criterion/criterion.h>

Test(mqtt_probe, connect_is_one_our_own_decoder_takes) {
    struct mqtt_connect c;
    uint8_t buf[64];
    uint32_t n = mqtt_probe_connect("weir-probe-1", buf, sizeof(buf));

    cr_assert_eq(mqtt_connect_decode(buf, n, &c), 0);
    cr_assert_eq(c.level, 4);
    cr_assert(c.clean_start);
    cr_assert_eq(c.client_id.len, 12);
    cr_assert_arr_eq(c.client_id.data, "weir-probe-1", 12);
    cr_assert_not(c.has_will || c.has_username || c.has_password);
}

Test(mqtt_probe, says_when_it_does_not_fit) {
    char id[200];
    uint8_t buf[300];

    memset(id, 'x', sizeof(id));
    for (uint32_t capacity = 0; capacity < 14 + 5; capacity++)
        cr_assert_eq(mqtt_probe_connect("12345", buf, capacity), 0);
    cr_assert_eq(mqtt_probe_connect("12345", buf, 14 + 5), 19);
    id[115] = 0;
    cr_assert_eq(mqtt_probe_connect(id, buf, sizeof(buf)), 129);
    id[115] = 'x', id[116] = 0;
    cr_assert_eq(mqtt_probe_connect(id, buf, sizeof(buf)), 0);
}

Test(mqtt_probe, connack) {
    cr_assert_eq(mqtt_probe_connack(BYTES("\x20\2\0\0")), 0);
    cr_assert_eq(mqtt_probe_connack(BYTES("\x20\2\0\0\xd0\0")), 0);
    cr_assert_eq(mqtt_probe_connack(BYTES("\x20\2\0\5")), 5);
    cr_assert_eq(mqtt_probe_connack(BYTES("\x20\2\0\3")), 3);
    for (uint32_t n = 0; n < 4; n++)
        cr_assert_eq(mqtt_probe_connack((const uint8_t *)"\x20\2\0\0", n), WEIR_MORE);
    cr_assert_eq(mqtt_probe_connack(BYTES("HTTP")), WEIR_EINVAL);
    cr_assert_eq(mqtt_probe_connack(BYTES("\x30")), WEIR_EINVAL);
    cr_assert_eq(mqtt_probe_connack(BYTES("\x20\3\0\0")), WEIR_EINVAL);
    cr_assert_eq(mqtt_probe_connack(BYTES("\x20\2\1\0")), WEIR_EINVAL, "session present after a clean session");
}

Test(mqtt_probe, disconnect) {
    uint8_t buf[2];

    cr_assert_eq(mqtt_probe_disconnect(buf, 1), 0);
    cr_assert_eq(mqtt_probe_disconnect(buf, 2), 2);
    cr_assert_arr_eq(buf, "\xe0\0", 2);
}
