/* SPDX-License-Identifier: BSD-3-Clause */
#include "frame_fixture.h"

#define S          1000000ull /* a second */
#define OUT        64
#define OTHER_ADDR IP(198, 18, 0, 78)

static struct arp_table *t;
static struct rte_mbuf *out[OUT], *expired[OUT];
static uint16_t n_expired;
static const uint8_t thief_mac[6] = {2, 6, 6, 6, 6, 6};

static void start(void) {
    frames_start();
    t = arp_table_new("arp", SOCKET_ID_ANY);
    cr_assert_not_null(t);
}

static void stop(void) {
    arp_table_free(t);
    frames_expect_no_leak();
}

TestSuite(arp, .init = start, .fini = stop);

static struct rte_mbuf *packet(uint16_t operation, const uint8_t *sender_mac, uint32_t sender_be, uint32_t target_be) {
    struct rte_mbuf *m = fixture_mbuf(frames, NULL, 60);
    struct wire_eth *eth = frame_eth(m);
    struct wire_arp *arp = (struct wire_arp *)(eth + 1);

    memcpy(eth->dst, operation == 1 ? all_macs : our_mac, 6);
    memcpy(eth->src, peer_mac, 6);
    eth->type_be = RTE_BE16(WIRE_ETH_ARP);
    *arp = (struct wire_arp){RTE_BE16(1), RTE_BE16(0x0800), 6,   4,        rte_cpu_to_be_16(operation),
                             {0},         sender_be,        {0}, target_be};
    memcpy(arp->sender_mac, sender_mac, 6);
    cr_assert_eq(eth_input(&interface, m), NET_TO_ARP);
    return m;
}

/* arp_input's verdict about a packet that is freed then. */
static int input(struct rte_mbuf *m, uint64_t now_us) {
    int v = arp_input(t, &interface, m, now_us);

    rte_pktmbuf_free(m);
    return v;
}

static uint16_t poll(uint64_t now_us) {
    return arp_poll(t, &interface, frames, now_us, out, OUT, expired, &n_expired);
}

static void free_all(struct rte_mbuf **m, uint16_t n) {
    for (uint16_t i = 0; i < n; i++)
        rte_pktmbuf_free(m[i]);
}

static struct wire_arp *arp_of(struct rte_mbuf *m) {
    return rte_pktmbuf_mtod_offset(m, struct wire_arp *, 14);
}

/* Ask for addr, answer, and take what went out: a live entry. */
static void make_live(uint32_t addr_be, const uint8_t *mac, uint64_t now_us) {
    uint8_t found[6];
    struct rte_mbuf *m = fixture_mbuf(frames, NULL, 100);

    cr_assert_eq(arp_resolve(t, addr_be, m, now_us, found), NET_HELD);
    free_all(out, poll(now_us));
    cr_assert_eq(input(packet(2, mac, addr_be, OUR_ADDR), now_us), NET_DONE);
    free_all(out, poll(now_us));
}

static void expect_mac(uint32_t addr_be, const uint8_t *mac, uint64_t now_us) {
    uint8_t found[6] = {0};

    cr_expect_eq(arp_resolve(t, addr_be, NULL, now_us, found), NET_DONE);
    cr_expect_arr_eq(found, mac, 6);
}

Test(arp, answers_for_each_of_our_addresses) {
    const uint32_t ours[] = {OUR_ADDR, OUR_ADDR_2};

    for (int i = 0; i < 2; i++) {
        struct rte_mbuf *m = packet(1, peer_mac, PEER_ADDR, ours[i]);
        cr_expect_eq(arp_input(t, &interface, m, S), NET_REPLY);
        cr_expect_eq(m->pkt_len, 42);
        cr_expect_arr_eq(frame_eth(m)->dst, peer_mac, 6);
        cr_expect_arr_eq(frame_eth(m)->src, our_mac, 6);
        cr_expect_eq(arp_of(m)->operation_be, RTE_BE16(2));
        cr_expect_eq(arp_of(m)->sender_addr_be, ours[i]);
        cr_expect_arr_eq(arp_of(m)->sender_mac, our_mac, 6);
        cr_expect_eq(arp_of(m)->target_addr_be, PEER_ADDR);
        cr_expect_arr_eq(arp_of(m)->target_mac, peer_mac, 6);
        rte_pktmbuf_free(m);
    }
    cr_expect_eq(input(packet(1, peer_mac, PEER_ADDR, OTHER_ADDR), S), -NET_DROP_ARP_NOT_OURS);
    cr_expect_eq(input(packet(1, peer_mac, 0, OUR_ADDR), S), NET_REPLY, "an address probe (RFC 5227)");
}

Test(arp, resolves_and_sends_what_waited_in_order) {
    uint8_t mac[6];

    for (uint16_t i = 1; i <= 3; i++)
        cr_assert_eq(arp_resolve(t, PEER_ADDR, fixture_mbuf(frames, NULL, i), S, mac), NET_HELD);
    cr_assert_eq(poll(S), 1, "one question for all");
    cr_expect_arr_eq(frame_eth(out[0])->dst, all_macs, 6);
    cr_expect_eq(arp_of(out[0])->operation_be, RTE_BE16(1));
    cr_expect_eq(arp_of(out[0])->target_addr_be, PEER_ADDR);
    cr_expect_eq(arp_of(out[0])->sender_addr_be, OUR_ADDR);
    free_all(out, 1);
    cr_expect_eq(poll(S + 1000), 0, "no second question yet");
    cr_expect_eq(input(packet(2, peer_mac, PEER_ADDR, OUR_ADDR), S + 2000), NET_DONE);
    cr_assert_eq(poll(S + 2000), 3);
    for (uint16_t i = 0; i < 3; i++) {
        cr_expect_eq(out[i]->pkt_len, 14 + i + 1);
        cr_expect_arr_eq(frame_eth(out[i])->dst, peer_mac, 6);
    }
    free_all(out, 3);
    expect_mac(PEER_ADDR, peer_mac, S + 3000);
    cr_expect_eq(poll(S + 3000), 0);
}

Test(arp, silence_is_remembered_and_forgotten) {
    uint8_t mac[6];
    struct rte_mbuf *m = fixture_mbuf(frames, NULL, 100), *refused = fixture_mbuf(frames, NULL, 100);
    int asked = 0;

    cr_assert_eq(arp_resolve(t, PEER_ADDR, m, S, mac), NET_HELD);
    for (uint64_t now = S; now < 4 * S; now += 1000) {
        uint16_t n = poll(now);
        asked += n;
        free_all(out, n);
        cr_assert_eq(n_expired, 0);
    }
    cr_expect_eq(asked, ARP_TRIES);
    cr_expect_eq(poll(4 * S), 0);
    cr_assert_eq(n_expired, 1);
    cr_expect_eq(expired[0], m);
    free_all(expired, 1);
    cr_expect_eq(arp_resolve(t, PEER_ADDR, refused, 5 * S, mac), -NET_DROP_ARP_UNRESOLVED);
    cr_expect_eq(poll(6 * S), 0);
    cr_expect_eq(input(packet(2, peer_mac, PEER_ADDR, OUR_ADDR), 6 * S), -NET_DROP_ARP_UNSOLICITED, "too late");
    cr_expect_eq(arp_resolve(t, PEER_ADDR, refused, 4 * S + ARP_NEGATIVE_US, mac), NET_HELD, "asked again");
    cr_expect_eq(poll(10 * S), 1);
    free_all(out, 1);
}

Test(arp, an_old_entry_is_probed_by_unicast_while_used) {
    uint64_t old = S + ARP_REACHABLE_US;

    make_live(PEER_ADDR, peer_mac, S);
    expect_mac(PEER_ADDR, peer_mac, old - 1);
    cr_expect_eq(poll(old - 1), 0);
    cr_expect_eq(poll(old + 10 * S), 0, "nobody uses it");
    expect_mac(PEER_ADDR, peer_mac, old + 10 * S);
    cr_assert_eq(poll(old + 10 * S), 1);
    cr_expect_arr_eq(frame_eth(out[0])->dst, peer_mac, 6);
    free_all(out, 1);
    expect_mac(PEER_ADDR, peer_mac, old + 10 * S + 500);
    cr_expect_eq(input(packet(2, peer_mac, PEER_ADDR, OUR_ADDR), old + 10 * S + 600), NET_DONE);
    cr_expect_eq(poll(old + 12 * S), 0, "fresh again");
}

Test(arp, a_probed_entry_that_stays_silent_is_given_up) {
    uint64_t old = S + ARP_REACHABLE_US;
    uint8_t mac[6];
    int asked = 0;

    make_live(PEER_ADDR, peer_mac, S);
    expect_mac(PEER_ADDR, peer_mac, old);
    for (uint64_t now = old; now < old + 4 * S; now += S / 10) {
        uint16_t n = poll(now);
        if (asked == 1 && n == 1)
            cr_expect_arr_eq(frame_eth(out[0])->dst, all_macs, 6, "then by broadcast");
        asked += n;
        free_all(out, n);
    }
    cr_expect_eq(asked, ARP_TRIES);
    cr_expect_eq(arp_resolve(t, PEER_ADDR, NULL, old + 4 * S, mac), -NET_DROP_ARP_UNRESOLVED);
}

Test(arp, attack_spoofed_replies_change_nothing) {
    make_live(PEER_ADDR, peer_mac, S);
    cr_expect_eq(input(packet(2, thief_mac, PEER_ADDR, OUR_ADDR), 2 * S), -NET_DROP_ARP_UNSOLICITED);
    cr_expect_eq(input(packet(1, thief_mac, PEER_ADDR, OUR_ADDR), 2 * S), NET_REPLY, "a request teaches nothing");
    cr_expect_eq(input(packet(1, thief_mac, PEER_ADDR, PEER_ADDR), 2 * S), -NET_DROP_ARP_NOT_OURS, "gratuitous");
    expect_mac(PEER_ADDR, peer_mac, 3 * S);
    cr_expect_eq(input(packet(2, thief_mac, GATEWAY_ADDR, OUR_ADDR), 2 * S), -NET_DROP_ARP_UNSOLICITED);
    struct arp_stats s;
    arp_table_stats(t, &s);
    cr_expect_eq(s.entries, 1, "nothing was learned");
}

Test(arp, attack_an_answer_before_the_question_does_not_count) {
    uint8_t mac[6];
    struct rte_mbuf *m = fixture_mbuf(frames, NULL, 10);

    cr_assert_eq(arp_resolve(t, PEER_ADDR, m, S, mac), NET_HELD);
    cr_expect_eq(input(packet(2, thief_mac, PEER_ADDR, OUR_ADDR), S), -NET_DROP_ARP_UNSOLICITED, "not asked yet");
    free_all(out, poll(S));
    cr_expect_eq(input(packet(2, peer_mac, PEER_ADDR, OUR_ADDR), S), NET_DONE);
    cr_expect_eq(input(packet(2, thief_mac, PEER_ADDR, OUR_ADDR), S), -NET_DROP_ARP_UNSOLICITED, "the first wins");
    free_all(out, poll(S));
    expect_mac(PEER_ADDR, peer_mac, S);
}

Test(arp, attack_impossible_senders) {
    const uint8_t group_mac[6] = {1, 0, 0x5e, 0, 0, 1}, zero_mac[6] = {0};

    for (uint16_t operation = 1; operation <= 2; operation++) {
        cr_expect_eq(input(packet(operation, thief_mac, OUR_ADDR, OUR_ADDR), S), -NET_DROP_ARP_SPOOF, "our address");
        cr_expect_eq(input(packet(operation, thief_mac, OUR_ADDR_2, OUR_ADDR), S), -NET_DROP_ARP_SPOOF);
        cr_expect_eq(input(packet(operation, group_mac, PEER_ADDR, OUR_ADDR), S), -NET_DROP_ARP_SPOOF);
        cr_expect_eq(input(packet(operation, all_macs, PEER_ADDR, OUR_ADDR), S), -NET_DROP_ARP_SPOOF);
        cr_expect_eq(input(packet(operation, zero_mac, PEER_ADDR, OUR_ADDR), S), -NET_DROP_ARP_SPOOF);
        cr_expect_eq(input(packet(operation, thief_mac, IP(224, 0, 0, 1), OUR_ADDR), S), -NET_DROP_ARP_SPOOF);
        cr_expect_eq(input(packet(operation, thief_mac, IP(198, 18, 0, 255), OUR_ADDR), S), -NET_DROP_ARP_SPOOF);
        cr_expect_eq(input(packet(operation, thief_mac, IP(127, 0, 0, 1), OUR_ADDR), S), -NET_DROP_ARP_SPOOF);
    }
    cr_expect_eq(input(packet(2, thief_mac, 0, OUR_ADDR), S), -NET_DROP_ARP_SPOOF);
}

Test(arp, malformed) {
    for (uint16_t n = 14; n < 42; n++) {
        struct rte_mbuf *m = packet(1, peer_mac, PEER_ADDR, OUR_ADDR);
        rte_pktmbuf_trim(m, (uint16_t)(60 - n));
        cr_expect_eq(input(m, S), -NET_DROP_ARP_MALFORMED);
    }
    for (int byte = 0; byte < 8; byte++) {
        struct rte_mbuf *m = packet(1, peer_mac, PEER_ADDR, OUR_ADDR);
        ((uint8_t *)arp_of(m))[byte] ^= 0x80;
        cr_expect_eq(input(m, S), -NET_DROP_ARP_MALFORMED, "byte %d", byte);
    }
    cr_expect_eq(input(packet(3, peer_mac, PEER_ADDR, OUR_ADDR), S), -NET_DROP_ARP_MALFORMED, "reverse ARP");
}

Test(arp, waiting_packets_are_bounded) {
    uint8_t mac[6];
    struct arp_stats s;
    struct rte_mbuf *m = fixture_mbuf(frames, NULL, 10);

    for (int i = 0; i < ARP_WAITING_PACKETS; i++)
        cr_assert_eq(arp_resolve(t, PEER_ADDR, fixture_mbuf(frames, NULL, 10), S, mac), NET_HELD);
    cr_expect_eq(arp_resolve(t, PEER_ADDR, m, S, mac), -NET_DROP_ARP_QUEUE_FULL);
    for (uint32_t i = 0; i < ARP_WAITING_TOTAL - ARP_WAITING_PACKETS; i++)
        cr_assert_eq(arp_resolve(t, IP(198, 18, 1, 0) + (i << 24), fixture_mbuf(frames, NULL, 10), S, mac), NET_HELD);
    cr_expect_eq(arp_resolve(t, OTHER_ADDR, m, S, mac), -NET_DROP_ARP_QUEUE_FULL, "in all, too");
    rte_pktmbuf_free(m);
    arp_table_stats(t, &s);
    cr_expect_eq(s.waiting, ARP_WAITING_TOTAL);
}

/* A flood of addresses that never answer: bounded work and memory, and afterwards all is as before. */
Test(arp, attack_flood_of_unresolvable_addresses) {
    uint8_t mac[6];
    struct arp_stats s;
    uint64_t now = S;

    for (uint32_t i = 0; i < 5000; i++, now += 100) {
        struct rte_mbuf *m = fixture_mbuf(frames, NULL, 10);
        int v = arp_resolve(t, rte_cpu_to_be_32(0xc6130000 + i), m, now, mac);
        if (v != NET_HELD)
            rte_pktmbuf_free(m);
        uint16_t n = poll(now);
        free_all(out, n);
        free_all(expired, n_expired);
    }
    for (; now < 20 * S; now += 1000) {
        free_all(out, poll(now));
        free_all(expired, n_expired);
    }
    arp_table_stats(t, &s);
    cr_expect_eq(s.waiting, 0);
    cr_expect_eq(s.incomplete, 0);
    cr_expect_leq(s.entries, ARP_TABLE_ENTRIES);
    make_live(PEER_ADDR, peer_mac, now);
    expect_mac(PEER_ADDR, peer_mac, now);
}

/* Poll until addr is asked for, as often as it takes to come round. */
static bool asked_for(uint32_t addr_be, uint64_t now_us) {
    bool asked = false;

    for (int i = 0; i < 64 && !asked; i++) {
        uint16_t n = poll(now_us);
        for (uint16_t k = 0; k < n; k++)
            asked |= arp_of(out[k])->operation_be == RTE_BE16(1) && arp_of(out[k])->target_addr_be == addr_be;
        free_all(out, n);
        free_all(expired, n_expired);
    }
    return asked;
}

static int resolve_freeing(uint32_t addr_be, uint64_t now_us) {
    uint8_t mac[6];
    struct rte_mbuf *m = fixture_mbuf(frames, NULL, 10);
    int v = arp_resolve(t, addr_be, m, now_us, mac);

    if (v != NET_HELD)
        rte_pktmbuf_free(m);
    return v;
}

static uint32_t nth(uint32_t net, uint32_t i) {
    return rte_cpu_to_be_32(net + i);
}

/* Ever new addresses that nobody has, `gap_us` apart, for 20 s or 20,000 of them. Neighbours that we knew and that are
 * quiet meanwhile are still known; new ones that answer a little later are, too, unless there are so many that not each
 * can be asked for. */
static void flood(uint32_t gap_us, bool crowded) {
    const uint32_t known_net = 0xc6140000, new_net = 0xc6150000, nobody_net = 0xc6130000, known = 450, news = 50;
    uint32_t rounds = weir_min_u32(20000000 / gap_us, 20000), n_new = 0, asked = 0;
    struct arp_stats s;
    uint64_t now = S;

    for (uint32_t i = 0; i < known; i++)
        make_live(nth(known_net, i), peer_mac, now);
    for (uint32_t i = 0; i < rounds; i++, now += gap_us) {
        cr_assert_neq(resolve_freeing(nth(nobody_net, i), now), -NET_DROP_ARP_TABLE_FULL, "address %u", i);
        uint16_t n = poll(now);
        asked += n;
        free_all(out, n);
        free_all(expired, n_expired);
        if (!crowded && i % (rounds / news) == rounds / news - 1) {
            uint32_t addr = nth(new_net, n_new++);
            cr_assert_neq(resolve_freeing(addr, now), -NET_DROP_ARP_TABLE_FULL);
            cr_assert(asked_for(addr, now));
            for (uint32_t k = 0; k < 50; k++, now += gap_us) /* it takes its time */
                resolve_freeing(nth(nobody_net + 0x8000, i + k), now);
            cr_assert_eq(input(packet(2, peer_mac, addr, OUR_ADDR), now), NET_DONE);
        }
    }
    uint64_t most = ARP_QUESTIONS_BURST + (now - S) * ARP_QUESTIONS_S / 1000000;
    if (crowded)
        cr_expect(asked <= most && asked >= most / 2, "%u broadcasts, %lu are allowed", asked, (unsigned long)most);
    for (uint32_t i = 0; i < known; i++)
        expect_mac(nth(known_net, i), peer_mac, now);
    for (uint32_t i = 0; i < n_new; i++)
        expect_mac(nth(new_net, i), peer_mac, now);
    for (uint64_t end = now + 10 * S; now < end; now += S / 100) {
        free_all(out, poll(now));
        free_all(expired, n_expired);
    }
    arp_table_stats(t, &s);
    cr_expect_eq(s.waiting, 0, "every packet came back");
    cr_expect_eq(s.incomplete, 0);
    cr_expect_leq(s.entries, ARP_TABLE_ENTRIES);
}

Test(arp, attack_a_flood_leaves_known_and_new_neighbours_alone) {
    flood(2900, false); /* each would have its three questions: more at a time than the table holds */
}

Test(arp, attack_a_fast_flood_leaves_known_and_new_neighbours_alone) {
    flood(150, false);
}

/* The whole link hears each question. */
Test(arp, attack_a_faster_flood_is_not_one_of_broadcasts) {
    flood(10, true);
}

/* A neighbour that never answered does not stay for being asked for again and again. */
Test(arp, attack_the_oldest_question_makes_room) {
    cr_assert_eq(resolve_freeing(PEER_ADDR, S), NET_HELD);
    for (uint32_t i = 0; i < ARP_UNANSWERED; i++) {
        resolve_freeing(PEER_ADDR, S);
        resolve_freeing(nth(0xc6130000, i), S);
    }
    cr_expect_eq(input(packet(2, peer_mac, PEER_ADDR, OUR_ADDR), S), -NET_DROP_ARP_UNSOLICITED, "forgotten");
    free_all(out, poll(S));
    cr_expect_eq(n_expired, ARP_WAITING_PACKETS, "what waited for it comes back");
    free_all(expired, n_expired);
    struct arp_stats s;
    arp_table_stats(t, &s);
    cr_expect_eq(s.incomplete, ARP_UNANSWERED);
    cr_expect_eq(s.entries, ARP_UNANSWERED);
}

Test(arp, the_least_recently_used_entry_makes_room) {
    uint8_t mac[6];

    for (uint32_t i = 0; i < ARP_TABLE_ENTRIES; i++)
        make_live(rte_cpu_to_be_32(0xc6130000 + i), peer_mac, S);
    expect_mac(rte_cpu_to_be_32(0xc6130000), peer_mac, S); /* used: the second one is the oldest now */
    make_live(PEER_ADDR, peer_mac, S);
    expect_mac(rte_cpu_to_be_32(0xc6130000), peer_mac, S);
    struct rte_mbuf *m = fixture_mbuf(frames, NULL, 10);
    cr_expect_eq(arp_resolve(t, rte_cpu_to_be_32(0xc6130001), m, S, mac), NET_HELD, "gone");
}

Test(arp, poll_is_bounded_by_room_and_survives_an_empty_pool) {
    uint8_t mac[6];
    struct rte_mempool *empty = fixture_pool("empty", 1);
    struct rte_mbuf *hog = rte_pktmbuf_alloc(empty);

    for (uint16_t i = 0; i < 10; i++)
        cr_assert_eq(arp_resolve(t, PEER_ADDR, fixture_mbuf(frames, NULL, 10), S, mac), NET_HELD);
    cr_expect_eq(arp_poll(t, &interface, empty, S, out, OUT, expired, &n_expired), 0);
    rte_pktmbuf_free(hog);
    free_all(out, poll(S));
    cr_assert_eq(input(packet(2, peer_mac, PEER_ADDR, OUR_ADDR), S), NET_DONE);
    for (int i = 0; i < 4; i++) {
        uint16_t n = arp_poll(t, &interface, frames, S, out, 3, expired, &n_expired);
        cr_expect_eq(n, i < 3 ? 3 : 1);
        free_all(out, n);
    }
    cr_expect_eq(poll(S), 0);
}

/* The gateway of the configuration: no question, no answer that changes it, no flood that pushes it out. */
Test(arp, attack_a_pinned_gateway_stays) {
    arp_pin(t, OTHER_ADDR, peer_mac);
    expect_mac(OTHER_ADDR, peer_mac, S);
    cr_expect_eq(poll(S), 0, "nobody is asked");
    cr_expect_eq(input(packet(2, thief_mac, OTHER_ADDR, OUR_ADDR), S), -NET_DROP_ARP_UNSOLICITED);
    expect_mac(OTHER_ADDR, peer_mac, 10 * ARP_REACHABLE_US);
    cr_expect_eq(poll(10 * ARP_REACHABLE_US), 0);
    for (uint32_t i = 0; i < 2 * ARP_TABLE_ENTRIES; i++) {
        make_live(IP(198, 18, 4 + (i >> 8), i & 0xff), thief_mac, S + i * 100ull);
    }
    expect_mac(OTHER_ADDR, peer_mac, S);
}

Test(arp, gratuitous) {
    struct rte_mbuf *m = arp_gratuitous(&interface, 1, frames);

    cr_expect_arr_eq(frame_eth(m)->dst, all_macs, 6);
    cr_expect_eq(arp_of(m)->operation_be, RTE_BE16(1));
    cr_expect_eq(arp_of(m)->sender_addr_be, OUR_ADDR_2);
    cr_expect_eq(arp_of(m)->target_addr_be, OUR_ADDR_2);
    rte_pktmbuf_free(m);
}
