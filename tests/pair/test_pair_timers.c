/* SPDX-License-Identifier: BSD-3-Clause */
/* What only time decides: back-off and giving up, zero windows, keep-alive. */
#include "pair.h"

#include "net/wire.h"

#include <criterion/criterion.h>

TestSuite(pair_timers, .init = pair_init, .timeout = 60);

static const struct tcp_stats *stats(const struct pair *p, unsigned s) {
    return tcp_core_stats(p->side[s].core);
}

static bool client_closed(const struct pair *p) {
    return p->conn[0].end[0].closed;
}

/* RFC 6298 5.5: each timeout is twice the one before; the flow ends at the user timeout. */
Test(pair_timers, rto_backs_off_and_gives_up) {
    struct pair *p = pair_new_established(1);
    p->conn[0].may_break = true;
    p->side[0].dark = true;
    pair_write(p, 0, 0, 1000);
    uint64_t start_us = p->now_us, last_us = p->now_us, gap_us = 0, fired = 0;
    while (!client_closed(p) && !p->error[0] && p->now_us < start_us + 200 * PAIR_SECOND) {
        pair_run(p, NULL, 1000);
        if (stats(p, 0)->rto_fired == fired)
            continue;
        fired = stats(p, 0)->rto_fired;
        uint64_t gap = p->now_us - last_us;
        cr_expect(gap_us == 0 || (gap > gap_us * 19 / 10 && gap < gap_us * 21 / 10) || gap >= 20 * PAIR_SECOND,
                  "timeout %lu after %lu us, the one before after %lu us", fired, gap, gap_us);
        gap_us = gap;
        last_us = p->now_us;
    }
    cr_expect_geq(fired, 6);
    cr_expect_eq(p->conn[0].end[0].end, TCP_END_RTO_TIMEOUT);
    cr_expect_geq(p->now_us - start_us, 59 * PAIR_SECOND);
    cr_expect_leq(p->now_us - start_us, 121 * PAIR_SECOND);
    p->side[0].dark = false;
    pair_abort(p, 1, 0);
    cr_assert(pair_finish(p));
}

/* The path comes back after a while: so do the bytes, and the time-out of later losses is a short one again. */
Test(pair_timers, outage) {
    for (unsigned s = 0; s < 2; s++) {
        struct pair *p = pair_new_established(2);
        p->side[s].dark = true;
        pair_write(p, 0, 0, 50000);
        pair_write(p, 1, 0, 50000);
        pair_run(p, NULL, 20 * PAIR_SECOND);
        p->side[s].dark = false;
        pair_run(p, pair_all_arrived, 30 * PAIR_SECOND);
        p->side[s].dark = true;
        pair_write(p, 0, 0, 3000);
        pair_run(p, NULL, PAIR_SECOND / 10);
        p->side[s].dark = false;
        pair_run(p, pair_all_arrived, PAIR_SECOND);
        pair_close(p, 0);
        cr_assert(pair_finish(p));
    }
}

/* Lost ACKs are no long round trips: the echo that comes at last is of the first copy, and does not raise the time-out.
 */
Test(pair_timers, rto_survives_lost_acks) {
    struct pair *p = pair_new_established(9);
    for (uint32_t i = 0; i < 10; i++) {
        p->side[1].dark = true;
        pair_write(p, 0, 0, 1000);
        pair_run(p, NULL, 3 * PAIR_SECOND);
        p->side[1].dark = false;
        pair_run(p, NULL, 5 * PAIR_SECOND);
        pair_write(p, 0, 0, 1000); /* Karn: only a new segment ends the back-off */
        pair_run(p, NULL, PAIR_SECOND);
        struct tcp_info info;
        tcp_conn_info(p->side[0].core, p->conn[0].end[0].id, &info);
        cr_expect_leq(info.rto_us, 250000);
        cr_expect_eq(info.unacked_bytes, 0);
    }
    pair_close(p, 0);
    cr_assert(pair_finish(p));
}

/* The reader stops, is probed, and goes on. */
static void zero_window(unsigned reader, uint64_t sleeps_us, uint32_t loss_ppm) {
    struct pair_setup setup;
    pair_setup_default(&setup, 3 + loss_ppm);
    setup.link[0].loss_ppm = setup.link[1].loss_ppm = loss_ppm;
    for (unsigned s = 0; s < 2; s++)
        setup.tcp[s].user_timeout_ms = 300000;
    struct pair *p = pair_new(&setup);
    pair_set_transfer(p, 0, 400000);
    pair_open(p, 0, 0);
    pair_run(p, pair_all_established, 5 * PAIR_SECOND);
    p->conn[0].end[reader].read_from_us = p->now_us + sleeps_us;
    pair_run(p, NULL, sleeps_us - 1000);
    cr_expect_gt(stats(p, !reader)->persist_probes, 0);
    cr_expect_leq(stats(p, !reader)->persist_probes, 20, "probes back off");
    cr_expect_leq(stats(p, reader)->rx_mbufs, 100, "no more than the window is held");
    pair_run(p, pair_all_arrived, 30 * PAIR_SECOND);
    cr_expect_eq(p->conn[0].end[reader].read_bytes, 400000);
    cr_assert(pair_finish(p));
}

Test(pair_timers, zero_window) {
    for (unsigned reader = 0; reader < 2; reader++) {
        zero_window(reader, 5 * PAIR_SECOND, 0);
        zero_window(reader, 40 * PAIR_SECOND, 0);
        zero_window(reader, 20 * PAIR_SECOND, 100000);
    }
}

/* The update that opens the window is lost: a probe finds it open. */
Test(pair_timers, window_update_lost) {
    struct pair *p = pair_new_established(4);
    p->conn[0].end[1].read_from_us = p->now_us + 2 * PAIR_SECOND;
    p->conn[0].end[0].write_bytes = 300000;
    tcp_conn_again(p->side[0].core, p->conn[0].end[0].id, TCP_EV_WRITABLE);
    pair_run(p, NULL, 19 * PAIR_SECOND / 10);
    p->side[1].dark = true;
    pair_run(p, NULL, PAIR_SECOND / 5);
    cr_expect_not(pair_all_arrived(p));
    p->side[1].dark = false;
    pair_run(p, pair_all_arrived, 10 * PAIR_SECOND);
    pair_close(p, 0);
    cr_assert(pair_finish(p));
}

/* ... also where all that was queued fitted in, and the owner only asks for room when the window has closed: no byte
 * waits in the stack, and yet it must probe. */
Test(pair_timers, window_update_lost_nothing_queued) {
    struct pair_setup setup;
    pair_setup_default(&setup, 14);
    setup.tcp[1].rcv_buf_bytes = 32768;
    struct pair *p = pair_new(&setup);
    pair_open(p, 0, 0);
    pair_run(p, pair_all_established, PAIR_SECOND);
    struct pair_end *from = &p->conn[0].end[0], *to = &p->conn[0].end[1];
    const struct tcp_conn *c = pool_get(&p->side[0].core->conns, from->id);
    to->read_from_us = p->now_us + 2 * PAIR_SECOND;
    pair_write(p, 0, 0, c->snd_wnd);
    pair_run(p, NULL, PAIR_SECOND);
    cr_assert_eq(c->snd_wnd, 0);
    cr_assert_eq(c->tx.len_bytes, 0);
    from->write_bytes += 50000;
    tcp_conn_again(p->side[0].core, from->id, TCP_EV_WRITABLE);
    pair_run(p, NULL, 9 * PAIR_SECOND / 10);
    p->side[1].dark = true;
    pair_run(p, NULL, PAIR_SECOND / 5);
    p->side[1].dark = false;
    pair_run(p, pair_all_arrived, 10 * PAIR_SECOND);
    pair_close(p, 0);
    cr_assert(pair_finish(p));
}

/* RFC 6429: a window that stays shut does not hold our memory for ever, even where every probe is answered. */
Test(pair_timers, window_never_opens) {
    struct pair *p = pair_new_established(5);
    p->conn[0].may_break = true;
    p->conn[0].end[1].read_from_us = p->now_us + 1000 * PAIR_SECOND;
    p->conn[0].end[0].write_bytes = 300000;
    tcp_conn_again(p->side[0].core, p->conn[0].end[0].id, TCP_EV_WRITABLE);
    pair_run(p, client_closed, 150 * PAIR_SECOND);
    cr_expect_eq(p->conn[0].end[0].end, TCP_END_PERSIST_TIMEOUT, "%s", tcp_end_name(p->conn[0].end[0].end));
    pair_run(p, NULL, PAIR_SECOND);
    cr_expect_eq(p->conn[0].end[1].end, TCP_END_PEER_RESET);
    cr_assert(pair_finish(p));
}

static struct pair *kept_alive(uint64_t seed) {
    struct pair_setup setup;
    pair_setup_default(&setup, seed);
    for (unsigned s = 0; s < 2; s++) {
        setup.tcp[s].keepalive_idle_ms = s ? 3000000 : 10000;
        setup.tcp[s].keepalive_interval_ms = 1000;
        setup.tcp[s].keepalive_probes = 4;
    }
    struct pair *p = pair_new(&setup);
    pair_open(p, 0, 0);
    pair_run(p, pair_all_established, PAIR_SECOND);
    return p;
}

Test(pair_timers, keepalive_of_a_living_peer) {
    struct pair *p = kept_alive(6);
    pair_run(p, NULL, 205 * PAIR_SECOND);
    cr_expect_eq(pair_state(p, 0, 0), TCP_ESTABLISHED);
    cr_expect_geq(stats(p, 0)->keepalive_probes, 18);
    cr_expect_leq(stats(p, 0)->keepalive_probes, 21);
    cr_expect_eq(stats(p, 1)->keepalive_probes, 0);
    pair_write(p, 0, 0, 1000);
    pair_run(p, pair_all_arrived, PAIR_SECOND);
    pair_close(p, 0);
    cr_assert(pair_finish(p));
}

Test(pair_timers, keepalive_of_a_dead_peer) {
    struct pair *p = kept_alive(7);
    p->conn[0].may_break = true;
    p->side[1].dark = true;
    uint64_t start_us = p->now_us;
    pair_run(p, client_closed, 60 * PAIR_SECOND);
    cr_expect_eq(p->conn[0].end[0].end, TCP_END_KEEPALIVE_TIMEOUT, "%s", tcp_end_name(p->conn[0].end[0].end));
    cr_expect_geq(p->now_us - start_us, 13 * PAIR_SECOND);
    cr_expect_leq(p->now_us - start_us, 15 * PAIR_SECOND);
    cr_expect_eq(stats(p, 0)->keepalive_probes, 4);
    p->side[1].dark = false;
    if (p->conn[0].end[1].id)
        pair_abort(p, 1, 0);
    cr_assert(pair_finish(p));
}

/* RFC 1122 4.2.3.2: no ACK waits for longer than half a second, and a lone segment's ACK does wait. */
Test(pair_timers, delayed_ack) {
    struct pair *p = pair_new_established(8);
    pair_write(p, 0, 0, 60000); /* past the quick ACKs of a new flow */
    pair_run(p, pair_all_arrived, PAIR_SECOND);
    pair_run(p, NULL, PAIR_SECOND);
    uint64_t acks = stats(p, 1)->segs_out;
    pair_write(p, 0, 0, 10);
    pair_run(p, NULL, 5000);
    cr_expect_eq(stats(p, 1)->segs_out, acks);
    pair_run(p, NULL, PAIR_SECOND / 2);
    cr_expect_eq(stats(p, 1)->segs_out, acks + 1);
    cr_expect_eq(stats(p, 0)->retransmits, 0);
    pair_close(p, 0);
    cr_assert(pair_finish(p));
}
