/* SPDX-License-Identifier: BSD-3-Clause */
#include "packets.h"

#include <criterion/criterion.h>

static struct packet packet;
static uint8_t room[MQTT_RENAME_BYTES];
static struct mqtt_connect before, after;

/* Give this CONNECT that name; `after` is what a server reads then. */
static int rename_to(uint8_t level, uint8_t flags, const uint8_t *rest, uint32_t len, const char *name) {
    packet_connect(&packet, level, flags, rest, len);
    memcpy(room, packet.data, packet.len);
    cr_assert_eq(mqtt_connect_decode(room, packet.len, &before), 0);
    int n = mqtt_connect_rename(room, &before, name, (uint32_t)strlen(name));
    if (n > 0)
        cr_assert_eq(mqtt_connect_decode(room, (uint32_t)n, &after), 0);
    return n;
}

static void is(const struct mqtt_str *s, const char *want) {
    cr_assert(s->data && s->len == strlen(want) && memcmp(s->data, want, s->len) == 0, "%.*s is not %s", (int)s->len,
              (const char *)s->data, want);
}

Test(mqtt_username, in_place_of_another) {
    static const char *const names[] = {"device", "d", "user", "a name that is longer than the one before it"};

    for (size_t i = 0; i < WEIR_ARRAY_LEN(names); i++) {
        cr_assert_gt(rename_to(4, 0xee, BYTES("\0\2id\0\4last\0\3\0\1\2\0\4user\0\4pass"), names[i]), 0);
        is(&after.username, names[i]);
        is(&after.password, "pass");
        is(&after.client_id, "id");
        is(&after.will_topic, "last");
        cr_assert(after.has_will && after.will_retain && after.clean_start && after.will_qos == 1);
        cr_assert_eq(after.keep_alive_s, 60);
    }
}

Test(mqtt_username, where_there_was_none) {
    for (unsigned level = 3; level <= 5; level++) {
        const uint8_t *rest = (const uint8_t *)(level == 5 ? "\0\0\2id" : "\0\2id");
        cr_assert_gt(rename_to((uint8_t)level, 2, rest, level == 5 ? 5 : 4, "device"), 0);
        is(&after.username, "device");
        is(&after.client_id, "id");
        cr_assert_not(after.has_password);
    }
}

/* 5.0 allows a password alone; the name goes in front of it. */
Test(mqtt_username, in_front_of_a_password) {
    cr_assert_gt(rename_to(5, 0x42, BYTES("\x05\x11\0\0\0\x0a\0\2id\0\4pass"), "device"), 0);
    is(&after.username, "device");
    is(&after.password, "pass");
    cr_assert_eq(after.session_expiry_s, 10);
}

/* 3.1 reads a CONNECT that ends before the strings its flags announce. */
Test(mqtt_username, strings_announced_and_left_out) {
    cr_assert_gt(rename_to(3, 0xc2, BYTES("\0\2id"), "device"), 0);
    is(&after.username, "device");
    cr_assert_not(after.has_password);
    cr_assert_eq(room[2 + 8 + 1], 0x82, "the flags announce no more than there is");
    cr_assert_gt(rename_to(3, 0xc2, BYTES("\0\2id\0\1u"), "device"), 0);
    is(&after.username, "device");
    cr_assert_not(after.has_password);
}

Test(mqtt_username, empty_fields_keep_their_place) {
    cr_assert_gt(rename_to(4, 0xc2, BYTES("\0\0\0\0\0\0"), "device"), 0);
    is(&after.username, "device");
    is(&after.password, "");
    is(&after.client_id, "");
}

/* The remaining length grows by a byte at 128 and at 16,384, and everything behind it moves. */
Test(mqtt_username, remaining_length_grows_and_shrinks) {
    static uint8_t rest[2 + 2 + 20000];
    static char name[20001];

    memcpy(rest, "\0\2id", 4);
    for (uint32_t len = 90; len < 20000; len += len < 200 ? 1 : 509) {
        memset(name, 'n', len);
        name[len] = '\0';
        cr_assert_gt(rename_to(4, 2, rest, 4, name), 0);
        cr_assert_eq(after.username.len, len);
        /* and back again */
        rest[4] = (uint8_t)(len >> 8);
        rest[5] = (uint8_t)len;
        memset(rest + 6, 'o', len);
        cr_assert_gt(rename_to(4, 0x82, rest, 6 + len, "device"), 0);
        is(&after.username, "device");
        is(&after.client_id, "id");
    }
}

/* A length in more bytes than it needs (3.1.1 allows it) comes out in as many as it does. */
Test(mqtt_username, padded_length) {
    static const uint8_t padded[] = {0x10, 0x90, 0x80, 0,  0, 4, 'M', 'Q', 'T', 'T',
                                     4,    2,    0,    60, 0, 4, 'i', 'd', 'i', 'd'};

    memcpy(room, padded, sizeof(padded));
    cr_assert_eq(mqtt_connect_decode(room, sizeof(padded), &before), 0);
    int n = mqtt_connect_rename(room, &before, "device", 6);
    cr_assert_eq(n, (int)sizeof(padded) - 2 + 8);
    cr_assert_eq(mqtt_connect_decode(room, (uint32_t)n, &after), 0);
    is(&after.username, "device");
    is(&after.client_id, "idid");
}

Test(mqtt_username, no_name) {
    cr_assert_eq(rename_to(4, 2, BYTES("\0\2id"), ""), -MQTT_DROP_NO_IDENTITY);
    cr_assert_eq(rename_to(4, 2, BYTES("\0\2id"), "\xff\xfe"), -MQTT_DROP_NO_IDENTITY, "not UTF-8");
    cr_assert(memcmp(room, packet.data, packet.len) == 0, "left as it was");
}

/* The whole packet fills the 64 KiB to the byte, and then not. */
Test(mqtt_username, too_big) {
    static uint8_t rest[1 + 4 + 2 + 65000] =
        "\0\0\2id\xfd\xe8"; /* 5.0: no properties, "id", 65,000 bytes of password */
    static char name[515];

    memset(name, 'n', 513);
    cr_assert_eq(rename_to(5, 0x42, rest, sizeof(rest), name), 65536);
    cr_assert_eq(after.username.len, 513);
    cr_assert_eq(after.password.len, 65000);
    name[513] = 'n';
    cr_assert_eq(rename_to(5, 0x42, rest, sizeof(rest), name), -MQTT_DROP_CONNECT_TOO_BIG);
    cr_assert(memcmp(room, packet.data, packet.len) == 0, "left as it was");
}
