/* SPDX-License-Identifier: BSD-3-Clause */
/* Both roles on one core: a client of ours at a server of ours. */
#include "client_harness.h"

/* A server and a client of ours, and the wire between them. */
struct both {
    struct tls_core core;
    struct tls_engine *engine;
    struct tls_ctx *listener, *ctx;
    tls_id server, client;
    struct rope up, down, at_server, at_client; /* wire, and what is opened at its ends */
};

static void both_init(struct both *b, const struct client_case *s, uint32_t max_handshakes) {
    bool v13 = s->version == TLS_V13;
    const char *ciphers = v13 ? NULL : s->suite, *ciphersuites = v13 ? s->suite : NULL;
    struct tls_config config = {.max_conns = 16, .max_handshakes = max_handshakes, .pool = harness_pool()};
    struct tls_client_ctx_config client = {.verify_off = true, .ciphers = ciphers, .ciphersuites = ciphersuites};
    char error[256];

    *b = (struct both){.engine = tls_engine_new(0)};
    cr_assert_eq(tls_core_init(&b->core, &config), 0);
    cr_assert_eq(tls_core_attach(&b->core, b->engine, true), 0);
    b->listener = harness_ctx(s->kind, 0, ciphers, ciphersuites);
    b->ctx = tls_client_ctx_new(&client, error, sizeof(error));
    cr_assert_not_null(b->ctx, "%s", error);
    SSL_CTX_set_max_proto_version(b->ctx->ssl, s->version);
}

static void both_fini(struct both *b) {
    tls_core_fini(&b->core);
    tls_engine_free(b->engine);
    tls_ctx_unref(b->listener);
    tls_ctx_unref(b->ctx);
    cr_assert_eq(harness_mbufs_out(), 0);
}

static void both_poll(struct both *b) {
    uint32_t news[8];

    tls_poll(&b->core, 8, news, 8);
}

/* What has come to one end is opened there; what that end answers goes to the other. */
static int input(struct both *b, tls_id id) {
    bool server = id == b->server;

    return tls_input(&b->core, id, server ? &b->up : &b->down, server ? &b->at_server : &b->at_client,
                     server ? &b->down : &b->up, 100000);
}

static void turn(struct both *b, tls_id id) {
    int rc = input(b, id);

    cr_assert_geq(rc, 0, "%s", tls_drop_name((enum tls_drop) - rc));
}

/* Returns 0, or what ended it at the end that ended first. */
static int both_shake(struct both *b, tls_session *session) {
    int rc = 0;

    b->server = tls_conn_new(&b->core, b->listener, 1);
    b->client = tls_client_new(&b->core, b->ctx, NULL, session, 2);
    cr_assert_neq(b->client, 0);
    for (int n = 0; n < 20 && rc >= 0; n++) {
        rc = input(b, b->client);
        if (rc >= 0)
            rc = input(b, b->server);
        both_poll(b);
    }
    return rc < 0 ? rc : 0;
}

static void both_connect(struct both *b, tls_session *session) {
    int rc = both_shake(b, session);

    cr_assert_eq(rc, 0, "%s", tls_drop_name((enum tls_drop) - rc));
    cr_assert(tls_established(&b->core, b->client));
    cr_assert(tls_established(&b->core, b->server));
}

/* A word to the server and back. */
static void both_echo(struct both *b) {
    struct rope word = {0};

    rope_append(&word, harness_pool(), "ping", 4);
    cr_assert_eq(tls_seal(&b->core, b->client, &word, &b->up, 100, 0), 4);
    turn(b, b->server);
    cr_assert_eq(b->at_server.len_bytes, 4);
    cr_assert_eq(tls_seal(&b->core, b->server, &b->at_server, &b->down, 100, 0), 4);
    turn(b, b->client);
    cr_assert_eq(b->at_client.len_bytes, 4);
    rope_clear(&b->at_client);
}

/* One connection to its end. Returns the session that the next one resumes. */
static tls_session *both_round(struct both *b, const struct client_case *s, tls_session *session) {
    struct tls_info info;

    both_connect(b, session);
    for (int n = 0; n < 3; n++)
        both_echo(b);
    tls_conn_info(&b->core, b->client, &info);
    cr_assert_str_eq(info.suite, s->name);
    cr_assert(info.taken_over);
    cr_assert_eq(info.resumed, session != NULL);
    for (int n = 0; n < 3; n++)
        both_poll(b);
    cr_assert_eq(b->core.stats.ssl_objects, 0);
    tls_session *made = tls_client_session_take(&b->core, b->client);
    if (made) {
        tls_session_unref(session);
        session = made;
    }
    cr_assert_not_null(session);
    tls_conn_free(&b->core, b->client);
    tls_conn_free(&b->core, b->server);
    return session;
}

Test(tls_both, every_suite_in_full_and_resumed) {
    for (size_t i = 0; i < WEIR_ARRAY_LEN(client_cases); i++) {
        const struct client_case *s = &client_cases[i];
        struct both b;
        both_init(&b, s, 0);
        tls_session *session = both_round(&b, s, NULL);
        session = both_round(&b, s, session);
        cr_assert_eq(b.core.stats.taken_over, 4);
        tls_session_unref(session);
        both_fini(&b);
    }
}

/* Connections that libssl carries, at both ends, leave a quarter of the SSL objects for handshakes at both. */
Test(tls_both, suites_that_stay_with_libssl_leave_places) {
    static const struct client_case cbc = {.kind = KEY_EC, .version = TLS_V12, .suite = "ECDHE+AES"};
    struct both b;
    tls_id first[2] = {0};

    both_init(&b, &cbc, 8);
    SSL_CTX_set_cipher_list(b.ctx->ssl, "ECDHE-ECDSA-AES128-SHA256");
    for (int i = 0; i < 3; i++) {
        both_connect(&b, NULL);
        first[0] = i == 0 ? b.client : first[0];
        first[1] = i == 0 ? b.server : first[1];
    }
    cr_expect_eq(b.core.stats.ssl_objects, 6);
    cr_expect_eq(both_shake(&b, NULL), -TLS_DROP_HS_LIBSSL_FULL);
    tls_conn_free(&b.core, b.client);
    tls_conn_free(&b.core, b.server);
    rope_clear(&b.up);
    rope_clear(&b.down);
    for (int n = 0; n < 3; n++)
        both_poll(&b);
    SSL_CTX_set_cipher_list(b.ctx->ssl, "ECDHE-ECDSA-AES128-GCM-SHA256");
    both_connect(&b, NULL);
    both_echo(&b);
    tls_conn_free(&b.core, first[0]);
    tls_conn_free(&b.core, first[1]);
    for (int n = 0; n < 3; n++)
        both_poll(&b);
    SSL_CTX_set_cipher_list(b.ctx->ssl, "ECDHE-ECDSA-AES128-SHA256");
    both_connect(&b, NULL);
    both_fini(&b);
}
