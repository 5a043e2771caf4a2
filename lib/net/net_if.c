/* SPDX-License-Identifier: BSD-3-Clause */
#include "net_int.h"

bool net_if_owns(const struct net_if *ifc, uint32_t addr_be) {
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

uint32_t net_if_next_hop(const struct net_if *ifc, uint32_t daddr_be) {
    if (!net_addr_is_unicast(daddr_be) || net_if_is_broadcast(ifc, daddr_be))
        return 0;
    for (uint8_t i = 0; i < ifc->n_addrs; i++)
        if (((daddr_be ^ ifc->addrs[i].addr_be) & ifc->addrs[i].mask_be) == 0)
            return daddr_be;
    return ifc->gateway_be;
}
