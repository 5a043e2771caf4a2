/* SPDX-License-Identifier: BSD-3-Clause */
/* What a flood costs, segment by segment: a SYN answered with a cookie (the answer built and sent), an ACK that brings
 * none back, a stray ACK while no cookie is out, a SYN dropped because the backlog is full; and the search for a
 * listener among 256. All in bursts of 32, as they come. */
#include "peer.h"

enum { BURST = 32, FIRST_PORT = 20000 };

struct bench {
    struct peer peer;
    struct rte_mbuf *m[BURST];
    uint8_t flags, cookies;
    bool spend; /* the budget of resets is used up: nothing is answered */
};

static void prepare(void *ctx, uint32_t rounds) {
    struct bench *b = ctx;
    struct tcp_core *core = &b->peer.core;
    (void)rounds;
    tcp_listen_options(core, 1, &(struct tcp_options){.cookies = b->cookies});
    core->now_us += 1000000;
    core->cookies.sent_us = b->cookies == TCP_COOKIES_ALWAYS ? core->now_us : 0;
    for (uint32_t i = 0; i < BURST; i++)
        b->m[i] = peer_segment(&b->peer, (uint16_t)(FIRST_PORT + i), 1, 1, b->flags, 0);
    while (b->spend && tcp_reset_allowed(core, PEER_REMOTE_ADDR))
        ;
}

/* `rounds` is 1: what is fed is used up. */
static void feed(void *ctx, uint32_t rounds) {
    struct bench *b = ctx;
    int16_t verdicts[BURST];
    struct rte_mbuf *out[BURST];
    (void)rounds;
    tcp_input_burst(&b->peer.core, b->m, BURST, b->peer.core.now_us, verdicts);
    rte_pktmbuf_free_bulk(b->m, BURST);
    tcp_core_port(&b->peer.core, 0)->tx_room = UINT16_MAX;
    uint16_t n = tcp_output(&b->peer.core, out, BURST, b->peer.core.now_us);
    if (n != (b->cookies == TCP_COOKIES_ALWAYS && b->flags == WIRE_TCP_SYN ? BURST : 0))
        abort();
    rte_pktmbuf_free_bulk(out, n);
}

static void find(void *ctx, uint32_t rounds) {
    const struct bench *b = ctx;
    uintptr_t any = 0;
    for (uint32_t i = 0; i < rounds; i++)
        any ^=
            (uintptr_t)tcp_listener_find(&b->peer.core, PEER_LOCAL_ADDR, rte_cpu_to_be_16((uint16_t)(3000 + i % 256)));
    if (any == 1)
        abort();
}

int main(void) {
    static struct bench b;
    peer_init(&b.peer);
    peer_open(&b.peer, 4000);
    for (uint16_t i = 1; i < TCP_MAX_LISTENERS; i++)
        tcp_listen(&b.peer.core, PEER_LOCAL_ADDR, rte_cpu_to_be_16((uint16_t)(3000 + i)), (uint16_t)(i + 1));
    bench_run("tcp find one of 256 listeners", 1, 1024, find, NULL, &b);
    b.flags = WIRE_TCP_SYN;
    b.cookies = TCP_COOKIES_ALWAYS;
    bench_run("tcp SYN answered with a cookie", BURST, 1, feed, prepare, &b);
    b.flags = WIRE_TCP_ACK;
    b.spend = true;
    bench_run("tcp ACK with a bad cookie", BURST, 1, feed, prepare, &b);
    b.cookies = TCP_COOKIES_OFF;
    bench_run("tcp stray ACK, no cookie out", BURST, 1, feed, prepare, &b);
    b.flags = WIRE_TCP_SYN;
    b.peer.core.cfg.max_half_open = 0;
    bench_run("tcp SYN dropped, backlog full", BURST, 1, feed, prepare, &b);
    return 0;
}
