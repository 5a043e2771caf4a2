/* SPDX-License-Identifier: BSD-3-Clause */
/* Which handshake begins next, and which never does. A server's connection asks when its first record is whole; until
 * its turn comes it costs its state and the record, no SSL object.
 *
 *   memory    a hello moves from its buffers of 2 KB to places of its own, so that a storm that waits takes no buffers
 *             from those who are served: mostly one, two or three with a post-quantum key share, or a ticket that
 *             holds a certificate. Of still larger ones, or when places are short, fewer may wait
 *   bounds    so many wait (max_waiting), so many have an SSL object (max_places), so many hellos are with the engine
 *             (max_starts: few, so that order and second thoughts stay here), so many are from one address
 *             (tls_source.h)
 *   order     handshakes towards servers first, as somebody who is through with his own waits for them; then hellos
 *             that hope to resume (tls_hello.c), then full ones, which get every fourth turn and a fourth of the queue
 *             all the same; the oldest first, but the newest first once the oldest has waited longer than patience_us:
 *             those behind it can still be served in time, while it may well have gone
 *   shares    connections whose records libssl carries keep their SSL objects for as long as they live: in both roles
 *             together they get three quarters of max_places, or nobody would shake hands any more. Servers that never
 *             answer hold theirs as long as the owner lets them: of what the former leave, a quarter is kept for
 *             listeners
 *   refusals  the address has its share; the queue is full; or max_wait_us have passed (but the owner judges how long
 *             handshakes towards servers may wait: tls_client_refuse). No SSL object, no key is touched. Where the
 *             queue is full of listeners' handshakes, one of those makes room for one towards a server
 *   gone      the owner is asked before each expensive step whether its client is still there (struct tls_config): a
 *             hello, the second one after a HelloRetryRequest, the key exchange of a full handshake of 1.2
 *   stalled   who was answered and does not send its next message keeps its SSL object only while nobody else needs it:
 *             then the one that owes it for longest goes, after patience_us; a client whose address holds an eighth of
 *             all places, after a quarter of that. One that comes in drops gains time once, with the
 *             first of them; records that mean nothing gain none
 *
 * A refused one stays in a list of its own until tls_poll has named it; tls_input then returns why. */
#ifndef WEIR_TLS_ADMISSION_H
#define WEIR_TLS_ADMISSION_H

#include "tls.h"

struct tls_sources;

/* Of those that wait: for their turn, to be told that they will not have one, or for their client's next message. */
enum tls_class {
    TLS_CLASS_CLIENT,
    TLS_CLASS_RESUMED,
    TLS_CLASS_FULL,
    TLS_CLASS_REFUSED,
    TLS_CLASS_ANSWERED,
    TLS_CLASSES
};

#define TLS_HELLO_PART 762u
#define TLS_HELLO_KEPT (4 * TLS_HELLO_PART) /* bytes of a record that moves */
struct tls_hello {                          /* a part of one */
    uint32_t next;                          /* index of the next part, 0: none */
    uint16_t n;
    uint8_t record[TLS_HELLO_PART];
};
static_assert(sizeof(struct tls_hello) == 768, "memory of those that wait");

struct tls_queue { /* linked by struct tls_hs_state */
    tls_id first, last;
    uint32_t n;
};

struct tls_admission {
    struct tls_queue queue[TLS_CLASSES];
    struct pool hellos; /* struct tls_hello: of those that wait */
    uint32_t max_waiting;
    uint32_t max_large, large;   /* waiting with a hello that stays in its buffers */
    uint32_t max_starts, starts; /* hellos with the engine, or about to be; second ones are not kept back, but count */
    uint32_t client_places;      /* SSL objects of handshakes towards servers, and of clients that linger */
    uint32_t libssl_places;      /* of connections whose records libssl carries, in either role */
    uint32_t resumed_run;        /* hellos that hope to resume, begun in a row while full ones waited */
    uint64_t patience_us, max_wait_us;
    uint32_t max_per_source; /* 0: no limit */
    struct tls_sources *sources;
};

#endif
