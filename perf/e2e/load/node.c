/* SPDX-License-Identifier: BSD-3-Clause */
/* A packet's life: bursts in, eth, arp, ip4, icmp, tcp, and back. Like app/weir/path.c, but for one core that knows all
 * its ports and needs neither hand-off nor reassembly. */
#include "load_int.h"

#include <netinet/in.h>
#include <rte_ethdev.h>
#include <stdio.h>
#include <string.h>

#define RX_BURST   64u
#define TX_BATCH   64u
#define ARP_BATCH  16u
#define ICMP_PER_S 1000u
#define HOP_US     100000u /* a resolved next hop is used so long without asking the table again */

static_assert(RX_BURST <= TCP_BURST, "a burst goes to TCP at once");

/* --- in --- */

static void drop(struct load *l, struct rte_mbuf *m) {
    l->stats.drops++;
    rte_pktmbuf_free(m);
}

static void send_frame(struct load *l, struct node_port *p, struct rte_mbuf *m);

/* Verdict of a module that answers in place or is done with the packet. */
static void settle(struct load *l, struct node_port *p, struct rte_mbuf *m, int verdict) {
    if (verdict == NET_REPLY)
        send_frame(l, p, m);
    else if (verdict < 0)
        drop(l, m);
    else
        rte_pktmbuf_free(m);
}

static void receive_icmp(struct load *l, struct node_port *p, struct rte_mbuf *m) {
    struct icmp_error error;
    int v = icmp_input(&p->config.ifc, m, &l->icmp, l->now_us, &error);
    if (v == NET_TO_TCP_ERR)
        tcp_icmp_error(&l->tcp, &error, l->now_us);
    settle(l, p, m, v);
}

/* Returns true where the packet is a segment for TCP. */
static bool receive_one(struct load *l, struct node_port *p, struct rte_mbuf *m) {
    int v = eth_input(&p->config.ifc, m);
    if (v == NET_TO_ARP) {
        v = arp_input(p->arp, &p->config.ifc, m, l->now_us);
        settle(l, p, m, v == NET_REPLY ? v : NET_DONE); /* what others tell everybody is no drop of ours */
        return false;
    }
    if (v == NET_TO_IP4)
        v = ip4_input(&p->config.ifc, m);
    if (WEIR_LIKELY(v == NET_TO_TCP)) {
        v = tcp_validate(m);
        if (v >= 0)
            return true;
    } else if (v == NET_TO_ICMP) {
        receive_icmp(l, p, m);
        return false;
    }
    drop(l, m); /* fragments and UDP too: nobody sends us any */
    return false;
}

static uint32_t port_receive(struct load *l, uint16_t index) {
    struct node_port *p = &l->ports[index];
    struct rte_mbuf *m[RX_BURST];
    int16_t verdicts[RX_BURST];
    uint16_t segments = 0, n = rte_eth_rx_burst(p->config.eth_port, p->config.eth_queue, m, RX_BURST);
    if (n == 0)
        return 0;
    for (uint16_t i = 0; i < n; i++)
        rte_prefetch0(rte_pktmbuf_mtod(m[i], void *));
    for (uint16_t i = 0; i < n; i++) {
        m[i]->port = index;
        if (receive_one(l, p, m[i]))
            m[segments++] = m[i];
    }
    l->stats.packets_in += n;
    if (segments == 0)
        return n;
    tcp_input_burst(&l->tcp, m, segments, l->now_us, verdicts);
    for (uint16_t i = 0; i < segments; i++) {
        l->stats.drops += verdicts[i] < 0;
        if (verdicts[i] != TCP_SEG_KEPT)
            rte_pktmbuf_free(m[i]);
    }
    return n;
}

uint32_t node_receive(struct load *l) {
    uint32_t n = 0;
    for (uint16_t i = 0; i < l->n_ports; i++)
        n += port_receive(l, i);
    return n;
}

/* --- out --- */

static void flush(struct load *l, struct node_port *p) {
    if (p->n_pending == 0)
        return;
    uint16_t sent = rte_eth_tx_burst(p->config.eth_port, p->config.eth_queue, p->pending, p->n_pending);
    p->n_pending = (uint16_t)(p->n_pending - sent);
    memmove(p->pending, p->pending + sent, p->n_pending * sizeof(p->pending[0]));
    l->stats.packets_out += sent;
}

static void send_frame(struct load *l, struct node_port *p, struct rte_mbuf *m) {
    if (p->n_pending == LOAD_PENDING)
        flush(l, p);
    if (p->n_pending == LOAD_PENDING)
        drop(l, m);
    else
        p->pending[p->n_pending++] = m;
}

/* MAC of the next hop. NET_DONE, NET_HELD or a drop, as arp_resolve says. Traffic goes to very few hops. */
static int resolve(struct load *l, struct node_port *p, struct rte_mbuf *m, uint8_t mac[6]) {
    uint32_t hop = net_if_next_hop(&p->config.ifc, rte_pktmbuf_mtod(m, const struct wire_ip4 *)->daddr_be);
    if (WEIR_LIKELY(hop == p->hop_be && l->now_us < p->hop_until_us)) {
        memcpy(mac, p->hop_mac, 6);
        return NET_DONE;
    }
    if (hop == 0)
        return -NET_DROP_NO_ROUTE;
    int v = arp_resolve(p->arp, hop, m, l->now_us, mac);
    if (v == NET_DONE) {
        p->hop_be = hop;
        p->hop_until_us = l->now_us + HOP_US;
        memcpy(p->hop_mac, mac, 6);
    }
    return v;
}

static void send_ip(struct load *l, struct node_port *p, struct rte_mbuf *m) {
    uint8_t mac[6];
    int v = resolve(l, p, m, mac);
    if (v == NET_HELD)
        return;
    if (v == NET_DONE)
        v = eth_output(&p->config.ifc, m, mac);
    if (v < 0)
        drop(l, m);
    else
        send_frame(l, p, m);
}

static void announce(struct load *l, struct node_port *p) {
    for (uint8_t i = 0; i < p->config.ifc.n_addrs; i++) {
        struct rte_mbuf *m = arp_gratuitous(&p->config.ifc, i, p->config.pool);
        if (m != NULL)
            send_frame(l, p, m);
    }
    p->announced = true;
}

static void port_arp(struct load *l, struct node_port *p) {
    struct rte_mbuf *out[ARP_BATCH], *expired[ARP_BATCH];
    uint16_t n_expired = 0, room = (uint16_t)weir_min_u32(LOAD_PENDING - p->n_pending, ARP_BATCH);
    uint16_t n = arp_poll(p->arp, &p->config.ifc, p->config.pool, l->now_us, out, room, expired, &n_expired);
    for (uint16_t i = 0; i < n; i++)
        send_frame(l, p, out[i]);
    for (uint16_t i = 0; i < n_expired; i++)
        drop(l, expired[i]);
}

uint32_t node_transmit(struct load *l) {
    struct rte_mbuf *out[TX_BATCH];
    uint32_t total = 0;
    uint16_t n;
    for (uint16_t i = 0; i < l->n_ports; i++) {
        struct node_port *p = &l->ports[i];
        if (WEIR_UNLIKELY(!p->announced))
            announce(l, p);
        port_arp(l, p);
        tcp_core_port(&l->tcp, (uint8_t)i)->tx_room = (uint16_t)(LOAD_PENDING - p->n_pending);
    }
    do {
        n = tcp_output(&l->tcp, out, TX_BATCH, l->now_us);
        for (uint16_t i = 0; i < n; i++)
            send_ip(l, &l->ports[out[i]->port], out[i]);
        total += n;
    } while (n == TX_BATCH && total < LOAD_PENDING);
    for (uint16_t i = 0; i < l->n_ports; i++)
        flush(l, &l->ports[i]);
    return total;
}

/* --- set-up --- */

static int port_open(struct load *l, uint16_t index, const struct load_port *config) {
    struct node_port *p = &l->ports[index];
    p->config = *config;
    p->arp = arp_table_new("load_arp", SOCKET_ID_ANY);
    if (p->arp == NULL)
        return WEIR_ENOMEM;
    *tcp_core_port(&l->tcp, (uint8_t)index) = (struct tcp_port){.pool = config->pool,
                                                                .mtu = config->ifc.mtu,
                                                                .multi_seg = config->multi_seg,
                                                                .hw_ip_cksum = config->hw_ip_cksum,
                                                                .hw_tcp_cksum = config->hw_tcp_cksum};
    l->n_ports++;
    return 0;
}

/* One arm: the port answers for the brokers' addresses, too. */
static int adopt_addresses(struct net_if *to, const struct net_if *from) {
    for (uint8_t i = 0; i < from->n_addrs; i++) {
        if (net_if_owns(to, from->addrs[i].addr_be))
            continue;
        if (to->n_addrs == NET_IF_ADDRS)
            return WEIR_EFULL;
        to->addrs[to->n_addrs++] = from->addrs[i];
    }
    return 0;
}

int node_open(struct load *l) {
    const struct load_port *client = &l->config.client_port, *broker = &l->config.broker_port;
    l->icmp.per_s = ICMP_PER_S;
    int rc = port_open(l, 0, client);
    if (rc != 0)
        return rc;
    if (client->eth_port == broker->eth_port && client->eth_queue == broker->eth_queue)
        return adopt_addresses(&l->ports[0].config.ifc, &broker->ifc);
    l->broker_port = 1;
    return port_open(l, 1, broker);
}

void node_close(struct load *l) {
    for (uint16_t i = 0; i < l->n_ports; i++) {
        for (uint16_t k = 0; k < l->ports[i].n_pending; k++)
            rte_pktmbuf_free(l->ports[i].pending[k]);
        arp_table_free(l->ports[i].arp);
    }
    l->n_ports = 0;
}
