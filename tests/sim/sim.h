/* SPDX-License-Identifier: BSD-3-Clause */
/* The whole data path in one thread on a clock of its own: a struct weir with one or two workers between two hosts,
 * each a stack of its own behind a lossy link. A run is its struct sim_setup, and a setup is drawn from a seed, so
 * every failure can be run again.
 *
 *   sim.c         one step; what has to be empty at the end
 *   sim_setup.c   conditions from a seed; sim_cases.c: fixed scenarios
 *   sim_weir.c    configuration, ports and workers of the system under test
 *   sim_wire.c    device queues <-> links; faults of queues, pools and wires
 *   sim_host.c    a host: ARP, TCP and UDP of its own, sockets over them
 *   sim_sock.c    a socket with buffers, and libssl in either role where it speaks TLS
 *   sim_tls.c     certificates, good and bad, and suites
 *   sim_mqtt.c    packets that both ends write and read
 *   sim_client.c  what clients do, how they end, and what they may expect
 *   sim_broker.c  what servers do, and the ledger of what has reached them
 *
 * Hosts are built from the product's own libraries (lib/net, lib/tcp); their TLS is libssl's, their MQTT is their own.
 */
#ifndef WEIR_SIM_H
#define WEIR_SIM_H

#include "link.h"

#include "tcp/tcp_core.h"
#include "weir/memory_plan.h"
#include "weir/worker.h"

#include <openssl/ssl.h>
#include <stdio.h>

#define SIM_SECOND      1000000ull
#define SIM_MAX_CLIENTS 256u
#define SIM_MAX_FAULTS  64u
#define SIM_MAX_SERVERS 4u
#define SIM_TLS_SHAPES  7u /* suites that clients and servers insist on */
#define SIM_TLS_GCM12   4u /* ... the one of TLS 1.2 whose keys wear out */
#define SIM_WORKERS     2u
#define SIM_MBUFS       3072u /* of the system under test, a port and worker */
#define SIM_HOST_MBUFS  16384u
#define SIM_HOST_CONNS  2048u

#define SIM_ADDR(net, host) RTE_BE32((198u << 24) | (18u << 16) | ((uint32_t)(net) << 8) | (uint32_t)(host))
#define SIM_WEIR_FRONT      SIM_ADDR(0, 1)
#define SIM_WEIR_BACK       SIM_ADDR(1, 1)
#define SIM_CLIENT_HOST     10u /* 198.18.0.10 .. 198.18.0.17 */
#define SIM_CLIENT_ADDRS    8u
#define SIM_SERVER_HOST     20u /* 198.18.1.20 .. */

enum sim_port {
    SIM_MQTT = 1883,
    SIM_TCP = 9000,
    SIM_UDP = 9001,
    SIM_ECHO = 7,
    SIM_ECHO_BACK = 7007,
    SIM_MQTTS = 8883,
    SIM_TCPS = 9443
};
#define SIM_POOL_DATAGRAMS 2 /* the third of the configuration */

/* What a client is. */
#define SIM_KINDS(X) X(MQTT) X(MQTTS) X(TCP) X(TCPS) X(ECHO) X(UDP) X(UDP_ECHO) X(GARBAGE) X(SILENT)
enum sim_kind {
#define X(name) SIM_KIND_##name,
    SIM_KINDS(X)
#undef X
        SIM_KIND_COUNT
};

/* How an MQTT or TCP client ends. */
#define SIM_ENDINGS(X) X(ORDERLY) X(FIN) X(RST) X(VANISH) X(STALL) X(EARLY)
enum sim_ending { /* EARLY: before CONNECT, or in the middle of the TLS handshake */
#define X(name) SIM_END_##name,
                  SIM_ENDINGS(X)
#undef X
                      SIM_END_COUNT
};

/* What a server does to a connection. CUT: FIN, without close_notify where it speaks TLS. */
#define SIM_MANNERS(X) X(GOOD) X(RESET_AT_ONCE) X(RESET) X(FIN) X(MUTE) X(REFUSE) X(PAUSE) X(GARBAGE) X(CUT)
enum sim_manner {
#define X(name) SIM_MANNER_##name,
    SIM_MANNERS(X)
#undef X
        SIM_MANNER_COUNT
};

#define SIM_FAULTS(X)                                                                                                  \
    X(FAMINE)         /* a pool of mbufs is empty */                                                                   \
    X(TX_STUCK)       /* a device queue takes no more */                                                               \
    X(SLEEP)          /* a worker is not turned */                                                                     \
    X(BLACKOUT)       /* the links to one side carry nothing */                                                        \
    X(SERVER_REFUSES) /* answers SYNs with RST */                                                                      \
    X(SERVER_SILENT)  /* answers nothing at all */                                                                     \
    X(NOISE)          /* strangers' frames on the wire */                                                              \
    X(SERVER_STALLS)  /* of servers with TLS: takes connections, says nothing */                                       \
    X(SERVER_WRONG)   /* ... : shows a certificate that is not good */
enum sim_fault_kind {
#define X(name) SIM_FAULT_##name,
    SIM_FAULTS(X)
#undef X
        SIM_FAULT_COUNT
};

struct sim_fault {
    enum sim_fault_kind kind;
    uint64_t from_us, to_us; /* since the start */
    uint32_t target;         /* queue, worker, side or server, taken modulo how many there are */
    bool on;
    struct rte_mbuf **taken; /* FAMINE */
    uint32_t n_taken;
};

struct sim_setup {
    uint64_t seed;
    uint16_t n_workers, n_queues, n_servers;
    bool steered;    /* the device spreads flows as struct steer does */
    bool per_packet; /* else: by flow, at a queue that may not be the owner's */
    bool multi_seg, hw_cksum, hold_tx;
    bool handshake_core; /* else workers shake hands themselves */
    bool server_tls;     /* servers speak TLS, */
    bool server_asks;    /* and want a certificate of their client, */
    bool server_libssl;  /* or take none but suites that stay with libssl */
    bool one_way;        /* servers only answer what asks for it */
    uint8_t proxy_protocol;
    const char *policy; /* of the brokers */
    struct sim_link_config link;
    uint32_t pairs, handshakes; /* a worker's; 0: plenty */
    uint32_t record_limit;      /* of keys of AES-GCM; 0: the standard's */
    uint32_t ring_slots;        /* of hand-off and return rings; 0: the product's */
    uint32_t n_clients, rounds, messages, message_bytes, bulk_bytes;
    uint32_t drain_us;  /* the program is told to stop at this time; 0: it is not */
    uint32_t spread_us; /* clients start within so much */
    uint32_t kinds[SIM_KIND_COUNT], endings[SIM_END_COUNT], manners[SIM_MANNER_COUNT]; /* weights */
    uint32_t n_faults;
    struct sim_fault faults[SIM_MAX_FAULTS];
};

struct sim;

/* --- growing byte queues --- */
struct sim_bytes {
    uint8_t *data;
    size_t head, len, room; /* data[head .. head + len) */
};
void sim_bytes_put(struct sim_bytes *b, const void *data, size_t n);
void sim_bytes_skip(struct sim_bytes *b, size_t n);
void sim_bytes_free(struct sim_bytes *b);
static inline const uint8_t *sim_bytes_at(const struct sim_bytes *b) {
    return b->data + b->head;
}

/* --- hosts and sockets --- */
struct sim_host;

struct sim_sock {
    struct sim_host *host;
    tcp_id id;
    SSL *ssl;
    BIO *rbio, *wbio;
    struct sim_bytes in, out; /* plaintext */
    uint16_t lport;
    bool connected;
    bool paused;    /* does not read */
    bool close_out; /* close behind what is queued */
    bool notify;    /* ... with close_notify */
    bool shut;      /* done so */
    bool eof;       /* the peer's stream has ended as it should: FIN, and close_notify before it under TLS */
    bool fin;       /* its TCP stream has */
    bool over;      /* the connection is over: `end` */
    bool tls_failed;
    bool news;
    enum tcp_end end;
};

struct sim_datagram {
    uint32_t saddr_be, daddr_be;
    uint16_t sport_be, dport_be;
    const uint8_t *data;
    uint32_t len;
};

struct sim_host {
    struct sim *sim;
    uint8_t side; /* 0: front, 1: back */
    struct net_if ifc;
    struct arp_table *arp;
    struct tcp_core *tcp;
    struct rte_mempool *pool;
    struct sim_link *to_weir, *to_weir_arp, *to_host; /* ARP has no checksum: bit errors would stay */
    struct sim_link *to_host_arp;
    uint16_t next_port;
    uint64_t deaf[65536 / 64];                  /* local TCP ports nobody is behind any more: no RST either */
    uint32_t silent;                            /* bit i: address i neither hears nor speaks */
    struct sim_sock *socks[SIM_HOST_CONNS + 1]; /* by tcp_id */
    void (*accept)(struct sim_host *h, tcp_id id);
    void (*datagram)(struct sim_host *h, const struct sim_datagram *d);
};

void sim_host_open(struct sim_host *h, struct sim *sim, uint8_t side);
void sim_host_close(struct sim_host *h);
/* Take what has arrived, serve timers; then, after the applications, sim_host_send. Both return packets moved. */
uint32_t sim_host_receive(struct sim_host *h);
uint32_t sim_host_send(struct sim_host *h);
void sim_host_udp(struct sim_host *h, const struct sim_datagram *d);
void sim_host_deafen(struct sim_host *h, uint16_t lport_be);

void sim_sock_connect(struct sim_sock *s, struct sim_host *h, uint32_t laddr_be, uint16_t lport, uint16_t rport);
void sim_sock_adopt(struct sim_sock *s, struct sim_host *h, tcp_id id);
void sim_sock_tls(struct sim_sock *s, SSL_CTX *ctx);        /* as a client */
void sim_sock_tls_accept(struct sim_sock *s, SSL_CTX *ctx); /* as a server, of what has come and has not been read */
void sim_sock_pump(struct sim_sock *s);
void sim_sock_write(struct sim_sock *s, const void *data, size_t n);
void sim_sock_abort(struct sim_sock *s);  /* RST */
void sim_sock_vanish(struct sim_sock *s); /* not even that */
void sim_sock_free(struct sim_sock *s);   /* lets go of the flow in order where it is open */

/* --- TLS of both ends --- */
enum sim_cert {
    SIM_CERT_WEIR,    /* of the system under test, in both roles */
    SIM_CERT_SERVERS, /* what servers should show */
    SIM_CERT_UNTRUSTED,
    SIM_CERT_NAME, /* for other addresses */
    SIM_CERT_EXPIRED,
    SIM_CERT_COUNT
};
#define SIM_WRONG_CERTS 3u /* the last ones */
/* server.crt, server.key and servers.crt, whom to trust, appear in the folder. */
void sim_tls_init(const char *folder);
void sim_tls_fini(const char *folder);
SSL_CTX *sim_tls_client(unsigned shape);
SSL_CTX *sim_tls_server(unsigned shape, enum sim_cert kind, bool asks);
bool sim_tls_is_libssl(unsigned shape); /* a suite that is not taken over */

/* --- MQTT as the ends write and read it --- */
struct sim_packet {
    uint8_t type, flags;
    const uint8_t *body;
    uint32_t body_len;
};
/* Bytes of the whole packet at the head, 0: not all there, -1: nonsense. */
int sim_mqtt_next(const struct sim_bytes *b, struct sim_packet *p);
void sim_mqtt_connect(struct sim_bytes *b, uint8_t level, const char *id);
void sim_mqtt_publish(struct sim_bytes *b, uint8_t level, uint8_t qos, uint16_t packet_id, uint32_t writer,
                      uint32_t number, uint32_t len);
void sim_mqtt_short(struct sim_bytes *b, uint8_t type, const void *body, uint8_t n);
void sim_mqtt_subscribe(struct sim_bytes *b, uint8_t level);
/* Payload of a PUBLISH: checks it against who wrote it and its number. False: it is not what was sent. */
bool sim_mqtt_payload(const struct sim_packet *p, uint8_t level, uint32_t writer, uint32_t number, uint16_t *packet_id);
uint8_t sim_pattern(uint32_t writer, uint32_t number, uint32_t at);

/* --- clients --- */
enum sim_state { SIM_WAITING, SIM_RUNNING, SIM_ENDING, SIM_DONE };

struct sim_client {
    struct sim *sim;
    uint32_t number;
    enum sim_kind kind;
    enum sim_ending ending;
    enum sim_state state;
    uint8_t level;
    bool tls, subscribes, eager, slow;
    uint8_t tls_shape;
    uint32_t addr_be;
    uint64_t start_us, deadline_us, wake_us;
    uint32_t rounds, round;
    struct sim_sock sock;
    uint32_t messages, sent, acked, got;
    bool connack, suback;
    uint32_t up_bytes, down_bytes, up, down; /* TCP and echo */
    uint32_t up_to;                          /* ends badly after so many messages or bytes */
    bool excused;                            /* its server or the weather is to blame for whatever happens to it */
    bool cut;                                /* the server ends early, in order */
    SSL_SESSION *session;
    /* the ledger, kept by the broker */
    uint32_t first[4], n_rounds_seen; /* messages seen this round */
    uint8_t *seen;                    /* by round * messages + number */
    int server;                       /* where its CONNECT landed; -1: not yet */
    bool goodbye, saw_fin;
};
void sim_clients_draw(struct sim *sim);
void sim_clients_run(struct sim *sim);
bool sim_clients_done(const struct sim *sim);
void sim_clients_free(struct sim *sim);

/* --- servers --- */
struct sim_peer {
    struct sim_sock sock;
    uint32_t server; /* index; and the service by `tcp` */
    bool tcp, probe;
    bool stalls, wrong; /* faults of that name when it was accepted */
    bool shaken;        /* its handshake was seen complete */
    enum sim_manner manner;
    uint8_t level;
    int client; /* -1: unknown yet */
    uint32_t round, number;
    uint32_t after; /* messages or bytes until it misbehaves */
    uint32_t up, down, up_bytes, down_bytes, sent;
    bool head, proxy_seen, acted;
    uint64_t resume_us;
};
void sim_brokers_open(struct sim *sim);
void sim_broker_accept(struct sim_host *h, tcp_id id);
void sim_broker_datagram(struct sim_host *h, const struct sim_datagram *d);
void sim_brokers_run(struct sim *sim);
void sim_brokers_free(struct sim *sim);

/* --- the system under test --- */
struct sim_queue {
    struct rte_ring *rx, *tx;
};

struct sim {
    struct sim_setup setup;
    struct sim_rng rng; /* of the applications and faults */
    uint64_t now_us, start_us, quiet_us;
    bool trace;
    char error[4096];
    struct config *config;
    struct memory_plan plan;
    struct weir weir;
    struct sim_host host[2];
    uint32_t stuck;                  /* bit (port * 2 + queue): TX_STUCK */
    uint32_t asleep;                 /* bit: worker */
    uint32_t dark;                   /* bit: side */
    uint32_t stalls;                 /* bit: server */
    uint32_t wrong[SIM_WRONG_CERTS]; /* bit: server */
    uint32_t n_clients;
    struct sim_client clients[SIM_MAX_CLIENTS];
    struct sim_peer *peers[SIM_HOST_CONNS];
    uint32_t n_peers;
    struct mail mail;
    struct flow_row rows[64];
    bool mailed, lenient, strangers;
    SSL_CTX *client_tls[SIM_TLS_SHAPES], *server_tls[SIM_MAX_SERVERS], *wrong_tls[SIM_WRONG_CERTS];
    struct mail drain[2][SIM_WORKERS];
    uint8_t drained; /* messages of the drain posted */
    uint64_t steps, famine_victims;
    uint64_t begun, resets, vanished; /* TCP connections of clients, and how clients ended some */
    uint64_t shaken, resumed;         /* handshakes that servers saw complete, */
    uint64_t cut;                     /* and streams that ended without close_notify behind them */
    uint64_t opened[2];               /* bytes that a side's hosts have read out of TLS */
};

/* EAL, rings, devices, pools and the certificate: once a process. */
void sim_init(void);
void sim_fini(void);
/* Run to the end. Returns true where nothing was violated; `sim->error` says what. sim_free either way. */
struct sim *sim_new(const struct sim_setup *setup);
bool sim_run(struct sim *sim);
void sim_free(struct sim *sim);
void sim_fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_note(const struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What each worker has counted. */
void sim_weir_print(const struct sim *sim, FILE *out);
/* Session ends of all listeners of all workers. */
uint64_t sim_ends(const struct sim *sim, enum session_end end);
uint64_t sim_accepted(const struct sim *sim);
uint64_t sim_connect_failures(const struct sim *sim);

void sim_setup_default(struct sim_setup *s, uint64_t seed);
void sim_setup_draw(struct sim_setup *s, uint64_t seed);
void sim_setup_print(const struct sim_setup *s, char *text, size_t room);
void sim_setup_fault(struct sim_setup *s, enum sim_fault_kind kind, uint64_t from_us, uint64_t for_us, uint32_t target);

/* sim_cases.c, sim_cases_tls.c */
struct sim_case {
    const char *name;
    void (*make)(struct sim_setup *s); /* from sim_setup_default */
    void (*check)(struct sim *sim);    /* after a run without violation; NULL: nothing more */
};
extern const struct sim_case sim_cases[], sim_tls_cases[];
extern const unsigned sim_n_cases, sim_n_tls_cases;

/* sim_weir.c */
bool sim_weir_open(struct sim *sim);
void sim_weir_close(struct sim *sim);
const struct sim_queue *sim_weir_queue(uint32_t port, uint32_t queue);
struct rte_mempool *sim_weir_pool(uint32_t port, uint32_t worker);
struct rte_mempool *sim_host_pool(uint32_t side);
/* Everything of the system under test given back? Else writes what is not. */
bool sim_weir_clean(const struct sim *sim, char *text, size_t room);

/* sim_wire.c */
void sim_wire_open(struct sim *sim);
void sim_wire_close(struct sim *sim);
uint32_t sim_wire_in(struct sim *sim);  /* links -> device queues */
uint32_t sim_wire_out(struct sim *sim); /* device queues -> links */
void sim_faults_run(struct sim *sim);
void sim_faults_end(struct sim *sim);
bool sim_wire_clean(const struct sim *sim, char *text, size_t room);
uint64_t sim_next_us(const struct sim *sim, uint64_t limit_us);

static inline uint64_t sim_elapsed(const struct sim *sim) {
    return sim->now_us - sim->start_us;
}

#endif
