/* SPDX-License-Identifier: BSD-3-Clause */
/* Another user name in a CONNECT (3.1.3.5): its flags, its length, and the bytes between them stay what they were. */
#include "mqtt_int.h"

#include <string.h>

#define PACKET_MAX_BYTES 65536u
#define STRING_MAX_BYTES 65535u
#define FLAG_PASSWORD    0x40u
#define FLAG_USERNAME    0x80u

static uint32_t fixed_header_bytes(const uint8_t *data, const struct mqtt_connect *c) {
    uint32_t remaining;

    return 1 + (uint32_t)mqtt_varint(data + 1, c->packet_bytes - 1, &remaining);
}

/* Where the user name's length stands, or would: in front of the password, which is the last field. */
static uint32_t username_at(const uint8_t *data, const struct mqtt_connect *c) {
    if (c->has_username)
        return (uint32_t)(c->username.data - data) - 2;
    return c->packet_bytes - (c->has_password ? c->password.len + 2 : 0);
}

static uint32_t varint_put(uint8_t *p, uint32_t value) {
    uint32_t n = 0;

    do {
        p[n] = (uint8_t)(value & 0x7f);
        value >>= 7;
        p[n++] |= value > 0 ? 0x80 : 0;
    } while (value > 0);
    return n;
}

int mqtt_connect_rename(uint8_t *data, const struct mqtt_connect *c, const char *username, uint32_t len) {
    uint32_t fixed = fixed_header_bytes(data, c), from = username_at(data, c);
    uint32_t flags = fixed + (c->level == 3 ? 8u : 6u) + 1;               /* behind protocol name and level */
    uint32_t behind = from + (c->has_username ? 2 + c->username.len : 0); /* what follows the old one */
    uint32_t tail = c->packet_bytes - behind;

    if (len == 0 || len > STRING_MAX_BYTES || !mqtt_utf8_valid((const uint8_t *)username, len))
        return -MQTT_DROP_NO_IDENTITY;
    uint32_t remaining = from - fixed + 2 + len + tail, head = 1 + mqtt_varint_bytes(remaining);
    if (head + remaining > PACKET_MAX_BYTES)
        return -MQTT_DROP_CONNECT_TOO_BIG;
    /* 3.1 may announce strings that it then leaves out: the flags say what is there. */
    data[flags] = (uint8_t)((data[flags] & ~FLAG_PASSWORD) | FLAG_USERNAME | (c->has_password ? FLAG_PASSWORD : 0));
    memmove(data + from + 2 + len, data + behind, tail);
    data[from] = (uint8_t)(len >> 8);
    data[from + 1] = (uint8_t)len;
    memcpy(data + from + 2, username, len);
    memmove(data + head, data + fixed, remaining);
    varint_put(data + 1, remaining);
    return (int)(head + remaining);
}
