/* SPDX-License-Identifier: BSD-3-Clause */
/* Blocks are powers of two, each with a header; those that are free wait in a list of their size. The one piece of
 * state in this library that is the process's: libcrypto has one heap, and its hooks take no argument. */
#include "tls_vault.h"

#include "../base/poison.h"
#include "../base/region.h"
#include "tls.h"

#include <pthread.h>
#include <string.h>

#define SHIFT_MIN 6u  /* blocks of 64 bytes */
#define SHIFTS    20u /* up to 32 MiB */

struct block {
    uint32_t shift; /* 1 << shift bytes, with this header */
    struct block *next;
} __attribute__((aligned(16)));

static struct {
    pthread_mutex_t lock; /* of all but base, which is written once and before there are threads */
    uint8_t *base;
    size_t taken, locked; /* bytes from base on: made into blocks; locked, or at least tried to */
    size_t used;
    bool spilled; /* something is not locked, or found no room */
    struct block *free[SHIFTS];
} vault = {.lock = PTHREAD_MUTEX_INITIALIZER};

static _Thread_local bool entered;

int tls_vault_open(void) {
    if (vault.base)
        return 0;
    vault.base = region_map(VAULT_MAX);
    if (vault.base == NULL)
        return WEIR_ENOMEM;
    (void)madvise(vault.base, VAULT_MAX, MADV_NOHUGEPAGE); /* a key a page, not one a huge page */
    (void)madvise(vault.base, VAULT_MAX, MADV_DONTDUMP);
    return 0;
}

void tls_vault_enter(void) {
    entered = vault.base != NULL;
}

void tls_vault_leave(void) {
    entered = false;
}

bool tls_vault_entered(void) {
    return entered;
}

/* A new block from the end of what is taken, or NULL. */
static struct block *carve(uint32_t shift) {
    size_t bytes = (size_t)1 << shift;

    if (bytes > VAULT_MAX - vault.taken)
        return NULL;
    struct block *b = (struct block *)(vault.base + vault.taken);
    vault.taken += bytes;
    while (vault.locked < vault.taken) {
        vault.spilled |= !region_guard(vault.base + vault.locked, VAULT_STEP);
        owner_region(vault.base + vault.locked, VAULT_STEP);
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

void tls_vault_free(void *p) {
    struct block *b = block_of(p);

    explicit_bzero(p, tls_vault_room(p));
    pthread_mutex_lock(&vault.lock);
    b->next = vault.free[b->shift - SHIFT_MIN];
    vault.free[b->shift - SHIFT_MIN] = b;
    vault.used -= (size_t)1 << b->shift;
    pthread_mutex_unlock(&vault.lock);
}

bool tls_vault_holds(const void *p) {
    return (uintptr_t)p - (uintptr_t)vault.base < VAULT_MAX && vault.base != NULL;
}

size_t tls_vault_used(void) {
    pthread_mutex_lock(&vault.lock);
    size_t used = vault.used;
    pthread_mutex_unlock(&vault.lock);
    return used;
}

bool tls_private_keys_locked(void) {
    pthread_mutex_lock(&vault.lock);
    bool locked = vault.base != NULL && !vault.spilled;
    pthread_mutex_unlock(&vault.lock);
    return locked;
}
