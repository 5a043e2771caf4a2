/* SPDX-License-Identifier: BSD-3-Clause */
/* How many handshakes each IPv4 address has under way. Bounded: made for `max` addresses, 16 to 32 bytes each. */
#ifndef WEIR_TLS_SOURCE_H
#define WEIR_TLS_SOURCE_H

#include "../base/base.h"

struct tls_sources;
/* At most `limit` handshakes an address, `max` addresses at once. NULL: out of memory. */
struct tls_sources *tls_sources_new(uint32_t limit, uint32_t max);
void tls_sources_free(struct tls_sources *t); /* NULL is allowed */
/* One more of this address. False: it has its limit, or the table its addresses; nothing is counted then. */
bool tls_sources_enter(struct tls_sources *t, uint32_t addr_be);
/* One less; it must have entered. */
void tls_sources_leave(struct tls_sources *t, uint32_t addr_be);
uint32_t tls_sources_count(const struct tls_sources *t, uint32_t addr_be);

#endif
