/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <criterion/criterion.h>

static int syn(struct tcp_core *core, uint16_t remote_port) {
    struct craft f = {.seq = 1000, .flags = WIRE_TCP_SYN, .wnd = 65535, .mss = 1460, .remote_port = remote_port};
    return feed(core, &f);
}

Test(tcp_listen, table) {
    struct tcp_core *core = harness_core(NULL);
    cr_assert_eq(tcp_listen(core, LOCAL_ADDR, LOCAL_PORT, 1), 0);
    cr_assert_eq(tcp_listen(core, LOCAL_ADDR, LOCAL_PORT, 2), WEIR_EEXIST);
    for (uint16_t i = 1; i < TCP_MAX_LISTENERS; i++)
        cr_assert_eq(tcp_listen(core, LOCAL_ADDR, rte_cpu_to_be_16(20000 + i), i), 0);
    cr_assert_eq(tcp_listen(core, LOCAL_ADDR, RTE_BE16(9), 1), WEIR_EFULL);
    for (uint16_t i = 1; i < TCP_MAX_LISTENERS; i++)
        cr_assert_eq(tcp_listener_find(core, LOCAL_ADDR, rte_cpu_to_be_16(20000 + i))->listener_id, i);
    cr_assert_null(tcp_listener_find(core, LOCAL_ADDR, RTE_BE16(20000)));
    cr_assert_null(tcp_listener_find(core, REMOTE_ADDR, LOCAL_PORT));
    harness_core_free(core);
}

/* How many slots a search visits, in the worst case, for addresses as people choose them. */
Test(tcp_listen, searches_are_short) {
    static const struct {
        uint32_t addr_step;
        uint16_t port_step;
    } ways[] = {{0, 1}, {1, 0}, {1, 1}, {256, 0}, {65536, 0}, {0, 256}, {1u << 24, 1}};
    for (size_t w = 0; w < WEIR_ARRAY_LEN(ways); w++) {
        struct tcp_core *core = harness_core(NULL);
        uint32_t run = 0, longest = 0;
        for (uint32_t i = 0; i < TCP_MAX_LISTENERS; i++)
            tcp_listen(core, rte_cpu_to_be_32(0x0a000001 + i * ways[w].addr_step),
                       rte_cpu_to_be_16((uint16_t)(1 + i * ways[w].port_step)), (uint16_t)i);
        for (uint32_t i = 0; i < 2 * TCP_LISTENER_SLOTS; i++) {
            run = core->listener_slots[i % TCP_LISTENER_SLOTS] ? run + 1 : 0;
            longest = weir_max_u32(longest, run);
        }
        cr_assert_leq(longest, 32, "way %zu: %u", w, longest);
        harness_core_free(core);
    }
}

Test(tcp_listen, answers_to_strays) {
    struct tcp_core *core = harness_core(NULL);
    struct craft f = {.seq = 50, .ack = 900, .len = 10, .flags = WIRE_TCP_ACK};
    cr_assert_eq(feed(core, &f), -TCP_DROP_NO_FLOW);
    struct decoded d = drain_one(core);
    cr_assert(d.flags == WIRE_TCP_RST && d.seq == 900);
    f.flags = WIRE_TCP_FIN | WIRE_TCP_PSH;
    cr_assert_eq(feed(core, &f), -TCP_DROP_NO_FLOW);
    d = drain_one(core);
    cr_assert(d.flags == (WIRE_TCP_RST | WIRE_TCP_ACK) && d.seq == 0 && d.ack == 61);
    f.flags = WIRE_TCP_RST;
    cr_assert_eq(feed(core, &f), -TCP_DROP_NO_FLOW_RST);
    f.flags = WIRE_TCP_SYN | WIRE_TCP_ACK;
    cr_assert_eq(feed(core, &f), -TCP_DROP_NO_FLOW);
    cr_assert_eq(drain_one(core).seq, 900);
    harness_core_free(core);
}

Test(tcp_listen, answers_are_rate_limited) {
    struct tcp_core *core = harness_core(NULL);
    struct craft f = {.seq = 50, .ack = 900, .flags = WIRE_TCP_ACK};
    struct decoded d[256];
    unsigned limited = 0, answered = 0;
    for (unsigned i = 0; i < TCP_RESETS_A_SOURCE + 100; i++) {
        limited += feed(core, &f) == -TCP_DROP_NO_FLOW_LIMIT;
        answered += drain(core, d, 256);
    }
    cr_assert(limited == 100 && answered == TCP_RESETS_A_SOURCE);
    core->now_us += 10000;
    f.flags = WIRE_TCP_SYN; /* a port scan has the same budget */
    cr_assert_eq(feed(core, &f), -TCP_DROP_NO_FLOW);
    cr_assert_eq(feed(core, &f), -TCP_DROP_NO_FLOW_LIMIT);
    drain(core, d, 256);
    harness_core_free(core);
}

Test(tcp_listen, draining) {
    struct tcp_core *core = harness_core(NULL);
    tcp_id id = establish(core, NULL);
    tcp_listen_accepting(core, 7, false);
    cr_assert_eq(syn(core, 2), -TCP_DROP_LISTENER_CLOSED);
    struct decoded d = drain_one(core);
    cr_assert(d.flags == (WIRE_TCP_RST | WIRE_TCP_ACK) && d.ack == 1001);
    cr_assert_eq(tcp_conn_state(core, id), TCP_ESTABLISHED);
    cr_assert_eq(tcp_conn_listener(core, id), 7);
    tcp_listen_accepting(core, 7, true);
    cr_assert_eq(syn(core, 2), TCP_SEG_FREE);
    harness_core_free(core);
}

Test(tcp_listen, half_open_flows_are_bounded) {
    struct tcp_config config = {.max_half_open = 3};
    struct tcp_core *core = harness_core(&config);
    tcp_listen(core, LOCAL_ADDR, LOCAL_PORT, 1);
    tcp_listen_options(core, 1, &(struct tcp_options){.cookies = TCP_COOKIES_OFF});
    for (uint16_t p = 1; p <= 3; p++)
        cr_assert_eq(syn(core, p), TCP_SEG_FREE);
    cr_assert_eq(syn(core, 4), -TCP_DROP_HALF_OPEN_FULL);
    cr_assert_eq(core->stats.half_open_refused, 1);
    struct decoded d[8];
    cr_assert_eq(drain(core, d, 8), 3);
    sleep_ms(core, 10001);
    cr_assert_eq(core->half_open, 0);
    cr_assert_eq(core->stats.ends[TCP_END_HALF_OPEN_TIMEOUT], 3);
    cr_assert_eq(tcp_ready_next(core), 0, "nobody knew them");
    cr_assert_eq(syn(core, 4), TCP_SEG_FREE);
    harness_core_free(core);
}

Test(tcp_listen, conns_are_bounded_and_time_wait_gives_way) {
    struct tcp_config config = {.max_conns = 2};
    struct tcp_core *core = harness_core(&config);
    tcp_id id = in_state(core, TCP_TIME_WAIT);
    cr_assert_eq(syn(core, 2), TCP_SEG_FREE);
    cr_assert_eq(syn(core, 3), -TCP_DROP_CONNS_FULL, "its owner has not released it");
    cr_assert_eq(core->stats.conns_refused, 1);
    tcp_conn_release(core, id);
    cr_assert_eq(syn(core, 3), TCP_SEG_FREE);
    cr_assert_eq(core->stats.by_state[TCP_TIME_WAIT], 0);
    harness_core_free(core);
}

Test(tcp_listen, a_younger_time_wait_gives_way_where_the_oldest_is_held) {
    struct tcp_config config = {.max_conns = 2};
    struct tcp_core *core = harness_core(&config);
    tcp_id held = in_state(core, TCP_TIME_WAIT);
    cr_assert_eq(syn(core, 2), TCP_SEG_FREE);
    tcp_id free = tcp_conn_next(core, held);
    tcp_conn_time_wait(core, tcp_conn_of(core, free));
    cr_assert_eq(core->time_wait.head, held);
    cr_assert_eq(core->time_wait.count, 2);
    cr_assert_eq(syn(core, 3), TCP_SEG_FREE);
    cr_assert_eq(core->time_wait.count, 1);
    cr_assert_eq(core->time_wait.head, held);
    harness_core_free(core);
}

/* RFC 6191 and RFC 9293 3.10.7.4. */
Test(tcp_listen, time_wait_reuse) {
    for (int newer = 0; newer < 2; newer++)
        for (int released = 0; released < 2; released++) {
            struct tcp_core *core = harness_core(NULL);
            tcp_id id = in_state(core, TCP_TIME_WAIT);
            uint32_t rcv_nxt = tcp_conn_of(core, id)->rcv_nxt, snd_nxt = tcp_conn_of(core, id)->snd_nxt;
            if (released)
                tcp_conn_release(core, id);
            struct craft f = {.seq = newer ? rcv_nxt + 10 : rcv_nxt - 10, .flags = WIRE_TCP_SYN, .wnd = 100};
            int verdict = feed(core, &f);
            struct decoded d = drain_one(core);
            if (newer) {
                cr_assert_eq(verdict, TCP_SEG_FREE);
                cr_assert_eq(d.flags, WIRE_TCP_SYN | WIRE_TCP_ACK);
                cr_assert(seq_lt(snd_nxt, d.seq));
                cr_assert_eq(core->stats.time_wait_reused, 1);
                cr_assert_eq(core->stats.by_state[TCP_CLOSED], !released);
            } else {
                cr_assert_eq(verdict, -TCP_DROP_SYN_IN_FLOW);
                cr_assert_eq(d.flags, WIRE_TCP_ACK);
                cr_assert_eq(core->stats.by_state[TCP_TIME_WAIT], 1);
            }
            harness_core_free(core);
        }
}

Test(tcp_listen, time_wait_reuse_by_timestamp) {
    struct tcp_core *core = harness_core(NULL);
    struct craft options = {.mss = 1460, .has_ts = true, .ts_val = 1000};
    tcp_id id = establish(core, &options);
    struct decoded d[4];
    tcp_conn_shutdown(core, id);
    drain(core, d, 4);
    struct craft fin = peer_segment(core, id);
    fin.flags |= WIRE_TCP_FIN;
    feed(core, &fin);
    cr_assert_eq(tcp_conn_state(core, id), TCP_TIME_WAIT);
    drain(core, d, 4);
    struct craft f = {.seq = 10, .flags = WIRE_TCP_SYN, .wnd = 100, .has_ts = true, .ts_val = 900};
    cr_assert_eq(feed(core, &f), -TCP_DROP_SYN_IN_FLOW);
    f.ts_val = 2000; /* the sequence number is lower, the clock is later */
    cr_assert_eq(feed(core, &f), TCP_SEG_FREE);
    harness_core_free(core);
}

/* Opens of our own are no backlog, whichever way they come; and a stranger who guesses neither ends nor opens one. */
Test(tcp_listen, active_opens_are_no_backlog) {
    struct tcp_core *core = harness_core(NULL);
    struct decoded d[8];
    tcp_id id = in_state(core, TCP_SYN_SENT);
    uint32_t iss = tcp_conn_of(core, id)->snd_una;
    unsigned answers = 0;
    for (uint32_t i = 0; i < 1000; i++) { /* answers to what we never sent, beside the one number that we did */
        struct craft f = {.seq = i, .ack = iss + 2 + i, .flags = i & 1 ? WIRE_TCP_SYN | WIRE_TCP_ACK : WIRE_TCP_ACK};
        cr_assert_eq(feed(core, &f), -TCP_DROP_ACK_UNACCEPTABLE);
        f.flags = WIRE_TCP_RST | WIRE_TCP_ACK;
        cr_assert_eq(feed(core, &f), -TCP_DROP_ACK_UNACCEPTABLE);
        f.flags = WIRE_TCP_RST;
        cr_assert_eq(feed(core, &f), -TCP_DROP_RST_OUT);
        answers += drain(core, d, 8);
    }
    cr_assert_eq(answers, TCP_RESETS_A_SOURCE);
    cr_assert(tcp_conn_state(core, id) == TCP_SYN_SENT && tcp_ready_next(core) == 0);
    struct craft both = {.seq = 500, .flags = WIRE_TCP_SYN, .wnd = 100, .mss = 1000};
    feed(core, &both);
    cr_assert_eq(tcp_conn_state(core, id), TCP_SYN_RECEIVED);
    cr_assert_eq(core->half_open, 0);
    drain(core, d, 8);
    struct craft rst = {.seq = 501, .flags = WIRE_TCP_RST};
    feed(core, &rst);
    cr_assert_eq(tcp_conn_end(core, id), TCP_END_REFUSED);
    cr_assert_eq(core->half_open, 0);
    harness_core_free(core);
}
