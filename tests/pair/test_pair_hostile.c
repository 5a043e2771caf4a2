/* SPDX-License-Identifier: BSD-3-Clause */
/* Peers that have a connection and mean harm with it, and floods of those that have none. After each the gauges are at
 * zero and another client is served. test_pair_attack.c lists which attack is where. */
#include "pair.h"

#include "net/wire.h"
#include "tcp/tcp_int.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(pair_hostile, .init = pair_init, .timeout = 120);

static const struct tcp_stats *stats(const struct pair *p) {
    return tcp_core_stats(p->side[1].core);
}

/* A client written out by hand: connection 0 of the pair, of which only the server's end has an owner. */
struct stranger {
    struct pair *p;
    uint32_t seq, ack; /* next of ours, next expected */
    uint16_t port;
};

static struct pair_segment says(const struct stranger *s, uint8_t flags) {
    return (struct pair_segment){
        .sport = s->port, .dport = PAIR_SERVER_PORT, .seq = s->seq, .ack = s->ack, .window = 65535, .flags = flags};
}

static void say(struct stranger *s, const struct pair_segment *segment) {
    pair_inject(s->p, 0, segment);
    pair_run(s->p, NULL, 1);
}

/* Acknowledges so much, and no more than that. */
static void acks(struct stranger *s, uint32_t ack) {
    struct pair_segment g = says(s, WIRE_TCP_ACK);
    g.ack = ack;
    say(s, &g);
}

/* As `syn` has it: MSS, SACK and so on. */
static struct stranger stranger_syn(struct pair *p, uint16_t port, struct pair_segment syn) {
    struct stranger s = {.p = p, .seq = 5000, .port = port};
    syn.sport = port;
    syn.dport = PAIR_SERVER_PORT;
    syn.seq = s.seq++;
    syn.flags = WIRE_TCP_SYN;
    syn.window = 65535;
    say(&s, &syn);
    s.ack = p->to_stranger.seq + 1;
    return s;
}

static struct stranger stranger_new(struct pair *p, struct pair_segment syn) {
    p->conn[0] = (struct pair_conn){.client_port = PAIR_STRANGER_PORT, .may_break = true, .refused = true};
    p->conn[0].end[1].does = PAIR_BLIND;
    p->n_conns = RTE_MAX(p->n_conns, 1u);
    struct stranger s = stranger_syn(p, PAIR_STRANGER_PORT, syn);
    acks(&s, s.ack);
    cr_assert_eq(pair_state(p, 1, 0), TCP_ESTABLISHED);
    return s;
}

/* The server has so much to say, and says what it may at once. */
static void sends(struct pair *p, uint32_t bytes) {
    pair_write(p, 1, 0, bytes);
    pair_run(p, NULL, 1);
}

static const struct tcp_conn *conn(const struct pair *p) {
    return pool_get(&p->side[1].core->conns, p->conn[0].end[1].id);
}

/* The server lets the stranger go, or has done so; then another client comes and is served. */
static void next_is_served(struct pair *p) {
    if (p->conn[0].end[1].id)
        pair_abort(p, 1, 0);
    pair_set_transfer(p, 1, 30000);
    pair_open(p, 0, 1);
    pair_run(p, pair_all_arrived, 5 * PAIR_SECOND);
    cr_assert(pair_finish(p));
}

/* CVE-2018-5390: thousands of bytes, each behind its own hole, and each sent in an order that makes searches long. */
Test(pair_hostile, segment_smack) {
    struct pair *p = pair_new_default(1);
    struct stranger s = stranger_new(p, (struct pair_segment){.mss = 1460, .sack_permitted = true});
    for (uint32_t i = 0; i < 20000; i++) {
        struct pair_segment g = says(&s, WIRE_TCP_ACK);
        g.seq += 2 + (i * 7919u % 30000u) * 2;
        g.len_bytes = 1;
        pair_inject(p, 0, &g);
        if (i % 32 == 0)
            pair_run(p, NULL, 1);
        cr_assert_leq(conn(p)->reasm_count, TCP_REASM_MAX);
        cr_assert_leq(stats(p)->rx_mbufs, TCP_REASM_MAX);
    }
    pair_run(p, NULL, 1);
    cr_expect_eq(conn(p)->reasm_count, TCP_REASM_MAX);
    cr_expect_gt(stats(p)->ooo_dropped, 10000);
    next_is_served(p);
}

/* One client may not take the receive budget from the others: what it holds out of order is bounded by what is left. */
Test(pair_hostile, out_of_order_memory) {
    struct pair_setup setup;
    pair_setup_default(&setup, 2);
    setup.tcp[1].rcv_buf_bytes = setup.tcp[1].rcv_buf_initial_bytes = 1u << 20;
    setup.tcp[1].rx_budget_mbufs = 200;
    struct pair *p = pair_new(&setup);
    struct stranger s = stranger_new(p, (struct pair_segment){.mss = 1460, .has_wscale = true});
    for (uint32_t i = 1; i < 400; i++) {
        struct pair_segment g = says(&s, WIRE_TCP_ACK);
        g.seq += 1400 * i;
        g.len_bytes = 1400;
        say(&s, &g);
        cr_assert_leq(stats(p)->rx_mbufs, 100);
    }
    cr_expect_gt(stats(p)->drops[TCP_DROP_RX_BUDGET], 0);
    next_is_served(p);
}

/* CVE-2019-11479: an MSS of 1 would have us send a packet for every byte or two. */
Test(pair_hostile, tiny_mss) {
    struct pair *p = pair_new_default(3);
    struct stranger s = stranger_new(p, (struct pair_segment){.mss = 1, .sack_permitted = true});
    cr_expect_geq(conn(p)->mss, TCP_MSS_MIN - TCP_OPT_TS_BYTES);
    pair_write(p, 1, 0, 10000);
    uint64_t before = p->stranger_segments;
    for (uint32_t i = 0; i < 100; i++)
        acks(&s, conn(p)->snd_nxt);
    cr_expect_eq(conn(p)->tx.len_bytes, 0);
    cr_expect_leq(p->stranger_segments - before, 10000 / (TCP_MSS_MIN - TCP_OPT_TS_BYTES) + 10);
    next_is_served(p);
}

/* CVE-2019-11477, -11478, -5599: blocks of every wrong kind, for a long time. What the server keeps stays bounded, what
 * is no block of what it sent changes nothing, and the bytes are still there to be sent. */
Test(pair_hostile, sack_blocks) {
    struct pair *p = pair_new_default(4);
    struct stranger s = stranger_new(p, (struct pair_segment){.mss = 1, .sack_permitted = true});
    sends(p, 60000);
    uint32_t una = conn(p)->snd_una, nxt = conn(p)->snd_nxt;
    const struct seq_range wide[] = {{una, nxt},           {una - 1000, nxt}, {una + 1, nxt + 1},
                                     {una - 9, una + 900}, {nxt, nxt + 900},  {una + 1, una - 9}};
    for (uint32_t i = 0; i < WEIR_ARRAY_LEN(wide); i++) {
        struct pair_segment g = says(&s, WIRE_TCP_ACK);
        g.n_sacks = 1;
        g.sacks[0] = wide[i];
        say(&s, &g);
        const struct tcp_flight *f = tcp_flight_of(p->side[1].core, conn(p));
        cr_assert(!f || !f->sacked, "block %u was taken", i);
    }
    for (uint32_t i = 0; i < 20000; i++) {
        struct pair_segment g = says(&s, WIRE_TCP_ACK);
        uint32_t span = conn(p)->snd_nxt - s.ack + 1;
        g.n_sacks = 4;
        for (uint32_t b = 0; b < 4; b++) {
            uint32_t left = s.ack + sim_rng_below(&p->rng, span), len = sim_rng_below(&p->rng, 5);
            g.sacks[b] = (struct seq_range){left, left + len};
            if (i % 16 == b)
                g.sacks[b].right = left - sim_rng_below(&p->rng, 70000);
            if (i % 64 == b)
                g.sacks[b].left += 1u << 31;
        }
        pair_inject(p, 0, &g);
        if (i % 16 == 0)
            pair_run(p, NULL, i % 1024 ? 1 : 1000000);
        cr_assert_str_empty(p->error);
    }
    pair_run(p, NULL, 1);
    cr_expect_eq(conn(p)->snd_una, s.ack);
    cr_expect_eq(conn(p)->tx.len_bytes, 60000);
    next_is_served(p);
}

/* Acknowledging what was not sent yet, so as to be sent more than the path carries, is ignored. */
Test(pair_hostile, optimistic_ack) {
    struct pair *p = pair_new_default(5);
    struct stranger s = stranger_new(p, (struct pair_segment){.mss = 1460});
    sends(p, 60000);
    uint32_t cwnd = conn(p)->cwnd, una = conn(p)->snd_una;
    for (uint32_t i = 0; i < 50; i++)
        acks(&s, conn(p)->snd_nxt + 1 + i * 1460);
    cr_expect_eq(stats(p)->drops[TCP_DROP_ACK_FUTURE], 50);
    cr_expect_eq(conn(p)->cwnd, cwnd);
    cr_expect_eq(conn(p)->snd_una, una);
    next_is_served(p);
}

/* RFC 3465 2: the window opens by bytes; an ACK for each byte is worth no more than one for all. */
Test(pair_hostile, split_acks) {
    struct pair *p = pair_new_default(6);
    struct stranger s = stranger_new(p, (struct pair_segment){.mss = 1460});
    sends(p, 60000);
    uint32_t cwnd = conn(p)->cwnd, una = conn(p)->snd_una;
    for (uint32_t i = 1; i <= 2920; i++)
        acks(&s, una + i);
    cr_expect_eq(conn(p)->snd_una, una + 2920);
    cr_expect_leq(conn(p)->cwnd, cwnd + 2920);
    next_is_served(p);
}

/* Bytes that wait behind a hole, sent again as others: the first copy of each is what is read. */
Test(pair_hostile, overlap_with_other_bytes) {
    struct pair *p = pair_new_default(7);
    struct stranger s = stranger_new(p, (struct pair_segment){.mss = 1460});
    p->conn[0].end[1].read_from_us = p->now_us + 10 * PAIR_SECOND;
    static const struct {
        uint32_t at, len;
        uint8_t fill;
    } pieces[] = {{100, 100, 'a'}, {300, 100, 'a'}, {50, 300, 'b'}, {100, 100, 'c'}, {320, 100, 'd'}, {0, 420, 'e'}};
    for (uint32_t i = 0; i < WEIR_ARRAY_LEN(pieces); i++) {
        struct pair_segment g = says(&s, WIRE_TCP_ACK);
        g.seq += pieces[i].at;
        g.len_bytes = pieces[i].len;
        g.fill = pieces[i].fill;
        say(&s, &g);
    }
    const struct rope *rx = &conn(p)->rx;
    uint8_t bytes[420];
    cr_assert_eq(rope_copy(rx, 0, bytes, sizeof(bytes)), 420);
    for (uint32_t i = 0; i < 420; i++) {
        bool first_copy = (i >= 100 && i < 200) || (i >= 300 && i < 400);
        cr_expect(first_copy ? bytes[i] == 'a' : bytes[i] != 'a', "byte %u is %c", i, bytes[i]);
        cr_expect(i < 50 ? bytes[i] == 'e' : i < 100 ? bytes[i] == 'b' : true, "byte %u is %c", i, bytes[i]);
    }
    cr_expect_geq(stats(p)->overlaps_in, 3);
    next_is_served(p);
}

/* The pointer may say what it likes: its bytes are in line, and those around are neither lost nor read twice. */
Test(pair_hostile, urgent_pointer) {
    struct pair *p = pair_new_default(8);
    struct stranger s = stranger_new(p, (struct pair_segment){.mss = 1460});
    static const uint16_t pointers[] = {0, 1, 99, 100, 101, 65535};
    for (uint32_t i = 0; i < WEIR_ARRAY_LEN(pointers); i++) {
        struct pair_segment g = says(&s, WIRE_TCP_ACK | WIRE_TCP_URG);
        g.len_bytes = 100;
        g.urgent = pointers[i];
        say(&s, &g);
        s.seq += 100;
    }
    struct pair_segment empty = says(&s, WIRE_TCP_ACK | WIRE_TCP_URG);
    empty.urgent = 7;
    say(&s, &empty);
    pair_run(p, NULL, 1000);
    cr_expect_eq(p->conn[0].end[1].read_bytes, 600);
    cr_expect_eq(conn(p)->rcv_nxt, s.seq);
    next_is_served(p);
}

/* Options that do not end, or go on for ever; a header shorter than a header, or longer than the segment. */
Test(pair_hostile, options_and_data_offset) {
    static const uint8_t bad[][4] = {{8, 0, 0, 0},   {8, 1, 0, 0},  {1, 1, 1, 8},
                                     {5, 255, 0, 0}, {30, 5, 0, 0}, {1, 3, 0, 1}};
    struct pair *p = pair_new_default(9);
    struct stranger s = stranger_new(p, (struct pair_segment){.mss = 1460});
    for (uint32_t i = 0; i < WEIR_ARRAY_LEN(bad); i++) {
        struct pair_segment g = says(&s, WIRE_TCP_ACK);
        g.options = bad[i];
        g.options_bytes = 4;
        g.len_bytes = 50;
        say(&s, &g);
    }
    cr_expect_eq(stats(p)->drops[TCP_DROP_OPTION], WEIR_ARRAY_LEN(bad));
    uint64_t refused = p->side[1].bad_checksum;
    for (uint8_t words = 1; words < 16; words++) {
        struct pair_segment g = says(&s, WIRE_TCP_ACK);
        g.data_offset = words;
        if (words != 5)
            say(&s, &g);
    }
    cr_expect_eq(p->side[1].bad_checksum - refused, 14, "before TCP, as tcp_validate finds");
    cr_expect_eq(conn(p)->rcv_nxt, s.seq);
    p->side[1].bad_checksum = refused; /* none of them was side 0's */
    next_is_served(p);
}

/* RFC 9293 3.8.6 discourages it, and "a sender must be robust": nothing new beyond the edge, wherever it goes. */
Test(pair_hostile, shrinking_window) {
    struct pair *p = pair_new_default(10);
    struct stranger s = stranger_new(p, (struct pair_segment){.mss = 1000});
    sends(p, 60000);
    uint32_t sent = conn(p)->snd_nxt;
    struct pair_segment g = says(&s, WIRE_TCP_ACK);
    g.ack = s.ack += 2000;
    g.window = 1000;
    say(&s, &g);
    cr_expect_eq(conn(p)->snd_nxt, sent, "the edge lies before what is out");
    g.ack = s.ack = sent;
    say(&s, &g);
    cr_expect_eq(conn(p)->snd_nxt, sent + 1000);
    g.window = 0;
    say(&s, &g);
    pair_run(p, NULL, 3 * PAIR_SECOND);
    cr_expect_leq(conn(p)->snd_nxt, sent + 1000);
    g.ack = s.ack = sent + 1000;
    g.window = 30000;
    say(&s, &g);
    cr_expect_gt(conn(p)->snd_nxt, sent + 1000);
    next_is_served(p);
}

/* Sockstress: many who ask for much and never read. Each costs no more than its window lets out, and none for ever. */
Test(pair_hostile, zero_windows) {
    struct pair_setup setup;
    pair_setup_default(&setup, 11);
    setup.tcp[1].user_timeout_ms = 20000;
    struct pair *p = pair_new(&setup);
    struct stranger s = stranger_new(p, (struct pair_segment){.mss = 1460});
    struct pair_segment g = says(&s, WIRE_TCP_ACK);
    g.window = 0;
    say(&s, &g);
    pair_write(p, 1, 0, 60000);
    for (uint32_t i = 0; i < 60 && p->conn[0].end[1].id; i++) { /* each probe is answered, the window stays shut */
        pair_run(p, NULL, PAIR_SECOND);
        if (p->conn[0].end[1].id)
            say(&s, &g);
    }
    cr_expect_eq(p->conn[0].end[1].end, TCP_END_PERSIST_TIMEOUT, "%s", tcp_end_name(p->conn[0].end[1].end));
    cr_expect_eq(stats(p)->tx_mbufs, 0);
    cr_expect_leq(p->stranger_bytes, 20, "probes");
    next_is_served(p);
}

/* Old segments in TIME-WAIT and RSTs do not end it early (RFC 1337); the owner has long gone. */
Test(pair_hostile, time_wait_assassination) {
    struct pair *p = pair_new_default(12);
    struct stranger s = stranger_new(p, (struct pair_segment){.mss = 1460});
    p->conn[0].end[1].does = PAIR_BLIND | PAIR_SHUTDOWN | PAIR_CLOSE;
    tcp_conn_again(p->side[1].core, p->conn[0].end[1].id, TCP_EV_WRITABLE);
    pair_run(p, NULL, 10);
    struct pair_segment fin = says(&s, WIRE_TCP_ACK | WIRE_TCP_FIN);
    fin.ack = ++s.ack;
    say(&s, &fin);
    s.seq++;
    cr_assert_eq(stats(p)->by_state[TCP_TIME_WAIT], 1);
    struct pair_segment rst = says(&s, WIRE_TCP_RST), old = says(&s, WIRE_TCP_ACK);
    say(&s, &rst);
    old.seq -= 1000;
    old.len_bytes = 100;
    say(&s, &old);
    cr_expect_eq(stats(p)->drops[TCP_DROP_RST_TIME_WAIT], 1);
    cr_expect_eq(stats(p)->by_state[TCP_TIME_WAIT], 1);
    next_is_served(p);
}

/* RFC 4987: strangers without number that never answer. Real clients connect meanwhile, and nothing grows. */
Test(pair_hostile, syn_flood) {
    struct pair_setup setup;
    pair_setup_default(&setup, 13);
    setup.tcp[1].half_open_timeout_ms = 3000;
    struct pair *p = pair_new(&setup);
    for (uint32_t i = 0; i < 20000; i++) {
        struct pair_segment syn = {.sport = (uint16_t)(PAIR_STRANGER_PORT + i % 40000),
                                   .dport = PAIR_SERVER_PORT,
                                   .seq = i * 77777u,
                                   .window = 1000,
                                   .flags = WIRE_TCP_SYN,
                                   .mss = 1460};
        pair_inject(p, 0, &syn);
        if (i % 2000 == 1000 && i / 2000 < 7) {
            uint32_t number = 1 + i / 2000;
            pair_set_transfer(p, number, 3000);
            p->conn[0].refused = true;
            pair_open(p, 0, number);
        }
        if (i % 32 == 0)
            pair_run(p, NULL, 100);
        cr_assert_leq(p->side[1].core->half_open, setup.tcp[1].max_half_open);
        cr_assert_leq(p->side[1].core->conns.used, setup.tcp[1].max_half_open + 14);
    }
    pair_run(p, pair_all_arrived, 5 * PAIR_SECOND);
    cr_expect_eq(stats(p)->accepted, 7);
    cr_expect_gt(stats(p)->cookies_sent, 10000);
    cr_assert(pair_finish(p));
}

/* A port scan: segments to ports where nobody listens. One source is answered at the rate of one source. */
Test(pair_hostile, port_scan) {
    struct pair *p = pair_new_default(18);
    p->conn[0].refused = true;
    for (uint32_t i = 0; i < 5000; i++) {
        struct pair_segment syn = {.sport = PAIR_STRANGER_PORT, .dport = (uint16_t)(2000 + i), .flags = WIRE_TCP_SYN};
        pair_inject(p, 0, &syn);
        if (i % 32 == 0)
            pair_run(p, NULL, 100);
    }
    pair_run(p, NULL, 1000);
    cr_expect_leq(stats(p)->resets_out, 2 * TCP_RESETS_A_SOURCE);
    cr_expect_geq(stats(p)->drops[TCP_DROP_NO_FLOW_LIMIT], 5000 - 2 * TCP_RESETS_A_SOURCE);
    next_is_served(p);
}

/* The number that a stack of this secret gives to one 4-tuple, always at the same time. */
static uint32_t strangers_isn(uint64_t secret) {
    struct pair_setup setup;
    pair_setup_default(&setup, 15);
    setup.tcp[1].secret[0] = secret;
    struct pair *p = pair_new(&setup);
    uint32_t isn = stranger_syn(p, PAIR_STRANGER_PORT, (struct pair_segment){.mss = 1460}).ack - 1;
    cr_assert(pair_finish(p));
    return isn;
}

/* RFC 6528: who has seen the ISNs of his own connections knows nothing about the next one. */
Test(pair_hostile, isn_prediction) {
    uint32_t bins[16] = {0}, steps = 0, last_step = 0, last = 0;
    for (uint64_t boot = 0; boot < 2; boot++) {
        struct pair_setup setup;
        pair_setup_default(&setup, 14 + boot);
        setup.tcp[1].max_conns = setup.tcp[1].max_half_open = 4000;
        struct pair *p = pair_new(&setup);
        for (uint32_t i = 0; i < 1600; i++) {
            struct stranger s = stranger_syn(p, (uint16_t)(PAIR_STRANGER_PORT + i), (struct pair_segment){.mss = 1460});
            bins[(s.ack - 1) >> 25 & 15]++; /* 29 bits are the hash's */
            steps += s.ack - last == last_step;
            last_step = s.ack - last;
            last = s.ack;
        }
        cr_assert(pair_finish(p));
    }
    cr_assert_eq(strangers_isn(1), strangers_isn(1), "the same boot says the same at the same time");
    cr_expect_neq(strangers_isn(1), strangers_isn(2), "another secret, another number");
    for (uint32_t i = 0; i < 16; i++) /* 200 each, and no more than 5 standard deviations from it */
        cr_expect(bins[i] > 130 && bins[i] < 270, "%u of 3200 in part %u", bins[i], i);
    cr_expect_eq(steps, 0, "the same step twice in a row");
}

/* CVE-2016-5696: how many challenge ACKs a second brings is not the same each second. */
Test(pair_hostile, challenge_side_channel) {
    struct pair_setup setup;
    pair_setup_default(&setup, 16);
    setup.tcp[1].max_conns = setup.tcp[1].max_half_open = 8 * TCP_CHALLENGES_PER_S;
    setup.tcp[1].half_open_timeout_ms = 60000;
    struct pair *p = pair_new(&setup);
    static struct stranger half_open[2 * TCP_CHALLENGES_PER_S + 100];
    for (uint32_t i = 0; i < WEIR_ARRAY_LEN(half_open); i++)
        half_open[i] = stranger_syn(p, (uint16_t)(PAIR_STRANGER_PORT + i), (struct pair_segment){.mss = 1460});
    uint64_t counts[6], same = 0;
    for (uint32_t second = 0; second < WEIR_ARRAY_LEN(counts); second++) {
        uint64_t before = stats(p)->challenge_acks;
        for (uint32_t i = 0; i < WEIR_ARRAY_LEN(half_open); i++) {
            struct pair_segment rst = says(&half_open[i], WIRE_TCP_RST);
            rst.seq += 100;
            pair_inject(p, 0, &rst);
        }
        pair_run(p, NULL, 1010000);
        counts[second] = stats(p)->challenge_acks - before;
        cr_expect_leq(counts[second], 2 * TCP_CHALLENGES_PER_S);
        same += second && counts[second] == counts[second - 1];
    }
    cr_expect_leq(same, 2);
    cr_assert(pair_finish(p));
}

/* RFC 5927: reports about what is not outstanding change nothing, hard errors do not end an established flow, and no
 * report makes segments smaller than the floor. */
Test(pair_hostile, forged_icmp) {
    struct pair *p = pair_new_default(17);
    struct stranger s = stranger_new(p, (struct pair_segment){.mss = 1460});
    sends(p, 20000);
    uint16_t mss = conn(p)->mss;
    struct icmp_error e = {.type = 3,
                           .code = 4,
                           .next_hop_mtu = 600,
                           .local_addr_be = PAIR_ADDR(1),
                           .remote_addr_be = PAIR_ADDR(0),
                           .local_port_be = rte_cpu_to_be_16(PAIR_SERVER_PORT),
                           .remote_port_be = rte_cpu_to_be_16(s.port)};
    static const uint32_t off[] = {(uint32_t)-1, 1u << 20, 1u << 31};
    for (uint32_t i = 0; i < WEIR_ARRAY_LEN(off); i++) {
        e.tcp_seq = conn(p)->snd_una + off[i];
        tcp_icmp_error(p->side[1].core, &e, p->now_us);
    }
    cr_expect_eq(conn(p)->mss, mss);
    cr_expect_eq(stats(p)->icmp_ignored, 3);
    e.tcp_seq = conn(p)->snd_una;
    for (uint8_t code = 0; code < 16; code++) {
        e.code = code;
        e.next_hop_mtu = 68;
        tcp_icmp_error(p->side[1].core, &e, p->now_us);
    }
    cr_expect_eq(pair_state(p, 1, 0), TCP_ESTABLISHED);
    cr_expect_geq(conn(p)->mss, TCP_PATH_MTU_MIN - TCP_HEADERS);
    next_is_served(p);
}
