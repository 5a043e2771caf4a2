/* SPDX-License-Identifier: BSD-3-Clause */
/* Whole connections that begin with a SYN cookie: all combinations of options, lost segments of the handshake, the
 * change of the key, and what stands in TIME-WAIT. */
#include "pair.h"

#include "net/wire.h"

#include <criterion/criterion.h>

TestSuite(pair_cookie, .init = pair_init, .timeout = 60);

/* Option kinds, for pair_setup.strip. */
#define NO_WSCALE 1u << 3
#define NO_SACK   1u << 4
#define NO_TS     1u << 8

static struct pair *by_cookie(struct pair *p) {
    tcp_listen_options(p->side[1].core, 7, &(struct tcp_options){.cookies = TCP_COOKIES_ALWAYS});
    return p;
}

static void all_by_cookie(const struct pair *p, uint32_t conns) {
    const struct tcp_stats *s = tcp_core_stats(p->side[1].core);
    cr_expect_geq(s->cookies_sent, conns);
    cr_expect_eq(s->cookies_accepted, conns);
    cr_expect_eq(s->accepted, conns);
    cr_expect_eq(s->half_open_refused, 0);
}

/* 200 KB each way over a clean link and one that loses, with each subset of the options taken off. */
static void transfer(uint32_t strip, uint32_t loss_ppm, uint64_t seed) {
    struct pair_setup setup;
    pair_setup_default(&setup, seed);
    setup.strip = strip;
    for (unsigned s = 0; s < 2; s++) {
        setup.tcp[s].rcv_buf_bytes = 262144;
        setup.link[s].loss_ppm = loss_ppm;
        setup.link[s].reorder_ppm = loss_ppm;
        setup.link[s].dup_ppm = loss_ppm;
    }
    struct pair *p = by_cookie(pair_new(&setup));
    for (uint32_t i = 0; i < 4; i++) {
        p->conn[i].may_break = loss_ppm != 0; /* data behind a lost ACK that comes first is a stray, and is reset */
        pair_set_transfer(p, i, 200000);
        pair_open(p, 0, i);
    }
    pair_run(p, pair_is_over, 600 * PAIR_SECOND);
    if (!loss_ppm) {
        cr_expect(pair_all_arrived(p), "strip %x", strip);
        all_by_cookie(p, 4);
    }
    cr_assert(pair_finish(p), "strip %x", strip);
}

Test(pair_cookie, transfers_with_every_set_of_options) {
    const uint32_t kinds[] = {NO_WSCALE, NO_SACK, NO_TS};
    for (uint32_t set = 0; set < 8; set++) {
        uint32_t strip = 0;
        for (unsigned k = 0; k < 3; k++)
            strip |= set & 1u << k ? kinds[k] : 0;
        transfer(strip, 0, 100 + set);
        transfer(strip, 20000, 200 + set);
    }
}

Test(pair_cookie, options_are_as_without) {
    struct pair_setup setup;
    pair_setup_default(&setup, 1);
    setup.tcp[0].rcv_buf_bytes = setup.tcp[1].rcv_buf_bytes = 1u << 20;
    struct pair *p = by_cookie(pair_new(&setup));
    pair_set_transfer(p, 0, 0);
    p->conn[0].end[0].does = p->conn[0].end[1].does = 0;
    pair_open(p, 0, 0);
    pair_run(p, pair_all_established, PAIR_SECOND);
    struct tcp_info client, server;
    tcp_conn_info(p->side[0].core, p->conn[0].end[0].id, &client);
    tcp_conn_info(p->side[1].core, p->conn[0].end[1].id, &server);
    cr_expect(server.sack && server.timestamps && server.mss == 1448);
    cr_expect_eq(server.snd_wscale, client.rcv_wscale);
    cr_expect_eq(server.rcv_wscale, client.snd_wscale);
    pair_abort(p, 0, 0);
    p->conn[0].may_break = true;
    pair_run(p, NULL, PAIR_SECOND);
    all_by_cookie(p, 1);
    cr_assert(pair_finish(p));
}

/* The cookie, or the client's SYN, is lost: the client's SYN comes again. The cookie itself is never sent again. */
static void lose_at_first(unsigned side, uint8_t flags) {
    struct pair *p = by_cookie(pair_new_default(2));
    pair_set_transfer(p, 0, 5000);
    p->side[side].dark_flags = flags;
    pair_open(p, 0, 0);
    pair_run(p, NULL, PAIR_SECOND / 2);
    cr_expect_eq(p->side[1].core->conns.used, 0);
    p->side[side].dark_flags = 0;
    pair_run(p, pair_is_over, 20 * PAIR_SECOND);
    cr_expect(pair_all_arrived(p));
    all_by_cookie(p, 1);
    cr_assert(pair_finish(p));
}

Test(pair_cookie, syn_lost) {
    lose_at_first(0, WIRE_TCP_SYN);
}

Test(pair_cookie, syn_ack_lost) {
    lose_at_first(1, WIRE_TCP_SYN);
}

/* The ACK is lost, and with it the first flight of data: its retransmission completes the connection. */
Test(pair_cookie, last_ack_lost) {
    lose_at_first(0, WIRE_TCP_ACK);
}

/* The client says nothing, its ACK is lost: it believes in a connection that we know nothing of, until it speaks. */
Test(pair_cookie, last_ack_lost_and_silence) {
    struct pair *p = by_cookie(pair_new_default(3));
    p->side[0].dark_flags = WIRE_TCP_ACK;
    pair_open(p, 0, 0);
    pair_run(p, NULL, 30 * PAIR_SECOND);
    cr_expect(p->conn[0].end[0].opened && !p->conn[0].end[1].opened);
    cr_expect_eq(p->side[1].core->conns.used, 0);
    p->side[0].dark_flags = 0;
    pair_write(p, 0, 0, 100);
    pair_run(p, pair_all_established, PAIR_SECOND);
    for (unsigned s = 0; s < 2; s++)
        pair_abort(p, s, 0);
    p->conn[0].may_break = true;
    all_by_cookie(p, 1);
    cr_assert(pair_finish(p));
}

/* The same 4-tuple again and again: while it stands in TIME-WAIT here a flow takes its place, later a cookie. */
Test(pair_cookie, one_tuple_again_and_again) {
    struct pair *p = by_cookie(pair_new_default(4));
    for (uint32_t i = 0; i < 6; i++) {
        p->conn[i].client_port = 7777;
        pair_set_transfer(p, i, 3000);
        p->conn[i].end[0].does = PAIR_CLOSE; /* after the server */
        pair_open(p, 0, i);
        pair_run(p, pair_all_arrived, 10 * PAIR_SECOND);
        pair_run(p, NULL, i % 2 ? 3 * PAIR_SECOND : PAIR_SECOND / 4);
    }
    const struct tcp_stats *s = tcp_core_stats(p->side[1].core);
    cr_expect(s->cookies_accepted == 3 && s->time_wait_reused == 3 && s->accepted == 6);
    cr_assert(pair_finish(p));
}
