/* SPDX-License-Identifier: BSD-3-Clause */
/* The SACK blocks of an ACK, laid over the records (RFC 2018), and what was reported as received twice (RFC 2883). A
 * record counts as received only where one block covers it whole: peers report whole segments, and what they cut
 * differently is at worst sent again. Blocks that lie outside of what is outstanding are ignored. */
#include "tcp_int.h"

/* RFC 2883 4: the first block repeats what is acknowledged already, or lies within the second. What never left cannot
 * have arrived twice. */
static bool is_dsack(const struct tcp_conn *c, const struct tcp_seg *seg) {
    const struct tcp_sack *b = seg->opts.sacks;
    if (!seq_lt(b[0].left, b[0].right) || seq_lt(c->snd_nxt, b[0].right))
        return false;
    if (seq_leq(b[0].right, seg->ack))
        return true;
    return seg->opts.n_sacks > 1 && seq_leq(b[1].left, b[0].left) && seq_leq(b[0].right, b[1].right);
}

static bool block_valid(const struct tcp_conn *c, const struct tcp_sack *b) {
    return seq_lt(c->snd_una, b->left) && seq_lt(b->left, b->right) && seq_leq(b->right, c->snd_nxt);
}

/* One record further, or 0 where the flow's ACKs have cost enough: a peer with a thousand segments out could have us
 * walk over all of them for every ACK. Each segment that arrives pays for many steps, more than any loss makes
 * necessary; a timeout fills the purse again. */
static uint32_t step(struct tcp_flight *f, uint32_t next) {
    if (!f->sack_steps)
        return 0;
    f->sack_steps--;
    return next;
}

/* The first record, from i on, that begins at `left` or behind it; within a run of SACKed ones the run's end. */
static uint32_t find_record(const struct tcp_core *core, struct tcp_flight *f, uint32_t i, uint32_t left) {
    while (i) {
        const struct tcp_sent *s = tcp_sent_of(core, i);
        if (!seq_lt(s->seq, left))
            break;
        i = step(f, (s->flags & TCP_SENT_SACKED) && s->later ? s->later : s->next);
    }
    return i;
}

static void measure(const struct tcp_core *core, const struct tcp_sent *s, struct tcp_news *news) {
    if (s->times == 1)
        news->rtt_us = weir_max_u32((uint32_t)core->now_us - s->sent_us, 1);
}

/* The block from record i on. Blocks come again and grow at their right end: the first record of a run remembers where
 * the run ends, so that what is known is passed in one step. */
static void take_block(struct tcp_core *core, struct tcp_conn *c, struct tcp_flight *f, const struct tcp_seg *seg,
                       uint32_t i, uint32_t right, struct tcp_news *news) {
    uint32_t run = i, last = 0;
    while (i) {
        struct tcp_sent *s = tcp_sent_of(core, i);
        if (seq_lt(right, tcp_sent_end(s)))
            break;
        if (!(s->flags & TCP_SENT_SACKED)) {
            tcp_rack_delivered(core, c, f, s, &seg->opts);
            measure(core, s, news);
            tcp_sent_sacked(core, f, i);
            news->delivered += s->len;
            news->probed |= s->flags & TCP_SENT_PROBE ? s->len : 0;
            news->sacked = true;
        }
        last = i;
        i = step(f, s->later ? s->later : s->next);
    }
    if (last != run && last)
        tcp_sent_of(core, run)->later = last;
}

/* The valid blocks by their left edges: they come latest first, and a lower one taken after a higher one would look
 * like reordering (RFC 8985 6.2 step 3). */
static uint8_t in_order(const struct tcp_conn *c, const struct tcp_seg *seg, uint8_t first, struct tcp_sack *blocks) {
    uint8_t n = 0;
    for (uint8_t i = first; i < seg->opts.n_sacks; i++) {
        const struct tcp_sack *b = &seg->opts.sacks[i];
        if (!block_valid(c, b))
            continue;
        uint8_t at = n++;
        for (; at && seq_lt(b->left, blocks[at - 1].left); at--)
            blocks[at] = blocks[at - 1];
        blocks[at] = *b;
    }
    return n;
}

void tcp_sack_take(struct tcp_core *core, struct tcp_conn *c, struct tcp_flight *f, const struct tcp_seg *seg,
                   struct tcp_news *news) {
    uint8_t first = 0;
    if (seg->opts.n_sacks && is_dsack(c, seg)) {
        core->stats.dsacks_in++;
        news->dsack_left = seg->opts.sacks[0].left;
        news->dsack_right = seg->opts.sacks[0].right;
        first = 1;
    }
    struct tcp_sack blocks[WEIR_ARRAY_LEN(seg->opts.sacks)];
    uint8_t n = in_order(c, seg, first, blocks);
    uint32_t i = c->seg_head;
    if (n && f->sack_hint && seq_leq(tcp_sent_of(core, f->sack_hint)->seq, blocks[0].left))
        i = f->sack_hint;
    for (uint8_t k = 0; k < n; k++) { /* in order: each search goes on where the last one ended */
        i = find_record(core, f, i, blocks[k].left);
        if (k == 0)
            f->sack_hint = i;
        take_block(core, c, f, seg, i, blocks[k].right, news);
    }
}
