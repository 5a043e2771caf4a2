/* SPDX-License-Identifier: BSD-3-Clause */
/* The other end of a connection's records, made of OpenSSL's EVP and a key schedule of its own: nothing of it is shared
 * with what it tests. */
#ifndef TLS_EVP_PEER_H
#define TLS_EVP_PEER_H

#include "tls/tls_msg.h"

/* Directions are seen from the connection that is tested: TLS_WRITE is what the peer opens. */
struct evp_peer {
    const struct tls_suite *suite;
    uint8_t secret[2][TLS_SECRET_MAX]; /* 1.3 */
    uint8_t key[2][TLS_KEY_MAX], iv[2][TLS_NONCE_BYTES];
    uint64_t seq[2];
    bool asked;     /* a KeyUpdate that asked for ours came */
    uint32_t limit; /* the longest plaintext that was opened */
};

/* 1.3: from keys[].secret and seq; 1.2: from keys[].key and iv. */
void evp_peer_init(struct evp_peer *peer, const struct tls_suite *suite, const struct tls_dir_keys keys[2]);
/* Open the record in front of `wire`, at most TLS_RECORD_MAX + 256 bytes of content into `out`. Follows KeyUpdates.
 * Returns its content type, or -1: it does not open. */
int evp_peer_open(struct evp_peer *peer, struct rope *wire, uint8_t *out, uint32_t *n);
/* Append a record of n bytes, at most TLS_RECORD_MAX + 1, in mbufs of a segment each. */
void evp_peer_seal(struct evp_peer *peer, uint8_t type, const uint8_t *data, uint32_t n, struct rope *wire);
/* Append a KeyUpdate, and seal with the next key from there on. */
void evp_peer_update(struct evp_peer *peer, bool ask, struct rope *wire);

#endif
