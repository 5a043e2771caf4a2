/* SPDX-License-Identifier: BSD-3-Clause */
/* What one client can make its handshake hold: libcrypto's heap is counted while a client that knows the limits says
 * nothing more. It is no more than TLS_HANDSHAKE_BYTES, which the plan of memory is made of. And what it can make
 * libssl look through. */
#include "clients_fixture.h"

#include <malloc.h>
#include <stdlib.h>

enum { HEAD = TLS_HEADER_BYTES + 4, HELLO_MAX = TLS_MESSAGE_MAX, CLIENT_HELLO = 1 };
enum { EXT_STATUS = 5, EXT_GROUPS = 10, EXT_SIGNATURES = 13, EXT_ALPN = 16, EXT_PADDING = 21, EXT_PSK = 41 };
enum { NAMES_MOST = 383 }; /* of a client's certificate, whose only extension they are */
enum { EXT_PSK_MODES = 45, EXT_CA_NAMES = 47, EXT_SIGNATURES_CERT = 50, EXT_SHARES = 51 };

/* --- the heap --- */

static size_t held;

static void *count(void *p) {
    held += p ? malloc_usable_size(p) + sizeof(size_t) : 0; /* with malloc's own word */
    return p;
}

static void counted_free(void *p, const char *file, int line) {
    (void)file, (void)line;
    held -= p ? malloc_usable_size(p) + sizeof(size_t) : 0;
    free(p);
}

static void *counted_malloc(size_t n, const char *file, int line) {
    (void)file, (void)line;
    return count(malloc(n));
}

static void *counted_realloc(void *p, size_t n, const char *file, int line) {
    held -= p ? malloc_usable_size(p) + sizeof(size_t) : 0;
    (void)file, (void)line;
    if (n == 0) {
        free(p);
        return NULL;
    }
    return count(realloc(p, n));
}

static bool counts;

/* Before Criterion, or anybody else, uses libcrypto. */
__attribute__((constructor)) static void heap_count(void) {
    counts = CRYPTO_set_mem_functions(counted_malloc, counted_realloc, counted_free) == 1;
}

/* --- hellos --- */

struct hello {
    uint8_t bytes[HEAD + HELLO_MAX + 64];
    uint32_t n; /* with record and message header */
};

static void put(struct hello *h, const void *data, uint32_t n) {
    memcpy(h->bytes + h->n, data, n);
    h->n += n;
}
#define PUT(h, ...) put(h, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void length_set(uint8_t *at, uint32_t n) {
    at[0] = (uint8_t)(n >> 8);
    at[1] = (uint8_t)n;
}

static void fill(struct hello *h, const uint8_t *unit, uint32_t unit_bytes, uint32_t total) {
    for (; total >= unit_bytes; total -= unit_bytes)
        put(h, unit, unit_bytes);
}

/* An extension of as many units as fit `total`, behind `lists` lengths of what follows them. */
static void extension(struct hello *h, uint8_t type, const uint8_t *unit, uint32_t unit_bytes, uint32_t lists,
                      uint32_t total) {
    const uint32_t units = (total - 2 * lists) / unit_bytes * unit_bytes;

    PUT(h, 0, type);
    for (uint32_t left = units + 2 * lists + 2; left >= units + 2; left -= 2)
        PUT(h, (uint8_t)((left - 2) >> 8), (uint8_t)(left - 2));
    fill(h, unit, unit_bytes, units);
}

static void hello_end(struct hello *h, uint32_t extensions_at) {
    const uint32_t n = h->n - HEAD;
    const uint8_t head[HEAD] = {22,        3, 1, (uint8_t)((n + 4) >> 8), (uint8_t)(n + 4), 1, 0, (uint8_t)(n >> 8),
                                (uint8_t)n};

    memcpy(h->bytes, head, sizeof(head));
    length_set(h->bytes + extensions_at, h->n - extensions_at - 2);
}

/* One that is served; `suites_bytes` of one and the same suite. Returns where the length of the extensions is. */
static uint32_t hello_begin(struct hello *h, bool v13, uint32_t suites_bytes) {
    const uint8_t suite[2] = {v13 ? 0x13 : 0xc0, v13 ? 0x01 : 0x2b};
    uint8_t random[32], share[32];

    memset(random, 0x55, sizeof(random));
    memset(share, 9, sizeof(share));
    h->n = HEAD;
    PUT(h, 3, 3);
    put(h, random, sizeof(random));
    PUT(h, 0, (uint8_t)(suites_bytes >> 8), (uint8_t)suites_bytes);
    fill(h, suite, 2, suites_bytes);
    PUT(h, 1, 0);
    const uint32_t at = h->n;
    PUT(h, 0, 0);
    if (v13) {
        PUT(h, 0, 43, 0, 3, 2, 3, 4);              /* supported_versions */
        PUT(h, 0, 51, 0, 38, 0, 36, 0, 29, 0, 32); /* key_share: X25519 */
        put(h, share, sizeof(share));
    }
    return at;
}

static void signatures_put(struct hello *h) {
    PUT(h, 0, EXT_SIGNATURES, 0, 4, 0, 2, 4, 3); /* ecdsa_secp256r1_sha256 */
}

static void groups_put(struct hello *h) {
    PUT(h, 0, EXT_GROUPS, 0, 6, 0, 4, 0, 29, 0, 23);
}

/* Extensions to make libssl hold as much as it may of `room` bytes. */
static void many_suites(struct hello *h, bool v13, uint32_t suites) {
    uint32_t at = hello_begin(h, v13, suites);

    groups_put(h);
    signatures_put(h);
    extension(h, EXT_PADDING, (const uint8_t[]){0}, 1, 0, HEAD + HELLO_MAX - h->n - 4);
    hello_end(h, at);
}

static const struct filler {
    const char *name;
    uint8_t type, unit[8], unit_bytes, lists;
    uint32_t total; /* bytes; 0: all there may be */
} fillers[] = {
    {"padding", EXT_PADDING, {0}, 1, 0, 0},
    {"groups", EXT_GROUPS, {0, 29, 0, 23}, 4, 1, 510},
    {"signatures", EXT_SIGNATURES, {4, 3}, 2, 1, 512},
    {"signatures of certificates", EXT_SIGNATURES_CERT, {4, 3}, 2, 1, 512},
    {"protocols", EXT_ALPN, {1, 'x'}, 2, 1, 0},
    {"names of CAs", EXT_CA_NAMES, {0, 2, 0x30, 0}, 4, 1, 510},
};

/* Key shares, of a group that nobody has, behind the one that is good; and pre-shared keys that nobody knows. */
static void many_keys(struct hello *h, uint32_t shares, uint32_t identities) {
    static const uint8_t share[] = {0x6a, 0x6a, 0, 1, 0}, identity[] = {0, 1, 'x', 0, 0, 0, 0};
    const uint32_t at = hello_begin(h, true, 2), others = (shares - 1) * sizeof(share),
                   names = identities * sizeof(identity);
    uint8_t *good = h->bytes + h->n - 40; /* the key shares come last */

    cr_assert_eq(good[-1], EXT_SHARES);
    length_set(good, 38 + others);
    length_set(good + 2, 36 + others);
    fill(h, share, sizeof(share), others);
    PUT(h, 0, EXT_GROUPS, 0, 6, 0, 4, 0, 29, 0x6a, 0x6a);
    signatures_put(h);
    PUT(h, 0, EXT_PSK_MODES, 0, 2, 1, 1);
    PUT(h, 0, EXT_PSK, (uint8_t)((names + 37) >> 8), (uint8_t)(names + 37), (uint8_t)(names >> 8), (uint8_t)names);
    fill(h, identity, sizeof(identity), names);
    PUT(h, 0, 33, 32); /* and one binder */
    fill(h, (const uint8_t[]){0}, 1, 32);
    hello_end(h, at);
}

static void filled(struct hello *h, bool v13, const struct filler *f) {
    uint32_t at = hello_begin(h, v13, 2);

    if (f->type != EXT_GROUPS)
        groups_put(h);
    if (f->type != EXT_SIGNATURES)
        signatures_put(h);
    extension(h, f->type, f->unit, f->unit_bytes, f->lists, f->total ? f->total : HEAD + HELLO_MAX - h->n - 4);
    if (f->total)
        extension(h, EXT_PADDING, (const uint8_t[]){0}, 1, 0, HEAD + HELLO_MAX - h->n - 4);
    hello_end(h, at);
}

/* --- what they hold --- */

static struct hello hello;

static void setup(enum tls_client_certificates asked) {
    cr_assert(counts);
    cl_init();
    fx.config.client_certificates = asked;
    if (asked == TLS_CLIENT_CERTIFICATES_OFF)
        fx.config.client_ca_file = NULL;
    fx_load();
    cl_version(TLS_V12);
    cr_assert(fx_ask("a.example") == 0); /* what libssl fetches once */
    cl_version(TLS_V13);
    cr_assert(fx_ask("a.example") == 0);
}

/* Bytes that the handshake of a client holds who sends this, in records of so many bytes, and nothing more. */
static size_t holds(const uint8_t *message, uint32_t n, uint32_t record_max, int *error) {
    size_t before = held;

    fx.h.id = tls_conn_new(&fx.h.core, fx.h.ctx, 7);
    fx.h.error = 0;
    for (uint32_t at = 0; at < n; at += record_max) {
        uint32_t part = weir_min_u32(n - at, record_max);
        const uint8_t head[] = {22, 3, 3, (uint8_t)(part >> 8), (uint8_t)part};
        harness_inject(&fx.h, head, sizeof(head));
        harness_inject(&fx.h, message + at, part);
    }
    uint32_t news[4];
    for (uint32_t i = 0; i < 3 + n / record_max && fx.h.error >= 0; i++) {
        tls_poll(&fx.h.core, 8, news, 4);
        fx.h.error = tls_input(&fx.h.core, fx.h.id, &fx.h.wire_in, &fx.h.in, &fx.h.wire_out, UINT32_MAX);
    }
    size_t bytes = held - before;
    *error = fx.h.error < 0 ? fx.h.error : 0;
    return bytes;
}

static void end(void) {
    tls_conn_free(&fx.h.core, fx.h.id);
    uint32_t none;
    tls_poll(&fx.h.core, 8, &none, 1);
    rope_clear(&fx.h.wire_in);
    rope_clear(&fx.h.wire_out);
}

static void check(const char *name, uint32_t n, uint32_t record_max) {
    int error;
    size_t bytes = holds(hello.bytes + TLS_HEADER_BYTES, n - TLS_HEADER_BYTES, record_max, &error);

    cr_expect_eq(error, 0, "%s: %s", name, tls_drop_name((enum tls_drop) - error));
    cr_expect_eq(fx.h.core.places.used, 1, "%s: it goes on", name);
    cr_expect_leq(bytes, TLS_HANDSHAKE_BYTES, "%s: %zu bytes", name, bytes);
    end();
}

/* The client's hello with padding behind it (RFC 7685) up to the limit; that its transcript differs is seen at the end
 * only. */
static uint32_t hello_padded(const uint8_t *record, int n) {
    const uint32_t at = HEAD + 2 + 32 + 1; /* no session id: TLS 1.2 */
    uint32_t extensions_at = at + 2 + ((uint32_t)record[at] << 8 | record[at + 1]) + 2;

    cr_assert_eq(record[at - 1], 0);
    hello.n = 0;
    put(&hello, record, (uint32_t)n);
    extension(&hello, EXT_PADDING, (const uint8_t[]){0}, 1, 0, HEAD + HELLO_MAX - hello.n - 4);
    hello_end(&hello, extensions_at);
    return hello.n;
}

/* So many names of so many characters, as OpenSSL's configuration has them. */
static const char *names_of(uint32_t n, int characters) {
    static char names[8 * TLS_MESSAGE_MAX];
    size_t at = 0;

    for (uint32_t i = 0; i < n; i++)
        at += (size_t)snprintf(names + at, sizeof(names) - at, "%sDNS:%0*u", i ? "," : "", characters, i % 10);
    return names;
}

/* Bytes that the handshake of a client of 1.2, which keeps all messages until it has the client's key exchange, holds
 * after a certificate with these names. */
static size_t certificate_holds(const char *names) {
    uint8_t record[TLS_RECORD_WIRE_MAX];

    cl_issue(&(struct harness_certificate){
        .kind = KEY_EC, .alt_names = names, .issuer_certificate = cl_ca, .issuer_key = cl_ca_key});
    cl_version(TLS_V12);
    const size_t before = held;
    harness_connect(&fx.h, NULL);
    SSL_do_handshake(fx.h.client);
    int bytes = BIO_read(SSL_get_wbio(fx.h.client), record, sizeof(record));
    harness_inject(&fx.h, hello.bytes, hello_padded(record, bytes));
    for (int i = 0; i < 3; i++)
        harness_turn(&fx.h);
    SSL_do_handshake(fx.h.client);
    cr_assert_eq(BIO_read(SSL_get_wbio(fx.h.client), record, TLS_HEADER_BYTES), TLS_HEADER_BYTES);
    bytes = record[3] << 8 | record[4];
    cr_assert_eq(BIO_read(SSL_get_wbio(fx.h.client), record + TLS_HEADER_BYTES, bytes), bytes);
    harness_inject(&fx.h, record, TLS_HEADER_BYTES + (uint32_t)bytes);
    for (int i = 0; i < 3; i++)
        harness_turn(&fx.h);
    SSL_free(fx.h.client);
    fx.h.client = NULL;
    return held - before;
}

/* As long as there may be; and of as many names. */
Test(tls_limits, client_certificates_hold_what_is_planned) {
    static const int characters[] = {1, 24, 38};

    setup(TLS_CLIENT_CERTIFICATES_OPTIONAL);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(characters); i++) {
        size_t bytes_held = certificate_holds(names_of(NAMES_MOST, characters[i]));
        cr_expect_eq(fx.h.error, 0, "%s", tls_drop_name((enum tls_drop) - fx.h.error));
        cr_expect_eq(fx.h.core.places.used, 1);
        cr_expect_leq(bytes_held, TLS_HANDSHAKE_BYTES + TLS_CLIENT_CHAIN_BYTES, "%zu bytes", bytes_held);
        end();
    }
    harness_connect(&fx.h, NULL);
    cl_fini();
}

/* Each becomes objects that take far more than the name: 4,000 of them, and the handshake held 640 KB. */
Test(tls_limits, client_certificates_of_many_names_are_refused) {
    setup(TLS_CLIENT_CERTIFICATES_OPTIONAL);
    certificate_holds(names_of(NAMES_MOST + 1, 1));
    cr_expect_eq(fx.h.error, -TLS_DROP_HS_TOO_LONG, "%s", tls_drop_name((enum tls_drop) - fx.h.error));
    end();
    size_t bytes_held = certificate_holds(names_of(4000, 1));
    cr_expect_eq(fx.h.error, -TLS_DROP_HS_TOO_LONG, "%zu bytes, %s", bytes_held,
                 tls_drop_name((enum tls_drop) - fx.h.error));
    end();
    harness_connect(&fx.h, NULL);
    cl_fini();
}

/* What comes with a good certificate and is no part of its chain is not parsed and kept in any number. */
Test(tls_limits, certificates_beside_the_chain) {
    int alert;

    setup(TLS_CLIENT_CERTIFICATES_OPTIONAL);
    FILE *f = fopen(cl_ca, "r");
    X509 *ca = PEM_read_X509(f, NULL, NULL, NULL);
    fclose(f);
    cr_assert_not_null(ca);
    for (int i = 0; i < TLS_CLIENT_DEPTH + 1; i++)
        SSL_CTX_add1_chain_cert(fx.h.client_ctx, ca);
    cr_expect_eq(cl_shake(NULL, &alert), TLS_DROP_NONE);
    cl_end();
    SSL_CTX_add1_chain_cert(fx.h.client_ctx, ca);
    cr_expect_eq(cl_shake(NULL, &alert), TLS_DROP_HS_CLIENT_DEPTH);
    cl_end();
    X509_free(ca);
    cl_fini();
}

/* Longer ones, whole, announced or in pieces, are refused before libssl reserves what they say. */
Test(tls_limits, longer_hellos_are_refused) {
    static const uint8_t alert[] = {21, 3, 3, 0, 2, 2, SSL_AD_ILLEGAL_PARAMETER};
    static const struct filler lists[] = {
        {"names of CAs", EXT_CA_NAMES, {0, 2, 0x30, 0}, 4, 1, 0},
        {"names of OCSP responders", EXT_STATUS, {1}, 1, 0, 0},
        {"groups", EXT_GROUPS, {0, 29}, 2, 1, 514},
        {"signatures", EXT_SIGNATURES, {4, 3}, 2, 1, 514},
        {"signatures of certificates", EXT_SIGNATURES_CERT, {4, 3}, 2, 1, 514},
    };
    uint8_t got[sizeof(alert) + 1];
    int error;

    setup(TLS_CLIENT_CERTIFICATES_OPTIONAL);
    for (uint32_t piece = 1; piece <= 4; piece++) { /* of its head, too */
        const uint8_t head[] = {CLIENT_HELLO, 0, (HELLO_MAX + 1) >> 8, (HELLO_MAX + 1) & 0xff};
        size_t bytes = holds(head, sizeof(head), piece, &error);
        cr_expect_eq(error, -TLS_DROP_HS_TOO_LONG);
        cr_expect_eq(fx.h.core.stats.drops[TLS_DROP_HS_TOO_LONG], piece);
        cr_expect_eq(fx.h.core.places.used, 0);
        cr_expect_lt(bytes, 1024, "%zu bytes", bytes);
        cr_expect_eq(rope_copy(&fx.h.wire_out, 0, got, sizeof(got)), sizeof(alert));
        cr_expect_arr_eq(got, alert, sizeof(alert));
        end();
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(lists); i++) {
        filled(&hello, true, &lists[i]);
        holds(hello.bytes + TLS_HEADER_BYTES, hello.n - TLS_HEADER_BYTES, TLS_RECORD_MAX, &error);
        cr_expect_eq(error, -TLS_DROP_HS_TOO_LONG, "%s: %s", lists[i].name, tls_drop_name((enum tls_drop) - error));
        end();
    }
    many_suites(&hello, true, 1026);
    holds(hello.bytes + TLS_HEADER_BYTES, hello.n - TLS_HEADER_BYTES, TLS_RECORD_MAX, &error);
    cr_expect_eq(error, -TLS_DROP_HS_TOO_LONG);
    end();
    harness_connect(&fx.h, NULL);
    cl_fini();
}

/* libssl looks for each key share in the list of groups, and for each pre-shared key among tickets and names: of 16 KB
 * full of them a single ClientHello took 15 times as long as a whole handshake does. */
Test(tls_limits, keys_without_number_are_refused) {
    int error;

    setup(TLS_CLIENT_CERTIFICATES_OFF);
    for (uint32_t shares = 16; shares <= 17; shares++) {
        for (uint32_t identities = 16; identities <= 17; identities++) {
            many_keys(&hello, shares, identities);
            holds(hello.bytes + TLS_HEADER_BYTES, hello.n - TLS_HEADER_BYTES, TLS_RECORD_MAX, &error);
            cr_expect_eq(error, shares > 16 || identities > 16 ? -TLS_DROP_HS_TOO_LONG : 0, "%u shares, %u keys: %s",
                         shares, identities, tls_drop_name((enum tls_drop) - error));
            end();
        }
    }
    harness_connect(&fx.h, NULL);
    cl_fini();
}

Test(tls_limits, hellos_hold_what_is_planned) {
    setup(TLS_CLIENT_CERTIFICATES_OFF);
    for (int v13 = 0; v13 < 2; v13++) {
        for (size_t i = 0; i < WEIR_ARRAY_LEN(fillers); i++) {
            filled(&hello, v13, &fillers[i]);
            cr_assert_leq(hello.n, HEAD + HELLO_MAX);
            check(fillers[i].name, hello.n, TLS_RECORD_MAX);
        }
        many_suites(&hello, v13, 1024);
        check("suites", hello.n, TLS_RECORD_MAX);
    }
    filled(&hello, true, &fillers[0]);
    check("all but the end, in pieces", hello.n - 1, 100);
    harness_connect(&fx.h, NULL);
    cl_fini();
}
