/* SPDX-License-Identifier: BSD-3-Clause */
#include "net_int.h"

#include <netinet/in.h>

static bool checksum_wrong(const struct rte_mbuf *m, const struct wire_udp *udp, uint16_t len) {
    uint64_t offload = m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;

    if (udp->checksum_be == 0) /* RFC 768: the sender made none */
        return false;
    if (offload != RTE_MBUF_F_RX_L4_CKSUM_UNKNOWN)
        return offload == RTE_MBUF_F_RX_L4_CKSUM_BAD;
    const struct wire_ip4 *ip = net_ip4(m);
    return checksum_l4(m, m->l2_len + m->l3_len, len, ip->saddr_be, ip->daddr_be, IPPROTO_UDP) != 0;
}

int udp_input(struct rte_mbuf *m) {
    uint32_t at = m->l2_len + m->l3_len;

    if (net_contiguous(m, at) < sizeof(struct wire_udp))
        return -NET_DROP_UDP_SHORT;
    const struct wire_udp *udp = rte_pktmbuf_mtod_offset(m, const struct wire_udp *, at);
    uint16_t len = rte_be_to_cpu_16(udp->len_be);
    if (len < sizeof(*udp) || len > m->pkt_len - at)
        return -NET_DROP_UDP_SHORT;
    if (checksum_wrong(m, udp, len))
        return -NET_DROP_UDP_CHECKSUM;
    net_truncate(m, at + len); /* bytes behind the datagram are not part of it */
    m->l4_len = sizeof(*udp);
    return NET_TO_UDP;
}

int udp_output(struct rte_mbuf *m, uint32_t saddr_be, uint32_t daddr_be, uint16_t sport_be, uint16_t dport_be,
               bool hw_cksum) {
    struct wire_udp *udp = (struct wire_udp *)rte_pktmbuf_prepend(m, sizeof(*udp));

    if (udp == NULL)
        return -NET_DROP_NO_HEADROOM;
    assert(m->pkt_len <= UINT16_MAX);
    uint16_t len = (uint16_t)m->pkt_len;
    *udp = (struct wire_udp){.sport_be = sport_be, .dport_be = dport_be, .len_be = rte_cpu_to_be_16(len)};
    m->l4_len = sizeof(*udp);
    if (hw_cksum) {
        m->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_UDP_CKSUM;
        udp->checksum_be = checksum_pseudo(saddr_be, daddr_be, IPPROTO_UDP, len); /* the NIC adds the rest */
        return 0;
    }
    uint16_t sum = checksum_l4(m, 0, len, saddr_be, daddr_be, IPPROTO_UDP);
    udp->checksum_be = sum == 0 ? 0xffff : sum; /* 0 would mean "none" */
    return 0;
}

/* RFC 1624 equation 3 over the words that change: a sum without what was there, plus what is there now. Never 0, which
 * would mean "none". */
static uint16_t carry_on(uint16_t checksum_be, const struct wire_ip4 *ip, const struct wire_udp *udp, uint32_t saddr_be,
                         uint32_t daddr_be, uint16_t sport_be, uint16_t dport_be) {
    uint64_t sum = (uint16_t)~checksum_be;

    sum += (uint64_t)(uint32_t)~ip->saddr_be + (uint32_t)~ip->daddr_be + (uint16_t)~udp->sport_be +
           (uint16_t)~udp->dport_be;
    sum += (uint64_t)saddr_be + daddr_be + sport_be + dport_be;
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    uint16_t now = (uint16_t) ~((sum & 0xffff) + (sum >> 16));
    return now == 0 ? 0xffff : now;
}

bool udp_readdress(struct rte_mbuf *m, uint32_t saddr_be, uint32_t daddr_be, uint16_t sport_be, uint16_t dport_be,
                   bool hw_ip, bool hw_udp) {
    struct wire_ip4 *ip = net_ip4(m);
    struct wire_udp *udp = rte_pktmbuf_mtod_offset(m, struct wire_udp *, m->l2_len + m->l3_len);

    bool none = udp->checksum_be == 0; /* the sender made none: nor do we, who cannot vouch for the bytes */
    if (m->nb_segs != 1 || m->l3_len != sizeof(*ip) ||
        (m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_NONE)
        return false;
    m->ol_flags &= RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;
    if (hw_udp && !none) {
        m->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_UDP_CKSUM;
        udp->checksum_be = checksum_pseudo(saddr_be, daddr_be, IPPROTO_UDP, rte_be_to_cpu_16(udp->len_be));
    } else if (!none) {
        udp->checksum_be = carry_on(udp->checksum_be, ip, udp, saddr_be, daddr_be, sport_be, dport_be);
    }
    udp->sport_be = sport_be;
    udp->dport_be = dport_be;
    ip->saddr_be = saddr_be;
    ip->daddr_be = daddr_be;
    ip->total_len_be = rte_cpu_to_be_16((uint16_t)(m->pkt_len - m->l2_len));
    ip->id_be = 0;
    ip->frag_be = RTE_BE16(WIRE_IP4_DF);
    ip->ttl = NET_IP4_TTL;
    ip->tos = 0;
    net_ip4_checksum(m, ip, hw_ip);
    return true;
}
