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
    tcp_sack_forget(core, c, f);
    cr_assert(!f->sacked && !f->n_sacked && f->fack == c->snd_una);
    cr_assert_eq(tcp_pipe(core, c), 10000);
    for (uint32_t i = f->oldest, n = 0; n < 10; i = tcp_sent_of(core, i)->later, n++)
        cr_assert_neq(i, 0, "all are in the list by time again");
    harness_core_free(core);
}
