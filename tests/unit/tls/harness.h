/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tests of lib/tls share: EAL and mbufs, certificates made on the spot, a tls_core with its engine, and a real
 * libssl client on the other end of two ropes, between which bytes travel in pieces of random size. */
#ifndef TLS_HARNESS_H
#define TLS_HARNESS_H

#include "tls/tls_msg.h"

#include <criterion/criterion.h>
#include <openssl/ssl.h>

enum key_kind { KEY_EC, KEY_RSA };

struct rte_mempool *harness_pool(void); /* EAL and one pool of 2 KB mbufs, made at the first call */
uint32_t harness_mbufs_out(void);       /* mbufs not in the pool */
/* A fresh key and self-signed certificate, written to files that harness_files_remove deletes. */
void harness_files(enum key_kind kind, char certificate[64], char key[64]);
void harness_files_remove(const char *certificate, const char *key);
struct tls_ctx *harness_ctx(enum key_kind kind, uint16_t min_version, const char *ciphers, const char *suites);

uint32_t harness_random(uint64_t *seed, uint32_t below);

struct harness { /* one server connection and its client */
    struct tls_core core;
    struct tls_engine *engine;
    struct tls_ctx *ctx;
    SSL_CTX *client_ctx;
    SSL *client;
    tls_id id;
    struct rope wire_in, wire_out; /* client to server, server to client */
    struct rope in, out;           /* plaintext opened, plaintext to be sealed */
    uint32_t piece_max;            /* bytes a segment at most; 0: as they come */
    bool share;                    /* segments share buffers: nothing is private */
    uint64_t seed;
    int error;    /* first negative verdict of tls_input */
    int verdicts; /* all bits seen */
};

struct harness_options {
    enum key_kind kind;
    uint16_t version;  /* the client's only one */
    const char *suite; /* OpenSSL's name; both ends */
    uint32_t max_handshakes;
    bool other_thread; /* not inline: the test calls tls_engine_run */
    uint32_t piece_max;
    bool share;
    const char *groups; /* of the client */
};
void harness_init(struct harness *h, const struct harness_options *o);
void harness_fini(struct harness *h);
/* A new client and server connection on the same contexts, offering `session` if not NULL. */
void harness_connect(struct harness *h, SSL_SESSION *session);
void harness_disconnect(struct harness *h);

/* Client's output to the server's wire. */
void harness_client_flush(struct harness *h);
/* One turn of the server, and its output to the client. */
void harness_turn(struct harness *h);
/* Drive both until the handshake is complete on both ends. Returns whether it is. */
bool harness_handshake(struct harness *h);
/* Client writes n patterned bytes (from `from` on) in records of at most `record`; the server must open just these. */
void harness_send(struct harness *h, uint32_t n, uint32_t record);
/* Server seals n patterned bytes, the client must read just these. */
void harness_receive(struct harness *h, uint32_t n);
/* Raw bytes onto the server's wire. */
void harness_inject(struct harness *h, const void *data, uint32_t n);

#endif
