/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <criterion/criterion.h>

Test(tcp_timer, connect_timeout_and_syn_retransmission) {
    struct tcp_core *core = harness_core(NULL);
    tcp_id id = in_state(core, TCP_SYN_SENT);
    struct decoded d[8];
    sleep_ms(core, 1001);
    cr_assert_eq(drain(core, d, 8), 1, "after 1 s");
    sleep_ms(core, 1900);
    cr_assert_eq(drain(core, d, 8), 0);
    sleep_ms(core, 200);
    cr_assert_eq(drain(core, d, 8), 1, "after 2 s more");
    sleep_ms(core, 2000);
    cr_assert_eq(tcp_ready_next(core), id);
    cr_assert_eq(tcp_conn_events(core, id), TCP_EV_CLOSED);
    cr_assert_eq(tcp_conn_end(core, id), TCP_END_CONNECT_TIMEOUT);
    tcp_conn_release(core, id);
    cr_assert_eq(core->wheel.armed, 0);
    harness_core_free(core);
}

Test(tcp_timer, time_wait_ends) {
    struct tcp_core *core = harness_core(NULL);
    tcp_id id = in_state(core, TCP_TIME_WAIT);
    sleep_ms(core, 30000);
    struct craft fin = peer_segment(core, id); /* our last ACK was lost: 2MSL begins anew */
    fin.seq--;
    fin.flags |= WIRE_TCP_FIN;
    cr_assert_eq(feed(core, &fin), -TCP_DROP_TIME_WAIT);
    cr_assert_eq(drain_one(core).flags, WIRE_TCP_ACK);
    sleep_ms(core, 59000);
    cr_assert_eq(tcp_conn_state(core, id), TCP_TIME_WAIT);
    sleep_ms(core, 1100);
    cr_assert_eq(tcp_conn_state(core, id), TCP_CLOSED);
    cr_assert_eq(tcp_ready_next(core), 0, "TCP_EV_CLOSED comes once");
    tcp_conn_release(core, id);
    harness_core_free(core);
}

Test(tcp_timer, linger) {
    struct tcp_core *core = harness_core(NULL);
    tcp_id id = in_state(core, TCP_FIN_WAIT_2);
    tcp_conn_release(core, id);
    sleep_ms(core, 30001);
    cr_assert_eq(core->stats.ends[TCP_END_LINGER_TIMEOUT], 1);
    cr_assert(drain_one(core).flags & WIRE_TCP_RST);
    cr_assert_eq(tcp_conn_next(core, 0), 0);
    harness_core_free(core);
}

Test(tcp_timer, keepalive) {
    struct tcp_config config = {.keepalive_idle_ms = 1000, .keepalive_interval_ms = 100, .keepalive_probes = 3};
    struct tcp_core *core = harness_core(&config);
    tcp_id id = establish(core, NULL);
    sleep_ms(core, 1001);
    struct decoded d = drain_one(core);
    struct tcp_conn *c = tcp_conn_of(core, id);
    cr_assert(d.seq == c->snd_una - 1 && d.len == 0 && d.flags == WIRE_TCP_ACK);
    struct craft alive = peer_segment(core, id);
    feed(core, &alive);
    sleep_ms(core, 990);
    struct decoded more[8];
    cr_assert_eq(drain(core, more, 8), 0);
    unsigned probes = 0;
    for (unsigned i = 0; i < 600 && tcp_conn_state(core, id) != TCP_CLOSED; i++) {
        sleep_ms(core, 1);
        if (tcp_conn_state(core, id) != TCP_CLOSED)
            probes += drain(core, more, 8);
    }
    cr_assert_eq(tcp_conn_end(core, id), TCP_END_KEEPALIVE_TIMEOUT);
    cr_assert_eq(probes, 3);
    cr_assert(drain_one(core).flags & WIRE_TCP_RST);
    cr_assert_eq(core->stats.keepalive_probes, 4);
    harness_core_free(core);
}

Test(tcp_timer, peers_keepalive_is_answered) {
    struct tcp_core *core = harness_core(NULL);
    tcp_id id = establish(core, NULL);
    struct craft probe = peer_segment(core, id);
    probe.seq--;
    cr_assert_eq(feed(core, &probe), -TCP_DROP_DUPLICATE);
    cr_assert_eq(drain_one(core).ack, 1001);
    struct decoded d[4];
    feed(core, &probe);
    cr_assert_eq(drain(core, d, 4), 0, "no ping-pong");
    sleep_ms(core, 501);
    feed(core, &probe);
    cr_assert_eq(drain(core, d, 4), 1);
    harness_core_free(core);
}

Test(tcp_timer, idle_flow_costs_no_wake_up_before_its_keepalive) {
    struct tcp_core *core = harness_core(NULL);
    establish(core, NULL);
    sleep_ms(core, 20000); /* the handshake's deadlines have fired for nothing */
    cr_assert_geq((int32_t)(timer_wheel_next(&core->wheel, 1000000) - core->wheel.now_ms), 100000);
    harness_core_free(core);
}

Test(tcp_timer, bounded_work) {
    struct tcp_config config = {.max_conns = 600, .half_open_timeout_ms = 50};
    struct tcp_core *core = harness_core(&config);
    tcp_listen(core, LOCAL_ADDR, LOCAL_PORT, 1);
    tcp_listen_options(core, 1, &(struct tcp_options){.cookies = TCP_COOKIES_OFF});
    for (uint16_t p = 1; p <= 600; p++) {
        struct craft f = {.seq = 1, .flags = WIRE_TCP_SYN, .wnd = 100, .remote_port = p};
        cr_assert_eq(feed(core, &f), TCP_SEG_FREE);
    }
    tcp_timers(core, core->now_us + 100000);
    cr_assert_eq(core->half_open, 600 - 256);
    tcp_timers(core, core->now_us);
    tcp_timers(core, core->now_us);
    cr_assert_eq(core->half_open, 0);
    harness_core_free(core);
}

/* Much is held by each of a few flows, and all of them time out in the same millisecond: a call walks a part of it, the
 * next goes on there. */
#define HEAVY           10u
#define SEGMENT         88u
#define SEGMENTS        700u
#define MBUFS           600u
#define AT_ONCE(weight) ((TCP_TIMERS_WALKED + (weight)-1) / (weight))

static tcp_id small_segments_flow(struct tcp_core *core, uint16_t n) {
    struct craft syn = {.mss = SEGMENT, .remote_port = (uint16_t)(40000 + n)};
    tcp_id id = establish(core, &syn);
    tcp_conn_of(core, id)->cwnd = SEGMENTS * SEGMENT;
    send_bytes(core, id, SEGMENTS * SEGMENT);
    while (drain_all(core))
        ;
    cr_assert_eq(tcp_conn_of(core, id)->sent_count, SEGMENTS);
    return id;
}

Test(tcp_timer, timeouts_of_many_records_share_a_budget) {
    struct tcp_config config = {.tx_budget_mbufs = 8192};
    struct tcp_core *core = harness_core(&config);
    tcp_id ids[HEAVY];
    for (uint16_t i = 0; i < HEAVY; i++)
        ids[i] = small_segments_flow(core, i);
    core->now_us += 3000000;
    tcp_timers(core, core->now_us);
    cr_assert_leq(core->stats.rto_fired, AT_ONCE(SEGMENTS));
    cr_assert_geq(core->stats.rto_fired, AT_ONCE(SEGMENTS) / 2);
    while (drain_all(core))
        ;
    cr_assert(tcp_busy(core), "a worker must not lie down");
    uint32_t waiting = 0;
    while (tcp_conn_of(core, ids[waiting])->backoff)
        waiting++;
    tcp_conn_abort(core, ids[waiting]); /* its place in the queue says nothing any more */
    ids[waiting] = ids[HEAVY - 1];
    for (uint32_t i = 0; i < HEAVY; i++)
        tcp_timers(core, core->now_us);
    cr_assert_eq(core->stats.rto_fired, HEAVY - 1, "each once");
    while (drain_all(core))
        ;
    cr_assert_not(tcp_busy(core));
    cr_assert_eq(core->wheel.armed, HEAVY - 1);
    for (uint32_t i = 0; i < HEAVY - 1; i++)
        tcp_conn_abort(core, ids[i]);
    drain_all(core);
    cr_assert_eq(core->wheel.armed, 0);
    harness_core_free(core);
}

/* Who has not taken a byte for as long as the user timeout ends, and all that was queued for him is freed. */
static void fill(struct tcp_core *core, uint16_t n) {
    struct craft syn = {.mss = SEGMENT, .wnd = SEGMENT, .remote_port = (uint16_t)(40000 + n)};
    tcp_id id = establish(core, &syn);
    struct rope queued = {0};
    for (uint32_t i = 0; i < MBUFS; i++) {
        struct rte_mbuf *m = rte_pktmbuf_alloc(harness_pool());
        cr_assert_not_null(m);
        memset(rte_pktmbuf_append(m, 300), 0, 300);
        rope_link(&queued, m);
    }
    cr_assert_eq(tcp_conn_send(core, id, &queued), 0);
    cr_assert_eq(drain_all(core), 1);
}

static void disowned_all(struct tcp_core *core) {
    for (tcp_id id; (id = tcp_ready_next(core)) != 0;)
        tcp_conn_release(core, id);
}

Test(tcp_timer, ends_with_much_queued_share_a_budget) {
    struct tcp_config config = {.tx_budget_mbufs = 16384, .user_timeout_ms = 2000};
    struct tcp_core *core = harness_core(&config);
    for (uint16_t i = 0; i < HEAVY; i++)
        fill(core, i);
    core->now_us += 3000000;
    tcp_timers(core, core->now_us);
    uint64_t ended = core->stats.ends[TCP_END_RTO_TIMEOUT];
    cr_assert(ended >= AT_ONCE(MBUFS) / 2 && ended <= AT_ONCE(MBUFS), "%lu", ended);
    for (uint32_t i = 0; i < HEAVY; i++)
        tcp_timers(core, core->now_us);
    cr_assert_eq(core->stats.ends[TCP_END_RTO_TIMEOUT], HEAVY);
    drain_all(core);
    disowned_all(core);
    harness_core_free(core);
}
