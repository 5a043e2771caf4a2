/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <criterion/criterion.h>

static struct icmp_error about(uint8_t code, uint16_t mtu, uint32_t seq) {
    return (struct icmp_error){3, code, mtu, LOCAL_ADDR, REMOTE_ADDR, LOCAL_PORT, REMOTE_PORT, seq};
}

Test(tcp_icmp, hard_errors_end_an_opening_flow) {
    for (uint8_t code = 0; code < 16; code++) {
        struct tcp_core *core = harness_core(NULL);
        tcp_id id = in_state(core, TCP_SYN_SENT);
        uint32_t iss = tcp_conn_of(core, id)->snd_una;
        struct icmp_error e = about(code, 0, iss + 1);
        tcp_icmp_error(core, &e, core->now_us);
        cr_assert_eq(tcp_conn_state(core, id), TCP_SYN_SENT, "not a number of ours");
        e.tcp_seq = iss;
        tcp_icmp_error(core, &e, core->now_us);
        bool hard = code == 2 || code == 3 || code == 9 || code == 10 || code == 13;
        cr_assert_eq(tcp_conn_end(core, id), hard ? TCP_END_UNREACHABLE : TCP_END_NONE, "code %u", code);
        harness_core_free(core);
    }
}

Test(tcp_icmp, errors_are_soft_once_established) {
    struct tcp_core *core = harness_core(NULL);
    tcp_id id = in_state(core, TCP_ESTABLISHED);
    send_bytes(core, id, 100);
    drain_one(core);
    for (uint8_t code = 0; code < 16; code++) {
        struct icmp_error e = about(code, 1500, tcp_conn_of(core, id)->snd_una);
        tcp_icmp_error(core, &e, core->now_us);
        cr_assert_eq(tcp_conn_state(core, id), TCP_ESTABLISHED);
    }
    harness_core_free(core);
}

/* RFC 5927 4.1: what quotes no flow of ours, or a number that is not outstanding, is ignored and counted. */
Test(tcp_icmp, attack_wrong_quotes) {
    struct tcp_core *core = harness_core(NULL);
    tcp_id id = in_state(core, TCP_ESTABLISHED);
    struct tcp_conn *c = tcp_conn_of(core, id);
    struct decoded d[16];
    send_bytes(core, id, 3000);
    cr_assert_eq(drain(core, d, 16), 3);
    const struct icmp_error good = about(4, 1000, c->snd_una);
    struct icmp_error wrong[6] = {good, good, good, good, good, good};
    wrong[0].tcp_seq = c->snd_una - 1;
    wrong[1].tcp_seq = c->snd_una + 3000;
    wrong[2].local_port_be = RTE_BE16(1884);
    wrong[3].remote_port_be = RTE_BE16(40001);
    wrong[4].remote_addr_be = RTE_BE32(0xc6120003u);
    wrong[5].local_addr_be = RTE_BE32(0xc6120004u);
    for (unsigned i = 0; i < WEIR_ARRAY_LEN(wrong); i++) {
        tcp_icmp_error(core, &wrong[i], core->now_us);
        cr_assert_eq(c->mss, 1460, "case %u", i);
        cr_assert_eq(core->stats.icmp_ignored, i + 1);
    }
    tcp_icmp_error(core, &good, core->now_us);
    cr_assert_eq(c->mss, 960);
    cr_assert_eq(core->stats.icmp_ignored, 6);
    harness_core_free(core);
}

/* Source quench (RFC 6633), time exceeded, parameter problem: nothing happens, in any state. */
Test(tcp_icmp, other_types_change_nothing) {
    static const enum tcp_state states[] = {TCP_SYN_SENT, TCP_ESTABLISHED};
    static const uint8_t types[] = {4, 11, 12, 5};
    for (unsigned s = 0; s < WEIR_ARRAY_LEN(states); s++) {
        struct tcp_core *core = harness_core(NULL);
        tcp_id id = in_state(core, states[s]);
        struct tcp_conn *c = tcp_conn_of(core, id);
        struct decoded d[16];
        if (states[s] == TCP_ESTABLISHED)
            send_bytes(core, id, 3000);
        drain(core, d, 16);
        uint32_t cwnd = c->cwnd;
        for (unsigned i = 0; i < WEIR_ARRAY_LEN(types); i++)
            for (uint8_t code = 0; code < 16; code++) {
                struct icmp_error e = about(code, 600, c->snd_una);
                e.type = types[i];
                tcp_icmp_error(core, &e, core->now_us);
                cr_assert(c->state == states[s] && c->cwnd == cwnd, "type %u code %u", types[i], code);
            }
        cr_assert_eq(drain(core, d, 16), 0);
        harness_core_free(core);
    }
}

Test(tcp_icmp, no_flow) {
    struct tcp_core *core = harness_core(NULL);
    struct icmp_error e = about(3, 0, 1);
    tcp_icmp_error(core, &e, core->now_us);
    cr_assert_eq(core->stats.icmp_ignored, 1);
    harness_core_free(core);
}
