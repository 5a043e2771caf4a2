/* SPDX-License-Identifier: BSD-3-Clause */
#include "forward.h"

#include "base/base.h"
#include "net/wire.h"

#include <netinet/in.h>
#include <rte_ethdev.h>
#include <rte_prefetch.h>
#include <string.h>

static void swap_u16(uint16_t *a, uint16_t *b) {
    uint16_t was = *a;
    *a = *b;
    *b = was;
}

static void swap_u32(uint32_t *a, uint32_t *b) {
    uint32_t was = *a;
    *a = *b;
    *b = was;
}

static void swap_packet(struct rte_mbuf *m) {
    struct wire_eth *eth = rte_pktmbuf_mtod(m, struct wire_eth *);
    uint8_t mac[6];
    memcpy(mac, eth->dst, 6);
    memcpy(eth->dst, eth->src, 6);
    memcpy(eth->src, mac, 6);
    m->ol_flags &= RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;
    if (eth->type_be != RTE_BE16(WIRE_ETH_IP4))
        return;
    struct wire_ip4 *ip = (struct wire_ip4 *)(eth + 1);
    uint32_t saddr_be = ip->saddr_be, daddr_be = ip->daddr_be;
    swap_u32(&saddr_be, &daddr_be);
    ip->saddr_be = saddr_be;
    ip->daddr_be = daddr_be;
    m->l2_len = sizeof(*eth);
    m->l3_len = (ip->version_ihl & 15u) * 4;
    if (ip->proto != IPPROTO_UDP && ip->proto != IPPROTO_TCP)
        return;
    uint16_t *ports = (uint16_t *)((uint8_t *)ip + m->l3_len); /* UDP and TCP have them in the same place */
    swap_u16(&ports[0], &ports[1]);
}

uint16_t forward_burst(uint16_t from_port, uint16_t to_port) {
    struct rte_mbuf *m[FORWARD_BURST];
    uint16_t n = rte_eth_rx_burst(from_port, 0, m, FORWARD_BURST);
    if (n == 0)
        return 0;
    for (uint16_t i = 0; i < n; i++) {
        if (WEIR_LIKELY(i + 1 < n))
            rte_prefetch0(rte_pktmbuf_mtod(m[i + 1], void *));
        swap_packet(m[i]);
    }
    uint16_t sent = rte_eth_tx_burst(to_port, 0, m, n);
    if (WEIR_UNLIKELY(sent < n))
        rte_pktmbuf_free_bulk(m + sent, n - sent);
    return n;
}
