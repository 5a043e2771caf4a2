/* SPDX-License-Identifier: BSD-3-Clause */
/* How much a peer may send us, and how much an owner may queue.
 *
 * A flow begins with rcv_buf_initial_bytes and grows with its reader (dynamic right-sizing): twice what the owner took
 * in one round trip is what keeps the pipe full while the next round is under way, and leaves the peer's congestion
 * window room to double. The round trip is over when the peer echoes a timestamp of ours from after its beginning;
 * without timestamps, by the smoothed RTT; where that is unknown too, once a window's worth has been read.
 *
 * Over all flows stands the worker's budget, counted in mbufs as they are held. What a flow holds and is offered is no
 * more than what it leaves to the others (so n greedy ones end up with an equal share each, and the next finds as
 * much), and from half of the budget on everybody's window shrinks in proportion. What was offered once stays offered:
 * the right edge never moves left (RFC 9293 3.8.6), it only stops moving right. A window that was squeezed shut opens
 * when the owner takes bytes, and where there are none left to take, by the hand of tcp_reclaim.c. The send side is
 * bounded in the same way. */
#include "tcp_int.h"

/* Bytes as they count against a window: those of the rope, but no fewer than half of the memory that holds them. With
 * full segments that is the bytes alone; a rope of small pieces, which hold a whole mbuf each, fills up sooner. */
static uint32_t weight(const struct rope *r) {
    return weir_max_u32(r->len_bytes, r->mbufs * (TCP_MBUF_BYTES / 2));
}

static uint32_t left_of(uint32_t budget, uint32_t used) {
    return budget - weir_min_u32(budget, used);
}

static uint32_t rx_free(const struct tcp_core *core) {
    return left_of(core->cfg.rx_budget_mbufs, core->stats.rx_mbufs);
}

uint32_t tcp_rcv_buf(const struct tcp_core *core, const struct tcp_conn *c) {
    return weir_min_u32(c->rcv_buf * TCP_RCV_BUF_UNIT, core->cfg.rcv_buf_bytes);
}

static uint16_t units(uint32_t bytes) {
    return (uint16_t)((bytes + TCP_RCV_BUF_UNIT - 1) / TCP_RCV_BUF_UNIT);
}

/* Most that this flow may ever advertise: without window scaling the field says no more than 64 KB, and a window that
 * it cannot say would always look as if an update were due. */
static uint32_t most_of(const struct tcp_core *core, const struct tcp_conn *c) {
    return weir_min_u32(core->cfg.rcv_buf_bytes, (uint32_t)UINT16_MAX << tcp_rcv_wscale(c));
}

void tcp_window_new(const struct tcp_core *core, struct tcp_conn *c) {
    c->rcv_buf = units(core->cfg.rcv_buf_initial_bytes);
}

void tcp_window_established(const struct tcp_core *core, struct tcp_conn *c) {
    c->rcv_buf = (uint16_t)weir_min_u32(c->rcv_buf, units(most_of(core, c)));
    c->drs_seq = c->rcv_nxt;
    c->drs_ms = (uint16_t)tcp_now_ms(core);
}

/* --- the receive window --- */

bool tcp_windows_squeezed(const struct tcp_core *core) {
    return rx_free(core) < core->cfg.rx_budget_mbufs / 2;
}

/* The space that a flow which holds so much may be offered while the budget is what it is. */
static uint32_t within_budget(const struct tcp_core *core, const struct tcp_conn *c, uint32_t buf, uint32_t space) {
    uint32_t budget = core->cfg.rx_budget_mbufs, free_mbufs = rx_free(core);
    uint64_t free_bytes = (uint64_t)free_mbufs * tcp_mss_announced(core, c->port), own = weight(&c->rx);
    uint64_t cap = free_bytes > own ? (free_bytes - own) / 2 : 0;
    if (WEIR_LIKELY(free_mbufs >= budget / 2 && cap >= space))
        return space;
    if (free_mbufs < budget / 2)
        cap = RTE_MIN(cap, (uint64_t)buf * free_mbufs / (budget / 2));
    if (free_mbufs && !c->rx.len_bytes) /* a flow that holds nothing may always go on */
        cap = RTE_MAX(cap, 2u * c->mss);
    return (uint32_t)RTE_MIN(cap, space);
}

/* Receiver's silly-window avoidance: RFC 9293 3.8.6.2.2. */
static bool worth_saying(const struct tcp_conn *c, uint32_t edge, uint32_t buf) {
    return !seq_lt(edge, c->rcv_adv) && edge - c->rcv_adv >= weir_min_u32(buf / 2, c->mss);
}

uint32_t tcp_rx_right_edge(const struct tcp_core *core, const struct tcp_conn *c) {
    uint32_t buf = tcp_rcv_buf(core, c), kept = seq_max(c->rcv_adv, c->rcv_nxt);
    if (WEIR_LIKELY(!worth_saying(c, c->rcv_nxt + buf, buf))) /* small messages: not even where all of it is free */
        return kept;
    uint32_t edge = c->rcv_nxt + within_budget(core, c, buf, left_of(buf, weight(&c->rx)));
    return worth_saying(c, edge, buf) ? edge : kept;
}

uint16_t tcp_window_of_syn(const struct tcp_core *core, const struct tcp_conn *c) {
    return (uint16_t)weir_min_u32(tcp_rcv_buf(core, c), UINT16_MAX); /* never scaled: RFC 7323 2.2 */
}

/* Only while the peer sees less than half the buffer: a reader that keeps up must not cause an ACK a turn. */
bool tcp_window_update_due(const struct tcp_core *core, const struct tcp_conn *c) {
    uint32_t half = tcp_rcv_buf(core, c) / 2;
    if (WEIR_LIKELY(c->rcv_adv - c->rcv_nxt >= half))
        return false;
    uint32_t gain = tcp_rx_right_edge(core, c) - c->rcv_adv;
    return gain && gain >= weir_min_u32(half, c->mss);
}

/* Has a round trip passed since drs_ms? Its lower 16 bits are all there is of it: after a pause of more than a minute
 * the answer may come one round late. */
static bool round_over(const struct tcp_core *core, const struct tcp_conn *c, const struct tcp_seg *seg,
                       uint32_t taken) {
    uint32_t since_ms = (uint16_t)(tcp_now_ms(core) - c->drs_ms);
    if ((c->flags & TCP_F_TS) && seg->opts.has_ts && seg->opts.ts_ecr)
        return since_ms && tcp_ts_now(core, c) - seg->opts.ts_ecr <= since_ms;
    if (c->srtt_us)
        return since_ms * 1000 >= c->srtt_us;
    return taken >= tcp_rcv_buf(core, c);
}

void tcp_window_tune(const struct tcp_core *core, struct tcp_conn *c, const struct tcp_seg *seg) {
    uint32_t most = most_of(core, c);
    if (c->rcv_buf >= units(most))
        return;
    uint32_t read = c->rcv_nxt - c->rx.len_bytes, taken = read - c->drs_seq;
    if (!round_over(core, c, seg, taken))
        return;
    uint64_t want = 2ull * taken + 2u * c->mss;
    c->drs_seq = read;
    c->drs_ms = (uint16_t)tcp_now_ms(core);
    if (want > tcp_rcv_buf(core, c) && rx_free(core) >= core->cfg.rx_budget_mbufs / 2)
        c->rcv_buf = units((uint32_t)RTE_MIN(want, most));
}

/* --- the send side --- */

/* Twice the congestion window: one is out, one waits for the ACKs. */
uint32_t tcp_snd_buf(const struct tcp_core *core, const struct tcp_conn *c) {
    uint32_t free_mbufs = left_of(core->cfg.tx_budget_mbufs, core->stats.tx_mbufs);
    uint64_t buf = RTE_MAX(2ull * c->cwnd, core->cfg.snd_buf_initial_bytes);
    buf = RTE_MIN(buf, core->cfg.snd_buf_bytes);
    if (!free_mbufs) /* one that holds nothing goes on; to the others their ACKs give room */
        return c->tx.len_bytes ? 0 : (uint32_t)RTE_MIN(buf, 2u * c->mss);
    uint64_t cap = RTE_MAX(((uint64_t)free_mbufs + c->tx.mbufs) * c->mss / 2, 2u * c->mss);
    return left_of((uint32_t)RTE_MIN(buf, cap), weight(&c->tx) - c->tx.len_bytes);
}
