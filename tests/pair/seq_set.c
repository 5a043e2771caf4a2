/* SPDX-License-Identifier: BSD-3-Clause */
#include "seq_set.h"

#include <stdlib.h>
#include <string.h>

static bool before(uint32_t a, uint32_t b) {
    return (int32_t)(a - b) < 0;
}

void seq_set_clear(struct seq_set *s) {
    free(s->ranges);
    *s = (struct seq_set){0};
}

/* The first range that ends at or behind `seq`. */
static uint32_t find(const struct seq_set *s, uint32_t seq) {
    uint32_t i = s->n;
    while (i > 0 && !before(s->ranges[i - 1].right, seq))
        i--;
    return i;
}

static void insert(struct seq_set *s, uint32_t at, struct seq_range range) {
    if (s->n == s->room) {
        s->room = s->room ? 2 * s->room : 16;
        s->ranges = realloc(s->ranges, s->room * sizeof(*s->ranges));
        if (!s->ranges)
            abort();
    }
    memmove(s->ranges + at + 1, s->ranges + at, (s->n - at) * sizeof(*s->ranges));
    s->ranges[at] = range;
    s->n++;
}

void seq_set_add(struct seq_set *s, uint32_t left, uint32_t right, struct seq_set *twice) {
    struct seq_range sum = {left, right};
    uint32_t first = find(s, left), i = first;
    for (; i < s->n && !before(right, s->ranges[i].left); i++) {
        struct seq_range r = s->ranges[i];
        uint32_t from = before(r.left, left) ? left : r.left, to = before(r.right, right) ? r.right : right;
        if (twice && before(from, to))
            seq_set_add(twice, from, to, NULL);
        sum.left = before(r.left, sum.left) ? r.left : sum.left;
        sum.right = before(sum.right, r.right) ? r.right : sum.right;
    }
    if (i == first) {
        insert(s, first, sum);
        return;
    }
    s->ranges[first] = sum;
    memmove(s->ranges + first + 1, s->ranges + i, (s->n - i) * sizeof(*s->ranges));
    s->n -= i - first - 1;
}

bool seq_set_has(const struct seq_set *s, uint32_t left, uint32_t right) {
    uint32_t i = find(s, right);
    return i < s->n && !before(left, s->ranges[i].left);
}

uint32_t seq_set_end(const struct seq_set *s, uint32_t from) {
    uint32_t i = find(s, from + 1);
    return i < s->n && !before(from, s->ranges[i].left) ? s->ranges[i].right : from;
}
