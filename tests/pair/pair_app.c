/* SPDX-License-Identifier: BSD-3-Clause */
/* The owners of the flows. What an end writes is a function of connection, side and position, so a reader knows every
 * byte it must get; an echoing end sends on the very mbufs it has read. */
#include "pair.h"

#include <string.h>

#define PATTERN_BYTES 65521 /* a prime: no position repeats at a power of two */
#define LISTENER      7

static uint8_t pattern[PATTERN_BYTES];

static void pattern_make(void) {
    struct sim_rng r;
    if (pattern[0])
        return;
    sim_rng_seed(&r, 1883);
    for (uint32_t i = 0; i < PATTERN_BYTES; i++)
        pattern[i] = (uint8_t)(sim_rng_next(&r) >> 56);
    pattern[0] |= 1;
}

/* The piece of a stream that begins at `position`, and how far it goes in one piece. */
static const uint8_t *stream_at(uint32_t stream, uint64_t position, uint32_t *len_bytes) {
    uint32_t at = (uint32_t)((position + stream * 7919ull) % PATTERN_BYTES);
    *len_bytes = PATTERN_BYTES - at;
    return pattern + at;
}

static struct pair_end *peer_of(struct pair *p, unsigned s, uint32_t number) {
    return &p->conn[number].end[!s];
}

/* The stream that end s of a connection reads: its peer's, or what it had sent to an echo itself. */
static uint32_t stream_read(struct pair *p, unsigned s, uint32_t number) {
    return number * 2 + (peer_of(p, s, number)->does & PAIR_ECHO ? s : !s);
}

static bool matches(uint32_t stream, uint64_t position, const uint8_t *bytes, uint32_t n) {
    while (n > 0) {
        uint32_t piece;
        const uint8_t *expected = stream_at(stream, position, &piece);
        piece = RTE_MIN(piece, n);
        if (memcmp(bytes, expected, piece) != 0)
            return false;
        bytes += piece;
        position += piece;
        n -= piece;
    }
    return true;
}

bool pair_stream_is(const struct pair *p, unsigned s, uint32_t number, uint64_t position, const uint8_t *bytes,
                    uint32_t n) {
    return matches(number * 2 + (p->conn[number].end[s].does & PAIR_ECHO ? !s : s), position, bytes, n);
}

/* Compare the first `n` bytes of the rope, which continue the stream. */
static void check_bytes(struct pair *p, unsigned s, uint32_t number, const struct rope *rx, uint32_t n) {
    struct pair_end *e = &p->conn[number].end[s];
    uint64_t position = e->read_bytes;
    if (e->does & PAIR_BLIND) {
        e->read_bytes += n;
        return;
    }
    for (const struct rte_mbuf *m = rx->head; n > 0; m = m->next) {
        uint32_t piece = m ? RTE_MIN(m->data_len, n) : 0;
        if (piece == 0) {
            pair_fail(p, "rope of %u bytes is %u short or has an empty mbuf", rx->len_bytes, n);
            return;
        }
        if (!matches(stream_read(p, s, number), position, rte_pktmbuf_mtod(m, const uint8_t *), piece)) {
            pair_fail(p, "conn %u side %u: other bytes than sent within %u from %lu", number, s, piece, position);
            return;
        }
        position += piece;
        n -= piece;
    }
    e->read_bytes = position;
    if (e->read_bytes > peer_of(p, s, number)->written_bytes)
        pair_fail(p, "conn %u side %u: read %lu bytes of %lu sent", number, s, e->read_bytes,
                  peer_of(p, s, number)->written_bytes);
}

static void read_some(struct pair *p, unsigned s, uint32_t number, bool all) {
    struct tcp_core *core = p->side[s].core;
    struct pair_end *e = &p->conn[number].end[s];
    struct rope *rx = tcp_conn_rx(core, e->id);
    uint32_t n = !all && e->read_chunk ? RTE_MIN(e->read_chunk, rx->len_bytes) : rx->len_bytes;
    if (n == 0 || (!all && p->now_us < e->read_from_us))
        return;
    p->progress = true;
    check_bytes(p, s, number, rx, n);
    if (p->error[0])
        return;
    rope_trim(rx, n);
    if (all)
        return;
    tcp_conn_consumed(core, e->id);
    if (rx->len_bytes > 0)
        tcp_conn_again(core, e->id, TCP_EV_READABLE);
}

/* Queue up to `n` bytes; fewer where the owner's pool is empty. Returns how many. */
static uint32_t queue_bytes(struct pair *p, unsigned s, uint32_t number, uint32_t n) {
    struct pair_end *e = &p->conn[number].end[s];
    struct rope out = {0};
    for (uint32_t done = 0, piece; done < n; done += piece) {
        const uint8_t *bytes = stream_at(number * 2 + s, e->written_bytes + done, &piece);
        piece = RTE_MIN(piece, n - done);
        piece = RTE_MIN(piece, 5000u);
        if (rope_append(&out, p->side[s].pools[PAIR_POOL_APP], bytes, piece) != 0)
            break;
    }
    uint32_t got = out.len_bytes;
    e->written_bytes += got;
    p->progress |= got > 0;
    if (got > 0 && (tcp_conn_send(p->side[s].core, e->id, &out) != 0 || out.len_bytes || out.head))
        pair_fail(p, "conn %u side %u: tcp_conn_send of %u bytes refused, or the rope is not empty", number, s, got);
    return got;
}

void pair_write(struct pair *p, unsigned s, uint32_t number, uint32_t n) {
    struct pair_end *e = &p->conn[number].end[s];
    e->write_bytes = RTE_MAX(e->write_bytes, e->written_bytes + n);
    if (queue_bytes(p, s, number, n) != n)
        pair_fail(p, "the pool has no room for %u bytes", n);
}

static bool fin_is_read(const struct pair *p, unsigned s, const struct pair_end *e) {
    return tcp_conn_peer_fin(p->side[s].core, e->id) && tcp_conn_rx(p->side[s].core, e->id)->len_bytes == 0;
}

static void write_some(struct pair *p, unsigned s, uint32_t number) {
    struct pair_end *e = &p->conn[number].end[s];
    uint64_t left = e->write_bytes - e->written_bytes;
    if (left == 0 || e->shut || (e->does & PAIR_AFTER_FIN && !fin_is_read(p, s, e)))
        return;
    uint32_t room = tcp_conn_send_room(p->side[s].core, e->id, sim_rng_below(&p->rng, 2) * 1000);
    uint32_t n = (uint32_t)RTE_MIN(left, room);
    n = e->write_chunk ? RTE_MIN(n, e->write_chunk) : n;
    uint32_t got = queue_bytes(p, s, number, n);
    if (got < n || (n && n == e->write_chunk && got < left))
        tcp_conn_again(p->side[s].core, e->id, TCP_EV_WRITABLE);
}

/* Send on what has come, as far as there is room, without looking at it again. */
static void echo_some(struct pair *p, unsigned s, uint32_t number) {
    struct tcp_core *core = p->side[s].core;
    struct pair_end *e = &p->conn[number].end[s];
    struct rope *rx = tcp_conn_rx(core, e->id), out = {0};
    uint32_t n = rx->len_bytes;
    if (n == 0 || p->now_us < e->read_from_us)
        return;
    n = RTE_MIN(n, tcp_conn_send_room(core, e->id, 0));
    n = e->read_chunk ? RTE_MIN(n, e->read_chunk) : n;
    if (n == 0)
        return;
    check_bytes(p, s, number, rx, n);
    if (rope_move(&out, rx, n, p->side[s].pools[PAIR_POOL_APP]) != 0) {
        e->read_bytes -= n;
        tcp_conn_again(core, e->id, TCP_EV_READABLE);
        return;
    }
    p->progress = true;
    tcp_conn_consumed(core, e->id);
    if (tcp_conn_send(core, e->id, &out) != 0)
        pair_fail(p, "conn %u side %u: tcp_conn_send refused an echo", number, s);
    e->written_bytes += n;
    if (rx->len_bytes > 0 && n == e->read_chunk) /* not short of room: that brings an event */
        tcp_conn_again(core, e->id, TCP_EV_READABLE);
}

void pair_close(struct pair *p, uint32_t number) {
    for (unsigned s = 0; s < 2; s++) {
        struct pair_end *e = &p->conn[number].end[s];
        if (!e->id)
            continue;
        e->does = PAIR_SHUTDOWN | PAIR_CLOSE;
        tcp_conn_again(p->side[s].core, e->id, TCP_EV_READABLE);
    }
}

void pair_shutdown(struct pair *p, unsigned s, uint32_t number) {
    struct pair_end *e = &p->conn[number].end[s];
    e->shut = true;
    tcp_conn_shutdown(p->side[s].core, e->id);
}

void pair_release(struct pair *p, unsigned s, uint32_t number) {
    struct pair_end *e = &p->conn[number].end[s];
    tcp_conn_release(p->side[s].core, e->id);
    e->released = true;
    e->id = 0;
}

void pair_abort(struct pair *p, unsigned s, uint32_t number) {
    struct pair_end *e = &p->conn[number].end[s];
    tcp_conn_abort(p->side[s].core, e->id);
    e->released = true;
    e->id = 0;
}

enum tcp_state pair_state(const struct pair *p, unsigned s, uint32_t number) {
    tcp_id id = p->conn[number].end[s].id;
    return id ? tcp_conn_state(p->side[s].core, id) : TCP_CLOSED;
}

static void policies(struct pair *p, unsigned s, uint32_t number) {
    struct pair_end *e = &p->conn[number].end[s];
    const struct pair_end *peer = peer_of(p, s, number);
    bool fin_read = fin_is_read(p, s, e);
    bool all_written = e->does & PAIR_ECHO ? fin_read : e->written_bytes == e->write_bytes;
    if (!all_written)
        return;
    if (fin_read && e->read_bytes != peer->written_bytes && !(e->does & PAIR_BLIND))
        pair_fail(p, "conn %u side %u: FIN after %lu of %lu bytes", number, s, e->read_bytes, peer->written_bytes);
    if (e->does & PAIR_SHUTDOWN && !e->shut)
        pair_shutdown(p, s, number);
    if ((e->does & PAIR_CLOSE && fin_read) ||
        (e->does & PAIR_RELEASE_EARLY && e->read_bytes == RTE_MAX(peer->write_bytes, peer->written_bytes)))
        pair_release(p, s, number);
}

static void closed(struct pair *p, unsigned s, uint32_t number) {
    struct pair_end *e = &p->conn[number].end[s];
    e->closed = true;
    e->end = tcp_conn_end(p->side[s].core, e->id);
    read_some(p, s, number, true);
    struct pair_conn *conn = &p->conn[number];
    const uint64_t *drops = tcp_core_stats(p->side[1].core)->drops;
    conn->refused |= conn->by_cookie && e->end == TCP_END_PEER_RESET &&
                     (drops[TCP_DROP_COOKIE] || (drops[TCP_DROP_NO_FLOW] && !conn->end[1].opened));
    if (e->end != TCP_END_FIN && !conn->may_break && !conn->refused)
        pair_fail(p, "conn %u side %u ended: %s", number, s, tcp_end_name(e->end));
    if (e->end == TCP_END_FIN && !(e->does & PAIR_BLIND) && e->read_bytes != peer_of(p, s, number)->written_bytes)
        pair_fail(p, "conn %u side %u closed in order, but bytes are missing", number, s);
    pair_release(p, s, number);
}

static uint16_t client_port(const struct pair *p, uint32_t number) {
    return p->conn[number].client_port ? p->conn[number].client_port : (uint16_t)(PAIR_CLIENT_PORT + number);
}

/* The connection that a flow just accepted belongs to: the first of its port whose server end is not taken. */
static bool adopt(struct pair *p, unsigned s, tcp_id id) {
    uint16_t port = rte_be_to_cpu_16(tcp_conn_key(p->side[s].core, id)->remote_port_be);
    if (tcp_conn_listener(p->side[s].core, id) != LISTENER)
        pair_fail(p, "listener %u", tcp_conn_listener(p->side[s].core, id));
    bool again = false;
    for (uint32_t i = 0; i < p->n_conns; i++) {
        again |= client_port(p, i) == port && p->conn[i].by_cookie;
        if (client_port(p, i) != port || p->conn[i].end[s].opened)
            continue;
        p->conn[i].end[s].id = id;
        p->conn[i].end[s].opened = true;
        tcp_conn_set_user(p->side[s].core, id, i + 1);
        return true;
    }
    if (again)
        tcp_conn_abort(p->side[s].core, id);
    else
        pair_fail(p, "a flow from port %u that nobody opened", port);
    return false;
}

static void visit(struct pair *p, unsigned s, tcp_id id) {
    struct tcp_core *core = p->side[s].core;
    uint8_t events = tcp_conn_events(core, id);
    if (events & TCP_EV_ACCEPTED && !adopt(p, s, id))
        return;
    uint32_t number = tcp_conn_user(core, id) - 1;
    struct pair_end *e = &p->conn[number].end[s];
    if (number >= p->n_conns || e->id != id) {
        pair_fail(p, "side %u: event 0x%x of flow %u, which is not open", s, events, id);
        return;
    }
    e->seen |= events;
    e->opened |= (events & TCP_EV_CONNECTED) != 0;
    if (events & TCP_EV_CLOSED) {
        closed(p, s, number);
        return;
    }
    if (!e->opened)
        return;
    if (e->does & PAIR_ECHO) {
        echo_some(p, s, number);
    } else {
        read_some(p, s, number, false);
        write_some(p, s, number);
    }
    if (!p->error[0])
        policies(p, s, number);
}

/* First all that are READY, then the visits: a flow that asks for another visit has it next turn. */
void pair_serve(struct pair *p, unsigned s) {
    tcp_id ready[4 * PAIR_CONNS];
    uint32_t n = 0;
    while (n < WEIR_ARRAY_LEN(ready) && (ready[n] = tcp_ready_next(p->side[s].core)) != 0)
        n++;
    for (uint32_t i = 0; i < n && !p->error[0]; i++)
        visit(p, s, ready[i]);
}

void pair_set_transfer(struct pair *p, uint32_t number, uint32_t bytes) {
    for (unsigned s = 0; s < 2; s++)
        p->conn[number].end[s] = (struct pair_end){.write_bytes = bytes, .does = PAIR_SHUTDOWN | PAIR_CLOSE};
}

void pair_open(struct pair *p, unsigned s, uint32_t number) {
    struct pair_end *e = &p->conn[number].end[s];
    uint16_t ports[2] = {client_port(p, number), PAIR_SERVER_PORT};
    pattern_make();
    p->n_conns = RTE_MAX(p->n_conns, number + 1);
    int rc = tcp_connect(p->side[s].core, (uint8_t)s, PAIR_ADDR(s), rte_cpu_to_be_16(ports[s]), PAIR_ADDR(!s),
                         rte_cpu_to_be_16(ports[!s]), number + 1, p->now_us, &e->id);
    if (rc)
        pair_fail(p, "tcp_connect: %s", weir_error_text(rc));
    else
        tcp_conn_options(p->side[s].core, e->id, &p->setup.options[s]);
}

uint64_t pair_app_next_us(const struct pair *p) {
    uint64_t next = SIM_LINK_NEVER;
    for (uint32_t i = 0; i < p->n_conns; i++)
        for (unsigned s = 0; s < 2; s++)
            if (p->conn[i].end[s].id && p->conn[i].end[s].read_from_us > p->now_us)
                next = RTE_MIN(next, p->conn[i].end[s].read_from_us);
    return next;
}

void pair_app_wake(struct pair *p) {
    for (uint32_t i = 0; i < p->n_conns; i++)
        for (unsigned s = 0; s < 2; s++) {
            struct pair_end *e = &p->conn[i].end[s];
            if (!e->id || !e->read_from_us || e->read_from_us > p->now_us)
                continue;
            e->read_from_us = 0;
            tcp_conn_again(p->side[s].core, e->id, TCP_EV_READABLE);
        }
}

bool pair_all_arrived(const struct pair *p) {
    for (uint32_t i = 0; i < p->n_conns; i++)
        for (unsigned s = 0; s < 2 && !p->conn[i].refused; s++) {
            const struct pair_end *from = &p->conn[i].end[!s], *to = &p->conn[i].end[s];
            if (to->read_bytes != RTE_MAX(from->write_bytes, from->written_bytes))
                return false;
        }
    return true;
}

bool pair_all_established(const struct pair *p) {
    for (uint32_t i = 0; i < p->n_conns; i++)
        for (unsigned s = 0; s < 2; s++)
            if (!p->conn[i].end[s].opened)
                return false;
    return true;
}
