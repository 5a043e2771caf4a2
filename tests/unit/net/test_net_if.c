/* SPDX-License-Identifier: BSD-3-Clause */
#include "frame_fixture.h"

Test(net_if, owns_all_its_addresses_and_no_other) {
    cr_expect(net_if_owns(&interface, OUR_ADDR));
    cr_expect(net_if_owns(&interface, OUR_ADDR_2));
    cr_expect_not(net_if_owns(&interface, PEER_ADDR));
    cr_expect_not(net_if_owns(&interface, 0), "unused entries are no addresses");
}

Test(net_if, next_hop) {
    cr_expect_eq(net_if_next_hop(&interface, PEER_ADDR), PEER_ADDR, "on-link");
    cr_expect_eq(net_if_next_hop(&interface, IP(198, 19, 1, 1)), GATEWAY_ADDR);
    cr_expect_eq(net_if_next_hop(&interface, IP(198, 18, 0, 255)), 0, "broadcast is nobody");
    cr_expect_eq(net_if_next_hop(&interface, IP(198, 18, 0, 0)), 0);
    cr_expect_eq(net_if_next_hop(&interface, IP(224, 0, 0, 1)), 0);
    cr_expect_eq(net_if_next_hop(&interface, IP(255, 255, 255, 255)), 0);
    cr_expect_eq(net_if_next_hop(&interface, IP(127, 0, 0, 1)), 0);
    cr_expect_eq(net_if_next_hop(&interface, 0), 0);
}

Test(net_if, without_gateway_the_rest_is_unreachable) {
    struct net_if alone = interface;

    alone.gateway_be = 0;
    cr_expect_eq(net_if_next_hop(&alone, IP(198, 19, 1, 1)), 0);
}

Test(net_if, a_31_has_two_hosts_and_no_broadcast) {
    struct net_if ptp = {.n_addrs = 1, .addrs = {{IP(198, 18, 9, 0), IP(255, 255, 255, 254)}}};

    cr_expect_eq(net_if_next_hop(&ptp, IP(198, 18, 9, 1)), IP(198, 18, 9, 1), "RFC 3021");
}
