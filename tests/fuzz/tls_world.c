/* SPDX-License-Identifier: BSD-3-Clause */
#define OPENSSL_SUPPRESS_DEPRECATED /* random numbers of one's own take a provider since 3.0, or this */
#include "tls_world.h"

#include "tests/eal.h"
#include "tests/self_signed.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#define PSK_HEX "000102030405060708090a0b0c0d0e0f"

enum { MBUFS = 1023, ROUNDS = 8 };

#define V13(name)                                                                                                      \
    { TLS_V13, false, name }
#define V12(name)                                                                                                      \
    { TLS_V12, false, name }
#define PSK12(name)                                                                                                    \
    { TLS_V12, true, name }
const struct tls_world_suite tls_world_suites[TLS_WORLD_SUITES] = {
    V13("TLS_AES_128_GCM_SHA256"),
    V13("TLS_AES_256_GCM_SHA384"),
    V13("TLS_CHACHA20_POLY1305_SHA256"),
    V12("ECDHE-ECDSA-AES128-GCM-SHA256"),
    V12("ECDHE-ECDSA-AES256-GCM-SHA384"),
    V12("ECDHE-ECDSA-CHACHA20-POLY1305"),
    V12("ECDHE-ECDSA-AES128-SHA256"),
    V13("TLS_AES_128_CCM_SHA256"),
    V12("ECDHE-RSA-AES128-GCM-SHA256"),
    V12("ECDHE-RSA-AES256-GCM-SHA384"),
    V12("ECDHE-RSA-CHACHA20-POLY1305"),
    V12("DHE-RSA-AES128-GCM-SHA256"),
    V12("DHE-RSA-AES256-GCM-SHA384"),
    V12("DHE-RSA-CHACHA20-POLY1305"),
    V12("AES128-GCM-SHA256"),
    V12("AES256-GCM-SHA384"),
    PSK12("PSK-AES128-GCM-SHA256"),
    PSK12("PSK-AES256-GCM-SHA384"),
    PSK12("PSK-CHACHA20-POLY1305"),
    PSK12("DHE-PSK-AES128-GCM-SHA256"),
    PSK12("DHE-PSK-AES256-GCM-SHA384"),
    PSK12("DHE-PSK-CHACHA20-POLY1305"),
    PSK12("ECDHE-PSK-CHACHA20-POLY1305"),
    PSK12("RSA-PSK-AES128-GCM-SHA256"),
    PSK12("RSA-PSK-AES256-GCM-SHA384"),
    PSK12("RSA-PSK-CHACHA20-POLY1305"),
};

/* --- random numbers --- */

static struct {
    uint64_t state[2];
    enum tls_world_end end;
} draws;

static int draw(unsigned char *out, int n) {
    uint64_t *state = &draws.state[draws.end];

    for (int i = 0; i < n; i++) {
        *state = *state * 6364136223846793005ull + 1442695040888963407ull;
        out[i] = (unsigned char)(*state >> 33);
    }
    return 1;
}

static int seeded(void) {
    return 1;
}

void tls_world_draws(enum tls_world_end end) {
    draws.end = end;
}

void tls_world_again(void) {
    draws.state[TLS_WORLD_SERVER] = 1;
    draws.state[TLS_WORLD_CLIENT] = 2;
    draws.end = TLS_WORLD_SERVER;
}

static void draws_begin(void) {
    static RAND_METHOD method = {.bytes = draw, .pseudorand = draw, .status = seeded};

    if (RAND_set_rand_method(&method) != 1)
        abort();
    tls_world_again();
}

/* --- contexts --- */

enum pair { RSA_PAIR, EC_PAIR, PAIRS };

static EVP_PKEY *keys[PAIRS];
static X509 *certificates[PAIRS];
static char pair_paths[PAIRS][24], ca_path[24], psk_path[24];

static FILE *file_new(char path[24]) {
    snprintf(path, 24, "/tmp/weir-fuzz-XXXXXX");
    FILE *f = fdopen(mkstemp(path), "w");

    if (f == NULL)
        abort();
    return f;
}

/* The same in every process, to the byte: so with fixed dates. */
static X509 *certificate_of(EVP_PKEY *key) {
    X509 *x = self_signed(key, 0, 0);

    if (ASN1_TIME_set_string_X509(X509_getm_notBefore(x), "20200101000000Z") != 1 ||
        ASN1_TIME_set_string_X509(X509_getm_notAfter(x), "20991231000000Z") != 1 ||
        X509_sign(x, key, EVP_sha256()) == 0)
        abort();
    return x;
}

static void files_write(void) {
    FILE *ca = file_new(ca_path), *psk = file_new(psk_path);

    keys[RSA_PAIR] = EVP_RSA_gen(2048);
    keys[EC_PAIR] = EVP_EC_gen("P-256");
    for (int i = 0; i < PAIRS; i++) {
        FILE *f = file_new(pair_paths[i]);
        certificates[i] = certificate_of(keys[i]);
        PEM_write_X509(f, certificates[i]);
        PEM_write_PrivateKey(f, keys[i], NULL, NULL, 0, NULL, NULL);
        fclose(f);
    }
    PEM_write_X509(ca, certificates[EC_PAIR]);
    fclose(ca);
    fputs("fuzz:" PSK_HEX "\n", psk);
    fclose(psk);
}

static struct tls_ctx *context_make(const struct tls_world_suite *suite, bool certificate) {
    const struct tls_certificate_config pairs[PAIRS] = {
        [RSA_PAIR] = {.certificate_file = pair_paths[RSA_PAIR], .key_file = pair_paths[RSA_PAIR]},
        [EC_PAIR] = {.certificate_file = pair_paths[EC_PAIR], .key_file = pair_paths[EC_PAIR]},
    };
    bool v13 = suite->version == TLS_V13;
    char error[256];
    const struct tls_ctx_config config = {
        .name = "fuzz",
        .certificates = pairs,
        .n_certificates = PAIRS,
        .ciphers = v13 ? NULL : suite->name,
        .ciphersuites = v13 ? suite->name : NULL,
        .client_certificates = certificate ? TLS_CLIENT_CERTIFICATES_REQUIRED : TLS_CLIENT_CERTIFICATES_OFF,
        .client_ca_file = certificate ? ca_path : NULL,
        .psk_file = suite->psk ? psk_path : NULL,
    };
    struct tls_ctx *ctx = tls_ctx_new(&config, error, sizeof(error));

    if (ctx == NULL) {
        fprintf(stderr, "%s: %s\n", suite->name, error);
        abort();
    }
    return ctx;
}

static void contexts_make(struct tls_world *w) {
    files_write();
    for (size_t i = 0; i < TLS_WORLD_SUITES; i++)
        for (int asked = 0; asked < 2; asked++) /* RFC 4279 section 2: a PSK is in the place of certificates */
            w->contexts[i][asked] = context_make(&tls_world_suites[i], asked && !tls_world_suites[i].psk);
    for (int i = 0; i < PAIRS; i++)
        unlink(pair_paths[i]);
    unlink(ca_path);
    unlink(psk_path);
    w->client_ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_cipher_list(w->client_ctx, "ALL");
    SSL_CTX_set_ciphersuites(w->client_ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                                            "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_CCM_SHA256");
    SSL_CTX_use_certificate(w->client_ctx, certificates[EC_PAIR]);
    SSL_CTX_use_PrivateKey(w->client_ctx, keys[EC_PAIR]);
}

/* --- up --- */

struct tls_world *tls_world(void) {
    static struct tls_world w;

    if (w.mbufs)
        return &w;
    draws_begin();
    if (!test_eal(64))
        abort();
    w.mbufs = rte_pktmbuf_pool_create("fuzz", MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    w.engine = tls_engine_new(0);
    if (tls_core_init(&w.core, &(struct tls_config){.max_conns = 4, .max_handshakes = 2, .pool = w.mbufs}) < 0 ||
        tls_core_attach(&w.core, w.engine, true) < 0)
        abort();
    tls_world_again();
    contexts_make(&w);
    return &w;
}

static unsigned psk_of_client(SSL *client, const char *hint, char *identity, unsigned identity_max, unsigned char *key,
                              unsigned key_max) {
    long n = 0;
    unsigned char *bytes = OPENSSL_hexstr2buf(PSK_HEX, &n);

    (void)client, (void)hint;
    if (bytes == NULL || n > (long)key_max)
        abort();
    memcpy(key, bytes, (size_t)n);
    OPENSSL_free(bytes);
    snprintf(identity, identity_max, "fuzz");
    return (unsigned)n;
}

SSL *tls_world_client(size_t suite) {
    SSL *client = SSL_new(tls_world()->client_ctx);

    SSL_set_bio(client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(client);
    SSL_set_max_proto_version(client, tls_world_suites[suite].version);
    if (tls_world_suites[suite].psk)
        SSL_set_psk_client_callback(client, psk_of_client);
    return client;
}

/* --- traffic --- */

void tls_world_push(struct rte_mempool *mbufs, struct rope *r, const uint8_t *p, uint32_t n, uint32_t piece) {
    while (n > 0) {
        uint32_t part = weir_min_u32(weir_min_u32(n, piece), 1400);
        struct rte_mbuf *m = rte_pktmbuf_alloc(mbufs);
        if (m == NULL)
            return;
        memcpy(rte_pktmbuf_append(m, (uint16_t)part), p, part);
        if (part > 64)
            rope_link(r, m);
        else
            rope_push(r, m); /* small ones share buffers, as TCP leaves them */
        p += part;
        n -= part;
    }
}

int tls_world_serve(tls_id id, struct tls_world_served *s) {
    struct tls_world *w = tls_world();
    uint32_t news[4];
    int verdicts = 0;

    for (int i = 0; i < ROUNDS && !s->dead; i++) {
        tls_poll(&w->core, 4, news, 4);
        int rc = tls_input(&w->core, id, &s->wire, &s->plain, &s->out, 1u << 16);
        s->dead = rc < 0;
        verdicts |= rc < 0 ? 0 : rc;
        if (rc >= 0 && (rc & (TLS_BUSY | TLS_MORE_WORK)) == 0)
            break;
    }
    s->verdicts |= verdicts;
    return verdicts;
}
