/* SPDX-License-Identifier: BSD-3-Clause */
#include "control_int.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <rte_rcu_qsbr.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define TICK_MS   20u
#define ASK_TRIES 20000u /* of 100 us: 2 s */
#define FLUSH_MS  1000u  /* after the last session: time for FINs to be answered */

static void signal_set(sigset_t *set) {
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGUSR1);
}

void control_block_signals(void) {
    sigset_t set;
    signal_set(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* --- talking to workers --- */

int control_ask(struct control *c, uint16_t worker, struct mail *m) {
    struct mail *copy = malloc(sizeof(*copy));
    if (copy == NULL)
        return WEIR_ENOMEM;
    *copy = *m;
    copy->done = 0;
    if (mailbox_post(&c->weir->workers[worker]->mailbox, copy) != 0) {
        free(copy);
        return WEIR_EIO;
    }
    for (unsigned i = 0; i < ASK_TRIES; i++) {
        if (__atomic_load_n(&copy->done, __ATOMIC_ACQUIRE) != 0) {
            *m = *copy;
            free(copy);
            return 0;
        }
        usleep(100);
    }
    return WEIR_EIO;
}

int control_ask_all(struct control *c, struct mail *m) {
    int rc = 0;
    for (uint16_t i = 0; i < c->weir->n_workers; i++) {
        struct mail each = *m;
        int one = control_ask(c, i, &each);
        if (rc == 0)
            rc = one;
    }
    return rc;
}

/* --- reload --- */

struct refusal {
    struct control *control;
    json_t *list;
    int n;
};

static void refused(void *arg, uint16_t entry, const char *text) {
    struct refusal *r = arg;
    r->n++;
    __atomic_fetch_add(&r->control->certs.refusals[entry], 1, __ATOMIC_RELAXED);
    log_line(LOG_LVL_ERROR, "reload", "%s; what it held before serves on", text);
    if (r->list != NULL)
        json_array_append_new(r->list, json_string(text));
}

static void warned(void *arg, const char *text) {
    (void)arg;
    log_line(LOG_LVL_WARNING, "reload", "%s", text);
}

/* Those of `n` contexts, whose bits begin with `first`, that are among `entries` are counted as read again. Returns how
 * many. */
static unsigned reloads_count(struct control *c, uint64_t entries, unsigned first, struct tls_ctx *const *ctx,
                              unsigned n) {
    unsigned read = 0;
    for (unsigned i = 0; i < n; i++) {
        if (ctx[i] == NULL || !(entries >> (first + i) & 1))
            continue;
        __atomic_fetch_add(&c->certs.reloads[first + i], 1, __ATOMIC_RELAXED);
        read++;
    }
    return read;
}

int control_reload(struct control *c, uint64_t entries, json_t *refusals) {
    struct weir *weir = c->weir;
    struct refusal r = {c, refusals, 0};
    struct snapshot_told told = {refused, warned, &r};
    char error[1024] = "out of memory";
    struct snapshot *old = weir->snapshot;
    struct snapshot *fresh = snapshot_new(weir->config, old, entries, &told, error, sizeof(error));
    if (fresh == NULL) {
        refused(&r, 0, error);
        return r.n;
    }
    __atomic_store_n(&weir->snapshot, fresh, __ATOMIC_RELEASE);
    __atomic_store_n(&c->source.generation, fresh->generation, __ATOMIC_RELAXED);
    cert_table_publish(&c->certs, fresh);
    unsigned n = reloads_count(c, entries, 0, fresh->tls, weir->config->n_tls);
    unsigned pools = reloads_count(c, entries, WEIR_MAX_TLS, fresh->pools, weir->config->n_pools);
    rte_rcu_qsbr_synchronize(weir->rcu, RTE_QSBR_THRID_INVALID);
    retired_hold(&c->retired, old, fresh);
    snapshot_free(old);
    cert_expiry_tell(&c->expiry, weir->snapshot, clock_now_us(&weir->clock), time(NULL));
    log_line(LOG_LVL_INFO, "reload", "certificates of %u of %u tls entries read again, and of %u pools, %d refused", n,
             weir->config->n_tls, pools, r.n);
    return r.n;
}

static void certs_tick(struct control *c, uint64_t now_us) {
    for (uint16_t i = 0; i < c->weir->config->n_tls; i++)
        tls_ctx_tick(c->weir->snapshot->tls[i], now_us);
    retired_free(&c->retired, false);
    uint64_t changed = cert_watch_due(c->cert_watch, now_us);
    if (changed != 0)
        control_reload(c, changed, NULL);
    (void)cert_expiry_tick(&c->expiry, c->weir->snapshot, now_us, time(NULL));
}

/* --- drain --- */

static uint32_t sessions_open(const struct control *c) {
    uint32_t n = 0;
    for (uint16_t i = 0; i < c->weir->n_workers; i++)
        n += c->weir->workers[i]->sessions.used + c->weir->workers[i]->udp.flows.used;
    return n;
}

/* Flows that still exchange segments: TIME-WAIT needs nobody. */
static uint32_t flows_alive(const struct control *c) {
    uint32_t n = 0;
    for (uint16_t i = 0; i < c->weir->n_workers; i++)
        for (unsigned s = TCP_SYN_SENT; s < TCP_TIME_WAIT; s++)
            n += c->weir->workers[i]->tcp.stats.by_state[s];
    return n;
}

static void drain_start(struct control *c, uint64_t now_us) {
    struct mail m = {.kind = MAIL_DRAIN};
    uint32_t seconds = c->weir->config->timeouts.drain_s;
    c->draining = true;
    c->drain_deadline_us = now_us + (uint64_t)seconds * 1000000;
    control_ask_all(c, &m);
    log_line(LOG_LVL_INFO, "drain", "accepting no more; %u connections have up to %u s", sessions_open(c), seconds);
}

/* What is left goes now; FINs get a moment to be answered. */
static void drain_finish(struct control *c) {
    struct mail m = {.kind = MAIL_CLOSE_SESSIONS};
    uint32_t left = sessions_open(c);
    control_ask_all(c, &m);
    for (unsigned ms = 0; ms < FLUSH_MS && flows_alive(c) != 0; ms += 10)
        usleep(10000);
    log_line(LOG_LVL_INFO, "drain", "done; %u connections were closed at its end", left);
}

static bool drain_over(struct control *c, uint64_t now_us) {
    return c->draining && (sessions_open(c) == 0 || now_us >= c->drain_deadline_us);
}

/* --- the loop --- */

static void signal_take(struct control *c, uint64_t now_us) {
    struct signalfd_siginfo si;
    while (read(c->signal_fd, &si, sizeof(si)) == sizeof(si)) {
        switch (si.ssi_signo) {
        case SIGHUP:
            control_reload(c, SNAPSHOT_ALL, NULL);
            break;
        case SIGUSR1:
            if (log_reopen() != 0)
                log_line(LOG_LVL_ERROR, "log", "cannot open the log file again: %s", strerror(errno));
            break;
        default: /* SIGTERM, SIGINT: the second one ends the drain */
            if (c->draining)
                c->drain_deadline_us = now_us;
            else
                drain_start(c, now_us);
        }
    }
}

int control_run(struct control *c) {
    struct pollfd fds[] = {{.fd = c->signal_fd, .events = POLLIN},
                           {.fd = c->timer_fd, .events = POLLIN},
                           {.fd = c->listen_fd, .events = POLLIN},
                           {.fd = -1, .events = POLLIN}};
    for (;;) {
        fds[3].fd = cert_watch_fd(c->cert_watch);
        if (poll(fds, WEIR_ARRAY_LEN(fds), -1) < 0 && errno != EINTR)
            return EXIT_FAILURE;
        uint64_t now_us = clock_now_us(&c->weir->clock);
        if (fds[0].revents & POLLIN)
            signal_take(c, now_us);
        if (fds[3].revents & POLLIN)
            cert_watch_read(c->cert_watch, now_us);
        if (fds[1].revents & POLLIN) {
            uint64_t ticks;
            if (read(c->timer_fd, &ticks, sizeof(ticks)) == sizeof(ticks))
                c->tick++;
            watch_tick(c);
            certs_tick(c, now_us);
            commands_capture_tick(c);
        }
        if (fds[2].revents & POLLIN) {
            int fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC);
            if (fd >= 0)
                commands_serve(c, fd);
        }
        if (drain_over(c, now_us)) {
            drain_finish(c);
            return EXIT_SUCCESS;
        }
    }
}

/* --- up and down --- */

static int loop_open(struct control *c) {
    sigset_t set;
    signal_set(&set);
    c->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    c->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct itimerspec tick = {.it_interval.tv_nsec = TICK_MS * 1000000, .it_value.tv_nsec = TICK_MS * 1000000};
    return c->signal_fd >= 0 && c->timer_fd >= 0 && timerfd_settime(c->timer_fd, 0, &tick, NULL) == 0 ? 0 : WEIR_EIO;
}

int control_check_alone(const struct config *config, char *error, size_t error_bytes) {
    if (!config->control.socket_enabled || !socket_serves(config->control.socket))
        return 0;
    snprintf(error, error_bytes, "control.socket %s: another weir runs with it; stop that one or choose another path",
             config->control.socket);
    return WEIR_EEXIST;
}

struct control *control_new(struct weir *weir, const struct memory_plan *plan, struct cert_watch *watch, char *error,
                            size_t error_bytes) {
    const struct config_control *cc = &weir->config->control;
    struct control *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return NULL;
    c->weir = weir;
    cert_table_init(&c->certs);
    cert_table_publish(&c->certs, weir->snapshot);
    c->cert_watch = watch;
    c->expiry = (struct cert_expiry){.config = weir->config, .warn = warned, .told_us = clock_now_us(&weir->clock)};
    c->source = (struct stats_source){weir, plan, &c->certs, weir->snapshot->generation};
    c->signal_fd = c->timer_fd = c->listen_fd = c->capture_fd = -1;
    for (uint16_t i = 0; i < WEIR_MAX_WORKERS; i++)
        for (uint16_t p = 0; p < WEIR_MAX_PORTS; p++)
            c->link_mail[i][p].done = 1;
    memset(c->link_up, true, sizeof(c->link_up));
    bool ok = loop_open(c) == 0;
    if (!ok)
        snprintf(error, error_bytes, "control: %s", strerror(errno));
    if (ok && cc->socket_enabled) {
        c->listen_fd = socket_open(cc->socket, error, error_bytes);
        ok = c->listen_fd >= 0;
        c->socket_path = ok ? cc->socket : NULL;
    }
    if (ok && cc->http_enabled) {
        c->http = http_start(c, cc->http_addr_be, cc->http_port_be, error, error_bytes);
        ok = c->http != NULL;
    }
    if (!ok) {
        control_free(c);
        return NULL;
    }
    telemetry_register(c);
    return c;
}

void control_free(struct control *c) {
    if (c == NULL)
        return;
    telemetry_unregister();
    http_stop(c->http);
    commands_capture_end(c, NULL);
    if (c->socket_path != NULL)
        unlink(c->socket_path);
    if (c->listen_fd >= 0)
        close(c->listen_fd);
    if (c->signal_fd >= 0)
        close(c->signal_fd);
    if (c->timer_fd >= 0)
        close(c->timer_fd);
    cert_table_fini(&c->certs);
    retired_free(&c->retired, true);
    free(c);
}
