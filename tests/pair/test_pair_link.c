/* SPDX-License-Identifier: BSD-3-Clause */
/* The wire itself: that it does what it is asked to, and sees what it must see. */
#include "pair.h"

#include <criterion/criterion.h>
#include <rte_mempool.h>
#include <string.h>

TestSuite(pair_link, .init = pair_init, .timeout = 60);

#define PACKETS      20000u
#define PACKET_BYTES 100u

static struct rte_mbuf *packet(struct rte_mempool *pool, uint32_t number) {
    struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
    cr_assert(m);
    uint8_t *data = (uint8_t *)rte_pktmbuf_append(m, PACKET_BYTES);
    memset(data, 0x45, PACKET_BYTES);
    memcpy(data + 20, &number, sizeof(number));
    return m;
}

/* What a run over this link brings: how many, how many out of order, and a hash of it all. */
struct outcome {
    uint32_t arrived, late, damaged;
    uint64_t hash;
    struct sim_link_stats stats;
};

static struct outcome run(const struct sim_link_config *config, uint64_t seed) {
    struct rte_mempool *pool = rte_mempool_lookup("pair00");
    struct sim_link *l = sim_link_new(config, seed);
    struct outcome o = {0};
    uint32_t sent = 0, highest = 0, number;
    for (uint64_t now_us = 1; sent < PACKETS || sim_link_next_us(l) != SIM_LINK_NEVER; now_us += 10) {
        struct rte_mbuf *m;
        if (sent < PACKETS) {
            m = packet(pool, sent++);
            sim_link_send(l, &m, 1, now_us);
        }
        while (sim_link_receive(l, pool, 3, now_us, &m, 1)) {
            const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
            cr_assert(m->port == 3 && m->pkt_len == PACKET_BYTES && m->nb_segs == 1 && m->l2_len == 0);
            memcpy(&number, data + 20, sizeof(number));
            uint32_t odd = 0;
            for (uint32_t i = 0; i < PACKET_BYTES; i++)
                odd += (i < 20 || i >= 24) && data[i] != 0x45;
            o.damaged += odd > 0;
            o.arrived++;
            o.late += number < highest;
            highest = RTE_MAX(highest, number < PACKETS ? number : 0);
            o.hash = (o.hash ^ number ^ now_us) * 0x100000001b3ull;
            rte_pktmbuf_free(m);
        }
    }
    o.stats = *sim_link_stats(l);
    sim_link_free(l);
    cr_assert_eq(rte_mempool_avail_count(pool), PAIR_POOL_MBUFS);
    return o;
}

Test(pair_link, clean) {
    struct sim_link_config c = {.delay_us = 5000};
    struct outcome o = run(&c, 1);
    cr_expect_eq(o.arrived, PACKETS);
    cr_expect_eq(o.late + o.damaged, 0);
}

static void about(uint64_t count, uint32_t of, uint32_t ppm) {
    double expected = (double)of * ppm / 1e6;
    cr_expect((double)count > expected * 0.8 && (double)count < expected * 1.2, "%lu of %u, about %.0f expected", count,
              of, expected);
}

Test(pair_link, chances) {
    struct sim_link_config c = {.delay_us = 300, .reorder_us = 500};
    c.loss_ppm = c.dup_ppm = c.reorder_ppm = c.corrupt_ppm = 50000;
    struct outcome o = run(&c, 2);
    about(o.stats.lost, PACKETS, 50000);
    about(o.stats.duplicated, PACKETS, 47500);
    about(o.stats.corrupted, PACKETS, 47500);
    about(o.damaged, PACKETS, 47500 * 96 / 100);
    cr_expect_eq(o.arrived, PACKETS - o.stats.lost + o.stats.duplicated);
    cr_expect_gt(o.late, PACKETS / 40);
}

Test(pair_link, a_run_is_its_seed) {
    struct sim_link_config c = {.delay_us = 300, .reorder_us = 500, .hold_tx = true};
    c.loss_ppm = c.dup_ppm = c.reorder_ppm = c.corrupt_ppm = 50000;
    uint64_t hash = run(&c, 3).hash;
    cr_expect_eq(run(&c, 3).hash, hash);
    cr_expect_neq(run(&c, 4).hash, hash);
}

Test(pair_link, bandwidth_and_queue) {
    struct sim_link_config c = {.delay_us = 100, .bytes_per_s = 5000000, .queue_bytes = 3000};
    struct outcome o = run(&c, 5); /* offered 10 MB/s */
    about(o.arrived, PACKETS, 500000);
    cr_expect_eq(o.stats.queue_full, PACKETS - o.arrived);
}

/* A device must be told where the headers end, and gets checksums without what it fills in. */
static void large(struct rte_mbuf *m) {
    static const uint8_t headers[40] = {0x45, 0, 0, PACKET_BYTES, 0,  0, 0x40, 0,           64,  6, [12] = 198,
                                        18,   0, 1, 198,          18, 0, 2,    [32] = 0x50, 0x18};
    uint8_t *packet = rte_pktmbuf_mtod(m, uint8_t *);
    memcpy(packet, headers, sizeof(headers));
    uint16_t pseudo = (uint16_t)~sim_fold(sim_sum(packet + 12, 8, 6));
    packet[36] = (uint8_t)(pseudo >> 8);
    packet[37] = (uint8_t)pseudo;
    m->l3_len = m->l4_len = 20;
    m->tso_segsz = 25;
    m->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_SEG;
}

Test(pair_link, large_segments) {
    struct rte_mempool *pool = rte_mempool_lookup("pair00"), *cut = rte_mempool_lookup("pair03");
    struct sim_link_config c = {.delay_us = 100};
    struct sim_link *l = sim_link_new(&c, 7);
    struct rte_mbuf *m[4], *out[4];
    for (uint32_t i = 0; i < 4; i++)
        large(m[i] = packet(pool, i));
    sim_link_send(l, &m[0], 1, 1); /* to a device that cuts nothing */
    sim_link_set_tso(l, cut);
    m[1]->l4_len = 24;
    sim_link_send(l, &m[1], 1, 1);
    rte_pktmbuf_mtod(m[2], uint8_t *)[37]++;
    sim_link_send(l, &m[2], 1, 1);
    cr_expect_eq(sim_link_stats(l)->malformed, 3);
    sim_link_send(l, &m[3], 1, 1);
    cr_expect_eq(sim_link_stats(l)->cut, 1);
    cr_assert_eq(sim_link_receive(l, pool, 0, 200, out, 4), 3);
    for (uint32_t i = 0; i < 3; i++) {
        const uint8_t *p = rte_pktmbuf_mtod(out[i], const uint8_t *);
        uint32_t len_bytes = i < 2 ? 65 : 50;
        cr_expect(out[i]->pkt_len == len_bytes && p[3] == len_bytes && p[27] == 25 * i, "length, sequence number");
        cr_expect_eq(p[33], i < 2 ? 0x10 : 0x18, "PSH on the last");
        cr_expect_eq(sim_fold(sim_sum(p, 20, 0)), 0);
        cr_expect_eq(sim_fold(sim_sum(p + 20, len_bytes - 20, sim_sum(p + 12, 8, 6 + len_bytes - 20))), 0);
        rte_pktmbuf_free(out[i]);
    }
    sim_link_free(l);
    cr_expect(rte_mempool_full(pool) && rte_mempool_full(cut));
}

/* Somebody writes into a packet that the NIC still holds; somebody sends nonsense. */
Test(pair_link, errors_of_the_sender) {
    struct rte_mempool *pool = rte_mempool_lookup("pair00");
    struct sim_link_config c = {.delay_us = 100, .hold_tx = true, .single_seg = true};
    struct sim_link *l = sim_link_new(&c, 6);
    struct rte_mbuf *m = packet(pool, 0), *out;
    rte_mbuf_refcnt_update(m, 1);
    struct rte_mbuf *mine = m;
    sim_link_send(l, &m, 1, 1);
    rte_pktmbuf_mtod(mine, uint8_t *)[50] ^= 1;
    cr_assert_eq(sim_link_receive(l, pool, 0, 200, &out, 1), 1);
    cr_expect_eq(sim_link_stats(l)->mutated, 1);
    rte_pktmbuf_free(out);
    rte_pktmbuf_free(mine);

    m = packet(pool, 1);
    m->pkt_len++;
    sim_link_send(l, &m, 1, 300);
    m = packet(pool, 2);
    cr_assert_eq(rte_pktmbuf_chain(m, packet(pool, 3)), 0);
    sim_link_send(l, &m, 1, 300);
    cr_expect_eq(sim_link_stats(l)->malformed, 2);
    sim_link_free(l);
    cr_expect_eq(rte_mempool_avail_count(pool), PAIR_POOL_MBUFS);
}
