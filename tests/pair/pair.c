/* SPDX-License-Identifier: BSD-3-Clause */
#include "pair.h"

#include "pair_model.h"
#include "tests/eal.h"

#include <rte_mempool.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BURST          64
#define IDLE_TURNS_MAX 200000 /* a core that is busy for so many turns without doing anything spins */

static struct rte_mempool *pools[2][PAIR_POOL_COUNT];

void pair_init(void) {
    if (!test_eal(64))
        abort();
    for (unsigned side = 0; side < 2; side++) {
        for (unsigned i = 0; i < PAIR_POOL_COUNT; i++) {
            char name[32];
            bool cut = i == PAIR_POOL_CUT;
            snprintf(name, sizeof(name), "pair%u%u", side, i);
            pools[side][i] =
                rte_pktmbuf_pool_create(name, cut ? PAIR_CUT_MBUFS : PAIR_POOL_MBUFS, 0, 0,
                                        cut ? RTE_PKTMBUF_HEADROOM + 128 : RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
            if (!pools[side][i])
                abort();
        }
    }
}

void pair_setup_default(struct pair_setup *setup, uint64_t seed) {
    *setup =
        (struct pair_setup){.seed = seed, .mtu = {1500, 1500}, .tx_room = -1, .turn_us = 5, .start_us = PAIR_SECOND};
    for (unsigned s = 0; s < 2; s++) {
        setup->multi_seg[s] = true;
        setup->link[s] = (struct sim_link_config){.delay_us = 500, .reorder_us = 500};
        setup->tcp[s] = (struct tcp_config){.max_conns = 64,
                                            .max_half_open = 32,
                                            .max_time_wait = 32,
                                            .rx_budget_mbufs = 1500,
                                            .time_wait_ms = 2000,
                                            .secret = {seed * 2 + s, ~seed}};
    }
}

static void side_new(struct pair *p, unsigned s) {
    const struct pair_setup *setup = &p->setup;
    struct pair_side *side = &p->side[s];
    struct sim_link_config link = setup->link[s];
    link.single_seg = !setup->multi_seg[s];
    *side = (struct pair_side){.pair = p, .tx = sim_link_new(&link, setup->seed * 2 + s), .pools = pools[s]};
    sim_link_set_tap(side->tx, pair_tap, side);
    if (setup->tso_segs[s])
        sim_link_set_tso(side->tx, side->pools[PAIR_POOL_CUT]);
    side->taken = calloc(PAIR_POOL_MBUFS, sizeof(struct rte_mbuf *));
    side->core = aligned_alloc(WEIR_CACHE_LINE, RTE_ALIGN_CEIL(sizeof(struct tcp_core), WEIR_CACHE_LINE));
    if (!side->taken || !side->core)
        abort();
    memset(side->core, 0, sizeof(struct tcp_core));
    int rc = tcp_core_init(side->core, &setup->tcp[s], p->now_us);
    if (rc)
        pair_fail(p, "tcp_core_init: %s", weir_error_text(rc));
    *tcp_core_port(side->core, (uint8_t)s) = (struct tcp_port){.pool = side->pools[PAIR_POOL_TX],
                                                               .mtu = setup->mtu[s],
                                                               .multi_seg = setup->multi_seg[s],
                                                               .hw_ip_cksum = setup->hw_cksum[s],
                                                               .hw_tcp_cksum = setup->hw_cksum[s],
                                                               .tso = setup->tso_segs[s] != 0,
                                                               .tso_segs = setup->tso_segs[s],
                                                               .tso_max = UINT16_MAX};
}

struct pair *pair_new(const struct pair_setup *setup) {
    struct pair *p = calloc(1, sizeof(*p));
    if (!p)
        abort();
    p->setup = *setup;
    p->now_us = setup->start_us;
    p->trace = getenv("WEIR_PAIR_TRACE") != NULL;
    sim_rng_seed(&p->rng, setup->seed);
    side_new(p, 0);
    side_new(p, 1);
    p->model = pair_model_new(p);
    if (!p->error[0] && tcp_listen(p->side[1].core, PAIR_ADDR(1), rte_cpu_to_be_16(PAIR_SERVER_PORT), 7))
        pair_fail(p, "tcp_listen");
    tcp_listen_options(p->side[1].core, 7, &setup->options[1]);
    return p;
}

struct pair *pair_new_default(uint64_t seed) {
    struct pair_setup setup;
    pair_setup_default(&setup, seed);
    return pair_new(&setup);
}

struct pair *pair_new_established(uint64_t seed) {
    struct pair *p = pair_new_default(seed);
    pair_open(p, 0, 0);
    pair_run(p, pair_all_established, PAIR_SECOND);
    return p;
}

/* The flows of a side, behind the error text. */
static int describe(const struct pair *p, unsigned s, char *text, size_t room) {
    const struct tcp_core *core = p->side[s].core;
    int n = 0;
    for (tcp_id id = 0; room > 200 && (id = tcp_conn_next(core, id)) != 0 && n < (int)room - 200;) {
        struct tcp_info i;
        tcp_conn_info(core, id, &i);
        n += snprintf(text + n, room - (size_t)n,
                      "\n  side %u flow %u %s user %u cwnd %u snd_wnd %u rcv_wnd %u unacked %u rx %u rto %u us, "
                      "retransmits %u",
                      s, id, tcp_state_name(i.state), i.user, i.cwnd_bytes, i.snd_wnd_bytes, i.rcv_wnd_bytes,
                      i.unacked_bytes, i.rx_bytes, i.rto_us, i.retransmits);
    }
    return n;
}

void pair_fail(struct pair *p, const char *format, ...) {
    if (p->error[0])
        return;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(p->error, sizeof(p->error) - 400, format, args);
    va_end(args);
    n = n < (int)sizeof(p->error) - 400 ? n : (int)sizeof(p->error) - 400;
    n += snprintf(p->error + n, sizeof(p->error) - (size_t)n, " (at %.6f s)",
                  (double)(p->now_us - p->setup.start_us) / 1e6);
    for (uint32_t i = 0; i < p->n_conns; i++)
        for (unsigned s = 0; s < 2 && n < (int)sizeof(p->error) - 400; s++) {
            const struct pair_end *e = &p->conn[i].end[s];
            n += snprintf(p->error + n, sizeof(p->error) - (size_t)n,
                          "\n  conn %u side %u: id %u seen 0x%02x %s wrote %lu of %lu, read %lu", i, s, e->id, e->seen,
                          e->closed ? tcp_end_name(e->end) : "open", e->written_bytes, e->write_bytes, e->read_bytes);
        }
    for (unsigned s = 0; s < 2; s++)
        if (p->side[s].core)
            n += describe(p, s, p->error + n, sizeof(p->error) - (size_t)n);
}

/* IPv4 header and TCP checksum, as path.c has them checked before lib/tcp sees a segment. */
static bool valid(const struct rte_mbuf *m) {
    const uint8_t *ip = rte_pktmbuf_mtod(m, const uint8_t *);
    return ip[0] == 0x45 && ((uint32_t)ip[2] << 8 | ip[3]) == m->pkt_len && sim_fold(sim_sum(ip, 20, 0)) == 0 &&
           tcp_validate(m) == 0;
}

static void receive(struct pair *p, unsigned s) {
    struct pair_side *side = &p->side[s];
    if (side->icmp_due) {
        side->icmp_due = false;
        tcp_icmp_error(side->core, &side->icmp, p->now_us);
    }
    struct rte_mbuf *in[BURST];
    int16_t verdicts[BURST];
    uint16_t got = sim_link_receive(p->side[!s].tx, side->pools[PAIR_POOL_RX], (uint16_t)s, p->now_us, in, BURST);
    uint16_t n = 0;
    for (uint16_t i = 0; i < got; i++) {
        struct pair_segment segment;
        const uint8_t *payload;
        if (valid(in[i])) {
            if (pair_parse(rte_pktmbuf_mtod(in[i], const uint8_t *), in[i]->pkt_len, &segment, &payload))
                pair_model_arrived(p->model, s, &segment);
            in[n++] = in[i];
        } else {
            side->bad_checksum++;
            rte_pktmbuf_free(in[i]);
        }
    }
    p->progress |= got > 0;
    if (n == 0)
        return;
    tcp_input_burst(side->core, in, n, p->now_us, verdicts);
    for (uint16_t i = 0; i < n; i++) {
        if (verdicts[i] != TCP_SEG_KEPT)
            rte_pktmbuf_free(in[i]);
        if (verdicts[i] <= -(int)TCP_DROP_COUNT || verdicts[i] > TCP_SEG_KEPT)
            pair_fail(p, "verdict %d", verdicts[i]);
        if (p->trace && verdicts[i] < 0)
            fprintf(stderr, "%10.6f   side %u drops: %s\n", (double)(p->now_us - p->setup.start_us) / 1e6, s,
                    tcp_drop_name((enum tcp_drop) - verdicts[i]));
    }
}

/* Is it what the port takes? */
static bool fits(const struct tcp_port *port, const struct rte_mbuf *m) {
    if (rte_pktmbuf_headroom(m) < 14)
        return false;
    if (!(m->ol_flags & RTE_MBUF_F_TX_TCP_SEG))
        return m->pkt_len <= port->mtu;
    return port->tso && m->nb_segs <= port->tso_segs && m->pkt_len <= port->tso_max &&
           m->l3_len + m->l4_len + m->tso_segsz <= port->mtu;
}

static void transmit(struct pair *p, unsigned s) {
    struct pair_side *side = &p->side[s];
    struct tcp_port *port = tcp_core_port(side->core, (uint8_t)s);
    struct rte_mbuf *out[BURST];
    uint16_t room = p->setup.tx_room < 0 ? BURST : (uint16_t)sim_rng_below(&p->rng, (uint32_t)p->setup.tx_room + 1);
    port->tx_room = room;
    uint16_t n = tcp_output(side->core, out, BURST, p->now_us);
    if (n > room || port->tx_room != room - n)
        pair_fail(p, "tcp_output sent %u packets with room for %u, and left %u", n, room, port->tx_room);
    for (uint16_t i = 0; i < n; i++)
        if (out[i]->port != s || !fits(port, out[i]))
            pair_fail(p, "packet for port %u, headroom %u, %u bytes in %u mbufs, segments of %u", out[i]->port,
                      rte_pktmbuf_headroom(out[i]), out[i]->pkt_len, out[i]->nb_segs, out[i]->tso_segsz);
    p->progress |= n > 0;
    sim_link_send(side->tx, out, n, p->now_us);
}

static void turn(struct pair *p) {
    for (unsigned s = 0; s < 2; s++) {
        receive(p, s);
        tcp_timers(p->side[s].core, p->now_us);
        pair_serve(p, s);
        transmit(p, s);
        pair_model_turn(p->model, s, false);
    }
}

/* When side s has something to do by its own clock. */
static uint64_t timer_next_us(const struct pair *p, unsigned s) {
    const struct timer_wheel *w = &p->side[s].core->wheel;
    uint64_t now_ms = p->now_us / 1000;
    if (w->armed == 0)
        return SIM_LINK_NEVER;
    int32_t in_ms = (int32_t)(timer_wheel_next(w, 60000) - (uint32_t)now_ms);
    return (now_ms + (uint64_t)(in_ms > 0 ? in_ms : 1)) * 1000;
}

static uint64_t next_us(struct pair *p) {
    uint64_t next = pair_app_next_us(p);
    if (p->side[0].icmp_due || p->side[1].icmp_due)
        next = RTE_MIN(next, p->now_us + p->setup.turn_us);
    if (tcp_busy(p->side[0].core) || tcp_busy(p->side[1].core)) {
        /* With a pool drained or the port short a core is rightly busy; it must not be for long without either. */
        p->idle_turns = p->progress || p->side[0].n_taken || p->side[1].n_taken ? 0 : p->idle_turns + 1;
        if (p->idle_turns > IDLE_TURNS_MAX)
            pair_fail(p, "busy without work (side 0 %d, side 1 %d)", tcp_busy(p->side[0].core),
                      tcp_busy(p->side[1].core));
        next = RTE_MIN(next, p->now_us + p->setup.turn_us);
    }
    for (unsigned s = 0; s < 2; s++) {
        next = RTE_MIN(next, sim_link_next_us(p->side[s].tx));
        next = RTE_MIN(next, timer_next_us(p, s));
    }
    return RTE_MAX(next, p->now_us + 1);
}

static void step(struct pair *p, uint64_t end_us) {
    uint64_t next = next_us(p);
    p->now_us = RTE_MIN(next, end_us);
    p->progress = false;
    pair_app_wake(p);
    turn(p);
}

bool pair_run(struct pair *p, bool (*done)(const struct pair *), uint64_t for_us) {
    uint64_t end_us = p->now_us + for_us;
    turn(p); /* what the caller has just asked for */
    while (!p->error[0] && p->now_us < end_us && !(done && done(p)))
        step(p, end_us);
    if (done && !p->error[0] && !done(p))
        pair_fail(p, "not done within %.3f s", (double)for_us / 1e6);
    return !p->error[0];
}

bool pair_is_over(const struct pair *p) {
    for (unsigned s = 0; s < 2; s++) {
        const struct tcp_core *core = p->side[s].core;
        if (core->conns.used || sim_link_next_us(p->side[s].tx) != SIM_LINK_NEVER || tcp_busy(core))
            return false;
    }
    return true;
}

void pair_pool_drain(struct pair *p, unsigned s, enum pair_pool pool) {
    struct pair_side *side = &p->side[s];
    while (side->n_taken < PAIR_POOL_MBUFS) {
        struct rte_mbuf *m = rte_pktmbuf_alloc(side->pools[pool]);
        if (!m)
            break;
        side->taken[side->n_taken++] = m;
    }
}

void pair_pool_refill(struct pair *p, unsigned s) {
    while (p->side[s].n_taken)
        rte_pktmbuf_free(p->side[s].taken[--p->side[s].n_taken]);
}

/* Nothing is held for anybody. */
static void check_empty(struct pair *p, unsigned s) {
    const struct tcp_core *core = p->side[s].core;
    const struct tcp_stats *st = tcp_core_stats(core);
    const struct sim_link_stats *link = sim_link_stats(p->side[s].tx);
    for (unsigned i = 0; i < TCP_STATE_COUNT; i++)
        if (st->by_state[i])
            pair_fail(p, "side %u: gauge says %u flows in %s", s, st->by_state[i], tcp_state_name((enum tcp_state)i));
    if (st->rx_mbufs || st->tx_mbufs)
        pair_fail(p, "side %u: gauges say %u receive and %u send mbufs", s, st->rx_mbufs, st->tx_mbufs);
    if (core->table.used || core->wheel.armed || core->conns.used || core->reasm.used || core->half_open)
        pair_fail(p, "side %u: table %u, armed timers %u, flows %u, reassembly records %u, half open %u", s,
                  core->table.used, core->wheel.armed, core->conns.used, core->reasm.used, core->half_open);
    for (unsigned i = 0; i < PAIR_POOL_COUNT; i++)
        if (!rte_mempool_full(p->side[s].pools[i]))
            pair_fail(p, "side %u: %u mbufs of pool %u leaked", s, rte_mempool_in_use_count(p->side[s].pools[i]), i);
    if (link->malformed || link->mutated)
        pair_fail(p, "side %u sent %lu malformed packets and wrote into %lu on their way", s, link->malformed,
                  link->mutated);
    if (p->side[!s].bad_checksum > link->corrupted)
        pair_fail(p, "side %u sent %lu packets with a wrong checksum", s, p->side[!s].bad_checksum - link->corrupted);
}

bool pair_finish(struct pair *p) {
    for (unsigned s = 0; s < 2; s++) {
        pair_pool_refill(p, s);
        p->side[s].dark = false;
        p->side[s].dark_flags = 0;
    }
    p->path_mtu = 0;
    if (!p->error[0])
        pair_run(p, pair_is_over, 2000 * PAIR_SECOND);
    for (unsigned s = 0; s < 2 && !p->error[0]; s++) {
        pair_model_turn(p->model, s, true);
        check_empty(p, s);
    }
    bool fine = !p->error[0];
    if (!fine)
        fprintf(stderr, "seed %lu: %s\n", p->setup.seed, p->error);
    for (unsigned s = 0; s < 2; s++) {
        sim_link_free(p->side[s].tx);
        tcp_core_fini(p->side[s].core);
        free(p->side[s].core);
        free(p->side[s].taken);
    }
    for (unsigned s = 0; s < 2; s++)
        for (unsigned i = 0; i < PAIR_POOL_COUNT; i++)
            if (!rte_mempool_full(pools[s][i])) {
                fprintf(stderr, "seed %lu: mbufs of pool %u of side %u are lost after tcp_core_fini\n", p->setup.seed,
                        i, s);
                fine = false;
            }
    pair_model_free(p->model);
    free(p);
    return fine;
}
