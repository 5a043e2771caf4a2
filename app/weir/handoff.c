/* SPDX-License-Identifier: BSD-3-Clause */
#include "handoff.h"

#include "path.h"

#include <arpa/inet.h>
#include <rte_ring.h>

void handoff_packet(struct worker *w, uint16_t to, struct rte_mbuf *m) {
    enum cycles_stage before = cycles_stage(&w->cycles, CYCLES_HANDOFF);
    if (rte_ring_sp_enqueue(w->weir->rx_rings[w->index][to], m) == 0)
        w->stats.handoff_out++;
    else
        path_drop(w, m, NET_DROP_HANDOFF_FULL);
    cycles_stage(&w->cycles, before);
}

/* Questions are answered by whoever received them; only answers interest the others. */
void handoff_arp(struct worker *w, const struct rte_mbuf *m) {
    if (w->weir->n_workers == 1 || m->data_len < sizeof(struct wire_eth) + sizeof(struct wire_arp))
        return;
    const struct wire_arp *arp = rte_pktmbuf_mtod_offset(m, const struct wire_arp *, sizeof(struct wire_eth));
    if (arp->operation_be != htons(2))
        return;
    for (uint16_t to = 0; to < w->weir->n_workers; to++) {
        if (to == w->index)
            continue;
        struct rte_mbuf *copy = rte_pktmbuf_copy(m, w->ports[m->port].pool, 0, UINT32_MAX);
        if (copy == NULL) {
            w->stats.net_drops[NET_DROP_NO_MBUF]++;
            continue;
        }
        copy->port = m->port;
        copy->l2_len = m->l2_len;
        handoff_packet(w, to, copy);
    }
}

uint32_t handoff_receive(struct worker *w, struct rte_mbuf **out, uint32_t max) {
    uint32_t n = 0, n_workers = w->weir->n_workers;
    for (uint32_t i = 0; i < n_workers && n < max; i++) {
        uint32_t from =
            (w->stats.turns + i) % n_workers; /* each ring comes first in turn: a full one starves no other */
        if (from != w->index)
            n += rte_ring_sc_dequeue_burst(w->weir->rx_rings[from][w->index], (void **)(out + n), max - n, NULL);
    }
    w->stats.handoff_in += n;
    return n;
}

uint16_t handoff_transmit(struct worker *w, uint16_t to, struct rte_mbuf **frames, uint16_t n) {
    uint16_t taken = (uint16_t)rte_ring_sp_enqueue_burst(w->weir->tx_rings[w->index][to], (void **)frames, n, NULL);
    w->stats.return_out += taken;
    return taken;
}

uint32_t handoff_returns(struct worker *w) {
    struct rte_mbuf *m[32];
    uint32_t total = 0;
    for (uint16_t from = 0; from < w->weir->n_workers; from++) {
        if (from == w->index)
            continue;
        uint32_t n = rte_ring_sc_dequeue_burst(w->weir->tx_rings[from][w->index], (void **)m, WEIR_ARRAY_LEN(m), NULL);
        for (uint32_t i = 0; i < n; i++)
            path_send_frame(w, m[i]->port, m[i]);
        total += n;
    }
    return total;
}
