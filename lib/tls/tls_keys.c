/* SPDX-License-Identifier: BSD-3-Clause */
/* Key schedules: HKDF-Expand-Label of TLS 1.3 (RFC 8446 section 7) and the PRF of TLS 1.2 (RFC 5246 section 5). The
 * functions of libcrypto are fetched once: a fetch takes process-wide locks. */
#include "tls_int.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdlib.h>

struct tls_kdf {
    EVP_KDF_CTX *hkdf, *prf;
};

static EVP_KDF_CTX *context_of(const char *name) {
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, name, NULL);
    EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;

    EVP_KDF_free(kdf); /* the context holds a reference */
    return ctx;
}

struct tls_kdf *tls_kdf_new(void) {
    struct tls_kdf *kdf = calloc(1, sizeof(*kdf));

    if (kdf == NULL)
        return NULL;
    kdf->hkdf = context_of(OSSL_KDF_NAME_HKDF);
    kdf->prf = context_of(OSSL_KDF_NAME_TLS1_PRF);
    if (kdf->hkdf == NULL || kdf->prf == NULL) {
        tls_kdf_free(kdf);
        return NULL;
    }
    return kdf;
}

void tls_kdf_free(struct tls_kdf *kdf) {
    if (kdf == NULL)
        return;
    EVP_KDF_CTX_free(kdf->hkdf);
    EVP_KDF_CTX_free(kdf->prf);
    free(kdf);
}

/* Parameters want pointers they may write through, and do not. */
static OSSL_PARAM digest_param(enum tls_hash hash) {
    const char *name = hash == TLS_SHA256 ? "SHA2-256" : "SHA2-384";

    return OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)name, 0);
}

static OSSL_PARAM bytes_param(const char *name, const uint8_t *data, size_t n) {
    return OSSL_PARAM_construct_octet_string(name, (void *)(uintptr_t)data, n);
}

/* Derive, then forget the secret that the context has copied. */
static int derive(EVP_KDF_CTX *ctx, uint8_t *out, uint32_t n, const OSSL_PARAM *params) {
    int rc = EVP_KDF_derive(ctx, out, n, params) == 1 ? 0 : WEIR_EIO;

    EVP_KDF_CTX_reset(ctx);
    return rc;
}

int tls_kdf_expand_label(struct tls_kdf *kdf, enum tls_hash hash, const uint8_t *secret, const char *label,
                         uint8_t *out, uint32_t n) {
    uint8_t info[64];
    struct span_writer w = span_writer_of(info, sizeof(info));
    size_t label_bytes = strlen(label);

    span_put_u16(&w, (uint16_t)n);
    span_put_u8(&w, (uint8_t)(6 + label_bytes));
    span_put_bytes(&w, "tls13 ", 6);
    span_put_bytes(&w, label, label_bytes);
    span_put_u8(&w, 0); /* no context */
    if (w.failed)
        return WEIR_EINVAL;

    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    const OSSL_PARAM params[] = {
        digest_param(hash),
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        bytes_param(OSSL_KDF_PARAM_KEY, secret, hash),
        bytes_param(OSSL_KDF_PARAM_INFO, info, span_written(&w)),
        OSSL_PARAM_END,
    };
    return derive(kdf->hkdf, out, n, params);
}

int tls_kdf_prf12(struct tls_kdf *kdf, enum tls_hash hash, const uint8_t *secret, uint32_t secret_bytes,
                  const char *label, const uint8_t *seed1, const uint8_t *seed2, uint32_t seed_bytes, uint8_t *out,
                  uint32_t n) {
    const OSSL_PARAM params[] = {
        /* Seeds given several times are joined. */
        digest_param(hash),
        bytes_param(OSSL_KDF_PARAM_SECRET, secret, secret_bytes),
        bytes_param(OSSL_KDF_PARAM_SEED, (const uint8_t *)label, strlen(label)),
        bytes_param(OSSL_KDF_PARAM_SEED, seed1, seed_bytes),
        bytes_param(OSSL_KDF_PARAM_SEED, seed2, seed_bytes),
        OSSL_PARAM_END,
    };
    return derive(kdf->prf, out, n, params);
}

int tls_keys_from_secret(struct tls_kdf *kdf, const struct tls_suite *s, struct tls_dir_keys *keys) {
    keys->seq = 0;
    if (tls_kdf_expand_label(kdf, s->hash, keys->secret, "key", keys->key, s->aead->key_bytes) < 0)
        return WEIR_EIO;
    return tls_kdf_expand_label(kdf, s->hash, keys->secret, "iv", keys->iv, TLS_NONCE_BYTES);
}

int tls_keys_next(struct tls_kdf *kdf, const struct tls_suite *s, struct tls_dir_keys *keys) {
    uint8_t next[TLS_SECRET_MAX];
    int rc = tls_kdf_expand_label(kdf, s->hash, keys->secret, "traffic upd", next, s->hash);

    memcpy(keys->secret, next, s->hash);
    explicit_bzero(next, sizeof(next));
    return rc < 0 ? rc : tls_keys_from_secret(kdf, s, keys);
}

int tls_keys_from_master(struct tls_kdf *kdf, const struct tls_suite *s, const uint8_t *master, uint32_t master_bytes,
                         const uint8_t *client_random, const uint8_t *server_random, struct tls_dir_keys keys[2]) {
    uint8_t block[2 * TLS_KEY_MAX + 2 * TLS_NONCE_BYTES];
    uint32_t key_bytes = s->aead->key_bytes, iv_bytes = s->fixed_iv_bytes;
    int rc = tls_kdf_prf12(kdf, s->hash, master, master_bytes, "key expansion", server_random, client_random, 32, block,
                           2 * (key_bytes + iv_bytes));

    if (rc == 0) { /* client's key, server's key, client's IV, server's IV; AEADs have no MAC keys */
        for (int dir = TLS_READ; dir <= TLS_WRITE; dir++) {
            memcpy(keys[dir].key, block + (uint32_t)dir * key_bytes, key_bytes);
            memcpy(keys[dir].iv, block + 2 * key_bytes + (uint32_t)dir * iv_bytes, iv_bytes);
            keys[dir].seq = 0;
        }
    }
    explicit_bzero(block, sizeof(block));
    return rc;
}
