/* SPDX-License-Identifier: BSD-3-Clause */
/* Which certificates' files have changed. inotify tells that something happened in a folder that leads to one of them:
 * the one it is named in, those of every symbolic link on the way, the one it lies in. So a link that is swapped
 * (certbot swaps that of the file, Kubernetes that of a folder) is seen like a file that is written. What became of
 * each file is then asked of the file system, once it has been quiet for a moment, as two files make a pair. Where
 * inotify does not see (network file systems), a look every minute does.
 *
 * Threading: control's. */
#ifndef WEIR_CERT_WATCH_H
#define WEIR_CERT_WATCH_H

#include "config.h"

#define CERT_WATCH_QUIET_US    500000u   /* without another event, before files are looked at */
#define CERT_WATCH_PATIENCE_US 5000000u  /* or so long after the first one */
#define CERT_WATCH_LOOK_US     60000000u /* without any event */

struct cert_watch;

/* Remember the files of every entry with `watch`, and of every pool, as they are now: before they are loaded, so that no change is missed.
 * NULL: out of memory. */
struct cert_watch *cert_watch_new(const struct config *config);
void cert_watch_free(struct cert_watch *w); /* NULL is allowed */
/* To be polled for reading; -1: there is nothing to wait for. May be another one after each cert_watch_due. */
int cert_watch_fd(const struct cert_watch *w);
/* The fd is readable. */
void cert_watch_read(struct cert_watch *w, uint64_t now_us);
/* Entries, as bits (snapshot.h), with a file that has changed and whose time has come. Cheap where nothing happened: call
 * it every tick. */
uint64_t cert_watch_due(struct cert_watch *w, uint64_t now_us);

#endif
