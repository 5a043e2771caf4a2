/* SPDX-License-Identifier: BSD-3-Clause */
/* The system under test, made as main.c makes it but for devices (net_ring), secrets (the seed's) and the clock. */
#define OPENSSL_SUPPRESS_DEPRECATED /* RAND_set_rand_method: the only way to make libssl repeat itself */
#include "sim.h"

#include "tests/eal.h"
#include "weir/health.h"
#include "weir/mbuf_pools.h"
#include "weir/server_tls.h"
#include "weir/session.h"

#include <arpa/inet.h>
#include <openssl/rand.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_random.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QUEUE_SLOTS 512u
/* The last of each is none that IPsec-MB takes over: its records stay with libssl. */
#define CIPHERS "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-SHA256"
#define SUITES  "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:TLS_AES_128_CCM_SHA256"

static struct {
    struct sim_queue queue[2][SIM_WORKERS];
    struct rte_mempool *pool[2][SIM_WORKERS], *host_pool[2];
    uint16_t eth_port[2];
    char folder[64];
    struct sim_rng random; /* OpenSSL's */
} world;

/* --- once a process --- */

static int random_bytes(unsigned char *out, int n) {
    for (int i = 0; i < n; i++)
        out[i] = (unsigned char)sim_rng_next(&world.random);
    return 1;
}

static int random_status(void) {
    return 1;
}

static const RAND_METHOD random_method = {.bytes = random_bytes, .pseudorand = random_bytes, .status = random_status};

static void must(bool ok, const char *what) {
    if (ok)
        return;
    fprintf(stderr, "simulation: %s failed\n", what);
    exit(2);
}

static void device_make(unsigned port) {
    static const struct rte_eth_conf conf; /* nothing asked of it */
    struct rte_ring *rx[SIM_WORKERS], *tx[SIM_WORKERS];
    char name[32];
    for (unsigned q = 0; q < SIM_WORKERS; q++) {
        snprintf(name, sizeof(name), "mbufs_p%u_w%u", port, q);
        world.pool[port][q] = mbuf_pool_new(name, SIM_MBUFS, 0, mbuf_pool_room(1500, false), SOCKET_ID_ANY);
        snprintf(name, sizeof(name), "rx%u%u", port, q);
        world.queue[port][q].rx = rx[q] = rte_ring_create(name, QUEUE_SLOTS, SOCKET_ID_ANY, 0);
        snprintf(name, sizeof(name), "tx%u%u", port, q);
        world.queue[port][q].tx = tx[q] = rte_ring_create(name, QUEUE_SLOTS, SOCKET_ID_ANY, 0);
        must(world.pool[port][q] && rx[q] && tx[q], "making queues");
    }
    snprintf(name, sizeof(name), "sim%u", port);
    int id = rte_eth_from_rings(name, rx, SIM_WORKERS, tx, SIM_WORKERS, 0);
    must(id >= 0, "rte_eth_from_rings");
    world.eth_port[port] = (uint16_t)id;
    must(rte_eth_dev_configure((uint16_t)id, SIM_WORKERS, SIM_WORKERS, &conf) == 0, "rte_eth_dev_configure");
    for (uint16_t q = 0; q < SIM_WORKERS; q++)
        must(rte_eth_rx_queue_setup((uint16_t)id, q, QUEUE_SLOTS, 0, NULL, world.pool[port][q]) == 0 &&
                 rte_eth_tx_queue_setup((uint16_t)id, q, QUEUE_SLOTS, 0, NULL) == 0,
             "setting up a queue");
    must(rte_eth_dev_start((uint16_t)id) == 0, "rte_eth_dev_start");
    snprintf(name, sizeof(name), "host%u", port);
    world.host_pool[port] =
        rte_pktmbuf_pool_create(name, SIM_HOST_MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    must(world.host_pool[port] != NULL, "making the hosts' buffers");
}

void sim_init(void) {
    must(test_eal(256), "rte_eal_init");
    RAND_set_rand_method(&random_method);
    sim_rng_seed(&world.random, 1);
    strcpy(world.folder, "/tmp/weir-sim-XXXXXX");
    must(mkdtemp(world.folder) != NULL, "mkdtemp");
    sim_tls_init(world.folder);
    device_make(0);
    device_make(1);
}

void sim_fini(void) {
    sim_tls_fini(world.folder);
    rmdir(world.folder);
}

const struct sim_queue *sim_weir_queue(uint32_t port, uint32_t queue) {
    return &world.queue[port][queue];
}

struct rte_mempool *sim_weir_pool(uint32_t port, uint32_t worker) {
    return world.pool[port][worker];
}

struct rte_mempool *sim_host_pool(uint32_t side) {
    return world.host_pool[side];
}

/* --- a run --- */

static int servers_text(const struct sim_setup *s, uint16_t port, char *text, size_t room) {
    int n = 0;
    for (unsigned i = 0; i < s->n_servers; i++)
        n += snprintf(text + n, room - (size_t)n, "      - {name: s%u, address: \"198.18.1.%u:%u\"}\n", i,
                      SIM_SERVER_HOST + i, port);
    return n;
}

static int pool_text(const struct sim_setup *s, const char *name, const char *policy, uint16_t port, char *text,
                     size_t room) {
    int n = snprintf(text, room, "  - name: %s\n    policy: %s\n    source_addresses: [198.18.1.1, 198.18.1.2]\n", name,
                     policy);
    if (s->proxy_protocol != 0 && port == SIM_MQTT)
        n += snprintf(text + n, room - (size_t)n, "    proxy_protocol: v%u\n", s->proxy_protocol);
    if (s->server_tls && port != SIM_UDP)
        n += snprintf(text + n, room - (size_t)n,
                      "    tls: {ca: servers.crt, ciphers: \"" CIPHERS "\", ciphersuites: \"" SUITES "\"%s}\n",
                      s->server_asks ? ", certificate: server.crt, key: server.key" : "");
    n += snprintf(text + n, room - (size_t)n, "    servers:\n");
    return n + servers_text(s, port, text + n, room - (size_t)n);
}

static void config_text(const struct sim_setup *s, char *text, size_t room) {
    int n = snprintf(text, room,
                     "cores: {control: 0, workers: [%s], idle: poll}\n"
                     "memory: {max_connections: 400, hugepages: off}\n"
                     "timeouts: {connect_s: 3, handshake_s: 15, mqtt_connect_s: 15, drain_s: 0, udp_idle_s: 10}\n"
                     "ports:\n"
                     "  - {name: front, device: \"net_ring0\", addresses: [198.18.0.1/24]}\n"
                     "  - {name: back, device: \"net_ring1\", addresses: [198.18.1.1/24]}\n"
                     "tls:\n  - {name: t, certificate: server.crt, key: server.key, ciphers: \"" CIPHERS
                     "\", ciphersuites: \"" SUITES "\"}\n"
                     "pools:\n",
                     s->n_workers == 2 ? "0, 0" : "0");
    n += pool_text(s, "brokers", s->policy, SIM_MQTT, text + n, room - (size_t)n);
    n += pool_text(s, "bulk", "least-connections", SIM_TCP, text + n, room - (size_t)n);
    n += pool_text(s, "dgram", "source", SIM_UDP, text + n, room - (size_t)n);
    snprintf(text + n, room - (size_t)n,
             "listeners:\n"
             "  - {name: mqtt, address: \"198.18.0.1:1883\", mode: mqtt, pool: brokers}\n"
             "  - {name: mqtts, address: \"198.18.0.1:8883\", mode: mqtt, tls: t, pool: brokers}\n"
             "  - {name: tcp, address: \"198.18.0.1:9000\", mode: tcp, pool: bulk}\n"
             "  - {name: tcps, address: \"198.18.0.1:9443\", mode: tcp, tls: t, pool: bulk}\n"
             "  - {name: echo, address: \"198.18.0.1:7\", mode: echo}\n"
             "  - {name: udp, address: \"198.18.0.1:9001\", mode: udp, pool: dgram}\n"
             "  - {name: echo_back, address: \"198.18.1.1:7007\", mode: echo}\n");
}

static bool config_make(struct sim *sim) {
    char text[8192], line[1024];
    struct config_error error;
    config_text(&sim->setup, text, sizeof(text));
    if (config_parse_buffer(text, strlen(text), "sim.yaml", world.folder, &sim->config, &error) == 0)
        return true;
    sim_fail(sim, "%s", config_error_format(&error, line, sizeof(line)));
    return false;
}

static void port_make(struct sim *sim, unsigned i) {
    const struct config_port *c = &sim->config->ports[i];
    struct port *p = &sim->weir.ports.port[i];
    snprintf(p->name, sizeof(p->name), "%s", c->name);
    p->n_queues = sim->setup.n_queues;
    p->multi_seg = sim->setup.multi_seg;
    p->hw_ip_cksum = p->hw_tcp_cksum = sim->setup.hw_cksum;
    p->steered = sim->setup.steered;
    for (uint16_t q = 0; q < SIM_WORKERS; q++) {
        p->queues[q] = (struct port_queue){world.eth_port[i], q};
        p->pools[q] = world.pool[i][q];
    }
    p->ifc = (struct net_if){.mac = {2, 0, 0, 0, 0, (uint8_t)i}, .mtu = c->mtu, .n_addrs = (uint8_t)c->n_addresses};
    for (uint16_t a = 0; a < c->n_addresses; a++) {
        p->ifc.addrs[a].addr_be = c->addresses[a].addr_be;
        p->ifc.addrs[a].mask_be = htonl(UINT32_MAX << (32 - c->addresses[a].prefix_len));
    }
}

static void plan_make(struct sim *sim) {
    memory_plan_make(sim->config, NULL, &sim->plan);
    if (sim->setup.pairs != 0) {
        sim->plan.pairs_per_worker = sim->plan.sessions_per_worker = sim->setup.pairs;
        sim->plan.flows_per_worker = 2 * sim->setup.pairs;
        sim->plan.udp_flows_per_worker = sim->setup.pairs;
    }
    if (sim->setup.handshakes != 0)
        sim->plan.handshakes_per_worker = sim->setup.handshakes;
    sim->plan.rope_mbufs = SIM_MBUFS / 2;
}

/* Rings smaller than the product's are full sooner. */
static bool rings_make(struct sim *sim) {
    if (worker_rings_new(&sim->weir) != 0)
        return false;
    if (sim->setup.ring_slots == 0 || sim->weir.n_workers == 1)
        return true;
    for (unsigned from = 0; from < 2; from++) {
        char name[32];
        struct rte_ring **rx = &sim->weir.rx_rings[from][!from], **tx = &sim->weir.tx_rings[from][!from];
        rte_ring_free(*rx);
        rte_ring_free(*tx);
        snprintf(name, sizeof(name), "small_rx_%u", from);
        *rx = rte_ring_create(name, sim->setup.ring_slots, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
        snprintf(name, sizeof(name), "small_tx_%u", from);
        *tx = rte_ring_create(name, sim->setup.ring_slots, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
        if (*rx == NULL || *tx == NULL)
            return false;
    }
    return true;
}

bool sim_weir_open(struct sim *sim) {
    struct weir *weir = &sim->weir;
    uint8_t key[STEER_KEY_BYTES];
    char error[512] = "";
    sim_rng_seed(&world.random, sim->setup.seed ^ 0x55);
    rte_srand(sim->setup.seed);
    if (!config_make(sim))
        return false;
    plan_make(sim);
    for (unsigned i = 0; i < STEER_KEY_BYTES; i++)
        key[i] = (uint8_t)sim_rng_next(&world.random);
    weir->config = sim->config;
    weir->n_workers = sim->setup.n_workers;
    weir->ports.n = 2;
    weir->secret[0] = sim_rng_next(&world.random);
    weir->secret[1] = sim_rng_next(&world.random);
    steer_init(&weir->steer, key, weir->n_workers);
    port_make(sim, 0);
    port_make(sim, 1);
    weir->snapshot = snapshot_new(sim->config, NULL, SNAPSHOT_ALL, NULL, error, sizeof(error));
    if (weir->snapshot == NULL || !rings_make(sim)) {
        sim_fail(sim, "set-up: %s", error);
        return false;
    }
    if (sim->setup.handshake_core) {
        weir->engines[0] = tls_engine_new(sim->plan.handshakes_per_worker * weir->n_workers);
        weir->n_engines = weir->engines[0] != NULL;
    }
    for (uint16_t i = 0; i < weir->n_workers; i++) {
        weir->workers[i] = worker_new(weir, i, &sim->plan, sim->now_us, error, sizeof(error));
        if (weir->workers[i] == NULL) {
            sim_fail(sim, "set-up: %s", error);
            return false;
        }
        if (sim->setup.record_limit != 0)
            weir->workers[i]->tls.gcm_record_limit = sim->setup.record_limit;
    }
    return true;
}

void sim_weir_close(struct sim *sim) {
    for (uint16_t i = 0; i < sim->weir.n_workers; i++)
        worker_free(sim->weir.workers[i]);
    tls_engine_free(sim->weir.engines[0]);
    worker_rings_free(&sim->weir);
    snapshot_free(sim->weir.snapshot);
    config_free(sim->config);
}

/* --- what must be empty at the end --- */

struct report {
    char *text;
    size_t room, used;
    bool clean;
};

static void expect_none(struct report *r, unsigned worker, const char *what, uint64_t n) {
    if (n == 0)
        return;
    r->clean = false;
    if (r->used + 80 < r->room)
        r->used += (size_t)snprintf(r->text + r->used, r->room - r->used, "; worker %u: %s %lu", worker, what,
                                    (unsigned long)n);
}

static void check_lb(struct report *r, const struct worker *w) {
    for (uint16_t p = 0; p < w->n_pools; p++) {
        for (uint16_t s = 0; s < w->pools[p].n_servers; s++) {
            expect_none(r, w->index, "source ports in use", lb_ports_used(w->pools[p].ports, s));
            expect_none(r, w->index, "connections of a server", w->pools[p].servers[s].connections);
            expect_none(r, w->index, "open of a server", w->servers[w->pools[p].servers[s].server_id].open);
        }
    }
}

static void check_listeners(struct report *r, const struct worker *w) {
    for (uint16_t i = 0; i < w->n_listeners; i++) {
        const struct worker_listener *l = &w->listeners[i];
        uint64_t closed = 0;
        for (unsigned e = 0; e < SESSION_END_COUNT; e++)
            closed += l->closed[e];
        expect_none(r, w->index, "open of a listener", l->open);
        expect_none(r, w->index, "ends without a reason", l->closed[SESSION_END_NONE]);
        if (w->weir->config->listeners[i].mode != CONFIG_MODE_UDP)
            expect_none(r, w->index, "accepted less ended", l->accepted - closed);
    }
}

static void check_tcp(struct report *r, const struct worker *w) {
    const struct tcp_core *t = &w->tcp;
    expect_none(r, w->index, "flows", t->conns.used);
    expect_none(r, w->index, "reassembly records", t->reasm.used);
    expect_none(r, w->index, "flow table entries", t->table.used);
    expect_none(r, w->index, "flow timers", t->wheel.armed);
    expect_none(r, w->index, "READY flows", t->ready.count);
    expect_none(r, w->index, "half-open flows", t->half_open);
    expect_none(r, w->index, "receive mbufs counted", t->stats.rx_mbufs);
    expect_none(r, w->index, "send mbufs counted", t->stats.tx_mbufs);
    for (unsigned k = 0; k < TCP_REPLY_KINDS; k++)
        expect_none(r, w->index, "answers waiting", t->replies[k].tail - t->replies[k].head);
    for (unsigned s = 0; s < TCP_STATE_COUNT; s++)
        expect_none(r, w->index, tcp_state_name(s), t->stats.by_state[s]);
}

static void check_worker(struct report *r, const struct worker *w) {
    expect_none(r, w->index, "sessions", w->sessions.used);
    expect_none(r, w->index, "session timers", w->session_wheel.armed);
    expect_none(r, w->index, "TLS towards servers", w->server_tls.used);
    expect_none(r, w->index, "probes", w->probes.used);
    check_tcp(r, w);
    expect_none(r, w->index, "TLS states", w->tls.conns.used);
    expect_none(r, w->index, "TLS long keys", w->tls.exts.used);
    expect_none(r, w->index, "TLS clients", w->tls.clients.used);
    expect_none(r, w->index, "TLS tickets", w->tls.tickets.used);
    expect_none(r, w->index, "TLS handshake places", w->tls.places.used);
    expect_none(r, w->index, "SSL objects", w->tls.stats.ssl_objects);
    expect_none(r, w->index, "TLS states counted", w->tls.stats.conns);
    expect_none(r, w->index, "UDP flows", w->udp.flows.used);
    expect_none(r, w->index, "UDP table entries", w->udp.table.used);
    expect_none(r, w->index, "UDP timers", w->udp.wheel.armed);
    for (uint16_t p = 0; p < w->n_ports; p++) {
        struct arp_stats arp;
        arp_table_stats(w->ports[p].arp, &arp);
        expect_none(r, w->index, "packets waiting for ARP", arp.waiting);
        expect_none(r, w->index, "frames pending", w->ports[p].n_pending);
    }
    check_listeners(r, w);
    check_lb(r, w);
}

bool sim_weir_clean(const struct sim *sim, char *text, size_t room) {
    struct report r = {text, room, 0, true};
    const struct weir *weir = &sim->weir;
    text[0] = '\0';
    for (uint16_t i = 0; i < weir->n_workers; i++) {
        check_worker(&r, weir->workers[i]);
        for (uint16_t to = 0; to < weir->n_workers; to++) {
            if (to == i)
                continue;
            expect_none(&r, i, "packets on a hand-off ring", rte_ring_count(weir->rx_rings[i][to]));
            expect_none(&r, i, "packets on a return ring", rte_ring_count(weir->tx_rings[i][to]));
        }
        for (uint32_t p = 0; p < 2; p++)
            expect_none(&r, i, "mbufs missing", SIM_MBUFS - rte_mempool_avail_count(world.pool[p][i]));
    }
    return r.clean;
}

/* --- what it counted --- */

uint64_t sim_ends(const struct sim *sim, enum session_end end) {
    uint64_t n = 0;
    for (uint16_t i = 0; i < sim->weir.n_workers; i++)
        for (uint16_t l = 0; l < sim->weir.workers[i]->n_listeners; l++)
            n += sim->weir.workers[i]->listeners[l].closed[end];
    return n;
}

uint64_t sim_accepted(const struct sim *sim) {
    uint64_t n = 0;
    for (uint16_t i = 0; i < sim->weir.n_workers; i++)
        for (uint16_t l = 0; l < sim->weir.workers[i]->n_listeners; l++)
            if (sim->config->listeners[l].mode != CONFIG_MODE_UDP)
                n += sim->weir.workers[i]->listeners[l].accepted;
    return n;
}

static void print(FILE *out, const char *what, const char *name, uint64_t n) {
    if (n != 0)
        fprintf(out, " %s%s%s %lu", what, *what ? " " : "", name, (unsigned long)n);
}

void sim_weir_print(const struct sim *sim, FILE *out) {
    for (uint16_t i = 0; i < sim->weir.n_workers; i++) {
        const struct worker *w = sim->weir.workers[i];
        fprintf(out, "  worker %u:", i);
        for (unsigned e = 0; e < SESSION_END_COUNT; e++) {
            uint64_t n = 0;
            for (uint16_t l = 0; l < w->n_listeners; l++)
                n += w->listeners[l].closed[e];
            print(out, "", session_end_name(e), n);
        }
        for (unsigned d = 0; d < TLS_DROP_COUNT; d++)
            print(out, "tls", tls_drop_name(d), w->tls.stats.drops[d]);
        for (unsigned d = 0; d < NET_DROP_COUNT; d++)
            print(out, "net", net_drop_name(d), w->stats.net_drops[d]);
        for (unsigned d = 0; d < TCP_DROP_COUNT; d++)
            print(out, "tcp", tcp_drop_name(d), w->tcp.stats.drops[d]);
        for (unsigned e = 0; e < TCP_END_COUNT; e++)
            print(out, "flow", tcp_end_name(e), w->tcp.stats.ends[e]);
        for (unsigned d = 0; d < MQTT_DROP_COUNT; d++)
            print(out, "mqtt", mqtt_drop_name(d), w->stats.mqtt_drops[d]);
        print(out, "tls", "handshakes", w->tls.stats.handshakes_done);
        print(out, "tls", "resumed", w->tls.stats.handshakes_resumed);
        for (unsigned s = 0; s < sim->config->n_servers; s++)
            for (unsigned f = SERVER_TLS_OK + 1; f < SERVER_TLS_COUNT; f++)
                print(out, "server", server_tls_name(f), w->servers[s].tls_failures[f]);
        print(out, "tls", "no mbuf", w->tls.stats.no_mbuf);
        print(out, "", "probes", w->stats.probes_sent);
        print(out, "", "probes good", w->stats.probes_ok);
        print(out, "", "handed over", w->stats.handoff_in);
        print(out, "", "tcp no mbuf", w->tcp.stats.no_mbuf);
        fputc('\n', out);
    }
}

uint64_t sim_connect_failures(const struct sim *sim) {
    uint64_t n = 0;
    for (uint16_t i = 0; i < sim->weir.n_workers; i++)
        for (unsigned s = 0; s < sim->config->n_servers; s++)
            n += sim->weir.workers[i]->servers[s].connect_failures;
    return n;
}
