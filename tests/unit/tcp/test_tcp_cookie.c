/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <criterion/criterion.h>

#define IRS       5000u
#define PERIOD_US 60000000ull

static struct tcp_core *core_with(enum tcp_cookie_mode mode, const struct tcp_config *config) {
    struct tcp_core *core = harness_core(config);
    struct tcp_options o = {.cookies = (uint8_t)mode, .ecn = true};
    core->now_us = 10 * PERIOD_US + 1000;
    tcp_listen(core, LOCAL_ADDR, LOCAL_PORT, 7);
    tcp_listen_options(core, 7, &o);
    return core;
}

/* What a SYN may say; and what must come of it. */
struct offer {
    uint16_t mss;
    int wscale; /* shift + 1; 0: none */
    bool sack, ts, ecn;
    uint16_t expect_mss;
    int expect_wscale;
    bool expect_ecn;
};

static struct decoded syn(struct tcp_core *core, const struct offer *o) {
    struct craft f = {.seq = IRS,
                      .flags = WIRE_TCP_SYN | (o->ecn ? WIRE_TCP_ECE | WIRE_TCP_CWR : 0),
                      .wnd = 65535,
                      .mss = o->mss,
                      .wscale = o->wscale,
                      .sack_ok = o->sack,
                      .has_ts = o->ts,
                      .ts_val = 777};
    cr_assert_eq(feed(core, &f), TCP_SEG_FREE);
    return drain_one(core);
}

/* The ACK that answers it. */
static struct craft ack_of(const struct decoded *d) {
    return (struct craft){.seq = d->ack,
                          .ack = d->seq + 1,
                          .flags = WIRE_TCP_ACK,
                          .wnd = 1000,
                          .has_ts = d->opts.has_ts,
                          .ts_val = 800,
                          .ts_ecr = d->opts.ts_val};
}

static tcp_id accepted(struct tcp_core *core) {
    tcp_id id = tcp_ready_next(core);
    return id && (tcp_conn_events(core, id) & TCP_EV_ACCEPTED) ? id : 0;
}

/* The ACK is refused as RFC 9293 3.10.7.2 has it; without a reset where its timestamp shows that it may only be early. */
static void refused(struct tcp_core *core, const struct craft *ack) {
    uint64_t bad = core->stats.cookies_bad;
    core->now_us += 20000; /* within the budget of resets */
    int verdict = feed(core, ack);
    cr_assert_eq(verdict, -TCP_DROP_COOKIE, "%s", tcp_drop_name((enum tcp_drop)(-verdict)));
    struct decoded d[2];
    unsigned n = drain(core, d, 2);
    cr_assert(n == 1 || (n == 0 && ack->has_ts));
    cr_assert(n == 0 || (d[0].flags == WIRE_TCP_RST && d[0].seq == ack->ack));
    cr_assert_eq(core->stats.cookies_bad, bad + 1);
    cr_assert_eq(core->conns.used, 0);
}

static const struct offer offers[] = {
    {1460, 8, true, true, true, 1460, 8, true},
    {1452, 15, true, true, false, 1440, 15, false}, /* MSS rounded down, every shift kept */
    {8960, 0, false, true, true, 1460, 0, true},    /* our own MTU bounds it */
    {0, 1, false, true, false, 536, 1, false},      /* no MSS option */
    {1460, 9, true, false, true, 1460, 9, false},   /* without timestamps no ECN */
    {1380, 10, true, false, false, 1360, 9, false}, /* 9 becomes 8 */
    {1400, 15, false, false, false, 1400, 11, false},
    {1220, 2, true, false, false, 1220, 1, false},
    {536, 0, true, false, false, 536, 0, false},
    {100, 1, false, false, false, 88, 1, false},
    {40, 0, false, false, false, 88, 0, false}, /* below the least: CVE-2019-11479 */
};

Test(tcp_cookie, all_options_come_back) {
    for (size_t i = 0; i < WEIR_ARRAY_LEN(offers); i++) {
        const struct offer *o = &offers[i];
        struct tcp_core *core = core_with(TCP_COOKIES_ALWAYS, NULL);
        struct decoded d = syn(core, o);
        cr_assert_eq(d.flags, WIRE_TCP_SYN | WIRE_TCP_ACK | (o->expect_ecn ? WIRE_TCP_ECE : 0));
        cr_assert(d.ack == IRS + 1 && d.wnd == 65535 && d.opts.mss == 1460);
        cr_assert(d.opts.has_ts == o->ts && d.opts.sack_permitted == o->sack && d.opts.has_wscale == (o->wscale != 0));
        cr_assert(!o->ts || d.opts.ts_ecr == 777);
        cr_assert(core->conns.used == 0 && core->wheel.armed == 0 && core->half_open == 0, "no flow, no timer");
        struct craft ack = ack_of(&d);
        cr_assert_eq(feed(core, &ack), TCP_SEG_FREE);
        tcp_id id = accepted(core);
        cr_assert(id && tcp_conn_state(core, id) == TCP_ESTABLISHED && core->half_open == 0);
        const struct tcp_conn *c = tcp_conn_of(core, id);
        cr_assert_eq(c->mss, o->expect_mss - (o->ts ? TCP_OPT_TS_BYTES : 0), "offer %zu: %u", i, c->mss);
        int shift = o->expect_wscale ? o->expect_wscale - 1 : 0;
        cr_assert(tcp_snd_wscale(c) == shift && !(c->flags & TCP_F_WS) == !o->wscale);
        cr_assert(c->snd_wnd == 1000u << shift && c->rcv_nxt == IRS + 1 && c->rcv_adv == IRS + 1 + 65535);
        cr_assert(!(c->flags & TCP_F_SACK) == !o->sack && !(c->flags & TCP_F_TS) == !o->ts);
        cr_assert(!(c->flags & TCP_F_ECN) == !o->expect_ecn);
        cr_assert(!o->ts || c->ts_recent == 800);
        cr_assert(c->srtt_us == 0 && c->rto_us == TCP_RTO_INITIAL_US, "nothing was measured");
        cr_assert(core->stats.cookies_sent == 1 && core->stats.cookies_accepted == 1 && core->stats.accepted == 1);
        cr_assert_eq(tcp_conn_listener(core, id), 7);
        harness_core_free(core);
    }
}

Test(tcp_cookie, data_completes_it_and_is_taken) {
    struct tcp_core *core = core_with(TCP_COOKIES_ALWAYS, NULL);
    struct decoded d = syn(core, &offers[0]), answer;
    struct craft data = ack_of(&d);
    data.len = 300; /* the bare ACK was lost */
    data.flags |= WIRE_TCP_PSH;
    cr_assert_eq(feed(core, &data), TCP_SEG_KEPT);
    tcp_id id = accepted(core);
    cr_assert(id && tcp_conn_rx(core, id)->len_bytes == 300);
    answer = drain_one(core);
    cr_assert(answer.ack == IRS + 301 && answer.seq == d.seq + 1 && answer.flags == WIRE_TCP_ACK);
    cr_assert_eq(answer.opts.ts_ecr, 800);
    /* It came twice. */
    cr_assert_eq(feed(core, &data), -TCP_DROP_DUPLICATE);
    cr_assert_eq(core->conns.used, 1);
    harness_core_free(core);
}

Test(tcp_cookie, fin_on_the_ack) {
    struct tcp_core *core = core_with(TCP_COOKIES_ALWAYS, NULL);
    struct decoded d = syn(core, &offers[0]);
    struct craft ack = ack_of(&d);
    ack.len = 10;
    ack.flags |= WIRE_TCP_FIN;
    feed(core, &ack);
    tcp_id id = accepted(core);
    cr_assert(id && tcp_conn_state(core, id) == TCP_CLOSE_WAIT);
    harness_core_free(core);
}

/* ACK and data in one burst: the second is looked up before the flow is there. */
Test(tcp_cookie, ack_and_data_in_a_burst) {
    struct tcp_core *core = core_with(TCP_COOKIES_ALWAYS, NULL);
    struct decoded d = syn(core, &offers[0]);
    struct craft ack = ack_of(&d), data = ack;
    data.len = 10;
    struct rte_mbuf *m[2] = {craft(&ack), craft(&data)};
    int16_t verdicts[2];
    tcp_input_burst(core, m, 2, core->now_us, verdicts);
    cr_assert(verdicts[0] == TCP_SEG_FREE && verdicts[1] == TCP_SEG_KEPT);
    rte_pktmbuf_free(m[0]);
    cr_assert_eq(core->stats.cookies_accepted, 1);
    harness_core_free(core);
}

/* Each bit of what the peer brings back counts. */
Test(tcp_cookie, any_change_is_refused) {
    for (unsigned with_ts = 0; with_ts < 2; with_ts++) {
        struct tcp_core *core = core_with(TCP_COOKIES_ALWAYS, NULL);
        struct decoded d = syn(core, &offers[with_ts ? 0 : 4]);
        for (unsigned bit = 0; bit < 32; bit++) {
            struct craft ack = ack_of(&d);
            ack.ack = ((ack.ack - 1) ^ 1u << bit) + 1;
            refused(core, &ack);
            ack = ack_of(&d);
            ack.seq ^= 1u << bit;
            refused(core, &ack);
        }
        for (unsigned bit = 0; bit < 32 && with_ts; bit++) {
            struct craft ack = ack_of(&d);
            ack.ts_ecr ^= 1u << bit;
            if (bit >= 6 && bit <= 16)
                continue; /* the clock, within the life of a cookie */
            refused(core, &ack);
        }
        struct craft ack = ack_of(&d);
        ack.remote_port = 40001;
        refused(core, &ack);
        ack = ack_of(&d);
        ack.has_ts = !ack.has_ts; /* one form does not pass for the other */
        ack.ts_ecr = d.opts.ts_val;
        refused(core, &ack);
        ack = ack_of(&d);
        cr_assert_eq(feed(core, &ack), TCP_SEG_FREE, "and unchanged it is taken");
        harness_core_free(core);
    }
}

Test(tcp_cookie, lives_one_to_two_periods) {
    for (unsigned with_ts = 0; with_ts < 2; with_ts++)
        for (unsigned late = 0; late < 2; late++)
            for (unsigned periods = 0; periods < 4; periods++) {
                struct tcp_core *core = core_with(TCP_COOKIES_ALWAYS, NULL);
                core->now_us += late ? PERIOD_US - 2000 : 0; /* sent at the end of a period, or the beginning */
                struct decoded d = syn(core, &offers[with_ts ? 0 : 4]);
                struct craft ack = ack_of(&d);
                core->now_us += late && periods ? (periods - 1) * PERIOD_US + 2000 : periods * PERIOD_US;
                /* Another one is sent: they are not all over. */
                struct craft other = {.seq = 1, .flags = WIRE_TCP_SYN, .remote_port = 9};
                feed(core, &other);
                drain_one(core);
                if (periods < 2) {
                    cr_assert_eq(feed(core, &ack), TCP_SEG_FREE, "ts %u late %u periods %u", with_ts, late, periods);
                    cr_assert(accepted(core));
                } else {
                    refused(core, &ack);
                }
                harness_core_free(core);
            }
}

/* No cookie is out: an ACK to nothing is a stray one, and no hash is computed for it. */
Test(tcp_cookie, only_while_cookies_are_out) {
    struct tcp_core *core = core_with(TCP_COOKIES_ALWAYS, NULL);
    struct craft stray = {.seq = 50, .ack = 900, .flags = WIRE_TCP_ACK};
    cr_assert_eq(feed(core, &stray), -TCP_DROP_NO_FLOW);
    cr_assert_eq(core->cookies.until_us, 0, "no key was needed");
    struct decoded out[4];
    drain(core, out, 4);
    struct decoded d = syn(core, &offers[0]);
    cr_assert_eq(feed(core, &stray), -TCP_DROP_COOKIE);
    drain(core, out, 4);
    core->now_us += 2 * PERIOD_US;
    struct craft ack = ack_of(&d);
    cr_assert_eq(feed(core, &ack), -TCP_DROP_NO_FLOW);
    drain(core, out, 4);
    harness_core_free(core);
}

Test(tcp_cookie, only_bare_of_syn_and_rst_and_to_an_accepting_listener) {
    struct tcp_core *core = core_with(TCP_COOKIES_ALWAYS, NULL);
    struct decoded d = syn(core, &offers[0]), out[8];
    struct craft f = ack_of(&d);
    f.flags |= WIRE_TCP_RST;
    cr_assert_eq(feed(core, &f), -TCP_DROP_NO_FLOW_RST);
    f.flags = WIRE_TCP_ACK | WIRE_TCP_SYN;
    cr_assert_eq(feed(core, &f), -TCP_DROP_NO_FLOW);
    f = ack_of(&d);
    f.local_port = 1;
    cr_assert_eq(feed(core, &f), -TCP_DROP_NO_FLOW);
    f.local_port = 0;
    tcp_listen_accepting(core, 7, false);
    cr_assert_eq(feed(core, &f), -TCP_DROP_LISTENER_CLOSED);
    tcp_listen_accepting(core, 7, true);
    tcp_listen_options(core, 7, &(struct tcp_options){.cookies = TCP_COOKIES_OFF});
    cr_assert_eq(feed(core, &f), -TCP_DROP_NO_FLOW);
    cr_assert_eq(drain(core, out, 8), 4);
    harness_core_free(core);
}

/* The SYN comes again: the answers differ in nothing but time. */
Test(tcp_cookie, syn_repeated) {
    struct tcp_core *core = core_with(TCP_COOKIES_ALWAYS, NULL);
    struct decoded first = syn(core, &offers[0]);
    core->now_us += 1000000;
    struct decoded second = syn(core, &offers[0]);
    cr_assert(second.seq == first.seq && second.opts.ts_val - first.opts.ts_val >= 1000 - 63);
    struct craft ack = ack_of(&first); /* to the first, which was late */
    cr_assert_eq(feed(core, &ack), TCP_SEG_FREE);
    harness_core_free(core);
}

/* Our timestamps never go back: from the cookie to the flow, over all phases of the clock. */
Test(tcp_cookie, timestamps_rise) {
    for (unsigned ms = 0; ms < 130; ms++) {
        struct tcp_core *core = core_with(TCP_COOKIES_ALWAYS, NULL);
        core->now_us += ms * 1000;
        uint32_t clock =
            tcp_now_ms(core) + tcp_ts_offset(core, &(struct flow_key){REMOTE_ADDR, LOCAL_ADDR, REMOTE_PORT, LOCAL_PORT,
                                                                      FLOW_FAMILY_IP4, IPPROTO_TCP, 0});
        struct decoded d = syn(core, &offers[0]);
        cr_assert(clock - d.opts.ts_val < 64, "never ahead of the clock, nor far behind");
        struct craft data = ack_of(&d);
        data.len = 1;
        feed(core, &data);
        struct decoded a = drain_one(core);
        cr_assert(a.opts.ts_val == clock && seq_leq(d.opts.ts_val, a.opts.ts_val));
        harness_core_free(core);
    }
}

/* Auto: from three quarters of max_half_open on, until half of it is left. */
Test(tcp_cookie, auto_with_hysteresis) {
    struct tcp_config config = {.max_half_open = 16};
    struct tcp_core *core = core_with(TCP_COOKIES_AUTO, &config);
    struct craft f = {.seq = 1, .flags = WIRE_TCP_SYN, .wnd = 100};
    struct decoded d[64];
    for (f.remote_port = 1; f.remote_port <= 40; f.remote_port++)
        cr_assert_eq(feed(core, &f), TCP_SEG_FREE);
    cr_assert(core->half_open == 12 && core->stats.cookies_sent == 28 && core->stats.half_open_refused == 0);
    cr_assert_eq(drain(core, d, 64), 40);
    for (uint16_t p = 1; p <= 4; p++) { /* some get through */
        struct craft ack = {.seq = 2, .flags = WIRE_TCP_ACK, .wnd = 100, .remote_port = p};
        for (tcp_id id = 0; (id = tcp_conn_next(core, id)) != 0;)
            if (tcp_conn_key(core, id)->remote_port_be == rte_cpu_to_be_16(p))
                ack.ack = tcp_conn_of(core, id)->snd_nxt;
        cr_assert_eq(feed(core, &ack), TCP_SEG_FREE);
    }
    cr_assert_eq(core->half_open, 8);
    f.remote_port = 100;
    feed(core, &f);
    cr_assert(core->half_open == 8 && core->stats.cookies_sent == 29, "still");
    struct craft rst = {.seq = 2, .flags = WIRE_TCP_RST, .remote_port = 5};
    feed(core, &rst);
    f.remote_port = 101;
    feed(core, &f);
    cr_assert(core->half_open == 8 && core->stats.cookies_sent == 29, "over");
    drain(core, d, 64);
    sleep_ms(core, 10001);
    cr_assert_eq(core->half_open, 0);
    harness_core_free(core);
}

Test(tcp_cookie, off_drops_beyond_the_backlog) {
    struct tcp_config config = {.max_half_open = 4};
    struct tcp_core *core = core_with(TCP_COOKIES_OFF, &config);
    struct craft f = {.seq = 1, .flags = WIRE_TCP_SYN, .wnd = 100};
    for (f.remote_port = 1; f.remote_port <= 4; f.remote_port++)
        cr_assert_eq(feed(core, &f), TCP_SEG_FREE);
    cr_assert_eq(feed(core, &f), -TCP_DROP_HALF_OPEN_FULL);
    cr_assert(core->stats.half_open_refused == 1 && core->stats.cookies_sent == 0);
    harness_core_free(core);
}

/* A SYN to a flow in TIME-WAIT gets a flow in its place, above all that the old one sent. */
Test(tcp_cookie, time_wait_gives_way_to_a_flow) {
    struct tcp_core *core = core_with(TCP_COOKIES_OFF, NULL);
    tcp_id id = in_state(core, TCP_TIME_WAIT);
    uint32_t rcv_nxt = tcp_conn_of(core, id)->rcv_nxt, above = tcp_conn_of(core, id)->snd_nxt;
    tcp_conn_release(core, id);
    tcp_listen_options(core, 7, &(struct tcp_options){.cookies = TCP_COOKIES_ALWAYS});
    struct craft f = {.seq = rcv_nxt + 10, .flags = WIRE_TCP_SYN, .wnd = 100};
    cr_assert_eq(feed(core, &f), TCP_SEG_FREE);
    struct decoded d = drain_one(core);
    cr_assert(seq_lt(above, d.seq) && core->half_open == 1 && core->stats.cookies_sent == 0);
    cr_assert_eq(core->conns.used, 1);
    harness_core_free(core);
}

Test(tcp_cookie, time_wait_stays_where_there_is_no_room) {
    struct tcp_config config = {.max_half_open = 1};
    struct tcp_core *core = core_with(TCP_COOKIES_OFF, &config);
    tcp_id id = in_state(core, TCP_TIME_WAIT);
    struct craft f = {.seq = 1, .flags = WIRE_TCP_SYN, .wnd = 100, .remote_port = 9};
    cr_assert_eq(feed(core, &f), TCP_SEG_FREE);
    f.remote_port = 0;
    f.seq = tcp_conn_of(core, id)->rcv_nxt + 10;
    cr_assert_eq(feed(core, &f), -TCP_DROP_HALF_OPEN_FULL);
    cr_assert_eq(tcp_conn_state(core, id), TCP_TIME_WAIT);
    tcp_listen_accepting(core, 7, false);
    cr_assert_eq(feed(core, &f), -TCP_DROP_LISTENER_CLOSED);
    cr_assert_eq(tcp_conn_state(core, id), TCP_TIME_WAIT);
    harness_core_free(core);
}

Test(tcp_cookie, flow_pool_used_up) {
    struct tcp_config config = {.max_conns = 1};
    struct tcp_core *core = core_with(TCP_COOKIES_ALWAYS, &config);
    struct decoded d = syn(core, &offers[0]);
    struct craft ack = ack_of(&d), f = {.seq = IRS, .flags = WIRE_TCP_SYN, .wnd = 100, .remote_port = 9};
    feed(core, &f);
    struct decoded other = drain_one(core);
    struct craft first = ack_of(&other);
    first.remote_port = 9;
    cr_assert_eq(feed(core, &first), TCP_SEG_FREE);
    cr_assert_eq(feed(core, &ack), -TCP_DROP_CONNS_FULL);
    cr_assert_eq(core->stats.conns_refused, 1);
    tcp_conn_abort(core, accepted(core));
    drain_one(core);
    ack.len = 5; /* the client tries again with its data */
    cr_assert_eq(feed(core, &ack), TCP_SEG_KEPT);
    harness_core_free(core);
}
