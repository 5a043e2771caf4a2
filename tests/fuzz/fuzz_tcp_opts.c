/* SPDX-License-Identifier: BSD-3-Clause */
/* The options parser against a second one that is as plain as RFC 9293 3.1: both must say the same of every input.
 * First byte: bit 0 SYN; the options follow. */
#include "tcp/tcp_int.h"

#include <stdlib.h>

static uint32_t number(const uint8_t *p, uint32_t len) {
    uint32_t v = 0;
    for (uint32_t i = 0; i < len; i++)
        v = v << 8 | p[i];
    return v;
}

/* False: malformed. Kinds and lengths of RFC 9293 3.7.1, RFC 7323 2.2 and 3.2, RFC 2018 2 and 3. */
static bool plain_parse(const uint8_t *p, uint32_t n, bool syn, struct tcp_opts *o) {
    *o = (struct tcp_opts){0};
    for (uint32_t i = 0; i < n && p[i] != 0;) {
        if (p[i] == 1) {
            i++;
            continue;
        }
        if (n - i < 2 || p[i + 1] < 2 || p[i + 1] > n - i)
            return false;
        uint32_t kind = p[i], len = p[i + 1];
        const uint8_t *body = p + i + 2;
        if (syn && kind == 2 && len == 4)
            o->mss = (uint16_t)number(body, 2);
        if (syn && kind == 3 && len == 3) {
            o->has_wscale = true;
            o->wscale = body[0] > 14 ? 14 : body[0];
        }
        if (syn && kind == 4 && len == 2)
            o->sack_permitted = true;
        for (uint32_t at = 2; !syn && kind == 5 && at + 8 <= len && o->n_sacks < 4; at += 8)
            o->sacks[o->n_sacks++] = (struct tcp_sack){number(p + i + at, 4), number(p + i + at + 4, 4)};
        if (kind == 8 && len == 10) {
            o->has_ts = true;
            o->ts_val = number(body, 4);
            o->ts_ecr = number(body + 4, 4);
        }
        i += len;
    }
    return true;
}

static bool same(const struct tcp_opts *a, const struct tcp_opts *b) {
    for (uint32_t i = 0; i < a->n_sacks && i < b->n_sacks; i++)
        if (a->sacks[i].left != b->sacks[i].left || a->sacks[i].right != b->sacks[i].right)
            return false;
    return a->mss == b->mss && a->has_wscale == b->has_wscale && a->wscale == b->wscale &&
           a->sack_permitted == b->sack_permitted && a->has_ts == b->has_ts && a->ts_val == b->ts_val &&
           a->ts_ecr == b->ts_ecr && a->n_sacks == b->n_sacks;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct tcp_opts ours, plain;
    if (size < 1 || size > 1 + TCP_OPTIONS_MAX)
        return 0;
    bool syn = data[0] & 1;
    int rc = tcp_opts_parse(span_of(data + 1, size - 1), syn, &ours);
    bool fine = plain_parse(data + 1, (uint32_t)size - 1, syn, &plain);
    if (rc != (fine ? 0 : -TCP_DROP_OPTION) || (fine && !same(&ours, &plain)))
        abort();
    return 0;
}
