/* SPDX-License-Identifier: BSD-3-Clause */
#include "path.h"

#include "capture.h"
#include "handoff.h"
#include "udp_flow.h"

#include <netinet/in.h>
#include <rte_ethdev.h>
#include <string.h>

#define RING_BATCH  64u /* packets taken from other workers' rings a turn */
#define TX_BATCH    64u /* packets tcp_output cuts at a time */
#define ARP_BATCH   16u /* ARP frames and expired packets a port a turn */
#define REASS_BATCH 16u /* timed-out fragments a turn */

/* Segments and datagrams gathered from a burst, so that the flow lookups go in bulk. */
struct burst {
    uint16_t n_tcp, n_udp;
    struct rte_mbuf *tcp[TCP_BURST], *udp[UDP_BURST];
};

void path_drop(struct worker *w, struct rte_mbuf *m, enum net_drop reason) {
    w->stats.net_drops[reason]++;
    rte_pktmbuf_free(m);
}

void path_refuse(struct worker *w, struct rte_mbuf *m, enum icmp_code code, enum net_drop reason) {
    w->stats.net_drops[reason]++;
    if (icmp_unreachable(w->ports[m->port].ifc, m, code, &w->icmp_unreachable, w->now_us) == NET_REPLY)
        path_send_frame(w, m->port, m);
    else
        rte_pktmbuf_free(m);
}

/* --- in --- */

static const struct wire_ip4 *ip4_header(const struct rte_mbuf *m) {
    return rte_pktmbuf_mtod_offset(m, const struct wire_ip4 *, m->l2_len);
}

static bool is_arp(const struct rte_mbuf *m) {
    return rte_pktmbuf_mtod(m, const struct wire_eth *)->type_be == htons(WIRE_ETH_ARP);
}

static void flush_tcp(struct worker *w, struct burst *b) {
    int16_t verdicts[TCP_BURST];
    if (b->n_tcp == 0)
        return;
    enum cycles_stage before = cycles_stage(&w->cycles, CYCLES_TCP_IN);
    tcp_input_burst(&w->tcp, b->tcp, b->n_tcp, w->now_us, verdicts);
    for (uint16_t i = 0; i < b->n_tcp; i++)
        if (verdicts[i] != TCP_SEG_KEPT) /* drops were counted there */
            rte_pktmbuf_free(b->tcp[i]);
    b->n_tcp = 0;
    cycles_stage(&w->cycles, before);
}

static void flush_udp(struct worker *w, struct burst *b) {
    if (b->n_udp == 0)
        return;
    enum cycles_stage before = cycles_stage(&w->cycles, CYCLES_UDP);
    udp_flow_input_burst(w, b->udp, b->n_udp);
    b->n_udp = 0;
    cycles_stage(&w->cycles, before);
}

static void add_tcp(struct worker *w, struct burst *b, struct rte_mbuf *m) {
    b->tcp[b->n_tcp++] = m;
    if (b->n_tcp == TCP_BURST)
        flush_tcp(w, b);
}

static void add_udp(struct worker *w, struct burst *b, struct rte_mbuf *m) {
    b->udp[b->n_udp++] = m;
    if (b->n_udp == UDP_BURST)
        flush_udp(w, b);
}

/* copied: another worker received it and passed a copy on, whoever had asked. */
static void path_arp(struct worker *w, struct rte_mbuf *m, bool copied) {
    struct worker_port *p = &w->ports[m->port];
    w->stats.arp_in += !copied;
    int v = arp_input(p->arp, p->ifc, m, w->now_us);
    if (copied && v < 0)
        v = NET_DONE; /* not our question: counted where it was received */
    if (v == NET_REPLY)
        path_send_frame(w, m->port, m);
    else if (v < 0)
        path_drop(w, m, (enum net_drop) - v);
    else
        rte_pktmbuf_free(m);
}

/* An ICMP error about a segment of ours belongs to the worker that owns the flow: the quoted tuple, reversed. */
static void path_icmp_error(struct worker *w, struct rte_mbuf *m, const struct icmp_error *err) {
    uint16_t owner = handoff_owner(w, err->remote_addr_be, err->local_addr_be, err->remote_port_be, err->local_port_be);
    if (owner != w->index) {
        handoff_packet(w, owner, m);
        return;
    }
    tcp_icmp_error(&w->tcp, err, w->now_us);
    rte_pktmbuf_free(m);
}

static void path_icmp(struct worker *w, struct rte_mbuf *m, bool owned) {
    struct icmp_error err;
    w->stats.icmp_in += !owned; /* counted where it was received */
    int v = icmp_input(w->ports[m->port].ifc, m, &w->icmp_echo, w->now_us, &err);
    if (v == NET_REPLY)
        path_send_frame(w, m->port, m);
    else if (v == NET_TO_TCP_ERR)
        path_icmp_error(w, m, &err);
    else if (v < 0)
        path_drop(w, m, (enum net_drop) - v);
    else
        rte_pktmbuf_free(m); /* errors about UDP: the flow's idle timeout deals with a dead server */
}

static void path_udp(struct worker *w, struct rte_mbuf *m, struct burst *b, bool owned) {
    int v = udp_input(m);
    if (v < 0) {
        path_drop(w, m, (enum net_drop) - v);
        return;
    }
    if (!owned && w->weir->n_workers > 1) {
        const struct wire_ip4 *ip = ip4_header(m);
        const struct wire_udp *udp = rte_pktmbuf_mtod_offset(m, const struct wire_udp *, m->l2_len + m->l3_len);
        uint16_t owner = handoff_owner(w, ip->saddr_be, ip->daddr_be, udp->sport_be, udp->dport_be);
        if (owner != w->index) {
            handoff_packet(w, owner, m);
            return;
        }
    }
    add_udp(w, b, m);
}

/* steered: the device chose this worker by the ports, too. */
static void path_tcp(struct worker *w, struct rte_mbuf *m, struct burst *b, bool steered) {
    int v = tcp_validate(m);
    if (v < 0) {
        path_drop(w, m, (enum net_drop) - v);
        return;
    }
    if (!steered && w->weir->n_workers > 1) {
        const struct wire_ip4 *ip = ip4_header(m);
        const struct wire_tcp *tcp = rte_pktmbuf_mtod_offset(m, const struct wire_tcp *, m->l2_len + m->l3_len);
        uint16_t owner = handoff_owner(w, ip->saddr_be, ip->daddr_be, tcp->sport_be, tcp->dport_be);
        if (owner != w->index) {
            handoff_packet(w, owner, m);
            return;
        }
    }
    add_tcp(w, b, m);
}

static void path_ip4(struct worker *w, struct rte_mbuf *m, struct burst *b, bool steered);

static void path_fragment(struct worker *w, struct rte_mbuf *m, struct burst *b) {
    const struct wire_ip4 *ip = ip4_header(m);
    uint16_t owner = handoff_owner2(w, ip->saddr_be, ip->daddr_be);
    if (owner != w->index) {
        handoff_packet(w, owner, m);
        return;
    }
    struct rte_mbuf *whole = NULL;
    int v = ip4_reassemble(w->reass, m, w->now_us, &whole);
    if (v == NET_TO_IP4)
        path_ip4(w, whole, b, false); /* fragments come by addresses alone */
    else if (v < 0)
        path_drop(w, m, (enum net_drop) - v);
}

static void path_ip4(struct worker *w, struct rte_mbuf *m, struct burst *b, bool steered) {
    int v = ip4_input(w->ports[m->port].ifc, m);
    switch (v) {
    case NET_TO_TCP:
        path_tcp(w, m, b, steered);
        break;
    case NET_TO_UDP:
        path_udp(w, m, b, false);
        break;
    case NET_TO_ICMP:
        path_icmp(w, m, false);
        break;
    case NET_TO_FRAG:
        path_fragment(w, m, b);
        break;
    case -NET_DROP_IP4_PROTOCOL:
        path_refuse(w, m, ICMP_NO_PROTOCOL, NET_DROP_IP4_PROTOCOL); /* RFC 1122 3.2.2.1 */
        break;
    default:
        path_drop(w, m, (enum net_drop) - v);
    }
}

static void path_eth(struct worker *w, struct rte_mbuf *m, struct burst *b) {
    int v = eth_input(w->ports[m->port].ifc, m);
    if (WEIR_LIKELY(v == NET_TO_IP4)) {
        path_ip4(w, m, b, w->ports[m->port].steered);
    } else if (v == NET_TO_ARP) {
        handoff_arp(w, m);
        path_arp(w, m, false);
    } else {
        path_drop(w, m, (enum net_drop) - v);
    }
}

/* A packet another worker validated and found to be ours. */
static void path_owned(struct worker *w, struct rte_mbuf *m, struct burst *b) {
    if (is_arp(m)) {
        path_arp(w, m, true);
        return;
    }
    const struct wire_ip4 *ip = ip4_header(m);
    if (ip->frag_be & htons(WIRE_IP4_MF | WIRE_IP4_OFFSET))
        path_fragment(w, m, b);
    else if (ip->proto == IPPROTO_TCP)
        add_tcp(w, b, m);
    else if (ip->proto == IPPROTO_UDP)
        path_udp(w, m, b, true);
    else
        path_icmp(w, m, true);
}

static void capture_burst(struct worker *w, struct worker_port *p, struct rte_mbuf **m, uint16_t n, bool rx) {
    for (uint16_t i = 0; i < n; i++)
        capture_packet(p->capture, w->index, m[i], rx, w->now_us);
}

static uint32_t port_receive(struct worker *w, uint16_t index, struct burst *b) {
    struct worker_port *p = &w->ports[index];
    struct rte_mbuf *m[WEIR_RX_BURST];
    cycles_stage(&w->cycles, CYCLES_RX);
    uint16_t n = rte_eth_rx_burst(p->eth_port, p->eth_queue, m, WEIR_RX_BURST);
    cycles_stage(&w->cycles, CYCLES_IP);
    if (n == 0)
        return 0;
    for (uint16_t i = 0; i < n; i++)
        rte_prefetch0(rte_pktmbuf_mtod(m[i], void *));
    if (WEIR_UNLIKELY(p->capture != NULL))
        capture_burst(w, p, m, n, true);
    p->rx_packets += n;
    w->packets_left |= n == WEIR_RX_BURST;
    for (uint16_t i = 0; i < n; i++) {
        p->rx_bytes += m[i]->pkt_len;
        m[i]->port = index;
        path_eth(w, m[i], b);
    }
    return n;
}

uint32_t path_receive(struct worker *w) {
    struct burst b;
    b.n_tcp = b.n_udp = 0; /* and not the arrays */
    struct rte_mbuf *m[RING_BATCH];
    enum cycles_stage before = cycles_stage(&w->cycles, CYCLES_HANDOFF);
    uint32_t total = handoff_returns(w);
    uint32_t n_owned = handoff_receive(w, m, RING_BATCH);
    cycles_stage(&w->cycles, CYCLES_IP);
    w->packets_left = n_owned == RING_BATCH;
    for (uint32_t i = 0; i < n_owned; i++)
        path_owned(w, m[i], &b);
    total += n_owned;
    for (uint16_t i = 0; i < w->n_ports; i++)
        if (w->ports[i].has_queue)
            total += port_receive(w, i, &b);
    flush_tcp(w, &b);
    flush_udp(w, &b);
    uint16_t n = ip4_reass_expired(w->reass, w->now_us, m, REASS_BATCH);
    for (uint16_t i = 0; i < n; i++)
        path_drop(w, m[i], NET_DROP_FRAG_TIMEOUT);
    cycles_stage(&w->cycles, before);
    return total;
}

/* --- out --- */

/* Offer what is pending; the PMD (or the ring towards the worker that has the queue) takes what it can. */
static void port_flush(struct worker *w, struct worker_port *p) {
    if (p->n_pending == 0)
        return;
    uint64_t bytes = 0;
    uint16_t sent;
    enum cycles_stage before = cycles_stage(&w->cycles, CYCLES_TX);
    for (uint16_t i = 0; i < p->n_pending; i++)
        bytes += p->pending[i]->pkt_len;
    if (p->has_queue)
        sent = rte_eth_tx_burst(p->eth_port, p->eth_queue, p->pending, p->n_pending);
    else
        sent = handoff_transmit(w, p->tx_worker, p->pending, p->n_pending);
    uint16_t left = (uint16_t)(p->n_pending - sent);
    memmove(p->pending, p->pending + sent, left * sizeof(p->pending[0]));
    for (uint16_t i = 0; i < left; i++)
        bytes -= p->pending[i]->pkt_len;
    p->n_pending = left;
    cycles_stage(&w->cycles, before);
    if (!p->has_queue)
        return; /* the worker that has it counts them */
    p->tx_packets += sent;
    p->tx_bytes += bytes;
}

/* A segment that the device cuts: drivers want a hand with its checksum (virtio's counts the length, others' does not).
 */
static bool large_fits(const struct worker_port *p, struct rte_mbuf *m) {
    return (m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) &&
           (!p->has_queue || rte_eth_tx_prepare(p->eth_port, p->eth_queue, &m, 1) == 1);
}

/* Reassembled packets that go out again (echo, UDP) may be larger than a frame, or a chain where the port takes none.
 */
static bool frame_fits(const struct worker *w, uint16_t port, struct rte_mbuf *m) {
    if (m->pkt_len > w->ports[port].ifc->mtu + sizeof(struct wire_eth))
        return large_fits(&w->ports[port], m);
    return m->nb_segs == 1 || w->weir->ports.port[port].multi_seg || rte_pktmbuf_linearize(m) == 0;
}

void path_send_frame(struct worker *w, uint16_t port, struct rte_mbuf *m) {
    struct worker_port *p = &w->ports[port];
    if (WEIR_UNLIKELY(!frame_fits(w, port, m))) {
        path_drop(w, m, NET_DROP_TX_TOO_BIG);
        return;
    }
    if (p->n_pending == WEIR_TX_PENDING)
        port_flush(w, p);
    if (WEIR_UNLIKELY(p->n_pending == WEIR_TX_PENDING)) {
        path_drop(w, m, p->link_up ? NET_DROP_TX_FULL : NET_DROP_TX_PORT_DOWN);
        return;
    }
    m->port = port;
    if (WEIR_UNLIKELY(p->capture != NULL && p->has_queue)) /* else where the frame leaves */
        capture_packet(p->capture, w->index, m, false, w->now_us);
    p->pending[p->n_pending++] = m;
}

void path_send_ip(struct worker *w, uint16_t port, struct rte_mbuf *m) {
    struct worker_port *p = &w->ports[port];
    const struct wire_ip4 *ip = rte_pktmbuf_mtod(m, const struct wire_ip4 *);
    uint32_t hop = net_if_next_hop(p->ifc, ip->daddr_be);
    uint8_t mac[6];
    if (WEIR_UNLIKELY(hop == 0)) {
        path_drop(w, m, NET_DROP_NO_ROUTE);
        return;
    }
    int v = arp_resolve(p->arp, hop, m, w->now_us, mac);
    if (v == NET_HELD)
        return;
    if (v == NET_DONE)
        v = eth_output(p->ifc, m, mac);
    if (WEIR_UNLIKELY(v < 0)) {
        path_drop(w, m, (enum net_drop) - v);
        return;
    }
    path_send_frame(w, port, m);
}

/* Requests due, packets whose next hop has just answered, packets that waited in vain. */
static void port_arp(struct worker *w, uint16_t index) {
    struct worker_port *p = &w->ports[index];
    struct rte_mbuf *out[ARP_BATCH], *expired[ARP_BATCH];
    uint16_t n_expired = 0;
    uint16_t room = path_tx_room(p);
    uint16_t n =
        arp_poll(p->arp, p->ifc, p->pool, w->now_us, out, room < ARP_BATCH ? room : ARP_BATCH, expired, &n_expired);
    for (uint16_t i = 0; i < n; i++)
        path_send_frame(w, index, out[i]);
    for (uint16_t i = 0; i < n_expired; i++)
        path_drop(w, expired[i], NET_DROP_ARP_UNRESOLVED);
}

uint32_t path_transmit(struct worker *w) {
    struct rte_mbuf *out[TX_BATCH];
    uint32_t total = 0;
    enum cycles_stage before = cycles_stage(&w->cycles, CYCLES_IP);
    for (uint16_t i = 0; i < w->n_ports; i++) {
        port_arp(w, i);
        tcp_core_port(&w->tcp, (uint8_t)i)->tx_room = path_tx_room(&w->ports[i]);
    }
    uint16_t n;
    do {
        cycles_stage(&w->cycles, CYCLES_TCP_OUT);
        n = tcp_output(&w->tcp, out, TX_BATCH, w->now_us);
        cycles_stage(&w->cycles, CYCLES_IP);
        for (uint16_t i = 0; i < n; i++)
            path_send_ip(w, out[i]->port, out[i]);
        total += n;
    } while (n == TX_BATCH && total < WEIR_TX_PENDING);
    for (uint16_t i = 0; i < w->n_ports; i++)
        port_flush(w, &w->ports[i]);
    cycles_stage(&w->cycles, before);
    return total;
}
