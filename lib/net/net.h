/* SPDX-License-Identifier: BSD-3-Clause */
/* lib/net: Ethernet, ARP, IPv4, ICMP and UDP, one protocol a file. Stateless but for the ARP table and reassembly.
 *
 * A received packet's route (path.c drives it):
 *   eth_input -> NET_TO_ARP  -> arp_input  -> NET_REPLY | NET_DONE
 *             -> NET_TO_IP4  -> ip4_input  -> NET_TO_ICMP -> icmp_input -> NET_REPLY | NET_TO_TCP_ERR | NET_DONE
 *                                          -> NET_TO_UDP  -> udp_input  -> NET_TO_UDP (valid)
 *                                          -> NET_TO_TCP  (lib/tcp)
 *                                          -> NET_TO_FRAG -> ip4_reassemble -> NET_HELD | NET_TO_IP4 (again, whole)
 *
 * Verdicts: every input function returns an enum net_verdict (>= 0) or minus an enum net_drop (< 0). No function here
 * frees a discarded packet or counts it: path.c does both, in one place. NET_HELD means the module kept the mbuf.
 *
 * Packet layout: the Ethernet header stays in place; m->l2_len and m->l3_len are set on the way in, pkt_len is trimmed
 * to l2_len + the IP total length (padding goes). Headers are contiguous in the first segment (else NET_DROP_ETH_SHORT
 * / IP4_SHORT ...): single-segment RX buffers hold every frame up to the MTU.
 *
 * Checksums on input: verified in software only where the PMD says UNKNOWN; BAD is dropped; GOOD and NONE pass.
 * RFC 826 (ARP), RFC 5227 (gratuitous), RFC 791, 1122, 1812 5.3.7 (martians), RFC 792, RFC 768, RFC 5722 (overlaps).
 *
 * Answers in place (NET_REPLY): only where the first segment's buffer is private (rope_mbuf_private), else
 * -NET_DROP_MBUF_SHARED. Their checksums are complete; ol_flags is 0.
 *
 * Limits: IPv4 only; no VLAN tags (dropped, counted); packets are sent with DF and never cut, but by routers
 * whose path takes less than TCP's floor (ip4_allow_fragments). */
#ifndef WEIR_NET_H
#define WEIR_NET_H

#include "../base/base.h"
#include "wire.h"

#include <rte_byteorder.h>
#include <rte_mbuf.h>

enum net_verdict {
    NET_DONE,  /* taken note of; the caller frees it, it is no drop */
    NET_HELD,  /* the module owns the mbuf now */
    NET_REPLY, /* rewritten in place into a full Ethernet frame to send out of the port it came from */
    NET_TO_ARP,
    NET_TO_IP4,
    NET_TO_ICMP,
    NET_TO_UDP,
    NET_TO_TCP,
    NET_TO_FRAG,
    NET_TO_TCP_ERR, /* an ICMP error about a TCP segment of ours: struct icmp_error is filled */
    NET_TO_UDP_ERR,
};

enum net_drop {
    NET_DROP_NONE,
#define X(name, text) NET_DROP_##name,
#include "net_drops.def"
#undef X
    NET_DROP_COUNT
};

/* "ip4_bad_checksum" and the sentence behind it; static storage. */
const char *net_drop_name(enum net_drop d);
const char *net_drop_text(enum net_drop d);

#define NET_IF_ADDRS 32

/* One port as the network layer sees it. Filled by app/weir/port.c; read only afterwards. */
struct net_if {
    uint8_t mac[6];
    uint16_t mtu;
    uint8_t n_addrs;
    struct {
        uint32_t addr_be, mask_be;
    } addrs[NET_IF_ADDRS];
    uint32_t gateway_be; /* 0: none */
    uint8_t gateway_mac[6];
    bool gateway_pinned; /* gateway_mac is its address: no ARP for it (arp_pin) */
};

/* Is `addr_be` an address of the interface? */
bool net_if_owns(const struct net_if *ifc, uint32_t addr_be);

/* Next hop towards `daddr_be`: itself when on-link (in a subnet of the interface), else the gateway. 0: unreachable. */
uint32_t net_if_next_hop(const struct net_if *ifc, uint32_t daddr_be);

/* --- eth.c --- destination must be our MAC or broadcast; type ARP or IPv4. */
int eth_input(const struct net_if *ifc, struct rte_mbuf *m);
/* Prepend an Ethernet header (ETHER_TYPE_IPV4). Returns 0 or -NET_DROP_NO_HEADROOM. */
int eth_output(const struct net_if *ifc, struct rte_mbuf *m, const uint8_t dst_mac[6]);

/* --- arp.c --- */
#define ARP_TABLE_ENTRIES   1024        /* the least recently used one without open question or packets makes room */
#define ARP_UNANSWERED      512         /* of those, for addresses that have not answered: the longest asked for goes */
#define ARP_QUESTIONS_S     10000       /* broadcasts a second, */
#define ARP_QUESTIONS_BURST 2000        /* and at once */
#define ARP_WAITING_PACKETS 16          /* per unresolved address */
#define ARP_WAITING_TOTAL   512         /* over all addresses: an ARP flood must not drain the mbuf pool */
#define ARP_REACHABLE_US    60000000ull /* then asked again on use, while still used (unicast first) */
#define ARP_RETRY_US        1000000ull
#define ARP_TRIES           3
#define ARP_NEGATIVE_US     5000000ull /* after ARP_TRIES without an answer packets are refused for so long */

struct arp_table;                                                 /* one per worker and port */
struct arp_table *arp_table_new(const char *name, int socket_id); /* NULL: no memory */
void arp_table_free(struct arp_table *t);                         /* frees waiting packets */
/* From here on addr_be has this MAC, whatever anybody says. For a table just made. */
void arp_pin(struct arp_table *t, uint32_t addr_be, const uint8_t mac[6]);

/* Request for one of our addresses -> NET_REPLY. Reply to a question of ours -> entry set, waiting packets become ready
 * (arp_poll), NET_DONE. Unasked-for replies never overwrite a live entry: -NET_DROP_ARP_UNSOLICITED. */
int arp_input(struct arp_table *t, const struct net_if *ifc, struct rte_mbuf *m, uint64_t now_us);

/* MAC of `next_hop_be`. Returns NET_DONE: `mac` written, the caller still owns m. NET_HELD: m (a full IP packet without
 * Ethernet header) waits in the table; a request goes out with the next arp_poll. <0: -NET_DROP_ARP_QUEUE_FULL,
 * -NET_DROP_ARP_UNRESOLVED (negative cache), -NET_DROP_ARP_TABLE_FULL (nobody makes room): the caller
 * owns m. */
int arp_resolve(struct arp_table *t, uint32_t next_hop_be, struct rte_mbuf *m, uint64_t now_us, uint8_t mac[6]);

/* Full frames to send now, at most `max`: requests due (from `pool`), and packets whose address was just resolved.
 * Packets whose address stayed silent, or had to make room, are returned in `expired` (at most max; IP packets, the
 * caller frees and counts them as ARP_UNRESOLVED). Bounded work. Returns the number of frames in `out`. */
uint16_t arp_poll(struct arp_table *t, const struct net_if *ifc, struct rte_mempool *pool, uint64_t now_us,
                  struct rte_mbuf **out, uint16_t max, struct rte_mbuf **expired, uint16_t *n_expired);

/* Gratuitous request for our i-th address (RFC 5227 2.3). NULL: pool empty. */
struct rte_mbuf *arp_gratuitous(const struct net_if *ifc, uint8_t i, struct rte_mempool *pool);

struct arp_stats {
    uint32_t entries, incomplete, waiting;
};
void arp_table_stats(const struct arp_table *t, struct arp_stats *s);

/* --- ip4.c --- Validate: version, IHL, total length, checksum, source (not 0/8 except DHCP, 127/8, multicast,
 * broadcast, our own), destination ours, TTL > 0; options skipped, source routing dropped. Fragments -> NET_TO_FRAG. */
int ip4_input(const struct net_if *ifc, struct rte_mbuf *m);

/* Prepend an IPv4 header to m (payload only): DF set, TTL 64, `tos` (WIRE_IP4_ECT0, or 0). The id is 0, as that of
 * every datagram that nobody cuts may be (RFC 6864 4.1): a number that counts packets would tell each peer how many
 * went to others, and a stranger whether his forged segment drew an answer from a flow that is not his
 * (CVE-2020-36516). pkt_len and nb_segs must be right; asks for checksum offload where hw_cksum, else computes it.
 * Returns 0 or -NET_DROP_NO_HEADROOM. */
int ip4_output(struct rte_mbuf *m, uint32_t saddr_be, uint32_t daddr_be, uint8_t proto, uint8_t tos, bool hw_cksum);

/* Routers may cut the packet that ip4_output has just made; `id` is unique among those of its addresses and protocol
 * for as long as fragments live (RFC 6864 4.3). */
void ip4_allow_fragments(struct rte_mbuf *m, uint16_t id, bool hw_cksum);

/* Reassembly (RFC 815 in spirit) with a cap of datagrams per source. A fragment that overlaps another, or contradicts
 * what is known of the datagram's end, ends the datagram (RFC 5722 4); an exact repetition is dropped alone (RFC
 * 8200 4.5). */
#define IP4_REASS_TIMEOUT_US        30000000ull
#define IP4_REASS_FRAGMENTS         48 /* of one datagram: 65,515 bytes in 1,480-byte pieces are 45 */
#define IP4_REASS_HELD_PER_DATAGRAM 4  /* fragments held in all: at most this times max_datagrams */
struct ip4_reass;
/* NULL: no memory. max_datagrams: at least 1; when it is reached, the oldest makes room. */
struct ip4_reass *ip4_reass_new(uint32_t max_datagrams, uint32_t per_source, int socket_id);
void ip4_reass_free(struct ip4_reass *r);
/* NET_HELD, or NET_TO_IP4 with *whole set (headers contiguous, m->l2_len/l3_len set), or a drop. Where a drop ends its
 * datagram, the fragments held so far are chained behind m, so that the caller's one free takes them along. */
int ip4_reassemble(struct ip4_reass *r, struct rte_mbuf *m, uint64_t now_us, struct rte_mbuf **whole);
/* Datagrams that timed out or made room for newer ones, one chain each, for the caller to free and count
 * (NET_DROP_FRAG_TIMEOUT); at most max. */
uint16_t ip4_reass_expired(struct ip4_reass *r, uint64_t now_us, struct rte_mbuf **out, uint16_t max);

/* --- icmp.c --- Echo request -> NET_REPLY (whole frame turned round). Unreachable and time exceeded about our TCP/UDP
 * packets -> NET_TO_*_ERR with *err filled. Rate limits (token bucket, per worker) apply to what we send. */
struct icmp_limit {
    uint64_t last_us;
    uint32_t tokens, per_s;
};
struct icmp_error {
    uint8_t type, code;
    uint16_t next_hop_mtu;
    uint32_t local_addr_be, remote_addr_be; /* of the packet we had sent */
    uint16_t local_port_be, remote_port_be;
    uint32_t tcp_seq; /* host order */
};
int icmp_input(const struct net_if *ifc, struct rte_mbuf *m, struct icmp_limit *echo, uint64_t now_us,
               struct icmp_error *err);

/* What there is not at the destination (RFC 792). */
enum icmp_code { ICMP_NO_PROTOCOL = 2, ICMP_NO_PORT = 3 };

/* Turn a received IP packet (Ethernet header in place) into a destination-unreachable frame back to its sender, quoting
 * header + 8 bytes. Returns NET_REPLY, or -NET_DROP_ICMP_LIMIT / -NET_DROP_ICMP_UNFIT (the packet is broadcast or an
 * ICMP error). */
int icmp_unreachable(const struct net_if *ifc, struct rte_mbuf *m, enum icmp_code code, struct icmp_limit *limit,
                     uint64_t now_us);

/* --- udp.c --- Length and checksum (0 means none). Returns NET_TO_UDP; m->l4_len is set. */
int udp_input(struct rte_mbuf *m);
/* Prepend a UDP header (checksum offloaded where hw_cksum, else computed over the chain). 0 or -NET_DROP_NO_HEADROOM.
 */
int udp_output(struct rte_mbuf *m, uint32_t saddr_be, uint32_t daddr_be, uint16_t sport_be, uint16_t dport_be,
               bool hw_cksum);

/* Give a whole packet (l2_len, l3_len, l4_len set, in one segment, no IP options) new addresses and ports, a fresh TTL
 * and no identification (ip4_output), where it lies. Its UDP checksum is carried on by what changed (RFC 1624), so that
 * it still covers the bytes the sender sent (none stays none); hw_udp: left to the device. The Ethernet header stays as
 * it is. Returns false, with nothing changed, where the packet is none of these or its checksum is not finished yet and
 * cannot be carried on. */
bool udp_readdress(struct rte_mbuf *m, uint32_t saddr_be, uint32_t daddr_be, uint16_t sport_be, uint16_t dport_be,
                   bool hw_ip, bool hw_udp);

/* --- checksum.c --- Internet checksum (RFC 1071) over mbuf chains with odd segment lengths. Sums are as they lie in
 * memory: store them in a _be field as they are. */
/* Folded ones'-complement sum of `len` bytes of the chain from `offset`, not inverted. */
uint16_t checksum_chain(const struct rte_mbuf *m, uint32_t offset, uint32_t len);
/* Sum of the pseudo-header, not inverted, for a payload of `len` bytes. */
uint16_t checksum_pseudo(uint32_t saddr_be, uint32_t daddr_be, uint8_t proto, uint16_t len);
/* The TCP or UDP checksum field (inverted, as stored, big endian) of `len` bytes from `offset` with the field zero. */
uint16_t checksum_l4(const struct rte_mbuf *m, uint32_t offset, uint16_t len, uint32_t saddr_be, uint32_t daddr_be,
                     uint8_t proto);

#endif
