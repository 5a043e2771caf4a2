/* SPDX-License-Identifier: BSD-3-Clause */
/* What one message costs a worker, client segment in to broker segment out and every ACK on the way: cycles of
 * worker_turn over all turns of a repetition, divided by the messages that have arrived.
 *
 *   path_message                            all variants
 *   path_message --only qos0_tls_32         one; --quick: fewer repetitions; --csv: for programs
 *   path_message --only qos0_tls_32 --perf 10    10 seconds of it, for `perf record -e cpu-clock -- ...`
 *   path_message --software-checksums       as on ports without offload */
#include "ends.h"
#include "report.h"

#include <getopt.h>
#include <rte_cycles.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CLIENTS 1024u
#define WARM_UP     4u     /* repetitions that do not count */
#define IDLE_MAX    10000u /* empty steps in a row: nothing more comes */

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

struct options {
    const char *only;
    uint32_t repetitions, perf_s;
    struct rig_options rig;
    bool csv;
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
    for (uint32_t i = 0; i < o->repetitions; i++)
        repetition(e, v, &s);
    report_end(&s.report, v->name, s.bulk ? "MB/s" : "cycles", s.bulk);
}

static void loop_for(struct ends *e, const struct variant *v, uint32_t seconds) {
    uint64_t until = rte_rdtsc() + seconds * rte_get_tsc_hz();
    static struct sampler s;
    while (rte_rdtsc() < until)
        repetition(e, v, &s);
}

static void run(struct ends *e, const struct variant *v, const struct options *o) {
    ends_connect(e, v->kind, v->tls, v->clients, v->bytes);
    if (o->perf_s != 0)
        loop_for(e, v, o->perf_s);
    else
        measure(e, v, o);
    ends_disconnect(e);
}

static void usage(void) {
    fprintf(stderr,
            "path_message [--only VARIANT] [--perf SECONDS] [--quick] [--csv] [--software-checksums]\nvariants:");
    for (size_t i = 0; i < WEIR_ARRAY_LEN(variants); i++)
        fprintf(stderr, " %s", variants[i].name);
    fprintf(stderr, "\n");
    exit(2);
}

static void options_read(struct options *o, int argc, char **argv) {
    static const struct option known[] = {{"only", required_argument, NULL, 'o'},
                                          {"perf", required_argument, NULL, 'p'},
                                          {"quick", no_argument, NULL, 'q'},
                                          {"csv", no_argument, NULL, 'c'},
                                          {"software-checksums", no_argument, NULL, 's'},
                                          {0}};
    *o = (struct options){.repetitions = 101, .rig.connections = MAX_CLIENTS};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (c) {
        case 'o':
            o->only = optarg;
            break;
        case 'p':
            o->perf_s = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'q':
            o->repetitions = 21;
            break;
        case 'c':
            o->csv = true;
            break;
        case 's':
            o->rig.software_checksums = true;
            break;
        default:
            usage();
        }
    }
}

int main(int argc, char **argv) {
    static struct rig rig;
    static struct ends ends;
    struct options o;
    uint32_t ran = 0;
    options_read(&o, argc, argv);
    rig_open(&rig, &o.rig);
    ends_open(&ends, &rig, MAX_CLIENTS);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(variants); i++) {
        if (o.only != NULL && strcmp(o.only, variants[i].name) != 0)
            continue;
        run(&ends, &variants[i], &o);
        ran++;
    }
    if (ran == 0)
        usage();
    ends_close(&ends);
    rig_close(&rig);
    return 0;
}
