/* SPDX-License-Identifier: BSD-3-Clause */
/* Shared by the files of hs13:
 *
 *   hs13.c         cores, places, records in and out: hs13_input
 *   hs13_hello.c   ClientHello, with the binder of a ticket
 *   hs13_server.c  the server's flight, message by message: one table
 *   hs13_keys.c    hashes, HMAC, HKDF, X25519 and the key schedule; tickets */
#ifndef WEIR_HS13_INT_H
#define WEIR_HS13_INT_H

#include "hs13.h"
#include "tls/tls_int.h"

#include <openssl/evp.h>

#define HS13_SHARE_BYTES  32u
#define HS13_HEADER_BYTES 4u     /* of a handshake message */
#define HS13_MESSAGE_MAX  512u   /* a message that is read; certificates are not, they only pass by */
#define HS13_SKIPPED_MAX  65536u /* a certificate chain or a signature */
#define HS13_HELLO_MAX    1280u  /* ClientHello with the longest name and ticket */
#define HS13_CCS_MAX      32u    /* ChangeCipherSpecs in one handshake */

enum hs13_type { /* of handshake messages, RFC 8446 section 4 */
                 HS13_CLIENT_HELLO = 1,
                 HS13_SERVER_HELLO = 2,
                 HS13_NEW_SESSION_TICKET = 4,
                 HS13_ENCRYPTED_EXTENSIONS = 8,
                 HS13_CERTIFICATE = 11,
                 HS13_CERTIFICATE_REQUEST = 13,
                 HS13_CERTIFICATE_VERIFY = 15,
                 HS13_FINISHED = 20
};

enum hs13_extension {
    HS13_EXT_SERVER_NAME = 0,
    HS13_EXT_SUPPORTED_GROUPS = 10,
    HS13_EXT_SIGNATURE_ALGORITHMS = 13,
    HS13_EXT_PRE_SHARED_KEY = 41,
    HS13_EXT_SUPPORTED_VERSIONS = 43,
    HS13_EXT_PSK_KEY_EXCHANGE_MODES = 45,
    HS13_EXT_KEY_SHARE = 51
};

#define HS13_GROUP_X25519 0x001du

/* What the server has to send next; then the own answer, then nothing. */
enum hs13_state {
    HS13_WAIT_SERVER_HELLO,
    HS13_WAIT_ENCRYPTED_EXTENSIONS,
    HS13_WAIT_CERTIFICATE,
    HS13_WAIT_CERTIFICATE_VERIFY,
    HS13_WAIT_FINISHED,
    HS13_ANSWER,
    HS13_DONE,
    HS13_FAILED
};

struct hs13_hash {
    EVP_MD *md; /* fetched once: a fetch takes process-wide locks */
    enum tls_hash bytes;
    uint32_t block_bytes;
    uint8_t of_nothing[TLS_SECRET_MAX];
    uint8_t salt_without_psk[TLS_SECRET_MAX]; /* of the handshake secret, where there is no PSK */
};

struct hs13_core {
    struct pool places;       /* struct hs13 */
    EVP_MD_CTX **transcripts; /* one a place, made at its first use */
    EVP_MD_CTX *scratch;
    struct hs13_hash hashes[2];
    EVP_PKEY *own, *peer; /* X25519; peer's public key is set anew for each handshake */
    EVP_PKEY_CTX *derive;
    uint8_t share[HS13_SHARE_BYTES];
    struct IMB_MGR *mgr;
    struct rte_mempool *pool;
    uint64_t handshakes;   /* begun: their serial numbers */
    uint64_t expanded_for; /* whose key `expanded` is: serial * 2 + direction */
    bool crypto_failed;    /* libcrypto refused something since the last call from outside: out of memory */
    struct gcm_key_data *expanded;
    uint8_t aead_ctx[TLS_AEAD_CTX_BYTES] __attribute__((aligned(WEIR_CACHE_LINE)));
    uint8_t cipher[TLS_RECORD_WIRE_MAX13], plain[TLS_RECORD_WIRE_MAX13]; /* one record in one piece */
};

struct hs13 { /* a place */
    struct hs13_core *core;
    EVP_MD_CTX *transcript;
    const struct tls_suite *suite;
    const struct hs13_hash *hash;
    const char *error;
    uint64_t serial;
    int rc; /* FAILED: what hs13_input returns */
    uint8_t state;
    bool offered, resumed; /* a ticket; and the server took it */
    uint8_t ccs_seen;
    uint32_t skip_bytes;             /* of a message that only passes by */
    uint32_t message_bytes;          /* held of the message under way */
    uint8_t session_id[32];          /* must come back */
    uint8_t secret[TLS_SECRET_MAX];  /* early secret, from ServerHello on the master secret */
    struct tls_dir_keys read, write; /* of the handshake's records */
    uint8_t message[HS13_MESSAGE_MAX];
};
static_assert(sizeof(struct hs13) <= 1024, "budget of a handshake under way");

/* The first failure sticks. Returns rc. `error` is static text. */
int hs13_fail(struct hs13 *hs, int rc, const char *error);

/* --- hs13_hello.c --- */
/* Writes the record into the HS13_HELLO_MAX bytes at `out`, and the message into the transcript. Returns its bytes; 0:
 * server_name is too long. */
uint32_t hs13_hello_write(struct hs13 *hs, const char *server_name, const struct hs13_ticket *ticket, uint64_t now_ms,
                          uint8_t *out);

/* --- hs13_server.c --- */
/* Bytes of handshake messages, from one record. Returns 0 or a failure. */
int hs13_messages(struct hs13 *hs, const uint8_t *data, uint32_t n);
/* The record of an alert. Returns a failure. */
int hs13_alert(struct hs13 *hs, const uint8_t *data, uint32_t n);

/* --- hs13_keys.c: where nothing is returned, failures are in core->crypto_failed --- */
int hs13_keys_init(struct hs13_core *core); /* 0 or WEIR_ENOMEM; hs13_keys_fini in any case */
void hs13_keys_fini(struct hs13_core *core);
const struct hs13_hash *hs13_hash_of(const struct hs13_core *core, const struct tls_suite *suite);
/* Keys are as long as the hash; at most 128 bytes of data. */
void hs13_hmac(struct hs13_core *core, const struct hs13_hash *hash, const uint8_t *key, const uint8_t *data,
               uint32_t n, uint8_t *out);
/* HKDF-Expand-Label(secret, label, context, n), n at most the hash's length (RFC 8446 section 7.1). */
void hs13_expand(struct hs13_core *core, const struct hs13_hash *hash, const uint8_t *secret, const char *label,
                 const uint8_t *context, uint32_t context_bytes, uint8_t *out, uint32_t n);
/* verify_data of a Finished, or a binder, under that base key (RFC 8446 section 4.4.4). */
void hs13_verify_data(struct hs13_core *core, const struct hs13_hash *hash, const uint8_t *base_key,
                      const uint8_t *transcript, uint8_t *out);
void hs13_transcript_begin(struct hs13 *hs);
void hs13_transcript_add(struct hs13 *hs, const uint8_t *data, uint32_t n);
void hs13_transcript_hash(struct hs13 *hs, uint8_t *out); /* so far */
/* ServerHello is in the transcript: handshake keys and the master secret. 0, or WEIR_EINVAL: not a public key. */
int hs13_keys_handshake(struct hs13 *hs, const uint8_t peer_share[HS13_SHARE_BYTES]);

#endif
