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
    struct tls_ctx *tls[WEIR_MAX_TLS]; /* one reference each */
    uint64_t reloads[WEIR_MAX_TLS];    /* atomic: times an entry was read again */
    uint64_t refusals[WEIR_MAX_TLS];   /* atomic: of a certificate, while that was done */
};

void cert_table_init(struct cert_table *t);
void cert_table_fini(struct cert_table *t);
/* Control: these are served now. */
void cert_table_publish(struct cert_table *t, const struct snapshot *s);
/* The context of entry `i` with a reference for the caller, or NULL: there is none. */
struct tls_ctx *cert_table_get(struct cert_table *t, uint16_t i);

#endif
