/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_admission.h"

#include "tls_msg.h"
#include "tls_source.h"

#define FULL_SHARE   3u  /* so many that hope to resume begin while a full one waits; then it is its turn */
#define STALL_LOOK   8u  /* of those that were answered first, so many are looked at for one that may go */
#define CROWD_SHARE  8u  /* an address that holds such a part of all places, */
#define CROWD_LEAST  16u /* and so many, has many handshakes: */
#define CROWD_HASTE  4u  /* they get such a part of the time that others may take */
#define SERVED_GRACE 2u  /* so many times that, while the engine has something of it */
#define KEPT_SHARE   4u  /* of the SSL objects one in so many is kept from those who would hold them for long */

/* --- queues --- */

static void queue_join(struct tls_core *core, struct tls_conn *c, tls_id id, enum tls_class which) {
    struct tls_queue *q = &core->admission.queue[which];

    c->flags |= TLS_F_WAITING;
    c->hs.queue = (uint8_t)which;
    c->hs.next = 0;
    c->hs.prev = q->last;
    if (q->last)
        tls_conn_get(core, q->last)->hs.next = id;
    else
        q->first = id;
    q->last = id;
    q->n++;
}

static void queue_leave(struct tls_core *core, struct tls_conn *c) {
    struct tls_queue *q = &core->admission.queue[c->hs.queue];

    c->flags &= (uint8_t)~TLS_F_WAITING;
    if (c->hs.prev)
        tls_conn_get(core, c->hs.prev)->hs.next = c->hs.next;
    else
        q->first = c->hs.next;
    if (c->hs.next)
        tls_conn_get(core, c->hs.next)->hs.prev = c->hs.prev;
    else
        q->last = c->hs.prev;
    q->n--;
}

static uint64_t waited_us(const struct tls_core *core, tls_id id) {
    return core->now_us - tls_conn_get(core, id)->hs.since_us;
}

static uint32_t waiting(const struct tls_admission *a) {
    return a->queue[TLS_CLASS_CLIENT].n + a->queue[TLS_CLASS_RESUMED].n + a->queue[TLS_CLASS_FULL].n;
}

static void gauges(struct tls_core *core) {
    core->stats.handshakes_waiting = waiting(&core->admission);
    core->stats.handshakes_begun = core->admission.starts;
    core->stats.handshakes_answered = core->admission.queue[TLS_CLASS_ANSWERED].n;
}

/* Has the oldest of a class waited so long that those behind it should not wait for it? */
static bool overloaded(const struct tls_core *core, const struct tls_queue *q) {
    return q->first && waited_us(core, q->first) > core->admission.patience_us;
}

/* --- hellos of those that wait --- */

/* Of the first record on `wire`. */
static uint32_t hello_bytes(const struct rope *wire) {
    struct tls_frame f = {0};

    return tls_frame_peek(wire, TLS_RECORD_WIRE_MAX, &f) == 1 ? TLS_HEADER_BYTES + f.body_bytes : UINT32_MAX;
}

/* Take it off. Returns false where there is no place for it, and too many of those wait. */
static bool hello_keep(struct tls_core *core, struct tls_conn *c, struct rope *wire) {
    struct tls_admission *a = &core->admission;
    uint32_t n = hello_bytes(wire);

    if (c->is_client)
        return true;
    if (n <= TLS_HELLO_KEPT && (n - 1) / TLS_HELLO_PART < a->hellos.capacity - a->hellos.used) {
        for (uint32_t end = n; end > 0;) { /* the last part first */
            uint32_t part = (end - 1) % TLS_HELLO_PART + 1, index = pool_alloc_dirty(&a->hellos);
            struct tls_hello *h = pool_get(&a->hellos, index);
            end -= part;
            h->n = (uint16_t)rope_copy(wire, end, h->record, part);
            h->next = c->hs.hello;
            c->hs.hello = index;
        }
        rope_trim(wire, n);
        return true;
    }
    c->hs.large = a->large < a->max_large;
    a->large += c->hs.large;
    return c->hs.large;
}

static void hello_forget(struct tls_core *core, struct tls_conn *c) {
    for (uint32_t part = c->hs.hello, next; part != POOL_NONE; part = next) {
        next = ((const struct tls_hello *)pool_get(&core->admission.hellos, part))->next;
        pool_free(&core->admission.hellos, part);
    }
    c->hs.hello = POOL_NONE;
    core->admission.large -= c->hs.large;
    c->hs.large = false;
}

int tls_admission_hello(struct tls_core *core, struct tls_conn *c, struct rope *in) {
    bool kept = c->hs.hello != POOL_NONE;

    for (uint32_t part = c->hs.hello; part != POOL_NONE;) {
        const struct tls_hello *h = pool_get(&core->admission.hellos, part);
        if (rope_append(in, core->pool, h->record, h->n) < 0) {
            rope_clear(in);
            return WEIR_ENOMEM;
        }
        part = h->next;
    }
    hello_forget(core, c);
    return kept;
}

/* --- refusals --- */

static void refuse(struct tls_core *core, tls_id id, enum tls_drop why) {
    struct tls_conn *c = tls_conn_get(core, id);

    queue_leave(core, c);
    hello_forget(core, c);
    tls_admission_done(core, c);
    c->hs.refused = (uint8_t)why;
    queue_join(core, c, id, TLS_CLASS_REFUSED);
}

/* Who makes room for a newcomer, where anybody does. Classes are in the order of what they are worth; but a hello hopes
 * to resume because it says so: against that, full ones have a share of the queue, as they have of the turns. */
static struct tls_queue *victims(struct tls_admission *a, enum tls_class newcomer) {
    struct tls_queue *resumed = &a->queue[TLS_CLASS_RESUMED], *full = &a->queue[TLS_CLASS_FULL];
    uint32_t kept = a->max_waiting / (FULL_SHARE + 1);

    if (newcomer == TLS_CLASS_FULL)
        return full->n < kept && resumed->n > 0 ? resumed : NULL;
    if (full->n > (newcomer == TLS_CLASS_CLIENT && resumed->n == 0 ? 0 : kept))
        return full;
    return newcomer == TLS_CLASS_CLIENT && resumed->n > 0 ? resumed : NULL;
}

/* Somebody goes, so that a newcomer can stay. Returns false where it is the newcomer who has to. */
static bool make_room(struct tls_core *core, enum tls_class newcomer) {
    struct tls_admission *a = &core->admission;
    struct tls_queue *q = victims(a, newcomer), *same = &a->queue[newcomer];

    if (q == NULL && !overloaded(core, same))
        return false;
    if (q == NULL)
        q = same;
    refuse(core, overloaded(core, q) ? q->first : q->last, TLS_DROP_HS_QUEUE_FULL);
    return true;
}

/* The hello may wait, in place of others where the queue, or what hellos are kept in, is full. */
static bool may_wait(struct tls_core *core, struct tls_conn *c, enum tls_class which, struct rope *wire) {
    const struct tls_admission *a = &core->admission;
    bool kept = hello_keep(core, c, wire);

    for (uint32_t gone = 0; !kept || waiting(a) >= a->max_waiting; gone++) {
        bool helps = kept || hello_bytes(wire) <= TLS_HELLO_KEPT; /* nobody goes for one that is too large anyway */
        if (!helps || gone == TLS_HELLO_KEPT / TLS_HELLO_PART || !make_room(core, which))
            return false;
        kept = kept || hello_keep(core, c, wire);
    }
    return true;
}

static bool source_enter(struct tls_core *core, struct tls_conn *c) {
    struct tls_admission *a = &core->admission;

    if (c->hs.source_be == 0 || c->hs.counted)
        return true;
    c->hs.counted = tls_sources_enter(a->sources, c->hs.source_be);
    return c->hs.counted || a->max_per_source == 0;
}

void tls_admission_done(struct tls_core *core, struct tls_conn *c) {
    if (c->hs.counted)
        tls_sources_leave(core->admission.sources, c->hs.source_be);
    c->hs.counted = false;
}

/* --- in --- */

/* All of n places but the share that is kept. */
static uint32_t share(uint32_t n) {
    return n > 1 ? n - (n + KEPT_SHARE - 1) / KEPT_SHARE : n;
}

/* Those that stay are out of the reckoning: of what they leave, either role has some to shake hands with. */
static bool place_free(const struct tls_core *core, bool is_client) {
    const struct tls_admission *a = &core->admission;

    if (core->engine == NULL || core->places.used >= core->max_places)
        return false;
    return !is_client || a->client_places < share(core->max_places - a->libssl_places);
}

bool tls_admission_wants_place(const struct tls_core *core) {
    const struct tls_admission *a = &core->admission;
    bool clients = a->queue[TLS_CLASS_CLIENT].n > 0,
         others = a->queue[TLS_CLASS_RESUMED].n + a->queue[TLS_CLASS_FULL].n;

    return (clients && !place_free(core, true)) || (others && !place_free(core, false));
}

/* Give it a place. Returns false where there is none, or enough hellos are with the engine. */
static bool place_give(struct tls_core *core, struct tls_conn *c) {
    bool start = !c->is_client;

    if (!place_free(core, c->is_client) || (start && core->admission.starts >= core->admission.max_starts))
        return false;
    c->place = pool_alloc(&core->places);
    if (c->place == POOL_NONE)
        return false;
    struct tls_msg *msg = pool_get(&core->places, c->place);
    msg->start = msg->costly = start;
    msg->is_client = c->is_client;
    core->admission.starts += start;
    core->admission.client_places += c->is_client;
    core->stats.ssl_objects = core->places.used;
    return true;
}

void tls_admission_costly(struct tls_core *core, struct tls_msg *msg) {
    msg->costly = true;
    msg->start = msg->awaited == TLS_AWAITED_HELLO;
    core->admission.starts += msg->start;
    gauges(core);
}

void tls_admission_started(struct tls_core *core, struct tls_msg *msg) {
    core->admission.starts -= msg->start;
    msg->start = msg->costly = false;
}

bool tls_admission_stay(struct tls_core *core, struct tls_msg *msg) {
    struct tls_admission *a = &core->admission;

    if (a->libssl_places >= share(core->max_places))
        return false;
    a->libssl_places++;
    msg->stays = true;
    a->client_places -= msg->is_client;
    msg->is_client = false;
    return true;
}

int tls_admission_ask(struct tls_core *core, struct tls_conn *c, tls_id id, struct rope *wire) {
    if (c->place != POOL_NONE)
        return TLS_STEP_AGAIN;
    if (c->flags & TLS_F_WAITING)
        return TLS_STEP_STOP;
    if (!source_enter(core, c))
        return -TLS_DROP_HS_SOURCE_LIMIT;
    c->hs.since_us = core->now_us;
    if (waiting(&core->admission) == 0 && place_give(core, c)) {
        gauges(core);
        return TLS_STEP_AGAIN;
    }
    enum tls_class which = c->is_client              ? TLS_CLASS_CLIENT
                           : tls_hello_resumes(wire) ? TLS_CLASS_RESUMED
                                                     : TLS_CLASS_FULL;
    if (!may_wait(core, c, which, wire))
        return -TLS_DROP_HS_QUEUE_FULL;
    queue_join(core, c, id, which);
    core->stats.handshakes_queued++;
    tls_linger_yield(core);
    gauges(core);
    return TLS_STEP_STOP;
}

void tls_admission_leave(struct tls_core *core, struct tls_conn *c) {
    if (c->flags & TLS_F_WAITING)
        queue_leave(core, c);
    hello_forget(core, c);
    tls_admission_done(core, c);
    gauges(core);
}

/* --- those whose client is to speak --- */

void tls_admission_answered(struct tls_core *core, struct tls_conn *c, tls_id id, bool moved) {
    bool queued = c->flags & TLS_F_WAITING;

    if (c->is_client ||
        (queued && !moved)) /* a message in drops gains its client no time, nor does a meaningless one */
        return;
    if (queued)
        queue_leave(core, c);
    c->hs.since_us = core->now_us;
    queue_join(core, c, id, TLS_CLASS_ANSWERED);
    gauges(core);
}

/* How long it may keep an SSL object that others need. A device that takes its time for a signature has patience_us; an
 * address that fills the places with such as say nothing has less for each. What lies with the engine may be just what
 * was awaited: it is not our delay that counts. */
static uint64_t silence_us(const struct tls_core *core, const struct tls_conn *c) {
    const struct tls_admission *a = &core->admission;
    uint32_t many = weir_max_u32(core->max_places / CROWD_SHARE, CROWD_LEAST);
    bool crowd = c->hs.counted && tls_sources_count(a->sources, c->hs.source_be) > many;
    uint64_t us = crowd ? a->patience_us / CROWD_HASTE : a->patience_us;

    return c->flags & TLS_F_IN_FLIGHT ? us * SERVED_GRACE : us;
}

/* One goes whose client has been silent, or has come no further, for too long, if somebody waits for its place. One a
 * turn: by the next its place is free. */
static void stalled_refuse(struct tls_core *core) {
    tls_id id = core->admission.queue[TLS_CLASS_ANSWERED].first;

    for (uint32_t i = 0; i < STALL_LOOK && id != 0; i++) {
        const struct tls_conn *c = tls_conn_get(core, id);
        const struct tls_msg *msg = pool_get(&core->places, c->place);
        if (!msg->unread && waited_us(core, id) > silence_us(core, c)) { /* else it may be through with it */
            refuse(core, id, TLS_DROP_HS_STALLED);
            return;
        }
        id = c->hs.next;
    }
}

/* --- owners of clients --- */

bool tls_client_waits(const struct tls_core *core, tls_id id) {
    return tls_conn_get(core, id)->phase == TLS_PHASE_NEW;
}

void tls_client_refuse(struct tls_core *core, tls_id id) {
    struct tls_conn *c = tls_conn_get(core, id);

    if (c->phase == TLS_PHASE_NEW && c->hs.refused == TLS_DROP_NONE)
        c->hs.refused = TLS_DROP_HS_QUEUE_TIMEOUT;
}

/* --- once a turn --- */

/* Those that have waited too long; the oldest is in front. */
static void expire(struct tls_core *core, uint32_t max) {
    uint64_t limit_us = core->admission.max_wait_us;

    for (int which = TLS_CLASS_RESUMED; which <= TLS_CLASS_FULL; which++) {
        const struct tls_queue *q = &core->admission.queue[which];
        for (; max > 0 && q->first && waited_us(core, q->first) > limit_us; max--)
            refuse(core, q->first, TLS_DROP_HS_QUEUE_TIMEOUT);
    }
}

static struct tls_queue *next_queue(struct tls_core *core) {
    struct tls_admission *a = &core->admission;
    struct tls_queue *clients = &a->queue[TLS_CLASS_CLIENT], *resumed = &a->queue[TLS_CLASS_RESUMED],
                     *full = &a->queue[TLS_CLASS_FULL];

    if (clients->n > 0 && place_free(core, true))
        return clients;
    if (resumed->n > 0 && (full->n == 0 || a->resumed_run < FULL_SHARE))
        return resumed;
    return full;
}

/* Begin the next one, or find that its client has gone. Returns whose turn it was, 0: nobody's. */
static tls_id pick(struct tls_core *core) {
    struct tls_admission *a = &core->admission;
    struct tls_queue *q = next_queue(core);
    tls_id id = overloaded(core, q) && q != &a->queue[TLS_CLASS_CLIENT] ? q->last : q->first;

    if (id == 0)
        return 0;
    struct tls_conn *c = tls_conn_get(core, id);
    if (tls_client_gone(core, c, false)) {
        queue_leave(core, c);
        c->hs.refused = TLS_DROP_HS_CLIENT_GONE;
        return id;
    }
    if (!place_give(core, c))
        return 0;
    queue_leave(core, c);
    a->resumed_run = c->hs.queue == TLS_CLASS_RESUMED ? a->resumed_run + 1 : 0;
    uint64_t us = core->now_us - c->hs.since_us;
    core->stats.handshakes_wait_us += us;
    if (us > core->stats.handshake_longest_wait_us)
        core->stats.handshake_longest_wait_us = us;
    return id;
}

uint32_t tls_admission_run(struct tls_core *core, uint32_t *news, uint32_t max) {
    struct tls_queue *refused = &core->admission.queue[TLS_CLASS_REFUSED];
    uint32_t n = 0;
    tls_id id;

    if (WEIR_LIKELY(waiting(&core->admission) == 0 && refused->first == 0)) { /* most turns */
        gauges(core);
        return 0;
    }
    expire(core, max);
    if (tls_admission_wants_place(core) && !place_free(core, false))
        stalled_refuse(core);
    for (; n < max && refused->first; n++) {
        struct tls_conn *c = tls_conn_get(core, refused->first);
        queue_leave(core, c);
        news[n] = c->user;
    }
    for (; n < max && (id = pick(core)) != 0; n++)
        news[n] = tls_conn_get(core, id)->user;
    gauges(core);
    return n;
}

void tls_core_now(struct tls_core *core, uint64_t now_us) {
    core->now_us = now_us;
}

void tls_conn_source(struct tls_core *core, tls_id id, uint32_t addr_be) {
    tls_conn_get(core, id)->hs.source_be = addr_be;
}

bool tls_drop_is_refusal(enum tls_drop d) {
    return d == TLS_DROP_HS_SOURCE_LIMIT || d == TLS_DROP_HS_QUEUE_FULL || d == TLS_DROP_HS_QUEUE_TIMEOUT;
}
