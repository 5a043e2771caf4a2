/* SPDX-License-Identifier: BSD-3-Clause */
/* After the handshake: what each kind of record does, KeyUpdate both ways, and every flood and abuse refused. */
#include "harness.h"

#define V13   1
#define GCM12 4

static const uint8_t key_update[5] = {24, 0, 0, 1, 0}, key_update_asking[5] = {24, 0, 0, 1, 1};

/* The record of `type` and `body` must end the connection with this drop and this alert (-1: none). */
static void refused(uint8_t row, uint8_t type, const void *body, uint32_t n, enum tls_drop drop, int alert) {
    struct pair p;
    struct rope wire = {0}, answer = {0};
    uint8_t out[16];
    uint32_t got, plain = 0;

    pair_init(&p, row);
    pair_seal(&p, type, body, n, &wire);
    cr_assert_eq(pair_input(&p, &wire, &answer, &plain), -(int)drop, "%s", tls_drop_name(drop));
    cr_assert_eq(plain, 0);
    cr_assert_eq(p.core.stats.drops[drop], 1);
    if (alert >= 0) {
        cr_assert_eq(pair_open(&p, &answer, out, sizeof(out), &got), TLS_CT_ALERT);
        cr_assert_eq(out[1], alert);
    }
    cr_assert_eq(answer.len_bytes, 0);
    rope_clear(&wire);
    pair_fini(&p);
}

Test(tls_conn, abuses) {
    static const uint8_t client_hello[8] = {1, 0, 0, 4}, ticket[8] = {4, 0, 0, 4},
                         two[10] = {24, 0, 0, 1, 0, 24, 0, 0, 1, 0};
    static const uint8_t zeroes[20], fatal[2] = {2, 40};

    refused(V13, TLS_CT_HANDSHAKE, client_hello, 8, TLS_DROP_UNEXPECTED_HANDSHAKE, 10);
    refused(GCM12, TLS_CT_HANDSHAKE, client_hello, 8, TLS_DROP_RENEGOTIATION, 100);
    refused(V13, TLS_CT_HANDSHAKE, ticket, 8, TLS_DROP_UNEXPECTED_HANDSHAKE, 10);
    refused(GCM12, TLS_CT_HANDSHAKE, key_update, 5, TLS_DROP_UNEXPECTED_HANDSHAKE, 10);
    refused(V13, TLS_CT_HANDSHAKE, two, 10, TLS_DROP_UPDATE_NOT_ALONE, 10);
    refused(V13, TLS_CT_HANDSHAKE, two, 4, TLS_DROP_UPDATE_NOT_ALONE, 10);
    refused(V13, TLS_CT_HANDSHAKE, (const uint8_t[]){24, 0, 0, 1, 2}, 5, TLS_DROP_BAD_KEY_UPDATE, 47);
    refused(V13, TLS_CT_CCS, "\1", 1, TLS_DROP_UNEXPECTED_CCS, 10);
    refused(V13, 99, "\1", 1, TLS_DROP_BAD_TYPE, 10);
    refused(V13, 0, zeroes, sizeof(zeroes), TLS_DROP_NO_CONTENT_TYPE, 10);
    refused(V13, 0, zeroes, 0, TLS_DROP_NO_CONTENT_TYPE, 10);
    refused(V13, TLS_CT_ALERT, fatal, 0, TLS_DROP_EMPTY_RECORD, 10);
    refused(V13, TLS_CT_HANDSHAKE, fatal, 0, TLS_DROP_EMPTY_RECORD, 10);
    refused(V13, TLS_CT_ALERT, zeroes, 3, TLS_DROP_BAD_ALERT, 50);
    refused(V13, TLS_CT_ALERT, fatal, 1, TLS_DROP_BAD_ALERT, 50);
    refused(V13, TLS_CT_ALERT, fatal, 2, TLS_DROP_PEER_ALERT, -1);
    refused(GCM12, TLS_CT_ALERT, fatal, 2, TLS_DROP_PEER_ALERT, -1);
    refused(V13, TLS_CT_ALERT, (const uint8_t[]){1, 100}, 2, TLS_DROP_PEER_ALERT, -1); /* 1.3 ignores the level */
}

/* Records with a bad header are refused before anything is opened. */
Test(tls_conn, bad_headers) {
    static const struct {
        uint8_t row, bytes[5];
        enum tls_drop drop;
    } cases[] = {
        {V13, {20, 3, 3, 0, 1}, TLS_DROP_UNEXPECTED_CCS},     {GCM12, {20, 3, 3, 0, 1}, TLS_DROP_UNEXPECTED_CCS},
        {V13, {22, 3, 3, 0, 40}, TLS_DROP_BAD_TYPE},          {V13, {21, 3, 3, 0, 40}, TLS_DROP_BAD_TYPE},
        {V13, {23, 3, 1, 0, 40}, TLS_DROP_BAD_VERSION},       {GCM12, {23, 3, 4, 0, 40}, TLS_DROP_BAD_VERSION},
        {V13, {23, 3, 3, 0x41, 1}, TLS_DROP_RECORD_OVERFLOW}, {GCM12, {23, 3, 3, 0x48, 1}, TLS_DROP_RECORD_OVERFLOW},
        {V13, {128, 3, 3, 0, 40}, TLS_DROP_BAD_TYPE},
    };
    static const uint8_t body[40];

    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        struct pair p;
        struct rope wire = {0}, answer = {0};
        pair_init(&p, cases[i].row);
        harness_push(&wire, cases[i].bytes, 5, false);
        harness_push(&wire, body, sizeof(body), false);
        cr_assert_eq(pair_input(&p, &wire, &answer, NULL), -(int)cases[i].drop, "case %zu", i);
        cr_assert_gt(answer.len_bytes, 0);
        rope_clear(&wire);
        rope_clear(&answer);
        pair_fini(&p);
    }
}

/* The same record n times; the verdict of the last, with an application record before the flood's end when `reset`. */
static int flood(uint8_t row, uint8_t type, const void *body, uint32_t n, int times, bool reset) {
    struct pair p;
    struct rope wire = {0}, answer = {0};
    int rc = 0;

    pair_init(&p, row);
    for (int i = 0; i < times && rc >= 0; i++) {
        pair_seal(&p, type, body, n, &wire);
        if (type == TLS_CT_HANDSHAKE)
            tls_conn_rekey(&p.core, tls_conn_get(&p.core, p.client), p.client, TLS_WRITE);
        if (reset && i % 4 == 3)
            pair_seal(&p, TLS_CT_DATA, "x", 1, &wire);
        rc = pair_input(&p, &wire, &answer, NULL);
    }
    rope_clear(&wire);
    rope_clear(&answer);
    pair_fini(&p);
    return rc;
}

Test(tls_conn, floods) {
    static const uint8_t canceled[2] = {1, 90}, warning[2] = {1, 110};

    cr_assert_eq(flood(V13, TLS_CT_DATA, "", 0, 32, false), 0);
    cr_assert_eq(flood(V13, TLS_CT_DATA, "", 0, 33, false), -TLS_DROP_EMPTY_FLOOD);
    cr_assert_eq(flood(GCM12, TLS_CT_DATA, "", 0, 33, false), -TLS_DROP_EMPTY_FLOOD);
    cr_assert_geq(flood(V13, TLS_CT_DATA, "", 0, 100, true), 0);
    cr_assert_eq(flood(V13, TLS_CT_ALERT, canceled, 2, 4, false), 0);
    cr_assert_eq(flood(V13, TLS_CT_ALERT, canceled, 2, 5, false), -TLS_DROP_WARNING_FLOOD);
    cr_assert_eq(flood(GCM12, TLS_CT_ALERT, warning, 2, 5, false), -TLS_DROP_WARNING_FLOOD);
    cr_assert_geq(flood(GCM12, TLS_CT_ALERT, warning, 2, 40, true), 0);
    cr_assert_eq(flood(V13, TLS_CT_HANDSHAKE, key_update, 5, 32, false), 0);
    cr_assert_eq(flood(V13, TLS_CT_HANDSHAKE, key_update, 5, 33, false), -TLS_DROP_UPDATE_FLOOD);
    cr_assert_eq(flood(V13, TLS_CT_HANDSHAKE, key_update_asking, 5, 33, false), -TLS_DROP_UPDATE_FLOOD);
    cr_assert_geq(flood(V13, TLS_CT_HANDSHAKE, key_update, 5, 100, true), 0);
}

Test(tls_conn, plaintext_longer_than_a_record) {
    struct pair p;
    struct rope wire = {0}, answer = {0};
    static const uint8_t data[TLS_RECORD_MAX + 1];
    uint32_t plain = 0;

    pair_init(&p, V13);
    pair_seal(&p, TLS_CT_DATA, data, TLS_RECORD_MAX, &wire);
    cr_assert_eq(pair_input(&p, &wire, &answer, &plain), TLS_PLAIN);
    cr_assert_eq(plain, TLS_RECORD_MAX);
    pair_seal(&p, TLS_CT_DATA, data, TLS_RECORD_MAX + 1, &wire);
    cr_assert_eq(pair_input(&p, &wire, &answer, &plain), -TLS_DROP_RECORD_OVERFLOW);
    cr_assert_eq(plain, TLS_RECORD_MAX);
    rope_clear(&wire);
    rope_clear(&answer);
    pair_fini(&p);
}

Test(tls_conn, padding_is_removed) {
    for (uint32_t padding = 1; padding < 5000; padding = padding * 3 + 1) {
        struct pair p;
        struct rope wire = {0}, plain = {0}, answer = {0};
        uint8_t data[6] = {'h', 'e', 0, 'l', 0, TLS_CT_DATA};
        static const uint8_t zeroes[5000];
        struct rope content = {0};

        pair_init(&p, V13);
        rope_append(&content, harness_pool(), data, sizeof(data));
        rope_append(&content, harness_pool(), zeroes, padding - 1); /* and one as the inner type of the sealer */
        tls_record_seal(&p.core, tls_conn_get(&p.core, p.client), p.client, 0, &content, 6 + padding - 1, &wire);
        cr_assert_eq(tls_input(&p.core, p.server, &wire, &plain, &answer, 100), TLS_PLAIN);
        cr_assert_eq(plain.len_bytes, 5);
        rope_clear(&plain);
        pair_fini(&p);
    }
}

/* One answer, under the old key, before our next data: not before. */
Test(tls_conn, key_update_answered_with_the_old_key) {
    struct pair p;
    struct rope wire = {0}, plain = {0}, answer = {0};
    uint8_t out[64];
    uint32_t n, bytes = 0;

    pair_init(&p, 2);
    struct tls_conn *client = tls_conn_get(&p.core, p.client), *server = tls_conn_get(&p.core, p.server);
    uint8_t old[TLS_KEY_MAX];
    memcpy(old, tls_conn_key(&p.core, server, TLS_READ), TLS_KEY_MAX);
    pair_seal(&p, TLS_CT_DATA, "before", 6, &wire);
    pair_seal(&p, TLS_CT_HANDSHAKE, key_update_asking, 5, &wire);
    tls_conn_rekey(&p.core, client, p.client, TLS_WRITE);
    pair_seal(&p, TLS_CT_DATA, "behind", 6, &wire);
    cr_assert_eq(pair_input(&p, &wire, &answer, &bytes), TLS_PLAIN);
    cr_assert_eq(bytes, 12);
    cr_assert_eq(server->epoch[TLS_READ], 1);
    cr_assert_eq(server->epoch[TLS_WRITE], 0);
    cr_assert_eq(server->seq[TLS_READ], 1);
    cr_assert_arr_neq(old, tls_conn_key(&p.core, server, TLS_READ), TLS_KEY_MAX);
    rope_append(&plain, harness_pool(), "new key", 7);
    cr_assert_eq(tls_seal(&p.core, p.server, &plain, &answer, 100, 0), 7);
    cr_assert_eq(server->epoch[TLS_WRITE], 1);
    cr_assert_eq(pair_open(&p, &answer, out, sizeof(out), &n), TLS_CT_HANDSHAKE);
    cr_assert_arr_eq(out, key_update, 5, "the answer asks for nothing");
    tls_conn_rekey(&p.core, client, p.client, TLS_READ);
    cr_assert_eq(pair_open(&p, &answer, out, sizeof(out), &n), TLS_CT_DATA);
    cr_assert_eq(answer.len_bytes, 0);
    pair_fini(&p);
}

/* A KeyUpdate of the client's that asks for ours, and its new key. */
static void update_ask(struct pair *p, struct rope *wire) {
    pair_seal(p, TLS_CT_HANDSHAKE, key_update_asking, 5, wire);
    tls_conn_rekey(&p->core, tls_conn_get(&p->core, p->client), p->client, TLS_WRITE);
}

/* A client asks and asks, with a byte of data now and then, and takes nothing: no answers pile up (RFC 8446 4.6.3). */
Test(tls_conn, key_updates_are_answered_once) {
    struct pair p;
    struct rope wire = {0}, plain = {0}, answer = {0};
    uint8_t out[64];
    uint32_t n, bytes = 0;

    pair_init(&p, V13);
    for (uint32_t i = 0; i < 1000; i++) {
        update_ask(&p, &wire);
        if (i % 30 == 0)
            pair_seal(&p, TLS_CT_DATA, "x", 1, &wire);
        cr_assert_eq(pair_input(&p, &wire, &answer, &bytes), i % 30 ? 0 : TLS_PLAIN);
    }
    cr_assert_eq(bytes, 34);
    cr_assert_eq(answer.len_bytes, 0);
    cr_assert_eq(p.core.stats.key_updates_in, 1000);
    rope_append(&plain, harness_pool(), "data", 4);
    cr_assert_eq(tls_seal(&p.core, p.server, &plain, &answer, 100, 0), 4);
    cr_assert_eq(p.core.stats.key_updates_out, 1);
    cr_assert_eq(pair_open(&p, &answer, out, sizeof(out), &n), TLS_CT_HANDSHAKE);
    tls_conn_rekey(&p.core, tls_conn_get(&p.core, p.client), p.client, TLS_READ);
    cr_assert_eq(pair_open(&p, &answer, out, sizeof(out), &n), TLS_CT_DATA);
    cr_assert_arr_eq(out, "data", 4);
    pair_fini(&p);
}

/* A new key takes as long as some kilobytes of data: so much of the turn is spent on it. */
Test(tls_conn, key_updates_share_the_turn) {
    struct pair p;
    struct rope wire = {0}, plain = {0}, answer = {0};
    uint64_t before = 0, most = 0;
    int rc;

    pair_init(&p, V13);
    for (uint32_t i = 0; i < 200; i++) {
        update_ask(&p, &wire);
        if (i % 30 == 0)
            pair_seal(&p, TLS_CT_DATA, "x", 1, &wire);
    }
    do {
        rc = tls_input(&p.core, p.server, &wire, &plain, &answer, 16384);
        cr_assert_geq(rc, 0);
        most = RTE_MAX(most, p.core.stats.key_updates_in - before);
        before = p.core.stats.key_updates_in;
    } while (rc & TLS_MORE_WORK);
    cr_assert_eq(before, 200);
    cr_assert_leq(most, 9);
    cr_assert_geq(most, 4);
    rope_clear(&plain);
    pair_fini(&p);
}

Test(tls_conn, key_update_owed_is_paid_later) {
    struct pair p;
    struct rope wire = {0}, plain = {0}, answer = {0};
    uint8_t out[64];
    uint32_t n;

    pair_init(&p, V13);
    tls_conn_get(&p.core, p.server)->flags |= TLS_F_UPDATE_OWED;
    harness_push(&plain, "x", 1, false);
    harness_starve(0);
    cr_assert_eq(pair_input(&p, &wire, &answer, NULL), 0);
    cr_assert_eq(tls_seal(&p.core, p.server, &plain, &answer, 1, 0), WEIR_ENOMEM, "not with the old key");
    cr_assert_eq(answer.len_bytes, 0);
    harness_unstarve();
    cr_assert_eq(tls_seal(&p.core, p.server, &plain, &answer, 1, 0), 1);
    cr_assert_eq(pair_open(&p, &answer, out, sizeof(out), &n), TLS_CT_HANDSHAKE);
    tls_conn_rekey(&p.core, tls_conn_get(&p.core, p.client), p.client, TLS_READ);
    cr_assert_eq(pair_open(&p, &answer, out, sizeof(out), &n), TLS_CT_DATA);
    cr_assert_eq(answer.len_bytes, 0);
    pair_fini(&p);
}

/* The peer's key wears out: 1.3 asks for a new one, once; 1.2 ends with close_notify. */
Test(tls_conn, read_limit) {
    for (uint8_t row = V13; row <= GCM12; row += GCM12 - V13) {
        struct pair p;
        struct rope wire = {0}, answer = {0};
        uint8_t out[64];
        uint32_t n;
        int rc = 0;

        pair_init(&p, row);
        p.core.gcm_record_limit = 10;
        for (int i = 0; i < 14 && rc >= 0; i++) {
            struct tls_conn *c = tls_conn_get(&p.core, p.client);
            pair_seal(&p, TLS_CT_DATA, "x", 1, &wire);
            cr_assert_leq(c->seq[TLS_WRITE], 14);
            rc = pair_input(&p, &wire, &answer, NULL);
        }
        if (row == V13) {
            cr_assert_eq(rc, TLS_PLAIN);
            cr_assert_eq(pair_open(&p, &answer, out, sizeof(out), &n), TLS_CT_HANDSHAKE);
            cr_assert_arr_eq(out, key_update_asking, 5);
        } else {
            cr_assert_eq(rc, -TLS_DROP_RECORD_LIMIT);
            cr_assert_eq(pair_open(&p, &answer, out, sizeof(out), &n), TLS_CT_ALERT);
            cr_assert_arr_eq(out, ((const uint8_t[]){1, 0}), 2);
        }
        cr_assert_eq(answer.len_bytes, 0);
        rope_clear(&wire);
        pair_fini(&p);
    }
}

/* Who is asked for a new key and sends none may go on for a while, and not for ever. */
Test(tls_conn, key_that_the_peer_does_not_change) {
    struct pair p;
    struct rope wire = {0}, answer = {0};
    uint8_t out[64];
    uint32_t n;

    pair_init(&p, V13);
    p.core.gcm_record_limit = 10;
    uint64_t *sent = &tls_conn_get(&p.core, p.client)->seq[TLS_WRITE];
    uint64_t *read = &tls_conn_get(&p.core, p.server)->seq[TLS_READ];
    *sent = *read = 10;
    pair_seal(&p, TLS_CT_DATA, "x", 1, &wire);
    cr_assert_eq(pair_input(&p, &wire, &answer, NULL), TLS_PLAIN | TLS_WIRE);
    cr_assert_eq(pair_open(&p, &answer, out, sizeof(out), &n), TLS_CT_HANDSHAKE);
    *sent = *read = 10 + TLS_UPDATE_PATIENCE - 1;
    pair_seal(&p, TLS_CT_DATA, "x", 1, &wire);
    cr_assert_eq(pair_input(&p, &wire, &answer, NULL), TLS_PLAIN);
    pair_seal(&p, TLS_CT_DATA, "x", 1, &wire);
    cr_assert_eq(pair_input(&p, &wire, &answer, NULL), -TLS_DROP_RECORD_LIMIT);
    rope_clear(&answer);
    rope_clear(&wire);
    pair_fini(&p);
}

/* ChaCha20's keys do not (RFC 8446 section 5.5). */
Test(tls_conn, no_limit_without_gcm) {
    const uint8_t rows[] = {tls_suite_find(TLS_V13, 0x1303), tls_suite_find(TLS_V12, 0xcca9)};

    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct pair p;
        struct rope wire = {0}, answer = {0}, plain = {0};

        pair_init(&p, rows[i]);
        p.core.gcm_record_limit = 4;
        for (int n = 0; n < 20; n++) {
            pair_seal(&p, TLS_CT_DATA, "x", 1, &wire);
            cr_assert_eq(pair_input(&p, &wire, &answer, NULL), TLS_PLAIN);
            harness_push(&plain, "x", 1, false);
            cr_assert_eq(tls_seal(&p.core, p.server, &plain, &wire, 1, 0), 1);
            rope_clear(&wire);
        }
        cr_assert_eq(answer.len_bytes, 0);
        cr_assert_eq(p.core.stats.key_updates_out, 0);
        pair_fini(&p);
    }
}

Test(tls_conn, close_notify_ends_reading_only) {
    struct pair p;
    struct rope wire = {0}, plain = {0}, answer = {0};
    uint8_t out[64];
    uint32_t n, bytes = 0;

    pair_init(&p, V13);
    pair_seal(&p, TLS_CT_DATA, "last", 4, &wire);
    pair_seal(&p, TLS_CT_ALERT, (const uint8_t[]){1, 0}, 2, &wire);
    pair_seal(&p, TLS_CT_DATA, "ignored", 7, &wire);
    cr_assert_eq(pair_input(&p, &wire, &answer, &bytes), TLS_PLAIN | TLS_CLOSE);
    cr_assert_eq(bytes, 4);
    cr_assert_eq(wire.len_bytes, 0);
    cr_assert_eq(pair_input(&p, &wire, &answer, &bytes), 0, "raised once");
    pair_seal(&p, TLS_CT_DATA, "ignored", 7, &wire); /* alone in an mbuf, too */
    cr_assert_eq(pair_input(&p, &wire, &answer, &bytes), 0);
    cr_assert_eq(bytes, 4);
    cr_assert_eq(wire.len_bytes, 0);
    rope_append(&plain, harness_pool(), "still here", 10);
    cr_assert_eq(tls_seal(&p.core, p.server, &plain, &answer, 100, 0), 10);
    cr_assert_eq(pair_open(&p, &answer, out, sizeof(out), &n), TLS_CT_DATA);
    pair_fini(&p);
}

Test(tls_conn, keys_are_gone_after_the_end) {
    struct pair p;
    struct rope wire = {0}, answer = {0};
    static const uint8_t zeroes[64];
    const uint8_t garbage[30] = {23, 3, 3, 0, 25};

    pair_init(&p, 2);
    struct tls_conn *c = tls_conn_get(&p.core, p.server);
    uint32_t ext = c->ext;
    harness_push(&wire, garbage, sizeof(garbage), false);
    cr_assert_eq(pair_input(&p, &wire, &answer, NULL), -TLS_DROP_BAD_MAC);
    cr_assert_arr_eq(c->key, zeroes, sizeof(c->key));
    cr_assert_arr_eq(c->secret, zeroes, sizeof(c->secret));
    cr_assert_eq(c->ext, 0);
    cr_assert_eq(pool_alloc(&p.core.exts), ext, "given back");
    uint32_t way;
    bool hit;
    tls_keycache_get(p.core.cache, tls_keycache_name(p.server, TLS_READ, 0), &way, &hit);
    cr_assert_not(hit);
    rope_clear(&answer);
    pair_fini(&p);
}

/* A whole record has its key looked for, where the connection remembers it to be; a part of one does not, or who sends
 * parts alone would drive other connections' keys out. */
Test(tls_conn, keys_are_looked_for_by_whole_records) {
    static const uint8_t rows[] = {1, 4}; /* 1.3 and 1.2 */

    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct pair p;
        struct rope wire = {0}, answer = {0}, plain = {0};
        uint8_t record[64];

        pair_init(&p, rows[i]);
        const struct tls_conn *c = tls_conn_get(&p.core, p.server);
        struct tls_keycache *cache = p.core.cache;
        uint64_t read_name = tls_conn_key_name(c, p.server, TLS_READ);
        uint64_t write_name = tls_conn_key_name(c, p.server, TLS_WRITE);
        pair_seal(&p, TLS_CT_DATA, "whole", 5, &wire);
        uint64_t misses = p.core.stats.key_cache_misses;
        uint32_t n = wire.len_bytes;
        cr_assert_leq(n, sizeof(record));
        rope_copy(&wire, 0, record, n);
        rope_clear(&wire);

        harness_push(&wire, record, n - 1, false);
        cr_assert_eq(pair_input(&p, &wire, &answer, NULL), 0);
        cr_expect_eq(p.core.stats.key_cache_misses, misses);
        rope_clear(&wire);
        harness_push(&wire, record, n, false);
        cr_assert_eq(pair_input(&p, &wire, &answer, NULL), TLS_PLAIN);
        cr_expect_eq(p.core.stats.key_cache_misses, misses + 1);
        cr_expect(c->read_way != c->write_way && c->read_way != 0, "ways that tell something: %u", c->read_way);
        cr_expect_not_null(tls_keycache_find(cache, read_name, c->read_way));
        rope_append(&plain, harness_pool(), "answer", 6);
        cr_assert_eq(tls_seal(&p.core, p.server, &plain, &answer, 100, 0), 6);
        cr_expect_eq(p.core.stats.key_cache_misses, misses + 2);
        cr_expect_not_null(tls_keycache_find(cache, write_name, c->write_way));
        rope_clear(&answer);
        pair_fini(&p);
    }
}
