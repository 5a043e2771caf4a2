/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/log.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[64], moved[80];

static void make_path(void) {
    snprintf(path, sizeof(path), "log-test-%d.log", (int)getpid());
    snprintf(moved, sizeof(moved), "%s.1", path);
}

static void remove_path(void) {
    log_close();
    unlink(path);
    unlink(moved);
}

/* The file's text; one buffer. */
static const char *text_of(const char *name) {
    static char text[20000];
    FILE *f = fopen(name, "r");

    cr_assert_not_null(f, "%s", name);
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    fclose(f);
    return text;
}

TestSuite(log, .init = make_path, .fini = remove_path);

Test(log, text_lines_of_the_level_and_above) {
    struct stat st;

    cr_assert_eq(log_open(path, LOG_LVL_INFO, LOG_FMT_TEXT), 0);
    log_line(LOG_LVL_DEBUG, "tcp", "not this");
    log_line(LOG_LVL_WARNING, "tcp", "flow %d", 7);
    const char *text = text_of(path);
    cr_expect_null(strstr(text, "not this"));
    cr_expect_not_null(strstr(text, "Z warning tcp: flow 7\n"), "%s", text);
    cr_expect_eq(stat(path, &st), 0);
    cr_expect_eq(st.st_mode & 0777 & ~0640u, 0);
}

Test(log, a_peers_bytes_cannot_forge_a_line) {
    cr_assert_eq(log_open(path, LOG_LVL_INFO, LOG_FMT_TEXT), 0);
    log_line(LOG_LVL_INFO, "mqtt", "client %s", "a\n2026 error tcp: forged\x1b[2J");
    const char *text = text_of(path);
    cr_expect_eq(strchr(text, '\n'), text + strlen(text) - 1, "one line");
    cr_expect_null(strchr(text, '\x1b'));
}

Test(log, json_lines_parse_even_when_cut) {
    char flood[2000];

    memset(flood, '"', sizeof(flood));
    flood[sizeof(flood) - 1] = '\0';
    cr_assert_eq(log_open(path, LOG_LVL_INFO, LOG_FMT_JSON), 0);
    log_line(LOG_LVL_ERROR, "tls", "%s \\ \t", "q\"q");
    log_line(LOG_LVL_ERROR, "tls", "%s", flood);
    memset(flood, 1, sizeof(flood) - 1);
    log_line(LOG_LVL_ERROR, "tls", "%s", flood);
    char *text = strdup(text_of(path)), *save = NULL;
    int lines = 0;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save), lines++) {
        json_t *o = json_loads(line, 0, NULL);
        cr_assert_not_null(o, "%s", line);
        cr_expect_str_eq(json_string_value(json_object_get(o, "level")), "error");
        cr_expect_str_eq(json_string_value(json_object_get(o, "module")), "tls");
        if (lines == 0)
            cr_expect_str_eq(json_string_value(json_object_get(o, "message")), "q\"q \\ \t");
        json_decref(o);
    }
    cr_expect_eq(lines, 3);
    free(text);
}

Test(log, reopen_follows_a_rotation) {
    cr_assert_eq(log_open(path, LOG_LVL_INFO, LOG_FMT_TEXT), 0);
    log_line(LOG_LVL_INFO, "t", "old");
    rename(path, moved);
    log_line(LOG_LVL_INFO, "t", "still old");
    cr_assert_eq(log_reopen(), 0);
    log_line(LOG_LVL_INFO, "t", "new");
    cr_expect_not_null(strstr(text_of(moved), "still old"));
    cr_expect_null(strstr(text_of(path), "old"));
    cr_expect_not_null(strstr(text_of(path), "new"));
}

Test(log, a_target_that_cannot_be_opened_changes_nothing) {
    cr_assert_eq(log_open(path, LOG_LVL_INFO, LOG_FMT_TEXT), 0);
    cr_expect_eq(log_open("no/such/folder/file", LOG_LVL_INFO, LOG_FMT_TEXT), WEIR_EIO);
    log_line(LOG_LVL_INFO, "t", "here");
    cr_expect_not_null(strstr(text_of(path), "here"));
}

Test(log, limit_counts_what_it_leaves_out) {
    struct log_limit l = {0};
    int allowed = 0;

    cr_assert_eq(log_open(path, LOG_LVL_INFO, LOG_FMT_TEXT), 0);
    for (int i = 0; i < 100; i++)
        allowed += log_allowed(&l, 5, 1000000 + (uint64_t)i);
    cr_expect_eq(allowed, 5);
    cr_expect(log_allowed(&l, 5, 2000000));
    cr_expect_not_null(strstr(text_of(path), "95 lines"));
    cr_expect_eq(l.suppressed, 0);
}
