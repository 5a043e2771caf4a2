/* SPDX-License-Identifier: BSD-3-Clause */
/* One mbuf pool a (port, worker).
 *
 * net_af_xdp registers "number of objects x object size" bytes from the pool's start as UMEM. DPDK's own populate keeps
 * objects off page boundaries and so leaves gaps: without huge pages 40% of the mbufs then lie outside the UMEM, and
 * the kernel drops their frames without a word. So pools here are packed: one piece of memory, object after object. */
#ifndef WEIR_MBUF_POOLS_H
#define WEIR_MBUF_POOLS_H

#include "base/base.h"

#include <rte_mbuf.h>

/* Bytes of data room (headroom included) in which a received frame of `mtu` stays one segment. AF_XDP's kernel side
 * takes 256 more bytes in front of each frame. */
uint16_t mbuf_pool_room(uint16_t mtu, bool af_xdp);

/* Bytes of one mbuf with that room in a packed pool. */
uint32_t mbuf_pool_object_bytes(uint16_t room_bytes);

/* A pool of n mbufs, packed where addresses for devices are virtual ones (rte_eal_iova_mode), else as DPDK lays it out.
 * name: unique, at most 24 characters. NULL: no memory (rte_errno). Free with rte_mempool_free. */
struct rte_mempool *mbuf_pool_new(const char *name, uint32_t n, uint32_t cache, uint16_t room_bytes, int socket_id);

#endif
