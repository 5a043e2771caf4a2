/* SPDX-License-Identifier: BSD-3-Clause */
/* Out-of-order segments: a list of records in sequence order without overlaps, at most TCP_REASM_MAX a flow and
 * half of rx_budget_mbufs a core: what closes the holes must find room, or nothing would ever be read again. The first
 * copy of a byte wins; what a later segment repeats is cut off it (a segment that reaches over a queued one keeps its
 * front only: the peer sends the rest again). */
#include "tcp_int.h"

static struct tcp_reasm *record_of(const struct tcp_core *core, uint32_t i) {
    return pool_get(&core->reasm, i);
}

uint32_t tcp_reasm_first(const struct tcp_core *core, const struct tcp_conn *c) {
    return record_of(core, c->reasm_head)->seq;
}

/* The last record that begins at or before seq; 0: none. Starts at the latest change: a train of segments behind one
 * hole appends without a walk. */
static uint32_t find_before(const struct tcp_core *core, const struct tcp_conn *c, uint32_t seq) {
    uint32_t at = c->reasm_last && seq_leq(record_of(core, c->reasm_last)->seq, seq) ? c->reasm_last : 0;
    uint32_t next = at ? record_of(core, at)->next : c->reasm_head;
    while (next && seq_leq(record_of(core, next)->seq, seq)) {
        at = next;
        next = record_of(core, at)->next;
    }
    return at;
}

/* Cut what the records around have. Returns 0, or a drop where nothing is left. */
static int cut_overlaps(struct tcp_core *core, struct tcp_seg *seg, struct tcp_reasm *prev, struct tcp_reasm *next) {
    if (prev) {
        uint32_t end = prev->seq + prev->len;
        if (prev->fin && seq_leq(end, seg->seq))
            return -TCP_DROP_AFTER_FIN;
        if (seq_lt(seg->seq, end)) {
            uint32_t cut = end - seg->seq;
            core->stats.overlaps_in++;
            if (cut >= seg->len) {
                if (cut == seg->len && (seg->flags & WIRE_TCP_FIN) && !next)
                    prev->fin = 1;
                return -TCP_DROP_OVERLAP;
            }
            seg->seq = end;
            seg->len -= cut;
        }
    }
    if (next && seq_lt(next->seq, seg->seq + seg->len)) {
        core->stats.overlaps_in++;
        seg->len = next->seq - seg->seq;
        seg->flags &= ~WIRE_TCP_FIN;
        if (!seg->len)
            return -TCP_DROP_OVERLAP;
    }
    if (next && (seg->flags & WIRE_TCP_FIN)) /* a FIN with data queued behind it */
        return -TCP_DROP_AFTER_FIN;
    return 0;
}

int tcp_reasm_insert(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg) {
    uint32_t at = find_before(core, c, seg->seq);
    struct tcp_reasm *prev = at ? record_of(core, at) : NULL;
    uint32_t after = prev ? prev->next : c->reasm_head;
    int rc = cut_overlaps(core, seg, prev, after ? record_of(core, after) : NULL);
    if (rc) {
        if (at) /* RFC 2018 4: the first block is the one that the segment fell into */
            c->reasm_last = at;
        return rc;
    }
    uint16_t mbufs = seg->len ? seg->m->nb_segs : 0;
    if (c->reasm_count >= TCP_REASM_MAX) {
        core->stats.ooo_dropped++;
        return -TCP_DROP_OOO_LIMIT;
    }
    bool room = core->stats.rx_mbufs + mbufs <= core->cfg.rx_budget_mbufs / 2;
    uint32_t index = room ? pool_alloc(&core->reasm) : 0;
    if (!index) {
        core->stats.ooo_dropped++;
        return -TCP_DROP_RX_BUDGET;
    }
    *record_of(core, index) = (struct tcp_reasm){
        .m = seg->len ? seg->m : NULL,
        .next = after,
        .seq = seg->seq,
        .len = seg->len,
        .mbufs = mbufs,
        .fin = !!(seg->flags & WIRE_TCP_FIN),
    };
    if (prev)
        prev->next = index;
    else
        c->reasm_head = index;
    c->reasm_last = index;
    c->reasm_count++;
    core->stats.rx_mbufs += mbufs;
    seg->kept = seg->len != 0;
    return 0;
}

/* Take the head off the list; the mbuf, if any, is the caller's. */
static struct rte_mbuf *pop(struct tcp_core *core, struct tcp_conn *c) {
    uint32_t index = c->reasm_head;
    struct tcp_reasm *r = record_of(core, index);
    struct rte_mbuf *m = r->m;
    core->stats.rx_mbufs -= r->mbufs;
    c->reasm_head = r->next;
    if (c->reasm_last == index)
        c->reasm_last = r->next;
    c->reasm_count--;
    pool_free(&core->reasm, index);
    return m;
}

bool tcp_reasm_drain(struct tcp_core *core, struct tcp_conn *c) {
    bool moved = false;
    while (c->reasm_count && seq_leq(tcp_reasm_first(core, c), c->rcv_nxt)) {
        struct tcp_reasm r = *record_of(core, c->reasm_head);
        struct rte_mbuf *m = pop(core, c);
        assert(r.seq == c->rcv_nxt); /* tcp_text.c cuts what comes in order at the first record */
        if (m)
            rope_push(&c->rx, m);
        c->rcv_nxt += r.len;
        core->stats.bytes_in += r.len;
        tcp_rx_settle(core, c);
        moved = true;
        if (r.fin)
            tcp_fin_in_order(core, c);
    }
    return moved;
}

void tcp_reasm_clear(struct tcp_core *core, struct tcp_conn *c) {
    while (c->reasm_count) {
        struct rte_mbuf *m = pop(core, c);
        if (m)
            rte_pktmbuf_free(m);
    }
}

uint8_t tcp_reasm_sacks(const struct tcp_core *core, const struct tcp_conn *c, struct tcp_sack *blocks, uint8_t max) {
    uint8_t n = 1; /* blocks[0] is kept for the latest */
    bool latest = false;
    for (uint32_t i = c->reasm_head; i;) {
        const struct tcp_reasm *r = record_of(core, i);
        struct tcp_sack run = {r->seq, r->seq + r->len};
        bool has_latest = i == c->reasm_last;
        for (i = r->next; i && record_of(core, i)->seq == run.right; i = record_of(core, i)->next) {
            run.right += record_of(core, i)->len;
            has_latest |= i == c->reasm_last;
        }
        if (run.left == run.right) /* a bare FIN */
            continue;
        if (has_latest) {
            blocks[0] = run;
            latest = true;
        } else if (n < max) {
            blocks[n++] = run;
        }
    }
    if (latest)
        return n;
    for (uint8_t i = 1; i < n; i++)
        blocks[i - 1] = blocks[i];
    return (uint8_t)(n - 1);
}
