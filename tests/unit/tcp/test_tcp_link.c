/* SPDX-License-Identifier: BSD-3-Clause */
/* Two cores over a faulty link: what is sent arrives, whatever the link does, and everything is given back. */
#include "harness.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>

struct endpoint {
    tcp_id id;
    uint32_t to_send, sent, received;
    bool connected, peer_fin, closed, shut, released, wrong;
    enum tcp_end end;
};

static void endpoint_send(struct tcp_core *core, struct endpoint *e) {
    uint32_t room = tcp_conn_send_room(core, e->id, 16384);
    struct rope r = {0};
    uint8_t bytes[1400];
    while (room && e->sent < e->to_send) {
        uint32_t n = weir_min_u32(weir_min_u32(room, sizeof bytes), e->to_send - e->sent);
        for (uint32_t i = 0; i < n; i++)
            bytes[i] = pattern_at(e->sent + i);
        if (rope_append(&r, harness_pool(), bytes, n))
            break;
        e->sent += n;
        room -= n;
    }
    if (r.len_bytes)
        cr_assert_eq(tcp_conn_send(core, e->id, &r), 0);
    if (e->sent == e->to_send && !e->shut) {
        tcp_conn_shutdown(core, e->id);
        e->shut = true;
    }
}

static void endpoint_read(struct tcp_core *core, struct endpoint *e) {
    struct rope *rx = tcp_conn_rx(core, e->id);
    uint8_t bytes[2048];
    while (rx->len_bytes) {
        uint32_t n = rope_copy(rx, 0, bytes, sizeof bytes);
        for (uint32_t i = 0; i < n; i++)
            e->wrong |= bytes[i] != pattern_at(e->received + i);
        e->received += n;
        rope_trim(rx, n);
    }
    tcp_conn_consumed(core, e->id);
}

static void endpoint_turn(struct tcp_core *core, struct endpoint *e) {
    tcp_id id;
    while ((id = tcp_ready_next(core)) != 0) {
        uint8_t ev = tcp_conn_events(core, id);
        if (ev & TCP_EV_ACCEPTED)
            e->id = id;
        cr_assert_eq(id, e->id);
        if (ev & (TCP_EV_ACCEPTED | TCP_EV_CONNECTED))
            e->connected = true;
        if (ev & TCP_EV_PEER_FIN)
            e->peer_fin = true;
        endpoint_read(core, e);
        if (ev & TCP_EV_CLOSED) {
            cr_assert(!e->closed);
            e->closed = true;
            e->end = tcp_conn_end(core, id);
            tcp_conn_release(core, id);
            e->released = true;
        } else if (e->connected) {
            endpoint_send(core, e);
        }
    }
}

static const char *run(const struct link_faults *f, uint32_t up, uint32_t down, uint32_t limit_ms, bool single_seg,
                       uint64_t *took_ms) {
    static char why[512];
    /* With a fifth of all segments lost an RTO of 3 s (RFC 6298 5.7) does not get far within the default times. */
    struct tcp_config cfg = {.time_wait_ms = 200000,
                             .user_timeout_ms = 300000,
                             .connect_timeout_ms = 120000,
                             .half_open_timeout_ms = 120000};
    struct link *l = link_new(f, &cfg, &cfg);
    struct tcp_core *a = link_core(l, 0), *b = link_core(l, 1);
    struct endpoint ea = {.to_send = up}, eb = {.to_send = down};
    tcp_core_port(a, 0)->multi_seg = tcp_core_port(b, 0)->multi_seg = !single_seg;
    cr_assert_eq(tcp_listen(b, LOCAL_ADDR, LOCAL_PORT, 1), 0);
    cr_assert_eq(tcp_connect(a, 0, REMOTE_ADDR, REMOTE_PORT, LOCAL_ADDR, LOCAL_PORT, 5, link_now(l), &ea.id), 0);
    uint64_t start = link_now(l);
    while (link_now(l) - start < limit_ms * 1000ull && !(ea.closed && eb.closed)) {
        link_step(l);
        endpoint_turn(a, &ea);
        endpoint_turn(b, &eb);
    }
    *took_ms = (link_now(l) - start) / 1000;
    const char *ret = NULL;
    if (!ea.closed || !eb.closed || ea.received != down || eb.received != up || ea.wrong || eb.wrong ||
        ea.end != TCP_END_FIN || eb.end != TCP_END_FIN) {
        struct tcp_info ia = {0}, ib = {0};
        if (!ea.released)
            tcp_conn_info(a, ea.id, &ia);
        if (eb.id && !eb.released)
            tcp_conn_info(b, eb.id, &ib);
        snprintf(
            why, sizeof why,
            "a: %s got %u/%u end %s wrong %d cwnd %u unacked %u; b: %s got %u/%u end %s wrong %d cwnd %u unacked %u",
            tcp_state_name(ia.state), ea.received, down, tcp_end_name(ea.end), ea.wrong, ia.cwnd_bytes,
            ia.unacked_bytes, tcp_state_name(ib.state), eb.received, up, tcp_end_name(eb.end), eb.wrong, ib.cwnd_bytes,
            ib.unacked_bytes);
        ret = why;
    }
    const struct tcp_stats *s = tcp_core_stats(a);
    cr_log_info("%.3f loss %.3f dup %.3f reorder: %lu ms, rto %lu tlp %lu fast %lu rexmit %lu of %lu", f->loss,
                f->duplicate, f->reorder, (unsigned long)*took_ms, (unsigned long)s->rto_fired,
                (unsigned long)s->tlp_probes, (unsigned long)s->fast_retransmits, (unsigned long)s->retransmits,
                (unsigned long)s->segs_out);
    if (!ret) { /* TIME-WAIT runs out by itself */
        for (int i = 1; i < 100; i++) {
            tcp_timers(a, link_now(l) + i * 3000000ull);
            tcp_timers(b, link_now(l) + i * 3000000ull);
        }
        for (unsigned st = 0; st < TCP_STATE_COUNT; st++)
            if (a->stats.by_state[st] || b->stats.by_state[st])
                ret = "flows left";
        if (a->stats.rx_mbufs || a->stats.tx_mbufs || b->stats.rx_mbufs || b->stats.tx_mbufs)
            ret = "mbufs on gauges";
        if (a->table.used || b->table.used || a->wheel.armed || b->wheel.armed)
            ret = "table entries or timers left";
    }
    link_free(l);
    if (!ret && harness_mbufs_out())
        ret = "mbufs leaked";
    return ret;
}

static void check(struct link_faults f, uint32_t up, uint32_t down, uint32_t limit_ms, bool single) {
    harness_eal();
    uint64_t took;
    const char *why = run(&f, up, down, limit_ms, single, &took);
    cr_assert_null(why, "%s", why);
}

Test(tcp_link, clean_single_segment_port) {
    check((struct link_faults){.delay_us = 500, .seed = 1}, 2u << 20, 2u << 20, 20000, true);
}

Test(tcp_link, five_percent_loss) {
    for (uint64_t seed = 1; seed <= 4; seed++)
        check((struct link_faults){.loss = 0.05, .delay_us = 1000, .seed = seed}, 8u << 20, 100000, 120000, false);
}

Test(tcp_link, everything_at_once) {
    for (uint64_t seed = 1; seed <= 4; seed++)
        check((struct link_faults){.loss = 0.03, .duplicate = 0.03, .reorder = 0.05, .delay_us = 2000, .seed = seed},
              2u << 20, 2u << 20, 120000, false);
}

Test(tcp_link, empty_flows_close_in_all_orders) {
    for (uint64_t seed = 1; seed <= 40; seed++)
        check((struct link_faults){.loss = 0.2, .duplicate = 0.1, .reorder = 0.3, .delay_us = 1000, .seed = seed},
              seed % 3, seed % 5, 300000, false);
}

Test(tcp_link, without_sack_timestamps_and_scale) {
    for (uint64_t seed = 1; seed <= 4; seed++)
        check((struct link_faults){.loss = 0.03,
                                   .duplicate = 0.01,
                                   .reorder = 0.02,
                                   .delay_us = 1000,
                                   .seed = seed,
                                   .strip_options = true},
              2u << 20, 1u << 20, 120000, seed & 1);
}
