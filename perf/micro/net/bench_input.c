/* SPDX-License-Identifier: BSD-3-Clause */
/* Ethernet and IPv4 input of a burst of 32 frames that lie in cache, as after a PMD's burst: with the header checksum
 * left to the NIC and done in software. */
#include "net/net.h"

#include "bench.h"

#include <netinet/in.h>
#include <string.h>

#define BURST  32
#define ROUNDS 32

struct ctx {
    struct net_if ifc;
    struct rte_mbuf *m[BURST];
    uint32_t bad;
};

static void input(void *arg, uint32_t rounds) {
    struct ctx *c = arg;

    for (uint32_t round = 0; round < rounds; round++)
        for (int i = 0; i < BURST; i++) {
            int v = eth_input(&c->ifc, c->m[i]);
            if (v == NET_TO_IP4)
                v = ip4_input(&c->ifc, c->m[i]);
            c->bad += v != NET_TO_TCP;
        }
}

static void make_frame(struct ctx *c, struct rte_mbuf *m) {
    struct wire_eth *eth = (struct wire_eth *)rte_pktmbuf_append(m, 14 + 1500);
    struct wire_ip4 *ip = (struct wire_ip4 *)(eth + 1);

    memset(eth, 0x5a, 14 + 1500);
    memcpy(eth->dst, c->ifc.mac, 6);
    memcpy(eth->src, c->ifc.mac, 6);
    eth->type_be = RTE_BE16(WIRE_ETH_IP4);
    *ip = (struct wire_ip4){.version_ihl = 0x45,
                            .total_len_be = RTE_BE16(1500),
                            .ttl = 64,
                            .proto = IPPROTO_TCP,
                            .saddr_be = RTE_BE32(0xc6120002),
                            .daddr_be = c->ifc.addrs[0].addr_be};
    ip->checksum_be = (uint16_t)~checksum_chain(m, 14, 20);
}

int main(void) {
    static struct ctx c = {.ifc = {.mac = {2, 0, 0, 0, 0, 1},
                                   .mtu = 1500,
                                   .n_addrs = 1,
                                   .addrs = {{RTE_BE32(0xc6120001), RTE_BE32(0xffffff00)}}}};

    bench_eal("64");
    if (rte_pktmbuf_alloc_bulk(bench_mbufs(1023), c.m, BURST) < 0)
        return 1;
    for (int i = 0; i < BURST; i++) {
        make_frame(&c, c.m[i]);
        c.m[i]->ol_flags |= RTE_MBUF_F_RX_IP_CKSUM_GOOD;
    }
    bench_run("eth+ip4_input, checksum by the NIC", BURST, ROUNDS, input, NULL, &c);
    for (int i = 0; i < BURST; i++)
        c.m[i]->ol_flags = 0;
    bench_run("eth+ip4_input, checksum in software", BURST, ROUNDS, input, NULL, &c);
    return c.bad != 0;
}
