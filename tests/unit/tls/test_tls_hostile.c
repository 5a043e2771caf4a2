/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients that shake hands badly: a libssl client whose records somebody between it and us changes, doubles, adds to or
 * cuts. Whatever libssl or our framing makes of it, the client is told by the alert that the RFC names, one reason is
 * counted, the connection is over and its SSL object gone. And what is odd but allowed works. */
#include "cbc_peer.h"

#include <openssl/err.h>

enum { NONE = -1, RECORDS_MAX = 64 };

struct middle {
    struct harness *h;
    uint8_t record[RECORDS_MAX][TLS_RECORD_MAX + TLS_HEADER_BYTES]; /* as the client sent them */
    uint32_t bytes[RECORDS_MAX], n;
    int alert; /* that the client got last */
};

static struct middle middle;

static void alert_note(const SSL *ssl, int where, int value) {
    (void)ssl;
    if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT)
        middle.alert = value & 0xff;
}

static void pass(const void *data, uint32_t n) {
    harness_inject(middle.h, data, n);
}
#define PASS(...) pass((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void pass_record(uint32_t i) {
    pass(middle.record[i], middle.bytes[i]);
}

/* What an attack makes of the client's i-th record. */
typedef void (*attack)(uint32_t i);

/* Take whole records from the client, each through `attack`. */
static void client_flush(attack a) {
    BIO *out = SSL_get_wbio(middle.h->client);
    uint8_t header[TLS_HEADER_BYTES];

    while (BIO_read(out, header, sizeof(header)) == sizeof(header)) {
        int body = header[3] << 8 | header[4];
        cr_assert_lt(middle.n, RECORDS_MAX);
        memcpy(middle.record[middle.n], header, sizeof(header));
        cr_assert_eq(BIO_read(out, middle.record[middle.n] + sizeof(header), body), body);
        middle.bytes[middle.n] = TLS_HEADER_BYTES + (uint32_t)body;
        a(middle.n++);
    }
}

static bool handshake(struct harness *h, uint16_t version, attack a) {
    harness_init(h, &(struct harness_options){.version = version});
    middle = (struct middle){.h = h, .alert = NONE};
    SSL_set_info_callback(h->client, alert_note);
    for (int i = 0; i < 2000 && h->error == 0; i++) { /* a record a turn */
        int done = SSL_do_handshake(h->client);
        client_flush(a);
        harness_turn(h);
        if (done == 1 && tls_established(&h->core, h->id))
            return true;
    }
    for (int i = 0; i < 3; i++) { /* the alert */
        harness_turn(h);
        uint8_t byte;
        if (SSL_do_handshake(h->client) == 1)
            (void)SSL_read(h->client, &byte, 1);
    }
    return false;
}

/* --- attacks --- */

static void hello_again(void) { /* in a record of the version agreed on, so that this is all that is wrong */
    middle.record[0][2] = 3;
    pass_record(0);
}

static void hello_twice(uint32_t i) {
    pass_record(i);
    if (i == 0)
        hello_again();
}

static void hello_again_at_the_end(uint32_t i) {
    if (i == 1)
        hello_again();
    pass_record(i);
}

static void last_damaged(uint32_t i) { /* whatever is protected */
    uint8_t *r = middle.record[i];

    if (r[0] == TLS_CT_DATA || (i > 0 && middle.record[i - 1][0] == TLS_CT_CCS))
        r[middle.bytes[i] - 1] ^= 1;
    pass_record(i);
}

static void key_exchange_twice(uint32_t i) { /* 1.2 */
    pass_record(i);
    if (i == 1)
        pass_record(i);
}

static void change_cipher_spec_early(uint32_t i) {
    if (i == 1)
        PASS(20, 3, 3, 0, 1, 1);
    pass_record(i);
}

static void change_cipher_spec_bad(uint32_t i) {
    if (i == 1)
        PASS(20, 3, 3, 0, 1, 2);
    pass_record(i);
}

static void data_early(uint32_t i) {
    if (i == 1)
        PASS(23, 3, 3, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    pass_record(i);
}

static void heartbeat(uint32_t i) { /* RFC 6520, CVE-2014-0160 */
    pass_record(i);
    if (i == 0)
        PASS(24, 3, 3, 0, 3, 1, 0x40, 0);
}

static void oversized(uint32_t i) {
    pass_record(i);
    if (i == 0)
        PASS(23, 3, 3, 0x48, 1);
}

static void other_version(uint32_t i) {
    pass_record(i);
    if (i == 0)
        PASS(22, 2, 0, 0, 1, 0);
}

static void message_of_16_mb(uint32_t i) {
    if (i == 0)
        memset(middle.record[0] + TLS_HEADER_BYTES + 1, 0xff, 3);
    pass_record(i);
}

static void hello_cut(uint32_t i) { /* its length says less than is there */
    uint8_t *r = middle.record[0];
    if (i == 0) {
        r[TLS_HEADER_BYTES + 3] = (uint8_t)(r[TLS_HEADER_BYTES + 3] - 4);
        memset(r + TLS_HEADER_BYTES + (r[3] << 8 | r[4]) - 4, 0, 4); /* else by chance the head of a long message */
    }
    pass_record(i);
}

static void hello_of_no_suites(uint32_t i) {
    static const uint8_t hello[] = {22, 3, 1,        0,        45, 1,        0, 0,        41,
                                    3,  3, [43] = 0, [44] = 0, 0,  [46] = 1, 0, [48] = 0, 0};

    (void)i;
    pass(hello, 50);
}

static uint32_t compression_at(void) { /* of the list, in the ClientHello */
    const uint8_t *r = middle.record[0];
    uint32_t at = TLS_HEADER_BYTES + 4 + 2 + 32;

    at += 1u + r[at];
    at += 2u + ((uint32_t)r[at] << 8 | r[at + 1]);
    cr_assert_eq(r[at], 1, "libssl offers none but null");
    return at;
}

static void compression_alone(uint32_t i) { /* RFC 3749; CVE-2012-4929 */
    if (i == 0)
        middle.record[0][compression_at() + 1] = 1;
    pass_record(i);
}

/* DEFLATE in front of null. */
static void compression_add(void) {
    uint8_t *r = middle.record[0];
    uint32_t at = compression_at();

    memmove(r + at + 2, r + at + 1, middle.bytes[0] - at - 1);
    r[at] = 2;
    r[at + 1] = 1;
    r[4]++, r[8]++;
    cr_assert(r[4] != 0 && r[8] != 0, "no carry");
    middle.bytes[0]++;
}

static void compression_too(uint32_t i) {
    if (i == 0)
        compression_add();
    pass_record(i);
}

static void empty_records(uint32_t i) {
    pass_record(i);
    for (int n = 0; n < 33 && i == 0; n++)
        PASS(22, 3, 3, 0, 0);
}

static void change_cipher_specs(uint32_t i) { /* 1.3 ignores one (RFC 8446 section 5) */
    pass_record(i);
    for (int n = 0; n < 40 && i == 0; n++)
        PASS(20, 3, 3, 0, 1, 1);
}

static void warnings(uint32_t i) {
    if (i == 0)
        pass_record(i);
    for (int n = 0; n < 8 && i == 0; n++)
        PASS(21, 3, 3, 0, 2, 1, 90);
}

static void fatal_alert(uint32_t i) {
    if (i == 0)
        pass_record(i);
    PASS(21, 3, 3, 0, 2, 2, 40);
}

static void alert_of_one_byte(uint32_t i) {
    pass_record(i);
    if (i == 0)
        PASS(21, 3, 3, 0, 1, 2);
}

enum { V12 = 1, V13 = 2, BOTH = V12 | V13 };
static const struct {
    const char *name;
    attack attack;
    int versions;
    enum tls_drop drop;
    int alert;
} attacks[] = {
#define A(name, ...)                                                                                                   \
    { #name, name, __VA_ARGS__ }
    A(hello_twice, BOTH, TLS_DROP_HS_FAILED, SSL_AD_UNEXPECTED_MESSAGE),
    A(hello_again_at_the_end, BOTH, TLS_DROP_HS_FAILED, SSL_AD_UNEXPECTED_MESSAGE),
    A(last_damaged, BOTH, TLS_DROP_HS_FAILED, SSL_AD_BAD_RECORD_MAC),
    A(key_exchange_twice, V12, TLS_DROP_HS_FAILED, SSL_AD_UNEXPECTED_MESSAGE),
    A(change_cipher_spec_early, V12, TLS_DROP_HS_FAILED, SSL_AD_UNEXPECTED_MESSAGE),
    A(change_cipher_spec_bad, V12, TLS_DROP_HS_FAILED, SSL_AD_UNEXPECTED_MESSAGE),
    A(change_cipher_spec_bad, V13, TLS_DROP_HS_FAILED, SSL_AD_ILLEGAL_PARAMETER), /* libssl's choice */
    A(data_early, V12, TLS_DROP_HS_FAILED, SSL_AD_UNEXPECTED_MESSAGE),
    A(data_early, V13, TLS_DROP_HS_FAILED, SSL_AD_BAD_RECORD_MAC),
    A(heartbeat, BOTH, TLS_DROP_BAD_TYPE, SSL_AD_UNEXPECTED_MESSAGE),
    A(oversized, BOTH, TLS_DROP_RECORD_OVERFLOW, SSL_AD_RECORD_OVERFLOW),
    A(other_version, BOTH, TLS_DROP_BAD_VERSION, SSL_AD_PROTOCOL_VERSION),
    A(message_of_16_mb, BOTH, TLS_DROP_HS_TOO_LONG, SSL_AD_ILLEGAL_PARAMETER),
    A(hello_cut, BOTH, TLS_DROP_HS_FAILED, SSL_AD_DECODE_ERROR),
    A(hello_of_no_suites, BOTH, TLS_DROP_HS_FAILED, SSL_AD_ILLEGAL_PARAMETER),
    A(compression_alone, BOTH, TLS_DROP_HS_FAILED, SSL_AD_DECODE_ERROR),
    A(compression_too, V13, TLS_DROP_HS_FAILED, SSL_AD_ILLEGAL_PARAMETER), /* RFC 8446 section 4.1.2 */
    A(empty_records, BOTH, TLS_DROP_HS_FAILED, SSL_AD_UNEXPECTED_MESSAGE),
    A(change_cipher_specs, V13, TLS_DROP_HS_FAILED, SSL_AD_UNEXPECTED_MESSAGE),
    A(warnings, BOTH, TLS_DROP_HS_FAILED, SSL_AD_UNEXPECTED_MESSAGE),
    A(fatal_alert, BOTH, TLS_DROP_HS_PEER_ALERT, NONE),
    A(alert_of_one_byte, BOTH, TLS_DROP_HS_FAILED, SSL_AD_UNEXPECTED_MESSAGE),
#undef A
};

Test(tls_hostile, each_is_told_counted_and_over) {
    for (size_t at = 0; at < WEIR_ARRAY_LEN(attacks); at++) {
        for (int version = V12; version <= V13; version++) {
            struct harness h;
            const char *name = attacks[at].name;
            if (!(attacks[at].versions & version))
                continue;
            cr_expect_not(handshake(&h, version == V13 ? TLS_V13 : TLS_V12, attacks[at].attack), "%s works", name);
            cr_expect_eq(h.error, -(int)attacks[at].drop, "%s 1.%d: %s", name, version + 1,
                         tls_drop_name((enum tls_drop) - h.error));
            cr_expect_eq(middle.alert, attacks[at].alert, "%s 1.%d: alert %d", name, version + 1, middle.alert);
            cr_expect_eq(h.core.stats.drops[attacks[at].drop], 1, "%s 1.%d", name, version + 1);
            cr_expect_eq(h.core.stats.handshakes_failed, 1, "%s 1.%d", name, version + 1);
            cr_expect_eq(harness_alerts(&h.core, TLS_WRITE, attacks[at].alert), attacks[at].alert != NONE, "%s", name);
            cr_expect_eq(harness_alerts(&h.core, TLS_WRITE, -1), attacks[at].alert != NONE, "%s", name);
            cr_expect_eq(harness_alerts(&h.core, TLS_READ, SSL_AD_HANDSHAKE_FAILURE),
                         attacks[at].attack == fatal_alert);
            cr_expect_not(tls_established(&h.core, h.id));
            cr_expect_eq(h.core.places.used, 0, "%s: the SSL object is gone", name);
            harness_fini(&h);
        }
    }
}

/* --- odd, and allowed --- */

static void bytes_apart(uint32_t i) { /* RFC 8446 section 5.1: messages may be in any number of records */
    const uint8_t *r = middle.record[i];

    if (r[0] != TLS_CT_HANDSHAKE || (i > 0 && middle.record[i - 1][0] == TLS_CT_CCS)) { /* protected, or no message */
        pass_record(i);
        return;
    }
    for (uint32_t at = TLS_HEADER_BYTES; at < middle.bytes[i]; at++)
        PASS(r[0], r[1], r[2], 0, 1, r[at]);
}

Test(tls_hostile, a_byte_a_record_works) {
    static const uint16_t versions[] = {TLS_V12, TLS_V13};

    for (size_t v = 0; v < WEIR_ARRAY_LEN(versions); v++) {
        struct harness h;
        cr_assert(handshake(&h, versions[v], bytes_apart), "%s", tls_drop_name((enum tls_drop) - h.error));
        cr_assert_eq(h.core.stats.taken_over, 1);
        harness_send(&h, 5000, 700);
        harness_receive(&h, 5000);
        harness_fini(&h);
    }
}

/* Compression that is offered beside none is not taken: the method in the ServerHello is null. */
Test(tls_hostile, compression_is_never_taken) {
    struct harness h;
    uint8_t answer[256];
    struct rope out = {0};
    uint32_t news[4];

    harness_init(&h, &(struct harness_options){.version = TLS_V12});
    middle = (struct middle){.h = &h};
    SSL_do_handshake(h.client);
    middle.bytes[0] = (uint32_t)BIO_read(SSL_get_wbio(h.client), middle.record[0], sizeof(middle.record[0]));
    compression_add();
    pass_record(0);
    for (int i = 0; i < 3; i++) {
        cr_assert_geq(tls_input(&h.core, h.id, &h.wire_in, &h.in, &out, 4096), 0);
        tls_poll(&h.core, 8, news, 4);
    }
    cr_assert_geq(rope_copy(&out, 0, answer, sizeof(answer)), 80);
    cr_assert_eq(answer[5], 2, "a ServerHello");
    uint32_t method = TLS_HEADER_BYTES + 4 + 2 + 32 + 1 + answer[43] + 2;
    cr_assert_eq(answer[method], 0);
    rope_clear(&out);
    harness_fini(&h);
}

/* CBC, where it is configured, stays with libssl (Lucky 13, CVE-2013-0169): a wrong padding and a wrong MAC are told
 * apart by nothing that a peer or an operator sees. */
Test(tls_hostile, cbc_tells_no_reasons) {
    static const int damaged[] = {-1, -17, 20}; /* padding length, an earlier block, the first one's ciphertext */

    for (size_t i = 0; i < WEIR_ARRAY_LEN(damaged); i++) {
        struct harness h;
        uint8_t bytes[512], byte;
        harness_init(&h, &(struct harness_options){.version = TLS_V12, .suite = "ECDHE-ECDSA-AES128-SHA"});
        middle = (struct middle){.h = &h, .alert = NONE};
        SSL_set_info_callback(h.client, alert_note);
        cr_assert(harness_handshake(&h));
        cr_assert_eq(SSL_write(h.client, "a secret and some more of it", 28), 28);
        int n = BIO_read(SSL_get_wbio(h.client), bytes, sizeof(bytes));
        bytes[damaged[i] < 0 ? n + damaged[i] : damaged[i]] ^= 1;
        pass(bytes, (uint32_t)n);
        for (int turn = 0; turn < 3; turn++)
            harness_turn(&h);
        (void)SSL_read(h.client, &byte, 1);
        cr_assert_eq(h.error, -TLS_DROP_LIBSSL);
        cr_assert_eq(middle.alert, SSL_AD_BAD_RECORD_MAC);
        cr_assert_eq(h.in.len_bytes, 0);
        harness_fini(&h);
    }
}

/* A ClientHello after the handshake is answered with no_renegotiation where libssl carries the records; each time, but
 * not for ever. */
Test(tls_hostile, renegotiation_flood_on_libssl) {
    static const uint8_t hello[45] = {1, 0, 0, 41, 3, 3, [40] = 2, [41] = 0x13, [42] = 0x01, [43] = 1};
    struct harness h;
    struct cbc_peer peer;
    static const uint8_t data[64];
    uint8_t record[256];
    uint32_t sent = 0;

    harness_init(&h, &(struct harness_options){.version = TLS_V12, .suite = "ECDHE-ECDSA-AES128-SHA"});
    SSL_set_options(h.client, SSL_OP_NO_ENCRYPT_THEN_MAC);
    cr_assert(harness_handshake(&h));
    cbc_peer_init(&peer, &h);
    for (; h.error == 0 && sent < 100; sent++) {
        harness_inject(&h, record, cbc_peer_seal(&peer, TLS_CT_HANDSHAKE, hello, sizeof(hello), record));
        harness_turn(&h);
        if (sent % 4 == 3) { /* a byte of data in between pays for nothing, 16 KB do for one */
            uint32_t bytes = sent == 19 ? sizeof(data) : 1, times = sent == 19 ? 16384 / sizeof(data) : 1;
            for (uint32_t i = 0; i < times; i++) {
                harness_inject(&h, record, cbc_peer_seal(&peer, TLS_CT_DATA, data, bytes, record));
                harness_turn(&h);
            }
            cr_assert_eq(h.in.len_bytes, bytes * times);
            rope_clear(&h.in);
        }
    }
    cr_expect_eq(h.error, -TLS_DROP_RENEGOTIATION, "%s", tls_drop_name((enum tls_drop) - h.error));
    cr_expect_eq(sent, TLS_UPDATE_RUN_MAX + 2, "%u", sent);
    cr_expect_eq(h.core.stats.drops[TLS_DROP_RENEGOTIATION], 1);
    cr_expect_eq(h.core.places.used, 0);
    harness_fini(&h);
}

/* KeyUpdates of a suite of 1.3 that libssl carries. */
Test(tls_hostile, key_update_flood_on_libssl) {
    struct harness h;
    uint32_t sent = 0;

    harness_init(&h, &(struct harness_options){.version = TLS_V13, .suite = "TLS_AES_128_CCM_SHA256"});
    cr_assert(harness_handshake(&h));
    for (; h.error == 0 && sent < 100; sent++) {
        cr_assert_eq(SSL_key_update(h.client, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        SSL_do_handshake(h.client);
        harness_client_flush(&h);
        harness_turn(&h);
        if (sent == 20) { /* five minutes pass */
            struct tls_msg *msg = pool_get(&h.core.places, tls_conn_get(&h.core, h.id)->place);
            msg->idle_tsc -= 5 * h.engine->minute_tsc;
        }
    }
    cr_expect_eq(h.error, -TLS_DROP_UPDATE_FLOOD, "%s", tls_drop_name((enum tls_drop) - h.error));
    cr_expect_eq(sent, TLS_UPDATE_RUN_MAX + 1 + 5);
    harness_fini(&h);
}
