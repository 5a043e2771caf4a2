/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets for the tests of lib/mqtt: a CONNECT from its parts, and bytes cut into a rope of pieces. */
#ifndef WEIR_TEST_PACKETS_H
#define WEIR_TEST_PACKETS_H

#include "mqtt/mqtt.h"

#include <string.h>

/* A literal with its length, NULs inside allowed. */
#define BYTES(literal) (const uint8_t *)(literal), (uint32_t)(sizeof(literal) - 1)

struct packet {
    uint8_t data[70000];
    uint32_t len;
};

static inline void packet_add(struct packet *p, const void *data, size_t n) {
    if (n > 0)
        memcpy(p->data + p->len, data, n);
    p->len += (uint32_t)n;
}

/* Fixed header of `first` in front of the body collected so far. */
static inline void packet_close(struct packet *p, uint8_t first) {
    uint8_t head[5] = {first};
    uint32_t n = 1, rest = p->len;

    do {
        head[n] = rest & 0x7f;
        rest >>= 7;
        head[n++] |= rest ? 0x80 : 0;
    } while (rest);
    memmove(p->data + n, p->data, p->len);
    memcpy(p->data, head, n);
    p->len += n;
}

/* CONNECT: name and level by `level`, flags, keep-alive 60, and all that follows as given. */
static inline void packet_connect(struct packet *p, uint8_t level, uint8_t flags, const uint8_t *rest, uint32_t len) {
    p->len = 0;
    if (level == 3)
        packet_add(p, "\0\6MQIsdp", 8);
    else
        packet_add(p, "\0\4MQTT", 6);
    packet_add(p, &level, 1);
    packet_add(p, &flags, 1);
    packet_add(p, "\0\x3c", 2);
    packet_add(p, rest, len);
    packet_close(p, 0x10);
}

/* A rope over bytes that stay where they are, in pieces of `step`; read only. */
struct pieces {
    struct rte_mbuf mbufs[64];
    struct rope rope;
};

static inline const struct rope *pieces_of(struct pieces *p, const uint8_t *data, uint32_t len, uint32_t step) {
    memset(p, 0, sizeof(*p));
    for (uint32_t at = 0; at < len; at += step) {
        struct rte_mbuf *m = &p->mbufs[p->rope.mbufs];
        m->buf_addr = (void *)(uintptr_t)(data + at);
        m->data_len = (uint16_t)weir_min_u32(step, len - at);
        rope_link(&p->rope, m);
    }
    return &p->rope;
}

#endif
