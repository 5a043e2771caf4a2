/* SPDX-License-Identifier: BSD-3-Clause */
/* MQTT 3.1.1 and 5.0 as the ends write and read it, written apart from lib/mqtt. */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

void sim_bytes_put(struct sim_bytes *b, const void *data, size_t n) {
    if (b->head + b->len + n > b->room) {
        if (b->len != 0)
            memmove(b->data, b->data + b->head, b->len);
        b->head = 0;
        if (b->len + n > b->room) {
            b->room = 2 * (b->len + n) + 256;
            b->data = realloc(b->data, b->room);
            if (b->data == NULL)
                abort();
        }
    }
    if (n != 0)
        memcpy(b->data + b->head + b->len, data, n);
    b->len += n;
}

void sim_bytes_skip(struct sim_bytes *b, size_t n) {
    b->head += n;
    b->len -= n;
    if (b->len == 0)
        b->head = 0;
}

void sim_bytes_free(struct sim_bytes *b) {
    free(b->data);
    *b = (struct sim_bytes){0};
}

uint8_t sim_pattern(uint32_t writer, uint32_t number, uint32_t at) {
    uint32_t x = writer * 0x9e3779b1u ^ number * 0x85ebca77u ^ at * 0xc2b2ae3du;
    return (uint8_t)(x >> 13 ^ x >> 24);
}

/* --- writing --- */

static void put_u8(struct sim_bytes *b, uint8_t v) {
    sim_bytes_put(b, &v, 1);
}

static void put_u16(struct sim_bytes *b, uint32_t v) {
    put_u8(b, (uint8_t)(v >> 8));
    put_u8(b, (uint8_t)v);
}

static void put_string(struct sim_bytes *b, const char *s) {
    put_u16(b, (uint32_t)strlen(s));
    sim_bytes_put(b, s, strlen(s));
}

static void put_header(struct sim_bytes *b, uint8_t first, uint32_t left) {
    put_u8(b, first);
    do {
        put_u8(b, (uint8_t)((left & 0x7f) | (left > 0x7f ? 0x80 : 0)));
        left >>= 7;
    } while (left != 0);
}

void sim_mqtt_connect(struct sim_bytes *b, uint8_t level, const char *id) {
    put_header(b, 0x10, (uint32_t)(6 + 1 + 1 + 2 + (level == 5) + 2 + strlen(id)));
    put_string(b, "MQTT");
    put_u8(b, level);
    put_u8(b, 2); /* clean */
    put_u16(b, 60);
    if (level == 5)
        put_u8(b, 0);
    put_string(b, id);
}

void sim_mqtt_publish(struct sim_bytes *b, uint8_t level, uint8_t qos, uint16_t packet_id, uint32_t writer,
                      uint32_t number, uint32_t len) {
    put_header(b, (uint8_t)(0x30 | qos << 1), 2 + 3 + (qos ? 2u : 0) + (level == 5) + len);
    put_string(b, "a/b");
    if (qos)
        put_u16(b, packet_id);
    if (level == 5)
        put_u8(b, 0);
    for (uint32_t i = 0; i < len; i++)
        put_u8(b, sim_pattern(writer, number, i));
}

void sim_mqtt_short(struct sim_bytes *b, uint8_t type, const void *body, uint8_t n) {
    put_header(b, type, n);
    sim_bytes_put(b, body, n);
}

void sim_mqtt_subscribe(struct sim_bytes *b, uint8_t level) {
    put_header(b, 0x82, 2 + (level == 5) + 2 + 3 + 1);
    put_u16(b, 0xfff0);
    if (level == 5)
        put_u8(b, 0);
    put_string(b, "a/b");
    put_u8(b, 0);
}

/* --- reading --- */

int sim_mqtt_next(const struct sim_bytes *b, struct sim_packet *p) {
    const uint8_t *d = sim_bytes_at(b);
    uint32_t left = 0, at = 1;
    for (unsigned shift = 0;; shift += 7) {
        if (at >= b->len)
            return 0;
        left |= (uint32_t)(d[at] & 0x7f) << shift;
        if (!(d[at++] & 0x80))
            break;
        if (shift == 21)
            return -1;
    }
    if (b->len < at + left)
        return 0;
    *p = (struct sim_packet){.type = d[0] >> 4, .flags = d[0] & 15, .body = d + at, .body_len = left};
    return (int)(at + left);
}

bool sim_mqtt_payload(const struct sim_packet *p, uint8_t level, uint32_t writer, uint32_t number,
                      uint16_t *packet_id) {
    uint32_t at = 5;
    if (p->body_len < at + (p->flags & 6 ? 2 : 0) + (level == 5) || memcmp(p->body, "\0\3a/b", 5) != 0)
        return false;
    if (p->flags & 6) {
        *packet_id = (uint16_t)(p->body[at] << 8 | p->body[at + 1]);
        at += 2;
    }
    at += level == 5;
    for (uint32_t i = 0; at + i < p->body_len; i++)
        if (p->body[at + i] != sim_pattern(writer, number, i))
            return false;
    return true;
}
