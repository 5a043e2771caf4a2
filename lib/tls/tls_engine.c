/* SPDX-License-Identifier: BSD-3-Clause */
/* The handshake engine: SSL objects are made, fed and freed here, on the worker itself or on a core of its own.
 *
 * All engines share OpenSSL's default library context. libssl 3.0 takes (read) locks there in every handshake to look
 * its algorithms up; a context an engine was measured and brings nothing: two threads with one each, or with the shared
 * one, took about 275 us of CPU time for the server's part of a full handshake (ECDSA P-256) and 205 us for a resumed
 * one either way, within the noise of a few per cent, and never slept on a lock. */
#include "tls_psk.h"
#include "tls_srp.h"
#include "tls_vault.h"
#include "tls_verify.h"

#include <intel-ipsec-mb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <rte_cycles.h>
#include <rte_ring.h>
#include <stdlib.h>

#define LONG_STEP_US  100u           /* a signature or a key exchange: after one of these, packets go first */
#define USUAL_RECORD  4096u          /* bytes of one of a handshake */
#define IDLE_BYTES    TLS_RECORD_MAX /* of data that libssl opens for each record without any */
#define STARTS_INLINE 1u /* hellos that lie in an engine's ring for one worker: as many as a turn begins, ... */
#define STARTS_CORE   4u /* ... or as it takes for a handshake core to be busy while the worker turns once */

struct tls_engine *tls_engine_new(uint32_t max_handshakes) {
    bool locked = true;
    struct tls_engine *engine = tls_secret_alloc(sizeof(*engine), &locked);

    if (engine == NULL)
        return NULL;
    engine->max_handshakes = max_handshakes;
    engine->mgr = tls_mgr_new();
    engine->kdf = tls_kdf_new();
    engine->key = tls_secret_alloc(sizeof(*engine->key), &locked);
    engine->locked = locked;
    if (engine->mgr == NULL || engine->kdf == NULL || engine->key == NULL) {
        tls_engine_free(engine);
        return NULL;
    }
    engine->record_limit = TLS_CCM_RECORD_LIMIT;
    engine->minute_tsc = rte_get_tsc_hz() * 60;
    engine->long_step_tsc = rte_get_tsc_hz() * LONG_STEP_US / 1000000;
    return engine;
}

void tls_engine_free(struct tls_engine *engine) {
    if (engine == NULL)
        return;
    assert(engine->cores == 0);
    tls_kdf_free(engine->kdf);
    if (engine->mgr)
        free_mb_mgr(engine->mgr);
    tls_secret_free(engine->key, sizeof(*engine->key));
    tls_secret_free(engine, sizeof(*engine));
}

static struct rte_ring *ring_new(const char *name, uint32_t objects) {
    uint32_t slots = rte_align32pow2(objects + 1);
    ssize_t bytes = rte_ring_get_memsize(slots);
    struct rte_ring *r =
        bytes > 0 ? aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL((size_t)bytes, RTE_CACHE_LINE_SIZE)) : NULL;

    if (r && rte_ring_init(r, name, slots, RING_F_SP_ENQ | RING_F_SC_DEQ) != 0) {
        free(r);
        r = NULL;
    }
    return r;
}

int tls_core_attach(struct tls_core *core, struct tls_engine *engine, bool run_inline) {
    uint32_t places = core->places.capacity;

    if (core->engine)
        return WEIR_EEXIST;
    if (engine->max_handshakes)
        places = weir_min_u32(places, engine->max_handshakes - engine->given);
    if (places == 0 || engine->cores == WEIR_ARRAY_LEN(engine->core))
        return WEIR_EFULL;
    core->requests = ring_new("tls_requests", places);
    core->completions = ring_new("tls_completions", places);
    if (core->requests == NULL || core->completions == NULL) {
        free(core->requests);
        free(core->completions);
        core->requests = core->completions = NULL;
        return WEIR_ENOMEM;
    }
    core->max_places = places;
    core->admission.max_starts = run_inline ? STARTS_INLINE : STARTS_CORE;
    core->engine = engine;
    core->run_inline = run_inline;
    engine->given += places;
    engine->core[engine->cores++] = core;
    return 0;
}

void tls_engine_detach(struct tls_engine *engine, struct tls_core *core) {
    for (uint32_t i = 0; i < engine->cores; i++) {
        if (engine->core[i] == core) {
            engine->core[i] = engine->core[--engine->cores];
            engine->given -= core->max_places;
            break;
        }
    }
    core->engine = NULL;
}

/* Before an expensive step: has the client gone meanwhile? Only the worker itself can tell. */
static void look_again(struct tls_core *core, struct tls_msg *msg) {
    if (core->run_inline && msg->costly && tls_conn_alive(core, msg->conn) &&
        tls_client_gone(core, tls_conn_get(core, msg->conn), !msg->start))
        tls_msg_cancel(msg);
}

static uint32_t run(struct tls_engine *engine, uint32_t max, uint64_t long_step_tsc) {
    uint32_t served = 0, idle = 0;
    void *object;
    bool was_long = false;

    /* One message of each core in turn, so that one with many handshakes does not starve the others. */
    while (served < max && idle < engine->cores && !was_long) {
        struct tls_core *core = engine->core[engine->next++ % engine->cores];
        if (rte_ring_sc_dequeue(core->requests, &object) != 0) {
            idle++;
            continue;
        }
        struct tls_msg *msg = object;
        uint64_t began_tsc = rte_rdtsc();
        idle = 0;
        look_again(core, msg);
        tls_engine_serve(engine, msg);
        msg->step_tsc = rte_rdtsc() - began_tsc;
        was_long = msg->step_tsc > long_step_tsc;
        rte_ring_sp_enqueue(core->completions, msg);
        served++;
    }
    return served;
}

uint32_t tls_engine_run(struct tls_engine *engine, uint32_t max) {
    return run(engine, max, UINT64_MAX);
}

uint32_t tls_engine_run_inline(struct tls_engine *engine, uint32_t max) {
    return run(engine, max, engine->long_step_tsc);
}

/* --- one message --- */

static void ssl_end(struct tls_msg *msg) {
    SSL_free(msg->ssl);
    msg->ssl = NULL;
    explicit_bzero(msg->secret, sizeof(msg->secret));
}

static void msg_drop(struct tls_msg *msg, enum tls_drop drop) {
    ssl_end(msg);
    explicit_bzero(msg->keys, sizeof(msg->keys));
    msg->result = TLS_RES_DROPPED;
    msg->drop = drop;
}

/* Give libssl the record. Returns false: out of memory. */
static bool feed(struct tls_msg *msg) {
    BIO *bio = SSL_get_rbio(msg->ssl);
    bool ok = true;

    for (const struct rte_mbuf *m = msg->in.head; m && ok; m = m->next)
        ok = BIO_write(bio, rte_pktmbuf_mtod(m, const void *), m->data_len) == m->data_len;
    rope_clear(&msg->in);
    return ok;
}

/* What was fed has been read. libssl's buffers grow with the largest record and never shrink: after one that is larger
 * than usual, anew. */
static bool feed_trim(struct tls_msg *msg, uint32_t fed_bytes) {
    if (fed_bytes <= USUAL_RECORD || BIO_ctrl_pending(SSL_get_rbio(msg->ssl)) > 0)
        return true;
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio)
        SSL_set0_rbio(msg->ssl, bio);
    return bio != NULL;
}

/* What libssl wants to send, valid until the next call into it. */
static uint32_t output_peek(struct tls_msg *msg, const uint8_t **data) {
    char *p = NULL;
    long n = BIO_get_mem_data(SSL_get_wbio(msg->ssl), &p);

    *data = n > 0 ? (const uint8_t *)p : msg->finished; /* nothing, but not NULL */
    return n > 0 ? (uint32_t)n : 0;
}

/* Move it to msg->wire. Returns false: out of memory. */
static bool output_take(struct tls_msg *msg) {
    const uint8_t *data;
    uint32_t n = output_peek(msg, &data);

    if (n == 0)
        return true;
    bool ok = rope_append(&msg->wire, msg->pool, data, n) == 0;
    (void)BIO_reset(SSL_get_wbio(msg->ssl));
    return ok;
}

/* A fatal alert in the clear. */
static void alert_put(struct tls_msg *msg, int alert) {
    const uint8_t record[TLS_HEADER_BYTES + 2] = {TLS_CT_ALERT, 3, 3, 0, 2, 2, (uint8_t)alert};

    if (rope_append(&msg->wire, msg->pool, record, sizeof(record)) == 0)
        tls_msg_alert(msg, TLS_WRITE, (uint8_t)alert);
}

static enum tls_drop shared_secret_drop(const SSL *ssl) {
    return tls_srp_in_use(ssl) ? TLS_DROP_HS_SRP : TLS_DROP_HS_PSK;
}

/* Did libssl give up over `reason` because the peer sent a fatal alert? */
static bool is_peer_alert(int reason) {
    return reason > SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256;
}

/* Why libssl gave up, in our words. */
static enum tls_drop failure(const SSL *ssl, const struct tls_msg *msg) {
    int reason = ERR_GET_REASON(ERR_peek_error()), last = ERR_GET_REASON(ERR_peek_last_error());

    if (last == SSL_R_CERTIFICATE_VERIFY_FAILED) /* behind what led to it */
        return SSL_is_server(ssl) ? tls_verify_drop(ssl) : tls_client_verify_drop(ssl);
    if (is_peer_alert(reason))
        return TLS_DROP_HS_PEER_ALERT;
    if (msg->psk[0] && (reason == SSL_R_BINDER_DOES_NOT_VERIFY || last == SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC))
        return shared_secret_drop(ssl);
    switch (reason) {
    case SSL_R_PSK_IDENTITY_NOT_FOUND:
    case SSL_R_BAD_SRP_PARAMETERS:
    case SSL_R_BAD_SRP_A_LENGTH:
        return shared_secret_drop(ssl);
    case SSL_R_EXCESSIVE_MESSAGE_SIZE: /* of a message that was encrypted */
        return TLS_DROP_HS_TOO_LONG;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        return TLS_DROP_HS_CLIENT_NO_CERT;
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SHARED_GROUPS:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
        return TLS_DROP_HS_NO_SHARED_CIPHER;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_VERSION_TOO_LOW:
        return TLS_DROP_HS_VERSION;
    default:
        return TLS_DROP_HS_FAILED;
    }
}

/* libssl answers each attempt to renegotiate, and each KeyUpdate, at once and for ever: the answers would pile up where
 * the peer takes none. A few are free, further ones are paid for with data, or time. */
static enum tls_drop idle_drop(const struct tls_engine *engine, struct tls_msg *msg, uint8_t type,
                               uint32_t plain_bytes) {
    uint64_t now_tsc = rte_rdtsc(), minutes = (now_tsc - msg->idle_tsc) / engine->minute_tsc;

    if (minutes > 0) {
        msg->idle_run -= (uint8_t)RTE_MIN((uint64_t)msg->idle_run, minutes);
        msg->idle_tsc = now_tsc;
    }
    if (plain_bytes > 0) {
        msg->idle_paid += plain_bytes;
        msg->idle_run -= (uint8_t)weir_min_u32(msg->idle_run, msg->idle_paid / IDLE_BYTES);
        msg->idle_paid %= IDLE_BYTES;
    } else if (++msg->idle_run > TLS_UPDATE_RUN_MAX && type == TLS_CT_HANDSHAKE) {
        return TLS_DROP_RENEGOTIATION;
    }
    return msg->idle_run > TLS_UPDATE_RUN_MAX ? TLS_DROP_UPDATE_FLOOD : TLS_DROP_NONE;
}

/* What SSL_read's last `error` on a record of that type means. */
static enum tls_drop record_drop(const struct tls_engine *engine, struct tls_msg *msg, int error, uint8_t type) {
    if (error == SSL_ERROR_WANT_READ)
        return idle_drop(engine, msg, type, msg->plain.len_bytes);
    return is_peer_alert(ERR_GET_REASON(ERR_peek_error())) ? TLS_DROP_PEER_ALERT : TLS_DROP_LIBSSL;
}

/* One more under the present key of a suite of 1.3 that libssl carries, which does not count them: a new one in time
 * (RFC 8446 section 5.5, RFC 9147 section 4.5.3), or the peer is asked for one. */
static void record_count(const struct tls_engine *engine, struct tls_msg *msg, enum tls_dir dir) {
    bool over = SSL_get_shutdown(msg->ssl) != 0;

    if (msg->version != TLS_V13 || ++msg->records[dir] < engine->record_limit || over)
        return;
    (void)SSL_key_update(msg->ssl, dir == TLS_READ ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED);
    (void)SSL_do_handshake(msg->ssl); /* at once: as long as it is pending libssl neither closes nor sends alerts */
    msg->records[TLS_WRITE] = msg->records[dir] = 0;
}

/* A record of a connection that stays with libssl. */
static void record_in(struct tls_engine *engine, struct tls_msg *msg) {
    enum tls_drop drop = TLS_DROP_NONE;
    uint8_t type = 0;
    int n = 0;

    rope_copy(&msg->in, 0, &type, 1);

    if (!feed(msg))
        drop = TLS_DROP_NO_MEMORY;
    ERR_clear_error();
    while (drop == TLS_DROP_NONE && (n = SSL_read(msg->ssl, engine->scratch, TLS_RECORD_MAX)) > 0) {
        if (rope_append(&msg->plain, msg->pool, engine->scratch, (uint32_t)n) < 0)
            drop = TLS_DROP_NO_MEMORY;
    }
    explicit_bzero(engine->scratch, TLS_RECORD_MAX);
    msg->result = TLS_RES_LIBSSL;
    if (drop == TLS_DROP_NONE) {
        int error = SSL_get_error(msg->ssl, n);
        if (error == SSL_ERROR_ZERO_RETURN)
            msg->result = TLS_RES_CLOSED;
        else
            drop = record_drop(engine, msg, error, type);
    }
    if (drop == TLS_DROP_NONE)
        record_count(engine, msg, TLS_READ);
    if (!output_take(msg))
        drop = TLS_DROP_NO_MEMORY;
    if (drop != TLS_DROP_NONE)
        msg_drop(msg, drop);
    ERR_clear_error();
}

/* The handshake is complete: take the keys, or leave the records to libssl. */
static void complete(struct tls_engine *engine, struct tls_msg *msg) {
    const uint8_t *last;
    uint32_t n = output_peek(msg, &last);

    msg->resumed = SSL_session_reused(msg->ssl) && !msg->psk_new;
    msg->version = (uint16_t)SSL_version(msg->ssl);
    msg->suite_name = SSL_CIPHER_standard_name(SSL_get_current_cipher(msg->ssl));
    msg->trailing = SSL_has_pending(msg->ssl);
    if (SSL_is_server(msg->ssl) && !tls_identity_new(msg->ssl, msg, &msg->identity)) {
        msg_drop(msg, TLS_DROP_NO_MEMORY);
        return;
    }
    msg->drop = TLS_DROP_NONE;
    bool ours = tls_handover(engine, msg, last, n);
    explicit_bzero(engine->key, sizeof(*engine->key));
    enum tls_drop drop = msg->drop;
    if (drop == TLS_DROP_NONE && !output_take(msg))
        drop = TLS_DROP_NO_MEMORY;
    if (drop != TLS_DROP_NONE) {
        msg_drop(msg, drop);
        return;
    }
    if (ours && !SSL_is_server(msg->ssl) && msg->version == TLS_V13)
        explicit_bzero(msg->secret, sizeof(msg->secret)); /* the SSL object lingers for tickets */
    else if (ours)
        ssl_end(msg);
    msg->result = ours ? TLS_RES_OPEN : TLS_RES_LIBSSL;
    if (!ours && msg->trailing)
        record_in(engine, msg);
}

static enum tls_awaited awaited(const struct tls_msg *msg) {
    if (!SSL_is_server(msg->ssl))
        return TLS_AWAITED_CHEAP;
    switch (SSL_get_state(msg->ssl)) {
    case TLS_ST_BEFORE:
    case TLS_ST_SR_CLNT_HELLO:
        return TLS_AWAITED_HELLO;
    case TLS_ST_EARLY_DATA: /* behind a HelloRetryRequest, or behind all that a server of 1.3 has to say */
        return msg->secret_bytes[TLS_WRITE] == 0 ? TLS_AWAITED_HELLO : TLS_AWAITED_CHEAP;
    case TLS_ST_SW_SRVR_DONE:
    case TLS_ST_SR_CERT:
    case TLS_ST_SR_KEY_EXCH:
        return TLS_AWAITED_KEYS;
    default:
        return TLS_AWAITED_CHEAP;
    }
}

static void handshake(struct tls_engine *engine, struct tls_msg *msg) {
    uint32_t fed = msg->in.len_bytes;
    const uint8_t *out;

    if (!tls_limits_record(msg)) {
        rope_clear(&msg->in);
        alert_put(msg, tls_drop_alert(TLS_DROP_HS_TOO_LONG));
        msg_drop(msg, TLS_DROP_HS_TOO_LONG);
        return;
    }
    if (msg->ssl == NULL)
        msg->ssl = tls_ctx_ssl_new(msg->ctx, msg);
    if (msg->ssl == NULL || !feed(msg)) {
        rope_clear(&msg->in);
        msg_drop(msg, TLS_DROP_NO_MEMORY);
        return;
    }
    ERR_clear_error();
    int rc = SSL_do_handshake(msg->ssl);
    tls_vault_leave(); /* where it failed in the middle of a ticket */
    int error = SSL_get_error(msg->ssl, rc);
    enum tls_awaited before = msg->awaited;
    msg->awaited = awaited(msg);
    msg->moved = msg->awaited != before || msg->state != (int)SSL_get_state(msg->ssl);
    msg->state = (int)SSL_get_state(msg->ssl);

    uint32_t n = output_peek(msg, &out);
    tls_handover_watch(msg, out, n);
    if (rc == 1) {
        complete(engine, msg);
        return;
    }
    enum tls_drop drop = error == SSL_ERROR_WANT_READ ? TLS_DROP_NONE : msg->refused;
    if (error != SSL_ERROR_WANT_READ && drop == TLS_DROP_NONE)
        drop = failure(msg->ssl, msg);
    if (!output_take(msg) || !feed_trim(msg, fed)) /* in failure: the alert */
        drop = TLS_DROP_NO_MEMORY;
    if (drop == TLS_DROP_NONE)
        msg->result = TLS_RES_MORE;
    else
        msg_drop(msg, drop);
    ERR_clear_error();
}

/* The header of a record that may not be; libssl finds so too, and writes the alert. Or a connection that may not stay:
 * all that libssl can be told to say then is close_notify. */
static void refuse(struct tls_engine *engine, struct tls_msg *msg) {
    uint8_t record[TLS_HEADER_BYTES + 1] = {0};

    if (msg->refused == TLS_DROP_HS_LIBSSL_FULL) {
        (void)SSL_shutdown(msg->ssl);
        (void)output_take(msg);
        msg_drop(msg, msg->refused);
        ERR_clear_error();
        return;
    }
    rope_copy(&msg->in, 0, record, TLS_HEADER_BYTES);
    rope_clear(&msg->in);
    if (msg->refused == TLS_DROP_BAD_TYPE) { /* it looks at the type of whole records: let it be one */
        record[3] = 0;
        record[4] = 1;
    }
    if (msg->ssl && BIO_write(SSL_get_rbio(msg->ssl), record, sizeof(record)) == sizeof(record)) {
        (void)(SSL_in_init(msg->ssl) ? SSL_do_handshake(msg->ssl) : SSL_read(msg->ssl, engine->scratch, 1));
        (void)output_take(msg);
    }
    msg_drop(msg, msg->refused);
    ERR_clear_error();
}

static void plain_out(struct tls_engine *engine, struct tls_msg *msg) {
    uint32_t n = rope_copy(&msg->in, 0, engine->scratch, TLS_RECORD_MAX);
    uint32_t most = tls_record_limit_bytes(msg->record_limit, msg->version == TLS_V13), part;
    bool ok = true;

    rope_clear(&msg->in);
    ERR_clear_error();
    for (uint32_t at = 0; ok && at < n; at += part) { /* libssl itself can keep to 512 bytes and more */
        part = weir_min_u32(n - at, most);
        ok = SSL_write(msg->ssl, engine->scratch + at, (int)part) == (int)part;
        record_count(engine, msg, TLS_WRITE);
    }
    explicit_bzero(engine->scratch, n);
    msg->result = TLS_RES_LIBSSL;
    if (!ok || !output_take(msg))
        msg_drop(msg, ok ? TLS_DROP_NO_MEMORY : TLS_DROP_LIBSSL);
    ERR_clear_error();
}

/* Records with NewSessionTickets for an SSL object that lingers: it tells by new_session. */
static void tickets_in(struct tls_engine *engine, struct tls_msg *msg) {
    bool fed = feed(msg);
    int n;

    ERR_clear_error();
    do {
        n = fed ? SSL_read(msg->ssl, engine->scratch, TLS_RECORD_MAX) : 0;
    } while (n > 0);
    (void)BIO_reset(SSL_get_wbio(msg->ssl)); /* nothing of it may be sent any more, */
    msg->n_alerts = 0;                       /* nor is any alert there that the record layer has not counted */
    msg->result = TLS_RES_OPEN;
    if (!fed || SSL_get_error(msg->ssl, n) != SSL_ERROR_WANT_READ)
        msg_drop(msg, TLS_DROP_LIBSSL);
    ERR_clear_error();
}

static void close_out(struct tls_msg *msg) {
    (void)SSL_shutdown(msg->ssl);
    msg->result = TLS_RES_LIBSSL;
    if (!output_take(msg))
        msg_drop(msg, TLS_DROP_NO_MEMORY);
    ERR_clear_error();
}

void tls_engine_serve(struct tls_engine *engine, struct tls_msg *msg) {
    if (__atomic_load_n(&msg->cancelled, __ATOMIC_RELAXED)) {
        rope_clear(&msg->in);
        msg_drop(msg, TLS_DROP_HS_CLIENT_GONE);
        return;
    }
    if (msg->request == TLS_REQ_SEAL)
        plain_out(engine, msg);
    else if (msg->request == TLS_REQ_CLOSE)
        close_out(msg);
    else if (msg->request == TLS_REQ_REFUSE)
        refuse(engine, msg);
    else if (msg->request == TLS_REQ_TICKET)
        tickets_in(engine, msg);
    else if (msg->result == TLS_RES_LIBSSL || msg->result == TLS_RES_CLOSED)
        record_in(engine, msg);
    else
        handshake(engine, msg);
}
