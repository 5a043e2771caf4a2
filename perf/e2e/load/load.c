/* SPDX-License-Identifier: BSD-3-Clause */
/* Set-up, one turn, phases. */
#include "load_int.h"

#include <rte_mempool.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_MS     20000u /* from SYN to CONNACK */
#define VISITS_A_TURN   256u
#define VISITS_IN_STORM 4096u /* of which so many are paid attention: */
#define STORMY_A_TURN   4u    /* devices do not wait for each other's handshakes, and must not here be measured to */
#define RESETS_A_BURST  64u
#define TIME_WAIT_MS    2000u /* RFC 9293 says minutes; here the link is short and ports are dear */
#define TIME_WAIT_LEAST 16384u
#define WINDOW_MAX      4096u
#define BULK_BYTES      (TLS_RECORD_MAX - PAYLOAD_AROUND) /* with the PUBLISH around it a record is full, but never two */
#define KEYS_MAX        16384u
#define SEVEN_DIGITS    10000000u

/* --- one turn --- */

static uint32_t visit_flows(struct load *l) {
    uint32_t n = weir_min_u32(tcp_ready_count(&l->tcp), l->config.storm ? VISITS_IN_STORM : VISITS_A_TURN);
    uint32_t stormy = 0;
    tcp_id id;
    for (uint32_t i = 0; i < n && (id = tcp_ready_next(&l->tcp)) != 0; i++) {
        uint32_t user = tcp_conn_user(&l->tcp, id);
        uint8_t events = tcp_conn_events(&l->tcp, id);
        if (events & TCP_EV_ACCEPTED)
            broker_accept(l, id);
        else if ((user & 1) == ROLE_BROKER)
            broker_news(l, user >> 1, events);
        else if (load_storms(l, &l->clients[user >> 1]) && stormy++ >= STORMY_A_TURN)
            tcp_conn_again(&l->tcp, id, events);
        else
            client_news(l, &l->clients[user >> 1], events);
    }
    return n;
}

uint32_t load_turn(struct load *l, uint64_t now_ns) {
    l->now_ns = now_ns;
    l->now_us = now_ns / 1000 + 1; /* lib/tcp's time is never 0 */
    uint32_t work = node_receive(l);
    work += visit_flows(l);
    tcp_timers(&l->tcp, l->now_us);
    work += client_timers(l);
    work += client_leave_some(l);
    work += client_dial_some(l);
    work += publish_run(l);
    return work + node_transmit(l);
}

/* --- phases --- */

void load_connecting(struct load *l, bool on) {
    l->connecting = on;
}

void load_publishing(struct load *l, bool on, uint64_t now_ns) {
    l->publishing = on && load_publishes(l);
    load_rate(l, l->schedule.config.rate_per_s, now_ns);
}

void load_rate(struct load *l, double per_s, uint64_t now_ns) {
    schedule_rate(&l->schedule, per_s, now_ns);
    publish_forget_backlog(l);
}

void load_resting(struct load *l, bool on, uint64_t now_ns) {
    if (l->resting && !on) {
        uint64_t rested_ns = now_ns - l->rest_ns;
        schedule_shift(&l->schedule, rested_ns);
        l->dial_next_ns += (double)rested_ns;
        for (uint32_t i = l->backlog_head; i != l->backlog_tail; i++)
            l->backlog[i % LOAD_BACKLOG].at_ns += rested_ns;
    }
    l->rest_ns = on && !l->resting ? now_ns : l->rest_ns;
    l->resting = on;
}

void load_goodbye(struct load *l) {
    l->leaving = true;
    l->publishing = false;
    publish_forget_backlog(l);
}

/* --- counters --- */

const struct load_stats *load_stats(const struct load *l) {
    return &l->stats;
}

void load_stats_reset(struct load *l) {
    struct load_stats *s = &l->stats;
    uint32_t open = s->open, connecting = s->connecting, backlog = s->backlog;
    memset(s, 0, sizeof(*s));
    histogram_clear(&s->latency_ns);
    histogram_clear(&s->connect_ns);
    s->open = open;
    s->connecting = connecting;
    s->backlog = backlog;
}

void load_account(struct load *l, uint32_t work, uint64_t tsc) {
    l->stats.turns++;
    if (work != 0) {
        l->stats.turns_busy++;
        l->stats.busy_tsc += tsc;
    } else {
        l->stats.idle_tsc += tsc;
    }
}

/* --- set-up --- */

struct complaint {
    char *text;
    size_t room;
};

static int complain(const struct complaint *c, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(c->text, c->room, format, args);
    va_end(args);
    return WEIR_EINVAL;
}

static uint32_t or_default(uint32_t v, uint32_t otherwise) {
    return v != 0 ? v : otherwise;
}

static uint32_t message_max(const struct schedule_config *s) {
    uint32_t max = 0;
    for (uint32_t i = 0; i < s->n_sizes; i++)
        max = weir_max_u32(max, s->sizes[i].max_bytes);
    return max;
}

static void fill_in(struct load_config *c) {
    c->suite = (uint16_t)or_default(c->suite, 0x1301);
    c->connect_window = weir_min_u32(or_default(c->connect_window, 64), c->connections);
    if (c->storm != 0)
        c->connect_window = c->connections;
    c->patience_ms = or_default(c->patience_ms, PATIENCE_MS);
    c->mqtt_level = or_default(c->mqtt_level, 4);
    c->window = or_default(c->window, c->traffic == LOAD_QOS1 ? 1 : 16);
    c->schedule.seed = c->seed;
    if (c->traffic == LOAD_BULK) {
        c->schedule.n_sizes = 1;
        c->schedule.sizes[0].min_bytes = c->schedule.sizes[0].max_bytes = BULK_BYTES;
    } else if (c->schedule.n_sizes == 0) {
        c->schedule.n_sizes = 1;
        c->schedule.sizes[0].min_bytes = c->schedule.sizes[0].max_bytes = 64;
    }
    if (c->schedule.n_sizes == 1)
        c->schedule.sizes[0].weight = 1;
}

static int check(const struct load_config *c, const struct complaint *why) {
    if (c->connections == 0 || c->connections > SEVEN_DIGITS)
        return complain(why, "connections: %u; between 1 and %u", c->connections, SEVEN_DIGITS);
    if (c->client_port.ifc.n_addrs == 0)
        return complain(why, "the clients' port has no address");
    if (c->connections > 64000ull * c->client_port.ifc.n_addrs)
        return complain(why, "connections: %u need %u addresses on the clients' port, which has %u (64,000 each)",
                        c->connections, (c->connections + 63999) / 64000, c->client_port.ifc.n_addrs);
    if (c->n_brokers > LOAD_MAX_BROKERS || c->n_brokers > c->broker_port.ifc.n_addrs)
        return complain(why, "brokers: %u; at most %u, one an address of their port, which has %u", c->n_brokers,
                        LOAD_MAX_BROKERS, c->broker_port.ifc.n_addrs);
    if (c->storm >= c->connections)
        return complain(why, "storm: %u of %u connections; some have to be there before", c->storm, c->connections);
    if (c->mqtt_level != 4 && c->mqtt_level != 5)
        return complain(why, "mqtt_level: %u; 4 (3.1.1) or 5 (5.0)", c->mqtt_level);
    if (c->keepalive_s > UINT16_MAX)
        return complain(why, "keepalive_s: %u; at most 65535", c->keepalive_s);
    if (c->window > WINDOW_MAX)
        return complain(why, "window: %u; at most %u", c->window, WINDOW_MAX);
    if (message_max(&c->schedule) > LOAD_MESSAGE_MAX)
        return complain(why, "message size: %u; at most %u", message_max(&c->schedule), LOAD_MESSAGE_MAX);
    return 0;
}

/* Any bytes will do that do not repeat within a message of usual size. */
static void pattern_fill(struct load *l) {
    uint32_t state = 1;
    for (uint32_t i = 0; i < PATTERN_PERIOD; i++) {
        state = state * 1664525 + 1013904223;
        l->pattern[i] = (uint8_t)(state >> 24);
    }
    for (uint32_t i = 0; i < PATTERN_RUN; i++)
        l->pattern[PATTERN_PERIOD + i] = l->pattern[i % PATTERN_PERIOD];
}

static int open_tcp(struct load *l) {
    const struct load_config *c = &l->config;
    uint32_t closing = weir_max_u32(c->connections, TIME_WAIT_LEAST);
    uint32_t mbufs = c->client_port.pool->size;
    if (c->broker_port.pool != c->client_port.pool)
        mbufs += c->broker_port.pool->size;
    struct tcp_config tc = {.max_conns = 2 * c->connections + closing + 64, /* both ends, what lingers, health checks */
                            .max_time_wait = closing,
                            .time_wait_ms = TIME_WAIT_MS,
                            .rx_budget_mbufs = mbufs / 3,
                            .tx_budget_mbufs = mbufs / 3,
                            .rcv_buf_bytes = 131072,
                            .snd_buf_bytes = weir_max_u32(131072, 2 * LOAD_MESSAGE_MAX),
                            .rcv_buf_initial_bytes = 131072,
                            .snd_buf_initial_bytes = weir_max_u32(131072, 2 * LOAD_MESSAGE_MAX),
                            .keepalive_idle_ms = 3600 * 1000,
                            .secret = {c->seed ^ 0x9e3779b97f4a7c15ull, c->seed * 0xbf58476d1ce4e5b9ull + 1}};
    int rc = tcp_core_init(&l->tcp, &tc, l->now_us);
    if (rc == 0)
        tcp_core_populate(&l->tcp, tc.max_conns);
    if (rc == 0)
        rc = pool_init(&l->brokers, "load_brokers", sizeof(struct broker), tc.max_conns, 0);
    for (uint32_t i = 0; i < c->n_brokers && rc == 0; i++)
        rc = tcp_listen(&l->tcp, c->broker_port.ifc.addrs[i].addr_be, c->broker_port_be, (uint16_t)i);
    return rc;
}

static int open_tls(struct load *l) {
    const struct load_config *c = &l->config;
    if (!c->tls)
        return 0;
    struct tls_config tc = {.max_conns = c->connections,
                            .key_cache = weir_min_u32(weir_max_u32(2 * c->connections, 512), KEYS_MAX),
                            .pool = c->client_port.pool,
                            .ticket = c->resume ? client_ticket_in : NULL,
                            .ticket_ctx = l};
    int rc = tls_core_init(&l->tls, &tc);
    if (rc != 0)
        return rc;
    l->hs13 = hs13_core_new(c->connect_window, c->client_port.pool);
    if (c->resume)
        l->tickets = calloc(c->connections + 1ull, sizeof(*l->tickets)); /* touched by those that get one */
    return l->hs13 != NULL && (l->tickets != NULL || !c->resume) ? 0 : WEIR_ENOMEM;
}

static int open_clients(struct load *l) {
    const struct load_config *c = &l->config;
    size_t n = c->connections + 1ull;
    while (1u << l->window_bits < c->window)
        l->window_bits++;
    l->clients = aligned_alloc(WEIR_CACHE_LINE, RTE_ALIGN_CEIL(n * sizeof(*l->clients), WEIR_CACHE_LINE));
    l->arrived = calloc(n, sizeof(*l->arrived));
    l->backlog = calloc(LOAD_BACKLOG, sizeof(*l->backlog));
    l->left_ns = load_qos1(l) ? calloc(n << l->window_bits, sizeof(*l->left_ns)) : NULL;
    if (l->clients == NULL || l->arrived == NULL || l->backlog == NULL || (load_qos1(l) && l->left_ns == NULL))
        return WEIR_ENOMEM;
    memset(l->clients, 0, n * sizeof(*l->clients));
    for (uint32_t i = 1; i < n && !load_storms(l, &l->clients[i]); i++)
        list_push(l, LIST_CONNECT, &l->clients[i]);
    return timer_wheel_init(&l->wheel, c->connections, load_now_ms(l));
}

/* Each step in order; the first that fails names itself. */
static int open_all(struct load *l, const char **step) {
    int rc;
    *step = "TCP flows";
    if ((rc = open_tcp(l)) != 0)
        return rc;
    *step = "ports";
    if ((rc = node_open(l)) != 0)
        return rc;
    *step = "TLS";
    if ((rc = open_tls(l)) != 0)
        return rc;
    *step = "clients";
    return open_clients(l);
}

void load_storm(struct load *l) {
    for (uint32_t i = l->config.connections; i > 0 && load_storms(l, &l->clients[i]); i--)
        list_push(l, LIST_CONNECT, &l->clients[i]);
}

struct load *load_new(const struct load_config *config, uint64_t now_ns, char *error, size_t error_bytes) {
    const struct complaint why = {error, error_bytes};
    const char *step = "memory";
    struct load_config c = *config;
    fill_in(&c);
    if (check(&c, &why) != 0)
        return NULL;
    struct load *l = aligned_alloc(WEIR_CACHE_LINE, RTE_ALIGN_CEIL(sizeof(*l), WEIR_CACHE_LINE));
    if (l == NULL) {
        complain(&why, "load: out of memory");
        return NULL;
    }
    memset(l, 0, sizeof(*l));
    l->config = c;
    l->now_ns = now_ns;
    l->now_us = now_ns / 1000 + 1;
    l->connecting = true;
    l->dial_next_ns = (double)now_ns;
    l->dial_tuple = c.seed * 0x9e3779b97f4a7c15ull >> 32; /* another run does not meet what this one leaves behind */
    l->leave_next = 1;
    load_stats_reset(l);
    pattern_fill(l);
    schedule_init(&l->schedule, &c.schedule, now_ns);
    int rc = open_all(l, &step);
    if (rc == 0)
        return l;
    complain(&why, "load: %s: %s; fewer connections or more memory", step, weir_error_text(rc));
    load_free(l);
    return NULL;
}

/* Peers learn of the end by RSTs, as many as the ports take at once. */
static void reset_all(struct load *l) {
    uint32_t n = 0;
    for (tcp_id id = 0; (id = tcp_conn_next(&l->tcp, id)) != 0;) {
        tcp_conn_abort(&l->tcp, id);
        if (++n % RESETS_A_BURST == 0)
            node_transmit(l);
    }
    node_transmit(l);
}

void load_free(struct load *l) {
    if (l == NULL)
        return;
    for (uint32_t i = 1; l->clients != NULL && i <= l->config.connections; i++) {
        if (l->clients[i].shake != NULL)
            hs13_free(l->clients[i].shake);
        rope_clear(&l->clients[i].plain);
    }
    if (l->n_ports != 0)
        reset_all(l);
    node_close(l);
    if (l->config.tls)
        tls_core_fini(&l->tls);
    hs13_core_free(l->hs13);
    tcp_core_fini(&l->tcp);
    pool_fini(&l->brokers);
    timer_wheel_fini(&l->wheel);
    free(l->tickets);
    free(l->clients);
    free(l->arrived);
    free(l->backlog);
    free(l->left_ns);
    free(l);
}
