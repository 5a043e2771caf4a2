/* SPDX-License-Identifier: BSD-3-Clause */
/* A weir port: a set of (ethdev, queue) pairs behind one name, MAC and list of addresses. The only place that
 * configures ethdevs and starts EAL.
 *
 *   eal.c          EAL arguments from the configuration: lcores, memory mode (huge pages or not), PCI allow list
 *   port.c         ports from the configuration: start, link, statistics, end
 *   port_device.c  their devices: probing vdevs or taking PCI ports, queues, offloads, RSS key and table
 *   mbuf_pools.c   one mempool a (port, worker), packed so that AF_XDP can register its memory
 *
 * Queue i of a port belongs to worker i (i < n_queues). Workers beyond n_queues have no queue: they receive over
 * hand-off rings and send over return rings through worker (i % n_queues).
 *
 * Known devices: net_af_xdp gets one vdev a queue of the same interface (start_queue=i); net_tap and net_af_packet take
 * several queues; net_virtio_user and net_vhost need huge pages; anything with a PCI address is taken from EAL's probe.
 */
#ifndef WEIR_PORT_H
#define WEIR_PORT_H

#include "config.h"
#include "limits.h"
#include "memory_plan.h"
#include "net/net.h"
#include "steer.h"

struct port_queue {
    uint16_t eth_port;
    uint16_t eth_queue;
};

struct port {
    char name[32];
    char device[256]; /* as configured */
    uint16_t n_queues;
    struct port_queue queues[WEIR_MAX_WORKERS];
    struct rte_mempool *pools[WEIR_MAX_WORKERS]; /* by worker, with a queue or not */
    struct net_if ifc;
    bool multi_seg;                               /* chains may be sent, */
    uint16_t max_mbufs;                           /* ... of so many mbufs for a frame; 0: of any number */
    bool hw_ip_cksum, hw_tcp_cksum, hw_udp_cksum; /* TX offloads on */
    bool hw_rx_cksum;
    bool tso;          /* the device cuts large segments (RTE_MBUF_F_TX_TCP_SEG) */
    uint16_t tso_segs; /* most mbufs of such a one */
    bool steered;      /* the device spreads flows exactly as struct steer does: no hand-off needed */
    bool is_af_xdp;
};

struct ports {
    uint16_t n;
    struct port port[WEIR_MAX_PORTS];
    bool hugepages;        /* what `auto` came to */
    char memory_text[128]; /* "512 MB in 2 MB huge pages" or "512 MB without huge pages (none free ...)" */
};

/* Start EAL as the configuration and plan say. control becomes the main lcore 0, worker i lcore 1 + i, handshake core j
 * lcore 1 + n_workers + j, mapped to CPUs with --lcores. argv0: program name; extra: EAL arguments the user gave after
 * `--`. hugepages auto: raised through vm.nr_hugepages where root may and given back at exit (eal_stop), else without.
 * Returns 0 or a negative weir_error with `error` filled for the user. */
int eal_start(const struct config *config, const struct memory_plan *plan, const char *argv0, char **extra, int n_extra,
              struct ports *ports, char *error, size_t error_bytes);
void eal_stop(void);

/* Open and start every port of the configuration. `steer` is programmed into RSS where the PMD takes key and RETA.
 * Refuses, naming port and reason: a device that cannot be opened (and what to check), an AF_XDP interface that carries
 * the default route without `exclusive: true`, an MTU the device refuses. On failure all is closed again. */
int ports_open(const struct config *config, const struct memory_plan *plan, const struct steer *steer,
               struct ports *ports, char *error, size_t error_bytes);
void ports_close(struct ports *ports);

/* Link of all the port's devices up? (no wait) */
bool port_link_up(const struct port *p);

struct port_device_stats {
    uint64_t rx_packets, rx_bytes, rx_missed, rx_errors, rx_nombuf, tx_packets, tx_bytes, tx_errors;
};
/* Sum of rte_eth_stats over the port's devices. Control thread. */
void port_device_stats(const struct port *p, struct port_device_stats *s);

#endif
