/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages between a worker and a handshake engine.
 *
 * A message is also the place of one SSL object: the worker takes it from core->places when a connection's first full
 * record has come, and it stays with that connection until the SSL object is gone. It has one owner at a time, the
 * worker or the engine; a ring each way hands it over, and as each ring has room for all places, handing over never
 * fails.
 *
 * The exception is `cancelled`: the worker may set it while the engine holds the message, so that the engine does not
 * work for a connection that is gone. When a message comes home whose connection is gone (no connection's place is this
 * one) and which still has an SSL object, the worker sends it back, cancelled, for the engine to free. */
#ifndef WEIR_TLS_MSG_H
#define WEIR_TLS_MSG_H

#include "tls_int.h"

#include <stdatomic.h>

typedef struct ssl_st SSL;
typedef struct ssl_ctx_st SSL_CTX;

#define TLS_PSK_NAME_MAX 128u /* bytes; RFC 4279 section 5.3 */
#define TLS_MSG_ALERTS   4u   /* of one step: a record holds one, and gets one as its answer */

enum tls_request {
    TLS_REQ_HELLO,  /* a client begins; there is no `in` */
    TLS_REQ_RECORD, /* `in` is one whole record for libssl */
    TLS_REQ_REFUSE, /* `in` is the header of a record that may not be: tell the peer, and drop for `refused` */
    TLS_REQ_TICKET, /* `in` is records with NewSessionTickets for libssl */
    TLS_REQ_SEAL,   /* `in` is plaintext for libssl to send */
    TLS_REQ_CLOSE,  /* send close_notify */
};

enum tls_result {
    TLS_RES_MORE,    /* the handshake goes on */
    TLS_RES_OPEN,    /* complete, `keys` are ours to use, the SSL object is gone or lingers for tickets */
    TLS_RES_LIBSSL,  /* complete, libssl carries the records */
    TLS_RES_CLOSED,  /* as LIBSSL, and the peer's close_notify came */
    TLS_RES_DROPPED, /* `drop` says why, the SSL object is gone */
};

/* Of a server's client, as its next message. */
enum tls_awaited {
    TLS_AWAITED_CHEAP,
    TLS_AWAITED_HELLO, /* the rest of it, or the second one, after a HelloRetryRequest */
    TLS_AWAITED_KEYS,  /* 1.2 in full: ClientKeyExchange, and what is around it */
};

struct tls_messages { /* of a handshake, in the clear: what comes next (tls_limits.c) */
    uint32_t left;    /* bytes of the present one */
    uint8_t head[4];  /* of the next one: type and length, as far as it has come */
    uint8_t head_bytes;
    bool ccs; /* the peer's ChangeCipherSpec came */
};

struct tls_msg {
    /* the worker's part */
    tls_id conn;
    char server_name[TLS_NAME_MAX + 1]; /* clients: whom to meet; servers: whom the hello names; "" none */
    tls_session *offer;                 /* clients: to be resumed, or NULL */
    struct tls_ctx *ctx;                /* one reference */
    struct rte_mempool *pool;
    struct rope in;
    enum tls_request request;
    bool cancelled; /* atomic */
    bool unread;    /* worker: a result waits to be taken */
    bool costly;    /* libssl will work hard on it: the client should be there */
    bool start;     /* it counts as one of tls_admission's starts, */
    bool is_client; /* as one of its client_places, */
    bool stays;     /* as one of its libssl_places */

    /* the answer */
    enum tls_result result;
    enum tls_drop drop;
    enum tls_awaited awaited;
    bool moved;            /* MORE: another message, or more of a new one, is awaited than before */
    struct rope wire;      /* to be sent */
    struct rope plain;     /* LIBSSL: opened */
    uint8_t suite;         /* OPEN: row + 1 of tls_suites */
    uint8_t fragment_code; /* max_fragment_length, or 0 */
    uint16_t record_limit; /* the peer's record_size_limit, or 0: it has none */
    bool resumed;
    bool trailing; /* something lay in the record of the peer's Finished, behind it */
    uint16_t version;
    const char *suite_name; /* static */
    struct tls_dir_keys keys[2];
    tls_session *session;          /* clients: one that can be resumed, or NULL */
    struct tls_identity *identity; /* of a server's client, or NULL */
    uint64_t step_tsc;             /* cycles of this one message */
    uint8_t n_alerts;              /* that libssl has read and the engine has written, the worker counts them */
    struct {
        uint8_t dir, description; /* enum tls_dir; as on the wire */
    } alerts[TLS_MSG_ALERTS];

    /* the engine's part */
    SSL *ssl;
    int state;                         /* of the handshake (SSL_get_state) */
    uint8_t secret[2][TLS_SECRET_MAX]; /* 1.3: application traffic secrets, by enum tls_dir */
    uint8_t secret_bytes[2];
    struct tls_messages messages;   /* of the peer's */
    enum tls_drop refused;          /* by us: libssl only knows that somebody said no */
    char psk[TLS_PSK_NAME_MAX + 1]; /* identity of the pre-shared key, or SRP user, in use; "" none */
    bool psk_new;                   /* found by name, not in a ticket */
    bool named;                     /* the client's server name picked the certificate */
    uint8_t idle_run;               /* LIBSSL: records that held no data, less those that are paid for */
    uint32_t idle_paid;             /* bytes of data on account of the next one */
    uint64_t idle_tsc;              /* since when a minute pays for one */
    uint64_t records[2];            /* LIBSSL: under the present key, by enum tls_dir */
    bool limit_agreed;              /* record_size_limit: the client is to be told ours */
    uint8_t ccs_sent;               /* 1.2: what we send is encrypted */
    uint8_t finished[64];           /* 1.2: our Finished as sent, to prove the keys */
    uint8_t finished_bytes;
    uint32_t encrypted_sent; /* 1.2: records behind our ChangeCipherSpec */
};

/* An alert came, or is in msg->wire. */
static inline void tls_msg_alert(struct tls_msg *msg, enum tls_dir dir, uint8_t description) {
    if (msg->n_alerts == TLS_MSG_ALERTS)
        return;
    msg->alerts[msg->n_alerts].dir = (uint8_t)dir;
    msg->alerts[msg->n_alerts++].description = description;
}

/* --- tls_engine.c --- */
struct tls_engine {
    struct IMB_MGR *mgr;
    struct tls_kdf *kdf;
    uint32_t max_handshakes, given; /* places in all, and how many the attached cores have */
    uint32_t cores, next;           /* attached; where the next run begins */
    struct tls_core *core[64];
    uint64_t record_limit; /* under one key of a suite of 1.3 that libssl carries */
    uint64_t minute_tsc;
    uint64_t long_step_tsc; /* a step that took longer is the last one of an inline run */
    uint8_t scratch[TLS_RECORD_WIRE_MAX + TLS_HEADER_BYTES];
    uint8_t aead_ctx[TLS_AEAD_CTX_BYTES] __attribute__((aligned(WEIR_CACHE_LINE)));
    struct gcm_key_data *key; /* room for one expanded key */
    bool locked;              /* in memory, as all that holds keys */
};
/* The same as tls_engine_run, inline: a long step ends the turn's share. */
uint32_t tls_engine_run_inline(struct tls_engine *engine, uint32_t max);
/* Serve one message: the only place where SSL objects live. */
void tls_engine_serve(struct tls_engine *engine, struct tls_msg *msg);
void tls_engine_detach(struct tls_engine *engine, struct tls_core *core);

/* --- tls_handover.c --- */
/* Look at what libssl sends during the handshake: 1.2 needs its Finished. */
void tls_handover_watch(struct tls_msg *msg, const uint8_t *out, uint32_t n);
/* The handshake is complete and `last` is what libssl wrote in its last step. Returns true where msg->keys are set and
 * proven; else msg->drop says why, or is NONE where the suite stays with libssl. */
bool tls_handover(struct tls_engine *engine, struct tls_msg *msg, const uint8_t *last, uint32_t n);

/* --- tls_limits.c --- */
#define TLS_MESSAGE_MAX (TLS_RECORD_MAX - 4u) /* behind its header: one record holds it, and libssl's first buffer */
/* Is every handshake message in, or announced by, the record `in` short enough? */
bool tls_limits_record(struct tls_msg *msg);
/* In libssl's callback for it: are those lists of a ClientHello short enough of which libssl makes objects, or which it
 * looks through many times? */
bool tls_limits_hello(SSL *ssl);
/* Are there few enough names, and whatever else becomes objects, in a client's certificates? */
struct stack_st_X509;
bool tls_limits_certificates(const struct stack_st_X509 *certificates);

/* --- tls_ctx.c --- */
struct tls_ctx {
    atomic_uint references;
    bool client, verify;
    uint8_t mark[16];        /* clients: random, so that sessions are resumed under the context that made them alone */
    SSL_CTX *ssl;            /* a listener's: of the default certificates */
    struct tls_certs *certs; /* tls_certs.h; a client's own is alone there, NULL: it has none */
    struct tls_alpn *alpn;   /* listeners, NULL: none */
    struct tls_psk *psk;     /* listeners: one reference, NULL: none */
    struct tls_srp *srp;     /* as well */
    struct tls_key_log *key_log;         /* NULL: none */
    struct tls_verify *verifier;         /* listeners: one reference */
    bool tell_names;                     /* keep those of clients */
    uint32_t keep_alt_names;             /* of their certificates, */
    bool keep_certificate;               /* and those themselves */
    struct tls_ticket_keys *ticket_keys; /* listeners: one reference */
};
/* An SSL object over memory BIOs whose secrets are noted in `msg`. NULL: out of memory. */
SSL *tls_ctx_ssl_new(struct tls_ctx *ctx, struct tls_msg *msg);
/* Set-up that both roles share; false: `error` says why. */
bool tls_ctx_set_groups(SSL_CTX *ssl, const char *groups, char *error, size_t error_bytes); /* NULL: the default */
bool tls_ctx_set_policy(SSL_CTX *ssl, uint16_t min_version, const char *ciphers, const char *suites, char *error,
                        size_t error_bytes);
struct tls_ctx *tls_ctx_wrap(SSL_CTX *ssl); /* NULL: out of memory */
const char *tls_ctx_reason(void);           /* why libssl's last call failed */

/* --- tls_pair.c --- */
/* Give an SSL_CTX the certificate, its chain and its key. false: `error` says why. */
bool tls_pair_load(SSL_CTX *ssl, const char *certificate_file, const char *key_file, char *error, size_t error_bytes);

/* --- tls_record_size.c --- */
/* Agree on record_size_limit in the handshakes of a context. Returns false: out of memory. */
bool tls_record_size_offer(SSL_CTX *ssl);
/* Plaintext bytes of a record within a record_size_limit (0: none). */
uint32_t tls_record_limit_bytes(uint16_t record_limit, bool v13);

/* --- tls_client_ctx.c --- */
/* Whom to meet and what to resume. Returns false: out of memory. */
bool tls_client_ssl_set(SSL *ssl, const struct tls_msg *msg);
/* Why libssl refused the server. */
enum tls_drop tls_client_verify_drop(const SSL *ssl);

/* --- tls_admission.c --- */
/* A record is about to go to the engine that has what libssl awaits: it is costly, and a hello counts as a start. */
void tls_admission_costly(struct tls_core *core, struct tls_msg *msg);
/* Its hello, or whatever was costly, is no longer with the engine. */
void tls_admission_started(struct tls_core *core, struct tls_msg *msg);
/* libssl would carry the records of the message's connection: may that be, and its place be gone for as long? */
bool tls_admission_stay(struct tls_core *core, struct tls_msg *msg);

/* --- tls_handshake.c: the worker's side of messages --- */
void tls_msg_post(struct tls_core *core, struct tls_msg *msg);
/* At home, and its connection needs it no more. */
void tls_msg_dismiss(struct tls_core *core, struct tls_msg *msg);
static inline void tls_msg_cancel(struct tls_msg *msg) {
    __atomic_store_n(&msg->cancelled, true, __ATOMIC_RELAXED);
}

/* --- tls_client.c --- */
/* Keep the session that came with a message. Returns whether one did. */
bool tls_client_session_keep(struct tls_core *core, struct tls_conn *c, struct tls_msg *msg);

/* --- tls_linger.c --- */
/* The handshake is complete, and the SSL object of `msg` stays with the connection. */
void tls_linger_begin(struct tls_core *core, struct tls_conn *c, tls_id id, struct tls_msg *msg);
/* The engine is done with what it was fed. Returns whether there is a session to take. */
bool tls_linger_home(struct tls_core *core, struct tls_conn *c, struct tls_msg *msg);

#endif
