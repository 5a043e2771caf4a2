/* SPDX-License-Identifier: BSD-3-Clause */
/* The worker's side of the handshake: nothing large before the first record, places and those who wait for one,
 * connections that vanish, suites that stay with libssl, an engine elsewhere. */
#include "cbc_peer.h"

#define V13_SUITE "TLS_AES_128_GCM_SHA256"

/* A ClientHello, as bytes. */
static uint32_t client_hello(SSL_CTX *ctx, uint8_t *out, uint32_t room) {
    SSL *ssl = SSL_new(ctx);

    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl);
    SSL_do_handshake(ssl);
    int n = BIO_read(SSL_get_wbio(ssl), out, (int)room);
    SSL_free(ssl);
    return (uint32_t)n;
}

Test(tls_handshake, no_ssl_object_before_the_first_record) {
    struct harness h;
    uint8_t hello[2048];

    harness_init(&h, &(struct harness_options){.version = TLS_V13, .suite = V13_SUITE});
    uint32_t n = client_hello(h.client_ctx, hello, sizeof(hello));
    for (uint32_t i = 0; i + 1 < n; i++) {
        harness_inject(&h, hello + i, 1);
        harness_turn(&h);
        cr_assert_eq(h.core.places.used, 0);
    }
    harness_inject(&h, hello + n - 1, 1);
    harness_turn(&h);
    cr_assert_eq(h.core.places.used, 1);
    cr_assert_eq(tls_core_stats(&h.core)->ssl_objects, 1);
    cr_assert(h.verdicts & TLS_BUSY);
    harness_fini(&h);
}

/* The engine's turn, then the worker's. */
static uint32_t turn(struct harness *h, uint32_t *news, uint32_t max) {
    tls_engine_run(h->engine, 8);
    return tls_poll(&h->core, 0, news, max);
}

/* With two places, eight connections are served two at a time in the order they came. */
Test(tls_handshake, places_are_bounded_and_first_come_first_served) {
    struct harness h;
    uint8_t hello[2048];
    tls_id id[8];
    struct rope in[8] = {0}, plain = {0}, out = {0};
    uint32_t news[8], n;

    harness_init(&h, &(struct harness_options){
                         .version = TLS_V13, .suite = V13_SUITE, .max_handshakes = 2, .other_thread = true});
    n = client_hello(h.client_ctx, hello, sizeof(hello));
    for (uint32_t i = 0; i < 8; i++) {
        id[i] = tls_conn_new(&h.core, h.ctx, 100 + i);
        harness_push(&in[i], hello, n, false);
        cr_assert_eq(tls_input(&h.core, id[i], &in[i], &plain, &out, 100), TLS_BUSY);
        cr_assert_leq(h.core.places.used, 2);
    }
    cr_assert_eq(turn(&h, news, 8), 2); /* answers for the first two, which keep their places */
    cr_assert_eq(news[0], 100);
    cr_assert_eq(news[1], 101);
    tls_conn_free(&h.core, id[4]); /* gone while it waits */
    tls_conn_free(&h.core, id[7]);
    static const uint32_t order[] = {102, 103, 105, 106};
    for (uint32_t i = 0; i < 4; i++) {
        tls_conn_free(&h.core, i < 2 ? id[i] : id[order[i - 2] - 100]); /* a place falls free */
        for (uint32_t tries = 0; (n = turn(&h, news, 8)) == 0; tries++)
            cr_assert_lt(tries, 3);
        cr_assert_eq(n, 1);
        cr_assert_eq(news[0], order[i]);
        uint32_t k = order[i] - 100;
        cr_assert_eq(tls_input(&h.core, id[k], &in[k], &plain, &out, 100), TLS_BUSY);
        cr_assert_leq(h.core.places.used, 2);
        while (turn(&h, news, 8) == 0)
            ;
        cr_assert_geq(tls_input(&h.core, id[k], &in[k], &plain, &out, 100), TLS_WIRE);
    }
    cr_assert_eq(h.core.stats.handshakes_waiting, 0);
    for (int i = 0; i < 8; i++)
        rope_clear(&in[i]);
    rope_clear(&out);
    harness_fini(&h);
}

/* Freed while the engine has the message, while its answer is on the way, while it lies at home: the successor with the
 * same id never gets any of it. */
Test(tls_handshake, late_completions_are_dropped) {
    for (int when = 0; when < 3; when++) {
        struct harness h;
        uint32_t news[8];
        struct rope plain = {0}, out = {0};

        harness_init(&h, &(struct harness_options){.version = TLS_V13, .suite = V13_SUITE, .other_thread = true});
        SSL_do_handshake(h.client);
        harness_client_flush(&h);
        cr_assert_eq(tls_input(&h.core, h.id, &h.wire_in, &plain, &out, 100), TLS_BUSY);
        if (when > 0)
            tls_engine_run(h.engine, 8);
        if (when > 1)
            cr_assert_eq(tls_poll(&h.core, 0, news, 8), 1);
        tls_id old = h.id;
        harness_disconnect(&h);
        harness_connect(&h, NULL);
        cr_assert_eq(h.id, old);
        for (int i = 0; i < 4; i++) {
            cr_assert_eq(tls_poll(&h.core, 0, news, 8), 0, "nobody to tell");
            cr_assert_eq(tls_input(&h.core, h.id, &h.wire_in, &plain, &out, 100), 0);
            tls_engine_run(h.engine, 8);
        }
        cr_assert_eq(h.core.places.used, 0);
        cr_assert(harness_handshake(&h));
        harness_send(&h, 100, 50);
        harness_receive(&h, 100);
        harness_fini(&h);
    }
}

Test(tls_handshake, core_goes_with_handshakes_under_way) {
    for (int other_thread = 0; other_thread < 2; other_thread++) {
        struct harness h;
        harness_init(&h,
                     &(struct harness_options){.version = TLS_V13, .suite = V13_SUITE, .other_thread = other_thread});
        SSL_do_handshake(h.client);
        harness_client_flush(&h);
        harness_turn(&h);
        rope_clear(&h.wire_in);
        SSL_free(h.client);
        h.client = NULL; /* harness_fini frees no connection, tls_core_fini must */
        harness_fini(&h);
    }
}

Test(tls_handshake, engine_on_another_core) {
    struct harness h;

    harness_init(&h, &(struct harness_options){
                         .version = TLS_V12, .suite = "ECDHE-ECDSA-AES256-GCM-SHA384", .other_thread = true});
    cr_assert(harness_handshake(&h));
    cr_assert_eq(h.core.stats.taken_over, 1);
    harness_send(&h, 5000, 700);
    harness_receive(&h, 5000);
    harness_fini(&h);
}

/* CBC and CCM are not taken over: same interface, same results, libssl's records. */
static void libssl_carries(uint16_t version, const char *suite, const char *name, bool other_thread,
                           uint32_t piece_max) {
    struct harness h;
    struct tls_info info;

    harness_init(&h, &(struct harness_options){
                         .version = version, .suite = suite, .other_thread = other_thread, .piece_max = piece_max});
    cr_assert(harness_handshake(&h), "%s", suite);
    tls_conn_info(&h.core, h.id, &info);
    cr_assert_not(info.taken_over);
    cr_assert_str_eq(info.suite, name);
    cr_assert_eq(info.version, version);
    cr_assert_eq(h.core.places.used, 1, "the SSL object stays");
    for (int round = 0; round < 3; round++) {
        harness_send(&h, 20000, 3000);
        harness_receive(&h, 20000);
    }
    cr_assert_gt(h.core.stats.libssl_records, 0);
    cr_assert_eq(h.core.stats.records_opened, 0);
    cr_assert_eq(tls_close(&h.core, h.id, &h.wire_out), other_thread ? WEIR_MORE : 0);
    harness_push(&h.out, "x", 1, false);
    cr_assert_eq(tls_seal(&h.core, h.id, &h.out, &h.wire_out, 1, 0), WEIR_ESTATE);
    for (int i = 0; i < 3; i++) {
        harness_turn(&h);
        tls_engine_run(h.engine, other_thread ? 8 : 0);
    }
    cr_assert_eq(tls_close(&h.core, h.id, &h.wire_out), WEIR_ESTATE, "all is out");
    uint8_t byte;
    cr_assert_leq(SSL_read(h.client, &byte, 1), 0);
    cr_assert_eq(SSL_get_shutdown(h.client), SSL_RECEIVED_SHUTDOWN);
    SSL_shutdown(h.client);
    harness_client_flush(&h);
    for (int i = 0; i < 3; i++) {
        harness_turn(&h);
        tls_engine_run(h.engine, other_thread ? 8 : 0);
    }
    cr_assert(h.verdicts & TLS_CLOSE);
    cr_assert_eq(h.error, 0);
    harness_fini(&h);
}

Test(tls_handshake, suites_that_stay_with_libssl) {
    for (int other_thread = 0; other_thread < 2; other_thread++) {
        libssl_carries(TLS_V12, "ECDHE-ECDSA-AES128-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", other_thread,
                       0);
        libssl_carries(TLS_V12, "ECDHE-ECDSA-AES128-SHA", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", other_thread, 500);
        libssl_carries(TLS_V13, "TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_SHA256", other_thread, 500);
    }
}

static struct updates { uint32_t n, asking; } updates;

static void update_note(int write, int version, int type, const void *data, size_t n, SSL *ssl, void *arg) {
    const uint8_t *message = data;

    (void)version, (void)ssl, (void)arg;
    if (write || type != SSL3_RT_HANDSHAKE || n != 5 || message[0] != SSL3_MT_KEY_UPDATE)
        return;
    updates.n++;
    updates.asking += message[4];
}

/* libssl does not count the records under a key: we do, in both directions (RFC 9147 4.5.3: 2^23 with CCM). */
Test(tls_handshake, keys_of_libssl_wear_out) {
    struct harness h;

    updates = (struct updates){0};
    harness_init(&h, &(struct harness_options){.version = TLS_V13, .suite = "TLS_AES_128_CCM_SHA256"});
    cr_assert(harness_handshake(&h));
    cr_assert_eq(h.engine->record_limit, 1u << 23);
    h.engine->record_limit = 10;
    SSL_set_msg_callback(h.client, update_note);
    for (int i = 0; i < 35; i++)
        harness_receive(&h, 100);
    cr_expect_eq(updates.n, 3);
    cr_expect_eq(updates.asking, 0);
    for (int i = 0; i < 35; i++) {
        harness_send(&h, 100, 100);
        for (int turn = 0; turn < 2; turn++)
            harness_turn(&h);
        uint8_t byte;
        cr_assert_eq(SSL_get_error(h.client, SSL_read(h.client, &byte, 1)), SSL_ERROR_WANT_READ);
    }
    cr_expect_eq(updates.asking, 3, "%u", updates.asking);
    harness_receive(&h, 100);
    cr_expect_eq(h.error, 0);
    h.engine->record_limit = 1; /* the last one before the end: it is told all the same */
    harness_receive(&h, 100);
    cr_assert_eq(tls_close(&h.core, h.id, &h.wire_out), 0);
    harness_turn(&h);
    uint8_t byte;
    cr_assert_eq(SSL_get_error(h.client, SSL_read(h.client, &byte, 1)), SSL_ERROR_ZERO_RETURN);
    harness_fini(&h);
}

/* Theirs are SSL objects for as long as the connection lives. Three of four may go that way: others still shake hands.
 */
Test(tls_handshake, suites_that_stay_with_libssl_leave_places) {
    static const char cbc[] = "ECDHE-ECDSA-AES128-SHA256", gcm[] = "ECDHE-ECDSA-AES128-GCM-SHA256";
    struct harness h;
    tls_id first = 0;

    harness_init(&h, &(struct harness_options){.version = TLS_V12, .suite = cbc, .max_handshakes = 4});
    harness_disconnect(&h);
    tls_ctx_unref(h.ctx);
    h.ctx = harness_ctx(KEY_EC, 0, "ECDHE+AES", NULL);
    for (int i = 0; i < 6; i++) {
        harness_connect(&h, NULL);
        bool done = harness_handshake(&h);
        cr_expect_eq(done, i < 3, "%d", i);
        if (done) { /* it stays */
            first = i == 0 ? h.id : first;
            SSL_free(h.client);
            h.client = NULL;
            continue;
        }
        cr_expect_eq(h.error, -TLS_DROP_HS_LIBSSL_FULL, "%d: %d", i, h.error);
        uint8_t byte;
        cr_expect_eq(SSL_get_error(h.client, SSL_read(h.client, &byte, 1)), SSL_ERROR_ZERO_RETURN, "it is told");
        harness_disconnect(&h);
    }
    SSL_CTX_set_cipher_list(h.client_ctx, gcm);
    harness_connect(&h, NULL);
    cr_expect(harness_handshake(&h), "others are served");
    harness_disconnect(&h);
    SSL_CTX_set_cipher_list(h.client_ctx, cbc);
    tls_conn_free(&h.core, first);
    harness_connect(&h, NULL);
    cr_expect(harness_handshake(&h), "and the next, when one has gone");
    harness_fini(&h);
}

Test(tls_handshake, damaged_record_of_libssl) {
    struct harness h;
    uint8_t bytes[256];

    harness_init(&h, &(struct harness_options){.version = TLS_V12, .suite = "ECDHE-ECDSA-AES128-SHA256"});
    cr_assert(harness_handshake(&h));
    SSL_write(h.client, "x", 1);
    int n = BIO_read(SSL_get_wbio(h.client), bytes, sizeof(bytes));
    bytes[n - 1] ^= 1;
    harness_inject(&h, bytes, (uint32_t)n);
    harness_turn(&h);
    cr_assert_eq(h.error, -TLS_DROP_LIBSSL);
    cr_assert_eq(h.in.len_bytes, 0);
    for (int i = 0; i < 3; i++)
        harness_turn(&h);
    cr_assert_eq(h.core.places.used, 0);
    harness_fini(&h);
}

/* CBC's alert is libssl's to read: the reason is the peer's all the same. */
Test(tls_handshake, fatal_alert_on_libssl) {
    static const uint8_t fatal[] = {2, SSL_AD_INTERNAL_ERROR};
    struct harness h;
    struct cbc_peer peer;
    uint8_t record[256];

    harness_init(&h, &(struct harness_options){.version = TLS_V12, .suite = "ECDHE-ECDSA-AES128-SHA"});
    SSL_set_options(h.client, SSL_OP_NO_ENCRYPT_THEN_MAC);
    cr_assert(harness_handshake(&h));
    cbc_peer_init(&peer, &h);
    harness_inject(&h, record, cbc_peer_seal(&peer, TLS_CT_ALERT, fatal, sizeof(fatal), record));
    for (int i = 0; i < 3; i++)
        harness_turn(&h);
    cr_expect_eq(h.error, -TLS_DROP_PEER_ALERT, "%s", tls_drop_name((enum tls_drop) - h.error));
    cr_expect_eq(tls_conn_alerted(&h.core, h.id), TLS_ALERTED_INTERNAL_ERROR);
    cr_expect_eq(h.core.stats.drops[TLS_DROP_PEER_ALERT], 1);
    cr_expect_eq(h.core.stats.drops[TLS_DROP_LIBSSL], 0);
    cr_expect_eq(harness_alerts(&h.core, TLS_READ, SSL_AD_INTERNAL_ERROR), 1);
    cr_expect_eq(h.core.places.used, 0);
    harness_fini(&h);
}

/* --- handshakes that fail --- */

static void fails(struct harness *h, enum tls_drop drop) {
    cr_assert_not(harness_handshake(h));
    cr_assert_eq(h->error, -(int)drop, "%s", tls_drop_name((enum tls_drop) - h->error));
    for (int i = 0; i < 3; i++)
        harness_turn(h);
    cr_assert_eq(h->core.places.used, 0);
    cr_assert_eq(h->core.stats.handshakes_failed, 1);
    harness_fini(h);
}

Test(tls_handshake, nothing_in_common) {
    struct harness h;

    harness_init(&h, &(struct harness_options){.version = TLS_V13, .suite = V13_SUITE});
    SSL_set_ciphersuites(h.client, "TLS_AES_256_GCM_SHA384");
    fails(&h, TLS_DROP_HS_NO_SHARED_CIPHER);
    harness_init(&h, &(struct harness_options){.version = TLS_V12, .suite = "ECDHE-ECDSA-AES128-GCM-SHA256"});
    SSL_set_cipher_list(h.client, "ECDHE-RSA-AES128-GCM-SHA256");
    fails(&h, TLS_DROP_HS_NO_SHARED_CIPHER);
    harness_init(&h, &(struct harness_options){.version = TLS_V13, .suite = V13_SUITE});
    SSL_set_min_proto_version(h.client, TLS1_1_VERSION);
    SSL_set_max_proto_version(h.client, TLS1_1_VERSION);
    SSL_set_cipher_list(h.client, "ALL:@SECLEVEL=0");
    fails(&h, TLS_DROP_HS_VERSION);
}

Test(tls_handshake, client_that_distrusts_us) {
    struct harness h;

    harness_init(&h, &(struct harness_options){.version = TLS_V13, .suite = V13_SUITE});
    SSL_set_verify(h.client, SSL_VERIFY_PEER, NULL);
    fails(&h, TLS_DROP_HS_PEER_ALERT);
}

Test(tls_handshake, garbage_instead_of_client_hello) {
    uint64_t seed = 11;

    for (int i = 0; i < 20; i++) {
        struct harness h;
        uint8_t record[105] = {22, 3, 1, 0, 100};
        harness_init(&h, &(struct harness_options){.version = TLS_V13, .suite = V13_SUITE});
        for (size_t j = 5; j < sizeof(record); j++)
            record[j] = (uint8_t)harness_random(&seed, 256);
        record[6] = 0; /* or libssl waits for megabytes */
        record[7] = 0;
        record[8] = 96;
        harness_inject(&h, record, sizeof(record));
        for (int turn = 0; turn < 4; turn++)
            harness_turn(&h);
        cr_assert_lt(h.error, 0);
        cr_assert_eq(h.core.places.used, 0);
        rope_clear(&h.wire_in);
        harness_fini(&h);
    }
}

/* Every prefix of a handshake, then silence or a reset: memory goes back to where it was. */
Test(tls_handshake, stops_half_way) {
    for (int turns = 0; turns < 4; turns++) {
        struct harness h;
        harness_init(&h, &(struct harness_options){.version = TLS_V12, .suite = "ECDHE-ECDSA-AES128-GCM-SHA256"});
        for (int i = 0; i < turns; i++) {
            SSL_do_handshake(h.client);
            harness_client_flush(&h);
            harness_turn(&h);
        }
        harness_disconnect(&h);
        uint32_t news[4];
        for (int i = 0; i < 3; i++)
            tls_poll(&h.core, 8, news, 4);
        cr_assert_eq(h.core.places.used, 0);
        cr_assert_eq(h.core.conns.used, 0);
        harness_fini(&h);
    }
}

Test(tls_handshake, no_mbuf_for_the_answer) {
    struct harness h;

    harness_init(&h, &(struct harness_options){.version = TLS_V13, .suite = V13_SUITE});
    SSL_do_handshake(h.client);
    harness_client_flush(&h);
    harness_turn(&h);
    harness_starve(0);
    for (int i = 0; i < 3; i++)
        harness_turn(&h);
    harness_unstarve();
    cr_assert(h.error == -TLS_DROP_NO_MEMORY || h.error == 0);
    harness_fini(&h);
}

Test(tls_handshake, established_only_when_complete) {
    struct harness h;
    struct rope wire = {0};

    harness_init(&h, &(struct harness_options){.version = TLS_V13, .suite = V13_SUITE});
    harness_push(&h.out, "x", 1, false);
    cr_assert_not(tls_established(&h.core, h.id));
    cr_assert_eq(tls_seal(&h.core, h.id, &h.out, &wire, 1, 0), WEIR_ESTATE);
    cr_assert_eq(tls_close(&h.core, h.id, &wire), WEIR_ESTATE);
    rope_clear(&h.out);
    cr_assert(harness_handshake(&h));
    cr_assert(h.verdicts & TLS_DONE);
    harness_fini(&h);
}

/* What libssl elsewhere has of a stream belongs to it, until it has come back. */
Test(tls_handshake, pending_with_libssl_elsewhere) {
    struct harness h;
    uint32_t news[4];
    struct rope wire = {0};

    harness_init(
        &h, &(struct harness_options){.version = TLS_V12, .suite = "ECDHE-ECDSA-AES128-SHA", .other_thread = true});
    cr_assert(harness_handshake(&h));
    harness_turn(&h);
    cr_assert_not(tls_pending(&h.core, h.id));
    cr_assert_eq(SSL_write(h.client, "the last words", 14), 14);
    harness_client_flush(&h);
    cr_assert_eq(tls_input(&h.core, h.id, &h.wire_in, &h.in, &wire, 4096), TLS_BUSY);
    cr_assert(tls_pending(&h.core, h.id), "with the engine");
    cr_assert_eq(tls_engine_run(h.engine, 8), 1);
    cr_assert_eq(tls_poll(&h.core, 0, news, 4), 1);
    cr_assert(tls_pending(&h.core, h.id), "back, and not taken");
    cr_assert(tls_input(&h.core, h.id, &h.wire_in, &h.in, &wire, 4096) & TLS_PLAIN);
    cr_assert_not(tls_pending(&h.core, h.id));
    cr_assert_eq(h.in.len_bytes, 14);
    harness_push(&h.out, "x", 1, false);
    cr_assert_eq(tls_seal(&h.core, h.id, &h.out, &wire, 1, 0), 1);
    cr_assert(tls_pending(&h.core, h.id), "sealing");
    harness_fini(&h);
}
