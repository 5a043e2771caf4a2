/* SPDX-License-Identifier: BSD-3-Clause */
/* What `weirctl cycles` makes of one answer, and of two: shares, costs, intervals. */
#include "weirctl/weirctl.h"

#include <criterion/criterion.h>
#include <math.h>

#define HZ 1000000000

/* A worker as weir answers, with two stages in use; `busy` cycles in all its turns with work, of which
 * rx + mqtt cycles were measured. */
static json_t *answer(json_int_t turns, json_int_t busy, json_int_t idle, json_int_t rx, json_int_t mqtt) {
    json_t *stages = json_pack("{s:I, s:i, s:I, s:i}", "rx", rx, "ip", 0, "mqtt", mqtt, "idle", 0);
    json_t *empty = json_pack("{s:i, s:i, s:i, s:i}", "rx", 300, "ip", 50, "mqtt", 0, "idle", 1000000);
    json_t *w =
        json_pack("{s:i, s:I, s:I, s:I, s:I, s:I, s:[I, I, I, I], s:I, s:o, s:i, s:o, s:I, s:i, s:I}", "worker", 3,
                  "turns", turns, "busy_turns", turns / 2, "busy_cycles", busy, "idle_cycles", idle,
                  "longest_turn_cycles", (json_int_t)7, "busy_turns_by_length", (json_int_t)0, turns / 2, (json_int_t)1,
                  (json_int_t)0, "measured_busy_turns", turns / 128, "busy_stages", stages, "measured_empty_turns", 1,
                  "empty_stages", empty, "packets", turns, "records", 0, "messages", turns * 4);
    cr_assert(w != NULL);
    return json_pack("{s:b, s:i, s:[o]}", "ok", 1, "hz", HZ, "workers", w);
}

static json_t *worker_of(const json_t *report) {
    return json_array_get(json_object_get(report, "workers"), 0);
}

static json_t *stage_of(const json_t *report, const char *name) {
    json_t *s;
    size_t i;
    json_array_foreach(json_object_get(worker_of(report), "stages"), i, s) {
        if (strcmp(json_string_value(json_object_get(s, "stage")), name) == 0)
            return s;
    }
    cr_assert_fail("no stage %s", name);
    return NULL;
}

static double value(const json_t *o, const char *key) {
    json_t *v = json_object_get(o, key);
    cr_assert(json_is_number(v), "%s", key);
    return json_number_value(v);
}

static void expect_near(double is, double wanted) {
    cr_expect(fabs(is - wanted) <= 1e-9 * fabs(wanted), "%.12g, not %.12g", is, wanted);
}

Test(weirctl_cycles, since_start) {
    json_t *after = answer(1280, 3000000, 1000000, 100, 300), *r = cycles_report(NULL, after), *w = worker_of(r);
    cr_expect(json_is_true(json_object_get(r, "since_start")));
    expect_near(value(w, "worker"), 3);
    expect_near(value(w, "busy_share"), 0.75);
    expect_near(value(w, "seconds"), 0.004);
    expect_near(value(w, "measured_busy_turns"), 10);
    expect_near(value(w, "empty_turn_cycles"), 350); /* back-off is not polling */
    expect_near(value(stage_of(r, "rx"), "of_busy"), 0.25);
    expect_near(value(stage_of(r, "rx"), "of_time"), 0.1875);
    expect_near(value(stage_of(r, "rx"), "cycles"), 750000);
    expect_near(value(stage_of(r, "rx"), "per_packet"), 750000.0 / 1280);
    expect_near(value(stage_of(r, "mqtt"), "per_message"), 2250000.0 / 5120);
    cr_expect(json_is_null(json_object_get(stage_of(r, "mqtt"), "per_record")), "nothing by none");
    expect_near(value(stage_of(r, "idle"), "of_time"), 0.25);
    expect_near(value(json_object_get(w, "busy"), "per_packet"), 3000000.0 / 1280);
    json_decref(after);
    json_decref(r);
}

/* The stages are all of the busy time, and with idle all of the time. */
Test(weirctl_cycles, sums) {
    json_t *after = answer(99991, 123456789, 987654321, 1234567, 7654321), *r = cycles_report(NULL, after), *s;
    double of_time = 0, busy = 0;
    size_t i;
    json_array_foreach(json_object_get(worker_of(r), "stages"), i, s) {
        of_time += value(s, "of_time");
        busy += json_object_get(s, "of_busy") != NULL ? value(s, "cycles") : 0;
    }
    expect_near(of_time, 1);
    expect_near(busy, 123456789);
    json_decref(after);
    json_decref(r);
}

Test(weirctl_cycles, an_interval_is_the_difference) {
    json_t *before = answer(1280, 3000000, 1000000, 100, 300), *after = answer(2560, 4000000, 4000000, 190, 310);
    json_t *r = cycles_report(before, after), *w = worker_of(r);
    cr_expect(json_is_false(json_object_get(r, "since_start")));
    expect_near(value(w, "busy_share"), 0.25);
    expect_near(value(w, "busy_turns"), 640);
    expect_near(value(w, "packets"), 1280);
    expect_near(value(stage_of(r, "rx"), "of_busy"), 0.9);
    expect_near(value(stage_of(r, "mqtt"), "cycles"), 100000);
    cr_expect(json_is_null(json_object_get(w, "empty_turn_cycles")), "none was measured");
    json_decref(before);
    json_decref(after);
    json_decref(r);
}

/* The longest turn of all was before the interval: of those within it, the powers of two are known. */
Test(weirctl_cycles, longest_turn) {
    json_t *before = answer(1280, 3000000, 1000000, 100, 300), *after = answer(2560, 4000000, 4000000, 190, 310);
    json_t *r = cycles_report(before, after);
    expect_near(value(worker_of(r), "longest_turn_us"), 0.004); /* 2 or 3 cycles each */
    cr_expect(json_is_false(json_object_get(worker_of(r), "longest_turn_exact")));
    json_decref(r);
    json_object_set_new(json_array_get(json_object_get(after, "workers"), 0), "longest_turn_cycles",
                        json_integer(5000));
    r = cycles_report(before, after);
    expect_near(value(worker_of(r), "longest_turn_us"), 5);
    cr_expect(json_is_true(json_object_get(worker_of(r), "longest_turn_exact")));
    json_decref(r);
    r = cycles_report(NULL, before);
    expect_near(value(worker_of(r), "longest_turn_us"), 0.007);
    cr_expect(json_is_true(json_object_get(worker_of(r), "longest_turn_exact")));
    json_decref(r);
    json_decref(before);
    json_decref(after);
}

Test(weirctl_cycles, nothing_happened) {
    json_t *same = answer(1280, 3000000, 1000000, 100, 300), *r = cycles_report(same, same);
    expect_near(value(worker_of(r), "busy_share"), 0);
    expect_near(value(worker_of(r), "longest_turn_us"), 0);
    expect_near(value(stage_of(r, "rx"), "of_time"), 0);
    cycles_print(r, true);
    json_decref(r);
    json_decref(same);
}

/* Counters that went back are those of a weir started since. */
Test(weirctl_cycles, another_weir) {
    json_t *before = answer(2560, 4000000, 4000000, 190, 310), *after = answer(1280, 3000000, 1000000, 100, 300);
    json_t *r = cycles_report(before, after);
    cr_expect(json_is_true(json_object_get(r, "since_start")));
    expect_near(value(worker_of(r), "busy_turns"), 640);
    json_decref(before);
    json_decref(after);
    json_decref(r);
}
