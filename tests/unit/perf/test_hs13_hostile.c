/* SPDX-License-Identifier: BSD-3-Clause */
/* What a broken or hostile server may send: every truncation and every damaged byte of its flight, on the wire and,
 * sealed again with the right keys, of each message inside. Nothing of it may crash or pass. */
#include "hs13_client.h"

#define FLIGHT_MAX 4096u

/* A handshake at some point, from which many ways are tried. */
struct snapshot {
    struct hs13 hs;
    EVP_MD_CTX *transcript;
};

static struct client c;
static struct snapshot at;
static uint8_t flight[FLIGHT_MAX];
static uint32_t flight_bytes;

static void snapshot_take(void) {
    at.hs = *c.hs;
    EVP_MD_CTX_copy_ex(at.transcript, c.hs->transcript);
}

static void snapshot_restore(void) {
    *c.hs = at.hs;
    EVP_MD_CTX_copy_ex(c.hs->transcript, at.transcript);
    core->expanded_for = 0; /* a damaged ServerHello has led to other keys */
    rope_clear(&c.in);
    rope_clear(&c.out);
}

static void begin(const char *suite, uint16_t id) {
    at.transcript = EVP_MD_CTX_new();
    tls_server_init(&server, false, suite);
    flight_bytes = client_begin(&c, id, "weir.test", NULL, flight, sizeof(flight));
    snapshot_take();
}

static void hostile_setup(void) {
    client_setup();
    begin("TLS_AES_128_GCM_SHA256", 0x1301);
}

static void hostile_teardown(void) {
    client_end(&c);
    EVP_MD_CTX_free(at.transcript);
    client_teardown();
}

TestSuite(hs13_hostile, .init = hostile_setup, .fini = hostile_teardown, .timeout = 100);

/* Bytes of the record at p, header included. */
static uint32_t record_bytes(const uint8_t *p) {
    return TLS_HEADER_BYTES + ((uint32_t)p[3] << 8 | p[4]);
}

/* --- on the wire --- */
Test(hs13_hostile, every_truncation) {
    for (uint32_t n = 0; n < flight_bytes; n++) {
        snapshot_restore();
        cr_assert_eq(client_feed(&c, flight, n), 0, "cut at %u: %s", n, hs13_error(c.hs));
        cr_assert_eq(client_feed(&c, flight + n, flight_bytes - n), 1, "and the rest: %s", hs13_error(c.hs));
    }
}

/* The minor version of a record's header has no meaning (RFC 8446 section 5.1). */
static bool is_minor_version(uint32_t offset) {
    uint32_t record = 0;

    while (record + record_bytes(flight + record) <= offset)
        record += record_bytes(flight + record);
    return offset == record + 2;
}

Test(hs13_hostile, every_damaged_byte) {
    static const uint8_t damage[] = {0x01, 0x10, 0x80, 0xff};

    for (uint32_t i = 0; i < flight_bytes; i++) {
        if (is_minor_version(i))
            continue;
        for (size_t d = 0; d < sizeof(damage); d++) {
            snapshot_restore();
            flight[i] ^= damage[d];
            cr_assert_leq(client_feed(&c, flight, flight_bytes), 0, "byte %u ^ %u passes", i, damage[d]);
            cr_assert_eq(c.out.len_bytes, 0);
            flight[i] ^= damage[d];
        }
    }
    snapshot_restore();
    cr_expect_eq(client_feed(&c, flight, flight_bytes), 1, "undamaged: %s", hs13_error(c.hs));
}

/* A record left out, doubled, or swapped with the next. ChangeCipherSpec alone may. */
Test(hs13_hostile, records_out_of_order) {
    uint8_t changed[2 * FLIGHT_MAX];

    for (uint32_t i = 0; i < flight_bytes; i += record_bytes(flight + i)) {
        uint32_t n = record_bytes(flight + i), end = i + n, next = end < flight_bytes ? record_bytes(flight + end) : 0;
        bool ccs = flight[i] == TLS_CT_CCS;
        snapshot_restore();
        memcpy(changed, flight, i);
        memcpy(changed + i, flight + end, flight_bytes - end);
        cr_expect((client_feed(&c, changed, flight_bytes - n) == 1) == ccs, "without the record at %u", i);
        snapshot_restore();
        memcpy(changed, flight, end);
        memcpy(changed + end, flight + i, flight_bytes - i);
        int rc = client_feed(&c, changed, flight_bytes + n);
        cr_expect((rc == 1) == (ccs || end == flight_bytes), "the record at %u twice: %d", i, rc);
        if (next == 0 || ccs || flight[end] == TLS_CT_CCS)
            continue;
        snapshot_restore();
        memcpy(changed, flight, flight_bytes);
        memcpy(changed + i, flight + end, next);
        memcpy(changed + i + next, flight + i, n);
        cr_expect_lt(client_feed(&c, changed, flight_bytes), 0, "the record at %u later", i);
    }
}

Test(hs13_hostile, random_bytes) {
    uint64_t seed = 1;
    uint8_t noise[600];

    for (int round = 0; round < 2000; round++) {
        for (size_t i = 0; i < sizeof(noise); i++)
            noise[i] = (uint8_t)fixture_random(&seed);
        uint32_t after = round % 2 ? record_bytes(flight) : 0; /* with or without keys */
        if (round % 3)
            memcpy(noise, (uint8_t[]){(uint8_t)(20 + round % 4), 3, 3, 0, (uint8_t)round}, 5);
        snapshot_restore();
        client_feed(&c, flight, after);
        cr_assert_leq(client_feed(&c, noise, sizeof(noise)), 0);
    }
}

/* One record in the clear, as the server's first. */
static void first_record(uint8_t type, const void *body, uint32_t n, const char *error) {
    static uint8_t record[TLS_HEADER_BYTES + TLS_RECORD_WIRE_MAX13 + 1];
    struct span_writer w = span_writer_of(record, sizeof(record));

    span_put_u8(&w, type);
    span_put_u16(&w, TLS_V12);
    span_put_u16(&w, (uint16_t)n);
    span_put_bytes(&w, body, n);
    snapshot_restore();
    cr_expect_eq(client_feed(&c, record, TLS_HEADER_BYTES + n), WEIR_EINVAL, "%s", error);
    cr_expect_str_eq(hs13_error(c.hs), error);
}

Test(hs13_hostile, records_with_no_place) {
    static uint8_t zeroes[TLS_RECORD_WIRE_MAX13 + 1];

    first_record(TLS_CT_DATA, zeroes, 100, "a record of a type that has no place in a handshake");
    first_record(TLS_CT_CCS, zeroes, 1, "a ChangeCipherSpec out of place");
    first_record(TLS_CT_CCS, zeroes, 0, "a ChangeCipherSpec out of place");
    first_record(TLS_CT_HANDSHAKE, zeroes, 0, tls_drop_text(TLS_DROP_EMPTY_RECORD));
    first_record(TLS_CT_HANDSHAKE, zeroes, TLS_RECORD_MAX + 1, tls_drop_text(TLS_DROP_RECORD_OVERFLOW));
    first_record(TLS_CT_HANDSHAKE, zeroes, sizeof(zeroes), tls_drop_text(TLS_DROP_RECORD_OVERFLOW));
    first_record(19, zeroes, 1, tls_drop_text(TLS_DROP_BAD_TYPE));
    first_record(24, zeroes, 1, tls_drop_text(TLS_DROP_BAD_TYPE));
    first_record(TLS_CT_HANDSHAKE, "\x02\x01\x00\x00", 4, "a handshake message longer than allowed");
    first_record(TLS_CT_HANDSHAKE, "\x02\x00\x00\x00", 4, "a malformed handshake message from the server");
    first_record(TLS_CT_HANDSHAKE, "\x14\x00\x00\x20", 4, "a handshake message out of order");
}

Test(hs13_hostile, endless_ccs) {
    static const uint8_t ccs[] = {TLS_CT_CCS, 3, 3, 0, 1, 1};

    for (uint32_t i = 0; i < HS13_CCS_MAX; i++)
        cr_assert_eq(client_feed(&c, ccs, sizeof(ccs)), 0);
    cr_expect_eq(client_feed(&c, ccs, sizeof(ccs)), WEIR_EINVAL);
}

Test(hs13_hostile, alerts_in_the_clear) {
    first_record(TLS_CT_ALERT, "\x02\x28", 2, "the server sent alert handshake_failure");
    first_record(TLS_CT_ALERT, "\x01\x00", 2, "the server sent alert close_notify");
    first_record(TLS_CT_ALERT, "\x02\x70", 2, "the server sent alert unrecognized_name");
    first_record(TLS_CT_ALERT, "\x02\xc8", 2, "the server sent an alert that has no name");
    first_record(TLS_CT_ALERT, "\x02", 1, "a malformed alert from the server");
    first_record(TLS_CT_ALERT, "\x02\x28\x02\x28", 4, "a malformed alert from the server");
}

/* --- inside the records: with the server's keys, at hand once ServerHello is in --- */
static struct { /* the messages from EncryptedExtensions on, joined */
    uint8_t bytes[FLIGHT_MAX];
    uint32_t n;
} inner;

static void op_set(const struct tls_dir_keys *keys, struct gcm_key_data *expanded, uint64_t seq, uint32_t n,
                   struct tls_op *op) {
    const struct tls_suite *s = at.hs.suite;

    *op = (struct tls_op){.mgr = core->mgr, .ctx = core->aead_ctx, .key = keys->key};
    if (s->aead->expand) {
        s->aead->expand(core->mgr, keys->key, expanded);
        op->key = expanded;
    }
    core->expanded_for = 0; /* the buffer is borrowed from the core */
    tls_op_set(op, s, keys->iv, seq, TLS_CT_DATA, n, NULL);
}

/* Seal `n` bytes as the server's record number `seq` at p. `padding` zeroes follow the type. Returns its bytes. */
static uint32_t seal(uint64_t seq, uint8_t type, const uint8_t *data, uint32_t n, uint32_t padding, uint8_t *p) {
    uint32_t body = n + 1 + padding + TLS_TAG_BYTES;
    struct tls_op op;

    memcpy(p, (uint8_t[]){TLS_CT_DATA, 3, 3, (uint8_t)(body >> 8), (uint8_t)body}, TLS_HEADER_BYTES);
    p += TLS_HEADER_BYTES;
    memmove(p, data, n);
    p[n] = type;
    memset(p + n + 1, 0, padding);
    op_set(&at.hs.read, core->expanded, seq, body, &op);
    at.hs.suite->aead->seal(&op, p, p, n + 1 + padding, p + n + 1 + padding);
    return TLS_HEADER_BYTES + body;
}

/* Take ServerHello in and open what follows it into `inner`. */
static void look_inside(void) {
    uint32_t i = record_bytes(flight);
    uint64_t seq = 0;
    uint8_t tag[TLS_TAG_BYTES];

    cr_assert_eq(client_feed(&c, flight, i), 0);
    snapshot_take();
    inner.n = 0;
    for (; i < flight_bytes; i += record_bytes(flight + i)) {
        if (flight[i] != TLS_CT_DATA)
            continue;
        uint32_t body = record_bytes(flight + i) - TLS_HEADER_BYTES, n = body - TLS_TAG_BYTES;
        struct tls_op op;
        op_set(&at.hs.read, core->expanded, seq++, body, &op);
        at.hs.suite->aead->open(&op, inner.bytes + inner.n, flight + i + TLS_HEADER_BYTES, n, tag);
        cr_assert(tls_tag_equal(tag, flight + i + TLS_HEADER_BYTES + n));
        cr_assert_eq(inner.bytes[inner.n + n - 1], TLS_CT_HANDSHAKE);
        inner.n += n - 1;
    }
}

/* The messages, cut into records of at most `cut` bytes with some padding. */
static int resealed(uint32_t cut, uint32_t padding) {
    static uint8_t wire[(TLS_HEADER_BYTES + 1 + 1 + 100 + TLS_TAG_BYTES) * FLIGHT_MAX];
    uint32_t n = 0, part;
    uint64_t seq = 0;

    snapshot_restore();
    for (uint32_t i = 0; i < inner.n; i += part) {
        part = weir_min_u32(cut, inner.n - i);
        n += seal(seq++, TLS_CT_HANDSHAKE, inner.bytes + i, part, padding, wire + n);
    }
    return client_feed(&c, wire, n);
}

Test(hs13_hostile, messages_joined_and_cut) {
    static const uint32_t cuts[] = {1, 2, 3, 4, 5, 7, 16, 37, 64, 100, 333, 512, 1000, FLIGHT_MAX};

    look_inside();
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cuts); i++)
        for (uint32_t padding = 0; padding <= 100; padding += 50)
            cr_expect_eq(resealed(cuts[i], padding), 1, "records of %u bytes: %s", cuts[i], hs13_error(c.hs));
}

Test(hs13_hostile, every_truncated_message) {
    look_inside();
    for (uint32_t whole = inner.n; inner.n-- > 0;) {
        cr_assert_eq(resealed(FLIGHT_MAX, 0), 0, "%u bytes of %u: %s", inner.n, whole, hs13_error(c.hs));
        cr_assert_eq(resealed(11, 0), 0);
    }
}

Test(hs13_hostile, every_damaged_byte_of_messages) {
    static const uint8_t damage[] = {0x01, 0x20, 0x80, 0xff};

    look_inside();
    for (uint32_t i = 0; i < inner.n; i++)
        for (size_t d = 0; d < sizeof(damage); d++) {
            inner.bytes[i] ^= damage[d];
            cr_assert_leq(resealed(FLIGHT_MAX, 0), 0, "byte %u ^ %u passes", i, damage[d]);
            inner.bytes[i] ^= damage[d];
        }
    cr_expect_eq(resealed(FLIGHT_MAX, 0), 1);
}

/* A record with the server's keys as the first one behind ServerHello. */
static void inner_record(uint8_t type, const void *data, uint32_t n, uint32_t padding, const char *error) {
    static uint8_t wire[TLS_HEADER_BYTES + TLS_RECORD_WIRE_MAX13];
    uint32_t bytes = seal(0, type, data, n, padding, wire);

    snapshot_restore();
    cr_expect_eq(client_feed(&c, wire, bytes), WEIR_EINVAL, "%s", error);
    cr_expect_str_eq(hs13_error(c.hs), error);
}

Test(hs13_hostile, protected_records_with_no_place) {
    static uint8_t zeroes[TLS_RECORD_MAX + 1];

    look_inside();
    inner_record(TLS_CT_ALERT, "\x02\x32", 2, 0, "the server sent alert decode_error");
    inner_record(TLS_CT_ALERT, "\x02\x50", 2, 99, "the server sent alert internal_error");
    inner_record(TLS_CT_DATA, "early", 5, 0, "a record of a type that has no place in a handshake");
    inner_record(TLS_CT_CCS, "\x01", 1, 0, "a record of a type that has no place in a handshake");
    inner_record(TLS_CT_HANDSHAKE, "", 0, 0, tls_drop_text(TLS_DROP_EMPTY_RECORD));
    inner_record(0, "", 0, 20, tls_drop_text(TLS_DROP_NO_CONTENT_TYPE));
    inner_record(TLS_CT_HANDSHAKE, zeroes, sizeof(zeroes), 0, tls_drop_text(TLS_DROP_RECORD_OVERFLOW));
    inner_record(TLS_CT_HANDSHAKE, "\x08\x00\x00\x06\x00\x04\x00\x10\x00\x00", 10, 0,
                 "EncryptedExtensions has an extension that was not offered");
    inner_record(TLS_CT_HANDSHAKE, "\x08\x00\x00\x0a\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00", 14, 0,
                 "a malformed handshake message from the server");
    inner_record(TLS_CT_HANDSHAKE, "\x04\x00\x00\x05", 4, 0, "a handshake message out of order");
    first_record(TLS_CT_HANDSHAKE, "\x08\x00\x00\x02\x00\x00", 6, "a handshake message in the clear");
    first_record(TLS_CT_DATA, "0123456789abcdef", 16, tls_drop_text(TLS_DROP_SHORT_RECORD));
    first_record(TLS_CT_DATA, "0123456789abcdef!", 17, tls_drop_text(TLS_DROP_BAD_MAC));
}

/* Whatever follows ServerHello or Finished in their record was sent under keys that had changed. */
Test(hs13_hostile, bytes_behind_a_change_of_keys) {
    static const char error[] = "bytes in the same record behind a message that changes the keys";
    uint8_t joined[512];
    uint32_t n = record_bytes(flight) - TLS_HEADER_BYTES;

    memcpy(joined, flight + TLS_HEADER_BYTES, n);
    memcpy(joined + n, "\x08\x00\x00\x02\x00\x00", 6);
    first_record(TLS_CT_HANDSHAKE, joined, n + 6, error);
    snapshot_restore();
    look_inside();
    inner.bytes[inner.n++] = HS13_NEW_SESSION_TICKET;
    cr_expect_eq(resealed(FLIGHT_MAX, 0), WEIR_EINVAL);
    cr_expect_str_eq(hs13_error(c.hs), error);
}

/* --- ServerHello, field by field --- */
static void hello(uint32_t at_byte, uint8_t to, const char *error) {
    uint8_t changed[512];
    uint32_t n = record_bytes(flight) - TLS_HEADER_BYTES;

    memcpy(changed, flight + TLS_HEADER_BYTES, n);
    changed[at_byte] = to;
    first_record(TLS_CT_HANDSHAKE, changed, n, error);
}

Test(hs13_hostile, server_hello_fields) {
    static const char choice[] = "ServerHello chooses what was not offered";
    const uint32_t id = 4 + 2 + 32 + 1, suite = id + 32, extensions = suite + 3;
    const uint8_t *message = flight + TLS_HEADER_BYTES;
    /* libssl: supported_versions, then key_share */
    cr_assert_eq(message[extensions + 3], HS13_EXT_SUPPORTED_VERSIONS);
    cr_assert_eq(message[extensions + 9], HS13_EXT_KEY_SHARE);

    hello(5, 4, choice);
    hello(id + 31, message[id + 31] ^ 1, choice);
    hello(suite + 1, 2, choice);
    hello(suite + 2, 1, choice);
    hello(extensions + 7, 3, choice);
    hello(extensions + 13, 0x17, choice);
    hello(extensions + 3, HS13_EXT_PRE_SHARED_KEY, "ServerHello has an extension that was not offered");
    hello(extensions + 9, 16, "ServerHello has an extension that was not offered");
    hello(extensions + 15, 31, choice);
    hello(extensions + 5, 3, "a malformed handshake message from the server");

    uint8_t changed[512];
    uint32_t n = record_bytes(flight) - TLS_HEADER_BYTES;
    memcpy(changed, message, n); /* all zero is not a share (RFC 7748 section 6.1) */
    memset(changed + n - 32, 0, 32);
    first_record(TLS_CT_HANDSHAKE, changed, n, "the server's key share is not a public key");

    memcpy(changed, message, n); /* supported_versions alone */
    changed[3] = (uint8_t)(n - 4 - 40);
    changed[extensions + 1] = 6;
    first_record(TLS_CT_HANDSHAKE, changed, n - 40, "ServerHello without a key share");
    memmove(changed + extensions + 2 + 6, changed + extensions + 2, 6); /* twice */
    changed[3] = (uint8_t)(n - 4 - 34);
    changed[extensions + 1] = 12;
    first_record(TLS_CT_HANDSHAKE, changed, n - 34, "a malformed handshake message from the server");
    changed[3] = (uint8_t)(n - 4 - 46); /* none: what a server of TLS 1.2 would answer */
    changed[extensions + 1] = 0;
    snapshot_restore();
    memcpy(flight + TLS_HEADER_BYTES, changed, n);
    flight[4] = (uint8_t)(n - 46);
    cr_expect_eq(client_feed(&c, flight, record_bytes(flight)), WEIR_ENOTSUP);
    cr_expect_str_eq(hs13_error(c.hs), "the server does not speak TLS 1.3");
}
