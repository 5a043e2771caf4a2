/* SPDX-License-Identifier: BSD-3-Clause */
#include "udp_flow.h"

#include "base/rope.h"
#include "handoff.h"
#include "path.h"

#include <netinet/in.h>
#include <string.h>

#define TIMER_BATCH 64u

int udp_flows_init(struct udp_flows *u, uint32_t capacity, uint32_t idle_ms, uint64_t secret, uint64_t now_us) {
    u->idle_ms = idle_ms;
    int rc = pool_init(&u->flows, "udp flows", sizeof(struct udp_flow), capacity, 0);
    if (rc == 0)
        rc = flow_table_init(&u->table, capacity * 2, secret,
                             &(struct flow_objects){.base = u->flows.base,
                                                    .stride_bytes = u->flows.stride_bytes,
                                                    .key_offset = offsetof(struct udp_flow, client),
                                                    .keys = UDP_FLOW_KEYS});
    if (rc == 0)
        rc = timer_wheel_init(&u->wheel, capacity, clock_ms(now_us));
    return rc;
}

void udp_flows_fini(struct udp_flows *u) {
    timer_wheel_fini(&u->wheel);
    flow_table_fini(&u->table);
    pool_fini(&u->flows);
}

static const struct wire_ip4 *ip4_of(const struct rte_mbuf *m) {
    return rte_pktmbuf_mtod_offset(m, const struct wire_ip4 *, m->l2_len);
}

static struct wire_udp *udp_of(const struct rte_mbuf *m) {
    return rte_pktmbuf_mtod_offset(m, struct wire_udp *, m->l2_len + m->l3_len);
}

/* A datagram that has not left its host's memory yet (virtio) may lack the checksum it will have on a wire. */
static void udp_checksum_complete(const struct rte_mbuf *m, struct wire_udp *udp, const struct wire_ip4 *ip) {
    if ((m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) != RTE_MBUF_F_RX_L4_CKSUM_NONE || udp->checksum_be == 0)
        return;
    uint32_t at = m->l2_len + m->l3_len;
    udp->checksum_be = 0;
    uint16_t sum = checksum_l4(m, at, (uint16_t)(m->pkt_len - at), ip->saddr_be, ip->daddr_be, IPPROTO_UDP);
    udp->checksum_be = sum == 0 ? 0xffff : sum; /* 0 would mean "none" */
}

/* Turn the datagram round where it lies: swapping addresses and ports changes no checksum. */
static void udp_echo(struct worker *w, struct rte_mbuf *m) {
    if (!rope_mbuf_private(m)) {
        path_drop(w, m, NET_DROP_MBUF_SHARED);
        return;
    }
    struct wire_eth *eth = rte_pktmbuf_mtod(m, struct wire_eth *);
    struct wire_ip4 *ip = rte_pktmbuf_mtod_offset(m, struct wire_ip4 *, m->l2_len);
    struct wire_udp *udp = udp_of(m);
    memcpy(eth->dst, eth->src, sizeof(eth->dst));
    memcpy(eth->src, w->ports[m->port].ifc->mac, sizeof(eth->src));
    uint32_t addr_be = ip->saddr_be;
    ip->saddr_be = ip->daddr_be;
    ip->daddr_be = addr_be;
    uint16_t port_be = udp->sport_be;
    udp->sport_be = udp->dport_be;
    udp->dport_be = port_be;
    udp_checksum_complete(m, udp, ip);
    m->ol_flags = 0;
    path_send_frame(w, m->port, m);
}

static void flow_free(struct worker *w, uint32_t id) {
    struct udp_flow *f = pool_get(&w->udp.flows, id);
    struct lb_pool *pool = &w->pools[f->pool];
    flow_table_del(&w->udp.table, &f->client);
    flow_table_del(&w->udp.table, &f->server);
    lb_ports_give(pool->ports, f->server_index, f->server.local_addr_be, f->server.local_port_be);
    pool->servers[f->server_index].connections--;
    w->servers[pool->servers[f->server_index].server_id].open--;
    w->listeners[f->listener].open--;
    w->listeners[f->listener].closed[SESSION_END_UDP_IDLE]++;
    timer_wheel_cancel(&w->udp.wheel, id);
    pool_free(&w->udp.flows, id);
}

/* Key, server and source port of a new flow. Returns 0 or minus the drop. */
static int flow_place(struct worker *w, struct udp_flow *f) {
    struct lb_pool *pool = &w->pools[f->pool];
    f->server_index = lb_pick(pool, lb_hash(&f->client.remote_addr_be, 4), 0);
    if (f->server_index == LB_NONE)
        return -NET_DROP_UDP_NO_SERVER;
    struct lb_server *server = &pool->servers[f->server_index];
    f->server_port = server->port;
    f->server = (struct flow_key){.remote_addr_be = server->addr_be,
                                  .remote_port_be = server->port_be,
                                  .family = FLOW_FAMILY_IP4,
                                  .proto = IPPROTO_UDP};
    if (lb_ports_take(pool->ports, f->server_index, server->addr_be, server->port_be, &f->server.local_addr_be,
                      &f->server.local_port_be) != 0) {
        w->stats.source_ports_exhausted++;
        return -NET_DROP_UDP_NO_FLOW;
    }
    return 0;
}

/* Both directions into the table, or neither. */
static int flow_enter(struct worker *w, const struct udp_flow *f, uint32_t id) {
    if (flow_table_add(&w->udp.table, &f->client, id * UDP_FLOW_KEYS) != 0)
        return WEIR_EFULL;
    if (flow_table_add(&w->udp.table, &f->server, id * UDP_FLOW_KEYS + 1) == 0)
        return 0;
    flow_table_del(&w->udp.table, &f->client);
    return WEIR_EFULL;
}

static int flow_new(struct worker *w, const struct flow_key *key, int listener, uint8_t port, uint32_t *id) {
    if (w->draining)
        return -NET_DROP_UDP_NO_FLOW;
    *id = pool_alloc(&w->udp.flows);
    if (*id == POOL_NONE)
        return -NET_DROP_UDP_NO_FLOW;
    struct udp_flow *f = pool_get(&w->udp.flows, *id);
    f->client = *key;
    f->listener = (uint16_t)listener;
    f->pool = (uint16_t)w->weir->config->listeners[listener].pool;
    f->client_port = port;
    f->last_ms = clock_ms(w->now_us);
    int rc = flow_place(w, f);
    struct lb_pool *pool = &w->pools[f->pool];
    if (rc == 0 && flow_enter(w, f, *id) != 0) {
        lb_ports_give(pool->ports, f->server_index, f->server.local_addr_be, f->server.local_port_be);
        rc = -NET_DROP_UDP_NO_FLOW;
    }
    if (rc != 0) {
        pool_free(&w->udp.flows, *id);
        return rc;
    }
    struct lb_server *server = &pool->servers[f->server_index];
    server->connections++;
    w->servers[server->server_id].connections++;
    w->servers[server->server_id].open++;
    w->listeners[listener].accepted++;
    w->listeners[listener].open++;
    timer_wheel_arm(&w->udp.wheel, *id, f->last_ms + w->udp.idle_ms);
    return 0;
}

/* Strip the headers and put on new ones: fragments put together, options, no checksum to carry on. 0 or minus the drop.
 */
static int new_headers(struct rte_mbuf *m, const struct flow_key *to, const struct port *dev, uint32_t payload) {
    rte_pktmbuf_adj(m, (uint16_t)(m->l2_len + m->l3_len + sizeof(struct wire_udp)));
    if (m->pkt_len > payload)
        rte_pktmbuf_trim(m, (uint16_t)(m->pkt_len - payload));
    m->ol_flags &= RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;
    int rc =
        udp_output(m, to->local_addr_be, to->remote_addr_be, to->local_port_be, to->remote_port_be, dev->hw_udp_cksum);
    if (rc == 0)
        rc = ip4_output(m, to->local_addr_be, to->remote_addr_be, IPPROTO_UDP, 0, dev->hw_ip_cksum);
    return rc;
}

/* On with other addresses. `from_client`: towards the server. */
static void flow_forward(struct worker *w, struct udp_flow *f, bool from_client, struct rte_mbuf *m) {
    const struct flow_key *to = from_client ? &f->server : &f->client;
    uint8_t port = from_client ? f->server_port : f->client_port;
    const struct port *dev = &w->weir->ports.port[port];
    struct worker_server *server = &w->servers[w->pools[f->pool].servers[f->server_index].server_id];
    uint32_t payload = rte_be_to_cpu_16(udp_of(m)->len_be) - (uint32_t)sizeof(struct wire_udp);
    f->last_ms = clock_ms(w->now_us);
    if (!rope_mbuf_private(m)) { /* the new headers lie where the old ones did */
        path_drop(w, m, NET_DROP_MBUF_SHARED);
        return;
    }
    if (payload + sizeof(struct wire_udp) + sizeof(struct wire_ip4) > dev->ifc.mtu) {
        path_drop(w, m, NET_DROP_TX_TOO_BIG);
        return;
    }
    int rc = 0;
    if (udp_readdress(m, to->local_addr_be, to->remote_addr_be, to->local_port_be, to->remote_port_be, dev->hw_ip_cksum,
                      dev->hw_udp_cksum))
        rte_pktmbuf_adj(m, m->l2_len);
    else
        rc = new_headers(m, to, dev, payload);
    if (rc < 0) {
        path_drop(w, m, (enum net_drop) - rc);
        return;
    }
    if (from_client) {
        w->stats.udp_in++;
        server->bytes_to += payload;
    } else {
        w->stats.udp_out++;
        server->bytes_from += payload;
    }
    path_send_ip(w, port, m);
}

static struct flow_key key_of(const struct rte_mbuf *m) {
    const struct wire_ip4 *ip = ip4_of(m);
    const struct wire_udp *udp = udp_of(m);
    return (struct flow_key){.remote_addr_be = ip->saddr_be,
                             .local_addr_be = ip->daddr_be,
                             .remote_port_be = udp->sport_be,
                             .local_port_be = udp->dport_be,
                             .family = FLOW_FAMILY_IP4,
                             .proto = IPPROTO_UDP};
}

/* entry: what the table has for the key, 0 where there is no flow yet. */
static void udp_one(struct worker *w, struct rte_mbuf *m, const struct flow_key *key, uint32_t entry) {
    uint32_t id = entry / UDP_FLOW_KEYS;
    bool from_client = entry % UDP_FLOW_KEYS == 0;
    if (WEIR_UNLIKELY(id == 0)) {
        int listener = listener_map_find(&w->udp.listeners, key->local_addr_be, key->local_port_be);
        if (listener < 0) {
            path_refuse(w, m, ICMP_NO_PORT, NET_DROP_UDP_NO_LISTENER); /* RFC 1122 4.1.3.1 */
            return;
        }
        int rc = flow_new(w, key, listener, (uint8_t)m->port, &id);
        if (rc < 0) {
            path_drop(w, m, (enum net_drop) - rc);
            return;
        }
    }
    flow_forward(w, pool_get(&w->udp.flows, id), from_client, m);
}

static bool wants_echo(const struct worker *w, const struct flow_key *key) {
    int listener = listener_map_find(&w->udp.listeners, key->local_addr_be, key->local_port_be);
    return listener >= 0 && w->weir->config->listeners[listener].mode == CONFIG_MODE_ECHO;
}

void udp_flow_input_burst(struct worker *w, struct rte_mbuf **m, uint16_t n) {
    struct flow_key keys[UDP_BURST];
    const struct flow_key *looked_up[UDP_BURST];
    struct rte_mbuf *flowing[UDP_BURST];
    uint32_t entries[UDP_BURST];
    uint16_t k = 0;
    for (uint16_t i = 0; i < n; i++) {
        keys[k] = key_of(m[i]);
        if (wants_echo(w, &keys[k])) {
            udp_echo(w, m[i]);
            continue;
        }
        looked_up[k] = &keys[k];
        flowing[k++] = m[i];
    }
    if (k == 0)
        return;
    flow_table_find_bulk(&w->udp.table, looked_up, k, entries);
    uint32_t made = w->udp.flows.used;
    for (uint16_t i = 0; i < k; i++) { /* a flow made on the way may be the next one's, too */
        bool stale = entries[i] == 0 && w->udp.flows.used != made;
        udp_one(w, flowing[i], &keys[i], stale ? flow_table_find(&w->udp.table, &keys[i]) : entries[i]);
    }
}

uint32_t udp_flow_timers(struct worker *w) {
    uint32_t fired[TIMER_BATCH];
    uint32_t now_ms = clock_ms(w->now_us);
    uint32_t n = timer_wheel_advance(&w->udp.wheel, now_ms, fired, TIMER_BATCH);
    for (uint32_t i = 0; i < n; i++) {
        struct udp_flow *f = pool_get(&w->udp.flows, fired[i]);
        uint32_t due_ms = f->last_ms + w->udp.idle_ms;
        if ((int32_t)(now_ms - due_ms) >= 0)
            flow_free(w, fired[i]);
        else
            timer_wheel_arm(&w->udp.wheel, fired[i], due_ms);
    }
    return n;
}
