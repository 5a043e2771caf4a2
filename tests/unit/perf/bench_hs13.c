/* SPDX-License-Identifier: BSD-3-Clause */
/* What a handshake costs the load generator: cycles inside hs13 alone, the libssl server's share not counted. */
#include "perf/e2e/load/hs13.h"
#include "tls_server.h"

#include <rte_cycles.h>
#include <rte_eal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 500

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* One handshake. Returns the client's cycles. */
static uint64_t handshake(struct hs13_core *core, struct tls_server *server, uint16_t suite, struct rte_mempool *pool,
                          const struct hs13_ticket *ticket, struct hs13_result *result, uint8_t *flight) {
    struct rope in = {0}, out = {0};

    tls_server_connect(server);
    uint64_t t0 = rte_rdtsc();
    struct hs13 *hs = hs13_new(core, suite, NULL, ticket, 1, &out);
    uint64_t cycles = rte_rdtsc() - t0;
    uint32_t n = tls_server_shake(server, &out, flight, 8192);
    if (hs == NULL || rope_append(&in, pool, flight, n) < 0)
        exit(1);
    t0 = rte_rdtsc();
    int rc = hs13_input(hs, &in, &out, result);
    cycles += rte_rdtsc() - t0;
    if (rc != 1) {
        fprintf(stderr, "%d: %s\n", rc, hs13_error(hs));
        exit(1);
    }
    t0 = rte_rdtsc();
    hs13_free(hs);
    cycles += rte_rdtsc() - t0;
    rope_clear(&out);
    return cycles;
}

int main(void) {
    static const struct {
        uint16_t id;
        const char *name;
    } suites[] = {{0x1301, "TLS_AES_128_GCM_SHA256"},
                  {0x1302, "TLS_AES_256_GCM_SHA384"},
                  {0x1303, "TLS_CHACHA20_POLY1305_SHA256"}};
    static char text[][24] = {"bench",          "--no-huge", "--no-pci", "--no-shconf",
                              "--no-telemetry", "-m",        "64",       "--log-level=error"};
    static uint64_t cycles[ROUNDS];
    static uint8_t flight[8192];
    char *args[WEIR_ARRAY_LEN(text)];

    for (size_t i = 0; i < WEIR_ARRAY_LEN(text); i++)
        args[i] = text[i];
    if (rte_eal_init(WEIR_ARRAY_LEN(args), args) < 0)
        return 1;
    struct rte_mempool *pool = rte_pktmbuf_pool_create("bench", 1023, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    struct hs13_core *core = hs13_core_new(4, pool);
    if (pool == NULL || core == NULL)
        return 1;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(suites); i++)
        for (int rsa = 0; rsa <= 1; rsa++) {
            struct tls_server server;
            struct hs13_result result;
            tls_server_init(&server, rsa, suites[i].name);
            for (int r = 0; r < ROUNDS; r++)
                cycles[r] = handshake(core, &server, suites[i].id, pool, NULL, &result, flight);
            qsort(cycles, ROUNDS, sizeof(cycles[0]), by_value);
            double us = (double)cycles[ROUNDS / 2] * 1e6 / (double)rte_get_tsc_hz();
            printf("%-29s %-5s %7lu cycles (min %lu) %5.1f us, %.0f handshakes/s of client CPU\n", suites[i].name,
                   rsa ? "RSA" : "ECDSA", cycles[ROUNDS / 2], cycles[0], us, 1e6 / us);
            tls_server_fini(&server);
        }
    hs13_core_free(core);
    return 0;
}
