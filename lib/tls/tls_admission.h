/* SPDX-License-Identifier: BSD-3-Clause */
/* Which handshake begins next, and which never does. A server's connection asks when its first record is whole; until
 * its turn comes it costs its state and the record, no SSL object.
 *
 *   bounds    so many wait (max_waiting), so many have an SSL object (max_places), so many hellos are with the engine
 *             (max_starts: few, so that order and second thoughts stay here); and so many from one address
 * (tls_source.h) order     clients of ours first, then hellos that hope to resume (tls_hello.c), then full ones, which
 * get every fourth turn all the same; the oldest first, but the newest first once the oldest has waited longer than
 *             patience_us: those behind it can still be served in time, while it may well have gone
 *   refusals  the address has its share; the queue is full; or max_wait_us have passed. No SSL object, no key is
 * touched gone      the owner is asked before the expensive step whether its client is still there (struct tls_config)
 *
 * A refused one stays in a list of its own until tls_poll has named it; tls_input then returns why. */
#ifndef WEIR_TLS_ADMISSION_H
#define WEIR_TLS_ADMISSION_H

#include "tls.h"

struct tls_sources;

enum tls_class { TLS_CLASS_CLIENT, TLS_CLASS_RESUMED, TLS_CLASS_FULL, TLS_CLASS_REFUSED, TLS_CLASSES };

struct tls_queue { /* linked by struct tls_hs_state */
    tls_id first, last;
    uint32_t n;
};

struct tls_admission {
    struct tls_queue queue[TLS_CLASSES];
    uint32_t max_waiting;
    uint32_t max_starts, starts; /* hellos with the engine, or about to be */
    uint32_t resumed_run;        /* hellos that hope to resume, begun in a row while full ones waited */
    uint64_t now_us, patience_us, max_wait_us;
    struct tls_sources *sources; /* NULL: no limit */
};

#endif
