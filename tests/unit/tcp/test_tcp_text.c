/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <criterion/criterion.h>

static struct tcp_core *core;
static tcp_id id;

static void open_flow(const struct tcp_config *config) {
    core = harness_core(config);
    id = establish(core, NULL);
}

static int data(uint32_t len) {
    struct craft f = peer_segment(core, id);
    f.len = len;
    return feed(core, &f);
}

static unsigned acks(void) {
    struct decoded d[8];
    return drain(core, d, 8);
}

static void consume(uint32_t n) {
    rope_trim(tcp_conn_rx(core, id), n);
    tcp_conn_consumed(core, id);
}

Test(tcp_text, quick_then_delayed_acks) {
    open_flow(NULL);
    for (unsigned i = 0; i < TCP_QUICK_ACKS; i++) {
        data(10);
        cr_assert_eq(acks(), 1, "the first segments at once");
    }
    data(10);
    cr_assert_eq(acks(), 0);
    data(10);
    cr_assert_eq(acks(), 1, "every second segment");
    data(10);
    sleep_ms(core, TCP_DELAYED_ACK_MS - 1);
    cr_assert_eq(acks(), 0);
    sleep_ms(core, 2);
    cr_assert_eq(acks(), 1, "the delay is over");
    cr_assert_eq(core->stats.delayed_acks, 1);
    sleep_ms(core, 1000);
    cr_assert_eq(acks(), 0);
    harness_core_free(core);
}

Test(tcp_text, one_ack_a_turn) {
    open_flow(NULL);
    for (unsigned i = 0; i < 32; i++)
        data(100);
    struct decoded d = drain_one(core);
    cr_assert_eq(d.ack, 1001 + 3200);
    harness_core_free(core);
}

Test(tcp_text, ready_once_a_turn) {
    open_flow(NULL);
    for (unsigned i = 0; i < 4; i++)
        data(100);
    cr_assert_eq(tcp_ready_next(core), id);
    cr_assert_eq(tcp_conn_events(core, id), TCP_EV_READABLE);
    cr_assert_eq(tcp_ready_next(core), 0);
    cr_assert_eq(tcp_conn_events(core, id), 0);
    harness_core_free(core);
}

Test(tcp_text, window_closes_and_opens) {
    struct tcp_config config = {.rcv_buf_bytes = 10000};
    open_flow(&config);
    uint32_t edge = tcp_conn_of(core, id)->rcv_adv;
    cr_assert_eq(edge, 1001 + 10000);
    for (unsigned i = 0; i < 10; i++)
        cr_assert_eq(data(1000), TCP_SEG_KEPT);
    struct decoded d = drain_one(core);
    cr_assert(d.wnd == 0 && d.ack == edge);
    struct craft probe = peer_segment(core, id);
    probe.len = 1;
    cr_assert_eq(feed(core, &probe), -TCP_DROP_WINDOW_CLOSED);
    d = drain_one(core);
    cr_assert(d.wnd == 0 && d.ack == edge, "a probe is answered");
    consume(1000); /* less than a segment: not worth an update (RFC 1122 4.2.3.3) */
    cr_assert_eq(acks(), 0);
    consume(3000);
    d = drain_one(core);
    cr_assert(d.wnd == 4000 && d.ack == edge);
    harness_core_free(core);
}

Test(tcp_text, a_reader_that_keeps_up_causes_no_updates) {
    open_flow(NULL);
    for (unsigned i = 0; i < 100; i++) {
        data(1000);
        consume(1000);
        cr_assert_leq(acks(), 1);
    }
    cr_assert_leq(core->stats.segs_out, 2 + TCP_QUICK_ACKS + 50);
    harness_core_free(core);
}

Test(tcp_text, windows_shrink_towards_the_budget_and_the_edge_stays) {
    struct tcp_config config = {.rx_budget_mbufs = 40};
    open_flow(&config);
    uint32_t edge = tcp_conn_of(core, id)->rcv_adv;
    for (unsigned i = 0; i < 39; i++) {
        data(1400);
        acks();
        uint32_t now = tcp_conn_of(core, id)->rcv_adv;
        cr_assert_not(seq_lt(now, edge), "the right edge moved left");
        edge = now;
    }
    cr_assert_lt(edge - tcp_conn_of(core, id)->rcv_nxt, 65536u - 39 * 1400 + 1);
    cr_assert_eq(data(1400), TCP_SEG_KEPT);
    cr_assert_eq(data(1400), -TCP_DROP_RX_BUDGET);
    acks();
    cr_assert_eq(core->stats.rx_mbufs, 40);
    cr_assert_eq(tcp_ready_next(core), id);
    struct craft syn = {.mss = 1460, .remote_port = 5};
    tcp_id other = establish(core, &syn);
    cr_assert_eq(tcp_conn_of(core, other)->rcv_adv, 1001, "nothing for a newcomer while nothing is left");
    consume(1400 * 40);
    acks();
    cr_assert_eq(core->stats.rx_mbufs, 0);
    cr_assert_geq(tcp_conn_of(core, id)->rcv_adv - tcp_conn_of(core, id)->rcv_nxt, 65535);
    harness_core_free(core);
}

Test(tcp_text, old_bytes_are_cut) {
    open_flow(NULL);
    data(10);
    struct craft f = peer_segment(core, id);
    f.seq -= 4;
    f.len = 6;
    cr_assert_eq(feed(core, &f), TCP_SEG_KEPT);
    cr_assert_eq(tcp_conn_rx(core, id)->len_bytes, 12);
    uint8_t b[12];
    rope_copy(tcp_conn_rx(core, id), 0, b, 12);
    for (unsigned i = 0; i < 12; i++)
        cr_assert_eq(b[i], pattern_at(1001 + i));
    acks();
    f.len = 2;
    cr_assert_eq(feed(core, &f), -TCP_DROP_DUPLICATE);
    cr_assert_eq(drain_one(core).ack, 1013, "our ACK may have been lost");
    harness_core_free(core);
}

Test(tcp_text, data_after_release_is_reset) {
    open_flow(NULL);
    data(10);
    acks();
    tcp_conn_release(core, id);
    cr_assert_eq(core->stats.rx_mbufs, 0, "unread bytes are dropped");
    struct decoded d = drain_one(core);
    cr_assert(d.flags & WIRE_TCP_FIN);
    struct craft f = {.seq = 1011, .ack = d.seq + 1, .flags = WIRE_TCP_ACK, .wnd = 100, .len = 5};
    cr_assert_eq(feed(core, &f), -TCP_DROP_LATE_DATA);
    d = drain_one(core);
    cr_assert(d.flags & WIRE_TCP_RST);
    cr_assert_eq(core->stats.ends[TCP_END_LATE_DATA], 1);
    cr_assert_eq(tcp_conn_next(core, 0), 0);
    harness_core_free(core);
}

Test(tcp_text, duplicates_without_sack_are_as_many_as_reasons) {
    open_flow(NULL);
    struct craft f = peer_segment(core, id);
    f.len = 100;
    for (unsigned i = 1; i <= 5; i++) {
        f.seq = 1001 + 100 * i;
        feed(core, &f);
    }
    cr_assert_eq(acks(), 3, "one a segment up to the threshold of fast retransmit");
    harness_core_free(core);
    core = harness_core(NULL);
    struct craft syn = {.mss = 1460, .sack_ok = true};
    id = establish(core, &syn);
    for (unsigned i = 1; i <= 5; i++) {
        f.seq = 1001 + 100 * i;
        f.ack = tcp_conn_of(core, id)->snd_una;
        feed(core, &f);
    }
    cr_assert_eq(acks(), 1, "a SACK says it all");
    harness_core_free(core);
}
