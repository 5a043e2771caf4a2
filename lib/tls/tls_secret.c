/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory for keys outside the pools: pages of their own, locked and left out of core dumps, zeroed before they are
 * given back. What libcrypto allocates is in tls_vault.c. */
#include "tls_msg.h"

#include "../base/poison.h"
#include "../base/region.h"

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
