/* SPDX-License-Identifier: BSD-3-Clause */
/* Any bytes as the start of a connection. mqtt_connect_size must say the same whatever pieces they come in, and the
 * decoder must take no more than it was given. What is taken has its strings inside the packet, one behind the other;
 * what is refused has an answer that fits. */
#include "mqtt/mqtt.h"

#include <stdlib.h>
#include <string.h>

/* mqtt_connect_size over the first n bytes in one mbuf. */
static int size_of(const uint8_t *data, uint32_t n, uint8_t *level) {
    struct rte_mbuf m = {.buf_addr = (void *)(uintptr_t)data, .data_len = (uint16_t)n};
    struct rope r = {n ? &m : NULL, n ? &m : NULL, n, n ? 1 : 0};

    return mqtt_connect_size(&r, NULL, level);
}

static void check_answers(uint8_t level, int rc) {
    uint8_t *answer = malloc(8);

    assert(rc > -MQTT_DROP_COUNT);
    assert(mqtt_refuse_connect(level, (enum mqtt_drop) - rc, answer) <= 8);
    assert(mqtt_refuse_stream(level, (enum mqtt_drop) - rc, answer) <= 8);
    free(answer);
}

static const uint8_t *check_str(const struct mqtt_str *s, bool present, const uint8_t *from, const uint8_t *end) {
    assert((s->data != NULL) == present);
    if (!present)
        return from;
    assert(s->data >= from + 2 && s->data + s->len <= end);
    return s->data + s->len;
}

static void check_taken(const struct mqtt_connect *c, const uint8_t *data, uint32_t len) {
    const uint8_t *at = data, *end = data + len;

    assert(c->packet_bytes == len && c->level >= 3 && c->level <= 5 && c->will_qos <= 2 && c->receive_maximum > 0);
    at = check_str(&c->client_id, true, at, end);
    at = check_str(&c->will_topic, c->has_will, at, end);
    at = check_str(&c->will_payload, c->has_will, at, end);
    at = check_str(&c->username, c->has_username, at, end);
    at = check_str(&c->password, c->has_password, at, end);
    assert(at == end);
    for (uint32_t i = 0; i < c->client_id.len; i++)
        assert(c->client_id.data[i] != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint32_t n = 0, have = (uint32_t)(size > 60000 ? 60000 : size);
    struct mqtt_connect c;
    uint8_t level;
    int packet = WEIR_MORE;

    /* Byte by byte, until it is known what comes. */
    while (packet == WEIR_MORE && n < have)
        packet = size_of(data, ++n, &level);
    if (packet == WEIR_MORE)
        return 0;
    if (packet < 0)
        check_answers(level, packet);
    for (; n < have && n < 20; n++) { /* once refused, always refused; a size never changes */
        int later = size_of(data, n, &level);
        assert(later < 0 ? later != WEIR_MORE : later == packet);
        if (later < 0)
            packet = later;
    }

    uint32_t len = packet > 0 ? weir_min_u32((uint32_t)packet, have) : have;
    uint8_t *copy = malloc(len ? len : 1); /* so that the sanitizer sees its end */
    memcpy(copy, data, len);
    int rc = mqtt_connect_decode(copy, len, &c);
    assert(rc <= 0 && rc > -MQTT_DROP_COUNT && rc != WEIR_MORE);
    if (rc == 0) {
        assert(packet == (int)len);
        check_taken(&c, copy, len);
    } else {
        check_answers(c.level, rc);
    }
    free(copy);
    return 0;
}
