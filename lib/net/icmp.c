/* SPDX-License-Identifier: BSD-3-Clause */
#include "net_int.h"

#include <netinet/in.h>

/* RFC 792 */
#define TYPE_ECHO_REPLY    0
#define TYPE_UNREACHABLE   3
#define TYPE_ECHO          8
#define TYPE_TIME_EXCEEDED 11
#define TYPE_PARAMETER     12

#define CODE_FRAG_NEEDED 4 /* RFC 1191 4: b_be is the next hop's MTU */
#define QUOTE_L4_BYTES   8 /* RFC 792: what an error quotes behind the IP header, and all we may rely on */

/* A bucket of one second's worth. Time is taken from it in whole tokens, so nothing is lost to rounding. */
static bool limit_allows(struct icmp_limit *l, uint64_t now_us) {
    if (l->per_s == 0)
        return false;
    uint64_t elapsed_us = now_us - l->last_us;
    if (elapsed_us >= 1000000) { /* also the first time */
        l->tokens = l->per_s;
        l->last_us = now_us;
    } else {
        uint64_t fresh = elapsed_us * l->per_s / 1000000;
        l->last_us += fresh * 1000000 / l->per_s;
        l->tokens = weir_min_u32(l->per_s, l->tokens + (uint32_t)fresh);
    }
    if (l->tokens == 0)
        return false;
    l->tokens--;
    return true;
}

/* Move Ethernet and IP header up over the options: an answer carries none. */
static void strip_options(struct rte_mbuf *m) {
    uint32_t options_len = m->l3_len - sizeof(struct wire_ip4);

    if (options_len == 0)
        return;
    uint8_t *frame = rte_pktmbuf_mtod(m, uint8_t *);
    memmove(frame + options_len, frame, m->l2_len + sizeof(struct wire_ip4));
    rte_pktmbuf_adj(m, (uint16_t)options_len);
    m->l3_len = sizeof(struct wire_ip4);
}

/* Headers of a frame back to where `m` came from; m starts with its Ethernet and IP header. */
static void turn_round(const struct net_if *ifc, struct rte_mbuf *m) {
    struct wire_eth *eth = net_eth(m);
    struct wire_ip4 *ip = (struct wire_ip4 *)(eth + 1);
    uint32_t us_be = ip->daddr_be;

    memcpy(eth->dst, eth->src, 6);
    memcpy(eth->src, ifc->mac, 6);
    *ip = (struct wire_ip4){.version_ihl = 0x45,
                            .total_len_be = rte_cpu_to_be_16((uint16_t)(m->pkt_len - sizeof(*eth))),
                            .id_be = ip->id_be,
                            .frag_be = RTE_BE16(WIRE_IP4_DF), /* never to be cut: any id will do (RFC 6864 4.1) */
                            .ttl = 64,
                            .proto = IPPROTO_ICMP,
                            .saddr_be = us_be,
                            .daddr_be = ip->saddr_be};
    ip->checksum_be = (uint16_t)~checksum_chain(m, sizeof(*eth), sizeof(*ip));
    net_clear_offload(m);
}

static int echo_reply(const struct net_if *ifc, struct rte_mbuf *m, struct icmp_limit *limit, uint64_t now_us) {
    if (!rope_mbuf_private(m))
        return -NET_DROP_MBUF_SHARED;
    if (m->pkt_len - m->l2_len - m->l3_len + sizeof(struct wire_ip4) > ifc->mtu)
        return -NET_DROP_ICMP_TOO_BIG;
    if (!limit_allows(limit, now_us))
        return -NET_DROP_ICMP_LIMIT;
    strip_options(m);
    turn_round(ifc, m);
    struct wire_icmp *icmp =
        rte_pktmbuf_mtod_offset(m, struct wire_icmp *, sizeof(struct wire_eth) + sizeof(struct wire_ip4));
    icmp->type = TYPE_ECHO_REPLY;
    icmp->checksum_be = 0;
    icmp->checksum_be = (uint16_t)~checksum_chain(m, sizeof(struct wire_eth) + sizeof(struct wire_ip4),
                                                  m->pkt_len - sizeof(struct wire_eth) - sizeof(struct wire_ip4));
    return NET_REPLY;
}

/* Whose packet does the error quote? Only the quote is looked at: the outer source may be any router on the way. */
static int error_input(const struct net_if *ifc, const struct rte_mbuf *m, uint32_t at, struct icmp_error *err) {
    const struct wire_icmp *icmp = rte_pktmbuf_mtod_offset(m, const struct wire_icmp *, at);
    const struct wire_ip4 *quoted = (const struct wire_ip4 *)(icmp + 1);
    uint32_t room = net_contiguous(m, at + sizeof(*icmp));

    if (room < sizeof(*quoted))
        return -NET_DROP_ICMP_SHORT;
    uint32_t header_len = (quoted->version_ihl & 15u) * 4;
    if (quoted->version_ihl >> 4 != 4 || header_len < sizeof(*quoted))
        return -NET_DROP_ICMP_QUOTE;
    if (room < header_len + QUOTE_L4_BYTES)
        return -NET_DROP_ICMP_SHORT;
    if (!net_if_owns(ifc, quoted->saddr_be) || (quoted->frag_be & RTE_BE16(WIRE_IP4_OFFSET)) != 0)
        return -NET_DROP_ICMP_QUOTE;
    if (quoted->proto != IPPROTO_TCP && quoted->proto != IPPROTO_UDP)
        return -NET_DROP_ICMP_QUOTE;

    /* TCP and UDP agree on the ports; the rest of the 8 bytes is TCP's sequence number. */
    const struct wire_tcp *l4 = (const struct wire_tcp *)((const uint8_t *)quoted + header_len);
    bool needs_frag = icmp->type == TYPE_UNREACHABLE && icmp->code == CODE_FRAG_NEEDED;
    *err = (struct icmp_error){.type = icmp->type,
                               .code = icmp->code,
                               .next_hop_mtu = needs_frag ? rte_be_to_cpu_16(icmp->b_be) : 0,
                               .local_addr_be = quoted->saddr_be,
                               .remote_addr_be = quoted->daddr_be,
                               .local_port_be = l4->sport_be,
                               .remote_port_be = l4->dport_be};
    if (quoted->proto == IPPROTO_UDP)
        return NET_TO_UDP_ERR;
    err->tcp_seq = rte_be_to_cpu_32(l4->seq_be);
    return NET_TO_TCP_ERR;
}

int icmp_input(const struct net_if *ifc, struct rte_mbuf *m, struct icmp_limit *echo, uint64_t now_us,
               struct icmp_error *err) {
    uint32_t at = m->l2_len + m->l3_len;

    if (net_contiguous(m, at) < sizeof(struct wire_icmp))
        return -NET_DROP_ICMP_SHORT;
    if (checksum_chain(m, at, m->pkt_len - at) != 0xffff)
        return -NET_DROP_ICMP_CHECKSUM;
    switch (rte_pktmbuf_mtod_offset(m, const struct wire_icmp *, at)->type) {
    case TYPE_ECHO:
        return echo_reply(ifc, m, echo, now_us);
    case TYPE_UNREACHABLE:
    case TYPE_TIME_EXCEEDED:
        return error_input(ifc, m, at, err);
    default: /* source quench too (RFC 6633 3) */
        return -NET_DROP_ICMP_TYPE;
    }
}

/* RFC 1122 3.2.2: no error about an ICMP error, a fragment other than the first, or what came by broadcast. Sources
 * that are no host's have not passed ip4_input. */
static bool may_answer(const struct rte_mbuf *m) {
    const struct wire_ip4 *ip = net_ip4(m);
    uint32_t at = m->l2_len + m->l3_len;

    if (net_mac_is_group(net_eth(m)->dst) || (ip->frag_be & RTE_BE16(WIRE_IP4_OFFSET)) != 0)
        return false;
    if (ip->proto != IPPROTO_ICMP)
        return true;
    return net_contiguous(m, at) >= 1 && *rte_pktmbuf_mtod_offset(m, const uint8_t *, at) == TYPE_ECHO;
}

int icmp_unreachable(const struct net_if *ifc, struct rte_mbuf *m, enum icmp_code code, struct icmp_limit *limit,
                     uint64_t now_us) {
    const uint32_t headers_len = sizeof(struct wire_eth) + sizeof(struct wire_ip4) + sizeof(struct wire_icmp);
    const uint32_t added_len = sizeof(struct wire_ip4) + sizeof(struct wire_icmp);

    if (!may_answer(m))
        return -NET_DROP_ICMP_UNFIT;
    if (!rope_mbuf_private(m))
        return -NET_DROP_MBUF_SHARED;
    if (rte_pktmbuf_headroom(m) < added_len)
        return -NET_DROP_NO_HEADROOM;
    if (!limit_allows(limit, now_us))
        return -NET_DROP_ICMP_LIMIT;

    net_truncate(m, weir_min_u32(m->data_len, m->l2_len + m->l3_len + QUOTE_L4_BYTES));
    /* The new headers begin as a copy of the received ones, which turn_round then turns round. */
    uint8_t *old = rte_pktmbuf_mtod(m, uint8_t *);
    uint8_t *frame = (uint8_t *)rte_pktmbuf_prepend(m, (uint16_t)added_len);
    memmove(frame, old, sizeof(struct wire_eth) + sizeof(struct wire_ip4));
    turn_round(ifc, m);
    struct wire_icmp *icmp = (struct wire_icmp *)(frame + headers_len - sizeof(*icmp));
    *icmp = (struct wire_icmp){.type = TYPE_UNREACHABLE, .code = (uint8_t)code};
    icmp->checksum_be =
        (uint16_t)~checksum_chain(m, headers_len - sizeof(*icmp), m->pkt_len - headers_len + sizeof(*icmp));
    return NET_REPLY;
}
