/* SPDX-License-Identifier: BSD-3-Clause */
/* Packet scripts: cases at the wire of lib/tcp under a clock that only moves when the script says so. FORMAT.md
 * documents the language.
 *
 *   main.c      which files and cases, counts, exit status
 *   text.c      a file into lines, words and blocks
 *   value.c     numbers, times, expressions
 *   segment.c   a segment of a script: into an mbuf, or held against what came
 *   world.c     the stack under test: core, flows, clock, what left and when
 *   verbs.c     what each line does;  owner.c  those that stand for the owner of a connection */
#ifndef WEIR_SCRIPT_H
#define WEIR_SCRIPT_H

#include "tcp/tcp_int.h"

#include <setjmp.h>
#include <stdio.h>

#define SCRIPT_WORDS     48
#define SCRIPT_FLOWS     16
#define SCRIPT_VARIABLES 32
#define SCRIPT_QUEUE     512
#define SCRIPT_LOCAL     RTE_BE32(0xc6120001u) /* 198.18.0.1: the stack under test */
#define SCRIPT_REMOTE    RTE_BE32(0xc6120002u) /* 198.18.0.2: the peer, played by the script */
#define SCRIPT_PORT      1883u                 /* of the stack */
#define SCRIPT_PEER_PORT 40000u                /* plus the number of the flow */
#define SCRIPT_LISTENER  7u
#define SCRIPT_START_US  1000000u

/* --- text.c --- */
struct line {
    char *words[SCRIPT_WORDS]; /* "<...>" is one word */
    unsigned n, number;
    unsigned end; /* of a line that opens a block: index of its "end" */
};
struct text {
    char *path;
    struct line *lines;
    unsigned n;
};
/* Exits with a message where the file cannot be read or a block is not closed. */
struct text *text_load(const char *path);
void text_free(struct text *t);

/* --- the stack under test and what the script knows of its peer --- */
struct segment_options {
    bool given, others; /* "<...>" was there; it ends with "..." */
    bool has_mss, has_ws, sack_ok, has_ts;
    bool any_val, any_ecr; /* "*" */
    uint16_t mss;
    uint8_t ws, n_sacks, n_raw;
    uint32_t ts_val, ts_ecr; /* absolute */
    struct tcp_sack sacks[4];
    uint8_t raw[TCP_OPTIONS_MAX];
};

/* A segment that left the stack. */
struct seen {
    uint64_t at_us;
    uint32_t seq, ack, len; /* absolute */
    uint16_t wnd, peer_port, ip_len;
    uint8_t flags, ecn;
    bool df, payload_ok;
    struct tcp_opts opts;
};

struct flow {
    tcp_id id; /* the owner's; 0: none, or let go */
    uint8_t events;
    bool iss_known, ts_known;
    uint32_t iss, irs;         /* what is 0 in the script's sequence numbers: ours, the peer's */
    uint32_t ts_base, ts_last; /* of our timestamps: what is 0, the latest */
    uint32_t top;              /* one beyond the highest sequence number that left, relative */
    uint32_t peer_top;         /* the same of the peer */
    uint32_t queued, taken;    /* bytes of the stream that the owner has sent, has read */
    uint16_t win;              /* the last one that the peer said */
};

struct variable {
    char name[32];
    int64_t value;
};

struct world {
    struct tcp_config config;
    struct tcp_port port;
    struct tcp_core *core; /* NULL until the first line that needs it */
    struct flow flows[SCRIPT_FLOWS];
    unsigned flow; /* the current one */
    uint64_t now_us, base_us, began_us;
    struct seen queue[SCRIPT_QUEUE]; /* what left and was not yet asked for */
    unsigned queued;
    struct rte_mbuf *burst[TCP_BURST]; /* "together" */
    int burst_drop[TCP_BURST];
    unsigned n_burst;
    bool together;
    struct variable variables[SCRIPT_VARIABLES];
    unsigned n_variables;
    /* where we are */
    const struct text *text;
    const struct line *line;
    const char *name;
    jmp_buf out;
    char *trace;
    size_t trace_len, trace_size;
    bool live; /* the trace goes to stdout as it grows */
};

/* --- main.c --- */
/* The case has failed: says where and why, with its trace, and leaves it. */
__attribute__((noreturn, format(printf, 2, 3))) void fail(struct world *w, const char *format, ...);
__attribute__((format(printf, 2, 3))) void trace(struct world *w, const char *format, ...);
/* Lines [from, to) of a text. */
void run_lines(struct world *w, const struct text *t, unsigned from, unsigned to);

/* --- value.c --- */
int64_t value_of(struct world *w, const char *word);
/* A sequence number: an offset from `base`, or "=N" for N itself. */
uint32_t value_seq(struct world *w, const char *word, uint32_t base);
/* "40", "40ms", "200us", "3s", "2m", "24d": microseconds; plain numbers are milliseconds. */
uint64_t value_time(struct world *w, const char *word);
/* Whether `left op right`; op is = != < <= > >=. */
bool value_holds(struct world *w, int64_t left, const char *op, int64_t right);
/* Counters, gauges, fields of the current flow, variables. False: no such name. */
bool value_named(struct world *w, const char *name, int64_t *value);
void value_let(struct world *w, const char *name, int64_t value);

/* --- world.c --- */
struct flow *world_flow(struct world *w);
/* The core, made now where it is not yet. */
struct tcp_core *world_core(struct world *w);
/* Checks that every mbuf and gauge is back where it was. */
void world_end(struct world *w);
/* The connection object of the current flow: the owner's, else the one in the table; 0: none. */
tcp_id world_conn(struct world *w);
/* Give an mbuf to the stack (or to the burst being gathered); `drop` is what must become of it, -1: anything. */
void world_inject(struct world *w, struct rte_mbuf *m, int drop);
void world_flush_burst(struct world *w);
/* Let the stack work at the present time: events, output. */
void world_turn(struct world *w);
/* Run the clock up to that time, or until a segment leaves where `until_segment`. */
void world_run(struct world *w, uint64_t until_us, bool until_segment);
/* Nothing may wait in the queue. */
void world_nothing_left(struct world *w, const char *before);
struct rte_mempool *world_pool(void);

/* --- segment.c --- */
/* in FLAGS SEQ[:END] ... */
void segment_in(struct world *w, const struct line *l, unsigned from);
/* out FLAGS SEQ[:END] ... held against the queue's first. */
void segment_out(struct world *w, const struct line *l, unsigned from);
/* In the script's own words, relative numbers. */
void segment_print(struct world *w, const struct seen *s, char *to, size_t size);

/* --- verbs.c, owner.c --- */
struct verb {
    const char *name;
    void (*run)(struct world *w, const struct line *l, unsigned at); /* words from `at` on are its arguments */
    unsigned least, most;                                            /* arguments */
    bool looks; /* changes nothing of the stack: segments that left may wait to be asked for */
};
extern const struct verb owner_verbs[];
void verb_run(struct world *w, const struct text *t, unsigned *index);
/* The enum value of a lower-case name out of `count` names, or fail. */
int name_of(struct world *w, const char *word, const char *what, const char *(*name)(int), int count);

#endif
