/* SPDX-License-Identifier: BSD-3-Clause */
/* How large a packet the path takes (RFC 1191): what ICMP says and what silence tells lowers a flow's segments, and is
 * remembered for the peer's address, so that the next flow to it begins with what this one had to learn. What is
 * remembered ages: the path may have become wider, and only trying tells (RFC 1191 6.3).
 *
 * Black holes: a router that drops large packets and sends no ICMP, or whose ICMP is filtered. After TCP_BLACKHOLE_RTOS
 * timeouts in a row with a full segment at the head, segments become smaller step by step, in the spirit of RFC 4821
 * 7.7. Timeouts may as well mean an outage, so this is remembered for a short time only.
 *
 * A fixed table of sets: an address falls into one set, whose oldest entry makes room. Flooding it makes us forget. */
#include "tcp_int.h"

static struct tcp_path *set_of(struct tcp_core *core, uint32_t addr_be) {
    uint64_t h = tcp_siphash(core->cfg.secret, &addr_be, sizeof addr_be);
    return &core->paths[h % (TCP_PATHS / TCP_PATH_WAYS) * TCP_PATH_WAYS];
}

static bool is_live(const struct tcp_core *core, const struct tcp_path *p) {
    return p->mtu && (int32_t)(p->until_ms - tcp_now_ms(core)) > 0;
}

static struct tcp_path *find(struct tcp_core *core, uint32_t addr_be) {
    struct tcp_path *set = set_of(core, addr_be);
    for (unsigned i = 0; i < TCP_PATH_WAYS; i++)
        if (set[i].addr_be == addr_be && is_live(core, &set[i]))
            return &set[i];
    return NULL;
}

static void learn(struct tcp_core *core, uint32_t addr_be, uint16_t mtu, uint32_t for_ms) {
    struct tcp_path *set = set_of(core, addr_be), *p = find(core, addr_be);
    for (unsigned i = 0; !p && i < TCP_PATH_WAYS; i++)
        if (!is_live(core, &set[i]))
            p = &set[i];
    if (!p) {
        p = set;
        for (unsigned i = 1; i < TCP_PATH_WAYS; i++)
            if ((int32_t)(set[i].until_ms - p->until_ms) < 0)
                p = &set[i];
    }
    *p = (struct tcp_path){addr_be, tcp_now_ms(core) + for_ms, mtu};
    core->paths_learnt = true;
}

uint16_t tcp_path_mss(struct tcp_core *core, uint32_t addr_be, uint16_t mss) {
    const struct tcp_path *p = core->paths_learnt ? find(core, addr_be) : NULL;
    return p ? (uint16_t)weir_min_u32(mss, p->mtu - TCP_HEADERS) : mss;
}

static uint32_t overhead(const struct tcp_conn *c) {
    return TCP_HEADERS + (c->flags & TCP_F_TS ? TCP_OPT_TS_BYTES : 0);
}

/* Smaller segments from here on, and what is out and too large once more. Never larger ones. */
static bool lower(struct tcp_core *core, struct tcp_conn *c, uint16_t mtu, uint32_t for_ms) {
    mtu = (uint16_t)weir_max_u32(mtu, TCP_PATH_MTU_MIN);
    uint32_t mss = mtu - overhead(c);
    if (mss >= c->mss)
        return false;
    learn(core, c->key.remote_addr_be, mtu, for_ms);
    c->mss = (uint16_t)mss;
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

void tcp_path_frag_needed(struct tcp_core *core, struct tcp_conn *c, uint16_t next_hop_mtu) {
    if (!tcp_synchronised(c)) /* nothing of ours was large yet */
        return;
    /* RFC 5927 7.2: where segments of this size have got through, the report is believed only once they do so no more:
     * after a timeout. If it was true it comes again with the retransmission. A flow at its beginning has nothing to
     * doubt it by, and must not wait. */
    if (is_proven(c) && !c->backoff) {
        core->stats.pmtu_held++;
        return;
    }
    if (lower(core, c, next_hop_mtu ? next_hop_mtu : plateau_below(c->mss + overhead(c)), TCP_PATH_MS))
        core->stats.pmtu_lowered++;
}

void tcp_path_rto(struct tcp_core *core, struct tcp_conn *c) {
    static const uint16_t steps[] = {TCP_BLACKHOLE_MTU, TCP_BLACKHOLE_MTU_LEAST};
    if ((c->backoff + 1u) % TCP_BLACKHOLE_RTOS || !tcp_synchronised(c) || !c->seg_head)
        return;
    const struct tcp_sent *head = tcp_sent_of(core, c->seg_head); /* what does not get through, the MSS or less */
    uint32_t len = head->len - !!(head->flags & TCP_SENT_FIN);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(steps); i++)
        if (steps[i] - overhead(c) < len) {
            c->flags |= TCP_F_BLACKHOLE;
            core->stats.pmtu_blackholes++;
            lower(core, c, steps[i], TCP_PATH_GUESS_MS);
            return;
        }
}
