/* SPDX-License-Identifier: BSD-3-Clause */
/* Fixed-size objects in one mmap'ed region, named by a 4-byte index from 1; 0 is "none". Pages are touched on first use
 * only, so a large pool costs what is in use, unless its owner calls pool_populate. Freed objects are poisoned for ASan
 * and, with POOL_SECRET, zeroed at once; such pools are locked in memory and left out of core dumps (region_guard). One
 * thread owns a pool. */
#ifndef WEIR_POOL_H
#define WEIR_POOL_H

#include "base.h"

#define POOL_NONE     0u
#define POOL_SECRET   1u /* locked where RLIMIT_MEMLOCK allows it, MADV_DONTDUMP, zero on free */
#define POOL_UNLOCKED 2u /* set by pool_init: it did not */
#define POOL_BURST    4u /* most of it is used in bursts only: small pages, so that none is long in coming */

struct pool {
    uint8_t *base;           /* object i lies at base + (i - 1) * stride */
    uint64_t stride_inverse; /* of stride >> stride_shift, which is odd, modulo 2^64 */
    uint32_t stride_bytes;   /* object size rounded up to 8 */
    uint32_t stride_shift;
    uint32_t capacity;  /* objects */
    uint32_t used;      /* objects out */
    uint32_t peak;      /* most that were out at once */
    uint32_t fresh;     /* indices above this were never handed out */
    uint32_t free_head; /* most recently freed index */
    unsigned flags;
    uint64_t refused; /* times pool_alloc found it empty */
    const char *name; /* static storage */
};
static_assert(sizeof(struct pool) == WEIR_CACHE_LINE, "one line");

/* Reserve address space for `capacity` objects. Returns 0, WEIR_EINVAL (size 0, capacity 0) or WEIR_ENOMEM. */
int pool_init(struct pool *p, const char *name, uint32_t object_bytes, uint32_t capacity, unsigned flags);

/* Have memory under the first n objects (at most all) now, so that handing them out never waits for a page. */
void pool_populate(const struct pool *p, uint32_t n);

/* Unmap. All objects are gone. A zeroed pool is allowed. */
void pool_fini(struct pool *p);

/* Bytes of address space pool_init would map for these sizes; used by the memory plan. */
uint64_t pool_bytes(uint32_t object_bytes, uint32_t capacity);

/* A zeroed object's index, or POOL_NONE where none is left (counted in `refused`). */
uint32_t pool_alloc(struct pool *p);

/* The same, but the object is as it was left, or zero: for owners who fill all of it. */
uint32_t pool_alloc_dirty(struct pool *p);

/* Give an object back. */
void pool_free(struct pool *p, uint32_t index);

/* The object behind an index that pool_alloc returned. Hot paths name its size, a multiple of 8 known to the compiler,
 * which then needs no multiplication. */
static inline void *pool_get_sized(const struct pool *p, uint32_t index, uint32_t object_bytes) {
    WEIR_ASSERT_HOT(index != POOL_NONE && index <= p->fresh && object_bytes == p->stride_bytes);
    return p->base + (size_t)(index - 1) * object_bytes;
}
static inline void *pool_get(const struct pool *p, uint32_t index) {
    return pool_get_sized(p, index, p->stride_bytes);
}

/* Index of an object of this pool: its offset is a multiple of the stride, so multiplication with the inverse divides
 * it, in a tenth of the time. */
static inline uint32_t pool_index(const struct pool *p, const void *object) {
    uint64_t offset = (uint64_t)((const uint8_t *)object - p->base);
    uint32_t index = (uint32_t)((offset >> p->stride_shift) * p->stride_inverse) + 1;
    WEIR_ASSERT_HOT(pool_get(p, index) == object);
    return index;
}
static inline uint32_t pool_index_sized(const struct pool *p, const void *object, uint32_t object_bytes) {
    uint32_t index = (uint32_t)((uint64_t)((const uint8_t *)object - p->base) / object_bytes) + 1;
    WEIR_ASSERT_HOT(pool_get_sized(p, index, object_bytes) == object);
    return index;
}

#endif
