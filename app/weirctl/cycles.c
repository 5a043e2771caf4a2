/* SPDX-License-Identifier: BSD-3-Clause */
/* Stages are measured in some turns only: a stage's share of those is taken as its share of all turns that found work,
 * whose time is known exactly. So the stages add up to the busy time, and busy and idle to all of it. */
#include "weirctl.h"

#include <stdio.h>
#include <string.h>

#define FEW_TURNS 100 /* fewer measured ones make rough figures */

static double number(const json_t *o, const char *key) {
    return json_number_value(json_object_get(o, key)); /* 0 for NULL */
}

static double grown(const json_t *before, const json_t *after, const char *key) {
    return number(after, key) - number(before, key);
}

/* --- report --- */

/* Cycles of the measured turns in the interval, all stages but back-off. */
static double stages_sum(const json_t *before, json_t *after) {
    const char *stage;
    json_t *value;
    double sum = 0;
    json_object_foreach(after, stage, value) sum += strcmp(stage, "idle") == 0 ? 0 : grown(before, after, stage);
    return sum;
}

/* The work a cost can be spread over, and the key it has in a stage then. */
static const struct {
    const char *work, *cost, *title;
} costs[] = {
    {"packets", "per_packet", "per packet"},
    {"records", "per_record", "per record"},
    {"messages", "per_message", "per message"},
};
#define COSTS (sizeof(costs) / sizeof(costs[0]))

/* A line: its cycles, as shares and by what they were spent on. Back-off and empty turns are spent on nothing. */
static json_t *line(const json_t *worker, const char *stage, double cycles, double busy, double total, bool work) {
    json_t *j =
        json_pack("{s:s, s:f, s:f}", "stage", stage, "cycles", cycles, "of_time", total > 0 ? cycles / total : 0);
    if (!work)
        return j;
    json_object_set_new(j, "of_busy", json_real(busy > 0 ? cycles / busy : 0));
    for (size_t i = 0; i < COSTS; i++) {
        double n = number(worker, costs[i].work);
        json_object_set_new(j, costs[i].cost, n > 0 ? json_real(cycles / n) : json_null());
    }
    return j;
}

static json_t *stage_lines(const json_t *worker, const json_t *before, const json_t *after, double busy, double idle) {
    json_t *lines = json_array(), *stages = json_object_get(after, "busy_stages"), *value;
    const json_t *old = json_object_get(before, "busy_stages");
    double sum = stages_sum(old, stages);
    const char *stage;
    json_object_foreach(stages, stage, value) {
        double cycles = sum > 0 ? grown(old, stages, stage) / sum * busy : 0;
        if (strcmp(stage, "idle") != 0)
            json_array_append_new(lines, line(worker, stage, cycles, busy, busy + idle, true));
    }
    json_array_append_new(lines, line(worker, "idle", idle, busy, busy + idle, false));
    return lines;
}

/* The longest turn of all is known to the cycle; that of an interval only by powers of two, unless it is the longest of
 * all. Returns cycles that no turn exceeded; `exact`: one took that many. */
static double longest_turn(const json_t *before, const json_t *after, bool *exact) {
    double longest = number(after, "longest_turn_cycles"), bound = 0;
    const json_t *old = json_object_get(before, "busy_turns_by_length");
    json_t *value;
    size_t i;
    *exact = before == NULL || longest > number(before, "longest_turn_cycles");
    if (*exact)
        return longest;
    json_array_foreach(json_object_get(after, "busy_turns_by_length"), i, value) {
        if (json_number_value(value) > json_number_value(json_array_get(old, i)))
            bound = (double)(2ull << i);
    }
    return bound < longest ? bound : longest;
}

static json_t *worker_report(const json_t *before, const json_t *after, double hz) {
    static const char *const counters[] = {
        "turns", "busy_turns", "measured_busy_turns", "measured_empty_turns", "packets", "records", "messages"};
    bool exact;
    double busy = grown(before, after, "busy_cycles"), idle = grown(before, after, "idle_cycles");
    double longest = longest_turn(before, after, &exact);
    json_t *j = json_pack("{s:O, s:f, s:f, s:f, s:b}", "worker", json_object_get(after, "worker"), "seconds",
                          (busy + idle) / hz, "busy_share", busy + idle > 0 ? busy / (busy + idle) : 0.0,
                          "longest_turn_us", longest / hz * 1e6, "longest_turn_exact", exact);
    for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
        json_object_set_new(j, counters[i], json_integer((json_int_t)grown(before, after, counters[i])));
    double empty = stages_sum(json_object_get(before, "empty_stages"), json_object_get(after, "empty_stages"));
    double n_empty = number(j, "measured_empty_turns");
    json_object_set_new(j, "empty_turn_cycles", n_empty > 0 ? json_real(empty / n_empty) : json_null());
    json_object_set_new(j, "busy", line(j, "busy", busy, busy, busy + idle, true));
    json_object_set_new(j, "stages", stage_lines(j, before, after, busy, idle));
    return j;
}

/* Its counters begin at 0 when weir starts: one that went back belongs to another weir. */
static bool same_weir(const json_t *before, const json_t *after) {
    const json_t *old = json_object_get(before, "workers"), *new = json_object_get(after, "workers");
    bool same = json_array_size(old) == json_array_size(new);
    for (size_t i = 0; same && i < json_array_size(new); i++)
        same = grown(json_array_get(old, i), json_array_get(new, i), "turns") >= 0;
    return same;
}

json_t *cycles_report(const json_t *before, const json_t *after) {
    json_t *workers = json_array(), *worker;
    size_t i;
    if (before != NULL && !same_weir(before, after))
        before = NULL;
    json_array_foreach(json_object_get(after, "workers"), i, worker) json_array_append_new(
        workers, worker_report(json_array_get(json_object_get(before, "workers"), i), worker, number(after, "hz")));
    return json_pack("{s:b, s:b, s:o}", "ok", 1, "since_start", before == NULL, "workers", workers);
}

/* --- table --- */

/* "tcp_in" as people write it. */
static void print_stage(const char *stage) {
    char text[16];
    size_t n = 0;
    for (; stage[n] != '\0' && n < sizeof(text) - 1; n++)
        text[n] = stage[n] == '_' ? ' ' : stage[n];
    text[n] = '\0';
    printf("  %-10s", text);
}

static void print_line(const json_t *l) {
    const json_t *of_busy = json_object_get(l, "of_busy");
    print_stage(json_string_value(json_object_get(l, "stage")));
    printf(" %7.2f%%", 100 * number(l, "of_time"));
    if (of_busy != NULL)
        printf(" %7.2f%%", 100 * json_number_value(of_busy));
    else
        printf(" %8s", "");
    printf(" %16.0f", number(l, "cycles"));
    for (size_t i = 0; of_busy != NULL && i < COSTS; i++) {
        const json_t *cost = json_object_get(l, costs[i].cost);
        if (json_is_number(cost))
            printf(" %11.1f", json_number_value(cost));
        else
            printf(" %11s", "-");
    }
    putchar('\n');
}

static void print_worker(const json_t *w, bool all) {
    double measured = number(w, "measured_busy_turns"), turns = number(w, "busy_turns");
    json_t *l;
    size_t i;
    printf("worker %.0f: busy %.1f%% of %.1f s, %.0f turns, %.0f of them measured%s\n", number(w, "worker"),
           100 * number(w, "busy_share"), number(w, "seconds"), turns, measured,
           measured < FEW_TURNS ? " (few: rough figures)" : "");
    printf("          %.0f packets, %.0f records, %.0f messages; longest turn %s%.1f us", number(w, "packets"),
           number(w, "records"), number(w, "messages"),
           json_is_true(json_object_get(w, "longest_turn_exact")) ? "" : "at most ", number(w, "longest_turn_us"));
    if (json_is_number(json_object_get(w, "empty_turn_cycles")))
        printf("; an empty turn takes %.0f cycles", number(w, "empty_turn_cycles"));
    printf("\n  %-10s %8s %8s %16s", "Stage", "of time", "of busy", "cycles");
    for (i = 0; i < COSTS; i++)
        printf(" %11s", costs[i].title);
    putchar('\n');
    json_array_foreach(json_object_get(w, "stages"), i, l) {
        if (json_object_get(l, "of_busy") != NULL && (all || number(l, "cycles") > 0))
            print_line(l);
    }
    print_line(json_object_get(w, "busy"));
    print_line(json_array_get(json_object_get(w, "stages"), json_array_size(json_object_get(w, "stages")) - 1));
}

void cycles_print(const json_t *report, bool all) {
    json_t *w;
    size_t i;
    json_array_foreach(json_object_get(report, "workers"), i, w) {
        if (i != 0)
            putchar('\n');
        print_worker(w, all);
    }
}
