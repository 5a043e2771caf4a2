/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <criterion/criterion.h>

static struct tcp_core *core;
static tcp_id id;
static struct tcp_conn *c;
static struct decoded d[64];

static void open_flow(void) {
    struct tcp_config config = {.user_timeout_ms = 3600000, .keepalive_idle_ms = 7200000};
    core = harness_core(&config);
    id = in_state(core, TCP_ESTABLISHED);
    c = tcp_conn_of(core, id);
}

/* What a flow to this address begins with. */
static uint16_t mss_towards(uint32_t addr_be) {
    struct tcp_conn flow = {.mss_full = 1460, .key.remote_addr_be = addr_be};
    tcp_path_start(core, &flow);
    cr_assert_eq(!!(flow.flags & TCP_F_MSS_LOW), flow.mss < 1460);
    return flow.mss;
}

/* So many bytes are out. */
static void open_sending(uint32_t bytes) {
    open_flow();
    send_bytes(core, id, bytes);
    drain(core, d, 64);
}

static void pass(uint32_t ms) {
    core->now_us += ms * 1000ull;
    tcp_timers(core, core->now_us);
}

/* The flow is over, and so much time goes by. */
static void gone_for(uint32_t ms) {
    tcp_conn_abort(core, id);
    drain(core, d, 64);
    pass(ms);
}

static void frag_needed(uint16_t mtu) {
    struct icmp_error e = {3, 4, mtu, LOCAL_ADDR, REMOTE_ADDR, LOCAL_PORT, REMOTE_PORT, c->snd_una};
    tcp_icmp_error(core, &e, core->now_us);
}

/* Sleep until the flow sends again. Returns how many segments. */
static unsigned next_output(void) {
    unsigned n = 0;
    for (unsigned ms = 0; !n && ms < 70000; ms++) {
        sleep_ms(core, 1);
        n = drain(core, d, 64);
    }
    return n;
}

/* Until so many timeouts have come in a row. */
static void time_out(uint8_t backoff) {
    for (unsigned i = 0; i < 100 && c->backoff < backoff; i++)
        next_output();
    cr_assert_eq(c->backoff, backoff);
}

/* The peer has all that is out; the last of it tells how long the way takes. */
static void all_arrives(void) {
    while (c->snd_una != c->snd_nxt) {
        sleep_ms(core, 1);
        struct craft ack = peer_segment(core, id);
        ack.remote_port = rte_be_to_cpu_16(c->key.remote_port_be);
        feed(core, &ack);
        drain(core, d, 64);
    }
}

/* What a flow to the peer sends at most now. */
static uint16_t mss_of_a_new_flow(uint16_t remote_port) {
    drain(core, d, 64);
    struct craft syn = {.mss = 1460, .remote_port = remote_port};
    tcp_id other = establish(core, &syn);
    uint16_t mss = tcp_conn_of(core, other)->mss;
    tcp_conn_abort(core, other);
    drain(core, d, 64);
    return mss;
}

Test(tcp_path, smaller_pieces_at_once_where_nothing_has_got_through) {
    open_flow();
    send_bytes(core, id, 3000);
    cr_assert_eq(drain(core, d, 64), 3);
    frag_needed(1000);
    cr_assert_eq(c->mss, 960);
    cr_assert_eq(drain(core, d, 64), 4, "once more, in smaller pieces");
    cr_assert(d[0].seq == c->snd_una && d[0].len == 960 && d[1].len == 500 && d[3].len == 500);
    cr_assert_eq(core->stats.pmtu_lowered, 1);
    frag_needed(1400);
    cr_assert_eq(c->mss, 960, "never up");
    frag_needed(68);
    cr_assert_eq(c->mss, TCP_PATH_MTU_MIN - 40, "a floor for forged ones");
    cr_assert_eq(core->stats.pmtu_lowered, 2);
    harness_core_free(core);
}

/* RFC 1191 7.1: a router that does not say how much less. */
Test(tcp_path, plateaus) {
    open_sending(1460);
    static const uint16_t expected[] = {1492, 1006, TCP_PATH_MTU_MIN, TCP_PATH_MTU_MIN};
    for (unsigned i = 0; i < WEIR_ARRAY_LEN(expected); i++) {
        frag_needed(0);
        cr_assert_eq(c->mss, expected[i] - 40);
    }
    harness_core_free(core);
}

/* RFC 5927 7.2: a flow whose segments get through does not believe a forged report; one whose segments have ceased to
 * believes the report that its retransmission draws. */
Test(tcp_path, attack_forged_report_while_data_gets_through) {
    open_flow();
    send_bytes(core, id, 40000);
    for (unsigned i = 0; i < 3; i++) {
        drain(core, d, 64);
        struct craft ack = peer_segment(core, id);
        feed(core, &ack);
    }
    cr_assert_gt(c->cwnd, tcp_loss_iw(c));
    send_bytes(core, id, 5000);
    drain(core, d, 64);
    frag_needed(600);
    cr_assert_eq(c->mss, 1460, "held");
    cr_assert_eq(core->stats.pmtu_held, 1);
    cr_assert_gt(next_output(), 0);
    time_out(1);
    frag_needed(600);
    cr_assert_eq(c->mss, 560, "believed once nothing gets through");
    harness_core_free(core);
}

Test(tcp_path, remembered_for_the_address_and_forgotten) {
    open_sending(1460);
    cr_assert_eq(mss_of_a_new_flow(1), 1460);
    frag_needed(1300);
    cr_assert_eq(mss_of_a_new_flow(2), 1260);
    cr_assert_eq(mss_towards(RTE_BE32(0xc6120003u)), 1460, "another address");
    gone_for(TCP_PATH_WAIT_S * 1000);
    cr_assert_eq(mss_of_a_new_flow(4), 1260, "may try, with one segment");
    pass(TCP_PATH_KEEP_S * 1000);
    cr_assert_eq(mss_of_a_new_flow(3), 1460, "RFC 1191 6.3: tried anew");
    harness_core_free(core);
}

/* A router answers a few packets a second, of whichever flow: what it said to one, others follow once they time out. */
Test(tcp_path, what_one_has_learnt_others_follow_after_a_timeout) {
    open_flow();
    tcp_id other = establish(core, &(struct craft){.mss = 1460, .remote_port = 1});
    send_bytes(core, other, 1460);
    send_bytes(core, id, 1460);
    drain(core, d, 64);
    frag_needed(1300);
    drain(core, d, 64);
    const struct tcp_conn *o = tcp_conn_of(core, other);
    cr_assert(c->mss == 1260 && o->mss == 1460, "it may be another path, as long as nothing is lost");
    all_arrives();
    cr_assert(next_output() == 1 && d[0].len == 1260, "%u", d[0].len);
    cr_assert(o->mss == 1260 && o->backoff == 1 && core->stats.pmtu_lowered == 2 && !core->stats.pmtu_blackholes);
    harness_core_free(core);
}

/* More addresses than the table holds: others are forgotten, memory stays, the latest are known. */
Test(tcp_path, attack_flood_of_addresses) {
    open_sending(1460);
    struct flow_key key = c->key;
    unsigned known = 0;
    for (uint32_t i = 0; i < 10 * TCP_PATHS; i++) {
        c->mss = 1460;
        c->key.remote_addr_be = rte_cpu_to_be_32(0x0a000000u + i);
        tcp_path_frag_needed(core, c, 1000);
        cr_assert_eq(mss_towards(c->key.remote_addr_be), 960);
    }
    for (uint32_t i = 0; i < 10 * TCP_PATHS; i++)
        known += mss_towards(rte_cpu_to_be_32(0x0a000000u + i)) == 960;
    cr_assert(known > TCP_PATHS / 2 && known <= TCP_PATHS, "%u", known);
    c->key = key;
    harness_core_free(core);
}

/* Nothing comes back about full segments: some timeouts in a row a step, down to what every path takes. */
Test(tcp_path, black_hole) {
    open_sending(6000);
    time_out(TCP_BLACKHOLE_RTOS - 1);
    cr_assert_eq(c->mss, 1460, "so far it may be losses");
    time_out(TCP_BLACKHOLE_RTOS);
    cr_assert_eq(c->mss, TCP_BLACKHOLE_MTU - 40);
    cr_assert(c->flags & TCP_F_MSS_LOW);
    cr_assert_eq(core->stats.pmtu_blackholes, 1);
    cr_assert_leq(d[0].len, TCP_BLACKHOLE_MTU - 40, "and so it leaves");
    cr_assert_eq(mss_of_a_new_flow(5), TCP_BLACKHOLE_MTU - 40);
    time_out(2 * TCP_BLACKHOLE_RTOS);
    cr_assert_eq(c->mss, TCP_BLACKHOLE_MTU_LEAST - 40);
    time_out(3 * TCP_BLACKHOLE_RTOS);
    cr_assert_eq(core->stats.pmtu_blackholes, 2, "no further");
    gone_for((TCP_PATH_GUESS_S + TCP_PATH_KEEP_S) * 1000);
    cr_assert_eq(mss_of_a_new_flow(6), 1460, "a guess is soon forgotten");
    harness_core_free(core);
}

Test(tcp_path, small_segments_are_no_black_hole) {
    open_sending(300);
    time_out(2 * TCP_BLACKHOLE_RTOS);
    cr_assert_eq(c->mss, 1460);
    cr_assert_eq(core->stats.pmtu_blackholes, 0);
    harness_core_free(core);
}

/* --- up again --- */

/* A flow whose segments a black hole, or an outage, has made smaller, and that sends again. */
static void open_lowered(void) {
    open_sending(1460);
    time_out(TCP_BLACKHOLE_RTOS);
    all_arrives();
    send_bytes(core, id, 100);
    drain(core, d, 64);
    all_arrives();
    cr_assert(c->mss == TCP_BLACKHOLE_MTU - 40 && !c->backoff);
    c->cwnd = 14600;
}

static void pass_on(uint32_t ms) {
    sleep_ms(core, ms);
    drain(core, d, 64);
}

#define ENOUGH 6000u /* to send a segment that tries, and what tells of its loss */

/* The longest of what leaves now, where so much is to be sent. */
static uint32_t longest_of(uint32_t bytes) {
    uint32_t longest = 0;
    send_bytes(core, id, bytes);
    for (unsigned n = drain(core, d, 64), i = 0; i < n; i++)
        longest = weir_max_u32(longest, d[i].len);
    return longest;
}

Test(tcp_path, an_outage_is_over) {
    open_lowered();
    pass_on(TCP_PATH_GUESS_S * 1000);
    send_bytes(core, id, ENOUGH);
    cr_assert_eq(drain(core, d, 64), 6);
    cr_assert(d[0].len == 1460 && d[1].len == 1024 && d[2].len == 1024, "one to try, the others as before");
    cr_assert_eq(c->mss, 1024);
    all_arrives();
    cr_assert_eq(c->mss, 1460);
    cr_assert(!(c->flags & (TCP_F_MSS_LOW | TCP_F_PATH_PROBE)));
    cr_assert(core->stats.pmtu_probes == 1 && core->stats.pmtu_raised == 1);
    cr_assert_eq(mss_of_a_new_flow(1), 1460, "the next one need not try");
    harness_core_free(core);
}

/* RFC 5681 (4): what an earlier loss has left of ssthresh is two segments of the new size at least, or a recovery would
 * end with less window than one takes. */
Test(tcp_path, windows_grow_with_the_segment) {
    open_lowered();
    pass_on(TCP_PATH_GUESS_S * 1000);
    send_bytes(core, id, ENOUGH);
    cr_assert_eq(drain(core, d, 64), 6);
    c->ssthresh = 1100;
    all_arrives();
    cr_assert_eq(c->mss, 1460);
    cr_assert(c->cwnd >= 1460 && c->ssthresh >= 2920, "cwnd %u, ssthresh %u", c->cwnd, c->ssthresh);
    harness_core_free(core);
}

/* RFC 4821 7.4: lost at the tail it would cost a timeout, and that a reduction. */
static void try_with_behind(bool sack, uint32_t behind) {
    open_lowered();
    c->flags |= sack ? TCP_F_SACK : 0;
    pass_on(TCP_PATH_GUESS_S * 1000);
    cr_assert_eq(longest_of(1460), 1024);
    all_arrives();
    cr_assert_eq(longest_of(1460 + behind - 1), 1024);
    all_arrives();
    cr_assert_eq(core->stats.pmtu_probes, 0);
    c->cwnd = 14600;
    cr_assert_eq(longest_of(1460 + behind), 1460);
    all_arrives();
    cr_assert(c->mss == 1460 && !(c->flags & TCP_F_MSS_LOW));
    harness_core_free(core);
}

Test(tcp_path, tried_with_enough_behind_it) {
    try_with_behind(false, 3 * 1024);
}

Test(tcp_path, tried_with_one_segment_behind_it_where_rack_tells) {
    try_with_behind(true, 1024);
}

/* Each try that fails doubles the time to the next. */
Test(tcp_path, black_hole_is_tried_ever_more_rarely) {
    static const uint32_t tries[] = {1460, 1452, 1360, 1240}; /* and from the beginning */
    open_lowered();
    uint32_t wait_s = TCP_PATH_GUESS_S;
    for (unsigned i = 1; i < 12; i++) {
        pass_on(wait_s * 1000 - 1000);
        cr_assert_eq(longest_of(ENOUGH), 1024, "too soon for try %u", i);
        all_arrives();
        pass_on(1000);
        cr_assert_eq(longest_of(ENOUGH), tries[(i - 1) % 4], "try %u", i);
        cr_assert(c->flags & TCP_F_PATH_PROBE);
        cr_assert_gt(next_output(), 0);
        cr_assert(d[0].seq == c->snd_una && d[0].len <= 1024, "in pieces once it is lost");
        cr_assert(!(c->flags & TCP_F_PATH_PROBE));
        all_arrives();
        c->cwnd = 14600;
        cr_assert(c->mss == 1024 && core->stats.pmtu_probes == i && !core->stats.pmtu_raised);
        send_bytes(core, id, 100);
        drain(core, d, 64);
        all_arrives();
        wait_s = weir_min_u32(2 * wait_s, TCP_PATH_WAIT_S);
    }
    cr_assert_eq(core->stats.pmtu_blackholes, 1);
    harness_core_free(core);
}

/* A path that takes no more than 1,400 and says nothing, and an outage: not for ever as small as that has made it. */
Test(tcp_path, what_a_black_hole_takes_is_found_again) {
    open_sending(1460);
    time_out(2 * TCP_BLACKHOLE_RTOS);
    all_arrives();
    send_bytes(core, id, 100);
    drain(core, d, 64);
    all_arrives();
    cr_assert_eq(c->mss, TCP_BLACKHOLE_MTU_LEAST - 40);
    for (unsigned s = 0; s < 60; s++) {
        c->cwnd = 14600;
        c->backoff = 0;
        pass_on(1000);
        if (longest_of(ENOUGH) > 1360) {
            next_output();
            cr_assert(!(c->flags & TCP_F_PATH_PROBE), "lost");
        }
        all_arrives();
    }
    cr_assert_eq(c->mss, 1360);
    cr_assert_eq(mss_of_a_new_flow(1), 1360);
    harness_core_free(core);
}

Test(tcp_path, nothing_is_tried_while_something_is_wrong) {
    open_lowered();
    pass_on(TCP_PATH_GUESS_S * 1000);
    c->backoff = 1;
    cr_assert_eq(longest_of(ENOUGH), 1024, "the path is silent");
    c->backoff = 0;
    all_arrives();
    c->cwnd = 4531;
    cr_assert_eq(longest_of(ENOUGH), 1024, "the network does not take it");
    all_arrives();
    c->cwnd = 14600;
    c->snd_wnd = 4531;
    cr_assert_leq(longest_of(ENOUGH), 1024, "the peer does not take it");
    c->snd_wnd = 65535;
    tcp_pending(core, c);
    drain(core, d, 64);
    all_arrives();
    send_bytes(core, id, ENOUGH);
    tcp_conn_shutdown(core, id);
    drain(core, d, 64);
    cr_assert_eq(d[0].len, 1024, "nothing will come that is large");
    harness_core_free(core);
}

/* RFC 4821 3: alone it is no sign of congestion, with others it is. */
static void lose_the_probe(bool alone) {
    open_flow();
    c->flags |= TCP_F_SACK;
    c->mss = 1024;
    c->flags |= TCP_F_MSS_LOW;
    cr_assert_eq(longest_of(8000), 1460);
    struct craft ack = peer_segment(core, id);
    ack.ack = c->snd_una;
    ack.n_sacks = 1;
    ack.sacks[0] = (struct tcp_sack){c->snd_una + 1460 + (alone ? 0 : 1024), c->snd_nxt};
    sleep_ms(core, 10);
    feed(core, &ack);
    sleep_ms(core, 10);
    drain(core, d, 64);
    cr_assert_eq(core->stats.fast_retransmits, !alone);
    cr_assert_eq(c->cwnd < 14600, !alone);
    cr_assert_eq(core->stats.retransmits, 2 + !alone);
    all_arrives();
    cr_assert(c->mss == 1024 && !core->stats.pmtu_raised && !(c->flags & TCP_F_PATH_PROBE));
    harness_core_free(core);
}

Test(tcp_path, lost_alone_it_is_no_congestion) {
    lose_the_probe(true);
}

Test(tcp_path, lost_with_others_it_is) {
    lose_the_probe(false);
}

/* RFC 1191 3: a router that says so is not asked again for long. */
Test(tcp_path, icmp_answers_the_try) {
    open_sending(1460);
    frag_needed(1400);
    drain(core, d, 64);
    all_arrives();
    pass_on(TCP_PATH_WAIT_S * 1000);
    for (unsigned i = 1; i < 3; i++) {
        c->cwnd = 14600;
        cr_assert_eq(longest_of(ENOUGH), 1460);
        frag_needed(i == 1 ? 1400 : 0);
        cr_assert_eq(drain(core, d, 64), 2);
        cr_assert(d[0].len == 1360 && d[1].len == 100, "in pieces at once");
        all_arrives();
        cr_assert_eq(c->mss, 1360);
        pass_on(TCP_PATH_WAIT_S * 1000 - 1000);
        cr_assert_eq(longest_of(ENOUGH), 1360);
        all_arrives();
        pass_on(1000);
    }
    cr_assert_eq(core->stats.pmtu_held + core->stats.rto_fired, 0);
    harness_core_free(core);
}

/* A flow that an outage has brought down, on a path of 1400 whose routers tell. */
static void open_refused(uint16_t named) {
    open_lowered();
    pass_on(TCP_PATH_GUESS_S * 1000);
    cr_assert_eq(longest_of(ENOUGH), 1460);
    frag_needed(named);
    drain(core, d, 64);
    all_arrives();
    c->cwnd = 14600;
}

/* RFC 8899 4.6.2 */
Test(tcp_path, what_the_router_names_is_tried_at_once) {
    open_refused(1400);
    cr_assert_eq(c->mss, 1024, "said, not seen");
    cr_assert_eq(longest_of(ENOUGH), 1360);
    all_arrives();
    cr_assert_eq(c->mss, 1360);
    cr_assert(c->flags & TCP_F_MSS_LOW);
    cr_assert(core->stats.pmtu_probes == 2 && core->stats.pmtu_raised == 1);
    cr_assert_eq(mss_of_a_new_flow(1), 1360);
    pass_on(TCP_PATH_WAIT_S * 1000 - 5000);
    cr_assert_eq(longest_of(ENOUGH), 1360, "RFC 1191 3: no more than that for ten minutes");
    all_arrives();
    pass_on(5000);
    cr_assert_eq(longest_of(ENOUGH), 1460);
    all_arrives();
    cr_assert(c->mss == 1460 && !(c->flags & TCP_F_MSS_LOW));
    harness_core_free(core);
}

/* One that has less room than it says. */
static void try_named(uint16_t named, uint16_t then) {
    open_refused(named);
    if (then) {
        cr_assert_eq(longest_of(ENOUGH), named - 40u);
        frag_needed(then);
        drain(core, d, 64);
        all_arrives();
        c->cwnd = 14600;
    }
    cr_assert_eq(longest_of(ENOUGH), 1024, "%u %u", named, then);
    all_arrives();
    cr_assert_eq(c->mss, 1024);
    harness_core_free(core);
}

Test(tcp_path, what_the_router_names_is_less_than_it_refuses) {
    try_named(1500, 0);
    try_named(9000, 0);
    try_named(1400, 1400);
    try_named(1400, 1499);
    try_named(0, 0);
}

Test(tcp_path, what_the_router_names_and_nobody_sees_is_not_tried_again) {
    open_refused(1400);
    cr_assert_eq(longest_of(ENOUGH), 1360);
    cr_assert_gt(next_output(), 0);
    all_arrives();
    send_bytes(core, id, 100);
    drain(core, d, 64);
    all_arrives();
    c->cwnd = 14600;
    cr_assert_eq(longest_of(ENOUGH), 1024);
    all_arrives();
    cr_assert_eq(core->stats.pmtu_probes, 2);
    harness_core_free(core);
}

/* Flows that the same outage has brought down need not ask each for itself. */
Test(tcp_path, what_one_has_found_others_try_at_once) {
    open_refused(1400);
    longest_of(ENOUGH);
    all_arrives();
    struct craft syn = {.mss = 1460, .remote_port = 1};
    tcp_id first = id;
    id = establish(core, &syn);
    c = tcp_conn_of(core, id);
    c->mss = 1024;
    cr_assert_eq(longest_of(ENOUGH), 1360);
    all_arrives();
    cr_assert_eq(c->mss, 1360);
    tcp_conn_abort(core, first);
    harness_core_free(core);
}

/* A device of its own limit behind the same address shows no more than that. */
Test(tcp_path, one_that_takes_little_tells_others_no_more) {
    open_lowered();
    c->mss_full = 1200;
    pass_on(TCP_PATH_GUESS_S * 1000);
    cr_assert_eq(longest_of(ENOUGH), 1200);
    all_arrives();
    cr_assert(c->mss == 1200 && !(c->flags & TCP_F_MSS_LOW));
    cr_assert_eq(mss_of_a_new_flow(1), 1200);
    harness_core_free(core);
}

/* Silence is no reason to ask again before the time that ICMP has set. */
Test(tcp_path, a_guess_brings_nothing_forward) {
    open_sending(1460);
    frag_needed(1400);
    all_arrives();
    send_bytes(core, id, 1360);
    drain(core, d, 64);
    time_out(TCP_BLACKHOLE_RTOS);
    all_arrives();
    send_bytes(core, id, 100);
    drain(core, d, 64);
    all_arrives();
    cr_assert_eq(c->mss, 1024);
    c->cwnd = 14600;
    pass_on(TCP_PATH_WAIT_S / 2 * 1000);
    cr_assert_eq(longest_of(ENOUGH), 1024);
    all_arrives();
    pass_on(TCP_PATH_WAIT_S / 2 * 1000);
    cr_assert_eq(longest_of(ENOUGH), 1460);
    harness_core_free(core);
}

/* 25 days later milliseconds in 32 bits look as if they lay ahead. */
Test(tcp_path, nothing_comes_back_when_the_clock_wraps) {
    open_sending(1460);
    frag_needed(1300);
    gone_for(0x80000000u);
    cr_assert_eq(mss_of_a_new_flow(1), 1460);
    pass(0x80000000u); /* another 25 days later, as if it were now */
    cr_assert_eq(mss_of_a_new_flow(2), 1460);
    harness_core_free(core);
}

/* The port's clamp holds both ways, whatever the peer announces. */
Test(tcp_path, clamp_of_the_port) {
    core = harness_core(NULL);
    tcp_core_port(core, 0)->mss_clamp = 1200;
    struct craft syn = {.seq = 1000, .flags = WIRE_TCP_SYN, .wnd = 65535, .mss = 1460};
    tcp_listen(core, LOCAL_ADDR, LOCAL_PORT, 7);
    feed(core, &syn);
    struct decoded answer = drain_one(core);
    cr_assert_eq(answer.opts.mss, 1200);
    cr_assert_eq(tcp_conn_of(core, tcp_conn_next(core, 0))->mss, 1200);
    tcp_core_port(core, 0)->mss_clamp = 9000;
    cr_assert_eq(tcp_mss_announced(core, 0), 1460, "never beyond the MTU");
    harness_core_free(core);
}
