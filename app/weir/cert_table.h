/* SPDX-License-Identifier: BSD-3-Clause */
/* Which certificates are served, for those who only look: control's own snapshots come and go at the pace of the
 * workers, while /metrics and telemetry read on threads of their own. They take a reference under a lock and look at
 * leisure. */
#ifndef WEIR_CERT_TABLE_H
#define WEIR_CERT_TABLE_H

#include "snapshot.h"

#include <pthread.h>

struct cert_table {
    pthread_mutex_t lock;
    struct tls_ctx *entries[SNAPSHOT_ENTRIES]; /* one reference each */
    /* By entry (snapshot.h), atomic: times it was read again, and of a certificate refused while that was done. */
    uint64_t reloads[SNAPSHOT_ENTRIES], refusals[SNAPSHOT_ENTRIES];
};

void cert_table_init(struct cert_table *t);
void cert_table_fini(struct cert_table *t);
/* Control: these are served now. */
void cert_table_publish(struct cert_table *t, const struct snapshot *s);
/* The context of entry `i` (snapshot.h) with a reference for the caller, or NULL: there is none. */
struct tls_ctx *cert_table_get(struct cert_table *t, uint16_t i);

#endif
