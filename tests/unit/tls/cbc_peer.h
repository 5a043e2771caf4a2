/* SPDX-License-Identifier: BSD-3-Clause */
/* Records of a TLS 1.2 client with AES-128-CBC and HMAC-SHA1 (RFC 5246 section 6.2.3.2) of the test's choice: libssl's
 * client sends none that are not in order. */
#ifndef TLS_CBC_PEER_H
#define TLS_CBC_PEER_H

#include "harness.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

enum { CBC_MAC = 20, CBC_KEY = 16, CBC_BLOCK = 16 };

struct cbc_peer {
    uint8_t mac[CBC_MAC], key[CBC_KEY];
    uint64_t seq;
};

/* Continue a client of ECDHE-ECDSA-AES128-SHA without encrypt-then-MAC, behind its Finished. */
static inline void cbc_peer_init(struct cbc_peer *p, const struct harness *h) {
    uint8_t master[48], client_random[32], server_random[32], block[2 * CBC_MAC + CBC_KEY];

    SSL_SESSION_get_master_key(SSL_get_session(h->client), master, sizeof(master));
    SSL_get_client_random(h->client, client_random, sizeof(client_random));
    SSL_get_server_random(h->client, server_random, sizeof(server_random));
    cr_assert_eq(tls_kdf_prf12(h->core.kdf, TLS_SHA256, master, sizeof(master), "key expansion", server_random,
                               client_random, sizeof(client_random), block, sizeof(block)),
                 0);
    memcpy(p->mac, block, CBC_MAC);
    memcpy(p->key, block + 2 * CBC_MAC, CBC_KEY);
    p->seq = 1;
}

/* Returns its length. n <= 64. */
static inline uint32_t cbc_peer_seal(struct cbc_peer *p, uint8_t type, const void *data, uint32_t n, uint8_t *out) {
    const uint32_t padded = (n + CBC_MAC) / CBC_BLOCK * CBC_BLOCK + CBC_BLOCK, body = CBC_BLOCK + padded;
    uint8_t told[13 + 64], plain[128], *iv = out + TLS_HEADER_BYTES;
    uint64_t seq = __builtin_bswap64(p->seq++);
    int done;

    memcpy(told, &seq, 8);
    tls_header_put(told + 8, type, n);
    memcpy(told + 13, data, n);
    memcpy(plain, data, n);
    HMAC(EVP_sha1(), p->mac, CBC_MAC, told, 13 + n, plain + n, NULL);
    memset(plain + n + CBC_MAC, (int)(padded - n - CBC_MAC - 1), padded - n - CBC_MAC);
    tls_header_put(out, type, body);
    memset(iv, 7, CBC_BLOCK);
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    EVP_EncryptInit_ex(cipher, EVP_aes_128_cbc(), NULL, p->key, iv);
    EVP_CIPHER_CTX_set_padding(cipher, 0);
    EVP_EncryptUpdate(cipher, iv + CBC_BLOCK, &done, plain, (int)padded);
    EVP_CIPHER_CTX_free(cipher);
    return TLS_HEADER_BYTES + body;
}

#endif
