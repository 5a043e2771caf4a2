/* SPDX-License-Identifier: BSD-3-Clause */
#include "packets.h"

#include <criterion/criterion.h>

static void connack_is(uint8_t level, enum mqtt_drop why, const uint8_t *want, uint32_t len) {
    uint8_t buf[9];

    memset(buf, 0xee, sizeof(buf));
    uint32_t n = mqtt_refuse_connect(level, why, buf);
    cr_assert_eq(n, len, "%s at level %u: %u bytes", mqtt_drop_name(why), level, n);
    cr_assert_arr_eq(buf, want, len);
    cr_assert_eq(buf[8], 0xee);
}

static void disconnect_is(uint8_t level, enum mqtt_drop why, const uint8_t *want, uint32_t len) {
    uint8_t buf[9];

    memset(buf, 0xee, sizeof(buf));
    uint32_t n = mqtt_refuse_stream(level, why, buf);
    cr_assert_eq(n, len, "%s at level %u: %u bytes", mqtt_drop_name(why), level, n);
    cr_assert_arr_eq(buf, want, len);
    cr_assert_eq(buf[8], 0xee);
}

Test(mqtt_answer, level_refused_with_each_versions_code) {
    connack_is(3, MQTT_DROP_PROTOCOL_LEVEL, BYTES("\x20\2\0\1"));
    connack_is(4, MQTT_DROP_PROTOCOL_LEVEL, BYTES("\x20\2\0\1"));
    connack_is(5, MQTT_DROP_PROTOCOL_LEVEL, BYTES("\x20\3\0\x84\0"));
}

Test(mqtt_answer, identifier_rejected) {
    connack_is(3, MQTT_DROP_CLIENT_ID, BYTES("\x20\2\0\2"));
    connack_is(4, MQTT_DROP_CLIENT_ID, BYTES("\x20\2\0\2"));
    connack_is(5, MQTT_DROP_CLIENT_ID, BYTES("\x20\3\0\x85\0"));
}

Test(mqtt_answer, server_unavailable) {
    connack_is(4, MQTT_DROP_NO_SERVER, BYTES("\x20\2\0\3"));
    connack_is(5, MQTT_DROP_NO_SERVER, BYTES("\x20\3\0\x88\0"));
    /* 0x8b (shutting down) may stand in DISCONNECT alone. */
    connack_is(5, MQTT_DROP_SHUTTING_DOWN, BYTES("\x20\3\0\x88\0"));
    disconnect_is(5, MQTT_DROP_SHUTTING_DOWN, BYTES("\xe0\1\x8b"));
    /* 0x88 may stand in CONNACK alone. */
    disconnect_is(5, MQTT_DROP_NO_SERVER, BYTES("\xe0\1\x80"));
}

Test(mqtt_answer, malformed_is_answered_in_5_0_only) {
    connack_is(4, MQTT_DROP_UTF8, BYTES(""));
    connack_is(5, MQTT_DROP_UTF8, BYTES("\x20\3\0\x81\0"));
    disconnect_is(4, MQTT_DROP_FLAGS, BYTES(""));
    disconnect_is(5, MQTT_DROP_FLAGS, BYTES("\xe0\1\x81"));
}

Test(mqtt_answer, protocol_errors_and_sizes) {
    disconnect_is(5, MQTT_DROP_SECOND_CONNECT, BYTES("\xe0\1\x82"));
    disconnect_is(5, MQTT_DROP_TYPE_DIRECTION, BYTES("\xe0\1\x82"));
    disconnect_is(5, MQTT_DROP_PACKET_TOO_BIG, BYTES("\xe0\1\x95"));
    connack_is(5, MQTT_DROP_PROPERTY_TWICE, BYTES("\x20\3\0\x82\0"));
    connack_is(5, MQTT_DROP_CONNECT_TOO_BIG, BYTES("\x20\3\0\x95\0"));
    connack_is(4, MQTT_DROP_CONNECT_TOO_BIG, BYTES(""));
}

Test(mqtt_answer, nothing_to_say) {
    connack_is(0, MQTT_DROP_NOT_CONNECT, BYTES(""));
    connack_is(0, MQTT_DROP_PROTOCOL_LEVEL, BYTES(""));
    connack_is(5, MQTT_DROP_CONNECT_TIMEOUT, BYTES(""));
    disconnect_is(5, MQTT_DROP_AFTER_DISCONNECT, BYTES(""));
    disconnect_is(3, MQTT_DROP_SECOND_CONNECT, BYTES(""));
}

Test(mqtt_answer, whatever_is_built_is_what_the_standard_allows_there) {
    for (unsigned d = 1; d < MQTT_DROP_COUNT; d++) {
        uint8_t buf[8];
        uint32_t n = mqtt_refuse_connect(4, d, buf);
        cr_assert(n == 0 || (n == 4 && buf[3] >= 1 && buf[3] <= 5));
        n = mqtt_refuse_connect(5, d, buf);
        cr_assert(n == 0 || (n == 5 && buf[3] >= 0x80));
        n = mqtt_refuse_stream(5, d, buf);
        cr_assert(n == 0 || (n == 3 && buf[2] >= 0x80 && buf[2] != 0x84 && buf[2] != 0x85 && buf[2] != 0x88));
    }
}
