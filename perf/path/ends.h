/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients and brokers around the rig. Clients are libssl's where they speak TLS, so the worker's records are judged by
 * somebody else's code; their records are sealed before a repetition begins, opened after it. Brokers check every byte.
 *
 * A repetition: ends_stage (what each client will send), then per round ends_publish and ends_step until all has
 * arrived, then ends_check. Nothing but the worker's turns is measured. */
#ifndef WEIR_PERF_ENDS_H
#define WEIR_PERF_ENDS_H

#include "host.h"

#include <openssl/ssl.h>

#define ENDS_STEP_US 50u /* the clock moves so much a step */

enum ends_kind {
    ENDS_MQTT0, /* PUBLISH QoS 0 to the broker */
    ENDS_MQTT1, /* PUBLISH QoS 1, PUBACK back */
    ENDS_BULK,  /* records' worth of bytes to a server */
    ENDS_ECHO   /* bytes that come back */
};

/* Bytes that grow. */
struct ends_bytes {
    uint8_t *data;
    size_t len, room;
};

struct ends_client {
    tcp_id id;
    SSL *ssl; /* NULL: plain */
    BIO *rbio, *wbio;
    bool greeted, accepted; /* CONNECT has left; CONNACK is here (or there is none to wait for) */
    uint32_t staged_n;      /* messages staged, ever: the next one's number */
    uint32_t answered_n;    /* answers seen and right, ever */
    struct ends_bytes out;  /* wire bytes of staged messages, each with its length (4 bytes) in front */
    size_t out_at;
    struct ends_bytes in, plain; /* what came back: as on the wire, and opened but not whole yet */
};

struct ends_server { /* the far side of a connection */
    bool greeted;
    uint32_t client; /* as CONNECT says */
    uint32_t number; /* messages seen */
    struct ends_bytes in;
};

struct ends {
    struct rig *rig;
    struct host host[RIG_PORTS];
    enum ends_kind kind;
    bool tls;
    uint32_t n_clients, bytes; /* payload of a message, or a record's */
    struct ends_client *clients;
    struct ends_server *servers; /* by tcp_id of the broker's host */
    uint32_t *client_of;         /* by tcp_id of the clients' host */
    uint32_t next_port;
    uint32_t max_conns;
    SSL_CTX *ctx;
    uint64_t arrived; /* messages at the servers, whole and right */
};

/* Hosts and what they share. max_conns: clients at once. */
void ends_open(struct ends *e, struct rig *rig, uint32_t max_conns);
void ends_close(struct ends *e);

/* `n` clients of that kind, connected and accepted; ends_disconnect resets them. */
void ends_connect(struct ends *e, enum ends_kind kind, bool tls, uint32_t n, uint32_t bytes);
void ends_disconnect(struct ends *e);

/* Make `each` more messages for every client ready to be sent. */
void ends_stage(struct ends *e, uint32_t each);
/* Client i's next staged message goes to its TCP; false: none is left, or TCP has no room. */
bool ends_publish(struct ends *e, uint32_t i);
/* What the ends have to say goes to the worker, one measured turn, and its frames go to the ends. Returns its work and
 * theirs: 0 means that nothing is under way. */
uint32_t ends_step(struct ends *e);
/* Step until nothing is under way; not measured. */
void ends_settle(struct ends *e);
/* Open what came back and compare: ends the program where it is not what was sent. */
void ends_check(struct ends *e);

#endif
