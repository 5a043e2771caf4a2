/* SPDX-License-Identifier: BSD-3-Clause */
/* Many connections of one core that want to shake hands: the engine runs when a test says so, and time is what a test
 * says it is. */
#ifndef TLS_ADMISSION_FIXTURE_H
#define TLS_ADMISSION_FIXTURE_H

#include "harness.h"

#define ROOM 64u

enum { FULL, RESUMES, LARGE, HELLOS };

struct queue { /* many connections of one core, all with the same few hellos */
    struct tls_core core;
    struct tls_engine *engine;
    struct tls_ctx *ctx, *client_ctx;
    uint8_t hello[HELLOS][2048]; /* full; one that hopes to resume, by a ticket that libssl does not take; a long one */
    uint32_t hello_bytes[HELLOS];
    tls_id id[ROOM];
    struct rope in[ROOM], out;
    bool gone[ROOM];
};

static inline bool client_gone(void *ctx, uint32_t user, bool reset) {
    const struct queue *q = ctx;
    (void)reset;
    return q->gone[user];
}

/* As the full one, with a ticket that no key of ours has sealed. */
static inline void hello_resumes(struct queue *q, int kind, uint8_t *p, uint16_t ticket_bytes) {
    uint32_t n = q->hello_bytes[FULL], added = 4u + ticket_bytes;

    memcpy(p, q->hello[FULL], n);
    uint8_t *ticket = p + n, *ext = p + 5 + 4 + 2 + 32;
    ticket[1] = 35;
    ticket[2] = (uint8_t)(ticket_bytes >> 8), ticket[3] = (uint8_t)ticket_bytes;
    ext += 1 + *ext;                   /* session id */
    ext += 2 + (ext[0] << 8 | ext[1]); /* suites */
    ext += 1 + *ext;                   /* compression */
    uint32_t ext_bytes = (uint32_t)(ext[0] << 8 | ext[1]) + added;
    q->hello_bytes[kind] = n += added;
    tls_header_put(p, TLS_CT_HANDSHAKE, n - 5);
    p[1] = 3, p[2] = 1;
    p[7] = (uint8_t)((n - 9) >> 8), p[8] = (uint8_t)(n - 9);
    ext[0] = (uint8_t)(ext_bytes >> 8), ext[1] = (uint8_t)ext_bytes;
}

static inline void hellos_make(struct queue *q) {
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET); /* no extension of this kind of its own */
    SSL *ssl = SSL_new(ctx);
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl);
    SSL_do_handshake(ssl);
    q->hello_bytes[FULL] = (uint32_t)BIO_read(SSL_get_wbio(ssl), q->hello[FULL], 1024);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    hello_resumes(q, RESUMES, q->hello[RESUMES], 4);
    hello_resumes(q, LARGE, q->hello[LARGE], 1000);
}

static inline void queue_init(struct queue *q, struct tls_config config, bool run_inline) {
    memset(q, 0, sizeof(*q));
    config.max_conns = ROOM;
    config.pool = harness_pool();
    config.gone = client_gone;
    config.gone_ctx = q;
    cr_assert_eq(tls_core_init(&q->core, &config), 0);
    q->engine = tls_engine_new(0);
    cr_assert_eq(tls_core_attach(&q->core, q->engine, run_inline), 0);
    q->ctx = harness_ctx(KEY_EC, 0, NULL, NULL);
    char error[256];
    const struct tls_client_ctx_config towards_servers = {.verify_off = true};
    q->client_ctx = tls_client_ctx_new(&towards_servers, error, sizeof(error));
    cr_assert(q->client_ctx != NULL, "%s", error);
    hellos_make(q);
    tls_core_now(&q->core, 1000000);
}

static inline void leave(struct queue *q, uint32_t i) {
    if (q->id[i])
        tls_conn_free(&q->core, q->id[i]);
    q->id[i] = 0;
    rope_clear(&q->in[i]);
}

static inline void queue_fini(struct queue *q) {
    for (uint32_t i = 0; i < ROOM; i++)
        leave(q, i);
    rope_clear(&q->out);
    tls_core_fini(&q->core);
    tls_engine_free(q->engine);
    tls_ctx_unref(q->ctx);
    tls_ctx_unref(q->client_ctx);
    cr_assert_eq(harness_mbufs_out(), 0, "%u mbufs lost", harness_mbufs_out());
}

/* tls_input of connection i. A drop ends it, and it is forgotten. */
static inline int input(struct queue *q, uint32_t i) {
    struct rope plain = {0};
    int rc = tls_input(&q->core, q->id[i], &q->in[i], &plain, &q->out, 4096);

    if (rc < 0)
        leave(q, i);
    return rc;
}

/* Connection i (a number of its own as `user`) has a whole hello. Returns what tls_input says. */
static inline int arrive(struct queue *q, uint32_t i, int kind, uint32_t addr_be) {
    q->id[i] = tls_conn_new(&q->core, q->ctx, i);
    tls_conn_source(&q->core, q->id[i], addr_be);
    harness_push(&q->in[i], q->hello[kind], q->hello_bytes[kind], false);
    return input(q, i);
}

/* Connection i wants to shake hands with a server that never answers. */
static inline int dial(struct queue *q, uint32_t i) {
    q->id[i] = tls_client_new(&q->core, q->client_ctx, NULL, NULL, i);
    return input(q, i);
}

static inline const struct tls_stats *stats(const struct queue *q) {
    return tls_core_stats(&q->core);
}

/* One turn: the engine serves all it has, and tls_input follows tls_poll. Those that begin are written to `order`,
 * those that are refused to `refused`. Answers for handshakes under way are taken and those handshakes let go, so that
 * further ones can begin. */
static inline uint32_t turn(struct queue *q, uint32_t *order, uint32_t *refused) {
    uint32_t news[16], begun = 0, refusals = 0;

    tls_engine_run(q->engine, 16);
    uint32_t n = tls_poll(&q->core, 16, news, 16);
    for (uint32_t k = 0; k < n; k++) {
        uint64_t before = stats(q)->handshakes_started;
        int rc = input(q, news[k]);
        if (rc < 0)
            refused[refusals++] = news[k];
        else if (stats(q)->handshakes_started > before)
            order[begun++] = news[k];
        else
            leave(q, news[k]);
    }
    return begun;
}

/* Turn until all is done; the order in which they began. */
static inline uint32_t order_of(struct queue *q, uint32_t *order) {
    uint32_t n = 0, refused[16];

    for (int i = 0; i < 100; i++)
        n += turn(q, order + n, refused);
    return n;
}

static inline void expect_order(struct queue *q, const uint32_t *expected, uint32_t n) {
    uint32_t order[ROOM], begun = order_of(q, order);

    cr_assert_eq(begun, n, "%u began", begun);
    for (uint32_t i = 0; i < n; i++)
        cr_assert_eq(order[i], expected[i], "place %u: %u began, not %u", i, order[i], expected[i]);
}

#endif
