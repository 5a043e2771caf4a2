/* SPDX-License-Identifier: BSD-3-Clause */
#include "snapshot.h"

#include <stdlib.h>

struct snapshot *snapshot_new(const struct config *config, const struct snapshot *keep,
                              void (*refused)(void *arg, const char *text), void *arg, char *error,
                              size_t error_bytes) {
    struct snapshot *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->generation = keep != NULL ? keep->generation + 1 : 1;
    for (uint16_t i = 0; i < config->n_tls; i++) {
        const struct config_tls *t = &config->tls[i];
        struct tls_ctx_config tc = {.name = t->name,
                                    .certificate_file = t->certificate,
                                    .key_file = t->key,
                                    .min_version = t->min_version,
                                    .ciphers = t->ciphers,
                                    .ciphersuites = t->ciphersuites};
        s->tls[i] = tls_ctx_new(&tc, error, error_bytes);
        if (s->tls[i] != NULL)
            continue;
        if (keep == NULL) {
            snapshot_free(s);
            return NULL;
        }
        refused(arg, error);
        s->tls[i] = keep->tls[i];
        tls_ctx_ref(s->tls[i]);
    }
    return s;
}

void snapshot_free(struct snapshot *s) {
    if (s == NULL)
        return;
    for (unsigned i = 0; i < WEIR_ARRAY_LEN(s->tls); i++)
        if (s->tls[i] != NULL)
            tls_ctx_unref(s->tls[i]);
    free(s);
}
