/* SPDX-License-Identifier: BSD-3-Clause */
/* Records in: framing, and opening where they lie.
 *
 *   it fills a private mbuf     one call of the AEAD, in place
 *   one mbuf holds it           one call of the AEAD into a fresh mbuf
 *   it lies in several          begin, a part an mbuf, end; whole private mbufs in place, the others into fresh ones
 *
 * Whatever was decrypted becomes visible only after the tag fitted. */
#include "tls_int.h"

void tls_rope_truncate(struct rope *r, uint32_t n) {
    if (n == 0) {
        rope_clear(r);
        return;
    }
    if (WEIR_LIKELY(r->len_bytes - n < r->tail->data_len)) {
        r->tail->data_len = (uint16_t)(r->tail->data_len - (r->len_bytes - n));
        r->len_bytes = n;
        return;
    }
    struct rte_mbuf *m = r->head;
    uint32_t before = 0, mbufs = 1;

    while (before + m->data_len < n) {
        before += m->data_len;
        m = m->next;
        mbufs++;
    }
    struct rope rest = {.head = m->next, .tail = m->next ? r->tail : NULL, .mbufs = r->mbufs - mbufs};
    rest.len_bytes = r->len_bytes - before - m->data_len;
    m->data_len = (uint16_t)(n - before);
    m->next = NULL;
    r->tail = m;
    r->len_bytes = n;
    r->mbufs = mbufs;
    rope_clear(&rest);
}

/* What of the record lies where: bytes [head, tail) behind the start of the rope are ciphertext. */
struct extent {
    uint32_t total, head, tail;
};

/* The part of the mbuf that begins `at` bytes behind the start of the record which is ciphertext. */
static uint32_t body_part(const struct extent *e, uint32_t at, uint32_t n, uint32_t *skip) {
    uint32_t from = weir_max_u32(at, e->head), to = weir_min_u32(at + n, e->tail);

    *skip = from - at;
    return to > from ? to - from : 0;
}

static bool stays(const struct rte_mbuf *m, uint32_t at, const struct extent *e) {
    return at + m->data_len <= e->total && rope_mbuf_private(m);
}

static uint32_t spares_needed(const struct rope *wire, const struct extent *e, uint32_t mbuf_room) {
    struct tls_sink_plan plan = {.spare_room = mbuf_room};
    uint32_t at = 0, skip;

    for (const struct rte_mbuf *m = wire->head; at < e->tail; at += m->data_len, m = m->next) {
        uint32_t n = body_part(e, at, m->data_len, &skip);
        if (n == 0)
            continue;
        if (stays(m, at, e)) /* its own header or tag, once trimmed off, is tail room too; not counted on */
            plan.room = m->data_len - skip - n + rte_pktmbuf_tailroom(m);
        else
            tls_plan_bytes(&plan, n);
    }
    return plan.spares;
}

static void open_to_sink(const struct tls_op *op, const struct tls_aead *aead, struct tls_sink *sink,
                         const uint8_t *src, uint32_t n) {
    while (n > 0) {
        uint32_t part = n;
        uint8_t *dst = tls_sink_room(sink, &part);
        aead->open_part(op, dst, src, part);
        src += part;
        n -= part;
    }
}

/* The record in several mbufs. The wire is consumed: if the tag does not fit, the connection is over anyway. Returns
 * whether anything was decrypted to elsewhere, or WEIR_ENOMEM. */
static int open_parts(struct tls_core *core, const struct tls_op *op, const struct tls_aead *aead,
                      const struct extent *e, struct rope *wire, struct rope *out, uint8_t *tag) {
    struct tls_sink sink;
    uint32_t skip;
    bool elsewhere = false;

    if (tls_sink_init(&sink, core, spares_needed(wire, e, core->mbuf_room)) < 0)
        return WEIR_ENOMEM;
    aead->begin(op);
    for (uint32_t at = 0; at < e->total;) {
        struct rte_mbuf *m = wire->head;
        uint32_t bytes = m->data_len;
        uint32_t n = body_part(e, at, bytes, &skip);
        uint8_t *src = rte_pktmbuf_mtod_offset(m, uint8_t *, n ? skip : 0);

        if (n > 0 && stays(m, at, e)) {
            aead->open_part(op, src, src, n);
            tls_rope_pop(wire);
            m->data_off = (uint16_t)(m->data_off + skip);
            m->data_len = (uint16_t)n;
            tls_sink_link(&sink, m);
        } else {
            elsewhere |= n > 0;
            open_to_sink(op, aead, &sink, src, n);
            rope_trim(wire, weir_min_u32(bytes, e->total - at));
        }
        at += bytes;
    }
    aead->end(op, tag);
    tls_sink_done(&sink);
    *out = sink.out;
    return elsewhere;
}

/* The record in the first mbuf, which holds more, or is not ours to write to: it is decrypted to elsewhere, or
 * WEIR_ENOMEM. */
static int open_copy(struct tls_core *core, const struct tls_op *op, const struct tls_aead *aead,
                     const struct extent *e, struct rope *wire, struct rope *out, uint8_t *tag) {
    uint32_t n = e->tail - e->head;
    struct rte_mbuf *m = rte_pktmbuf_alloc(core->pool);

    if (m == NULL)
        return WEIR_ENOMEM;
    aead->open(op, rte_pktmbuf_mtod(m, uint8_t *), rte_pktmbuf_mtod_offset(wire->head, uint8_t *, e->head), n, tag);
    rope_trim(wire, e->total);
    m->data_len = (uint16_t)n;
    *out = (struct rope){.head = m, .tail = m, .len_bytes = n, .mbufs = 1};
    return true;
}

/* The record that fills the first mbuf, where it lies. */
static int open_mbuf(struct tls_core *core, struct tls_conn *c, tls_id id, const struct tls_suite *s,
                     const struct tls_frame *f, struct rope *wire, struct rope *out) {
    struct rte_mbuf *m = wire->head;
    uint32_t head = TLS_HEADER_BYTES + s->explicit_bytes;
    uint8_t *record = rte_pktmbuf_mtod(m, uint8_t *);

    const void *key = tls_conn_key_find(core, c, id, TLS_READ, s->gcm);

    if (!tls_record_open_at(core, c, s, s->version == TLS_V13, s->gcm, key, f->type, record, m->data_len,
                            record + head)) {
        rope_clear(wire);
        return -TLS_DROP_BAD_MAC;
    }
    tls_rope_pop(wire);
    m->data_off = (uint16_t)(m->data_off + head);
    m->data_len = (uint16_t)(f->body_bytes - s->explicit_bytes - TLS_TAG_BYTES);
    *out = (struct rope){.head = m, .tail = m, .len_bytes = m->data_len, .mbufs = 1};
    return 0;
}

int tls_record_open(struct tls_core *core, struct tls_conn *c, tls_id id, const struct tls_frame *f, struct rope *wire,
                    struct rope *out) {
    const struct tls_suite *s = tls_conn_suite(c);
    bool v13 = s->version == TLS_V13;
    struct extent e = {.total = TLS_HEADER_BYTES + f->body_bytes, .head = TLS_HEADER_BYTES + s->explicit_bytes};
    uint8_t scratch[8], sent[TLS_TAG_BYTES], tag[TLS_TAG_BYTES];
    struct tls_op op;

    if (f->body_bytes < (uint32_t)s->explicit_bytes + TLS_TAG_BYTES)
        return -TLS_DROP_SHORT_RECORD;
    if (wire->head->data_len == e.total && rope_mbuf_private(wire->head))
        return open_mbuf(core, c, id, s, f, wire, out);
    e.tail = e.total - TLS_TAG_BYTES;
    rope_copy(wire, e.tail, sent, sizeof(sent));
    tls_op_begin(&op, core, c, id, TLS_READ, s, v13, f->type, v13 ? f->body_bytes : e.tail - e.head,
                 rope_peek(wire, TLS_HEADER_BYTES, sizeof(scratch), scratch));
    int rc = e.total <= wire->head->data_len && e.tail - e.head <= core->mbuf_room
                 ? open_copy(core, &op, s->aead, &e, wire, out, tag)
                 : open_parts(core, &op, s->aead, &e, wire, out, tag);
    if (rc < 0)
        return TLS_NO_MBUF;
    if (WEIR_UNLIKELY(!tls_tag_equal(tag, sent))) {
        rope_clear(out);
        return -TLS_DROP_BAD_MAC;
    }
    c->seq[TLS_READ]++;
    core->stats.records_opened++;
    core->stats.opened_elsewhere += (uint32_t)rc;
    return 0;
}
