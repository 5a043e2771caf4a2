/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <criterion/criterion.h>

static struct tcp_core *core;
static tcp_id id;
static struct tcp_conn *c;
static struct decoded d[64];

static void open_flow(void) {
    struct tcp_config config = {.user_timeout_ms = 3600000};
    core = harness_core(&config);
    id = in_state(core, TCP_ESTABLISHED);
    c = tcp_conn_of(core, id);
}

/* So many bytes are out. */
static void open_sending(uint32_t bytes) {
    open_flow();
    send_bytes(core, id, bytes);
    drain(core, d, 64);
}

/* The flow is over, and so much time goes by. */
static void gone_for(uint32_t ms) {
    tcp_conn_abort(core, id);
    drain(core, d, 64);
    core->now_us += ms * 1000ull;
    tcp_timers(core, core->now_us);
}

static void frag_needed(uint16_t mtu) {
    struct icmp_error e = {3, 4, mtu, LOCAL_ADDR, REMOTE_ADDR, LOCAL_PORT, REMOTE_PORT, c->snd_una};
    tcp_icmp_error(core, &e, core->now_us);
}

/* Sleep until the flow sends again. Returns how many segments. */
static unsigned next_output(void) {
    unsigned n = 0;
    for (unsigned ms = 0; !n && ms < 70000; ms++) {
        sleep_ms(core, 1);
        n = drain(core, d, 64);
    }
    return n;
}

/* Until so many timeouts have come in a row. */
static void time_out(uint8_t backoff) {
    for (unsigned i = 0; i < 100 && c->backoff < backoff; i++)
        next_output();
    cr_assert_eq(c->backoff, backoff);
}

/* What a flow to the peer sends at most now. */
static uint16_t mss_of_a_new_flow(uint16_t remote_port) {
    drain(core, d, 64);
    struct craft syn = {.mss = 1460, .remote_port = remote_port};
    tcp_id other = establish(core, &syn);
    uint16_t mss = tcp_conn_of(core, other)->mss;
    tcp_conn_abort(core, other);
    drain(core, d, 64);
    return mss;
}

Test(tcp_path, smaller_pieces_at_once_where_nothing_has_got_through) {
    open_flow();
    send_bytes(core, id, 3000);
    cr_assert_eq(drain(core, d, 64), 3);
    frag_needed(1000);
    cr_assert_eq(c->mss, 960);
    cr_assert_eq(drain(core, d, 64), 4, "once more, in smaller pieces");
    cr_assert(d[0].seq == c->snd_una && d[0].len == 960 && d[1].len == 500 && d[3].len == 500);
    cr_assert_eq(core->stats.pmtu_lowered, 1);
    frag_needed(1400);
    cr_assert_eq(c->mss, 960, "never up");
    frag_needed(68);
    cr_assert_eq(c->mss, TCP_PATH_MTU_MIN - 40, "a floor for forged ones");
    cr_assert_eq(core->stats.pmtu_lowered, 2);
    harness_core_free(core);
}

/* RFC 1191 7.1: a router that does not say how much less. */
Test(tcp_path, plateaus) {
    open_sending(1460);
    static const uint16_t expected[] = {1492, 1006, TCP_PATH_MTU_MIN, TCP_PATH_MTU_MIN};
    for (unsigned i = 0; i < WEIR_ARRAY_LEN(expected); i++) {
        frag_needed(0);
        cr_assert_eq(c->mss, expected[i] - 40);
    }
    harness_core_free(core);
}

/* RFC 5927 7.2: a flow whose segments get through does not believe a forged report; one whose segments have ceased to
 * believes the report that its retransmission draws. */
Test(tcp_path, attack_forged_report_while_data_gets_through) {
    open_flow();
    send_bytes(core, id, 40000);
    for (unsigned i = 0; i < 3; i++) {
        drain(core, d, 64);
        struct craft ack = peer_segment(core, id);
        feed(core, &ack);
    }
    cr_assert_gt(c->cwnd, tcp_loss_iw(c));
    send_bytes(core, id, 5000);
    drain(core, d, 64);
    frag_needed(600);
    cr_assert_eq(c->mss, 1460, "held");
    cr_assert_eq(core->stats.pmtu_held, 1);
    cr_assert_gt(next_output(), 0);
    time_out(1);
    frag_needed(600);
    cr_assert_eq(c->mss, 560, "believed once nothing gets through");
    harness_core_free(core);
}

Test(tcp_path, remembered_for_the_address_and_forgotten) {
    open_sending(1460);
    cr_assert_eq(mss_of_a_new_flow(1), 1460);
    frag_needed(1300);
    cr_assert_eq(mss_of_a_new_flow(2), 1260);
    cr_assert_eq(tcp_path_mss(core, RTE_BE32(0xc6120003u), 1460), 1460, "another address");
    gone_for(TCP_PATH_MS + 1);
    cr_assert_eq(mss_of_a_new_flow(3), 1460, "RFC 1191 6.3: tried anew");
    harness_core_free(core);
}

/* More addresses than the table holds: others are forgotten, memory stays, the latest are known. */
Test(tcp_path, attack_flood_of_addresses) {
    open_sending(1460);
    struct flow_key key = c->key;
    unsigned known = 0;
    for (uint32_t i = 0; i < 10 * TCP_PATHS; i++) {
        c->mss = 1460;
        c->key.remote_addr_be = rte_cpu_to_be_32(0x0a000000u + i);
        tcp_path_frag_needed(core, c, 1000);
        cr_assert_eq(tcp_path_mss(core, c->key.remote_addr_be, 1460), 960);
    }
    for (uint32_t i = 0; i < 10 * TCP_PATHS; i++)
        known += tcp_path_mss(core, rte_cpu_to_be_32(0x0a000000u + i), 1460) == 960;
    cr_assert(known > TCP_PATHS / 2 && known <= TCP_PATHS, "%u", known);
    c->key = key;
    harness_core_free(core);
}

/* Nothing comes back about full segments: some timeouts in a row a step, down to what every path takes. */
Test(tcp_path, black_hole) {
    open_sending(6000);
    time_out(TCP_BLACKHOLE_RTOS - 1);
    cr_assert_eq(c->mss, 1460, "so far it may be losses");
    time_out(TCP_BLACKHOLE_RTOS);
    cr_assert_eq(c->mss, TCP_BLACKHOLE_MTU - 40);
    cr_assert(c->flags & TCP_F_BLACKHOLE);
    cr_assert_eq(core->stats.pmtu_blackholes, 1);
    cr_assert_leq(d[0].len, TCP_BLACKHOLE_MTU - 40, "and so it leaves");
    cr_assert_eq(mss_of_a_new_flow(5), TCP_BLACKHOLE_MTU - 40);
    time_out(2 * TCP_BLACKHOLE_RTOS);
    cr_assert_eq(c->mss, TCP_BLACKHOLE_MTU_LEAST - 40);
    time_out(3 * TCP_BLACKHOLE_RTOS);
    cr_assert_eq(core->stats.pmtu_blackholes, 2, "no further");
    gone_for(TCP_PATH_GUESS_MS + 1);
    cr_assert_eq(mss_of_a_new_flow(6), 1460, "a guess is soon forgotten");
    harness_core_free(core);
}

Test(tcp_path, small_segments_are_no_black_hole) {
    open_sending(300);
    time_out(2 * TCP_BLACKHOLE_RTOS);
    cr_assert_eq(c->mss, 1460);
    cr_assert_eq(core->stats.pmtu_blackholes, 0);
    harness_core_free(core);
}

/* The port's clamp holds both ways, whatever the peer announces. */
Test(tcp_path, clamp_of_the_port) {
    core = harness_core(NULL);
    tcp_core_port(core, 0)->mss_clamp = 1200;
    struct craft syn = {.seq = 1000, .flags = WIRE_TCP_SYN, .wnd = 65535, .mss = 1460};
    tcp_listen(core, LOCAL_ADDR, LOCAL_PORT, 7);
    feed(core, &syn);
    struct decoded answer = drain_one(core);
    cr_assert_eq(answer.opts.mss, 1200);
    cr_assert_eq(tcp_conn_of(core, tcp_conn_next(core, 0))->mss, 1200);
    tcp_core_port(core, 0)->mss_clamp = 9000;
    cr_assert_eq(tcp_mss_announced(core, 0), 1460, "never beyond the MTU");
    harness_core_free(core);
}
