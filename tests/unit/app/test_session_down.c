/* SPDX-License-Identifier: BSD-3-Clause */
/* Who wakes a session of which TLS or TCP took less than there was, and how it ends where TLS takes no more: TCP and
 * TLS are stood in for, each answer is given.
 */
#include "app/weir/session_server.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define CLIENT 7u
#define MSS    1448u

static struct {
    uint32_t room;        /* of the client's send rope */
    int sealed;           /* what tls_seal says */
    uint32_t asked;       /* of tls_seal */
    uint8_t again, armed; /* events of visits asked for; TCP says when there is room */
    struct rope rx;       /* what has come from the server */
    uint32_t worn, reset; /* the session ends in order; with a reset, for that reason */
} told;

uint32_t tcp_conn_room_for(struct tcp_core *core, tcp_id id, uint32_t want, uint32_t extra) {
    (void)core, (void)id, (void)extra;
    told.armed = told.room < want;
    return weir_min_u32(told.room, want);
}

int tls_seal(struct tls_core *core, tls_id id, struct rope *plain, struct rope *wire, uint32_t max_bytes,
             uint32_t segment_bytes) {
    (void)core, (void)id, (void)wire;
    told.asked = max_bytes;
    cr_assert_eq(segment_bytes, MSS);
    if (told.sealed > 0)
        plain->len_bytes -= (uint32_t)told.sealed;
    return told.sealed;
}

void tcp_conn_again(struct tcp_core *core, tcp_id id, uint8_t events) {
    (void)core;
    cr_assert_eq(id, CLIENT);
    told.again |= events;
}

uint16_t tcp_conn_mss(const struct tcp_core *core, tcp_id id) {
    (void)core;
    cr_assert_eq(id, CLIENT);
    return MSS;
}

/* --- not about these --- */

uint8_t tcp_conn_port(const struct tcp_core *core, tcp_id id) {
    (void)core, (void)id;
    return 0;
}

int tcp_conn_send(struct tcp_core *core, tcp_id id, struct rope *src) {
    (void)core, (void)id, (void)src;
    return 0;
}

struct rope *tcp_conn_rx(struct tcp_core *core, tcp_id id) {
    (void)core, (void)id;
    return &told.rx;
}

void tcp_conn_consumed(struct tcp_core *core, tcp_id id) {
    (void)core, (void)id;
}

bool tcp_conn_peer_fin(const struct tcp_core *core, tcp_id id) {
    (void)core, (void)id;
    return false;
}

int mqtt_stream_feed_rope(struct mqtt_stream *s, enum mqtt_from from, const struct mqtt_limits *limits,
                          const struct rope *r, uint32_t offset, struct mqtt_seen *seen) {
    (void)s, (void)from, (void)limits, (void)r, (void)offset, (void)seen;
    return 0;
}

void session_kill(struct worker *w, struct session *s, enum session_end end) {
    (void)w, (void)s, (void)end;
}

void session_reset_later(struct worker *w, struct session *s, enum session_end end) {
    (void)w, (void)s;
    told.reset = end;
}

bool session_worn_out(struct worker *w, struct session *s) {
    (void)w, (void)s;
    told.worn++;
    return true;
}

void session_charge(struct worker *w, struct session *s) {
    (void)w, (void)s;
}

int session_server_pull(struct worker *w, struct session *s) {
    (void)w, (void)s;
    return 0;
}

void session_server_cut(struct worker *w, struct session *s, enum server_tls why) {
    (void)w, (void)s, (void)why;
}

/* --- */

/* Sends `bytes` to a client with TLS. Returns what session_to_client does. */
static int send_tls(uint32_t bytes, uint32_t room, int sealed) {
    struct worker *w = calloc(1, sizeof(*w));
    struct session s = {.client = CLIENT, .tls = 1, .flags = SESSION_TLS, .phase = PHASE_FLOWING};
    struct rope plain = {.len_bytes = bytes};

    cr_assert_not_null(w);
    told.room = room;
    told.sealed = sealed;
    told.again = told.armed = 0;
    int rc = session_to_client(w, &s, &plain);
    free(w);
    return rc;
}

Test(session_down, all_taken_needs_no_visit) {
    cr_expect_eq(send_tls(40000, 65536, 40000), 40000);
    cr_expect_eq(told.asked, 40000);
    cr_expect_not(told.armed);
    cr_expect_not(told.again);
}

Test(session_down, short_room_is_told_by_tcp) {
    cr_expect_eq(send_tls(40000, 20000, 20000), 20000);
    cr_expect(told.armed);
    cr_expect_not(told.again);
}

/* The second of three records found no mbuf: no ACK is waited for, so the session itself has to come back. */
Test(session_down, cut_short_between_records_comes_back) {
    cr_expect_eq(send_tls(40000, 65536, TLS_RECORD_MAX), (int)TLS_RECORD_MAX);
    cr_expect_not(told.armed);
    cr_expect(told.again & TCP_EV_WRITABLE);
}

Test(session_down, nothing_taken) {
    cr_expect_eq(send_tls(40000, 65536, WEIR_ENOMEM), 0);
    cr_expect(told.again & TCP_EV_WRITABLE);
    cr_expect_eq(send_tls(40000, 65536, WEIR_ESTATE), WEIR_ESTATE);
    cr_expect_eq(send_tls(40000, 65536, 0), 0, "the engine is at work: it says when it is done");
    cr_expect_not(told.again);
}

/* The server has something to say and weir's own key towards the client is used up. Returns what session_push_client
 * does. */
static int push_worn(uint16_t flags) {
    struct worker *w = calloc(1, sizeof(*w));
    struct session s = {
        .client = CLIENT, .server = 8, .tls = 1, .flags = (uint16_t)(SESSION_TLS | flags), .phase = PHASE_FLOWING};

    cr_assert_not_null(w);
    told.room = 65536;
    told.sealed = WEIR_ECLOSED;
    told.rx = (struct rope){.len_bytes = 100};
    told.worn = told.reset = 0;
    int rc = session_push_client(w, &s);
    free(w);
    return rc;
}

/* MQTT frames its packets. Of any other stream half would pass for all of it. */
Test(session_down, key_used_up_in_the_middle) {
    cr_expect_eq(push_worn(SESSION_MQTT), 0);
    cr_expect_eq(told.worn, 1);
    cr_expect_eq(told.reset, 0);
    cr_expect_eq(push_worn(0), 1);
    cr_expect_eq(told.worn, 0);
    cr_expect_eq(told.reset, SESSION_END_TLS_KEY_USED_UP);
}
