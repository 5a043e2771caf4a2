/* SPDX-License-Identifier: BSD-3-Clause */
/* Cycles a segment takes through tcp_input_burst: data in order, 32 a burst, on one flow and over many; bare ACKs of
 * queued data; and what tcp_output costs a segment. Mbufs are prepared and freed outside the measured time. */
#include "bench.h"

#include "tcp/tcp_int.h"

#include <string.h>

enum { BURST = 32, BURSTS = 16, FLOWS_MAX = 4096 };

#define LOCAL_ADDR  RTE_BE32(0xc6120001u)
#define REMOTE_ADDR RTE_BE32(0xc6120002u)
#define LOCAL_PORT  RTE_BE16(1883)

struct bench {
    struct tcp_core core;
    struct rte_mempool *pool;
    struct rte_mbuf *in[BURSTS * BURST], *out[BURSTS * BURST];
    int16_t verdicts[BURSTS * BURST];
    tcp_id ids[FLOWS_MAX];
    uint32_t flows, at, payload;
    uint16_t n_out;
};

static struct rte_mbuf *segment(struct bench *b, uint16_t remote_port, uint32_t seq, uint32_t ack, uint8_t flags,
                                uint32_t len) {
    struct rte_mbuf *m = rte_pktmbuf_alloc(b->pool);
    static const uint8_t syn_options[] = {2, 4, 1460 >> 8, 1460 & 255, 1, 3, 3, 0}; /* MSS, window scale 0 */
    uint16_t options = flags & WIRE_TCP_SYN ? sizeof syn_options : 0;
    if (!m)
        abort();
    uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(54 + options + len));
    memcpy(p + 54, syn_options, options);
    struct wire_ip4 *ip = (struct wire_ip4 *)(p + 14);
    struct wire_tcp *th = (struct wire_tcp *)(p + 34);
    *ip = (struct wire_ip4){.version_ihl = 0x45, .proto = IPPROTO_TCP, .saddr_be = REMOTE_ADDR, .daddr_be = LOCAL_ADDR};
    *th = (struct wire_tcp){.sport_be = rte_cpu_to_be_16(remote_port),
                            .dport_be = LOCAL_PORT,
                            .seq_be = rte_cpu_to_be_32(seq),
                            .ack_be = rte_cpu_to_be_32(ack),
                            .data_offset = (uint8_t)((20 + options) / 4 << 4),
                            .flags = flags,
                            .window_be = 0xffff};
    m->l2_len = 14;
    m->l3_len = 20;
    m->port = 0;
    return m;
}

static void feed(struct bench *b, struct rte_mbuf *m) {
    int16_t verdict;
    tcp_input_burst(&b->core, &m, 1, b->core.now_us, &verdict);
    if (verdict != TCP_SEG_KEPT)
        rte_pktmbuf_free(m);
}

static void drain(struct bench *b) {
    struct rte_mbuf *out[64];
    tcp_core_port(&b->core, 0)->tx_room = UINT16_MAX;
    for (uint16_t n; (n = tcp_output(&b->core, out, 64, b->core.now_us)) != 0;)
        rte_pktmbuf_free_bulk(out, n);
    while (tcp_ready_next(&b->core))
        ;
}

static void open_flows(struct bench *b, uint32_t flows) {
    for (; b->flows < flows; b->flows++) {
        uint16_t port = (uint16_t)(b->flows + 1);
        feed(b, segment(b, port, 0, 0, WIRE_TCP_SYN, 0));
        tcp_id id = 0;
        for (tcp_id next = 0; (next = tcp_conn_next(&b->core, next)) != 0;)
            id = next; /* indices are handed out in order */
        drain(b);
        feed(b, segment(b, port, 1, tcp_conn_of(&b->core, id)->snd_max, WIRE_TCP_ACK, 0));
        b->ids[b->flows] = id;
        drain(b);
    }
}

/* --- in order --- */

static void give_back(struct bench *b) {
    for (uint32_t i = 0; i < b->flows; i++) {
        rope_clear(tcp_conn_rx(&b->core, b->ids[i]));
        tcp_conn_consumed(&b->core, b->ids[i]);
    }
    drain(b);
}

/* What the last repetition left: all of it must be on the ropes. */
static void expect_kept(const struct bench *b) {
    for (unsigned i = 0; b->in[0] && i < BURSTS * BURST; i++)
        if (b->verdicts[i] != TCP_SEG_KEPT)
            abort();
}

static void prepare_data(void *ctx) {
    struct bench *b = ctx;
    expect_kept(b);
    give_back(b);
    for (uint32_t i = 0; i < b->flows; i++) /* their next bytes, counted on below */
        tcp_conn_of(&b->core, b->ids[i])->user = tcp_conn_of(&b->core, b->ids[i])->rcv_nxt;
    for (unsigned i = 0; i < BURSTS * BURST; i++) {
        struct tcp_conn *c = tcp_conn_of(&b->core, b->ids[b->at]);
        b->in[i] = segment(b, rte_be_to_cpu_16(c->key.remote_port_be), c->user, c->snd_max, WIRE_TCP_ACK, b->payload);
        c->user += b->payload;
        b->at = (b->at + 1) % b->flows;
    }
}

static void input(void *ctx) {
    struct bench *b = ctx;
    for (unsigned i = 0; i < BURSTS; i++)
        tcp_input_burst(&b->core, &b->in[i * BURST], BURST, b->core.now_us, &b->verdicts[i * BURST]);
}

/* --- acknowledgements and output --- */

static void queue_data(struct bench *b, uint32_t bytes) {
    struct tcp_conn *c = tcp_conn_of(&b->core, b->ids[0]);
    struct rope r = {0};
    static const uint8_t zeroes[1460];
    for (; bytes; bytes -= sizeof zeroes)
        if (rope_append(&r, b->pool, zeroes, sizeof zeroes))
            abort();
    c->cwnd = c->snd_wnd = 1u << 30;
    tcp_conn_send(&b->core, b->ids[0], &r);
}

static void acknowledge_all(struct bench *b) {
    struct tcp_conn *c = tcp_conn_of(&b->core, b->ids[0]);
    feed(b, segment(b, 1, c->rcv_nxt, c->snd_max, WIRE_TCP_ACK, 0));
    while (tcp_ready_next(&b->core))
        ;
}

static void prepare_acks(void *ctx) {
    struct bench *b = ctx;
    struct tcp_conn *c = tcp_conn_of(&b->core, b->ids[0]);
    for (unsigned i = 0; i < BURSTS * BURST; i++)
        if (b->in[i])
            rte_pktmbuf_free(b->in[i]);
    acknowledge_all(b);
    queue_data(b, BURSTS * BURST * 1460);
    drain(b);
    for (unsigned i = 0; i < BURSTS * BURST; i++)
        b->in[i] = segment(b, 1, c->rcv_nxt, c->snd_una + (i + 1) * 1460, WIRE_TCP_ACK, 0);
}

static void prepare_output(void *ctx) {
    struct bench *b = ctx;
    rte_pktmbuf_free_bulk(b->out, b->n_out);
    acknowledge_all(b);
    queue_data(b, 40 * 1460);
    tcp_core_port(&b->core, 0)->tx_room = UINT16_MAX;
}

static void output(void *ctx) {
    struct bench *b = ctx;
    b->n_out = tcp_output(&b->core, b->out, 40, b->core.now_us);
}

int main(void) {
    static struct bench b;
    bench_eal("256");
    b.pool = rte_pktmbuf_pool_create("bench", 16383, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    struct tcp_config config = {.max_conns = FLOWS_MAX,
                                .rcv_buf_bytes = 1u << 20,
                                .name = "bench",
                                .secret = {1, 2},
                                .socket_id = SOCKET_ID_ANY};
    if (!b.pool || tcp_core_init(&b.core, &config, 1000000) || tcp_listen(&b.core, LOCAL_ADDR, LOCAL_PORT, 1))
        return 1;
    *tcp_core_port(&b.core, 0) =
        (struct tcp_port){.pool = b.pool, .mtu = 1500, .multi_seg = true, .hw_ip_cksum = true, .hw_tcp_cksum = true};
    static const uint32_t flows[] = {1, 32, FLOWS_MAX}, payloads[] = {64, 1460};
    for (unsigned f = 0; f < 3; f++)
        for (unsigned p = 0; p < 2; p++) {
            char name[48];
            open_flows(&b, flows[f]);
            b.payload = payloads[p];
            snprintf(name, sizeof name, "tcp_input in order, %u flows, %u B", flows[f], payloads[p]);
            bench_run(name, BURSTS * BURST, input, prepare_data, &b);
        }
    give_back(&b);
    memset(b.in, 0, sizeof b.in); /* kept by the core, and freed with the ropes */
    bench_run("tcp_input ACK of one segment", BURSTS * BURST, input, prepare_acks, &b);
    bench_run("tcp_output 1460 B attached", 40, output, prepare_output, &b);
    return 0;
}
