/* SPDX-License-Identifier: BSD-3-Clause */
#include "client_harness.h"

#include <stdlib.h>

const struct client_case client_cases[] = {
    {KEY_EC, TLS_V13, "TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"},
    {KEY_EC, TLS_V13, "TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"},
    {KEY_RSA, TLS_V13, "TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256"},
    {KEY_EC, TLS_V12, "ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"},
    {KEY_EC, TLS_V12, "ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"},
    {KEY_EC, TLS_V12, "ECDHE-ECDSA-CHACHA20-POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"},
    {KEY_RSA, TLS_V12, "ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"},
    {KEY_RSA, TLS_V12, "ECDHE-RSA-AES256-GCM-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"},
    {KEY_RSA, TLS_V12, "ECDHE-RSA-CHACHA20-POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"},
    {KEY_RSA, TLS_V12, "DHE-RSA-AES128-GCM-SHA256", "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"},
    {KEY_RSA, TLS_V12, "DHE-RSA-AES256-GCM-SHA384", "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384"},
    {KEY_RSA, TLS_V12, "DHE-RSA-CHACHA20-POLY1305", "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256"},
    {KEY_RSA, TLS_V12, "AES128-GCM-SHA256", "TLS_RSA_WITH_AES_128_GCM_SHA256"},
    {KEY_RSA, TLS_V12, "AES256-GCM-SHA384", "TLS_RSA_WITH_AES_256_GCM_SHA384"},
};

static void server_ctx_make(struct client *c, const struct client_options *o) {
    struct harness_certificate what = {.kind = o->kind, .alt_names = "DNS:weir.test"};
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    harness_certificate(o->certificate ? o->certificate : &what, c->certificate, c->key);
    cr_assert_eq(SSL_CTX_use_certificate_chain_file(ctx, c->certificate), 1);
    cr_assert_eq(SSL_CTX_use_PrivateKey_file(ctx, c->key, SSL_FILETYPE_PEM), 1);
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"test", 4);
    if (o->version) {
        SSL_CTX_set_min_proto_version(ctx, o->version);
        SSL_CTX_set_max_proto_version(ctx, o->version);
    }
    if (o->suite && o->version == TLS_V13)
        cr_assert_eq(SSL_CTX_set_ciphersuites(ctx, o->suite), 1);
    else if (o->suite)
        cr_assert_eq(SSL_CTX_set_cipher_list(ctx, o->suite), 1);
    c->server_ctx = ctx;
}

void client_init(struct client *c, const struct client_options *o) {
    struct tls_config config = {.max_conns = 64, .max_handshakes = o->max_handshakes, .pool = harness_pool()};
    char error[256] = "";

    *c = (struct client){.piece_max = o->piece_max, .share = o->share, .seed = 3};
    server_ctx_make(c, o);
    cr_assert_eq(tls_core_init(&c->core, &config), 0);
    c->engine = tls_engine_new(0);
    cr_assert_eq(tls_core_attach(&c->core, c->engine, !o->other_thread), 0);
    struct tls_client_ctx_config trusting = {
        .name = "test", .ca_file = c->certificate, .ciphers = o->client_suites, .ciphersuites = o->client_suites13};
    c->ctx = tls_client_ctx_new(o->config ? o->config : &trusting, error, sizeof(error));
    cr_assert_not_null(c->ctx, "%s", error);
}

void client_fini(struct client *c) {
    if (c->server)
        client_disconnect(c);
    tls_core_fini(&c->core);
    tls_engine_free(c->engine);
    tls_ctx_unref(c->ctx);
    SSL_CTX_free(c->server_ctx);
    harness_files_remove(c->certificate, c->key);
    cr_assert_eq(harness_mbufs_out(), 0, "%u mbufs lost", harness_mbufs_out());
}

void client_connect(struct client *c, const char *server_name, tls_session *session) {
    c->server = SSL_new(c->server_ctx);
    SSL_set_bio(c->server, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_accept_state(c->server);
    c->id = tls_client_new(&c->core, c->ctx, server_name, session, 5);
    cr_assert_neq(c->id, 0);
    c->error = c->verdicts = 0;
}

void client_disconnect(struct client *c) {
    if (c->id)
        tls_conn_free(&c->core, c->id);
    c->id = 0;
    SSL_set_shutdown(c->server, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(c->server);
    c->server = NULL;
    rope_clear(&c->in);
    rope_clear(&c->out);
    rope_clear(&c->plain);
}

void client_turn(struct client *c) {
    uint32_t news[4];

    if (!c->core.run_inline)
        tls_engine_run(c->engine, 8);
    c->news += tls_poll(&c->core, 8, news, 4);
    int rc = tls_input(&c->core, c->id, &c->in, &c->plain, &c->out, 4096);
    if (rc < 0 && c->error == 0)
        c->error = rc;
    if (rc > 0)
        c->verdicts |= rc;
    for (const struct rte_mbuf *m = c->out.head; m; m = m->next)
        BIO_write(SSL_get_rbio(c->server), rte_pktmbuf_mtod(m, const void *), m->data_len);
    rope_clear(&c->out);
}

void client_server_flush(struct client *c) {
    uint8_t buffer[16384];
    int n;

    while ((n = BIO_read(SSL_get_wbio(c->server), buffer, sizeof(buffer))) > 0) {
        for (uint32_t at = 0, part; at < (uint32_t)n; at += part) {
            part = weir_min_u32((uint32_t)n - at, 1400);
            if (c->piece_max)
                part = weir_min_u32(part, 1 + harness_random(&c->seed, c->piece_max));
            harness_push(&c->in, buffer + at, part, c->share);
        }
    }
}

bool client_handshake(struct client *c) {
    for (int i = 0; i < 200 && c->error == 0; i++) {
        client_turn(c);
        int done = SSL_do_handshake(c->server);
        client_server_flush(c);
        if (done == 1 && tls_established(&c->core, c->id))
            return true;
    }
    return false;
}

static uint8_t *pattern(uint32_t n) {
    uint8_t *all = malloc(n);

    for (uint32_t i = 0; i < n; i++)
        all[i] = (uint8_t)(i * 37 + (i >> 8) * 5 + 3);
    return all;
}

void client_says(struct client *c, uint32_t n) {
    uint8_t *all = pattern(n), *got = calloc(1, n);
    struct rope plain = {0};
    uint32_t have = 0;

    cr_assert_eq(rope_append(&plain, harness_pool(), all, n), 0);
    for (int i = 0; i < 1000 && have < n; i++) {
        if (plain.len_bytes > 0)
            cr_assert_geq(tls_seal(&c->core, c->id, &plain, &c->out, UINT32_MAX, 0), 0);
        client_turn(c);
        int rc;
        while (have < n && (rc = SSL_read(c->server, got + have, (int)(n - have))) > 0)
            have += (uint32_t)rc;
        client_server_flush(c);
    }
    cr_assert_eq(have, n, "server read %u of %u", have, n);
    cr_assert_eq(memcmp(all, got, n), 0);
    free(all);
    free(got);
}

void server_says(struct client *c, uint32_t n) {
    uint8_t *all = pattern(n), *got = calloc(1, n);

    cr_assert_eq(SSL_write(c->server, all, (int)n), (int)n);
    client_server_flush(c);
    for (int i = 0; i < 1000 && c->plain.len_bytes < n && c->error == 0; i++)
        client_turn(c);
    cr_assert_eq(c->error, 0, "%s", tls_drop_name((enum tls_drop) - c->error));
    cr_assert_eq(rope_copy(&c->plain, 0, got, n), n);
    cr_assert_eq(c->plain.len_bytes, n);
    cr_assert_eq(memcmp(all, got, n), 0);
    rope_clear(&c->plain);
    free(all);
    free(got);
}

void client_settle(struct client *c) {
    for (int i = 0; i < 20; i++) /* a record a turn while libssl has them */
        client_turn(c);
}
