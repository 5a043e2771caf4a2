/* SPDX-License-Identifier: BSD-3-Clause */
/* What testpmd's 5tswap does to a burst: the least that a program on DPDK does to answer packets. */
#ifndef WEIR_PERF_FORWARD_H
#define WEIR_PERF_FORWARD_H

#include <stdint.h>

#define FORWARD_BURST 32

/* One burst from a port's queue 0: MACs, addresses and ports of each packet swapped, sent out of another's (or the same
 * one's) queue 0; what the device does not take is freed. Returns how many were received. */
uint16_t forward_burst(uint16_t from_port, uint16_t to_port);

#endif
