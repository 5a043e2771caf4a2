/* SPDX-License-Identifier: BSD-3-Clause */
/* A step, a run, and how it has to end. */
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUSY_US     40u                /* a step while something moves */
#define IDLE_US     1000u              /* ... while clients wait */
#define QUIET_US    10000u             /* ... while only timers run down */
#define RUN_MAX_US  (600 * SIM_SECOND) /* all clients are done by then */
#define REST_MAX_US (600 * SIM_SECOND) /* and so long after that everything is given back */
#define LOOK_US     (SIM_SECOND / 2)

void sim_fail(struct sim *sim, const char *format, ...) {
    if (sim->error[0] != '\0')
        return;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(sim->error, sizeof(sim->error) - 64, format, args);
    va_end(args);
    n = (int)weir_min_u32((uint32_t)n, sizeof(sim->error) - 65);
    snprintf(sim->error + n, sizeof(sim->error) - (size_t)n, " (at %.6f s)", (double)sim_elapsed(sim) / 1e6);
}

void sim_note(const struct sim *sim, const char *format, ...) {
    if (!sim->trace)
        return;
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%10.6f ", (double)sim_elapsed(sim) / 1e6);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

/* Conditions under which a client may fail without anybody being at fault but the weather. */
static bool is_lenient(const struct sim_setup *s) {
    uint32_t refusing = 0;
    bool lenient = s->manners[SIM_MANNER_RESET_AT_ONCE] != 0 || s->pairs != 0 || s->drain_us != 0;
    bool waits = s->endings[SIM_END_EARLY] != 0 || s->link.loss_ppm > 5000;
    for (uint32_t i = 0; i < s->n_faults; i++) {
        if (s->faults[i].kind == SIM_FAULT_SERVER_REFUSES || s->faults[i].kind == SIM_FAULT_SERVER_STALLS ||
            s->faults[i].kind == SIM_FAULT_SERVER_WRONG)
            refusing |= 1u << s->faults[i].target % s->n_servers;
        lenient |= s->faults[i].kind == SIM_FAULT_SERVER_SILENT || s->faults[i].kind == SIM_FAULT_BLACKOUT;
        waits |= s->faults[i].kind == SIM_FAULT_SERVER_STALLS;
    }
    /* One who leaves in the middle of a handshake keeps its place until the time is up, and others wait for it. */
    lenient |= s->handshakes != 0 && (waits || s->server_libssl);
    return lenient || refusing == (1u << s->n_servers) - 1;
}

struct sim *sim_new(const struct sim_setup *setup) {
    struct sim *sim = aligned_alloc(WEIR_CACHE_LINE, RTE_ALIGN_CEIL(sizeof(*sim), WEIR_CACHE_LINE));
    if (sim == NULL)
        abort();
    memset(sim, 0, sizeof(*sim));
    sim->setup = *setup;
    sim->start_us = sim->now_us = SIM_SECOND;
    sim->trace = getenv("WEIR_SIM_TRACE") != NULL;
    sim->lenient = is_lenient(setup);
    sim_rng_seed(&sim->rng, setup->seed);
    sim_host_open(&sim->host[0], sim, 0);
    sim_host_open(&sim->host[1], sim, 1);
    sim->host[1].accept = sim_broker_accept;
    sim->host[1].datagram = sim_broker_datagram;
    sim_wire_open(sim);
    if (sim_weir_open(sim)) {
        sim_brokers_open(sim);
        sim_clients_draw(sim);
    }
    return sim;
}

void sim_free(struct sim *sim) {
    sim_faults_end(sim);
    sim_clients_free(sim);
    sim_brokers_free(sim);
    sim_weir_close(sim);
    sim_host_close(&sim->host[0]);
    sim_host_close(&sim->host[1]);
    sim_wire_close(sim);
    free(sim);
}

/* Somebody at the control socket asks for all flows, over and over. */
static void ask(struct sim *sim) {
    struct worker *w = sim->weir.workers[sim->steps % sim->weir.n_workers];
    if (sim->mailed && !sim->mail.done)
        return;
    uint32_t after = sim->mail.after;
    sim->mail = (struct mail){.kind = MAIL_FLOWS, .rows = sim->rows, .max_rows = WEIR_ARRAY_LEN(sim->rows)};
    sim->mail.after = after;
    sim->mailed = mailbox_post(&w->mailbox, &sim->mail) == 0;
}

/* SIGTERM: no new connections, and a second later those that are left end. */
static void drain(struct sim *sim) {
    static const enum mail_kind kinds[2] = {MAIL_DRAIN, MAIL_CLOSE_SESSIONS};
    if (sim->setup.drain_us == 0 || sim->drained == 2 ||
        sim_elapsed(sim) < sim->setup.drain_us + sim->drained * SIM_SECOND)
        return;
    for (uint16_t i = 0; i < sim->weir.n_workers; i++) {
        struct mail *m = &sim->drain[sim->drained][i];
        m->kind = kinds[sim->drained];
        if (mailbox_post(&sim->weir.workers[i]->mailbox, m) != 0)
            sim_fail(sim, "mailbox full");
    }
    sim->drained++;
}

static uint32_t step(struct sim *sim) {
    uint32_t moved;
    sim_faults_run(sim);
    moved = sim_wire_in(sim);
    if (sim->steps++ % 64 == 0)
        ask(sim);
    drain(sim);
    for (uint16_t i = 0; i < sim->weir.n_workers; i++) {
        uint16_t w = (uint16_t)((sim->steps + i) % sim->weir.n_workers);
        if (!(sim->asleep & 1u << w))
            moved += worker_turn(sim->weir.workers[w], sim->now_us);
    }
    if (sim->weir.n_engines != 0 && sim_rng_below(&sim->rng, 2) == 0)
        moved += tls_engine_run(sim->weir.engines[0], 1 + sim_rng_below(&sim->rng, 4));
    moved += sim_wire_out(sim);
    moved += sim_host_receive(&sim->host[0]) + sim_host_receive(&sim->host[1]);
    sim_clients_run(sim);
    sim_brokers_run(sim);
    return moved + sim_host_send(&sim->host[0]) + sim_host_send(&sim->host[1]);
}

static void advance(struct sim *sim, uint32_t moved, uint32_t idle_us) {
    if (moved != 0)
        sim->now_us += BUSY_US;
    else
        sim->now_us = sim_next_us(sim, sim->now_us + idle_us);
}

static bool failed(const struct sim *sim) {
    return sim->error[0] != '\0';
}

/* All clients to their end. */
static void run_clients(struct sim *sim) {
    while (!failed(sim) && !sim_clients_done(sim)) {
        advance(sim, step(sim), IDLE_US);
        if (sim_elapsed(sim) > RUN_MAX_US)
            sim_fail(sim, "clients are not done within %llu s", RUN_MAX_US / SIM_SECOND);
    }
}

/* Nobody asks for anything any more: every timer runs down and everything comes back. */
static void run_rest(struct sim *sim) {
    char text[3000];
    uint64_t look_us = 0;
    sim_faults_end(sim);
    sim->setup.n_faults = 0;
    sim->quiet_us = sim->now_us;
    while (!failed(sim)) {
        advance(sim, step(sim), QUIET_US);
        if (sim->now_us < look_us)
            continue;
        look_us = sim->now_us + LOOK_US;
        if (sim_weir_clean(sim, text, sizeof(text)))
            break;
        if (sim->now_us - sim->quiet_us > REST_MAX_US)
            sim_fail(sim, "not given back after %llu s%s", REST_MAX_US / SIM_SECOND, text);
    }
    sim_note(sim, "all given back after %.1f s", (double)(sim->now_us - sim->quiet_us) / 1e6);
    if (!sim_wire_clean(sim, text, sizeof(text)))
        sim_fail(sim, "frames%s", text);
}

bool sim_run(struct sim *sim) {
    if (!failed(sim))
        run_clients(sim);
    if (!failed(sim))
        run_rest(sim);
    return !failed(sim);
}
