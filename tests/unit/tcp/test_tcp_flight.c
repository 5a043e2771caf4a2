/* SPDX-License-Identifier: BSD-3-Clause */
/* The records of what is outstanding: whatever happens to them, the sums, both lists and the hints hold. */
#include "loss_fixture.h"

static void sums_hold(void) {
    const struct tcp_flight *f = tcp_flight_of(core, c);
    uint32_t sacked = 0, lost = 0, resent = 0, n_sacked = 0, timed = 0, n = 0, seq = c->snd_una;
    for (uint32_t i = c->seg_head; i; i = tcp_sent_of(core, i)->next, n++) {
        const struct tcp_sent *s = tcp_sent_of(core, i);
        cr_assert(s->seq == seq && s->len, "no gap");
        seq = tcp_sent_end(s);
        sacked += s->flags & TCP_SENT_SACKED ? s->len : 0;
        lost += s->flags & TCP_SENT_LOST ? s->len : 0;
        resent += s->flags & TCP_SENT_RESENT ? s->len : 0;
        n_sacked += !!(s->flags & TCP_SENT_SACKED);
        timed += !!(s->flags & TCP_SENT_TIMED);
        cr_assert(!f || !(s->flags & TCP_SENT_TIMED) == !!(s->flags & (TCP_SENT_LOST | TCP_SENT_SACKED)));
        cr_assert(c->seg_tail != i || !s->next);
    }
    cr_assert(seq == c->snd_nxt && n == c->sent_count);
    if (!f)
        return;
    cr_assert(f->sacked == sacked && f->lost == lost && f->resent == resent && f->n_sacked == n_sacked);
    for (uint32_t i = f->oldest, older = 0; i; older = i, i = tcp_sent_of(core, i)->later, timed--) {
        cr_assert_eq(tcp_sent_of(core, i)->older, older);
        cr_assert(!older || seq_leq(tcp_sent_of(core, older)->sent_us, tcp_sent_of(core, i)->sent_us), "by departure");
    }
    cr_assert_eq(timed, 0);
}

static unsigned first_lost(void) {
    uint32_t lost = tcp_sent_next_lost(core, c);
    return lost ? (tcp_sent_of(core, lost)->seq - c->snd_una) / MSS : UINT32_MAX;
}

Test(tcp_flight, a_record_a_segment) {
    open_flow(true);
    fly(5);
    sums_hold();
    cr_assert(c->sent_count == 5 && core->sent_flows == 1);
    cr_assert_eq(c->flight, 0, "nothing is unusual");
    ack(2, 0, 0);
    cr_assert_eq(c->sent_count, 3);
    struct craft part = peer_segment(core, id);
    part.ack = first + 2 * MSS + 400;
    feed(core, &part);
    sums_hold();
    cr_assert_eq(tcp_sent_of(core, c->seg_head)->len, MSS - 400);
    ack(5, 0, 0);
    cr_assert(!c->sent_count && !c->seg_head && !c->seg_tail && !core->sent_flows && !core->sents.used);
    harness_core_free(core);
}

Test(tcp_flight, states_and_sums) {
    open_flow(true);
    fly(3);
    sleep_ms(core, 1);
    fly(3);
    struct tcp_flight *f = tcp_flight_take(core, c);
    cr_assert_eq(tcp_flight_take(core, c), f);
    sums_hold();
    cr_assert_eq(first_lost(), UINT32_MAX);
    tcp_sent_lost(core, c, f, record(4));
    tcp_sent_sacked(core, f, record(2));
    cr_assert_eq(first_lost(), 4);
    tcp_sent_lost(core, c, f, record(1));
    cr_assert_eq(first_lost(), 1, "the hint goes back");
    tcp_sent_lost(core, c, f, record(2));
    sums_hold();
    cr_assert_eq(f->lost, 2 * MSS, "what has arrived is not lost");
    cr_assert_eq(tcp_pipe(core, c), 3 * MSS);
    tcp_sent_again(core, c, record(1));
    sums_hold();
    cr_assert(f->resent == MSS && f->latest == record(1) && tcp_sent_of(core, record(1))->times == 2);
    cr_assert_eq(first_lost(), 4);
    tcp_sent_restore(core, c, f);
    sums_hold();
    cr_assert(!f->lost && f->sacked == MSS && tcp_pipe(core, c) == 5 * MSS);
    cr_assert_eq(f->oldest, record(0), "by departure");
    cr_assert_eq(f->latest, record(1));
    tcp_sent_forget_sacks(core, c, f);
    sums_hold();
    cr_assert(!f->sacked && f->lost == MSS && first_lost() == 2);
    harness_core_free(core);
}

Test(tcp_flight, cut_and_joined) {
    open_flow(true);
    fly(3);
    struct tcp_flight *f = tcp_flight_take(core, c);
    for (unsigned i = 0; i < 3; i++)
        tcp_sent_lost(core, c, f, record(i));
    cr_assert(tcp_sent_split(core, c, record(1), 300));
    cr_assert(c->sent_count == 4 && tcp_sent_of(core, record(2))->len == 700);
    sums_hold();
    tcp_sent_join(core, c, record(1), MSS);
    cr_assert(c->sent_count == 3 && tcp_sent_of(core, record(1))->len == MSS, "no further than one segment");
    sums_hold();
    tcp_sent_join(core, c, record(0), 3 * MSS);
    cr_assert(c->sent_count == 1 && f->lost == 3 * MSS);
    sums_hold();
    core->sent_extra = 0;
    cr_assert(!tcp_sent_split(core, c, record(0), 300), "no record is left");
    ack(3, 0, 0);
    harness_core_free(core);
}

/* Peers with tiny segments must not take the records of all others. */
Test(tcp_flight, room) {
    open_flow(true);
    cr_assert_eq(tcp_sent_room(core, c), 1024);
    core->sent_extra = 64;
    c->cwnd = 64 * MSS;
    fly(20);
    cr_assert_eq(tcp_sent_room(core, c), 3, "19 of 64 are in use: half of 45, and the one that everybody has");
    fly(2);
    cr_assert_eq(tcp_sent_room(core, c), 0);
    struct craft syn = {.mss = MSS, .remote_port = 40001};
    struct tcp_conn *other = tcp_conn_of(core, establish(core, &syn));
    cr_assert_eq(tcp_sent_room(core, other), 22, "as much as the one before");
    core->sent_extra = 16;
    cr_assert_eq(tcp_sent_room(core, other), 1, "one segment always");
    ack(22, 0, 0);
    harness_core_free(core);
}

Test(tcp_flight, whatever_happens) {
    open_flow(true);
    struct decoded d[64];
    uint32_t x = 1;
    c->cwnd = 64 * MSS;
    for (unsigned step = 0; step < 3000; step++) {
        x = x * 1664525 + 1013904223;
        unsigned what = x >> 29, which = c->sent_count ? (x >> 8) % c->sent_count : 0;
        sleep_ms(core, x >> 16 & 1);
        tcp_timer_stop(c, TCP_TIMER_REXMIT);
        if (!c->sent_count || (what == 0 && c->sent_count < 20)) {
            send_bytes(core, id, MSS); /* what is lost goes out before it */
            out(d);
            sums_hold();
            continue;
        }
        struct tcp_flight *f = tcp_flight_take(core, c);
        uint32_t i = record(which);
        uint8_t flags = tcp_sent_of(core, i)->flags;
        uint16_t len = tcp_sent_of(core, i)->len;
        if (what == 1 && !(flags & TCP_SENT_SACKED))
            tcp_sent_sacked(core, f, i);
        else if (what <= 3)
            tcp_sent_lost(core, c, f, i);
        else if (what == 4 && (i = tcp_sent_next_lost(core, c)) != 0)
            tcp_sent_again(core, c, i);
        else if (what == 5)
            x & 256 ? tcp_sent_restore(core, c, f) : tcp_sent_forget_sacks(core, c, f);
        else if (what == 6 && len > 1 && c->sent_count < 40)
            tcp_sent_split(core, c, i, (uint16_t)(1 + x % (len - 1u)));
        else if (what == 7 && (flags & TCP_SENT_LOST))
            tcp_sent_join(core, c, i, MSS);
        sums_hold();
    }
    tcp_flight_clear(core, c);
    cr_assert(!core->sents.used && !core->sent_flows && !core->flights.used);
    tcp_conn_abort(core, id);
    out(d);
    harness_core_free(core);
}
