/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

Test(tls_alert, every_drop_has_name_and_text) {
    for (int d = 1; d < TLS_DROP_COUNT; d++) {
        cr_assert_str_not_empty(tls_drop_name((enum tls_drop)d));
        cr_assert_str_not_empty(tls_drop_text((enum tls_drop)d));
        cr_assert_geq(tls_drop_alert((enum tls_drop)d), -1);
    }
    cr_assert_str_eq(tls_drop_name(TLS_DROP_BAD_MAC), "bad_mac");
    cr_assert_eq(tls_drop_alert(TLS_DROP_BAD_MAC), 20);
    cr_assert_str_eq(tls_drop_name(TLS_DROP_COUNT), "unknown");
    cr_assert_eq(tls_drop_alert(TLS_DROP_COUNT), -1);
}

Test(tls_alert, before_any_key_it_goes_in_the_clear) {
    struct pair p;
    struct rope wire = {0}, plain = {0}, answer = {0};
    uint8_t out[16];

    pair_init(&p, 1);
    tls_id id = tls_conn_new(&p.core, p.ctx, 0);
    harness_push(&wire, "GET / HTTP/1.1\r\n", 16, false);
    cr_assert_eq(tls_input(&p.core, id, &wire, &plain, &answer, 100), -TLS_DROP_BAD_TYPE);
    cr_assert_eq(rope_copy(&answer, 0, out, sizeof(out)), 7);
    cr_assert_arr_eq(out, ((const uint8_t[]){21, 3, 3, 0, 2, 2, 10}), 7);
    rope_clear(&wire);
    rope_clear(&answer);
    pair_fini(&p);
}

Test(tls_alert, none_behind_close_notify) {
    struct pair p;
    struct rope wire = {0}, answer = {0};

    pair_init(&p, 1);
    cr_assert_eq(tls_close(&p.core, p.server, &answer), 0);
    rope_clear(&answer);
    const uint8_t garbage[30] = {23, 3, 3, 0, 25};
    harness_push(&wire, garbage, sizeof(garbage), false);
    cr_assert_eq(pair_input(&p, &wire, &answer, NULL), -TLS_DROP_BAD_MAC);
    cr_assert_eq(answer.len_bytes, 0);
    pair_fini(&p);
}
