/* SPDX-License-Identifier: BSD-3-Clause */
/* Ports in a test's own process and network namespace: configuration by hand, frames by packet socket. */
#ifndef WEIR_PORT_FIXTURE_H
#define WEIR_PORT_FIXTURE_H

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <rte_ethdev.h>
#include <rte_ether.h>

#include "app/weir/port.h"
#include "base/log.h"

#define FIXTURE_ETHER_TYPE 0x88b5 /* IEEE 802, for experiments: no kernel answers it */
#define FIXTURE_MBUFS      4096u

struct port_fixture {
    struct config config;
    struct memory_plan plan;
    struct steer steer;
    struct ports ports;
    char error[1024];
};

static struct port_fixture fx;

static inline void fixture_add(const char *name, const char *device) {
    struct config_port *p = &fx.config.ports[fx.config.n_ports];
    snprintf(p->name, sizeof(p->name), "%s", name);
    p->device = strdup(device);
    p->mtu = 1500;
    p->n_addresses = 1;
    p->addresses[0] = (struct config_address){.addr_be = inet_addr("198.18.0.1"), .prefix_len = 24};
    fx.plan.mbufs[fx.config.n_ports++] = FIXTURE_MBUFS;
}

/* Forget the ports, keep EAL. */
static inline void fixture_clear_ports(void) {
    for (uint16_t i = 0; i < fx.config.n_ports; i++)
        free(fx.config.ports[i].device);
    fx.config.n_ports = 0;
}

static inline void fixture_init(uint16_t n_workers) {
    static const uint8_t key[STEER_KEY_BYTES] = {0x6d, 0x5a, 0x56, 0xda, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    fx.config.cores.n_workers = n_workers;
    fx.config.memory.hugepages = CONFIG_HUGEPAGES_OFF;
    fx.plan.eal_mb = 160;
    steer_init(&fx.steer, key, n_workers);
    cr_assert_eq(log_open("stderr", LOG_LVL_ERROR, LOG_FMT_TEXT), 0);
}

static inline void fixture_eal(void) {
    int ret = eal_start(&fx.config, &fx.plan, "weir", NULL, 0, &fx.ports, fx.error, sizeof(fx.error));
    cr_assert_eq(ret, 0, "%s", fx.error);
}

static inline int fixture_open(void) {
    fx.error[0] = '\0';
    return ports_open(&fx.config, &fx.plan, &fx.steer, &fx.ports, fx.error, sizeof(fx.error));
}

static inline void fixture_close(void) {
    ports_close(&fx.ports);
    eal_stop();
    fixture_clear_ports();
}

static inline void fixture_namespace(void) {
    cr_assert_eq(unshare(CLONE_NEWNET), 0, "these tests make network namespaces and need root");
    cr_assert_eq(system("ip link set lo up"), 0);
}

static inline void fixture_veth(const char *interface, const char *peer, unsigned queues) {
    char command[256];
    snprintf(command, sizeof(command),
             "ip link add %s numrxqueues %u numtxqueues %u type veth peer name %s numrxqueues %u numtxqueues %u && "
             "ip link set %s up",
             interface, queues, queues, peer, queues, queues, peer);
    cr_assert_eq(system(command), 0);
}

/* The kernel's side of a link. */
static inline int fixture_socket(const char *interface) {
    int fd = socket(AF_PACKET, SOCK_RAW, htons(FIXTURE_ETHER_TYPE));
    struct sockaddr_ll to = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(FIXTURE_ETHER_TYPE),
                             .sll_ifindex = (int)if_nametoindex(interface)};
    struct timeval wait = {.tv_usec = 500000};
    int buffer_bytes = 32 << 20;
    cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer_bytes, sizeof(buffer_bytes));
    return fd;
}

/* A frame of `len` bytes with a number in it. */
static inline void fixture_fill(uint8_t *frame, uint16_t len, const uint8_t to[6], uint32_t number) {
    struct rte_ether_hdr *h = (struct rte_ether_hdr *)frame;
    memset(frame, (int)(number & 0xff), len);
    memcpy(h->dst_addr.addr_bytes, to, 6);
    memcpy(h->src_addr.addr_bytes, "\x02\x00\x00\x00\x00\x77", 6);
    h->ether_type = htons(FIXTURE_ETHER_TYPE);
    memcpy(frame + sizeof(*h), &number, sizeof(number));
}

static inline struct rte_mbuf *fixture_mbuf(struct rte_mempool *pool, uint16_t len, const uint8_t to[6],
                                            uint32_t number) {
    struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
    uint8_t *frame = m ? (uint8_t *)rte_pktmbuf_append(m, len) : NULL;
    cr_assert_not_null(frame);
    fixture_fill(frame, len, to, number);
    return m;
}

/* Take frames of ours from all queues until `want` are here or a second has gone by; others' are freed. */
static inline uint32_t fixture_receive(const struct port *p, struct rte_mbuf **out, uint32_t want) {
    uint32_t n = 0;
    for (int idle = 0; n < want && idle < 1000;) {
        uint32_t before = n;
        for (uint16_t q = 0; q < p->n_queues; q++) {
            struct rte_mbuf *burst[WEIR_RX_BURST];
            uint16_t got = rte_eth_rx_burst(p->queues[q].eth_port, p->queues[q].eth_queue, burst, RTE_DIM(burst));
            for (uint16_t i = 0; i < got; i++) {
                if (n < want &&
                    rte_pktmbuf_mtod(burst[i], struct rte_ether_hdr *)->ether_type == htons(FIXTURE_ETHER_TYPE))
                    out[n++] = burst[i];
                else
                    rte_pktmbuf_free(burst[i]);
            }
        }
        if (n == before) {
            usleep(1000);
            idle++;
        }
    }
    return n;
}

static inline bool fixture_send(const struct port *p, uint16_t q, struct rte_mbuf *m) {
    for (int i = 0; i < 1000; i++) {
        if (rte_eth_tx_burst(p->queues[q].eth_port, p->queues[q].eth_queue, &m, 1) == 1)
            return true;
        usleep(1000);
    }
    rte_pktmbuf_free(m);
    return false;
}

#endif
