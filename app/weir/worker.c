/* SPDX-License-Identifier: BSD-3-Clause */
#include "worker.h"

#include "handoff.h"
#include "health.h"
#include "path.h"
#include "server_tls.h"
#include "session_server.h"

#include <arpa/inet.h>
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_pause.h>
#include <rte_rcu_qsbr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#define MAILS_A_TURN      4u
#define SWEEP_A_TURN      8u    /* SSL objects that have waited for tickets in vain */
#define ICMP_PER_S        1000u /* echo replies a worker sends */
#define UNREACHABLE_PER_S 100u
#define REASS_DATAGRAMS   256u /* with IP4_REASS_HELD_PER_DATAGRAM: 1,024 mbufs that a flood may hold */
#define REASS_PER_SOURCE  16u
/* Of timeouts.handshake_s: handshakes that wait get the newest first when the oldest has waited for the 10th part of
 * it, and are refused after half of it, as the client needs some of it too. */
#define HANDSHAKE_PATIENCE 10u
#define HANDSHAKE_WAIT     2u
#define IDLE_SPIN_TURNS    256u    /* empty turns before adaptive backs off at all */
#define IDLE_STEP_NS       10000u  /* each further empty turn sleeps so much longer, */
#define IDLE_MAX_NS        100000u /* up to this */

size_t worker_bytes(void) {
    return sizeof(struct worker) + WORKER_SCRATCH;
}

/* --- one turn --- */

/* Tell the neighbours where our addresses are. */
static void announce(struct worker *w) {
    for (uint16_t i = 0; i < w->n_ports && w->index == 0; i++) {
        for (uint8_t a = 0; a < w->ports[i].ifc->n_addrs; a++) {
            struct rte_mbuf *m = arp_gratuitous(w->ports[i].ifc, a, w->ports[i].pool);
            if (m != NULL)
                path_send_frame(w, i, m);
        }
    }
    w->announced = true;
}

uint32_t worker_turn(struct worker *w, uint64_t now_us) {
    w->now_us = now_us;
    w->snapshot = __atomic_load_n(&w->weir->snapshot, __ATOMIC_ACQUIRE);
    tls_core_now(&w->tls, now_us);
    tls_client_sweep(&w->tls, now_us, SWEEP_A_TURN);
    if (WEIR_UNLIKELY(!w->announced))
        announce(w);

    uint32_t work = path_receive(w);
    cycles_stage(&w->cycles, CYCLES_SESSION);
    work += session_run(w);
    uint32_t steps = session_steps_due(w);
    if (steps != 0) /* longer than all else in a turn: what is to be sent does not wait for it */
        work += path_transmit(w);
    work += session_handshakes(w, steps);
    cycles_stage(&w->cycles, CYCLES_TIMERS);
    tcp_timers(&w->tcp, now_us);
    work += session_timers(w);
    work += udp_flow_timers(w);
    cycles_stage(&w->cycles, CYCLES_CONTROL);
    health_turn(w);
    work += mailbox_serve(w, MAILS_A_TURN);
    work += path_transmit(w);

    w->stats.turns++;
    return work;
}

/* --- the loop --- */

/* Empty turns in a row: spin a while, then sleep in growing steps, so that a laptop stays usable. */
static void idle(struct worker *w) {
    cycles_stage(&w->cycles, CYCLES_IDLE);
    if (!w->adaptive) {
        rte_pause();
        return;
    }
    if (++w->empty_turns < IDLE_SPIN_TURNS || tcp_busy(&w->tcp))
        return;
    uint32_t step = w->empty_turns - IDLE_SPIN_TURNS + 1;
    struct timespec t = {.tv_nsec = step * IDLE_STEP_NS < IDLE_MAX_NS ? step * IDLE_STEP_NS : IDLE_MAX_NS};
    if (step > IDLE_MAX_NS / IDLE_STEP_NS)
        w->empty_turns = IDLE_SPIN_TURNS + IDLE_MAX_NS / IDLE_STEP_NS; /* stay at the top step; no overflow */
    nanosleep(&t, NULL);
}

/* Memory for an even share of all connections: by the worker itself, so that it is near, and before it turns, so that
 * no turn waits for a page. */
static void populate(const struct worker *w) {
    const struct weir *weir = w->weir;
    uint32_t share = (weir->config->memory.max_connections + weir->n_workers - 1) / weir->n_workers;
    tcp_core_populate(&w->tcp, 2 * share);
    tls_core_populate(&w->tls, share);
    pool_populate(&w->sessions, share);
    timer_wheel_populate(&w->session_wheel, share);
    if (w->server_tls.base != NULL)
        pool_populate(&w->server_tls, share);
}

int worker_main(void *arg) {
    struct worker *w = arg;
    struct weir *weir = w->weir;
    prctl(PR_SET_TIMERSLACK, 1000ul); /* nanoseconds: the default of 50 us would double short sleeps */
    populate(w);
    rte_rcu_qsbr_thread_online(weir->rcu, w->index);
    uint64_t before = rte_rdtsc();
    while (!__atomic_load_n(&weir->stop, __ATOMIC_ACQUIRE)) {
        __atomic_store_n(&w->turn_tsc, before, __ATOMIC_RELAXED);
        cycles_turn_begin(&w->cycles, before);
        uint32_t work = worker_turn(w, clock_now_us(&weir->clock));
        rte_rcu_qsbr_quiescent(weir->rcu, w->index);
        if (work == 0)
            idle(w);
        else
            w->empty_turns = 0;
        uint64_t after = rte_rdtsc();
        cycles_turn_end(&w->cycles, after, work != 0);
        if (work == 0) {
            w->stats.idle_tsc += after - before;
        } else {
            w->stats.busy_tsc += after - before;
            w->stats.turns_busy++;
            cycles_turn_length(&w->cycles, after - before);
            if (after - before > w->stats.longest_turn_tsc)
                w->stats.longest_turn_tsc = after - before;
        }
        before = after;
    }
    rte_rcu_qsbr_thread_offline(weir->rcu, w->index);
    return 0;
}

/* --- set-up --- */

int worker_rings_new(struct weir *weir) {
    char name[RTE_RING_NAMESIZE];
    for (uint16_t from = 0; from < weir->n_workers; from++) {
        for (uint16_t to = 0; to < weir->n_workers; to++) {
            if (from == to)
                continue;
            snprintf(name, sizeof(name), "rx_%u_%u", from, to);
            weir->rx_rings[from][to] =
                rte_ring_create(name, WEIR_RING_SIZE, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
            snprintf(name, sizeof(name), "tx_%u_%u", from, to);
            weir->tx_rings[from][to] =
                rte_ring_create(name, WEIR_RING_SIZE, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
            if (weir->rx_rings[from][to] == NULL || weir->tx_rings[from][to] == NULL)
                return WEIR_ENOMEM;
        }
    }
    return 0;
}

static void ring_free(struct rte_ring *r) {
    void *m;
    if (r == NULL)
        return;
    while (rte_ring_sc_dequeue(r, &m) == 0)
        rte_pktmbuf_free(m);
    rte_ring_free(r);
}

void worker_rings_free(struct weir *weir) {
    for (uint16_t from = 0; from < weir->n_workers; from++) {
        for (uint16_t to = 0; to < weir->n_workers; to++) {
            ring_free(weir->rx_rings[from][to]);
            ring_free(weir->tx_rings[from][to]);
            weir->rx_rings[from][to] = weir->tx_rings[from][to] = NULL;
        }
    }
}

static int ports_attach(struct worker *w) {
    char name[32];
    w->n_ports = w->weir->ports.n;
    for (uint16_t i = 0; i < w->n_ports; i++) {
        const struct port *p = &w->weir->ports.port[i];
        struct worker_port *wp = &w->ports[i];
        wp->has_queue = w->index < p->n_queues;
        if (wp->has_queue) {
            wp->eth_port = p->queues[w->index].eth_port;
            wp->eth_queue = p->queues[w->index].eth_queue;
        } else {
            wp->tx_worker = w->index % p->n_queues;
        }
        wp->steered = p->steered;
        wp->link_up = true;
        wp->ifc = &p->ifc;
        wp->pool = p->pools[w->index];
        snprintf(name, sizeof(name), "arp_%u_%u", w->index, i);
        wp->arp = arp_table_new(name, SOCKET_ID_ANY);
        if (wp->arp == NULL)
            return WEIR_ENOMEM;
        if (wp->ifc->gateway_pinned)
            arp_pin(wp->arp, wp->ifc->gateway_be, wp->ifc->gateway_mac);
        *tcp_core_port(&w->tcp, (uint8_t)i) = (struct tcp_port){.pool = wp->pool,
                                                                .mtu = p->ifc.mtu,
                                                                .mss_clamp = w->weir->config->ports[i].mss,
                                                                .multi_seg = p->multi_seg,
                                                                .max_mbufs = p->max_mbufs,
                                                                .hw_ip_cksum = p->hw_ip_cksum,
                                                                .hw_tcp_cksum = p->hw_tcp_cksum,
                                                                .tso = p->tso,
                                                                .tso_segs = p->tso_segs,
                                                                .tso_max = p->tso ? UINT16_MAX : 0};
    }
    return 0;
}

/* Do replies to this source port come back to this worker, and to no listener? */
static bool port_is_ours(void *ctx, uint32_t saddr_be, uint16_t sport_be, uint32_t daddr_be, uint16_t dport_be) {
    const struct worker *w = ctx;
    return listener_map_find(&w->udp.listeners, saddr_be, sport_be) < 0 &&
           (w->weir->n_workers == 1 || handoff_owner(w, daddr_be, saddr_be, dport_be, sport_be) == w->index);
}

static int pools_build(struct worker *w) {
    const struct config *c = w->weir->config;
    w->n_pools = c->n_pools;
    for (uint16_t i = 0; i < c->n_pools; i++) {
        const struct config_pool *cp = &c->pools[i];
        struct lb_pool *p = &w->pools[i];
        snprintf(p->name, sizeof(p->name), "%s", cp->name);
        p->policy = (uint8_t)cp->policy;
        p->proxy_protocol = cp->proxy_protocol;
        p->n_servers = cp->n_servers;
        for (uint16_t s = 0; s < cp->n_servers; s++) {
            struct lb_server *server = &p->servers[s];
            snprintf(server->name, sizeof(server->name), "%s", cp->servers[s].name);
            server->addr_be = cp->servers[s].addr_be;
            server->port_be = cp->servers[s].port_be;
            server->weight = cp->servers[s].weight;
            server->server_id = cp->servers[s].id;
            server->port = cp->port;
        }
        p->ports = lb_ports_new(cp->source_addresses_be, cp->n_sources, cp->n_servers, port_is_ours, w);
        if (p->ports == NULL || lb_pool_build(p) != 0)
            return WEIR_ENOMEM;
    }
    return 0;
}

static int listeners_open(struct worker *w) {
    const struct config *c = w->weir->config;
    w->n_listeners = c->n_listeners;
    listener_map_init(&w->udp.listeners, c);
    for (uint16_t i = 0; i < c->n_listeners; i++) {
        const struct config_listener *l = &c->listeners[i];
        if (l->mode == CONFIG_MODE_MQTT)
            w->pool_mqtt[l->pool] = true;
        if (l->mode == CONFIG_MODE_UDP)
            continue;
        int rc = tcp_listen(&w->tcp, l->addr_be, l->port_be, i);
        if (rc != 0)
            return rc;
        tcp_listen_options(&w->tcp, i, &l->tcp);
    }
    return 0;
}

static int tcp_open(struct worker *w, const struct memory_plan *plan, uint64_t now_us) {
    const struct config *c = w->weir->config;
    struct tcp_config tc = {.max_conns = plan->flows_per_worker,
                            .max_half_open = weir_max_u32(plan->flows_per_worker / 4, 64),
                            .max_time_wait = weir_max_u32(plan->flows_per_worker / 4, 16),
                            .rcv_buf_bytes = WEIR_TCP_BUF_MAX,
                            .snd_buf_bytes = WEIR_TCP_BUF_MAX,
                            .rx_budget_mbufs = plan->rope_mbufs / 2,
                            .tx_budget_mbufs = plan->rope_mbufs / 2,
                            .connect_timeout_ms = c->timeouts.connect_s * 1000,
                            .user_timeout_ms = c->timeouts.tcp_user_s * 1000,
                            .keepalive_idle_ms = c->timeouts.tcp_keepalive_s * 1000,
                            .secret = {w->weir->secret[0], w->weir->secret[1]},
                            .core = w->index,
                            .cores = w->weir->n_workers};
    return tcp_core_init(&w->tcp, &tc, now_us);
}

static int tls_open_core(struct worker *w, const struct memory_plan *plan) {
    struct weir *weir = w->weir;
    if (plan->tls_per_worker == 0)
        return 0;
    struct tls_config tc = {.max_conns = plan->tls_per_worker + HEALTH_MAX_PROBES,
                            .max_handshakes = plan->handshakes_per_worker,
                            .max_waiting = plan->waiting_per_worker,
                            .max_waiting_large = plan->waiting_large_per_worker,
                            .max_per_source = weir->config->limits.handshakes_per_source,
                            .patience_ms = weir->config->timeouts.handshake_s * 1000 / HANDSHAKE_PATIENCE,
                            .max_wait_ms = weir->config->timeouts.handshake_s * 1000 / HANDSHAKE_WAIT,
                            .gone = session_client_gone,
                            .gone_ctx = w,
                            .key_cache = plan->key_cache_entries,
                            .pool = w->ports[0].pool};
    int rc = tls_core_init(&w->tls, &tc);
    if (rc != 0)
        return rc;
    if (weir->n_engines != 0)
        return tls_core_attach(&w->tls, weir->engines[w->index % weir->n_engines], false);
    w->inline_engine = tls_engine_new(plan->handshakes_per_worker);
    if (w->inline_engine == NULL)
        return WEIR_ENOMEM;
    return tls_core_attach(&w->tls, w->inline_engine, true);
}

static int tables_open(struct worker *w, const struct memory_plan *plan, uint64_t now_us) {
    const struct config *c = w->weir->config;
    char name[16];
    int rc = pool_init(&w->sessions, "sessions", sizeof(struct session), plan->pairs_per_worker, 0);
    if (rc == 0 && plan->server_tls_per_worker != 0)
        rc = pool_init(&w->server_tls, "server_tls", sizeof(struct session_server), plan->server_tls_per_worker, 0);
    if (rc == 0)
        rc = timer_wheel_init(&w->session_wheel, plan->pairs_per_worker, clock_ms(now_us));
    if (rc == 0)
        rc = pool_init(&w->probes, "probes", sizeof(struct probe), HEALTH_MAX_PROBES, 0);
    if (rc == 0)
        rc = udp_flows_init(&w->udp, weir_max_u32(plan->udp_flows_per_worker, 16), c->timeouts.udp_idle_s * 1000,
                            w->weir->secret[0], now_us);
    snprintf(name, sizeof(name), "mail%u", w->index);
    if (rc == 0)
        rc = mailbox_init(&w->mailbox, name, SOCKET_ID_ANY);
    if (rc != 0)
        return rc;
    w->reass = ip4_reass_new(REASS_DATAGRAMS, REASS_PER_SOURCE, SOCKET_ID_ANY);
    w->scratch = malloc(WORKER_SCRATCH);
    return w->reass != NULL && w->scratch != NULL ? 0 : WEIR_ENOMEM;
}

/* Each step in order; the first that fails names itself. */
static int worker_open(struct worker *w, const struct memory_plan *plan, uint64_t now_us, const char **step) {
    int rc;
    *step = "TCP flows";
    if ((rc = tcp_open(w, plan, now_us)) != 0)
        return rc;
    *step = "ARP tables";
    if ((rc = ports_attach(w)) != 0)
        return rc;
    *step = "TLS";
    if ((rc = tls_open_core(w, plan)) != 0)
        return rc;
    *step = "sessions and UDP flows";
    if ((rc = tables_open(w, plan, now_us)) != 0)
        return rc;
    *step = "pools of servers";
    if ((rc = pools_build(w)) != 0)
        return rc;
    *step = "listeners";
    return listeners_open(w);
}

struct worker *worker_new(struct weir *weir, uint16_t index, const struct memory_plan *plan, uint64_t now_us,
                          char *error, size_t error_bytes) {
    struct worker *w = aligned_alloc(WEIR_CACHE_LINE, RTE_ALIGN_CEIL(sizeof(*w), WEIR_CACHE_LINE));
    const char *step = "worker";
    if (w == NULL) {
        snprintf(error, error_bytes, "worker %u: out of memory", index);
        return NULL;
    }
    memset(w, 0, sizeof(*w));
    w->index = index;
    w->weir = weir;
    w->now_us = now_us;
    cycles_init(&w->cycles, index);
    w->adaptive = weir->config->cores.idle == CONFIG_IDLE_ADAPTIVE;
    w->icmp_echo.per_s = ICMP_PER_S;
    w->icmp_unreachable.per_s = UNREACHABLE_PER_S;
    int rc = worker_open(w, plan, now_us, &step);
    if (rc != 0) {
        snprintf(error, error_bytes, "worker %u: %s: %s; lower memory.max_connections or give weir more memory", index,
                 step, weir_error_text(rc));
        worker_free(w);
        return NULL;
    }
    return w;
}

void worker_free(struct worker *w) {
    if (w == NULL)
        return;
    for (uint16_t i = 0; i < w->n_ports; i++) {
        for (uint16_t p = 0; p < w->ports[i].n_pending; p++)
            rte_pktmbuf_free(w->ports[i].pending[p]);
        arp_table_free(w->ports[i].arp);
    }
    tcp_id first = 0;
    if (w->sessions.used != 0)
        session_close_some(w, &first, UINT32_MAX);
    tls_core_fini(&w->tls);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(w->server_sessions); i++)
        tls_session_unref(w->server_sessions[i]);
    tls_engine_free(w->inline_engine);
    tcp_core_fini(&w->tcp);
    for (uint16_t i = 0; i < w->n_pools; i++) {
        lb_pool_fini(&w->pools[i]);
        lb_ports_free(w->pools[i].ports);
    }
    udp_flows_fini(&w->udp);
    ip4_reass_free(w->reass);
    mailbox_fini(&w->mailbox);
    timer_wheel_fini(&w->session_wheel);
    pool_fini(&w->sessions);
    pool_fini(&w->server_tls);
    pool_fini(&w->probes);
    free(w->scratch);
    free(w);
}
