/* SPDX-License-Identifier: BSD-3-Clause */
/* Two whole TCP stacks over an in-memory link; the test owns the clock.
 *
 *   pair.c         the two cores, their pools and ports; one turn; the step of the clock; what must hold at the end
 *   pair_app.c     the owners of the flows: streams known by position, so that every byte is compared on arrival
 *   pair_wire.c    looks at what passes (trace, last segment of each way) and makes segments of a stranger's
 *   pair_model.c   the reference model: judges every packet and, each turn, both cores
 *   pair_cell.c    one run of a transfer under given conditions, and conditions drawn from a seed
 *
 * Side 0 connects, side 1 listens (a simultaneous open apart). A run depends on struct pair_setup alone. The first
 * failure is kept in pair.error, with the state of all flows behind it; everything that follows returns at once.
 * WEIR_PAIR_TRACE=1 prints every segment. */
#ifndef WEIR_PAIR_H
#define WEIR_PAIR_H

#include "../sim/link.h"
#include "seq_set.h"
#include "tcp/tcp.h"
#include "tcp/tcp_core.h"

#define PAIR_CONNS         8
#define PAIR_ADDR(side)    ((side) ? RTE_BE32(0xc6120002) : RTE_BE32(0xc6120001)) /* 198.18.0.1, 198.18.0.2 */
#define PAIR_SERVER_PORT   1883
#define PAIR_CLIENT_PORT   10000 /* plus the connection's number */
#define PAIR_STRANGER_PORT 20000 /* from here on: no flow of side 0's, what is sent there is only looked at */
#define PAIR_SECOND        1000000ull
#define PAIR_POOL_MBUFS    2047u

#define PAIR_CUT_MBUFS 4095u

/* A side's pools; made once a process and whole again after every run. CUT is its device's own, and never short. */
enum pair_pool { PAIR_POOL_RX, PAIR_POOL_TX, PAIR_POOL_APP, PAIR_POOL_CUT, PAIR_POOL_COUNT };

/* All that a run depends on, beside the code. [s]: of side s; the link from s to the other. */
struct pair_setup {
    uint64_t seed;
    struct sim_link_config link[2];
    struct tcp_config tcp[2];
    bool multi_seg[2], hw_cksum[2];
    uint16_t
        tso_segs[2]; /* the device cuts segments of up to so many mbufs (needs both of the above); 0: it does not */
    uint16_t mtu[2];
    struct tcp_options options[2];
    uint32_t strip;   /* options that a middlebox takes off SYNs: bit k for kind k */
    int32_t tx_room;  /* packets a turn: drawn from 0..tx_room; -1: as many as there are */
    uint32_t turn_us; /* a turn's length while there is work */
    uint64_t start_us;
};

/* What an end does beside moving bytes. */
#define PAIR_SHUTDOWN      0x01 /* FIN once everything is queued */
#define PAIR_CLOSE         0x02 /* release once everything is queued and the peer's FIN has been read up to */
#define PAIR_RELEASE_EARLY 0x04 /* release once everything is queued and all of the peer's bytes are read */
#define PAIR_ECHO          0x08 /* what is read is what is to be sent; FIN after FIN */
#define PAIR_AFTER_FIN     0x10 /* writes nothing before the peer's FIN: half-closed all along */

#define PAIR_BLIND 0x20 /* reads whatever comes: it is a stranger's */

/* One end of a connection, as its owner sees it. */
struct pair_end {
    tcp_id id;    /* 0: not open yet, or released */
    uint8_t does; /* PAIR_* */
    bool opened, shut, released, closed;
    uint8_t seen;                     /* all TCP_EV_* so far */
    enum tcp_end end;                 /* with TCP_EV_CLOSED */
    uint32_t read_chunk, write_chunk; /* most bytes a visit; 0: no limit */
    uint64_t read_from_us;            /* reads nothing before */
    uint64_t write_bytes, written_bytes, read_bytes;
};
struct pair_conn {
    struct pair_end end[2];
    uint16_t client_port; /* 0: PAIR_CLIENT_PORT + number */
    bool may_break;       /* the test expects an end other than FIN */
    bool by_cookie; /* data that overtake the handshake's ACK are a stray's, and reset; an ACK repeated after all is
                       over opens a flow once more */
    bool refused;   /* that has happened */
};

/* A segment, as read off the wire or to be injected. */
struct pair_segment {
    uint32_t seq, ack, len_bytes;
    uint16_t sport, dport, window, urgent;
    uint8_t flags;
    bool has_ts, has_wscale, sack_permitted;
    uint8_t wscale;
    uint16_t mss; /* 0: no such option */
    uint32_t ts_val, ts_ecr;
    uint8_t n_sacks;
    struct seq_range sacks[4];
    uint8_t ecn; /* the two bits of the IP header, RFC 3168 5 */
    /* of injected ones only */
    uint8_t fill;           /* payload; 0: 'x' */
    uint8_t data_offset;    /* in words; 0: what is right */
    const uint8_t *options; /* in place of those above */
    uint8_t options_bytes;  /* a multiple of 4 */
};

struct pair;
struct pair_model;
struct pair_side {
    struct pair *pair;
    struct tcp_core *core;
    struct sim_link *tx; /* to the other side */
    struct rte_mempool *const *pools;
    struct rte_mbuf **taken; /* mbufs that a test took out of a pool */
    uint32_t n_taken;
    bool dark;          /* nothing this side sends arrives */
    uint8_t dark_flags; /* nor any segment with one of these flags */
    bool icmp_due;      /* a router has an error for this side */
    struct icmp_error icmp;
    struct pair_segment last; /* that this side sent, for any connection */
    uint64_t bad_checksum;    /* packets refused before TCP */
};

struct pair {
    struct pair_setup setup;
    struct pair_side side[2];
    struct pair_conn conn[PAIR_CONNS];
    uint32_t n_conns;
    struct pair_model *model;
    struct sim_rng rng;
    uint64_t now_us;
    uint32_t idle_turns;             /* in a row, with a core that says it is busy */
    struct pair_segment to_stranger; /* the last one */
    uint64_t stranger_segments, stranger_bytes;
    uint16_t path_mtu; /* a router between passes no larger packets, and says so, but for a black hole; 0: no limit */
    bool black_hole;
    bool progress, trace;
    char error[2048];
};

/* --- pair.c --- */
/* EAL and the pools; once a process. */
void pair_init(void);
/* A run with the default set-up, in which nothing is open yet. */
struct pair *pair_new_default(uint64_t seed);
/* A run of one connection with the default set-up that has been established; its ends do nothing by themselves. */
struct pair *pair_new_established(uint64_t seed);
/* 1 ms round trip, nothing lost, no limits. */
void pair_setup_default(struct pair_setup *setup, uint64_t seed);
/* Both cores, side 1 listening. Never NULL; look at error. */
struct pair *pair_new(const struct pair_setup *setup);
/* Everything is over: ends what is open, then checks that nothing is held (gauges, table, wheel, pools). Returns false,
 * and prints the error and the seed to stderr, where the run failed at any point. */
bool pair_finish(struct pair *p);
void pair_fail(struct pair *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Run until `done` (checked after each turn) or, with done NULL, until the time is over. `for_us` is a bound with
 * `done`: reaching it is a failure. Returns false on failure. */
bool pair_run(struct pair *p, bool (*done)(const struct pair *), uint64_t for_us);
/* Every connection is closed on both sides and nothing is left in either core or under way. */
bool pair_is_over(const struct pair *p);
/* Take all free mbufs of a pool away from the stack, or give them back. */
void pair_pool_drain(struct pair *p, unsigned side, enum pair_pool pool);
void pair_pool_refill(struct pair *p, unsigned side);

/* --- pair_app.c --- */
/* Before pair_open: so many bytes each way, FIN behind them. */
void pair_set_transfer(struct pair *p, uint32_t number, uint32_t bytes);
/* Connect. Both ends must have been set up by the caller: p->conn[number].end[]. */
void pair_open(struct pair *p, unsigned side, uint32_t number);
/* Serve all flows that are READY. */
void pair_serve(struct pair *p, unsigned side);
/* When an end that waits wants to go on; SIM_LINK_NEVER. */
uint64_t pair_app_next_us(const struct pair *p);
void pair_app_wake(struct pair *p);
/* Both directions of all connections have carried all bytes. */
bool pair_all_arrived(const struct pair *p);
bool pair_all_established(const struct pair *p);
/* The owner's calls, keeping the end's record. */
void pair_abort(struct pair *p, unsigned side, uint32_t number);
void pair_release(struct pair *p, unsigned side, uint32_t number);
void pair_shutdown(struct pair *p, unsigned side, uint32_t number);
/* Those ends of a connection that are open end it in good order. */
void pair_close(struct pair *p, uint32_t number);
/* Queue so many bytes at once, more than the stack says there is room for. */
void pair_write(struct pair *p, unsigned side, uint32_t number, uint32_t n);
enum tcp_state pair_state(const struct pair *p, unsigned side, uint32_t number); /* CLOSED where there is no flow */

/* Are these the bytes that `side` of a connection sends from `position` on? */
bool pair_stream_is(const struct pair *p, unsigned side, uint32_t number, uint64_t position, const uint8_t *bytes,
                    uint32_t n);

/* --- pair_wire.c --- */
/* False: no TCP segment. `*payload` lies within the packet. */
bool pair_parse(const uint8_t *packet, uint32_t len_bytes, struct pair_segment *s, const uint8_t **payload);
bool pair_tap(void *side, uint8_t *packet, uint32_t len_bytes);
/* A segment that seems to come from `from`, delivered now. */
void pair_inject(struct pair *p, unsigned from, const struct pair_segment *segment);

/* --- pair_cell.c --- */
/* Who closes how. */
enum pair_close {
    PAIR_CLOSE_BOTH,     /* each with FIN behind its own bytes */
    PAIR_CLOSE_CLIENT,   /* the client first, the server writes half-closed */
    PAIR_CLOSE_SERVER,   /* the other way round */
    PAIR_RELEASE_CLIENT, /* the client lets go of the flow at once when it has all bytes */
    PAIR_RELEASE_SERVER,
    PAIR_RELEASE_BOTH,
    PAIR_CLOSE_COUNT
};

struct pair_cell {
    uint64_t seed;
    uint32_t loss_ppm, reorder_ppm, dup_ppm, corrupt_ppm, mark_ppm;
    uint32_t rtt_us;
    uint32_t rcv_buf_bytes;
    uint32_t bytes; /* each way */
    uint32_t conns;
    uint32_t read_chunk, write_chunk;
    int32_t tx_room;
    uint64_t bytes_per_s;
    bool multi_seg[2];
    uint16_t tso_segs[2]; /* not 0: the device cuts segments of up to so many mbufs, and does all that this takes */
    bool hw_cksum, hold_tx, wrap, echo, drain_pools, outages, both_open;
    uint16_t mtu[2];
    uint16_t path_mtu; /* of a path that changes to it, and back, now and then; 0: it does not */
    uint32_t strip;
    bool black_hole;       /* and its router says nothing */
    bool default_timeouts; /* in place of ones that nothing reaches; none may fire */
    enum pair_close close;
    struct tcp_options options[2];
};
void pair_cell_draw(struct pair_cell *c, uint64_t seed);
void pair_cell_print(const struct pair_cell *c, char *text, size_t room);
/* Returns true, or false with everything about it on stderr. What both cores have counted is added to `counted`, where
 * that is not NULL. */
bool pair_cell_run(const struct pair_cell *c, struct tcp_stats *counted);

#endif
