/* SPDX-License-Identifier: BSD-3-Clause */
/* test_script [--list] [--only TEXT] [--trace] [FILE | DIRECTORY]...: runs the cases of those files, or of all. Says
 * where and why a case fails, with all that passed over the wire, and ends with a line of counts. */
#include "script.h"

#include "../unit/tcp/harness.h"

#include <dirent.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct run {
    bool list, trace;
    const char *only;
    struct text *prelude;
    unsigned passed, failed;
};

/* --- a case --- */

void trace(struct world *w, const char *format, ...) {
    char text[600];
    int n = snprintf(text, sizeof text, "    %11.3f  ", (double)(w->now_us - w->began_us) / 1000);
    va_list ap;
    va_start(ap, format);
    n += vsnprintf(text + n, sizeof text - (size_t)n - 1, format, ap);
    va_end(ap);
    n = n < (int)sizeof text - 1 ? n : (int)sizeof text - 2;
    text[n++] = '\n';
    text[n] = '\0';
    if (w->live)
        fputs(text, stdout);
    if (w->trace_len + (size_t)n + 1 > w->trace_size) {
        w->trace_size = 2 * w->trace_size + 4096;
        w->trace = realloc(w->trace, w->trace_size);
    }
    memcpy(w->trace + w->trace_len, text, (size_t)n + 1);
    w->trace_len += (size_t)n;
}

void fail(struct world *w, const char *format, ...) {
    printf("%s:%u: case %s:", w->text->path, w->line->number, w->name);
    va_list ap;
    va_start(ap, format);
    putchar(' ');
    vprintf(format, ap);
    va_end(ap);
    printf("\n    the line:");
    for (unsigned i = 0; i < w->line->n; i++)
        printf(" %s", w->line->words[i]);
    printf("\n%s", w->live || !w->trace ? "" : w->trace);
    longjmp(w->out, 1);
}

/* "use NAME": the lines of that def, of this file or of the prelude. */
static bool use(struct world *w, const struct text *t, const char *name) {
    for (unsigned i = 0; i < t->n; i++) {
        const struct line *l = &t->lines[i];
        if (!strcmp(l->words[0], "def") && l->n == 2 && !strcmp(l->words[1], name)) {
            run_lines(w, t, i + 1, l->end);
            return true;
        }
    }
    return false;
}

static const struct text *prelude_of(const struct world *w);

void run_lines(struct world *w, const struct text *t, unsigned from, unsigned to) {
    for (unsigned i = from; i < to; i++) {
        const struct line *l = &t->lines[i];
        if (!strcmp(l->words[0], "use") && l->n == 2) {
            w->line = l;
            w->text = t;
            if (!use(w, t, l->words[1]) && !use(w, prelude_of(w), l->words[1]))
                fail(w, "nothing of that name is defined");
        } else {
            verb_run(w, t, &i);
        }
    }
}

struct case_world { /* what only main.c needs, around what all see */
    struct world w;
    const struct run *run;
    uint32_t mbufs_before;
};

static const struct text *prelude_of(const struct world *w) {
    return ((const struct case_world *)(const void *)w)->run->prelude;
}

static struct case_world *case_new(const struct run *run, const struct text *t, const struct line *l) {
    struct case_world *c = calloc(1, sizeof *c);
    struct world *w = &c->w;
    c->run = run;
    w->config = (struct tcp_config){.max_conns = 64, .rcv_buf_bytes = UINT16_MAX};
    w->port = (struct tcp_port){.mtu = 1500, .multi_seg = true};
    w->now_us = w->base_us = w->began_us = SCRIPT_START_US;
    for (unsigned i = 0; i < SCRIPT_FLOWS; i++) {
        w->flows[i].irs = 1000000 * (i + 1);
        w->flows[i].win = UINT16_MAX;
    }
    w->text = t;
    w->line = l;
    w->name = l->words[1];
    w->live = run->trace;
    c->mbufs_before = harness_mbufs_out();
    return c;
}

static bool case_run(const struct run *run, const struct text *t, unsigned index) {
    const struct line *l = &t->lines[index];
    struct case_world *c = case_new(run, t, l);
    struct world *w = &c->w;
    if (run->trace)
        printf("%s:%u: case %s\n", t->path, l->number, w->name);
    bool ok = setjmp(w->out) == 0;
    if (ok) {
        run_lines(w, t, index + 1, l->end);
        w->text = t;
        w->line = &t->lines[l->end];
        world_nothing_left(w, "the end of the case");
        world_end(w);
        if (harness_mbufs_out() != c->mbufs_before)
            fail(w, "%d mbufs did not come home", (int)(harness_mbufs_out() - c->mbufs_before));
    } else if (w->core) {
        tcp_core_fini(w->core);
        free(w->core);
    }
    free(w->trace);
    free(c);
    return ok;
}

/* --- files --- */

static void run_file(struct run *run, const char *path) {
    struct text *t = text_load(path);
    for (unsigned i = 0; i < t->n; i = t->lines[i].end + 1) {
        const struct line *l = &t->lines[i];
        if (!l->end || l->n < 2 || (strcmp(l->words[0], "case") && strcmp(l->words[0], "def"))) {
            fprintf(stderr, "%s:%u: \"case NAME\" or \"def NAME\" is wanted here\n", path, l->number);
            exit(2);
        }
        char full[512];
        snprintf(full, sizeof full, "%s:%s", path, l->words[1]);
        if (!strcmp(l->words[0], "def") || (run->only && !strstr(full, run->only)))
            continue;
        if (run->list) {
            printf("%s\n", full);
            continue;
        }
        if (case_run(run, t, i))
            run->passed++;
        else
            run->failed++;
    }
    text_free(t);
}

static bool is_script(const char *name) {
    size_t n = strlen(name);
    return n > 4 && !strcmp(name + n - 4, ".tcp") && strcmp(name, "prelude.tcp") != 0;
}

static void run_path(struct run *run, const char *path) {
    struct stat st;
    struct dirent **entries;
    if (stat(path, &st) || !S_ISDIR(st.st_mode)) {
        run_file(run, path);
        return;
    }
    int n = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char below[1024];
        snprintf(below, sizeof below, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.' && !stat(below, &st) && (S_ISDIR(st.st_mode) || is_script(entries[i]->d_name)))
            run_path(run, below);
        free(entries[i]);
    }
    free(entries);
}

int main(int argc, char **argv) {
    static const struct option options[] = {{"list", no_argument, NULL, 'l'},
                                            {"only", required_argument, NULL, 'o'},
                                            {"trace", no_argument, NULL, 't'},
                                            {0}};
    struct run run = {0};
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o == 'l')
            run.list = true;
        else if (o == 'o')
            run.only = optarg;
        else if (o == 't')
            run.trace = true;
        else
            return 2;
    }
    harness_eal();
    run.prelude = text_load(SCRIPT_ROOT "/prelude.tcp");
    if (optind == argc)
        run_path(&run, SCRIPT_ROOT);
    for (int i = optind; i < argc; i++)
        run_path(&run, argv[i]);
    text_free(run.prelude);
    if (!run.list)
        printf("%u passed, %u failed, 0 skipped\n", run.passed, run.failed);
    return run.failed || (!run.list && !run.passed);
}
