/* SPDX-License-Identifier: BSD-3-Clause */
#include "load_fixture.h"

#include "tests/eal.h"

#include <criterion/criterion.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <stdio.h>
#include <stdlib.h>

#define SLOTS 1024u
#define MBUFS 16383u

static void must(bool ok, const char *what) {
    if (ok)
        return;
    fprintf(stderr, "load fixture: %s failed\n", what);
    abort();
}

uint16_t fixture_eth(const char *name, struct rte_ring *rx, struct rte_ring *tx, struct rte_mempool *pool) {
    static const struct rte_eth_conf conf; /* nothing asked of it */
    int id = rte_eth_from_rings(name, &rx, 1, &tx, 1, 0);
    must(id >= 0, "rte_eth_from_rings");
    must(rte_eth_dev_configure((uint16_t)id, 1, 1, &conf) == 0, "rte_eth_dev_configure");
    must(rte_eth_rx_queue_setup((uint16_t)id, 0, SLOTS, 0, NULL, pool) == 0, "an rx queue");
    must(rte_eth_tx_queue_setup((uint16_t)id, 0, SLOTS, 0, NULL) == 0, "a tx queue");
    must(rte_eth_dev_start((uint16_t)id) == 0, "rte_eth_dev_start");
    return (uint16_t)id;
}

static void port_fill(const struct fixture *f, struct load_port *p, unsigned i) {
    *p = (struct load_port){.eth_port = f->eth_port[i], .pool = f->pool, .multi_seg = true};
    p->ifc = (struct net_if){.mac = {2, 0, 0, 0, 0, (uint8_t)(i + 1)}, .mtu = 1500, .n_addrs = 2};
    for (uint8_t a = 0; a < p->ifc.n_addrs; a++) {
        p->ifc.addrs[a].addr_be = RTE_BE32(0xc6120000 | (i + 1) << 8 | (a + 1));
        p->ifc.addrs[a].mask_be = RTE_BE32(0xfffe0000);
    }
}

void fixture_open(struct fixture *f) {
    must(test_eal(256), "rte_eal_init");
    *f = (struct fixture){.now_ns = 1000000000};
    f->pool = rte_pktmbuf_pool_create("load", MBUFS, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    f->ring[0] = rte_ring_create("ab", SLOTS, SOCKET_ID_ANY, 0);
    f->ring[1] = rte_ring_create("ba", SLOTS, SOCKET_ID_ANY, 0);
    must(f->pool != NULL && f->ring[0] != NULL && f->ring[1] != NULL, "pool and rings");
    f->eth_port[0] = fixture_eth("load0", f->ring[1], f->ring[0], f->pool);
    f->eth_port[1] = fixture_eth("load1", f->ring[0], f->ring[1], f->pool);
    port_fill(f, &f->config.client_port, 0);
    port_fill(f, &f->config.broker_port, 1);
    f->config.target_addr_be = f->config.broker_port.ifc.addrs[0].addr_be;
    f->config.target_port_be = f->config.broker_port_be = RTE_BE16(1883);
    f->config.n_brokers = 1;
    f->config.connections = 10;
    f->config.seed = 1;
}

void fixture_start(struct fixture *f) {
    char error[256] = "";
    f->load = load_new(&f->config, f->now_ns, error, sizeof(error));
    cr_assert_not_null(f->load, "%s", error);
}

void fixture_run(struct fixture *f, uint64_t ms) {
    for (uint64_t end = f->now_ns + ms * 1000000; f->now_ns < end; f->now_ns += FIXTURE_STEP_NS)
        load_account(f->load, load_turn(f->load, f->now_ns), 1);
}

void fixture_close(struct fixture *f) {
    void *m;
    load_free(f->load);
    for (unsigned i = 0; i < 2; i++)
        while (rte_ring_dequeue(f->ring[i], &m) == 0)
            rte_pktmbuf_free(m);
    cr_assert_eq(rte_mempool_in_use_count(f->pool), 0, "%u mbufs are left", rte_mempool_in_use_count(f->pool));
}
