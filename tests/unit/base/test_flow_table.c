/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/flow_table.h"

#include "mbuf_fixture.h"

#include <netinet/in.h>

static struct flow_key key_of(uint32_t n) {
    return (struct flow_key){.remote_addr_be = 0x0012c6c6u + (n << 16),
                             .local_addr_be = 0x010012c6,
                             .remote_port_be = (uint16_t)(n >> 16),
                             .local_port_be = 0xb322,
                             .family = FLOW_FAMILY_IP4,
                             .proto = IPPROTO_TCP};
}

static struct flow_table table(const char *name, uint32_t capacity, uint64_t secret) {
    struct flow_table t;

    cr_assert_eq(flow_table_init(&t, name, capacity, secret, SOCKET_ID_ANY), 0);
    return t;
}

TestSuite(flow_table, .init = fixture_eal);

Test(flow_table, add_find_delete) {
    struct flow_table t = table("t", 100, 1);
    struct flow_key a = key_of(1), b = key_of(2);

    cr_expect_eq(flow_table_find(&t, &a), 0);
    cr_expect_eq(flow_table_add(&t, &a, 7), 0);
    cr_expect_eq(flow_table_add(&t, &a, 8), WEIR_EEXIST);
    cr_expect_eq(flow_table_find(&t, &a), 7);
    cr_expect_eq(flow_table_find(&t, &b), 0);
    cr_expect_eq(flow_table_del(&t, &b), WEIR_ENOENT);
    cr_expect_eq(flow_table_del(&t, &a), 0);
    cr_expect_eq(flow_table_find(&t, &a), 0);
    cr_expect_eq(t.used, 0);
    flow_table_fini(&t);
}

Test(flow_table, protocol_and_direction_are_part_of_the_key) {
    struct flow_table t = table("t", 100, 1);
    struct flow_key tcp = key_of(1), udp = tcp, back = tcp;

    udp.proto = IPPROTO_UDP;
    back.remote_addr_be = tcp.local_addr_be;
    back.local_addr_be = tcp.remote_addr_be;
    back.remote_port_be = tcp.local_port_be;
    back.local_port_be = tcp.remote_port_be;
    cr_assert_eq(flow_table_add(&t, &tcp, 7), 0);
    cr_expect_eq(flow_table_find(&t, &udp), 0);
    cr_expect_eq(flow_table_find(&t, &back), 0);
    flow_table_fini(&t);
}

/* rte_hash without extendable buckets refuses early, at the latest where every bucket would have to be full. */
Test(flow_table, fills_to_its_capacity_and_is_reusable) {
    const uint32_t capacity = 32768;
    struct flow_table t = table("t", capacity, 42);

    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 1; i <= capacity; i++) {
            struct flow_key k = key_of(i);
            cr_assert_eq(flow_table_add(&t, &k, i), 0, "%u", i);
        }
        struct flow_key more = key_of(capacity + 1);
        cr_expect_eq(flow_table_add(&t, &more, 1), WEIR_EFULL);
        for (uint32_t i = 1; i <= capacity; i++) {
            struct flow_key k = key_of(i);
            cr_assert_eq(flow_table_find(&t, &k), i);
            cr_assert_eq(flow_table_del(&t, &k), 0);
        }
        cr_expect_eq(t.used, 0);
    }
    flow_table_fini(&t);
}

Test(flow_table, bulk_agrees_with_single) {
    struct flow_table t = table("t", 1000, 3);
    struct flow_key keys[FLOW_TABLE_BURST];
    const struct flow_key *pointers[FLOW_TABLE_BURST];
    uint32_t found[FLOW_TABLE_BURST];

    for (uint32_t i = 0; i < FLOW_TABLE_BURST; i++) {
        keys[i] = key_of(i);
        pointers[i] = &keys[i];
        if (i % 3 != 0)
            cr_assert_eq(flow_table_add(&t, &keys[i], i + 1), 0);
    }
    for (uint32_t n = 0; n <= FLOW_TABLE_BURST; n++) {
        memset(found, 0xff, sizeof(found));
        flow_table_find_bulk(&t, pointers, n, found);
        for (uint32_t i = 0; i < n; i++)
            cr_expect_eq(found[i], i % 3 ? i + 1 : 0);
        if (n < FLOW_TABLE_BURST)
            cr_expect_eq(found[n], UINT32_MAX, "no write beyond n");
    }
    flow_table_fini(&t);
}

Test(flow_table, two_tables_of_a_process_are_apart) {
    struct flow_table a = table("a", 100, 1), b = table("b", 100, 2);
    struct flow_key k = key_of(5);

    cr_assert_eq(flow_table_add(&a, &k, 5), 0);
    cr_expect_eq(flow_table_find(&b, &k), 0);
    flow_table_fini(&a);
    flow_table_fini(&b);
}

Test(flow_table, its_memory_is_told_beforehand) {
    cr_expect_geq(flow_table_bytes(100000), 100000ull * 32);
    cr_expect_leq(flow_table_bytes(100000), 100000ull * 64, "the budget is about 48 bytes an entry");
}

Test(flow_table, no_memory_is_an_error) {
    struct flow_table t;

    cr_expect_eq(flow_table_init(&t, "huge", 50000000, 1, SOCKET_ID_ANY), WEIR_ENOMEM);
}
