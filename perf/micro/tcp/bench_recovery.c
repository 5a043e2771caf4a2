/* SPDX-License-Identifier: BSD-3-Clause */
/* What is unusual and still must not be dear: ACKs with SACK blocks while many segments are outstanding, segments
 * behind a hole, and timers: set over and over, as each ACK does, and due for 256 flows at once. */
#include "peer.h"

enum { OUTSTANDING = 256, ROUNDS = 32, TIMED = 256 };

struct bench {
    struct peer peer;
    struct rte_mbuf *in[ROUNDS];
    uint32_t n, blocks, step;
};

static void input_each(void *ctx, uint32_t rounds) {
    struct bench *b = ctx;
    int16_t verdict;
    for (uint32_t i = 0; i < rounds; i++) {
        tcp_input_burst(&b->peer.core, &b->in[i], 1, b->peer.core.now_us, &verdict);
        if (verdict == TCP_SEG_KEPT)
            b->in[i] = NULL;
    }
}

static void forget(struct bench *b) {
    for (uint32_t i = 0; i < b->n; i++)
        rte_pktmbuf_free(b->in[i]);
    b->n = 0;
}

/* The first segment of 256 is lost. Each ACK reports one more that has arrived in each of its blocks, the newest block
 * first, as receivers do. */
static void prepare_sacks(void *ctx, uint32_t rounds) {
    struct bench *b = ctx;
    struct peer *p = &b->peer;
    struct tcp_conn *c = peer_conn(p, 0);
    forget(b);
    peer_acknowledge(p, 0);
    peer_drain(p);
    peer_queue(p, 0, OUTSTANDING, c->mss);
    peer_drain(p);
    for (b->n = 0; b->n < rounds; b->n++) {
        uint32_t words[3 + 1 + 8] = {PEER_TS}, at = 3;
        words[at++] = 0x01010500 | (2 + 8 * b->blocks);
        for (uint32_t k = b->blocks; k-- > 0;) {
            words[at++] = c->snd_una + (1 + k * (ROUNDS + 1)) * c->mss;
            words[at++] = c->snd_una + (1 + k * (ROUNDS + 1) + 1 + b->n) * c->mss;
        }
        for (uint32_t i = 0; i < at; i++)
            words[i] = rte_cpu_to_be_32(words[i]);
        b->in[b->n] =
            peer_segment_with(p, 1, c->rcv_nxt, c->snd_una, WIRE_TCP_ACK, 0, words, (uint16_t)(at * sizeof(words[0])));
    }
}

/* Behind a hole; `step` segments apart. The hole of the repetition before is closed, and all of it read. */
static void prepare_holes(void *ctx, uint32_t rounds) {
    struct bench *b = ctx;
    struct peer *p = &b->peer;
    struct tcp_conn *c = peer_conn(p, 0);
    forget(b);
    for (bool more = true; more;) {
        peer_feed(p, peer_segment(p, 1, c->rcv_nxt, c->snd_una, WIRE_TCP_ACK, 1448));
        rope_clear(tcp_conn_rx(&p->core, p->ids[0]));
        tcp_conn_consumed(&p->core, p->ids[0]);
        peer_drain(p);
        more = c->reasm_count != 0;
    }
    for (b->n = 0; b->n < rounds; b->n++)
        b->in[b->n] = peer_segment(p, 1, c->rcv_nxt + (1 + b->n * b->step) * 1448, c->snd_una, WIRE_TCP_ACK, 1448);
}

static void set_timers(void *ctx, uint32_t rounds) {
    struct bench *b = ctx;
    for (uint32_t i = 0; i < rounds; i++)
        tcp_timer_set(&b->peer.core, peer_conn(&b->peer, i % TIMED), TCP_TIMER_ACK, 200 + i % 32);
}

/* All flows owe an ACK and their delay is over: the timers fire, and another time is found for each node. */
static void prepare_delayed(void *ctx, uint32_t rounds) {
    struct bench *b = ctx;
    struct peer *p = &b->peer;
    (void)rounds;
    peer_drain(p);
    for (uint32_t i = 0; i < TIMED; i++)
        tcp_timer_set(&p->core, peer_conn(p, i), TCP_TIMER_ACK, 2);
    p->core.now_us += 2000;
}

static void fire(void *ctx, uint32_t rounds) {
    struct bench *b = ctx;
    (void)rounds;
    tcp_timers(&b->peer.core, b->peer.core.now_us);
}

int main(void) {
    static struct bench b = {.peer.modern = true};
    peer_init(&b.peer);
    peer_open(&b.peer, TIMED);
    for (b.blocks = 1; b.blocks <= 3; b.blocks += 2) {
        char name[64];
        snprintf(name, sizeof name, "tcp_input SACK, %u block%s, 256 outstanding", b.blocks, b.blocks > 1 ? "s" : "");
        bench_run(name, 1, ROUNDS, input_each, prepare_sacks, &b);
    }
    forget(&b);
    b.step = 1;
    bench_run("tcp_input out of order, one run", 1, ROUNDS, input_each, prepare_holes, &b);
    b.step = 2;
    bench_run("tcp_input out of order, a hole each", 1, ROUNDS, input_each, prepare_holes, &b);
    bench_run("tcp_timer_set", 1, 1024, set_timers, NULL, &b);
    bench_run("tcp_timers, a delayed ACK each", TIMED, 1, fire, prepare_delayed, &b);
    return 0;
}
