/* SPDX-License-Identifier: BSD-3-Clause */
#include "perf/e2e/load/options.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <string.h>

static struct load_options options;
static char error[256];

/* A command line of words between spaces. */
static int parse(const char *line) {
    static char text[1024];
    static char *argv[64];
    int argc = 0;
    snprintf(text, sizeof(text), "weir-load %s", line);
    for (char *rest = text, *word; (word = strsep(&rest, " "));)
        if (*word)
            argv[argc++] = word;
    argv[argc] = NULL;
    error[0] = '\0';
    return load_options_parse(argc, argv, &options, error, sizeof(error));
}

#define PORTS "--client-device net_tap0 --client-addresses 198.18.0.2/24+4 --target 198.18.0.1:8883 "

Test(load_options, the_least_has_defaults) {
    cr_assert_eq(parse(PORTS), 0, "%s", error);
    cr_assert_eq(options.client.addresses.first, 0xc6120002);
    cr_assert_eq(options.client.addresses.n, 4);
    cr_assert_eq(options.client.addresses.prefix_len, 24);
    cr_assert_eq(options.target_port_be, htons(8883));
    cr_assert_eq(options.broker.addresses.n, 0);
    cr_assert_eq(options.broker_port_be, htons(1883));
    cr_assert_eq(options.connections, 1);
    cr_assert_eq(options.traffic, LOAD_IDLE);
    cr_assert_eq(options.schedule.n_sizes, 1);
    cr_assert_eq(options.schedule.sizes[0].max_bytes, 64);
    cr_assert_not(options.tls);
    cr_assert_not(options.ndr.on);
}

Test(load_options, values_come_behind_a_space_or_an_equals_sign) {
    cr_assert_eq(parse(PORTS "--tls=chacha --connections=1000 --rate 12.5 --traffic qos1 --keepalive 30 --seed 7"), 0);
    cr_assert(options.tls);
    cr_assert_eq(options.suite, 0x1303);
    cr_assert_eq(options.connections, 1000);
    cr_assert_eq(options.schedule.rate_per_s, 12.5);
    cr_assert_eq(options.schedule.seed, 7);
    cr_assert_eq(options.keepalive_s, 30);
    cr_assert_eq(options.window, 1);
}

Test(load_options, a_storm) {
    cr_assert_eq(parse(PORTS "--traffic qos1 --connections 100 --storm 20000 --patience 5 --storm-limit 30"), 0, "%s",
                 error);
    cr_assert_eq(options.storm, 20000);
    cr_assert_eq(options.patience_s, 5);
    cr_assert_eq(options.storm_s, 30);
    cr_assert_neq(parse(PORTS "--traffic churn --storm 5"), 0);
    cr_assert(strstr(error, "--storm"), "%s", error);
}

Test(load_options, suites_by_both_names) {
    cr_assert_eq(parse(PORTS "--tls TLS_AES_256_GCM_SHA384"), 0);
    cr_assert_eq(options.suite, 0x1302);
    cr_assert_eq(parse(PORTS "--tls aes128"), 0);
    cr_assert_eq(options.suite, 0x1301);
    cr_assert_eq(parse(PORTS "--tls aes128 --tls off"), 0);
    cr_assert_not(options.tls);
    cr_assert_lt(parse(PORTS "--tls rc4"), 0);
}

Test(load_options, flags_are_off_unless_given) {
    cr_assert_eq(parse(PORTS), 0);
    cr_assert_not(options.share_cpu);
    cr_assert_eq(parse(PORTS "--share-cpu"), 0);
    cr_assert(options.share_cpu);
    cr_assert_lt(parse(PORTS "--share-cpu=1"), 0);
}

Test(load_options, the_last_one_wins) {
    cr_assert_eq(parse(PORTS "--connections 5 --connections 6"), 0);
    cr_assert_eq(options.connections, 6);
}

Test(load_options, what_follows_two_dashes_is_not_ours) {
    cr_assert_eq(parse(PORTS "--ndr --traffic qos0 -- --log-level=debug --ndr-max 3"), 0);
    cr_assert_eq(options.n_eal_args, 3);
    cr_assert_str_eq(options.eal_args[0], "--log-level=debug");
    cr_assert_eq(options.ndr.max, 0);
}

Test(load_options, windows_depend_on_the_traffic) {
    cr_assert_eq(parse(PORTS "--traffic bulk"), 0);
    cr_assert_eq(options.window, 4);
    cr_assert_eq(parse(PORTS "--traffic qos0"), 0);
    cr_assert_eq(options.window, 64);
    cr_assert_eq(parse(PORTS "--traffic qos1 --window 9"), 0);
    cr_assert_eq(options.window, 9);
}

Test(load_options, shares_of_the_rate_found) {
    cr_assert_eq(parse(PORTS "--traffic qos0 --ndr --latency-at 5,25.5"), 0);
    cr_assert_eq(options.ndr.n_shares, 2);
    cr_assert_float_eq(options.ndr.shares[1], 0.255, 1e-9);
    cr_assert_lt(parse(PORTS "--latency-at 5,,6"), 0);
    cr_assert_lt(parse(PORTS "--latency-at 1,2,3,4,5,6,7,8,9"), 0);
    cr_assert_lt(parse(PORTS "--latency-at 101"), 0);
}

Test(load_options, addresses_stay_in_their_subnet) {
    cr_assert_lt(parse(PORTS "--client-addresses 198.18.0.250/24+7"), 0);
    cr_assert_eq(parse(PORTS "--client-addresses 198.18.0.250/24+6"), 0, "%s", error);
    cr_assert_eq(parse(PORTS "--client-addresses 198.18.0.250/32"), 0, "%s", error);
    cr_assert_lt(parse(PORTS "--client-addresses 198.18.0.2"), 0);
    cr_assert_lt(parse(PORTS "--client-addresses 198.18.0.2/33"), 0);
    cr_assert_lt(parse(PORTS "--client-addresses 198.18.0.2/16+33"), 0);
}

Test(load_options, refusals_say_what_to_do) {
    static const struct {
        const char *line, *says;
    } wrong[] = {
        {"", "--client-device"},
        {"--client-device net_tap0 --client-addresses 1.2.3.4/8", "--target"},
        {PORTS "--conections 5", "unknown option --conections"},
        {PORTS "5", "unexpected argument"},
        {PORTS "--connections", "needs a value"},
        {PORTS "--connections 0", "from 1 to"},
        {PORTS "--connections 5x", "from 1 to"},
        {PORTS "--connections -5", "from 1 to"},
        {PORTS "--rate nan", "--rate"},
        {PORTS "--ndr", "--traffic"},
        {PORTS "--ndr=yes", "takes no value"},
        {PORTS "--traffic qos0 --ndr --ndr-min 50 --ndr-max 20", "below"},
        {PORTS "--resume", "--tls"},
        {PORTS "--broker-device net_tap1", "--broker-addresses"},
        {PORTS "--broker-addresses 198.18.1.2/24+17", "16 brokers"},
        {PORTS "--size 64-", "payload bytes"},
        {PORTS "--traffic mqtt", "idle"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(wrong); i++) {
        cr_assert_eq(parse(wrong[i].line), WEIR_EINVAL, "%s", wrong[i].line);
        cr_assert_not_null(strstr(error, wrong[i].says), "%s: %s", wrong[i].line, error);
    }
}

Test(load_options, help_needs_nothing_else) {
    cr_assert_eq(parse("--help"), 0);
    cr_assert_eq(options.action, LOAD_ACTION_HELP);
    cr_assert_eq(parse("-V"), 0);
    cr_assert_eq(options.action, LOAD_ACTION_VERSION);
}
