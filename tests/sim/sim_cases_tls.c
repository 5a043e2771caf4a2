/* SPDX-License-Identifier: BSD-3-Clause */
/* Fixed scenarios of servers that speak TLS: what crosses it, how it is resumed, and what servers do wrong there. */
#include "sim_cases.h"

#include "weir/server_tls.h"

static uint64_t failures(const struct sim *sim, enum server_tls why) {
    uint64_t n = 0;
    for (uint16_t i = 0; i < sim->weir.n_workers; i++)
        for (unsigned s = 0; s < sim->config->n_servers; s++)
            n += sim->weir.workers[i]->servers[s].tls_failures[why];
    return n;
}

/* These reasons (bits) have occurred, and no other one. */
static void expect_failures(struct sim *sim, uint32_t reasons) {
    for (unsigned why = SERVER_TLS_OK + 1; why < SERVER_TLS_COUNT; why++) {
        uint64_t n = failures(sim, why);
        if ((n != 0) != (reasons >> why & 1))
            sim_fail(sim, "TLS with servers failed %lu times as %s", (unsigned long)n, server_tls_name(why));
    }
}

/* Both sides have seen the same handshakes, and a worker resumes with each server all but those that it began before
 * the first session had come. */
static void expect_resumed(struct sim *sim) {
    uint64_t done = 0, resumed = 0;
    for (uint16_t i = 0; i < sim->weir.n_workers; i++) {
        for (unsigned s = 0; s < sim->config->n_servers; s++) {
            done += sim->weir.workers[i]->servers[s].tls_handshakes;
            resumed += sim->weir.workers[i]->servers[s].tls_resumed;
        }
    }
    if (done != sim->shaken || resumed != sim->resumed)
        sim_fail(sim, "%lu handshakes with servers, %lu resumed; they say %lu, %lu", (unsigned long)done,
                 (unsigned long)resumed, (unsigned long)sim->shaken, (unsigned long)sim->resumed);
    if (resumed < done / 2)
        sim_fail(sim, "%lu of %lu handshakes resumed", (unsigned long)resumed, (unsigned long)done);
}

static void all_well(struct sim *sim) {
    sim_all_in_order(sim);
    expect_failures(sim, 0);
    expect_resumed(sim);
    if (sim_connect_failures(sim) != 0)
        sim_fail(sim, "%lu times a server was not reached", (unsigned long)sim_connect_failures(sim));
    if (sim->cut != 0)
        sim_fail(sim, "%lu streams towards servers ended without close_notify", (unsigned long)sim->cut);
}

/* Everything that crosses TLS towards servers, from clients with and without it. */
static void all_kinds(struct sim_setup *s) {
    s->server_tls = true;
    s->kinds[SIM_KIND_TCP] = s->kinds[SIM_KIND_TCPS] = 1;
    s->n_clients = 60;
    s->rounds = 4;
}

static void asking(struct sim_setup *s) {
    all_kinds(s);
    s->server_asks = true;
}

static void proxied(struct sim_setup *s) {
    all_kinds(s);
    s->proxy_protocol = 2;
}

static void bulk(struct sim_setup *s) {
    all_kinds(s);
    s->rounds = 1;
    s->n_clients = 24;
    s->bulk_bytes = 1000000;
    s->message_bytes = 100000;
    s->link.loss_ppm = 3000;
}

static void half_closed(struct sim_setup *s) {
    all_kinds(s);
    ONLY(s, endings, SIM_END_FIN);
    ONLY(s, kinds, SIM_KIND_MQTT);
}

/* Handshakes in both directions are the engine's, whichever core that is. */
static void elsewhere(struct sim_setup *s) {
    all_kinds(s);
    s->handshake_core = true;
}

static void elsewhere_check(struct sim *sim) {
    uint64_t steps = 0;
    /* A broker that closes on a DISCONNECT may be ahead of a close_notify that libssl elsewhere has yet to open. */
    sim_expect_all_accepted(sim);
    sim_expect_ends(sim, SESSION_END_CLIENT_CLOSED, sim->begun - sim_ends(sim, SESSION_END_SERVER_CLOSED));
    expect_failures(sim, 0);
    expect_resumed(sim);
    for (uint16_t i = 0; i < sim->weir.n_workers; i++) {
        steps += sim->weir.workers[i]->tls.stats.handshake_steps;
        if (sim->weir.workers[i]->inline_engine != NULL)
            sim_fail(sim, "worker %u has an engine of its own", i);
    }
    if (steps < 2 * sim->shaken) /* ClientHello, and at least one answer */
        sim_fail(sim, "%lu steps of the engine", (unsigned long)steps);
}

/* What libssl seals there comes back later: more must go to it when it does, and nothing may overtake it. */
static void libssl_elsewhere(struct sim_setup *s) {
    elsewhere(s);
    s->server_libssl = true;
    s->bulk_bytes = 400000;
}

static void queued(struct sim_setup *s) {
    all_kinds(s);
    s->handshakes = 1;
    s->spread_us = 100000;
}

/* --- keys that wear out (RFC 8446 5.5): a new one in 1.3, an end in order in 1.2 --- */

static void worn(struct sim_setup *s) {
    ONLY(s, kinds, SIM_KIND_MQTTS);
    s->kinds[SIM_KIND_TCPS] = 1;
    s->n_clients = 60;
    s->rounds = 4;
    s->record_limit = 12;
}

/* Who ends so is told in order, and is nobody's fault. */
static void worn_in_order(struct sim *sim) {
    uint64_t worn = sim_ends(sim, SESSION_END_TLS_KEY_USED_UP);
    sim_expect_all_accepted(sim);
    sim_expect_some(sim, SESSION_END_TLS_KEY_USED_UP);
    sim_expect_ends(sim, SESSION_END_CLIENT_CLOSED, sim->begun - worn);
    if (sim_connect_failures(sim) != 0)
        sim_fail(sim, "%lu times a server was not reached", (unsigned long)sim_connect_failures(sim));
}

static void worn_check(struct sim *sim) {
    uint64_t updates = 0;
    worn_in_order(sim);
    for (uint16_t i = 0; i < sim->weir.n_workers; i++)
        updates += sim->weir.workers[i]->tls.stats.key_updates_out;
    if (updates == 0)
        sim_fail(sim, "no KeyUpdate");
}

static void worn_bulk(struct sim_setup *s) {
    worn(s);
    s->rounds = 1;
    s->bulk_bytes = 1000000;
    s->message_bytes = 100000;
    s->link.loss_ppm = 3000;
}

/* Clients in the clear: the keys are those with servers. */
static void worn_brokers(struct sim_setup *s) {
    all_kinds(s);
    s->kinds[SIM_KIND_MQTTS] = s->kinds[SIM_KIND_TCPS] = 0;
    s->record_limit = 12;
}

static void worn_brokers_check(struct sim *sim) {
    worn_in_order(sim);
    expect_failures(sim, 1u << SERVER_TLS_KEY_USED_UP);
}

/* All that weir took of clients has been read by its server, whatever ended. */
static void nothing_lost(struct sim *sim) {
    uint64_t taken = 0;
    worn_in_order(sim);
    for (uint16_t i = 0; i < sim->weir.n_workers; i++)
        for (unsigned s = 0; s < sim->config->n_servers; s++)
            taken += sim->weir.workers[i]->servers[s].bytes_to;
    if (sim->opened[1] != taken)
        sim_fail(sim, "%lu bytes were taken for servers, which have read %lu", (unsigned long)taken,
                 (unsigned long)sim->opened[1]);
}

/* MQTT: what is queued for a server goes out, and then close_notify says that no more comes. */
static void worn_brokers_mqtt(struct sim_setup *s) {
    s->server_tls = s->one_way = true;
    ONLY(s, kinds, SIM_KIND_MQTT);
    s->n_clients = 120;
    s->messages = 1;
    s->message_bytes = 200000;
    s->record_limit = 12;
}

static void worn_brokers_mqtt_check(struct sim *sim) {
    nothing_lost(sim);
    expect_failures(sim, 1u << SERVER_TLS_KEY_USED_UP);
    if (sim->cut != 0)
        sim_fail(sim, "%lu streams towards servers ended without close_notify", (unsigned long)sim->cut);
}

/* Keys with clients, while what came under them is still being sealed for the server elsewhere. */
static void worn_elsewhere(struct sim_setup *s) {
    s->server_tls = s->server_libssl = s->handshake_core = s->one_way = true;
    ONLY(s, kinds, SIM_KIND_TCPS);
    s->bulk_bytes = 400000;
    s->record_limit = 12;
}

/* --- SSL objects of weir's own that are too few: nobody else is to blame --- */

static uint64_t tls_drops(const struct sim *sim, enum tls_drop d) {
    uint64_t n = 0;
    for (uint16_t i = 0; i < sim->weir.n_workers; i++)
        n += sim->weir.workers[i]->tls.stats.drops[d];
    return n;
}

/* Servers whose connections keep theirs, and last. */
static void stay(struct sim_setup *s) {
    s->server_tls = s->server_libssl = true;
    s->handshakes = 4;
    s->n_clients = 60;
    ONLY(s, manners, SIM_MANNER_PAUSE);
}

static void stay_check(struct sim *sim) {
    expect_failures(sim, 0);
    if (sim_connect_failures(sim) != 0)
        sim_fail(sim, "%lu times a server was not reached", (unsigned long)sim_connect_failures(sim));
    sim_expect_some(sim, SESSION_END_LIBSSL_FULL);
    if (sim_ends(sim, SESSION_END_LIBSSL_FULL) != tls_drops(sim, TLS_DROP_HS_LIBSSL_FULL))
        sim_fail(sim, "hs_libssl_full %lu times", (unsigned long)tls_drops(sim, TLS_DROP_HS_LIBSSL_FULL));
}

/* One server takes connections and says nothing; those to the others wait for the SSL objects that it holds. All have
 * come so close together that the time is up for all when those are free again. */
static void crowded(struct sim_setup *s) {
    s->server_tls = true;
    s->policy = "round-robin";
    s->handshakes = 4;
    s->n_clients = 120;
    s->spread_us = s->link.delay_us = 20000;
    sim_setup_fault(s, SIM_FAULT_SERVER_STALLS, 0, 10 * SIM_SECOND, 0);
}

static void crowded_check(struct sim *sim) {
    expect_failures(sim, 1u << SERVER_TLS_TIMEOUT);
    for (uint16_t i = 0; i < sim->weir.n_workers; i++)
        for (uint16_t k = 1; k < sim->setup.n_servers; k++)
            if (sim->weir.workers[i]->servers[k].connect_failures != 0)
                sim_fail(sim, "worker %u: server %u is said not to be reached", i, k);
    sim_expect_some(sim, SESSION_END_HANDSHAKE_REFUSED);
    if (tls_drops(sim, TLS_DROP_HS_QUEUE_TIMEOUT) < sim_ends(sim, SESSION_END_HANDSHAKE_REFUSED))
        sim_fail(sim, "hs_queue_timeout %lu times", (unsigned long)tls_drops(sim, TLS_DROP_HS_QUEUE_TIMEOUT));
}

/* --- servers at fault --- */

static void stalls(struct sim_setup *s) {
    s->server_tls = true;
    s->n_clients = 60;
    s->rounds = 4;
    s->spread_us = 8 * SIM_SECOND;
    sim_setup_fault(s, SIM_FAULT_SERVER_STALLS, SIM_SECOND / 10, 6 * SIM_SECOND, 0);
}

static void stalls_check(struct sim *sim) {
    sim_server_down_check(sim);
    expect_failures(sim, 1u << SERVER_TLS_TIMEOUT);
}

/* A server each, and a fourth that is good. */
static void wrong(struct sim_setup *s) {
    stalls(s);
    s->n_servers = 4;
    s->n_faults = 0;
    for (uint32_t i = 0; i < SIM_WRONG_CERTS; i++)
        sim_setup_fault(s, SIM_FAULT_SERVER_WRONG, SIM_SECOND / 10, 4 * SIM_SECOND, s->n_servers * i + i);
}

static void wrong_check(struct sim *sim) {
    sim_server_down_check(sim);
    expect_failures(sim, 1u << SERVER_TLS_UNTRUSTED | 1u << SERVER_TLS_NAME | 1u << SERVER_TLS_EXPIRED);
}

static void all_wrong(struct sim_setup *s) {
    s->server_tls = true;
    for (uint32_t i = 0; i < s->n_servers; i++)
        sim_setup_fault(s, SIM_FAULT_SERVER_WRONG, 0, 3 * SIM_SECOND, i);
}

static void all_wrong_check(struct sim *sim) {
    sim_expect_some(sim, SESSION_END_SERVER_UNVERIFIED);
    sim_expect_some(sim, SESSION_END_NO_SERVER);
}

static void cuts(struct sim_setup *s) {
    all_kinds(s);
    s->manners[SIM_MANNER_CUT] = 1;
}

static void cuts_check(struct sim *sim) {
    sim_expect_some(sim, SESSION_END_SERVER_TLS_TRUNCATED);
    sim_expect_ends(sim, SESSION_END_SERVER_CLOSED, 0);
}

static void closes(struct sim_setup *s) {
    all_kinds(s);
    s->manners[SIM_MANNER_FIN] = 1;
}

static void closes_check(struct sim *sim) {
    sim_expect_some(sim, SESSION_END_SERVER_CLOSED);
    sim_expect_ends(sim, SESSION_END_SERVER_TLS_TRUNCATED, 0);
}

/* --- clients and the wire --- */

static void client_resets(struct sim_setup *s) {
    s->server_tls = true;
    ONLY(s, endings, SIM_END_RST);
}

static void client_resets_check(struct sim *sim) {
    sim_expect_ends(sim, SESSION_END_CLIENT_RESET, sim->resets);
}

static void foul_wire(struct sim_setup *s) {
    all_kinds(s);
    s->link.loss_ppm = s->link.dup_ppm = s->link.reorder_ppm = 30000;
    s->link.corrupt_ppm = 10000;
    s->rounds = 2;
}

static void famine(struct sim_setup *s) {
    all_kinds(s);
    for (uint32_t i = 0; i < 16; i++)
        sim_setup_fault(s, SIM_FAULT_FAMINE, i * 120000, 60000, i);
}

const struct sim_case sim_tls_cases[] = {
    {"tls-brokers", all_kinds, all_well},
    {"tls-brokers-ask", asking, all_well},
    {"tls-brokers-proxied", proxied, all_well},
    {"tls-brokers-bulk", bulk, sim_all_in_order},
    {"tls-brokers-half-closed", half_closed, all_well},
    {"tls-brokers-elsewhere", elsewhere, elsewhere_check},
    {"tls-brokers-libssl-elsewhere", libssl_elsewhere, elsewhere_check},
    {"tls-brokers-queue", queued, sim_all_in_order},
    {"tls-keys-wear-out", worn, worn_check},
    {"tls-keys-wear-out-bulk", worn_bulk, worn_check},
    {"tls-keys-wear-out-brokers", worn_brokers, worn_brokers_check},
    {"tls-keys-wear-out-brokers-mqtt", worn_brokers_mqtt, worn_brokers_mqtt_check},
    {"tls-keys-wear-out-elsewhere", worn_elsewhere, nothing_lost},
    {"tls-brokers-stay", stay, stay_check},
    {"tls-brokers-crowded", crowded, crowded_check},
    {"tls-broker-stalls", stalls, stalls_check},
    {"tls-broker-wrong", wrong, wrong_check},
    {"tls-brokers-all-wrong", all_wrong, all_wrong_check},
    {"tls-broker-cuts", cuts, cuts_check},
    {"tls-broker-closes", closes, closes_check},
    {"tls-brokers-client-resets", client_resets, client_resets_check},
    {"tls-brokers-foul-wire", foul_wire, NULL},
    {"tls-brokers-famine", famine, NULL},
};
const unsigned sim_n_tls_cases = WEIR_ARRAY_LEN(sim_tls_cases);
