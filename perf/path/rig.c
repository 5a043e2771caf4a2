/* SPDX-License-Identifier: BSD-3-Clause */
/* The worker, made as main.c makes it but for devices, secrets and the clock. */
#include "rig.h"

#include "eal.h"
#include "weir/mbuf_pools.h"

#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QUEUE_SLOTS 4096u
#define MBUFS       32767u /* of the worker, a port */
#define CACHE       MEMORY_MBUF_CACHE

void rig_fail(const char *what) {
    fprintf(stderr, "perf: %s\n", what);
    exit(2);
}

static void explain(const char *layer, const char *name, uint64_t n) {
    if (n != 0)
        fprintf(stderr, "perf:   %s: %s %lu\n", layer, name, (unsigned long)n);
}

void rig_explain(const struct rig *r, const char *how) {
    const struct worker *w = r->worker;
    for (unsigned l = 0; l < w->n_listeners; l++)
        for (unsigned e = 0; e < SESSION_END_COUNT; e++)
            explain("sessions", session_end_name(e), w->listeners[l].closed[e]);
    for (unsigned d = 0; d < NET_DROP_COUNT; d++)
        explain("net", net_drop_name(d), w->stats.net_drops[d]);
    for (unsigned d = 0; d < TCP_DROP_COUNT; d++)
        explain("tcp", tcp_drop_name(d), w->tcp.stats.drops[d]);
    for (unsigned d = 0; d < TLS_DROP_COUNT; d++)
        explain("tls", tls_drop_name(d), w->tls.stats.drops[d]);
    for (unsigned d = 0; d < MQTT_DROP_COUNT; d++)
        explain("mqtt", mqtt_drop_name(d), w->stats.mqtt_drops[d]);
    fprintf(stderr, "perf: the worker has ended a client's connection (%s)\n", how);
    exit(2);
}

static void must(bool ok, const char *what) {
    if (!ok)
        rig_fail(what);
}

/* --- devices --- */

static void device_make(struct rig *r, unsigned port) {
    static const struct rte_eth_conf conf; /* nothing asked of it */
    static const char *const names[] = {"front", "back"};
    char name[32];
    r->pool[port] = mbuf_pool_new(names[port], MBUFS, CACHE, mbuf_pool_room(1500, false), SOCKET_ID_ANY);
    snprintf(name, sizeof(name), "%s_rx", names[port]);
    r->rx[port] = rte_ring_create(name, QUEUE_SLOTS, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
    snprintf(name, sizeof(name), "%s_tx", names[port]);
    r->tx[port] = rte_ring_create(name, QUEUE_SLOTS, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
    must(r->pool[port] && r->rx[port] && r->tx[port], "no memory for queues");
    int id = rte_eth_from_rings(names[port], &r->rx[port], 1, &r->tx[port], 1, 0);
    must(id >= 0, "rte_eth_from_rings");
    r->eth_port[port] = (uint16_t)id;
    must(rte_eth_dev_configure((uint16_t)id, 1, 1, &conf) == 0 &&
             rte_eth_rx_queue_setup((uint16_t)id, 0, QUEUE_SLOTS, 0, NULL, r->pool[port]) == 0 &&
             rte_eth_tx_queue_setup((uint16_t)id, 0, QUEUE_SLOTS, 0, NULL) == 0 && rte_eth_dev_start((uint16_t)id) == 0,
         "setting up a net_ring port");
}

/* --- certificate and configuration --- */

static FILE *create(const char *folder, const char *name, char *path, size_t room) {
    snprintf(path, room, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    must(f != NULL, path);
    return f;
}

static void certificate_write(FILE *certificate, FILE *key_file) {
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    X509 *x = X509_new();
    must(key && x, "making a certificate");
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 30 * 86400);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)"perf", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    must(X509_sign(x, key, NULL) > 0, "signing a certificate");
    must(PEM_write_X509(certificate, x) && PEM_write_PrivateKey(key_file, key, NULL, NULL, 0, NULL, NULL),
         "writing a certificate");
    X509_free(x);
    EVP_PKEY_free(key);
}

static const char config_format[] =
    "cores: {control: 0, workers: [0], idle: poll}\n"
    "memory: {max_connections: %u, hugepages: off}\n"
    "timeouts: {connect_s: 3, handshake_s: 60, mqtt_connect_s: 60, drain_s: 0, udp_idle_s: 600}\n"
    "ports:\n"
    "  - {name: front, device: \"net_ring0\", addresses: [198.18.0.1/24]}\n"
    "  - {name: back, device: \"net_ring1\", addresses: [198.18.1.1/24]}\n"
    "tls:\n"
    "  - {name: t, certificate: server.crt, key: server.key}\n"
    "pools:\n"
    "  - {name: brokers, servers: [{name: b, address: \"198.18.1.20:1883\"}]}\n"
    "  - {name: bulk, servers: [{name: b, address: \"198.18.1.20:9000\"}]}\n"
    "  - {name: dgram, servers: [{name: b, address: \"198.18.1.20:9001\"}]}\n"
    "listeners:\n"
    "  - {name: mqtt, address: \"198.18.0.1:1883\", mode: mqtt, pool: brokers}\n"
    "  - {name: mqtts, address: \"198.18.0.1:8883\", mode: mqtt, tls: t, pool: brokers}\n"
    "  - {name: tcp, address: \"198.18.0.1:9000\", mode: tcp, pool: bulk}\n"
    "  - {name: tcps, address: \"198.18.0.1:9443\", mode: tcp, tls: t, pool: bulk}\n"
    "  - {name: echo, address: \"198.18.0.1:7\", mode: echo}\n"
    "  - {name: udp, address: \"198.18.0.1:9001\", mode: udp, pool: dgram}\n";

/* The certificate exists only while it is loaded. */
static void config_make(struct rig *r) {
    char folder[96], crt[128], key[128], text[2048], line[1024];
    const char *place = getenv("TMPDIR");
    struct config_error error;
    must(snprintf(folder, sizeof(folder), "%s/weir-perf-XXXXXX", place && *place ? place : "/tmp") <
             (int)sizeof(folder),
         "TMPDIR is too long");
    must(mkdtemp(folder) != NULL, "mkdtemp");
    FILE *c = create(folder, "server.crt", crt, sizeof(crt)), *k = create(folder, "server.key", key, sizeof(key));
    certificate_write(c, k);
    fclose(c);
    fclose(k);
    snprintf(text, sizeof(text), config_format, r->options.connections);
    line[0] = '\0';
    if (config_parse_buffer(text, strlen(text), "perf.yaml", folder, &r->config, &error) != 0)
        config_error_format(&error, line, sizeof(line));
    else
        r->weir.snapshot = snapshot_new(r->config, NULL, SNAPSHOT_ALL, NULL, line, sizeof(line));
    unlink(crt);
    unlink(key);
    rmdir(folder);
    must(r->weir.snapshot != NULL, line);
}

/* --- the worker --- */

static void port_make(struct rig *r, unsigned i) {
    const struct config_port *c = &r->config->ports[i];
    struct port *p = &r->weir.ports.port[i];
    snprintf(p->name, sizeof(p->name), "%s", c->name);
    p->n_queues = 1;
    p->multi_seg = true;
    p->hw_ip_cksum = p->hw_tcp_cksum = p->hw_udp_cksum = !r->options.software_checksums;
    p->queues[0] = (struct port_queue){r->eth_port[i], 0};
    p->pools[0] = r->pool[i];
    p->ifc = (struct net_if){.mac = {2, 0, 0, 0, 0, (uint8_t)i}, .mtu = c->mtu, .n_addrs = (uint8_t)c->n_addresses};
    for (uint16_t a = 0; a < c->n_addresses; a++) {
        p->ifc.addrs[a].addr_be = c->addresses[a].addr_be;
        p->ifc.addrs[a].mask_be = htonl(UINT32_MAX << (32 - c->addresses[a].prefix_len));
    }
}

void rig_open(struct rig *r, const struct rig_options *options) {
    static const uint8_t key[STEER_KEY_BYTES] = {1};
    char error[512] = "";
    memset(r, 0, sizeof(*r));
    r->options = *options;
    r->now_us = 1000000;
    eal_begin(512, NULL, 0);
    for (unsigned i = 0; i < RIG_PORTS; i++)
        device_make(r, i);
    config_make(r);
    memory_plan_make(r->config, NULL, &r->plan);
    r->plan.rope_mbufs = MBUFS / 2;
    r->weir.config = r->config;
    r->weir.n_workers = 1;
    r->weir.ports.n = RIG_PORTS;
    r->weir.secret[0] = 1;
    r->weir.secret[1] = 2;
    steer_init(&r->weir.steer, key, 1);
    for (unsigned i = 0; i < RIG_PORTS; i++)
        port_make(r, i);
    must(worker_rings_new(&r->weir) == 0, "no memory for rings");
    r->worker = r->weir.workers[0] = worker_new(&r->weir, 0, &r->plan, r->now_us, error, sizeof(error));
    must(r->worker != NULL, error);
}

void rig_close(struct rig *r) {
    void *m;
    worker_free(r->worker);
    worker_rings_free(&r->weir);
    snapshot_free(r->weir.snapshot);
    config_free(r->config);
    for (unsigned i = 0; i < RIG_PORTS; i++) {
        while (rte_ring_dequeue(r->rx[i], &m) == 0 || rte_ring_dequeue(r->tx[i], &m) == 0)
            rte_pktmbuf_free(m);
        must(rte_mempool_avail_count(r->pool[i]) == MBUFS, "the worker has kept mbufs");
    }
}

/* --- frames --- */

/* One mbuf with all bytes of the chain. */
static struct rte_mbuf *copy_of(const struct rte_mbuf *m, struct rte_mempool *pool, bool checksums_good) {
    struct rte_mbuf *copy = rte_pktmbuf_alloc(pool);
    must(copy != NULL, "out of mbufs");
    for (const struct rte_mbuf *s = m; s != NULL; s = s->next) {
        char *to = rte_pktmbuf_append(copy, s->data_len);
        must(to != NULL, "a frame larger than an mbuf");
        memcpy(to, rte_pktmbuf_mtod(s, const void *), s->data_len);
    }
    if (checksums_good)
        copy->ol_flags = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
    return copy;
}

void rig_put(struct rig *r, unsigned port, const struct rte_mbuf *m) {
    must(rte_ring_enqueue(r->rx[port], copy_of(m, r->pool[port], !r->options.software_checksums)) == 0,
         "the worker does not keep up with its receive ring");
}

uint16_t rig_take(struct rig *r, unsigned port, struct rte_mempool *pool, struct rte_mbuf **out, uint16_t max) {
    struct rte_mbuf *sent[64];
    unsigned n = rte_ring_dequeue_burst(r->tx[port], (void **)sent, max < 64 ? max : 64, NULL);
    for (unsigned i = 0; i < n; i++) {
        out[i] = copy_of(sent[i], pool, !r->options.software_checksums);
        rte_pktmbuf_free(sent[i]);
    }
    return (uint16_t)n;
}
