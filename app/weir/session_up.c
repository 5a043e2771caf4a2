/* SPDX-License-Identifier: BSD-3-Clause */
/* Upwards: the client's bytes to c2s (opened where TLS), and c2s to the server. */
#include "session_server.h"

#define C2S_MAX (64u * 1024) /* plaintext that may wait for the server; then the client's window closes */

enum { /* what came of a look at the client's records */
       PULL_ALL,
       PULL_ENDED,   /* the session was ended */
       PULL_MORE,    /* more will come of what is here already: whole records are left, or libssl is at work */
       PULL_WORN_OUT /* no more will ever come: the key is used up */
};

#define RECORD_MS         5000u
#define RECORD_PRESSED_MS 500u

/* Under memory pressure nothing more comes before the server has taken what there is; a CONNECT has to be whole. */
static uint32_t c2s_max(const struct worker *w, const struct session *s) {
    return tcp_rx_pressed(&w->tcp) && s->phase >= PHASE_DIALING ? 1 : C2S_MAX;
}

void session_charge(struct worker *w, struct session *s) {
    uint32_t mbufs = s->c2s.mbufs + (s->server_tls != 0 ? session_server_of(w, s)->s2c.mbufs : 0);
    tcp_rx_kept(&w->tcp, (int32_t)(mbufs - s->charged));
    s->charged = mbufs;
}

/* A client that left before its handshake began has nothing to be told. */
static int client_left(struct worker *w, struct session *s) {
    if (tcp_conn_state(&w->tcp, s->client) == TCP_CLOSED) {
        session_kill(w, s, SESSION_END_CLIENT_RESET);
    } else {
        rope_clear(tcp_conn_rx(&w->tcp, s->client)); /* its ClientHello: it does not care for it any more */
        session_finish(w, s, SESSION_END_CLIENT_CLOSED);
    }
    return 1;
}

/* Too many handshakes: a reset costs a packet and nothing after it; an alert says why, and takes a close in order. */
static int handshake_refused(struct worker *w, struct session *s, struct rope *wire) {
    if (w->weir->config->limits.handshake_refusal == CONFIG_REFUSAL_ALERT) {
        if (wire->len_bytes != 0 && tcp_conn_send(&w->tcp, s->client, wire) != 0)
            rope_clear(wire);
        session_refuse(w, s, SESSION_END_HANDSHAKE_REFUSED, NULL, 0);
        return 1;
    }
    rope_clear(wire);
    session_kill(w, s, SESSION_END_HANDSHAKE_REFUSED);
    return 1;
}

/* TLS said no: its alert goes out, then both sides are closed. */
static int session_tls_failed(struct worker *w, struct session *s, enum tls_drop why, struct rope *wire) {
    if (why == TLS_DROP_HS_CLIENT_GONE) {
        rope_clear(wire); /* nobody reads it */
        return client_left(w, s);
    }
    if (tls_drop_is_refusal(why))
        return handshake_refused(w, s, wire);
    if (why == TLS_DROP_HS_STALLED) {
        rope_clear(wire);
        session_kill(w, s, SESSION_END_HANDSHAKE_TIMEOUT);
        return 1;
    }
    if (why == TLS_DROP_RECORD_LIMIT && !(s->flags & SESSION_MQTT)) /* its close_notify would say that this was all */
        rope_clear(wire);
    if (wire->len_bytes != 0 && tcp_conn_send(&w->tcp, s->client, wire) != 0)
        rope_clear(wire);
    if (why == TLS_DROP_RECORD_LIMIT) {
        (void)session_worn_out(w, s);
        return PULL_WORN_OUT;
    }
    session_refuse(w, s, SESSION_END_TLS_FAILED, NULL, 0);
    return PULL_ENDED;
}

/* The rest of a record that lies there in part has to come in time, or the client may be let go when buffers run short:
 * some hundred such parts would keep everybody else from receiving. Each record opened starts the time anew. */
static void record_watch(struct worker *w, struct session *s, const struct rope *rx, bool anew) {
    if (s->phase != PHASE_FLOWING || s->flags & (SESSION_CLIENT_SHUT | SESSION_SERVER_SHUT))
        return;
    if (rx->len_bytes == 0)
        s->deadline_ms = 0;
    else if (anew || s->deadline_ms == 0)
        session_deadline(w, s, RECORD_MS);
}

void session_record_expired(struct worker *w, struct session *s) {
    bool partial = s->c2s.len_bytes == 0 && tcp_conn_rx(&w->tcp, s->client)->len_bytes != 0;
    if (partial && tcp_rx_pressed(&w->tcp))
        session_kill(w, s, SESSION_END_RECORD_TIMEOUT);
    else if (partial)
        session_deadline(w, s, RECORD_PRESSED_MS); /* it is old: from now on at the first sign of pressure */
    else
        s->deadline_ms = 0;
}

/* Opens what is there, as far as c2s may grow. Returns PULL_.... */
static int pull_tls(struct worker *w, struct session *s, struct rope *rx) {
    struct rope wire = {0}, none = {0};
    uint32_t max = c2s_max(w, s);
    bool full = s->c2s.len_bytes >= max; /* an answer of the engine is taken all the same: our own records wait in it */
    bool shaking = s->phase == PHASE_HANDSHAKE;
    enum cycles_stage before = cycles_stage(&w->cycles, shaking ? CYCLES_HANDSHAKE : CYCLES_TLS_OPEN);
    if (shaking) /* reloaded since it was accepted? */
        tls_conn_renew(&w->tls, s->tls, w->snapshot->tls[w->weir->config->listeners[s->listener].tls]);
    int v = tls_input(&w->tls, s->tls, full ? &none : rx, &s->c2s, &wire, full ? 0 : max - s->c2s.len_bytes);
    cycles_stage(&w->cycles, before);
    if (v < 0)
        return session_tls_failed(w, s, (enum tls_drop) - v, &wire);
    if (wire.len_bytes != 0 && tcp_conn_send(&w->tcp, s->client, &wire) != 0)
        rope_clear(&wire);
    if (v & TLS_CLOSE)
        s->flags |= SESSION_TLS_EOF;
    record_watch(w, s, rx, full || v & (TLS_PLAIN | TLS_BUSY | TLS_MORE_WORK));
    if (!(v & TLS_MORE_WORK))
        return full || v & TLS_BUSY ? PULL_MORE : PULL_ALL;
    if (s->c2s.len_bytes < max)
        tcp_conn_again(&w->tcp, s->client, TCP_EV_READABLE);
    return PULL_MORE;
}

static void pull_plain(struct worker *w, struct session *s, struct rope *rx) {
    if (s->c2s.len_bytes < c2s_max(w, s))
        rope_splice(&s->c2s, rx);
}

/* FIN is in order: is everything before it on c2s? Under TLS only close_notify ends the stream (RFC 8446 6.1). `more`:
 * as pull_tls says, not all of it has been opened. */
static int pull_end(struct worker *w, struct session *s, const struct rope *rx, bool more) {
    if (s->flags & SESSION_CLIENT_EOF)
        return 0;
    if (s->flags & SESSION_TLS_EOF) {
        s->flags |= SESSION_CLIENT_EOF;
        return 0;
    }
    if (!tcp_conn_peer_fin(&w->tcp, s->client))
        return 0;
    if (!(s->flags & SESSION_TLS)) {
        if (rx->len_bytes == 0)
            s->flags |= SESSION_CLIENT_EOF;
        return 0;
    }
    if (more)
        return 0; /* a client may send all it has, and FIN, behind its last handshake message */
    /* MQTT's own goodbye is as good as close_notify; before the handshake is over there is no stream to truncate. */
    if (s->flags & SESSION_GOODBYE || !tls_established(&w->tls, s->tls)) {
        s->flags |= SESSION_CLIENT_EOF;
        return 0;
    }
    if (s->c2s.len_bytes != 0)
        return 0;                  /* what came before still goes on */
    if (session_in_libssl(w, s)) { /* so does what is being sealed for the server */
        tcp_conn_again(&w->tcp, s->client, TCP_EV_READABLE);
        return 0;
    }
    session_cut(w, s, SESSION_END_TLS_TRUNCATED);
    return 1;
}

/* The client gets the standard's answer where one may stand: CONNACK until it has one, then DISCONNECT (5.0), never in
 * the middle of a server's packet. */
static int inspect_refused(struct worker *w, struct session *s, enum mqtt_drop why) {
    uint8_t answer[8];
    uint32_t n = 0;
    w->stats.mqtt_drops[why]++;
    if (!mqtt_stream_accepted(&s->down))
        n = mqtt_refuse_connect(s->up.level, why, answer);
    else if (mqtt_stream_at_boundary(&s->down))
        n = mqtt_refuse_stream(s->up.level, why, answer);
    session_refuse(w, s, SESSION_END_MQTT_REFUSED, answer, n);
    return 1;
}

/* New plaintext passes MQTT's order table. */
static int pull_inspect(struct worker *w, struct session *s) {
    struct mqtt_seen seen = {.by_type = w->stats.mqtt_packets_in, .connack_code = 0xff};
    if (!(s->flags & SESSION_MQTT) || s->phase == PHASE_CONNECT || s->phase == PHASE_HANDSHAKE ||
        s->up_fed == s->c2s.len_bytes)
        return 0;
    enum cycles_stage before = cycles_stage(&w->cycles, CYCLES_MQTT);
    int rc = mqtt_stream_feed_rope(&s->up, MQTT_FROM_CLIENT, NULL, &s->c2s, s->up_fed, &seen);
    cycles_stage(&w->cycles, before);
    s->up_fed = s->c2s.len_bytes;
    if (seen.disconnect)
        s->flags |= SESSION_GOODBYE;
    if (rc == 0)
        return 0;
    return inspect_refused(w, s, (enum mqtt_drop) - rc);
}

int session_pull_client(struct worker *w, struct session *s) {
    struct rope *rx = tcp_conn_rx(&w->tcp, s->client);
    uint32_t before = rx->len_bytes;
    int rc = PULL_ALL;
    if (s->flags & SESSION_TLS) /* also without new bytes: the handshake engine's answer may be waiting */
        rc = pull_tls(w, s, rx);
    else if (before != 0)
        pull_plain(w, s, rx);
    if (rc == PULL_ENDED)
        return 1;
    session_charge(w, s);
    if (rx->len_bytes != before)
        tcp_conn_consumed(&w->tcp, s->client);
    if (pull_inspect(w, s) != 0)
        return 1;
    return rc == PULL_WORN_OUT ? session_worn_end(w, s) : pull_end(w, s, rx, rc == PULL_MORE);
}

/* The client gets its own bytes back. */
static int push_echo(struct worker *w, struct session *s) {
    int n = s->c2s.len_bytes != 0 ? session_to_client(w, s, &s->c2s) : 0;
    if (n >= 0)
        return 0;
    session_reset_later(w, s, n == WEIR_ECLOSED ? SESSION_END_TLS_KEY_USED_UP : SESSION_END_TLS_FAILED);
    return 1;
}

int session_push_server(struct worker *w, struct session *s) {
    if (s->flags & SESSION_ECHO) {
        uint32_t before = s->c2s.len_bytes;
        if (push_echo(w, s) != 0)
            return 1;
        session_charge(w, s);
        if (s->c2s.len_bytes != before && tcp_conn_rx(&w->tcp, s->client)->len_bytes != 0)
            tcp_conn_again(&w->tcp, s->client, TCP_EV_READABLE);
        return 0;
    }
    if (s->c2s.len_bytes == 0 || s->flags & (SESSION_SERVER_SHUT | SESSION_SERVER_GONE))
        return 0;
    int taken = session_send(w, s->server, s->server_tls != 0 ? session_server_of(w, s)->tls : 0, &s->c2s);
    uint32_t n = taken > 0 ? (uint32_t)taken : 0;
    if (taken < 0)
        session_server_cut(w, s, taken == WEIR_ECLOSED ? SERVER_TLS_KEY_USED_UP : SERVER_TLS_PROTOCOL);
    if (n == 0)
        return 0;
    session_charge(w, s);
    w->servers[w->pools[s->pool].servers[s->server_index].server_id].bytes_to += n;
    if (s->up_fed >= n)
        s->up_fed -= n;
    /* Room again: more may lie on the client's rope, or its end, which was waiting for this. */
    bool ends = tcp_conn_peer_fin(&w->tcp, s->client) || s->flags & SESSION_CLIENT_SHUT;
    if (s->c2s.len_bytes < C2S_MAX &&
        (tcp_conn_rx(&w->tcp, s->client)->len_bytes != 0 || (s->c2s.len_bytes == 0 && ends)))
        tcp_conn_again(&w->tcp, s->client, TCP_EV_READABLE);
    return 0;
}
