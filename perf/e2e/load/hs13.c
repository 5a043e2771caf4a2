/* SPDX-License-Identifier: BSD-3-Clause */
/* Places, and records in and out. */
#include "hs13_int.h"

#include <intel-ipsec-mb.h>
#include <openssl/rand.h>
#include <stdlib.h>

static_assert(HS13_TICKET_MAX + 255 + 400 < HS13_HELLO_MAX, "the longest ClientHello fits");

int hs13_fail(struct hs13 *hs, int rc, const char *error) {
    hs->state = HS13_FAILED;
    hs->rc = rc;
    hs->error = error;
    return rc;
}

const char *hs13_error(const struct hs13 *hs) {
    return hs->error ? hs->error : "no error";
}

/* --- cores --- */
static void *aligned_zeroed(size_t bytes) {
    size_t whole = (bytes + WEIR_CACHE_LINE - 1) & ~(size_t)(WEIR_CACHE_LINE - 1);
    void *p = aligned_alloc(WEIR_CACHE_LINE, whole);

    return p ? memset(p, 0, whole) : NULL;
}

struct hs13_core *hs13_core_new(uint32_t max, struct rte_mempool *pool) {
    struct hs13_core *core = aligned_zeroed(sizeof(*core));

    if (core == NULL)
        return NULL;
    core->pool = pool;
    core->transcripts = calloc(max, sizeof(*core->transcripts));
    core->expanded = aligned_zeroed(sizeof(*core->expanded));
    core->mgr = tls_mgr_new();
    if (core->transcripts == NULL || core->expanded == NULL || core->mgr == NULL ||
        pool_init(&core->places, "hs13", sizeof(struct hs13), max, POOL_SECRET) < 0 || hs13_keys_init(core) < 0) {
        hs13_core_free(core);
        return NULL;
    }
    return core;
}

void hs13_core_free(struct hs13_core *core) {
    if (core == NULL)
        return;
    hs13_keys_fini(core);
    for (uint32_t i = 0; i < core->places.capacity; i++)
        EVP_MD_CTX_free(core->transcripts[i]);
    pool_fini(&core->places);
    if (core->mgr)
        free_mb_mgr(core->mgr);
    free(core->expanded);
    free(core->transcripts);
    explicit_bzero(core, sizeof(*core));
    free(core);
}

/* --- places --- */
static struct hs13 *place_new(struct hs13_core *core, const struct tls_suite *suite) {
    uint32_t index = pool_alloc(&core->places);

    if (index == POOL_NONE)
        return NULL;
    struct hs13 *hs = pool_get(&core->places, index);
    EVP_MD_CTX **transcript = &core->transcripts[index - 1];
    if (*transcript == NULL)
        *transcript = EVP_MD_CTX_new();
    if (*transcript == NULL) {
        pool_free(&core->places, index);
        return NULL;
    }
    hs->core = core;
    hs->transcript = *transcript;
    hs->suite = suite;
    hs->hash = hs13_hash_of(core, suite);
    hs->serial = ++core->handshakes;
    return hs;
}

/* May this ticket be offered? A PSK belongs to a hash (RFC 8446 section 4.2.11). */
static bool ticket_usable(const struct hs13_ticket *ticket, const struct hs13_hash *hash, uint64_t now_ms) {
    return ticket && ticket->psk_bytes == hash->bytes && ticket->bytes > 0 && ticket->bytes <= HS13_TICKET_MAX &&
           now_ms - ticket->received_ms < ticket->lifetime_s * 1000ull;
}

struct hs13 *hs13_new(struct hs13_core *core, uint16_t suite, const char *server_name, const struct hs13_ticket *ticket,
                      uint64_t now_ms, struct rope *out) {
    uint8_t hello[HS13_HELLO_MAX];
    uint8_t row = tls_suite_find(TLS_V13, suite);
    struct hs13 *hs = row ? place_new(core, &tls_suites[row - 1]) : NULL;

    if (hs == NULL)
        return NULL;
    hs->offered = ticket_usable(ticket, hs->hash, now_ms);
    core->crypto_failed = RAND_bytes(hs->session_id, sizeof(hs->session_id)) != 1;
    uint32_t n = hs13_hello_write(hs, server_name, hs->offered ? ticket : NULL, now_ms, hello);
    if (n == 0 || core->crypto_failed || rope_append(out, core->pool, hello, n) < 0) {
        hs13_free(hs);
        return NULL;
    }
    return hs;
}

void hs13_free(struct hs13 *hs) {
    if (hs)
        pool_free(&hs->core->places, pool_index(&hs->core->places, hs)); /* POOL_SECRET: zeroed */
}

/* --- protected records --- */

/* `n`: bytes of the record's body. */
static void op_set(struct hs13 *hs, enum tls_dir dir, uint32_t n, struct tls_op *op) {
    struct hs13_core *core = hs->core;
    struct tls_dir_keys *keys = dir == TLS_READ ? &hs->read : &hs->write;
    const struct tls_aead *aead = hs->suite->aead;
    uint64_t name = hs->serial * 2 + dir;

    *op = (struct tls_op){.mgr = core->mgr, .ctx = core->aead_ctx, .key = keys->key};
    if (aead->expand) {
        if (core->expanded_for != name)
            aead->expand(core->mgr, keys->key, core->expanded);
        core->expanded_for = name;
        op->key = core->expanded;
    }
    tls_op_set(op, hs->suite, keys->iv, keys->seq++, TLS_CT_DATA, n, NULL);
}

/* Open the record into core->plain. *n: bytes of its content. Returns the inner type or a failure. */
static int record_open(struct hs13 *hs, const uint8_t *body, uint32_t body_bytes, uint32_t *n) {
    uint8_t *plain = hs->core->plain, tag[TLS_TAG_BYTES];
    struct tls_op op;

    if (body_bytes <= TLS_TAG_BYTES)
        return hs13_fail(hs, WEIR_EINVAL, tls_drop_text(TLS_DROP_SHORT_RECORD));
    uint32_t inner = body_bytes - TLS_TAG_BYTES;
    op_set(hs, TLS_READ, body_bytes, &op);
    hs->suite->aead->open(&op, plain, body, inner, tag);
    if (!tls_tag_equal(tag, body + inner))
        return hs13_fail(hs, WEIR_EINVAL, tls_drop_text(TLS_DROP_BAD_MAC));
    while (inner > 0 && plain[inner - 1] == 0) /* padding */
        inner--;
    if (inner == 0)
        return hs13_fail(hs, WEIR_EINVAL, tls_drop_text(TLS_DROP_NO_CONTENT_TYPE));
    *n = inner - 1;
    return plain[inner - 1];
}

/* --- the server's records --- */

/* What a record carries, opened where it had to be. */
static int take_content(struct hs13 *hs, int type, const uint8_t *data, uint32_t n) {
    if (n > TLS_RECORD_MAX)
        return hs13_fail(hs, WEIR_EINVAL, tls_drop_text(TLS_DROP_RECORD_OVERFLOW));
    if (type == TLS_CT_ALERT)
        return hs13_alert(hs, data, n);
    if (type != TLS_CT_HANDSHAKE)
        return hs13_fail(hs, WEIR_EINVAL, "a record of a type that has no place in a handshake");
    if (n == 0)
        return hs13_fail(hs, WEIR_EINVAL, tls_drop_text(TLS_DROP_EMPTY_RECORD));
    return hs13_messages(hs, data, n);
}

/* ChangeCipherSpec has no meaning any more, but has to be put up with (RFC 8446 section 5). */
static int take_ccs(struct hs13 *hs, const uint8_t *body, uint32_t n) {
    if (n != 1 || body[0] != 1 || ++hs->ccs_seen > HS13_CCS_MAX)
        return hs13_fail(hs, WEIR_EINVAL, "a ChangeCipherSpec out of place");
    return 0;
}

static int take_record(struct hs13 *hs, const struct tls_frame *f, struct rope *in) {
    const uint8_t *body = rope_peek(in, TLS_HEADER_BYTES, f->body_bytes, hs->core->cipher);
    bool keys = hs->state != HS13_WAIT_SERVER_HELLO;
    uint32_t n = f->body_bytes;
    int rc, type = f->type;

    if (type == TLS_CT_CCS) {
        rc = take_ccs(hs, body, n);
    } else if (type == TLS_CT_DATA && keys) {
        rc = type = record_open(hs, body, n, &n);
        if (type >= 0)
            rc = take_content(hs, type, hs->core->plain, n);
    } else if (type == TLS_CT_HANDSHAKE && keys) {
        rc = hs13_fail(hs, WEIR_EINVAL, "a handshake message in the clear");
    } else { /* a server that could not make keys sends its alert in the clear */
        rc = take_content(hs, type, body, n);
    }
    rope_trim(in, TLS_HEADER_BYTES + f->body_bytes);
    return rc;
}

/* --- the answer: ChangeCipherSpec and Finished (RFC 8446 sections 4.4.4, D.4) --- */
#define ANSWER_MAX (2 * TLS_HEADER_BYTES + 1 + HS13_HEADER_BYTES + TLS_SECRET_MAX + 1 + TLS_TAG_BYTES)

/* Returns the bytes of both records. *finished: the message, before it was sealed. */
static uint32_t write_answer(struct hs13 *hs, const uint8_t *transcript, uint8_t finished[HS13_HEADER_BYTES + 48],
                             uint8_t out[ANSWER_MAX]) {
    const struct hs13_hash *hash = hs->hash;
    struct span_writer w = span_writer_of(out, ANSWER_MAX);
    uint32_t message_bytes = HS13_HEADER_BYTES + hash->bytes;
    uint32_t body_bytes = message_bytes + tls_suite_overhead(hs->suite);
    struct tls_op op;

    memcpy(finished, (uint8_t[]){HS13_FINISHED, 0, 0, (uint8_t)hash->bytes}, HS13_HEADER_BYTES);
    hs13_verify_data(hs->core, hash, hs->write.secret, transcript, finished + HS13_HEADER_BYTES);

    span_put_bytes(&w, (const uint8_t[]){TLS_CT_CCS, 3, 3, 0, 1, 1}, 6);
    span_put_u8(&w, TLS_CT_DATA);
    span_put_u16(&w, TLS_V12);
    span_put_u16(&w, (uint16_t)body_bytes);
    uint8_t *body = span_put(&w, body_bytes);
    assert(body);
    memcpy(body, finished, message_bytes);
    body[message_bytes] = TLS_CT_HANDSHAKE;
    hs->write.seq = 0; /* also where this was tried before */
    op_set(hs, TLS_WRITE, body_bytes, &op);
    hs->suite->aead->seal(&op, body, body, message_bytes + 1, body + message_bytes + 1);
    return (uint32_t)span_written(&w);
}

static void derive(struct hs13 *hs, const char *label, const uint8_t *transcript, uint8_t *out) {
    hs13_expand(hs->core, hs->hash, hs->secret, label, transcript, hs->hash->bytes, out, hs->hash->bytes);
}

static int answer(struct hs13 *hs, struct rope *out, struct hs13_result *result) {
    uint8_t transcript[TLS_SECRET_MAX], finished[HS13_HEADER_BYTES + TLS_SECRET_MAX], wire[ANSWER_MAX];

    hs13_transcript_hash(hs, transcript);
    uint32_t n = write_answer(hs, transcript, finished, wire);
    if (rope_append(out, hs->core->pool, wire, n) < 0) {
        hs->error = "no mbuf for the answer";
        return WEIR_ENOMEM;
    }
    *result = (struct hs13_result){.agreed = {.suite = hs->suite->id, .client = true}, .resumed = hs->resumed};
    derive(hs, "s ap traffic", transcript, result->agreed.read_secret);
    derive(hs, "c ap traffic", transcript, result->agreed.write_secret);
    hs13_transcript_add(hs, finished, HS13_HEADER_BYTES + hs->hash->bytes);
    hs13_transcript_hash(hs, transcript);
    derive(hs, "res master", transcript, result->resumption_master);
    hs->state = HS13_DONE;
    return 1;
}

int hs13_input(struct hs13 *hs, struct rope *in, struct rope *out, struct hs13_result *result) {
    struct tls_frame f;
    int rc = hs->state == HS13_FAILED ? hs->rc : 0;

    hs->core->crypto_failed = false;
    while (rc == 0 && hs->state < HS13_ANSWER) {
        rc = tls_frame_peek(in, TLS_RECORD_WIRE_MAX13, &f);
        if (rc == 0)
            return 0;
        rc = rc > 0 ? take_record(hs, &f, in) : hs13_fail(hs, WEIR_EINVAL, tls_drop_text((enum tls_drop) - rc));
    }
    if (rc == 0)
        rc = hs->state == HS13_ANSWER ? answer(hs, out, result) : WEIR_ESTATE;
    if (hs->core->crypto_failed && hs->state != HS13_FAILED)
        rc = hs13_fail(hs, WEIR_EIO, "libcrypto failed: out of memory");
    return rc;
}
