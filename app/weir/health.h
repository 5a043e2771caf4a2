/* SPDX-License-Identifier: BSD-3-Clause */
/* Probes of servers that are down, from the data path: a TCP connection of the worker's own, where the pool has it a
 * whole TLS handshake (never a resumed one: the certificate is what is asked for), and for MQTT pools CONNECT and
 * CONNACK on it. Each worker probes for itself: its failures took the server out, its probes bring it back. */
#ifndef WEIR_HEALTH_H
#define WEIR_HEALTH_H

#include "worker.h"

struct probe {
    tcp_id flow;
    tls_id tls;        /* 0: none, or not yet */
    struct rope plain; /* what TLS opened */
    uint16_t pool, server, source_port_be;
    uint32_t source_addr_be;
};

/* Start probes that are due, end those that took too long. Once a turn; looks only every 50 ms. */
void health_turn(struct worker *w);
/* News of a probe's flow. */
void health_event(struct worker *w, uint32_t index, uint8_t events);
/* News of its TLS. */
void health_tls(struct worker *w, uint32_t index);

#endif
