/* SPDX-License-Identifier: BSD-3-Clause */
/* From the command line to running workers, and back down in reverse. No packets here. */
#include "cert_expiry.h"
#include "cert_watch.h"
#include "config.h"
#include "control.h"
#include "memory_plan.h"
#include "options.h"
#include "session_server.h"
#include "tcp/tcp_core.h"
#include "worker.h"

#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_rcu_qsbr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define ENGINE_BATCH 16u /* handshake messages a handshake core serves before it looks whether to stop */

/* What start-up made so far: program_down undoes exactly that. */
struct program {
    struct options options;
    struct config *config;
    struct memory_plan plan;
    struct cert_watch *cert_watch;
    struct control *control;
    struct weir weir;
    bool eal_up;
    char error[1024];
};

struct engine_main_arg {
    struct weir *weir;
    struct tls_engine *engine;
};

static int fail(const char *text) {
    fprintf(stderr, "weir: %s\n", text);
    return EXIT_FAILURE;
}

static void warn(void *arg, const char *text) {
    (void)arg;
    fprintf(stderr, "weir: warning: %s\n", text);
}

/* A handshake core's loop. */
static int engine_main(void *arg) {
    struct engine_main_arg *a = arg;
    uint32_t empty = 0;
    while (!__atomic_load_n(&a->weir->stop, __ATOMIC_ACQUIRE)) {
        if (tls_engine_run(a->engine, ENGINE_BATCH) != 0)
            empty = 0;
        else if (a->weir->config->cores.idle == CONFIG_IDLE_ADAPTIVE && ++empty > 64)
            usleep(50);
    }
    return 0;
}

/* --- before EAL --- */

/* The plan with the sizes that this build really has. */
static void plan_make(const struct config *c, struct memory_plan *plan) {
    struct memory_sizes sizes = memory_sizes_default;
    memory_plan_make(c, &sizes, plan);
    sizes.flow_bytes = tcp_conn_bytes() - (uint32_t)sizeof(struct timer_node);
    sizes.sent_bytes = (uint32_t)sizeof(struct tcp_sent);
    sizes.flight_bytes = (uint32_t)sizeof(struct tcp_flight);
    sizes.hello_bytes = sizeof(struct tls_hello);
    sizes.session_bytes = (uint32_t)RTE_ALIGN_CEIL(sizeof(struct session), 8);
    sizes.server_tls_bytes = (uint32_t)RTE_ALIGN_CEIL(sizeof(struct session_server), 8);
    sizes.udp_flow_bytes = sizeof(struct udp_flow);
    sizes.timer_bytes = sizeof(struct timer_node);
    sizes.table_entry_bytes =
        (uint32_t)((flow_table_bytes(plan->flows_per_worker) + plan->flows_per_worker - 1) / plan->flows_per_worker);
    memory_plan_make(c, &sizes, plan);
}

static int program_load(struct program *p) {
    struct config_error err;
    char line[1024];
    if (config_load(p->options.config_path, &p->config, &err) != 0) {
        fprintf(stderr, "%s\n", config_error_format(&err, line, sizeof(line)));
        return EXIT_FAILURE;
    }
    for (uint16_t i = 0; i < p->config->n_warnings; i++)
        warn(NULL, p->config->warnings[i]);
    p->weir.config = p->config;
    plan_make(p->config, &p->plan);
    /* Certificates next: the cheapest way to find the commonest mistake. */
    p->cert_watch = cert_watch_new(p->config);
    if (p->cert_watch == NULL)
        return fail("out of memory");
    struct snapshot_told told = {.warned = warn};
    p->weir.snapshot = snapshot_new(p->config, NULL, SNAPSHOT_ALL, &told, p->error, sizeof(p->error));
    if (p->weir.snapshot == NULL)
        return fail(p->error);
    struct cert_expiry expiry = {.config = p->config, .warn = warn};
    cert_expiry_tell(&expiry, p->weir.snapshot, 0, time(NULL));
    return 0;
}

static int program_check(struct program *p) {
    struct memory_available available;
    int rc = memory_available_read(&available);
    if (rc == 0) {
        memory_plan_print(&p->plan, p->config, &available, stdout);
        if (memory_plan_fits(&p->plan, &available, p->config->memory.hugepages, p->error, sizeof(p->error)) != 0)
            return fail(p->error);
    }
    printf("%s: ok\n", p->options.config_path);
    return 0;
}

static int program_fits(struct program *p) {
    struct memory_available available;
    if (memory_available_read(&available) == 0 &&
        memory_plan_fits(&p->plan, &available, p->config->memory.hugepages, p->error, sizeof(p->error)) != 0)
        return fail(p->error);
    return 0;
}

/* --- up --- */

static int secrets_make(struct weir *weir, uint8_t key[STEER_KEY_BYTES]) {
    if (getrandom(weir->secret, sizeof(weir->secret), 0) != sizeof(weir->secret) ||
        getrandom(key, STEER_KEY_BYTES, 0) != STEER_KEY_BYTES)
        return WEIR_EIO;
    return 0;
}

static int rcu_make(struct weir *weir) {
    weir->rcu = rte_zmalloc("rcu", rte_rcu_qsbr_get_memsize(weir->n_workers), RTE_CACHE_LINE_SIZE);
    if (weir->rcu == NULL || rte_rcu_qsbr_init(weir->rcu, weir->n_workers) != 0)
        return WEIR_ENOMEM;
    for (uint16_t i = 0; i < weir->n_workers; i++)
        rte_rcu_qsbr_thread_register(weir->rcu, i);
    return 0;
}

static int engines_make(struct program *p) {
    struct weir *weir = &p->weir;
    if (p->plan.tls_per_worker == 0)
        return 0;
    for (uint16_t i = 0; i < p->config->cores.n_handshake; i++) {
        weir->engines[i] = tls_engine_new(p->plan.handshakes_per_worker * p->plan.n_workers);
        if (weir->engines[i] == NULL)
            return WEIR_ENOMEM;
        weir->n_engines++;
    }
    return 0;
}

static int workers_make(struct program *p) {
    struct weir *weir = &p->weir;
    uint64_t now_us = clock_now_us(&weir->clock);
    for (uint16_t i = 0; i < weir->n_workers; i++) {
        weir->workers[i] = worker_new(weir, i, &p->plan, now_us, p->error, sizeof(p->error));
        if (weir->workers[i] == NULL)
            return fail(p->error);
    }
    return 0;
}

static void keys_warn(const struct program *p) {
    const struct weir *weir = &p->weir;
    struct rlimit allowed;
    bool locked = tls_private_keys_locked();
    for (uint16_t i = 0; i < weir->n_workers && p->plan.tls_per_worker != 0; i++) /* towards servers alone, too */
        locked = locked && tls_core_locked(&weir->workers[i]->tls);
    if (!locked && getrlimit(RLIMIT_MEMLOCK, &allowed) == 0)
        log_line(LOG_LVL_WARNING, "secrets",
                 "keys of TLS are not locked in memory and may be swapped out: %llu KB may be locked (RLIMIT_MEMLOCK); "
                 "give the service LimitMEMLOCK=infinity or CAP_IPC_LOCK, or turn swap off",
                 (unsigned long long)allowed.rlim_cur / 1024);
}

static int program_up(struct program *p, const char *argv0) {
    struct weir *weir = &p->weir;
    uint8_t key[STEER_KEY_BYTES];
    if (eal_start(p->config, &p->plan, argv0, p->options.eal_args, p->options.n_eal_args, &weir->ports, p->error,
                  sizeof(p->error)) != 0)
        return fail(p->error);
    p->eal_up = true;
    log_line(LOG_LVL_INFO, "start", "weir %s, %s; workers: %u, ports: %u, listeners: %u, servers: %u", WEIR_VERSION,
             p->options.config_path, p->config->cores.n_workers, p->config->n_ports, p->config->n_listeners,
             p->config->n_servers);
    log_line(LOG_LVL_INFO, "memory", "%s", weir->ports.memory_text);
    weir->n_workers = p->config->cores.n_workers;
    clock_init(&weir->clock);
    if (secrets_make(weir, key) != 0)
        return fail("the kernel gives no random numbers");
    steer_init(&weir->steer, key, weir->n_workers);
    if (ports_open(p->config, &p->plan, &weir->steer, &weir->ports, p->error, sizeof(p->error)) != 0)
        return fail(p->error);
    if (rcu_make(weir) != 0 || worker_rings_new(weir) != 0 || engines_make(p) != 0)
        return fail("not enough memory for rings between cores; lower memory.max_connections or the number of workers");
    if (workers_make(p) != 0)
        return EXIT_FAILURE;
    keys_warn(p);
    p->control = control_new(weir, &p->plan, p->cert_watch, p->error, sizeof(p->error));
    return p->control != NULL ? 0 : fail(p->error);
}

/* --- running --- */

/* Until each worker turns: with many connections to be had, its memory takes a while to be there. */
static void wait_for_turns(const struct weir *weir) {
    for (uint16_t i = 0; i < weir->n_workers; i++) {
        while (__atomic_load_n(&weir->workers[i]->turn_tsc, __ATOMIC_RELAXED) == 0)
            rte_delay_us_sleep(100);
    }
}

static int program_run(struct program *p) {
    struct weir *weir = &p->weir;
    struct engine_main_arg args[WEIR_MAX_HANDSHAKE];
    unsigned lcore = 1;
    for (uint16_t i = 0; i < weir->n_workers; i++)
        rte_eal_remote_launch(worker_main, weir->workers[i], lcore++);
    for (uint16_t i = 0; i < weir->n_engines; i++) {
        args[i] = (struct engine_main_arg){weir, weir->engines[i]};
        rte_eal_remote_launch(engine_main, &args[i], lcore++);
    }
    wait_for_turns(weir);
    printf("weir: ready\n");
    fflush(stdout);
    int rc = control_run(p->control);
    __atomic_store_n(&weir->stop, true, __ATOMIC_RELEASE);
    rte_eal_mp_wait_lcore();
    return rc;
}

/* --- down --- */

static void program_down(struct program *p) {
    struct weir *weir = &p->weir;
    control_free(p->control);
    for (uint16_t i = 0; i < weir->n_workers; i++)
        worker_free(weir->workers[i]);
    for (uint16_t i = 0; i < weir->n_engines; i++)
        tls_engine_free(weir->engines[i]);
    if (p->eal_up) {
        worker_rings_free(weir);
        ports_close(&weir->ports);
        rte_free(weir->rcu);
    }
    snapshot_free(weir->snapshot);
    cert_watch_free(p->cert_watch);
    if (p->eal_up)
        eal_stop();
    config_free(p->config);
    log_close();
}

int main(int argc, char **argv) {
    static struct program p;
    if (options_parse(argc, argv, &p.options, p.error, sizeof(p.error)) != 0)
        return fail(p.error);
    if (p.options.action == OPTIONS_HELP) {
        options_print_help(stdout);
        return 0;
    }
    if (p.options.action == OPTIONS_VERSION) {
        options_print_version(stdout);
        return 0;
    }
    control_block_signals();
    (void)tls_libssl_guard(); /* nothing has used it yet */
    int rc = program_load(&p);
    if (rc == 0 && p.options.action == OPTIONS_CHECK) {
        rc = program_check(&p);
    } else if (rc == 0) {
        enum log_level level = p.options.log_level >= 0 ? (enum log_level)p.options.log_level : p.config->log.level;
        if (log_open(p.config->log.target, level, p.config->log.format) != 0) {
            snprintf(p.error, sizeof(p.error), "log.target %s: %m", p.config->log.target);
            rc = fail(p.error);
        }
        if (rc == 0 && control_check_alone(p.config, p.error, sizeof(p.error)) != 0)
            rc = fail(p.error);
        if (rc == 0)
            rc = program_fits(&p);
        if (rc == 0)
            rc = program_up(&p, argv[0]);
        if (rc == 0)
            rc = program_run(&p);
    }
    program_down(&p);
    return rc;
}
