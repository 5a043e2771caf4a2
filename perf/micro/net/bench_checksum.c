/* SPDX-License-Identifier: BSD-3-Clause */
/* The Internet checksum in software: an IPv4 header, payloads of a small message, a full segment and a jumbo frame in
 * one mbuf, and the latter in mbufs of 1,448 bytes; and a whole TCP checksum with its pseudo-header. */
#include "net/net.h"

#include "bench.h"

#include <netinet/in.h>

#define ROUNDS 256

struct ctx {
    struct rte_mbuf *m;
    uint32_t len, sum;
};

static void chain(void *arg, uint32_t rounds) {
    struct ctx *c = arg;

    for (uint32_t i = 0; i < rounds; i++)
        c->sum += checksum_chain(c->m, 34, c->len);
}

static void tcp(void *arg, uint32_t rounds) {
    struct ctx *c = arg;

    for (uint32_t i = 0; i < rounds; i++)
        c->sum += checksum_l4(c->m, 34, (uint16_t)c->len, RTE_BE32(0xc6120001), RTE_BE32(0xc6120002), IPPROTO_TCP);
}

int main(void) {
    const uint32_t sizes[] = {20, 64, 1448, 9000};
    static struct ctx c;
    char name[64];

    bench_eal("64");
    struct rte_mempool *large = rte_pktmbuf_pool_create("large", 15, 0, 0, 9600, SOCKET_ID_ANY);
    struct rte_mbuf *pieces = bench_mbuf(bench_mbufs(511), 34 + 1448);
    if (large == NULL)
        return 1;
    struct rte_mempool *small = pieces->pool;
    for (uint32_t len = 1448; len < 9000; len += 1448)
        rte_pktmbuf_chain(pieces, bench_mbuf(small, (uint16_t)weir_min_u32(1448, 9000 - len)));
    c.m = bench_mbuf(large, 34 + 9000);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(sizes); i++) {
        c.len = sizes[i];
        snprintf(name, sizeof(name), "checksum_chain %u B", sizes[i]);
        bench_run(name, 1, ROUNDS, chain, NULL, &c);
    }
    c.len = 1468;
    bench_run("checksum_l4 1468 B (full segment)", 1, ROUNDS, tcp, NULL, &c);
    c.m = pieces;
    c.len = 9000;
    bench_run("checksum_chain 9000 B in 7 mbufs", 1, ROUNDS, chain, NULL, &c);
    return 0;
}
