/* SPDX-License-Identifier: BSD-3-Clause */
/* RACK-TLP (RFC 8985): a segment is lost once one that left later has arrived, and the time that reordering may take
 * has passed since; a probe finds losses at the tail, where nothing arrives later. */
#include "tcp_int.h"

#define REO_PERSIST      16u     /* recoveries that a widened window outlives: RFC 8985 6.2 step 4 */
#define MIN_RTT_VALID_MS 300000u /* a path changes now and then */
#define TLP_SLACK_US     2000u   /* both sides' ticks */
#define TLP_ACK_DELAY_US 200000u /* TLP.max_ack_delay: what a peer may hold back the ACK of a single segment */

/* RFC 8985 5.1: did (us2, end2) leave before (us1, end1)? */
static bool sent_after(uint32_t us1, uint32_t end1, uint32_t us2, uint32_t end2) {
    return seq_lt(us2, us1) || (us1 == us2 && seq_lt(end2, end1));
}

static void note_min_rtt(const struct tcp_core *core, struct tcp_flight *f, uint32_t rtt_us) {
    uint32_t now_ms = tcp_now_ms(core);
    if (rtt_us <= f->min_rtt_us || !f->min_rtt_us || now_ms - f->min_rtt_ms > MIN_RTT_VALID_MS) {
        f->min_rtt_us = rtt_us;
        f->min_rtt_ms = now_ms;
    }
}

/* Step 2: is this the ACK of an earlier copy? Then it says nothing about the latest one. */
static bool of_earlier_copy(const struct tcp_core *core, const struct tcp_conn *c, const struct tcp_flight *f,
                            const struct tcp_sent *s, uint32_t rtt_us, const struct tcp_opts *opts) {
    if (s->times == 1)
        return false;
    if ((c->flags & TCP_F_TS) && opts->has_ts && seq_lt(opts->ts_ecr, tcp_ts_now(core, c) - rtt_us / 1000 - 1))
        return true;
    return rtt_us < f->min_rtt_us;
}

void tcp_rack_delivered(const struct tcp_core *core, const struct tcp_conn *c, struct tcp_flight *f,
                        const struct tcp_sent *s, const struct tcp_opts *opts) {
    uint32_t rtt_us = weir_max_u32((uint32_t)core->now_us - s->sent_us, 1), end = tcp_sent_end(s);
    if (seq_lt(f->fack, end)) /* step 3 */
        f->fack = end;
    else if (s->times == 1 && seq_lt(end, f->fack))
        f->reordering = true;
    if (of_earlier_copy(core, c, f, s, rtt_us, opts))
        return;
    if (s->times == 1)
        note_min_rtt(core, f, rtt_us);
    if (f->rack_rtt_us && !sent_after(s->sent_us, end, f->rack_us, f->rack_end))
        return;
    f->rack_us = s->sent_us;
    f->rack_end = end;
    f->rack_rtt_us = rtt_us;
}

void tcp_rack_dsack(const struct tcp_conn *c, struct tcp_flight *f) {
    if (f->dsack_round && seq_lt(c->snd_una, f->dsack_round) && seq_leq(f->dsack_round, c->snd_nxt))
        return; /* once a round trip; beyond SND.NXT it is one of 2 GB ago */
    f->dsack_round = c->snd_nxt ? c->snd_nxt : 1;
    f->reo_mult += f->reo_mult != UINT8_MAX;
    f->reo_persist = REO_PERSIST;
}

void tcp_rack_recovered(struct tcp_flight *f) {
    if (f->reo_persist && --f->reo_persist == 0)
        f->reo_mult = 1;
}

/* Step 4. */
static uint32_t reo_wnd_us(const struct tcp_conn *c, const struct tcp_flight *f) {
    if (!f->reordering && ((c->flags & (TCP_F_RECOVERY | TCP_F_LOSS)) || f->n_sacked >= TCP_DUP_THRESHOLD))
        return 0;
    uint64_t wnd = (uint64_t)f->reo_mult * f->min_rtt_us / 4;
    return (uint32_t)(c->srtt_us && c->srtt_us < wnd ? c->srtt_us : wnd);
}

int32_t tcp_rack_remaining(const struct tcp_core *core, const struct tcp_conn *c, const struct tcp_flight *f,
                           const struct tcp_sent *s) {
    return (int32_t)(s->sent_us + f->rack_rtt_us + reo_wnd_us(c, f) - (uint32_t)core->now_us);
}

bool tcp_rack_detect(struct tcp_core *core, struct tcp_conn *c, struct tcp_flight *f) {
    bool lost = false;
    f->reo_wait_us = 0;
    if (!f->rack_rtt_us)
        return false;
    while (f->oldest) { /* all that comes later in the list has longer to go */
        uint32_t i = f->oldest;
        const struct tcp_sent *s = tcp_sent_of(core, i);
        if (!sent_after(f->rack_us, f->rack_end, s->sent_us, tcp_sent_end(s)))
            break;
        int32_t remaining = tcp_rack_remaining(core, c, f, s);
        if (remaining > 0) {
            f->reo_wait_us = (uint32_t)remaining;
            break;
        }
        tcp_sent_lost(core, c, f, i);
        f->lost_end = seq_max(f->lost_end, tcp_sent_end(s));
        core->stats.rack_lost++;
        lost = true;
    }
    return lost;
}

/* 7.2. Only with SACK, in no kind of recovery, and with nothing SACKed: else RACK finds what is lost. */
uint32_t tcp_tlp_pto_ms(const struct tcp_core *core, const struct tcp_conn *c) {
    if (!c->srtt_us || c->backoff || !(c->flags & TCP_F_SACK) || (c->flags & (TCP_F_RECOVERY | TCP_F_LOSS)) ||
        !tcp_synchronised(c))
        return 0;
    const struct tcp_flight *f = tcp_flight_of(core, c);
    if (f && (f->tlp_out || f->sacked))
        return 0;
    uint32_t us = 2 * c->srtt_us + TLP_SLACK_US + (c->sent_count == 1 ? TLP_ACK_DELAY_US : 0);
    return us < c->rto_us ? (us + 999) / 1000 : 0;
}

void tcp_tlp_fired(struct tcp_core *core, struct tcp_conn *c) {
    c->flags |= TCP_F_TLP;
    tcp_pending(core, c);
}

void tcp_tlp_sent(struct tcp_core *core, struct tcp_conn *c, bool again) {
    struct tcp_flight *f = tcp_flight_take(core, c);
    core->stats.tlp_probes++;
    f->tlp_end = c->snd_nxt;
    f->tlp_out = true;
    f->tlp_resent = again;
}

bool tcp_tlp_ack(struct tcp_flight *f, const struct tcp_seg *seg, const struct tcp_news *news) {
    if (!f->tlp_out || seq_lt(seg->ack, f->tlp_end))
        return false;
    bool twice = news->dsack_left != news->dsack_right; /* both copies arrived */
    if (!f->tlp_resent || twice) {
        f->tlp_out = false;
        return false;
    }
    if (seq_lt(f->tlp_end, seg->ack)) {
        f->tlp_out = false;
        return true;
    }
    /* Exactly the end: the first such ACK can be the original's; a second, plain one is the probe's, and both arrived
     * (7.4.2 third). */
    if (!news->acked && !seg->len && !news->sacked)
        f->tlp_out = false;
    return false;
}
