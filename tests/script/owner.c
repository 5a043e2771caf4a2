/* SPDX-License-Identifier: BSD-3-Clause */
/* Lines that stand for the owner of a connection: what session.c of the program would call, and the events that it
 * would see. */
#include "script.h"

#include "../unit/tcp/harness.h"

#include <stdlib.h>
#include <string.h>

static tcp_id owned(struct world *w) {
    if (!world_flow(w)->id)
        fail(w, "the owner has no such connection");
    return world_flow(w)->id;
}

static struct tcp_options options_of(struct world *w, const struct line *l, unsigned at) {
    struct tcp_options o = {0};
    for (; at < l->n; at++) {
        const char *word = l->words[at];
        if (!strcmp(word, "cubic"))
            o.cc = TCP_CC_CUBIC;
        else if (!strcmp(word, "reno"))
            o.cc = TCP_CC_RENO;
        else if (!strcmp(word, "cookies"))
            o.cookies = TCP_COOKIES_ALWAYS;
        else if (!strcmp(word, "no-cookies"))
            o.cookies = TCP_COOKIES_OFF;
        else if (!strcmp(word, "ecn"))
            o.ecn = true;
        else
            fail(w, "no such option of a connection: %s", word);
    }
    return o;
}

static void listen_(struct world *w, const struct line *l, unsigned at) {
    struct tcp_options o = options_of(w, l, at);
    if (tcp_listen(world_core(w), SCRIPT_LOCAL, RTE_BE16(SCRIPT_PORT), SCRIPT_LISTENER))
        fail(w, "it listens already");
    tcp_listen_options(w->core, SCRIPT_LISTENER, &o);
}

static void accepting(struct world *w, const struct line *l, unsigned at) {
    tcp_listen_accepting(world_core(w), SCRIPT_LISTENER, !strcmp(l->words[at], "on"));
}

/* connect [refused] [reno|cubic|ecn...] */
static void connect_(struct world *w, const struct line *l, unsigned at) {
    bool refused = at < l->n && !strcmp(l->words[at], "refused");
    struct tcp_options o = options_of(w, l, at + refused);
    tcp_id id = 0;
    trace(w, "connect");
    int rc = tcp_connect(world_core(w), 0, SCRIPT_LOCAL, RTE_BE16(SCRIPT_PORT), SCRIPT_REMOTE,
                         rte_cpu_to_be_16((uint16_t)(SCRIPT_PEER_PORT + w->flow)), 0, w->now_us, &id);
    if ((rc != 0) != refused)
        fail(w, "connect says: %s", rc ? weir_error_text(rc) : "done");
    if (refused)
        return;
    world_flow(w)->id = id;
    tcp_conn_options(w->core, id, &o);
    world_turn(w);
}

/* --- events --- */

static const char *const event_names[] = {"ACCEPTED", "CONNECTED", "READABLE", "PEER_FIN", "WRITABLE", "CLOSED"};

static const char *event_name(int i) {
    return event_names[i];
}

static void event(struct world *w, const struct line *l, unsigned at) {
    uint8_t *events = &world_flow(w)->events;
    if (!strcmp(l->words[at], "none")) {
        if (*events)
            fail(w, "there are events: 0x%02x", *events);
        return;
    }
    uint8_t bit = (uint8_t)(1u << name_of(w, l->words[at], "event", event_name, WEIR_ARRAY_LEN(event_names)));
    if (!(*events & bit))
        fail(w, "no event %s came", l->words[at]);
    *events &= (uint8_t)~bit;
}

static void accept_(struct world *w, const struct line *l, unsigned at) {
    (void)l, (void)at;
    struct flow *f = world_flow(w);
    if (!(f->events & TCP_EV_ACCEPTED))
        fail(w, "there is nothing to accept");
    f->events &= (uint8_t)~TCP_EV_ACCEPTED;
}

static const char *end_name(int i) {
    return tcp_end_name((enum tcp_end)i);
}

static void ended(struct world *w, const struct line *l, unsigned at) {
    enum tcp_end e = tcp_conn_end(w->core, owned(w));
    if ((int)e != name_of(w, l->words[at], "end reason", end_name, TCP_END_COUNT))
        fail(w, "the end is: %s", tcp_end_name(e));
    world_flow(w)->events &= (uint8_t)~TCP_EV_CLOSED;
}

/* --- bytes --- */

static void send_(struct world *w, const struct line *l, unsigned at) {
    struct flow *f = world_flow(w);
    int64_t n = value_of(w, l->words[at]);
    bool refused = at + 1 < l->n && !strcmp(l->words[at + 1], "refused");
    struct rope r = {0};
    for (int64_t i = 0; i < n; i++) {
        uint8_t byte = pattern_at(f->queued + 1 + (uint32_t)i);
        if (rope_append(&r, world_pool(), &byte, 1))
            fail(w, "no mbuf for %lld bytes", (long long)n);
    }
    trace(w, "send %lld", (long long)n);
    int rc = tcp_conn_send(world_core(w), owned(w), &r);
    rope_clear(&r);
    if ((rc != 0) != refused)
        fail(w, "send says: %s", rc ? weir_error_text(rc) : "done");
    f->queued += refused ? 0 : (uint32_t)n;
    world_turn(w);
}

static void read_(struct world *w, const struct line *l, unsigned at) {
    struct flow *f = world_flow(w);
    tcp_id id = owned(w);
    struct rope *rx = tcp_conn_rx(w->core, id);
    uint32_t n = strcmp(l->words[at], "all") ? (uint32_t)value_of(w, l->words[at]) : rx->len_bytes;
    if (n > rx->len_bytes)
        fail(w, "%u bytes lie there to be read", rx->len_bytes);
    uint8_t *bytes = malloc(n + 1u);
    rope_copy(rx, 0, bytes, n);
    uint32_t same = 0;
    while (same < n && bytes[same] == pattern_at(f->taken + 1 + same))
        same++;
    free(bytes);
    if (same < n)
        fail(w, "byte %u of the stream is another", f->taken + 1 + same);
    rope_trim(rx, n);
    f->taken += n;
    trace(w, "read %u", n);
    tcp_conn_consumed(w->core, id);
    world_turn(w);
}

/* The owner asks for room; where it comes back short, WRITABLE will follow. */
static void want(struct world *w, const struct line *l, unsigned at) {
    tcp_id id = owned(w);
    uint32_t n = (uint32_t)value_of(w, l->words[at]), room = tcp_conn_room_for(w->core, id, n, 0);
    value_let(w, "room", room);
}

/* --- ends --- */

static void shutdown_(struct world *w, const struct line *l, unsigned at) {
    (void)l, (void)at;
    trace(w, "shutdown");
    tcp_conn_shutdown(w->core, owned(w));
    world_turn(w);
}

static void release(struct world *w, const struct line *l, unsigned at) {
    (void)l, (void)at;
    trace(w, "release");
    tcp_conn_release(w->core, owned(w));
    world_flow(w)->id = 0;
    world_turn(w);
}

static void abort_(struct world *w, const struct line *l, unsigned at) {
    (void)l, (void)at;
    trace(w, "abort");
    tcp_conn_abort(w->core, owned(w));
    world_flow(w)->id = 0;
    world_turn(w);
}

const struct verb owner_verbs[] = {
    {"listen", listen_, 0, 4, false},
    {"accepting", accepting, 1, 1, false},
    {"connect", connect_, 0, 4, false},
    {"event", event, 1, 1, true},
    {"accept", accept_, 0, 0, true},
    {"ended", ended, 1, 1, true},
    {"send", send_, 1, 2, false},
    {"read", read_, 1, 1, false},
    {"want", want, 1, 1, false},
    {"shutdown", shutdown_, 0, 0, false},
    {"release", release, 0, 0, false},
    {"abort", abort_, 0, 0, false},
    {0},
};
