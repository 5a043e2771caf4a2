/* SPDX-License-Identifier: BSD-3-Clause */
#include "exchange.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PERIOD  65521u /* prime: of no length that a segment, a record or a buffer has */
#define AT_ONCE 8192u

const char *const exchange_kind_names[EXCHANGE_KIND_COUNT] = {
#define X(name, ...) #name,
    EXCHANGE_KINDS(X)
#undef X
};

const struct exchange_rule *exchange_rule_of(uint32_t kind, enum exchange_side side) {
    static const struct exchange_rule rules[EXCHANGE_KIND_COUNT][2] = {
#define X(name, client_start, client_ending, server_start, server_ending)                                              \
    [EXCHANGE_##name] = {{client_start, client_ending}, {server_start, server_ending}},
        EXCHANGE_KINDS(X)
#undef X
    };
    return &rules[kind][side];
}

void exchange_pattern(uint32_t id, enum exchange_side from, uint32_t at, uint8_t *bytes, uint32_t n) {
    uint32_t start = id * 7919u + (uint32_t)from * 104729u + at;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t v = (start + i) % PERIOD;
        bytes[i] = (uint8_t)(v * 167u + (v >> 8));
    }
}

static const struct exchange_rule *rule_of(const struct exchange *x) {
    return exchange_rule_of(x->hello.kind, x->side);
}

static uint32_t out_bytes(const struct exchange *x) {
    return x->side == CLIENT ? x->hello.up : x->hello.down;
}

static uint32_t in_bytes(const struct exchange *x) {
    return x->side == CLIENT ? x->hello.down : x->hello.up;
}

static enum exchange_progress end(struct exchange *x, const char *fault) {
    x->fault = fault;
    close(x->fd);
    x->fd = -1;
    return fault != NULL ? EXCHANGE_FAILED : EXCHANGE_DONE;
}

static enum exchange_progress reset(struct exchange *x) {
    struct linger at_once = {.l_onoff = 1};
    setsockopt(x->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    return end(x, NULL);
}

/* recv or send came back with -1. */
static enum exchange_progress failed(struct exchange *x) {
    if (errno == EAGAIN)
        return EXCHANGE_RUNS;
    bool was_reset = errno == ECONNRESET || errno == EPIPE;
    if (was_reset && x->open && x->go && rule_of(x)->ending == IS_RESET)
        return end(x, NULL);
    return end(x, was_reset ? "reset, which nobody asked for" : strerror(errno));
}

void exchange_init(struct exchange *x, enum exchange_side side, int fd, const struct exchange_hello *hello) {
    *x = (struct exchange){.fd = fd, .side = side};
    if (hello != NULL)
        x->hello = *hello;
    x->hello.magic = EXCHANGE_MAGIC;
}

/* A server reads the hello, a client its id; both are few enough bytes to be sent in one piece. */
static enum exchange_progress greet(struct exchange *x) {
    if (x->side == CLIENT && x->greeted == 0 && x->sent == 0) {
        if (send(x->fd, &x->hello, sizeof(x->hello), MSG_NOSIGNAL) != sizeof(x->hello))
            return errno == ENOTCONN ? EXCHANGE_RUNS : failed(x);
        x->sent = 1; /* the body has not begun: only that the hello is out */
    }
    uint32_t id, size = x->side == CLIENT ? sizeof(id) : sizeof(x->hello);
    uint8_t *into = x->side == CLIENT ? (uint8_t *)&id : (uint8_t *)&x->hello;
    ssize_t n = recv(x->fd, into + x->greeted, size - x->greeted, 0);
    if (n < 0)
        return failed(x);
    if (n == 0)
        return end(x, "closed before the greeting was over");
    x->greeted += (uint32_t)n;
    if (x->greeted < size)
        return x->side == CLIENT ? end(x, "the server's greeting came in pieces") : EXCHANGE_RUNS;
    if (x->side == CLIENT && id != x->hello.id)
        return end(x, "another connection's greeting");
    if (x->side == SERVER) {
        if (x->hello.magic != EXCHANGE_MAGIC || x->hello.kind >= EXCHANGE_KIND_COUNT || x->hello.up > EXCHANGE_MAX ||
            x->hello.down > EXCHANGE_MAX)
            return end(x, "no hello of this program");
        if (send(x->fd, &x->hello.id, sizeof(id), MSG_NOSIGNAL) != sizeof(id))
            return failed(x);
    }
    x->open = true;
    x->sent = 0;
    return EXCHANGE_OPEN;
}

/* One piece of what the other end sends. */
static enum exchange_progress take(struct exchange *x, bool *moved) {
    uint8_t bytes[AT_ONCE], expected[AT_ONCE], *body = bytes;
    ssize_t n = recv(x->fd, bytes, sizeof(bytes), 0);
    if (n < 0)
        return failed(x);
    *moved = true;
    if (n == 0) {
        if (rule_of(x)->ending != WITH_FIN)
            return end(x, "FIN where a reset was to come");
        if (x->came != in_bytes(x) || !x->go)
            return end(x, "FIN before all bytes");
        x->fin_came = true;
        return EXCHANGE_RUNS;
    }
    if (!x->go) { /* a server: the go is one byte before the body */
        if (x->side == CLIENT)
            return end(x, "bytes before the go");
        x->go = true;
        body++;
        n--;
    }
    if (x->came + n > in_bytes(x))
        return end(x, "more bytes than were sent");
    exchange_pattern(x->hello.id, !x->side, x->came, expected, (uint32_t)n);
    if (memcmp(body, expected, (size_t)n) != 0)
        return end(x, "other bytes than were sent");
    x->came += (uint32_t)n;
    return EXCHANGE_RUNS;
}

/* One piece of our own. */
static enum exchange_progress give(struct exchange *x, bool *moved) {
    uint8_t bytes[AT_ONCE];
    uint32_t left = out_bytes(x) - x->sent;
    if (x->fin_sent || !x->go || (rule_of(x)->start == AFTER_FIN && !x->fin_came))
        return EXCHANGE_RUNS;
    if (left != 0) {
        uint32_t piece = left < AT_ONCE ? left : AT_ONCE;
        exchange_pattern(x->hello.id, x->side, x->sent, bytes, piece);
        ssize_t n = send(x->fd, bytes, piece, MSG_NOSIGNAL);
        if (n < 0)
            return failed(x);
        *moved = true;
        x->sent += (uint32_t)n;
    } else if (rule_of(x)->ending == WITH_FIN) {
        if (shutdown(x->fd, SHUT_WR) != 0)
            return failed(x);
        x->fin_sent = true;
    }
    return EXCHANGE_RUNS;
}

enum exchange_progress exchange_run(struct exchange *x) {
    if (!x->open)
        return greet(x);
    for (bool moved = true; moved;) {
        moved = false;
        enum exchange_progress p = x->fin_came ? EXCHANGE_RUNS : take(x, &moved);
        if (p == EXCHANGE_RUNS)
            p = give(x, &moved);
        if (p != EXCHANGE_RUNS)
            return p;
        if (x->fin_sent && x->fin_came)
            return end(x, NULL);
        if (rule_of(x)->ending == WITH_RESET && x->go && x->sent >= out_bytes(x) / 2 && x->came >= in_bytes(x) / 2)
            return reset(x);
    }
    return EXCHANGE_RUNS;
}

enum exchange_progress exchange_go(struct exchange *x) {
    x->go = true;
    if (send(x->fd, "!", 1, MSG_NOSIGNAL) != 1)
        return failed(x);
    return exchange_run(x);
}
