/* SPDX-License-Identifier: BSD-3-Clause */
/* Headers as they lie on the wire. Fields in wire order end in _be. */
#ifndef WEIR_WIRE_H
#define WEIR_WIRE_H

#include "../base/base.h"

struct wire_eth {
    uint8_t dst[6], src[6];
    uint16_t type_be;
} __attribute__((packed, aligned(2)));
static_assert(sizeof(struct wire_eth) == 14, "RFC 894");

struct wire_arp { /* RFC 826, Ethernet and IPv4 */
    uint16_t hardware_be, protocol_be;
    uint8_t hardware_len, protocol_len;
    uint16_t operation_be;
    uint8_t sender_mac[6];
    uint32_t sender_addr_be;
    uint8_t target_mac[6];
    uint32_t target_addr_be;
} __attribute__((packed, aligned(2)));
static_assert(sizeof(struct wire_arp) == 28, "RFC 826");

struct wire_ip4 { /* RFC 791 3.1 */
    uint8_t version_ihl, tos;
    uint16_t total_len_be, id_be, frag_be;
    uint8_t ttl, proto;
    uint16_t checksum_be;
    uint32_t saddr_be, daddr_be;
} __attribute__((packed, aligned(2)));
static_assert(sizeof(struct wire_ip4) == 20, "RFC 791");

struct wire_icmp { /* RFC 792 */
    uint8_t type, code;
    uint16_t checksum_be;
    uint16_t a_be, b_be; /* echo: identifier, sequence; unreachable: unused, next-hop MTU */
} __attribute__((packed, aligned(2)));
static_assert(sizeof(struct wire_icmp) == 8, "RFC 792");

struct wire_udp { /* RFC 768 */
    uint16_t sport_be, dport_be, len_be, checksum_be;
} __attribute__((packed, aligned(2)));
static_assert(sizeof(struct wire_udp) == 8, "RFC 768");

struct wire_tcp { /* RFC 9293 3.1 */
    uint16_t sport_be, dport_be;
    uint32_t seq_be, ack_be;
    uint8_t data_offset; /* upper 4 bits, in 32-bit words */
    uint8_t flags;
    uint16_t window_be, checksum_be, urgent_be;
} __attribute__((packed, aligned(2)));
static_assert(sizeof(struct wire_tcp) == 20, "RFC 9293");

#define WIRE_ETH_ARP  0x0806
#define WIRE_ETH_IP4  0x0800
#define WIRE_ETH_VLAN 0x8100

/* The ECN field of tos: RFC 3168 5 */
#define WIRE_IP4_ECN     0x03
#define WIRE_IP4_NOT_ECT 0x00
#define WIRE_IP4_ECT1    0x01
#define WIRE_IP4_ECT0    0x02
#define WIRE_IP4_CE      0x03

#define WIRE_IP4_DF     0x4000
#define WIRE_IP4_MF     0x2000
#define WIRE_IP4_OFFSET 0x1fff

#define WIRE_TCP_FIN 0x01
#define WIRE_TCP_SYN 0x02
#define WIRE_TCP_RST 0x04
#define WIRE_TCP_PSH 0x08
#define WIRE_TCP_ACK 0x10
#define WIRE_TCP_URG 0x20
#define WIRE_TCP_ECE 0x40
#define WIRE_TCP_CWR 0x80

#endif
