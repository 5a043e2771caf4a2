/* SPDX-License-Identifier: BSD-3-Clause */
#include "ndr.h"

#define QUEUE_SHARE 0.01
#define QUEUE_MIN   32

enum ndr_verdict ndr_judge(const struct ndr_observation *o, double loss_share) {
    if (o->corrupt)
        return NDR_CORRUPT;
    if (o->resets)
        return NDR_RESET;
    if ((double)o->lost > loss_share * (double)o->sent)
        return NDR_LOST;
    if (o->queue_growth > QUEUE_MIN && (double)o->queue_growth > QUEUE_SHARE * (double)o->due)
        return NDR_QUEUE;
    return NDR_GOOD;
}

const char *ndr_verdict_text(enum ndr_verdict v) {
    static const char *const texts[] = {
        [NDR_GOOD] = "ok",
        [NDR_LOST] = "messages were lost",
        [NDR_CORRUPT] = "messages arrived broken or out of order",
        [NDR_RESET] = "connections were reset",
        [NDR_QUEUE] = "messages piled up",
    };
    return texts[v];
}

void ndr_init(struct ndr *n, double min, double max, double precision) {
    *n = (struct ndr){.min = min, .max = max, .precision = precision, .rate = max > 0 ? max : min};
}

bool ndr_next(const struct ndr *n, double *rate) {
    *rate = n->rate;
    return !n->done;
}

static void bisect(struct ndr *n) {
    /* With nothing good so far, the minimum stands for it until it is tried itself. */
    double low = n->good > 0 ? n->good : n->min;
    bool narrow = n->bad - low <= n->precision * n->bad;
    if (narrow && n->good <= 0 && n->bad > n->min)
        n->rate = n->min;
    else if (narrow)
        n->done = true;
    else
        n->rate = (low + n->bad) / 2;
}

void ndr_result(struct ndr *n, bool good) {
    if (!good && ++n->failed < NDR_TRIES)
        return; /* the same once more */
    n->failed = 0;
    if (good)
        n->good = n->rate;
    else
        n->bad = n->rate;
    if (n->bad > 0)
        bisect(n);
    else if (n->max > 0 || n->rate >= NDR_CEILING)
        n->done = true; /* the highest rate asked for is good */
    else
        n->rate *= 2;
}
