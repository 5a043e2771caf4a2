/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory and ports that run out for a while: nothing is lost, stuck or leaked. */
#include "pair.h"

#include <criterion/criterion.h>

TestSuite(pair_pressure, .init = pair_init, .timeout = 120);

static void setup_transfer(struct pair_setup *setup, uint64_t seed, bool multi_seg) {
    pair_setup_default(setup, seed);
    for (unsigned s = 0; s < 2; s++) {
        setup->multi_seg[s] = multi_seg;
        setup->link[s].hold_tx = true;
        setup->tcp[s].user_timeout_ms = 300000;
    }
}

static struct pair *transfer(const struct pair_setup *setup, uint32_t conns, uint32_t bytes) {
    struct pair *p = pair_new(setup);
    for (uint32_t i = 0; i < conns; i++) {
        pair_set_transfer(p, i, bytes);
        pair_open(p, 0, i);
    }
    return p;
}

static void arrives(struct pair *p, uint64_t within_us) {
    pair_run(p, pair_all_arrived, within_us);
    cr_assert(pair_finish(p));
}

/* Each pool of each side runs empty in the middle of a transfer. */
Test(pair_pressure, pool_empty) {
    for (uint32_t i = 0; i < 4 * PAIR_POOL_CUT; i++) {
        unsigned s = i & 1;
        struct pair_setup setup;
        setup_transfer(&setup, i, i & 2);
        struct pair *p = transfer(&setup, 2, 400000);
        pair_run(p, NULL, 5000);
        pair_pool_drain(p, s, (enum pair_pool)(i / 4));
        pair_run(p, NULL, 700000);
        pair_pool_refill(p, s);
        if (i / 4 == PAIR_POOL_TX)
            cr_expect_gt(tcp_core_stats(p->side[s].core)->no_mbuf, 0);
        arrives(p, 20 * PAIR_SECOND);
    }
}

/* No header mbuf for the handshake, and none for the FIN. */
Test(pair_pressure, pool_empty_at_open_and_close) {
    for (unsigned s = 0; s < 2; s++) {
        struct pair_setup setup;
        setup_transfer(&setup, 100 + s, true);
        struct pair *p = pair_new(&setup);
        pair_pool_drain(p, s, PAIR_POOL_TX);
        pair_open(p, 0, 0);
        pair_run(p, NULL, 300000);
        cr_expect_not(pair_all_established(p));
        pair_pool_refill(p, s);
        pair_run(p, pair_all_established, 3 * PAIR_SECOND);
        pair_pool_drain(p, s, PAIR_POOL_TX);
        pair_release(p, s, 0);
        pair_run(p, NULL, 300000);
        p->conn[0].end[!s].does = PAIR_CLOSE;
        pair_pool_refill(p, s);
        pair_run(p, pair_is_over, 10 * PAIR_SECOND);
        cr_assert(pair_finish(p));
    }
}

/* The core's own budget of receive mbufs is far below what the windows of its flows would take. */
Test(pair_pressure, small_receive_budget) {
    for (uint32_t i = 0; i < 4; i++) {
        struct pair_setup setup;
        setup_transfer(&setup, 200 + i, i & 1);
        setup.tcp[1].rx_budget_mbufs = 64;
        setup.link[0].loss_ppm = i & 2 ? 20000 : 0;
        struct pair *p = transfer(&setup, 6, 200000);
        for (uint32_t c = 0; c < 3; c++)
            p->conn[c].end[1].read_from_us = p->now_us + 3 * PAIR_SECOND;
        for (uint32_t k = 0; k < 300 && !p->error[0]; k++) {
            pair_run(p, NULL, 10000);
            cr_expect_leq(tcp_core_stats(p->side[1].core)->rx_mbufs, 64 + 8);
        }
        arrives(p, 60 * PAIR_SECOND);
    }
}

/* Tiny pieces that nobody reads: they are copied together and do not hold a buffer each. */
Test(pair_pressure, tiny_pieces) {
    struct pair_setup setup;
    setup_transfer(&setup, 300, true);
    struct pair *p = transfer(&setup, 1, 20000);
    p->conn[0].end[0].write_chunk = 20;
    p->conn[0].end[1].does = 0;
    p->conn[0].end[1].read_from_us = p->now_us + 2 * PAIR_SECOND;
    pair_run(p, NULL, 19 * PAIR_SECOND / 10);
    struct tcp_info info;
    tcp_conn_info(p->side[1].core, p->conn[0].end[1].id, &info);
    cr_expect_eq(info.rx_bytes, 20000);
    cr_expect_leq(tcp_core_stats(p->side[1].core)->rx_mbufs, 20);
    p->conn[0].end[1].does = PAIR_SHUTDOWN | PAIR_CLOSE;
    arrives(p, 10 * PAIR_SECOND);
}

/* A port that takes nothing for a while, then a packet a turn. */
Test(pair_pressure, port_full) {
    for (uint32_t i = 0; i < 2; i++) {
        struct pair_setup setup;
        setup_transfer(&setup, 400 + i, i & 1);
        struct pair *p = transfer(&setup, 4, 100000);
        pair_run(p, NULL, 3000);
        p->setup.tx_room = 0;
        p->setup.turn_us = 100;
        pair_run(p, NULL, 2 * PAIR_SECOND);
        p->setup.tx_room = 1;
        arrives(p, 30 * PAIR_SECOND);
    }
}

/* One flow whose reader sleeps does not keep the others from moving. */
Test(pair_pressure, one_sleeper_harms_nobody) {
    struct pair_setup setup;
    setup_transfer(&setup, 500, true);
    struct pair *p = transfer(&setup, 5, 200000);
    p->conn[0].end[1].read_from_us = p->now_us + 10 * PAIR_SECOND;
    pair_run(p, NULL, PAIR_SECOND);
    for (uint32_t i = 1; i < 5; i++)
        cr_expect_eq(p->conn[i].end[1].read_bytes, 200000);
    arrives(p, 20 * PAIR_SECOND);
}

/* Flows share a port evenly: none is far ahead while all have much to send. */
Test(pair_pressure, fairness) {
    struct pair_setup setup;
    setup_transfer(&setup, 600, true);
    setup.tx_room = 4;
    struct pair *p = transfer(&setup, 8, 2000000);
    pair_run(p, NULL, 20000);
    uint64_t least = UINT64_MAX, most = 0;
    for (uint32_t i = 0; i < 8; i++) {
        least = RTE_MIN(least, p->conn[i].end[1].read_bytes);
        most = RTE_MAX(most, p->conn[i].end[1].read_bytes);
    }
    cr_expect_gt(least, 0);
    cr_expect_leq(most - least, 4 * 65536u, "between %lu and %lu bytes", least, most);
    arrives(p, 60 * PAIR_SECOND);
}
