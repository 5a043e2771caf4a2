/* SPDX-License-Identifier: BSD-3-Clause */
/* The blocks of an ACK over what is outstanding (RFC 2018, RFC 2883). */
#include "loss_fixture.h"

static struct tcp_flight *f;

/* An ACK of segments below `ack` with one block of bytes, or two. */
static struct tcp_news take(unsigned acked, unsigned n, const struct tcp_sack *blocks) {
    struct tcp_seg seg = {.ack = first + acked * MSS, .opts = {.n_sacks = (uint8_t)n}};
    struct tcp_news news = {0};
    for (unsigned i = 0; i < n; i++)
        seg.opts.sacks[i] = (struct tcp_sack){first + blocks[i].left, first + blocks[i].right};
    tcp_sack_take(core, c, f, &seg, &news);
    return news;
}
#define TAKE(acked, ...)                                                                                               \
    take(acked, WEIR_ARRAY_LEN(((struct tcp_sack[]){__VA_ARGS__})), (struct tcp_sack[]){__VA_ARGS__})

static void ten_out(void) {
    open_flow(true);
    fly(10);
    f = tcp_flight_take(core, c);
    sleep_ms(core, 10);
}

Test(tcp_sack, whole_segments_count) {
    ten_out();
    struct tcp_news news = TAKE(0, {2000, 5000});
    cr_assert(news.sacked && news.delivered == 3000 && news.rtt_us == 10000);
    cr_assert(f->sacked == 3000 && f->n_sacked == 3 && f->fack == first + 5000);
    news = TAKE(0, {2000, 6000});
    cr_assert_eq(news.delivered, 1000, "three were known");
    news = TAKE(0, {7500, 9500}, {2000, 6000});
    cr_assert_eq(news.delivered, 1000, "of 7 and 9 only a part arrived");
    cr_assert_eq(tcp_pipe(core, c), 5000);
    for (unsigned i = 0; i < 10; i++)
        cr_assert_eq(!!(tcp_sent_of(core, record(i))->flags & TCP_SENT_SACKED), (i >= 2 && i < 6) || i == 8);
    harness_core_free(core);
}

Test(tcp_sack, attack_blocks_that_cannot_be) {
    ten_out();
    static const struct tcp_sack bad[] = {
        {9000, 11000},             /* never sent */
        {5000, 5000},              /* empty */
        {6000, 3000},              /* backwards */
        {0x70000000u, 0x70001000}, /* far ahead */
        {0, 3000},                 /* the head, which an ACK would have acknowledged */
    };
    for (unsigned i = 0; i < WEIR_ARRAY_LEN(bad); i++) {
        struct tcp_news news = take(0, 1, &bad[i]);
        cr_assert(!news.sacked && !news.delivered && !f->sacked, "block %u", i);
        cr_assert_eq(news.dsack_left, news.dsack_right, "block %u", i);
    }
    cr_assert_eq(core->stats.dsacks_in, 0);
    harness_core_free(core);
}

Test(tcp_sack, reports_of_what_arrived_twice) {
    ten_out();
    struct tcp_news news = TAKE(3, {1000, 2000});
    cr_assert(news.dsack_left == first + 1000 && news.dsack_right == first + 2000 && !news.sacked, "below the ACK");
    news = TAKE(3, {6000, 7000}, {5000, 8000});
    cr_assert(news.dsack_left == first + 6000 && news.delivered == 3000, "within the block behind it");
    cr_assert_eq(core->stats.dsacks_in, 2);
    harness_core_free(core);
}

/* RFC 2018 8: what was reported may be let go of; after a timeout it is sent again. */
Test(tcp_sack, forgotten) {
    ten_out();
    TAKE(0, {1000, 4000}, {6000, 8000});
    tcp_sent_forget_sacks(core, c, f);
    cr_assert(!f->sacked && !f->n_sacked && f->fack == c->snd_una);
    cr_assert_eq(f->lost, 5000);
    cr_assert_eq(tcp_sent_next_lost(core, c), record(1));
    struct tcp_news news = TAKE(0, {1000, 4000}, {6000, 8000});
    cr_assert_eq(news.delivered, 5000, "taken once more");
    cr_assert(!f->lost && f->sacked == 5000);
    harness_core_free(core);
}

static unsigned steps_of(unsigned n, const struct tcp_sack *blocks) {
    unsigned before = f->sack_steps;
    take(0, n, blocks);
    return before - f->sack_steps;
}

/* Blocks come with ACK after ACK: what they said before is passed in one step, wherever they begin. */
Test(tcp_sack, known_runs_cost_nothing) {
    open_flow(true);
    fly(60);
    f = tcp_flight_take(core, c);
    TAKE(0, {1000, 50000});
    cr_assert_leq(steps_of(1, &(struct tcp_sack){1000, 50000}), 3);
    cr_assert_eq(f->sacked, 49000);
    TAKE(0, {1000, 51000});
    cr_assert_eq(f->sacked, 50000, "it grows");
    TAKE(0, {25000, 53000});
    cr_assert_eq(f->sacked, 52000, "from within");
    cr_assert_leq(steps_of(4, (struct tcp_sack[]){{1000, 50000}, {2000, 51000}, {9000, 12000}, {30000, 53000}}), 20);
    cr_assert_eq(f->sacked, 52000);
    TAKE(0, {55000, 56000}, {54000, 55000});
    cr_assert_eq(f->sacked, 54000);
    harness_core_free(core);
}

/* A peer that has us look for ever new places pays for it with segments that arrive; then its blocks are not looked at
 * until a timeout. */
Test(tcp_sack, attack_search_without_end) {
    open_flow(true);
    fly(60);
    f = tcp_flight_take(core, c);
    unsigned acks = 0;
    for (; f->sack_steps && acks < 100000; acks++) {
        uint32_t at = acks & 1 ? 58000 : 40000;
        take(0, 1, &(struct tcp_sack){at, at + 1000});
    }
    cr_assert_leq(acks, TCP_SACK_STEPS_MAX / 20);
    cr_assert_eq(steps_of(1, &(struct tcp_sack){57000, 58000}), 0);
    cr_assert_eq(f->sacked, 2000, "not looked at");
    ack(1, 0, 0);
    cr_assert_eq(f->sack_steps, TCP_SACK_STEPS_A_RECORD);
    sleep_ms(core, 1001);
    cr_assert_eq(f->sack_steps, TCP_SACK_STEPS_MAX);
    struct decoded d[64];
    out(d);
    ack(60, 0, 0);
    harness_core_free(core);
}
