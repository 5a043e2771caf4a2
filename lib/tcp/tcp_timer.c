/* SPDX-License-Identifier: BSD-3-Clause */
/* Deadlines. Each flow keeps its own (rexmit_ms, ack_ms, life_ms, and the keep-alive that follows from last_rx_ms); its
 * one wheel node is armed for the earliest and never moved later: when it fires too early, the flow looks and arms
 * again. So the restart of a timer by every ACK costs one store. A call wakes a number of flows, and walks a number of
 * records: however many flows with many segments out time out at once, others are served in between. */
#include "tcp_int.h"

static uint32_t *deadline_of(struct tcp_conn *c, enum tcp_timer_id id) {
    switch (id) {
    case TCP_TIMER_REXMIT:
        return &c->rexmit_ms;
    case TCP_TIMER_ACK:
        return &c->ack_ms;
    default:
        return &c->life_ms;
    }
}

void tcp_timer_set(struct tcp_core *core, struct tcp_conn *c, enum tcp_timer_id id, uint32_t in_ms) {
    uint32_t deadline = tcp_now_ms(core) + in_ms;
    if (!deadline) /* 0 says "off", also where the clock wraps */
        deadline = 1;
    *deadline_of(c, id) = deadline;
    timer_wheel_arm(&core->wheel, tcp_id_of(core, c), deadline);
}

void tcp_timer_stop(struct tcp_conn *c, enum tcp_timer_id id) {
    *deadline_of(c, id) = 0; /* the node fires for nothing once */
    if (id == TCP_TIMER_REXMIT)
        c->flags &= ~(TCP_F_PERSIST | TCP_F_PTO | TCP_F_REO);
}

static bool has_keepalive(const struct tcp_conn *c) {
    return tcp_synchronised(c) && c->state != TCP_TIME_WAIT;
}

static uint32_t keepalive_deadline(const struct tcp_core *core, const struct tcp_conn *c) {
    /* Retransmission or probes find a dead peer sooner: look again in a while. */
    if (c->snd_una != c->snd_nxt || c->rexmit_ms)
        return tcp_now_ms(core) + core->cfg.keepalive_interval_ms;
    uint32_t deadline = c->last_rx_ms + core->cfg.keepalive_idle_ms + c->keep_sent * core->cfg.keepalive_interval_ms;
    return deadline ? deadline : 1; /* 0 says "off" */
}

void tcp_timer_keepalive(struct tcp_core *core, struct tcp_conn *c) {
    timer_wheel_arm(&core->wheel, tcp_id_of(core, c), keepalive_deadline(core, c));
}

static bool is_due(uint32_t deadline, uint32_t now_ms) {
    return deadline && (int32_t)(now_ms - deadline) >= 0;
}

/* Arm the node for the earliest deadline. */
static void rearm(struct tcp_core *core, struct tcp_conn *c) {
    const uint32_t deadlines[] = {c->rexmit_ms, c->ack_ms, c->life_ms,
                                  has_keepalive(c) ? keepalive_deadline(core, c) : 0};
    uint32_t now_ms = tcp_now_ms(core), id = tcp_id_of(core, c);
    int32_t first = INT32_MAX;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(deadlines); i++) {
        int32_t in = (int32_t)(deadlines[i] - now_ms);
        if (deadlines[i] && in < first)
            first = in;
    }
    if (first != INT32_MAX)
        timer_wheel_arm(&core->wheel, id, now_ms + (uint32_t)first);
}

/* The flow has run out of the time that its state allows. It may be gone afterwards. */
static void life_expired(struct tcp_core *core, struct tcp_conn *c) {
    switch (c->state) {
    case TCP_TIME_WAIT:
        tcp_conn_time_wait_end(core, c);
        return;
    case TCP_SYN_SENT:
        tcp_conn_over(core, c, TCP_END_CONNECT_TIMEOUT);
        return;
    case TCP_SYN_RECEIVED:
        tcp_conn_over(core, c, c->flags & TCP_F_PASSIVE ? TCP_END_HALF_OPEN_TIMEOUT : TCP_END_CONNECT_TIMEOUT);
        return;
    default:
        tcp_conn_reset(core, c, TCP_END_LINGER_TIMEOUT);
    }
}

/* Each returns false where the flow is over. */
static bool persist_expired(struct tcp_core *core, struct tcp_conn *c) {
    /* RFC 9293 3.8.6.1 would probe for as long as the peer answers. A server may reclaim (RFC 6429 3): a peer that
     * keeps its window shut holds our memory. */
    if (tcp_now_ms(core) - c->progress_ms >= core->cfg.user_timeout_ms) {
        tcp_conn_reset(core, c, TCP_END_PERSIST_TIMEOUT);
        return false;
    }
    if (c->backoff < UINT8_MAX)
        c->backoff++;
    c->flags |= TCP_F_PROBE;
    tcp_timer_set(core, c, TCP_TIMER_REXMIT, tcp_progress_clamp(core, c, tcp_rtt_rto_ms(c)));
    tcp_pending(core, c);
    return true;
}

static bool keepalive_expired(struct tcp_core *core, struct tcp_conn *c) {
    if (c->keep_sent >= core->cfg.keepalive_probes) {
        tcp_conn_reset(core, c, TCP_END_KEEPALIVE_TIMEOUT);
        return false;
    }
    c->keep_sent++;
    c->flags |= TCP_F_KEEP_PROBE;
    tcp_pending(core, c);
    return true;
}

/* A released flow whose peer takes what is queued, however slowly, is not cut off: its linger time counts from the last
 * ACK that took us further. True: it has been given more. */
static bool lingers_on(const struct tcp_core *core, struct tcp_conn *c) {
    uint32_t idle_ms = tcp_now_ms(core) - c->progress_ms;
    if (!tcp_synchronised(c) || c->tx.len_bytes == 0 || idle_ms >= core->cfg.linger_ms)
        return false;
    c->life_ms += core->cfg.linger_ms - idle_ms;
    c->life_ms += !c->life_ms; /* 0 says "off" */
    return true;
}

static void fired(struct tcp_core *core, struct tcp_conn *c) {
    uint32_t now_ms = tcp_now_ms(core);
    if (is_due(c->life_ms, now_ms) && !lingers_on(core, c)) {
        c->life_ms = 0;
        life_expired(core, c);
        return;
    }
    if (is_due(c->ack_ms, now_ms)) {
        core->stats.delayed_acks++;
        tcp_ack_now(core, c);
    }
    if (is_due(c->rexmit_ms, now_ms)) {
        c->rexmit_ms = 0;
        if (c->flags & TCP_F_PTO)
            tcp_tlp_fired(core, c);
        else if (c->flags & TCP_F_REO)
            tcp_loss_reo(core, c);
        else if (!(c->flags & TCP_F_PERSIST ? persist_expired(core, c) : tcp_loss_rto(core, c)))
            return;
    }
    if (has_keepalive(c) && is_due(keepalive_deadline(core, c), now_ms) && !keepalive_expired(core, c))
        return;
    tcp_flight_rest(core, c);
    rearm(core, c);
}

/* What its timer may have to walk: a timeout all records, an end what is queued to be sent as well. */
static uint32_t weight(const struct tcp_core *core, const struct tcp_conn *c) {
    uint32_t now_ms = tcp_now_ms(core);
    return is_due(c->rexmit_ms, now_ms) || is_due(c->life_ms, now_ms) ? c->sent_count + c->tx.mbufs : 0;
}

void tcp_timers(struct tcp_core *core, uint64_t now_us) {
    struct tcp_due *due = &core->due;
    core->now_us = now_us;
    if (due->next == due->count) {
        due->next = 0;
        due->count = timer_wheel_advance(&core->wheel, clock_ms(now_us), due->ids, TCP_TIMERS_FIRED);
    }
    for (uint32_t walked = 0; due->next < due->count && walked < TCP_TIMERS_WALKED;) {
        tcp_id id = due->ids[due->next++];
        if (!(core->used[id / 64] & 1ull << (id % 64)))
            continue;
        struct tcp_conn *c = tcp_conn_of(core, id);
        walked += weight(core, c);
        fired(core, c);
    }
    tcp_reclaim(core);
}
