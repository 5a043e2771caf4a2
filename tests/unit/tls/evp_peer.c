/* SPDX-License-Identifier: BSD-3-Clause */
#include "evp_peer.h"
#include "harness.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

/* HKDF-Expand-Label of one block at most (RFC 8446 section 7.1, RFC 5869 section 2.3). */
static void expand_label(const struct tls_suite *s, const uint8_t *secret, const char *label, uint8_t *out,
                         uint32_t n) {
    uint8_t info[64] = {0}, block[64];
    uint8_t label_bytes = (uint8_t)strlen(label);
    uint32_t at = 0;

    info[at++] = 0;
    info[at++] = (uint8_t)n;
    info[at++] = (uint8_t)(6 + label_bytes);
    memcpy(info + at, "tls13 ", 6);
    memcpy(info + at + 6, label, label_bytes);
    at += 6u + label_bytes;
    info[at++] = 0; /* no context */
    info[at++] = 1; /* the first block */
    cr_assert_not_null(
        HMAC(s->hash == TLS_SHA256 ? EVP_sha256() : EVP_sha384(), secret, (int)s->hash, info, at, block, NULL));
    memcpy(out, block, n);
}

static void keys_derive(struct evp_peer *peer, enum tls_dir dir) {
    expand_label(peer->suite, peer->secret[dir], "key", peer->key[dir], peer->suite->aead->key_bytes);
    expand_label(peer->suite, peer->secret[dir], "iv", peer->iv[dir], TLS_NONCE_BYTES);
}

static void keys_next(struct evp_peer *peer, enum tls_dir dir) {
    uint8_t next[TLS_SECRET_MAX];

    expand_label(peer->suite, peer->secret[dir], "traffic upd", next, peer->suite->hash);
    memcpy(peer->secret[dir], next, sizeof(next));
    keys_derive(peer, dir);
    peer->seq[dir] = 0;
}

void evp_peer_init(struct evp_peer *peer, const struct tls_suite *suite, const struct tls_dir_keys keys[2]) {
    *peer = (struct evp_peer){.suite = suite};
    for (int dir = TLS_READ; dir <= TLS_WRITE; dir++) {
        memcpy(peer->secret[dir], keys[dir].secret, TLS_SECRET_MAX);
        memcpy(peer->key[dir], keys[dir].key, TLS_KEY_MAX);
        memcpy(peer->iv[dir], keys[dir].iv, TLS_NONCE_BYTES);
        peer->seq[dir] = keys[dir].seq;
        if (suite->version == TLS_V13)
            keys_derive(peer, (enum tls_dir)dir);
    }
}

static const EVP_CIPHER *cipher_of(const struct tls_suite *s) {
    if (s->aead->expand == NULL)
        return EVP_chacha20_poly1305();
    return s->aead->key_bytes == 16 ? EVP_aes_128_gcm() : EVP_aes_256_gcm();
}

static uint32_t aad_make(const struct evp_peer *peer, enum tls_dir dir, uint8_t type, uint32_t n, uint8_t aad[13]) {
    uint32_t at = 0;

    if (peer->suite->version == TLS_V12)
        for (; at < 8; at++)
            aad[at] = (uint8_t)(peer->seq[dir] >> (56 - 8 * at));
    const uint8_t header[5] = {type, 3, 3, (uint8_t)(n >> 8), (uint8_t)n};
    memcpy(aad + at, header, sizeof(header));
    return at + 5;
}

static void nonce_make(const struct evp_peer *peer, enum tls_dir dir, const uint8_t *explicit_nonce,
                       uint8_t nonce[TLS_NONCE_BYTES]) {
    memcpy(nonce, peer->iv[dir], TLS_NONCE_BYTES);
    for (uint32_t i = 0; i < 8; i++) {
        if (explicit_nonce)
            nonce[4 + i] = explicit_nonce[i];
        else
            nonce[4 + i] ^= (uint8_t)(peer->seq[dir] >> (56 - 8 * i));
    }
}

/* The tag is written, or compared. Returns false where it does not fit. */
static bool crypt(const struct evp_peer *peer, enum tls_dir dir, bool seal, const uint8_t *nonce, const uint8_t *aad,
                  uint32_t aad_bytes, const uint8_t *in, uint8_t *out, uint32_t n, uint8_t tag[TLS_TAG_BYTES]) {
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int got;

    cr_assert(EVP_CipherInit_ex(ctx, cipher_of(peer->suite), NULL, peer->key[dir], nonce, seal));
    cr_assert(EVP_CipherUpdate(ctx, NULL, &got, aad, (int)aad_bytes));
    cr_assert(EVP_CipherUpdate(ctx, out, &got, in, (int)n));
    if (!seal)
        cr_assert(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TLS_TAG_BYTES, tag));
    bool fits = EVP_CipherFinal_ex(ctx, out + n, &got) == 1;
    if (seal)
        cr_assert(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TLS_TAG_BYTES, tag));
    EVP_CIPHER_CTX_free(ctx);
    return fits;
}

int evp_peer_open(struct evp_peer *peer, struct rope *wire, uint8_t *out, uint32_t *n) {
    static uint8_t record[TLS_RECORD_WIRE_MAX + TLS_HEADER_BYTES];
    bool v13 = peer->suite->version == TLS_V13;
    uint8_t nonce[TLS_NONCE_BYTES], aad[13];
    uint32_t head = TLS_HEADER_BYTES + peer->suite->explicit_bytes;

    if (rope_copy(wire, 0, record, TLS_HEADER_BYTES) < TLS_HEADER_BYTES)
        return -1;
    uint32_t body = (uint32_t)record[3] << 8 | record[4];
    if (record[1] != 3 || record[2] != 3 || body > TLS_RECORD_WIRE_MAX ||
        rope_copy(wire, 0, record, TLS_HEADER_BYTES + body) < head + TLS_TAG_BYTES ||
        wire->len_bytes < TLS_HEADER_BYTES + body)
        return -1;
    rope_trim(wire, TLS_HEADER_BYTES + body);
    *n = TLS_HEADER_BYTES + body - head - TLS_TAG_BYTES;
    nonce_make(peer, TLS_WRITE, head > TLS_HEADER_BYTES ? record + TLS_HEADER_BYTES : NULL, nonce);
    uint32_t aad_bytes = aad_make(peer, TLS_WRITE, record[0], v13 ? body : *n, aad);
    if (!crypt(peer, TLS_WRITE, false, nonce, aad, aad_bytes, record + head, out, *n, record + head + *n))
        return -1;
    peer->seq[TLS_WRITE]++;
    int type = record[0];
    if (v13) {
        while (*n > 0 && out[*n - 1] == 0)
            --*n;
        type = *n > 0 ? out[--*n] : -1;
    }
    peer->limit = weir_max_u32(peer->limit, *n);
    if (v13 && type == TLS_CT_HANDSHAKE && *n == 5 && out[0] == 24) { /* RFC 8446 section 4.6.3 */
        peer->asked = out[4] == 1;
        keys_next(peer, TLS_WRITE);
    }
    return type;
}

void evp_peer_seal(struct evp_peer *peer, uint8_t type, const uint8_t *data, uint32_t n, struct rope *wire) {
    static uint8_t content[TLS_RECORD_MAX + 2], record[TLS_RECORD_MAX + 1 + TLS_WIRE_OVERHEAD_MAX];
    bool v13 = peer->suite->version == TLS_V13;
    uint8_t nonce[TLS_NONCE_BYTES], aad[13], outer = v13 ? TLS_CT_DATA : type;
    uint32_t head = TLS_HEADER_BYTES + peer->suite->explicit_bytes;

    memcpy(content, data, n);
    if (v13)
        content[n++] = type;
    uint32_t body = head - TLS_HEADER_BYTES + n + TLS_TAG_BYTES;
    const uint8_t header[5] = {outer, 3, 3, (uint8_t)(body >> 8), (uint8_t)body};
    memcpy(record, header, sizeof(header));
    memcpy(record + TLS_HEADER_BYTES, &peer->seq[TLS_READ], head - TLS_HEADER_BYTES); /* any will do, used once */
    nonce_make(peer, TLS_READ, head > TLS_HEADER_BYTES ? record + TLS_HEADER_BYTES : NULL, nonce);
    uint32_t aad_bytes = aad_make(peer, TLS_READ, outer, v13 ? body : n, aad);
    crypt(peer, TLS_READ, true, nonce, aad, aad_bytes, content, record + head, n, record + head + n);
    peer->seq[TLS_READ]++;
    for (uint32_t at = 0; at < TLS_HEADER_BYTES + body; at += 1400)
        harness_push(wire, record + at, weir_min_u32(1400, TLS_HEADER_BYTES + body - at), false);
}

void evp_peer_update(struct evp_peer *peer, bool ask, struct rope *wire) {
    const uint8_t message[5] = {24, 0, 0, 1, ask};

    evp_peer_seal(peer, TLS_CT_HANDSHAKE, message, sizeof(message), wire);
    peer->asked = false;
    keys_next(peer, TLS_READ);
}
