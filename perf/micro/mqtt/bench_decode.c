/* SPDX-License-Identifier: BSD-3-Clause */
/* Cycles to decode a CONNECT, and to walk a direction's packets. Prints "name  min  median" in cycles an operation. */
#include "mqtt/mqtt.h"

#include <rte_cycles.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPETITIONS = 201, OPS = 1000 };

struct input {
    const uint8_t *data;
    uint32_t len;
    uint32_t packets; /* operations in one pass over it */
};

static const uint8_t connect_311[] = "\x10\x2b\0\4MQTT\4\xc2\0\x3c\0\x0fmosq-7f3a9c21be\0\4user\0\x08password";
static const uint8_t connect_50[] =
    "\x10\x43\0\4MQTT\5\xc2\0\x3c\x17\x11\0\0\x0e\x10\x21\0\x14\x27\0\1\0\0\x22\0\x0a\x26\0\1"
    "k\0\1v\0\x0fmosq-7f3a9c21be\0\4user\0\x08password";

static volatile int sink;

static void decode_connect(const struct input *in) {
    struct mqtt_connect c;

    sink = mqtt_connect_decode(in->data, in->len, &c);
    if (sink != 0)
        abort();
}

static void feed_stream(const struct input *in) {
    struct mqtt_stream s;
    struct mqtt_seen seen = {0};

    mqtt_stream_init(&s, MQTT_FROM_CLIENT, 4);
    sink = mqtt_stream_feed(&s, MQTT_FROM_CLIENT, NULL, in->data, in->len, &seen);
    if (sink != 0 || seen.packets != in->packets)
        abort();
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const char *name, void (*op)(const struct input *), const struct input *in) {
    double cycles[REPETITIONS];

    for (int r = 0; r < REPETITIONS; r++) {
        uint64_t from = rte_rdtsc_precise();
        for (int i = 0; i < OPS; i++)
            op(in);
        cycles[r] = (double)(rte_rdtsc_precise() - from) / OPS / in->packets;
    }
    qsort(cycles, REPETITIONS, sizeof(cycles[0]), by_size);
    printf("%-28s %8.1f %8.1f\n", name, cycles[0], cycles[REPETITIONS / 2]);
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
    struct input small = publishes(buf, 16, 64);

    printf("%-28s %8s %8s  cycles\n", "mqtt", "min", "median");
    measure("connect_decode_3.1.1", decode_connect, &c4);
    measure("connect_decode_5.0", decode_connect, &c5);
    measure("publish_header_64B", feed_stream, &small);
    struct input large = publishes(buf, 16, 1024);
    measure("publish_header_1024B", feed_stream, &large);
    return 0;
}
