/* SPDX-License-Identifier: BSD-3-Clause */
/* Seams between the files of lib/mqtt; nobody else includes this. Functions return 0 or minus an enum mqtt_drop. */
#ifndef WEIR_MQTT_INT_H
#define WEIR_MQTT_INT_H

#include "mqtt.h"

#define MQTT_VARINT_MAX_BYTES 4u
#define MQTT_REMAINING_MAX    268435455u /* 5.0 1.5.5: what 4 bytes can say */

/* Variable byte integer (5.0 1.5.5; 3.1.1 2.2.3) at `p`. Returns its size of 1 to 4 bytes, WEIR_MORE where the bytes
 * end before it, or WEIR_EINVAL where a fifth byte would follow. */
static inline int mqtt_varint(const uint8_t *p, size_t len, uint32_t *value) {
    uint32_t v = 0;

    for (uint32_t i = 0; i < MQTT_VARINT_MAX_BYTES; i++) {
        if (i >= len)
            return WEIR_MORE;
        v |= (uint32_t)(p[i] & 0x7f) << (7 * i);
        if ((p[i] & 0x80) == 0) {
            *value = v;
            return (int)i + 1;
        }
    }
    return WEIR_EINVAL;
}

/* Was a value put in more bytes than it needs? 5.0 forbids it [MQTT-1.5.5-1], 3.1.1 does not. */
static inline bool mqtt_varint_padded(const uint8_t *p, int bytes) {
    return bytes > 1 && p[bytes - 1] == 0;
}

/* Size a varint of this value takes. */
static inline uint32_t mqtt_varint_bytes(uint32_t value) {
    return value < 128 ? 1 : value < 16384 ? 2 : value < 2097152 ? 3 : 4;
}

/* Two-byte length and the bytes behind it (1.5.6 binary data). False: they reach beyond the end (and `s` has failed).
 */
static inline bool mqtt_read_binary(struct span *s, struct mqtt_str *out) {
    out->len = span_u16(s);
    out->data = span_bytes(s, out->len);
    return !s->failed;
}

/* --- mqtt_utf8.c --- */
/* Well-formed UTF-8 (RFC 3629: no overlong form, no surrogate, nothing above U+10FFFF) without U+0000? [MQTT-1.5.4-1,
 * -2] */
bool mqtt_utf8_valid(const uint8_t *data, uint32_t len);
/* Characters (code points) of a valid string. */
uint32_t mqtt_utf8_chars(const uint8_t *data, uint32_t len);
/* May it stand where a topic name stands: one character at least, no + and no #? (4.7.1, 4.7.3) */
bool mqtt_topic_name_valid(const uint8_t *data, uint32_t len);

/* --- mqtt_props.c --- */
/* Read the property length and the properties of CONNECT (3.1.2.11), filling `out`. */
int mqtt_props_connect(struct span *s, struct mqtt_connect *out);
/* Read the will properties of CONNECT's payload (3.1.3.2). */
int mqtt_props_will(struct span *s);

#endif
