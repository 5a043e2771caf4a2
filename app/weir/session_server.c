/* SPDX-License-Identifier: BSD-3-Clause */
#include "session_server.h"

#include "server_tls.h"

#define S2C_MAX        (64u * 1024) /* plaintext that may wait for the client; then the server's window closes */
#define RESET_DRAIN_MS 30000u       /* a client may take so long to read what came before its server's stream was cut */
#define TLS_1_3        0x0304

static struct lb_server *server_of(struct worker *w, const struct session *s) {
    return &w->pools[s->pool].servers[s->server_index];
}

/* Under memory pressure nothing more comes before the client has taken what there is. */
static uint32_t s2c_max(const struct worker *w) {
    return tcp_rx_pressed(&w->tcp) ? 1 : S2C_MAX;
}

static void shake_deadline(struct worker *w, struct session *s) {
    session_deadline(w, s, w->weir->config->timeouts.connect_s * 1000);
}

int session_server_begin(struct worker *w, struct session *s) {
    const struct lb_server *server = server_of(w, s);
    tls_session *offer = w->server_sessions[server->server_id];
    uint32_t user = session_user(session_index(w, s), SIDE_SERVER);
    s->server_tls = pool_alloc(&w->server_tls);
    tls_id tls = s->server_tls != POOL_NONE ? server_tls_connect(w, s->pool, s->server_index, offer, user) : 0;
    if (tls == 0)
        return session_dial_refused(w, s, SESSION_END_NO_MEMORY);
    session_server_of(w, s)->tls = tls;
    s->phase = PHASE_SERVER_HANDSHAKE;
    shake_deadline(w, s);
    return 0;
}

void session_server_free(struct worker *w, struct session *s) {
    if (s->server_tls == POOL_NONE)
        return;
    struct session_server *v = session_server_of(w, s);
    if (v->tls != 0)
        tls_conn_free(&w->tls, v->tls);
    rope_clear(&v->s2c);
    pool_free(&w->server_tls, s->server_tls);
    s->server_tls = POOL_NONE;
    session_charge(w, s);
}

static int handshake_failed(struct worker *w, struct session *s, enum server_tls why) {
    const struct lb_server *server = server_of(w, s);
    server_tls_failed(w, server, why);
    server_tls_forget(w, server); /* RFC 5246 section 7.2.2, if it was that */
    return session_dial_failed(w, s, server_tls_end(why));
}

/* The balancer learns that the server takes connections. */
static void accepted(struct worker *w, struct session *s) {
    session_server_of(w, s)->accepted = true;
    lb_server_event(server_of(w, s), LB_EV_CONNECT_OK, w->now_us);
}

static void established(struct worker *w, struct session *s) {
    const struct session_server *v = session_server_of(w, s);
    struct tls_info info;
    tls_conn_info(&w->tls, v->tls, &info);
    server_tls_done(w, server_of(w, s), info.resumed);
    s->phase = PHASE_FLOWING;
    s->deadline_ms = 0;
    if (tcp_conn_state(&w->tcp, s->server) == TCP_CLOSED) /* while libssl was at work */
        tcp_conn_again(&w->tcp, s->server, TCP_EV_CLOSED);
    if (info.version != TLS_1_3)
        accepted(w, s);
}

void session_server_cut(struct worker *w, struct session *s, enum server_tls why) {
    struct session_server *v = session_server_of(w, s);
    const struct lb_server *server = server_of(w, s);
    server_tls_failed(w, server, why);
    if (!v->accepted && why != SERVER_TLS_OK) { /* it was our certificate */
        w->servers[server->server_id].connect_failures++;
        lb_server_event(server_of(w, s), LB_EV_CONNECT_FAILED, w->now_us);
        server_tls_forget(w, server);
    }
    v->dead = true;
    v->worn = why == SERVER_TLS_KEY_USED_UP;
    v->more = false;
    session_reason(s, server_tls_end(why));
    s->flags |= SESSION_SERVER_RESET | SESSION_SERVER_SHUT;
    session_deadline(w, s, RESET_DRAIN_MS);
}

/* lib/tls gave the connection up; its alert, if any, goes out. */
static int failed(struct worker *w, struct session *s, enum tls_drop drop, struct rope *wire) {
    enum server_tls why = server_tls_dropped(w, server_of(w, s), session_server_of(w, s)->tls, drop);
    if (drop == TLS_DROP_RECORD_LIMIT && !(s->flags & SESSION_MQTT)) /* its close_notify would say that this was all */
        rope_clear(wire);
    if (wire->len_bytes != 0 && tcp_conn_send(&w->tcp, s->server, wire) != 0)
        rope_clear(wire);
    if (s->phase == PHASE_FLOWING) {
        session_server_cut(w, s, why);
        return 0;
    }
    if (why != SERVER_TLS_OK)
        return handshake_failed(w, s, why);
    return session_dial_refused(w, s, server_tls_refusal(drop));
}

/* Has the server ended TCP, in whatever way, in the middle of the handshake? */
static int handshake_end(struct worker *w, struct session *s) {
    bool over = tcp_conn_peer_fin(&w->tcp, s->server) || tcp_conn_state(&w->tcp, s->server) == TCP_CLOSED;
    if (!over || session_server_of(w, s)->more)
        return 0;
    return handshake_failed(w, s, SERVER_TLS_CLOSED);
}

/* What came of a call of tls_input. */
static void verdict_take(struct worker *w, struct session *s, int verdict) {
    struct session_server *v = session_server_of(w, s);
    struct tls_info info;
    if (verdict & TLS_DONE)
        established(w, s);
    if (verdict & TLS_CLOSE)
        v->notified = true;
    if (!v->accepted && s->phase == PHASE_FLOWING) {
        tls_conn_info(&w->tls, v->tls, &info);
        if (verdict & TLS_PLAIN || info.read_seq != 0)
            accepted(w, s);
    }
    server_tls_keep(w, server_of(w, s), tls_client_session_take(&w->tls, v->tls));
}

int session_server_pull(struct worker *w, struct session *s) {
    struct session_server *v = session_server_of(w, s);
    struct rope *rx = tcp_conn_rx(&w->tcp, s->server), wire = {0}, none = {0};
    uint32_t max = s2c_max(w), before = rx->len_bytes;
    bool full = v->s2c.len_bytes >= max; /* what the handshake engine has done is taken all the same */
    bool shaking = s->phase == PHASE_SERVER_HANDSHAKE;
    if (v->dead)
        return 0;
    bool waited = shaking && tls_client_waits(&w->tls, v->tls);
    if (waited && v->more && server_of(w, s)->state == LB_DOWN) /* others who did not wait found out: the next one */
        return session_dial_failed(w, s, SESSION_END_NO_SERVER);
    enum cycles_stage stage = cycles_stage(&w->cycles, shaking ? CYCLES_HANDSHAKE : CYCLES_TLS_OPEN);
    int verdict = tls_input(&w->tls, v->tls, full ? &none : rx, &v->s2c, &wire, full ? 0 : max - v->s2c.len_bytes);
    cycles_stage(&w->cycles, stage);
    if (verdict < 0)
        return failed(w, s, (enum tls_drop) - verdict, &wire);
    if (waited && !tls_client_waits(&w->tls, v->tls)) /* what it waited is not the server's time */
        shake_deadline(w, s);
    if (wire.len_bytes != 0 && tcp_conn_send(&w->tcp, s->server, &wire) != 0)
        rope_clear(&wire);
    if (rx->len_bytes != before)
        tcp_conn_consumed(&w->tcp, s->server);
    session_charge(w, s);
    v->more = (full && rx->len_bytes != 0) || verdict & (TLS_BUSY | TLS_MORE_WORK);
    if (verdict & TLS_MORE_WORK && v->s2c.len_bytes < max)
        tcp_conn_again(&w->tcp, s->server, TCP_EV_READABLE);
    verdict_take(w, s, verdict);
    return s->phase == PHASE_SERVER_HANDSHAKE ? handshake_end(w, s) : 0;
}

void session_server_expired(struct worker *w, struct session *s) {
    tls_id tls = session_server_of(w, s)->tls;
    bool waits = tls_client_waits(&w->tls, tls); /* for weir, not for the server */
    if (waits)
        tls_client_refuse(&w->tls, tls);
    if ((waits ? session_server_pull(w, s) : handshake_failed(w, s, SERVER_TLS_TIMEOUT)) == 0)
        session_pump(w, s);
}
