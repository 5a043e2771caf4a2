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
    core->isn.until_us = 0;
    cr_assert_neq(tcp_isn(core, &a) - first, 1000, "and under another secret another one");
    harness_core_free(core);
}

#define ISN_PERIOD_US (4 * 3600000000ull)

/* The key changes: numbers of every 4-tuple go on rising, by less than a quarter of the space, and nobody can tell by
 * how much. */
Test(tcp_isn, rises_over_a_change_of_the_key) {
    struct tcp_core *core = harness_core(NULL);
    struct flow_key k = {REMOTE_ADDR, LOCAL_ADDR, 0, LOCAL_PORT, FLOW_FAMILY_IP4, IPPROTO_TCP, 0};
    uint32_t last_step = 0, same = 0;
    for (uint64_t period = 1; period <= 20; period++)
        for (uint16_t port = 1; port <= 500; port++) {
            k.remote_port_be = rte_cpu_to_be_16(port);
            core->isn.until_us = 0;
            core->now_us = period * ISN_PERIOD_US - 1000;
            uint32_t before = tcp_isn(core, &k), offset = tcp_ts_offset(core, &k);
            core->now_us += 1000;
            uint32_t step = tcp_isn(core, &k) - before;
            cr_assert(step > 250 && step <= (1u << 30) + 250, "period %lu port %u: %u", period, port, step);
            cr_assert_eq(tcp_ts_offset(core, &k), offset, "timestamps do not know of it");
            same += step == last_step;
            last_step = step;
        }
    cr_assert_leq(same, 1);
    harness_core_free(core);
}

Test(tcp_isn, derived_keys_differ) {
    struct tcp_core *core = harness_core(NULL);
    uint64_t a[2], b[2], c[2];
    tcp_key_derive(core, 1, 1, a);
    tcp_key_derive(core, 1, 2, b);
    tcp_key_derive(core, 2, 1, c);
    cr_assert(a[0] != b[0] && a[1] != b[1] && a[0] != c[0] && a[0] != a[1]);
    harness_core_free(core);
}
