/* SPDX-License-Identifier: BSD-3-Clause */
/* The table, cell by cell: every state that a flow can be in against every kind of segment. */
#include "harness.h"

#include <criterion/criterion.h>

#define FIRST         TCP_SYN_SENT
#define EACH_STATE(s) for (enum tcp_state s = FIRST; s < TCP_STATE_COUNT; s++)

static struct tcp_core *core;
static tcp_id id;

static void enter(enum tcp_state s) {
    core = harness_core(NULL);
    id = in_state(core, s);
}

static bool synchronised(enum tcp_state s) {
    return s >= TCP_ESTABLISHED;
}

static bool gone(void) {
    return tcp_conn_next(core, 0) == 0;
}

Test(tcp_state, reset_exact) {
    EACH_STATE(s) {
        enter(s);
        struct craft f = peer_segment(core, id);
        f.flags = s == TCP_SYN_SENT ? WIRE_TCP_RST | WIRE_TCP_ACK : WIRE_TCP_RST;
        int verdict = feed(core, &f);
        if (s == TCP_TIME_WAIT) { /* RFC 1337 */
            cr_assert_eq(verdict, -TCP_DROP_RST_TIME_WAIT);
            cr_assert_eq(tcp_conn_state(core, id), s);
        } else if (s == TCP_SYN_RECEIVED) { /* nobody owns it */
            cr_assert(gone());
            cr_assert_eq(core->half_open, 0);
        } else {
            cr_assert_eq(verdict, TCP_SEG_FREE, "%s", tcp_state_name(s));
            cr_assert_eq(tcp_conn_end(core, id), s == TCP_SYN_SENT ? TCP_END_REFUSED : TCP_END_PEER_RESET);
            cr_assert_eq(tcp_ready_next(core), id);
            cr_assert(tcp_conn_events(core, id) & TCP_EV_CLOSED);
            cr_assert_eq(core->table.used, 0);
            tcp_conn_release(core, id);
            cr_assert(gone());
        }
        harness_core_free(core);
    }
}

Test(tcp_state, reset_inexact_is_challenged) {
    EACH_STATE(s) {
        if (s == TCP_SYN_SENT || s == TCP_TIME_WAIT)
            continue;
        enter(s);
        struct craft f = peer_segment(core, id);
        f.flags = WIRE_TCP_RST;
        f.seq += 1;
        cr_assert_eq(feed(core, &f), -TCP_DROP_RST_INEXACT, "%s", tcp_state_name(s));
        cr_assert_eq(tcp_conn_state(core, id), s);
        cr_assert_eq(core->stats.challenge_acks, 1);
        if (s != TCP_SYN_RECEIVED) {
            struct decoded d = drain_one(core);
            cr_assert_eq(d.flags, WIRE_TCP_ACK);
            cr_assert_eq(d.ack, tcp_conn_of(core, id)->rcv_nxt);
        }
        cr_assert_eq(feed(core, &f), -TCP_DROP_RST_INEXACT);
        cr_assert_eq(core->stats.challenge_acks, 1, "one a flow in half a second");
        f.seq -= 2;
        cr_assert_eq(feed(core, &f), -TCP_DROP_RST_OUT);
        harness_core_free(core);
    }
}

Test(tcp_state, syn_is_challenged_wherever_it_stands) {
    EACH_STATE(s) {
        if (!synchronised(s) || s == TCP_TIME_WAIT)
            continue;
        for (uint32_t off = 0; off < 3; off++) {
            enter(s);
            struct craft f = peer_segment(core, id);
            f.flags = WIRE_TCP_SYN;
            f.seq += off == 0 ? 0 : off == 1 ? 500000 : 0u - 500000;
            cr_assert_eq(feed(core, &f), -TCP_DROP_SYN_IN_FLOW, "%s", tcp_state_name(s));
            cr_assert_eq(tcp_conn_state(core, id), s);
            cr_assert_eq(core->stats.challenge_acks, 1);
            harness_core_free(core);
        }
    }
}

Test(tcp_state, ack_is_checked) {
    EACH_STATE(s) {
        if (!synchronised(s) || s == TCP_TIME_WAIT)
            continue;
        enter(s);
        struct craft f = peer_segment(core, id);
        f.ack = tcp_conn_of(core, id)->snd_nxt + 1;
        cr_assert_eq(feed(core, &f), -TCP_DROP_ACK_FUTURE, "%s", tcp_state_name(s));
        f.ack = tcp_conn_of(core, id)->snd_una - 70000;
        cr_assert_eq(feed(core, &f), -TCP_DROP_ACK_OLD);
        f.flags = WIRE_TCP_PSH | WIRE_TCP_FIN; /* no ACK */
        cr_assert_eq(feed(core, &f), -TCP_DROP_ACK_MISSING);
        cr_assert_eq(tcp_conn_state(core, id), s);
        cr_assert_not(tcp_conn_rx(core, id)->len_bytes);
        harness_core_free(core);
    }
}

Test(tcp_state, data_in_every_state) {
    EACH_STATE(s) {
        if (!synchronised(s))
            continue;
        enter(s);
        struct craft f = peer_segment(core, id);
        f.len = 10;
        f.ack = tcp_conn_of(core, id)->snd_una;
        int verdict = feed(core, &f);
        bool takes = s == TCP_ESTABLISHED || s == TCP_FIN_WAIT_1 || s == TCP_FIN_WAIT_2;
        cr_assert_eq(tcp_conn_rx(core, id)->len_bytes, takes ? 10 : 0, "%s", tcp_state_name(s));
        cr_assert_eq(verdict, takes ? TCP_SEG_KEPT : s == TCP_TIME_WAIT ? -TCP_DROP_TIME_WAIT : -TCP_DROP_AFTER_FIN);
        harness_core_free(core);
    }
}

Test(tcp_state, urgent_data_is_in_line) {
    enter(TCP_ESTABLISHED);
    struct craft f = peer_segment(core, id);
    f.len = 3;
    f.flags |= WIRE_TCP_URG;
    cr_assert_eq(feed(core, &f), TCP_SEG_KEPT);
    cr_assert_eq(tcp_conn_rx(core, id)->len_bytes, 3);
    harness_core_free(core);
}

Test(tcp_state, fin_in_every_state) {
    static const struct {
        enum tcp_state before, after;
        bool acks_ours;
    } cases[] = {{TCP_ESTABLISHED, TCP_CLOSE_WAIT, false},
                 {TCP_FIN_WAIT_1, TCP_CLOSING, false},
                 {TCP_FIN_WAIT_1, TCP_TIME_WAIT, true},
                 {TCP_FIN_WAIT_2, TCP_TIME_WAIT, true}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        enter(cases[i].before);
        struct craft f = peer_segment(core, id);
        f.flags |= WIRE_TCP_FIN;
        f.len = 5;
        if (!cases[i].acks_ours)
            f.ack = tcp_conn_of(core, id)->snd_una;
        cr_assert_eq(feed(core, &f), TCP_SEG_KEPT);
        cr_assert_eq(tcp_conn_state(core, id), cases[i].after);
        cr_assert_eq(tcp_ready_next(core), id);
        uint8_t ev = tcp_conn_events(core, id);
        cr_assert((ev & TCP_EV_PEER_FIN) && (ev & TCP_EV_READABLE));
        cr_assert_eq(!!(ev & TCP_EV_CLOSED), cases[i].after == TCP_TIME_WAIT);
        struct decoded d = drain_one(core);
        cr_assert_eq(d.ack, f.seq + 6);
        f.len = 0; /* a FIN that comes again is acknowledged again */
        f.seq += 5;
        feed(core, &f);
        cr_assert_eq(drain_one(core).ack, f.seq + 1);
        harness_core_free(core);
    }
}

Test(tcp_state, acks_of_our_fin) {
    enter(TCP_CLOSING);
    struct craft f = peer_segment(core, id);
    feed(core, &f);
    cr_assert_eq(tcp_conn_state(core, id), TCP_TIME_WAIT);
    harness_core_free(core);

    enter(TCP_LAST_ACK);
    f = peer_segment(core, id);
    feed(core, &f);
    cr_assert_eq(tcp_conn_state(core, id), TCP_CLOSED);
    cr_assert_eq(tcp_conn_end(core, id), TCP_END_FIN);
    cr_assert_eq(core->table.used, 0);
    harness_core_free(core);
}

Test(tcp_state, syn_sent_wants_its_own_ack) {
    enter(TCP_SYN_SENT);
    uint32_t iss = tcp_conn_of(core, id)->snd_una;
    struct craft f = {.seq = 77, .ack = iss + 2, .flags = WIRE_TCP_SYN | WIRE_TCP_ACK, .wnd = 100};
    cr_assert_eq(feed(core, &f), -TCP_DROP_ACK_UNACCEPTABLE);
    struct decoded d = drain_one(core);
    cr_assert(d.flags == WIRE_TCP_RST && d.seq == iss + 2);
    f.flags = WIRE_TCP_RST | WIRE_TCP_ACK;
    cr_assert_eq(feed(core, &f), -TCP_DROP_ACK_UNACCEPTABLE);
    f.flags = WIRE_TCP_RST;
    cr_assert_eq(feed(core, &f), -TCP_DROP_RST_OUT, "a RST without ACK proves nothing");
    f.flags = WIRE_TCP_ACK;
    f.ack = iss + 1;
    cr_assert_eq(feed(core, &f), -TCP_DROP_FLAGS);
    cr_assert_eq(tcp_conn_state(core, id), TCP_SYN_SENT);
    f.flags = WIRE_TCP_SYN | WIRE_TCP_ACK;
    f.len = 4; /* data on the SYN-ACK is taken */
    cr_assert_eq(feed(core, &f), TCP_SEG_KEPT);
    cr_assert_eq(tcp_conn_state(core, id), TCP_ESTABLISHED);
    cr_assert_eq(tcp_ready_next(core), id);
    cr_assert_eq(tcp_conn_events(core, id), TCP_EV_CONNECTED | TCP_EV_READABLE);
    cr_assert_eq(drain_one(core).ack, 77 + 1 + 4);
    harness_core_free(core);
}

Test(tcp_state, simultaneous_open) {
    enter(TCP_SYN_SENT);
    uint32_t iss = tcp_conn_of(core, id)->snd_una;
    struct craft f = {.seq = 500, .flags = WIRE_TCP_SYN, .wnd = 100, .mss = 1000};
    cr_assert_eq(feed(core, &f), TCP_SEG_FREE);
    cr_assert_eq(tcp_conn_state(core, id), TCP_SYN_RECEIVED);
    struct decoded d = drain_one(core);
    cr_assert(d.flags == (WIRE_TCP_SYN | WIRE_TCP_ACK) && d.seq == iss && d.ack == 501);
    f.flags = WIRE_TCP_SYN | WIRE_TCP_ACK;
    f.ack = iss + 1;
    cr_assert_eq(feed(core, &f), TCP_SEG_FREE);
    cr_assert_eq(tcp_conn_state(core, id), TCP_ESTABLISHED);
    cr_assert_eq(tcp_ready_next(core), id);
    cr_assert_eq(tcp_conn_events(core, id), TCP_EV_CONNECTED);
    cr_assert_eq(core->half_open, 0);
    harness_core_free(core);
}

Test(tcp_state, syn_received) {
    enter(TCP_SYN_RECEIVED);
    uint32_t iss = tcp_conn_of(core, id)->snd_una;
    struct craft f = {.seq = 1000, .flags = WIRE_TCP_SYN, .wnd = 100};
    cr_assert_eq(feed(core, &f), TCP_SEG_FREE, "our SYN-ACK was lost");
    struct decoded d = drain_one(core);
    cr_assert(d.flags == (WIRE_TCP_SYN | WIRE_TCP_ACK) && d.seq == iss);
    f = (struct craft){.seq = 1001, .ack = iss + 5, .flags = WIRE_TCP_ACK, .wnd = 100};
    cr_assert_eq(feed(core, &f), -TCP_DROP_ACK_UNACCEPTABLE);
    d = drain_one(core);
    cr_assert(d.flags == WIRE_TCP_RST && d.seq == iss + 5);
    f.ack = iss + 1;
    f.len = 6;
    f.flags |= WIRE_TCP_FIN;
    cr_assert_eq(feed(core, &f), TCP_SEG_KEPT, "ACK, data and FIN at once");
    cr_assert_eq(tcp_conn_state(core, id), TCP_CLOSE_WAIT);
    cr_assert_eq(tcp_ready_next(core), id);
    cr_assert_eq(tcp_conn_events(core, id), TCP_EV_ACCEPTED | TCP_EV_READABLE | TCP_EV_PEER_FIN);
    harness_core_free(core);
}

Test(tcp_state, paws) {
    core = harness_core(NULL);
    struct craft syn = {.mss = 1460, .has_ts = true, .ts_val = 100};
    id = establish(core, &syn);
    struct craft f = peer_segment(core, id);
    f.ts_val = 99;
    f.len = 5;
    cr_assert_eq(feed(core, &f), -TCP_DROP_PAWS);
    cr_assert_eq(drain_one(core).ack, 1001);
    f.has_ts = false;
    cr_assert_eq(feed(core, &f), -TCP_DROP_TS_MISSING);
    f.has_ts = true;
    f.ts_val = 101;
    cr_assert_eq(feed(core, &f), TCP_SEG_KEPT);
    drain_one(core);
    core->now_us += 25ull * 86400 * 1000000; /* idle so long, the clock may have wrapped */
    f = peer_segment(core, id);
    f.ts_val = 7;
    f.len = 5;
    cr_assert_eq(feed(core, &f), TCP_SEG_KEPT);
    cr_assert_eq(tcp_conn_of(core, id)->ts_recent, 7);
    harness_core_free(core);
}
