/* SPDX-License-Identifier: BSD-3-Clause */
/* Cycles a segment takes through tcp_input_burst: data in order, 32 a burst, on one flow and over many; bare ACKs of
 * queued data; without options, and with timestamps as nearly everybody has them. Mbufs are prepared and freed outside
 * the measured time.
 *
 * Sixteen bursts a repetition: their mbufs are more than L1 holds. With up to 32 flows segments pile up on their ropes,
 * where small ones are copied behind the others; with more each meets an empty rope.
 *
 * "a turn": one burst a repetition, as in a worker's turn: the stages before have just had its mbufs in their hands,
 * and every rope is empty, as it was read the turn before. */
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
    peer_queue(p, 0, b->n, c->mss);
    peer_drain(p);
    for (unsigned i = 0; i < b->n; i++)
        b->in[i] = peer_segment(p, 1, c->rcv_nxt, c->snd_una + (i + 1) * c->mss, WIRE_TCP_ACK, 0);
}

static void run_bursts(struct bench *b, uint32_t payload, uint32_t flows, uint32_t bursts) {
    char name[64];
    peer_open(&b->peer, flows);
    b->payload = payload;
    b->at = 0;
    snprintf(name, sizeof name, "tcp_input %u B in order, %u flows%s%s", payload, flows,
             b->peer.modern ? ", timestamps" : "", bursts == 1 ? ", a turn" : "");
    bench_run(name, BURST, bursts, input, prepare_data, b);
}

static void run_data(struct bench *b, uint32_t payload, uint32_t flows) {
    run_bursts(b, payload, flows, BURSTS);
}

static void run_acks(struct bench *b) {
    give_back(b);
    b->n = 0; /* the core kept them */
    bench_run(b->peer.modern ? "tcp_input pure ACK, timestamps" : "tcp_input ACK of one segment", BURST, BURSTS, input,
              prepare_acks, b);
    rte_pktmbuf_free_bulk(b->in, b->n);
    b->n = 0;
}

int main(void) {
    static struct bench b;
    static const uint32_t flows[] = {1, 32, PEER_FLOWS_MAX}, payloads[] = {64, 1460};
    peer_init(&b.peer);
    for (unsigned f = 0; f < 3; f++)
        for (unsigned i = 0; i < 2; i++)
            run_data(&b, payloads[i], flows[f]);
    run_acks(&b);
    peer_close(&b.peer);
    b.peer.modern = true;
    run_data(&b, 100, 32);
    run_data(&b, 1448, 32);
    run_bursts(&b, 100, 32, 1);
    run_bursts(&b, 1448, 32, 1);
    run_data(&b, 100, 512);
    run_data(&b, 1448, 512);
    run_acks(&b);
    return 0;
}
