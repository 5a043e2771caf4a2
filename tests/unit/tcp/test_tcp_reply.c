/* SPDX-License-Identifier: BSD-3-Clause */
#include "../../pair/core_check.h"
#include "harness.h"

#include <criterion/criterion.h>

static struct tcp_core *core_with_cookies(void) {
    struct tcp_core *core = harness_core(NULL);
    tcp_listen(core, LOCAL_ADDR, LOCAL_PORT, 7);
    tcp_listen_options(core, 7, &(struct tcp_options){.cookies = TCP_COOKIES_ALWAYS});
    return core;
}

static int syn(struct tcp_core *core, uint16_t remote_port) {
    struct craft f = {.seq = 1000, .flags = WIRE_TCP_SYN, .wnd = 65535, .mss = 1460, .remote_port = remote_port};
    return feed(core, &f);
}

static void reset(struct tcp_core *core) {
    const struct flow_key key = {REMOTE_ADDR, LOCAL_ADDR, REMOTE_PORT, LOCAL_PORT, FLOW_FAMILY_IP4, IPPROTO_TCP, 0};
    tcp_reset(core, &key, 0, 1, 2, WIRE_TCP_RST);
}

static unsigned count(const struct decoded *d, unsigned n, uint8_t flag) {
    unsigned of = 0;
    for (unsigned i = 0; i < n; i++)
        of += (d[i].flags & flag) != 0;
    return of;
}

/* A flood of the one kind does not push out the other, and both leave in turns. */
Test(tcp_reply, kinds_do_not_starve_each_other) {
    struct tcp_core *core = core_with_cookies();
    struct decoded d[256];
    for (uint16_t p = 1; p <= TCP_REPLIES; p++)
        cr_assert_eq(syn(core, p), TCP_SEG_FREE);
    cr_assert_eq(syn(core, 999), -TCP_DROP_REPLIES_FULL);
    cr_assert(core->stats.replies_lost == 1 && core->stats.cookies_sent == TCP_REPLIES);
    for (unsigned i = 0; i < TCP_REPLIES + 2; i++)
        reset(core);
    cr_assert_eq(core->stats.replies_lost, 3);
    cr_assert(tcp_busy(core));
    unsigned n = drain(core, d, 64);
    cr_assert(n == 64 && count(d, n, WIRE_TCP_RST) == 32 && count(d, n, WIRE_TCP_SYN) == 32);
    for (unsigned total = n; total < 2 * TCP_REPLIES; total += n)
        n = drain(core, d, 256);
    cr_assert(!tcp_busy(core) && core->stats.resets_out == TCP_REPLIES);
    harness_core_free(core);
}

/* However many answers wait, flows have half of a call, and of a port's room. */
Test(tcp_reply, flows_go_on) {
    struct tcp_core *core = core_with_cookies();
    struct decoded d[64];
    tcp_listen_options(core, 7, &(struct tcp_options){.cookies = TCP_COOKIES_OFF});
    tcp_id id = establish(core, NULL);
    tcp_listen_options(core, 7, &(struct tcp_options){.cookies = TCP_COOKIES_ALWAYS});
    tcp_conn_of(core, id)->cwnd = 1u << 20;
    send_bytes(core, id, 40 * 1460);
    for (uint16_t p = 1; p <= TCP_REPLIES; p++)
        syn(core, p);
    unsigned n = drain(core, d, 16);
    cr_assert_eq(n, 16);
    unsigned cookies = count(d, n, WIRE_TCP_SYN);
    cr_assert(cookies == 8, "%u", cookies);
    core->ports[0].tx_room = 6;
    n = drain(core, d, 64);
    cr_assert(n == 6 && count(d, n, WIRE_TCP_SYN) == 3);
    unsigned flows = 0; /* room for one: now the one, now the other */
    for (unsigned i = 0; i < 10; i++) {
        core->ports[0].tx_room = 1;
        cr_assert_eq(drain(core, d, 64), 1);
        flows += count(d, 1, WIRE_TCP_SYN) == 0;
    }
    cr_assert_eq(flows, 5);
    harness_core_free(core);
}

/* What flows leave is used; a full port keeps what is its own. */
Test(tcp_reply, a_full_port_keeps_them) {
    struct tcp_core *core = core_with_cookies();
    struct decoded d[64];
    for (uint16_t p = 1; p <= 10; p++)
        syn(core, p);
    core->ports[0].tx_room = 0;
    cr_assert_eq(drain(core, d, 64), 0);
    core->ports[0].tx_room = 7;
    cr_assert_eq(drain(core, d, 64), 7);
    core->ports[0].tx_room = 7;
    cr_assert_eq(drain(core, d, 64), 3);
    cr_assert(!tcp_busy(core));
    harness_core_free(core);
}

/* A server dies with more flows than resets find room: every client hears of it, within as many calls as it takes to
 * send them, and no flow is left. */
static void many_end_at_once(bool owned) {
    enum { FLOWS = 1000 };
    struct tcp_core *core = harness_core(&(struct tcp_config){.max_conns = FLOWS + 24});
    struct decoded d[256];
    unsigned told = 0;
    for (uint16_t i = 0; i < FLOWS; i++)
        establish(core, &(struct craft){.mss = 1460, .remote_port = (uint16_t)(2000 + i)});
    cr_assert_eq(core->stats.by_state[TCP_ESTABLISHED], FLOWS);
    for (tcp_id id = 0; (id = tcp_conn_next(core, id)) != 0;) {
        if (owned)
            tcp_conn_reset(core, tcp_conn_of(core, id), TCP_END_RTO_TIMEOUT);
        else
            tcp_conn_abort(core, id);
    }
    struct core_fault fault = {0};
    cr_assert(core_check(core, CORE_CHECK_ALL, 0, &fault), "%s", fault.text);
    for (tcp_id id; owned && (id = tcp_ready_next(core)) != 0;) {
        cr_assert_eq(tcp_conn_events(core, id) & TCP_EV_CLOSED, TCP_EV_CLOSED);
        tcp_conn_release(core, id);
    }
    cr_assert_eq(core->conns.used, FLOWS - TCP_REPLIES, "those whose RST waits");
    for (unsigned calls = 0; tcp_busy(core); calls++) {
        cr_assert_leq(calls, 2 * FLOWS / 64);
        for (unsigned n = drain(core, d, 64), i = 0; i < n; i++) {
            cr_assert(d[i].flags & WIRE_TCP_RST);
            told++;
        }
    }
    cr_assert_eq(told, FLOWS);
    cr_assert(core->conns.used == 0 && core->stats.resets_out == FLOWS && core->stats.replies_lost == 0);
    cr_assert_eq(core->stats.by_state[TCP_CLOSED], 0);
    harness_core_free(core);
}

Test(tcp_reply, a_thousand_aborted_at_once) {
    many_end_at_once(false);
}

Test(tcp_reply, a_thousand_timed_out_at_once) {
    many_end_at_once(true);
}
