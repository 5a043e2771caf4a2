/* SPDX-License-Identifier: BSD-3-Clause */
/* The keys of the file, for libcyaml, and its complaints in words that a reader of the file understands. Every key is
 * optional here: which ones must be there is said by config_check.c, with a text that says what for. */
#include "config_int.h"

#include <cyaml/cyaml.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPT             (CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL)
#define TEXT_MAX        4096u
#define LIST_MAX        1024u /* plain lists; their own limits are told by config_check.c */
#define TEXT(s, member) CYAML_FIELD_STRING_PTR(#member, OPT, struct s, member, 0, TEXT_MAX)
#define LIST_OF(s, member, min)                                                                                        \
    CYAML_FIELD_SEQUENCE_COUNT(#member, OPT, struct s, member.items, member.n, &text_value, min, LIST_MAX)
#define LIST(s, member)         LIST_OF(s, member, 0)
#define SOME(s, member)         LIST_OF(s, member, 1) /* given, it must not be empty */
#define SECTION(member, fields) CYAML_FIELD_MAPPING_PTR(#member, OPT, struct raw_config, member, fields)
#define TABLE(s, member, value, max)                                                                                   \
    CYAML_FIELD_SEQUENCE_COUNT(#member, OPT, struct s, member, n_##member, value, 0, max)

static const cyaml_schema_value_t text_value = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, TEXT_MAX)};

static const cyaml_schema_field_t cores_fields[] = {TEXT(raw_cores, control), SOME(raw_cores, workers),
                                                    LIST(raw_cores, handshake), TEXT(raw_cores, idle), CYAML_FIELD_END};
static const cyaml_schema_field_t memory_fields[] = {TEXT(raw_memory, max_connections), TEXT(raw_memory, hugepages),
                                                     CYAML_FIELD_END};
static const cyaml_schema_field_t timeouts_fields[] = {
    TEXT(raw_timeouts, connect_s),       TEXT(raw_timeouts, handshake_s),
    TEXT(raw_timeouts, mqtt_connect_s),  TEXT(raw_timeouts, drain_s),
    TEXT(raw_timeouts, udp_idle_s),      TEXT(raw_timeouts, tcp_user_s),
    TEXT(raw_timeouts, tcp_keepalive_s), CYAML_FIELD_END};
static const cyaml_schema_field_t limits_fields[] = {TEXT(raw_limits, handshakes),
                                                     TEXT(raw_limits, handshakes_per_source),
                                                     TEXT(raw_limits, handshake_refusal), CYAML_FIELD_END};
static const cyaml_schema_field_t log_fields[] = {TEXT(raw_log, level), TEXT(raw_log, target), TEXT(raw_log, format),
                                                  CYAML_FIELD_END};
static const cyaml_schema_field_t control_fields[] = {TEXT(raw_control, socket), TEXT(raw_control, http),
                                                      CYAML_FIELD_END};
static const cyaml_schema_field_t port_fields[] = {
    TEXT(raw_port, name),    TEXT(raw_port, device),      LIST(raw_port, addresses),
    TEXT(raw_port, gateway), TEXT(raw_port, gateway_mac), TEXT(raw_port, mtu),
    TEXT(raw_port, mss),     TEXT(raw_port, exclusive),   CYAML_FIELD_END};
static const cyaml_schema_field_t certificate_fields[] = {TEXT(raw_certificate, certificate),
                                                          TEXT(raw_certificate, key), SOME(raw_certificate, names),
                                                          TEXT(raw_certificate, ocsp), CYAML_FIELD_END};
static const cyaml_schema_value_t certificate_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_certificate, certificate_fields)};
static const cyaml_schema_field_t tls_fields[] = {
    TEXT(raw_tls, name),
    TEXT(raw_tls, certificate),
    TEXT(raw_tls, key),
    TABLE(raw_tls, certificates, &certificate_value, CONFIG_MAX_CERTIFICATES),
    TEXT(raw_tls, strict_sni),
    TEXT(raw_tls, min_version),
    TEXT(raw_tls, ciphers),
    TEXT(raw_tls, ciphersuites),
    TEXT(raw_tls, groups),
    TEXT(raw_tls, security_level),
    SOME(raw_tls, alpn),
    TEXT(raw_tls, watch),
    TEXT(raw_tls, client_certificates),
    TEXT(raw_tls, client_ca),
    TEXT(raw_tls, client_crl),
    TEXT(raw_tls, client_depth),
    TEXT(raw_tls, psk_file),
    TEXT(raw_tls, srp_file),
    TEXT(raw_tls, key_log),
    TEXT(raw_tls, tickets),
    TEXT(raw_tls, ticket_keys),
    TEXT(raw_tls, ticket_rotate_s),
    CYAML_FIELD_END};
static const cyaml_schema_field_t server_fields[] = {TEXT(raw_server, name), TEXT(raw_server, address),
                                                     TEXT(raw_server, weight), TEXT(raw_server, server_name),
                                                     CYAML_FIELD_END};
static const cyaml_schema_field_t listener_fields[] = {
    TEXT(raw_listener, name), TEXT(raw_listener, address),     TEXT(raw_listener, mode),
    TEXT(raw_listener, tls),  TEXT(raw_listener, pool),        TEXT(raw_listener, congestion),
    TEXT(raw_listener, ecn),  TEXT(raw_listener, syn_cookies), TEXT(raw_listener, username_from),
    CYAML_FIELD_END};

static const cyaml_schema_value_t port_value = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_port, port_fields)};
static const cyaml_schema_value_t tls_value = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_tls, tls_fields)};
static const cyaml_schema_value_t server_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_server, server_fields)};
static const cyaml_schema_value_t listener_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_listener, listener_fields)};

static const cyaml_schema_field_t pool_tls_fields[] = {
    TEXT(raw_pool_tls, ca),          TEXT(raw_pool_tls, verify),       TEXT(raw_pool_tls, server_name),
    TEXT(raw_pool_tls, certificate), TEXT(raw_pool_tls, key),          TEXT(raw_pool_tls, min_version),
    TEXT(raw_pool_tls, ciphers),     TEXT(raw_pool_tls, ciphersuites), CYAML_FIELD_END};
static const cyaml_schema_field_t pool_fields[] = {
    TEXT(raw_pool, name),
    TEXT(raw_pool, policy),
    LIST(raw_pool, source_addresses),
    TEXT(raw_pool, port),
    TEXT(raw_pool, proxy_protocol),
    TEXT(raw_pool, proxy_certificate),
    CYAML_FIELD_MAPPING_PTR("tls", OPT, struct raw_pool, tls, pool_tls_fields),
    TABLE(raw_pool, servers, &server_value, LB_MAX_SERVERS),
    TEXT(raw_pool, congestion),
    TEXT(raw_pool, ecn),
    CYAML_FIELD_END};
static const cyaml_schema_value_t pool_value = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_pool, pool_fields)};

static const cyaml_schema_field_t config_fields[] = {SECTION(cores, cores_fields),
                                                     SECTION(memory, memory_fields),
                                                     SECTION(timeouts, timeouts_fields),
                                                     SECTION(limits, limits_fields),
                                                     SECTION(log, log_fields),
                                                     TABLE(raw_config, ports, &port_value, WEIR_MAX_PORTS),
                                                     TABLE(raw_config, tls, &tls_value, WEIR_MAX_TLS),
                                                     TABLE(raw_config, pools, &pool_value, WEIR_MAX_POOLS),
                                                     TABLE(raw_config, listeners, &listener_value, WEIR_MAX_LISTENERS),
                                                     SECTION(control, control_fields),
                                                     CYAML_FIELD_END};
static const cyaml_schema_value_t config_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_config, config_fields)};

#define COMPLAINT_FRAMES 8

/* What libcyaml logs of one failure: the complaint, then a backtrace, innermost frame first. */
struct complaint {
    char text[192];
    char frames[COMPLAINT_FRAMES][64]; /* "a" for a mapping's field, "[0]" for a list's entry */
    unsigned n_frames;
};

static void complaint_take(cyaml_log_t level, void *ctx, const char *format, va_list args) {
    struct complaint *c = ctx;
    char line[256];
    unsigned entry;
    (void)level;
    vsnprintf(line, sizeof(line), format, args);
    line[strcspn(line, "\n")] = '\0';
    const char *field = strstr(line, "in mapping field '");
    const char *item = strstr(line, "in sequence entry '");
    const char *said = strncmp(line, "Load: ", 6) == 0 ? line + 6 : line;
    if (field && c->n_frames < COMPLAINT_FRAMES)
        sscanf(field, "in mapping field '%63[^']", c->frames[c->n_frames++]);
    else if (item && sscanf(item, "in sequence entry '%u", &entry) == 1 && c->n_frames < COMPLAINT_FRAMES)
        snprintf(c->frames[c->n_frames++], sizeof(c->frames[0]), "[%u]", entry ? entry - 1 : 0);
    else if (!c->text[0] && !strstr(line, "in mapping") && !strstr(line, "Backtrace"))
        snprintf(c->text, sizeof(c->text), "%.190s", said);
}

/* The path of the frames from the outermost to (not including) frame `inner`. */
static void path_build(const struct complaint *c, unsigned inner, char *path, size_t size_bytes) {
    size_t len = 0;
    path[0] = '\0';
    for (unsigned i = c->n_frames; i > inner && len < size_bytes; i--) {
        const char *frame = c->frames[i - 1];
        len += (size_t)snprintf(path + len, size_bytes - len, "%s%s", len && frame[0] != '[' ? "." : "", frame);
    }
}

/* The keys that exist where the complaint arose: walk the schema along the frames. */
static void known_keys(const struct complaint *c, char *buf, size_t size_bytes) {
    const cyaml_schema_value_t *v = &config_value;
    for (unsigned i = c->n_frames; i > 0; i--) {
        const cyaml_schema_field_t *f;
        if (v->type == CYAML_SEQUENCE) {
            v = v->sequence.entry;
            continue;
        }
        if (v->type != CYAML_MAPPING)
            return;
        for (f = v->mapping.fields; f->key && strcmp(f->key, c->frames[i - 1]) != 0; f++)
            ;
        if (!f->key)
            return;
        v = &f->value;
    }
    if (v->type == CYAML_MAPPING)
        for (const cyaml_schema_field_t *f = v->mapping.fields; f->key; f++)
            config_list_add(buf, size_bytes, f->key);
}

static const char *shape_name(const char *word) {
    static const struct {
        const char *word, *name;
    } shapes[] = {{"SEQUENCE", "a list"},
                  {"MAPPING", "a mapping (key: value)"},
                  {"STRING", "a single value"},
                  {"SCALAR", "a single value"}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(shapes); i++)
        if (strncmp(word, shapes[i].word, strlen(shapes[i].word)) == 0)
            return shapes[i].name;
    return "something else";
}

static int complaint_unknown_key(struct config_pass *p, const struct complaint *c, const char *key) {
    char keys[160] = "", hint[200];
    known_keys(c, keys, sizeof(keys));
    snprintf(hint, sizeof(hint), "%s%s", keys[0] ? "keys here: " : "", keys);
    config_fail(p, key, hint, "unknown key");
    config_lines_find(p->lines, p->err->key, true, &p->err->line, &p->err->column);
    return WEIR_EINVAL;
}

static int complaint_tell(struct config_pass *p, const struct complaint *c) {
    static const char unknown[] = "Unexpected key: ", shape[] = "Expecting ", many[] = "Excessive entries (",
                      few[] = "Insufficient entries";
    char path[sizeof(p->base)];
    bool too_many = strncmp(c->text, many, strlen(many)) == 0, too_few = strncmp(c->text, few, strlen(few)) == 0;
    path_build(c, (too_many || too_few) && c->n_frames ? 1 : 0, path, sizeof(path)); /* the list, not its entry */
    config_at(p, "%s", path);
    if (strncmp(c->text, unknown, strlen(unknown)) == 0)
        return complaint_unknown_key(p, c, c->text + strlen(unknown));
    if (too_many)
        return config_fail(p, NULL, NULL, "too many entries: at most %d", atoi(c->text + strlen(many)));
    if (too_few)
        return config_fail(p, NULL, "name at least one, or leave the key out", "the list is empty");
    if (strncmp(c->text, shape, strlen(shape)) == 0) {
        const char *got = strstr(c->text, "got event: ");
        return config_fail(p, NULL, NULL, "%s is expected here, not %s", shape_name(c->text + strlen(shape)),
                           shape_name(got ? got + strlen("got event: ") : ""));
    }
    return config_fail(p, NULL, NULL, "%s", c->text[0] ? c->text : "not a configuration");
}

static const cyaml_config_t cyaml_base = {
    .log_fn = complaint_take, .mem_fn = cyaml_mem, .log_level = CYAML_LOG_ERROR, .flags = CYAML_CFG_NO_ALIAS};

int config_schema_read(struct config_pass *p, const void *data, size_t len_bytes) {
    struct complaint complaint = {0};
    cyaml_config_t cyaml = cyaml_base;
    cyaml.log_ctx = &complaint;
    cyaml_err_t rc = cyaml_load_data(data, len_bytes, &cyaml, &config_value, (cyaml_data_t **)&p->raw, NULL);
    if (rc == CYAML_ERR_OOM) {
        config_fail(p, NULL, NULL, "out of memory while reading the configuration");
        return WEIR_ENOMEM;
    }
    if (rc != CYAML_OK)
        return complaint_tell(p, &complaint);
    if (!p->raw)
        return config_fail(p, NULL, "at least ports and listeners are needed", "the configuration is empty");
    return 0;
}

void config_schema_free(struct raw_config *raw) {
    struct complaint complaint = {0};
    cyaml_config_t cyaml = cyaml_base;
    cyaml.log_ctx = &complaint;
    if (raw)
        cyaml_free(&cyaml, &config_value, raw, 0);
}
