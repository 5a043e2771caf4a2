/* SPDX-License-Identifier: BSD-3-Clause */
/* SYN cookies (RFC 4987 3.6): under backlog pressure a SYN is answered without a flow. What the flow needs is in our
 * numbers, which the peer's ACK brings back; from that ACK the flow is made as if it had been half open, and the state
 * table takes the ACK, with the data on it. A cookie costs no flow and no timer: it is not sent again, the peer's SYN
 * is.
 *
 * The initial sequence number, most significant bit first:
 *
 *     with timestamps    | MAC, 28 bits                            | MSS, 3 | generation, 1 |
 *     without            | MAC, 24 bits        | SACK, 1 | scale, 3 | MSS, 3 | generation, 1 |
 *
 * and with timestamps TSval, which the peer echoes (our clock, rounded down to where these bits fit, so that the flow's
 * later timestamps never go back):
 *
 *     | clock and the flow's offset, 26 bits                   | ECN, 1 | SACK, 1 | scale, 4: 15 is none |
 *
 * MAC: SipHash-2-4 of the 4-tuple, the peer's ISN and all the bits above that are not MAC. So an ACK without timestamps
 * does not pass for one whose SYN had them. The MSS is rounded down to mss_table, without timestamps the peer's shift
 * to scale_table: what we send is then smaller than it could be, never larger. Without timestamps ECN is not agreed on.
 * Nothing else is lost, but the round-trip time of the handshake.
 *
 * The key is another one each COOKIE_PERIOD_US, derived from the boot secret by the number of the period; the lowest
 * bit of that number is in the cookie. This period's and the last one's hold, so a cookie lives 1 to 2 periods.
 *
 * Forgery: each ACK is checked against one MAC: 1 in 2^24 passes without timestamps. With them 1 in 2^28, and the echo
 * must be one of the last 2 periods under an offset nobody else knows, 1 in 2^15 more. What is forged opens one flow,
 * which the owner's deadlines end; the peer's address is then not proven. A flow that was reset at once may come back
 * where the network repeats its first ACK within the cookie's life.
 *
 * The ISN is not M + F of RFC 6528: it does not rise from one incarnation to the next. So a SYN to a flow in TIME-WAIT
 * gets no cookie (tcp_listen_reuse). */
#include "tcp_int.h"

#define COOKIE_PERIOD_US 60000000ull
#define COOKIE_LIFE_MS   120000u /* of the older generation at its end */
#define COOKIE_LABEL     0x636f6f6bu

#define CLEAR_TS   4 /* bits of the ISN that are not MAC */
#define CLEAR_NOTS 8
#define TS_BITS    6
#define TS_MASK    ((1u << TS_BITS) - 1)
#define TS_SACK    0x10u
#define TS_ECN     0x20u
#define NO_SCALE   15u
#define HASH_TS    0x400u /* in what is hashed, above the bits: the SYN had timestamps */

/* What peers announce: nearly all 1460, or less by the headers of a tunnel; 536 where there is no option (RFC 9293
 * 3.7.1); jumbo frames within a site. The first is the smallest MSS we ever use. */
static const uint16_t mss_table[8] = {TCP_MSS_MIN, 536, 1220, 1360, 1400, 1440, 1460, 8960};

/* The peer's shift, without timestamps; the first entry is no option. 8 is what Windows says, which sends no
 * timestamps; 0 and 2 are small devices. */
static const uint8_t scale_table[8] = {NO_SCALE, 0, 2, 4, 6, 7, 8, 10};

/* What a cookie holds. */
struct cookie {
    uint16_t mss;
    uint8_t wscale; /* NO_SCALE */
    bool sack, ecn, ts;
};

/* --- generations --- */

static void refresh_keys(struct tcp_core *core) {
    struct tcp_cookies *k = &core->cookies;
    if (core->now_us < k->until_us)
        return;
    uint64_t generation = core->now_us / COOKIE_PERIOD_US;
    k->generation = (uint32_t)generation;
    k->until_us = (generation + 1) * COOKIE_PERIOD_US;
    tcp_key_derive(core, COOKIE_LABEL, generation, k->key[generation & 1]);
    tcp_key_derive(core, COOKIE_LABEL, generation - 1, k->key[~generation & 1]);
}

/* The MAC in its place; the bits of `clear` are 0. */
static uint32_t mac(const struct tcp_core *core, const struct flow_key *key, uint32_t irs, uint32_t hashed,
                    unsigned clear) {
    const struct {
        struct flow_key key;
        uint32_t irs, hashed;
    } input = {*key, irs, hashed};
    return (uint32_t)tcp_siphash(core->cookies.key[hashed & 1], &input, sizeof(input)) & ~0u << clear;
}

/* --- the peer's SYN --- */

/* Index of the last of 8 rising values that is not above `v`; the first where all are. */
static uint32_t mss_index(uint32_t v) {
    uint32_t i = WEIR_ARRAY_LEN(mss_table) - 1;
    while (i && mss_table[i] > v)
        i--;
    return i;
}

static uint32_t scale_index(const struct tcp_opts *o) {
    if (!o->has_wscale)
        return 0;
    uint32_t i = WEIR_ARRAY_LEN(scale_table) - 1;
    while (i > 1 && scale_table[i] > o->wscale)
        i--;
    return i;
}

uint16_t tcp_cookie_window(const struct tcp_core *core) {
    return (uint16_t)weir_min_u32(core->cfg.rcv_buf_initial_bytes, UINT16_MAX);
}

bool tcp_cookie_wanted(struct tcp_core *core, const struct tcp_listener *l) {
    uint32_t most = core->cfg.max_half_open;
    if (core->half_open >= most - most / 4)
        core->cookies.pressed = true;
    else if (core->half_open < most / 2)
        core->cookies.pressed = false;
    return l->options.cookies == TCP_COOKIES_ALWAYS ||
           (l->options.cookies == TCP_COOKIES_AUTO && core->cookies.pressed);
}

int tcp_cookie_answer(struct tcp_core *core, const struct tcp_listener *l, const struct tcp_seg *seg) {
    const struct tcp_opts *o = &seg->opts;
    refresh_keys(core);
    uint32_t generation = core->cookies.generation & 1;
    uint32_t clear = generation | mss_index(o->mss ? o->mss : TCP_MSS_DEFAULT) << 1, hashed;
    struct tcp_reply r = {.key = seg->key,
                          .ack = seg->seq + 1,
                          .flags = WIRE_TCP_SYN | WIRE_TCP_ACK,
                          .window = tcp_cookie_window(core),
                          .port = (uint8_t)seg->m->port,
                          .options = (o->sack_permitted ? TCP_REPLY_SACK : 0) | (o->has_wscale ? TCP_REPLY_WS : 0)};
    if (o->has_ts) {
        bool ecn = l->options.ecn && (~seg->flags & (WIRE_TCP_ECE | WIRE_TCP_CWR)) == 0; /* RFC 3168 6.1.1 */
        uint32_t bits = (o->has_wscale ? o->wscale : NO_SCALE) | (o->sack_permitted ? TS_SACK : 0) | (ecn ? TS_ECN : 0);
        uint32_t now = tcp_now_ms(core) + tcp_ts_offset(core, &seg->key);
        r.ts_val = now - ((now - bits) & TS_MASK);
        r.ts_ecr = o->ts_val;
        r.options |= TCP_REPLY_TS;
        r.flags |= ecn ? WIRE_TCP_ECE : 0;
        hashed = HASH_TS | bits << CLEAR_TS | clear;
    } else {
        hashed = clear |= scale_index(o) << 4 | (uint32_t)o->sack_permitted << 7;
    }
    r.seq = mac(core, &seg->key, seg->seq, hashed, o->has_ts ? CLEAR_TS : CLEAR_NOTS) | clear;
    if (!tcp_reply_push(core, TCP_REPLIES_COOKIE, &r))
        return -TCP_DROP_REPLIES_FULL;
    core->cookies.sent_us = core->now_us;
    core->stats.cookies_sent++;
    return TCP_SEG_FREE;
}

/* --- the peer's ACK --- */

bool tcp_cookie_recent(const struct tcp_core *core) {
    uint64_t sent_us = core->cookies.sent_us;
    return sent_us && core->now_us - sent_us < 2 * COOKIE_PERIOD_US;
}

/* Does the peer echo what we said lately? Then it heard from this boot, in this flow, and a number that the cookie was
 * not made for is that of a segment behind the first one, which got lost. Its peer will send that again. */
static bool echo_is_fresh(const struct tcp_core *core, const struct tcp_seg *seg) {
    uint32_t now = tcp_now_ms(core) + tcp_ts_offset(core, &seg->key);
    return now - seg->opts.ts_ecr < COOKIE_LIFE_MS + TS_MASK;
}

/* What the cookie that this segment acknowledges holds. False: it acknowledges none of ours. */
static bool decode(struct tcp_core *core, const struct tcp_seg *seg, struct cookie *k) {
    uint32_t iss = seg->ack - 1, irs = seg->seq - 1, hashed;
    refresh_keys(core);
    *k = (struct cookie){.mss = mss_table[iss >> 1 & 7], .ts = seg->opts.has_ts};
    if (k->ts) {
        uint32_t bits = seg->opts.ts_ecr & TS_MASK;
        if (!echo_is_fresh(core, seg))
            return false;
        k->wscale = bits & NO_SCALE;
        k->sack = bits & TS_SACK;
        k->ecn = bits & TS_ECN;
        hashed = HASH_TS | bits << CLEAR_TS | (iss & 15);
    } else {
        k->wscale = scale_table[iss >> 4 & 7];
        k->sack = iss >> 7 & 1;
        hashed = iss & 255;
    }
    unsigned clear = k->ts ? CLEAR_TS : CLEAR_NOTS;
    return mac(core, &seg->key, irs, hashed, clear) == (iss & ~0u << clear);
}

int tcp_cookie_input(struct tcp_core *core, struct tcp_seg *seg) {
    const struct tcp_listener *l = tcp_listener_find(core, seg->key.local_addr_be, seg->key.local_port_be);
    struct cookie k;
    if (!l || l->options.cookies == TCP_COOKIES_OFF)
        return tcp_no_flow(core, seg, TCP_DROP_NO_FLOW);
    if (!l->accepting)
        return tcp_no_flow(core, seg, TCP_DROP_LISTENER_CLOSED);
    if (!decode(core, seg, &k)) {
        core->stats.cookies_bad++;
        bool early = seg->opts.has_ts && echo_is_fresh(core, seg);
        return early ? -TCP_DROP_COOKIE : tcp_no_flow(core, seg, TCP_DROP_COOKIE);
    }
    const struct tcp_opts syn = {.mss = k.mss,
                                 .wscale = k.wscale,
                                 .has_wscale = k.wscale != NO_SCALE,
                                 .has_ts = k.ts,
                                 .ts_val = seg->opts.ts_val,
                                 .sack_permitted = k.sack};
    struct tcp_conn *c = tcp_listen_open(core, l, seg, seg->seq - 1, &syn, seg->ack - 1);
    if (!c)
        return -TCP_DROP_CONNS_FULL; /* silent: the peer sends its first data again */
    core->stats.cookies_accepted++;
    c->flags |= k.ecn ? TCP_F_ECN : 0;
    c->snd_nxt = seg->ack; /* our SYN is out */
    c->rcv_adv = c->rcv_nxt + tcp_cookie_window(core);
    seg->wnd <<= tcp_snd_wscale(c); /* that of an ACK is scaled: RFC 7323 2.2 */
    return tcp_state_run(core, c, seg);
}
