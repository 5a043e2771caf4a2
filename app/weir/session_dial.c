/* SPDX-License-Identifier: BSD-3-Clause */
/* From a session to a server: pick, source port, TCP connection, PROXY header. */
#include "session_server.h"

#include <string.h>

#define PORT_TRIES 32 /* ports in use elsewhere (TIME-WAIT, another pool with the same server) before we give up */

static struct lb_server *session_server(struct worker *w, const struct session *s) {
    return &w->pools[s->pool].servers[s->server_index];
}

void session_give_port(struct worker *w, struct session *s) {
    if (!(s->flags & SESSION_PORT_HELD))
        return;
    struct lb_server *server = session_server(w, s);
    lb_ports_give(w->pools[s->pool].ports, s->server_index, s->source_addr_be, s->source_port_be);
    s->flags &= (uint16_t)~SESSION_PORT_HELD;
    server->connections--;
    w->servers[server->server_id].open--;
}

/* The client gets the standard's answer for "no server" (3.1.1: 3, 5.0: 0x88), or just a close. */
int session_dial_refused(struct worker *w, struct session *s, enum session_end end) {
    uint8_t answer[8];
    uint32_t n = s->flags & SESSION_MQTT ? mqtt_refuse_connect(s->up.level, MQTT_DROP_NO_SERVER, answer) : 0;
    session_refuse(w, s, end, answer, n);
    return 1;
}

/* A TCP connection from a free source port to the server chosen. 0, WEIR_EFULL (no port) or WEIR_ENOMEM. */
static int dial_connect(struct worker *w, struct session *s) {
    struct lb_server *server = session_server(w, s);
    struct lb_ports *ports = w->pools[s->pool].ports;
    uint32_t user = session_user(session_index(w, s), SIDE_SERVER);
    int rc = WEIR_EFULL;
    for (int i = 0; i < PORT_TRIES; i++) {
        rc = lb_ports_take(ports, s->server_index, server->addr_be, server->port_be, &s->source_addr_be,
                           &s->source_port_be);
        if (rc != 0)
            return rc;
        rc = tcp_connect(&w->tcp, server->port, s->source_addr_be, s->source_port_be, server->addr_be, server->port_be,
                         user, w->now_us, &s->server);
        if (rc == 0)
            break;
        lb_ports_give(ports, s->server_index, s->source_addr_be, s->source_port_be);
        if (rc != WEIR_EEXIST)
            return rc;
    }
    if (rc != 0)
        return WEIR_EFULL;
    tcp_conn_options(&w->tcp, s->server, &w->weir->config->pools[s->pool].tcp);
    s->flags |= SESSION_PORT_HELD;
    server->connections++;
    w->servers[server->server_id].connections++;
    w->servers[server->server_id].open++;
    return 0;
}

uint64_t session_key(const struct worker *w, const struct session *s) {
    bool wanted = w->pools[s->pool].policy == LB_CERTIFICATE && s->flags & SESSION_TLS;
    const struct tls_identity *id = wanted ? tls_conn_identity(&w->tls, s->tls) : NULL;
    const char *name = id == NULL ? "" : id->certificate ? id->common_name : id->psk;
    if (name[0] != '\0')
        return lb_hash(name, (uint32_t)strlen(name));
    return lb_hash(&tcp_conn_key(&w->tcp, s->client)->remote_addr_be, 4);
}

/* `end`: what happened to the last one tried, or that there is none. */
static int dial(struct worker *w, struct session *s, enum session_end end) {
    s->server_index = lb_pick(&w->pools[s->pool], s->key_hash, s->tried);
    if (s->server_index == LB_NONE)
        return session_dial_refused(w, s, end);
    s->server = 0;
    int rc = dial_connect(w, s);
    if (rc == 0)
        return 0;
    s->server = 0;
    if (rc != WEIR_EFULL)
        return session_dial_refused(w, s, SESSION_END_NO_MEMORY);
    w->stats.source_ports_exhausted++;
    return session_dial_refused(w, s, SESSION_END_NO_SOURCE_PORT);
}

static int dial_timed(struct worker *w, struct session *s, enum session_end end) {
    enum cycles_stage before = cycles_stage(&w->cycles, CYCLES_LB);
    int rc = dial(w, s, end);
    cycles_stage(&w->cycles, before);
    return rc;
}

int session_dial(struct worker *w, struct session *s) {
    return dial_timed(w, s, SESSION_END_NO_SERVER);
}

int session_dial_failed(struct worker *w, struct session *s, enum session_end end) {
    struct lb_server *server = session_server(w, s);
    w->servers[server->server_id].connect_failures++;
    lb_server_event(server, LB_EV_CONNECT_FAILED, w->now_us);
    s->tried |= (lb_tried)1 << s->server_index;
    session_server_free(w, s);
    tcp_conn_release(&w->tcp, s->server);
    s->server = 0;
    session_give_port(w, s);
    s->phase = PHASE_DIALING;
    s->deadline_ms = 0;
    return dial_timed(w, s, end);
}

static_assert(LB_PROXY_CERTIFICATE_MAX >= TLS_IDENTITY_DER_MAX, "what is kept can be told");

/* What version 2 says of the client's TLS, or NULL. */
static const struct lb_proxy_tls *proxy_tls(const struct worker *w, const struct session *s, struct lb_proxy_tls *out) {
    const struct tls_identity *id = s->flags & SESSION_TLS ? tls_conn_identity(&w->tls, s->tls) : NULL;
    if (id == NULL)
        return NULL;
    *out = (struct lb_proxy_tls){.certificate = id->certificate,
                                 .resumed = id->resumed,
                                 .version = id->version,
                                 .cipher = id->cipher,
                                 .common_name = id->common_name,
                                 .alpn = id->alpn,
                                 .authority = id->server_name,
                                 .der = id->der,
                                 .der_bytes = w->weir->config->pools[s->pool].proxy_certificate ? id->der_bytes : 0};
    return out;
}

/* Where the pool wants it, the server's first bytes say who the client is. 0 or WEIR_ENOMEM. */
static int send_proxy_header(struct worker *w, struct session *s) {
    const struct flow_key *key = tcp_conn_key(&w->tcp, s->client);
    struct rope head = {0};
    struct lb_proxy_tls tls;
    uint8_t header[LB_PROXY_MAX];
    uint32_t n = lb_proxy_header(w->pools[s->pool].proxy_protocol, key->remote_addr_be, key->remote_port_be,
                                 key->local_addr_be, key->local_port_be, proxy_tls(w, s, &tls), header);
    if (rope_append(&head, w->ports[tcp_conn_port(&w->tcp, s->server)].pool, header, n) != 0) {
        w->stats.net_drops[NET_DROP_NO_MBUF]++;
        return WEIR_ENOMEM;
    }
    if (tcp_conn_send(&w->tcp, s->server, &head) != 0)
        rope_clear(&head);
    return 0;
}

int session_connected(struct worker *w, struct session *s) {
    if (send_proxy_header(w, s) != 0) { /* nothing may go before it: the next turn tries again */
        tcp_conn_again(&w->tcp, s->server, TCP_EV_CONNECTED);
        return 0;
    }
    if (w->weir->config->pools[s->pool].tls.on)
        return session_server_begin(w, s);
    lb_server_event(session_server(w, s), LB_EV_CONNECT_OK, w->now_us);
    s->phase = PHASE_FLOWING;
    return 0;
}
