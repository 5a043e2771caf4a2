/* SPDX-License-Identifier: BSD-3-Clause */
/* Which handshake begins next and which is refused; clients that go while they wait, and what is counted. */
#include "admission_fixture.h"

/* Four hellos at most are with a handshake core; the rest wait here, without an SSL object. */
Test(tls_admission, few_are_with_the_engine) {
    struct queue q;

    queue_init(&q, (struct tls_config){0}, false);
    for (uint32_t i = 0; i < 10; i++)
        cr_assert_eq(arrive(&q, i, FULL, 0), TLS_BUSY);
    cr_assert_eq(stats(&q)->handshakes_started, 4);
    cr_assert_eq(stats(&q)->handshakes_begun, 4);
    cr_assert_eq(stats(&q)->handshakes_waiting, 6);
    cr_assert_eq(stats(&q)->ssl_objects, 4);
    static const uint32_t expected[] = {4, 5, 6, 7, 8, 9};
    expect_order(&q, expected, 6);
    cr_assert_eq(stats(&q)->handshakes_waiting, 0);
    cr_assert_eq(stats(&q)->handshakes_queued, 6);
    queue_fini(&q);
}

/* Hellos that wait lie in places of their own, long ones in several; those for which there is none keep their mbufs, so
 * only so many may wait. All begin. */
Test(tls_admission, hellos_that_wait_hold_no_mbuf) {
    struct queue q;
    uint32_t order[ROOM];

    queue_init(&q, (struct tls_config){.max_waiting = 20, .max_waiting_large = 2}, false);
    for (uint32_t i = 0; i < 4; i++)
        arrive(&q, i, FULL, 0);
    cr_assert_eq(harness_mbufs_out(), 4, "with the engine");
    for (uint32_t i = 4; i < 20; i++)
        cr_assert_eq(arrive(&q, i, i % 2 ? RESUMES : FULL, 0), TLS_BUSY);
    cr_assert_eq(arrive(&q, 20, LARGE, 0), TLS_BUSY);
    cr_assert_eq(q.core.admission.hellos.used, 18);
    cr_assert_eq(arrive(&q, 21, LARGE, 0), TLS_BUSY);
    cr_assert_eq(q.core.admission.hellos.used, 20);
    cr_assert_eq(harness_mbufs_out(), 4);
    leave(&q, 21);
    cr_assert_eq(arrive(&q, 22, FULL, 0), TLS_BUSY);
    cr_assert_eq(arrive(&q, 23, LARGE, 0), TLS_BUSY, "one place is left, and it takes two");
    cr_assert_eq(harness_mbufs_out(), 5);
    leave(&q, 23);
    cr_assert_eq(arrive(&q, 24, LARGE, 0), TLS_BUSY, "in place of one that left");
    cr_assert_eq(harness_mbufs_out(), 5);
    cr_assert_eq(order_of(&q, order), 19);
    cr_assert_eq(stats(&q)->handshakes_failed, 0, "libssl had all of each hello");
    cr_assert_eq(q.core.admission.hellos.used, 0);
    cr_assert_eq(q.core.admission.large, 0);
    queue_fini(&q);
}

/* Its turn comes, and no mbuf is left to carry its hello to libssl: it tries again. */
Test(tls_admission, a_hello_waits_for_an_mbuf) {
    struct queue q;
    uint32_t news[16];

    queue_init(&q, (struct tls_config){0}, false);
    for (uint32_t i = 0; i < 5; i++)
        arrive(&q, i, FULL, 0);
    tls_engine_run(q.engine, 16);
    cr_assert_eq(tls_poll(&q.core, 0, news, 16), 5);
    cr_assert_eq(news[4], 4);
    harness_starve(0);
    cr_assert_eq(input(&q, 4), TLS_MORE_WORK);
    cr_assert_eq(stats(&q)->no_mbuf, 1);
    harness_unstarve();
    cr_assert_eq(input(&q, 4), TLS_BUSY);
    cr_assert_eq(stats(&q)->handshakes_started, 5);
    queue_fini(&q);
}

/* Inline: one a turn. */
Test(tls_admission, one_a_turn_inline) {
    struct queue q;
    uint32_t news[16];

    queue_init(&q, (struct tls_config){0}, true);
    for (uint32_t i = 0; i < 5; i++)
        arrive(&q, i, FULL, 0);
    for (uint32_t i = 0; i < 5; i++) {
        cr_assert_eq(stats(&q)->handshakes_started, i + 1);
        uint64_t before = stats(&q)->handshake_steps;
        uint32_t n = tls_poll(&q.core, 16, news, 16);
        cr_assert_eq(stats(&q)->handshake_steps, before + 1);
        cr_assert_eq(n, i < 4 ? 2 : 1); /* one that is answered, one that may begin */
        cr_assert_eq(news[0], i);
        for (uint32_t k = 0; k < n; k++)
            input(&q, news[k]);
    }
    queue_fini(&q);
}

/* Those that hope to resume first, but every fourth is a full one. */
Test(tls_admission, resumptions_first) {
    struct queue q;

    queue_init(&q, (struct tls_config){0}, false);
    for (uint32_t i = 0; i < 4; i++)
        arrive(&q, i, FULL, 0);
    for (uint32_t i = 4; i < 8; i++)
        arrive(&q, i, FULL, 0);
    for (uint32_t i = 8; i < 16; i++)
        arrive(&q, i, RESUMES, 0);
    static const uint32_t expected[] = {8, 9, 10, 4, 11, 12, 13, 5, 14, 15, 6, 7};
    expect_order(&q, expected, 12);
    queue_fini(&q);
}

/* Once the oldest has waited for too long, the newest begins; when those are done, it is the oldest's turn again. */
Test(tls_admission, newest_first_under_overload) {
    struct queue q;

    queue_init(&q, (struct tls_config){.patience_ms = 1000, .max_wait_ms = 5000}, false);
    for (uint32_t i = 0; i < 4; i++)
        arrive(&q, i, FULL, 0);
    for (uint32_t i = 4; i < 10; i++) {
        tls_core_now(&q.core, 1000000 + i * 100000);
        arrive(&q, i, FULL, 0);
    }
    uint32_t order[ROOM], refused[16];
    tls_core_now(&q.core, 1400000 + 1000000);
    cr_assert_eq(turn(&q, order, refused), 4);
    cr_assert_eq(order[0], 4, "a second is not more than a second");
    for (uint32_t i = 10; i < 14; i++)
        arrive(&q, i, FULL, 0);
    tls_core_now(&q.core, 1400000 + 2000000);
    cr_assert_eq(turn(&q, order, refused), 4);
    static const uint32_t newest[] = {13, 12, 11, 10};
    cr_assert_arr_eq(order, newest, sizeof(newest));
    cr_assert_eq(stats(&q)->handshake_longest_wait_us, 1000000);
    queue_fini(&q);
}

/* What cannot be served in time is refused without an SSL object, and named once. */
Test(tls_admission, those_that_waited_too_long_are_refused) {
    struct queue q;
    uint32_t order[16], refused[16];

    queue_init(&q, (struct tls_config){.patience_ms = 1000, .max_wait_ms = 5000}, false);
    for (uint32_t i = 0; i < 8; i++)
        arrive(&q, i, i % 2 ? RESUMES : FULL, 0);
    tls_core_now(&q.core, 1000000 + 5000001);
    cr_assert_eq(turn(&q, order, refused), 0);
    cr_assert_eq(stats(&q)->drops[TLS_DROP_HS_QUEUE_TIMEOUT], 4);
    cr_assert_eq(stats(&q)->handshakes_refused, 4);
    cr_assert_eq(stats(&q)->handshakes_started, 4);
    for (uint32_t i = 4; i < 8; i++)
        cr_assert_eq(q.id[i], 0, "%u is still there", i);
    queue_fini(&q);
}

/* A full queue: newcomers are refused; but one that hopes to resume displaces a full one, and under overload the oldest
 * has to go. */
Test(tls_admission, a_full_queue) {
    struct queue q;
    uint32_t order[16], refused[16] = {0};

    queue_init(&q, (struct tls_config){.max_waiting = 3, .patience_ms = 1000}, false);
    for (uint32_t i = 0; i < 7; i++)
        cr_assert_eq(arrive(&q, i, FULL, 0), TLS_BUSY);
    cr_assert_eq(arrive(&q, 7, FULL, 0), -TLS_DROP_HS_QUEUE_FULL);
    cr_assert_eq(q.out.len_bytes, 7, "the alert");
    cr_assert_eq(arrive(&q, 8, RESUMES, 0), TLS_BUSY);
    cr_assert_eq(stats(&q)->handshakes_waiting, 3);
    tls_core_now(&q.core, 1000000 + 1000001);
    cr_assert_eq(arrive(&q, 9, FULL, 0), TLS_BUSY);
    cr_assert_eq(stats(&q)->handshakes_waiting, 3);
    cr_assert_eq(turn(&q, order, refused), 3);
    cr_assert_eq(refused[0], 6, "the newest, for one that resumes");
    cr_assert_eq(refused[1], 4, "the oldest, under overload");
    static const uint32_t expected[] = {8, 9, 5};
    cr_assert_arr_eq(order, expected, sizeof(expected));
    cr_assert_eq(stats(&q)->drops[TLS_DROP_HS_QUEUE_FULL], 3);
    queue_fini(&q);
}

Test(tls_admission, each_source_has_its_share) {
    struct queue q;

    queue_init(&q, (struct tls_config){.max_per_source = 2}, false);
    cr_assert_eq(arrive(&q, 0, FULL, 10), TLS_BUSY);
    cr_assert_eq(arrive(&q, 1, RESUMES, 10), TLS_BUSY);
    cr_assert_eq(arrive(&q, 2, FULL, 10), -TLS_DROP_HS_SOURCE_LIMIT);
    cr_assert_eq(arrive(&q, 3, FULL, 11), TLS_BUSY);
    for (uint32_t i = 4; i < 10; i++)
        cr_assert_eq(arrive(&q, i, FULL, 0), TLS_BUSY, "no address, no limit");
    leave(&q, 1);
    cr_assert_eq(arrive(&q, 1, FULL, 10), TLS_BUSY);
    cr_assert_eq(arrive(&q, 2, FULL, 10), -TLS_DROP_HS_SOURCE_LIMIT);
    cr_assert_eq(stats(&q)->drops[TLS_DROP_HS_SOURCE_LIMIT], 2);
    queue_fini(&q);
}

/* Connection i has its answer, and its client says no more. */
static void answer(struct queue *q, uint32_t i, uint32_t addr_be) {
    uint32_t news[16];

    cr_assert_eq(arrive(q, i, FULL, addr_be), TLS_BUSY);
    tls_engine_run(q->engine, 16);
    cr_assert_eq(tls_poll(&q->core, 0, news, 16), 1);
    cr_assert_eq(input(q, news[0]), TLS_WIRE);
    rope_clear(&q->out);
}

/* Turns until one of those that were answered has gone, and one that waits has begun in its place. */
static void expect_exchange(struct queue *q, uint32_t gone, uint32_t begun) {
    uint32_t order[16], refused[16], n = 0;

    cr_assert_eq(turn(q, order, refused), 0);
    cr_assert_eq(q->id[gone], 0, "%u goes", gone);
    cr_assert_eq(refused[0], gone);
    for (int i = 0; i < 3 && n == 0; i++)
        n = turn(q, order, refused);
    cr_assert_eq(n, 1);
    cr_assert_eq(order[0], begun);
}

/* Clients that are silent keep their SSL objects until others need them; then the longest silence ends. */
Test(tls_admission, the_silent_make_room) {
    struct queue q;
    uint32_t order[16], refused[16];

    queue_init(&q, (struct tls_config){.max_handshakes = 2, .patience_ms = 1000}, false);
    answer(&q, 0, 1);
    tls_core_now(&q.core, 1500000);
    answer(&q, 1, 2);
    cr_assert_eq(stats(&q)->handshakes_answered, 2);
    tls_core_now(&q.core, 5000000);
    cr_assert_eq(turn(&q, order, refused), 0);
    cr_assert_neq(q.id[0], 0, "nobody needs its place");
    tls_core_now(&q.core, 2000000); /* as if the others had come sooner */
    arrive(&q, 2, FULL, 3);
    arrive(&q, 3, FULL, 3);
    cr_assert_eq(turn(&q, order, refused), 0);
    cr_assert_neq(q.id[0], 0, "a second is not more than a second");
    tls_core_now(&q.core, 2000001);
    expect_exchange(&q, 0, 2);
    cr_assert_neq(q.id[1], 0, "it has half a second left");
    cr_assert_eq(stats(&q)->drops[TLS_DROP_HS_STALLED], 1);
    cr_assert_eq(stats(&q)->handshakes_wasted, 1);
    cr_assert_eq(stats(&q)->handshakes_failed, 0);
    queue_fini(&q);
}

/* Silent clients from an address that holds an eighth of all places, and more than 16, have a quarter of that time. */
Test(tls_admission, a_crowd_makes_room_sooner) {
    struct queue q;
    uint32_t order[16], refused[16];

    queue_init(&q, (struct tls_config){.max_handshakes = 20, .patience_ms = 1000}, false);
    for (uint32_t i = 0; i < 20; i++)
        answer(&q, i, i < 3 ? i + 1 : 77);
    arrive(&q, 20, FULL, 9);
    tls_core_now(&q.core, 1250000);
    cr_assert_eq(turn(&q, order, refused), 0);
    cr_assert_eq(stats(&q)->handshakes_wasted, 0);
    tls_core_now(&q.core, 1250001);
    expect_exchange(&q, 3, 20);
    arrive(&q, 21, FULL, 9);
    cr_assert_eq(turn(&q, order, refused), 0);
    cr_assert_neq(q.id[4], 0, "16 are no crowd");
    queue_fini(&q);
}

/* Records that take it no further gain a client no time: a ChangeCipherSpec of 1.3, a message in single bytes. What
 * lies with the engine is given a little longer. */
Test(tls_admission, drops_gain_no_time) {
    static const uint8_t ccs[] = {TLS_CT_CCS, 3, 3, 0, 1, 1};
    struct queue q;

    queue_init(&q, (struct tls_config){.max_handshakes = 2, .patience_ms = 1000}, false);
    answer(&q, 0, 1);
    tls_core_now(&q.core, 1500000);
    answer(&q, 1, 2);
    arrive(&q, 2, FULL, 3);
    tls_core_now(&q.core, 2000001);
    harness_push(&q.in[0], ccs, sizeof(ccs), false);
    cr_assert_eq(input(&q, 0), TLS_BUSY);
    uint32_t news[16];
    cr_assert_eq(tls_poll(&q.core, 0, news, 16), 0, "it may be what was awaited");
    tls_engine_run(q.engine, 16);
    cr_assert_eq(tls_poll(&q.core, 0, news, 16), 1);
    cr_assert_eq(input(&q, 0), 0);
    expect_exchange(&q, 0, 2);
    cr_assert_eq(stats(&q)->drops[TLS_DROP_HS_STALLED], 1);
    queue_fini(&q);
}

/* Nor may a client keep its place by keeping the engine busy. */
Test(tls_admission, with_the_engine_for_ever) {
    static const uint8_t ccs[] = {TLS_CT_CCS, 3, 3, 0, 1, 1};
    struct queue q;
    uint32_t news[16];

    queue_init(&q, (struct tls_config){.max_handshakes = 1, .patience_ms = 1000}, false);
    answer(&q, 0, 1);
    arrive(&q, 1, FULL, 3);
    harness_push(&q.in[0], ccs, sizeof(ccs), false);
    cr_assert_eq(input(&q, 0), TLS_BUSY);
    tls_core_now(&q.core, 3000000);
    cr_assert_eq(tls_poll(&q.core, 0, news, 16), 0);
    tls_core_now(&q.core, 3000001);
    cr_assert_eq(tls_poll(&q.core, 0, news, 16), 1);
    cr_assert_eq(input(&q, 0), -TLS_DROP_HS_STALLED);
    cr_assert_eq(stats(&q)->handshakes_wasted, 1);
    queue_fini(&q);
}

/* Who sends its next message has time again for the one behind it. */
Test(tls_admission, the_slow_are_not_the_silent) {
    struct harness h;
    struct tls_frame f;
    uint8_t flight[1024];
    uint32_t news[4];

    harness_init(&h, &(struct harness_options){.version = TLS_V12, .suite = "ECDHE-ECDSA-AES128-GCM-SHA256"});
    tls_core_now(&h.core, 1000000);
    SSL_do_handshake(h.client);
    harness_client_flush(&h);
    for (int i = 0; i < 3; i++)
        harness_turn(&h);
    SSL_do_handshake(h.client);
    int n = BIO_read(SSL_get_wbio(h.client), flight, sizeof(flight));
    const struct tls_conn *c = tls_conn_get(&h.core, h.id);
    cr_assert_eq(c->hs.since_us, 1000000);
    tls_core_now(&h.core, 1900000);
    harness_inject(&h, flight, TLS_HEADER_BYTES + (uint32_t)(flight[3] << 8 | flight[4])); /* ClientKeyExchange */
    cr_assert_eq(tls_frame_peek(&h.wire_in, TLS_RECORD_WIRE_MAX, &f), 1);
    cr_assert_lt((int)f.body_bytes, n - 5);
    for (int i = 0; i < 3; i++)
        harness_turn(&h);
    cr_assert_eq(tls_poll(&h.core, 0, news, 4), 0);
    cr_assert_eq(h.error, 0);
    cr_assert_eq(c->phase, TLS_PHASE_HANDSHAKE);
    cr_assert_eq(c->hs.since_us, 1900000);
    harness_fini(&h);
}

/* A record that hopes to resume says so itself: a flood of them leaves full handshakes a fourth of the queue. */
Test(tls_admission, hopes_do_not_fill_the_queue) {
    struct queue q;

    queue_init(&q, (struct tls_config){.max_waiting = 8, .patience_ms = 1000}, false);
    for (uint32_t i = 0; i < 4; i++)
        arrive(&q, i, FULL, 0);
    for (uint32_t i = 4; i < 12; i++)
        cr_assert_eq(arrive(&q, i, RESUMES, 0), TLS_BUSY);
    for (uint32_t i = 12; i < 14; i++)
        cr_assert_eq(arrive(&q, i, FULL, 0), TLS_BUSY, "the newest that hopes makes room");
    cr_assert_eq(arrive(&q, 14, FULL, 0), -TLS_DROP_HS_QUEUE_FULL);
    cr_assert_eq(arrive(&q, 15, RESUMES, 0), -TLS_DROP_HS_QUEUE_FULL, "two are its share");
    cr_assert_eq(stats(&q)->handshakes_waiting, 8);
    static const uint32_t begin[] = {4, 5, 6, 12, 7, 8, 9, 13};
    expect_order(&q, begin, 8);
    queue_fini(&q);
}

/* Where the places for hellos run out, as many go as a newcomer needs; but nobody for one that is too large anyway. */
Test(tls_admission, a_newcomer_of_several_parts) {
    struct queue q;

    queue_init(&q, (struct tls_config){.max_waiting = 4, .max_waiting_large = 1, .patience_ms = 1000}, false);
    for (uint32_t i = 0; i < 8; i++)
        cr_assert_eq(arrive(&q, i, FULL, 0), TLS_BUSY);
    q.core.admission.large = 1;
    cr_assert_eq(arrive(&q, 8, LARGE, 0), TLS_BUSY);
    cr_assert_eq(stats(&q)->handshakes_waiting, 3, "two full ones went");
    q.id[9] = tls_conn_new(&q.core, q.ctx, 9);
    uint8_t huge[TLS_HELLO_KEPT + 1] = {TLS_CT_HANDSHAKE, 3, 1, (TLS_HELLO_KEPT - 4) >> 8, (TLS_HELLO_KEPT - 4) & 255};
    rope_append(&q.in[9], harness_pool(), huge, sizeof(huge));
    tls_core_now(&q.core, 3000000);
    cr_assert_eq(input(&q, 9), -TLS_DROP_HS_QUEUE_FULL);
    cr_assert_eq(stats(&q)->handshakes_waiting, 3);
    q.core.admission.large = 0;
    queue_fini(&q);
}

/* A client that goes with half of its hello said has cost nothing yet. */
Test(tls_admission, half_a_hello_is_not_wasted) {
    struct queue q;
    uint32_t news[16];

    queue_init(&q, (struct tls_config){0}, false);
    uint32_t half = q.hello_bytes[FULL] / 2;
    q.id[0] = tls_conn_new(&q.core, q.ctx, 0);
    tls_header_put(q.hello[FULL], TLS_CT_HANDSHAKE, half - 5);
    harness_push(&q.in[0], q.hello[FULL], half, false);
    cr_assert_eq(input(&q, 0), TLS_BUSY);
    tls_engine_run(q.engine, 16);
    cr_assert_eq(tls_poll(&q.core, 0, news, 16), 1);
    cr_assert_eq(input(&q, 0), 0);
    leave(&q, 0);
    cr_assert_eq(stats(&q)->handshakes_wasted, 0);
    cr_assert_eq(stats(&q)->handshakes_spared, 1);
    queue_fini(&q);
}

/* A handshake that is complete no longer counts against its address. */
Test(tls_admission, a_complete_handshake_counts_no_more) {
    struct tls_config config = {.max_conns = 8, .max_per_source = 1, .pool = harness_pool()};
    struct harness h;

    harness_init(&h, &(struct harness_options){.version = TLS_V13, .suite = "TLS_AES_256_GCM_SHA384"});
    harness_disconnect(&h);
    tls_core_fini(&h.core);
    cr_assert_eq(tls_core_init(&h.core, &config), 0);
    cr_assert_eq(tls_core_attach(&h.core, h.engine, true), 0);
    for (int i = 0; i < 3; i++) {
        if (i > 0)
            SSL_free(h.client); /* its connection stays */
        harness_connect(&h, NULL);
        tls_conn_source(&h.core, h.id, 99);
        cr_assert(harness_handshake(&h), "handshake %d", i);
        harness_send(&h, 100, 50); /* its keys are whole */
    }
    for (tls_id id = 1; id <= 3; id++)
        if (id != h.id)
            tls_conn_free(&h.core, id);
    harness_fini(&h);
}

/* Gone before it asks, while it waits, when its turn comes, and right before the expensive step: nothing is spent. */
Test(tls_admission, clients_that_went_cost_nothing) {
    struct queue q;
    uint32_t order[16], refused[16] = {0}, news[16];

    queue_init(&q, (struct tls_config){0}, true);
    q.gone[0] = true;
    cr_assert_eq(arrive(&q, 0, FULL, 0), -TLS_DROP_HS_CLIENT_GONE);
    for (uint32_t i = 1; i < 6; i++)
        cr_assert_eq(arrive(&q, i, FULL, 0), TLS_BUSY); /* the first has begun */
    q.gone[2] = true;
    cr_assert_eq(input(&q, 2), -TLS_DROP_HS_CLIENT_GONE, "its owner looked at it again");
    q.gone[3] = true;
    q.gone[1] = true; /* with the engine, and nothing has told its owner yet */
    uint32_t n = tls_poll(&q.core, 16, news, 16);
    cr_assert_eq(n, 3);
    cr_assert_eq(input(&q, news[0]), -TLS_DROP_HS_CLIENT_GONE);
    cr_assert_eq(news[0], 1);
    cr_assert_eq(input(&q, news[1]), -TLS_DROP_HS_CLIENT_GONE);
    cr_assert_eq(news[1], 3);
    cr_assert_eq(news[2], 4);
    cr_assert_eq(input(&q, 4), TLS_BUSY);
    leave(&q, 5); /* its owner knows */
    leave(&q, 4); /* and here too, while the message is with the engine */
    tls_poll(&q.core, 16, news, 16);
    turn(&q, order, refused);
    cr_assert_eq(stats(&q)->handshakes_spared, 6);
    cr_assert_eq(stats(&q)->handshakes_wasted, 0);
    cr_assert_eq(stats(&q)->handshakes_failed, 0);
    cr_assert_eq(stats(&q)->drops[TLS_DROP_HS_CLIENT_GONE], 4);
    cr_assert_eq(stats(&q)->ssl_objects, 0);
    cr_assert_lt(stats(&q)->handshake_longest_step_tsc, rte_get_tsc_hz() / 100);
    queue_fini(&q);
}

/* Gone after the signature: that is what "wasted" counts. */
Test(tls_admission, wasted_ones_are_counted) {
    struct queue q;
    uint32_t news[16];

    queue_init(&q, (struct tls_config){0}, false);
    for (uint32_t i = 0; i < 3; i++)
        arrive(&q, i, FULL, 0);
    tls_engine_run(q.engine, 16);
    leave(&q, 0); /* its answer is on the way */
    cr_assert_eq(tls_poll(&q.core, 0, news, 16), 2);
    leave(&q, 1); /* its answer lies here */
    cr_assert_eq(input(&q, 2) & TLS_WIRE, TLS_WIRE);
    leave(&q, 2); /* the client has it, and does not answer */
    cr_assert_eq(stats(&q)->handshakes_wasted, 3);
    cr_assert_eq(stats(&q)->handshakes_spared, 0);
    queue_fini(&q);
}

/* A long random life: whatever happens, nothing is lost, and every handshake that asked ends in one way. */
Test(tls_admission, everyone_ends_in_one_way) {
    struct queue q;
    uint64_t seed = 11, now_us = 1000000, asked = 0, done_with = 0;
    uint32_t news[16];

    queue_init(&q, (struct tls_config){.max_waiting = 12, .max_handshakes = 6, .max_per_source = 9}, false);
    for (int step = 0; step < 6000; step++) {
        uint32_t i = harness_random(&seed, ROOM);
        tls_core_now(&q.core, now_us += harness_random(&seed, 200000));
        switch (harness_random(&seed, 6)) {
        case 0:
        case 1:
            if (q.id[i] == 0) {
                q.gone[i] = harness_random(&seed, 20) == 0;
                asked++;
                arrive(&q, i, (int)harness_random(&seed, 2), 1 + harness_random(&seed, 4));
            }
            break;
        case 2:
            q.gone[i] = true;
            break;
        case 3:
            leave(&q, i);
            break;
        default:
            tls_engine_run(q.engine, harness_random(&seed, 3));
            for (uint32_t k = 0, n = tls_poll(&q.core, 0, news, 1 + harness_random(&seed, 15)); k < n; k++)
                if (q.id[news[k]])
                    input(&q, news[k]);
        }
        cr_assert_leq(stats(&q)->handshakes_waiting, 12);
        cr_assert_leq(stats(&q)->handshakes_begun, 4);
        cr_assert_leq(stats(&q)->ssl_objects, 6);
    }
    for (uint32_t i = 0; i < ROOM; i++)
        leave(&q, i);
    tls_engine_run(q.engine, 16);
    tls_poll(&q.core, 0, news, 16);
    const struct tls_stats *s = stats(&q);
    done_with =
        s->handshakes_done + s->handshakes_failed + s->handshakes_refused + s->handshakes_spared + s->handshakes_wasted;
    cr_assert_eq(done_with, asked, "%lu of %lu", done_with, asked);
    cr_assert_gt(s->handshakes_refused, 0);
    cr_assert_gt(s->handshakes_wasted, 0);
    cr_assert_gt(s->handshakes_spared, 0);
    cr_assert_gt(s->drops[TLS_DROP_HS_STALLED], 0);
    cr_assert_eq(s->handshakes_answered, 0);
    cr_assert_eq(q.core.admission.hellos.used, 0);
    cr_assert_eq(s->ssl_objects, 0);
    cr_assert_eq(s->handshakes_waiting, 0);
    cr_assert_eq(s->handshakes_begun, 0);
    queue_fini(&q);
}

/* Completions that fill all the room of tls_poll, turn after turn (records that libssl carries elsewhere), leave a
 * share of it to those that wait. */
Test(tls_admission, completions_without_end) {
    enum { BUSY = 4, POLLED = 4 };
    struct queue q;
    uint32_t news[POLLED];
    bool begun = false;

    queue_init(&q, (struct tls_config){.max_handshakes = 32}, false);
    for (uint32_t i = 0; i < BUSY; i++)
        cr_assert_eq(arrive(&q, i, FULL, 0), TLS_BUSY);
    cr_assert_eq(arrive(&q, BUSY, FULL, 0), TLS_BUSY);
    cr_assert_eq(stats(&q)->handshakes_waiting, 1);
    for (int t = 0; t < 20 && !begun; t++) {
        cr_assert_geq(tls_engine_run(q.engine, 16), POLLED - 1);
        uint32_t n = tls_poll(&q.core, 0, news, POLLED);
        for (uint32_t k = 0; k < n; k++) {
            begun |= news[k] == BUSY;
            if (news[k] == BUSY)
                continue;
            leave(&q, news[k]); /* and the next one is there at once: its hello is with the engine */
            q.core.admission.max_starts = 32;
            uint32_t waiting = q.core.admission.queue[TLS_CLASS_FULL].n;
            q.core.admission.queue[TLS_CLASS_FULL].n = 0;
            cr_assert_eq(arrive(&q, news[k], FULL, 0), TLS_BUSY);
            q.core.admission.queue[TLS_CLASS_FULL].n = waiting;
        }
    }
    cr_expect(begun, "the one that waits is never named");
    queue_fini(&q);
}
