/* SPDX-License-Identifier: BSD-3-Clause */
/* Prometheus text exposition format 0.0.4 of the walk. */
#include "stats.h"

#include <stdio.h>
#include <stdlib.h>

struct text {
    FILE *out;
    const char *last; /* metric whose HELP and TYPE are out */
};

/* Label values may hold anything a configuration name may; escape as the format asks. */
static void put_value(FILE *out, const char *v) {
    for (; *v != '\0'; v++) {
        if (*v == '"' || *v == '\\' || *v == '\n')
            fputc('\\', out);
        fputc(*v == '\n' ? 'n' : *v, out);
    }
}

static void put_sample(void *ctx, const struct stats_sample *s) {
    struct text *t = ctx;
    if (t->last != s->name) {
        fprintf(t->out, "# HELP %s %s\n# TYPE %s %s\n", s->name, s->help, s->name, s->gauge ? "gauge" : "counter");
        t->last = s->name;
    }
    fputs(s->name, t->out);
    for (uint8_t i = 0; i < s->n_labels; i++) {
        fprintf(t->out, "%c%s=\"", i == 0 ? '{' : ',', s->labels[i].name);
        put_value(t->out, s->labels[i].value);
        fputc('"', t->out);
    }
    fprintf(t->out, "%s %.17g\n", s->n_labels != 0 ? "}" : "", s->value);
}

char *metrics_text(const struct stats_source *source, size_t *len_bytes) {
    char *buf = NULL;
    struct text t = {.out = open_memstream(&buf, len_bytes)};
    if (t.out == NULL)
        return NULL;
    stats_walk(source, put_sample, &t);
    if (fclose(t.out) != 0) {
        free(buf);
        return NULL;
    }
    return buf;
}
