/* SPDX-License-Identifier: BSD-3-Clause */
/* Who sends, and what: deficit round robin over the flows with something to send (64 KB a flow a call), and within a
 * flow SYN, probes, retransmissions, new data, FIN, ACK. Nothing here is lost when the pool is empty or the port is
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

/* Nothing left; no room or mbuf; quantum used up; the flow is over. */
enum out_result { OUT_DONE, OUT_BLOCKED, OUT_SPENT, OUT_OVER };

void tcp_pending(struct tcp_core *core, struct tcp_conn *c) {
    if (c->flags & TCP_F_ON_PENDING)
        return;
    tcp_list_push(core, &core->pending[c->port], TCP_LIST_PENDING, c);
    core->pending_ports |= 1u << c->port;
}

/* Where a bare ACK or RST stands: SND.NXT, but within the peer's window, should that have shrunk. */
static uint32_t ack_seq(const struct tcp_conn *c) {
    uint32_t edge = c->snd_una + c->snd_wnd;
    return seq_lt(edge, c->snd_nxt) ? edge : c->snd_nxt;
}

static struct tcp_reply reset_of(const struct tcp_conn *c) {
    return (struct tcp_reply){
        .key = c->key, .seq = ack_seq(c), .ack = c->rcv_nxt, .flags = WIRE_TCP_RST | WIRE_TCP_ACK, .port = c->port};
}

bool tcp_reset_flow(struct tcp_core *core, const struct tcp_conn *c) {
    if (c->state == TCP_SYN_SENT || c->state == TCP_TIME_WAIT || c->state == TCP_CLOSED)
        return true; /* the peer has nothing to reset: RFC 9293 3.10.5 */
    const struct tcp_reply r = reset_of(c);
    return !tcp_replies_full(core, TCP_REPLIES_RESET) && tcp_reply_push(core, TCP_REPLIES_RESET, &r);
}

/* --- the cursor: where in the send rope snd_nxt stands --- */

void tcp_snd_skip(struct tcp_conn *c, uint32_t n) {
    c->snd_nxt += n;
    for (c->cursor_off += n; c->cursor && c->cursor_off >= c->cursor->data_len;) {
        c->cursor_off -= c->cursor->data_len;
        c->cursor = c->cursor->next;
    }
}

void tcp_snd_trim(struct tcp_core *core, struct tcp_conn *c, uint32_t n) {
    bool passes = n >= c->snd_nxt - c->snd_una; /* everything up to snd_nxt */
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
    o->core->stats.segs_out += len > c->mss ? (len + c->mss - 1) / c->mss : 1;
    o->core->stats.bytes_out += len;
    o->quantum -= weir_min_u32(o->quantum, m->pkt_len);
    return true;
}

/* [snd_nxt, snd_nxt + len + fin) has left for the first time. Once all has that can, its timer starts. */
static void sent_new(struct tcp_core *core, struct tcp_conn *c, uint32_t len, bool fin) {
    tcp_sent_add(core, c, (uint16_t)(len + fin), fin ? TCP_SENT_FIN : 0);
    if (c->flags & TCP_F_RECOVERY)
        tcp_flight_of(core, c)->prr_out += len;
    tcp_snd_skip(c, len);
    c->snd_nxt += fin;
}

static void sent_again(struct tcp_core *core, struct tcp_conn *c, uint32_t i) {
    core->stats.retransmits++;
    c->retransmits += c->retransmits != UINT16_MAX;
    tcp_sent_again(core, c, i);
    if (!c->rexmit_ms)
        tcp_loss_arm(core, c);
}

static bool out_syn(struct out *o, struct tcp_conn *c) {
    if (c->snd_nxt != c->snd_una && !(c->flags & TCP_F_RESEND)) /* out already, and its time has not come */
        return true;
    uint8_t flags = c->state == TCP_SYN_SENT ? WIRE_TCP_SYN : WIRE_TCP_SYN | WIRE_TCP_ACK;
    if (!emit(o, c, c->snd_una, flags, NULL, 0, 0))
        return false;
    c->flags &= ~TCP_F_RESEND;
    if (c->seg_head) {
        sent_again(o->core, c, c->seg_head);
    } else {
        sent_new(o->core, c, 0, true);
        tcp_loss_sent(o->core, c);
    }
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

/* Where in the send rope the number `seq` stands. Retransmissions go forward: the search goes on where it last was. */
static struct rte_mbuf *rope_at(const struct tcp_core *core, const struct tcp_conn *c, uint32_t seq, uint32_t *offset) {
    struct tcp_flight *f = tcp_flight_of(core, c);
    struct rte_mbuf *m = c->tx.head;
    uint32_t begins = c->snd_una;
    if (f->rope_hint && seq_leq(c->snd_una, f->rope_seq) && seq_leq(f->rope_seq, seq)) {
        m = f->rope_hint;
        begins = f->rope_seq;
    }
    while (m && seq_leq(begins + m->data_len, seq)) {
        begins += m->data_len;
        m = m->next;
    }
    f->rope_hint = m;
    f->rope_seq = begins;
    *offset = seq - begins;
    return m;
}

/* Record i once more, as much of it as a segment takes now. Where the path's MTU is smaller than it was and no record
 * is left for the rest, only the front goes out; the rest follows when that is acknowledged, by the next timeout. */
static bool out_again(struct out *o, struct tcp_conn *c, uint32_t i) {
    struct tcp_sent *s = tcp_sent_of(o->core, i);
    uint32_t offset = 0;
    bool whole = s->len - !!(s->flags & TCP_SENT_FIN) <= c->mss || tcp_sent_split(o->core, c, i, c->mss);
    if (whole)
        tcp_sent_join(o->core, c, i, c->mss);
    bool fin = whole && (s->flags & TCP_SENT_FIN);
    uint32_t len = whole ? s->len - (uint32_t)fin : c->mss;
    uint8_t flags = WIRE_TCP_ACK | (fin ? WIRE_TCP_FIN : 0) | (len ? WIRE_TCP_PSH : 0);
    struct rte_mbuf *from = len ? rope_at(o->core, c, s->seq, &offset) : NULL;
    if (!emit(o, c, s->seq, flags, from, offset, len))
        return false;
    sent_again(o->core, c, i);
    return true;
}

/* What is lost goes out again, in order of sequence numbers, as far as cwnd takes it. A window that has shrunk holds
 * back all but the head, which keeps asking. */
static enum out_result out_lost(struct out *o, struct tcp_conn *c) {
    for (uint32_t i; (i = tcp_sent_next_lost(o->core, c)) != 0;) {
        const struct tcp_sent *s = tcp_sent_of(o->core, i);
        if (tcp_pipe(o->core, c) >= c->cwnd ||
            (i != c->seg_head && seq_lt(c->snd_una + c->snd_wnd, tcp_sent_end(s) - !!(s->flags & TCP_SENT_FIN))))
            return OUT_DONE;
        if (!o->quantum)
            return OUT_SPENT;
        if (!out_again(o, c, i))
            return OUT_BLOCKED;
    }
    c->flags &= ~TCP_F_RESEND;
    return OUT_DONE;
}

/* Payload of the next new segment; 0: none may go now. */
static uint32_t next_len(const struct tcp_core *core, const struct tcp_conn *c) {
    uint32_t end = tcp_snd_end(c), edge = c->snd_una + c->snd_wnd, pipe = tcp_pipe(core, c);
    if (!seq_lt(c->snd_nxt, end) || !seq_lt(c->snd_nxt, edge) || pipe >= c->cwnd)
        return 0;
    uint32_t unsent = end - c->snd_nxt, room = weir_min_u32(c->cwnd - pipe, edge - c->snd_nxt);
    uint32_t len = weir_min_u32(weir_min_u32(unsent, c->mss), room);
    /* Sender's silly-window avoidance (RFC 1122 4.2.3.4): a full segment, or all there is, or half the largest window.
     * No Nagle: small messages must not wait. */
    if (len == c->mss || len == unsent)
        return len;
    return c->cwnd - pipe > edge - c->snd_nxt && len >= c->snd_wnd_max / 2 ? len : 0;
}

/* How many bytes in whole segments a device that cuts them (TSO) takes in one packet: what the windows let go, in no
 * more mbufs than it takes. */
static uint32_t large_len(const struct out *o, const struct tcp_conn *c) {
    uint32_t pipe = tcp_pipe(o->core, c), edge = c->snd_una + c->snd_wnd;
    uint32_t len = weir_min_u32(tcp_snd_end(c) - c->snd_nxt, weir_min_u32(c->cwnd - pipe, edge - c->snd_nxt));
    len = weir_min_u32(weir_min_u32(len, o->port->tso_max - TCP_HEADERS - TCP_OPTIONS_MAX), o->quantum);
    uint32_t held = 0, offset = c->cursor_off;
    uint16_t parts = 1; /* the header's */
    for (const struct rte_mbuf *m = c->cursor; m && held < len && parts < o->port->tso_segs; m = m->next, offset = 0) {
        held += m->data_len - offset;
        parts += m->data_len != offset;
    }
    return weir_min_u32(weir_min_u32(len, held) / c->mss, tcp_sent_room(o->core, c)) * c->mss;
}

/* `len` bytes that were never sent, and the FIN where they are the last. */
static bool out_new(struct out *o, struct tcp_conn *c, uint32_t len) {
    uint32_t end = c->snd_nxt + len;
    uint8_t fin = fin_flags(c, end), push = len && end == tcp_snd_end(c) ? WIRE_TCP_PSH : 0;
    if (!emit(o, c, c->snd_nxt, WIRE_TCP_ACK | push | fin, c->cursor, c->cursor_off, len))
        return false;
    for (; len > c->mss; len -= c->mss)
        sent_new(o->core, c, c->mss, false);
    sent_new(o->core, c, len, fin);
    if (fin)
        fin_sent(o->core, c);
    return true;
}

/* RFC 9293 3.8.6.1. Into a closed window goes a segment that lies before it: it draws an ACK with the window from any
 * peer, and leaves no byte behind that is neither sent nor unsent. A window too small to be worth a segment gets one
 * after all. */
static bool out_probe(struct out *o, struct tcp_conn *c) {
    c->flags &= ~TCP_F_PROBE;
    uint32_t len = weir_min_u32(weir_min_u32(c->snd_wnd, c->mss), tcp_snd_end(c) - c->snd_nxt);
    bool out = len && !c->sent_count ? out_new(o, c, len) : emit(o, c, c->snd_una - 1, WIRE_TCP_ACK, NULL, 0, 0);
    if (!out) {
        c->flags |= TCP_F_PROBE;
        return false;
    }
    o->core->stats.persist_probes++;
    if (c->sent_count) { /* data is out: from here on it is the RTO's */
        c->flags &= ~TCP_F_PERSIST;
        tcp_loss_arm(o->core, c);
    }
    return true;
}

/* RFC 8985 7.3: new data where there is any and the window takes it, else the last segment once more. */
static bool out_tlp(struct out *o, struct tcp_conn *c) {
    uint32_t edge = c->snd_una + c->snd_wnd, end = tcp_snd_end(c);
    uint32_t room = seq_lt(c->snd_nxt, edge) ? edge - c->snd_nxt : 0;
    uint32_t len = seq_lt(c->snd_nxt, end) ? weir_min_u32(weir_min_u32(end - c->snd_nxt, c->mss), room) : 0;
    bool again = !len || !tcp_sent_may(o->core, c);
    struct tcp_flight *f = tcp_flight_take(o->core, c);
    /* What was SACKed since the timer fired shows losses without a probe, and the last segment may be among it. */
    if (!c->sent_count || (c->flags & (TCP_F_RECOVERY | TCP_F_LOSS)) || f->sacked) {
        c->flags &= ~TCP_F_TLP;
        if (c->sent_count && !c->rexmit_ms)
            tcp_loss_arm(o->core, c);
        return true;
    }
    if (again ? !out_again(o, c, c->seg_tail) : !out_new(o, c, len))
        return false;
    c->flags &= ~TCP_F_TLP;
    tcp_tlp_sent(o->core, c, again);
    tcp_loss_arm(o->core, c);
    return true;
}

/* As many new segments as the windows and the quantum take. */
static enum out_result out_segments(struct out *o, struct tcp_conn *c) {
    for (;;) {
        uint32_t len = next_len(o->core, c);
        bool fin = !(c->flags & TCP_F_FIN_SENT) && fin_flags(c, c->snd_nxt + len);
        if ((!len && !fin) || !tcp_sent_may(o->core, c)) /* ... or waits for its own ACKs */
            return OUT_DONE;
        if (!o->quantum)
            return OUT_SPENT;
        if (o->port->tso && len == c->mss && !(c->flags & TCP_F_CWR)) { /* CWR goes on one segment only */
            len = weir_max_u32(len, large_len(o, c));
            fin = !(c->flags & TCP_F_FIN_SENT) && fin_flags(c, c->snd_nxt + len);
        }
        if (!out_new(o, c, len))
            return OUT_BLOCKED;
        if (fin)
            return OUT_DONE;
    }
}

/* One segment larger than the path is known to take, where it is time to try. */
static bool out_path_probe(struct out *o, struct tcp_conn *c) {
    uint16_t mss = c->mss, len = (uint16_t)tcp_path_probe_len(o->core, c);
    if (!len || !tcp_sent_may(o->core, c))
        return true;
    c->mss = len; /* or the device would cut it */
    bool out = out_new(o, c, len);
    c->mss = mss;
    if (out)
        tcp_path_probe_sent(o->core, c);
    return out;
}

static enum out_result out_data(struct out *o, struct tcp_conn *c) {
    if (c->snd_nxt == tcp_snd_end(c) ? !(c->flags & TCP_F_SHUTDOWN) : c->flags & TCP_F_FIN_SENT)
        return OUT_DONE;
    tcp_cc_idle(o->core, c);
    uint32_t before = c->snd_nxt;
    enum out_result r = OUT_BLOCKED;
    if (WEIR_LIKELY(!(c->flags & TCP_F_MSS_LOW)) || out_path_probe(o, c))
        r = out_segments(o, c);
    if (c->snd_nxt != before)
        tcp_loss_sent(o->core, c);
    return r;
}

/* Is the window still too small for a segment? Until it is not, the timer runs on, however often the peer says so: it
 * brings the one that goes nevertheless (RFC 9293 3.8.6.2.1). */
static bool persists(const struct tcp_core *core, struct tcp_conn *c) {
    if (!(c->flags & TCP_F_PERSIST) || !next_len(core, c))
        return c->flags & TCP_F_PERSIST;
    tcp_timer_stop(c, TCP_TIMER_REXMIT);
    c->backoff = 0;
    return false;
}

/* Data waits, nothing is out whose ACK could open the window: probe (RFC 9293 3.8.6.1). */
static void persist(struct tcp_core *core, struct tcp_conn *c) {
    if (c->rexmit_ms || c->snd_una != c->snd_nxt || !seq_lt(c->snd_nxt, tcp_snd_end(c)))
        return;
    c->backoff = 0;
    c->flags |= TCP_F_PERSIST;
    tcp_timer_set(core, c, TCP_TIMER_REXMIT, tcp_progress_clamp(core, c, tcp_rtt_rto_ms(c)));
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

/* The RST that found too many answers waiting. */
static enum out_result out_reset(struct out *o, struct tcp_conn *c) {
    const struct tcp_reply r = reset_of(c);
    if (o->n == o->max || !o->port->tx_room)
        return OUT_BLOCKED;
    struct rte_mbuf *m = tcp_build_reply(o->core, &r);
    if (!m) {
        o->core->stats.no_mbuf++;
        return OUT_BLOCKED;
    }
    o->to[o->n++] = m;
    o->port->tx_room--;
    o->core->stats.segs_out++;
    o->core->stats.resets_out++;
    return c->flags & TCP_F_OWNED ? OUT_DONE : OUT_OVER;
}

static enum out_result out_conn(struct out *o, struct tcp_conn *c) {
    if (c->state < TCP_ESTABLISHED) {
        if (c->state == TCP_CLOSED)
            return out_reset(o, c);
        bool done = out_syn(o, c) && (!(c->flags & TCP_F_ACK_NOW) || out_ack(o, c));
        return done ? OUT_DONE : OUT_BLOCKED; /* ACK_NOW: a challenge (RFC 9293 3.10.7.4) */
    }
    if ((c->flags & TCP_F_ACK_NOW) && (c->reasm_count || (c->flags & TCP_F_DSACK)) && !out_ack(o, c))
        return OUT_BLOCKED;
    if ((c->flags & TCP_F_KEEP_PROBE) && !out_keepalive(o, c))
        return OUT_BLOCKED;
    if ((c->flags & TCP_F_PROBE) && !out_probe(o, c))
        return OUT_BLOCKED;
    if ((c->flags & TCP_F_TLP) && !out_tlp(o, c))
        return OUT_BLOCKED;
    enum out_result r = c->flags & TCP_F_RESEND ? out_lost(o, c) : OUT_DONE;
    if (r == OUT_DONE && !persists(o->core, c))
        r = out_data(o, c);
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
        else if (r == OUT_OVER)
            tcp_conn_free(core, c);
    }
    if (l->count == 0)
        core->pending_ports &= ~(1u << port);
}

uint16_t tcp_output(struct tcp_core *core, struct rte_mbuf **to, uint16_t max, uint64_t now_us) {
    core->now_us = now_us;
    if (!core->pending_ports && !tcp_replies_wait(core))
        return 0;
    struct out o = {.core = core, .to = to, .max = max};
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
