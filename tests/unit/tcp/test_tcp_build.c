/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <criterion/criterion.h>

static struct tcp_core *core;
static tcp_id id;

static struct rte_mbuf *one(void) {
    struct rte_mbuf *m[2];
    cr_assert_eq(tcp_output(core, m, 2, core->now_us), 1);
    return m[0];
}

static void open_flow(bool multi_seg, bool hw) {
    core = harness_core(NULL);
    struct tcp_port *p = tcp_core_port(core, 0);
    id = establish(core, NULL);
    p->multi_seg = multi_seg;
    p->hw_ip_cksum = p->hw_tcp_cksum = hw;
}

Test(tcp_build, small_payload_is_copied) {
    for (int multi = 0; multi < 2; multi++) {
        open_flow(multi, false);
        send_bytes(core, id, TCP_COPY_MAX);
        struct rte_mbuf *m = one();
        cr_assert(m->nb_segs == 1 && m->pkt_len == 40 + TCP_COPY_MAX && m->port == 0);
        cr_assert(m->l2_len == 14 && m->l3_len == 20 && m->l4_len == 20);
        cr_assert_eq(rte_pktmbuf_headroom(m), RTE_PKTMBUF_HEADROOM);
        rte_pktmbuf_free(m);
        harness_core_free(core);
    }
}

Test(tcp_build, large_payload_is_attached) {
    open_flow(true, false);
    send_bytes(core, id, 1000);
    const struct rte_mbuf *queued = tcp_conn_of(core, id)->tx.head;
    struct rte_mbuf *m = one();
    cr_assert(m->nb_segs == 2 && m->data_len == 40 && m->pkt_len == 1040);
    cr_assert(RTE_MBUF_CLONED(m->next) && rte_pktmbuf_mtod(m->next, void *) == rte_pktmbuf_mtod(queued, void *));
    cr_assert_not(rope_mbuf_private(queued), "nobody writes into what is on its way");
    rte_pktmbuf_free(m);
    cr_assert(rope_mbuf_private(queued));
    harness_core_free(core);
}

Test(tcp_build, single_segment_ports_get_linear_frames) {
    open_flow(false, false);
    for (unsigned i = 0; i < 4; i++) { /* a payload over several mbufs of the rope */
        struct rope r = {0};
        char bytes[300] = {0};
        rope_append(&r, harness_pool(), bytes, sizeof bytes);
        tcp_conn_send(core, id, &r);
    }
    struct rte_mbuf *m = one();
    cr_assert(m->nb_segs == 1 && m->data_len == 1240);
    rte_pktmbuf_free(m);
    harness_core_free(core);
}

Test(tcp_build, offload) {
    open_flow(true, true);
    send_bytes(core, id, 1000);
    struct rte_mbuf *m = one();
    uint64_t want = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM;
    cr_assert_eq(m->ol_flags & RTE_MBUF_F_TX_OFFLOAD_MASK, want);
    const struct wire_tcp *th = rte_pktmbuf_mtod_offset(m, const struct wire_tcp *, 20);
    cr_assert_eq(th->checksum_be, checksum_pseudo(LOCAL_ADDR, REMOTE_ADDR, IPPROTO_TCP, 1020));
    rte_pktmbuf_free(m);
    harness_core_free(core);
}

Test(tcp_build, mss_fits_a_small_mbuf) {
    core = harness_core(NULL);
    struct rte_mempool *small = rte_pktmbuf_pool_create("small", 63, 0, 0, RTE_PKTMBUF_HEADROOM + 600, SOCKET_ID_ANY);
    tcp_core_port(core, 0)->pool = small;
    tcp_core_port(core, 0)->multi_seg = false;
    cr_assert_eq(tcp_mss_towards(core, 0, 1460), 560);
    cr_assert_eq(tcp_mss_announced(core, 0), 1460);
    struct craft syn = {.mss = 1460, .has_ts = true, .ts_val = 3};
    id = establish(core, &syn);
    send_bytes(core, id, 1000);
    struct decoded d[4];
    cr_assert_eq(drain(core, d, 4), 2);
    cr_assert_eq(d[0].len, 548);
    harness_core_free(core);
    rte_mempool_free(small);
}

Test(tcp_build, scaled_window_is_rounded_up) {
    struct tcp_config config = {.rcv_buf_bytes = 1u << 20, .rcv_buf_initial_bytes = 1u << 20};
    core = harness_core(&config);
    struct craft syn = {.mss = 1460, .wscale = 1};
    id = establish(core, &syn);
    struct tcp_conn *c = tcp_conn_of(core, id);
    uint32_t edge = c->rcv_adv;
    for (unsigned i = 0; i < 40; i++) {
        struct craft f = peer_segment(core, id);
        f.len = 7;
        feed(core, &f);
        struct decoded d[2];
        if (drain(core, d, 2)) {
            uint32_t told = d[0].ack + ((uint32_t)d[0].wnd << tcp_rcv_wscale(c));
            cr_assert_not(seq_lt(told, edge), "the edge moved left by %u", edge - told);
            edge = told;
        }
    }
    harness_core_free(core);
}

/* Some devices take only so many descriptors for a frame, and how small the pieces are is the peer's choice. */
Test(tcp_build, no_more_mbufs_than_the_device_takes) {
    static const struct { uint16_t max_mbufs, mbufs; } rows[] = {{0, 4}, {4, 4}, {3, 1}};
    for (unsigned row = 0; row < WEIR_ARRAY_LEN(rows); row++) {
        open_flow(true, false);
        tcp_core_port(core, 0)->max_mbufs = rows[row].max_mbufs;
        struct rope r = {0};
        char sent[3 * 300], got[sizeof sent];
        for (unsigned i = 0; i < sizeof sent; i++)
            sent[i] = (char)(i / 3);
        for (unsigned i = 0; i < 3; i++) { /* three pieces, too long to be joined */
            struct rte_mbuf *m = rte_pktmbuf_alloc(harness_pool());
            memcpy(rte_pktmbuf_append(m, 300), sent + i * 300, 300);
            rope_push(&r, m);
        }
        tcp_conn_send(core, id, &r);
        struct rte_mbuf *m = one();
        cr_assert(m->nb_segs == rows[row].mbufs && m->pkt_len == 40 + sizeof sent);
        cr_assert_arr_eq(rte_pktmbuf_read(m, 40, sizeof got, got), sent, sizeof sent);
        rte_pktmbuf_free(m);
        harness_core_free(core);
    }
}

/* RFC 6864 4.3: the IDs of what may be cut differ, those of segments that the device makes of a large one included. */
Test(tcp_build, what_may_be_cut_has_an_id_of_its_own) {
    open_flow(true, true);
    struct tcp_port *p = tcp_core_port(core, 0);
    struct tcp_conn *c = tcp_conn_of(core, id);
    c->mss = 512;
    c->no_df = true;
    uint16_t id_next = 0;
    for (unsigned i = 0; i < 6; i++) {
        p->tso = i >= 3;
        p->tso_max = UINT16_MAX;
        p->tso_segs = 8;
        send_bytes(core, id, p->tso ? 3 * 512 : 100);
        struct rte_mbuf *m = one();
        const struct wire_ip4 *ip = rte_pktmbuf_mtod(m, const struct wire_ip4 *);
        cr_assert_eq(ip->frag_be, 0);
        cr_assert_eq(!!(m->ol_flags & RTE_MBUF_F_TX_TCP_SEG), p->tso);
        cr_assert(i == 0 || rte_be_to_cpu_16(ip->id_be) == id_next, "%u", i);
        id_next = (uint16_t)(rte_be_to_cpu_16(ip->id_be) + (p->tso ? 3 : 1));
        rte_pktmbuf_free(m);
    }
    c->mss = 1460; /* of another size it may not */
    p->tso = false;
    send_bytes(core, id, 100);
    struct rte_mbuf *m = one();
    cr_assert_eq(rte_pktmbuf_mtod(m, const struct wire_ip4 *)->frag_be, RTE_BE16(WIRE_IP4_DF));
    rte_pktmbuf_free(m);
    harness_core_free(core);
}

/* Cores of one secret: towards one address no two of them use the same ID, and none of them one again before all. */
Test(tcp_build, each_core_has_a_part_of_the_ids) {
    static const struct { uint16_t cores, segs; } rows[] = {{0, 1}, {1, 3}, {2, 1}, {3, 4}, {32, 127}};
    static uint8_t owner[UINT16_MAX + 1];
    for (unsigned row = 0; row < WEIR_ARRAY_LEN(rows); row++) {
        uint32_t cores = weir_max_u32(rows[row].cores, 1), segs = rows[row].segs;
        uint32_t round = RTE_DIM(owner) / cores / segs, wrong = 0;
        memset(owner, 0, sizeof owner);
        for (uint16_t k = 0; k < cores; k++) {
            core = harness_core(&(struct tcp_config){.core = k, .cores = rows[row].cores});
            id = establish(core, NULL);
            struct tcp_conn *c = tcp_conn_of(core, id);
            c->mss = 512;
            send_bytes(core, id, 100);
            struct rte_mbuf *m = one();
            for (uint32_t i = 0; i < 2 * round + 1; i++) { /* all that it has, and those again */
                tcp_path_unlock(core, c, m, segs * c->mss);
                uint16_t at = rte_be_to_cpu_16(rte_pktmbuf_mtod(m, const struct wire_ip4 *)->id_be);
                for (uint32_t s = 0; s < segs; s++, at++) {
                    wrong += owner[at] != (i < round ? 0 : k + 1);
                    owner[at] = (uint8_t)(k + 1);
                }
            }
            rte_pktmbuf_free(m);
            harness_core_free(core);
        }
        cr_assert_eq(wrong, 0, "%u cores, %u segments: %u", cores, segs, wrong);
    }
}
