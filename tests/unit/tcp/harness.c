/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include "tests/eal.h"

#include <rte_errno.h>
#include <stdio.h>
#include <stdlib.h>

static struct rte_mempool *mbufs;

void harness_eal(void) {
    static bool done;
    if (done)
        return;
    done = true;
    if (!test_eal(64))
        abort();
    mbufs = rte_pktmbuf_pool_create("harness", 8191, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    if (!mbufs)
        abort();
}

struct rte_mempool *harness_pool(void) {
    return mbufs;
}

uint32_t harness_mbufs_out(void) {
    return rte_mempool_in_use_count(mbufs);
}

struct tcp_core *harness_core(const struct tcp_config *config) {
    harness_eal();
    struct tcp_config c = config ? *config : (struct tcp_config){0};
    if (!c.max_conns)
        c.max_conns = 64;
    c.secret[0] = 0x0123456789abcdefull;
    c.secret[1] = 0xfedcba9876543210ull;
    struct tcp_core *core = calloc(1, sizeof *core);
    if (tcp_core_init(core, &c, 1000000))
        abort();
    *tcp_core_port(core, 0) = (struct tcp_port){.pool = mbufs, .mtu = 1500, .tx_room = UINT16_MAX, .multi_seg = true};
    return core;
}

void harness_core_free(struct tcp_core *core) {
    tcp_core_fini(core);
    bool clean = !core->stats.rx_mbufs && !core->stats.tx_mbufs;
    for (unsigned s = 0; s < TCP_STATE_COUNT; s++)
        clean = clean && !core->stats.by_state[s];
    if (!clean || core->half_open) {
        fprintf(stderr, "gauges are not back to 0\n");
        abort();
    }
    free(core);
}

uint8_t pattern_at(uint32_t seq) {
    return (uint8_t)(seq * 2654435761u >> 24 ^ seq);
}

static void put_options(struct span_writer *w, const struct craft *f) {
    if (f->mss) {
        span_put_u16(w, 0x0204);
        span_put_u16(w, f->mss);
    }
    if (f->sack_ok)
        span_put_u32(w, 0x01010402);
    if (f->wscale) {
        span_put_u8(w, 1);
        span_put_u16(w, 0x0303);
        span_put_u8(w, (uint8_t)(f->wscale - 1));
    }
    if (f->has_ts) {
        span_put_u32(w, 0x0101080a);
        span_put_u32(w, f->ts_val);
        span_put_u32(w, f->ts_ecr);
    }
    if (f->n_sacks) {
        span_put_u16(w, 0x0101);
        span_put_u8(w, 5);
        span_put_u8(w, (uint8_t)(2 + 8 * f->n_sacks));
        for (unsigned i = 0; i < f->n_sacks; i++) {
            span_put_u32(w, f->sacks[i].left);
            span_put_u32(w, f->sacks[i].right);
        }
    }
}

struct rte_mbuf *craft(const struct craft *f) {
    struct rte_mbuf *m = rte_pktmbuf_alloc(mbufs);
    uint8_t options[TCP_OPTIONS_MAX];
    struct span_writer w = span_writer_of(options, sizeof options);
    put_options(&w, f);
    uint32_t n_options = (uint32_t)span_written(&w), header = 20 + n_options;
    uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(14 + 20 + header + f->len));
    memset(p, 0, 34 + header);
    struct wire_ip4 *ip = (struct wire_ip4 *)(p + 14);
    struct wire_tcp *th = (struct wire_tcp *)(p + 34);
    *ip = (struct wire_ip4){.version_ihl = 0x45,
                            .tos = f->ecn,
                            .total_len_be = rte_cpu_to_be_16((uint16_t)(20 + header + f->len)),
                            .ttl = 64,
                            .proto = IPPROTO_TCP,
                            .saddr_be = REMOTE_ADDR,
                            .daddr_be = LOCAL_ADDR};
    *th = (struct wire_tcp){.sport_be = f->remote_port ? rte_cpu_to_be_16(f->remote_port) : REMOTE_PORT,
                            .dport_be = f->local_port ? rte_cpu_to_be_16(f->local_port) : LOCAL_PORT,
                            .seq_be = rte_cpu_to_be_32(f->seq),
                            .ack_be = rte_cpu_to_be_32(f->ack),
                            .data_offset = (uint8_t)(header / 4 << 4),
                            .flags = f->flags,
                            .window_be = rte_cpu_to_be_16(f->wnd)};
    memcpy(th + 1, options, n_options);
    uint8_t *payload = p + 34 + header;
    for (uint32_t i = 0; i < f->len; i++)
        payload[i] = f->fill ? f->fill : pattern_at(f->seq + i);
    m->l2_len = 14;
    m->l3_len = 20;
    m->port = 0;
    th->checksum_be = checksum_l4(m, 34, (uint16_t)(header + f->len), ip->saddr_be, ip->daddr_be, IPPROTO_TCP);
    return m;
}

int feed_mbuf(struct tcp_core *core, struct rte_mbuf *m) {
    int16_t verdict;
    tcp_input_burst(core, &m, 1, core->now_us, &verdict);
    if (verdict != TCP_SEG_KEPT)
        rte_pktmbuf_free(m);
    return verdict;
}

int feed(struct tcp_core *core, const struct craft *f) {
    return feed_mbuf(core, craft(f));
}

static void expect(bool ok, const char *what) {
    if (!ok) {
        fprintf(stderr, "output: %s\n", what);
        abort();
    }
}

/* Turn an outgoing packet into a received one: Ethernet header in place, nothing verified yet. */
static void turn_round(struct rte_mbuf *m) {
    uint32_t sum = 0;
    uint16_t segs = 0;
    for (struct rte_mbuf *s = m; s; s = s->next, segs++)
        sum += s->data_len;
    expect(sum == m->pkt_len && segs == m->nb_segs, "pkt_len or nb_segs wrong");
    expect(m->l2_len == 14 && m->l3_len == 20 && m->l4_len >= 20, "header lengths wrong");
    expect(rte_pktmbuf_headroom(m) >= RTE_PKTMBUF_HEADROOM, "headroom gone");
    const struct wire_ip4 *ip = rte_pktmbuf_mtod(m, const struct wire_ip4 *);
    expect(rte_be_to_cpu_16(ip->total_len_be) == m->pkt_len, "IP total length wrong");
    expect(m->pkt_len <= 1500, "beyond the MTU");
    expect(checksum_chain(m, 0, 20) == 0xffff, "IP checksum wrong");
    rte_pktmbuf_prepend(m, 14);
    m->ol_flags &= ~(RTE_MBUF_F_TX_OFFLOAD_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK);
    expect(tcp_validate(m) == 0, "TCP checksum wrong");
}

unsigned drain(struct tcp_core *core, struct decoded *d, unsigned max) {
    struct rte_mbuf *out[256];
    unsigned n = tcp_output(core, out, (uint16_t)(max < 256 ? max : 256), core->now_us);
    for (unsigned i = 0; i < n; i++) {
        struct tcp_seg seg;
        turn_round(out[i]);
        expect(tcp_seg_parse(out[i], &seg) == 0, "segment does not parse");
        d[i] = (struct decoded){seg.seq, seg.ack, seg.len, (uint16_t)seg.wnd, seg.flags, seg.opts, false, seg.ecn};
        rte_pktmbuf_free(out[i]);
    }
    return n;
}

struct decoded drain_one(struct tcp_core *core) {
    struct decoded d[8] = {0};
    unsigned n = drain(core, d, 8);
    if (n != 1)
        fprintf(stderr, "%u segments came\n", n);
    expect(n == 1, "one segment expected");
    return d[0];
}

unsigned drain_all(struct tcp_core *core) {
    struct decoded d[64];
    return drain(core, d, 64);
}

void sleep_ms(struct tcp_core *core, uint32_t ms) {
    while (ms--)
        tcp_timers(core, core->now_us + 1000);
}

struct craft peer_segment(const struct tcp_core *core, tcp_id id) {
    const struct tcp_conn *c = tcp_conn_of(core, id);
    return (struct craft){.seq = c->rcv_nxt,
                          .ack = c->snd_nxt,
                          .flags = WIRE_TCP_ACK,
                          .wnd = 65535,
                          .has_ts = c->flags & TCP_F_TS,
                          .ts_val = c->ts_recent + 1,
                          .ts_ecr = tcp_ts_now(core, c)};
}

int feed_data(struct tcp_core *core, tcp_id id, uint32_t len) {
    struct craft f = peer_segment(core, id);
    f.len = len;
    return feed(core, &f);
}

tcp_id establish(struct tcp_core *core, const struct craft *syn_options) {
    struct craft syn = syn_options ? *syn_options : (struct craft){.mss = 1460};
    tcp_listen(core, LOCAL_ADDR, LOCAL_PORT, 7); /* WEIR_EEXIST is fine */
    syn.seq = 1000;
    syn.flags = WIRE_TCP_SYN;
    if (!syn.wnd)
        syn.wnd = 65535;
    expect(feed(core, &syn) == TCP_SEG_FREE, "SYN refused");
    struct decoded d = drain_one(core);
    struct craft ack = {.seq = 1001,
                        .ack = d.seq + 1,
                        .flags = WIRE_TCP_ACK,
                        .wnd = syn.wnd,
                        .has_ts = syn.has_ts,
                        .ts_val = syn.ts_val + 1,
                        .ts_ecr = d.opts.ts_val,
                        .remote_port = syn.remote_port};
    expect(feed(core, &ack) == TCP_SEG_FREE, "ACK refused");
    tcp_id id = tcp_ready_next(core);
    expect(id && (tcp_conn_events(core, id) & TCP_EV_ACCEPTED), "not accepted");
    return id;
}

void send_bytes(struct tcp_core *core, tcp_id id, uint32_t n) {
    struct rope r = {0};
    for (uint32_t i = 0; i < n; i++) {
        uint8_t b = pattern_at(i);
        expect(rope_append(&r, mbufs, &b, 1) == 0, "no mbuf");
    }
    expect(tcp_conn_send(core, id, &r) == 0, "send refused");
}

/* The peer's FIN; it acknowledges ours where `ack_all`. */
static void feed_fin(struct tcp_core *core, tcp_id id, bool ack_all) {
    struct craft f = peer_segment(core, id);
    f.flags |= WIRE_TCP_FIN;
    if (!ack_all)
        f.ack = tcp_conn_of(core, id)->snd_una;
    feed(core, &f);
}

static void walk_to(struct tcp_core *core, tcp_id id, enum tcp_state state) {
    struct decoded d[8];
    if (state == TCP_CLOSE_WAIT || state == TCP_LAST_ACK)
        feed_fin(core, id, true);
    if (state == TCP_ESTABLISHED || state == TCP_CLOSE_WAIT)
        return;
    tcp_conn_shutdown(core, id);
    drain(core, d, 8);
    if (state == TCP_FIN_WAIT_1 || state == TCP_LAST_ACK)
        return;
    if (state == TCP_CLOSING) {
        feed_fin(core, id, false);
        return;
    }
    struct craft ack = peer_segment(core, id);
    feed(core, &ack);
    if (state == TCP_TIME_WAIT)
        feed_fin(core, id, true);
}

tcp_id in_state(struct tcp_core *core, enum tcp_state state) {
    struct decoded d[8];
    tcp_id id = 0;
    if (state == TCP_SYN_SENT) {
        tcp_connect(core, 0, LOCAL_ADDR, LOCAL_PORT, REMOTE_ADDR, REMOTE_PORT, 9, core->now_us, &id);
    } else if (state == TCP_SYN_RECEIVED) {
        struct craft syn = {.seq = 1000, .flags = WIRE_TCP_SYN, .wnd = 65535, .mss = 1460};
        tcp_listen(core, LOCAL_ADDR, LOCAL_PORT, 7);
        feed(core, &syn);
        id = tcp_conn_next(core, 0);
    } else {
        id = establish(core, NULL);
        walk_to(core, id, state);
    }
    drain(core, d, 8);
    while (tcp_ready_next(core))
        tcp_conn_events(core, id);
    expect(tcp_conn_state(core, id) == state, "state not reached");
    return id;
}

/* --- the link --- */

#define LINK_QUEUE 4096

struct in_flight {
    struct rte_mbuf *m;
    uint64_t at_us;
};

struct link {
    struct tcp_core *core[2];
    struct link_faults f;
    struct in_flight queue[2][LINK_QUEUE]; /* towards side i, in no order */
    unsigned n[2];
    uint64_t busy_until_us[2];
    uint64_t now_us, rng;
};

static double draw(struct link *l) {
    l->rng ^= l->rng << 13;
    l->rng ^= l->rng >> 7;
    l->rng ^= l->rng << 17;
    return (double)(l->rng >> 11) / (double)(1ull << 53);
}

struct link *link_new(const struct link_faults *f, const struct tcp_config *a, const struct tcp_config *b) {
    struct link *l = calloc(1, sizeof *l);
    l->core[0] = harness_core(a);
    l->core[1] = harness_core(b);
    l->now_us = 1000000;
    link_faults_set(l, f);
    return l;
}

void link_faults_set(struct link *l, const struct link_faults *f) {
    l->f = *f;
    l->rng = f->seed * 0x9e3779b97f4a7c15ull + 1;
}

void link_free(struct link *l) {
    for (int s = 0; s < 2; s++)
        for (unsigned i = 0; i < l->n[s]; i++)
            rte_pktmbuf_free(l->queue[s][i].m);
    harness_core_free(l->core[0]);
    harness_core_free(l->core[1]);
    free(l);
}

struct tcp_core *link_core(struct link *l, int side) {
    return l->core[side];
}

uint64_t link_now(const struct link *l) {
    return l->now_us;
}

static void put(struct link *l, int to, struct rte_mbuf *m, uint64_t at_us) {
    if (l->n[to] == LINK_QUEUE) {
        rte_pktmbuf_free(m);
        return;
    }
    l->queue[to][l->n[to]++] = (struct in_flight){m, at_us};
}

/* Turn all options of a SYN but MSS into NOPs. */
static void strip(struct rte_mbuf *m) {
    struct wire_tcp *th = rte_pktmbuf_mtod_offset(m, struct wire_tcp *, 34);
    const struct wire_ip4 *ip = rte_pktmbuf_mtod_offset(m, const struct wire_ip4 *, 14);
    if (!(th->flags & WIRE_TCP_SYN))
        return;
    memset((uint8_t *)(th + 1) + 4, 1, (th->data_offset >> 4) * 4u - 24);
    th->checksum_be = 0;
    th->checksum_be = checksum_l4(m, 34, (uint16_t)(m->pkt_len - 34), ip->saddr_be, ip->daddr_be, IPPROTO_TCP);
}

static void transmit(struct link *l, int to, struct rte_mbuf *m) {
    turn_round(m);
    if (l->f.strip_options)
        strip(m);
    if (draw(l) < l->f.loss) {
        rte_pktmbuf_free(m);
        return;
    }
    uint64_t at = l->now_us + l->f.delay_us;
    if (l->f.rate_bytes_per_ms) {
        uint64_t start = l->busy_until_us[to] > l->now_us ? l->busy_until_us[to] : l->now_us;
        l->busy_until_us[to] = start + m->pkt_len * 1000ull / l->f.rate_bytes_per_ms;
        at = l->busy_until_us[to] + l->f.delay_us;
    }
    if (draw(l) < l->f.reorder)
        at += (uint64_t)(draw(l) * 3000);
    if (draw(l) < l->f.duplicate) {
        struct rte_mbuf *copy = rte_pktmbuf_copy(m, mbufs, 0, UINT32_MAX);
        if (copy) {
            copy->port = 0;
            copy->l2_len = 14;
            copy->l3_len = 20;
            put(l, to, copy, at + (uint64_t)(draw(l) * 2000));
        }
    }
    put(l, to, m, at);
}

static void deliver(struct link *l, int to) {
    struct rte_mbuf *burst[TCP_BURST];
    int16_t verdicts[TCP_BURST];
    uint16_t n;
    do {
        n = 0;
        for (unsigned i = 0; i < l->n[to] && n < TCP_BURST;) {
            if (l->queue[to][i].at_us > l->now_us) {
                i++;
                continue;
            }
            burst[n++] = l->queue[to][i].m;
            memmove(&l->queue[to][i], &l->queue[to][i + 1], (--l->n[to] - i) * sizeof l->queue[to][0]);
        }
        tcp_input_burst(l->core[to], burst, n, l->now_us, verdicts);
        for (uint16_t i = 0; i < n; i++)
            if (verdicts[i] != TCP_SEG_KEPT)
                rte_pktmbuf_free(burst[i]);
    } while (n == TCP_BURST);
}

void link_step(struct link *l) {
    struct rte_mbuf *out[64];
    l->now_us += 200;
    for (int s = 0; s < 2; s++)
        deliver(l, s);
    for (int s = 0; s < 2; s++) {
        tcp_timers(l->core[s], l->now_us);
        tcp_core_port(l->core[s], 0)->tx_room = 64;
        uint16_t n = tcp_output(l->core[s], out, 64, l->now_us);
        for (uint16_t i = 0; i < n; i++)
            transmit(l, !s, out[i]);
    }
}
