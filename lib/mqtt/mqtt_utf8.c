/* SPDX-License-Identifier: BSD-3-Clause */
/* UTF-8 as MQTT wants it (5.0 1.5.4, 3.1.1 1.5.3): well-formed by RFC 3629 and without U+0000. Control characters and
 * non-characters pass: refusing them is a MAY, and brokers differ. */
#include "mqtt_int.h"

#include <string.h>

/* By lead byte: how many continuation bytes follow, and the range of the first of them. That range alone keeps out
 * overlong forms (E0, F0), surrogates (ED) and values above U+10FFFF (F4): RFC 3629 4. */
struct lead {
    uint8_t from, to, following, low, high;
};
static const struct lead leads[] = {
    {0xc2, 0xdf, 1, 0x80, 0xbf}, {0xe0, 0xe0, 2, 0xa0, 0xbf}, {0xe1, 0xec, 2, 0x80, 0xbf}, {0xed, 0xed, 2, 0x80, 0x9f},
    {0xee, 0xef, 2, 0x80, 0xbf}, {0xf0, 0xf0, 3, 0x90, 0xbf}, {0xf1, 0xf3, 3, 0x80, 0xbf}, {0xf4, 0xf4, 3, 0x80, 0x8f},
};

/* Bytes of the character of two bytes or more at `p`, 0 where it is ill-formed. */
static uint32_t multibyte(const uint8_t *p, uint32_t left) {
    const struct lead *l = leads;

    while (p[0] > l->to)
        if (++l == leads + WEIR_ARRAY_LEN(leads))
            return 0;
    if (p[0] < l->from || l->following >= left || p[1] < l->low || p[1] > l->high)
        return 0;
    for (uint32_t i = 2; i <= l->following; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return l->following + 1u;
}

/* Eight bytes, all of them 01 to 7f? */
static bool plain_word(const uint8_t *p) {
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    uint64_t w;

    memcpy(&w, p, sizeof(w));
    return ((w | (w - ones)) & tops) == 0; /* a borrow out of a zero byte sets its top bit */
}

bool mqtt_utf8_valid(const uint8_t *data, uint32_t len) {
    uint32_t i = 0;

    while (i < len) {
        if (len - i >= 8 && plain_word(data + i)) {
            i += 8;
        } else if (data[i] < 0x80) {
            if (data[i] == 0)
                return false;
            i++;
        } else {
            uint32_t n = multibyte(data + i, len - i);
            if (n == 0)
                return false;
            i += n;
        }
    }
    return true;
}

uint32_t mqtt_utf8_chars(const uint8_t *data, uint32_t len) {
    uint32_t n = 0;

    for (uint32_t i = 0; i < len; i++)
        n += (data[i] & 0xc0) != 0x80;
    return n;
}

bool mqtt_topic_name_valid(const uint8_t *data, uint32_t len) {
    return len > 0 && memchr(data, '+', len) == NULL && memchr(data, '#', len) == NULL;
}
