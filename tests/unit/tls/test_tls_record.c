/* SPDX-License-Identifier: BSD-3-Clause */
/* Framing and opening: the vector of RFC 8448, every cut of a record, in place and shared, damaged and cut off. */
#include "harness.h"

/* RFC 8448 section 3: client_application_traffic_secret_0 and the client's first record, 50 bytes 00 to 31. */
static const uint8_t rfc_secret[32] = {0x9e, 0x40, 0x64, 0x6c, 0xe7, 0x9a, 0x7f, 0x9d, 0xc0, 0x5a, 0xf8,
                                       0x88, 0x9b, 0xce, 0x65, 0x52, 0x87, 0x5a, 0xfa, 0x0b, 0x06, 0xdf,
                                       0x00, 0x87, 0xf7, 0x92, 0xeb, 0xb7, 0xc1, 0x75, 0x04, 0xa5};
static const uint8_t rfc_record[72] = {
    0x17, 0x03, 0x03, 0x00, 0x43, 0xa2, 0x3f, 0x70, 0x54, 0xb6, 0x2c, 0x94, 0xd0, 0xaf, 0xfa, 0xfe, 0x82, 0x28,
    0xba, 0x55, 0xcb, 0xef, 0xac, 0xea, 0x42, 0xf9, 0x14, 0xaa, 0x66, 0xbc, 0xab, 0x3f, 0x2b, 0x98, 0x19, 0xa8,
    0xa5, 0xb4, 0x6b, 0x39, 0x5b, 0xd5, 0x4a, 0x9a, 0x20, 0x44, 0x1e, 0x2b, 0x62, 0x97, 0x4e, 0x1f, 0x5a, 0x62,
    0x92, 0xa2, 0x97, 0x70, 0x14, 0xbd, 0x1e, 0x3d, 0xea, 0xe6, 0x3a, 0xee, 0xbb, 0x21, 0x69, 0x49, 0x15, 0xe4};

Test(tls_record, rfc8448_application_data) {
    for (uint32_t cut = 0; cut < sizeof(rfc_record); cut++) {
        for (int shared = 0; shared < 2; shared++) {
            struct pair p;
            struct rope wire = {0}, plain = {0}, answer = {0};
            struct tls_dir_keys keys = {0};
            uint8_t got[64];

            pair_init(&p, tls_suite_find(TLS_V13, 0x1301));
            memcpy(keys.secret, rfc_secret, sizeof(rfc_secret));
            tls_keys_from_secret(p.core.kdf, &tls_suites[0], &keys);
            tls_conn_keys_store(&p.core, tls_conn_get(&p.core, p.server), TLS_READ, &keys);
            if (cut)
                harness_push(&wire, rfc_record, cut, shared);
            harness_push(&wire, rfc_record + cut, (uint32_t)sizeof(rfc_record) - cut, shared);
            cr_assert_eq(tls_input(&p.core, p.server, &wire, &plain, &answer, 100), TLS_PLAIN, "cut %u", cut);
            cr_assert_eq(plain.len_bytes, 50);
            rope_copy(&plain, 0, got, 50);
            for (uint8_t i = 0; i < 50; i++)
                cr_assert_eq(got[i], i);
            cr_assert_eq(wire.len_bytes, 0);
            rope_clear(&plain);
            pair_fini(&p);
            if (cut > 8 && cut < 56)
                cut += 7;
        }
    }
}

static int peek(const uint8_t *bytes, uint32_t n, struct tls_frame *f) {
    struct rope r = {0};

    harness_push(&r, bytes, n, false);
    int rc = tls_frame_peek(&r, TLS_RECORD_WIRE_MAX13, f);
    rope_clear(&r);
    return rc;
}

Test(tls_record, framing) {
    struct tls_frame f;

    cr_assert_eq(peek((const uint8_t[]){23, 3, 3, 0}, 4, &f), 0);
    cr_assert_eq(peek((const uint8_t[]){23, 3, 3, 0, 1}, 5, &f), 0);
    cr_assert_eq(peek((const uint8_t[]){23, 3, 3, 0, 1, 7}, 6, &f), 1);
    cr_assert_eq(f.type, 23);
    cr_assert_eq(f.version, TLS_V12);
    cr_assert_eq(f.body_bytes, 1);
    cr_assert_eq(peek((const uint8_t[]){23, 3, 3, 0x41, 0x00}, 5, &f), 0);
    cr_assert_eq(peek((const uint8_t[]){23, 3, 3, 0x41, 0x01}, 5, &f), -TLS_DROP_RECORD_OVERFLOW);
    cr_assert_eq(peek((const uint8_t[]){19, 3, 3, 0, 1}, 5, &f), -TLS_DROP_BAD_TYPE);
    cr_assert_eq(peek((const uint8_t[]){24, 3, 3, 0, 1}, 5, &f), -TLS_DROP_BAD_TYPE);
    cr_assert_eq(peek((const uint8_t *)"GET / HTTP/1.1", 14, &f), -TLS_DROP_BAD_TYPE);
    cr_assert_eq(peek((const uint8_t[]){22, 2, 0, 0, 1}, 5, &f), -TLS_DROP_BAD_VERSION);
}

Test(tls_record, truncate) {
    struct rope r = {0};

    for (uint32_t n = 0; n <= 30; n++) {
        for (int i = 0; i < 3; i++)
            harness_push(&r, "0123456789", 10, false);
        tls_rope_truncate(&r, n);
        cr_assert_eq(r.len_bytes, n);
        cr_assert_eq(r.mbufs, (n + 9) / 10);
        cr_assert_eq(r.tail == NULL, n == 0);
        rope_clear(&r);
    }
    cr_assert_eq(harness_mbufs_out(), 0);
}

/* Ciphertext of n bytes laid out over mbufs in random pieces, some shared, the next record's start behind it. */
Test(tls_record, opens_over_any_layout) {
    static uint8_t data[TLS_RECORD_MAX], bytes[TLS_RECORD_MAX + 100], got[TLS_RECORD_MAX];
    static const uint32_t sizes[] = {1, 64, 255, 1000, 5000, TLS_RECORD_MAX};
    uint64_t seed = 3;

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)harness_random(&seed, 256);
    for (uint8_t row = 1; row != 0; row = harness_next_row(row)) {
        struct pair p;
        pair_init(&p, row);
        for (int round = 0; round < 60; round++) {
            uint32_t n = sizes[round % 6], piece_max = n / 400 + 1 + harness_random(&seed, round % 2 ? 60 : 1900);
            struct rope sealed = {0}, wire = {0}, plain = {0}, answer = {0};
            pair_seal(&p, TLS_CT_DATA, data, n, &sealed);
            uint32_t total = rope_copy(&sealed, 0, bytes, sizeof(bytes));
            rope_clear(&sealed);
            memcpy(bytes + total, "\x17\x03\x03", 3);
            for (uint32_t at = 0; at < total + 3;) {
                uint32_t part = weir_min_u32(1 + harness_random(&seed, piece_max), total + 3 - at);
                harness_push(&wire, bytes + at, part, harness_random(&seed, 4) == 0);
                at += part;
            }
            cr_assert_eq(tls_input(&p.core, p.server, &wire, &plain, &answer, 1u << 20), TLS_PLAIN);
            cr_assert_eq(plain.len_bytes, n);
            cr_assert_eq(rope_copy(&plain, 0, got, n), n);
            cr_assert_eq(memcmp(got, data, n), 0);
            cr_assert_eq(wire.len_bytes, 3, "what follows stays");
            rope_clear(&plain);
            rope_clear(&wire);
        }
        cr_assert_gt(p.core.stats.opened_elsewhere, 0);
        cr_assert_lt(p.core.stats.opened_elsewhere, p.core.stats.records_opened);
        pair_fini(&p);
    }
}

/* Each byte of a record damaged in turn: never any plaintext, always the alert. */
Test(tls_record, damaged_byte) {
    for (uint8_t row = 1; row != 0; row = harness_next_row(row)) {
        for (uint32_t at = 5, total = 60; at < total; at += 3) {
            struct pair p;
            struct rope wire = {0}, answer = {0};
            uint8_t bytes[128], alert[16];
            uint32_t n = 0, plain = 0;

            pair_init(&p, row);
            pair_seal(&p, TLS_CT_DATA, "a secret that stays one, all 38 of it", 38, &wire);
            total = rope_copy(&wire, 0, bytes, sizeof(bytes));
            rope_clear(&wire);
            if (at >= total)
                at = total - 1;
            bytes[at] ^= 0x40;
            harness_push(&wire, bytes, 20, false);
            harness_push(&wire, bytes + 20, total - 20, false);
            cr_assert_eq(pair_input(&p, &wire, &answer, &plain), -TLS_DROP_BAD_MAC, "%s byte %u",
                         tls_suites[row - 1].name, at);
            cr_assert_eq(plain, 0);
            cr_assert_eq(pair_open(&p, &answer, alert, sizeof(alert), &n), TLS_CT_ALERT);
            cr_assert_eq(alert[0], 2);
            cr_assert_eq(alert[1], 20, "bad_record_mac");
            cr_assert_eq(pair_input(&p, &wire, &answer, NULL), -TLS_DROP_BAD_MAC, "dead stays dead");
            cr_assert_not(tls_established(&p.core, p.server));
            cr_assert_eq(p.core.stats.drops[TLS_DROP_BAD_MAC], 1);
            rope_clear(&wire);
            rope_clear(&answer);
            pair_fini(&p);
        }
    }
}

/* A record of the client's, of n bytes (at most 1,000), in an mbuf of its own; byte `flip` of it (-1: none) is damaged.
 */
static void push_record(struct pair *p, uint8_t type, const void *data, uint32_t n, int flip, struct rope *wire) {
    struct rope sealed = {0};
    uint8_t bytes[1100];

    pair_seal(p, type, data, n, &sealed);
    uint32_t total = rope_copy(&sealed, 0, bytes, sizeof(bytes));
    rope_clear(&sealed);
    if (flip >= 0)
        bytes[flip] ^= 1;
    harness_push(wire, bytes, total, false);
}

/* Of several in a turn, each in an mbuf of its own, one is damaged: what came before it is delivered, nothing after.
 * Small ones are opened behind one another, larger ones where they lie. */
Test(tls_record, damaged_record_among_good_ones) {
    enum { RECORDS = 4, DATA_MAX = 400 };
    for (uint8_t row = 1; row != 0; row = harness_next_row(row)) {
        for (uint32_t at = 0; at < 3 * RECORDS * RECORDS; at++) {
            uint32_t n = (const uint32_t[]){30, 256, DATA_MAX}[at % 3], count = at / 3 % RECORDS + 1;
            uint32_t bad = at / 3 / RECORDS % count;
            struct pair p;
            struct rope wire = {0}, plain = {0}, answer = {0};
            uint8_t data[DATA_MAX], got[RECORDS * DATA_MAX];

            pair_init(&p, row);
            for (uint32_t i = 0; i < count; i++) {
                memset(data, (int)i + 1, n);
                push_record(&p, TLS_CT_DATA, data, n, i == bad ? (int)n / 2 + 10 : -1, &wire);
            }
            cr_assert_eq(tls_input(&p.core, p.server, &wire, &plain, &answer, 1u << 20), -TLS_DROP_BAD_MAC);
            cr_assert_eq(rope_copy(&plain, 0, got, sizeof(got)), bad * n);
            for (uint32_t i = 0; i < bad * n; i++)
                cr_assert_eq(got[i], i / n + 1);
            cr_assert_eq(p.core.stats.records_opened, bad);
            cr_assert_eq(p.core.stats.bytes_opened, bad * n);
            cr_assert_gt(answer.len_bytes, 0, "the alert");
            rope_clear(&wire);
            rope_clear(&plain);
            rope_clear(&answer);
            pair_fini(&p);
        }
    }
}

/* Small records of data are opened into one mbuf; one among them is something else, which is never among the data. */
Test(tls_record, other_record_among_small_ones) {
    static const struct other {
        const char *what;
        uint8_t type, bytes[200];
        uint32_t n;
        int verdict;
        uint32_t records; /* of the five whose data arrives */
    } others[] = {
        {"data", TLS_CT_DATA, {9, 9}, 2, TLS_PLAIN, 5},
        {"padded data", 0, {9, 9, TLS_CT_DATA}, 200, TLS_PLAIN, 5},
        {"nothing", TLS_CT_DATA, {0}, 0, TLS_PLAIN, 4},
        {"close_notify", TLS_CT_ALERT, {1, 0}, 2, TLS_PLAIN | TLS_CLOSE, 2},
        {"a fatal alert", TLS_CT_ALERT, {2, 40}, 2, -TLS_DROP_PEER_ALERT, 2},
        {"no type", 0, {0}, 100, -TLS_DROP_NO_CONTENT_TYPE, 2},
    };
    for (uint8_t row = 1; row != 0; row = harness_next_row(row)) {
        for (const struct other *o = others; o < others + WEIR_ARRAY_LEN(others); o++) {
            struct pair p;
            struct rope wire = {0}, plain = {0}, answer = {0};
            uint8_t data[50], got[500];

            pair_init(&p, row);
            if (o->type == 0 && tls_suites[row - 1].version != TLS_V13) {
                pair_fini(&p);
                continue;
            }
            memset(data, 7, sizeof(data));
            for (uint32_t i = 0; i < 5; i++) {
                if (i == 2)
                    push_record(&p, o->type, o->bytes, o->n, -1, &wire);
                else
                    push_record(&p, TLS_CT_DATA, data, sizeof(data), -1, &wire);
            }
            cr_assert_eq(tls_input(&p.core, p.server, &wire, &plain, &answer, 1u << 20), o->verdict, "%s, row %u",
                         o->what, row);
            uint32_t two = o->records == 5 ? 2 : 0, n = rope_copy(&plain, 0, got, sizeof(got));
            cr_assert_eq(n, (o->records - two / 2) * sizeof(data) + two, "%s, row %u: %u", o->what, row, n);
            cr_assert_eq(plain.mbufs, 1);
            for (uint32_t i = 0; i < n; i++)
                cr_assert_eq(got[i], i / sizeof(data) == 2 && i % sizeof(data) < two ? 9 : 7, "%s: byte %u", o->what,
                             i);
            cr_assert(o->verdict < 0 || wire.len_bytes == 0, "%s", o->what);
            rope_clear(&wire);
            rope_clear(&plain);
            rope_clear(&answer);
            pair_fini(&p);
        }
    }
}

/* Small ones go on in the next mbuf where one is full, and nothing is written behind its end. */
Test(tls_record, small_records_fill_mbufs) {
    enum { RECORDS = 120, DATA = 37 };
    for (uint8_t row = 1; row != 0; row = harness_next_row(row)) {
        struct pair p;
        struct rope wire = {0}, plain = {0}, answer = {0};
        uint8_t data[DATA], got[RECORDS * DATA + 1];

        pair_init(&p, row);
        for (uint32_t i = 0; i < RECORDS; i++) {
            memset(data, (int)i, sizeof(data));
            push_record(&p, TLS_CT_DATA, data, sizeof(data), -1, &wire);
        }
        cr_assert_eq(tls_input(&p.core, p.server, &wire, &plain, &answer, 1u << 20), TLS_PLAIN);
        cr_assert_eq(rope_copy(&plain, 0, got, sizeof(got)), RECORDS * DATA);
        for (uint32_t i = 0; i < RECORDS * DATA; i++)
            cr_assert_eq(got[i], i / DATA);
        uint32_t room = rte_pktmbuf_data_room_size(harness_pool()) - RTE_PKTMBUF_HEADROOM;
        for (const struct rte_mbuf *m = plain.head; m != NULL; m = m->next)
            cr_assert(m->data_len <= room && (m->next == NULL || (uint32_t)m->data_len + DATA + 1 > room - 100),
                      "%u of %u", m->data_len, room);
        if (tls_suites[row - 1].gcm)
            cr_assert_eq(p.core.stats.opened_elsewhere, RECORDS - plain.mbufs,
                         "the first of each mbuf lies where it lay");
        rope_clear(&plain);
        pair_fini(&p);
    }
}

/* The budget holds for a turn of records in mbufs of their own, too, and what is left is taken by the next. */
Test(tls_record, budget_stops_between_mbufs) {
    for (uint8_t row = 1; row != 0; row = harness_next_row(row)) {
        for (uint32_t n = 50; n <= 500; n *= 10) {
            struct pair p;
            struct rope wire = {0}, plain = {0}, answer = {0};
            const uint8_t data[500] = {0};

            pair_init(&p, row);
            for (int i = 0; i < 4; i++)
                push_record(&p, TLS_CT_DATA, data, n, -1, &wire);
            uint32_t body = wire.len_bytes / 4 - TLS_HEADER_BYTES;
            cr_assert_eq(tls_input(&p.core, p.server, &wire, &plain, &answer, 2 * body), TLS_PLAIN | TLS_MORE_WORK);
            cr_assert_eq(plain.len_bytes, 2 * n);
            cr_assert_eq(tls_input(&p.core, p.server, &wire, &plain, &answer, 1), TLS_PLAIN | TLS_MORE_WORK);
            cr_assert_eq(plain.len_bytes, 3 * n, "one record whatever the budget");
            cr_assert_eq(tls_input(&p.core, p.server, &wire, &plain, &answer, 2 * body - 1), TLS_PLAIN);
            cr_assert_eq(plain.len_bytes, 4 * n);
            cr_assert_eq(wire.len_bytes, 0);
            rope_clear(&plain);
            pair_fini(&p);
        }
    }
}

/* The inner type, or the tag, is the first byte of the record's last mbuf; with another record before and behind. */
Test(tls_record, inner_type_begins_a_segment) {
    for (uint8_t row = 1; row <= 3; row++) {
        for (uint32_t cut = 104; cut <= 107; cut++) {
            struct pair p;
            struct rope wire = {0}, plain = {0}, answer = {0}, sealed = {0};
            uint8_t data[100], bytes[200], got[400];

            pair_init(&p, row);
            memset(data, TLS_CT_ALERT, sizeof(data)); /* nothing of it may be taken for a type */
            pair_seal(&p, TLS_CT_DATA, data, sizeof(data), &wire);
            pair_seal(&p, TLS_CT_DATA, data, sizeof(data), &sealed);
            uint32_t n = rope_copy(&sealed, 0, bytes, sizeof(bytes));
            rope_clear(&sealed);
            harness_push(&wire, bytes, cut, false);
            harness_push(&wire, bytes + cut, n - cut, false);
            pair_seal(&p, TLS_CT_DATA, data, sizeof(data), &sealed);
            n = rope_copy(&sealed, 0, bytes, sizeof(bytes));
            rope_clear(&sealed);
            harness_push(&wire, bytes, n, false);
            cr_assert_eq(tls_input(&p.core, p.server, &wire, &plain, &answer, 1u << 20), TLS_PLAIN);
            cr_assert_eq(rope_copy(&plain, 0, got, sizeof(got)), 3 * sizeof(data));
            for (uint32_t i = 0; i < 3 * sizeof(data); i++)
                cr_assert_eq(got[i], TLS_CT_ALERT);
            cr_assert_eq(wire.len_bytes, 0);
            rope_clear(&plain);
            pair_fini(&p);
        }
    }
}

/* A record alone in an mbuf is opened in place where the mbuf is private, and nobody sees a difference where it is not,
 * or where the mbuf holds a byte more or less. */
Test(tls_record, alone_in_an_mbuf) {
    for (uint8_t row = 1; row != 0; row = harness_next_row(row)) {
        for (uint32_t n = 1; n <= 400; n = n * 2 + 1) {
            for (int shared = 0; shared < 2; shared++) {
                struct pair p;
                struct rope wire = {0}, plain = {0}, answer = {0}, sealed = {0};
                uint8_t data[400], bytes[500], got[401];

                pair_init(&p, row);
                memset(data, (int)n, sizeof(data));
                pair_seal(&p, TLS_CT_DATA, data, n, &sealed);
                uint32_t total = rope_copy(&sealed, 0, bytes, sizeof(bytes));
                rope_clear(&sealed);
                harness_push(&wire, bytes, total - 1, shared);
                cr_assert_eq(tls_input(&p.core, p.server, &wire, &plain, &answer, 0), 0, "a byte is missing");
                rope_clear(&wire);
                harness_push(&wire, bytes, total, shared);
                cr_assert_eq(tls_input(&p.core, p.server, &wire, &plain, &answer, 0), TLS_PLAIN, "whatever the budget");
                cr_assert_eq(rope_copy(&plain, 0, got, sizeof(got)), n);
                cr_assert_eq(memcmp(got, data, n), 0);
                cr_assert_eq(p.core.stats.opened_elsewhere, shared ? 1 : 0);
                pair_seal(&p, TLS_CT_DATA, data, n, &sealed);
                total = rope_copy(&sealed, 0, bytes, sizeof(bytes));
                rope_clear(&sealed);
                bytes[total] = 99; /* of the next record, which is none */
                harness_push(&wire, bytes, total + 1, shared);
                cr_assert_eq(tls_input(&p.core, p.server, &wire, &plain, &answer, 1u << 20), TLS_PLAIN);
                cr_assert_eq(plain.len_bytes, 2 * n);
                cr_assert_eq(wire.len_bytes, 1);
                rope_clear(&wire);
                rope_clear(&plain);
                pair_fini(&p);
            }
        }
    }
}

Test(tls_record, replayed_record) {
    struct pair p;
    struct rope wire = {0}, answer = {0};
    uint8_t bytes[128];
    uint32_t plain = 0;

    pair_init(&p, 1);
    pair_seal(&p, TLS_CT_DATA, "once", 4, &wire);
    uint32_t total = rope_copy(&wire, 0, bytes, sizeof(bytes));
    harness_push(&wire, bytes, total, false);
    cr_assert_eq(pair_input(&p, &wire, &answer, &plain), -TLS_DROP_BAD_MAC);
    cr_assert_eq(plain, 4);
    rope_clear(&wire);
    rope_clear(&answer);
    pair_fini(&p);
}

Test(tls_record, short_record) {
    for (uint8_t row = 1; row != 0; row = harness_next_row(row)) {
        struct pair p;
        struct rope wire = {0}, answer = {0};
        const uint8_t record[] = {23, 3, 3, 0, 15, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

        pair_init(&p, row);
        harness_push(&wire, record, sizeof(record), false);
        cr_assert_eq(pair_input(&p, &wire, &answer, NULL), -TLS_DROP_SHORT_RECORD);
        rope_clear(&wire);
        rope_clear(&answer);
        pair_fini(&p);
    }
}

Test(tls_record, no_mbuf_takes_nothing_and_goes_on_later) {
    for (uint8_t row = 1; row <= 4; row++) {
        struct pair p;
        struct rope sealed = {0}, wire = {0}, plain = {0}, answer = {0};
        static uint8_t data[6000], bytes[6100], got[6000];

        pair_init(&p, row);
        memset(data, 0x5a, sizeof(data));
        pair_seal(&p, TLS_CT_DATA, data, sizeof(data), &sealed);
        uint32_t total = rope_copy(&sealed, 0, bytes, sizeof(bytes));
        rope_clear(&sealed);
        for (uint32_t at = 0; at < total; at += 1000)
            harness_push(&wire, bytes + at, weir_min_u32(1000, total - at), true);
        for (uint32_t left = 0; left < 3; left++) {
            harness_starve(left);
            cr_assert_eq(tls_input(&p.core, p.server, &wire, &plain, &answer, 1u << 20), TLS_MORE_WORK);
            cr_assert_eq(wire.len_bytes, total);
            cr_assert_eq(plain.len_bytes, 0);
            harness_unstarve();
        }
        cr_assert_eq(tls_input(&p.core, p.server, &wire, &plain, &answer, 1u << 20), TLS_PLAIN);
        cr_assert_eq(rope_copy(&plain, 0, got, sizeof(got)), sizeof(got));
        cr_assert_eq(memcmp(got, data, sizeof(data)), 0);
        rope_clear(&plain);
        pair_fini(&p);
    }
}

Test(tls_record, budget_stops_between_records) {
    struct pair p;
    struct rope wire = {0}, plain = {0}, answer = {0};
    static const uint8_t data[1000];

    pair_init(&p, 1);
    for (int i = 0; i < 3; i++)
        pair_seal(&p, TLS_CT_DATA, data, sizeof(data), &wire);
    cr_assert_eq(tls_input(&p.core, p.server, &wire, &plain, &answer, 10), TLS_PLAIN | TLS_MORE_WORK);
    cr_assert_eq(plain.len_bytes, 1000, "one record whatever the budget");
    cr_assert_eq(tls_input(&p.core, p.server, &wire, &plain, &answer, 3000), TLS_PLAIN);
    cr_assert_eq(plain.len_bytes, 3000);
    rope_clear(&plain);
    pair_fini(&p);
}
