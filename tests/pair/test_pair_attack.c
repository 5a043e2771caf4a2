/* SPDX-License-Identifier: BSD-3-Clause */
/* A stranger who cannot see the flow but knows its addresses and ports (RFC 5961), and segments that make no sense.
 *
 * Where each attack is shown between two stacks (a test's name in test_pair_<suite>.c; what one layer alone decides is
 * in tests/unit besides):
 *
 *   SYN flood (RFC 4987)                    hostile/syn_flood, cookie (all of it), open/half_open_full
 *   initial sequence prediction (RFC 6528)  hostile/isn_prediction
 *   blind RST (RFC 5961 3)                  attack/reset_inexact, reset_outside_the_window, reset_with_bytes
 *   blind SYN (RFC 5961 4)                  attack/syn_in_flow, peer_has_rebooted
 *   blind data (RFC 5961 5)                 attack/data_with_impossible_ack, ack_half_the_space_away,
 *                                           timestamp_from_the_future, noise_into_a_transfer
 *   challenge-ACK side channel              hostile/challenge_side_channel, attack/challenges_are_rate_limited
 *   wrong handshakes, strays, scans         attack/wrong_answers_to_a_syn, wrong_ack_to_a_syn_ack, strays,
 *                                           hostile/port_scan
 *   SACK panic (CVE-2019-11477, -11478)     hostile/sack_blocks
 *   tiny MSS (CVE-2019-11479)               hostile/tiny_mss
 *   SegmentSmack (CVE-2018-5390)            hostile/segment_smack, out_of_order_memory
 *   option length 0, data offset below 5    hostile/options_and_data_offset
 *   urgent pointer                          hostile/urgent_pointer
 *   old timestamps (RFC 7323 5)             attack/data_with_impossible_ack
 *   RST in TIME-WAIT (RFC 1337)             hostile/time_wait_assassination, reset/time_wait_stays
 *   forged ICMP (RFC 5927)                  hostile/forged_icmp
 *   sockstress, zero window (RFC 6429)      hostile/zero_windows, timers/window_never_opens,
 *                                           pressure/one_sleeper_harms_nobody
 *   shrinking window (RFC 9293 3.8.6)       hostile/shrinking_window
 *   optimistic ACKs                         hostile/optimistic_ack
 *   split ACKs (RFC 3465)                   hostile/split_acks
 *   overlaps with different bytes           hostile/overlap_with_other_bytes
 *   mbuf exhaustion                         pressure/pool_empty, pool_empty_at_open_and_close, small_receive_budget
 *   slow handshake                          open/half_open_timeout */
#include "pair.h"

#include "net/wire.h"

#include <criterion/criterion.h>

TestSuite(pair_attack, .init = pair_init, .timeout = 60);

static const struct tcp_stats *stats(const struct pair *p, unsigned s) {
    return tcp_core_stats(p->side[s].core);
}

static const struct tcp_conn *conn(const struct pair *p, unsigned s) {
    return pool_get(&p->side[s].core->conns, p->conn[0].end[s].id);
}

/* To side 1, as from side 0. */
static struct pair_segment forged(const struct pair *p, uint8_t flags) {
    return (struct pair_segment){.sport = PAIR_CLIENT_PORT,
                                 .dport = PAIR_SERVER_PORT,
                                 .seq = conn(p, 1)->rcv_nxt,
                                 .ack = conn(p, 1)->snd_nxt,
                                 .window = 1000,
                                 .flags = flags,
                                 .has_ts = true, /* as if it had guessed even those */
                                 .ts_val = p->side[0].last.ts_val,
                                 .ts_ecr = p->side[1].last.ts_val};
}

/* One of them, and the time to answer it. */
static void deliver(struct pair *p, const struct pair_segment *s) {
    pair_inject(p, 0, s);
    pair_run(p, NULL, PAIR_SECOND);
}

/* The flow still works: bytes both ways, an orderly end. */
static void lives(struct pair *p) {
    for (unsigned s = 0; s < 2; s++) {
        cr_assert_eq(pair_state(p, s, 0), TCP_ESTABLISHED);
        pair_write(p, s, 0, 30000);
    }
    pair_run(p, pair_all_arrived, 5 * PAIR_SECOND);
    pair_close(p, 0);
    cr_assert(pair_finish(p));
}

/* RFC 5961 3.2: in the window but not exact. The true peer, asked by the challenge ACK, has nothing to say. */
Test(pair_attack, reset_inexact) {
    struct pair *p = pair_new_established(1);
    struct pair_segment s = forged(p, WIRE_TCP_RST);
    s.seq += 1000;
    deliver(p, &s);
    cr_expect_eq(stats(p, 1)->drops[TCP_DROP_RST_INEXACT], 1);
    cr_expect_eq(stats(p, 1)->challenge_acks, 1);
    lives(p);
}

Test(pair_attack, reset_outside_the_window) {
    struct pair *p = pair_new_established(2);
    struct pair_segment s = forged(p, WIRE_TCP_RST);
    for (uint32_t i = 0; i < 3; i++) {
        s.seq = conn(p, 1)->rcv_nxt + (uint32_t[]){(uint32_t)-1, 1u << 20, 1u << 31}[i];
        pair_inject(p, 0, &s);
    }
    pair_run(p, NULL, PAIR_SECOND);
    cr_expect_eq(stats(p, 1)->drops[TCP_DROP_RST_OUT], 3);
    cr_expect_eq(stats(p, 1)->challenge_acks, 0);
    lives(p);
}

/* A RST that carries bytes is no more exact for reaching over RCV.NXT. */
Test(pair_attack, reset_with_bytes) {
    struct pair *p = pair_new_established(12);
    struct pair_segment s = forged(p, WIRE_TCP_RST | WIRE_TCP_ACK);
    s.seq -= 500;
    s.len_bytes = 1000;
    deliver(p, &s);
    lives(p);
}

/* A guessed number with a timestamp far ahead must not make PAWS drop what the true peer sends. */
Test(pair_attack, timestamp_from_the_future) {
    struct pair *p = pair_new_established(13);
    struct pair_segment s = forged(p, WIRE_TCP_ACK);
    s.ts_val += 1u << 30;
    s.ack += 100000;
    deliver(p, &s);
    cr_expect_eq(stats(p, 1)->drops[TCP_DROP_ACK_FUTURE], 1);
    lives(p);
}

/* Half the sequence space away from SND.UNA, where "before" and "behind" are the same: header prediction took it for an
 * acknowledgement of 2 GB. */
Test(pair_attack, ack_half_the_space_away) {
    struct pair *p = pair_new_established(14);
    struct pair_segment s = forged(p, WIRE_TCP_ACK);
    s.ack += 1u << 31;
    pair_inject(p, 0, &s);
    s.len_bytes = 100;
    s.flags |= WIRE_TCP_PSH;
    deliver(p, &s);
    cr_expect_eq(stats(p, 1)->drops[TCP_DROP_ACK_FUTURE], 2);
    cr_expect_eq(p->conn[0].end[1].read_bytes, 0);
    lives(p);
}

/* RFC 5961 4.2: whatever its number. */
Test(pair_attack, syn_in_flow) {
    struct pair *p = pair_new_established(3);
    struct pair_segment s = forged(p, WIRE_TCP_SYN);
    deliver(p, &s);
    s.seq += 1u << 30;
    deliver(p, &s);
    cr_expect_eq(stats(p, 1)->drops[TCP_DROP_SYN_IN_FLOW], 2);
    cr_expect_eq(stats(p, 1)->challenge_acks, 2);
    lives(p);
}

/* A host that has rebooted says SYN within our flow: the challenge ACK draws the exact RST that ends it (RFC 5961 4.2),
 * and its next SYN opens the new flow. */
Test(pair_attack, peer_has_rebooted) {
    struct pair *p = pair_new_established(4);
    p->conn[0].may_break = true;
    p->side[0].dark = true;
    pair_abort(p, 0, 0);
    pair_run(p, NULL, PAIR_SECOND / 10);
    p->side[0].dark = false;
    p->conn[1].client_port = PAIR_CLIENT_PORT;
    pair_open(p, 0, 1);
    pair_run(p, NULL, 3 * PAIR_SECOND);
    cr_expect_eq(p->conn[0].end[1].end, TCP_END_PEER_RESET);
    cr_expect_eq(pair_state(p, 0, 1), TCP_ESTABLISHED);
    cr_expect_eq(pair_state(p, 1, 1), TCP_ESTABLISHED);
    pair_close(p, 1);
    cr_assert(pair_finish(p));
}

/* RFC 5961 5.2: data with an acknowledgement that cannot be. */
Test(pair_attack, data_with_impossible_ack) {
    struct pair *p = pair_new_established(5);
    struct pair_segment s = forged(p, WIRE_TCP_ACK | WIRE_TCP_PSH);
    s.len_bytes = 100;
    s.ack += 100000;
    pair_inject(p, 0, &s);
    s.ack -= 1u << 30;
    pair_inject(p, 0, &s);
    s = forged(p, WIRE_TCP_FIN);
    pair_inject(p, 0, &s);
    s = forged(p, 0);
    pair_inject(p, 0, &s);
    s = forged(p, WIRE_TCP_ACK);
    s.has_ts = false; /* RFC 7323 3.2: agreed on, so they must be there */
    s.len_bytes = 100;
    pair_inject(p, 0, &s);
    s.has_ts = true; /* PAWS */
    s.ts_val -= 1u << 20;
    deliver(p, &s);
    static const enum tcp_drop drops[] = {TCP_DROP_ACK_FUTURE, TCP_DROP_ACK_OLD,    TCP_DROP_ACK_MISSING,
                                          TCP_DROP_FLAGS,      TCP_DROP_TS_MISSING, TCP_DROP_PAWS};
    for (uint32_t i = 0; i < WEIR_ARRAY_LEN(drops); i++)
        cr_expect_eq(stats(p, 1)->drops[drops[i]], 1, "%s", tcp_drop_name(drops[i]));
    cr_expect_eq(p->conn[0].end[1].read_bytes, 0);
    cr_expect_eq(stats(p, 1)->rx_mbufs, 0);
    lives(p);
}

/* A flood of each kind costs a handful of answers. */
Test(pair_attack, challenges_are_rate_limited) {
    struct pair *p = pair_new_established(6);
    for (uint32_t i = 0; i < 3000; i++) {
        struct pair_segment s = forged(p, i % 3 ? WIRE_TCP_RST : WIRE_TCP_SYN);
        s.seq += 1 + i;
        pair_inject(p, 0, &s);
        if (i % 10 == 0)
            pair_run(p, NULL, 1000);
    }
    pair_run(p, NULL, PAIR_SECOND);
    cr_expect_gt(stats(p, 1)->challenge_acks, 0);
    cr_expect_leq(stats(p, 1)->challenge_acks, 10);
    lives(p);
}

/* Numbers around the window, any flags, no acknowledgement that could be right: the streams do not notice. */
Test(pair_attack, noise_into_a_transfer) {
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct pair *p = pair_new_established(700 + seed);
        for (unsigned s = 0; s < 2; s++) {
            p->conn[0].end[s].write_bytes = 500000;
            tcp_conn_again(p->side[s].core, p->conn[0].end[s].id, TCP_EV_WRITABLE);
        }
        for (uint32_t i = 0; i < 1000 && !p->error[0]; i++) {
            struct pair_segment s = forged(p, (uint8_t)sim_rng_below(&p->rng, 64));
            s.seq += sim_rng_below(&p->rng, 140000) - 70000;
            s.ack += 70000 + sim_rng_below(&p->rng, 1u << 30);
            s.has_ts = sim_rng_below(&p->rng, 2);
            s.len_bytes = sim_rng_below(&p->rng, 3) ? 0 : sim_rng_below(&p->rng, 1400);
            if (s.flags & WIRE_TCP_RST && s.seq - conn(p, 1)->rcv_nxt < 100000)
                continue; /* it may be exact by the time it arrives */
            pair_inject(p, 0, &s);
            pair_run(p, NULL, sim_rng_below(&p->rng, 100));
        }
        pair_run(p, pair_all_arrived, 20 * PAIR_SECOND);
        cr_assert_str_empty(p->error);
        lives(p);
    }
}

/* RFC 9293 3.10.7.3: to a SYN of ours, answers that acknowledge something else. */
Test(pair_attack, wrong_answers_to_a_syn) {
    struct pair *p = pair_new_default(8);
    p->side[0].dark = true;
    pair_open(p, 0, 0);
    pair_run(p, NULL, 1000);
    uint32_t iss = p->side[0].last.seq;
    p->side[0].dark = false;
    struct pair_segment s = {.sport = PAIR_SERVER_PORT, .dport = PAIR_CLIENT_PORT, .seq = 5, .window = 100};
    static const uint8_t flags[] = {
        WIRE_TCP_SYN | WIRE_TCP_ACK, WIRE_TCP_RST | WIRE_TCP_ACK, WIRE_TCP_ACK, WIRE_TCP_RST, WIRE_TCP_FIN, 0};
    for (uint32_t i = 0; i < WEIR_ARRAY_LEN(flags); i++) {
        s.flags = flags[i];
        s.ack = iss + 2;
        pair_inject(p, 1, &s);
        s.ack = iss;
        pair_inject(p, 1, &s);
    }
    pair_run(p, NULL, 10);
    cr_expect_eq(pair_state(p, 0, 0), TCP_SYN_SENT);
    cr_expect_eq(stats(p, 0)->resets_out, 4, "for the SYN-ACKs and ACKs");
    pair_run(p, pair_all_established, 3 * PAIR_SECOND);
    lives(p);
}

/* To a listener and to nobody: RST to what is no RST, silence otherwise; nothing is kept. */
Test(pair_attack, strays) {
    struct pair *p = pair_new_default(9);
    static const uint8_t answered[] = {WIRE_TCP_ACK, WIRE_TCP_ACK | WIRE_TCP_PSH, WIRE_TCP_SYN | WIRE_TCP_ACK,
                                       WIRE_TCP_FIN | WIRE_TCP_ACK};
    for (uint32_t i = 0; i < 256; i++) {
        struct pair_segment s = {.sport = 99, .dport = i & 1 ? PAIR_SERVER_PORT : 5, .seq = 77, .ack = 88};
        s.flags = answered[i % 4];
        pair_inject(p, 0, &s);
        s.flags = WIRE_TCP_RST | (i & 2 ? WIRE_TCP_ACK : 0);
        pair_inject(p, 0, &s);
        pair_run(p, NULL, 10000); /* one source has 100 answers a second */
        cr_expect_eq(p->side[1].last.flags & WIRE_TCP_RST, WIRE_TCP_RST);
        cr_expect_eq(p->side[1].last.seq, 88, "RFC 9293 3.10.7.1: the number that it acknowledged");
    }
    cr_expect_eq(stats(p, 1)->resets_out, 256);
    cr_expect_eq(stats(p, 1)->drops[TCP_DROP_NO_FLOW_RST], 256);
    cr_expect_eq(p->side[1].core->conns.used, 0);
    cr_assert(pair_finish(p));
}

/* A handshake's last ACK that acknowledges something else is answered with RST; the half-open flow waits on. */
Test(pair_attack, wrong_ack_to_a_syn_ack) {
    struct pair *p = pair_new_default(10);
    p->side[0].dark_flags = WIRE_TCP_ACK;
    pair_open(p, 0, 0);
    pair_run(p, NULL, 5000);
    struct pair_segment s = {.sport = PAIR_CLIENT_PORT, .dport = PAIR_SERVER_PORT, .flags = WIRE_TCP_ACK};
    s.seq = p->side[1].last.ack;
    s.ack = p->side[1].last.seq + 100;
    s.has_ts = true;
    s.ts_val = p->side[1].last.ts_ecr;
    pair_inject(p, 0, &s);
    pair_run(p, NULL, 10);
    cr_expect_eq(stats(p, 1)->drops[TCP_DROP_ACK_UNACCEPTABLE], 1);
    cr_expect_eq(p->side[1].core->half_open, 1);
    cr_expect_not(p->conn[0].end[1].opened);
    p->side[1].dark = true; /* that RST names no number of the client's, but let it not matter here */
    pair_run(p, NULL, 1000);
    p->side[1].dark = false;
    p->side[0].dark_flags = 0;
    pair_run(p, pair_all_established, 5 * PAIR_SECOND);
    lives(p);
}
