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
    struct flow_key client; /* remote: client, local: listener; entry 2i of the table for flow i */
    struct flow_key server; /* remote: server, local: our source; entry 2i + 1 */
    uint32_t last_ms;
    uint16_t listener, pool, server_index;
    uint8_t client_port, server_port;
};
static_assert(sizeof(struct udp_flow) <= 64, "one cache line");
static_assert(offsetof(struct udp_flow, server) == offsetof(struct udp_flow, client) + sizeof(struct flow_key),
              "the table looks for both keys in a row");
#define UDP_FLOW_KEYS 2u

struct udp_flows {
    struct pool flows;
    struct flow_table table;
    struct timer_wheel wheel;
    struct listener_map listeners;
    uint32_t idle_ms;
};

int udp_flows_init(struct udp_flows *u, uint32_t capacity, uint32_t idle_ms, uint64_t secret, uint64_t now_us);
void udp_flows_fini(struct udp_flows *u);

#define UDP_BURST FLOW_TABLE_BURST

/* At most UDP_BURST valid datagrams (l2, l3, l4 lengths set) to our addresses, whose flows are looked up at once.
 * Consumes them: each is forwarded, echoed, answered with port unreachable or dropped with its reason. */
void udp_flow_input_burst(struct worker *w, struct rte_mbuf **m, uint16_t n);

/* Expire idle flows, bounded. Returns how many timers fired. */
uint32_t udp_flow_timers(struct worker *w);

#endif
