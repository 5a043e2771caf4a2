/* SPDX-License-Identifier: BSD-3-Clause */
/* Where keys lie: in memory that is locked and left out of core dumps, and nowhere once the connection has ended. The
 * whole of the process's memory is searched for a known key, its expanded form and the secret it came from. */
#include "harness.h"
#include "memory_search.h"
#include "tls/tls_psk.h"
#include "tls/tls_ticket_keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Before libgit2, which Criterion brings along, uses libcrypto. */
static bool wipes;
__attribute__((constructor)) static void wipe(void) {
    wipes = tls_libssl_guard();
}

Test(tls_secret, whatever_holds_keys_is_locked_and_not_dumped) {
    struct harness h;

    harness_init(&h, &(struct harness_options){.version = TLS_V13});
    cr_assert(harness_handshake(&h));
    cr_assert(tls_core_locked(&h.core));
    cr_assert(guarded(tls_conn_get(&h.core, h.id)));
    cr_assert(guarded(h.core.cache->set));
    cr_assert(guarded(h.core.cache->key));
    cr_assert(guarded(h.core.places.base));
    cr_assert(guarded(h.core.exts.base));
    cr_assert(guarded(h.core.work), "the cipher's working state");
    cr_assert(guarded(h.engine->key), "the handover's");
    cr_assert(guarded(h.engine->scratch));
    cr_assert(guarded(tls_ticket_set_look(h.ctx->ticket_keys)), "tickets' keys");
    tls_ticket_set_look_away(h.ctx->ticket_keys);
    harness_fini(&h);
}

/* What a ticket holds sealed: in 1.2 the master secret. */
static void ticket_needle_set(struct needle *n, const SSL *client) {
    uint8_t secret[SSL_MAX_MASTER_KEY_LENGTH];

    cr_assert(SSL_SESSION_has_ticket(SSL_get_session(client)));
    cr_assert_geq(SSL_SESSION_get_master_key(SSL_get_session(client), secret, sizeof(secret)), NEEDLE_BYTES);
    needle_set(n, secret, "a ticket's secret");
    explicit_bzero(secret, sizeof(secret));
}

/* Its keys, as they are found while a connection lives and not once it has ended; and never in what a core dump has. */
static void connection_check(struct harness *h, const char *suite, uint16_t version) {
    struct needle needles[NEEDLES] = {0};
    const struct tls_conn *c = tls_conn_get(&h->core, h->id);

    needle_set(&needles[0], tls_conn_key(&h->core, c, TLS_READ), "the read key");
    needle_set(&needles[1], tls_conn_key(&h->core, c, TLS_WRITE), "the write key");
    if (version == TLS_V13) {
        needle_set(&needles[2], c->secret[TLS_READ], "the read secret");
        needle_set(&needles[3], c->secret[TLS_WRITE], "the write secret");
    }
    ticket_needle_set(&needles[4], h->client);
    SSL_free(h->client); /* libssl's end has the same keys, in this very process */
    h->client = NULL;
    cr_assert(wipes);
    struct hits alive = memory_search(needles);
    cr_assert_geq(alive.guarded, version == TLS_V13 ? 4 : 2, "the search finds what is there");
    cr_assert_eq(alive.in_dumps, 0, "%s: %s is in %s", suite, alive.what, alive.where);
    tls_conn_free(&h->core, h->id);
    struct hits ended = memory_search(needles);
    cr_assert_eq(ended.guarded + ended.in_dumps, 0, "%s: %s is left in %s", suite, ended.what, ended.where);
}

/* With the keys in the state, with a part of them in the ext, and used as they are. */
Test(tls_secret, nothing_is_left_of_a_connection) {
    static const struct {
        uint16_t version;
        const char *suite;
    } cases[] = {
        {TLS_V13, "TLS_AES_128_GCM_SHA256"},        {TLS_V13, "TLS_AES_256_GCM_SHA384"},
        {TLS_V13, "TLS_CHACHA20_POLY1305_SHA256"},  {TLS_V12, "ECDHE-ECDSA-AES128-GCM-SHA256"},
        {TLS_V12, "ECDHE-ECDSA-AES256-GCM-SHA384"}, {TLS_V12, "ECDHE-ECDSA-CHACHA20-POLY1305"},
    };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        struct harness h;
        harness_init(&h, &(struct harness_options){.version = cases[i].version, .suite = cases[i].suite});
        cr_assert(harness_handshake(&h));
        harness_send(&h, 5000, 1000);
        harness_receive(&h, 5000);
        connection_check(&h, cases[i].suite, cases[i].version);
        harness_fini(&h);
    }
}

/* Those of a worker that stops, with its connections still open. */
Test(tls_secret, nothing_is_left_of_a_worker) {
    struct needle needles[NEEDLES] = {0};
    struct harness h;

    harness_init(&h, &(struct harness_options){.version = TLS_V13});
    cr_assert(harness_handshake(&h));
    const struct tls_conn *c = tls_conn_get(&h.core, h.id);
    needle_set(&needles[0], tls_conn_key(&h.core, c, TLS_READ), "the read key");
    needle_set(&needles[1], c->secret[TLS_WRITE], "the write secret");
    const struct tls_ticket_set *set = tls_ticket_set_look(h.ctx->ticket_keys);
    needle_set(&needles[2], set->keys[set->seals].aes, "a tickets' key");
    needle_set(&needles[3], set->keys[set->seals].hmac, "a tickets' key");
    tls_ticket_set_look_away(h.ctx->ticket_keys);
    struct hits alive = memory_search(needles + 2);
    cr_assert_eq(alive.guarded, 2);
    cr_assert_eq(alive.in_dumps, 0, "%s is in %s", alive.what, alive.where);
    harness_fini(&h);
    struct hits ended = memory_search(needles);
    cr_assert_eq(ended.guarded + ended.in_dumps, 0, "%s is left in %s", ended.what, ended.where);
}

/* A pre-shared key, known from its file. */
Test(tls_secret, pre_shared_keys_too) {
    static const uint8_t key[NEEDLE_BYTES] = {9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 21, 22, 23, 24, 25, 26};
    char file[] = "/tmp/weir-psk-XXXXXX", error[256];
    struct needle needles[NEEDLES] = {0};
    uint32_t weak;

    FILE *f = fdopen(mkstemp(file), "w");
    fprintf(f, "device:");
    for (size_t i = 0; i < sizeof(key); i++)
        fprintf(f, "%02x", key[i]);
    fprintf(f, "\n");
    fclose(f);
    needle_set(&needles[0], key, "the key");
    uint32_t program = memory_search(needles).in_dumps; /* the array above, where the compiler made it writable */
    struct tls_psk *psk = tls_psk_new(file, &weak, error, sizeof(error));
    unlink(file);
    cr_assert_not_null(psk, "%s", error);
    cr_assert(guarded(psk));
    struct hits alive = memory_search(needles);
    cr_assert_eq(alive.guarded, 1);
    cr_assert_eq(alive.in_dumps, program, "it is in %s", alive.where);
    tls_psk_unref(psk);
    struct hits ended = memory_search(needles);
    cr_assert_eq(ended.guarded, 0);
    cr_assert_eq(ended.in_dumps, program);
}

/* Where locking is not allowed all works, and the owner can tell. A process that is not root's has no right beyond its
 * limit. */
Test(tls_secret, works_unlocked_and_says_so) {
    static const struct rlimit nothing;
    struct harness h;

    (void)harness_pool();
    cr_assert_eq(setrlimit(RLIMIT_MEMLOCK, &nothing), 0);
    if (geteuid() == 0)
        cr_assert_eq(setresuid(65534, 65534, 65534), 0);
    harness_init(&h, &(struct harness_options){.version = TLS_V13});
    cr_assert_not(tls_core_locked(&h.core));
    cr_assert(harness_handshake(&h));
    harness_send(&h, 5000, 1000);
    harness_receive(&h, 5000);
    harness_fini(&h);
}
