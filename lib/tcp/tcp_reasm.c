/* SPDX-License-Identifier: BSD-3-Clause */
/* Out-of-order data: a list of runs in sequence order, each a rope of contiguous bytes with a hole before it. Segments
 * that touch a run join it, so that a record stands for a hole and not for a segment: a megabyte behind one lost
 * segment is one run, and the next segment of it is appended without a search.
 *
 * What a peer can make us do is bounded (CVE-2018-5390): at most TCP_REASM_MAX runs a flow, so a search looks at no
 * more; all flows together hold at most half of rx_budget_mbufs, because what closes the holes must find room or
 * nothing would ever be read again; and one flow no more than what it leaves of that half, so that it cannot keep
 * others from theirs. Charged is what is held: small segments are copied together (rope_push), those that are not count
 * as the mbufs that they are. A FIN without data behind a hole holds nothing but its record: where many records are in
 * use it is dropped, and its peer sends it again.
 *
 * The first copy of a byte wins; what a later segment repeats is cut off it (a segment that reaches over a run keeps
 * its front only: the peer sends the rest again). */
#include "tcp_int.h"

static struct tcp_reasm *run_of(const struct tcp_core *core, uint32_t i) {
    return pool_get(&core->reasm, i);
}

static uint32_t end_of(const struct tcp_reasm *r) {
    return r->seq + r->bytes.len_bytes;
}

struct tcp_sack tcp_reasm_first(const struct tcp_core *core, const struct tcp_conn *c) {
    const struct tcp_reasm *r = run_of(core, c->reasm_head);
    return (struct tcp_sack){r->seq, end_of(r)};
}

uint32_t tcp_reasm_since_ms(const struct tcp_core *core, const struct tcp_conn *c) {
    return run_of(core, c->reasm_head)->since_ms;
}

/* The last run that begins at or before seq; 0: none. Begins with the latest change: a train of segments behind one
 * hole needs no walk. */
static uint32_t find_before(const struct tcp_core *core, const struct tcp_conn *c, uint32_t seq) {
    uint32_t at = c->reasm_last && seq_leq(run_of(core, c->reasm_last)->seq, seq) ? c->reasm_last : 0;
    uint32_t next = at ? run_of(core, at)->next : c->reasm_head;
    while (next && seq_leq(run_of(core, next)->seq, seq)) {
        at = next;
        next = run_of(core, at)->next;
    }
    return at;
}

static void changed(struct tcp_core *core, struct tcp_conn *c, uint32_t at) {
    run_of(core, at)->changed = ++core->reasm_changes;
    c->reasm_last = at;
}

/* The front of the segment lies in `prev`. Returns 0, or a drop where nothing is left. */
static int cut_front(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg, struct tcp_reasm *prev,
                     bool is_last) {
    uint32_t end = end_of(prev), cut = end - seg->seq;
    core->stats.overlaps_in++;
    tcp_dsack_note(core, c, seg->seq, seg->seq + weir_min_u32(cut, seg->len));
    if (cut >= seg->len) {
        if (cut == seg->len && (seg->flags & WIRE_TCP_FIN) && is_last)
            prev->fin = true;
        return -TCP_DROP_OVERLAP;
    }
    seg->payload += cut;
    seg->seq = end;
    seg->len -= cut;
    return 0;
}

/* Cut what the runs around have. Returns 0, or a drop where nothing is left. */
static int cut_overlaps(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg, struct tcp_reasm *prev,
                        struct tcp_reasm *next) {
    if (prev && seq_lt(seg->seq, end_of(prev))) {
        int rc = cut_front(core, c, seg, prev, !next);
        if (rc)
            return rc;
    }
    if (prev && prev->fin && (seg->len || seg->seq != end_of(prev)))
        return -TCP_DROP_AFTER_FIN;
    if (next && seq_lt(next->seq, seg->seq + seg->len)) {
        uint32_t end = seg->seq + seg->len;
        core->stats.overlaps_in++;
        tcp_dsack_note(core, c, next->seq, seq_lt(end, end_of(next)) ? end : end_of(next));
        seg->len = next->seq - seg->seq;
        seg->flags &= ~WIRE_TCP_FIN;
        if (!seg->len)
            return -TCP_DROP_OVERLAP;
    }
    if (next && (seg->flags & WIRE_TCP_FIN)) /* a FIN with data queued behind it */
        return -TCP_DROP_AFTER_FIN;
    return 0;
}

/* The first run carries what is the flow's: pass it on when another becomes the first. */
static void set_head(const struct tcp_core *core, struct tcp_conn *c, uint32_t index) {
    if (c->reasm_head && index) {
        const struct tcp_reasm *old = run_of(core, c->reasm_head);
        struct tcp_reasm *first = run_of(core, index);
        first->since_ms = old->since_ms;
        first->flow_mbufs = old->flow_mbufs;
    } else if (index) {
        run_of(core, index)->since_ms = tcp_now_ms(core);
    }
    c->reasm_head = index;
}

static void charge(struct tcp_core *core, const struct tcp_conn *c, uint32_t before, uint32_t now) {
    core->stats.rx_mbufs += now - before;
    run_of(core, c->reasm_head)->flow_mbufs += now - before;
}

/* A new run between `at` (0: in front of all) and `after`. Returns its index, or 0: no room. */
static uint32_t run_new(struct tcp_core *core, struct tcp_conn *c, uint32_t at, uint32_t after, uint32_t seq) {
    uint32_t index = pool_alloc(&core->reasm);
    if (!index)
        return 0;
    *run_of(core, index) = (struct tcp_reasm){.next = after, .seq = seq};
    if (at)
        run_of(core, at)->next = index;
    else
        set_head(core, c, index);
    c->reasm_count++;
    return index;
}

/* The run behind `at` begins where `at` ends now: the hole between them is closed. */
static void join_next(struct tcp_core *core, struct tcp_conn *c, uint32_t at) {
    struct tcp_reasm *r = run_of(core, at);
    uint32_t gone = r->next;
    struct tcp_reasm *next = run_of(core, gone);
    uint32_t before = r->bytes.mbufs + next->bytes.mbufs;
    rope_splice(&r->bytes, &next->bytes);
    r->fin = next->fin;
    r->next = next->next;
    c->reasm_count--;
    pool_free(&core->reasm, gone);
    charge(core, c, before, r->bytes.mbufs);
}

/* Room in the budget for so many more of this flow's? */
static bool has_room(const struct tcp_core *core, const struct tcp_conn *c, uint32_t mbufs) {
    uint32_t own = c->reasm_count ? run_of(core, c->reasm_head)->flow_mbufs : 0;
    return core->stats.rx_mbufs + own + mbufs <= core->cfg.rx_budget_mbufs / 2;
}

/* Put the segment, of which nothing is there yet, behind run `at` (0: in front of all). */
static int put(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg, uint32_t at) {
    bool joins = at && end_of(run_of(core, at)) == seg->seq;
    uint32_t after = at ? run_of(core, at)->next : c->reasm_head;
    if (seg->len && !has_room(core, c, seg->m->nb_segs)) {
        core->stats.ooo_dropped++;
        return -TCP_DROP_RX_BUDGET;
    }
    bool meets = after && seg->seq + seg->len == run_of(core, after)->seq;
    if (!joins) {
        /* One more than the bound for the moment that it takes to join the next one. */
        bool room = c->reasm_count < TCP_REASM_MAX + meets && (seg->len || core->reasm.used < tcp_reasm_fins(core));
        uint32_t index = room ? run_new(core, c, at, after, seg->seq) : 0;
        if (!index) {
            core->stats.ooo_dropped++;
            return c->reasm_count < TCP_REASM_MAX ? -TCP_DROP_RX_BUDGET : -TCP_DROP_OOO_LIMIT;
        }
        at = index;
    }
    struct tcp_reasm *r = run_of(core, at);
    if (seg->len) {
        uint32_t before = r->bytes.mbufs;
        tcp_seg_keep_payload(seg);
        rope_push(&r->bytes, seg->m);
        seg->kept = true;
        charge(core, c, before, r->bytes.mbufs);
    }
    r->fin |= !!(seg->flags & WIRE_TCP_FIN);
    if (meets)
        join_next(core, c, at);
    changed(core, c, at);
    return 0;
}

int tcp_reasm_insert(struct tcp_core *core, struct tcp_conn *c, struct tcp_seg *seg) {
    uint32_t at = find_before(core, c, seg->seq);
    struct tcp_reasm *prev = at ? run_of(core, at) : NULL;
    uint32_t after = prev ? prev->next : c->reasm_head;
    int rc = cut_overlaps(core, c, seg, prev, after ? run_of(core, after) : NULL);
    if (!rc)
        return put(core, c, seg, at);
    if (at && rc == -TCP_DROP_OVERLAP) /* RFC 2018 4: the first block is the one that the segment fell into */
        changed(core, c, at);
    return rc;
}

/* Take the first run off the list; its rope is the caller's. */
static struct rope pop(struct tcp_core *core, struct tcp_conn *c) {
    uint32_t index = c->reasm_head;
    const struct tcp_reasm *r = run_of(core, index);
    struct rope bytes = r->bytes;
    charge(core, c, bytes.mbufs, 0);
    set_head(core, c, r->next);
    if (c->reasm_last == index)
        c->reasm_last = c->reasm_head;
    c->reasm_count--;
    pool_free(&core->reasm, index);
    return bytes;
}

bool tcp_reasm_drain(struct tcp_core *core, struct tcp_conn *c) {
    bool moved = false;
    while (c->reasm_count && seq_leq(tcp_reasm_first(core, c).left, c->rcv_nxt)) {
        bool fin = run_of(core, c->reasm_head)->fin;
        assert(tcp_reasm_first(core, c).left == c->rcv_nxt); /* tcp_text.c cuts what comes in order at the first run */
        struct rope bytes = pop(core, c);
        if (c->reasm_head) /* the next hole is looked at from now on */
            run_of(core, c->reasm_head)->since_ms = tcp_now_ms(core);
        c->rcv_nxt += bytes.len_bytes;
        core->stats.bytes_in += bytes.len_bytes;
        rope_splice(&c->rx, &bytes);
        tcp_rx_settle(core, c);
        moved = true;
        if (fin)
            tcp_fin_in_order(core, c);
    }
    return moved;
}

void tcp_reasm_clear(struct tcp_core *core, struct tcp_conn *c) {
    while (c->reasm_count) {
        struct rope bytes = pop(core, c);
        rope_clear(&bytes);
    }
}

/* Has `a` changed later than `b`? */
static bool later(const struct tcp_reasm *a, const struct tcp_reasm *b) {
    return (int32_t)(a->changed - b->changed) > 0;
}

uint8_t tcp_reasm_sacks(const struct tcp_core *core, const struct tcp_conn *c, struct tcp_sack *blocks, uint8_t max) {
    const struct tcp_reasm *latest[TCP_SACK_BLOCKS];
    uint8_t n = 0;
    for (uint32_t i = c->reasm_head; i && max; i = run_of(core, i)->next) {
        const struct tcp_reasm *r = run_of(core, i);
        if (!r->bytes.len_bytes || (n == max && !later(r, latest[n - 1]))) /* a bare FIN; one reported before */
            continue;
        n += n < max;
        uint8_t at = (uint8_t)(n - 1);
        for (; at && later(r, latest[at - 1]); at--)
            latest[at] = latest[at - 1];
        latest[at] = r;
    }
    for (uint8_t i = 0; i < n; i++)
        blocks[i] = (struct tcp_sack){latest[i]->seq, end_of(latest[i])};
    return n;
}
