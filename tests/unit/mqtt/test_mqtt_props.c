/* SPDX-License-Identifier: BSD-3-Clause */
#include "mqtt/mqtt_int.h"
#include "packets.h"

#include <criterion/criterion.h>

static struct mqtt_connect parsed;

/* Read properties of CONNECT; all bytes must have been read where it is right. */
static int connect_props(const uint8_t *data, uint32_t len) {
    struct span s = span_of(data, len);
    parsed = (struct mqtt_connect){.receive_maximum = 65535};
    int rc = mqtt_props_connect(&s, &parsed);
    cr_assert(rc < 0 || span_left(&s) == 0);
    return rc;
}

static int will_props(const uint8_t *data, uint32_t len) {
    struct span s = span_of(data, len);
    int rc = mqtt_props_will(&s);
    cr_assert(rc < 0 || span_left(&s) == 0);
    return rc;
}

Test(mqtt_props, none) {
    cr_assert_eq(connect_props(BYTES("\0")), 0);
    cr_assert_eq(will_props(BYTES("\0")), 0);
    cr_assert_eq(parsed.receive_maximum, 65535);
}

Test(mqtt_props, all_of_connect_at_once) {
    cr_assert_eq(connect_props(BYTES("\x26"
                                     "\x11\0\0\x0e\x10" /* session expiry */
                                     "\x21\0\x14"       /* receive maximum */
                                     "\x27\0\1\0\0"     /* maximum packet size */
                                     "\x22\0\x0a"       /* topic alias maximum */
                                     "\x19\1"
                                     "\x17\0"
                                     "\x15\0\3PLA"
                                     "\x16\0\2\0\xff"
                                     "\x26\0\1k\0\1v")),
                 0);
    cr_assert_eq(parsed.session_expiry_s, 3600);
    cr_assert_eq(parsed.receive_maximum, 20);
    cr_assert_eq(parsed.maximum_packet_bytes, 65536);
    cr_assert_eq(parsed.topic_alias_maximum, 10);
}

Test(mqtt_props, all_of_a_will_at_once) {
    cr_assert_eq(will_props(BYTES("\x26"
                                  "\x18\0\0\0\5"
                                  "\1\1"
                                  "\2\0\0\0\x3c"
                                  "\3\0\4text"
                                  "\x08\0\5reply"
                                  "\x09\0\2\0\1"
                                  "\x26\0\1k\0\0")),
                 0);
}

Test(mqtt_props, user_property_may_come_often) {
    cr_assert_eq(connect_props(BYTES("\x0e\x26\0\1a\0\1b\x26\0\1a\0\1b")), 0);
}

Test(mqtt_props, everything_else_comes_once) {
    cr_assert_eq(connect_props(BYTES("\x0a\x11\0\0\0\1\x11\0\0\0\1")), -MQTT_DROP_PROPERTY_TWICE);
    cr_assert_eq(connect_props(BYTES("\6\x21\0\1\x21\0\1")), -MQTT_DROP_PROPERTY_TWICE);
    cr_assert_eq(connect_props(BYTES("\x0a\x27\0\0\1\0\x27\0\0\1\0")), -MQTT_DROP_PROPERTY_TWICE);
    cr_assert_eq(connect_props(BYTES("\6\x22\0\1\x22\0\1")), -MQTT_DROP_PROPERTY_TWICE);
    cr_assert_eq(connect_props(BYTES("\4\x19\1\x19\1")), -MQTT_DROP_PROPERTY_TWICE);
    cr_assert_eq(connect_props(BYTES("\4\x17\1\x17\1")), -MQTT_DROP_PROPERTY_TWICE);
    cr_assert_eq(connect_props(BYTES("\x08\x15\0\1a\x15\0\1a")), -MQTT_DROP_PROPERTY_TWICE);
    cr_assert_eq(will_props(BYTES("\4\1\0\1\0")), -MQTT_DROP_PROPERTY_TWICE);
    cr_assert_eq(will_props(BYTES("\x0a\x18\0\0\0\1\x18\0\0\0\1")), -MQTT_DROP_PROPERTY_TWICE);
}

Test(mqtt_props, each_identifier_stands_in_its_place_only) {
    static const uint8_t of_connect[] = {0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27};
    static const uint8_t of_will[] = {0x01, 0x02, 0x03, 0x08, 0x09, 0x18, 0x26};

    for (unsigned id = 0; id < 256; id++) {
        bool connect = memchr(of_connect, (int)id, sizeof(of_connect)),
             will = memchr(of_will, (int)id, sizeof(of_will));
        uint8_t bytes[] = {6, (uint8_t)id, 0, 1, 'x', 0, 0}; /* long enough to be some value of any type */
        struct span s = span_of(bytes, sizeof(bytes));
        int rc = mqtt_props_connect(&s, &parsed);
        if (!connect)
            cr_assert_eq(rc, -MQTT_DROP_PROPERTY, "%02x", id);
        bytes[0] = connect ? 1 : 6; /* alone: cut short, but known */
        s = span_of(bytes, sizeof(bytes));
        rc = mqtt_props_will(&s);
        if (!will)
            cr_assert_eq(rc, -MQTT_DROP_PROPERTY, "%02x", id);
    }
}

Test(mqtt_props, values_outside_their_range) {
    cr_assert_eq(connect_props(BYTES("\3\x21\0\0")), -MQTT_DROP_PROPERTY_VALUE);
    cr_assert_eq(connect_props(BYTES("\5\x27\0\0\0\0")), -MQTT_DROP_PROPERTY_VALUE);
    cr_assert_eq(connect_props(BYTES("\2\x19\2")), -MQTT_DROP_PROPERTY_VALUE);
    cr_assert_eq(connect_props(BYTES("\2\x17\xff")), -MQTT_DROP_PROPERTY_VALUE);
    cr_assert_eq(will_props(BYTES("\2\1\2")), -MQTT_DROP_PROPERTY_VALUE);
    cr_assert_eq(will_props(BYTES("\6\x08\0\3a/#")), -MQTT_DROP_WILL_TOPIC);
    cr_assert_eq(will_props(BYTES("\3\x08\0\0")), -MQTT_DROP_WILL_TOPIC);
}

Test(mqtt_props, authentication_data_needs_a_method) {
    cr_assert_eq(connect_props(BYTES("\4\x16\0\1a")), -MQTT_DROP_PROPERTY_VALUE);
    cr_assert_eq(connect_props(BYTES("\x08\x16\0\1a\x15\0\1m")), 0, "in whatever order");
}

Test(mqtt_props, strings_are_utf8) {
    cr_assert_eq(connect_props(BYTES("\4\x15\0\1\xff")), -MQTT_DROP_UTF8);
    cr_assert_eq(connect_props(BYTES("\x07\x26\0\1\0\0\1v")), -MQTT_DROP_UTF8);
    cr_assert_eq(connect_props(BYTES("\x07\x26\0\1k\0\1\0")), -MQTT_DROP_UTF8);
    cr_assert_eq(will_props(BYTES("\5\3\0\2\xc0\x80")), -MQTT_DROP_UTF8);
}

Test(mqtt_props, cut_short_inside) {
    cr_assert_eq(connect_props(BYTES("\1\x11")), -MQTT_DROP_PROPERTY);
    cr_assert_eq(connect_props(BYTES("\4\x11\0\0\0")), -MQTT_DROP_PROPERTY);
    cr_assert_eq(connect_props(BYTES("\2\x21\0")), -MQTT_DROP_PROPERTY);
    cr_assert_eq(connect_props(BYTES("\1\x19")), -MQTT_DROP_PROPERTY);
    cr_assert_eq(connect_props(BYTES("\3\x15\0\1")), -MQTT_DROP_PROPERTY);
    cr_assert_eq(connect_props(BYTES("\4\x16\0\2x")), -MQTT_DROP_PROPERTY);
    cr_assert_eq(connect_props(BYTES("\6\x26\0\1k\0\1v")), -MQTT_DROP_PROPERTY, "the value lies behind the end");
}

Test(mqtt_props, length_beyond_the_packet_or_badly_put) {
    cr_assert_eq(connect_props(BYTES("")), -MQTT_DROP_CONNECT_SHORT);
    cr_assert_eq(connect_props(BYTES("\x80")), -MQTT_DROP_CONNECT_SHORT);
    cr_assert_eq(connect_props(BYTES("\6\x11\0\0\0\1")), -MQTT_DROP_CONNECT_SHORT);
    cr_assert_eq(connect_props(BYTES("\xff\xff\xff\x7f\x11\0\0\0\1")), -MQTT_DROP_CONNECT_SHORT);
    cr_assert_eq(connect_props(BYTES("\x80\0")), -MQTT_DROP_LENGTH_ENCODING, "not the shortest form [MQTT-1.5.5-1]");
    cr_assert_eq(connect_props(BYTES("\x80\x80\x80\x80\1")), -MQTT_DROP_LENGTH_ENCODING);
}
