/* SPDX-License-Identifier: BSD-3-Clause */
/* Loss recovery: what an ACK, or a timer, means for what is outstanding.
 *
 *   open       nothing lost; cwnd grows (tcp_cc.c)
 *   RECOVERY   something is lost: RACK says so (tcp_rack.c), without SACK three duplicate ACKs (RFC 5681 3.2, NewReno
 *              RFC 6582); cwnd comes down by PRR (tcp_prr.c) until all that was out at its start is acknowledged
 *   LOSS       an RTO: all is lost, slow start from one segment, until the same point
 *
 * A recovery or RTO that turns out to have been needless is undone: by DSACKs for all that was sent again (RFC 3708
 * 3), or by a timestamp echo that shows the first copy to have arrived (RFC 3522). Limited transmit (RFC 3042) needs
 * no code: a SACKed segment, or a duplicate ACK, leaves the pipe, and one more fits in. */
#include "tcp_int.h"

uint32_t tcp_loss_iw(const struct tcp_conn *c) {
    return weir_min_u32(10u * c->mss, weir_max_u32(2u * c->mss, TCP_IW_BYTES)); /* RFC 6928 2 */
}

static void arm(struct tcp_core *core, struct tcp_conn *c, uint32_t what, uint32_t ms) {
    c->flags = (c->flags & ~(TCP_F_PTO | TCP_F_REO)) | what;
    tcp_timer_set(core, c, TCP_TIMER_REXMIT, tcp_progress_clamp(core, c, ms));
}

void tcp_loss_arm(struct tcp_core *core, struct tcp_conn *c) {
    const struct tcp_flight *f = tcp_flight_of(core, c);
    uint32_t ms;
    if (f && f->reo_wait_us)
        arm(core, c, TCP_F_REO, (f->reo_wait_us + 999) / 1000);
    else if ((ms = tcp_tlp_pto_ms(core, c)) != 0)
        arm(core, c, TCP_F_PTO, ms);
    else
        arm(core, c, 0, tcp_rtt_rto_ms(c));
}

/* Since when the RTO runs: from the head's departure on, and again from the last ACK that took us further. */
static uint32_t waited_ms(const struct tcp_core *core, const struct tcp_conn *c) {
    uint32_t head_us = tcp_sent_of(core, c->seg_head)->sent_us;
    return weir_min_u32(((uint32_t)core->now_us - head_us) / 1000, tcp_now_ms(core) - c->progress_ms);
}

void tcp_loss_sent(struct tcp_core *core, struct tcp_conn *c) {
    if (!c->rexmit_ms) { /* RFC 6298 5.1 */
        tcp_loss_arm(core, c);
        return;
    }
    uint32_t pto_ms = c->flags & TCP_F_REO ? 0 : tcp_tlp_pto_ms(core, c);
    if (!pto_ms)
        return;
    /* RFC 8985 7.2: from the last segment on, but no later than the RTO, which no segment puts off. */
    uint32_t rto_ms = tcp_rtt_rto_ms(c), waited = waited_ms(core, c);
    if (waited < rto_ms)
        arm(core, c, TCP_F_PTO, weir_min_u32(pto_ms, rto_ms - waited));
}

/* --- down, and up again --- */

/* How much was under way when what is lost left. RFC 5681 3.1 takes what is outstanding (before the ACK that tells of
 * the loss, and without what limited transmit sent beyond cwnd: 3.2 step 2). But of a tail most is acknowledged by
 * then: where it left with the window in use, what was out at that time counts (as RFC 7661 4.4.1 takes pipeACK). */
static uint32_t loss_flight(const struct tcp_core *core, const struct tcp_conn *c, uint32_t acked) {
    const struct tcp_flight *f = tcp_flight_of(core, c);
    uint32_t una = c->snd_una - acked, flight = c->snd_nxt - una;
    if (f && seq_lt(una, f->full_seq))
        flight = weir_max_u32(flight, f->full_bytes);
    return weir_min_u32(flight, c->cwnd);
}

static uint32_t reduced(struct tcp_core *core, struct tcp_conn *c, uint32_t acked) {
    if (tcp_ecn_reduced(c)) /* by ECE, for the same window: once is enough (RFC 3168 6.1.2) */
        return c->ssthresh;
    return tcp_cc_lost(core, c, loss_flight(core, c, acked));
}

static void remember(struct tcp_conn *c, struct tcp_flight *f) {
    f->undo_marker = c->snd_una;
    f->undo_end = c->snd_nxt;
    f->undo_retrans = f->undo_ts = 0;
    f->undo_cwnd = c->cwnd;
    f->undo_ssthresh = c->ssthresh;
    f->undo_possible = true;
}

/* Not for the one segment that was too large for the path: that tells nothing of congestion, and goes out again in
 * smaller pieces (RFC 4821 3). */
static void enter_recovery(struct tcp_core *core, struct tcp_conn *c, struct tcp_flight *f, uint32_t acked) {
    if (WEIR_UNLIKELY(tcp_path_probe_lost(core, c)))
        return;
    remember(c, f);
    c->ssthresh = reduced(core, c, acked);
    c->recover = f->lost_end = c->snd_nxt;
    c->flags = (c->flags & ~TCP_F_LOSS) | TCP_F_RECOVERY;
    f->tlp_out = false;
    tcp_prr_start(c, f);
    core->stats.fast_retransmits++;
}

/* The echo of what was sent before the first retransmission since undo_marker takes us further. */
static bool first_copy_came(const struct tcp_conn *c, const struct tcp_flight *f, const struct tcp_seg *seg,
                            const struct tcp_news *news) {
    return (c->flags & TCP_F_TS) && seg->opts.has_ts && seg->opts.ts_ecr && news->acked &&
           (c->flags & (TCP_F_RECOVERY | TCP_F_LOSS)) && seq_lt(seg->opts.ts_ecr, f->undo_ts);
}

/* Has every retransmission since undo_marker arrived as a second copy? */
static bool all_came_twice(struct tcp_flight *f, const struct tcp_news *news) {
    uint32_t twice = news->dsack_right - news->dsack_left;
    /* What lies beyond was out for the first time afterwards: a probe that arrived twice says nothing about this. */
    if (!twice || seq_lt(news->dsack_left, f->undo_marker) || seq_lt(f->undo_end, news->dsack_right))
        return false;
    f->undo_retrans -= weir_min_u32(twice, f->undo_retrans);
    return !f->undo_retrans;
}

static void undo(struct tcp_core *core, struct tcp_conn *c, struct tcp_flight *f) {
    tcp_sent_restore(core, c, f);
    c->cwnd = weir_max_u32(c->cwnd, f->undo_cwnd);
    c->ssthresh = weir_max_u32(c->ssthresh, f->undo_ssthresh);
    tcp_cc_of(c)->undone(c, &f->cc);
    c->flags &= ~(TCP_F_RECOVERY | TCP_F_LOSS | TCP_F_RESEND);
    if (c->flags & TCP_F_SACK) /* what is still out counts; without SACK its echoes may come (RFC 6582 3.2 step 2) */
        c->recover = c->snd_una - 1;
    f->undo_possible = false;
    f->reordering = true; /* or a path slower than we thought: either way wait longer */
    core->stats.undone++;
}

/* Take back what turns out to have been needless. The RTO stays backed off until something is measured: a path that has
 * become slower would have each message time out. The first copy's echo measures, but where the copy came long ago and
 * its ACK was lost it would measure our own timeout: then a peer with SACK reports that it has both. Not all of them
 * do: so after the first timeout only, whose length does little harm. */
static void undo_needless(struct tcp_core *core, struct tcp_conn *c, struct tcp_flight *f, const struct tcp_seg *seg,
                          const struct tcp_news *news) {
    if (!f->undo_possible || !f->undo_retrans)
        return;
    bool first = first_copy_came(c, f, seg, news), twice = news->dsack_left != news->dsack_right;
    if (!first && !all_came_twice(f, news))
        return;
    if (first && c->backoff == 1 && (c->flags & TCP_F_SACK) && !twice)
        tcp_rtt_first_copy(core, c, &seg->opts);
    undo(core, c, f);
}

/* Returns true where something beyond was found lost in the meantime: it left after the reduction, and makes another
 * one due (RFC 6675 5). */
static bool leave_recovery(struct tcp_conn *c, struct tcp_flight *f) {
    if (!(c->flags & (TCP_F_RECOVERY | TCP_F_LOSS)) || seq_lt(c->snd_una, c->recover))
        return false;
    if (c->flags & TCP_F_RECOVERY)
        c->cwnd = c->ssthresh; /* RFC 6937 3 */
    c->flags &= ~(TCP_F_RECOVERY | TCP_F_LOSS);
    c->dupacks = 0;
    tcp_rack_recovered(f);
    return seq_lt(c->snd_una, f->lost_end);
}

/* --- a peer without SACK --- */

/* RFC 5681 3.2: three duplicates; with fewer than four segments out and nothing more to send, one fewer than those
 * (RFC 5827 3.1), else only the RTO could find the loss. */
static uint32_t dup_threshold(const struct tcp_conn *c) {
    if (c->sent_count < 2 || c->sent_count > TCP_DUP_THRESHOLD || seq_lt(c->snd_nxt, tcp_snd_end(c)))
        return TCP_DUP_THRESHOLD;
    return c->sent_count - 1u;
}

/* f->sacked holds what duplicate ACKs say to have left the network; the head is never among it. */
static void reno_left(const struct tcp_core *core, const struct tcp_conn *c, struct tcp_flight *f, uint32_t bytes) {
    const struct tcp_sent *head = tcp_sent_of(core, c->seg_head);
    uint32_t out = c->snd_nxt - c->snd_una, held = f->lost + (head->flags & TCP_SENT_LOST ? 0u : head->len);
    f->sacked = weir_min_u32(bytes, out > held ? out - held : 0);
}

/* The head is lost, and of small segments behind it as many as fit into one with it: were they lost together, which
 * nothing tells, only one a round trip would go again. */
static void reno_lost(struct tcp_core *core, struct tcp_conn *c, struct tcp_flight *f) {
    uint32_t bytes = 0;
    for (uint32_t i = c->seg_head; i; i = tcp_sent_of(core, i)->next) {
        const struct tcp_sent *s = tcp_sent_of(core, i);
        bytes += s->len;
        if (i != c->seg_head && (bytes > c->mss || s->times > 1))
            return;
        tcp_sent_lost(core, c, f, i);
    }
}

static void reno_duplicate(struct tcp_core *core, struct tcp_conn *c, struct tcp_flight *f, struct tcp_news *news) {
    core->stats.dup_acks_in++;
    c->dupacks += c->dupacks != UINT8_MAX;
    if (c->flags & TCP_F_LOSS)
        return;
    news->delivered = c->mss;
    reno_left(core, c, f, f->sacked + c->mss);
    /* RFC 6582 3.2 step 2: duplicates for what an earlier loss event covered are its echo. */
    if ((c->flags & TCP_F_RECOVERY) || c->dupacks < dup_threshold(c) || !seq_lt(c->recover, c->snd_una))
        return;
    reno_lost(core, c, f);
    reno_left(core, c, f, f->sacked);
    news->lost = true;
}

static void reno_advanced(struct tcp_core *core, struct tcp_conn *c, struct tcp_flight *f, struct tcp_news *news) {
    bool partial = (c->flags & TCP_F_RECOVERY) && seq_lt(c->snd_una, c->recover);
    /* The head fills the hole; what else is acknowledged had its duplicate. */
    uint32_t counted = partial ? weir_min_u32(f->sacked, news->acked - weir_min_u32(news->acked, c->mss)) : f->sacked;
    news->delivered -= weir_min_u32(news->delivered, counted);
    f->sacked -= counted;
    if (!partial) {
        c->dupacks = 0;
        return;
    }
    /* The next hole begins here (RFC 6582 3.2 step 5). */
    if (!(tcp_sent_of(core, c->seg_head)->flags & TCP_SENT_RESENT))
        reno_lost(core, c, f);
    reno_left(core, c, f, f->sacked);
}

/* --- an ACK --- */

/* RFC 9293 3.10.7.4 fifth: the window moves with the newest segment only. One that takes SND.UNA further is the newest
 * whatever its number: it may be a retransmission, and the old window laid at the new SND.UNA would reach too far. For
 * the same reason one that acknowledges less than SND.UNA never is. Returns true where it grew. */
static bool update_window(struct tcp_conn *c, const struct tcp_seg *seg) {
    if (seq_lt(seg->ack, c->snd_una))
        return false;
    if (!seq_lt(c->snd_una, seg->ack) && !seq_lt(c->snd_wl1, seg->seq) &&
        !(c->snd_wl1 == seg->seq && seq_leq(c->snd_wl2, seg->ack)))
        return false;
    bool grew = seg->wnd > c->snd_wnd;
    c->snd_wnd = seg->wnd;
    c->snd_wnd_max = weir_max_u32(c->snd_wnd_max, seg->wnd);
    c->snd_wl1 = seq_max(c->snd_wl1, seg->seq);
    c->snd_wl2 = seg->ack;
    return grew;
}

static void advance(struct tcp_core *core, struct tcp_conn *c, const struct tcp_seg *seg, struct tcp_news *news) {
    uint32_t flight = c->snd_nxt - c->snd_una;
    news->acked = seg->ack - c->snd_una;
    bool fin = (c->flags & TCP_F_FIN_SENT) && !(c->flags & TCP_F_FIN_ACKED) && news->acked == c->tx.len_bytes + 1;
    tcp_snd_trim(core, c, news->acked - fin);
    c->snd_una = seg->ack;
    if (fin)
        c->flags |= TCP_F_FIN_ACKED;
    tcp_sent_acked(core, c, seg->ack, &seg->opts, news);
    tcp_rtt_ack(core, c, &seg->opts, news, flight);
    tcp_progress(core, c, news->acked);
}

/* The flow has a block: something is, or was, unusual. */
static void react(struct tcp_core *core, struct tcp_conn *c, struct tcp_flight *f, const struct tcp_seg *seg,
                  struct tcp_news *news) {
    if (WEIR_UNLIKELY(news->probed))
        tcp_path_probe_acked(core, c, news->probed);
    if (news->dsack_left != news->dsack_right)
        tcp_rack_dsack(c, f);
    undo_needless(core, c, f, seg, news);
    if (tcp_tlp_ack(f, seg, news)) {
        c->ssthresh = reduced(core, c, news->acked);
        c->cwnd = weir_min_u32(c->cwnd, c->ssthresh);
    }
    uint32_t lost_before = f->lost_end;
    if (c->flags & TCP_F_SACK)
        news->lost = tcp_rack_detect(core, c, f);
    else if (news->acked)
        reno_advanced(core, c, f, news);
    bool beyond = leave_recovery(c, f);
    if ((news->lost || beyond) && !(c->flags & (TCP_F_RECOVERY | TCP_F_LOSS)))
        enter_recovery(core, c, f, news->acked);
    if (beyond && seq_lt(c->snd_una, lost_before)) /* some of it may be out again, and is not counted */
        f->undo_possible = false;
    if ((c->flags & TCP_F_RECOVERY) && (news->delivered || news->lost))
        tcp_prr_ack(core, c, f, news->delivered, news->acked && !news->lost);
}

static bool is_duplicate(const struct tcp_conn *c, const struct tcp_seg *seg, bool window_moved) {
    return seg->ack == c->snd_una && c->snd_una != c->snd_nxt && !(c->flags & (TCP_F_PERSIST | TCP_F_SACK)) &&
           !seg->len && !(seg->flags & WIRE_TCP_FIN) && !window_moved; /* RFC 5681 2 */
}

static void restart_timer(struct tcp_core *core, struct tcp_conn *c, const struct tcp_flight *f,
                          const struct tcp_news *news) {
    if (c->snd_una == c->snd_nxt) { /* RFC 6298 5.2, 5.3 */
        if (news->acked)
            tcp_timer_stop(c, TCP_TIMER_REXMIT);
    } else if (news->acked || news->lost || (f && (f->reo_wait_us || (c->flags & TCP_F_REO)))) {
        tcp_loss_arm(core, c);
    }
}

void tcp_loss_ack(struct tcp_core *core, struct tcp_conn *c, const struct tcp_seg *seg) {
    struct tcp_news news = {0};
    uint32_t old_wnd = c->snd_wnd, flight = c->snd_nxt - c->snd_una;
    bool more = update_window(c, seg), duplicate = is_duplicate(c, seg, c->snd_wnd != old_wnd);
    bool recovering = c->flags & TCP_F_RECOVERY;
    struct tcp_flight *f = tcp_flight_of(core, c);
    if (!f && ((seg->opts.n_sacks && (c->flags & TCP_F_SACK)) || duplicate))
        f = tcp_flight_take(core, c);
    if (seq_lt(c->snd_una, seg->ack)) {
        advance(core, c, seg, &news);
        more = true;
    }
    if (f) {
        if (seg->opts.n_sacks && (c->flags & TCP_F_SACK)) {
            tcp_sack_take(core, c, f, seg, &news);
            core->stats.dup_acks_in += !news.acked && news.sacked;
        } else if (duplicate) {
            reno_duplicate(core, c, f, &news);
        }
        react(core, c, f, seg, &news);
    }
    if (news.acked && !recovering && !(c->flags & TCP_F_RECOVERY))
        tcp_cc_acked(core, c, &(struct tcp_cc_ack){news.delivered, flight, news.rtt_us, core->now_us});
    restart_timer(core, c, f, &news);
    if (!more && !news.delivered && !news.lost)
        return;
    if (seq_lt(c->snd_nxt, tcp_snd_end(c)) || (c->flags & (TCP_F_SHUTDOWN | TCP_F_RESEND)))
        tcp_pending(core, c);
    if (c->flags & TCP_F_WANT_ROOM) {
        c->flags &= ~TCP_F_WANT_ROOM;
        tcp_conn_raise(core, c, TCP_EV_WRITABLE);
    }
}

void tcp_loss_syn_acked(struct tcp_core *core, struct tcp_conn *c, const struct tcp_seg *seg) {
    struct tcp_news news = {0};
    const struct tcp_sent *syn = c->seg_head ? tcp_sent_of(core, c->seg_head) : NULL;
    unsigned times = syn ? syn->times : 0; /* 0: it was a cookie, and nothing is known */
    uint32_t since_ms = syn ? ((uint32_t)core->now_us - syn->sent_us) / 1000 : 0;
    tcp_sent_acked(core, c, seg->ack, &seg->opts, &news);
    if (news.rtt_us)
        tcp_rtt_sample(c, news.rtt_us, 0);
    else if (times && (c->flags & TCP_F_TS) && tcp_ts_now(core, c) - seg->opts.ts_ecr <= since_ms + 1)
        tcp_rtt_sample(c, since_ms * 1000, 0); /* the echo is of the last copy */
    else if (times)
        c->rto_us = weir_max_u32(c->rto_us, TCP_RTO_LOST_SYN_US); /* RFC 6298 5.7 */
    if (times > 2) /* RFC 6928 2: the path is lossy, not only slower than our first guess */
        c->cwnd = c->mss;
    c->backoff = 0;
    c->flags &= ~TCP_F_RESEND;
}

/* --- timers --- */

void tcp_loss_reo(struct tcp_core *core, struct tcp_conn *c) {
    struct tcp_flight *f = tcp_flight_of(core, c);
    if (f && tcp_rack_detect(core, c, f)) {
        if (!(c->flags & (TCP_F_RECOVERY | TCP_F_LOSS)))
            enter_recovery(core, c, f, 0);
        if (c->flags & TCP_F_RECOVERY)
            tcp_prr_ack(core, c, f, 0, false);
        tcp_pending(core, c);
    }
    tcp_loss_arm(core, c);
}

/* RFC 8985 6.3: the head is lost, and whatever else has been out for long enough; without SACK nothing is known of the
 * rest, and all goes out again. */
static void all_lost(struct tcp_core *core, struct tcp_conn *c, struct tcp_flight *f) {
    if (tcp_sent_of(core, c->seg_head)->flags & TCP_SENT_SACKED)
        tcp_sent_forget_sacks(core, c, f);
    if (!(c->flags & TCP_F_SACK))
        f->sacked = 0;
    for (uint32_t i = c->seg_head; i; i = tcp_sent_of(core, i)->next) {
        const struct tcp_sent *s = tcp_sent_of(core, i);
        if (i == c->seg_head || !(c->flags & TCP_F_SACK) || !f->rack_rtt_us || tcp_rack_remaining(core, c, f, s) <= 0)
            tcp_sent_lost(core, c, f, i);
    }
}

#define RACK_VALID_US 1800000000u /* 30 minutes, by when several more timeouts have come */

static void timed_out(struct tcp_core *core, struct tcp_conn *c) {
    struct tcp_flight *f = tcp_flight_take(core, c);
    if ((uint32_t)core->now_us - f->rack_us >= RACK_VALID_US) /* times in 32 bits are soon in no order with it */
        f->rack_rtt_us = 0;
    bool anew = !(c->flags & TCP_F_LOSS) || seq_leq(c->recover, c->snd_una);
    if (!(c->flags & (TCP_F_RECOVERY | TCP_F_LOSS)))
        remember(c, f);
    anew = anew && !(c->flags & TCP_F_RECOVERY);
    c->flags = (c->flags & ~(TCP_F_RECOVERY | TCP_F_TLP)) | TCP_F_LOSS; /* the algorithm asks: RFC 9438 4.8 */
    if (anew) /* the same loss again does not halve again: RFC 5681 3.1 */
        c->ssthresh = reduced(core, c, 0);
    c->recover = f->lost_end = f->undo_end = c->snd_nxt;
    f->tlp_out = false;
    f->reo_wait_us = 0;
    f->sack_steps = TCP_SACK_STEPS_MAX;
    all_lost(core, c, f);
    c->cwnd = tcp_pipe(core, c) + c->mss; /* the head goes out now, beside what left too late to be lost already */
}

bool tcp_loss_rto(struct tcp_core *core, struct tcp_conn *c) {
    if (tcp_synchronised(c) && tcp_now_ms(core) - c->progress_ms >= core->cfg.user_timeout_ms) {
        tcp_conn_reset(core, c, TCP_END_RTO_TIMEOUT);
        return false;
    }
    if (!c->sent_count)
        return true;
    core->stats.rto_fired++;
    tcp_path_rto(core, c);
    if (tcp_synchronised(c))
        timed_out(core, c);
    c->dupacks = 0;
    c->flags |= TCP_F_RESEND;
    c->backoff += c->backoff != UINT8_MAX; /* RFC 6298 5.5 */
    tcp_loss_arm(core, c);
    tcp_pending(core, c);
    return true;
}

void tcp_loss_mss_lowered(struct tcp_core *core, struct tcp_conn *c) {
    if (!c->sent_count || !tcp_synchronised(c))
        return;
    struct tcp_flight *f = tcp_flight_take(core, c);
    for (uint32_t i = c->seg_head; i; i = tcp_sent_of(core, i)->next) {
        const struct tcp_sent *s = tcp_sent_of(core, i);
        if (s->len - !!(s->flags & TCP_SENT_FIN) > c->mss)
            tcp_sent_lost(core, c, f, i);
    }
    if (!(c->flags & TCP_F_SACK))
        reno_left(core, c, f, f->sacked);
    tcp_pending(core, c);
}
