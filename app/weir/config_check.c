/* SPDX-License-Identifier: BSD-3-Clause */
/* Each key by itself: is it there, is it in range, does what it names exist. Section by section into struct config,
 * with the defaults. What takes two keys to judge is config_resolve.c's. */
#include "config_int.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CONNECTIONS_DEFAULT 100000u
#define HANDSHAKES_MAX      1000000u
#define CONNECTIONS_MAX     16000000u
#define SOCKET_DEFAULT      "/run/weir/weir.sock"

static bool cpu_is_online(const struct config_pass *p, uint32_t cpu) {
    return cpu < CONFIG_CPUS && (p->online[cpu / 64] >> (cpu % 64) & 1);
}

/* The lowest CPU that is online and not `other`; `other` where there is none. */
static uint16_t cpu_other_than(const struct config_pass *p, uint32_t other) {
    for (uint32_t cpu = 0; cpu < CONFIG_CPUS; cpu++)
        if (cpu != other && cpu_is_online(p, cpu))
            return (uint16_t)cpu;
    return (uint16_t)other;
}

static int check_cpu(struct config_pass *p, const char *key, const char *text, uint16_t *out) {
    uint32_t cpu = *out;
    int rc = config_text_u32(p, key, text, 0, CONFIG_CPUS - 1, &cpu);
    if (rc < 0)
        return rc;
    if (text && !cpu_is_online(p, cpu)) {
        char cpus[128] = "", hint[160], item[8];
        for (uint32_t i = 0; i < CONFIG_CPUS; i++)
            if (cpu_is_online(p, i)) {
                snprintf(item, sizeof(item), "%u", i);
                config_list_add(cpus, sizeof(cpus), item);
            }
        snprintf(hint, sizeof(hint), "online here: %s", cpus);
        return config_fail(p, key, hint, "CPU %u is not online", cpu);
    }
    *out = (uint16_t)cpu;
    return 0;
}

static int check_cpu_list(struct config_pass *p, const char *key, const struct raw_list *list, uint16_t *cpus,
                          uint16_t *n, unsigned max) {
    if (list->n > max)
        return config_fail(p, key, NULL, "too many entries: at most %u", max);
    for (unsigned i = 0; i < list->n; i++) {
        struct config_key k = config_key_of(key, i);
        int rc = check_cpu(p, k.text, list->items[i], &cpus[i]);
        if (rc < 0)
            return rc;
        for (unsigned j = 0; j < i; j++)
            if (cpus[j] == cpus[i])
                config_warn(p, k.text, "CPU %u is named twice: the two take turns on it", cpus[i]);
    }
    *n = (uint16_t)list->n;
    return 0;
}

/* Valid, and what small machines have to do; worth knowing on large ones. */
static void warn_shared_cpus(struct config_pass *p) {
    const struct config_cores *c = &p->config->cores;
    for (unsigned i = 0; i < c->n_workers; i++)
        if (c->workers[i] == c->control)
            config_warn(p, config_key_of("workers", i).text, "CPU %u is also the control core%s", c->control,
                        c->idle == CONFIG_IDLE_POLL ? "; a polling worker leaves it little time: set idle: adaptive"
                                                    : "");
    for (unsigned h = 0; h < c->n_handshake; h++) {
        if (c->handshake[h] == c->control)
            config_warn(p, config_key_of("handshake", h).text, "CPU %u is also the control core", c->control);
        for (unsigned i = 0; i < c->n_workers; i++)
            if (c->workers[i] == c->handshake[h]) {
                config_warn(p, config_key_of("handshake", h).text, "CPU %u is also a worker's", c->handshake[h]);
                break;
            }
    }
}

static int check_cores(struct config_pass *p) {
    static const struct config_word idles[] = {
        {"poll", CONFIG_IDLE_POLL}, {"adaptive", CONFIG_IDLE_ADAPTIVE}, {NULL, 0}};
    static const struct raw_cores none;
    const struct raw_cores *r = p->raw->cores ? p->raw->cores : &none;
    struct config_cores *c = &p->config->cores;
    int idle = CONFIG_IDLE_ADAPTIVE;
    config_at(p, "cores");
    c->control = cpu_other_than(p, UINT32_MAX);
    int rc = check_cpu(p, "control", r->control, &c->control);
    if (rc == 0)
        rc = check_cpu_list(p, "workers", &r->workers, c->workers, &c->n_workers, WEIR_MAX_WORKERS);
    if (rc == 0)
        rc = check_cpu_list(p, "handshake", &r->handshake, c->handshake, &c->n_handshake, WEIR_MAX_HANDSHAKE);
    if (rc == 0)
        rc = config_text_word(p, "idle", r->idle, idles, &idle);
    if (rc < 0)
        return rc;
    c->idle = (enum config_idle)idle;
    if (c->n_workers == 0)
        c->workers[c->n_workers++] = cpu_other_than(p, c->control);
    warn_shared_cpus(p);
    return 0;
}

static int check_memory(struct config_pass *p) {
    static const struct config_word kinds[] = {{"auto", CONFIG_HUGEPAGES_AUTO},
                                               {"required", CONFIG_HUGEPAGES_REQUIRED},
                                               {"off", CONFIG_HUGEPAGES_OFF},
                                               {NULL, 0}};
    static const struct raw_memory none;
    const struct raw_memory *r = p->raw->memory ? p->raw->memory : &none;
    struct config_memory *m = &p->config->memory;
    int kind = CONFIG_HUGEPAGES_AUTO;
    config_at(p, "memory");
    m->max_connections = CONNECTIONS_DEFAULT;
    int rc = config_text_u32(p, "max_connections", r->max_connections, 1, CONNECTIONS_MAX, &m->max_connections);
    if (rc == 0)
        rc = config_text_word(p, "hugepages", r->hugepages, kinds, &kind);
    m->hugepages = (enum config_hugepages)kind;
    return rc;
}

static int check_timeouts(struct config_pass *p) {
    static const struct raw_timeouts none;
    const struct raw_timeouts *r = p->raw->timeouts ? p->raw->timeouts : &none;
    struct config_timeouts *t = &p->config->timeouts;
    config_at(p, "timeouts");
    *t = (struct config_timeouts){.connect_s = 5,
                                  .handshake_s = 10,
                                  .mqtt_connect_s = 10,
                                  .drain_s = 30,
                                  .udp_idle_s = 60,
                                  .tcp_user_s = 60,
                                  .tcp_keepalive_s = 300};
    int rc = config_text_u32(p, "connect_s", r->connect_s, 1, 300, &t->connect_s);
    if (rc == 0)
        rc = config_text_u32(p, "handshake_s", r->handshake_s, 1, 300, &t->handshake_s);
    if (rc == 0)
        rc = config_text_u32(p, "mqtt_connect_s", r->mqtt_connect_s, 1, 300, &t->mqtt_connect_s);
    if (rc == 0)
        rc = config_text_u32(p, "drain_s", r->drain_s, 0, 86400, &t->drain_s);
    if (rc == 0)
        rc = config_text_u32(p, "udp_idle_s", r->udp_idle_s, 1, 86400, &t->udp_idle_s);
    if (rc == 0)
        rc = config_text_u32(p, "tcp_user_s", r->tcp_user_s, 5, 86400, &t->tcp_user_s);
    if (rc == 0)
        rc = config_text_u32(p, "tcp_keepalive_s", r->tcp_keepalive_s, 1, 86400, &t->tcp_keepalive_s);
    return rc;
}

static int check_limits(struct config_pass *p) {
    static const struct config_word refusals[] = {
        {"reset", CONFIG_REFUSAL_RESET}, {"alert", CONFIG_REFUSAL_ALERT}, {NULL, 0}};
    static const struct raw_limits none;
    const struct raw_limits *r = p->raw->limits ? p->raw->limits : &none;
    struct config_limits *l = &p->config->limits;
    int refusal = CONFIG_REFUSAL_RESET;
    config_at(p, "limits");
    int rc = config_text_u32(p, "handshakes", r->handshakes, 1, HANDSHAKES_MAX, &l->handshakes);
    if (rc == 0)
        rc = config_text_u32(p, "handshakes_per_source", r->handshakes_per_source, 0, HANDSHAKES_MAX,
                             &l->handshakes_per_source);
    if (rc == 0)
        rc = config_text_word(p, "handshake_refusal", r->handshake_refusal, refusals, &refusal);
    l->handshake_refusal = (enum config_refusal)refusal;
    return rc;
}

/* A file that is there or can be made; may weir write to it, then only starting it tells. */
static int check_log_file(struct config_pass *p, const char *path) {
    struct stat st;
    if (stat(path, &st) == 0)
        return S_ISDIR(st.st_mode) ? config_fail(p, "target", NULL, "%.180s is a folder, not a file", path) : 0;
    char folder[PATH_MAX];
    snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(path, '/') - path), path);
    if (folder[0] != '\0' && stat(folder, &st) != 0)
        return config_fail(p, "target", NULL, "%.180s: %s", folder, strerror(errno));
    return 0;
}

static int check_log(struct config_pass *p) {
    static const struct config_word levels[] = {{"error", LOG_LVL_ERROR},
                                                {"warning", LOG_LVL_WARNING},
                                                {"info", LOG_LVL_INFO},
                                                {"debug", LOG_LVL_DEBUG},
                                                {NULL, 0}};
    static const struct config_word formats[] = {{"text", LOG_FMT_TEXT}, {"json", LOG_FMT_JSON}, {NULL, 0}};
    static const struct raw_log none;
    const struct raw_log *r = p->raw->log ? p->raw->log : &none;
    struct config_log *l = &p->config->log;
    const char *target = r->target ? r->target : "stderr";
    bool word = strcmp(target, "stderr") == 0 || strcmp(target, "syslog") == 0;
    int level = LOG_LVL_INFO, format = LOG_FMT_TEXT;
    config_at(p, "log");
    int rc = config_text_word(p, "level", r->level, levels, &level);
    if (rc == 0)
        rc = config_text_word(p, "format", r->format, formats, &format);
    if (rc == 0)
        rc = word ? config_text_copy(p, "target", target, &l->target)
                  : config_text_path(p, "target", target, &l->target);
    if (rc == 0 && !word)
        rc = check_log_file(p, l->target);
    l->level = (enum log_level)level;
    l->format = (enum log_format)format;
    return rc;
}

static int check_control(struct config_pass *p) {
    static const struct raw_control none;
    const struct raw_control *r = p->raw->control ? p->raw->control : &none;
    struct config_control *c = &p->config->control;
    const char *socket = r->socket ? r->socket : SOCKET_DEFAULT;
    int rc = 0;
    config_at(p, "control");
    c->socket_enabled = strcmp(socket, "off") != 0;
    c->http_enabled = r->http && strcmp(r->http, "off") != 0;
    if (c->socket_enabled)
        rc = config_text_path(p, "socket", socket, &c->socket);
    if (rc == 0 && c->socket && strlen(c->socket) >= sizeof(((struct sockaddr_un *)0)->sun_path))
        rc =
            config_fail(p, "socket", "a shorter folder, such as /run/weir",
                        "longer than the %zu bytes a socket may have", sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
    if (rc == 0 && c->http_enabled)
        rc = config_text_addr_port(p, "http", r->http, true, &c->http_addr_be, &c->http_port_be);
    if (rc == 0 && c->http_enabled && ntohl(c->http_addr_be) >> 24 != 127)
        config_warn(p, "http", "metrics can be read by everybody who reaches %s", r->http);
    return rc;
}

/* "0000:18:00.0" or "18:00.0", alone or followed by device arguments. */
static bool is_pci_address(const char *device) {
    unsigned a, b, c, d;
    int end = 0;
    bool matched = sscanf(device, "%4x:%2x:%2x.%1u%n", &a, &b, &c, &d, &end) == 4;
    if (!matched)
        matched = sscanf(device, "%2x:%2x.%1u%n", &b, &c, &d, &end) == 3;
    return matched && (device[end] == '\0' || device[end] == ',');
}

static int check_device(struct config_pass *p, const char *device, char **out) {
    if (!device)
        return config_missing(p, "device", "a PCI address or a DPDK device string, such as net_tap0,iface=weir0");
    int rc = config_text_copy(p, "device", device, out);
    if (rc < 0)
        return rc;
    if (strlen(device) >= 256)
        return config_fail(p, "device", NULL, "longer than 255 characters");
    if (is_pci_address(device) || strncmp(device, "net_", 4) == 0 || strncmp(device, "eth_", 4) == 0)
        return 0;
    char hint[160] = "a PCI address or a DPDK device string, such as net_tap0,iface=weir0";
    if (!strpbrk(device, ",=:/ "))
        snprintf(hint, sizeof(hint), "for a kernel interface write net_af_xdp0,iface=%.60s", device);
    return config_fail(p, "device", hint, "\"%.60s\" is no DPDK device", device);
}

static int check_port(struct config_pass *p, const struct raw_port *r, struct config_port *port) {
    uint32_t mtu = 1500, mss = 0;
    int rc = config_text_name(p, r->name, port->name);
    if (rc == 0)
        rc = check_device(p, r->device, &port->device);
    if (rc == 0)
        rc = config_text_u32(p, "mtu", r->mtu, 576, 9000, &mtu);
    if (rc == 0) /* the least that TCP sends, and what IPv4 and TCP headers leave */
        rc = config_text_u32(p, "mss", r->mss, 88, mtu - 40, &mss);
    if (rc == 0)
        rc = config_text_bool(p, "exclusive", r->exclusive, &port->exclusive);
    if (rc == 0)
        rc = config_text_addr(p, "gateway", r->gateway, &port->gateway_be);
    if (rc == 0)
        rc = config_text_mac(p, "gateway_mac", r->gateway_mac, port->gateway_mac);
    if (rc == 0 && r->gateway_mac && !r->gateway)
        rc = config_fail(p, "gateway_mac", "name the gateway's address as well", "there is no gateway");
    if (rc == 0 && !r->addresses.n)
        rc = config_missing(p, "addresses", "weir's own addresses here, such as [198.18.0.1/24]");
    if (rc == 0 && r->addresses.n > CONFIG_MAX_ADDRESSES)
        rc = config_fail(p, "addresses", NULL, "too many entries: at most %u", CONFIG_MAX_ADDRESSES);
    for (unsigned i = 0; rc == 0 && i < r->addresses.n; i++)
        rc = config_text_prefix(p, config_key_of("addresses", i).text, r->addresses.items[i], &port->addresses[i]);
    port->mtu = (uint16_t)mtu;
    port->mss = (uint16_t)mss;
    port->gateway_pinned = r->gateway_mac != NULL;
    port->n_addresses = (uint16_t)r->addresses.n;
    return rc;
}

static int check_server(struct config_pass *p, const struct raw_server *r, struct config_server *s) {
    uint32_t weight = 1;
    int rc = config_text_name(p, r->name, s->name);
    if (rc == 0 && !r->address)
        rc = config_missing(p, "address", "address:port, such as 198.18.1.2:1883");
    if (rc == 0)
        rc = config_text_addr_port(p, "address", r->address, false, &s->addr_be, &s->port_be);
    if (rc == 0)
        rc = config_text_u32(p, "weight", r->weight, 1, 256, &weight);
    s->weight = (uint16_t)weight;
    return rc;
}

static int check_sources(struct config_pass *p, const struct raw_pool *r, struct config_pool *pool) {
    if (r->source_addresses.n > LB_MAX_SOURCES)
        return config_fail(p, "source_addresses", NULL, "too many entries: at most %u", LB_MAX_SOURCES);
    for (unsigned i = 0; i < r->source_addresses.n; i++) {
        struct config_key k = config_key_of("source_addresses", i);
        int rc = config_text_addr(p, k.text, r->source_addresses.items[i], &pool->source_addresses_be[i]);
        if (rc < 0)
            return rc;
        for (unsigned j = 0; j < i; j++)
            if (pool->source_addresses_be[j] == pool->source_addresses_be[i])
                return config_fail(p, k.text, NULL, "%s is named twice", r->source_addresses.items[i]);
    }
    pool->n_sources = (uint16_t)r->source_addresses.n;
    return 0;
}

/* What listeners and pools have in common. */
static int check_tcp(struct config_pass *p, const char *congestion, const char *ecn, struct tcp_options *o) {
    static const struct config_word algorithms[] = {{"cubic", TCP_CC_CUBIC}, {"reno", TCP_CC_RENO}, {NULL, 0}};
    static const struct config_word switches[] = {{"on", 1}, {"off", 0}, {NULL, 0}};
    int cc = TCP_CC_CUBIC, on = 0;
    int rc = config_text_word(p, "congestion", congestion, algorithms, &cc);
    if (rc == 0)
        rc = config_text_word(p, "ecn", ecn, switches, &on);
    o->cc = (uint8_t)cc;
    o->ecn = on;
    return rc;
}

static int check_pool(struct config_pass *p, unsigned index, const struct raw_pool *r, struct config_pool *pool) {
    static const struct config_word policies[] = {{"client-id", LB_CLIENT_ID},
                                                  {"username", LB_USERNAME},
                                                  {"certificate", LB_CERTIFICATE},
                                                  {"source", LB_SOURCE},
                                                  {"least-connections", LB_LEAST_CONNECTIONS},
                                                  {"round-robin", LB_ROUND_ROBIN},
                                                  {NULL, 0}};
    static const struct config_word proxy[] = {{"off", 0}, {"v1", 1}, {"v2", 2}, {NULL, 0}};
    int policy = LB_CLIENT_ID, proxy_protocol = 0;
    int rc = config_text_name(p, r->name, pool->name);
    if (rc == 0)
        rc = config_text_word(p, "policy", r->policy, policies, &policy);
    if (rc == 0)
        rc = config_text_word(p, "proxy_protocol", r->proxy_protocol, proxy, &proxy_protocol);
    if (rc == 0)
        rc = config_text_bool(p, "proxy_certificate", r->proxy_certificate, &pool->proxy_certificate);
    if (rc == 0)
        rc = check_tcp(p, r->congestion, r->ecn, &pool->tcp);
    if (rc == 0)
        rc = check_sources(p, r, pool);
    if (rc == 0 && !r->n_servers)
        rc = config_missing(p, "servers", "at least one, such as {name: b1, address: \"198.18.1.2:1883\"}");
    for (unsigned i = 0; rc == 0 && i < r->n_servers; i++) {
        config_at(p, "pools[%u].servers[%u]", index, i);
        rc = check_server(p, &r->servers[i], &pool->servers[i]);
        pool->servers[i].id = p->config->n_servers++;
    }
    pool->n_servers = (uint16_t)r->n_servers;
    config_at(p, "pools[%u]", index);
    if (rc == 0)
        rc = config_pool_tls_check(p, index, r, pool);
    pool->policy = (enum lb_policy)policy;
    pool->proxy_protocol = (uint8_t)proxy_protocol;
    return rc;
}

static int check_listener(struct config_pass *p, const struct raw_listener *r, struct config_listener *l) {
    static const struct config_word modes[] = {{"mqtt", CONFIG_MODE_MQTT},
                                               {"tcp", CONFIG_MODE_TCP},
                                               {"udp", CONFIG_MODE_UDP},
                                               {"echo", CONFIG_MODE_ECHO},
                                               {NULL, 0}};
    static const struct config_word cookies[] = {
        {"auto", TCP_COOKIES_AUTO}, {"always", TCP_COOKIES_ALWAYS}, {"off", TCP_COOKIES_OFF}, {NULL, 0}};
    static const struct config_word names[] = {{"client", CONFIG_USERNAME_KEPT},
                                               {"common-name", CONFIG_USERNAME_COMMON_NAME},
                                               {"fingerprint", CONFIG_USERNAME_FINGERPRINT},
                                               {"psk-identity", CONFIG_USERNAME_PSK},
                                               {"alt-dns", CONFIG_USERNAME_ALT + TLS_ALT_DNS},
                                               {"alt-email", CONFIG_USERNAME_ALT + TLS_ALT_EMAIL},
                                               {"alt-uri", CONFIG_USERNAME_ALT + TLS_ALT_URI},
                                               {NULL, 0}};
    int mode = CONFIG_MODE_MQTT, syn_cookies = TCP_COOKIES_AUTO, username = CONFIG_USERNAME_KEPT;
    int rc = config_text_name(p, r->name, l->name);
    if (rc == 0 && !r->address)
        rc = config_missing(p, "address", "address:port, such as 198.18.0.1:8883");
    if (rc == 0)
        rc = config_text_addr_port(p, "address", r->address, false, &l->addr_be, &l->port_be);
    if (rc == 0 && !r->mode)
        rc = config_missing(p, "mode", "mqtt | tcp | udp | echo");
    if (rc == 0)
        rc = config_text_word(p, "mode", r->mode, modes, &mode);
    if (rc == 0)
        rc = check_tcp(p, r->congestion, r->ecn, &l->tcp);
    if (rc == 0)
        rc = config_text_word(p, "syn_cookies", r->syn_cookies, cookies, &syn_cookies);
    if (rc == 0)
        rc = config_text_word(p, "username_from", r->username_from, names, &username);
    l->mode = (enum config_mode)mode;
    l->username = (enum config_username)username;
    l->tcp.cookies = (uint8_t)syn_cookies;
    l->tls = l->pool = CONFIG_NONE;
    return rc;
}

static int check_tables(struct config_pass *p) {
    const struct raw_config *r = p->raw;
    struct config *c = p->config;
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < r->n_ports; i++) {
        config_at(p, "ports[%u]", i);
        rc = check_port(p, &r->ports[i], &c->ports[i]);
    }
    for (unsigned i = 0; rc == 0 && i < r->n_tls; i++) {
        config_at(p, "tls[%u]", i);
        rc = config_tls_check(p, i, &r->tls[i], &c->tls[i]);
    }
    for (unsigned i = 0; rc == 0 && i < r->n_pools; i++) {
        config_at(p, "pools[%u]", i);
        rc = check_pool(p, i, &r->pools[i], &c->pools[i]);
    }
    for (unsigned i = 0; rc == 0 && i < r->n_listeners; i++) {
        config_at(p, "listeners[%u]", i);
        rc = check_listener(p, &r->listeners[i], &c->listeners[i]);
    }
    c->n_ports = (uint16_t)r->n_ports;
    c->n_tls = (uint16_t)r->n_tls;
    c->n_pools = (uint16_t)r->n_pools;
    c->n_listeners = (uint16_t)r->n_listeners;
    return rc;
}

int config_check(struct config_pass *p) {
    static int (*const sections[])(struct config_pass *) = {check_cores, check_memory,  check_timeouts, check_limits,
                                                            check_log,   check_control, check_tables};
    config_at(p, "%s", "");
    if (!p->raw->n_ports)
        return config_missing(p, "ports", "at least one: {name: front, device: ..., addresses: [198.18.0.1/24]}");
    if (!p->raw->n_listeners)
        return config_missing(p, "listeners", "at least one: {name: mqtt, address: \"198.18.0.1:1883\", mode: mqtt}");
    for (size_t i = 0; i < WEIR_ARRAY_LEN(sections); i++) {
        int rc = sections[i](p);
        if (rc < 0)
            return rc;
    }
    return 0;
}
