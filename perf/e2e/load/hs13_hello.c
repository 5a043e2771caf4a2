/* SPDX-License-Identifier: BSD-3-Clause */
/* ClientHello (RFC 8446 section 4.1.2), and the ticket it offers (section 4.2.11). */
#include "hs13_int.h"

#include <openssl/rand.h>

/* What is the same in all of them. */
static const uint8_t fixed_extensions[] = {
    /* clang-format off */
    0, HS13_EXT_SUPPORTED_VERSIONS, 0, 3, 2, 0x03, 0x04,
    0, HS13_EXT_SUPPORTED_GROUPS, 0, 4, 0, 2, 0x00, HS13_GROUP_X25519,
    0, HS13_EXT_PSK_KEY_EXCHANGE_MODES, 0, 2, 1, 1, /* psk_dhe_ke */
    0, HS13_EXT_SIGNATURE_ALGORITHMS, 0, 18, 0, 16,
        0x04, 0x03, /* ecdsa_secp256r1_sha256 */
        0x05, 0x03, /* ecdsa_secp384r1_sha384 */
        0x08, 0x07, /* ed25519 */
        0x08, 0x04, /* rsa_pss_rsae_sha256 */
        0x08, 0x05, /* rsa_pss_rsae_sha384 */
        0x08, 0x06, /* rsa_pss_rsae_sha512 */
        0x08, 0x09, /* rsa_pss_pss_sha256 */
        0x04, 0x01, /* rsa_pkcs1_sha256: in certificates */
    /* clang-format on */
};

/* A length in front of what follows, filled in by end_u16. */
static uint8_t *begin_u16(struct span_writer *w) {
    return span_put(w, 2);
}

static void end_u16(struct span_writer *w, uint8_t *length) {
    if (w->failed)
        return;
    size_t n = (size_t)(w->cur - length) - 2;
    length[0] = (uint8_t)(n >> 8);
    length[1] = (uint8_t)n;
}

static void put_server_name(struct span_writer *w, const char *name) {
    span_put_u16(w, HS13_EXT_SERVER_NAME);
    uint8_t *extension = begin_u16(w), *list = begin_u16(w);
    span_put_u8(w, 0); /* host_name */
    uint8_t *host = begin_u16(w);
    span_put_bytes(w, name, strlen(name));
    end_u16(w, host);
    end_u16(w, list);
    end_u16(w, extension);
}

static void put_key_share(struct span_writer *w, const uint8_t share[HS13_SHARE_BYTES]) {
    span_put_u16(w, HS13_EXT_KEY_SHARE);
    uint8_t *extension = begin_u16(w), *list = begin_u16(w);
    span_put_u16(w, HS13_GROUP_X25519);
    span_put_u16(w, HS13_SHARE_BYTES);
    span_put_bytes(w, share, HS13_SHARE_BYTES);
    end_u16(w, list);
    end_u16(w, extension);
}

/* Returns where the list of binders begins: up to there it is what the binder is computed over. */
static uint8_t *put_pre_shared_key(struct span_writer *w, const struct hs13_ticket *ticket, uint64_t now_ms) {
    span_put_u16(w, HS13_EXT_PRE_SHARED_KEY);
    uint8_t *extension = begin_u16(w), *identities = begin_u16(w);
    span_put_u16(w, ticket->bytes);
    span_put_bytes(w, ticket->ticket, ticket->bytes);
    span_put_u32(w, (uint32_t)(now_ms - ticket->received_ms) + ticket->age_add);
    end_u16(w, identities);
    uint8_t *binders = begin_u16(w);
    span_put_u8(w, ticket->psk_bytes);
    span_put(w, ticket->psk_bytes);
    end_u16(w, binders);
    end_u16(w, extension);
    return binders;
}

/* The binder, which ends the ClientHello; `truncated` is all before the list of binders (RFC 8446 section 4.2.11.2). */
static void write_binder(struct hs13 *hs, const struct hs13_ticket *ticket, const uint8_t *truncated,
                         uint8_t *binders) {
    static const uint8_t zeroes[TLS_SECRET_MAX];
    const struct hs13_hash *hash = hs->hash;
    uint8_t key[TLS_SECRET_MAX], transcript[TLS_SECRET_MAX];

    hs13_hmac(hs->core, hash, zeroes, ticket->psk, hash->bytes, hs->secret);
    hs13_expand(hs->core, hash, hs->secret, "res binder", hash->of_nothing, hash->bytes, key, hash->bytes);
    hs13_transcript_add(hs, truncated, (uint32_t)(binders - truncated));
    hs13_transcript_hash(hs, transcript);
    hs13_verify_data(hs->core, hash, key, transcript, binders + 3); /* behind two lengths */
    hs13_transcript_add(hs, binders, 3 + hash->bytes);
}

/* The message up to its extensions. */
static void put_head(struct span_writer *w, struct hs13 *hs) {
    span_put_u16(w, TLS_V12);
    uint8_t *random = span_put(w, 32);
    if (random == NULL || RAND_bytes(random, 32) != 1)
        hs->core->crypto_failed = true;
    span_put_u8(w, sizeof(hs->session_id));
    span_put_bytes(w, hs->session_id, sizeof(hs->session_id));
    span_put_u16(w, 2);
    span_put_u16(w, hs->suite->id);
    span_put_u16(w, 0x0100); /* one compression method: none */
}

uint32_t hs13_hello_write(struct hs13 *hs, const char *server_name, const struct hs13_ticket *ticket, uint64_t now_ms,
                          uint8_t *out) {
    static const uint8_t record_head[] = {TLS_CT_HANDSHAKE, 3, 1}; /* RFC 8446 section 5.1 */
    static const uint8_t message_head[] = {HS13_CLIENT_HELLO, 0};
    struct span_writer w = span_writer_of(out, HS13_HELLO_MAX);
    uint8_t *binders = NULL;

    if (server_name && strlen(server_name) > 255)
        return 0;
    span_put_bytes(&w, record_head, sizeof(record_head));
    uint8_t *record = begin_u16(&w), *message = w.cur;
    span_put_bytes(&w, message_head, sizeof(message_head));
    uint8_t *body = begin_u16(&w);
    put_head(&w, hs);
    uint8_t *extensions = begin_u16(&w);
    if (server_name)
        put_server_name(&w, server_name);
    span_put_bytes(&w, fixed_extensions, sizeof(fixed_extensions));
    put_key_share(&w, hs->core->share);
    if (ticket)
        binders = put_pre_shared_key(&w, ticket, now_ms); /* the last one by its rules */
    end_u16(&w, extensions);
    end_u16(&w, body);
    end_u16(&w, record);
    assert(!w.failed);

    hs13_transcript_begin(hs);
    if (ticket)
        write_binder(hs, ticket, message, binders);
    else
        hs13_transcript_add(hs, message, (uint32_t)(w.cur - message));
    return (uint32_t)span_written(&w);
}
