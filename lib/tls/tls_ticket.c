/* SPDX-License-Identifier: BSD-3-Clause */
/* NewSessionTickets to a client of TLS 1.3 (RFC 8446 section 4.6.1): several may share a record, and one may lie in
 * several. What came of one so far waits in a rope of core->tickets, which few connections have, and only between two
 * records. Nothing is read of them but their length. */
#include "tls_int.h"

enum { NEW_SESSION_TICKET = 4, MESSAGE_HEADER_BYTES = 4 };

/* Bytes of the message whose beginning this is, as far as its header tells; at least the header. */
static uint32_t message_bytes(const struct rope *r) {
    uint8_t header[MESSAGE_HEADER_BYTES];
    struct span s = span_of(header, rope_copy(r, 0, header, sizeof(header)));

    (void)span_u8(&s);
    uint32_t body_bytes = span_u24(&s);
    return MESSAGE_HEADER_BYTES + (s.failed ? 0 : body_bytes);
}

static void deliver(struct tls_core *core, const struct tls_conn *c, const struct rope *message, uint32_t n) {
    uint8_t scratch[TLS_TICKET_MAX];

    core->stats.tickets_in++;
    if (core->ticket)
        core->ticket(core->ticket_ctx, c->user, rope_peek(message, 0, n, scratch), n);
}

void tls_ticket_forget(struct tls_core *core, struct tls_conn *c) {
    if (c->ticket == POOL_NONE)
        return;
    rope_clear(pool_get(&core->tickets, c->ticket));
    pool_free(&core->tickets, c->ticket);
    c->ticket = POOL_NONE;
}

/* Copied, so that records of a byte each hold no mbuf each. */
static int part_keep(struct tls_core *core, struct rope *part, struct rope *content, uint32_t n) {
    n = weir_min_u32(n, content->len_bytes);
    for (uint32_t left = n; left > 0;) {
        const struct rte_mbuf *m = content->head;
        uint32_t piece = weir_min_u32(left, m->data_len);
        if (rope_append(part, core->pool, rte_pktmbuf_mtod(m, const void *), piece) < 0)
            return -TLS_DROP_NO_MEMORY;
        rope_trim(content, piece);
        left -= piece;
    }
    return 0;
}

/* Go on with the message that began in an earlier record: first its header, which tells how long it is. */
static int part_grow(struct tls_turn *t, struct rope *content) {
    struct tls_core *core = t->core;
    struct rope *part = pool_get(&core->tickets, t->c->ticket);

    for (;;) {
        uint32_t n = message_bytes(part);
        if (n > TLS_TICKET_MAX)
            return -TLS_DROP_TICKET_TOO_LONG;
        if (part->len_bytes == n)
            break;
        if (content->len_bytes == 0)
            return 0;
        int rc = part_keep(core, part, content, n - part->len_bytes);
        if (rc < 0)
            return rc;
    }
    deliver(core, t->c, part, part->len_bytes);
    tls_ticket_forget(core, t->c);
    return 0;
}

int tls_tickets_take(struct tls_turn *t, struct rope *content) {
    struct tls_core *core = t->core;
    struct tls_conn *c = t->c;
    int rc = 0;

    while (content->len_bytes > 0 && rc == 0) {
        if (c->ticket != POOL_NONE) {
            rc = part_grow(t, content);
            continue;
        }
        if (*rte_pktmbuf_mtod(content->head, const uint8_t *) != NEW_SESSION_TICKET)
            return 0;
        if (++c->update_run > TLS_UPDATE_RUN_MAX)
            return -TLS_DROP_UPDATE_FLOOD;
        uint32_t n = message_bytes(content);
        if (n > TLS_TICKET_MAX)
            return -TLS_DROP_TICKET_TOO_LONG;
        if (content->len_bytes >= n) {
            deliver(core, c, content, n);
            rope_trim(content, n);
        } else {
            c->ticket = (uint8_t)pool_alloc(&core->tickets);
            rc = c->ticket == POOL_NONE ? -TLS_DROP_NO_MEMORY : 0;
        }
    }
    return rc;
}
