/* SPDX-License-Identifier: BSD-3-Clause */
/* The ends of a connection. Every session ends here, with one reason. */
#include "session_server.h"

#define ENDING_MS      2000u  /* a refused client may read its answer so long */
#define CUT_MS         30000u /* a server may take so long to read what came before its client's stream was cut */
#define RESET_POLL_MS  20u    /* how often a pending reset looks whether the other side has everything */
#define HALF_CLOSED_MS 30000u /* MQTT knows no half-close: the other side must follow */

void session_reason(struct session *s, enum session_end end) {
    if (s->flags & SESSION_WILL_CLOSE)
        return;
    s->end = (uint8_t)end;
    s->flags |= SESSION_WILL_CLOSE;
}

/* Both flows are let go or gone: count the reason, give everything back. */
static void session_free(struct worker *w, struct session *s) {
    uint32_t index = session_index(w, s);
    w->listeners[s->listener].closed[s->end]++;
    w->listeners[s->listener].open--;
    session_give_port(w, s);
    if (s->tls != 0)
        tls_conn_free(&w->tls, s->tls);
    session_server_free(w, s);
    rope_clear(&s->c2s);
    session_charge(w, s);
    timer_wheel_cancel(&w->session_wheel, index);
    pool_free(&w->sessions, index);
}

void session_kill(struct worker *w, struct session *s, enum session_end end) {
    session_reason(s, end);
    if (s->client != 0)
        tcp_conn_abort(&w->tcp, s->client);
    if (s->server != 0)
        tcp_conn_abort(&w->tcp, s->server);
    session_free(w, s);
}

/* close_notify on a flow whose TLS is up. False: not yet, for want of an mbuf or because libssl is at work elsewhere;
 * the session is visited again. A FIN without it would look like a cut stream. */
static bool notify(struct worker *w, tcp_id flow, tls_id tls) {
    struct rope wire = {0};
    int rc = tls != 0 && tls_established(&w->tls, tls) ? tls_close(&w->tls, tls, &wire) : WEIR_ESTATE;
    if (wire.len_bytes != 0 && tcp_conn_send(&w->tcp, flow, &wire) != 0)
        rope_clear(&wire);
    if (rc == WEIR_ENOMEM)
        tcp_conn_again(&w->tcp, flow, TCP_EV_WRITABLE);
    return rc != WEIR_ENOMEM && rc != WEIR_MORE;
}

static bool notify_client(struct worker *w, struct session *s) {
    return notify(w, s->client, s->tls);
}

static bool notify_server(struct worker *w, struct session *s) {
    return notify(w, s->server, s->server_tls != 0 ? session_server_of(w, s)->tls : 0);
}

void session_finish(struct worker *w, struct session *s, enum session_end end) {
    session_reason(s, end);
    if (s->client != 0)
        tcp_conn_release(&w->tcp, s->client);
    if (s->server != 0 && !(s->flags & SESSION_SERVER_SHUT))
        (void)notify_server(w, s);
    if (s->server != 0)
        tcp_conn_release(&w->tcp, s->server);
    session_free(w, s);
}

/* FIN behind what is queued. */
static void shut_client(struct worker *w, struct session *s) {
    tcp_conn_shutdown(&w->tcp, s->client);
    s->flags |= SESSION_CLIENT_SHUT;
}

/* A packet of weir's own to the client. */
static void send_answer(struct worker *w, struct session *s, const uint8_t *answer, uint32_t n) {
    struct rope plain = {0};
    if (n == 0 || rope_append(&plain, w->ports[tcp_conn_port(&w->tcp, s->client)].pool, answer, n) != 0)
        return;
    session_to_client(w, s, &plain);
    rope_clear(&plain);
}

/* Nothing more is for the server, nor of it. */
static void server_drop(struct worker *w, struct session *s) {
    if (s->server != 0)
        tcp_conn_abort(&w->tcp, s->server);
    s->server = 0;
    session_server_free(w, s);
    session_give_port(w, s);
    rope_clear(&s->c2s);
    session_charge(w, s);
}

void session_refuse(struct worker *w, struct session *s, enum session_end end, const uint8_t *answer, uint32_t n) {
    session_reason(s, end);
    server_drop(w, s);
    send_answer(w, s, answer, n);
    (void)notify_client(w, s); /* refused it is either way */
    if (!(s->flags & SESSION_CLIENT_SHUT))
        shut_client(w, s);
    rope_clear(tcp_conn_rx(&w->tcp, s->client)); /* left unread it would make a reset of the end */
    if (s->flags & (SESSION_CLIENT_GONE | SESSION_LAST_WORDS) || tcp_conn_peer_fin(&w->tcp, s->client)) {
        session_finish(w, s, end);
        return;
    }
    tcp_conn_consumed(&w->tcp, s->client);
    s->phase = PHASE_ENDING;
    session_deadline(w, s, ENDING_MS);
    s->ending_ms = s->deadline_ms;
}

/* Does this side still have bytes to acknowledge? */
static bool reads_on(const struct worker *w, tcp_id id) {
    return tcp_conn_state(&w->tcp, id) != TCP_CLOSED && tcp_conn_unacked(&w->tcp, id) != 0;
}

/* What is left is a reset, once the side that still reads has everything, or after so long. */
static void await_reader(struct worker *w, struct session *s, uint32_t ms) {
    s->flags |= SESSION_RESET_LATER;
    s->phase = PHASE_ENDING;
    session_deadline(w, s, ms);
    s->ending_ms = s->deadline_ms;
    session_deadline(w, s, RESET_POLL_MS);
}

void session_reset_later(struct worker *w, struct session *s, enum session_end end) {
    if (tcp_conn_unacked(&w->tcp, s->client) == 0) {
        session_kill(w, s, end);
        return;
    }
    session_reason(s, end);
    server_drop(w, s);
    await_reader(w, s, ENDING_MS);
}

void session_cut(struct worker *w, struct session *s, enum session_end end) {
    session_reason(s, end);
    if (s->flags & SESSION_CLIENT_SHUT) { /* FIN is on its way, and says what there is to say */
        tcp_conn_release(&w->tcp, s->client);
        s->client = 0;
    }
    if (s->server == 0 || !reads_on(w, s->server)) {
        session_kill(w, s, end);
        return;
    }
    if (s->client != 0)
        tcp_conn_abort(&w->tcp, s->client);
    s->client = 0;
    await_reader(w, s, CUT_MS);
}

/* --- a key is used up --- */

bool session_worn_out(struct worker *w, struct session *s) {
    session_reason(s, SESSION_END_TLS_KEY_USED_UP);
    if (s->flags & SESSION_CLIENT_SHUT)
        return true;
    if (!(s->flags & SESSION_MQTT)) {
        s->flags |= SESSION_CLIENT_SHUT;
        return true;
    }
    if (!notify_client(w, s))
        return false;
    shut_client(w, s);
    session_deadline(w, s, HALF_CLOSED_MS);
    return true;
}

bool session_leave_server(struct worker *w, struct session *s) {
    if (!notify_server(w, s))
        return false;
    rope_clear(tcp_conn_rx(&w->tcp, s->server)); /* left unread it would make a reset of the end */
    tcp_conn_release(&w->tcp, s->server);
    s->server = 0;
    return true;
}

/* Not a whole stream: once the server has read it, a reset says so, to the client as well. */
static void worn_stream(struct worker *w, struct session *s) {
    rope_clear(tcp_conn_rx(&w->tcp, s->client));
    tcp_conn_consumed(&w->tcp, s->client);
    await_reader(w, s, CUT_MS);
}

int session_worn_end(struct worker *w, struct session *s) {
    bool open = s->server != 0 && !(s->flags & (SESSION_SERVER_SHUT | SESSION_SERVER_GONE));
    if (s->phase == PHASE_FLOWING && open) {
        if (s->c2s.len_bytes != 0)
            return 0; /* session_push_server asks for another visit */
        if (session_in_libssl(w, s)) {
            tcp_conn_again(&w->tcp, s->client, TCP_EV_READABLE);
            return 0;
        }
        if (!(s->flags & SESSION_MQTT)) {
            worn_stream(w, s);
            return 1;
        }
        if (!session_leave_server(w, s))
            return 0;
    }
    session_refuse(w, s, SESSION_END_TLS_KEY_USED_UP, NULL, 0);
    return 1;
}

void session_ending_expired(struct worker *w, struct session *s) {
    bool fin_sent = s->client != 0 && s->flags & SESSION_CLIENT_SHUT;
    tcp_id reader = s->client != 0 && !fin_sent ? s->client : s->server;
    if (!(s->flags & SESSION_RESET_LATER)) {
        session_kill(w, s, s->end);
    } else if (reader != 0 && reads_on(w, reader) && (int32_t)(clock_ms(w->now_us) - s->ending_ms) < 0) {
        session_deadline(w, s, RESET_POLL_MS);
    } else if (fin_sent) {
        server_drop(w, s);
        s->flags &= (uint16_t)~SESSION_RESET_LATER;
        session_deadline(w, s, ENDING_MS);
    } else {
        session_kill(w, s, s->end);
    }
}

/* The client's stream has ended and all of it is with the server: FIN there. */
static void close_upwards(struct worker *w, struct session *s) {
    if (!(s->flags & SESSION_CLIENT_EOF) || s->c2s.len_bytes != 0 || s->flags & SESSION_SERVER_SHUT)
        return;
    session_reason(s, SESSION_END_CLIENT_CLOSED);
    if (!(s->flags & SESSION_ECHO) && !notify_server(w, s))
        return;
    s->flags |= SESSION_SERVER_SHUT;
    if (s->flags & SESSION_ECHO)
        s->flags |= SESSION_SERVER_EOF | SESSION_SERVER_GONE;
    else
        tcp_conn_shutdown(&w->tcp, s->server);
    if (s->flags & SESSION_MQTT)
        session_deadline(w, s, HALF_CLOSED_MS);
}

static void close_downwards(struct worker *w, struct session *s) {
    if (!(s->flags & SESSION_SERVER_EOF) || s->flags & SESSION_CLIENT_SHUT)
        return;
    session_reason(s, SESSION_END_SERVER_CLOSED);
    if (!notify_client(w, s))
        return;
    shut_client(w, s);
    if (s->flags & SESSION_MQTT)
        session_deadline(w, s, HALF_CLOSED_MS);
}

int session_closes(struct worker *w, struct session *s) {
    if (s->phase == PHASE_ENDING)
        return 0;
    if (s->phase != PHASE_FLOWING) {
        /* A client that leaves before its session is up: nobody to tell. */
        if (s->flags & (SESSION_CLIENT_EOF | SESSION_CLIENT_GONE) && s->phase != PHASE_DIALING &&
            s->phase != PHASE_SERVER_HANDSHAKE) {
            if (s->client != 0)
                rope_clear(tcp_conn_rx(&w->tcp, s->client)); /* half a CONNECT was looked at, and nobody lost it */
            session_finish(w, s, SESSION_END_CLIENT_CLOSED);
            return 1;
        }
        return 0;
    }
    close_upwards(w, s);
    close_downwards(w, s);
    if ((s->flags & (SESSION_SERVER_SHUT | SESSION_CLIENT_SHUT)) == (SESSION_SERVER_SHUT | SESSION_CLIENT_SHUT)) {
        session_finish(w, s, s->end);
        return 1;
    }
    return 0;
}

/* 5.0 has a word for it (DISCONNECT 0x8B, 3.14.2.1), where no packet of the server's is under way. Then close_notify:
 * MQTT frames its packets, so that hides no truncation; in other streams only their server may say that this was all.
 */
static void part_from_client(struct worker *w, struct session *s) {
    uint8_t answer[8];
    if (!(s->flags & SESSION_MQTT) || s->flags & (SESSION_CLIENT_SHUT | SESSION_RESET_LATER))
        return;
    if (s->phase == PHASE_FLOWING && mqtt_stream_accepted(&s->down) && mqtt_stream_at_boundary(&s->down))
        send_answer(w, s, answer, mqtt_refuse_stream(s->up.level, MQTT_DROP_SHUTTING_DOWN, answer));
    (void)notify_client(w, s);
}

bool session_close_some(struct worker *w, tcp_id *after, uint32_t max) {
    /* Ending a session may free flows, its server's too: the next one is looked for only then. */
    for (uint32_t visits = 0; visits < max && (*after = tcp_conn_next(&w->tcp, *after)) != 0; visits++) {
        uint32_t user = tcp_conn_user(&w->tcp, *after);
        if ((user >> 2) == 0 || (user & 3) != SIDE_CLIENT)
            continue;
        struct session *s = pool_get(&w->sessions, user >> 2);
        part_from_client(w, s);
        session_finish(w, s, SESSION_END_DRAINED);
    }
    return *after != 0;
}
