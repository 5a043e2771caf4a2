/* SPDX-License-Identifier: BSD-3-Clause */
/* lib/tls: TLS 1.2 and 1.3, in both roles. libssl shakes hands, IPsec-MB carries the records. Bytes in (ropes), bytes
 * out (ropes); knows nothing of TCP, packets or sessions of MQTT.
 *
 *   server:  tls_ctx_new, tls_conn_new           begins with the peer's ClientHello
 *   client:  tls_client_ctx_new, tls_client_new  begins with the first tls_input, which needs no bytes (tls_client.c)
 *   either:  tls_conn_adopt                      the handshake was made elsewhere (tls_adopt.c)
 *
 *   before:  tls_input frames whole records off the `wire` rope and posts them, one outstanding at a time, as messages
 *            (tls_msg.h) to a handshake engine (tls_engine.c: owns the SSL objects); tls_poll runs the inline engine a
 *            bounded number of times a turn, or drains the completions of a handshake core
 *   order:   a connection asks for its turn when its hello is whole (tls_admission.c); those that hope to resume come
 *            before full ones, the newest before the oldest under overload, and what is too much is refused cheaply
 *   handover (tls_handover.c): application secrets come from the keylog callback (1.3) or master secret and randoms
 *            (1.2); a server's write sequence number is learned by opening libssl's own last output records, a client's
 *            is 0 in 1.3, as its Finished goes out under handshake keys; keys and sequence numbers come back in the
 *            completion and the SSL object is freed
 *   tickets: a client of 1.3 gets NewSessionTickets afterwards (tls_ticket.c), and only libssl makes sessions of them.
 *            So its SSL object lingers (tls_linger.c), until the first application record or for a second, and gets
 *            records with tickets as well. In 1.2 the session is there with the end of the handshake
 *   after:   tls_record.c opens, tls_seal.c seals, tls_record_size.c says how much at a time; suites are a vtable over
 *            IPsec-MB (tls_aead.c); raw keys lie in the flow's state (160 B; with 256-bit keys or SHA-384 64 B more),
 *            expanded GCM keys in a per-core cache (tls_keycache.c)
 *   again:   a server's tickets carry sessions, sealed with keys that are replaced by the clock or shared by a fleet,
 *            and outlive a reload (tls_ticket_keys.h)
 *   or:      a suite that IPsec-MB does not carry (CBC, CCM; only if configured) stays with libssl: its records go
 *            through the engine, and the connection keeps its place among the SSL objects
 *
 * RFC 8446 (TLS 1.3; 5.1 records, 5.5 limits, 4.6.3 KeyUpdate, 6.1 close_notify), RFC 5246 and 5288, 7905 (TLS 1.2
 * AEAD), RFC 8448 test vectors.
 *
 * Records are opened where they lie: fragments whose mbuf is private and wholly inside the record are decrypted in
 * place (header and tag trimmed off), the others into fresh mbufs. No plaintext of a record is released before its tag
 * is verified.
 *
 * Memory: state objects from POOL_SECRET pools, what else holds keys in pages like theirs (tls_secret.c), private keys
 * of certificates as well, wherever libcrypto allocates for them (tls_vault.h, tls_pair.c); no SSL object of a server
 * before the first full record has arrived; about 370 bytes more of a client until its session is taken or
 * given up; ropes only while data waits.
 *
 * Limits: handshake messages, certificate chains among them, of at most 16 KB (tls_limits.c); record of at most 16,384
 * + 256 (2,048 in 1.2) bytes of ciphertext; 32 empty records, 4 warning alerts, 32 KeyUpdates or tickets in a row
 * (where libssl carries the records 32 that hold no data, and one more for each 16 KB of it, or each minute);
 * however many KeyUpdates ask for ours, one goes out, before our next data (RFC 8446 4.6.3), so that a peer that takes
 * nothing gets no answers piled up; a KeyUpdate must fill a record of its own or follow tickets; a ticket of at most
 * 16,384 bytes, in however many records; renegotiation refused.
 *
 * Threading: a tls_core belongs to one worker. struct tls_ctx is immutable and may be shared. */
#ifndef WEIR_TLS_H
#define WEIR_TLS_H

#include "../base/base.h"
#include "../base/pool.h"
#include "../base/rope.h"

typedef uint32_t tls_id; /* 0: none */

#define TLS_RECORD_MAX        16384u /* plaintext bytes */
#define TLS_WIRE_OVERHEAD_MAX 64u    /* header, explicit nonce, tag, type: at most */

/* --- contexts: certificates and policy of a listener, or how to meet servers; made by control, used by workers --- */
struct tls_ctx;
struct tls_certificate_config {
    const char *certificate_file; /* PEM: own certificate, then its chain */
    const char *key_file;         /* PEM, unencrypted */
    const char *const *names;     /* of servers it is for, "*.example.com" too; n_names 0: those in the certificate */
    uint32_t n_names;
    const char *ocsp_file; /* DER response to be stapled; NULL: none */
};
enum tls_told { TLS_TOLD_WARNING, TLS_TOLD_REFUSED /* what the files held before serves on */ };
enum tls_alt_name { /* kinds of a certificate's alternative names (RFC 5280 4.2.1.6) */
                    TLS_ALT_DNS,
                    TLS_ALT_EMAIL,
                    TLS_ALT_URI,
                    TLS_ALT_NAMES
};
enum tls_client_certificates { /* whether clients are asked for one */
                               TLS_CLIENT_CERTIFICATES_OFF,
                               TLS_CLIENT_CERTIFICATES_OPTIONAL, /* but what they show must be good */
                               TLS_CLIENT_CERTIFICATES_REQUIRED
};
#define TLS_CLIENT_DEPTH 4
struct tls_ctx_config {
    const char *name;
    const char *certificate_file, *key_file;           /* the first certificate, the short way; NULL: the first below */
    const struct tls_certificate_config *certificates; /* any number of any key types; the first is the default */
    uint32_t n_certificates;
    bool strict_sni;           /* a client that names no server, or one that is not here, is refused */
    uint16_t min_version;      /* 0x0303 or 0x0304; 0: 0x0303 */
    const char *ciphers;       /* TLS 1.2 list, OpenSSL syntax; NULL: ECDHE AEAD suites */
    const char *ciphersuites;  /* TLS 1.3 list; NULL: the default three */
    const char *groups;        /* list, OpenSSL syntax; NULL: X25519:P-256:P-384 */
    const int *security_level; /* 0 to 5, see SSL_CTX_set_security_level(3); NULL: libssl's */
    const char *const *alpn;   /* protocols in order of preference (RFC 7301); n_alpn 0: not spoken */
    uint32_t n_alpn;
    /* Clients' certificates (tls_verify.h). */
    enum tls_client_certificates client_certificates;
    const char *client_ca_file;  /* PEM: whom to trust; required unless it is off */
    const char *client_crl_file; /* PEM: CRLs of each of these CAs; NULL: nothing is revoked */
    const int *client_depth;     /* most intermediate certificates; NULL: TLS_CLIENT_DEPTH */
    bool tell_names;             /* keep what server name and protocol a client asked for (tls_conn_identity) */
    uint32_t keep_alt_names;     /* of its certificate, bits 1 << enum tls_alt_name */
    bool keep_certificate;       /* itself */
    const char *psk_file; /* clients' pre-shared keys (tls_psk.h); with it there may be no certificate; NULL: none */
    const char *srp_file; /* clients' SRP verifiers (tls_srp.h); with it, too; NULL: none */
    const char *key_log_file; /* keys of all connections are appended, for wireshark; NULL: nowhere */
    /* Session tickets (tls_ticket_keys.h). */
    const uint32_t *tickets;      /* a handshake of 1.3, at most 4; 0: none, not in 1.2 either; NULL: 1 */
    const char *ticket_keys_file; /* shared by a fleet; NULL: keys at random */
    uint32_t ticket_rotate_s;     /* random keys are replaced, and tickets are good for twice as long; 0: 12 h */
    /* The context that this one replaces, or NULL. Files that are refused now and were not then are told of, and what
     * they held serves on. */
    const struct tls_ctx *old;
    void (*told)(void *arg, enum tls_told what, const char *text); /* during tls_ctx_new; NULL: nobody listens */
    void *told_arg;
};
/* NULL on failure; then `error` (NUL-terminated) begins with the key of the configuration at fault, and says what is
 * wrong with which file and what to do. */
struct tls_ctx *tls_ctx_new(const struct tls_ctx_config *config, char *error, size_t error_bytes);

/* A certificate that a context serves, or shows as a client; lives as long as that. */
struct tls_cert_info {
    const char *certificate_file;
    const char *const *names; /* folded to lower case */
    uint32_t n_names;
    char key_type[48];                          /* "EC P-256", "RSA 2048" */
    char issuer[256];                           /* RFC 2253 */
    char serial[64];                            /* hex */
    uint8_t fingerprint[32];                    /* SHA-256 */
    int64_t not_before_s, not_after_s, since_s; /* seconds since 1970; since: loaded first, whatever was reloaded */
    int64_t ocsp_next_update_s;                 /* until when a response is stapled; 0: none is */
};
/* The i-th one in the configuration's order; NULL: no more. */
const struct tls_cert_info *tls_ctx_cert(const struct tls_ctx *ctx, uint32_t i);

/* How a client meets its servers. */
struct tls_client_ctx_config {
    const char *name;
    bool verify_off;              /* any server will do; else its chain and name must be right */
    const char *ca_file;          /* PEM, whom to trust; NULL: the system's list */
    const char *certificate_file; /* own PEM chain and key, for servers that ask; NULL: none */
    const char *key_file;
    uint16_t min_version; /* these as above */
    const char *ciphers;
    const char *ciphersuites;
    const struct tls_ctx *old; /* what this one replaces, or NULL: tells since when a certificate is in use */
};
/* As tls_ctx_new. */
struct tls_ctx *tls_client_ctx_new(const struct tls_client_ctx_config *config, char *error, size_t error_bytes);
/* Seconds until the first of its certificates expires; negative: it has; INT64_MAX: it has none. */
int64_t tls_ctx_expires_in_s(const struct tls_ctx *ctx);
/* What a listener's context does by the clock: replace ticket keys. About once a second; control only. */
void tls_ctx_tick(struct tls_ctx *ctx, uint64_t now_us);
void tls_ctx_ref(struct tls_ctx *ctx); /* atomic */
void tls_ctx_unref(struct tls_ctx *ctx);
/* Does anybody hold it beside the caller, who has one reference? */
bool tls_ctx_shared(const struct tls_ctx *ctx);

/* --- a worker's TLS --- */
enum tls_drop { /* why a connection was ended by TLS; X(NAME, alert number sent or -1, text) in tls_drops.def */
                TLS_DROP_NONE,
#define X(name, alert, text) TLS_DROP_##name,
#include "tls_drops.def"
#undef X
                TLS_DROP_COUNT
};
const char *tls_drop_name(enum tls_drop d);
const char *tls_drop_text(enum tls_drop d);
bool tls_drop_is_refusal(enum tls_drop d); /* a handshake refused before it began: there is too much to do */

/* Directions, seen from this side. */
enum tls_dir { TLS_READ, TLS_WRITE };

enum tls_alerted { /* what an alert says; X(NAME, number on the wire) in tls_alerts.def */
                   TLS_ALERTED_OTHER,
#define X(name, number) TLS_ALERTED_##name,
#include "tls_alerts.def"
#undef X
                   TLS_ALERTED_COUNT
};
const char *tls_alerted_name(enum tls_alerted a); /* "unknown_ca" */

/* X(name, what it counts in a sentence): monotonic counters */
/* clang-format off */
#define TLS_COUNTERS(X)                                                                                                \
    X(handshakes_started, "Handshakes begun.")                                                                         \
    X(handshakes_done, "Handshakes completed.")                                                                        \
    X(handshakes_failed, "Handshakes that failed.")                                                                    \
    X(handshakes_resumed, "Handshakes completed that resumed a session.")                                              \
    X(handshakes_tls12, "Handshakes completed in TLS 1.2, where the client has no 1.3.")                               \
    X(handshakes_queued, "Handshakes that had to wait for their turn.")                                                \
    X(handshakes_refused, "Handshakes refused before they began, by limits or because they had waited too long.")     \
    X(handshakes_spared, "Handshakes given up before their expensive step: the client had gone, or was too slow.")     \
    X(handshakes_wasted, "Handshakes whose client went, or was too slow, after their expensive step.")                 \
    X(handshake_steps, "Messages that handshake engines worked on.")                                                   \
    X(taken_over, "Connections whose records IPsec-MB carries.")                                                       \
    X(libssl_records, "Records that libssl carried, of suites that are not taken over.")                   \
    X(records_opened, "Records opened by IPsec-MB.")                                                                   \
    X(records_sealed, "Records sealed by IPsec-MB.")                                                                   \
    X(bytes_opened, "Plaintext bytes opened.")                                                                         \
    X(bytes_sealed, "Plaintext bytes sealed.")                                                                         \
    X(opened_elsewhere, "Records decrypted, all or in part, to other memory than where they lay.")                     \
    X(key_updates_in, "KeyUpdates received.")                                                                          \
    X(key_updates_out, "KeyUpdates sent.")                                                                             \
    X(tickets_in, "NewSessionTickets received as a client.")                                                           \
    X(key_cache_misses, "Keys of AES-GCM expanded anew for a record, as the cache did not have them.")                 \
    X(no_mbuf, "Times a record had to wait because no mbuf was left.")
/* clang-format on */
struct tls_stats {
#define X(name, help) uint64_t name;
    TLS_COUNTERS(X)
#undef X
    uint64_t drops[TLS_DROP_COUNT];
    uint32_t ssl_objects;    /* gauge: SSL objects alive */
    uint32_t conns;          /* gauge: small and large states in use */
    uint32_t identities;     /* gauge: clients of whom more is known than their keys */
    uint64_t identity_bytes; /* gauge: what that takes */
    /* handshakes (tls_admission.h) */
    uint32_t handshakes_waiting;        /* gauge: for their turn */
    uint32_t handshakes_begun;          /* gauge: hellos with the engine */
    uint32_t handshakes_answered;       /* gauge: for their client's next message, or for what becomes of it */
    uint64_t handshakes_wait_us;        /* of all that waited, in sum */
    uint64_t handshake_longest_wait_us; /* of any */
    uint64_t handshake_step_tsc;        /* cycles of all steps */
    uint64_t handshake_longest_step_tsc;
    uint64_t alerts[2][TLS_ALERTED_COUNT]; /* by enum tls_dir; whoever read or wrote them, libssl too */
};

#define TLS_PATIENCE_MS 1000u
#define TLS_MAX_WAIT_MS 5000u

/* A handshake takes about 40 KB. At most, whatever its client sends; and where clients are asked for certificates, with
 * a chain that is as long as there may be. */
#define TLS_HANDSHAKE_BYTES    73728u
#define TLS_CLIENT_CHAIN_BYTES 98304u

struct tls_config {
    uint32_t max_conns; /* below 2^26; states of each size class are reserved lazily, so both get this capacity */
    uint32_t
        max_handshakes; /* SSL objects at once; further ones wait for a place (default max_conns / 8, at least 64) */
    /* Handshakes that wait for their turn (tls_admission.h). 0 of each: max_conns, max_waiting, no limit,
     * TLS_PATIENCE_MS, TLS_MAX_WAIT_MS. */
    uint32_t max_waiting;
    uint32_t max_waiting_large; /* with a hello that keeps its buffers (tls_admission.h) */
    uint32_t max_per_source;    /* from one address, waiting and under way */
    uint32_t patience_ms;       /* the oldest has waited longer: newest first from now on; a client may be silent for so
                                   long before it loses an SSL object that others need */
    uint32_t max_wait_ms;       /* longer, and it is refused */
    /* Has the client of this connection gone? Asked before each expensive step. `reset`: where it may have said all it
     * has already (RFC 7918), the end of its stream is not enough. NULL: nobody knows. */
    bool (*gone)(void *ctx, uint32_t user, bool reset);
    void *gone_ctx;
    uint32_t key_cache;       /* expanded keys; 0: 512 */
    struct rte_mempool *pool; /* plaintext and ciphertext that cannot stay in place */
    /* Where clients' NewSessionTickets go, whole messages with their header (tls_conn_adopt with `client`); called from
     * tls_input. NULL: they are ignored. */
    void (*ticket)(void *ctx, uint32_t user, const uint8_t *message, uint32_t n);
    void *ticket_ctx;
};

/* Have SSL objects zeroed as they are freed, and certificates' private keys kept in memory that is locked and left out
 * of core dumps. Process-wide, and before the first use of libcrypto: false where that has passed. */
bool tls_libssl_guard(void);
/* Are all private keys loaded so far locked in memory? False: RLIMIT_MEMLOCK is too small, there are too many of them,
 * or nobody called tls_libssl_guard. */
bool tls_private_keys_locked(void);

struct tls_core;   /* tls_core.h lays it out; struct worker holds it by value */
struct tls_engine; /* handshake engine: SSL objects live and die here */

/* Returns 0, WEIR_EINVAL or WEIR_ENOMEM. */
int tls_core_init(struct tls_core *core, const struct tls_config *config);
/* Have the memory now that n connections (at most all) take, as tcp_core_populate does, and the key cache. What
 * handshakes take, and long keys of connections, lies on small pages. */
void tls_core_populate(const struct tls_core *core, uint32_t n);
/* Frees what connections are left and their SSL objects, so an engine elsewhere must have been stopped before. A zeroed
 * core is allowed. */
void tls_core_fini(struct tls_core *core);

/* Where handshakes run. Inline: engine_new and attach on the worker; tls_poll runs it. On a handshake core: that core
 * loops over tls_engine_run. Messages go over an SPSC rte_ring pair of their own per worker either way. */
/* max_handshakes: SSL objects over all cores, handed out to them as they attach; 0: as many as each asks for. */
struct tls_engine *tls_engine_new(uint32_t max_handshakes);
void tls_engine_free(struct tls_engine *engine); /* after all cores detached */
/* Returns 0, WEIR_EEXIST (attached already), WEIR_EFULL (no SSL objects left to share) or WEIR_ENOMEM. */
int tls_core_attach(struct tls_core *core, struct tls_engine *engine, bool run_inline);
/* Serve at most `max` messages of all attached cores. Returns how many it served. The engine's owner only. */
uint32_t tls_engine_run(struct tls_engine *engine, uint32_t max);
/* Are all keys, with the engine attached, locked in memory? False: RLIMIT_MEMLOCK is too small, they may be swapped
 * out. */
bool tls_core_locked(const struct tls_core *core);

/* The time, once a turn before anything else: what waiting handshakes and bursts are measured by. */
void tls_core_now(struct tls_core *core, uint64_t now_us);

/* One call a turn: run the inline engine for at most `max_inline` messages, of which a long one is the last; take
 * completions; begin, or refuse, handshakes that wait. `news` gets the `user` values of connections that tls_input
 * should be called for again, and of clients that have a session to take (at most max, perhaps one twice). Returns how
 * many. */
uint32_t tls_poll(struct tls_core *core, uint32_t max_inline, uint32_t *news, uint32_t max);

/* Has an inline engine anything to do in the next tls_poll? */
bool tls_steps_wait(const struct tls_core *core);

/* A connection in server role. `user`: the owner's number, given back by tls_poll. Returns its id, or 0 (pool empty, or
 * a context for clients).
 * Takes a reference on ctx while the handshake runs. */
tls_id tls_conn_new(struct tls_core *core, struct tls_ctx *ctx, uint32_t user);
/* The context that new connections get is another one now: so does this one, where its handshake has not begun. */
void tls_conn_renew(struct tls_core *core, tls_id id, struct tls_ctx *ctx);
/* The address that a new connection's client has, for limits by source. Without it there is none for this one. */
void tls_conn_source(struct tls_core *core, tls_id id, uint32_t addr_be);
/* Zero the keys and free; cancels a handshake under way. */
void tls_conn_free(struct tls_core *core, tls_id id);

/* --- clients --- */
#define TLS_NAME_MAX 253u                  /* of a server */
typedef struct ssl_session_st tls_session; /* what a later handshake resumes; immutable, opaque, reference-counted */
tls_session *tls_session_ref(tls_session *session); /* atomic; returns it */
void tls_session_unref(tls_session *session);       /* NULL is allowed */

/* A connection in client role, to a server of that DNS name or IP address: it is sent (names only), and verified unless
 * the context is not to. NULL is allowed for a context that does not verify. `session`, or NULL: resume it if it was
 * made under the same context and name, else it is ignored; the connection takes a reference of its own. Call tls_input
 * at once and with no bytes: it says TLS_BUSY, and when tls_poll names the connection gives the ClientHello. Returns
 * its id, or 0 (pool empty, name too long, missing or with a dot in front, a context for listeners). */
tls_id tls_client_new(struct tls_core *core, struct tls_ctx *ctx, const char *server_name, tls_session *session,
                      uint32_t user);
/* Has its handshake not begun, for want of an SSL object of our own? */
bool tls_client_waits(const struct tls_core *core, tls_id id);
/* Where that is so it never will: the next tls_input refuses it (HS_QUEUE_TIMEOUT). */
void tls_client_refuse(struct tls_core *core, tls_id id);
/* The session made last, or NULL: none since. The reference is the caller's. In TLS 1.2 it is there with TLS_DONE (none
 * where the one offered was resumed: that one stays good), in 1.3 when tls_poll names the connection. Until it is
 * taken, and while more may come, the client keeps some memory. */
tls_session *tls_client_session_take(struct tls_core *core, tls_id id);
/* Let SSL objects go that have lingered for tickets for a second, at most `max` of them. Once a turn, or at least every
 * 100 ms: the time told last is what new ones count from. */
void tls_client_sweep(struct tls_core *core, uint64_t now_us, uint32_t max);

/* --- what a handshake made elsewhere agreed on (TLS 1.3): the record layer takes over from there --- */
struct tls_agreed {
    uint16_t suite; /* as on the wire: 0x1301, 0x1302, 0x1303 */
    bool client;    /* this side is the client: NewSessionTickets may come */
    /* application traffic secrets (RFC 8446 7.1), as long as the suite's hash */
    uint8_t read_secret[48], write_secret[48];
    uint64_t read_seq, write_seq; /* next record sequence numbers under them */
};
/* An established connection with those keys. Returns its id, or 0 (pool empty, or not such a suite). */
tls_id tls_conn_adopt(struct tls_core *core, const struct tls_agreed *agreed, uint32_t user);

enum tls_verdict {                    /* bits; 0: nothing happened but "more bytes are needed" */
                   TLS_PLAIN = 1,     /* `plain` grew */
                   TLS_WIRE = 2,      /* `wire_out` grew: send it */
                   TLS_DONE = 4,      /* handshake complete with this call (raised once) */
                   TLS_CLOSE = 8,     /* the peer's close_notify: no more plaintext comes */
                   TLS_BUSY = 16,     /* waits for the handshake engine: call again when tls_poll names it */
                   TLS_MORE_WORK = 32 /* stopped at the budget or for want of an mbuf with whole records left: call
                                         again next turn */
};

/* Take whole records off `wire_in`: at most `budget_bytes` of plaintext (at least one record) is appended to `plain`;
 * handshake answers, KeyUpdates of our own and alerts to `wire_out`. Returns verdict bits, or minus an enum tls_drop:
 * the connection is dead, `wire_out` may hold the alert to send before closing. Bytes of an incomplete record stay on
 * wire_in. */
int tls_input(struct tls_core *core, tls_id id, struct rope *wire_in, struct rope *plain, struct rope *wire_out,
              uint32_t budget_bytes);

/* What the alert said with which the peer ended the connection (drops PEER_ALERT and HS_PEER_ALERT). */
enum tls_alerted tls_conn_alerted(const struct tls_core *core, tls_id id);

/* Hints: this connection will be used soon. tls_fetch first; tls_fetch_key some time later, when that has arrived. */
void tls_fetch(const struct tls_core *core, tls_id id);
void tls_fetch_key(const struct tls_core *core, tls_id id);

/* Is the handshake complete (sealing possible)? */
bool tls_established(const struct tls_core *core, tls_id id);

/* Is libssl, which carries the records on another core, still at work on what it was given, in either direction? It
 * comes back with a later tls_input, so nothing may end the stream before. tls_poll names the connection. */
bool tls_pending(const struct tls_core *core, tls_id id);

/* Seal at most `max_bytes` off `plain` into records appended to `wire`: small ones get a record as they are, bulk is
 * cut at what the peer takes, at most TLS_RECORD_MAX, and at the start of a burst so that a record fills a TCP segment
 * of `segment_bytes` payload (0: not known). Returns plaintext bytes taken, WEIR_ENOMEM (none taken), WEIR_ECLOSED: a
 * TLS 1.2 key is used up but for close_notify, which is the owner's to send: it says that this was all; or WEIR_ESTATE
 * before the handshake or after close_notify. `wire` may have grown in any case (by a KeyUpdate, say). Ciphertext is
 * always in mbufs of its own (never shared with other flows). Where libssl carries the records on another core,
 * ciphertext comes with a later tls_input; 0 then says: again when tls_poll names it. */
int tls_seal(struct tls_core *core, tls_id id, struct rope *plain, struct rope *wire, uint32_t max_bytes,
             uint32_t segment_bytes);

/* Append close_notify (once). Returns 0, WEIR_ENOMEM, WEIR_ESTATE, or WEIR_MORE: libssl, which carries the records on
 * another core, is still at work; what it writes comes with a later tls_input, and nothing may end the stream before.
 * Ask again when tls_poll names the connection: WEIR_ESTATE then says that all is out. */
int tls_close(struct tls_core *core, tls_id id, struct rope *wire);

struct tls_info {
    uint16_t version;  /* 0x0304; 0 before */
    const char *suite; /* "TLS_AES_128_GCM_SHA256"; static; "" before */
    bool taken_over;   /* IPsec-MB carries the records (else libssl) */
    bool resumed;
    uint64_t read_seq, write_seq;
};
void tls_conn_info(const struct tls_core *core, tls_id id, struct tls_info *info);

/* --- who a client is --- */
#define TLS_IDENTITY_NAMES_MAX 800u  /* bytes of one, at most: of a client without a certificate, */
#define TLS_IDENTITY_MAX       1056u /* of one with it, */
#define TLS_IDENTITY_ALT_MAX   1024u /* and for each kind of its alternative names that is kept, */
#define TLS_IDENTITY_DER_MAX   4096u /* and for the certificate itself */
struct tls_identity {        /* immutable; texts are "" where there is nothing, and never hold control characters */
    uint32_t bytes;          /* of the whole block */
    bool certificate;        /* one was shown and found good, in this handshake or */
    bool resumed;            /* in the one whose session this one resumed */
    const char *version;     /* "TLSv1.3" */
    const char *cipher;      /* OpenSSL's name of the suite */
    const char *common_name; /* of the certificate's subject */
    /* The first of each kind that is kept, ASCII. "": there is none, or the first is longer than TLS_IDENTITY_ALT_MAX
     * or no text. */
    const char *alt_names[TLS_ALT_NAMES];
    const char *server_name; /* asked for (SNI) */
    const char *alpn;        /* agreed on */
    const char *psk;         /* name of the pre-shared key, or of the SRP user */
    uint8_t fingerprint[32]; /* SHA-256 of the certificate */
    const uint8_t *der;      /* the certificate, where it is kept, */
    uint32_t der_bytes;      /* 0 where it is longer than TLS_IDENTITY_DER_MAX */
    char text[];
};
/* Of a connection whose handshake is complete, for as long as it lives. NULL: nothing is known, or worth keeping
 * (tls_ctx_config.tell_names). */
const struct tls_identity *tls_conn_identity(const struct tls_core *core, tls_id id);

/* Bytes of a connection's state after the handshake: 160 or 224, and what a client keeps. */
uint32_t tls_conn_bytes(const struct tls_core *core, tls_id id);
const struct tls_stats *tls_core_stats(const struct tls_core *core);

#endif
