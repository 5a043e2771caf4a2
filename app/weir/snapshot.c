/* SPDX-License-Identifier: BSD-3-Clause */
#include "snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static_assert(WEIR_MAX_TLS <= 32, "entries are bits of a word");

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

struct snapshot *snapshot_new(const struct config *config, const struct snapshot *keep, uint32_t entries,
                              const struct snapshot_told *ear, char *error, size_t error_bytes) {
    struct snapshot *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->generation = keep != NULL ? keep->generation + 1 : 1;
    for (uint16_t i = 0; i < config->n_tls; i++) {
        struct loading l = {config, i, ear};
        char said[512];
        bool fresh = keep == NULL || entries >> i & 1;
        s->tls[i] = fresh ? load(&l, keep != NULL ? keep->tls[i] : NULL, said, sizeof(said)) : NULL;
        if (s->tls[i] != NULL)
            continue;
        if (fresh)
            snprintf(error, error_bytes, "%s: %s", place_of(&config->tls[i], said), said);
        if (keep == NULL) {
            snapshot_free(s);
            return NULL;
        }
        if (fresh && ear != NULL)
            ear->refused(ear->arg, i, error);
        s->tls[i] = keep->tls[i];
        tls_ctx_ref(s->tls[i]);
    }
    return s;
}

void snapshot_free(struct snapshot *s) {
    if (s == NULL)
        return;
    for (unsigned i = 0; i < WEIR_ARRAY_LEN(s->tls); i++)
        if (s->tls[i] != NULL)
            tls_ctx_unref(s->tls[i]);
    free(s);
}
