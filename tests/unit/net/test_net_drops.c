/* SPDX-License-Identifier: BSD-3-Clause */
#include "net/net.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <string.h>

Test(net_drops, names_are_the_lower_case_of_the_list) {
    cr_expect_str_eq(net_drop_name(NET_DROP_IP4_CHECKSUM), "ip4_checksum");
    cr_expect_str_eq(net_drop_name(NET_DROP_ICMP_UNFIT), "icmp_unfit");
    cr_expect_str_eq(net_drop_text(NET_DROP_IP4_TTL), "TTL is 0");
    cr_expect_str_eq(net_drop_name(NET_DROP_COUNT), "unknown");
    cr_expect_str_eq(net_drop_text(NET_DROP_COUNT), "unknown");
}

Test(net_drops, every_reason_has_a_name_of_its_own_and_a_text) {
    for (int d = 0; d < NET_DROP_COUNT; d++) {
        const char *name = net_drop_name((enum net_drop)d);
        cr_expect_gt(strlen(name), 0);
        cr_expect_gt(strlen(net_drop_text((enum net_drop)d)), 0);
        for (const char *c = name; *c; c++)
            cr_expect(islower(*c) || isdigit(*c) || *c == '_', "%s", name);
        for (int e = 0; e < d; e++)
            cr_expect_str_neq(name, net_drop_name((enum net_drop)e));
    }
}
