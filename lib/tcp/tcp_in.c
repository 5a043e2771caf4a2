/* SPDX-License-Identifier: BSD-3-Clause */
/* A burst of segments: parse all, look all flows up at once, then one by one: the prediction for what is next in order
 * on an established flow, else the table of tcp_state.c. The one place that counts drops. */
#include "tcp_int.h"

int tcp_validate(const struct rte_mbuf *m) {
    uint32_t at = m->l2_len + m->l3_len;
    if (m->data_len < at + sizeof(struct wire_tcp))
        return -NET_DROP_TCP_SHORT;
    const struct wire_tcp *th = rte_pktmbuf_mtod_offset(m, const struct wire_tcp *, at);
    uint32_t header = (th->data_offset >> 4) * 4u;
    if (header < sizeof *th || m->data_len < at + header || m->pkt_len - at > UINT16_MAX)
        return -NET_DROP_TCP_SHORT;
    uint64_t offload = m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
    if (offload == RTE_MBUF_F_RX_L4_CKSUM_BAD)
        return -NET_DROP_TCP_CHECKSUM;
    if (offload != RTE_MBUF_F_RX_L4_CKSUM_UNKNOWN)
        return 0;
    const struct wire_ip4 *ip = rte_pktmbuf_mtod_offset(m, const struct wire_ip4 *, m->l2_len);
    uint16_t sum = checksum_l4(m, at, (uint16_t)(m->pkt_len - at), ip->saddr_be, ip->daddr_be, IPPROTO_TCP);
    return sum ? -NET_DROP_TCP_CHECKSUM : 0;
}

#define FLAGS_RFC9293 (WIRE_TCP_FIN | WIRE_TCP_SYN | WIRE_TCP_RST | WIRE_TCP_PSH | WIRE_TCP_ACK | WIRE_TCP_URG)

/* Combinations that no state of any peer sends. */
static bool flags_impossible(uint8_t flags) {
    bool syn = flags & WIRE_TCP_SYN;
    return !(flags & (FLAGS_RFC9293 & ~(WIRE_TCP_PSH | WIRE_TCP_URG))) ||
           (syn && (flags & (WIRE_TCP_FIN | WIRE_TCP_RST)));
}

int tcp_seg_parse(struct rte_mbuf *m, struct tcp_seg *seg) {
    uint32_t at = m->l2_len + m->l3_len;
    if (m->data_len < at + sizeof(struct wire_tcp) || m->l3_len < sizeof(struct wire_ip4))
        return -TCP_DROP_SHORT;
    if (m->port >= TCP_MAX_PORTS)
        return -TCP_DROP_BAD_PORT;
    const struct wire_ip4 *ip = rte_pktmbuf_mtod_offset(m, const struct wire_ip4 *, m->l2_len);
    const struct wire_tcp *th = rte_pktmbuf_mtod_offset(m, const struct wire_tcp *, at);
    uint32_t header = (th->data_offset >> 4) * 4u;
    if (header < sizeof *th || m->data_len < at + header)
        return -TCP_DROP_DATA_OFFSET;
    /* Field by field: a literal would zero the SACK blocks first, and there are hardly ever any. */
    seg->m = m;
    seg->key =
        (struct flow_key){ip->saddr_be, ip->daddr_be, th->sport_be, th->dport_be, FLOW_FAMILY_IP4, IPPROTO_TCP, 0};
    seg->seq = rte_be_to_cpu_32(th->seq_be);
    seg->ack = rte_be_to_cpu_32(th->ack_be);
    seg->len = m->pkt_len - at - header;
    seg->wnd = rte_be_to_cpu_16(th->window_be);
    seg->payload = at + header;
    seg->flags = th->flags;
    seg->ecn = ip->tos & WIRE_IP4_ECN;
    seg->kept = seg->window_cut = seg->ts_due = false;
    if (!th->sport_be || !th->dport_be)
        return -TCP_DROP_PORT_ZERO;
    if (flags_impossible(th->flags))
        return -TCP_DROP_FLAGS;
    return tcp_opts_parse(span_of(th + 1, header - sizeof *th), th->flags & WIRE_TCP_SYN, &seg->opts);
}

/* Header prediction: the next segment of an established flow with nothing unusual about it. Everything that it skips in
 * the table would pass. */
static bool predictable(const struct tcp_core *core, const struct tcp_conn *c, const struct tcp_seg *seg) {
    bool ts = c->flags & TCP_F_TS;
    return c->state == TCP_ESTABLISHED && (seg->flags & ~WIRE_TCP_PSH) == WIRE_TCP_ACK && seg->ecn != WIRE_IP4_CE &&
           seg->seq == c->rcv_nxt && !c->reasm_count && !(c->flags & TCP_F_RELEASED) &&
           seg->len <= c->rcv_adv - c->rcv_nxt &&
           (!ts || (seg->opts.has_ts && seq_leq(c->ts_recent, seg->opts.ts_val))) && seq_leq(c->snd_una, seg->ack) &&
           seq_leq(seg->ack, c->snd_nxt) && core->stats.rx_mbufs < core->cfg.rx_budget_mbufs;
}

static int predicted(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg) {
    core->stats.predicted_in++;
    c->last_rx_ms = tcp_now_ms(core);
    c->keep_sent = 0;
    if ((c->flags & TCP_F_TS) && seq_leq(seg->seq, c->rcv_acked))
        c->ts_recent = seg->opts.ts_val;
    if (seg->len && seg->ack == c->snd_una && seg->wnd == c->snd_wnd && !seg->opts.n_sacks)
        c->snd_wl1 = seg->seq; /* data on a one-way flow: the ACK says nothing new */
    else
        tcp_loss_ack(core, c, seg);
    if (seg->len)
        tcp_text(core, c, seg);
    return seg->kept ? TCP_SEG_KEPT : TCP_SEG_FREE;
}

static int input_one(struct tcp_core *core, struct tcp_seg *seg, tcp_id id) {
    if (!id)
        return tcp_listen_input(core, seg);
    struct tcp_conn *c = tcp_conn_of(core, id);
    if (!(seg->flags & WIRE_TCP_SYN)) /* the window of a SYN is never scaled: RFC 7323 2.2 */
        seg->wnd <<= tcp_snd_wscale(c);
    if (WEIR_LIKELY(predictable(core, c, seg)))
        return predicted(core, c, seg);
    return tcp_state_run(core, c, seg);
}

void tcp_input_burst(struct tcp_core *core, struct rte_mbuf **m, uint16_t n, uint64_t now_us, int16_t *verdicts) {
    struct tcp_seg segs[TCP_BURST];
    const struct flow_key *keys[TCP_BURST];
    uint32_t ids[TCP_BURST];
    uint16_t which[TCP_BURST], good = 0; /* of m: those that are in segs */
    assert(n <= TCP_BURST);
    if (n == 0)
        return;
    core->now_us = now_us;
    core->stats.segs_in += n;
    for (uint16_t i = 0; i < n; i++) {
        verdicts[i] = (int16_t)tcp_seg_parse(m[i], &segs[good]);
        keys[good] = &segs[good].key;
        which[good] = i;
        good += verdicts[i] == 0;
    }
    flow_table_find_bulk(&core->table, keys, good, ids);
    uint32_t epoch = core->table_epoch;
    for (uint16_t k = 0; k < good; k++) {
        /* Flows that came or went within this burst: the bulk answer may be wrong from here on. */
        tcp_id id = WEIR_LIKELY(core->table_epoch == epoch) ? ids[k] : flow_table_find(&core->table, keys[k]);
        verdicts[which[k]] = (int16_t)input_one(core, &segs[k], id);
    }
    for (uint16_t i = 0; i < n; i++)
        if (WEIR_UNLIKELY(verdicts[i] < 0))
            core->stats.drops[-verdicts[i]]++;
}
