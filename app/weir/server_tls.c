/* SPDX-License-Identifier: BSD-3-Clause */
#include "server_tls.h"

#include "base/lower.h"

#include <stdio.h>

static const struct {
    char name[WEIR_NAME_MAX];
    const char *text;
    enum session_end end;
} failures[SERVER_TLS_COUNT] = {
    [SERVER_TLS_OK] = {"none", "none", SESSION_END_NO_MEMORY},
#define X(name, end, text) [SERVER_TLS_##name] = {WEIR_LOWER(#name), text, SESSION_END_##end},
#include "server_tls.def"
#undef X
};

const char *server_tls_name(enum server_tls f) {
    return f < SERVER_TLS_COUNT ? failures[f].name : "unknown";
}

const char *server_tls_text(enum server_tls f) {
    return f < SERVER_TLS_COUNT ? failures[f].text : "unknown";
}

enum session_end server_tls_end(enum server_tls f) {
    return failures[f].end;
}

enum server_tls server_tls_of(enum tls_drop drop) {
    switch (drop) {
    case TLS_DROP_HS_CERT_UNTRUSTED:
        return SERVER_TLS_UNTRUSTED;
    case TLS_DROP_HS_CERT_EXPIRED:
        return SERVER_TLS_EXPIRED;
    case TLS_DROP_HS_CERT_NAME:
        return SERVER_TLS_NAME;
    case TLS_DROP_HS_PEER_ALERT:
    case TLS_DROP_PEER_ALERT:
        return SERVER_TLS_ALERT;
    case TLS_DROP_RECORD_LIMIT:
        return SERVER_TLS_KEY_USED_UP;
    case TLS_DROP_NO_MEMORY:
    case TLS_DROP_HS_LIBSSL_FULL:
        return SERVER_TLS_OK;
    default:
        return tls_drop_is_refusal(drop) ? SERVER_TLS_OK : SERVER_TLS_PROTOCOL;
    }
}

enum session_end server_tls_refusal(enum tls_drop drop) {
    if (drop == TLS_DROP_HS_LIBSSL_FULL)
        return SESSION_END_LIBSSL_FULL;
    return tls_drop_is_refusal(drop) ? SESSION_END_HANDSHAKE_REFUSED : SESSION_END_NO_MEMORY;
}

enum server_tls server_tls_dropped(struct worker *w, const struct lb_server *server, tls_id tls, enum tls_drop drop) {
    enum server_tls why = server_tls_of(drop);
    if (why == SERVER_TLS_ALERT)
        w->servers[server->server_id].tls_alert = (uint8_t)tls_conn_alerted(&w->tls, tls);
    return why;
}

tls_id server_tls_connect(struct worker *w, uint16_t pool, uint16_t server, tls_session *session, uint32_t user) {
    const char *name = w->weir->config->pools[pool].servers[server].tls_name;
    return tls_client_new(&w->tls, w->snapshot->pools[pool], name, session, user);
}

void server_tls_done(struct worker *w, const struct lb_server *server, bool resumed) {
    struct worker_server *ws = &w->servers[server->server_id];
    ws->tls_handshakes++;
    ws->tls_resumed += resumed;
    ws->tls_last = SERVER_TLS_OK;
}

void server_tls_failed(struct worker *w, const struct lb_server *server, enum server_tls why) {
    struct worker_server *ws = &w->servers[server->server_id];
    if (why == SERVER_TLS_OK)
        return;
    ws->tls_failures[why]++;
    ws->tls_last = (uint8_t)why;
}

void server_tls_keep(struct worker *w, const struct lb_server *server, tls_session *session) {
    if (session == NULL)
        return;
    tls_session_unref(w->server_sessions[server->server_id]);
    w->server_sessions[server->server_id] = session;
}

void server_tls_forget(struct worker *w, const struct lb_server *server) {
    tls_session_unref(w->server_sessions[server->server_id]);
    w->server_sessions[server->server_id] = NULL;
}

/* The first worker's that had it fail; NULL: none has. */
static const struct worker_server *last_failure(const struct weir *weir, uint16_t server_id) {
    for (uint16_t i = 0; i < weir->n_workers; i++)
        if (weir->workers[i]->servers[server_id].tls_last != SERVER_TLS_OK)
            return &weir->workers[i]->servers[server_id];
    return NULL;
}

enum server_tls server_tls_last(const struct weir *weir, uint16_t server_id) {
    const struct worker_server *ws = last_failure(weir, server_id);
    return ws != NULL ? (enum server_tls)ws->tls_last : SERVER_TLS_OK;
}

void server_tls_tell(const struct weir *weir, uint16_t server_id, char text[SERVER_TLS_TEXT_MAX]) {
    const struct worker_server *ws = last_failure(weir, server_id);
    enum server_tls why = ws != NULL ? (enum server_tls)ws->tls_last : SERVER_TLS_OK;
    const char *alert = why == SERVER_TLS_ALERT ? tls_alerted_name((enum tls_alerted)ws->tls_alert) : NULL;
    snprintf(text, SERVER_TLS_TEXT_MAX, "%s%s%s%s", why != SERVER_TLS_OK ? server_tls_text(why) : "", alert ? " (" : "",
             alert ? alert : "", alert ? ")" : "");
}
