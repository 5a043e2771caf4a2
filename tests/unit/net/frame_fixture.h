/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames as they come in on one interface, 198.18.0.1/24 and .5/24, gateway .254, MTU 1500. */
#ifndef WEIR_FRAME_FIXTURE_H
#define WEIR_FRAME_FIXTURE_H

#include "../base/mbuf_fixture.h"
#include "net/net.h"

#include <netinet/in.h>

#define IP(a, b, c, d) RTE_BE32((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))
#define OUR_ADDR       IP(198, 18, 0, 1)
#define OUR_ADDR_2     IP(198, 18, 0, 5)
#define PEER_ADDR      IP(198, 18, 0, 77)
#define GATEWAY_ADDR   IP(198, 18, 0, 254)

static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 1}, peer_mac[6] = {2, 0, 0, 0, 0, 0x77},
                     all_macs[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static const struct net_if interface = {.mac = {2, 0, 0, 0, 0, 1},
                                        .mtu = 1500,
                                        .n_addrs = 2,
                                        .addrs = {{OUR_ADDR, IP(255, 255, 255, 0)}, {OUR_ADDR_2, IP(255, 255, 255, 0)}},
                                        .gateway_be = GATEWAY_ADDR};

static struct rte_mempool *frames;

static inline void frames_start(void) {
    fixture_eal();
    frames = fixture_pool("frames", FIXTURE_MBUFS);
}

static inline void frames_expect_no_leak(void) {
    cr_expect_eq(rte_mempool_avail_count(frames), FIXTURE_MBUFS);
}

static inline struct wire_eth *frame_eth(struct rte_mbuf *m) {
    return rte_pktmbuf_mtod(m, struct wire_eth *);
}

static inline struct wire_ip4 *frame_ip(struct rte_mbuf *m) {
    return rte_pktmbuf_mtod_offset(m, struct wire_ip4 *, sizeof(struct wire_eth));
}

/* What lies behind an IP header without options. */
static inline void *frame_l4(struct rte_mbuf *m) {
    return rte_pktmbuf_mtod_offset(m, void *, sizeof(struct wire_eth) + sizeof(struct wire_ip4));
}

/* RFC 1071 the slow way: what every fast one is held against. */
static inline uint16_t naive_sum(const void *data, uint32_t n) {
    const uint8_t *p = data;
    uint32_t sum = 0;

    for (uint32_t i = 0; i < n; i++)
        sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return rte_cpu_to_be_16((uint16_t)sum);
}

static inline void frame_fix_ip_checksum(struct rte_mbuf *m) {
    struct wire_ip4 *ip = frame_ip(m);

    ip->checksum_be = 0;
    ip->checksum_be = (uint16_t)~naive_sum(ip, (ip->version_ihl & 15u) * 4);
}

/* Fill the headers in front of n bytes of IP payload that are there already. */
static inline void frame_fill(struct rte_mbuf *m, uint8_t proto, uint16_t n) {
    struct wire_eth *eth = frame_eth(m);

    memcpy(eth->dst, our_mac, 6);
    memcpy(eth->src, peer_mac, 6);
    eth->type_be = RTE_BE16(WIRE_ETH_IP4);
    *frame_ip(m) = (struct wire_ip4){.version_ihl = 0x45,
                                     .total_len_be = rte_cpu_to_be_16((uint16_t)(20 + n)),
                                     .ttl = 64,
                                     .proto = proto,
                                     .saddr_be = PEER_ADDR,
                                     .daddr_be = OUR_ADDR};
    frame_fix_ip_checksum(m);
}

/* A frame from the peer to us with n bytes of IP payload. */
static inline struct rte_mbuf *frame_ip4(uint8_t proto, const void *payload, uint16_t n) {
    struct rte_mbuf *m = fixture_mbuf(frames, NULL, (uint16_t)(sizeof(struct wire_eth) + sizeof(struct wire_ip4) + n));

    frame_fill(m, proto, n);
    if (payload)
        memcpy(frame_l4(m), payload, n);
    else
        memset(frame_l4(m), 0, n);
    return m;
}

/* Through eth_input and ip4_input, the second one's verdict. */
static inline int frame_receive(struct rte_mbuf *m) {
    int v = eth_input(&interface, m);

    return v == NET_TO_IP4 ? ip4_input(&interface, m) : v;
}

#endif
