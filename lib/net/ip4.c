/* SPDX-License-Identifier: BSD-3-Clause */
/* The order of the checks: first what keeps later reads inside the packet (RFC 791 3.1, RFC 1122 3.2.1), then the
 * checksum, then who speaks to whom (RFC 1122 3.2.1.3, RFC 1812 5.3.7). */
#include "net_int.h"

#include "../base/span.h"

#include <netinet/in.h>

/* RFC 791 3.1 */
#define OPTION_END  0
#define OPTION_NOP  1
#define OPTION_LSRR 131
#define OPTION_SSRR 137

/* Options are skipped, but they must be well formed, and source routing is refused (RFC 7126 4.3, 4.4). */
static int check_options(const uint8_t *options, uint32_t len) {
    struct span s = span_of(options, len);

    while (span_left(&s) > 0) {
        uint8_t type = span_u8(&s);
        if (type == OPTION_END)
            return 0;
        if (type == OPTION_NOP)
            continue;
        if (type == OPTION_LSRR || type == OPTION_SSRR)
            return -NET_DROP_IP4_SOURCE_ROUTE;
        uint8_t option_len = span_u8(&s); /* counts type and length */
        if (s.failed || option_len < 2)
            return -NET_DROP_IP4_OPTION;
        span_skip(&s, option_len - 2u);
        if (s.failed)
            return -NET_DROP_IP4_OPTION;
    }
    return 0;
}

/* Folded sum of a header without options, which nearly all have: five words, no loop. */
static uint16_t header_sum(const struct wire_ip4 *ip) {
    uint32_t words[sizeof(*ip) / 4];

    memcpy(words, ip, sizeof(*ip));
    uint64_t sum = (uint64_t)words[0] + words[1] + words[2] + words[3] + words[4];
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

static bool checksum_wrong(const struct rte_mbuf *m, uint32_t header_len) {
    uint64_t offload = m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;

    if (offload != RTE_MBUF_F_RX_IP_CKSUM_UNKNOWN)
        return offload == RTE_MBUF_F_RX_IP_CKSUM_BAD;
    if (WEIR_LIKELY(header_len == sizeof(struct wire_ip4)))
        return header_sum(net_ip4(m)) != 0xffff;
    return checksum_chain(m, m->l2_len, header_len) != 0xffff;
}

static int check_addresses(const struct net_if *ifc, const struct rte_mbuf *m, const struct wire_ip4 *ip) {
    enum net_peer source = net_if_peer(ifc, ip->saddr_be);
    if (WEIR_UNLIKELY(source >= NET_PEER_SELF))
        return source == NET_PEER_SELF ? -NET_DROP_IP4_LAND : -NET_DROP_IP4_SOURCE;
    if (WEIR_UNLIKELY(!net_if_owns(ifc, ip->daddr_be)))
        return -NET_DROP_IP4_NOT_OURS;
    if (WEIR_UNLIKELY(net_mac_is_group(net_eth(m)->dst))) /* RFC 1122 3.3.6: unicast in a broadcast frame */
        return -NET_DROP_IP4_NOT_OURS;
    return 0;
}

int ip4_input(const struct net_if *ifc, struct rte_mbuf *m) {
    uint32_t room = net_contiguous(m, m->l2_len);
    const struct wire_ip4 *ip = net_ip4(m);
    int rc;

    if (WEIR_UNLIKELY(room < sizeof(*ip)))
        return -NET_DROP_IP4_SHORT;
    if (WEIR_UNLIKELY(ip->version_ihl >> 4 != 4))
        return -NET_DROP_IP4_VERSION;
    uint32_t header_len = (ip->version_ihl & 15u) * 4;
    if (WEIR_UNLIKELY(header_len < sizeof(*ip) || header_len > room))
        return -NET_DROP_IP4_IHL;
    uint32_t total_len = rte_be_to_cpu_16(ip->total_len_be);
    if (WEIR_UNLIKELY(total_len < header_len || total_len > m->pkt_len - m->l2_len))
        return -NET_DROP_IP4_LENGTH;
    if (WEIR_UNLIKELY(checksum_wrong(m, header_len)))
        return -NET_DROP_IP4_CHECKSUM;
    if ((rc = check_addresses(ifc, m, ip)) < 0)
        return rc;
    if (WEIR_UNLIKELY(ip->ttl == 0))
        return -NET_DROP_IP4_TTL;
    if (WEIR_UNLIKELY(header_len > sizeof(*ip))) {
        if ((rc = check_options((const uint8_t *)(ip + 1), header_len - sizeof(*ip))) < 0)
            return rc;
    }
    net_truncate(m, m->l2_len + total_len);
    m->l3_len = header_len;
    if (WEIR_UNLIKELY(ip->frag_be & RTE_BE16(WIRE_IP4_MF | WIRE_IP4_OFFSET)))
        return NET_TO_FRAG;
    switch (ip->proto) {
    case IPPROTO_TCP:
        return NET_TO_TCP;
    case IPPROTO_UDP:
        return NET_TO_UDP;
    case IPPROTO_ICMP:
        return NET_TO_ICMP;
    default:
        return -NET_DROP_IP4_PROTOCOL;
    }
}

void net_ip4_checksum(struct rte_mbuf *m, struct wire_ip4 *ip, bool hw_cksum) {
    ip->checksum_be = 0;
    if (hw_cksum)
        m->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
    else
        ip->checksum_be = (uint16_t)~header_sum(ip);
}

int ip4_output(struct rte_mbuf *m, uint32_t saddr_be, uint32_t daddr_be, uint8_t proto, uint8_t tos, bool hw_cksum) {
    struct wire_ip4 *ip = (struct wire_ip4 *)rte_pktmbuf_prepend(m, sizeof(*ip));

    if (WEIR_UNLIKELY(ip == NULL))
        return -NET_DROP_NO_HEADROOM;
    assert(m->pkt_len <= UINT16_MAX);
    *ip = (struct wire_ip4){.version_ihl = 0x45,
                            .tos = tos,
                            .total_len_be = rte_cpu_to_be_16((uint16_t)m->pkt_len),
                            .frag_be = RTE_BE16(WIRE_IP4_DF),
                            .ttl = NET_IP4_TTL,
                            .proto = proto,
                            .saddr_be = saddr_be,
                            .daddr_be = daddr_be};
    m->l2_len = sizeof(struct wire_eth);
    m->l3_len = sizeof(*ip);
    net_ip4_checksum(m, ip, hw_cksum);
    return 0;
}

void ip4_allow_fragments(struct rte_mbuf *m, uint16_t id, bool hw_cksum) {
    struct wire_ip4 *ip = rte_pktmbuf_mtod(m, struct wire_ip4 *);

    ip->id_be = rte_cpu_to_be_16(id);
    ip->frag_be = 0;
    net_ip4_checksum(m, ip, hw_cksum);
}
