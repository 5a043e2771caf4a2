/* SPDX-License-Identifier: BSD-3-Clause */
#include "pair.h"

#include "pair_model.h"

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

static uint32_t get_u32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint16_t get_u16(const uint8_t *p) {
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void read_option(struct pair_segment *s, uint8_t kind, const uint8_t *body, uint32_t len_bytes) {
    if (kind == 2 && len_bytes == 2) {
        s->mss = get_u16(body);
    } else if (kind == 3 && len_bytes == 1) {
        s->has_wscale = true;
        s->wscale = body[0];
    } else if (kind == 4) {
        s->sack_permitted = true;
    } else if (kind == 5) {
        for (uint32_t at = 0; at + 8 <= len_bytes && s->n_sacks < WEIR_ARRAY_LEN(s->sacks); at += 8)
            s->sacks[s->n_sacks++] = (struct seq_range){get_u32(body + at), get_u32(body + at + 4)};
    } else if (kind == 8 && len_bytes == 8) {
        s->has_ts = true;
        s->ts_val = get_u32(body);
        s->ts_ecr = get_u32(body + 4);
    }
}

static void read_options(struct pair_segment *s, const uint8_t *options, uint32_t len_bytes) {
    for (uint32_t at = 0, n; at < len_bytes && options[at] != 0; at += n) {
        n = options[at] == 1 ? 1 : at + 1 < len_bytes ? options[at + 1] : 0;
        if (n == 0 || at + n > len_bytes || (n == 1 && options[at] != 1))
            return;
        if (n > 1)
            read_option(s, options[at], options + at + 2, n - 2);
    }
}

bool pair_parse(const uint8_t *packet, uint32_t len_bytes, struct pair_segment *s, const uint8_t **payload) {
    const struct wire_tcp *tcp = (const void *)(packet + sizeof(struct wire_ip4));
    if (len_bytes < sizeof(struct wire_ip4) + sizeof(*tcp))
        return false;
    uint32_t header = sizeof(struct wire_ip4) + (tcp->data_offset >> 4) * 4u;
    if (header < sizeof(struct wire_ip4) + sizeof(*tcp) || len_bytes < header)
        return false;
    *s = (struct pair_segment){.seq = rte_be_to_cpu_32(tcp->seq_be),
                               .ack = rte_be_to_cpu_32(tcp->ack_be),
                               .len_bytes = len_bytes - header,
                               .sport = rte_be_to_cpu_16(tcp->sport_be),
                               .dport = rte_be_to_cpu_16(tcp->dport_be),
                               .window = rte_be_to_cpu_16(tcp->window_be),
                               .flags = tcp->flags,
                               .ecn = packet[1] & 3};
    read_options(s, (const uint8_t *)(tcp + 1), header - 40);
    *payload = packet + header;
    return true;
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

/* A router whose next link is narrower: RFC 1191 3. */
static bool too_big(struct pair *p, struct pair_side *side, uint32_t len_bytes) {
    if (!p->path_mtu || len_bytes <= p->path_mtu)
        return false;
    const struct pair_segment *s = &side->last;
    unsigned from = side == &p->side[1];
    side->icmp_due = !p->black_hole;
    side->icmp = (struct icmp_error){.type = 3,
                                     .code = 4,
                                     .next_hop_mtu = p->path_mtu,
                                     .local_addr_be = PAIR_ADDR(from),
                                     .remote_addr_be = PAIR_ADDR(!from),
                                     .local_port_be = rte_cpu_to_be_16(s->sport),
                                     .remote_port_be = rte_cpu_to_be_16(s->dport),
                                     .tcp_seq = s->seq};
    return true;
}

bool pair_tap(void *context, uint8_t *packet, uint32_t len_bytes) {
    struct pair_side *side = context;
    struct pair *p = side->pair;
    const uint8_t *payload;
    if (!pair_parse(packet, len_bytes, &side->last, &payload)) {
        pair_fail(p, "sent a packet of %u bytes", len_bytes);
        return false;
    }
    const struct wire_ip4 *ip = (const void *)packet;
    if (!p->setup.tso_segs[side == &p->side[1]] && ip->frag_be & RTE_BE16(WIRE_IP4_DF) && ip->id_be != 0)
        pair_fail(p, "a packet that nobody cuts is numbered: %u", rte_be_to_cpu_16(ip->id_be));
    uint32_t header = (uint32_t)(payload - packet);
    uint8_t flags = side->last.flags;
    pair_model_sent(p->model, side == &p->side[1], &side->last, payload);
    if (flags & WIRE_TCP_SYN && p->setup.strip)
        strip_options(packet, header, p->setup.strip);
    if (side->last.dport >= PAIR_STRANGER_PORT) {
        p->to_stranger = side->last;
        p->stranger_segments++;
        p->stranger_bytes += side->last.len_bytes;
    }
    bool big = too_big(p, side, len_bytes),
         pass = !big && !side->dark && !(flags & side->dark_flags) && side->last.dport < PAIR_STRANGER_PORT;
    if (p->trace) {
        char text[8];
        fprintf(stderr, "%10.6f %s %5u %-4s seq %u len %u ack %u win %u opt %u%s\n",
                (double)(p->now_us - p->setup.start_us) / 1e6, side == &p->side[0] ? "->" : "<-", side->last.sport,
                flags_text(flags, text), side->last.seq, side->last.len_bytes, side->last.ack, side->last.window,
                header - 40,
                big    ? " (too big)"
                : pass ? ""
                       : " (dark)");
    }
    return pass;
}

static void store_checksum(uint16_t *field_be, uint16_t sum) {
    *field_be = rte_cpu_to_be_16(sum);
}

static uint8_t *put_u32(uint8_t *at, uint32_t value) {
    value = rte_cpu_to_be_32(value);
    memcpy(at, &value, 4);
    return at + 4;
}

/* A multiple of 4 bytes. */
static uint32_t put_options(uint8_t *options, const struct pair_segment *s) {
    uint8_t *at = options;
    if (s->options) {
        memcpy(options, s->options, s->options_bytes);
        return s->options_bytes;
    }
    if (s->mss)
        at = put_u32(at, 0x02040000u | s->mss);
    if (s->has_wscale)
        at = put_u32(at, 0x01030300u | s->wscale);
    if (s->sack_permitted)
        at = put_u32(at, 0x01010402u);
    if (s->has_ts)
        at = put_u32(put_u32(put_u32(at, 0x0101080au), s->ts_val), s->ts_ecr);
    if (s->n_sacks)
        at = put_u32(at, 0x01010500u | (2u + 8u * s->n_sacks));
    for (uint32_t i = 0; i < s->n_sacks; i++)
        at = put_u32(put_u32(at, s->sacks[i].left), s->sacks[i].right);
    return (uint32_t)(at - options);
}

void pair_inject(struct pair *p, unsigned from, const struct pair_segment *segment) {
    struct {
        struct wire_ip4 ip;
        struct wire_tcp tcp;
        uint8_t rest[1460]; /* options and payload */
    } __attribute__((packed, aligned(4))) s = {0};
    uint32_t options = put_options(s.rest, segment), tcp_bytes = sizeof(s.tcp) + options + segment->len_bytes;
    uint8_t words = segment->data_offset ? segment->data_offset : (uint8_t)((20 + options) / 4);
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
                              .data_offset = (uint8_t)(words << 4),
                              .flags = segment->flags,
                              .urgent_be = rte_cpu_to_be_16(segment->urgent),
                              .window_be = rte_cpu_to_be_16(segment->window)};
    memset(s.rest + options, segment->fill ? segment->fill : 'x', segment->len_bytes);
    uint32_t pseudo = sim_sum((const uint8_t *)&s.ip.saddr_be, 8, IPPROTO_TCP + tcp_bytes);
    store_checksum(&s.tcp.checksum_be, sim_fold(sim_sum((const uint8_t *)&s.tcp, tcp_bytes, pseudo)));
    sim_link_inject(p->side[from].tx, &s, (uint32_t)sizeof(s.ip) + tcp_bytes, p->now_us);
    if (p->trace)
        fprintf(stderr, "           injected from %u: flags 0x%02x seq %u ack %u\n", from, segment->flags, segment->seq,
                segment->ack);
}
