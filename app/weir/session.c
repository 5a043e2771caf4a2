/* SPDX-License-Identifier: BSD-3-Clause */
#include "session_server.h"

#include "health.h"

#include <rte_prefetch.h>

#define READY_BATCH    256u /* flows visited a turn */
#define FETCH_GROUP    16u  /* of which so many are fetched ahead at a time, */
#define FETCH_SESSIONS 256u /* where more sessions than these are there: fewer are in the caches anyway */
#define TLS_BATCH      64u  /* handshake completions taken a turn */
#define TLS_INLINE     4u   /* handshake messages an inline engine serves a turn, and but one long one: 0.5 ms */
#define TLS_YIELD      8u   /* turns in a row that leave them out because there is more to do than a turn does */
#define TIMER_BATCH    64u
#define LAST_WORDS_MS  1000u  /* a handshake engine may take so long to read what came before the client's reset */
#define RESET_DRAIN_MS 30000u /* a client may take so long to read what came before the server's reset */

void session_deadline(struct worker *w, struct session *s, uint32_t after_ms) {
    s->deadline_ms = clock_ms(w->now_us) + after_ms;
    if (s->deadline_ms == 0)
        s->deadline_ms = 1; /* 0 means none */
    timer_wheel_arm(&w->session_wheel, session_index(w, s), s->deadline_ms);
}

/* What follows once bytes of the client can be read. */
static void session_start_reading(struct worker *w, struct session *s) {
    const struct config *c = w->weir->config;
    if (s->flags & SESSION_MQTT) {
        s->phase = PHASE_CONNECT;
        session_deadline(w, s, c->timeouts.mqtt_connect_s * 1000);
    } else if (s->flags & SESSION_ECHO) {
        s->phase = PHASE_FLOWING;
        s->deadline_ms = 0;
    } else {
        s->phase = PHASE_DIALING;
        s->deadline_ms = 0;
    }
}

static bool session_start_tls(struct worker *w, struct session *s, const struct config_listener *l) {
    s->tls = tls_conn_new(&w->tls, w->snapshot->tls[l->tls], session_user(session_index(w, s), SIDE_CLIENT));
    if (s->tls == 0)
        return false;
    tls_conn_source(&w->tls, s->tls, tcp_conn_key(&w->tcp, s->client)->remote_addr_be);
    s->flags |= SESSION_TLS;
    s->phase = PHASE_HANDSHAKE;
    session_deadline(w, s, w->weir->config->timeouts.handshake_s * 1000);
    return true;
}

/* A client's connection is complete: make its session. */
static void session_accept(struct worker *w, tcp_id id) {
    uint16_t listener = tcp_conn_listener(&w->tcp, id);
    const struct config_listener *l = &w->weir->config->listeners[listener];
    uint32_t index = pool_alloc(&w->sessions);
    w->listeners[listener].accepted++;
    if (index == POOL_NONE) {
        w->listeners[listener].closed[SESSION_END_NO_MEMORY]++;
        tcp_conn_abort(&w->tcp, id);
        return;
    }
    struct session *s = pool_get(&w->sessions, index);
    s->client = id;
    s->listener = listener;
    s->pool = l->pool < 0 ? LB_NONE : (uint16_t)l->pool;
    s->server_index = LB_NONE;
    s->flags = (l->mode == CONFIG_MODE_ECHO ? SESSION_ECHO : 0) | (l->mode == CONFIG_MODE_MQTT ? SESSION_MQTT : 0);
    w->listeners[listener].open++;
    tcp_conn_set_user(&w->tcp, id, session_user(index, SIDE_CLIENT));
    if (l->tls >= 0) {
        if (!session_start_tls(w, s, l)) {
            session_kill(w, s, SESSION_END_NO_MEMORY);
            return;
        }
    } else {
        session_start_reading(w, s);
    }
    if (s->phase == PHASE_DIALING) {
        s->key_hash = session_key(w, s);
        if (session_dial(w, s) != 0)
            return;
    }
    session_pump(w, s);
}

/* TLS is up: what a listener without TLS does at once. Returns 1 where the session was ended. */
static int session_handshake_done(struct worker *w, struct session *s) {
    if (s->flags & SESSION_LAST_WORDS) {
        session_kill(w, s, SESSION_END_CLIENT_RESET);
        return 1;
    }
    session_start_reading(w, s);
    if (s->phase != PHASE_DIALING)
        return 0;
    s->key_hash = session_key(w, s);
    return session_dial(w, s);
}

/* The server's bytes in plaintext, and what libssl sealed for it elsewhere, before any more is sealed. */
static int pull_server(struct worker *w, struct session *s) {
    return s->server_tls != 0 && s->server != 0 ? session_server_pull(w, s) : 0;
}

/* What the server sent before it reset the connection was acknowledged: all of it goes to the client first. */
static void pump_after_reset(struct worker *w, struct session *s) {
    if (pull_server(w, s) != 0 || session_push_client(w, s) != 0 || session_from_server(w, s)->len_bytes != 0 ||
        session_server_has_more(w, s))
        return;
    if (s->server_tls == 0 || !session_server_of(w, s)->worn || !(s->flags & SESSION_MQTT)) {
        session_reset_later(w, s, s->end);
        return;
    }
    if (s->server != 0 && !session_leave_server(w, s))
        return;
    session_refuse(w, s, s->end, NULL, 0);
}

/* The client has reset the connection: the server gets what came before, then the reset, or FIN where MQTT had said
 * goodbye. */
static void pump_last_words(struct worker *w, struct session *s) {
    if (s->flags & SESSION_SERVER_GONE) {
        session_kill(w, s, SESSION_END_CLIENT_RESET);
        return;
    }
    if (session_pull_client(w, s) != 0 || pull_server(w, s) != 0)
        return;
    bool pushes = s->c2s.len_bytes != 0;
    if (session_push_server(w, s) != 0 || s->c2s.len_bytes != 0 || session_in_libssl(w, s))
        return;
    if (pushes && tcp_conn_rx(&w->tcp, s->client)->len_bytes != 0)
        return; /* more than c2s holds at a time: session_push_server has asked for another visit */
    if (s->flags & SESSION_GOODBYE)
        session_finish(w, s, SESSION_END_CLIENT_RESET);
    else
        session_cut(w, s, SESSION_END_CLIENT_RESET);
}

/* The client's CONNECT, and what follows from it. */
static int pump_connect(struct worker *w, struct session *s) {
    enum cycles_stage before = cycles_stage(&w->cycles, CYCLES_MQTT);
    int rc = session_mqtt_connect(w, s);
    cycles_stage(&w->cycles, before);
    return rc;
}

void session_pump(struct worker *w, struct session *s) {
    if (s->phase == PHASE_ENDING)
        return;
    if (s->flags & SESSION_LAST_WORDS && s->phase == PHASE_FLOWING) {
        pump_last_words(w, s);
        return;
    }
    if (s->flags & SESSION_SERVER_RESET) {
        pump_after_reset(w, s);
        return;
    }
    bool shaking = s->phase == PHASE_HANDSHAKE;
    if (session_pull_client(w, s) != 0)
        return;
    if (shaking && s->tls != 0 && tls_established(&w->tls, s->tls) && session_handshake_done(w, s) != 0)
        return;
    if (s->phase == PHASE_CONNECT && pump_connect(w, s) != 0)
        return;
    if (s->phase == PHASE_SERVER_HANDSHAKE && session_server_pull(w, s) != 0)
        return;
    if (s->phase == PHASE_FLOWING) {
        if (pull_server(w, s) != 0 || session_push_server(w, s) != 0)
            return;
        if (session_push_client(w, s) != 0)
            return;
        if (s->flags & SESSION_SERVER_RESET) { /* just now, by TLS */
            pump_after_reset(w, s);
            return;
        }
    }
    (void)session_closes(w, s);
}

/* A client that resets had often more to say: an alert that gives up the handshake, or DISCONNECT and a close with
 * bytes of ours unread. What arrived before the reset was acknowledged: it is read first. Returns true where the
 * session goes on for that, or was ended in order. */
static bool session_last_words(struct worker *w, struct session *s, enum tcp_end end) {
    bool said = tcp_conn_rx(&w->tcp, s->client)->len_bytes != 0;
    if (end != TCP_END_PEER_RESET || (s->phase != PHASE_HANDSHAKE && s->phase != PHASE_FLOWING))
        return false;
    if (s->phase == PHASE_FLOWING) {
        if (s->flags & (SESSION_ECHO | SESSION_SERVER_GONE))
            return false;
        if (s->flags & SESSION_SERVER_SHUT) { /* the server has had all of it, and FIN */
            session_finish(w, s, SESSION_END_CLIENT_RESET);
            return true;
        }
        said = said || s->c2s.len_bytes != 0 || session_in_libssl(w, s) || tcp_conn_unacked(&w->tcp, s->server) != 0;
    }
    if (!said)
        return false;
    s->flags |= SESSION_LAST_WORDS;
    session_deadline(w, s, s->phase == PHASE_HANDSHAKE ? LAST_WORDS_MS : RESET_DRAIN_MS);
    session_pump(w, s);
    return true;
}

/* The client's flow is over. In order: what it sent still goes to the server. Otherwise the server side is reset. */
static void session_client_over(struct worker *w, struct session *s) {
    enum tcp_end end = tcp_conn_end(&w->tcp, s->client);
    if (session_last_words(w, s, end))
        return;
    if (end != TCP_END_FIN) {
        session_kill(w, s, end == TCP_END_PEER_RESET ? SESSION_END_CLIENT_RESET : SESSION_END_CLIENT_TIMEOUT);
        return;
    }
    s->flags |= SESSION_CLIENT_GONE;
    session_pump(w, s);
}

static void session_client_news(struct worker *w, struct session *s, uint8_t events) {
    if (s->phase == PHASE_ENDING) {
        rope_clear(tcp_conn_rx(&w->tcp, s->client));
        tcp_conn_consumed(&w->tcp, s->client);
        if (!(events & (TCP_EV_CLOSED | TCP_EV_PEER_FIN)))
            return;
        if (s->server != 0) /* a key was used up: the server still reads */
            session_cut(w, s, s->end);
        else
            session_finish(w, s, s->end);
        return;
    }
    if (events & TCP_EV_CLOSED)
        session_client_over(w, s);
    else
        session_pump(w, s);
}

static void session_server_over(struct worker *w, struct session *s) {
    enum tcp_end end = tcp_conn_end(&w->tcp, s->server);
    if (s->phase == PHASE_DIALING) {
        if (session_dial_failed(w, s, SESSION_END_NO_SERVER) == 0)
            session_pump(w, s);
        return;
    }
    if (s->phase == PHASE_SERVER_HANDSHAKE) { /* what it said before, an alert perhaps, tells why */
        session_pump(w, s);
        return;
    }
    if (s->server_tls != 0 && session_server_pull(w, s) != 0) /* an alert says more than the reset behind it */
        return;
    s->flags |= SESSION_SERVER_GONE;
    if (end != TCP_END_FIN) {
        session_reason(s, end == TCP_END_PEER_RESET ? SESSION_END_SERVER_RESET : SESSION_END_SERVER_TIMEOUT);
        s->flags |= SESSION_SERVER_RESET | SESSION_SERVER_SHUT;
        session_deadline(w, s, RESET_DRAIN_MS);
    }
    session_pump(w, s);
}

static void session_server_news(struct worker *w, struct session *s, uint8_t events) {
    if (s->phase == PHASE_ENDING) { /* it reads on; nobody is left for what it says */
        rope_clear(tcp_conn_rx(&w->tcp, s->server));
        tcp_conn_consumed(&w->tcp, s->server);
        if (events & TCP_EV_CLOSED)
            session_kill(w, s, s->end);
        return;
    }
    if (events & TCP_EV_CONNECTED && s->phase == PHASE_DIALING && session_connected(w, s) != 0)
        return;
    if (events & TCP_EV_CLOSED && s->server != 0) /* gone already where there was no memory for the PROXY header */
        session_server_over(w, s);
    else
        session_pump(w, s);
}

static void session_visit(struct worker *w, tcp_id id) {
    uint8_t events = tcp_conn_events(&w->tcp, id);
    if (events & TCP_EV_ACCEPTED) {
        if (events & TCP_EV_CLOSED) /* within one turn: the session learns of it by a visit of its own */
            tcp_conn_again(&w->tcp, id, TCP_EV_CLOSED);
        session_accept(w, id);
        return;
    }
    uint32_t user = tcp_conn_user(&w->tcp, id);
    if ((user & 3) == SIDE_PROBE) {
        health_event(w, user >> 2, events);
        return;
    }
    struct session *s = pool_get(&w->sessions, user >> 2);
    if ((user & 3) == SIDE_CLIENT)
        session_client_news(w, s, events);
    else
        session_server_news(w, s, events);
}

/* The session a READY flow belongs to; NULL: none yet, or it is a probe's. */
static struct session *session_of(const struct worker *w, tcp_id id) {
    uint32_t user = tcp_conn_user(&w->tcp, id);
    return user >> 2 == 0 || (user & 3) == SIDE_PROBE ? NULL : pool_get(&w->sessions, user >> 2);
}

/* With thousands of sessions most of what a visit needs is not in the caches, one thing naming the next: session, then
 * its other flow and its TLS state, then the key. Fetched for a group of READY flows step by step, the waits overlap.
 */
static void session_fetch(const struct worker *w) {
    tcp_id ids[FETCH_GROUP];
    struct session *s[FETCH_GROUP];
    uint32_t n = tcp_ready_peek(&w->tcp, ids, FETCH_GROUP);
    for (uint32_t i = 0; i < n; i++) {
        s[i] = session_of(w, ids[i]);
        if (s[i] != NULL) {
            rte_prefetch0(s[i]);
            rte_prefetch0((const uint8_t *)s[i] + WEIR_CACHE_LINE);
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        if (s[i] == NULL)
            continue;
        tcp_id other = s[i]->client == ids[i] ? s[i]->server : s[i]->client;
        if (other != 0)
            tcp_conn_fetch(&w->tcp, other);
        if (s[i]->tls != 0)
            tls_fetch(&w->tls, s[i]->tls);
        if (s[i]->server_tls != 0)
            tls_fetch(&w->tls, session_server_of(w, s[i])->tls);
    }
    for (uint32_t i = 0; i < n; i++)
        if (s[i] != NULL && s[i]->tls != 0 && s[i]->client == ids[i])
            tls_fetch_key(&w->tls, s[i]->tls);
}

bool session_client_gone(void *worker, uint32_t user, bool reset) {
    const struct worker *w = worker;
    const struct session *s = pool_get(&w->sessions, user >> 2);
    return s->client == 0 || (!reset && tcp_conn_peer_fin(&w->tcp, s->client)) ||
           tcp_conn_state(&w->tcp, s->client) == TCP_CLOSED;
}

/* Has the owner of news[i] been visited for an earlier one? Both sides of a session may have news, and the first visit
 * serves both; it may have ended it, too. */
static bool visited(const uint32_t *news, uint32_t i) {
    bool probe = (news[i] & 3) == SIDE_PROBE;
    for (uint32_t j = 0; j < i; j++)
        if (news[j] >> 2 == news[i] >> 2 && ((news[j] & 3) == SIDE_PROBE) == probe)
            return true;
    return false;
}

uint32_t session_run(struct worker *w) {
    uint32_t visits = 0, ready = weir_min_u32(tcp_ready_count(&w->tcp), READY_BATCH); /* flows put back wait a turn */
    tcp_id id;
    while (visits < ready) {
        if (visits % FETCH_GROUP == 0 && ready - visits > 1 && w->sessions.used > FETCH_SESSIONS)
            session_fetch(w);
        if ((id = tcp_ready_next(&w->tcp)) == 0)
            break;
        session_visit(w, id);
        visits++;
    }
    w->flows_left = visits == READY_BATCH;
    return visits;
}

/* A long step makes everybody else wait, and queues of devices are short: what has come goes first, but not for ever.
 */
uint32_t session_steps_due(struct worker *w) {
    if (w->inline_engine == NULL || !tls_steps_wait(&w->tls))
        return 0;
    if ((w->flows_left || w->packets_left) && ++w->handshake_yields < TLS_YIELD)
        return 0;
    w->handshake_yields = 0;
    return TLS_INLINE;
}

uint32_t session_handshakes(struct worker *w, uint32_t steps) {
    uint32_t news[TLS_BATCH];
    enum cycles_stage before = cycles_stage(&w->cycles, CYCLES_HANDSHAKE);
    uint32_t n = tls_poll(&w->tls, steps, news, TLS_BATCH);
    cycles_stage(&w->cycles, before);
    for (uint32_t i = 0; i < n; i++) {
        if (visited(news, i))
            continue;
        if ((news[i] & 3) == SIDE_PROBE)
            health_tls(w, news[i] >> 2);
        else
            session_pump(w, pool_get(&w->sessions, news[i] >> 2));
    }
    return n;
}

static void session_expired(struct worker *w, struct session *s) {
    switch (s->phase) {
    case PHASE_HANDSHAKE:
        session_kill(w, s, s->flags & SESSION_LAST_WORDS ? SESSION_END_CLIENT_RESET : SESSION_END_HANDSHAKE_TIMEOUT);
        break;
    case PHASE_CONNECT:
        session_refuse(w, s, SESSION_END_CONNECT_TIMEOUT, NULL, 0);
        break;
    case PHASE_SERVER_HANDSHAKE:
        session_server_expired(w, s);
        break;
    case PHASE_ENDING:
        session_ending_expired(w, s);
        break;
    case PHASE_FLOWING:
        if (s->flags & SESSION_LAST_WORDS) { /* the server does not read what came before the reset */
            session_kill(w, s, SESSION_END_CLIENT_RESET);
            break;
        }
        if (s->flags & SESSION_SERVER_RESET) { /* the client does not read what came before the reset */
            session_kill(w, s, s->end);
            break;
        }
        if (!(s->flags & (SESSION_CLIENT_SHUT | SESSION_SERVER_SHUT))) {
            session_record_expired(w, s);
            break;
        }
        if (!(s->flags & SESSION_MQTT)) { /* other protocols may stay half open */
            s->deadline_ms = 0;
            break;
        }
        /* fall through */
    default: /* one side is closed and the other did not follow */
        session_kill(w, s, s->flags & SESSION_CLIENT_EOF ? SESSION_END_CLIENT_CLOSED : SESSION_END_SERVER_CLOSED);
    }
}

uint32_t session_timers(struct worker *w) {
    uint32_t fired[TIMER_BATCH];
    uint32_t now_ms = clock_ms(w->now_us);
    uint32_t n = timer_wheel_advance(&w->session_wheel, now_ms, fired, TIMER_BATCH);
    for (uint32_t i = 0; i < n; i++) {
        struct session *s = pool_get(&w->sessions, fired[i]);
        if (s->deadline_ms == 0)
            continue;
        if ((int32_t)(now_ms - s->deadline_ms) >= 0)
            session_expired(w, s);
        else
            timer_wheel_arm(&w->session_wheel, fired[i], s->deadline_ms);
    }
    return n;
}
