/* SPDX-License-Identifier: BSD-3-Clause */
/* `tls` of a pool: how weir meets the pool's servers as their client, and what each server's certificate is for. A
 * server has an address here and no name, so unless a name is given its certificate has to hold that address. */
#include "config_int.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Up to its first dot a name: 1 to 63 letters, digits, hyphens and underscores, no hyphen at either end (RFC 1123
 * section 2.1, and names of services). Returns its length, 0: it is none. */
static size_t label_bytes(const char *name) {
    size_t n = 0;
    while (isalnum((unsigned char)name[n]) || (name[n] != '\0' && strchr("-_", name[n])))
        n++;
    bool good = n <= 63 && n > 0 && name[0] != '-' && name[n - 1] != '-' && (name[n] == '.' || name[n] == '\0');
    return good ? n : 0;
}

/* A DNS name as certificates hold it, or an address. No dot behind the last label: it would be sent so, and match no
 * certificate (RFC 6066 section 3). */
static int check_name(struct config_pass *p, const char *key, const char *text) {
    static const char hint[] = "a DNS name such as broker.example.com, or an address";
    if (strlen(text) > TLS_NAME_MAX)
        return config_fail(p, key, hint, "longer than %u characters", TLS_NAME_MAX);
    for (const char *label = text;;) {
        size_t n = label_bytes(label);
        if (n == 0)
            return config_fail(p, key, hint, "\"%.60s\" is no server's name", text);
        if (label[n] == '\0')
            return 0;
        label += n + 1;
    }
}

static int check_trust(struct config_pass *p, const struct raw_pool_tls *r, struct config_pool_tls *t) {
    static const struct config_word switches[] = {{"on", 1}, {"off", 0}, {NULL, 0}};
    int verify = 1;
    int rc = config_text_word(p, "verify", r->verify, switches, &verify);
    t->verify = verify;
    if (rc < 0)
        return rc;
    if (!verify && r->ca)
        return config_fail(p, "ca", "set it to on, or leave this out", "verify is off");
    if (!verify)
        config_warn(p, "verify", "servers are not verified: whoever answers at their addresses gets what clients say");
    if (!r->ca)
        return 0;
    rc = config_tls_file(p, "ca", r->ca, &t->ca, false);
    return rc == 0 ? config_text_where(p, "ca", &t->where_ca) : rc;
}

static int check_own(struct config_pass *p, const struct raw_pool_tls *r, struct config_pool_tls *t) {
    if (!r->certificate && !r->key)
        return 0;
    int rc = config_tls_file(p, "certificate", r->certificate, &t->certificate, false);
    if (rc == 0)
        rc = config_tls_file(p, "key", r->key, &t->key, true);
    if (rc == 0)
        rc = config_text_where(p, "certificate", &t->where_certificate);
    return rc == 0 ? config_text_where(p, "key", &t->where_key) : rc;
}

static int check_policy(struct config_pass *p, const struct raw_pool_tls *r, struct config_pool_tls *t) {
    static const struct config_word versions[] = {{"1.2", 0x0303}, {"1.3", 0x0304}, {NULL, 0}};
    int version = 0x0303;
    int rc = config_text_word(p, "min_version", r->min_version, versions, &version);
    t->min_version = (uint16_t)version;
    if (rc == 0)
        rc = config_text_copy(p, "ciphers", r->ciphers, &t->ciphers);
    if (rc == 0 && r->ciphers)
        rc = config_text_where(p, "ciphers", &t->where_ciphers);
    if (rc == 0)
        rc = config_text_copy(p, "ciphersuites", r->ciphersuites, &t->ciphersuites);
    if (rc == 0 && r->ciphersuites)
        rc = config_text_where(p, "ciphersuites", &t->where_ciphersuites);
    return rc;
}

/* The server's own name, or its pool's, or its address. */
static int name_server(struct config_pass *p, const char *own, const char *of_pool, struct config_server *s) {
    char address[CONFIG_ADDR_LEN];
    int rc = own ? check_name(p, "server_name", own) : 0;
    if (rc < 0)
        return rc;
    const char *name = own ? own : of_pool ? of_pool : config_addr_format(s->addr_be, address);
    s->tls_name = strdup(name);
    if (s->tls_name)
        return 0;
    config_fail(p, NULL, NULL, "out of memory while reading the configuration");
    return WEIR_ENOMEM;
}

static int name_servers(struct config_pass *p, unsigned index, const struct raw_pool *r, struct config_pool *pool) {
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < r->n_servers; i++) {
        config_at(p, "pools[%u].servers[%u]", index, i);
        if (!r->tls && r->servers[i].server_name)
            return config_fail(p, "server_name", "give the pool a tls section, or leave this out",
                               "the pool speaks no TLS");
        if (r->tls)
            rc = name_server(p, r->servers[i].server_name, r->tls->server_name, &pool->servers[i]);
    }
    config_at(p, "pools[%u]", index);
    return rc;
}

int config_pool_tls_check(struct config_pass *p, unsigned index, const struct raw_pool *r, struct config_pool *pool) {
    struct config_pool_tls *t = &pool->tls;
    int rc = 0;
    t->on = r->tls != NULL;
    if (t->on) {
        config_at(p, "pools[%u].tls", index);
        rc = check_trust(p, r->tls, t);
        if (rc == 0)
            rc = check_own(p, r->tls, t);
        if (rc == 0)
            rc = check_policy(p, r->tls, t);
        if (rc == 0 && r->tls->server_name)
            rc = check_name(p, "server_name", r->tls->server_name);
        if (rc == 0)
            rc = config_text_where(p, NULL, &t->where);
    }
    return rc == 0 ? name_servers(p, index, r, pool) : rc;
}

void config_pool_tls_free(struct config_pool *pool) {
    struct config_pool_tls *t = &pool->tls;
    for (unsigned i = 0; i < LB_MAX_SERVERS; i++)
        free(pool->servers[i].tls_name);
    free(t->ca);
    free(t->certificate);
    free(t->key);
    free(t->ciphers);
    free(t->ciphersuites);
    free(t->where);
    free(t->where_ca);
    free(t->where_certificate);
    free(t->where_key);
    free(t->where_ciphers);
    free(t->where_ciphersuites);
}
