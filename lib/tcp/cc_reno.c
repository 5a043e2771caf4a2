/* SPDX-License-Identifier: BSD-3-Clause */
/* Reno (RFC 5681): one segment a round trip in congestion avoidance, half on loss. */
#include "tcp_int.h"

static void reno_start(struct tcp_conn *c) {
    c->cc_state[0] = 0; /* bytes acknowledged since cwnd last grew (RFC 5681 3.1, byte counting) */
}

static void reno_acked(struct tcp_conn *c, struct tcp_cc_state *s, const struct tcp_cc_ack *a) {
    (void)s;
    c->cc_state[0] += a->acked;
    if (c->cc_state[0] >= c->cwnd) {
        c->cc_state[0] -= c->cwnd;
        c->cwnd += c->mss;
    }
}

static uint32_t reno_lost(struct tcp_conn *c, struct tcp_cc_state *s, uint32_t flight, uint64_t now_us) {
    (void)s, (void)now_us;
    c->cc_state[0] = 0;
    return weir_max_u32(flight / 2, 2u * c->mss); /* RFC 5681 (4) */
}

static void reno_undone(struct tcp_conn *c, struct tcp_cc_state *s) {
    (void)s;
    c->cc_state[0] = 0;
}

const struct tcp_cc tcp_cc_reno = {"reno", reno_start, reno_acked, reno_lost, reno_undone};
