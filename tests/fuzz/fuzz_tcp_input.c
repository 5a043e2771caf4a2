/* SPDX-License-Identifier: BSD-3-Clause */
/* Segments into a core with a listener, an accepted and a connected flow. An input is a row of records: a byte that
 * says which flow and what to put right (so that checks do not keep everything out), the fields of a TCP header,
 * options, a payload length; other records let time pass, send, read, shut down, release. Whatever comes: no access
 * outside, a sane verdict, nothing lost, gauges exact. */
#include "tcp/tcp_int.h"

#include <rte_eal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MBUFS = 1023, RECORDS = 64 };

/* First byte of a record: what it is, and what is put right in a segment. */
enum {
    WHAT = 0x07, /* 0..3: segment to the flow of that number (3: none); 4: time; 5: owner; 6: output; 7: ICMP error */
    FIX_SEQ = 0x08,
    FIX_ACK = 0x10,
    FIX_FLAGS = 0x20,
    FIX_TS = 0x40,
    FIX_OFFSET = 0x80,
};

#define LOCAL_ADDR  RTE_BE32(0xc6120001u)
#define REMOTE_ADDR RTE_BE32(0xc6120002u)
#define LISTEN_PORT RTE_BE16(1883)

static struct rte_mempool *mbufs;

struct state {
    struct tcp_core core;
    tcp_id ids[2]; /* accepted, connected; 0 once released */
    struct span in;
};

static void check(bool ok) {
    if (!ok)
        abort();
}

static void start(void) {
    char *argv[] = {"fuzz", "--no-huge", "--no-pci", "--no-shconf", "--no-telemetry", "-m", "64", "--log-level=error"};
    if (mbufs)
        return;
    check(rte_eal_init(WEIR_ARRAY_LEN(argv), argv) >= 0);
    mbufs = rte_pktmbuf_pool_create("fuzz", MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    check(mbufs);
}

static uint16_t remote_port(unsigned flow) {
    return rte_cpu_to_be_16((uint16_t)(40000 + flow));
}

static struct flow_key key_of(unsigned flow) {
    return (struct flow_key){
        REMOTE_ADDR, LOCAL_ADDR, remote_port(flow), flow == 1 ? RTE_BE16(50000) : LISTEN_PORT, FLOW_FAMILY_IP4,
        IPPROTO_TCP, 0};
}

/* What a well-meant segment of the flow carries. */
static void put_right(const struct state *s, unsigned flow, uint8_t fix, struct wire_tcp *th, uint8_t *options) {
    struct flow_key key = key_of(flow);
    tcp_id id = flow_table_find(&s->core.table, &key);
    if (fix & FIX_FLAGS)
        th->flags = (uint8_t)((th->flags & (WIRE_TCP_FIN | WIRE_TCP_PSH)) | WIRE_TCP_ACK);
    if (!id)
        return;
    const struct tcp_conn *c = tcp_conn_of(&s->core, id);
    uint32_t seq = rte_be_to_cpu_32(th->seq_be), ack = rte_be_to_cpu_32(th->ack_be);
    if (fix & FIX_SEQ) /* near the window: the low bits move it about */
        th->seq_be = rte_cpu_to_be_32(c->rcv_nxt + (seq & 1 ? (seq >> 1) % 70000 - 2000 : 0));
    if (fix & FIX_ACK)
        th->ack_be = rte_cpu_to_be_32(c->snd_una + ack % (c->snd_nxt - c->snd_una + 1));
    if ((fix & FIX_TS) && th->data_offset >= 0x80) {
        struct span_writer w = span_writer_of(options, 12);
        span_put_u32(&w, 0x0101080a);
        span_put_u32(&w, c->ts_recent + (th->window_be & 3));
        span_put_u32(&w, tcp_ts_now(&s->core, c));
    }
}

static void input(struct state *s, unsigned flow, uint8_t fix) {
    uint8_t bytes[sizeof(struct wire_tcp) + TCP_OPTIONS_MAX] = {0};
    struct wire_tcp *th = (struct wire_tcp *)bytes;
    uint32_t n_options = span_u8(&s->in) % (TCP_OPTIONS_MAX / 4 + 1) * 4, len = span_u16(&s->in) % 1461;
    for (uint32_t i = 4; i < sizeof *th + n_options; i++)
        bytes[i] = span_u8(&s->in);
    struct flow_key key = key_of(flow);
    th->sport_be = key.remote_port_be;
    th->dport_be = key.local_port_be;
    if (fix & FIX_OFFSET)
        th->data_offset = (uint8_t)((sizeof *th + n_options) / 4 << 4);
    put_right(s, flow, fix, th, bytes + sizeof *th);
    struct rte_mbuf *m = rte_pktmbuf_alloc(mbufs);
    if (!m)
        return;
    uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(34 + sizeof *th + n_options + len));
    memset(p, 0, m->data_len);
    struct wire_ip4 *ip = (struct wire_ip4 *)(p + 14);
    ip->saddr_be = REMOTE_ADDR;
    ip->daddr_be = LOCAL_ADDR;
    memcpy(p + 34, bytes, sizeof *th + n_options);
    m->l2_len = 14;
    m->l3_len = 20;
    m->port = 0;
    int16_t verdict;
    tcp_validate(m);
    tcp_input_burst(&s->core, &m, 1, s->core.now_us, &verdict);
    check(verdict == TCP_SEG_FREE || verdict == TCP_SEG_KEPT || (verdict < 0 && -verdict < TCP_DROP_COUNT));
    if (verdict != TCP_SEG_KEPT)
        rte_pktmbuf_free(m);
}

static void output(struct state *s) {
    struct rte_mbuf *out[64];
    tcp_core_port(&s->core, 0)->tx_room = span_u8(&s->in);
    tcp_core_port(&s->core, 0)->multi_seg = tcp_core_port(&s->core, 0)->tx_room & 1;
    uint16_t n = tcp_output(&s->core, out, 64, s->core.now_us);
    for (uint16_t i = 0; i < n; i++) {
        check(out[i]->pkt_len >= 40 && out[i]->pkt_len <= 1500);
        check(out[i]->l4_len >= 20 && checksum_chain(out[i], 0, 20) == 0xffff);
        rte_pktmbuf_free(out[i]);
    }
}

/* The owner looks at what is ready, and does something to a flow of its. */
static void owner(struct state *s) {
    uint8_t does = span_u8(&s->in);
    tcp_id ready;
    while ((ready = tcp_ready_next(&s->core)) != 0) {
        uint8_t events = tcp_conn_events(&s->core, ready);
        if ((events & TCP_EV_ACCEPTED) && ready != s->ids[0]) {
            if (s->ids[0])
                tcp_conn_abort(&s->core, s->ids[0]);
            s->ids[0] = ready;
        }
    }
    tcp_id *id = &s->ids[does & 1];
    if (!*id)
        return;
    switch (does >> 1 & 7) {
    case 0:
        tcp_conn_shutdown(&s->core, *id);
        break;
    case 1:
        tcp_conn_release(&s->core, *id);
        *id = 0;
        break;
    case 2:
        tcp_conn_abort(&s->core, *id);
        *id = 0;
        break;
    case 3:
    case 4: {
        struct rope *rx = tcp_conn_rx(&s->core, *id);
        rope_trim(rx, rx->len_bytes >> (does >> 4));
        tcp_conn_consumed(&s->core, *id);
        break;
    }
    default: {
        static const uint8_t zeroes[2000];
        struct rope r = {0};
        uint32_t room = tcp_conn_send_room(&s->core, *id, 4000);
        rope_append(&r, mbufs, zeroes, weir_min_u32(room, (does >> 4) * 130u + 1));
        if (tcp_conn_send(&s->core, *id, &r))
            rope_clear(&r);
    }
    }
}

static void icmp(struct state *s) {
    struct flow_key key = key_of(span_u8(&s->in) % 3);
    struct icmp_error e = {.type = 3, .code = span_u8(&s->in) % 16, .next_hop_mtu = span_u16(&s->in)};
    tcp_id id = flow_table_find(&s->core.table, &key);
    e.local_addr_be = key.local_addr_be;
    e.remote_addr_be = key.remote_addr_be;
    e.local_port_be = key.local_port_be;
    e.remote_port_be = key.remote_port_be;
    e.tcp_seq = id ? tcp_conn_of(&s->core, id)->snd_una : span_u32(&s->in);
    tcp_icmp_error(&s->core, &e, s->core.now_us);
}

static void record(struct state *s) {
    uint8_t what = span_u8(&s->in);
    switch (what & WHAT) {
    case 4:
        tcp_timers(&s->core, s->core.now_us + (1ull << (span_u8(&s->in) % 27)));
        break;
    case 5:
        owner(s);
        break;
    case 6:
        output(s);
        break;
    case 7:
        icmp(s);
        break;
    default:
        input(s, what & WHAT, what & ~WHAT);
    }
}

/* Every gauge, counted anew. */
static void check_gauges(const struct tcp_core *core) {
    uint32_t rx = 0, tx = 0, flows = 0;
    for (tcp_id id = 0; (id = tcp_conn_next(core, id)) != 0; flows++) {
        const struct tcp_conn *c = tcp_conn_of(core, id);
        rx += c->rx_charged;
        tx += c->tx.mbufs;
        check(seq_leq(c->snd_una, c->snd_nxt) && seq_leq(c->snd_nxt, c->snd_nxt) && c->reasm_count <= TCP_REASM_MAX);
        check(!(c->flags & TCP_F_ON_READY) || (c->flags & TCP_F_OWNED));
        for (uint32_t i = c->reasm_head; i; i = ((struct tcp_reasm *)pool_get(&core->reasm, i))->next)
            rx += ((struct tcp_reasm *)pool_get(&core->reasm, i))->bytes.mbufs;
    }
    check(rx == core->stats.rx_mbufs && tx == core->stats.tx_mbufs && flows == core->conns.used);
    for (unsigned i = 0; i < TCP_STATE_COUNT; i++)
        flows -= core->stats.by_state[i];
    check(flows == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct state s;
    start();
    s = (struct state){.in = span_of(data, size)};
    struct tcp_config config = {.max_conns = 4,
                                .rx_budget_mbufs = 96,
                                .rcv_buf_bytes = 70000,
                                .name = "fuzz",
                                .secret = {1, 2},
                                .socket_id = SOCKET_ID_ANY};
    check(tcp_core_init(&s.core, &config, 1000000) == 0);
    *tcp_core_port(&s.core, 0) = (struct tcp_port){.pool = mbufs, .mtu = 1500, .tx_room = 64, .multi_seg = true};
    tcp_listen(&s.core, LOCAL_ADDR, LISTEN_PORT, 1);
    tcp_connect(&s.core, 0, LOCAL_ADDR, RTE_BE16(50000), REMOTE_ADDR, remote_port(1), 0, s.core.now_us, &s.ids[1]);
    for (unsigned i = 0; i < RECORDS && span_left(&s.in) && !s.in.failed; i++) {
        record(&s);
        check_gauges(&s.core);
    }
    tcp_core_fini(&s.core);
    check(!s.core.stats.rx_mbufs && !s.core.stats.tx_mbufs && rte_mempool_in_use_count(mbufs) == 0);
    return 0;
}
