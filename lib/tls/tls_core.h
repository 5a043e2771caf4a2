/* SPDX-License-Identifier: BSD-3-Clause */
/* What one worker owns of lib/tls, laid out so that struct worker can hold it by value. Nobody outside lib/tls looks
 * inside. */
#ifndef WEIR_TLS_CORE_H
#define WEIR_TLS_CORE_H

#include "tls.h"
#include "tls_admission.h"

/* Bytes of an established connection. Every connection has a struct tls_conn; suites with 256-bit keys or 384-bit
 * secrets have a struct tls_ext on top. */
#define TLS_CONN_BYTES 160u
#define TLS_EXT_BYTES  64u

#define TLS_AEAD_CTX_BYTES 320u

/* Where the AEAD works, at the start of a page. Its context has no offset within a page in common with what a small
 * record reads of an expanded key, the front and the end of a kilobyte: the CPU would take these loads for ones of what
 * was stored there just before, which costs 13 cycles a record. */
struct tls_aead_work {
    uint8_t apart[384];
    uint8_t ctx[TLS_AEAD_CTX_BYTES];
};

struct IMB_MGR;
struct gcm_context_data;
struct gcm_key_data;
struct rte_ring;
struct tls_keycache;
struct tls_kdf;

/* IPsec-MB's call that seals or opens under AES-GCM. */
typedef void (*tls_gcm_call)(const struct gcm_key_data *key, struct gcm_context_data *ctx, uint8_t *dst,
                             const uint8_t *src, uint64_t n, const uint8_t *nonce, const uint8_t *aad,
                             uint64_t aad_bytes, uint8_t *tag, uint64_t tag_bytes);

struct tls_core {
    struct pool conns;  /* struct tls_conn: keys of one connection */
    struct pool exts;   /* struct tls_ext: the rest of long keys */
    struct pool places; /* struct tls_msg: one an SSL object, so its capacity bounds them */
    struct IMB_MGR *mgr;
    tls_gcm_call gcm[2][3];     /* of mgr: by enum tls_dir and enum tls_gcm */
    struct tls_keycache *cache; /* expanded GCM keys */
    struct tls_kdf *kdf;        /* for KeyUpdate */
    struct pool clients;        /* struct tls_client: what clients have beside */
    struct pool tickets;        /* struct rope: NewSessionTickets that came in part */
    void (*ticket)(void *ctx, uint32_t user, const uint8_t *message, uint32_t n); /* struct tls_config says what for */
    void *ticket_ctx;
    struct rte_mempool *pool;
    uint32_t mbuf_room; /* payload bytes of a fresh mbuf of `pool` */
    struct tls_admission admission;
    bool (*gone)(void *ctx, uint32_t user, bool reset); /* struct tls_config says what for */
    void *gone_ctx;
    tls_id lingering_first; /* clients whose SSL objects wait for tickets, the oldest first */
    tls_id lingering_last;
    uint64_t now_us;                  /* as the owner told last */
    uint64_t gcm_record_limit;        /* records under one GCM key (RFC 8446 section 5.5) */
    struct tls_identity **identities; /* by id; most have none, and their pages are never touched */
    uint64_t *alive;                  /* a bit a connection: which ids are in use */
    uint32_t max_places;              /* this core's share of the engine's SSL objects */
    struct tls_engine *engine;
    struct rte_ring *requests, *completions;
    bool run_inline;
    struct tls_stats stats;
    /* Not on the stack, so that what the AEAD leaves behind is overwritten by the next record, and guarded as keys are.
     */
    struct tls_aead_work *work;
    bool unlocked; /* not all that holds keys is locked in memory */
};

#endif
