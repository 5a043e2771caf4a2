/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages between a worker and a handshake engine.
 *
 * A message is also the place of one SSL object: the worker takes it from core->places when a connection's first full
 * record has come, and it stays with that connection until the SSL object is gone. It has one owner at a time, the
 * worker or the engine; a ring each way hands it over, and as each ring has room for all places, handing over never
 * fails.
 *
 * The exception is `cancelled`: the worker may set it while the engine holds the message, so that the engine does not
 * work for a connection that is gone. When a message comes home whose connection is gone (its generation differs) and
 * which still has an SSL object, the worker sends it back, cancelled, for the engine to free. */
#ifndef WEIR_TLS_MSG_H
#define WEIR_TLS_MSG_H

#include "tls_int.h"

#include <stdatomic.h>

typedef struct ssl_st SSL;
typedef struct ssl_ctx_st SSL_CTX;

enum tls_request {
    TLS_REQ_RECORD, /* `in` is one whole record for libssl */
    TLS_REQ_SEAL,   /* `in` is plaintext for libssl to send */
    TLS_REQ_CLOSE,  /* send close_notify */
};

enum tls_result {
    TLS_RES_MORE,    /* the handshake goes on */
    TLS_RES_OPEN,    /* complete, `keys` are ours to use, the SSL object is gone */
    TLS_RES_LIBSSL,  /* complete, libssl carries the records */
    TLS_RES_CLOSED,  /* as LIBSSL, and the peer's close_notify came */
    TLS_RES_DROPPED, /* `drop` says why, the SSL object is gone */
};

struct tls_msg {
    /* the worker's part */
    uint32_t conn, generation;
    struct tls_ctx *ctx; /* one reference */
    struct rte_mempool *pool;
    struct rope in;
    enum tls_request request;
    bool cancelled; /* atomic */
    bool unread;    /* worker: a result waits to be taken */

    /* the answer */
    enum tls_result result;
    enum tls_drop drop;
    struct rope wire;  /* to be sent */
    struct rope plain; /* LIBSSL: opened */
    uint8_t suite;     /* OPEN: row + 1 of tls_suites */
    uint8_t fragment_code;
    bool resumed;
    uint16_t version;
    const char *suite_name; /* static */
    struct tls_dir_keys keys[2];

    /* the engine's part */
    SSL *ssl;
    uint8_t secret[2][TLS_SECRET_MAX]; /* 1.3: application traffic secrets, by enum tls_dir */
    uint8_t secret_bytes[2];
    uint8_t ccs_sent;     /* 1.2: what we send is encrypted */
    uint8_t finished[64]; /* 1.2: our Finished as sent, to prove the keys */
    uint8_t finished_bytes;
    uint32_t encrypted_sent; /* 1.2: records behind our ChangeCipherSpec */
};

/* --- tls_engine.c --- */
struct tls_engine {
    struct IMB_MGR *mgr;
    struct tls_kdf *kdf;
    uint32_t max_handshakes, given; /* places in all, and how many the attached cores have */
    uint32_t cores, next;           /* attached; where the next run begins */
    struct tls_core *core[64];
    uint8_t scratch[TLS_RECORD_WIRE_MAX + TLS_HEADER_BYTES];
    uint8_t aead_ctx[320] __attribute__((aligned(WEIR_CACHE_LINE)));
    struct gcm_key_data *key; /* room for one expanded key */
};
/* Serve one message: the only place where SSL objects live. */
void tls_engine_serve(struct tls_engine *engine, struct tls_msg *msg);
void tls_engine_detach(struct tls_engine *engine, struct tls_core *core);

/* --- tls_handover.c --- */
/* Look at what libssl sends during the handshake: 1.2 needs its Finished. */
void tls_handover_watch(struct tls_msg *msg, const uint8_t *out, uint32_t n);
/* The handshake is complete and `last` is what libssl wrote in its last step. Returns true where msg->keys are set and
 * proven; else msg->drop says why, or is NONE where the suite stays with libssl. */
bool tls_handover(struct tls_engine *engine, struct tls_msg *msg, const uint8_t *last, uint32_t n);

/* --- tls_ctx.c --- */
struct tls_ctx {
    atomic_uint references;
    SSL_CTX *ssl;
};
/* An SSL object over memory BIOs, accepting, whose secrets are noted in `msg`. NULL: out of memory. */
SSL *tls_ctx_ssl_new(struct tls_ctx *ctx, struct tls_msg *msg);

#endif
