/* SPDX-License-Identifier: BSD-3-Clause */
#include "stats_int.h"

static void walk_turns(struct walk *k) {
    static const struct walk_field fields[] = {
        WALK_COUNTER(struct worker_stats, turns, "weir_worker_turns_total", "Turns of the worker's loop."),
        WALK_COUNTER(struct worker_stats, turns_busy, "weir_worker_busy_turns_total", "Turns that found work."),
        WALK_COUNTER(struct worker_stats, handoff_out, "weir_handoff_packets_total",
                     "Packets passed to the worker that owns them."),
        WALK_COUNTER(struct worker_stats, handoff_in, "weir_handoff_received_packets_total",
                     "Packets received from other workers."),
        WALK_COUNTER(struct worker_stats, return_out, "weir_return_packets_total",
                     "Frames sent through another worker's queue."),
        WALK_COUNTER(struct worker_stats, arp_in, "weir_arp_packets_total", "ARP packets received."),
        WALK_COUNTER(struct worker_stats, icmp_in, "weir_icmp_packets_total", "ICMP messages received."),
        WALK_COUNTER(struct worker_stats, udp_in, "weir_udp_forwarded_total", "Datagrams forwarded to servers."),
        WALK_COUNTER(struct worker_stats, udp_out, "weir_udp_returned_total", "Datagrams forwarded to clients."),
        WALK_COUNTER(struct worker_stats, source_ports_exhausted, "weir_source_ports_exhausted_total",
                     "Connections refused because every source port towards the server was in use."),
        WALK_COUNTER(struct worker_stats, probes_sent, "weir_health_probes_total", "Health probes started."),
        WALK_COUNTER(struct worker_stats, probes_ok, "weir_health_probes_ok_total", "Health probes that succeeded."),
    };
    static const struct walk_field times[] = {
        WALK_COUNTER(struct worker_stats, busy_tsc, "weir_worker_busy_seconds_total",
                     "Time spent in turns that found work."),
        WALK_COUNTER(struct worker_stats, idle_tsc, "weir_worker_idle_seconds_total",
                     "Time spent in empty turns and back-off."),
        WALK_GAUGE(struct worker_stats, longest_turn_tsc, "weir_worker_longest_turn_seconds", "Longest turn so far."),
    };
    size_t part = offsetof(struct worker, stats);
    walk_per_worker(k, fields, WEIR_ARRAY_LEN(fields), part, 1);
    walk_per_worker(k, times, WEIR_ARRAY_LEN(times), part, clock_tick_s(&k->weir->clock));
}

/* Sums of measured turns. Back-off is no part of a turn that found work. */
static void walk_cycles(struct walk *k) {
    static const struct walk_field turns =
        WALK_COUNTER(struct worker, cycles.busy.turns, "weir_worker_measured_turns_total",
                     "Turns that found work and were measured by stage.");
    char id[12];
    walk_per_worker(k, &turns, 1, 0, 1);
    walk_metric(k, "weir_worker_stage_cycles_total", "Cycles of the measured turns, by stage.", false);
    for (uint16_t i = 0; i < k->weir->n_workers; i++)
        for (unsigned s = 0; s < CYCLES_IDLE; s++)
            walk_emit2(k, "stage", cycles_stage_name((enum cycles_stage)s), "worker", walk_number(id, i),
                       (double)k->weir->workers[i]->cycles.busy.stages[s]);
}

static void walk_gauges(struct walk *k) {
    static const struct walk_field fields[] = {
        WALK_GAUGE(struct worker, sessions.used, "weir_sessions", "Client connections with a session."),
        WALK_GAUGE(struct worker, udp.flows.used, "weir_udp_flows", "UDP flows."),
        WALK_GAUGE(struct worker, tcp.half_open, "weir_tcp_half_open", "TCP connections in SYN_RECEIVED."),
        WALK_GAUGE(struct worker, tcp.stats.rx_mbufs, "weir_tcp_rx_mbufs",
                   "mbufs held by receive ropes and reassembly."),
        WALK_GAUGE(struct worker, tcp.stats.tx_mbufs, "weir_tcp_tx_mbufs", "mbufs held by send ropes."),
    };
    char id[12];
    walk_per_worker(k, fields, WEIR_ARRAY_LEN(fields), 0, 1);
    walk_metric(k, "weir_timers_armed", "Armed timer nodes.", true);
    for (uint16_t i = 0; i < k->weir->n_workers; i++) {
        const struct worker *w = k->weir->workers[i];
        walk_emit1(k, "worker", walk_number(id, i),
                   (double)w->tcp.wheel.armed + w->session_wheel.armed + w->udp.wheel.armed);
    }
}

static void walk_tcp(struct walk *k) {
    static const struct walk_field fields[] = {
#define X(name, help) WALK_COUNTER(struct tcp_stats, name, "weir_tcp_" #name "_total", help),
        TCP_COUNTERS(X)
#undef X
    };
    char id[12];
    walk_metric(k, "weir_tcp_flows", "TCP connections by state.", true);
    for (uint16_t i = 0; i < k->weir->n_workers; i++)
        for (unsigned s = 0; s < TCP_STATE_COUNT; s++)
            walk_emit2(k, "state", tcp_state_name((enum tcp_state)s), "worker", walk_number(id, i),
                       k->weir->workers[i]->tcp.stats.by_state[s]);
    walk_metric(k, "weir_tcp_ends_total", "TCP connections ended, by reason.", false);
    for (uint16_t i = 0; i < k->weir->n_workers; i++)
        for (unsigned e = 1; e < TCP_END_COUNT; e++)
            walk_emit2(k, "reason", tcp_end_name((enum tcp_end)e), "worker", walk_number(id, i),
                       (double)k->weir->workers[i]->tcp.stats.ends[e]);
    walk_per_worker(k, fields, WEIR_ARRAY_LEN(fields), offsetof(struct worker, tcp.stats), 1);
}

static void drop(struct walk *k, uint16_t worker, const char *layer, const char *reason, uint64_t n) {
    char id[12];
    walk_emit3(k, (struct stats_label){"layer", layer}, (struct stats_label){"reason", reason},
               (struct stats_label){"worker", walk_number(id, worker)}, (double)n);
}

static void walk_drops(struct walk *k) {
    walk_metric(k, "weir_drops_total", "Packets discarded and connections refused, by layer and reason.", false);
    for (uint16_t i = 0; i < k->weir->n_workers; i++) {
        const struct worker *w = k->weir->workers[i];
        for (unsigned d = 1; d < NET_DROP_COUNT; d++)
            drop(k, i, "net", net_drop_name((enum net_drop)d), w->stats.net_drops[d]);
        for (unsigned d = 1; d < TCP_DROP_COUNT; d++)
            drop(k, i, "tcp", tcp_drop_name((enum tcp_drop)d), w->tcp.stats.drops[d]);
        for (unsigned d = 1; d < TLS_DROP_COUNT; d++)
            drop(k, i, "tls", tls_drop_name((enum tls_drop)d), w->tls.stats.drops[d]);
        for (unsigned d = 1; d < MQTT_DROP_COUNT; d++)
            drop(k, i, "mqtt", mqtt_drop_name((enum mqtt_drop)d), w->stats.mqtt_drops[d]);
    }
}

void walk_workers(struct walk *k) {
    walk_turns(k);
    walk_cycles(k);
    walk_gauges(k);
    walk_tcp(k);
    walk_drops(k);
}
