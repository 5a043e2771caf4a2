/* SPDX-License-Identifier: BSD-3-Clause */
/* Who sends, and what: deficit round robin over the flows with something to send (64 KB a flow a call), and within a
 * flow SYN, probes, retransmission, new data, FIN, ACK. Nothing here is lost when the pool is empty or the port is
 * full: the flow stays on the PENDING list as it is. */
#include "tcp_int.h"

/* Where the output goes, and what the flow at hand may still send. */
struct out {
    struct tcp_core *core;
    struct tcp_port *port;
    struct rte_mbuf **to;
    uint16_t n, max;
    uint32_t quantum;
};

enum out_result { OUT_DONE, OUT_BLOCKED, OUT_SPENT }; /* nothing left; no room or mbuf; quantum used up */

void tcp_pending(struct tcp_core *core, struct tcp_conn *c) {
    if (c->flags & TCP_F_ON_PENDING)
        return;
    tcp_list_push(core, &core->pending[c->port], TCP_LIST_PENDING, c);
    core->pending_ports |= 1u << c->port;
}

/* Where a bare ACK or RST stands: SND.MAX, the end of what was ever sent, but within the peer's window (beyond it lies
 * the byte of a window probe). SND.NXT will not do: after an RTO it lies before what the peer has, which drops our ACK
 * as a duplicate, and where both sides go back at once neither would hear the other. */
static uint32_t ack_seq(const struct tcp_conn *c) {
    uint32_t edge = c->snd_una + c->snd_wnd;
    return seq_lt(edge, c->snd_max) ? edge : c->snd_max;
}

void tcp_reset_flow(struct tcp_core *core, const struct tcp_conn *c) {
    if (c->state == TCP_SYN_SENT || c->state == TCP_TIME_WAIT || c->state == TCP_CLOSED)
        return; /* the peer has nothing to reset: RFC 9293 3.10.5 */
    tcp_reset(core, &c->key, c->port, ack_seq(c), c->rcv_nxt, WIRE_TCP_RST | WIRE_TCP_ACK);
}

/* --- the cursor: where in the send rope snd_nxt stands --- */

void tcp_snd_rewind(struct tcp_conn *c) {
    c->snd_nxt = c->snd_una;
    c->cursor = c->tx.head;
    c->cursor_off = 0;
    c->flags &= ~TCP_F_TIMED; /* Karn */
}

void tcp_snd_skip(struct tcp_conn *c, uint32_t n) {
    c->snd_nxt += n;
    for (c->cursor_off += n; c->cursor && c->cursor_off >= c->cursor->data_len;) {
        c->cursor_off -= c->cursor->data_len;
        c->cursor = c->cursor->next;
    }
}

void tcp_snd_trim(struct tcp_core *core, struct tcp_conn *c, uint32_t n) {
    bool passes = n >= c->snd_nxt - c->snd_una; /* everything up to snd_nxt, or beyond after going back */
    uint16_t before = c->cursor ? c->cursor->data_len : 0;
    if (!passes && c->cursor && c->cursor_off == before) { /* stands behind the last byte of an mbuf that may go */
        c->cursor = c->cursor->next;
        c->cursor_off = 0;
        before = c->cursor ? c->cursor->data_len : 0;
    }
    core->stats.tx_mbufs -= c->tx.mbufs;
    rope_trim(&c->tx, n);
    core->stats.tx_mbufs += c->tx.mbufs;
    if (passes) {
        c->cursor = c->tx.head;
        c->cursor_off = 0;
    } else if (c->cursor) { /* its own front may have gone */
        c->cursor_off -= before - c->cursor->data_len;
    }
}

/* --- one segment --- */

static bool emit(struct out *o, struct tcp_conn *c, uint32_t seq, uint8_t flags, struct rte_mbuf *from, uint32_t offset,
                 uint32_t len) {
    if (o->n == o->max || !o->port->tx_room)
        return false;
    struct rte_mbuf *m = tcp_build(o->core, c, seq, flags, from, offset, len);
    if (!m) {
        o->core->stats.no_mbuf++;
        return false;
    }
    o->to[o->n++] = m;
    o->port->tx_room--;
    o->core->stats.segs_out++;
    o->core->stats.bytes_out += len;
    o->quantum -= weir_min_u32(o->quantum, m->pkt_len);
    return true;
}

/* After a segment up to `end` has left: timing, the retransmission timer (RFC 6298 5.1), SND.MAX. */
static void sent(struct tcp_core *core, struct tcp_conn *c, uint32_t seq, uint32_t end) {
    if (seq_lt(seq, c->snd_max)) {
        core->stats.retransmits++;
        c->retransmits += c->retransmits != UINT16_MAX;
        c->flags &=
            ~TCP_F_TIMED; /* Karn: what is timed waits for this hole; timestamp echoes from before are ambiguous */
        c->rtt_start_us = (uint32_t)core->now_us;
    } else if (!(c->flags & TCP_F_TIMED)) {
        c->flags |= TCP_F_TIMED;
        c->rtt_seq = end;
        c->rtt_start_us = (uint32_t)core->now_us;
    }
    bool fresh = seq_lt(c->snd_max, end);
    c->snd_max = seq_max(c->snd_max, end);
    if (fresh || !c->rexmit_ms)
        tcp_loss_sent(core, c);
}

static bool out_syn(struct out *o, struct tcp_conn *c) {
    if (c->snd_nxt != c->snd_una) /* out already, and its time has not come */
        return true;
    uint8_t flags = c->state == TCP_SYN_SENT ? WIRE_TCP_SYN : WIRE_TCP_SYN | WIRE_TCP_ACK;
    if (!emit(o, c, c->snd_una, flags, NULL, 0, 0))
        return false;
    sent(o->core, c, c->snd_una, c->snd_una + 1);
    c->snd_nxt = c->snd_una + 1;
    return true;
}

/* A byte that lies before the window draws an ACK from a living peer (RFC 1122 4.2.3.6). */
static bool out_keepalive(struct out *o, struct tcp_conn *c) {
    if (!emit(o, c, c->snd_una - 1, WIRE_TCP_ACK, NULL, 0, 0))
        return false;
    c->flags &= ~TCP_F_KEEP_PROBE;
    o->core->stats.keepalive_probes++;
    return true;
}

/* RFC 9293 3.8.6.1: a byte into the closed window, or what a window too small to be worth it takes. */
static bool out_probe(struct out *o, struct tcp_conn *c) {
    c->flags &= ~TCP_F_PROBE;
    if (!c->tx.len_bytes)
        return true;
    uint32_t len = weir_min_u32(weir_min_u32(weir_max_u32(c->snd_wnd, 1), c->mss), c->tx.len_bytes);
    if (!emit(o, c, c->snd_una, WIRE_TCP_ACK | WIRE_TCP_PSH, c->tx.head, 0, len)) {
        c->flags |= TCP_F_PROBE;
        return false;
    }
    c->snd_max = seq_max(c->snd_max, c->snd_una + len);
    o->core->stats.persist_probes++;
    return true;
}

static uint8_t fin_flags(const struct tcp_conn *c, uint32_t end) {
    return (c->flags & TCP_F_SHUTDOWN) && !(c->flags & TCP_F_FIN_ACKED) && end == tcp_snd_end(c) ? WIRE_TCP_FIN : 0;
}

static void fin_sent(struct tcp_core *core, struct tcp_conn *c) {
    c->flags |= TCP_F_FIN_SENT;
    if (c->state == TCP_ESTABLISHED)
        tcp_conn_set_state(core, c, TCP_FIN_WAIT_1);
    else if (c->state == TCP_CLOSE_WAIT)
        tcp_conn_set_state(core, c, TCP_LAST_ACK);
}

/* The first unacknowledged segment once more; snd_nxt stays where it is. */
static bool out_head(struct out *o, struct tcp_conn *c) {
    if (c->snd_nxt == c->snd_una) { /* the ordinary path is about to send it */
        c->flags &= ~TCP_F_REXMIT_HEAD;
        return true;
    }
    uint32_t len = weir_min_u32(weir_min_u32(c->mss, c->tx.len_bytes), c->snd_max - c->snd_una);
    uint8_t fin = c->flags & TCP_F_FIN_SENT ? fin_flags(c, c->snd_una + len) : 0;
    if (!emit(o, c, c->snd_una, WIRE_TCP_ACK | fin | (len ? WIRE_TCP_PSH : 0), c->tx.head, 0, len))
        return false;
    sent(o->core, c, c->snd_una, c->snd_una + len + !!fin);
    c->flags &= ~TCP_F_REXMIT_HEAD;
    return true;
}

/* Bytes that may be in flight: the peer's window, the congestion window, and a segment for each of the first two
 * duplicate ACKs (RFC 3042). */
static uint32_t send_window(const struct tcp_conn *c) {
    uint32_t cwnd = c->cwnd;
    if (c->dupacks && c->dupacks < TCP_DUP_THRESHOLD && !(c->flags & (TCP_F_RECOVERY | TCP_F_LOSS)))
        cwnd += c->dupacks * c->mss;
    return weir_min_u32(cwnd, c->snd_wnd);
}

/* Payload of the next segment at snd_nxt; 0: none may go now. */
static uint32_t next_len(const struct tcp_conn *c) {
    uint32_t used = c->snd_nxt - c->snd_una, window = send_window(c), end = tcp_snd_end(c);
    if (!seq_lt(c->snd_nxt, end))
        return 0;
    uint32_t unsent = end - c->snd_nxt, room = window > used ? window - used : 0;
    if (!used && c->snd_max != c->snd_una && !(c->flags & TCP_F_PERSIST))
        room = weir_max_u32(room, weir_min_u32(c->mss, c->snd_max - c->snd_una)); /* retransmission: a window that
                                                                                     shrank does not hold it back */
    uint32_t len = weir_min_u32(weir_min_u32(unsent, c->mss), room);
    /* Sender's silly-window avoidance (RFC 1122 4.2.3.4): a full segment, or all there is, or half the largest window.
     * No Nagle: small messages must not wait. */
    if (len == c->mss || len == unsent || (used == 0 && c->snd_max != c->snd_una))
        return len;
    return c->cwnd > c->snd_wnd && len >= c->snd_wnd_max / 2 ? len : 0;
}

static enum out_result out_data(struct out *o, struct tcp_conn *c) {
    tcp_cc_idle(o->core, c);
    for (;;) {
        uint32_t len = next_len(c), end = c->snd_nxt + len;
        uint8_t fin = fin_flags(c, end);
        if (!len && (!fin || (c->snd_nxt != tcp_snd_end(c))))
            return OUT_DONE;
        if (!o->quantum)
            return OUT_SPENT;
        uint8_t push = len && end == tcp_snd_end(c) ? WIRE_TCP_PSH : 0;
        if (!emit(o, c, c->snd_nxt, WIRE_TCP_ACK | push | fin, c->cursor, c->cursor_off, len))
            return OUT_BLOCKED;
        sent(o->core, c, c->snd_nxt, end + !!fin);
        tcp_snd_skip(c, len);
        if (fin) {
            c->snd_nxt++;
            fin_sent(o->core, c);
            return OUT_DONE;
        }
    }
}

/* Data waits, nothing is out whose ACK could open the window: probe (RFC 9293 3.8.6.1). */
static void persist(struct tcp_core *core, struct tcp_conn *c) {
    if (c->rexmit_ms || c->snd_una != c->snd_max || !seq_lt(c->snd_nxt, tcp_snd_end(c)))
        return;
    c->progress_ms = tcp_now_ms(core);
    c->backoff = 0;
    c->flags |= TCP_F_PERSIST;
    tcp_timer_set(core, c, TCP_TIMER_REXMIT, tcp_loss_rto_ms(c));
}

/* A peer without SACK counts our duplicate ACKs, and this turn may have brought several reasons for one: it gets up to
 * three, as RFC 5681 4.2 has it. With SACK one says all. */
static bool out_ack(struct out *o, struct tcp_conn *c) {
    uint8_t owed = c->reasm_count && !(c->flags & TCP_F_SACK) && c->rcv_nxt == c->rcv_acked ? c->dup_owed : 1;
    for (uint8_t i = 0; i == 0 || (i < owed && i < TCP_DUP_THRESHOLD); i++)
        if (!emit(o, c, ack_seq(c), WIRE_TCP_ACK, NULL, 0, 0))
            return i > 0;
    c->dup_owed = 0;
    return true;
}

static enum out_result out_conn(struct out *o, struct tcp_conn *c) {
    if (c->state == TCP_SYN_SENT || c->state == TCP_SYN_RECEIVED) { /* ACK_NOW: a challenge (RFC 9293 3.10.7.4) */
        bool done = out_syn(o, c) && (!(c->flags & TCP_F_ACK_NOW) || out_ack(o, c));
        return done ? OUT_DONE : OUT_BLOCKED;
    }
    if ((c->flags & TCP_F_ACK_NOW) && (c->reasm_count || (c->flags & TCP_F_DSACK)) && !out_ack(o, c))
        return OUT_BLOCKED;
    if ((c->flags & TCP_F_KEEP_PROBE) && !out_keepalive(o, c))
        return OUT_BLOCKED;
    if ((c->flags & TCP_F_PROBE) && !out_probe(o, c))
        return OUT_BLOCKED;
    if ((c->flags & TCP_F_REXMIT_HEAD) && !out_head(o, c))
        return OUT_BLOCKED;
    enum out_result r = c->flags & TCP_F_PERSIST ? OUT_DONE : out_data(o, c);
    if (r != OUT_DONE)
        return r;
    if ((c->flags & TCP_F_ACK_NOW) && !out_ack(o, c))
        return OUT_BLOCKED;
    persist(o->core, c);
    return OUT_DONE;
}

/* --- all flows --- */

static void out_port(struct out *o, uint8_t port) {
    struct tcp_core *core = o->core;
    struct tcp_list *l = &core->pending[port];
    o->port = &core->ports[port];
    for (uint32_t left = weir_min_u32(l->count, TCP_OUT_VISITS); left && l->head && o->n < o->max && o->port->tx_room;
         left--) {
        struct tcp_conn *c = tcp_conn_of(core, l->head);
        o->quantum = core->quantum_left[port] ? core->quantum_left[port] : TCP_QUANTUM_BYTES;
        enum out_result r = out_conn(o, c);
        if (r == OUT_BLOCKED) { /* goes on from here, with what is left of its quantum */
            core->quantum_left[port] = o->quantum ? o->quantum : 1;
            return;
        }
        core->quantum_left[port] = 0;
        tcp_list_remove(core, l, TCP_LIST_PENDING, c);
        if (r == OUT_SPENT)
            tcp_list_push(core, l, TCP_LIST_PENDING, c);
    }
    if (l->count == 0)
        core->pending_ports &= ~(1u << port);
}

uint16_t tcp_output(struct tcp_core *core, struct rte_mbuf **to, uint16_t max, uint64_t now_us) {
    struct out o = {.core = core, .to = to, .max = max};
    core->now_us = now_us;
    if (WEIR_UNLIKELY(tcp_replies_wait(core)))
        o.n = tcp_replies_send(core, to, max, true);
    uint32_t upper = core->pending_ports & ~0u << core->next_port; /* from next_port on, then from 0 */
    for (uint32_t left = upper; left; left &= left - 1)
        out_port(&o, (uint8_t)__builtin_ctz(left));
    for (uint32_t left = core->pending_ports & ~(~0u << core->next_port) & ~upper; left; left &= left - 1)
        out_port(&o, (uint8_t)__builtin_ctz(left));
    if (WEIR_UNLIKELY(o.n < max && tcp_replies_wait(core))) /* in what the flows have left */
        o.n = (uint16_t)(o.n + tcp_replies_send(core, to + o.n, (uint16_t)(max - o.n), false));
    core->next_port = (uint8_t)((core->next_port + 1) % TCP_MAX_PORTS);
    return o.n;
}
