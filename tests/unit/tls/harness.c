/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include "tests/eal.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MBUFS 4095u

static struct rte_mempool *pool;

struct rte_mempool *harness_pool(void) {
    if (pool == NULL) {
        cr_assert(test_eal(64), "EAL does not start");
        pool = rte_pktmbuf_pool_create("tls_test", MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
        cr_assert_not_null(pool, "mbuf pool");
    }
    return pool;
}

uint32_t harness_mbufs_out(void) {
    return rte_mempool_in_use_count(harness_pool());
}

uint8_t harness_next_row(uint8_t row) {
    uint8_t chacha12 = tls_suite_find(TLS_V12, 0xcca9);

    return row == chacha12 ? 0 : row == 6 ? chacha12 : (uint8_t)(row + 1);
}

uint32_t harness_random(uint64_t *seed, uint32_t below) {
    *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(*seed >> 33) % below;
}

static void write_pem(char path[64], EVP_PKEY *key, X509 *certificate) {
    snprintf(path, 64, "/tmp/weir-test-XXXXXX");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    FILE *f = fdopen(fd, "w");
    if (certificate)
        PEM_write_X509(f, certificate);
    else
        PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
}

static void extension_add(X509 *x, int nid, const char *value) {
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    cr_assert_not_null(extension, "%s", value);
    X509_add_ext(x, extension, -1);
    X509_EXTENSION_free(extension);
}

static FILE *file_open(const char *path) {
    FILE *f = fopen(path, "r");

    cr_assert_not_null(f, "%s", path);
    return f;
}

static void issue(X509 *x, const struct harness_certificate *what, EVP_PKEY *own) {
    if (what->issuer_certificate == NULL) {
        extension_add(x, NID_basic_constraints, "critical,CA:TRUE");
        X509_set_issuer_name(x, X509_get_subject_name(x));
        cr_assert_gt(X509_sign(x, own, EVP_sha256()), 0);
        return;
    }
    FILE *f = file_open(what->issuer_certificate);
    X509 *issuer = PEM_read_X509(f, NULL, NULL, NULL);
    fclose(f);
    f = file_open(what->issuer_key);
    EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
    fclose(f);
    X509_set_issuer_name(x, X509_get_subject_name(issuer));
    cr_assert_gt(X509_sign(x, key, EVP_sha256()), 0);
    X509_free(issuer);
    EVP_PKEY_free(key);
}

/* A key pair of the caller's. An RSA key takes a good part of a second to find: all of a test's are one; tests of who
 * is trusted take EC keys. */
static EVP_PKEY *pair_make(enum key_kind kind) {
    static EVP_PKEY *rsa;
    if (kind == KEY_EC)
        return EVP_EC_gen("P-256");
    if (rsa == NULL)
        rsa = EVP_RSA_gen(2048);
    EVP_PKEY_up_ref(rsa);
    return rsa;
}

void harness_certificate(const struct harness_certificate *what, char certificate[64], char key[64]) {
    EVP_PKEY *pair = pair_make(what->kind);
    X509 *x = X509_new();
    bool usual = what->begins_s == 0 && what->expires_s == 0;
    const char *common_name = what->issuer_certificate ? "weir leaf" : "weir.test"; /* an issuer has another name */

    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), usual ? -60 : what->begins_s);
    X509_gmtime_adj(X509_getm_notAfter(x), usual ? 3600 : what->expires_s);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)common_name, -1, -1,
                               0);
    X509_set_pubkey(x, pair);
    if (what->alt_names)
        extension_add(x, NID_subject_alt_name, what->alt_names);
    if (what->names)
        cr_assert_eq(X509_add1_ext_i2d(x, NID_subject_alt_name, (void *)(uintptr_t)what->names, 0, X509V3_ADD_APPEND),
                     1);
    if (what->usage)
        extension_add(x, NID_ext_key_usage, what->usage);
    issue(x, what, pair);
    write_pem(certificate, pair, x);
    write_pem(key, pair, NULL);
    X509_free(x);
    EVP_PKEY_free(pair);
}

void harness_files(enum key_kind kind, char certificate[64], char key[64]) {
    harness_certificate(&(struct harness_certificate){.kind = kind}, certificate, key);
}

void harness_files_remove(const char *certificate, const char *key) {
    unlink(certificate);
    unlink(key);
}

struct tls_ctx *harness_ctx(enum key_kind kind, uint16_t min_version, const char *ciphers, const char *suites) {
    char certificate[64], key[64], error[256] = "";

    harness_files(kind, certificate, key);
    struct tls_ctx_config config = {.name = "test",
                                    .certificate_file = certificate,
                                    .key_file = key,
                                    .min_version = min_version,
                                    .ciphers = ciphers,
                                    .ciphersuites = suites};
    struct tls_ctx *ctx = tls_ctx_new(&config, error, sizeof(error));
    harness_files_remove(certificate, key);
    cr_assert_not_null(ctx, "%s", error);
    return ctx;
}

void harness_init(struct harness *h, const struct harness_options *o) {
    struct tls_config config = {.max_conns = 64, .max_handshakes = o->max_handshakes, .pool = harness_pool()};
    bool v13 = o->version == TLS_V13;

    *h = (struct harness){.piece_max = o->piece_max, .share = o->share, .seed = 1};
    cr_assert_eq(tls_core_init(&h->core, &config), 0);
    h->engine = tls_engine_new(0);
    cr_assert_not_null(h->engine);
    cr_assert_eq(tls_core_attach(&h->core, h->engine, !o->other_thread), 0);
    h->ctx = harness_ctx(o->kind, 0, v13 ? NULL : o->suite, v13 ? o->suite : NULL);
    h->client_ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(h->client_ctx, o->version);
    SSL_CTX_set_max_proto_version(h->client_ctx, o->version);
    if (o->suite && v13)
        cr_assert_eq(SSL_CTX_set_ciphersuites(h->client_ctx, o->suite), 1);
    else if (o->suite)
        cr_assert_eq(SSL_CTX_set_cipher_list(h->client_ctx, o->suite), 1);
    if (o->groups)
        cr_assert_eq(SSL_CTX_set1_groups_list(h->client_ctx, o->groups), 1);
    harness_connect(h, NULL);
}

void harness_connect(struct harness *h, SSL_SESSION *session) {
    h->client = SSL_new(h->client_ctx);
    SSL_set_bio(h->client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(h->client);
    if (session)
        SSL_set_session(h->client, session);
    h->id = tls_conn_new(&h->core, h->ctx, 7);
    cr_assert_neq(h->id, 0);
    h->error = h->verdicts = 0;
}

void harness_disconnect(struct harness *h) {
    tls_conn_free(&h->core, h->id);
    SSL_free(h->client);
    h->client = NULL;
    rope_clear(&h->wire_in);
    rope_clear(&h->wire_out);
    rope_clear(&h->in);
    rope_clear(&h->out);
}

void harness_fini(struct harness *h) {
    if (h->client)
        harness_disconnect(h);
    tls_core_fini(&h->core);
    tls_engine_free(h->engine);
    tls_ctx_unref(h->ctx);
    SSL_CTX_free(h->client_ctx);
    cr_assert_eq(harness_mbufs_out(), 0, "%u mbufs lost", harness_mbufs_out());
}

/* An mbuf of its own for each piece, as a network card would deliver it: rope_push would merge small ones. */
void harness_push(struct rope *r, const void *data, uint32_t n, bool shared) {
    struct rte_mbuf *m = rte_pktmbuf_alloc(harness_pool());

    cr_assert_not_null(m);
    memcpy(rte_pktmbuf_append(m, (uint16_t)n), data, n);
    if (shared) {
        struct rte_mbuf *view = rte_pktmbuf_alloc(harness_pool());
        cr_assert_not_null(view);
        rte_pktmbuf_attach(view, m);
        rte_pktmbuf_free(m);
        m = view;
    }
    rope_link(r, m);
}

static void push_pieces(struct harness *h, struct rope *r, const uint8_t *data, uint32_t n) {
    while (n > 0) {
        uint32_t part = weir_min_u32(n, 1400);
        if (h->piece_max)
            part = weir_min_u32(part, 1 + harness_random(&h->seed, h->piece_max));
        harness_push(r, data, part, h->share);
        data += part;
        n -= part;
    }
}

void harness_inject(struct harness *h, const void *data, uint32_t n) {
    push_pieces(h, &h->wire_in, data, n);
}

void harness_client_flush(struct harness *h) {
    uint8_t buffer[4096];
    int n;

    while ((n = BIO_read(SSL_get_wbio(h->client), buffer, sizeof(buffer))) > 0)
        harness_inject(h, buffer, (uint32_t)n);
}

static void wire_to_client(struct harness *h) {
    for (const struct rte_mbuf *m = h->wire_out.head; m; m = m->next)
        BIO_write(SSL_get_rbio(h->client), rte_pktmbuf_mtod(m, const void *), m->data_len);
    rope_clear(&h->wire_out);
}

void harness_turn(struct harness *h) {
    uint32_t news[4];

    tls_poll(&h->core, 8, news, 4);
    int rc = tls_input(&h->core, h->id, &h->wire_in, &h->in, &h->wire_out, 4096);
    if (rc < 0 && h->error == 0)
        h->error = rc;
    if (rc > 0)
        h->verdicts |= rc;
    wire_to_client(h);
}

bool harness_handshake(struct harness *h) {
    for (int i = 0; i < 50 && h->error == 0; i++) {
        int done = SSL_do_handshake(h->client);
        harness_client_flush(h);
        harness_turn(h);
        if (!h->core.run_inline)
            tls_engine_run(h->engine, 8);
        if (done == 1 && tls_established(&h->core, h->id))
            return true;
    }
    return false;
}

static uint8_t pattern(uint32_t i) {
    return (uint8_t)(i * 31 + (i >> 8) * 7 + 1);
}

void harness_send(struct harness *h, uint32_t n, uint32_t record) {
    static uint8_t buffer[TLS_RECORD_MAX];
    uint32_t sent = 0;

    while (sent < n) {
        uint32_t part = weir_min_u32(n - sent, record);
        for (uint32_t i = 0; i < part; i++)
            buffer[i] = pattern(sent + i);
        cr_assert_eq(SSL_write(h->client, buffer, (int)part), (int)part);
        sent += part;
    }
    harness_client_flush(h);
    for (int i = 0; i < 1000 && (h->in.len_bytes < n) && h->error == 0; i++) {
        harness_turn(h);
        if (!h->core.run_inline)
            tls_engine_run(h->engine, 8);
    }
    cr_assert_eq(h->error, 0, "%s", tls_drop_text((enum tls_drop) - h->error));
    cr_assert_eq(h->in.len_bytes, n, "%u of %u bytes", h->in.len_bytes, n);
    uint8_t *all = calloc(1, n);
    cr_assert_eq(rope_copy(&h->in, 0, all, n), n);
    for (uint32_t i = 0; i < n; i++)
        if (all[i] != pattern(i))
            cr_assert_fail("byte %u differs", i);
    free(all);
    rope_clear(&h->in);
}

void harness_receive(struct harness *h, uint32_t n) {
    uint8_t *all = calloc(1, n), *got = calloc(1, n);
    uint32_t have = 0;

    for (uint32_t i = 0; i < n; i++)
        all[i] = pattern(i);
    push_pieces(h, &h->out, all, n);
    for (int i = 0; i < 1000 && have < n; i++) {
        if (h->out.len_bytes > 0) {
            int rc = tls_seal(&h->core, h->id, &h->out, &h->wire_out, UINT32_MAX, 0);
            cr_assert_geq(rc, 0, "seal %d", rc);
        }
        harness_turn(h);
        if (!h->core.run_inline)
            tls_engine_run(h->engine, 8);
        int rc;
        while (have < n && (rc = SSL_read(h->client, got + have, (int)(n - have))) > 0)
            have += (uint32_t)rc;
    }
    cr_assert_eq(have, n, "client read %u of %u", have, n);
    cr_assert_eq(memcmp(all, got, n), 0);
    free(all);
    free(got);
}

uint64_t harness_alerts(const struct tls_core *core, enum tls_dir dir, int description) {
    uint64_t sum = 0;

    if (description >= 0)
        return core->stats.alerts[dir][tls_alerted_of((uint8_t)description)];
    for (int a = 0; a < TLS_ALERTED_COUNT; a++)
        sum += core->stats.alerts[dir][a];
    return sum;
}

/* --- pairs --- */

/* A connection with keys, made without a handshake. */
static tls_id conn_open(struct pair *p, uint8_t row, const struct tls_dir_keys *in, const struct tls_dir_keys *out) {
    const struct tls_dir_keys keys[2] = {[TLS_READ] = *in, [TLS_WRITE] = *out};
    tls_id id = tls_conn_alloc(&p->core, 0);

    cr_assert_eq(tls_conn_open(&p->core, tls_conn_get(&p->core, id), row, keys), 0);
    return id;
}

void pair_init(struct pair *p, uint8_t suite_row) {
    struct tls_config config = {.max_conns = 8, .pool = harness_pool()};
    const struct tls_suite *s = &tls_suites[suite_row - 1];
    struct tls_dir_keys keys[2] = {0};

    memset(p, 0, sizeof(*p));
    cr_assert_eq(tls_core_init(&p->core, &config), 0);
    p->ctx = harness_ctx(KEY_EC, 0, NULL, NULL);
    for (int i = 0; i < 2; i++) {
        memset(keys[i].secret, 0x11 * (i + 1), sizeof(keys[i].secret));
        cr_assert_eq(tls_keys_from_secret(p->core.kdf, s, &keys[i]), 0);
    }
    p->server = conn_open(p, suite_row, &keys[0], &keys[1]);
    p->client = conn_open(p, suite_row, &keys[1], &keys[0]);
}

void pair_fini(struct pair *p) {
    tls_core_fini(&p->core);
    tls_ctx_unref(p->ctx);
    cr_assert_eq(harness_mbufs_out(), 0, "%u mbufs lost", harness_mbufs_out());
}

void pair_seal(struct pair *p, uint8_t type, const void *data, uint32_t n, struct rope *wire) {
    struct rope plain = {0};

    cr_assert_eq(rope_append(&plain, harness_pool(), data, n), 0);
    cr_assert_eq(tls_record_seal(&p->core, tls_conn_get(&p->core, p->client), p->client, type, &plain, n, wire), 0);
}

int pair_input(struct pair *p, struct rope *wire, struct rope *answer, uint32_t *bytes) {
    struct rope plain = {0};
    int rc = tls_input(&p->core, p->server, wire, &plain, answer, 1u << 20);

    if (bytes)
        *bytes += plain.len_bytes;
    rope_clear(&plain);
    return rc;
}

int pair_open(struct pair *p, struct rope *wire, uint8_t *out, uint32_t room, uint32_t *n) {
    struct tls_conn *c = tls_conn_get(&p->core, p->client);
    struct rope content = {0};
    struct tls_frame f;

    cr_assert_eq(tls_frame_peek(wire, TLS_RECORD_WIRE_MAX, &f), 1);
    int rc = tls_record_open(&p->core, c, p->client, &f, wire, &content);
    if (rc != 0)
        return rc;
    *n = rope_copy(&content, 0, out, room);
    rope_clear(&content);
    return tls_conn_suite(c)->version == TLS_V13 ? out[--*n] : f.type;
}

/* --- an empty pool --- */

static struct rte_mbuf *hoard[MBUFS];
static uint32_t hoarded;

void harness_starve(uint32_t left) {
    while (rte_mempool_avail_count(harness_pool()) > left)
        hoard[hoarded++] = rte_pktmbuf_alloc(harness_pool());
}

void harness_unstarve(void) {
    while (hoarded > 0)
        rte_pktmbuf_free(hoard[--hoarded]);
}
