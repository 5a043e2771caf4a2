/* SPDX-License-Identifier: BSD-3-Clause */
#include "host.h"

#include <stdlib.h>
#include <string.h>

#define BURST 64u
#define MBUFS 32767u

void host_open(struct host *h, struct rig *rig, unsigned port, uint32_t addr_be, uint32_t max_conns) {
    const char *name = port == RIG_FRONT ? "clients" : "brokers";
    struct tcp_config tc = {.max_conns = max_conns,
                            .max_half_open = max_conns,
                            .rx_budget_mbufs = MBUFS / 2,
                            .tx_budget_mbufs = MBUFS / 2,
                            .secret = {3, 4}};
    h->rig = rig;
    h->port = port;
    h->ifc = (struct net_if){.mac = {2, 0, 0, 0, 1, (uint8_t)port}, .mtu = 1500, .n_addrs = 1};
    h->ifc.addrs[0].addr_be = addr_be;
    h->ifc.addrs[0].mask_be = RTE_BE32(0xffffff00u);
    h->pool = rte_pktmbuf_pool_create(name, MBUFS, MEMORY_MBUF_CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    h->arp = arp_table_new(name, SOCKET_ID_ANY);
    h->tcp = aligned_alloc(WEIR_CACHE_LINE, RTE_ALIGN_CEIL(sizeof(struct tcp_core), WEIR_CACHE_LINE));
    if (h->pool == NULL || h->arp == NULL || h->tcp == NULL)
        rig_fail("no memory for a host");
    memset(h->tcp, 0, sizeof(struct tcp_core));
    if (tcp_core_init(h->tcp, &tc, rig->now_us) != 0)
        rig_fail("no memory for a host's flows");
    bool offload = !rig->options.software_checksums;
    *tcp_core_port(h->tcp, 0) = (struct tcp_port){
        .pool = h->pool, .mtu = 1500, .multi_seg = true, .hw_ip_cksum = offload, .hw_tcp_cksum = offload};
}

void host_close(struct host *h) {
    tcp_core_fini(h->tcp);
    free(h->tcp);
    arp_table_free(h->arp);
}

/* --- out --- */

static uint32_t give_frame(struct host *h, struct rte_mbuf *m) {
    rig_put(h->rig, h->port, m);
    rte_pktmbuf_free(m);
    return 1;
}

static uint32_t give_packet(struct host *h, struct rte_mbuf *m) {
    const struct wire_ip4 *ip = rte_pktmbuf_mtod(m, const struct wire_ip4 *);
    uint8_t mac[6];
    int v = arp_resolve(h->arp, net_if_next_hop(&h->ifc, ip->daddr_be), m, h->rig->now_us, mac);
    if (v == NET_HELD)
        return 0;
    if (v != NET_DONE || eth_output(&h->ifc, m, mac) != 0)
        rig_fail("a host cannot send");
    return give_frame(h, m);
}

uint32_t host_send(struct host *h) {
    struct rte_mbuf *out[BURST], *expired[BURST];
    uint16_t n_expired = 0;
    uint32_t total = 0;
    uint16_t n = arp_poll(h->arp, &h->ifc, h->pool, h->rig->now_us, out, BURST, expired, &n_expired);
    if (n_expired != 0)
        rig_fail("the worker does not answer ARP");
    for (uint16_t i = 0; i < n; i++)
        total += give_frame(h, out[i]);
    do {
        tcp_core_port(h->tcp, 0)->tx_room = BURST;
        n = tcp_output(h->tcp, out, BURST, h->rig->now_us);
        for (uint16_t i = 0; i < n; i++)
            total += give_packet(h, out[i]);
    } while (n == BURST);
    return total;
}

void host_write(struct host *h, tcp_id id, const void *data, uint32_t n) {
    struct rope r = {0};
    if (rope_append(&r, h->pool, data, n) != 0 || tcp_conn_send(h->tcp, id, &r) != 0)
        rig_fail("a host cannot write to its flow");
}

/* --- in --- */

/* True where TCP is to have it. */
static bool take_frame(struct host *h, struct rte_mbuf *m) {
    m->port = 0; /* of the host's TCP */
    int v = eth_input(&h->ifc, m);
    if (v == NET_TO_ARP && arp_input(h->arp, &h->ifc, m, h->rig->now_us) == NET_REPLY) {
        give_frame(h, m);
        return false;
    }
    if (v == NET_TO_IP4)
        v = ip4_input(&h->ifc, m);
    if (v < 0 || (v == NET_TO_TCP && tcp_validate(m) != 0))
        rig_fail("the worker has sent a frame that is not valid");
    if (v == NET_TO_TCP)
        return true;
    rte_pktmbuf_free(m);
    return false;
}

void host_receive(struct host *h) {
    struct rte_mbuf *in[BURST], *segments[BURST];
    int16_t verdicts[BURST];
    uint16_t n;
    tcp_id id;
    do {
        uint16_t k = 0;
        n = rig_take(h->rig, h->port, h->pool, in, BURST);
        for (uint16_t i = 0; i < n; i++)
            if (take_frame(h, in[i]))
                segments[k++] = in[i];
        tcp_input_burst(h->tcp, segments, k, h->rig->now_us, verdicts);
        for (uint16_t i = 0; i < k; i++)
            if (verdicts[i] != TCP_SEG_KEPT)
                rte_pktmbuf_free(segments[i]);
    } while (n == BURST);
    tcp_timers(h->tcp, h->rig->now_us);
    while ((id = tcp_ready_next(h->tcp)) != 0)
        h->ready(h, id, tcp_conn_events(h->tcp, id));
}
