/* SPDX-License-Identifier: BSD-3-Clause */
/* Two flows through one bottleneck, 20 Mbit/s and 20 ms with a queue of one bandwidth-delay product: they share it,
 * also where one was there long before the other, and they fill it. */
#include "pair.h"

#include <criterion/criterion.h>
#include <stdio.h>

TestSuite(pair_share, .init = pair_init, .timeout = 280);

#define RATE_BYTES_S 2500000u
#define QUEUE_BYTES  50000u
#define SECONDS      60u

struct shares {
    double first, used; /* of what both carried; of the bottleneck */
};

static struct shares run(uint64_t seed, uint8_t one, uint8_t other) {
    struct pair_setup setup;
    pair_setup_default(&setup, seed);
    setup.link[0] =
        (struct sim_link_config){.delay_us = 10000, .bytes_per_s = RATE_BYTES_S, .queue_bytes = QUEUE_BYTES};
    setup.link[1] = (struct sim_link_config){.delay_us = 10000};
    for (unsigned s = 0; s < 2; s++)
        setup.tcp[s].rcv_buf_bytes = setup.tcp[s].snd_buf_bytes = 1 << 20;
    struct pair *p = pair_new(&setup);
    uint64_t from[2], got[2];
    for (unsigned i = 0; i < 2; i++) {
        p->conn[i].may_break = true;
        p->conn[i].end[0] = (struct pair_end){.write_bytes = UINT32_MAX};
        pair_open(p, 0, i);
        tcp_conn_options(p->side[0].core, p->conn[i].end[0].id, &(struct tcp_options){.cc = i ? other : one});
        pair_run(p, NULL, (3 + seed % 5) * PAIR_SECOND);
    }
    for (unsigned i = 0; i < 2; i++)
        from[i] = p->conn[i].end[1].read_bytes;
    pair_run(p, NULL, SECONDS * PAIR_SECOND);
    for (unsigned i = 0; i < 2; i++)
        got[i] = p->conn[i].end[1].read_bytes - from[i];
    for (unsigned i = 0; i < 2; i++)
        pair_abort(p, 0, i);
    cr_assert(pair_finish(p));
    struct shares s = {(double)got[0] / (double)(got[0] + got[1]), (double)(got[0] + got[1]) / SECONDS / RATE_BYTES_S};
    fprintf(stderr, "seed %lu: %.0f%% and %.0f%%, %.0f%% of the bottleneck\n", (unsigned long)seed, 100 * s.first,
            100 * (1 - s.first), 100 * s.used);
    return s;
}

Test(pair_share, cubic) {
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct shares s = run(seed, TCP_CC_CUBIC, TCP_CC_CUBIC);
        cr_expect(s.first > 0.4 && s.first < 0.6, "%.2f", s.first);
        cr_expect_gt(s.used, 0.85, "%.2f", s.used);
    }
}

Test(pair_share, reno) {
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct shares s = run(seed, TCP_CC_RENO, TCP_CC_RENO);
        cr_expect(s.first > 0.4 && s.first < 0.6, "%.2f", s.first);
        cr_expect_gt(s.used, 0.85, "%.2f", s.used);
    }
}
