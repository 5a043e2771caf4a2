/* SPDX-License-Identifier: BSD-3-Clause */
/* What all congestion controls share: which one a flow has, slow start before it, the rule that an unused window does
 * not grow, and the restart after idle. */
#include "tcp_int.h"

#define CWND_MAX (1u << 30) /* the largest scaled window */

static const struct tcp_cc *const algorithms[] = {
    [TCP_CC_CUBIC] = &tcp_cc_cubic,
    [TCP_CC_RENO] = &tcp_cc_reno,
};
static_assert(WEIR_ARRAY_LEN(algorithms) == TCP_CC_COUNT, "one each");

const struct tcp_cc *tcp_cc_of(const struct tcp_conn *c) {
    return algorithms[c->cc];
}

const char *tcp_cc_name(enum tcp_cc_id id) {
    return (unsigned)id < TCP_CC_COUNT ? algorithms[id]->name : "unknown";
}

void tcp_cc_start(struct tcp_conn *c) {
    tcp_cc_of(c)->start(c);
}

uint32_t tcp_cc_lost(struct tcp_core *core, struct tcp_conn *c, uint32_t flight) {
    if (c->flags & TCP_F_ECN) /* whatever the reason: RFC 3168 6.1.2 */
        c->flags |= TCP_F_CWR;
    return tcp_cc_of(c)->lost(c, &tcp_flight_take(core, c)->cc, flight, core->now_us);
}

void tcp_cc_acked(struct tcp_core *core, struct tcp_conn *c, const struct tcp_cc_ack *a) {
    if (tcp_ecn_reduced(c)) /* RFC 3168 6.1.2: no growth while the peer still says ECE */
        return;
    if (seq_lt(c->recover, c->snd_una)) /* comes along, or after 2^31 bytes without a loss it would lie ahead */
        c->recover = c->snd_una - 1;
    /* A flow that did not fill half its window has learnt nothing about the path (RFC 7661 4.1). */
    if (a->flight < c->cwnd / 2) {
        struct tcp_flight *f = tcp_flight_of(core, c);
        if (f) {
            f->cc.limited = true;
            f->full_seq = seq_max(f->full_seq, c->snd_una); /* comes along, too */
        }
        return;
    }
    struct tcp_flight *f = tcp_flight_take(core, c); /* the window is the network's limit */
    struct tcp_cc_state *s = &f->cc;
    f->full_seq = c->snd_nxt;
    f->full_bytes = a->flight;
    struct tcp_cc_ack left = *a;
    if (c->cwnd < c->ssthresh)
        left.acked = tcp_hystart_acked(c, s, a);
    if (left.acked)
        tcp_cc_of(c)->acked(c, s, &left);
    c->cwnd = weir_min_u32(c->cwnd, CWND_MAX);
}

/* Idle is measured from the last ACK of ours, not from the last segment that came in: a flow that only received for
 * long has learnt nothing about the way there either (RFC 5681 4.1). What it had reached stays as the threshold up to
 * which slow start may bring it back (RFC 7661 4.4.3). */
void tcp_cc_idle(struct tcp_core *core, struct tcp_conn *c) {
    uint32_t idle_ms = tcp_now_ms(core) - c->progress_ms;
    if (idle_ms <= TCP_RTO_MIN_US / 1000 || c->snd_una != c->snd_nxt || idle_ms <= tcp_rtt_rto_ms(c))
        return; /* the first: with most messages it is too soon to look closer */
    uint32_t restart = tcp_loss_iw(c);
    if (c->cwnd <= restart)
        return;
    c->ssthresh = weir_max_u32(c->ssthresh, c->cwnd / 4 * 3);
    c->cwnd = restart;
    tcp_cc_of(c)->start(c);
}
