/* SPDX-License-Identifier: BSD-3-Clause */
/* Fixed scenarios: one thing each, on a clean wire unless it is about the wire, with what has to be counted in the end.
 */
#include "sim_cases.h"

static uint64_t net_drops(const struct sim *sim, enum net_drop d) {
    uint64_t n = 0;
    for (uint16_t i = 0; i < sim->weir.n_workers; i++)
        n += sim->weir.workers[i]->stats.net_drops[d];
    return n;
}

/* --- servers --- */

static void broker_reset(struct sim_setup *s) {
    s->manners[SIM_MANNER_RESET] = 1;
}

static void broker_reset_check(struct sim *sim) {
    sim_expect_some(sim, SESSION_END_SERVER_RESET);
    sim_expect_ends(sim, SESSION_END_SERVER_CLOSED, 0);
}

static void broker_fin(struct sim_setup *s) {
    s->manners[SIM_MANNER_FIN] = 1;
}

static void broker_fin_check(struct sim *sim) {
    sim_expect_some(sim, SESSION_END_SERVER_CLOSED);
    sim_expect_ends(sim, SESSION_END_SERVER_RESET, 0);
}

static void broker_at_once(struct sim_setup *s) {
    s->manners[SIM_MANNER_RESET_AT_ONCE] = 1;
}

static void broker_at_once_check(struct sim *sim) {
    sim_expect_some(sim, SESSION_END_SERVER_RESET);
}

static void broker_mute(struct sim_setup *s) {
    ONLY(s, manners, SIM_MANNER_MUTE);
}

/* Clients lose patience and reset. */
static void broker_mute_check(struct sim *sim) {
    sim_expect_ends(sim, SESSION_END_CLIENT_RESET, sim->begun);
}

static void broker_refuses(struct sim_setup *s) {
    ONLY(s, manners, SIM_MANNER_REFUSE);
}

static void broker_garbage(struct sim_setup *s) {
    s->manners[SIM_MANNER_GARBAGE] = 1;
}

static void broker_garbage_check(struct sim *sim) {
    sim_expect_some(sim, SESSION_END_SERVER_PROTOCOL);
}

static void broker_pauses(struct sim_setup *s) {
    ONLY(s, manners, SIM_MANNER_PAUSE);
    s->message_bytes = 100000;
}

static void server_down(struct sim_setup *s) {
    s->n_clients = 60;
    s->rounds = 4;
    s->spread_us = 8 * SIM_SECOND;
    sim_setup_fault(s, SIM_FAULT_SERVER_REFUSES, SIM_SECOND / 10, 4 * SIM_SECOND, 0);
}

void sim_server_down_check(struct sim *sim) {
    uint64_t good = 0;
    sim_all_in_order(sim);
    if (sim_connect_failures(sim) == 0)
        sim_fail(sim, "nobody was sent to the server that was down");
    for (uint16_t i = 0; i < sim->weir.n_workers; i++) {
        good += sim->weir.workers[i]->stats.probes_ok;
        for (uint16_t k = 0; k < sim->setup.n_servers; k++)
            if (sim->weir.workers[i]->pools[0].servers[k].state != LB_UP)
                sim_fail(sim, "worker %u: server %u has not come back", i, k);
    }
    if (good == 0)
        sim_fail(sim, "no probe succeeded");
}

static void server_silent(struct sim_setup *s) {
    s->spread_us = 4 * SIM_SECOND;
    sim_setup_fault(s, SIM_FAULT_SERVER_SILENT, SIM_SECOND / 2, 30 * SIM_SECOND, 1);
}

static void all_down(struct sim_setup *s) {
    for (uint32_t i = 0; i < s->n_servers; i++)
        sim_setup_fault(s, SIM_FAULT_SERVER_REFUSES, 0, 3 * SIM_SECOND, i);
}

static void all_down_check(struct sim *sim) {
    sim_expect_some(sim, SESSION_END_NO_SERVER);
}

/* --- clients --- */

static void client_reset(struct sim_setup *s) {
    ONLY(s, endings, SIM_END_RST);
}

static void client_reset_check(struct sim *sim) {
    sim_expect_ends(sim, SESSION_END_CLIENT_RESET, sim->resets);
}

static void client_vanishes(struct sim_setup *s) {
    ONLY(s, endings, SIM_END_VANISH);
}

static void client_vanishes_check(struct sim *sim) {
    sim_expect_ends(sim, SESSION_END_CLIENT_TIMEOUT, sim->vanished);
}

static void client_stalls(struct sim_setup *s) {
    ONLY(s, endings, SIM_END_STALL);
    s->message_bytes = 100000;
}

static void client_cuts(struct sim_setup *s) {
    ONLY(s, endings, SIM_END_FIN);
    ONLY(s, kinds, SIM_KIND_MQTTS);
}

static void client_cuts_check(struct sim *sim) {
    sim_expect_ends(sim, SESSION_END_TLS_TRUNCATED, sim->begun);
}

static void client_half_closes(struct sim_setup *s) {
    ONLY(s, endings, SIM_END_FIN);
    ONLY(s, kinds, SIM_KIND_MQTT);
}

static void client_early(struct sim_setup *s) {
    ONLY(s, endings, SIM_END_EARLY);
    s->n_clients = 60;
}

static void client_hostile(struct sim_setup *s) {
    ONLY(s, kinds, SIM_KIND_GARBAGE);
    s->kinds[SIM_KIND_SILENT] = 1;
    s->n_clients = 60;
}

static void client_hostile_check(struct sim *sim) {
    sim_expect_some(sim, SESSION_END_MQTT_REFUSED);
    sim_expect_some(sim, SESSION_END_TLS_FAILED);
    sim_expect_some(sim, SESSION_END_CONNECT_TIMEOUT);
}

/* --- streams and datagrams --- */

static void bulk(struct sim_setup *s) {
    ONLY(s, kinds, SIM_KIND_TCP);
    s->kinds[SIM_KIND_TCPS] = s->kinds[SIM_KIND_ECHO] = 1;
    s->bulk_bytes = 1000000;
    s->link.loss_ppm = 3000;
}

static void datagrams(struct sim_setup *s) {
    ONLY(s, kinds, SIM_KIND_UDP);
    s->kinds[SIM_KIND_UDP_ECHO] = 1;
}

/* All source ports in turn: none is the echo listener's at their side, which would take the servers' answers. */
static void datagrams_check(struct sim *sim) {
    for (uint16_t i = 0; i < sim->weir.n_workers; i++) {
        struct lb_pool *p = &sim->weir.workers[i]->pools[SIM_POOL_DATAGRAMS];
        uint32_t addr_be;
        uint16_t port_be;
        for (uint32_t n = 0; n < 2 * 65536; n++) {
            if (lb_ports_take(p->ports, 0, p->servers[0].addr_be, p->servers[0].port_be, &addr_be, &port_be) != 0)
                break;
            lb_ports_give(p->ports, 0, addr_be, port_be);
            if (addr_be == SIM_WEIR_BACK && port_be == RTE_BE16(SIM_ECHO_BACK))
                sim_fail(sim, "worker %u would send from an echo listener's port", i);
        }
    }
}

/* A client whose last handshake message, data, close_notify and FIN come in one go, while the engine is still at work.
 */
static void behind_handshake(struct sim_setup *s) {
    ONLY(s, kinds, SIM_KIND_TCPS);
    s->handshake_core = true;
    s->bulk_bytes = 200;
    s->n_clients = 60;
}

/* Half of the suites stay with libssl on a core of its own: what it writes comes later than the FIN that follows it. */
static void libssl_elsewhere(struct sim_setup *s) {
    ONLY(s, kinds, SIM_KIND_TCPS);
    s->kinds[SIM_KIND_MQTTS] = 1;
    s->handshake_core = true;
    s->n_clients = 60;
}

/* A broker closes when it has a DISCONNECT, and may be ahead of the close_notify behind that, which libssl elsewhere
 * has yet to open. */
static void libssl_elsewhere_check(struct sim *sim) {
    sim_expect_all_accepted(sim);
    sim_expect_ends(sim, SESSION_END_CLIENT_CLOSED, sim->begun - sim_ends(sim, SESSION_END_SERVER_CLOSED));
}

static void proxy_v1(struct sim_setup *s) {
    s->proxy_protocol = 1;
}

static void proxy_v2(struct sim_setup *s) {
    s->proxy_protocol = 2;
}

/* --- scarcity --- */

static void famine(struct sim_setup *s) {
    for (uint32_t i = 0; i < 16; i++)
        sim_setup_fault(s, SIM_FAULT_FAMINE, i * 120000, 60000, i);
}

static void tx_stuck(struct sim_setup *s) {
    for (uint32_t i = 0; i < 16; i++)
        sim_setup_fault(s, SIM_FAULT_TX_STUCK, i * 150000, 100000, i);
    s->message_bytes = 100000;
}

static void handoff_full(struct sim_setup *s) {
    s->ring_slots = 16;
    s->per_packet = true;
    s->message_bytes = 100000;
    for (uint32_t i = 0; i < 10; i++)
        sim_setup_fault(s, SIM_FAULT_SLEEP, 50000 + i * 150000, 60000, i);
}

static void handoff_full_check(struct sim *sim) {
    sim_all_in_order(sim);
    if (net_drops(sim, NET_DROP_HANDOFF_FULL) == 0)
        sim_fail(sim, "no hand-off ring was full");
}

static void one_queue(struct sim_setup *s) {
    s->n_queues = 1;
    s->ring_slots = 16;
    s->message_bytes = 100000;
}

static void sessions_full(struct sim_setup *s) {
    s->pairs = 2;
    s->n_clients = 60;
    s->kinds[SIM_KIND_UDP] = 1;
    s->spread_us = 100000;
}

static void handshakes_queue(struct sim_setup *s) {
    ONLY(s, kinds, SIM_KIND_MQTTS);
    s->handshakes = 1;
    s->n_clients = 60;
    s->spread_us = 100000;
}

static void blackout(struct sim_setup *s) {
    sim_setup_fault(s, SIM_FAULT_BLACKOUT, 300000, 1500000, 0);
    sim_setup_fault(s, SIM_FAULT_BLACKOUT, 2500000, 1500000, 1);
}

static void noise(struct sim_setup *s) {
    sim_setup_fault(s, SIM_FAULT_NOISE, 0, 2 * SIM_SECOND, 0);
    sim_setup_fault(s, SIM_FAULT_NOISE, 0, 2 * SIM_SECOND, 1);
}

static void foul_wire(struct sim_setup *s) {
    s->link.loss_ppm = s->link.dup_ppm = s->link.reorder_ppm = 30000;
    s->link.corrupt_ppm = 10000;
}

static void drain(struct sim_setup *s) {
    s->drain_us = SIM_SECOND / 2;
    ONLY(s, manners, SIM_MANNER_PAUSE); /* so that some are left */
}

static void drain_check(struct sim *sim) {
    sim_expect_some(sim, SESSION_END_DRAINED);
}

static void nothing(struct sim_setup *s) {
    (void)s;
}

const struct sim_case sim_cases[] = {
    {"plain", nothing, sim_all_in_order},
    {"broker-reset", broker_reset, broker_reset_check},
    {"broker-reset-at-once", broker_at_once, broker_at_once_check},
    {"broker-fin", broker_fin, broker_fin_check},
    {"broker-mute", broker_mute, broker_mute_check},
    {"broker-refuses", broker_refuses, NULL},
    {"broker-garbage", broker_garbage, broker_garbage_check},
    {"broker-pauses", broker_pauses, sim_all_in_order},
    {"server-down", server_down, sim_server_down_check},
    {"server-silent", server_silent, NULL},
    {"all-down", all_down, all_down_check},
    {"client-reset", client_reset, client_reset_check},
    {"client-vanishes", client_vanishes, client_vanishes_check},
    {"client-stalls", client_stalls, sim_all_in_order},
    {"client-cuts", client_cuts, client_cuts_check},
    {"client-half-closes", client_half_closes, sim_all_in_order},
    {"client-early", client_early, NULL},
    {"client-hostile", client_hostile, client_hostile_check},
    {"bulk", bulk, sim_all_in_order},
    {"datagrams", datagrams, datagrams_check},
    {"behind-handshake", behind_handshake, sim_all_in_order},
    {"libssl-elsewhere", libssl_elsewhere, libssl_elsewhere_check},
    {"proxy-v1", proxy_v1, sim_all_in_order},
    {"proxy-v2", proxy_v2, sim_all_in_order},
    {"famine", famine, NULL},
    {"tx-stuck", tx_stuck, sim_all_in_order},
    {"handoff-full", handoff_full, handoff_full_check},
    {"one-queue", one_queue, sim_all_in_order},
    {"sessions-full", sessions_full, NULL},
    {"handshakes-queue", handshakes_queue, sim_all_in_order},
    {"blackout", blackout, NULL},
    {"noise", noise, NULL},
    {"foul-wire", foul_wire, NULL},
    {"drain", drain, drain_check},
};
const unsigned sim_n_cases = WEIR_ARRAY_LEN(sim_cases);
