/* SPDX-License-Identifier: BSD-3-Clause */
/* Opening: lost segments of the handshake, both at once, nobody there, no room. */
#include "pair.h"

#include "net/wire.h"

#include <criterion/criterion.h>

TestSuite(pair_open, .init = pair_init, .timeout = 60);

static bool closed_on_client(const struct pair *p) {
    return p->conn[0].end[0].closed;
}

static bool client_established(const struct pair *p) {
    return p->conn[0].end[0].opened;
}

Test(pair_open, options_are_agreed) {
    struct pair *p = pair_new_established(1);
    for (unsigned s = 0; s < 2; s++) {
        struct tcp_info info;
        tcp_conn_info(p->side[s].core, p->conn[0].end[s].id, &info);
        cr_expect_eq(info.state, TCP_ESTABLISHED);
        cr_expect(info.sack && info.timestamps);
        cr_expect_eq(info.mss, 1448);
        cr_expect_eq(info.port, s);
        cr_expect_eq(info.key.local_addr_be, PAIR_ADDR(s));
    }
    cr_expect_eq(p->conn[0].end[0].seen, TCP_EV_CONNECTED);
    cr_expect_eq(p->conn[0].end[1].seen, TCP_EV_ACCEPTED);
    pair_close(p, 0);
    cr_assert(pair_finish(p));
}

/* A lost SYN, SYN-ACK or ACK of the handshake is repaired. */
static void lose_at_first(unsigned side, uint8_t flags) {
    struct pair *p = pair_new_default(2);
    p->side[side].dark_flags = flags;
    pair_open(p, 0, 0);
    pair_run(p, NULL, PAIR_SECOND / 2);
    cr_expect_not(pair_all_established(p));
    p->side[side].dark_flags = 0;
    if (flags == WIRE_TCP_ACK) /* the client has nothing to say but the answer to the second SYN-ACK */
        cr_expect(p->conn[0].end[0].opened);
    pair_run(p, pair_all_established, 4 * PAIR_SECOND);
    pair_close(p, 0);
    cr_assert(pair_finish(p));
}

Test(pair_open, syn_lost) {
    lose_at_first(0, WIRE_TCP_SYN);
}

Test(pair_open, syn_ack_lost) {
    lose_at_first(1, WIRE_TCP_SYN);
}

Test(pair_open, last_ack_lost) {
    lose_at_first(0, WIRE_TCP_ACK);
}

Test(pair_open, last_ack_lost_data_follows) {
    struct pair *p = pair_new_default(3);
    p->side[0].dark_flags = WIRE_TCP_ACK;
    pair_open(p, 0, 0);
    pair_run(p, client_established, PAIR_SECOND / 2);
    p->side[0].dark_flags = 0;
    pair_write(p, 0, 0, 10000);
    pair_run(p, pair_all_arrived, PAIR_SECOND / 2);
    pair_close(p, 0);
    cr_assert(pair_finish(p));
}

/* RFC 9293 3.5, figure 7. */
Test(pair_open, simultaneous) {
    struct pair *p = pair_new_default(4);
    pair_open(p, 0, 0);
    pair_open(p, 1, 0);
    pair_run(p, pair_all_established, PAIR_SECOND);
    cr_expect_eq(p->conn[0].end[0].seen & TCP_EV_CONNECTED, TCP_EV_CONNECTED);
    cr_expect_eq(p->conn[0].end[1].seen & TCP_EV_CONNECTED, TCP_EV_CONNECTED);
    for (unsigned s = 0; s < 2; s++)
        pair_write(p, s, 0, 50000);
    pair_run(p, pair_all_arrived, 5 * PAIR_SECOND);
    pair_close(p, 0);
    cr_assert(pair_finish(p));
}

Test(pair_open, simultaneous_lossy) {
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct pair_setup setup;
        pair_setup_default(&setup, seed);
        for (unsigned s = 0; s < 2; s++) {
            setup.link[s].loss_ppm = 300000;
            setup.tcp[s].connect_timeout_ms = setup.tcp[s].user_timeout_ms = 600000;
        }
        struct pair *p = pair_new(&setup);
        /* The server does not listen: only the crossing of the two SYNs can open it. */
        tcp_listen_accepting(p->side[1].core, 7, false);
        pair_open(p, 0, 0);
        pair_open(p, 1, 0);
        pair_run(p, pair_all_established, 500 * PAIR_SECOND);
        pair_close(p, 0);
        cr_assert(pair_finish(p));
    }
}

Test(pair_open, four_tuple_in_use) {
    struct pair *p = pair_new_established(6);
    tcp_id id;
    int rc = tcp_connect(p->side[0].core, 0, PAIR_ADDR(0), rte_cpu_to_be_16(PAIR_CLIENT_PORT), PAIR_ADDR(1),
                         rte_cpu_to_be_16(PAIR_SERVER_PORT), 9, p->now_us, &id);
    cr_expect_eq(rc, WEIR_EEXIST);
    pair_close(p, 0);
    cr_assert(pair_finish(p));
}

static void refused(struct pair *p) {
    p->conn[0].may_break = true;
    pair_open(p, 0, 0);
    pair_run(p, closed_on_client, PAIR_SECOND / 10);
    cr_expect_eq(p->conn[0].end[0].end, TCP_END_REFUSED);
    cr_expect_eq(tcp_core_stats(p->side[0].core)->ends[TCP_END_REFUSED], 1);
    cr_expect_eq(tcp_core_stats(p->side[1].core)->resets_out, 1);
    cr_assert(pair_finish(p));
}

Test(pair_open, listener_draining) {
    struct pair *p = pair_new_default(7);
    tcp_listen_accepting(p->side[1].core, 7, false);
    refused(p);
}

Test(pair_open, no_listener) {
    struct pair *p = pair_new_default(8);
    p->conn[0].may_break = true;
    tcp_id id;
    int rc = tcp_connect(p->side[0].core, 0, PAIR_ADDR(0), rte_cpu_to_be_16(PAIR_CLIENT_PORT), PAIR_ADDR(1),
                         rte_cpu_to_be_16(1), 1, p->now_us, &id);
    cr_assert_eq(rc, 0);
    p->n_conns = 1;
    p->conn[0].end[0].id = id;
    pair_run(p, closed_on_client, PAIR_SECOND / 10);
    cr_expect_eq(p->conn[0].end[0].end, TCP_END_REFUSED);
    cr_assert(pair_finish(p));
}

Test(pair_open, connect_timeout) {
    struct pair *p = pair_new_default(9);
    p->conn[0].may_break = true;
    p->side[0].dark = true;
    pair_open(p, 0, 0);
    uint64_t start_us = p->now_us;
    pair_run(p, closed_on_client, 10 * PAIR_SECOND);
    cr_expect_eq(p->conn[0].end[0].end, TCP_END_CONNECT_TIMEOUT);
    cr_expect_geq(p->now_us - start_us, 5 * PAIR_SECOND - 1000);
    cr_expect_leq(p->now_us - start_us, 5 * PAIR_SECOND + 10000);
    cr_expect_geq(sim_link_stats(p->side[0].tx)->filtered, 3, "1, 2 and 4 s apart");
    cr_assert(pair_finish(p));
}

/* A client that never answers the SYN-ACK holds no memory for longer than the half-open timeout, and nobody is told. */
Test(pair_open, half_open_timeout) {
    struct pair *p = pair_new_default(10);
    p->conn[0].may_break = true;
    p->side[0].dark_flags = WIRE_TCP_ACK | WIRE_TCP_RST;
    pair_open(p, 0, 0);
    pair_run(p, client_established, PAIR_SECOND);
    cr_expect_eq(p->side[1].core->half_open, 1);
    pair_abort(p, 0, 0);
    pair_run(p, NULL, 9 * PAIR_SECOND);
    cr_expect_eq(p->side[1].core->half_open, 1);
    pair_run(p, NULL, 2 * PAIR_SECOND);
    cr_expect_eq(p->side[1].core->half_open, 0);
    cr_expect_eq(tcp_core_stats(p->side[1].core)->ends[TCP_END_HALF_OPEN_TIMEOUT], 1);
    cr_expect_not(p->conn[0].end[1].opened);
    cr_assert(pair_finish(p));
}

/* Half-open flows are bounded; without cookies those beyond are let in when there is room. */
Test(pair_open, half_open_full) {
    struct pair_setup setup;
    pair_setup_default(&setup, 11);
    setup.tcp[1].max_half_open = 2;
    setup.tcp[0].connect_timeout_ms = 30000;
    struct pair *p = pair_new(&setup);
    tcp_listen_options(p->side[1].core, 7, &(struct tcp_options){.cookies = TCP_COOKIES_OFF});
    p->side[1].dark = true;
    for (uint32_t i = 0; i < 5; i++) {
        pair_set_transfer(p, i, 5000);
        pair_open(p, 0, i);
    }
    pair_run(p, NULL, PAIR_SECOND / 10);
    cr_expect_eq(p->side[1].core->half_open, 2);
    cr_expect_eq(tcp_core_stats(p->side[1].core)->half_open_refused, 3);
    p->side[1].dark = false;
    pair_run(p, pair_is_over, 60 * PAIR_SECOND);
    cr_expect(pair_all_arrived(p));
    cr_assert(pair_finish(p));
}

Test(pair_open, conns_full) {
    struct pair_setup setup;
    pair_setup_default(&setup, 12);
    setup.tcp[1].max_conns = 2;
    setup.tcp[0].max_conns = 3;
    struct pair *p = pair_new(&setup);
    for (uint32_t i = 0; i < 3; i++) {
        p->conn[i].may_break = i == 2;
        pair_open(p, 0, i);
    }
    tcp_id id;
    cr_expect_eq(tcp_connect(p->side[0].core, 0, PAIR_ADDR(0), rte_cpu_to_be_16(9), PAIR_ADDR(1),
                             rte_cpu_to_be_16(PAIR_SERVER_PORT), 9, p->now_us, &id),
                 WEIR_ENOMEM);
    pair_run(p, NULL, 6 * PAIR_SECOND);
    cr_expect_eq(p->conn[2].end[0].end, TCP_END_CONNECT_TIMEOUT);
    cr_expect_geq(tcp_core_stats(p->side[1].core)->conns_refused, 1);
    for (uint32_t i = 0; i < 2; i++) {
        pair_release(p, 0, i);
        p->conn[i].end[1].does = PAIR_CLOSE;
    }
    cr_assert(pair_finish(p));
}
