/* SPDX-License-Identifier: BSD-3-Clause */
/* Loss recovery against peers that mean harm, and against bad luck: nothing is stuck, nothing loops, what an ACK may
 * cost is bounded. */
#include "../../pair/core_check.h"
#include "loss_fixture.h"

static unsigned flush(unsigned max) {
    struct rte_mbuf *m[64];
    unsigned n = tcp_output(core, m, (uint16_t)max, core->now_us);
    rte_pktmbuf_free_bulk(m, n);
    return n;
}

/* A peer that acknowledges, SACKs and repeats whatever it likes, while timers fire and the path's MTU falls: the
 * records hold, what is outstanding has a timer, and once it behaves everything gets through. */
static void hostile_walk(bool sack, bool ts, uint32_t seed) {
    struct craft syn = {.mss = MSS, .sack_ok = sack, .has_ts = ts, .ts_val = 5};
    uint64_t x = seed;
    core = harness_core(NULL);
    core->ports[0].tso = seed % 3 == 0;
    core->ports[0].tso_max = 20000;
    core->ports[0].tso_segs = 16;
    id = establish(core, &syn);
    c = tcp_conn_of(core, id);
    for (unsigned step = 0; step < 400; step++) {
        x = x * 6364136223846793005ull + 1442695040888963407ull;
        uint32_t r = (uint32_t)(x >> 33), span = c->snd_nxt - c->snd_una;
        if (r % 4 == 0 && !(c->flags & TCP_F_SHUTDOWN))
            send_bytes(core, id, 1 + (r >> 8) % (4 * MSS));
        struct craft f = peer_segment(core, id);
        f.ts_val = c->ts_recent;
        f.ts_ecr = tcp_ts_now(core, c) - (r >> 20) % 64;
        f.ack = c->snd_una + (r % 3 == 0 && span ? (r >> 4) % (span + 1) : 0);
        f.wnd = r % 13 == 0 ? (uint16_t)((r >> 9) % 3 * ((r >> 11) % 1500)) : 60000;
        f.n_sacks = sack ? (r >> 3) % 4 : 0;
        for (unsigned i = 0; i < f.n_sacks; i++) {
            x = x * 6364136223846793005ull + 1442695040888963407ull;
            uint32_t at = (uint32_t)(x >> 33) % (span + 1), n = (uint32_t)(x >> 40) % (span + 1);
            bool whole = (x >> 60) % 2; /* of segments, or of any bytes */
            f.sacks[i].left = c->snd_una + (whole ? at / MSS * MSS : at) - ((x >> 61) % 4 == 0 ? MSS : 0);
            f.sacks[i].right = f.sacks[i].left + (whole ? n / MSS * MSS + MSS : n);
        }
        feed(core, &f);
        if (r % 5 == 0)
            sleep_ms(core, r % 50 == 0 ? 400 : (r >> 12) % 20);
        core->sent_extra = seed % 5 == 4 ? 4 + (r >> 7) % 64 : core->sent_extra;
        if (r % 97 == 0 && c->mss > 500) {
            c->mss = (uint16_t)(c->mss - 100);
            tcp_loss_mss_lowered(core, c);
        }
        if (r % 3)
            flush(1 + (r >> 5) % 63);
        if (r % 331 == 0)
            tcp_conn_shutdown(core, id);
        if (tcp_conn_state(core, id) == TCP_CLOSED)
            break;
        struct core_fault fault = {0};
        cr_assert(core_check_conn(core, c, CORE_CHECK_ALL, &fault) && core_check_records(core, c, &fault),
                  "seed %u step %u: %s", seed, step, fault.text);
        cr_assert_leq(tcp_pipe(core, c), c->snd_nxt - c->snd_una, "seed %u step %u: pipe", seed, step);
    }
    for (unsigned i = 0; i < 3000 && (c->tx.len_bytes || c->snd_una != c->snd_nxt); i++) {
        if (flush(64)) {
            struct craft f = peer_segment(core, id);
            f.ts_val = c->ts_recent;
            feed(core, &f);
        }
        sleep_ms(core, 100);
    }
    core->sent_extra = weir_max_u32(core->sent_extra, 1024);
    cr_assert_eq(c->tx.len_bytes, 0, "seed %u: stuck with %u, state %u", seed, c->tx.len_bytes, c->state);
    tcp_conn_abort(core, id);
    flush(64);
    harness_core_free(core);
}

Test(tcp_hostile, attack_a_peer_that_acknowledges_anything) {
    for (uint32_t seed = 0; seed < 60; seed++)
        hostile_walk(seed & 1, seed & 2, seed);
}

/* RFC 8985 6.3, RFC 5681 3.1: the timer sends the head, whatever else is still on its way. */
Test(tcp_hostile, timeout_sends_the_head_beside_what_is_out) {
    struct decoded d[64];
    open_flow(true);
    tcp_flight_take(core, c);
    fly(1);
    sleep_ms(core, 300);
    ack(1, 0, 0);       /* RACK.rtt */
    c->rto_us = 400000; /* before a probe is due */
    fly(1);
    sleep_ms(core, c->rto_us / 1000 - 10);
    fly(5);
    sleep_ms(core, 11);
    cr_assert_eq(core->stats.rto_fired, 1);
    cr_assert_eq(tcp_pipe(core, c), 5 * MSS);
    cr_assert_eq(out(d), 1, "the head");
    cr_assert_eq(d[0].seq, first + MSS);
    cr_assert_eq(tcp_pipe(core, c), c->cwnd);
    ack(7, 0, 0);
    harness_core_free(core);
}

/* The last segment was SACKed while its probe was due. */
Test(tcp_hostile, no_probe_of_what_has_arrived) {
    struct decoded d[64];
    struct core_fault fault = {0};
    open_flow(true);
    fly(4);
    sleep_ms(core, 10);
    struct tcp_flight *f = tcp_flight_take(core, c);
    tcp_sent_sacked(core, f, record(3));
    tcp_timer_stop(c, TCP_TIMER_REXMIT);
    tcp_tlp_fired(core, c);
    unsigned n = out(d);
    for (unsigned i = 0; i < n; i++)
        cr_assert_neq(d[i].seq, first + 3 * MSS);
    cr_assert(core_check_records(core, c, &fault), "%s", fault.text);
    cr_assert(c->rexmit_ms, "a timer runs");
    ack(4, 0, 0);
    harness_core_free(core);
}

/* No record for the second half of a segment that has become too large: its flow goes on piece by piece, and the other
 * flows of the port as if nothing had happened. */
Test(tcp_hostile, a_flow_without_records_does_not_hold_up_others) {
    struct decoded d[64];
    open_flow(false);
    fly(1);
    struct craft syn = {.mss = MSS, .remote_port = 40001};
    tcp_id other = establish(core, &syn);
    core->sent_extra = 0;
    c->mss = 600;
    tcp_loss_mss_lowered(core, c);
    send_bytes(core, other, 100);
    unsigned n = out(d);
    cr_assert_eq(n, 2);
    cr_assert(d[0].seq == first && d[0].len == 600);
    cr_assert_eq(d[1].len, 100);
    cr_assert(c->rexmit_ms, "the rest has its timer");
    struct craft a = peer_segment(core, id);
    a.ack = first + 600;
    feed(core, &a);
    sleep_ms(core, 3000);
    bool rest = false;
    for (n = out(d); n; n--)
        rest |= d[n - 1].seq == first + 600 && d[n - 1].len == 400;
    cr_assert(rest);
    ack(1, 0, 0);
    cr_assert_eq(c->tx.len_bytes, 0);
    tcp_conn_abort(core, other);
    out(d);
    harness_core_free(core);
}

/* What duplicate ACKs say to have left, and what is lost because it was too large, are not both taken off the pipe. */
Test(tcp_hostile, smaller_segments_after_duplicates) {
    struct decoded d[64];
    open_flow(false);
    fly(10);
    ack(0, 0, 0);
    ack(0, 0, 0);
    c->mss = 600;
    tcp_loss_mss_lowered(core, c);
    cr_assert_leq(tcp_pipe(core, c), 10 * MSS);
    unsigned n = out(d);
    cr_assert(n && d[0].seq == first && d[0].len == 600);
    ack(10, 0, 0);
    harness_core_free(core);
}

/* Karn: of an ACK that covers a retransmission nothing is measured, not even for what waited behind it. */
Test(tcp_hostile, a_hole_is_not_measured) {
    struct decoded d[64];
    open_flow(false);
    fly(5);
    sleep_ms(core, 1001);
    cr_assert_eq(out(d), 1);
    sleep_ms(core, 20);
    ack(5, 0, 0);
    cr_assert_eq(c->srtt_us, 0, "the other four were not under way for a second");
    harness_core_free(core);
}

/* The place in the send rope where the last retransmission stood is gone when it is acknowledged, not 2^31 bytes later.
 */
Test(tcp_hostile, place_in_the_rope_goes_with_its_mbuf) {
    struct decoded d[64];
    open_flow(false);
    fly(3);
    sleep_ms(core, 1001);
    cr_assert_eq(out(d), 1);
    struct tcp_flight *f = tcp_flight_of(core, c);
    cr_assert(f->rope_hint);
    ack(3, 0, 0);
    cr_assert_null(f->rope_hint);
    harness_core_free(core);
}

/* RFC 5681 3.1 (4): what was sent after a timeout was over is a loss of its own, also while the timeout is still backed
 * off because nothing has been measured. */
Test(tcp_hostile, the_next_timeout_reduces_again) {
    struct decoded d[64];
    open_flow(false);
    fly(20);
    sleep_ms(core, 1001);
    out(d);
    cr_assert_eq(c->ssthresh, 10 * MSS);
    ack(20, 0, 0);
    cr_assert(c->backoff && !(c->flags & TCP_F_LOSS));
    fly(10);
    sleep_ms(core, 2001);
    cr_assert_eq(core->stats.rto_fired, 2);
    cr_assert_eq(c->ssthresh, 5 * MSS);
    out(d);
    ack(30, 0, 0);
    harness_core_free(core);
}

/* RFC 2883: what never left cannot have arrived twice. */
Test(tcp_hostile, duplicates_of_what_was_never_sent) {
    open_flow(true);
    fly(5);
    struct craft a = peer_segment(core, id);
    a.ack = first;
    a.n_sacks = 2;
    a.sacks[0] = (struct tcp_sack){first + 8 * MSS, first + 9 * MSS};
    a.sacks[1] = (struct tcp_sack){first + MSS, first + 100 * MSS};
    feed(core, &a);
    cr_assert_eq(core->stats.dsacks_in, 0);
    ack(5, 0, 0);
    harness_core_free(core);
}
