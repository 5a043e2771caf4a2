/* SPDX-License-Identifier: BSD-3-Clause */
/* SSL objects that wait for tickets: what yields sessions, and everything that ends the waiting. */
#include "client_harness.h"

#define SECOND 1000000u

static uint32_t ssl_objects(struct client *c) {
    client_settle(c);
    return tls_core_stats(&c->core)->ssl_objects;
}

/* A handshake whose tickets lie on the wire yet. */
static void open_without_tickets(struct client *c, const struct client_options *o) {
    client_init(c, o);
    client_connect(c, "weir.test", NULL);
    while (!tls_established(&c->core, c->id)) {
        client_turn(c);
        cr_assert_eq(c->error, 0);
        if (tls_established(&c->core, c->id))
            break;
        SSL_do_handshake(c->server);
        client_server_flush(c);
    }
    cr_assert_eq(ssl_objects(c), 1);
    SSL_do_handshake(c->server);
    cr_assert(SSL_is_init_finished(c->server));
}

static void ticket_more(struct client *c) {
    cr_assert_eq(SSL_new_session_ticket(c->server), 1);
    SSL_do_handshake(c->server);
    client_server_flush(c);
}

static void session_expected(struct client *c, bool expected) {
    tls_session *session = tls_client_session_take(&c->core, c->id);

    cr_assert_eq(session != NULL, expected);
    tls_session_unref(session);
}

Test(tls_linger, tickets_one_after_the_other) {
    struct client c;

    open_without_tickets(&c, &(struct client_options){.version = TLS_V13});
    session_expected(&c, false);
    c.news = 0;
    client_server_flush(&c);
    cr_assert_eq(ssl_objects(&c), 1);
    cr_assert_geq(c.news, 1, "the owner is told");
    session_expected(&c, true);
    session_expected(&c, false);
    ticket_more(&c);
    client_settle(&c);
    session_expected(&c, true);
    cr_assert_eq(c.core.stats.tickets_in, 3);
    server_says(&c, 1);
    cr_assert_eq(ssl_objects(&c), 0);
    cr_assert_eq(c.core.clients.used, 0);
    ticket_more(&c); /* too late: seen, and nobody makes a session of it */
    client_settle(&c);
    cr_assert_eq(c.core.stats.tickets_in, 4);
    session_expected(&c, false);
    server_says(&c, 1000);
    client_says(&c, 1000);
    client_fini(&c);
}

/* Tickets and the first answer in one segment, or in pieces. */
Test(tls_linger, data_right_behind_the_tickets) {
    for (int other_thread = 0; other_thread < 2; other_thread++) {
        for (uint32_t piece_max = 0; piece_max < 100; piece_max += 33) {
            struct client c;
            open_without_tickets(
                &c, &(struct client_options){.version = TLS_V13, .piece_max = piece_max, .other_thread = other_thread});
            server_says(&c, 100);
            cr_assert_eq(ssl_objects(&c), 0);
            session_expected(&c, true);
            cr_assert_eq(c.core.clients.used, 0);
            client_fini(&c);
        }
    }
}

Test(tls_linger, for_a_second) {
    struct client c;

    open_without_tickets(&c, &(struct client_options){.version = TLS_V13});
    cr_assert_eq(c.core.now_us, 0);
    tls_client_sweep(&c.core, SECOND - 1, 8);
    cr_assert_eq(ssl_objects(&c), 1);
    tls_client_sweep(&c.core, SECOND, 0);
    cr_assert_eq(ssl_objects(&c), 1, "no more than asked");
    tls_client_sweep(&c.core, SECOND, 1);
    cr_assert_eq(ssl_objects(&c), 0);
    cr_assert_eq(c.core.clients.used, 0);
    session_expected(&c, false);
    server_says(&c, 1000);
    session_expected(&c, false);
    client_fini(&c);
}

/* The second begins later, so it goes later. */
Test(tls_linger, the_oldest_first) {
    struct client c;

    client_init(&c, &(struct client_options){.version = TLS_V13});
    client_connect(&c, "weir.test", NULL);
    cr_assert(client_handshake(&c));
    rope_clear(&c.in);
    tls_id first = c.id;
    SSL *first_server = c.server;
    tls_client_sweep(&c.core, 600000, 8);
    client_connect(&c, "weir.test", NULL);
    cr_assert(client_handshake(&c));
    rope_clear(&c.in);
    cr_assert_eq(ssl_objects(&c), 2);
    tls_client_sweep(&c.core, SECOND, 8);
    cr_assert_eq(ssl_objects(&c), 1);
    cr_assert_eq(c.core.lingering_first, c.id);
    tls_client_sweep(&c.core, 600000 + SECOND, 8);
    cr_assert_eq(ssl_objects(&c), 0);
    cr_assert_eq(c.core.lingering_first, 0);
    cr_assert_eq(c.core.lingering_last, 0);
    tls_conn_free(&c.core, first);
    SSL_free(first_server);
    client_fini(&c);
}

Test(tls_linger, ended_by_key_update) {
    struct client c;

    open_without_tickets(&c, &(struct client_options){.version = TLS_V13});
    client_server_flush(&c);
    client_settle(&c);
    cr_assert_eq(SSL_key_update(c.server, SSL_KEY_UPDATE_REQUESTED), 1);
    SSL_do_handshake(c.server);
    client_server_flush(&c);
    cr_assert_eq(ssl_objects(&c), 0);
    session_expected(&c, true);
    ticket_more(&c);
    client_settle(&c);
    cr_assert_eq(c.error, 0);
    session_expected(&c, false);
    server_says(&c, 100);
    client_says(&c, 100);
    client_fini(&c);
}

Test(tls_linger, ended_by_close_notify) {
    struct client c;

    open_without_tickets(&c, &(struct client_options){.version = TLS_V13});
    SSL_shutdown(c.server);
    client_server_flush(&c);
    cr_assert_eq(ssl_objects(&c), 0);
    cr_assert(c.verdicts & TLS_CLOSE);
    session_expected(&c, true);
    client_fini(&c);
}

/* One place alone: a handshake is worth more than a session. */
Test(tls_linger, makes_room) {
    struct client c;

    open_without_tickets(&c, &(struct client_options){.version = TLS_V13, .max_handshakes = 1});
    tls_id first = c.id;
    SSL *first_server = c.server;
    client_connect(&c, "weir.test", NULL);
    cr_assert(client_handshake(&c));
    server_says(&c, 10);
    cr_assert_eq(ssl_objects(&c), 0);
    tls_conn_free(&c.core, first);
    SSL_free(first_server);
    client_fini(&c);

    client_init(&c, &(struct client_options){.version = TLS_V13, .max_handshakes = 1});
    tls_id waiting = 0;
    client_connect(&c, "weir.test", NULL);
    client_turn(&c);
    waiting = tls_client_new(&c.core, c.ctx, "weir.test", NULL, 6);
    struct rope none = {0}, out = {0};
    cr_assert_eq(tls_input(&c.core, waiting, &none, &none, &out, 100), TLS_BUSY);
    cr_assert(client_handshake(&c));
    client_settle(&c);
    cr_assert_eq(tls_conn_get(&c.core, c.id)->lingers, 0, "as another waits");
    cr_assert_geq(tls_input(&c.core, waiting, &none, &none, &out, 100), 0);
    client_settle(&c);
    cr_assert_eq(tls_input(&c.core, waiting, &none, &none, &out, 100), TLS_WIRE);
    tls_conn_free(&c.core, waiting);
    rope_clear(&out);
    client_fini(&c);
}

/* Freed with a ticket at the engine, or with its session not taken. */
Test(tls_linger, goes_with_its_connection) {
    for (int other_thread = 0; other_thread < 2; other_thread++) {
        for (int turns = 0; turns < 3; turns++) {
            struct client c;
            uint32_t news[4];
            open_without_tickets(&c, &(struct client_options){.version = TLS_V13, .other_thread = other_thread});
            client_server_flush(&c);
            for (int i = 0; i < turns; i++) {
                if (i > 0)
                    tls_engine_run(c.engine, 1);
                tls_input(&c.core, c.id, &c.in, &c.plain, &c.out, 1 << 20);
            }
            client_disconnect(&c);
            cr_assert_eq(c.core.clients.used, 0);
            for (int i = 0; i < 3; i++) {
                tls_engine_run(c.engine, 8);
                tls_poll(&c.core, 0, news, 4);
            }
            cr_assert_eq(c.core.places.used, 0);
            client_fini(&c);
        }
    }
}

Test(tls_linger, core_goes_first) {
    struct client c;

    open_without_tickets(&c, &(struct client_options){.version = TLS_V13, .other_thread = true});
    client_server_flush(&c);
    tls_input(&c.core, c.id, &c.in, &c.plain, &c.out, 1 << 20);
    c.id = 0; /* client_fini frees no connection, tls_core_fini must */
    client_fini(&c);
}

/* No mbuf for the copy: a session less, and nothing else. */
Test(tls_linger, no_mbuf_for_the_note) {
    struct client c;

    open_without_tickets(&c, &(struct client_options){.version = TLS_V13});
    client_server_flush(&c);
    harness_starve(0);
    tls_input(&c.core, c.id, &c.in, &c.plain, &c.out, 1 << 20);
    harness_unstarve();
    cr_assert_eq(ssl_objects(&c), 0);
    session_expected(&c, false);
    server_says(&c, 1000);
    client_fini(&c);
}

/* Records of 512 bytes: a ticket with the client's certificate in it lies in several. */
Test(tls_linger, ticket_in_several_records) {
    char certificate[64], key[64];

    harness_pool();
    harness_files(KEY_RSA, certificate, key);
    struct tls_client_ctx_config config = {.verify_off = true, .certificate_file = certificate, .key_file = key};
    struct client c;
    client_init(&c, &(struct client_options){.version = TLS_V13, .config = &config});
    SSL_CTX_load_verify_file(c.server_ctx, certificate);
    SSL_CTX_set_verify(c.server_ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_max_send_fragment(c.server_ctx, 512);
    client_connect(&c, "weir.test", NULL);
    cr_assert(client_handshake(&c));
    client_settle(&c);
    cr_assert_eq(c.core.stats.tickets_in, 2);
    cr_assert_gt(c.core.stats.records_opened, 3, "%lu records", c.core.stats.records_opened);
    tls_session *session = tls_client_session_take(&c.core, c.id);
    cr_assert_not_null(session);
    client_disconnect(&c);
    client_connect(&c, "weir.test", session);
    cr_assert(client_handshake(&c));
    cr_assert(SSL_session_reused(c.server));
    server_says(&c, 1000);
    tls_session_unref(session);
    client_fini(&c);
    harness_files_remove(certificate, key);
}

/* libssl refuses what our record layer let pass: the connection goes on without a session. */
Test(tls_linger, tickets_that_libssl_refuses) {
    struct harness h;
    struct rope up = {0}, down = {0}, plain = {0};
    static const uint8_t malformed[] = {4, 0, 0, 3, 1, 2, 3};
    uint32_t news[4];
    char error[256];

    harness_init(&h, &(struct harness_options){.version = TLS_V13});
    struct tls_ctx *ctx = tls_client_ctx_new(&(struct tls_client_ctx_config){.verify_off = true}, error, sizeof(error));
    tls_id client = tls_client_new(&h.core, ctx, NULL, NULL, 1), server = tls_conn_new(&h.core, h.ctx, 2);
    SSL_CTX_set_num_tickets(h.ctx->ssl, 0);
    for (int i = 0; i < 20; i++) {
        cr_assert_geq(tls_input(&h.core, client, &down, &plain, &up, 1000), 0);
        cr_assert_geq(tls_input(&h.core, server, &up, &plain, &down, 1000), 0);
        tls_poll(&h.core, 8, news, 4);
    }
    struct tls_conn *s = tls_conn_get(&h.core, server);
    cr_assert(tls_established(&h.core, server));
    cr_assert_eq(h.core.stats.ssl_objects, 1);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(tls_record_seal_bytes(&h.core, s, server, TLS_CT_HANDSHAKE, malformed, sizeof(malformed), &down),
                     0);
    cr_assert_eq(tls_input(&h.core, client, &down, &plain, &up, 1000), 0);
    for (int i = 0; i < 4; i++)
        tls_poll(&h.core, 8, news, 4);
    cr_assert_eq(h.core.stats.ssl_objects, 0);
    cr_assert_eq(h.core.clients.used, 0);
    cr_assert_eq(harness_alerts(&h.core, TLS_WRITE, -1), 0, "libssl's is not sent");
    rope_append(&plain, harness_pool(), "hello", 5);
    cr_assert_eq(tls_seal(&h.core, server, &plain, &down, 100, 0), 5);
    cr_assert_eq(tls_input(&h.core, client, &down, &plain, &up, 1000), TLS_PLAIN);
    cr_assert_eq(plain.len_bytes, 5);
    rope_clear(&plain);
    tls_conn_free(&h.core, client);
    tls_conn_free(&h.core, server);
    tls_ctx_unref(ctx);
    harness_fini(&h);
}
