/* SPDX-License-Identifier: BSD-3-Clause */
/* One end of one connection of the churn: who sends when, who closes how, and whether every byte was the right one.
 *
 *   client                         server
 *   hello (id, sizes, how to end)  ->
 *                                  <-  its id again: both ends are open now, and stay so until the client's turn comes
 *   go, `up` bytes                 <->  `down` bytes, as the kind says
 *
 * Both ends know every byte from id and direction. An end is DONE when it saw what its kind promises (all bytes and the
 * FIN, or the reset) and did its own part; anything else is a fault with a reason. */
#ifndef CHURN_EXCHANGE_H
#define CHURN_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

/* X(name, client starts, client ends, server starts, server ends) */
#define EXCHANGE_KINDS(X)                                                                                              \
    X(client_first, AT_GO, WITH_FIN, AFTER_FIN, WITH_FIN)                                                              \
    X(server_first, AFTER_FIN, WITH_FIN, AT_GO, WITH_FIN)                                                              \
    X(both_at_once, AT_GO, WITH_FIN, AT_GO, WITH_FIN)                                                                  \
    X(client_resets, AT_GO, WITH_RESET, AT_GO, IS_RESET)                                                               \
    X(server_resets, AT_GO, IS_RESET, AT_GO, WITH_RESET)

enum exchange_kind {
#define X(name, ...) EXCHANGE_##name,
    EXCHANGE_KINDS(X)
#undef X
        EXCHANGE_KIND_COUNT
};
extern const char *const exchange_kind_names[EXCHANGE_KIND_COUNT];

enum exchange_side { CLIENT, SERVER };

/* What an end of a kind does: when it begins to send, and how its connection ends. */
enum exchange_start { AT_GO, AFTER_FIN };
enum exchange_ending { WITH_FIN, WITH_RESET, IS_RESET };
struct exchange_rule {
    enum exchange_start start;
    enum exchange_ending ending;
};
const struct exchange_rule *exchange_rule_of(uint32_t kind, enum exchange_side side);

enum exchange_progress { EXCHANGE_RUNS, EXCHANGE_OPEN, EXCHANGE_DONE, EXCHANGE_FAILED };

#define EXCHANGE_MAX   (1u << 20) /* bytes a direction */
#define EXCHANGE_MAGIC 0x77656972u

struct exchange_hello { /* both ends run on one machine: its own byte order */
    uint32_t magic, id, up, down, kind;
};

/* `n` bytes at `at` of the stream that `from` sends in exchange `id`. */
void exchange_pattern(uint32_t id, enum exchange_side from, uint32_t at, uint8_t *bytes, uint32_t n);

struct exchange {
    int fd;
    enum exchange_side side;
    struct exchange_hello hello;
    uint32_t greeted;    /* bytes of the other end's greeting that came */
    uint32_t sent, came; /* bytes of the body; `came` of a server counts the go as well */
    bool open, go, fin_sent, fin_came;
    const char *fault;
};

/* A client's connection that is on its way, or one that a server accepted. */
void exchange_init(struct exchange *x, enum exchange_side side, int fd, const struct exchange_hello *hello);
/* The socket has news. EXCHANGE_OPEN comes once, when the greetings are through. The fd is closed with DONE, FAILED. */
enum exchange_progress exchange_run(struct exchange *x);
/* The client's turn has come. */
enum exchange_progress exchange_go(struct exchange *x);

#endif
