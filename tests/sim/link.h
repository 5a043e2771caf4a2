/* SPDX-License-Identifier: BSD-3-Clause */
/* One direction of a wire between two stacks that live in one process. Packets go in as the sender's mbufs and come out
 * as private deep copies from the receiver's pool, as from a NIC; in between lie loss, duplication, reordering, bit
 * errors, delay, bandwidth and a bounded queue, all drawn from a seed and timed by the caller's virtual clock.
 *
 * The wire is also the sender's NIC: it fills in the checksums that ol_flags ask for, cuts large segments
 * where it can (tso.h), and with hold_tx keeps the sender's mbufs until the packet is delivered, then checks that
 * nobody wrote into them meanwhile (`mutated`).
 *
 * Bit errors stay within one byte of the IP packet, which the Internet checksum always notices: a corrupted packet that
 * gets through to a reader is the receiver's fault, never chance. Nothing here is shared between threads. */
#ifndef WEIR_SIM_LINK_H
#define WEIR_SIM_LINK_H

#include "rng.h"

#include <rte_mbuf.h>

#define SIM_LINK_NEVER UINT64_MAX

struct sim_link_config {
    uint32_t loss_ppm, dup_ppm, reorder_ppm, corrupt_ppm; /* a packet's chances, in a million */
    uint32_t mark_ppm;                                    /* to be marked CE, where it is ECN-capable (RFC 3168 5) */
    uint32_t delay_us;                                    /* one way */
    uint32_t reorder_us;                                  /* a reordered or doubled packet is late by up to so much */
    uint64_t bytes_per_s;                                 /* 0: no limit */
    uint32_t queue_bytes;                                 /* tail drop beyond it; needs bytes_per_s; 0: no limit */
    uint16_t l2_len_bytes;                                /* 0: bare IPv4 packets; 14: Ethernet frames */
    bool hold_tx;                                         /* a slow NIC: free the sender's mbufs on delivery only */
    bool single_seg;                                      /* a chain of mbufs is malformed here */
};

struct sim_link_stats {
    uint64_t sent, delivered, lost, queue_full, duplicated, reordered, corrupted, filtered, marked;
    uint64_t cut;       /* large segments; `sent` counts their parts */
    uint64_t no_mbuf;   /* lost because the receiver's pool was empty, or the one for cutting */
    uint64_t malformed; /* inconsistent mbuf, chained where single_seg, not to be cut: an error of the sender */
    uint64_t mutated;   /* written to between send and delivery: an error of the sender */
};

/* Sees each packet (IP header onwards) as it is sent, complete with checksums, and may rewrite it as a middlebox would;
 * false: it is lost (`filtered`). */
typedef bool (*sim_link_tap)(void *context, uint8_t *packet, uint32_t len_bytes);

struct sim_link;

struct sim_link *sim_link_new(const struct sim_link_config *config, uint64_t seed);
void sim_link_free(struct sim_link *l); /* and all that is under way */

/* Change the wire from now on; what is under way is not touched. */
void sim_link_configure(struct sim_link *l, const struct sim_link_config *config);
void sim_link_set_tap(struct sim_link *l, sim_link_tap tap, void *context);

/* The device cuts large segments from now on, with mbufs of this pool (RTE_PKTMBUF_HEADROOM and 128 bytes are enough).
 */
void sim_link_set_tso(struct sim_link *l, struct rte_mempool *pool);

/* Send. The link owns the mbufs from here on. */
void sim_link_send(struct sim_link *l, struct rte_mbuf **m, uint16_t n, uint64_t now_us);

/* Put raw bytes on the wire, as a stranger on the path would: no chance, no tap, delivered at `due_us`. */
void sim_link_inject(struct sim_link *l, const void *packet, uint32_t len_bytes, uint64_t due_us);

/* What has arrived by now, at most `max`: linear mbufs of `pool`, m->port = port, l2_len and (bare IPv4) l3_len set, no
 * checksum status. */
uint16_t sim_link_receive(struct sim_link *l, struct rte_mempool *pool, uint16_t port, uint64_t now_us,
                          struct rte_mbuf **out, uint16_t max);

/* Show each of the sender's mbufs that the wire holds (a chain each); with hold_tx. */
void sim_link_walk(const struct sim_link *l, void (*visit)(void *context, const struct rte_mbuf *m), void *context);

/* When the next packet arrives, or SIM_LINK_NEVER. */
uint64_t sim_link_next_us(const struct sim_link *l);

const struct sim_link_stats *sim_link_stats(const struct sim_link *l);

/* Internet checksum of `len_bytes`, on top of `sum` (not inverted); the simulation's own, to check the product's. */
uint32_t sim_sum(const uint8_t *bytes, uint32_t len_bytes, uint32_t sum);
uint16_t sim_fold(uint32_t sum); /* folded, inverted, host order */

#endif
