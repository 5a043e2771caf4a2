/* SPDX-License-Identifier: BSD-3-Clause */
/* Slow start (RFC 5681 3.1) and HyStart++ (RFC 9406): a round trip whose shortest RTT is clearly above that of the one
 * before says that a queue builds up, before it overflows. Growth then slows down for up to five rounds (conservative
 * slow start); if the RTT comes back it was jitter and slow start resumes, else congestion avoidance begins.
 *
 * Slow start goes by bytes (RFC 3465): split ACKs gain nothing, and never more than a doubling a round trip. Neither
 * RFC 3465's limit of two segments an ACK nor the L = 8 that RFC 9406 4.3 suggests for senders that do not pace is
 * there (L = infinity): receivers that acknowledge whatever a turn, or a coalesced burst, brought in one ACK would see
 * a linear start, a few segments a round trip. Bursts are bounded where they arise: tcp_output sends
 * TCP_QUANTUM_BYTES a flow, then others have their turn. */
#include "tcp_int.h"

/* RFC 9406 4.3 */
#define MIN_RTT_THRESH_US  4000u
#define MAX_RTT_THRESH_US  16000u
#define MIN_RTT_DIVISOR    8u
#define N_RTT_SAMPLE       8u
#define CSS_GROWTH_DIVISOR 4u
#define CSS_ROUNDS         5u

#define RTT_NONE UINT32_MAX /* "infinity" */

static void begin_round(const struct tcp_conn *c, struct tcp_cc_state *s) {
    s->last_min_rtt_us = s->now_min_rtt_us;
    s->now_min_rtt_us = RTT_NONE;
    s->rtt_samples = 0;
    s->round_end = c->snd_nxt;
}

static bool queue_builds_up(const struct tcp_cc_state *s) {
    if (s->rtt_samples < N_RTT_SAMPLE || s->last_min_rtt_us == RTT_NONE)
        return false;
    uint32_t threshold =
        weir_max_u32(MIN_RTT_THRESH_US, weir_min_u32(s->last_min_rtt_us / MIN_RTT_DIVISOR, MAX_RTT_THRESH_US));
    return s->now_min_rtt_us >= s->last_min_rtt_us + threshold;
}

static void take_sample(struct tcp_cc_state *s, uint32_t rtt_us) {
    if (!rtt_us)
        return;
    s->now_min_rtt_us = weir_min_u32(s->now_min_rtt_us, rtt_us);
    s->rtt_samples += s->rtt_samples < N_RTT_SAMPLE;
    if (!s->in_css && queue_builds_up(s)) {
        s->css_base_us = s->now_min_rtt_us;
        s->css_rounds = 0;
        s->in_css = true;
    } else if (s->in_css && s->rtt_samples >= N_RTT_SAMPLE && s->now_min_rtt_us < s->css_base_us) {
        s->in_css = false; /* jitter */
    }
}

uint32_t tcp_hystart_acked(struct tcp_conn *c, struct tcp_cc_state *s, const struct tcp_cc_ack *a) {
    uint32_t used = weir_min_u32(a->acked, c->ssthresh - c->cwnd);
    /* Once a loss has set ssthresh it ends slow start well enough (RFC 9406 4.3). */
    if (!s || c->ssthresh < TCP_SSTHRESH_INITIAL) {
        c->cwnd += used;
        return a->acked - used;
    }
    if (!s->in_rounds) {
        s->in_rounds = true;
        s->now_min_rtt_us = RTT_NONE;
        begin_round(c, s);
    }
    c->cwnd += s->in_css ? used / CSS_GROWTH_DIVISOR : used;
    take_sample(s, a->rtt_us);
    if (!seq_lt(c->snd_una, s->round_end) || seq_lt(c->snd_nxt, s->round_end)) { /* the latter: it ended 2 GB ago */
        if (s->in_css && ++s->css_rounds == CSS_ROUNDS) {
            c->ssthresh = c->cwnd;
            s->in_css = s->in_rounds = false;
        }
        begin_round(c, s);
    }
    return a->acked - used;
}
