/* SPDX-License-Identifier: BSD-3-Clause */
/* A minimal TLS 1.3 client handshake (RFC 8446), to load servers with. NOT FOR ANYTHING BUT LOAD:
 *
 *   THE SERVER'S CERTIFICATE AND ITS SIGNATURE ARE NOT VERIFIED: ANYBODY MAY BE AT THE OTHER END. (Its Finished is, so
 *   damage on the way is noticed.)
 *   ONE KEY SHARE IS REUSED BY ALL CONNECTIONS OF A CORE: NO FORWARD SECRECY.
 *
 * X25519 only, no HelloRetryRequest, no client certificate, no early data, no alerts of its own. Suites 0x1301, 0x1302,
 * 0x1303. Records of the handshake by lib/tls's AEADs (IPsec-MB), hashes by libcrypto. What it ends in is given to
 * lib/tls by tls_conn_adopt. hs13_int.h lists the files.
 *
 * Memory: below 1 KB a handshake, and libcrypto's hash state; certificates are hashed as they come and never held.
 * Bytes in (ropes), bytes out (ropes). Not thread-safe: one hs13_core a core. */
#ifndef WEIR_HS13_H
#define WEIR_HS13_H

#include "base/rope.h"
#include "tls/tls.h"

#define HS13_TICKET_MAX 512

struct hs13_core; /* key share, digests, IPsec-MB manager */
struct hs13;      /* a handshake under way */

struct hs13_ticket { /* what a later connection resumes with */
    uint16_t suite;
    uint16_t bytes;
    uint8_t psk_bytes;
    uint8_t psk[48];
    uint32_t age_add, lifetime_s;
    uint64_t received_ms;
    uint8_t ticket[HS13_TICKET_MAX];
};

struct hs13_result {
    struct tls_agreed agreed;      /* for tls_conn_adopt */
    uint8_t resumption_master[48]; /* for hs13_ticket_parse */
    bool resumed;
};

/* max: handshakes at once. NULL: no memory. pool: for the records written. */
struct hs13_core *hs13_core_new(uint32_t max, struct rte_mempool *pool);
void hs13_core_free(struct hs13_core *core); /* and all handshakes under way; NULL is allowed */

/* A handshake for `suite`, resuming `ticket` (psk_dhe_ke) where not NULL; one that has expired or belongs to another
 * hash is not offered. server_name may be NULL. Appends ClientHello to `out`; keeps no pointer. NULL: no place, no
 * mbuf, no such suite, or a name of more than 255 bytes. */
struct hs13 *hs13_new(struct hs13_core *core, uint16_t suite, const char *server_name, const struct hs13_ticket *ticket,
                      uint64_t now_ms, struct rope *out);
/* Take whole records off `in`. 1: done, `out` grew by ChangeCipherSpec and Finished, *result is filled and later
 * records are lib/tls's. 0: more bytes are needed. < 0: WEIR_EINVAL (what the server sent makes no sense or does not
 * authenticate, or an alert; hs13_error says what), WEIR_ENOTSUP (HelloRetryRequest, CertificateRequest, no TLS 1.3),
 * WEIR_EIO (libcrypto): these stick. WEIR_ENOMEM: no mbuf for the answer, call again. WEIR_ESTATE: it was done before.
 */
int hs13_input(struct hs13 *hs, struct rope *in, struct rope *out, struct hs13_result *result);
const char *hs13_error(const struct hs13 *hs); /* static text */
void hs13_free(struct hs13 *hs);               /* wipes its secrets; NULL is allowed */

/* A NewSessionTicket message (handshake header included) of that connection. 0 or WEIR_EINVAL (malformed, too long). */
int hs13_ticket_parse(struct hs13_core *core, const struct hs13_result *of, const uint8_t *message, uint32_t n,
                      uint64_t now_ms, struct hs13_ticket *ticket);

#endif
