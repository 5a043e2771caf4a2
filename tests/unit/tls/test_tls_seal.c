/* SPDX-License-Identifier: BSD-3-Clause */
/* Sealing: in place and not, coalescing, all or nothing, limits, and no nonce ever used twice. */
#include "harness.h"

#include <stdlib.h>

/* Open everything on `wire` with the client's keys; returns bytes of plaintext, *records how many records. */
static uint32_t open_all(struct pair *p, struct rope *wire, uint8_t *out, uint32_t room, uint32_t *records) {
    static uint8_t buffer[TLS_RECORD_MAX + 64];
    uint32_t at = 0, n;

    *records = 0;
    while (wire->len_bytes > 0) {
        cr_assert_eq(pair_open(p, wire, buffer, sizeof(buffer), &n), TLS_CT_DATA);
        cr_assert_leq(at + n, room);
        memcpy(out + at, buffer, n);
        at += n;
        ++*records;
    }
    return at;
}

Test(tls_seal, over_any_layout) {
    static uint8_t data[40000], got[40000];
    static const uint32_t sizes[] = {1, 64, 300, 1400, 9000, TLS_RECORD_MAX, 40000};
    uint64_t seed = 9;

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)harness_random(&seed, 256);
    for (uint8_t row = 1; row != 0; row = harness_next_row(row)) {
        struct pair p;
        pair_init(&p, row);
        for (int round = 0; round < 70; round++) {
            uint32_t n = sizes[round % 7], piece_max = n / 400 + 1 + harness_random(&seed, 1900), records;
            struct rope plain = {0}, wire = {0};
            for (uint32_t at = 0; at < n;) {
                uint32_t part = weir_min_u32(1 + harness_random(&seed, piece_max), n - at);
                harness_push(&plain, data + at, part, harness_random(&seed, 3) == 0);
                if (harness_random(&seed, 4) == 0 && RTE_MBUF_DIRECT(plain.tail)) { /* no headroom there */
                    uint8_t *p8 = rte_pktmbuf_mtod(plain.tail, uint8_t *);
                    uint16_t off = plain.tail->data_off;
                    memmove(p8 - off, p8, part);
                    plain.tail->data_off = 0;
                }
                at += part;
            }
            cr_assert_eq(tls_seal(&p.core, p.server, &plain, &wire, UINT32_MAX, 0), (int)n);
            cr_assert_eq(plain.len_bytes, 0);
            cr_assert_eq(plain.mbufs, 0);
            for (const struct rte_mbuf *m = wire.head; m; m = m->next)
                cr_assert(rope_mbuf_private(m), "ciphertext has mbufs of its own");
            cr_assert_eq(open_all(&p, &wire, got, sizeof(got), &records), n);
            cr_assert_eq(memcmp(got, data, n), 0);
            cr_assert_eq(records, (n + TLS_RECORD_MAX - 1) / TLS_RECORD_MAX);
        }
        pair_fini(&p);
    }
}

Test(tls_seal, small_private_message_stays_in_its_mbuf) {
    for (uint8_t row = 1; row <= 4; row += 3) {
        struct pair p;
        struct rope plain = {0}, wire = {0};
        uint8_t out[400];
        uint32_t n;

        pair_init(&p, row);
        static const uint8_t data[300];
        harness_push(&plain, data, sizeof(data), false);
        const struct rte_mbuf *m = plain.head;
        harness_starve(0); /* needs none */
        cr_assert_eq(tls_seal(&p.core, p.server, &plain, &wire, UINT32_MAX, 0), 300);
        harness_unstarve();
        cr_assert_eq(wire.head, m);
        cr_assert_eq(wire.mbufs, 1);
        cr_assert_eq(pair_open(&p, &wire, out, sizeof(out), &n), TLS_CT_DATA);
        cr_assert_eq(n, 300);
        pair_fini(&p);
    }
}

Test(tls_seal, messages_that_wait_share_a_record) {
    struct pair p;
    struct rope plain = {0}, wire = {0};
    uint8_t out[TLS_RECORD_MAX];
    uint32_t n;

    pair_init(&p, 1);
    for (int i = 0; i < 20; i++)
        harness_push(&plain, "message!", 8, i % 2);
    cr_assert_eq(tls_seal(&p.core, p.server, &plain, &wire, UINT32_MAX, 0), 160);
    cr_assert_eq(wire.len_bytes, 160 + 5 + 1 + 16);
    cr_assert_eq(pair_open(&p, &wire, out, sizeof(out), &n), TLS_CT_DATA);
    cr_assert_eq(n, 160);
    pair_fini(&p);
}

Test(tls_seal, max_bytes_and_fragment_length_are_kept) {
    struct pair p;
    struct rope plain = {0}, wire = {0};
    uint8_t out[2000];
    uint32_t n;
    static const uint8_t data[1400];

    pair_init(&p, 1);
    harness_push(&plain, data, sizeof(data), false);
    cr_assert_eq(tls_seal(&p.core, p.server, &plain, &wire, 100, 0), 100);
    cr_assert_eq(plain.len_bytes, 1300);
    cr_assert_eq(pair_open(&p, &wire, out, sizeof(out), &n), TLS_CT_DATA);
    cr_assert_eq(n, 100);
    tls_record_size_set(tls_conn_get(&p.core, p.server), 1, 0); /* 512 bytes, RFC 6066 section 4 */
    cr_assert_eq(tls_seal(&p.core, p.server, &plain, &wire, UINT32_MAX, 0), 1300);
    for (uint32_t want = 1300; want > 0; want -= n) {
        cr_assert_eq(pair_open(&p, &wire, out, sizeof(out), &n), TLS_CT_DATA);
        cr_assert_eq(n, weir_min_u32(want, 512));
    }
    pair_fini(&p);
}

Test(tls_seal, no_mbuf_takes_nothing) {
    struct pair p;
    struct rope plain = {0}, wire = {0};
    static uint8_t got[10000];
    static const uint8_t data[1000];
    uint32_t records;

    pair_init(&p, 1);
    for (int i = 0; i < 10; i++)
        harness_push(&plain, data, sizeof(data), true);
    for (uint32_t left = 0; left < 5; left++) { /* all in one record: its segments are not told */
        harness_starve(left);
        cr_assert_eq(tls_seal(&p.core, p.server, &plain, &wire, UINT32_MAX, 0), WEIR_ENOMEM);
        cr_assert_eq(plain.len_bytes, 10000);
        cr_assert_eq(wire.len_bytes, 0);
        harness_unstarve();
    }
    cr_assert_gt(p.core.stats.no_mbuf, 0);
    cr_assert_eq(tls_conn_get(&p.core, p.server)->seq[TLS_WRITE], 0, "no nonce was spent");
    cr_assert_eq(tls_seal(&p.core, p.server, &plain, &wire, UINT32_MAX, 0), 10000);
    cr_assert_eq(open_all(&p, &wire, got, sizeof(got), &records), 10000);
    pair_fini(&p);
}

/* The nonce of a record as the peer would compute it, for every record of a long life: with close by, owed and own
 * KeyUpdates and failures in between, (key, nonce) pairs never repeat. */
Test(tls_seal, nonces_are_unique) {
    for (uint8_t row = 1; row != 0; row = harness_next_row(row)) {
        struct pair p;
        struct rope plain = {0}, wire = {0};
        uint64_t seed = row;
        uint8_t(*seen)[TLS_KEY_MAX + 12] = calloc(3000, sizeof(*seen));
        uint32_t count = 0;

        pair_init(&p, row);
        p.core.gcm_record_limit = tls_suites[row - 1].version == TLS_V13 ? 50 : UINT64_MAX;
        struct tls_conn *c = tls_conn_get(&p.core, p.server);
        for (int i = 0; i < 500; i++) {
            if (plain.len_bytes == 0)
                harness_push(&plain, "x", 1, true);
            uint64_t before = c->seq[TLS_WRITE];
            bool starve = harness_random(&seed, 4) == 0;
            if (starve)
                harness_starve(0);
            int rc = tls_seal(&p.core, p.server, &plain, &wire, UINT32_MAX, 0);
            if (starve)
                harness_unstarve();
            if (rc < 0) {
                cr_assert_eq(c->seq[TLS_WRITE], before);
                continue;
            }
            struct tls_op op;
            tls_op_set(&op, tls_conn_suite(c), c->iv[TLS_WRITE], c->seq[TLS_WRITE] - 1, 23, 1, NULL);
            memcpy(seen[count], tls_conn_key(&p.core, c, TLS_WRITE), tls_conn_suite(c)->aead->key_bytes);
            memcpy(seen[count++] + TLS_KEY_MAX, op.nonce, 12);
            if (tls_suites[row - 1].explicit_bytes) { /* what the wire says is what was used */
                uint8_t head[13];
                rope_copy(&wire, wire.len_bytes - (5 + 8 + 1 + 16), head, sizeof(head));
                cr_assert_arr_eq(head + 5, op.nonce + 4, 8);
            }
            for (uint32_t j = 0; j + 1 < count; j++)
                cr_assert_neq(memcmp(seen[j], seen[count - 1], sizeof(*seen)), 0, "record %u repeats %u", count - 1, j);
            if (wire.len_bytes > 4000)
                rope_clear(&wire);
        }
        cr_assert_gt(count, 300);
        if (tls_suites[row - 1].gcm && tls_suites[row - 1].version == TLS_V13)
            cr_assert_gt(p.core.stats.key_updates_out, 5);
        free(seen);
        rope_clear(&wire);
        rope_clear(&plain);
        pair_fini(&p);
    }
}

/* Its last record is close_notify, if its owner wants one: it may say only of a whole stream that this was all. */
Test(tls_seal, worn_out_key_of_12_closes_in_order) {
    struct pair p;
    struct rope plain = {0}, wire = {0};
    uint8_t out[64];
    uint32_t n;
    int rc;

    pair_init(&p, tls_suite_find(TLS_V12, 0xc02f));
    p.core.gcm_record_limit = 4;
    for (int i = 0; i < 3; i++) {
        harness_push(&plain, "x", 1, false);
        cr_assert_eq(tls_seal(&p.core, p.server, &plain, &wire, 1, 0), 1);
    }
    harness_push(&plain, "x", 1, false);
    rc = tls_seal(&p.core, p.server, &plain, &wire, 1, 0);
    cr_assert_eq(rc, WEIR_ECLOSED);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(pair_open(&p, &wire, out, sizeof(out), &n), TLS_CT_DATA);
    cr_assert_eq(wire.len_bytes, 0);
    cr_assert_eq(tls_close(&p.core, p.server, &wire), 0);
    cr_assert_eq(tls_seal(&p.core, p.server, &plain, &wire, 1, 0), WEIR_ECLOSED, "still");
    cr_assert_eq(pair_open(&p, &wire, out, sizeof(out), &n), TLS_CT_ALERT);
    cr_assert_eq(out[1], 0);
    cr_assert_eq(tls_close(&p.core, p.server, &wire), WEIR_ESTATE, "once");
    rope_clear(&plain);
    pair_fini(&p);
}

Test(tls_seal, close_is_once_and_final) {
    struct pair p;
    struct rope plain = {0}, wire = {0};
    uint8_t out[64];
    uint32_t n;

    pair_init(&p, 2);
    harness_starve(0);
    cr_assert_eq(tls_close(&p.core, p.server, &wire), WEIR_ENOMEM);
    harness_unstarve();
    cr_assert_eq(tls_close(&p.core, p.server, &wire), 0);
    cr_assert_eq(tls_close(&p.core, p.server, &wire), WEIR_ESTATE);
    harness_push(&plain, "x", 1, false);
    cr_assert_eq(tls_seal(&p.core, p.server, &plain, &wire, 1, 0), WEIR_ESTATE);
    rope_clear(&plain);
    cr_assert_eq(pair_open(&p, &wire, out, sizeof(out), &n), TLS_CT_ALERT);
    cr_assert_arr_eq(out, ((const uint8_t[]){1, 0}), 2);
    cr_assert_eq(harness_alerts(&p.core, TLS_WRITE, SSL_AD_CLOSE_NOTIFY), 1);
    pair_fini(&p);
}
