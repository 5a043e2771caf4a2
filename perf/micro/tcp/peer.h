/* SPDX-License-Identifier: BSD-3-Clause */
/* The other end of lib/tcp's benchmarks: a core with one port and one listener, segments made by hand, and flows
 * established by them. Flow i comes from port i + 1. */
#ifndef WEIR_BENCH_PEER_H
#define WEIR_BENCH_PEER_H

#include "bench.h"

#include "tcp/tcp_int.h"

enum { PEER_FLOWS_MAX = 4096 };

#define PEER_LOCAL_ADDR  RTE_BE32(0xc6120001u)
#define PEER_REMOTE_ADDR RTE_BE32(0xc6120002u)
#define PEER_LOCAL_PORT  RTE_BE16(1883)

struct peer {
    struct tcp_core core;
    struct rte_mempool *pool;
    tcp_id ids[PEER_FLOWS_MAX];
    uint32_t flows;
    bool modern; /* flows have timestamps and SACK */
};

static inline void peer_init(struct peer *p) {
    bench_eal("256");
    p->pool = bench_mbufs(16383);
    struct tcp_config config = {
        .max_conns = PEER_FLOWS_MAX, .rcv_buf_bytes = 1u << 20, .rcv_buf_initial_bytes = 1u << 20, .secret = {1, 2}};
    if (tcp_core_init(&p->core, &config, 1000000) || tcp_listen(&p->core, PEER_LOCAL_ADDR, PEER_LOCAL_PORT, 1))
        exit(1);
    *tcp_core_port(&p->core, 0) = (struct tcp_port){.pool = p->pool,
                                                    .mtu = 1500,
                                                    .tx_room = UINT16_MAX,
                                                    .multi_seg = true,
                                                    .hw_ip_cksum = true,
                                                    .hw_tcp_cksum = true};
}

static inline struct wire_tcp *peer_tcp_header(struct rte_mbuf *m) {
    return rte_pktmbuf_mtod_offset(m, struct wire_tcp *, 34);
}

/* A segment to us, as path.c hands it to lib/tcp, with these options. */
static inline struct rte_mbuf *peer_segment_with(struct peer *p, uint16_t port, uint32_t seq, uint32_t ack,
                                                 uint8_t flags, uint32_t len, const void *options, uint16_t n_options) {
    struct rte_mbuf *m = rte_pktmbuf_alloc(p->pool);
    if (!m)
        exit(1);
    uint8_t *bytes = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(54 + n_options + len));
    if (!bytes)
        exit(1);
    memcpy(bytes + 54, options, n_options);
    *(struct wire_ip4 *)(bytes + 14) = (struct wire_ip4){
        .version_ihl = 0x45, .proto = IPPROTO_TCP, .saddr_be = PEER_REMOTE_ADDR, .daddr_be = PEER_LOCAL_ADDR};
    *peer_tcp_header(m) = (struct wire_tcp){.sport_be = rte_cpu_to_be_16(port),
                                            .dport_be = PEER_LOCAL_PORT,
                                            .seq_be = rte_cpu_to_be_32(seq),
                                            .ack_be = rte_cpu_to_be_32(ack),
                                            .data_offset = (uint8_t)((20 + n_options) / 4 << 4),
                                            .flags = flags,
                                            .window_be = 0xffff};
    m->l2_len = 14;
    m->l3_len = 20;
    m->port = 0;
    return m;
}

#define PEER_TS 0x0101080a, 1, 0 /* NOP NOP TS, its value, its echo */

/* With the options it has anyway. */
static inline struct rte_mbuf *peer_segment(struct peer *p, uint16_t port, uint32_t seq, uint32_t ack, uint8_t flags,
                                            uint32_t len) {
    /* MSS, NOP and window scale 0; NOP NOP SACK-permitted; timestamps */
    uint32_t words[] = {0x020405b4, 0x01030300, 0x01010402, PEER_TS};
    bool syn = flags & WIRE_TCP_SYN;
    const uint32_t *from = syn ? words : words + 3;
    uint16_t bytes = syn ? (p->modern ? 24 : 8) : (p->modern ? 12 : 0);
    for (unsigned i = 0; i < 6; i++)
        words[i] = rte_cpu_to_be_32(words[i]);
    return peer_segment_with(p, port, seq, ack, flags, len, from, bytes);
}

/* Hand it in alone, and free it where lib/tcp does not keep it. */
static inline void peer_feed(struct peer *p, struct rte_mbuf *m) {
    int16_t verdict;
    tcp_input_burst(&p->core, &m, 1, p->core.now_us, &verdict);
    if (verdict != TCP_SEG_KEPT)
        rte_pktmbuf_free(m);
}

/* Take all that is sent, and all news. */
static inline void peer_drain(struct peer *p) {
    struct rte_mbuf *out[64];
    tcp_core_port(&p->core, 0)->tx_room = UINT16_MAX;
    for (uint16_t n; (n = tcp_output(&p->core, out, 64, p->core.now_us)) != 0;)
        rte_pktmbuf_free_bulk(out, n);
    while (tcp_ready_next(&p->core))
        ;
}

static inline struct tcp_conn *peer_conn(struct peer *p, uint32_t flow) {
    return tcp_conn_of(&p->core, p->ids[flow]);
}

/* Establish flows until there are so many. */
static inline void peer_open(struct peer *p, uint32_t flows) {
    for (; p->flows < flows; p->flows++) {
        uint16_t port = (uint16_t)(p->flows + 1);
        peer_feed(p, peer_segment(p, port, 0, 0, WIRE_TCP_SYN, 0));
        tcp_id id = 0;
        for (tcp_id next = 0; (next = tcp_conn_next(&p->core, next)) != 0;)
            id = next; /* indices are handed out in order */
        peer_drain(p);
        peer_feed(p, peer_segment(p, port, 1, tcp_conn_of(&p->core, id)->snd_nxt, WIRE_TCP_ACK, 0));
        p->ids[p->flows] = id;
        peer_drain(p);
    }
}

/* End all flows. */
static inline void peer_close(struct peer *p) {
    while (p->flows)
        tcp_conn_abort(&p->core, p->ids[--p->flows]);
    peer_drain(p);
    p->core.now_us += 1000000; /* budgets start anew */
}

/* Acknowledge what was sent on a flow. */
static inline void peer_acknowledge(struct peer *p, uint32_t flow) {
    struct tcp_conn *c = peer_conn(p, flow);
    peer_feed(p, peer_segment(p, (uint16_t)(flow + 1), c->rcv_nxt, c->snd_nxt, WIRE_TCP_ACK, 0));
}

/* Queue `pieces` times `bytes` to be sent on a flow, whose windows let all of it go. */
static inline void peer_queue(struct peer *p, uint32_t flow, uint32_t pieces, uint32_t bytes) {
    struct tcp_conn *c = peer_conn(p, flow);
    struct rope r = {0};
    static const uint8_t zeroes[1460]; /* the largest segment */
    for (; pieces; pieces--)
        if (rope_append(&r, p->pool, zeroes, bytes))
            exit(1);
    c->cwnd = c->snd_wnd = 1u << 30;
    tcp_conn_send(&p->core, p->ids[flow], &r);
}

#endif
