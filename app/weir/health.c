/* SPDX-License-Identifier: BSD-3-Clause */
#include "health.h"

#include "server_tls.h"
#include "session.h"

#include <stdio.h>

#define LOOK_EVERY_US 50000u
#define PROBE_MS      2000u /* connection, TLS and CONNACK together */
#define PROBE_BYTES   1024u /* a server may say so much before its answer is judged */

static struct lb_server *server_of(struct worker *w, const struct probe *p) {
    return &w->pools[p->pool].servers[p->server];
}

enum verdict { PROBE_BAD, PROBE_GOOD, PROBE_UNKNOWN /* weir itself could not go through with it */ };

static void probe_free(struct worker *w, uint32_t index, enum verdict verdict) {
    struct probe *p = pool_get(&w->probes, index);
    if (verdict == PROBE_GOOD)
        w->stats.probes_ok++;
    if (p->tls != 0)
        tls_conn_free(&w->tls, p->tls);
    rope_clear(&p->plain);
    if (verdict != PROBE_UNKNOWN)
        lb_server_event(server_of(w, p), verdict == PROBE_GOOD ? LB_EV_PROBE_OK : LB_EV_PROBE_FAILED, w->now_us);
    lb_ports_give(w->pools[p->pool].ports, p->server, p->source_addr_be, p->source_port_be);
    w->probe_deadline_ms[index - 1] = 0;
    pool_free(&w->probes, index);
}

static bool probe_send(struct worker *w, const struct probe *p, struct rope *wire) {
    if (wire->len_bytes == 0 || tcp_conn_send(&w->tcp, p->flow, wire) == 0)
        return true;
    rope_clear(wire);
    return false;
}

static void probe_end(struct worker *w, uint32_t index, enum verdict verdict) {
    struct probe *p = pool_get(&w->probes, index);
    struct rope wire = {0};
    bool alive = verdict == PROBE_GOOD;
    if (alive && p->tls != 0 && tls_close(&w->tls, p->tls, &wire) == 0)
        (void)probe_send(w, p, &wire);
    if (alive) {
        rope_clear(tcp_conn_rx(&w->tcp, p->flow)); /* looked at; or the broker is sent a RST */
        tcp_conn_release(&w->tcp, p->flow);
    } else
        tcp_conn_abort(&w->tcp, p->flow);
    probe_free(w, index, verdict);
}

static void probe_deadline(struct worker *w, uint32_t index) {
    w->probe_deadline_ms[index - 1] = (clock_ms(w->now_us) + PROBE_MS) | 1; /* 0 means none */
}

static void probe_start(struct worker *w, uint16_t pool_index_, uint16_t server_index) {
    struct lb_pool *pool = &w->pools[pool_index_];
    struct lb_server *server = &pool->servers[server_index];
    uint32_t index = pool_alloc(&w->probes);
    if (index == POOL_NONE)
        return; /* the next one that is due finds room again */
    struct probe *p = pool_get(&w->probes, index);
    p->pool = pool_index_;
    p->server = server_index;
    if (lb_ports_take(pool->ports, server_index, server->addr_be, server->port_be, &p->source_addr_be,
                      &p->source_port_be) != 0) {
        pool_free(&w->probes, index);
        return;
    }
    w->stats.probes_sent++;
    probe_deadline(w, index);
    if (tcp_connect(&w->tcp, server->port, p->source_addr_be, p->source_port_be, server->addr_be, server->port_be,
                    session_user(index, SIDE_PROBE), w->now_us, &p->flow) != 0)
        probe_free(w, index, PROBE_BAD);
    else
        tcp_conn_options(&w->tcp, p->flow, &w->weir->config->pools[pool_index_].tcp);
}

/* In the clear, whatever follows. */
static bool probe_send_proxy_header(struct worker *w, const struct probe *p) {
    const struct lb_server *server = server_of(w, p);
    struct rope out = {0};
    uint8_t header[LB_PROXY_MAX];
    uint32_t n = lb_proxy_header(w->pools[p->pool].proxy_protocol, p->source_addr_be, p->source_port_be,
                                 server->addr_be, server->port_be, NULL, header);
    return rope_append(&out, w->ports[tcp_conn_port(&w->tcp, p->flow)].pool, header, n) == 0 && probe_send(w, p, &out);
}

/* A CONNECT of weir's own, sealed where TLS is up. */
static bool probe_send_connect(struct worker *w, const struct probe *p) {
    char id[24];
    uint8_t connect[64];
    struct rope plain = {0}, wire = {0};
    snprintf(id, sizeof(id), "weir-probe-%u", w->index);
    uint32_t n = mqtt_probe_connect(id, connect, sizeof(connect));
    bool ok = rope_append(&plain, w->ports[tcp_conn_port(&w->tcp, p->flow)].pool, connect, n) == 0;
    if (p->tls == 0)
        rope_splice(&wire, &plain);
    else if (ok)
        ok = tls_seal(&w->tls, p->tls, &plain, &wire, n, 0) == (int)n;
    rope_clear(&plain);
    return probe_send(w, p, &wire) && ok;
}

/* The server can be talked to: a TCP pool needs no more; an MQTT broker has to accept a CONNECT. */
static void probe_reached(struct worker *w, uint32_t index) {
    struct probe *p = pool_get(&w->probes, index);
    if (!w->pool_mqtt[p->pool])
        probe_end(w, index, PROBE_GOOD);
    else if (!probe_send_connect(w, p))
        probe_end(w, index, PROBE_BAD);
}

static void probe_connected(struct worker *w, uint32_t index) {
    struct probe *p = pool_get(&w->probes, index);
    if (!probe_send_proxy_header(w, p)) {
        probe_end(w, index, PROBE_BAD);
        return;
    }
    if (!w->weir->config->pools[p->pool].tls.on) {
        probe_reached(w, index);
        return;
    }
    p->tls = server_tls_connect(w, p->pool, p->server, NULL, session_user(index, SIDE_PROBE));
    if (p->tls == 0)
        probe_end(w, index, PROBE_BAD);
    else
        health_tls(w, index);
}

static void probe_answer(struct worker *w, uint32_t index, const struct rope *answer) {
    uint8_t buf[64];
    uint32_t n = rope_copy(answer, 0, buf, sizeof(buf));
    int rc = mqtt_probe_connack(buf, n);
    if (rc != WEIR_MORE)
        probe_end(w, index, rc == 0 ? PROBE_GOOD : PROBE_BAD);
}

static void probe_tls_failed(struct worker *w, uint32_t index, enum server_tls why) {
    server_tls_failed(w, server_of(w, pool_get(&w->probes, index)), why);
    probe_end(w, index, PROBE_BAD);
}

/* lib/tls gave it up. */
static void probe_tls_dropped(struct worker *w, uint32_t index, enum tls_drop drop) {
    const struct probe *p = pool_get(&w->probes, index);
    enum server_tls why = server_tls_dropped(w, server_of(w, p), p->tls, drop);
    if (why != SERVER_TLS_OK)
        probe_tls_failed(w, index, why);
    else
        probe_end(w, index, PROBE_UNKNOWN);
}

void health_tls(struct worker *w, uint32_t index) {
    struct probe *p = pool_get(&w->probes, index);
    bool shaking = !tls_established(&w->tls, p->tls), waited = tls_client_waits(&w->tls, p->tls);
    struct rope wire = {0};
    int verdict = tls_input(&w->tls, p->tls, tcp_conn_rx(&w->tcp, p->flow), &p->plain, &wire, PROBE_BYTES);
    (void)probe_send(w, p, &wire);
    if (verdict < 0) {
        probe_tls_dropped(w, index, (enum tls_drop) - verdict);
        return;
    }
    if (waited && !tls_client_waits(&w->tls, p->tls)) /* what it waited is not the server's time */
        probe_deadline(w, index);
    tcp_conn_consumed(&w->tcp, p->flow);
    if (verdict & TLS_MORE_WORK)
        tcp_conn_again(&w->tcp, p->flow, TCP_EV_READABLE);
    bool over = tcp_conn_peer_fin(&w->tcp, p->flow) || tcp_conn_state(&w->tcp, p->flow) == TCP_CLOSED;
    if (verdict & TLS_DONE) {
        server_tls_done(w, server_of(w, p), false);
        probe_reached(w, index);
    } else if (p->plain.len_bytes != 0) {
        probe_answer(w, index, &p->plain);
    } else if (over && !(verdict & (TLS_BUSY | TLS_MORE_WORK))) {
        probe_tls_failed(w, index, shaking ? SERVER_TLS_CLOSED : SERVER_TLS_OK);
    }
}

void health_event(struct worker *w, uint32_t index, uint8_t events) {
    struct probe *p = pool_get(&w->probes, index);
    if (p->tls != 0) { /* what it said before it went tells why */
        health_tls(w, index);
    } else if (events & TCP_EV_CLOSED) {
        tcp_conn_release(&w->tcp, p->flow);
        probe_free(w, index, PROBE_BAD);
    } else if (events & TCP_EV_CONNECTED) {
        probe_connected(w, index);
    } else if (events & TCP_EV_READABLE) {
        probe_answer(w, index, tcp_conn_rx(&w->tcp, p->flow));
    } else if (events & TCP_EV_PEER_FIN) {
        probe_end(w, index, PROBE_BAD);
    }
}

/* It had its time; TLS that never came about is worth telling. */
static void probe_expired(struct worker *w, uint32_t index) {
    const struct probe *p = pool_get(&w->probes, index);
    if (p->tls != 0 && tls_client_waits(&w->tls, p->tls)) {
        tls_client_refuse(&w->tls, p->tls);
        health_tls(w, index);
        return;
    }
    bool shaking = p->tls != 0 && !tls_established(&w->tls, p->tls);
    probe_tls_failed(w, index, shaking ? SERVER_TLS_TIMEOUT : SERVER_TLS_OK);
}

/* Few enough to look at each. */
static void probes_expire(struct worker *w) {
    uint32_t now_ms = clock_ms(w->now_us);
    if (w->probes.used == 0)
        return;
    for (uint32_t i = 0; i < HEALTH_MAX_PROBES; i++) {
        if (w->probe_deadline_ms[i] == 0)
            continue;
        if ((int32_t)(now_ms - w->probe_deadline_ms[i]) >= 0)
            probe_expired(w, i + 1);
    }
}

void health_turn(struct worker *w) {
    if (w->now_us - w->health_looked_us < LOOK_EVERY_US)
        return;
    w->health_looked_us = w->now_us;
    probes_expire(w);
    for (uint16_t i = 0; i < w->n_pools; i++) {
        uint16_t server;
        while ((server = lb_probe_due(&w->pools[i], w->now_us)) != LB_NONE)
            probe_start(w, i, server);
    }
}
