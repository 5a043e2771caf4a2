/* SPDX-License-Identifier: BSD-3-Clause */
/* Fixed sizes of the program: arrays held by value are bounded by these. */
#ifndef WEIR_LIMITS_H
#define WEIR_LIMITS_H

#define WEIR_MAX_PORTS     16
#define WEIR_MAX_WORKERS   32
#define WEIR_MAX_HANDSHAKE 16
#define WEIR_MAX_LISTENERS 64
#define WEIR_MAX_POOLS     32
#define WEIR_MAX_TLS       32

#define HEALTH_MAX_PROBES 64

#define WEIR_TCP_BUF_MAX (1u << 20) /* bytes a flow may grow to each way, within the budget of mbufs */

#define WEIR_RX_BURST   32
#define WEIR_TX_PENDING 256  /* frames a port's pending array holds when the PMD takes fewer than offered */
#define WEIR_RING_SIZE  1024 /* hand-off and return rings, per ordered pair of workers */

#endif
