/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <criterion/criterion.h>

Test(tcp_core, refuses_bad_configurations) {
    harness_eal();
    static struct tcp_core core;
    struct tcp_config bad[] = {
        {.max_conns = 0}, {.max_conns = 1, .rcv_buf_bytes = 2u << 30}, {.max_conns = 1, .snd_buf_bytes = 2u << 30}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(bad); i++)
        cr_assert_eq(tcp_core_init(&core, &bad[i], 1), WEIR_EINVAL);
    tcp_core_fini(&core);
}

Test(tcp_core, budget) {
    cr_assert_leq(sizeof(struct tcp_conn), 256);
    cr_assert_eq(tcp_conn_bytes(), sizeof(struct tcp_conn) + 16);
}

Test(tcp_core, window_scale_follows_the_buffer) {
    static const uint32_t bytes[] = {1000, 65535, 65536, 1u << 20, 16776960}, shifts[] = {0, 0, 1, 5, 8};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(bytes); i++) {
        struct tcp_config config = {.rcv_buf_bytes = bytes[i]};
        struct tcp_core *core = harness_core(&config);
        cr_assert_eq(core->rcv_wscale, shifts[i]);
        harness_core_free(core);
    }
}

Test(tcp_core, ready_list_is_first_in_first_out) {
    struct tcp_core *core = harness_core(NULL);
    tcp_id ids[5];
    for (uint16_t i = 0; i < 5; i++) {
        struct craft syn = {.mss = 1460, .remote_port = (uint16_t)(i + 1)};
        ids[i] = establish(core, &syn);
    }
    cr_assert_not(tcp_busy(core));
    for (int i = 0; i < 5; i++) {
        tcp_conn_again(core, ids[i], TCP_EV_WRITABLE);
        tcp_conn_again(core, ids[i], TCP_EV_READABLE);
    }
    cr_assert(tcp_busy(core));
    tcp_conn_abort(core, ids[2]); /* out of the middle */
    tcp_conn_abort(core, ids[0]);
    tcp_conn_abort(core, ids[4]);
    cr_assert_eq(tcp_ready_next(core), ids[1]);
    cr_assert_eq(tcp_conn_events(core, ids[1]), TCP_EV_WRITABLE | TCP_EV_READABLE);
    cr_assert_eq(tcp_ready_next(core), ids[3]);
    cr_assert_eq(tcp_ready_next(core), 0);
    harness_core_free(core);
}

Test(tcp_core, time_wait_is_bounded) {
    struct tcp_config config = {.max_time_wait = 2};
    struct tcp_core *core = harness_core(&config);
    struct decoded d[8];
    for (uint16_t i = 1; i <= 4; i++) {
        struct craft syn = {.mss = 1460, .remote_port = i};
        tcp_id id = establish(core, &syn);
        tcp_conn_shutdown(core, id);
        drain(core, d, 8);
        struct craft fin = peer_segment(core, id);
        fin.flags |= WIRE_TCP_FIN;
        fin.remote_port = i;
        feed(core, &fin);
        drain(core, d, 8);
        cr_assert_eq(tcp_ready_next(core), id);
        cr_assert(tcp_conn_events(core, id) & TCP_EV_CLOSED);
        if (i != 2) /* one stays with its owner */
            tcp_conn_release(core, id);
    }
    cr_assert_eq(core->stats.by_state[TCP_TIME_WAIT], 2);
    cr_assert_eq(core->stats.by_state[TCP_CLOSED], 1);
    cr_assert_eq(core->stats.ends[TCP_END_FIN], 4);
    cr_assert_eq(core->table.used, 2);
    harness_core_free(core);
}

Test(tcp_core, fini_frees_everything) {
    struct tcp_core *core = harness_core(NULL);
    tcp_id id = establish(core, NULL);
    send_bytes(core, id, 5000);
    struct decoded d[2];
    drain(core, d, 2);
    struct craft f = peer_segment(core, id);
    f.len = 100;
    feed(core, &f);
    f.seq += 500;
    feed(core, &f);
    harness_core_free(core);
    cr_assert_eq(harness_mbufs_out(), 0);
}
