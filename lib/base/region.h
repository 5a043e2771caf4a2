/* SPDX-License-Identifier: BSD-3-Clause */
/* Address space for many objects of a kind: zeroed pages that exist once they are touched. */
#ifndef WEIR_REGION_H
#define WEIR_REGION_H

#include "base.h"

#include <sys/mman.h>

#define REGION_HUGE_BYTES (8u << 20) /* from here on the TLB would miss for nearly every access */

/* NULL: none left. */
static inline void *region_map(size_t bytes) {
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (at == MAP_FAILED)
        return NULL;
    if (bytes >= REGION_HUGE_BYTES)
        (void)madvise(at, bytes, MADV_HUGEPAGE); /* a hint */
    return at;
}

/* Keep what lies there out of swap, each page from its first use on, and out of core dumps. Returns false where it is
 * not locked: RLIMIT_MEMLOCK allows less. */
static inline bool region_guard(void *at, size_t bytes) {
    (void)madvise(at, bytes, MADV_DONTDUMP);
    return mlock2(at, bytes, MLOCK_ONFAULT) == 0; /* locking at once would touch every page */
}

/* As many bytes as were mapped; NULL is allowed. */
static inline void region_unmap(void *at, size_t bytes) {
    if (at)
        munmap(at, bytes);
}

#endif
