/* SPDX-License-Identifier: BSD-3-Clause */
/* Explicit congestion notification (RFC 3168), both roles.
 *
 *   agreed on:  SYN with ECE and CWR, SYN-ACK with ECE alone (6.1.1) -> TCP_F_ECN
 *   receiving:  data with CE -> each ACK says ECE, until the peer says CWR (6.1.3)
 *   sending:    new data leaves as ECT(0); ECE -> one reduction a window, and CWR on the next new data (6.1.2)
 *
 * In SYN-SENT TCP_F_ECN means that our SYN offers it. "Once a window" is kept by `recover`, as for losses: nothing is
 * reacted to, and the window does not grow, until what was out at the reduction is acknowledged. */
#include "tcp_int.h"

#define ECN_SETUP (WIRE_TCP_ECE | WIRE_TCP_CWR)

void tcp_ecn_offer(struct tcp_conn *c, bool wanted) {
    c->flags = wanted ? c->flags | TCP_F_ECN : c->flags & ~TCP_F_ECN;
}

/* 6.1.1: a SYN asks with both flags. A SYN-ACK agrees with ECE alone; some peers send every reserved bit back. */
void tcp_ecn_agree(struct tcp_conn *c, uint8_t syn_flags, bool willing) {
    uint8_t said = syn_flags & ECN_SETUP;
    bool agreed = willing && said == (syn_flags & WIRE_TCP_ACK ? WIRE_TCP_ECE : ECN_SETUP);
    c->flags = agreed ? c->flags | TCP_F_ECN : c->flags & ~TCP_F_ECN;
}

void tcp_ecn_syn_again(struct tcp_conn *c, uint8_t syn_flags) {
    if ((syn_flags & ECN_SETUP) != ECN_SETUP)
        c->flags &= ~TCP_F_ECN;
}

/* 6.1.1.1: networks exist that drop SYNs with these flags; one that was not answered is sent again without. Then our
 * data must not be ECT, while an answer to the first SYN may still come and marks be due to an echo. */
static uint8_t syn_flags(struct tcp_conn *c) {
    if (c->state == TCP_SYN_RECEIVED)
        return WIRE_TCP_ECE;
    if (c->backoff)
        c->no_ect = 1;
    return c->no_ect ? 0 : ECN_SETUP;
}

/* ECT is for new data alone: not for ACKs, retransmissions (6.1.5) and window probes (6.1.6), whose loss or mark nobody
 * could answer, or would be answered twice. */
uint8_t tcp_ecn_out(struct tcp_conn *c, uint32_t seq, uint32_t len, uint8_t *flags) {
    if (*flags & WIRE_TCP_SYN) {
        *flags |= syn_flags(c);
        return WIRE_IP4_NOT_ECT;
    }
    if (c->flags & TCP_F_ECE)
        *flags |= WIRE_TCP_ECE;
    if (!len || seq_lt(seq, c->snd_nxt) || (c->flags & TCP_F_PERSIST))
        return WIRE_IP4_NOT_ECT;
    if (c->flags & TCP_F_CWR)
        *flags |= WIRE_TCP_CWR;
    return c->no_ect ? WIRE_IP4_NOT_ECT : WIRE_IP4_ECT0;
}

void tcp_ecn_data(struct tcp_core *core, struct tcp_conn *c, const struct tcp_seg *seg) {
    if (!(c->flags & TCP_F_ECN) || !seg->len)
        return;
    if (seg->flags & WIRE_TCP_CWR)
        c->flags &= ~TCP_F_ECE;
    if (seg->ecn != WIRE_IP4_CE)
        return;
    core->stats.ecn_ce_in++;
    if (!(c->flags & TCP_F_ECE))
        tcp_ack_now(core, c); /* the news does not wait for the delayed ACK */
    c->flags |= TCP_F_ECE;
}

bool tcp_ecn_reduced(const struct tcp_conn *c) {
    bool open = (c->flags & (TCP_F_ECN | TCP_F_RECOVERY | TCP_F_LOSS)) == TCP_F_ECN;
    /* Below ssthresh: `recover` tells of something else (tcp_path.c, an undone reduction of a peer without SACK). */
    return open && seq_lt(c->snd_una, c->recover) && c->cwnd >= c->ssthresh;
}

void tcp_ecn_echo(struct tcp_core *core, struct tcp_conn *c, uint32_t ack) {
    if (!(c->flags & TCP_F_ECN))
        return;
    core->stats.ecn_ece_in++;
    struct tcp_flight *f = tcp_flight_of(core, c);
    if (f) /* congestion in any case: a reduction made for a loss stays, whatever the loss turns out to be (RFC 4015) */
        f->undo_possible = false;
    if (c->snd_una == c->snd_nxt || !seq_lt(c->recover, ack) || (c->flags & (TCP_F_RECOVERY | TCP_F_LOSS)))
        return;
    core->stats.ecn_reductions++;
    c->ssthresh = tcp_cc_lost(core, c, weir_min_u32(c->snd_nxt - c->snd_una, c->cwnd));
    c->cwnd = weir_min_u32(c->cwnd, c->ssthresh);
    c->recover = c->snd_nxt;
}
