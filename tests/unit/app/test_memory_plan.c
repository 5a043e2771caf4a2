/* SPDX-License-Identifier: BSD-3-Clause */
/* The plan's counts by hand, its bounds, whether it fits, and the table that people read. */
#include "weir/memory_plan.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define MB (1ull << 20)

/* Two ports, one of them AF_XDP, and what the arguments say. */
static void config_make(struct config *c, uint32_t max_connections, uint16_t workers, bool tls, bool udp) {
    static char af_xdp[] = "net_af_xdp0,iface=a", tap[] = "net_tap0";
    memset(c, 0, sizeof(*c));
    c->memory.max_connections = max_connections;
    c->cores.n_workers = workers;
    c->n_ports = 2;
    c->ports[0].device = af_xdp;
    c->ports[1].device = tap;
    strcpy(c->ports[0].name, "front");
    strcpy(c->ports[1].name, "back");
    c->n_listeners = udp ? 2 : 1;
    c->listeners[0].tls = tls ? 0 : CONFIG_NONE;
    c->listeners[1].mode = CONFIG_MODE_UDP;
    c->listeners[1].tls = CONFIG_NONE;
}

static struct config config; /* too large for a stack */

/* Towards servers alone, then on both sides: a state each, handshakes in either case. */
Test(memory_plan, tls_towards_servers) {
    struct memory_plan p;
    config_make(&config, 100000, 2, false, false);
    config.n_pools = 1;
    config.pools[0].tls.on = true;
    memory_plan_make(&config, NULL, &p);
    cr_expect(p.tls_per_worker == 62500 && p.server_tls_per_worker == 62500);
    cr_expect(p.handshakes_per_worker == 4096 && p.key_cache_entries == 2048 && p.waiting_per_worker != 0);
    cr_expect(p.rows[MEMORY_TLS_LARGE].per_worker == 62500 && p.rows[MEMORY_SERVER_TLS].per_worker == 62500);
    config.listeners[0].tls = 0;
    memory_plan_make(&config, NULL, &p);
    cr_expect(p.tls_per_worker == 125000 && p.server_tls_per_worker == 62500);
    cr_expect(p.rows[MEMORY_TLS_LARGE].per_worker == 125000);
    config.pools[0].tls.on = false;
    memory_plan_make(&config, NULL, &p);
    cr_expect(p.tls_per_worker == 62500 && p.rows[MEMORY_SERVER_TLS].per_worker == 0);
}

/* Clients' chains are held while a handshake lasts, and who they are as long as they stay. */
Test(memory_plan, client_certificates) {
    struct memory_plan p;
    config_make(&config, 100000, 2, true, false);
    memory_plan_make(&config, NULL, &p);
    cr_expect_eq(p.rows[MEMORY_HANDSHAKE].object_bytes, TLS_HANDSHAKE_BYTES);
    cr_expect_eq(p.rows[MEMORY_IDENTITY].per_worker, 0);
    config.tls[0].tell_names = true;
    memory_plan_make(&config, NULL, &p);
    cr_expect_eq(p.rows[MEMORY_IDENTITY].per_worker, p.pairs_per_worker);
    cr_expect_eq(p.rows[MEMORY_IDENTITY].object_bytes, TLS_IDENTITY_NAMES_MAX);
    config.tls[0].client_certificates = TLS_CLIENT_CERTIFICATES_OPTIONAL;
    memory_plan_make(&config, NULL, &p);
    cr_expect_eq(p.rows[MEMORY_HANDSHAKE].object_bytes, TLS_HANDSHAKE_BYTES + TLS_CLIENT_CHAIN_BYTES);
    cr_expect_eq(p.rows[MEMORY_IDENTITY].object_bytes, TLS_IDENTITY_MAX);
    config.tls[0].keep_alt_names = 1u << TLS_ALT_DNS | 1u << TLS_ALT_URI;
    memory_plan_make(&config, NULL, &p);
    cr_expect_eq(p.rows[MEMORY_IDENTITY].object_bytes, TLS_IDENTITY_MAX + 2 * TLS_IDENTITY_ALT_MAX);
    config.tls[0].keep_certificate = true;
    memory_plan_make(&config, NULL, &p);
    cr_expect_eq(p.rows[MEMORY_IDENTITY].object_bytes,
                 TLS_IDENTITY_MAX + 2 * TLS_IDENTITY_ALT_MAX + TLS_IDENTITY_DER_MAX);
}

Test(memory_plan, counts_and_bytes) {
    struct memory_plan p;
    config_make(&config, 100000, 2, true, false);
    memory_plan_make(&config, NULL, &p);
    cr_expect(p.n_workers == 2 && p.pairs_per_worker == 62500, "100,000 / 2 x 1.25");
    cr_expect(p.flows_per_worker == 125000 && p.sessions_per_worker == 62500);
    cr_expect(p.udp_flows_per_worker == 0 && p.handshakes_per_worker == 4096 && p.key_cache_entries == 2048);
    cr_expect(p.rope_mbufs == 4096);
    cr_expect(p.waiting_per_worker == MEMORY_WAITING_MAX && p.waiting_large_per_worker == 512);
    cr_expect(p.rows[MEMORY_HELLO].per_worker == MEMORY_WAITING_MAX && p.rows[MEMORY_HELLO].object_bytes == 768);
    cr_expect(p.mbufs[1] == 1024 + 1024 + 256 + WEIR_RING_SIZE + 4096 + 512);
    cr_expect(p.mbufs[0] == p.mbufs[1] + 2048, "AF_XDP's fill queue");
    cr_expect(p.rows[MEMORY_FLOW].worker_bytes == 125000ull * 256);
    cr_expect(p.rows[MEMORY_FLOW].total_bytes == 2 * 125000ull * 256);
    cr_expect(p.rows[MEMORY_MBUF].per_worker == p.mbufs[0] + p.mbufs[1]);
    cr_expect(p.rows[MEMORY_RING].per_worker == 2);
    cr_expect(p.rows[MEMORY_MBUF].eal && !p.rows[MEMORY_FLOW].eal && !p.rows[MEMORY_FLOW_TABLE].eal);

    uint64_t own = 0, eal = 0;
    for (unsigned i = 0; i < MEMORY_POOL_COUNT; i++) {
        cr_expect(p.rows[i].name && p.rows[i].object_bytes);
        cr_expect(p.rows[i].total_bytes == 2 * p.rows[i].worker_bytes);
        if (i != MEMORY_TLS_SMALL)
            *(p.rows[i].eal ? &eal : &own) += p.rows[i].total_bytes;
    }
    cr_expect(p.own_bytes == own && p.eal_bytes == eal && p.total_bytes == own + eal);
    cr_expect(2 * p.worker_bytes == own + eal);
    cr_expect(p.eal_mb * MB > p.eal_bytes, "DPDK's own needs come on top");
}

Test(memory_plan, idle_connection_within_its_budget) {
    struct memory_plan p;
    config_make(&config, 1000, 1, true, false);
    memory_plan_make(&config, NULL, &p);
    cr_expect(p.idle_bytes == 2 * 256 + 2 * 16 + 2 * 11 + 160 + 128 + 16, "%u", p.idle_bytes);
    cr_expect(p.idle_large_bytes == p.idle_bytes + 64 && p.idle_large_bytes <= 1024);
}

Test(memory_plan, takes_the_sizes_it_is_given) {
    struct memory_sizes sizes = memory_sizes_default;
    struct memory_plan p;
    sizes.flow_bytes = 1000;
    sizes.mbuf_bytes = 3000;
    config_make(&config, 1000, 1, true, false);
    memory_plan_make(&config, &sizes, &p);
    cr_expect(p.rows[MEMORY_FLOW].object_bytes == 1000 && p.rows[MEMORY_MBUF].object_bytes == 3000);
    cr_expect(p.idle_bytes == 2 * (1000 + 16 + 11) + 160 + 128 + 16);
}

Test(memory_plan, plans_only_what_listeners_need) {
    struct memory_plan p;
    config_make(&config, 1000, 1, false, true);
    memory_plan_make(&config, NULL, &p);
    cr_expect(p.rows[MEMORY_TLS_SMALL].per_worker == 0 && p.rows[MEMORY_HANDSHAKE].per_worker == 0 &&
              p.rows[MEMORY_HELLO].per_worker == 0);
    cr_expect(p.udp_flows_per_worker == 1250 && p.rows[MEMORY_UDP_FLOW].per_worker == 1250);
    cr_expect(p.rows[MEMORY_FLOW_TABLE].per_worker == 2500 + 2500);
    cr_expect(p.rows[MEMORY_RING].per_worker == 0, "one worker hands nothing over");
}

Test(memory_plan, bounds_hold_at_both_ends) {
    struct memory_plan p;
    config_make(&config, 1, 32, true, true);
    memory_plan_make(&config, NULL, &p);
    cr_expect(p.pairs_per_worker == 1 && p.handshakes_per_worker == MEMORY_HANDSHAKES_MIN);
    cr_expect(p.waiting_per_worker == 1, "no more than there are");
    cr_expect(p.rope_mbufs == MEMORY_ROPE_MIN && p.udp_flows_per_worker == MEMORY_UDP_FLOWS_MIN);

    config_make(&config, 16000000, 1, true, true);
    config.n_ports = WEIR_MAX_PORTS;
    for (unsigned i = 0; i < WEIR_MAX_PORTS; i++)
        config.ports[i].device = config.ports[0].device;
    memory_plan_make(&config, NULL, &p);
    cr_expect(p.pairs_per_worker == 20000000 && p.flows_per_worker == 40000000);
    cr_expect(p.rope_mbufs == MEMORY_ROPE_MAX && p.handshakes_per_worker == MEMORY_HANDSHAKES_MAX);
    cr_expect(p.rows[MEMORY_FLOW].total_bytes == 40000000ull * 256);
    cr_expect(p.total_bytes > 18ull * 1000 * MB && p.eal_mb > 2000);
}

Test(memory_plan, fits_or_says_what_to_lower) {
    struct memory_plan p;
    struct memory_available a = {.available_bytes = 64ull << 30};
    char reason[400];
    config_make(&config, 100000, 1, true, false);
    memory_plan_make(&config, NULL, &p);
    cr_expect(memory_plan_fits(&p, &a, CONFIG_HUGEPAGES_AUTO, reason, sizeof(reason)) == 0 && !reason[0]);

    a.available_bytes = 100 * MB;
    cr_expect(memory_plan_fits(&p, &a, CONFIG_HUGEPAGES_AUTO, reason, sizeof(reason)) == WEIR_ENOMEM);
    cr_expect(strstr(reason, "memory.max_connections") && strstr(reason, "100 MB are available"), "%s", reason);
    cr_expect(strlen(reason) < sizeof(reason) - 1);

    /* Free huge pages are not part of MemAvailable: DPDK's share comes from them, where they may be used. */
    a.available_bytes = p.own_bytes;
    a.huge_free_bytes = 4ull << 30;
    cr_expect(memory_plan_fits(&p, &a, CONFIG_HUGEPAGES_AUTO, reason, sizeof(reason)) == 0, "%s", reason);
    cr_expect(memory_plan_fits(&p, &a, CONFIG_HUGEPAGES_OFF, reason, sizeof(reason)) == WEIR_ENOMEM);
}

Test(memory_plan, reads_the_machine) {
    struct memory_available a;
    cr_assert(memory_available_read(&a) == 0);
    cr_expect(a.available_bytes > 0 && a.available_bytes <= a.total_bytes);
}

Test(memory_plan, prints_a_table) {
    struct memory_plan p;
    struct memory_available a = {.available_bytes = 3 * MB, .huge_free_bytes = 2 * MB, .total_bytes = 4 * MB};
    char *text = NULL;
    size_t len = 0;
    config_make(&config, 100000, 2, true, false);
    memory_plan_make(&config, NULL, &p);
    FILE *out = open_memstream(&text, &len);
    memory_plan_print(&p, &config, &a, out);
    fclose(out);
    static const char *const lines[] = {
        "memory for 100000 connections on 2 workers (share x 1.25: 62500 pairs, 125000 TCP flows each)\n",
        "  tcp flows             256 B       125000        30.5 MB        61.0 MB  own\n",
        "mbufs of port front: 9984 a worker, 4096 of them for waiting data\n",
        "an idle proxied TLS MQTT connection: 870 B with AES-128-GCM, 934 B with other suites\n",
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(lines); i++)
        cr_expect(strstr(text, lines[i]), "no <%s> in\n%s", lines[i], text);
    cr_expect(!strstr(text, "udp flows"), "what is not needed is not shown");
    for (const char *line = text; *line; line = strchr(line, '\n') + 1)
        cr_expect(strcspn(line, "\n") <= 110, "%s", line);
    free(text);
}
