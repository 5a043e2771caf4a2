/* SPDX-License-Identifier: BSD-3-Clause */
/* Proportional rate reduction (RFC 6937): during fast recovery cwnd follows what the ACKs report as delivered, so that
 * the flow comes down to ssthresh smoothly, and back up to it by slow start where losses took it below. */
#include "tcp_int.h"

void tcp_prr_start(const struct tcp_conn *c, struct tcp_flight *f) {
    f->prr_delivered = f->prr_out = 0;
    f->recover_fs = c->snd_nxt - c->snd_una;
}

void tcp_prr_ack(const struct tcp_core *core, struct tcp_conn *c, struct tcp_flight *f, uint32_t delivered, bool good) {
    uint32_t pipe = tcp_pipe(core, c);
    int64_t send;
    f->prr_delivered += delivered;
    if (pipe > c->ssthresh) {
        uint64_t share = ((uint64_t)f->prr_delivered * c->ssthresh + f->recover_fs - 1) / f->recover_fs;
        send = (int64_t)share - f->prr_out;
    } else { /* slow start reduction bound where this ACK shows that nothing more was lost, else conservative */
        int64_t limit = RTE_MAX((int64_t)f->prr_delivered - f->prr_out, (int64_t)delivered);
        send = RTE_MIN((int64_t)(c->ssthresh - pipe), limit + (good ? c->mss : 0));
    }
    if (!f->prr_out) /* the fast retransmission itself */
        send = RTE_MAX(send, (int64_t)c->mss);
    c->cwnd = weir_max_u32(pipe + (send > 0 ? (uint32_t)send : 0), c->mss);
}
