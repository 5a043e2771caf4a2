/* SPDX-License-Identifier: BSD-3-Clause */
/* Between workers: packets of flows another worker owns, copies of ARP replies, and frames that leave by another
 * worker's queue. SPSC rte_ring per ordered pair; a full ring is a counted drop, never a wait. */
#ifndef WEIR_HANDOFF_H
#define WEIR_HANDOFF_H

#include "worker.h"

/* Worker that owns this tuple as received. */
static inline uint16_t handoff_owner(const struct worker *w, uint32_t saddr_be, uint32_t daddr_be, uint16_t sport_be,
                                     uint16_t dport_be) {
    const struct steer *s = &w->weir->steer;
    return s->n_workers == 1 ? 0 : steer_owner(s, steer_hash4(s, saddr_be, daddr_be, sport_be, dport_be));
}
static inline uint16_t handoff_owner2(const struct worker *w, uint32_t saddr_be, uint32_t daddr_be) {
    const struct steer *s = &w->weir->steer;
    return s->n_workers == 1 ? 0 : steer_owner(s, steer_hash2(s, saddr_be, daddr_be));
}

/* Pass a validated packet to its owner; counted and dropped where its ring is full. */
void handoff_packet(struct worker *w, uint16_t to, struct rte_mbuf *m);

/* Tell every other worker about an ARP reply: a copy each. m stays the caller's. */
void handoff_arp(struct worker *w, const struct rte_mbuf *m);

/* Take what others passed on. Returns how many were written to `out` (at most max). */
uint32_t handoff_receive(struct worker *w, struct rte_mbuf **out, uint32_t max);

/* Frames for another worker's queue: taken as far as the ring has room. Returns how many. */
uint16_t handoff_transmit(struct worker *w, uint16_t to, struct rte_mbuf **frames, uint16_t n);

/* Send what queue-less workers returned. Returns how many. */
uint32_t handoff_returns(struct worker *w);

#endif
