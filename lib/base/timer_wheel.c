/* SPDX-License-Identifier: BSD-3-Clause */
/* Level l holds nodes due within 256^(l+1) ticks, in the slot named by byte l of their deadline. When the clock comes
 * to a tick whose lower l bytes are zero, the slot of level l for that tick is emptied into the finer levels (a
 * cascade). Everything is placed relative to the next tick to be done, so a tick that was done in part, for want of
 * room or budget, can be taken up again: its cascade finds what is left and nothing new can have come into those slots.
 */
#include "timer_wheel.h"

#include "region.h"

#include <string.h>

#define SLOT_BITS 8
#define SLOT_MASK (TIMER_WHEEL_SLOTS - 1)

static size_t nodes_bytes(uint32_t capacity) {
    return ((size_t)capacity + 1) * sizeof(struct timer_node);
}

int timer_wheel_init(struct timer_wheel *w, uint32_t capacity, uint32_t now_ms) {
    if (capacity == 0)
        return WEIR_EINVAL;
    void *nodes = region_map(nodes_bytes(capacity));
    if (nodes == NULL)
        return WEIR_ENOMEM;
    *w = (struct timer_wheel){.nodes = nodes, .capacity = capacity, .now_ms = now_ms};
    return 0;
}

void timer_wheel_populate(const struct timer_wheel *w, uint32_t n) {
    region_populate(w->nodes, nodes_bytes(weir_min_u32(n, w->capacity)));
}

void timer_wheel_fini(struct timer_wheel *w) {
    region_unmap(w->nodes, nodes_bytes(w->capacity));
    *w = (struct timer_wheel){0};
}

static void link_node(struct timer_wheel *w, uint32_t id, uint32_t level, uint32_t slot) {
    uint32_t at = level * TIMER_WHEEL_SLOTS + slot;
    struct timer_node *n = &w->nodes[id];

    n->slot = (uint16_t)(at + 1);
    n->prev = 0;
    n->next = w->heads[at];
    if (n->next)
        w->nodes[n->next].prev = id;
    w->heads[at] = id;
    w->occupied[level][slot / 64] |= 1ull << (slot % 64);
}

static void unlink_node(struct timer_wheel *w, uint32_t id) {
    struct timer_node *n = &w->nodes[id];
    uint32_t at = n->slot - 1u;

    if (n->next)
        w->nodes[n->next].prev = n->prev;
    if (n->prev) {
        w->nodes[n->prev].next = n->next;
    } else {
        w->heads[at] = n->next;
        if (n->next == 0)
            w->occupied[at / TIMER_WHEEL_SLOTS][at % TIMER_WHEEL_SLOTS / 64] &= ~(1ull << (at % 64));
    }
    n->slot = 0;
}

/* Link a node whose deadline is not before the next tick. */
static void place(struct timer_wheel *w, uint32_t id) {
    uint32_t deadline = w->nodes[id].deadline_ms;
    uint32_t ahead = deadline - (w->now_ms + 1);
    uint32_t level = ahead < 1u << SLOT_BITS ? 0 : (31u - (uint32_t)__builtin_clz(ahead)) / SLOT_BITS;

    link_node(w, id, level, deadline >> (level * SLOT_BITS) & SLOT_MASK);
}

void timer_wheel_arm(struct timer_wheel *w, uint32_t id, uint32_t deadline_ms) {
    assert(id != 0 && id <= w->capacity);
    struct timer_node *n = &w->nodes[id];

    if ((int32_t)(deadline_ms - w->now_ms) <= 0)
        deadline_ms = w->now_ms + 1;
    if (n->slot != 0) {
        if ((int32_t)(n->deadline_ms - deadline_ms) <= 0)
            return;
        unlink_node(w, id);
    } else {
        w->armed++;
    }
    n->deadline_ms = deadline_ms;
    place(w, id);
}

void timer_wheel_cancel(struct timer_wheel *w, uint32_t id) {
    assert(id != 0 && id <= w->capacity);
    if (w->nodes[id].slot == 0)
        return;
    unlink_node(w, id);
    w->armed--;
}

/* Distance from slot `from`, going round, to the next occupied one of this level; SLOTS where there is none. */
static uint32_t next_occupied(const uint64_t occupied[TIMER_WHEEL_SLOTS / 64], uint32_t from) {
    const uint32_t words = TIMER_WHEEL_SLOTS / 64;

    for (uint32_t i = 0; i <= words; i++) {
        uint32_t word = (from / 64 + i) % words;
        uint64_t bits = occupied[word];
        if (i == 0)
            bits &= ~0ull << (from % 64);
        if (bits) {
            uint32_t slot = word * 64 + (uint32_t)__builtin_ctzll(bits);
            return (slot - from) & SLOT_MASK;
        }
    }
    return TIMER_WHEEL_SLOTS;
}

uint32_t timer_wheel_next(const struct timer_wheel *w, uint32_t limit_ms) {
    uint32_t base = w->now_ms + 1, nearest = limit_ms;

    if (w->armed == 0)
        return w->now_ms + limit_ms;
    for (uint32_t level = 0; level < TIMER_WHEEL_LEVELS; level++) {
        uint32_t shift = level * SLOT_BITS;
        uint32_t first = (base + ((1u << shift) - 1)) >> shift; /* of this level's ticks, the next to come */
        uint32_t distance = next_occupied(w->occupied[level], first & SLOT_MASK);

        if (distance < TIMER_WHEEL_SLOTS)
            nearest = weir_min_u32(nearest, ((first + distance) << shift) - w->now_ms);
    }
    return w->now_ms + nearest;
}

/* Empty the slots of the coarser levels that begin at the next tick. Returns false where the budget ran out. */
static bool cascade(struct timer_wheel *w, uint32_t *budget) {
    uint32_t tick = w->now_ms + 1;

    for (uint32_t level = 1; level < TIMER_WHEEL_LEVELS; level++) {
        uint32_t shift = level * SLOT_BITS;
        if ((tick & ((1u << shift) - 1)) != 0)
            break;
        uint32_t at = level * TIMER_WHEEL_SLOTS + (tick >> shift & SLOT_MASK);
        for (uint32_t id; (id = w->heads[at]) != 0; (*budget)--) {
            if (*budget == 0)
                return false;
            unlink_node(w, id);
            place(w, id);
        }
    }
    return true;
}

uint32_t timer_wheel_advance(struct timer_wheel *w, uint32_t now_ms, uint32_t *fired, uint32_t max) {
    uint32_t n = 0, cascade_budget = TIMER_WHEEL_CASCADE_MAX;

    while ((int32_t)(now_ms - w->now_ms) > 0) {
        uint32_t tick = timer_wheel_next(w, now_ms - w->now_ms);
        w->now_ms = tick - 1; /* nothing lies before it */
        if (!cascade(w, &cascade_budget))
            return n;
        uint32_t id;
        while (n < max && (id = w->heads[tick & SLOT_MASK]) != 0) {
            unlink_node(w, id);
            w->armed--;
            fired[n++] = id;
        }
        if (w->heads[tick & SLOT_MASK] != 0)
            return n;
        w->now_ms = tick;
    }
    return n;
}
