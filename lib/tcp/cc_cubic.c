/* SPDX-License-Identifier: BSD-3-Clause */
/* CUBIC (RFC 9438): after a reduction the window first returns quickly to where the loss was, stays near there for a
 * while (the plateau, K after the reduction), then looks for more, ever faster. The curve depends on the time since the
 * reduction, not on the round-trip time. Where Reno would have been faster (short paths, small windows) it follows
 * Reno.
 *
 * Windows are in bytes and times in milliseconds, all in integers; sections are those of RFC 9438, names as well.
 * c->cc_state keeps what must outlive the flight; an idle flow begins a new stage from the window it has then. */
#include "tcp_int.h"

#define W_MAX      cc_state[0] /* cwnd before the last reduction, or less (fast convergence); 0: undefined */
#define CWND_PRIOR cc_state[1] /* cwnd before the last reduction */

/* 4.1.1, 4.6: C = 2/5, beta = 7/10, so that alpha = 3 (1 - beta) / (1 + beta) = 9/17 */
#define ALPHA_NUM 9u
#define ALPHA_DEN 17u

/* C (t - K)^3 segments, of `mss` bytes, with milliseconds: d^3 mss 2 / (5 * 10^9). */
#define CUBE_DEN 2500000000u
/* The curve is cut off where it is beyond any window: |t - K| up to this, whose cube fits 64 bits. It is 2^31 bytes for
 * segments of 88 bytes. */
#define CURVE_MAX_MS 400000u

#define W_EST_MAX (1u << 30)

/* ceil(32 cbrt(i + 1)): no less than 32 times the cube root of what begins with i */
static const uint8_t root_table[64] = {
    32,  41,  47,  51,  55,  59,  62,  64,  67,  69,  72,  74,  76,  78,  79,  81,  83,  84,  86,  87,  89,  90,
    92,  93,  94,  95,  96,  98,  99,  100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113, 113,
    114, 115, 116, 117, 118, 118, 119, 120, 121, 121, 122, 123, 124, 124, 125, 126, 126, 127, 128, 128,
};

/* Newton's method from above never passes below the root: it ends with the root rounded down. */
uint32_t tcp_cubic_root(uint64_t x) {
    if (!x)
        return 0;
    unsigned bits = 64 - (unsigned)__builtin_clzll(x), thirds = bits > 6 ? (bits - 4) / 3 : 0;
    uint64_t root = ((uint64_t)root_table[x >> (3 * thirds)] << thirds) / 32 + 1;
    for (;;) {
        uint64_t next = (2 * root + x / (root * root)) / 3;
        if (next >= root)
            return (uint32_t)root;
        root = next;
    }
}

/* W_cubic(t), 4.2 figure 1. */
static uint32_t w_cubic(const struct tcp_conn *c, const struct tcp_cc_state *s, uint32_t t_ms) {
    bool before = t_ms < s->k_ms;
    uint64_t d = weir_min_u32(before ? s->k_ms - t_ms : t_ms - s->k_ms, CURVE_MAX_MS);
    uint64_t away = d * d * d / (CUBE_DEN / 1000000) * c->mss / 1000000;
    if (before)
        return away < c->W_MAX ? c->W_MAX - (uint32_t)away : 0;
    return away < UINT32_MAX - c->W_MAX ? c->W_MAX + (uint32_t)away : UINT32_MAX;
}

/* Congestion avoidance begins. Where W_max is no more than what the flow has (after a timeout, 4.8; an undisturbed end
 * of slow start, 4.10; growth beyond it before an idle time) the curve begins with its plateau: K = 0. */
static void begin_epoch(struct tcp_conn *c, struct tcp_cc_state *s, uint32_t now_ms) {
    s->in_epoch = true;
    s->limited = false;
    s->epoch_ms = s->grown_ms = now_ms;
    if (c->W_MAX <= c->cwnd) {
        c->W_MAX = c->cwnd;
        s->k_ms = 0;
    } else { /* figure 2 */
        s->k_ms = tcp_cubic_root((uint64_t)(c->W_MAX - c->cwnd) * CUBE_DEN / c->mss);
    }
    s->w_est = c->cwnd;
    s->w_est_part = s->cwnd_part = 0;
}

/* 4.3, figure 4: alpha segments a window of acknowledged bytes, and a whole one, as Reno, once the window of before the
 * reduction is reached again. What is left of the division counts for the next ACK. */
static void grow_w_est(const struct tcp_conn *c, struct tcp_cc_state *s, uint32_t acked) {
    uint64_t window = s->w_est < c->CWND_PRIOR ? (uint64_t)c->cwnd * ALPHA_DEN / ALPHA_NUM : c->cwnd;
    uint64_t sum = (uint64_t)acked * c->mss + s->w_est_part;
    s->w_est_part = (uint32_t)(sum % window);
    s->w_est = weir_min_u32(s->w_est + (uint32_t)(sum / window), W_EST_MAX);
}

/* 4.4, 4.5: (target - cwnd) / cwnd for each segment acknowledged, with target no more than 1.5 cwnd. Over a
 * large window a segment's share is less than a byte: here too nothing of it is lost. */
static void grow_to(struct tcp_conn *c, struct tcp_cc_state *s, uint32_t target, uint32_t acked) {
    if (target <= c->cwnd)
        return;
    uint32_t room = weir_min_u32(target - c->cwnd, c->cwnd / 2);
    uint64_t sum = (uint64_t)room * acked + s->cwnd_part, more = sum / c->cwnd;
    s->cwnd_part = (uint32_t)(sum % c->cwnd);
    c->cwnd += more < room ? (uint32_t)more : room;
}

static void cubic_start(struct tcp_conn *c) {
    (void)c; /* W_max holds over idle times */
}

static void cubic_acked(struct tcp_conn *c, struct tcp_cc_state *s, const struct tcp_cc_ack *a) {
    uint32_t acked = weir_min_u32(a->acked, c->cwnd), now_ms = clock_ms(a->now_us);
    if (!s) { /* RFC 5681 (3) by bytes */
        c->cwnd += (uint32_t)((uint64_t)acked * c->mss / c->cwnd);
        return;
    }
    if (!s->in_epoch)
        begin_epoch(c, s, now_ms);
    if (s->limited) { /* 4.2, 5.8: t does not run on while the window is not used */
        s->epoch_ms += now_ms - s->grown_ms;
        s->limited = false;
    }
    s->grown_ms = now_ms;
    uint32_t t_ms = now_ms - s->epoch_ms;
    grow_w_est(c, s, acked);
    if (w_cubic(c, s, t_ms) < s->w_est)
        c->cwnd = weir_max_u32(c->cwnd, s->w_est);
    else
        grow_to(c, s, w_cubic(c, s, t_ms + c->srtt_us / 1000), acked);
}

/* 4.6, 4.7 (fast convergence: a flow that did not get as far as the last time leaves room to a new one), 4.8. */
static uint32_t cubic_lost(struct tcp_conn *c, struct tcp_cc_state *s, uint32_t flight, uint64_t now_us) {
    (void)now_us;
    if (s) {
        s->undo_w_max = c->W_MAX;
        s->undo_cwnd_prior = c->CWND_PRIOR;
        s->undo_epoch = s->in_epoch;
        s->in_epoch = false;
    }
    if (c->flags & TCP_F_LOSS)
        c->W_MAX = 0;
    else
        c->W_MAX = c->cwnd < c->W_MAX ? (uint32_t)(c->cwnd * 17ull / 20) : c->cwnd; /* (1 + beta) / 2 */
    c->CWND_PRIOR = c->cwnd;
    return weir_max_u32((uint32_t)(flight * 7ull / 10), 2u * c->mss);
}

/* 4.9: the curve goes on where it was; the time since the reduction, when the window was not the path's, is left out.
 * Where a new stage has begun in the meantime its curve is one from the lower window: the next ACK begins another. */
static void cubic_undone(struct tcp_conn *c, struct tcp_cc_state *s) {
    if (!s || c->cwnd < c->CWND_PRIOR)
        return; /* nothing was kept, or the window is not back where it was (ECE had its part) */
    c->W_MAX = s->undo_w_max;
    c->CWND_PRIOR = s->undo_cwnd_prior;
    s->in_epoch = !s->in_epoch && s->undo_epoch;
    s->limited = true;
}

const struct tcp_cc tcp_cc_cubic = {"cubic", cubic_start, cubic_acked, cubic_lost, cubic_undone};
