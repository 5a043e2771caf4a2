/* SPDX-License-Identifier: BSD-3-Clause */
/* A connection's phases and what each does with the next record:
 *
 *   NEW         no whole record yet (server), or no place   tls_step_new        (tls_handshake.c)
 *   HANDSHAKE   records go to the engine one by one       tls_step_handshake  (tls_handshake.c)
 *   OPEN        our keys                                  step_open           (here)
 *   LIBSSL      libssl's keys                             tls_step_libssl     (tls_handshake.c)
 *   DEAD        dropped; says why again                   step_dead           (here)
 */
#include "tls_verify.h"

tls_id tls_conn_alloc(struct tls_core *core, uint32_t user) {
    tls_id id = pool_alloc(&core->conns);

    if (id == POOL_NONE)
        return 0;
    core->alive[id / 64] |= 1ull << id % 64;
    struct tls_conn *c = tls_conn_get(core, id);
    c->user = user;
    core->stats.conns = core->conns.used;
    return id;
}

tls_id tls_conn_new(struct tls_core *core, struct tls_ctx *ctx, uint32_t user) {
    tls_id id = ctx->client ? 0 : tls_conn_alloc(core, user);

    if (id == 0)
        return 0;
    tls_conn_get(core, id)->hs.ctx = ctx;
    tls_ctx_ref(ctx);
    return id;
}

void tls_conn_renew(struct tls_core *core, tls_id id, struct tls_ctx *ctx) {
    struct tls_conn *c = tls_conn_get(core, id);

    if (c->phase != TLS_PHASE_NEW || c->hs.ctx == ctx)
        return;
    tls_ctx_ref(ctx);
    tls_ctx_unref(c->hs.ctx);
    c->hs.ctx = ctx;
}

static void identity_drop(struct tls_core *core, struct tls_conn *c, tls_id id) {
    if (!c->identified)
        return;
    core->stats.identities--;
    core->stats.identity_bytes -= core->identities[id]->bytes;
    tls_identity_free(core->identities[id]);
    core->identities[id] = NULL;
    c->identified = 0;
}

const struct tls_identity *tls_conn_identity(const struct tls_core *core, tls_id id) {
    return tls_conn_get(core, id)->identified ? core->identities[id] : NULL;
}

/* Give back whatever the present phase holds. */
static void conn_release(struct tls_core *core, struct tls_conn *c, tls_id id) {
    if (c->phase == TLS_PHASE_OPEN) {
        tls_conn_keys_wipe(core, c, id);
        tls_ticket_forget(core, c);
    } else if (c->phase != TLS_PHASE_DEAD) {
        tls_handshake_leave(core, c, id);
    }
    tls_client_leave(core, c);
    identity_drop(core, c, id);
    c->phase = TLS_PHASE_DEAD;
}

void tls_conn_free(struct tls_core *core, tls_id id) {
    struct tls_conn *c = tls_conn_get(core, id);

    if (c->phase == TLS_PHASE_NEW || c->phase == TLS_PHASE_HANDSHAKE)
        tls_handshake_abandon(core, c);
    conn_release(core, c, id);
    core->alive[id / 64] &= ~(1ull << id % 64);
    pool_free(&core->conns, id);
    core->stats.conns = core->conns.used;
}

static int conn_drop(struct tls_turn *t, enum tls_drop drop) {
    tls_alert_for_drop(t->core, t->c, t->id, drop, t->wire_out);
    if (drop == TLS_DROP_HS_CLIENT_GONE) /* where it is with the engine we learn it when the message comes home */
        t->core->stats.handshakes_spared += !(t->c->flags & TLS_F_IN_FLIGHT);
    else if (tls_drop_is_refusal(drop))
        t->core->stats.handshakes_refused++;
    else if (drop == TLS_DROP_HS_STALLED)
        tls_handshake_lost(t->core, t->c);
    else if (t->c->phase == TLS_PHASE_HANDSHAKE || drop == TLS_DROP_HS_TRAILING)
        t->core->stats.handshakes_failed++;
    conn_release(t->core, t->c, t->id);
    t->c->drop = (uint8_t)drop;
    t->c->alerted = (uint16_t)t->alerted;
    t->core->stats.drops[drop]++;
    return -(int)drop;
}

/* TLS 1.3: the type lies behind the content, in front of any padding zeroes (RFC 8446 section 5.2). Cuts `inner` to the
 * content. Returns the type, or 0 where all is zero. */
static uint8_t inner_type_take(struct rope *inner) {
    if (inner->len_bytes == 0)
        return 0;
    uint32_t last = inner->len_bytes - 1;
    struct rte_mbuf *tail = inner->tail;
    uint8_t type = *rte_pktmbuf_mtod_offset(tail, uint8_t *, tail->data_len - 1);

    if (WEIR_UNLIKELY(type == 0)) {
        uint32_t at = 0;
        for (const struct rte_mbuf *m = inner->head; m; m = m->next) {
            const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);
            for (uint32_t i = 0; i < m->data_len; i++, at++) {
                if (p[i] != 0) {
                    type = p[i];
                    last = at;
                }
            }
        }
    }
    tls_rope_truncate(inner, last);
    return type;
}

static int data_in(struct tls_turn *t, struct rope *content) {
    struct tls_conn *c = t->c;

    if (WEIR_UNLIKELY(c->ticket != POOL_NONE)) /* RFC 8446 section 5.1: no records between those of one message */
        return -TLS_DROP_TICKET_TORN;
    if (content->len_bytes == 0)
        return ++c->empty_run > TLS_EMPTY_RUN_MAX ? -TLS_DROP_EMPTY_FLOOD : TLS_STEP_AGAIN;
    c->empty_run = c->warning_run = c->update_run = 0;
    t->core->stats.bytes_opened += content->len_bytes;
    rope_splice(t->plain, content);
    t->verdict |= TLS_PLAIN;
    return TLS_STEP_AGAIN;
}

static int alert_in(struct tls_turn *t, const uint8_t *body, uint32_t n) {
    int rc = tls_alert_in(t, body, n);

    if (rc < 0)
        return rc;
    t->verdict |= rc;
    return TLS_STEP_AGAIN;
}

/* Handshake messages after the handshake: of 1.3 a whole KeyUpdate, and tickets to a client; of 1.2 none. */
static int handshake_in(struct tls_turn *t, struct rope *content) {
    enum { HELLO_REQUEST = 0, CLIENT_HELLO = 1, KEY_UPDATE = 24, KEY_UPDATE_BYTES = 5 };
    struct tls_conn *c = t->c;
    uint8_t body[KEY_UPDATE_BYTES + 1]; /* the parser sees one byte too many of what is longer */

    if (c->is_client && tls_conn_suite(c)->version == TLS_V13) {
        int rc = tls_tickets_take(t, content);
        if (rc < 0)
            return rc;
        if (content->len_bytes == 0) {
            tls_linger_feed(t->core, c);
            return TLS_STEP_AGAIN;
        }
    }
    tls_linger_end(t->core, c);
    struct span s = span_of(body, rope_copy(content, 0, body, sizeof(body)));
    uint8_t type = span_u8(&s);
    uint32_t length = span_u24(&s);
    uint8_t request = span_u8(&s);
    bool v13 = tls_conn_suite(c)->version == TLS_V13;

    if (!v13 && type == (c->is_client ? HELLO_REQUEST : CLIENT_HELLO)) /* 1.3 has none (RFC 8446 section 4.1.2) */
        return -TLS_DROP_RENEGOTIATION;
    if (!v13 || type != KEY_UPDATE)
        return -TLS_DROP_UNEXPECTED_HANDSHAKE;
    if (content->len_bytes >= KEY_UPDATE_BYTES - 1 && length != 1)
        return -TLS_DROP_UPDATE_LENGTH;
    if (s.failed || span_left(&s) > 0) /* RFC 8446 section 5.1: the key changes at the end of a record */
        return -TLS_DROP_UPDATE_NOT_ALONE;
    if (request > 1)
        return -TLS_DROP_BAD_KEY_UPDATE;
    if (++c->update_run > TLS_UPDATE_RUN_MAX)
        return -TLS_DROP_UPDATE_FLOOD;
    t->core->stats.key_updates_in++;
    t->spent_bytes += TLS_REKEY_COST;
    c->flags &= (uint8_t)~TLS_F_UPDATE_ASKED;
    if (tls_conn_rekey(t->core, c, t->id, TLS_READ) < 0)
        return -TLS_DROP_NO_MEMORY;
    if (request && !(c->flags & TLS_F_WRITE_CLOSED))
        c->flags |= TLS_F_UPDATE_OWED;
    return TLS_STEP_AGAIN;
}

static int content_in(struct tls_turn *t, uint8_t type, struct rope *content) {
    uint8_t alert[3]; /* one byte more than there may be */
    uint32_t n = content->len_bytes;

    if (n > tls_conn_read_max(t->c))
        return -TLS_DROP_RECORD_OVERFLOW;
    if (WEIR_UNLIKELY(t->c->lingers) && type != TLS_CT_HANDSHAKE)
        tls_linger_end(t->core, t->c);
    if (type == TLS_CT_DATA)
        return data_in(t, content);
    if (n == 0)
        return -TLS_DROP_EMPTY_RECORD;
    switch (type) {
    case TLS_CT_ALERT:
        return alert_in(t, alert, rope_copy(content, 0, alert, sizeof(alert)));
    case TLS_CT_HANDSHAKE:
        return handshake_in(t, content);
    case TLS_CT_CCS:
        return -TLS_DROP_UNEXPECTED_CCS;
    default:
        return -TLS_DROP_BAD_TYPE;
    }
}

/* May a record with this header be opened at all? */
static int frame_check(const struct tls_suite *s, const struct tls_frame *f) {
    if (WEIR_UNLIKELY(f->version != TLS_V12))
        return -TLS_DROP_BAD_VERSION;
    if (WEIR_UNLIKELY(f->type == TLS_CT_CCS))
        return -TLS_DROP_UNEXPECTED_CCS;
    if (WEIR_UNLIKELY(s->version == TLS_V13 && f->type != TLS_CT_DATA))
        return -TLS_DROP_BAD_TYPE;
    return 0;
}

/* The peer's key wears out too: 1.3 asks for a new one, and ends where none comes; 1.2 ends. */
static int read_limit_check(struct tls_turn *t, const struct tls_suite *s) {
    struct tls_conn *c = t->c;

    if (WEIR_LIKELY(!s->gcm || c->seq[TLS_READ] < t->core->gcm_record_limit))
        return 0;
    if (s->version != TLS_V13 || c->seq[TLS_READ] - t->core->gcm_record_limit >= TLS_UPDATE_PATIENCE)
        return -TLS_DROP_RECORD_LIMIT;
    if (c->flags & (TLS_F_UPDATE_ASKED | TLS_F_WRITE_CLOSED))
        return 0;
    if (tls_key_update_send(t->core, c, t->id, true, t->wire_out) == 0)
        t->verdict |= TLS_WIRE;
    return 0;
}

/* Something other than application data alone, or in several mbufs. */
static int content_take(struct tls_turn *t, uint8_t type, struct rope *content) {
    if (tls_conn_suite(t->c)->version == TLS_V13)
        type = inner_type_take(content);
    int rc = type == 0 ? -TLS_DROP_NO_CONTENT_TYPE : content_in(t, type, content);
    rope_clear(content);
    return rc;
}

static int record_take(struct tls_turn *t, const struct tls_frame *f) {
    struct rope content = {0};
    int rc = tls_record_open(t->core, t->c, t->id, f, t->wire_in, &content);

    if (rc == TLS_NO_MBUF) {
        t->core->stats.no_mbuf++;
        t->verdict |= TLS_MORE_WORK;
        return TLS_STEP_STOP;
    }
    return rc < 0 ? rc : content_take(t, f->type, &content);
}

static int step_open(struct tls_turn *t) {
    struct tls_conn *c = t->c;
    const struct tls_suite *s = tls_conn_suite(c);
    struct tls_frame f;

    if (c->flags & TLS_F_READ_CLOSED) { /* RFC 8446 section 6.1: what follows a close_notify is ignored */
        rope_clear(t->wire_in);
        return TLS_STEP_STOP;
    }
    int rc = tls_frame_peek(t->wire_in, s->version == TLS_V13 ? TLS_RECORD_WIRE_MAX13 : TLS_RECORD_WIRE_MAX, &f);
    if (rc <= 0)
        return rc < 0 ? rc : TLS_STEP_STOP;
    if (t->spent_bytes > 0 && t->spent_bytes + f.body_bytes > t->budget_bytes) {
        t->verdict |= TLS_MORE_WORK;
        return TLS_STEP_STOP;
    }
    t->spent_bytes += f.body_bytes;
    if ((rc = frame_check(s, &f)) < 0 || (rc = read_limit_check(t, s)) < 0)
        return rc;
    if (c->lingers)
        tls_linger_note(t->core, c, t->wire_in, TLS_HEADER_BYTES + f.body_bytes);
    return record_take(t, &f);
}

static int step_dead(struct tls_turn *t) {
    rope_clear(t->wire_in);
    return -(int)t->c->drop;
}

static int (*const steps[TLS_PHASES])(struct tls_turn *) = {
    [TLS_PHASE_NEW] = tls_step_new, [TLS_PHASE_HANDSHAKE] = tls_step_handshake,
    [TLS_PHASE_OPEN] = step_open,   [TLS_PHASE_LIBSSL] = tls_step_libssl,
    [TLS_PHASE_DEAD] = step_dead,
};

/* The rest of a turn, after a step that ended with `rc`. */
static int turn_run(struct tls_turn *t, int rc) {
    while (rc == TLS_STEP_AGAIN)
        rc = steps[t->c->phase](t);
    if (rc < 0)
        return t->c->phase == TLS_PHASE_DEAD ? rc : conn_drop(t, (enum tls_drop) - rc);
    return t->verdict;
}

/* The turn of a tls_input, behind `spent_bytes` of records that were application data. */
static struct tls_turn turn_of(struct tls_core *core, tls_id id, struct rope *wire_in, struct rope *plain,
                               struct rope *wire_out, uint32_t budget_bytes, uint32_t spent_bytes) {
    return (struct tls_turn){.core = core,
                             .c = tls_conn_get(core, id),
                             .id = id,
                             .wire_in = wire_in,
                             .plain = plain,
                             .wire_out = wire_out,
                             .budget_bytes = budget_bytes,
                             .spent_bytes = spent_bytes,
                             .verdict = spent_bytes > 0 ? TLS_PLAIN : 0};
}

/* tls_input for whatever there is in whatever phase. */
static __attribute__((noinline)) int input_any(struct tls_core *core, tls_id id, struct rope *wire_in,
                                               struct rope *plain, struct rope *wire_out, uint32_t budget_bytes,
                                               uint32_t spent_bytes) {
    struct tls_turn t = turn_of(core, id, wire_in, plain, wire_out, budget_bytes, spent_bytes);

    return turn_run(&t, TLS_STEP_AGAIN);
}

/* --- nearly all turns: records of application data under AES-GCM, an mbuf each ---
 *
 * A small record's own cost is what is around the cipher, so these have a way of their own, in as few instructions as
 * it takes: a copy each for either version and for one record alone, with what others need left out. It does nothing
 * that step_open would do otherwise, and leaves the turn to it at the first record that is anything else. */

/* One was opened to `inner`, and its n bytes are something else (they move to `m`, where that is elsewhere); or,
 * `inner` being NULL, it could not be opened. */
static __attribute__((noinline)) int mbuf_other(struct tls_core *core, tls_id id, struct rope *wire_in,
                                                struct rope *plain, struct rope *wire_out, uint32_t budget_bytes,
                                                uint32_t spent_bytes, struct rte_mbuf *m, const uint8_t *inner,
                                                uint32_t n) {
    struct tls_turn t = turn_of(core, id, wire_in, plain, wire_out, budget_bytes, spent_bytes);
    struct rope content = {.head = m, .tail = m, .len_bytes = n, .mbufs = 1};

    if (inner == NULL) {
        rte_pktmbuf_free_seg(m);
        rope_clear(wire_in);
        return turn_run(&t, -TLS_DROP_BAD_MAC);
    }
    t.spent_bytes += n;
    m->data_off = (uint16_t)(m->data_off + TLS_HEADER_BYTES); /* of 1.3: no explicit nonce */
    m->data_len = (uint16_t)n;
    core->stats.opened_elsewhere += inner != rte_pktmbuf_mtod(m, const uint8_t *);
    memmove(rte_pktmbuf_mtod(m, uint8_t *), inner, n);
    return turn_run(&t, content_take(&t, TLS_CT_DATA, &content));
}

/* Where n bytes can be decrypted to behind what the turn has already, as rope_push would copy them, or NULL. */
static inline uint8_t *room_behind(const struct rope *plain, uint32_t n) {
    struct rte_mbuf *tail = plain->tail;

    if (tail == NULL || n > ROPE_COPY_MAX || !rope_mbuf_private(tail) || rte_pktmbuf_tailroom(tail) < n)
        return NULL;
    return rte_pktmbuf_mtod_offset(tail, uint8_t *, tail->data_len);
}

/* A connection with nothing else under way. One compare of an mbuf's first bytes with the header of a record of
 * application data that fills it says most of what is to be known. `alone`: there is one mbuf, and no plaintext yet. */
static inline __attribute__((always_inline)) int input_mbufs(struct tls_core *core, tls_id id, struct rope *wire_in,
                                                             struct rope *plain, struct rope *wire_out,
                                                             uint32_t budget_bytes, bool v13, bool alone) {
    struct tls_conn *c = tls_conn_get(core, id);
    const struct tls_suite *s = tls_conn_suite(c);
    uint8_t gcm = s->gcm;
    uint32_t spent_bytes = 0;

    if (WEIR_UNLIKELY(gcm == TLS_GCM_NONE))
        return input_any(core, id, wire_in, plain, wire_out, budget_bytes, 0);
    uint32_t head = TLS_HEADER_BYTES + tls_explicit_bytes(v13, gcm);
    const void *key = NULL;

    do {
        struct rte_mbuf *m = wire_in->head;
        uint32_t bytes = m->data_len, body = bytes - TLS_HEADER_BYTES;
        uint32_t n = bytes - head - v13 - TLS_TAG_BYTES; /* huge where it is too short */
        uint8_t *record = rte_pktmbuf_mtod(m, uint8_t *), *behind = NULL;

        if (WEIR_UNLIKELY(n - 1 >= TLS_RECORD_MAX || !tls_header_is(record, TLS_CT_DATA, body) ||
                          !rope_mbuf_private(m) || c->seq[TLS_READ] >= core->gcm_record_limit ||
                          (spent_bytes > 0 && spent_bytes + body > budget_bytes)))
            return input_any(core, id, wire_in, plain, wire_out, budget_bytes, spent_bytes);
        if (key == NULL) /* once a turn, and not for a part of a record */
            key = tls_conn_key_find(core, c, id, TLS_READ, gcm);
        if (alone) {
            *wire_in = (struct rope){0};
        } else {
            tls_rope_pop(wire_in);
            behind = room_behind(plain, n + v13);
        }
        uint8_t *to = behind ? behind : record + head;
        bool good = tls_record_open_at(core, c, s, v13, gcm, key, TLS_CT_DATA, record, bytes, to);
        if (WEIR_UNLIKELY(!good || (v13 && to[n] != TLS_CT_DATA))) /* RFC 8446 section 5.2: the type, or padding */
            return mbuf_other(core, id, wire_in, plain, wire_out, budget_bytes, spent_bytes, m, good ? to : NULL,
                              n + v13);
        m->data_off = (uint16_t)(m->data_off + head);
        m->data_len = (uint16_t)n;
        if (behind) {
            plain->tail->data_len = (uint16_t)(plain->tail->data_len + n);
            plain->len_bytes += n;
            rte_pktmbuf_free_seg(m);
            core->stats.opened_elsewhere++;
        } else {
            if (alone)
                *plain = (struct rope){.head = m, .tail = m, .len_bytes = n, .mbufs = 1};
            else
                rope_link(plain, m);
        }
        c->empty_run = c->warning_run = c->update_run = 0;
        core->stats.bytes_opened += n;
        spent_bytes += body;
    } while (!alone && wire_in->head != NULL);
    return TLS_PLAIN;
}

static __attribute__((noinline)) int input_alone13(struct tls_core *core, tls_id id, struct rope *wire_in,
                                                   struct rope *plain, struct rope *wire_out, uint32_t budget_bytes) {
    return input_mbufs(core, id, wire_in, plain, wire_out, budget_bytes, true, true);
}

static __attribute__((noinline)) int input_mbufs13(struct tls_core *core, tls_id id, struct rope *wire_in,
                                                   struct rope *plain, struct rope *wire_out, uint32_t budget_bytes) {
    return input_mbufs(core, id, wire_in, plain, wire_out, budget_bytes, true, false);
}

static __attribute__((noinline)) int input_alone12(struct tls_core *core, tls_id id, struct rope *wire_in,
                                                   struct rope *plain, struct rope *wire_out, uint32_t budget_bytes) {
    return input_mbufs(core, id, wire_in, plain, wire_out, budget_bytes, false, true);
}

static __attribute__((noinline)) int input_mbufs12(struct tls_core *core, tls_id id, struct rope *wire_in,
                                                   struct rope *plain, struct rope *wire_out, uint32_t budget_bytes) {
    return input_mbufs(core, id, wire_in, plain, wire_out, budget_bytes, false, false);
}

int tls_input(struct tls_core *core, tls_id id, struct rope *wire_in, struct rope *plain, struct rope *wire_out,
              uint32_t budget_bytes) {
    const struct tls_conn *c = tls_conn_get(core, id);

    if (WEIR_UNLIKELY(wire_in->head == NULL || c->phase != TLS_PHASE_OPEN || c->flags & TLS_F_READ_CLOSED ||
                      c->ticket || c->lingers || c->fragment_code))
        return input_any(core, id, wire_in, plain, wire_out, budget_bytes, 0);
    bool v13 = tls_conn_suite(c)->version == TLS_V13;
    if (WEIR_LIKELY(wire_in->mbufs == 1 && plain->head == NULL))
        return v13 ? input_alone13(core, id, wire_in, plain, wire_out, budget_bytes)
                   : input_alone12(core, id, wire_in, plain, wire_out, budget_bytes);
    return v13 ? input_mbufs13(core, id, wire_in, plain, wire_out, budget_bytes)
               : input_mbufs12(core, id, wire_in, plain, wire_out, budget_bytes);
}

bool tls_established(const struct tls_core *core, tls_id id) {
    const struct tls_conn *c = tls_conn_get(core, id);

    return c->phase == TLS_PHASE_OPEN || c->phase == TLS_PHASE_LIBSSL;
}

enum tls_alerted tls_conn_alerted(const struct tls_core *core, tls_id id) {
    const struct tls_conn *c = tls_conn_get(core, id);

    return c->phase == TLS_PHASE_DEAD ? (enum tls_alerted)c->alerted : TLS_ALERTED_OTHER;
}

uint32_t tls_conn_bytes(const struct tls_core *core, tls_id id) {
    const struct tls_conn *c = tls_conn_get(core, id);

    return TLS_CONN_BYTES + (c->phase == TLS_PHASE_OPEN && c->ext ? TLS_EXT_BYTES : 0) +
           (c->client ? (uint32_t)sizeof(struct tls_client) : 0);
}
