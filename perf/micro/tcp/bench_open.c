/* SPDX-License-Identifier: BSD-3-Clause */
/* A connection's life without data: SYN in, SYN-ACK out, ACK in, accepted; FIN in, released, FIN out, ACK in, freed.
 * All of lib/tcp's work for it, segment by segment, with 4,000 other flows open; and the answer to a SYN nobody
 * listens for. */
#include "peer.h"

enum { CONNECTIONS = 32, OTHERS = 4000, FIRST_PORT = 20000 };

struct bench {
    struct peer peer;
    struct rte_mbuf *syn[CONNECTIONS], *ack[CONNECTIONS], *fin[CONNECTIONS], *last[CONNECTIONS];
};

static void prepare(void *ctx, uint32_t rounds) {
    struct bench *b = ctx;
    struct peer *p = &b->peer;
    for (uint16_t i = 0; i < rounds; i++) {
        uint16_t port = (uint16_t)(FIRST_PORT + i);
        b->syn[i] = peer_segment(p, port, 0, 0, WIRE_TCP_SYN, 0);
        b->ack[i] = peer_segment(p, port, 1, 0, WIRE_TCP_ACK, 0);
        b->fin[i] = peer_segment(p, port, 1, 0, WIRE_TCP_ACK | WIRE_TCP_FIN, 0);
        b->last[i] = peer_segment(p, port, 2, 0, WIRE_TCP_ACK, 0);
    }
    p->core.now_us += 1000000; /* rate limits start anew */
}

/* The one segment that goes out: the sequence number behind it (SYN and FIN count one). */
static uint32_t sent(struct peer *p) {
    struct rte_mbuf *out;
    tcp_core_port(&p->core, 0)->tx_room = UINT16_MAX;
    if (tcp_output(&p->core, &out, 1, p->core.now_us) != 1)
        abort();
    const struct wire_tcp *th = rte_pktmbuf_mtod_offset(out, const struct wire_tcp *, 20);
    uint32_t next = rte_be_to_cpu_32(th->seq_be) + 1;
    rte_pktmbuf_free(out);
    return next;
}

static tcp_id ready(struct peer *p, uint8_t event) {
    tcp_id id = tcp_ready_next(&p->core);
    if (id == 0 || !(tcp_conn_events(&p->core, id) & event))
        abort();
    return id;
}

static void open_and_close(void *ctx, uint32_t rounds) {
    struct bench *b = ctx;
    struct peer *p = &b->peer;
    for (uint32_t i = 0; i < rounds; i++) {
        peer_feed(p, b->syn[i]);
        uint32_t next = sent(p);
        peer_tcp_header(b->ack[i])->ack_be = peer_tcp_header(b->fin[i])->ack_be = rte_cpu_to_be_32(next);
        peer_tcp_header(b->last[i])->ack_be = rte_cpu_to_be_32(next + 1);
        peer_feed(p, b->ack[i]);
        tcp_conn_set_user(&p->core, ready(p, TCP_EV_ACCEPTED), i + 1);
        peer_feed(p, b->fin[i]);
        tcp_conn_release(&p->core, ready(p, TCP_EV_PEER_FIN));
        if (sent(p) != next + 1)
            abort();
        peer_feed(p, b->last[i]);
    }
    if (p->core.conns.used != OTHERS)
        abort();
}

static void prepare_strays(void *ctx, uint32_t rounds) {
    struct bench *b = ctx;
    for (uint32_t i = 0; i < rounds; i++) {
        b->syn[i] = peer_segment(&b->peer, (uint16_t)(FIRST_PORT + i), 0, 0, WIRE_TCP_SYN, 0);
        peer_tcp_header(b->syn[i])->dport_be = RTE_BE16(9);
    }
    b->peer.core.now_us += 1000000;
}

static void refuse(void *ctx, uint32_t rounds) {
    struct bench *b = ctx;
    for (uint32_t i = 0; i < rounds; i++) {
        peer_feed(&b->peer, b->syn[i]);
        sent(&b->peer);
    }
}

int main(void) {
    static struct bench b;
    peer_init(&b.peer);
    peer_open(&b.peer, OTHERS);
    bench_run("tcp open + close, accepted", 1, CONNECTIONS, open_and_close, prepare, &b);
    bench_run("tcp SYN refused with RST", 1, CONNECTIONS, refuse, prepare_strays, &b);
    return 0;
}
