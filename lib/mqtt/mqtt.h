/* SPDX-License-Identifier: BSD-3-Clause */
/* lib/mqtt: MQTT 3.1, 3.1.1 and 5.0 as a balancer reads it: CONNECT in full, every later packet by its header and
 * order. Bytes in, bytes out; no allocation, no copy of payloads.
 *
 *   mqtt_connect.c   mqtt_connect_decode: fixed header, variable header, properties, payload -> struct mqtt_connect
 *   mqtt_username.c  mqtt_connect_rename: another user name in a CONNECT that is decoded
 *   mqtt_stream.c    mqtt_stream_feed: walks packet boundaries of a direction after CONNECT and holds the order table
 *   mqtt_props.c     MQTT 5 properties: which may stand where, how often
 *   mqtt_utf8.c      UTF-8 strings (MQTT 1.5.4): well-formed, no NUL, no surrogates
 *   mqtt_answer.c    CONNACK and DISCONNECT that refuse with the standard's own code
 *   mqtt_probe.c     CONNECT of a health probe, and what a good answer is
 *
 * Decoding is incremental: the caller hands what it has from the start of the packet, WEIR_MORE asks for more, and
 * anything that can be refused early (first byte, remaining length, protocol name) is. Maximum sizes are limits given
 * by the caller.
 *
 * Sources: MQTT Version 3.1.1 and MQTT Version 5.0 (OASIS). Threading: pure functions on the caller's state. */
#ifndef WEIR_MQTT_H
#define WEIR_MQTT_H

#include "../base/base.h"
#include "../base/rope.h"
#include "../base/span.h"

enum mqtt_type {
    MQTT_CONNECT = 1,
    MQTT_CONNACK,
    MQTT_PUBLISH,
    MQTT_PUBACK,
    MQTT_PUBREC,
    MQTT_PUBREL,
    MQTT_PUBCOMP,
    MQTT_SUBSCRIBE,
    MQTT_SUBACK,
    MQTT_UNSUBSCRIBE,
    MQTT_UNSUBACK,
    MQTT_PINGREQ,
    MQTT_PINGRESP,
    MQTT_DISCONNECT,
    MQTT_AUTH
};

/* X(NAME, CONNACK code 3.1.1 or 0 (none: just close), reason code 5.0, text) in mqtt_drops.def: why MQTT refused */
enum mqtt_drop {
    MQTT_DROP_NONE,
#define X(name, code3, code5, text) MQTT_DROP_##name,
#include "mqtt_drops.def"
#undef X
    MQTT_DROP_COUNT
};
const char *mqtt_drop_name(enum mqtt_drop d);
const char *mqtt_drop_text(enum mqtt_drop d);

struct mqtt_limits {
    uint32_t max_packet_bytes;  /* whole packets after CONNECT; 0: 256 MB, the standard's most */
    uint32_t max_connect_bytes; /* whole CONNECT; 0: 65,536 */
};                              /* A NULL pointer to limits stands for both 0. */

/* Strings point into the decoded bytes; len 0 with NULL data where absent. */
struct mqtt_str {
    const uint8_t *data;
    uint32_t len;
};
struct mqtt_connect {
    uint8_t level; /* 3: MQIsdp 3.1, 4: 3.1.1, 5: 5.0 */
    bool clean_start, has_will, has_username, has_password, will_retain;
    uint8_t will_qos;
    uint16_t keep_alive_s;
    uint16_t receive_maximum;                        /* 5.0; 65,535 where absent */
    uint32_t session_expiry_s, maximum_packet_bytes; /* 5.0; 0 where absent */
    uint16_t topic_alias_maximum;                    /* 5.0 */
    struct mqtt_str client_id, username, password, will_topic, will_payload;
    uint32_t packet_bytes; /* whole packet, fixed header included */
};

/* Size of the CONNECT at the rope's head. Returns its whole size (> 0) once the fixed header is there, WEIR_MORE, or
 * minus an enum mqtt_drop. Looks at up to 14 bytes: a first byte that is no CONNECT, a remaining length of 5 bytes or
 * above the limit, a wrong protocol name or level are refused before the rest arrives. `level` (out) is the protocol
 * level where it was already seen, else 0 (says how to answer: one we do not speak shows as 4 or 5, whichever's refusal
 * it understands). */
int mqtt_connect_size(const struct rope *r, const struct mqtt_limits *limits, uint8_t *level);

/* Decode a whole CONNECT lying in one piece (rope_peek). Returns 0 or minus an enum mqtt_drop; out->level is set then
 * too, where it was seen, and says how to answer. */
int mqtt_connect_decode(const uint8_t *data, uint32_t len, struct mqtt_connect *out);

/* Give a decoded CONNECT (of at most 65,536 bytes, alone in `data`, which has room for MQTT_RENAME_BYTES) this user
 * name in place of its own or of none; the password stays. `c` is as mqtt_connect_decode filled it, and points into
 * what was before. Returns the size of the packet now, or minus an enum mqtt_drop: NO_IDENTITY (the name is empty, or
 * no string of MQTT's), CONNECT_TOO_BIG (above 65,536 bytes now); then nothing has changed. */
#define MQTT_RENAME_BYTES 65541u
int mqtt_connect_rename(uint8_t *data, const struct mqtt_connect *c, const char *username, uint32_t len);

/* Build the answer that refuses before or at CONNECT: CONNACK with the code for `level` (3, 4, 5). Returns bytes
 * written (0: this version has no answer for it, just close). buf of at least 8 bytes. */
uint32_t mqtt_refuse_connect(uint8_t level, enum mqtt_drop why, uint8_t *buf);
/* Build the DISCONNECT a server sends a 5.0 client for `why` (0 bytes for 3.x: just close). buf >= 8. Only once a
 * CONNACK has passed [MQTT-3.14.0-1]; until then mqtt_refuse_connect is the answer. */
uint32_t mqtt_refuse_stream(uint8_t level, enum mqtt_drop why, uint8_t *buf);

/* --- after CONNECT --- 8 bytes a direction */
enum mqtt_from { MQTT_FROM_CLIENT, MQTT_FROM_SERVER };
struct mqtt_stream {
    uint32_t left_bytes;  /* of the current packet's body */
    uint8_t header[1];    /* first byte of a header under way */
    uint8_t header_bytes; /* of the fixed header seen so far; 0: at a packet boundary */
    uint8_t phase;        /* enum mqtt_phase: row of the order table */
    uint8_t level;
};
static_assert(sizeof(struct mqtt_stream) == 8, "two of them a session");

/* What a call saw, for counters. */
struct mqtt_seen {
    uint64_t *by_type; /* the caller's 16 counters by packet type, added to; NULL: nobody counts */
    uint32_t packets;
    uint8_t connack_code; /* of a CONNACK from the server: 0 accepted; left alone where none came (start with 0xff) */
    bool disconnect;      /* the header of a DISCONNECT passed */
};

void mqtt_stream_init(struct mqtt_stream *s, enum mqtt_from from, uint8_t level);

/* Walk `len` bytes of a direction. Checks type against direction and phase, flag bits, remaining length (1 to 4 bytes,
 * within limits, minimal sizes by type), QoS 3, second CONNECT, packets after DISCONNECT. Returns 0 or minus an enum
 * mqtt_drop. */
int mqtt_stream_feed(struct mqtt_stream *s, enum mqtt_from from, const struct mqtt_limits *limits, const uint8_t *data,
                     uint32_t len, struct mqtt_seen *seen);
/* The same over a rope's bytes [offset, len). */
int mqtt_stream_feed_rope(struct mqtt_stream *s, enum mqtt_from from, const struct mqtt_limits *limits,
                          const struct rope *r, uint32_t offset, struct mqtt_seen *seen);
/* Has a CONNACK that accepts passed? For the server's direction. Until then no DISCONNECT may go to the client. */
bool mqtt_stream_accepted(const struct mqtt_stream *s);
/* At a packet boundary (a message of our own may be inserted)? */
static inline bool mqtt_stream_at_boundary(const struct mqtt_stream *s) {
    return s->left_bytes == 0 && s->header_bytes == 0;
}

/* --- probes: a health check's own CONNECT / CONNACK / DISCONNECT (3.1.1) --- */
uint32_t mqtt_probe_connect(const char *client_id, uint8_t *buf, uint32_t capacity); /* 0: does not fit */
/* CONNACK lying in `data`: 0 accepted, >0 the code, WEIR_MORE, WEIR_EINVAL. */
int mqtt_probe_connack(const uint8_t *data, uint32_t len);
uint32_t mqtt_probe_disconnect(uint8_t *buf, uint32_t capacity); /* 0: does not fit */

#endif
