/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/pool.h"

#include "base/poison.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

Test(pool, refuses_nothing_sizes) {
    struct pool p;

    cr_expect_eq(pool_init(&p, "t", 0, 1, 0), WEIR_EINVAL);
    cr_expect_eq(pool_init(&p, "t", 8, 0, 0), WEIR_EINVAL);
}

Test(pool, strides_waste_at_most_seven_bytes) {
    struct {
        uint32_t object_bytes, stride_bytes;
    } rows[] = {{1, 8}, {4, 8}, {9, 16}, {56, 56}, {63, 64}, {64, 64}, {65, 72}, {160, 160}, {256, 256}};

    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct pool p;
        cr_assert_eq(pool_init(&p, "t", rows[i].object_bytes, 3, 0), 0);
        cr_expect_eq(p.stride_bytes, rows[i].stride_bytes, "%u", rows[i].object_bytes);
        cr_expect_eq((uintptr_t)p.base % WEIR_CACHE_LINE, 0);
        pool_fini(&p);
    }
    cr_expect_eq(pool_bytes(64, 64), 4096);
    cr_expect_eq(pool_bytes(64, 65), 8192);
}

Test(pool, hands_out_zeroed_objects_up_to_its_capacity) {
    struct pool p;

    cr_assert_eq(pool_init(&p, "t", 100, 3, 0), 0);
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 1; i <= 3; i++) {
            uint32_t index = pool_alloc(&p);
            uint8_t *o = pool_get(&p, index), zero[100] = {0};
            cr_expect_neq(index, POOL_NONE);
            cr_expect_eq(pool_index(&p, o), index);
            cr_expect_arr_eq(o, zero, 100, "index %u round %u", index, round);
            memset(o, 0xff, 100);
        }
        cr_expect_eq(pool_alloc(&p), POOL_NONE);
        cr_expect_eq(p.refused, round + 1);
        cr_expect_eq(p.used, 3);
        for (uint32_t i = 1; i <= 3; i++)
            pool_free(&p, i);
        cr_expect_eq(p.used, 0);
        cr_expect_eq(p.peak, 3);
    }
    pool_fini(&p);
    pool_fini(&p);
}

/* The inverse of the stride divides exactly, whatever the stride is: odd ones times any power of two, at both ends of
 * the address space that 32-bit indices reach and in between. No object is touched. */
Test(pool, index_of_an_object_at_any_stride) {
    const uint32_t capacity = 3000000;
    uint64_t seed = 1;

    for (uint32_t stride = 8; stride <= 4096; stride += 8) {
        struct pool p;
        cr_assert_eq(pool_init(&p, "t", stride, capacity, 0), 0, "%u", stride);
        p.fresh = capacity; /* as if all had been handed out */
        for (uint32_t i = 0; i < 1000; i++) {
            uint32_t edge = i < 200 ? i / 2 : 0;
            seed = seed * 6364136223846793005ull + 1442695040888963407ull; /* Knuth's MMIX */
            uint32_t index = i >= 200 ? 1 + (uint32_t)(seed >> 33) % capacity : i & 1 ? capacity - edge : 1 + edge;
            const uint8_t *object = p.base + (size_t)(index - 1) * stride;
            cr_assert_eq(pool_get(&p, index), object);
            cr_assert_eq(pool_get_sized(&p, index, stride), object);
            cr_assert_eq(pool_index(&p, object), index, "stride %u: %u for %u", stride, pool_index(&p, object), index);
            cr_assert_eq(pool_index_sized(&p, object, stride), index, "stride %u, index %u", stride, index);
        }
        p.fresh = 0;
        pool_fini(&p);
    }
}

Test(pool, dirty_objects_are_as_they_were_left_but_for_the_link) {
    struct pool p;
    uint8_t zero[64] = {0}, left[64];

    cr_assert_eq(pool_init(&p, "t", 64, 2, 0), 0);
    memset(left, 0x5a, sizeof(left));
    uint32_t index = pool_alloc_dirty(&p);
    uint8_t *o = pool_get(&p, index);
    cr_expect_arr_eq(o, zero, 64, "never used");
    memcpy(o, left, 64);
    pool_free(&p, index);
    cr_expect_eq(pool_alloc_dirty(&p), index);
    cr_expect_arr_eq(o + 4, left + 4, 60, "all but the link");
    pool_free(&p, index);
    cr_expect_eq(pool_alloc(&p), index);
    cr_expect_arr_eq(o, zero, 64, "pool_alloc clears what pool_alloc_dirty does not");
    pool_fini(&p);
}

Test(pool, dirty_objects_count_like_others) {
    struct pool p;

    cr_assert_eq(pool_init(&p, "t", 64, 3, 0), 0);
    uint32_t first = pool_alloc_dirty(&p), second = pool_alloc(&p);
    cr_expect(first == 1 && second == 2 && p.used == 2 && p.peak == 2);
    pool_free(&p, first);
    cr_expect(p.used == 1 && p.peak == 2);
    cr_expect(pool_alloc_dirty(&p) == first && p.used == 2 && p.peak == 2);
    cr_expect(pool_alloc_dirty(&p) == 3 && p.used == 3 && p.peak == 3);
    cr_expect_eq(p.refused, 0);
    cr_expect_eq(pool_alloc_dirty(&p), POOL_NONE);
    cr_expect_eq(pool_alloc(&p), POOL_NONE);
    cr_expect(p.refused == 2 && p.used == 3 && p.peak == 3);
    pool_fini(&p);
}

Test(pool, most_recently_freed_comes_first) {
    struct pool p;

    cr_assert_eq(pool_init(&p, "t", 8, 10, 0), 0);
    for (int i = 0; i < 5; i++)
        pool_alloc(&p);
    pool_free(&p, 2);
    pool_free(&p, 4);
    cr_expect_eq(pool_alloc(&p), 4, "its lines are warm");
    cr_expect_eq(pool_alloc(&p), 2);
    cr_expect_eq(pool_alloc(&p), 6);
    pool_fini(&p);
}

Test(pool, secrets_are_gone_when_freed) {
    struct pool p;
    uint8_t zero[60] = {0};

    cr_assert_eq(pool_init(&p, "t", 64, 4, POOL_SECRET), 0);
    uint32_t index = pool_alloc(&p);
    uint8_t *o = pool_get(&p, index);
    memset(o, 0x5a, 64);
    pool_free(&p, index);
    unpoison_region(o, 64);
    cr_expect_arr_eq(o + 4, zero, 60, "all but the link");
    cr_expect_eq(pool_alloc(&p), index);
    cr_expect_arr_eq(o, zero, 4);
    pool_fini(&p);
}

Test(pool, a_large_one_costs_what_is_touched) {
    struct pool p;

    cr_assert_eq(pool_init(&p, "t", 256, 100000000, 0), 0, "25 GB of address space");
    memset(pool_get(&p, pool_alloc(&p)), 1, 256);
    pool_fini(&p);
}

static uint32_t pages_there(const struct pool *p) {
    unsigned char there[1024];
    size_t bytes = pool_bytes(p->stride_bytes, p->capacity);
    uint32_t n = 0;

    cr_assert_leq(bytes / 4096, sizeof(there));
    cr_assert_eq(mincore(p->base, bytes, there), 0);
    for (size_t i = 0; i < bytes / 4096; i++)
        n += there[i] & 1;
    return n;
}

static long faults(void) {
    struct rusage used;

    cr_assert_eq(getrusage(RUSAGE_THREAD, &used), 0);
    return used.ru_minflt;
}

/* Objects of a page each; small pages, so that none comes with its neighbours. */
Test(pool, a_populated_one_takes_no_page_later) {
    struct pool p;

    for (unsigned flags = POOL_BURST; flags <= (POOL_BURST | POOL_SECRET); flags++) {
        cr_assert_eq(pool_init(&p, "t", 4096, 64, flags), 0);
        cr_expect_eq(pages_there(&p), 0);
        pool_populate(&p, 48);
        cr_expect_eq(pages_there(&p), 48);
        long before = faults();
        for (uint32_t i = 0; i < 48; i++)
            memset(pool_get(&p, pool_alloc(&p)), 1, 8);
        cr_expect_lt(faults() - before, 16, "a page each would be 48; ASan has some of its own");
        pool_populate(&p, 48);
        cr_expect_eq(*(uint8_t *)pool_get(&p, 48), 1, "what lies there stays");
        pool_populate(&p, 1000);
        cr_expect_eq(pages_there(&p), 64, "at most all");
        pool_fini(&p);
    }
}

#ifdef WEIR_ASAN
Test(pool, freed_objects_are_poisoned) {
    struct pool p;

    cr_assert_eq(pool_init(&p, "t", 64, 4, 0), 0);
    uint32_t index = pool_alloc(&p);
    uint8_t *o = pool_get(&p, index);
    cr_expect_not(__asan_address_is_poisoned(o));
    pool_free(&p, index);
    cr_expect(__asan_address_is_poisoned(o));
    cr_expect(__asan_address_is_poisoned(o + 63));
    pool_alloc(&p);
    cr_expect_not(__asan_address_is_poisoned(o));
    pool_fini(&p);
}
#endif
