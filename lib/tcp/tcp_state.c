/* SPDX-License-Identifier: BSD-3-Clause */
/* RFC 9293 3.10.7.3 and 3.10.7.4 as a table: the processing steps are its rows, the states its columns. A segment walks
 * down; each step looks at the state as the step before has left it (one segment may carry SYN, ACK, data and FIN). A
 * step says NEXT, or ends the walk with a verdict of tcp_input_burst. The third step, security, has no row: there is
 * none. LISTEN has no column: it holds no flow (tcp_listen.c). Flows in CLOSED are in no table, so their column is a
 * guard.
 *
 * Where it leaves the text of 3.10.7, and why:
 * - SYN-SENT, fourth: text on a SYN without ACK is not kept: the peer sends it again, and nobody sends any. SND.WND is
 *   taken from the segment that acknowledges our SYN.
 * - first: bare ACKs, and only those, draw an answer twice a second at most. A bare ACK may stand on the right edge
 *   (A.2). Into a closed window ACK, RST and FIN are taken: a FIN needs no buffer.
 *   The acknowledgement of a repeated segment is taken, see acks_from_behind.
 * - second: RST by RFC 5961 3.2; TIME-WAIT ignores it (RFC 1337 3, F1).
 * - fourth: SYN-RECEIVED of a passive open does not go back to LISTEN for a SYN in the window, which a stranger can
 *   send: it is challenged as in the synchronised states, and a client that really begins anew answers with the RST
 *   that does. The same SYN again draws our SYN-ACK again. In TIME-WAIT RFC 6191 decides; a SYN that it refuses is
 *   challenged, not silently dropped.
 * - fifth: TIME-WAIT restarts for the FIN that it knows, not for any.
 * - sixth: URG is not looked at: MQTT has no urgent data, its bytes are taken in line (RFC 6093 4).
 * - ABORT (3.10.5): CLOSING and LAST-ACK send a RST as well: the peer may lack data that we give up, and must not take
 *   our FIN for its end. */
#include "tcp_int.h"

#define NEXT 1000 /* no verdict */

/* Taken off a SYN once it is processed: with it ECE and CWR are an offer or its answer (RFC 3168 6.1.1), not an echo.
 */
#define SYN_ONLY (WIRE_TCP_SYN | WIRE_TCP_ECE | WIRE_TCP_CWR)

typedef int (*step_fn)(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg);

static int next(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg) {
    (void)core, (void)c, (void)seg;
    return NEXT;
}

static int over(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg) {
    (void)core, (void)c, (void)seg;
    return -TCP_DROP_STATE;
}

/* A RST that our peer accepts in answer to this segment: <SEQ=SEG.ACK><CTL=RST>, within the limit. */
static void reset_for(struct tcp_core *core, const struct tcp_conn *c, const struct tcp_seg *seg) {
    if (!(seg->flags & WIRE_TCP_RST) && tcp_reset_allowed(core, seg->key.remote_addr_be))
        tcp_reset(core, &c->key, c->port, seg->ack, 0, WIRE_TCP_RST);
}

/* --- first: sequence number --- */

void tcp_state_fin_acked(struct tcp_core *core, struct tcp_conn *c) {
    switch (c->state) {
    case TCP_FIN_WAIT_1:
        tcp_conn_set_state(core, c, TCP_FIN_WAIT_2);
        break;
    case TCP_CLOSING:
        tcp_conn_time_wait(core, c);
        break;
    case TCP_LAST_ACK:
        tcp_conn_over(core, c, TCP_END_FIN);
        break;
    default:
        break;
    }
}

/* A good acknowledgement. Returns false where it ended the flow. */
static bool take_ack(struct tcp_core *core, struct tcp_conn *c, const struct tcp_seg *seg) {
    bool fin_was_acked = c->flags & TCP_F_FIN_ACKED, last = c->state == TCP_LAST_ACK;
    if (WEIR_UNLIKELY(seg->flags & WIRE_TCP_ECE))
        tcp_ecn_echo(core, c, seg->ack);
    tcp_loss_ack(core, c, seg);
    if (fin_was_acked || !(c->flags & TCP_F_FIN_ACKED))
        return true;
    tcp_state_fin_acked(core, c);
    return !last;
}

/* The ACK that an unacceptable segment draws. Data, SYN and FIN are answered at once, because our last ACK may have
 * been lost; bare ACKs and probes at most twice a second a flow, so that two confused peers do not play ping-pong. */
static void answer_unacceptable(struct tcp_core *core, struct tcp_conn *c, const struct tcp_seg *seg) {
    uint32_t now_ms = tcp_now_ms(core);
    if (tcp_seg_space(seg)) {
        tcp_ack_now(core, c);
    } else if (!c->challenge_ms || now_ms - c->challenge_ms >= TCP_CHALLENGE_FLOW_MS) {
        c->challenge_ms = now_ms ? now_ms : 1;
        tcp_ack_now(core, c);
    }
}

/* RFC 7323 5.3 R1, and 3.2: once agreed on, timestamps are on every segment but RST. */
static int check_timestamp(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg) {
    if (!(c->flags & TCP_F_TS) || (seg->flags & (WIRE_TCP_RST | WIRE_TCP_SYN)))
        return NEXT;
    if (!seg->opts.has_ts)
        return -TCP_DROP_TS_MISSING;
    if (seq_leq(c->ts_recent, seg->opts.ts_val) || tcp_now_ms(core) - c->last_rx_ms >= TCP_PAWS_IDLE_MS)
        return NEXT;
    answer_unacceptable(core, c, seg);
    return -TCP_DROP_PAWS;
}

/* The acknowledgement of a segment that repeats what we have is good all the same, if it is of the last window. Where
 * both sides go back over old numbers at once, or one answers a closed window from behind what the other has, nothing
 * else would ever say what has arrived. */
static bool acks_from_behind(const struct tcp_core *core, const struct tcp_conn *c, const struct tcp_seg *seg) {
    return seq_lt(c->snd_una, seg->ack) && c->rcv_nxt - seg->seq <= weir_max_u32(tcp_rcv_buf(core, c), UINT16_MAX);
}

/* RFC 5961 5.2: SND.UNA - MAX.SND.WND <= SEG.ACK <= SND.NXT. */
static bool ack_is_good(const struct tcp_conn *c, const struct tcp_seg *seg) {
    return (seg->flags & WIRE_TCP_ACK) && seq_leq(seg->ack, c->snd_nxt) &&
           seq_leq(c->snd_una - c->snd_wnd_max, seg->ack);
}

/* The peer lives. Only a good acknowledgement says so: a stranger's segments do not keep a flow whose peer is gone. */
static void heard(const struct tcp_core *core, struct tcp_conn *c) {
    c->last_rx_ms = tcp_now_ms(core);
    c->keep_sent = 0;
}

/* A keep-alive stands one before RCV.NXT. For weeks it may be all that comes: its timestamp counts (RFC 7323 4.3 (2)),
 * or PAWS would find those of an idle peer's clock older than TS.Recent after 24.8 days. No other number before the
 * window may do so, nor one without a good acknowledgement: see take_timestamp. */
static void take_timestamp_of_probe(struct tcp_conn *c, const struct tcp_seg *seg) {
    if ((c->flags & TCP_F_TS) && seg->opts.has_ts && seg->seq + 1 == c->rcv_nxt && seq_leq(seg->seq, c->rcv_acked))
        c->ts_recent = seg->opts.ts_val;
}

/* Not one byte of the window. */
static int unacceptable(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg) {
    answer_unacceptable(core, c, seg);
    bool before = seq_lt(seg->seq, c->rcv_nxt);
    if (before && seg->len)
        tcp_dsack_note(core, c, seg->seq, seg->seq + seg->len);
    if (before && tcp_synchronised(c) && ack_is_good(c, seg)) { /* a keep-alive probe is of this kind */
        heard(core, c);
        take_timestamp_of_probe(c, seg);
        if (acks_from_behind(core, c, seg))
            take_ack(core, c, seg); /* the flow may be gone */
    }
    return before ? -TCP_DROP_DUPLICATE : -TCP_DROP_OUT_OF_WINDOW;
}

/* What lies beyond the window's right edge is not taken. */
static void window_cut(struct tcp_seg *seg, uint32_t edge) {
    if (!seq_lt(edge, seg->seq + seg->len))
        return;
    seg->len = seq_lt(edge, seg->seq) ? 0 : edge - seg->seq;
    seg->flags &= ~WIRE_TCP_FIN;
    seg->window_cut = true;
}

/* RFC 9293 3.10.7.4 first, table 6; the part outside the window is cut off. With a closed window ACK, URG and RST are
 * still looked at: such a segment comes out with len 0 and window_cut. */
static int check_sequence(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg) {
    int rc = check_timestamp(core, c, seg);
    if (rc != NEXT || (seg->flags & WIRE_TCP_SYN)) /* a SYN is challenged wherever it stands: RFC 5961 4.2 */
        return rc;
    uint32_t edge = seq_max(c->rcv_adv, c->rcv_nxt); /* a FIN may have been taken beyond a closed window */
    /* A RST is judged by its own number, not by those of bytes that it may carry. One on the right edge is challenged
     * as those before it: a peer that has filled our window, of which we had to drop some, resets from there. */
    if (seg->flags & WIRE_TCP_RST)
        return seg->seq - c->rcv_nxt <= edge - c->rcv_nxt ? NEXT : -TCP_DROP_RST_OUT;
    uint32_t first = seg->seq, end = seg->seq + tcp_seg_space(seg);
    /* A bare ACK may stand on the right edge: a peer that filled our window sends from there. */
    if (seq_lt(edge, first) || (end != first && first == edge && first != c->rcv_nxt) || seq_lt(end, c->rcv_nxt) ||
        (end == c->rcv_nxt && end != first))
        return unacceptable(core, c, seg);
    if (seq_lt(first, c->rcv_nxt)) {
        uint32_t cut = c->rcv_nxt - first;
        tcp_dsack_note(core, c, first, first + weir_min_u32(cut, seg->len));
        seg->payload += cut;
        seg->len -= cut;
        seg->seq = c->rcv_nxt;
    }
    window_cut(seg, edge);
    seg->ts_due = seg->opts.has_ts && (c->flags & TCP_F_TS) && seq_leq(first, c->rcv_acked); /* RFC 7323 4.3 */
    return NEXT;
}

/* Only once the acknowledgement has been found good: a stranger who guessed a number within the window must not set
 * TS.Recent, or PAWS would drop all that the true peer sends. */
static void take_timestamp(struct tcp_conn *c, const struct tcp_seg *seg) {
    if (seg->ts_due)
        c->ts_recent = seg->opts.ts_val;
}

/* RFC 9293 3.10.7.3 first: SYN-SENT checks the ACK before all else. */
static int syn_sent_ack(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg) {
    if (!(seg->flags & WIRE_TCP_ACK) || (c->snd_nxt != c->snd_una && seg->ack == c->snd_nxt))
        return NEXT;
    reset_for(core, c, seg);
    return -TCP_DROP_ACK_UNACCEPTABLE;
}

/* TIME-WAIT sees only repetitions, and perhaps the next incarnation (RFC 6191, RFC 9293 3.10.7.4). RFC 1337: a RST must
 * not end it early. */
static int time_wait(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg) {
    if (seg->flags & WIRE_TCP_RST)
        return -TCP_DROP_RST_TIME_WAIT;
    if ((seg->flags & (WIRE_TCP_SYN | WIRE_TCP_ACK)) == WIRE_TCP_SYN && tcp_time_wait_yields(c, seg))
        return tcp_listen_reuse(core, c, seg);
    if (seg->flags & WIRE_TCP_SYN) {
        tcp_challenge(core, c);
        return -TCP_DROP_SYN_IN_FLOW;
    }
    /* The peer's FIN once more, and no other: whoever guesses the 4-tuple must not keep the flow for ever. */
    if ((seg->flags & WIRE_TCP_FIN) && seg->seq + seg->len + 1 == c->rcv_nxt)
        tcp_timer_set(core, c, TCP_TIMER_LIFE, core->cfg.time_wait_ms);
    if (!tcp_seg_space(seg) && seg->seq == c->rcv_nxt)
        return TCP_SEG_FREE; /* a late ACK */
    answer_unacceptable(core, c, seg);
    return -TCP_DROP_TIME_WAIT;
}

/* --- second: RST --- */

static int syn_sent_rst(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg) {
    if (!(seg->flags & WIRE_TCP_RST))
        return NEXT;
    if (!(seg->flags & WIRE_TCP_ACK))
        return -TCP_DROP_RST_OUT;
    core->stats.resets_in++;
    tcp_conn_over(core, c, TCP_END_REFUSED);
    return TCP_SEG_FREE;
}

/* RFC 5961 3.2: only the exact number resets. */
static int check_rst(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg) {
    if (!(seg->flags & WIRE_TCP_RST))
        return NEXT;
    if (seg->seq != c->rcv_nxt) {
        tcp_challenge(core, c);
        return -TCP_DROP_RST_INEXACT;
    }
    core->stats.resets_in++;
    bool refused = c->state == TCP_SYN_RECEIVED && !(c->flags & TCP_F_PASSIVE);
    tcp_conn_over(core, c, refused ? TCP_END_REFUSED : TCP_END_PEER_RESET);
    return TCP_SEG_FREE;
}

/* --- fourth: SYN --- */

/* Our SYN has been acknowledged by this segment. */
static void syn_acked(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg) {
    tcp_loss_syn_acked(core, c, seg);
    c->flags |= TCP_F_SYN_ACKED;
    c->snd_una = c->snd_nxt = seg->ack;
    c->snd_wnd = c->snd_wnd_max = seg->wnd;
    c->snd_wl1 = seg->seq;
    c->snd_wl2 = seg->ack;
    c->progress_ms = tcp_now_ms(core);
    heard(core, c);
    tcp_timer_stop(c, TCP_TIMER_REXMIT);
    tcp_conn_established(core, c);
}

/* RFC 9293 3.10.7.3 fourth. */
static int syn_sent_syn(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg) {
    if (!(seg->flags & WIRE_TCP_SYN))
        return -TCP_DROP_FLAGS;
    tcp_ecn_agree(c, seg->flags, c->flags & TCP_F_ECN);
    seg->seq++;
    seg->flags &= ~SYN_ONLY;
    c->rcv_nxt = c->rcv_acked = seg->seq;
    c->rcv_adv = c->rcv_nxt + tcp_window_of_syn(core, c);
    tcp_opts_negotiate(core, c, &seg->opts);
    window_cut(seg, c->rcv_adv);
    if (seg->flags & WIRE_TCP_ACK) {
        syn_acked(core, c, seg);
        tcp_ack_now(core, c);
        return NEXT;
    }
    /* Simultaneous open: our SYN again, now with an ACK. */
    tcp_conn_set_state(core, c, TCP_SYN_RECEIVED);
    c->flags |= TCP_F_RESEND;
    tcp_pending(core, c);
    return TCP_SEG_FREE;
}

static int syn_received_syn(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg) {
    if (!(seg->flags & WIRE_TCP_SYN))
        return NEXT;
    if (seg->seq + 1 != c->rcv_nxt) {
        tcp_challenge(core, c);
        return -TCP_DROP_SYN_IN_FLOW;
    }
    if (seg->flags & WIRE_TCP_ACK) { /* the answer to our SYN crossed with theirs: RFC 9293 3.5, figure 8 */
        seg->seq++;
        seg->flags &= ~SYN_ONLY;
        seg->len = 0;
        return NEXT;
    }
    tcp_ecn_syn_again(c, seg->flags);
    c->flags |= TCP_F_RESEND; /* our SYN-ACK was lost */
    tcp_pending(core, c);
    return TCP_SEG_FREE;
}

/* RFC 5961 4.2: whatever its number. A peer that has really begun anew answers our ACK with the RST that we accept. */
static int challenge_syn(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg) {
    if (!(seg->flags & WIRE_TCP_SYN))
        return NEXT;
    tcp_challenge(core, c);
    return -TCP_DROP_SYN_IN_FLOW;
}

/* --- fifth: ACK --- */

static int syn_received_ack(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg) {
    if (!(seg->flags & WIRE_TCP_ACK))
        return -TCP_DROP_ACK_MISSING;
    if (c->snd_nxt == c->snd_una || seg->ack != c->snd_nxt) {
        reset_for(core, c, seg);
        return -TCP_DROP_ACK_UNACCEPTABLE;
    }
    take_timestamp(c, seg);
    syn_acked(core, c, seg);
    return NEXT;
}

/* RFC 5961 5.2. */
static int check_ack(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg) {
    if (!(seg->flags & WIRE_TCP_ACK))
        return -TCP_DROP_ACK_MISSING;
    if (seq_lt(c->snd_nxt, seg->ack)) {
        tcp_challenge(core, c);
        return -TCP_DROP_ACK_FUTURE;
    }
    if (seq_lt(seg->ack, c->snd_una - c->snd_wnd_max)) {
        tcp_challenge(core, c);
        return -TCP_DROP_ACK_OLD;
    }
    heard(core, c);
    take_timestamp(c, seg);
    return take_ack(core, c, seg) ? NEXT : TCP_SEG_FREE;
}

/* --- seventh and eighth: text and FIN --- */

static int text(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg) {
    tcp_ecn_data(core, c, seg);
    int rc = tcp_text(core, c, seg);
    return rc < 0 ? rc : NEXT;
}

/* After the peer's FIN nothing may come. */
static int text_after_fin(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg) {
    if (!tcp_seg_space(seg) && !seg->window_cut)
        return NEXT;
    tcp_ack_now(core, c);
    return -TCP_DROP_AFTER_FIN;
}

static int fin(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg) {
    if ((seg->flags & WIRE_TCP_FIN) && seg->seq + seg->len == c->rcv_nxt)
        tcp_fin_in_order(core, c);
    return NEXT;
}

static const step_fn steps[][TCP_STATE_COUNT] = {
    /* first: sequence number */
    {
        [TCP_CLOSED] = over,
        [TCP_SYN_SENT] = syn_sent_ack,
        [TCP_SYN_RECEIVED] = check_sequence,
        [TCP_ESTABLISHED] = check_sequence,
        [TCP_FIN_WAIT_1] = check_sequence,
        [TCP_FIN_WAIT_2] = check_sequence,
        [TCP_CLOSE_WAIT] = check_sequence,
        [TCP_CLOSING] = check_sequence,
        [TCP_LAST_ACK] = check_sequence,
        [TCP_TIME_WAIT] = time_wait,
    },
    /* second: RST */
    {
        [TCP_CLOSED] = over,
        [TCP_SYN_SENT] = syn_sent_rst,
        [TCP_SYN_RECEIVED] = check_rst,
        [TCP_ESTABLISHED] = check_rst,
        [TCP_FIN_WAIT_1] = check_rst,
        [TCP_FIN_WAIT_2] = check_rst,
        [TCP_CLOSE_WAIT] = check_rst,
        [TCP_CLOSING] = check_rst,
        [TCP_LAST_ACK] = check_rst,
        [TCP_TIME_WAIT] = over,
    },
    /* fourth: SYN */
    {
        [TCP_CLOSED] = over,
        [TCP_SYN_SENT] = syn_sent_syn,
        [TCP_SYN_RECEIVED] = syn_received_syn,
        [TCP_ESTABLISHED] = challenge_syn,
        [TCP_FIN_WAIT_1] = challenge_syn,
        [TCP_FIN_WAIT_2] = challenge_syn,
        [TCP_CLOSE_WAIT] = challenge_syn,
        [TCP_CLOSING] = challenge_syn,
        [TCP_LAST_ACK] = challenge_syn,
        [TCP_TIME_WAIT] = over,
    },
    /* fifth: ACK */
    {
        [TCP_CLOSED] = over,
        [TCP_SYN_SENT] = over,
        [TCP_SYN_RECEIVED] = syn_received_ack,
        [TCP_ESTABLISHED] = check_ack,
        [TCP_FIN_WAIT_1] = check_ack,
        [TCP_FIN_WAIT_2] = check_ack,
        [TCP_CLOSE_WAIT] = check_ack,
        [TCP_CLOSING] = check_ack,
        [TCP_LAST_ACK] = check_ack,
        [TCP_TIME_WAIT] = over,
    },
    /* sixth: URG, which no state looks at; seventh: text */
    {
        [TCP_CLOSED] = over,
        [TCP_SYN_SENT] = over,
        [TCP_SYN_RECEIVED] = over,
        [TCP_ESTABLISHED] = text,
        [TCP_FIN_WAIT_1] = text,
        [TCP_FIN_WAIT_2] = text,
        [TCP_CLOSE_WAIT] = text_after_fin,
        [TCP_CLOSING] = text_after_fin,
        [TCP_LAST_ACK] = text_after_fin,
        [TCP_TIME_WAIT] = text_after_fin,
    },
    /* eighth: FIN */
    {
        [TCP_CLOSED] = over,
        [TCP_SYN_SENT] = over,
        [TCP_SYN_RECEIVED] = over,
        [TCP_ESTABLISHED] = fin,
        [TCP_FIN_WAIT_1] = fin,
        [TCP_FIN_WAIT_2] = fin,
        [TCP_CLOSE_WAIT] = next,
        [TCP_CLOSING] = next,
        [TCP_LAST_ACK] = next,
        [TCP_TIME_WAIT] = next,
    },
};

int tcp_state_run(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg) {
    for (size_t i = 0; i < WEIR_ARRAY_LEN(steps); i++) {
        int verdict = steps[i][c->state](core, c, seg);
        if (verdict != NEXT)
            return verdict;
    }
    return seg->kept ? TCP_SEG_KEPT : TCP_SEG_FREE;
}
