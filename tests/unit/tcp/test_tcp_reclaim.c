/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <criterion/criterion.h>

static struct tcp_core *core;
static struct decoded d[256];

static tcp_id open_flow(uint16_t remote_port) {
    struct craft syn = {.mss = 1460, .sack_ok = true, .remote_port = remote_port};
    drain(core, d, 256);
    while (tcp_ready_next(core))
        ;
    return establish(core, &syn);
}

/* An ACK of the flow's peer. */
static int ack(tcp_id id, uint32_t number, uint16_t wnd) {
    const struct tcp_conn *c = tcp_conn_of(core, id);
    struct craft f = peer_segment(core, id);
    f.remote_port = rte_be_to_cpu_16(c->key.remote_port_be);
    f.ack = number;
    f.wnd = wnd;
    return feed(core, &f);
}

/* A second at a time, with output, until `s` seconds are over or the flow is. */
static unsigned live(tcp_id id, unsigned s, uint32_t drip) {
    unsigned i;
    for (i = 0; i < s && tcp_conn_state(core, id) != TCP_CLOSED; i++) {
        for (unsigned k = 0; k < 10; k++) {
            sleep_ms(core, 100);
            drain(core, d, 256);
        }
        struct tcp_conn *c = tcp_conn_of(core, id);
        if (drip && c->state != TCP_CLOSED) {
            uint32_t una = c->snd_una + drip;
            ack(id, seq_lt(c->snd_nxt, una) ? c->snd_nxt : una, (uint16_t)drip);
        }
    }
    return i;
}

/* sockstress (RFC 6429): the window is shut and stays so; every probe is answered. */
Test(tcp_reclaim, attack_zero_window_for_ever) {
    core = harness_core(NULL);
    tcp_id id = open_flow(1);
    send_bytes(core, id, 3000);
    drain(core, d, 256);
    ack(id, tcp_conn_of(core, id)->snd_una + 1460, 0);
    unsigned s;
    for (s = 0; s < 200 && tcp_conn_state(core, id) != TCP_CLOSED; s++) {
        live(id, 1, 0);
        if (tcp_conn_state(core, id) != TCP_CLOSED)
            ack(id, tcp_conn_of(core, id)->snd_una, 0);
    }
    cr_assert(s >= 55 && s <= 125, "%u", s);
    cr_assert(tcp_conn_end(core, id) == TCP_END_PERSIST_TIMEOUT || tcp_conn_end(core, id) == TCP_END_RTO_TIMEOUT);
    cr_assert_eq(core->stats.tx_mbufs, 0);
    cr_assert_eq(tcp_conn_state(core, open_flow(2)), TCP_ESTABLISHED, "the next client is served");
    harness_core_free(core);
}

/* A byte a second is an ACK a second, and no progress: the user timeout comes all the same. A slow peer lives. */
Test(tcp_reclaim, attack_window_opened_drop_by_drop) {
    core = harness_core(NULL);
    tcp_id id = open_flow(1);
    send_bytes(core, id, 60000);
    drain(core, d, 256);
    unsigned s = live(id, 300, 10);
    cr_assert(s >= 60 && s <= 70, "%u", s);
    cr_assert_neq(tcp_conn_end(core, id), TCP_END_NONE);
    cr_assert_eq(core->stats.tx_mbufs, 0);
    tcp_id slow = open_flow(2);
    send_bytes(core, slow, 60000);
    drain(core, d, 256);
    cr_assert_eq(live(slow, 200, 3 * TCP_PROGRESS_BYTES_PER_S), 200, "slow, and alive");
    harness_core_free(core);
}

Test(tcp_reclaim, what_progress_buys) {
    core = harness_core(NULL);
    tcp_id id = open_flow(1);
    struct tcp_conn *c = tcp_conn_of(core, id);
    sleep_ms(core, 100000);
    send_bytes(core, id, 5000);
    cr_assert_eq(c->progress_ms, tcp_now_ms(core), "nothing waited before");
    sleep_ms(core, 100);
    tcp_progress_begins(core, c, 10);
    cr_assert_eq(c->progress_ms, tcp_now_ms(core) - 100, "something did");
    tcp_progress(core, c, 1);
    cr_assert_eq(c->progress_ms, tcp_now_ms(core) - 90);
    tcp_progress(core, c, 1000);
    cr_assert_eq(c->progress_ms, tcp_now_ms(core), "never beyond now");
    harness_core_free(core);
}

/* More stuck flows than the send budget holds: those that have waited for longest go, one that moves does not, and the
 * next client finds memory. */
Test(tcp_reclaim, attack_holders_of_send_buffers) {
    enum { HOLDERS = 40 };
    struct tcp_config config = {.tx_budget_mbufs = 64, .user_timeout_ms = 120000};
    core = harness_core(&config);
    tcp_id honest = open_flow(1), holders[HOLDERS];
    for (unsigned i = 0; i < HOLDERS; i++) {
        holders[i] = open_flow((uint16_t)(100 + i));
        send_bytes(core, holders[i], 2500); /* two mbufs */
        drain(core, d, 256);
        ack(holders[i], tcp_conn_of(core, holders[i])->snd_nxt, 0);
        send_bytes(core, holders[i], 2500);
        sleep_ms(core, 50);
    }
    cr_assert_geq(core->stats.tx_mbufs, 64);
    unsigned gone = 0, s;
    for (s = 0; s < 100 && !gone; s++) {
        send_bytes(core, honest, 100);
        drain(core, d, 256);
        ack(honest, tcp_conn_of(core, honest)->snd_nxt, 65535);
        live(honest, 1, 0);
        for (unsigned i = 0; i < HOLDERS; i++)
            gone += tcp_conn_end(core, holders[i]) == TCP_END_RECLAIMED;
    }
    cr_assert(s >= 4 && s < 35, "after %u s", s);
    cr_assert_lt(core->stats.tx_mbufs, 64);
    cr_assert_eq(core->stats.ends[TCP_END_RECLAIMED], gone);
    cr_assert_eq(tcp_conn_state(core, honest), TCP_ESTABLISHED, "who moves stays");
    cr_assert_gt(tcp_conn_send_room(core, open_flow(2), 0), 2 * 1460u, "the next client finds memory");
    harness_core_free(core);
}

Test(tcp_reclaim, nobody_goes_while_there_is_room) {
    struct tcp_config config = {.tx_budget_mbufs = 1000, .user_timeout_ms = 120000};
    core = harness_core(&config);
    tcp_id id = open_flow(1);
    send_bytes(core, id, 2500);
    drain(core, d, 256);
    ack(id, tcp_conn_of(core, id)->snd_nxt, 0);
    send_bytes(core, id, 2500);
    cr_assert_eq(live(id, 60, 0), 60);
    harness_core_free(core);
}

/* Holes that nobody fills hold half of the receive budget: after a while their data is given up, and others can put
 * theirs there. The flow lives on, and its peer sends again what it had reported. */
Test(tcp_reclaim, attack_holes_that_stay_open) {
    struct tcp_config config = {.rx_budget_mbufs = 64};
    core = harness_core(&config);
    tcp_id ids[8];
    for (unsigned i = 0; i < 8; i++) {
        ids[i] = open_flow((uint16_t)(100 + i));
        for (unsigned k = 0; k < 16; k++) {
            struct craft f = peer_segment(core, ids[i]);
            f.remote_port = (uint16_t)(100 + i);
            f.seq += 1000 + 600 * k;
            f.len = 500;
            feed(core, &f);
        }
        drain(core, d, 256);
    }
    cr_assert_geq(core->stats.rx_mbufs, 24);
    live(ids[0], TCP_RECLAIM_LEAST_MS / 1000 + 2, 0);
    cr_assert_geq(core->stats.reneged, 1);
    cr_assert_lt(core->stats.rx_mbufs, 24);
    for (unsigned i = 0; i < 8; i++)
        cr_assert_eq(tcp_conn_state(core, ids[i]), TCP_ESTABLISHED);
    struct craft f = peer_segment(core, ids[0]);
    f.remote_port = 100;
    f.len = 1400;
    cr_assert_eq(feed(core, &f), TCP_SEG_KEPT, "and goes on where it was");
    harness_core_free(core);
}

static uint32_t offered(tcp_id id) {
    const struct tcp_conn *c = tcp_conn_of(core, id);
    return c->rcv_adv - c->rcv_nxt;
}

/* The owner takes all bytes while there is no buffer left, so the window stays shut. The peer hears of it when there
 * are buffers again, without asking, and once. */
Test(tcp_reclaim, a_window_that_was_squeezed_opens_again) {
    struct tcp_config config = {.rx_budget_mbufs = 64};
    core = harness_core(&config);
    tcp_id id = open_flow(1), other = open_flow(2);
    while (offered(id) >= 1000) {
        struct craft f = peer_segment(core, id);
        f.remote_port = 1;
        f.len = 1000;
        cr_assert_eq(feed(core, &f), TCP_SEG_KEPT);
        drain(core, d, 256);
    }
    tcp_rx_kept(core, 64);
    rope_clear(tcp_conn_rx(core, id));
    tcp_conn_consumed(core, id);
    for (unsigned s = 0; s < 5; s++) {
        sleep_ms(core, 1000);
        cr_assert_eq(drain(core, d, 256), 0, "nothing to offer");
        cr_assert_lt(offered(id), 1000);
    }
    while (tcp_ready_next(core))
        ;
    cr_assert_not(tcp_busy(core));
    tcp_rx_kept(core, -64);
    cr_assert(tcp_busy(core), "a worker must not sleep now");
    sleep_ms(core, 1);
    cr_assert_eq(drain(core, d, 256), 1);
    cr_assert(d[0].ack == tcp_conn_of(core, id)->rcv_nxt && d[0].flags == WIRE_TCP_ACK && d[0].len == 0);
    cr_assert_geq(offered(id), 32768);
    cr_assert_eq(core->stats.windows_reopened, 1);
    for (unsigned i = 0; i < 4; i++) {
        sleep_ms(core, 1);
        cr_assert_eq(drain(core, d, 256), 0, "nobody else, and not again");
    }
    cr_assert(!tcp_busy(core) && !tcp_reclaim_reopens(core));
    cr_assert_eq(tcp_conn_state(core, other), TCP_ESTABLISHED);
    harness_core_free(core);
}

/* Not while buffers are short, a few a call, nobody left out wherever the hand stood, and none whose peer is done. */
Test(tcp_reclaim, windows_open_a_few_a_call) {
    enum { FLOWS = 100 };
    struct tcp_config config = {.max_conns = 1000, .rx_budget_mbufs = 64};
    core = harness_core(&config);
    tcp_id ids[FLOWS];
    for (unsigned i = 0; i < FLOWS; i++)
        ids[i] = open_flow((uint16_t)(100 + i));
    tcp_conn_release(core, ids[0]);
    drain(core, d, 256);
    for (unsigned i = 0; i < FLOWS; i++)
        tcp_conn_of(core, ids[i])->rcv_adv = tcp_conn_of(core, ids[i])->rcv_nxt;
    tcp_rx_kept(core, 33);
    tcp_reclaim(core);
    core->reclaim_hand = ids[FLOWS / 2];
    tcp_reclaim(core);
    cr_assert_eq(core->stats.windows_reopened, 0);
    tcp_rx_kept(core, -33);
    unsigned calls = 0;
    for (uint64_t before = 0; tcp_reclaim_reopens(core); before = core->stats.windows_reopened, calls++) {
        tcp_reclaim(core);
        cr_assert_leq(core->stats.windows_reopened - before, 16);
        drain(core, d, 256);
    }
    cr_assert_leq(calls, 2 * (FLOWS / 16 + 2));
    cr_assert_eq(core->stats.windows_reopened, FLOWS - 1);
    harness_core_free(core);
}

/* However many flows there are, a call looks at a few. */
Test(tcp_reclaim, work_a_call_is_bounded) {
    enum { FLOWS = 2000 };
    struct tcp_config config = {.max_conns = 100000, .tx_budget_mbufs = 100};
    core = harness_core(&config);
    for (unsigned i = 0; i < FLOWS; i++) {
        tcp_id id = open_flow((uint16_t)(1000 + i));
        struct tcp_conn *c = tcp_conn_of(core, id);
        if (core->stats.tx_mbufs < 100)
            send_bytes(core, id, 1);
        c->progress_ms = tcp_now_ms(core) - 59000;
    }
    core->reclaim_hand = 0;
    core->reclaim_after_ms = 30000;
    uint64_t before = core->stats.ends[TCP_END_RECLAIMED];
    tcp_reclaim(core);
    cr_assert_leq(core->stats.ends[TCP_END_RECLAIMED] - before, 16);
    cr_assert_leq(core->reclaim_hand, 64 * 64);
    harness_core_free(core);
}
