/* SPDX-License-Identifier: BSD-3-Clause */
/* Real libssl clients: every suite and version is taken over, and nothing is lost on the way. */
#include "harness.h"

#include <openssl/err.h>

static const struct {
    enum key_kind kind;
    uint16_t version;
    const char *suite, *name;
    uint32_t bytes;
} cases[] = {
    {KEY_EC, TLS_V13, "TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256", 160},
    {KEY_EC, TLS_V13, "TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384", 224},
    {KEY_RSA, TLS_V13, "TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256", 224},
    {KEY_EC, TLS_V12, "ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", 160},
    {KEY_EC, TLS_V12, "ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", 224},
    {KEY_EC, TLS_V12, "ECDHE-ECDSA-CHACHA20-POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", 224},
    {KEY_RSA, TLS_V12, "ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", 160},
    {KEY_RSA, TLS_V12, "ECDHE-RSA-AES256-GCM-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", 224},
    {KEY_RSA, TLS_V12, "ECDHE-RSA-CHACHA20-POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", 224},
};

/* The handshake and traffic both ways, in pieces of up to `piece_max` bytes. */
static void exchange(uint32_t piece_max, bool share, uint32_t bytes) {
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        struct harness h;
        struct tls_info info;
        harness_init(&h, &(struct harness_options){.kind = cases[i].kind,
                                                   .version = cases[i].version,
                                                   .suite = cases[i].suite,
                                                   .piece_max = piece_max,
                                                   .share = share});
        cr_assert(harness_handshake(&h), "%s: %s", cases[i].suite, tls_drop_text((enum tls_drop) - h.error));
        tls_conn_info(&h.core, h.id, &info);
        cr_assert_str_eq(info.suite, cases[i].name);
        cr_assert_eq(info.version, cases[i].version);
        cr_assert(info.taken_over);
        cr_assert_eq(h.core.places.used, 0, "the SSL object is gone");
        cr_assert_eq(tls_conn_bytes(&h.core, h.id), cases[i].bytes);
        for (int round = 0; round < 3; round++) {
            harness_send(&h, bytes, 100);
            harness_receive(&h, bytes);
            harness_send(&h, bytes, TLS_RECORD_MAX);
            harness_receive(&h, 1);
        }
        cr_assert_eq(h.core.stats.taken_over, 1);
        cr_assert_eq(h.core.stats.libssl_records, 0);
        cr_assert_gt(h.core.stats.records_opened, 0);
        cr_assert_gt(h.core.stats.records_sealed, 0);
        harness_fini(&h);
    }
}

Test(tls_handover, every_suite_in_full_segments) {
    exchange(0, false, 40000);
}

Test(tls_handover, every_suite_in_random_segments) {
    exchange(700, false, 40000);
}

Test(tls_handover, every_suite_in_shared_segments) {
    exchange(900, true, 20000);
}

Test(tls_handover, every_suite_in_single_bytes) {
    exchange(1, false, 300);
}

/* Finished, application data and half of the next record in one segment: nothing is lost, libssl sees its own alone. */
Test(tls_handover, coalesced_flights) {
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        for (uint32_t piece_max = 0; piece_max < 60; piece_max += 29) {
            struct harness h;
            uint8_t flight[4096];
            harness_init(&h, &(struct harness_options){.kind = cases[i].kind,
                                                       .version = cases[i].version,
                                                       .suite = cases[i].suite,
                                                       .piece_max = piece_max});
            while (SSL_do_handshake(h.client) != 1 && BIO_pending(SSL_get_wbio(h.client)) > 0 &&
                   SSL_get_state(h.client) != TLS_ST_OK) {
                if (cases[i].version == TLS_V12 && SSL_get_state(h.client) == TLS_ST_CW_FINISHED)
                    break;
                harness_client_flush(&h);
                harness_turn(&h);
                harness_turn(&h);
            }
            if (cases[i].version == TLS_V12) { /* its Finished must be answered before it may write */
                cr_assert(harness_handshake(&h));
            }
            cr_assert_eq(SSL_write(h.client, "first", 5), 5);
            cr_assert_eq(SSL_write(h.client, "second", 6), 6);
            int n = BIO_read(SSL_get_wbio(h.client), flight, sizeof(flight));
            cr_assert_gt(n, 20);
            harness_inject(&h, flight, (uint32_t)n - 9);
            for (int turn = 0; turn < 8; turn++)
                harness_turn(&h);
            cr_assert(tls_established(&h.core, h.id));
            cr_assert_eq(h.in.len_bytes, 5);
            harness_inject(&h, flight + n - 9, 9);
            harness_turn(&h);
            cr_assert_eq(h.in.len_bytes, 11);
            uint8_t got[11];
            rope_copy(&h.in, 0, got, 11);
            cr_assert_arr_eq(got, "firstsecond", 11);
            rope_clear(&h.in);
            harness_receive(&h, 1000);
            cr_assert_eq(h.error, 0);
            harness_fini(&h);
        }
    }
}

/* A ClientHello of one-byte records, and application data of one-byte records behind it. */
Test(tls_handover, records_of_one_byte) {
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        struct harness h;
        uint8_t hello[4096];
        harness_init(
            &h, &(struct harness_options){.kind = cases[i].kind, .version = cases[i].version, .suite = cases[i].suite});
        SSL_do_handshake(h.client);
        int n = BIO_read(SSL_get_wbio(h.client), hello, sizeof(hello));
        for (int at = TLS_HEADER_BYTES; at < n; at++) {
            const uint8_t record[6] = {hello[0], hello[1], hello[2], 0, 1, hello[at]};
            harness_inject(&h, record, sizeof(record));
        }
        for (int turn = 0; turn < 2 * n; turn++)
            harness_turn(&h);
        cr_assert(harness_handshake(&h), "%s: %s", cases[i].suite, tls_drop_name((enum tls_drop) - h.error));
        harness_send(&h, 200, 1);
        harness_receive(&h, 200);
        harness_fini(&h);
    }
}

/* Tickets: the second connection resumes, and is taken over as well. */
Test(tls_handover, resumption) {
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        struct harness h;
        struct tls_info info;
        harness_init(
            &h, &(struct harness_options){.kind = cases[i].kind, .version = cases[i].version, .suite = cases[i].suite});
        cr_assert(harness_handshake(&h));
        harness_receive(&h, 10); /* reads the tickets */
        SSL_SESSION *session = SSL_get1_session(h.client);
        cr_assert(SSL_SESSION_is_resumable(session));
        SSL_shutdown(h.client); /* an unfinished close would spoil the session */
        harness_disconnect(&h);
        for (int again = 0; again < 2; again++) {
            harness_connect(&h, session);
            cr_assert(harness_handshake(&h));
            cr_assert(SSL_session_reused(h.client), "%s", cases[i].suite);
            tls_conn_info(&h.core, h.id, &info);
            cr_assert(info.resumed);
            cr_assert(info.taken_over);
            harness_send(&h, 3000, 1000);
            harness_receive(&h, 3000);
            SSL_shutdown(h.client);
            harness_disconnect(&h);
        }
        cr_assert_eq(h.core.stats.handshakes_resumed, 2);
        SSL_SESSION_free(session);
        harness_fini(&h);
    }
}

static void count_client_hellos(int sent, int version, int type, const void *data, size_t n, SSL *ssl, void *count) {
    (void)version;
    (void)ssl;
    if (sent && type == SSL3_RT_HANDSHAKE && n > 0 && *(const uint8_t *)data == 1)
        ++*(int *)count;
}

Test(tls_handover, hello_retry_request) {
    struct harness h;
    int client_hellos = 0;

    harness_init(&h, &(struct harness_options){.version = TLS_V13, .suite = "TLS_AES_128_GCM_SHA256"});
    cr_assert_eq(SSL_CTX_set1_groups_list(h.ctx->ssl, "P-256"), 1);
    SSL_set1_groups_list(h.client, "P-521:P-256"); /* offers a share of the first alone */
    SSL_set_msg_callback(h.client, count_client_hellos);
    SSL_set_msg_callback_arg(h.client, &client_hellos);
    cr_assert(harness_handshake(&h));
    cr_assert_eq(client_hellos, 2);
    harness_send(&h, 1000, 500);
    harness_receive(&h, 1000);
    harness_fini(&h);
}

Test(tls_handover, libssl_updates_its_keys) {
    for (int i = 0; i < 3; i++) {
        struct harness h;
        harness_init(&h, &(struct harness_options){.version = TLS_V13, .suite = cases[i].suite});
        cr_assert(harness_handshake(&h));
        for (int round = 0; round < 5; round++) {
            cr_assert_eq(SSL_key_update(h.client, round % 2 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED),
                         1);
            harness_send(&h, 1000, 100);
            harness_receive(&h, 1000);
        }
        cr_assert_eq(h.core.stats.key_updates_in, 5);
        cr_assert_eq(h.core.stats.key_updates_out, 2);
        harness_fini(&h);
    }
}

/* Our own KeyUpdates, long before 2^24.5 records, are understood by libssl. */
Test(tls_handover, own_key_updates) {
    for (int i = 0; i < 2; i++) {
        struct harness h;
        harness_init(&h, &(struct harness_options){.version = TLS_V13, .suite = cases[i].suite});
        cr_assert(harness_handshake(&h));
        h.core.gcm_record_limit = 8;
        for (int round = 0; round < 40; round++) {
            harness_receive(&h, 10);
            harness_send(&h, 10, 10);
        }
        cr_assert_geq(h.core.stats.key_updates_out, 5);
        cr_assert_geq(h.core.stats.key_updates_in, 3, "the client answered when asked");
        harness_fini(&h);
    }
}

Test(tls_handover, close_notify_both_ways) {
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        struct harness h;
        harness_init(
            &h, &(struct harness_options){.kind = cases[i].kind, .version = cases[i].version, .suite = cases[i].suite});
        cr_assert(harness_handshake(&h));
        cr_assert_eq(tls_close(&h.core, h.id, &h.wire_out), 0);
        harness_turn(&h);
        uint8_t byte;
        cr_assert_leq(SSL_read(h.client, &byte, 1), 0);
        cr_assert_eq(SSL_get_shutdown(h.client), SSL_RECEIVED_SHUTDOWN);
        SSL_shutdown(h.client);
        harness_client_flush(&h);
        harness_turn(&h);
        cr_assert(h.verdicts & TLS_CLOSE);
        harness_fini(&h);
    }
}

/* A client that renegotiates is refused, with the alert that says so. */
Test(tls_handover, renegotiation_of_libssl) {
    struct harness h;

    harness_init(&h, &(struct harness_options){.version = TLS_V12, .suite = "ECDHE-ECDSA-AES128-GCM-SHA256"});
    cr_assert(harness_handshake(&h));
    SSL_renegotiate(h.client);
    SSL_do_handshake(h.client);
    harness_client_flush(&h);
    harness_turn(&h);
    cr_assert_eq(h.error, -TLS_DROP_RENEGOTIATION);
    harness_fini(&h);
}

/* A client that asked for short records (RFC 6066) gets no longer ones: libssl would refuse them. */
Test(tls_handover, max_fragment_length) {
    for (size_t i = 0; i < 4; i++) {
        struct harness h;
        harness_init(
            &h, &(struct harness_options){.kind = cases[i].kind, .version = cases[i].version, .suite = cases[i].suite});
        SSL_set_tlsext_max_fragment_length(h.client, TLSEXT_max_fragment_length_1024);
        cr_assert(harness_handshake(&h));
        cr_assert_eq(tls_conn_get(&h.core, h.id)->record_max, 1024);
        harness_receive(&h, 10000);
        harness_send(&h, 10000, 1024);
        harness_fini(&h);
    }
}

/* A client's Finished of TLS 1.2 with the beginning of another message behind it in the same record: libssl would keep
 * those bytes, and they would vanish with it. */
Test(tls_handover, bytes_behind_finished_in_its_record) {
    const struct tls_suite *s = &tls_suites[tls_suite_find(TLS_V12, 0xc02b) - 1];
    struct tls_dir_keys keys[2];
    uint8_t flight[4096], master[48], client_random[32], server_random[32], message[20], tag[TLS_TAG_BYTES];
    struct harness h;
    int n, last = 0;

    harness_init(&h, &(struct harness_options){.version = TLS_V12, .suite = "ECDHE-ECDSA-AES128-GCM-SHA256"});
    SSL_do_handshake(h.client);
    harness_client_flush(&h);
    for (int i = 0; i < 3; i++)
        harness_turn(&h);
    SSL_do_handshake(h.client);
    n = BIO_read(SSL_get_wbio(h.client), flight, sizeof(flight));
    for (int at = 0; at + 5 <= n; at += 5 + (flight[at + 3] << 8 | flight[at + 4]))
        last = at;
    cr_assert_eq(n - last, 5 + 8 + 16 + 16);
    cr_assert_eq(SSL_SESSION_get_master_key(SSL_get_session(h.client), master, sizeof(master)), sizeof(master));
    SSL_get_client_random(h.client, client_random, sizeof(client_random));
    SSL_get_server_random(h.client, server_random, sizeof(server_random));
    tls_keys_from_master(h.core.kdf, s, master, sizeof(master), client_random, server_random, keys);

    uint32_t way;
    bool hit;
    struct tls_op op = {.mgr = h.core.mgr, .ctx = h.core.work->ctx};
    struct gcm_key_data *key = tls_keycache_get(h.core.cache, 1, &way, &hit);
    s->aead->expand(op.mgr, keys[TLS_READ].key, key);
    op.key = key;
    tls_op_set(&op, s, keys[TLS_READ].iv, 0, TLS_CT_HANDSHAKE, 16, flight + last + 5);
    s->aead->open(&op, message, flight + last + 13, 16, tag);
    cr_assert(tls_tag_equal(tag, flight + n - TLS_TAG_BYTES));
    memcpy(message + 16, "\1\0\0\7", 4);
    tls_op_set(&op, s, keys[TLS_READ].iv, 0, TLS_CT_HANDSHAKE, 20, flight + last + 5);
    s->aead->seal(&op, flight + last + 13, message, 20, flight + last + 13 + 20);
    flight[last + 4] = 8 + 20 + 16;
    harness_inject(&h, flight, (uint32_t)n + 4);
    for (int i = 0; i < 6; i++)
        harness_turn(&h);
    cr_assert_eq(h.error, -TLS_DROP_HS_TRAILING, "%s", tls_drop_name((enum tls_drop) - h.error));
    cr_assert_eq(h.core.places.used, 0);
    cr_assert_eq(h.core.stats.drops[TLS_DROP_HS_TRAILING], 1);
    cr_assert_eq(h.core.stats.handshakes_failed, 1);
    cr_assert_eq(h.core.stats.handshakes_done, 0);
    cr_assert_eq(harness_alerts(&h.core, TLS_WRITE, SSL_AD_UNEXPECTED_MESSAGE), 1);
    ERR_clear_error();
    (void)SSL_do_handshake(h.client);
    cr_assert_leq(SSL_read(h.client, message, 1), 0); /* it is told why, under the keys agreed on */
    cr_assert_eq(ERR_GET_REASON(ERR_peek_last_error()), SSL_AD_REASON_OFFSET + SSL_AD_UNEXPECTED_MESSAGE);
    harness_fini(&h);
}

/* 64 MiB each way with libssl, while both sides change their keys again and again, on their own and on request. */
Test(tls_handover, bulk_across_key_updates) {
    static const char *const suites[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                         "TLS_CHACHA20_POLY1305_SHA256"};
    enum { MIB = 1 << 20, ROUNDS = 64 };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(suites); i++) {
        struct harness h;
        harness_init(&h, &(struct harness_options){.version = TLS_V13, .suite = suites[i]});
        h.core.gcm_record_limit = 500; /* not a matter of ChaCha20, whose keys do not wear out */
        cr_assert(harness_handshake(&h));
        for (uint32_t round = 0; round < ROUNDS; round++) {
            cr_assert_eq(SSL_key_update(h.client, round % 2 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED),
                         1);
            harness_send(&h, MIB, TLS_RECORD_MAX / (1 + round % 3));
            harness_receive(&h, MIB);
        }
        const struct tls_stats *stats = tls_core_stats(&h.core);
        cr_assert_geq(stats->key_updates_in, ROUNDS);
        cr_assert_geq(stats->key_updates_out, ROUNDS / 2);
        cr_assert_eq(stats->bytes_opened, (uint64_t)ROUNDS * MIB);
        cr_assert_eq(stats->bytes_sealed, (uint64_t)ROUNDS * MIB);
        harness_fini(&h);
    }
}
