/* SPDX-License-Identifier: BSD-3-Clause */
/* What a handshake costs the load generator: cycles inside hs13 alone, the libssl server's share not counted. */
#include "perf/e2e/load/hs13.h"
#include "tests/eal.h"
#include "tls/tls_core.h"
#include "tls_server.h"

#include <rte_cycles.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 500

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

struct bench {
    struct rte_mempool *pool;
    struct hs13_core *core;
    struct tls_core records; /* only opens the ticket */
    struct tls_server server;
    struct hs13_result result;
    struct hs13_ticket ticket;
};

/* One handshake. Returns the client's cycles; `wire` is what is left to send. */
static uint64_t handshake(struct bench *b, uint16_t suite, const struct hs13_ticket *ticket, struct rope *wire) {
    static uint8_t flight[8192];
    struct rope in = {0};

    tls_server_connect(&b->server);
    uint64_t t0 = rte_rdtsc();
    struct hs13 *hs = hs13_new(b->core, suite, "weir.test", ticket, 1, wire);
    uint64_t cycles = rte_rdtsc() - t0;
    uint32_t n = tls_server_shake(&b->server, wire, flight, sizeof(flight));
    if (hs == NULL || rope_append(&in, b->pool, flight, n) < 0)
        exit(1);
    t0 = rte_rdtsc();
    int rc = hs13_input(hs, &in, wire, &b->result);
    cycles += rte_rdtsc() - t0;
    if (rc != 1 || b->result.resumed != (ticket != NULL)) {
        fprintf(stderr, "%d: %s\n", rc, hs13_error(hs));
        exit(1);
    }
    t0 = rte_rdtsc();
    hs13_free(hs);
    return cycles + rte_rdtsc() - t0;
}

static void on_ticket(void *ctx, uint32_t user, const uint8_t *message, uint32_t n) {
    struct bench *b = ctx;

    (void)user;
    if (hs13_ticket_parse(b->core, &b->result, message, n, 1, &b->ticket) < 0)
        exit(1);
}

/* Of a connection whose answer is `wire`. */
static void get_ticket(struct bench *b, struct rope *wire) {
    static uint8_t bytes[8192];
    struct rope in = {0}, plain = {0};
    tls_id id = tls_conn_adopt(&b->records, &b->result.agreed, 0);
    uint32_t n = tls_server_shake(&b->server, wire, bytes, sizeof(bytes));

    if (id == 0 || rope_append(&in, b->pool, bytes, n) < 0 ||
        tls_input(&b->records, id, &in, &plain, wire, TLS_RECORD_MAX) < 0)
        exit(1);
    tls_conn_free(&b->records, id);
    rope_clear(&in);
}

static void measure(struct bench *b, uint16_t suite, const char *name, const char *kind,
                    const struct hs13_ticket *ticket) {
    static uint64_t cycles[ROUNDS];

    for (int r = 0; r < ROUNDS; r++) {
        struct rope wire = {0};
        cycles[r] = handshake(b, suite, ticket, &wire);
        rope_clear(&wire);
    }
    qsort(cycles, ROUNDS, sizeof(cycles[0]), by_value);
    double us = (double)cycles[ROUNDS / 2] * 1e6 / (double)rte_get_tsc_hz();
    printf("%-29s %-8s %7lu cycles (min %6lu) %5.1f us, %.0f/s of client CPU\n", name, kind, cycles[ROUNDS / 2],
           cycles[0], us, 1e6 / us);
}

static void measure_suite(struct bench *b, uint16_t suite, const char *name) {
    struct rope wire = {0};

    tls_server_init(&b->server, true, name);
    measure(b, suite, name, "RSA", NULL);
    tls_server_fini(&b->server);
    tls_server_init(&b->server, false, name);
    measure(b, suite, name, "ECDSA", NULL);
    handshake(b, suite, NULL, &wire);
    get_ticket(b, &wire);
    measure(b, suite, name, "resumed", &b->ticket);
    tls_server_fini(&b->server);
}

int main(void) {
    static struct bench b;

    if (!test_eal(64))
        return 1;
    b.pool = rte_pktmbuf_pool_create("bench", 1023, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    struct tls_config config = {.max_conns = 2, .pool = b.pool, .ticket = on_ticket, .ticket_ctx = &b};
    b.core = hs13_core_new(4, b.pool);
    if (b.pool == NULL || b.core == NULL || tls_core_init(&b.records, &config) < 0)
        return 1;
    measure_suite(&b, 0x1301, "TLS_AES_128_GCM_SHA256");
    measure_suite(&b, 0x1302, "TLS_AES_256_GCM_SHA384");
    measure_suite(&b, 0x1303, "TLS_CHACHA20_POLY1305_SHA256");
    tls_core_fini(&b.records);
    hs13_core_free(b.core);
    return 0;
}
