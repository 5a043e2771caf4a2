/* SPDX-License-Identifier: BSD-3-Clause */
/* One outgoing segment: an mbuf with room for the Ethernet header, IPv4 and TCP headers, and the payload copied behind
 * them or attached as indirect mbufs that share the send rope's buffers. */
#include "tcp_int.h"

uint16_t tcp_mss_announced(const struct tcp_core *core, uint8_t port) {
    const struct tcp_port *p = &core->ports[port];
    uint32_t mss = (p->mtu ? p->mtu : 1500) - TCP_HEADERS;
    return (uint16_t)(p->mss_clamp ? weir_min_u32(mss, p->mss_clamp) : mss);
}

uint16_t tcp_mss_towards(const struct tcp_core *core, uint8_t port, uint16_t peer_mss) {
    const struct tcp_port *p = &core->ports[port];
    uint32_t mss = weir_min_u32(weir_max_u32(peer_mss, TCP_MSS_MIN), tcp_mss_announced(core, port));
    if (!p->multi_seg && p->pool) { /* a whole frame in one mbuf */
        uint32_t room = rte_pktmbuf_data_room_size(p->pool) - RTE_PKTMBUF_HEADROOM - TCP_HEADERS;
        mss = weir_min_u32(mss, room);
    }
    return (uint16_t)mss;
}

/* An mbuf whose data begins where the TCP header goes: the IPv4 header is put before it, and RTE_PKTMBUF_HEADROOM
 * remains. */
static struct rte_mbuf *header_mbuf(struct tcp_port *p) {
    struct rte_mbuf *m = p->pool ? rte_pktmbuf_alloc(p->pool) : NULL;
    if (m)
        m->data_off = (uint16_t)(m->data_off + sizeof(struct wire_ip4));
    return m;
}

static bool attach(const struct tcp_port *p, struct rte_mbuf *h, struct rte_mbuf **last, const struct rte_mbuf *from,
                   uint32_t offset, uint32_t n) {
    struct rte_mbuf *part = rte_pktmbuf_alloc(p->pool);
    if (!part)
        return false;
    rte_pktmbuf_attach(part, (struct rte_mbuf *)(uintptr_t)from); /* only the buffer's reference count changes */
    part->data_off = (uint16_t)(from->data_off + offset);
    part->data_len = (uint16_t)n;
    part->pkt_len = n;
    part->next = NULL;
    part->nb_segs = 1;
    (*last)->next = part;
    *last = part;
    h->nb_segs++;
    h->pkt_len += n;
    return true;
}

/* Room for n more bytes of the chain: behind its last mbuf, else, where the port takes chains, in a fresh one. n
 * becomes how many fit there. */
static uint8_t *copy_room(const struct tcp_port *p, struct rte_mbuf *h, uint32_t *n) {
    struct rte_mbuf *last = rte_pktmbuf_lastseg(h);
    if (!rte_pktmbuf_tailroom(last)) {
        struct rte_mbuf *more = p->multi_seg ? rte_pktmbuf_alloc(p->pool) : NULL;
        if (!more)
            return NULL;
        last->next = more;
        h->nb_segs++;
        last = more;
    }
    *n = weir_min_u32(*n, rte_pktmbuf_tailroom(last));
    uint8_t *to = rte_pktmbuf_mtod_offset(last, uint8_t *, last->data_len);
    last->data_len = (uint16_t)(last->data_len + *n);
    h->pkt_len += *n;
    return to;
}

/* Would one mbuf for each piece be more than the device takes? */
static bool too_many_pieces(const struct tcp_port *p, const struct rte_mbuf *from, uint32_t offset, uint32_t len) {
    uint32_t pieces = 1; /* the header */
    if (WEIR_LIKELY(!p->max_mbufs))
        return false;
    for (; len; from = from->next, offset = 0) {
        uint32_t n = weir_min_u32(len, from->data_len - offset);
        pieces += n != 0;
        len -= n;
    }
    return pieces > p->max_mbufs;
}

static bool put_payload(const struct tcp_port *p, struct rte_mbuf *h, const struct rte_mbuf *from, uint32_t offset,
                        uint32_t len, bool cut) {
    bool copy = !p->multi_seg || len <= TCP_COPY_MAX || (!cut && too_many_pieces(p, from, offset, len));
    struct rte_mbuf *last = h;
    while (len) {
        while (offset == from->data_len) {
            from = from->next;
            offset = 0;
        }
        uint32_t n = weir_min_u32(len, from->data_len - offset);
        if (copy) {
            void *to = copy_room(p, h, &n);
            if (!to)
                return false;
            memcpy(to, rte_pktmbuf_mtod_offset(from, const void *, offset), n);
        } else if (!attach(p, h, &last, from, offset, n)) {
            return false;
        }
        offset += n;
        len -= n;
    }
    return true;
}

/* IPv4 header and checksums; m begins with its TCP header. */
static bool finish(const struct tcp_port *p, struct rte_mbuf *m, const struct flow_key *key, uint8_t header,
                   uint8_t ecn, uint16_t mss) {
    struct wire_tcp *th = rte_pktmbuf_mtod(m, struct wire_tcp *);
    uint16_t len = (uint16_t)m->pkt_len;
    m->l4_len = header;
    if (len > (uint32_t)header + mss) { /* the device cuts it, and puts the length into each checksum */
        m->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_IP_CKSUM;
        m->tso_segsz = mss;
        th->checksum_be = checksum_pseudo(key->local_addr_be, key->remote_addr_be, IPPROTO_TCP, 0);
    } else if (p->hw_tcp_cksum) {
        m->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM;
        th->checksum_be = checksum_pseudo(key->local_addr_be, key->remote_addr_be, IPPROTO_TCP, len);
    } else {
        th->checksum_be = checksum_l4(m, 0, len, key->local_addr_be, key->remote_addr_be, IPPROTO_TCP);
    }
    return ip4_output(m, key->local_addr_be, key->remote_addr_be, IPPROTO_TCP, ecn, p->hw_ip_cksum) == 0;
}

/* Fixed part and options (those that `c` wants) at the front of m. Returns the header's length. */
static uint8_t put_header(struct tcp_core *core, const struct tcp_conn *c, struct rte_mbuf *m, uint32_t seq,
                          uint8_t flags, uint16_t window, bool with_sacks) {
    struct wire_tcp *th = rte_pktmbuf_mtod(m, struct wire_tcp *);
    struct span_writer w = span_writer_of(th + 1, TCP_OPTIONS_MAX);
    if (flags & WIRE_TCP_SYN)
        tcp_opts_put_syn(&w, core, c);
    else
        tcp_opts_put(&w, core, c, with_sacks);
    assert(!w.failed);
    uint8_t header = (uint8_t)(sizeof *th + span_written(&w));
    *th = (struct wire_tcp){
        .sport_be = c->key.local_port_be,
        .dport_be = c->key.remote_port_be,
        .seq_be = rte_cpu_to_be_32(seq),
        .ack_be = flags & WIRE_TCP_ACK ? rte_cpu_to_be_32(c->rcv_nxt) : 0,
        .data_offset = (uint8_t)(header / 4 << 4),
        .flags = flags,
        .window_be = rte_cpu_to_be_16(window),
    };
    m->data_len = header;
    m->pkt_len = header;
    return header;
}

/* A window in units of the scale: rounded up, because rounded down the edge would move left as small segments come in.
 * Rounded up it moves right by up to a unit an ACK: where the owner does not read, only until the buffer and one unit
 * are full. From there on it is rounded down, by less than a unit (RFC 7323 2.4); rcv_adv says what was offered. */
static uint32_t scaled(const struct tcp_core *core, const struct tcp_conn *c, uint32_t window, uint8_t scale) {
    uint32_t unit = 1u << scale, up = (window + unit - 1) >> scale;
    if (WEIR_UNLIKELY(c->rx.len_bytes) && (up << scale) + c->rx.len_bytes > tcp_rcv_buf(core, c) + unit)
        return window >> scale;
    return up;
}

/* The window field, and in *edge the right edge up to which all is taken that comes. */
static uint16_t window_field(const struct tcp_core *core, const struct tcp_conn *c, uint8_t flags, uint32_t *edge) {
    if ((flags & WIRE_TCP_SYN) && !(flags & WIRE_TCP_ACK)) {
        *edge = c->rcv_adv;
        return tcp_window_of_syn(core, c);
    }
    uint8_t scale = flags & WIRE_TCP_SYN ? 0 : tcp_rcv_wscale(c);
    uint32_t field = weir_min_u32(scaled(core, c, tcp_rx_right_edge(core, c) - c->rcv_nxt, scale), UINT16_MAX);
    *edge = seq_max(c->rcv_adv, c->rcv_nxt + (field << scale));
    return (uint16_t)field;
}

struct rte_mbuf *tcp_build(struct tcp_core *core, struct tcp_conn *c, uint32_t seq, uint8_t flags,
                           struct rte_mbuf *from, uint32_t offset, uint32_t len) {
    struct tcp_port *p = &core->ports[c->port];
    struct rte_mbuf *m = header_mbuf(p);
    if (!m)
        return NULL;
    uint32_t edge;
    uint8_t ecn = WEIR_UNLIKELY(c->flags & TCP_F_ECN) ? tcp_ecn_out(c, seq, len, &flags) : WIRE_IP4_NOT_ECT;
    uint16_t window = window_field(core, c, flags, &edge);
    uint8_t header = put_header(core, c, m, seq, flags, window, !len);
    if ((len && !put_payload(p, m, from, offset, len, len > c->mss)) ||
        !finish(p, m, &c->key, header, ecn, len ? c->mss : UINT16_MAX)) {
        rte_pktmbuf_free(m);
        return NULL;
    }
    if (WEIR_UNLIKELY(c->no_df))
        tcp_path_unlock(core, c, m, len);
    m->port = c->port;
    c->rcv_adv = edge;
    if ((flags & WIRE_TCP_ACK) && !seq_lt(seq, c->snd_una)) { /* a peer may discard a probe without reading its ACK */
        if (flags & WIRE_TCP_CWR)
            c->flags &= ~TCP_F_CWR;
        c->rcv_acked = c->rcv_nxt;
        c->ack_segs = 0;
        c->ack_ms = 0;
        if (!len)
            c->flags &= ~(TCP_F_ACK_NOW | TCP_F_DSACK);
        else if (!c->reasm_count && !(c->flags & TCP_F_DSACK)) /* else the ACK goes out by itself, with its blocks */
            c->flags &= ~TCP_F_ACK_NOW;
    }
    return m;
}

struct rte_mbuf *tcp_build_reply(struct tcp_core *core, const struct tcp_reply *r) {
    struct tcp_port *p = &core->ports[r->port];
    struct rte_mbuf *m = header_mbuf(p);
    if (!m)
        return NULL;
    struct wire_tcp *th = rte_pktmbuf_mtod(m, struct wire_tcp *);
    struct span_writer w = span_writer_of(th + 1, TCP_OPTIONS_MAX);
    if (r->flags & WIRE_TCP_SYN) {
        const struct tcp_opts o = {.mss = tcp_mss_announced(core, r->port),
                                   .has_ts = r->options & TCP_REPLY_TS,
                                   .ts_val = r->ts_val,
                                   .ts_ecr = r->ts_ecr,
                                   .sack_permitted = r->options & TCP_REPLY_SACK,
                                   .has_wscale = r->options & TCP_REPLY_WS,
                                   .wscale = core->rcv_wscale};
        tcp_opts_write_syn(&w, &o);
    }
    uint8_t header = (uint8_t)(sizeof *th + span_written(&w));
    *th = (struct wire_tcp){
        .sport_be = r->key.local_port_be,
        .dport_be = r->key.remote_port_be,
        .seq_be = rte_cpu_to_be_32(r->seq),
        .ack_be = rte_cpu_to_be_32(r->ack),
        .data_offset = (uint8_t)(header / 4 << 4),
        .flags = r->flags,
        .window_be = rte_cpu_to_be_16(r->window),
    };
    m->data_len = header;
    m->pkt_len = header;
    if (!finish(p, m, &r->key, header, WIRE_IP4_NOT_ECT, UINT16_MAX)) {
        rte_pktmbuf_free(m);
        return NULL;
    }
    m->port = r->port;
    return m;
}
