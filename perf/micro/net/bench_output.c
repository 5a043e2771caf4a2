/* SPDX-License-Identifier: BSD-3-Clause */
/* Headers before a datagram's payload: UDP, IPv4, Ethernet, with checksums left to the NIC and done in software; and
 * the next hop's address out of an ARP table. */
#include "net/net.h"

#include "bench.h"

#include <netinet/in.h>

#define ROUNDS 32

#define LOCAL_ADDR  RTE_BE32(0xc6120001u)
#define REMOTE_ADDR RTE_BE32(0xc6120002u)

struct ctx {
    struct net_if ifc;
    struct arp_table *arp;
    struct rte_mempool *pool;
    struct rte_mbuf *m[ROUNDS];
    bool hw_cksum;
    int bad;
};

/* 64 bytes of payload and nothing before them. */
static void reset(void *arg, uint32_t rounds) {
    struct ctx *c = arg;

    for (uint32_t i = 0; i < rounds; i++) {
        struct rte_mbuf *m = c->m[i];
        rte_pktmbuf_reset(m);
        rte_pktmbuf_append(m, 64);
    }
}

static void udp(void *arg, uint32_t rounds) {
    struct ctx *c = arg;

    for (uint32_t i = 0; i < rounds; i++)
        c->bad |= udp_output(c->m[i], LOCAL_ADDR, REMOTE_ADDR, 7, 7, c->hw_cksum);
}

static void ip4(void *arg, uint32_t rounds) {
    struct ctx *c = arg;

    for (uint32_t i = 0; i < rounds; i++)
        c->bad |= ip4_output(c->m[i], LOCAL_ADDR, REMOTE_ADDR, IPPROTO_UDP, 0, c->hw_cksum);
}

static void eth(void *arg, uint32_t rounds) {
    struct ctx *c = arg;

    for (uint32_t i = 0; i < rounds; i++)
        c->bad |= eth_output(&c->ifc, c->m[i], c->ifc.mac);
}

static void resolve(void *arg, uint32_t rounds) {
    struct ctx *c = arg;
    uint8_t mac[6];

    for (uint32_t i = 0; i < rounds; i++)
        c->bad |= arp_resolve(c->arp, REMOTE_ADDR, c->m[i], 2, mac) != NET_DONE;
}

/* Ask for REMOTE_ADDR and turn the request into its answer. */
static void learn(struct ctx *c) {
    struct rte_mbuf *expired[4], *frame;
    uint16_t n_expired;
    uint8_t mac[6];

    if (arp_resolve(c->arp, REMOTE_ADDR, bench_mbuf(c->pool, 64), 1, mac) != NET_HELD ||
        arp_poll(c->arp, &c->ifc, c->pool, 1, &frame, 1, expired, &n_expired) != 1)
        exit(1);
    struct wire_eth *frame_eth = rte_pktmbuf_mtod(frame, struct wire_eth *);
    struct wire_arp *arp = (struct wire_arp *)(frame_eth + 1);
    static const uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 2};
    memcpy(frame_eth->dst, c->ifc.mac, 6);
    memcpy(frame_eth->src, peer_mac, 6);
    arp->operation_be = RTE_BE16(2);
    memcpy(arp->target_mac, c->ifc.mac, 6);
    memcpy(arp->sender_mac, peer_mac, 6);
    arp->sender_addr_be = REMOTE_ADDR;
    arp->target_addr_be = LOCAL_ADDR;
    if (arp_input(c->arp, &c->ifc, frame, 2) != NET_DONE ||
        arp_poll(c->arp, &c->ifc, c->pool, 2, &frame, 1, expired, &n_expired) != 1)
        exit(1);
}

int main(void) {
    static struct ctx c = {
        .ifc = {.mac = {2, 0, 0, 0, 0, 1}, .mtu = 1500, .n_addrs = 1, .addrs = {{LOCAL_ADDR, RTE_BE32(0xffffff00)}}}};

    bench_eal("64");
    c.pool = bench_mbufs(1023);
    c.arp = arp_table_new("bench", SOCKET_ID_ANY);
    if (c.arp == NULL || rte_pktmbuf_alloc_bulk(c.pool, c.m, ROUNDS) < 0)
        return 1;
    learn(&c);
    c.hw_cksum = true;
    bench_run("udp_output 64 B, checksum by the NIC", 1, ROUNDS, udp, reset, &c);
    bench_run("ip4_output, checksum by the NIC", 1, ROUNDS, ip4, reset, &c);
    c.hw_cksum = false;
    bench_run("udp_output 64 B, checksum in software", 1, ROUNDS, udp, reset, &c);
    bench_run("ip4_output, checksum in software", 1, ROUNDS, ip4, reset, &c);
    bench_run("eth_output", 1, ROUNDS, eth, reset, &c);
    bench_run("arp_resolve (found)", 1, ROUNDS, resolve, reset, &c);
    arp_table_free(c.arp);
    return c.bad != 0;
}
