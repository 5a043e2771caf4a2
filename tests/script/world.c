/* SPDX-License-Identifier: BSD-3-Clause */
/* The stack under test: a core with one port, its flows as the script knows them, the clock, and what left when. */
#include "script.h"

#include "../unit/tcp/harness.h"

#include <stdlib.h>
#include <string.h>

struct rte_mempool *world_pool(void) {
    return harness_pool();
}

struct flow *world_flow(struct world *w) {
    return &w->flows[w->flow];
}

struct tcp_core *world_core(struct world *w) {
    if (w->core)
        return w->core;
    struct tcp_config c = w->config;
    c.secret[0] = 0x0123456789abcdefull;
    c.secret[1] = 0xfedcba9876543210ull;
    w->core = calloc(1, sizeof *w->core);
    if (tcp_core_init(w->core, &c, w->now_us))
        fail(w, "the core does not take this configuration");
    w->port.pool = harness_pool();
    *tcp_core_port(w->core, 0) = w->port;
    return w->core;
}

void world_end(struct world *w) {
    struct tcp_core *core = w->core;
    if (!core)
        return;
    tcp_core_fini(core);
    w->core = NULL;
    bool clean = !core->stats.rx_mbufs && !core->stats.tx_mbufs && !core->half_open;
    for (unsigned s = 0; s < TCP_STATE_COUNT; s++)
        clean = clean && !core->stats.by_state[s];
    free(core);
    if (!clean)
        fail(w, "gauges are not back to 0");
}

static struct flow_key key_of(const struct world *w) {
    return (struct flow_key){SCRIPT_REMOTE,
                             SCRIPT_LOCAL,
                             rte_cpu_to_be_16((uint16_t)(SCRIPT_PEER_PORT + w->flow)),
                             RTE_BE16(SCRIPT_PORT),
                             FLOW_FAMILY_IP4,
                             IPPROTO_TCP,
                             0};
}

tcp_id world_conn(struct world *w) {
    if (world_flow(w)->id)
        return world_flow(w)->id;
    struct flow_key key = key_of(w);
    return flow_table_find(&world_core(w)->table, &key);
}

/* --- events --- */

static void take_events(struct world *w) {
    for (tcp_id id; (id = tcp_ready_next(w->core)) != 0;) {
        unsigned n = rte_be_to_cpu_16(tcp_conn_key(w->core, id)->remote_port_be) - SCRIPT_PEER_PORT;
        if (n >= SCRIPT_FLOWS)
            fail(w, "an event of a flow that the script does not know");
        uint8_t events = tcp_conn_events(w->core, id);
        if (events & TCP_EV_ACCEPTED)
            w->flows[n].id = id;
        w->flows[n].events |= events;
    }
}

/* --- output --- */

static void check_frame(struct world *w, const struct rte_mbuf *m) {
    uint32_t bytes = 0;
    uint16_t parts = 0;
    for (const struct rte_mbuf *s = m; s; s = s->next, parts++)
        bytes += s->data_len;
    const struct wire_ip4 *ip = rte_pktmbuf_mtod(m, const struct wire_ip4 *);
    if (bytes != m->pkt_len || parts != m->nb_segs || m->l2_len != 14 || m->l3_len != 20 ||
        rte_be_to_cpu_16(ip->total_len_be) != m->pkt_len)
        fail(w, "a frame with wrong lengths left");
    if (m->pkt_len > w->port.mtu)
        fail(w, "a frame of %u bytes left, the MTU is %u", m->pkt_len, w->port.mtu);
    if (checksum_chain(m, 0, 20) != 0xffff)
        fail(w, "a frame with a wrong IP checksum left");
    if (ip->frag_be & RTE_BE16(WIRE_IP4_DF) && ip->id_be != 0)
        fail(w, "a frame that nobody cuts is numbered: %u", rte_be_to_cpu_16(ip->id_be));
}

/* Our stream is the pattern of harness.h, its first byte at relative 1. */
static bool payload_is_pattern(const struct rte_mbuf *m, const struct tcp_seg *seg, uint32_t iss) {
    uint8_t bytes[2048];
    for (uint32_t at = 0; at < seg->len;) {
        uint32_t n = weir_min_u32(seg->len - at, sizeof bytes);
        const uint8_t *p = rte_pktmbuf_read(m, seg->payload + at, n, bytes);
        for (uint32_t i = 0; i < n; i++)
            if (!p || p[i] != pattern_at(seg->seq + at + i - iss))
                return false;
        at += n;
    }
    return true;
}

static void learn(struct flow *f, const struct seen *s) {
    if ((s->flags & WIRE_TCP_SYN) && !f->iss_known) {
        f->iss_known = true;
        f->iss = s->seq;
    }
    if (s->opts.has_ts && !f->ts_known) {
        f->ts_known = true;
        f->ts_base = s->opts.ts_val;
    }
    if (s->opts.has_ts)
        f->ts_last = s->opts.ts_val;
    uint32_t end = s->seq - f->iss + s->len + !!(s->flags & WIRE_TCP_SYN) + !!(s->flags & WIRE_TCP_FIN);
    if (!(s->flags & WIRE_TCP_RST))
        f->top = seq_max(f->top, end);
}

static void saw(struct world *w, struct rte_mbuf *m) {
    struct tcp_seg seg;
    check_frame(w, m);
    const struct wire_ip4 *ip = rte_pktmbuf_mtod(m, const struct wire_ip4 *);
    uint8_t ecn = ip->tos & 3;
    bool df = ip->frag_be & RTE_BE16(WIRE_IP4_DF);
    uint16_t ip_len = (uint16_t)m->pkt_len;
    rte_pktmbuf_prepend(m, 14);
    m->ol_flags &= ~(RTE_MBUF_F_TX_OFFLOAD_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK);
    if (tcp_validate(m) || tcp_seg_parse(m, &seg))
        fail(w, "a segment left that no TCP would take");
    if (w->queued == SCRIPT_QUEUE)
        fail(w, "more segments left than this runner keeps");
    struct seen *s = &w->queue[w->queued++];
    *s = (struct seen){.at_us = w->now_us,
                       .seq = seg.seq,
                       .ack = seg.ack,
                       .len = seg.len,
                       .wnd = (uint16_t)seg.wnd,
                       .peer_port = rte_be_to_cpu_16(seg.key.local_port_be),
                       .ip_len = ip_len,
                       .flags = seg.flags,
                       .ecn = ecn,
                       .df = df,
                       .opts = seg.opts};
    struct flow *f = &w->flows[(s->peer_port - SCRIPT_PEER_PORT) % SCRIPT_FLOWS];
    learn(f, s);
    s->payload_ok = payload_is_pattern(m, &seg, f->iss);
    char text[256];
    segment_print(w, s, text, sizeof text);
    trace(w, "%s", text);
}

void world_turn(struct world *w) {
    struct rte_mbuf *out[64];
    uint16_t n;
    do {
        take_events(w);
        w->core->ports[0].tx_room = UINT16_MAX;
        n = tcp_output(w->core, out, WEIR_ARRAY_LEN(out), w->now_us);
        for (uint16_t i = 0; i < n; i++) {
            struct rte_mbuf *m = out[i];
            saw(w, m);
            rte_pktmbuf_free(m);
        }
    } while (n);
}

/* --- the clock --- */

void world_run(struct world *w, uint64_t until_us, bool until_segment) {
    struct tcp_core *core = world_core(w);
    while (w->now_us < until_us && !(until_segment && w->queued)) {
        uint64_t tick = (w->now_us / 1000 + 1) * 1000;
        w->now_us = tick < until_us ? tick : until_us;
        tcp_timers(core, w->now_us);
        world_turn(w);
    }
}

void world_nothing_left(struct world *w, const char *before) {
    if (!w->queued)
        return;
    char text[256];
    segment_print(w, &w->queue[0], text, sizeof text);
    fail(w, "nothing was expected to leave before %s, but: %s", before, text);
}

/* --- input --- */

static void settle_verdict(struct world *w, struct rte_mbuf *m, int16_t verdict, int drop) {
    if (verdict != TCP_SEG_KEPT)
        rte_pktmbuf_free(m);
    if (verdict < 0)
        trace(w, "        dropped: %s", tcp_drop_name((enum tcp_drop) - verdict));
    if (drop < 0 || drop == (verdict < 0 ? -verdict : 0))
        return;
    fail(w, "the segment was expected to be %s%s, and was %s%s", drop ? "dropped as " : "taken",
         drop ? tcp_drop_name((enum tcp_drop)drop) : "", verdict < 0 ? "dropped as " : "taken",
         verdict < 0 ? tcp_drop_name((enum tcp_drop) - verdict) : "");
}

void world_inject(struct world *w, struct rte_mbuf *m, int drop) {
    world_core(w);
    if (w->n_burst == TCP_BURST)
        fail(w, "a burst of more than %u segments", TCP_BURST);
    w->burst[w->n_burst] = m;
    w->burst_drop[w->n_burst++] = drop;
    if (!w->together)
        world_flush_burst(w);
}

void world_flush_burst(struct world *w) {
    int16_t verdicts[TCP_BURST];
    unsigned n = w->n_burst;
    w->n_burst = 0;
    tcp_input_burst(w->core, w->burst, (uint16_t)n, w->now_us, verdicts);
    for (unsigned i = 0; i < n; i++)
        settle_verdict(w, w->burst[i], verdicts[i], w->burst_drop[i]);
    world_turn(w);
}
