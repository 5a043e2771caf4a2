/* SPDX-License-Identifier: BSD-3-Clause */
/* The control thread (EAL's main lcore): everything that is slow. Signals, reload, drain, the CLI socket, telemetry,
 * /metrics, captures' files, link state, and the watch over the workers' turns and the servers.
 *
 *   control.c     the loop: signals (signalfd), timers, socket; drain and reload
 *   cert_watch.c  which certificates' files have changed; cert_table.c  which are served, for the views;
 *                 retired.c those that were replaced, until nobody holds them
 *   watch.c       a worker without a turn for 1 s is logged, for 10 s aborts the process: a supervisor starts it anew
 *   commands*.c   the runtime commands of `weirctl`, one function each, over socket.c; text or JSON
 *   stats*.c      sums over workers: one walk that every view uses
 *   metrics.c     Prometheus text of that walk; http.c serves it with /healthz through libmicrohttpd
 *   telemetry.c   the same under /weir/... of DPDK telemetry
 *
 * Threading: runs alone on its lcore, beside libmicrohttpd's and telemetry's threads, which only read counters. It
 * talks to workers through their mailboxes and through weir->snapshot. */
#ifndef WEIR_CONTROL_H
#define WEIR_CONTROL_H

#include "worker.h"

struct cert_watch;
struct control;

/* Block the signals that control takes (SIGTERM, SIGINT, SIGHUP, SIGUSR1), in the calling thread and all it starts
 * later. Called first in main. */
void control_block_signals(void);

/* Before any device is touched: 0, or WEIR_EEXIST with `error` filled where another weir runs with the same CLI socket.
 * It most likely has the same devices, and opening those would already hurt it (a TAP would get a second reader). */
int control_check_alone(const struct config *config, char *error, size_t error_bytes);

/* Open the CLI socket, /metrics and telemetry as configured. Returns NULL with `error` filled (address in use, path not
 * writable: which, and what to do). The workers exist but need not run yet. plan: for `stats memory`. watch:
 * over the certificates; the caller's, as long as control runs. */
struct control *control_new(struct weir *weir, const struct memory_plan *plan, struct cert_watch *watch, char *error,
                            size_t error_bytes);

/* Run until SIGTERM or SIGINT and the drain after it are over (a second signal ends the drain). Returns the exit code.
 * The workers still run afterwards. */
int control_run(struct control *c);

void control_free(struct control *c);

#endif
