/* SPDX-License-Identifier: BSD-3-Clause */
/* A script file into lines, words and blocks. */
#include "script.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static __attribute__((noreturn)) void stop(const char *path, unsigned number, const char *why) {
    fprintf(stderr, "%s:%u: %s\n", path, number, why);
    exit(2);
}

/* The end of the word that begins at p. "<mss 1460, ts 1 0>" is one. */
static char *word_end(char *p) {
    if (*p != '<' || p[1] == '=' || isspace((unsigned char)p[1]))
        return p + strcspn(p, " \t\n#");
    char *close = strchr(p, '>');
    return close ? close + 1 : p + strlen(p);
}

static void split(const char *path, char *p, struct line *l) {
    for (p += strspn(p, " \t\n"); *p && *p != '#'; p += strspn(p, " \t\n")) {
        char *end = word_end(p);
        if (l->n == SCRIPT_WORDS)
            stop(path, l->number, "too many words");
        l->words[l->n++] = strndup(p, (size_t)(end - p));
        p = end;
    }
}

static bool opens_block(const struct line *l) {
    static const char *const openers[] = {"case", "def", "repeat", "together"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(openers); i++)
        if (!strcmp(l->words[0], openers[i]))
            return true;
    return false;
}

static void match_blocks(struct text *t) {
    unsigned open[8], depth = 0;
    for (unsigned i = 0; i < t->n; i++) {
        struct line *l = &t->lines[i];
        if (opens_block(l)) {
            if (depth == WEIR_ARRAY_LEN(open))
                stop(t->path, l->number, "blocks nest too deep");
            open[depth++] = i;
        } else if (!strcmp(l->words[0], "end")) {
            if (!depth)
                stop(t->path, l->number, "nothing to end");
            t->lines[open[--depth]].end = i;
        }
    }
    if (depth)
        stop(t->path, t->lines[open[depth - 1]].number, "has no \"end\"");
}

struct text *text_load(const char *path) {
    struct text *t = calloc(1, sizeof *t);
    t->path = strdup(path);
    FILE *file = fopen(path, "r");
    if (!file)
        stop(path, 0, strerror(errno));
    char *buffer = NULL;
    size_t size = 0;
    for (unsigned number = 1; getline(&buffer, &size, file) >= 0; number++) {
        struct line l = {.number = number};
        split(path, buffer, &l);
        if (!l.n)
            continue;
        t->lines = realloc(t->lines, (t->n + 1) * sizeof l);
        t->lines[t->n++] = l;
    }
    free(buffer);
    fclose(file);
    match_blocks(t);
    return t;
}

void text_free(struct text *t) {
    for (unsigned i = 0; i < t->n; i++)
        for (unsigned k = 0; k < t->lines[i].n; k++)
            free(t->lines[i].words[k]);
    free(t->lines);
    free(t->path);
    free(t);
}
