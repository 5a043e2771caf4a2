/* SPDX-License-Identifier: BSD-3-Clause */
/* What the owner of a connection calls: open, send, consume, shut down, abort, release. */
#include "tcp_int.h"

tcp_id tcp_ready_next(struct tcp_core *core) {
    tcp_id id = core->ready.head;
    if (id)
        tcp_list_remove(core, &core->ready, TCP_LIST_READY, tcp_conn_of(core, id));
    return id;
}

uint32_t tcp_ready_count(const struct tcp_core *core) {
    return core->ready.count;
}

uint32_t tcp_ready_peek(const struct tcp_core *core, tcp_id *ids, uint32_t max) {
    uint32_t n = 0;
    for (tcp_id id = core->ready.head; id && n < max; id = tcp_conn_of(core, id)->link[TCP_LIST_READY].next)
        ids[n++] = id;
    return n;
}

void tcp_conn_fetch(const struct tcp_core *core, tcp_id id) {
    tcp_conn_prefetch(core, id);
}

void tcp_conn_again(struct tcp_core *core, tcp_id id, uint8_t events) {
    tcp_conn_raise(core, tcp_conn_of(core, id), events);
}

uint8_t tcp_conn_events(struct tcp_core *core, tcp_id id) {
    struct tcp_conn *c = tcp_conn_of(core, id);
    uint8_t events = c->events;
    c->events = 0;
    return events;
}

/* RFC 6191 for the active side: the peer closed first or together with us, and its end is gone or about to go. Our
 * timestamps rise from one incarnation to the next, and so must the sequence number: the new one starts beyond
 * everything the old one sent. */
static bool give_way(struct tcp_core *core, struct tcp_conn *old, uint32_t *iss_floor) {
    if (old->state != TCP_TIME_WAIT)
        return false;
    if ((old->flags & TCP_F_TS) && tcp_now_ms(core) - old->last_rx_ms < 1000)
        return false;
    *iss_floor = old->snd_nxt + 1;
    core->stats.time_wait_reused++;
    tcp_conn_time_wait_end(core, old);
    return true;
}

int tcp_connect(struct tcp_core *core, uint8_t port, uint32_t laddr_be, uint16_t lport_be, uint32_t raddr_be,
                uint16_t rport_be, uint32_t user, uint64_t now_us, tcp_id *id) {
    core->now_us = now_us;
    struct flow_key key = {raddr_be, laddr_be, rport_be, lport_be, FLOW_FAMILY_IP4, IPPROTO_TCP, 0};
    uint32_t iss = tcp_isn(core, &key), iss_floor;
    tcp_id old = flow_table_find(&core->table, &key);
    if (port >= TCP_MAX_PORTS)
        return WEIR_EINVAL;
    if (old) {
        if (!give_way(core, tcp_conn_of(core, old), &iss_floor))
            return WEIR_EEXIST;
        iss = seq_max(iss, iss_floor);
    }
    struct tcp_conn *c = tcp_conn_new(core, &key, port, TCP_SYN_SENT);
    if (!c && tcp_make_room(core))
        c = tcp_conn_new(core, &key, port, TCP_SYN_SENT);
    if (!c) {
        core->stats.conns_refused++;
        return WEIR_ENOMEM;
    }
    c->flags |= TCP_F_OWNED;
    c->user = user;
    c->snd_una = c->snd_nxt = c->recover = iss;
    c->mss = TCP_MSS_DEFAULT;
    core->stats.connects++;
    tcp_timer_set(core, c, TCP_TIMER_LIFE, core->cfg.connect_timeout_ms);
    tcp_pending(core, c);
    *id = tcp_id_of(core, c);
    return 0;
}

void tcp_conn_options(struct tcp_core *core, tcp_id id, const struct tcp_options *options) {
    struct tcp_conn *c = tcp_conn_of(core, id);
    assert(options->cc < TCP_CC_COUNT && c->state == TCP_SYN_SENT);
    c->cc = options->cc & 7u;
    tcp_ecn_offer(c, options->ecn);
}

void tcp_conn_consumed(struct tcp_core *core, tcp_id id) {
    struct tcp_conn *c = tcp_conn_of(core, id);
    tcp_rx_settle(core, c);
    if (tcp_receives(c) && tcp_window_update_due(core, c))
        tcp_ack_now(core, c);
}

void tcp_rx_kept(struct tcp_core *core, int32_t mbufs) {
    core->stats.rx_mbufs += (uint32_t)mbufs;
}

bool tcp_rx_pressed(const struct tcp_core *core) {
    return core->stats.rx_mbufs >= core->cfg.rx_budget_mbufs / 4 * 3;
}

static bool may_send(const struct tcp_conn *c) {
    return !(c->flags & TCP_F_SHUTDOWN) && c->state >= TCP_SYN_SENT && c->state <= TCP_CLOSE_WAIT &&
           c->state != TCP_FIN_WAIT_1 && c->state != TCP_FIN_WAIT_2;
}

static uint32_t send_room(const struct tcp_core *core, const struct tcp_conn *c, uint32_t extra) {
    const struct tcp_flight *f = tcp_flight_of(core, c);
    /* What has arrived behind a hole, or got lost, takes rope and no window of the network's. */
    uint64_t window = (uint64_t)c->cwnd + (f ? f->sacked + f->lost : 0), limit = RTE_MIN(window, c->snd_wnd) + extra;
    if (!c->tx.len_bytes) /* what waits behind a closed window has it probed */
        limit = RTE_MAX(limit, (uint64_t)c->mss);
    limit = RTE_MIN(limit, tcp_snd_buf(core, c));
    return limit > c->tx.len_bytes ? (uint32_t)limit - c->tx.len_bytes : 0;
}

/* A flow that holds nothing may always have a segment, whatever windows and budget say: no need to ask them. */
static bool fits_anyhow(const struct tcp_core *core, const struct tcp_conn *c, uint32_t want) {
    return !c->tx.len_bytes && want <= weir_min_u32(c->mss, core->cfg.snd_buf_bytes);
}

uint32_t tcp_conn_room_for(struct tcp_core *core, tcp_id id, uint32_t want, uint32_t extra) {
    struct tcp_conn *c = tcp_conn_of(core, id);
    if (!may_send(c))
        return 0;
    if (WEIR_LIKELY(tcp_synchronised(c) && fits_anyhow(core, c, want)))
        return want;
    uint32_t room = tcp_synchronised(c) ? send_room(core, c, extra) : 0;
    if (room >= want)
        return want;
    c->flags |= TCP_F_WANT_ROOM;
    return room;
}

uint32_t tcp_conn_send_room(struct tcp_core *core, tcp_id id, uint32_t extra) {
    return tcp_conn_room_for(core, id, UINT32_MAX, extra);
}

int tcp_conn_send(struct tcp_core *core, tcp_id id, struct rope *src) {
    struct tcp_conn *c = tcp_conn_of(core, id);
    if (!may_send(c))
        return WEIR_ESTATE;
    if (!src->len_bytes)
        return 0;
    tcp_progress_begins(core, c, src->len_bytes);
    /* The cursor at the end of the rope names the tail, which the splice may lengthen. */
    if (!c->cursor) {
        c->cursor = c->tx.tail;
        c->cursor_off = c->tx.tail ? c->tx.tail->data_len : 0;
    }
    core->stats.tx_mbufs -= c->tx.mbufs;
    rope_splice(&c->tx, src);
    core->stats.tx_mbufs += c->tx.mbufs;
    if (!c->cursor)
        c->cursor = c->tx.head;
    if (tcp_synchronised(c))
        tcp_pending(core, c);
    return 0;
}

void tcp_conn_shutdown(struct tcp_core *core, tcp_id id) {
    struct tcp_conn *c = tcp_conn_of(core, id);
    if (!may_send(c))
        return;
    tcp_progress_begins(core, c, 0);
    c->flags |= TCP_F_SHUTDOWN;
    c->flags &= ~TCP_F_WANT_ROOM;
    if (tcp_synchronised(c))
        tcp_pending(core, c);
}

static void disown(struct tcp_conn *c) {
    c->flags = (c->flags & ~(TCP_F_OWNED | TCP_F_WANT_ROOM)) | TCP_F_RELEASED;
    c->user = 0; /* what it named may be gone before the flow is */
}

void tcp_conn_abort(struct tcp_core *core, tcp_id id) {
    struct tcp_conn *c = tcp_conn_of(core, id);
    disown(c);
    if (c->state == TCP_CLOSED) {
        tcp_conn_free(core, c);
        return;
    }
    if (c->state == TCP_TIME_WAIT) { /* both sides are done: nothing to reset (RFC 9293 3.10.5) */
        c->events = 0;
        tcp_list_remove(core, &core->ready, TCP_LIST_READY, c);
        rope_clear(&c->rx);
        tcp_rx_settle(core, c);
        return;
    }
    tcp_conn_reset(core, c, TCP_END_ABORTED);
}

/* Bytes that we have acknowledged and that nobody will read are lost, and a FIN would tell the peer that they were not
 * (RFC 1122 4.2.2.13, RFC 2525 2.17). */
static bool loses_unread(const struct tcp_conn *c) {
    return c->rx.len_bytes && !c->tx.len_bytes && c->state != TCP_TIME_WAIT;
}

void tcp_conn_release(struct tcp_core *core, tcp_id id) {
    struct tcp_conn *c = tcp_conn_of(core, id);
    if (c->state == TCP_CLOSED) {
        tcp_conn_free(core, c);
        return;
    }
    if (loses_unread(c)) {
        disown(c);
        tcp_conn_reset(core, c, TCP_END_UNREAD);
        return;
    }
    tcp_conn_shutdown(core, id);
    disown(c);
    c->events = 0;
    tcp_list_remove(core, &core->ready, TCP_LIST_READY, c);
    rope_clear(&c->rx);
    tcp_rx_settle(core, c);
    tcp_reasm_clear(core, c);
    if (c->state == TCP_SYN_SENT) /* RFC 9293 3.10.4: CLOSE in SYN-SENT deletes the TCB */
        tcp_conn_over(core, c, TCP_END_RELEASED);
    else if (c->state != TCP_TIME_WAIT)
        tcp_timer_set(core, c, TCP_TIMER_LIFE, core->cfg.linger_ms);
}

struct rope *tcp_conn_rx(struct tcp_core *core, tcp_id id) {
    return &tcp_conn_of(core, id)->rx;
}

void tcp_conn_set_user(struct tcp_core *core, tcp_id id, uint32_t user) {
    tcp_conn_of(core, id)->user = user;
}
