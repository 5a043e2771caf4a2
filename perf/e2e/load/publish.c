/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages: which are due, who takes them, and the round trips of those that are acknowledged.
 *
 * Clients that may take a message stand on LIST_PUBLISH. The first takes one and goes behind the others while it can
 * take more; one that cannot leaves the list, and comes back when an ACK (of TCP) or a PUBACK makes room. So a turn
 * costs what it sends, however many clients there are.
 *
 * Open loop: messages become due by the schedule, whether or not anybody can take them; they wait in the backlog and
 * keep the time they were due. Closed loop: whoever has room sends. */
#include "load_int.h"

#define DUE_A_TURN    512u /* drawn from the schedule */
#define SENT_A_TURN   256u
#define SENT_A_VISIT  16u /* closed loop: of one client before the next has its turn */
#define VISITS_A_TURN 512u
#define QUEUED_LEAST  6000u /* QoS 0: bytes. With less than a few segments under way delayed ACKs would set the pace */

void list_push(struct load *l, enum client_list which, struct client *c) {
    struct list *list = &l->lists[which];
    uint32_t number = client_number(l, c);
    if (c->listed & 1u << which)
        return;
    c->listed |= (uint8_t)(1u << which);
    c->next[which] = 0;
    if (list->tail != 0)
        l->clients[list->tail].next[which] = number;
    else
        list->head = number;
    list->tail = number;
}

struct client *list_pop(struct load *l, enum client_list which) {
    struct list *list = &l->lists[which];
    if (list->head == 0)
        return NULL;
    struct client *c = &l->clients[list->head];
    list->head = c->next[which];
    if (list->head == 0)
        list->tail = 0;
    else
        rte_prefetch0(&l->clients[list->head]);
    c->listed &= (uint8_t) ~(1u << which);
    return c;
}

void publish_ready(struct load *l, struct client *c) {
    if (load_publishes(l) && !load_storms(l, c))
        list_push(l, LIST_PUBLISH, c);
}

/* What has not left is late by as much as it has waited at least: the latest ones must not be those left out. */
void publish_forget_backlog(struct load *l) {
    for (; l->backlog_head != l->backlog_tail; l->backlog_head++) {
        uint64_t at_ns = l->backlog[l->backlog_head % LOAD_BACKLOG].at_ns;
        if (l->now_ns > at_ns)
            histogram_add(&l->stats.latency_ns, l->now_ns - at_ns);
    }
    l->stats.backlog = 0;
}

/* --- one client --- */

/* Most bytes that a message of n takes on the way. */
static uint32_t wire_bytes(const struct load *l, uint32_t n) {
    uint32_t bytes = n + PAYLOAD_AROUND;
    return l->config.tls ? bytes + (bytes / TLS_RECORD_MAX + 1) * TLS_WIRE_OVERHEAD_MAX : bytes;
}

/* May the client take a message of n bytes, besides the `queued` bytes at hand? If not, an event will say when. */
static bool may_take(struct load *l, const struct client *c, uint32_t n, uint32_t queued) {
    if (c->stage != CLIENT_OPEN)
        return false;
    if (load_qos1(l) && c->sent_seq - c->acked_seq >= l->config.window)
        return false; /* until a PUBACK */
    uint32_t wire = wire_bytes(l, n), waits = tcp_conn_unacked(&l->tcp, c->conn) + queued;
    if (waits == 0)
        return true;
    if (!load_qos1(l) && waits >= QUEUED_LEAST && waits + wire > (uint64_t)l->config.window * wire) {
        (void)tcp_conn_room_for(&l->tcp, c->conn, UINT32_MAX, 0); /* asks for more than there is: an ACK is news */
        return false;
    }
    return tcp_conn_room_for(&l->tcp, c->conn, queued + wire, wire) == queued + wire;
}

static uint64_t *left_slot(struct load *l, const struct client *c, uint32_t seq) {
    size_t number = client_number(l, c);
    return &l->left_ns[number << l->window_bits | (seq & ((1u << l->window_bits) - 1))];
}

/* One message onto `wire`. 0; WEIR_ENOMEM: nothing of it is there; WEIR_EIO: a part is, and without mbufs for the rest
 * the connection cannot go on. */
static int publish(struct load *l, struct client *c, const struct due *due, struct rope *wire) {
    struct rope plain = {0};
    uint32_t before = wire->len_bytes;
    int rc =
        payload_publish(l, client_number(l, c) - 1, c->sent_seq, due->at_ns, due->bytes, l->config.tls ? &plain : wire);
    if (rc == 0 && l->config.tls)
        rc = client_seal(l, c, &plain, wire);
    if (rc != 0) {
        rope_clear(&plain);
        return wire->len_bytes == before ? WEIR_ENOMEM : WEIR_EIO;
    }
    if (load_qos1(l))
        *left_slot(l, c, c->sent_seq) = due->at_ns;
    c->sent_seq++;
    c->last_out_ms = load_now_ms(l);
    l->stats.messages_sent++;
    l->stats.bytes_sent += due->bytes;
    return 0;
}

bool publish_acked(struct load *l, struct client *c, uint16_t packet_id) {
    if (c->acked_seq == c->sent_seq || packet_id != payload_packet_id(c->acked_seq))
        return false;
    histogram_add(&l->stats.latency_ns, l->now_ns - *left_slot(l, c, c->acked_seq));
    c->acked_seq++;
    l->stats.messages_acked++;
    publish_ready(l, c);
    return true;
}

void publish_broken(struct client *c) {
    c->acked_seq = c->sent_seq;
}

/* --- open loop --- */

static void collect_due(struct load *l) {
    uint64_t at_ns;
    for (uint32_t i = 0; i < DUE_A_TURN && schedule_due(&l->schedule, l->now_ns, &at_ns); i++) {
        uint32_t bytes = schedule_size(&l->schedule);
        l->stats.messages_due++;
        if (l->backlog_tail - l->backlog_head < LOAD_BACKLOG)
            l->backlog[l->backlog_tail++ % LOAD_BACKLOG] = (struct due){.at_ns = at_ns, .bytes = bytes};
    }
}

static uint32_t run_open(struct load *l) {
    uint32_t sent = 0;
    struct client *c;
    collect_due(l);
    for (uint32_t i = 0; i < VISITS_A_TURN && sent < SENT_A_TURN && l->backlog_head != l->backlog_tail; i++) {
        if ((c = list_pop(l, LIST_PUBLISH)) == NULL)
            break;
        const struct due *due = &l->backlog[l->backlog_head % LOAD_BACKLOG];
        struct rope wire = {0};
        if (!may_take(l, c, due->bytes, 0))
            continue;
        list_push(l, LIST_PUBLISH, c);
        int rc = publish(l, c, due, &wire);
        if (rc != 0) { /* no mbuf: the next turn tries again */
            rope_clear(&wire);
            if (rc == WEIR_EIO)
                client_break(l, c);
            break;
        }
        client_send(l, c, &wire);
        l->backlog_head++;
        sent++;
    }
    l->stats.backlog = l->backlog_tail - l->backlog_head;
    return sent;
}

/* --- closed loop --- */

/* Returns how many messages left; *goes_on: the client can take more. */
static uint32_t fill_client(struct load *l, struct client *c, uint32_t max, bool *goes_on) {
    struct rope wire = {0};
    uint32_t sent = 0;
    *goes_on = true;
    while (sent < max) {
        struct due due = {.at_ns = l->now_ns, .bytes = schedule_size(&l->schedule)};
        *goes_on = may_take(l, c, due.bytes, wire.len_bytes);
        if (!*goes_on)
            break;
        int rc = publish(l, c, &due, &wire);
        if (rc == WEIR_EIO) {
            rope_clear(&wire);
            client_break(l, c);
            *goes_on = false;
            return sent;
        }
        if (rc != 0)
            break;
        sent++;
    }
    if (sent != 0)
        client_send(l, c, &wire);
    rope_clear(&wire);
    return sent;
}

static uint32_t run_closed(struct load *l) {
    uint32_t sent = 0;
    struct client *c;
    for (uint32_t i = 0; i < VISITS_A_TURN && sent < SENT_A_TURN && (c = list_pop(l, LIST_PUBLISH)) != NULL; i++) {
        bool goes_on;
        uint32_t n = fill_client(l, c, SENT_A_VISIT, &goes_on);
        sent += n;
        if (goes_on)
            list_push(l, LIST_PUBLISH, c);
        if (goes_on && n == 0)
            break; /* no mbuf */
    }
    l->stats.messages_due += sent;
    return sent;
}

uint32_t publish_run(struct load *l) {
    if (!l->publishing || l->resting)
        return 0;
    return l->schedule.config.rate_per_s > 0 ? run_open(l) : run_closed(l);
}
