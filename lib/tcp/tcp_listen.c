/* SPDX-License-Identifier: BSD-3-Clause */
/* LISTEN and CLOSED: segments that belong to no flow (RFC 9293 3.10.7.1, 3.10.7.2). */
#include "tcp_int.h"

/* Where the search begins. Listeners are ours and few, so nobody outside can make them collide; the table is at most
 * half full, and nothing is ever taken out of it. */
static uint32_t slot_of(uint32_t addr_be, uint16_t port_be) {
    uint64_t mixed = ((uint64_t)addr_be << 16 | port_be) * 0x9e3779b97f4a7c15ull;
    static_assert(TCP_LISTENER_SLOTS == 1u << 9, "the upper bits, which all of the address reaches");
    return (uint32_t)(mixed >> (64 - 9));
}

/* The slot that holds the address, or the empty one that ends the search. */
static uint32_t search(const struct tcp_core *core, uint32_t addr_be, uint16_t port_be) {
    uint32_t slot = slot_of(addr_be, port_be);
    for (;; slot = (slot + 1) & (TCP_LISTENER_SLOTS - 1)) {
        uint32_t i = core->listener_slots[slot];
        if (!i || (core->listeners[i - 1].addr_be == addr_be && core->listeners[i - 1].port_be == port_be))
            return slot;
    }
}

const struct tcp_listener *tcp_listener_find(const struct tcp_core *core, uint32_t addr_be, uint16_t port_be) {
    uint32_t i = core->listener_slots[search(core, addr_be, port_be)];
    return i ? &core->listeners[i - 1] : NULL;
}

int tcp_listen(struct tcp_core *core, uint32_t addr_be, uint16_t port_be, uint16_t listener_id) {
    uint32_t slot = search(core, addr_be, port_be);
    if (core->listener_slots[slot])
        return WEIR_EEXIST;
    if (core->n_listeners == TCP_MAX_LISTENERS)
        return WEIR_EFULL;
    core->listeners[core->n_listeners++] = (struct tcp_listener){addr_be, port_be, listener_id, true, true, {0}};
    core->listener_slots[slot] = (uint16_t)core->n_listeners;
    return 0;
}

void tcp_listen_accepting(struct tcp_core *core, uint16_t listener_id, bool accepting) {
    for (uint32_t i = 0; i < core->n_listeners; i++)
        if (core->listeners[i].listener_id == listener_id)
            core->listeners[i].accepting = accepting;
}

void tcp_listen_options(struct tcp_core *core, uint16_t listener_id, const struct tcp_options *options) {
    assert(options->cc < TCP_CC_COUNT);
    for (uint32_t i = 0; i < core->n_listeners; i++)
        if (core->listeners[i].listener_id == listener_id)
            core->listeners[i].options = *options;
}

int tcp_no_flow(struct tcp_core *core, const struct tcp_seg *seg, enum tcp_drop reason) {
    if (seg->flags & WIRE_TCP_RST)
        return -TCP_DROP_NO_FLOW_RST;
    if (!tcp_reset_allowed(core, seg->key.remote_addr_be))
        return -TCP_DROP_NO_FLOW_LIMIT;
    uint8_t port = (uint8_t)seg->m->port;
    if (seg->flags & WIRE_TCP_ACK)
        tcp_reset(core, &seg->key, port, seg->ack, 0, WIRE_TCP_RST);
    else
        tcp_reset(core, &seg->key, port, 0, seg->seq + tcp_seg_space(seg), WIRE_TCP_RST | WIRE_TCP_ACK);
    return -(int)reason;
}

/* RFC 6191 2. TS.Recent is the last timestamp seen; RCV.NXT lies one beyond the last number, the FIN. */
bool tcp_time_wait_yields(const struct tcp_conn *c, const struct tcp_seg *seg) {
    bool had = c->flags & TCP_F_TS;
    if (seg->opts.has_ts && (!had || seg->opts.ts_val != c->ts_recent))
        return !had || seq_lt(c->ts_recent, seg->opts.ts_val);
    return seq_lt(c->rcv_nxt, seg->seq);
}

#define ROOM_LOOKS 16u

/* The oldest TIME-WAIT flow makes room where the pool is used up: it is a convenience, a new client is not. */
bool tcp_make_room(struct tcp_core *core) {
    tcp_id id = core->time_wait.head;
    for (uint32_t i = 0; id && i < ROOM_LOOKS; i++) { /* an owner that has not let go yet keeps its object */
        struct tcp_conn *c = tcp_conn_of(core, id);
        if (!(c->flags & TCP_F_OWNED)) {
            tcp_conn_time_wait_end(core, c);
            return true;
        }
        id = c->tw.next;
    }
    return false;
}

struct tcp_conn *tcp_listen_open(struct tcp_core *core, const struct tcp_listener *l, const struct tcp_seg *seg,
                                 uint32_t irs, const struct tcp_opts *opts, uint32_t iss) {
    uint8_t port = (uint8_t)seg->m->port;
    struct tcp_conn *c = tcp_conn_new(core, &seg->key, port, TCP_SYN_RECEIVED);
    if (!c && tcp_make_room(core))
        c = tcp_conn_new(core, &seg->key, port, TCP_SYN_RECEIVED);
    if (!c) {
        core->stats.conns_refused++;
        return NULL;
    }
    c->flags |= TCP_F_PASSIVE;
    core->half_open++;
    c->listener = l->listener_id;
    c->cc = l->options.cc & 7u;
    c->snd_una = c->snd_nxt = c->recover = iss;
    c->rcv_nxt = c->rcv_acked = irs + 1;
    c->rcv_adv = c->rcv_nxt;
    tcp_opts_negotiate(core, c, opts);
    c->snd_wnd = c->snd_wnd_max = seg->wnd;
    c->snd_wl1 = irs;
    tcp_timer_set(core, c, TCP_TIMER_LIFE, core->cfg.half_open_timeout_ms);
    return c;
}

/* Data on a SYN is not taken; the peer sends it again when it sees our ACK (RFC 9293 3.10.7.2 allows to keep it, and
 * nobody but TCP Fast Open sends any). */
static int half_open(struct tcp_core *core, const struct tcp_listener *l, struct tcp_seg *seg, uint32_t iss) {
    struct tcp_conn *c = tcp_listen_open(core, l, seg, seg->seq, &seg->opts, iss);
    if (!c)
        return -TCP_DROP_CONNS_FULL;
    tcp_ecn_agree(c, seg->flags, l->options.ecn);
    tcp_pending(core, c);
    return TCP_SEG_FREE;
}

/* May one more flow be half open? */
static bool has_backlog(struct tcp_core *core) {
    bool room = core->half_open < core->cfg.max_half_open;
    core->stats.half_open_refused += !room;
    return room;
}

static int syn_input(struct tcp_core *core, struct tcp_seg *seg) {
    const struct tcp_listener *l = tcp_listener_find(core, seg->key.local_addr_be, seg->key.local_port_be);
    if (!l)
        return tcp_no_flow(core, seg, TCP_DROP_NO_FLOW);
    if (!l->accepting)
        return tcp_no_flow(core, seg, TCP_DROP_LISTENER_CLOSED);
    core->stats.syns_in++;
    if (tcp_cookie_wanted(core, l))
        return tcp_cookie_answer(core, l, seg);
    if (!has_backlog(core))
        return -TCP_DROP_HALF_OPEN_FULL;
    return half_open(core, l, seg, tcp_isn(core, &seg->key));
}

int tcp_listen_input(struct tcp_core *core, struct tcp_seg *seg) {
    uint8_t kind = seg->flags & (WIRE_TCP_SYN | WIRE_TCP_ACK | WIRE_TCP_RST);
    if (kind == WIRE_TCP_SYN)
        return syn_input(core, seg);
    if (kind == WIRE_TCP_ACK && tcp_cookie_recent(core))
        return tcp_cookie_input(core, seg);
    return tcp_no_flow(core, seg, TCP_DROP_NO_FLOW);
}

/* Never by a cookie: our number must lie beyond all that the old flow sent (RFC 9293 3.10.7.4, RFC 1122 4.2.2.13), and
 * the new flow takes the old one's place, so that no flood can grow by it. */
int tcp_listen_reuse(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg) {
    const struct tcp_listener *l = tcp_listener_find(core, seg->key.local_addr_be, seg->key.local_port_be);
    if (!l)
        return tcp_no_flow(core, seg, TCP_DROP_NO_FLOW);
    if (!l->accepting)
        return tcp_no_flow(core, seg, TCP_DROP_LISTENER_CLOSED);
    core->stats.syns_in++;
    if (!has_backlog(core))
        return -TCP_DROP_HALF_OPEN_FULL;
    uint32_t iss = seq_max(tcp_isn(core, &seg->key), c->snd_nxt + 1);
    core->stats.time_wait_reused++;
    tcp_conn_time_wait_end(core, c);
    return half_open(core, l, seg, iss);
}
