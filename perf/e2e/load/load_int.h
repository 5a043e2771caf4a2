/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of the load generator share: one core's state, and what each file does for the others. */
#ifndef WEIR_LOAD_INT_H
#define WEIR_LOAD_INT_H

#include "base/clock.h"
#include "hs13.h"
#include "load.h"
#include "mqtt/mqtt.h"
#include "tcp/tcp_core.h"
#include "tls/tls_core.h"

#define LOAD_MESSAGE_MAX (256u * 1024) /* payload bytes of a PUBLISH */
#define LOAD_HEAD_MAX    64u           /* most bytes before a payload, and its head */
#define LOAD_BACKLOG     65536u        /* messages due that may wait; a power of two */
#define LOAD_PENDING     512u          /* frames that wait for the PMD, a port */
#define PATTERN_PERIOD   4096u         /* payload bytes repeat after so many; a power of two */
#define PATTERN_RUN      16384u        /* and can be copied in runs of so many */

/* --- packets: node.c --- */
struct node_port {
    struct load_port config;
    struct arp_table *arp;
    bool announced;
    uint8_t hop_mac[6]; /* the next hop resolved last, good until hop_until_us */
    uint32_t hop_be;
    uint64_t hop_until_us;
    uint16_t n_pending;
    struct rte_mbuf *pending[LOAD_PENDING];
};

/* Ports, and who answers on them. 0 or WEIR_ENOMEM. */
int node_open(struct load *l);
void node_close(struct load *l);
/* A burst from each port. Returns packets. */
uint32_t node_receive(struct load *l);
/* What TCP and ARP have to send. Returns packets. */
uint32_t node_transmit(struct load *l);

/* --- clients: client.c (from SYN to the end), publish.c (messages) --- */
enum client_stage {
    CLIENT_AWAY,    /* on the list of those who are to connect, or (after goodbye) nowhere */
    CLIENT_RESTING, /* after a failure, until its deadline */
    CLIENT_DIALING, /* SYN is out */
    CLIENT_SHAKING, /* TLS handshake */
    CLIENT_ASKING,  /* CONNECT is out */
    CLIENT_OPEN,
    CLIENT_CLOSING /* DISCONNECT and FIN are out */
};

enum client_list { LIST_CONNECT, LIST_PUBLISH, LIST_COUNT };

/* Clients linked by number. One that no longer belongs there is skipped when its turn comes. */
struct list {
    uint32_t head, tail;
};

/* Numbers go from 1; the one that shows (client-id, topic, payload) is the index, one less. */
struct client {
    tcp_id conn; /* 0: none */
    tls_id tls;
    uint32_t next[LIST_COUNT];
    uint8_t listed;               /* a bit a list */
    uint8_t stage;                /* enum client_stage */
    uint16_t failures;            /* storm: in a row, for the back-off */
    uint32_t sent_seq, acked_seq; /* of the message to leave next, to be acknowledged next */
    uint32_t deadline_ms;         /* of the stage; 0: none */
    uint32_t last_out_ms;         /* keep-alive counts from here */
    uint64_t begun_ns;            /* SYN */
    struct rope plain;            /* TLS: opened, but no whole packet yet */
    struct hs13 *shake;           /* the handshake under way */
};
static_assert(sizeof(struct client) <= 128, "memory budget of a client");

/* Where `resume` is set: what the next connection resumes with, and the connection a ticket came over. */
struct client_ticket {
    struct hs13_result from;
    struct hs13_ticket ticket;
    bool valid, fresh; /* fresh: received over this connection; one is enough */
};

/* --- brokers: broker.c --- */
struct broker {
    tcp_id conn;
    uint32_t client;     /* number of the load client at the other end; 0: somebody else, such as a health check */
    uint32_t left_bytes; /* of a packet's body, still to come */
    uint32_t body_seq;   /* PUBLISH: the message those belong to; the pattern says what they are */
    uint32_t body_at;    /* position of the next of them in the payload */
    uint8_t level;       /* of MQTT; 0: no CONNECT yet */
    bool parted;         /* DISCONNECT has passed: FIN is out */
    bool checked;        /* the body's bytes are the pattern */
};
static_assert(sizeof(struct broker) <= 64, "memory budget of a broker's connection");

struct due {
    uint64_t at_ns;
    uint32_t bytes;
};

struct load {
    struct load_config config; /* defaults filled in */
    uint64_t now_ns, now_us;   /* of this turn */
    struct tcp_core tcp;
    struct tls_core tls;
    uint16_t n_ports, broker_port; /* indices into ports[]; clients use 0 */
    struct node_port ports[2];

    struct client *clients; /* [connections + 1] */
    struct list lists[LIST_COUNT];
    struct timer_wheel wheel; /* a node a client */
    struct hs13_core *hs13;
    struct client_ticket *tickets; /* [connections + 1], where `resume` */
    bool connecting, publishing, leaving, resting;
    uint64_t rest_ns;    /* when the rest began */
    uint32_t closing;    /* clients that have said goodbye and wait for the end */
    bool ways_known;     /* somebody has got through: ARP is done */
    double dial_next_ns; /* connect_rate: when the next SYN is due */
    uint64_t dial_tuple; /* addresses and ports are used in turn */
    uint32_t leave_next; /* goodbye has been said to the clients below */

    struct schedule schedule;
    struct due *backlog; /* ring of LOAD_BACKLOG */
    uint32_t backlog_head, backlog_tail;
    uint64_t *left_ns;    /* QoS 1: when each message in flight was due; 1 << window_bits a client */
    uint32_t window_bits; /* of left_ns */

    struct pool brokers;
    uint32_t *arrived; /* a client: the sequence number its broker expects next */

    struct icmp_limit icmp;
    struct load_stats stats;
    uint8_t pattern[PATTERN_PERIOD + PATTERN_RUN];
};

/* A flow's `user`: whose it is. */
enum load_role { ROLE_CLIENT, ROLE_BROKER };
static inline uint32_t load_user(uint32_t number, enum load_role role) {
    return number << 1 | role;
}

static inline uint32_t client_number(const struct load *l, const struct client *c) {
    return (uint32_t)(c - l->clients);
}

static inline uint32_t load_now_ms(const struct load *l) {
    return clock_ms(l->now_us);
}

/* One of those that hold back at first. */
static inline bool load_storms(const struct load *l, const struct client *c) {
    return client_number(l, c) > l->config.connections - l->config.storm;
}

static inline bool load_publishes(const struct load *l) {
    return l->config.traffic >= LOAD_QOS0;
}

static inline bool load_qos1(const struct load *l) {
    return l->config.traffic == LOAD_QOS1;
}

/* Put behind the others, unless it stands there already. Pop: 0 where nobody waits. */
void list_push(struct load *l, enum client_list which, struct client *c);
struct client *list_pop(struct load *l, enum client_list which);

/* Begin connections: as many as rate and window allow, a bounded number a turn. Returns how many. */
uint32_t client_dial_some(struct load *l);
/* Goodbye to some of them. Returns how many. */
uint32_t client_leave_some(struct load *l);
/* A client's flow has news. */
void client_news(struct load *l, struct client *c, uint8_t events);
/* Deadlines and keep-alive, bounded. Returns how many fired. */
uint32_t client_timers(struct load *l);
/* Plaintext of a client (all of it, in one record where it fits) onto `wire`. 0, or why not: `plain` is dropped then.
 */
int client_seal(struct load *l, struct client *c, struct rope *plain, struct rope *wire);
/* `wire` leaves; it is empty afterwards. */
void client_send(struct load *l, struct client *c, struct rope *wire);
/* Its stream cannot go on: reset, counted as such; it comes back. */
void client_break(struct load *l, struct client *c);
/* tls_config.ticket */
void client_ticket_in(void *ctx, uint32_t user, const uint8_t *message, uint32_t n);

/* An open client may take messages (again). */
void publish_ready(struct load *l, struct client *c);
/* What is due goes out. Returns messages sent. */
uint32_t publish_run(struct load *l);
void publish_forget_backlog(struct load *l);
/* A PUBACK. False: it acknowledges nothing that is in flight. */
bool publish_acked(struct load *l, struct client *c, uint16_t packet_id);
/* What is in flight will not be acknowledged any more. */
void publish_broken(struct client *c);

void broker_accept(struct load *l, tcp_id id);
void broker_news(struct load *l, uint32_t number, uint8_t events);

/* --- bytes: payload.c --- */
/* A packet at the head of a rope: its fixed header. */
struct packet {
    uint8_t first;
    uint32_t head_bytes, bytes; /* of the fixed header; of the whole packet */
};
/* 0, WEIR_MORE, or WEIR_EINVAL (the remaining length makes no sense). */
int packet_peek(const struct rope *r, struct packet *p);

/* CONNECT of a client, in `buf` of at least 64 bytes. Returns its size. nonnull: otherwise GCC takes the writer's test
 * for room as one for NULL, follows NULL to the second byte, and warns of what is written there. */
__attribute__((nonnull(3))) uint32_t payload_connect(const struct load *l, uint32_t index, uint8_t *buf);
/* Packet identifier of a message (2.2.1: never 0). */
static inline uint16_t payload_packet_id(uint32_t seq) {
    return (uint16_t)(1 + seq % 65535);
}
/* Most bytes of a PUBLISH around its payload: fixed header 5, topic 2 + 12, packet identifier 2, properties 1. */
#define PAYLOAD_AROUND 22u
/* Append a whole PUBLISH of n payload bytes. 0, or WEIR_ENOMEM: nothing was appended. */
int payload_publish(const struct load *l, uint32_t index, uint32_t seq, uint64_t due_ns, uint32_t n, struct rope *r);

/* What a payload says of itself, as far as it is long enough to. */
struct payload {
    bool has_index, has_seq, has_due;
    uint32_t index, seq;
    uint64_t due_ns;
};
/* From the payload's first n bytes (n: what is there, `of`: what it has in all). */
void payload_read(const uint8_t *data, uint32_t n, struct payload *p);
/* Are these n bytes what message `seq` has at position `at` of its payload? Looks at up to 8 of them. */
bool payload_sample(const struct load *l, uint32_t seq, uint32_t at, const uint8_t *data, uint32_t n);
/* Bytes in front of the pattern. */
#define PAYLOAD_HEAD 16u

#endif
