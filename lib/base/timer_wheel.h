/* SPDX-License-Identifier: BSD-3-Clause */
/* A hierarchical timer wheel, 1 ms ticks, one node an id (1..capacity, the owner's pool index). Lazy: the owner keeps
 * the true deadlines in its object; arming later than what is armed is free (the node fires early, the owner looks and
 * arms again), so per-packet work never relinks. Bounded: an advance hands out at most what the caller has room for and
 * goes on next turn. 16 bytes a node. One thread. */
#ifndef WEIR_TIMER_WHEEL_H
#define WEIR_TIMER_WHEEL_H

#include "base.h"

#define TIMER_WHEEL_LEVELS      4
#define TIMER_WHEEL_SLOTS       256
#define TIMER_WHEEL_CASCADE_MAX 4096 /* nodes moved to a finer level in one advance; the rest move with the next */

struct timer_node {
    uint32_t next, prev; /* ids; 0 ends a list */
    uint32_t deadline_ms;
    uint16_t slot; /* level * SLOTS + slot + 1; 0: not armed */
    uint16_t unused;
};
static_assert(sizeof(struct timer_node) == 16, "budget");

struct timer_wheel {
    struct timer_node *nodes; /* capacity + 1, mmap'ed, touched on use */
    uint32_t capacity, armed;
    uint32_t now_ms; /* all ticks up to this one are done */
    uint32_t heads[TIMER_WHEEL_LEVELS * TIMER_WHEEL_SLOTS];
    uint64_t occupied[TIMER_WHEEL_LEVELS][TIMER_WHEEL_SLOTS / 64]; /* bit set: the slot's list is not empty */
};

/* Returns 0, WEIR_EINVAL or WEIR_ENOMEM. now_ms: the tick to start from. */
int timer_wheel_init(struct timer_wheel *w, uint32_t capacity, uint32_t now_ms);
/* Have memory under the nodes of ids up to n (at most all) now (region_populate). */
void timer_wheel_populate(const struct timer_wheel *w, uint32_t n);
void timer_wheel_fini(struct timer_wheel *w);

/* Fire `id` at `deadline_ms` (wrapping u32 milliseconds; one in the past fires at the next tick) unless it is armed for
 * that time or earlier already. O(1). */
void timer_wheel_arm(struct timer_wheel *w, uint32_t id, uint32_t deadline_ms);

/* Take `id` out; no-op where it is not armed. O(1). The owner calls it before it frees the object. */
void timer_wheel_cancel(struct timer_wheel *w, uint32_t id);

/* Go on to now_ms: ids that are due, at most `max`, are written to `fired` and are no longer armed. Returns how many;
 * equal to max means there may be more (call again next turn). Never skips a tick, and jumps over empty ones. */
uint32_t timer_wheel_advance(struct timer_wheel *w, uint32_t now_ms, uint32_t *fired, uint32_t max);

/* Earliest tick at which something can be due, or now_ms + `limit_ms` where nothing is before it (simulations step the
 * clock with it). */
uint32_t timer_wheel_next(const struct timer_wheel *w, uint32_t limit_ms);

#endif
