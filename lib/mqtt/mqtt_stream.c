/* SPDX-License-Identifier: BSD-3-Clause */
/* What passes after CONNECT, by fixed header (2.1) and order alone. Bodies are skipped, but for a CONNACK's return
 * code. */
#include "mqtt_int.h"

/* A direction's place in the conversation. 3 and 5 in a name: 3.1 and 3.1.1, or 5.0. */
enum mqtt_phase {
    CLIENT_3, /* CONNECT passed; a client need not wait for CONNACK (3.1.4) */
    CLIENT_5,
    CLIENT_END,     /* DISCONNECT passed */
    SERVER_3_FIRST, /* CONNACK is to come */
    SERVER_5_FIRST, /* the same, or AUTH before it (4.12) */
    SERVER_3_FLAGS, /* in CONNACK, its flags byte comes next */
    SERVER_5_FLAGS,
    SERVER_3_CODE, /* in CONNACK, its return code comes next */
    SERVER_5_CODE,
    SERVER_3,
    SERVER_5,
    SERVER_REFUSED, /* CONNACK had a code that refuses */
    SERVER_END,     /* DISCONNECT passed */
    PHASE_COUNT
};

/* THE ORDER TABLE: phase x type. A cell is either PASS with the phase that follows, or why the packet is refused. */
#define PASS 0x80
static_assert(MQTT_DROP_COUNT <= PASS, "a cell holds a drop or PASS and a phase");

enum cell {
    c3 = PASS | CLIENT_3,
    c5 = PASS | CLIENT_5,
    byec = PASS | CLIENT_END,
    s1_3 = PASS | SERVER_3_FLAGS,
    s1_5 = PASS | SERVER_5_FLAGS,
    auth = PASS | SERVER_5_FIRST,
    s3 = PASS | SERVER_3,
    s5 = PASS | SERVER_5,
    byes = PASS | SERVER_END,
    res = MQTT_DROP_TYPE_RESERVED,
    side = MQTT_DROP_TYPE_DIRECTION,
    twice = MQTT_DROP_SECOND_CONNECT,
    again = MQTT_DROP_SECOND_CONNACK,
    early = MQTT_DROP_BEFORE_CONNACK,
    done = MQTT_DROP_AFTER_DISCONNECT,
    no = MQTT_DROP_AFTER_REFUSAL,
};

/* clang-format off */
static const uint8_t order[PHASE_COUNT][16] = {
    /*                   0    CONN   CONNACK PUB   PUBACK PUBREC PUBREL PUBCOM SUB   SUBACK UNSUB UNSUBA PINGRQ PINGRS DISC  AUTH */
    [CLIENT_3]       = { res, twice, side,  c3,    c3,    c3,    c3,    c3,    c3,    side,  c3,    side,  c3,    side,  byec,  res  },
    [CLIENT_5]       = { res, twice, side,  c5,    c5,    c5,    c5,    c5,    c5,    side,  c5,    side,  c5,    side,  byec,  c5   },
    [CLIENT_END]     = { res, done,  done,  done,  done,  done,  done,  done,  done,  done,  done,  done,  done,  done,  done,  done },
    [SERVER_3_FIRST] = { res, side,  s1_3,  early, early, early, early, early, side,  early, side,  early, side,  early, side,  res  },
    [SERVER_5_FIRST] = { res, side,  s1_5,  early, early, early, early, early, side,  early, side,  early, side,  early, early, auth },
    /* No header starts inside a CONNACK: its body has 2 bytes at least. */
    [SERVER_3_FLAGS] = { res, side,  again, early, early, early, early, early, side,  early, side,  early, side,  early, side,  res  },
    [SERVER_5_FLAGS] = { res, side,  again, early, early, early, early, early, side,  early, side,  early, side,  early, early, early },
    [SERVER_3_CODE]  = { res, side,  again, early, early, early, early, early, side,  early, side,  early, side,  early, side,  res  },
    [SERVER_5_CODE]  = { res, side,  again, early, early, early, early, early, side,  early, side,  early, side,  early, early, early },
    [SERVER_3]       = { res, side,  again, s3,    s3,    s3,    s3,    s3,    side,  s3,    side,  s3,    side,  s3,    side,  res  },
    [SERVER_5]       = { res, side,  again, s5,    s5,    s5,    s5,    s5,    side,  s5,    side,  s5,    side,  s5,    byes,  s5   },
    [SERVER_REFUSED] = { res, no,    no,    no,    no,    no,    no,    no,    no,    no,    no,    no,    no,    no,    no,    no   },
    [SERVER_END]     = { res, done,  done,  done,  done,  done,  done,  done,  done,  done,  done,  done,  done,  done,  done,  done },
};
/* clang-format on */

#define ANY MQTT_REMAINING_MAX

/* By type: the flag bits it must have (2.1.3), and the least and most its remaining length can be in 3.x and in 5.0:
 * packet identifier 2, topic 2 + 1, options or return code 1, property length 1, which acknowledgements may leave out.
 * PUBLISH has flags of its own. A server that speaks only 3.1.1 refuses 5.0 with a CONNACK of 2. */
static const struct {
    uint8_t flags;
    struct {
        uint32_t least, most;
    } v3, v5;
} shape[16] = {
    [MQTT_CONNACK] = {0, {2, 2}, {2, ANY}},       [MQTT_PUBLISH] = {0, {3, ANY}, {4, ANY}},
    [MQTT_PUBACK] = {0, {2, 2}, {2, ANY}},        [MQTT_PUBREC] = {0, {2, 2}, {2, ANY}},
    [MQTT_PUBREL] = {2, {2, 2}, {2, ANY}},        [MQTT_PUBCOMP] = {0, {2, 2}, {2, ANY}},
    [MQTT_SUBSCRIBE] = {2, {6, ANY}, {7, ANY}},   [MQTT_SUBACK] = {0, {3, ANY}, {4, ANY}},
    [MQTT_UNSUBSCRIBE] = {2, {5, ANY}, {6, ANY}}, [MQTT_UNSUBACK] = {0, {2, 2}, {4, ANY}},
    [MQTT_PINGREQ] = {0, {0, 0}, {0, 0}},         [MQTT_PINGRESP] = {0, {0, 0}, {0, 0}},
    [MQTT_DISCONNECT] = {0, {0, 0}, {0, ANY}},    [MQTT_AUTH] = {0, {0, 0}, {0, ANY}},
};

#define PUBLISH_QOS 0x06
#define PUBLISH_DUP 0x08

void mqtt_stream_init(struct mqtt_stream *s, enum mqtt_from from, uint8_t level) {
    static const uint8_t first[2][2] = {{CLIENT_3, CLIENT_5}, {SERVER_3_FIRST, SERVER_5_FIRST}};

    *s = (struct mqtt_stream){.phase = first[from == MQTT_FROM_SERVER][level == 5], .level = level};
}

/* The first byte: may this type come now, and are its flags right? */
static int check_first(const struct mqtt_stream *s, uint8_t first) {
    uint8_t type = first >> 4, flags = first & 0x0f, cell = order[s->phase][type];

    if (!(cell & PASS))
        return -cell;
    if (type == MQTT_PUBLISH) {
        if ((flags & PUBLISH_QOS) == PUBLISH_QOS) /* [MQTT-3.3.1-4] */
            return -MQTT_DROP_QOS;
        if (s->level >= 4 && (flags & PUBLISH_DUP) && !(flags & PUBLISH_QOS)) /* [MQTT-3.3.1-2] */
            return -MQTT_DROP_QOS;
    } else if (s->level >= 4 && flags != shape[type].flags) { /* 3.1 let retransmissions set DUP */
        return -MQTT_DROP_FLAGS;
    }
    return 0;
}

/* The fixed header is whole: first byte and remaining length. */
static int check_length(const struct mqtt_stream *s, uint32_t remaining, const struct mqtt_limits *limits) {
    uint8_t type = s->header[0] >> 4;
    uint32_t least = s->level == 5 ? shape[type].v5.least : shape[type].v3.least;
    uint32_t most = s->level == 5 ? shape[type].v5.most : shape[type].v3.most;

    if (type == MQTT_PUBLISH && (s->header[0] & PUBLISH_QOS))
        least += 2; /* packet identifier */
    if (remaining < least || remaining > most)
        return -MQTT_DROP_LENGTH;
    if (limits && limits->max_packet_bytes && remaining + s->header_bytes > limits->max_packet_bytes)
        return -MQTT_DROP_PACKET_TOO_BIG;
    return 0;
}

/* One byte of a fixed header. */
static int take_header_byte(struct mqtt_stream *s, uint8_t byte, const struct mqtt_limits *limits,
                            struct mqtt_seen *seen) {
    if (s->header_bytes == 0) {
        s->header[0] = byte;
        s->header_bytes = 1;
        return check_first(s, byte);
    }
    uint32_t remaining = s->left_bytes | (uint32_t)(byte & 0x7f) << (7 * (s->header_bytes - 1));
    s->header_bytes++;
    s->left_bytes = remaining;
    if (byte & 0x80)
        return s->header_bytes > MQTT_VARINT_MAX_BYTES ? -MQTT_DROP_LENGTH_ENCODING : 0;
    if (byte == 0 && s->header_bytes > 2 && s->level == 5) /* [MQTT-1.5.5-1] */
        return -MQTT_DROP_LENGTH_ENCODING;
    int rc = check_length(s, remaining, limits);
    if (rc < 0)
        return rc;
    uint8_t type = s->header[0] >> 4;
    s->header_bytes = 0;
    s->phase = order[s->phase][type] & ~PASS;
    seen->packets++;
    if (seen->by_type)
        seen->by_type[type]++;
    if (type == MQTT_DISCONNECT)
        seen->disconnect = true;
    return 0;
}

/* A byte of a CONNACK up to its code; other bodies pass unread. */
static void take_connack_byte(struct mqtt_stream *s, uint8_t byte, struct mqtt_seen *seen) {
    static const uint8_t next[PHASE_COUNT] = {[SERVER_3_FLAGS] = SERVER_3_CODE,
                                              [SERVER_5_FLAGS] = SERVER_5_CODE,
                                              [SERVER_3_CODE] = SERVER_3,
                                              [SERVER_5_CODE] = SERVER_5};

    if (s->phase == SERVER_3_CODE || s->phase == SERVER_5_CODE) {
        seen->connack_code = byte;
        s->phase = byte == 0 ? next[s->phase] : SERVER_REFUSED;
    } else {
        s->phase = next[s->phase];
    }
    s->left_bytes--;
}

static bool in_connack(const struct mqtt_stream *s) {
    return s->phase >= SERVER_3_FLAGS && s->phase <= SERVER_5_CODE;
}

int mqtt_stream_feed(struct mqtt_stream *s, enum mqtt_from from, const struct mqtt_limits *limits, const uint8_t *data,
                     uint32_t len, struct mqtt_seen *seen) {
    assert((s->phase >= SERVER_3_FIRST) == (from == MQTT_FROM_SERVER));
    (void)from;
    for (uint32_t i = 0; i < len;) {
        if (s->header_bytes == 0 && s->left_bytes > 0) {
            if (WEIR_UNLIKELY(in_connack(s))) {
                take_connack_byte(s, data[i++], seen);
                continue;
            }
            uint32_t n = weir_min_u32(s->left_bytes, len - i);
            s->left_bytes -= n;
            i += n;
            continue;
        }
        int rc = take_header_byte(s, data[i++], limits, seen);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int mqtt_stream_feed_rope(struct mqtt_stream *s, enum mqtt_from from, const struct mqtt_limits *limits,
                          const struct rope *r, uint32_t offset, struct mqtt_seen *seen) {
    for (const struct rte_mbuf *m = r->head; m; m = m->next) {
        if (offset >= m->data_len) {
            offset -= m->data_len;
            continue;
        }
        int rc = mqtt_stream_feed(s, from, limits, rte_pktmbuf_mtod_offset(m, const uint8_t *, offset),
                                  m->data_len - offset, seen);
        if (rc < 0)
            return rc;
        offset = 0;
    }
    return 0;
}

bool mqtt_stream_accepted(const struct mqtt_stream *s) {
    return s->phase == SERVER_3 || s->phase == SERVER_5 || s->phase == SERVER_END;
}
