/* SPDX-License-Identifier: BSD-3-Clause */
/* A part of libcrypto's heap that is locked and left out of core dumps: for certificates' private keys, and whatever
 * libcrypto makes of one.
 *
 * libcrypto has a secure heap of its own, and does not put all of a key there: the first signature with an RSA key
 * copies both its primes into Montgomery contexts on the ordinary heap, which stay as long as the key. And it would put
 * each handshake's ephemeral key there, under one lock for all threads, and fail the handshake when it is full.
 *
 * So whoever loads a key enters the vault, reads, decodes and signs once, and leaves: all that libcrypto allocates on
 * that thread meanwhile lies in here, for as long as it lives, whoever frees it. Handshakes allocate elsewhere, and pay
 * for a look at a thread's flag and at an address.
 *
 * Grows by VAULT_STEP up to VAULT_MAX and is not given back; what is freed is zeroed and used again. What finds no
 * room, and whatever RLIMIT_MEMLOCK does not allow to lock, is kept all the same, and tls_vault_locked tells. */
#ifndef WEIR_TLS_VAULT_H
#define WEIR_TLS_VAULT_H

#include "../base/base.h"

#define VAULT_STEP (64u << 10)  /* mapped as a whole from the beginning, locked in such steps */
#define VAULT_MAX  (128u << 20) /* several thousand keys, old and new ones during a reload */

/* All of it begins with tls_libssl_guard (tls.h), and any thread may call it. */
/* From now on, or no longer, this thread's allocations of libcrypto lie in the vault. They do not nest. */
void tls_vault_enter(void);
void tls_vault_leave(void);

/* NULL: no room, of which tls_vault_locked tells. Aligned as malloc's. */
void *tls_vault_alloc(size_t bytes);
void tls_vault_free(void *p); /* zeroes it */
bool tls_vault_holds(const void *p);
size_t tls_vault_room(const void *p); /* bytes that p has */

/* Bytes in use, with what each takes beside. */
size_t tls_vault_used(void);

#endif
