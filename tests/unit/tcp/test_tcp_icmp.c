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

Test(tcp_icmp, fragmentation_needed) {
    struct tcp_core *core = harness_core(NULL);
    tcp_id id = in_state(core, TCP_ESTABLISHED);
    struct tcp_conn *c = tcp_conn_of(core, id);
    struct decoded d[16];
    send_bytes(core, id, 3000);
    cr_assert_eq(drain(core, d, 16), 3);
    struct icmp_error e = about(4, 1000, c->snd_una - 1);
    tcp_icmp_error(core, &e, core->now_us);
    cr_assert_eq(c->mss, 1460, "not outstanding");
    e.tcp_seq = c->snd_una;
    tcp_icmp_error(core, &e, core->now_us);
    cr_assert_eq(c->mss, 960);
    cr_assert_eq(drain(core, d, 16), 4, "once more, in smaller pieces");
    cr_assert(d[0].seq == c->snd_una && d[0].len == 960 && d[3].len == 120);
    e.next_hop_mtu = 1400;
    tcp_icmp_error(core, &e, core->now_us);
    cr_assert_eq(c->mss, 960, "never up");
    e.next_hop_mtu = 68;
    tcp_icmp_error(core, &e, core->now_us);
    cr_assert_eq(c->mss, TCP_PATH_MTU_MIN - 40, "a floor for forged ones");
    harness_core_free(core);
}

Test(tcp_icmp, no_flow) {
    struct tcp_core *core = harness_core(NULL);
    struct icmp_error e = about(3, 0, 1);
    tcp_icmp_error(core, &e, core->now_us);
    harness_core_free(core);
}
