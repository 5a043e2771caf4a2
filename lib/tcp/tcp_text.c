/* SPDX-License-Identifier: BSD-3-Clause */
/* Segment text and FIN (RFC 9293 3.10.7.4 seventh and eighth), and when an ACK is owed. */
#include "tcp_int.h"

void tcp_ack_now(struct tcp_core *core, struct tcp_conn *c) {
    c->flags |= TCP_F_ACK_NOW;
    c->ack_ms = 0;
    tcp_pending(core, c);
}

/* RFC 1122 4.2.3.2, RFC 5681 4.2: every second segment, else within the delay; the first ones of a flow at once,
 * because the peer's window opens by our ACKs. */
void tcp_ack_soon(struct tcp_core *core, struct tcp_conn *c) {
    c->ack_segs++;
    if (c->quick_acks || c->ack_segs >= 2) {
        c->quick_acks -= c->quick_acks != 0;
        tcp_ack_now(core, c);
    } else if (!c->ack_ms && !(c->flags & TCP_F_ACK_NOW)) {
        tcp_timer_set(core, c, TCP_TIMER_ACK, TCP_DELAYED_ACK_MS);
    }
}

void tcp_rx_settle(struct tcp_core *core, struct tcp_conn *c) {
    core->stats.rx_mbufs += c->rx.mbufs - c->rx_charged;
    c->rx_charged = (uint16_t)c->rx.mbufs;
}

void tcp_seg_keep_payload(struct tcp_seg *seg) {
    uint32_t offset = seg->payload, len = seg->len;
    if (WEIR_LIKELY(!seg->m->next)) {
        seg->m->data_off = (uint16_t)(seg->m->data_off + offset);
        seg->m->data_len = (uint16_t)len;
        return;
    }
    for (struct rte_mbuf *m = seg->m; m; m = m->next) {
        uint32_t skip = weir_min_u32(offset, m->data_len);
        m->data_off = (uint16_t)(m->data_off + skip);
        m->data_len = (uint16_t)weir_min_u32(m->data_len - skip, len);
        offset -= skip;
        len -= m->data_len;
    }
}

static void took(struct tcp_core *core, struct tcp_conn *c, uint32_t len) {
    c->rcv_nxt += len;
    core->stats.bytes_in += len;
    tcp_rx_settle(core, c);
}

static bool reaches_queued(const struct tcp_core *core, const struct tcp_conn *c, uint32_t end) {
    return c->reasm_count && seq_lt(tcp_reasm_first(core, c).left, end);
}

/* A segment that lies over queued ones: a retransmission that the peer has put together anew from many small pieces.
 * The first copy of a byte wins, so only the holes are taken from it: all but the last are copied out, that one is left
 * in seg for the ordinary path. Returns false where nothing is left. */
static bool fill_holes(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg) {
    uint32_t end = seg->seq + seg->len;
    const struct tcp_sack twice = tcp_reasm_first(core, c);
    core->stats.overlaps_in++;
    tcp_dsack_note(core, c, twice.left, seq_lt(end, twice.right) ? end : twice.right);
    while (reaches_queued(core, c, end)) {
        uint32_t hole = tcp_reasm_first(core, c).left - c->rcv_nxt;
        const void *bytes = rte_pktmbuf_mtod_offset(seg->m, const void *, seg->payload);
        if (seg->m->nb_segs != 1 || rope_append(&c->rx, seg->m->pool, bytes, hole) != 0) {
            seg->len = hole;
            seg->flags &= ~WIRE_TCP_FIN;
            return true;
        }
        took(core, c, hole);
        tcp_reasm_drain(core, c);
        if ((c->flags & TCP_F_FIN_RCVD) || !seq_lt(c->rcv_nxt, end)) {
            if (c->rcv_nxt != end)
                seg->flags &= ~WIRE_TCP_FIN;
            seg->len = 0;
            seg->seq = c->rcv_nxt;
            return false;
        }
        seg->payload += c->rcv_nxt - seg->seq;
        seg->seq = c->rcv_nxt;
        seg->len = end - seg->seq;
    }
    return true;
}

static int in_order(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg) {
    if (core->stats.rx_mbufs >= core->cfg.rx_budget_mbufs)
        return -TCP_DROP_RX_BUDGET;
    bool gap = c->reasm_count;
    if (!reaches_queued(core, c, seg->seq + seg->len) || fill_holes(core, c, seg)) {
        tcp_seg_keep_payload(seg);
        rope_push(&c->rx, seg->m);
        seg->kept = true;
        took(core, c, seg->len);
        if (gap)
            tcp_reasm_drain(core, c);
    }
    c->dup_owed = 0;
    tcp_window_tune(core, c, seg);
    tcp_conn_raise(core, c, TCP_EV_READABLE);
    if (gap) { /* part of a gap was filled: at once (RFC 5681 4.2) */
        tcp_ack_now(core, c);
    } else {
        tcp_ack_soon(core, c);
    }
    return 0;
}

static int out_of_order(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg) {
    core->stats.ooo_in++;
    if (c->dup_owed < UINT8_MAX)
        c->dup_owed++;
    tcp_ack_now(core, c);
    return tcp_reasm_insert(core, c, seg);
}

int tcp_text(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg) {
    if (!seg->len && seg->window_cut) {
        tcp_ack_now(core, c); /* a window probe */
        return -TCP_DROP_WINDOW_CLOSED;
    }
    if (seg->len && (c->flags & TCP_F_RELEASED)) {
        tcp_conn_reset(core, c, TCP_END_LATE_DATA);
        return -TCP_DROP_LATE_DATA;
    }
    if (seg->seq != c->rcv_nxt)
        return seg->len || (seg->flags & WIRE_TCP_FIN) ? out_of_order(core, c, seg) : 0;
    return seg->len ? in_order(core, c, seg) : 0;
}

void tcp_fin_in_order(struct tcp_core *core, struct tcp_conn *c) {
    if (c->flags & TCP_F_FIN_RCVD)
        return;
    c->rcv_nxt++;
    c->flags |= TCP_F_FIN_RCVD;
    tcp_reasm_clear(core, c); /* whatever lies beyond it is nobody's */
    tcp_ack_now(core, c);
    tcp_conn_raise(core, c, TCP_EV_PEER_FIN);
    switch (c->state) {
    case TCP_ESTABLISHED:
        tcp_conn_set_state(core, c, TCP_CLOSE_WAIT);
        break;
    case TCP_FIN_WAIT_1: /* our FIN is not acknowledged yet, or the ACK step would have moved on */
        tcp_conn_set_state(core, c, TCP_CLOSING);
        break;
    case TCP_FIN_WAIT_2:
        tcp_conn_time_wait(core, c);
        break;
    default:
        break;
    }
}
