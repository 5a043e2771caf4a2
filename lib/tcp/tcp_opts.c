/* SPDX-License-Identifier: BSD-3-Clause */
/* TCP options: MSS (RFC 9293 3.7.1), window scale and timestamps (RFC 7323), SACK (RFC 2018). */
#include "tcp_int.h"

enum { OPT_END = 0, OPT_NOP = 1, OPT_MSS = 2, OPT_WSCALE = 3, OPT_SACK_PERMITTED = 4, OPT_SACK = 5, OPT_TS = 8 };

static void parse_sacks(struct span body, struct tcp_opts *o) {
    while (o->n_sacks < WEIR_ARRAY_LEN(o->sacks) && span_left(&body) >= 8) {
        struct tcp_sack *b = &o->sacks[o->n_sacks++];
        b->left = span_u32(&body);
        b->right = span_u32(&body);
    }
}

/* One option of known kind. A known kind of the wrong length is skipped as if unknown. */
static void parse_one(uint8_t kind, struct span body, bool syn, struct tcp_opts *o) {
    size_t len = span_left(&body);
    if (kind == OPT_TS && len == 8) {
        o->has_ts = true;
        o->ts_val = span_u32(&body);
        o->ts_ecr = span_u32(&body);
    } else if (kind == OPT_SACK && !syn) {
        parse_sacks(body, o);
    } else if (syn && kind == OPT_MSS && len == 2) {
        o->mss = span_u16(&body);
    } else if (syn && kind == OPT_WSCALE && len == 1) {
        o->has_wscale = true;
        o->wscale = (uint8_t)weir_min_u32(span_u8(&body), TCP_WSCALE_MAX);
    } else if (syn && kind == OPT_SACK_PERMITTED && len == 0) {
        o->sack_permitted = true;
    }
}

int tcp_opts_walk(struct span s, bool syn, struct tcp_opts *o) {
    while (span_left(&s)) {
        uint8_t kind = span_u8(&s);
        if (kind == OPT_END)
            break;
        if (kind == OPT_NOP)
            continue;
        uint8_t len = span_u8(&s); /* counts kind and itself: below 2 nothing would move on */
        if (s.failed || len < 2)
            return -TCP_DROP_OPTION;
        struct span body = span_sub(&s, len - 2u);
        if (s.failed)
            return -TCP_DROP_OPTION;
        parse_one(kind, body, syn, o);
    }
    return 0;
}

void tcp_opts_write_syn(struct span_writer *w, const struct tcp_opts *o) {
    span_put_u8(w, OPT_MSS);
    span_put_u8(w, 4);
    span_put_u16(w, o->mss);
    if (o->sack_permitted) {
        span_put_u8(w, OPT_SACK_PERMITTED);
        span_put_u8(w, 2);
    } else if (o->has_ts) {
        span_put_u16(w, OPT_NOP << 8 | OPT_NOP);
    }
    if (o->has_ts) {
        span_put_u8(w, OPT_TS);
        span_put_u8(w, 10);
        span_put_u32(w, o->ts_val);
        span_put_u32(w, o->ts_ecr);
    } else if (o->sack_permitted) {
        span_put_u16(w, OPT_NOP << 8 | OPT_NOP);
    }
    if (o->has_wscale) {
        span_put_u8(w, OPT_NOP);
        span_put_u8(w, OPT_WSCALE);
        span_put_u8(w, 3);
        span_put_u8(w, o->wscale);
    }
}

void tcp_opts_put_syn(struct span_writer *w, const struct tcp_core *core, const struct tcp_conn *c) {
    bool all = c->state == TCP_SYN_SENT; /* offer everything; a SYN-ACK repeats what the SYN had */
    const struct tcp_opts o = {.mss = tcp_mss_announced(core, c->port),
                               .has_ts = all || (c->flags & TCP_F_TS),
                               .ts_val = tcp_ts_now(core, c),
                               .ts_ecr = c->ts_recent,
                               .sack_permitted = all || (c->flags & TCP_F_SACK),
                               .has_wscale = all || (c->flags & TCP_F_WS),
                               .wscale = core->rcv_wscale};
    tcp_opts_write_syn(w, &o);
}

void tcp_opts_put(struct span_writer *w, const struct tcp_core *core, const struct tcp_conn *c, bool with_sacks) {
    bool ts = c->flags & TCP_F_TS;
    if (ts) { /* of nearly every segment: in two pieces, from registers */
        const uint64_t first = RTE_BE32(TCP_OPT_TS_PREFIX) | (uint64_t)rte_cpu_to_be_32(tcp_ts_now(core, c)) << 32;
        const uint32_t echo = rte_cpu_to_be_32(c->ts_recent);
        uint8_t *p = span_put(w, TCP_OPT_TS_BYTES);
        assert(p);
        memcpy(p, &first, sizeof(first));
        memcpy(p + sizeof(first), &echo, sizeof(echo));
    }
    if (!with_sacks || !(c->flags & TCP_F_SACK) || !(c->reasm_count || (c->flags & TCP_F_DSACK)))
        return;
    struct tcp_sack blocks[TCP_SACK_BLOCKS];
    uint8_t n = tcp_dsack_block(core, c, blocks); /* RFC 2883 4: before the others */
    n = (uint8_t)(n + tcp_reasm_sacks(core, c, blocks + n, (uint8_t)(TCP_SACK_BLOCKS - ts - n)));
    if (!n)
        return;
    span_put_u16(w, OPT_NOP << 8 | OPT_NOP);
    span_put_u8(w, OPT_SACK);
    span_put_u8(w, (uint8_t)(2 + 8 * n));
    for (uint8_t i = 0; i < n; i++) {
        span_put_u32(w, blocks[i].left);
        span_put_u32(w, blocks[i].right);
    }
}

void tcp_opts_negotiate(struct tcp_core *core, struct tcp_conn *c, const struct tcp_opts *o) {
    c->flags &= ~(TCP_F_TS | TCP_F_SACK | TCP_F_WS);
    c->wscales = 0;
    if (o->has_ts) {
        c->flags |= TCP_F_TS;
        c->ts_recent = o->ts_val;
    }
    if (o->sack_permitted)
        c->flags |= TCP_F_SACK;
    if (o->has_wscale) {
        c->flags |= TCP_F_WS;
        c->wscales = (uint8_t)(core->rcv_wscale << 4 | o->wscale);
    }
    uint16_t mss = tcp_mss_towards(core, c->port, o->mss ? o->mss : TCP_MSS_DEFAULT);
    c->mss_full = (uint16_t)(mss - (o->has_ts ? TCP_OPT_TS_BYTES : 0));
    tcp_path_start(core, c);
    c->cwnd = tcp_loss_iw(c);
    c->ssthresh = TCP_SSTHRESH_INITIAL;
}
