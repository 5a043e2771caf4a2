/* SPDX-License-Identifier: BSD-3-Clause */
/* What servers do, well or badly, and what has reached them: a message is marked in its client's ledger before its
 * PUBACK is written. */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAUSE_US (3 * SIM_SECOND)
#define OUT_MAX  32768u

static uint32_t draw_manner(struct sim *sim) {
    uint32_t sum = 0, at;
    for (unsigned i = 0; i < SIM_MANNER_COUNT; i++)
        sum += sim->setup.manners[i];
    at = sim_rng_below(&sim->rng, sum);
    for (unsigned i = 0; i < SIM_MANNER_COUNT; i++) {
        if (at < sim->setup.manners[i])
            return i;
        at -= sim->setup.manners[i];
    }
    return SIM_MANNER_GOOD;
}

/* Each server insists on a suite; where places for handshakes are few, on one that does not keep its place for good,
 * unless that is what a run is about. */
static unsigned shape_draw(struct sim *sim) {
    unsigned shape = sim_rng_below(&sim->rng, SIM_TLS_SHAPES);
    while (sim->setup.server_libssl && !sim_tls_is_libssl(shape))
        shape = sim_rng_below(&sim->rng, SIM_TLS_SHAPES);
    if (sim->setup.record_limit != 0 && !sim->setup.server_libssl)
        return SIM_TLS_GCM12;
    return sim->setup.handshakes != 0 && !sim->setup.server_libssl && sim_tls_is_libssl(shape) ? 0 : shape;
}

void sim_brokers_open(struct sim *sim) {
    const struct sim_setup *s = &sim->setup;
    for (unsigned i = 0; s->server_tls && i < s->n_servers; i++)
        sim->server_tls[i] = sim_tls_server(shape_draw(sim), SIM_CERT_SERVERS, s->server_asks);
    for (unsigned i = 0; s->server_tls && i < SIM_WRONG_CERTS; i++)
        sim->wrong_tls[i] = sim_tls_server(shape_draw(sim), SIM_CERT_COUNT - SIM_WRONG_CERTS + i, s->server_asks);
}

/* What a server shows of itself now. */
static SSL_CTX *context_now(const struct sim *sim, uint32_t server, bool *wrong) {
    for (unsigned i = 0; i < SIM_WRONG_CERTS; i++) {
        *wrong = sim->wrong[i] >> server & 1;
        if (*wrong)
            return sim->wrong_tls[i];
    }
    return sim->server_tls[server];
}

void sim_broker_accept(struct sim_host *h, tcp_id id) {
    struct sim *sim = h->sim;
    enum sim_manner manner = draw_manner(sim);
    if (manner == SIM_MANNER_RESET_AT_ONCE || sim->n_peers == WEIR_ARRAY_LEN(sim->peers)) {
        tcp_conn_abort(h->tcp, id);
        return;
    }
    struct sim_peer *p = calloc(1, sizeof(*p));
    if (p == NULL)
        abort();
    p->server = tcp_conn_listener(h->tcp, id);
    p->manner = manner;
    p->client = -1;
    p->tcp = tcp_conn_key(h->tcp, id)->local_port_be == RTE_BE16(SIM_TCP);
    p->after = sim_rng_below(&sim->rng, p->tcp ? sim->setup.bulk_bytes : sim->setup.messages);
    p->stalls = sim->setup.server_tls && sim->stalls >> p->server & 1;
    sim_sock_adopt(&p->sock, h, id);
    p->sock.news = true;
    sim->peers[sim->n_peers++] = p;
}

static struct sim_client *client_of(struct sim *sim, const struct sim_peer *p) {
    return p->client < 0 ? NULL : &sim->clients[p->client];
}

static void complain(struct sim *sim, const struct sim_peer *p, const char *what) {
    sim_fail(sim, "server %u%s, client %d round %u: %s; manner %d, message %u, up %u of %u, sent %u, %s", p->server,
             p->tcp ? " (tcp)" : "", p->client, p->round, what, p->manner, p->number, p->up, p->up_bytes, p->sent,
             p->sock.over ? tcp_end_name(p->sock.end) : "open");
}

/* Does the round this connection belongs to still run? */
static bool current(struct sim *sim, const struct sim_peer *p) {
    const struct sim_client *c = client_of(sim, p);
    return c != NULL && c->round == p->round && c->state != SIM_DONE;
}

/* Behind all that is queued, and with close_notify where there is TLS. */
static void close_in_order(struct sim_peer *p) {
    if (p->sock.close_out)
        return;
    p->sock.close_out = p->sock.notify = p->sock.news = true;
}

/* The moment to misbehave has come. */
static void misbehave(struct sim *sim, struct sim_peer *p) {
    struct sim_client *c = client_of(sim, p);
    if (p->acted || p->manner == SIM_MANNER_GOOD || p->manner == SIM_MANNER_REFUSE)
        return;
    p->acted = true;
    if (p->manner == SIM_MANNER_PAUSE) {
        p->sock.paused = true;
        p->resume_us = sim->now_us + PAUSE_US;
        return;
    }
    if (current(sim, p))
        c->excused = true;
    sim_note(sim, "server %u misbehaves to client %d: %d", p->server, p->client, p->manner);
    if (p->manner == SIM_MANNER_RESET)
        sim_sock_abort(&p->sock);
    else if (p->manner == SIM_MANNER_FIN)
        close_in_order(p);
    else if (p->manner == SIM_MANNER_CUT)
        p->sock.close_out = p->sock.news = true;
    else if (p->manner == SIM_MANNER_GARBAGE && !p->tcp)
        sim_sock_write(&p->sock, "\x00\x00\xff\xff\xff\xff", 6);
}

/* --- MQTT --- */

static void connack(struct sim_peer *p, uint8_t code) {
    const uint8_t body[3] = {0, code, 0};
    sim_mqtt_short(&p->sock.out, 0x20, body, p->level == 5 ? 3 : 2);
}

static void take_connect(struct sim *sim, struct sim_peer *p, const struct sim_packet *k) {
    uint32_t at = 10;
    p->level = k->body_len > 6 ? k->body[6] : 0;
    at += p->level == 5;
    if (p->head || k->body_len < at + 2 || (p->level != 4 && p->level != 5)) {
        complain(sim, p, "a CONNECT that no client sent");
        return;
    }
    p->head = true;
    char id[32];
    uint32_t n = (uint32_t)k->body[at] << 8 | k->body[at + 1];
    snprintf(id, sizeof(id), "%.*s", (int)weir_min_u32(n, k->body_len - at - 2), (const char *)k->body + at + 2);
    p->probe = strncmp(id, "weir-probe-", 11) == 0;
    if (p->probe || p->manner == SIM_MANNER_MUTE)
        p->acted = true;
    if (p->probe) {
        connack(p, 0);
        return;
    }
    if (id[0] != 'c' || strtoul(id + 1, NULL, 10) >= sim->n_clients) {
        complain(sim, p, "a client-id that nobody has");
        return;
    }
    p->client = (int)strtoul(id + 1, NULL, 10);
    p->round = k->body[9];
    struct sim_client *c = client_of(sim, p);
    if (c->server >= 0 && c->server != (int)p->server && sim_connect_failures(sim) == 0 &&
        strcmp(sim->setup.policy, "client-id") == 0)
        complain(sim, p, "the client has moved to another server while all were up");
    c->server = (int)p->server;
    if (p->manner == SIM_MANNER_MUTE || p->manner == SIM_MANNER_REFUSE)
        c->excused |= current(sim, p);
    if (p->manner == SIM_MANNER_MUTE)
        return;
    connack(p, p->manner != SIM_MANNER_REFUSE ? 0 : p->level == 5 ? 0x87 : 5);
    if (p->manner == SIM_MANNER_REFUSE)
        close_in_order(p);
}

static void take_publish(struct sim *sim, struct sim_peer *p, const struct sim_packet *k) {
    struct sim_client *c = client_of(sim, p);
    uint16_t id = 0;
    uint32_t number = p->round * c->messages + p->number;
    if (p->number >= c->messages || !sim_mqtt_payload(k, p->level, c->number, number, &id) || id != p->number + 1) {
        complain(sim, p, "a message is not what was sent");
        return;
    }
    p->number++;
    if (p->manner == SIM_MANNER_MUTE)
        return;
    c->seen[number] = 1;
    uint8_t body[2] = {(uint8_t)(id >> 8), (uint8_t)id};
    sim_mqtt_short(&p->sock.out, 0x40, body, 2);
}

static void take_packet(struct sim *sim, struct sim_peer *p, const struct sim_packet *k) {
    struct sim_client *c = client_of(sim, p);
    if (k->type != 1 && !p->head) {
        complain(sim, p, "a packet before CONNECT");
    } else if (k->type == 1) {
        take_connect(sim, p, k);
    } else if (p->probe) {
        return;
    } else if (k->type == 3) {
        take_publish(sim, p, k);
    } else if (k->type == 8 && p->manner != SIM_MANNER_MUTE) {
        const uint8_t body[] = {k->body[0], k->body[1], 0, 0};
        if (p->level == 5)
            sim_mqtt_short(&p->sock.out, 0x90, body, 4);
        else
            sim_mqtt_short(&p->sock.out, 0x90, (const uint8_t[]){k->body[0], k->body[1], 0}, 3);
        p->down = c->messages;
    } else if (k->type == 14) {
        if (current(sim, p))
            c->goodbye = true;
        if (p->manner != SIM_MANNER_MUTE)
            close_in_order(p);
    } else if (k->type != 8) {
        complain(sim, p, "a packet no client sent");
    }
}

#define PROXY2_BYTES 28u /* version 2 with two IPv4 addresses and ports */

/* PROXY header v1 (a line) or v2 (a length) in front of the stream. Returns true once it is past. */
static bool proxy_past(struct sim *sim, struct sim_peer *p) {
    const uint8_t *d = sim_bytes_at(&p->sock.in);
    size_t n = p->sock.in.len;
    if (p->proxy_seen || p->tcp || sim->setup.proxy_protocol == 0)
        return true;
    if (n == 0)
        return false;
    if (sim->setup.proxy_protocol == 1) {
        const uint8_t *end = memmem(d, n, "\r\n", 2);
        if (end == NULL)
            return false;
        if (memcmp(d, "PROXY TCP4 198.18.", 18) != 0)
            complain(sim, p, "no PROXY line");
        sim_bytes_skip(&p->sock.in, (size_t)(end + 2 - d));
    } else {
        size_t whole = n < 16 ? SIZE_MAX : 16 + ((size_t)d[14] << 8 | d[15]);
        if (n < whole)
            return false;
        if (memcmp(d, "\r\n\r\n\0\r\nQUIT\n\x21\x11", 14) != 0 || whole < PROXY2_BYTES ||
            memcmp(d + 16, "\xc6\x12", 2) != 0)
            complain(sim, p, "no PROXY header");
        size_t at = PROXY2_BYTES; /* what is known of TLS: type, length, value */
        while (at + 3 <= whole)
            at += 3 + ((size_t)d[at + 1] << 8 | d[at + 2]);
        if (at != whole)
            complain(sim, p, "a PROXY header whose parts do not fill it");
        sim_bytes_skip(&p->sock.in, whole);
    }
    p->proxy_seen = true;
    return true;
}

static void run_mqtt(struct sim *sim, struct sim_peer *p) {
    struct sim_packet k;
    struct sim_client *c;
    int n;
    while (sim->error[0] == '\0' && !p->sock.paused && (n = sim_mqtt_next(&p->sock.in, &k)) != 0) {
        if (n < 0) {
            complain(sim, p, "nonsense from a client");
            return;
        }
        take_packet(sim, p, &k);
        sim_bytes_skip(&p->sock.in, (size_t)n);
        p->sock.news = true;
        if (p->head && !p->probe && p->number >= p->after)
            misbehave(sim, p);
        if (p->sock.id == 0)
            return;
    }
    c = client_of(sim, p);
    while (c != NULL && p->sent < p->down && p->sock.out.len < OUT_MAX && !p->sock.close_out &&
           !(p->acted && p->manner == SIM_MANNER_GARBAGE)) {
        uint32_t len = 1 + sim_rng_below(&sim->rng, sim_rng_below(&sim->rng, 4) ? 100 : sim->setup.message_bytes);
        sim_mqtt_publish(&p->sock.out, p->level, 0, 0, c->number | 1u << 31, p->sent++, len);
        p->sock.news = true;
    }
}

/* --- streams --- */

static bool take_head(struct sim *sim, struct sim_peer *p) {
    uint32_t head[4];
    if (p->head)
        return true;
    if (p->sock.in.len < sizeof(head))
        return false;
    memcpy(head, sim_bytes_at(&p->sock.in), sizeof(head));
    sim_bytes_skip(&p->sock.in, sizeof(head));
    p->head = true;
    if (head[0] >= sim->n_clients) {
        complain(sim, p, "a stream that nobody began");
        return false;
    }
    p->client = (int)head[0];
    p->round = head[1];
    p->up_bytes = head[2];
    p->down_bytes = head[3];
    if (p->manner == SIM_MANNER_MUTE && current(sim, p))
        client_of(sim, p)->excused = true;
    return true;
}

static void run_tcp(struct sim *sim, struct sim_peer *p) {
    uint8_t piece[1024];
    if (!take_head(sim, p))
        return;
    const uint8_t *d = sim_bytes_at(&p->sock.in);
    for (size_t i = 0; i < p->sock.in.len; i++) {
        if (d[i] != sim_pattern((uint32_t)p->client, p->round, p->up + (uint32_t)i)) {
            complain(sim, p, "a client's stream is not what was sent");
            return;
        }
    }
    p->up += (uint32_t)p->sock.in.len;
    sim_bytes_skip(&p->sock.in, p->sock.in.len);
    if (p->up >= p->after && p->manner != SIM_MANNER_MUTE)
        misbehave(sim, p);
    if (p->sock.id == 0 || p->manner == SIM_MANNER_MUTE || p->sock.close_out)
        return;
    while (p->sent < p->down_bytes && p->sock.out.len < OUT_MAX) {
        uint32_t n = weir_min_u32(sizeof(piece), p->down_bytes - p->sent);
        for (uint32_t i = 0; i < n; i++)
            piece[i] = sim_pattern((uint32_t)p->client | 1u << 30, p->round, p->sent + i);
        sim_sock_write(&p->sock, piece, n);
        p->sent += n;
    }
    if (p->sock.eof && p->up != p->up_bytes)
        complain(sim, p, "a cut stream that looks complete");
    if (p->sock.eof && p->sent == p->down_bytes)
        close_in_order(p);
}

/* --- TLS --- */

/* Its client does not go on: neither does it. */
static void leave(struct sim_peer *p) {
    sim_bytes_skip(&p->sock.out, p->sock.out.len);
    p->sock.close_out = true;
}

/* Takes connections and says nothing, until its client has had enough. */
static void run_stall(struct sim_peer *p) {
    sim_bytes_skip(&p->sock.in, p->sock.in.len);
    if (p->sock.fin)
        leave(p);
}

/* TLS begins with what follows the PROXY header. What a server whose certificate is not good may never see is
 * plaintext. */
static void run_tls(struct sim *sim, struct sim_peer *p) {
    struct sim_sock *s = &p->sock;
    if (s->ssl == NULL) {
        sim_sock_tls_accept(s, context_now(sim, p->server, &p->wrong));
        sim_sock_pump(s);
    }
    if (!p->shaken && SSL_is_init_finished(s->ssl) && !s->tls_failed) {
        p->shaken = true;
        sim->shaken++;
        sim->resumed += (uint64_t)SSL_session_reused(s->ssl);
    }
    if (p->wrong && s->in.len != 0)
        complain(sim, p, "a server that is not the right one was told something");
    bool cut = (s->fin || s->over) && !s->eof;
    if (!s->tls_failed && !cut)
        return;
    sim->cut += p->shaken && cut && !s->tls_failed && !s->close_out;
    leave(p);
}

/* --- turns --- */

static void run(struct sim *sim, struct sim_peer *p) {
    if (sim->setup.server_tls)
        run_tls(sim, p);
    if (p->tcp)
        run_tcp(sim, p);
    else
        run_mqtt(sim, p);
    if (p->sock.eof && p->manner != SIM_MANNER_MUTE && !p->tcp && !p->sock.paused)
        close_in_order(p);
    if (p->sock.eof && p->tcp && !p->head) /* a client that left before its first byte */
        close_in_order(p);
}

static void peer_turn(struct sim *sim, struct sim_peer *p) {
    if (p->sock.paused && sim->now_us >= p->resume_us) {
        p->sock.paused = false;
        p->sock.news = true;
    }
    if (!p->sock.news)
        return;
    sim_sock_pump(&p->sock);
    if (p->stalls)
        run_stall(p);
    else if (proxy_past(sim, p))
        run(sim, p);
    else if (p->sock.fin)
        leave(p);
    if (p->sock.news || (p->sock.close_out && !p->sock.shut))
        sim_sock_pump(&p->sock);
}

static void peer_free(struct sim_peer *p) {
    sim_sock_free(&p->sock);
    free(p);
}

void sim_brokers_run(struct sim *sim) {
    for (uint32_t i = 0; i < sim->n_peers && sim->error[0] == '\0';) {
        struct sim_peer *p = sim->peers[i];
        peer_turn(sim, p);
        if (p->sock.id != 0) {
            i++;
            continue;
        }
        peer_free(p);
        sim->peers[i] = sim->peers[--sim->n_peers];
    }
}

void sim_brokers_free(struct sim *sim) {
    while (sim->n_peers > 0)
        peer_free(sim->peers[--sim->n_peers]);
    for (unsigned i = 0; i < SIM_MAX_SERVERS; i++)
        SSL_CTX_free(sim->server_tls[i]);
    for (unsigned i = 0; i < SIM_WRONG_CERTS; i++)
        SSL_CTX_free(sim->wrong_tls[i]);
}

/* Datagrams go back as they came. */
void sim_broker_datagram(struct sim_host *h, const struct sim_datagram *d) {
    struct sim_datagram back = {d->daddr_be, d->saddr_be, d->dport_be, d->sport_be, d->data, d->len};
    if (d->dport_be == RTE_BE16(SIM_UDP))
        sim_host_udp(h, &back);
    else
        sim_fail(h->sim, "a datagram to a port nobody asked for");
}
