/* SPDX-License-Identifier: BSD-3-Clause */
/* CONNECT (3.1): fixed header, protocol name and level as they trickle in; the rest once it is whole. */
#include "mqtt_int.h"

#include <string.h>

#define CONNECT_DEFAULT_BYTES 65536u
#define HEAD_BYTES            14u /* 5 of fixed header, 8 of MQIsdp with its length, 1 of level */

static_assert(WEIR_MORE == -MQTT_DROP_CONNECT_TIMEOUT, "WEIR_MORE must not look like a drop that is returned here");

enum flag {
    FLAG_RESERVED = 0x01,
    FLAG_CLEAN = 0x02,
    FLAG_WILL = 0x04,
    FLAG_WILL_QOS = 0x18,
    FLAG_WILL_RETAIN = 0x20,
    FLAG_PASSWORD = 0x40,
    FLAG_USERNAME = 0x80,
};

/* What the first bytes say. Fields stay 0 until they are there. */
struct head {
    uint32_t packet_bytes;  /* whole */
    uint32_t variable_from; /* offset of what follows the level */
    uint8_t answer_level;   /* 3, 4 or 5: how a refusal is written */
};

static const struct protocol {
    const char *name; /* with its length, as on the wire */
    uint8_t name_bytes, first_level, last_level;
} protocols[] = {
    {"\0\4MQTT", 6, 4, 5},
    {"\0\6MQIsdp", 8, 3, 3},
};

/* The protocol whose name these bytes are, or begin (n < its size). NULL: none. */
static const struct protocol *protocol_of(const uint8_t *p, uint32_t n) {
    for (const struct protocol *it = protocols; it < protocols + WEIR_ARRAY_LEN(protocols); it++)
        if (memcmp(p, it->name, weir_min_u32(n, it->name_bytes)) == 0)
            return it;
    return NULL;
}

/* Who asks for a level we do not know is answered as 3.1.1 wants it below 5, as 5.0 wants it from there on. Mosquitto's
 * bridges set the top bit to try a private dialect, and come back without it when 3.1.1 refuses. */
static uint8_t answer_level_of(uint8_t level) {
    return (level & 0x7f) < 5 ? 4 : 5;
}

/* Protocol name and level at `p`. */
static int read_protocol(const uint8_t *p, uint32_t n, uint32_t offset, struct head *h) {
    const struct protocol *protocol = protocol_of(p, n);

    if (protocol == NULL)
        return -MQTT_DROP_PROTOCOL_NAME;
    if (n <= protocol->name_bytes)
        return WEIR_MORE;
    uint8_t level = p[protocol->name_bytes];
    if (level < protocol->first_level || level > protocol->last_level) {
        h->answer_level = answer_level_of(level);
        return -MQTT_DROP_PROTOCOL_LEVEL;
    }
    h->answer_level = level;
    h->variable_from = offset + protocol->name_bytes + 1u;
    return 0;
}

/* Read what there is of the head in the first n bytes of the packet. Returns 0 where all of it is there and right,
 * WEIR_MORE (h->packet_bytes may be known), or minus a drop. */
static int read_head(const uint8_t *p, uint32_t n, uint32_t max_bytes, struct head *h) {
    uint32_t remaining = 0;

    *h = (struct head){0};
    if (n == 0)
        return WEIR_MORE;
    if (p[0] >> 4 != MQTT_CONNECT)
        return -MQTT_DROP_NOT_CONNECT;
    if (p[0] & 0x0f)
        return -MQTT_DROP_FLAGS;
    int bytes = mqtt_varint(p + 1, n - 1, &remaining);
    if (bytes < 0)
        return bytes == WEIR_MORE ? WEIR_MORE : -MQTT_DROP_LENGTH_ENCODING;
    uint32_t fixed = 1u + (uint32_t)bytes;
    h->packet_bytes = fixed + remaining;

    int rc = read_protocol(p + fixed, n - fixed, fixed, h);
    if (rc < 0 && rc != WEIR_MORE)
        return rc;
    if (h->packet_bytes > max_bytes)
        return -MQTT_DROP_CONNECT_TOO_BIG;
    if (rc == 0 && h->answer_level == 5 && mqtt_varint_padded(p + 1, bytes))
        return -MQTT_DROP_LENGTH_ENCODING;
    /* Least there can be: name, level, flags, keep-alive; property length in 5.0; length of the client identifier. */
    uint32_t least = rc == 0 ? h->variable_from - fixed + (h->answer_level == 5 ? 6 : 5) : 12;
    return remaining < least ? -MQTT_DROP_CONNECT_SHORT : rc;
}

int mqtt_connect_size(const struct rope *r, const struct mqtt_limits *limits, uint8_t *level) {
    uint8_t scratch[HEAD_BYTES];
    uint32_t n = weir_min_u32(r->len_bytes, HEAD_BYTES);
    uint32_t max = limits && limits->max_connect_bytes ? limits->max_connect_bytes : CONNECT_DEFAULT_BYTES;
    struct head h;

    int rc = read_head(n ? rope_peek(r, 0, n, scratch) : scratch, n, max, &h);
    *level = h.answer_level;
    if (rc == 0 || (rc == WEIR_MORE && h.packet_bytes > 0))
        return (int)h.packet_bytes;
    return rc;
}

static int read_string(struct span *s, struct mqtt_str *out) {
    if (!mqtt_read_binary(s, out))
        return -MQTT_DROP_CONNECT_SHORT;
    return mqtt_utf8_valid(out->data, out->len) ? 0 : -MQTT_DROP_UTF8;
}

/* CONNECT flags (3.1.2.3 to 3.1.2.9). What 3.1 calls unused is not looked at there. */
static int take_flags(uint8_t flags, struct mqtt_connect *out) {
    out->clean_start = flags & FLAG_CLEAN;
    out->has_will = flags & FLAG_WILL;
    out->has_username = flags & FLAG_USERNAME;
    out->has_password = flags & FLAG_PASSWORD;
    if (out->level >= 4 && (flags & FLAG_RESERVED))
        return -MQTT_DROP_RESERVED_FLAG;
    if (out->has_will) {
        out->will_qos = (flags & FLAG_WILL_QOS) >> 3;
        out->will_retain = flags & FLAG_WILL_RETAIN;
        if (out->will_qos == 3)
            return -MQTT_DROP_WILL_FLAGS;
    } else if (out->level >= 4 && (flags & (FLAG_WILL_QOS | FLAG_WILL_RETAIN))) {
        return -MQTT_DROP_WILL_FLAGS;
    }
    if (out->level < 5 && out->has_password && !out->has_username) /* [MQTT-3.1.2-22]; 5.0 allows it */
        return -MQTT_DROP_PASSWORD_FLAG;
    return 0;
}

/* Client identifier (3.1.3.1): 3.1 wants 1 to 23 characters; 3.1.1 a clean session with an empty one [MQTT-3.1.3-8];
 * with 5.0 the server assigns one. */
static int check_client_id(const struct mqtt_connect *c) {
    if (c->level == 3) {
        uint32_t chars = mqtt_utf8_chars(c->client_id.data, c->client_id.len);
        return chars >= 1 && chars <= 23 ? 0 : -MQTT_DROP_CLIENT_ID;
    }
    if (c->level == 4 && c->client_id.len == 0 && !c->clean_start)
        return -MQTT_DROP_CLIENT_ID;
    return 0;
}

static int read_will(struct span *s, struct mqtt_connect *out) {
    int rc = out->level == 5 ? mqtt_props_will(s) : 0;

    if (rc == 0)
        rc = read_string(s, &out->will_topic);
    if (rc < 0)
        return rc;
    if (!mqtt_topic_name_valid(out->will_topic.data, out->will_topic.len))
        return -MQTT_DROP_WILL_TOPIC;
    return mqtt_read_binary(s, &out->will_payload) ? 0 : -MQTT_DROP_CONNECT_SHORT;
}

/* User name and password. In 3.1 the remaining length goes before the flags: a string announced may be missing. */
static int read_credentials(struct span *s, struct mqtt_connect *out) {
    if (out->level == 3 && span_left(s) == 0)
        out->has_username = false;
    if (out->has_username) {
        int rc = read_string(s, &out->username);
        if (rc < 0)
            return rc;
    }
    if (out->level == 3 && span_left(s) == 0)
        out->has_password = false;
    if (out->has_password && !mqtt_read_binary(s, &out->password))
        return -MQTT_DROP_CONNECT_SHORT;
    return 0;
}

int mqtt_connect_decode(const uint8_t *data, uint32_t len, struct mqtt_connect *out) {
    struct span s = span_of(data, len);
    struct head h;

    *out = (struct mqtt_connect){.receive_maximum = UINT16_MAX};
    int rc = read_head(data, len, UINT32_MAX, &h);
    out->level = h.answer_level;
    out->packet_bytes = h.packet_bytes;
    if (rc < 0)
        return rc == WEIR_MORE ? -MQTT_DROP_CONNECT_SHORT : rc;
    if (len != h.packet_bytes)
        return len < h.packet_bytes ? -MQTT_DROP_CONNECT_SHORT : -MQTT_DROP_CONNECT_LONG;

    span_skip(&s, h.variable_from);
    rc = take_flags(span_u8(&s), out);
    out->keep_alive_s = span_u16(&s);
    if (rc == 0 && out->level == 5)
        rc = mqtt_props_connect(&s, out);
    if (rc == 0)
        rc = read_string(&s, &out->client_id);
    if (rc == 0)
        rc = check_client_id(out);
    if (rc == 0 && out->has_will)
        rc = read_will(&s, out);
    if (rc == 0)
        rc = read_credentials(&s, out);
    if (rc < 0)
        return rc;
    return span_left(&s) == 0 ? 0 : -MQTT_DROP_CONNECT_LONG;
}
