/* SPDX-License-Identifier: BSD-3-Clause */
/* One real struct worker over two net_ring ports, in one thread and on a clock of its own: whoever drives it puts
 * frames into the rings, calls rig_turn, and takes what came out. Only the turn is measured.
 *
 *   rig.c      EAL, devices, certificate, configuration, worker
 *   meter.h    what a turn costs: TSC ticks, or instructions under callgrind
 *   host.c     a host at the far end, on lib/net and lib/tcp
 *   ends.c     clients (libssl) and brokers on two such hosts, and messages between them
 *   eal.c, options.c   start, command line
 *   report.c   repetitions, least and median, a table's line and a CSV line
 *
 *   floor.c    the same frames through testpmd-like forwarding (forward.c) and through weir
 *   message.c  MQTT messages, bulk and echo through a worker; raw.c: IPsec-MB alone
 *   memif.c    frames over a pair of memif ports: what the link alone takes
 *
 * As behind a NIC: a frame is given to the worker in one fresh mbuf of its own port's pool, checksums marked good (or
 * left to software); what it sends is copied away and freed at once. Addresses: weir is 198.18.0.1 (front) and
 * 198.18.1.1 (back), clients are 198.18.0.10, the broker is 198.18.1.20. */
#ifndef WEIR_RIG_H
#define WEIR_RIG_H

#include "meter.h"

#include "weir/memory_plan.h"
#include "weir/worker.h"

#define RIG_FRONT 0
#define RIG_BACK  1
#define RIG_PORTS 2

#define RIG_ADDR(net, host) RTE_BE32((198u << 24) | (18u << 16) | ((uint32_t)(net) << 8) | (uint32_t)(host))
#define RIG_CLIENT          RIG_ADDR(0, 10)
#define RIG_BROKER          RIG_ADDR(1, 20)

enum rig_listener { RIG_MQTT = 1883, RIG_MQTTS = 8883, RIG_TCP = 9000, RIG_TCPS = 9443, RIG_ECHO = 7, RIG_UDP = 9001 };

struct rig_options {
    uint32_t connections;    /* proxied pairs at most */
    bool software_checksums; /* no offload either way */
};

struct rig {
    struct rig_options options;
    struct config *config;
    struct memory_plan plan;
    struct weir weir;
    struct worker *worker;
    uint64_t now_us;
    struct meter meter; /* of turns */
    struct rte_ring *rx[RIG_PORTS], *tx[RIG_PORTS];
    struct rte_mempool *pool[RIG_PORTS]; /* the worker's own, as its ports fill it */
    uint16_t eth_port[RIG_PORTS];
};

/* EAL, devices and the worker. Says what failed and ends the program: there is nothing to measure then. */
void rig_open(struct rig *r, const struct rig_options *options);
void rig_close(struct rig *r);

/* One measured turn. */
static inline uint32_t rig_turn(struct rig *r) {
    meter_on(&r->meter);
    uint32_t work = worker_turn(r->worker, r->now_us);
    meter_off(&r->meter);
    return work;
}

/* Give the worker a frame on `port`: a copy of the chain m, which stays the caller's. */
void rig_put(struct rig *r, unsigned port, const struct rte_mbuf *m);
/* Frames that the worker sent on `port`, at most max: copies out of `pool`, as a NIC would deliver them. */
uint16_t rig_take(struct rig *r, unsigned port, struct rte_mempool *pool, struct rte_mbuf **out, uint16_t max);

/* End the program because a flow ended (`how`), with the reasons the worker counted. */
_Noreturn void rig_explain(const struct rig *r, const char *how);
/* End the program: perf: `what`. */
_Noreturn void rig_fail(const char *what);

#endif
