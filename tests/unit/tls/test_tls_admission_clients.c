/* SPDX-License-Identifier: BSD-3-Clause */
/* Handshakes towards servers among those of listeners: who makes room for whom. */
#include "admission_fixture.h"

/* Where listeners' handshakes fill the queue, one of them makes room: the newest full one, then the newest that hopes
 * to resume; a queue of handshakes towards servers alone is full for the next one, too. */
Test(tls_admission_clients, a_client_finds_room) {
    struct queue q;
    uint32_t order[ROOM], refused[16];

    queue_init(&q, (struct tls_config){.max_handshakes = 4, .max_waiting = 3}, false);
    for (uint32_t i = 0; i < 4; i++)
        arrive(&q, i, FULL, 0);
    arrive(&q, 4, FULL, 0);
    arrive(&q, 5, RESUMES, 0);
    arrive(&q, 6, RESUMES, 0);
    cr_assert_eq(dial(&q, 7), TLS_BUSY);
    cr_assert_eq(q.core.admission.queue[TLS_CLASS_REFUSED].first, q.id[4]);
    cr_assert_eq(dial(&q, 8), TLS_BUSY);
    cr_assert_eq(q.core.admission.queue[TLS_CLASS_REFUSED].last, q.id[6]);
    cr_assert_eq(dial(&q, 9), TLS_BUSY);
    cr_assert_eq(q.core.admission.queue[TLS_CLASS_REFUSED].n, 3);
    cr_assert_eq(dial(&q, 10), -TLS_DROP_HS_QUEUE_FULL);
    turn(&q, order, refused);
    cr_assert_eq(refused[0], 4);
    queue_fini(&q);
}

/* Servers that never answer leave a quarter of the SSL objects to listeners, whose handshakes do not wait behind those
 * that wait for more. */
Test(tls_admission_clients, clients_leave_a_share) {
    struct queue q;
    uint32_t news[16];

    queue_init(&q, (struct tls_config){.max_handshakes = 8}, false);
    for (uint32_t i = 0; i < 10; i++)
        cr_assert_eq(dial(&q, i), TLS_BUSY);
    cr_assert_eq(stats(&q)->handshakes_started, 6);
    cr_assert_eq(stats(&q)->handshakes_waiting, 4);
    tls_engine_run(q.engine, 16);
    uint32_t n = tls_poll(&q.core, 16, news, 16); /* their hellos are to be sent */
    for (uint32_t k = 0; k < n; k++)
        cr_assert_eq(input(&q, news[k]), TLS_WIRE);
    cr_assert_eq(arrive(&q, 20, FULL, 0), TLS_BUSY);
    n = tls_poll(&q.core, 16, news, 16);
    cr_assert(n == 1 && news[0] == 20, "its turn, though others wait in front of it");
    cr_assert_eq(input(&q, 20), TLS_BUSY);
    cr_assert_eq(stats(&q)->handshakes_started, 7);
    leave(&q, 0); /* one gives up: the next that waits begins */
    tls_engine_run(q.engine, 16);
    n = tls_poll(&q.core, 16, news, 16);
    cr_assert(n >= 1 && news[n - 1] == 6);
    queue_fini(&q);
}

/* However few there are, one is left to listeners; but a client finds the only one. */
Test(tls_admission_clients, one_of_few_is_kept) {
    static const uint32_t clients[] = {1, 1, 2, 3, 3}; /* of 1, 2, ... SSL objects */

    for (uint32_t n = 1; n <= WEIR_ARRAY_LEN(clients); n++) {
        struct queue q;
        uint32_t news[16];
        queue_init(&q, (struct tls_config){.max_handshakes = n}, false);
        for (uint32_t i = 0; i < n; i++)
            cr_assert_eq(dial(&q, i), TLS_BUSY);
        cr_expect_eq(stats(&q)->handshakes_started, clients[n - 1], "%lu of %u", stats(&q)->handshakes_started, n);
        cr_assert_eq(arrive(&q, 20, FULL, 0), TLS_BUSY);
        uint32_t named = tls_poll(&q.core, 0, news, 16);
        cr_expect_eq(named == 1 && news[0] == 20, n > 1, "of %u", n);
        queue_fini(&q);
    }
}

/* Its owner waits no longer: one that never began is refused, and the server has nothing to do with it. */
Test(tls_admission_clients, a_client_that_never_began) {
    struct queue q;
    uint32_t order[ROOM], refused[16];

    queue_init(&q, (struct tls_config){.max_handshakes = 4}, false);
    for (uint32_t i = 0; i < 5; i++)
        cr_assert_eq(dial(&q, i), TLS_BUSY);
    cr_assert_not(tls_client_waits(&q.core, q.id[0]));
    cr_assert(tls_client_waits(&q.core, q.id[3]));
    tls_client_refuse(&q.core, q.id[3]);
    cr_assert_eq(input(&q, 3), -TLS_DROP_HS_QUEUE_TIMEOUT);
    cr_assert_eq(stats(&q)->drops[TLS_DROP_HS_QUEUE_TIMEOUT], 1);
    cr_assert_eq(stats(&q)->handshakes_refused, 1);
    cr_assert_eq(stats(&q)->handshakes_waiting, 1);
    tls_client_refuse(&q.core, q.id[0]);
    cr_assert_eq(input(&q, 0), TLS_BUSY, "it has begun");
    leave(&q, 0);
    turn(&q, order, refused);
    cr_assert_not(tls_client_waits(&q.core, q.id[4]));
    queue_fini(&q);
}
