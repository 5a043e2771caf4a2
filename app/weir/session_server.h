/* SPDX-License-Identifier: BSD-3-Clause */
/* TLS of a session towards its server, in client role; of sessions whose pool has `tls`. What others have on the
 * server's receive rope, plaintext, is in `s2c` here, and c2s is sealed on its way out.
 *
 *   begin   TCP is up and the PROXY header, if any, is out in the clear    PHASE_SERVER_HANDSHAKE
 *   pull    the handshake, then records to s2c
 *   ended   close_notify; a bare FIN is a cut stream (RFC 8446 6.1), unless MQTT said DISCONNECT before
 *
 * A server that fails its handshake (its certificate is not good, say) counts as one that could not be connected to:
 * the next one is tried. In TLS 1.3 a server may refuse our certificate once the handshake is complete on our side (RFC
 * 8446 4.4.2.4 and 2): it has taken us when its first record comes. */
#ifndef WEIR_SESSION_SERVER_H
#define WEIR_SESSION_SERVER_H

#include "session.h"

struct session_server {
    tls_id tls;
    bool accepted; /* the balancer was told that the server is well */
    bool notified; /* close_notify came */
    bool more;     /* of what is here already more will come: whole records are left, or libssl is at work */
    bool dead : 1; /* nothing more comes, and not in order: */
    bool worn : 1; /* ... a key was used up, for which nobody is to blame */
    struct rope s2c;
};
static_assert(sizeof(struct session_server) <= 32, "memory budget of TLS towards servers");

static inline struct session_server *session_server_of(const struct worker *w, const struct session *s) {
    return pool_get(&w->server_tls, s->server_tls);
}

/* Shake hands. 0, or 1 where the session was ended or refused. */
int session_server_begin(struct worker *w, struct session *s);
/* Take records, and say what the handshake asks for. 0 or 1 as above. */
int session_server_pull(struct worker *w, struct session *s);
/* The handshake took too long: next server. Or it has not begun, for want of an SSL object: weir refuses. */
void session_server_expired(struct worker *w, struct session *s);
/* Give it back, whatever it holds. Allowed where there is none. */
void session_server_free(struct worker *w, struct session *s);
/* Nothing more comes of a stream that was not ended in order: what is in s2c still goes to the client, then a reset
 * does. */
void session_server_cut(struct worker *w, struct session *s, enum server_tls why);

/* The server's bytes, in plaintext, on their way to the client. */
static inline struct rope *session_from_server(struct worker *w, const struct session *s) {
    return s->server_tls != 0 ? &session_server_of(w, s)->s2c : tcp_conn_rx(&w->tcp, s->server);
}

/* Is libssl elsewhere at work on bytes from the client, or sealing them for the server? */
static inline bool session_in_libssl(const struct worker *w, const struct session *s) {
    return (s->tls != 0 && tls_pending(&w->tls, s->tls)) ||
           (s->server_tls != 0 && tls_pending(&w->tls, session_server_of(w, s)->tls));
}

/* Does more of the server's bytes come after what session_from_server has now, though its flow be over? */
static inline bool session_server_has_more(const struct worker *w, const struct session *s) {
    return s->server_tls != 0 && session_server_of(w, s)->more;
}

#endif
