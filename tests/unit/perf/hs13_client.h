/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tests of hs13 share: a client against a tls_server, its bytes fed in pieces. */
#ifndef PERF_HS13_CLIENT_H
#define PERF_HS13_CLIENT_H

#include "../base/mbuf_fixture.h"
#include "perf/e2e/load/hs13_int.h"
#include "tls_server.h"

#define CLIENT_PLACES 4

static struct rte_mempool *pool;
static struct hs13_core *core;
static struct tls_server server;

struct client {
    struct hs13 *hs;
    struct rope in, out;
    struct hs13_result result;
    int rc; /* what hs13_input said last */
};

static inline void client_setup(void) {
    fixture_eal();
    pool = fixture_pool("hs13", FIXTURE_MBUFS);
    core = hs13_core_new(CLIENT_PLACES, pool);
    cr_assert_not_null(core);
}

static inline void client_teardown(void) {
    tls_server_fini(&server);
    cr_expect_eq(core->places.used, 0, "places lost");
    hs13_core_free(core);
    cr_expect_eq(rte_mempool_in_use_count(pool), 0, "mbufs lost");
}

/* An mbuf for each piece, as a network card would deliver it: rope_append would join them. */
static inline void push_pieces(struct rope *r, const uint8_t *data, uint32_t n, uint32_t piece) {
    while (n > 0) {
        uint32_t part = weir_min_u32(n, piece);
        rope_link(r, fixture_mbuf(pool, data, (uint16_t)part));
        data += part;
        n -= part;
    }
}

/* Begin a handshake with a new connection of `server`. Returns the bytes of the server's first flight. */
static inline uint32_t client_begin(struct client *c, uint16_t suite, const char *name,
                                    const struct hs13_ticket *ticket, uint8_t *flight, uint32_t room) {
    *c = (struct client){0};
    tls_server_connect(&server);
    c->hs = hs13_new(core, suite, name, ticket, 1000, &c->out);
    cr_assert_not_null(c->hs);
    return tls_server_shake(&server, &c->out, flight, room);
}

/* Give it everything at once. */
static inline int client_feed(struct client *c, const uint8_t *data, uint32_t n) {
    push_pieces(&c->in, data, n, 1400);
    return c->rc = hs13_input(c->hs, &c->in, &c->out, &c->result);
}

/* Give it a piece after the other. All but the last one must leave it wanting more. */
static inline int client_feed_pieces(struct client *c, const uint8_t *data, uint32_t n, uint32_t piece) {
    for (uint32_t at = 0; at < n; at += piece) {
        push_pieces(&c->in, data + at, weir_min_u32(piece, n - at), piece);
        c->rc = hs13_input(c->hs, &c->in, &c->out, &c->result);
        cr_assert(c->rc == 0 || (c->rc == 1 && at + piece >= n), "%d at %u of %u: %s", c->rc, at, n, hs13_error(c->hs));
    }
    return c->rc;
}

static inline void client_end(struct client *c) {
    hs13_free(c->hs);
    rope_clear(&c->in);
    rope_clear(&c->out);
}

#endif
