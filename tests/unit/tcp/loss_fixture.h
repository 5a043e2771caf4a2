/* SPDX-License-Identifier: BSD-3-Clause */
/* A flow with segments of 1,000 bytes in flight, for the tests of loss recovery. */
#ifndef WEIR_TEST_TCP_LOSS_FIXTURE_H
#define WEIR_TEST_TCP_LOSS_FIXTURE_H

#include "harness.h"

#include <criterion/criterion.h>

#define MSS 1000u

static struct tcp_core *core;
static tcp_id id;
static struct tcp_conn *c;
static uint32_t first; /* sequence number of our first byte */

/* `syn`: the peer's options. */
static inline void open_flow_with(const struct craft *syn) {
    core = harness_core(NULL);
    id = establish(core, syn);
    c = tcp_conn_of(core, id);
    c->cc = TCP_CC_RENO; /* half on loss */
    first = c->snd_una;
    c->srtt_us = 0; /* the handshake took no time at all */
    c->rto_us = TCP_RTO_INITIAL_US;
}

static inline void open_flow(bool sack) {
    open_flow_with(&(struct craft){.mss = MSS, .sack_ok = sack});
}

/* Put n segments in flight. */
static inline void fly(unsigned n) {
    struct decoded d[64];
    c->cwnd = weir_max_u32(c->cwnd, n * MSS);
    send_bytes(core, id, n * MSS);
    cr_assert_eq(drain(core, d, 64), n);
}

/* The peer acknowledges segment numbers below `segment`; it reports [left, right) as received, where right != 0. */
static inline void ack(unsigned segment, unsigned left, unsigned right) {
    struct craft f = peer_segment(core, id);
    f.ack = first + segment * MSS;
    if (right) {
        f.n_sacks = 1;
        f.sacks[0] = (struct tcp_sack){first + left * MSS, first + right * MSS};
    }
    cr_assert_eq(feed(core, &f), TCP_SEG_FREE);
}

static inline unsigned out(struct decoded *d) {
    return drain(core, d, 64);
}

/* The i-th record of what is outstanding, from 0. */
static inline uint32_t record(unsigned i) {
    uint32_t r = c->seg_head;
    while (i--)
        r = tcp_sent_of(core, r)->next;
    return r;
}

#endif
