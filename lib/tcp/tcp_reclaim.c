/* SPDX-License-Identifier: BSD-3-Clause */
/* Peers that hold our memory and do not move: zero windows for ever (RFC 6429), windows opened byte by byte, holes that
 * nobody fills.
 *
 * Progress: what waits on a send rope has to leave at TCP_PROGRESS_BYTES_PER_S in the long run. Each acknowledged byte
 * moves the flow's progress_ms on by what it buys at that rate, never beyond now; the user timeout counts from there.
 * Where an application sends less than that, and over a long path some of it is always out, nothing is wrong: once all
 * is acknowledged that was queued when progress_ms last was now, no byte has waited for longer than since then, and it
 * is now again. The retransmission, probe and persist timers are never set for later than the user timeout's end, since
 * each ACK restarts them: neither an ACK a second nor one a minute holds a buffer for ever.
 *
 * Under pressure there is no time for that. While buffers are short a hand goes round over the flows, a few a call, and
 * ends those whose data has waited for longest: first those beyond half of the user timeout, then, as long as it does
 * not help, beyond half of that, down to TCP_RECLAIM_LEAST_MS. Out-of-order data whose hole stays open is given up: the
 * peer still has it (RFC 2018 8).
 *
 * Afterwards the hand goes round once more. While receive buffers were short windows were squeezed (tcp_window.c), some
 * of them shut, and a peer behind one hears of the room that there is again only when it probes, which may be a minute
 * off (RFC 9293 3.8.6.1). Each flow whose window is worth opening says so. A round is over at the end of the map; from
 * wherever the hand stood when buffers were last short, every flow has been met when two are. */
#include "tcp_int.h"

#define LOOKS 16u /* flows a call, */
#define WORDS 64u /* found within so many words of the map of those in use */

void tcp_progress_begins(struct tcp_core *core, struct tcp_conn *c, uint32_t bytes) {
    if (c->tx.len_bytes)
        return;
    tcp_cc_idle(core, c); /* looks at progress_ms for the last time before it moves */
    c->progress_ms = tcp_now_ms(core);
    c->progress_seq = tcp_snd_end(c) + bytes;
}

void tcp_progress(const struct tcp_core *core, struct tcp_conn *c, uint32_t acked) {
    uint32_t now_ms = tcp_now_ms(core), waited_ms = now_ms - c->progress_ms;
    if (c->tx.len_bytes && seq_lt(c->snd_una, c->progress_seq)) {
        uint64_t bought_ms = (uint64_t)acked * 1000 / TCP_PROGRESS_BYTES_PER_S;
        if (bought_ms < waited_ms) {
            c->progress_ms += (uint32_t)bought_ms;
            return;
        }
    }
    c->progress_ms = now_ms;
    c->progress_seq = tcp_snd_end(c);
}

/* Three quarters: no flow gets there by itself, since none holds more than it leaves (tcp_window.c). */
static bool is_short(uint32_t used, uint32_t budget) {
    return used >= budget - budget / 4;
}

/* The same for out-of-order data, which all flows together may hold half of the budget of (tcp_reasm.c). */
static bool holes_are_many(const struct tcp_core *core) {
    return is_short(core->stats.rx_mbufs, core->cfg.rx_budget_mbufs / 2);
}

/* The next flow in use behind the hand, which moves there; 0: none within *words, or the round is over. */
static tcp_id hand_next(struct tcp_core *core, uint32_t *words) {
    uint32_t id = core->reclaim_hand + 1, n_words = core->cfg.max_conns / 64 + 1;
    for (; *words && id / 64 < n_words; (*words)--, id = (id / 64 + 1) * 64) {
        uint64_t bits = core->used[id / 64] & ~0ull << (id % 64);
        if (bits)
            return core->reclaim_hand = id / 64 * 64 + (uint32_t)__builtin_ctzll(bits);
        core->reclaim_hand = (id / 64 + 1) * 64 - 1;
    }
    if (id / 64 >= n_words) { /* once round */
        core->reclaim_hand = 0;
        core->reopen_rounds -= tcp_reclaim_reopens(core);
        if (tcp_now_ms(core) - core->reclaim_step_ms >= TCP_RECLAIM_STEP_MS) {
            core->reclaim_step_ms = tcp_now_ms(core);
            core->reclaim_after_ms = weir_max_u32(core->reclaim_after_ms / 2, TCP_RECLAIM_LEAST_MS);
        }
    }
    return 0;
}

/* A released flow has no window: nobody reads what comes (tcp_text.c). */
static void reopen(struct tcp_core *core, struct tcp_conn *c) {
    if (!tcp_receives(c) || (c->flags & (TCP_F_RELEASED | TCP_F_ACK_NOW)) || !tcp_window_update_due(core, c))
        return;
    core->stats.windows_reopened++;
    tcp_ack_now(core, c);
}

static void look_at(struct tcp_core *core, struct tcp_conn *c, bool waiting_goes) {
    uint32_t now_ms = tcp_now_ms(core);
    if (tcp_reclaim_reopens(core))
        reopen(core, c);
    if (c->reasm_count && holes_are_many(core) && now_ms - tcp_reasm_since_ms(core, c) >= TCP_RECLAIM_LEAST_MS) {
        tcp_reasm_clear(core, c);
        core->stats.reneged++;
    }
    if (waiting_goes && tcp_synchronised(c) && c->tx.mbufs && now_ms - c->progress_ms >= core->reclaim_after_ms) {
        tcp_conn_reset(core, c, TCP_END_RECLAIMED);
    }
}

bool tcp_reclaim_reopens(const struct tcp_core *core) {
    return core->reopen_rounds && !tcp_windows_squeezed(core);
}

void tcp_reclaim(struct tcp_core *core) {
    bool sends_short = is_short(core->stats.tx_mbufs, core->cfg.tx_budget_mbufs);
    /* Holes are many before anything else below is wrong with what is received. */
    if (WEIR_LIKELY(!sends_short && !holes_are_many(core) && !core->reopen_rounds)) {
        core->reclaim_after_ms = 0;
        return;
    }
    /* Receive ropes grow where the other side of a proxy does not take what they hold: it is that side that goes. */
    bool waiting_goes = sends_short || is_short(core->stats.rx_mbufs, core->cfg.rx_budget_mbufs);
    if (tcp_windows_squeezed(core))
        core->reopen_rounds = 2;
    if (!waiting_goes || !core->reclaim_after_ms) {
        core->reclaim_after_ms = weir_max_u32(core->cfg.user_timeout_ms / 2, TCP_RECLAIM_LEAST_MS);
        core->reclaim_step_ms = tcp_now_ms(core);
    }
    if (!waiting_goes && !holes_are_many(core) && !tcp_reclaim_reopens(core))
        return;
    uint32_t words = WORDS;
    for (uint32_t i = 0; i < LOOKS; i++) {
        tcp_id id = hand_next(core, &words);
        if (!id)
            return;
        look_at(core, tcp_conn_of(core, id), waiting_goes);
    }
}
