/* SPDX-License-Identifier: BSD-3-Clause */
#include "cycles.h"

#include <string.h>

#define CALIBRATION_ROUNDS  64u
#define CALIBRATION_CHANGES 32u

const char *cycles_stage_name(enum cycles_stage stage) {
    static const char *const names[] = {
#define X(name, label, text) label,
        CYCLES_STAGES(X)
#undef X
    };
    return names[stage];
}

const char *cycles_stage_text(enum cycles_stage stage) {
    static const char *const texts[] = {
#define X(name, label, text) text,
        CYCLES_STAGES(X)
#undef X
    };
    return texts[stage];
}

/* Xorshift (Marsaglia, 2003), 32 bits: enough to fall out of step with whatever is periodic. */
static uint32_t random_next(struct cycles *c) {
    c->random ^= c->random << 13;
    c->random ^= c->random >> 17;
    c->random ^= c->random << 5;
    return c->random;
}

/* Half a period to one and a half, each distance as likely as the others. */
static uint32_t distance(struct cycles *c) {
    uint64_t choices = c->period / 2 * 2 + 1;
    return weir_max_u32(c->period - c->period / 2 + (uint32_t)(random_next(c) * choices >> 32), 1);
}

/* The best of many rounds: an interrupt must not make it more. */
static uint32_t change_cost(void) {
    struct cycles c = {.measuring = true};
    uint64_t best = UINT64_MAX;
    for (unsigned round = 0; round < CALIBRATION_ROUNDS; round++) {
        uint64_t begin = rte_rdtsc();
        for (unsigned i = 0; i < CALIBRATION_CHANGES; i++)
            cycles_stage(&c, (enum cycles_stage)(i % CYCLES_STAGE_COUNT));
        uint64_t took = rte_rdtsc() - begin;
        best = took < best ? took : best;
    }
    return (uint32_t)(best / CALIBRATION_CHANGES);
}

void cycles_init(struct cycles *c, uint32_t seed) {
    memset(c, 0, sizeof(*c));
    c->period = CYCLES_PERIOD;
    c->random = seed * 2654435761u + 1; /* neighbouring seeds begin far apart */
    if (c->random == 0)
        c->random = 1;
    c->change_cycles = change_cost();
    c->countdown = distance(c);
}

void cycles_begin(struct cycles *c, uint64_t tsc) {
    if (c->period == 0)
        return; /* the countdown starts anew at its largest */
    c->countdown = distance(c);
    memset(&c->turn, 0, sizeof(c->turn));
    c->measuring = true;
    c->stage = CYCLES_CONTROL;
    c->since_tsc = tsc;
}

void cycles_ready(struct cycles *c, uint64_t tsc) {
    cycles_change(c, CYCLES_CONTROL, tsc);
    c->turn.own += c->turn.stages[CYCLES_CONTROL];
    c->turn.stages[CYCLES_CONTROL] = 0;
}

/* Between two readings of the counter lies one change, half of it before and half behind: it is taken off here. */
enum cycles_stage cycles_change(struct cycles *c, enum cycles_stage stage, uint64_t tsc) {
    enum cycles_stage before = (enum cycles_stage)c->stage;
    uint64_t passed = tsc - c->since_tsc;
    uint64_t own = passed < c->change_cycles ? passed : c->change_cycles;
    c->turn.stages[before] += passed - own;
    c->turn.own += own;
    c->since_tsc = tsc;
    c->stage = (uint8_t)stage;
    return before;
}

void cycles_end(struct cycles *c, uint64_t tsc, bool busy) {
    struct cycles_sum *sum = busy ? &c->busy : &c->empty;
    cycles_change(c, CYCLES_CONTROL, tsc);
    sum->turns++;
    sum->own += c->turn.own;
    for (unsigned i = 0; i < CYCLES_STAGE_COUNT; i++)
        sum->stages[i] += c->turn.stages[i];
    c->measuring = false;
}
