/* SPDX-License-Identifier: BSD-3-Clause */
/* MQTT 5 properties (2.2.2) of CONNECT and of its will: which may stand where, of what type, how often. Those of later
 * packets are the server's business. */
#include "mqtt_int.h"

enum where { CONNECT = 1, WILL = 2 };
enum type { BOOL, U16, U32, STRING, PAIR, BINARY };
enum { ONCE, MANY };

enum id {
    PAYLOAD_FORMAT = 0x01,
    MESSAGE_EXPIRY = 0x02,
    CONTENT_TYPE = 0x03,
    RESPONSE_TOPIC = 0x08,
    CORRELATION_DATA = 0x09,
    SESSION_EXPIRY = 0x11,
    AUTH_METHOD = 0x15,
    AUTH_DATA = 0x16,
    REQUEST_PROBLEM = 0x17,
    WILL_DELAY = 0x18,
    REQUEST_RESPONSE = 0x19,
    RECEIVE_MAXIMUM = 0x21,
    TOPIC_ALIAS_MAXIMUM = 0x22,
    USER_PROPERTY = 0x26,
    MAXIMUM_PACKET = 0x27,
    ID_COUNT
};
static_assert(ID_COUNT <= 64, "ids seen are bits of one word");

/* 2.2.2.2. Identifiers not listed are unknown, or of other packets: malformed either way. */
static const struct {
    uint8_t where, type, often;
} properties[ID_COUNT] = {
    [PAYLOAD_FORMAT] = {WILL, BOOL, ONCE},        [MESSAGE_EXPIRY] = {WILL, U32, ONCE},
    [CONTENT_TYPE] = {WILL, STRING, ONCE},        [RESPONSE_TOPIC] = {WILL, STRING, ONCE},
    [CORRELATION_DATA] = {WILL, BINARY, ONCE},    [SESSION_EXPIRY] = {CONNECT, U32, ONCE},
    [AUTH_METHOD] = {CONNECT, STRING, ONCE},      [AUTH_DATA] = {CONNECT, BINARY, ONCE},
    [REQUEST_PROBLEM] = {CONNECT, BOOL, ONCE},    [WILL_DELAY] = {WILL, U32, ONCE},
    [REQUEST_RESPONSE] = {CONNECT, BOOL, ONCE},   [RECEIVE_MAXIMUM] = {CONNECT, U16, ONCE},
    [TOPIC_ALIAS_MAXIMUM] = {CONNECT, U16, ONCE}, [USER_PROPERTY] = {CONNECT | WILL, PAIR, MANY},
    [MAXIMUM_PACKET] = {CONNECT, U32, ONCE},
};

/* One property's value: a number, or a string or binary. A read past the end shows in s->failed. */
struct value {
    uint32_t number;
    struct mqtt_str str;
};

static int read_string(struct span *s, struct mqtt_str *out) {
    if (!mqtt_read_binary(s, out))
        return -MQTT_DROP_PROPERTY;
    return mqtt_utf8_valid(out->data, out->len) ? 0 : -MQTT_DROP_UTF8;
}

static int read_value(struct span *s, enum type type, struct value *v) {
    int rc = 0;

    switch (type) {
    case BOOL:
        v->number = span_u8(s);
        if (v->number > 1)
            rc = -MQTT_DROP_PROPERTY_VALUE;
        break;
    case U16:
        v->number = span_u16(s);
        break;
    case U32:
        v->number = span_u32(s);
        break;
    case STRING:
        rc = read_string(s, &v->str);
        break;
    case PAIR:
        rc = read_string(s, &v->str);
        if (rc == 0)
            rc = read_string(s, &v->str);
        break;
    case BINARY:
        mqtt_read_binary(s, &v->str);
        break;
    }
    return s->failed ? -MQTT_DROP_PROPERTY : rc;
}

/* What a value must be beyond its type, and where the balancer keeps it. `out` is NULL for a will. */
static int take_value(enum id id, const struct value *v, struct mqtt_connect *out) {
    switch (id) {
    case RECEIVE_MAXIMUM: /* 3.1.2.11.3: 0 is a protocol error */
        out->receive_maximum = (uint16_t)v->number;
        return v->number ? 0 : -MQTT_DROP_PROPERTY_VALUE;
    case MAXIMUM_PACKET: /* 3.1.2.11.4: so is it here */
        out->maximum_packet_bytes = v->number;
        return v->number ? 0 : -MQTT_DROP_PROPERTY_VALUE;
    case SESSION_EXPIRY:
        out->session_expiry_s = v->number;
        return 0;
    case TOPIC_ALIAS_MAXIMUM:
        out->topic_alias_maximum = (uint16_t)v->number;
        return 0;
    case RESPONSE_TOPIC: /* [MQTT-3.3.2-14] */
        return mqtt_topic_name_valid(v->str.data, v->str.len) ? 0 : -MQTT_DROP_WILL_TOPIC;
    default:
        return 0;
    }
}

/* Read the length and all properties behind it. `seen` (out): a bit an identifier. */
static int read_properties(struct span *s, enum where where, struct mqtt_connect *out, uint64_t *seen) {
    uint32_t len = 0;
    int n = mqtt_varint(s->cur, span_left(s), &len);

    if (n < 0)
        return n == WEIR_MORE ? -MQTT_DROP_CONNECT_SHORT : -MQTT_DROP_LENGTH_ENCODING;
    if (mqtt_varint_padded(s->cur, n))
        return -MQTT_DROP_LENGTH_ENCODING;
    span_skip(s, (size_t)n);
    struct span props = span_sub(s, len);
    if (props.failed)
        return -MQTT_DROP_CONNECT_SHORT;
    *seen = 0;
    while (span_left(&props) > 0) {
        uint8_t id = span_u8(&props); /* a varint, but every identifier there is takes one byte */
        struct value v = {0};

        if (id >= ID_COUNT || !(properties[id].where & where))
            return -MQTT_DROP_PROPERTY;
        if (properties[id].often == ONCE && *seen >> id & 1)
            return -MQTT_DROP_PROPERTY_TWICE;
        *seen |= UINT64_C(1) << id;
        int rc = read_value(&props, properties[id].type, &v);
        if (rc == 0)
            rc = take_value(id, &v, out);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int mqtt_props_connect(struct span *s, struct mqtt_connect *out) {
    uint64_t seen = 0;
    int rc = read_properties(s, CONNECT, out, &seen);

    if (rc == 0 && (seen >> AUTH_DATA & 1) && !(seen >> AUTH_METHOD & 1)) /* 3.1.2.11.10 */
        return -MQTT_DROP_PROPERTY_VALUE;
    return rc;
}

int mqtt_props_will(struct span *s) {
    uint64_t seen;

    return read_properties(s, WILL, NULL, &seen);
}
