/* SPDX-License-Identifier: BSD-3-Clause */
/* Round-trip time and retransmission timeout (RFC 6298). */
#include "tcp_int.h"

#define SAMPLES_A_ROUND_MAX 65536u  /* the weights below stay within 32 bits */
#define RTT_SAMPLE_MAX_MS   120000u /* an echo older than that is no measurement */

/* A part of less than a microsecond counts as a whole one: with many measurements a round trip, none of which moved
 * anything, the average would never follow. */
static inline int32_t part_of(int32_t difference, int32_t n) {
    int32_t part = difference / n;
    return part ? part : (difference > 0) - (difference < 0);
}

/* 2.3: beta 1/4, alpha 1/8, divided by the number of measurements in a round trip (RFC 7323 G). Where that is one, as
 * with messages that wait for their answer, the divisions are shifts. */
static inline void weigh(struct tcp_conn *c, uint32_t sample_us, uint32_t n) {
    uint32_t err = c->srtt_us > sample_us ? c->srtt_us - sample_us : sample_us - c->srtt_us;
    int32_t var = part_of((int32_t)err - (int32_t)c->rttvar_us, (int32_t)(4 * n));
    int32_t mean = part_of((int32_t)sample_us - (int32_t)c->srtt_us, (int32_t)(8 * n));
    c->rttvar_us = (uint32_t)((int32_t)c->rttvar_us + var);
    c->srtt_us = weir_max_u32((uint32_t)((int32_t)c->srtt_us + mean), 1);
}

void tcp_rtt_sample(struct tcp_conn *c, uint32_t sample_us, uint32_t n) {
    if (!sample_us)
        sample_us = 1;
    if (!c->srtt_us) { /* 2.2 */
        c->srtt_us = sample_us;
        c->rttvar_us = sample_us / 2;
    } else if (WEIR_UNLIKELY(c->backoff && sample_us > c->rto_us)) {
        /* The path is another one than that we waited for: it begins anew, as RFC 4015 3.7 has it. By 2.3 SRTT would
         * stay so low that the probes come too soon, and what is probed measures nothing. */
        c->srtt_us = sample_us;
        c->rttvar_us = weir_max_u32(c->rttvar_us, sample_us / 2);
    } else if (WEIR_LIKELY(n <= 1)) {
        weigh(c, sample_us, 1);
    } else {
        weigh(c, sample_us, n);
    }
    /* The minimum is far above G, and stands for what a steady path does not show: the peer's delayed ACK. */
    uint64_t rto = (uint64_t)c->srtt_us + weir_max_u32(TCP_RTO_MIN_US, 4 * c->rttvar_us);
    c->rto_us = rto > TCP_RTO_MAX_US ? TCP_RTO_MAX_US : (uint32_t)rto;
    c->backoff = 0;
}

uint32_t tcp_rtt_rto_ms(const struct tcp_conn *c) {
    uint64_t us = (uint64_t)c->rto_us << weir_min_u32(c->backoff, 16);
    return (uint32_t)((us > TCP_RTO_MAX_US ? TCP_RTO_MAX_US : us) + 999) / 1000;
}

/* How many ACKs like this one a round trip has: RFC 7323 G takes one for two segments, but peers whose devices join
 * segments send far fewer, and each must count for more. */
static uint32_t samples_a_round(const struct tcp_conn *c, const struct tcp_news *news, uint32_t flight) {
    uint32_t step = weir_max_u32(news->acked, 2u * c->mss);
    return WEIR_LIKELY(flight < 2 * step) ? 1 : weir_min_u32(flight / step, SAMPLES_A_ROUND_MAX);
}

void tcp_rtt_ack(const struct tcp_core *core, struct tcp_conn *c, const struct tcp_opts *opts,
                 const struct tcp_news *news, uint32_t flight) {
    if (news->rtt_max_us) {
        tcp_rtt_sample(c, news->rtt_max_us, samples_a_round(c, news, flight));
        return;
    }
    const struct tcp_flight *f = tcp_flight_of(core, c);
    if (!news->acked || !(c->flags & TCP_F_TS) || !opts->has_ts || !opts->ts_ecr || !f)
        return;
    /* Only what was sent again was acknowledged: the timestamp's echo measures. An echo from before our last
     * retransmission can be the first copy's, whose ACK was lost, and while we back off a longer one can be of an ACK
     * that came with something else: they would measure our own timeout, and timeouts would feed on themselves. A path
     * that has become slower is measured by the next new segment. */
    uint32_t ms = tcp_ts_now(core, c) - opts->ts_ecr;
    if (ms > ((uint32_t)core->now_us - f->resent_us) / 1000 + 1 || (c->backoff && ms > c->rto_us / 1000))
        return;
    if (ms < RTT_SAMPLE_MAX_MS)
        tcp_rtt_sample(c, weir_max_u32(ms, 1) * 1000, samples_a_round(c, news, flight));
}

void tcp_rtt_first_copy(const struct tcp_core *core, struct tcp_conn *c, const struct tcp_opts *opts) {
    uint32_t ms = tcp_ts_now(core, c) - opts->ts_ecr;
    if (ms < RTT_SAMPLE_MAX_MS)
        tcp_rtt_sample(c, weir_max_u32(ms, 1) * 1000, 0);
}
