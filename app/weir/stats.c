/* SPDX-License-Identifier: BSD-3-Clause */
#include "stats.h"

#include "server_tls.h"

#include <rte_mempool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* A walk under way. */
struct walk {
    const struct weir *weir;
    const struct memory_plan *plan;
    struct cert_table *certs;
    uint32_t generation;
    stats_emit emit;
    void *ctx;
    struct stats_sample s;
};

/* A counter that lies at an offset of some struct. */
struct field {
    const char *name, *help;
    size_t offset;
    bool wide, gauge; /* wide: 64 bits, else 32 */
};
#define COUNTER(type, member, metric, text)                                                                            \
    { metric, text, offsetof(type, member), true, false }
#define GAUGE64(type, member, metric, text)                                                                            \
    { metric, text, offsetof(type, member), true, true }
#define GAUGE32(type, member, metric, text)                                                                            \
    { metric, text, offsetof(type, member), false, true }

static double field_read(const struct field *f, const void *base) {
    const uint8_t *p = (const uint8_t *)base + f->offset;
    return f->wide ? (double)*(const uint64_t *)p : (double)*(const uint32_t *)p;
}

static void metric(struct walk *k, const char *name, const char *help, bool gauge) {
    k->s = (struct stats_sample){.name = name, .help = help, .gauge = gauge};
}

static void emit1(struct walk *k, const char *label, const char *value, double v) {
    k->s.n_labels = 1;
    k->s.labels[0] = (struct stats_label){label, value};
    k->s.value = v;
    k->emit(k->ctx, &k->s);
}

static void emit2(struct walk *k, const char *l0, const char *v0, const char *l1, const char *v1, double v) {
    k->s.n_labels = 2;
    k->s.labels[0] = (struct stats_label){l0, v0};
    k->s.labels[1] = (struct stats_label){l1, v1};
    k->s.value = v;
    k->emit(k->ctx, &k->s);
}

static void emit3(struct walk *k, struct stats_label l0, struct stats_label l1, struct stats_label l2, double v) {
    k->s.n_labels = 3;
    k->s.labels[0] = l0;
    k->s.labels[1] = l1;
    k->s.labels[2] = l2;
    k->s.value = v;
    k->emit(k->ctx, &k->s);
}

static const char *number(char buf[12], unsigned n) {
    snprintf(buf, 12, "%u", n);
    return buf;
}

/* The same fields for every worker, from the struct `of` finds in it. */
static void per_worker(struct walk *k, const struct field *fields, size_t n, const void *(*of)(const struct worker *)) {
    char id[12];
    for (size_t f = 0; f < n; f++) {
        metric(k, fields[f].name, fields[f].help, fields[f].gauge);
        for (uint16_t i = 0; i < k->weir->n_workers; i++)
            emit1(k, "worker", number(id, i), field_read(&fields[f], of(k->weir->workers[i])));
    }
}

/* --- workers --- */

static const struct field worker_fields[] = {
    COUNTER(struct worker_stats, turns, "weir_worker_turns_total", "Turns of the worker's loop."),
    COUNTER(struct worker_stats, turns_busy, "weir_worker_busy_turns_total", "Turns that found work."),
    COUNTER(struct worker_stats, handoff_out, "weir_handoff_packets_total",
            "Packets passed to the worker that owns them."),
    COUNTER(struct worker_stats, handoff_in, "weir_handoff_received_packets_total",
            "Packets received from other workers."),
    COUNTER(struct worker_stats, return_out, "weir_return_packets_total",
            "Frames sent through another worker's queue."),
    COUNTER(struct worker_stats, arp_in, "weir_arp_packets_total", "ARP packets received."),
    COUNTER(struct worker_stats, icmp_in, "weir_icmp_packets_total", "ICMP messages received."),
    COUNTER(struct worker_stats, udp_in, "weir_udp_forwarded_total", "Datagrams forwarded to servers."),
    COUNTER(struct worker_stats, udp_out, "weir_udp_returned_total", "Datagrams forwarded to clients."),
    COUNTER(struct worker_stats, source_ports_exhausted, "weir_source_ports_exhausted_total",
            "Connections refused because every source port towards the server was in use."),
    COUNTER(struct worker_stats, probes_sent, "weir_health_probes_total", "Health probes started."),
    COUNTER(struct worker_stats, probes_ok, "weir_health_probes_ok_total", "Health probes that succeeded."),
};

static const void *of_stats(const struct worker *w) {
    return &w->stats;
}

static void walk_times(struct walk *k) {
    static const struct field times[] = {
        COUNTER(struct worker_stats, busy_tsc, "weir_worker_busy_seconds_total",
                "Time spent in turns that found work."),
        COUNTER(struct worker_stats, idle_tsc, "weir_worker_idle_seconds_total",
                "Time spent in empty turns and back-off."),
        {"weir_worker_longest_turn_seconds", "Longest turn so far.", offsetof(struct worker_stats, longest_turn_tsc),
         true, true},
    };
    char id[12];
    double s_per_tick = (double)k->weir->clock.mult / 4294967296.0 / 1e6; /* clock.h */
    for (size_t f = 0; f < WEIR_ARRAY_LEN(times); f++) {
        metric(k, times[f].name, times[f].help, times[f].gauge);
        for (uint16_t i = 0; i < k->weir->n_workers; i++)
            emit1(k, "worker", number(id, i), field_read(&times[f], &k->weir->workers[i]->stats) * s_per_tick);
    }
}

/* Sums of measured turns. Back-off is no part of a turn that found work. */
static void walk_cycles(struct walk *k) {
    char id[12];
    metric(k, "weir_worker_measured_turns_total", "Turns that found work and were measured by stage.", false);
    for (uint16_t i = 0; i < k->weir->n_workers; i++)
        emit1(k, "worker", number(id, i), (double)k->weir->workers[i]->cycles.busy.turns);
    metric(k, "weir_worker_stage_cycles_total", "Cycles of the measured turns, by stage.", false);
    for (uint16_t i = 0; i < k->weir->n_workers; i++)
        for (unsigned s = 0; s < CYCLES_IDLE; s++)
            emit2(k, "stage", cycles_stage_name((enum cycles_stage)s), "worker", number(id, i),
                  (double)k->weir->workers[i]->cycles.busy.stages[s]);
}

static double timers_armed(const struct worker *w) {
    return (double)w->tcp.wheel.armed + w->session_wheel.armed + w->udp.wheel.armed;
}
static double sessions_open(const struct worker *w) {
    return w->sessions.used;
}
static double udp_flows_open(const struct worker *w) {
    return w->udp.flows.used;
}
static double half_open(const struct worker *w) {
    return w->tcp.half_open;
}
static double rx_mbufs(const struct worker *w) {
    return w->tcp.stats.rx_mbufs;
}
static double tx_mbufs(const struct worker *w) {
    return w->tcp.stats.tx_mbufs;
}

static void walk_gauges(struct walk *k) {
    static const struct {
        const char *name, *help;
        double (*read)(const struct worker *);
    } gauges[] = {
        {"weir_sessions", "Client connections with a session.", sessions_open},
        {"weir_udp_flows", "UDP flows.", udp_flows_open},
        {"weir_tcp_half_open", "TCP connections in SYN_RECEIVED.", half_open},
        {"weir_timers_armed", "Armed timer nodes.", timers_armed},
        {"weir_tcp_rx_mbufs", "mbufs held by receive ropes and reassembly.", rx_mbufs},
        {"weir_tcp_tx_mbufs", "mbufs held by send ropes.", tx_mbufs},
    };
    char id[12];
    for (size_t g = 0; g < WEIR_ARRAY_LEN(gauges); g++) {
        metric(k, gauges[g].name, gauges[g].help, true);
        for (uint16_t i = 0; i < k->weir->n_workers; i++)
            emit1(k, "worker", number(id, i), gauges[g].read(k->weir->workers[i]));
    }
}

static void walk_flows(struct walk *k) {
    char id[12];
    metric(k, "weir_tcp_flows", "TCP connections by state.", true);
    for (uint16_t i = 0; i < k->weir->n_workers; i++)
        for (unsigned s = 0; s < TCP_STATE_COUNT; s++)
            emit2(k, "state", tcp_state_name((enum tcp_state)s), "worker", number(id, i),
                  k->weir->workers[i]->tcp.stats.by_state[s]);
}

/* --- drops --- */

static void drops(struct walk *k, uint16_t worker, const char *layer, const char *reason, uint64_t n) {
    char id[12];
    k->s.n_labels = 3;
    k->s.labels[0] = (struct stats_label){"layer", layer};
    k->s.labels[1] = (struct stats_label){"reason", reason};
    k->s.labels[2] = (struct stats_label){"worker", number(id, worker)};
    k->s.value = (double)n;
    k->emit(k->ctx, &k->s);
}

static void walk_drops(struct walk *k) {
    metric(k, "weir_drops_total", "Packets discarded and connections refused, by layer and reason.", false);
    for (uint16_t i = 0; i < k->weir->n_workers; i++) {
        const struct worker *w = k->weir->workers[i];
        for (unsigned d = 1; d < NET_DROP_COUNT; d++)
            drops(k, i, "net", net_drop_name((enum net_drop)d), w->stats.net_drops[d]);
        for (unsigned d = 1; d < TCP_DROP_COUNT; d++)
            drops(k, i, "tcp", tcp_drop_name((enum tcp_drop)d), w->tcp.stats.drops[d]);
        for (unsigned d = 1; d < TLS_DROP_COUNT; d++)
            drops(k, i, "tls", tls_drop_name((enum tls_drop)d), w->tls.stats.drops[d]);
        for (unsigned d = 1; d < MQTT_DROP_COUNT; d++)
            drops(k, i, "mqtt", mqtt_drop_name((enum mqtt_drop)d), w->stats.mqtt_drops[d]);
    }
    metric(k, "weir_tcp_ends_total", "TCP connections ended, by reason.", false);
    char id[12];
    for (uint16_t i = 0; i < k->weir->n_workers; i++)
        for (unsigned e = 1; e < TCP_END_COUNT; e++)
            emit2(k, "reason", tcp_end_name((enum tcp_end)e), "worker", number(id, i),
                  (double)k->weir->workers[i]->tcp.stats.ends[e]);
}

/* --- TCP, TLS, MQTT --- */

static const struct field tcp_fields[] = {
#define X(name, help) COUNTER(struct tcp_stats, name, "weir_tcp_" #name "_total", help),
    TCP_COUNTERS(X)
#undef X
};
static const struct field tls_fields[] = {
#define X(name, help) COUNTER(struct tls_stats, name, "weir_tls_" #name "_total", help),
    TLS_COUNTERS(X)
#undef X
        GAUGE32(struct tls_stats, handshakes_waiting, "weir_tls_handshakes_waiting",
                "Handshakes that wait for their turn."),
    GAUGE32(struct tls_stats, handshakes_begun, "weir_tls_handshakes_begun",
            "ClientHellos with the handshake engine, or about to be."),
    GAUGE32(struct tls_stats, handshakes_answered, "weir_tls_handshakes_answered",
            "Handshakes that wait for their client's next message."),
    GAUGE32(struct tls_stats, identities, "weir_tls_identities",
            "Connections of whose client more is known than keys."),
    GAUGE64(struct tls_stats, identity_bytes, "weir_tls_identity_bytes", "Memory of what is known of clients."),
    GAUGE32(struct tls_stats, ssl_objects, "weir_tls_ssl_objects", "SSL objects of handshakes under way."),
    GAUGE32(struct tls_stats, conns, "weir_tls_connections", "TLS states in use."),
};

static const void *of_tcp(const struct worker *w) {
    return &w->tcp.stats;
}
static const void *of_tls(const struct worker *w) {
    return &w->tls.stats;
}

/* Times of handshakes: waits in microseconds, steps of the engine in cycles. */
static void walk_handshakes(struct walk *k) {
    static const struct {
        struct field f;
        bool tsc;
    } times[] = {
        {COUNTER(struct tls_stats, handshakes_wait_us, "weir_tls_handshake_wait_seconds_total",
                 "Time that handshakes waited for their turn, in sum."),
         false},
        {{"weir_tls_handshake_longest_wait_seconds", "Longest wait so far.",
          offsetof(struct tls_stats, handshake_longest_wait_us), true, true},
         false},
        {COUNTER(struct tls_stats, handshake_step_tsc, "weir_tls_handshake_step_seconds_total",
                 "Time that the handshake engine worked."),
         true},
        {{"weir_tls_handshake_longest_step_seconds", "Longest single step of a handshake so far.",
          offsetof(struct tls_stats, handshake_longest_step_tsc), true, true},
         true},
    };
    char id[12];
    double s_per_tick = (double)k->weir->clock.mult / 4294967296.0 / 1e6; /* clock.h */
    for (size_t t = 0; t < WEIR_ARRAY_LEN(times); t++) {
        const struct field *f = &times[t].f;
        metric(k, f->name, f->help, f->gauge);
        for (uint16_t i = 0; i < k->weir->n_workers; i++)
            emit1(k, "worker", number(id, i),
                  field_read(f, &k->weir->workers[i]->tls.stats) * (times[t].tsc ? s_per_tick : 1e-6));
    }
}

static double cert_expiry(const struct tls_cert_info *info) {
    return info->not_after_s > 0 ? (double)info->not_after_s : 0;
}
static double cert_ocsp_expiry(const struct tls_cert_info *info) {
    return (double)info->ocsp_next_update_s;
}

/* What is served at the moment, entry by entry. */
static void per_certificate(struct walk *k, double (*read)(const struct tls_cert_info *)) {
    const struct tls_cert_info *info;
    for (uint16_t i = 0; i < k->weir->config->n_tls; i++) {
        struct tls_ctx *ctx = cert_table_get(k->certs, i);
        for (uint32_t c = 0; ctx != NULL && (info = tls_ctx_cert(ctx, c)) != NULL; c++)
            emit2(k, "tls", k->weir->config->tls[i].name, "certificate", info->certificate_file, read(info));
        tls_ctx_unref(ctx);
    }
}

static void per_entry(struct walk *k, const uint64_t *counters) {
    for (uint16_t i = 0; i < k->weir->config->n_tls; i++)
        emit1(k, "tls", k->weir->config->tls[i].name, (double)__atomic_load_n(&counters[i], __ATOMIC_RELAXED));
}

static void walk_certs(struct walk *k) {
    metric(k, "weir_tls_certificate_expiry_timestamp_seconds", "When the certificate expires, in seconds since 1970.",
           true);
    per_certificate(k, cert_expiry);
    metric(k, "weir_tls_certificate_ocsp_expiry_timestamp_seconds",
           "Until when its OCSP response is stapled, in seconds since 1970, 0 without one.", true);
    per_certificate(k, cert_ocsp_expiry);
    metric(k, "weir_tls_certificate_reloads_total", "Times the certificates of the entry were read again.", false);
    per_entry(k, k->certs->reloads);
    metric(k, "weir_tls_certificate_refusals_total", "Certificates refused when read again, the old ones serve on.",
           false);
    per_entry(k, k->certs->refusals);
}

static void per_pool(struct walk *k, const uint64_t *counters) {
    for (uint16_t p = 0; p < k->weir->config->n_pools; p++)
        if (k->weir->config->pools[p].tls.on)
            emit1(k, "pool", k->weir->config->pools[p].name, (double)__atomic_load_n(&counters[p], __ATOMIC_RELAXED));
}

/* Towards servers: weir's own certificates, if it has any. */
static void walk_pool_certs(struct walk *k) {
    const struct config *c = k->weir->config;
    metric(k, "weir_pool_certificate_expiry_timestamp_seconds",
           "When weir's certificate towards the servers of the pool expires, in seconds since 1970.", true);
    for (uint16_t p = 0; p < c->n_pools; p++) {
        struct tls_ctx *ctx = cert_table_get(k->certs, (uint16_t)(WEIR_MAX_TLS + p));
        int64_t left_s = ctx != NULL ? tls_ctx_expires_in_s(ctx) : INT64_MAX;
        if (left_s != INT64_MAX)
            emit1(k, "pool", c->pools[p].name, (double)(time(NULL) + left_s));
        tls_ctx_unref(ctx);
    }
    metric(k, "weir_pool_certificate_reloads_total", "Times the certificates of the pool were read again.", false);
    per_pool(k, k->certs->reloads + WEIR_MAX_TLS);
    metric(k, "weir_pool_certificate_refusals_total", "Times they were refused when read again, the old ones serve on.",
           false);
    per_pool(k, k->certs->refusals + WEIR_MAX_TLS);
}

static void walk_mqtt(struct walk *k) {
    static const char *const types[16] = {"reserved", "connect",  "connack",    "publish", "puback",      "pubrec",
                                          "pubrel",   "pubcomp",  "subscribe",  "suback",  "unsubscribe", "unsuback",
                                          "pingreq",  "pingresp", "disconnect", "auth"};
    for (int out = 0; out < 2; out++) {
        metric(k, out ? "weir_mqtt_packets_to_clients_total" : "weir_mqtt_packets_from_clients_total",
               out ? "MQTT packets from servers to clients, by type."
                   : "MQTT packets from clients to servers, by type.",
               false);
        for (unsigned t = 1; t < 16; t++) {
            double sum = 0;
            for (uint16_t i = 0; i < k->weir->n_workers; i++) {
                const struct worker_stats *s = &k->weir->workers[i]->stats;
                sum += (double)(out ? s->mqtt_packets_out[t] : s->mqtt_packets_in[t]);
            }
            emit1(k, "type", types[t], sum);
        }
    }
}

/* --- ports --- */

static void walk_ports(struct walk *k) {
    static const struct field fields[] = {
        COUNTER(struct worker_port, rx_packets, "weir_port_rx_packets_total", "Packets received."),
        COUNTER(struct worker_port, rx_bytes, "weir_port_rx_bytes_total", "Bytes received."),
        COUNTER(struct worker_port, tx_packets, "weir_port_tx_packets_total", "Packets sent."),
        COUNTER(struct worker_port, tx_bytes, "weir_port_tx_bytes_total", "Bytes sent."),
    };
    const struct weir *weir = k->weir;
    for (size_t f = 0; f < WEIR_ARRAY_LEN(fields); f++) {
        metric(k, fields[f].name, fields[f].help, false);
        for (uint16_t p = 0; p < weir->ports.n; p++) {
            double sum = 0;
            for (uint16_t i = 0; i < weir->n_workers; i++)
                sum += field_read(&fields[f], &weir->workers[i]->ports[p]);
            emit1(k, "port", weir->ports.port[p].name, sum);
        }
    }
    metric(k, "weir_port_link_up", "1 where the link of the port is up.", true);
    for (uint16_t p = 0; p < weir->ports.n; p++)
        emit1(k, "port", weir->ports.port[p].name, port_link_up(&weir->ports.port[p]));
}

static void walk_devices(struct walk *k) {
    static const struct field fields[] = {
        COUNTER(struct port_device_stats, rx_missed, "weir_port_device_rx_missed_total",
                "Packets the device had no room for."),
        COUNTER(struct port_device_stats, rx_errors, "weir_port_device_rx_errors_total",
                "Packets the device received damaged."),
        COUNTER(struct port_device_stats, rx_nombuf, "weir_port_device_rx_nombuf_total",
                "Receive buffers that could not be had."),
        COUNTER(struct port_device_stats, tx_errors, "weir_port_device_tx_errors_total",
                "Packets the device failed to send."),
    };
    struct port_device_stats s[WEIR_MAX_PORTS];
    for (uint16_t p = 0; p < k->weir->ports.n; p++)
        port_device_stats(&k->weir->ports.port[p], &s[p]);
    for (size_t f = 0; f < WEIR_ARRAY_LEN(fields); f++) {
        metric(k, fields[f].name, fields[f].help, false);
        for (uint16_t p = 0; p < k->weir->ports.n; p++)
            emit1(k, "port", k->weir->ports.port[p].name, field_read(&fields[f], &s[p]));
    }
}

static void walk_mbufs(struct walk *k) {
    metric(k, "weir_mbufs_in_use", "mbufs out of their pool: receive rings, caches, ropes, frames under way.", true);
    for (uint16_t p = 0; p < k->weir->ports.n; p++) {
        for (uint16_t i = 0; i < k->weir->n_workers; i++) {
            const struct rte_mempool *mp = k->weir->ports.port[p].pools[i];
            if (mp != NULL)
                emit1(k, "pool", mp->name, rte_mempool_in_use_count(mp));
        }
    }
    metric(k, "weir_mbufs", "Size of the mbuf pool.", true);
    for (uint16_t p = 0; p < k->weir->ports.n; p++) {
        for (uint16_t i = 0; i < k->weir->n_workers; i++) {
            const struct rte_mempool *mp = k->weir->ports.port[p].pools[i];
            if (mp != NULL)
                emit1(k, "pool", mp->name, mp->size);
        }
    }
}

/* --- listeners and servers --- */

static void walk_listeners(struct walk *k) {
    const struct weir *weir = k->weir;
    const struct config *c = weir->config;
    metric(k, "weir_listener_connections_total", "Connections accepted, or UDP flows made.", false);
    for (uint16_t l = 0; l < c->n_listeners; l++) {
        double sum = 0;
        for (uint16_t i = 0; i < weir->n_workers; i++)
            sum += (double)weir->workers[i]->listeners[l].accepted;
        emit1(k, "listener", c->listeners[l].name, sum);
    }
    metric(k, "weir_listener_open", "Connections open.", true);
    for (uint16_t l = 0; l < c->n_listeners; l++) {
        double sum = 0;
        for (uint16_t i = 0; i < weir->n_workers; i++)
            sum += weir->workers[i]->listeners[l].open;
        emit1(k, "listener", c->listeners[l].name, sum);
    }
    metric(k, "weir_listener_closed_total", "Connections closed, by reason.", false);
    for (uint16_t l = 0; l < c->n_listeners; l++) {
        for (unsigned e = 1; e < SESSION_END_COUNT; e++) {
            double sum = 0;
            for (uint16_t i = 0; i < weir->n_workers; i++)
                sum += (double)weir->workers[i]->listeners[l].closed[e];
            emit2(k, "listener", c->listeners[l].name, "reason", session_end_name((enum session_end)e), sum);
        }
    }
}

static void walk_servers(struct walk *k) {
    static const struct field fields[] = {
        COUNTER(struct worker_server, connections, "weir_server_connections_total",
                "Connections opened, or UDP flows made."),
        COUNTER(struct worker_server, connect_failures, "weir_server_connect_failures_total",
                "Connections that failed."),
        COUNTER(struct worker_server, bytes_to, "weir_server_bytes_to_total", "Bytes sent to the server."),
        COUNTER(struct worker_server, bytes_from, "weir_server_bytes_from_total", "Bytes received from the server."),
        GAUGE32(struct worker_server, open, "weir_server_open", "Connections open."),
    };
    const struct config *c = k->weir->config;
    for (size_t f = 0; f < WEIR_ARRAY_LEN(fields); f++) {
        metric(k, fields[f].name, fields[f].help, fields[f].gauge);
        for (uint16_t p = 0; p < c->n_pools; p++) {
            for (uint16_t s = 0; s < c->pools[p].n_servers; s++) {
                double sum = 0;
                for (uint16_t i = 0; i < k->weir->n_workers; i++)
                    sum += field_read(&fields[f], &k->weir->workers[i]->servers[c->pools[p].servers[s].id]);
                emit2(k, "pool", c->pools[p].name, "server", c->pools[p].servers[s].name, sum);
            }
        }
    }
}

/* A counter of every server that is met with TLS, summed over the workers; it lies at `offset` of struct worker_server.
 */
static void per_tls_server(struct walk *k, const char *reason, size_t offset) {
    const struct config *c = k->weir->config;
    for (uint16_t p = 0; p < c->n_pools; p++) {
        for (uint16_t s = 0; s < c->pools[p].n_servers && c->pools[p].tls.on; s++) {
            const char *pool = c->pools[p].name, *server = c->pools[p].servers[s].name;
            const struct field counter = {.offset = offset, .wide = true};
            double sum = 0;
            for (uint16_t i = 0; i < k->weir->n_workers; i++)
                sum += field_read(&counter, &k->weir->workers[i]->servers[c->pools[p].servers[s].id]);
            if (reason == NULL)
                emit2(k, "pool", pool, "server", server, sum);
            else
                emit3(k, (struct stats_label){"pool", pool}, (struct stats_label){"server", server},
                      (struct stats_label){"reason", reason}, sum);
        }
    }
}

static void walk_server_tls(struct walk *k) {
    metric(k, "weir_server_tls_handshakes_total", "TLS handshakes with the server completed.", false);
    per_tls_server(k, NULL, offsetof(struct worker_server, tls_handshakes));
    metric(k, "weir_server_tls_resumed_total", "TLS handshakes with the server that resumed a session.", false);
    per_tls_server(k, NULL, offsetof(struct worker_server, tls_resumed));
    metric(k, "weir_server_tls_failures_total", "Times TLS with the server failed, by reason.", false);
    for (unsigned why = SERVER_TLS_OK + 1; why < SERVER_TLS_COUNT; why++)
        per_tls_server(k, server_tls_name((enum server_tls)why),
                       offsetof(struct worker_server, tls_failures) + why * sizeof(uint64_t));
}

/* A server is up where every worker thinks so: each judges by its own connections. */
static void walk_server_states(struct walk *k) {
    const struct config *c = k->weir->config;
    for (int draining = 0; draining < 2; draining++) {
        metric(k, draining ? "weir_server_draining" : "weir_server_up",
               draining ? "1 where some worker gives the server no new connections because it drains."
                        : "1 where the server is up in the eyes of every worker.",
               true);
        for (uint16_t p = 0; p < c->n_pools; p++) {
            for (uint16_t s = 0; s < c->pools[p].n_servers; s++) {
                unsigned n = 0;
                for (uint16_t i = 0; i < k->weir->n_workers; i++)
                    n += k->weir->workers[i]->pools[p].servers[s].state == (draining ? LB_DRAINING : LB_UP);
                emit2(k, "pool", c->pools[p].name, "server", c->pools[p].servers[s].name,
                      draining ? n > 0 : n == k->weir->n_workers);
            }
        }
    }
}

/* --- memory --- */

static void walk_memory(struct walk *k) {
    const struct memory_row *r = k->plan->rows;
    metric(k, "weir_memory_bytes_per_connection", "Bytes an idle proxied TLS MQTT connection costs, by pool.", true);
    emit1(k, "pool", "flow", 2.0 * r[MEMORY_FLOW].object_bytes);
    emit1(k, "pool", "table", 2.0 * r[MEMORY_FLOW_TABLE].object_bytes);
    emit1(k, "pool", "session", r[MEMORY_SESSION].object_bytes);
    emit1(k, "pool", "tls", r[MEMORY_TLS_SMALL].object_bytes);
    emit1(k, "pool", "timer", 2.0 * r[MEMORY_FLOW_TIMER].object_bytes + r[MEMORY_SESSION_TIMER].object_bytes);
    metric(k, "weir_memory_pool_bytes", "Bytes of a memory pool with everything in it in use, over all workers.", true);
    for (unsigned i = 0; i < MEMORY_POOL_COUNT; i++)
        emit1(k, "pool", r[i].name, (double)r[i].total_bytes);
    metric(k, "weir_memory_pool_objects_in_use", "Objects of our own pools in use, over all workers.", true);
    double flows = 0, sessions = 0, tls = 0;
    for (uint16_t i = 0; i < k->weir->n_workers; i++) {
        const struct worker *w = k->weir->workers[i];
        flows += w->tcp.conns.used;
        sessions += w->sessions.used;
        tls += w->tls.stats.conns;
    }
    emit1(k, "pool", "tcp flows", flows);
    emit1(k, "pool", "sessions", sessions);
    emit1(k, "pool", "tls", tls);
}

static void walk_build(struct walk *k) {
    metric(k, "weir_build_info", "Always 1, with the version of weir as a label.", true);
    emit1(k, "version", WEIR_VERSION, 1);
    metric(k, "weir_config_generation", "Snapshots published so far: 1 at start, one more each reload.", true);
    k->s.value = k->generation;
    k->emit(k->ctx, &k->s);
}

void stats_walk(const struct stats_source *source, stats_emit emit, void *ctx) {
    struct walk k = {.weir = source->weir,
                     .plan = source->plan,
                     .certs = source->certs,
                     .generation = __atomic_load_n(&source->generation, __ATOMIC_RELAXED),
                     .emit = emit,
                     .ctx = ctx};
    walk_build(&k);
    walk_ports(&k);
    walk_devices(&k);
    walk_mbufs(&k);
    per_worker(&k, worker_fields, WEIR_ARRAY_LEN(worker_fields), of_stats);
    walk_times(&k);
    walk_cycles(&k);
    walk_gauges(&k);
    walk_flows(&k);
    walk_drops(&k);
    per_worker(&k, tcp_fields, WEIR_ARRAY_LEN(tcp_fields), of_tcp);
    per_worker(&k, tls_fields, WEIR_ARRAY_LEN(tls_fields), of_tls);
    walk_handshakes(&k);
    walk_certs(&k);
    walk_mqtt(&k);
    walk_listeners(&k);
    walk_servers(&k);
    walk_server_tls(&k);
    walk_pool_certs(&k);
    walk_server_states(&k);
    walk_memory(&k);
}
