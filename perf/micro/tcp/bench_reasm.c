/* SPDX-License-Identifier: BSD-3-Clause */
/* What a hostile peer can make reassembly cost (CVE-2018-5390): TCP_REASM_MAX holes of one byte each, and repetitions
 * of the first and the last run by turns, so that each search begins as far away as it can. Beside it what an honest
 * one costs: a train of segments behind one hole. */
#include "peer.h"

enum { ROUNDS = 64 };

struct bench {
    struct peer peer;
    struct rte_mbuf *in[2 * ROUNDS];
    int16_t verdicts[2 * ROUNDS];
    uint32_t n;
};

static uint32_t next_byte(struct bench *b) {
    return peer_conn(&b->peer, 0)->rcv_nxt;
}

static struct rte_mbuf *piece(struct bench *b, uint32_t offset, uint32_t len) {
    const struct tcp_conn *c = peer_conn(&b->peer, 0);
    return peer_segment(&b->peer, 1, next_byte(b) + offset, c->snd_nxt, WIRE_TCP_ACK, len);
}

/* Give back what the last repetition left. */
static void give_back(struct bench *b) {
    for (uint32_t i = 0; i < b->n; i++)
        if (b->verdicts[i] != TCP_SEG_KEPT)
            rte_pktmbuf_free(b->in[i]);
    tcp_reasm_clear(&b->peer.core, peer_conn(&b->peer, 0));
    peer_drain(&b->peer);
}

static void prepare_holes(void *ctx, uint32_t rounds) {
    struct bench *b = ctx;
    give_back(b);
    for (uint32_t i = 0; i < TCP_REASM_MAX; i++)
        peer_feed(&b->peer, piece(b, 10 + 2 * i, 1));
    for (uint32_t i = 0; i < rounds; i++) {
        b->in[2 * i] = piece(b, 10 + 2 * (TCP_REASM_MAX - 1), 1);
        b->in[2 * i + 1] = piece(b, 10, 1);
    }
    b->n = 2 * rounds;
}

static void prepare_train(void *ctx, uint32_t rounds) {
    struct bench *b = ctx;
    give_back(b);
    for (uint32_t i = 0; i < 2 * rounds; i++)
        b->in[i] = piece(b, 1460 * (i + 1), 1460);
    b->n = 2 * rounds;
}

static void input(void *ctx, uint32_t rounds) {
    struct bench *b = ctx;
    for (uint32_t i = 0; i < 2 * rounds; i++)
        tcp_input_burst(&b->peer.core, &b->in[i], 1, b->peer.core.now_us, &b->verdicts[i]);
}

int main(void) {
    static struct bench b;
    peer_init(&b.peer);
    peer_open(&b.peer, 1);
    bench_run("tcp_input 1460 B behind one hole", 2, ROUNDS, input, prepare_train, &b);
    bench_run("tcp_input repetition over 64 holes, worst", 2, ROUNDS, input, prepare_holes, &b);
    return 0;
}
