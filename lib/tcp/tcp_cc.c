/* SPDX-License-Identifier: BSD-3-Clause */
/* What all congestion controls share: slow start, and the rule that an unused window does not grow. */
#include "tcp_int.h"

#define CWND_MAX (1u << 30) /* the largest scaled window */

const struct tcp_cc *tcp_cc_of(const struct tcp_conn *c) {
    (void)c;
    return &tcp_cc_reno;
}

void tcp_cc_start(struct tcp_conn *c) {
    tcp_cc_of(c)->start(c);
}

void tcp_cc_acked(struct tcp_core *core, struct tcp_conn *c, const struct tcp_cc_ack *a) {
    (void)core;
    /* A flow that did not fill half its window has learnt nothing about the path (RFC 7661 4.1). */
    if (a->flight < c->cwnd / 2 || c->cwnd >= CWND_MAX)
        return;
    struct tcp_cc_ack left = *a;
    /* Slow start by bytes (RFC 3465), without its limit of two segments an ACK: receivers like ours acknowledge
     * whatever a turn brought in one ACK, and bytes never more than double cwnd a round trip. Split ACKs gain nothing.
     */
    if (c->cwnd < c->ssthresh) {
        uint32_t used = weir_min_u32(a->acked, c->ssthresh - c->cwnd);
        c->cwnd += used;
        left.acked -= used;
    }
    if (left.acked)
        tcp_cc_of(c)->acked(c, NULL, &left);
}

void tcp_cc_idle(struct tcp_core *core, struct tcp_conn *c) {
    if (c->snd_una == c->snd_max && tcp_now_ms(core) - c->last_rx_ms > tcp_loss_rto_ms(c))
        c->cwnd = weir_min_u32(c->cwnd, tcp_loss_iw(c));
}
