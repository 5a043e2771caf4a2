/* SPDX-License-Identifier: BSD-3-Clause */
/* Address space for many objects of a kind: zeroed pages that exist once they are touched, or are made to exist ahead
 * of that by a thread that has time: a poll loop that touches a fresh huge page stands still while the kernel zeroes 2
 * MiB, and in a virtual machine while the host finds them, for milliseconds. */
#ifndef WEIR_REGION_H
#define WEIR_REGION_H

#include "base.h"

#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* of Linux 5.14, which not each C library names */
#endif

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

/* Make pages [at, at + bytes) exist now, on the NUMA node of who calls. What lies there stays as it is. */
static inline void region_populate(void *at, size_t bytes) {
    if (bytes == 0 || madvise(at, bytes, MADV_POPULATE_WRITE) == 0)
        return;
    for (size_t i = 0; i < bytes; i += 4096) /* Linux before 5.14 */
        __atomic_fetch_or((uint8_t *)at + i, 0, __ATOMIC_RELAXED);
}

/* For what only a burst fills: small pages, each of which costs about a microsecond when it is touched first. */
static inline void region_small_pages(void *at, size_t bytes) {
    (void)madvise(at, bytes, MADV_NOHUGEPAGE);
}

/* As many bytes as were mapped; NULL is allowed. */
static inline void region_unmap(void *at, size_t bytes) {
    if (at)
        munmap(at, bytes);
}

#endif
