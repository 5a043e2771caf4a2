/* SPDX-License-Identifier: BSD-3-Clause */
#include "schedule.h"

#include <ctype.h>
#include <math.h>

/* --- random numbers: xorshift128+, seeded by splitmix64 so that near seeds do not begin alike --- */
static uint64_t splitmix(uint64_t *x) {
    uint64_t z = *x += 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static uint64_t draw(struct schedule *s) {
    uint64_t a = s->state[0], b = s->state[1];

    s->state[0] = b;
    a ^= a << 23;
    s->state[1] = a ^ b ^ a >> 18 ^ b >> 5;
    return s->state[1] + b;
}

/* 0 .. n - 1 */
static uint32_t draw_below(struct schedule *s, uint64_t n) {
    return (uint32_t)((draw(s) >> 32) * n >> 32);
}

/* --- sizes --- */

/* A decimal number at *text, which moves behind it. */
static bool parse_number(const char **text, uint32_t *out) {
    const char *p = *text;
    uint64_t v = 0;

    while (isdigit((unsigned char)*p) && v <= UINT32_MAX)
        v = v * 10 + (uint64_t)(*p++ - '0');
    if (p == *text || v > UINT32_MAX)
        return false;
    *text = p;
    *out = (uint32_t)v;
    return true;
}

/* Take `mark` off the front of *text if it is there. */
static bool take(const char **text, char mark) {
    if (**text != mark)
        return false;
    (*text)++;
    return true;
}

int schedule_parse_sizes(const char *text, struct schedule_config *c) {
    struct schedule_config parsed = *c;
    uint64_t weights = 0;
    uint32_t n = 0;

    do {
        uint32_t low, high, weight = 1;
        if (n == SCHEDULE_MAX_SIZES || !parse_number(&text, &low))
            return WEIR_EINVAL;
        high = low;
        if (take(&text, '-') && !parse_number(&text, &high))
            return WEIR_EINVAL;
        if (take(&text, '*') && !parse_number(&text, &weight))
            return WEIR_EINVAL;
        weights += weight;
        if (high < low || weight == 0 || weights > UINT32_MAX)
            return WEIR_EINVAL;
        parsed.sizes[n].min_bytes = low;
        parsed.sizes[n].max_bytes = high;
        parsed.sizes[n++].weight = weight;
    } while (take(&text, ','));
    if (*text != '\0')
        return WEIR_EINVAL;
    parsed.n_sizes = n;
    *c = parsed;
    return 0;
}

uint32_t schedule_size(struct schedule *s) {
    const struct schedule_config *c = &s->config;
    uint32_t i = 0;

    if (c->n_sizes == 0)
        return 0;
    if (s->weight_sum > 0 && c->n_sizes > 1) {
        uint32_t at = draw_below(s, s->weight_sum);
        for (; at >= c->sizes[i].weight; i++)
            at -= c->sizes[i].weight;
    }
    uint64_t choices = (uint64_t)c->sizes[i].max_bytes - c->sizes[i].min_bytes + 1;

    return c->sizes[i].min_bytes + (choices > 1 ? draw_below(s, choices) : 0);
}

/* --- arrivals --- */
static double draw_gap_ns(struct schedule *s) {
    if (s->config.arrivals == SCHEDULE_CONSTANT)
        return s->interval_ns;
    double uniform = (double)(draw(s) >> 11) * 0x1p-53; /* [0, 1) */

    return -log1p(-uniform) * s->interval_ns;
}

void schedule_rate(struct schedule *s, double per_s, uint64_t now_ns) {
    s->config.rate_per_s = per_s;
    s->interval_ns = per_s > 0 ? 1e9 / per_s : 0;
    s->start_ns = now_ns;
    s->next_due_ns = draw_gap_ns(s);
}

void schedule_init(struct schedule *s, const struct schedule_config *c, uint64_t now_ns) {
    uint64_t seed = c->seed;

    *s = (struct schedule){.config = *c};
    s->state[0] = splitmix(&seed);
    s->state[1] = splitmix(&seed);
    for (uint32_t i = 0; i < c->n_sizes; i++)
        s->weight_sum += c->sizes[i].weight;
    schedule_rate(s, c->rate_per_s, now_ns);
}

void schedule_shift(struct schedule *s, uint64_t ns) {
    s->start_ns += ns;
}

bool schedule_due(struct schedule *s, uint64_t now_ns, uint64_t *due_ns) {
    if (s->interval_ns <= 0 || now_ns < s->start_ns + (uint64_t)s->next_due_ns)
        return false;
    *due_ns = s->start_ns + (uint64_t)s->next_due_ns;
    s->next_due_ns += draw_gap_ns(s);
    return true;
}
