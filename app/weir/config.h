/* SPDX-License-Identifier: BSD-3-Clause */
/* The configuration: from a YAML file to one checked, resolved, immutable struct config.
 *
 *   options.c         the command line
 *   config.c          load: read the file, run the passes below, free
 *   config_schema.c   the keys and their types (libcyaml), into raw structs that mirror the file
 *   config_check.c    ranges, names, files, CPUs: what can be judged key by key; fills struct config
 *   config_tls.c      the same of `tls`; config_pool_tls.c: of a pool's `tls`
 *   config_resolve.c  what needs the whole: references, subnets, the port towards each pool, clashes between listeners
 *   config_text.c     one value: from text to its type; errors and warnings with their place
 *   config_lines.c    from a key's path (`listeners[1].pool`) to its line and column, by libyaml's marks
 *   memory_plan.c     what a struct config costs in memory; memory_print.c: as the table of --check
 *
 * The file's keys, units, ranges and defaults are documented in docs/weir.yaml.5. Every reference by name is an index
 * here, every address is in wire order, every path is absolute, every default is filled in: nobody behind config_load
 * looks at YAML or judges a value again. What only a running system can tell (does the device open, does the key match
 * the certificate) is checked at start by who opens it.
 *
 * Memory: one block and the strings it points to; config_free frees both. Threading: none inside; a finished struct
 * config is never written again and may be read by any thread. */
#ifndef WEIR_CONFIG_H
#define WEIR_CONFIG_H

#include "base/base.h"
#include "base/log.h"
#include "lb/lb.h"
#include "limits.h"
#include "tcp/tcp.h"
#include "tls/tls.h"

#define CONFIG_NAME_LEN      32 /* [A-Za-z0-9_.-]{1,31} and a zero */
#define CONFIG_MAX_ADDRESSES 32 /* a port: configured ones and the pools' source addresses */
#define CONFIG_MAX_WARNINGS  16
#define CONFIG_NONE          (-1)

enum config_idle { CONFIG_IDLE_POLL, CONFIG_IDLE_ADAPTIVE };
enum config_hugepages { CONFIG_HUGEPAGES_AUTO, CONFIG_HUGEPAGES_REQUIRED, CONFIG_HUGEPAGES_OFF };
enum config_mode { CONFIG_MODE_MQTT, CONFIG_MODE_TCP, CONFIG_MODE_UDP, CONFIG_MODE_ECHO };

struct config_cores {
    uint16_t control;                       /* CPU id */
    uint16_t workers[WEIR_MAX_WORKERS];     /* CPU ids; the same one may come twice */
    uint16_t handshake[WEIR_MAX_HANDSHAKE]; /* CPU ids; none: the workers do the handshakes */
    uint16_t n_workers;                     /* >= 1 */
    uint16_t n_handshake;
    enum config_idle idle;
};

struct config_memory {
    uint32_t max_connections; /* proxied pairs, over all workers */
    enum config_hugepages hugepages;
};

struct config_timeouts {      /* seconds */
    uint32_t connect_s;       /* TCP handshake with a server, and TLS handshake behind it */
    uint32_t handshake_s;     /* TLS handshake of a client */
    uint32_t mqtt_connect_s;  /* until a complete CONNECT is here */
    uint32_t drain_s;         /* SIGTERM: how long open connections may go on */
    uint32_t udp_idle_s;      /* a UDP flow without a datagram either way */
    uint32_t tcp_user_s;      /* a TCP flow whose peer takes too little of what waits for it */
    uint32_t tcp_keepalive_s; /* an idle TCP flow, until its peer is asked whether it is still there */
};

enum config_refusal { CONFIG_REFUSAL_RESET, CONFIG_REFUSAL_ALERT };

struct config_limits {
    uint32_t handshakes;            /* SSL objects at once, a worker; 0: as memory.max_connections has it */
    uint32_t handshakes_per_source; /* waiting and under way from one address, a worker; 0: no limit */
    enum config_refusal handshake_refusal;
};

struct config_log {
    enum log_level level;
    enum log_format format;
    char *target; /* "stderr", "syslog" or an absolute path: as log_open takes it */
};

struct config_address {
    uint32_t addr_be;
    uint8_t prefix_len;
    bool from_pool; /* a pool's source address, not written under the port: owned (ARP answers) but never listened on */
};

struct config_port {
    char name[CONFIG_NAME_LEN];
    char *device;                                          /* vdev string or PCI address, as DPDK takes it */
    struct config_address addresses[CONFIG_MAX_ADDRESSES]; /* all that weir owns here; [0] is the port's default */
    uint16_t n_addresses;                                  /* >= 1 */
    uint16_t mtu;                                          /* 576..9000 */
    uint16_t mss;                                          /* most payload of a TCP segment; 0: what the MTU takes */
    uint32_t gateway_be;                                   /* on-link; 0: none */
    uint8_t gateway_mac[6];                                /* where gateway_pinned: not asked for */
    bool gateway_pinned;
    bool exclusive; /* the interface with the host's default route may be taken */
};

struct config_certificate {
    char *certificate, *key; /* absolute paths, readable when they were checked */
    char *ocsp;              /* absolute path of a response to be stapled; NULL: none */
    char **names;            /* servers it is for; none: those in the certificate */
    uint16_t n_names;
    char *where; /* `weir.yaml:52:9: tls[0].certificates[1]`, for what only loading it finds */
};

struct config_tls {
    char name[CONFIG_NAME_LEN];
    struct config_certificate *certificates; /* [0] serves where no name fits */
    uint16_t n_certificates;                 /* >= 1 */
    bool strict_sni;                         /* names that no certificate has are refused */
    bool watch;                              /* certificates are read again when their files change */
    uint16_t min_version;                    /* 0x0303 (TLS 1.2) or 0x0304 (TLS 1.3) */
    char *ciphers, *ciphersuites, *groups;   /* OpenSSL's notation; NULL: the library's choice */
    int security_level;                      /* 0..5, or CONFIG_NONE: the library's choice */
    char **alpn;                             /* protocols in order of preference */
    uint16_t n_alpn;
    enum tls_client_certificates client_certificates;
    char *client_ca, *client_crl; /* absolute paths; NULL: not given */
    int client_depth;             /* intermediate certificates at most */
    char *psk_file;               /* absolute path; NULL: no pre-shared keys */
    char *srp_file;               /* absolute path; NULL: no SRP users */
    char *key_log;                /* absolute path of a file that all keys are appended to; NULL: none */
    bool tell_names;              /* of server and protocol are kept: a pool behind it, or alpn, asks for them */
    uint32_t keep_alt_names;      /* of clients' certificates, bits 1 << enum tls_alt_name: a listener asks for them */
    bool keep_certificate;        /* themselves: a pool behind it asks for them */
    uint32_t tickets;             /* a handshake, 0..4 */
    char *ticket_keys;            /* absolute path; NULL: keys at random */
    uint32_t ticket_rotate_s;     /* until random keys are replaced */
    char *where;                  /* `weir.yaml:50:5: tls[0]`, for what only loading it finds */
    char *where_ciphers, *where_ciphersuites, *where_groups; /* the same of these keys; NULL: not given */
};

struct config_pool_tls { /* towards the servers of a pool */
    bool on;             /* else the rest means nothing */
    bool verify;
    uint16_t min_version;           /* 0x0303 (TLS 1.2) or 0x0304 (TLS 1.3) */
    char *ca;                       /* absolute path; NULL: the system's CAs */
    char *certificate, *key;        /* weir's own, absolute paths; NULL: none */
    char *ciphers, *ciphersuites;   /* OpenSSL's notation; NULL: the library's choice */
    char *where;                    /* `weir.yaml:60:7: pools[0].tls`, for what only loading it finds */
    char *where_ca, *where_ciphers; /* the same of these keys; NULL: not given */
    char *where_ciphersuites;
    char *where_certificate, *where_key;
};

struct config_server {
    char name[CONFIG_NAME_LEN];
    char *tls_name; /* what its certificate is for, a DNS name or an address as text; NULL: its pool speaks no TLS */
    uint32_t addr_be;
    uint16_t port_be;
    uint16_t weight; /* 1..256 */
    uint16_t id;     /* running number over all pools */
};

struct config_pool {
    char name[CONFIG_NAME_LEN];
    enum lb_policy policy;
    uint8_t proxy_protocol; /* 0: off, 1, 2 */
    bool proxy_certificate; /* which carries the client's */
    uint8_t port;           /* index of the port that reaches every server of this pool */
    struct tcp_options tcp; /* of connections towards its servers */
    struct config_pool_tls tls;
    uint16_t n_sources;                           /* >= 1 */
    uint16_t n_servers;                           /* >= 1 */
    uint32_t source_addresses_be[LB_MAX_SOURCES]; /* owned by that port */
    struct config_server servers[LB_MAX_SERVERS];
};

/* Whose name a CONNECT goes on with. */
enum config_username {
    CONFIG_USERNAME_KEPT,
    CONFIG_USERNAME_COMMON_NAME,
    CONFIG_USERNAME_FINGERPRINT,
    CONFIG_USERNAME_PSK,
    CONFIG_USERNAME_ALT /* and what follows: + enum tls_alt_name */
};

struct config_listener {
    char name[CONFIG_NAME_LEN];
    uint32_t addr_be;
    uint16_t port_be;
    enum config_mode mode;
    int tls;      /* index, or CONFIG_NONE */
    int pool;     /* index, or CONFIG_NONE (echo) */
    uint8_t port; /* index of the port that owns addr_be */
    enum config_username username;
    struct tcp_options tcp; /* of accepted connections; nothing for udp */
};

struct config_control {
    char *socket; /* absolute path; NULL where socket_enabled is false */
    uint32_t http_addr_be;
    uint16_t http_port_be;
    bool socket_enabled, http_enabled;
};

struct config {
    char *file; /* as given to config_load */
    struct config_cores cores;
    struct config_memory memory;
    struct config_timeouts timeouts;
    struct config_limits limits;
    struct config_log log;
    struct config_control control;
    uint16_t n_ports, n_tls, n_pools, n_listeners;
    uint16_t n_servers; /* over all pools */
    uint16_t n_warnings;
    struct config_port ports[WEIR_MAX_PORTS];
    struct config_tls tls[WEIR_MAX_TLS];
    struct config_pool pools[WEIR_MAX_POOLS];
    struct config_listener listeners[WEIR_MAX_LISTENERS];
    char *warnings[CONFIG_MAX_WARNINGS]; /* complete lines: file:line:column: key: text; valid but worth a look */
};

/* What is wrong, where, and what to do. */
struct config_error {
    char file[256];
    uint32_t line, column; /* from 1; 0: not tied to a line */
    char key[160];         /* path of the key, e.g. `listeners[1].pool`; empty: the file as a whole */
    char message[256];     /* what is wrong */
    char hint[256];        /* what would be right; may be empty */
};

/* Read and check a file. On success *out is the caller's (config_free).
 * Returns 0, or WEIR_EINVAL (the text is wrong), WEIR_EIO (the file cannot be read) or WEIR_ENOMEM; *err is filled for
 * each of them and *out is NULL. */
int config_load(const char *path, struct config **out, struct config_error *err);

/* The same from memory. `name` stands for the file in messages; relative paths start at `folder`. */
int config_parse_buffer(const void *data, size_t len_bytes, const char *name, const char *folder, struct config **out,
                        struct config_error *err);

/* NULL is allowed. */
void config_free(struct config *c);

/* One line, no newline: `weir: /etc/weir.yaml:31:12: listeners[1].pool: no pool is named "brokrs" (pools: brokers)`.
 * Returns buf. */
char *config_error_format(const struct config_error *err, char *buf, size_t size_bytes);

const char *config_mode_name(enum config_mode m);           /* "mqtt" */
const char *config_idle_name(enum config_idle i);           /* "adaptive" */
const char *config_hugepages_name(enum config_hugepages h); /* "auto" */

#endif
