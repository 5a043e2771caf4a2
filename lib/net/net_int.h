/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside lib/net only: what several protocols do to an mbuf. */
#ifndef WEIR_NET_INT_H
#define WEIR_NET_INT_H

#include "net.h"

#include "../base/rope.h"

#include <rte_byteorder.h>
#include <string.h>

static inline struct wire_eth *net_eth(const struct rte_mbuf *m) {
    return rte_pktmbuf_mtod(m, struct wire_eth *);
}

/* Valid from ip4_input on. */
static inline struct wire_ip4 *net_ip4(const struct rte_mbuf *m) {
    return rte_pktmbuf_mtod_offset(m, struct wire_ip4 *, m->l2_len);
}

/* Bytes of the first segment from `offset` on: what may be read as a header without walking the chain. */
static inline uint32_t net_contiguous(const struct rte_mbuf *m, uint32_t offset) {
    return m->data_len > offset ? m->data_len - offset : 0;
}

/* Cut the packet to its first `len` bytes (len <= pkt_len); segments behind them are freed. */
static inline void net_truncate(struct rte_mbuf *m, uint32_t len) {
    if (WEIR_LIKELY(m->pkt_len == len))
        return;
    struct rte_mbuf *last = m;
    uint32_t left = len;
    uint16_t segments = 1;
    while (left > last->data_len) {
        left -= last->data_len;
        last = last->next;
        segments++;
    }
    rte_pktmbuf_free(last->next);
    last->next = NULL;
    last->data_len = (uint16_t)left;
    m->nb_segs = segments;
    m->pkt_len = len;
}

/* --- ip4.c --- Put the checksum of a header without options, or ask the device for it. */
void net_ip4_checksum(struct rte_mbuf *m, struct wire_ip4 *ip, bool hw_cksum);
#define NET_IP4_TTL 64 /* RFC 1122 3.2.1.7, RFC 1340 */

/* 0/8, 127/8, multicast, class E and limited broadcast are nobody's unicast address (RFC 1122 3.2.1.3, RFC 6890). */
static inline bool net_addr_is_unicast(uint32_t addr_be) {
    uint8_t first = (uint8_t)(rte_be_to_cpu_32(addr_be) >> 24);

    return first != 0 && first != 127 && first < 224;
}

/* An answer leaves in the buffer its question came in: forget what the receive side noted there. The checksums of
 * answers are written in software. */
static inline void net_clear_offload(struct rte_mbuf *m) {
    m->ol_flags = 0;
    m->tx_offload = 0;
}

/* The network or broadcast address of one of the interface's subnets (RFC 3021: a /31 has neither, nor has a /32). */
bool net_if_is_broadcast(const struct net_if *ifc, uint32_t addr_be);

/* Who has an address, seen from an interface. */
enum net_peer {
    NET_PEER_BEYOND,  /* behind the gateway */
    NET_PEER_ON_LINK, /* in a subnet of the interface */
    NET_PEER_SELF,
    NET_PEER_NOBODY /* not one host's: group, loopback, network or broadcast address */
};
enum net_peer net_if_peer(const struct net_if *ifc, uint32_t addr_be);

static inline bool net_mac_is_group(const uint8_t mac[6]) {
    return mac[0] & 1;
}

#endif
