/* SPDX-License-Identifier: BSD-3-Clause */
/* The reference model: what a stack may put on the wire, judged by the packets alone, and at each turn whether its own
 * numbers agree with what was on the wire.
 *
 *   pair_wire.c   shows each packet as it leaves (before anything on the way can change it)
 *   pair.c        shows each packet that arrives whole, and says when a side's turn is over
 *   core_check.c  what must hold inside one core; mbuf_check.c: one owner an mbuf
 *
 * Checked of each segment of a flow (RST apart, whose numbers follow other rules):
 *   - it begins at or before the end of what was sent (no gaps), and what is sent again is the same: each byte is the
 *     stream's byte at that number, the FIN stays where it was, nothing follows it (RFC 9293 3.4, 3.8.1)
 *   - new bytes stay left of the highest right edge that has arrived from the peer; a FIN may stand on the edge
 *   - ACK numbers never fall, and cover only what has arrived in one piece
 *   - the right edge, SEG.ACK + (SEG.WND << shift), never moves left (RFC 9293 3.8.6): the field is rounded up to the
 *     scale, so that no unit is lost to rounding as small segments come in (RFC 7323 2.4); and it is never further
 *     from the ACK than the receive buffer, rounded up to the scale
 *   - each SACK block is of bytes that have arrived beyond the ACK; a first block at or below the ACK, or inside the
 *     second, is a D-SACK (RFC 2883 4): of bytes that have arrived twice
 *   - it is ECN-capable only where both SYNs said so and none of its own did not, and carries data for the first time
 * (RFC 3168 6.1.1, 6.1.4, 6.1.5)
 *   - TSval never falls, and timestamps are on all segments or on none (RFC 7323 3.2)
 * And at the end of a turn: SND.MAX, RCV.NXT, the right edge and SND.UNA of the flow are those of the wire. */
#ifndef WEIR_PAIR_MODEL_H
#define WEIR_PAIR_MODEL_H

#include "pair.h"

struct pair_model *pair_model_new(struct pair *p);
void pair_model_free(struct pair_model *m);
/* A packet of `side` as it leaves. */
void pair_model_sent(struct pair_model *m, unsigned side, const struct pair_segment *s, const uint8_t *payload);
/* A packet that `side` is about to take in. */
void pair_model_arrived(struct pair_model *m, unsigned side, const struct pair_segment *s);
/* The side has received, served its owners and sent. Every so many turns, and where `whole`, everything is counted. */
void pair_model_turn(struct pair_model *m, unsigned side, bool whole);

#endif
