/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files behind config.h share. Nobody else includes it.
 *
 * All scalars arrive from libcyaml as text: structure (unknown keys, a list where a value belongs) is its business,
 * what a value may be is ours. Its own number parser takes "15oo" for 15 and its booleans take any word for true. */
#ifndef WEIR_CONFIG_INT_H
#define WEIR_CONFIG_INT_H

#include "config.h"

#include <netinet/in.h>

#define CONFIG_FILE_MAX         (1u << 20) /* bytes */
#define CONFIG_CPUS             1024u      /* CPU ids 0..1023 */
#define CONFIG_MAX_CERTIFICATES 1024u      /* of a tls entry */
#define CONFIG_ADDR_LEN         24         /* "255.255.255.255:65535" */

/* --- the file as it is written; NULL: not given --- */
struct raw_list {
    char **items;
    unsigned n;
};
struct raw_cores {
    char *control, *idle;
    struct raw_list workers, handshake;
};
struct raw_memory {
    char *max_connections, *hugepages;
};
struct raw_timeouts {
    char *connect_s, *handshake_s, *mqtt_connect_s, *drain_s, *udp_idle_s, *tcp_user_s, *tcp_keepalive_s;
};
struct raw_limits {
    char *handshakes, *handshakes_per_source, *handshake_refusal;
};
struct raw_log {
    char *level, *target, *format;
};
struct raw_port {
    char *name, *device, *gateway, *gateway_mac, *mtu, *mss, *exclusive;
    struct raw_list addresses;
};
struct raw_certificate {
    char *certificate, *key, *ocsp;
    struct raw_list names;
};
struct raw_tls {
    char *name, *certificate, *key, *min_version, *ciphers, *ciphersuites;
    char *strict_sni, *groups, *security_level, *watch;
    char *tickets, *ticket_keys, *ticket_rotate_s, *psk_file, *srp_file, *key_log;
    char *client_certificates, *client_ca, *client_crl, *client_depth;
    struct raw_list alpn;
    struct raw_certificate *certificates;
    unsigned n_certificates;
};
struct raw_server {
    char *name, *address, *weight, *server_name;
};
struct raw_pool_tls {
    char *ca, *verify, *server_name, *certificate, *key, *min_version, *ciphers, *ciphersuites;
};
struct raw_pool {
    char *name, *policy, *port, *proxy_protocol, *proxy_certificate, *congestion, *ecn;
    struct raw_list source_addresses;
    struct raw_pool_tls *tls;
    struct raw_server *servers;
    unsigned n_servers;
};
struct raw_listener {
    char *name, *address, *mode, *tls, *pool, *congestion, *ecn, *syn_cookies, *username_from;
};
struct raw_control {
    char *socket, *http;
};
struct raw_config {
    struct raw_cores *cores;
    struct raw_memory *memory;
    struct raw_timeouts *timeouts;
    struct raw_limits *limits;
    struct raw_log *log;
    struct raw_control *control;
    struct raw_port *ports;
    struct raw_tls *tls;
    struct raw_pool *pools;
    struct raw_listener *listeners;
    unsigned n_ports, n_tls, n_pools, n_listeners;
};

/* --- config_lines.c: where a key stands --- */
struct config_lines;

/* Parse once and note every node's position; refuses what is not YAML, and what no configuration needs (aliases,
 * several documents, keys given twice, zero bytes). Returns 0, WEIR_EINVAL or WEIR_ENOMEM with `err` filled but for its
 * file. */
int config_lines_read(const void *data, size_t len_bytes, struct config_lines **out, struct config_error *err);

/* Position of the value (of_key: of the key) at `path`, e.g. "ports[0].mtu"; where it does not exist, of the nearest
 * node above it. */
void config_lines_find(const struct config_lines *lines, const char *path, bool of_key, uint32_t *line,
                       uint32_t *column);
void config_lines_free(struct config_lines *lines);

/* --- what the passes hand on --- */
struct config_pass {
    const char *name;   /* of the file, for messages */
    const char *folder; /* absolute; relative paths start here */
    const struct config_lines *lines;
    struct raw_config *raw;
    struct config *config;
    struct config_error *err;
    char base[96];                     /* where we are: "pools[0].servers[2]" or "cores"; empty at the top */
    uint64_t online[CONFIG_CPUS / 64]; /* CPUs, as bits */
};

/* config_schema.c: libcyaml into p->raw. Returns 0, WEIR_EINVAL or WEIR_ENOMEM with p->err filled. */
int config_schema_read(struct config_pass *p, const void *data, size_t len_bytes);
void config_schema_free(struct raw_config *raw);

/* config_check.c: each value by itself. config_resolve.c: names, addresses and clashes. 0, WEIR_EINVAL or WEIR_ENOMEM.
 */
int config_check(struct config_pass *p);
/* config_tls.c: the part of it that is about one entry of `tls`. */
int config_tls_check(struct config_pass *p, unsigned index, const struct raw_tls *r, struct config_tls *t);
void config_tls_free(struct config_tls *t);
/* A regular file that can be read now; it is opened again when TLS loads it. `secret`: warned of where everybody may
 * read it. */
int config_tls_file(struct config_pass *p, const char *key, const char *text, char **out, bool secret);
/* config_pool_tls.c: a pool's `tls`, and the names of its servers; behind its servers' own keys. */
int config_pool_tls_check(struct config_pass *p, unsigned index, const struct raw_pool *r, struct config_pool *pool);
void config_pool_tls_free(struct config_pool *pool);
int config_resolve(struct config_pass *p);

/* --- config.c --- config_parse_buffer with the machine's CPUs as an argument, for tests. */
struct config_source {
    const void *data;
    size_t len_bytes;
    const char *name, *folder;
};
int config_parse_on(const struct config_source *source, const uint64_t online[CONFIG_CPUS / 64], struct config **out,
                    struct config_error *err);

/* --- config_text.c: errors, warnings and values --- */

/* Enter a section: base = format. */
void config_at(struct config_pass *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Record the error at base.key (key NULL: at base) and return WEIR_EINVAL. `hint` (may be NULL) is copied. */
int config_fail(struct config_pass *p, const char *key, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The same for a key that has to be there. */
int config_missing(struct config_pass *p, const char *key, const char *hint);

/* Where the section, or a key of it (NULL: none), lies: `weir.yaml:50:5: tls[0].key`; the caller's (free). */
int config_text_where(struct config_pass *p, const char *key, char **out);

/* Add a warning at base.key; those beyond CONFIG_MAX_WARNINGS are left out. */
void config_warn(struct config_pass *p, const char *key, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* "key[index]", for the arguments above. */
struct config_key {
    char text[64];
};
struct config_key config_key_of(const char *key, unsigned index);

/* A row of the words a key takes; a table ends with word NULL. */
struct config_word {
    const char *word;
    int value;
};

/* Each of these leaves *out alone where text is NULL, and fails at base.key. */
int config_text_u32(struct config_pass *p, const char *key, const char *text, uint32_t min, uint32_t max,
                    uint32_t *out);
int config_text_word(struct config_pass *p, const char *key, const char *text, const struct config_word *words,
                     int *out);
int config_text_bool(struct config_pass *p, const char *key, const char *text, bool *out);
/* A host's unicast address. */
int config_text_addr(struct config_pass *p, const char *key, const char *text, uint32_t *addr_be);
/* "198.18.0.1/24": a host's address in that subnet. */
int config_text_mac(struct config_pass *p, const char *key, const char *text, uint8_t mac[6]);
int config_text_prefix(struct config_pass *p, const char *key, const char *text, struct config_address *out);
/* "198.18.0.1:8883"; any_host: also 0.0.0.0 and 127.0.0.0/8. */
int config_text_addr_port(struct config_pass *p, const char *key, const char *text, bool any_host, uint32_t *addr_be,
                          uint16_t *port_be);
/* Required; [A-Za-z0-9_.-]{1,31}. */
int config_text_name(struct config_pass *p, const char *text, char name[CONFIG_NAME_LEN]);
/* A copy; not empty, no control characters. Returns WEIR_ENOMEM too, with the error filled. */
int config_text_copy(struct config_pass *p, const char *key, const char *text, char **out);
/* Copies of a list's items; at most `max`. The caller frees them with config_text_list_free, whatever is returned. */
int config_text_list(struct config_pass *p, const char *key, const struct raw_list *list, unsigned max, char ***out,
                     uint16_t *n);
void config_text_list_free(char **list, uint16_t n);
/* As config_text_copy, an absolute path. */
int config_text_path(struct config_pass *p, const char *key, const char *text, char **out);

char *config_addr_format(uint32_t addr_be, char buf[CONFIG_ADDR_LEN]); /* "198.18.0.1" */
/* Append to a list of names for a hint: "a, b, c", cut with ", ..." where buf ends. */
void config_list_add(char *buf, size_t size_bytes, const char *item);

static inline uint32_t config_mask_be(uint8_t prefix_len) {
    return prefix_len ? htonl(~0u << (32 - prefix_len)) : 0;
}

static inline bool config_on_link(const struct config_address *a, uint32_t addr_be) {
    return ((a->addr_be ^ addr_be) & config_mask_be(a->prefix_len)) == 0;
}

#endif
