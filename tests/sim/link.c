/* SPDX-License-Identifier: BSD-3-Clause */
#include "link.h"

#include "tso.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct packet {
    struct rte_mbuf *held; /* the sender's, with hold_tx */
    uint32_t len_bytes;
    uint8_t bytes[];
};

/* Packets under way: a heap by time of arrival, then by order of sending. */
struct under_way {
    uint64_t due_us, order;
    struct packet *packet;
};

struct sim_link {
    struct sim_link_config config;
    struct sim_link_stats stats;
    struct sim_rng rng;
    struct under_way *heap;
    uint32_t n, room;
    uint64_t order;
    uint64_t wire_free_us;
    sim_link_tap tap;
    void *tap_context;
    struct rte_mempool *tso_pool; /* NULL: the device cuts nothing */
};

uint32_t sim_sum(const uint8_t *bytes, uint32_t len_bytes, uint32_t sum) {
    for (uint32_t i = 0; i + 1 < len_bytes; i += 2)
        sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
    return len_bytes & 1 ? sum + ((uint32_t)bytes[len_bytes - 1] << 8) : sum;
}

uint16_t sim_fold(uint32_t sum) {
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static bool earlier(const struct under_way *a, const struct under_way *b) {
    return a->due_us != b->due_us ? a->due_us < b->due_us : a->order < b->order;
}

static void heap_push(struct sim_link *l, uint64_t due_us, struct packet *packet) {
    if (l->n == l->room) {
        l->room = l->room ? 2 * l->room : 64;
        l->heap = realloc(l->heap, l->room * sizeof(*l->heap));
        if (!l->heap)
            abort();
    }
    struct under_way u = {due_us, l->order++, packet};
    uint32_t i = l->n++;
    for (; i > 0 && earlier(&u, &l->heap[(i - 1) / 2]); i = (i - 1) / 2)
        l->heap[i] = l->heap[(i - 1) / 2];
    l->heap[i] = u;
}

static struct packet *heap_pop(struct sim_link *l) {
    struct packet *first = l->heap[0].packet;
    struct under_way u = l->heap[--l->n];
    uint32_t i = 0;
    for (uint32_t child; (child = 2 * i + 1) < l->n; i = child) {
        if (child + 1 < l->n && earlier(&l->heap[child + 1], &l->heap[child]))
            child++;
        if (!earlier(&l->heap[child], &u))
            break;
        l->heap[i] = l->heap[child];
    }
    l->heap[i] = u;
    return first;
}

static struct packet *packet_new(const void *bytes, uint32_t len_bytes) {
    struct packet *p = malloc(sizeof(*p) + len_bytes);
    if (!p)
        abort();
    p->held = NULL;
    p->len_bytes = len_bytes;
    if (bytes)
        memcpy(p->bytes, bytes, len_bytes);
    return p;
}

static void packet_free(struct packet *p) {
    rte_pktmbuf_free(p->held);
    free(p);
}

struct sim_link *sim_link_new(const struct sim_link_config *config, uint64_t seed) {
    struct sim_link *l = calloc(1, sizeof(*l));
    if (!l)
        abort();
    l->config = *config;
    sim_rng_seed(&l->rng, seed);
    return l;
}

void sim_link_free(struct sim_link *l) {
    for (uint32_t i = 0; i < l->n; i++)
        packet_free(l->heap[i].packet);
    free(l->heap);
    free(l);
}

void sim_link_configure(struct sim_link *l, const struct sim_link_config *config) {
    l->config = *config;
}

void sim_link_set_tap(struct sim_link *l, sim_link_tap tap, void *context) {
    l->tap = tap;
    l->tap_context = context;
}

void sim_link_set_tso(struct sim_link *l, struct rte_mempool *pool) {
    l->tso_pool = pool;
}

/* What a NIC does with RTE_MBUF_F_TX_IP_CKSUM and _TCP_CKSUM: the stack has left zero in the IP checksum and the sum of
 * the pseudo-header in the TCP one, which is summed with the rest. A stack that leaves the Ethernet header to others
 * has set m->l2_len for it already, so the wire's own count says where IP begins. */
static void offload(const struct sim_link *l, const struct rte_mbuf *m, struct packet *p) {
    uint8_t *ip = p->bytes + l->config.l2_len_bytes, *tcp = ip + m->l3_len;
    if (m->ol_flags & RTE_MBUF_F_TX_IP_CKSUM) {
        uint16_t sum = sim_fold(sim_sum(ip, m->l3_len, 0));
        ip[10] = (uint8_t)(sum >> 8);
        ip[11] = (uint8_t)sum;
    }
    if ((m->ol_flags & RTE_MBUF_F_TX_L4_MASK) == RTE_MBUF_F_TX_TCP_CKSUM) {
        uint16_t sum = sim_fold(sim_sum(tcp, (uint32_t)(p->bytes + p->len_bytes - tcp), 0));
        tcp[16] = (uint8_t)(sum >> 8);
        tcp[17] = (uint8_t)sum;
    }
}

static bool well_formed(const struct sim_link *l, const struct rte_mbuf *m) {
    const char *reason;
    return rte_mbuf_check(m, 1, &reason) == 0 && m->pkt_len >= l->config.l2_len_bytes + 20u &&
           !(l->config.single_seg && m->nb_segs != 1);
}

static struct packet *packet_of(const struct rte_mbuf *m) {
    struct packet *p = packet_new(NULL, m->pkt_len);
    const void *linear = rte_pktmbuf_read(m, 0, m->pkt_len, p->bytes);
    if (linear != p->bytes)
        memcpy(p->bytes, linear, m->pkt_len);
    return p;
}

static void corrupt(struct sim_link *l, struct packet *p) {
    uint32_t at = l->config.l2_len_bytes + sim_rng_below(&l->rng, p->len_bytes - l->config.l2_len_bytes);
    p->bytes[at] ^= (uint8_t)(1 + sim_rng_below(&l->rng, 255));
    l->stats.corrupted++;
}

static void mark(struct sim_link *l, struct packet *p) {
    uint8_t *ip = p->bytes + l->config.l2_len_bytes;
    if ((ip[1] & 3) == 0) /* not ECN-capable */
        return;
    ip[1] |= 3;
    memset(ip + 10, 0, 2);
    uint16_t sum = sim_fold(sim_sum(ip, (ip[0] & 15u) * 4, 0));
    ip[10] = (uint8_t)(sum >> 8);
    ip[11] = (uint8_t)sum;
    l->stats.marked++;
}

/* The time it is on the wire, or SIM_LINK_NEVER where the queue before the wire is full. */
static uint64_t serialize(struct sim_link *l, uint32_t len_bytes, uint64_t now_us) {
    const struct sim_link_config *c = &l->config;
    if (!c->bytes_per_s)
        return now_us;
    if (l->wire_free_us < now_us)
        l->wire_free_us = now_us;
    uint64_t waiting_bytes = (l->wire_free_us - now_us) * c->bytes_per_s / 1000000;
    if (c->queue_bytes && waiting_bytes + len_bytes > c->queue_bytes)
        return SIM_LINK_NEVER;
    l->wire_free_us += (uint64_t)len_bytes * 1000000 / c->bytes_per_s;
    return l->wire_free_us;
}

/* Is the copy another than what the sender's mbufs hold? */
static bool differs(const struct packet *p) {
    uint32_t offset = 0;
    for (const struct rte_mbuf *s = p->held; s; offset += s->data_len, s = s->next)
        if (memcmp(rte_pktmbuf_mtod(s, const uint8_t *), p->bytes + offset, s->data_len) != 0)
            return true;
    return false;
}

static void carry(struct sim_link *l, struct rte_mbuf *m, uint64_t now_us) {
    const struct sim_link_config *c = &l->config;
    l->stats.sent++;
    if (!well_formed(l, m)) {
        l->stats.malformed++;
        rte_pktmbuf_free(m);
        return;
    }
    struct packet *p = packet_of(m);
    offload(l, m, p);
    /* Every draw takes place for every packet: changing one chance leaves the others' stream as it was. */
    bool loss = sim_rng_chance(&l->rng, c->loss_ppm), dup = sim_rng_chance(&l->rng, c->dup_ppm);
    bool late = sim_rng_chance(&l->rng, c->reorder_ppm), bad = sim_rng_chance(&l->rng, c->corrupt_ppm);
    bool congested = sim_rng_chance(&l->rng, c->mark_ppm);
    uint32_t late_us = 1 + sim_rng_below(&l->rng, c->reorder_us), dup_us = 1 + sim_rng_below(&l->rng, c->reorder_us);
    bool pass = !l->tap || l->tap(l->tap_context, p->bytes + c->l2_len_bytes, p->len_bytes - c->l2_len_bytes);
    uint64_t wire_us = pass && !loss ? serialize(l, p->len_bytes, now_us) : SIM_LINK_NEVER;
    if (wire_us == SIM_LINK_NEVER) {
        (!pass ? &l->stats.filtered : loss ? &l->stats.lost : &l->stats.queue_full)[0]++;
        packet_free(p);
        rte_pktmbuf_free(m);
        return;
    }
    if (congested)
        mark(l, p);
    if (dup) {
        l->stats.duplicated++;
        heap_push(l, wire_us + c->delay_us + dup_us, packet_new(p->bytes, p->len_bytes));
    }
    l->stats.reordered += late;
    if (bad)
        corrupt(l, p);
    p->held = c->hold_tx ? m : NULL;
    if (!p->held || differs(p)) { /* the copy was changed on purpose: nothing to compare it with later */
        p->held = NULL;
        rte_pktmbuf_free(m);
    }
    heap_push(l, wire_us + c->delay_us + (late ? late_us : 0), p);
}

/* A segment that is larger than what the wire takes. */
static void carry_cut(struct sim_link *l, struct rte_mbuf *m, uint64_t now_us) {
    struct rte_mbuf *parts[SIM_TSO_PARTS];
    int n = l->tso_pool && well_formed(l, m) ? sim_tso_cut(m, l->config.l2_len_bytes, l->tso_pool, parts) : -EINVAL;
    if (n < 0) {
        (n == -ENOMEM ? &l->stats.no_mbuf : &l->stats.malformed)[0]++;
        rte_pktmbuf_free(m);
        return;
    }
    l->stats.cut++;
    for (int i = 0; i < n; i++)
        carry(l, parts[i], now_us);
}

void sim_link_send(struct sim_link *l, struct rte_mbuf **m, uint16_t n, uint64_t now_us) {
    for (uint16_t i = 0; i < n; i++)
        (m[i]->ol_flags & RTE_MBUF_F_TX_TCP_SEG ? carry_cut : carry)(l, m[i], now_us);
}

void sim_link_inject(struct sim_link *l, const void *packet, uint32_t len_bytes, uint64_t due_us) {
    heap_push(l, due_us, packet_new(packet, len_bytes));
}

static struct rte_mbuf *deliver(struct sim_link *l, const struct packet *p, struct rte_mempool *pool, uint16_t port) {
    if (p->held && differs(p))
        l->stats.mutated++;
    struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
    char *data = m ? rte_pktmbuf_append(m, (uint16_t)p->len_bytes) : NULL;
    if (!data) {
        rte_pktmbuf_free(m);
        l->stats.no_mbuf++;
        return NULL;
    }
    memcpy(data, p->bytes, p->len_bytes);
    m->port = port;
    m->l2_len = 0;
    if (!l->config.l2_len_bytes)
        m->l3_len = (p->bytes[0] & 15u) * 4;
    m->ol_flags = 0;
    l->stats.delivered++;
    return m;
}

uint16_t sim_link_receive(struct sim_link *l, struct rte_mempool *pool, uint16_t port, uint64_t now_us,
                          struct rte_mbuf **out, uint16_t max) {
    uint16_t n = 0;
    while (n < max && l->n > 0 && l->heap[0].due_us <= now_us) {
        struct packet *p = heap_pop(l);
        struct rte_mbuf *m = deliver(l, p, pool, port);
        if (m)
            out[n++] = m;
        packet_free(p);
    }
    return n;
}

void sim_link_walk(const struct sim_link *l, void (*visit)(void *context, const struct rte_mbuf *m), void *context) {
    for (uint32_t i = 0; i < l->n; i++)
        if (l->heap[i].packet->held)
            visit(context, l->heap[i].packet->held);
}

uint64_t sim_link_next_us(const struct sim_link *l) {
    return l->n ? l->heap[0].due_us : SIM_LINK_NEVER;
}

const struct sim_link_stats *sim_link_stats(const struct sim_link *l) {
    return &l->stats;
}
