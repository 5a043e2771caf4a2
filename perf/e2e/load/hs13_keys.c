/* SPDX-License-Identifier: BSD-3-Clause */
/* The key schedule of RFC 8446 section 7.1 on fetched digests: libcrypto's HKDF and EVP_MAC cost more in parameters
 * than the hashing itself. */
#include "hs13_int.h"

#include <string.h>

#define BLOCK_MAX     128u
#define HMAC_DATA_MAX 128u

/* --- digests, HMAC, HKDF --- */
static void check(struct hs13_core *core, int ok) {
    if (WEIR_UNLIKELY(ok != 1))
        core->crypto_failed = true;
}

static void digest(struct hs13_core *core, const struct hs13_hash *hash, const uint8_t *data, size_t n, uint8_t *out) {
    check(core, EVP_DigestInit_ex2(core->scratch, hash->md, NULL));
    check(core, EVP_DigestUpdate(core->scratch, data, n));
    check(core, EVP_DigestFinal_ex(core->scratch, out, NULL));
}

const struct hs13_hash *hs13_hash_of(const struct hs13_core *core, const struct tls_suite *suite) {
    return &core->hashes[suite->hash == TLS_SHA384];
}

void hs13_hmac(struct hs13_core *core, const struct hs13_hash *hash, const uint8_t *key, const uint8_t *data,
               uint32_t n, uint8_t *out) {
    uint8_t block[BLOCK_MAX + HMAC_DATA_MAX] = {0};

    assert(n <= HMAC_DATA_MAX);
    memcpy(block, key, hash->bytes);
    for (uint32_t i = 0; i < hash->block_bytes; i++)
        block[i] ^= 0x36;
    memcpy(block + hash->block_bytes, data, n);
    digest(core, hash, block, hash->block_bytes + n, out);
    for (uint32_t i = 0; i < hash->block_bytes; i++)
        block[i] ^= 0x36 ^ 0x5c;
    memcpy(block + hash->block_bytes, out, hash->bytes);
    digest(core, hash, block, hash->block_bytes + hash->bytes, out);
}

/* One round of HKDF-Expand is enough: nothing longer than the hash is ever asked for. */
void hs13_expand(struct hs13_core *core, const struct hs13_hash *hash, const uint8_t *secret, const char *label,
                 const uint8_t *context, uint32_t context_bytes, uint8_t *out, uint32_t n) {
    uint8_t info[HMAC_DATA_MAX], block[TLS_SECRET_MAX];
    struct span_writer w = span_writer_of(info, sizeof(info));
    size_t label_bytes = strlen(label);

    span_put_u16(&w, (uint16_t)n);
    span_put_u8(&w, (uint8_t)(6 + label_bytes));
    span_put_bytes(&w, "tls13 ", 6);
    span_put_bytes(&w, label, label_bytes);
    span_put_u8(&w, (uint8_t)context_bytes);
    span_put_bytes(&w, context, context_bytes);
    span_put_u8(&w, 1); /* the round */
    assert(!w.failed && n <= hash->bytes);
    hs13_hmac(core, hash, secret, info, (uint32_t)span_written(&w), block);
    memcpy(out, block, n);
}

/* Derive-Secret, RFC 8446 section 7.1, of a transcript that is hashed already. */
static void derive_secret(struct hs13_core *core, const struct hs13_hash *hash, const uint8_t *secret,
                          const char *label, const uint8_t *transcript, uint8_t *out) {
    hs13_expand(core, hash, secret, label, transcript, hash->bytes, out, hash->bytes);
}

void hs13_verify_data(struct hs13_core *core, const struct hs13_hash *hash, const uint8_t *base_key,
                      const uint8_t *transcript, uint8_t *out) {
    uint8_t key[TLS_SECRET_MAX];

    hs13_expand(core, hash, base_key, "finished", NULL, 0, key, hash->bytes);
    hs13_hmac(core, hash, key, transcript, hash->bytes, out);
}

/* --- the transcript of a handshake --- */
void hs13_transcript_begin(struct hs13 *hs) {
    check(hs->core, EVP_DigestInit_ex2(hs->transcript, hs->hash->md, NULL));
}

void hs13_transcript_add(struct hs13 *hs, const uint8_t *data, uint32_t n) {
    check(hs->core, EVP_DigestUpdate(hs->transcript, data, n));
}

void hs13_transcript_hash(struct hs13 *hs, uint8_t *out) {
    check(hs->core, EVP_MD_CTX_copy_ex(hs->core->scratch, hs->transcript));
    check(hs->core, EVP_DigestFinal_ex(hs->core->scratch, out, NULL));
}

/* --- the key schedule --- */
static void direction_keys(struct hs13 *hs, const uint8_t *secret, const char *label, const uint8_t *transcript,
                           struct tls_dir_keys *keys) {
    struct hs13_core *core = hs->core;

    derive_secret(core, hs->hash, secret, label, transcript, keys->secret);
    hs13_expand(core, hs->hash, keys->secret, "key", NULL, 0, keys->key, hs->suite->aead->key_bytes);
    hs13_expand(core, hs->hash, keys->secret, "iv", NULL, 0, keys->iv, TLS_NONCE_BYTES);
    keys->seq = 0;
}

int hs13_keys_handshake(struct hs13 *hs, const uint8_t peer_share[HS13_SHARE_BYTES]) {
    static const uint8_t zeroes[TLS_SECRET_MAX];
    struct hs13_core *core = hs->core;
    const struct hs13_hash *hash = hs->hash;
    uint8_t shared[HS13_SHARE_BYTES], salt[TLS_SECRET_MAX], handshake[TLS_SECRET_MAX], transcript[TLS_SECRET_MAX];
    size_t shared_bytes = sizeof(shared);

    /* Fails where the shared secret is 0 (RFC 8446 section 7.4.2). */
    if (EVP_PKEY_set1_encoded_public_key(core->peer, peer_share, HS13_SHARE_BYTES) != 1 ||
        EVP_PKEY_derive_set_peer_ex(core->derive, core->peer, 0) != 1 ||
        EVP_PKEY_derive(core->derive, shared, &shared_bytes) != 1)
        return WEIR_EINVAL;

    if (hs->resumed)
        derive_secret(core, hash, hs->secret, "derived", hash->of_nothing, salt);
    else
        memcpy(salt, hash->salt_without_psk, sizeof(salt));
    hs13_hmac(core, hash, salt, shared, sizeof(shared), handshake);
    hs13_transcript_hash(hs, transcript);
    direction_keys(hs, handshake, "s hs traffic", transcript, &hs->read);
    direction_keys(hs, handshake, "c hs traffic", transcript, &hs->write);
    derive_secret(core, hash, handshake, "derived", hash->of_nothing, salt);
    hs13_hmac(core, hash, salt, zeroes, hash->bytes, hs->secret);
    explicit_bzero(shared, sizeof(shared));
    explicit_bzero(handshake, sizeof(handshake));
    return 0;
}

/* --- tickets --- */
int hs13_ticket_parse(struct hs13_core *core, const struct hs13_result *of, const uint8_t *message, uint32_t n,
                      uint64_t now_ms, struct hs13_ticket *ticket) {
    uint8_t row = tls_suite_find(TLS_V13, of->agreed.suite);
    struct span s = span_of(message, n);
    uint8_t type = span_u8(&s);
    uint32_t length = span_u24(&s);

    if (row == 0 || s.failed || type != HS13_NEW_SESSION_TICKET || length != span_left(&s))
        return WEIR_EINVAL;
    uint32_t lifetime_s = span_u32(&s), age_add = span_u32(&s);
    uint8_t nonce_bytes = span_u8(&s);
    const uint8_t *nonce = span_bytes(&s, nonce_bytes);
    uint16_t ticket_bytes = span_u16(&s);
    const uint8_t *bytes = span_bytes(&s, ticket_bytes);
    span_skip(&s, span_u16(&s)); /* extensions: early data, which is not used */
    if (s.failed || span_left(&s) > 0 || ticket_bytes == 0 || ticket_bytes > HS13_TICKET_MAX ||
        nonce_bytes > TLS_SECRET_MAX || lifetime_s > 604800) /* a week at most, RFC 8446 section 4.6.1 */
        return WEIR_EINVAL;

    const struct hs13_hash *hash = hs13_hash_of(core, &tls_suites[row - 1]);
    core->crypto_failed = false;
    *ticket = (struct hs13_ticket){
        .suite = of->agreed.suite,
        .bytes = ticket_bytes,
        .psk_bytes = (uint8_t)hash->bytes,
        .age_add = age_add,
        .lifetime_s = lifetime_s,
        .received_ms = now_ms,
    };
    memcpy(ticket->ticket, bytes, ticket_bytes);
    hs13_expand(core, hash, of->resumption_master, "resumption", nonce, nonce_bytes, ticket->psk, hash->bytes);
    return core->crypto_failed ? WEIR_EINVAL : 0;
}

/* --- what a core holds --- */
static int hash_init(struct hs13_core *core, struct hs13_hash *hash, const char *name, enum tls_hash bytes,
                     uint32_t block_bytes) {
    static const uint8_t zeroes[TLS_SECRET_MAX];
    uint8_t early[TLS_SECRET_MAX];

    *hash = (struct hs13_hash){.md = EVP_MD_fetch(NULL, name, NULL), .bytes = bytes, .block_bytes = block_bytes};
    if (hash->md == NULL)
        return WEIR_ENOMEM;
    digest(core, hash, NULL, 0, hash->of_nothing);
    hs13_hmac(core, hash, zeroes, zeroes, bytes, early);
    derive_secret(core, hash, early, "derived", hash->of_nothing, hash->salt_without_psk);
    return core->crypto_failed ? WEIR_ENOMEM : 0;
}

int hs13_keys_init(struct hs13_core *core) {
    size_t n = sizeof(core->share);

    core->scratch = EVP_MD_CTX_new();
    core->own = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    core->peer = EVP_PKEY_Q_keygen(NULL, NULL, "X25519"); /* a place for the peers' public keys */
    core->derive = core->own ? EVP_PKEY_CTX_new_from_pkey(NULL, core->own, NULL) : NULL;
    if (core->scratch == NULL || core->peer == NULL || core->derive == NULL ||
        EVP_PKEY_get_raw_public_key(core->own, core->share, &n) != 1 || EVP_PKEY_derive_init(core->derive) != 1)
        return WEIR_ENOMEM;
    if (hash_init(core, &core->hashes[0], "SHA2-256", TLS_SHA256, 64) < 0)
        return WEIR_ENOMEM;
    return hash_init(core, &core->hashes[1], "SHA2-384", TLS_SHA384, 128);
}

void hs13_keys_fini(struct hs13_core *core) {
    EVP_PKEY_CTX_free(core->derive);
    EVP_PKEY_free(core->peer);
    EVP_PKEY_free(core->own);
    EVP_MD_CTX_free(core->scratch);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(core->hashes); i++)
        EVP_MD_free(core->hashes[i].md);
}
