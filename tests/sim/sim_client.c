/* SPDX-License-Identifier: BSD-3-Clause */
/* What clients do, how they end, and what they may expect of the system in between. */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW     8u
#define OUT_MAX    65536u
#define PATIENCE   (180 * SIM_SECOND) /* beyond it something is stuck */
#define EXCUSED_US (25 * SIM_SECOND)  /* whoever has reason to fail gives up after so long */
#define STALL_US   (4 * SIM_SECOND)

/* --- making them --- */

static uint32_t draw(struct sim *sim, const uint32_t *weights, uint32_t n) {
    uint32_t sum = 0, at;
    for (uint32_t i = 0; i < n; i++)
        sum += weights[i];
    at = sim_rng_below(&sim->rng, sum);
    for (uint32_t i = 0; i < n; i++) {
        if (at < weights[i])
            return i;
        at -= weights[i];
    }
    return 0;
}

static void client_draw(struct sim *sim, uint32_t number) {
    const struct sim_setup *s = &sim->setup;
    struct sim_client *c = &sim->clients[number];
    *c = (struct sim_client){.sim = sim, .number = number, .server = -1};
    c->kind = draw(sim, s->kinds, SIM_KIND_COUNT);
    c->ending = draw(sim, s->endings, SIM_END_COUNT);
    c->level = sim_rng_below(&sim->rng, 2) ? 5 : 4;
    c->tls = c->kind == SIM_KIND_MQTTS || c->kind == SIM_KIND_TCPS;
    if (c->kind == SIM_KIND_GARBAGE || c->kind == SIM_KIND_SILENT)
        c->tls_shape = (uint8_t)sim_rng_below(&sim->rng, 2); /* which port */
    else
        c->tls_shape = (uint8_t)sim_rng_below(&sim->rng, SIM_TLS_SHAPES);
    if (s->record_limit != 0 && c->tls && c->number % 2 == 0)
        c->tls_shape = SIM_TLS_GCM12;
    if (s->handshakes != 0 && sim_tls_is_libssl(c->tls_shape)) /* these keep the few places for good */
        c->tls_shape = 0;
    c->subscribes = c->ending == SIM_END_STALL || sim_rng_below(&sim->rng, 3) == 0;
    c->eager = sim_rng_below(&sim->rng, 3) == 0;
    c->slow = sim_rng_below(&sim->rng, 8) == 0;
    c->addr_be = SIM_ADDR(0, SIM_CLIENT_HOST + sim_rng_below(&sim->rng, SIM_CLIENT_ADDRS));
    c->start_us = sim->start_us + sim_rng_below(&sim->rng, s->spread_us + 1);
    c->rounds = 1 + sim_rng_below(&sim->rng, s->rounds);
    c->messages = 1 + sim_rng_below(&sim->rng, s->messages);
    c->up_bytes = 1 + sim_rng_below(&sim->rng, s->bulk_bytes);
    c->down_bytes = sim_rng_below(&sim->rng, s->bulk_bytes);
    if (s->one_way) {
        c->subscribes = c->eager = false;
        c->down_bytes = 0;
    }
    c->seen = calloc(c->rounds * c->messages, 1);
    if (c->seen == NULL)
        abort();
}

void sim_clients_draw(struct sim *sim) {
    for (unsigned i = 0; i < SIM_TLS_SHAPES; i++)
        sim->client_tls[i] = sim_tls_client(i);
    sim->n_clients = sim->setup.n_clients;
    for (uint32_t i = 0; i < sim->n_clients; i++)
        client_draw(sim, i);
}

void sim_clients_free(struct sim *sim) {
    for (uint32_t i = 0; i < sim->n_clients; i++) {
        sim_sock_free(&sim->clients[i].sock);
        SSL_SESSION_free(sim->clients[i].session);
        free(sim->clients[i].seen);
    }
    for (unsigned i = 0; i < SIM_TLS_SHAPES; i++)
        SSL_CTX_free(sim->client_tls[i]);
}

bool sim_clients_done(const struct sim *sim) {
    for (uint32_t i = 0; i < sim->n_clients; i++)
        if (sim->clients[i].state != SIM_DONE)
            return false;
    return true;
}

/* --- a round --- */

static uint16_t service(const struct sim_client *c) {
    static const uint16_t ports[SIM_KIND_COUNT] = {
        [SIM_KIND_MQTT] = SIM_MQTT,    [SIM_KIND_MQTTS] = SIM_MQTTS, [SIM_KIND_TCP] = SIM_TCP,
        [SIM_KIND_TCPS] = SIM_TCPS,    [SIM_KIND_ECHO] = SIM_ECHO,   [SIM_KIND_UDP] = SIM_UDP,
        [SIM_KIND_UDP_ECHO] = SIM_ECHO};
    if (c->kind == SIM_KIND_GARBAGE || c->kind == SIM_KIND_SILENT)
        return c->tls_shape ? SIM_MQTTS : SIM_MQTT;
    return ports[c->kind];
}

static bool is_udp(const struct sim_client *c) {
    return c->kind == SIM_KIND_UDP || c->kind == SIM_KIND_UDP_ECHO;
}

static bool is_mqtt(const struct sim_client *c) {
    return c->kind == SIM_KIND_MQTT || c->kind == SIM_KIND_MQTTS;
}

static void round_begin(struct sim_client *c) {
    struct sim *sim = c->sim;
    struct sim_host *h = &sim->host[0];
    char id[32];
    c->state = SIM_RUNNING;
    c->deadline_us = sim->now_us + PATIENCE;
    c->sent = c->acked = c->got = c->up = c->down = 0;
    c->connack = c->suback = c->excused = c->cut = c->goodbye = false;
    c->wake_us = 0;
    c->up_to = sim_rng_below(&sim->rng, is_mqtt(c) ? c->messages + 1 : c->up_bytes);
    if (is_udp(c)) {
        c->sock.lport = h->next_port++;
        return;
    }
    sim->begun++;
    sim_sock_connect(&c->sock, h, c->addr_be, h->next_port++, service(c));
    if (c->tls) {
        sim_sock_tls(&c->sock, sim->client_tls[c->tls_shape]);
        if (c->session != NULL && sim_rng_below(&sim->rng, 2))
            SSL_set_session(c->sock.ssl, c->session);
    }
    if (is_mqtt(c) && c->ending != SIM_END_EARLY && !c->slow) {
        snprintf(id, sizeof(id), "c%u", c->number);
        sim_mqtt_connect(&c->sock.out, c->level, id);
        c->sock.out.data[c->sock.out.len - strlen(id) - (c->level == 5) - 3] = (uint8_t)c->round; /* keep-alive */
    }
    c->sock.news = true;
}

static void round_end(struct sim_client *c) {
    struct sim *sim = c->sim;
    if (c->sock.ssl != NULL && SSL_is_init_finished(c->sock.ssl)) {
        SSL_SESSION_free(c->session);
        c->session = SSL_get1_session(c->sock.ssl);
    }
    sim_sock_free(&c->sock);
    c->round++;
    c->state = c->round < c->rounds ? SIM_WAITING : SIM_DONE;
    c->start_us = sim->now_us + sim_rng_below(&sim->rng, 200000);
    sim_note(sim, "client %u: round %u of %u over", c->number, c->round, c->rounds);
}

static bool may_fail(const struct sim_client *c) {
    return c->excused || c->sim->lenient;
}

static const char *kind_name(enum sim_kind k) {
    static const char *const names[] = {
#define X(name) #name,
        SIM_KINDS(X)
#undef X
    };
    return names[k];
}

static void complain(struct sim_client *c, const char *what) {
    sim_fail(c->sim,
             "client %u (%s, level %u, ending %d, round %u, port %u): %s; sent %u acked %u of %u, got %u, up %u of %u, "
             "down %u of %u, state %d, %s%s%s%s%s",
             c->number, kind_name(c->kind), c->level, c->ending, c->round, c->sock.lport, what, c->sent, c->acked,
             c->messages, c->got, c->up, c->up_bytes, c->down, c->down_bytes, c->state,
             c->sock.connected ? "" : "not connected ", c->connack ? "CONNACK " : "", c->sock.fin ? "FIN " : "",
             c->sock.tls_failed ? "TLS failed " : "", c->sock.over ? tcp_end_name(c->sock.end) : "open");
}

/* --- endings --- */

/* Close in order; what the server still has to say is read. */
static void end_in_order(struct sim_client *c, bool notify) {
    c->state = SIM_ENDING;
    c->sock.close_out = true;
    c->sock.notify = notify;
    c->sock.news = true;
}

static void end_badly(struct sim_client *c) {
    if (c->ending == SIM_END_VANISH || (c->ending == SIM_END_EARLY && sim_rng_below(&c->sim->rng, 2)))
        c->sim->vanished++, sim_sock_vanish(&c->sock);
    else
        c->sim->resets++, sim_sock_abort(&c->sock);
    round_end(c);
}

/* The moment has come: true where the client is no longer running. */
static bool ending_now(struct sim_client *c) {
    switch (c->ending) {
    case SIM_END_RST:
    case SIM_END_VANISH:
        end_badly(c);
        return true;
    case SIM_END_FIN: /* streams end so anyway, once all is sent */
        if (is_mqtt(c))
            end_in_order(c, false);
        return is_mqtt(c);
    case SIM_END_STALL: /* reads nothing for a while, then goes on and ends in order */
        if (c->wake_us != 0)
            return false;
        c->wake_us = c->sim->now_us + STALL_US;
        c->sock.paused = true;
        return false;
    default:
        return false;
    }
}

/* Where libssl's answer finds no mbuf the connection ends, and is counted: so many clients may say so. Strangers' SYNs
 * may take all places of half-open flows. */
static bool scarcity_to_blame(struct sim_client *c) {
    uint64_t drops = 0, refused = 0;
    for (uint16_t i = 0; i < c->sim->weir.n_workers; i++) {
        drops += c->sim->weir.workers[i]->tls.stats.drops[TLS_DROP_NO_MEMORY];
        refused += c->sim->weir.workers[i]->tcp.stats.half_open_refused;
    }
    if (!c->sock.connected && refused != 0)
        return true;
    bool shaking = c->down == 0 && !c->connack;
    bool libssl = c->sim->setup.server_tls || (c->tls && (shaking || sim_tls_is_libssl(c->tls_shape)));
    return libssl && drops > c->sim->famine_victims && ++c->sim->famine_victims;
}

/* The stream ended in the middle: a key of TLS 1.2 was used up. MQTT ends in order; of a stream whose protocol nobody
 * here knows, only a reset says that this was not all. */
static bool key_to_blame(const struct sim_client *c) {
    const struct sim_setup *setup = &c->sim->setup;
    bool in_order = c->sock.end == TCP_END_FIN && c->sock.eof;
    if (setup->record_limit == 0)
        return false;
    return ((c->tls && c->tls_shape == SIM_TLS_GCM12) || setup->server_tls) && (is_mqtt(c) ? in_order : !c->sock.eof);
}

/* The stream is over or dead; was it to be? */
static void over(struct sim_client *c) {
    const struct sim_sock *s = &c->sock;
    bool bad_close = c->ending == SIM_END_FIN && is_mqtt(c) && c->tls; /* no close_notify: reset (RFC 8446 6.1) */
    bool good = s->end == TCP_END_FIN && s->eof && c->state == SIM_ENDING;
    if (is_mqtt(c) && c->ending != SIM_END_FIN)
        good &= c->goodbye && c->acked == c->messages;
    if (!is_mqtt(c))
        good &= c->down == (c->kind == SIM_KIND_ECHO ? c->up_bytes : c->down_bytes);
    if (!good && !bad_close && !may_fail(c) && !key_to_blame(c) && !scarcity_to_blame(c))
        complain(c, "its connection did not end as it should");
    round_end(c);
}

/* --- MQTT --- */

static uint32_t size_draw(struct sim *sim) {
    uint32_t shape = sim_rng_below(&sim->rng, 10), max = sim->setup.message_bytes;
    return 1 + sim_rng_below(&sim->rng, shape < 6 ? weir_min_u32(64, max) : shape < 9 ? weir_min_u32(2000, max) : max);
}

static void publish(struct sim_client *c) {
    while (c->sent < c->messages && c->sent - c->acked < WINDOW && c->sock.out.len < OUT_MAX) {
        sim_mqtt_publish(&c->sock.out, c->level, 1, (uint16_t)(c->sent + 1), c->number,
                         c->round * c->messages + c->sent, size_draw(c->sim));
        c->sent++;
        c->sock.news = true;
    }
}

static void take_packet(struct sim_client *c, const struct sim_packet *p) {
    uint16_t id = p->body_len >= 2 ? (uint16_t)(p->body[0] << 8 | p->body[1]) : 0;
    switch (p->type) {
    case 2:
        if (p->body[1] != 0) {
            if (!may_fail(c) && !scarcity_to_blame(c))
                complain(c, "refused");
            end_in_order(c, true);
            c->excused = true;
            return;
        }
        c->connack = true;
        if (c->subscribes) {
            sim_mqtt_subscribe(&c->sock.out, c->level);
            c->sock.news = true;
        }
        return;
    case 3:
        if (!sim_mqtt_payload(p, c->level, c->number | 1u << 31, c->got, &id))
            complain(c, "a message from the broker is not what was sent");
        c->got++;
        return;
    case 4:
        if (id == 0 || id > c->sent || !c->seen[c->round * c->messages + id - 1])
            complain(c, "PUBACK for a message that is not at any broker");
        c->acked++;
        return;
    case 9:
        c->suback = true;
        return;
    case 14: /* DISCONNECT from the broker or the balancer */
        if (!may_fail(c))
            complain(c, "told to disconnect");
        return;
    default:
        complain(c, "a packet no broker sends");
    }
}

static void parse(struct sim_client *c) {
    struct sim_packet p;
    int n;
    while ((n = sim_mqtt_next(&c->sock.in, &p)) > 0) {
        take_packet(c, &p);
        sim_bytes_skip(&c->sock.in, (size_t)n);
    }
    if (n < 0 && !c->excused)
        complain(c, "nonsense from the broker");
}

/* CONNECT a few bytes at a time. Returns true while it goes on. */
static bool dribble(struct sim_client *c) {
    struct sim_bytes b = {0};
    char id[32];
    if (!c->slow || !c->sock.connected)
        return c->slow;
    if (c->sim->now_us < c->wake_us)
        return true;
    snprintf(id, sizeof(id), "c%u", c->number);
    sim_mqtt_connect(&b, c->level, id);
    b.data[b.len - strlen(id) - (c->level == 5) - 3] = (uint8_t)c->round;
    uint32_t n = weir_min_u32(1 + sim_rng_below(&c->sim->rng, 4), (uint32_t)b.len - c->up);
    sim_sock_write(&c->sock, b.data + c->up, n);
    c->up += n;
    c->wake_us = c->sim->now_us + 30000;
    c->slow = c->up < b.len;
    if (!c->slow)
        c->wake_us = 0;
    sim_bytes_free(&b);
    return c->slow;
}

/* A few bytes of CONNECT or of ClientHello, and gone. */
static void run_early(struct sim_client *c) {
    static const uint8_t part[] = {0x10, 0x20, 0x00, 0x04, 'M', 'Q'};
    if (!c->sock.connected)
        return;
    if (c->wake_us == 0) {
        if (!c->tls)
            sim_sock_write(&c->sock, part, sim_rng_below(&c->sim->rng, sizeof(part) + 1));
        c->wake_us = c->sim->now_us + sim_rng_below(&c->sim->rng, 20000);
        return;
    }
    if (c->sim->now_us < c->wake_us)
        return;
    c->excused = true;
    if (sim_rng_below(&c->sim->rng, 3) == 0)
        end_in_order(c, false);
    else
        end_badly(c);
}

static void run_mqtt(struct sim_client *c) {
    if (c->ending == SIM_END_EARLY) {
        run_early(c);
        return;
    }
    if (dribble(c))
        return;
    parse(c);
    if (c->state != SIM_RUNNING)
        return;
    if (c->acked >= c->up_to && c->connack && ending_now(c))
        return;
    if (c->connack || c->eager)
        publish(c);
    if (c->acked == c->messages && !c->sock.paused && (!c->subscribes || c->got >= c->messages)) {
        sim_mqtt_short(&c->sock.out, 0xe0, NULL, 0);
        end_in_order(c, true);
    }
}

/* --- streams --- */

static void check_down(struct sim_client *c, uint32_t writer) {
    const uint8_t *d = sim_bytes_at(&c->sock.in);
    uint32_t n = (uint32_t)c->sock.in.len;
    for (uint32_t i = 0; i < n; i++) {
        if (d[i] != sim_pattern(writer, c->round, c->down + i)) {
            complain(c, "its stream is not what was sent");
            break;
        }
    }
    c->down += n;
    sim_bytes_skip(&c->sock.in, n);
}

static void run_stream(struct sim_client *c) {
    bool echo = c->kind == SIM_KIND_ECHO;
    uint8_t piece[1024];
    if (c->up == 0 && !echo && c->sent++ == 0) {
        const uint32_t head[4] = {c->number, c->round, c->up_bytes, c->down_bytes};
        sim_sock_write(&c->sock, head, sizeof(head));
    }
    check_down(c, echo ? c->number : c->number | 1u << 30);
    if (c->up >= c->up_to && ending_now(c) && c->state != SIM_ENDING)
        return;
    while (c->up < c->up_bytes && c->sock.out.len < OUT_MAX) {
        uint32_t n = weir_min_u32(sizeof(piece), c->up_bytes - c->up);
        for (uint32_t i = 0; i < n; i++)
            piece[i] = sim_pattern(c->number, c->round, c->up + i);
        sim_sock_write(&c->sock, piece, n);
        c->up += n;
    }
    if (c->up == c->up_bytes && c->state == SIM_RUNNING)
        end_in_order(c, true);
}

/* --- datagrams --- */

static void run_udp(struct sim_client *c) {
    struct sim *sim = c->sim;
    uint8_t data[1400];
    if (sim->now_us < c->wake_us)
        return;
    if (c->sent == c->messages) {
        bool sure = !sim->lenient && sim->setup.n_faults == 0 && sim->setup.link.loss_ppm == 0 &&
                    sim->setup.link.corrupt_ppm == 0 && sim->setup.link.bytes_per_s == 0 && sim->setup.ring_slots == 0;
        if (sure && c->got < c->sent)
            complain(c, "datagrams are missing");
        round_end(c);
        return;
    }
    uint32_t len = 8 + sim_rng_below(&sim->rng, sizeof(data) - 8);
    const uint32_t head[2] = {c->number, c->sent};
    memcpy(data, head, sizeof(head));
    for (uint32_t i = 8; i < len; i++)
        data[i] = sim_pattern(c->number, c->sent, i);
    struct sim_datagram d = {
        c->addr_be, SIM_WEIR_FRONT, rte_cpu_to_be_16(c->sock.lport), rte_cpu_to_be_16(service(c)), data, len};
    sim_host_udp(&sim->host[0], &d);
    c->sent++;
    c->wake_us = sim->now_us + (c->sent == c->messages ? 2 * SIM_SECOND : 20000);
}

static void take_datagram(struct sim_host *h, const struct sim_datagram *d) {
    struct sim *sim = h->sim;
    uint32_t head[2];
    for (uint32_t k = 0; k < sim->n_clients; k++) {
        struct sim_client *c = &sim->clients[k];
        if (!is_udp(c) || c->state != SIM_RUNNING || rte_cpu_to_be_16(c->sock.lport) != d->dport_be)
            continue;
        bool good = d->len >= 8 && d->daddr_be == c->addr_be && d->sport_be == rte_cpu_to_be_16(service(c));
        if (good) {
            memcpy(head, d->data, sizeof(head));
            good = head[0] == c->number && head[1] < c->sent;
        }
        for (uint32_t i = 8; good && i < d->len; i++)
            good = d->data[i] == sim_pattern(c->number, head[1], i);
        if (!good)
            complain(c, "a datagram that is not its own");
        c->got++;
        return;
    }
}

/* --- those who talk nonsense, or not at all: the system has to close --- */

static void run_hostile(struct sim_client *c) {
    uint8_t noise[64];
    c->excused = true;
    if (c->sock.connected && c->sent == 0 && c->kind == SIM_KIND_GARBAGE) {
        for (uint32_t i = 0; i < sizeof(noise); i++)
            noise[i] = (uint8_t)sim_rng_next(&c->sim->rng);
        c->sent = 1 + sim_rng_below(&c->sim->rng, sizeof(noise));
        sim_sock_write(&c->sock, noise, c->sent);
    }
    sim_bytes_skip(&c->sock.in, c->sock.in.len);
    if (c->sock.fin && c->number % 2)
        end_in_order(c, false);
}

/* --- a turn --- */

/* close_notify in the middle: RFC 5246 7.2.1 has it answered at once. */
static bool told_to_go(struct sim_client *c) {
    if (c->sim->setup.record_limit == 0 || !c->sock.eof)
        return false;
    if (is_mqtt(c))
        parse(c);
    if (is_mqtt(c) && c->state == SIM_RUNNING)
        end_in_order(c, true);
    else if (!is_mqtt(c))
        complain(c, "a cut stream that looks complete");
    return true;
}

static void run(struct sim_client *c) {
    if (told_to_go(c))
        return;
    if (is_mqtt(c))
        run_mqtt(c);
    else if (is_udp(c))
        run_udp(c);
    else if (c->kind == SIM_KIND_GARBAGE || c->kind == SIM_KIND_SILENT)
        run_hostile(c);
    else
        run_stream(c);
}

static void give_up(struct sim_client *c) {
    if (may_fail(c) && c->kind != SIM_KIND_GARBAGE && c->kind != SIM_KIND_SILENT) {
        sim_sock_abort(&c->sock);
        round_end(c);
    } else {
        complain(c, "stuck");
    }
}

static void client_turn(struct sim_client *c) {
    struct sim *sim = c->sim;
    struct sim_sock *s = &c->sock;
    if (c->state == SIM_WAITING && sim->now_us >= c->start_us)
        round_begin(c);
    if (c->state == SIM_WAITING || c->state == SIM_DONE)
        return;
    if (s->paused && sim->now_us >= c->wake_us) {
        s->paused = false;
        s->news = true;
    }
    bool due = s->news || (c->wake_us != 0 && sim->now_us >= c->wake_us) || is_udp(c);
    if (due || sim->now_us > c->deadline_us) {
        if (!is_udp(c))
            sim_sock_pump(s);
        if (c->state == SIM_RUNNING)
            run(c);
        else if (is_mqtt(c))
            parse(c);
        else
            check_down(c, c->kind == SIM_KIND_ECHO ? c->number : c->number | 1u << 30);
    }
    if (c->state != SIM_RUNNING && c->state != SIM_ENDING)
        return;
    if (is_udp(c))
        return;
    if (s->over)
        over(c);
    else if (c->state == SIM_RUNNING && (s->fin || s->tls_failed) && may_fail(c))
        end_in_order(c, true);
    else if (sim->now_us > c->deadline_us ||
             (may_fail(c) && sim->now_us > c->deadline_us - PATIENCE + EXCUSED_US && c->kind < SIM_KIND_GARBAGE))
        give_up(c);
}

void sim_clients_run(struct sim *sim) {
    sim->host[0].datagram = take_datagram;
    for (uint32_t i = 0; i < sim->n_clients && sim->error[0] == '\0'; i++)
        client_turn(&sim->clients[i]);
}
