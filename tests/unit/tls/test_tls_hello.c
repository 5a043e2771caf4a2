/* SPDX-License-Identifier: BSD-3-Clause */
/* Who hopes to resume: hellos of libssl, of both versions, and hellos that nobody should send. */
#include "harness.h"

#define V13_SUITE "TLS_AES_128_GCM_SHA256"
#define V12_SUITE "ECDHE-ECDSA-AES128-GCM-SHA256"

static uint32_t hello_take(SSL *client, uint8_t *out, uint32_t room) {
    SSL_do_handshake(client);
    int n = BIO_read(SSL_get_wbio(client), out, (int)room);

    cr_assert_gt(n, 0);
    return (uint32_t)n;
}

/* Asked of the bytes in pieces of `piece`. */
static bool resumes(const uint8_t *hello, uint32_t n, uint32_t piece) {
    struct rope wire = {0};

    for (uint32_t at = 0; at < n; at += piece)
        harness_push(&wire, hello + at, weir_min_u32(piece, n - at), false);
    bool answer = tls_hello_resumes(&wire);
    rope_clear(&wire);
    return answer;
}

/* A full hello, then one with the session that came of it. Returns the length of the latter. */
static uint32_t hellos(uint16_t version, const char *suite, uint8_t *full, uint32_t *full_bytes, uint8_t *resumed) {
    struct harness h;

    harness_init(&h, &(struct harness_options){.version = version, .suite = suite});
    SSL *other = SSL_new(h.client_ctx);
    SSL_set_bio(other, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(other);
    *full_bytes = hello_take(other, full, 2048);
    SSL_free(other);
    cr_assert(harness_handshake(&h));
    harness_receive(&h, 10); /* 1.3: the tickets with it */
    SSL_SESSION *session = SSL_get1_session(h.client);
    SSL_shutdown(h.client); /* or the session would count as spoiled */
    harness_disconnect(&h);
    harness_connect(&h, session);
    uint32_t n = hello_take(h.client, resumed, 2048);
    SSL_SESSION_free(session);
    harness_fini(&h);
    return n;
}

static void told_apart(uint16_t version, const char *suite) {
    uint8_t full[2048], resumed[2048];
    uint32_t full_bytes, n = hellos(version, suite, full, &full_bytes, resumed);
    static const uint32_t pieces[] = {1, 7, 64, 1400};

    for (size_t i = 0; i < WEIR_ARRAY_LEN(pieces); i++) {
        cr_assert_not(resumes(full, full_bytes, pieces[i]));
        cr_assert(resumes(resumed, n, pieces[i]));
    }
    for (uint32_t cut = 1; cut < full_bytes; cut++)
        cr_assert_not(resumes(full, cut, 1400));
    for (uint32_t cut = 1; cut < n; cut++)
        (void)resumes(resumed, cut, 1400); /* either; it must only not read beyond */
    cr_assert_not(resumes(resumed, 60, 1400));
}

Test(tls_hello, a_pre_shared_key_of_13) {
    told_apart(TLS_V13, V13_SUITE);
}

Test(tls_hello, a_ticket_of_12) {
    told_apart(TLS_V12, V12_SUITE);
}

/* The least that is well formed: no session id, one suite, no compression, extensions as given. */
static uint32_t hello_make(uint8_t *out, const uint8_t *extensions, uint32_t n) {
    struct span_writer w = span_writer_of(out, 8192);

    tls_header_put(span_put(&w, TLS_HEADER_BYTES), TLS_CT_HANDSHAKE, n + 47);
    span_put_u32(&w, 1u << 24 | (n + 43));
    span_put_u16(&w, TLS_V12);
    memset(span_put(&w, 32), 0x5a, 32);
    span_put_bytes(&w, "\0\0\2\x13\1\1\0", 7);
    span_put_u16(&w, (uint16_t)n);
    span_put_bytes(&w, extensions, n);
    return (uint32_t)span_written(&w);
}

Test(tls_hello, by_hand) {
    static const struct {
        const char *extensions;
        uint32_t n;
        bool resumes;
    } cases[] = {
        {"", 0, false},
        {"\0\x29\0\1x", 5, true},
        {"\0\x29\0\0", 4, false},                     /* empty */
        {"\0\x23\0\0", 4, false},                     /* asks for a ticket */
        {"\0\x23\0\4abcd", 8, true},                  /* has one */
        {"\0\0\0\4\0\x29\0\1\0\x2b\0\1x", 13, false}, /* inside another one it is none */
        {"\0\0\xff\xff\0\x29\0\1x", 9, false},        /* longer than what is there */
        {"\0\x29\0", 3, false},
    };
    uint8_t hello[8192];

    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        uint32_t n = hello_make(hello, (const uint8_t *)cases[i].extensions, cases[i].n);
        cr_assert_eq(resumes(hello, n, 1400), cases[i].resumes, "case %zu", i);
        hello[TLS_HEADER_BYTES] = 2; /* a ServerHello */
        cr_assert_not(resumes(hello, n, 1400));
    }
}

Test(tls_hello, looks_at_so_many_extensions_and_bytes) {
    uint8_t hello[8192], extensions[8000] = {0};

    for (uint32_t before = 60; before < 70; before++) { /* empty ones of type 0 in front */
        memset(extensions, 0, sizeof(extensions));
        memcpy(extensions + 4 * before, "\0\x29\0\1x", 5);
        uint32_t n = hello_make(hello, extensions, 4 * before + 5);
        cr_assert_eq(resumes(hello, n, 1400), before < 64, "%u", before);
    }
    memset(extensions, 0, sizeof(extensions));
    extensions[2] = 5000 >> 8;
    extensions[3] = 5000 & 0xff;
    memcpy(extensions + 5004, "\0\x29\0\1x", 5);
    cr_assert_not(resumes(hello, hello_make(hello, extensions, 5009), 1400));
}

Test(tls_hello, noise) {
    uint8_t noise[600];
    uint64_t seed = 3;

    for (int i = 0; i < 20000; i++) {
        uint32_t n = 1 + harness_random(&seed, sizeof(noise));
        for (uint32_t k = 0; k < n; k++)
            noise[k] = (uint8_t)harness_random(&seed, harness_random(&seed, 2) ? 256 : 4);
        (void)resumes(noise, n, 100);
    }
}
