/* SPDX-License-Identifier: BSD-3-Clause */
/* The worker's side of everything that libssl does: places, records to the engine and results from it, and connections
 * whose records stay with libssl. libssl is fed one whole record at a time, so that nothing behind the last one of the
 * handshake can disappear in it. */
#include "tls_verify.h"

#include <rte_ring.h>

#define ADMISSION_SHARE 4u /* of what tls_poll may name, one in so many is a handshake that waited */

static struct tls_msg *msg_of(const struct tls_core *core, const struct tls_conn *c) {
    return pool_get(&core->places, c->place);
}

/* --- places --- */

static void place_recycle(struct tls_core *core, struct tls_msg *msg) {
    tls_admission_started(core, msg);
    rope_clear(&msg->in);
    rope_clear(&msg->wire);
    rope_clear(&msg->plain);
    if (msg->ctx)
        tls_ctx_unref(msg->ctx);
    tls_session_unref(msg->offer);
    tls_session_unref(msg->session);
    tls_identity_free(msg->identity);
    core->admission.client_places -= msg->is_client;
    core->admission.libssl_places -= msg->stays;
    pool_free(&core->places, pool_index(&core->places, msg));
    core->stats.ssl_objects = core->places.used;
}

void tls_msg_post(struct tls_core *core, struct tls_msg *msg) {
    int rc = rte_ring_sp_enqueue(core->requests, msg);

    assert(rc == 0); /* the ring has room for all places */
    (void)rc;
}

/* Count what the engine tells of. Where nobody takes the answer, what it wrote is not sent. Returns what the peer said,
 * OTHER: nothing perhaps. */
static enum tls_alerted alerts_take(struct tls_core *core, struct tls_msg *msg, bool sent) {
    enum tls_alerted came = TLS_ALERTED_OTHER;

    for (uint8_t i = 0; i < msg->n_alerts; i++) {
        enum tls_dir dir = (enum tls_dir)msg->alerts[i].dir;
        if (sent || dir == TLS_READ)
            tls_alert_count(core, dir, msg->alerts[i].description);
        if (dir == TLS_READ)
            came = tls_alerted_of(msg->alerts[i].description);
    }
    msg->n_alerts = 0;
    return came;
}

void tls_msg_dismiss(struct tls_core *core, struct tls_msg *msg) {
    alerts_take(core, msg, false);
    if (msg->ssl == NULL) {
        place_recycle(core, msg);
        return;
    }
    tls_msg_cancel(msg);
    tls_msg_post(core, msg);
}

static void place_take(struct tls_core *core, struct tls_conn *c, tls_id id) {
    struct tls_msg *msg = msg_of(core, c);

    msg->conn = id;
    msg->pool = core->pool;
    msg->ctx = c->hs.ctx; /* the reference moves along */
    c->hs.ctx = NULL;
    c->phase = TLS_PHASE_HANDSHAKE;
    if (c->is_client) {
        struct tls_client *cl = tls_client_of(core, c);
        memcpy(msg->server_name, cl->server_name, sizeof(msg->server_name));
        msg->offer = cl->offer;
        cl->offer = NULL;
    }
    core->stats.handshakes_started++;
}

void tls_handshake_abandon(struct tls_core *core, const struct tls_conn *c) {
    if (c->is_client)
        return;
    if (c->phase == TLS_PHASE_NEW)
        core->stats.handshakes_spared += c->flags & TLS_F_WAITING || c->place != POOL_NONE || c->hs.refused;
    else
        tls_handshake_lost(core, c);
}

void tls_handshake_lost(struct tls_core *core, const struct tls_conn *c) {
    const struct tls_msg *msg = msg_of(core, c);

    if (msg->costly) /* the engine has it: we learn it when it comes home */
        return;
    bool begun = c->flags & TLS_F_IN_FLIGHT || msg->awaited != TLS_AWAITED_HELLO; /* the expensive step, or behind it */
    *(begun ? &core->stats.handshakes_wasted : &core->stats.handshakes_spared) += 1;
}

void tls_handshake_leave(struct tls_core *core, struct tls_conn *c, tls_id id) {
    (void)id;
    tls_admission_leave(core, c);
    if (c->phase == TLS_PHASE_NEW) {
        if (c->hs.ctx)
            tls_ctx_unref(c->hs.ctx);
        c->hs.ctx = NULL;
    }
    if (c->place == POOL_NONE)
        return;
    if (c->flags & TLS_F_IN_FLIGHT)
        tls_msg_cancel(msg_of(core, c)); /* it comes home to no connection and is dismissed then */
    else
        tls_msg_dismiss(core, msg_of(core, c));
    c->place = POOL_NONE;
}

/* --- requests and results --- */

/* Hand a request over. Returns true where the answer is there already: an inline engine serves records at once, while
 * handshakes, which are long, wait for tls_poll and its bound. */
static bool request(struct tls_core *core, struct tls_conn *c, enum tls_request what) {
    struct tls_msg *msg = msg_of(core, c);

    msg->request = what;
    if (core->run_inline && c->phase == TLS_PHASE_LIBSSL) {
        tls_engine_serve(core->engine, msg);
        msg->unread = true;
        return true;
    }
    c->flags |= TLS_F_IN_FLIGHT;
    tls_msg_post(core, msg);
    return false;
}

/* A record whose header is wrong: libssl has the keys that the alert goes out with. */
static int record_refuse(struct tls_turn *t, enum tls_drop drop) {
    struct tls_msg *msg = msg_of(t->core, t->c);

    if (rope_move(&msg->in, t->wire_in, TLS_HEADER_BYTES, t->core->pool) < 0)
        return -(int)drop; /* then without */
    msg->refused = drop;
    request(t->core, t->c, TLS_REQ_REFUSE);
    return TLS_STEP_AGAIN;
}

/* Take the next whole record for the engine. TLS_STEP_AGAIN: it went, or its answer is there. */
static int record_request(struct tls_turn *t) {
    struct tls_frame f;
    int rc = tls_frame_peek(t->wire_in, TLS_RECORD_WIRE_MAX, &f);

    if (rc <= 0)
        return rc < 0 ? record_refuse(t, (enum tls_drop) - rc) : TLS_STEP_STOP;
    if (t->spent_bytes > 0 && t->spent_bytes + f.body_bytes > t->budget_bytes) {
        t->verdict |= TLS_MORE_WORK;
        return TLS_STEP_STOP;
    }
    struct tls_msg *msg = msg_of(t->core, t->c);
    bool costly = msg->awaited != TLS_AWAITED_CHEAP && f.type == TLS_CT_HANDSHAKE;
    if (costly && tls_client_gone(t->core, t->c, msg->awaited == TLS_AWAITED_KEYS))
        return -TLS_DROP_HS_CLIENT_GONE;
    t->spent_bytes += f.body_bytes;
    if (rope_move(&msg->in, t->wire_in, TLS_HEADER_BYTES + f.body_bytes, t->core->pool) < 0) {
        t->core->stats.no_mbuf++;
        t->verdict |= TLS_MORE_WORK;
        return TLS_STEP_STOP;
    }
    if (costly)
        tls_admission_costly(t->core, msg);
    request(t->core, t->c, TLS_REQ_RECORD);
    return TLS_STEP_AGAIN;
}

static void output_take(struct tls_turn *t, struct tls_msg *msg) {
    t->alerted = alerts_take(t->core, msg, true);
    if (msg->wire.len_bytes > 0) {
        rope_splice(t->wire_out, &msg->wire);
        t->verdict |= TLS_WIRE;
    }
    if (msg->plain.len_bytes > 0) {
        t->core->stats.bytes_opened += msg->plain.len_bytes;
        rope_splice(t->plain, &msg->plain);
        t->verdict |= TLS_PLAIN;
    }
    msg->unread = false;
}

/* The keys are ours: unpack them, and let the place go or linger. */
static int keys_take(struct tls_turn *t, struct tls_msg *msg) {
    if (tls_conn_open(t->core, t->c, msg->suite, msg->keys) < 0)
        return -TLS_DROP_NO_MEMORY;
    tls_record_size_set(t->c, msg->fragment_code, msg->record_limit);
    if (msg->ssl)
        tls_linger_begin(t->core, t->c, t->id, msg);
    else
        tls_msg_dismiss(t->core, msg);
    tls_client_tidy(t->core, t->c);
    return TLS_STEP_AGAIN;
}

/* Who it is comes with the last message. */
static void identity_take(struct tls_core *core, struct tls_conn *c, tls_id id, struct tls_msg *msg) {
    if (msg->identity == NULL)
        return;
    core->identities[id] = msg->identity;
    core->stats.identities++;
    core->stats.identity_bytes += msg->identity->bytes;
    c->identified = 1;
    msg->identity = NULL;
}

static int handshake_done(struct tls_turn *t, struct tls_msg *msg) {
    bool resumed = msg->resumed, tls12 = msg->version == TLS_V12;

    tls_admission_leave(t->core, t->c);
    tls_client_session_keep(t->core, t->c, msg);
    identity_take(t->core, t->c, t->id, msg);
    if (msg->result == TLS_RES_OPEN) {
        bool trailing = msg->trailing;
        int rc = keys_take(t, msg);
        if (rc < 0)
            return rc;
        if (trailing) /* it went with libssl; and no message may be there. The alert goes out under the new keys. */
            return -TLS_DROP_HS_TRAILING;
    } else if (!tls_admission_stay(t->core, msg)) { /* it is told */
        msg->refused = TLS_DROP_HS_LIBSSL_FULL;
        request(t->core, t->c, TLS_REQ_REFUSE);
        return TLS_STEP_AGAIN;
    } else {
        t->c->phase = TLS_PHASE_LIBSSL;
    }
    t->core->stats.handshakes_done++;
    t->core->stats.handshakes_tls12 += tls12;
    t->verdict |= TLS_DONE;
    if (resumed) {
        t->core->stats.handshakes_resumed++;
        t->c->flags |= TLS_F_RESUMED;
    }
    return TLS_STEP_AGAIN;
}

/* A server waits for the first record before it spends an SSL object. Nothing but a ClientHello can come first. */
static int first_record_check(const struct tls_turn *t) {
    struct tls_frame f = {.type = TLS_CT_HANDSHAKE}; /* as long as its header is not there */
    int rc = tls_frame_peek(t->wire_in, TLS_RECORD_WIRE_MAX, &f);

    if (rc < 0)
        return rc;
    if (f.type != TLS_CT_HANDSHAKE)
        return -TLS_DROP_BAD_TYPE;
    return rc == 0 ? TLS_STEP_STOP : TLS_STEP_AGAIN;
}

int tls_step_new(struct tls_turn *t) {
    struct tls_core *core = t->core;
    struct tls_conn *c = t->c;
    int rc = c->is_client || c->hs.hello ? TLS_STEP_AGAIN : first_record_check(t);

    if (c->hs.refused)
        return -(int)c->hs.refused;
    if (rc != TLS_STEP_AGAIN)
        return rc;
    if (tls_client_gone(core, c, false))
        return -TLS_DROP_HS_CLIENT_GONE;
    rc = tls_admission_ask(core, c, t->id, t->wire_in);
    if (rc == TLS_STEP_STOP)
        t->verdict |= TLS_BUSY;
    if (rc != TLS_STEP_AGAIN)
        return rc;
    int kept = tls_admission_hello(core, c, &msg_of(core, c)->in);
    if (kept < 0) {
        core->stats.no_mbuf++;
        t->verdict |= TLS_MORE_WORK;
        return TLS_STEP_STOP;
    }
    place_take(core, c, t->id);
    if (c->is_client || kept)
        request(core, c, c->is_client ? TLS_REQ_HELLO : TLS_REQ_RECORD);
    return TLS_STEP_AGAIN;
}

int tls_step_handshake(struct tls_turn *t) {
    if (t->c->hs.refused)
        return -(int)t->c->hs.refused;
    struct tls_msg *msg = msg_of(t->core, t->c);
    if (t->c->flags & TLS_F_IN_FLIGHT) {
        if (msg->costly && tls_client_gone(t->core, t->c, !msg->start)) /* the engine may not have begun */
            return -TLS_DROP_HS_CLIENT_GONE;
        t->verdict |= TLS_BUSY;
        return TLS_STEP_STOP;
    }
    if (!msg->unread)
        return record_request(t);
    output_take(t, msg);
    switch (msg->result) {
    case TLS_RES_MORE:
        tls_admission_answered(t->core, t->c, t->id, msg->moved);
        return TLS_STEP_AGAIN;
    case TLS_RES_DROPPED:
        return -(int)msg->drop;
    default:
        return handshake_done(t, msg);
    }
}

/* --- records that libssl carries --- */

int tls_step_libssl(struct tls_turn *t) {
    struct tls_conn *c = t->c;

    if (c->flags & TLS_F_IN_FLIGHT) {
        t->verdict |= TLS_BUSY;
        return TLS_STEP_STOP;
    }
    struct tls_msg *msg = msg_of(t->core, c);
    if (msg->unread) {
        output_take(t, msg);
        tls_client_session_keep(t->core, c, msg);
        if (msg->result == TLS_RES_DROPPED)
            return -(int)msg->drop;
        if (msg->result == TLS_RES_CLOSED && !(c->flags & TLS_F_READ_CLOSED)) {
            c->flags |= TLS_F_READ_CLOSED;
            t->verdict |= TLS_CLOSE;
        }
        return TLS_STEP_AGAIN;
    }
    if (c->flags & TLS_F_CLOSE_OWED) {
        c->flags &= (uint8_t)~TLS_F_CLOSE_OWED;
        request(t->core, c, TLS_REQ_CLOSE);
        return TLS_STEP_AGAIN;
    }
    if (c->flags & TLS_F_READ_CLOSED) {
        rope_clear(t->wire_in);
        return TLS_STEP_STOP;
    }
    int rc = record_request(t);
    if (rc == TLS_STEP_AGAIN)
        t->core->stats.libssl_records++;
    return rc;
}

/* The answer to a request served at once, outside tls_input: what is to be sent. Anything else stays for tls_input. */
static int answer_take(struct tls_core *core, struct tls_msg *msg, struct rope *wire) {
    struct rope none = {0};

    rope_splice(wire, &msg->wire);
    if (msg->result == TLS_RES_DROPPED) { /* counted there, and the place given back */
        (void)tls_input(core, msg->conn, &none, &none, wire, 0);
        return WEIR_ESTATE;
    }
    alerts_take(core, msg, true);
    msg->unread = msg->plain.len_bytes > 0;
    return 0;
}

int tls_libssl_seal(struct tls_core *core, struct tls_conn *c, struct rope *plain, struct rope *wire,
                    uint32_t max_bytes) {
    struct tls_msg *msg = msg_of(core, c);
    uint32_t total = weir_min_u32(plain->len_bytes, max_bytes), taken = 0;
    int rc = 0;

    while (taken < total && rc == 0) {
        if (c->flags & TLS_F_IN_FLIGHT || msg->unread)
            break; /* the engine is at work for this connection: later */
        uint32_t n = weir_min_u32(total - taken, TLS_RECORD_MAX);
        if ((rc = rope_move(&msg->in, plain, n, core->pool)) < 0)
            break;
        taken += n;
        core->stats.libssl_records++;
        core->stats.bytes_sealed += n;
        if (request(core, c, TLS_REQ_SEAL))
            rc = answer_take(core, msg, wire);
    }
    if (rc == WEIR_ESTATE) /* dead, and what was taken is lost: nobody else would say so */
        return rc;
    return taken > 0 ? (int)taken : rc;
}

int tls_libssl_close(struct tls_core *core, struct tls_conn *c, struct rope *wire) {
    struct tls_msg *msg = msg_of(core, c);
    bool busy = c->flags & (TLS_F_IN_FLIGHT | TLS_F_CLOSE_OWED) || msg->unread;

    if (c->flags & TLS_F_WRITE_CLOSED)
        return busy ? WEIR_MORE : WEIR_ESTATE;
    c->flags |= TLS_F_WRITE_CLOSED;
    if (busy)
        c->flags |= TLS_F_CLOSE_OWED;
    else if (request(core, c, TLS_REQ_CLOSE))
        return answer_take(core, msg, wire);
    return WEIR_MORE;
}

bool tls_pending(const struct tls_core *core, tls_id id) {
    const struct tls_conn *c = tls_conn_get(core, id);

    return c->phase == TLS_PHASE_LIBSSL && (c->flags & TLS_F_IN_FLIGHT || msg_of(core, c)->unread);
}

/* --- once a turn --- */

/* The connection a message belongs to; NULL: gone. A successor with the same id has another place, or none. */
static struct tls_conn *conn_of(struct tls_core *core, const struct tls_msg *msg) {
    uint32_t place = pool_index(&core->places, msg);

    if (!tls_conn_alive(core, msg->conn))
        return NULL;
    struct tls_conn *c = tls_conn_get(core, msg->conn);
    if (c->phase == TLS_PHASE_HANDSHAKE || c->phase == TLS_PHASE_LIBSSL)
        return c->place == place ? c : NULL;
    if (c->phase == TLS_PHASE_OPEN && c->client != POOL_NONE)
        return tls_client_of(core, c)->place == place ? c : NULL;
    return NULL;
}

static void step_count(struct tls_core *core, const struct tls_msg *msg) {
    core->stats.handshake_steps++;
    core->stats.handshake_step_tsc += msg->step_tsc;
    if (msg->step_tsc > core->stats.handshake_longest_step_tsc)
        core->stats.handshake_longest_step_tsc = msg->step_tsc;
}

/* The engine is done with a message. Returns whether the owner of its connection should be told. */
static bool msg_home(struct tls_core *core, struct tls_msg *msg) {
    struct tls_conn *c = conn_of(core, msg);

    step_count(core, msg);
    if (c == NULL && msg->costly)
        *(msg->drop == TLS_DROP_HS_CLIENT_GONE ? &core->stats.handshakes_spared : &core->stats.handshakes_wasted) += 1;
    tls_admission_started(core, msg);
    if (c == NULL) {
        tls_msg_dismiss(core, msg);
        return false;
    }
    if (c->phase == TLS_PHASE_OPEN)
        return tls_linger_home(core, c, msg);
    c->flags &= (uint8_t)~TLS_F_IN_FLIGHT;
    msg->unread = true;
    return true;
}

bool tls_steps_wait(const struct tls_core *core) {
    return core->engine && core->run_inline && !rte_ring_empty(core->requests);
}

uint32_t tls_poll(struct tls_core *core, uint32_t max_inline, uint32_t *news, uint32_t max) {
    /* However many completions there are, turn after turn: those that wait have a share of the room. */
    uint32_t n = 0, room = tls_admission_waits(core) ? max - max / ADMISSION_SHARE : max;
    void *object;

    if (core->engine == NULL)
        return 0;
    if (core->run_inline && max_inline > 0)
        tls_engine_run_inline(core->engine, max_inline);
    while (n < room && rte_ring_sc_dequeue(core->completions, &object) == 0) {
        struct tls_msg *msg = object;
        tls_id id = msg->conn;
        if (msg_home(core, msg))
            news[n++] = tls_conn_get(core, id)->user;
    }
    n += tls_admission_run(core, news + n, max - n);
    return n;
}

void tls_conn_info(const struct tls_core *core, tls_id id, struct tls_info *info) {
    const struct tls_conn *c = tls_conn_get(core, id);

    *info = (struct tls_info){.suite = "", .resumed = c->flags & TLS_F_RESUMED};
    if (c->phase == TLS_PHASE_OPEN) {
        info->version = tls_conn_suite(c)->version;
        info->suite = tls_conn_suite(c)->name;
        info->taken_over = true;
        info->read_seq = c->seq[TLS_READ];
        info->write_seq = c->seq[TLS_WRITE];
    } else if (c->phase == TLS_PHASE_LIBSSL) {
        const struct tls_msg *msg = msg_of(core, c);
        info->version = msg->version; /* set before the phase began, by nobody since */
        info->suite = msg->suite_name;
    }
}
