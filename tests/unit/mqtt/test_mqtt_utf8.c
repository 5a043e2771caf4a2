/* SPDX-License-Identifier: BSD-3-Clause */
#include "mqtt/mqtt_int.h"
#include "packets.h"

#include <criterion/criterion.h>

static bool valid(const char *s, size_t n) {
    return mqtt_utf8_valid((const uint8_t *)s, (uint32_t)n);
}
#define VALID(s) valid(s, sizeof(s) - 1)

Test(mqtt_utf8, accepts_every_length_and_the_edges_of_each) {
    cr_assert(VALID(""));
    cr_assert(VALID("plain"));
    cr_assert(VALID("\x01\x7f"));
    cr_assert(VALID("\xc2\x80\xdf\xbf"));
    cr_assert(VALID("\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"));
    cr_assert(VALID("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"));
    cr_assert(VALID("\xef\xbb\xbf"
                    "after a byte order mark [MQTT-1.5.4-3]"));
}

Test(mqtt_utf8, refuses_nul_wherever_it_stands) {
    for (uint32_t len = 1; len <= 40; len++) {
        for (uint32_t at = 0; at < len; at++) {
            uint8_t s[40];
            memset(s, 'x', sizeof(s));
            cr_assert(mqtt_utf8_valid(s, len));
            s[at] = 0;
            cr_assert_not(mqtt_utf8_valid(s, len), "NUL at %u of %u", at, len);
        }
    }
}

Test(mqtt_utf8, refuses_overlong_forms) {
    cr_assert_not(VALID("\xc0\x80"));
    cr_assert_not(VALID("\xc1\xbf"));
    cr_assert_not(VALID("\xe0\x80\x80"));
    cr_assert_not(VALID("\xe0\x9f\xbf"));
    cr_assert_not(VALID("\xf0\x80\x80\x80"));
    cr_assert_not(VALID("\xf0\x8f\xbf\xbf"));
}

Test(mqtt_utf8, refuses_surrogates_and_what_lies_above_unicode) {
    cr_assert_not(VALID("\xed\xa0\x80"));
    cr_assert_not(VALID("\xed\xbf\xbf"));
    cr_assert_not(VALID("\xf4\x90\x80\x80"));
    cr_assert_not(VALID("\xf5\x80\x80\x80"));
    cr_assert_not(VALID("\xff"));
}

Test(mqtt_utf8, refuses_cut_and_stray_continuations) {
    cr_assert_not(VALID("\x80"));
    cr_assert_not(VALID("x\xbf"));
    cr_assert_not(VALID("\xc3"));
    cr_assert_not(VALID("\xe2\x82"));
    cr_assert_not(VALID("\xf0\x9f\x98"));
    cr_assert_not(VALID("\xe2\x28\xa1"));
    cr_assert_not(VALID("\xe2\x82\x28"));
    cr_assert_not(VALID("\xf0\x9f\x98\x28"));
}

/* Against a decoder that goes the long way: all pairs of bytes, and all triples behind E0 to EF. */
static bool slow_valid(const uint8_t *p, uint32_t n) {
    for (uint32_t i = 0; i < n;) {
        uint32_t more = p[i] < 0x80 ? 0 : p[i] < 0xc0 ? 9 : p[i] < 0xe0 ? 1 : p[i] < 0xf0 ? 2 : p[i] < 0xf8 ? 3 : 9;
        static const uint8_t mask[] = {0x7f, 0x1f, 0x0f, 0x07};
        static const uint32_t least[] = {1, 0x80, 0x800, 0x10000};
        if (more > 3 || i + more >= n)
            return false;
        uint32_t c = p[i] & mask[more];
        for (uint32_t k = 1; k <= more; k++) {
            if ((p[i + k] & 0xc0) != 0x80)
                return false;
            c = c << 6 | (p[i + k] & 0x3f);
        }
        if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
            return false;
        i += more + 1;
    }
    return true;
}

Test(mqtt_utf8, agrees_with_a_slow_decoder) {
    for (uint32_t v = 0; v < 0x1000000; v += v < 0x10000 ? 1 : 7) {
        uint8_t s[4] = {(uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v, 0x80};
        if (v < 0x10000)
            cr_assert_eq(mqtt_utf8_valid(s + 1, 2), slow_valid(s + 1, 2), "%04x", v);
        else if (mqtt_utf8_valid(s, 3) != slow_valid(s, 3) || mqtt_utf8_valid(s, 4) != slow_valid(s, 4))
            cr_assert(false, "%06x", v);
    }
}

Test(mqtt_utf8, counts_characters) {
    cr_assert_eq(mqtt_utf8_chars(BYTES("abc")), 3);
    cr_assert_eq(mqtt_utf8_chars(BYTES("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80")), 3);
}

Test(mqtt_utf8, topic_names_are_not_empty_and_hold_no_wildcard) {
    cr_assert(mqtt_topic_name_valid(BYTES("a/b")));
    cr_assert(mqtt_topic_name_valid(BYTES("/")));
    cr_assert_not(mqtt_topic_name_valid(BYTES("")));
    cr_assert_not(mqtt_topic_name_valid(BYTES("a/#")));
    cr_assert_not(mqtt_topic_name_valid(BYTES("a#")));
    cr_assert_not(mqtt_topic_name_valid(BYTES("+a")));
}
