/* SPDX-License-Identifier: BSD-3-Clause */
/* `weirctl cert`: what is served, what servers are shown, and reading it again. */
#include "control_int.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* The `tls` entry and the pool with TLS of that name, as bits of snapshot.h; NULL: all of them. 0: there is none. */
static uint64_t entries_named(const struct config *config, const char *name) {
    uint64_t entries = 0;
    if (name == NULL)
        return SNAPSHOT_ALL;
    for (uint16_t i = 0; i < config->n_tls; i++)
        if (strcmp(config->tls[i].name, name) == 0)
            entries |= SNAPSHOT_TLS(i);
    for (uint16_t i = 0; i < config->n_pools; i++)
        if (config->pools[i].tls.on && strcmp(config->pools[i].name, name) == 0)
            entries |= SNAPSHOT_POOL(i);
    return entries;
}

static json_t *names_json(const struct tls_cert_info *info) {
    json_t *list = json_array();
    for (uint32_t i = 0; i < info->n_names; i++)
        json_array_append_new(list, json_string(info->names[i]));
    return list;
}

static json_t *fingerprint_json(const uint8_t fingerprint[32]) {
    char text[96];
    for (unsigned i = 0; i < 32; i++)
        snprintf(text + 3 * i, 4, "%02X%s", fingerprint[i], i + 1 < 32 ? ":" : "");
    return json_string(text);
}

static const char *ocsp_state(const struct tls_cert_info *info, bool configured) {
    if (!configured)
        return "off";
    if (info->ocsp_next_update_s == 0)
        return "none";
    return info->ocsp_next_update_s > (int64_t)time(NULL) ? "good" : "expired";
}

/* What the certificate itself says. */
static json_t *cert_json(const char *certificate, const char *key, const struct tls_cert_info *info) {
    return json_pack("{s:s, s:s, s:o, s:s, s:o*, s:s, s:o, s:I, s:I, s:I}", "certificate", certificate, "key", key,
                     "names", names_json(info), "key_type", info->key_type, "issuer",
                     json_string(info->issuer) /* NULL and left out: no UTF-8 */, "serial", info->serial, "fingerprint",
                     fingerprint_json(info->fingerprint), "not_before", (json_int_t)info->not_before_s, "not_after",
                     (json_int_t)info->not_after_s, "since", (json_int_t)info->since_s);
}

/* One that clients are served. */
static json_t *served_json(const struct config_tls *t, uint32_t i, const struct tls_cert_info *info) {
    const struct config_certificate *c = &t->certificates[i];
    json_t *j = cert_json(c->certificate, c->key, info);
    json_object_set_new(j, "tls", json_string(t->name));
    json_object_set_new(j, "default", json_boolean(i == 0 && !t->strict_sni));
    json_object_set_new(j, "ocsp", json_string(ocsp_state(info, c->ocsp != NULL)));
    json_object_set_new(j, "ocsp_next_update", json_integer((json_int_t)info->ocsp_next_update_s));
    return j;
}

/* weir's own towards the servers of a pool. */
static json_t *own_json(const struct config_pool *pool, const struct tls_cert_info *info) {
    json_t *j = cert_json(pool->tls.certificate, pool->tls.key, info);
    json_object_set_new(j, "pool", json_string(pool->name));
    return j;
}

static json_t *cert_show(struct control *c, uint64_t entries) {
    const struct config *config = c->weir->config;
    const struct snapshot *s = c->weir->snapshot;
    const struct tls_cert_info *info;
    json_t *list = json_array();
    for (uint16_t i = 0; i < config->n_tls; i++)
        for (uint32_t k = 0; entries & SNAPSHOT_TLS(i) && (info = tls_ctx_cert(s->tls[i], k)) != NULL; k++)
            json_array_append_new(list, served_json(&config->tls[i], k, info));
    for (uint16_t i = 0; i < config->n_pools; i++)
        if (entries & SNAPSHOT_POOL(i) && s->pools[i] != NULL && (info = tls_ctx_cert(s->pools[i], 0)) != NULL)
            json_array_append_new(list, own_json(&config->pools[i], info));
    return json_pack("{s:b, s:o}", "ok", 1, "certificates", list);
}

json_t *command_reload(struct control *c, uint64_t entries) {
    json_t *refusals = json_array();
    int bad = control_reload(c, entries, refusals);
    return json_pack("{s:b, s:s*, s:o}", "ok", bad == 0, "error",
                     bad != 0 ? "some certificates were refused; the old ones serve on" : NULL, "refused", refusals);
}

json_t *command_cert(struct control *c, char **words, int n) {
    uint64_t entries = entries_named(c->weir->config, n > 2 ? words[2] : NULL);
    if (entries == 0)
        return commands_error("there is no tls entry %s, nor a pool of that name with tls; `weirctl cert show` lists "
                              "them",
                              words[2]);
    if (strcmp(words[1], "show") == 0)
        return cert_show(c, entries);
    if (strcmp(words[1], "reload") == 0)
        return command_reload(c, entries);
    return commands_error("usage: weirctl cert show|reload [TLS|POOL]");
}
