/* SPDX-License-Identifier: BSD-3-Clause */
/* A host at the far end: its own ARP table and TCP core, several addresses, one MAC. */
#include "sim.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define BURST 64u

static bool is_silent(const struct sim_host *h, uint32_t addr_be) {
    for (uint8_t i = 0; i < h->ifc.n_addrs; i++)
        if (h->ifc.addrs[i].addr_be == addr_be)
            return h->silent >> i & 1;
    return false;
}

static bool is_deaf(const struct sim_host *h, uint16_t port_be) {
    return h->deaf[port_be / 64] >> port_be % 64 & 1;
}

void sim_host_deafen(struct sim_host *h, uint16_t lport_be) {
    h->deaf[lport_be / 64] |= 1ull << lport_be % 64;
}

void sim_host_open(struct sim_host *h, struct sim *sim, uint8_t side) {
    static const char *const names[] = {"sim-front", "sim-back"};
    struct tcp_config tc = {.max_conns = SIM_HOST_CONNS - 1,
                            .max_time_wait = SIM_HOST_CONNS / 4,
                            .rx_budget_mbufs = SIM_HOST_MBUFS / 4,
                            .connect_timeout_ms = 30000,
                            .keepalive_idle_ms = 60000,
                            .time_wait_ms = 2000,
                            .secret = {sim->setup.seed + side, ~sim->setup.seed}};
    h->sim = sim;
    h->side = side;
    h->pool = sim_host_pool(side);
    h->next_port = (uint16_t)(20000 + sim_rng_below(&sim->rng, 20000));
    h->ifc = (struct net_if){.mac = {2, 0, 0, 1, 0, side}, .mtu = 1500};
    h->ifc.n_addrs = side == 0 ? SIM_CLIENT_ADDRS : SIM_MAX_SERVERS;
    for (uint8_t i = 0; i < h->ifc.n_addrs; i++) {
        h->ifc.addrs[i].addr_be = SIM_ADDR(side, (side == 0 ? SIM_CLIENT_HOST : SIM_SERVER_HOST) + i);
        h->ifc.addrs[i].mask_be = RTE_BE32(0xffffff00u);
    }
    h->arp = arp_table_new(names[side], SOCKET_ID_ANY);
    h->tcp = aligned_alloc(WEIR_CACHE_LINE, RTE_ALIGN_CEIL(sizeof(struct tcp_core), WEIR_CACHE_LINE));
    if (h->tcp == NULL || h->arp == NULL)
        abort();
    memset(h->tcp, 0, sizeof(struct tcp_core));
    if (tcp_core_init(h->tcp, &tc, sim->now_us) != 0)
        abort();
    *tcp_core_port(h->tcp, 0) = (struct tcp_port){.pool = h->pool, .mtu = 1500, .multi_seg = true};
    for (uint16_t i = 0; side == 1 && i < sim->setup.n_servers; i++) {
        tcp_listen(h->tcp, h->ifc.addrs[i].addr_be, RTE_BE16(SIM_MQTT), i);
        tcp_listen(h->tcp, h->ifc.addrs[i].addr_be, RTE_BE16(SIM_TCP), i);
    }
}

void sim_host_close(struct sim_host *h) {
    tcp_core_fini(h->tcp);
    free(h->tcp);
    arp_table_free(h->arp);
}

/* --- out --- */

static void send_frame(struct sim_host *h, struct rte_mbuf *m) {
    const struct wire_eth *eth = rte_pktmbuf_mtod(m, const struct wire_eth *);
    if (h->sim->dark & 1u << h->side)
        rte_pktmbuf_free(m);
    else
        sim_link_send(eth->type_be == RTE_BE16(WIRE_ETH_ARP) ? h->to_weir_arp : h->to_weir, &m, 1, h->sim->now_us);
}

static void send_ip(struct sim_host *h, struct rte_mbuf *m) {
    const struct wire_ip4 *ip = rte_pktmbuf_mtod(m, const struct wire_ip4 *);
    const struct wire_tcp *tcp = (const struct wire_tcp *)(ip + 1);
    uint8_t mac[6];
    if (is_silent(h, ip->saddr_be) || (ip->proto == IPPROTO_TCP && is_deaf(h, tcp->sport_be))) {
        rte_pktmbuf_free(m);
        return;
    }
    int v = arp_resolve(h->arp, net_if_next_hop(&h->ifc, ip->daddr_be), m, h->sim->now_us, mac);
    if (v == NET_HELD)
        return;
    if (v != NET_DONE || eth_output(&h->ifc, m, mac) != 0)
        rte_pktmbuf_free(m);
    else
        send_frame(h, m);
}

uint32_t sim_host_send(struct sim_host *h) {
    struct rte_mbuf *out[BURST], *expired[BURST];
    uint16_t n_expired = 0, n;
    uint32_t total = 0;
    n = arp_poll(h->arp, &h->ifc, h->pool, h->sim->now_us, out, BURST, expired, &n_expired);
    for (uint16_t i = 0; i < n; i++)
        send_frame(h, out[i]);
    for (uint16_t i = 0; i < n_expired; i++)
        rte_pktmbuf_free(expired[i]);
    total = n;
    do {
        tcp_core_port(h->tcp, 0)->tx_room = BURST;
        n = tcp_output(h->tcp, out, BURST, h->sim->now_us);
        for (uint16_t i = 0; i < n; i++)
            send_ip(h, out[i]);
        total += n;
    } while (n == BURST);
    return total;
}

void sim_host_udp(struct sim_host *h, const struct sim_datagram *d) {
    struct rte_mbuf *m = rte_pktmbuf_alloc(h->pool);
    char *data = m ? rte_pktmbuf_append(m, (uint16_t)d->len) : NULL;
    if (data == NULL)
        abort();
    memcpy(data, d->data, d->len);
    if (udp_output(m, d->saddr_be, d->daddr_be, d->sport_be, d->dport_be, false) != 0 ||
        ip4_output(m, d->saddr_be, d->daddr_be, IPPROTO_UDP, 0, false) != 0)
        abort();
    send_ip(h, m);
}

/* --- in --- */

static void take_udp(struct sim_host *h, struct rte_mbuf *m) {
    if (udp_input(m) < 0)
        return;
    const struct wire_ip4 *ip = rte_pktmbuf_mtod_offset(m, const struct wire_ip4 *, m->l2_len);
    const struct wire_udp *udp = rte_pktmbuf_mtod_offset(m, const struct wire_udp *, m->l2_len + m->l3_len);
    uint16_t len = rte_be_to_cpu_16(udp->len_be);
    struct sim_datagram d = {ip->saddr_be,
                             ip->daddr_be,
                             udp->sport_be,
                             udp->dport_be,
                             (const uint8_t *)(udp + 1),
                             (uint32_t)(len - sizeof(*udp))};
    if (h->datagram != NULL)
        h->datagram(h, &d);
}

/* Returns the mbuf where TCP is to have it, else NULL. */
static struct rte_mbuf *take_ip(struct sim_host *h, struct rte_mbuf *m) {
    int v = ip4_input(&h->ifc, m);
    const struct wire_ip4 *ip = rte_pktmbuf_mtod_offset(m, const struct wire_ip4 *, m->l2_len);
    if (v >= 0 && !is_silent(h, ip->daddr_be)) {
        const struct wire_tcp *tcp = rte_pktmbuf_mtod_offset(m, const struct wire_tcp *, m->l2_len + m->l3_len);
        if (v == NET_TO_TCP && tcp_validate(m) == 0 && !is_deaf(h, tcp->dport_be))
            return m;
        if (v == NET_TO_UDP)
            take_udp(h, m);
    }
    rte_pktmbuf_free(m);
    return NULL;
}

static struct rte_mbuf *take_frame(struct sim_host *h, struct rte_mbuf *m) {
    int v = eth_input(&h->ifc, m);
    if (v == NET_TO_IP4)
        return take_ip(h, m);
    if (v != NET_TO_ARP) {
        if (!h->sim->strangers) /* they get answers, too */
            sim_fail(h->sim, "side %u: a frame that is not for the host (%d)", h->side, v);
    } else if (arp_input(h->arp, &h->ifc, m, h->sim->now_us) == NET_REPLY) {
        send_frame(h, m);
        return NULL;
    }
    rte_pktmbuf_free(m);
    return NULL;
}

static uint32_t take_link(struct sim_host *h, struct sim_link *link) {
    struct rte_mbuf *in[BURST], *tcp[BURST];
    int16_t verdicts[BURST];
    uint32_t total = 0;
    uint16_t n;
    do {
        uint16_t k = 0;
        n = sim_link_receive(link, h->pool, 0, h->sim->now_us, in, BURST);
        for (uint16_t i = 0; i < n; i++)
            if ((tcp[k] = take_frame(h, in[i])) != NULL)
                k++;
        tcp_input_burst(h->tcp, tcp, k, h->sim->now_us, verdicts);
        for (uint16_t i = 0; i < k; i++)
            if (verdicts[i] != TCP_SEG_KEPT)
                rte_pktmbuf_free(tcp[i]);
        total += n;
    } while (n == BURST);
    return total;
}

static void serve_ready(struct sim_host *h) {
    tcp_id id;
    while ((id = tcp_ready_next(h->tcp)) != 0) {
        uint8_t events = tcp_conn_events(h->tcp, id);
        if (events & TCP_EV_ACCEPTED)
            h->accept(h, id);
        struct sim_sock *s = h->socks[id];
        if (s == NULL)
            continue;
        s->connected |= (events & TCP_EV_CONNECTED) != 0;
        s->news = true;
        if (events & TCP_EV_CLOSED)
            s->over = true;
    }
}

uint32_t sim_host_receive(struct sim_host *h) {
    uint32_t total = take_link(h, h->to_host_arp) + take_link(h, h->to_host);
    tcp_timers(h->tcp, h->sim->now_us);
    serve_ready(h);
    return total;
}
