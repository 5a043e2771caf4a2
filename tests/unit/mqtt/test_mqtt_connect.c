/* SPDX-License-Identifier: BSD-3-Clause */
#include "packets.h"

#include <criterion/criterion.h>

static struct packet packet;
static struct mqtt_connect c;

static int decode(uint8_t level, uint8_t flags, const uint8_t *rest, uint32_t len) {
    packet_connect(&packet, level, flags, rest, len);
    return mqtt_connect_decode(packet.data, packet.len, &c);
}

/* mqtt_connect_size over these bytes, in one piece. */
static int size_of(const uint8_t *data, uint32_t len, uint32_t max, uint8_t *level) {
    struct pieces p;
    struct mqtt_limits limits = {.max_connect_bytes = max};

    return mqtt_connect_size(pieces_of(&p, data, len, 4096), &limits, level);
}

static bool is(const struct mqtt_str *s, const char *want) {
    return s->data && s->len == strlen(want) && memcmp(s->data, want, s->len) == 0;
}

Test(mqtt_connect, all_fields_of_3_1_1) {
    cr_assert_eq(decode(4, 0xee, BYTES("\0\2id\0\4last\0\3\0\1\2\0\4user\0\4pass")), 0);
    cr_assert_eq(c.level, 4);
    cr_assert(c.clean_start && c.has_will && c.will_retain && c.has_username && c.has_password);
    cr_assert_eq(c.will_qos, 1);
    cr_assert_eq(c.keep_alive_s, 60);
    cr_assert(is(&c.client_id, "id") && is(&c.will_topic, "last") && is(&c.username, "user") &&
              is(&c.password, "pass"));
    cr_assert_eq(c.will_payload.len, 3);
    cr_assert_eq(c.packet_bytes, packet.len);
    cr_assert_eq(c.receive_maximum, 65535);
    cr_assert_eq(c.session_expiry_s, 0);
}

Test(mqtt_connect, all_fields_of_5_0) {
    cr_assert_eq(decode(5, 0xf6, BYTES("\x08\x11\0\0\0\x0a\x21\0\7\0\2id\5\x18\0\0\0\1\0\1t\0\0\0\1u\0\1p")), 0);
    cr_assert_eq(c.level, 5);
    cr_assert_eq(c.session_expiry_s, 10);
    cr_assert_eq(c.receive_maximum, 7);
    cr_assert_eq(c.will_qos, 2);
    cr_assert(is(&c.client_id, "id") && is(&c.will_topic, "t") && is(&c.username, "u") && is(&c.password, "p"));
    cr_assert(c.will_payload.data && c.will_payload.len == 0);
}

Test(mqtt_connect, all_fields_of_3_1) {
    cr_assert_eq(decode(3, 0xc2, BYTES("\0\2id\0\4user\0\4pass")), 0);
    cr_assert_eq(c.level, 3);
    cr_assert(is(&c.username, "user") && is(&c.password, "pass"));
}

Test(mqtt_connect, what_is_absent_stays_null) {
    cr_assert_eq(decode(4, 2, BYTES("\0\1x")), 0);
    cr_assert_null(c.username.data);
    cr_assert_null(c.password.data);
    cr_assert_null(c.will_topic.data);
    cr_assert_null(c.will_payload.data);
    cr_assert_not(c.has_will || c.has_username || c.has_password || c.will_retain);
}

Test(mqtt_connect, reserved_flag) {
    cr_assert_eq(decode(4, 3, BYTES("\0\1x")), -MQTT_DROP_RESERVED_FLAG);
    cr_assert_eq(decode(5, 3, BYTES("\0\0\1x")), -MQTT_DROP_RESERVED_FLAG);
    cr_assert_eq(c.level, 5, "the answer needs the level");
    cr_assert_eq(decode(3, 3, BYTES("\0\1x")), 0, "3.1 calls it unused");
}

Test(mqtt_connect, will_flags_agree) {
    for (unsigned level = 4; level <= 5; level++) {
        const uint8_t *rest = (const uint8_t *)(level == 5 ? "\0\0\1x" : "\0\1x");
        cr_assert_eq(decode((uint8_t)level, 0x0a, rest, level - 1), -MQTT_DROP_WILL_FLAGS, "QoS 1 without a will");
        cr_assert_eq(decode((uint8_t)level, 0x12, rest, level - 1), -MQTT_DROP_WILL_FLAGS, "QoS 2 without a will");
        cr_assert_eq(decode((uint8_t)level, 0x22, rest, level - 1), -MQTT_DROP_WILL_FLAGS, "retain without a will");
    }
    cr_assert_eq(decode(4, 0x1e, BYTES("\0\1x\0\1t\0\0")), -MQTT_DROP_WILL_FLAGS, "QoS 3");
    cr_assert_eq(decode(5, 0x1e, BYTES("\0\0\1x\0\0\1t\0\0")), -MQTT_DROP_WILL_FLAGS, "QoS 3");
    cr_assert_eq(decode(4, 0x16, BYTES("\0\1x\0\1t\0\0")), 0);
}

Test(mqtt_connect, password_needs_a_user_name_before_5_0) {
    cr_assert_eq(decode(3, 0x42, BYTES("\0\1x\0\1p")), -MQTT_DROP_PASSWORD_FLAG);
    cr_assert_eq(decode(4, 0x42, BYTES("\0\1x\0\1p")), -MQTT_DROP_PASSWORD_FLAG);
    cr_assert_eq(decode(5, 0x42, BYTES("\0\0\1x\0\1p")), 0);
    cr_assert(is(&c.password, "p"));
    cr_assert_eq(decode(4, 0x82, BYTES("\0\1x\0\1u")), 0);
}

Test(mqtt_connect, empty_client_identifier) {
    cr_assert_eq(decode(3, 2, BYTES("\0\0")), -MQTT_DROP_CLIENT_ID);
    cr_assert_eq(decode(4, 0, BYTES("\0\0")), -MQTT_DROP_CLIENT_ID);
    cr_assert_eq(decode(4, 2, BYTES("\0\0")), 0);
    cr_assert_eq(decode(5, 0, BYTES("\0\0\0")), 0);
    cr_assert(c.client_id.data && c.client_id.len == 0);
}

Test(mqtt_connect, long_client_identifier) {
    uint8_t rest[2 + 65535] = {0, 23};

    memset(rest + 2, 'a', sizeof(rest) - 2);
    cr_assert_eq(decode(3, 2, rest, 2 + 23), 0);
    rest[1] = 24;
    cr_assert_eq(decode(3, 2, rest, 2 + 24), -MQTT_DROP_CLIENT_ID);
    cr_assert_eq(decode(4, 2, rest, 2 + 24), 0);
    rest[0] = rest[1] = 0xff;
    cr_assert_eq(decode(4, 2, rest, sizeof(rest)), 0);
    cr_assert_eq(c.client_id.len, 65535);
}

Test(mqtt_connect, characters_not_bytes_count_in_3_1) {
    uint8_t rest[2 + 46] = {0, 46};

    for (int i = 0; i < 23; i++)
        memcpy(rest + 2 + 2 * i, "\xc3\xa4", 2);
    cr_assert_eq(decode(3, 2, rest, sizeof(rest)), 0);
}

Test(mqtt_connect, strings_are_utf8_and_binaries_are_not) {
    cr_assert_eq(decode(4, 2, BYTES("\0\2i\0")), -MQTT_DROP_UTF8);
    cr_assert_eq(decode(4, 2, BYTES("\0\2\xc0\xaf")), -MQTT_DROP_UTF8);
    cr_assert_eq(decode(4, 0x82, BYTES("\0\1x\0\3\xed\xa0\x80")), -MQTT_DROP_UTF8);
    cr_assert_eq(decode(4, 0x06, BYTES("\0\1x\0\1\xff\0\0")), -MQTT_DROP_UTF8);
    cr_assert_eq(decode(4, 0xc6, BYTES("\0\1x\0\1t\0\2\xff\0\0\1u\0\2\0\xff")), 0);
}

Test(mqtt_connect, will_topic_is_a_topic_name) {
    cr_assert_eq(decode(4, 0x06, BYTES("\0\1x\0\0\0\0")), -MQTT_DROP_WILL_TOPIC);
    cr_assert_eq(decode(4, 0x06, BYTES("\0\1x\0\2a#\0\0")), -MQTT_DROP_WILL_TOPIC);
    cr_assert_eq(decode(4, 0x06, BYTES("\0\1x\0\2+a\0\0")), -MQTT_DROP_WILL_TOPIC);
}

Test(mqtt_connect, bytes_behind_the_end) {
    cr_assert_eq(decode(4, 2, BYTES("\0\1x!")), -MQTT_DROP_CONNECT_LONG);
    cr_assert_eq(decode(5, 2, BYTES("\0\0\1x!")), -MQTT_DROP_CONNECT_LONG);
    cr_assert_eq(decode(3, 2, BYTES("\0\1x!")), -MQTT_DROP_CONNECT_LONG);
    cr_assert_eq(decode(4, 2, BYTES("\0\1x\0\1u")), -MQTT_DROP_CONNECT_LONG, "a user name that no flag announced");
}

Test(mqtt_connect, strings_announced_but_missing) {
    cr_assert_eq(decode(4, 0x82, BYTES("\0\1x")), -MQTT_DROP_CONNECT_SHORT);
    cr_assert_eq(decode(4, 0xc2, BYTES("\0\1x\0\1u")), -MQTT_DROP_CONNECT_SHORT);
    cr_assert_eq(decode(5, 0x82, BYTES("\0\0\1x")), -MQTT_DROP_CONNECT_SHORT);
    cr_assert_eq(decode(3, 0xc2, BYTES("\0\1x")), 0, "3.1 allows it");
    cr_assert_not(c.has_username || c.has_password);
    cr_assert_eq(decode(3, 0xc2, BYTES("\0\1x\0\1u")), 0);
    cr_assert(c.has_username && !c.has_password);
}

/* Shorten a CONNECT by every number of bytes, with the remaining length telling the truth and telling the old one. */
Test(mqtt_connect, every_cut_is_refused) {
    static const struct {
        uint8_t level, flags;
        const char *rest;
        uint32_t len;
    } full[] = {{4, 0xce, "\0\2id\0\4last\0\3\0\1\2\0\4user\0\4pass", 27},
                {5, 0xce, "\x08\x11\0\0\0\x0a\x21\0\7\0\2id\5\x18\0\0\0\1\0\1t\0\0\0\1u\0\1p", 30}};

    for (size_t i = 0; i < WEIR_ARRAY_LEN(full); i++) {
        cr_assert_eq(decode(full[i].level, full[i].flags, (const uint8_t *)full[i].rest, full[i].len), 0);
        for (uint32_t cut = 1; cut <= full[i].len; cut++) {
            int rc = decode(full[i].level, full[i].flags, (const uint8_t *)full[i].rest, full[i].len - cut);
            cr_assert_eq(rc, -MQTT_DROP_CONNECT_SHORT, "cut %u: %s", cut, mqtt_drop_name((enum mqtt_drop) - rc));
        }
        packet_connect(&packet, full[i].level, full[i].flags, (const uint8_t *)full[i].rest, full[i].len);
        for (uint32_t len = 0; len < packet.len; len++)
            cr_assert_eq(mqtt_connect_decode(packet.data, len, &c), -MQTT_DROP_CONNECT_SHORT, "%u", len);
    }
}

Test(mqtt_connect, length_fields_beyond_the_packet) {
    cr_assert_eq(decode(4, 2, BYTES("\xff\xffx")), -MQTT_DROP_CONNECT_SHORT);
    cr_assert_eq(decode(4, 6, BYTES("\0\1x\0\1t\xff\xff")), -MQTT_DROP_CONNECT_SHORT);
    cr_assert_eq(decode(5, 2, BYTES("\xff\xff\xff\x7f\0\1x")), -MQTT_DROP_CONNECT_SHORT);
}

Test(mqtt_connect, properties_come_through) {
    cr_assert_eq(decode(5, 2, BYTES("\x0a\x11\0\0\0\1\x11\0\0\0\1\0\1x")), -MQTT_DROP_PROPERTY_TWICE);
    cr_assert_eq(decode(5, 6, BYTES("\0\0\1x\4\1\0\1\0\0\1t\0\0")), -MQTT_DROP_PROPERTY_TWICE);
    cr_assert_eq(decode(5, 2, BYTES("\x0f\x15\0\5SCRAM\x16\0\4\0\1\2\3\0\1x")), 0, "enhanced authentication passes");
}

Test(mqtt_connect_size, grows_byte_by_byte) {
    struct mqtt_limits limits = {0};
    struct pieces p;
    uint8_t level;

    packet_connect(&packet, 5, 2, BYTES("\0\0\2id"));
    for (uint32_t n = 0; n <= packet.len; n++) {
        int rc = mqtt_connect_size(pieces_of(&p, packet.data, n, 1), &limits, &level);
        cr_assert_eq(rc, n < 2 ? WEIR_MORE : (int)packet.len, "%u bytes: %d", n, rc);
        cr_assert_eq(level, n < 9 ? 0 : 5);
        cr_assert_eq(mqtt_connect_size(&p.rope, NULL, &level), rc, "no limits are the default ones");
    }
}

Test(mqtt_connect_size, refuses_what_is_no_connect_at_its_first_byte) {
    uint8_t level = 9;

    for (unsigned b = 0; b < 256; b++) {
        uint8_t first = (uint8_t)b;
        int want = b == 0x10 ? WEIR_MORE : b >> 4 == 1 ? -MQTT_DROP_FLAGS : -MQTT_DROP_NOT_CONNECT;
        cr_assert_eq(size_of(&first, 1, 0, &level), want, "%02x", b);
        cr_assert_eq(level, 0);
    }
    cr_assert_neq(-MQTT_DROP_NOT_CONNECT, WEIR_MORE);
    cr_assert_eq(size_of(BYTES("GET / HTTP/1.1"), 0, &level), -MQTT_DROP_NOT_CONNECT);
    cr_assert_eq(size_of(BYTES("\x16\3\1\2"), 0, &level), -MQTT_DROP_FLAGS, "a TLS ClientHello on the plain port");
}

Test(mqtt_connect_size, refuses_a_remaining_length_of_five_bytes_or_above_the_limit) {
    uint8_t level;

    cr_assert_eq(size_of(BYTES("\x10\x80\x80\x80\x80"), 0, &level), -MQTT_DROP_LENGTH_ENCODING);
    cr_assert_eq(size_of(BYTES("\x10\xff\xff\xff\xff\1"), 0, &level), -MQTT_DROP_LENGTH_ENCODING);
    cr_assert_eq(size_of(BYTES("\x10\xff\xff\xff\x7f"), 0, &level), -MQTT_DROP_CONNECT_TOO_BIG);
    cr_assert_eq(level, 0, "too early to know how to say so");
    cr_assert_eq(size_of(BYTES("\x10\xff\xff\xff\x7f\0\4MQTT\5"), 0, &level), -MQTT_DROP_CONNECT_TOO_BIG);
    cr_assert_eq(level, 5);
    cr_assert_eq(size_of(BYTES("\x10\x64"), 102, &level), 102);
    cr_assert_eq(size_of(BYTES("\x10\x64"), 101, &level), -MQTT_DROP_CONNECT_TOO_BIG);
    /* 65,536 bytes where nothing is configured: 4 of fixed header, 65,532 behind */
    cr_assert_eq(size_of(BYTES("\x10\xfc\xff\3"), 0, &level), 65536);
    cr_assert_eq(size_of(BYTES("\x10\xfd\xff\3"), 0, &level), -MQTT_DROP_CONNECT_TOO_BIG);
}

Test(mqtt_connect_size, refuses_a_wrong_name_at_its_first_wrong_byte) {
    uint8_t level;

    cr_assert_eq(size_of(BYTES("\x10\x20\0\4MQTX"), 0, &level), -MQTT_DROP_PROTOCOL_NAME);
    cr_assert_eq(size_of(BYTES("\x10\x20\0\4X"), 0, &level), -MQTT_DROP_PROTOCOL_NAME);
    cr_assert_eq(size_of(BYTES("\x10\x20\0\5"), 0, &level), -MQTT_DROP_PROTOCOL_NAME);
    cr_assert_eq(size_of(BYTES("\x10\x20\1"), 0, &level), -MQTT_DROP_PROTOCOL_NAME);
    cr_assert_eq(size_of(BYTES("\x10\x20\0\6MQIsdq"), 0, &level), -MQTT_DROP_PROTOCOL_NAME);
    cr_assert_eq(size_of(BYTES("\x10\x20\0\4mqtt\4"), 0, &level), -MQTT_DROP_PROTOCOL_NAME);
    cr_assert_eq(level, 0);
}

Test(mqtt_connect_size, refuses_levels_and_says_in_which_tongue_to_answer) {
    static const struct {
        const char *bytes;
        uint32_t len;
        int rc;
        uint8_t level;
    } rows[] = {
        {"\x10\x20\0\4MQTT\0", 9, -MQTT_DROP_PROTOCOL_LEVEL, 4},
        {"\x10\x20\0\4MQTT\3", 9, -MQTT_DROP_PROTOCOL_LEVEL, 4},
        {"\x10\x20\0\4MQTT\4", 9, 34, 4},
        {"\x10\x20\0\4MQTT\5", 9, 34, 5},
        {"\x10\x20\0\4MQTT\6", 9, -MQTT_DROP_PROTOCOL_LEVEL, 5},
        {"\x10\x20\0\4MQTT\x84", 9, -MQTT_DROP_PROTOCOL_LEVEL, 4}, /* a mosquitto bridge tries its dialect */
        {"\x10\x20\0\6MQIsdp\3", 11, 34, 3},
        {"\x10\x20\0\6MQIsdp\4", 11, -MQTT_DROP_PROTOCOL_LEVEL, 4},
    };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        uint8_t level, answer[8];
        cr_assert_eq(size_of((const uint8_t *)rows[i].bytes, rows[i].len, 0, &level), rows[i].rc, "row %zu", i);
        cr_assert_eq(level, rows[i].level, "row %zu", i);
        if (rows[i].rc < 0)
            cr_assert_gt(mqtt_refuse_connect(level, MQTT_DROP_PROTOCOL_LEVEL, answer), 0);
        cr_assert(rows[i].rc > 0 || mqtt_connect_decode((const uint8_t *)rows[i].bytes, rows[i].len, &c) == rows[i].rc);
    }
}

Test(mqtt_connect_size, refuses_lengths_that_cannot_hold_a_connect) {
    uint8_t level;

    cr_assert_eq(size_of(BYTES("\x10\0"), 0, &level), -MQTT_DROP_CONNECT_SHORT);
    cr_assert_eq(size_of(BYTES("\x10\x0b"), 0, &level), -MQTT_DROP_CONNECT_SHORT);
    cr_assert_eq(size_of(BYTES("\x10\x0c"), 0, &level), 14);
    cr_assert_eq(size_of(BYTES("\x10\x0c\0\4MQTT\5"), 0, &level), -MQTT_DROP_CONNECT_SHORT);
    cr_assert_eq(size_of(BYTES("\x10\x0d\0\6MQIsdp\3"), 0, &level), -MQTT_DROP_CONNECT_SHORT);
}

Test(mqtt_connect_size, longer_form_of_the_length_is_refused_in_5_0_only) {
    uint8_t level;

    cr_assert_eq(size_of(BYTES("\x10\x8e\0\0\4MQTT\5"), 0, &level), -MQTT_DROP_LENGTH_ENCODING);
    cr_assert_eq(size_of(BYTES("\x10\x8e\0\0\4MQTT\4"), 0, &level), 17);
}
