/* SPDX-License-Identifier: BSD-3-Clause */
/* Records out. Plaintext mbufs that are private and wholly part of the record are encrypted where they lie: header into
 * the headroom of the first, inner type and tag into the tail room of the last; the others go into fresh mbufs. */
#include "tls_int.h"

struct sealing { /* one record */
    const struct tls_suite *suite;
    struct tls_op op;
    uint32_t n;          /* plaintext bytes */
    uint32_t head_bytes; /* header and explicit nonce */
    uint8_t head[TLS_HEADER_BYTES + 8];
    uint8_t type;
    uint32_t tail_bytes; /* inner type and tag */
};

static void sealing_set(struct tls_core *core, struct tls_conn *c, tls_id id, uint8_t type, uint32_t n,
                        struct sealing *r) {
    const struct tls_suite *s = tls_conn_suite(c);
    bool v13 = s->version == TLS_V13;
    uint32_t body_bytes = n + tls_suite_overhead(s);
    uint8_t outer = v13 ? TLS_CT_DATA : type;

    r->suite = s;
    r->n = n;
    r->type = type;
    r->tail_bytes = v13 + TLS_TAG_BYTES;
    tls_conn_op(core, c, id, TLS_WRITE, &r->op);
    tls_op_set(&r->op, s, c->iv[TLS_WRITE], c->seq[TLS_WRITE], outer, v13 ? body_bytes : n, NULL);

    tls_header_put(r->head, outer, body_bytes);
    if (s->explicit_bytes)
        memcpy(r->head + TLS_HEADER_BYTES, r->op.nonce + s->fixed_iv_bytes, s->explicit_bytes);
    r->head_bytes = TLS_HEADER_BYTES + s->explicit_bytes;
}

/* The whole record in the mbuf of its plaintext: head and tail room have been checked. */
static void seal_in_place(const struct sealing *r, struct rope *plain, struct rope *wire) {
    struct rte_mbuf *m = tls_rope_pop(plain);
    uint8_t *p = rte_pktmbuf_mtod(m, uint8_t *);
    uint32_t inner = r->tail_bytes - TLS_TAG_BYTES; /* 1.3: the type */

    if (inner)
        p[r->n] = r->type;
    r->suite->aead->seal(&r->op, p, p, r->n + inner, p + r->n + inner);
    memcpy(p - r->head_bytes, r->head, r->head_bytes);
    m->data_off = (uint16_t)(m->data_off - r->head_bytes);
    m->data_len = (uint16_t)(r->head_bytes + r->n + r->tail_bytes);
    rope_push(wire, m);
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

static int seal_parts(struct tls_core *core, const struct sealing *r, struct rope *plain, struct rope *wire) {
    struct tls_sink sink;
    bool head_done = false;
    uint8_t tag[TLS_TAG_BYTES];

    if (tls_sink_init(&sink, core, spares_needed(plain, r, core->mbuf_room)) < 0)
        return WEIR_ENOMEM;
    r->suite->aead->begin(&r->op);
    for (uint32_t at = 0; at < r->n;) {
        struct rte_mbuf *m = plain->head;
        uint32_t part = weir_min_u32(m->data_len, r->n - at);
        uint8_t *p = rte_pktmbuf_mtod(m, uint8_t *);
        bool in_place = stays(m, at, r->n);

        if (!head_done && !(in_place && head_fits(m, at, r)))
            tls_sink_write(&sink, r->head, r->head_bytes);
        if (in_place) {
            r->suite->aead->seal_part(&r->op, p, p, part);
            tls_rope_pop(plain);
            if (!head_done && head_fits(m, at, r)) {
                m->data_off = (uint16_t)(m->data_off - r->head_bytes);
                m->data_len = (uint16_t)(m->data_len + r->head_bytes);
                memcpy(rte_pktmbuf_mtod(m, uint8_t *), r->head, r->head_bytes);
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
        tls_sink_write(&sink, r->head, r->head_bytes);
    if (r->tail_bytes > TLS_TAG_BYTES)
        seal_to_sink(r, &sink, &r->type, 1);
    r->suite->aead->end(&r->op, tag);
    tls_sink_write(&sink, tag, sizeof(tag));
    tls_sink_done(&sink);
    rope_splice(wire, &sink.out);
    return 0;
}

int tls_record_seal(struct tls_core *core, struct tls_conn *c, tls_id id, uint8_t type, struct rope *plain, uint32_t n,
                    struct rope *wire) {
    const struct rte_mbuf *m = plain->head;
    struct sealing r;

    sealing_set(core, c, id, type, n, &r);
    if (m && m->data_len == n && rope_mbuf_private(m) && head_fits(m, 0, &r) &&
        rte_pktmbuf_tailroom(m) >= r.tail_bytes) {
        seal_in_place(&r, plain, wire);
    } else if (seal_parts(core, &r, plain, wire) < 0) {
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

/* What must go out before the next record: an owed KeyUpdate, and our own where the key is nearly used up (its last
 * record is the KeyUpdate or close_notify itself). Returns 0 or why no record can follow. */
static int before_seal(struct tls_core *core, struct tls_conn *c, tls_id id, struct rope *wire) {
    const struct tls_suite *s = tls_conn_suite(c);

    if (c->flags & TLS_F_UPDATE_OWED)
        return tls_key_update_send(core, c, id, false, wire);
    if (WEIR_LIKELY(!s->limited || c->seq[TLS_WRITE] + 1 < core->gcm_record_limit))
        return 0;
    if (s->version == TLS_V13)
        return tls_key_update_send(core, c, id, false, wire);
    int rc = tls_close(core, id, wire);
    return rc < 0 ? rc : WEIR_ESTATE;
}

int tls_seal(struct tls_core *core, tls_id id, struct rope *plain, struct rope *wire, uint32_t max_bytes) {
    struct tls_conn *c = tls_conn_get(core, id);
    uint32_t total = weir_min_u32(plain->len_bytes, max_bytes), taken = 0;
    int rc = 0;

    if (c->flags & TLS_F_WRITE_CLOSED)
        return WEIR_ESTATE;
    if (c->phase == TLS_PHASE_LIBSSL)
        return tls_libssl_seal(core, c, plain, wire, max_bytes);
    if (c->phase != TLS_PHASE_OPEN)
        return WEIR_ESTATE;
    while (taken < total) {
        uint32_t n = weir_min_u32(total - taken, tls_conn_record_max(c));
        rc = before_seal(core, c, id, wire);
        if (rc == 0)
            rc = tls_record_seal(core, c, id, TLS_CT_DATA, plain, n, wire);
        if (rc < 0)
            break;
        taken += n;
    }
    core->stats.bytes_sealed += taken;
    return taken > 0 ? (int)taken : rc;
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
    core->stats.close_notify_out++;
    return 0;
}
