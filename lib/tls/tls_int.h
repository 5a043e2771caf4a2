/* SPDX-License-Identifier: BSD-3-Clause */
/* Shared inside lib/tls: the state of a connection, suites and their AEADs, keys, and the steps of the files. */
#ifndef WEIR_TLS_INT_H
#define WEIR_TLS_INT_H

#include "tls_core.h"
#include "tls_keycache.h"

#include "../base/span.h"

#include <smmintrin.h>
#include <string.h>

#define TLS_HEADER_BYTES      5u
#define TLS_TAG_BYTES         16u
#define TLS_NONCE_BYTES       12u
#define TLS_KEY_MAX           32u
#define TLS_SECRET_MAX        48u
#define TLS_RECORD_WIRE_MAX   (TLS_RECORD_MAX + 2048u) /* header excluded, any version (RFC 5246 section 6.2.3) */
#define TLS_RECORD_WIRE_MAX13 (TLS_RECORD_MAX + 256u)  /* RFC 8446 section 5.2 */
#define TLS_GCM_RECORD_LIMIT  23726566ull              /* 2^24.5, RFC 8446 section 5.5 */
#define TLS_CCM_RECORD_LIMIT  (1ull << 23)             /* RFC 9147 section 4.5.3 */
#define TLS_UPDATE_PATIENCE   (1ull << 20)             /* records beyond it, for a peer that was asked for a new key */
#define TLS_CLIENT_BITS       26
#define TLS_EMPTY_RUN_MAX     32u
#define TLS_WARNING_RUN_MAX   4u
#define TLS_UPDATE_RUN_MAX    32u
#define TLS_REKEY_COST        2048u          /* of a turn's budget, in bytes that could have been opened instead */
#define TLS_TICKET_MAX        TLS_RECORD_MAX /* a NewSessionTicket with its header, in however many records */
#define TLS_TICKETS_PARTIAL   255u           /* of one core's that have come in part at a time */

enum tls_content { TLS_CT_CCS = 20, TLS_CT_ALERT = 21, TLS_CT_HANDSHAKE = 22, TLS_CT_DATA = 23 };
enum tls_alert { /* as on the wire */
#define X(name, number) TLS_ALERT_##name = (number),
#include "tls_alerts.def"
#undef X
};
enum { TLS_V12 = 0x0303, TLS_V13 = 0x0304 };

/* --- tls_aead.c: AEADs over IPsec-MB and the suites that use them --- */

/* A manager for the calls below; free_mb_mgr() ends it. NULL: out of memory. */
struct IMB_MGR *tls_mgr_new(void);
/* Its calls for a record under AES-GCM, by enum tls_dir and enum tls_gcm. */
void tls_gcm_calls(const struct IMB_MGR *mgr, tls_gcm_call calls[2][3]);

struct tls_op { /* one record under way */
    struct IMB_MGR *mgr;
    const void *key; /* struct gcm_key_data where the AEAD expands its key, else the raw key */
    void *ctx;       /* core->work->ctx */
    uint8_t nonce[16] __attribute__((aligned(16)));
    uint8_t aad[16] __attribute__((aligned(16)));
    uint32_t aad_bytes;
};

struct tls_aead {
    uint8_t key_bytes;
    /* Expand a raw key; NULL where the raw key is used as it is. */
    void (*expand)(struct IMB_MGR *mgr, const uint8_t *key, struct gcm_key_data *out);
    /* A whole record in one piece; dst may be src. `tag` is written in both directions: the caller compares. */
    void (*seal)(const struct tls_op *op, uint8_t *dst, const uint8_t *src, uint32_t n, uint8_t *tag);
    void (*open)(const struct tls_op *op, uint8_t *dst, const uint8_t *src, uint32_t n, uint8_t *tag);
    /* A record in pieces: begin, parts, end. */
    void (*begin)(const struct tls_op *op);
    void (*seal_part)(const struct tls_op *op, uint8_t *dst, const uint8_t *src, uint32_t n);
    void (*open_part)(const struct tls_op *op, uint8_t *dst, const uint8_t *src, uint32_t n);
    void (*end)(const struct tls_op *op, uint8_t *tag);
};

enum tls_gcm { TLS_GCM_NONE, TLS_GCM_128, TLS_GCM_256 };
enum tls_hash { TLS_SHA256 = 32, TLS_SHA384 = 48 }; /* the value is the hash's length in bytes */

struct tls_suite {
    uint16_t id; /* as on the wire */
    uint16_t version;
    const char *name;
    const struct tls_aead *aead;
    enum tls_hash hash;
    uint8_t explicit_bytes; /* of the nonce, in front of each record: 8 in TLS 1.2 GCM (RFC 5288), else 0 */
    uint8_t fixed_iv_bytes; /* of the nonce, from the key block: 4 there, else 12 */
    uint8_t gcm;            /* enum tls_gcm; under these keys wear out after gcm_record_limit records */
    uint8_t inner_bytes;    /* 1.3: the type behind the plaintext */
};
extern const struct tls_suite tls_suites[];
extern const uint8_t tls_suites_count;
/* Row number + 1 of a suite that IPsec-MB can take over; 0: none. */
uint8_t tls_suite_find(uint16_t version, uint16_t id);

/* explicit_bytes of such a suite, without a look at the table. */
static inline uint32_t tls_explicit_bytes(bool v13, uint8_t gcm) {
    return v13 || gcm == TLS_GCM_NONE ? 0 : 8;
}

/* Bytes of a record beside header and plaintext: explicit nonce, inner type, tag. */
static inline uint32_t tls_suite_overhead(const struct tls_suite *s) {
    return s->explicit_bytes + s->inner_bytes + TLS_TAG_BYTES;
}

/* The five bytes in front of a record with n bytes behind them, the first on the wire in the lowest byte. */
static inline uint64_t tls_header(uint8_t type, uint32_t n) {
    const uint64_t version = TLS_V12 >> 8 | (TLS_V12 & 0xff) << 8;

    return type | version << 8 | (uint64_t)__builtin_bswap16((uint16_t)n) << 24;
}

static inline void tls_header_put(uint8_t *p, uint8_t type, uint32_t n) {
    const uint64_t header = tls_header(type, n);

    memcpy(p, &header, 4);
    p[4] = (uint8_t)(header >> 32);
}

/* Is this the header? Eight bytes of a record are there to be read. */
static inline bool tls_header_is(const uint8_t *p, uint8_t type, uint32_t n) {
    uint64_t first;

    memcpy(&first, p, sizeof(first));
    return (first ^ tls_header(type, n)) << 24 == 0;
}

/* Sixteen bytes in one store: the cipher loads them as one vector right away, and the CPU forwards a store to a load
 * only where one store covers it. */
static inline void tls_store_16(uint8_t p[16], uint64_t low, uint64_t high) {
    typedef uint64_t pair __attribute__((vector_size(16), aligned(16), may_alias));

    *(pair *)(void *)p = (pair){low, high};
}

/* RFC 8446 section 5.3, RFC 7905 section 2: the counter, its first byte the most significant, folded into the last
 * eight of the IV. */
static inline void tls_nonce_fold(uint8_t nonce[16], const uint8_t iv[TLS_NONCE_BYTES], uint64_t seq) {
    const __m128i turned = _mm_setr_epi8(-1, -1, -1, -1, 7, 6, 5, 4, 3, 2, 1, 0, -1, -1, -1, -1);
    int last;

    memcpy(&last, iv + 8, sizeof(last));
    __m128i whole = _mm_insert_epi32(_mm_loadl_epi64((const __m128i *)(const void *)iv), last, 2);
    __m128i counter = _mm_shuffle_epi8(_mm_cvtsi64_si128((long long)seq), turned);
    _mm_store_si128((__m128i *)(void *)nonce, _mm_xor_si128(whole, counter));
}

/* RFC 5288 section 3: the salt, and eight bytes that the record carries. Of a peer's record these are
 * `explicit_nonce`; of our own, libssl's first one lies behind the salt, and counting on from it keeps every nonce
 * unique. */
static inline void tls_nonce_explicit(uint8_t nonce[16], const uint8_t iv[TLS_NONCE_BYTES], uint64_t seq,
                                      const uint8_t *explicit_nonce) {
    uint32_t salt;
    uint64_t rest;

    memcpy(&salt, iv, sizeof(salt));
    memcpy(&rest, explicit_nonce ? explicit_nonce : iv + sizeof(salt), sizeof(rest));
    if (explicit_nonce == NULL)
        rest = __builtin_bswap64(__builtin_bswap64(rest) + seq);
    tls_store_16(nonce, salt | rest << 32, rest >> 32);
}

/* Nonce and additional data of record `seq`. `n` is the length the AAD speaks of: ciphertext and tag in 1.3, plaintext
 * in 1.2. `explicit_nonce` (8 bytes) only for reading with suites that carry one. `v13`: is the suite one of 1.3?
 * `gcm`: of the suite. Where the caller has asked before, what the others need is not compiled in. */
static inline void tls_op_set_as(struct tls_op *op, bool v13, uint8_t gcm, const uint8_t iv[TLS_NONCE_BYTES],
                                 uint64_t seq, uint8_t type, uint32_t n, const uint8_t *explicit_nonce) {
    if (tls_explicit_bytes(v13, gcm) == 0)
        tls_nonce_fold(op->nonce, iv, seq);
    else
        tls_nonce_explicit(op->nonce, iv, seq, explicit_nonce);
    if (v13) { /* RFC 8446 section 5.2: the header alone */
        tls_store_16(op->aad, tls_header(type, n), 0);
        op->aad_bytes = TLS_HEADER_BYTES;
    } else { /* RFC 5246 section 6.2.3.3 */
        tls_store_16(op->aad, __builtin_bswap64(seq), tls_header(type, n));
        op->aad_bytes = 8 + TLS_HEADER_BYTES;
    }
}

static inline void tls_op_set(struct tls_op *op, const struct tls_suite *s, const uint8_t iv[TLS_NONCE_BYTES],
                              uint64_t seq, uint8_t type, uint32_t n, const uint8_t *explicit_nonce) {
    tls_op_set_as(op, s->version == TLS_V13, s->gcm, iv, seq, type, n, explicit_nonce);
}

/* Constant in time. */
static inline bool tls_tag_equal(const uint8_t *a, const uint8_t *b) {
    __m128i x = _mm_loadu_si128((const __m128i *)(const void *)a);
    __m128i differ = _mm_xor_si128(x, _mm_loadu_si128((const __m128i *)(const void *)b));

    return _mm_testz_si128(differ, differ);
}

/* --- tls_keys.c: key schedule --- */
struct tls_kdf;
struct tls_kdf *tls_kdf_new(void);
void tls_kdf_free(struct tls_kdf *kdf);
/* HKDF-Expand-Label(secret, label, "", n), RFC 8446 section 7.1. Returns 0 or WEIR_EIO. */
int tls_kdf_expand_label(struct tls_kdf *kdf, enum tls_hash hash, const uint8_t *secret, const char *label,
                         uint8_t *out, uint32_t n);
/* The TLS 1.2 PRF, RFC 5246 section 5, seed = seed1 | seed2. Returns 0 or WEIR_EIO. */
int tls_kdf_prf12(struct tls_kdf *kdf, enum tls_hash hash, const uint8_t *secret, uint32_t secret_bytes,
                  const char *label, const uint8_t *seed1, const uint8_t *seed2, uint32_t seed_bytes, uint8_t *out,
                  uint32_t n);

struct tls_dir_keys { /* one direction, before it is packed into a connection */
    uint64_t seq;
    uint8_t key[TLS_KEY_MAX];
    uint8_t iv[TLS_NONCE_BYTES];
    uint8_t secret[TLS_SECRET_MAX]; /* 1.3 */
};
/* Key and IV of keys->secret; seq becomes 0. Returns 0 or WEIR_EIO. */
int tls_keys_from_secret(struct tls_kdf *kdf, const struct tls_suite *s, struct tls_dir_keys *keys);
/* The secret of the next epoch (RFC 8446 section 7.2) and its key and IV. Returns 0 or WEIR_EIO. */
int tls_keys_next(struct tls_kdf *kdf, const struct tls_suite *s, struct tls_dir_keys *keys);
/* Both directions of a TLS 1.2 key block (RFC 5246 section 6.3). Returns 0 or WEIR_EIO. */
int tls_keys_from_master(struct tls_kdf *kdf, const struct tls_suite *s, const uint8_t *master, uint32_t master_bytes,
                         const uint8_t *client_random, const uint8_t *server_random, struct tls_dir_keys keys[2]);

/* --- the state of a connection --- */
enum tls_phase { TLS_PHASE_NEW, TLS_PHASE_HANDSHAKE, TLS_PHASE_OPEN, TLS_PHASE_LIBSSL, TLS_PHASE_DEAD, TLS_PHASES };

enum tls_flag {
    TLS_F_WAITING = 1,      /* in a queue of tls_admission.h */
    TLS_F_IN_FLIGHT = 2,    /* the place is with the engine */
    TLS_F_READ_CLOSED = 4,  /* close_notify came */
    TLS_F_WRITE_CLOSED = 8, /* close_notify went */
    TLS_F_RESUMED = 16,
    TLS_F_UPDATE_OWED = 32,  /* the peer asked for a KeyUpdate: it goes out before our next data, as one for them all */
    TLS_F_UPDATE_ASKED = 64, /* we asked the peer for one in this epoch */
    TLS_F_CLOSE_OWED = 128,  /* close_notify waits for libssl */
};

struct tls_hs_state { /* a connection before it has keys */
    struct tls_ctx *ctx;
    uint32_t next, prev; /* in the queue of its class (tls_admission.h) */
    uint64_t since_us;   /* its hello was whole, or it came to its present message */
    uint32_t hello;      /* index in admission.hellos, 0: none there */
    uint32_t source_be;  /* the client's address; 0: not told */
    uint8_t queue;       /* enum tls_class: which one it is in */
    uint8_t refused;     /* enum tls_drop: it will not begin, or not go on; 0: it may */
    bool large;          /* it waits with its hello in buffers */
    bool counted;        /* among its address's handshakes */
};

/* With a cached expanded key a record touches the first line alone. */
struct tls_conn {
    uint32_t user;
    uint32_t client : TLS_CLIENT_BITS;    /* index in core->clients, 0: none, or none any more */
    uint32_t read_way : 3, write_way : 3; /* of the key cache, where the expanded keys were put last */
    union {
        uint32_t place; /* HANDSHAKE, LIBSSL: index in core->places, 0: none */
        uint32_t ext;   /* OPEN: index in core->exts, 0: none */
    };
    uint8_t epoch[2]; /* of the keys, modulo 256; by enum tls_dir, as everything that follows */
    union {
        uint16_t record_max; /* OPEN: plaintext bytes of a record of ours, at most (tls_record_size.c) */
        uint16_t alerted;    /* DEAD: enum tls_alerted, what the peer ended it with */
    };
    uint8_t phase;
    uint8_t suite; /* row + 1 of tls_suites; 0: none of them */
    uint8_t flags;
    union {
        uint8_t drop;   /* DEAD: why */
        uint8_t ticket; /* OPEN: index in core->tickets of a NewSessionTicket that came in part, 0: none */
    };
    uint32_t empty_run : 6, warning_run : 3, update_run : 6; /* records of these kinds in a row */
    uint32_t fragment_code : 3; /* max_fragment_length as negotiated (RFC 6066 section 4); 0: TLS_RECORD_MAX */
    uint32_t is_client : 1;     /* our side's role */
    uint32_t identified : 1;    /* core->identities says who it is */
    uint32_t lingers : 1;       /* OPEN: its SSL object waits for tickets (tls_linger.c) */
    uint32_t burst : 5;         /* records of one segment since the last pause (tls_record_size.c) */
    uint32_t burst_tick : 6;    /* when the last one of a burst was sent */
    uint64_t seq[2];
    uint8_t iv[2][TLS_NONCE_BYTES];
    uint8_t key[TLS_KEY_MAX]; /* 128-bit keys: both; else the read key, and the write key in the ext */
    union {
        uint8_t secret[2][32]; /* OPEN, TLS 1.3: the first 32 bytes */
        struct tls_hs_state hs;
    };
};
static_assert(sizeof(struct tls_conn) == TLS_CONN_BYTES, "budget of a connection with 128-bit keys");
static_assert(offsetof(struct tls_conn, key) == WEIR_CACHE_LINE, "what every record needs lies in one line");

struct tls_ext {
    uint8_t key[TLS_KEY_MAX]; /* write */
    uint8_t secret[2][16];    /* bytes 32 to 47 of the secrets */
};
static_assert(sizeof(struct tls_ext) == TLS_EXT_BYTES, "budget of what longer keys add");
static_assert(TLS_CONN_BYTES + TLS_EXT_BYTES == 224, "budget of a connection with longer keys");

static inline bool tls_conn_alive(const struct tls_core *core, tls_id id) {
    return core->alive[id / 64] >> id % 64 & 1;
}

static inline struct tls_conn *tls_conn_get(const struct tls_core *core, tls_id id) {
    WEIR_ASSERT_HOT(tls_conn_alive(core, id));
    return pool_get_sized(&core->conns, id, sizeof(struct tls_conn));
}

static inline const struct tls_suite *tls_conn_suite(const struct tls_conn *c) {
    return &tls_suites[c->suite - 1];
}

/* Plaintext bytes a record of the peer's may hold. */
static inline uint32_t tls_conn_read_max(const struct tls_conn *c) {
    return c->fragment_code ? 256u << c->fragment_code : TLS_RECORD_MAX;
}

/* --- tls_conn.c --- */
struct tls_turn { /* arguments of one tls_input */
    struct tls_core *core;
    struct tls_conn *c;
    tls_id id;
    struct rope *wire_in, *plain, *wire_out;
    uint32_t budget_bytes;
    uint32_t spent_bytes;
    int verdict;              /* bits so far */
    enum tls_alerted alerted; /* by the peer, last */
};
/* A zeroed connection in phase NEW, without a context. Returns its id, or 0 (pool empty). */
tls_id tls_conn_alloc(struct tls_core *core, uint32_t user);

/* --- tls_client.c --- */
struct tls_client { /* what a client's connection has beside, until its session is taken or given up */
    char server_name[TLS_NAME_MAX + 1]; /* "": none */
    tls_session *offer;                 /* to be resumed; until the handshake begins */
    tls_session *session;               /* made, and not taken yet */
    /* OPEN: the SSL object that lingers */
    uint32_t place; /* index in core->places, 0: none (any more) */
    bool in_flight; /* it is with the engine */
    tls_id prev, next;
    uint64_t since_us;
    struct rope note;  /* the record just taken, as it came */
    struct rope queue; /* records with tickets, for when the engine is done with those before */
};
static inline struct tls_client *tls_client_of(const struct tls_core *core, const struct tls_conn *c) {
    return pool_get(&core->clients, c->client);
}
/* Give back what is kept for nothing: no session, and none to come. */
void tls_client_tidy(struct tls_core *core, struct tls_conn *c);
/* The connection ends. */
void tls_client_leave(struct tls_core *core, struct tls_conn *c);

/* --- tls_linger.c --- */
/* Remember the record of n bytes in front of `wire`, before it is decrypted where it lies. */
void tls_linger_note(struct tls_core *core, struct tls_conn *c, const struct rope *wire, uint32_t n);
/* It held tickets, whole or in part, and nothing else: libssl shall have it. */
void tls_linger_feed(struct tls_core *core, struct tls_conn *c);
/* No more of them; what the engine has is awaited. Nothing happens where nothing lingers. */
void tls_linger_end(struct tls_core *core, struct tls_conn *c);
/* Somebody needs a place: the one that lingers longest makes room. */
void tls_linger_yield(struct tls_core *core);

/* --- tls_ticket.c --- */
/* Take NewSessionTickets off the front of a handshake record's content; what is left begins with another message.
 * Returns 0 or minus an enum tls_drop. */
int tls_tickets_take(struct tls_turn *t, struct rope *content);
void tls_ticket_forget(struct tls_core *core, struct tls_conn *c);

/* --- tls_core.c: packing keys into a connection --- */
/* The record layer takes over: phase OPEN with these keys of suite `row` (row + 1 of tls_suites). Returns 0 or
 * WEIR_ENOMEM. */
int tls_conn_open(struct tls_core *core, struct tls_conn *c, uint8_t row, const struct tls_dir_keys keys[2]);
/* Is the state of this suite the large one? */
bool tls_suite_needs_ext(const struct tls_suite *s);
const uint8_t *tls_conn_key(const struct tls_core *core, const struct tls_conn *c, enum tls_dir dir);
void tls_conn_keys_store(struct tls_core *core, struct tls_conn *c, enum tls_dir dir, const struct tls_dir_keys *keys);
void tls_conn_secret_load(const struct tls_core *core, const struct tls_conn *c, enum tls_dir dir,
                          uint8_t secret[TLS_SECRET_MAX]);
static inline uint64_t tls_conn_key_name(const struct tls_conn *c, tls_id id, enum tls_dir dir) {
    return tls_keycache_name(id, dir, c->epoch[dir]);
}
/* Forget the expanded key of a direction's present epoch. */
void tls_conn_key_evict(struct tls_core *core, struct tls_conn *c, tls_id id, enum tls_dir dir);
/* The key of a direction as its AEAD wants it, where that is not in the cache: expanded anew, or as it is. */
const void *tls_conn_key_expand(struct tls_core *core, struct tls_conn *c, tls_id id, enum tls_dir dir);
/* Next epoch of one direction (KeyUpdate); the old key is gone. Returns 0 or WEIR_EIO. */
int tls_conn_rekey(struct tls_core *core, struct tls_conn *c, tls_id id, enum tls_dir dir);
/* Zero all keys of an OPEN connection, here and in the cache, and give back its ext. */
void tls_conn_keys_wipe(struct tls_core *core, struct tls_conn *c, tls_id id);

/* --- tls_secret.c --- */
/* Zeroed pages that are left out of core dumps, and locked; *locked becomes false where RLIMIT_MEMLOCK forbids it.
 * NULL: out of memory. */
void *tls_secret_alloc(size_t bytes, bool *locked);
void tls_secret_free(void *p, size_t bytes); /* zeroes them; NULL is allowed */

/* The key for records of this direction; good until that of another one is asked for. `gcm`: the suite's. */
static inline const void *tls_conn_key_find(struct tls_core *core, struct tls_conn *c, tls_id id, enum tls_dir dir,
                                            uint8_t gcm) {
    const void *key = NULL;

    if (WEIR_LIKELY(gcm))
        key =
            tls_keycache_find(core->cache, tls_conn_key_name(c, id, dir), dir == TLS_READ ? c->read_way : c->write_way);
    return WEIR_LIKELY(key != NULL) ? key : tls_conn_key_expand(core, c, id, dir);
}

/* One record of this direction, for the calls of struct tls_aead: key, nonce and additional data; the arguments of
 * tls_op_set_as. */
static inline void tls_op_begin(struct tls_op *op, struct tls_core *core, struct tls_conn *c, tls_id id,
                                enum tls_dir dir, const struct tls_suite *s, bool v13, uint8_t type, uint32_t n,
                                const uint8_t *explicit_nonce) {
    op->mgr = core->mgr;
    op->ctx = core->work->ctx;
    op->key = tls_conn_key_find(core, c, id, dir, s->gcm);
    tls_op_set_as(op, v13, s->gcm, c->iv[dir], c->seq[dir], type, n, explicit_nonce);
}

/* A whole record in one piece, as open and seal of struct tls_aead, once op->key and tls_op_set_as have said under
 * what. Under GCM IPsec-MB is called right from here. */
static inline void tls_op_crypt(struct tls_op *op, const struct tls_core *core, const struct tls_suite *s, uint8_t gcm,
                                enum tls_dir dir, uint8_t *dst, const uint8_t *src, uint32_t n, uint8_t *tag) {
    if (WEIR_LIKELY(gcm)) {
        core->gcm[dir][gcm](op->key, (struct gcm_context_data *)(void *)core->work->ctx, dst, src, n, op->nonce,
                            op->aad, op->aad_bytes, tag, TLS_TAG_BYTES);
        return;
    }
    op->mgr = core->mgr;
    op->ctx = core->work->ctx;
    (dir == TLS_READ ? s->aead->open : s->aead->seal)(op, dst, src, n, tag);
}

/* Take the first mbuf off a rope. */
static inline struct rte_mbuf *tls_rope_pop(struct rope *r) {
    struct rte_mbuf *m = r->head;

    if (WEIR_LIKELY(r->mbufs == 1)) { /* m->next lies in another cache line */
        *r = (struct rope){0};
        return m;
    }
    r->head = m->next;
    m->next = NULL;
    r->len_bytes -= m->data_len;
    r->mbufs--;
    return m;
}

/* --- tls_record.c --- */
struct tls_frame { /* the record at the front of a rope */
    uint8_t type;
    uint16_t version;
    uint32_t body_bytes; /* behind the header */
};
/* Returns 1 and fills `f` where a whole record lies there, 0 where more bytes are needed, or minus an enum tls_drop.
 * `body_max`: longest body allowed. */
static inline int tls_frame_peek(const struct rope *wire, uint32_t body_max, struct tls_frame *f) {
    uint8_t scratch[TLS_HEADER_BYTES];
    const uint8_t *header = scratch;

    if (wire->len_bytes < TLS_HEADER_BYTES)
        return 0;
    if (WEIR_LIKELY(wire->head->data_len >= TLS_HEADER_BYTES))
        header = rte_pktmbuf_mtod(wire->head, const uint8_t *);
    else
        rope_copy(wire, 0, scratch, TLS_HEADER_BYTES);
    f->type = header[0];
    f->version = (uint16_t)(header[1] << 8 | header[2]);
    f->body_bytes = (uint32_t)header[3] << 8 | header[4];
    /* Judged as soon as the header is there: nobody has to send the rest of what will be refused. */
    if (WEIR_UNLIKELY(f->type < TLS_CT_CCS || f->type > TLS_CT_DATA))
        return -TLS_DROP_BAD_TYPE;
    if (WEIR_UNLIKELY(f->version >> 8 != 3))
        return -TLS_DROP_BAD_VERSION;
    if (WEIR_UNLIKELY(f->body_bytes > body_max))
        return -TLS_DROP_RECORD_OVERFLOW;
    return wire->len_bytes >= TLS_HEADER_BYTES + f->body_bytes;
}
/* Open the record `f` off `wire`. Its plaintext (in 1.3: inner plaintext, type and padding) is in `out`, which was
 * empty, with the tag verified and the sequence number advanced. Returns 0, TLS_NO_MBUF (nothing taken) or minus an
 * enum tls_drop. */
#define TLS_NO_MBUF 1
int tls_record_open(struct tls_core *core, struct tls_conn *c, tls_id id, const struct tls_frame *f, struct rope *wire,
                    struct rope *out);
/* Open a record of `bytes` bytes, header and all, that lies in one piece, with `key` (tls_conn_key_find) to `to`: where
 * its ciphertext is, or apart from it. They are enough for header, explicit nonce and tag. Returns whether the tag
 * fits: else nobody may see what it was decrypted to. */
static inline bool tls_record_open_at(struct tls_core *core, struct tls_conn *c, const struct tls_suite *s, bool v13,
                                      uint8_t gcm, const void *key, uint8_t type, const uint8_t *record, uint32_t bytes,
                                      uint8_t *to) {
    uint32_t explicit_bytes = tls_explicit_bytes(v13, gcm),
             n = bytes - TLS_HEADER_BYTES - explicit_bytes - TLS_TAG_BYTES;
    const uint8_t *body = record + TLS_HEADER_BYTES, *text = body + explicit_bytes;
    uint8_t tag[TLS_TAG_BYTES];
    struct tls_op op;

    op.key = key;
    tls_op_set_as(&op, v13, gcm, c->iv[TLS_READ], c->seq[TLS_READ], type, v13 ? n + TLS_TAG_BYTES : n, body);
    tls_op_crypt(&op, core, s, gcm, TLS_READ, to, text, n, tag);
    if (WEIR_UNLIKELY(!tls_tag_equal(tag, text + n)))
        return false;
    c->seq[TLS_READ]++;
    core->stats.records_opened++;
    return true;
}
/* Cut the rope to its first n bytes. */
void tls_rope_truncate(struct rope *r, uint32_t n);

/* --- tls_record_size.c --- */
#define TLS_SMALL_BYTES 4096u /* so much goes out as one record, whatever came before */
/* What a handshake agreed on: max_fragment_length (RFC 6066 section 4, 0: none) and what the peer said it takes
 * (record_size_limit, RFC 8449; 0: nothing). */
void tls_record_size_set(struct tls_conn *c, uint8_t fragment_code, uint16_t record_limit);
/* Plaintext bytes of the next record of a burst; of which tls_seal says what a segment is. */
uint32_t tls_record_size_next(const struct tls_core *core, struct tls_conn *c, uint32_t segment_bytes);

/* --- tls_seal.c --- */
/* Seal the first n bytes of `plain` as one record of type `type` behind `wire`. Returns 0 or WEIR_ENOMEM (nothing
 * taken). Checks no limit. */
int tls_record_seal(struct tls_core *core, struct tls_conn *c, tls_id id, uint8_t type, struct rope *plain, uint32_t n,
                    struct rope *wire);
/* The same for a few bytes (at most 64) of alert or handshake. */
int tls_record_seal_bytes(struct tls_core *core, struct tls_conn *c, tls_id id, uint8_t type, const uint8_t *data,
                          uint32_t n, struct rope *wire);
/* Send a KeyUpdate and move to the next write key. Returns 0, WEIR_ENOMEM (nothing done) or WEIR_EIO. */
int tls_key_update_send(struct tls_core *core, struct tls_conn *c, tls_id id, bool ask_peer, struct rope *wire);

/* --- tls_sink.c: where ciphertext or plaintext is written --- */
struct tls_sink {
    struct rope out;
    struct rte_mbuf *spare; /* chain of mbufs taken beforehand, so that nothing can fail half way */
    uint32_t room;          /* bytes that may be written behind out.tail */
    uint32_t spare_room;    /* of a fresh mbuf */
};
struct tls_sink_plan { /* the same walk, only counting */
    uint32_t room, spares, spare_room;
};
static inline void tls_plan_bytes(struct tls_sink_plan *p, uint32_t n) {
    if (n > p->room) {
        uint32_t more = (n - p->room + p->spare_room - 1) / p->spare_room;
        p->spares += more;
        p->room += more * p->spare_room;
    }
    p->room -= n;
}
/* Returns 0 or WEIR_ENOMEM. */
int tls_sink_init(struct tls_sink *s, const struct tls_core *core, uint32_t spares);
/* Link a private mbuf whose bytes are, or will be, transformed in place. */
void tls_sink_link(struct tls_sink *s, struct rte_mbuf *m);
/* Room for up to n bytes behind what is there: *n becomes how many; they count as written. */
uint8_t *tls_sink_room(struct tls_sink *s, uint32_t *n);
void tls_sink_write(struct tls_sink *s, const void *data, uint32_t n);
/* Free spares that were not needed. */
void tls_sink_done(struct tls_sink *s);

/* --- tls_alert.c --- */
/* What an alert of an OPEN connection means. Returns verdict bits or minus an enum tls_drop. */
int tls_alert_in(struct tls_turn *t, const uint8_t *body, uint32_t n);
/* Append the alert that belongs to a drop, where keys or the lack of any allow one. */
void tls_alert_for_drop(struct tls_core *core, struct tls_conn *c, tls_id id, enum tls_drop drop, struct rope *wire);
int tls_drop_alert(enum tls_drop d);
/* One came or went. */
enum tls_alerted tls_alerted_of(uint8_t description);
static inline void tls_alert_count(struct tls_core *core, enum tls_dir dir, uint8_t description) {
    core->stats.alerts[dir][tls_alerted_of(description)]++;
}

/* --- tls_hello.c --- */
/* Does the ClientHello whose first record `wire` begins with hope to resume a session? */
bool tls_hello_resumes(const struct rope *wire);

/* --- tls_admission.c --- */
/* May this handshake begin? TLS_STEP_AGAIN: yes, and it has a place; TLS_STEP_STOP: it waits; or minus the enum
 * tls_drop that refuses it. `wire` begins with the hello's first record, which may move to a place of its own. */
int tls_admission_ask(struct tls_core *core, struct tls_conn *c, tls_id id, struct rope *wire);
/* The hello that was kept while it waited, to `in`. Returns whether there was one (then it is gone from here), or
 * WEIR_ENOMEM: ask again. */
int tls_admission_hello(struct tls_core *core, struct tls_conn *c, struct rope *in);
/* Expire, refuse and begin; the users of those that tls_input should be called for. Returns how many (at most max). */
uint32_t tls_admission_run(struct tls_core *core, uint32_t *news, uint32_t max);
/* Does anybody wait, to begin or to be refused? */
static inline bool tls_admission_waits(const struct tls_core *core) {
    const struct tls_queue *q = core->admission.queue;

    return q[TLS_CLASS_CLIENT].n + q[TLS_CLASS_RESUMED].n + q[TLS_CLASS_FULL].n + q[TLS_CLASS_REFUSED].n > 0;
}
/* It ends before or during its handshake; it has ended its handshake. */
void tls_admission_leave(struct tls_core *core, struct tls_conn *c);
void tls_admission_done(struct tls_core *core, struct tls_conn *c);
/* Its client was answered, and is to speak. `moved`: the next message, not more of the one that was awaited before. */
void tls_admission_answered(struct tls_core *core, struct tls_conn *c, tls_id id, bool moved);
/* Does somebody wait for an SSL object? */
bool tls_admission_wants_place(const struct tls_core *core);
/* Is nobody left to shake hands with? `reset`: as struct tls_config says. */
static inline bool tls_client_gone(const struct tls_core *core, const struct tls_conn *c, bool reset) {
    return core->gone && !c->is_client && core->gone(core->gone_ctx, c->user, reset);
}

/* --- tls_handshake.c --- */
/* What the phases do with the next record; each returns one of these or minus an enum tls_drop. */
enum tls_step { TLS_STEP_STOP, TLS_STEP_AGAIN };
int tls_step_new(struct tls_turn *t);
int tls_step_handshake(struct tls_turn *t);
int tls_step_libssl(struct tls_turn *t);
/* Seal and close where libssl carries the records. */
int tls_libssl_seal(struct tls_core *core, struct tls_conn *c, struct rope *plain, struct rope *wire,
                    uint32_t max_bytes);
int tls_libssl_close(struct tls_core *core, struct tls_conn *c, struct rope *wire);
/* The owner lets go of a handshake that is not complete; its client is too slow: count what it cost. */
void tls_handshake_abandon(struct tls_core *core, const struct tls_conn *c);
void tls_handshake_lost(struct tls_core *core, const struct tls_conn *c);
/* Leave the list of those that wait, give back or cancel the place, drop the reference on the context. */
void tls_handshake_leave(struct tls_core *core, struct tls_conn *c, tls_id id);

#endif
