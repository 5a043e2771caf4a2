/* SPDX-License-Identifier: BSD-3-Clause */
#include "servers.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { PER_SOURCE = 65536 - 1024 };

static const uint32_t sources[] = {0x010112c6, 0x050112c6}; /* 198.18.1.1 and .5, big endian */
static unsigned asked;

static bool quarter(void *ctx, uint32_t saddr_be, uint16_t sport_be, uint32_t daddr_be, uint16_t dport_be) {
    (void)saddr_be, (void)daddr_be, (void)dport_be;
    asked++;
    return rte_be_to_cpu_16(sport_be) % 4 == *(unsigned *)ctx;
}

static bool never(void *ctx, uint32_t saddr_be, uint16_t sport_be, uint32_t daddr_be, uint16_t dport_be) {
    (void)ctx, (void)saddr_be, (void)sport_be, (void)daddr_be, (void)dport_be;
    asked++;
    return false;
}

static int take(struct lb_ports *p, uint16_t index, uint32_t *saddr_be, uint16_t *sport_be) {
    return lb_ports_take(p, index, 1, 2, saddr_be, sport_be);
}

Test(lb_ports, gives_every_port_of_every_source_once) {
    static uint8_t out[2][65536];
    struct lb_ports *p = lb_ports_new(sources, 2, 3, NULL, NULL);
    uint32_t saddr_be;
    uint16_t sport_be;

    for (uint32_t i = 0; i < 2 * PER_SOURCE; i++) {
        cr_assert_eq(take(p, 1, &saddr_be, &sport_be), 0, "port %u", i);
        unsigned source = saddr_be == sources[1];
        uint16_t port = rte_be_to_cpu_16(sport_be);
        cr_assert(source || saddr_be == sources[0]);
        cr_assert_geq(port, 1024);
        cr_assert_eq(out[source][port]++, 0);
    }
    cr_assert_eq(take(p, 1, &saddr_be, &sport_be), WEIR_EFULL);
    cr_assert_eq(lb_ports_used(p, 1), 2 * PER_SOURCE);
    cr_assert_eq(lb_ports_used(p, 0), 0, "servers do not share");
    cr_assert_eq(take(p, 0, &saddr_be, &sport_be), 0);
    lb_ports_free(p);
}

Test(lb_ports, one_given_back_among_all_taken_is_found) {
    struct lb_ports *p = lb_ports_new(sources, 2, 1, NULL, NULL);
    uint32_t saddr_be;
    uint16_t sport_be;

    while (take(p, 0, &saddr_be, &sport_be) == 0)
        ;
    for (unsigned port = 1024; port < 65536; port += 997) {
        lb_ports_give(p, 0, sources[port & 1], rte_cpu_to_be_16((uint16_t)port));
        cr_assert_eq(take(p, 0, &saddr_be, &sport_be), 0);
        cr_assert_eq(saddr_be, sources[port & 1]);
        cr_assert_eq(rte_be_to_cpu_16(sport_be), port);
        cr_assert_eq(take(p, 0, &saddr_be, &sport_be), WEIR_EFULL);
    }
    lb_ports_free(p);
}

Test(lb_ports, sources_take_turns) {
    struct lb_ports *p = lb_ports_new(sources, 2, 1, NULL, NULL);
    uint32_t saddr_be;
    uint16_t sport_be;

    for (unsigned i = 0; i < 10; i++) {
        cr_assert_eq(take(p, 0, &saddr_be, &sport_be), 0);
        cr_assert_eq(saddr_be, sources[i & 1]);
    }
    lb_ports_free(p);
}

Test(lb_ports, a_port_just_freed_is_used_last) {
    struct lb_ports *p = lb_ports_new(sources, 1, 1, NULL, NULL);
    uint32_t saddr_be;
    uint16_t first, sport_be;

    cr_assert_eq(take(p, 0, &saddr_be, &first), 0);
    lb_ports_give(p, 0, saddr_be, first);
    for (unsigned i = 0; i < PER_SOURCE - 1; i++) {
        cr_assert_eq(take(p, 0, &saddr_be, &sport_be), 0);
        cr_assert_neq(sport_be, first);
        lb_ports_give(p, 0, saddr_be, sport_be);
    }
    cr_assert_eq(take(p, 0, &saddr_be, &sport_be), 0);
    cr_assert_eq(sport_be, first, "after all the others");
    cr_assert_eq(lb_ports_used(p, 0), 1);
    lb_ports_free(p);
}

Test(lb_ports, workers_share_without_overlap_and_ask_once_a_port) {
    static uint8_t out[65536];

    for (unsigned worker = 0; worker < 4; worker++) {
        struct lb_ports *p = lb_ports_new(sources, 1, 1, quarter, &worker);
        uint32_t saddr_be;
        uint16_t sport_be;
        asked = 0;
        for (unsigned i = 0; i < PER_SOURCE / 4; i++) {
            cr_assert_eq(take(p, 0, &saddr_be, &sport_be), 0);
            cr_assert_eq(out[rte_be_to_cpu_16(sport_be)]++, 0);
            cr_assert_eq(rte_be_to_cpu_16(sport_be) % 4, worker);
        }
        cr_assert_eq(take(p, 0, &saddr_be, &sport_be), WEIR_EFULL);
        cr_assert_eq(lb_ports_used(p, 0), PER_SOURCE / 4);
        lb_ports_give(p, 0, saddr_be, rte_cpu_to_be_16((uint16_t)(40000 + worker)));
        cr_assert_eq(take(p, 0, &saddr_be, &sport_be), 0);
        cr_assert_leq(asked, PER_SOURCE + 1);
        lb_ports_free(p);
    }
}

Test(lb_ports, exhaustion_is_an_answer_and_not_a_loop) {
    struct lb_ports *p = lb_ports_new(sources, 2, 1, never, NULL);
    uint32_t saddr_be, calls = 0;
    uint16_t sport_be;

    do {
        asked = 0;
        cr_assert_eq(take(p, 0, &saddr_be, &sport_be), WEIR_EFULL);
        cr_assert_leq(asked, 4096);
        calls++;
    } while (asked > 0 && calls < 1000);
    cr_assert_leq(calls, 2 * PER_SOURCE / 4096 + 3, "each call goes on where the last one stopped");
    cr_assert_eq(lb_ports_used(p, 0), 0);
    lb_ports_free(p);
}

Test(lb_ports, starts_somewhere_else_each_time) {
    unsigned different = 0;
    uint16_t last = 0;

    for (unsigned i = 0; i < 10; i++) {
        struct lb_ports *p = lb_ports_new(sources, 1, 1, NULL, NULL);
        uint32_t saddr_be;
        uint16_t sport_be;
        cr_assert_eq(take(p, 0, &saddr_be, &sport_be), 0);
        different += sport_be != last;
        last = sport_be;
        lb_ports_free(p);
    }
    cr_assert_gt(different, 5);
}

Test(lb_ports, random_takes_and_gives_keep_count) {
    enum { HELD = 3000 };
    static struct {
        uint32_t saddr_be;
        uint16_t sport_be;
    } held[HELD];
    struct lb_ports *p = lb_ports_new(sources, 2, 2, NULL, NULL);
    unsigned n = 0;

    srand(1);
    for (unsigned i = 0; i < 100000; i++) {
        if (n == HELD || (n > 0 && rand() % 2)) {
            unsigned k = (unsigned)rand() % n;
            lb_ports_give(p, 1, held[k].saddr_be, held[k].sport_be);
            held[k] = held[--n];
        } else {
            cr_assert_eq(take(p, 1, &held[n].saddr_be, &held[n].sport_be), 0);
            n++;
        }
        cr_assert_eq(lb_ports_used(p, 1), n);
    }
    lb_ports_free(p);
}
