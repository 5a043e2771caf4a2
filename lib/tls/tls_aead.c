/* SPDX-License-Identifier: BSD-3-Clause */
/* The AEADs that IPsec-MB carries and the cipher suites made of them: AES-GCM (RFC 5116, 5288, 8446) and
 * ChaCha20-Poly1305 (RFC 8439, 7905). */
#include "tls_int.h"

#include <intel-ipsec-mb.h>

static_assert(sizeof(struct gcm_context_data) <= TLS_AEAD_CTX_BYTES, "GCM state fits");
static_assert(sizeof(struct chacha20_poly1305_context_data) <= TLS_AEAD_CTX_BYTES, "ChaCha20-Poly1305 state fits");
static_assert(offsetof(struct tls_aead_work, ctx) >= sizeof(((struct gcm_key_data *)NULL)->expanded_keys) &&
                  sizeof(struct tls_aead_work) <= sizeof(struct gcm_key_data) - 8 * 16,
              "apart from round keys and from the powers of H that small records need");

/* Poly1305 in AVX512 without IFMA (poly_avx512.asm of IPsec-MB, 1.3 to 2.0.2 at least) puts its accumulator together
 * from limbs of 26 bits with an OR, after a carry that may have left one more bit in the first: about one in seven
 * million calls of 256 bytes and more gives a wrong tag, and the connection is lost. This is one of them; AVX2 uses the
 * scalar code, which is right. (With IFMA the limbs have 44 bits: one in 10^12, which nothing is done about.) */
static bool chacha_carries(const IMB_MGR *mgr) {
    static const uint8_t want[TLS_TAG_BYTES] = {0xdc, 0xc0, 0xc5, 0xff, 0xfb, 0x7f, 0xbc, 0x93,
                                                0x66, 0xfd, 0x98, 0xd0, 0xbf, 0x4d, 0xd0, 0xa3};
    static const uint8_t nonce[TLS_NONCE_BYTES], aad[13];
    struct chacha20_poly1305_context_data ctx;
    uint8_t key[32], text[256] = {0xfd, 0xc1, 0xff, 0x01}, tag[TLS_TAG_BYTES];

    for (uint8_t i = 0; i < sizeof(key); i++)
        key[i] = i;
    IMB_CHACHA20_POLY1305_INIT(mgr, key, &ctx, nonce, aad, sizeof(aad));
    IMB_CHACHA20_POLY1305_ENC_UPDATE(mgr, key, &ctx, text, text, sizeof(text));
    IMB_CHACHA20_POLY1305_ENC_FINALIZE(mgr, &ctx, tag, sizeof(tag));
    return tls_tag_equal(tag, want);
}

static int chacha_mend(IMB_MGR *mgr) {
    if (mgr->used_arch != IMB_ARCH_AVX512 || chacha_carries(mgr))
        return 0;
    IMB_MGR *right = alloc_mb_mgr(0);

    if (right == NULL)
        return WEIR_ENOMEM;
    init_mb_mgr_avx2(right);
    mgr->chacha20_poly1305_init = right->chacha20_poly1305_init;
    mgr->chacha20_poly1305_enc_update = right->chacha20_poly1305_enc_update;
    mgr->chacha20_poly1305_dec_update = right->chacha20_poly1305_dec_update;
    mgr->chacha20_poly1305_finalize = right->chacha20_poly1305_finalize;
    free_mb_mgr(right);
    return 0;
}

struct IMB_MGR *tls_mgr_new(void) {
    IMB_MGR *mgr = alloc_mb_mgr(0);

    if (mgr == NULL)
        return NULL;
    init_mb_mgr_auto(mgr, NULL);
    if (chacha_mend(mgr) < 0) {
        free_mb_mgr(mgr);
        return NULL;
    }
    return mgr;
}

void tls_gcm_calls(const struct IMB_MGR *mgr, tls_gcm_call calls[2][3]) {
    calls[TLS_READ][TLS_GCM_128] = mgr->gcm128_dec;
    calls[TLS_READ][TLS_GCM_256] = mgr->gcm256_dec;
    calls[TLS_WRITE][TLS_GCM_128] = mgr->gcm128_enc;
    calls[TLS_WRITE][TLS_GCM_256] = mgr->gcm256_enc;
}

/* --- AES-GCM: X(bits) --- */
#define GCM(bits)                                                                                                      \
    static void gcm##bits##_expand(struct IMB_MGR *mgr, const uint8_t *key, struct gcm_key_data *out) {                \
        IMB_AES##bits##_GCM_PRE(mgr, key, out);                                                                        \
    }                                                                                                                  \
    static void gcm##bits##_seal(const struct tls_op *op, uint8_t *dst, const uint8_t *src, uint32_t n,                \
                                 uint8_t *tag) {                                                                       \
        IMB_AES##bits##_GCM_ENC(op->mgr, op->key, op->ctx, dst, src, n, op->nonce, op->aad, op->aad_bytes, tag,        \
                                TLS_TAG_BYTES);                                                                        \
    }                                                                                                                  \
    static void gcm##bits##_open(const struct tls_op *op, uint8_t *dst, const uint8_t *src, uint32_t n,                \
                                 uint8_t *tag) {                                                                       \
        IMB_AES##bits##_GCM_DEC(op->mgr, op->key, op->ctx, dst, src, n, op->nonce, op->aad, op->aad_bytes, tag,        \
                                TLS_TAG_BYTES);                                                                        \
    }                                                                                                                  \
    static void gcm##bits##_begin(const struct tls_op *op) {                                                           \
        IMB_AES##bits##_GCM_INIT(op->mgr, op->key, op->ctx, op->nonce, op->aad, op->aad_bytes);                        \
    }                                                                                                                  \
    static void gcm##bits##_seal_part(const struct tls_op *op, uint8_t *dst, const uint8_t *src, uint32_t n) {         \
        IMB_AES##bits##_GCM_ENC_UPDATE(op->mgr, op->key, op->ctx, dst, src, n);                                        \
    }                                                                                                                  \
    static void gcm##bits##_open_part(const struct tls_op *op, uint8_t *dst, const uint8_t *src, uint32_t n) {         \
        IMB_AES##bits##_GCM_DEC_UPDATE(op->mgr, op->key, op->ctx, dst, src, n);                                        \
    }                                                                                                                  \
    static void gcm##bits##_end(const struct tls_op *op, uint8_t *tag) {                                               \
        IMB_AES##bits##_GCM_ENC_FINALIZE(op->mgr, op->key, op->ctx, tag, TLS_TAG_BYTES);                               \
    }                                                                                                                  \
    static const struct tls_aead gcm##bits = {                                                                         \
        .key_bytes = bits / 8,                                                                                         \
        .expand = gcm##bits##_expand,                                                                                  \
        .seal = gcm##bits##_seal,                                                                                      \
        .open = gcm##bits##_open,                                                                                      \
        .begin = gcm##bits##_begin,                                                                                    \
        .seal_part = gcm##bits##_seal_part,                                                                            \
        .open_part = gcm##bits##_open_part,                                                                            \
        .end = gcm##bits##_end,                                                                                        \
    };
GCM(128)
GCM(256)
#undef GCM

/* --- ChaCha20-Poly1305: no expanded key, and one call a step in either form --- */
static void chacha_begin(const struct tls_op *op) {
    IMB_CHACHA20_POLY1305_INIT(op->mgr, op->key, op->ctx, op->nonce, op->aad, op->aad_bytes);
}

static void chacha_seal_part(const struct tls_op *op, uint8_t *dst, const uint8_t *src, uint32_t n) {
    IMB_CHACHA20_POLY1305_ENC_UPDATE(op->mgr, op->key, op->ctx, dst, src, n);
}

static void chacha_open_part(const struct tls_op *op, uint8_t *dst, const uint8_t *src, uint32_t n) {
    IMB_CHACHA20_POLY1305_DEC_UPDATE(op->mgr, op->key, op->ctx, dst, src, n);
}

static void chacha_end(const struct tls_op *op, uint8_t *tag) {
    IMB_CHACHA20_POLY1305_ENC_FINALIZE(op->mgr, op->ctx, tag, TLS_TAG_BYTES);
}

static void chacha_seal(const struct tls_op *op, uint8_t *dst, const uint8_t *src, uint32_t n, uint8_t *tag) {
    chacha_begin(op);
    chacha_seal_part(op, dst, src, n);
    chacha_end(op, tag);
}

static void chacha_open(const struct tls_op *op, uint8_t *dst, const uint8_t *src, uint32_t n, uint8_t *tag) {
    chacha_begin(op);
    chacha_open_part(op, dst, src, n);
    chacha_end(op, tag);
}

static const struct tls_aead chacha = {
    .key_bytes = 32,
    .seal = chacha_seal,
    .open = chacha_open,
    .begin = chacha_begin,
    .seal_part = chacha_seal_part,
    .open_part = chacha_open_part,
    .end = chacha_end,
};

/* --- suites (IANA TLS Cipher Suites); whichever key exchange, the records are the same --- */
#define V13(id, name, aead, gcm, hash)                                                                                 \
    { id, TLS_V13, name, &aead, hash, 0, 12, gcm, 1 }
#define GCM12(id, name, bits, hash)                                                                                    \
    { id, TLS_V12, name, &gcm##bits, hash, 8, 4, TLS_GCM_##bits, 0 }
#define CHACHA12(id, name)                                                                                             \
    { id, TLS_V12, name, &chacha, TLS_SHA256, 0, 12, TLS_GCM_NONE, 0 }

const struct tls_suite tls_suites[] = {
    V13(0x1301, "TLS_AES_128_GCM_SHA256", gcm128, TLS_GCM_128, TLS_SHA256),
    V13(0x1302, "TLS_AES_256_GCM_SHA384", gcm256, TLS_GCM_256, TLS_SHA384),
    V13(0x1303, "TLS_CHACHA20_POLY1305_SHA256", chacha, TLS_GCM_NONE, TLS_SHA256),
    GCM12(0xc02b, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", 128, TLS_SHA256),
    GCM12(0xc02c, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", 256, TLS_SHA384),
    GCM12(0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", 128, TLS_SHA256),
    GCM12(0xc030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", 256, TLS_SHA384),
    GCM12(0x009e, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", 128, TLS_SHA256),
    GCM12(0x009f, "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", 256, TLS_SHA384),
    GCM12(0x009c, "TLS_RSA_WITH_AES_128_GCM_SHA256", 128, TLS_SHA256),
    GCM12(0x009d, "TLS_RSA_WITH_AES_256_GCM_SHA384", 256, TLS_SHA384),
    CHACHA12(0xcca9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
    CHACHA12(0xcca8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
    CHACHA12(0xccaa, "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
    GCM12(0x00a8, "TLS_PSK_WITH_AES_128_GCM_SHA256", 128, TLS_SHA256),
    GCM12(0x00a9, "TLS_PSK_WITH_AES_256_GCM_SHA384", 256, TLS_SHA384),
    GCM12(0x00aa, "TLS_DHE_PSK_WITH_AES_128_GCM_SHA256", 128, TLS_SHA256),
    GCM12(0x00ab, "TLS_DHE_PSK_WITH_AES_256_GCM_SHA384", 256, TLS_SHA384),
    GCM12(0x00ac, "TLS_RSA_PSK_WITH_AES_128_GCM_SHA256", 128, TLS_SHA256),
    GCM12(0x00ad, "TLS_RSA_PSK_WITH_AES_256_GCM_SHA384", 256, TLS_SHA384),
    CHACHA12(0xccab, "TLS_PSK_WITH_CHACHA20_POLY1305_SHA256"),
    CHACHA12(0xccac, "TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256"),
    CHACHA12(0xccad, "TLS_DHE_PSK_WITH_CHACHA20_POLY1305_SHA256"),
    CHACHA12(0xccae, "TLS_RSA_PSK_WITH_CHACHA20_POLY1305_SHA256"),
};
const uint8_t tls_suites_count = WEIR_ARRAY_LEN(tls_suites);

uint8_t tls_suite_find(uint16_t version, uint16_t id) {
    for (uint8_t i = 0; i < tls_suites_count; i++) {
        if (tls_suites[i].version == version && tls_suites[i].id == id)
            return (uint8_t)(i + 1);
    }
    return 0;
}
