/* SPDX-License-Identifier: BSD-3-Clause */
/* Between device queues and links, and what goes wrong there. */
#include "sim.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define BURST 64u

/* --- wires --- */

void sim_wire_open(struct sim *sim) {
    for (unsigned side = 0; side < 2; side++) {
        struct sim_host *h = &sim->host[side];
        struct sim_link_config c = sim->setup.link;
        c.l2_len_bytes = sizeof(struct wire_eth);
        h->to_weir = sim_link_new(&c, sim->setup.seed * 4 + side);
        c.single_seg = !sim->setup.multi_seg;
        c.hold_tx = sim->setup.hold_tx;
        h->to_host = sim_link_new(&c, sim->setup.seed * 4 + 2 + side);
        c.corrupt_ppm = 0;
        c.hold_tx = false;
        h->to_weir_arp = sim_link_new(&c, sim->setup.seed * 4 + side + 100);
        h->to_host_arp = sim_link_new(&c, sim->setup.seed * 4 + side + 200);
    }
}

void sim_wire_close(struct sim *sim) {
    for (unsigned side = 0; side < 2; side++) {
        struct sim_host *h = &sim->host[side];
        sim_link_free(h->to_weir);
        sim_link_free(h->to_host);
        sim_link_free(h->to_weir_arp);
        sim_link_free(h->to_host_arp);
    }
    for (unsigned q = 0; q < 2 * SIM_WORKERS; q++) {
        const struct sim_queue *queue = sim_weir_queue(q / SIM_WORKERS, q % SIM_WORKERS);
        void *m;
        while (rte_ring_dequeue(queue->rx, &m) == 0 || rte_ring_dequeue(queue->tx, &m) == 0)
            rte_pktmbuf_free(m);
    }
}

bool sim_wire_clean(const struct sim *sim, char *text, size_t room) {
    for (unsigned side = 0; side < 2; side++) {
        const struct sim_link_stats *s = sim_link_stats(sim->host[side].to_host);
        if (s->malformed || s->mutated) {
            snprintf(text, room, "; side %u: %lu malformed frames sent, %lu written to while under way", side,
                     (unsigned long)s->malformed, (unsigned long)s->mutated);
            return false;
        }
    }
    return true;
}

static uint32_t queue_of(struct sim *sim, const struct rte_mbuf *m) {
    const struct wire_eth *eth = rte_pktmbuf_mtod(m, const struct wire_eth *);
    const struct wire_ip4 *ip = (const struct wire_ip4 *)(eth + 1);
    if (sim->setup.n_queues == 1)
        return 0;
    if (sim->setup.per_packet)
        return sim_rng_below(&sim->rng, sim->setup.n_queues);
    if (eth->type_be != RTE_BE16(WIRE_ETH_IP4) || m->data_len < 54)
        return 0;
    const uint16_t *ports = (const uint16_t *)(ip + 1);
    const struct steer *s = &sim->weir.steer;
    if (sim->setup.steered && ip->proto == IPPROTO_TCP)
        return steer_owner(s, steer_hash4(s, ip->saddr_be, ip->daddr_be, ports[0], ports[1]));
    return (uint32_t)(ports[0] ^ ports[1] ^ ip->saddr_be ^ ip->daddr_be) * 0x9e3779b1u >> 31;
}

/* As a NIC does it: a fresh buffer of the queue's pool, or the packet is lost. */
static void into_queue(struct sim *sim, unsigned side, const struct rte_mbuf *m) {
    uint32_t q = queue_of(sim, m);
    struct rte_mbuf *fresh = rte_pktmbuf_alloc(sim_weir_pool(side, q));
    char *data = fresh ? rte_pktmbuf_append(fresh, m->data_len) : NULL;
    if (data == NULL) {
        rte_pktmbuf_free(fresh);
        return;
    }
    memcpy(data, rte_pktmbuf_mtod(m, const char *), m->data_len);
    if (rte_ring_enqueue(sim_weir_queue(side, q)->rx, fresh) != 0)
        rte_pktmbuf_free(fresh);
}

static uint32_t link_in(struct sim *sim, unsigned side, struct sim_link *link) {
    struct rte_mbuf *m[BURST];
    uint32_t total = 0;
    uint16_t n;
    do {
        n = sim_link_receive(link, sim->host[side].pool, 0, sim->now_us, m, BURST);
        for (uint16_t i = 0; i < n; i++) {
            into_queue(sim, side, m[i]);
            rte_pktmbuf_free(m[i]);
        }
        total += n;
    } while (n == BURST);
    return total;
}

uint32_t sim_wire_in(struct sim *sim) {
    uint32_t total = 0;
    for (unsigned side = 0; side < 2; side++)
        total += link_in(sim, side, sim->host[side].to_weir) + link_in(sim, side, sim->host[side].to_weir_arp);
    return total;
}

static void onto_link(struct sim *sim, unsigned side, struct rte_mbuf *m) {
    struct sim_host *h = &sim->host[side];
    const struct wire_eth *eth = rte_pktmbuf_mtod(m, const struct wire_eth *);
    if (sim->dark & 1u << side) {
        rte_pktmbuf_free(m);
        return;
    }
    sim_link_send(eth->type_be == RTE_BE16(WIRE_ETH_ARP) ? h->to_host_arp : h->to_host, &m, 1, sim->now_us);
}

uint32_t sim_wire_out(struct sim *sim) {
    uint32_t total = 0;
    for (unsigned q = 0; q < 2 * SIM_WORKERS; q++) {
        struct rte_mbuf *m[BURST];
        uint32_t n;
        if (sim->stuck & 1u << q)
            continue;
        const struct sim_queue *queue = sim_weir_queue(q / SIM_WORKERS, q % SIM_WORKERS);
        while ((n = rte_ring_dequeue_burst(queue->tx, (void **)m, BURST, NULL)) != 0) {
            for (uint32_t i = 0; i < n; i++)
                onto_link(sim, q / SIM_WORKERS, m[i]);
            total += n;
        }
    }
    return total;
}

/* --- faults --- */

static struct rte_mempool *famine_pool(const struct sim *sim, const struct sim_fault *f) {
    return sim_weir_pool(f->target % 2, f->target / 2 % sim->setup.n_workers);
}

static void famine(struct sim *sim, struct sim_fault *f, bool on) {
    if (f->taken == NULL) {
        f->taken = calloc(SIM_MBUFS, sizeof(struct rte_mbuf *));
        if (f->taken == NULL)
            abort();
    }
    while (on && f->n_taken < SIM_MBUFS && (f->taken[f->n_taken] = rte_pktmbuf_alloc(famine_pool(sim, f))) != NULL)
        f->n_taken++;
    if (on)
        return;
    while (f->n_taken > 0)
        rte_pktmbuf_free(f->taken[--f->n_taken]);
    free(f->taken);
    f->taken = NULL;
}

static void set_bit(uint32_t *bits, uint32_t i, bool on) {
    *bits = on ? *bits | 1u << i : *bits & ~(1u << i);
}

/* A stranger's frame: noise, or a packet that is right up to a point. */
static void noise(struct sim *sim, uint32_t side) {
    struct sim_host *h = &sim->host[side];
    uint8_t frame[256];
    uint32_t len = 14 + sim_rng_below(&sim->rng, sizeof(frame) - 14), shape = sim_rng_below(&sim->rng, 4);
    for (uint32_t i = 0; i < len; i++)
        frame[i] = (uint8_t)sim_rng_next(&sim->rng);
    memcpy(frame, sim->weir.ports.port[side].ifc.mac, 6);
    frame[6] &= 0xfe;
    frame[12] = 8;
    frame[13] = 0;
    if (shape > 0 && len >= 60) {
        uint8_t *ip = frame + 14, *tcp = ip + 20;
        memcpy(ip, "\x45\0\0\0\0\1\0\0\x40\6\0\0\xc6\x12", 14);
        ip[2] = 0;
        ip[3] = (uint8_t)(len - 14);
        ip[6] = shape == 1 ? 0x20 : 0; /* a first fragment of nothing that follows */
        ip[9] = sim_rng_below(&sim->rng, 2) ? IPPROTO_TCP : IPPROTO_UDP;
        ip[14] = (uint8_t)side;
        ip[15] = (uint8_t)(100 + sim_rng_below(&sim->rng, 100)); /* nobody is there */
        memcpy(ip + 16, &sim->weir.ports.port[side].ifc.addrs[0].addr_be, 4);
        tcp[2] = (uint8_t)(SIM_MQTTS >> 8);
        tcp[3] = (uint8_t)SIM_MQTTS;
        if (shape == 3) { /* SYN */
            tcp[12] = 0x50;
            tcp[13] = 2;
        }
        uint16_t sum = sim_fold(sim_sum(ip, 20, 0));
        ip[10] = (uint8_t)(sum >> 8);
        ip[11] = (uint8_t)sum;
        uint32_t at = ip[9] == IPPROTO_TCP ? 16 : 6, l4 = len - 34;
        if (ip[9] == IPPROTO_UDP) {
            tcp[4] = 0;
            tcp[5] = (uint8_t)l4;
        }
        tcp[at] = tcp[at + 1] = 0;
        sum = sim_fold(sim_sum(tcp, l4, sim_sum(ip + 12, 8, ip[9] + l4)));
        tcp[at] = (uint8_t)(sum >> 8);
        tcp[at + 1] = (uint8_t)sum;
    }
    sim->strangers = true;
    sim_link_inject(h->to_weir, frame, len, sim->now_us);
}

static void apply(struct sim *sim, struct sim_fault *f, bool on) {
    bool turned = f->on != on;
    uint32_t server = f->target % sim->setup.n_servers;
    f->on = on;
    switch (f->kind) {
    case SIM_FAULT_FAMINE:
        if (on || turned)
            famine(sim, f, on);
        break;
    case SIM_FAULT_TX_STUCK:
        set_bit(&sim->stuck, f->target % 2 * SIM_WORKERS + f->target / 2 % sim->setup.n_queues, on);
        break;
    case SIM_FAULT_SLEEP:
        set_bit(&sim->asleep, f->target % sim->setup.n_workers, on);
        break;
    case SIM_FAULT_BLACKOUT:
        set_bit(&sim->dark, f->target % 2, on);
        break;
    case SIM_FAULT_SERVER_REFUSES:
        if (turned)
            tcp_listen_accepting(sim->host[1].tcp, (uint16_t)server, !on);
        break;
    case SIM_FAULT_SERVER_SILENT:
        set_bit(&sim->host[1].silent, server, on);
        break;
    case SIM_FAULT_NOISE:
        if (on && sim_rng_below(&sim->rng, 4) == 0)
            noise(sim, f->target % 2);
        break;
    case SIM_FAULT_SERVER_STALLS:
        set_bit(&sim->stalls, server, on);
        break;
    case SIM_FAULT_SERVER_WRONG:
        set_bit(&sim->wrong[f->target / sim->setup.n_servers % SIM_WRONG_CERTS], server, on);
        break;
    case SIM_FAULT_COUNT:
        break;
    }
    if (turned)
        sim_note(sim, "fault %d of %u %s", f->kind, f->target, on ? "begins" : "ends");
}

void sim_faults_run(struct sim *sim) {
    for (uint32_t i = 0; i < sim->setup.n_faults; i++) {
        struct sim_fault *f = &sim->setup.faults[i];
        bool on = sim_elapsed(sim) >= f->from_us && sim_elapsed(sim) < f->to_us;
        if (on || f->on)
            apply(sim, f, on);
    }
}

void sim_faults_end(struct sim *sim) {
    for (uint32_t i = 0; i < sim->setup.n_faults; i++)
        if (sim->setup.faults[i].on)
            apply(sim, &sim->setup.faults[i], false);
}

/* --- when something happens next --- */

uint64_t sim_next_us(const struct sim *sim, uint64_t limit_us) {
    uint64_t next_us = limit_us;
    for (unsigned side = 0; side < 2; side++) {
        const struct sim_host *h = &sim->host[side];
        const struct sim_link *links[] = {h->to_weir, h->to_host, h->to_weir_arp, h->to_host_arp};
        for (unsigned i = 0; i < WEIR_ARRAY_LEN(links); i++)
            if (sim_link_next_us(links[i]) < next_us)
                next_us = sim_link_next_us(links[i]);
    }
    for (uint32_t i = 0; i < sim->setup.n_faults; i++) {
        const struct sim_fault *f = &sim->setup.faults[i];
        uint64_t at_us = sim->start_us + (f->on ? f->to_us : f->from_us);
        if (at_us > sim->now_us && at_us < next_us)
            next_us = at_us;
    }
    return next_us > sim->now_us + 20 ? next_us : sim->now_us + 20;
}
