/* SPDX-License-Identifier: BSD-3-Clause */
/* Where a record's bytes are written while it is opened or sealed: behind the last mbuf of a rope in the making, which
 * is either one transformed in place or one taken beforehand. Taking all of them first is what makes a record all or
 * nothing. */
#include "tls_int.h"

int tls_sink_init(struct tls_sink *s, const struct tls_core *core, uint32_t spares) {
    *s = (struct tls_sink){.spare_room = core->mbuf_room};
    while (spares-- > 0) {
        struct rte_mbuf *m = rte_pktmbuf_alloc(core->pool);
        if (m == NULL) {
            tls_sink_done(s);
            return WEIR_ENOMEM;
        }
        m->next = s->spare;
        s->spare = m;
    }
    return 0;
}

void tls_sink_link(struct tls_sink *s, struct rte_mbuf *m) {
    rope_link(&s->out, m);
    s->room = rte_pktmbuf_tailroom(m);
}

uint8_t *tls_sink_room(struct tls_sink *s, uint32_t *n) {
    if (s->room == 0) {
        struct rte_mbuf *m = s->spare;
        assert(m != NULL);
        s->spare = m->next;
        tls_sink_link(s, m);
        s->room = weir_min_u32(s->room, s->spare_room);
    }
    struct rte_mbuf *tail = s->out.tail;
    uint8_t *p = rte_pktmbuf_mtod_offset(tail, uint8_t *, tail->data_len);

    *n = weir_min_u32(*n, s->room);
    tail->data_len = (uint16_t)(tail->data_len + *n);
    s->out.len_bytes += *n;
    s->room -= *n;
    return p;
}

void tls_sink_write(struct tls_sink *s, const void *data, uint32_t n) {
    const uint8_t *from = data;

    while (n > 0) {
        uint32_t part = n;
        uint8_t *to = tls_sink_room(s, &part);
        memcpy(to, from, part);
        from += part;
        n -= part;
    }
}

void tls_sink_done(struct tls_sink *s) {
    while (s->spare) {
        struct rte_mbuf *m = s->spare;
        s->spare = m->next;
        m->next = NULL;
        rte_pktmbuf_free_seg(m);
    }
}
