/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <criterion/criterion.h>

static int parse(const char *bytes, size_t n, bool syn, struct tcp_opts *o) {
    return tcp_opts_parse(span_of(bytes, n), syn, o);
}
#define PARSE(literal, syn, o) parse(literal, sizeof(literal) - 1, syn, o)

Test(tcp_opts, syn) {
    struct tcp_opts o;
    cr_assert_eq(PARSE("\x02\x04\x05\xb4\x04\x02\x08\x0a\0\0\0\x01\0\0\0\x02\x01\x03\x03\x07", true, &o), 0);
    cr_assert(o.mss == 1460 && o.sack_permitted && o.has_ts && o.ts_val == 1 && o.ts_ecr == 2);
    cr_assert(o.has_wscale && o.wscale == 7);
}

Test(tcp_opts, syn_options_elsewhere_are_ignored) {
    struct tcp_opts o;
    cr_assert_eq(PARSE("\x02\x04\x05\xb4\x03\x03\x07\x01\x04\x02\x01\x01", false, &o), 0);
    cr_assert(!o.mss && !o.has_wscale && !o.sack_permitted);
}

Test(tcp_opts, scale_is_clamped) {
    struct tcp_opts o;
    cr_assert_eq(PARSE("\x03\x03\xff\x01", true, &o), 0);
    cr_assert_eq(o.wscale, 14); /* RFC 7323 2.3 */
}

Test(tcp_opts, fast_timestamps) {
    struct tcp_opts o;
    cr_assert_eq(PARSE("\x01\x01\x08\x0a\0\0\0\x03\0\0\0\x04", false, &o), 0);
    cr_assert(o.has_ts && o.ts_val == 3 && o.ts_ecr == 4);
}

Test(tcp_opts, sacks) {
    struct tcp_opts o;
    cr_assert_eq(PARSE("\x01\x01\x05\x12\0\0\0\x01\0\0\0\x02\0\0\0\x05\0\0\0\x09", false, &o), 0);
    cr_assert(o.n_sacks == 2 && o.sacks[1].left == 5 && o.sacks[1].right == 9);
    cr_assert_eq(PARSE("\x05\x07\0\0\0\x01\0\x01", false, &o), 0, "a broken block is no block");
    cr_assert_eq(o.n_sacks, 0);
}

Test(tcp_opts, malformed) {
    struct tcp_opts o;
    cr_assert_eq(PARSE("\x08\0\0\0", false, &o), -TCP_DROP_OPTION, "length 0 would never end");
    cr_assert_eq(PARSE("\x08\x01\0\0", false, &o), -TCP_DROP_OPTION);
    cr_assert_eq(PARSE("\x01\x01\x01\x08", false, &o), -TCP_DROP_OPTION, "no room for a length");
    cr_assert_eq(PARSE("\x01\x01\x08\x0a", false, &o), -TCP_DROP_OPTION, "beyond the header");
    cr_assert_eq(PARSE("\xfe\x04\0\0", false, &o), 0, "unknown kinds are skipped");
    cr_assert_eq(PARSE("\0\x08\0\0", false, &o), 0, "nothing counts behind the end");
    cr_assert_eq(PARSE("\x08\x04\0\0", true, &o), 0);
    cr_assert_not(o.has_ts, "known kind, wrong length");
}

Test(tcp_opts, syn_ack_repeats_what_was_offered) {
    struct tcp_core *core = harness_core(NULL);
    struct craft syn = {.seq = 1, .flags = WIRE_TCP_SYN, .wnd = 1000, .mss = 1460, .has_ts = true, .ts_val = 5};
    tcp_listen(core, LOCAL_ADDR, LOCAL_PORT, 1);
    feed(core, &syn);
    struct decoded d = drain_one(core);
    cr_assert_eq(d.flags, WIRE_TCP_SYN | WIRE_TCP_ACK);
    cr_assert(d.opts.mss == 1460 && d.opts.has_ts && d.opts.ts_ecr == 5);
    cr_assert(!d.opts.sack_permitted && !d.opts.has_wscale);
    harness_core_free(core);
}

Test(tcp_opts, syn_offers_all) {
    struct tcp_core *core = harness_core(NULL);
    tcp_id id;
    tcp_connect(core, 0, LOCAL_ADDR, LOCAL_PORT, REMOTE_ADDR, REMOTE_PORT, 0, core->now_us, &id);
    struct decoded d = drain_one(core);
    cr_assert_eq(d.flags, WIRE_TCP_SYN);
    cr_assert(d.opts.mss == 1460 && d.opts.has_ts && d.opts.sack_permitted && d.opts.has_wscale);
    cr_assert_eq(d.opts.wscale, 1, "64 KB need one shift");
    harness_core_free(core);
}

Test(tcp_opts, mss_is_taken_within_bounds) {
    static const struct {
        uint16_t offered, got;
    } cases[] = {{1460, 1460}, {9000, 1460}, {536, 536}, {1, TCP_MSS_MIN}, {0, TCP_MSS_DEFAULT}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        struct tcp_core *core = harness_core(NULL);
        struct craft syn = {.mss = cases[i].offered};
        tcp_id id = establish(core, &syn);
        cr_assert_eq(tcp_conn_of(core, id)->mss, cases[i].got, "MSS %u", cases[i].offered);
        harness_core_free(core);
    }
}
