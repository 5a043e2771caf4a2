/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/flow_table.h"

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* An owner with objects of one key. */
struct thing {
    uint32_t other;
    struct flow_key key;
};

struct owner {
    struct flow_table t;
    struct thing *things; /* capacity */
};

static struct flow_key key_of(uint32_t n) {
    return (struct flow_key){.remote_addr_be = 0x0012c6c6u + (n << 16),
                             .local_addr_be = 0x010012c6,
                             .remote_port_be = (uint16_t)(n >> 16),
                             .local_port_be = 0xb322,
                             .family = FLOW_FAMILY_IP4,
                             .proto = IPPROTO_TCP};
}

static struct owner owner(uint32_t capacity, uint64_t secret) {
    struct owner o = {.things = calloc(capacity, sizeof(struct thing))};
    struct flow_objects objects = {o.things, sizeof(struct thing), offsetof(struct thing, key), 1};

    cr_assert_not_null(o.things);
    cr_assert_eq(flow_table_init(&o.t, capacity, secret, &objects), 0);
    return o;
}

static void owner_fini(struct owner *o) {
    flow_table_fini(&o->t);
    free(o->things);
}

static int add(struct owner *o, const struct flow_key *key, uint32_t index) {
    int ret = flow_table_add(&o->t, key, index);

    if (ret == 0)
        o->things[index - 1].key = *key;
    return ret;
}

Test(flow_table, add_find_delete) {
    struct owner o = owner(100, 1);
    struct flow_key a = key_of(1), b = key_of(2);

    cr_expect_eq(flow_table_find(&o.t, &a), 0);
    cr_expect_eq(add(&o, &a, 7), 0);
    cr_expect_eq(add(&o, &a, 8), WEIR_EEXIST);
    cr_expect_eq(flow_table_find(&o.t, &a), 7);
    cr_expect_eq(flow_table_find(&o.t, &b), 0);
    cr_expect_eq(flow_table_del(&o.t, &b), WEIR_ENOENT);
    cr_expect_eq(flow_table_del(&o.t, &a), 0);
    cr_expect_eq(flow_table_find(&o.t, &a), 0);
    cr_expect_eq(o.t.used, 0);
    owner_fini(&o);
}

Test(flow_table, protocol_and_direction_are_part_of_the_key) {
    struct owner o = owner(100, 1);
    struct flow_key tcp = key_of(1), udp = tcp, back = tcp;

    udp.proto = IPPROTO_UDP;
    back.remote_addr_be = tcp.local_addr_be;
    back.local_addr_be = tcp.remote_addr_be;
    back.remote_port_be = tcp.local_port_be;
    back.local_port_be = tcp.remote_port_be;
    cr_assert_eq(add(&o, &tcp, 7), 0);
    cr_expect_eq(flow_table_find(&o.t, &udp), 0);
    cr_expect_eq(flow_table_find(&o.t, &back), 0);
    owner_fini(&o);
}

Test(flow_table, two_keys_of_an_object) {
    struct {
        struct flow_key keys[2];
        uint64_t other;
    } pairs[3] = {0};
    struct flow_objects objects = {pairs, sizeof(pairs[0]), 0, 2};
    struct flow_table t;

    cr_assert_eq(flow_table_init(&t, 6, 9, &objects), 0);
    for (uint32_t i = 1; i <= 3; i++)
        for (uint32_t k = 0; k < 2; k++) {
            pairs[i - 1].keys[k] = key_of(i * 10 + k);
            cr_assert_eq(flow_table_add(&t, &pairs[i - 1].keys[k], i * 2 + k), 0);
        }
    for (uint32_t i = 1; i <= 3; i++)
        for (uint32_t k = 0; k < 2; k++)
            cr_expect_eq(flow_table_find(&t, &pairs[i - 1].keys[k]), i * 2 + k);
    flow_table_fini(&t);
}

Test(flow_table, fills_to_its_capacity_and_is_reusable) {
    static const uint32_t capacities[] = {1, 2, 5, 6, 7, 100, 32768};

    for (size_t c = 0; c < WEIR_ARRAY_LEN(capacities); c++) {
        uint32_t capacity = capacities[c];
        struct owner o = owner(capacity, 42);
        for (int round = 0; round < 2; round++) {
            for (uint32_t i = 1; i <= capacity; i++) {
                struct flow_key k = key_of(i);
                cr_assert_eq(add(&o, &k, i), 0, "%u of %u", i, capacity);
            }
            struct flow_key more = key_of(capacity + 1);
            cr_expect_eq(add(&o, &more, 1), WEIR_EFULL);
            for (uint32_t i = 1; i <= capacity; i++) {
                struct flow_key k = key_of(i);
                cr_assert_eq(flow_table_find(&o.t, &k), i);
                cr_assert_eq(flow_table_del(&o.t, &k), 0);
            }
            cr_expect_eq(o.t.used, 0);
        }
        owner_fini(&o);
    }
}

Test(flow_table, bulk_agrees_with_single) {
    struct owner o = owner(1000, 3);
    struct flow_key keys[FLOW_TABLE_BURST];
    const struct flow_key *pointers[FLOW_TABLE_BURST];
    uint32_t found[FLOW_TABLE_BURST];

    for (uint32_t i = 0; i < FLOW_TABLE_BURST; i++) {
        keys[i] = key_of(i);
        pointers[i] = &keys[i];
        if (i % 3 != 0)
            cr_assert_eq(add(&o, &keys[i], i + 1), 0);
    }
    for (uint32_t n = 0; n <= FLOW_TABLE_BURST; n++) {
        memset(found, 0xff, sizeof(found));
        flow_table_find_bulk(&o.t, pointers, n, found);
        for (uint32_t i = 0; i < n; i++)
            cr_expect_eq(found[i], i % 3 ? i + 1 : 0);
        if (n < FLOW_TABLE_BURST)
            cr_expect_eq(found[n], UINT32_MAX, "no write beyond n");
    }
    owner_fini(&o);
}

/* Two flows of one bucket and one signature: only the keys tell them apart. Found by trying, with the secret. */
Test(flow_table, same_bucket_and_signature) {
    enum { KEYS = 4096 };
    struct owner o = owner(5, 4); /* one bucket: two of 4,096 share a signature */
    struct flow_key same[2];
    static uint32_t seen[UINT16_MAX + 1];
    uint32_t n = 0;

    cr_assert_eq(o.t.n_buckets, 1);
    for (uint32_t i = 1; i <= KEYS && !n; i++) {
        struct flow_key k = key_of(i);
        cr_assert_eq(add(&o, &k, 1), 0);
        uint16_t signature = o.t.buckets[0].signatures[0];
        if (seen[signature]) {
            same[0] = key_of(seen[signature]);
            same[1] = k;
            n = 2;
        }
        seen[signature] = i;
        cr_assert_eq(flow_table_del(&o.t, &k), 0);
    }
    cr_assert_eq(n, 2);
    const struct flow_key *pointers[] = {&same[0], &same[1]};
    uint32_t found[2];
    cr_assert_eq(add(&o, &same[0], 1), 0);
    flow_table_find_bulk(&o.t, pointers, 2, found);
    cr_expect(found[0] == 1 && found[1] == 0, "not in: %u", found[1]);
    cr_assert_eq(add(&o, &same[1], 2), 0);
    flow_table_find_bulk(&o.t, pointers, 2, found);
    cr_expect(found[0] == 1 && found[1] == 2, "%u %u", found[0], found[1]);
    cr_expect_eq(flow_table_find(&o.t, &same[1]), 2);
    cr_assert_eq(flow_table_del(&o.t, &same[0]), 0);
    cr_expect_eq(flow_table_find(&o.t, &same[1]), 2);
    owner_fini(&o);
}

/* Entries of one home that fill it and the bucket behind it, round the end of the table. */
Test(flow_table, entries_away_from_home) {
    enum { AT_HOME = FLOW_BUCKET_SLOTS, ALL = 2 * FLOW_BUCKET_SLOTS + 1 };
    struct owner o = owner(29, 5); /* 5 buckets */
    struct flow_key keys[ALL], stranger;
    uint32_t n = 0, last = o.t.n_buckets - 1;

    for (uint32_t i = 1; n < ALL + 1; i++) { /* those whose home is the last bucket, by where they come to lie */
        struct flow_key k = key_of(i);
        cr_assert_eq(add(&o, &k, 1), 0);
        if (o.t.buckets[last].used)
            *(n < ALL ? &keys[n] : &stranger) = k, n++;
        cr_assert_eq(flow_table_del(&o.t, &k), 0);
    }
    for (uint32_t i = 0; i < ALL; i++)
        cr_assert_eq(add(&o, &keys[i], i + 1), 0);
    cr_expect_eq(o.t.buckets[last].away, ALL - AT_HOME);
    cr_expect_eq(o.t.reach, 2);
    for (uint32_t i = 0; i < ALL; i++)
        cr_expect_eq(flow_table_find(&o.t, &keys[i]), i + 1);
    cr_expect_eq(flow_table_find(&o.t, &stranger), 0);
    const struct flow_key *pointers[] = {&keys[0], &keys[ALL - 1], &stranger};
    uint32_t found[3];
    flow_table_find_bulk(&o.t, pointers, 3, found);
    cr_expect(found[0] == 1 && found[1] == ALL && found[2] == 0);
    cr_assert_eq(flow_table_del(&o.t, &keys[0]), 0); /* at home: the others are found across the gap */
    for (uint32_t i = 1; i < ALL; i++)
        cr_expect_eq(flow_table_find(&o.t, &keys[i]), i + 1);
    for (uint32_t i = 1; i < ALL; i++)
        cr_assert_eq(flow_table_del(&o.t, &keys[i]), 0);
    cr_expect_eq(o.t.buckets[last].away, 0);
    owner_fini(&o);
}

static uint64_t draw(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

/* 2,000,000 additions and deletions in random order, beside an array that says what must be in. Nearly full most of the
 * time. */
Test(flow_table, random_against_a_reference, .timeout = 120) {
    enum { CAPACITY = 100000, KEYS = 110000, STEPS = 2000000 };
    struct owner o = owner(CAPACITY, 0x5eed);
    bool *in = calloc(KEYS + 1, 1);
    uint32_t *index = calloc(KEYS + 1, sizeof(*index)), *spare = calloc(CAPACITY, sizeof(*spare)), used = 0;
    uint64_t state = 88172645463325252ull;

    for (uint32_t i = 0; i < CAPACITY; i++)
        spare[i] = CAPACITY - i;
    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t n = 1 + (uint32_t)(draw(&state) % KEYS);
        struct flow_key k = key_of(n);
        uint32_t found = flow_table_find(&o.t, &k);
        cr_assert_eq(found, in[n] ? index[n] : 0, "step %u, key %u", step, n);
        if (in[n] && draw(&state) % 8 == 0) {
            cr_assert_eq(flow_table_del(&o.t, &k), 0);
            memset(&o.things[index[n] - 1], 0x5a, sizeof(struct thing)); /* its key is nobody's now */
            spare[CAPACITY - used--] = index[n];
            in[n] = false;
        } else if (!in[n]) {
            if (used == CAPACITY) {
                cr_assert_eq(add(&o, &k, 1), WEIR_EFULL);
                continue;
            }
            index[n] = spare[CAPACITY - 1 - used++];
            cr_assert_eq(add(&o, &k, index[n]), 0, "step %u: %u in", step, used);
            in[n] = true;
        }
        cr_assert_eq(o.t.used, used);
    }
    cr_expect_leq(o.t.reach, 8, "%u buckets from home", o.t.reach);
    owner_fini(&o);
    free(in);
    free(index);
    free(spare);
}

/* A full table of a million: nearly all lie at home, none far from it, whatever the pattern of the keys. */
Test(flow_table, few_are_away_from_home, .timeout = 60) {
    enum { FLOWS = 1000000 };

    for (int pattern = 0; pattern < 2; pattern++) {
        struct owner o = owner(FLOWS, 7);
        uint64_t away = 0;
        for (uint32_t i = 1; i <= FLOWS; i++) {
            struct flow_key k = key_of(pattern ? i * 4096 : i);
            cr_assert_eq(add(&o, &k, i), 0);
        }
        for (uint32_t b = 0; b < o.t.n_buckets; b++)
            away += o.t.buckets[b].away;
        cr_expect_leq(away, FLOWS / 50, "%lu", (unsigned long)away);
        cr_expect_leq(o.t.reach, 8, "%u", o.t.reach);
        owner_fini(&o);
    }
}

Test(flow_table, its_memory_is_told_beforehand) {
    struct owner o = owner(100000, 1);

    cr_expect_eq(flow_table_bytes(100000), (uint64_t)o.t.n_buckets * sizeof(struct flow_bucket));
    cr_expect_leq(flow_table_bytes(100000), 100000ull * 11, "the budget is 11 bytes an entry");
    owner_fini(&o);
}

Test(flow_table, no_memory_is_an_error) {
    struct flow_table t;
    struct flow_objects objects = {.keys = 1};

    setrlimit(RLIMIT_AS, &(struct rlimit){1u << 30, 1u << 30});
    cr_expect_eq(flow_table_init(&t, 200000000, 1, &objects), WEIR_ENOMEM);
}
