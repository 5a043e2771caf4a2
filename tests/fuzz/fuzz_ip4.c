/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames off the wire through lib/net: Ethernet, ARP, IPv4, reassembly, ICMP, UDP. An input is a row of frames, each
 * with a byte that says what to put right in it (so that checks do not keep everything out), a byte of time, one of
 * where to cut it into segments, and a length. Whatever comes: no read past a frame, a sane verdict, no mbuf lost. */
#include "base/poison.h"
#include "net/net.h"
#include "tests/eal.h"

#include <netinet/in.h>
#include <rte_byteorder.h>
#include <rte_ip.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MBUFS = 255, FRAMES = 24 };

/* What the first byte of a frame's description asks for. */
enum fix {
    FIX_MAC = 1,       /* to us */
    FIX_IP = 2,        /* addressed to us, with a right header checksum */
    FIX_L4 = 4,        /* a right ICMP checksum; UDP none */
    FIX_OFFLOADED = 8, /* the port has verified the checksums */
    CUT = 16,
    ANSWER = 32, /* port unreachable to what is UDP or TCP */
};

static struct rte_mempool *mbufs;

static const struct net_if interface = {.mac = {2, 0, 0, 0, 0, 1},
                                        .mtu = 1500,
                                        .n_addrs = 1,
                                        .addrs = {{RTE_BE32(0xc6120001), RTE_BE32(0xffffff00)}},
                                        .gateway_be = RTE_BE32(0xc61200fe)};

/* Everything a frame may change, fresh for each input. */
struct state {
    struct arp_table *arp;
    struct ip4_reass *reass;
    struct icmp_limit echo, errors;
    uint64_t now_us;
};

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    if (!test_eal(64))
        abort();
    mbufs = rte_pktmbuf_pool_create("fuzz", MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    if (mbufs == NULL)
        abort();
    return 0;
}

/* Bytes of the buffers behind the frame: nobody may read or write them while it is looked at. A frame has at most two
 * segments, and what looks at it may free the second one: the buffers are remembered, not the chain. */
struct guard {
    void *buffers[2];
    uint16_t len_bytes[2];
};

static struct guard guard_on(struct rte_mbuf *m) {
    struct guard g = {0};
    for (unsigned i = 0; m && i < 2; m = m->next, i++) {
        g.buffers[i] = m->buf_addr;
        g.len_bytes[i] = m->buf_len;
        poison_region(rte_pktmbuf_mtod(m, uint8_t *) + m->data_len, rte_pktmbuf_tailroom(m));
    }
    return g;
}

static void guard_off(struct guard *g) {
    for (unsigned i = 0; i < 2; i++)
        if (g->buffers[i])
            unpoison_region(g->buffers[i], g->len_bytes[i]);
}

static void put_right(uint8_t *p, uint32_t n, uint8_t fix) {
    struct wire_eth *eth = (struct wire_eth *)p;
    struct wire_ip4 *ip = (struct wire_ip4 *)(eth + 1);

    if (n >= sizeof(*eth) && (fix & FIX_MAC))
        memcpy(eth->dst, interface.mac, 6);
    if (n < sizeof(*eth) + sizeof(*ip) || eth->type_be != RTE_BE16(WIRE_ETH_IP4))
        return;
    uint32_t header_len = (ip->version_ihl & 15u) * 4, room = n - sizeof(*eth);
    if (fix & FIX_IP)
        ip->daddr_be = interface.addrs[0].addr_be;
    if ((fix & FIX_L4) && header_len + 8 <= room) {
        uint32_t len = weir_min_u32(room, rte_be_to_cpu_16(ip->total_len_be));
        uint8_t *l4 = (uint8_t *)ip + header_len;
        if (ip->proto == IPPROTO_ICMP && len > header_len) {
            memset(l4 + 2, 0, 2);
            uint16_t sum = (uint16_t)~rte_raw_cksum(l4, len - header_len);
            memcpy(l4 + 2, &sum, 2);
        } else if (ip->proto == IPPROTO_UDP) {
            memset(l4 + 6, 0, 2);
        }
    }
    if ((fix & FIX_IP) && header_len <= room) {
        ip->checksum_be = 0;
        ip->checksum_be = (uint16_t)~rte_raw_cksum(ip, header_len);
    }
}

static struct rte_mbuf *segment(const uint8_t *p, uint32_t n) {
    struct rte_mbuf *m = rte_pktmbuf_alloc(mbufs);

    if (m)
        memcpy(rte_pktmbuf_append(m, (uint16_t)n), p, n);
    return m;
}

static struct rte_mbuf *frame_of(uint8_t *p, uint32_t n, uint8_t fix, uint8_t cut) {
    put_right(p, n, fix);
    uint32_t first = (fix & CUT) && cut > 0 && cut < n ? cut : n;
    struct rte_mbuf *m = segment(p, first), *rest = first < n ? segment(p + first, n - first) : NULL;

    if (m == NULL || (first < n && rest == NULL)) {
        rte_pktmbuf_free(m);
        rte_pktmbuf_free(rest);
        return NULL;
    }
    if (rest)
        rte_pktmbuf_chain(m, rest);
    if (fix & FIX_OFFLOADED)
        m->ol_flags |= RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
    return m;
}

/* A frame we would send: whole, from us, and not to ourselves. */
static void check_reply(struct rte_mbuf *m) {
    const struct wire_eth *eth = rte_pktmbuf_mtod(m, const struct wire_eth *);

    assert(m->data_len >= sizeof(*eth) && rte_mbuf_check(m, 1, &(const char *){NULL}) == 0);
    assert(memcmp(eth->src, interface.mac, 6) == 0 && !(eth->dst[0] & 1));
    if (eth->type_be != RTE_BE16(WIRE_ETH_IP4))
        return;
    const struct wire_ip4 *ip = (const struct wire_ip4 *)(eth + 1);
    assert(ip->saddr_be == interface.addrs[0].addr_be && rte_raw_cksum(ip, sizeof(*ip)) == 0xffff);
    assert(rte_be_to_cpu_16(ip->total_len_be) == m->pkt_len - sizeof(*eth));
    assert(m->pkt_len <= sizeof(*eth) + interface.mtu);
}

static int route_ip4(struct state *s, struct rte_mbuf **m, uint8_t fix, struct guard *g) {
    struct icmp_error err;
    int v = ip4_input(&interface, *m);

    if (v == NET_TO_FRAG) {
        struct rte_mbuf *whole = NULL;
        guard_off(g);
        v = ip4_reassemble(s->reass, *m, s->now_us, &whole);
        if (v != NET_TO_IP4)
            return v;
        *m = whole;
        v = ip4_input(&interface, whole);
        assert(v != NET_TO_FRAG);
    }
    if (v == NET_TO_ICMP)
        v = icmp_input(&interface, *m, &s->echo, s->now_us, &err);
    if (v == NET_TO_UDP) {
        v = udp_input(*m);
        assert(v < 0 || v == NET_TO_UDP);
    }
    if ((v == NET_TO_UDP || v == NET_TO_TCP) && (fix & ANSWER))
        v = icmp_unreachable(&interface, *m, ICMP_NO_PORT, &s->errors, s->now_us);
    return v;
}

/* As path.c does it: whoever is not held is freed here. */
static void receive(struct state *s, struct rte_mbuf *m, uint8_t fix) {
    struct guard g = guard_on(m);
    int v = eth_input(&interface, m);

    if (v == NET_TO_ARP)
        v = arp_input(s->arp, &interface, m, s->now_us);
    else if (v == NET_TO_IP4)
        v = route_ip4(s, &m, fix, &g);
    assert(v > -NET_DROP_COUNT && v <= NET_TO_UDP_ERR);
    guard_off(&g);
    if (v == NET_REPLY)
        check_reply(m);
    if (v != NET_HELD)
        rte_pktmbuf_free(m);
}

/* Let a packet of ours wait for a neighbour, so that replies have a question; send what is due. */
static void ask_and_poll(struct state *s, uint8_t neighbour) {
    static const uint8_t payload[32];
    struct rte_mbuf *out[16], *expired[16], *m = segment(payload, sizeof(payload));
    uint16_t n_expired = 0;
    uint8_t mac[6];

    if (m && arp_resolve(s->arp, RTE_BE32(0xc6120000) | (uint32_t)neighbour << 24, m, s->now_us, mac) != NET_HELD)
        rte_pktmbuf_free(m);
    uint16_t n = arp_poll(s->arp, &interface, mbufs, s->now_us, out, 16, expired, &n_expired);
    assert(n <= 16 && n_expired <= 16);
    rte_pktmbuf_free_bulk(out, n);
    rte_pktmbuf_free_bulk(expired, n_expired);
    n = ip4_reass_expired(s->reass, s->now_us, out, 16);
    assert(n <= 16);
    rte_pktmbuf_free_bulk(out, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct state s = {.arp = arp_table_new("fuzz", SOCKET_ID_ANY),
                      .reass = ip4_reass_new(8, 4, SOCKET_ID_ANY),
                      .echo = {.per_s = 100},
                      .errors = {.per_s = 100},
                      .now_us = 1};
    assert(s.arp && s.reass);
    for (int i = 0; i < FRAMES && size > 5; i++) {
        uint8_t fix = data[0], time = data[1], cut = data[2];
        uint32_t n = (uint32_t)data[3] << 8 | data[4];
        data += 5, size -= 5;
        n = weir_min_u32(weir_min_u32(n, (uint32_t)size), 1514);
        s.now_us += (uint64_t)(time >> 4) * 1000000 * (time & 8 ? 10 : 1);
        ask_and_poll(&s, time & 7);
        uint8_t bytes[1514];
        memcpy(bytes, data, n);
        data += n, size -= n;
        struct rte_mbuf *m = frame_of(bytes, n, fix, cut);
        if (m)
            receive(&s, m, fix);
    }
    arp_table_free(s.arp);
    ip4_reass_free(s.reass);
    assert(rte_mempool_avail_count(mbufs) == MBUFS);
    return 0;
}
