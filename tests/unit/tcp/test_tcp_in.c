/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <criterion/criterion.h>

static struct wire_tcp *tcp_header(struct rte_mbuf *m) {
    return rte_pktmbuf_mtod_offset(m, struct wire_tcp *, 34);
}

Test(tcp_in, malformed_segments_have_names) {
    struct tcp_core *core = harness_core(NULL);
    struct craft f = {.seq = 1, .flags = WIRE_TCP_SYN, .wnd = 100};
    static const struct {
        uint8_t flags;
        int verdict;
    } flags[] = {{0, -TCP_DROP_FLAGS},
                 {WIRE_TCP_PSH | WIRE_TCP_URG, -TCP_DROP_FLAGS},
                 {WIRE_TCP_SYN | WIRE_TCP_FIN, -TCP_DROP_FLAGS},
                 {WIRE_TCP_SYN | WIRE_TCP_RST, -TCP_DROP_FLAGS},
                 {0xff, -TCP_DROP_FLAGS}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(flags); i++) {
        f.flags = flags[i].flags;
        cr_assert_eq(feed(core, &f), flags[i].verdict);
    }
    f.flags = WIRE_TCP_SYN;
    for (unsigned words = 0; words < 16; words++) {
        struct rte_mbuf *m = craft(&f);
        tcp_header(m)->data_offset = (uint8_t)(words << 4);
        cr_assert_eq(feed_mbuf(core, m), words == 5 ? -TCP_DROP_NO_FLOW : -TCP_DROP_DATA_OFFSET);
    }
    struct rte_mbuf *m = craft(&f);
    rte_pktmbuf_trim(m, 1);
    cr_assert_eq(feed_mbuf(core, m), -TCP_DROP_SHORT);
    m = craft(&f);
    tcp_header(m)->sport_be = 0;
    cr_assert_eq(feed_mbuf(core, m), -TCP_DROP_PORT_ZERO);
    m = craft(&f);
    m->port = TCP_MAX_PORTS;
    cr_assert_eq(feed_mbuf(core, m), -TCP_DROP_BAD_PORT);
    f.has_ts = true;
    m = craft(&f);
    ((uint8_t *)(tcp_header(m) + 1))[3] = 0;
    cr_assert_eq(feed_mbuf(core, m), -TCP_DROP_OPTION);
    cr_assert_eq(core->stats.drops[TCP_DROP_FLAGS], WEIR_ARRAY_LEN(flags));
    cr_assert_eq(core->stats.drops[TCP_DROP_DATA_OFFSET], 15);
    harness_core_free(core);
}

Test(tcp_in, checksum) {
    harness_eal();
    struct craft f = {.seq = 1, .flags = WIRE_TCP_ACK, .len = 101};
    struct rte_mbuf *m = craft(&f);
    cr_assert_eq(tcp_validate(m), 0);
    tcp_header(m)->window_be ^= 1;
    cr_assert_eq(tcp_validate(m), -NET_DROP_TCP_CHECKSUM);
    m->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_NONE; /* virtio: not verified but intact */
    cr_assert_eq(tcp_validate(m), 0);
    m->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_GOOD;
    cr_assert_eq(tcp_validate(m), 0);
    m->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_BAD;
    cr_assert_eq(tcp_validate(m), -NET_DROP_TCP_CHECKSUM);
    tcp_header(m)->data_offset = 0x40;
    cr_assert_eq(tcp_validate(m), -NET_DROP_TCP_SHORT);
    rte_pktmbuf_free(m);
}

/* SYN, its handshake's end, data and RST of a second flow in one burst: the bulk lookup cannot know them. */
Test(tcp_in, flows_come_and_go_within_a_burst) {
    struct tcp_core *core = harness_core(NULL);
    tcp_id first = establish(core, NULL);
    struct craft rst = peer_segment(core, first);
    rst.flags = WIRE_TCP_RST;
    struct craft syn = {.seq = 5000, .flags = WIRE_TCP_SYN, .wnd = 100, .mss = 1460};
    struct craft late = {.seq = 5001, .flags = WIRE_TCP_ACK, .wnd = 100, .ack = 1};
    struct rte_mbuf *m[3] = {craft(&rst), craft(&syn), craft(&late)};
    int16_t verdicts[3];
    tcp_input_burst(core, m, 3, core->now_us, verdicts);
    cr_assert_eq(verdicts[0], TCP_SEG_FREE);
    cr_assert_eq(verdicts[1], TCP_SEG_FREE);
    cr_assert_eq(verdicts[2], -TCP_DROP_ACK_UNACCEPTABLE, "it found the new flow");
    cr_assert_eq(core->stats.by_state[TCP_SYN_RECEIVED], 1);
    cr_assert_eq(core->stats.by_state[TCP_CLOSED], 1, "the first waits for its owner");
    for (int i = 0; i < 3; i++)
        rte_pktmbuf_free(m[i]);
    tcp_conn_release(core, first);
    harness_core_free(core);
}

Test(tcp_in, prediction) {
    struct tcp_core *core = harness_core(NULL);
    struct craft syn = {.mss = 1460, .has_ts = true, .ts_val = 100};
    tcp_id id = establish(core, &syn);
    uint64_t before = core->stats.predicted_in;
    struct craft f = peer_segment(core, id);
    f.len = 1000;
    cr_assert_eq(feed(core, &f), TCP_SEG_KEPT);
    cr_assert_eq(core->stats.predicted_in, before + 1);
    cr_assert_eq(tcp_conn_rx(core, id)->len_bytes, 1000);
    f.seq += 1001; /* out of order */
    feed(core, &f);
    cr_assert_eq(core->stats.predicted_in, before + 1);
    cr_assert_eq(core->stats.bytes_in, 1000);
    cr_assert_eq(tcp_conn_of(core, id)->ts_recent, f.ts_val);
    harness_core_free(core);
}

/* A chain whose second segment begins within the payload, and one that is cut into single bytes there. */
Test(tcp_in, payload_over_several_mbufs) {
    struct tcp_core *core = harness_core(NULL);
    tcp_id id = establish(core, NULL);
    struct craft f = peer_segment(core, id);
    f.len = 10;
    f.seq -= 3; /* three old bytes lead, two of them alone in the first mbuf */
    struct rte_mbuf *m = craft(&f), *rest = rte_pktmbuf_alloc(harness_pool());
    memcpy(rte_pktmbuf_append(rest, 8), rte_pktmbuf_mtod_offset(m, uint8_t *, m->data_len - 8), 8);
    rte_pktmbuf_trim(m, 8);
    rte_pktmbuf_chain(m, rest);
    cr_assert_eq(feed_mbuf(core, m), TCP_SEG_KEPT);
    struct rope *rx = tcp_conn_rx(core, id);
    uint8_t got[7];
    cr_assert_eq(rx->len_bytes, 7);
    rope_copy(rx, 0, got, 7);
    for (unsigned i = 0; i < 7; i++)
        cr_assert_eq(got[i], pattern_at(1001 + i));
    harness_core_free(core);
}

Test(tcp_in, longest_datagram_that_repeats_nearly_all) {
    struct tcp_core *core = harness_core(NULL);
    tcp_id id = establish(core, NULL);
    enum { CUT = 65490, NEW = 5 };
    struct craft f = peer_segment(core, id);
    f.seq -= CUT;
    f.len = 1000;
    f.fill = 'x';
    struct rte_mbuf *m = craft(&f), *last = m;
    for (uint32_t left = CUT + NEW - 1000; left;) {
        struct rte_mbuf *s = rte_pktmbuf_alloc(harness_pool());
        uint32_t n = weir_min_u32(left, 2000);
        memset(rte_pktmbuf_mtod(s, void *), 'x', n);
        s->data_len = (uint16_t)n;
        last->next = s;
        last = s;
        m->nb_segs++;
        m->pkt_len += n;
        left -= n;
    }
    cr_assert_eq(m->pkt_len, 14 + 65535);
    cr_assert_eq(feed_mbuf(core, m), TCP_SEG_KEPT);
    char got[NEW + 1] = {0};
    cr_assert_eq(rope_copy(tcp_conn_rx(core, id), 0, got, NEW), NEW);
    cr_assert_str_eq(got, "xxxxx");
    harness_core_free(core);
}
