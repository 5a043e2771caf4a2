/* SPDX-License-Identifier: BSD-3-Clause */
/* A client of ours and a bare libssl server on the other end of two ropes. */
#ifndef TLS_CLIENT_HARNESS_H
#define TLS_CLIENT_HARNESS_H

#include "harness.h"

/* A suite that a connection of ours is taken over with, whichever end it is. */
struct client_case {
    enum key_kind kind;
    uint16_t version;
    const char *suite, *name; /* OpenSSL's, IANA's */
};
extern const struct client_case client_cases[14];

struct client {
    struct tls_core core;
    struct tls_engine *engine;
    struct tls_ctx *ctx;
    SSL_CTX *server_ctx;
    SSL *server;
    tls_id id;
    struct rope in, out; /* wire: server to client, client to server */
    struct rope plain;   /* opened */
    uint32_t piece_max;
    bool share;
    uint64_t seed;
    int error;    /* first negative verdict */
    int verdicts; /* all bits seen */
    uint32_t news;
    char certificate[64], key[64]; /* the server's: its own CA */
};

struct client_options {
    enum key_kind kind;
    uint16_t version;          /* the server's only one; 0: any */
    const char *suite;         /* the server's only one; NULL: any */
    const char *client_suites; /* TLS 1.2 list of the client; NULL: as a client has them */
    const char *client_suites13;
    const struct harness_certificate *certificate; /* of the server; NULL: for weir.test */
    const struct tls_client_ctx_config *config;    /* NULL: trusts just the server's certificate */
    uint32_t max_handshakes;
    uint32_t piece_max;
    bool share, other_thread;
};

void client_init(struct client *c, const struct client_options *o);
void client_fini(struct client *c);
/* A new pair of ends. */
void client_connect(struct client *c, const char *server_name, tls_session *session);
void client_disconnect(struct client *c);
/* One turn of the client; its output goes to the server's BIO. */
void client_turn(struct client *c);
/* What the server wants to send, to the client's wire. */
void client_server_flush(struct client *c);
/* Drive both to the end of the handshake. Returns whether it is complete. */
bool client_handshake(struct client *c);
/* n patterned bytes one way, which the other end must get just so. */
void client_says(struct client *c, uint32_t n);
void server_says(struct client *c, uint32_t n);
/* Some turns, so that everything under way arrives. */
void client_settle(struct client *c);

#endif
