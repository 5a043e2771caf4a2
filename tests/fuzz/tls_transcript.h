/* SPDX-License-Identifier: BSD-3-Clause */
/* Real connections as inputs of fuzz_tls_handover and fuzz_tls_record, beside the rows of steps that these also take.
 * tls_transcripts.c makes them anew before each run.
 *
 *   head    1 byte: TRANSCRIPT, and what the fuzzer tells in its first byte
 *   seal    16 bytes of SHA-256 over head and all that follows
 *   claim   2 bytes: how much plaintext comes out, before the peer's close_notify; it counts up, see transcript_counts
 *   keys    fuzz_tls_record alone: of both directions (transcript_keys_*)
 *   blocks  bytes off the wire: their length in 2 bytes, the most a segment holds less 1, and they themselves
 *
 * An input with a good seal is as it was recorded, for the fuzzers have no SHA-256: then all of the claim must hold. Of
 * any other input only what holds for all. With WEIR_FUZZ_GENUINE in the environment there must be no other: so it is
 * known that the seeds are good. */
#ifndef FUZZ_TLS_TRANSCRIPT_H
#define FUZZ_TLS_TRANSCRIPT_H

#include "base/span.h"
#include "tls/tls_int.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>

/* Bits of the head. */
#define TRANSCRIPT         0x40u
#define TRANSCRIPT_SUITE   0x1fu /* of tls_world_suites, or a row of tls_suites */
#define TRANSCRIPT_RESUMED 0x20u /* fuzz_tls_handover */
#define TRANSCRIPT_ASKED   0x80u /* fuzz_tls_handover: for a certificate */
#define TRANSCRIPT_HEARD   0x80u /* fuzz_tls_record: by a client */

#define TRANSCRIPT_SEAL 16u
#define TRANSCRIPT_MAX  (1u << 15)

static inline bool transcript_seal(const uint8_t *data, size_t size, uint8_t seal[TRANSCRIPT_SEAL]) {
    uint8_t digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const size_t body = 1 + TRANSCRIPT_SEAL;
    bool ok = ctx && size >= body && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
              EVP_DigestUpdate(ctx, data, 1) == 1 && EVP_DigestUpdate(ctx, data + body, size - body) == 1 &&
              EVP_DigestFinal_ex(ctx, digest, NULL) == 1;

    EVP_MD_CTX_free(ctx);
    if (ok)
        memcpy(seal, digest, TRANSCRIPT_SEAL);
    return ok;
}

/* Is this transcript as it was recorded? */
static inline bool transcript_genuine(const uint8_t *data, size_t size) {
    uint8_t seal[TRANSCRIPT_SEAL];
    bool genuine = transcript_seal(data, size, seal) && CRYPTO_memcmp(seal, data + 1, sizeof(seal)) == 0;

    if (!genuine && getenv("WEIR_FUZZ_GENUINE"))
        abort();
    return genuine;
}

static inline void transcript_keys_get(struct span *s, struct tls_dir_keys *keys) {
    const uint8_t *p;

    *keys = (struct tls_dir_keys){.seq = span_u8(s)};
    if ((p = span_bytes(s, sizeof(keys->key))))
        memcpy(keys->key, p, sizeof(keys->key));
    if ((p = span_bytes(s, sizeof(keys->iv))))
        memcpy(keys->iv, p, sizeof(keys->iv));
    if ((p = span_bytes(s, sizeof(keys->secret))))
        memcpy(keys->secret, p, sizeof(keys->secret));
}

static inline void transcript_keys_put(struct span_writer *w, const struct tls_dir_keys *keys) {
    span_put_u8(w, (uint8_t)keys->seq);
    span_put_bytes(w, keys->key, sizeof(keys->key));
    span_put_bytes(w, keys->iv, sizeof(keys->iv));
    span_put_bytes(w, keys->secret, sizeof(keys->secret));
}

/* Plaintext counts up from `from`. */
static inline bool transcript_counts(const struct rope *plain, uint32_t from) {
    uint8_t byte;

    for (uint32_t i = 0; i < plain->len_bytes; i++)
        if (rope_copy(plain, i, &byte, 1) != 1 || byte != (uint8_t)(from + i))
            return false;
    return true;
}

#endif
