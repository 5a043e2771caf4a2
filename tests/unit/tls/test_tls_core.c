/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <sys/mman.h>

Test(tls_core, keys_come_back_as_stored) {
    for (uint8_t row = 1; row <= tls_suites_count; row++) {
        struct pair p;
        struct tls_dir_keys keys[2] = {0};
        uint8_t secret[TLS_SECRET_MAX];

        pair_init(&p, row);
        struct tls_conn *c = tls_conn_get(&p.core, p.server);
        const struct tls_suite *s = tls_conn_suite(c);
        for (int dir = 0; dir < 2; dir++) {
            memset(keys[dir].key, 0x10 + dir, s->aead->key_bytes);
            memset(keys[dir].secret, 0x20 + dir, s->hash);
            memset(keys[dir].iv, 0x30 + dir, TLS_NONCE_BYTES);
            keys[dir].seq = 77 + (uint64_t)dir;
        }
        tls_conn_keys_store(&p.core, c, TLS_READ, &keys[0]);
        tls_conn_keys_store(&p.core, c, TLS_WRITE, &keys[1]);
        for (int dir = 0; dir < 2; dir++) {
            memset(secret, 0, sizeof(secret));
            tls_conn_secret_load(&p.core, c, dir, secret);
            cr_assert_arr_eq(secret, keys[dir].secret, s->hash, "%s", s->name);
            cr_assert_arr_eq(tls_conn_key(&p.core, c, dir), keys[dir].key, s->aead->key_bytes, "%s", s->name);
            cr_assert_arr_eq(c->iv[dir], keys[dir].iv, TLS_NONCE_BYTES);
            cr_assert_eq(c->seq[dir], keys[dir].seq);
        }
        cr_assert_eq(tls_conn_bytes(&p.core, p.server), s->aead->key_bytes == 16 ? 160 : 224);
        pair_fini(&p);
    }
}

Test(tls_core, bounds_of_the_pool) {
    struct tls_config config = {.max_conns = 3, .pool = harness_pool()};
    struct tls_core core;
    struct tls_ctx *ctx = harness_ctx(KEY_EC, 0, NULL, NULL);

    cr_assert_eq(tls_core_init(&core, &config), 0);
    for (int i = 0; i < 3; i++)
        cr_assert_neq(tls_conn_new(&core, ctx, 0), 0);
    cr_assert_eq(tls_conn_new(&core, ctx, 0), 0);
    cr_assert_eq(tls_core_stats(&core)->conns, 3);
    tls_conn_free(&core, 2);
    cr_assert_eq(tls_core_stats(&core)->conns, 2);
    cr_assert_eq(tls_conn_new(&core, ctx, 0), 2);
    tls_core_fini(&core);
    tls_ctx_unref(ctx);
}

static uint32_t pages_there(void *at, size_t bytes) {
    unsigned char there[1024];
    uint32_t n = 0;

    cr_assert_leq(bytes / 4096, sizeof(there));
    cr_assert_eq(mincore(at, bytes, there), 0);
    for (size_t i = 0; i < bytes / 4096; i++)
        n += there[i] & 1;
    return n;
}

/* What connections write to once they are open: their state, and expanded keys. */
Test(tls_core, a_populated_one_takes_no_page_later) {
    struct tls_config config = {.max_conns = 1000, .pool = harness_pool()};
    struct tls_core core;

    cr_assert_eq(tls_core_init(&core, &config), 0);
    uint32_t conn_pages = (uint32_t)(pool_bytes(core.conns.stride_bytes, core.conns.capacity) / 4096);
    uint32_t key_pages = (uint32_t)(core.cache->mapped_bytes / 4096);
    cr_assert_geq(key_pages, 512 * TLS_EXPANDED_BYTES / 4096);
    cr_expect_lt(pages_there(core.conns.base, conn_pages * 4096ul), conn_pages);
    cr_expect_lt(pages_there(core.cache->set, key_pages * 4096ul), key_pages);
    tls_core_populate(&core, config.max_conns);
    cr_expect_eq(pages_there(core.conns.base, conn_pages * 4096ul), conn_pages);
    cr_expect_eq(pages_there(core.cache->set, key_pages * 4096ul), key_pages);
    tls_core_fini(&core);
    tls_core_populate(&(struct tls_core){0}, config.max_conns); /* as without TLS in the configuration */
}

Test(tls_core, refuses_nonsense) {
    struct tls_core core;

    cr_assert_eq(tls_core_init(&core, &(struct tls_config){.pool = harness_pool()}), WEIR_EINVAL);
    cr_assert_eq(tls_core_init(&core, &(struct tls_config){.max_conns = 1}), WEIR_EINVAL);
    memset(&core, 0, sizeof(core));
    tls_core_fini(&core); /* never initialised */
    uint32_t news;
    cr_assert_eq(tls_poll(&core, 1, &news, 1), 0);
}

Test(tls_core, a_reused_id_does_not_meet_old_keys) {
    struct pair p;
    struct rope wire = {0}, answer = {0};
    uint32_t bytes = 0;
    uint8_t record[64];

    pair_init(&p, 1);
    pair_seal(&p, TLS_CT_DATA, "x", 1, &wire);
    uint32_t n = rope_copy(&wire, 0, record, sizeof(record));
    cr_assert_eq(pair_input(&p, &wire, &answer, &bytes), TLS_PLAIN);
    tls_id old = p.server;
    tls_conn_free(&p.core, old);
    cr_assert_eq(tls_conn_new(&p.core, p.ctx, 0), old);
    struct tls_conn *c = tls_conn_get(&p.core, old);
    tls_handshake_leave(&p.core, c, old);
    c->phase = TLS_PHASE_OPEN;
    c->suite = 1; /* with keys of zeroes */
    harness_push(&wire, record, n, false);
    cr_assert_eq(pair_input(&p, &wire, &answer, &bytes), -TLS_DROP_BAD_MAC);
    rope_clear(&answer);
    pair_fini(&p);
}
