/* SPDX-License-Identifier: BSD-3-Clause */
#include "pair_model.h"

#include "core_check.h"
#include "mbuf_check.h"
#include "seq_set.h"
#include "tcp/tcp_int.h"

#include <stdlib.h>
#include <string.h>

#define FLOWS    64 /* beyond them the oldest is forgotten */
#define ALL_EACH 32 /* turns between two looks at everything */
#define NOBODY   UINT32_MAX

/* What one side has sent in a flow, and what has arrived there. */
struct way {
    bool stranger;   /* something has come that the peer never sent */
    bool ecn, plain; /* it sent an ECN-setup SYN or SYN-ACK (RFC 3168 6.1.1); one that was none */
    bool syn, fin, acks, edged, arrived_edged, has_wscale;
    uint8_t shift;
    int8_t stamps; /* timestamps on its segments: -1 not known yet */
    uint32_t iss, end, fin_seq;
    uint32_t other_iss; /* of the SYN-ACK before, where it was another: the peer may have taken either */
    uint32_t ack, edge; /* highest that left */
    uint32_t ts_val;
    uint32_t syn_window;                /* of the peer's SYN, until our ISS is known */
    uint32_t arrived_ack, arrived_edge; /* highest that came from the peer */
    struct seq_set got, twice;          /* the peer's numbers that have arrived, and that have arrived again */
};

struct flow {
    uint16_t ports[2]; /* of side 0, of side 1 */
    uint32_t number;   /* of the connection, NOBODY: not one of the test's */
    bool touched[2];
    struct way way[2];
};

struct pair_model {
    struct pair *pair;
    struct flow flows[FLOWS];
    uint32_t n, last, turns;
    struct mbuf_check *mbufs;
};

struct pair_model *pair_model_new(struct pair *p) {
    struct pair_model *m = calloc(1, sizeof(*m));
    if (!m)
        abort();
    m->pair = p;
    m->mbufs = mbuf_check_new(p->side[0].pools, 2 * PAIR_POOL_COUNT);
    return m;
}

static void way_clear(struct way *w) {
    seq_set_clear(&w->got);
    seq_set_clear(&w->twice);
    *w = (struct way){.stamps = -1};
}

void pair_model_free(struct pair_model *m) {
    for (uint32_t i = 0; i < RTE_MIN(m->n, FLOWS); i++)
        for (unsigned s = 0; s < 2; s++)
            way_clear(&m->flows[i].way[s]);
    mbuf_check_free(m->mbufs);
    free(m);
}

/* --- flows --- */

static struct flow *find(struct pair_model *m, uint16_t port0, uint16_t port1) {
    for (uint32_t k = 0, n = RTE_MIN(m->n, FLOWS); k < n; k++) {
        uint32_t i = (m->last + k) % n;
        if (m->flows[i].ports[0] == port0 && m->flows[i].ports[1] == port1) {
            m->last = i;
            return &m->flows[i];
        }
    }
    return NULL;
}

static struct flow *flow_of(struct pair_model *m, unsigned side, const struct pair_segment *s) {
    return side == 0 ? find(m, s->sport, s->dport) : find(m, s->dport, s->sport);
}

static const struct tcp_conn *conn_of(const struct pair_model *m, unsigned side, const struct flow *f) {
    const struct tcp_core *core = m->pair->side[side].core;
    struct flow_key key = {PAIR_ADDR(!side),
                           PAIR_ADDR(side),
                           rte_cpu_to_be_16(f->ports[!side]),
                           rte_cpu_to_be_16(f->ports[side]),
                           FLOW_FAMILY_IP4,
                           IPPROTO_TCP,
                           0};
    tcp_id id = flow_table_find(&core->table, &key);
    return id ? tcp_conn_of(core, id) : NULL;
}

/* A SYN that opens a flow: a new one, or a new incarnation. */
static struct flow *open_flow(struct pair_model *m, unsigned side, const struct pair_segment *s, struct flow *f) {
    if (!f) {
        f = &m->flows[m->n++ % FLOWS];
        f->ports[side] = s->sport;
        f->ports[!side] = s->dport;
    }
    way_clear(&f->way[0]);
    way_clear(&f->way[1]);
    const struct tcp_conn *c = conn_of(m, side, f);
    f->number = c && c->user ? c->user - 1 : NOBODY;
    return f;
}

/* --- what leaves --- */

#define FAULT(format, ...)                                                                                             \
    pair_fail(m->pair, "side %u port %u sends seq %u len %u ack %u flags 0x%02x: " format, side, s->sport, s->seq,     \
              s->len_bytes, s->ack, s->flags, __VA_ARGS__)

static uint32_t shift_of(const struct pair_model *m, const struct flow *f, unsigned side,
                         const struct pair_segment *s) {
    bool scaled = f->way[0].has_wscale && f->way[1].has_wscale && !(m->pair->setup.strip & 1u << 3);
    return scaled && !(s->flags & WIRE_TCP_SYN) ? f->way[side].shift : 0;
}

static void sent_syn(unsigned side, struct flow *f, const struct pair_segment *s) {
    struct way *w = &f->way[side], *peer = &f->way[!side];
    if (!w->syn || w->iss != s->seq) { /* a SYN-ACK anew, from a listener that has forgotten the one before */
        bool kept = w->syn_window != 0;
        uint32_t window = w->syn_window, other = w->syn ? w->iss : 0;
        struct seq_set got = w->got;
        seq_set_clear(&w->twice);
        *w = (struct way){.stamps = -1, .syn = true, .iss = s->seq, .end = s->seq + 1, .other_iss = other, .got = got};
        if (kept) {
            w->arrived_edge = w->iss + 1 + window;
            w->arrived_edged = true;
        }
        w->syn_window = window;
        peer->edged = false; /* what it said was about the other number */
        seq_set_clear(&peer->got);
    }
    uint8_t ecn = s->flags & (WIRE_TCP_ECE | WIRE_TCP_CWR);
    bool setup = ecn == (s->flags & WIRE_TCP_ACK ? WIRE_TCP_ECE : WIRE_TCP_ECE | WIRE_TCP_CWR);
    w->ecn |= setup;
    w->plain |= !setup;
    w->has_wscale = s->has_wscale;
    w->shift = s->wscale;
    if (!(s->flags & WIRE_TCP_ACK)) {
        peer->syn_window = 0; /* of that SYN, once it has arrived */
        if (peer->syn) {
            w->edge = seq_max(w->edged ? w->edge : peer->iss + 1, peer->iss + 1 + s->window);
            w->edged = true;
        }
    }
}

/* The handshake's third segment says which SYN-ACK it is about. */
static void settle_iss(struct flow *f, unsigned side, uint32_t ack) {
    struct way *w = &f->way[side], *peer = &f->way[!side];
    if (!w->other_iss || w->end != w->iss + 1 || ack != w->other_iss + 1)
        return;
    w->arrived_edge += w->other_iss - w->iss;
    w->iss = w->other_iss;
    w->end = w->iss + 1;
    w->other_iss = 0;
    peer->edged = false;
    seq_set_clear(&peer->got);
    seq_set_add(&peer->got, w->iss, w->end, NULL);
}

static void sent_text(struct pair_model *m, unsigned side, struct flow *f, const struct pair_segment *s,
                      const uint8_t *payload) {
    struct way *w = &f->way[side];
    uint32_t end = s->seq + s->len_bytes;
    bool fin = s->flags & WIRE_TCP_FIN;
    settle_iss(f, side, s->seq);
    if (seq_lt(s->seq, w->iss) || seq_lt(w->end, s->seq))
        FAULT("outside of what was sent, %u to %u", w->iss, w->end);
    if (w->fin && ((s->len_bytes && seq_lt(w->fin_seq, end)) || (fin && end != w->fin_seq)))
        FAULT("the FIN was at %u", w->fin_seq);
    if (seq_lt(w->end, end) && !(w->arrived_edged && seq_leq(end, w->arrived_edge)))
        FAULT("beyond the peer's window, which ends at %u", w->arrived_edge);
    if (fin && !w->fin && (seq_lt(w->arrived_edge, end)))
        FAULT("FIN beyond the right edge, %u", w->arrived_edge);
    if (s->len_bytes && f->number != NOBODY &&
        !pair_stream_is(m->pair, side, f->number, s->seq - w->iss - 1, payload, s->len_bytes))
        FAULT("%s", "other bytes than the stream's");
    bool again = seq_lt(s->seq, w->end);
    if (s->ecn && (s->ecn == 3 || !s->len_bytes || again || !w->ecn || w->plain || !f->way[!side].ecn))
        FAULT("ECN bits %u: %s", s->ecn, again ? "sent again" : "not agreed on, no data, or marked by us");
    w->fin |= fin;
    w->fin_seq = fin ? end : w->fin_seq;
    w->end = seq_max(w->end, end + fin);
}

static void sent_ack(struct pair_model *m, unsigned side, struct flow *f, const struct pair_segment *s) {
    struct way *w = &f->way[side], *peer = &f->way[!side];
    uint32_t shift = shift_of(m, f, side, s), edge = s->ack + ((uint32_t)s->window << shift);
    uint32_t buffer = m->pair->side[side].core->cfg.rcv_buf_bytes, have = seq_set_end(&w->got, peer->iss);
    if (w->acks && seq_lt(s->ack, w->ack))
        FAULT("acknowledged %u before", w->ack);
    if (seq_lt(have, s->ack))
        FAULT("has everything only up to %u", have);
    if (w->edged && seq_lt(edge + (1u << shift) - 1, w->edge)) /* by less than a unit where the buffer is full */
        FAULT("the right edge moves left, from %u to %u", w->edge, edge);
    if (edge - s->ack > ((buffer + (1u << shift) - 1) >> shift << shift))
        FAULT("window %u, buffer %u", edge - s->ack, buffer);
    w->edge = w->edged ? seq_max(w->edge, edge) : edge;
    w->acks = w->edged = true;
    w->ack = s->ack;
}

static void sent_sacks(struct pair_model *m, unsigned side, struct flow *f, const struct pair_segment *s) {
    struct way *w = &f->way[side];
    for (uint32_t i = 0; i < s->n_sacks; i++) {
        struct seq_range b = s->sacks[i];
        bool inside =
            i == 0 && s->n_sacks > 1 && seq_leq(s->sacks[1].left, b.left) && seq_leq(b.right, s->sacks[1].right);
        bool dsack = i == 0 && (seq_leq(b.right, s->ack) || inside);
        if (!seq_lt(b.left, b.right) || (!dsack && seq_leq(b.left, s->ack)))
            FAULT("SACK block %u to %u", b.left, b.right);
        if (dsack && w->stranger) /* whose segments are answered like the peer's own (RFC 2883 4) */
            continue;
        if (!seq_set_has(dsack ? &w->twice : &w->got, b.left, b.right))
            FAULT("%s block %u to %u has not arrived %s", dsack ? "D-SACK" : "SACK", b.left, b.right,
                  dsack ? "twice" : "");
    }
}

static void sent_stamps(struct pair_model *m, unsigned side, struct flow *f, const struct pair_segment *s) {
    struct way *w = &f->way[side];
    if (w->stamps >= 0 && w->stamps != s->has_ts && !(s->flags & WIRE_TCP_SYN))
        FAULT("timestamps %d, before %d", s->has_ts, w->stamps);
    if (!(s->flags & WIRE_TCP_SYN))
        w->stamps = s->has_ts;
    if (s->has_ts && w->ts_val && seq_lt(s->ts_val, w->ts_val))
        FAULT("TSval %u after %u", s->ts_val, w->ts_val);
    if (s->has_ts)
        w->ts_val = s->ts_val;
}

/* A cookie, or a half-open flow, for a SYN that the network had kept, while the flow goes on or is over: the peer, in
 * TIME-WAIT maybe, says what it has of the old one (RFC 9293 3.5, figure 9). A new flow would have begun with a new
 * SYN. */
static bool answers_a_kept_syn(const struct pair_model *m, unsigned side, const struct flow *f,
                               const struct pair_segment *s) {
    const struct way *w = &f->way[side];
    const struct tcp_conn *c = conn_of(m, side, f);
    return w->syn && w->end != w->iss + 1 && (!c || (!tcp_synchronised(c) && s->seq != w->iss));
}

void pair_model_sent(struct pair_model *m, unsigned side, const struct pair_segment *s, const uint8_t *payload) {
    struct flow *f = flow_of(m, side, s);
    bool syn = s->flags & WIRE_TCP_SYN, ack = s->flags & WIRE_TCP_ACK;
    if (s->flags & WIRE_TCP_RST)
        return;
    if (syn && !ack && (!f || (f->way[side].syn && f->way[side].iss != s->seq)))
        f = open_flow(m, side, s, f);
    if (!f || (!syn && !f->way[side].syn)) /* an answer to a stranger, or of a flow before */
        return;
    f->touched[side] = true;
    if (syn && ack && answers_a_kept_syn(m, side, f, s))
        return;
    if (!syn && !ack)
        FAULT("%s", "without ACK");
    if (syn)
        sent_syn(side, f, s);
    else
        sent_text(m, side, f, s, payload);
    if (ack) {
        sent_ack(m, side, f, s);
        sent_sacks(m, side, f, s);
    }
    sent_stamps(m, side, f, s);
}

/* --- what arrives --- */

static void arrived_syn(struct flow *f, unsigned side, const struct pair_segment *s) {
    struct way *w = &f->way[side], *peer = &f->way[!side];
    if (!peer->syn || s->seq != peer->iss)
        return;
    seq_set_add(&w->got, s->seq, s->seq + 1, NULL);
    if (s->flags & WIRE_TCP_ACK)
        return;
    if (w->syn) {
        w->arrived_edge = seq_max(w->arrived_edged ? w->arrived_edge : w->iss, w->iss + 1 + s->window);
        w->arrived_edged = true;
    } else {
        w->syn_window = s->window;
    }
}

void pair_model_arrived(struct pair_model *m, unsigned side, const struct pair_segment *s) {
    struct flow *f = flow_of(m, !side, s);
    if (!f || s->flags & WIRE_TCP_RST)
        return;
    struct way *w = &f->way[side], *peer = &f->way[!side];
    f->touched[side] = true;
    if (s->flags & WIRE_TCP_SYN)
        arrived_syn(f, side, s);
    uint32_t end = s->seq + s->len_bytes + !!(s->flags & WIRE_TCP_FIN);
    /* A stranger's numbers may be anything; nothing that the peer has not sent may count. */
    bool sane = peer->syn && !(s->flags & WIRE_TCP_SYN) && seq_leq(peer->iss, s->seq) && seq_leq(end, peer->end);
    if (sane && seq_lt(s->seq, end))
        seq_set_add(&w->got, s->seq, end, &w->twice);
    w->stranger |= !sane && peer->syn && !(s->flags & WIRE_TCP_SYN);
    if (s->flags & WIRE_TCP_ACK)
        settle_iss(f, side, s->ack);
    if (!(s->flags & WIRE_TCP_ACK) || !w->syn || seq_lt(s->ack, w->iss) || seq_lt(w->end, s->ack))
        return;
    uint32_t edge = s->ack + ((uint32_t)s->window << shift_of(m, f, !side, s));
    w->arrived_edge = w->arrived_edged ? seq_max(w->arrived_edge, edge) : edge;
    w->arrived_ack = w->arrived_edged && w->arrived_ack ? seq_max(w->arrived_ack, s->ack) : s->ack;
    w->arrived_edged = true;
}

/* --- a turn's end --- */

static void agree(struct pair_model *m, unsigned side, const struct flow *f) {
    const struct tcp_conn *c = conn_of(m, side, f);
    const struct way *w = &f->way[side], *peer = &f->way[!side];
    if (!c || !tcp_synchronised(c) || !w->syn || !peer->syn)
        return;
    uint32_t have = seq_set_end(&w->got, peer->iss);
    if (core_snd_nxt(c) != w->end)
        pair_fail(m->pair, "side %u port %u: SND.MAX %u, on the wire %u", side, f->ports[side], core_snd_nxt(c),
                  w->end);
    if (seq_lt(w->arrived_ack, c->snd_una))
        pair_fail(m->pair, "side %u port %u: SND.UNA %u, acknowledged %u", side, f->ports[side], c->snd_una,
                  w->arrived_ack);
    if (seq_lt(have, c->rcv_nxt) || (w->acks && seq_lt(c->rcv_nxt, w->ack)))
        pair_fail(m->pair, "side %u port %u: RCV.NXT %u, acknowledged %u, arrived %u", side, f->ports[side], c->rcv_nxt,
                  w->ack, have);
    if (w->edged && c->rcv_adv != w->edge)
        pair_fail(m->pair, "side %u port %u: right edge %u, on the wire %u", side, f->ports[side], c->rcv_adv, w->edge);
}

static void visit(void *context, const struct rte_mbuf *m) {
    mbuf_check_chain(context, m);
}

static void check_mbufs(struct pair_model *m, struct core_fault *fault) {
    const struct pair *p = m->pair;
    mbuf_check_begin(m->mbufs);
    for (unsigned s = 0; s < 2; s++) {
        mbuf_check_core(m->mbufs, p->side[s].core);
        sim_link_walk(p->side[s].tx, visit, m->mbufs);
        for (uint32_t i = 0; i < p->side[s].n_taken; i++)
            mbuf_check_chain(m->mbufs, p->side[s].taken[i]);
    }
    mbuf_check_end(m->mbufs, fault);
}

void pair_model_turn(struct pair_model *m, unsigned side, bool whole) {
    struct pair *p = m->pair;
    struct core_fault fault = {0};
    for (uint32_t i = 0, n = RTE_MIN(m->n, FLOWS); i < n && !p->error[0]; i++) {
        if (m->flows[i].touched[side])
            agree(m, side, &m->flows[i]);
        m->flows[i].touched[side] = false;
    }
    whole |= m->turns++ % ALL_EACH < 2;
    core_check(p->side[side].core, whole ? CORE_CHECK_ALL : CORE_CHECK_GAUGES, 0, &fault);
    if (whole && !fault.text[0])
        check_mbufs(m, &fault);
    if (fault.text[0])
        pair_fail(p, "side %u: %s", side, fault.text);
}
