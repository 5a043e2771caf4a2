/* SPDX-License-Identifier: BSD-3-Clause */
#include "pair.h"

#include <stdio.h>
#include <string.h>

static uint32_t pick(struct sim_rng *r, const uint32_t *values, uint32_t n) {
    return values[sim_rng_below(r, n)];
}
#define PICK(...)                                                                                                      \
    pick(&r, (const uint32_t[]){__VA_ARGS__}, (uint32_t)(sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t)))

/* Options that the peer does not know or a box between does not like, each by itself. MSS is kind 2, window scale 3,
 * SACK permitted 4, timestamps 8. */
static uint32_t draw_strip(struct sim_rng *r) {
    static const uint32_t kinds[] = {2, 3, 4, 8}, chances_ppm[] = {50000, 200000, 250000, 250000};
    uint32_t strip = 0;
    for (uint32_t i = 0; i < WEIR_ARRAY_LEN(kinds); i++)
        strip |= (uint32_t)sim_rng_chance(r, chances_ppm[i]) << kinds[i];
    return strip;
}

/* Is the link good enough that no timeout of a stack with its defaults has a reason to fire? Of a handshake no more
 * than three packets in a row may get lost within 5 s, of anything else none for a minute. */
static bool is_calm(const struct pair_cell *c) {
    return c->loss_ppm <= 1000 && c->corrupt_ppm <= 1000 && !c->outages && !c->black_hole;
}

void pair_cell_draw(struct pair_cell *c, uint64_t seed) {
    struct sim_rng r;
    sim_rng_seed(&r, seed ^ 0x7765697263656c6cull);
    *c = (struct pair_cell){.seed = seed};
    c->loss_ppm = PICK(0, 0, 1000, 10000, 50000, 200000);
    c->reorder_ppm = PICK(0, 0, 10000, 200000);
    c->dup_ppm = PICK(0, 0, 10000, 100000);
    c->corrupt_ppm = PICK(0, 0, 1000, 50000);
    c->rtt_us = PICK(100, 2000, 20000, 200000);
    c->rcv_buf_bytes = PICK(1460, 4096, 16384, 65535, 65536, 262144, 1 << 20);
    c->conns = PICK(1, 1, 1, 2, 4);
    c->bytes = PICK(0, 1, 1000, 20000, 200000, 400000);
    c->bytes += c->bytes ? sim_rng_below(&r, 3000) : 0;
    c->read_chunk = PICK(0, 0, 0, 1, 7, 300, 2000);
    c->write_chunk = PICK(0, 0, 0, 1, 90, 1000, 5000);
    c->tx_room = (const int32_t[]){-1, -1, 3, 10, 40}[sim_rng_below(&r, 5)];
    c->bytes_per_s = PICK(0, 0, 1000000, 12500000);
    for (unsigned s = 0; s < 2; s++) {
        c->multi_seg[s] = PICK(0, 1);
        c->mtu[s] = (uint16_t)PICK(1500, 1500, 1280, 576);
        c->options[s].cc = (uint8_t)PICK(TCP_CC_CUBIC, TCP_CC_RENO);
        c->options[s].ecn = PICK(0, 1);
    }
    c->options[1].cookies = (uint8_t)PICK(TCP_COOKIES_AUTO, TCP_COOKIES_ALWAYS, TCP_COOKIES_OFF);
    c->mark_ppm = PICK(0, 0, 10000, 100000);
    c->path_mtu = (uint16_t)PICK(0, 0, 0, 1492, 1006, 576);
    c->black_hole = c->path_mtu && PICK(0, 1);
    c->strip = draw_strip(&r);
    c->hw_cksum = PICK(0, 1);
    c->hold_tx = PICK(0, 1);
    c->wrap = PICK(0, 0, 0, 1);
    c->drain_pools = PICK(0, 0, 0, 1);
    c->outages = PICK(0, 0, 0, 1);
    c->close = (enum pair_close)sim_rng_below(&r, PAIR_CLOSE_COUNT);
    c->echo = PICK(0, 0, 1) && c->close != PAIR_CLOSE_CLIENT && c->close != PAIR_CLOSE_SERVER;
    c->both_open = PICK(0, 0, 0, 0, 0, 0, 0, 1);
    /* A byte at a time over much data, or much data over a bad and long path, takes long and shows nothing new. */
    if ((c->read_chunk && c->read_chunk < 100) || (c->write_chunk && c->write_chunk < 100) || c->loss_ppm > 100000 ||
        c->rcv_buf_bytes < 8192)
        c->bytes = RTE_MIN(c->bytes, 30000u);
    for (unsigned s = 0; s < 2; s++)
        c->tso_segs[s] = (uint16_t)PICK(0, 0, 0, 4, 40);
    c->default_timeouts = PICK(0, 1, 1) && is_calm(c);
}

void pair_cell_print(const struct pair_cell *c, char *text, size_t room) {
    snprintf(text, room,
             "loss %u reorder %u dup %u corrupt %u mark %u ppm, rtt %u us, window %u, %u conns of %u bytes, read %u "
             "write %u, room %d, %lu B/s, multi %d %d tso %u %u hw %d hold %d wrap %d echo %d drain %d outages %d "
             "close %d both "
             "open %d default timeouts %d, mtu %u %u path %u black hole %d, strip 0x%x, cc %u %u ecn %d %d cookies %u",
             c->loss_ppm, c->reorder_ppm, c->dup_ppm, c->corrupt_ppm, c->mark_ppm, c->rtt_us, c->rcv_buf_bytes,
             c->conns, c->bytes, c->read_chunk, c->write_chunk, c->tx_room, c->bytes_per_s, c->multi_seg[0],
             c->multi_seg[1], c->tso_segs[0], c->tso_segs[1], c->hw_cksum, c->hold_tx, c->wrap, c->echo, c->drain_pools,
             c->outages, c->close, c->both_open, c->default_timeouts, c->mtu[0], c->mtu[1], c->path_mtu, c->black_hole,
             c->strip, c->options[0].cc, c->options[1].cc, c->options[0].ecn, c->options[1].ecn, c->options[1].cookies);
}

static void setup_of(const struct pair_cell *c, struct pair_setup *setup) {
    pair_setup_default(setup, c->seed);
    setup->tx_room = c->tx_room;
    setup->strip = c->strip;
    if (c->wrap) /* milliseconds in 32 bits, and microseconds, wrap within the run */
        setup->start_us = ((1ull << 32) - 500) * 1000;
    for (unsigned s = 0; s < 2; s++) {
        setup->tso_segs[s] = c->tso_segs[s];
        setup->multi_seg[s] = c->multi_seg[s] || c->tso_segs[s];
        setup->mtu[s] = c->mtu[s] ? c->mtu[s] : 1500;
        setup->hw_cksum[s] = c->hw_cksum || c->tso_segs[s];
        setup->options[s] = c->options[s];
        setup->link[s] = (struct sim_link_config){.loss_ppm = c->loss_ppm,
                                                  .dup_ppm = c->dup_ppm,
                                                  .reorder_ppm = c->reorder_ppm,
                                                  .corrupt_ppm = c->corrupt_ppm,
                                                  .mark_ppm = c->mark_ppm,
                                                  .delay_us = c->rtt_us / 2,
                                                  .reorder_us = c->rtt_us / 2 + 200,
                                                  .bytes_per_s = c->bytes_per_s,
                                                  .queue_bytes = c->bytes_per_s ? 30000 : 0,
                                                  .hold_tx = c->hold_tx};
        struct tcp_config *t = &setup->tcp[s];
        t->rcv_buf_bytes = c->rcv_buf_bytes;
        if (!c->default_timeouts)
            t->connect_timeout_ms = t->half_open_timeout_ms = t->user_timeout_ms = t->linger_ms = 3000000;
    }
}

/* Now and then a pool of one side runs empty for a while. */
static void drain_now_and_then(struct pair *p) {
    for (int i = 0; i < 6 && !p->error[0] && !pair_is_over(p); i++) {
        unsigned side = sim_rng_below(&p->rng, 2);
        pair_run(p, NULL, sim_rng_below(&p->rng, 30000));
        pair_pool_drain(p, side, (enum pair_pool)sim_rng_below(&p->rng, PAIR_POOL_CUT));
        pair_run(p, NULL, sim_rng_below(&p->rng, 100000));
        pair_pool_refill(p, side);
    }
}

static void ends_of(const struct pair_cell *c, struct pair_conn *conn) {
    static const uint8_t does[PAIR_CLOSE_COUNT][2] = {
        [PAIR_CLOSE_BOTH] = {PAIR_SHUTDOWN | PAIR_CLOSE, PAIR_SHUTDOWN | PAIR_CLOSE},
        [PAIR_CLOSE_CLIENT] = {PAIR_SHUTDOWN | PAIR_CLOSE, PAIR_SHUTDOWN | PAIR_CLOSE | PAIR_AFTER_FIN},
        [PAIR_CLOSE_SERVER] = {PAIR_SHUTDOWN | PAIR_CLOSE | PAIR_AFTER_FIN, PAIR_SHUTDOWN | PAIR_CLOSE},
        [PAIR_RELEASE_CLIENT] = {PAIR_CLOSE | PAIR_RELEASE_EARLY, PAIR_SHUTDOWN | PAIR_CLOSE},
        [PAIR_RELEASE_SERVER] = {PAIR_SHUTDOWN | PAIR_CLOSE, PAIR_CLOSE | PAIR_RELEASE_EARLY},
        [PAIR_RELEASE_BOTH] = {PAIR_CLOSE | PAIR_RELEASE_EARLY, PAIR_CLOSE | PAIR_RELEASE_EARLY},
    };
    for (unsigned s = 0; s < 2; s++)
        conn->end[s] = (struct pair_end){.write_bytes = c->bytes,
                                         .read_chunk = c->read_chunk,
                                         .write_chunk = c->write_chunk,
                                         .does = does[c->close][s]};
    if (c->echo) {
        conn->end[0].does = PAIR_SHUTDOWN | PAIR_CLOSE;
        conn->end[1].does = PAIR_ECHO | PAIR_CLOSE;
    }
}

/* Now and then the path leads over a narrower link, which says what it takes; and back. */
static void narrow_now_and_then(struct pair *p, uint16_t mtu) {
    for (int i = 0; i < 4 && !p->error[0] && !pair_is_over(p); i++) {
        pair_run(p, NULL, sim_rng_below(&p->rng, 200000));
        p->path_mtu = mtu;
        pair_run(p, NULL, sim_rng_below(&p->rng, 1000000));
        p->path_mtu = 0;
    }
    p->path_mtu = mtu;
}

/* Now and then nothing arrives from one side. */
static void outages_now_and_then(struct pair *p) {
    for (int i = 0; i < 6 && !p->error[0] && !pair_is_over(p); i++) {
        struct pair_side *side = &p->side[sim_rng_below(&p->rng, 2)];
        pair_run(p, NULL, sim_rng_below(&p->rng, 300000));
        side->dark = true;
        pair_run(p, NULL, sim_rng_below(&p->rng, 3000000));
        side->dark = false;
    }
}

static void count(struct tcp_stats *sum, const struct tcp_stats *st) {
#define X(name, help) sum->name += st->name;
    TCP_COUNTERS(X)
#undef X
    for (uint32_t i = 0; i < TCP_DROP_COUNT; i++)
        sum->drops[i] += st->drops[i];
    for (uint32_t i = 0; i < TCP_END_COUNT; i++)
        sum->ends[i] += st->ends[i];
}

static void no_timeout(struct pair *p) {
    static const enum tcp_end timeouts[] = {
        TCP_END_CONNECT_TIMEOUT,   TCP_END_RTO_TIMEOUT,    TCP_END_KEEPALIVE_TIMEOUT, TCP_END_PERSIST_TIMEOUT,
        TCP_END_HALF_OPEN_TIMEOUT, TCP_END_LINGER_TIMEOUT, TCP_END_RECLAIMED};
    for (unsigned s = 0; s < 2; s++)
        for (size_t i = 0; i < WEIR_ARRAY_LEN(timeouts); i++)
            if (tcp_core_stats(p->side[s].core)->ends[timeouts[i]])
                pair_fail(p, "side %u: %s, with nothing wrong", s, tcp_end_name(timeouts[i]));
}

bool pair_cell_run(const struct pair_cell *c, struct tcp_stats *counted) {
    struct pair_setup setup;
    setup_of(c, &setup);
    struct pair *p = pair_new(&setup);
    for (uint32_t i = 0; i < c->conns; i++) {
        ends_of(c, &p->conn[i]);
        p->conn[i].by_cookie = c->options[1].cookies == TCP_COOKIES_ALWAYS;
        pair_open(p, 0, i);
        if (c->both_open)
            pair_open(p, 1, i);
    }
    if (c->drain_pools)
        drain_now_and_then(p);
    if (c->outages)
        outages_now_and_then(p);
    p->black_hole = c->black_hole;
    if (c->path_mtu)
        narrow_now_and_then(p, c->path_mtu);
    pair_run(p, pair_is_over, 20000 * PAIR_SECOND);
    if (!p->error[0] && !pair_all_arrived(p))
        pair_fail(p, "over, but not all bytes have arrived");
    if (c->default_timeouts)
        no_timeout(p);
    for (unsigned s = 0; s < 2 && counted; s++)
        count(counted, tcp_core_stats(p->side[s].core));
    bool fine = pair_finish(p);
    if (!fine) {
        char text[600];
        pair_cell_print(c, text, sizeof(text));
        fprintf(stderr, "  cell: %s\n", text);
    }
    return fine;
}
