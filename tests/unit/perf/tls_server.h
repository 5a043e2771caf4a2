/* SPDX-License-Identifier: BSD-3-Clause */
/* A real libssl server over memory BIOs, with a certificate made on the spot. Aborts where libssl fails. */
#ifndef PERF_TLS_SERVER_H
#define PERF_TLS_SERVER_H

#include "base/rope.h"

#include <openssl/ssl.h>

struct tls_server {
    SSL_CTX *ctx;
    SSL *ssl; /* the present connection */
    /* As its keylog has them. */
    uint8_t client_secret[48], server_secret[48];
};

void tls_server_init(struct tls_server *s, bool rsa, const char *suites);
void tls_server_fini(struct tls_server *s);
/* Another connection. */
void tls_server_connect(struct tls_server *s);
/* Give it what lies in `wire` (emptied), let it shake hands, take what it writes: bytes of `out`. */
uint32_t tls_server_shake(struct tls_server *s, struct rope *wire, uint8_t *out, uint32_t room);
/* Only the last part: what libssl has written. */
uint32_t tls_server_flush(struct tls_server *s, uint8_t *out, uint32_t room);
void tls_server_feed(struct tls_server *s, struct rope *wire);

#endif
