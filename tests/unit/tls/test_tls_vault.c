/* SPDX-License-Identifier: BSD-3-Clause */
#include "memory_search.h"
#include "tls/tls.h"
#include "tls/tls_vault.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>

/* Before libgit2, which Criterion brings along, uses libcrypto. */
static bool ours;
__attribute__((constructor)) static void guard(void) {
    ours = tls_libssl_guard();
}

static bool is_zero(const uint8_t *p, size_t n) {
    while (n > 0 && p[n - 1] == 0)
        n--;
    return n == 0;
}

Test(tls_vault, blocks) {
    size_t used = tls_vault_used();
    uint8_t *blocks[64];

    cr_assert(ours);
    for (size_t i = 0; i < 64; i++) {
        size_t n = i * i * 37;
        blocks[i] = tls_vault_alloc(n);
        cr_assert_not_null(blocks[i]);
        cr_assert_eq((uintptr_t)blocks[i] % 16, 0);
        cr_assert_geq(tls_vault_room(blocks[i]), n);
        cr_assert(tls_vault_holds(blocks[i]) && guarded(blocks[i]));
        cr_assert(is_zero(blocks[i], tls_vault_room(blocks[i])));
        memset(blocks[i], (int)i, tls_vault_room(blocks[i]));
    }
    for (size_t i = 0; i < 64; i++)
        for (size_t k = 0; k < tls_vault_room(blocks[i]); k++)
            cr_assert_eq(blocks[i][k], i, "blocks do not overlap");
    cr_assert_gt(tls_vault_used(), used);
    for (size_t i = 0; i < 64; i++)
        tls_vault_free(blocks[i]);
    cr_assert_eq(tls_vault_used(), used);
    cr_assert(tls_private_keys_locked());
}

Test(tls_vault, what_is_freed_is_zeroed_and_used_again) {
    uint8_t *first = tls_vault_alloc(1000);

    memset(first, 7, 1000);
    tls_vault_free(first);
    uint8_t *again = tls_vault_alloc(1000);
    cr_assert_eq(again, first);
    cr_assert(is_zero(again, 1000));
    tls_vault_free(again);
}

Test(tls_vault, only_between_enter_and_leave) {
    uint8_t *before = OPENSSL_malloc(100);
    tls_vault_enter();
    uint8_t *inside = OPENSSL_malloc(100);
    tls_vault_leave();
    uint8_t *after = OPENSSL_malloc(100);

    cr_assert(!tls_vault_holds(before) && tls_vault_holds(inside) && !tls_vault_holds(after));
    cr_assert(!tls_vault_holds(NULL));
    memset(inside, 7, 100);
    uint8_t *grown = OPENSSL_realloc(inside, 5000); /* stays a secret outside */
    cr_assert(tls_vault_holds(grown) && grown[99] == 7 && grown != inside);
    cr_assert(is_zero(inside, 100), "the copy left behind");
    tls_vault_enter();
    before = OPENSSL_realloc(before, 5000); /* and what was none is none */
    tls_vault_leave();
    cr_assert(!tls_vault_holds(before));
    OPENSSL_free(before);
    OPENSSL_free(grown);
    OPENSSL_free(after);
}

static void *elsewhere(void *arg) {
    void **p = arg;

    *p = OPENSSL_malloc(100);
    for (int i = 0; i < 20000; i++) { /* and beside the other thread */
        uint8_t *block = tls_vault_alloc(100);
        cr_assert(is_zero(block, 100));
        memset(block, 1, 100);
        tls_vault_free(block);
    }
    return NULL;
}

Test(tls_vault, belongs_to_the_thread_that_entered) {
    pthread_t thread;
    size_t used = tls_vault_used();
    void *theirs = NULL;

    tls_vault_enter();
    pthread_create(&thread, NULL, elsewhere, &theirs);
    for (int i = 0; i < 20000; i++)
        OPENSSL_free(OPENSSL_malloc(100));
    void *mine = OPENSSL_malloc(100);
    pthread_join(thread, NULL);
    tls_vault_leave();
    cr_assert(tls_vault_holds(mine) && !tls_vault_holds(theirs));
    OPENSSL_free(mine);
    OPENSSL_free(theirs);
    cr_assert_eq(tls_vault_used(), used);
}

/* All works, elsewhere, and the owner can tell. */
Test(tls_vault, is_full) {
    cr_assert(tls_private_keys_locked());
    while (tls_vault_alloc(VAULT_MAX / 64) != NULL)
        ;
    cr_assert_not(tls_private_keys_locked());
    tls_vault_enter();
    uint8_t *p = OPENSSL_malloc(VAULT_MAX / 64);
    tls_vault_leave();
    cr_assert(p && !tls_vault_holds(p));
    OPENSSL_free(p);
    cr_assert_null(tls_vault_alloc(SIZE_MAX / 2));
    cr_assert_null(tls_vault_alloc(SIZE_MAX));
}

Test(tls_vault, may_not_be_locked) {
    static const struct rlimit nothing;

    cr_assert_eq(setrlimit(RLIMIT_MEMLOCK, &nothing), 0);
    if (geteuid() == 0)
        cr_assert_eq(setresuid(65534, 65534, 65534), 0);
    void *p = tls_vault_alloc(VAULT_STEP);
    cr_assert_not_null(p);
    cr_assert_not(tls_private_keys_locked());
    tls_vault_free(p);
}
