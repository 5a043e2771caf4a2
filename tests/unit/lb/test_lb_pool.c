/* SPDX-License-Identifier: BSD-3-Clause */
#include "servers.h"

#include <criterion/criterion.h>

static struct lb_pool pool;

Test(lb_pool, names) {
    cr_assert_str_eq(lb_state_name(LB_UP), "up");
    cr_assert_str_eq(lb_state_name(LB_DRAINING), "draining");
    cr_assert_str_eq(lb_state_name(LB_DOWN), "down");
    cr_assert_str_eq(lb_state_name(3), "unknown");
    cr_assert_str_eq(lb_policy_name(LB_CLIENT_ID), "client-id");
    cr_assert_str_eq(lb_policy_name(LB_USERNAME), "username");
    cr_assert_str_eq(lb_policy_name(LB_CERTIFICATE), "certificate");
    cr_assert_str_eq(lb_policy_name(LB_SOURCE), "source");
    cr_assert_str_eq(lb_policy_name(LB_LEAST_CONNECTIONS), "least-connections");
    cr_assert_str_eq(lb_policy_name(LB_ROUND_ROBIN), "round-robin");
    cr_assert_str_eq(lb_policy_name((enum lb_policy)(LB_ROUND_ROBIN + 1)), "unknown");
}

Test(lb_pool, round_robin_takes_turns) {
    pool_of(&pool, LB_ROUND_ROBIN, 3, 1);
    lb_pool_build(&pool);
    for (unsigned i = 0; i < 30; i++)
        cr_assert_eq(lb_pick(&pool, 77, 0), i % 3);
    lb_pool_fini(&pool);
}

Test(lb_pool, round_robin_by_weight_and_smoothly) {
    static const uint16_t want[] = {0, 0, 1, 0, 2, 0, 0};

    pool_of(&pool, LB_ROUND_ROBIN, 3, 1);
    pool.servers[0].weight = 5;
    for (unsigned i = 0; i < 70; i++)
        cr_assert_eq(lb_pick(&pool, 0, 0), want[i % 7], "turn %u", i);
}

Test(lb_pool, round_robin_passes_over_who_is_down_draining_or_tried) {
    unsigned counts[4] = {0};

    pool_of(&pool, LB_ROUND_ROBIN, 4, 1);
    pool.servers[0].state = LB_DOWN;
    pool.servers[1].state = LB_DRAINING;
    for (unsigned i = 0; i < 10; i++)
        counts[lb_pick(&pool, 0, 0)]++;
    cr_assert(counts[0] == 0 && counts[1] == 0 && counts[2] == 5 && counts[3] == 5);
    cr_assert_eq(lb_pick(&pool, 0, 1 << 2), 3);
    cr_assert_eq(lb_pick(&pool, 0, 1 << 2 | 1 << 3), LB_NONE);
}

Test(lb_pool, least_connections_by_weight) {
    pool_of(&pool, LB_LEAST_CONNECTIONS, 3, 1);
    pool.servers[1].weight = 2;
    for (unsigned i = 0; i < 400; i++)
        pool.servers[lb_pick(&pool, 0, 0)].connections++;
    cr_assert_eq(pool.servers[0].connections, 100);
    cr_assert_eq(pool.servers[1].connections, 200);
    cr_assert_eq(pool.servers[2].connections, 100);
    pool.servers[2].connections = 0;
    cr_assert_eq(lb_pick(&pool, 0, 0), 2);
    cr_assert_eq(lb_pick(&pool, 0, 1 << 2), 1, "201/2 is less than 101/1");
}

Test(lb_pool, draining_takes_no_new_connection_by_any_policy) {
    for (unsigned policy = LB_CLIENT_ID; policy <= LB_ROUND_ROBIN; policy++) {
        pool_of(&pool, policy, 2, 1);
        lb_pool_build(&pool);
        pool.servers[1].state = LB_DRAINING;
        for (unsigned i = 0; i < 20; i++)
            cr_assert_eq(lb_pick(&pool, client_hash(i), 0), 0);
        pool.servers[0].state = LB_DOWN;
        cr_assert_eq(lb_pick(&pool, client_hash(1), 0), LB_NONE);
        lb_pool_fini(&pool);
    }
}

Test(lb_pool, no_servers) {
    for (unsigned policy = LB_CLIENT_ID; policy <= LB_ROUND_ROBIN; policy++) {
        pool_of(&pool, policy, 0, 1);
        cr_assert_eq(lb_pool_build(&pool), 0);
        cr_assert_eq(lb_pick(&pool, 1, 0), LB_NONE);
        lb_pool_fini(&pool);
        cr_assert_null(pool.maglev);
    }
}

Test(lb_pool, all_sixty_four_servers) {
    pool_of(&pool, LB_CLIENT_ID, LB_MAX_SERVERS, 1);
    lb_pool_build(&pool);
    for (uint16_t i = 0; i < LB_MAX_SERVERS; i++)
        pool.servers[i].state = i == 63 ? LB_UP : LB_DOWN;
    for (unsigned i = 0; i < 100; i++)
        cr_assert_eq(lb_pick(&pool, client_hash(i), 0), 63);
    cr_assert_eq(lb_pick(&pool, 0, UINT64_C(1) << 63), LB_NONE);
    lb_pool_fini(&pool);
}
