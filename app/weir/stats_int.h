/* SPDX-License-Identifier: BSD-3-Clause */
/* What the parts of a walk share:
 *
 *   stats.c          the walk, how a sample is emitted; the build, memory
 *   stats_ports.c    ports, their devices, mbufs
 *   stats_workers.c  turns, times and cycles, TCP, drops
 *   stats_tls.c      handshakes, alerts, and certificates of listeners and pools
 *   stats_servers.c  listeners, MQTT packets, servers
 *
 * Whatever a worker counts lies in its struct worker, mostly in an array or a struct there: a field is found at the
 * offset of that part, plus its own within the part. */
#ifndef WEIR_STATS_INT_H
#define WEIR_STATS_INT_H

#include "stats.h"

/* A walk under way. */
struct walk {
    const struct weir *weir;
    const struct memory_plan *plan;
    struct cert_table *certs;
    uint32_t generation;
    stats_emit emit;
    void *ctx;
    struct stats_sample s;
};

/* A counter or gauge of 32 or 64 bits at an offset of some struct. */
struct walk_field {
    const char *name, *help;
    size_t offset, bytes;
    bool gauge;
};
#define WALK_COUNTER(type, member, metric, text)                                                                       \
    { metric, text, offsetof(type, member), sizeof(((type *)0)->member), false }
#define WALK_GAUGE(type, member, metric, text)                                                                         \
    { metric, text, offsetof(type, member), sizeof(((type *)0)->member), true }

/* The field of the struct at `base`. */
static inline double walk_read(const struct walk_field *f, const void *base) {
    const uint8_t *p = (const uint8_t *)base + f->offset;
    return f->bytes == sizeof(uint64_t) ? (double)*(const uint64_t *)p : (double)*(const uint32_t *)p;
}

/* The metric that all samples up to the next call belong to. */
void walk_metric(struct walk *k, const char *name, const char *help, bool gauge);

/* A sample with one label, two, three. */
void walk_emit1(struct walk *k, const char *label, const char *value, double v);
void walk_emit2(struct walk *k, const char *l0, const char *v0, const char *l1, const char *v1, double v);
void walk_emit3(struct walk *k, struct stats_label l0, struct stats_label l1, struct stats_label l2, double v);

/* The label value of a worker; lives in `buf`. */
const char *walk_number(char buf[12], unsigned n);

/* Metrics with a sample a worker, of fields of the part at offset `part` of struct worker, in multiples of `unit`. */
void walk_per_worker(struct walk *k, const struct walk_field *fields, size_t n, size_t part, double unit);

/* The field of the part at offset `part` of struct worker, over all workers. */
double walk_sum(const struct walk *k, const struct walk_field *f, size_t part);

void walk_ports(struct walk *k);
void walk_workers(struct walk *k);
void walk_tls(struct walk *k);
void walk_servers(struct walk *k);

#endif
