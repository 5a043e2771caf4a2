/* SPDX-License-Identifier: BSD-3-Clause */
/* The load generator: one core that plays many MQTT clients on one side of weir and the brokers on the other, on weir's
 * own stack (lib/net, lib/tcp, lib/tls), so that it is several times faster than what it measures. A library:
 * weir-load (main.c) runs it on ports of its own, perf/path runs it against a worker in the same process over net_ring.
 *
 *   load.c       set-up, one turn, phases
 *   node.c       a packet's life: bursts, eth, arp, ip4, icmp, tcp, and back
 *   client.c     a client's life: connect, TLS, CONNECT, goodbye
 *   publish.c    messages: when, whose, and their round trips
 *   broker.c     a broker's life: CONNACK, PUBACK, what arrived and how late
 *   payload.c    what a message carries: a sequence number and the time it was due
 *   schedule.c   when the next message is due and how large it is
 *   histogram.c  round trips by time, HDR-like
 *   hs13.c       a minimal TLS 1.3 client handshake: X25519 with a reused key share, certificates NOT verified.
 *                A load tool, nothing else: libssl's client costs more than the server it is to load
 *
 * Latency is counted from the time a message was DUE, not from the time it left: a stalled server cannot slow the clock
 * that judges it (coordinated omission). Closed loops have no due time: they are counted from when they left.
 *
 * Memory: 80 bytes a client and 24 a broker's connection, besides flows and keys (with `resume` 768 more); nothing is
 * allocated after load_new but SSL-less handshake states (bounded by connect_window). Threading: one core. Time is an
 * argument; nothing here reads a clock.
 *
 * Speed: it costs about what weir costs itself for the same messages, for it walks the same stack as often (one core
 * each: whoever measures looks at the busy share). Its own part of that is small. */
#ifndef WEIR_LOAD_H
#define WEIR_LOAD_H

#include "histogram.h"
#include "net/net.h"
#include "schedule.h"
#include "tcp/tcp.h"
#include "tls/tls.h"

#define LOAD_MAX_BROKERS 16
#define LOAD_MAX_SUITES  3

/* One port of the generator: an ethdev queue, the addresses it owns, a pool. Started by the caller. */
struct load_port {
    uint16_t eth_port, eth_queue;
    struct net_if ifc;
    struct rte_mempool *pool;
    bool multi_seg, hw_ip_cksum, hw_tcp_cksum;
};

enum load_traffic {
    LOAD_IDLE,  /* connect, CONNECT/CONNACK, then silence */
    LOAD_CHURN, /* connect, CONNECT/CONNACK, DISCONNECT, close, again: counts handshakes */
    LOAD_QOS0,  /* PUBLISH QoS 0 towards the brokers; latency one way, both ends read the same clock */
    LOAD_QOS1,  /* PUBLISH QoS 1, round trip to PUBACK */
    LOAD_BULK,  /* PUBLISH QoS 0 that fill records of 16 KB, whatever the schedule's sizes (weir listener in mode tcp or
                   mqtt) */
};

struct load_config {
    struct load_port client_port, broker_port; /* the same eth_port and queue in both: one arm */
    uint32_t target_addr_be;                   /* weir's listener */
    uint16_t target_port_be;
    uint32_t n_brokers;      /* brokers listen on broker_port's first n addresses */
    uint16_t broker_port_be; /* TCP port of all of them */
    bool tls;
    uint16_t suite;          /* 0x1301 TLS_AES_128_GCM_SHA256 (default where 0), 0x1302, 0x1303 */
    bool resume;             /* use tickets where one has been received */
    uint32_t connections;    /* clients in all; each has an index, a client-id "load-<index>" */
    uint32_t connect_rate;   /* per second; 0: as fast as connect_window allows */
    uint32_t connect_window; /* handshakes in flight at most; 0: 64 */
    uint32_t storm;          /* so many of the clients, the last ones, hold back until load_storm; they never publish */
    uint32_t patience_ms;    /* from SYN to CONNACK at most, then a client gives up; 0: 20,000 */
    enum load_traffic traffic;
    struct schedule_config schedule; /* rate over all clients, arrivals, sizes; rate 0: closed loop */
    uint32_t window;                 /* QoS 1: messages in flight a client (default 1 where 0); QoS 0, bulk: messages
                                        queued and not acknowledged by TCP (16), but some segments' worth always */
    uint64_t seed;
    uint32_t mqtt_level;  /* 4 (default where 0) or 5 */
    uint32_t keepalive_s; /* as CONNECT says; PINGREQ is sent in time; 0: none */
};

/* Payloads begin with client index (4 B), sequence number (4 B) and due time in ns (8 B): as much of it as fits. Below
 * 8 bytes loss is not seen, below 16 one-way latency is not. Then a pattern, looked at in a few places.
 *
 * A client whose connection fails or is ended by the other side comes again, 100 ms later; one of the storm backs off:
 * 0.5 s, doubled with each failure up to 8 s, of which a random part between a half and all.
 *
 * Monotonic since load_new or load_stats_reset, but for the gauges. */
struct load_stats {
    uint64_t connects_begun, connected, tls_done, tls_resumed, mqtt_accepted; /* by stage */
    uint64_t connect_failed, tls_failed, mqtt_refused, resets, closed;        /* clients' side */
    uint64_t messages_due;                                  /* by the schedule; in a closed loop as sent */
    uint64_t messages_sent, messages_acked;                 /* acked: QoS 1 */
    uint64_t messages_received, bytes_sent, bytes_received; /* received: at the brokers; payload bytes */
    uint64_t messages_lost;    /* gaps in a client's sequence numbers as its broker saw them */
    uint64_t messages_corrupt; /* payload or order that is not what was sent */
    uint64_t broker_connections, broker_resets;
    uint64_t packets_in, packets_out, drops;
    uint64_t turns, turns_busy, busy_tsc, idle_tsc; /* filled by whoever owns the loop (load_account) */
    struct histogram latency_ns;                    /* QoS 1: round trip; QoS 0, bulk: one way; churn: SYN to CONNACK */
    struct histogram connect_ns;                    /* SYN to CONNACK */
    /* gauges */
    uint32_t open; /* clients that have CONNACK */
    uint32_t connecting;
    uint32_t backlog; /* messages due that have not left */
};

struct load;

/* NULL on failure, with `error` for the user. */
struct load *load_new(const struct load_config *config, uint64_t now_ns, char *error, size_t error_bytes);
/* Resets what is open (RSTs leave with the turns before; nothing is waited for) and frees all. */
void load_free(struct load *l);

/* One turn: bursts in, clients and brokers, bursts out. Returns work done; 0: an empty turn. */
uint32_t load_turn(struct load *l, uint64_t now_ns);

/* Clients may connect (true at first) and publish (false at first). Stopping lets what is in flight finish. */
void load_connecting(struct load *l, bool on);
void load_publishing(struct load *l, bool on, uint64_t now_ns);
/* Another rate from now on (messages a second over all clients; 0: closed loop). Backlog is forgotten. */
void load_rate(struct load *l, double per_s, uint64_t now_ns);
/* While resting no message and no connection begins; what is under way goes on. What was due by time is due that much
 * later. */
void load_resting(struct load *l, bool on, uint64_t now_ns);
/* All that held back connect at once, whatever connect_window says. */
void load_storm(struct load *l);
/* Say goodbye: DISCONNECT, close_notify and FIN on all clients, a bounded number a turn. Done when stats->open is 0. */
void load_goodbye(struct load *l);

const struct load_stats *load_stats(const struct load *l);
/* Counters and histograms back to 0; gauges and sequence numbers stay, so that what is in flight is not called lost. */
void load_stats_reset(struct load *l);
void load_account(struct load *l, uint32_t work, uint64_t tsc);

#endif
