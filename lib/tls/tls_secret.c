/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory for keys outside the pools: pages of their own, locked and left out of core dumps, zeroed before they are
 * given back. And libssl's: it lies on the heap, which core dumps hold, for as long as a handshake lasts; so that it is
 * no longer than that, what libcrypto frees is zeroed as it goes. libssl 3.0 does so for keys that it knows to be
 * secret, but not for the traffic secrets inside an SSL object. */
#include "tls_msg.h"

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

static void *wiping_malloc(size_t n, const char *file, int line) {
    (void)file, (void)line;
    return malloc(n);
}

static void wiping_free(void *p, const char *file, int line) {
    (void)file, (void)line;
    if (p)
        explicit_bzero(p, malloc_usable_size(p));
    free(p);
}

/* realloc itself could leave a copy behind. */
static void *wiping_realloc(void *p, size_t n, const char *file, int line) {
    size_t had = p ? malloc_usable_size(p) : 0;

    if (n == 0) {
        wiping_free(p, file, line);
        return NULL;
    }
    if (p && n <= had && n > had / 2)
        return p;
    void *moved = malloc(n);
    if (moved && p) {
        memcpy(moved, p, had < n ? had : n);
        wiping_free(p, file, line);
    }
    return moved;
}

bool tls_libssl_wipes(void) {
    return CRYPTO_set_mem_functions(wiping_malloc, wiping_realloc, wiping_free) == 1;
}
