/* SPDX-License-Identifier: BSD-3-Clause */
/* RFC 9406 round by round: a path whose RTT the test sets. */
#include "harness.h"

#include <criterion/criterion.h>

#define MSS 1000u

struct path {
    struct tcp_conn c;
    struct tcp_cc_state s;
};

static struct path start(void) {
    return (struct path){.c = {.mss = MSS, .cwnd = 10 * MSS, .ssthresh = TCP_SSTHRESH_INITIAL, .snd_una = 5000u - 1}};
}

/* A round: what was out when it began is acknowledged, an ACK a segment with an RTT each: rtt_us for the first, and
 * `slope` more for each that follows. Each ACK lets out what it allows. Returns how many ACKs it took. */
static uint32_t round_of(struct path *p, uint32_t rtt_us, uint32_t slope) {
    uint32_t end = p->s.in_rounds ? p->s.round_end : p->c.snd_nxt, acks = 0;
    for (; seq_lt(p->c.snd_una, end); acks++, rtt_us += slope) {
        p->c.snd_una += MSS;
        tcp_hystart_acked(&p->c, &p->s, &(struct tcp_cc_ack){.acked = MSS, .flight = p->c.cwnd, .rtt_us = rtt_us});
        p->c.snd_nxt = p->c.snd_una + p->c.cwnd;
    }
    return acks;
}

static struct path started(void) {
    struct path p = start();
    p.c.snd_nxt = p.c.snd_una + p.c.cwnd;
    return p;
}

Test(tcp_hystart, doubles_while_the_rtt_stays) {
    struct path p = started();
    for (uint32_t i = 1; i <= 12; i++) {
        uint32_t cwnd = p.c.cwnd;
        uint32_t acks = round_of(&p, 20000, 0);
        cr_assert_eq(p.c.cwnd, cwnd + acks * MSS);
        cr_assert_geq(p.c.cwnd, cwnd * 2 - 2 * MSS);
    }
    cr_assert_eq(p.c.ssthresh, TCP_SSTHRESH_INITIAL);
}

Test(tcp_hystart, jitter_below_the_threshold_is_none) {
    struct path p = started();
    for (uint32_t i = 1; i <= 8; i++) {
        uint32_t cwnd = p.c.cwnd;
        uint32_t acks = round_of(&p, i % 2 ? 20000 : 23999, 0); /* MIN_RTT_THRESH is 4 ms */
        cr_assert_eq(p.c.cwnd, cwnd + acks * MSS);
    }
}

Test(tcp_hystart, a_longer_rtt_ends_slow_start_within_six_rounds) {
    struct path p = started();
    round_of(&p, 20000, 0);
    round_of(&p, 20000, 0);
    uint32_t began = p.c.cwnd, acks = round_of(&p, 24000, 0);
    cr_assert(p.s.in_css, "after eight samples");
    /* Seven segments in slow start and the eighth that shows it, then a quarter of each. */
    cr_assert_eq(p.c.cwnd, began + 8 * MSS + (acks - 8) * MSS / 4);
    cr_assert_eq(p.s.css_rounds, 1, "the round in which it began counts");
    uint32_t rounds = 1;
    while (p.c.cwnd < p.c.ssthresh && rounds < 20) {
        uint32_t cwnd = p.c.cwnd;
        round_of(&p, 24000, 0);
        rounds++;
        cr_assert_leq(p.c.cwnd, cwnd + cwnd / 4);
    }
    cr_assert_eq(rounds, 5);
    cr_assert_eq(p.c.ssthresh, p.c.cwnd);
}

Test(tcp_hystart, fewer_than_eight_samples_say_nothing) {
    struct path p = started();
    round_of(&p, 20000, 0);
    p.s.round_end = p.c.snd_una + 7 * MSS;
    cr_assert_eq(round_of(&p, 90000, 0), 7);
    cr_assert_not(p.s.in_css);
}

Test(tcp_hystart, acks_without_a_measurement_are_no_samples) {
    struct path p = started();
    round_of(&p, 20000, 0);
    round_of(&p, 0, 0);
    cr_assert_eq(p.s.now_min_rtt_us, UINT32_MAX);
    round_of(&p, 90000, 0);
    cr_assert_not(p.s.in_css, "there is no round to compare with");
}

/* The shortest of a round counts: a queue that has drained at its end is none. */
Test(tcp_hystart, one_short_rtt_in_a_round_is_enough) {
    struct path p = started();
    round_of(&p, 20000, 0);
    round_of(&p, 20000, 2000); /* from 20 to 54 ms */
    cr_assert_not(p.s.in_css);
}

Test(tcp_hystart, jitter_and_slow_start_resumes) {
    struct path p = started();
    round_of(&p, 20000, 0);
    round_of(&p, 20000, 0);
    round_of(&p, 30000, 0);
    cr_assert(p.s.in_css);
    uint32_t cwnd = p.c.cwnd;
    round_of(&p, 20000, 0);
    cr_assert_not(p.s.in_css);
    cr_assert_gt(p.c.cwnd, cwnd + cwnd / 2);
    for (int i = 0; i < 8; i++)
        round_of(&p, 20000, 0);
    cr_assert_eq(p.c.ssthresh, TCP_SSTHRESH_INITIAL);
}

/* 4.2: RttThresh is an eighth of the RTT between 4 and 16 ms. */
Test(tcp_hystart, threshold) {
    static const struct {
        uint32_t last_us, now_us;
        bool leaves;
    } rows[] = {{1000, 4999, false},     {1000, 5000, true},    {32000, 35999, false},   {32000, 36000, true},
                {80000, 89999, false},   {80000, 90000, true},  {128000, 143999, false}, {128000, 144000, true},
                {400000, 415999, false}, {400000, 416000, true}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct path p = started();
        round_of(&p, rows[i].last_us, 0);
        round_of(&p, rows[i].now_us, 0);
        cr_assert_eq(p.s.in_css, rows[i].leaves, "%u after %u us", rows[i].now_us, rows[i].last_us);
    }
}

/* 4.3: in the first slow start only. */
Test(tcp_hystart, not_below_an_ssthresh_that_a_loss_has_set) {
    struct path p = started();
    p.c.ssthresh = 64 * MSS;
    round_of(&p, 20000, 0);
    round_of(&p, 90000, 0);
    cr_assert_not(p.s.in_css);
    p.c.cwnd = 40 * MSS;
    uint32_t left = tcp_hystart_acked(&p.c, &p.s, &(struct tcp_cc_ack){.acked = 40 * MSS, .flight = 40 * MSS});
    cr_assert_eq(p.c.cwnd, 64 * MSS);
    cr_assert_eq(left, 16 * MSS, "for congestion avoidance");
}

Test(tcp_hystart, without_memory_plain_slow_start) {
    struct path p = started();
    cr_assert_eq(tcp_hystart_acked(&p.c, NULL, &(struct tcp_cc_ack){.acked = 3 * MSS, .rtt_us = 5000}), 0);
    cr_assert_eq(p.c.cwnd, 13 * MSS);
}

/* RFC 3465 */
Test(tcp_hystart, by_bytes_however_they_are_acknowledged) {
    struct path one = started(), split = one;
    tcp_hystart_acked(&one.c, &one.s, &(struct tcp_cc_ack){.acked = 10 * MSS});
    for (uint32_t i = 0; i < 10 * MSS; i++)
        tcp_hystart_acked(&split.c, &split.s, &(struct tcp_cc_ack){.acked = 1});
    cr_assert_eq(one.c.cwnd, 20 * MSS);
    cr_assert_eq(split.c.cwnd, 20 * MSS);
}

/* While the application sends less than cwnd lets it, nobody asks: the numbers go on all the same. */
Test(tcp_hystart, a_pause_of_half_the_sequence_space) {
    struct path p = started();
    round_of(&p, 20000, 0);
    p.c.snd_una += 0x90000000u;
    p.c.snd_nxt = p.c.snd_una + p.c.cwnd;
    tcp_hystart_acked(&p.c, &p.s, &(struct tcp_cc_ack){.acked = MSS, .flight = p.c.cwnd, .rtt_us = 20000});
    cr_assert_eq(p.s.round_end, p.c.snd_nxt, "a new round");
}
