/* SPDX-License-Identifier: BSD-3-Clause */
/* Congestion control as a vtable: how cwnd grows and by how much it falls. When it falls is the loss recovery's
 * business (tcp_loss.c, tcp_ecn.c), and PRR decides how it gets there (tcp_prr.c).
 *
 *   an ACK took SND.UNA further, outside recovery -> tcp_cc_acked
 *         cwnd <  ssthresh: tcp_hystart.c (slow start; in the first one with its early exits, RFC 9406)
 *         cwnd >= ssthresh: the flow's algorithm, cc_reno.c (RFC 5681) or cc_cubic.c (RFC 9438)
 *   loss or ECE -> lost(): the new ssthresh; it was needless -> undone() */
#ifndef WEIR_TCP_CC_H
#define WEIR_TCP_CC_H

#include "tcp_core.h"

#define TCP_SSTHRESH_INITIAL (UINT32_MAX / 2) /* "arbitrarily high": RFC 5681 3.1; no loss has been seen yet */

/* What an ACK that took SND.UNA further tells. */
struct tcp_cc_ack {
    uint32_t acked;  /* bytes newly acknowledged or SACKed */
    uint32_t flight; /* bytes outstanding before it */
    uint32_t rtt_us; /* measured by it; 0: nothing */
    uint64_t now_us;
};

struct tcp_cc {
    const char *name;
    /* The handshake is complete, or the flow was idle for longer than its RTO: cwnd and ssthresh are set, c->cc_state
     * (8 bytes that live as long as the flow) is zero at the handshake. */
    void (*start)(struct tcp_conn *c);
    /* Congestion avoidance: bytes beyond ssthresh were acknowledged outside recovery while the flow used its window.
     * `s` is the flow's, zeroed when its flight began; NULL where it has none: then the window grows as Reno's does. */
    void (*acked)(struct tcp_conn *c, struct tcp_cc_state *s, const struct tcp_cc_ack *a);
    /* Loss, or ECE: the new ssthresh. `flight` bytes were outstanding; cwnd is still what it was; TCP_F_LOSS says that
     * a timeout found it. s may be NULL (nothing was kept). */
    uint32_t (*lost)(struct tcp_conn *c, struct tcp_cc_state *s, uint32_t flight, uint64_t now_us);
    /* The reduction was needless: cwnd and ssthresh are as before it again, and so must be the rest. s may be NULL. */
    void (*undone)(struct tcp_conn *c, struct tcp_cc_state *s);
};

extern const struct tcp_cc tcp_cc_reno, tcp_cc_cubic;

/* The flow's. */
const struct tcp_cc *tcp_cc_of(const struct tcp_conn *c);
/* The handshake is complete. */
void tcp_cc_start(struct tcp_conn *c);
/* A reduction: the new ssthresh; cwnd is still what it was, `flight` bytes are outstanding. */
uint32_t tcp_cc_lost(struct tcp_core *core, struct tcp_conn *c, uint32_t flight);
/* Open the congestion window (outside recovery): slow start with HyStart++, then the algorithm's own growth. */
void tcp_cc_acked(struct tcp_core *core, struct tcp_conn *c, const struct tcp_cc_ack *a);
/* Slow start and its exits, RFC 9406: takes the bytes that slow start may use of a->acked; returns what is left. */
uint32_t tcp_hystart_acked(struct tcp_conn *c, struct tcp_cc_state *s, const struct tcp_cc_ack *a);
/* RFC 5681 4.1: nothing outstanding and nothing sent for an RTO: back to the initial window. */
void tcp_cc_idle(struct tcp_core *core, struct tcp_conn *c);

/* The cube root, rounded down (cc_cubic.c). */
uint32_t tcp_cubic_root(uint64_t x);

#endif
