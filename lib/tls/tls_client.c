/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients: what their connections have beside those of servers. A struct tls_client holds the name and the session to
 * offer until the handshake begins, then an SSL object that lingers (tls_linger.c) and a session to be taken; it goes
 * as soon as neither is there. */
#include "tls_msg.h"

#include <openssl/ssl.h>

tls_session *tls_session_ref(tls_session *session) {
    SSL_SESSION_up_ref(session);
    return session;
}

void tls_session_unref(tls_session *session) {
    SSL_SESSION_free(session);
}

tls_id tls_client_new(struct tls_core *core, struct tls_ctx *ctx, const char *server_name, tls_session *session,
                      uint32_t user) {
    size_t name_bytes = server_name ? strlen(server_name) : 0;

    if (!ctx->client || name_bytes > TLS_NAME_MAX || (ctx->verify && name_bytes == 0))
        return 0;
    if (name_bytes > 0 && server_name[0] == '.') /* to libssl that is whatever lies below the domain */
        return 0;
    tls_id id = tls_conn_alloc(core, user);
    if (id == 0)
        return 0;
    struct tls_conn *c = tls_conn_get(core, id);
    c->is_client = 1;
    c->client = pool_alloc(&core->clients) & ((1u << TLS_CLIENT_BITS) - 1); /* as many as connections */
    c->hs.ctx = ctx;
    tls_ctx_ref(ctx);
    struct tls_client *cl = tls_client_of(core, c);
    if (name_bytes > 0)
        memcpy(cl->server_name, server_name, name_bytes);
    if (session)
        cl->offer = tls_session_ref(session);
    return id;
}

tls_session *tls_client_session_take(struct tls_core *core, tls_id id) {
    struct tls_conn *c = tls_conn_get(core, id);

    if (c->client == POOL_NONE)
        return NULL;
    struct tls_client *cl = tls_client_of(core, c);
    tls_session *session = cl->session;
    cl->session = NULL;
    tls_client_tidy(core, c);
    return session;
}

bool tls_client_session_keep(struct tls_core *core, struct tls_conn *c, struct tls_msg *msg) {
    if (msg->session == NULL)
        return false;
    struct tls_client *cl = tls_client_of(core, c);
    tls_session_unref(cl->session);
    cl->session = msg->session;
    msg->session = NULL;
    return true;
}

static void client_free(struct tls_core *core, struct tls_conn *c) {
    struct tls_client *cl = tls_client_of(core, c);

    rope_clear(&cl->note);
    rope_clear(&cl->queue);
    tls_session_unref(cl->offer);
    tls_session_unref(cl->session);
    pool_free(&core->clients, c->client);
    c->client = POOL_NONE;
}

void tls_client_tidy(struct tls_core *core, struct tls_conn *c) {
    if (c->client == POOL_NONE || c->phase != TLS_PHASE_OPEN)
        return;
    const struct tls_client *cl = tls_client_of(core, c);
    if (cl->place == POOL_NONE && cl->session == NULL)
        client_free(core, c);
}

void tls_client_leave(struct tls_core *core, struct tls_conn *c) {
    if (c->client == POOL_NONE)
        return;
    tls_linger_end(core, c);
    if (c->client == POOL_NONE) /* nothing was left to keep it for */
        return;
    const struct tls_client *cl = tls_client_of(core, c);
    if (cl->place != POOL_NONE) /* it comes home to no connection and is dismissed then */
        tls_msg_cancel(pool_get(&core->places, cl->place));
    client_free(core, c);
}
