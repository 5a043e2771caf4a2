/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <criterion/criterion.h>

/* With jitter the total of a second is not to be known (CVE-2016-5696). */
Test(tcp_limit, drawn_anew_each_second) {
    struct tcp_core *core = harness_core(NULL);
    struct tcp_limit l = {0};
    for (int i = 0; i < 10; i++)
        cr_assert(tcp_limit_take(core, &l, 10, 0));
    cr_assert_not(tcp_limit_take(core, &l, 10, 0));
    core->now_us += 999999;
    cr_assert_not(tcp_limit_take(core, &l, 10, 0));
    core->now_us += 1;
    cr_assert(tcp_limit_take(core, &l, 10, 0));
    unsigned totals[8], different = 0;
    for (unsigned w = 0; w < WEIR_ARRAY_LEN(totals); w++) {
        core->now_us += 1000000;
        for (totals[w] = 0; tcp_limit_take(core, &l, 100, 100);)
            totals[w]++;
        cr_assert(totals[w] >= 100 && totals[w] < 200);
        different += totals[w] != totals[0];
    }
    cr_assert(different >= 4);
    harness_core_free(core);
}

/* A SYN in the window of an established flow, whatever its number (RFC 5961 4.2). */
static uint64_t provoke(struct tcp_core *core, uint16_t remote_port) {
    struct decoded d[8];
    struct craft f = {.seq = 1001, .flags = WIRE_TCP_SYN, .remote_port = remote_port};
    uint64_t before = core->stats.challenge_acks;
    cr_assert_eq(feed(core, &f), -TCP_DROP_SYN_IN_FLOW);
    drain(core, d, 8);
    return core->stats.challenge_acks - before;
}

/* One flow has no more than its own share, and takes no more than that from the others. */
Test(tcp_limit, challenges_of_one_flow) {
    struct tcp_core *core = harness_core(NULL);
    struct craft mine = {.mss = 1460, .remote_port = 1}, other = {.mss = 1460, .remote_port = 2};
    establish(core, &mine);
    establish(core, &other);
    unsigned got = 0;
    for (unsigned i = 0; i < 1000; i++, core->now_us += 1000)
        got += (unsigned)provoke(core, 1);
    cr_assert_eq(got, 2, "one in 500 ms");
    cr_assert_eq(provoke(core, 2), 1, "the other is not touched by it");
    cr_assert_geq(core->challenge_limit.left, TCP_CHALLENGES_PER_S - 2);
    harness_core_free(core);
}

/* Many flows together are bounded; the next second has a budget of its own. */
Test(tcp_limit, challenges_of_all_flows) {
    struct tcp_core *core = harness_core(NULL);
    struct craft options = {.mss = 1460, .remote_port = 1};
    establish(core, &options);
    cr_assert_eq(provoke(core, 1), 1);
    core->challenge_limit.left = 0; /* others used it up */
    core->now_us += 600000;
    cr_assert_eq(provoke(core, 1), 0);
    core->now_us += 400000;
    cr_assert_eq(provoke(core, 1), 1);
    harness_core_free(core);
}

/* RFC 5961 3.2: a flood of resets within the window of an established flow, none of them exact. */
Test(tcp_limit, rst_flood_at_a_flow) {
    struct tcp_core *core = harness_core(NULL);
    struct decoded d[8];
    tcp_id id = establish(core, NULL);
    unsigned answers = 0;
    for (uint32_t i = 1; i <= 5000; i++, core->now_us += 100) {
        struct craft f = {.seq = 1001 + i, .flags = WIRE_TCP_RST};
        cr_assert_eq(feed(core, &f), -TCP_DROP_RST_INEXACT);
        answers += drain(core, d, 8);
    }
    cr_assert(answers == 1 && core->stats.challenge_acks == 1, "%u", answers);
    cr_assert_eq(tcp_conn_state(core, id), TCP_ESTABLISHED);
    struct craft far = {.seq = 1001 + 70000, .flags = WIRE_TCP_RST};
    cr_assert_eq(feed(core, &far), -TCP_DROP_RST_OUT);
    cr_assert_eq(drain(core, d, 8), 0);
    struct craft exact = {.seq = 1001, .flags = WIRE_TCP_RST};
    feed(core, &exact);
    cr_assert_eq(tcp_conn_end(core, id), TCP_END_PEER_RESET);
    harness_core_free(core);
}

static unsigned allowed(struct tcp_core *core, uint32_t source, unsigned asks) {
    unsigned n = 0;
    while (asks--)
        n += tcp_reset_allowed(core, rte_cpu_to_be_32(source));
    return n;
}

/* One scanner has a tenth, the rest is there for others. */
Test(tcp_limit, resets_of_one_source) {
    struct tcp_core *core = harness_core(NULL);
    core->now_us = 50 * 1000000;
    cr_assert_eq(allowed(core, 0xc6120002, 100000), TCP_RESETS_A_SOURCE);
    cr_assert_eq(allowed(core, 0xc6120003, 10), 10);
    core->now_us += 100000;
    cr_assert_eq(allowed(core, 0xc6120002, 100000), TCP_RESETS_A_SOURCE / 10, "a tenth of a second's");
    harness_core_free(core);
}

/* Which bucket a source shares tells nothing of the key: how far two addresses are apart says nothing of whether they
 * share one. */
static unsigned class_of(struct tcp_core *core, uint32_t source) {
    uint64_t before[TCP_RESET_SOURCES];
    core->now_us += 10 * 1000000;
    memcpy(before, core->reset_sources, sizeof before);
    cr_assert(tcp_reset_allowed(core, rte_cpu_to_be_32(source)));
    unsigned at = 0;
    while (core->reset_sources[at] == before[at])
        at++;
    return at;
}

Test(tcp_limit, classes_are_no_pattern) {
    struct tcp_core *core = harness_core(NULL);
    uint64_t steps[4] = {0};
    unsigned different = 0;
    for (uint32_t source = 0xc6120001; source < 0xc6120001 + 200; source++) {
        unsigned step = (class_of(core, source + 1) - class_of(core, source)) % TCP_RESET_SOURCES;
        different += !(steps[step / 64] & 1ull << step % 64);
        steps[step / 64] |= 1ull << step % 64;
    }
    cr_assert_geq(different, 80, "%u", different);
    harness_core_free(core);
}

/* All sources together; and a bucket that was full for long holds no more than a second's. */
Test(tcp_limit, resets_of_all_sources) {
    struct tcp_core *core = harness_core(NULL);
    unsigned n = 0;
    core->now_us = 3600ull * 1000000;
    for (uint32_t source = 0; source < 20000; source++)
        n += allowed(core, 0xc6130000 + source, 1);
    cr_assert_eq(n, TCP_RESETS_PER_S);
    core->now_us += 1000;
    cr_assert_eq(allowed(core, 1, 10), 1);
    core->now_us += 3600ull * 1000000;
    for (n = 0; n < 2 * TCP_RESETS_PER_S && allowed(core, 0xc6130000 + n, 1); n++)
        ;
    cr_assert_eq(n, TCP_RESETS_PER_S);
    harness_core_free(core);
}

/* A refusal by the one bucket takes nothing from the other. */
Test(tcp_limit, refused_costs_nothing) {
    struct tcp_core *core = harness_core(NULL);
    core->now_us = 50 * 1000000;
    allowed(core, 1, 100000);
    cr_assert_eq(core->reset_bucket, 49000000 + TCP_RESETS_A_SOURCE * 1000);
    harness_core_free(core);
}

/* Segments to nothing and wrong ACKs to half-open flows share the budget. */
Test(tcp_limit, wrong_acks_to_a_half_open_flow) {
    struct tcp_core *core = harness_core(NULL);
    struct decoded d[8];
    in_state(core, TCP_SYN_RECEIVED);
    unsigned answers = 0;
    for (unsigned i = 0; i < 500; i++) {
        struct craft f = {.seq = 1001, .ack = i, .flags = WIRE_TCP_ACK};
        cr_assert_eq(feed(core, &f), -TCP_DROP_ACK_UNACCEPTABLE);
        answers += drain(core, d, 8);
    }
    cr_assert_eq(answers, TCP_RESETS_A_SOURCE);
    cr_assert_eq(core->half_open, 1);
    harness_core_free(core);
}
