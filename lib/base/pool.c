/* SPDX-License-Identifier: BSD-3-Clause */
#include "pool.h"

#include "poison.h"
#include "region.h"

#include <string.h>

/* An object whose size is a multiple of a cache line begins on one, since the region does. */
static uint32_t stride_of(uint32_t object_bytes) {
    return (object_bytes + 7) & ~7u;
}

/* Newton's iteration doubles the number of right bits; an odd number is its own inverse modulo 8. */
static uint64_t inverse_of(uint64_t odd) {
    uint64_t inverse = odd;
    for (unsigned right_bits = 3; right_bits < 64; right_bits *= 2)
        inverse *= 2 - odd * inverse;
    return inverse;
}

uint64_t pool_bytes(uint32_t object_bytes, uint32_t capacity) {
    uint64_t bytes = (uint64_t)stride_of(object_bytes) * capacity;

    return (bytes + 4095) & ~4095ull;
}

int pool_init(struct pool *p, const char *name, uint32_t object_bytes, uint32_t capacity, unsigned flags) {
    if (object_bytes == 0 || object_bytes > UINT32_MAX - WEIR_CACHE_LINE || capacity == 0)
        return WEIR_EINVAL;
    uint64_t bytes = pool_bytes(object_bytes, capacity);
    void *base = region_map(bytes); /* objects are touched in order, so little of a huge page is wasted */
    if (base == NULL)
        return WEIR_ENOMEM;
    if (flags & POOL_BURST)
        region_small_pages(base, bytes);
    if (flags & POOL_SECRET && !region_guard(base, bytes))
        flags |= POOL_UNLOCKED;
    uint32_t stride = stride_of(object_bytes), shift = (uint32_t)__builtin_ctz(stride);
    *p = (struct pool){.base = base,
                       .stride_inverse = inverse_of(stride >> shift),
                       .stride_bytes = stride,
                       .stride_shift = shift,
                       .capacity = capacity,
                       .flags = flags,
                       .name = name};
    return 0;
}

void pool_populate(const struct pool *p, uint32_t n) {
    region_populate(p->base, pool_bytes(p->stride_bytes, weir_min_u32(n, p->capacity)));
}

void pool_fini(struct pool *p) {
    if (p->base == NULL)
        return;
    size_t touched = (size_t)p->fresh * p->stride_bytes;
    unpoison_region(p->base, touched);
    if (p->flags & POOL_SECRET)
        explicit_bzero(p->base, touched);
    region_unmap(p->base, pool_bytes(p->stride_bytes, p->capacity));
    *p = (struct pool){0};
}

/* A free object's first 4 bytes link to the next free one. */
static uint32_t reuse(struct pool *p) {
    uint32_t index = p->free_head;
    void *object = pool_get(p, index);

    unpoison_region(object, p->stride_bytes);
    memcpy(&p->free_head, object, sizeof(p->free_head));
    return index;
}

uint32_t pool_alloc_dirty(struct pool *p) {
    uint32_t index;

    if (p->free_head != POOL_NONE) {
        index = reuse(p);
    } else if (p->fresh < p->capacity) {
        index = ++p->fresh; /* zero from mmap */
    } else {
        p->refused++;
        return POOL_NONE;
    }
    if (++p->used > p->peak)
        p->peak = p->used;
    return index;
}

uint32_t pool_alloc(struct pool *p) {
    bool was_used = p->free_head != POOL_NONE;
    uint32_t index = pool_alloc_dirty(p);

    /* A secret object was zeroed when it was freed: only the link is left to clear. */
    if (was_used)
        memset(pool_get(p, index), 0, p->flags & POOL_SECRET ? sizeof(p->free_head) : p->stride_bytes);
    return index;
}

void pool_free(struct pool *p, uint32_t index) {
    uint8_t *object = pool_get(p, index);

    assert(p->used > 0);
    if (p->flags & POOL_SECRET)
        explicit_bzero(object, p->stride_bytes);
    memcpy(object, &p->free_head, sizeof(p->free_head)); /* ASan sees a double free here: the object is poisoned */
    p->free_head = index;
    p->used--;
    poison_region(object, p->stride_bytes);
}
