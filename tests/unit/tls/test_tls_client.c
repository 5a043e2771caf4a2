/* SPDX-License-Identifier: BSD-3-Clause */
/* The client role against bare libssl servers: every suite and version, in full and resumed, is taken over; servers
 * that are not who they should be are refused with the reason. Against our own: test_tls_both.c. */
#include "client_harness.h"
#include "tls/tls_vault.h"

#include <openssl/err.h>

static bool ours; /* libcrypto's memory */

__attribute__((constructor)) static void guard(void) {
    ours = tls_libssl_guard();
}

/* In full, then twice resumed, with traffic both ways. The first word is the client's or the server's. */
static void exchange(const struct client_options *common, uint32_t bytes, bool server_first) {
    for (size_t i = 0; i < WEIR_ARRAY_LEN(client_cases); i++) {
        struct client_options o = *common;
        struct client c;
        struct tls_info info;
        tls_session *session = NULL;
        o.kind = client_cases[i].kind;
        o.version = client_cases[i].version;
        o.suite = client_cases[i].suite;
        o.client_suites = o.version == TLS_V12 ? o.suite : NULL;
        client_init(&c, &o);
        SSL_CTX_set_dh_auto(c.server_ctx, 1);
        for (int round = 0; round < 3; round++) {
            client_connect(&c, "weir.test", session);
            cr_assert(client_handshake(&c), "%s round %d: %s", o.suite, round,
                      tls_drop_name((enum tls_drop) - c.error));
            cr_assert(c.verdicts & TLS_DONE);
            if (server_first)
                server_says(&c, bytes);
            client_says(&c, bytes);
            server_says(&c, bytes);
            client_says(&c, 1);
            tls_conn_info(&c.core, c.id, &info);
            cr_assert_str_eq(info.suite, client_cases[i].name);
            cr_assert_eq(info.version, client_cases[i].version);
            cr_assert(info.taken_over);
            cr_assert_eq(info.resumed, round > 0, "%s round %d", o.suite, round);
            client_settle(&c);
            cr_assert_eq(tls_core_stats(&c.core)->ssl_objects, 0, "the SSL object is gone");
            tls_session *made = tls_client_session_take(&c.core, c.id);
            cr_assert(made != NULL || (round > 0 && o.version == TLS_V12), "%s round %d", o.suite, round);
            if (made) {
                cr_assert(ours && tls_vault_holds(made), "whoever has its secret can be us");
                tls_session_unref(session);
                session = made;
            }
            cr_assert_null(tls_client_session_take(&c.core, c.id), "taken once");
            cr_assert_eq(c.core.clients.used, 0, "a client whose session is taken keeps nothing");
            client_disconnect(&c);
        }
        cr_assert_eq(c.core.stats.taken_over, 3);
        cr_assert_eq(c.core.stats.handshakes_done, 3);
        cr_assert_eq(c.core.stats.handshakes_resumed, 2);
        cr_assert_eq(c.core.stats.handshakes_tls12, client_cases[i].version == TLS_V12 ? 3 : 0);
        cr_assert_eq(c.core.stats.libssl_records, 0);
        tls_session_unref(session);
        client_fini(&c);
    }
}

Test(tls_client, every_suite_in_full_and_resumed) {
    exchange(&(struct client_options){0}, 40000, false);
}

Test(tls_client, the_server_speaks_first) {
    exchange(&(struct client_options){0}, 2000, true);
}

Test(tls_client, in_random_segments) {
    exchange(&(struct client_options){.piece_max = 700}, 10000, false);
}

Test(tls_client, in_shared_segments) {
    exchange(&(struct client_options){.piece_max = 900, .share = true}, 5000, true);
}

Test(tls_client, in_single_bytes) {
    exchange(&(struct client_options){.piece_max = 1}, 300, false);
}

Test(tls_client, with_the_engine_elsewhere) {
    exchange(&(struct client_options){.other_thread = true}, 2000, true);
}

/* --- whom to trust --- */

static void judged(const struct client_options *o, const char *name, enum tls_drop drop) {
    for (uint16_t version = TLS_V12; version <= TLS_V13; version++) {
        struct client c;
        struct client_options options = *o;
        options.version = version;
        client_init(&c, &options);
        client_connect(&c, name, NULL);
        cr_assert_eq(client_handshake(&c), drop == TLS_DROP_NONE, "%s: %s", name,
                     tls_drop_name((enum tls_drop) - c.error));
        cr_assert_eq(c.error, -(int)drop, "%s: %s", name, tls_drop_name((enum tls_drop) - c.error));
        if (drop == TLS_DROP_NONE) {
            server_says(&c, 10);
            const char *sent = SSL_get_servername(c.server, TLSEXT_NAMETYPE_host_name);
            bool address = name && strspn(name, "0123456789abcdef.:") == strlen(name);
            if (name && !address)
                cr_assert_str_eq(sent, name);
            else
                cr_assert_null(sent);
        } else {
            SSL_do_handshake(c.server);
            cr_assert_gt(ERR_GET_REASON(ERR_peek_last_error()), SSL_AD_REASON_OFFSET, "the server got an alert");
            ERR_clear_error();
            cr_assert_eq(c.core.stats.handshakes_failed, 1);
            cr_assert_eq(c.core.stats.drops[drop], 1);
        }
        client_settle(&c);
        cr_assert_eq(c.core.stats.ssl_objects, 0);
        client_fini(&c);
    }
}

#define EVERYBODY "DNS:weir.test,DNS:*.weir.test,IP:198.18.0.7,IP:2001:db8::7"

Test(tls_client, names) {
    const struct harness_certificate certificate = {.alt_names = EVERYBODY};
    const struct client_options o = {.certificate = &certificate};

    judged(&o, "weir.test", TLS_DROP_NONE);
    judged(&o, "a.weir.test", TLS_DROP_NONE);
    judged(&o, "198.18.0.7", TLS_DROP_NONE);
    judged(&o, "2001:db8::7", TLS_DROP_NONE);
    judged(&o, "weir.example", TLS_DROP_HS_CERT_NAME);
    judged(&o, "a.b.weir.test", TLS_DROP_HS_CERT_NAME);
    judged(&o, "198.18.0.8", TLS_DROP_HS_CERT_NAME);
    judged(&o, "2001:db8::8", TLS_DROP_HS_CERT_NAME);
    const struct harness_certificate partial = {.alt_names = "DNS:b*.weir.test"};
    judged(&(struct client_options){.certificate = &partial}, "broker.weir.test", TLS_DROP_HS_CERT_NAME);
}

Test(tls_client, dates) {
    judged(
        &(struct client_options){
            .certificate = &(struct harness_certificate){.alt_names = EVERYBODY, .begins_s = -9000, .expires_s = -60}},
        "weir.test", TLS_DROP_HS_CERT_EXPIRED);
    judged(
        &(struct client_options){
            .certificate = &(struct harness_certificate){.alt_names = EVERYBODY, .begins_s = 600, .expires_s = 9000}},
        "weir.test", TLS_DROP_HS_CERT_EXPIRED);
}

Test(tls_client, chains) {
    char ca[64], ca_key[64], other[64], other_key[64];

    harness_pool();
    harness_files(KEY_EC, ca, ca_key);
    harness_files(KEY_EC, other, other_key);
    const struct harness_certificate leaf = {.alt_names = EVERYBODY, .issuer_certificate = ca, .issuer_key = ca_key};
    judged(&(struct client_options){.certificate = &leaf, .config = &(struct tls_client_ctx_config){.ca_file = ca}},
           "weir.test", TLS_DROP_NONE);
    judged(&(struct client_options){.certificate = &leaf, .config = &(struct tls_client_ctx_config){.ca_file = other}},
           "weir.test", TLS_DROP_HS_CERT_UNTRUSTED);
    judged(&(struct client_options){.config = &(struct tls_client_ctx_config){.ca_file = other}}, "weir.test",
           TLS_DROP_HS_CERT_UNTRUSTED);
    judged(&(struct client_options){.config = &(struct tls_client_ctx_config){0}}, "weir.test",
           TLS_DROP_HS_CERT_UNTRUSTED); /* the system's list */
    judged(&(struct client_options){.config = &(struct tls_client_ctx_config){.verify_off = true}}, "weir.example",
           TLS_DROP_NONE);
    judged(&(struct client_options){.config = &(struct tls_client_ctx_config){.verify_off = true}}, NULL,
           TLS_DROP_NONE);
    harness_files_remove(ca, ca_key);
    harness_files_remove(other, other_key);
}

Test(tls_client, refused_at_once) {
    struct client c;
    char name[TLS_NAME_MAX + 2];

    client_init(&c, &(struct client_options){0});
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = 0;
    cr_assert_eq(tls_client_new(&c.core, c.ctx, name, NULL, 0), 0, "too long");
    cr_assert_eq(tls_client_new(&c.core, c.ctx, NULL, NULL, 0), 0, "nothing to verify");
    cr_assert_eq(tls_client_new(&c.core, c.ctx, "", NULL, 0), 0, "nothing to verify");
    cr_assert_eq(tls_client_new(&c.core, c.ctx, ".weir.test", NULL, 0), 0, "libssl would take any name below it");
    cr_assert_eq(tls_conn_new(&c.core, c.ctx, 0), 0, "a client's context");
    struct tls_ctx *listener = harness_ctx(KEY_EC, 0, NULL, NULL);
    cr_assert_eq(tls_client_new(&c.core, listener, "weir.test", NULL, 0), 0, "a listener's context");
    tls_ctx_unref(listener);
    cr_assert_eq(c.core.conns.used, 0);
    for (uint32_t i = 0; i < 64; i++)
        cr_assert_neq(tls_client_new(&c.core, c.ctx, name + 1, NULL, 0), 0);
    cr_assert_eq(tls_client_new(&c.core, c.ctx, name + 1, NULL, 0), 0, "full");
    client_fini(&c);
}

/* --- a certificate of the client's own --- */

Test(tls_client, own_certificate) {
    char certificate[64], key[64];

    harness_pool();
    harness_files(KEY_EC, certificate, key);
    for (uint16_t version = TLS_V12; version <= TLS_V13; version++) {
        for (int has = 0; has < 2; has++) {
            struct tls_client_ctx_config config = {
                .verify_off = true, .certificate_file = has ? certificate : NULL, .key_file = has ? key : NULL};
            struct client c;
            client_init(&c, &(struct client_options){.version = version, .config = &config});
            SSL_CTX_load_verify_file(c.server_ctx, certificate);
            SSL_CTX_set_verify(c.server_ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
            client_connect(&c, "weir.test", NULL);
            bool complete = client_handshake(&c);
            if (has) {
                cr_assert(complete);
                client_says(&c, 100);
                server_says(&c, 100);
                cr_assert_not_null(SSL_get0_peer_certificate(c.server));
            } else {
                cr_assert_not(complete);
                for (int i = 0; i < 4; i++) { /* in 1.3 its alert comes when the handshake is complete here */
                    client_server_flush(&c);
                    client_turn(&c);
                }
                cr_assert_eq(c.error, version == TLS_V13 ? -TLS_DROP_PEER_ALERT : -TLS_DROP_HS_PEER_ALERT, "%s",
                             tls_drop_name((enum tls_drop) - c.error));
                int said = version == TLS_V13 ? SSL_AD_CERTIFICATE_REQUIRED : SSL_AD_HANDSHAKE_FAILURE;
                cr_assert_eq(harness_alerts(&c.core, TLS_READ, said), 1);
                cr_assert_eq(tls_conn_alerted(&c.core, c.id), tls_alerted_of((uint8_t)said));
            }
            client_settle(&c);
            client_fini(&c);
        }
    }
    harness_files_remove(certificate, key);
}

/* --- sessions --- */

static tls_session *session_of(struct client *c, const char *name) {
    client_connect(c, name, NULL);
    cr_assert(client_handshake(c));
    server_says(c, 10);
    client_settle(c);
    tls_session *session = tls_client_session_take(&c->core, c->id);
    cr_assert_not_null(session);
    client_disconnect(c);
    return session;
}

static bool resumes(struct client *c, const char *name, tls_session *session) {
    struct tls_info info;

    client_connect(c, name, session);
    cr_assert(client_handshake(c), "%s", tls_drop_name((enum tls_drop) - c->error));
    tls_conn_info(&c->core, c->id, &info);
    cr_assert_eq(SSL_session_reused(c->server), info.resumed);
    server_says(c, 10);
    client_disconnect(c);
    return info.resumed;
}

/* A resumed session is not verified: it must not be offered where it was not verified for. */
Test(tls_client, sessions_stay_with_name_and_context) {
    const struct harness_certificate certificate = {.alt_names = EVERYBODY};

    for (uint16_t version = TLS_V12; version <= TLS_V13; version++) {
        struct client c;
        char error[256];
        client_init(&c, &(struct client_options){.version = version, .certificate = &certificate});
        tls_session *session = session_of(&c, "weir.test"), *of_address = session_of(&c, "198.18.0.7");
        cr_assert(resumes(&c, "weir.test", session));
        cr_assert(resumes(&c, "198.18.0.7", of_address));
        cr_assert(resumes(&c, "weir.test", session), "more than once, %x", version);
        cr_assert_not(resumes(&c, "a.weir.test", session));
        cr_assert_not(resumes(&c, "2001:db8::7", of_address));
        cr_assert_not(resumes(&c, "198.18.0.7", session));
        struct tls_ctx *old = c.ctx;
        c.ctx = tls_client_ctx_new(&(struct tls_client_ctx_config){.ca_file = c.certificate}, error, sizeof(error));
        cr_assert_not(resumes(&c, "weir.test", session), "another context");
        tls_ctx_unref(old);
        tls_session_unref(tls_session_ref(session));
        tls_session_unref(session);
        tls_session_unref(of_address);
        client_fini(&c);
    }
}

/* The server knows the session no more: in full, then. */
Test(tls_client, session_that_the_server_forgot) {
    for (uint16_t version = TLS_V12; version <= TLS_V13; version++) {
        struct client c;
        client_init(&c, &(struct client_options){.version = version});
        tls_session *session = session_of(&c, "weir.test");
        uint8_t keys[80] = {1};
        cr_assert_eq(SSL_CTX_set_tlsext_ticket_keys(c.server_ctx, keys, sizeof(keys)), 1);
        SSL_CTX_flush_sessions(c.server_ctx, INT64_MAX);
        cr_assert_not(resumes(&c, "weir.test", session));
        tls_session_unref(session);
        client_fini(&c);
    }
}

/* --- the course of a handshake --- */

Test(tls_client, begins_without_bytes) {
    struct client c;
    uint32_t news[4];

    client_init(&c, &(struct client_options){0});
    client_connect(&c, "weir.test", NULL);
    cr_assert_eq(tls_input(&c.core, c.id, &c.in, &c.plain, &c.out, 100), TLS_BUSY);
    cr_assert_eq(tls_input(&c.core, c.id, &c.in, &c.plain, &c.out, 100), TLS_BUSY);
    cr_assert_eq(tls_poll(&c.core, 8, news, 4), 1);
    cr_assert_eq(news[0], 5);
    cr_assert_eq(tls_input(&c.core, c.id, &c.in, &c.plain, &c.out, 100), TLS_WIRE);
    cr_assert_gt(c.out.len_bytes, 100);
    cr_assert_eq(tls_input(&c.core, c.id, &c.in, &c.plain, &c.out, 100), 0, "waits for the server");
    cr_assert_not(tls_established(&c.core, c.id));
    client_fini(&c);
}

Test(tls_client, hello_retry_request) {
    struct client c;

    client_init(&c, &(struct client_options){.version = TLS_V13});
    cr_assert_eq(SSL_CTX_set1_groups_list(c.server_ctx, "P-384"), 1); /* not the first of a client's groups */
    client_connect(&c, "weir.test", NULL);
    cr_assert(client_handshake(&c));
    client_says(&c, 1000);
    server_says(&c, 1000);
    client_fini(&c);
}

/* A server may write behind its Finished, before the client's (RFC 8446 section 2): all in one segment. */
Test(tls_client, data_before_the_clients_finished) {
    for (uint32_t piece_max = 0; piece_max < 60; piece_max += 29) {
        struct client c;
        size_t n = 0;
        uint8_t byte;
        client_init(&c, &(struct client_options){.version = TLS_V13, .piece_max = piece_max});
        SSL_CTX_set_max_early_data(c.server_ctx, 100);
        client_connect(&c, "weir.test", NULL);
        client_turn(&c);
        client_turn(&c);
        cr_assert_eq(SSL_read_early_data(c.server, &byte, 1, &n), SSL_READ_EARLY_DATA_FINISH);
        cr_assert_eq(SSL_write_early_data(c.server, "early", 5, &n), 1);
        client_server_flush(&c);
        client_settle(&c);
        cr_assert(tls_established(&c.core, c.id));
        cr_assert_eq(c.plain.len_bytes, 5);
        rope_clear(&c.plain);
        cr_assert(client_handshake(&c));
        client_says(&c, 1000);
        server_says(&c, 1000);
        client_fini(&c);
    }
}

Test(tls_client, key_updates) {
    for (int i = 0; i < 3; i++) {
        struct client c;
        client_init(&c, &(struct client_options){
                            .version = TLS_V13, .kind = client_cases[i].kind, .suite = client_cases[i].suite});
        client_connect(&c, "weir.test", NULL);
        cr_assert(client_handshake(&c));
        for (int round = 0; round < 5; round++) {
            cr_assert_eq(SSL_key_update(c.server, round % 2 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED),
                         1);
            server_says(&c, 1000);
            client_says(&c, 1000);
        }
        c.core.gcm_record_limit = 4;
        for (int round = 0; round < 20; round++) {
            client_says(&c, 10);
            server_says(&c, 10);
        }
        cr_assert_geq(c.core.stats.key_updates_in, 5);
        cr_assert_geq(c.core.stats.key_updates_out, i == 2 ? 2 : 5);
        client_fini(&c);
    }
}

Test(tls_client, close_notify_both_ways) {
    for (size_t i = 0; i < 6; i++) {
        struct client c;
        uint8_t byte;
        client_init(&c, &(struct client_options){.kind = client_cases[i].kind,
                                                 .version = client_cases[i].version,
                                                 .suite = client_cases[i].suite});
        client_connect(&c, "weir.test", NULL);
        cr_assert(client_handshake(&c));
        cr_assert_eq(tls_close(&c.core, c.id, &c.out), 0);
        client_turn(&c);
        cr_assert_leq(SSL_read(c.server, &byte, 1), 0);
        cr_assert_eq(SSL_get_shutdown(c.server), SSL_RECEIVED_SHUTDOWN);
        SSL_shutdown(c.server);
        client_server_flush(&c);
        client_settle(&c);
        cr_assert(c.verdicts & TLS_CLOSE);
        cr_assert_eq(c.error, 0);
        cr_assert_eq(c.core.stats.ssl_objects, 0);
        client_fini(&c);
    }
}

/* Suites that IPsec-MB does not carry stay with libssl, and yield their sessions too. */
Test(tls_client, suites_that_stay_with_libssl) {
    static const struct {
        uint16_t version;
        const char *suite;
    } others[] = {{TLS_V12, "ECDHE-ECDSA-AES128-SHA256"}, {TLS_V13, "TLS_AES_128_CCM_SHA256"}};

    for (size_t i = 0; i < WEIR_ARRAY_LEN(others); i++) {
        struct client c;
        struct tls_info info;
        client_init(&c, &(struct client_options){.version = others[i].version,
                                                 .suite = others[i].suite,
                                                 .client_suites = i == 0 ? others[i].suite : NULL,
                                                 .client_suites13 = i == 1 ? others[i].suite : NULL});
        tls_session *session = session_of(&c, "weir.test");
        client_connect(&c, "weir.test", session);
        cr_assert(client_handshake(&c));
        tls_conn_info(&c.core, c.id, &info);
        cr_assert_not(info.taken_over);
        cr_assert(info.resumed);
        client_says(&c, 20000);
        server_says(&c, 10000);
        tls_session_unref(session);
        client_fini(&c);
    }
}

/* Theirs are SSL objects for as long as the connection lives. Three of four may go that way, any more are refused:
 * others still shake hands. */
Test(tls_client, suites_that_stay_with_libssl_leave_places) {
    static const char cbc[] = "ECDHE-ECDSA-AES128-SHA256", gcm[] = "ECDHE-ECDSA-AES128-GCM-SHA256";
    struct client c;
    tls_id stay[4];

    client_init(&c, &(struct client_options){.version = TLS_V12,
                                             .suite = cbc,
                                             .client_suites = "ECDHE+AES",
                                             .max_handshakes = WEIR_ARRAY_LEN(stay)});
    for (unsigned i = 0; i < WEIR_ARRAY_LEN(stay); i++) {
        client_connect(&c, "weir.test", NULL);
        cr_assert_eq(client_handshake(&c), i < 3, "%u", i);
        stay[i] = c.id;
        c.id = i < 3 ? 0 : c.id; /* else it is let go with its server */
        cr_assert_eq(c.error, i < 3 ? 0 : -TLS_DROP_HS_LIBSSL_FULL, "%u: %d", i, c.error);
        client_disconnect(&c);
    }
    SSL_CTX_set_cipher_list(c.server_ctx, gcm);
    client_connect(&c, "weir.test", NULL);
    cr_expect(client_handshake(&c), "others shake hands");
    client_disconnect(&c);
    SSL_CTX_set_cipher_list(c.server_ctx, cbc);
    tls_conn_free(&c.core, stay[0]);
    client_connect(&c, "weir.test", NULL);
    cr_expect(client_handshake(&c), "and the next, when one has gone");
    tls_conn_free(&c.core, stay[1]);
    tls_conn_free(&c.core, stay[2]);
    client_disconnect(&c);
    client_fini(&c);
}

/* --- servers that fail --- */

/* told: the alert that it gets; -1: none. */
static void server_answers(const void *bytes, uint32_t n, enum tls_drop drop, int told) {
    struct client c;

    client_init(&c, &(struct client_options){0});
    client_connect(&c, "weir.test", NULL);
    client_turn(&c);
    client_turn(&c);
    harness_push(&c.in, bytes, n, false);
    client_settle(&c);
    cr_assert_eq(c.error, -(int)drop, "%s", tls_drop_name((enum tls_drop) - c.error));
    cr_assert_eq(harness_alerts(&c.core, TLS_READ, SSL_AD_HANDSHAKE_FAILURE), drop == TLS_DROP_HS_PEER_ALERT);
    cr_assert_eq(harness_alerts(&c.core, TLS_WRITE, told), told >= 0, "%d", told);
    cr_assert_eq(harness_alerts(&c.core, TLS_WRITE, -1), told >= 0);
    cr_assert_eq(c.core.stats.ssl_objects, 0);
    cr_assert_eq(c.core.clients.used, 0);
    client_fini(&c);
}

Test(tls_client, servers_that_fail) {
    static const uint8_t alert[] = {21, 3, 3, 0, 2, 2, 40}, http[] = "HTTP/1.1 400 Bad Request\r\n",
                         garbage[] = {22, 3, 3, 0, 8, 2, 0, 0, 4, 1, 2, 3, 4}, data[] = {23, 3, 3, 0, 1, 0};

    server_answers(alert, sizeof(alert), TLS_DROP_HS_PEER_ALERT, -1);
    server_answers(http, sizeof(http), TLS_DROP_BAD_TYPE, -1); /* it would not be understood */
    server_answers(garbage, sizeof(garbage), TLS_DROP_HS_FAILED, SSL_AD_DECODE_ERROR);
    server_answers(data, sizeof(data), TLS_DROP_HS_FAILED, SSL_AD_UNEXPECTED_MESSAGE);
}

Test(tls_client, nothing_in_common) {
    struct client c;
    struct tls_client_ctx_config config = {.verify_off = true, .min_version = TLS_V13};

    client_init(&c, &(struct client_options){.version = TLS_V12, .config = &config});
    client_connect(&c, "weir.test", NULL);
    cr_assert_not(client_handshake(&c));
    client_settle(&c);
    cr_assert_eq(c.error, -TLS_DROP_HS_PEER_ALERT, "%s", tls_drop_name((enum tls_drop) - c.error));
    client_fini(&c);
}

/* Every prefix of a handshake, then the end of the connection: memory goes back to where it was. */
Test(tls_client, stops_half_way) {
    for (int other_thread = 0; other_thread < 2; other_thread++) {
        for (int turns = 0; turns < 8; turns++) {
            struct client c;
            uint32_t news[4];
            client_init(
                &c, &(struct client_options){.version = turns % 2 ? TLS_V13 : TLS_V12, .other_thread = other_thread});
            tls_session *session = session_of(&c, "weir.test");
            client_connect(&c, "weir.test", session);
            for (int i = 0; i < turns / 2; i++) {
                client_turn(&c);
                SSL_do_handshake(c.server);
                client_server_flush(&c);
            }
            tls_input(&c.core, c.id, &c.in, &c.plain, &c.out, 4096);
            client_disconnect(&c);
            for (int i = 0; i < 3; i++) {
                tls_engine_run(c.engine, other_thread ? 8 : 0);
                tls_poll(&c.core, 8, news, 4);
            }
            cr_assert_eq(c.core.places.used, 0);
            cr_assert_eq(c.core.clients.used, 0);
            cr_assert_eq(c.core.conns.used, 0);
            tls_session_unref(session);
            client_fini(&c);
        }
    }
}
