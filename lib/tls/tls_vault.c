/* SPDX-License-Identifier: BSD-3-Clause */
/* The vault, and libcrypto's way into it. Blocks are powers of two, each with a header; those that are free wait in a
 * list of their size. The one piece of state in this library that is the process's: libcrypto has one heap, and its
 * hooks take no argument.
 *
 * SSL objects lie on the heap, which core dumps hold, for as long as a handshake lasts; so that it is no longer than
 * that, they are zeroed as they go. libcrypto and libssl 3.0 do so by themselves for whatever else holds keys, but not
 * for the traffic secrets inside an SSL object. */
#include "tls_vault.h"

#include "../base/poison.h"
#include "../base/region.h"
#include "tls.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SHIFT_MIN 6u  /* blocks of 64 bytes */
#define SHIFTS    20u /* up to 32 MiB */

#define NOWHERE (UINTPTR_MAX - VAULT_MAX)

struct block {
    uint32_t shift; /* 1 << shift bytes, with this header */
    struct block *next;
} __attribute__((aligned(16)));

static struct {
    pthread_mutex_t lock; /* of all but base, which is written once and before there are threads */
    uintptr_t base;       /* as long as there is none: where no memory of a process lies */
    size_t taken, locked; /* bytes from base on: made into blocks; locked, or at least tried to */
    size_t used;
    bool spilled; /* something is not locked, or found no room */
    struct block *free[SHIFTS];
} vault = {.lock = PTHREAD_MUTEX_INITIALIZER, .base = NOWHERE};

static _Thread_local bool entered __attribute__((tls_model("initial-exec"))); /* one load, no call */

static bool vault_open(void) {
    void *base = vault.base == NOWHERE ? region_map(VAULT_MAX) : NULL;

    if (base == NULL)
        return vault.base != NOWHERE;
    (void)madvise(base, VAULT_MAX, MADV_NOHUGEPAGE); /* a key a page, not one a huge page */
    (void)madvise(base, VAULT_MAX, MADV_DONTDUMP);
    vault.base = (uintptr_t)base;
    return true;
}

void tls_vault_enter(void) {
    entered = vault.base != NOWHERE;
}

void tls_vault_leave(void) {
    entered = false;
}

/* A new block from the end of what is taken, or NULL. */
static struct block *carve(uint32_t shift) {
    size_t bytes = (size_t)1 << shift;

    if (bytes > VAULT_MAX - vault.taken)
        return NULL;
    struct block *b = (struct block *)(vault.base + vault.taken);
    vault.taken += bytes;
    while (vault.locked < vault.taken) {
        void *step = (void *)(vault.base + vault.locked);
        vault.spilled |= !region_guard(step, VAULT_STEP);
        owner_region(step, VAULT_STEP);
        vault.locked += VAULT_STEP;
    }
    b->shift = shift;
    return b;
}

void *tls_vault_alloc(size_t bytes) {
    uint32_t shift = SHIFT_MIN;
    struct block *b = NULL;

    while (shift < SHIFT_MIN + SHIFTS && ((size_t)1 << shift) - sizeof(*b) < bytes)
        shift++;
    pthread_mutex_lock(&vault.lock);
    if (shift < SHIFT_MIN + SHIFTS) {
        struct block **list = &vault.free[shift - SHIFT_MIN];
        b = *list;
        if (b)
            *list = b->next;
        else
            b = carve(shift);
    }
    if (b)
        vault.used += (size_t)1 << shift;
    else
        vault.spilled = true;
    pthread_mutex_unlock(&vault.lock);
    return b ? b + 1 : NULL;
}

static struct block *block_of(const void *p) {
    return (struct block *)(uintptr_t)p - 1;
}

size_t tls_vault_room(const void *p) {
    return ((size_t)1 << block_of(p)->shift) - sizeof(struct block);
}

__attribute__((noinline)) void tls_vault_free(void *p) {
    struct block *b = block_of(p);

    explicit_bzero(p, tls_vault_room(p));
    pthread_mutex_lock(&vault.lock);
    b->next = vault.free[b->shift - SHIFT_MIN];
    vault.free[b->shift - SHIFT_MIN] = b;
    vault.used -= (size_t)1 << b->shift;
    pthread_mutex_unlock(&vault.lock);
}

static inline bool holds(const void *p) {
    return (uintptr_t)p - vault.base < VAULT_MAX;
}

bool tls_vault_holds(const void *p) {
    return holds(p);
}

size_t tls_vault_used(void) {
    pthread_mutex_lock(&vault.lock);
    size_t used = vault.used;
    pthread_mutex_unlock(&vault.lock);
    return used;
}

bool tls_private_keys_locked(void) {
    pthread_mutex_lock(&vault.lock);
    bool locked = vault.base != NOWHERE && !vault.spilled;
    pthread_mutex_unlock(&vault.lock);
    return locked;
}

/* --- libcrypto's hooks: a full handshake calls them a few thousand times --- */

/* Between these is an SSL object's size (7.6 KB), and hardly anything else of a handshake's 750 blocks: below is what
 * is small and zeroed where it holds keys, above are the buffers of records, which hold none. Zeroing them all took 11
 * us of a handshake's 300. That it is enough is what a search of the whole memory shows
 * (tests/unit/tls/test_tls_secret.c). */
#define WIPED_MIN 4096u
#define WIPED_MAX 16384u

static void guarded_free(void *p, const char *file, int line) {
    (void)file, (void)line;
    if (p == NULL)
        return;
    if (WEIR_UNLIKELY(holds(p))) {
        tls_vault_free(p);
        return;
    }
    size_t had = malloc_usable_size(p);
    if (had >= WIPED_MIN && had <= WIPED_MAX)
        explicit_bzero(p, had);
    free(p);
}

__attribute__((noinline)) static void *vault_or_heap(size_t n) {
    void *p = tls_vault_alloc(n);
    return p ? p : malloc(n);
}

static void *guarded_malloc(size_t n, const char *file, int line) {
    (void)file, (void)line;
    return WEIR_UNLIKELY(entered) ? vault_or_heap(n) : malloc(n);
}

/* What lies in the vault stays there. */
static void *guarded_realloc(void *p, size_t n, const char *file, int line) {
    if (p == NULL)
        return guarded_malloc(n, file, line);
    if (!holds(p))
        return realloc(p, n);
    size_t had = tls_vault_room(p);
    if (n <= had && n > had / 2)
        return p;
    void *moved = n > 0 ? vault_or_heap(n) : NULL;
    if (moved)
        memcpy(moved, p, had < n ? had : n);
    if (moved || n == 0)
        tls_vault_free(p);
    return moved;
}

bool tls_libssl_guard(void) {
    return CRYPTO_set_mem_functions(guarded_malloc, guarded_realloc, guarded_free) == 1 && vault_open();
}
