/* SPDX-License-Identifier: BSD-3-Clause */
/* A client's life: AWAY > DIALING > SHAKING > ASKING > OPEN > CLOSING > AWAY. What goes wrong ends the connection, is
 * counted by the stage it happened in, and lets the client rest before it comes again. */
#include "load_int.h"

#include <string.h>

#define DIALS_A_TURN     32u
#define STORMY_DIALS     4u /* the same in a storm: their answers must fit into one burst beside those of others */
#define LEAVES_A_TURN    32u
#define CLOSING_AT_ONCE  1024u /* goodbyes under way: a flood of FINs would end in retransmissions */
#define LOOKED_AT_A_TURN 1024u
#define DIAL_TRIES       64u  /* tuples in use that are passed over, a turn */
#define DIAL_LATE_NS     10e6 /* connect_rate: what was missed longer ago is not made up for */
#define FIRED_A_TURN     128u
#define CLOSING_MS       5000u
#define RESTING_MS       100u
#define BACKOFF_MS       500u /* the storm's first; doubled ... */
#define BACKOFF_DOUBLED  4u   /* ... so many times */
#define PORT_FIRST       1024u
#define PORTS            (65536u - PORT_FIRST)
#define OPEN_BYTES       65536u /* plaintext of a visit */
#define ANSWER_MAX       256u   /* bytes of a packet to a client that are looked at */

static void deadline(struct load *l, struct client *c, uint32_t in_ms) {
    c->deadline_ms = load_now_ms(l) + in_ms;
    if (c->deadline_ms == 0)
        c->deadline_ms = 1; /* 0: none */
    timer_wheel_arm(&l->wheel, client_number(l, c), c->deadline_ms);
}

static bool is_connecting(const struct client *c) {
    return c->stage == CLIENT_DIALING || c->stage == CLIENT_SHAKING || c->stage == CLIENT_ASKING;
}

static bool is_open(const struct client *c) {
    return c->stage == CLIENT_OPEN || c->stage == CLIENT_CLOSING;
}

/* Gauges follow from the stage. */
static void enter(struct load *l, struct client *c, enum client_stage stage) {
    l->stats.connecting -= is_connecting(c);
    l->stats.open -= is_open(c);
    l->closing -= c->stage == CLIENT_CLOSING;
    c->stage = (uint8_t)stage;
    l->stats.connecting += is_connecting(c);
    l->stats.open += is_open(c);
    l->closing += stage == CLIENT_CLOSING;
}

/* --- the end --- */

/* The flow is let go or gone: give back what belonged to it. */
static void forget(struct load *l, struct client *c) {
    if (c->shake != NULL)
        hs13_free(c->shake);
    c->shake = NULL;
    if (c->tls != 0)
        tls_conn_free(&l->tls, c->tls);
    c->tls = 0;
    rope_clear(&c->plain);
    c->conn = 0;
    c->deadline_ms = 0;
    publish_broken(c);
}

/* How long it stays away. Of the back-off a random part, so that those who failed together do not come together. */
static uint32_t rest_ms(const struct load *l, struct client *c) {
    if (!load_storms(l, c))
        return RESTING_MS;
    uint32_t full_ms = BACKOFF_MS << weir_min_u32(c->failures++, BACKOFF_DOUBLED);
    uint64_t mixed = (l->config.seed + client_number(l, c)) * 0x9e3779b97f4a7c15ull + c->failures;
    mixed = (mixed ^ mixed >> 29) * 0xbf58476d1ce4e5b9ull;
    return full_ms / 2 + (uint32_t)(mixed >> 33) % (full_ms / 2);
}

/* It went wrong: `counter` of the clients' side says where. */
static void fail(struct load *l, struct client *c, uint64_t *counter) {
    (*counter)++;
    tcp_conn_abort(&l->tcp, c->conn);
    forget(l, c);
    enter(l, c, CLIENT_RESTING);
    deadline(l, c, rest_ms(l, c));
}

void client_break(struct load *l, struct client *c) {
    fail(l, c, &l->stats.resets);
}

/* What the stage's failure is called. */
static uint64_t *failure(struct load *l, const struct client *c) {
    switch (c->stage) {
    case CLIENT_DIALING:
        return &l->stats.connect_failed;
    case CLIENT_SHAKING:
        return &l->stats.tls_failed;
    case CLIENT_ASKING:
        return &l->stats.mqtt_refused;
    default:
        return &l->stats.resets;
    }
}

/* Both sides have said all they had to say. */
static void finish(struct load *l, struct client *c) {
    bool rests = c->stage != CLIENT_CLOSING; /* the server wanted it */
    l->stats.closed++;
    tcp_conn_release(&l->tcp, c->conn);
    forget(l, c);
    enter(l, c, rests ? CLIENT_RESTING : CLIENT_AWAY);
    if (rests)
        deadline(l, c, RESTING_MS);
    else if (!l->leaving)
        list_push(l, LIST_CONNECT, c);
}

/* --- bytes out --- */

void client_send(struct load *l, struct client *c, struct rope *wire) {
    if (wire->len_bytes != 0 && tcp_conn_send(&l->tcp, c->conn, wire) != 0)
        rope_clear(wire);
}

int client_seal(struct load *l, struct client *c, struct rope *plain, struct rope *wire) {
    int rc = 0;
    while (rc >= 0 && plain->len_bytes != 0)
        rc = tls_seal(&l->tls, c->tls, plain, wire, plain->len_bytes, 0);
    rope_clear(plain);
    return rc < 0 ? rc : 0;
}

/* A packet that is no PUBLISH, behind what `wire` holds. 0 or why not. */
static int say(struct load *l, struct client *c, const uint8_t *data, uint32_t n, struct rope *wire) {
    struct rope plain = {0};
    int rc = rope_append(&plain, l->config.client_port.pool, data, n);
    if (rc == 0 && l->config.tls)
        rc = client_seal(l, c, &plain, wire);
    else if (rc == 0)
        rope_splice(wire, &plain);
    c->last_out_ms = load_now_ms(l);
    return rc;
}

static void goodbye(struct load *l, struct client *c) {
    static const uint8_t disconnect[] = {MQTT_DISCONNECT << 4, 0};
    struct rope wire = {0};
    (void)say(l, c, disconnect, sizeof(disconnect), &wire); /* without mbufs FIN has to do */
    if (l->config.tls)
        (void)tls_close(&l->tls, c->tls, &wire);
    client_send(l, c, &wire);
    tcp_conn_shutdown(&l->tcp, c->conn);
    enter(l, c, CLIENT_CLOSING);
    deadline(l, c, CLOSING_MS);
}

/* --- from SYN to CONNACK --- */

/* A connection from the next address and port. 0, WEIR_EEXIST (so many were in use: on with it next turn) or
 * WEIR_ENOMEM. */
static int dial(struct load *l, struct client *c) {
    const struct net_if *ifc = &l->config.client_port.ifc;
    int rc = WEIR_EEXIST;
    for (uint32_t i = 0; rc == WEIR_EEXIST && i < DIAL_TRIES; i++) {
        uint64_t tuple = l->dial_tuple++;
        uint32_t addr_be = ifc->addrs[tuple % ifc->n_addrs].addr_be;
        uint16_t port = (uint16_t)(PORT_FIRST + tuple / ifc->n_addrs % PORTS);
        rc = tcp_connect(&l->tcp, 0, addr_be, rte_cpu_to_be_16(port), l->config.target_addr_be,
                         l->config.target_port_be, load_user(client_number(l, c), ROLE_CLIENT), l->now_us, &c->conn);
    }
    if (rc != 0) {
        c->conn = 0;
        return rc;
    }
    c->begun_ns = l->now_ns;
    l->stats.connects_begun++;
    enter(l, c, CLIENT_DIALING);
    deadline(l, c, l->config.patience_ms);
    return 0;
}

/* Connections that may be begun now. Until the first CONNACK no more than ARP keeps packets for, here, in the target
 * and at the brokers: the others' would be lost, and come again a second later. */
static uint32_t dials_due(struct load *l) {
    uint32_t window = l->config.connect_window;
    if (!l->ways_known)
        window = weir_min_u32(window, ARP_WAITING_PACKETS / 2);
    uint32_t room =
        weir_min_u32(window - weir_min_u32(l->stats.connecting, window), l->config.storm ? STORMY_DIALS : DIALS_A_TURN);
    if (l->config.connect_rate == 0)
        return room;
    double now_ns = (double)l->now_ns;
    if (l->dial_next_ns < now_ns - DIAL_LATE_NS)
        l->dial_next_ns = now_ns - DIAL_LATE_NS;
    if (l->dial_next_ns > now_ns)
        return 0;
    double due = (now_ns - l->dial_next_ns) * l->config.connect_rate / 1e9 + 1;
    return due < room ? (uint32_t)due : room;
}

uint32_t client_dial_some(struct load *l) {
    if (!l->connecting || l->resting || l->leaving || l->lists[LIST_CONNECT].head == 0)
        return 0;
    uint32_t due = dials_due(l), begun = 0;
    while (begun < due) {
        struct client *c = list_pop(l, LIST_CONNECT);
        if (c == NULL)
            break;
        if (dial(l, c) != 0) {
            list_push(l, LIST_CONNECT, c);
            break;
        }
        if (l->config.connect_rate != 0)
            l->dial_next_ns += 1e9 / l->config.connect_rate;
        begun++;
    }
    return begun;
}

static void ask(struct load *l, struct client *c, struct rope *wire) {
    uint8_t connect[64];
    uint32_t n = payload_connect(l, client_number(l, c) - 1, connect);
    enter(l, c, CLIENT_ASKING);
    if (say(l, c, connect, n, wire) != 0) {
        rope_clear(wire);
        fail(l, c, &l->stats.mqtt_refused);
        return;
    }
    client_send(l, c, wire);
}

static void connected(struct load *l, struct client *c) {
    struct rope wire = {0};
    l->stats.connected++;
    if (!l->config.tls) {
        ask(l, c, &wire);
        return;
    }
    const struct client_ticket *t = l->tickets != NULL ? &l->tickets[client_number(l, c)] : NULL;
    c->shake =
        hs13_new(l->hs13, l->config.suite, NULL, t != NULL && t->valid ? &t->ticket : NULL, l->now_ns / 1000000, &wire);
    enter(l, c, CLIENT_SHAKING);
    if (c->shake == NULL) {
        rope_clear(&wire);
        fail(l, c, &l->stats.tls_failed);
        return;
    }
    client_send(l, c, &wire);
}

/* Finished has left: keys go to the record layer. */
static void shaken(struct load *l, struct client *c, const struct hs13_result *result, struct rope *wire) {
    hs13_free(c->shake);
    c->shake = NULL;
    c->tls = tls_conn_adopt(&l->tls, &result->agreed, client_number(l, c));
    if (c->tls == 0) {
        rope_clear(wire);
        fail(l, c, &l->stats.tls_failed);
        return;
    }
    l->stats.tls_done++;
    l->stats.tls_resumed += result->resumed;
    if (l->tickets != NULL) {
        l->tickets[client_number(l, c)].from = *result;
        l->tickets[client_number(l, c)].fresh = false;
    }
    ask(l, c, wire);
}

static void shake(struct load *l, struct client *c, struct rope *rx) {
    struct hs13_result result;
    struct rope wire = {0};
    int rc = hs13_input(c->shake, rx, &wire, &result);
    if (rc > 0) {
        shaken(l, c, &result, &wire);
    } else if (rc < 0) {
        rope_clear(&wire);
        fail(l, c, &l->stats.tls_failed);
    } else {
        client_send(l, c, &wire);
    }
}

void client_ticket_in(void *ctx, uint32_t user, const uint8_t *message, uint32_t n) {
    struct load *l = ctx;
    struct client_ticket *t = &l->tickets[user];
    if (t->fresh)
        return;
    t->fresh = hs13_ticket_parse(l->hs13, &t->from, message, n, l->now_ns / 1000000, &t->ticket) == 0;
    t->valid |= t->fresh;
}

/* --- answers --- */

static void accepted(struct load *l, struct client *c) {
    uint64_t took_ns = l->now_ns - c->begun_ns;
    l->stats.mqtt_accepted++;
    c->failures = 0;
    l->ways_known = true;
    histogram_add(&l->stats.connect_ns, took_ns);
    enter(l, c, CLIENT_OPEN);
    c->deadline_ms = 0;
    if (l->config.traffic == LOAD_CHURN) {
        histogram_add(&l->stats.latency_ns, took_ns);
        goodbye(l, c);
        return;
    }
    if (l->leaving) {
        goodbye(l, c);
        return;
    }
    if (l->config.keepalive_s != 0)
        deadline(l, c, l->config.keepalive_s * 750); /* at three quarters of it */
    publish_ready(l, c);
}

/* One packet of the server's, of which `n` bytes lie at `data`. Ends the client where it makes no sense. */
static void take_packet(struct load *l, struct client *c, uint8_t first, const uint8_t *body, uint32_t n) {
    switch (first >> 4) {
    case MQTT_PUBACK:
        if (n < 2 || !publish_acked(l, c, (uint16_t)(body[0] << 8 | body[1])))
            l->stats.messages_corrupt++;
        return;
    case MQTT_CONNACK:
        if (c->stage == CLIENT_ASKING && n >= 2 && body[1] == 0)
            accepted(l, c);
        else
            fail(l, c, failure(l, c));
        return;
    case MQTT_PINGRESP:
    case MQTT_DISCONNECT: /* FIN follows */
        return;
    default:
        fail(l, c, failure(l, c));
    }
}

/* Whole packets at the head of `r`. They may end the client. */
static void take_packets(struct load *l, struct client *c, struct rope *r) {
    uint8_t scratch[ANSWER_MAX];
    while (c->stage == CLIENT_OPEN || c->stage == CLIENT_ASKING) {
        struct packet p;
        int rc = packet_peek(r, &p);
        if (rc == WEIR_MORE || (rc == 0 && p.bytes > r->len_bytes && p.bytes <= ANSWER_MAX))
            return;
        if (rc != 0 || p.bytes > ANSWER_MAX) { /* nothing we asked for is that large */
            fail(l, c, failure(l, c));
            return;
        }
        const uint8_t *data = rope_peek(r, 0, p.bytes, scratch);
        uint8_t body[2] = {0};
        uint32_t n = weir_min_u32(p.bytes - p.head_bytes, sizeof(body));
        memcpy(body, data + p.head_bytes, n);
        rope_trim(r, p.bytes);
        take_packet(l, c, p.first, body, n);
    }
}

/* Records to packets. Returns true where nothing more follows: close_notify. */
static bool open_records(struct load *l, struct client *c, struct rope *rx) {
    struct rope wire = {0};
    int v = tls_input(&l->tls, c->tls, rx, &c->plain, &wire, OPEN_BYTES);
    client_send(l, c, &wire);
    if (v < 0) {
        fail(l, c, &l->stats.tls_failed);
        return false;
    }
    if (v & TLS_MORE_WORK)
        tcp_conn_again(&l->tcp, c->conn, TCP_EV_READABLE);
    take_packets(l, c, &c->plain);
    return v & TLS_CLOSE;
}

/* What has come is read as far as the stage goes. Returns true at the end of the stream. */
static bool take_bytes(struct load *l, struct client *c, struct rope *rx) {
    bool over = false;
    if (c->stage == CLIENT_SHAKING)
        shake(l, c, rx);
    if (c->stage == CLIENT_ASKING || c->stage == CLIENT_OPEN) {
        if (l->config.tls)
            over = open_records(l, c, rx);
        else
            take_packets(l, c, rx);
    }
    if (c->conn == 0)
        return false;
    if (c->stage == CLIENT_CLOSING)
        rope_clear(tcp_conn_rx(&l->tcp, c->conn));
    tcp_conn_consumed(&l->tcp, c->conn);
    return over;
}

void client_news(struct load *l, struct client *c, uint8_t events) {
    struct rope *rx = tcp_conn_rx(&l->tcp, c->conn);
    tcp_id conn = c->conn;
    bool over = false;
    if (events & TCP_EV_CONNECTED && c->stage == CLIENT_DIALING)
        connected(l, c);
    if (c->conn == conn && rx->len_bytes != 0)
        over = take_bytes(l, c, rx);
    if (c->conn != conn)
        return; /* it has ended */
    if (events & TCP_EV_CLOSED && tcp_conn_end(&l->tcp, conn) != TCP_END_FIN) {
        fail(l, c, failure(l, c));
        return;
    }
    if (over || events & TCP_EV_CLOSED || tcp_conn_peer_fin(&l->tcp, conn)) {
        if (is_open(c))
            finish(l, c);
        else
            fail(l, c, failure(l, c));
        return;
    }
    if (events & TCP_EV_WRITABLE && c->stage == CLIENT_OPEN)
        publish_ready(l, c);
}

/* --- time --- */

static void keep_alive(struct load *l, struct client *c) {
    static const uint8_t pingreq[] = {MQTT_PINGREQ << 4, 0};
    uint32_t every_ms = l->config.keepalive_s * 750, silent_ms = load_now_ms(l) - c->last_out_ms;
    struct rope wire = {0};
    if (silent_ms >= every_ms) {
        (void)say(l, c, pingreq, sizeof(pingreq), &wire);
        client_send(l, c, &wire);
        silent_ms = 0;
    }
    deadline(l, c, every_ms - silent_ms);
}

static void expired(struct load *l, struct client *c) {
    c->deadline_ms = 0;
    switch (c->stage) {
    case CLIENT_RESTING:
        enter(l, c, CLIENT_AWAY);
        if (!l->leaving)
            list_push(l, LIST_CONNECT, c);
        break;
    case CLIENT_OPEN:
        keep_alive(l, c);
        break;
    default:
        fail(l, c, failure(l, c));
    }
}

uint32_t client_timers(struct load *l) {
    uint32_t numbers[FIRED_A_TURN];
    uint32_t n = timer_wheel_advance(&l->wheel, load_now_ms(l), numbers, FIRED_A_TURN), done = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct client *c = &l->clients[numbers[i]];
        if (c->deadline_ms == 0)
            continue;
        if ((int32_t)(load_now_ms(l) - c->deadline_ms) < 0) {
            timer_wheel_arm(&l->wheel, numbers[i], c->deadline_ms); /* it was moved back meanwhile */
            continue;
        }
        expired(l, c);
        done++;
    }
    return done;
}

/* --- goodbye to all --- */

uint32_t client_leave_some(struct load *l) {
    uint32_t left = 0;
    for (uint32_t i = 0; i < LOOKED_AT_A_TURN && left < LEAVES_A_TURN; i++) {
        if (!l->leaving || l->leave_next > l->config.connections || l->closing >= CLOSING_AT_ONCE)
            break;
        struct client *c = &l->clients[l->leave_next++];
        if (c->stage == CLIENT_OPEN) {
            goodbye(l, c);
            left++;
        } else if (is_connecting(c)) {
            tcp_conn_abort(&l->tcp, c->conn);
            forget(l, c);
            enter(l, c, CLIENT_AWAY);
            left++;
        }
    }
    return left;
}
