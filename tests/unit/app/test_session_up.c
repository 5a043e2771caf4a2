/* SPDX-License-Identifier: BSD-3-Clause */
/* What TLS has written when it gives a connection up: who gets it, and that the pool does where nobody does. TCP and
 * TLS are stood in for. */
#include "app/weir/session_server.h"

#include "tests/eal.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define CLIENT 7u
#define MBUFS  15u

static struct {
    struct rte_mempool *pool;
    enum tls_drop drop; /* what tls_input says, a flight being written already */
    enum tcp_state state;
    struct rope rx;
    uint32_t ended, end; /* how often, and why last */
    uint32_t sent;       /* bytes, to the client */
} told;

static void start(void) {
    cr_assert(test_eal(16));
    told.pool = rte_pktmbuf_pool_create("session_up", MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    cr_assert_not_null(told.pool);
}

TestSuite(session_up, .init = start);

/* A flight that answers what came before is written already when the connection is dropped. */
int tls_input(struct tls_core *core, tls_id id, struct rope *wire_in, struct rope *plain, struct rope *wire_out,
              uint32_t budget_bytes) {
    static const uint8_t flight[3000];
    (void)core, (void)id, (void)wire_in, (void)plain, (void)budget_bytes;
    cr_assert_eq(rope_append(wire_out, told.pool, flight, sizeof(flight)), 0);
    return -(int)told.drop;
}

struct rope *tcp_conn_rx(struct tcp_core *core, tcp_id id) {
    (void)core;
    cr_assert_eq(id, CLIENT);
    return &told.rx;
}

enum tcp_state tcp_conn_state(const struct tcp_core *core, tcp_id id) {
    (void)core, (void)id;
    return told.state;
}

int tcp_conn_send(struct tcp_core *core, tcp_id id, struct rope *src) {
    (void)core, (void)id;
    told.sent += src->len_bytes;
    rope_clear(src); /* it has gone */
    return 0;
}

static void ended(enum session_end end) {
    told.ended++;
    told.end = end;
}

void session_kill(struct worker *w, struct session *s, enum session_end end) {
    (void)w, (void)s;
    ended(end);
}

void session_finish(struct worker *w, struct session *s, enum session_end end) {
    (void)w, (void)s;
    ended(end);
}

void session_refuse(struct worker *w, struct session *s, enum session_end end, const uint8_t *answer, uint32_t n) {
    (void)w, (void)s, (void)answer, (void)n;
    ended(end);
}

bool tls_drop_is_refusal(enum tls_drop d) {
    return d == TLS_DROP_HS_QUEUE_FULL;
}

/* --- not about these --- */

void tls_conn_renew(struct tls_core *core, tls_id id, struct tls_ctx *ctx) {
    (void)core, (void)id, (void)ctx;
}

bool tls_established(const struct tls_core *core, tls_id id) {
    (void)core, (void)id;
    return false;
}

bool tls_pending(const struct tls_core *core, tls_id id) {
    (void)core, (void)id;
    return false;
}

bool tcp_rx_pressed(const struct tcp_core *core) {
    (void)core;
    return false;
}

void tcp_rx_kept(struct tcp_core *core, int32_t mbufs) {
    (void)core, (void)mbufs;
}

void tcp_conn_again(struct tcp_core *core, tcp_id id, uint8_t events) {
    (void)core, (void)id, (void)events;
}

void tcp_conn_consumed(struct tcp_core *core, tcp_id id) {
    (void)core, (void)id;
}

bool tcp_conn_peer_fin(const struct tcp_core *core, tcp_id id) {
    (void)core, (void)id;
    return false;
}

bool mqtt_stream_accepted(const struct mqtt_stream *s) {
    (void)s;
    return false;
}

uint32_t mqtt_refuse_connect(uint8_t level, enum mqtt_drop why, uint8_t *buf) {
    (void)level, (void)why, (void)buf;
    return 0;
}

uint32_t mqtt_refuse_stream(uint8_t level, enum mqtt_drop why, uint8_t *buf) {
    (void)level, (void)why, (void)buf;
    return 0;
}

int mqtt_stream_feed_rope(struct mqtt_stream *s, enum mqtt_from from, const struct mqtt_limits *limits,
                          const struct rope *r, uint32_t offset, struct mqtt_seen *seen) {
    (void)s, (void)from, (void)limits, (void)r, (void)offset, (void)seen;
    return 0;
}

int session_send(struct worker *w, tcp_id to, tls_id tls, struct rope *plain) {
    (void)w, (void)to, (void)tls, (void)plain;
    return 0;
}

int session_to_client(struct worker *w, struct session *s, struct rope *plain) {
    (void)w, (void)s, (void)plain;
    return 0;
}

void session_deadline(struct worker *w, struct session *s, uint32_t after_ms) {
    (void)w, (void)s, (void)after_ms;
}

void session_cut(struct worker *w, struct session *s, enum session_end end) {
    (void)w, (void)s, (void)end;
}

void session_reset_later(struct worker *w, struct session *s, enum session_end end) {
    (void)w, (void)s, (void)end;
}

void session_server_cut(struct worker *w, struct session *s, enum server_tls why) {
    (void)w, (void)s, (void)why;
}

bool session_worn_out(struct worker *w, struct session *s) {
    (void)w, (void)s;
    return true;
}

int session_worn_end(struct worker *w, struct session *s) {
    (void)w, (void)s;
    return 1;
}

/* --- */

/* A client is visited. */
static void visit(struct session s, enum tls_drop drop, enum config_refusal refusal) {
    struct config *config = calloc(1, sizeof(*config));
    struct weir *weir = calloc(1, sizeof(*weir));
    struct worker *w = calloc(1, sizeof(*w));
    struct snapshot snapshot = {0};

    cr_assert(config != NULL && weir != NULL && w != NULL);
    config->limits.handshake_refusal = refusal;
    weir->config = config;
    w->weir = weir;
    w->snapshot = &snapshot;
    told.drop = drop;
    told.ended = told.sent = 0;
    cr_expect_eq(session_pull_client(w, &s), 1);
    cr_expect_eq(rte_mempool_in_use_count(told.pool), 0, "%u mbufs lost", rte_mempool_in_use_count(told.pool));
    free(w);
    free(weir);
    free(config);
}

/* One in its handshake. Returns why its session ended. */
static enum session_end visited(enum tls_drop drop, enum tcp_state state, enum config_refusal refusal) {
    told.state = state;
    visit((struct session){.client = CLIENT, .tls = 1, .flags = SESSION_TLS, .phase = PHASE_HANDSHAKE}, drop, refusal);
    cr_expect_eq(told.ended, 1);
    return (enum session_end)told.end;
}

Test(session_up, flight_whose_client_has_gone_is_given_back) {
    cr_expect_eq(visited(TLS_DROP_HS_CLIENT_GONE, TCP_CLOSE_WAIT, CONFIG_REFUSAL_RESET), SESSION_END_CLIENT_CLOSED);
    cr_expect_eq(visited(TLS_DROP_HS_CLIENT_GONE, TCP_CLOSED, CONFIG_REFUSAL_RESET), SESSION_END_CLIENT_RESET);
}

Test(session_up, flight_to_a_client_that_stalls_is_given_back) {
    cr_expect_eq(visited(TLS_DROP_HS_STALLED, TCP_ESTABLISHED, CONFIG_REFUSAL_RESET), SESSION_END_HANDSHAKE_TIMEOUT);
}

Test(session_up, alert_to_a_client_that_is_reset_is_given_back) {
    cr_expect_eq(visited(TLS_DROP_HS_QUEUE_FULL, TCP_ESTABLISHED, CONFIG_REFUSAL_RESET), SESSION_END_HANDSHAKE_REFUSED);
    cr_expect_eq(visited(TLS_DROP_HS_QUEUE_FULL, TCP_ESTABLISHED, CONFIG_REFUSAL_ALERT), SESSION_END_HANDSHAKE_REFUSED);
}

/* close_notify would say of any other stream that this was all. */
Test(session_up, key_used_up_is_told_to_mqtt_alone) {
    struct session s = {.client = CLIENT, .tls = 1, .flags = SESSION_TLS | SESSION_MQTT, .phase = PHASE_FLOWING};

    visit(s, TLS_DROP_RECORD_LIMIT, CONFIG_REFUSAL_RESET);
    cr_expect_gt(told.sent, 0);
    s.flags = SESSION_TLS;
    visit(s, TLS_DROP_RECORD_LIMIT, CONFIG_REFUSAL_RESET);
    cr_expect_eq(told.sent, 0);
}
