/* SPDX-License-Identifier: BSD-3-Clause */
/* The keys that a listener seals its session tickets with (RFC 5077 section 4, RFC 8446 section 4.6.1).
 *
 *   tls_ticket_keys.c   a set of keys: made at random and replaced by the clock, or read from a file; used by libssl
 *   tls_ticket_file.c   the file
 *
 * One key of a set seals, the others open what was sealed before, or on a machine that has a later file already. All
 * SSL_CTX of a listener share one struct tls_ticket_keys, and so do the contexts before and after a reload: what was
 * sealed before is opened after.
 *
 * Memory: locked, not dumped, zeroed when it is given back. Threading: control makes, reads and ticks; handshakes on
 * any core look keys up meanwhile, without a lock: a set is immutable, and one that was replaced is freed when nobody
 * has been seen looking. */
#ifndef WEIR_TLS_TICKET_KEYS_H
#define WEIR_TLS_TICKET_KEYS_H

#include "tls_msg.h"

#include <openssl/ssl.h>

#define TLS_TICKET_KEYS_MAX   8u     /* of a set */
#define TLS_TICKET_LIFE_MAX_S 604800 /* RFC 8446 section 4.6.1 */
#define TLS_TICKET_ROTATE_S   43200u
#define TLS_TICKETS           1u /* for each connection that a device opens side by side (RFC 8446 appendix C.4) */

struct tls_ticket_key {
    uint8_t name[16];
    uint8_t hmac[32], aes[32];
    uint8_t bytes; /* of each: 16 or 32 */
};

struct tls_ticket_set {
    uint32_t n, seals; /* keys, and which of them seals */
    struct tls_ticket_key keys[TLS_TICKET_KEYS_MAX];
};

struct tls_ticket_keys;

/* Of a file, or without one (NULL) at random. NULL: `error` says why. */
struct tls_ticket_keys *tls_ticket_keys_new(const char *file, uint32_t rotate_s, char *error, size_t error_bytes);
struct tls_ticket_keys *tls_ticket_keys_ref(struct tls_ticket_keys *keys);
void tls_ticket_keys_unref(struct tls_ticket_keys *keys); /* NULL is allowed */
/* Are they of this file (NULL: at random), and replaced at this pace? */
bool tls_ticket_keys_are(const struct tls_ticket_keys *keys, const char *file, uint32_t rotate_s);
/* The file again. false: `error` says why, and the keys stay as they are. */
bool tls_ticket_keys_read(struct tls_ticket_keys *keys, char *error, size_t error_bytes);
/* Replace random keys whose time has come. */
void tls_ticket_keys_tick(struct tls_ticket_keys *keys, uint64_t now_us);
/* The present set, which stays as it is until one looks away; on any core. */
const struct tls_ticket_set *tls_ticket_set_look(struct tls_ticket_keys *keys);
void tls_ticket_set_look_away(struct tls_ticket_keys *keys);
/* Let an SSL_CTX whose SSL objects belong to messages seal so many tickets a handshake with their context's keys. */
void tls_ticket_keys_offer(SSL_CTX *ssl, uint32_t tickets, uint32_t rotate_s);

/* --- tls_ticket_file.c --- */
/* One key a line in base64, the newest last. false: `error` names file and line. */
bool tls_ticket_file_read(const char *file, struct tls_ticket_set *set, char *error, size_t error_bytes);

#endif
