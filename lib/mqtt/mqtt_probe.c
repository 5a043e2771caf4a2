/* SPDX-License-Identifier: BSD-3-Clause */
/* A health check's own packets, in 3.1.1, which every broker speaks. */
#include "mqtt_int.h"

#include <string.h>

#define PROBE_KEEP_ALIVE_S 30u /* the server ends a probe we lose track of after 1.5 times this (3.1.2.10) */
#define FLAG_CLEAN_SESSION 0x02

uint32_t mqtt_probe_connect(const char *client_id, uint8_t *buf, uint32_t capacity) {
    struct span_writer w = span_writer_of(buf, capacity);
    size_t id_bytes = strlen(client_id);

    if (id_bytes > 127 - 12) /* so that the remaining length takes one byte */
        return 0;
    span_put_u8(&w, MQTT_CONNECT << 4);
    span_put_u8(&w, (uint8_t)(12 + id_bytes));
    span_put_u16(&w, 4);
    span_put_bytes(&w, "MQTT", 4);
    span_put_u8(&w, 4);
    span_put_u8(&w, FLAG_CLEAN_SESSION);
    span_put_u16(&w, PROBE_KEEP_ALIVE_S);
    span_put_u16(&w, (uint16_t)id_bytes);
    span_put_bytes(&w, client_id, id_bytes);
    return w.failed ? 0 : (uint32_t)span_written(&w);
}

int mqtt_probe_connack(const uint8_t *data, uint32_t len) {
    static const uint8_t head[] = {MQTT_CONNACK << 4, 2, 0}; /* a clean session is never present [MQTT-3.2.2-1] */

    if (memcmp(data, head, weir_min_u32(len, sizeof(head))) != 0)
        return WEIR_EINVAL;
    return len < 4 ? WEIR_MORE : data[3];
}

uint32_t mqtt_probe_disconnect(uint8_t *buf, uint32_t capacity) {
    if (capacity < 2)
        return 0;
    buf[0] = MQTT_DISCONNECT << 4;
    buf[1] = 0;
    return 2;
}
