/* SPDX-License-Identifier: BSD-3-Clause */
/* Cycles a segment takes through tcp_input_burst: data in order, 32 a burst, on one flow and over many; bare ACKs of
 * queued data. Mbufs are prepared and freed outside the measured time. */
#include "peer.h"

enum { BURST = 32, BURSTS = 16 };

struct bench {
    struct peer peer;
    struct rte_mbuf *in[BURSTS * BURST];
    int16_t verdicts[BURSTS * BURST];
    uint32_t n, at, payload;
};

static void give_back(struct bench *b) {
    for (uint32_t i = 0; i < b->peer.flows; i++) {
        rope_clear(tcp_conn_rx(&b->peer.core, b->peer.ids[i]));
        tcp_conn_consumed(&b->peer.core, b->peer.ids[i]);
    }
    peer_drain(&b->peer);
}

/* What the last repetition left: all of it must be on the ropes. */
static void expect_kept(const struct bench *b) {
    for (unsigned i = 0; i < b->n; i++)
        if (b->verdicts[i] != TCP_SEG_KEPT)
            abort();
}

static void prepare_data(void *ctx, uint32_t rounds) {
    struct bench *b = ctx;
    struct peer *p = &b->peer;
    expect_kept(b);
    give_back(b);
    for (uint32_t i = 0; i < p->flows; i++) /* their next bytes, counted on below */
        peer_conn(p, i)->user = peer_conn(p, i)->rcv_nxt;
    b->n = rounds * BURST;
    for (unsigned i = 0; i < b->n; i++) {
        struct tcp_conn *c = peer_conn(p, b->at);
        b->in[i] = peer_segment(p, (uint16_t)(b->at + 1), c->user, c->snd_nxt, WIRE_TCP_ACK, b->payload);
        c->user += b->payload;
        b->at = (b->at + 1) % p->flows;
    }
}

static void input(void *ctx, uint32_t rounds) {
    struct bench *b = ctx;
    for (unsigned i = 0; i < rounds; i++)
        tcp_input_burst(&b->peer.core, &b->in[i * BURST], BURST, b->peer.core.now_us, &b->verdicts[i * BURST]);
}

static void prepare_acks(void *ctx, uint32_t rounds) {
    struct bench *b = ctx;
    struct peer *p = &b->peer;
    struct tcp_conn *c = peer_conn(p, 0);
    rte_pktmbuf_free_bulk(b->in, b->n);
    b->n = rounds * BURST;
    peer_acknowledge(p, 0);
    peer_queue(p, 0, b->n, 1460);
    peer_drain(p);
    for (unsigned i = 0; i < b->n; i++)
        b->in[i] = peer_segment(p, 1, c->rcv_nxt, c->snd_una + (i + 1) * 1460, WIRE_TCP_ACK, 0);
}

int main(void) {
    static struct bench b;
    static const uint32_t flows[] = {1, 32, PEER_FLOWS_MAX}, payloads[] = {64, 1460};
    peer_init(&b.peer);
    for (unsigned f = 0; f < 3; f++)
        for (unsigned i = 0; i < 2; i++) {
            char name[48];
            peer_open(&b.peer, flows[f]);
            b.payload = payloads[i];
            snprintf(name, sizeof name, "tcp_input %u B in order, %u flows", payloads[i], flows[f]);
            bench_run(name, BURST, BURSTS, input, prepare_data, &b);
        }
    give_back(&b);
    b.n = 0; /* the core kept them */
    bench_run("tcp_input ACK of one segment", BURST, BURSTS, input, prepare_acks, &b);
    return 0;
}
