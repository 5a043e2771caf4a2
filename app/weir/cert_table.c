/* SPDX-License-Identifier: BSD-3-Clause */
#include "cert_table.h"

void cert_table_init(struct cert_table *t) {
    *t = (struct cert_table){0};
    pthread_mutex_init(&t->lock, NULL);
}

void cert_table_fini(struct cert_table *t) {
    for (unsigned i = 0; i < SNAPSHOT_ENTRIES; i++)
        tls_ctx_unref(t->entries[i]);
    pthread_mutex_destroy(&t->lock);
}

void cert_table_publish(struct cert_table *t, const struct snapshot *s) {
    struct tls_ctx *old[SNAPSHOT_ENTRIES];
    pthread_mutex_lock(&t->lock);
    for (unsigned i = 0; i < SNAPSHOT_ENTRIES; i++) {
        old[i] = t->entries[i];
        t->entries[i] = i < WEIR_MAX_TLS ? s->tls[i] : s->pools[i - WEIR_MAX_TLS];
        if (t->entries[i] != NULL)
            tls_ctx_ref(t->entries[i]);
    }
    pthread_mutex_unlock(&t->lock);
    for (unsigned i = 0; i < SNAPSHOT_ENTRIES; i++)
        tls_ctx_unref(old[i]);
}

struct tls_ctx *cert_table_get(struct cert_table *t, uint16_t i) {
    pthread_mutex_lock(&t->lock);
    struct tls_ctx *ctx = t->entries[i];
    if (ctx != NULL)
        tls_ctx_ref(ctx);
    pthread_mutex_unlock(&t->lock);
    return ctx;
}
