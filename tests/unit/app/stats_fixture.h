/* SPDX-License-Identifier: BSD-3-Clause */
/* A weir made by hand, for the views of its statistics: two ports, three listeners, two pools of servers, and workers
 * that never ran. */
#ifndef WEIR_STATS_FIXTURE_H
#define WEIR_STATS_FIXTURE_H

#include <criterion/criterion.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/eal.h"
#include "tests/self_signed.h"
#include "weir/stats.h"

#define FIXTURE_HZ 1000000000ull /* of the workers' clock */

struct stats_fixture {
    struct config config;
    struct memory_plan plan;
    struct weir weir;
    struct cert_table certs;
    struct stats_source source;
};

static struct stats_fixture fx; /* too large for a stack */

static inline void fixture_names(struct config *c) {
    static const char *const listeners[] = {"mqtts", "mqtt", "coap"}, *const ports[] = {"front", "back"};
    c->n_ports = WEIR_ARRAY_LEN(ports);
    for (uint16_t i = 0; i < c->n_ports; i++)
        snprintf(c->ports[i].name, sizeof(c->ports[i].name), "%s", ports[i]);
    c->n_listeners = WEIR_ARRAY_LEN(listeners);
    for (uint16_t i = 0; i < c->n_listeners; i++)
        snprintf(c->listeners[i].name, sizeof(c->listeners[i].name), "%s", listeners[i]);
    c->n_pools = 2;
    for (uint16_t p = 0; p < c->n_pools; p++) {
        snprintf(c->pools[p].name, sizeof(c->pools[p].name), "pool%u", p);
        c->pools[p].n_servers = 2;
        for (uint16_t s = 0; s < 2; s++) {
            c->pools[p].servers[s].id = c->n_servers++;
            snprintf(c->pools[p].servers[s].name, sizeof(c->pools[p].servers[s].name), "b%u", s + 1);
        }
    }
}

/* A pool that holds n mbufs, all of them there. */
static inline struct rte_mempool *fixture_pool(uint16_t port, uint16_t worker, unsigned n) {
    char name[RTE_MEMPOOL_NAMESIZE];
    snprintf(name, sizeof(name), "mbufs_p%u_w%u", port, worker);
    struct rte_mempool *mp = rte_pktmbuf_pool_create(name, n, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    cr_assert(mp != NULL);
    return mp;
}

static inline void fixture_eal(void) {
    cr_assert(test_eal(64), "EAL does not start");
}

/* A self-signed certificate that `tls` entry "default" serves; it expires in an hour. */
static inline void fixture_certificate(void) {
    char file[] = "/tmp/weir-stats-XXXXXX", error[256];
    self_signed_file(file, 3600);
    struct tls_ctx_config tc = {.name = "default", .certificate_file = file, .key_file = file};
    struct tls_client_ctx_config cc = {.name = "pool0", .verify_off = true, .certificate_file = file, .key_file = file};
    struct snapshot s = {.tls = {tls_ctx_new(&tc, error, sizeof(error))},
                         .pools = {tls_client_ctx_new(&cc, error, sizeof(error))}};
    unlink(file);
    cr_assert(s.tls[0] != NULL && s.pools[0] != NULL, "%s", error);
    fx.config.n_tls = 1;
    strcpy(fx.config.tls[0].name, "default");
    cert_table_init(&fx.certs);
    cert_table_publish(&fx.certs, &s);
    tls_ctx_unref(s.tls[0]);
    tls_ctx_unref(s.pools[0]);
    fx.config.pools[0].tls.on = true;
}

static inline void fixture_make(uint16_t n_workers) {
    static char device[] = "net_null0";
    fixture_names(&fx.config);
    fx.config.memory.max_connections = 1000;
    fx.config.cores.n_workers = n_workers;
    for (uint16_t i = 0; i < fx.config.n_ports; i++)
        fx.config.ports[i].device = device;
    memory_plan_make(&fx.config, NULL, &fx.plan);
    fx.weir.config = &fx.config;
    fx.weir.clock.mult = (uint64_t)(((unsigned __int128)1000000 << 32) / FIXTURE_HZ);
    fx.weir.n_workers = n_workers;
    fx.weir.ports.n = fx.config.n_ports;
    for (uint16_t i = 0; i < n_workers; i++) {
        fx.weir.workers[i] = aligned_alloc(WEIR_CACHE_LINE, RTE_ALIGN_CEIL(sizeof(struct worker), WEIR_CACHE_LINE));
        cr_assert(fx.weir.workers[i] != NULL);
        memset(fx.weir.workers[i], 0, sizeof(struct worker));
    }
    for (uint16_t p = 0; p < fx.weir.ports.n; p++) {
        memcpy(fx.weir.ports.port[p].name, fx.config.ports[p].name, sizeof(fx.config.ports[p].name));
        for (uint16_t i = 0; i < n_workers; i++)
            fx.weir.ports.port[p].pools[i] = fixture_pool(p, i, 15);
    }
    fx.source = (struct stats_source){.weir = &fx.weir, .plan = &fx.plan, .certs = &fx.certs, .generation = 1};
    fixture_certificate();
}

static inline void fixture_free(void) {
    for (uint16_t p = 0; p < fx.weir.ports.n; p++)
        for (uint16_t i = 0; i < fx.weir.n_workers; i++)
            rte_mempool_free(fx.weir.ports.port[p].pools[i]);
    for (uint16_t i = 0; i < fx.weir.n_workers; i++)
        free(fx.weir.workers[i]);
    cert_table_fini(&fx.certs);
    memset(&fx, 0, sizeof(fx));
}

#endif
