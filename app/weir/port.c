/* SPDX-License-Identifier: BSD-3-Clause */
#include "port.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>

#include "base/log.h"
#include "eal_log.h"
#include "mbuf_pools.h"
#include "port_device.h"

/* The kernel frees the queues of a closed AF_XDP socket a little later: a restart may come too early for them. */
#define OPEN_TRIES    20
#define OPEN_PAUSE_US 100000

static int fill_interface(struct port *p, const struct config_port *c, char *error, size_t error_bytes) {
    if (c->n_addresses > NET_IF_ADDRS) {
        snprintf(error, error_bytes, "port %s: %u addresses with its pools' source addresses, and %u are possible",
                 c->name, c->n_addresses, NET_IF_ADDRS);
        return WEIR_ERANGE;
    }
    p->ifc.mtu = c->mtu;
    p->ifc.gateway_be = c->gateway_be;
    p->ifc.gateway_pinned = c->gateway_pinned;
    memcpy(p->ifc.gateway_mac, c->gateway_mac, sizeof(p->ifc.gateway_mac));
    p->ifc.n_addrs = (uint8_t)c->n_addresses;
    for (uint16_t i = 0; i < c->n_addresses; i++) {
        uint8_t len = c->addresses[i].prefix_len;
        p->ifc.addrs[i].addr_be = c->addresses[i].addr_be;
        p->ifc.addrs[i].mask_be = len ? htonl(UINT32_MAX << (32 - len)) : 0;
    }
    return 0;
}

/* A pool for every worker: those without a queue build their frames in their own, too. */
static int make_pools(struct port *p, uint16_t index, uint32_t n_mbufs, uint16_t n_workers, char *error,
                      size_t error_bytes) {
    uint16_t room = mbuf_pool_room(p->ifc.mtu, p->is_af_xdp);
    for (uint16_t i = 0; i < n_workers; i++) {
        char name[24];
        unsigned lcore = 1u + i;
        int socket =
            lcore < RTE_MAX_LCORE && rte_lcore_is_enabled(lcore) ? (int)rte_lcore_to_socket_id(lcore) : SOCKET_ID_ANY;
        snprintf(name, sizeof(name), "mbufs_p%u_w%u", index, i);
        p->pools[i] = mbuf_pool_new(name, n_mbufs, MEMORY_MBUF_CACHE, room, socket);
        if (!p->pools[i]) {
            snprintf(error, error_bytes,
                     "port %s: no memory for %u packet buffers of %u bytes for worker %u (%s): lower "
                     "memory.max_connections",
                     p->name, n_mbufs, room, i, rte_strerror(rte_errno));
            return WEIR_ENOMEM;
        }
    }
    return 0;
}

static void free_pools(struct port *p) {
    for (uint16_t w = 0; w < WEIR_MAX_WORKERS; w++) {
        rte_mempool_free(p->pools[w]); /* NULL is allowed */
        p->pools[w] = NULL;
    }
}

static int open_once(struct port *p, uint16_t index, const struct config *config, const struct memory_plan *plan,
                     const struct steer *steer, char *error, size_t error_bytes) {
    const struct config_port *c = &config->ports[index];
    uint16_t n_workers = config->cores.n_workers;
    eal_log_forget();
    int ret = port_device_probe(p, c, n_workers, error, error_bytes);
    if (!ret)
        ret = make_pools(p, index, plan->mbufs[index], n_workers, error, error_bytes);
    if (!ret)
        ret = port_device_start(p, steer, error, error_bytes);
    return ret;
}

static int port_open(struct port *p, uint16_t index, const struct config *config, const struct memory_plan *plan,
                     const struct steer *steer, char *error, size_t error_bytes) {
    const struct config_port *c = &config->ports[index];
    snprintf(p->name, sizeof(p->name), "%s", c->name);
    if (strlen(c->device) >= sizeof(p->device)) {
        snprintf(error, error_bytes, "port %s: the device string is longer than %zu characters", c->name,
                 sizeof(p->device) - 1);
        return WEIR_ERANGE;
    }
    snprintf(p->device, sizeof(p->device), "%s", c->device);
    p->is_af_xdp = device_traits_of(c->device)->queue_per_vdev;
    int ret = fill_interface(p, c, error, error_bytes);
    if (ret)
        return ret;
    int sockets[WEIR_MAX_PORTS * WEIR_MAX_WORKERS];
    uint16_t n_sockets = af_xdp_sockets(sockets, WEIR_ARRAY_LEN(sockets));
    for (int tries = OPEN_TRIES;; tries--) {
        ret = open_once(p, index, config, plan, steer, error, error_bytes);
        if (ret != WEIR_ESTATE || tries == 1)
            return ret;
        /* A failed queue keeps what it took from its pool: all goes, and once more. */
        port_device_close(p);
        af_xdp_close_sockets_but(sockets, n_sockets);
        free_pools(p);
        usleep(OPEN_PAUSE_US);
    }
}

static void port_log(const struct port *p) {
    const uint8_t *mac = p->ifc.mac;
    log_line(LOG_LVL_INFO, "port",
             "%s: %s, %u queue%s, %02x:%02x:%02x:%02x:%02x:%02x, MTU %u, checksums out%s%s%s%s, in%s, %s%s, flows %s",
             p->name, p->device, p->n_queues, p->n_queues == 1 ? "" : "s", mac[0], mac[1], mac[2], mac[3], mac[4],
             mac[5], p->ifc.mtu, p->hw_ip_cksum ? " ip" : "", p->hw_tcp_cksum ? " tcp" : "",
             p->hw_udp_cksum ? " udp" : "",
             p->hw_ip_cksum || p->hw_tcp_cksum || p->hw_udp_cksum ? " by the device" : " by software",
             p->hw_rx_cksum ? " by the device" : " by software", p->multi_seg ? "chains" : "single segments",
             p->tso ? " cut by the device (TSO)" : "", p->steered ? "spread by the device" : "handed over");
}

int ports_open(const struct config *config, const struct memory_plan *plan, const struct steer *steer,
               struct ports *ports, char *error, size_t error_bytes) {
    ports->n = 0;
    for (uint16_t i = 0; i < config->n_ports; i++) {
        struct port *p = &ports->port[i];
        *p = (struct port){0};
        ports->n++;
        int ret = port_open(p, i, config, plan, steer, error, error_bytes);
        if (ret) {
            ports_close(ports);
            return ret;
        }
        port_log(p);
    }
    return 0;
}

void ports_close(struct ports *ports) {
    /* First all devices, then all pools: a device may hold buffers that came from another port. */
    for (uint16_t i = 0; i < ports->n; i++)
        port_device_close(&ports->port[i]);
    af_xdp_close_sockets_but(NULL, 0);
    for (uint16_t i = 0; i < ports->n; i++)
        free_pools(&ports->port[i]);
    ports->n = 0;
}

/* Queue i begins another device than queue i - 1? Queues of one device follow each other. */
static bool starts_device(const struct port *p, uint16_t i) {
    return i == 0 || p->queues[i].eth_port != p->queues[i - 1].eth_port;
}

bool port_link_up(const struct port *p) {
    for (uint16_t i = 0; i < p->n_queues; i++) {
        struct rte_eth_link link;
        if (starts_device(p, i) &&
            (rte_eth_link_get_nowait(p->queues[i].eth_port, &link) || link.link_status != RTE_ETH_LINK_UP))
            return false;
    }
    return p->n_queues > 0;
}

void port_device_stats(const struct port *p, struct port_device_stats *s) {
    *s = (struct port_device_stats){0};
    for (uint16_t i = 0; i < p->n_queues; i++) {
        struct rte_eth_stats e;
        if (!starts_device(p, i) || rte_eth_stats_get(p->queues[i].eth_port, &e))
            continue;
        s->rx_packets += e.ipackets;
        s->rx_bytes += e.ibytes;
        s->rx_missed += e.imissed;
        s->rx_errors += e.ierrors;
        s->rx_nombuf += e.rx_nombuf;
        s->tx_packets += e.opackets;
        s->tx_bytes += e.obytes;
        s->tx_errors += e.oerrors;
    }
}
