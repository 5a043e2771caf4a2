/* SPDX-License-Identifier: BSD-3-Clause */
/* What an ACK means for what is outstanding: round-trip time and RTO (RFC 6298, Karn), duplicate ACKs, fast retransmit
 * and recovery (RFC 5681 3.2, NewReno RFC 6582), limited transmit (RFC 3042), early retransmit (RFC 5827).
 *
 * There is no scoreboard yet. The SACK blocks of an ACK are used where they stand in it: their sum says how much has
 * left the network behind a hole (several duplicate ACKs' worth in one, which receivers that acknowledge once a turn
 * send), and after an RTO what they cover is skipped. */
#include "tcp_int.h"

void tcp_loss_rtt(struct tcp_conn *c, uint32_t sample_us) {
    if (!sample_us)
        sample_us = 1;
    if (!c->srtt_us) { /* RFC 6298 2.2 */
        c->srtt_us = sample_us;
        c->rttvar_us = sample_us / 2;
    } else { /* 2.3: beta 1/4, alpha 1/8 */
        uint32_t err = c->srtt_us > sample_us ? c->srtt_us - sample_us : sample_us - c->srtt_us;
        c->rttvar_us = c->rttvar_us - c->rttvar_us / 4 + err / 4;
        c->srtt_us = weir_max_u32(c->srtt_us - c->srtt_us / 8 + sample_us / 8, 1);
    }
    uint64_t rto = c->srtt_us + (uint64_t)weir_max_u32(1000, 4 * c->rttvar_us); /* G: 1 ms */
    c->rto_us = rto < TCP_RTO_MIN_US ? TCP_RTO_MIN_US : rto > TCP_RTO_MAX_US ? TCP_RTO_MAX_US : (uint32_t)rto;
    c->backoff = 0;
}

uint32_t tcp_loss_rto_ms(const struct tcp_conn *c) {
    uint64_t us = (uint64_t)c->rto_us << weir_min_u32(c->backoff, 16);
    return (uint32_t)((us > TCP_RTO_MAX_US ? TCP_RTO_MAX_US : us) + 999) / 1000;
}

#define PTO_SLACK_US 10000u /* both sides' ticks, and a peer that did not get its core at once */

/* The probe timeout of RFC 8985 7.2, simplified: the probe is the head, not the tail. It repairs a lost retransmission
 * and a lost tail alike, in two round trips in place of an RTO of 200 ms and more. 0: none. With less than two segments
 * out the peer may be delaying its ACK, and after a timeout nothing is known that a probe could rely on. */
static uint32_t pto_ms(const struct tcp_conn *c) {
    if (!c->srtt_us || c->backoff || (c->flags & TCP_F_PROBED) || !tcp_synchronised(c) ||
        c->snd_max - c->snd_una < 2u * c->mss)
        return 0;
    uint32_t us = weir_max_u32(2 * c->srtt_us, c->srtt_us + 4 * c->rttvar_us) + PTO_SLACK_US;
    return us < c->rto_us ? (us + 999) / 1000 : 0;
}

void tcp_loss_arm(struct tcp_core *core, struct tcp_conn *c) {
    uint32_t pto = pto_ms(c);
    c->flags = pto ? c->flags | TCP_F_PTO : c->flags & ~TCP_F_PTO;
    tcp_timer_set(core, c, TCP_TIMER_REXMIT, pto ? pto : tcp_loss_rto_ms(c));
}

void tcp_loss_sent(struct tcp_core *core, struct tcp_conn *c) {
    if (!c->rexmit_ms) { /* RFC 6298 5.1 */
        c->progress_ms = tcp_now_ms(core);
        tcp_loss_arm(core, c);
    } else if (pto_ms(c)) {
        tcp_loss_arm(core, c);
    }
}

uint32_t tcp_loss_iw(const struct tcp_conn *c) {
    return weir_min_u32(10u * c->mss, weir_max_u32(2u * c->mss, TCP_IW_BYTES)); /* RFC 6928 2 */
}

#define RTT_SAMPLE_MAX_MS 120000u /* an echo older than that is no measurement */

/* Karn: a retransmission ends the timing of a segment. Then the timestamp echo, if there is one, measures. */
static void sample_rtt(struct tcp_core *core, struct tcp_conn *c, const struct tcp_seg *seg) {
    if (c->flags & TCP_F_TIMED) {
        if (seq_leq(c->rtt_seq, seg->ack)) {
            c->flags &= ~TCP_F_TIMED;
            tcp_loss_rtt(c, (uint32_t)core->now_us - c->rtt_start_us);
        }
        return;
    }
    if (!(c->flags & TCP_F_TS) || !seg->opts.has_ts || !seg->opts.ts_ecr)
        return;
    uint32_t ms = tcp_ts_now(core, c) - seg->opts.ts_ecr;
    /* An echo from before our last retransmission can be the first copy's, whose ACK was lost, and while we back off a
     * longer one can be of an ACK that came with something else: they would measure our own timeout, and timeouts would
     * feed on themselves. A path that has become slower is measured by the next new segment. */
    if (ms > ((uint32_t)core->now_us - c->rtt_start_us) / 1000 + 1 || (c->backoff && ms > c->rto_us / 1000))
        return;
    if (ms < RTT_SAMPLE_MAX_MS)
        tcp_loss_rtt(c, weir_max_u32(ms, 1) * 1000);
}

/* Is block b about data outstanding above the cumulative ACK? (else a D-SACK, RFC 2883, or forged) */
static bool block_valid(const struct tcp_conn *c, const struct tcp_sack *b) {
    return seq_lt(c->snd_una, b->left) && seq_lt(b->left, b->right) && seq_leq(b->right, c->snd_max);
}

/* Bytes that this ACK says have arrived behind a hole. */
static uint32_t sacked_bytes(const struct tcp_conn *c, const struct tcp_seg *seg) {
    uint32_t sum = 0;
    if (!(c->flags & TCP_F_SACK))
        return 0;
    for (uint8_t i = 0; i < seg->opts.n_sacks; i++)
        if (block_valid(c, &seg->opts.sacks[i]))
            sum += seg->opts.sacks[i].right - seg->opts.sacks[i].left;
    return weir_min_u32(sum, c->snd_max - c->snd_una); /* blocks may repeat each other */
}

/* Going back over what was sent before an RTO: do not send again what the peer reports to have. */
static void skip_sacked(struct tcp_conn *c, const struct tcp_seg *seg) {
    for (uint8_t pass = 0; pass < seg->opts.n_sacks; pass++) /* blocks come in any order */
        for (uint8_t i = 0; i < seg->opts.n_sacks; i++) {
            const struct tcp_sack *b = &seg->opts.sacks[i];
            if (block_valid(c, b) && seq_leq(b->left, c->snd_nxt) && seq_lt(c->snd_nxt, b->right) &&
                seq_leq(b->right, tcp_snd_end(c)))
                tcp_snd_skip(c, b->right - c->snd_nxt);
        }
}

/* RFC 5681 3.2: three duplicates; with fewer than four segments out and nothing more to send, one fewer than those
 * (RFC 5827 3.1), else only the RTO could find the loss. */
static uint32_t dup_threshold(const struct tcp_conn *c) {
    uint32_t segments = (c->snd_max - c->snd_una + c->mss - 1) / c->mss;
    if (segments < 2 || segments > TCP_DUP_THRESHOLD || seq_lt(c->snd_nxt, tcp_snd_end(c)))
        return TCP_DUP_THRESHOLD;
    return segments - 1;
}

/* RFC 6582 3.2 step 2: duplicates for what an earlier loss event covered are its echo, unless SACK shows a new hole. */
static bool may_enter(const struct tcp_conn *c, uint32_t sacked) {
    if (seq_lt(c->recover, c->snd_una))
        return true;
    return sacked && c->recover == c->snd_una;
}

static void enter_recovery(struct tcp_core *core, struct tcp_conn *c, uint32_t sacked) {
    c->ssthresh = tcp_cc_of(c)->lost(c, NULL, c->snd_max - c->snd_una, core->now_us);
    c->recover = c->snd_max;
    c->cwnd = c->ssthresh + weir_max_u32(TCP_DUP_THRESHOLD * c->mss, sacked);
    c->flags = (c->flags & ~(TCP_F_TIMED | TCP_F_LOSS)) | TCP_F_RECOVERY | TCP_F_REXMIT_HEAD;
    core->stats.fast_retransmits++;
    tcp_loss_arm(core, c);
    tcp_pending(core, c);
}

/* A retransmission of the slow start after an RTO was lost as well: three segments behind it have arrived. Nothing but
 * what was sent after the RTO can report that once snd_nxt is so far on. */
static void head_lost_again(struct tcp_core *core, struct tcp_conn *c) {
    c->ssthresh = tcp_cc_of(c)->lost(c, NULL, weir_min_u32(c->cwnd, c->snd_max - c->snd_una), core->now_us);
    c->cwnd = c->ssthresh;
    c->flags |= TCP_F_REXMIT_HEAD | TCP_F_HEAD_RESENT;
    core->stats.fast_retransmits++;
    tcp_loss_arm(core, c);
    tcp_pending(core, c);
}

static void duplicate(struct tcp_core *core, struct tcp_conn *c, const struct tcp_seg *seg) {
    uint32_t sacked = sacked_bytes(c, seg), threshold = dup_threshold(c);
    core->stats.dup_acks_in++;
    if (c->dupacks < UINT8_MAX)
        c->dupacks++;
    if (c->flags & TCP_F_RECOVERY) { /* a segment has left the network: RFC 6582 3.2 step 3 */
        c->cwnd =
            weir_max_u32(weir_min_u32(c->cwnd + c->mss, c->ssthresh + (c->snd_max - c->snd_una)), c->ssthresh + sacked);
        tcp_pending(core, c);
        return;
    }
    if (c->dupacks < threshold && sacked <= (threshold - 1) * c->mss) {
        tcp_pending(core, c); /* limited transmit: tcp_out.c adds a segment a duplicate */
        return;
    }
    if (may_enter(c, sacked))
        enter_recovery(core, c, sacked);
    else if ((c->flags & (TCP_F_LOSS | TCP_F_HEAD_RESENT)) == TCP_F_LOSS && sacked &&
             c->snd_nxt - c->snd_una > TCP_DUP_THRESHOLD * c->mss)
        head_lost_again(core, c);
}

/* New data acknowledged during recovery. */
static void recovery_ack(struct tcp_conn *c, uint32_t acked) {
    if (seq_leq(c->recover, c->snd_una)) { /* full: deflate (RFC 6582 3.2 step 3, first option) */
        uint32_t flight = c->snd_max - c->snd_una;
        c->cwnd = weir_min_u32(c->ssthresh, weir_max_u32(flight, c->mss) + c->mss);
        c->flags &= ~TCP_F_RECOVERY;
        c->dupacks = 0;
        return;
    }
    c->flags |= TCP_F_REXMIT_HEAD; /* partial: the next hole */
    c->cwnd = c->cwnd > acked + c->mss ? c->cwnd - acked : c->mss;
    if (acked >= c->mss)
        c->cwnd += c->mss;
}

static void advance(struct tcp_core *core, struct tcp_conn *c, const struct tcp_seg *seg) {
    uint32_t acked = seg->ack - c->snd_una, flight = c->snd_max - c->snd_una;
    bool fin = (c->flags & TCP_F_FIN_SENT) && acked == c->tx.len_bytes + 1;
    tcp_snd_trim(core, c, acked - fin);
    c->snd_una = seg->ack;
    c->snd_nxt = seq_max(c->snd_nxt, c->snd_una);
    if (fin)
        c->flags |= TCP_F_FIN_ACKED;
    sample_rtt(core, c, seg);
    c->progress_ms = tcp_now_ms(core);
    c->flags &= ~(TCP_F_HEAD_RESENT | TCP_F_PROBED);
    if (c->flags & TCP_F_RECOVERY) {
        recovery_ack(c, acked);
    } else {
        c->dupacks = 0;
        if ((c->flags & TCP_F_LOSS) && seq_leq(c->recover, c->snd_una))
            c->flags &= ~TCP_F_LOSS;
        tcp_cc_acked(core, c, &(struct tcp_cc_ack){acked, flight, 0, core->now_us});
    }
    if (c->snd_una == c->snd_max) { /* RFC 6298 5.2, 5.3 */
        tcp_timer_stop(c, TCP_TIMER_REXMIT);
        c->flags &= ~TCP_F_REXMIT_HEAD;
    } else {
        tcp_loss_arm(core, c);
    }
}

/* RFC 9293 3.10.7.4 fifth: the window moves with the newest segment only. One that takes SND.UNA further is new
 * whatever its number (a peer that sends something again also acknowledges): by SND.WL1 alone the old window would
 * reach on from the new SND.UNA, beyond the right edge. Returns true where it grew. */
static bool update_window(struct tcp_conn *c, const struct tcp_seg *seg) {
    bool newer = seq_lt(c->snd_wl1, seg->seq) || (c->snd_wl1 == seg->seq && seq_leq(c->snd_wl2, seg->ack));
    if (!seq_lt(c->snd_una, seg->ack) && (seg->ack != c->snd_una || !newer))
        return false;
    bool grew = seg->wnd > c->snd_wnd;
    c->snd_wnd = seg->wnd;
    c->snd_wnd_max = weir_max_u32(c->snd_wnd_max, seg->wnd);
    c->snd_wl1 = seg->seq;
    c->snd_wl2 = seg->ack;
    return grew;
}

void tcp_loss_ack(struct tcp_core *core, struct tcp_conn *c, const struct tcp_seg *seg) {
    uint32_t old_wnd = c->snd_wnd;
    bool more = update_window(c, seg);
    if (seq_lt(c->snd_una, seg->ack)) {
        advance(core, c, seg);
        more = true;
    } else if (seg->ack == c->snd_una && c->snd_una != c->snd_max && !(c->flags & TCP_F_PERSIST)) {
        /* RFC 5681 2: no data, no FIN, the window unchanged; with SACK the blocks alone tell. */
        bool plain = !seg->len && !(seg->flags & WIRE_TCP_FIN) && c->snd_wnd == old_wnd;
        if ((c->flags & TCP_F_SACK) ? sacked_bytes(c, seg) != 0 : plain)
            duplicate(core, c, seg);
    }
    if ((c->flags & TCP_F_LOSS) && seg->opts.n_sacks && seq_lt(c->snd_nxt, c->snd_max))
        skip_sacked(c, seg);
    if (!more)
        return;
    if ((c->flags & TCP_F_PERSIST) && c->snd_wnd) {
        tcp_timer_stop(c, TCP_TIMER_REXMIT);
        c->backoff = 0;
    }
    if (seq_lt(c->snd_nxt, tcp_snd_end(c)) || (c->flags & (TCP_F_SHUTDOWN | TCP_F_REXMIT_HEAD)))
        tcp_pending(core, c);
    if (c->flags & TCP_F_WANT_ROOM) {
        c->flags &= ~TCP_F_WANT_ROOM;
        tcp_conn_raise(core, c, TCP_EV_WRITABLE);
    }
}

void tcp_loss_probe(struct tcp_core *core, struct tcp_conn *c) {
    core->stats.tlp_probes++;
    c->flags |= TCP_F_PROBED;
    if (c->flags & (TCP_F_RECOVERY | TCP_F_LOSS)) {
        c->flags |= TCP_F_REXMIT_HEAD;
        tcp_loss_arm(core, c);
        tcp_pending(core, c);
    } else { /* most likely a loss: the window answers it as such (RFC 8985 7.4.2) */
        enter_recovery(core, c, 0);
    }
}

void tcp_loss_mss_lowered(struct tcp_core *core, struct tcp_conn *c) {
    c->recover = c->snd_max;
    c->flags = (c->flags & ~(TCP_F_RECOVERY | TCP_F_TIMED)) | TCP_F_LOSS;
    tcp_snd_rewind(c);
    tcp_pending(core, c);
}

bool tcp_loss_rto(struct tcp_core *core, struct tcp_conn *c) {
    if (tcp_synchronised(c) && tcp_now_ms(core) - c->progress_ms >= core->cfg.user_timeout_ms) {
        tcp_reset_flow(core, c);
        tcp_conn_over(core, c, TCP_END_RTO_TIMEOUT);
        return false;
    }
    core->stats.rto_fired++;
    tcp_path_rto(core, c);
    if (tcp_synchronised(c)) {
        if (!c->backoff) /* the same loss again does not halve again: RFC 5681 3.1 */
            c->ssthresh = tcp_cc_of(c)->lost(c, NULL, c->snd_max - c->snd_una, core->now_us);
        c->cwnd = c->mss;
        c->recover = c->snd_max;
        c->flags |= TCP_F_LOSS;
    }
    c->flags &= ~(TCP_F_RECOVERY | TCP_F_REXMIT_HEAD | TCP_F_HEAD_RESENT | TCP_F_PROBED | TCP_F_TIMED);
    c->dupacks = 0;
    if (c->backoff < UINT8_MAX) /* RFC 6298 5.5 */
        c->backoff++;
    tcp_snd_rewind(c);
    tcp_timer_set(core, c, TCP_TIMER_REXMIT, tcp_loss_rto_ms(c));
    tcp_pending(core, c);
    return true;
}
