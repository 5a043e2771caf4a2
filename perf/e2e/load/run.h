/* SPDX-License-Identifier: BSD-3-Clause */
/* What weir-load does with a load, phase by phase, and what came of it.
 *
 *   connect    until all clients have their CONNACK (churn: no such phase)
 *   traffic    warm-up, then the measured seconds, then the time that what is in flight takes to arrive
 *   hold       idle: the connections stay while keep-alives go
 *   storm      qos1: with traffic going on, many more clients connect at once
 *   ndr        trials at rates that ndr.c asks for, then round trips at shares of the rate found
 *   rest       by turns, whenever asked: nothing new begins, what is under way comes to its end, and the process stops
 *              itself. Its clock stands still meanwhile, so that no timer of any connection notices
 *   goodbye    DISCONNECT, close_notify, FIN
 *
 * Rates are counted over the measured seconds alone; latencies and losses also over what arrives late, else the slowest
 * messages would be missing. */
#ifndef WEIR_RUN_H
#define WEIR_RUN_H

#include "ndr.h"
#include "options.h"

#include <stdio.h>

#define RUN_MAX_TRIALS   128
#define RUN_MAX_FAILURES 8

struct run_generator { /* how hard the generator itself worked */
    double busy_share; /* of its core's time, in turns that did something */
    uint64_t turns, packets_in, packets_out;
    bool limited; /* so busy that it may have been the limit */
};

struct run_quantiles { /* nanoseconds */
    uint64_t min, p50, p90, p99, p999, max;
    double mean;
};

struct run_connect {
    uint64_t wanted, connected, failed, resumed;
    double seconds, per_s;
    struct run_quantiles ns; /* SYN to CONNACK */
};

struct run_traffic {
    double seconds, per_s, bytes_per_s;  /* per_s: acknowledged (QoS 1), arrived (QoS 0, bulk), connected (churn) */
    uint64_t due, sent, received, acked; /* in these seconds */
    uint64_t lost, corrupt, resets;      /* until all had time to arrive */
    int64_t queue_growth;
    struct run_quantiles ns;
};

struct run_storm { /* what --storm adds */
    uint64_t clients, opened, attempts, gave_up;
    double seconds;            /* until all were open, or the end of patience */
    double per_s;              /* opened a second until 95% of them were */
    struct run_quantiles ns;   /* round trips of the established ones meanwhile */
    struct run_quantiles open; /* SYN to CONNACK of attempts that succeeded */
};

struct run_hold {
    double seconds;
    uint64_t open_at_end, resets;
};

struct run_trial {
    double rate, busy_share;
    uint64_t lost;
    enum ndr_verdict verdict;
};

struct run_latency {
    double share, rate;
    struct run_quantiles ns;
};

struct run_ndr {
    double rate;  /* 0: not found */
    bool limited; /* the generator was above 90% busy in a trial that failed */
    uint32_t n_trials, n_latency;
    struct run_trial trials[RUN_MAX_TRIALS];
    struct run_latency latency[LOAD_MAX_SHARES];
};

/* By turns: time at rest, until all was quiet; not that in which the process was stopped. */
struct run_rests {
    uint64_t n;
    double seconds;
};

struct run_result {
    struct run_connect connect;
    struct run_traffic traffic;
    struct run_hold hold;
    struct run_storm storm;
    struct run_ndr ndr;
    struct run_rests rests;
    struct run_generator generator; /* over the measured seconds; idle: while connecting */
    bool connected, traffic_done, hold_done, ndr_done, storm_done; /* which of them there are */
    bool interrupted;
    uint32_t n_failures;
    char failures[RUN_MAX_FAILURES][240]; /* what was asked and did not happen */
};

/* Nanoseconds of the TSC itself, not since start: the TCP timestamps and sequence numbers of a run go on where those of
 * the last one stopped, so that a target in TIME-WAIT takes its SYNs (RFC 6191). */
struct run_clock {
    uint64_t mult; /* ns = (tsc * mult) >> 32 */
};

/* Needs EAL's TSC rate. */
void run_clock_init(struct run_clock *c);
uint64_t run_clock_ns(const struct run_clock *c, uint64_t tsc);

/* What signals ask for. */
struct run_asked {
    volatile int stop; /* 1: an orderly end, more: one at once */
    volatile int rest; /* 1: to let another have the CPU (by turns) */
};

/* Run all phases that the options ask for on a load just made with that clock; lines of progress go to `out`. Fills *r
 * from zero. */
void run_all(const struct load_options *o, struct load *l, const struct run_clock *clock, struct run_asked *asked,
             FILE *out, struct run_result *r);

#endif
