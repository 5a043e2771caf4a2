/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/rope.h"

#include "mbuf_fixture.h"

static struct rte_mempool *pool, *tiny;

static void start(void) {
    fixture_eal();
    pool = fixture_pool("pool", FIXTURE_MBUFS);
    tiny = fixture_pool("tiny", 3);
}

static void expect_no_leak(void) {
    cr_expect_eq(rte_mempool_avail_count(pool), FIXTURE_MBUFS);
    cr_expect_eq(rte_mempool_avail_count(tiny), 3);
}

TestSuite(rope, .init = start, .fini = expect_no_leak);

/* Everything rope.h promises about the shape of one. */
static void expect_sound(const struct rope *r) {
    const struct rte_mbuf *last = NULL;
    uint32_t len = 0, n = 0;

    for (const struct rte_mbuf *m = r->head; m; last = m, m = m->next, n++) {
        cr_assert_gt(m->data_len, 0);
        cr_assert_leq(m->data_off + m->data_len, m->buf_len);
        cr_assert_geq(rte_mbuf_refcnt_read(m), 1);
        len += m->data_len;
    }
    cr_assert_eq(r->len_bytes, len);
    cr_assert_eq(r->mbufs, n);
    cr_assert_eq(r->tail, last);
}

static void expect_bytes(const struct rope *r, const void *bytes, uint32_t n) {
    static uint8_t copy[1 << 20];

    expect_sound(r);
    cr_assert_eq(r->len_bytes, n);
    cr_assert_eq(rope_copy(r, 0, copy, sizeof(copy)), n);
    cr_assert_eq(memcmp(copy, bytes, n), 0);
}

static const uint8_t *pattern(void) {
    static uint8_t bytes[1 << 16];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7 + (i >> 8));
    return bytes;
}

Test(rope, small_pieces_share_an_mbuf) {
    struct rope r = {0};

    for (int i = 0; i < 5; i++)
        rope_push(&r, fixture_mbuf(pool, pattern() + i * 100, 100));
    expect_bytes(&r, pattern(), 500);
    cr_expect_eq(r.mbufs, 1);
    rope_push(&r, fixture_mbuf(pool, pattern() + 500, ROPE_COPY_MAX + 1));
    cr_expect_eq(r.mbufs, 2, "larger ones are linked");
    expect_bytes(&r, pattern(), 500 + ROPE_COPY_MAX + 1);
    rope_clear(&r);
    expect_sound(&r);
}

Test(rope, push_takes_a_chain_apart_and_drops_empty_segments) {
    struct rope r = {0};
    struct rte_mbuf *a = fixture_mbuf(pool, pattern(), 1000), *empty = fixture_mbuf(pool, NULL, 0),
                    *b = fixture_mbuf(pool, pattern() + 1000, 10), *c = fixture_mbuf(pool, pattern() + 1010, 900);

    a->next = empty;
    empty->next = b;
    b->next = c;
    a->nb_segs = 4;
    rope_push(&r, a);
    expect_bytes(&r, pattern(), 1910);
    cr_expect_eq(r.mbufs, 2, "b was copied behind a");
    rope_push(&r, fixture_mbuf(pool, NULL, 0));
    expect_bytes(&r, pattern(), 1910);
    rope_clear(&r);
}

/* Whoever shares the buffer must never see a byte change. */
Test(rope, shared_mbufs_are_not_written) {
    struct rope r = {0};
    struct rte_mbuf *m = fixture_mbuf(pool, pattern(), 1000), *clone = rte_pktmbuf_clone(m, pool);
    uint8_t *behind = rte_pktmbuf_mtod_offset(m, uint8_t *, 1000);

    memset(behind, 0xee, 200);
    rope_push(&r, clone);
    rope_push(&r, fixture_mbuf(pool, pattern() + 1000, 50));
    cr_expect_eq(rope_append(&r, pool, pattern() + 1050, 50), 0);
    expect_bytes(&r, pattern(), 1100);
    cr_expect_eq(r.mbufs, 2, "the second one takes both small pieces");
    cr_expect_eq(behind[0], 0xee);
    rope_clear(&r);
    rope_push(&r, m); /* now private again */
    rope_push(&r, fixture_mbuf(pool, pattern() + 1000, 50));
    cr_expect_eq(r.mbufs, 1);
    rope_clear(&r);
}

Test(rope, append_is_all_or_nothing) {
    struct rope r = {0};
    uint32_t one = RTE_MBUF_DEFAULT_DATAROOM;

    cr_expect_eq(rope_append(&r, tiny, pattern(), 100), 0);
    cr_expect_eq(rope_append(&r, tiny, pattern() + 100, 3 * one), WEIR_ENOMEM);
    expect_bytes(&r, pattern(), 100);
    cr_expect_eq(rte_mempool_avail_count(tiny), 2, "what was taken for it is back");
    cr_expect_eq(rope_append(&r, tiny, pattern() + 100, 3 * one - 100), 0);
    expect_bytes(&r, pattern(), 3 * one);
    cr_expect_eq(r.mbufs, 3);
    cr_expect_eq(rope_append(&r, tiny, pattern(), 0), 0);
    rope_clear(&r);
}

Test(rope, splice_moves_all_and_copies_small_leading_pieces) {
    struct rope a = {0}, b = {0};

    rope_splice(&a, &b);
    expect_sound(&a);
    rope_push(&a, fixture_mbuf(pool, pattern(), 300));
    rope_splice(&a, &b);
    expect_bytes(&a, pattern(), 300);
    rope_push(&b, fixture_mbuf(pool, pattern() + 300, 20));
    struct rte_mbuf *big = fixture_mbuf(pool, pattern() + 320, 1500);
    rope_push(&b, big);
    rope_splice(&a, &b);
    expect_bytes(&a, pattern(), 1820);
    expect_bytes(&b, "", 0);
    cr_expect_eq(a.mbufs, 2);
    cr_expect_eq(a.tail, big, "large pieces keep their mbuf");
    rope_clear(&a);
}

Test(rope, move_splits_by_sharing_or_copying) {
    struct {
        uint32_t cut, dst_mbufs, src_mbufs;
        bool shared;
    } rows[] = {
        {0, 0, 1, false},    {1, 1, 1, false},   {ROPE_COPY_MAX, 1, 1, false}, {ROPE_COPY_MAX + 1, 1, 1, true},
        {1000, 1, 1, true},  {1743, 1, 1, true}, {1744, 1, 1, false},          {1999, 1, 1, false},
        {2000, 1, 0, false},
    };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct rope a = {0}, b = {0};
        rope_push(&b, fixture_mbuf(pool, pattern(), 2000));
        cr_assert_eq(rope_move(&a, &b, rows[i].cut, pool), 0);
        expect_bytes(&a, pattern(), rows[i].cut);
        expect_bytes(&b, pattern() + rows[i].cut, 2000 - rows[i].cut);
        cr_expect_eq(a.mbufs, rows[i].dst_mbufs, "cut %u", rows[i].cut);
        cr_expect_eq(b.mbufs, rows[i].src_mbufs, "cut %u", rows[i].cut);
        if (rows[i].shared) {
            cr_expect_not(rope_mbuf_private(a.head), "cut %u", rows[i].cut);
            cr_expect_not(rope_mbuf_private(b.head), "cut %u", rows[i].cut);
        }
        rope_clear(&a);
        rope_clear(&b);
    }
}

Test(rope, move_without_memory_moves_nothing) {
    struct rte_mbuf *hog[3];

    for (uint32_t cut = 1; cut < 3400; cut += 7) {
        struct rope a = {0}, b = {0};
        rope_push(&b, fixture_mbuf(pool, pattern(), 1700));
        rope_push(&b, fixture_mbuf(pool, pattern() + 1700, 1700));
        cr_assert_eq(rte_pktmbuf_alloc_bulk(tiny, hog, 3), 0);
        int rc = rope_move(&a, &b, cut, tiny);
        if (rc == 0) { /* possible where a cut falls between mbufs or fits the tail of the first */
            expect_bytes(&a, pattern(), cut);
            expect_bytes(&b, pattern() + cut, 3400 - cut);
            cr_expect(cut == 1700 || (cut > 1700 && cut <= 1700 + ROPE_COPY_MAX), "%u", cut);
        } else {
            cr_assert_eq(rc, WEIR_ENOMEM);
            expect_bytes(&a, pattern(), 0);
            expect_bytes(&b, pattern(), 3400);
        }
        rte_pktmbuf_free_bulk(hog, 3);
        rope_clear(&a);
        rope_clear(&b);
    }
}

Test(rope, peek_points_into_one_mbuf_or_copies) {
    struct rope r = {0};
    uint8_t scratch[100];

    rope_push(&r, fixture_mbuf(pool, pattern(), 1000));
    rope_push(&r, fixture_mbuf(pool, pattern() + 1000, 1000));
    cr_expect_eq(rope_peek(&r, 990, 10, scratch), rte_pktmbuf_mtod_offset(r.head, uint8_t *, 990));
    cr_expect_eq(rope_peek(&r, 1000, 10, scratch), rte_pktmbuf_mtod(r.tail, uint8_t *));
    const uint8_t *p = rope_peek(&r, 995, 10, scratch);
    cr_expect_eq(p, scratch);
    cr_expect_arr_eq(p, pattern() + 995, 10);
    cr_expect_null(rope_peek(&r, 1995, 6, scratch));
    cr_expect_null(rope_peek(&r, UINT32_MAX, 6, scratch), "no wrap");
    cr_expect_null(rope_peek(&r, 6, UINT32_MAX, scratch), "no wrap");
    cr_expect_eq(rope_copy(&r, 1999, scratch, 100), 1);
    cr_expect_eq(rope_copy(&r, 2000, scratch, 100), 0);
    rope_clear(&r);
}

/* Two ropes against two flat byte queues, random operations, shared and private mbufs, now and then an empty pool. */
struct model {
    struct rope r;
    uint8_t bytes[1 << 18];
    uint32_t n;
};

static struct model models[2];
static uint8_t next_byte;

static void model_push(struct model *q, uint64_t *seed) {
    struct rte_mbuf *head = NULL, *tail = NULL;

    for (uint64_t segments = 1 + fixture_random(seed) % 3; segments > 0; segments--) {
        uint16_t n = (uint16_t)(fixture_random(seed) % (fixture_random(seed) % 2 ? 2048 : 64));
        struct rte_mbuf *m = fixture_mbuf(pool, NULL, n);
        uint8_t *p = rte_pktmbuf_mtod(m, uint8_t *);
        for (uint16_t i = 0; i < n; i++)
            q->bytes[q->n++] = p[i] = next_byte++;
        if (fixture_random(seed) % 4 == 0) { /* the rope gets the only reference to a buffer that is not its own */
            struct rte_mbuf *clone = rte_pktmbuf_clone(m, pool);
            cr_assert_not_null(clone);
            rte_pktmbuf_free(m);
            m = clone;
        }
        if (tail)
            tail->next = m;
        else
            head = m;
        tail = m;
    }
    rope_push(&q->r, head);
}

static void model_drop(struct model *q, uint32_t n) {
    memmove(q->bytes, q->bytes + n, q->n - n);
    q->n -= n;
}

static void model_step(struct model *q, struct model *other, uint64_t *seed) {
    uint32_t n = (uint32_t)(fixture_random(seed) % (q->n + 1)), small = (uint32_t)(fixture_random(seed) % 5000);
    struct rte_mempool *from = fixture_random(seed) % 4 ? pool : tiny;

    switch (fixture_random(seed) % 6) {
    case 0:
    case 1:
        if (q->n < 50000)
            model_push(q, seed);
        break;
    case 2:
        if (q->n < 50000 && rope_append(&q->r, from, pattern(), small) == 0) {
            memcpy(q->bytes + q->n, pattern(), small);
            q->n += small;
        }
        break;
    case 3:
        rope_trim(&q->r, n);
        model_drop(q, n);
        break;
    case 4:
        if (rope_move(&other->r, &q->r, n, from) == 0) {
            memcpy(other->bytes + other->n, q->bytes, n);
            other->n += n;
            model_drop(q, n);
        }
        break;
    default:
        if (fixture_random(seed) % 4 == 0) {
            rope_splice(&other->r, &q->r);
            memcpy(other->bytes + other->n, q->bytes, q->n);
            other->n += q->n;
            q->n = 0;
        }
    }
}

Test(rope, agrees_with_flat_bytes, .timeout = 60) {
    for (uint64_t seed = 1; seed <= 40; seed++) {
        uint64_t state = seed;
        for (int step = 0; step < 500; step++) {
            uint64_t which = fixture_random(&state) % 2;
            model_step(&models[which], &models[!which], &state);
            for (int i = 0; i < 2; i++)
                expect_bytes(&models[i].r, models[i].bytes, models[i].n);
        }
        for (int i = 0; i < 2; i++) {
            rope_clear(&models[i].r);
            models[i].n = 0;
        }
        expect_no_leak();
    }
}
