/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets of one port into a pcapng file, as `weirctl capture` asks for.
 *
 * Control starts, drains and stops; workers copy. A worker copies at most `snaplen` bytes into a pool of the capture's
 * own and puts the copy on its ring; where pool or ring is full, the packet goes uncaptured and is counted. It never
 * waits, and what it captures is the packet as it is there: frames on their way out may still lack the checksums that
 * the device fills in.
 *
 * rte_pcapng writes the file, but the packets' blocks are made here: rte_pcapng_copy keeps its clock in a global that
 * several workers would tear, and gives the padding for payload.
 *
 * Lifetime: control publishes the pointer to the workers, takes it back, waits until every worker has passed a
 * quiescent state, and then calls capture_stop. */
#ifndef WEIR_CAPTURE_H
#define WEIR_CAPTURE_H

#include "base/base.h"
#include "port.h"

#define CAPTURE_RING    1024u /* copies a worker may be ahead of control */
#define CAPTURE_SNAPLEN 9216u /* at most, and the default */

struct capture;

struct capture_options {
    const struct port *port;
    const char *path;     /* made or overwritten, 0600; not through a symbolic link */
    uint64_t max_packets; /* > 0: the capture ends by itself after so many */
    uint32_t snaplen;     /* bytes of each packet; 0 or more than CAPTURE_SNAPLEN: CAPTURE_SNAPLEN */
    uint16_t n_workers;
};

struct capture_stats {
    uint64_t written, dropped; /* packets; dropped: pool or ring was full */
};

/* now_us: this moment on the workers' clock. Returns 0, or WEIR_EEXIST (one runs on this port), WEIR_ENOMEM, WEIR_EIO
 * (the file), with `error` filled. */
int capture_start(struct capture **out, const struct capture_options *options, uint64_t now_us, char *error,
                  size_t error_bytes);

/* Worker `worker`: a packet received (rx) or about to be sent. m stays the caller's. */
void capture_packet(struct capture *c, unsigned worker, const struct rte_mbuf *m, bool rx, uint64_t now_us);

/* Control, every few milliseconds: write what has come, in the order of time. Returns the number of packets written (at
 * most CAPTURE_RING, so that control goes on with its other work), or WEIR_EIO (errno): the file takes no more. */
int capture_drain(struct capture *c);

/* max_packets are written, or the file takes no more. */
bool capture_done(const struct capture *c);

void capture_stats(const struct capture *c, struct capture_stats *s);

/* Control, when no worker knows c any more: write the rest, close the file, free all. */
void capture_stop(struct capture *c);

#endif
