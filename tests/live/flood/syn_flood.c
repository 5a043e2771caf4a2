/* SPDX-License-Identifier: BSD-3-Clause */
/* A bounded flood of segments from made-up sources, as fast as the kernel takes them off a packet socket:
 *
 *     syn_flood INTERFACE MAC ADDRESS PORT COUNT [ack]
 *
 * Sends COUNT SYNs (with "ack": bare ACKs) to ADDRESS:PORT at MAC. Sources lie in 198.19.0.0/16 (RFC 2544), ports and
 * numbers are random, SYNs have the options of Linux, Windows or none in turn. Prints a line of JSON: how many were
 * sent, and in how many seconds. What the interface refuses is sent again; what gets lost behind it is lost. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH   64
#define SOURCES 0xc6130000u /* 198.19.0.0/16 */

/* What a SYN of Linux says, of Windows, of a very small device. */
static const struct {
    uint8_t len, bytes[20];
} options[] = {
    {20, {2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7}},
    {12, {2, 4, 0x05, 0xb4, 1, 3, 3, 8, 1, 1, 4, 2}},
    {0, {0}},
};

struct packet {
    struct ether_header eth;
    struct iphdr ip;
    struct tcphdr tcp;
    uint8_t options[20];
} __attribute__((packed));

struct target {
    int fd;
    uint8_t own_mac[6], mac[6];
    uint32_t addr_be;
    uint16_t port_be;
    bool ack;
};

static void die(const char *what) {
    perror(what);
    exit(1);
}

static uint64_t random_bits(void) {
    static uint64_t x = 0x9e3779b97f4a7c15ull;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x;
}

static uint32_t sum_of(const void *data, size_t bytes) {
    uint32_t sum = 0;
    const uint8_t *p = data;
    for (size_t i = 0; i < bytes; i += 2)
        sum += (uint32_t)(p[i] << 8 | p[i + 1]);
    return sum;
}

static uint16_t folded(uint32_t sum) {
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)~sum);
}

/* Returns its length. */
static size_t make(struct packet *p, const struct target *t) {
    uint64_t r = random_bits();
    unsigned kind = t->ack ? 2 : (unsigned)(r >> 60) % 3;
    uint16_t tcp_len = (uint16_t)(sizeof(p->tcp) + options[kind].len);
    memcpy(p->eth.ether_dhost, t->mac, 6);
    memcpy(p->eth.ether_shost, t->own_mac, 6);
    p->eth.ether_type = htons(ETHERTYPE_IP);
    p->ip = (struct iphdr){.version = 4,
                           .ihl = 5,
                           .tot_len = htons((uint16_t)(sizeof(p->ip) + tcp_len)),
                           .frag_off = htons(IP_DF),
                           .ttl = 64,
                           .protocol = IPPROTO_TCP,
                           .saddr = htonl(SOURCES | (r & 0xffff)),
                           .daddr = t->addr_be};
    p->ip.check = folded(sum_of(&p->ip, sizeof(p->ip)));
    p->tcp = (struct tcphdr){.source = (uint16_t)(r >> 16) | htons(1024),
                             .dest = t->port_be,
                             .seq = (uint32_t)(r >> 32),
                             .ack_seq = t->ack ? (uint32_t)random_bits() : 0,
                             .doff = tcp_len / 4,
                             .syn = !t->ack,
                             .ack = t->ack,
                             .window = 0xffff};
    memcpy(p->options, options[kind].bytes, options[kind].len);
    uint32_t sum = sum_of(&p->ip.saddr, 8) + IPPROTO_TCP + tcp_len + sum_of(&p->tcp, tcp_len);
    p->tcp.check = folded(sum);
    return sizeof(p->eth) + sizeof(p->ip) + tcp_len;
}

static void send_all(const struct target *t, uint64_t count) {
    static struct packet packets[BATCH];
    struct iovec iov[BATCH];
    struct mmsghdr messages[BATCH] = {0};
    while (count) {
        unsigned n = count < BATCH ? (unsigned)count : BATCH;
        for (unsigned i = 0; i < n; i++) {
            iov[i] = (struct iovec){&packets[i], make(&packets[i], t)};
            messages[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
        }
        for (unsigned done = 0; done < n;) {
            int sent = sendmmsg(t->fd, messages + done, n - done, 0);
            if (sent > 0)
                done += (unsigned)sent;
            else if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR)
                die("sendmmsg");
        }
        count -= n;
    }
}

static void open_socket(struct target *t, const char *interface) {
    struct ifreq r = {0};
    strncpy(r.ifr_name, interface, sizeof(r.ifr_name) - 1);
    t->fd = socket(AF_PACKET, SOCK_RAW, 0); /* protocol 0: it receives nothing */
    if (t->fd < 0)
        die("packet socket");
    if (ioctl(t->fd, SIOCGIFHWADDR, &r))
        die(interface);
    memcpy(t->own_mac, r.ifr_hwaddr.sa_data, 6);
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(interface)};
    if (bind(t->fd, (struct sockaddr *)&to, sizeof(to)))
        die("bind");
    int yes = 1;
    setsockopt(t->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &yes, sizeof(yes));
}

int main(int argc, char **argv) {
    struct target t = {.ack = argc == 7 && strcmp(argv[6], "ack") == 0};
    unsigned m[6];
    if (argc < 6 || sscanf(argv[2], "%x:%x:%x:%x:%x:%x", m, m + 1, m + 2, m + 3, m + 4, m + 5) != 6 ||
        inet_pton(AF_INET, argv[3], &t.addr_be) != 1) {
        fprintf(stderr, "usage: syn_flood INTERFACE MAC ADDRESS PORT COUNT [ack]\n");
        return 2;
    }
    for (unsigned i = 0; i < 6; i++)
        t.mac[i] = (uint8_t)m[i];
    t.port_be = htons((uint16_t)atoi(argv[4]));
    uint64_t count = strtoull(argv[5], NULL, 10);
    open_socket(&t, argv[1]);
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    send_all(&t, count);
    clock_gettime(CLOCK_MONOTONIC, &b);
    double seconds = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
    printf("{\"sent\": %lu, \"seconds\": %.3f}\n", count, seconds);
    return 0;
}
