/* SPDX-License-Identifier: BSD-3-Clause */
/* A segment as a script writes it: into an mbuf for the stack, or held against what left the stack. */
#include "script.h"

#include "../unit/tcp/harness.h"

#include <stdlib.h>
#include <string.h>

struct spec {
    uint8_t flags;
    bool has_ack, has_win, has_ecn, has_df, has_urg, has_fill, has_range;
    bool df;
    uint32_t seq, end, ack; /* absolute; payload is [seq, end) */
    char win_op[3];
    uint32_t win;
    uint8_t ecn, fill;
    uint16_t urg;
    int drop; /* -1: whatever */
    struct segment_options o;
};

/* Which numbers are relative to what: those of the sender, those of the receiver. */
struct bases {
    uint32_t seq, ack, ts_val, ts_ecr;
};

static const char flag_letters[] = "FSRPAUEW"; /* bit 0 upwards */

static uint8_t parse_flags(struct world *w, const char *word) {
    uint8_t flags = 0;
    if (!strcmp(word, "-"))
        return 0;
    for (const char *p = word; *p; p++) {
        const char *at = strchr(flag_letters, *p);
        if (!at)
            fail(w, "\"%s\" is no set of flags out of %s", word, flag_letters);
        flags |= (uint8_t)(1u << (at - flag_letters));
    }
    return flags;
}

/* --- options --- */

static void parse_ts(struct world *w, struct segment_options *o, const char *val, const char *ecr,
                     const struct bases *b) {
    o->has_ts = true;
    o->any_val = !val || !strcmp(val, "*");
    o->any_ecr = !ecr || !strcmp(ecr, "*");
    if (!o->any_val)
        o->ts_val = value_seq(w, val, b->ts_val);
    if (!o->any_ecr)
        o->ts_ecr = value_seq(w, ecr, b->ts_ecr);
}

static void parse_sacks(struct world *w, struct segment_options *o, char **save, uint32_t base) {
    for (char *word; (word = strtok_r(NULL, " ", save)) != NULL;) {
        char *colon = strchr(word, ':');
        if (!colon || o->n_sacks == WEIR_ARRAY_LEN(o->sacks))
            fail(w, "a SACK block is LEFT:RIGHT, at most 4 of them");
        *colon = '\0';
        o->sacks[o->n_sacks].left = value_seq(w, word, base);
        o->sacks[o->n_sacks++].right = value_seq(w, colon + 1, base);
    }
}

static void parse_raw(struct world *w, struct segment_options *o, const char *hex) {
    for (; hex && hex[0] && hex[1] && o->n_raw < sizeof o->raw; hex += 2) {
        char two[3] = {hex[0], hex[1], 0};
        o->raw[o->n_raw++] = (uint8_t)strtoul(two, NULL, 16);
    }
    if (!o->n_raw)
        fail(w, "raw wants bytes in hexadecimal");
}

static void parse_option(struct world *w, struct segment_options *o, char *text, const struct bases *b) {
    char *save, *kind = strtok_r(text, " ", &save);
    if (!kind)
        return;
    if (!strcmp(kind, "sack")) {
        parse_sacks(w, o, &save, b->ack);
        return;
    }
    char *first = strtok_r(NULL, " ", &save), *second = strtok_r(NULL, " ", &save);
    if (!strcmp(kind, "mss") && first) {
        o->has_mss = true;
        o->mss = (uint16_t)value_of(w, first);
    } else if (!strcmp(kind, "ws") && first) {
        o->has_ws = true;
        o->ws = (uint8_t)value_of(w, first);
    } else if (!strcmp(kind, "sackOK")) {
        o->sack_ok = true;
    } else if (!strcmp(kind, "ts")) {
        parse_ts(w, o, first, second, b);
    } else if (!strcmp(kind, "raw")) {
        parse_raw(w, o, first);
    } else if (!strcmp(kind, "...")) {
        o->others = true;
    } else {
        fail(w, "no such option: %s", kind);
    }
}

static void parse_options(struct world *w, struct segment_options *o, const char *word, const struct bases *b) {
    char text[512], *save;
    snprintf(text, sizeof text, "%s", word + 1);
    text[strcspn(text, ">")] = '\0';
    o->given = true;
    for (char *p = strtok_r(text, ",", &save); p; p = strtok_r(NULL, ",", &save))
        parse_option(w, o, p, b);
}

/* --- the line --- */

static const char *drop_name(int i) {
    return i ? tcp_drop_name((enum tcp_drop)i) : "no";
}

static void parse_window(struct world *w, struct spec *s, const char *word) {
    size_t n = strspn(word, "<>=!");
    snprintf(s->win_op, sizeof s->win_op, "%.*s", (int)n, n ? word : "=");
    if (!n)
        strcpy(s->win_op, "=");
    s->has_win = true;
    s->win = (uint32_t)value_of(w, word + n);
}

static bool parse_ecn(struct spec *s, const char *word) {
    static const char *const names[] = {"noect", "ect1", "ect0", "ce"};
    for (uint8_t i = 0; i < 4; i++)
        if (!strcmp(word, names[i])) {
            s->has_ecn = true;
            s->ecn = i;
            return true;
        }
    return false;
}

static bool parse_df(struct spec *s, const char *word) {
    s->df = !strcmp(word, "df");
    s->has_df = s->has_df || s->df || !strcmp(word, "nodf");
    return s->df || !strcmp(word, "nodf");
}

static void parse_range(struct world *w, struct spec *s, const char *word, uint32_t base) {
    char text[128];
    snprintf(text, sizeof text, "%s", word);
    char *colon = strchr(text, ':');
    s->has_range = colon != NULL;
    if (colon)
        *colon = '\0';
    s->seq = s->end = value_seq(w, text, base);
    if (colon) /* a SYN takes the first number */
        s->end = value_seq(w, colon + 1, base) - !!(s->flags & WIRE_TCP_SYN);
    if (seq_lt(s->end, s->seq) || s->end - s->seq > 9000)
        fail(w, "%s is no range of a segment", word);
}

/* Words with a value; returns how many words it took, 0: none of these. */
static unsigned parse_valued(struct world *w, struct spec *s, const char *key, const char *value,
                             const struct bases *b) {
    if (!strcmp(key, "ack")) {
        s->has_ack = true;
        s->ack = value_seq(w, value, b->ack);
    } else if (!strcmp(key, "win")) {
        parse_window(w, s, value);
    } else if (!strcmp(key, "urg")) {
        s->has_urg = true;
        s->urg = (uint16_t)value_of(w, value);
    } else if (!strcmp(key, "fill")) {
        s->has_fill = true;
        s->fill = (uint8_t)value_of(w, value);
    } else if (!strcmp(key, "drop")) {
        s->drop = name_of(w, value, "drop reason", drop_name, TCP_DROP_COUNT);
    } else {
        return 0;
    }
    return 2;
}

static struct spec parse(struct world *w, const struct line *l, unsigned from, const struct bases *b) {
    struct spec s = {.drop = -1};
    if (from + 2 > l->n)
        fail(w, "flags and a sequence number are wanted");
    s.flags = parse_flags(w, l->words[from]);
    parse_range(w, &s, l->words[from + 1], b->seq);
    for (unsigned i = from + 2; i < l->n;) {
        unsigned took = i + 1 < l->n ? parse_valued(w, &s, l->words[i], l->words[i + 1], b) : 0;
        if (!took && l->words[i][0] == '<')
            parse_options(w, &s.o, l->words[i], b), took = 1;
        else if (!took && (parse_ecn(&s, l->words[i]) || parse_df(&s, l->words[i])))
            took = 1;
        if (!took)
            fail(w, "\"%s\" says nothing about a segment", l->words[i]);
        i += took;
    }
    return s;
}

/* --- in --- */

static uint32_t build_options(struct world *w, uint8_t *to, const struct segment_options *o, const struct flow *f) {
    struct span_writer sw = span_writer_of(to, TCP_OPTIONS_MAX);
    if (o->has_mss)
        span_put_u16(&sw, 0x0204), span_put_u16(&sw, o->mss);
    if (o->sack_ok)
        span_put_u32(&sw, 0x01010402);
    if (o->has_ts) {
        span_put_u32(&sw, 0x0101080a);
        span_put_u32(&sw, o->ts_val);
        span_put_u32(&sw, o->any_ecr ? f->ts_last : o->ts_ecr);
    }
    if (o->has_ws)
        span_put_u32(&sw, 0x01030300u | o->ws);
    if (o->n_sacks) {
        span_put_u32(&sw, 0x01010500u + 2u + 8u * o->n_sacks);
        for (unsigned i = 0; i < o->n_sacks; i++)
            span_put_u32(&sw, o->sacks[i].left), span_put_u32(&sw, o->sacks[i].right);
    }
    span_put_bytes(&sw, o->raw, o->n_raw);
    while (span_written(&sw) % 4)
        span_put_u8(&sw, 1);
    if (sw.failed)
        fail(w, "more than 40 bytes of options");
    return (uint32_t)span_written(&sw);
}

static struct rte_mbuf *build(struct world *w, const struct spec *s, const struct flow *f) {
    uint8_t options[TCP_OPTIONS_MAX];
    uint32_t n_options = build_options(w, options, &s->o, f), header = 20 + n_options, len = s->end - s->seq;
    struct rte_mbuf *m = rte_pktmbuf_alloc(world_pool());
    uint8_t *p = m ? (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(34 + header + len)) : NULL;
    if (!p) {
        rte_pktmbuf_free(m);
        fail(w, "no mbuf for a segment of %u bytes", len);
    }
    memset(p, 0, 34 + header);
    struct wire_ip4 *ip = (struct wire_ip4 *)(p + 14);
    struct wire_tcp *th = (struct wire_tcp *)(p + 34);
    *ip = (struct wire_ip4){.version_ihl = 0x45,
                            .tos = s->has_ecn ? s->ecn : 0,
                            .total_len_be = rte_cpu_to_be_16((uint16_t)(20 + header + len)),
                            .ttl = 64,
                            .proto = IPPROTO_TCP,
                            .saddr_be = SCRIPT_REMOTE,
                            .daddr_be = SCRIPT_LOCAL};
    *th = (struct wire_tcp){.sport_be = rte_cpu_to_be_16((uint16_t)(SCRIPT_PEER_PORT + w->flow)),
                            .dport_be = RTE_BE16(SCRIPT_PORT),
                            .seq_be = rte_cpu_to_be_32(s->seq),
                            .ack_be = rte_cpu_to_be_32(s->ack),
                            .data_offset = (uint8_t)(header / 4 << 4),
                            .flags = s->flags,
                            .window_be = rte_cpu_to_be_16(f->win),
                            .urgent_be = rte_cpu_to_be_16(s->urg)};
    memcpy(th + 1, options, n_options);
    for (uint32_t i = 0; i < len; i++)
        p[34 + header + i] = s->has_fill ? s->fill : pattern_at(s->seq - f->irs + !!(s->flags & WIRE_TCP_SYN) + i);
    m->l2_len = 14;
    m->l3_len = 20;
    m->port = 0;
    th->checksum_be = checksum_l4(m, 34, (uint16_t)(header + len), ip->saddr_be, ip->daddr_be, IPPROTO_TCP);
    return m;
}

void segment_in(struct world *w, const struct line *l, unsigned from) {
    struct flow *f = world_flow(w);
    const struct bases b = {f->irs, f->iss, 0, f->ts_base};
    struct spec s = parse(w, l, from, &b);
    if (s.has_win)
        f->win = (uint16_t)s.win;
    if (!s.has_ack && (s.flags & WIRE_TCP_ACK)) /* all that has left */
        s.ack = f->iss + f->top;
    char text[512] = "";
    for (unsigned i = from; i < l->n; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), " %s", l->words[i]);
    trace(w, "in %s", text);
    world_inject(w, build(w, &s, f), s.drop);
}

/* --- out --- */

void segment_print(struct world *w, const struct seen *s, char *to, size_t size) {
    struct flow *f = &w->flows[(s->peer_port - SCRIPT_PEER_PORT) % SCRIPT_FLOWS];
    char flags[9] = "";
    for (unsigned i = 0, k = 0; i < 8; i++)
        if (s->flags & 1u << i)
            flags[k++] = flag_letters[i];
    uint32_t seq = s->seq - f->iss;
    int n = snprintf(to, size, "out %s %u", flags, seq);
    if (s->len)
        n += snprintf(to + n, size - (size_t)n, ":%u", seq + s->len);
    if (s->flags & WIRE_TCP_ACK)
        n += snprintf(to + n, size - (size_t)n, " ack %d", (int)(s->ack - f->irs));
    n += snprintf(to + n, size - (size_t)n, " win %u%s%s <", s->wnd, s->ecn ? s->ecn == 2 ? " ect0" : " ect1" : "",
                  s->df ? "" : " nodf");
    const struct tcp_opts *o = &s->opts;
    if (o->mss)
        n += snprintf(to + n, size - (size_t)n, "mss %u, ", o->mss);
    if (o->sack_permitted)
        n += snprintf(to + n, size - (size_t)n, "sackOK, ");
    if (o->has_ts)
        n += snprintf(to + n, size - (size_t)n, "ts %u %u, ", o->ts_val - f->ts_base, o->ts_ecr);
    if (o->has_wscale)
        n += snprintf(to + n, size - (size_t)n, "ws %u, ", o->wscale);
    for (unsigned i = 0; i < o->n_sacks; i++)
        n += snprintf(to + n, size - (size_t)n, "%s%u:%u%s", i ? " " : "sack ", o->sacks[i].left - f->irs,
                      o->sacks[i].right - f->irs, i + 1u == o->n_sacks ? ", " : "");
    if (n > 2 && to[n - 2] == ',')
        n -= 2;
    snprintf(to + n, size - (size_t)n, ">%s", w->flows + w->flow == f ? "" : " (another flow)");
}

static bool options_match(const struct segment_options *o, const struct tcp_opts *came) {
    if (!o->given)
        return true;
    bool same =
        o->others || (o->has_mss == (came->mss != 0) && o->has_ws == came->has_wscale &&
                      o->sack_ok == came->sack_permitted && o->has_ts == came->has_ts && o->n_sacks == came->n_sacks);
    same = same && (!o->has_mss || o->mss == came->mss) &&
           (!o->has_ws || (came->has_wscale && o->ws == came->wscale)) && (!o->sack_ok || came->sack_permitted);
    if (o->has_ts)
        same = same && came->has_ts && (o->any_val || o->ts_val == came->ts_val) &&
               (o->any_ecr || o->ts_ecr == came->ts_ecr);
    same = same && o->n_sacks <= came->n_sacks;
    for (unsigned i = 0; same && i < o->n_sacks; i++)
        same = o->sacks[i].left == came->sacks[i].left && o->sacks[i].right == came->sacks[i].right;
    return same;
}

/* What differs, or NULL. PSH is compared where the script writes it. */
static const char *difference(struct world *w, const struct spec *s, const struct seen *came) {
    if (came->peer_port != SCRIPT_PEER_PORT + w->flow)
        return "the flow";
    uint8_t optional = s->flags & WIRE_TCP_PSH ? 0 : WIRE_TCP_PSH;
    if ((s->flags ^ came->flags) & ~optional)
        return "the flags";
    if (s->seq != came->seq)
        return "the sequence number";
    if (s->end - s->seq != came->len)
        return "the length";
    if (s->has_ack && s->ack != came->ack)
        return "the acknowledgement number";
    if (s->has_win && !value_holds(w, came->wnd, s->win_op, s->win))
        return "the window";
    if (s->has_ecn && s->ecn != came->ecn)
        return "the ECN field";
    if (s->has_df && s->df != came->df)
        return "don't fragment";
    if (!options_match(&s->o, &came->opts))
        return "the options";
    return came->payload_ok ? NULL : "the payload";
}

void segment_out(struct world *w, const struct line *l, unsigned from) {
    struct flow *f = world_flow(w);
    const struct bases b = {f->iss, f->irs, f->ts_base, 0};
    struct spec s = parse(w, l, from, &b);
    if (!w->queued)
        fail(w, "nothing left");
    struct seen came = w->queue[0];
    memmove(w->queue, w->queue + 1, --w->queued * sizeof w->queue[0]);
    const char *wrong = difference(w, &s, &came);
    char text[256];
    segment_print(w, &came, text, sizeof text);
    if (wrong)
        fail(w, "%s is another: %s", wrong, text);
}
