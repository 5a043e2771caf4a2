/* SPDX-License-Identifier: BSD-3-Clause */
/* Congestion control as a vtable: how cwnd grows and by how much it falls. When it falls is tcp_loss.c's business. */
#ifndef WEIR_TCP_CC_H
#define WEIR_TCP_CC_H

#include "tcp_core.h"

struct tcp_cc {
    const char *name;
    /* A flow begins: cwnd and ssthresh are set, cc_state is zero. */
    void (*start)(struct tcp_conn *c);
    /* `acked` bytes were acknowledged outside recovery while the flow made use of its window. */
    void (*acked)(struct tcp_conn *c, uint32_t acked, uint64_t now_us);
    /* A loss with `flight` bytes outstanding: the new ssthresh. */
    uint32_t (*lost)(struct tcp_conn *c, uint32_t flight, uint64_t now_us);
};

extern const struct tcp_cc tcp_cc_reno;

/* Open the congestion window after `acked` bytes: slow start by bytes (RFC 3465), then the algorithm's own growth. */
void tcp_cc_acked(const struct tcp_core *core, struct tcp_conn *c, uint32_t acked, uint32_t flight_before);

#endif
