/* SPDX-License-Identifier: BSD-3-Clause */
#include "packets.h"

#include <criterion/criterion.h>

static struct mqtt_seen seen;
static uint64_t by_type[16]; /* what `seen` counted */

/* One packet with a body of zeroes: what a type's first byte and remaining length are worth alone. */
static int feed_packet(struct mqtt_stream *s, enum mqtt_from from, uint8_t first, uint32_t remaining) {
    static struct packet p;

    p.len = remaining;
    memset(p.data, 0, remaining);
    packet_close(&p, first);
    return mqtt_stream_feed(s, from, NULL, p.data, p.len, &seen);
}

/* Feed bytes to a fresh direction, whole, byte by byte and as a rope: the outcome must be one. */
static int feed(enum mqtt_from from, uint8_t level, const uint8_t *data, uint32_t len) {
    struct mqtt_stream whole, bytes, rope;
    uint64_t by_type_bytes[16] = {0}, by_type_rope[16] = {0};
    struct mqtt_seen seen_bytes = {.by_type = by_type_bytes, .connack_code = 0xff};
    struct mqtt_seen seen_rope = {.by_type = by_type_rope, .connack_code = 0xff};
    struct pieces p;
    int rc_bytes = 0;

    memset(by_type, 0, sizeof(by_type));
    seen = (struct mqtt_seen){.by_type = by_type, .connack_code = 0xff};
    mqtt_stream_init(&whole, from, level);
    bytes = rope = whole;
    int rc = mqtt_stream_feed(&whole, from, NULL, data, len, &seen);
    for (uint32_t i = 0; i < len && rc_bytes == 0; i++)
        rc_bytes = mqtt_stream_feed(&bytes, from, NULL, data + i, 1, &seen_bytes);
    int rc_rope = mqtt_stream_feed_rope(&rope, from, NULL, pieces_of(&p, data, len, 3), 0, &seen_rope);
    cr_assert_eq(rc, rc_bytes);
    cr_assert_eq(rc, rc_rope);
    cr_assert_eq(memcmp(&whole, &bytes, sizeof(whole)), 0);
    cr_assert_eq(memcmp(&whole, &rope, sizeof(whole)), 0);
    cr_assert_eq(memcmp(by_type, by_type_bytes, sizeof(by_type)), 0);
    cr_assert_eq(memcmp(by_type, by_type_rope, sizeof(by_type)), 0);
    seen_bytes.by_type = seen_rope.by_type = by_type;
    cr_assert_eq(memcmp(&seen, &seen_bytes, sizeof(seen)), 0);
    cr_assert_eq(memcmp(&seen, &seen_rope, sizeof(seen)), 0);
    return rc;
}

static int client(uint8_t level, const uint8_t *data, uint32_t len) {
    return feed(MQTT_FROM_CLIENT, level, data, len);
}

static int server(uint8_t level, const uint8_t *data, uint32_t len) {
    return feed(MQTT_FROM_SERVER, level, data, len);
}

Test(mqtt_stream, a_clients_day) {
    cr_assert_eq(client(4, BYTES("\x82\6\0\1\0\1t\1"
                                 "\x30\4\0\1tx"
                                 "\x32\6\0\1t\0\2x"
                                 "\x3d\6\0\1t\0\3x"
                                 "\x40\2\0\1"
                                 "\x50\2\0\1"
                                 "\x62\2\0\1"
                                 "\x70\2\0\1"
                                 "\xa2\5\0\4\0\1t"
                                 "\xc0\0"
                                 "\xe0\0")),
                 0);
    cr_assert_eq(seen.packets, 11);
    cr_assert_eq(by_type[MQTT_PUBLISH], 3);
    cr_assert_eq(by_type[MQTT_SUBSCRIBE], 1);
    cr_assert(seen.disconnect);
    cr_assert_eq(seen.connack_code, 0xff);
}

Test(mqtt_stream, a_servers_day) {
    cr_assert_eq(server(4, BYTES("\x20\2\1\0"
                                 "\x90\3\0\1\1"
                                 "\x31\4\0\1tx"
                                 "\x40\2\0\2"
                                 "\x50\2\0\3"
                                 "\x62\2\0\3"
                                 "\x70\2\0\3"
                                 "\xb0\2\0\4"
                                 "\xd0\0")),
                 0);
    cr_assert_eq(seen.packets, 9);
    cr_assert_eq(seen.connack_code, 0);
    cr_assert_not(seen.disconnect);
}

Test(mqtt_stream, both_days_in_5_0) {
    cr_assert_eq(client(5, BYTES("\xf0\0\xf0\2\x18\0"
                                 "\x82\7\0\1\0\0\1t\1"
                                 "\x30\5\0\1t\0x"
                                 "\x30\6\0\0\3\x23\0\1"
                                 "\x40\2\0\1\x40\3\0\1\x10\x40\4\0\1\x10\0"
                                 "\xe0\2\4\0")),
                 0);
    cr_assert(seen.disconnect);
    cr_assert_eq(server(5, BYTES("\xf0\2\x18\0"
                                 "\x20\6\0\0\3\x21\0\x14"
                                 "\x90\4\0\1\0\1\xb0\4\0\1\0\0"
                                 "\xe0\1\x8b")),
                 0);
    cr_assert_eq(seen.connack_code, 0);
    cr_assert(seen.disconnect);
}

/* The order table again, in other words: who may send what, before and after CONNACK. */
Test(mqtt_stream, every_type_in_every_phase) {
    static const uint8_t first[16] = {0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x62, 0x70,
                                      0x82, 0x90, 0xa2, 0xb0, 0xc0, 0xd0, 0xe0, 0xf0};
    static const uint8_t shortest3[16] = {0, 12, 2, 3, 2, 2, 2, 2, 6, 3, 5, 2, 0, 0, 0, 0};
    static const uint8_t shortest5[16] = {0, 13, 3, 4, 2, 2, 2, 2, 7, 4, 6, 4, 0, 0, 0, 0};

    for (uint8_t level = 3; level <= 5; level++) {
        for (unsigned type = 0; type < 16; type++) {
            uint32_t n = (level == 5 ? shortest5 : shortest3)[type];
            bool by_both = (type >= MQTT_PUBLISH && type <= MQTT_PUBCOMP) || (level == 5 && type == MQTT_AUTH);
            bool by_client = by_both || type == MQTT_SUBSCRIBE || type == MQTT_UNSUBSCRIBE || type == MQTT_PINGREQ ||
                             type == MQTT_DISCONNECT;
            bool by_server = by_both || type == MQTT_SUBACK || type == MQTT_UNSUBACK || type == MQTT_PINGRESP ||
                             (level == 5 && type == MQTT_DISCONNECT);
            struct mqtt_stream s;

            mqtt_stream_init(&s, MQTT_FROM_CLIENT, level);
            cr_assert_eq(feed_packet(&s, MQTT_FROM_CLIENT, first[type], n) == 0, by_client, "client, type %u", type);

            mqtt_stream_init(&s, MQTT_FROM_SERVER, level);
            bool before = type == MQTT_CONNACK || (level == 5 && type == MQTT_AUTH);
            cr_assert_eq(feed_packet(&s, MQTT_FROM_SERVER, first[type], n) == 0, before, "early, type %u", type);

            mqtt_stream_init(&s, MQTT_FROM_SERVER, level);
            cr_assert_not(mqtt_stream_accepted(&s));
            cr_assert_eq(feed_packet(&s, MQTT_FROM_SERVER, 0x20, level == 5 ? 3 : 2), 0);
            cr_assert(mqtt_stream_accepted(&s));
            cr_assert_eq(feed_packet(&s, MQTT_FROM_SERVER, first[type], n) == 0, by_server, "server, type %u", type);
        }
    }
}

Test(mqtt_stream, reasons_of_the_order_table) {
    cr_assert_eq(client(4, BYTES("\x10")), -MQTT_DROP_SECOND_CONNECT);
    cr_assert_eq(client(5, BYTES("\xc0\0\x10")), -MQTT_DROP_SECOND_CONNECT);
    cr_assert_eq(client(4, BYTES("\x20")), -MQTT_DROP_TYPE_DIRECTION);
    cr_assert_eq(client(4, BYTES("\x90")), -MQTT_DROP_TYPE_DIRECTION);
    cr_assert_eq(client(4, BYTES("\xd0")), -MQTT_DROP_TYPE_DIRECTION);
    cr_assert_eq(client(4, BYTES("\0")), -MQTT_DROP_TYPE_RESERVED);
    cr_assert_eq(client(4, BYTES("\xf0")), -MQTT_DROP_TYPE_RESERVED);
    cr_assert_eq(client(4, BYTES("\xe0\0\xc0")), -MQTT_DROP_AFTER_DISCONNECT);
    cr_assert_eq(client(5, BYTES("\xe0\2\0\0\x30")), -MQTT_DROP_AFTER_DISCONNECT);
    cr_assert_eq(server(4, BYTES("\x30")), -MQTT_DROP_BEFORE_CONNACK);
    cr_assert_eq(server(5, BYTES("\xe0")), -MQTT_DROP_BEFORE_CONNACK);
    cr_assert_eq(server(4, BYTES("\x20\2\0\0\x20")), -MQTT_DROP_SECOND_CONNACK);
    cr_assert_eq(server(4, BYTES("\x20\2\0\0\xe0")), -MQTT_DROP_TYPE_DIRECTION);
    cr_assert_eq(server(4, BYTES("\x10")), -MQTT_DROP_TYPE_DIRECTION);
    cr_assert_eq(server(5, BYTES("\x20\3\0\0\0\xe0\0\x30")), -MQTT_DROP_AFTER_DISCONNECT);
}

Test(mqtt_stream, a_refusing_connack_is_the_last_packet) {
    cr_assert_eq(server(4, BYTES("\x20\2\0\5")), 0);
    cr_assert_eq(seen.connack_code, 5);
    cr_assert_eq(server(4, BYTES("\x20\2\0\5\xd0")), -MQTT_DROP_AFTER_REFUSAL);
    cr_assert_eq(server(5, BYTES("\x20\3\0\x87\0\x30")), -MQTT_DROP_AFTER_REFUSAL);
    cr_assert_eq(server(5, BYTES("\x20\2\0\1")), 0, "a server of 3.1.1 refuses 5.0");
    cr_assert_eq(seen.connack_code, 1);
}

Test(mqtt_stream, flag_bits_by_type) {
    static const uint8_t right[16] = {[MQTT_PUBREL] = 2, [MQTT_SUBSCRIBE] = 2, [MQTT_UNSUBSCRIBE] = 2};
    static const enum mqtt_type types[] = {MQTT_PUBACK,    MQTT_PUBREC,      MQTT_PUBREL,  MQTT_PUBCOMP,
                                           MQTT_SUBSCRIBE, MQTT_UNSUBSCRIBE, MQTT_PINGREQ, MQTT_DISCONNECT};

    for (size_t i = 0; i < WEIR_ARRAY_LEN(types); i++) {
        for (uint8_t flags = 0; flags < 16; flags++) {
            uint8_t first = (uint8_t)(types[i] << 4 | flags);
            int want = flags == right[types[i]] ? 0 : -MQTT_DROP_FLAGS;
            cr_assert_eq(client(4, &first, 1), want, "%02x", first);
            cr_assert_eq(client(5, &first, 1), want, "%02x", first);
            cr_assert_eq(client(3, &first, 1), 0, "%02x", first);
        }
    }
}

Test(mqtt_stream, publish_flags) {
    for (uint8_t flags = 0; flags < 16; flags++) {
        uint8_t first = 0x30 | flags, qos = flags >> 1 & 3;
        bool dup = flags & 8;
        cr_assert_eq(client(4, &first, 1), qos == 3 || (dup && qos == 0) ? -MQTT_DROP_QOS : 0, "%02x", first);
        cr_assert_eq(client(3, &first, 1), qos == 3 ? -MQTT_DROP_QOS : 0, "%02x", first);
    }
}

Test(mqtt_stream, remaining_lengths_impossible_for_their_type) {
    static const struct {
        uint8_t first, least3, least5;
        bool exact3, exact5;
    } rows[] = {
        {0x30, 3, 4, false, false}, {0x32, 5, 6, false, false}, {0x34, 5, 6, false, false}, {0x40, 2, 2, true, false},
        {0x50, 2, 2, true, false},  {0x62, 2, 2, true, false},  {0x70, 2, 2, true, false},  {0x82, 6, 7, false, false},
        {0xa2, 5, 6, false, false}, {0xc0, 0, 0, true, true},   {0xe0, 0, 0, true, false},
    };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        for (uint8_t level = 4; level <= 5; level++) {
            uint32_t least = level == 5 ? rows[i].least5 : rows[i].least3;
            bool exact = level == 5 ? rows[i].exact5 : rows[i].exact3;
            for (uint32_t n = 0; n < 12; n++) {
                struct mqtt_stream s;
                mqtt_stream_init(&s, MQTT_FROM_CLIENT, level);
                int want = n < least || (exact && n > least) ? -MQTT_DROP_LENGTH : 0;
                cr_assert_eq(feed_packet(&s, MQTT_FROM_CLIENT, rows[i].first, n), want, "%02x of %u at level %u",
                             rows[i].first, n, level);
            }
        }
    }
}

Test(mqtt_stream, remaining_length_of_five_bytes) {
    cr_assert_eq(client(4, BYTES("\x30\xff\xff\xff\xff")), -MQTT_DROP_LENGTH_ENCODING);
    cr_assert_eq(client(4, BYTES("\x30\x80\x80\x80\x80\1")), -MQTT_DROP_LENGTH_ENCODING);
    cr_assert_eq(client(4, BYTES("\x30\xff\xff\xff\x7f")), 0, "256 MB is the standard's most");
    cr_assert_eq(client(4, BYTES("\xc0\x80\0")), 0, "3.1.1 does not ask for the shortest form");
    cr_assert_eq(client(5, BYTES("\xc0\x80\0")), -MQTT_DROP_LENGTH_ENCODING);
}

Test(mqtt_stream, size_limit_holds_for_whole_packets) {
    struct mqtt_limits limits = {.max_packet_bytes = 128};
    struct mqtt_stream s;

    mqtt_stream_init(&s, MQTT_FROM_CLIENT, 5);
    cr_assert_eq(mqtt_stream_feed(&s, MQTT_FROM_CLIENT, &limits, BYTES("\x30\x7e"), &seen), 0);
    mqtt_stream_init(&s, MQTT_FROM_CLIENT, 5);
    cr_assert_eq(mqtt_stream_feed(&s, MQTT_FROM_CLIENT, &limits, BYTES("\x30\x7f"), &seen), -MQTT_DROP_PACKET_TOO_BIG);
    mqtt_stream_init(&s, MQTT_FROM_CLIENT, 5);
    cr_assert_eq(mqtt_stream_feed(&s, MQTT_FROM_CLIENT, &limits, BYTES("\x30\xff\xff\xff\x7f"), &seen),
                 -MQTT_DROP_PACKET_TOO_BIG);
}

Test(mqtt_stream, bodies_pass_unread_and_boundaries_are_known) {
    static struct packet p;
    struct mqtt_stream s;

    mqtt_stream_init(&s, MQTT_FROM_CLIENT, 4);
    cr_assert(mqtt_stream_at_boundary(&s));
    p.len = 20000;
    memset(p.data, 0x10, p.len); /* would be CONNECTs, were they headers */
    packet_close(&p, 0x30);
    for (uint32_t i = 0; i < p.len; i++) {
        cr_assert_eq(mqtt_stream_feed(&s, MQTT_FROM_CLIENT, NULL, p.data + i, 1, &seen), 0);
        cr_assert_eq(mqtt_stream_at_boundary(&s), i + 1 == p.len);
    }
    cr_assert_eq(mqtt_stream_feed(&s, MQTT_FROM_CLIENT, NULL, p.data, 1, &seen), 0);
    cr_assert_not(mqtt_stream_at_boundary(&s));
}

Test(mqtt_stream, rope_from_every_offset) {
    static const char bytes[] = "\xc0\0\x30\4\0\1tx\xc0\0\xe0\0";
    const uint32_t starts[] = {0, 2, 8, 10, 12};
    struct pieces p;

    for (size_t i = 0; i < WEIR_ARRAY_LEN(starts); i++) {
        for (uint32_t step = 1; step <= 12; step++) {
            struct mqtt_stream s;
            seen = (struct mqtt_seen){0};
            mqtt_stream_init(&s, MQTT_FROM_CLIENT, 4);
            cr_assert_eq(mqtt_stream_feed_rope(&s, MQTT_FROM_CLIENT, NULL,
                                               pieces_of(&p, (const uint8_t *)bytes, 12, step), starts[i], &seen),
                         0);
            cr_assert_eq(seen.packets, 4 - i);
        }
    }
}
