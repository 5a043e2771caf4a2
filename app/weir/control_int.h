/* SPDX-License-Identifier: BSD-3-Clause */
/* Between the files of the control thread. */
#ifndef WEIR_CONTROL_INT_H
#define WEIR_CONTROL_INT_H

#include "cert_expiry.h"
#include "cert_table.h"
#include "cert_watch.h"
#include "control.h"
#include "retired.h"
#include "stats.h"

#include <jansson.h>

struct MHD_Daemon;

struct control {
    struct weir *weir;
    struct stats_source source;
    int signal_fd, timer_fd, listen_fd; /* -1: not open */
    char *socket_path;                  /* NULL: no CLI socket */
    struct MHD_Daemon *http;            /* NULL: off */
    struct capture *capture;            /* NULL: none runs */
    uint16_t capture_port;
    int capture_fd; /* the weirctl that waits for it; -1 */
    struct cert_table certs;
    struct cert_watch *cert_watch; /* the caller's of control_new */
    struct retired *retired;       /* contexts that handshakes may still hold */
    struct cert_expiry expiry;     /* when it was last said which certificates expire */
    bool draining;
    uint64_t drain_deadline_us, tick;
    bool link_up[WEIR_MAX_PORTS];
    struct mail link_mail[WEIR_MAX_WORKERS][WEIR_MAX_PORTS];
    bool stalled[WEIR_MAX_WORKERS];                    /* logged already */
    bool server_down[WEIR_MAX_POOLS * LB_MAX_SERVERS]; /* logged already, by server id: some worker sees it down */
    uint64_t watched_tsc, watch_from_tsc;              /* watch.c: its last look; no stall counts from before */
};

/* Post a copy of `m` to a worker and wait until it is served, 2 s at most. `m` holds the answer afterwards. Returns 0
 * or WEIR_EIO (the worker does not answer; its copy is abandoned, for it may still write to it). */
int control_ask(struct control *c, uint16_t worker, struct mail *m);
/* The same to every worker; the first failure is returned. */
int control_ask_all(struct control *c, struct mail *m);

/* Load the certificates of these entries (bits of snapshot.h) again and publish a snapshot. Returns how many
 * were refused (the old ones serve on); each refusal is logged and, where `refusals` is not NULL, appended to it. */
int control_reload(struct control *c, uint64_t entries, json_t *refusals);

/* --- commands.c --- */
/* Serve one connection of weirctl: read a line, answer in JSON. Takes fd; closes it, or keeps it while a capture runs.
 */
void commands_serve(struct control *c, int fd);
/* Move captured packets to the file; ends the capture when it is complete or its weirctl is gone. */
void commands_capture_tick(struct control *c);
/* {"ok": false, "error": "..."} */
json_t *commands_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* failure: what ended it before its time, or NULL. */
void commands_capture_end(struct control *c, const char *failure);

/* --- commands_cert.c --- */
json_t *command_cert(struct control *c, char **words, int n);
json_t *command_reload(struct control *c, uint64_t entries);

/* --- socket.c --- Bind the CLI socket (0660), taking over a stale one. fd, or -1 with `error` filled. */
int socket_open(const char *path, char *error, size_t error_bytes);
/* Somebody listens there. */
bool socket_serves(const char *path);

/* --- http.c --- /metrics and /healthz on a thread of libmicrohttpd. NULL with `error` filled. */
struct MHD_Daemon *http_start(struct control *c, uint32_t addr_be, uint16_t port_be, char *error, size_t error_bytes);
void http_stop(struct MHD_Daemon *d);

/* --- telemetry.c --- /weir/... of DPDK telemetry. */
void telemetry_register(struct control *c);
void telemetry_unregister(void);

/* --- watch.c --- Look at every worker's last turn: 1 s without is logged, 10 s aborts. Link changes are told. */
void watch_tick(struct control *c);

#endif
