/* SPDX-License-Identifier: BSD-3-Clause */
/* Certificates of a listener's clients: whom to trust, what is revoked, and who somebody is.
 *
 *   tls_verify.c     which certificates are good, in a full handshake and again when a session is resumed
 *   tls_identity.c   what is kept of a client
 */
#ifndef WEIR_TLS_VERIFY_H
#define WEIR_TLS_VERIFY_H

#include "tls_msg.h"

#include <openssl/ssl.h>

/* Immutable once made; shared by the SSL_CTX of a context, and by those of the next one where its files are refused. */
struct tls_verify;

/* NULL: `error` says why. Where clients are not asked for certificates, it verifies nothing. */
struct tls_verify *tls_verify_new(const struct tls_ctx_config *config, char *error, size_t error_bytes);
struct tls_verify *tls_verify_ref(struct tls_verify *verify);
void tls_verify_unref(struct tls_verify *verify); /* NULL is allowed */
/* Is it of these files, and of the same rules? */
bool tls_verify_is_of(const struct tls_verify *verify, const struct tls_ctx_config *config);
/* What tells apart sessions made under other rules: they are not resumed. */
const uint8_t *tls_verify_mark(const struct tls_verify *verify); /* 32 bytes */
/* Let an SSL_CTX ask clients, and let sessions keep who made them. Returns false: out of memory. */
bool tls_verify_offer(SSL_CTX *ssl, struct tls_verify *verify);
/* Why libssl refused the client's certificate. */
enum tls_drop tls_verify_drop(const SSL *ssl);

/* --- tls_identity.c --- */
/* What the complete handshake says of the client. Returns false: out of memory. *out is NULL where nothing is worth
 * keeping: no certificate, no PSK, and names are not wanted. */
bool tls_identity_new(SSL *ssl, const struct tls_msg *msg, struct tls_identity **out);
void tls_identity_free(struct tls_identity *identity); /* NULL is allowed */

#endif
