/* SPDX-License-Identifier: BSD-3-Clause */
/* The key schedules against published vectors. */
#include "harness.h"

/* RFC 8448 section 3: secrets of the simple 1-RTT handshake and their keys. */
static const uint8_t server_secret[32] = {0xa1, 0x1a, 0xf9, 0xf0, 0x55, 0x31, 0xf8, 0x56, 0xad, 0x47, 0x11,
                                          0x6b, 0x45, 0xa9, 0x50, 0x32, 0x82, 0x04, 0xb4, 0xf4, 0x4b, 0xfb,
                                          0x6b, 0x3a, 0x4b, 0x4f, 0x1f, 0x3f, 0xcb, 0x63, 0x16, 0x43};
static const uint8_t server_key[16] = {0x9f, 0x02, 0x28, 0x3b, 0x6c, 0x9c, 0x07, 0xef,
                                       0xc2, 0x6b, 0xb9, 0xf2, 0xac, 0x92, 0xe3, 0x56};
static const uint8_t server_iv[12] = {0xcf, 0x78, 0x2b, 0x88, 0xdd, 0x83, 0x54, 0x9a, 0xad, 0xf1, 0xe9, 0x84};

Test(tls_keys, rfc8448_application_keys) {
    struct tls_kdf *kdf = tls_kdf_new();
    struct tls_dir_keys keys = {.seq = 5};

    memcpy(keys.secret, server_secret, sizeof(server_secret));
    cr_assert_eq(tls_keys_from_secret(kdf, &tls_suites[tls_suite_find(TLS_V13, 0x1301) - 1], &keys), 0);
    cr_assert_arr_eq(keys.key, server_key, sizeof(server_key));
    cr_assert_arr_eq(keys.iv, server_iv, sizeof(server_iv));
    cr_assert_eq(keys.seq, 0);
    tls_kdf_free(kdf);
}

Test(tls_keys, next_secret_is_another_and_repeatable) {
    struct tls_kdf *kdf = tls_kdf_new();

    for (uint8_t row = 0; row < tls_suites_count; row++) {
        struct tls_dir_keys a = {0}, b = {0}, before;
        if (tls_suites[row].version != TLS_V13)
            continue;
        memset(a.secret, 7, sizeof(a.secret));
        memset(b.secret, 7, sizeof(b.secret));
        cr_assert_eq(tls_keys_from_secret(kdf, &tls_suites[row], &a), 0);
        before = a;
        cr_assert_eq(tls_keys_next(kdf, &tls_suites[row], &a), 0);
        cr_assert_eq(tls_keys_next(kdf, &tls_suites[row], &b), 0);
        cr_assert_arr_eq(a.secret, b.secret, tls_suites[row].hash);
        cr_assert_arr_eq(a.key, b.key, tls_suites[row].aead->key_bytes);
        cr_assert_arr_neq(a.secret, before.secret, tls_suites[row].hash);
        cr_assert_arr_neq(a.key, before.key, tls_suites[row].aead->key_bytes);
        cr_assert_arr_neq(a.iv, before.iv, TLS_NONCE_BYTES);
    }
    tls_kdf_free(kdf);
}

/* The published P_SHA256 vector of the TLS 1.2 PRF. */
Test(tls_keys, prf12_vector) {
    static const uint8_t secret[16] = {0x9b, 0xbe, 0x43, 0x6b, 0xa9, 0x40, 0xf0, 0x17,
                                       0xb1, 0x76, 0x52, 0x84, 0x9a, 0x71, 0xdb, 0x35};
    static const uint8_t seed[16] = {0xa0, 0xba, 0x9f, 0x93, 0x6c, 0xda, 0x31, 0x18,
                                     0x27, 0xa6, 0xf7, 0x96, 0xff, 0xd5, 0x19, 0x8c};
    static const uint8_t want[16] = {0xe3, 0xf2, 0x29, 0xba, 0x72, 0x7b, 0xe1, 0x7b,
                                     0x8d, 0x12, 0x26, 0x20, 0x55, 0x7c, 0xd4, 0x53};
    struct tls_kdf *kdf = tls_kdf_new();
    uint8_t out[16];

    cr_assert_eq(
        tls_kdf_prf12(kdf, TLS_SHA256, secret, sizeof(secret), "test label", seed, seed + 8, 8, out, sizeof(out)), 0);
    cr_assert_arr_eq(out, want, sizeof(want));
    tls_kdf_free(kdf);
}

Test(tls_keys, key_block_is_cut_in_order) {
    struct tls_kdf *kdf = tls_kdf_new();
    uint8_t master[48], client[32], server[32], block[40];
    struct tls_dir_keys keys[2] = {0};

    memset(master, 1, sizeof(master));
    memset(client, 2, sizeof(client));
    memset(server, 3, sizeof(server));
    const struct tls_suite *s = &tls_suites[tls_suite_find(TLS_V12, 0xc02f) - 1];
    cr_assert_eq(tls_keys_from_master(kdf, s, master, sizeof(master), client, server, keys), 0);
    tls_kdf_prf12(kdf, TLS_SHA256, master, sizeof(master), "key expansion", server, client, 32, block, sizeof(block));
    cr_assert_arr_eq(keys[TLS_READ].key, block, 16);
    cr_assert_arr_eq(keys[TLS_WRITE].key, block + 16, 16);
    cr_assert_arr_eq(keys[TLS_READ].iv, block + 32, 4);
    cr_assert_arr_eq(keys[TLS_WRITE].iv, block + 36, 4);
    tls_kdf_free(kdf);
}

Test(tls_keys, overlong_label_is_refused) {
    struct tls_kdf *kdf = tls_kdf_new();
    uint8_t secret[48] = {1}, out[16];

    cr_assert_eq(tls_kdf_expand_label(kdf, TLS_SHA256, secret,
                                      "a label of more than fifty characters does not fit in here", out, 16),
                 WEIR_EINVAL);
    tls_kdf_free(kdf);
}
