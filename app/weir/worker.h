/* SPDX-License-Identifier: BSD-3-Clause */
/* Everything one core owns, by value, and its turn.
 *
 *   worker.c    set-up, the loop, the turn
 *   path.c      a packet's life; handoff.c moves what another worker owns
 *   session.c   a connection's life; session_*.c its stages and directions
 *   udp_flow.c  datagrams between clients and servers
 *   health.c    probes of servers that are down
 *   mailbox.c   what control asks of a worker
 *   cycles.c    where its time goes
 *
 * Threading: a struct worker is written by its own thread alone. Others may read its counters (torn reads are harmless)
 * and talk to it through rings: hand-off, return, mailbox. Nothing here is locked. */
#ifndef WEIR_WORKER_H
#define WEIR_WORKER_H

#include "base/clock.h"
#include "config.h"
#include "cycles.h"
#include "lb/lb.h"
#include "limits.h"
#include "mailbox.h"
#include "net/net.h"
#include "port.h"
#include "snapshot.h"
#include "steer.h"
#include "tcp/tcp_core.h"
#include "tls/tls_core.h"
#include "udp_flow.h"

struct capture;

/* Why a session ended. X(NAME, text) */
enum session_end {
    SESSION_END_NONE,
#define X(name, text) SESSION_END_##name,
#include "session_ends.def"
#undef X
    SESSION_END_COUNT
};
const char *session_end_name(enum session_end e);
const char *session_end_text(enum session_end e);

/* Why TLS with a server failed (server_tls.h). X(NAME, end, text) */
enum server_tls {
    SERVER_TLS_OK,
#define X(name, end, text) SERVER_TLS_##name,
#include "server_tls.def"
#undef X
    SERVER_TLS_COUNT
};

/* A port as one worker uses it. */
struct worker_port {
    uint16_t eth_port, eth_queue; /* own queue; valid where has_queue */
    bool has_queue;
    bool steered;       /* what arrives here is ours already */
    bool link_up;       /* as control last saw it */
    uint16_t tx_worker; /* who sends for us where we have no queue */
    uint16_t n_pending;
    const struct net_if *ifc;
    struct rte_mempool *pool;
    struct arp_table *arp;
    struct capture *capture; /* NULL: none runs on this port */
    uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
    struct rte_mbuf *pending[WEIR_TX_PENDING]; /* frames the PMD has not taken yet, oldest first */
};

/* A listener as one worker counts it. */
struct worker_listener {
    uint64_t accepted; /* connections, or UDP flows */
    uint64_t closed[SESSION_END_COUNT];
    uint32_t open;
};

struct worker_server {
    uint64_t connections, connect_failures, bytes_to, bytes_from;
    uint32_t open;
    uint8_t tls_last;  /* enum server_tls: how the last handshake ended, or what followed it */
    uint8_t tls_alert; /* enum tls_alerted: what the alert said, if it was one */
    uint64_t tls_handshakes, tls_resumed;
    uint64_t tls_failures[SERVER_TLS_COUNT];
};

struct worker_stats {
    uint64_t turns, turns_busy;
    uint64_t busy_tsc, idle_tsc;
    uint64_t longest_turn_tsc;
    uint64_t net_drops[NET_DROP_COUNT];
    uint64_t mqtt_drops[MQTT_DROP_COUNT];
    uint64_t mqtt_packets_in[16], mqtt_packets_out[16]; /* by type; in: from clients */
    uint64_t handoff_in, handoff_out;
    uint64_t return_out; /* frames sent through another worker's queue */
    uint64_t source_ports_exhausted;
    uint64_t udp_in, udp_out; /* datagrams forwarded from and to clients */
    uint64_t arp_in, icmp_in;
    uint64_t probes_sent, probes_ok;
};

/* What all workers of a process share, read-only once they run. */
struct weir {
    const struct config *config;
    struct ports ports;
    struct steer steer;
    struct clock_tsc clock;
    struct snapshot *snapshot; /* atomic pointer, published by control (snapshot.h) */
    struct rte_rcu_qsbr *rcu;
    struct rte_ring *rx_rings[WEIR_MAX_WORKERS][WEIR_MAX_WORKERS]; /* [from][to]: packets the other one owns */
    struct rte_ring *tx_rings[WEIR_MAX_WORKERS][WEIR_MAX_WORKERS]; /* [from][to]: frames to send on its queue */
    struct worker *workers[WEIR_MAX_WORKERS];
    uint16_t n_workers;
    struct tls_engine *engines[WEIR_MAX_HANDSHAKE];
    uint16_t n_engines; /* 0: workers shake hands inline */
    uint64_t secret[2];
    bool stop; /* atomic: leave the loops */
};

struct worker {
    uint16_t index;
    uint16_t n_ports, n_listeners, n_pools;
    bool draining; /* no new connections */
    bool adaptive;
    bool announced;       /* gratuitous ARP is out */
    uint32_t empty_turns; /* in a row */
    uint64_t now_us;      /* of this turn */
    struct weir *weir;
    const struct snapshot *snapshot; /* of this turn */
    struct cycles cycles;
    struct worker_port ports[WEIR_MAX_PORTS];
    struct tcp_core tcp;
    struct tls_core tls;
    struct tls_engine *inline_engine; /* NULL where handshake cores do it */
    uint32_t handshake_yields;        /* turns in a row without a handshake, for the sake of what they left */
    bool packets_left, flows_left;    /* this turn has left some for the next: received; READY */
    struct pool sessions;             /* struct session */
    struct pool server_tls;           /* struct session_server, of sessions with TLS towards their server */
    tls_session *server_sessions[WEIR_MAX_POOLS * LB_MAX_SERVERS]; /* to be resumed, by server id; NULL: none */
    struct timer_wheel session_wheel;
    struct udp_flows udp;
    struct ip4_reass *reass;
    struct lb_pool pools[WEIR_MAX_POOLS];
    bool pool_mqtt[WEIR_MAX_POOLS];                /* an mqtt listener uses it: probes speak MQTT */
    struct pool probes;                            /* struct probe (health.c) */
    uint32_t probe_deadline_ms[HEALTH_MAX_PROBES]; /* of probe i + 1; 0: not running */
    uint64_t health_looked_us;
    struct icmp_limit icmp_echo, icmp_unreachable;
    struct worker_listener listeners[WEIR_MAX_LISTENERS];
    struct worker_server servers[WEIR_MAX_POOLS * LB_MAX_SERVERS]; /* by server id */
    struct worker_stats stats;
    struct mailbox mailbox;
    struct mail *mail; /* the message under work; NULL: none */
    uint64_t turn_tsc; /* atomic, of the last turn's start: control watches it */
    uint8_t *scratch;  /* WORKER_SCRATCH bytes: a CONNECT in one piece, ... */
};
#define WORKER_SCRATCH (128u * 1024)

/* Make worker `index` of `weir` (config, ports, steer, rings are there). Memory from EAL and mmap as the plan says.
 * Returns NULL with `error` filled where something does not fit. */
struct worker *worker_new(struct weir *weir, uint16_t index, const struct memory_plan *plan, uint64_t now_us,
                          char *error, size_t error_bytes);
void worker_free(struct worker *w);

/* Make and free the rings between workers. 0 or WEIR_ENOMEM. */
int worker_rings_new(struct weir *weir);
void worker_rings_free(struct weir *weir);

/* One turn at `now_us`. Returns packets, messages and timers served: 0 means the turn was empty. */
uint32_t worker_turn(struct worker *w, uint64_t now_us);

/* The loop on a worker's lcore: reads the clock, turns until weir->stop, backs off when adaptive. `arg`: struct worker.
 */
int worker_main(void *arg);

/* Bytes of one struct worker, for the memory plan. */
size_t worker_bytes(void);

#endif
