/* SPDX-License-Identifier: BSD-3-Clause */
/* What a message carries, and the MQTT packets around it.
 *
 * Payload: client index (4 B), sequence number (4 B), time it was due in ns (8 B), all big endian, then a pattern that
 * follows from the sequence number. A payload too short for a field ends before it: below 4 bytes nothing is known of a
 * message but that it came, below 8 its loss is not seen, below 16 its one-way latency is not. */
#include "load_int.h"

#include <stdio.h>
#include <string.h>

#define TOPIC        "load/"
#define TOPIC_BYTES  5u
#define CLIENT_ID    "load-"
#define SAMPLE_BYTES 8u

int packet_peek(const struct rope *r, struct packet *p) {
    uint8_t scratch[5];
    uint32_t there = weir_min_u32(r->len_bytes, sizeof(scratch));
    const uint8_t *data = rope_peek(r, 0, there, scratch);
    uint32_t remaining = 0;
    for (uint32_t i = 1; i < there; i++) {
        remaining |= (uint32_t)(data[i] & 0x7f) << (7 * (i - 1));
        if (!(data[i] & 0x80)) {
            *p = (struct packet){.first = data[0], .head_bytes = i + 1, .bytes = i + 1 + remaining};
            return 0;
        }
    }
    return there < sizeof(scratch) ? WEIR_MORE : WEIR_EINVAL;
}

/* --- written --- */

static void put_u64(struct span_writer *w, uint64_t v) {
    span_put_u32(w, (uint32_t)(v >> 32));
    span_put_u32(w, (uint32_t)v);
}

/* Decimal digits of v into `out` (at least 10 bytes). Returns how many. */
static uint32_t decimal(uint32_t v, uint8_t *out) {
    uint8_t reverse[10];
    uint32_t n = 0;
    do {
        reverse[n++] = (uint8_t)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    for (uint32_t i = 0; i < n; i++)
        out[i] = reverse[n - 1 - i];
    return n;
}

static void put_remaining(struct span_writer *w, uint32_t v) {
    do {
        uint8_t byte = v & 0x7f;
        v >>= 7;
        span_put_u8(w, (uint8_t)(byte | (v != 0 ? 0x80 : 0)));
    } while (v != 0);
}

uint32_t payload_connect(const struct load *l, uint32_t index, uint8_t *buf) {
    struct span_writer w = span_writer_of(buf, 64);
    bool v5 = l->config.mqtt_level == 5;
    uint8_t digits[10];
    uint32_t n = decimal(index, digits), id_bytes = (uint32_t)strlen(CLIENT_ID) + n;
    span_put_u8(&w, MQTT_CONNECT << 4);
    span_put_u8(&w, (uint8_t)(10 + v5 + 2 + id_bytes));
    span_put_u16(&w, 4);
    span_put_bytes(&w, "MQTT", 4);
    span_put_u8(&w, (uint8_t)l->config.mqtt_level);
    span_put_u8(&w, 0x02); /* clean session */
    span_put_u16(&w, (uint16_t)l->config.keepalive_s);
    if (v5)
        span_put_u8(&w, 0); /* no properties */
    span_put_u16(&w, (uint16_t)id_bytes);
    span_put_bytes(&w, CLIENT_ID, strlen(CLIENT_ID));
    span_put_bytes(&w, digits, n);
    return (uint32_t)span_written(&w);
}

/* Fixed header to properties of a PUBLISH. */
static void put_head(const struct load *l, uint32_t index, uint32_t seq, uint32_t n, struct span_writer *w) {
    uint8_t digits[10];
    uint32_t n_digits = decimal(index, digits), qos = load_qos1(l), v5 = l->config.mqtt_level == 5;
    span_put_u8(w, (uint8_t)(MQTT_PUBLISH << 4 | qos << 1));
    put_remaining(w, 2 + TOPIC_BYTES + n_digits + 2 * qos + v5 + n);
    span_put_u16(w, (uint16_t)(TOPIC_BYTES + n_digits));
    span_put_bytes(w, TOPIC, TOPIC_BYTES);
    span_put_bytes(w, digits, n_digits);
    if (qos)
        span_put_u16(w, payload_packet_id(seq));
    if (v5)
        span_put_u8(w, 0);
}

static const uint8_t *pattern_at(const struct load *l, uint32_t seq, uint32_t at) {
    return l->pattern + ((seq * 61 + at) & (PATTERN_PERIOD - 1));
}

/* `n` bytes of a packet from its byte `at` on: `head` first, then the pattern. */
static void fill(const struct load *l, uint32_t seq, const uint8_t *head, uint32_t head_bytes, uint32_t payload_at,
                 uint32_t at, uint8_t *to, uint32_t n) {
    if (at < head_bytes) {
        uint32_t part = weir_min_u32(head_bytes - at, n);
        memcpy(to, head + at, part);
        at += part;
        to += part;
        n -= part;
    }
    while (n > 0) {
        uint32_t part = weir_min_u32(n, PATTERN_RUN);
        memcpy(to, pattern_at(l, seq, at - payload_at), part);
        at += part;
        to += part;
        n -= part;
    }
}

int payload_publish(const struct load *l, uint32_t index, uint32_t seq, uint64_t due_ns, uint32_t n, struct rope *r) {
    uint8_t head[LOAD_HEAD_MAX];
    struct span_writer w = span_writer_of(head, sizeof(head));
    struct rope chain = {0};
    put_head(l, index, seq, n, &w);
    uint32_t payload_at = (uint32_t)span_written(&w), total = payload_at + n;
    span_put_u32(&w, index);
    span_put_u32(&w, seq);
    put_u64(&w, due_ns);
    uint32_t head_bytes = weir_min_u32((uint32_t)span_written(&w), total);
    if (r->tail != NULL && rope_mbuf_private(r->tail) && rte_pktmbuf_tailroom(r->tail) >= total) {
        struct rte_mbuf *m = r->tail; /* straight into the rope: no mbuf a message */
        fill(l, seq, head, head_bytes, payload_at, 0, rte_pktmbuf_mtod_offset(m, uint8_t *, m->data_len), total);
        m->data_len = (uint16_t)(m->data_len + total);
        r->len_bytes += total;
        return 0;
    }
    for (uint32_t at = 0, part; at < total; at += part) {
        struct rte_mbuf *m = rte_pktmbuf_alloc(l->config.client_port.pool);
        if (m == NULL) {
            rope_clear(&chain);
            return WEIR_ENOMEM;
        }
        part = weir_min_u32(total - at, rte_pktmbuf_tailroom(m));
        fill(l, seq, head, head_bytes, payload_at, at, rte_pktmbuf_mtod(m, uint8_t *), part);
        m->data_len = (uint16_t)part;
        rope_push(&chain, m);
    }
    rope_splice(r, &chain);
    return 0;
}

/* --- read --- */

void payload_read(const uint8_t *data, uint32_t n, struct payload *p) {
    struct span s = span_of(data, n);
    *p = (struct payload){.has_index = n >= 4, .has_seq = n >= 8, .has_due = n >= PAYLOAD_HEAD};
    p->index = span_u32(&s);
    p->seq = span_u32(&s);
    uint64_t high = span_u32(&s);
    p->due_ns = high << 32 | span_u32(&s);
}

bool payload_sample(const struct load *l, uint32_t seq, uint32_t at, const uint8_t *data, uint32_t n) {
    if (at < PAYLOAD_HEAD) {
        uint32_t skip = weir_min_u32(PAYLOAD_HEAD - at, n);
        at += skip;
        data += skip;
        n -= skip;
    }
    if (n < SAMPLE_BYTES)
        return memcmp(data, pattern_at(l, seq, at), n) == 0;
    uint32_t skip = (seq * 2654435761u >> 8) % (n - SAMPLE_BYTES + 1);
    return memcmp(data + skip, pattern_at(l, seq, at + skip), SAMPLE_BYTES) == 0;
}
