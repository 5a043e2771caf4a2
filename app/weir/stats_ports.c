/* SPDX-License-Identifier: BSD-3-Clause */
#include "stats_int.h"

#include <rte_mempool.h>

/* What the workers count. */
static void walk_counters(struct walk *k) {
    static const struct walk_field fields[] = {
        WALK_COUNTER(struct worker_port, rx_packets, "weir_port_rx_packets_total", "Packets received."),
        WALK_COUNTER(struct worker_port, rx_bytes, "weir_port_rx_bytes_total", "Bytes received."),
        WALK_COUNTER(struct worker_port, tx_packets, "weir_port_tx_packets_total", "Packets sent."),
        WALK_COUNTER(struct worker_port, tx_bytes, "weir_port_tx_bytes_total", "Bytes sent."),
    };
    const struct ports *ports = &k->weir->ports;
    for (size_t f = 0; f < WEIR_ARRAY_LEN(fields); f++) {
        walk_metric(k, fields[f].name, fields[f].help, false);
        for (uint16_t p = 0; p < ports->n; p++)
            walk_emit1(k, "port", ports->port[p].name, walk_sum(k, &fields[f], offsetof(struct worker, ports[p])));
    }
    walk_metric(k, "weir_port_link_up", "1 where the link of the port is up.", true);
    for (uint16_t p = 0; p < ports->n; p++)
        walk_emit1(k, "port", ports->port[p].name, port_link_up(&ports->port[p]));
}

static void walk_devices(struct walk *k) {
    static const struct walk_field fields[] = {
        WALK_COUNTER(struct port_device_stats, rx_missed, "weir_port_device_rx_missed_total",
                     "Packets the device had no room for."),
        WALK_COUNTER(struct port_device_stats, rx_errors, "weir_port_device_rx_errors_total",
                     "Packets the device received damaged."),
        WALK_COUNTER(struct port_device_stats, rx_nombuf, "weir_port_device_rx_nombuf_total",
                     "Receive buffers that could not be had."),
        WALK_COUNTER(struct port_device_stats, tx_errors, "weir_port_device_tx_errors_total",
                     "Packets the device failed to send."),
    };
    struct port_device_stats s[WEIR_MAX_PORTS];
    for (uint16_t p = 0; p < k->weir->ports.n; p++)
        port_device_stats(&k->weir->ports.port[p], &s[p]);
    for (size_t f = 0; f < WEIR_ARRAY_LEN(fields); f++) {
        walk_metric(k, fields[f].name, fields[f].help, false);
        for (uint16_t p = 0; p < k->weir->ports.n; p++)
            walk_emit1(k, "port", k->weir->ports.port[p].name, walk_read(&fields[f], &s[p]));
    }
}

static double mbufs_in_use(const struct rte_mempool *mp) {
    return rte_mempool_in_use_count(mp);
}
static double mbufs_all(const struct rte_mempool *mp) {
    return mp->size;
}

/* A sample a pool of mbufs. */
static void per_pool(struct walk *k, double (*read)(const struct rte_mempool *)) {
    for (uint16_t p = 0; p < k->weir->ports.n; p++) {
        for (uint16_t i = 0; i < k->weir->n_workers; i++) {
            const struct rte_mempool *mp = k->weir->ports.port[p].pools[i];
            if (mp != NULL)
                walk_emit1(k, "pool", mp->name, read(mp));
        }
    }
}

static void walk_mbufs(struct walk *k) {
    walk_metric(k, "weir_mbufs_in_use", "mbufs out of their pool: receive rings, caches, ropes, frames under way.",
                true);
    per_pool(k, mbufs_in_use);
    walk_metric(k, "weir_mbufs", "Size of the mbuf pool.", true);
    per_pool(k, mbufs_all);
}

void walk_ports(struct walk *k) {
    walk_counters(k);
    walk_devices(k);
    walk_mbufs(k);
}
