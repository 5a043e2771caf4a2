/* SPDX-License-Identifier: BSD-3-Clause */
#include "server_tls.h"
#include "stats_int.h"

static void walk_listeners(struct walk *k) {
    static const struct walk_field fields[] = {
        WALK_COUNTER(struct worker_listener, accepted, "weir_listener_connections_total",
                     "Connections accepted, or UDP flows made."),
        WALK_GAUGE(struct worker_listener, open, "weir_listener_open", "Connections open."),
    };
    const struct config *c = k->weir->config;
    for (size_t f = 0; f < WEIR_ARRAY_LEN(fields); f++) {
        walk_metric(k, fields[f].name, fields[f].help, fields[f].gauge);
        for (uint16_t l = 0; l < c->n_listeners; l++)
            walk_emit1(k, "listener", c->listeners[l].name,
                       walk_sum(k, &fields[f], offsetof(struct worker, listeners[l])));
    }
    walk_metric(k, "weir_listener_closed_total", "Connections closed, by reason.", false);
    for (uint16_t l = 0; l < c->n_listeners; l++) {
        for (unsigned e = 1; e < SESSION_END_COUNT; e++) {
            const struct walk_field closed = WALK_COUNTER(struct worker_listener, closed[e], NULL, NULL);
            walk_emit2(k, "listener", c->listeners[l].name, "reason", session_end_name((enum session_end)e),
                       walk_sum(k, &closed, offsetof(struct worker, listeners[l])));
        }
    }
}

static void walk_mqtt(struct walk *k) {
    static const char *const types[16] = {"reserved", "connect",  "connack",    "publish", "puback",      "pubrec",
                                          "pubrel",   "pubcomp",  "subscribe",  "suback",  "unsubscribe", "unsuback",
                                          "pingreq",  "pingresp", "disconnect", "auth"};
    for (int out = 0; out < 2; out++) {
        walk_metric(k, out ? "weir_mqtt_packets_to_clients_total" : "weir_mqtt_packets_from_clients_total",
                    out ? "MQTT packets from servers to clients, by type."
                        : "MQTT packets from clients to servers, by type.",
                    false);
        for (unsigned t = 1; t < 16; t++) {
            const struct walk_field of[] = {WALK_COUNTER(struct worker_stats, mqtt_packets_in[t], NULL, NULL),
                                            WALK_COUNTER(struct worker_stats, mqtt_packets_out[t], NULL, NULL)};
            walk_emit1(k, "type", types[t], walk_sum(k, &of[out], offsetof(struct worker, stats)));
        }
    }
}

/* Samples of a field of struct worker_server: each server's, over all workers. tls: of those alone that are met with
 * TLS; reason: one more label, or NULL. */
static void per_server(struct walk *k, const struct walk_field *f, bool tls, const char *reason) {
    const struct config *c = k->weir->config;
    for (uint16_t p = 0; p < c->n_pools; p++) {
        for (uint16_t s = 0; s < c->pools[p].n_servers && (c->pools[p].tls.on || !tls); s++) {
            const char *pool = c->pools[p].name, *server = c->pools[p].servers[s].name;
            double sum = walk_sum(k, f, offsetof(struct worker, servers[c->pools[p].servers[s].id]));
            if (reason == NULL)
                walk_emit2(k, "pool", pool, "server", server, sum);
            else
                walk_emit3(k, (struct stats_label){"pool", pool}, (struct stats_label){"server", server},
                           (struct stats_label){"reason", reason}, sum);
        }
    }
}

static void walk_connections(struct walk *k) {
    static const struct walk_field fields[] = {
        WALK_COUNTER(struct worker_server, connections, "weir_server_connections_total",
                     "Connections opened, or UDP flows made."),
        WALK_COUNTER(struct worker_server, connect_failures, "weir_server_connect_failures_total",
                     "Connections that failed."),
        WALK_COUNTER(struct worker_server, bytes_to, "weir_server_bytes_to_total", "Bytes sent to the server."),
        WALK_COUNTER(struct worker_server, bytes_from, "weir_server_bytes_from_total",
                     "Bytes received from the server."),
        WALK_GAUGE(struct worker_server, open, "weir_server_open", "Connections open."),
    };
    for (size_t f = 0; f < WEIR_ARRAY_LEN(fields); f++) {
        walk_metric(k, fields[f].name, fields[f].help, fields[f].gauge);
        per_server(k, &fields[f], false, NULL);
    }
}

static void walk_server_tls(struct walk *k) {
    static const struct walk_field fields[] = {
        WALK_COUNTER(struct worker_server, tls_handshakes, "weir_server_tls_handshakes_total",
                     "TLS handshakes with the server completed."),
        WALK_COUNTER(struct worker_server, tls_resumed, "weir_server_tls_resumed_total",
                     "TLS handshakes with the server that resumed a session."),
    };
    for (size_t f = 0; f < WEIR_ARRAY_LEN(fields); f++) {
        walk_metric(k, fields[f].name, fields[f].help, fields[f].gauge);
        per_server(k, &fields[f], true, NULL);
    }
    walk_metric(k, "weir_server_tls_failures_total", "Times TLS with the server failed, by reason.", false);
    for (unsigned why = SERVER_TLS_OK + 1; why < SERVER_TLS_COUNT; why++) {
        const struct walk_field failures = WALK_COUNTER(struct worker_server, tls_failures[why], NULL, NULL);
        per_server(k, &failures, true, server_tls_name((enum server_tls)why));
    }
}

/* A server is up where every worker thinks so: each judges by its own connections. */
static void walk_server_states(struct walk *k) {
    const struct config *c = k->weir->config;
    for (int draining = 0; draining < 2; draining++) {
        walk_metric(k, draining ? "weir_server_draining" : "weir_server_up",
                    draining ? "1 where some worker gives the server no new connections because it drains."
                             : "1 where the server is up in the eyes of every worker.",
                    true);
        for (uint16_t p = 0; p < c->n_pools; p++) {
            for (uint16_t s = 0; s < c->pools[p].n_servers; s++) {
                unsigned n = 0;
                for (uint16_t i = 0; i < k->weir->n_workers; i++)
                    n += k->weir->workers[i]->pools[p].servers[s].state == (draining ? LB_DRAINING : LB_UP);
                walk_emit2(k, "pool", c->pools[p].name, "server", c->pools[p].servers[s].name,
                           draining ? n > 0 : n == k->weir->n_workers);
            }
        }
    }
}

void walk_servers(struct walk *k) {
    walk_listeners(k);
    walk_mqtt(k);
    walk_connections(k);
    walk_server_tls(k);
    walk_server_states(k);
}
