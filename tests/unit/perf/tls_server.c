/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_server.h"

#include "tests/self_signed.h"

#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(bool ok, const char *what) {
    if (!ok) {
        fprintf(stderr, "libssl: %s failed\n", what);
        abort();
    }
}

/* "LABEL client_random secret", all but the label in hex. */
static void keylog(const SSL *ssl, const char *line) {
    struct tls_server *s = SSL_get_app_data(ssl);
    const char *hex = strrchr(line, ' ') + 1;
    bool client = strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24) == 0;

    if (!client && strncmp(line, "SERVER_TRAFFIC_SECRET_0 ", 24) != 0)
        return;
    uint8_t *secret = client ? s->client_secret : s->server_secret;
    for (int i = 0; i < 48 && hex[2 * i]; i++)
        must(sscanf(hex + 2 * i, "%2hhx", &secret[i]) == 1, "keylog");
}

void tls_server_init(struct tls_server *s, bool rsa, const char *suites) {
    EVP_PKEY *key = rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    X509 *certificate = self_signed(key, -60, 3600);

    *s = (struct tls_server){.ctx = SSL_CTX_new(TLS_server_method())};
    must(SSL_CTX_use_certificate(s->ctx, certificate) == 1, "SSL_CTX_use_certificate");
    must(SSL_CTX_use_PrivateKey(s->ctx, key) == 1, "SSL_CTX_use_PrivateKey");
    must(SSL_CTX_set_ciphersuites(s->ctx, suites) == 1, "SSL_CTX_set_ciphersuites");
    SSL_CTX_set_keylog_callback(s->ctx, keylog);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

void tls_server_fini(struct tls_server *s) {
    SSL_free(s->ssl);
    SSL_CTX_free(s->ctx);
}

void tls_server_connect(struct tls_server *s) {
    SSL_free(s->ssl);
    s->ssl = SSL_new(s->ctx);
    SSL_set_app_data(s->ssl, s);
    SSL_set_bio(s->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_accept_state(s->ssl);
}

void tls_server_feed(struct tls_server *s, struct rope *wire) {
    for (const struct rte_mbuf *m = wire->head; m; m = m->next)
        BIO_write(SSL_get_rbio(s->ssl), rte_pktmbuf_mtod(m, const void *), m->data_len);
    rope_clear(wire);
}

uint32_t tls_server_flush(struct tls_server *s, uint8_t *out, uint32_t room) {
    int n = BIO_read(SSL_get_wbio(s->ssl), out, (int)room);

    must(BIO_pending(SSL_get_wbio(s->ssl)) == 0, "room for what the server writes");
    return n > 0 ? (uint32_t)n : 0;
}

uint32_t tls_server_shake(struct tls_server *s, struct rope *wire, uint8_t *out, uint32_t room) {
    tls_server_feed(s, wire);
    SSL_accept(s->ssl);
    return tls_server_flush(s, out, room);
}
