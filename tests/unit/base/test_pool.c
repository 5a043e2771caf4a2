/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/pool.h"

#include "base/poison.h"

#include <criterion/criterion.h>
#include <string.h>

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
