/* SPDX-License-Identifier: BSD-3-Clause */
/* The highest rate without loss (non-drop rate, NDR): throughput of RFC 2544 26.1, found by bisection. Pure logic: asks
 * for a rate, is told how the trial went.
 *
 * With a maximum given, the first trial is at that maximum, as RFC 2544 has it. Without one, rates double from the
 * minimum until one fails. Then the interval between the highest good and the lowest bad rate is halved until it is
 * narrow enough. A rate is bad when NDR_TRIES trials at it were: one disturbance by something else on the machine must
 * not end the search far below the truth. */
#ifndef WEIR_NDR_H
#define WEIR_NDR_H

#include "base/base.h"

#define NDR_TRIES   2
#define NDR_CEILING 1e9 /* messages a second: doubling stops here */

/* What a trial saw. */
struct ndr_observation {
    uint64_t due, sent;     /* by the schedule; really */
    uint64_t lost, corrupt; /* after what was in flight had time to arrive */
    uint64_t resets;        /* connections, either side */
    int64_t queue_growth;   /* of messages that were due and had not arrived, from the trial's start to its end */
};

enum ndr_verdict { NDR_GOOD, NDR_LOST, NDR_CORRUPT, NDR_RESET, NDR_QUEUE };

/* loss_share: of the messages sent that may be lost all the same; RFC 2544: 0. NDR_QUEUE: more than a hundredth of what
 * was due (and more than 32 messages) piled up: a longer trial would pile up more. */
enum ndr_verdict ndr_judge(const struct ndr_observation *o, double loss_share);
const char *ndr_verdict_text(enum ndr_verdict v); /* "messages were lost" */

struct ndr {
    double min, max;  /* max 0: unknown */
    double precision; /* of the result, as a share of it */
    double good, bad; /* highest and lowest so far; 0: none yet */
    double rate;      /* under trial */
    uint32_t failed;  /* trials of it that were bad */
    bool done;
};

/* min > 0; max 0 or >= min; precision in (0, 1). */
void ndr_init(struct ndr *n, double min, double max, double precision);
/* The rate to try next; false: the search is over, and n->good is its result (0: even the minimum fails). */
bool ndr_next(const struct ndr *n, double *rate);
/* How the trial at that rate went. */
void ndr_result(struct ndr *n, bool good);

#endif
