/* SPDX-License-Identifier: BSD-3-Clause */
/* No (key, nonce) pair is ever used twice for sealing, and what is sealed is right, over the whole record layer: a
 * seeded mixture of data in both directions, in any layout and with mbufs running out, KeyUpdates asked for by either
 * side and our own for a worn-out key, connections that end and whose ids and cache slots others get, and connections
 * taken over at any sequence number, by several workers' cores in turn.
 *
 * The spy sits between the record layer and IPsec-MB and looks at the key that is really used, the expanded one. The
 * peer is OpenSSL's EVP with a key schedule of its own (evp_peer.c). */
#include "evp_peer.h"
#include "harness.h"

#include <intel-ipsec-mb.h>
#include <stdlib.h>

enum { CORES = 3, CONNS = 20, PAIRS = 1 << 17 };

/* --- the spy --- */
struct pair_used {
    uint8_t key[TLS_KEY_MAX], nonce[TLS_NONCE_BYTES];
};

static struct {
    struct IMB_MGR plain;       /* the functions as they were */
    struct pair_used under_way; /* between init and the first byte sealed */
    bool begun;
    uint32_t sealed, opened;
    struct pair_used *used; /* hashed; an all-zero nonce and key: free */
    uint64_t repeated;
} spy;

static void note(const struct pair_used *p) {
    uint64_t hash = 0, word;

    for (size_t i = 0; i + sizeof(word) <= sizeof(*p); i += 4) {
        memcpy(&word, (const uint8_t *)p + i, sizeof(word));
        hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
        hash ^= hash >> 29;
    }
    cr_assert_lt(++spy.sealed, PAIRS * 3 / 4, "the table is too small");
    for (uint32_t at = hash % PAIRS;; at = (at + 1) % PAIRS) {
        static const struct pair_used nobody;
        if (memcmp(&spy.used[at], p, sizeof(*p)) == 0)
            spy.repeated++;
        else if (memcmp(&spy.used[at], &nobody, sizeof(nobody)) != 0)
            continue;
        spy.used[at] = *p;
        return;
    }
}

static void begin(const void *key, uint32_t key_bytes, const uint8_t *nonce) {
    spy.under_way = (struct pair_used){0};
    memcpy(spy.under_way.key, key, key_bytes); /* the first round keys of AES are the key */
    memcpy(spy.under_way.nonce, nonce, TLS_NONCE_BYTES);
    spy.begun = true;
}

static void sealing(void) {
    if (spy.begun)
        note(&spy.under_way);
    spy.begun = false;
}

#define SPY_GCM(bits)                                                                                                  \
    static void spy_enc_##bits(const struct gcm_key_data *key, struct gcm_context_data *ctx, uint8_t *out,             \
                               const uint8_t *in, uint64_t n, const uint8_t *iv, const uint8_t *aad,                   \
                               uint64_t aad_bytes, uint8_t *tag, uint64_t tag_bytes) {                                 \
        begin(key->expanded_keys, bits / 8, iv);                                                                       \
        sealing();                                                                                                     \
        spy.plain.gcm##bits##_enc(key, ctx, out, in, n, iv, aad, aad_bytes, tag, tag_bytes);                           \
    }                                                                                                                  \
    static void spy_init_##bits(const struct gcm_key_data *key, struct gcm_context_data *ctx, const uint8_t *iv,       \
                                const uint8_t *aad, uint64_t aad_bytes) {                                              \
        begin(key->expanded_keys, bits / 8, iv);                                                                       \
        spy.plain.gcm##bits##_init(key, ctx, iv, aad, aad_bytes);                                                      \
    }                                                                                                                  \
    static void spy_enc_update_##bits(const struct gcm_key_data *key, struct gcm_context_data *ctx, uint8_t *out,      \
                                      const uint8_t *in, uint64_t n) {                                                 \
        sealing();                                                                                                     \
        spy.plain.gcm##bits##_enc_update(key, ctx, out, in, n);                                                        \
    }
SPY_GCM(128)
SPY_GCM(256)
#undef SPY_GCM

static void spy_chacha_init(const void *key, struct chacha20_poly1305_context_data *ctx, const void *iv,
                            const void *aad, const uint64_t aad_bytes) {
    begin(key, 32, iv);
    spy.plain.chacha20_poly1305_init(key, ctx, iv, aad, aad_bytes);
}

static void spy_chacha_enc_update(const void *key, struct chacha20_poly1305_context_data *ctx, void *dst,
                                  const void *src, const uint64_t n) {
    sealing();
    spy.plain.chacha20_poly1305_enc_update(key, ctx, dst, src, n);
}

static void spy_on(struct tls_core *core) {
    spy.plain = *core->mgr; /* the same in all of them */
    core->mgr->gcm128_enc = spy_enc_128;
    core->mgr->gcm128_init = spy_init_128;
    core->mgr->gcm128_enc_update = spy_enc_update_128;
    core->mgr->gcm256_enc = spy_enc_256;
    core->mgr->gcm256_init = spy_init_256;
    core->mgr->gcm256_enc_update = spy_enc_update_256;
    core->mgr->chacha20_poly1305_init = spy_chacha_init;
    core->mgr->chacha20_poly1305_enc_update = spy_chacha_enc_update;
    tls_gcm_calls(core->mgr, core->gcm);
}

/* --- the connections --- */
struct conn {
    struct evp_peer peer;
    uint32_t core;
    tls_id id; /* 0: none */
};

static struct tls_core cores[CORES];
static struct conn conns[CONNS];
static uint64_t seed;

static uint32_t draw(uint32_t below) {
    return harness_random(&seed, below);
}

static uint64_t draw_seq(void) {
    static const uint64_t edges[] = {0, 1, 255, 0xffffffffull, 0x100000000ull, UINT64_MAX / 2};

    return draw(2) ? edges[draw(WEIR_ARRAY_LEN(edges))] : (uint64_t)draw(UINT32_MAX) << draw(20);
}

/* Keys of a suite for a new connection on a core, and the peer that has the same. */
static void conn_begin(struct conn *c) {
    uint8_t row = (uint8_t)(1 + draw(draw(2) ? 3 : tls_suites_count)); /* half of them of 1.3 */
    const struct tls_suite *s = &tls_suites[row - 1];
    struct tls_dir_keys keys[2] = {0};

    c->core = draw(CORES);
    for (int dir = 0; dir < 2; dir++) {
        for (uint32_t i = 0; i < TLS_SECRET_MAX; i++)
            keys[dir].secret[i] = (uint8_t)draw(256);
        if (s->version == TLS_V12) { /* the secret is no more than where key and IV come from */
            memcpy(keys[dir].key, keys[dir].secret, TLS_KEY_MAX);
            memcpy(keys[dir].iv, keys[dir].secret + TLS_KEY_MAX, TLS_NONCE_BYTES);
        }
        keys[dir].seq = draw_seq();
    }
    evp_peer_init(&c->peer, s, keys);
    if (s->version == TLS_V13) {
        struct tls_agreed agreed = {
            .suite = s->id, .read_seq = keys[TLS_READ].seq, .write_seq = keys[TLS_WRITE].seq, .client = draw(2)};
        memcpy(agreed.read_secret, keys[TLS_READ].secret, s->hash);
        memcpy(agreed.write_secret, keys[TLS_WRITE].secret, s->hash);
        c->id = tls_conn_adopt(&cores[c->core], &agreed, 0);
    } else {
        c->id = tls_conn_alloc(&cores[c->core], 0);
        cr_assert_eq(tls_conn_open(&cores[c->core], tls_conn_get(&cores[c->core], c->id), row, keys), 0);
    }
    cr_assert_neq(c->id, 0);
}

static void conn_end(struct conn *c) {
    tls_conn_free(&cores[c->core], c->id);
    c->id = 0;
}

/* Everything on `wire` must open at the peer; its data and nothing else is `want`. Returns false: close_notify. */
static bool peer_reads(struct conn *c, struct rope *wire, const uint8_t *want, uint32_t want_bytes) {
    static uint8_t got[TLS_RECORD_MAX + 256];
    uint32_t at = 0, n = 0;
    int type = TLS_CT_DATA;

    while (wire->len_bytes > 0 && type != TLS_CT_ALERT) {
        type = evp_peer_open(&c->peer, wire, got, &n);
        cr_assert_gt(type, 0, "%s: a record that does not open", c->peer.suite->name);
        if (type != TLS_CT_DATA)
            continue; /* a KeyUpdate: the peer has followed */
        cr_assert_leq(at + n, want_bytes);
        cr_assert_eq(memcmp(got, want + at, n), 0);
        at += n;
    }
    cr_assert_eq(at, want_bytes, "%u of %u bytes", at, want_bytes);
    rope_clear(wire);
    return type != TLS_CT_ALERT;
}

static void we_seal(struct conn *c) {
    static const uint32_t most[] = {1, 64, 300, 1400, 40000};
    static uint8_t data[40000];
    uint32_t n = 1 + draw(most[draw(WEIR_ARRAY_LEN(most))]), sealed = 0;
    struct rope plain = {0}, wire = {0};
    bool alive = true;

    data[0] = (uint8_t)draw(256);
    for (uint32_t at = 0; at < n;) {
        uint32_t part = weir_min_u32(n - at, 1 + draw(2000));
        harness_push(&plain, data + at, part, draw(3) == 0);
        at += part;
    }
    while (alive && plain.len_bytes > 0) {
        bool starve = draw(5) == 0;
        if (starve)
            harness_starve(draw(3));
        int rc = tls_seal(&cores[c->core], c->id, &plain, &wire, draw(4) ? UINT32_MAX : 1 + draw(5000), 0);
        harness_unstarve();
        if (rc > 0)
            sealed += (uint32_t)rc;
        else if (rc == WEIR_ECLOSED || rc == WEIR_ESTATE) /* 1.2: the key is used up */
            alive = false;
        else
            cr_assert_eq(rc, WEIR_ENOMEM);
    }
    alive = peer_reads(c, &wire, data, sealed) && alive;
    rope_clear(&plain);
    if (!alive)
        conn_end(c);
}

/* Data and KeyUpdates of the peer's. */
static void peer_seals(struct conn *c) {
    struct rope wire = {0}, plain = {0}, answer = {0};
    static const uint8_t data[600];
    uint32_t n = 1 + draw(sizeof(data));
    bool v13 = c->peer.suite->version == TLS_V13;

    if (v13 && draw(3) == 0)
        evp_peer_update(&c->peer, draw(2), &wire);
    evp_peer_seal(&c->peer, TLS_CT_DATA, data, n, &wire);
    int rc = tls_input(&cores[c->core], c->id, &wire, &plain, &answer, UINT32_MAX);
    if (rc == -TLS_DROP_RECORD_LIMIT) {
        const struct tls_conn *t = tls_conn_get(&cores[c->core], c->id);
        cr_assert(!v13 || t->seq[TLS_READ] - cores[c->core].gcm_record_limit >= TLS_UPDATE_PATIENCE);
        conn_end(c);
    } else {
        cr_assert_gt(rc, 0, "%s: %s", c->peer.suite->name, rc < 0 ? tls_drop_name((enum tls_drop) - rc) : "nothing");
        cr_assert_eq(plain.len_bytes, n);
        spy.opened++;
        (void)peer_reads(c, &answer, NULL, 0);
        if (c->peer.asked) /* our request for its key: it follows */
            evp_peer_update(&c->peer, false, &wire);
        if (wire.len_bytes > 0)
            cr_assert_geq(tls_input(&cores[c->core], c->id, &wire, &plain, &answer, UINT32_MAX), 0);
    }
    rope_clear(&wire);
    rope_clear(&plain);
    rope_clear(&answer);
}

/* Another worker takes the connection where it is. */
static void conn_move(struct conn *c) {
    struct tls_core *from = &cores[c->core];
    struct tls_conn *state = tls_conn_get(from, c->id);
    uint8_t secret[2][TLS_SECRET_MAX];

    if (c->peer.suite->version != TLS_V13)
        return;
    struct tls_agreed agreed = {
        .suite = c->peer.suite->id, .read_seq = state->seq[TLS_READ], .write_seq = state->seq[TLS_WRITE]};
    for (int dir = 0; dir < 2; dir++)
        tls_conn_secret_load(from, state, (enum tls_dir)dir, secret[dir]);
    memcpy(agreed.read_secret, secret[TLS_READ], sizeof(agreed.read_secret));
    memcpy(agreed.write_secret, secret[TLS_WRITE], sizeof(agreed.write_secret));
    tls_conn_free(from, c->id);
    c->core = draw(CORES);
    c->id = tls_conn_adopt(&cores[c->core], &agreed, 0);
    cr_assert_neq(c->id, 0);
}

static void step(struct conn *c) {
    uint32_t what = draw(100);

    if (c->id == 0)
        conn_begin(c);
    if (what < 60)
        we_seal(c);
    else if (what < 94)
        peer_seals(c);
    else if (what < 98)
        conn_move(c);
    else
        conn_end(c);
}

static void run(uint64_t with_seed, uint32_t steps) {
    seed = with_seed;
    spy.used = calloc(PAIRS, sizeof(*spy.used));
    cr_assert_not_null(spy.used);
    for (uint32_t i = 0; i < CORES; i++) {
        struct tls_config config = {.max_conns = CONNS, .key_cache = 16, .pool = harness_pool()};
        cr_assert_eq(tls_core_init(&cores[i], &config), 0);
        cores[i].gcm_record_limit = UINT64_MAX - 5;
        spy_on(&cores[i]);
    }
    for (uint32_t i = 0; i < steps; i++) {
        if (i % 64 == 0) /* now and then every key is as good as used up */
            cores[draw(CORES)].gcm_record_limit = draw(2) ? 20 : UINT64_MAX - 5;
        step(&conns[draw(CONNS)]);
        cr_assert_eq(spy.repeated, 0, "seed %lu, step %u: a nonce was used twice", with_seed, i);
    }
    uint64_t updates = 0, misses = 0;
    for (uint32_t i = 0; i < CORES; i++) {
        updates += cores[i].stats.key_updates_out;
        misses += cores[i].stats.key_cache_misses;
        tls_core_fini(&cores[i]);
    }
    cr_assert_gt(spy.sealed, steps / 2);
    cr_assert_gt(spy.opened, steps / 5);
    cr_assert_gt(updates, steps / 50, "%lu KeyUpdates", updates);
    cr_assert_gt(misses, steps / 10, "keys change places");
    cr_assert_eq(harness_mbufs_out(), 0);
    free(spy.used);
}

Test(tls_nonce, never_used_twice_1) {
    run(1, 12000);
}

Test(tls_nonce, never_used_twice_2) {
    run(20261127, 12000);
}

/* The spy sees a repetition where there is one. */
Test(tls_nonce, spy_is_awake) {
    struct pair p;
    struct rope wire = {0};

    pair_init(&p, 1);
    spy.used = calloc(PAIRS, sizeof(*spy.used));
    spy_on(&p.core);
    pair_seal(&p, TLS_CT_DATA, "x", 1, &wire);
    cr_assert_eq(spy.repeated, 0);
    tls_conn_get(&p.core, p.client)->seq[TLS_WRITE]--;
    pair_seal(&p, TLS_CT_DATA, "y", 1, &wire);
    cr_assert_eq(spy.repeated, 1);
    rope_clear(&wire);
    free(spy.used);
    pair_fini(&p);
}
