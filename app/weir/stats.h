/* SPDX-License-Identifier: BSD-3-Clause */
/* One walk over everything weir counts. /metrics, telemetry and `weirctl stats` are views of it, so a figure exists
 * once and is named once. Read-only: counters of running workers are read without locks; each is one aligned word. */
#ifndef WEIR_STATS_H
#define WEIR_STATS_H

#include "cert_table.h"
#include "memory_plan.h"
#include "worker.h"

#define STATS_MAX_LABELS 3

struct stats_label {
    const char *name, *value;
};

struct stats_sample {
    const char *name; /* Prometheus name: weir_..., _total for counters */
    const char *help; /* one sentence */
    bool gauge;
    double value;
    uint8_t n_labels;
    struct stats_label labels[STATS_MAX_LABELS];
};

/* Called once a sample; all samples of one name come in a row. The sample lives during the call. */
typedef void (*stats_emit)(void *ctx, const struct stats_sample *s);

struct stats_source {
    const struct weir *weir;
    const struct memory_plan *plan;
    struct cert_table *certs;
    uint32_t generation; /* atomic: of the snapshot that control published last, which readers must not look into */
};

void stats_walk(const struct stats_source *source, stats_emit emit, void *ctx);

/* Prometheus text exposition format 0.0.4 of the walk, NUL-terminated, malloc'ed; NULL without memory. */
char *metrics_text(const struct stats_source *source, size_t *len_bytes);

#endif
