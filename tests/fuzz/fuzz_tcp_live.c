/* SPDX-License-Identifier: BSD-3-Clause */
/* A core with live flows of both roles against a peer that knows their numbers. An input is a row of operations: whole
 * exchanges that lead a flow from state to state (open, data, ACK, FIN), single segments relative to the flow's current
 * numbers with something wrong about them (the checksum is put right, so that they get in), ICMP errors, time, the
 * owner's calls, output. tests/fuzz/seeds.py writes inputs by name.
 *
 * Whatever comes: no access outside; after each operation everything holds that core_check.c knows; bytes sent are
 * those that the owner queued, at their sequence numbers; bytes read are those that some segment brought at theirs; and
 * when all is over every gauge is at zero and every mbuf at home. With WEIR_FUZZ_STATES in the environment the states
 * that flows were seen in are counted and printed at the end. */
#include "../pair/core_check.h"
#include "tcp/tcp_int.h"
#include "tests/eal.h"

#include <stdio.h>
#include <stdlib.h>

enum { MBUFS = 1023, OPERATIONS = 200, FLOWS = 4, WRONG_BYTE = 0xee };

/* What an operation byte says: low 4 bits; the next 2 are the flow. */
enum operation { SEGMENT, OPEN, ACK_ALL, DATA, FIN, TIME, OWNER, OUTPUT, ICMP, CONNECT, DUP_ACK, OPERATION_COUNT };

#define LOCAL_ADDR  RTE_BE32(0xc6120001u)
#define REMOTE_ADDR RTE_BE32(0xc6120002u)
#define LISTEN_PORT RTE_BE16(1883) /* of flow 1 */
#define COOKIE_PORT RTE_BE16(1884) /* of flow 3: every SYN is answered with a cookie */
#define PEER_ISS    0xfffff000u    /* sequence numbers wrap early */

struct flow {
    tcp_id id;         /* 0: the owner does not know it */
    uint32_t iss, irs; /* of ours, of the peer's SYN */
    uint32_t ts_val;   /* of our SYN */
    bool sent_syn;
    uint64_t written, read;
};

struct state {
    struct tcp_core core;
    struct flow flows[FLOWS];
    struct span in;
    uint32_t operations;
};

static struct rte_mempool *mbufs;
static uint64_t states_seen[TCP_STATE_COUNT];

static void print_states(void) {
    for (unsigned i = 0; i < TCP_STATE_COUNT; i++)
        fprintf(stderr, "%-12s seen after %lu operations\n", tcp_state_name((enum tcp_state)i), states_seen[i]);
}

static void start(void) {
    if (mbufs)
        return;
    if (!test_eal(64))
        abort();
    mbufs = rte_pktmbuf_pool_create("fuzz", MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    if (!mbufs)
        abort();
    if (getenv("WEIR_FUZZ_STATES"))
        atexit(print_states);
}

static void check(bool ok, const char *what) {
    if (ok)
        return;
    fprintf(stderr, "ERROR: %s\n", what);
    abort();
}

static uint8_t byte_at(uint64_t position) {
    return (uint8_t)(position * 2654435761u >> 13);
}

/* --- flows --- */

static struct flow_key key_of(unsigned flow) {
    bool passive = flow & 1;
    return (struct flow_key){REMOTE_ADDR,
                             LOCAL_ADDR,
                             rte_cpu_to_be_16((uint16_t)(40000 + flow)),
                             flow == 3 ? COOKIE_PORT
                             : passive ? LISTEN_PORT
                                       : rte_cpu_to_be_16((uint16_t)(50000 + flow)),
                             FLOW_FAMILY_IP4,
                             IPPROTO_TCP,
                             0};
}

static const struct tcp_conn *conn_of(const struct state *s, unsigned flow) {
    struct flow_key key = key_of(flow);
    tcp_id id = flow_table_find(&s->core.table, &key);
    return id ? tcp_conn_of(&s->core, id) : NULL;
}

/* --- the peer's segments --- */

struct segment {
    uint32_t seq, ack, len;
    uint16_t window, urgent;
    uint8_t flags, data_offset, n_options;
    bool wrong_bytes;
    uint8_t options[TCP_OPTIONS_MAX];
};

static void put_stamps(struct segment *g, uint32_t ts_val, uint32_t ts_ecr) {
    struct span_writer w = span_writer_of(g->options + g->n_options, 12);
    span_put_u32(&w, 0x0101080a);
    span_put_u32(&w, ts_val);
    span_put_u32(&w, ts_ecr);
    g->n_options = (uint8_t)(g->n_options + 12);
}

static void deliver(struct state *s, unsigned flow, const struct segment *g) {
    struct rte_mbuf *m = rte_pktmbuf_alloc(mbufs);
    if (!m)
        return;
    struct flow_key key = key_of(flow);
    uint32_t tcp_bytes = sizeof(struct wire_tcp) + g->n_options + g->len;
    uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(sizeof(struct wire_ip4) + tcp_bytes));
    *(struct wire_ip4 *)p = (struct wire_ip4){
        .version_ihl = 0x45, .saddr_be = REMOTE_ADDR, .daddr_be = LOCAL_ADDR, .proto = IPPROTO_TCP, .ttl = 64};
    struct wire_tcp *th = (struct wire_tcp *)(p + sizeof(struct wire_ip4));
    *th = (struct wire_tcp){
        .sport_be = key.remote_port_be,
        .dport_be = key.local_port_be,
        .seq_be = rte_cpu_to_be_32(g->seq),
        .ack_be = rte_cpu_to_be_32(g->ack),
        .data_offset = g->data_offset ? g->data_offset : (uint8_t)((sizeof *th + g->n_options) / 4 << 4),
        .flags = g->flags,
        .window_be = rte_cpu_to_be_16(g->window),
        .urgent_be = rte_cpu_to_be_16(g->urgent),
    };
    memcpy(th + 1, g->options, g->n_options);
    uint8_t *payload = (uint8_t *)(th + 1) + g->n_options;
    for (uint32_t i = 0; i < g->len; i++)
        payload[i] = g->wrong_bytes ? WRONG_BYTE : byte_at(g->seq + i - s->flows[flow].irs - 1);
    m->port = 0;
    m->l3_len = sizeof(struct wire_ip4);
    th->checksum_be = checksum_l4(m, m->l3_len, (uint16_t)tcp_bytes, REMOTE_ADDR, LOCAL_ADDR, IPPROTO_TCP);
    int16_t verdict = -TCP_DROP_SHORT;
    if (tcp_validate(m) == 0)
        tcp_input_burst(&s->core, &m, 1, s->core.now_us, &verdict);
    check(verdict == TCP_SEG_FREE || verdict == TCP_SEG_KEPT || (verdict < 0 && -verdict < TCP_DROP_COUNT), "verdict");
    if (verdict != TCP_SEG_KEPT)
        rte_pktmbuf_free(m);
}

/* What a well-meant segment of an open flow carries. */
static struct segment proper(const struct state *s, const struct tcp_conn *c) {
    struct segment g = {.seq = c->rcv_nxt,
                        .ack = core_snd_nxt(c),
                        .window = (uint16_t)weir_min_u32(UINT16_MAX, 60000u >> tcp_snd_wscale(c)),
                        .flags = WIRE_TCP_ACK};
    if (c->flags & TCP_F_TS)
        put_stamps(&g, c->ts_recent, tcp_ts_now(&s->core, c));
    return g;
}

/* Options of a SYN, by the bits of `which`. */
static void syn_options(struct segment *g, uint8_t which) {
    struct span_writer w = span_writer_of(g->options, TCP_OPTIONS_MAX);
    static const uint16_t mss[] = {1460, 536, 1, 9000};
    span_put_u32(&w, 0x02040000u | mss[which & 3]);
    if (which & 4)
        span_put_u32(&w, 0x01030300u | which >> 4);
    if (which & 8)
        span_put_u32(&w, 0x01010402u);
    g->n_options = (uint8_t)span_written(&w);
    if (which & 16)
        put_stamps(g, which, 0);
}

/* --- what the core sends --- */

static void look_at(struct state *s, const struct rte_mbuf *m) {
    uint8_t copy[1600];
    const uint8_t *p = rte_pktmbuf_read(m, 0, m->pkt_len, copy);
    const struct wire_tcp *th = (const struct wire_tcp *)(p + sizeof(struct wire_ip4));
    uint32_t header = sizeof(struct wire_ip4) + (th->data_offset >> 4) * 4u, seq = rte_be_to_cpu_32(th->seq_be);
    check(m->pkt_len >= header && m->pkt_len <= 1500, "length");
    check(checksum_chain(m, 0, sizeof(struct wire_ip4)) == 0xffff, "IP checksum");
    unsigned flow = rte_be_to_cpu_16(th->dport_be) - 40000u;
    check(flow < FLOWS, "to a port that never sent");
    struct flow *f = &s->flows[flow];
    if (th->flags & WIRE_TCP_SYN) {
        if (!f->sent_syn || f->iss != seq)
            f->written = f->id ? f->written : 0;
        f->sent_syn = true;
        f->iss = seq;
        struct tcp_opts o;
        if (tcp_opts_parse(span_of(th + 1, header - sizeof(struct wire_ip4) - sizeof *th), true, &o) == 0)
            f->ts_val = o.ts_val;
    }
    for (uint32_t i = header; i < m->pkt_len && f->sent_syn && !(th->flags & WIRE_TCP_RST); i++)
        check(p[i] == byte_at(seq + (i - header) - f->iss - 1), "other bytes than the owner's");
}

static void output(struct state *s, uint16_t room) {
    struct rte_mbuf *out[64];
    tcp_core_port(&s->core, 0)->tx_room = room;
    uint16_t n = tcp_output(&s->core, out, 64, s->core.now_us);
    check(n <= room, "more packets than there was room for");
    for (uint16_t i = 0; i < n; i++) {
        look_at(s, out[i]);
        rte_pktmbuf_free(out[i]);
    }
}

/* --- operations --- */

/* A passive flow up to SYN-RECEIVED or ESTABLISHED; an active one that has sent its SYN likewise. */
static void open_flow(struct state *s, unsigned flow) {
    uint8_t how = span_u8(&s->in);
    struct flow *f = &s->flows[flow];
    const struct tcp_conn *c = conn_of(s, flow);
    struct segment g = {.seq = PEER_ISS + 65536u * span_u8(&s->in), .window = UINT16_MAX, .flags = WIRE_TCP_SYN};
    syn_options(&g, how & 31);
    output(s, 64);
    if (c && c->state != TCP_SYN_SENT && c->state != TCP_TIME_WAIT)
        return;
    f->irs = g.seq;
    f->read = 0;
    if (c && c->state == TCP_SYN_SENT && !(how & 64)) { /* else both open */
        g.flags |= WIRE_TCP_ACK;
        g.ack = core_snd_nxt(c);
    }
    deliver(s, flow, &g);
    output(s, 64);
    c = conn_of(s, flow);
    if (how & 32)
        return;
    if (!c && flow == 3 && f->sent_syn) { /* the ACK of a cookie; perhaps with data */
        g = (struct segment){.seq = f->irs + 1, .ack = f->iss + 1, .window = 9999, .flags = WIRE_TCP_ACK};
        if (how & 16)
            put_stamps(&g, how + 1u, f->ts_val);
        g.len = how & 64 ? 100 : 0;
        deliver(s, flow, &g);
    } else if (c && c->state == TCP_SYN_RECEIVED) {
        g = proper(s, c);
        deliver(s, flow, &g);
    }
}

static uint32_t relative(struct span *in, uint32_t base, uint32_t far, uint32_t mss) {
    uint8_t how = span_u8(in);
    uint32_t amount = how & 0x80 ? span_u16(in) : how >> 4 & 7;
    switch (how & 7) {
    case 0:
        return base;
    case 1:
        return base + amount;
    case 2:
        return base - amount;
    case 3:
        return far + amount;
    case 4:
        return far - amount;
    case 5:
        return base + amount * mss;
    case 6:
        return base + 0x80000000u + amount;
    default:
        return span_u32(in);
    }
}

static void segment(struct state *s, unsigned flow) {
    static const uint8_t flags[] = {WIRE_TCP_ACK,
                                    WIRE_TCP_ACK | WIRE_TCP_PSH,
                                    WIRE_TCP_ACK | WIRE_TCP_FIN,
                                    WIRE_TCP_RST,
                                    WIRE_TCP_RST | WIRE_TCP_ACK,
                                    WIRE_TCP_SYN,
                                    WIRE_TCP_SYN | WIRE_TCP_ACK,
                                    WIRE_TCP_ACK | WIRE_TCP_URG,
                                    0,
                                    WIRE_TCP_FIN};
    static const uint16_t lengths[] = {0, 1, 10, 100, 257, 536, 1000, 1400};
    const struct tcp_conn *c = conn_of(s, flow), none = {0};
    bool open = c;
    c = c ? c : &none;
    struct segment g = open ? proper(s, c) : (struct segment){0};
    uint8_t what = span_u8(&s->in), more = span_u8(&s->in), with = span_u8(&s->in);
    uint32_t mss = weir_max_u32(c->mss, 100);
    g.flags = (what & 15) < WEIR_ARRAY_LEN(flags) ? flags[what & 15] : span_u8(&s->in);
    g.len = lengths[what >> 4 & 7];
    g.seq = relative(&s->in, c->rcv_nxt, c->rcv_adv, mss);
    g.ack = relative(&s->in, c->snd_una, core_snd_nxt(c), mss);
    g.wrong_bytes = more & 1;
    if (more & 2)
        g.window = more & 4 ? span_u16(&s->in) : more >> 4;
    if (more & 8)
        g.urgent = span_u16(&s->in);
    if (with & 1) /* no timestamps, or others */
        g.n_options = 0;
    if ((with & 3) == 3)
        put_stamps(&g, c->ts_recent + (uint32_t)(int8_t)span_u8(&s->in) * 1000u, span_u32(&s->in));
    for (uint32_t n = with >> 2 & 3, i = 0; i < n && g.n_options + 4 + 8 * n <= TCP_OPTIONS_MAX; i++) { /* SACK */
        struct span_writer w = span_writer_of(g.options + g.n_options, TCP_OPTIONS_MAX - g.n_options);
        if (i == 0)
            span_put_u32(&w, 0x01010500u | (2 + 8 * n));
        uint32_t left = relative(&s->in, c->snd_una, core_snd_nxt(c), mss);
        span_put_u32(&w, left);
        span_put_u32(&w, relative(&s->in, left, core_snd_nxt(c), mss));
        g.n_options = (uint8_t)(g.n_options + span_written(&w));
    }
    if (with & 16) { /* anything */
        g.n_options = span_u8(&s->in) % (TCP_OPTIONS_MAX / 4 + 1) * 4;
        for (uint32_t i = 0; i < g.n_options; i++)
            g.options[i] = span_u8(&s->in);
    }
    if (with & 32) { /* the payload begins elsewhere then: its bytes are at other numbers */
        g.data_offset = span_u8(&s->in);
        g.wrong_bytes = true;
    }
    if (with & 64)
        syn_options(&g, span_u8(&s->in));
    if ((g.flags & WIRE_TCP_SYN) && !open) {
        s->flows[flow].irs = g.seq;
        s->flows[flow].read = 0;
    }
    deliver(s, flow, &g);
}

static void ack_all(struct state *s, unsigned flow) {
    const struct tcp_conn *c = conn_of(s, flow);
    if (!c)
        return;
    struct segment g = proper(s, c);
    deliver(s, flow, &g);
}

/* In order, or behind a hole; up to four segments. */
static void data(struct state *s, unsigned flow) {
    uint8_t how = span_u8(&s->in);
    const struct tcp_conn *c = conn_of(s, flow);
    for (uint32_t i = 0; c && i <= (how & 3u); i++, c = conn_of(s, flow)) {
        struct segment g = proper(s, c);
        g.len = 1u << (how >> 2 & 7) << (how >> 5 & 3);
        g.seq += how & 0x80 ? (i + 1) * 2 * g.len : 0;
        deliver(s, flow, &g);
    }
}

static void fin(struct state *s, unsigned flow) {
    const struct tcp_conn *c = conn_of(s, flow);
    if (!c)
        return;
    struct segment g = proper(s, c);
    g.flags |= WIRE_TCP_FIN;
    if (span_u8(&s->in) & 1) /* ours is not acknowledged by it: both close at once */
        g.ack = c->snd_una;
    deliver(s, flow, &g);
}

/* Duplicate ACKs, with what SACK says of the last of them. */
static void dup_ack(struct state *s, unsigned flow) {
    uint8_t how = span_u8(&s->in);
    const struct tcp_conn *c = conn_of(s, flow);
    for (uint32_t i = 0; c && i <= (how & 3u); i++, c = conn_of(s, flow)) {
        struct segment g = proper(s, c);
        uint32_t left = c->snd_una + c->mss * (1 + (how >> 2 & 3u) + i);
        g.ack = c->snd_una;
        if (c->flags & TCP_F_SACK) {
            struct span_writer w = span_writer_of(g.options + g.n_options, 12);
            span_put_u32(&w, 0x0101050au);
            span_put_u32(&w, left);
            span_put_u32(&w, left + c->mss);
            g.n_options = (uint8_t)(g.n_options + 12);
        }
        deliver(s, flow, &g);
    }
}

static void read_all(struct state *s, unsigned flow, uint32_t n) {
    struct flow *f = &s->flows[flow];
    struct rope *rx = tcp_conn_rx(&s->core, f->id);
    uint8_t bytes[256];
    n = weir_min_u32(n, rx->len_bytes);
    for (uint32_t done = 0, piece; done < n; done += piece, f->read += piece) {
        piece = rope_copy(rx, done, bytes, weir_min_u32(sizeof bytes, n - done));
        check(piece, "a rope shorter than it says");
        for (uint32_t i = 0; i < piece; i++)
            check(bytes[i] == WRONG_BYTE || bytes[i] == byte_at(f->read + i), "bytes that no segment brought there");
    }
    rope_trim(rx, n);
    tcp_conn_consumed(&s->core, f->id);
}

static void write_some(struct state *s, unsigned flow, uint32_t n) {
    struct flow *f = &s->flows[flow];
    struct rope r = {0};
    n = weir_min_u32(n, tcp_conn_send_room(&s->core, f->id, 4000));
    for (uint32_t i = 0; i < n; i++) {
        uint8_t b = byte_at(f->written + i);
        if (rope_append(&r, mbufs, &b, 1))
            break;
    }
    uint32_t got = r.len_bytes;
    if (tcp_conn_send(&s->core, f->id, &r) == 0)
        f->written += got;
    rope_clear(&r);
}

static void adopt(struct state *s, tcp_id id) {
    unsigned flow = rte_be_to_cpu_16(tcp_conn_key(&s->core, id)->remote_port_be) - 40000u;
    check(flow < FLOWS, "a flow of nobody's");
    if (s->flows[flow].id) /* one that is over and not yet released */
        tcp_conn_release(&s->core, s->flows[flow].id);
    s->flows[flow].id = id;
    s->flows[flow].written = 0;
    tcp_conn_set_user(&s->core, id, flow + 1);
}

static void events(struct state *s) {
    for (uint32_t left = tcp_ready_count(&s->core); left; left--) {
        tcp_id id = tcp_ready_next(&s->core);
        uint8_t ev = tcp_conn_events(&s->core, id);
        if (ev & TCP_EV_ACCEPTED)
            adopt(s, id);
        if (!(ev & TCP_EV_CLOSED))
            continue;
        struct flow *f = &s->flows[tcp_conn_user(&s->core, id) - 1];
        check(f->id == id, "an event of a flow that was let go");
        tcp_conn_release(&s->core, id);
        f->id = 0;
    }
}

static void owner(struct state *s, unsigned flow) {
    uint8_t does = span_u8(&s->in);
    struct flow *f = &s->flows[flow];
    if (!(does & 0x80))
        events(s);
    if (!f->id)
        return;
    switch (does & 7) {
    case 0:
        tcp_conn_shutdown(&s->core, f->id);
        break;
    case 1:
    case 2:
        (does & 1 ? tcp_conn_release : tcp_conn_abort)(&s->core, f->id);
        f->id = 0;
        break;
    case 3:
    case 4:
        read_all(s, flow, does & 1 ? UINT32_MAX : 1u << (does >> 3 & 15));
        break;
    default:
        write_some(s, flow, 1u << (does >> 3 & 15));
    }
}

static void connect_flow(struct state *s, unsigned flow) {
    struct flow_key key = key_of(flow & ~1u);
    struct flow *f = &s->flows[flow & ~1u];
    struct tcp_options options = {.cc = span_u8(&s->in) % TCP_CC_COUNT, .ecn = flow & 1};
    if (f->id)
        return;
    f->written = f->read = 0;
    f->sent_syn = false;
    if (tcp_connect(&s->core, 0, LOCAL_ADDR, key.local_port_be, REMOTE_ADDR, key.remote_port_be, (flow & ~1u) + 1,
                    s->core.now_us, &f->id) == 0)
        tcp_conn_options(&s->core, f->id, &options);
}

static void icmp(struct state *s, unsigned flow) {
    struct flow_key key = key_of(flow);
    const struct tcp_conn *c = conn_of(s, flow);
    uint8_t what = span_u8(&s->in);
    struct icmp_error e = {.type = what & 0x80 ? 11 : 3,
                           .code = what & 15,
                           .next_hop_mtu = span_u16(&s->in),
                           .local_addr_be = key.local_addr_be,
                           .remote_addr_be = key.remote_addr_be,
                           .local_port_be = key.local_port_be,
                           .remote_port_be = key.remote_port_be,
                           .tcp_seq = c ? relative(&s->in, c->snd_una, core_snd_nxt(c), c->mss) : 0};
    tcp_icmp_error(&s->core, &e, s->core.now_us);
}

static void operation(struct state *s) {
    uint8_t what = span_u8(&s->in), flow = what >> 4 & 3;
    switch (what & 15) {
    case SEGMENT:
        segment(s, flow);
        break;
    case OPEN:
        open_flow(s, flow);
        break;
    case ACK_ALL:
        ack_all(s, flow);
        break;
    case DATA:
        data(s, flow);
        break;
    case FIN:
        fin(s, flow);
        break;
    case TIME:
        tcp_timers(&s->core, s->core.now_us + (1ull << (span_u8(&s->in) % 27)));
        break;
    case OWNER:
        owner(s, flow);
        break;
    case ICMP:
        icmp(s, flow);
        break;
    case CONNECT:
        connect_flow(s, flow);
        break;
    case DUP_ACK:
        dup_ack(s, flow);
        break;
    default:
        output(s, what & 0x80 ? span_u8(&s->in) : 64);
        tcp_core_port(&s->core, 0)->multi_seg = !(what & 0x40);
    }
}

static void look(struct state *s, enum core_check_depth depth) {
    struct core_fault fault = {0};
    check(core_check(&s->core, depth, 0, &fault), fault.text);
    for (tcp_id id = 0; (id = tcp_conn_next(&s->core, id)) != 0;)
        states_seen[tcp_conn_of(&s->core, id)->state]++;
}

/* The owner lets go of everything, and time passes: nothing may stay. */
static void finish(struct state *s) {
    for (unsigned i = 0; i < FLOWS; i++)
        if (s->flows[i].id)
            tcp_conn_release(&s->core, s->flows[i].id);
    for (unsigned i = 0; i < 400 && (s->core.conns.used || tcp_busy(&s->core)); i++) {
        for (tcp_id id; (id = tcp_ready_next(&s->core)) != 0;)
            tcp_conn_abort(&s->core, id);
        output(s, 64);
        tcp_timers(&s->core, s->core.now_us + 500000);
    }
    look(s, CORE_CHECK_ALL);
    const struct tcp_stats *st = tcp_core_stats(&s->core);
    for (unsigned i = 0; i < TCP_STATE_COUNT; i++)
        check(!st->by_state[i], "a flow that stays for ever");
    check(!st->rx_mbufs && !st->tx_mbufs && !s->core.conns.used && !s->core.reasm.used, "gauges not at zero");
    check(rte_mempool_in_use_count(mbufs) == 0, "mbufs lost");
    tcp_core_fini(&s->core);
}

int LLVMFuzzerTestOneInput(const uint8_t *data_bytes, size_t size) {
    static struct state s;
    start();
    s = (struct state){.in = span_of(data_bytes, size)};
    struct tcp_config config = {.max_conns = 6,
                                .max_half_open = 2,
                                .max_time_wait = 2,
                                .rx_budget_mbufs = 96,
                                .rcv_buf_bytes = 70000,
                                .secret = {1, 2},
                                .time_wait_ms = 4000,
                                .linger_ms = 4000};
    check(tcp_core_init(&s.core, &config, 1000000) == 0, "tcp_core_init");
    *tcp_core_port(&s.core, 0) = (struct tcp_port){.pool = mbufs, .mtu = 1500, .tx_room = 64, .multi_seg = true};
    tcp_listen(&s.core, LOCAL_ADDR, LISTEN_PORT, 1);
    tcp_listen(&s.core, LOCAL_ADDR, COOKIE_PORT, 2);
    tcp_listen_options(&s.core, 2, &(struct tcp_options){.cookies = TCP_COOKIES_ALWAYS});
    for (; s.operations < OPERATIONS && span_left(&s.in) && !s.in.failed; s.operations++) {
        operation(&s);
        look(&s, s.operations % 8 ? CORE_CHECK_GAUGES : CORE_CHECK_ALL);
    }
    finish(&s);
    return 0;
}
