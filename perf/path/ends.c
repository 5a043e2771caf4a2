/* SPDX-License-Identifier: BSD-3-Clause */
#include "ends.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOPIC         "weir/perf"
#define HEAD_MAX      32u /* bytes of a PUBLISH in front of its payload, at most */
#define SHAKING       64u /* handshakes at once */
#define PATIENCE      200000u
#define RESETS_A_TURN 128u /* the other end of a reset that is lost would stay open */
#define FIRST_PORT    20000u
#define LAST_PORT     65000u
#define MESSAGE_ROOM  (TLS_RECORD_MAX + HEAD_MAX)

static void bytes_put(struct ends_bytes *b, const void *data, size_t n) {
    if (b->len + n > b->room) {
        b->room = 2 * (b->len + n) + 256;
        b->data = realloc(b->data, b->room);
        if (b->data == NULL)
            rig_fail("out of memory");
    }
    if (n != 0)
        memcpy(b->data + b->len, data, n);
    b->len += n;
}

static void bytes_skip(struct ends_bytes *b, size_t n) {
    b->len -= n;
    if (b->len != 0)
        memmove(b->data, b->data + n, b->len);
}

static void bytes_free(struct ends_bytes *b) {
    free(b->data);
    *b = (struct ends_bytes){0};
}

/* --- messages --- */

static bool is_mqtt(const struct ends *e) {
    return e->kind == ENDS_MQTT0 || e->kind == ENDS_MQTT1;
}

/* MQTT 3.1.1 2.2.3 */
static uint32_t put_length(uint8_t *to, uint32_t n) {
    uint32_t at = 0;
    do {
        to[at++] = (uint8_t)((n & 0x7f) | (n > 0x7f ? 0x80 : 0));
        n >>= 7;
    } while (n != 0);
    return at;
}

static void put_u16(uint8_t *to, uint32_t v) {
    to[0] = (uint8_t)(v >> 8);
    to[1] = (uint8_t)v;
}

/* A packet identifier is never 0. */
static uint32_t packet_id(uint32_t number) {
    return number % 65535 + 1;
}

/* Message `number` of `client`: says so in its payload. Returns its bytes. */
static uint32_t message_make(const struct ends *e, uint32_t client, uint32_t number, uint8_t *to) {
    const uint32_t mark[2] = {client, number};
    uint32_t at = 0;
    if (is_mqtt(e)) {
        bool acked = e->kind == ENDS_MQTT1;
        to[at++] = acked ? 0x32 : 0x30;
        at += put_length(to + at, 2 + (uint32_t)strlen(TOPIC) + (acked ? 2 : 0) + e->bytes);
        put_u16(to + at, (uint32_t)strlen(TOPIC));
        memcpy(to + at + 2, TOPIC, strlen(TOPIC));
        at += 2 + (uint32_t)strlen(TOPIC);
        if (acked) {
            put_u16(to + at, packet_id(number));
            at += 2;
        }
    }
    memset(to + at, (int)(number * 7 + client), e->bytes);
    memcpy(to + at, mark, e->bytes < sizeof(mark) ? e->bytes : sizeof(mark));
    return at + e->bytes;
}

static uint32_t connect_make(uint32_t client, uint8_t *to) {
    static const uint8_t head[] = "\x10\0\0\4MQTT\4\2\0\x3c";
    char id[24];
    int n = snprintf(id, sizeof(id), "perf-%u", client);
    memcpy(to, head, sizeof(head) - 1);
    put_u16(to + sizeof(head) - 1, (uint32_t)n);
    memcpy(to + sizeof(head) + 1, id, (size_t)n);
    to[1] = (uint8_t)(sizeof(head) + 1 + (size_t)n - 2);
    return (uint32_t)sizeof(head) + 1 + (uint32_t)n;
}

/* --- the servers' side --- */

/* Returns false where it is not all there. */
static bool server_greeted(struct ends *e, tcp_id id, struct ends_server *s) {
    static const uint8_t connack[] = {0x20, 2, 0, 0};
    if (s->in.len < 2 || s->in.len < 2u + s->in.data[1])
        return false;
    char client_id[24] = "";
    uint32_t n = 2u + s->in.data[1];
    if (s->in.data[0] != 0x10 || n < 14 + 5 || n >= 14 + sizeof(client_id))
        rig_fail("a broker expected CONNECT");
    memcpy(client_id, s->in.data + 14, n - 14);
    s->client = (uint32_t)strtoul(client_id + 5, NULL, 10);
    s->greeted = true;
    bytes_skip(&s->in, n);
    host_write(&e->host[RIG_BACK], id, connack, sizeof(connack));
    return true;
}

static void server_messages(struct ends *e, tcp_id id, struct ends_server *s) {
    static uint8_t expected[MESSAGE_ROOM];
    for (size_t at = 0;; s->number++, e->arrived++) {
        uint32_t n = message_make(e, s->client, s->number, expected);
        if (s->in.len - at < n) {
            bytes_skip(&s->in, at);
            return;
        }
        if (memcmp(s->in.data + at, expected, n) != 0)
            rig_fail("a message did not arrive as it was sent");
        at += n;
        if (e->kind == ENDS_MQTT1) {
            uint8_t puback[4] = {0x40, 2};
            put_u16(puback + 2, packet_id(s->number));
            host_write(&e->host[RIG_BACK], id, puback, sizeof(puback));
        }
    }
}

static void take_rope(struct host *h, tcp_id id, struct ends_bytes *to) {
    struct rope *rx = tcp_conn_rx(h->tcp, id);
    for (const struct rte_mbuf *m = rx->head; m != NULL; m = m->next)
        bytes_put(to, rte_pktmbuf_mtod(m, const void *), m->data_len);
    rope_clear(rx);
    tcp_conn_consumed(h->tcp, id);
}

static void server_ready(struct host *h, tcp_id id, uint8_t events) {
    struct ends *e = h->owner;
    struct ends_server *s = &e->servers[id];
    if (events & TCP_EV_ACCEPTED) {
        s->greeted = !is_mqtt(e);
        s->client = s->number = 0; /* servers of other kinds know one client */
        s->in.len = 0;
    }
    take_rope(h, id, &s->in);
    if (events & TCP_EV_CLOSED) {
        tcp_conn_release(h->tcp, id);
        return;
    }
    if (s->greeted || server_greeted(e, id, s))
        server_messages(e, id, s);
}

/* --- the clients' side --- */

static void client_ready(struct host *h, tcp_id id, uint8_t events) {
    struct ends *e = h->owner;
    take_rope(h, id, &e->clients[e->client_of[id]].in);
    if (events & TCP_EV_CLOSED)
        rig_explain(e->rig, tcp_end_name(tcp_conn_end(h->tcp, id)));
}

/* Everything that came back, opened, is appended to c->plain. */
static void client_open(struct ends_client *c) {
    uint8_t part[4096];
    int n;
    if (c->ssl == NULL) {
        bytes_put(&c->plain, c->in.data, c->in.len);
        c->in.len = 0;
        return;
    }
    if (c->in.len != 0 && BIO_write(c->rbio, c->in.data, (int)c->in.len) != (int)c->in.len)
        rig_fail("out of memory");
    c->in.len = 0;
    while ((n = SSL_read(c->ssl, part, sizeof(part))) > 0)
        bytes_put(&c->plain, part, (size_t)n);
    if (SSL_get_error(c->ssl, n) != SSL_ERROR_WANT_READ)
        rig_fail("libssl does not open what the worker has sealed");
}

/* The wire bytes of `n` bytes of plaintext. */
static void client_seal(struct ends_client *c, const void *data, uint32_t n, struct ends_bytes *wire) {
    if (c->ssl == NULL) {
        bytes_put(wire, data, n);
        return;
    }
    if (SSL_write(c->ssl, data, (int)n) != (int)n)
        rig_fail("libssl does not seal");
    uint8_t *sealed;
    long sealed_n = BIO_get_mem_data(c->wbio, (char **)&sealed);
    bytes_put(wire, sealed, (size_t)sealed_n);
    (void)BIO_reset(c->wbio);
}

/* One step towards an accepted client. */
static void client_greet(struct ends *e, uint32_t i) {
    struct ends_client *c = &e->clients[i];
    struct host *h = &e->host[RIG_FRONT];
    struct ends_bytes wire = {0};
    uint8_t hello[64];
    if (tcp_conn_state(h->tcp, c->id) != TCP_ESTABLISHED)
        return;
    if (c->ssl != NULL && !SSL_is_init_finished(c->ssl)) {
        if (c->in.len != 0 && BIO_write(c->rbio, c->in.data, (int)c->in.len) != (int)c->in.len)
            rig_fail("out of memory");
        c->in.len = 0;
        if (SSL_do_handshake(c->ssl) != 1 && SSL_get_error(c->ssl, -1) != SSL_ERROR_WANT_READ)
            rig_fail("a TLS handshake with the worker failed");
        uint8_t *out;
        long n = BIO_get_mem_data(c->wbio, (char **)&out);
        bytes_put(&wire, out, (size_t)n);
        (void)BIO_reset(c->wbio);
    }
    if (!c->greeted && (c->ssl == NULL || SSL_is_init_finished(c->ssl))) {
        c->greeted = true;
        if (is_mqtt(e))
            client_seal(c, hello, connect_make(i, hello), &wire);
        else
            c->accepted = true;
    }
    if (wire.len != 0)
        host_write(h, c->id, wire.data, (uint32_t)wire.len);
    bytes_free(&wire);
    if (!c->greeted || c->accepted)
        return;
    client_open(c);
    if (c->plain.len >= 4 && memcmp(c->plain.data, "\x20\2\0", 4) == 0) {
        c->accepted = true;
        bytes_skip(&c->plain, 4);
    }
}

static void client_begin(struct ends *e, uint32_t i) {
    struct ends_client *c = &e->clients[i];
    static const uint16_t ports[][2] = {[ENDS_MQTT0] = {RIG_MQTT, RIG_MQTTS},
                                        [ENDS_MQTT1] = {RIG_MQTT, RIG_MQTTS},
                                        [ENDS_BULK] = {RIG_TCP, RIG_TCPS},
                                        [ENDS_ECHO] = {RIG_ECHO, RIG_ECHO}};
    uint16_t port = ports[e->kind][e->tls];
    e->next_port = e->next_port == LAST_PORT ? FIRST_PORT : e->next_port + 1;
    if (tcp_connect(e->host[RIG_FRONT].tcp, 0, RIG_CLIENT, rte_cpu_to_be_16((uint16_t)e->next_port), RIG_ADDR(0, 1),
                    rte_cpu_to_be_16(port), 0, e->rig->now_us, &c->id) != 0)
        rig_fail("a client cannot connect");
    e->client_of[c->id] = i;
    if (!e->tls)
        return;
    c->ssl = SSL_new(e->ctx);
    c->rbio = BIO_new(BIO_s_mem());
    c->wbio = BIO_new(BIO_s_mem());
    if (!c->ssl || !c->rbio || !c->wbio)
        rig_fail("out of memory");
    SSL_set_bio(c->ssl, c->rbio, c->wbio);
    SSL_set_connect_state(c->ssl);
}

/* --- all of them --- */

void ends_open(struct ends *e, struct rig *rig, uint32_t max_conns) {
    memset(e, 0, sizeof(*e));
    e->rig = rig;
    e->max_conns = max_conns;
    e->next_port = FIRST_PORT;
    host_open(&e->host[RIG_FRONT], rig, RIG_FRONT, RIG_CLIENT, 2 * max_conns + 64);
    host_open(&e->host[RIG_BACK], rig, RIG_BACK, RIG_BROKER, 2 * max_conns + 64);
    e->host[RIG_FRONT].ready = client_ready;
    e->host[RIG_BACK].ready = server_ready;
    e->host[RIG_FRONT].owner = e->host[RIG_BACK].owner = e;
    e->servers = calloc(2 * max_conns + 65, sizeof(*e->servers));
    e->client_of = calloc(2 * max_conns + 65, sizeof(*e->client_of));
    e->ctx = SSL_CTX_new(TLS_client_method());
    if (e->servers == NULL || e->client_of == NULL || e->ctx == NULL)
        rig_fail("out of memory");
    SSL_CTX_set_verify(e->ctx, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_min_proto_version(e->ctx, TLS1_3_VERSION);
    SSL_CTX_set_ciphersuites(e->ctx, "TLS_AES_128_GCM_SHA256");
    SSL_CTX_set_mode(e->ctx, SSL_MODE_RELEASE_BUFFERS);
    if (tcp_listen(e->host[RIG_BACK].tcp, RIG_BROKER, RTE_BE16(RIG_MQTT), 0) != 0 ||
        tcp_listen(e->host[RIG_BACK].tcp, RIG_BROKER, RTE_BE16(RIG_TCP), 0) != 0)
        rig_fail("a broker cannot listen");
}

void ends_close(struct ends *e) {
    host_close(&e->host[RIG_FRONT]);
    host_close(&e->host[RIG_BACK]);
    for (uint32_t i = 0; i < 2 * e->max_conns + 65; i++)
        bytes_free(&e->servers[i].in);
    free(e->servers);
    free(e->client_of);
    SSL_CTX_free(e->ctx);
}

uint32_t ends_step(struct ends *e) {
    uint32_t work = host_send(&e->host[RIG_FRONT]) + host_send(&e->host[RIG_BACK]);
    work += rig_turn(e->rig);
    host_receive(&e->host[RIG_FRONT]);
    host_receive(&e->host[RIG_BACK]);
    e->rig->now_us += ENDS_STEP_US;
    return work;
}

void ends_connect(struct ends *e, enum ends_kind kind, bool tls, uint32_t n, uint32_t bytes) {
    uint32_t begun = 0, done = 0;
    e->kind = kind;
    e->tls = tls;
    e->n_clients = n;
    e->bytes = bytes;
    e->arrived = 0;
    e->clients = calloc(n, sizeof(*e->clients));
    if (e->clients == NULL || n > e->max_conns || (!is_mqtt(e) && n != 1))
        rig_fail("more clients than there is room for");
    for (uint32_t tries = 0; done < n; tries++) {
        uint32_t at_once = done == 0 ? 1 : SHAKING; /* the first one finds out everybody's MAC */
        for (; begun < n && begun - done < at_once; begun++)
            client_begin(e, begun);
        ends_step(e);
        for (uint32_t i = done; i < begun; i++)
            if (!e->clients[i].accepted)
                client_greet(e, i);
        while (done < begun && e->clients[done].accepted)
            done++;
        if (tries == PATIENCE)
            rig_fail("clients were not accepted");
    }
    ends_settle(e);
}

void ends_settle(struct ends *e) {
    const struct meter measured = e->rig->meter;
    for (uint32_t idle = 0; idle < 4;)
        idle = ends_step(e) == 0 ? idle + 1 : 0;
    e->rig->meter = measured;
}

void ends_disconnect(struct ends *e) {
    struct worker *w = e->rig->worker;
    for (uint32_t i = 0; i < e->n_clients; i++) {
        struct ends_client *c = &e->clients[i];
        tcp_conn_abort(e->host[RIG_FRONT].tcp, c->id);
        SSL_free(c->ssl);
        bytes_free(&c->out);
        bytes_free(&c->in);
        bytes_free(&c->plain);
        if (i % RESETS_A_TURN == RESETS_A_TURN - 1)
            ends_step(e);
    }
    free(e->clients);
    e->n_clients = 0;
    for (uint32_t tries = 0; w->sessions.used != 0 || e->host[RIG_BACK].tcp->conns.used != 0; tries++) {
        ends_step(e);
        e->rig->now_us += 1000;
        if (tries == PATIENCE)
            rig_fail("the worker does not let go of its sessions");
    }
}

/* --- messages on their way --- */

void ends_stage(struct ends *e, uint32_t each) {
    static uint8_t message[MESSAGE_ROOM];
    struct ends_bytes wire = {0};
    for (uint32_t i = 0; i < e->n_clients; i++) {
        struct ends_client *c = &e->clients[i];
        if (c->out_at != c->out.len)
            rig_fail("messages were staged and not sent");
        c->out.len = c->out_at = 0;
        for (uint32_t k = 0; k < each; k++) {
            wire.len = 0;
            client_seal(c, message, message_make(e, i, c->staged_n++, message), &wire);
            const uint32_t n = (uint32_t)wire.len;
            bytes_put(&c->out, &n, sizeof(n));
            bytes_put(&c->out, wire.data, n);
        }
    }
    bytes_free(&wire);
}

bool ends_publish(struct ends *e, uint32_t i) {
    struct ends_client *c = &e->clients[i];
    struct host *h = &e->host[RIG_FRONT];
    uint32_t n;
    if (c->out_at == c->out.len)
        return false;
    memcpy(&n, c->out.data + c->out_at, sizeof(n));
    if (tcp_conn_send_room(h->tcp, c->id, n) < n)
        return false;
    host_write(h, c->id, c->out.data + c->out_at + sizeof(n), n);
    c->out_at += sizeof(n) + n;
    return true;
}

/* What an answer to message `number` is. Returns its bytes; 0: none comes. */
static uint32_t answer_make(const struct ends *e, uint32_t client, uint32_t number, uint8_t *to) {
    if (e->kind == ENDS_ECHO)
        return message_make(e, client, number, to);
    if (e->kind != ENDS_MQTT1)
        return 0;
    to[0] = 0x40;
    to[1] = 2;
    put_u16(to + 2, packet_id(number));
    return 4;
}

void ends_check(struct ends *e) {
    static uint8_t expected[MESSAGE_ROOM];
    for (uint32_t i = 0; i < e->n_clients; i++) {
        struct ends_client *c = &e->clients[i];
        client_open(c);
        for (uint32_t n; (n = answer_make(e, i, c->answered_n, expected)) != 0 && c->answered_n < c->staged_n;) {
            if (c->plain.len < n || memcmp(c->plain.data, expected, n) != 0)
                rig_fail("an answer did not come back, or not as it should be");
            bytes_skip(&c->plain, n);
            c->answered_n++;
        }
        if (c->plain.len != 0)
            rig_fail("more came back than was to");
    }
}
