/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients that go in the middle of their handshake: libssl is spared the expensive steps that are still to come. */
#include "harness.h"

#define SUITE13 "TLS_AES_128_GCM_SHA256"

static bool gone, only_fin; /* whether it was a reset */

static bool client_gone(void *ctx, uint32_t user, bool reset) {
    (void)ctx, (void)user;
    return gone && !(reset && only_fin);
}

/* A first key share that the server has no group for, and a group that it has. */
static const struct harness_options retries = {.version = TLS_V13, .suite = SUITE13, .groups = "P-521:X25519"};
static const struct harness_options rsa = {.kind = KEY_RSA, .version = TLS_V12, .suite = "AES128-GCM-SHA256"};
static const struct harness_options ecdhe = {.version = TLS_V12, .suite = "ECDHE-ECDSA-AES128-GCM-SHA256"};
static const struct harness_options full13 = {.version = TLS_V13, .suite = SUITE13};

static void client_speaks(struct harness *h) {
    SSL_do_handshake(h->client);
    harness_client_flush(h);
}

static void turns(struct harness *h, int n) {
    for (; n > 0; n--) {
        tls_engine_run(h->engine, h->core.run_inline ? 0 : 8);
        harness_turn(h);
    }
}

/* The client has the server's first answer, and what it says to that is on the wire. */
static void answered(struct harness *h, const struct harness_options *o, bool elsewhere) {
    struct harness_options options = *o;

    gone = only_fin = false;
    options.other_thread = elsewhere;
    harness_init(h, &options);
    h->core.gone = client_gone;
    client_speaks(h);
    turns(h, 3);
    cr_assert_eq(h->error, 0);
    client_speaks(h);
    cr_assert_gt(h->wire_in.len_bytes, 50);
}

/* Turn until the message that is costly is with the engine. */
static void posted(struct harness *h) {
    const struct tls_conn *c = tls_conn_get(&h->core, h->id);

    for (int i = 0; i < 5; i++) {
        const struct tls_msg *msg = pool_get(&h->core.places, c->place);
        if (c->flags & TLS_F_IN_FLIGHT && msg->costly)
            return;
        turns(h, 1);
    }
    cr_assert_fail("it never was");
}

/* It is not handed over at all: another core might begin with it right away. */
static void expect_kept(struct harness *h) {
    const struct tls_msg *msg = pool_get(&h->core.places, tls_conn_get(&h->core, h->id)->place);

    for (int i = 0; i < 5 && h->error == 0; i++)
        turns(h, 1);
    cr_expect_not(msg->costly);
}

static void expect_spared(struct harness *h) {
    const struct tls_stats *s = tls_core_stats(&h->core);

    turns(h, 5);
    cr_expect_eq(h->error, -TLS_DROP_HS_CLIENT_GONE, "%d", h->error);
    cr_expect_eq(s->handshakes_spared, 1);
    cr_expect_eq(s->handshakes_wasted + s->handshakes_failed + s->handshakes_done, 0);
    cr_expect_eq(s->drops[TLS_DROP_HS_CLIENT_GONE], 1);
    cr_expect_eq(s->handshakes_begun, 0);
    cr_expect_eq(s->handshakes_answered, 0);
    cr_expect_eq(s->ssl_objects, 0);
    harness_fini(h);
}

static void spared(const struct harness_options *o) {
    struct harness h;
    uint32_t news[4];

    for (int elsewhere = 0; elsewhere < 2; elsewhere++) {
        answered(&h, o, elsewhere); /* gone before its message is taken */
        gone = true;
        expect_kept(&h);
        expect_spared(&h);
        answered(&h, o, elsewhere); /* while it lies in the ring */
        posted(&h);
        gone = true;
        if (elsewhere) /* visited, for its FIN */
            harness_turn(&h);
        expect_spared(&h);
    }
    answered(&h, o, true); /* its owner lets go of it there */
    posted(&h);
    harness_disconnect(&h);
    tls_engine_run(h.engine, 8);
    tls_poll(&h.core, 0, news, 4);
    cr_expect_eq(tls_core_stats(&h.core)->handshakes_spared, 1);
    cr_expect_eq(tls_core_stats(&h.core)->handshakes_wasted, 0);
    harness_fini(&h);
}

/* A second ClientHello brings the whole key exchange, and the signature. */
Test(tls_gone, after_a_hello_retry_request) {
    spared(&retries);
}

/* 1.2: the private key is used, or a key agreed on, when the client's flight comes. */
Test(tls_gone, before_its_keys) {
    spared(&rsa);
    spared(&ecdhe);
}

/* With its keys a client may have sent all it has, and FIN (RFC 7918). */
Test(tls_gone, keys_with_fin_behind) {
    for (int elsewhere = 0; elsewhere < 2; elsewhere++) {
        struct harness h;
        answered(&h, &ecdhe, elsewhere);
        gone = only_fin = true;
        turns(&h, 5);
        cr_expect_eq(h.error, 0);
        cr_expect_eq(tls_core_stats(&h.core)->handshakes_done, 1);
        harness_fini(&h);
    }
}

/* A hello in two records: the first one costs nothing. */
Test(tls_gone, in_the_middle_of_its_hello) {
    struct harness h;
    uint8_t hello[1024], part[1024];

    gone = false;
    harness_init(&h, &full13);
    h.core.gone = client_gone;
    SSL_do_handshake(h.client);
    uint32_t n = (uint32_t)BIO_read(SSL_get_wbio(h.client), hello, sizeof(hello));
    const uint32_t cuts[] = {2, 100}; /* in its header, and behind */
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cuts); i++) {
        if (i > 0)
            harness_init(&h, &full13), h.core.gone = client_gone, gone = false;
        uint32_t first = cuts[i], rest = n - TLS_HEADER_BYTES - first;
        tls_header_put(part, TLS_CT_HANDSHAKE, first);
        memcpy(part + TLS_HEADER_BYTES, hello + TLS_HEADER_BYTES, first);
        harness_inject(&h, part, TLS_HEADER_BYTES + first);
        turns(&h, 3);
        cr_assert_eq(h.error, 0);
        tls_header_put(part, TLS_CT_HANDSHAKE, rest);
        memcpy(part + TLS_HEADER_BYTES, hello + TLS_HEADER_BYTES + first, rest);
        harness_inject(&h, part, TLS_HEADER_BYTES + rest);
        gone = true;
        expect_spared(&h);
    }
}

/* What answers its first message is written already when its second one, which is costly, finds it gone: the owner's to
 * give back. */
Test(tls_gone, behind_an_answer) {
    static const uint8_t next[] = {TLS_CT_HANDSHAKE, 3, 3, 0, 4, 1, 0, 0, 0};
    struct harness_options options = retries;
    struct harness h;
    uint32_t news[4];

    gone = only_fin = false;
    options.other_thread = true;
    harness_init(&h, &options);
    h.core.gone = client_gone;
    client_speaks(&h);
    harness_inject(&h, next, sizeof(next));
    cr_assert_eq(tls_input(&h.core, h.id, &h.wire_in, &h.in, &h.wire_out, 4096), TLS_BUSY);
    tls_engine_run(h.engine, 8);
    cr_assert_eq(tls_poll(&h.core, 0, news, 4), 1);
    gone = true;
    cr_assert_eq(tls_input(&h.core, h.id, &h.wire_in, &h.in, &h.wire_out, 4096), -TLS_DROP_HS_CLIENT_GONE);
    cr_assert_gt(h.wire_out.len_bytes, 0);
    harness_fini(&h);
}

/* What the engine has done is done: that is what "wasted" counts. */
Test(tls_gone, too_late) {
    struct harness h;
    uint32_t news[4];

    answered(&h, &retries, true);
    posted(&h);
    tls_engine_run(h.engine, 8);
    gone = true;
    cr_assert_eq(tls_input(&h.core, h.id, &h.wire_in, &h.in, &h.wire_out, 4096), -TLS_DROP_HS_CLIENT_GONE);
    for (int i = 0; i < 3; i++) {
        tls_poll(&h.core, 0, news, 4);
        tls_engine_run(h.engine, 8);
    }
    cr_assert_eq(h.core.stats.handshakes_wasted, 1);
    cr_assert_eq(h.core.stats.handshakes_spared, 0);
    cr_assert_eq(h.core.stats.ssl_objects, 0);
    harness_fini(&h);
}

/* A second hello counts among those that are with the engine: a first one waits behind it. */
Test(tls_gone, second_hellos_are_hellos) {
    struct harness h;

    answered(&h, &retries, false);
    cr_assert_eq(h.core.stats.handshakes_begun, 0);
    posted(&h);
    cr_assert_eq(h.core.stats.handshakes_begun, 1);
    SSL *first = h.client;
    tls_id id = h.id;
    harness_connect(&h, NULL);
    client_speaks(&h);
    cr_assert_eq(tls_input(&h.core, h.id, &h.wire_in, &h.in, &h.wire_out, 4096), TLS_BUSY);
    cr_assert_eq(h.core.stats.handshakes_waiting, 1);
    harness_disconnect(&h);
    h.client = first;
    h.id = id;
    cr_assert(harness_handshake(&h));
    cr_assert_eq(h.core.stats.handshakes_begun, 0);
    harness_send(&h, 100, 50);
    harness_fini(&h);
}

/* libssl's state is the same behind its first answer and behind all that it says: the client has gone on all the same.
 */
Test(tls_gone, a_second_hello_gains_time) {
    struct harness h;

    answered(&h, &retries, false);
    const struct tls_conn *c = tls_conn_get(&h.core, h.id);
    uint64_t now_us = h.core.now_us + 700000;
    cr_assert_lt(c->hs.since_us, now_us);
    tls_core_now(&h.core, now_us);
    turns(&h, 5);
    cr_assert_eq(c->phase, TLS_PHASE_HANDSHAKE);
    cr_assert_eq(c->hs.since_us, now_us);
    harness_fini(&h);
}

/* Who has said all of it may close: a client's last message costs little, and its data may be right behind. */
Test(tls_gone, behind_its_last_message) {
    struct harness h;

    answered(&h, &full13, false);
    gone = true;
    cr_expect(harness_handshake(&h));
    harness_fini(&h);

    gone = false;
    harness_init(&h, &ecdhe);
    h.core.gone = client_gone;
    cr_assert(harness_handshake(&h));
    SSL_SESSION *session = SSL_get1_session(h.client);
    SSL_set_shutdown(h.client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* or it could not be resumed */
    harness_disconnect(&h);
    harness_connect(&h, session);
    client_speaks(&h);
    turns(&h, 3);
    client_speaks(&h);
    gone = true;
    cr_expect(harness_handshake(&h));
    cr_expect(SSL_session_reused(h.client));
    SSL_SESSION_free(session);
    harness_fini(&h);
}
