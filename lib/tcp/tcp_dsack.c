/* SPDX-License-Identifier: BSD-3-Clause */
/* What arrived twice, for the first SACK block of the next ACK (RFC 2883 4): the peer learns that a retransmission was
 * needless. The ACK leaves within the turn, so what it says lies in a few slots of the core, found by the flow's index,
 * and costs a flow nothing. Two flows may meet in a slot: then one ACK goes without, which RFC 2883 leaves open. */
#include "tcp_int.h"

static struct tcp_dsack *slot_of(struct tcp_core *core, const struct tcp_conn *c) {
    return &core->dsacks[tcp_id_of(core, c) % TCP_DSACKS];
}

void tcp_dsack_note(struct tcp_core *core, struct tcp_conn *c, uint32_t left, uint32_t right) {
    struct tcp_dsack *d = slot_of(core, c);
    uint32_t id = tcp_id_of(core, c);
    if (!(c->flags & TCP_F_SACK) || left == right)
        return;
    bool touches =
        (c->flags & TCP_F_DSACK) && d->id == id && seq_leq(left, d->block.right) && seq_leq(d->block.left, right);
    if (touches) { /* several of a burst are one block */
        d->block.left = seq_lt(left, d->block.left) ? left : d->block.left;
        d->block.right = seq_max(right, d->block.right);
    } else {
        *d = (struct tcp_dsack){id, {left, right}};
    }
    c->flags |= TCP_F_DSACK;
}

uint8_t tcp_dsack_block(const struct tcp_core *core, const struct tcp_conn *c, struct tcp_sack *block) {
    const struct tcp_dsack *d = slot_of((struct tcp_core *)(uintptr_t)core, c);
    if (!(c->flags & TCP_F_DSACK) || d->id != tcp_id_of(core, c))
        return 0;
    *block = d->block;
    return 1;
}
