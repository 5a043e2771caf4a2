/* SPDX-License-Identifier: BSD-3-Clause */
/* Downwards: the server's bytes to the client, sealed where TLS, as far as the client's send rope has room. What it
 * does not take stays on the server's receive rope and closes that window. */
#include "session_server.h"

int session_send(struct worker *w, tcp_id to, tls_id tls, struct rope *plain) {
    struct rope wire = {0};
    uint32_t n = tcp_conn_room_for(&w->tcp, to, plain->len_bytes, TLS_RECORD_MAX);
    int dead = 0;
    if (n == 0)
        return 0;
    if (tls != 0) {
        enum cycles_stage before = cycles_stage(&w->cycles, CYCLES_TLS_SEAL);
        int taken = tls_seal(&w->tls, tls, plain, &wire, n, tcp_conn_mss(&w->tcp, to));
        cycles_stage(&w->cycles, before);
        /* Cut short between two records, for want of an mbuf or of a key: there was room, so no ACK will say when. */
        if (taken == WEIR_ENOMEM || (taken > 0 && (uint32_t)taken < n))
            tcp_conn_again(&w->tcp, to, TCP_EV_WRITABLE);
        n = taken > 0 ? (uint32_t)taken : 0;
        if (taken == WEIR_ESTATE || taken == WEIR_ECLOSED)
            dead = taken;
    } else if (n == plain->len_bytes) {
        rope_splice(&wire, plain);
    } else if (rope_move(&wire, plain, n, w->ports[tcp_conn_port(&w->tcp, to)].pool) != 0) {
        w->stats.net_drops[NET_DROP_NO_MBUF]++;
        tcp_conn_again(&w->tcp, to, TCP_EV_WRITABLE);
        n = 0;
    }
    if (wire.len_bytes != 0 && tcp_conn_send(&w->tcp, to, &wire) != 0)
        rope_clear(&wire);
    return dead != 0 ? dead : (int)n;
}

int session_to_client(struct worker *w, struct session *s, struct rope *plain) {
    return session_send(w, s->client, s->flags & SESSION_TLS ? s->tls : 0, plain);
}

/* The server's new bytes pass MQTT's order table before they go on. */
static int down_inspect(struct worker *w, struct session *s, const struct rope *rx) {
    struct mqtt_seen seen = {.by_type = w->stats.mqtt_packets_out, .connack_code = 0xff};
    if (!(s->flags & SESSION_MQTT) || s->down_fed >= rx->len_bytes)
        return 0;
    enum cycles_stage before = cycles_stage(&w->cycles, CYCLES_MQTT);
    int rc = mqtt_stream_feed_rope(&s->down, MQTT_FROM_SERVER, NULL, rx, s->down_fed, &seen);
    cycles_stage(&w->cycles, before);
    s->down_fed = rx->len_bytes;
    if (rc == 0)
        return 0;
    w->stats.mqtt_drops[-rc]++;
    session_kill(w, s, SESSION_END_SERVER_PROTOCOL);
    return 1;
}

/* Bytes of the server's have gone: its window opens. Where they were taken off its receive rope before, there may be
 * more that had no place beside them. */
static void server_consumed(struct worker *w, struct session *s) {
    if (s->server_tls == 0) {
        tcp_conn_consumed(&w->tcp, s->server);
        return;
    }
    session_charge(w, s);
    if (session_server_has_more(w, s))
        tcp_conn_again(&w->tcp, s->server, TCP_EV_READABLE);
}

/* All that came has gone on: was it all there is? */
static void server_end(struct worker *w, struct session *s) {
    bool fin = tcp_conn_peer_fin(&w->tcp, s->server);
    if (s->server_tls == 0) {
        if (fin)
            s->flags |= SESSION_SERVER_EOF;
        return;
    }
    const struct session_server *v = session_server_of(w, s);
    if (v->dead)
        return;
    if (v->notified || (fin && !v->more && s->flags & SESSION_GOODBYE))
        s->flags |= SESSION_SERVER_EOF;
    else if (fin && !v->more && !(s->flags & SESSION_SERVER_RESET))
        session_server_cut(w, s, SERVER_TLS_TRUNCATED);
}

int session_push_client(struct worker *w, struct session *s) {
    if (s->server == 0)
        return 0;
    struct rope *rx = session_from_server(w, s);
    if (rx->len_bytes != 0) {
        if (down_inspect(w, s, rx) != 0)
            return 1;
        bool deaf = s->flags & (SESSION_CLIENT_SHUT | SESSION_CLIENT_GONE);
        int n = deaf ? WEIR_ECLOSED : session_to_client(w, s, rx);
        if (n == WEIR_ECLOSED && !deaf && !(s->flags & SESSION_MQTT)) { /* FIN would say that this was all */
            session_reset_later(w, s, SESSION_END_TLS_KEY_USED_UP);
            return 1;
        }
        if (n == WEIR_ECLOSED) {
            if (!deaf && !session_worn_out(w, s))
                return 0;
            rope_clear(rx); /* nobody is left to read it */
            s->down_fed = 0;
            server_consumed(w, s);
        } else if (n < 0) {
            session_reset_later(w, s, SESSION_END_TLS_FAILED);
            return 1;
        } else {
            s->down_fed -= weir_min_u32((uint32_t)n, s->down_fed);
            w->servers[w->pools[s->pool].servers[s->server_index].server_id].bytes_from += (uint32_t)n;
            if (n != 0)
                server_consumed(w, s);
        }
    }
    if (rx->len_bytes == 0)
        server_end(w, s);
    return 0;
}
