/* SPDX-License-Identifier: BSD-3-Clause */
/* weirctl: the command line to a running weir.
 *
 *   main.c     arguments, help, one request
 *   request.c  the request over weir's UNIX socket and its JSON answer
 *   cycles.c   `cycles`: what two answers say about the time between them
 *   certs.c    `cert show`
 *   print.c    answers as tables for people (--json prints them as they come) */
#ifndef WEIRCTL_H
#define WEIRCTL_H

#include <jansson.h>
#include <stdbool.h>

#define WEIRCTL_DEFAULT_SOCKET "/run/weir/weir.sock"

/* Send `words` (n of them) to the socket at `path`; wait for the answer. NULL after printing to stderr why. The caller
 * owns the answer. */
json_t *request_send(const char *path, char *const *words, int n);

/* Print an answer to `command`. `all`: zeros too; `filter`: only metrics whose name holds it (NULL: all). */
void print_answer(const char *command, const json_t *answer, bool all, const char *filter);

/* Print an answer to `cert show`. */
void print_certs(const json_t *answer);

/* Shares and costs of the time between two answers to `cycles`. before: NULL for all since weir's start. The caller
 * owns what it gets: {"ok": true, "since_start": ..., "workers": [...]}. */
json_t *cycles_report(const json_t *before, const json_t *after);

/* Print such a report. `all`: stages that took no time, too. */
void cycles_print(const json_t *report, bool all);

#endif
