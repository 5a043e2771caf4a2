/* SPDX-License-Identifier: BSD-3-Clause */
/* A worker's TLS: pools, cache, the way to its engine; and how the keys of a connection are packed. */
#include "tls_msg.h"
#include "tls_source.h"

#include "../base/region.h"

#include <intel-ipsec-mb.h>
#include <rte_prefetch.h>
#include <rte_ring.h>
#include <stdlib.h>

#define BURST_SECRET (POOL_SECRET | POOL_BURST)

static uint32_t alive_words(const struct tls_core *core) {
    return core->conns.capacity / 64 + 1;
}

static int admission_init(struct tls_core *core, const struct tls_config *config, uint32_t max_handshakes) {
    struct tls_admission *a = &core->admission;

    a->max_waiting = config->max_waiting ? config->max_waiting : config->max_conns;
    a->max_large = config->max_waiting_large ? config->max_waiting_large : a->max_waiting;
    a->patience_us = (uint64_t)(config->patience_ms ? config->patience_ms : TLS_PATIENCE_MS) * 1000;
    a->max_wait_us = (uint64_t)(config->max_wait_ms ? config->max_wait_ms : TLS_MAX_WAIT_MS) * 1000;
    if (pool_init(&a->hellos, "tls_hello", sizeof(struct tls_hello), a->max_waiting, POOL_BURST) < 0)
        return WEIR_ENOMEM;
    a->max_per_source = config->max_per_source;
    a->sources =
        tls_sources_new(a->max_per_source ? a->max_per_source : UINT32_MAX, a->max_waiting + max_handshakes + 1);
    return a->sources ? 0 : WEIR_ENOMEM;
}

static size_t identities_bytes(const struct tls_core *core) {
    return ((size_t)core->conns.capacity + 1) * sizeof(struct tls_identity *);
}

int tls_core_init(struct tls_core *core, const struct tls_config *config) {
    uint32_t max_handshakes = config->max_handshakes;
    bool locked = true;

    if (config->max_conns == 0 || config->max_conns >= 1u << TLS_CLIENT_BITS || config->pool == NULL)
        return WEIR_EINVAL;
    if (max_handshakes == 0)
        max_handshakes = weir_max_u32(config->max_conns / 8, 64);

    *core = (struct tls_core){.pool = config->pool,
                              .ticket = config->ticket,
                              .ticket_ctx = config->ticket_ctx,
                              .gone = config->gone,
                              .gone_ctx = config->gone_ctx,
                              .gcm_record_limit = TLS_GCM_RECORD_LIMIT};
    core->mbuf_room = rte_pktmbuf_data_room_size(config->pool) - RTE_PKTMBUF_HEADROOM;
    if (pool_init(&core->conns, "tls_conn", sizeof(struct tls_conn), config->max_conns, POOL_SECRET) < 0 ||
        pool_init(&core->exts, "tls_ext", sizeof(struct tls_ext), config->max_conns, BURST_SECRET) < 0 ||
        pool_init(&core->places, "tls_handshake", sizeof(struct tls_msg), max_handshakes, BURST_SECRET) < 0 ||
        pool_init(&core->clients, "tls_client", sizeof(struct tls_client), config->max_conns, 0) < 0 ||
        pool_init(&core->tickets, "tls_ticket", sizeof(struct rope), TLS_TICKETS_PARTIAL, 0) < 0)
        goto fail;
    core->mgr = tls_mgr_new();
    core->cache = tls_keycache_new(config->key_cache ? config->key_cache : 512);
    core->kdf = tls_kdf_new();
    core->work = tls_secret_alloc(sizeof(*core->work), &locked);
    core->identities = region_map(identities_bytes(core));
    core->alive = calloc(alive_words(core), sizeof(*core->alive));
    if (admission_init(core, config, max_handshakes) < 0)
        goto fail;
    if (core->mgr == NULL || core->cache == NULL || core->kdf == NULL || core->alive == NULL ||
        core->identities == NULL || core->work == NULL)
        goto fail;
    tls_gcm_calls(core->mgr, core->gcm);
    core->unlocked =
        !locked || !core->cache->locked || (core->conns.flags | core->exts.flags | core->places.flags) & POOL_UNLOCKED;
    return 0;

fail:
    tls_core_fini(core);
    return WEIR_ENOMEM;
}

void tls_core_populate(const struct tls_core *core, uint32_t n) {
    pool_populate(&core->conns, n);
    if (core->cache != NULL)
        region_populate(core->cache->set, core->cache->mapped_bytes);
    if (core->identities != NULL)
        region_populate(core->identities, identities_bytes(core));
}

/* Bring every place home; by now nobody else runs the engine. */
static void drain(struct tls_core *core) {
    while (core->places.used > 0) {
        uint32_t ignored;
        tls_engine_run(core->engine, core->places.used);
        tls_poll(core, 0, &ignored, 1);
    }
}

void tls_core_fini(struct tls_core *core) {
    if (core->alive) {
        for (tls_id id = 1; id <= core->conns.capacity && core->conns.used > 0; id++) {
            if (tls_conn_alive(core, id))
                tls_conn_free(core, id);
        }
    }
    if (core->engine) {
        drain(core);
        tls_engine_detach(core->engine, core);
    }
    free(core->requests);
    free(core->completions);
    free(core->alive);
    region_unmap(core->identities, identities_bytes(core));
    tls_sources_free(core->admission.sources);
    tls_kdf_free(core->kdf);
    tls_keycache_free(core->cache);
    tls_secret_free(core->work, sizeof(*core->work));
    if (core->mgr)
        free_mb_mgr(core->mgr);
    pool_fini(&core->admission.hellos);
    pool_fini(&core->tickets);
    pool_fini(&core->clients);
    pool_fini(&core->places);
    pool_fini(&core->exts);
    pool_fini(&core->conns);
    explicit_bzero(core, sizeof(*core));
}

bool tls_core_locked(const struct tls_core *core) {
    return !core->unlocked && core->engine->locked;
}

const struct tls_stats *tls_core_stats(const struct tls_core *core) {
    return &core->stats;
}

/* --- keys of a connection --- */

bool tls_suite_needs_ext(const struct tls_suite *s) {
    return s->aead->key_bytes > TLS_KEY_MAX / 2 || s->hash > 32;
}

static struct tls_ext *ext_of(const struct tls_core *core, const struct tls_conn *c) {
    return c->ext ? pool_get(&core->exts, c->ext) : NULL;
}

/* Where a direction's raw key lies: short ones side by side, of the long ones the second in the ext. */
static uint8_t *key_at(const struct tls_core *core, const struct tls_conn *c, enum tls_dir dir) {
    uint8_t *own = ((struct tls_conn *)(uintptr_t)c)->key;

    if (tls_conn_suite(c)->aead->key_bytes <= TLS_KEY_MAX / 2)
        return own + (dir == TLS_WRITE ? TLS_KEY_MAX / 2 : 0);
    return dir == TLS_WRITE ? ext_of(core, c)->key : own;
}

const uint8_t *tls_conn_key(const struct tls_core *core, const struct tls_conn *c, enum tls_dir dir) {
    return key_at(core, c, dir);
}

void tls_conn_keys_store(struct tls_core *core, struct tls_conn *c, enum tls_dir dir, const struct tls_dir_keys *keys) {
    struct tls_ext *ext = ext_of(core, c);

    c->seq[dir] = keys->seq;
    memcpy(c->iv[dir], keys->iv, TLS_NONCE_BYTES);
    memcpy(key_at(core, c, dir), keys->key, tls_conn_suite(c)->aead->key_bytes);
    memcpy(c->secret[dir], keys->secret, sizeof(c->secret[dir]));
    if (ext)
        memcpy(ext->secret[dir], keys->secret + sizeof(c->secret[dir]), sizeof(ext->secret[dir]));
}

int tls_conn_open(struct tls_core *core, struct tls_conn *c, uint8_t row, const struct tls_dir_keys keys[2]) {
    uint32_t ext = POOL_NONE;

    if (tls_suite_needs_ext(&tls_suites[row - 1])) {
        ext = pool_alloc(&core->exts);
        if (ext == POOL_NONE)
            return WEIR_ENOMEM;
    }
    c->phase = TLS_PHASE_OPEN;
    c->suite = row;
    c->ext = ext;
    c->record_max = TLS_RECORD_MAX;
    tls_conn_keys_store(core, c, TLS_READ, &keys[TLS_READ]);
    tls_conn_keys_store(core, c, TLS_WRITE, &keys[TLS_WRITE]);
    core->stats.taken_over++;
    return 0;
}

void tls_conn_secret_load(const struct tls_core *core, const struct tls_conn *c, enum tls_dir dir,
                          uint8_t secret[TLS_SECRET_MAX]) {
    const struct tls_ext *ext = ext_of(core, c);

    memcpy(secret, c->secret[dir], sizeof(c->secret[dir]));
    if (ext)
        memcpy(secret + sizeof(c->secret[dir]), ext->secret[dir], sizeof(ext->secret[dir]));
}

void tls_conn_key_evict(struct tls_core *core, struct tls_conn *c, tls_id id, enum tls_dir dir) {
    tls_keycache_evict(core->cache, tls_conn_key_name(c, id, dir));
}

const void *tls_conn_key_expand(struct tls_core *core, struct tls_conn *c, tls_id id, enum tls_dir dir) {
    const struct tls_aead *aead = tls_conn_suite(c)->aead;
    uint32_t way;
    bool hit;

    if (aead->expand == NULL)
        return tls_conn_key(core, c, dir);
    struct gcm_key_data *expanded = tls_keycache_get(core->cache, tls_conn_key_name(c, id, dir), &way, &hit);
    if (dir == TLS_READ)
        c->read_way = way % TLS_KEYCACHE_WAYS;
    else
        c->write_way = way % TLS_KEYCACHE_WAYS;
    if (!hit) {
        core->stats.key_cache_misses++;
        aead->expand(core->mgr, tls_conn_key(core, c, dir), expanded);
    }
    return expanded;
}

void tls_fetch(const struct tls_core *core, tls_id id) {
    const uint8_t *c = pool_get(&core->conns, id);

    rte_prefetch0(c);
    rte_prefetch0(c + WEIR_CACHE_LINE);
}

void tls_fetch_key(const struct tls_core *core, tls_id id) {
    const struct tls_conn *c = tls_conn_get(core, id);

    if (c->phase == TLS_PHASE_OPEN && tls_conn_suite(c)->aead->expand)
        tls_keycache_fetch(core->cache, tls_conn_key_name(c, id, TLS_READ), c->read_way);
}

int tls_conn_rekey(struct tls_core *core, struct tls_conn *c, tls_id id, enum tls_dir dir) {
    struct tls_dir_keys keys = {0};

    tls_conn_secret_load(core, c, dir, keys.secret);
    int rc = tls_keys_next(core->kdf, tls_conn_suite(c), &keys);
    if (rc == 0) {
        tls_conn_key_evict(core, c, id, dir);
        c->epoch[dir]++;
        tls_conn_keys_store(core, c, dir, &keys);
    }
    explicit_bzero(&keys, sizeof(keys));
    return rc;
}

void tls_conn_keys_wipe(struct tls_core *core, struct tls_conn *c, tls_id id) {
    tls_conn_key_evict(core, c, id, TLS_READ);
    tls_conn_key_evict(core, c, id, TLS_WRITE);
    explicit_bzero(c->key, sizeof(c->key));
    explicit_bzero(c->iv, sizeof(c->iv));
    explicit_bzero(c->secret, sizeof(c->secret));
    if (c->ext)
        pool_free(&core->exts, c->ext);
    c->ext = POOL_NONE;
}
