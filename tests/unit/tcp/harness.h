/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tests of lib/tcp share: EAL, a core with one port, crafted segments, decoded output, and two cores over a
 * link whose faults come from a seed. The test owns the clock. */
#ifndef WEIR_TEST_TCP_HARNESS_H
#define WEIR_TEST_TCP_HARNESS_H

#include "tcp/tcp_int.h"

#define LOCAL_ADDR  RTE_BE32(0xc6120001u) /* 198.18.0.1 */
#define REMOTE_ADDR RTE_BE32(0xc6120002u) /* 198.18.0.2 */
#define LOCAL_PORT  RTE_BE16(1883)
#define REMOTE_PORT RTE_BE16(40000)

void harness_eal(void);                 /* once a process */
struct rte_mempool *harness_pool(void); /* all mbufs of a test */
uint32_t harness_mbufs_out(void);       /* mbufs not in the pool */

/* A core with port 0 (MTU 1500, multi_seg), started at 1 s. `config` may be NULL. */
struct tcp_core *harness_core(const struct tcp_config *config);
/* Checks that all mbufs and flows came home, and frees. */
void harness_core_free(struct tcp_core *core);

/* --- crafted segments --- */
struct craft {
    uint32_t seq, ack, len;
    uint8_t flags;
    uint16_t wnd, mss;
    bool has_ts, sack_ok;
    int wscale; /* 0: none, else shift + 1 */
    uint32_t ts_val, ts_ecr;
    uint8_t n_sacks;
    struct tcp_sack sacks[4];
    uint8_t fill;         /* payload byte; 0: seq-dependent pattern */
    uint16_t remote_port; /* host order; 0: 40000 */
    uint16_t local_port;  /* host order; 0: 1883 */
    uint8_t ecn;          /* the ECN field of the IP header */
};
struct rte_mbuf *craft(const struct craft *f);
/* Feed one; frees the mbuf where it was not kept. Returns the verdict. */
int feed(struct tcp_core *core, const struct craft *f);
int feed_mbuf(struct tcp_core *core, struct rte_mbuf *m);
/* The peer's next bytes. */
int feed_data(struct tcp_core *core, tcp_id id, uint32_t len);
/* The byte at sequence number `seq` of the pattern. */
uint8_t pattern_at(uint32_t seq);

/* --- output, decoded --- */
struct decoded {
    uint32_t seq, ack, len;
    uint16_t wnd;
    uint8_t flags;
    struct tcp_opts opts;
    bool syn_opts;
    uint8_t ecn;
};
/* Run tcp_output once, decode up to max, free them. Verifies lengths and checksums. */
unsigned drain(struct tcp_core *core, struct decoded *d, unsigned max);
/* How many segments leave, whatever they say. */
unsigned drain_all(struct tcp_core *core);
/* Exactly one segment is expected. */
struct decoded drain_one(struct tcp_core *core);
/* Advance the clock by ms in 1 ms steps, running timers; output is left alone. */
void sleep_ms(struct tcp_core *core, uint32_t ms);

/* A passive flow, established: the peer's next byte is 1001, ours stands in snd_una. */
struct craft peer_segment(const struct tcp_core *core, tcp_id id);
tcp_id establish(struct tcp_core *core, const struct craft *syn_options);

/* The flow of LOCAL_PORT and REMOTE_PORT in that state; its events are fetched, its output drained. */
tcp_id in_state(struct tcp_core *core, enum tcp_state state);
/* Queue n bytes of the pattern; the first is pattern_at(0). */
void send_bytes(struct tcp_core *core, tcp_id id, uint32_t n);

/* --- two cores over a link --- */
struct link_faults {
    double loss, duplicate, reorder;
    uint32_t delay_us;
    uint32_t rate_bytes_per_ms; /* 0: no limit */
    uint64_t seed;
    bool strip_options; /* SYNs lose SACK-permitted, timestamps and window scale on the way */
};
struct link;
struct link *link_new(const struct link_faults *f, const struct tcp_config *a, const struct tcp_config *b);
void link_free(struct link *l);
struct tcp_core *link_core(struct link *l, int side);
uint64_t link_now(const struct link *l);
/* One step of the clock: deliver, timers, output. */
void link_step(struct link *l);
void link_faults_set(struct link *l, const struct link_faults *f);

#endif
