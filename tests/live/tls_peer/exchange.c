/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_peer.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PERIOD     65521u /* prime: no record or segment size has it */
#define RECORD_MAX 16384u

struct stream {
    const struct peer_options *o;
    uint8_t pattern[PERIOD + RECORD_MAX];
    uint64_t sent, received, update_at;
    bool writing; /* a record, or an update, has begun and must be written on */
};

static void pattern_make(struct stream *s) {
    uint32_t x = 2463534242u; /* xorshift32 */

    for (size_t i = 0; i < PERIOD; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        s->pattern[i] = (uint8_t)x;
    }
    memcpy(s->pattern + PERIOD, s->pattern, RECORD_MAX);
}

static bool may_send(const struct stream *s) {
    uint64_t out = s->sent - s->received;

    return s->sent < s->o->bytes && (s->writing || s->o->pause_bytes == 0 || out < s->o->pause_bytes);
}

/* One record, or one KeyUpdate. Returns bytes (0: an update), PEER_AGAIN or PEER_FAILED. */
static ssize_t send_one(struct stream *s) {
    const struct peer_options *o = s->o;
    uint64_t left = o->bytes - s->sent;
    size_t n = left < o->record_bytes ? (size_t)left : o->record_bytes;

    if (o->key_update_bytes && s->sent >= s->update_at) {
        int rc = peer_tls.key_update();
        if (rc == 0)
            s->update_at += o->key_update_bytes;
        return rc;
    }
    ssize_t rc = peer_tls.write(s->pattern + s->sent % PERIOD, n);
    if (rc > 0)
        s->sent += (uint64_t)rc;
    return rc;
}

static ssize_t receive_some(struct stream *s) {
    uint8_t data[RECORD_MAX];
    ssize_t n = peer_tls.read(data, sizeof(data));

    if (n <= 0)
        return n;
    if ((uint64_t)n > s->sent - s->received || memcmp(data, s->pattern + s->received % PERIOD, (size_t)n) != 0) {
        fprintf(stderr, "other bytes came than were sent, behind byte %llu\n", (unsigned long long)s->received);
        return PEER_FAILED;
    }
    s->received += (uint64_t)n;
    return n;
}

static bool wait_ready(int fd, const struct stream *s) {
    struct pollfd p = {.fd = fd, .events = (short)(POLLIN | (s->writing ? POLLOUT : 0))};

    if (poll(&p, 1, (int)s->o->patience_s * 1000) > 0)
        return true;
    fprintf(stderr, "nothing moves for %u s: %llu bytes sent, %llu back\n", s->o->patience_s,
            (unsigned long long)s->sent, (unsigned long long)s->received);
    return false;
}

bool exchange(int fd, const struct peer_options *o) {
    struct stream *s = calloc(1, sizeof(*s));
    bool ok = s != NULL;

    if (ok) {
        s->o = o;
        s->update_at = o->key_update_bytes;
        pattern_make(s);
    }
    while (ok && s->received < o->bytes) {
        ssize_t in = receive_some(s), out = PEER_AGAIN;
        if (in != PEER_FAILED && may_send(s)) {
            out = send_one(s);
            s->writing = out == PEER_AGAIN;
        }
        if (in == PEER_END || in == 0)
            fprintf(stderr, "the server closed after %llu bytes\n", (unsigned long long)s->received);
        ok = in != PEER_FAILED && in != PEER_END && in != 0 && out != PEER_FAILED;
        if (ok && in == PEER_AGAIN && out == PEER_AGAIN)
            ok = wait_ready(fd, s);
    }
    free(s);
    return ok;
}
