/* SPDX-License-Identifier: BSD-3-Clause */
/* The text that Prometheus reads, line by line (exposition format 0.0.4). */
#include "stats_fixture.h"

#include <regex.h>

TestSuite(metrics, .init = fixture_eal);

static char *text_of(size_t *len) {
    char *text = metrics_text(&fx.source, len);
    cr_assert(text != NULL);
    cr_assert_eq(strlen(text), *len);
    cr_assert_eq(text[*len - 1], '\n', "the last line has no end");
    return text;
}

static bool matches(const char *pattern, const char *line, regmatch_t *m, size_t n) {
    regex_t re;
    cr_assert_eq(regcomp(&re, pattern, REG_EXTENDED), 0);
    bool yes = regexec(&re, line, n, m, 0) == 0;
    regfree(&re);
    return yes;
}

#define NAME  "[a-zA-Z_:][a-zA-Z0-9_:]*"
#define LABEL "[a-zA-Z_][a-zA-Z0-9_]*=\"([^\"\\]|\\\\[\"\\n])*\""

/* HELP, then TYPE, then its samples: of one name, and once. */
struct reader {
    char name[128]; /* the metric whose lines are under way */
    char seen[256][128];
    unsigned n_seen, samples, types;
};
static struct reader reader;

static void read_comment(const char *line) {
    char kind[8], name[128];
    cr_assert_eq(sscanf(line, "# %7s %127s", kind, name), 2, "%s", line);
    if (strcmp(kind, "TYPE") == 0) {
        cr_expect_str_eq(name, reader.name, "TYPE without HELP: %s", line);
        cr_expect(matches("^# TYPE " NAME " (counter|gauge)$", line, NULL, 0), "%s", line);
        reader.types++;
        return;
    }
    cr_expect_str_eq(kind, "HELP");
    cr_expect_eq(reader.types, reader.n_seen, "HELP without TYPE before %s", line);
    cr_expect(matches("^# HELP " NAME " .*\\.$", line, NULL, 0), "%s", line);
    for (unsigned i = 0; i < reader.n_seen; i++)
        cr_expect_str_neq(reader.seen[i], name, "HELP of %s comes twice", name);
    strcpy(reader.name, name);
    strcpy(reader.seen[reader.n_seen++], name);
    cr_assert_lt(reader.n_seen, WEIR_ARRAY_LEN(reader.seen));
}

static void read_sample(const char *line) {
    regmatch_t m[4];
    cr_assert(matches("^(" NAME ")(\\{" LABEL "(," LABEL ")*\\})? [0-9][0-9.e+-]*$", line, m, 4), "%s", line);
    cr_expect((size_t)m[1].rm_eo == strlen(reader.name) && memcmp(line, reader.name, (size_t)m[1].rm_eo) == 0,
              "%s: among the samples of %s", line, reader.name);
    reader.samples++;
}

static void read_all(char *text) {
    memset(&reader, 0, sizeof(reader));
    for (char *save = NULL, *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
        if (line[0] == '#')
            read_comment(line);
        else
            read_sample(line);
    }
    cr_expect_eq(reader.types, reader.n_seen);
}

Test(metrics, every_line_reads) {
    for (uint16_t workers = 1; workers <= 2; workers++) {
        size_t len;
        fixture_make(workers);
        char *text = text_of(&len);
        read_all(text);
        cr_expect_gt(reader.n_seen, 80);
        cr_expect_gt(reader.samples, 300 * workers);
        free(text);
        fixture_free();
    }
}

Test(metrics, values_are_exact) {
    size_t len;
    fixture_make(1);
    fx.weir.workers[0]->stats.turns = 1ull << 53;
    fx.weir.workers[0]->stats.turns_busy = 123456789;
    char *text = text_of(&len);
    cr_expect(strstr(text, "\nweir_worker_turns_total{worker=\"0\"} 9007199254740992\n") != NULL);
    cr_expect(strstr(text, "\nweir_worker_busy_turns_total{worker=\"0\"} 123456789\n") != NULL);
    cr_expect(strstr(text, "\nweir_config_generation 1\n") != NULL);
    free(text);
}

Test(metrics, label_values_are_escaped) {
    size_t len;
    fixture_make(1);
    snprintf(fx.weir.ports.port[0].name, sizeof(fx.weir.ports.port[0].name), "a\"b\\c\nd");
    char *text = text_of(&len);
    cr_expect(strstr(text, "\nweir_port_rx_packets_total{port=\"a\\\"b\\\\c\\nd\"} 0\n") != NULL);
    read_all(text);
    free(text);
}
