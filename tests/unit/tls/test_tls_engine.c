/* SPDX-License-Identifier: BSD-3-Clause */
/* One engine for several workers, in a thread of its own. */
#include "harness.h"

#include <pthread.h>
#include <stdatomic.h>

#define SUITE "TLS_AES_128_GCM_SHA256"

Test(tls_engine, shares_its_places) {
    struct tls_config config = {.max_conns = 8, .max_handshakes = 3, .pool = harness_pool()};
    struct tls_core a, b, c;
    struct tls_engine *engine = tls_engine_new(5);

    cr_assert_eq(tls_core_init(&a, &config), 0);
    cr_assert_eq(tls_core_init(&b, &config), 0);
    cr_assert_eq(tls_core_init(&c, &config), 0);
    cr_assert_eq(tls_core_attach(&a, engine, false), 0);
    cr_assert_eq(tls_core_attach(&a, engine, false), WEIR_EEXIST);
    cr_assert_eq(tls_core_attach(&b, engine, false), 0);
    cr_assert_eq(tls_core_attach(&c, engine, false), WEIR_EFULL);
    cr_assert_eq(a.max_places, 3);
    cr_assert_eq(b.max_places, 2);
    tls_core_fini(&a);
    cr_assert_eq(tls_core_attach(&c, engine, false), 0);
    cr_assert_eq(c.max_places, 3);
    tls_core_fini(&b);
    tls_core_fini(&c);
    tls_engine_free(engine);
}

Test(tls_engine, serves_no_more_than_asked) {
    struct harness h;

    harness_init(&h, &(struct harness_options){.version = TLS_V13, .suite = SUITE, .other_thread = true});
    cr_assert_eq(tls_engine_run(h.engine, 8), 0);
    SSL_do_handshake(h.client);
    harness_client_flush(&h);
    harness_turn(&h);
    cr_assert_eq(tls_engine_run(h.engine, 0), 0);
    cr_assert_eq(tls_engine_run(h.engine, 8), 1);
    cr_assert_eq(tls_engine_run(h.engine, 8), 0);
    harness_fini(&h);
}

static atomic_bool stop;

static void *engine_thread(void *engine) {
    while (!atomic_load(&stop))
        if (tls_engine_run(engine, 8) == 0)
            rte_pause();
    return NULL;
}

/* A real second thread: handshakes complete, and connections freed in the midst of it leave nothing behind. */
Test(tls_engine, in_a_thread_of_its_own) {
    struct harness h;
    pthread_t thread;
    uint64_t seed = 77;
    uint32_t done = 0;

    harness_init(&h, &(struct harness_options){.version = TLS_V13, .suite = SUITE, .other_thread = true});
    struct tls_engine *engine = h.engine;
    atomic_store(&stop, false);
    pthread_create(&thread, NULL, engine_thread, engine);
    for (int i = 0; i < 40; i++) {
        uint32_t patience = harness_random(&seed, 3) ? 1000000 : harness_random(&seed, 2000);
        for (uint32_t turn = 0; turn < patience && !tls_established(&h.core, h.id) && h.error == 0; turn++) {
            SSL_do_handshake(h.client);
            harness_client_flush(&h);
            harness_turn(&h);
        }
        done += tls_established(&h.core, h.id);
        harness_disconnect(&h);
        harness_connect(&h, NULL);
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    cr_assert_gt(done, 20);
    cr_assert_eq(h.core.stats.taken_over, done);
    harness_fini(&h);
}
