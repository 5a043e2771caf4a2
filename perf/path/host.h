/* SPDX-License-Identifier: BSD-3-Clause */
/* A host at the far end of one of the worker's ports: ARP and TCP of its own (lib/net, lib/tcp). Nothing of it is
 * measured. */
#ifndef WEIR_PERF_HOST_H
#define WEIR_PERF_HOST_H

#include "rig.h"

#include "tcp/tcp_core.h"

struct host {
    struct rig *rig;
    unsigned port; /* of the worker */
    struct net_if ifc;
    struct arp_table *arp;
    struct tcp_core *tcp;
    struct rte_mempool *pool;
    void (*ready)(struct host *h, tcp_id id, uint8_t events); /* a flow has news */
    void *owner;                                              /* of `ready` */
};

/* addr_be/24 on the network of `port`. Ends the program where memory is short. */
void host_open(struct host *h, struct rig *rig, unsigned port, uint32_t addr_be, uint32_t max_conns);
void host_close(struct host *h);

/* Take what the worker has sent; timers; `ready` for each flow with news. */
void host_receive(struct host *h);
/* Put what the host has to send into the worker's receive ring. Returns how many frames. */
uint32_t host_send(struct host *h);

/* Queue bytes on a flow. */
void host_write(struct host *h, tcp_id id, const void *data, uint32_t n);

#endif
