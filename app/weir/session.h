/* SPDX-License-Identifier: BSD-3-Clause */
/* A CONNECTION'S LIFE: tcp > tls > mqtt > lb > tcp, and back.
 *
 *   HANDSHAKE   TLS with the client (listeners with `tls`)                session.c, session_up.c
 *   CONNECT     mqtt listeners wait for a whole CONNECT                   session_mqtt.c
 *   DIALING     a server is picked and its TCP connection opened          session_dial.c
 *   SERVER_     TLS with the server (pools with `tls`)                    session_server.c
 *     HANDSHAKE
 *   FLOWING     bytes both ways; back-pressure crosses: what one side's
 *               send rope does not take stays on the other's receive rope session_up.c, session_down.c
 *   ENDING      the refusal is on its way; input is discarded             session_close.c
 *
 * Close mapping: close_notify <-> FIN; a bare FIN under TLS resets the other side (unless MQTT said DISCONNECT
 * before); RST <-> RST; a plain half-close is passed on as half-close.
 *
 * A session costs 104 bytes plus a timer node; its rope is empty while idle. Its two flows and its TLS states live in
 * their modules' pools and are named by index. The `user` of its flows and TLS states is (index << 2 | side). */
#ifndef WEIR_SESSION_H
#define WEIR_SESSION_H

#include "worker.h"

enum session_side { SIDE_CLIENT, SIDE_SERVER, SIDE_PROBE };
enum session_phase {
    PHASE_HANDSHAKE = 1,
    PHASE_CONNECT,
    PHASE_DIALING,
    PHASE_SERVER_HANDSHAKE,
    PHASE_FLOWING,
    PHASE_ENDING
};

#define SESSION_CLIENT_EOF   0x0001 /* client's last byte is in c2s or gone on (FIN, close_notify) */
#define SESSION_CLIENT_SHUT  0x0002 /* we closed our direction towards the client, or it ends with a reset */
#define SESSION_CLIENT_GONE  0x0004 /* client flow is over and released */
#define SESSION_SERVER_EOF   0x0008
#define SESSION_SERVER_SHUT  0x0010
#define SESSION_SERVER_GONE  0x0020
#define SESSION_GOODBYE      0x0040 /* MQTT DISCONNECT passed upwards */
#define SESSION_PORT_HELD    0x0080 /* a source port of lb_ports is ours */
#define SESSION_ECHO         0x0100 /* no server: what comes goes back */
#define SESSION_MQTT         0x0200
#define SESSION_TLS          0x0400
#define SESSION_WILL_CLOSE   0x0800 /* `end` is set: first reason wins */
#define SESSION_TLS_EOF      0x1000 /* close_notify seen */
#define SESSION_SERVER_RESET 0x4000 /* the server reset: what it had sent is still on its receive rope */
#define SESSION_LAST_WORDS   0x8000 /* the client reset: what it said before is still read */
#define SESSION_RESET_LATER  0x2000 /* the server reset: so will we, once the client has what came before */

struct session {
    tcp_id client, server; /* 0: none */
    tls_id tls;            /* with the client */
    uint16_t flags;
    uint8_t phase, end; /* enum session_phase, enum session_end */
    struct rope c2s;    /* plaintext of the client on its way to the server */
    struct mqtt_stream up, down;
    uint32_t up_fed; /* bytes at the head of c2s that MQTT has seen */
    union {
        uint32_t down_fed;  /* the same of those that session_from_server gives */
        uint32_t ending_ms; /* PHASE_ENDING, where nothing is read any more: it ends at the latest */
    };
    uint32_t deadline_ms; /* of the phase; 0: none */
    uint32_t server_tls;  /* struct session_server; 0: no TLS with the server */
    uint16_t listener, pool;
    uint16_t server_index, source_port_be;
    uint32_t source_addr_be;
    uint32_t charged; /* mbufs of c2s, and of what is opened of the server's, as last told to TCP's budget */
    lb_tried tried;
    uint64_t key_hash;
};
static_assert(sizeof(struct session) <= 104, "memory budget of a session");

static inline uint32_t session_user(uint32_t index, enum session_side side) {
    return index << 2 | side;
}

/* Visit READY flows, a bounded number. Returns how many. */
uint32_t session_run(struct worker *w);

/* Handshake messages that the worker itself should serve this turn; 0 where it has none, or none of them is its own to
 * serve. */
uint32_t session_steps_due(struct worker *w);
/* Serve so many of them, take what handshake engines have completed, and let others begin. Returns how many sessions
 * that concerned. */
uint32_t session_handshakes(struct worker *w, uint32_t steps);

/* Is nobody left to shake hands with? `worker`: struct worker; `user`: the session's index. FIN or RST has come, though
 * the session may not have been visited for it yet. */
bool session_client_gone(void *worker, uint32_t user, bool reset);

/* Phase deadlines, bounded. Returns how many fired. */
uint32_t session_timers(struct worker *w);

/* End of the drain: look at the next `max` flows behind *after (0: from the first) and end the sessions of those that
 * are clients'. Returns whether there are more. */
bool session_close_some(struct worker *w, tcp_id *after, uint32_t max);

/* --- between the session_*.c files --- */
/* Move what can be moved, both ways, and carry closes across. May end and free the session: do not touch it afterwards.
 */
void session_pump(struct worker *w, struct session *s);
/* c2s has changed, or s2c: their mbufs count towards TCP's budget. */
void session_charge(struct worker *w, struct session *s);
/* Client's bytes up to c2s (session_up.c). Returns 0, or 1 where the session was ended. */
int session_pull_client(struct worker *w, struct session *s);
/* c2s to the server, or back to the client in echo mode. 0 or 1 as above. */
int session_push_server(struct worker *w, struct session *s);
/* Server's bytes to the client (session_down.c). 0 or 1 as above. */
int session_push_client(struct worker *w, struct session *s);
/* Send `plain` (all of it, sealed where tls is not 0) to a flow as far as it has room; the rest stays. Returns bytes
 * taken, or that TLS takes no more: WEIR_ECLOSED where a TLS 1.2 key is used up (but for close_notify), WEIR_ESTATE
 * where libssl had no memory for a record. */
int session_send(struct worker *w, tcp_id to, tls_id tls, struct rope *plain);
/* The same to the client. */
int session_to_client(struct worker *w, struct session *s, struct rope *plain);
/* A CONNECT at the head of c2s: decode, key, dial (session_mqtt.c). 0 or 1 as above. */
int session_mqtt_connect(struct worker *w, struct session *s);
/* What the pool balances by where MQTT says nothing of it: who the client's TLS says it is, if the policy asks for
 * that, else its address. */
uint64_t session_key(const struct worker *w, const struct session *s);
/* Pick a server and open the connection (session_dial.c). 0, or 1 where the session was ended or refused. */
int session_dial(struct worker *w, struct session *s);
/* TCP is up: 0 or 1 as above. */
int session_connected(struct worker *w, struct session *s);
/* The dialled connection failed, or TLS on it: next server. `end`: why, where there is none left. 0 or 1 as above. */
int session_dial_failed(struct worker *w, struct session *s, enum session_end end);
/* No server, for that reason: the client is told. Returns 1. */
int session_dial_refused(struct worker *w, struct session *s, enum session_end end);
void session_give_port(struct worker *w, struct session *s);

/* Closing (session_close.c). */
/* Set the reason, once. */
void session_reason(struct session *s, enum session_end end);
/* Answer `answer` (n bytes of plaintext, may be 0), close_notify, FIN; input is discarded until the client is gone or 2
 * s have passed. The server side is reset. */
void session_refuse(struct worker *w, struct session *s, enum session_end end, const uint8_t *answer, uint32_t n);
/* Nothing more can come from the server, and not in order: what went before still reaches the client, then a reset does
 * (2 s at most). */
void session_reset_later(struct worker *w, struct session *s, enum session_end end);
/* The client's stream was cut: a reset, or FIN without close_notify. What it had sent still reaches the server, then a
 * reset does that tells of the cut (30 s at most). */
void session_cut(struct worker *w, struct session *s, enum session_end end);
/* A key with the client is used up: close_notify and FIN, where the stream is MQTT. Of any other stream they would say
 * that this was all; a reset ends it. What the client has sent still goes on to the server; what the server sends goes
 * nowhere. False: not yet, the session is visited again. */
bool session_worn_out(struct worker *w, struct session *s);
/* The same where nothing more is read of the client: once all of it is with the server, FIN there (MQTT) or, where that
 * would pass for a whole stream, a reset. 0, or 1 where the session was ended. */
int session_worn_end(struct worker *w, struct session *s);
/* close_notify behind what is queued for the server, which goes out, and no more is read. False: not yet, the session
 * is visited again. */
bool session_leave_server(struct worker *w, struct session *s);
/* The phase's deadline has passed (PHASE_ENDING). */
void session_ending_expired(struct worker *w, struct session *s);
/* Reset whatever is still open and free. */
void session_kill(struct worker *w, struct session *s, enum session_end end);
/* Let go of both flows in order (they finish on their own) and free. */
void session_finish(struct worker *w, struct session *s, enum session_end end);
/* Carry end-of-stream across; free when both directions are done. 0, or 1 where the session was freed. */
int session_closes(struct worker *w, struct session *s);
/* A record's deadline has passed (PHASE_FLOWING): under memory pressure that ends the session (session_up.c). */
void session_record_expired(struct worker *w, struct session *s);
/* Arm the phase's deadline. */
void session_deadline(struct worker *w, struct session *s, uint32_t after_ms);

static inline uint32_t session_index(const struct worker *w, const struct session *s) {
    return pool_index(&w->sessions, s);
}

#endif
