/* SPDX-License-Identifier: BSD-3-Clause */
/* The end by RST in each state: our own, the peer's, and one that a stranger guessed right. */
#include "pair.h"

#include "net/wire.h"

#include <criterion/criterion.h>

TestSuite(pair_reset, .init = pair_init, .timeout = 60);

/* Takes side 0 into `state`; the peer is dark where an answer would lead out of it again. */
static struct pair *reach(enum tcp_state state) {
    struct pair *p = pair_new_default(state);
    p->conn[0].may_break = true;
    p->side[1].dark = state == TCP_SYN_SENT;
    pair_open(p, 0, 0);
    pair_run(p, NULL, 10000);
    if (state == TCP_CLOSE_WAIT || state == TCP_LAST_ACK)
        pair_shutdown(p, 1, 0);
    pair_run(p, NULL, 10000);
    if (state == TCP_FIN_WAIT_1 || state == TCP_LAST_ACK)
        p->side[1].dark = true;
    if (state == TCP_FIN_WAIT_1 || state == TCP_FIN_WAIT_2 || state == TCP_CLOSING || state == TCP_LAST_ACK ||
        state == TCP_TIME_WAIT)
        pair_shutdown(p, 0, 0);
    if (state == TCP_CLOSING) {
        pair_shutdown(p, 1, 0);
        pair_run(p, NULL, 100);
        p->side[1].dark = true;
    }
    pair_run(p, NULL, 10000);
    if (state == TCP_TIME_WAIT)
        pair_release(p, 1, 0);
    pair_run(p, NULL, 10000);
    cr_assert_eq(tcp_core_stats(p->side[0].core)->by_state[state], 1, "side 0 should be in %s, is in %s",
                 tcp_state_name(state), tcp_state_name(pair_state(p, 0, 0)));
    return p;
}

static const enum tcp_state states[] = {TCP_SYN_SENT,   TCP_ESTABLISHED, TCP_FIN_WAIT_1, TCP_FIN_WAIT_2,
                                        TCP_CLOSE_WAIT, TCP_CLOSING,     TCP_LAST_ACK};

/* Our owner aborts: gone at once, without an event; the peer hears of it. */
Test(pair_reset, by_us) {
    for (uint32_t i = 0; i < WEIR_ARRAY_LEN(states); i++) {
        struct pair *p = reach(states[i]);
        pair_abort(p, 0, 0);
        pair_run(p, NULL, 1000);
        cr_expect_eq(p->side[0].core->conns.used, 0, "%s", tcp_state_name(states[i]));
        cr_expect_eq(tcp_core_stats(p->side[0].core)->ends[TCP_END_ABORTED], 1);
        cr_expect_not(p->conn[0].end[0].closed);
        p->side[1].dark = false;
        pair_run(p, NULL, 10 * PAIR_SECOND);
        cr_expect(p->conn[0].end[1].closed || states[i] == TCP_SYN_SENT, "%s", tcp_state_name(states[i]));
        cr_assert(pair_finish(p));
    }
}

Test(pair_reset, by_peer) {
    for (uint32_t i = 1; i < WEIR_ARRAY_LEN(states); i++) {
        struct pair *p = reach(states[i]);
        p->side[1].dark = false;
        if (p->conn[0].end[1].id)
            pair_abort(p, 1, 0);
        pair_run(p, NULL, 5 * PAIR_SECOND); /* a peer that is through with it acknowledges our FIN the next time */
        cr_expect(p->conn[0].end[0].closed, "%s", tcp_state_name(states[i]));
        if (tcp_core_stats(p->side[1].core)->resets_out)
            cr_expect_eq(p->conn[0].end[0].end, TCP_END_PEER_RESET, "%s", tcp_state_name(states[i]));
        cr_expect_eq(p->side[0].core->conns.used, 0);
        cr_assert(pair_finish(p));
    }
}

/* RFC 5961 3.2: exactly RCV.NXT, in each state. */
Test(pair_reset, exact) {
    for (uint32_t i = 0; i < WEIR_ARRAY_LEN(states); i++) {
        struct pair *p = reach(states[i]);
        struct tcp_conn *c = pool_get(&p->side[0].core->conns, p->conn[0].end[0].id);
        struct pair_segment rst = {.sport = PAIR_SERVER_PORT,
                                   .dport = PAIR_CLIENT_PORT,
                                   .seq = c->rcv_nxt,
                                   .ack = c->snd_nxt,
                                   .flags = WIRE_TCP_RST | WIRE_TCP_ACK};
        pair_inject(p, 1, &rst);
        pair_run(p, NULL, 10);
        cr_expect(p->conn[0].end[0].closed, "%s", tcp_state_name(states[i]));
        cr_expect_eq(p->conn[0].end[0].end, states[i] == TCP_SYN_SENT ? TCP_END_REFUSED : TCP_END_PEER_RESET, "%s: %s",
                     tcp_state_name(states[i]), tcp_end_name(p->conn[0].end[0].end));
        cr_expect_eq(p->side[0].core->conns.used, 0);
        if (p->conn[0].end[1].id)
            pair_abort(p, 1, 0);
        cr_assert(pair_finish(p));
    }
}

/* A half-open flow goes silently: its owner never knew it. */
Test(pair_reset, syn_received) {
    struct pair *p = pair_new_default(50);
    p->conn[0].may_break = true;
    p->side[0].dark_flags = WIRE_TCP_ACK;
    pair_open(p, 0, 0);
    pair_run(p, NULL, 10000);
    cr_expect_eq(tcp_core_stats(p->side[1].core)->by_state[TCP_SYN_RECEIVED], 1);
    p->side[0].dark_flags = 0;
    pair_abort(p, 0, 0);
    pair_run(p, NULL, 10000);
    cr_expect_eq(p->side[1].core->conns.used, 0);
    cr_expect_eq(p->side[1].core->half_open, 0);
    cr_expect_not(p->conn[0].end[1].opened);
    cr_assert(pair_finish(p));
}

/* RFC 1337: RST does not cut TIME-WAIT short. */
Test(pair_reset, time_wait_stays) {
    struct pair *p = reach(TCP_TIME_WAIT);
    struct pair_segment rst = {
        .sport = PAIR_SERVER_PORT, .dport = PAIR_CLIENT_PORT, .seq = p->side[0].last.ack, .flags = WIRE_TCP_RST};
    pair_inject(p, 1, &rst);
    pair_run(p, NULL, 10000);
    cr_expect_eq(tcp_core_stats(p->side[0].core)->by_state[TCP_TIME_WAIT], 1);
    cr_expect_eq(tcp_core_stats(p->side[0].core)->drops[TCP_DROP_RST_TIME_WAIT], 1);
    cr_assert(pair_finish(p));
}

/* A RST with bytes in flight both ways, at many points of a transfer: no mbuf and no timer stays. */
Test(pair_reset, in_full_flight) {
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct pair_setup setup;
        pair_setup_default(&setup, seed);
        for (unsigned s = 0; s < 2; s++) {
            setup.link[s].loss_ppm = setup.link[s].reorder_ppm = 50000;
            setup.link[s].hold_tx = true;
            setup.multi_seg[s] = seed & 1;
        }
        struct pair *p = pair_new(&setup);
        for (uint32_t i = 0; i < 3; i++) {
            p->conn[i].may_break = true;
            p->conn[i].end[0].write_bytes = p->conn[i].end[1].write_bytes = 1 << 20;
            pair_open(p, 0, i);
        }
        pair_run(p, NULL, sim_rng_below(&p->rng, 100000));
        for (uint32_t i = 0; i < 3; i++) {
            unsigned s = sim_rng_below(&p->rng, 2);
            if (p->conn[i].end[s].id)
                pair_abort(p, s, i);
            else if (p->conn[i].end[!s].id)
                pair_abort(p, !s, i);
        }
        cr_assert(pair_finish(p));
    }
}
