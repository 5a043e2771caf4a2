/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <criterion/criterion.h>

Test(tcp_isn, siphash_reference_vectors) {
    /* The authors' vectors: key 00..0f, message 00, 01, ... */
    uint64_t key[2] = {0x0706050403020100ull, 0x0f0e0d0c0b0a0908ull};
    uint8_t message[64];
    for (unsigned i = 0; i < sizeof message; i++)
        message[i] = (uint8_t)i;
    cr_assert_eq(tcp_siphash(key, message, 0), 0x726fdb47dd0e0e31ull);
    cr_assert_eq(tcp_siphash(key, message, 8), 0x93f5f5799a932462ull);
    cr_assert_eq(tcp_siphash(key, message, 15), 0xa129ca6149be45e5ull);
}

Test(tcp_isn, rises_with_time_and_differs_by_tuple) {
    struct tcp_core *core = harness_core(NULL);
    struct flow_key a = {REMOTE_ADDR, LOCAL_ADDR, REMOTE_PORT, LOCAL_PORT, FLOW_FAMILY_IP4, IPPROTO_TCP, 0}, b = a;
    b.remote_port_be++;
    uint32_t first = tcp_isn(core, &a), offset = tcp_ts_offset(core, &a);
    cr_assert_neq(first, tcp_isn(core, &b));
    core->now_us += 4000;
    cr_assert_eq(tcp_isn(core, &a) - first, 1000, "a step each 4 us");
    cr_assert_eq(tcp_ts_offset(core, &a), offset, "the same for every incarnation");
    core->cfg.secret[0] ^= 1;
    cr_assert_neq(tcp_ts_offset(core, &a), offset);
    harness_core_free(core);
}

Test(tcp_isn, limit) {
    struct tcp_core *core = harness_core(NULL);
    struct tcp_limit l = {0};
    for (int i = 0; i < 10; i++)
        cr_assert(tcp_limit_take(core, &l, 10, 0));
    cr_assert_not(tcp_limit_take(core, &l, 10, 0));
    core->now_us += 1000000;
    cr_assert(tcp_limit_take(core, &l, 10, 0));
    /* With jitter the total of a second is not to be known. */
    unsigned totals[8], different = 0;
    for (unsigned w = 0; w < WEIR_ARRAY_LEN(totals); w++) {
        core->now_us += 1000000;
        for (totals[w] = 0; tcp_limit_take(core, &l, 100, 100);)
            totals[w]++;
        cr_assert(totals[w] >= 100 && totals[w] < 200);
        different += totals[w] != totals[0];
    }
    cr_assert(different);
    harness_core_free(core);
}
