/* SPDX-License-Identifier: BSD-3-Clause */
/* A device that cuts large segments itself (RTE_MBUF_F_TX_TCP_SEG). DPDK's librte_gso does the cutting, which shares no
 * code with lib/tcp: what it makes of our headers is what a NIC would. It leaves the checksums to its caller; here
 * each part is marked for RTE_MBUF_F_TX_TCP_CKSUM, with the length that the stack has left out put into its sum. */
#ifndef WEIR_SIM_TSO_H
#define WEIR_SIM_TSO_H

#include <rte_mbuf.h>

#define SIM_TSO_PARTS 4096u /* of one segment, however small they are */

/* Cut `m`, whose IPv4 header stands l2_len bytes into it. Headers and references come from `pool`. Returns how many
 * parts were made; `m` is gone then. Else it is the caller's still:
 *   -EINVAL   the segment is not what a device may be given (rte_mbuf_core.h, RTE_MBUF_F_TX_TCP_SEG)
 *   -ENOMEM   the pool is empty */
int sim_tso_cut(struct rte_mbuf *m, uint16_t l2_len, struct rte_mempool *pool, struct rte_mbuf *parts[SIM_TSO_PARTS]);

#endif
