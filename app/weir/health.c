/* SPDX-License-Identifier: BSD-3-Clause */
#include "health.h"

#include "session.h"

#include <stdio.h>

#define LOOK_EVERY_US 50000u
#define PROBE_MS      2000u /* connection and CONNACK together */

static void probe_free(struct worker *w, uint32_t index, bool alive) {
    struct probe *p = pool_get(&w->probes, index);
    struct lb_pool *pool = &w->pools[p->pool];
    struct lb_server *server = &pool->servers[p->server];
    if (alive)
        w->stats.probes_ok++;
    lb_server_event(server, alive ? LB_EV_PROBE_OK : LB_EV_PROBE_FAILED, w->now_us);
    lb_ports_give(pool->ports, p->server, p->source_addr_be, p->source_port_be);
    w->probe_deadline_ms[index - 1] = 0;
    pool_free(&w->probes, index);
}

static void probe_end(struct worker *w, uint32_t index, bool alive) {
    struct probe *p = pool_get(&w->probes, index);
    if (alive)
        tcp_conn_release(&w->tcp, p->flow);
    else
        tcp_conn_abort(&w->tcp, p->flow);
    probe_free(w, index, alive);
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
    w->probe_deadline_ms[index - 1] = (clock_ms(w->now_us) + PROBE_MS) | 1; /* 0 means none */
    if (tcp_connect(&w->tcp, server->port, p->source_addr_be, p->source_port_be, server->addr_be, server->port_be,
                    session_user(index, SIDE_PROBE), w->now_us, &p->flow) != 0)
        probe_free(w, index, false);
    else
        tcp_conn_options(&w->tcp, p->flow, &w->weir->config->pools[pool_index_].tcp);
}

/* Connected: a TCP pool needs no more; an MQTT broker has to accept a CONNECT. */
static void probe_connected(struct worker *w, uint32_t index) {
    struct probe *p = pool_get(&w->probes, index);
    if (!w->pool_mqtt[p->pool]) {
        probe_end(w, index, true);
        return;
    }
    char id[24];
    uint8_t buf[128];
    struct rope out = {0};
    struct lb_pool *pool = &w->pools[p->pool];
    struct rte_mempool *mbufs = w->ports[tcp_conn_port(&w->tcp, p->flow)].pool;
    uint32_t head = 0;
    if (pool->proxy_protocol != 0)
        head = lb_proxy_header(pool->proxy_protocol, p->source_addr_be, p->source_port_be,
                               pool->servers[p->server].addr_be, pool->servers[p->server].port_be, NULL, buf);
    snprintf(id, sizeof(id), "weir-probe-%u", w->index);
    uint8_t connect[64];
    uint32_t n = mqtt_probe_connect(id, connect, sizeof(connect));
    if (rope_append(&out, mbufs, buf, head) != 0 || rope_append(&out, mbufs, connect, n) != 0 ||
        tcp_conn_send(&w->tcp, p->flow, &out) != 0) {
        rope_clear(&out);
        probe_end(w, index, false);
    }
}

static void probe_readable(struct worker *w, uint32_t index) {
    struct probe *p = pool_get(&w->probes, index);
    uint8_t buf[64];
    uint32_t n = rope_copy(tcp_conn_rx(&w->tcp, p->flow), 0, buf, sizeof(buf));
    int rc = mqtt_probe_connack(buf, n);
    if (rc != WEIR_MORE)
        probe_end(w, index, rc == 0);
}

void health_event(struct worker *w, uint32_t index, uint8_t events) {
    if (events & TCP_EV_CLOSED) {
        struct probe *p = pool_get(&w->probes, index);
        tcp_conn_release(&w->tcp, p->flow);
        probe_free(w, index, false);
    } else if (events & TCP_EV_CONNECTED) {
        probe_connected(w, index);
    } else if (events & TCP_EV_READABLE) {
        probe_readable(w, index);
    } else if (events & TCP_EV_PEER_FIN) {
        probe_end(w, index, false);
    }
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
            probe_end(w, i + 1, false);
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
