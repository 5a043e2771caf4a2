/* SPDX-License-Identifier: BSD-3-Clause */
/* Records out. Plaintext mbufs that are private and wholly part of the record are encrypted where they lie: header into
 * the headroom of the first, inner type and tag into the tail room of the last; the others go into fresh mbufs. */
#include "tls_int.h"

#define HEAD_MAX (TLS_HEADER_BYTES + 8u) /* with an explicit nonce */
#define TAIL_MAX (1u + TLS_TAG_BYTES)    /* with an inner type */

struct sealing { /* one record */
    const struct tls_suite *suite;
    struct tls_op op;
    uint32_t n;           /* plaintext bytes */
    uint32_t body_bytes;  /* behind the header */
    uint32_t head_bytes;  /* header and explicit nonce */
    uint32_t inner_bytes; /* 1.3: the type behind the plaintext */
    uint32_t tail_bytes;  /* it, and the tag */
    uint8_t type, outer;  /* as meant, and as the header says */
};

static void sealing_set(struct tls_core *core, struct tls_conn *c, tls_id id, uint8_t type, uint32_t n,
                        struct sealing *r) {
    const struct tls_suite *s = tls_conn_suite(c);
    bool v13 = s->version == TLS_V13;

    r->suite = s;
    r->n = n;
    r->type = type;
    r->outer = v13 ? TLS_CT_DATA : type;
    r->head_bytes = TLS_HEADER_BYTES + s->explicit_bytes;
    r->inner_bytes = v13;
    r->tail_bytes = v13 + TLS_TAG_BYTES;
    r->body_bytes = s->explicit_bytes + n + r->tail_bytes;
    tls_op_begin(&r->op, core, c, id, TLS_WRITE, s, v13, r->outer, v13 ? r->body_bytes : n, NULL);
}

static void head_put(const struct sealing *r, uint8_t *p) {
    tls_header_put(p, r->outer, r->body_bytes);
    if (r->suite->explicit_bytes)
        memcpy(p + TLS_HEADER_BYTES, r->op.nonce + r->suite->fixed_iv_bytes, 8);
}

static bool head_fits(const struct rte_mbuf *m, uint32_t at, const struct sealing *r) {
    return at == 0 && rte_pktmbuf_headroom(m) >= r->head_bytes;
}

static bool stays(const struct rte_mbuf *m, uint32_t at, uint32_t n) {
    return at + m->data_len <= n && rope_mbuf_private(m);
}

static uint32_t spares_needed(const struct rope *plain, const struct sealing *r, uint32_t mbuf_room) {
    struct tls_sink_plan plan = {.spare_room = mbuf_room};
    const struct rte_mbuf *m = plain->head;

    if (r->n == 0 || !stays(m, 0, r->n) || !head_fits(m, 0, r))
        tls_plan_bytes(&plan, r->head_bytes);
    for (uint32_t at = 0; at < r->n; at += m->data_len, m = m->next) {
        if (stays(m, at, r->n))
            plan.room = rte_pktmbuf_tailroom(m);
        else
            tls_plan_bytes(&plan, weir_min_u32(m->data_len, r->n - at));
    }
    tls_plan_bytes(&plan, r->tail_bytes);
    return plan.spares;
}

static void seal_to_sink(const struct sealing *r, struct tls_sink *sink, const uint8_t *src, uint32_t n) {
    while (n > 0) {
        uint32_t part = n;
        uint8_t *dst = tls_sink_room(sink, &part);
        r->suite->aead->seal_part(&r->op, dst, src, part);
        src += part;
        n -= part;
    }
}

static int parts_seal(struct tls_core *core, const struct sealing *r, struct rope *plain, struct rope *wire) {
    struct tls_sink sink;
    bool head_done = false;
    uint8_t head[HEAD_MAX], tag[TLS_TAG_BYTES];

    if (tls_sink_init(&sink, core, spares_needed(plain, r, core->mbuf_room)) < 0)
        return WEIR_ENOMEM;
    head_put(r, head);
    r->suite->aead->begin(&r->op);
    for (uint32_t at = 0; at < r->n;) {
        struct rte_mbuf *m = plain->head;
        uint32_t part = weir_min_u32(m->data_len, r->n - at);
        uint8_t *p = rte_pktmbuf_mtod(m, uint8_t *);
        bool in_place = stays(m, at, r->n);

        if (!head_done && !(in_place && head_fits(m, at, r)))
            tls_sink_write(&sink, head, r->head_bytes);
        if (in_place) {
            r->suite->aead->seal_part(&r->op, p, p, part);
            tls_rope_pop(plain);
            if (!head_done && head_fits(m, at, r)) {
                m->data_off = (uint16_t)(m->data_off - r->head_bytes);
                m->data_len = (uint16_t)(m->data_len + r->head_bytes);
                memcpy(rte_pktmbuf_mtod(m, uint8_t *), head, r->head_bytes);
            }
            tls_sink_link(&sink, m);
        } else {
            seal_to_sink(r, &sink, p, part);
            rope_trim(plain, part);
        }
        head_done = true;
        at += part;
    }
    if (!head_done)
        tls_sink_write(&sink, head, r->head_bytes);
    if (r->inner_bytes)
        seal_to_sink(r, &sink, &r->type, 1);
    r->suite->aead->end(&r->op, tag);
    tls_sink_write(&sink, tag, sizeof(tag));
    tls_sink_done(&sink);
    rope_splice(wire, &sink.out);
    return 0;
}

/* A record over any layout. */
static int seal_parts(struct tls_core *core, struct tls_conn *c, tls_id id, uint8_t type, struct rope *plain,
                      uint32_t n, struct rope *wire) {
    struct sealing r;

    sealing_set(core, c, id, type, n, &r);
    return parts_seal(core, &r, plain, wire);
}

/* Is the record all of the first mbuf, one that may be written to and has room for head and tail? */
static inline bool fills_mbuf(const struct rte_mbuf *m, uint32_t n) {
    return m->data_len == n && rope_mbuf_private(m) && rte_pktmbuf_headroom(m) >= HEAD_MAX &&
           rte_pktmbuf_tailroom(m) >= TAIL_MAX;
}

/* Such a one: where it lies, or as a small piece into the mbuf at the end of `wire`. `v13`: of that version? */
static inline __attribute__((always_inline)) void seal_mbuf(struct tls_core *core, struct tls_conn *c, tls_id id,
                                                            const struct tls_suite *s, bool v13, uint8_t gcm,
                                                            uint8_t type, struct rte_mbuf *m, struct rope *wire) {
    struct rte_mbuf *tail = wire->tail;
    uint32_t n = m->data_len, explicit_bytes = tls_explicit_bytes(v13, gcm);
    uint32_t head = TLS_HEADER_BYTES + explicit_bytes;
    uint32_t body = explicit_bytes + n + v13 + TLS_TAG_BYTES, bytes = TLS_HEADER_BYTES + body;
    uint8_t *src = rte_pktmbuf_mtod(m, uint8_t *), outer = v13 ? TLS_CT_DATA : type, *dst = src - head;
    struct tls_op op;
    bool behind = false;

    if (v13)
        src[n++] = type; /* this early, as the cipher loads it together with what lies in front */
    op.key = tls_conn_key_find(core, c, id, TLS_WRITE, gcm);
    tls_op_set_as(&op, v13, gcm, c->iv[TLS_WRITE], c->seq[TLS_WRITE], outer, v13 ? body : n, NULL);
    if (tail != NULL) {
        behind = bytes <= ROPE_COPY_MAX && rope_mbuf_private(tail) && rte_pktmbuf_tailroom(tail) >= bytes;
        if (behind)
            dst = rte_pktmbuf_mtod_offset(tail, uint8_t *, tail->data_len);
    }
    tls_op_crypt(&op, core, s, gcm, TLS_WRITE, dst + head, src, n, dst + head + n);
    tls_header_put(dst, outer, body);
    if (explicit_bytes)
        memcpy(dst + TLS_HEADER_BYTES, op.nonce + TLS_NONCE_BYTES - 8, 8);
    if (behind) {
        tail->data_len = (uint16_t)(tail->data_len + bytes);
        wire->len_bytes += bytes;
        rte_pktmbuf_free_seg(m);
    } else {
        m->data_off = (uint16_t)(m->data_off - head);
        m->data_len = (uint16_t)bytes;
        if (WEIR_LIKELY(tail == NULL))
            *wire = (struct rope){.head = m, .tail = m, .len_bytes = bytes, .mbufs = 1};
        else
            rope_link(wire, m);
    }
    c->seq[TLS_WRITE]++;
    core->stats.records_sealed++;
}

int tls_record_seal(struct tls_core *core, struct tls_conn *c, tls_id id, uint8_t type, struct rope *plain, uint32_t n,
                    struct rope *wire) {
    const struct tls_suite *s = tls_conn_suite(c);

    if (plain->head != NULL && fills_mbuf(plain->head, n)) {
        struct rte_mbuf *m = tls_rope_pop(plain);

        if (WEIR_LIKELY(s->version == TLS_V13))
            seal_mbuf(core, c, id, s, true, s->gcm, type, m, wire);
        else
            seal_mbuf(core, c, id, s, false, s->gcm, type, m, wire);
        return 0;
    }
    if (seal_parts(core, c, id, type, plain, n, wire) < 0) {
        core->stats.no_mbuf++;
        return WEIR_ENOMEM;
    }
    c->seq[TLS_WRITE]++; /* with all mbufs taken beforehand, a nonce is used exactly once */
    core->stats.records_sealed++;
    return 0;
}

int tls_record_seal_bytes(struct tls_core *core, struct tls_conn *c, tls_id id, uint8_t type, const uint8_t *data,
                          uint32_t n, struct rope *wire) {
    struct rope plain = {0};

    if (rope_append(&plain, core->pool, data, n) < 0)
        return WEIR_ENOMEM;
    int rc = tls_record_seal(core, c, id, type, &plain, n, wire);
    rope_clear(&plain);
    return rc;
}

int tls_key_update_send(struct tls_core *core, struct tls_conn *c, tls_id id, bool ask_peer, struct rope *wire) {
    const uint8_t message[5] = {24, 0, 0, 1, ask_peer}; /* RFC 8446 section 4.6.3 */
    int rc = tls_record_seal_bytes(core, c, id, TLS_CT_HANDSHAKE, message, sizeof(message), wire);

    if (rc < 0)
        return rc;
    c->flags &= (uint8_t)~TLS_F_UPDATE_OWED;
    if (ask_peer)
        c->flags |= TLS_F_UPDATE_ASKED;
    core->stats.key_updates_out++;
    rc = tls_conn_rekey(core, c, id, TLS_WRITE);
    if (rc < 0)
        c->flags |= TLS_F_WRITE_CLOSED; /* announced, but not to be had: nothing may follow under the old key */
    return rc;
}

/* Is this the last record that a key may protect? TLS 1.3 has another one then. */
static inline bool worn(const struct tls_core *core, const struct tls_conn *c, const struct tls_suite *s) {
    return s->gcm && c->seq[TLS_WRITE] + 1 >= core->gcm_record_limit;
}

/* What must go out before the next record: an owed KeyUpdate, and our own where the key is nearly used up (its last
 * record is the KeyUpdate or close_notify itself). Returns 0 or why no record can follow. */
static inline int before_seal(struct tls_core *core, struct tls_conn *c, const struct tls_suite *s, tls_id id,
                              struct rope *wire) {
    if (WEIR_UNLIKELY(c->flags & TLS_F_UPDATE_OWED))
        return tls_key_update_send(core, c, id, false, wire);
    if (WEIR_LIKELY(!worn(core, c, s)))
        return 0;
    if (s->version == TLS_V13)
        return tls_key_update_send(core, c, id, false, wire);
    return WEIR_ECLOSED;
}

/* More than a record. Returns bytes taken or why none were. */
static int seal_bulk(struct tls_core *core, struct tls_conn *c, tls_id id, struct rope *plain, struct rope *wire,
                     uint32_t total, uint32_t segment_bytes) {
    uint32_t taken = 0;
    int rc = 0;

    while (taken < total) {
        uint32_t n = weir_min_u32(total - taken, tls_record_size_next(core, c, segment_bytes));
        rc = before_seal(core, c, tls_conn_suite(c), id, wire);
        if (rc == 0)
            rc = tls_record_seal(core, c, id, TLS_CT_DATA, plain, n, wire);
        if (rc < 0)
            break;
        taken += n;
    }
    core->stats.bytes_sealed += taken;
    return taken > 0 ? (int)taken : rc;
}

/* tls_seal, whatever there is in whatever phase. */
static __attribute__((noinline)) int seal_any(struct tls_core *core, tls_id id, struct rope *plain, struct rope *wire,
                                              uint32_t max_bytes, uint32_t segment_bytes) {
    struct tls_conn *c = tls_conn_get(core, id);
    uint32_t total = weir_min_u32(plain->len_bytes, max_bytes);

    if (c->phase == TLS_PHASE_LIBSSL && !(c->flags & TLS_F_WRITE_CLOSED))
        return tls_libssl_seal(core, c, plain, wire, max_bytes);
    if (c->phase != TLS_PHASE_OPEN)
        return WEIR_ESTATE;
    if (c->flags & TLS_F_WRITE_CLOSED)
        return tls_conn_suite(c)->version == TLS_V12 && worn(core, c, tls_conn_suite(c)) ? WEIR_ECLOSED : WEIR_ESTATE;
    if (total - 1 >= weir_min_u32(c->record_max, TLS_SMALL_BYTES))
        return seal_bulk(core, c, id, plain, wire, total, segment_bytes);
    int rc = before_seal(core, c, tls_conn_suite(c), id, wire);
    if (rc == 0)
        rc = tls_record_seal(core, c, id, TLS_CT_DATA, plain, total, wire);
    if (rc < 0)
        return rc;
    core->stats.bytes_sealed += total;
    return (int)total;
}

/* All there is to seal is one mbuf. If it may be a record as it is, under a key of GCM that is not worn out, this is
 * all there is to do. */
static inline __attribute__((always_inline)) int seal_alone(struct tls_core *core, tls_id id, struct rope *plain,
                                                            struct rope *wire, uint32_t max_bytes,
                                                            uint32_t segment_bytes, bool v13) {
    struct tls_conn *c = tls_conn_get(core, id);
    const struct tls_suite *s = tls_conn_suite(c);
    struct rte_mbuf *m = plain->head;
    uint32_t n = m->data_len;
    uint8_t gcm = s->gcm;

    if (WEIR_UNLIKELY(!fills_mbuf(m, n) || gcm == TLS_GCM_NONE || c->seq[TLS_WRITE] + 1 >= core->gcm_record_limit))
        return seal_any(core, id, plain, wire, max_bytes, segment_bytes);
    *plain = (struct rope){0};
    seal_mbuf(core, c, id, s, v13, gcm, TLS_CT_DATA, m, wire);
    core->stats.bytes_sealed += n;
    return (int)n;
}

static __attribute__((noinline)) int seal_alone13(struct tls_core *core, tls_id id, struct rope *plain,
                                                  struct rope *wire, uint32_t max_bytes, uint32_t segment_bytes) {
    return seal_alone(core, id, plain, wire, max_bytes, segment_bytes, true);
}

static __attribute__((noinline)) int seal_alone12(struct tls_core *core, tls_id id, struct rope *plain,
                                                  struct rope *wire, uint32_t max_bytes, uint32_t segment_bytes) {
    return seal_alone(core, id, plain, wire, max_bytes, segment_bytes, false);
}

int tls_seal(struct tls_core *core, tls_id id, struct rope *plain, struct rope *wire, uint32_t max_bytes,
             uint32_t segment_bytes) {
    const struct tls_conn *c = tls_conn_get(core, id);
    uint32_t total = plain->len_bytes;

    if (WEIR_UNLIKELY(plain->mbufs != 1 || c->phase != TLS_PHASE_OPEN ||
                      c->flags & (TLS_F_WRITE_CLOSED | TLS_F_UPDATE_OWED) || total > max_bytes ||
                      total > TLS_SMALL_BYTES || total > c->record_max))
        return seal_any(core, id, plain, wire, max_bytes, segment_bytes);
    return tls_conn_suite(c)->version == TLS_V13 ? seal_alone13(core, id, plain, wire, max_bytes, segment_bytes)
                                                 : seal_alone12(core, id, plain, wire, max_bytes, segment_bytes);
}

int tls_close(struct tls_core *core, tls_id id, struct rope *wire) {
    static const uint8_t close_notify[2] = {1, TLS_ALERT_CLOSE_NOTIFY};
    struct tls_conn *c = tls_conn_get(core, id);

    if (c->phase == TLS_PHASE_LIBSSL)
        return tls_libssl_close(core, c, wire);
    if (c->flags & TLS_F_WRITE_CLOSED || c->phase != TLS_PHASE_OPEN)
        return WEIR_ESTATE;
    if (tls_record_seal_bytes(core, c, id, TLS_CT_ALERT, close_notify, sizeof(close_notify), wire) < 0)
        return WEIR_ENOMEM;
    c->flags |= TLS_F_WRITE_CLOSED;
    tls_alert_count(core, TLS_WRITE, TLS_ALERT_CLOSE_NOTIFY);
    return 0;
}
