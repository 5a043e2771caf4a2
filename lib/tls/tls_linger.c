/* SPDX-License-Identifier: BSD-3-Clause */
/* SSL objects of clients that linger. NewSessionTickets of TLS 1.3 come after the handshake, when the records are ours
 * already; but only libssl can make sessions of them. So records with tickets go to its object as well, in the order
 * and with the very ciphertext in which they came, and it opens them with the keys that it still has.
 *
 *   begin    the handshake is complete                                tls_step_handshake
 *   note     a copy of the next record, before it is decrypted        step_open
 *   feed     it held tickets: the copy goes to the engine             handshake_in
 *   home     the engine made sessions of them                         tls_poll
 *   end      it held anything else; or a second has passed; or somebody needs the place
 *
 * What went to the engine before the end is awaited: ticket and first answer often come together. */
#include "tls_msg.h"

#define LINGER_US 1000000u

static void list_join(struct tls_core *core, struct tls_client *cl, tls_id id) {
    cl->next = 0;
    cl->prev = core->lingering_last;
    if (cl->prev)
        tls_client_of(core, tls_conn_get(core, cl->prev))->next = id;
    else
        core->lingering_first = id;
    core->lingering_last = id;
}

static void list_leave(struct tls_core *core, const struct tls_client *cl) {
    if (cl->prev)
        tls_client_of(core, tls_conn_get(core, cl->prev))->next = cl->next;
    else
        core->lingering_first = cl->next;
    if (cl->next)
        tls_client_of(core, tls_conn_get(core, cl->next))->prev = cl->prev;
    else
        core->lingering_last = cl->prev;
}

void tls_linger_begin(struct tls_core *core, struct tls_conn *c, tls_id id, struct tls_msg *msg) {
    struct tls_client *cl = tls_client_of(core, c);

    explicit_bzero(msg->keys, sizeof(msg->keys));
    cl->place = pool_index(&core->places, msg);
    cl->since_us = core->now_us;
    c->lingers = 1;
    list_join(core, cl, id);
    if (tls_admission_wants_place(core)) /* now: a handshake is worth more than a session */
        tls_linger_end(core, c);
}

static void place_leave(struct tls_core *core, struct tls_conn *c) {
    struct tls_client *cl = tls_client_of(core, c);

    tls_msg_dismiss(core, pool_get(&core->places, cl->place));
    cl->place = POOL_NONE;
    tls_client_tidy(core, c);
}

void tls_linger_end(struct tls_core *core, struct tls_conn *c) {
    if (!c->lingers)
        return;
    struct tls_client *cl = tls_client_of(core, c);
    list_leave(core, cl);
    c->lingers = 0;
    rope_clear(&cl->note);
    if (!cl->in_flight)
        place_leave(core, c);
}

void tls_linger_note(struct tls_core *core, struct tls_conn *c, const struct rope *wire, uint32_t n) {
    struct rope *note = &tls_client_of(core, c)->note;

    rope_clear(note); /* of a record that was not taken then */
    for (const struct rte_mbuf *m = wire->head; n > 0; m = m->next) {
        uint32_t part = weir_min_u32(n, m->data_len);
        if (rope_append(note, core->pool, rte_pktmbuf_mtod(m, const void *), part) < 0) {
            tls_linger_end(core, c); /* a session less */
            return;
        }
        n -= part;
    }
}

static void queue_post(struct tls_core *core, struct tls_client *cl) {
    struct tls_msg *msg = pool_get(&core->places, cl->place);

    rope_splice(&msg->in, &cl->queue);
    msg->request = TLS_REQ_TICKET;
    cl->in_flight = true;
    tls_msg_post(core, msg);
}

void tls_linger_feed(struct tls_core *core, struct tls_conn *c) {
    if (!c->lingers)
        return;
    struct tls_client *cl = tls_client_of(core, c);
    rope_splice(&cl->queue, &cl->note);
    if (!cl->in_flight)
        queue_post(core, cl);
}

bool tls_linger_home(struct tls_core *core, struct tls_conn *c, struct tls_msg *msg) {
    struct tls_client *cl = tls_client_of(core, c);
    bool session = tls_client_session_keep(core, c, msg), dropped = msg->result == TLS_RES_DROPPED;

    cl->in_flight = false;
    if (dropped)
        rope_clear(&cl->queue);
    if (cl->queue.len_bytes > 0)
        queue_post(core, cl);
    else if (!c->lingers)
        place_leave(core, c);
    else if (dropped)
        tls_linger_end(core, c);
    return session;
}

void tls_linger_yield(struct tls_core *core) {
    if (core->lingering_first && tls_admission_wants_place(core))
        tls_linger_end(core, tls_conn_get(core, core->lingering_first));
}

void tls_client_sweep(struct tls_core *core, uint64_t now_us, uint32_t max) {
    core->now_us = now_us;
    for (; max > 0 && core->lingering_first; max--) {
        struct tls_conn *c = tls_conn_get(core, core->lingering_first);
        if (now_us - tls_client_of(core, c)->since_us < LINGER_US)
            return;
        tls_linger_end(core, c);
    }
}
