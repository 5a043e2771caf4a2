/* SPDX-License-Identifier: BSD-3-Clause */
/* The core and the life of a connection object: made, READY, over, in TIME-WAIT, freed. */
#include "tcp_int.h"

#include <stdlib.h>

/* --- lists --- */

static struct tcp_link *link_of(struct tcp_conn *c, enum tcp_list_id which) {
    return which == TCP_LIST_TIME_WAIT ? &c->tw : &c->link[which];
}

static const uint32_t list_flag[TCP_LIST_COUNT] = {TCP_F_ON_READY, TCP_F_ON_PENDING, TCP_F_ON_TIME_WAIT};

void tcp_list_push(struct tcp_core *core, struct tcp_list *l, enum tcp_list_id which, struct tcp_conn *c) {
    if (c->flags & list_flag[which])
        return;
    c->flags |= list_flag[which];
    uint32_t id = tcp_id_of(core, c);
    *link_of(c, which) = (struct tcp_link){.next = 0, .prev = l->tail};
    if (l->tail)
        link_of(tcp_conn_of(core, l->tail), which)->next = id;
    else
        l->head = id;
    l->tail = id;
    l->count++;
}

void tcp_list_remove(struct tcp_core *core, struct tcp_list *l, enum tcp_list_id which, struct tcp_conn *c) {
    if (!(c->flags & list_flag[which]))
        return;
    c->flags &= ~list_flag[which];
    struct tcp_link *k = link_of(c, which);
    if (k->prev)
        link_of(tcp_conn_of(core, k->prev), which)->next = k->next;
    else
        l->head = k->next;
    if (k->next)
        link_of(tcp_conn_of(core, k->next), which)->prev = k->prev;
    else
        l->tail = k->prev;
    *k = (struct tcp_link){0, 0};
    l->count--;
}

/* --- the core --- */

static uint32_t or_default(uint32_t v, uint32_t def) {
    return v ? v : def;
}

static void config_defaults(struct tcp_config *c) {
    c->max_half_open = or_default(c->max_half_open, c->max_conns);
    c->max_time_wait = or_default(c->max_time_wait, c->max_conns);
    c->rcv_buf_bytes = or_default(c->rcv_buf_bytes, 65536);
    c->snd_buf_bytes = or_default(c->snd_buf_bytes, 65536);
    c->rcv_buf_initial_bytes = weir_min_u32(or_default(c->rcv_buf_initial_bytes, 65536), c->rcv_buf_bytes);
    c->snd_buf_initial_bytes = weir_min_u32(or_default(c->snd_buf_initial_bytes, 65536), c->snd_buf_bytes);
    c->rx_budget_mbufs = or_default(c->rx_budget_mbufs, 65536);
    c->tx_budget_mbufs = or_default(c->tx_budget_mbufs, 65536);
    c->connect_timeout_ms = or_default(c->connect_timeout_ms, 5000);
    c->half_open_timeout_ms = or_default(c->half_open_timeout_ms, 10000);
    c->user_timeout_ms = or_default(c->user_timeout_ms, 60000);
    c->keepalive_idle_ms = or_default(c->keepalive_idle_ms, 300000);
    c->keepalive_interval_ms = or_default(c->keepalive_interval_ms, 15000);
    c->keepalive_probes = (uint8_t)or_default(c->keepalive_probes, 5);
    c->time_wait_ms = or_default(c->time_wait_ms, 60000);
    c->linger_ms = or_default(c->linger_ms, 30000);
}

#define RCV_BUF_MAX (UINT16_MAX * TCP_RCV_BUF_UNIT) /* what tcp_conn.rcv_buf and rx_charged can count */
#define SND_BUF_MAX (1u << 30)                      /* RFC 7323 2.3 */

int tcp_core_init(struct tcp_core *core, const struct tcp_config *config, uint64_t now_us) {
    if (!config->max_conns || config->rcv_buf_bytes > RCV_BUF_MAX || config->snd_buf_bytes > SND_BUF_MAX)
        return WEIR_EINVAL;
    core->cfg = *config;
    config_defaults(&core->cfg);
    core->now_us = now_us;
    while (core->cfg.rcv_buf_bytes >> core->rcv_wscale > UINT16_MAX && core->rcv_wscale < TCP_WSCALE_MAX)
        core->rcv_wscale++;
    core->used = calloc(core->cfg.max_conns / 64 + 1, sizeof *core->used);
    int rc = core->used ? 0 : WEIR_ENOMEM;
    if (!rc)
        rc = pool_init(&core->conns, "tcp_conn", sizeof(struct tcp_conn), core->cfg.max_conns, 0);
    if (!rc) /* each record holds an mbuf of the budget, but those of bare FINs */
        rc = pool_init(&core->reasm, "tcp_reasm", sizeof(struct tcp_reasm),
                       core->cfg.rx_budget_mbufs / 2 + tcp_reasm_fins(core), 0);
    core->sent_extra = tcp_sent_extra(core->cfg.tx_budget_mbufs);
    if (!rc)
        rc = pool_init(&core->sents, "tcp_sent", sizeof(struct tcp_sent), core->cfg.max_conns + core->sent_extra, 0);
    if (!rc)
        rc = pool_init(&core->flights, "tcp_flight", sizeof(struct tcp_flight), core->cfg.max_conns, 0);
    if (!rc)
        rc = timer_wheel_init(&core->wheel, core->cfg.max_conns, clock_ms(now_us));
    if (!rc)
        rc = flow_table_init(&core->table, core->cfg.max_conns, core->cfg.secret[0] ^ core->cfg.secret[1],
                             &(struct flow_objects){.base = core->conns.base,
                                                    .stride_bytes = core->conns.stride_bytes,
                                                    .key_offset = offsetof(struct tcp_conn, key),
                                                    .keys = 1});
    if (rc)
        tcp_core_fini(core);
    return rc;
}

#define POPULATE_FLIGHTS 16384u /* flows with data under way at once; more take pages as they come */

void tcp_core_populate(const struct tcp_core *core, uint32_t n) {
    pool_populate(&core->conns, n);
    pool_populate(&core->sents, POPULATE_FLIGHTS);
    pool_populate(&core->flights, POPULATE_FLIGHTS);
    timer_wheel_populate(&core->wheel, n);
    flow_table_populate(&core->table);
}

uint32_t tcp_conn_bytes(void) {
    return sizeof(struct tcp_conn) + sizeof(struct timer_node);
}

bool tcp_busy(const struct tcp_core *core) {
    bool busy =
        core->ready.head || core->due.next != core->due.count || tcp_replies_wait(core) || tcp_reclaim_reopens(core);
    for (unsigned p = 0; p < TCP_MAX_PORTS; p++)
        busy |= core->pending[p].head != 0;
    return busy;
}

/* --- a connection object --- */

struct tcp_conn *tcp_conn_new(struct tcp_core *core, const struct flow_key *key, uint8_t port, enum tcp_state state) {
    uint32_t id = pool_alloc(&core->conns);
    if (!id)
        return NULL;
    if (flow_table_add(&core->table, key, id) != 0) {
        pool_free(&core->conns, id);
        return NULL;
    }
    core->table_epoch++;
    core->used[id / 64] |= 1ull << (id % 64);
    struct tcp_conn *c = tcp_conn_of(core, id);
    c->key = *key;
    c->port = port;
    c->state = (uint8_t)state;
    core->stats.by_state[state]++;
    c->ts_offset = tcp_ts_offset(core, key);
    c->rto_us = TCP_RTO_INITIAL_US;
    c->quick_acks = TCP_QUICK_ACKS;
    tcp_window_new(core, c);
    c->last_rx_ms = c->progress_ms = tcp_now_ms(core);
    return c;
}

static bool is_half_open(const struct tcp_conn *c) {
    return c->state == TCP_SYN_RECEIVED && (c->flags & TCP_F_PASSIVE);
}

void tcp_conn_set_state(struct tcp_core *core, struct tcp_conn *c, enum tcp_state state) {
    core->half_open -= is_half_open(c);
    core->stats.by_state[c->state]--;
    c->state = (uint8_t)state;
    core->stats.by_state[state]++;
    core->half_open += is_half_open(c);
}

static void detach(struct tcp_core *core, struct tcp_conn *c) {
    if (c->flags & TCP_F_DETACHED)
        return;
    c->flags |= TCP_F_DETACHED;
    flow_table_del(&core->table, &c->key);
    core->table_epoch++;
}

/* Sending, timers and reassembly end; what lies on the receive rope stays for the owner. */
static void quiesce(struct tcp_core *core, struct tcp_conn *c) {
    tcp_list_remove(core, &core->pending[c->port], TCP_LIST_PENDING, c);
    tcp_list_remove(core, &core->time_wait, TCP_LIST_TIME_WAIT, c);
    timer_wheel_cancel(&core->wheel, tcp_id_of(core, c));
    c->rexmit_ms = c->ack_ms = c->life_ms = 0;
    core->stats.tx_mbufs -= c->tx.mbufs;
    rope_clear(&c->tx);
    c->cursor = NULL;
    tcp_flight_clear(core, c);
    tcp_reasm_clear(core, c);
}

/* The owner knows it no more. */
static void let_go(struct tcp_core *core, struct tcp_conn *c) {
    c->flags &= ~TCP_F_OWNED;
    c->events = 0;
    c->user = 0;
    tcp_list_remove(core, &core->ready, TCP_LIST_READY, c);
    rope_clear(&c->rx);
    tcp_rx_settle(core, c);
}

static void free_now(struct tcp_core *core, struct tcp_conn *c) {
    uint32_t id = tcp_id_of(core, c);
    detach(core, c);
    quiesce(core, c);
    let_go(core, c);
    core->half_open -= is_half_open(c);
    core->stats.by_state[c->state]--;
    core->used[id / 64] &= ~(1ull << (id % 64));
    pool_free(&core->conns, id);
}

void tcp_conn_free(struct tcp_core *core, struct tcp_conn *c) {
    if (WEIR_UNLIKELY(tcp_owes_reset(c)))
        let_go(core, c);
    else
        free_now(core, c);
}

void tcp_conn_raise(struct tcp_core *core, struct tcp_conn *c, uint8_t events) {
    if (!(c->flags & TCP_F_OWNED))
        return;
    c->events |= events;
    tcp_list_push(core, &core->ready, TCP_LIST_READY, c);
}

/* Out of the table. An owner's object stays until that has released it; returns whether it has one. */
static bool close_conn(struct tcp_core *core, struct tcp_conn *c) {
    if (!(c->flags & TCP_F_OWNED)) {
        tcp_conn_free(core, c);
        return false;
    }
    detach(core, c);
    quiesce(core, c);
    tcp_conn_set_state(core, c, TCP_CLOSED);
    return true;
}

void tcp_conn_over(struct tcp_core *core, struct tcp_conn *c, enum tcp_end end) {
    core->stats.ends[end]++;
    c->end = (uint8_t)end;
    if (close_conn(core, c))
        tcp_conn_raise(core, c, TCP_EV_CLOSED);
}

void tcp_conn_reset(struct tcp_core *core, struct tcp_conn *c, enum tcp_end end) {
    if (WEIR_LIKELY(tcp_reset_flow(core, c))) {
        tcp_conn_over(core, c, end);
        return;
    }
    core->stats.ends[end]++;
    c->end = (uint8_t)end;
    detach(core, c);
    quiesce(core, c);
    tcp_conn_set_state(core, c, TCP_CLOSED);
    tcp_pending(core, c);
    if (c->flags & TCP_F_OWNED)
        tcp_conn_raise(core, c, TCP_EV_CLOSED);
    else
        let_go(core, c);
}

void tcp_conn_time_wait(struct tcp_core *core, struct tcp_conn *c) {
    core->stats.ends[TCP_END_FIN]++;
    c->end = TCP_END_FIN;
    tcp_timer_stop(c, TCP_TIMER_REXMIT);
    tcp_flight_clear(core, c); /* the TIME-WAIT list lies where its records did */
    tcp_conn_set_state(core, c, TCP_TIME_WAIT);
    if (core->time_wait.count >= core->cfg.max_time_wait)
        tcp_conn_time_wait_end(core, tcp_conn_of(core, core->time_wait.head));
    tcp_list_push(core, &core->time_wait, TCP_LIST_TIME_WAIT, c);
    tcp_timer_set(core, c, TCP_TIMER_LIFE, core->cfg.time_wait_ms);
    tcp_conn_raise(core, c, TCP_EV_CLOSED);
}

void tcp_conn_time_wait_end(struct tcp_core *core, struct tcp_conn *c) {
    close_conn(core, c); /* an owner has had its TCP_EV_CLOSED */
}

void tcp_conn_established(struct tcp_core *core, struct tcp_conn *c) {
    tcp_timer_stop(c, TCP_TIMER_LIFE);
    if (c->flags & TCP_F_RELEASED) /* released while it was opening: what is queued goes out, within the linger time */
        tcp_timer_set(core, c, TCP_TIMER_LIFE, core->cfg.linger_ms);
    tcp_conn_set_state(core, c, TCP_ESTABLISHED);
    tcp_cc_start(c);
    tcp_window_established(core, c);
    tcp_timer_keepalive(core, c);
    if (c->flags & TCP_F_PASSIVE) {
        core->stats.accepted++;
        c->flags |= TCP_F_OWNED;
        tcp_conn_raise(core, c, TCP_EV_ACCEPTED);
    } else {
        core->stats.connected++;
        tcp_conn_raise(core, c, TCP_EV_CONNECTED);
    }
    if (c->tx.len_bytes || (c->flags & TCP_F_SHUTDOWN))
        tcp_pending(core, c);
}

/* --- the core's end --- */

void tcp_core_fini(struct tcp_core *core) {
    for (tcp_id id = 0; core->used && (id = tcp_conn_next(core, id)) != 0;)
        free_now(core, tcp_conn_of(core, id));
    flow_table_fini(&core->table);
    timer_wheel_fini(&core->wheel);
    pool_fini(&core->flights);
    pool_fini(&core->sents);
    pool_fini(&core->reasm);
    pool_fini(&core->conns);
    free(core->used);
    core->used = NULL;
}
