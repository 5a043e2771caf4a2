/* SPDX-License-Identifier: BSD-3-Clause */
/* Probes of servers that are down, from the data path: a TCP connection of the worker's own, and for MQTT pools CONNECT
 * and CONNACK on it. Each worker probes for itself: its failures took the server out, its probes bring it back. */
#ifndef WEIR_HEALTH_H
#define WEIR_HEALTH_H

#include "worker.h"

struct probe {
    tcp_id flow;
    uint16_t pool, server, source_port_be;
    uint32_t source_addr_be;
};

/* Start probes that are due, end those that took too long. Once a turn; looks only every 50 ms. */
void health_turn(struct worker *w);
/* News of a probe's flow. */
void health_event(struct worker *w, uint32_t index, uint8_t events);

#endif
