/* SPDX-License-Identifier: BSD-3-Clause */
#include "servers.h"

#include <criterion/criterion.h>

#define S 1000000ull

static struct lb_server down_server(uint64_t now_us) {
    struct lb_server s = server_of(1, 1);

    for (int i = 0; i < 3; i++)
        lb_server_event(&s, LB_EV_CONNECT_FAILED, now_us);
    return s;
}

Test(lb_health, three_failures_in_a_row_take_it_down) {
    struct lb_server s = server_of(1, 1);

    cr_assert_eq(lb_server_event(&s, LB_EV_CONNECT_FAILED, S), LB_UP);
    cr_assert_eq(lb_server_event(&s, LB_EV_CONNECT_FAILED, S), LB_UP);
    cr_assert_eq(lb_server_event(&s, LB_EV_CONNECT_OK, S), LB_UP);
    cr_assert_eq(lb_server_event(&s, LB_EV_CONNECT_FAILED, S), LB_UP, "the row was broken");
    cr_assert_eq(lb_server_event(&s, LB_EV_CONNECT_FAILED, S), LB_UP);
    cr_assert_eq(lb_server_event(&s, LB_EV_CONNECT_FAILED, S), LB_DOWN);
    cr_assert(s.probe_at_us >= S + S / 2 && s.probe_at_us <= S + S);
}

Test(lb_health, two_good_probes_bring_it_back) {
    struct lb_server s = down_server(S);

    cr_assert_eq(lb_server_event(&s, LB_EV_PROBE_OK, 2 * S), LB_DOWN);
    cr_assert(s.probe_at_us > 2 * S && s.probe_at_us <= 3 * S);
    cr_assert_eq(lb_server_event(&s, LB_EV_PROBE_OK, 3 * S), LB_UP);
    cr_assert_eq(s.failures, 0);
    cr_assert_eq(lb_server_event(&s, LB_EV_CONNECT_FAILED, 3 * S), LB_UP, "it starts with a clean slate");
}

Test(lb_health, good_probes_must_follow_each_other) {
    struct lb_server s = down_server(S);

    lb_server_event(&s, LB_EV_PROBE_OK, 2 * S);
    cr_assert_eq(lb_server_event(&s, LB_EV_PROBE_FAILED, 3 * S), LB_DOWN);
    cr_assert_eq(lb_server_event(&s, LB_EV_PROBE_OK, 4 * S), LB_DOWN);
    cr_assert_eq(lb_server_event(&s, LB_EV_PROBE_OK, 5 * S), LB_UP);
}

Test(lb_health, probes_back_off_from_half_a_second_to_eight) {
    static const uint64_t least_us[] = {S, 2 * S, 4 * S, 4 * S, 4 * S};
    struct lb_server s = down_server(S);

    for (size_t i = 0; i < 300; i++) {
        uint64_t now_us = S * (i + 2), least = least_us[i < 4 ? i : 4];
        lb_server_event(&s, LB_EV_PROBE_FAILED, now_us);
        cr_assert(s.probe_at_us >= now_us + least && s.probe_at_us < now_us + 2 * least, "probe %zu", i);
    }
}

Test(lb_health, probes_of_several_workers_and_servers_are_spread) {
    uint64_t first = 0;
    unsigned same = 0;

    for (unsigned i = 0; i < 20; i++) {
        struct lb_server s = server_of(i, 1);
        for (int k = 0; k < 3; k++)
            lb_server_event(&s, LB_EV_CONNECT_FAILED, S);
        same += s.probe_at_us == first;
        first = s.probe_at_us;
    }
    cr_assert_eq(same, 0);
}

Test(lb_health, drain_and_ready) {
    struct lb_server s = server_of(1, 1);

    cr_assert_eq(lb_server_event(&s, LB_EV_DRAIN, S), LB_DRAINING);
    cr_assert_eq(lb_server_event(&s, LB_EV_DRAIN, S), LB_DRAINING);
    cr_assert_eq(lb_server_event(&s, LB_EV_READY, S), LB_UP);
    cr_assert_eq(lb_server_event(&s, LB_EV_READY, S), LB_UP);
}

Test(lb_health, drain_outlives_being_down) {
    struct lb_server s = down_server(S);

    cr_assert_eq(lb_server_event(&s, LB_EV_DRAIN, S), LB_DOWN);
    lb_server_event(&s, LB_EV_PROBE_OK, 2 * S);
    cr_assert_eq(lb_server_event(&s, LB_EV_PROBE_OK, 3 * S), LB_DRAINING);
    for (int i = 0; i < 3; i++)
        lb_server_event(&s, LB_EV_CONNECT_FAILED, 4 * S);
    cr_assert_eq(s.state, LB_DOWN);
    cr_assert_eq(lb_server_event(&s, LB_EV_READY, 5 * S), LB_DOWN, "an order does not make it live");
    cr_assert_eq(s.probe_at_us, 5 * S, "but it is looked at now");
    lb_server_event(&s, LB_EV_PROBE_OK, 5 * S);
    cr_assert_eq(lb_server_event(&s, LB_EV_PROBE_OK, 6 * S), LB_UP);
}

Test(lb_health, news_from_before_the_change_of_state_is_no_news) {
    struct lb_server s = down_server(S);
    uint64_t probe_at_us = s.probe_at_us;

    cr_assert_eq(lb_server_event(&s, LB_EV_CONNECT_OK, 2 * S), LB_DOWN);
    cr_assert_eq(lb_server_event(&s, LB_EV_CONNECT_FAILED, 2 * S), LB_DOWN);
    cr_assert_eq(s.probe_at_us, probe_at_us);
    s = server_of(1, 1);
    cr_assert_eq(lb_server_event(&s, LB_EV_PROBE_FAILED, S), LB_UP);
    cr_assert_eq(lb_server_event(&s, LB_EV_PROBE_OK, S), LB_UP);
    cr_assert_eq(s.failures, 0);
}

Test(lb_health, probe_due_names_each_server_once) {
    static struct lb_pool p;

    pool_of(&p, LB_CLIENT_ID, 4, 1);
    cr_assert_eq(lb_probe_due(&p, 100 * S), LB_NONE, "nobody is down");
    p.servers[1] = down_server(S);
    p.servers[3] = down_server(S);
    cr_assert_eq(lb_probe_due(&p, S), LB_NONE, "not yet");
    cr_assert_eq(lb_probe_due(&p, 2 * S), 1);
    cr_assert_eq(lb_probe_due(&p, 2 * S), 3);
    cr_assert_eq(lb_probe_due(&p, 2 * S), LB_NONE);
    cr_assert_eq(lb_probe_due(&p, 10 * S), 1, "nobody reported: again");
}
