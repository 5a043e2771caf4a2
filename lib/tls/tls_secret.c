/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory for keys outside the pools: pages of their own, locked and left out of core dumps, zeroed before they are
 * given back. And SSL objects: they lie on the heap, which core dumps hold, for as long as a handshake lasts; so that
 * it is no longer than that, they are zeroed as they go. libcrypto and libssl 3.0 do so by themselves for whatever else
 * holds keys, but not for the traffic secrets inside an SSL object. */
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

/* Between these is an SSL object's size (7.6 KB), and hardly anything else of a handshake's 750 blocks: below is what
 * is small and zeroed where it holds keys, above are the buffers of records, which hold none. Zeroing them all took 11
 * us of a handshake's 300. That it is enough is what a search of the whole memory shows
 * (tests/unit/tls/test_tls_secret.c). */
#define WIPED_MIN 4096u
#define WIPED_MAX 16384u

static void wiping_free(void *p, const char *file, int line) {
    (void)file, (void)line;
    if (p == NULL)
        return;
    size_t had = malloc_usable_size(p);
    if (had >= WIPED_MIN && had <= WIPED_MAX)
        explicit_bzero(p, had);
    free(p);
}

bool tls_libssl_wipes(void) {
    return CRYPTO_set_mem_functions(NULL, NULL, wiping_free) == 1;
}
