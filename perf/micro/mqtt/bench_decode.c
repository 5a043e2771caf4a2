/* SPDX-License-Identifier: BSD-3-Clause */
/* Decoding a CONNECT, and walking a direction's packets by their headers. */
#include "mqtt/mqtt.h"

#include "bench.h"

enum { ROUNDS = 256 };

struct input {
    const uint8_t *data;
    uint32_t len;
    uint32_t packets; /* in one pass over it */
};

static const uint8_t connect_311[] = "\x10\x2b\0\4MQTT\4\xc2\0\x3c\0\x0fmosq-7f3a9c21be\0\4user\0\x08password";
static const uint8_t connect_50[] =
    "\x10\x43\0\4MQTT\5\xc2\0\x3c\x17\x11\0\0\x0e\x10\x21\0\x14\x27\0\1\0\0\x22\0\x0a\x26\0\1"
    "k\0\1v\0\x0fmosq-7f3a9c21be\0\4user\0\x08password";

static void decode_connect(void *ctx, uint32_t rounds) {
    const struct input *in = ctx;
    struct mqtt_connect c;

    for (uint32_t i = 0; i < rounds; i++)
        if (mqtt_connect_decode(in->data, in->len, &c) != 0)
            abort();
}

static void feed_stream(void *ctx, uint32_t rounds) {
    const struct input *in = ctx;

    for (uint32_t i = 0; i < rounds; i++) {
        struct mqtt_stream s;
        struct mqtt_seen seen = {0};
        mqtt_stream_init(&s, MQTT_FROM_CLIENT, 4);
        if (mqtt_stream_feed(&s, MQTT_FROM_CLIENT, NULL, in->data, in->len, &seen) != 0 || seen.packets != in->packets)
            abort();
    }
}

/* `n` QoS 0 PUBLISHes of `body` bytes in one run, as a worker finds them in its receive rope. */
static struct input publishes(uint8_t *buf, uint32_t n, uint32_t body) {
    struct input in = {buf, 0, n};

    for (uint32_t i = 0; i < n; i++) {
        buf[in.len++] = MQTT_PUBLISH << 4;
        if (body >= 128) {
            buf[in.len++] = (uint8_t)(body | 0x80);
            buf[in.len++] = (uint8_t)(body >> 7);
        } else {
            buf[in.len++] = (uint8_t)body;
        }
        memset(buf + in.len, 'x', body);
        in.len += body;
    }
    return in;
}

int main(void) {
    static uint8_t buf[65536];
    struct input c4 = {connect_311, sizeof(connect_311) - 1, 1}, c5 = {connect_50, sizeof(connect_50) - 1, 1};

    bench_run("mqtt_connect_decode 3.1.1", 1, ROUNDS, decode_connect, NULL, &c4);
    bench_run("mqtt_connect_decode 5.0", 1, ROUNDS, decode_connect, NULL, &c5);
    struct input one = publishes(buf, 1, 64);
    bench_run("mqtt_stream_feed 64 B, one packet", 1, ROUNDS, feed_stream, NULL, &one);
    struct input small = publishes(buf, 16, 64);
    bench_run("mqtt_stream_feed 64 B, 16 packets", 16, ROUNDS, feed_stream, NULL, &small);
    struct input large = publishes(buf, 16, 1024);
    bench_run("mqtt_stream_feed 1024 B, 16 packets", 16, ROUNDS, feed_stream, NULL, &large);
    return 0;
}
