/* SPDX-License-Identifier: BSD-3-Clause */
/* Where a worker's cycles go: the time of a turn by stage, measured in about one turn of 128.
 *
 *   cycles_turn_begin   may choose the turn; which ones is drawn at random, in step with nothing periodic
 *   cycles_stage        from here on the time is another stage's; returns the one before, to go back to
 *   cycles_turn_end     adds the turn to the sums of busy turns or of empty ones
 *
 * A turn that is not measured pays one predictable branch a stage. In a measured one each change reads the time-stamp
 * counter (besides worker_main the only place that does); the stages of a turn add up to its length exactly. What a
 * change itself takes was learned at start and is kept apart as `own`.
 *
 * "Cycles" are ticks of the time-stamp counter, which runs at a rate of its own whatever the core's clock does. The
 * processor works ahead, so a border between two stages is some tens of cycles wide. A worker that shares its core is
 * charged what interrupts it where that happens.
 *
 * Written by the worker alone; others may read the sums at any time (torn reads are harmless). */
#ifndef WEIR_CYCLES_H
#define WEIR_CYCLES_H

#include "base/base.h"

#include <rte_cycles.h>

/* X(NAME, label, what it covers). In the order of a message's way. */
#define CYCLES_STAGES(X)                                                                                               \
    X(RX, "rx", "receive bursts of the devices")                                                                       \
    X(HANDOFF, "handoff", "packets from and to other workers")                                                         \
    X(IP, "ip", "Ethernet, ARP, IPv4, ICMP and checksums, in and out")                                                 \
    X(UDP, "udp", "datagrams: flows, echo, new headers")                                                               \
    X(TCP_IN, "tcp_in", "segments into their connections")                                                             \
    X(SESSION, "session", "sessions: what connects the other stages")                                                  \
    X(HANDSHAKE, "handshake", "TLS handshakes: the worker's part")                                                     \
    X(TLS_OPEN, "tls_open", "records opened")                                                                          \
    X(MQTT, "mqtt", "CONNECT, and the order of packets")                                                               \
    X(LB, "lb", "choice of a server, connection to it")                                                                \
    X(TLS_SEAL, "tls_seal", "records sealed")                                                                          \
    X(TCP_OUT, "tcp_out", "segments and acknowledgements built")                                                       \
    X(TX, "tx", "transmit bursts of the devices")                                                                      \
    X(TIMERS, "timers", "timer wheels")                                                                                \
    X(CONTROL, "control", "the loop, health probes, control's requests")                                               \
    X(IDLE, "idle", "back-off after an empty turn")

enum cycles_stage {
#define X(name, label, text) CYCLES_##name,
    CYCLES_STAGES(X)
#undef X
        CYCLES_STAGE_COUNT
};

static_assert(CYCLES_IDLE == CYCLES_STAGE_COUNT - 1, "the last, for it belongs to empty turns alone");

#define CYCLES_PERIOD  128u /* turns from one measured turn to the next, on average; 64 to 192, each as likely */
#define CYCLES_LENGTHS 40u  /* powers of two: 2^40 ticks are some minutes */

/* Sums over measured turns. */
struct cycles_sum {
    uint64_t turns;
    uint64_t own; /* cycles the measuring took */
    uint64_t stages[CYCLES_STAGE_COUNT];
};

struct cycles {
    bool measuring;         /* this turn */
    uint8_t stage;          /* enum cycles_stage, of the moment */
    uint32_t countdown;     /* turns to the next measured one */
    uint32_t period;        /* mean distance; 0: measure none */
    uint32_t random;        /* never 0 */
    uint32_t change_cycles; /* what cycles_change takes, its rdtsc included */
    uint64_t since_tsc;     /* of the last change */
    struct cycles_sum turn; /* the one under way */
    struct cycles_sum busy, empty;
    uint64_t lengths[CYCLES_LENGTHS]; /* all busy turns, by the power of two below their cycles */
};

/* Make `c` ready. seed: any; workers take different ones. Takes some 100 us: it learns what a change costs here. */
void cycles_init(struct cycles *c, uint32_t seed);

/* "tcp_in", and what that covers. */
const char *cycles_stage_name(enum cycles_stage stage);
const char *cycles_stage_text(enum cycles_stage stage);

/* The parts that read no clock, for the functions below and for tests. */
void cycles_begin(struct cycles *c, uint64_t tsc);
/* What passed since cycles_begin went into fetching the code and the sums, cold by now: it is no stage's. */
void cycles_ready(struct cycles *c, uint64_t tsc);
enum cycles_stage cycles_change(struct cycles *c, enum cycles_stage stage, uint64_t tsc);
void cycles_end(struct cycles *c, uint64_t tsc, bool busy);

/* tsc: the moment the turn began, which is when the last one ended. */
static inline void cycles_turn_begin(struct cycles *c, uint64_t tsc) {
    if (WEIR_LIKELY(--c->countdown != 0))
        return;
    cycles_begin(c, tsc);
    if (c->measuring)
        cycles_ready(c, rte_rdtsc());
}

static inline enum cycles_stage cycles_stage(struct cycles *c, enum cycles_stage stage) {
    return WEIR_UNLIKELY(c->measuring) ? cycles_change(c, stage, rte_rdtsc()) : stage;
}

static inline void cycles_turn_end(struct cycles *c, uint64_t tsc, bool busy) {
    if (WEIR_UNLIKELY(c->measuring))
        cycles_end(c, tsc, busy);
}

/* Every busy turn's length, measured in detail or not: one counter. */
static inline void cycles_turn_length(struct cycles *c, uint64_t cycles) {
    c->lengths[weir_min_u32(63u - (uint32_t)__builtin_clzll(cycles | 1), CYCLES_LENGTHS - 1)]++;
}

#endif
