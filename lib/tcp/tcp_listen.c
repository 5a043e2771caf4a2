/* SPDX-License-Identifier: BSD-3-Clause */
/* LISTEN and CLOSED: segments that belong to no flow (RFC 9293 3.10.7.1, 3.10.7.2). */
#include "tcp_int.h"

static struct tcp_listener *find_listener(struct tcp_core *core, uint32_t addr_be, uint16_t port_be) {
    for (uint32_t i = 0; i < core->n_listeners; i++) {
        struct tcp_listener *l = &core->listeners[i];
        if (l->used && l->addr_be == addr_be && l->port_be == port_be)
            return l;
    }
    return NULL;
}

int tcp_listen(struct tcp_core *core, uint32_t addr_be, uint16_t port_be, uint16_t listener_id) {
    if (find_listener(core, addr_be, port_be))
        return WEIR_EEXIST;
    if (core->n_listeners == TCP_MAX_LISTENERS)
        return WEIR_EFULL;
    core->listeners[core->n_listeners++] = (struct tcp_listener){addr_be, port_be, listener_id, true, true, {0}};
    return 0;
}

void tcp_listen_accepting(struct tcp_core *core, uint16_t listener_id, bool accepting) {
    for (uint32_t i = 0; i < core->n_listeners; i++)
        if (core->listeners[i].listener_id == listener_id)
            core->listeners[i].accepting = accepting;
}

void tcp_listen_options(struct tcp_core *core, uint16_t listener_id, const struct tcp_options *options) {
    for (uint32_t i = 0; i < core->n_listeners; i++)
        if (core->listeners[i].listener_id == listener_id)
            core->listeners[i].options = *options;
}

int tcp_no_flow(struct tcp_core *core, const struct tcp_seg *seg, enum tcp_drop reason) {
    if (seg->flags & WIRE_TCP_RST)
        return -TCP_DROP_NO_FLOW_RST;
    if (!tcp_limit_take(core, &core->reset_limit, TCP_RESETS_PER_S, 0))
        return -TCP_DROP_NO_FLOW_LIMIT;
    uint8_t port = (uint8_t)seg->m->port;
    if (seg->flags & WIRE_TCP_ACK)
        tcp_reset(core, &seg->key, port, seg->ack, 0, WIRE_TCP_RST);
    else
        tcp_reset(core, &seg->key, port, 0, seg->seq + tcp_seg_space(seg), WIRE_TCP_RST | WIRE_TCP_ACK);
    return -(int)reason;
}

bool tcp_time_wait_yields(const struct tcp_conn *c, const struct tcp_seg *seg) {
    if ((c->flags & TCP_F_TS) && seg->opts.has_ts) {
        if (seg->opts.ts_val != c->ts_recent)
            return seq_lt(c->ts_recent, seg->opts.ts_val);
    }
    return seq_lt(c->rcv_nxt, seg->seq);
}

/* The oldest TIME-WAIT flow makes room where the pool is used up: it is a convenience, a new client is not. */
bool tcp_make_room(struct tcp_core *core) {
    tcp_id oldest = core->time_wait.head;
    if (!oldest || (tcp_conn_of(core, oldest)->flags & TCP_F_OWNED))
        return false;
    tcp_conn_time_wait_end(core, tcp_conn_of(core, oldest));
    return true;
}

/* Data on a SYN is not taken; the peer sends it again when it sees our ACK (RFC 9293 3.10.7.2 allows to keep it, and
 * nobody but TCP Fast Open sends any). */
int tcp_listen_input(struct tcp_core *core, struct tcp_seg *seg, uint32_t iss_floor) {
    const struct tcp_listener *l = find_listener(core, seg->key.local_addr_be, seg->key.local_port_be);
    if (!l)
        return tcp_no_flow(core, seg, TCP_DROP_NO_FLOW);
    if (!l->accepting)
        return tcp_no_flow(core, seg, TCP_DROP_LISTENER_CLOSED);
    core->stats.syns_in++;
    if (core->half_open >= core->cfg.max_half_open) {
        core->stats.half_open_refused++;
        return -TCP_DROP_HALF_OPEN_FULL;
    }
    uint8_t port = (uint8_t)seg->m->port;
    struct tcp_conn *c = tcp_conn_new(core, &seg->key, port, TCP_SYN_RECEIVED);
    if (!c && tcp_make_room(core))
        c = tcp_conn_new(core, &seg->key, port, TCP_SYN_RECEIVED);
    if (!c) {
        core->stats.conns_refused++;
        return -TCP_DROP_CONNS_FULL;
    }
    c->flags |= TCP_F_PASSIVE;
    core->half_open++;
    c->listener = l->listener_id;
    c->cc = l->options.cc & 15u;
    uint32_t iss = tcp_isn(core, &seg->key);
    if (iss_floor) /* beyond what the flow in TIME-WAIT sent: RFC 9293 3.10.7.4, RFC 1122 4.2.2.13 */
        iss = seq_max(iss, iss_floor);
    c->snd_una = c->snd_nxt = c->snd_max = c->recover = iss;
    c->rcv_nxt = c->rcv_acked = seg->seq + 1;
    c->rcv_adv = c->rcv_nxt;
    tcp_opts_negotiate(core, c, &seg->opts);
    c->snd_wnd = c->snd_wnd_max = seg->wnd;
    c->snd_wl1 = seg->seq;
    tcp_timer_set(core, c, TCP_TIMER_LIFE, core->cfg.half_open_timeout_ms);
    tcp_pending(core, c);
    return TCP_SEG_FREE;
}
