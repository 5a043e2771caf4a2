/* SPDX-License-Identifier: BSD-3-Clause */
#include "snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static_assert(SNAPSHOT_ENTRIES <= 64, "entries are bits of a word");

/* Where in the configuration that lies which tls_ctx_new complains of: its texts begin with the key, or name a file. */
static const char *place_of(const struct config_tls *t, const char *said) {
    if (strncmp(said, "ciphers ", 8) == 0 && t->where_ciphers)
        return t->where_ciphers;
    if (strncmp(said, "ciphersuites ", 13) == 0 && t->where_ciphersuites)
        return t->where_ciphersuites;
    if (strncmp(said, "groups ", 7) == 0 && t->where_groups)
        return t->where_groups;
    for (uint16_t i = 0; i < t->n_certificates; i++) {
        const struct config_certificate *c = &t->certificates[i];
        if (strstr(said, c->certificate) || strstr(said, c->key))
            return c->where;
    }
    return t->where;
}

/* An entry under way. */
struct loading {
    const struct config *config;
    uint16_t index;
    const struct snapshot_told *told;
};

static void told(void *arg, enum tls_told what, const char *said) {
    const struct loading *l = arg;
    char text[1024];
    if (l->told == NULL)
        return;
    snprintf(text, sizeof(text), "%s: %s", place_of(&l->config->tls[l->index], said), said);
    if (what == TLS_TOLD_REFUSED)
        l->told->refused(l->told->arg, l->index, text);
    else
        l->told->warned(l->told->arg, text);
}

static struct tls_ctx *load(struct loading *l, const struct tls_ctx *old, char *said, size_t said_bytes) {
    const struct config_tls *t = &l->config->tls[l->index];
    struct tls_certificate_config *certificates = calloc(t->n_certificates + 1u, sizeof(*certificates));
    if (certificates == NULL) {
        snprintf(said, said_bytes, "out of memory");
        return NULL;
    }
    for (uint16_t i = 0; i < t->n_certificates; i++)
        certificates[i] = (struct tls_certificate_config){.certificate_file = t->certificates[i].certificate,
                                                          .key_file = t->certificates[i].key,
                                                          .names = (const char *const *)t->certificates[i].names,
                                                          .n_names = t->certificates[i].n_names,
                                                          .ocsp_file = t->certificates[i].ocsp};
    struct tls_ctx_config tc = {.name = t->name,
                                .certificates = certificates,
                                .n_certificates = t->n_certificates,
                                .strict_sni = t->strict_sni,
                                .min_version = t->min_version,
                                .ciphers = t->ciphers,
                                .ciphersuites = t->ciphersuites,
                                .groups = t->groups,
                                .security_level = t->security_level != CONFIG_NONE ? &t->security_level : NULL,
                                .alpn = (const char *const *)t->alpn,
                                .n_alpn = t->n_alpn,
                                .client_certificates = t->client_certificates,
                                .client_ca_file = t->client_ca,
                                .client_crl_file = t->client_crl,
                                .client_depth = &t->client_depth,
                                .tell_names = t->tell_names,
                                .keep_alt_names = t->keep_alt_names,
                                .keep_certificate = t->keep_certificate,
                                .psk_file = t->psk_file,
                                .srp_file = t->srp_file,
                                .key_log_file = t->key_log,
                                .tickets = &t->tickets,
                                .ticket_keys_file = t->ticket_keys,
                                .ticket_rotate_s = t->ticket_rotate_s,
                                .old = old,
                                .told = told,
                                .told_arg = l};
    struct tls_ctx *ctx = tls_ctx_new(&tc, said, said_bytes);
    free(certificates);
    return ctx;
}

/* The same for a pool. */
static const char *pool_place_of(const struct config_pool_tls *t, const char *said) {
    if (strncmp(said, "ca ", 3) == 0 && t->where_ca)
        return t->where_ca;
    if (strncmp(said, "certificate ", 12) == 0 && t->where_certificate)
        return t->where_certificate;
    if (strncmp(said, "key ", 4) == 0 && t->where_key)
        return t->where_key;
    if (strncmp(said, "ciphers ", 8) == 0 && t->where_ciphers)
        return t->where_ciphers;
    if (strncmp(said, "ciphersuites ", 13) == 0 && t->where_ciphersuites)
        return t->where_ciphersuites;
    return t->where;
}

static struct tls_ctx *pool_load(const struct config_pool *pool, const struct tls_ctx *old, char *said,
                                 size_t said_bytes) {
    const struct config_pool_tls *t = &pool->tls;
    struct tls_client_ctx_config tc = {.name = pool->name,
                                       .verify_off = !t->verify,
                                       .ca_file = t->ca,
                                       .certificate_file = t->certificate,
                                       .key_file = t->key,
                                       .min_version = t->min_version,
                                       .ciphers = t->ciphers,
                                       .ciphersuites = t->ciphersuites,
                                       .old = old};
    return tls_client_ctx_new(&tc, said, said_bytes);
}

/* A new snapshot under way. */
struct making {
    const struct config *config;
    const struct snapshot *keep;
    uint64_t entries;
    const struct snapshot_told *ear;
    char *error;
    size_t error_bytes;
};

/* Fill one context: with what was loaded, or with that of before. `said`: why `loaded` is NULL though it should be
 * there; `place`: where that lies. Returns false where neither exists. */
static bool settle(const struct making *m, uint16_t entry, struct tls_ctx **ctx, struct tls_ctx *loaded,
                   struct tls_ctx *old, const char *place, const char *said) {
    *ctx = loaded;
    if (loaded != NULL)
        return true;
    if (place != NULL)
        snprintf(m->error, m->error_bytes, "%s: %s", place, said);
    if (old == NULL)
        return false;
    if (place != NULL && m->ear != NULL)
        m->ear->refused(m->ear->arg, entry, m->error);
    *ctx = old;
    tls_ctx_ref(old);
    return true;
}

static bool make_listeners(const struct making *m, struct snapshot *s) {
    bool ok = true;
    for (uint16_t i = 0; ok && i < m->config->n_tls; i++) {
        struct loading l = {m->config, i, m->ear};
        struct tls_ctx *old = m->keep != NULL ? m->keep->tls[i] : NULL;
        char said[512];
        bool fresh = old == NULL || m->entries & SNAPSHOT_TLS(i);
        struct tls_ctx *loaded = fresh ? load(&l, old, said, sizeof(said)) : NULL;
        const char *place = fresh && loaded == NULL ? place_of(&m->config->tls[i], said) : NULL;
        ok = settle(m, i, &s->tls[i], loaded, old, place, said);
    }
    return ok;
}

static bool make_pools(const struct making *m, struct snapshot *s) {
    bool ok = true;
    for (uint16_t i = 0; ok && i < m->config->n_pools; i++) {
        const struct config_pool *pool = &m->config->pools[i];
        struct tls_ctx *old = m->keep != NULL ? m->keep->pools[i] : NULL;
        char said[512];
        if (!pool->tls.on)
            continue;
        bool fresh = old == NULL || m->entries & SNAPSHOT_POOL(i);
        struct tls_ctx *loaded = fresh ? pool_load(pool, old, said, sizeof(said)) : NULL;
        const char *place = fresh && loaded == NULL ? pool_place_of(&pool->tls, said) : NULL;
        ok = settle(m, (uint16_t)(WEIR_MAX_TLS + i), &s->pools[i], loaded, old, place, said);
    }
    return ok;
}

struct snapshot *snapshot_new(const struct config *config, const struct snapshot *keep, uint64_t entries,
                              const struct snapshot_told *ear, char *error, size_t error_bytes) {
    const struct making m = {config, keep, entries, ear, error, error_bytes};
    struct snapshot *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->generation = keep != NULL ? keep->generation + 1 : 1;
    if (make_listeners(&m, s) && make_pools(&m, s))
        return s;
    snapshot_free(s);
    return NULL;
}

void snapshot_free(struct snapshot *s) {
    if (s == NULL)
        return;
    for (unsigned i = 0; i < WEIR_ARRAY_LEN(s->tls); i++)
        tls_ctx_unref(s->tls[i]);
    for (unsigned i = 0; i < WEIR_ARRAY_LEN(s->pools); i++)
        tls_ctx_unref(s->pools[i]);
    free(s);
}
