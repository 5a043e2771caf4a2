/* SPDX-License-Identifier: BSD-3-Clause */
#include "stats_int.h"

#include <stdio.h>

/* --- samples --- */

void walk_metric(struct walk *k, const char *name, const char *help, bool gauge) {
    k->s = (struct stats_sample){.name = name, .help = help, .gauge = gauge};
}

void walk_emit1(struct walk *k, const char *label, const char *value, double v) {
    k->s.n_labels = 1;
    k->s.labels[0] = (struct stats_label){label, value};
    k->s.value = v;
    k->emit(k->ctx, &k->s);
}

void walk_emit2(struct walk *k, const char *l0, const char *v0, const char *l1, const char *v1, double v) {
    k->s.n_labels = 2;
    k->s.labels[0] = (struct stats_label){l0, v0};
    k->s.labels[1] = (struct stats_label){l1, v1};
    k->s.value = v;
    k->emit(k->ctx, &k->s);
}

void walk_emit3(struct walk *k, struct stats_label l0, struct stats_label l1, struct stats_label l2, double v) {
    k->s.n_labels = 3;
    k->s.labels[0] = l0;
    k->s.labels[1] = l1;
    k->s.labels[2] = l2;
    k->s.value = v;
    k->emit(k->ctx, &k->s);
}

const char *walk_number(char buf[12], unsigned n) {
    snprintf(buf, 12, "%u", n);
    return buf;
}

static const void *part_of(const struct worker *w, size_t part) {
    return (const uint8_t *)w + part;
}

void walk_per_worker(struct walk *k, const struct walk_field *fields, size_t n, size_t part, double unit) {
    char id[12];
    for (size_t f = 0; f < n; f++) {
        walk_metric(k, fields[f].name, fields[f].help, fields[f].gauge);
        for (uint16_t i = 0; i < k->weir->n_workers; i++)
            walk_emit1(k, "worker", walk_number(id, i),
                       walk_read(&fields[f], part_of(k->weir->workers[i], part)) * unit);
    }
}

double walk_sum(const struct walk *k, const struct walk_field *f, size_t part) {
    double sum = 0;
    for (uint16_t i = 0; i < k->weir->n_workers; i++)
        sum += walk_read(f, part_of(k->weir->workers[i], part));
    return sum;
}

/* --- weir itself --- */

static void walk_build(struct walk *k) {
    walk_metric(k, "weir_build_info", "Always 1, with the version of weir as a label.", true);
    walk_emit1(k, "version", WEIR_VERSION, 1);
    walk_metric(k, "weir_config_generation", "Snapshots published so far: 1 at start, one more each reload.", true);
    k->s.value = k->generation;
    k->emit(k->ctx, &k->s);
}

static void walk_memory(struct walk *k) {
    static const struct walk_field in_use[] = {
        WALK_GAUGE(struct worker, tcp.conns.used, "tcp flows", NULL),
        WALK_GAUGE(struct worker, sessions.used, "sessions", NULL),
        WALK_GAUGE(struct worker, tls.stats.conns, "tls", NULL),
    };
    const struct memory_row *r = k->plan->rows;
    walk_metric(k, "weir_memory_bytes_per_connection", "Bytes an idle proxied TLS MQTT connection costs, by pool.",
                true);
    walk_emit1(k, "pool", "flow", 2.0 * r[MEMORY_FLOW].object_bytes);
    walk_emit1(k, "pool", "table", 2.0 * r[MEMORY_FLOW_TABLE].object_bytes);
    walk_emit1(k, "pool", "session", r[MEMORY_SESSION].object_bytes);
    walk_emit1(k, "pool", "tls", r[MEMORY_TLS_SMALL].object_bytes);
    walk_emit1(k, "pool", "timer", 2.0 * r[MEMORY_FLOW_TIMER].object_bytes + r[MEMORY_SESSION_TIMER].object_bytes);
    walk_metric(k, "weir_memory_pool_bytes", "Bytes of a memory pool with everything in it in use, over all workers.",
                true);
    for (unsigned i = 0; i < MEMORY_POOL_COUNT; i++)
        walk_emit1(k, "pool", r[i].name, (double)r[i].total_bytes);
    walk_metric(k, "weir_memory_pool_objects_in_use", "Objects of our own pools in use, over all workers.", true);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(in_use); i++)
        walk_emit1(k, "pool", in_use[i].name, walk_sum(k, &in_use[i], 0));
}

void stats_walk(const struct stats_source *source, stats_emit emit, void *ctx) {
    struct walk k = {.weir = source->weir,
                     .plan = source->plan,
                     .certs = source->certs,
                     .generation = __atomic_load_n(&source->generation, __ATOMIC_RELAXED),
                     .emit = emit,
                     .ctx = ctx};
    walk_build(&k);
    walk_ports(&k);
    walk_workers(&k);
    walk_tls(&k);
    walk_servers(&k);
    walk_memory(&k);
}
