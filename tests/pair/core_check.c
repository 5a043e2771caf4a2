/* SPDX-License-Identifier: BSD-3-Clause */
#include "core_check.h"

#include "tcp/tcp_int.h"

#include <stdio.h>

bool core_fault_say(struct core_fault *f, const char *format, ...) {
    if (f->text[0])
        return false;
    va_list args;
    va_start(args, format);
    vsnprintf(f->text, sizeof(f->text), format, args);
    va_end(args);
    return false;
}

/* With f, core and c at hand: which flow, what was found. */
#define WRONG(format, ...)                                                                                             \
    core_fault_say(f, "flow %u %s: " format, tcp_id_of(core, c), tcp_state_name((enum tcp_state)c->state), __VA_ARGS__)

uint32_t core_snd_nxt(const struct tcp_conn *c) {
    return c->snd_nxt;
}

static bool in(const struct tcp_conn *c, uint32_t states) {
    return states & 1u << c->state;
}
#define S(name) (1u << TCP_##name)

/* --- one flow --- */

/* RFC 9293 3.3.1, 3.4. The peer's FIN may stand on the right edge of a full window, hence the 1. */
static bool numbers(const struct tcp_core *core, const struct tcp_conn *c, struct core_fault *f) {
    uint32_t max = core_snd_nxt(c);
    if (seq_lt(c->snd_nxt, c->snd_una) || seq_lt(max, c->snd_nxt))
        return WRONG("SND.UNA %u, SND.NXT %u, SND.MAX %u", c->snd_una, c->snd_nxt, max);
    if (!in(c, S(CLOSED)) && seq_lt(tcp_snd_end(c) + !!(c->flags & TCP_F_FIN_SENT), max))
        return WRONG("sent up to %u of %u", max, tcp_snd_end(c));
    if (in(c, S(SYN_SENT)))
        return true;
    if (seq_lt(c->rcv_adv + 1, c->rcv_nxt))
        return WRONG("RCV.NXT %u beyond the right edge %u", c->rcv_nxt, c->rcv_adv);
    if (seq_lt(c->rcv_nxt, c->rcv_acked))
        return WRONG("acknowledged %u, beyond RCV.NXT %u", c->rcv_acked, c->rcv_nxt);
    return true;
}

/* RFC 9293 3.3.2: which FINs a state stands for. */
static bool fins(const struct tcp_core *core, const struct tcp_conn *c, struct core_fault *f) {
    bool sent = c->flags & TCP_F_FIN_SENT, acked = c->flags & TCP_F_FIN_ACKED, rcvd = c->flags & TCP_F_FIN_RCVD;
    if (in(c, S(CLOSED)))
        return true;
    if (sent != in(c, S(FIN_WAIT_1) | S(FIN_WAIT_2) | S(CLOSING) | S(LAST_ACK) | S(TIME_WAIT)) ||
        acked != in(c, S(FIN_WAIT_2) | S(TIME_WAIT)) ||
        rcvd != in(c, S(CLOSE_WAIT) | S(CLOSING) | S(LAST_ACK) | S(TIME_WAIT)))
        return WRONG("FIN sent %d, acknowledged %d, received %d", sent, acked, rcvd);
    if (sent && !(c->flags & TCP_F_SHUTDOWN))
        return WRONG("%s", "FIN sent, but nobody shut the flow down");
    return true;
}

static bool estimators(const struct tcp_core *core, const struct tcp_conn *c, struct core_fault *f) {
    if (c->rto_us < TCP_RTO_MIN_US || c->rto_us > TCP_RTO_MAX_US)
        return WRONG("RTO %u us", c->rto_us);
    if (!tcp_synchronised(c))
        return true;
    if (c->mss < TCP_MSS_MIN - TCP_OPT_TS_BYTES && c->mss + TCP_HEADERS + TCP_OPT_TS_BYTES < core->ports[c->port].mtu)
        return WRONG("MSS %u", c->mss);
    if (c->cwnd < c->mss)
        return WRONG("cwnd %u below one segment of %u", c->cwnd, c->mss);
    return true;
}

/* Nothing is stuck: what is outstanding or waits has a timer, or the next tcp_output serves it. */
static bool deadlines(const struct tcp_core *core, const struct tcp_conn *c, struct core_fault *f) {
    bool pending = c->flags & TCP_F_ON_PENDING;
    if (in(c, S(CLOSED)))
        return c->rexmit_ms || c->ack_ms || c->life_ms ? WRONG("%s", "over, but has timers") : true;
    if (c->snd_una != core_snd_nxt(c) && !c->rexmit_ms && !pending)
        return WRONG("%u outstanding without a timer", core_snd_nxt(c) - c->snd_una);
    if (in(c, S(SYN_SENT) | S(SYN_RECEIVED) | S(TIME_WAIT)) && !c->life_ms)
        return WRONG("%s", "no deadline");
    if ((c->flags & TCP_F_RELEASED) && !c->life_ms)
        return WRONG("%s", "released, without a linger time");
    if (!tcp_synchronised(c))
        return true;
    if (seq_lt(c->snd_nxt, tcp_snd_end(c)) && !c->rexmit_ms && !pending)
        return WRONG("%u bytes wait for nothing", tcp_snd_end(c) - c->snd_nxt);
    if ((c->flags & (TCP_F_SHUTDOWN | TCP_F_FIN_SENT)) == TCP_F_SHUTDOWN && !c->rexmit_ms && !pending)
        return WRONG("%s", "FIN waits for nothing");
    if (c->rcv_acked != c->rcv_nxt && !c->ack_ms && !((c->flags & TCP_F_ACK_NOW) && pending))
        return WRONG("RCV.NXT %u, acknowledged %u, and no ACK is owed", c->rcv_nxt, c->rcv_acked);
    return true;
}

/* Has its timer fired, beyond what one call of tcp_timers takes? */
static bool is_due(const struct tcp_core *core, tcp_id id) {
    for (uint32_t i = core->due.next; i < core->due.count; i++)
        if (core->due.ids[i] == id)
            return true;
    return false;
}

/* The one node of the wheel fires no later than any deadline. */
static bool armed(const struct tcp_core *core, const struct tcp_conn *c, struct core_fault *f) {
    const struct timer_node *n = &core->wheel.nodes[tcp_id_of(core, c)];
    const uint32_t due[] = {c->rexmit_ms, c->ack_ms, c->life_ms};
    if (in(c, S(CLOSED)))
        return n->slot ? WRONG("%s", "over, but armed") : true;
    if (is_due(core, tcp_id_of(core, c)))
        return true;
    if (!n->slot)
        return WRONG("%s", "not on the timer wheel");
    for (uint32_t i = 0; i < WEIR_ARRAY_LEN(due); i++)
        if (due[i] && (int32_t)(due[i] - n->deadline_ms) < 0 && (int32_t)(n->deadline_ms - core->wheel.now_ms) > 1)
            return WRONG("timer %u due at %u ms, the node at %u", i, due[i], n->deadline_ms);
    return true;
}

static bool rope(const struct tcp_core *core, const struct tcp_conn *c, const struct rope *r, struct core_fault *f) {
    uint32_t len_bytes = 0, mbufs = 0;
    const struct rte_mbuf *last = NULL;
    for (const struct rte_mbuf *m = r->head; m; last = m, m = m->next) {
        len_bytes += m->data_len;
        mbufs++;
        if (!m->data_len)
            return WRONG("%s", "an empty mbuf in a rope");
    }
    if (len_bytes != r->len_bytes || mbufs != r->mbufs || last != r->tail)
        return WRONG("a rope of %u bytes in %u mbufs says %u in %u", len_bytes, mbufs, r->len_bytes, r->mbufs);
    return true;
}

/* Runs in order, a hole before each, all within the window; at most TCP_REASM_MAX. The first knows what all hold. */
static bool reassembly(const struct tcp_core *core, const struct tcp_conn *c, enum core_check_depth depth,
                       struct core_fault *f) {
    uint32_t n = 0, end = c->rcv_nxt, mbufs = 0;
    bool last = !c->reasm_last;
    for (uint32_t i = c->reasm_head; n < c->reasm_count; n++) {
        if (!i)
            return WRONG("%u of %u runs", n, c->reasm_count);
        const struct tcp_reasm *r = pool_get(&core->reasm, i);
        uint32_t run_end = r->seq + r->bytes.len_bytes;
        if (!seq_lt(end, r->seq) || seq_lt(c->rcv_adv + r->fin, run_end + r->fin) || (!r->bytes.len_bytes && !r->fin) ||
            (r->fin && r->next))
            return WRONG("run %u+%u, FIN %d, lies before %u or beyond the right edge %u", r->seq, r->bytes.len_bytes,
                         r->fin, end, c->rcv_adv);
        if (depth == CORE_CHECK_ALL && !rope(core, c, &r->bytes, f))
            return false;
        last |= i == c->reasm_last;
        end = run_end;
        mbufs += r->bytes.mbufs;
        i = r->next;
    }
    if (!last || n > TCP_REASM_MAX)
        return WRONG("%u runs, or the latest is none of them", n);
    if (n && ((const struct tcp_reasm *)pool_get(&core->reasm, c->reasm_head))->flow_mbufs != mbufs)
        return WRONG("runs hold %u mbufs, and the first says otherwise", mbufs);
    return true;
}

static bool flags(const struct tcp_core *core, const struct tcp_conn *c, struct core_fault *f) {
    if (in(c, S(CLOSED)) != !!(c->flags & TCP_F_DETACHED))
        return WRONG("flags 0x%x", c->flags);
    if ((c->flags & TCP_F_ON_READY) && !(c->flags & TCP_F_OWNED))
        return WRONG("%s", "READY without an owner");
    if (in(c, S(TIME_WAIT)) != !!(c->flags & TCP_F_ON_TIME_WAIT))
        return WRONG("flags 0x%x", c->flags);
    if ((c->flags & TCP_F_RELEASED) && (c->rx.len_bytes || c->rx.mbufs))
        return WRONG("released with %u bytes to read", c->rx.len_bytes);
    return true;
}

bool core_check_conn(const struct tcp_core *core, const struct tcp_conn *c, enum core_check_depth depth,
                     struct core_fault *f) {
    if (c->state >= TCP_STATE_COUNT)
        return core_fault_say(f, "flow %u in state %u", tcp_id_of(core, c), c->state);
    if (!numbers(core, c, f) || !fins(core, c, f) || !estimators(core, c, f) || !deadlines(core, c, f) ||
        !armed(core, c, f) || !reassembly(core, c, depth, f) || !flags(core, c, f))
        return false;
    if (depth == CORE_CHECK_GAUGES)
        return true;
    if (!core_check_records(core, c, f))
        return false;
    uint32_t found = flow_table_find(&core->table, &c->key);
    if (!(c->flags & TCP_F_DETACHED) && found != tcp_id_of(core, c))
        return WRONG("the table leads to flow %u", found);
    return rope(core, c, &c->rx, f) && rope(core, c, &c->tx, f);
}

/* --- the core --- */

/* What the flows add up to. */
struct sums {
    uint32_t rx, tx, flows, attached, half_open, reasm, ready, pending, by_state[TCP_STATE_COUNT];
};

static void add(const struct tcp_core *core, const struct tcp_conn *c, struct sums *s) {
    s->flows++;
    s->rx += c->rx_charged;
    s->tx += c->tx.mbufs;
    s->attached += !(c->flags & TCP_F_DETACHED);
    s->half_open += in(c, S(SYN_RECEIVED)) && (c->flags & TCP_F_PASSIVE);
    s->reasm += c->reasm_count;
    s->ready += !!(c->flags & TCP_F_ON_READY);
    s->pending += !!(c->flags & TCP_F_ON_PENDING);
    s->by_state[c->state]++;
    for (uint32_t i = c->reasm_head, n = 0; n < c->reasm_count; n++) {
        const struct tcp_reasm *r = pool_get(&core->reasm, i);
        s->rx += r->bytes.mbufs;
        i = r->next;
    }
}

static bool gauges(const struct tcp_core *core, const struct sums *s, uint32_t kept_mbufs, struct core_fault *f) {
    const struct tcp_stats *st = &core->stats;
    uint32_t pending = 0;
    for (uint32_t p = 0; p < TCP_MAX_PORTS; p++) {
        pending += core->pending[p].count;
        if (core->pending[p].count && !(core->pending_ports & 1u << p))
            return core_fault_say(f, "port %u has flows pending and no bit", p);
    }
    if (st->rx_mbufs != s->rx + kept_mbufs || st->tx_mbufs != s->tx)
        return core_fault_say(f, "gauges say %u receive and %u send mbufs, the flows hold %u (and %u kept) and %u",
                              st->rx_mbufs, st->tx_mbufs, s->rx, kept_mbufs, s->tx);
    if (core->half_open != s->half_open || core->conns.used != s->flows || core->table.used != s->attached ||
        core->reasm.used != s->reasm)
        return core_fault_say(f, "half open %u (%u), flows %u (%u), table %u (%u), reassembly records %u (%u)",
                              core->half_open, s->half_open, core->conns.used, s->flows, core->table.used, s->attached,
                              core->reasm.used, s->reasm);
    if (core->ready.count != s->ready || pending != s->pending || core->time_wait.count != s->by_state[TCP_TIME_WAIT])
        return core_fault_say(f, "lists: ready %u (%u), pending %u (%u), time-wait %u (%u)", core->ready.count,
                              s->ready, pending, s->pending, core->time_wait.count, s->by_state[TCP_TIME_WAIT]);
    for (uint32_t i = 0; i < TCP_STATE_COUNT; i++)
        if (st->by_state[i] != s->by_state[i])
            return core_fault_say(f, "gauge says %u flows in %s, there are %u", st->by_state[i],
                                  tcp_state_name((enum tcp_state)i), s->by_state[i]);
    if (core->half_open > core->cfg.max_half_open)
        return core_fault_say(f, "%u half-open flows", core->half_open);
    return true;
}

/* Both directions of a list agree, and its members say that they are on it. */
static bool list(const struct tcp_core *core, const struct tcp_list *l, enum tcp_list_id which, struct core_fault *f) {
    static const uint32_t on[] = {TCP_F_ON_READY, TCP_F_ON_PENDING, TCP_F_ON_TIME_WAIT};
    uint32_t n = 0, prev = 0;
    for (tcp_id id = l->head; id && n <= l->count; n++) {
        const struct tcp_conn *c = tcp_conn_of(core, id);
        const struct tcp_link *k = which == TCP_LIST_TIME_WAIT ? &c->tw : &c->link[which];
        if (k->prev != prev || !(c->flags & on[which]))
            return WRONG("is wrongly on list %d", which);
        prev = id;
        id = k->next;
    }
    return n == l->count && prev == l->tail ? true : core_fault_say(f, "list %d of %u has %u", which, l->count, n);
}

bool core_check(const struct tcp_core *core, enum core_check_depth depth, uint32_t kept_mbufs, struct core_fault *f) {
    struct sums s = {0};
    for (tcp_id id = 0; (id = tcp_conn_next(core, id)) != 0;) {
        const struct tcp_conn *c = tcp_conn_of(core, id);
        if (!core_check_conn(core, c, depth, f))
            return false;
        add(core, c, &s);
    }
    if (!gauges(core, &s, kept_mbufs, f))
        return false;
    if (depth == CORE_CHECK_GAUGES)
        return true;
    for (uint32_t p = 0; p < TCP_MAX_PORTS; p++)
        if (!list(core, &core->pending[p], TCP_LIST_PENDING, f))
            return false;
    return list(core, &core->ready, TCP_LIST_READY, f) && list(core, &core->time_wait, TCP_LIST_TIME_WAIT, f);
}
