/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

Test(tls_sink, plan_and_writing_agree) {
    struct tls_core core = {.pool = harness_pool(), .mbuf_room = 2048};
    uint64_t seed = 5;
    static uint8_t data[6000];

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)i;
    for (int round = 0; round < 200; round++) {
        struct tls_sink_plan plan = {.spare_room = core.mbuf_room};
        uint32_t n[5], total = 0, at = 0;
        struct tls_sink sink;
        for (int i = 0; i < 5; i++) {
            n[i] = harness_random(&seed, i % 2 ? 20 : 5000);
            tls_plan_bytes(&plan, n[i]);
            total += n[i];
        }
        cr_assert_eq(tls_sink_init(&sink, &core, plan.spares), 0);
        for (int i = 0; i < 5; i++)
            tls_sink_write(&sink, data, n[i]);
        cr_assert_null(sink.spare, "none left over");
        cr_assert_eq(sink.out.len_bytes, total);
        for (int i = 0; i < 5; i++, at += n[i - 1]) {
            static uint8_t got[6000];
            cr_assert_eq(rope_copy(&sink.out, at, got, n[i]), n[i]);
            cr_assert_eq(memcmp(got, data, n[i]), 0);
        }
        tls_sink_done(&sink);
        rope_clear(&sink.out);
    }
    cr_assert_eq(harness_mbufs_out(), 0);
}

Test(tls_sink, too_few_mbufs_take_none) {
    struct tls_core core = {.pool = harness_pool(), .mbuf_room = 2048};
    struct tls_sink sink;

    harness_starve(2);
    cr_assert_eq(tls_sink_init(&sink, &core, 3), WEIR_ENOMEM);
    cr_assert_eq(rte_mempool_avail_count(harness_pool()), 2);
    harness_unstarve();
}
