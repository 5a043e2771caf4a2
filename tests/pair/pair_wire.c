/* SPDX-License-Identifier: BSD-3-Clause */
#include "pair.h"

#include "net/wire.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static const char *flags_text(uint8_t flags, char text[8]) {
    static const char letters[] = "FSRPAU";
    uint32_t n = 0;
    for (uint32_t i = 0; i < 6; i++)
        if (flags & 1u << i)
            text[n++] = letters[i];
    text[n] = 0;
    return text;
}

/* The timestamps option, wherever it stands. */
static void read_timestamps(struct pair_segment *s, const uint8_t *options, uint32_t len_bytes) {
    uint32_t at = 0, stamps[2];
    while (at + 10 <= len_bytes && options[at] != 8)
        at += options[at] <= 1 ? 1 : options[at + 1];
    if (at + 10 > len_bytes)
        return;
    memcpy(stamps, options + at + 2, sizeof(stamps));
    s->has_ts = true;
    s->ts_val = rte_be_to_cpu_32(stamps[0]);
    s->ts_ecr = rte_be_to_cpu_32(stamps[1]);
}

/* A middlebox that does not like some options: NOPs in their place. */
static void strip_options(uint8_t *packet, uint32_t header, uint32_t kinds) {
    uint8_t *tcp = packet + sizeof(struct wire_ip4), *options = tcp + sizeof(struct wire_tcp);
    uint32_t len_bytes = header - 40;
    for (uint32_t at = 0, n; at < len_bytes && options[at] != 0; at += n) {
        n = options[at] == 1 ? 1 : options[at + 1];
        if (options[at] < 32 && kinds & 1u << options[at])
            memset(options + at, 1, n);
    }
    memset(tcp + 16, 0, 2);
    uint16_t sum = sim_fold(sim_sum(tcp, header - 20, sim_sum(packet + 12, 8, IPPROTO_TCP + header - 20)));
    tcp[16] = (uint8_t)(sum >> 8);
    tcp[17] = (uint8_t)sum;
}

bool pair_tap(void *context, uint8_t *packet, uint32_t len_bytes) {
    struct pair_side *side = context;
    struct pair *p = side->pair;
    const struct wire_ip4 *ip = (const void *)packet;
    const struct wire_tcp *tcp = (const void *)(packet + sizeof(*ip));
    uint32_t header = sizeof(*ip) + (tcp->data_offset >> 4) * 4u;
    if (len_bytes < sizeof(*ip) + sizeof(*tcp) || len_bytes < header) {
        pair_fail(p, "sent a packet of %u bytes", len_bytes);
        return false;
    }
    side->last = (struct pair_segment){.seq = rte_be_to_cpu_32(tcp->seq_be),
                                       .ack = rte_be_to_cpu_32(tcp->ack_be),
                                       .len_bytes = len_bytes - header,
                                       .sport = rte_be_to_cpu_16(tcp->sport_be),
                                       .dport = rte_be_to_cpu_16(tcp->dport_be),
                                       .window = rte_be_to_cpu_16(tcp->window_be),
                                       .flags = tcp->flags};
    read_timestamps(&side->last, (const uint8_t *)(tcp + 1), header - 40);
    if (tcp->flags & WIRE_TCP_SYN && p->setup.strip)
        strip_options(packet, header, p->setup.strip);
    bool pass = !side->dark && !(tcp->flags & side->dark_flags);
    if (p->trace) {
        char text[8];
        fprintf(stderr, "%10.6f %s %5u %-4s seq %u len %u ack %u win %u opt %u%s\n",
                (double)(p->now_us - p->setup.start_us) / 1e6, side == &p->side[0] ? "->" : "<-", side->last.sport,
                flags_text(tcp->flags, text), side->last.seq, side->last.len_bytes, side->last.ack, side->last.window,
                header - 40, pass ? "" : " (dark)");
    }
    return pass;
}

static void store_checksum(uint16_t *field_be, uint16_t sum) {
    *field_be = rte_cpu_to_be_16(sum);
}

void pair_inject(struct pair *p, unsigned from, const struct pair_segment *segment) {
    struct {
        struct wire_ip4 ip;
        struct wire_tcp tcp;
        uint8_t rest[1460]; /* options and payload */
    } __attribute__((packed, aligned(4))) s = {0};
    uint32_t options = segment->has_ts ? 12 : 0, tcp_bytes = sizeof(s.tcp) + options + segment->len_bytes;
    s.ip = (struct wire_ip4){.version_ihl = 0x45,
                             .total_len_be = rte_cpu_to_be_16((uint16_t)(sizeof(s.ip) + tcp_bytes)),
                             .ttl = 64,
                             .proto = IPPROTO_TCP,
                             .saddr_be = PAIR_ADDR(from),
                             .daddr_be = PAIR_ADDR(!from)};
    store_checksum(&s.ip.checksum_be, sim_fold(sim_sum((const uint8_t *)&s.ip, sizeof(s.ip), 0)));
    s.tcp = (struct wire_tcp){.sport_be = rte_cpu_to_be_16(segment->sport),
                              .dport_be = rte_cpu_to_be_16(segment->dport),
                              .seq_be = rte_cpu_to_be_32(segment->seq),
                              .ack_be = rte_cpu_to_be_32(segment->ack),
                              .data_offset = (uint8_t)((20 + options) / 4 << 4),
                              .flags = segment->flags,
                              .window_be = rte_cpu_to_be_16(segment->window)};
    memset(s.rest + options, 'x', segment->len_bytes);
    if (segment->has_ts) {
        uint32_t stamps[2] = {rte_cpu_to_be_32(segment->ts_val), rte_cpu_to_be_32(segment->ts_ecr)};
        memcpy(s.rest, (const uint8_t[]){1, 1, 8, 10}, 4);
        memcpy(s.rest + 4, stamps, 8);
    }
    uint32_t pseudo = sim_sum((const uint8_t *)&s.ip.saddr_be, 8, IPPROTO_TCP + tcp_bytes);
    store_checksum(&s.tcp.checksum_be, sim_fold(sim_sum((const uint8_t *)&s.tcp, tcp_bytes, pseudo)));
    sim_link_inject(p->side[from].tx, &s, (uint32_t)sizeof(s.ip) + tcp_bytes, p->now_us);
    if (p->trace)
        fprintf(stderr, "           injected from %u: flags 0x%02x seq %u ack %u\n", from, segment->flags, segment->seq,
                segment->ack);
}
