/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <criterion/criterion.h>

Test(tcp_info, names) {
    cr_assert_str_eq(tcp_state_name(TCP_ESTABLISHED), "ESTABLISHED");
    cr_assert_str_eq(tcp_drop_name(TCP_DROP_PAWS), "paws");
    cr_assert_str_eq(tcp_end_name(TCP_END_KEEPALIVE_TIMEOUT), "keepalive_timeout");
    for (int d = 0; d < TCP_DROP_COUNT; d++)
        cr_assert(tcp_drop_name(d)[0] && tcp_drop_text(d)[0]);
    cr_assert_str_eq(tcp_drop_name(TCP_DROP_COUNT), "unknown");
    cr_assert_str_eq(tcp_end_name(TCP_END_COUNT), "unknown");
    cr_assert_str_eq(tcp_state_name(TCP_STATE_COUNT), "unknown");
}

Test(tcp_info, walk) {
    struct tcp_config config = {.max_conns = 200};
    struct tcp_core *core = harness_core(&config);
    tcp_id ids[150];
    for (uint16_t i = 0; i < 150; i++) {
        struct craft syn = {.mss = 1460, .remote_port = (uint16_t)(i + 1)};
        ids[i] = establish(core, &syn);
    }
    for (int i = 0; i < 150; i += 3)
        tcp_conn_abort(core, ids[i]);
    unsigned n = 0;
    for (tcp_id id = 0; (id = tcp_conn_next(core, id)) != 0; n++)
        cr_assert_eq(tcp_conn_state(core, id), TCP_ESTABLISHED);
    cr_assert_eq(n, 100);
    cr_assert_eq(tcp_conn_next(core, 200), 0);
    harness_core_free(core);
}

Test(tcp_info, info) {
    struct tcp_core *core = harness_core(NULL);
    struct craft syn = {.mss = 1000, .has_ts = true, .ts_val = 1, .sack_ok = true, .wscale = 4, .wnd = 500};
    tcp_id id = establish(core, &syn);
    tcp_conn_set_user(core, id, 77);
    send_bytes(core, id, 10);
    struct tcp_info info;
    tcp_conn_info(core, id, &info);
    cr_assert(info.state == TCP_ESTABLISHED && info.sack && info.timestamps && info.mss == 988);
    cr_assert(info.snd_wscale == 3 && info.rcv_wscale == 1 && info.snd_wnd_bytes == 500u << 3);
    cr_assert(info.user == 77 && info.unacked_bytes == 10 && info.listener_id == 7 && info.port == 0);
    cr_assert_eq(info.key.remote_port_be, REMOTE_PORT);
    cr_assert_eq(tcp_conn_key(core, id)->local_addr_be, LOCAL_ADDR);
    harness_core_free(core);
}

Test(tcp_info, losses) {
    struct craft syn = {.mss = 1000, .sack_ok = true};
    struct tcp_core *core = harness_core(NULL);
    tcp_id id = establish(core, &syn);
    struct decoded d[16];
    struct tcp_info info;
    send_bytes(core, id, 12000);
    cr_assert_eq(drain(core, d, 16), 10);
    struct craft f = peer_segment(core, id);
    f.ack = d[0].seq;
    f.n_sacks = 1;
    f.sacks[0] = (struct tcp_sack){d[1].seq, d[5].seq};
    feed(core, &f);
    sleep_ms(core, 1);
    tcp_conn_info(core, id, &info);
    cr_assert(info.recovery && !info.loss && !info.backoff);
    cr_assert(info.unacked_bytes == 12000 && info.unsent_bytes == 2000);
    cr_assert(info.sacked_bytes == 4000 && info.lost_bytes == 1000);
    drain(core, d, 16);
    sleep_ms(core, 1500);
    tcp_conn_info(core, id, &info);
    cr_assert(info.loss && !info.recovery && info.backoff);
    harness_core_free(core);
}

/* A FIN into a closed window is taken, and lies one beyond what was advertised. */
Test(tcp_info, a_window_is_never_less_than_nothing) {
    struct tcp_core *core = harness_core(NULL);
    tcp_id id = establish(core, NULL);
    struct tcp_conn *c = tcp_conn_of(core, id);
    c->rcv_adv = c->rcv_nxt - 1;
    struct tcp_info info;
    tcp_conn_info(core, id, &info);
    cr_assert_eq(info.rcv_wnd_bytes, 0);
    c->rcv_adv = c->rcv_nxt + 100;
    tcp_conn_info(core, id, &info);
    cr_assert_eq(info.rcv_wnd_bytes, 100);
    harness_core_free(core);
}
