/* SPDX-License-Identifier: BSD-3-Clause */
/* One entry of `tls`. What only libssl can judge, a list of suites say, is judged when it is loaded; until then its
 * place in the file is kept. */
#include "config_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAMES_MAX     256u
#define PROTOCOLS_MAX 16u
#define PROTOCOL_LEN  255u /* RFC 7301 section 3.1 */

#define CLIENT_DEPTH_MAX    16u
#define TICKETS             1u /* a device has one connection, and gets another ticket with each resumption */
#define TICKETS_MAX         4u
#define TICKET_ROTATE_S     43200u
#define TICKET_ROTATE_MIN_S 10u
#define TICKET_ROTATE_MAX_S 604800u

static const struct config_word switches[] = {{"on", 1}, {"off", 0}, {NULL, 0}};

int config_tls_file(struct config_pass *p, const char *key, const char *text, char **out, bool secret) {
    struct stat st;
    if (!text)
        return config_missing(p, key, "a PEM file; relative paths start at the configuration's folder");
    int rc = config_text_path(p, key, text, out);
    if (rc < 0)
        return rc;
    int fd = open(*out, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return config_fail(p, key, NULL, "%.180s cannot be read: %s", *out, strerror(errno));
    bool regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    close(fd);
    if (!regular)
        return config_fail(p, key, NULL, "%.180s is not a file", *out);
    if (secret && st.st_mode & 0007)
        config_warn(p, key, "%s can be read by everybody (chmod o= it)", *out);
    return 0;
}

/* Adds one to the entry. A response may come later than weir: its file need not be there. */
static int check_certificate(struct config_pass *p, const struct raw_certificate *r, struct config_tls *t) {
    struct config_certificate *c = &t->certificates[t->n_certificates++];
    int rc = config_tls_file(p, "certificate", r->certificate, &c->certificate, false);
    if (rc == 0)
        rc = config_tls_file(p, "key", r->key, &c->key, true);
    if (rc == 0)
        rc = config_text_path(p, "ocsp", r->ocsp, &c->ocsp);
    if (rc == 0)
        rc = config_text_list(p, "names", &r->names, NAMES_MAX, &c->names, &c->n_names);
    for (unsigned i = 0; rc == 0 && i + 1u < t->n_certificates; i++)
        if (strcmp(t->certificates[i].certificate, c->certificate) == 0)
            rc = config_fail(p, "certificate", NULL, "%.180s is named twice in this entry", c->certificate);
    return rc == 0 ? config_text_where(p, NULL, &c->where) : rc;
}

/* `certificate` and `key`, then those of the list. */
static int check_certificates(struct config_pass *p, unsigned index, const struct raw_tls *r, struct config_tls *t) {
    const struct raw_certificate one = {.certificate = r->certificate, .key = r->key};
    bool short_form = r->certificate || r->key || (!r->n_certificates && !r->psk_file && !r->srp_file);
    int rc = 0;
    t->certificates = calloc(r->n_certificates + 1u, sizeof(*t->certificates));
    if (!t->certificates) {
        config_fail(p, NULL, NULL, "out of memory while reading the configuration");
        return WEIR_ENOMEM;
    }
    if (short_form)
        rc = check_certificate(p, &one, t);
    for (unsigned i = 0; rc == 0 && i < r->n_certificates; i++) {
        config_at(p, "tls[%u].certificates[%u]", index, i);
        rc = check_certificate(p, &r->certificates[i], t);
    }
    config_at(p, "tls[%u]", index);
    return rc;
}

static int check_alpn(struct config_pass *p, const struct raw_tls *r, struct config_tls *t) {
    int rc = config_text_list(p, "alpn", &r->alpn, PROTOCOLS_MAX, &t->alpn, &t->n_alpn);
    for (unsigned i = 0; rc == 0 && i < t->n_alpn; i++)
        if (strlen(t->alpn[i]) > PROTOCOL_LEN)
            rc = config_fail(p, config_key_of("alpn", i).text, NULL, "longer than %u characters", PROTOCOL_LEN);
    return rc;
}

/* A list in OpenSSL's notation, and its place. */
static int check_notation(struct config_pass *p, const char *key, const char *text, char **out, char **where) {
    int rc = config_text_copy(p, key, text, out);
    return rc == 0 && text ? config_text_where(p, key, where) : rc;
}

static int check_policy(struct config_pass *p, const struct raw_tls *r, struct config_tls *t) {
    static const struct config_word versions[] = {{"1.2", 0x0303}, {"1.3", 0x0304}, {NULL, 0}};
    int version = 0x0303, strict = 0, watch = 1;
    uint32_t level = 0;
    int rc = config_text_word(p, "min_version", r->min_version, versions, &version);
    if (rc == 0)
        rc = check_notation(p, "ciphers", r->ciphers, &t->ciphers, &t->where_ciphers);
    if (rc == 0)
        rc = check_notation(p, "ciphersuites", r->ciphersuites, &t->ciphersuites, &t->where_ciphersuites);
    if (rc == 0)
        rc = check_notation(p, "groups", r->groups, &t->groups, &t->where_groups);
    if (rc == 0)
        rc = config_text_u32(p, "security_level", r->security_level, 0, 5, &level);
    if (rc == 0)
        rc = config_text_word(p, "strict_sni", r->strict_sni, switches, &strict);
    if (rc == 0)
        rc = config_text_word(p, "watch", r->watch, switches, &watch);
    t->min_version = (uint16_t)version;
    t->security_level = r->security_level ? (int)level : CONFIG_NONE;
    t->strict_sni = strict;
    t->watch = watch;
    return rc;
}

/* Whether clients need certificates, and of whom. */
static int check_clients(struct config_pass *p, const struct raw_tls *r, struct config_tls *t) {
    static const struct config_word modes[] = {{"off", TLS_CLIENT_CERTIFICATES_OFF},
                                               {"optional", TLS_CLIENT_CERTIFICATES_OPTIONAL},
                                               {"required", TLS_CLIENT_CERTIFICATES_REQUIRED},
                                               {NULL, 0}};
    int mode = TLS_CLIENT_CERTIFICATES_OFF;
    uint32_t depth = TLS_CLIENT_DEPTH;
    int rc = config_text_word(p, "client_certificates", r->client_certificates, modes, &mode);
    if (rc == 0)
        rc = config_text_u32(p, "client_depth", r->client_depth, 0, CLIENT_DEPTH_MAX, &depth);
    t->client_certificates = (enum tls_client_certificates)mode;
    t->client_depth = (int)depth;
    if (rc < 0)
        return rc;
    if (mode == TLS_CLIENT_CERTIFICATES_OFF) {
        const char *useless = r->client_ca ? "client_ca" : r->client_crl ? "client_crl" : NULL;
        return useless ? config_fail(p, useless, "set it to optional or required, or leave this out",
                                     "client_certificates is off")
                       : 0;
    }
    rc = config_tls_file(p, "client_ca", r->client_ca, &t->client_ca, false);
    return rc == 0 && r->client_crl ? config_tls_file(p, "client_crl", r->client_crl, &t->client_crl, false) : rc;
}

/* Session tickets. */
static int check_tickets(struct config_pass *p, const struct raw_tls *r, struct config_tls *t) {
    t->tickets = TICKETS;
    t->ticket_rotate_s = TICKET_ROTATE_S;
    int rc = config_text_u32(p, "tickets", r->tickets, 0, TICKETS_MAX, &t->tickets);
    if (rc == 0)
        rc = config_text_u32(p, "ticket_rotate_s", r->ticket_rotate_s, TICKET_ROTATE_MIN_S, TICKET_ROTATE_MAX_S,
                             &t->ticket_rotate_s);
    if (rc == 0 && r->ticket_keys)
        rc = config_tls_file(p, "ticket_keys", r->ticket_keys, &t->ticket_keys, true);
    return rc;
}

int config_tls_check(struct config_pass *p, unsigned index, const struct raw_tls *r, struct config_tls *t) {
    int rc = config_text_name(p, r->name, t->name);
    if (rc == 0)
        rc = check_certificates(p, index, r, t);
    if (rc == 0)
        rc = check_policy(p, r, t);
    if (rc == 0)
        rc = check_alpn(p, r, t);
    if (rc == 0)
        rc = check_clients(p, r, t);
    if (rc == 0)
        rc = check_tickets(p, r, t);
    if (rc == 0 && r->psk_file)
        rc = config_tls_file(p, "psk_file", r->psk_file, &t->psk_file, true);
    if (rc == 0 && r->srp_file)
        rc = config_tls_file(p, "srp_file", r->srp_file, &t->srp_file, true);
    if (rc == 0)
        rc = config_text_path(p, "key_log", r->key_log, &t->key_log);
    return rc == 0 ? config_text_where(p, NULL, &t->where) : rc;
}

void config_tls_free(struct config_tls *t) {
    for (unsigned i = 0; i < t->n_certificates; i++) {
        struct config_certificate *c = &t->certificates[i];
        free(c->certificate);
        free(c->key);
        free(c->ocsp);
        config_text_list_free(c->names, c->n_names);
        free(c->where);
    }
    free(t->certificates);
    free(t->ciphers);
    free(t->ciphersuites);
    free(t->groups);
    free(t->client_ca);
    free(t->client_crl);
    free(t->ticket_keys);
    free(t->psk_file);
    free(t->srp_file);
    free(t->key_log);
    config_text_list_free(t->alpn, t->n_alpn);
    free(t->where);
    free(t->where_ciphers);
    free(t->where_ciphersuites);
    free(t->where_groups);
}
