/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory for keys outside the pools: pages of their own, locked and left out of core dumps, zeroed before they are
 * given back. And libcrypto's: what it makes of certificates' private keys lies in the vault (tls_vault.h). SSL objects
 * lie on the heap, which core dumps hold, for as long as a handshake lasts; so that it is no longer than that, they are
 * zeroed as they go. libcrypto and libssl 3.0 do so by themselves for whatever else holds keys, but not for the traffic
 * secrets inside an SSL object. */
#include "tls_msg.h"
#include "tls_vault.h"

#include "../base/poison.h"
#include "../base/region.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <stdlib.h>

void *tls_secret_alloc(size_t bytes, bool *locked) {
    void *p = region_map(bytes);

    if (p && !region_guard(p, bytes))
        *locked = false;
    if (p)
        owner_region(p, bytes);
    return p;
}

void tls_secret_free(void *p, size_t bytes) {
    if (p == NULL)
        return;
    explicit_bzero(p, bytes);
    owner_region_end(p, bytes);
    region_unmap(p, bytes);
}

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
    if (tls_vault_holds(p)) {
        tls_vault_free(p);
        return;
    }
    size_t had = malloc_usable_size(p);
    if (had >= WIPED_MIN && had <= WIPED_MAX)
        explicit_bzero(p, had);
    free(p);
}

static void *vault_or_heap(size_t n) {
    void *p = tls_vault_alloc(n);
    return p ? p : malloc(n);
}

static void *guarded_malloc(size_t n, const char *file, int line) {
    (void)file, (void)line;
    return tls_vault_entered() ? vault_or_heap(n) : malloc(n);
}

/* What lies in the vault stays there. */
static void *guarded_realloc(void *p, size_t n, const char *file, int line) {
    if (p == NULL)
        return guarded_malloc(n, file, line);
    if (!tls_vault_holds(p))
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
    return CRYPTO_set_mem_functions(guarded_malloc, guarded_realloc, guarded_free) == 1 && tls_vault_open() == 0;
}
