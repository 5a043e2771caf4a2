/* SPDX-License-Identifier: BSD-3-Clause */
/* CUBIC against RFC 9438 written down once more in floating point, and the rules around the curve. */
#include "harness.h"

#include <criterion/criterion.h>
#include <math.h>

#define MSS 1448u

/* --- the cube root --- */

static void check_root(uint64_t x) {
    uint64_t r = tcp_cubic_root(x);
    cr_assert(r * r * r <= x, "root of %lu: %lu is too large", x, r);
    /* (r + 1)^3 may exceed 64 bits: then it is beyond x */
    cr_assert(r + 1 > 2642245 || (r + 1) * (r + 1) * (r + 1) > x, "root of %lu: %lu is too small", x, r);
}

Test(cc_cubic, the_root_is_exact) {
    for (uint64_t x = 0; x < 100000; x++)
        check_root(x);
    for (uint64_t r = 1; r <= 2642245; r += 1 + r / 512) /* both sides of each cube */
        for (int64_t d = -1; d <= 1; d++)
            check_root(r * r * r + (uint64_t)d);
    uint64_t rng = 88172645463325252ull;
    for (int i = 0; i < 200000; i++) {
        rng ^= rng << 13, rng ^= rng >> 7, rng ^= rng << 17;
        uint64_t x = rng >> (i % 64);
        check_root(x);
        long double reference = floorl(cbrtl((long double)x));
        cr_assert_leq(fabsl(reference - tcp_cubic_root(x)), 1, "%lu", x); /* cbrtl itself may round up to an integer */
    }
    check_root(UINT64_MAX);
}

/* --- the model: RFC 9438 4.1 to 4.8 in segments and seconds --- */

struct model {
    long double cwnd, ssthresh, w_max, cwnd_prior, w_est, k, epoch;
    bool in_epoch;
};

static const long double C = 0.4L, BETA = 0.7L;

static void model_lost(struct model *m, bool timeout) {
    m->w_max = timeout ? 0 : m->cwnd < m->w_max ? m->cwnd * (1 + BETA) / 2 : m->cwnd;
    m->cwnd_prior = m->cwnd;
    m->ssthresh = fmaxl(m->cwnd * BETA, 2);
    m->cwnd = m->ssthresh;
    m->in_epoch = false;
}

static long double model_curve(const struct model *m, long double t) {
    long double d = t - m->k;
    return C * d * d * d + m->w_max;
}

static void model_acked(struct model *m, long double segments, long double now, long double rtt) {
    if (!m->in_epoch) {
        m->in_epoch = true;
        m->epoch = now;
        m->w_est = m->cwnd;
        m->w_max = fmaxl(m->w_max, m->cwnd);
        m->k = cbrtl((m->w_max - m->cwnd) / C);
    }
    long double t = now - m->epoch, alpha = m->w_est < m->cwnd_prior ? 3 * (1 - BETA) / (1 + BETA) : 1;
    m->w_est += alpha * segments / m->cwnd;
    if (model_curve(m, t) < m->w_est) {
        m->cwnd = fmaxl(m->cwnd, m->w_est);
        return;
    }
    long double target = fminl(fmaxl(model_curve(m, t + rtt), m->cwnd), 1.5L * m->cwnd);
    m->cwnd += (target - m->cwnd) / m->cwnd * segments;
}

/* --- a flow whose ACKs are spread over the round trip --- */

struct flow {
    struct tcp_conn c;
    struct tcp_cc_state s;
    uint64_t now_us;
};

static struct flow flow_of(uint32_t segments, uint32_t rtt_us) {
    struct flow f = {.c = {.mss = MSS, .cwnd = segments * MSS, .ssthresh = segments * MSS, .srtt_us = rtt_us},
                     .now_us = 5000000};
    tcp_cc_cubic.start(&f.c);
    return f;
}

static void ack(struct flow *f, uint32_t bytes) {
    tcp_cc_cubic.acked(&f->c, &f->s, &(struct tcp_cc_ack){.acked = bytes, .flight = f->c.cwnd, .now_us = f->now_us});
}

static void lose(struct flow *f) {
    f->c.cwnd = f->c.ssthresh = tcp_cc_cubic.lost(&f->c, &f->s, f->c.cwnd, f->now_us);
}

/* One round trip: an ACK a segment. */
static void round_trip(struct flow *f) {
    uint32_t n = f->c.cwnd / MSS;
    for (uint32_t i = 0; i < n; i++) {
        f->now_us += f->c.srtt_us / n;
        ack(f, MSS);
    }
}

static void check_model(uint32_t segments, uint32_t rtt_us, uint32_t acks, uint32_t loss_every, uint32_t acked) {
    struct flow f = flow_of(segments, rtt_us);
    struct model m = {.cwnd = segments, .ssthresh = segments};
    long double worst = 0;
    for (uint32_t i = 1; i <= acks; i++) {
        f.now_us += (uint64_t)rtt_us * acked / f.c.cwnd;
        if (i % loss_every == 0) {
            lose(&f);
            model_lost(&m, false);
            continue;
        }
        ack(&f, acked);
        model_acked(&m, (long double)acked / MSS, (long double)f.now_us / 1e6L, rtt_us / 1e6L);
        long double off = fabsl((long double)f.c.cwnd / MSS - m.cwnd);
        worst = fmaxl(worst, off);
        cr_assert_leq(off, 1.0L, "ACK %u of %u B, RTT %u us: %.3Lf segments, the model has %.3Lf", i, acked, rtt_us,
                      (long double)f.c.cwnd / MSS, m.cwnd);
    }
    cr_log_info("RTT %u us: at most %.3Lf segments off\n", rtt_us, worst);
}

Test(cc_cubic, follows_the_model_within_a_segment) {
    check_model(10, 100000, 8000, 3000, MSS);       /* convex from the start, then twice concave */
    check_model(400, 100000, 60000, 17001, MSS);    /* long, fat */
    check_model(100, 20000, 30000, 5003, MSS);      /* both regions */
    check_model(20, 1000, 20000, 701, MSS);         /* Reno-friendly */
    check_model(300, 200000, 20000, 9001, 2 * MSS); /* delayed ACKs */
    check_model(200, 50000, 4000, 1501, 17 * MSS);  /* coalesced ones */
}

Test(cc_cubic, follows_the_model_where_losses_come_at_random) {
    uint64_t rng = 0x2545f4914f6cdd1dull;
    for (int i = 0; i < 40; i++) {
        rng ^= rng << 13, rng ^= rng >> 7, rng ^= rng << 17;
        check_model(10 + rng % 300, 1000 + (uint32_t)(rng >> 16) % 200000, 6000, 400 + (uint32_t)(rng >> 40) % 3000,
                    MSS);
    }
}

/* --- regions --- */

Test(cc_cubic, concave_up_to_where_the_loss_was_then_convex) {
    struct flow f = flow_of(300, 100000);
    lose(&f);
    cr_assert_eq(f.c.cwnd, 300 * MSS * 7ull / 10);
    cr_assert_eq(f.c.cc_state[0], 300 * MSS);
    uint64_t began = f.now_us;
    ack(&f, MSS);
    double k = cbrt((300 - 210) / 0.4);
    cr_assert_float_eq(f.s.k_ms / 1000.0, k, 0.002);
    uint32_t before = f.c.cwnd, first = 0, last = 0;
    while ((double)(f.now_us - began) < k * 1e6) {
        before = f.c.cwnd;
        round_trip(&f);
        last = f.c.cwnd - before;
        first = first ? first : last;
    }
    cr_assert_lt(last, first / 4, "the plateau");
    cr_assert_float_eq(f.c.cwnd / (double)MSS, 300, 3);
    before = f.c.cwnd;
    round_trip(&f);
    uint32_t slow = f.c.cwnd - before;
    for (int i = 0; i < 60; i++)
        round_trip(&f);
    before = f.c.cwnd;
    round_trip(&f);
    cr_assert_gt(f.c.cwnd - before, 10 * slow + MSS, "ever faster");
}

Test(cc_cubic, never_more_than_half_a_window_a_round_trip) {
    struct flow f = flow_of(10, 100000);
    ack(&f, MSS);
    f.now_us += 300000000; /* far out on the curve, and the window was in use all the time */
    f.s.grown_ms = (uint32_t)(f.now_us / 1000);
    for (int i = 0; i < 10; i++) {
        uint32_t before = f.c.cwnd;
        ack(&f, before); /* all of it in one ACK */
        cr_assert_leq(f.c.cwnd, before + before / 2);
        cr_assert_geq(f.c.cwnd, before + before / 2 - 1);
    }
}

/* 4.3, 5.1: on a short path with the same losses it gets what Reno gets. */
Test(cc_cubic, fair_to_reno_where_the_path_is_short) {
    uint64_t sums[2] = {0, 0};
    for (int reno = 0; reno < 2; reno++) {
        struct flow f = flow_of(20, 2000);
        const struct tcp_cc *cc = reno ? &tcp_cc_reno : &tcp_cc_cubic;
        memset(f.c.cc_state, 0, sizeof f.c.cc_state);
        for (uint32_t i = 1; i <= 200000; i++) {
            f.now_us += (uint64_t)f.c.srtt_us * MSS / f.c.cwnd;
            if (i % 600 == 0)
                f.c.cwnd = f.c.ssthresh = cc->lost(&f.c, &f.s, f.c.cwnd, f.now_us);
            else
                cc->acked(&f.c, &f.s, &(struct tcp_cc_ack){.acked = MSS, .flight = f.c.cwnd, .now_us = f.now_us});
            sums[reno] += f.c.cwnd;
        }
    }
    double ratio = (double)sums[0] / (double)sums[1];
    cr_log_info("CUBIC has %.3f of Reno's average window\n", ratio);
    cr_assert(ratio > 0.95 && ratio < 1.25, "%.3f", ratio);
}

/* 4.3: once the window of before the reduction is reached W_est rises a segment a round trip, before that 9/17. */
Test(cc_cubic, alpha) {
    struct flow f = flow_of(100, 1000);
    lose(&f);
    ack(&f, MSS);
    uint32_t w_est = f.s.w_est;
    for (int i = 0; i < 17; i++)
        round_trip(&f);
    cr_assert_float_eq((f.s.w_est - w_est) / (double)MSS, 9, 1.01);
    while (f.s.w_est < 100 * MSS)
        round_trip(&f);
    w_est = f.s.w_est;
    for (int i = 0; i < 17; i++)
        round_trip(&f);
    cr_assert_float_eq((f.s.w_est - w_est) / (double)MSS, 17, 1.01);
}

/* --- reductions --- */

Test(cc_cubic, fast_convergence) {
    struct flow f = flow_of(100, 50000);
    lose(&f);
    cr_assert_eq(f.c.cc_state[0], 100 * MSS);
    lose(&f); /* at 70 segments, below the last one */
    cr_assert_eq(f.c.cc_state[0], 70 * MSS * 17 / 20);
    f.c.cwnd = 90 * MSS;
    lose(&f); /* beyond it */
    cr_assert_eq(f.c.cc_state[0], 90 * MSS);
    cr_assert_eq(f.c.cc_state[1], 90 * MSS);
}

Test(cc_cubic, never_below_two_segments) {
    struct flow f = flow_of(2, 50000);
    cr_assert_eq(tcp_cc_cubic.lost(&f.c, &f.s, MSS, f.now_us), 2 * MSS);
    cr_assert_eq(tcp_cc_cubic.lost(&f.c, NULL, 1 << 30, f.now_us), (1u << 30) * 7ull / 10);
}

/* 4.8 */
Test(cc_cubic, after_a_timeout_the_curve_begins_with_its_plateau) {
    struct flow f = flow_of(100, 50000);
    f.c.flags |= TCP_F_LOSS;
    f.c.ssthresh = tcp_cc_cubic.lost(&f.c, &f.s, f.c.cwnd, f.now_us);
    cr_assert_eq(f.c.ssthresh, 70 * MSS);
    f.c.flags &= ~TCP_F_LOSS;
    f.c.cwnd = f.c.ssthresh; /* slow start has brought it back */
    ack(&f, MSS);
    cr_assert_eq(f.s.k_ms, 0);
    cr_assert_eq(f.c.cc_state[0], 70 * MSS);
}

/* 4.10: HyStart++ ends slow start, nothing was ever lost. */
Test(cc_cubic, without_a_loss_w_max_is_where_it_began) {
    struct flow f = flow_of(50, 50000);
    ack(&f, MSS);
    cr_assert_eq(f.s.k_ms, 0);
    cr_assert_eq(f.c.cc_state[0], 50 * MSS);
}

/* 4.9 */
Test(cc_cubic, undone_in_recovery) {
    struct flow f = flow_of(200, 50000);
    lose(&f);
    for (int i = 0; i < 40; i++)
        round_trip(&f);
    struct flow then = f, never = f;
    lose(&f);
    f.c.cwnd = then.c.cwnd; /* loss recovery puts these back */
    f.c.ssthresh = then.c.ssthresh;
    f.now_us += 200000;
    tcp_cc_cubic.undone(&f.c, &f.s);
    cr_assert_arr_eq(f.c.cc_state, then.c.cc_state, sizeof f.c.cc_state);
    for (int i = 0; i < 40; i++) {
        round_trip(&f);
        round_trip(&never);
        cr_assert_leq(abs((int)f.c.cwnd - (int)never.c.cwnd), (int)(2 * MSS), "round %d", i);
    }
}

Test(cc_cubic, undone_late) {
    struct flow f = flow_of(200, 50000);
    lose(&f);
    for (int i = 0; i < 5; i++)
        round_trip(&f);
    f.c.cwnd = 200 * MSS;
    tcp_cc_cubic.undone(&f.c, &f.s);
    cr_assert_eq(f.c.cc_state[0], 0, "as before the only loss");
    ack(&f, MSS);
    cr_assert_eq(f.s.k_ms, 0, "a new stage, from the window that is back");
    cr_assert_eq(f.c.cc_state[0], 200 * MSS);
    tcp_cc_cubic.undone(&f.c, NULL);
}

/* --- use of the window --- */

/* 4.2, 5.8: what the application left unused moves the curve on in time. */
Test(cc_cubic, time_stands_still_while_the_window_is_not_used) {
    struct flow f = flow_of(200, 50000), g;
    lose(&f);
    for (int i = 0; i < 20; i++)
        round_trip(&f);
    g = f;
    g.now_us += 60000000;
    g.s.limited = true;
    for (int i = 0; i < 20; i++) {
        round_trip(&f);
        round_trip(&g);
        cr_assert_leq(abs((int)f.c.cwnd - (int)g.c.cwnd), (int)MSS, "round %d", i);
    }
}

/* W_max outlives the flight, the curve does not. */
Test(cc_cubic, a_new_flight_begins_a_new_stage) {
    struct flow f = flow_of(200, 50000);
    lose(&f);
    for (int i = 0; i < 5; i++)
        round_trip(&f);
    uint32_t cwnd = f.c.cwnd;
    f.s = (struct tcp_cc_state){0};
    f.now_us += 600000000;
    ack(&f, MSS);
    cr_assert_leq(f.c.cwnd, cwnd + MSS);
    cr_assert_float_eq(f.s.k_ms / 1000.0, cbrt((200 - cwnd / (double)MSS) / 0.4), 0.01);
}

Test(cc_cubic, grows_as_reno_without_memory) {
    struct tcp_conn c = {.mss = MSS, .cwnd = 100 * MSS};
    for (int i = 0; i < 100; i++)
        tcp_cc_cubic.acked(&c, NULL, &(struct tcp_cc_ack){.acked = MSS, .flight = c.cwnd, .now_us = 1});
    cr_assert_float_eq(c.cwnd / (double)MSS, 101, 0.05);
    uint32_t cwnd = c.cwnd;
    for (int i = 0; i < 1000; i++)
        tcp_cc_cubic.acked(&c, NULL, &(struct tcp_cc_ack){.acked = 1, .flight = c.cwnd, .now_us = 1});
    cr_assert_eq(c.cwnd, cwnd);
}

Test(cc_cubic, split_acks_gain_nothing) {
    struct flow one = flow_of(100, 50000), many;
    lose(&one);
    ack(&one, MSS);
    one.now_us += 1000000;
    one.s.grown_ms += 1000;
    many = one;
    for (int i = 0; i < 30; i++) {
        ack(&one, MSS);
        for (uint32_t b = 0; b < MSS; b++)
            ack(&many, 1);
    }
    cr_assert_leq(many.c.cwnd, one.c.cwnd + MSS / 100, "%u, %u", many.c.cwnd, one.c.cwnd);
    cr_assert_geq(many.c.cwnd, one.c.cwnd - MSS / 10, "nor do they lose: %u, %u", many.c.cwnd, one.c.cwnd);
}

/* Windows at the limit, hours without a loss, the clock wrapping round. */
Test(cc_cubic, extremes) {
    struct flow f = flow_of(700000, 200000);
    f.now_us = (uint64_t)UINT32_MAX * 1000 - 500000;
    lose(&f);
    for (int i = 0; i < 2000; i++) {
        uint32_t before = f.c.cwnd;
        f.now_us += 10000;
        ack(&f, 1u << 20);
        cr_assert_geq(f.c.cwnd, before);
    }
    cr_assert_lt(f.c.cwnd, 1u << 30);
    f.c.cwnd = f.c.ssthresh = 1u << 30;
    f.now_us += 7200000000ull;
    f.s.grown_ms = (uint32_t)(f.now_us / 1000);
    ack(&f, UINT32_MAX);
    cr_assert_leq(f.c.cwnd, (1u << 30) + (1u << 29));
    f.c.mss = 76;
    f.c.cwnd = 152;
    f.c.cc_state[0] = 1u << 30;
    f.s.in_epoch = false;
    ack(&f, 76);
    cr_assert_leq(f.c.cwnd, 152 + 76);
}
