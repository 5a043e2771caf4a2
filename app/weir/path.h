/* SPDX-License-Identifier: BSD-3-Clause */
/* A PACKET'S LIFE, from rx burst to tx burst. The only place that frees a discarded packet, beside its counter.
 *
 *   path_receive:   rings from other workers, then each port's rx burst
 *                   -> path_eth -> arp | ip4 -> (reassemble) -> steer: ours, or handoff_packet
 *                   -> icmp | udp_flow | a batch for tcp
 *   path_transmit:  tcp_output, ARP's own frames
 *                   -> route -> resolve -> Ethernet header -> pending array -> tx burst
 *
 * m->port is the weir port's index from here on, not the ethdev's. */
#ifndef WEIR_PATH_H
#define WEIR_PATH_H

#include "worker.h"

/* Take what has arrived, at most one burst a port and a bounded number from each ring. Returns packets taken. */
uint32_t path_receive(struct worker *w);

/* Send what is due. Returns packets sent. */
uint32_t path_transmit(struct worker *w);

/* An IPv4 packet without Ethernet header leaves by `port` (route, resolve, queue). The worker owns m afterwards. */
void path_send_ip(struct worker *w, uint16_t port, struct rte_mbuf *m);

/* A whole frame leaves by `port`: into the pending array. */
void path_send_frame(struct worker *w, uint16_t port, struct rte_mbuf *m);

/* Discard: count and free. reason: enum net_drop. */
void path_drop(struct worker *w, struct rte_mbuf *m, enum net_drop reason);

/* Discard a packet that is for us but for nobody here: counted, and answered with destination unreachable of this code
 * (icmp_unreachable) within the limit. */
void path_refuse(struct worker *w, struct rte_mbuf *m, enum icmp_code code, enum net_drop reason);

/* Frames the port takes before its pending array is full. */
static inline uint16_t path_tx_room(const struct worker_port *p) {
    return (uint16_t)(WEIR_TX_PENDING - p->n_pending);
}

#endif
