/* SPDX-License-Identifier: BSD-3-Clause */
#include "tso.h"

#include "link.h"

#include <errno.h>
#include <rte_ethdev.h>
#include <rte_gso.h>
#include <string.h>

#define ASKED (RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_SEG)
/* SYN, RST, URG, CWR: the parts would repeat them, or lose their meaning (RFC 3168 6.1.2 for CWR). */
#define FLAGS_ON_ALL 0xa6

static uint16_t get_u16(const uint8_t *p) {
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void put_u16(uint8_t *p, uint16_t value) {
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

/* Not inverted: a sum that more is still added to. */
static uint16_t folded(uint32_t sum) {
    return sim_fold(sum) ^ UINT16_MAX;
}

/* What the device is told agrees with what the headers say, and the checksums are as it wants them: zero in IP, the
 * pseudo-header without its length in TCP. */
static bool is_fit(const struct rte_mbuf *m, uint16_t l2_len) {
    uint32_t headers = l2_len + m->l3_len + m->l4_len;
    const uint8_t *ip = rte_pktmbuf_mtod_offset(m, const uint8_t *, l2_len), *tcp = ip + m->l3_len;
    return (m->ol_flags & ASKED) == ASKED && m->l3_len >= 20 && m->l4_len >= 20 && m->data_len >= headers &&
           m->tso_segsz && m->pkt_len > headers + m->tso_segsz && m->l3_len == (ip[0] & 15u) * 4 &&
           m->l4_len == (tcp[12] >> 4) * 4u && get_u16(ip + 2) == m->pkt_len - l2_len && get_u16(ip + 10) == 0 &&
           !(tcp[13] & FLAGS_ON_ALL) && get_u16(tcp + 16) == folded(sim_sum(ip + 12, 8, ip[9]));
}

static void finish(struct rte_mbuf *part, uint16_t l2_len) {
    uint8_t *sum = rte_pktmbuf_mtod_offset(part, uint8_t *, l2_len + part->l3_len + 16);
    put_u16(sum, folded(get_u16(sum) + part->pkt_len - l2_len - part->l3_len));
    part->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM;
}

int sim_tso_cut(struct rte_mbuf *m, uint16_t l2_len, struct rte_mempool *pool, struct rte_mbuf *parts[SIM_TSO_PARTS]) {
    if (!is_fit(m, l2_len))
        return -EINVAL;
    struct rte_gso_ctx context = {.direct_pool = pool,
                                  .indirect_pool = pool,
                                  .gso_types = RTE_ETH_TX_OFFLOAD_TCP_TSO,
                                  .gso_size = (uint16_t)(l2_len + m->l3_len + m->l4_len + m->tso_segsz)};
    m->l2_len = l2_len;
    int n = rte_gso_segment(m, &context, parts, SIM_TSO_PARTS);
    if (n < 2)
        return n < 0 ? n : -EINVAL;
    for (int i = 0; i < n; i++)
        finish(parts[i], l2_len);
    rte_pktmbuf_free(m); /* the parts keep what they share of it */
    return n;
}
