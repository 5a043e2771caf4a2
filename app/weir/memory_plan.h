/* SPDX-License-Identifier: BSD-3-Clause */
/* What a configuration costs in memory, before anything is allocated: the table that `weir --check` prints, the sizes
 * that worker.c and port.c make their pools with, and the refusal to start where it does not fit.
 *
 * Two kinds of memory. Our own pools (flows, TLS states, sessions, timers) are plain mmap and cost what is touched. EAL
 * memory (mbufs, rings) is reserved at start, in huge pages where there are any.
 *
 * max_connections counts proxied pairs over all workers. Each worker gets its share times 1.25, because flows are
 * spread by hash and not by count. A pair is two TCP flows, so a worker has twice that many.
 *
 * Sizes of objects come in as an argument, so that this file needs no other module and a test can choose them. */
#ifndef WEIR_MEMORY_PLAN_H
#define WEIR_MEMORY_PLAN_H

#include "base/base.h"
#include "config.h"
#include "limits.h"

#include <stdio.h>

/* An mbuf pool of one (port, worker) is the sum of these. Every queue can be full and every rope budget used, and an
 * ACK or an ARP answer still gets its mbuf. */
#define MEMORY_RX_DESCRIPTORS    1024u
#define MEMORY_TX_DESCRIPTORS    1024u
#define MEMORY_AF_XDP_FILL       2048u /* fill queue of an AF_XDP socket, on top of the descriptors */
#define MEMORY_MBUF_CACHE        256u
#define MEMORY_HANDOFF           WEIR_RING_SIZE
#define MEMORY_MBUF_RESERVE      512u
#define MEMORY_ROPE_MIN          4096u /* mbufs that ropes may hold: a 16th of the worker's pairs within these bounds */
#define MEMORY_ROPE_MAX          65536u
#define MEMORY_HANDSHAKES_MIN    64u /* SSL objects at once, a worker, unless `limits` tells: an 8th of its pairs */
#define MEMORY_HANDSHAKES_MAX    4096u
#define MEMORY_WAITING_MAX       32768u /* handshakes that wait for their turn, at most all of a worker's pairs */
#define MEMORY_KEY_CACHE_ENTRIES 2048u
#define MEMORY_UDP_FLOWS_MIN     1024u

struct memory_sizes {         /* bytes */
    uint32_t flow_bytes;      /* struct tcp_conn as pooled, without its timer node */
    uint32_t sent_bytes;      /* record of a segment that is out */
    uint32_t flight_bytes;    /* what a flow takes while the network limits it, or loses */
    uint32_t tls_small_bytes; /* state of an AES-128-GCM flow */
    uint32_t tls_large_bytes; /* state of the other suites */
    uint32_t session_bytes;
    uint32_t server_tls_bytes; /* what a session with TLS towards its server has beside */
    uint32_t udp_flow_bytes;
    uint32_t timer_bytes;           /* one wheel node */
    uint32_t table_entry_bytes;     /* flow table, per entry */
    uint32_t key_cache_entry_bytes; /* expanded key with its bookkeeping */
    uint32_t hello_bytes;           /* ClientHello that waits */
    uint32_t handshake_bytes;       /* SSL object with its buffers, while a handshake runs: at most */
    uint32_t client_chain_bytes;    /* more of it, where clients are asked for certificates */
    uint32_t identity_bytes;        /* what is known of a client that shows a certificate, at most, */
    uint32_t identity_alt_bytes;    /* more for each kind of alternative names that is kept, */
    uint32_t identity_der_bytes;    /* for the certificate itself, */
    uint32_t identity_names_bytes;  /* and of others */
    uint32_t mbuf_bytes;            /* mempool element: header, struct rte_mbuf, headroom, data room */
};

/* The budgets of the modules, which assert them on their own structs. */
extern const struct memory_sizes memory_sizes_default;

/* X(NAME, name in tables, in EAL memory, needed by an idle proxied TLS MQTT connection how many times) */
#define MEMORY_POOLS(X)                                                                                                \
    X(FLOW, "tcp flows", false, 2)                                                                                     \
    X(FLOW_TIMER, "flow timers", false, 2)                                                                             \
    X(FLOW_TABLE, "flow table", false, 2)                                                                              \
    X(SENT, "segments out", false, 0)                                                                                  \
    X(FLIGHT, "flows in recovery", false, 0)                                                                           \
    X(SESSION, "sessions", false, 1)                                                                                   \
    X(SESSION_TIMER, "session timers", false, 1)                                                                       \
    X(TLS_SMALL, "tls small", false, 1)                                                                                \
    X(TLS_LARGE, "tls large", false, 0)                                                                                \
    X(SERVER_TLS, "tls to servers", false, 0)                                                                          \
    X(KEY_CACHE, "tls key cache", false, 0)                                                                            \
    X(IDENTITY, "tls identities", false, 0)                                                                            \
    X(HANDSHAKE, "tls handshakes", false, 0)                                                                           \
    X(HELLO, "tls hellos that wait", false, 0)                                                                         \
    X(UDP_FLOW, "udp flows", false, 0)                                                                                 \
    X(MBUF, "mbufs", true, 0)                                                                                          \
    X(RING, "hand-off rings", true, 0)

enum memory_pool {
#define X(name, text, eal, idle) MEMORY_##name,
    MEMORY_POOLS(X)
#undef X
        MEMORY_POOL_COUNT
};

struct memory_row {
    const char *name; /* static */
    bool eal;         /* EAL memory, else our own mmap */
    uint32_t object_bytes;
    uint32_t per_worker;   /* objects; MBUF: over all ports; 0: not needed by this configuration */
    uint64_t worker_bytes; /* one worker's */
    uint64_t total_bytes;  /* all workers' */
};

struct memory_plan {
    uint32_t n_workers;
    uint32_t pairs_per_worker;         /* share of max_connections x 1.25 */
    uint32_t flows_per_worker;         /* TCP flows: 2 a pair */
    uint32_t udp_flows_per_worker;     /* 0 without udp listeners */
    uint32_t sessions_per_worker;      /* one a pair */
    uint32_t tls_per_worker;           /* TLS connections: one a pair towards clients, one towards servers */
    uint32_t server_tls_per_worker;    /* of these, towards servers */
    uint32_t handshakes_per_worker;    /* 0 without TLS */
    uint32_t waiting_per_worker;       /* handshakes that may wait for their turn, */
    uint32_t waiting_large_per_worker; /* and those of them whose hellos stay in receive ropes */
    uint32_t key_cache_entries;
    uint32_t rope_mbufs;            /* a worker's budget on each port: half for receive ropes, half for send ropes */
    uint32_t mbufs[WEIR_MAX_PORTS]; /* pool of one (port, worker) */
    struct memory_row rows[MEMORY_POOL_COUNT];
    uint64_t worker_bytes; /* our own and EAL's, one worker */
    uint64_t own_bytes;    /* our own pools, all workers, all in use */
    uint64_t eal_bytes;    /* EAL's, all workers */
    uint64_t total_bytes;
    uint32_t eal_mb;           /* for EAL's -m: eal_bytes, DPDK's own needs and rounding */
    uint32_t idle_bytes;       /* an idle proxied TLS MQTT connection, AES-128-GCM */
    uint32_t idle_large_bytes; /* the same with another suite */
};

/* What the machine has. */
struct memory_available {
    uint64_t available_bytes; /* MemAvailable: without free huge pages */
    uint64_t huge_free_bytes; /* free huge pages, all sizes */
    uint64_t total_bytes;     /* MemTotal */
};

/* The plan of a checked configuration. sizes NULL: memory_sizes_default. Cannot fail: config's ranges keep every sum
 * within 64 bits. */
void memory_plan_make(const struct config *c, const struct memory_sizes *sizes, struct memory_plan *plan);

/* Read /proc/meminfo and /sys/kernel/mm/hugepages. Returns 0 or WEIR_EIO. */
int memory_available_read(struct memory_available *a);

/* Does it fit? Returns 0, or WEIR_ENOMEM with `reason` saying how much is missing and which keys make it smaller. */
int memory_plan_fits(const struct memory_plan *plan, const struct memory_available *a, enum config_hugepages hugepages,
                     char *reason, size_t reason_bytes);

/* The table of `--check`. */
void memory_plan_print(const struct memory_plan *plan, const struct config *c, const struct memory_available *a,
                       FILE *out);

#endif
