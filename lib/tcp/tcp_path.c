/* SPDX-License-Identifier: BSD-3-Clause */
/* How large a packet the path takes (RFC 1191): what ICMP says and what silence tells lowers a flow's segments, and is
 * remembered for the peer's address, so that the next flow to it begins with what this one had to learn.
 *
 * Black holes: a router that drops large packets and sends no ICMP, or whose ICMP is filtered. After TCP_BLACKHOLE_RTOS
 * timeouts in a row with a full segment at the head, segments become smaller step by step, in the spirit of RFC 4821
 * 7.7. Timeouts may as well mean an outage.
 *
 * Up again: the path may have become wider, or was never narrow, and only trying tells (RFC 1191 3 and 6.3). When its
 * time has come and the flow has nothing to repair, one segment of what waits goes out as large as the flow once was
 * (RFC 4821 7.4, 7.5), with as much behind it as makes its loss known before a timeout, which would be taken for
 * congestion. If it arrives so do others. If it is lost it goes again in pieces, alone it is no sign of congestion, and
 * the next try comes after twice the time, with one a step smaller (7.3): a path that never took full segments takes
 * more than what flows fall to in an outage. A router that has no room for it may say how much it has: that is tried at
 * once, by each flow that has less. A time that has come and that nobody uses is over soon: then nothing is known of
 * that address, and the next flow to it begins with full segments.
 *
 * Down no further than TCP_PATH_MTU_MIN, for a report may be forged (RFC 5927 7.2). A path that takes less, as a router
 * says in so many words, gets segments of that size without DF, for the router to cut. Those that try the path keep it.
 *
 * A fixed table of sets: an address falls into one set, whose oldest entry makes room. Flooding it makes us forget. */
#include "tcp_int.h"

static struct tcp_path *set_of(struct tcp_core *core, uint32_t addr_be) {
    uint64_t h = tcp_siphash(core->cfg.secret, &addr_be, sizeof addr_be);
    return &core->paths[h % (TCP_PATHS / TCP_PATH_WAYS) * TCP_PATH_WAYS];
}

/* 40 bits: by 32 an entry that nobody has replaced would seem to live again after 49 days. */
static uint64_t age_ms(const struct tcp_core *core, const struct tcp_path *p) {
    return (core->now_us / 1000 - ((uint64_t)p->since_high << 32 | p->since_ms)) & ((1ull << 40) - 1);
}

/* May a larger segment be tried? */
static bool is_due(const struct tcp_core *core, const struct tcp_path *p) {
    return age_ms(core, p) >= p->wait_s * 1000u;
}

static bool is_live(const struct tcp_core *core, const struct tcp_path *p) {
    return p->mtu && age_ms(core, p) < (p->wait_s + TCP_PATH_KEEP_S) * 1000u;
}

static struct tcp_path *find(struct tcp_core *core, uint32_t addr_be) {
    struct tcp_path *set = set_of(core, addr_be);
    for (unsigned i = 0; i < TCP_PATH_WAYS; i++)
        if (set[i].addr_be == addr_be && is_live(core, &set[i]))
            return &set[i];
    return NULL;
}

static struct tcp_path *learn(struct tcp_core *core, uint32_t addr_be, uint32_t mtu, uint32_t wait_s) {
    struct tcp_path *set = set_of(core, addr_be), *p = find(core, addr_be);
    bool no_df = p && p->no_df;
    for (unsigned i = 0; !p && i < TCP_PATH_WAYS; i++)
        if (!is_live(core, &set[i]))
            p = &set[i];
    if (!p) {
        p = set;
        for (unsigned i = 1; i < TCP_PATH_WAYS; i++)
            if (age_ms(core, &set[i]) > age_ms(core, p))
                p = &set[i];
    }
    uint64_t now_ms = core->now_us / 1000;
    *p = (struct tcp_path){addr_be, (uint32_t)now_ms,        (uint16_t)mtu, (uint16_t)wait_s,
                           0,       (uint8_t)(now_ms >> 32), no_df};
    core->paths_learnt = true;
    return p;
}

static uint32_t overhead(const struct tcp_conn *c) {
    return TCP_HEADERS + (c->flags & TCP_F_TS ? TCP_OPT_TS_BYTES : 0);
}

static uint32_t mtu_of(const struct tcp_conn *c) {
    return c->mss + overhead(c);
}

void tcp_path_start(struct tcp_core *core, struct tcp_conn *c) {
    const struct tcp_path *p = core->paths_learnt ? find(core, c->key.remote_addr_be) : NULL;
    c->mss = c->mss_full;
    c->flags &= ~TCP_F_MSS_LOW;
    c->no_df = p && p->no_df;
    if (!p || p->mtu - overhead(c) >= c->mss_full)
        return;
    c->mss = (uint16_t)(p->mtu - overhead(c));
    c->flags |= TCP_F_MSS_LOW;
}

/* Smaller segments from here on, and what is out and too large once more. Never larger ones. */
static bool lower(struct tcp_core *core, struct tcp_conn *c, uint16_t mtu) {
    mtu = (uint16_t)weir_max_u32(mtu, TCP_PATH_MTU_MIN);
    uint32_t mss = mtu - overhead(c);
    if (mss >= c->mss)
        return false;
    c->mss = (uint16_t)mss;
    c->flags |= TCP_F_MSS_LOW;
    c->cwnd = weir_max_u32(c->cwnd, mss);
    tcp_loss_mss_lowered(core, c);
    return true;
}

/* Routers from before RFC 1191 say 0: the next of its plateaus (7.1) below what we sent. */
static uint16_t plateau_below(uint32_t mtu) {
    static const uint16_t plateaus[] = {8166, 4352, 2002, 1492, 1006};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(plateaus); i++)
        if (plateaus[i] < mtu)
            return plateaus[i];
    return TCP_PATH_MTU_MIN;
}

/* Past its first window: full segments have arrived at the peer, or been lost and repaired. */
static bool is_proven(const struct tcp_conn *c) {
    return c->cwnd > weir_max_u32(tcp_loss_iw(c), TCP_IW_BYTES) || c->ssthresh < TCP_SSTHRESH_INITIAL;
}

static uint32_t probe_mtu(const struct tcp_core *core, const struct tcp_conn *c) {
    uint32_t i = c->seg_head;
    while (i && !(tcp_sent_of(core, i)->flags & TCP_SENT_PROBE))
        i = tcp_sent_of(core, i)->next;
    return i ? tcp_sent_of(core, i)->len + overhead(c) : 0;
}

/* The size that a router names is the next to try (RFC 8899 4.6.2): after an outage the flow's own is a guess, and may
 * be far below. Always less than what it refuses, or one that does not take what it names would have us try without
 * end. */
static void probe_refused(struct tcp_core *core, struct tcp_conn *c, uint16_t next_hop_mtu) {
    uint32_t named = next_hop_mtu < probe_mtu(core, c) ? next_hop_mtu : 0;
    learn(core, c->key.remote_addr_be, weir_max_u32(named, mtu_of(c)), TCP_PATH_WAIT_S);
    if (!(c->flags & (TCP_F_SACK | TCP_F_RECOVERY | TCP_F_LOSS)))
        c->recover = c->snd_nxt - 1; /* what is behind it draws duplicate ACKs, its echo (RFC 6582 3.2 step 2) */
    tcp_loss_mss_lowered(core, c);
}

void tcp_path_frag_needed(struct tcp_core *core, struct tcp_conn *c, uint16_t next_hop_mtu) {
    uint32_t addr_be = c->key.remote_addr_be;
    if (!tcp_synchronised(c)) /* nothing of ours was large yet */
        return;
    if ((c->flags & TCP_F_PATH_PROBE) && (!next_hop_mtu || next_hop_mtu >= mtu_of(c))) { /* it is the one too large */
        probe_refused(core, c, next_hop_mtu);
        return;
    }
    /* RFC 5927 7.2: where segments of this size have got through, the report is believed only once they do so no more:
     * after a timeout. If it was true it comes again with the retransmission. A flow at its beginning has nothing to
     * doubt it by, and must not wait. */
    if (is_proven(c) && !c->backoff) {
        core->stats.pmtu_held++;
        return;
    }
    bool below = next_hop_mtu && next_hop_mtu < TCP_PATH_MTU_MIN && !c->no_df;
    bool lowered = lower(core, c, next_hop_mtu ? next_hop_mtu : plateau_below(mtu_of(c)));
    if (!lowered && !below)
        return;
    struct tcp_path *p = learn(core, addr_be, weir_max_u32(mtu_of(c), TCP_PATH_MTU_MIN), TCP_PATH_WAIT_S);
    p->no_df = p->no_df || below;
    c->no_df = p->no_df;
    core->stats.pmtu_lowered += lowered;
}

/* IDs of datagrams that may be cut must not repeat while fragments live, and not be guessed: a stranger's fragment
 * would be put together with ours. Per address, they are a counter from a number of its own, and each core has a part
 * of them; a device that cuts a large segment counts on from the one it got. */
void tcp_path_unlock(struct tcp_core *core, const struct tcp_conn *c, struct rte_mbuf *m, uint32_t len) {
    if (mtu_of(c) > TCP_PATH_MTU_MIN) /* it tries the path */
        return;
    const uint32_t addrs[2] = {c->key.local_addr_be, c->key.remote_addr_be};
    uint32_t cores = weir_max_u32(core->cfg.cores, 1), part = 65536 / cores,
             n = weir_max_u32((len + c->mss - 1) / c->mss, 1);
    if (core->cut_id + n > part)
        core->cut_id = 0;
    uint32_t own = core->cfg.core * part + core->cut_id;
    uint16_t id = (uint16_t)(own + tcp_siphash(core->cfg.secret, addrs, sizeof addrs));
    core->cut_id += n;
    ip4_allow_fragments(m, id, core->ports[c->port].hw_ip_cksum || (m->ol_flags & RTE_MBUF_F_TX_TCP_SEG));
}

/* A guess puts off no try that is due, and brings none forward: RFC 1191 3 forbids that after ICMP. */
static void guess(struct tcp_core *core, const struct tcp_conn *c) {
    struct tcp_path *p = find(core, c->key.remote_addr_be);
    if (p)
        p->mtu = (uint16_t)weir_min_u32(p->mtu, mtu_of(c));
    else
        learn(core, c->key.remote_addr_be, mtu_of(c), TCP_PATH_GUESS_S);
}

/* Has another flow to this address learnt that so much does not get through? Routers answer a few packets a second, of
 * whichever flow (RFC 1812 4.3.2.8). */
static bool is_known_too_large(struct tcp_core *core, const struct tcp_conn *c, uint32_t len) {
    const struct tcp_path *p = core->paths_learnt ? find(core, c->key.remote_addr_be) : NULL;
    return p && !is_due(core, p) && p->mtu < mtu_of(c) && p->mtu < len + overhead(c);
}

void tcp_path_rto(struct tcp_core *core, struct tcp_conn *c) {
    static const uint16_t steps[] = {TCP_BLACKHOLE_MTU, TCP_BLACKHOLE_MTU_LEAST};
    if (!tcp_synchronised(c) || !c->seg_head)
        return;
    const struct tcp_sent *head = tcp_sent_of(core, c->seg_head); /* what does not get through, the MSS or less */
    uint32_t len = head->len - !!(head->flags & TCP_SENT_FIN);
    const struct tcp_path *p = core->paths_learnt ? find(core, c->key.remote_addr_be) : NULL;
    if (p && p->no_df) { /* below the floor nothing is small enough, but all may be cut */
        c->no_df = true;
        core->stats.pmtu_lowered += lower(core, c, TCP_PATH_MTU_MIN);
        return;
    }
    if (is_known_too_large(core, c, len)) {
        core->stats.pmtu_lowered += lower(core, c, find(core, c->key.remote_addr_be)->mtu);
        return;
    }
    if ((c->backoff + 1u) % TCP_BLACKHOLE_RTOS)
        return;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(steps); i++)
        if (steps[i] - overhead(c) < len) {
            core->stats.pmtu_blackholes++;
            if (lower(core, c, steps[i]))
                guess(core, c);
            return;
        }
}

/* What to try next: all that a flow may send, then what tunnels leave of it, and from the beginning. */
static uint32_t next_try(const struct tcp_conn *c, const struct tcp_path *p) {
    static const uint16_t steps[] = {1492, 1400, 1280, TCP_BLACKHOLE_MTU};
    for (size_t i = 0; p && i < WEIR_ARRAY_LEN(steps); i++)
        if (steps[i] < p->tried && steps[i] > mtu_of(c))
            return weir_min_u32(steps[i] - overhead(c), c->mss_full);
    return c->mss_full;
}

uint32_t tcp_path_probe_len(struct tcp_core *core, const struct tcp_conn *c) {
    const uint32_t not_now = TCP_F_PATH_PROBE | TCP_F_RECOVERY | TCP_F_LOSS | TCP_F_RESEND | TCP_F_SHUTDOWN;
    uint32_t unsent = tcp_snd_end(c) - c->snd_nxt;
    if (unsent <= 2u * c->mss || c->backoff || (c->flags & not_now))
        return 0;
    const struct tcp_path *p = find(core, c->key.remote_addr_be);
    uint32_t len = p && !is_due(core, p) ? weir_min_u32(p->mtu - overhead(c), c->mss_full) : next_try(c, p);
    /* RFC 4821 7.4: what follows tells of a loss; RACK by one segment, else duplicate ACKs do */
    uint32_t all = len + (c->flags & TCP_F_SACK ? 1 : TCP_DUP_THRESHOLD) * c->mss;
    if (len <= c->mss || unsent < all || tcp_pipe(core, c) + all > c->cwnd ||
        seq_lt(c->snd_una + c->snd_wnd, c->snd_nxt + all))
        return 0;
    return len;
}

void tcp_path_probe_sent(struct tcp_core *core, struct tcp_conn *c) {
    struct tcp_path *p = find(core, c->key.remote_addr_be);
    if (p && !is_due(core, p)) { /* forgotten unless it arrives; when more may be tried stays */
        p->mtu = (uint16_t)mtu_of(c);
    } else {
        uint32_t wait_s = p ? weir_min_u32(2u * p->wait_s, TCP_PATH_WAIT_S) : TCP_PATH_GUESS_S;
        p = learn(core, c->key.remote_addr_be, weir_max_u32(p ? p->mtu : 0, mtu_of(c)), wait_s);
        p->tried = (uint16_t)(tcp_sent_of(core, c->seg_tail)->len + overhead(c));
    }
    tcp_flight_take(core, c); /* hears of it */
    tcp_sent_of(core, c->seg_tail)->flags |= TCP_SENT_PROBE;
    c->flags |= TCP_F_PATH_PROBE;
    core->stats.pmtu_probes++;
}

void tcp_path_probe_acked(struct tcp_core *core, struct tcp_conn *c, uint16_t len) {
    struct tcp_path *p = find(core, c->key.remote_addr_be);
    c->flags &= ~TCP_F_PATH_PROBE;
    if (len <= c->mss) /* only its end was left */
        return;
    c->mss = len;
    c->cwnd = weir_max_u32(c->cwnd, len);
    c->ssthresh = weir_max_u32(c->ssthresh, 2u * len);
    core->stats.pmtu_raised++;
    c->no_df = false;
    if (len == c->mss_full)
        c->flags &= ~TCP_F_MSS_LOW;
    bool all = mtu_of(c) == tcp_mss_announced(core, c->port) + TCP_HEADERS; /* or this peer takes no more */
    if (p) {
        p->mtu = all ? 0 : (uint16_t)mtu_of(c);
        p->tried = 0;
        p->no_df = false;
    }
}

bool tcp_path_probe_lost(const struct tcp_core *core, const struct tcp_conn *c) {
    if (!(c->flags & TCP_F_PATH_PROBE) || !(c->flags & TCP_F_SACK)) /* without SACK nobody knows */
        return false;
    const struct tcp_sent *s = tcp_sent_of(core, c->seg_head);
    const uint8_t both = TCP_SENT_PROBE | TCP_SENT_LOST;
    return (s->flags & both) == both && tcp_flight_of(core, c)->lost == s->len;
}
