/* SPDX-License-Identifier: BSD-3-Clause */
#include "net_int.h"

static const uint8_t broadcast_mac[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

int eth_input(const struct net_if *ifc, struct rte_mbuf *m) {
    if (WEIR_UNLIKELY(m->data_len < sizeof(struct wire_eth)))
        return -NET_DROP_ETH_SHORT;
    const struct wire_eth *eth = net_eth(m);

    if (memcmp(eth->dst, ifc->mac, 6) != 0 && memcmp(eth->dst, broadcast_mac, 6) != 0)
        return -NET_DROP_ETH_NOT_OURS;
    if (WEIR_UNLIKELY(net_mac_is_group(eth->src))) /* an answer to it would reach many */
        return -NET_DROP_ETH_SOURCE;
    m->l2_len = sizeof(struct wire_eth);
    switch (eth->type_be) {
    case RTE_BE16(WIRE_ETH_IP4):
        return NET_TO_IP4;
    case RTE_BE16(WIRE_ETH_ARP):
        return NET_TO_ARP;
    case RTE_BE16(WIRE_ETH_VLAN):
        return -NET_DROP_ETH_VLAN;
    default:
        return -NET_DROP_ETH_TYPE;
    }
}

int eth_output(const struct net_if *ifc, struct rte_mbuf *m, const uint8_t dst_mac[6]) {
    struct wire_eth *eth = (struct wire_eth *)rte_pktmbuf_prepend(m, sizeof(*eth));

    if (WEIR_UNLIKELY(eth == NULL))
        return -NET_DROP_NO_HEADROOM;
    memcpy(eth->dst, dst_mac, 6);
    memcpy(eth->src, ifc->mac, 6);
    eth->type_be = RTE_BE16(WIRE_ETH_IP4);
    m->l2_len = sizeof(*eth);
    return 0;
}
