/* SPDX-License-Identifier: BSD-3-Clause */
/* Pre-shared keys of a listener's clients (RFC 4279, RFC 8446 section 4.2.11): identities and keys of a file.
 *
 * What is looked up is a salted hash of an identity, so the time it takes tells nothing of those that exist; the names
 * themselves are not kept. An identity that is not known gets a key nobody has: in TLS 1.2 the handshake fails where
 * one with a wrong key does. In TLS 1.3 it does so too where the listener has no certificate to go on with.
 *
 * Memory: locked, not dumped, zeroed when it is given back. Threading: immutable once made; shared by the contexts
 * before and after a reload where the file is refused. */
#ifndef WEIR_TLS_PSK_H
#define WEIR_TLS_PSK_H

#include "tls_msg.h"

#include <openssl/ssl.h>

#define TLS_PSK_KEY_MAX  64u /* bytes */
#define TLS_PSK_KEY_GOOD 16u /* shorter ones can be guessed (RFC 9257 section 6) */

struct tls_psk;

/* A line is identity:key, the key in hex, as mosquitto's psk_file has it; # begins a comment. NULL: `error` names file
 * and line. *weak: keys shorter than TLS_PSK_KEY_GOOD. */
struct tls_psk *tls_psk_new(const char *file, uint32_t *weak, char *error, size_t error_bytes);
struct tls_psk *tls_psk_ref(struct tls_psk *psk);
void tls_psk_unref(struct tls_psk *psk); /* NULL is allowed */
bool tls_psk_is_of(const struct tls_psk *psk, const char *file);
/* The key of an identity into `key`. Returns its bytes; of one that is not known, those of a key that is random, but
 * always the same, and *known is false. 0: libcrypto failed. */
uint32_t tls_psk_find(const struct tls_psk *psk, const uint8_t *identity, size_t n, uint8_t key[TLS_PSK_KEY_MAX],
                      bool *known);
/* What tells the key of an identity from one that it had before, to be kept in sessions that were made with it. Returns
 * false: the identity is not known, or not any more. */
#define TLS_PSK_MARK_BYTES 16u
bool tls_psk_mark(const struct tls_psk *psk, const char *identity, uint8_t mark[TLS_PSK_MARK_BYTES]);
/* Keep the name that a client gave with a message. false: not text of 1 to TLS_PSK_NAME_MAX bytes. */
bool tls_psk_name_keep(struct tls_msg *msg, const uint8_t *identity, size_t n);
/* Let an SSL_CTX whose SSL objects belong to messages use their context's keys. */
void tls_psk_offer(SSL_CTX *ssl);
/* The identity that the handshake uses, an SRP user's name too, or used when the session that it resumes was made; "":
 * none. */
const char *tls_psk_in_use(const SSL *ssl, const struct tls_msg *msg);

#endif
