/* SPDX-License-Identifier: BSD-3-Clause */
/* Datagrams between clients and servers (`mode: udp`), and UDP echo. A flow is made by a client's first datagram:
 * server picked by the pool's policy, source port of our own whose answers come back to this worker, two table entries.
 * It goes after timeouts.udp_idle_s without a datagram either way. Bounded by the pool; beyond it new clients are
 * dropped and counted. */
#ifndef WEIR_UDP_FLOW_H
#define WEIR_UDP_FLOW_H

#include "base/flow_table.h"
#include "base/pool.h"
#include "base/timer_wheel.h"
#include "listener_map.h"

#include <rte_mbuf.h>

struct worker;

struct udp_flow {
    struct flow_key client; /* remote: client, local: listener */
    struct flow_key server; /* remote: server, local: our source */
    uint32_t last_ms;
    uint16_t listener, pool, server_index;
    uint8_t client_port, server_port;
};
static_assert(sizeof(struct udp_flow) <= 64, "one cache line");

struct udp_flows {
    struct pool flows;
    struct flow_table table;
    struct timer_wheel wheel;
    struct listener_map listeners;
    uint32_t idle_ms;
};

int udp_flows_init(struct udp_flows *u, const char *name, uint32_t capacity, uint32_t idle_ms, uint64_t secret,
                   int socket_id, uint64_t now_us);
void udp_flows_fini(struct udp_flows *u);

#define UDP_BURST FLOW_TABLE_BURST

/* At most UDP_BURST valid datagrams (l2, l3, l4 lengths set) to our addresses, whose flows are looked up at once.
 * Consumes them: each is forwarded, echoed, answered with port unreachable or dropped with its reason. */
void udp_flow_input_burst(struct worker *w, struct rte_mbuf **m, uint16_t n);

/* Expire idle flows, bounded. Returns how many timers fired. */
uint32_t udp_flow_timers(struct worker *w);

#endif
