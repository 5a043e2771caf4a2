/* SPDX-License-Identifier: BSD-3-Clause */
/* What tcp_output costs a segment: a small message on each of 32 flows, copied behind its header; full segments of one
 * flow, attached or (on a port that takes single mbufs only) copied; and bare ACKs; checksums left to the device or
 * not, without options and with timestamps. The frames are freed outside the measured time. */
#include "peer.h"

enum { FLOWS = 32, FULL = 40 };

struct bench {
    struct peer peer;
    struct rte_mbuf *out[FULL];
    uint16_t n_out, expected;
    uint32_t small; /* bytes of a small message */
};

static void give_back(struct bench *b, uint32_t flows) {
    if (b->n_out != b->expected)
        abort();
    rte_pktmbuf_free_bulk(b->out, b->n_out);
    for (uint32_t i = 0; i < flows; i++)
        peer_acknowledge(&b->peer, i);
    peer_drain(&b->peer);
}

static void queue_small(void *ctx, uint32_t rounds) {
    struct bench *b = ctx;
    (void)rounds;
    give_back(b, FLOWS);
    for (uint32_t i = 0; i < FLOWS; i++)
        peer_queue(&b->peer, i, 1, b->small);
    b->expected = FLOWS;
}

static void queue_full(void *ctx, uint32_t rounds) {
    struct bench *b = ctx;
    (void)rounds;
    give_back(b, 1);
    peer_queue(&b->peer, 0, FULL, peer_conn(&b->peer, 0)->mss);
    b->expected = FULL;
}

/* Two full segments on each flow: an ACK is due. */
static void owe_acks(void *ctx, uint32_t rounds) {
    struct bench *b = ctx;
    struct peer *p = &b->peer;
    (void)rounds;
    give_back(b, FLOWS);
    for (uint32_t i = 0; i < FLOWS; i++) {
        struct tcp_conn *c = peer_conn(p, i);
        for (int k = 0; k < 2; k++)
            peer_feed(p, peer_segment(p, (uint16_t)(i + 1), c->rcv_nxt, c->snd_nxt, WIRE_TCP_ACK, 1460));
        rope_clear(tcp_conn_rx(&p->core, p->ids[i]));
        tcp_conn_consumed(&p->core, p->ids[i]);
    }
    b->expected = FLOWS;
}

static void output(void *ctx, uint32_t rounds) {
    struct bench *b = ctx;
    (void)rounds;
    b->n_out = tcp_output(&b->peer.core, b->out, FULL, b->peer.core.now_us);
}

static void checksums_by_device(struct bench *b, bool by_device) {
    struct tcp_port *p = tcp_core_port(&b->peer.core, 0);
    p->hw_ip_cksum = p->hw_tcp_cksum = by_device;
}

int main(void) {
    static struct bench b = {.small = 64};
    peer_init(&b.peer);
    peer_open(&b.peer, FLOWS);
    bench_run("tcp_output 64 B copied, 32 flows", FLOWS, 1, output, queue_small, &b);
    bench_run("tcp_output 1460 B attached", FULL, 1, output, queue_full, &b);
    bench_run("tcp_output ACK, 32 flows", FLOWS, 1, output, owe_acks, &b);
    tcp_core_port(&b.peer.core, 0)->multi_seg = false;
    bench_run("tcp_output 1460 B copied", FULL, 1, output, queue_full, &b);
    give_back(&b, FLOWS);
    b.n_out = b.expected = 0;

    peer_close(&b.peer);
    b.peer.modern = true;
    b.small = 100;
    tcp_core_port(&b.peer.core, 0)->multi_seg = true;
    peer_open(&b.peer, FLOWS);
    bench_run("tcp_output 100 B, timestamps", FLOWS, 1, output, queue_small, &b);
    bench_run("tcp_output 1448 B attached, timestamps", FULL, 1, output, queue_full, &b);
    bench_run("tcp_output ACK, timestamps", FLOWS, 1, output, owe_acks, &b);
    checksums_by_device(&b, false);
    bench_run("tcp_output 100 B, timestamps, software sums", FLOWS, 1, output, queue_small, &b);
    bench_run("tcp_output 1448 B, timestamps, software sums", FULL, 1, output, queue_full, &b);
    return 0;
}
