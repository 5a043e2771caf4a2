/* SPDX-License-Identifier: BSD-3-Clause */
/* Any bytes behind CONNECT, both ways: first byte of the input is the level, direction and size of pieces. Fed whole,
 * in pieces and as a rope, the outcome must be the same, and what passed must be what a walk over the packets finds. */
#include "mqtt/mqtt.h"

#include <stdlib.h>
#include <string.h>

struct outcome {
    int rc;
    struct mqtt_stream s;
    struct mqtt_seen seen;
};

static struct outcome start(enum mqtt_from from, uint8_t level) {
    struct outcome o = {.seen = {.connack_code = 0xff}};
    mqtt_stream_init(&o.s, from, level);
    return o;
}

static void same(const struct outcome *a, const struct outcome *b) {
    assert(a->rc == b->rc);
    assert(memcmp(&a->s, &b->s, sizeof(a->s)) == 0);
    assert(memcmp(&a->seen, &b->seen, sizeof(a->seen)) == 0);
}

/* A rope of pieces; the bytes of each in a block of their own, whose end the sanitizer sees. */
static struct outcome by_rope(enum mqtt_from from, uint8_t level, const struct mqtt_limits *limits, const uint8_t *data,
                              uint32_t len, uint32_t step) {
    struct outcome o = start(from, level);
    struct rope r = {0};
    struct rte_mbuf *mbufs = calloc(len / step + 1, sizeof(*mbufs));

    for (uint32_t at = 0; at < len; at += step) {
        struct rte_mbuf *m = &mbufs[r.mbufs];
        m->data_len = (uint16_t)weir_min_u32(step, len - at);
        m->buf_addr = malloc(m->data_len);
        memcpy(m->buf_addr, data + at, m->data_len);
        rope_link(&r, m);
    }
    o.rc = mqtt_stream_feed_rope(&o.s, from, limits, &r, 0, &o.seen);
    for (uint32_t i = 0; i < r.mbufs; i++)
        free(mbufs[i].buf_addr);
    free(mbufs);
    return o;
}

/* The plain walk: where packets begin, for bytes that were taken. */
static void check_walk(const struct outcome *o, const uint8_t *data, uint32_t len) {
    uint32_t packets = 0, at = 0, disconnects = 0;

    while (at < len) {
        uint32_t remaining = 0, n = 1;
        do {
            if (at + n >= len)
                goto end;
            assert(n <= 4);
            remaining |= (uint32_t)(data[at + n] & 0x7f) << (7 * (n - 1));
        } while (data[at + n++] & 0x80);
        assert(data[at] >> 4 != 0 && data[at] >> 4 != MQTT_CONNECT && disconnects == 0);
        packets++;
        disconnects += data[at] >> 4 == MQTT_DISCONNECT;
        if (remaining > len - at - n) {
            assert(o->s.left_bytes == remaining - (len - at - n));
            at = len;
            break;
        }
        at += n + remaining;
    }
end:
    assert(o->seen.packets == packets && o->seen.disconnect == (disconnects > 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1 || size > 8192)
        return 0;
    uint8_t level = (uint8_t)(3 + data[0] % 3);
    enum mqtt_from from = data[0] & 4 ? MQTT_FROM_SERVER : MQTT_FROM_CLIENT;
    struct mqtt_limits limits = {.max_packet_bytes = data[0] & 8 ? 64 : 0};
    uint32_t step = 1u + (data[0] >> 4), len = (uint32_t)size - 1;
    struct outcome whole = start(from, level), pieces = whole;

    whole.rc = mqtt_stream_feed(&whole.s, from, &limits, data + 1, len, &whole.seen);
    assert(whole.rc <= 0 && whole.rc > -MQTT_DROP_COUNT);
    for (uint32_t at = 0; at < len && pieces.rc == 0; at += step)
        pieces.rc =
            mqtt_stream_feed(&pieces.s, from, &limits, data + 1 + at, weir_min_u32(step, len - at), &pieces.seen);
    same(&whole, &pieces);
    struct outcome rope = by_rope(from, level, &limits, data + 1, len, step);
    same(&whole, &rope);
    if (whole.rc == 0)
        check_walk(&whole, data + 1, len);
    return 0;
}
