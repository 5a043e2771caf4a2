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

/* --- by name --- */

Test(tls_alert, names) {
    cr_expect_str_eq(tls_alerted_name(tls_alerted_of(SSL_AD_CLOSE_NOTIFY)), "close_notify");
    cr_expect_str_eq(tls_alerted_name(tls_alerted_of(SSL_AD_UNKNOWN_CA)), "unknown_ca");
    cr_expect_str_eq(tls_alerted_name(tls_alerted_of(SSL_AD_CERTIFICATE_REQUIRED)), "certificate_required");
    cr_expect_str_eq(tls_alerted_name(tls_alerted_of(SSL_AD_BAD_CERTIFICATE_STATUS_RESPONSE)),
                     "bad_certificate_status_response");
    cr_expect_str_eq(tls_alerted_name(tls_alerted_of(SSL_AD_DECRYPTION_FAILED)), "other");
    cr_expect_str_eq(tls_alerted_name(tls_alerted_of(255)), "other");
    cr_expect_str_eq(tls_alerted_name(TLS_ALERTED_COUNT), "unknown");
    for (int a = 0; a < TLS_ALERTED_COUNT; a++)
        cr_expect_str_not_empty(tls_alerted_name((enum tls_alerted)a));
}

/* What was counted: one alert each, or NONE. */
enum { NONE = -1 };

static void counted(const struct tls_core *core, int in, int out) {
    cr_expect_eq(harness_alerts(core, TLS_READ, in), in != NONE, "in %d", in);
    cr_expect_eq(harness_alerts(core, TLS_READ, NONE), in != NONE, "in: others than %d", in);
    cr_expect_eq(harness_alerts(core, TLS_WRITE, out), out != NONE, "out %d", out);
    cr_expect_eq(harness_alerts(core, TLS_WRITE, NONE), out != NONE, "out: others than %d", out);
}

static void turns(struct harness *h) {
    for (int i = 0; i < 4; i++) {
        harness_turn(h);
        if (!h->core.run_inline)
            tls_engine_run(h->engine, 8);
    }
}

static const struct {
    uint16_t version;
    const char *suite; /* the last two stay with libssl */
} both[] = {{TLS_V13, "TLS_AES_128_GCM_SHA256"},
            {TLS_V12, "ECDHE-ECDSA-AES128-GCM-SHA256"},
            {TLS_V12, "ECDHE-ECDSA-AES128-SHA"},
            {TLS_V13, "TLS_AES_128_CCM_SHA256"}};

/* Each with an engine on the worker, and with one elsewhere. Returns whether there is another. */
static bool next(struct harness *h, size_t *way) {
    size_t i = *way / 2;

    if (i == WEIR_ARRAY_LEN(both))
        return false;
    harness_init(
        h, &(struct harness_options){.version = both[i].version, .suite = both[i].suite, .other_thread = *way % 2});
    (*way)++;
    return true;
}

static void complete(struct harness *h) {
    cr_assert(harness_handshake(h));
    turns(h);
}

Test(tls_alert, of_a_client_that_trusts_nobody) {
    struct harness h;
    size_t way = 0;

    while (next(&h, &way)) {
        SSL_set_verify(h.client, SSL_VERIFY_PEER, NULL);
        cr_expect_not(harness_handshake(&h));
        turns(&h);
        cr_expect_eq(h.error, -TLS_DROP_HS_PEER_ALERT);
        cr_expect_eq(tls_conn_alerted(&h.core, h.id), TLS_ALERTED_UNKNOWN_CA);
        counted(&h.core, SSL_AD_UNKNOWN_CA, NONE);
        harness_fini(&h);
    }
}

Test(tls_alert, to_a_client_without_a_version_in_common) {
    struct harness h;

    harness_init(&h, &(struct harness_options){.version = TLS_V12, .suite = both[1].suite});
    SSL_set_min_proto_version(h.client, TLS1_1_VERSION);
    SSL_set_max_proto_version(h.client, TLS1_1_VERSION);
    SSL_set_cipher_list(h.client, "ALL:@SECLEVEL=0");
    cr_expect_not(harness_handshake(&h));
    counted(&h.core, NONE, SSL_AD_PROTOCOL_VERSION);
    harness_fini(&h);
}

Test(tls_alert, to_a_client_without_a_suite_in_common) {
    struct harness h;

    for (int elsewhere = 0; elsewhere < 2; elsewhere++) {
        harness_init(&h,
                     &(struct harness_options){.version = TLS_V13, .suite = both[0].suite, .other_thread = elsewhere});
        SSL_set_ciphersuites(h.client, "TLS_AES_256_GCM_SHA384");
        cr_expect_not(harness_handshake(&h));
        counted(&h.core, NONE, SSL_AD_HANDSHAKE_FAILURE);
        harness_fini(&h);
    }
}

Test(tls_alert, damaged_record) {
    struct harness h;
    uint8_t bytes[256];
    size_t way = 0;

    while (next(&h, &way)) {
        complete(&h);
        SSL_write(h.client, "x", 1);
        int n = BIO_read(SSL_get_wbio(h.client), bytes, sizeof(bytes));
        bytes[n - 1] ^= 1;
        harness_inject(&h, bytes, (uint32_t)n);
        turns(&h);
        cr_expect_eq(h.error, way <= 4 ? -TLS_DROP_BAD_MAC : -TLS_DROP_LIBSSL);
        counted(&h.core, NONE, SSL_AD_BAD_RECORD_MAC);
        harness_fini(&h);
    }
}

Test(tls_alert, close_notify_both_ways) {
    struct harness h;
    size_t way = 0;

    while (next(&h, &way)) {
        complete(&h);
        counted(&h.core, NONE, NONE);
        SSL_shutdown(h.client);
        harness_client_flush(&h);
        turns(&h);
        counted(&h.core, SSL_AD_CLOSE_NOTIFY, NONE);
        (void)tls_close(&h.core, h.id, &h.wire_out);
        tls_engine_run(h.engine, 8);
        turns(&h);
        cr_expect_eq(tls_close(&h.core, h.id, &h.wire_out), WEIR_ESTATE);
        counted(&h.core, SSL_AD_CLOSE_NOTIFY, SSL_AD_CLOSE_NOTIFY);
        cr_expect_eq(SSL_shutdown(h.client), 1, "it is there");
        harness_fini(&h);
    }
}

/* What comes too late for a connection that has gone was read all the same; what is not sent any more is not counted.
 */
Test(tls_alert, of_a_connection_that_has_gone) {
    struct harness h;
    uint32_t news[4];

    for (int trusts = 0; trusts < 2; trusts++) {
        harness_init(&h, &(struct harness_options){.version = TLS_V12, .suite = both[1].suite, .other_thread = true});
        SSL_set_verify(h.client, trusts ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
        if (trusts) /* else it is our alert that comes too late */
            SSL_set_cipher_list(h.client, "ECDHE-RSA-AES128-GCM-SHA256");
        SSL_do_handshake(h.client);
        harness_client_flush(&h);
        harness_turn(&h); /* it asks for its turn, */
        harness_turn(&h); /* and is with the engine */
        if (!trusts) {
            turns(&h);
            SSL_do_handshake(h.client);
            harness_client_flush(&h);
            harness_turn(&h);
        }
        cr_assert_eq(tls_engine_run(h.engine, 8), 1);
        tls_conn_free(&h.core, h.id);
        tls_poll(&h.core, 0, news, 4);
        counted(&h.core, trusts ? NONE : SSL_AD_UNKNOWN_CA, NONE);
        tls_engine_run(h.engine, 8);
        tls_poll(&h.core, 0, news, 4);
        cr_expect_eq(h.core.places.used, 0);
        h.id = tls_conn_new(&h.core, h.ctx, 0);
        harness_fini(&h);
    }
}

Test(tls_alert, without_a_name) {
    struct pair p;
    struct rope wire = {0}, answer = {0};

    pair_init(&p, 1);
    pair_seal(&p, TLS_CT_ALERT, (const uint8_t[]){2, 200}, 2, &wire);
    cr_assert_eq(pair_input(&p, &wire, &answer, NULL), -TLS_DROP_PEER_ALERT);
    cr_expect_eq(tls_conn_alerted(&p.core, p.server), TLS_ALERTED_OTHER);
    counted(&p.core, 200, NONE);
    cr_expect_eq(p.core.stats.alerts[TLS_READ][TLS_ALERTED_OTHER], 1);
    rope_clear(&answer);
    pair_fini(&p);
}
