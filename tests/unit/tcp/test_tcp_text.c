/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <criterion/criterion.h>

static struct tcp_core *core;
static tcp_id id;

static void open_flow(const struct tcp_config *config) {
    core = harness_core(config);
    id = establish(core, NULL);
}

Test(tcp_text, quick_then_delayed_acks) {
    open_flow(NULL);
    for (unsigned i = 0; i < TCP_QUICK_ACKS; i++) {
        feed_data(core, id, 10);
        cr_assert_eq(drain_all(core), 1, "the first segments at once");
    }
    feed_data(core, id, 10);
    cr_assert_eq(drain_all(core), 0);
    feed_data(core, id, 10);
    cr_assert_eq(drain_all(core), 1, "every second segment");
    feed_data(core, id, 10);
    sleep_ms(core, TCP_DELAYED_ACK_MS - 1);
    cr_assert_eq(drain_all(core), 0);
    sleep_ms(core, 2);
    cr_assert_eq(drain_all(core), 1, "the delay is over");
    cr_assert_eq(core->stats.delayed_acks, 1);
    sleep_ms(core, 1000);
    cr_assert_eq(drain_all(core), 0);
    harness_core_free(core);
}

Test(tcp_text, one_ack_a_turn) {
    open_flow(NULL);
    for (unsigned i = 0; i < 32; i++)
        feed_data(core, id, 100);
    struct decoded d = drain_one(core);
    cr_assert_eq(d.ack, 1001 + 3200);
    harness_core_free(core);
}

Test(tcp_text, ready_once_a_turn) {
    open_flow(NULL);
    for (unsigned i = 0; i < 4; i++)
        feed_data(core, id, 100);
    cr_assert_eq(tcp_ready_next(core), id);
    cr_assert_eq(tcp_conn_events(core, id), TCP_EV_READABLE);
    cr_assert_eq(tcp_ready_next(core), 0);
    cr_assert_eq(tcp_conn_events(core, id), 0);
    harness_core_free(core);
}

Test(tcp_text, old_bytes_are_cut) {
    open_flow(NULL);
    feed_data(core, id, 10);
    struct craft f = peer_segment(core, id);
    f.seq -= 4;
    f.len = 6;
    cr_assert_eq(feed(core, &f), TCP_SEG_KEPT);
    cr_assert_eq(tcp_conn_rx(core, id)->len_bytes, 12);
    uint8_t b[12];
    rope_copy(tcp_conn_rx(core, id), 0, b, 12);
    for (unsigned i = 0; i < 12; i++)
        cr_assert_eq(b[i], pattern_at(1001 + i));
    drain_all(core);
    f.len = 2;
    cr_assert_eq(feed(core, &f), -TCP_DROP_DUPLICATE);
    cr_assert_eq(drain_one(core).ack, 1013, "our ACK may have been lost");
    harness_core_free(core);
}

Test(tcp_text, data_after_release_is_reset) {
    open_flow(NULL);
    feed_data(core, id, 10);
    rope_clear(tcp_conn_rx(core, id)); /* read */
    drain_all(core);
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
    cr_assert_eq(drain_all(core), 3, "one a segment up to the threshold of fast retransmit");
    harness_core_free(core);
    core = harness_core(NULL);
    struct craft syn = {.mss = 1460, .sack_ok = true};
    id = establish(core, &syn);
    for (unsigned i = 1; i <= 5; i++) {
        f.seq = 1001 + 100 * i;
        f.ack = tcp_conn_of(core, id)->snd_una;
        feed(core, &f);
    }
    cr_assert_eq(drain_all(core), 1, "a SACK says it all");
    harness_core_free(core);
}
