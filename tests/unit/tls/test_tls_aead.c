/* SPDX-License-Identifier: BSD-3-Clause */
/* Every AEAD against libcrypto, in one piece and in random pieces, in place and not; nonces and additional data. */
#include "harness.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include <intel-ipsec-mb.h>

struct rig {
    IMB_MGR *mgr;
    struct gcm_key_data expanded __attribute__((aligned(64)));
    uint8_t ctx[320] __attribute__((aligned(64)));
    uint8_t key[32];
    struct tls_op op;
};

static void rig_set(struct rig *r, const struct tls_aead *aead, uint64_t seed) {
    for (size_t i = 0; i < sizeof(r->key); i++)
        r->key[i] = (uint8_t)harness_random(&seed, 256);
    r->op = (struct tls_op){.mgr = r->mgr, .ctx = r->ctx, .key = r->key, .aad_bytes = 5 + harness_random(&seed, 9)};
    for (size_t i = 0; i < 16; i++) {
        r->op.nonce[i] = (uint8_t)harness_random(&seed, 256);
        r->op.aad[i] = (uint8_t)harness_random(&seed, 256);
    }
    if (aead->expand) {
        aead->expand(r->mgr, r->key, &r->expanded);
        r->op.key = &r->expanded;
    }
}

static void reference(const struct tls_suite *s, const struct rig *r, const uint8_t *src, uint32_t n, uint8_t *dst,
                      uint8_t *tag) {
    const EVP_CIPHER *cipher = !s->aead->expand           ? EVP_chacha20_poly1305()
                               : s->aead->key_bytes == 16 ? EVP_aes_128_gcm()
                                                          : EVP_aes_256_gcm();
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int part;

    EVP_EncryptInit_ex(c, cipher, NULL, r->key, r->op.nonce);
    EVP_EncryptUpdate(c, NULL, &part, r->op.aad, (int)r->op.aad_bytes);
    EVP_EncryptUpdate(c, dst, &part, src, (int)n);
    EVP_EncryptFinal_ex(c, dst + part, &part);
    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, tag);
    EVP_CIPHER_CTX_free(c);
}

static void in_pieces(void (*part)(const struct tls_op *, uint8_t *, const uint8_t *, uint32_t),
                      const struct tls_suite *s, struct rig *r, uint8_t *dst, const uint8_t *src, uint32_t n,
                      uint32_t piece_max, uint8_t *tag, uint64_t *seed) {
    s->aead->begin(&r->op);
    for (uint32_t at = 0; at < n;) {
        uint32_t piece = 1 + harness_random(seed, piece_max);
        piece = piece > n - at ? n - at : piece;
        part(&r->op, dst + at, src + at, piece);
        at += piece;
    }
    s->aead->end(&r->op, tag);
}

Test(tls_aead, agrees_with_libcrypto) {
    static uint8_t src[17000], want[17100], got[17100], back[17100];
    static const uint32_t sizes[] = {0,   1,   2,   15,  16,   17,   31,   63,    64,   65,
                                     100, 255, 256, 257, 1000, 1400, 4097, 16384, 16385};
    struct rig *r = aligned_alloc(64, (sizeof(*r) + 63) / 64 * 64);
    uint64_t seed = 42;
    uint8_t want_tag[16], tag[16];

    memset(r, 0, sizeof(*r));
    r->mgr = tls_mgr_new();
    for (size_t i = 0; i < sizeof(src); i++)
        src[i] = (uint8_t)harness_random(&seed, 256);
    for (uint8_t row = 0; row < 3; row++) { /* the 1.3 suites have all three AEADs */
        const struct tls_suite *s = &tls_suites[row];
        for (size_t i = 0; i < WEIR_ARRAY_LEN(sizes); i++) {
            uint32_t n = sizes[i];
            rig_set(r, s->aead, seed + i);
            reference(s, r, src, n, want, want_tag);
            s->aead->seal(&r->op, got, src, n, tag);
            cr_assert_eq(memcmp(got, want, n), 0, "%s seal %u", s->name, n);
            cr_assert(tls_tag_equal(tag, want_tag), "%s seal tag %u", s->name, n);
            s->aead->open(&r->op, back, got, n, tag);
            cr_assert_eq(memcmp(back, src, n), 0, "%s open %u", s->name, n);
            cr_assert(tls_tag_equal(tag, want_tag));
            s->aead->open(&r->op, got, got, n, tag); /* in place */
            cr_assert_eq(memcmp(got, src, n), 0);
            cr_assert(tls_tag_equal(tag, want_tag));
            static const uint32_t pieces[] = {1, 7, 16, 40, 100, 3000};
            for (size_t p = 0; p < WEIR_ARRAY_LEN(pieces); p++) {
                in_pieces(s->aead->seal_part, s, r, got, src, n, pieces[p], tag, &seed);
                cr_assert_eq(memcmp(got, want, n), 0, "%s seal %u in pieces of %u", s->name, n, pieces[p]);
                cr_assert(tls_tag_equal(tag, want_tag), "%s seal tag %u in pieces of %u", s->name, n, pieces[p]);
                in_pieces(s->aead->open_part, s, r, got, got, n, pieces[p], tag, &seed); /* in place */
                cr_assert_eq(memcmp(got, src, n), 0, "%s open %u in pieces of %u", s->name, n, pieces[p]);
                cr_assert(tls_tag_equal(tag, want_tag), "%s open tag %u in pieces of %u", s->name, n, pieces[p]);
            }
        }
    }
    free_mb_mgr(r->mgr);
    free(r);
}

/* Of 256 bytes one message in some seven million is like these: IPsec-MB's AVX512 code without IFMA loses a carry. */
static void expect_last_carry(struct IMB_MGR *mgr, const char *whose) {
    static const uint32_t counters[] = {33538557, 35438521, 42346432, 55539931};
    const struct tls_suite *s = &tls_suites[tls_suite_find(TLS_V13, 0x1303) - 1];
    static struct rig r;
    uint8_t src[256] = {0}, want[256], got[256], want_tag[16], tag[16];

    for (uint8_t i = 0; i < sizeof(r.key); i++)
        r.key[i] = i;
    r.op = (struct tls_op){.mgr = mgr, .ctx = r.ctx, .key = r.key, .aad_bytes = 13};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(counters); i++) {
        memcpy(src, &counters[i], sizeof(counters[i]));
        reference(s, &r, src, sizeof(src), want, want_tag);
        s->aead->seal(&r.op, got, src, sizeof(src), tag);
        cr_expect(tls_tag_equal(tag, want_tag), "seal of %u, %s", counters[i], whose);
        s->aead->open(&r.op, got, want, sizeof(want), tag);
        cr_expect(tls_tag_equal(tag, want_tag), "open of %u, %s", counters[i], whose);
    }
}

Test(tls_aead, tags_that_need_a_last_carry) {
    struct tls_config config = {.max_conns = 8, .pool = harness_pool()};
    struct tls_core core;
    struct tls_engine *engine = tls_engine_new(1);

    cr_assert_eq(tls_core_init(&core, &config), 0);
    expect_last_carry(core.mgr, "records");
    expect_last_carry(engine->mgr, "handover");
    tls_engine_free(engine);
    tls_core_fini(&core);
}

Test(tls_aead, nonces) {
    const struct tls_suite *v13 = &tls_suites[tls_suite_find(TLS_V13, 0x1301) - 1];
    const struct tls_suite *gcm12 = &tls_suites[tls_suite_find(TLS_V12, 0xc02f) - 1];
    const uint8_t iv[12] = {1, 2, 3, 4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe};
    const uint8_t peers[8] = {9, 8, 7, 6, 5, 4, 3, 2};
    struct tls_op op;

    tls_op_set(&op, v13, iv, 0x0102, TLS_CT_DATA, 64, NULL);
    cr_assert_arr_eq(op.nonce, ((const uint8_t[]){1, 2, 3, 4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xfc}), 12);
    cr_assert_eq(op.aad_bytes, 5);
    cr_assert_arr_eq(op.aad, ((const uint8_t[]){23, 3, 3, 0, 64}), 5);
    tls_op_set(&op, gcm12, iv, 3, TLS_CT_DATA, 64, NULL); /* counts on from the explicit nonce of seq 0, and wraps */
    cr_assert_arr_eq(op.nonce, ((const uint8_t[]){1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 1}), 12);
    cr_assert_eq(op.aad_bytes, 13);
    cr_assert_arr_eq(op.aad, ((const uint8_t[]){0, 0, 0, 0, 0, 0, 0, 3, 23, 3, 3, 0, 64}), 13);
    tls_op_set(&op, gcm12, iv, 3, TLS_CT_DATA, 64, peers);
    cr_assert_arr_eq(op.nonce, ((const uint8_t[]){1, 2, 3, 4, 9, 8, 7, 6, 5, 4, 3, 2}), 12);
}

Test(tls_aead, tags_differ_in_any_bit) {
    uint8_t a[16] = {0}, b[16] = {0};

    cr_assert(tls_tag_equal(a, b));
    for (int bit = 0; bit < 128; bit++) {
        b[bit / 8] = (uint8_t)(1 << bit % 8);
        cr_assert_not(tls_tag_equal(a, b));
        b[bit / 8] = 0;
    }
}

Test(tls_aead, suites_are_found_by_version) {
    cr_assert_eq(tls_suite_find(TLS_V12, 0x1301), 0);
    cr_assert_eq(tls_suite_find(TLS_V13, 0xc02f), 0);
    cr_assert_eq(tls_suite_find(TLS_V13, 0x1304), 0); /* CCM stays with libssl */
    cr_assert_eq(tls_suite_find(TLS_V12, 0xc027), 0); /* and CBC */
    for (uint8_t row = 0; row < tls_suites_count; row++)
        cr_assert_eq(tls_suite_find(tls_suites[row].version, tls_suites[row].id), row + 1);
}

Test(tls_aead, suites_under_gcm_say_which) {
    for (uint8_t row = 0; row < tls_suites_count; row++) {
        const struct tls_suite *s = &tls_suites[row];
        uint8_t gcm = s->aead->expand == NULL ? TLS_GCM_NONE : s->aead->key_bytes == 16 ? TLS_GCM_128 : TLS_GCM_256;
        cr_expect_eq(s->gcm, gcm, "%s", s->name);
        cr_expect_eq(s->explicit_bytes, tls_explicit_bytes(s->version == TLS_V13, gcm), "%s", s->name);
    }
}
