/* SPDX-License-Identifier: BSD-3-Clause */
/* How long our records are: within what the peer can take, whichever extension said so, and short at the start of a
 * burst. */
#include "client_harness.h"

#define SECOND_US 1000000ull
#define SEGMENT   1448u

#define IN_ANY_HELLO (SSL_EXT_CLIENT_HELLO | SSL_EXT_TLS1_2_SERVER_HELLO | SSL_EXT_TLS1_3_ENCRYPTED_EXTENSIONS)

/* --- record_size_limit with a client that offers it: an SSL_CTX of its own custom extension --- */

struct offer {
    uint8_t bytes[4];
    size_t n;
    uint32_t answered; /* what the server said; 0: nothing */
};

static int offer_add(SSL *ssl, unsigned type, unsigned context, const unsigned char **out, size_t *n, X509 *x,
                     size_t chain, int *alert, void *arg) {
    const struct offer *o = arg;

    (void)ssl, (void)type, (void)context, (void)x, (void)chain, (void)alert;
    *out = o->bytes;
    *n = o->n;
    return 1;
}

static int answer_parse(SSL *ssl, unsigned type, unsigned context, const unsigned char *in, size_t n, X509 *x,
                        size_t chain, int *alert, void *arg) {
    struct offer *o = arg;

    (void)ssl, (void)type, (void)context, (void)x, (void)chain, (void)alert;
    o->answered = n == 2 ? (uint32_t)(in[0] << 8 | in[1]) : UINT32_MAX;
    return 1;
}

static struct offer offer_of(uint32_t limit) {
    return (struct offer){.bytes = {(uint8_t)(limit >> 8), (uint8_t)limit}, .n = 2};
}

/* A connection whose client offers `o`, and max_fragment_length `code` where not 0. Returns whether it came about. */
static bool connect_offering(struct harness *h, uint16_t version, struct offer *o, uint8_t code) {
    const char *suite = version == TLS_V13 ? "TLS_AES_128_GCM_SHA256" : "ECDHE-ECDSA-AES128-GCM-SHA256";

    harness_init(h, &(struct harness_options){.version = version, .suite = suite});
    cr_assert(SSL_CTX_add_custom_ext(h->client_ctx, 28, IN_ANY_HELLO, offer_add, NULL, o, answer_parse, o));
    harness_disconnect(h);
    harness_connect(h, NULL);
    if (code)
        SSL_set_tlsext_max_fragment_length(h->client, code);
    return harness_handshake(h);
}

/* Seal `n` bytes at a time when the clock says `us`; returns the longest record's plaintext, *records how many. */
static uint32_t longest(struct tls_core *core, tls_id id, uint64_t us, uint32_t n, uint32_t *records) {
    static const uint8_t data[2000];
    struct rope plain = {0}, wire = {0};
    const struct tls_suite *s = tls_conn_suite(tls_conn_get(core, id));
    uint32_t most = 0;
    struct tls_frame f;

    tls_core_now(core, us);
    for (uint32_t at = 0; at < n; at += sizeof(data))
        harness_push(&plain, data, weir_min_u32(n - at, sizeof(data)), false);
    cr_assert_eq(tls_seal(core, id, &plain, &wire, UINT32_MAX, SEGMENT), (int)n);
    for (*records = 0; tls_frame_peek(&wire, TLS_RECORD_WIRE_MAX, &f) == 1; ++*records) {
        most = weir_max_u32(most, f.body_bytes - tls_suite_overhead(s));
        rope_trim(&wire, TLS_HEADER_BYTES + f.body_bytes);
    }
    cr_assert_eq(wire.len_bytes, 0);
    return most;
}

/* Every record of bursts, and the longest once a burst has grown. */
static void limit_check(struct tls_core *core, tls_id id, uint32_t limit) {
    bool v13 = tls_conn_suite(tls_conn_get(core, id))->version == TLS_V13;
    uint32_t most = weir_min_u32(limit - v13, TLS_RECORD_MAX), records;

    for (uint32_t burst = 0; burst < 3; burst++) {
        uint32_t got = longest(core, id, SECOND_US, 60000, &records);
        cr_assert_leq(got, most, "limit %u: a record of %u", limit, got);
        if (burst > 0)
            cr_assert_eq(got, most, "limit %u: records of %u", limit, got);
        got = longest(core, id, SECOND_US, 1000, &records);
        cr_assert_eq(got, weir_min_u32(most, 1000), "limit %u: a message in a record of %u", limit, got);
    }
}

static const uint16_t versions[] = {TLS_V12, TLS_V13};
static const uint32_t limits[] = {64, 65, 100, 511, 512, 513, 600, 1024, 1370, 4096, 5000, 16383, 16384, 16385, 65535};

Test(tls_record_size, a_clients_limit_holds) {
    for (size_t v = 0; v < WEIR_ARRAY_LEN(versions); v++) {
        for (size_t i = 0; i < WEIR_ARRAY_LEN(limits); i++) {
            struct offer o = offer_of(limits[i]);
            struct harness h;
            bool v13 = versions[v] == TLS_V13, answers = !v13 || limits[i] > 512;
            cr_assert(connect_offering(&h, versions[v], &o, 0));
            cr_assert_eq(o.answered, answers ? TLS_RECORD_MAX + v13 : 0, "limit %u", limits[i]);
            limit_check(&h.core, h.id, limits[i]);
            harness_fini(&h);
        }
    }
}

Test(tls_record_size, a_servers_limit_holds) {
    for (size_t v = 0; v < WEIR_ARRAY_LEN(versions); v++) {
        for (size_t i = 0; i < WEIR_ARRAY_LEN(limits); i++) {
            const struct client_case *s = &client_cases[versions[v] == TLS_V13 ? 0 : 3];
            struct offer o = offer_of(limits[i]);
            struct client c;
            client_init(&c, &(struct client_options){.kind = s->kind, .version = versions[v], .suite = s->suite});
            cr_assert(SSL_CTX_add_custom_ext(c.server_ctx, 28, IN_ANY_HELLO, offer_add, NULL, &o, answer_parse, &o));
            client_connect(&c, "weir.test", NULL);
            cr_assert(client_handshake(&c));
            cr_assert_eq(o.answered, TLS_RECORD_MAX + 1, "what a client says, whichever version comes of it");
            limit_check(&c.core, c.id, limits[i]);
            client_fini(&c);
        }
    }
}

/* Where libssl carries the records. */
Test(tls_record_size, of_libssls_records_too) {
    static const uint32_t some[] = {64, 100, 512, 1000, 16384};
    static uint8_t data[40000];

    for (size_t i = 0; i < WEIR_ARRAY_LEN(some); i++) {
        struct offer o = offer_of(some[i]);
        struct harness h;
        struct tls_frame f;
        harness_init(&h, &(struct harness_options){.version = TLS_V12, .suite = "ECDHE-ECDSA-AES256-SHA384"});
        cr_assert(SSL_CTX_add_custom_ext(h.client_ctx, 28, IN_ANY_HELLO, offer_add, NULL, &o, answer_parse, &o));
        harness_disconnect(&h);
        harness_connect(&h, NULL);
        cr_assert(harness_handshake(&h));
        cr_assert_eq(o.answered, TLS_RECORD_MAX);
        struct rope plain = {0}, wire = {0};
        uint32_t news[4], records = 0;
        cr_assert_eq(rope_append(&plain, harness_pool(), data, sizeof(data)), 0);
        for (int turn = 0; turn < 20; turn++) {
            cr_assert_geq(tls_seal(&h.core, h.id, &plain, &wire, UINT32_MAX, 0), 0);
            tls_poll(&h.core, 8, news, 4);
            cr_assert_geq(tls_input(&h.core, h.id, &h.wire_in, &h.in, &wire, 4096), 0);
        }
        cr_assert_eq(plain.len_bytes, 0);
        for (; tls_frame_peek(&wire, TLS_RECORD_WIRE_MAX, &f) == 1; records++) { /* IV, up to 16 of padding, MAC */
            cr_assert_leq(f.body_bytes, 16 + some[i] + 16 + 48, "limit %u: %u", some[i], f.body_bytes);
            rope_trim(&wire, TLS_HEADER_BYTES + f.body_bytes);
        }
        cr_assert_eq(wire.len_bytes, 0);
        cr_assert_geq(records, sizeof(data) / some[i]);
        harness_fini(&h);
    }
}

/* The limit holds for what libssl sends as well: its whole flight, the certificate among it. */
Test(tls_record_size, libssls_flight_is_within_it) {
    struct offer o = offer_of(513);
    struct harness h;
    struct tls_frame f;

    harness_init(&h, &(struct harness_options){.version = TLS_V13, .kind = KEY_RSA});
    cr_assert(SSL_CTX_add_custom_ext(h.client_ctx, 28, IN_ANY_HELLO, offer_add, NULL, &o, answer_parse, &o));
    harness_disconnect(&h);
    harness_connect(&h, NULL);
    SSL_do_handshake(h.client);
    harness_client_flush(&h);
    struct rope flight = {0};
    uint32_t news[4], records = 0;
    for (int i = 0; i < 3; i++) {
        cr_assert_geq(tls_input(&h.core, h.id, &h.wire_in, &h.in, &flight, 4096), 0);
        tls_poll(&h.core, 8, news, 4);
    }
    for (; tls_frame_peek(&flight, TLS_RECORD_WIRE_MAX, &f) == 1; records++) {
        if (f.type == TLS_CT_DATA)
            cr_assert_leq(f.body_bytes, 513 + TLS_TAG_BYTES);
        rope_trim(&flight, TLS_HEADER_BYTES + f.body_bytes);
    }
    cr_assert_gt(records, 4);
    rope_clear(&flight);
    harness_fini(&h);
}

/* RFC 8449 section 5: both in one answer are an error, and libssl answers max_fragment_length in any case. */
Test(tls_record_size, of_two_extensions_one_is_answered) {
    for (size_t v = 0; v < WEIR_ARRAY_LEN(versions); v++) {
        struct offer o = offer_of(4096);
        struct harness h;
        uint32_t records;
        cr_assert(connect_offering(&h, versions[v], &o, TLSEXT_max_fragment_length_512));
        cr_assert_eq(o.answered, 0);
        cr_assert_eq(SSL_SESSION_get_max_fragment_length(SSL_get_session(h.client)), TLSEXT_max_fragment_length_512);
        cr_assert_eq(longest(&h.core, h.id, SECOND_US, 5000, &records), 512);
        o = offer_of(300); /* the older one agreed on, and the newer one kept to */
        harness_fini(&h);
        cr_assert(connect_offering(&h, versions[v], &o, TLSEXT_max_fragment_length_512));
        cr_assert_eq(longest(&h.core, h.id, SECOND_US, 5000, &records), 300 - (versions[v] == TLS_V13));
        harness_fini(&h);
    }
}

Test(tls_record_size, a_limit_that_is_none_is_refused) {
    static const struct {
        struct offer offer;
        int alert;
    } bad[] = {
        {{.bytes = {0, 63}, .n = 2}, SSL_AD_ILLEGAL_PARAMETER},
        {{.bytes = {64}, .n = 1}, SSL_AD_DECODE_ERROR},
        {{.bytes = {2, 0, 0}, .n = 3}, SSL_AD_DECODE_ERROR},
    };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(bad); i++) {
        struct offer o = bad[i].offer;
        struct harness h;
        uint8_t alert[7];
        cr_assert_not(connect_offering(&h, TLS_V13, &o, 0));
        cr_assert_eq(h.error, -TLS_DROP_HS_FAILED);
        int n = BIO_read(SSL_get_rbio(h.client), alert, sizeof(alert));
        if (n == sizeof(alert)) /* not yet read by the client */
            cr_assert_eq(alert[6], bad[i].alert);
        harness_fini(&h);
    }
}

/* --- bursts --- */

/* Of every suite: a record of a burst's start is a segment, to the byte. */
Test(tls_record_size, a_burst_begins_with_segments) {
    for (uint8_t row = 1; row <= tls_suites_count; row++) {
        const uint32_t segment = SEGMENT - TLS_HEADER_BYTES - tls_suite_overhead(&tls_suites[row - 1]);
        struct pair p;
        uint32_t records;

        pair_init(&p, row);
        cr_assert_eq(longest(&p.core, p.server, 5 * SECOND_US, 16384, &records), segment);
        cr_assert_eq(records, 12);
        for (uint32_t sent = 12; sent < 31; sent += 12)
            longest(&p.core, p.server, 5 * SECOND_US, 16384, &records);
        cr_assert_eq(longest(&p.core, p.server, 5 * SECOND_US, 32768, &records), TLS_RECORD_MAX);
        cr_assert_eq(records, 2, "bulk after some tens of KB");
        cr_assert_eq(longest(&p.core, p.server, 5 * SECOND_US + 400000, 16384, &records), TLS_RECORD_MAX, "no pause");
        cr_assert_eq(longest(&p.core, p.server, 7 * SECOND_US, 16384, &records), segment, "a new burst");
        cr_assert_eq(longest(&p.core, p.server, 20 * SECOND_US, 5000, &records), segment);
        pair_fini(&p);
    }
}

Test(tls_record_size, without_a_segment_worth_it_there_are_no_bursts) {
    static const uint32_t segments[] = {0, 1, 40, 255};
    static const uint8_t data[2000];
    struct tls_frame f;

    for (size_t i = 0; i < WEIR_ARRAY_LEN(segments); i++) {
        struct rope plain = {0}, wire = {0};
        struct pair p;
        pair_init(&p, 1);
        for (uint32_t at = 0; at < 16000; at += sizeof(data))
            harness_push(&plain, data, sizeof(data), false);
        cr_assert_eq(tls_seal(&p.core, p.server, &plain, &wire, UINT32_MAX, segments[i]), 16000);
        cr_assert_eq(tls_frame_peek(&wire, TLS_RECORD_WIRE_MAX, &f), 1);
        cr_assert_eq(f.body_bytes + TLS_HEADER_BYTES, wire.len_bytes);
        rope_clear(&wire);
        pair_fini(&p);
    }
}

Test(tls_record_size, small_messages_are_one_record_each) {
    struct pair p;
    uint32_t records;

    pair_init(&p, 1);
    for (uint32_t n = 1; n <= TLS_SMALL_BYTES; n *= 4) {
        cr_assert_eq(longest(&p.core, p.server, SECOND_US, n, &records), n);
        cr_assert_eq(records, 1);
    }
    cr_assert_eq(tls_conn_get(&p.core, p.server)->burst, 0, "and leave no trace");
    pair_fini(&p);
}
