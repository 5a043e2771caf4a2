/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <criterion/criterion.h>

static int try_connect(struct tcp_core *core, tcp_id *id) {
    return tcp_connect(core, 0, LOCAL_ADDR, LOCAL_PORT, REMOTE_ADDR, REMOTE_PORT, 42, core->now_us, id);
}

Test(tcp_conn, connect) {
    struct tcp_config config = {.max_conns = 1};
    struct tcp_core *core = harness_core(&config);
    tcp_id id, other;
    cr_assert_eq(try_connect(core, &id), 0);
    cr_assert_eq(tcp_conn_user(core, id), 42);
    cr_assert_eq(try_connect(core, &other), WEIR_EEXIST);
    cr_assert_eq(tcp_connect(core, 0, LOCAL_ADDR, RTE_BE16(9), REMOTE_ADDR, REMOTE_PORT, 0, core->now_us, &other),
                 WEIR_ENOMEM);
    cr_assert_eq(core->stats.conns_refused, 1);
    tcp_conn_release(core, id); /* SYN-SENT: gone at once, nothing to say */
    struct decoded d[4];
    cr_assert_eq(drain(core, d, 4), 0);
    cr_assert_eq(try_connect(core, &id), 0);
    harness_core_free(core);
}

Test(tcp_conn, connect_over_time_wait) {
    struct tcp_core *core = harness_core(NULL);
    tcp_id old = in_state(core, TCP_TIME_WAIT), id;
    uint32_t snd_nxt = tcp_conn_of(core, old)->snd_nxt;
    tcp_conn_release(core, old);
    core->now_us = 1000001; /* an ISN clock that has hardly moved */
    cr_assert_eq(try_connect(core, &id), 0);
    cr_assert_eq(core->stats.time_wait_reused, 1);
    cr_assert(seq_lt(snd_nxt, drain_one(core).seq));
    harness_core_free(core);
}

Test(tcp_conn, send_and_shutdown) {
    struct tcp_core *core = harness_core(NULL);
    tcp_id id = establish(core, NULL);
    struct rope r = {0};
    cr_assert_eq(tcp_conn_send(core, id, &r), 0, "nothing is fine");
    uint32_t room = tcp_conn_send_room(core, id, 1000);
    cr_assert_eq(room, 10 * 1460 + 1000);
    send_bytes(core, id, 3000);
    cr_assert_eq(tcp_conn_unacked(core, id), 3000);
    cr_assert_eq(tcp_conn_send_room(core, id, 1000), room - 3000);
    tcp_conn_shutdown(core, id);
    cr_assert_eq(tcp_conn_send_room(core, id, 1000), 0);
    rope_append(&r, harness_pool(), "x", 1);
    cr_assert_eq(tcp_conn_send(core, id, &r), WEIR_ESTATE);
    cr_assert_eq(r.len_bytes, 1, "untouched");
    rope_clear(&r);
    struct decoded d[8];
    cr_assert_eq(drain(core, d, 8), 3);
    cr_assert(d[2].flags & WIRE_TCP_FIN, "the FIN rides on the last bytes");
    cr_assert_eq(d[2].len, 80);
    cr_assert_eq(tcp_conn_state(core, id), TCP_FIN_WAIT_1);
    harness_core_free(core);
}

Test(tcp_conn, writable_after_a_short_answer) {
    struct tcp_core *core = harness_core(NULL);
    tcp_id id = establish(core, NULL);
    struct decoded d[16];
    send_bytes(core, id, tcp_conn_send_room(core, id, 0));
    cr_assert_eq(tcp_conn_send_room(core, id, 0), 0);
    drain(core, d, 16);
    struct craft f = peer_segment(core, id);
    f.ack = d[1].seq + d[1].len;
    feed(core, &f);
    cr_assert_eq(tcp_ready_next(core), id);
    cr_assert_eq(tcp_conn_events(core, id), TCP_EV_WRITABLE);
    cr_assert_gt(tcp_conn_send_room(core, id, 0), 0);
    harness_core_free(core);
}

Test(tcp_conn, no_visit_for_who_has_room) {
    struct tcp_core *core = harness_core(NULL);
    tcp_id id = establish(core, NULL);
    struct decoded d[16];
    cr_assert_eq(tcp_conn_room_for(core, id, 3000, 0), 3000);
    send_bytes(core, id, 3000);
    drain(core, d, 16);
    struct craft f = peer_segment(core, id);
    f.ack = d[1].seq + d[1].len;
    feed(core, &f);
    cr_assert_eq(tcp_ready_next(core), 0, "nobody waited for room");
    uint32_t room = tcp_conn_room_for(core, id, 1u << 20, 0);
    cr_assert_lt(room, 1u << 20);
    send_bytes(core, id, room);
    drain(core, d, 16);
    f = peer_segment(core, id);
    f.ack = d[1].seq + d[1].len;
    feed(core, &f);
    cr_assert_eq(tcp_ready_next(core), id);
    cr_assert_eq(tcp_conn_events(core, id), TCP_EV_WRITABLE);
    harness_core_free(core);
}

Test(tcp_conn, queued_before_the_handshake) {
    struct tcp_core *core = harness_core(NULL);
    tcp_id id;
    try_connect(core, &id);
    send_bytes(core, id, 100);
    tcp_conn_shutdown(core, id);
    uint32_t iss = drain_one(core).seq;
    struct craft f = {.seq = 5, .ack = iss + 1, .flags = WIRE_TCP_SYN | WIRE_TCP_ACK, .wnd = 1000, .mss = 1460};
    feed(core, &f);
    struct decoded d = drain_one(core);
    cr_assert(d.seq == iss + 1 && d.len == 100 && (d.flags & WIRE_TCP_FIN) && d.ack == 6);
    harness_core_free(core);
}

Test(tcp_conn, abort_in_every_state) {
    for (enum tcp_state s = TCP_SYN_SENT; s < TCP_STATE_COUNT; s++) {
        if (s == TCP_SYN_RECEIVED) /* has no owner yet */
            continue;
        struct tcp_core *core = harness_core(NULL);
        tcp_id id = in_state(core, s);
        uint32_t snd_nxt = tcp_conn_of(core, id)->snd_nxt;
        tcp_conn_abort(core, id);
        struct decoded d[4];
        unsigned n = drain(core, d, 4);
        cr_assert_eq(n, s != TCP_SYN_SENT && s != TCP_TIME_WAIT, "%s", tcp_state_name(s));
        if (n)
            cr_assert((d[0].flags & WIRE_TCP_RST) && d[0].seq == snd_nxt);
        cr_assert_eq(tcp_ready_next(core), 0);
        cr_assert_eq(core->stats.by_state[s], s == TCP_TIME_WAIT);
        harness_core_free(core);
    }
}

Test(tcp_conn, release_in_every_state) {
    for (enum tcp_state s = TCP_SYN_SENT; s < TCP_STATE_COUNT; s++) {
        if (s == TCP_SYN_RECEIVED)
            continue;
        struct tcp_core *core = harness_core(NULL);
        tcp_id id = in_state(core, s);
        if (s == TCP_ESTABLISHED || s == TCP_CLOSE_WAIT)
            send_bytes(core, id, 10);
        tcp_conn_release(core, id);
        struct decoded d[4];
        if (drain(core, d, 4))
            cr_assert((d[0].flags & WIRE_TCP_FIN) && d[0].len == 10, "what was queued, then FIN");
        sleep_ms(core, 61000);
        drain(core, d, 4);
        cr_assert_eq(tcp_ready_next(core), 0, "no events");
        cr_assert_eq(tcp_conn_next(core, 0), 0, "%s lives on", tcp_state_name(s));
        cr_assert_eq(core->table.used, 0);
        harness_core_free(core);
    }
}

Test(tcp_conn, release_after_closed) {
    struct tcp_core *core = harness_core(NULL);
    tcp_id id = establish(core, NULL);
    struct craft f = peer_segment(core, id);
    f.len = 10;
    feed(core, &f);
    f.seq += 10;
    f.len = 0;
    f.flags = WIRE_TCP_RST;
    feed(core, &f);
    cr_assert_eq(tcp_ready_next(core), id);
    cr_assert_eq(tcp_conn_events(core, id), TCP_EV_READABLE | TCP_EV_CLOSED);
    cr_assert_eq(tcp_conn_rx(core, id)->len_bytes, 10, "what came before is still there");
    rope_clear(tcp_conn_rx(core, id));
    tcp_conn_consumed(core, id);
    tcp_conn_release(core, id);
    cr_assert_eq(tcp_conn_next(core, 0), 0);
    harness_core_free(core);
}

/* A send budget of 8 mbufs: who holds some waits, who holds none may go on with little. */
Test(tcp_conn, send_budget) {
    struct tcp_config config = {.tx_budget_mbufs = 8};
    struct tcp_core *core = harness_core(&config);
    tcp_id id = in_state(core, TCP_ESTABLISHED), idle;
    cr_assert_gt(tcp_conn_send_room(core, id, 1000), 2u * tcp_conn_of(core, id)->mss);
    send_bytes(core, id, 16000);
    cr_assert_geq(core->stats.tx_mbufs, 8);
    cr_assert_eq(tcp_conn_send_room(core, id, 1000), 0);

    cr_assert_eq(feed(core, &(struct craft){.flags = WIRE_TCP_SYN, .seq = 1, .wnd = 60000, .remote_port = 5}),
                 TCP_SEG_FREE);
    struct decoded d[32];
    unsigned n = drain(core, d, 32);
    cr_assert_gt(n, 0);
    uint32_t iss = 0;
    for (unsigned i = 0; i < n; i++)
        if (d[i].flags & WIRE_TCP_SYN)
            iss = d[i].seq;
    feed(core, &(struct craft){.flags = WIRE_TCP_ACK, .seq = 2, .ack = iss + 1, .wnd = 60000, .remote_port = 5});
    idle = tcp_ready_next(core);
    cr_assert_neq(idle, 0);
    cr_assert_eq(tcp_conn_send_room(core, idle, 1000), 2u * tcp_conn_of(core, idle)->mss);
    harness_core_free(core);
}

/* What the owner keeps counts as if it lay on the ropes still. */
Test(tcp_conn, rx_kept) {
    struct tcp_config config = {.rx_budget_mbufs = 40};
    struct tcp_core *core = harness_core(&config);
    cr_assert(!tcp_rx_pressed(core));
    tcp_rx_kept(core, 30);
    cr_assert(tcp_rx_pressed(core));
    cr_assert_eq(core->stats.rx_mbufs, 30);
    tcp_rx_kept(core, -30);
    cr_assert(!tcp_rx_pressed(core));
    harness_core_free(core);
}
