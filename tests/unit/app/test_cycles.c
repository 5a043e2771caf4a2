/* SPDX-License-Identifier: BSD-3-Clause */
/* Where a turn's time goes, with a counter that the test turns by hand; and which turns are chosen. */
#include "weir/cycles.h"

#include <criterion/criterion.h>
#include <string.h>

static struct cycles c;

static void setup(void) {
    cycles_init(&c, 1);
    c.change_cycles = 0;
}

TestSuite(cycles, .init = setup);

static uint64_t stages_sum(const struct cycles_sum *s) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < CYCLES_STAGE_COUNT; i++)
        sum += s->stages[i];
    return sum;
}

/* --- attribution --- */

Test(cycles, time_goes_to_the_stage_of_the_moment) {
    cycles_begin(&c, 1000);
    cr_assert(c.measuring);
    cycles_change(&c, CYCLES_RX, 1010);
    cycles_change(&c, CYCLES_TCP_IN, 1110);
    cycles_change(&c, CYCLES_RX, 1150);
    cycles_end(&c, 1155, true);
    cr_expect_not(c.measuring);
    cr_expect_eq(c.busy.turns, 1);
    cr_expect_eq(c.busy.stages[CYCLES_CONTROL], 10);
    cr_expect_eq(c.busy.stages[CYCLES_RX], 105);
    cr_expect_eq(c.busy.stages[CYCLES_TCP_IN], 40);
    cr_expect_eq(stages_sum(&c.busy), 155);
}

/* As session_mqtt_connect nests session_dial: each part gives back what it found. */
Test(cycles, nested_stages_restore) {
    cycles_begin(&c, 0);
    enum cycles_stage outer = cycles_change(&c, CYCLES_SESSION, 1);
    cr_expect_eq(outer, CYCLES_CONTROL);
    enum cycles_stage middle = cycles_change(&c, CYCLES_MQTT, 3);
    enum cycles_stage inner = cycles_change(&c, CYCLES_LB, 7);
    cr_expect_eq(inner, CYCLES_MQTT);
    cycles_change(&c, inner, 15);
    cycles_change(&c, middle, 31);
    cr_expect_eq(c.stage, CYCLES_SESSION);
    cycles_change(&c, outer, 63);
    cycles_end(&c, 127, true);
    cr_expect_eq(c.busy.stages[CYCLES_CONTROL], 1 + 64);
    cr_expect_eq(c.busy.stages[CYCLES_SESSION], 2 + 32);
    cr_expect_eq(c.busy.stages[CYCLES_MQTT], 4 + 16);
    cr_expect_eq(c.busy.stages[CYCLES_LB], 8);
}

Test(cycles, empty_turns_are_apart) {
    cycles_begin(&c, 0);
    cycles_change(&c, CYCLES_IDLE, 20);
    cycles_end(&c, 500, false);
    cycles_begin(&c, 500);
    cycles_change(&c, CYCLES_RX, 510);
    cycles_end(&c, 600, true);
    cr_expect_eq(c.empty.turns, 1);
    cr_expect_eq(c.empty.stages[CYCLES_IDLE], 480);
    cr_expect_eq(stages_sum(&c.empty), 500);
    cr_expect_eq(c.busy.turns, 1);
    cr_expect_eq(c.busy.stages[CYCLES_RX], 90);
    cr_expect_eq(stages_sum(&c.busy), 100);
}

/* The cost of the changes is taken off the stages and kept: together they are the turn. A stage shorter than a change
 * is nothing, not less. */
Test(cycles, what_measuring_takes_is_kept_apart) {
    c.change_cycles = 25;
    cycles_begin(&c, 0);
    cycles_change(&c, CYCLES_RX, 100);
    cycles_change(&c, CYCLES_IP, 110);
    cycles_change(&c, CYCLES_TX, 300);
    cycles_end(&c, 325, true);
    cr_expect_eq(c.busy.stages[CYCLES_CONTROL], 75);
    cr_expect_eq(c.busy.stages[CYCLES_RX], 0);
    cr_expect_eq(c.busy.stages[CYCLES_IP], 165);
    cr_expect_eq(c.busy.stages[CYCLES_TX], 0);
    cr_expect_eq(c.busy.own, 25 + 10 + 25 + 25);
    cr_expect_eq(stages_sum(&c.busy) + c.busy.own, 325);
}

/* Getting ready is the measuring's own. */
Test(cycles, ready_is_no_stage) {
    c.change_cycles = 25;
    cycles_begin(&c, 1000);
    cycles_ready(&c, 1500);
    cycles_change(&c, CYCLES_RX, 1600);
    cycles_end(&c, 1700, true);
    cr_expect_eq(c.busy.stages[CYCLES_CONTROL], 75);
    cr_expect_eq(c.busy.stages[CYCLES_RX], 75);
    cr_expect_eq(c.busy.own, 500 + 25 + 25);
}

Test(cycles, many_turns_add_up_exactly) {
    uint64_t tsc = 12345, begin = tsc;
    uint32_t random = 7;
    c.change_cycles = 30;
    for (unsigned turn = 0; turn < 1000; turn++) {
        cycles_begin(&c, tsc);
        for (unsigned i = 0; i < 20; i++) {
            random = random * 1664525 + 1013904223;
            tsc += random >> 24;
            cycles_change(&c, (enum cycles_stage)((random >> 8) % CYCLES_STAGE_COUNT), tsc);
        }
        tsc += 17;
        cycles_end(&c, tsc, turn % 3 != 0);
    }
    cr_expect_eq(c.busy.turns, 666);
    cr_expect_eq(c.empty.turns, 334);
    cr_expect_eq(stages_sum(&c.busy) + c.busy.own + stages_sum(&c.empty) + c.empty.own, tsc - begin);
}

Test(cycles, outside_a_measured_turn_nothing_happens) {
    struct cycles before = c;
    cr_expect_eq(cycles_stage(&c, CYCLES_MQTT), CYCLES_MQTT); /* what it gives back does not matter then */
    cycles_turn_end(&c, 1000, true);
    cr_expect_eq(memcmp(&before, &c, sizeof(c)), 0);
}

/* --- with the real counter --- */

Test(cycles, a_stage_that_lasts_gets_the_time) {
    cycles_init(&c, 3);
    cr_expect(c.change_cycles > 0 && c.change_cycles < 100000, "a change takes %u cycles", c.change_cycles);
    uint64_t begin = rte_rdtsc();
    cycles_begin(&c, begin);
    enum cycles_stage before = cycles_stage(&c, CYCLES_MQTT);
    while (rte_rdtsc() - begin < 1000000)
        ;
    cycles_stage(&c, before);
    uint64_t end = rte_rdtsc();
    cycles_turn_end(&c, end, true);
    cr_expect_gt(c.busy.stages[CYCLES_MQTT], 900000); /* an interrupt may fall to its neighbours */
    cr_expect_eq(stages_sum(&c.busy) + c.busy.own, end - begin);
}

/* --- which turns --- */

/* Distances of measured turns. */
static void distances(uint32_t turns, uint32_t *counts, uint32_t max, uint32_t *measured) {
    uint32_t last = 0;
    *measured = 0;
    for (uint32_t turn = 1; turn <= turns; turn++) {
        cycles_turn_begin(&c, turn);
        if (!c.measuring)
            continue;
        cycles_turn_end(&c, turn, true);
        cr_assert(turn - last <= max);
        counts[turn - last]++;
        last = turn;
        (*measured)++;
    }
}

Test(cycles, distances_are_random_around_the_period) {
    enum { LEAST = CYCLES_PERIOD / 2, MOST = LEAST * 3, SAMPLES = 100000 };
    uint32_t counts[MOST + 1] = {0}, measured, each = SAMPLES / (MOST - LEAST + 1);
    distances(SAMPLES * CYCLES_PERIOD, counts, MOST, &measured);
    cr_expect(measured > SAMPLES * 0.99 && measured < SAMPLES * 1.01, "%u of %u turns", measured,
              SAMPLES * CYCLES_PERIOD);
    for (unsigned d = 0; d < LEAST; d++)
        cr_expect_eq(counts[d], 0, "distance %u", d);
    for (unsigned d = LEAST; d <= MOST; d++) /* each as often as the others, but for chance: some 30 more or less */
        cr_expect(counts[d] > each * 0.75 && counts[d] < each * 1.25, "distance %u: %u times", d, counts[d]);
}

/* What happens every n-th turn is in one sample of n. */
Test(cycles, in_step_with_nothing_periodic) {
    for (uint32_t period = 2; period <= 2 * CYCLES_PERIOD; period *= 2) {
        uint32_t hits = 0, measured = 0;
        for (uint32_t turn = 0; turn < CYCLES_PERIOD * 10000u; turn++) {
            cycles_turn_begin(&c, turn);
            if (!c.measuring)
                continue;
            hits += turn % period == 0;
            measured++;
            cycles_turn_end(&c, turn, true);
        }
        double expected = (double)measured / period, off = hits - expected;
        cr_expect(off * off < 36 * expected, "every %u turns: %u of %u samples", period, hits, measured); /* 6 sigma */
    }
}

Test(cycles, workers_measure_different_turns) {
    struct cycles other;
    unsigned both = 0;
    cycles_init(&other, 2);
    for (uint32_t turn = 0; turn < 1000 * CYCLES_PERIOD; turn++) {
        cycles_turn_begin(&c, turn);
        cycles_turn_begin(&other, turn);
        both += c.measuring && other.measuring;
        cycles_turn_end(&c, turn, true);
        cycles_turn_end(&other, turn, true);
    }
    cr_expect_lt(both, 50, "%u of 1,000 turns", both);
}

Test(cycles, other_periods_and_none) {
    c.period = 1; /* every turn */
    c.countdown = 1;
    for (uint32_t turn = 0; turn < 100; turn++) {
        cycles_turn_begin(&c, turn);
        cr_assert(c.measuring);
        cycles_turn_end(&c, turn, true);
    }
    c.period = 0;
    for (uint32_t turn = 0; turn < 100000; turn++) {
        cycles_turn_begin(&c, turn);
        cr_assert_not(c.measuring);
    }
    c.countdown = 1; /* as after 2^32 turns */
    cycles_turn_begin(&c, 0);
    cr_expect_not(c.measuring);
}

Test(cycles, any_seed_works) {
    for (uint32_t seed = 0; seed < 64; seed++) {
        cycles_init(&c, seed);
        cr_expect(c.random != 0 && c.countdown >= CYCLES_PERIOD / 2 && c.countdown <= CYCLES_PERIOD * 3 / 2,
                  "seed %u: %u", seed, c.countdown);
    }
}

/* --- lengths, names --- */

Test(cycles, lengths_by_powers_of_two) {
    cycles_turn_length(&c, 0);
    cycles_turn_length(&c, 1);
    cycles_turn_length(&c, 2);
    cycles_turn_length(&c, 3);
    cycles_turn_length(&c, 4096);
    cycles_turn_length(&c, 8191);
    cycles_turn_length(&c, UINT64_MAX);
    cr_expect_eq(c.lengths[0], 2);
    cr_expect_eq(c.lengths[1], 2);
    cr_expect_eq(c.lengths[12], 2);
    cr_expect_eq(c.lengths[CYCLES_LENGTHS - 1], 1);
}

Test(cycles, names) {
    cr_expect_str_eq(cycles_stage_name(CYCLES_RX), "rx");
    cr_expect_str_eq(cycles_stage_name(CYCLES_TLS_SEAL), "tls_seal");
    cr_expect_str_eq(cycles_stage_name(CYCLES_IDLE), "idle");
    for (unsigned i = 0; i < CYCLES_STAGE_COUNT; i++)
        cr_expect(cycles_stage_text((enum cycles_stage)i)[0] != '\0');
}
