/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <criterion/criterion.h>

static struct tcp_core *core;
static tcp_id id;
static struct tcp_conn *c;

static void open_flow(uint16_t wnd, uint16_t mss) {
    struct craft syn = {.mss = mss, .wnd = wnd};
    core = harness_core(NULL);
    id = establish(core, &syn);
    c = tcp_conn_of(core, id);
}

Test(tcp_out, segments_follow_the_mss) {
    open_flow(65535, 1000);
    struct decoded d[16];
    uint32_t first = c->snd_una;
    send_bytes(core, id, 3500);
    cr_assert_eq(drain(core, d, 16), 4);
    for (unsigned i = 0; i < 4; i++)
        cr_assert(d[i].seq == first + 1000 * i && d[i].len == (i < 3 ? 1000 : 500));
    cr_assert(!(d[2].flags & WIRE_TCP_PSH) && (d[3].flags & WIRE_TCP_PSH));
    harness_core_free(core);
}

Test(tcp_out, no_nagle) {
    open_flow(65535, 1000);
    for (unsigned i = 0; i < 5; i++) {
        send_bytes(core, id, 2);
        cr_assert_eq(drain_one(core).len, 2);
    }
    harness_core_free(core);
}

Test(tcp_out, cursor_keeps_its_place) {
    open_flow(65535, 1000);
    c->cwnd = 60000;
    /* Pieces, acknowledgements and rewinds in a fixed medley: each byte that leaves must be the pattern's. */
    uint32_t first = c->snd_una, queued = 0, rng = 12345;
    for (unsigned round = 0; round < 3000; round++) {
        rng = rng * 1664525 + 1013904223;
        uint32_t n = (rng >> 8) % 1500;
        struct rope r = {0};
        for (uint32_t i = 0; i < n && c->tx.len_bytes + n < 60000; i++) {
            uint8_t b = pattern_at(queued++);
            rope_append(&r, harness_pool(), &b, 1);
        }
        tcp_conn_send(core, id, &r);
        struct rte_mbuf *out[8];
        unsigned sent = tcp_output(core, out, (uint16_t)((rng >> 4) % 8), core->now_us);
        for (unsigned i = 0; i < sent; i++) {
            const struct wire_tcp *th = rte_pktmbuf_mtod_offset(out[i], const struct wire_tcp *, 20);
            uint32_t at = 20 + (th->data_offset >> 4) * 4u, seq = rte_be_to_cpu_32(th->seq_be) - first;
            for (; at < out[i]->pkt_len; at++, seq++) {
                uint8_t b;
                cr_assert_eq(*(const uint8_t *)rte_pktmbuf_read(out[i], at, 1, &b), pattern_at(seq), "byte %u", seq);
            }
            rte_pktmbuf_free(out[i]);
        }
        if (rng % 31 == 0)
            tcp_loss_rto(core, c);
        struct craft f = peer_segment(core, id);
        f.ack = c->snd_una + (rng >> 3) % (c->snd_nxt - c->snd_una + 1);
        feed(core, &f);
        core->now_us += 1000;
        c->cwnd = 60000;
    }
    cr_assert_gt(queued, 1000000);
    harness_core_free(core);
}

Test(tcp_out, silly_window) {
    open_flow(1500, 1000);
    struct decoded d[8];
    send_bytes(core, id, 5000);
    cr_assert_eq(drain(core, d, 8), 1, "500 bytes of window are not worth a segment");
    struct craft f = peer_segment(core, id);
    f.wnd = 800; /* half of the largest */
    feed(core, &f);
    cr_assert_eq(drain(core, d, 8), 1);
    cr_assert_eq(d[0].len, 800);
    harness_core_free(core);
}

Test(tcp_out, zero_window_is_probed) {
    open_flow(1000, 1000);
    struct decoded d[8];
    send_bytes(core, id, 2000);
    drain(core, d, 8);
    uint32_t edge = d[0].seq + 1000;
    struct craft f = peer_segment(core, id);
    f.wnd = 0;
    feed(core, &f);
    cr_assert_eq(drain(core, d, 8), 0);
    cr_assert(c->flags & TCP_F_PERSIST);
    sleep_ms(core, 1100);
    struct decoded p = drain_one(core);
    cr_assert(p.seq == edge - 1 && !p.len);
    feed(core, &f); /* still closed */
    cr_assert_eq(core->stats.dup_acks_in, 0);
    uint32_t probes = core->stats.persist_probes;
    sleep_ms(core, 1200);
    cr_assert_leq(core->stats.persist_probes, probes + 3, "backs off");
    drain(core, d, 8);
    f.wnd = 5000;
    feed(core, &f);
    p = drain_one(core);
    cr_assert(p.seq == edge && p.len == 1000, "%u at %u", p.len, p.seq - edge);
    cr_assert_not(c->flags & TCP_F_PERSIST);
    harness_core_free(core);
}

Test(tcp_out, zero_window_for_ever) {
    open_flow(1000, 1000);
    struct decoded d[8];
    send_bytes(core, id, 2000);
    drain(core, d, 8);
    for (unsigned s = 0; s < 150 && tcp_conn_state(core, id) != TCP_CLOSED; s++) {
        struct craft f = peer_segment(core, id);
        f.ack = c->snd_una + (s == 0 ? 1000 : 0);
        f.wnd = 0;
        feed(core, &f);
        sleep_ms(core, 1000);
        drain(core, d, 8);
    }
    cr_assert_eq(tcp_conn_end(core, id), TCP_END_PERSIST_TIMEOUT);
    harness_core_free(core);
}

Test(tcp_out, nothing_is_lost_without_mbufs_or_room) {
    open_flow(65535, 1000);
    struct decoded d[16];
    struct tcp_port *p = tcp_core_port(core, 0);
    struct rte_mempool *pool = p->pool;
    send_bytes(core, id, 3000);
    p->pool = NULL; /* as good as empty */
    cr_assert_eq(drain(core, d, 16), 0);
    cr_assert_eq(core->stats.no_mbuf, 1);
    cr_assert(tcp_busy(core));
    p->pool = pool;
    p->tx_room = 2;
    cr_assert_eq(drain(core, d, 16), 2);
    cr_assert_eq(p->tx_room, 0);
    cr_assert(tcp_busy(core));
    p->tx_room = 100;
    cr_assert_eq(drain(core, d, 16), 1);
    cr_assert_not(tcp_busy(core));
    cr_assert_eq(d[0].seq + d[0].len, c->snd_nxt);
    harness_core_free(core);
}

Test(tcp_out, a_full_port_does_not_hold_up_another) {
    open_flow(65535, 1000);
    *tcp_core_port(core, 1) = *tcp_core_port(core, 0);
    tcp_core_port(core, 0)->tx_room = 0;
    tcp_id other;
    tcp_connect(core, 1, LOCAL_ADDR, RTE_BE16(5), REMOTE_ADDR, REMOTE_PORT, 0, core->now_us, &other);
    send_bytes(core, id, 10);
    cr_assert_eq(drain_one(core).flags, WIRE_TCP_SYN);
    cr_assert(tcp_busy(core));
    harness_core_free(core);
}

Test(tcp_out, round_robin) {
    core = harness_core(NULL);
    tcp_id ids[3];
    unsigned sent[3] = {0};
    for (uint16_t i = 0; i < 3; i++) {
        struct craft syn = {.mss = 1000, .remote_port = (uint16_t)(i + 1), .wscale = 8};
        ids[i] = establish(core, &syn);
    }
    for (uint16_t i = 0; i < 3; i++) {
        tcp_conn_of(core, ids[i])->cwnd = 1u << 20;
        tcp_conn_of(core, ids[i])->snd_wnd = 1u << 20;
        send_bytes(core, ids[i], 200000);
    }
    for (unsigned turn = 0; turn < 24; turn++) {
        struct rte_mbuf *out[16]; /* fewer than a quantum: the flow at the head goes on next turn */
        unsigned n = tcp_output(core, out, 16, core->now_us);
        for (unsigned k = 0; k < n; k++) {
            const struct wire_tcp *th = rte_pktmbuf_mtod_offset(out[k], const struct wire_tcp *, 20);
            sent[rte_be_to_cpu_16(th->dport_be) - 1]++;
            rte_pktmbuf_free(out[k]);
        }
    }
    for (unsigned i = 0; i < 3; i++)
        cr_assert(sent[i] >= 112 && sent[i] <= 144, "flow %u sent %u", i, sent[i]);
    struct rte_mbuf *out[256];
    unsigned n = tcp_output(core, out, 256, core->now_us), first = 0;
    for (unsigned k = 0; k < n; k++) {
        const struct wire_tcp *th = rte_pktmbuf_mtod_offset(out[k], const struct wire_tcp *, 20);
        first += th->dport_be == rte_cpu_to_be_16(1);
        rte_pktmbuf_free(out[k]);
    }
    cr_assert_leq(first, 66, "64 KB a flow a call");
    harness_core_free(core);
}

/* A device that cuts: one packet of whole segments, a record each; what is left over goes by itself. */
Test(tcp_out, large_segments_for_the_device) {
    open_flow(65535, 1000);
    struct tcp_port *port = tcp_core_port(core, 0);
    port->multi_seg = port->tso = port->hw_tcp_cksum = port->hw_ip_cksum = true;
    port->tso_max = UINT16_MAX;
    port->tso_segs = 4; /* three mbufs of payload: 2,048 bytes each at most */
    c->cwnd = 60000;
    send_bytes(core, id, 9500);
    struct rte_mbuf *out[16];
    uint64_t segs = core->stats.segs_out;
    uint16_t n = tcp_output(core, out, 16, core->now_us);
    uint32_t next = c->snd_una;
    cr_assert(n >= 2 && n <= 4, "%u packets", n);
    for (uint16_t i = 0; i < n; i++) {
        const struct rte_mbuf *m = out[i];
        const struct wire_tcp *th = rte_pktmbuf_mtod_offset(m, const struct wire_tcp *, 20);
        uint32_t header = 20 + (th->data_offset >> 4) * 4u, len = m->pkt_len - header;
        bool large = m->ol_flags & RTE_MBUF_F_TX_TCP_SEG;
        cr_assert_eq(rte_be_to_cpu_32(th->seq_be), next);
        cr_assert_eq(large, len > 1000);
        cr_assert(!large || (m->tso_segsz == 1000 && len % 1000 == 0 && m->nb_segs <= 4), "%u bytes", len);
        next += len;
        rte_pktmbuf_free(out[i]);
    }
    cr_assert_eq(next, c->snd_nxt);
    cr_assert(c->snd_nxt - c->snd_una == 9500 && c->sent_count == 10);
    cr_assert_eq(core->stats.segs_out - segs, 10);
    struct craft f = peer_segment(core, id); /* a hole of one segment within a large one */
    f.ack = c->snd_una;
    f.n_sacks = 1;
    f.sacks[0] = (struct tcp_sack){c->snd_una + 1000, c->snd_una + 9500};
    c->flags |= TCP_F_SACK;
    core->now_us += 10000;
    feed(core, &f);
    n = tcp_output(core, out, 16, core->now_us);
    cr_assert(n == 1 && !(out[0]->ol_flags & RTE_MBUF_F_TX_TCP_SEG) && out[0]->pkt_len == 1040);
    rte_pktmbuf_free(out[0]);
    harness_core_free(core);
}
