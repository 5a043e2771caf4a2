/* SPDX-License-Identifier: BSD-3-Clause */
#include "snapshot.h"

#include <stdio.h>
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
        char said[384];
        s->tls[i] = tls_ctx_new(&tc, said, sizeof(said));
        if (s->tls[i] != NULL)
            continue;
        snprintf(error, error_bytes, "%s: %s", t->where, said);
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

void snapshot_warn_expiry(const struct snapshot *s, const struct config *config,
                          void (*warn)(void *arg, const char *text), void *arg) {
    for (uint16_t i = 0; i < config->n_tls; i++) {
        const struct config_tls *t = &config->tls[i];
        int64_t left_s = tls_ctx_expires_in_s(s->tls[i]);
        char text[512];
        if (left_s >= (int64_t)SNAPSHOT_EXPIRY_DAYS * 86400)
            continue;
        if (left_s < 0)
            snprintf(text, sizeof(text), "%s: certificate %s has expired: clients refuse it", t->where, t->certificate);
        else
            snprintf(text, sizeof(text), "%s: certificate %s expires in less than %d days", t->where, t->certificate,
                     (int)(left_s / 86400) + 1);
        warn(arg, text);
    }
}
