/* SPDX-License-Identifier: BSD-3-Clause */
/* The configuration as a whole: names that refer to each other, addresses that have to lie in a port's subnet, the one
 * port that reaches each pool, and listeners that would clash. */
#include "config_int.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define SOURCE_CONNECTIONS 60000u /* about what one source address holds towards one server address */

/* Names of a list are found by stride, since each list has its own struct with the name first. */
#define FIRST_IS_NAME(type) static_assert(offsetof(struct type, name) == 0, "names are found at the start")
FIRST_IS_NAME(config_port);
FIRST_IS_NAME(config_tls);
FIRST_IS_NAME(config_pool);
FIRST_IS_NAME(config_server);
FIRST_IS_NAME(config_listener);

struct name_list {
    const char *what; /* "pool" */
    const char *path; /* "pools" */
    const void *items;
    size_t stride_bytes;
    unsigned n;
};

static const char *name_at(const struct name_list *l, unsigned i) {
    return (const char *)l->items + i * l->stride_bytes;
}

static int name_find(const struct name_list *l, const char *name) {
    for (unsigned i = 0; i < l->n; i++)
        if (strcmp(name_at(l, i), name) == 0)
            return (int)i;
    return CONFIG_NONE;
}

static struct name_list ports_of(const struct config *c) {
    return (struct name_list){"port", "ports", c->ports, sizeof(c->ports[0]), c->n_ports};
}

static struct name_list tls_of(const struct config *c) {
    return (struct name_list){"tls entry", "tls", c->tls, sizeof(c->tls[0]), c->n_tls};
}

static struct name_list pools_of(const struct config *c) {
    return (struct name_list){"pool", "pools", c->pools, sizeof(c->pools[0]), c->n_pools};
}

static int resolve_unique(struct config_pass *p, const struct name_list *l) {
    for (unsigned i = 0; i < l->n; i++)
        for (unsigned j = 0; j < i; j++)
            if (strcmp(name_at(l, i), name_at(l, j)) == 0) {
                config_at(p, "%s[%u]", l->path, i);
                return config_fail(p, "name", NULL, "%s \"%s\" exists already: %s[%u]", l->what, name_at(l, i), l->path,
                                   j);
            }
    return 0;
}

/* `name` (may be NULL: CONFIG_NONE) in the list, or an error at base.key that lists what there is. */
static int resolve_name(struct config_pass *p, const char *key, const char *name, const struct name_list *l, int *out) {
    char names[160] = "", hint[200];
    *out = name ? name_find(l, name) : CONFIG_NONE;
    if (!name || *out != CONFIG_NONE)
        return 0;
    for (unsigned i = 0; i < l->n; i++)
        config_list_add(names, sizeof(names), name_at(l, i));
    snprintf(hint, sizeof(hint), "%s: %s", l->path, l->n ? names : "none");
    return config_fail(p, key, hint, "no %s is named \"%.40s\"", l->what, name);
}

static int resolve_names(struct config_pass *p) {
    const struct config *c = p->config;
    const struct name_list lists[] = {
        ports_of(c),
        tls_of(c),
        pools_of(c),
        {"listener", "listeners", c->listeners, sizeof(c->listeners[0]), c->n_listeners},
    };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < WEIR_ARRAY_LEN(lists); i++)
        rc = resolve_unique(p, &lists[i]);
    for (unsigned i = 0; rc == 0 && i < c->n_pools; i++) {
        char path[32];
        snprintf(path, sizeof(path), "pools[%u].servers", i);
        const struct config_pool *pool = &c->pools[i];
        const struct name_list servers = {"server", path, pool->servers, sizeof(pool->servers[0]), pool->n_servers};
        rc = resolve_unique(p, &servers);
    }
    return rc;
}

/* --- addresses --- */

/* Does the port own this address? configured: only those written under the port. */
static bool port_owns(const struct config_port *port, uint32_t addr_be, bool configured) {
    for (unsigned i = 0; i < port->n_addresses; i++)
        if (port->addresses[i].addr_be == addr_be && !(configured && port->addresses[i].from_pool))
            return true;
    return false;
}

static int owner_of(const struct config *c, uint32_t addr_be, bool configured) {
    for (unsigned i = 0; i < c->n_ports; i++)
        if (port_owns(&c->ports[i], addr_be, configured))
            return (int)i;
    return CONFIG_NONE;
}

/* The port's address in whose subnet addr_be lies, or NULL. */
static const struct config_address *port_subnet(const struct config_port *port, uint32_t addr_be) {
    for (unsigned i = 0; i < port->n_addresses; i++)
        if (config_on_link(&port->addresses[i], addr_be))
            return &port->addresses[i];
    return NULL;
}

/* "front 198.18.0.1/24, back 198.18.1.1/24" */
static void subnets_list(const struct config *c, char *buf, size_t size_bytes) {
    char addr[CONFIG_ADDR_LEN], item[CONFIG_NAME_LEN + CONFIG_ADDR_LEN + 8];
    for (unsigned i = 0; i < c->n_ports; i++)
        for (unsigned j = 0; j < c->ports[i].n_addresses; j++) {
            const struct config_address *a = &c->ports[i].addresses[j];
            if (a->from_pool)
                continue;
            snprintf(item, sizeof(item), "%s %s/%u", c->ports[i].name, config_addr_format(a->addr_be, addr),
                     a->prefix_len);
            config_list_add(buf, size_bytes, item);
        }
}

/* The part of a device string that must not come twice: the kernel interface, else the device's own name. */
static size_t device_identity(const char *device, const char **start) {
    const char *iface = strstr(device, ",iface=");
    *start = iface ? iface + strlen(",iface=") : device;
    return strcspn(*start, ",");
}

static int resolve_devices(struct config_pass *p) {
    const struct config *c = p->config;
    for (unsigned i = 0; i < c->n_ports; i++)
        for (unsigned j = 0; j < i; j++) {
            const char *a, *b;
            size_t a_len = device_identity(c->ports[i].device, &a), b_len = device_identity(c->ports[j].device, &b);
            size_t name_len = strcspn(c->ports[i].device, ",");
            bool same_name = strcspn(c->ports[j].device, ",") == name_len &&
                             strncmp(c->ports[i].device, c->ports[j].device, name_len) == 0;
            if (!same_name && (a_len != b_len || strncmp(a, b, a_len) != 0))
                continue;
            config_at(p, "ports[%u]", i);
            return config_fail(p, "device", "each port needs a device of its own; one port may serve both sides",
                               "%.*s is port \"%s\" already", (int)(same_name ? name_len : a_len),
                               same_name ? c->ports[i].device : a, c->ports[j].name);
        }
    return 0;
}

static int resolve_port_addresses(struct config_pass *p, unsigned index) {
    const struct config *c = p->config;
    const struct config_port *port = &c->ports[index];
    char addr[CONFIG_ADDR_LEN];
    config_at(p, "ports[%u]", index);
    for (unsigned i = 0; i < port->n_addresses; i++) {
        struct config_key k = config_key_of("addresses", i);
        bool taken = false;
        for (unsigned j = 0; j < i; j++)
            taken |= port->addresses[j].addr_be == port->addresses[i].addr_be;
        for (unsigned j = 0; j < index; j++)
            taken |= port_owns(&c->ports[j], port->addresses[i].addr_be, true);
        if (taken)
            return config_fail(p, k.text, NULL, "%s is named twice",
                               config_addr_format(port->addresses[i].addr_be, addr));
    }
    if (port->gateway_be && !port_subnet(port, port->gateway_be))
        return config_fail(p, "gateway", "a router that the port reaches directly", "%s lies in no subnet of this port",
                           config_addr_format(port->gateway_be, addr));
    return 0;
}

/* The owners of addresses are complete once all pools have added theirs: only now can a gateway be one of ours. */
static int resolve_gateways(struct config_pass *p) {
    const struct config *c = p->config;
    char addr[CONFIG_ADDR_LEN];
    for (unsigned i = 0; i < c->n_ports; i++) {
        config_at(p, "ports[%u]", i);
        if (c->ports[i].gateway_be && owner_of(c, c->ports[i].gateway_be, false) != CONFIG_NONE)
            return config_fail(p, "gateway", NULL, "%s is weir's own address",
                               config_addr_format(c->ports[i].gateway_be, addr));
    }
    return 0;
}

/* --- pools --- */

/* Which port reaches this server: one with its subnet, else one with a gateway. Exactly one, or an error. `fixed`: the
 * pool names its port. */
static int server_port(struct config_pass *p, const struct config_server *s, int fixed, int *out) {
    const struct config *c = p->config;
    char ports[160] = "", hint[256], addr[CONFIG_ADDR_LEN];
    config_addr_format(s->addr_be, addr);
    *out = CONFIG_NONE;
    for (unsigned gateway = 0; gateway < 2 && *out == CONFIG_NONE; gateway++) {
        unsigned found = 0;
        for (unsigned i = 0; i < c->n_ports; i++) {
            const struct config_port *port = &c->ports[i];
            if ((fixed != CONFIG_NONE && (int)i != fixed) ||
                !(gateway ? port->gateway_be != 0 : port_subnet(port, s->addr_be) != NULL))
                continue;
            *out = (int)i;
            found++;
            config_list_add(ports, sizeof(ports), port->name);
        }
        if (found > 1) {
            snprintf(hint, sizeof(hint), "say which with pools[].port: %.180s", ports);
            return config_fail(p, "address", hint, "%s is reached %s more than one port", addr,
                               gateway ? "through the gateway of" : "by");
        }
    }
    if (*out != CONFIG_NONE)
        return 0;
    subnets_list(c, ports, sizeof(ports));
    snprintf(hint, sizeof(hint), "ports: %s; give one of them a gateway, or an address in that subnet", ports);
    return config_fail(p, "address", hint, "%s lies in no port's subnet, and %s has a gateway", addr,
                       fixed == CONFIG_NONE ? "no port" : "the pool's port not");
}

static int resolve_servers(struct config_pass *p, unsigned index, struct config_pool *pool) {
    const struct name_list ports = ports_of(p->config);
    int fixed, first = CONFIG_NONE;
    config_at(p, "pools[%u]", index);
    int rc = resolve_name(p, "port", p->raw->pools[index].port, &ports, &fixed);
    for (unsigned i = 0; rc == 0 && i < pool->n_servers; i++) {
        const struct config_server *s = &pool->servers[i];
        int port;
        config_at(p, "pools[%u].servers[%u]", index, i);
        for (unsigned j = 0; j < i; j++)
            if (pool->servers[j].addr_be == s->addr_be && pool->servers[j].port_be == s->port_be)
                return config_fail(p, "address", "give one of them more weight instead",
                                   "the same as that of server \"%s\"", pool->servers[j].name);
        rc = server_port(p, s, fixed, &port);
        if (rc == 0 && first != CONFIG_NONE && port != first)
            rc = config_fail(p, "address", "all servers of a pool lie behind one port: make it two pools",
                             "is reached by port \"%s\", but server \"%s\" by port \"%s\"", p->config->ports[port].name,
                             pool->servers[0].name, p->config->ports[first].name);
        first = port;
    }
    pool->port = (uint8_t)first;
    return rc;
}

/* The pool's source addresses become the port's own; without any, its first address serves. */
static int resolve_sources(struct config_pass *p, unsigned index, struct config_pool *pool) {
    const struct config *c = p->config;
    struct config_port *port = &p->config->ports[pool->port];
    config_at(p, "pools[%u]", index);
    if (pool->n_sources == 0)
        pool->source_addresses_be[pool->n_sources++] = port->addresses[0].addr_be;
    for (unsigned i = 0; i < pool->n_sources; i++) {
        uint32_t addr_be = pool->source_addresses_be[i];
        struct config_key k = config_key_of("source_addresses", i);
        char hint[200], addr[CONFIG_ADDR_LEN], subnet[CONFIG_ADDR_LEN];
        const struct config_address *in = port_subnet(port, addr_be);
        config_addr_format(addr_be, addr);
        if (port_owns(port, addr_be, false))
            continue;
        snprintf(hint, sizeof(hint), "the servers are reached by port \"%s\", %s/%u", port->name,
                 config_addr_format(port->addresses[0].addr_be, subnet), port->addresses[0].prefix_len);
        if (!in)
            return config_fail(p, k.text, hint, "%s lies in no subnet of the port that reaches the servers", addr);
        if (owner_of(c, addr_be, false) != CONFIG_NONE)
            return config_fail(p, k.text, hint, "%s belongs to another port", addr);
        uint32_t host = addr_be & ~config_mask_be(in->prefix_len);
        if (in->prefix_len <= 30 && (!host || host == ~config_mask_be(in->prefix_len)))
            return config_fail(p, k.text, NULL, "%s is the %s address of its subnet", addr,
                               host ? "broadcast" : "network");
        if (port->n_addresses == CONFIG_MAX_ADDRESSES)
            return config_fail(p, k.text, NULL, "port \"%s\" would own more than %u addresses", port->name,
                               CONFIG_MAX_ADDRESSES);
        port->addresses[port->n_addresses++] =
            (struct config_address){.addr_be = addr_be, .prefix_len = in->prefix_len, .from_pool = true};
    }
    return 0;
}

/* Fewer source ports than connections asked for: legal, and a surprise at night. */
static void warn_source_ports(struct config_pass *p, unsigned index, const struct config_pool *pool) {
    uint64_t most = (uint64_t)pool->n_sources * pool->n_servers * SOURCE_CONNECTIONS;
    config_at(p, "pools[%u]", index);
    if (p->raw->memory && p->raw->memory->max_connections && most < p->config->memory.max_connections)
        config_warn(p, "source_addresses",
                    "%u source and %u server address%s hold about %llu connections, fewer than memory.max_connections: "
                    "add source addresses",
                    pool->n_sources, pool->n_servers, pool->n_servers == 1 ? "" : "es", (unsigned long long)most);
}

static int resolve_pools(struct config_pass *p) {
    struct config *c = p->config;
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < c->n_pools; i++) {
        config_at(p, "pools[%u]", i);
        if (c->pools[i].proxy_certificate && c->pools[i].proxy_protocol != 2)
            return config_fail(p, "proxy_certificate", "set proxy_protocol to v2",
                               "only version 2 of the PROXY protocol carries certificates");
        rc = resolve_servers(p, i, &c->pools[i]);
        if (rc == 0)
            rc = resolve_sources(p, i, &c->pools[i]);
        if (rc == 0)
            warn_source_ports(p, i, &c->pools[i]);
    }
    for (unsigned i = 0; rc == 0 && i < c->n_pools; i++)
        for (unsigned j = 0; rc == 0 && j < c->pools[i].n_servers; j++) {
            char addr[CONFIG_ADDR_LEN];
            int owner = owner_of(c, c->pools[i].servers[j].addr_be, false);
            config_at(p, "pools[%u].servers[%u]", i, j);
            if (owner != CONFIG_NONE)
                rc = config_fail(p, "address", "weir cannot be its own server",
                                 "%s is weir's own address on port \"%s\"",
                                 config_addr_format(c->pools[i].servers[j].addr_be, addr), c->ports[owner].name);
        }
    return rc;
}

/* --- listeners --- */

static bool mode_is_tcp(enum config_mode m) {
    return m != CONFIG_MODE_UDP;
}

static bool mode_is_udp(enum config_mode m) {
    return m == CONFIG_MODE_UDP || m == CONFIG_MODE_ECHO;
}

static int resolve_listener_address(struct config_pass *p, unsigned index, struct config_listener *l) {
    const struct config *c = p->config;
    char addr[CONFIG_ADDR_LEN], ports[160] = "", hint[256];
    config_addr_format(l->addr_be, addr);
    int owner = owner_of(c, l->addr_be, true);
    if (owner == CONFIG_NONE) {
        for (unsigned i = 0; i < c->n_ports; i++)
            if (port_subnet(&c->ports[i], l->addr_be)) {
                snprintf(hint, sizeof(hint), "it lies in the subnet of port \"%s\": add it to ports[%u].addresses",
                         c->ports[i].name, i);
                return config_fail(p, "address", hint, "%s is not an address of any port", addr);
            }
        subnets_list(c, ports, sizeof(ports));
        snprintf(hint, sizeof(hint), "ports: %s", ports);
        return config_fail(p, "address", hint, "%s lies outside every port's subnet", addr);
    }
    l->port = (uint8_t)owner;
    for (unsigned i = 0; i < index; i++) {
        const struct config_listener *o = &c->listeners[i];
        bool tcp = mode_is_tcp(o->mode) && mode_is_tcp(l->mode), udp = mode_is_udp(o->mode) && mode_is_udp(l->mode);
        if (o->addr_be == l->addr_be && o->port_be == l->port_be && (tcp || udp))
            return config_fail(p, "address", NULL, "%s:%u (%s) is taken by listener \"%s\"", addr, ntohs(l->port_be),
                               tcp ? "TCP" : "UDP", o->name);
    }
    return 0;
}

static void warn_listener_pool(struct config_pass *p, const struct config_listener *l) {
    const struct config_pool *pool = &p->config->pools[l->pool];
    if (l->mode != CONFIG_MODE_MQTT && (pool->policy == LB_CLIENT_ID || pool->policy == LB_USERNAME))
        config_warn(p, "pool", "pool \"%s\" balances by %s, which mode %s does not know: the source address serves",
                    pool->name, pool->policy == LB_CLIENT_ID ? "client-id" : "username", config_mode_name(l->mode));
    const struct config_tls *t = l->tls != CONFIG_NONE ? &p->config->tls[l->tls] : NULL;
    if (pool->policy == LB_CERTIFICATE &&
        (t == NULL || (t->client_certificates == TLS_CLIENT_CERTIFICATES_OFF && !t->psk_file && !t->srp_file)))
        config_warn(p, "pool",
                    "pool \"%s\" balances by certificate, which no client shows here: the source address serves",
                    pool->name);
    if (l->mode == CONFIG_MODE_UDP && pool->proxy_protocol)
        config_warn(p, "pool", "pool \"%s\" has proxy_protocol, which is not sent for udp", pool->name);
}

/* Keys that say how TCP is to behave, where there is none. */
static int refuse_tcp_keys(struct config_pass *p, const struct raw_listener *r) {
    const char *key = r->congestion ? "congestion" : r->ecn ? "ecn" : r->syn_cookies ? "syn_cookies" : NULL;
    return key ? config_fail(p, key, "leave it out; it is about TCP", "mode udp has no %s", key) : 0;
}

/* A user name that TLS vouches for needs MQTT to carry it, and TLS to know it of some client at least. */
static int resolve_username(struct config_pass *p, const struct config_listener *l) {
    static const char key[] = "username_from";
    const struct config_tls *t = l->tls == CONFIG_NONE ? NULL : &p->config->tls[l->tls];
    if (l->username == CONFIG_USERNAME_KEPT)
        return 0;
    if (l->mode != CONFIG_MODE_MQTT)
        return config_fail(p, key, "leave it out", "mode %s has no user names", config_mode_name(l->mode));
    if (l->username == CONFIG_USERNAME_PSK && (t == NULL || t->psk_file == NULL))
        return config_fail(p, key, "give that entry of tls a psk_file", "clients have no pre-shared keys here");
    if (l->username != CONFIG_USERNAME_PSK && (t == NULL || t->client_certificates == TLS_CLIENT_CERTIFICATES_OFF))
        return config_fail(p, key, "set client_certificates of that entry of tls to required",
                           "clients show no certificates here");
    return 0;
}

/* What connections of this listener have to remember of their clients. */
static void keep_of_clients(const struct config *c, const struct config_listener *l, struct config_tls *t) {
    t->tell_names |= t->n_alpn > 0; /* `weirctl flows` shows what was agreed on */
    t->tell_names |= l->pool != CONFIG_NONE && c->pools[l->pool].proxy_protocol == 2;
    t->keep_certificate |= l->pool != CONFIG_NONE && c->pools[l->pool].proxy_certificate;
    if (l->username >= CONFIG_USERNAME_ALT)
        t->keep_alt_names |= 1u << (l->username - CONFIG_USERNAME_ALT);
}

static int resolve_listener(struct config_pass *p, unsigned index) {
    struct config *c = p->config;
    struct config_listener *l = &c->listeners[index];
    const struct raw_listener *r = &p->raw->listeners[index];
    const struct name_list tls = tls_of(c), pools = pools_of(c);
    config_at(p, "listeners[%u]", index);
    int rc = resolve_name(p, "tls", r->tls, &tls, &l->tls);
    if (rc == 0)
        rc = resolve_name(p, "pool", r->pool, &pools, &l->pool);
    if (rc < 0)
        return rc;
    if (l->mode == CONFIG_MODE_UDP && l->tls != CONFIG_NONE)
        return config_fail(p, "tls", "leave it out; TLS runs over TCP", "mode udp has no TLS");
    if (l->mode == CONFIG_MODE_UDP && l->pool != CONFIG_NONE && c->pools[l->pool].tls.on)
        return config_fail(p, "pool", "name one without tls; TLS runs over TCP",
                           "mode udp cannot use \"%s\", which speaks TLS", c->pools[l->pool].name);
    if (l->mode == CONFIG_MODE_UDP && (rc = refuse_tcp_keys(p, r)) < 0)
        return rc;
    if (l->mode == CONFIG_MODE_ECHO && l->pool != CONFIG_NONE)
        return config_fail(p, "pool", "leave it out", "mode echo answers by itself and has no pool");
    if (l->mode != CONFIG_MODE_ECHO && l->pool == CONFIG_NONE) {
        char hint[64];
        snprintf(hint, sizeof(hint), "mode %s needs a pool of servers", config_mode_name(l->mode));
        return config_missing(p, "pool", hint);
    }
    if ((rc = resolve_username(p, l)) < 0)
        return rc;
    if (l->tls != CONFIG_NONE)
        keep_of_clients(c, l, &c->tls[l->tls]);
    if (l->pool != CONFIG_NONE)
        warn_listener_pool(p, l);
    return resolve_listener_address(p, index, l);
}

static void warn_unused(struct config_pass *p) {
    const struct config *c = p->config;
    uint32_t tls = 0, pools = 0;
    static_assert(WEIR_MAX_TLS <= 32 && WEIR_MAX_POOLS <= 32, "used entries are bits");
    for (unsigned i = 0; i < c->n_listeners; i++) {
        tls |= c->listeners[i].tls == CONFIG_NONE ? 0 : 1u << c->listeners[i].tls;
        pools |= c->listeners[i].pool == CONFIG_NONE ? 0 : 1u << c->listeners[i].pool;
    }
    config_at(p, "%s", "");
    for (unsigned i = 0; i < c->n_tls; i++)
        if (!(tls >> i & 1))
            config_warn(p, config_key_of("tls", i).text, "no listener uses \"%s\"", c->tls[i].name);
    for (unsigned i = 0; i < c->n_pools; i++)
        if (!(pools >> i & 1))
            config_warn(p, config_key_of("pools", i).text, "no listener uses \"%s\"", c->pools[i].name);
}

/* Huge pages are no choice for devices that share memory with another process. */
static int resolve_hugepages(struct config_pass *p) {
    static const char *const needy[] = {"net_virtio_user", "net_vhost", "eth_vhost"};
    const struct config *c = p->config;
    if (c->memory.hugepages != CONFIG_HUGEPAGES_OFF)
        return 0;
    for (unsigned i = 0; i < c->n_ports; i++)
        for (size_t j = 0; j < WEIR_ARRAY_LEN(needy); j++)
            if (strncmp(c->ports[i].device, needy[j], strlen(needy[j])) == 0) {
                config_at(p, "memory");
                return config_fail(p, "hugepages", "set it to auto or required",
                                   "port \"%s\" (%s) shares its memory with another process, which takes huge pages",
                                   c->ports[i].name, needy[j]);
            }
    return 0;
}

int config_resolve(struct config_pass *p) {
    int rc = resolve_names(p);
    if (rc == 0)
        rc = resolve_devices(p);
    if (rc == 0)
        rc = resolve_hugepages(p);
    for (unsigned i = 0; rc == 0 && i < p->config->n_ports; i++)
        rc = resolve_port_addresses(p, i);
    if (rc == 0)
        rc = resolve_pools(p);
    if (rc == 0)
        rc = resolve_gateways(p);
    for (unsigned i = 0; rc == 0 && i < p->config->n_listeners; i++)
        rc = resolve_listener(p, i);
    if (rc == 0)
        warn_unused(p);
    return rc;
}
