/* SPDX-License-Identifier: BSD-3-Clause */
/* The load generator against itself: its clients' port and its brokers' port are joined, nothing is in between. */
#include "load_fixture.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static struct fixture f;

static void setup(void) {
    fixture_open(&f);
}

TestSuite(load, .init = setup);

static const struct load_stats *stats(void) {
    return load_stats(f.load);
}

/* All clients have CONNACK, and nothing went wrong on the way. */
static void all_connect(void) {
    fixture_start(&f);
    fixture_run(&f, 50);
    cr_assert_eq(stats()->open, f.config.connections, "open: %u", stats()->open);
    cr_assert_eq(stats()->connecting, 0);
    cr_assert_eq(stats()->mqtt_accepted, f.config.connections);
    cr_assert_eq(stats()->broker_connections, f.config.connections);
    cr_assert_eq(stats()->connect_ns.count, f.config.connections);
}

/* Whatever was sent has arrived, unchanged and in order, and the sums agree. */
static void nothing_is_missing(void) {
    cr_assert_gt(stats()->messages_sent, 0);
    cr_assert_eq(stats()->messages_received, stats()->messages_sent, "%lu of %lu", stats()->messages_received,
                 stats()->messages_sent);
    cr_assert_eq(stats()->bytes_received, stats()->bytes_sent);
    cr_assert_eq(stats()->messages_lost, 0);
    cr_assert_eq(stats()->messages_corrupt, 0);
    cr_assert_eq(stats()->resets, 0);
    cr_assert_eq(stats()->broker_resets, 0);
    cr_assert_eq(stats()->drops, 0);
    cr_assert_eq(stats()->backlog, 0);
}

static void all_leave(void) {
    load_goodbye(f.load);
    fixture_run(&f, 50);
    cr_assert_eq(stats()->open, 0);
    cr_assert_eq(stats()->closed, f.config.connections);
    cr_assert_eq(stats()->resets, 0);
    fixture_close(&f);
}

/* The first is due an interval after the start, the last may be due at the very end. */
static void about(uint64_t count, uint64_t expected) {
    cr_assert(count + 1 >= expected && count <= expected, "%lu, not %lu", count, expected);
}

static void publish_for(uint64_t ms) {
    load_publishing(f.load, true, f.now_ns);
    fixture_run(&f, ms);
    load_publishing(f.load, false, f.now_ns);
    fixture_run(&f, 20);
}

static void at_rate(enum load_traffic traffic, double per_s, uint32_t min_bytes, uint32_t max_bytes) {
    f.config.traffic = traffic;
    f.config.schedule.rate_per_s = per_s;
    f.config.schedule.n_sizes = 1;
    f.config.schedule.sizes[0].min_bytes = min_bytes;
    f.config.schedule.sizes[0].max_bytes = max_bytes;
    f.config.schedule.sizes[0].weight = 1;
}

Test(load, qos0_by_the_schedule) {
    at_rate(LOAD_QOS0, 100000, 64, 64);
    all_connect();
    publish_for(100);
    about(stats()->messages_due, 10000);
    cr_assert_eq(stats()->messages_sent, stats()->messages_due);
    cr_assert_eq(stats()->bytes_sent, 64 * stats()->messages_sent);
    cr_assert_eq(stats()->latency_ns.count, stats()->messages_sent);
    cr_assert_lt(stats()->latency_ns.max, 100000);
    nothing_is_missing();
    all_leave();
}

Test(load, qos1_round_trips) {
    at_rate(LOAD_QOS1, 20000, 64, 1500);
    f.config.window = 4;
    all_connect();
    publish_for(200);
    about(stats()->messages_due, 4000);
    cr_assert_eq(stats()->messages_acked, stats()->messages_due);
    cr_assert_eq(stats()->latency_ns.count, stats()->messages_due);
    cr_assert_geq(stats()->latency_ns.min, 2 * FIXTURE_STEP_NS); /* a turn there, a turn back */
    nothing_is_missing();
    all_leave();
}

Test(load, version_5) {
    at_rate(LOAD_QOS1, 10000, 100, 100);
    f.config.mqtt_level = 5;
    all_connect();
    publish_for(50);
    about(stats()->messages_acked, 500);
    nothing_is_missing();
    all_leave();
}

Test(load, closed_loop_keeps_a_window_in_flight) {
    at_rate(LOAD_QOS1, 0, 64, 64);
    f.config.window = 3;
    all_connect();
    publish_for(10); /* 1,000 turns; a round trip takes two */
    cr_assert_geq(stats()->messages_acked, 3 * f.config.connections * 300);
    cr_assert_eq(stats()->messages_acked, stats()->messages_sent);
    cr_assert_eq(stats()->messages_due, stats()->messages_sent);
    nothing_is_missing();
    all_leave();
}

/* What is under way comes to its end, and nothing else begins. */
static void rest_for(uint64_t ms) {
    load_resting(f.load, true, f.now_ns);
    fixture_run(&f, 5);
    uint64_t sent = stats()->messages_sent;
    cr_assert_eq(stats()->messages_received, sent);
    fixture_run(&f, ms - 5);
    cr_assert_eq(stats()->messages_sent, sent);
    load_resting(f.load, false, f.now_ns);
}

Test(load, a_rest_is_not_caught_up) {
    at_rate(LOAD_QOS0, 100000, 64, 64);
    all_connect();
    load_publishing(f.load, true, f.now_ns);
    fixture_run(&f, 50);
    rest_for(400);
    rest_for(100);
    fixture_run(&f, 50);
    load_publishing(f.load, false, f.now_ns);
    fixture_run(&f, 20);
    about(stats()->messages_due, 10000);
    cr_assert_lt(stats()->latency_ns.max, 1000000); /* of what was due in a rest, too */
    nothing_is_missing();
    all_leave();
}

Test(load, a_closed_loop_goes_on_after_a_rest) {
    at_rate(LOAD_QOS1, 0, 64, 64);
    all_connect();
    load_publishing(f.load, true, f.now_ns);
    fixture_run(&f, 10);
    rest_for(100);
    uint64_t sent = stats()->messages_sent;
    publish_for(10);
    cr_assert_gt(stats()->messages_sent, sent + 300 * f.config.connections);
    nothing_is_missing();
    all_leave();
}

Test(load, nobody_connects_in_a_rest) {
    f.config.traffic = LOAD_CHURN;
    f.config.connect_rate = 10000;
    fixture_start(&f);
    fixture_run(&f, 20);
    load_resting(f.load, true, f.now_ns);
    fixture_run(&f, 20);
    uint64_t begun = stats()->connects_begun;
    cr_assert_gt(begun, 100);
    cr_assert_eq(stats()->connecting, 0);
    fixture_run(&f, 200);
    cr_assert_eq(stats()->connects_begun, begun);
    load_resting(f.load, false, f.now_ns);
    fixture_run(&f, 20);
    uint64_t more = stats()->connects_begun - begun;
    cr_assert(more > 100 && more < 250, "%lu", more); /* at the rate, not all that the rest would have brought */
    load_connecting(f.load, false);
    fixture_run(&f, 50);
    fixture_close(&f);
}

Test(load, bulk_fills_the_windows) {
    at_rate(LOAD_BULK, 0, 0, 0);
    f.config.connections = 3;
    all_connect();
    publish_for(20);
    cr_assert_gt(stats()->bytes_received, 10000000, "%lu bytes", stats()->bytes_received);
    nothing_is_missing();
    all_leave();
}

Test(load, large_messages_are_checked_all_along) {
    at_rate(LOAD_QOS0, 200, 50000, 200000);
    all_connect();
    publish_for(100);
    nothing_is_missing();
    all_leave();
}

Test(load, tiny_messages_carry_what_fits) {
    at_rate(LOAD_QOS0, 10000, 0, 20);
    all_connect();
    publish_for(100);
    cr_assert_lt(stats()->latency_ns.count, stats()->messages_sent);
    nothing_is_missing();
    all_leave();
}

Test(load, a_rate_beyond_reach_piles_up_and_keeps_its_due_times) {
    at_rate(LOAD_QOS1, 1000000, 64, 64); /* 10 clients with one in flight: a fifth of that */
    all_connect();
    load_publishing(f.load, true, f.now_ns);
    fixture_run(&f, 20);
    cr_assert_gt(stats()->backlog, 1000);
    cr_assert_eq(stats()->messages_due, stats()->messages_sent + stats()->backlog);
    cr_assert_gt(stats()->latency_ns.max, 5000000, "the last ones were due long before they left");
    load_rate(f.load, 1000, f.now_ns);
    cr_assert_eq(stats()->backlog, 0);
    load_publishing(f.load, false, f.now_ns);
    fixture_run(&f, 20);
    nothing_is_missing();
    all_leave();
}

Test(load, churn_counts_connections) {
    f.config.traffic = LOAD_CHURN;
    f.config.connect_rate = 2000;
    fixture_start(&f);
    fixture_run(&f, 500);
    cr_assert_geq(stats()->mqtt_accepted, 950, "%lu", stats()->mqtt_accepted);
    cr_assert_leq(stats()->mqtt_accepted, 1050, "%lu", stats()->mqtt_accepted);
    load_connecting(f.load, false);
    fixture_run(&f, 50);
    cr_assert_eq(stats()->open, 0);
    cr_assert_eq(stats()->closed, stats()->mqtt_accepted);
    cr_assert_eq(stats()->latency_ns.count, stats()->mqtt_accepted);
    cr_assert_eq(stats()->resets + stats()->broker_resets + stats()->connect_failed, 0);
    fixture_close(&f);
}

Test(load, more_connections_than_ports_of_an_address) {
    f.config.connections = 70000;
    f.config.connect_window = 1000;
    fixture_start(&f);
    fixture_run(&f, 50);
    cr_assert_eq(stats()->open, 70000, "open: %u, failed %lu", stats()->open, stats()->connect_failed);
    load_goodbye(f.load);
    fixture_run(&f, 100);
    cr_assert_eq(stats()->open, 0, "open: %u", stats()->open);
    fixture_close(&f);
}

Test(load, keep_alive_pings_in_time) {
    f.config.keepalive_s = 1;
    all_connect();
    uint64_t packets = stats()->packets_in;
    fixture_run(&f, 3000);
    cr_assert_geq(stats()->packets_in - packets, 2 * 3 * f.config.connections); /* PINGREQ and PINGRESP, three times */
    cr_assert_eq(stats()->open, f.config.connections);
    all_leave();
}

Test(load, counters_begin_anew_and_sequences_go_on) {
    at_rate(LOAD_QOS0, 10000, 64, 64);
    all_connect();
    publish_for(50);
    load_stats_reset(f.load);
    cr_assert_eq(stats()->messages_sent, 0);
    cr_assert_eq(stats()->open, f.config.connections);
    publish_for(50);
    about(stats()->messages_received, 500);
    nothing_is_missing();
    all_leave();
}

Test(load, nobody_there) {
    f.config.n_brokers = 0; /* the address answers, the port does not */
    fixture_start(&f);
    fixture_run(&f, 1000);
    cr_assert_eq(stats()->open, 0);
    cr_assert_geq(stats()->connect_failed, 5 * f.config.connections); /* each rests 100 ms in between */
    cr_assert_leq(stats()->connect_failed, 10 * f.config.connections);
    fixture_close(&f);
}

Test(load, an_end_in_the_middle_leaves_nothing) {
    at_rate(LOAD_QOS1, 0, 2000, 2000);
    f.config.window = 8;
    all_connect();
    load_publishing(f.load, true, f.now_ns);
    fixture_run(&f, 5);
    fixture_close(&f);
}

Test(load, impossible_configurations_say_why) {
    char error[256] = "";
    f.config.connections = 0;
    cr_assert_null(load_new(&f.config, f.now_ns, error, sizeof(error)));
    cr_assert(strstr(error, "connections") != NULL, "%s", error);
    f.config.connections = 200000;
    cr_assert_null(load_new(&f.config, f.now_ns, error, sizeof(error)));
    cr_assert(strstr(error, "4 addresses") != NULL, "%s", error);
    f.config.connections = 10;
    f.config.n_brokers = 3;
    cr_assert_null(load_new(&f.config, f.now_ns, error, sizeof(error)));
    cr_assert(strstr(error, "brokers") != NULL, "%s", error);
}
