/* SPDX-License-Identifier: BSD-3-Clause */
/* The SACK blocks of an ACK, laid over the records (RFC 2018), and what was reported as received twice (RFC 2883). A
 * record counts as received only where one block covers it whole: peers report whole segments, and what they cut
 * differently is at worst sent again. Blocks that lie outside of what is outstanding are ignored. */
#include "tcp_int.h"

/* RFC 2883 4: the first block repeats what is acknowledged already, or lies within the second. */
static bool is_dsack(const struct tcp_seg *seg) {
    const struct tcp_sack *b = seg->opts.sacks;
    if (!seq_lt(b[0].left, b[0].right))
        return false;
    if (seq_leq(b[0].right, seg->ack))
        return true;
    return seg->opts.n_sacks > 1 && seq_leq(b[1].left, b[0].left) && seq_leq(b[0].right, b[1].right);
}

static bool block_valid(const struct tcp_conn *c, const struct tcp_sack *b) {
    return seq_lt(c->snd_una, b->left) && seq_lt(b->left, b->right) && seq_leq(b->right, c->snd_nxt);
}

/* The record that holds `left`, or the first behind it. Blocks grow at their right end and come newest first: the
 * search begins where the last one ended. */
static uint32_t find_record(const struct tcp_core *core, const struct tcp_conn *c, const struct tcp_flight *f,
                            uint32_t left) {
    uint32_t i = f->sack_hint && seq_leq(tcp_sent_of(core, f->sack_hint)->seq, left) ? f->sack_hint : c->seg_head;
    while (i && seq_lt(tcp_sent_of(core, i)->seq, left))
        i = tcp_sent_of(core, i)->next;
    return i;
}

static void measure(const struct tcp_core *core, const struct tcp_sent *s, struct tcp_news *news) {
    if (s->times == 1)
        news->rtt_us = weir_max_u32((uint32_t)core->now_us - s->sent_us, 1);
}

static void take_block(struct tcp_core *core, struct tcp_conn *c, struct tcp_flight *f, const struct tcp_seg *seg,
                       const struct tcp_sack *b, struct tcp_news *news) {
    for (uint32_t i = find_record(core, c, f, b->left); i;) {
        struct tcp_sent *s = tcp_sent_of(core, i);
        if (seq_lt(b->right, tcp_sent_end(s)))
            return;
        f->sack_hint = i;
        if (!(s->flags & TCP_SENT_SACKED)) {
            tcp_rack_delivered(core, c, f, s, &seg->opts);
            measure(core, s, news);
            tcp_sent_sacked(core, c, f, i);
            news->delivered += s->len;
            news->sacked = true;
        }
        i = s->next;
    }
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
    if (seg->opts.n_sacks && is_dsack(seg)) {
        core->stats.dsacks_in++;
        news->dsack_left = seg->opts.sacks[0].left;
        news->dsack_right = seg->opts.sacks[0].right;
        first = 1;
    }
    struct tcp_sack blocks[WEIR_ARRAY_LEN(seg->opts.sacks)];
    uint8_t n = in_order(c, seg, first, blocks);
    for (uint8_t i = 0; i < n; i++)
        take_block(core, c, f, seg, &blocks[i], news);
}

void tcp_sack_forget(struct tcp_core *core, struct tcp_conn *c, struct tcp_flight *f) {
    for (uint32_t i = c->seg_head; i; i = tcp_sent_of(core, i)->next)
        if (tcp_sent_of(core, i)->flags & TCP_SENT_SACKED)
            tcp_sent_restore(core, c, f, i);
    f->fack = c->snd_una;
}
