/* SPDX-License-Identifier: BSD-3-Clause */
/* The memory plan as the table of `weir --check`. */
#include "memory_plan.h"

static void print_bytes(FILE *out, uint64_t bytes) {
    static const char *const units[] = {"B ", "KB", "MB", "GB", "TB"};
    double value = (double)bytes;
    unsigned unit = 0;
    while (value >= 1024 && unit + 1 < WEIR_ARRAY_LEN(units)) {
        value /= 1024;
        unit++;
    }
    fprintf(out, "%10.*f %s", unit ? 1 : 0, value, units[unit]);
}

static void print_row(FILE *out, const struct memory_row *r) {
    fprintf(out, "  %-16s %8u B %12u  ", r->name, r->object_bytes, r->per_worker);
    print_bytes(out, r->worker_bytes);
    fputs("  ", out);
    print_bytes(out, r->total_bytes);
    fprintf(out, "  %s\n", r->eal ? "DPDK" : "own");
}

static void print_sum(FILE *out, const char *name, uint64_t bytes, const char *text) {
    fprintf(out, "  %-16s", name);
    print_bytes(out, bytes);
    fprintf(out, "  %s\n", text);
}

void memory_plan_print(const struct memory_plan *plan, const struct config *c, const struct memory_available *a,
                       FILE *out) {
    fprintf(out, "memory for %u connections on %u worker%s (share x 1.25: %u pairs, %u TCP flows each)\n",
            c->memory.max_connections, plan->n_workers, plan->n_workers == 1 ? "" : "s", plan->pairs_per_worker,
            plan->flows_per_worker);
    fprintf(out, "  %-16s %10s %12s  %13s  %13s\n", "pool", "object", "a worker", "a worker", "total");
    for (unsigned i = 0; i < MEMORY_POOL_COUNT; i++)
        if (plan->rows[i].per_worker)
            print_row(out, &plan->rows[i]);
    for (unsigned i = 0; i < c->n_ports; i++)
        fprintf(out, "  mbufs of port %s: %u a worker, %u of them for waiting data\n", c->ports[i].name, plan->mbufs[i],
                plan->rope_mbufs);
    print_sum(out, "own pools", plan->own_bytes,
              plan->key_cache_entries ? "at most, what max_connections need at start; a flow has one TLS state"
                                      : "at most, what max_connections need at start");
    print_sum(out, "DPDK", (uint64_t)plan->eal_mb << 20, "reserved at start, with DPDK's own needs");
    print_sum(out, "available", a->available_bytes, "of the machine's memory");
    print_sum(out, "huge pages", a->huge_free_bytes,
              c->memory.hugepages == CONFIG_HUGEPAGES_OFF ? "free, not used: memory.hugepages is off" : "free");
    fprintf(out, "  an idle proxied TLS MQTT connection: %u B with AES-128-GCM, %u B with other suites\n",
            plan->idle_bytes, plan->idle_large_bytes);
}
