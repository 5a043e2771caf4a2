/* SPDX-License-Identifier: BSD-3-Clause */
#include "retired.h"

#include <stdlib.h>

static void hold(struct retired **list, struct tls_ctx *ctx) {
    struct retired *r = malloc(sizeof(*r));
    if (r == NULL)
        return;
    tls_ctx_ref(ctx);
    *r = (struct retired){ctx, *list};
    *list = r;
}

void retired_hold(struct retired **list, const struct snapshot *old, const struct snapshot *fresh) {
    for (unsigned i = 0; i < WEIR_ARRAY_LEN(old->tls); i++)
        if (old->tls[i] != NULL && old->tls[i] != fresh->tls[i])
            hold(list, old->tls[i]);
    for (unsigned i = 0; i < WEIR_ARRAY_LEN(old->pools); i++)
        if (old->pools[i] != NULL && old->pools[i] != fresh->pools[i])
            hold(list, old->pools[i]);
}

void retired_free(struct retired **list, bool now) {
    while (*list != NULL) {
        struct retired *r = *list;
        if (!now && tls_ctx_shared(r->ctx)) {
            list = &r->next;
            continue;
        }
        *list = r->next;
        tls_ctx_unref(r->ctx);
        free(r);
    }
}
