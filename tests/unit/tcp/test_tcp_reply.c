/* SPDX-License-Identifier: BSD-3-Clause */
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
