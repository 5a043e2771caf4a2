/* SPDX-License-Identifier: BSD-3-Clause */
/* lib/lb: which broker a connection goes to, and how it gets there. Pure decisions; no packets, no clock but now_us.
 *
 *   lb_pool.c     servers, weights, states, pick by policy; one copy a worker, built from the configuration
 *   lb_maglev.c   lookup table (Maglev, Eisenbud et al., NSDI 2016, 3.4), same on every machine for the same servers.
 *                 It covers all configured servers; one that is down is skipped to the next in the table, so only its
 *                 own clients move
 *   lb_hash.c     the key's 64-bit hash (fixed seed: every machine of a fleet agrees)
 *   lb_health.c   up -> down after failures, down -> up after probes, drain: one table of state x event
 *   lb_ports.c    source addresses and ports towards a server, with in-use bits: exhaustion is an answer, not a loop
 *   lb_proxy.c    PROXY protocol v1 and v2 headers (HAProxy's proxy-protocol.txt)
 *
 * Threading: per worker by value; `weirctl` state changes arrive through the worker's mailbox. */
#ifndef WEIR_LB_H
#define WEIR_LB_H

#include "../base/base.h"
#include "../mqtt/mqtt.h"

#define LB_MAX_SERVERS 64
#define LB_MAX_SOURCES 16
#define LB_MAGLEV_SIZE 65537u /* prime; 2 bytes an entry */
#define LB_NONE        0xffffu

enum lb_policy { LB_CLIENT_ID, LB_USERNAME, LB_CERTIFICATE, LB_SOURCE, LB_LEAST_CONNECTIONS, LB_ROUND_ROBIN };
enum lb_state { LB_UP, LB_DRAINING, LB_DOWN };
const char *lb_state_name(enum lb_state s);   /* "up" */
const char *lb_policy_name(enum lb_policy p); /* "client-id" */

struct lb_server {
    char name[32];
    uint32_t addr_be;
    uint16_t port_be;
    uint16_t weight;    /* 1..256 */
    uint16_t server_id; /* the owner's global number (counters) */
    uint8_t state;      /* enum lb_state */
    uint8_t failures;   /* in a row */
    uint8_t successes;  /* probes in a row while down */
    uint8_t port;       /* weir port towards it */
    bool admin_drain;
    uint32_t connections; /* open, this worker */
    uint64_t probe_at_us; /* next probe while down */
    int32_t wrr_current;  /* smooth weighted round robin */
};

struct lb_pool {
    char name[32];
    uint8_t policy;
    uint8_t proxy_protocol; /* 0, 1, 2 */
    uint16_t n_servers;
    struct lb_server servers[LB_MAX_SERVERS];
    uint16_t *maglev; /* LB_MAGLEV_SIZE entries; shared read-only between workers' pools of one snapshot is allowed */
    struct lb_ports *ports; /* this worker's source ports */
};

/* Fill maglev (allocated where NULL) from names, addresses and weights. Returns 0 or WEIR_ENOMEM. Deterministic across
 * machines, whatever the order of the servers. */
int lb_pool_build(struct lb_pool *p);
/* Free maglev; `ports` stay the caller's. */
void lb_pool_fini(struct lb_pool *p);

uint64_t lb_hash(const void *data, uint32_t len); /* fixed seed */

/* Bit set of servers already tried for this connection. */
typedef uint64_t lb_tried;

/* The server for this key hash among those that take new connections (UP; DRAINING only where nothing else is left and
 * the policy is a hash: never), not in `tried`. Returns its index, or LB_NONE. Hash policies: the key's entry, then the
 * next entries of the table. Round robin and least connections ignore the hash (least connections by
 * connections/weight). */
uint16_t lb_pick(struct lb_pool *p, uint64_t key_hash, lb_tried tried);

/* --- health --- */

/* Thresholds: 3 connect failures in a row take a server down (1 refused or reset at connect counts like
 * any); while down it is probed at probe_at_us with exponential back-off and jitter (0.5 s to 8 s); 2 good probes bring
 * it back. Every function returns the state after. */
enum lb_event { LB_EV_CONNECT_OK, LB_EV_CONNECT_FAILED, LB_EV_PROBE_OK, LB_EV_PROBE_FAILED, LB_EV_DRAIN, LB_EV_READY };
enum lb_state lb_server_event(struct lb_server *s, enum lb_event ev, uint64_t now_us);
/* Index of a DOWN server whose probe is due (its probe_at_us is moved on), or LB_NONE. */
uint16_t lb_probe_due(struct lb_pool *p, uint64_t now_us);

/* --- source ports --- */

/* A worker's share: `accept(ctx, saddr_be, sport_be, daddr_be, dport_be)` says whether replies to
 * this tuple come back to this worker; NULL: all do. It is asked once for a port: its answers must not change while the
 * ports live, nor may a server's address. Range 1024..65535. One bit map per (source address, server) pair. */
typedef bool (*lb_port_accept)(void *ctx, uint32_t saddr_be, uint16_t sport_be, uint32_t daddr_be, uint16_t dport_be);
struct lb_ports *lb_ports_new(const uint32_t *sources_be, uint16_t n_sources, uint16_t n_servers, lb_port_accept accept,
                              void *ctx); /* NULL: no memory */
void lb_ports_free(struct lb_ports *p);
/* A free source for a connection to server `index` (sources round robin, ports from a rotating start so that a port
 * just freed is reused last). Bounded trial: at most 4,096 candidates a call, then WEIR_EFULL; the next call goes on
 * from there. Returns 0 or WEIR_EFULL. */
int lb_ports_take(struct lb_ports *p, uint16_t index, uint32_t daddr_be, uint16_t dport_be, uint32_t *saddr_be,
                  uint16_t *sport_be);
void lb_ports_give(struct lb_ports *p, uint16_t index, uint32_t saddr_be, uint16_t sport_be);
uint32_t lb_ports_used(const struct lb_ports *p, uint16_t index);

/* --- PROXY protocol --- */

/* Header for a connection from client to listener address. Returns bytes written, 0 for
 * version 0; buf >= LB_PROXY_MAX. */
#define LB_PROXY_CERTIFICATE_MAX 4096u /* a longer one is left out */
#define LB_PROXY_MAX             (1024u + LB_PROXY_CERTIFICATE_MAX)
struct lb_proxy_tls { /* what version 2 says of the client's TLS; texts are NULL or "" where there is nothing */
    bool certificate; /* it has shown one that was found good, */
    bool resumed;     /* in the handshake whose session it resumed */
    const char *version, *cipher, *common_name, *alpn;
    const char *authority; /* the server name it asked for */
    const uint8_t *der;    /* the certificate; der_bytes 0: nothing is said of it */
    uint32_t der_bytes;
};
/* tls: NULL: the client speaks none. */
uint32_t lb_proxy_header(uint8_t version, uint32_t client_addr_be, uint16_t client_port_be, uint32_t local_addr_be,
                         uint16_t local_port_be, const struct lb_proxy_tls *tls, uint8_t *buf);

#endif
