/* SPDX-License-Identifier: BSD-3-Clause */
#include "memory_plan.h"

#include "tcp/tcp.h"
#include "tls/tls.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#define MB (1ull << 20)

#define HEADROOM_NUM  5u /* flows are spread by hash, not by count: a worker's share times 5/4 */
#define HEADROOM_DEN  4u
#define EAL_OWN_MB    24u /* DPDK itself: ethdev data, PMDs' rings, memzones; two AF_XDP ports take some 5 MB */
#define EAL_WORKER_MB 8u  /* a worker's ARP and fragment tables, and its rings */
#define RING_SLOT     8u  /* bytes a pointer in an rte_ring */
#define RING_HEAD     384u

/* Flow: struct tcp_conn <= 256 B; struct tcp_sent of each segment that is out, struct tcp_flight while something is
 * lost. TLS: the two size classes. Table: flow_table.h. Handshake: an SSL object of OpenSSL 3.0 with its BIOs, and
 * what a client can make it hold. mbuf: 64 B mempool header, 128 B struct rte_mbuf, 128 B headroom and
 * 2,048 B data. */
const struct memory_sizes memory_sizes_default = {
    .flow_bytes = 256,
    .sent_bytes = 24,
    .flight_bytes = 192,
    .tls_small_bytes = 160,
    .tls_large_bytes = 224,
    .session_bytes = 128,
    .server_tls_bytes = 32,
    .udp_flow_bytes = 64,
    .timer_bytes = 16,
    .table_entry_bytes = 11,
    .key_cache_entry_bytes = 1088,
    .hello_bytes = 768,
    .handshake_bytes = TLS_HANDSHAKE_BYTES,
    .client_chain_bytes = TLS_CLIENT_CHAIN_BYTES,
    .identity_bytes = TLS_IDENTITY_MAX,
    .identity_alt_bytes = TLS_IDENTITY_ALT_MAX,
    .identity_der_bytes = TLS_IDENTITY_DER_MAX,
    .identity_names_bytes = TLS_IDENTITY_NAMES_MAX,
    .mbuf_bytes = 2368,
};

static uint32_t clamp(uint64_t value, uint32_t min, uint32_t max) {
    return value < min ? min : value > max ? max : (uint32_t)value;
}

static uint32_t power_of_two(uint32_t value) {
    uint32_t p = 1;
    while (p < value)
        p *= 2;
    return p;
}

/* What this configuration makes workers do. */
struct memory_needs {
    bool tls, tcp, udp;
    bool server_tls;    /* towards servers */
    bool certificates;  /* of clients */
    bool names;         /* of clients are kept, or of their keys */
    uint32_t alt_names; /* of their certificates: of so many kinds */
    bool ders;          /* themselves */
};

static struct memory_needs needs_of(const struct config *c) {
    struct memory_needs n = {0};
    for (unsigned i = 0; i < c->n_listeners; i++) {
        const struct config_listener *l = &c->listeners[i];
        n.tls |= l->tls != CONFIG_NONE;
        if (l->tls != CONFIG_NONE) {
            const struct config_tls *t = &c->tls[l->tls];
            n.certificates |= t->client_certificates != TLS_CLIENT_CERTIFICATES_OFF;
            n.names |= t->tell_names || t->psk_file != NULL || t->srp_file != NULL;
            n.alt_names = weir_max_u32(n.alt_names, (uint32_t)__builtin_popcount(t->keep_alt_names));
            n.ders |= t->keep_certificate;
        }
        n.server_tls |= l->pool != CONFIG_NONE && c->pools[l->pool].tls.on;
        n.tcp |= l->mode != CONFIG_MODE_UDP;
        n.udp |= l->mode == CONFIG_MODE_UDP;
    }
    return n;
}

static void plan_counts(const struct config *c, const struct memory_needs *needs, struct memory_plan *plan) {
    uint64_t max = c->memory.max_connections, workers = c->cores.n_workers;
    plan->n_workers = c->cores.n_workers;
    plan->pairs_per_worker =
        (uint32_t)((max * HEADROOM_NUM + workers * HEADROOM_DEN - 1) / (workers * HEADROOM_DEN)); /* rounded up */
    plan->flows_per_worker = 2 * plan->pairs_per_worker;
    plan->udp_flows_per_worker = needs->udp ? weir_max_u32(plan->pairs_per_worker, MEMORY_UDP_FLOWS_MIN) : 0;
    plan->sessions_per_worker = plan->pairs_per_worker;
    plan->tls_per_worker = (needs->tls + needs->server_tls) * plan->pairs_per_worker;
    plan->server_tls_per_worker = needs->server_tls ? plan->pairs_per_worker : 0;
    if (plan->tls_per_worker) {
        plan->handshakes_per_worker =
            c->limits.handshakes ? c->limits.handshakes
                                 : clamp(plan->pairs_per_worker / 8, MEMORY_HANDSHAKES_MIN, MEMORY_HANDSHAKES_MAX);
        plan->key_cache_entries = MEMORY_KEY_CACHE_ENTRIES;
    }
    plan->rope_mbufs = clamp(plan->pairs_per_worker / 16, MEMORY_ROPE_MIN, MEMORY_ROPE_MAX);
    if (plan->tls_per_worker) {
        plan->waiting_per_worker = weir_min_u32(plan->pairs_per_worker, MEMORY_WAITING_MAX);
        plan->waiting_large_per_worker = plan->rope_mbufs / 8; /* a quarter of what receive ropes may hold */
    }
    for (unsigned i = 0; i < c->n_ports; i++) {
        bool af_xdp = strncmp(c->ports[i].device, "net_af_xdp", strlen("net_af_xdp")) == 0;
        plan->mbufs[i] = MEMORY_RX_DESCRIPTORS + MEMORY_TX_DESCRIPTORS + (af_xdp ? MEMORY_AF_XDP_FILL : 0) +
                         MEMORY_MBUF_CACHE + MEMORY_HANDOFF + plan->rope_mbufs + MEMORY_MBUF_RESERVE;
    }
}

/* Objects one worker has of each pool. */
static void plan_objects(const struct config *c, const struct memory_needs *needs, struct memory_plan *plan) {
    struct memory_row *r = plan->rows;
    r[MEMORY_FLOW].per_worker = r[MEMORY_FLOW_TIMER].per_worker = plan->flows_per_worker;
    r[MEMORY_FLOW_TABLE].per_worker = plan->flows_per_worker + 2 * plan->udp_flows_per_worker;
    r[MEMORY_SENT].per_worker = plan->flows_per_worker + tcp_sent_extra(plan->rope_mbufs / 2);
    r[MEMORY_FLIGHT].per_worker = plan->flows_per_worker;
    r[MEMORY_SESSION].per_worker = plan->sessions_per_worker;
    r[MEMORY_SESSION_TIMER].per_worker = plan->sessions_per_worker + plan->udp_flows_per_worker;
    r[MEMORY_TLS_SMALL].per_worker = r[MEMORY_TLS_LARGE].per_worker = plan->tls_per_worker;
    r[MEMORY_SERVER_TLS].per_worker = plan->server_tls_per_worker;
    r[MEMORY_KEY_CACHE].per_worker = plan->key_cache_entries;
    r[MEMORY_HELLO].per_worker = plan->waiting_per_worker;
    r[MEMORY_HANDSHAKE].per_worker = plan->handshakes_per_worker;
    r[MEMORY_IDENTITY].per_worker = needs->certificates || needs->names ? plan->pairs_per_worker : 0;
    r[MEMORY_UDP_FLOW].per_worker = plan->udp_flows_per_worker;
    for (unsigned i = 0; i < c->n_ports; i++)
        r[MEMORY_MBUF].per_worker += plan->mbufs[i];
    /* From each worker to each other one, on their way in and on their way out. */
    r[MEMORY_RING].per_worker = 2 * (plan->n_workers - 1);
}

static uint32_t identity_bytes(const struct memory_needs *needs, const struct memory_sizes *s) {
    if (!needs->certificates)
        return s->identity_names_bytes;
    return s->identity_bytes + needs->alt_names * s->identity_alt_bytes + needs->ders * s->identity_der_bytes;
}

static void plan_sizes(const struct memory_needs *needs, const struct memory_sizes *s, struct memory_plan *plan) {
    static const struct {
        const char *name;
        bool eal;
    } kinds[MEMORY_POOL_COUNT] = {
#define X(name, text, eal, idle) [MEMORY_##name] = {text, eal},
        MEMORY_POOLS(X)
#undef X
    };
    const uint32_t bytes[MEMORY_POOL_COUNT] = {
        [MEMORY_FLOW] = s->flow_bytes,
        [MEMORY_FLOW_TIMER] = s->timer_bytes,
        [MEMORY_FLOW_TABLE] = s->table_entry_bytes,
        [MEMORY_SENT] = s->sent_bytes,
        [MEMORY_FLIGHT] = s->flight_bytes,
        [MEMORY_SESSION] = s->session_bytes,
        [MEMORY_SESSION_TIMER] = s->timer_bytes,
        [MEMORY_TLS_SMALL] = s->tls_small_bytes,
        [MEMORY_TLS_LARGE] = s->tls_large_bytes,
        [MEMORY_SERVER_TLS] = s->server_tls_bytes,
        [MEMORY_KEY_CACHE] = s->key_cache_entry_bytes,
        [MEMORY_HANDSHAKE] = s->handshake_bytes + (needs->certificates ? s->client_chain_bytes : 0),
        [MEMORY_IDENTITY] = identity_bytes(needs, s),
        [MEMORY_HELLO] = s->hello_bytes,
        [MEMORY_UDP_FLOW] = s->udp_flow_bytes,
        [MEMORY_MBUF] = s->mbuf_bytes,
        [MEMORY_RING] = RING_HEAD + RING_SLOT * power_of_two(WEIR_RING_SIZE),
    };
    for (unsigned i = 0; i < MEMORY_POOL_COUNT; i++) {
        struct memory_row *r = &plan->rows[i];
        r->name = kinds[i].name;
        r->eal = kinds[i].eal;
        r->object_bytes = bytes[i];
    }
}

static void plan_sums(struct memory_plan *plan) {
    for (unsigned i = 0; i < MEMORY_POOL_COUNT; i++) {
        struct memory_row *r = &plan->rows[i];
        r->worker_bytes = (uint64_t)r->object_bytes * r->per_worker;
        r->total_bytes = r->worker_bytes * plan->n_workers;
        if (i == MEMORY_TLS_SMALL)
            continue; /* a flow has a state of either size: the larger is counted */
        plan->worker_bytes += r->worker_bytes;
        *(r->eal ? &plan->eal_bytes : &plan->own_bytes) += r->total_bytes;
    }
    plan->total_bytes = plan->own_bytes + plan->eal_bytes;
    /* An eighth for mempool headers, alignment to pages and the heap's own needs. */
    plan->eal_mb = (uint32_t)((plan->eal_bytes + plan->eal_bytes / 8 + MB - 1) / MB) + EAL_OWN_MB +
                   EAL_WORKER_MB * plan->n_workers;
    static const uint8_t idle[MEMORY_POOL_COUNT] = {
#define X(name, text, eal, idle) [MEMORY_##name] = idle,
        MEMORY_POOLS(X)
#undef X
    };
    for (unsigned i = 0; i < MEMORY_POOL_COUNT; i++)
        plan->idle_bytes += idle[i] * plan->rows[i].object_bytes;
    plan->idle_large_bytes =
        plan->idle_bytes - plan->rows[MEMORY_TLS_SMALL].object_bytes + plan->rows[MEMORY_TLS_LARGE].object_bytes;
}

void memory_plan_make(const struct config *c, const struct memory_sizes *sizes, struct memory_plan *plan) {
    const struct memory_needs needs = needs_of(c);
    *plan = (struct memory_plan){0};
    plan_counts(c, &needs, plan);
    plan_objects(c, &needs, plan);
    plan_sizes(&needs, sizes ? sizes : &memory_sizes_default, plan);
    plan_sums(plan);
}

/* --- what the machine has --- */

static uint64_t number_of(const char *path) {
    unsigned long long n = 0;
    FILE *f = fopen(path, "re");
    if (f) {
        if (fscanf(f, "%llu", &n) != 1)
            n = 0;
        fclose(f);
    }
    return n;
}

static uint64_t huge_free(void) {
    static const char folder[] = "/sys/kernel/mm/hugepages";
    uint64_t bytes = 0;
    DIR *d = opendir(folder);
    if (!d)
        return 0;
    for (struct dirent *e; (e = readdir(d));) {
        char path[sizeof(folder) + sizeof(e->d_name) + 16];
        unsigned long long kb;
        if (sscanf(e->d_name, "hugepages-%llukB", &kb) != 1)
            continue;
        snprintf(path, sizeof(path), "%s/%s/free_hugepages", folder, e->d_name);
        bytes += number_of(path) * kb * 1024;
    }
    closedir(d);
    return bytes;
}

int memory_available_read(struct memory_available *a) {
    char line[128];
    unsigned long long kb;
    *a = (struct memory_available){0};
    FILE *f = fopen("/proc/meminfo", "re");
    if (!f)
        return WEIR_EIO;
    while (fgets(line, sizeof(line), f)) {
        if (sscanf(line, "MemAvailable: %llu kB", &kb) == 1)
            a->available_bytes = kb * 1024;
        else if (sscanf(line, "MemTotal: %llu kB", &kb) == 1)
            a->total_bytes = kb * 1024;
    }
    fclose(f);
    a->huge_free_bytes = huge_free();
    return a->available_bytes ? 0 : WEIR_EIO;
}

static unsigned long long mb_up(uint64_t bytes) {
    return (bytes + MB - 1) / MB;
}

int memory_plan_fits(const struct memory_plan *plan, const struct memory_available *a, enum config_hugepages hugepages,
                     char *reason, size_t reason_bytes) {
    uint64_t eal = plan->eal_mb * MB;
    uint64_t from_huge = hugepages == CONFIG_HUGEPAGES_OFF ? 0 : a->huge_free_bytes < eal ? a->huge_free_bytes : eal;
    /* Huge pages that are not free yet would be raised from available memory. */
    uint64_t needed = plan->own_bytes + eal - from_huge;
    reason[0] = '\0';
    if (needed <= a->available_bytes)
        return 0;
    snprintf(
        reason, reason_bytes,
        "memory does not suffice: %llu MB are needed (%llu MB own pools, %u MB DPDK, of which %llu MB from free huge "
        "pages), %llu MB are available; lower memory.max_connections or the number of cores.workers",
        mb_up(needed), mb_up(plan->own_bytes), plan->eal_mb, (unsigned long long)(from_huge / MB),
        (unsigned long long)(a->available_bytes / MB));
    return WEIR_ENOMEM;
}
