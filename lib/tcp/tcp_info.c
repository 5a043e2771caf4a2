/* SPDX-License-Identifier: BSD-3-Clause */
/* Looking at a core without changing it. */
#include "tcp_int.h"

#include "../base/lower.h"

static const char *const state_names[] = {
#define X(name) #name,
    TCP_STATES(X)
#undef X
};

struct reason {
    char name[WEIR_NAME_MAX];
    const char *text;
};

static const struct reason drops[] = {
    {"none", "not dropped"},
#define X(name, text) {WEIR_LOWER(#name), text},
#include "tcp_drops.def"
#undef X
};

static const struct reason ends[] = {
    {"none", "still there"},
#define X(name, text) {WEIR_LOWER(#name), text},
#include "tcp_ends.def"
#undef X
};
static_assert(WEIR_ARRAY_LEN(drops) == TCP_DROP_COUNT && WEIR_ARRAY_LEN(ends) == TCP_END_COUNT, "one list");

#define X(name, text) static_assert(sizeof(#name) <= WEIR_NAME_MAX, "name too long");
#include "tcp_drops.def"
#include "tcp_ends.def"
#undef X

const char *tcp_state_name(enum tcp_state s) {
    return (unsigned)s < TCP_STATE_COUNT ? state_names[s] : "unknown";
}

const char *tcp_drop_name(enum tcp_drop d) {
    return (unsigned)d < TCP_DROP_COUNT ? drops[d].name : "unknown";
}

const char *tcp_drop_text(enum tcp_drop d) {
    return (unsigned)d < TCP_DROP_COUNT ? drops[d].text : "unknown reason";
}

const char *tcp_end_name(enum tcp_end e) {
    return (unsigned)e < TCP_END_COUNT ? ends[e].name : "unknown";
}

uint32_t tcp_conn_user(const struct tcp_core *core, tcp_id id) {
    return tcp_conn_of(core, id)->user;
}

uint16_t tcp_conn_mss(const struct tcp_core *core, tcp_id id) {
    return tcp_conn_of(core, id)->mss;
}

uint16_t tcp_conn_listener(const struct tcp_core *core, tcp_id id) {
    return tcp_conn_of(core, id)->listener;
}

enum tcp_end tcp_conn_end(const struct tcp_core *core, tcp_id id) {
    return tcp_conn_of(core, id)->end;
}

enum tcp_state tcp_conn_state(const struct tcp_core *core, tcp_id id) {
    return tcp_conn_of(core, id)->state;
}

bool tcp_conn_peer_fin(const struct tcp_core *core, tcp_id id) {
    return tcp_conn_of(core, id)->flags & TCP_F_FIN_RCVD;
}

uint32_t tcp_conn_unacked(const struct tcp_core *core, tcp_id id) {
    return tcp_conn_of(core, id)->tx.len_bytes;
}

const struct flow_key *tcp_conn_key(const struct tcp_core *core, tcp_id id) {
    return &tcp_conn_of(core, id)->key;
}

uint8_t tcp_conn_port(const struct tcp_core *core, tcp_id id) {
    return tcp_conn_of(core, id)->port;
}

const struct tcp_stats *tcp_core_stats(const struct tcp_core *core) {
    return &core->stats;
}

struct tcp_port *tcp_core_port(struct tcp_core *core, uint8_t port) {
    assert(port < TCP_MAX_PORTS);
    return &core->ports[port];
}

tcp_id tcp_conn_next(const struct tcp_core *core, tcp_id after) {
    uint32_t id = after + 1, words = core->cfg.max_conns / 64 + 1;
    for (uint32_t w = id / 64; w < words; w++) {
        uint64_t bits = core->used[w];
        if (w == id / 64)
            bits &= ~0ull << (id % 64);
        if (bits)
            return w * 64 + (uint32_t)__builtin_ctzll(bits);
    }
    return 0;
}

void tcp_conn_info(const struct tcp_core *core, tcp_id id, struct tcp_info *info) {
    const struct tcp_conn *c = tcp_conn_of(core, id);
    const struct tcp_flight *f = tcp_flight_of(core, c);
    uint32_t unsent = tcp_snd_end(c) - c->snd_nxt; /* -1: our FIN was sent */
    *info = (struct tcp_info){
        .key = c->key,
        .state = c->state,
        .port = c->port,
        .snd_wscale = tcp_snd_wscale(c),
        .rcv_wscale = tcp_rcv_wscale(c),
        .sack = c->flags & TCP_F_SACK,
        .timestamps = c->flags & TCP_F_TS,
        .ecn = tcp_synchronised(c) && (c->flags & TCP_F_ECN),
        .cc = c->cc,
        .mss = c->mss,
        .listener_id = c->listener,
        .user = c->user,
        .srtt_us = c->srtt_us,
        .rttvar_us = c->rttvar_us,
        .rto_us = c->rto_us,
        .cwnd_bytes = c->cwnd,
        .ssthresh_bytes = c->ssthresh,
        .snd_wnd_bytes = c->snd_wnd,
        .rcv_wnd_bytes = seq_max(c->rcv_adv, c->rcv_nxt) - c->rcv_nxt, /* a FIN may lie beyond a closed window */
        .unacked_bytes = c->tx.len_bytes,
        .unsent_bytes = (int32_t)unsent > 0 ? weir_min_u32(unsent, c->tx.len_bytes) : 0,
        .sacked_bytes = f ? f->sacked : 0,
        .lost_bytes = f ? f->lost : 0,
        .recovery = c->flags & TCP_F_RECOVERY,
        .loss = c->flags & TCP_F_LOSS,
        .backoff = c->backoff,
        .rx_bytes = c->rx.len_bytes,
        .retransmits = c->retransmits,
    };
}
