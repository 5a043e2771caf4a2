/* SPDX-License-Identifier: BSD-3-Clause */
#include "servers.h"

#include <criterion/criterion.h>

enum { CLIENTS = 1000 };

static struct lb_pool a, b;

static void entries(const struct lb_pool *p, uint32_t *counts) {
    memset(counts, 0, LB_MAX_SERVERS * sizeof(*counts));
    for (uint32_t i = 0; i < LB_MAGLEV_SIZE; i++) {
        cr_assert_lt(p->maglev[i], p->n_servers);
        counts[p->maglev[i]]++;
    }
}

Test(lb_maglev, equal_weights_get_equal_shares_of_the_table) {
    uint32_t counts[LB_MAX_SERVERS];

    for (uint16_t n = 1; n <= LB_MAX_SERVERS; n = (uint16_t)(n * 2)) {
        pool_of(&a, LB_CLIENT_ID, n, 1);
        cr_assert_eq(lb_pool_build(&a), 0);
        entries(&a, counts);
        for (uint16_t i = 0; i < n; i++) /* they take turns, so they differ by one at most */
            cr_assert(counts[i] >= LB_MAGLEV_SIZE / n && counts[i] <= LB_MAGLEV_SIZE / n + 1, "%u", counts[i]);
        lb_pool_fini(&a);
    }
}

Test(lb_maglev, weights_are_shares) {
    static const uint16_t weights[] = {1, 2, 5, 256, 100};
    uint32_t counts[LB_MAX_SERVERS], total = 0;

    pool_of(&a, LB_CLIENT_ID, WEIR_ARRAY_LEN(weights), 1);
    for (uint16_t i = 0; i < a.n_servers; i++)
        total += a.servers[i].weight = weights[i];
    cr_assert_eq(lb_pool_build(&a), 0);
    entries(&a, counts);
    for (uint16_t i = 0; i < a.n_servers; i++) {
        double want = (double)LB_MAGLEV_SIZE * weights[i] / total;
        cr_assert(counts[i] > want * 0.98 - 2 && counts[i] < want * 1.02 + 2, "%u of %f", counts[i], want);
    }
    lb_pool_fini(&a);
}

Test(lb_maglev, the_lightest_among_many_heavy_ones_has_entries) {
    uint32_t counts[LB_MAX_SERVERS];

    pool_of(&a, LB_CLIENT_ID, LB_MAX_SERVERS, 256);
    a.servers[63].weight = 1;
    cr_assert_eq(lb_pool_build(&a), 0);
    entries(&a, counts);
    cr_assert_geq(counts[63], 3);
    lb_pool_fini(&a);
}

Test(lb_maglev, thousand_clients_spread) {
    uint32_t counts[LB_MAX_SERVERS] = {0};

    pool_of(&a, LB_CLIENT_ID, 4, 1);
    lb_pool_build(&a);
    for (unsigned i = 0; i < CLIENTS; i++)
        counts[lb_pick(&a, client_hash(i), 0)]++;
    for (unsigned i = 0; i < 4; i++) /* 250, standard deviation 14 */
        cr_assert(counts[i] > 200 && counts[i] < 300, "%u", counts[i]);
    lb_pool_fini(&a);
}

Test(lb_maglev, same_table_when_built_again_and_in_another_order) {
    pool_of(&a, LB_CLIENT_ID, 7, 3);
    pool_of(&b, LB_CLIENT_ID, 7, 3);
    a.servers[2].weight = b.servers[4].weight = 9;
    for (unsigned i = 0; i < 7; i++)
        b.servers[6 - i] = server_of(i + 1, i == 2 ? 9 : 3);
    lb_pool_build(&a);
    lb_pool_build(&b);
    for (uint32_t i = 0; i < LB_MAGLEV_SIZE; i++)
        cr_assert_eq(a.maglev[i], 6 - b.maglev[i]);
    memcpy(b.servers, a.servers, sizeof(a.servers));
    lb_pool_build(&b); /* in place */
    cr_assert_eq(memcmp(a.maglev, b.maglev, LB_MAGLEV_SIZE * sizeof(*a.maglev)), 0);
    lb_pool_fini(&a);
    lb_pool_fini(&b);
}

Test(lb_maglev, a_server_that_goes_down_moves_its_own_clients_only) {
    uint16_t before[CLIENTS];
    unsigned moved_to[5] = {0};

    pool_of(&a, LB_CLIENT_ID, 5, 1);
    lb_pool_build(&a);
    for (unsigned i = 0; i < CLIENTS; i++)
        before[i] = lb_pick(&a, client_hash(i), 0);
    a.servers[2].state = LB_DOWN;
    for (unsigned i = 0; i < CLIENTS; i++) {
        uint16_t now = lb_pick(&a, client_hash(i), 0);
        if (before[i] == 2) {
            cr_assert_neq(now, 2);
            moved_to[now]++;
            cr_assert_eq(lb_pick(&a, client_hash(i), 0), now, "and stay where they went");
        } else {
            cr_assert_eq(now, before[i]);
        }
    }
    for (unsigned i = 0; i < 5; i++) /* about 50 each: not all to one neighbour */
        cr_assert(i == 2 || (moved_to[i] > 20 && moved_to[i] < 90), "%u", moved_to[i]);
    a.servers[2].state = LB_UP;
    for (unsigned i = 0; i < CLIENTS; i++)
        cr_assert_eq(lb_pick(&a, client_hash(i), 0), before[i], "back where they were");
    lb_pool_fini(&a);
}

Test(lb_maglev, tried_servers_are_passed_over_until_none_is_left) {
    pool_of(&a, LB_CLIENT_ID, 6, 1);
    lb_pool_build(&a);
    for (unsigned i = 0; i < 50; i++) {
        lb_tried tried = 0;
        for (unsigned n = 0; n < 6; n++) {
            uint16_t s = lb_pick(&a, client_hash(i), tried);
            cr_assert_lt(s, 6);
            cr_assert_not(tried >> s & 1);
            tried |= UINT64_C(1) << s;
        }
        cr_assert_eq(lb_pick(&a, client_hash(i), tried), LB_NONE);
    }
    lb_pool_fini(&a);
}

Test(lb_maglev, taking_a_server_out_of_the_configuration_moves_few_others) {
    unsigned moved = 0;

    pool_of(&a, LB_CLIENT_ID, 10, 1);
    pool_of(&b, LB_CLIENT_ID, 9, 1); /* b10 is gone */
    lb_pool_build(&a);
    lb_pool_build(&b);
    for (uint32_t i = 0; i < LB_MAGLEV_SIZE; i++)
        moved += a.maglev[i] != 9 && a.maglev[i] != b.maglev[i];
    cr_assert_lt(moved, LB_MAGLEV_SIZE / 10, "%u entries of others moved", moved);
    lb_pool_fini(&a);
    lb_pool_fini(&b);
}
