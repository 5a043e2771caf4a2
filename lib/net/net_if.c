/* SPDX-License-Identifier: BSD-3-Clause */
#include "net_int.h"

bool net_if_owns(const struct net_if *ifc, uint32_t addr_be) {
    if (WEIR_LIKELY(ifc->addrs[0].addr_be == addr_be && ifc->n_addrs != 0))
        return true;
    for (uint8_t i = 0; i < ifc->n_addrs; i++)
        if (ifc->addrs[i].addr_be == addr_be)
            return true;
    return false;
}

bool net_if_is_broadcast(const struct net_if *ifc, uint32_t addr_be) {
    for (uint8_t i = 0; i < ifc->n_addrs; i++) {
        uint32_t host_be = ~ifc->addrs[i].mask_be;
        if (((addr_be ^ ifc->addrs[i].addr_be) & ~host_be) != 0)
            continue;
        if (rte_be_to_cpu_32(host_be) > 1 && ((addr_be & host_be) == host_be || (addr_be & host_be) == 0))
            return true;
    }
    return false;
}

enum net_peer net_if_peer(const struct net_if *ifc, uint32_t addr_be) {
    enum net_peer peer = NET_PEER_BEYOND;

    if (WEIR_UNLIKELY(!net_addr_is_unicast(addr_be)))
        return NET_PEER_NOBODY;
    for (uint8_t i = 0; i < ifc->n_addrs; i++) {
        uint32_t differs = addr_be ^ ifc->addrs[i].addr_be, host_be = ~ifc->addrs[i].mask_be;
        if (differs == 0)
            return NET_PEER_SELF;
        if ((differs & ~host_be) != 0)
            continue;
        peer = NET_PEER_ON_LINK;
        uint32_t part = addr_be & host_be;
        if ((part == 0 || part == host_be) && rte_be_to_cpu_32(host_be) > 1) /* RFC 3021: a /31 has no broadcast */
            return NET_PEER_NOBODY;
    }
    return peer;
}

uint32_t net_if_next_hop(const struct net_if *ifc, uint32_t daddr_be) {
    switch (net_if_peer(ifc, daddr_be)) {
    case NET_PEER_NOBODY:
        return 0;
    case NET_PEER_BEYOND:
        return ifc->gateway_be;
    default:
        return daddr_be;
    }
}
