/* SPDX-License-Identifier: BSD-3-Clause */
/* Closing in every order; no byte is lost before a FIN, and TIME-WAIT gives way where RFC 6191 lets it. */
#include "pair.h"

#include "net/wire.h"

#include <criterion/criterion.h>

TestSuite(pair_close, .init = pair_init, .timeout = 60);

static uint32_t gauge(const struct pair *p, unsigned s, enum tcp_state state) {
    return tcp_core_stats(p->side[s].core)->by_state[state];
}

static void closes(struct pair *p, unsigned s, uint8_t does) {
    p->conn[0].end[s].does = does;
    tcp_conn_again(p->side[s].core, p->conn[0].end[s].id, TCP_EV_WRITABLE);
}

/* One side says FIN; the other goes on sending for long, then closes. */
static void half_close(unsigned first) {
    struct pair *p = pair_new_established(1);
    pair_write(p, first, 0, 10000);
    pair_shutdown(p, first, 0);
    pair_run(p, NULL, PAIR_SECOND / 50);
    cr_expect_eq(pair_state(p, first, 0), TCP_FIN_WAIT_2);
    cr_expect_eq(pair_state(p, !first, 0), TCP_CLOSE_WAIT);
    cr_expect_eq(p->conn[0].end[!first].seen & TCP_EV_PEER_FIN, TCP_EV_PEER_FIN);
    cr_expect_eq(tcp_conn_send_room(p->side[first].core, p->conn[0].end[first].id, 1000), 0);
    struct rope none = {0};
    cr_expect_eq(tcp_conn_send(p->side[first].core, p->conn[0].end[first].id, &none), WEIR_ESTATE);

    pair_run(p, NULL, 90 * PAIR_SECOND); /* a half-closed flow of an owner lives on */
    p->conn[0].end[!first].write_bytes = 300000;
    closes(p, !first, PAIR_SHUTDOWN | PAIR_CLOSE);
    pair_run(p, pair_all_arrived, 10 * PAIR_SECOND);
    p->conn[0].end[first].does = PAIR_CLOSE;
    pair_run(p, NULL, PAIR_SECOND / 10);
    cr_expect_eq(gauge(p, first, TCP_TIME_WAIT), 1);
    cr_expect_eq(p->side[!first].core->conns.used, 0, "who closed last keeps nothing");
    cr_assert(pair_finish(p));
}

Test(pair_close, half_close_by_client) {
    half_close(0);
}

Test(pair_close, half_close_by_server) {
    half_close(1);
}

/* RFC 9293 figure 13: the FINs cross. */
Test(pair_close, simultaneous) {
    struct pair *p = pair_new_established(2);
    pair_shutdown(p, 0, 0);
    pair_shutdown(p, 1, 0);
    pair_run(p, NULL, 700);
    cr_expect_eq(pair_state(p, 0, 0), TCP_CLOSING);
    cr_expect_eq(pair_state(p, 1, 0), TCP_CLOSING);
    closes(p, 0, PAIR_CLOSE);
    closes(p, 1, PAIR_CLOSE);
    pair_run(p, NULL, PAIR_SECOND / 100);
    cr_expect_eq(gauge(p, 0, TCP_TIME_WAIT), 1);
    cr_expect_eq(gauge(p, 1, TCP_TIME_WAIT), 1);
    cr_assert(pair_finish(p));
}

/* The owner writes much and lets go at once: all of it arrives, then the FIN. Also when the reader is asleep at first.
 */
static void release_with_unsent(unsigned side, uint64_t reader_sleeps_us, uint32_t loss_ppm) {
    struct pair_setup setup;
    pair_setup_default(&setup, 3 + loss_ppm);
    setup.link[0].loss_ppm = setup.link[1].loss_ppm = loss_ppm;
    setup.tcp[0].rcv_buf_bytes = setup.tcp[1].rcv_buf_bytes = 8192;
    setup.tcp[0].linger_ms = setup.tcp[1].linger_ms = 300000;
    struct pair *p = pair_new(&setup);
    pair_open(p, 0, 0);
    pair_run(p, pair_all_established, 30 * PAIR_SECOND);
    pair_write(p, side, 0, 60000);
    p->conn[0].end[!side].read_from_us = p->now_us + reader_sleeps_us;
    p->conn[0].end[!side].does = PAIR_CLOSE;
    pair_release(p, side, 0);
    pair_run(p, pair_is_over, 300 * PAIR_SECOND);
    cr_expect_eq(p->conn[0].end[!side].read_bytes, 60000);
    cr_expect_eq(tcp_core_stats(p->side[0].core)->ends[TCP_END_FIN] + gauge(p, 0, TCP_TIME_WAIT), 1);
    cr_assert(pair_finish(p));
}

Test(pair_close, release_with_unsent) {
    for (unsigned side = 0; side < 2; side++) {
        release_with_unsent(side, 0, 0);
        release_with_unsent(side, 20 * PAIR_SECOND, 0);
        release_with_unsent(side, 0, 100000);
    }
}

/* A released flow whose peer never takes the rest is reset when its linger time is over. */
Test(pair_close, linger_is_bounded) {
    struct pair *p = pair_new_established(4);
    p->conn[0].may_break = true;
    p->conn[0].end[1].read_from_us = p->now_us + 1000 * PAIR_SECOND;
    pair_write(p, 0, 0, 200000);
    pair_release(p, 0, 0);
    pair_run(p, NULL, 29 * PAIR_SECOND);
    cr_expect_eq(p->side[0].core->conns.used, 1);
    pair_run(p, NULL, 2 * PAIR_SECOND);
    cr_expect_eq(p->side[0].core->conns.used, 0);
    cr_expect_eq(tcp_core_stats(p->side[0].core)->ends[TCP_END_LINGER_TIMEOUT], 1);
    cr_expect_eq(p->conn[0].end[1].end, TCP_END_PEER_RESET);
    cr_assert(pair_finish(p));
}

/* One that takes the rest slowly gets all of it, over many linger times. */
Test(pair_close, linger_counts_from_progress) {
    struct pair_setup setup;
    pair_setup_default(&setup, 4);
    setup.tcp[0].rcv_buf_bytes = setup.tcp[1].rcv_buf_bytes = 8192;
    setup.tcp[0].linger_ms = setup.tcp[1].linger_ms = 2000;
    struct pair *p = pair_new(&setup);
    pair_open(p, 0, 0);
    pair_run(p, pair_all_established, 30 * PAIR_SECOND);
    pair_write(p, 0, 0, 60000);
    p->conn[0].end[1].does = PAIR_CLOSE;
    pair_release(p, 0, 0);
    for (unsigned wakes = 0; wakes < 20; wakes++) {
        p->conn[0].end[1].read_from_us = p->now_us + PAIR_SECOND; /* until then it reads nothing */
        pair_run(p, NULL, PAIR_SECOND + PAIR_SECOND / 1000);
    }
    pair_run(p, pair_is_over, 300 * PAIR_SECOND);
    cr_expect_eq(p->conn[0].end[1].read_bytes, 60000);
    cr_expect_eq(tcp_core_stats(p->side[0].core)->ends[TCP_END_LINGER_TIMEOUT], 0);
    cr_assert(pair_finish(p));
}

/* RFC 1122 4.2.2.13: data for an owner that has let go is answered with RST, so that the peer learns of it. */
Test(pair_close, data_after_release) {
    struct pair *p = pair_new_established(5);
    p->conn[0].may_break = true;
    pair_release(p, 0, 0);
    pair_run(p, NULL, PAIR_SECOND / 10);
    cr_expect_eq(pair_state(p, 1, 0), TCP_CLOSE_WAIT);
    pair_write(p, 1, 0, 1000);
    pair_run(p, NULL, PAIR_SECOND / 10);
    cr_expect_eq(p->conn[0].end[1].end, TCP_END_PEER_RESET);
    cr_expect_eq(p->side[0].core->conns.used, 0);
    cr_assert(pair_finish(p));
}

/* Unread bytes stay for the owner after the end. */
Test(pair_close, unread_bytes_outlive_the_flow) {
    struct pair *p = pair_new_established(6);
    p->conn[0].may_break = true;
    p->conn[0].end[1].read_from_us = p->now_us + 1000 * PAIR_SECOND;
    pair_write(p, 0, 0, 5000);
    pair_run(p, NULL, PAIR_SECOND / 10);
    cr_expect_eq(p->conn[0].end[1].read_bytes, 0);
    pair_abort(p, 0, 0);
    pair_run(p, NULL, PAIR_SECOND / 10);
    cr_expect_eq(p->conn[0].end[1].end, TCP_END_PEER_RESET);
    cr_expect_eq(p->conn[0].end[1].read_bytes, 5000);
    cr_assert(pair_finish(p));
}

/* A lost FIN, a lost ACK of it, the last ACK lost: each is repaired, whoever closes first. */
Test(pair_close, lost_segments) {
    for (unsigned first = 0; first < 2; first++)
        for (unsigned dark = 0; dark < 4; dark++) {
            struct pair *p = pair_new_established(7);
            if (dark < 2)
                p->side[dark].dark = true;
            closes(p, first, PAIR_SHUTDOWN | PAIR_CLOSE);
            closes(p, !first, PAIR_SHUTDOWN | PAIR_CLOSE);
            if (dark >= 2) { /* from the second FIN on */
                pair_run(p, NULL, 700);
                p->side[dark - 2].dark = true;
            }
            pair_run(p, NULL, PAIR_SECOND / 2);
            p->side[0].dark = p->side[1].dark = false;
            pair_run(p, pair_is_over, 10 * PAIR_SECOND);
            cr_assert(pair_finish(p));
        }
}

/* The same 4-tuple again while one side is in TIME-WAIT: at the server the new SYN takes its place, at the client
 * tcp_connect does. */
static void time_wait_reuse(unsigned first) {
    struct pair_setup setup;
    pair_setup_default(&setup, 8);
    setup.tcp[0].time_wait_ms = setup.tcp[1].time_wait_ms = 60000;
    struct pair *p = pair_new(&setup);
    for (uint32_t i = 0; i < 4; i++) {
        p->conn[i].client_port = PAIR_CLIENT_PORT;
        for (unsigned s = 0; s < 2; s++)
            p->conn[i].end[s].write_bytes = 30000;
        pair_open(p, 0, i);
        pair_run(p, pair_all_arrived, PAIR_SECOND);
        pair_shutdown(p, first, i);
        pair_run(p, NULL, PAIR_SECOND / 100);
        pair_release(p, !first, i);
        pair_run(p, NULL, PAIR_SECOND / 100);
        if (p->conn[i].end[first].id)
            pair_release(p, first, i);
        cr_expect_eq(gauge(p, first, TCP_TIME_WAIT), 1);
        pair_run(p, NULL, 1100000); /* RFC 6191: the clock of the timestamps has moved on */
    }
    cr_expect_eq(tcp_core_stats(p->side[first].core)->time_wait_reused, 3);
    cr_assert(pair_finish(p));
}

Test(pair_close, time_wait_reuse_at_server) {
    time_wait_reuse(1);
}

Test(pair_close, time_wait_reuse_at_client) {
    time_wait_reuse(0);
}

/* Beyond max_time_wait the oldest goes. */
Test(pair_close, time_wait_is_bounded) {
    struct pair_setup setup;
    pair_setup_default(&setup, 9);
    setup.tcp[0].time_wait_ms = 60000;
    setup.tcp[0].max_time_wait = 3;
    struct pair *p = pair_new(&setup);
    for (uint32_t i = 0; i < PAIR_CONNS; i++) {
        p->conn[i].end[0].does = PAIR_RELEASE_EARLY;
        p->conn[i].end[1].does = PAIR_CLOSE;
        pair_open(p, 0, i);
        pair_run(p, NULL, PAIR_SECOND / 100);
    }
    cr_expect_eq(gauge(p, 0, TCP_TIME_WAIT), 3);
    cr_expect_eq(p->side[0].core->conns.used, 3);
    cr_expect_eq(p->side[1].core->conns.used, 0);
    cr_assert(pair_finish(p));
}
