/* SPDX-License-Identifier: BSD-3-Clause */
/* Whole handshakes with a libssl client whose bytes are cut, flipped, doubled or mixed with others on the way. An input
 * is a suite and a row of steps. Whatever comes: where nothing was changed, both ends agree and each byte arrives once;
 * where something was, no byte arrives that the client did not write; every SSL object and mbuf is given back. */
#include "tests/eal.h"
#include "tests/self_signed.h"
#include "tls/tls_msg.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MBUFS = 1023 };
enum step { PASS, FLIP, INSERT, DOUBLE, WRITE, TURN, RENEW, STEPS };

static const struct {
    uint16_t version;
    const char *suite;
} suites[] = {
    {TLS_V13, "TLS_AES_128_GCM_SHA256"},        {TLS_V13, "TLS_AES_256_GCM_SHA384"},
    {TLS_V13, "TLS_CHACHA20_POLY1305_SHA256"},  {TLS_V12, "ECDHE-ECDSA-AES128-GCM-SHA256"},
    {TLS_V12, "ECDHE-ECDSA-AES256-GCM-SHA384"}, {TLS_V12, "ECDHE-ECDSA-CHACHA20-POLY1305"},
    {TLS_V12, "ECDHE-ECDSA-AES128-SHA256"},     {TLS_V13, "TLS_AES_128_CCM_SHA256"},
};

static struct rte_mempool *mbufs;
static struct tls_core core;
static struct tls_engine *engine;
static struct tls_ctx *contexts[WEIR_ARRAY_LEN(suites)];
static SSL_CTX *client_ctx;

struct run {
    SSL *client;
    tls_id id;
    struct rope wire, plain, out;
    bool changed, dead;
    uint32_t written, read;
};

static void make_contexts(void) {
    char pair[] = "/tmp/weir-fuzz-XXXXXX", error[256];

    self_signed_file(pair, 86400);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(suites); i++) {
        bool v13 = suites[i].version == TLS_V13;
        contexts[i] = tls_ctx_new(&(struct tls_ctx_config){.name = "fuzz",
                                                           .certificate_file = pair,
                                                           .key_file = pair,
                                                           .ciphers = v13 ? NULL : suites[i].suite,
                                                           .ciphersuites = v13 ? suites[i].suite : NULL},
                                  error, sizeof(error));
        if (contexts[i] == NULL)
            abort();
    }
    unlink(pair);
    client_ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_cipher_list(client_ctx, "ALL");
    SSL_CTX_set_ciphersuites(client_ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:"
                                         "TLS_AES_128_CCM_SHA256");
}

static void start(void) {
    if (!test_eal(64))
        abort();
    mbufs = rte_pktmbuf_pool_create("fuzz", MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    engine = tls_engine_new(0);
    if (tls_core_init(&core, &(struct tls_config){.max_conns = 4, .max_handshakes = 2, .pool = mbufs}) < 0 ||
        tls_core_attach(&core, engine, true) < 0)
        abort();
    make_contexts();
}

static void push(struct rope *r, const uint8_t *p, uint32_t n, uint32_t piece) {
    while (n > 0) {
        uint32_t part = weir_min_u32(weir_min_u32(n, piece), 1400);
        struct rte_mbuf *m = rte_pktmbuf_alloc(mbufs);
        if (m == NULL)
            return;
        memcpy(rte_pktmbuf_append(m, (uint16_t)part), p, part);
        struct rope one = {m, m, part, 1};
        if (r->len_bytes == 0)
            *r = one;
        else if (part > 64)
            rope_splice(r, &one);
        else
            rope_push(r, m);
        p += part;
        n -= part;
    }
}

/* Written bytes count up, so that one lost, doubled or invented shows. */
static void check_plain(struct run *r) {
    uint8_t byte;

    for (uint32_t i = 0; i < r->plain.len_bytes; i++) {
        if (rope_copy(&r->plain, i, &byte, 1) != 1 || r->read >= r->written || byte != (uint8_t)r->read++)
            abort();
    }
    rope_clear(&r->plain);
}

static void turn(struct run *r) {
    uint32_t news[4];

    tls_poll(&core, 4, news, 4);
    if (!r->dead)
        r->dead = tls_input(&core, r->id, &r->wire, &r->plain, &r->out, 1u << 16) < 0;
    check_plain(r);
    for (const struct rte_mbuf *m = r->out.head; m; m = m->next)
        BIO_write(SSL_get_rbio(r->client), rte_pktmbuf_mtod(m, const void *), m->data_len);
    rope_clear(&r->out);
    ERR_clear_error();
    if (SSL_do_handshake(r->client) == 1) {
        uint8_t ignored[64];
        SSL_read(r->client, ignored, sizeof(ignored));
    }
}

static void step(struct run *r, struct span *s) {
    static uint8_t bytes[8192];
    uint8_t what = span_u8(s) % STEPS, a = span_u8(s), b = span_u8(s);
    BIO *out = SSL_get_wbio(r->client);
    int n;

    if (what == WRITE && SSL_is_init_finished(r->client)) {
        for (uint32_t i = 0; i < (uint32_t)a + 1; i++)
            bytes[i] = (uint8_t)(r->written + i);
        if (SSL_write(r->client, bytes, a + 1) == a + 1)
            r->written += a + 1u;
        return;
    }
    if (what == RENEW && SSL_is_init_finished(r->client)) {
        if (SSL_version(r->client) == TLS_V13)
            SSL_key_update(r->client, a & 1);
        return;
    }
    if (what == TURN || what == WRITE || what == RENEW) {
        turn(r);
        return;
    }
    n = BIO_read(out, bytes, a == 0 ? (int)sizeof(bytes) : a * 8);
    if (what == INSERT) {
        const uint8_t record[10] = {20 + (a & 3), 3, b & 3, 0, 5, a, b};
        push(&r->wire, record, sizeof(record), 1400);
        r->changed = true;
    }
    if (n <= 0)
        return;
    if (what == FLIP) {
        bytes[(uint32_t)b * 9 % (uint32_t)n] ^= (uint8_t)(a | 1);
        r->changed = true;
    }
    push(&r->wire, bytes, (uint32_t)n, 1u + b);
    if (what == DOUBLE) {
        push(&r->wire, bytes, (uint32_t)n, 1u + b);
        r->changed = true;
    }
}

/* Nothing was changed: let the rest through, then all must be well. */
static void settle(struct run *r) {
    static uint8_t bytes[8192];
    int n;

    for (int i = 0; i < 12; i++) {
        while ((n = BIO_read(SSL_get_wbio(r->client), bytes, sizeof(bytes))) > 0)
            push(&r->wire, bytes, (uint32_t)n, 1400);
        turn(r);
    }
    if (r->changed)
        return;
    if (r->dead || !SSL_is_init_finished(r->client) || !tls_established(&core, r->id) || r->read != r->written)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct span s = span_of(data, size);
    struct run r = {0};
    uint32_t news[4];

    if (mbufs == NULL)
        start();
    size_t row = span_u8(&s) % WEIR_ARRAY_LEN(suites);
    r.client = SSL_new(client_ctx);
    SSL_set_bio(r.client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(r.client);
    SSL_set_max_proto_version(r.client, suites[row].version);
    r.id = tls_conn_new(&core, contexts[row], 0);
    SSL_do_handshake(r.client);
    for (int i = 0; i < 60 && span_left(&s) > 0; i++)
        step(&r, &s);
    settle(&r);
    tls_conn_free(&core, r.id);
    SSL_free(r.client);
    rope_clear(&r.wire);
    rope_clear(&r.plain);
    rope_clear(&r.out);
    for (int i = 0; i < 3; i++)
        tls_poll(&core, 4, news, 4);
    if (rte_mempool_in_use_count(mbufs) != 0 || core.places.used != 0 || core.conns.used != 0 || core.exts.used != 0)
        abort();
    return 0;
}
