/* SPDX-License-Identifier: BSD-3-Clause */
/* All certificates of a context. A name is answered by the first certificate of each key type that has it: exactly, or
 * with a wildcard in place of its first label (RFC 6125 section 6.4.3). */
#include "tls_certs.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>

/* --- loading --- */

static void tell(const struct tls_ctx_config *config, enum tls_told what, const char *text) {
    if (config->told)
        config->told(config->told_arg, what, text);
}

static struct tls_cert *old_of(const struct tls_ctx_config *config, const struct tls_certificate_config *files) {
    const struct tls_certs *old = config->old ? config->old->certs : NULL;

    for (uint32_t i = 0; old && i < old->n_certs; i++)
        if (strcmp(old->certs[i]->info.certificate_file, files->certificate_file) == 0)
            return old->certs[i];
    return NULL;
}

/* Where the files are refused, what they held before serves on. */
static struct tls_cert *load(const struct tls_ctx_config *config, const struct tls_certificate_config *files,
                             char *error, size_t error_bytes) {
    struct tls_cert *old = old_of(config, files), *cert = tls_cert_load(config, files, old, error, error_bytes);

    if (cert || old == NULL)
        return cert;
    ERR_clear_error();
    tell(config, TLS_TOLD_REFUSED, error);
    atomic_fetch_add_explicit(&old->references, 1, memory_order_relaxed);
    return old;
}

static bool load_all(struct tls_certs *certs, const struct tls_ctx_config *config, char *error, size_t error_bytes) {
    const struct tls_certificate_config one = {.certificate_file = config->certificate_file,
                                               .key_file = config->key_file};
    uint32_t n = config->n_certificates + (config->certificate_file != NULL);

    if (n == 0) {
        snprintf(error, error_bytes, "certificate: none is given; a server needs one");
        return false;
    }
    certs->certs = calloc(n, sizeof(struct tls_cert *));
    if (certs->certs == NULL)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        const struct tls_certificate_config *files = &one;
        if (i > 0 || config->certificate_file == NULL)
            files = &config->certificates[i - (config->certificate_file != NULL)];
        if ((certs->certs[i] = load(config, files, error, error_bytes)) == NULL)
            return false;
        certs->n_certs = i + 1;
    }
    return true;
}

/* --- which certificates serve a name --- */

struct claim { /* a certificate says that a name is its own */
    const char *name;
    uint32_t cert;
};

static int claim_order(const void *a, const void *b) {
    const struct claim *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order != 0 ? order : (x->cert > y->cert) - (x->cert < y->cert);
}

struct grouping { /* under way */
    struct tls_certs *certs;
    struct claim *claims; /* sorted by name, then by the certificates' order */
    uint32_t n_claims;
    uint32_t *first_set; /* by certificate: a set whose first one it is, + 1; more by `next` */
};

/* The set of exactly these certificates, made where there is none yet. `first`: their first one. */
static uint32_t set_of(struct grouping *g, struct tls_cert *const members[TLS_KEY_KINDS], uint32_t first) {
    struct tls_certs *certs = g->certs;
    struct tls_set *set;

    for (uint32_t i = g->first_set[first]; i > 0; i = certs->sets[i - 1].next)
        if (memcmp(certs->sets[i - 1].certs, members, sizeof(set->certs)) == 0)
            return i - 1;
    set = &certs->sets[certs->n_sets++];
    memcpy(set->certs, members, sizeof(set->certs));
    set->next = g->first_set[first];
    g->first_set[first] = certs->n_sets;
    return certs->n_sets - 1;
}

/* The set for the name of the claims from `i` on; moves *i past them. */
static uint32_t name_group(struct grouping *g, uint32_t *i) {
    struct tls_cert *members[TLS_KEY_KINDS] = {0};
    const struct claim *first = &g->claims[*i];

    for (; *i < g->n_claims && strcmp(g->claims[*i].name, first->name) == 0; ++*i) {
        struct tls_cert *cert = g->certs->certs[g->claims[*i].cert];
        if (members[cert->kind] == NULL)
            members[cert->kind] = cert;
    }
    return set_of(g, members, first->cert);
}

/* The default first, so that it is sets[0]: whatever serves the first name of the first certificate. */
static void group_default(struct grouping *g) {
    struct tls_cert *cert = g->certs->certs[0], *alone[TLS_KEY_KINDS] = {0};

    for (uint32_t i = 0; i < g->n_claims && cert->info.n_names > 0; i++) {
        if (strcmp(g->claims[i].name, cert->names[0]) == 0) {
            (void)name_group(g, &i);
            return;
        }
    }
    alone[cert->kind] = cert;
    (void)set_of(g, alone, 0);
}

static void group(struct grouping *g) {
    struct tls_certs *certs = g->certs;

    group_default(g);
    for (uint32_t i = 0; i < g->n_claims;) {
        const char *name = g->claims[i].name;
        uint32_t set = name_group(g, &i);
        certs->names[certs->n_names++] = (struct tls_named){name, &certs->sets[set]};
    }
}

/* A certificate whose names all belong to others is most likely a mistake. */
static void unused_tell(const struct tls_certs *certs, const struct tls_ctx_config *config) {
    char text[512];

    for (uint32_t i = 0; i < certs->n_certs; i++) {
        const struct tls_cert *cert = certs->certs[i];
        bool used = false;
        for (uint32_t s = 0; s < certs->n_sets && !used; s++)
            used = certs->sets[s].certs[cert->kind] == cert;
        if (used)
            continue;
        snprintf(text, sizeof(text), "certificate %s is never used: %s", cert->info.certificate_file,
                 cert->info.n_names ? "others before it have its names" : "it is for no host name, and none is given");
        tell(config, TLS_TOLD_WARNING, text);
    }
}

static bool group_all(struct tls_certs *certs) {
    struct grouping g = {.certs = certs};

    for (uint32_t i = 0; i < certs->n_certs; i++)
        g.n_claims += certs->certs[i]->info.n_names;
    g.claims = calloc((size_t)g.n_claims + 1, sizeof(*g.claims));
    g.first_set = calloc(certs->n_certs, sizeof(*g.first_set));
    certs->names = calloc((size_t)g.n_claims + 1, sizeof(*certs->names));
    certs->sets = calloc((size_t)g.n_claims + 1, sizeof(*certs->sets)); /* at most one a name, and the default */
    bool ok = g.claims && g.first_set && certs->names && certs->sets;
    if (ok) {
        uint32_t n = 0;
        for (uint32_t i = 0; i < certs->n_certs; i++)
            for (uint32_t k = 0; k < certs->certs[i]->info.n_names; k++)
                g.claims[n++] = (struct claim){certs->certs[i]->names[k], i};
        qsort(g.claims, n, sizeof(*g.claims), claim_order);
        group(&g);
    }
    free(g.claims);
    free(g.first_set);
    return ok;
}

/* A listener of pre-shared keys may have no certificate: one set without any. */
static bool keys_alone(struct tls_certs *certs) {
    certs->sets = calloc(1, sizeof(*certs->sets));
    if (certs->sets == NULL)
        return false;
    certs->n_sets = 1;
    return true;
}

bool tls_certs_load(struct tls_certs *certs, const struct tls_ctx_config *config, char *error, size_t error_bytes) {
    snprintf(error, error_bytes, "out of memory");
    certs->strict = config->strict_sni;
    if ((config->psk_file || config->srp_file) && config->certificate_file == NULL && config->n_certificates == 0)
        return keys_alone(certs);
    if (!load_all(certs, config, error, error_bytes) || !group_all(certs))
        return false;
    unused_tell(certs, config);
    return true;
}

void tls_certs_free(struct tls_certs *certs) {
    if (certs == NULL)
        return;
    for (uint32_t i = 0; i < certs->n_sets; i++)
        SSL_CTX_free(certs->sets[i].ssl);
    for (uint32_t i = 0; i < certs->n_certs; i++)
        tls_cert_unref(certs->certs[i]);
    free(certs->certs);
    free(certs->sets);
    free(certs->names);
    free(certs);
}

bool tls_set_use(const struct tls_set *set, SSL_CTX *ssl, char *error, size_t error_bytes) {
    for (int kind = 0; kind < TLS_KEY_KINDS; kind++) {
        const struct tls_cert *cert = set->certs[kind];
        if (cert && SSL_CTX_use_cert_and_key(ssl, cert->x509, cert->key, cert->chain, 1) != 1) {
            snprintf(error, error_bytes, "certificate %s: %s", cert->info.certificate_file, tls_ctx_reason());
            return false;
        }
    }
    return true;
}

/* --- in a handshake --- */

static struct tls_set *find(const struct tls_certs *certs, const char *name) {
    uint32_t from = 0, to = certs->n_names;

    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        int order = strcmp(name, certs->names[middle].name);
        if (order == 0)
            return certs->names[middle].set;
        if (order < 0)
            to = middle;
        else
            from = middle + 1;
    }
    return NULL;
}

struct tls_set *tls_certs_find(const struct tls_certs *certs, const char *name, size_t n) {
    char folded[TLS_NAME_MAX + 1];

    if (!tls_name_fold(name, n, false, folded))
        return NULL;
    struct tls_set *set = find(certs, folded);
    char *dot = strchr(folded, '.');
    if (set || dot == NULL || dot == folded)
        return set;
    dot[-1] = '*';
    return find(certs, dot - 1);
}

/* The server name of the ClientHello being processed (RFC 6066 section 3); *n is 0 where there is none. What is
 * malformed counts as none: libssl refuses it by itself, with the right alert. */
static const char *sni(SSL *ssl, size_t *n) {
    const uint8_t *data;
    size_t bytes;

    *n = 0;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &data, &bytes) != 1)
        return NULL;
    struct span s = span_of(data, bytes);
    struct span list = span_sub(&s, span_u16(&s));
    uint8_t type = span_u8(&list);
    uint16_t length = span_u16(&list);
    const uint8_t *name = span_bytes(&list, length);
    if (name == NULL || type != TLSEXT_NAMETYPE_host_name)
        return NULL;
    *n = length;
    return (const char *)name;
}

/* Early: whether a session is resumed hangs on what the name is here, too. */
static int hello(SSL *ssl, int *alert, void *arg) {
    const struct tls_certs *certs = arg;
    struct tls_msg *msg = SSL_get_app_data(ssl);
    size_t n;
    const char *name = sni(ssl, &n);
    const struct tls_set *set = tls_certs_find(certs, name, n);

    if (!tls_limits_hello(ssl)) {
        msg->refused = TLS_DROP_HS_TOO_LONG;
        *alert = tls_drop_alert(TLS_DROP_HS_TOO_LONG);
        return SSL_CLIENT_HELLO_ERROR;
    }
    if (set == NULL && certs->strict) {
        msg->refused = TLS_DROP_HS_UNKNOWN_NAME;
        *alert = SSL_AD_UNRECOGNIZED_NAME;
        return SSL_CLIENT_HELLO_ERROR;
    }
    msg->named = set != NULL;
    snprintf(msg->server_name, sizeof(msg->server_name), "%.*s", (int)n, name ? name : "");
    /* takes a reference, and certificates along */
    return SSL_set_SSL_CTX(ssl, (set ? set : certs->sets)->ssl) ? SSL_CLIENT_HELLO_SUCCESS : SSL_CLIENT_HELLO_ERROR;
}

/* Late, for the acknowledgement alone: "used to guide the selection" (RFC 6066 section 3), or not. */
static int acknowledge(SSL *ssl, int *alert, void *arg) {
    const struct tls_msg *msg = SSL_get_app_data(ssl);

    (void)alert;
    (void)arg;
    return msg->named ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

void tls_certs_offer(SSL_CTX *ssl, struct tls_certs *certs) {
    SSL_CTX_set_client_hello_cb(ssl, hello, certs);
    SSL_CTX_set_tlsext_servername_callback(ssl, acknowledge);
}
