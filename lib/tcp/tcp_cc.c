/* SPDX-License-Identifier: BSD-3-Clause */
/* What all congestion controls share: slow start, and the rule that an unused window does not grow. */
#include "tcp_int.h"

#define CWND_MAX (1u << 30) /* the largest scaled window */

void tcp_cc_acked(const struct tcp_core *core, struct tcp_conn *c, uint32_t acked, uint32_t flight_before) {
    /* A flow that did not fill half its window has learnt nothing about the path (RFC 7661 4.1). */
    if (flight_before < c->cwnd / 2 || c->cwnd >= CWND_MAX)
        return;
    if (c->cwnd >= c->ssthresh) {
        core->cc->acked(c, acked, core->now_us);
        return;
    }
    /* Slow start by bytes (RFC 3465), without its limit of two segments an ACK: receivers like ours acknowledge
     * whatever a turn brought in one ACK, and bytes never more than double cwnd a round trip. Split ACKs gain nothing.
     */
    uint32_t room = c->ssthresh - c->cwnd;
    c->cwnd += weir_min_u32(acked, room);
    if (acked > room)
        core->cc->acked(c, acked - room, core->now_us);
}
