/* SPDX-License-Identifier: BSD-3-Clause */
/* Users of a listener who prove a password that only they have (SRP, RFC 5054): salts and verifiers of a file that
 * `openssl srp` writes. TLS 1.2 only, with CBC suites only: libssl keeps the records. For devices that know nothing
 * better.
 *
 * A user that is not known is answered with a salt that is always the same for the name and a verifier nobody has a
 * password for (RFC 5054 section 2.5.1.3): the handshake fails where one with a wrong password does.
 *
 * Verifiers, and the copies that a handshake makes of one, lie in the vault (tls_vault.h).
 *
 * Threading: immutable once made; shared by the contexts before and after a reload where the file is refused. */
#ifndef WEIR_TLS_SRP_H
#define WEIR_TLS_SRP_H

#include "tls_psk.h"

#include <openssl/ssl.h>

struct tls_srp;

/* NULL: `error` names the file. */
struct tls_srp *tls_srp_new(const char *file, char *error, size_t error_bytes);
struct tls_srp *tls_srp_ref(struct tls_srp *srp);
void tls_srp_unref(struct tls_srp *srp); /* NULL is allowed */
bool tls_srp_is_of(const struct tls_srp *srp, const char *file);
/* Let an SSL_CTX whose SSL objects belong to messages use their context's users. The name becomes the message's psk. */
void tls_srp_offer(SSL_CTX *ssl);
/* Is the handshake, or was the one that made the session, with SRP? */
bool tls_srp_mark(const struct tls_srp *srp, const char *user, uint8_t mark[TLS_PSK_MARK_BYTES]); /* as tls_psk_mark */
bool tls_srp_in_use(const SSL *ssl);

#endif
