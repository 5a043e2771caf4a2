/* SPDX-License-Identifier: BSD-3-Clause */
/* Contexts that were replaced: freed by control once nobody else holds them, and not by a handshake. */
#include <criterion/criterion.h>

#include "weir/retired.h"

static struct retired *list;

static struct tls_ctx *context(void) {
    char error[256];
    struct tls_ctx *ctx = tls_client_ctx_new(&(struct tls_client_ctx_config){.name = "t", .verify_off = true}, error,
                                             sizeof(error));
    cr_assert_not_null(ctx, "%s", error);
    return ctx;
}

Test(retired, is_held_as_long_as_a_handshake_holds_it) {
    static struct snapshot old, fresh;
    struct tls_ctx *kept = context(), *listener = context(), *pool = context();
    old.tls[0] = fresh.tls[0] = kept;
    old.tls[1] = listener;
    old.pools[3] = pool;
    fresh.tls[1] = context();
    tls_ctx_ref(listener); /* a handshake */
    cr_expect(tls_ctx_shared(listener) && !tls_ctx_shared(pool));
    retired_hold(&list, &old, &fresh);
    tls_ctx_unref(listener); /* with the old snapshot */
    tls_ctx_unref(pool);
    cr_expect(!tls_ctx_shared(kept), "what serves on is not among them");
    retired_free(&list, false);
    cr_assert(list != NULL && list->ctx == listener && list->next == NULL);
    cr_expect(tls_ctx_shared(listener));
    tls_ctx_unref(listener); /* the handshake is over, and frees nothing */
    cr_expect(!tls_ctx_shared(listener));
    retired_free(&list, false);
    cr_expect_null(list);
    tls_ctx_unref(kept);
    tls_ctx_unref(fresh.tls[1]);
}

Test(retired, ends_with_control) {
    static struct snapshot old, fresh;
    old.tls[0] = context();
    tls_ctx_ref(old.tls[0]);
    retired_hold(&list, &old, &fresh);
    retired_free(&list, false);
    cr_assert_not_null(list);
    retired_free(&list, true);
    cr_expect_null(list);
    tls_ctx_unref(old.tls[0]);
    tls_ctx_unref(old.tls[0]);
}
