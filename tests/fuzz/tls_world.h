/* SPDX-License-Identifier: BSD-3-Clause */
/* Both ends of TLS handshakes: a tls_core with its engine and a context for each suite, and libssl's clients. What each
 * end draws from libcrypto's random numbers is the same in every process and after every tls_world_again, so that the
 * bytes of a client that were recorded complete a handshake again. */
#ifndef FUZZ_TLS_WORLD_H
#define FUZZ_TLS_WORLD_H

#include "tls/tls_msg.h"

#include <openssl/ssl.h>

struct tls_world_suite {
    uint16_t version;
    bool psk; /* a key that both have, in the place of certificates or beside the server's */
    const char *name;
};
#define TLS_WORLD_SUITES 26u
extern const struct tls_world_suite tls_world_suites[TLS_WORLD_SUITES]; /* all of tls_suites, and two of libssl's */

enum tls_world_end { TLS_WORLD_SERVER, TLS_WORLD_CLIENT };

struct tls_world {
    struct rte_mempool *mbufs;
    struct tls_core core;
    struct tls_engine *engine;
    struct tls_ctx *contexts[TLS_WORLD_SUITES][2]; /* [1]: clients must show a certificate, but for those with a PSK */
    SSL_CTX *client_ctx;                           /* has one */
};

struct tls_world *tls_world(void); /* made at the first call */
/* Whose turn it is to draw random numbers; the server's unless told. */
void tls_world_draws(enum tls_world_end end);
/* Both begin with their first number again. */
void tls_world_again(void);
/* A client of one suite, with memory BIOs. */
SSL *tls_world_client(size_t suite);

/* Segments of at most `piece` bytes; what finds no mbuf is lost. */
void tls_world_push(struct rte_mempool *mbufs, struct rope *r, const uint8_t *p, uint32_t n, uint32_t piece);

struct tls_world_served {
    struct rope wire, plain, out; /* from the client, read, to the client */
    int verdicts;                 /* all bits seen */
    bool dead;
};
/* Let the server take what has come, until it has nothing more to do. Returns the verdict bits. */
int tls_world_serve(tls_id id, struct tls_world_served *s);

#endif
