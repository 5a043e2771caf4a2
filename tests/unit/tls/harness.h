/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tests of lib/tls share: EAL and mbufs, certificates made on the spot, a tls_core with its engine, and a real
 * libssl client on the other end of two ropes, between which bytes travel in pieces of random size. */
#ifndef TLS_HARNESS_H
#define TLS_HARNESS_H

#include "tls/tls_msg.h"

#include <criterion/criterion.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

enum key_kind { KEY_EC, KEY_RSA };

struct rte_mempool *harness_pool(void); /* EAL and one pool of 2 KB mbufs, made at the first call */
uint32_t harness_mbufs_out(void);       /* mbufs not in the pool */
/* A fresh key and certificate, written to files that harness_files_remove deletes. */
struct harness_certificate {
    enum key_kind kind;
    const char *alt_names;                       /* "DNS:..,IP:.."; NULL: none */
    const GENERAL_NAMES *names;                  /* an extension of these beside that; NULL: none */
    const char *usage;                           /* extendedKeyUsage, "serverAuth"; NULL: for anything */
    long begins_s, expires_s;                    /* from now; 0, 0: since a minute, for an hour */
    const char *issuer_certificate, *issuer_key; /* files; NULL: self-signed, and a CA */
};
void harness_certificate(const struct harness_certificate *what, char certificate[64], char key[64]);
/* A self-signed one for weir.test. */
void harness_files(enum key_kind kind, char certificate[64], char key[64]);
void harness_files_remove(const char *certificate, const char *key);
struct tls_ctx *harness_ctx(enum key_kind kind, uint16_t min_version, const char *ciphers, const char *suites);

uint32_t harness_random(uint64_t *seed, uint32_t below);
/* Rows of tls_suites with every AEAD in either version, beginning with 1; 0 behind the last. */
uint8_t harness_next_row(uint8_t row);

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

/* How many alerts of that description were counted; -1: of any. */
uint64_t harness_alerts(const struct tls_core *core, enum tls_dir dir, int description);

/* Two connections of one core whose keys mirror each other, without any handshake: `client` seals what `server` opens
 * and the other way round. Records of every kind can be made with it. */
struct pair {
    struct tls_core core;
    struct tls_ctx *ctx;
    tls_id server, client;
};
void pair_init(struct pair *p, uint8_t suite_row); /* row + 1 of tls_suites */
void pair_fini(struct pair *p);
/* A record of the client's. */
void pair_seal(struct pair *p, uint8_t type, const void *data, uint32_t n, struct rope *wire);
/* tls_input of the server. Plaintext is dropped, its length added to *bytes where given. */
int pair_input(struct pair *p, struct rope *wire, struct rope *answer, uint32_t *bytes);
/* Open with the client's keys what the server sealed: the content type, or minus an enum tls_drop. */
int pair_open(struct pair *p, struct rope *wire, uint8_t *out, uint32_t room, uint32_t *n);

/* Take mbufs until `left` remain; harness_unstarve gives them back. */
void harness_starve(uint32_t left);
void harness_unstarve(void);
/* One mbuf holding the bytes; `shared`: an indirect one. */
void harness_push(struct rope *r, const void *data, uint32_t n, bool shared);

#endif
