/* SPDX-License-Identifier: BSD-3-Clause */
/* What a worker knows of TLS with a server, whoever found out: sessions (session_server.c) and probes (health.c). */
#ifndef WEIR_SERVER_TLS_H
#define WEIR_SERVER_TLS_H

#include "worker.h"

#define SERVER_TLS_TEXT_MAX 192u

/* Which of them a drop of lib/tls in client role is; SERVER_TLS_OK: none, the worker itself had too much to do, or too
 * little memory. */
enum server_tls server_tls_of(enum tls_drop drop);
/* What a session ends with then. */
enum session_end server_tls_refusal(enum tls_drop drop);
/* The same of a connection with that server, whose alert is kept. */
enum server_tls server_tls_dropped(struct worker *w, const struct lb_server *server, tls_id tls, enum tls_drop drop);
const char *server_tls_name(enum server_tls f); /* "untrusted" */
const char *server_tls_text(enum server_tls f);
enum session_end server_tls_end(enum server_tls f);

/* A connection of the pool's context to that server, in client role. session: to be resumed, or NULL. 0: no memory. */
tls_id server_tls_connect(struct worker *w, uint16_t pool, uint16_t server, tls_session *session, uint32_t user);
/* A handshake with it is complete; it has failed, or what followed has. */
void server_tls_done(struct worker *w, const struct lb_server *server, bool resumed);
void server_tls_failed(struct worker *w, const struct lb_server *server, enum server_tls why);
/* Keep the session, if any, for the next handshake with it; what was kept goes. `session` is taken over. */
void server_tls_keep(struct worker *w, const struct lb_server *server, tls_session *session);
/* Nothing of before is offered to it again. */
void server_tls_forget(struct worker *w, const struct lb_server *server);
/* For those who only look: how the last handshake ended, or what followed it, in the eyes of the first worker that had
 * it fail; SERVER_TLS_OK: of none. */
enum server_tls server_tls_last(const struct weir *weir, uint16_t server_id);
/* In words, with what its alert said; "": none failed. */
void server_tls_tell(const struct weir *weir, uint16_t server_id, char text[SERVER_TLS_TEXT_MAX]);

#endif
