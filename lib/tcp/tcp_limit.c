/* SPDX-License-Identifier: BSD-3-Clause */
/* How often we answer what nobody can prove to be honest.
 *
 * Challenge ACKs (RFC 5961 10): one a flow in TCP_CHALLENGE_FLOW_MS, asked first, then a budget a second for all flows.
 * A shared budget that somebody can use up and count is a side channel: who owns one connection learns by it whether a
 * forged segment drew a challenge on another (CVE-2016-5696). So the total of a second is drawn anew each second from a
 * range as wide as itself, and a connection of his own takes 2 of it: he needs some thousands, and then counts in
 * noise. No flow needs more than its own limit gives: to its peer one challenge ACK says all, and the next segment asks
 * again.
 *
 * Resets for segments to no flow (port scans, stray ACKs, refused cookies): token buckets, one for all and one for each
 * class of sources, so that a single scanner takes a tenth. The class is a keyed hash of the source's address, and one
 * that can be watched without giving its key away: nobody can choose to share the bucket of somebody else. */
#include "tcp_int.h"

bool tcp_limit_take(struct tcp_core *core, struct tcp_limit *l, uint32_t per_s, uint32_t jitter) {
    if (l->window_us == 0 || core->now_us - l->window_us >= 1000000) {
        l->window_us = core->now_us;
        l->left = per_s;
        if (jitter)
            l->left += (uint32_t)tcp_siphash(core->cfg.secret, &core->now_us, sizeof core->now_us) % jitter;
    }
    if (!l->left)
        return false;
    l->left--;
    return true;
}

void tcp_challenge(struct tcp_core *core, struct tcp_conn *c) {
    uint32_t now_ms = tcp_now_ms(core);
    if (c->challenge_ms && now_ms - c->challenge_ms < TCP_CHALLENGE_FLOW_MS)
        return;
    if (!tcp_limit_take(core, &core->challenge_limit, TCP_CHALLENGES_PER_S, TCP_CHALLENGES_PER_S))
        return;
    c->challenge_ms = now_ms ? now_ms : 1;
    core->stats.challenge_acks++;
    tcp_ack_now(core, c);
}

#define BUCKET_US 1000000u /* a bucket holds what a second gives */

/* Is there a token of `cost_us`? A bucket is the time up to which its income has been spent. */
static bool has_token(uint64_t *spent_us, uint64_t now_us, uint32_t cost_us) {
    uint64_t oldest = now_us > BUCKET_US ? now_us - BUCKET_US : 0;
    if (*spent_us < oldest)
        *spent_us = oldest;
    return *spent_us + cost_us <= now_us;
}

bool tcp_reset_allowed(struct tcp_core *core, uint32_t source_be) {
    static_assert(TCP_RESET_SOURCES == 256, "a byte of the hash");
    const uint32_t cost_us = BUCKET_US / TCP_RESETS_PER_S, source_cost_us = BUCKET_US / TCP_RESETS_A_SOURCE;
    if (!has_token(&core->reset_bucket, core->now_us, cost_us)) /* first: a flood is not hashed */
        return false;
    const uint32_t label[2] = {source_be, TCP_RESETS_A_SOURCE}; /* nothing else is hashed like it */
    uint64_t *source = &core->reset_sources[tcp_siphash(core->cfg.secret, label, sizeof label) >> 56];
    if (!has_token(source, core->now_us, source_cost_us))
        return false;
    *source += source_cost_us;
    core->reset_bucket += cost_us;
    return true;
}
