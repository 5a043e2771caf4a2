/* SPDX-License-Identifier: BSD-3-Clause */
/* Answers that belong to no living flow: resets and SYN cookies. They wait in two rings of their own kind, so that a
 * flood that draws the one does not push out the other, and leave in turns; what finds its ring full is lost, which TCP
 * survives; but a flow that ends with a RST then waits for its own (tcp_conn_reset). Half of what a call of tcp_output
 * may send is theirs, the flows have the other half, and either takes what the other leaves. */
#include "tcp_int.h"

static uint32_t waiting(const struct tcp_replies *q) {
    return q->tail - q->head;
}

bool tcp_reply_push(struct tcp_core *core, enum tcp_reply_kind kind, const struct tcp_reply *r) {
    struct tcp_replies *q = &core->replies[kind];
    if (waiting(q) == TCP_REPLIES) {
        core->stats.replies_lost++;
        return false;
    }
    q->ring[q->tail++ % TCP_REPLIES] = *r;
    return true;
}

bool tcp_replies_full(const struct tcp_core *core, enum tcp_reply_kind kind) {
    return waiting(&core->replies[kind]) == TCP_REPLIES;
}

bool tcp_replies_wait(const struct tcp_core *core) {
    bool any = false;
    for (unsigned k = 0; k < TCP_REPLY_KINDS; k++)
        any |= waiting(&core->replies[k]) != 0;
    return any;
}

void tcp_reset(struct tcp_core *core, const struct flow_key *key, uint8_t port, uint32_t seq, uint32_t ack,
               uint8_t flags) {
    const struct tcp_reply r = {.key = *key, .seq = seq, .ack = ack, .flags = flags, .port = port};
    tcp_reply_push(core, TCP_REPLIES_RESET, &r);
}

/* The oldest of a kind. NULL: it waits behind the others, so that a full port does not hold them up. */
static struct rte_mbuf *send_oldest(struct tcp_core *core, enum tcp_reply_kind kind, uint16_t *room) {
    struct tcp_replies *q = &core->replies[kind];
    struct tcp_reply r = q->ring[q->head++ % TCP_REPLIES];
    struct rte_mbuf *m = room[r.port] ? tcp_build_reply(core, &r) : NULL;
    if (!m) {
        core->stats.no_mbuf += room[r.port] != 0;
        q->ring[q->tail++ % TCP_REPLIES] = r;
        return NULL;
    }
    room[r.port]--;
    core->ports[r.port].tx_room--;
    core->stats.segs_out++;
    core->stats.resets_out += kind == TCP_REPLIES_RESET;
    return m;
}

uint16_t tcp_replies_send(struct tcp_core *core, struct rte_mbuf **to, uint16_t max, bool half) {
    uint16_t room[TCP_MAX_PORTS], n = 0;
    uint32_t left[TCP_REPLY_KINDS];
    unsigned odd = core->next_port & 1; /* changes with each call of tcp_output: the half of 1 is 0, then 1 */
    for (unsigned p = 0; p < TCP_MAX_PORTS; p++)
        room[p] = half ? (uint16_t)((core->ports[p].tx_room + odd) / 2) : core->ports[p].tx_room;
    if (half)
        max = (uint16_t)((max + odd) / 2);
    for (unsigned k = 0; k < TCP_REPLY_KINDS; k++)
        left[k] = waiting(&core->replies[k]);
    for (unsigned k = odd; n < max && (left[0] | left[1]); k ^= 1) {
        if (!left[k])
            continue;
        left[k]--;
        struct rte_mbuf *m = send_oldest(core, (enum tcp_reply_kind)k, room);
        if (m)
            to[n++] = m;
    }
    return n;
}
