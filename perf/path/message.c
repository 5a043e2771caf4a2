/* SPDX-License-Identifier: BSD-3-Clause */
/* What one message costs a worker, client segment in to broker segment out and every ACK on the way: cycles of
 * worker_turn over all turns of a repetition, divided by the messages that have arrived.
 *
 *   path_message                            all variants
 *   path_message --only qos0_tls_32         one; options.h has the other options
 *   perf record -e cpu-clock -F 5000 -g path_message --only qos0_tls_32 --perf 10
 *   perf report --no-children --parent '^worker_turn$' --exclude-other --percentage relative --sort symbol
 *
 * Bulk is to be read beside ipsec_mb_16KB: what opening its records takes IPsec-MB alone. */
#include "ends.h"
#include "options.h"
#include "raw.h"
#include "report.h"

#include <rte_cycles.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CLIENTS       1024u
#define REPETITIONS       101u
#define REPETITIONS_QUICK 21u
#define WARM_UP           4u     /* repetitions that do not count */
#define IDLE_MAX          10000u /* empty steps in a row: nothing more comes */

struct variant {
    const char *name;
    enum ends_kind kind;
    bool tls;
    uint32_t clients, batch; /* flows with a message in one turn */
    uint32_t bytes;
    uint32_t rounds, group; /* rounds of a repetition, and of a sample */
};

static const struct variant variants[] = {
    {"qos0_plain_1", ENDS_MQTT0, false, 1, 1, 64, 64, 16},
    {"qos0_plain_32", ENDS_MQTT0, false, 32, 32, 64, 32, 4},
    {"qos0_tls_1", ENDS_MQTT0, true, 1, 1, 64, 64, 16},
    {"qos0_tls_32", ENDS_MQTT0, true, 32, 32, 64, 32, 4},
    {"qos0_tls_1000", ENDS_MQTT0, true, 992, 32, 64, 31, 4},
    {"qos0_tls_32_1024B", ENDS_MQTT0, true, 32, 32, 1024, 32, 4},
    {"qos1_tls_1", ENDS_MQTT1, true, 1, 1, 64, 64, 16},
    {"qos1_tls_32", ENDS_MQTT1, true, 32, 32, 64, 32, 4},
    {"qos1_tls_1000", ENDS_MQTT1, true, 992, 32, 64, 31, 4},
    {"echo_tcp_1", ENDS_ECHO, false, 1, 1, 64, 64, 16},
    {"bulk_tls_16KB", ENDS_BULK, true, 1, 1, TLS_RECORD_MAX, 64, 8},
    {"bulk_plain_16KB", ENDS_BULK, false, 1, 1, TLS_RECORD_MAX, 64, 8},
};

/* --- one repetition --- */

/* Samples of some rounds each, short enough that the kernel seldom takes the CPU away within one; where it did, the
 * sample is not kept. */
struct sampler {
    struct report report;
    bool bulk;
    uint64_t preemptions, messages;
};

static void sample_begin(struct sampler *s, struct ends *e) {
    s->preemptions = report_preemptions();
    s->messages = 0;
    e->rig->meter = (struct meter){0};
}

static void sample_end(struct sampler *s, struct ends *e) {
    double ticks = (double)e->rig->meter.ticks, messages = (double)s->messages;
    if (report_preemptions() == s->preemptions && s->messages != 0)
        report_add(&s->report,
                   s->bulk ? e->bytes * messages / ticks * (double)rte_get_tsc_hz() / 1e6 : ticks / messages);
    sample_begin(s, e);
}

/* Each round the next `batch` clients send one message; a round trip takes a turn more. */
static void run_messages(struct ends *e, const struct variant *v, struct sampler *s) {
    uint32_t steps = v->kind == ENDS_MQTT1 ? 2 : 1;
    for (uint32_t round = 0, next = 0; round < v->rounds; round++) {
        for (uint32_t k = 0; k < v->batch; k++, next = (next + 1) % v->clients)
            if (!ends_publish(e, next))
                rig_fail("a client's window is closed");
        for (uint32_t k = 0; k < steps; k++)
            ends_step(e);
        s->messages += v->batch;
        if ((round + 1) % v->group == 0)
            sample_end(s, e);
    }
}

/* As fast as windows allow. */
static void run_bulk(struct ends *e, const struct variant *v, struct sampler *s) {
    uint64_t until = e->arrived + v->rounds;
    for (uint32_t idle = 0; e->arrived < until && idle < IDLE_MAX;) {
        uint64_t before = e->arrived;
        while (ends_publish(e, 0))
            ;
        idle = ends_step(e) == 0 ? idle + 1 : 0;
        s->messages += e->arrived - before;
        if (s->messages >= v->group)
            sample_end(s, e);
    }
}

static void repetition(struct ends *e, const struct variant *v, struct sampler *s) {
    uint32_t messages = v->rounds * v->batch;
    uint64_t expected = e->arrived + (v->kind == ENDS_ECHO ? 0 : messages);
    ends_stage(e, messages / v->clients);
    sample_begin(s, e);
    if (v->kind == ENDS_BULK)
        run_bulk(e, v, s);
    else
        run_messages(e, v, s);
    ends_settle(e);
    ends_check(e);
    if (e->arrived != expected)
        rig_fail("messages are missing");
}

/* --- a variant --- */

static void measure(struct ends *e, const struct variant *v, const struct options *o) {
    static struct sampler s;
    s.report.csv = o->csv;
    s.bulk = v->kind == ENDS_BULK;
    for (uint32_t i = 0; i < WARM_UP; i++) /* congestion windows, caches */
        repetition(e, v, &s);
    report_begin(&s.report);
    for (uint32_t i = 0; i < (o->quick ? REPETITIONS_QUICK : REPETITIONS); i++)
        repetition(e, v, &s);
    report_end(&s.report, v->name, s.bulk ? "MB/s" : "cycles", s.bulk);
}

static void loop_for(struct ends *e, const struct variant *v, uint32_t seconds) {
    uint64_t until = rte_rdtsc() + seconds * rte_get_tsc_hz();
    static struct sampler s;
    while (rte_rdtsc() < until)
        repetition(e, v, &s);
}

/* The second repetition, so that windows are open and pools have their caches. */
static void count(struct ends *e, const struct variant *v) {
    static struct sampler s;
    repetition(e, v, &s);
    meter_count_begin();
    repetition(e, v, &s);
    meter_count_end(v->name, v->rounds * v->batch);
}

static void run(struct ends *e, const struct variant *v, const struct options *o) {
    ends_connect(e, v->kind, v->tls, v->clients, v->bytes);
    if (o->count)
        count(e, v);
    else if (o->perf_s != 0)
        loop_for(e, v, o->perf_s);
    else
        measure(e, v, o);
    ends_disconnect(e);
}

static void list(void) {
    for (size_t i = 0; i < WEIR_ARRAY_LEN(variants); i++)
        fprintf(stderr, " %s", variants[i].name);
    fprintf(stderr, " ipsec_mb_16KB");
}

int main(int argc, char **argv) {
    static struct rig rig;
    static struct ends ends;
    struct options o;
    options_read(&o, argc, argv, list);
    rig_open(&rig, &(struct rig_options){MAX_CLIENTS, o.software_checksums});
    ends_open(&ends, &rig, MAX_CLIENTS);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(variants); i++)
        if (options_want(&o, variants[i].name))
            run(&ends, &variants[i], &o);
    if (options_want(&o, "ipsec_mb_16KB") && !o.count)
        raw_measure("ipsec_mb_16KB", TLS_RECORD_MAX, &o);
    ends_close(&ends);
    rig_close(&rig);
    return 0;
}
