/* SPDX-License-Identifier: BSD-3-Clause */
/* A broker's life: it accepts, reads MQTT as any broker does, answers, and counts what came of the clients' messages,
 * how late, and what did not come. */
#include "load_int.h"

#include <string.h>

#define CONNECT_MAX 512u /* bytes of a CONNECT: ours and health checks' are far smaller */
#define ANSWER_ROOM 512u

/* Answers of one visit, sent together. */
struct answers {
    struct span_writer w;
    uint8_t bytes[ANSWER_ROOM];
};

static void answers_init(struct answers *a) {
    a->w = span_writer_of(a->bytes, sizeof(a->bytes));
}

/* 0 or WEIR_ENOMEM: the connection is of no use any more, for an answer that is missing would look like loss. */
static int answers_send(struct load *l, const struct broker *b, struct answers *a) {
    struct rope out = {0};
    uint32_t n = (uint32_t)span_written(&a->w);
    if (n == 0)
        return 0;
    answers_init(a);
    if (rope_append(&out, l->config.broker_port.pool, a->bytes, n) != 0)
        return WEIR_ENOMEM;
    if (tcp_conn_send(&l->tcp, b->conn, &out) != 0)
        rope_clear(&out);
    return 0;
}

static void answer(struct answers *a, const uint8_t *data, uint32_t n) {
    span_put_bytes(&a->w, data, n);
}

static bool answers_full(const struct answers *a) {
    return (size_t)(a->w.end - a->w.cur) < 8;
}

/* --- packets --- Each returns how many bytes of the packet it has read (the rest is skipped as it comes), WEIR_MORE,
 * or WEIR_EINVAL. */

/* "load-<index>": number of that client, else 0. */
static uint32_t client_of(const struct load *l, const struct mqtt_str *id) {
    uint64_t index = 0;
    if (id->len < 6 || id->len > 15 || memcmp(id->data, "load-", 5) != 0)
        return 0;
    for (uint32_t i = 5; i < id->len; i++) {
        if (id->data[i] < '0' || id->data[i] > '9')
            return 0;
        index = index * 10 + (id->data[i] - '0');
    }
    return index < l->config.connections ? (uint32_t)index + 1 : 0;
}

static int take_connect(const struct load *l, struct broker *b, const struct rope *rx, const struct packet *p,
                        struct answers *a) {
    uint8_t scratch[CONNECT_MAX];
    struct mqtt_connect connect;
    if (p->bytes > CONNECT_MAX)
        return WEIR_EINVAL;
    const uint8_t *data = rope_peek(rx, 0, p->bytes, scratch);
    if (data == NULL)
        return WEIR_MORE;
    if (b->level != 0 || mqtt_connect_decode(data, p->bytes, &connect) != 0)
        return WEIR_EINVAL;
    b->level = connect.level;
    b->client = client_of(l, &connect.client_id);
    static const uint8_t accept5[] = {MQTT_CONNACK << 4, 3, 0, 0, 0}, accept3[] = {MQTT_CONNACK << 4, 2, 0, 0};
    if (b->level == 5)
        answer(a, accept5, sizeof(accept5));
    else
        answer(a, accept3, sizeof(accept3));
    return (int)p->bytes;
}

/* Gaps before this message were lost; one that comes again or late is as wrong as one that was changed. */
static void count_sequence(struct load *l, const struct broker *b, const struct payload *p, bool *good) {
    uint32_t *expected = &l->arrived[b->client];
    int32_t ahead = (int32_t)(p->seq - *expected);
    if (ahead < 0) {
        *good = false;
        return;
    }
    l->stats.messages_lost += (uint32_t)ahead;
    *expected = p->seq + 1;
}

/* A message of one of our clients: `data` is the `there` bytes of the `n` of its payload that have arrived. */
static void count_message(struct load *l, struct broker *b, const uint8_t *data, uint32_t there, uint32_t n) {
    struct payload p;
    bool good = true;
    l->stats.messages_received++;
    l->stats.bytes_received += n;
    if (b->client == 0)
        return;
    payload_read(data, weir_min_u32(there, n), &p);
    if (p.has_index)
        good = p.index == b->client - 1;
    if (!p.has_seq)
        l->arrived[b->client]++; /* it is taken for the one expected */
    else if (good)
        count_sequence(l, b, &p, &good);
    if (p.has_seq && good)
        good = payload_sample(l, p.seq, 0, data, there);
    b->body_seq = p.seq;
    b->checked = p.has_seq && good;
    if (!good)
        l->stats.messages_corrupt++;
    else if (p.has_due && !load_qos1(l) && p.due_ns <= l->now_ns)
        histogram_add(&l->stats.latency_ns, l->now_ns - p.due_ns);
}

static int take_publish(struct load *l, struct broker *b, const struct rope *rx, const struct packet *p,
                        struct answers *a) {
    uint8_t scratch[LOAD_HEAD_MAX];
    uint32_t there = weir_min_u32(p->bytes, LOAD_HEAD_MAX), qos = p->first >> 1 & 3;
    if (rx->len_bytes < there)
        return WEIR_MORE;
    if (rx->head->data_len >= p->bytes)
        there = p->bytes; /* most of them: all of it lies in one piece */
    const uint8_t *data = rope_peek(rx, 0, there, scratch);
    struct span s = span_of(data + p->head_bytes, there - p->head_bytes);
    span_skip(&s, span_u16(&s)); /* topic */
    uint16_t packet_id = qos != 0 ? span_u16(&s) : 0;
    if (b->level == 5)
        span_skip(&s, span_u8(&s)); /* properties */
    if (s.failed || qos > 1)
        return WEIR_EINVAL;
    uint32_t payload_at = (uint32_t)(s.cur - data);
    count_message(l, b, s.cur, (uint32_t)span_left(&s), p->bytes - payload_at);
    b->body_at = (uint32_t)span_left(&s);
    if (qos == 1) {
        const uint8_t puback[] = {MQTT_PUBACK << 4, 2, (uint8_t)(packet_id >> 8), (uint8_t)packet_id};
        answer(a, puback, sizeof(puback));
    }
    return (int)there;
}

static int take_subscribe(const struct broker *b, const struct rope *rx, const struct packet *p, struct answers *a) {
    uint8_t id[2];
    if (rope_copy(rx, p->head_bytes, id, 2) != 2)
        return WEIR_MORE;
    uint8_t suback[] = {MQTT_SUBACK << 4, 3, id[0], id[1], 0, 0}; /* one topic, QoS 0; in 5.0 after empty properties */
    suback[1] = b->level == 5 ? 4 : 3;
    answer(a, suback, 2u + suback[1]);
    return (int)p->head_bytes + 2;
}

static int take_packet(struct load *l, struct broker *b, const struct rope *rx, const struct packet *p,
                       struct answers *a) {
    static const uint8_t pingresp[] = {MQTT_PINGRESP << 4, 0};
    uint8_t type = p->first >> 4;
    b->checked = false;
    if (WEIR_LIKELY(type == MQTT_PUBLISH && b->level != 0))
        return take_publish(l, b, rx, p, a);
    if (type == MQTT_CONNECT)
        return take_connect(l, b, rx, p, a);
    if (b->level == 0)
        return WEIR_EINVAL;
    switch (type) {
    case MQTT_SUBSCRIBE:
        return take_subscribe(b, rx, p, a);
    case MQTT_PINGREQ:
        answer(a, pingresp, sizeof(pingresp));
        return (int)p->head_bytes;
    case MQTT_DISCONNECT:
        b->parted = true;
        return (int)p->head_bytes;
    default:
        return WEIR_EINVAL;
    }
}

/* --- bytes --- */

/* The rest of a body, a piece at a time; a few bytes of each piece are looked at. */
static void skip_body(struct load *l, struct broker *b, struct rope *rx) {
    uint32_t n = weir_min_u32(b->left_bytes, rx->len_bytes);
    if (b->checked) {
        uint32_t piece = weir_min_u32(n, rx->head->data_len);
        if (!payload_sample(l, b->body_seq, b->body_at, rte_pktmbuf_mtod(rx->head, const uint8_t *), piece)) {
            l->stats.messages_corrupt++;
            b->checked = false; /* counted once */
        }
    }
    rope_trim(rx, n);
    b->left_bytes -= n;
    b->body_at += n;
}

/* Whatever has come. 0, or negative: this is no MQTT, or no memory for the answer. */
static int read_rope(struct load *l, struct broker *b, struct rope *rx) {
    struct answers a;
    int rc = 0;
    answers_init(&a);
    while (rc == 0 && rx->len_bytes != 0 && !b->parted) {
        struct packet p;
        if (b->left_bytes != 0) {
            skip_body(l, b, rx);
            continue;
        }
        rc = packet_peek(rx, &p);
        if (rc == 0)
            rc = take_packet(l, b, rx, &p, &a);
        if (rc < 0)
            break;
        rope_trim(rx, (uint32_t)rc);
        b->left_bytes = p.bytes - (uint32_t)rc;
        rc = answers_full(&a) ? answers_send(l, b, &a) : 0;
    }
    return rc == 0 || rc == WEIR_MORE ? answers_send(l, b, &a) : rc;
}

/* --- life --- */

static void broker_free(struct load *l, struct broker *b) {
    pool_free(&l->brokers, pool_index(&l->brokers, b));
}

void broker_accept(struct load *l, tcp_id id) {
    uint32_t number = pool_alloc(&l->brokers);
    if (number == POOL_NONE) {
        tcp_conn_abort(&l->tcp, id);
        l->stats.broker_resets++;
        return;
    }
    struct broker *b = pool_get(&l->brokers, number);
    b->conn = id;
    tcp_conn_set_user(&l->tcp, id, load_user(number, ROLE_BROKER));
    l->stats.broker_connections++;
    broker_news(l, number, TCP_EV_READABLE); /* data may have come with the handshake's last ACK */
}

void broker_news(struct load *l, uint32_t number, uint8_t events) {
    struct broker *b = pool_get(&l->brokers, number);
    struct rope *rx = tcp_conn_rx(&l->tcp, b->conn);
    bool parted = b->parted;
    if (rx->len_bytes != 0) {
        if (read_rope(l, b, rx) != 0) {
            l->stats.broker_resets++;
            tcp_conn_abort(&l->tcp, b->conn);
            broker_free(l, b);
            return;
        }
        if (b->parted)
            rope_clear(rx); /* nothing may follow DISCONNECT */
        tcp_conn_consumed(&l->tcp, b->conn);
    }
    if (b->parted && !parted)
        tcp_conn_shutdown(&l->tcp, b->conn);
    if (events & TCP_EV_CLOSED && tcp_conn_end(&l->tcp, b->conn) != TCP_END_FIN)
        l->stats.broker_resets++;
    if (events & TCP_EV_CLOSED || tcp_conn_peer_fin(&l->tcp, b->conn)) {
        tcp_conn_release(&l->tcp, b->conn);
        broker_free(l, b);
    }
}
