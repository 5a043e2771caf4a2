/* SPDX-License-Identifier: BSD-3-Clause */
/* Only an answer to a question that is still open changes the table: requests and unasked-for replies teach nothing,
 * since anybody on the link can send them.
 *
 * An address goes  (new) -> ASKING -> REACHABLE -> PROBING -> REACHABLE
 *                              \                     \ no answer
 *                               `-----> SILENT <------'     (refused for ARP_NEGATIVE_US, then asked again)
 * PINNED by configuration: never asked for, never changed, never evicted.
 * ASKING broadcasts, packets wait. PROBING still hands out the MAC; its first question is unicast (RFC 1122 2.3.2.1).
 *
 * Addresses that have not answered (ASKING, SILENT) are at most ARP_UNANSWERED of the entries. A new one takes the
 * place of the one first asked for longest ago, however often it was asked for since: a neighbour that is there answers
 * within milliseconds, so whoever floods us with addresses that nobody has displaces its own. Were new ones refused
 * instead, no neighbour could come up while the flood lasts. All others make room by least recent use.
 *
 * Entries with something to do (a question due, packets ready, packets to give up) are on the busy list; arp_poll takes
 * at most POLL_ENTRIES from its head and puts unfinished ones behind its tail, so a turn's work is bounded and an idle
 * table costs nothing. All lists link by 2-byte index; 0 ends them. */
#include "net_int.h"

#include <rte_malloc.h>
#include <rte_random.h>

#define BUCKETS      1024
#define POLL_ENTRIES 32
#define EVICT_STEPS  64 /* entries looked at from the least recently used on */

#define OPERATION_REQUEST 1
#define OPERATION_REPLY   2

enum entry_state { FREE, ASKING, REACHABLE, PROBING, SILENT, PINNED };

struct entry {
    uint32_t addr_be;
    uint8_t mac[6];
    uint8_t state; /* enum entry_state */
    uint8_t tries; /* questions sent since ASKING or PROBING began */
    uint16_t bucket_next;
    uint16_t next, prev; /* in its list of the table */
    uint16_t busy_next;
    bool busy;
    uint8_t n_waiting;
    uint16_t waiting_first, waiting_last;
    uint64_t due_us; /* ASKING, PROBING: next question. REACHABLE: ask again from then on. SILENT: refused until then */
};

struct waiter {
    struct rte_mbuf *m;
    uint16_t next;
};

struct list {
    uint16_t first, last;
};

struct arp_table {
    uint64_t secret;
    uint16_t buckets[BUCKETS];
    struct list known;      /* REACHABLE, PROBING, PINNED: most recently used first */
    struct list unanswered; /* ASKING, SILENT: most recently asked for first */
    uint32_t n_unanswered;
    uint16_t busy_first, busy_last;
    uint16_t free_first; /* entries, through bucket_next */
    uint16_t waiter_free;
    uint64_t asked_until_us;              /* time up to which broadcasts are spent */
    uint16_t orphans_first, orphans_last; /* waiters whose entry had to go: the next polls give them up */
    struct arp_stats stats;
    struct entry entries[ARP_TABLE_ENTRIES + 1];
    struct waiter waiters[ARP_WAITING_TOTAL + 1];
};

static uint16_t *bucket_of(struct arp_table *t, uint32_t addr_be) {
    uint64_t h = (addr_be ^ t->secret) * 0x9e3779b97f4a7c15ull;

    return &t->buckets[(h ^ h >> 32) * 0x9e3779b97f4a7c15ull >> 54];
}

struct arp_table *arp_table_new(const char *name, int socket_id) {
    struct arp_table *t = rte_zmalloc_socket(name, sizeof(*t), WEIR_CACHE_LINE, socket_id);

    static_assert(BUCKETS == 1 << (64 - 54), "bucket_of takes the upper 10 bits");
    if (t == NULL)
        return NULL;
    t->secret = rte_rand();
    for (uint16_t i = 1; i < ARP_TABLE_ENTRIES; i++)
        t->entries[i].bucket_next = i + 1;
    t->free_first = 1;
    for (uint16_t i = 1; i < ARP_WAITING_TOTAL; i++)
        t->waiters[i].next = i + 1;
    t->waiter_free = 1;
    return t;
}

/* The packet that has waited longest in the queue that begins with *first, or NULL. */
static struct rte_mbuf *waiter_pop(struct arp_table *t, uint16_t *first) {
    uint16_t id = *first;

    if (id == 0)
        return NULL;
    struct waiter *w = &t->waiters[id];
    struct rte_mbuf *m = w->m;
    *first = w->next;
    w->m = NULL;
    w->next = t->waiter_free;
    t->waiter_free = id;
    t->stats.waiting--;
    return m;
}

static struct rte_mbuf *waiting_pop(struct arp_table *t, struct entry *e) {
    struct rte_mbuf *m = waiter_pop(t, &e->waiting_first);

    e->n_waiting -= m != NULL;
    return m;
}

static bool waiting_push(struct arp_table *t, struct entry *e, struct rte_mbuf *m) {
    uint16_t id = t->waiter_free;

    if (e->n_waiting >= ARP_WAITING_PACKETS || id == 0)
        return false;
    t->waiter_free = t->waiters[id].next;
    t->waiters[id] = (struct waiter){.m = m};
    if (e->waiting_first)
        t->waiters[e->waiting_last].next = id;
    else
        e->waiting_first = id;
    e->waiting_last = id;
    e->n_waiting++;
    t->stats.waiting++;
    return true;
}

/* What waits for e belongs to no entry from here on. */
static void orphan(struct arp_table *t, struct entry *e) {
    if (e->n_waiting == 0)
        return;
    *(t->orphans_first ? &t->waiters[t->orphans_last].next : &t->orphans_first) = e->waiting_first;
    t->orphans_last = e->waiting_last;
    e->waiting_first = 0;
    e->n_waiting = 0;
}

void arp_table_free(struct arp_table *t) {
    struct rte_mbuf *m;

    if (t == NULL)
        return;
    for (uint16_t i = 1; i <= ARP_TABLE_ENTRIES; i++)
        orphan(t, &t->entries[i]);
    while ((m = waiter_pop(t, &t->orphans_first)) != NULL)
        rte_pktmbuf_free(m);
    rte_free(t);
}

static bool is_unanswered(uint8_t state) {
    return state == ASKING || state == SILENT;
}

static struct list *list_of(struct arp_table *t, uint8_t state) {
    if (state == FREE)
        return NULL;
    return is_unanswered(state) ? &t->unanswered : &t->known;
}

static void list_unlink(struct arp_table *t, struct list *l, uint16_t id) {
    struct entry *e = &t->entries[id];

    *(e->prev ? &t->entries[e->prev].next : &l->first) = e->next;
    *(e->next ? &t->entries[e->next].prev : &l->last) = e->prev;
}

static void list_push(struct arp_table *t, struct list *l, uint16_t id) {
    struct entry *e = &t->entries[id];

    e->prev = 0;
    e->next = l->first;
    *(l->first ? &t->entries[l->first].prev : &l->last) = id;
    l->first = id;
}

static void busy_push(struct arp_table *t, uint16_t id) {
    struct entry *e = &t->entries[id];

    if (e->busy)
        return;
    e->busy = true;
    e->busy_next = 0;
    *(t->busy_first ? &t->entries[t->busy_last].busy_next : &t->busy_first) = id;
    t->busy_last = id;
}

static uint16_t busy_pop(struct arp_table *t) {
    uint16_t id = t->busy_first;

    if (id != 0) {
        t->busy_first = t->entries[id].busy_next;
        t->entries[id].busy = false;
    }
    return id;
}

static uint16_t find(struct arp_table *t, uint32_t addr_be) {
    uint16_t id = *bucket_of(t, addr_be);

    while (id != 0 && t->entries[id].addr_be != addr_be)
        id = t->entries[id].bucket_next;
    return id;
}

static void set_state(struct arp_table *t, struct entry *e, enum entry_state state, uint64_t due_us) {
    uint16_t id = (uint16_t)(e - t->entries);
    struct list *from = list_of(t, e->state), *to = list_of(t, (uint8_t)state);

    if (from != to || state == ASKING) {
        if (from)
            list_unlink(t, from, id);
        if (to)
            list_push(t, to, id);
    }
    t->n_unanswered += (uint32_t)is_unanswered((uint8_t)state) - (uint32_t)is_unanswered(e->state);
    t->stats.incomplete += (uint32_t)(state == ASKING) - (uint32_t)(e->state == ASKING);
    e->state = (uint8_t)state;
    e->tries = 0;
    e->due_us = due_us;
}

static bool stays(const struct entry *e) {
    return e->busy || e->state == PINNED;
}

/* The entry that makes room, or 0. Of those known the ones on the busy list stay: packets wait, or they are asked. */
static uint16_t victim(struct arp_table *t) {
    uint16_t id = t->n_unanswered < ARP_UNANSWERED ? t->known.last : 0;

    for (int i = 0; id != 0 && stays(&t->entries[id]); i++)
        id = i < EVICT_STEPS ? t->entries[id].prev : 0;
    return id ? id : t->unanswered.last;
}

/* Take entry id out of the table. It keeps its place on the busy list. */
static void evict(struct arp_table *t, uint16_t id) {
    struct entry *e = &t->entries[id];
    uint16_t *link = bucket_of(t, e->addr_be);

    while (*link != id)
        link = &t->entries[*link].bucket_next;
    *link = e->bucket_next;
    orphan(t, e);
    set_state(t, e, FREE, 0);
    t->stats.entries--;
}

/* A new entry for addr_be in state ASKING. Returns its id, or 0: nobody makes room. */
static uint16_t insert(struct arp_table *t, uint32_t addr_be, uint64_t now_us) {
    uint16_t id = t->n_unanswered < ARP_UNANSWERED ? t->free_first : 0;

    if (id != 0)
        t->free_first = t->entries[id].bucket_next;
    else if ((id = victim(t)) != 0)
        evict(t, id);
    else
        return 0;
    struct entry *e = &t->entries[id];
    uint16_t *bucket = bucket_of(t, addr_be);
    *e = (struct entry){.addr_be = addr_be, .bucket_next = *bucket, .busy = e->busy, .busy_next = e->busy_next};
    *bucket = id;
    set_state(t, e, ASKING, now_us);
    t->stats.entries++;
    return id;
}

void arp_pin(struct arp_table *t, uint32_t addr_be, const uint8_t mac[6]) {
    struct entry *e = &t->entries[insert(t, addr_be, 0)];

    set_state(t, e, PINNED, 0);
    memcpy(e->mac, mac, 6);
}

int arp_resolve(struct arp_table *t, uint32_t next_hop_be, struct rte_mbuf *m, uint64_t now_us, uint8_t mac[6]) {
    uint16_t id = t->known.first; /* mostly a gateway, or the one broker */

    if (id == 0 || t->entries[id].addr_be != next_hop_be)
        id = find(t, next_hop_be);
    if (id == 0 && (id = insert(t, next_hop_be, now_us)) == 0)
        return -NET_DROP_ARP_TABLE_FULL;
    struct entry *e = &t->entries[id];
    if (t->known.first != id && !is_unanswered(e->state)) {
        list_unlink(t, &t->known, id);
        list_push(t, &t->known, id);
    }
    if (e->state == SILENT) {
        if (now_us < e->due_us)
            return -NET_DROP_ARP_UNRESOLVED;
        set_state(t, e, ASKING, now_us);
    }
    if (e->state == REACHABLE && WEIR_UNLIKELY(now_us >= e->due_us)) {
        set_state(t, e, PROBING, now_us);
        busy_push(t, id);
    }
    if (WEIR_LIKELY(e->state != ASKING)) {
        memcpy(mac, e->mac, 6);
        return NET_DONE;
    }
    busy_push(t, id);
    return waiting_push(t, e, m) ? NET_HELD : -NET_DROP_ARP_QUEUE_FULL;
}

/* RFC 826's packet for a request or a reply, from our `ifc` and addr. */
static void fill_packet(const struct net_if *ifc, struct wire_arp *arp, uint16_t operation, uint32_t our_addr_be,
                        const uint8_t target_mac[6], uint32_t target_addr_be) {
    *arp = (struct wire_arp){.hardware_be = RTE_BE16(1),
                             .protocol_be = RTE_BE16(WIRE_ETH_IP4),
                             .hardware_len = 6,
                             .protocol_len = 4,
                             .operation_be = rte_cpu_to_be_16(operation),
                             .sender_addr_be = our_addr_be,
                             .target_addr_be = target_addr_be};
    memcpy(arp->sender_mac, ifc->mac, 6);
    memcpy(arp->target_mac, target_mac, 6);
}

static void fill_eth(const struct net_if *ifc, struct wire_eth *eth, const uint8_t dst_mac[6]) {
    memcpy(eth->dst, dst_mac, 6);
    memcpy(eth->src, ifc->mac, 6);
    eth->type_be = RTE_BE16(WIRE_ETH_ARP);
}

/* A request frame for target_addr_be, to one MAC or (NULL) to all. NULL: pool empty. */
static struct rte_mbuf *request(const struct net_if *ifc, struct rte_mempool *pool, uint32_t our_addr_be,
                                uint32_t target_addr_be, const uint8_t *dst_mac) {
    static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, unknown[6];
    struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

    if (m == NULL)
        return NULL;
    struct wire_eth *eth = (struct wire_eth *)rte_pktmbuf_append(m, sizeof(struct wire_eth) + sizeof(struct wire_arp));
    if (eth == NULL) {
        rte_pktmbuf_free(m);
        return NULL;
    }
    fill_eth(ifc, eth, dst_mac ? dst_mac : all);
    fill_packet(ifc, (struct wire_arp *)(eth + 1), OPERATION_REQUEST, our_addr_be, unknown, target_addr_be);
    m->l2_len = sizeof(*eth);
    return m;
}

struct rte_mbuf *arp_gratuitous(const struct net_if *ifc, uint8_t i, struct rte_mempool *pool) {
    return request(ifc, pool, ifc->addrs[i].addr_be, ifc->addrs[i].addr_be, NULL);
}

/* Our address to ask from: the one in the target's subnet. */
static uint32_t asking_addr(const struct net_if *ifc, uint32_t target_addr_be) {
    for (uint8_t i = 0; i < ifc->n_addrs; i++)
        if (((target_addr_be ^ ifc->addrs[i].addr_be) & ifc->addrs[i].mask_be) == 0)
            return ifc->addrs[i].addr_be;
    return ifc->n_addrs > 0 ? ifc->addrs[0].addr_be : 0;
}

static int reply(const struct net_if *ifc, struct rte_mbuf *m) {
    if (!rope_mbuf_private(m))
        return -NET_DROP_MBUF_SHARED;
    struct wire_eth *eth = net_eth(m);
    struct wire_arp *arp = (struct wire_arp *)(eth + 1);
    struct wire_arp question = *arp;

    net_truncate(m, sizeof(*eth) + sizeof(*arp)); /* padding goes */
    fill_eth(ifc, eth, question.sender_mac);
    fill_packet(ifc, arp, OPERATION_REPLY, question.target_addr_be, question.sender_mac, question.sender_addr_be);
    net_clear_offload(m);
    return NET_REPLY;
}

static int learn(struct arp_table *t, const struct wire_arp *arp, uint64_t now_us) {
    uint16_t id = find(t, arp->sender_addr_be);
    struct entry *e = &t->entries[id];

    if (id == 0 || e->tries == 0) /* no question is open: tries count in ASKING and PROBING only */
        return -NET_DROP_ARP_UNSOLICITED;
    memcpy(e->mac, arp->sender_mac, 6);
    set_state(t, e, REACHABLE, now_us + ARP_REACHABLE_US);
    return NET_DONE; /* still on the busy list: the next poll sends what waits */
}

static bool well_formed(const struct wire_arp *arp) {
    return arp->hardware_be == RTE_BE16(1) && arp->protocol_be == RTE_BE16(WIRE_ETH_IP4) && arp->hardware_len == 6 &&
           arp->protocol_len == 4 &&
           (arp->operation_be == RTE_BE16(OPERATION_REQUEST) || arp->operation_be == RTE_BE16(OPERATION_REPLY));
}

int arp_input(struct arp_table *t, const struct net_if *ifc, struct rte_mbuf *m, uint64_t now_us) {
    static const uint8_t zero_mac[6];
    const struct wire_arp *arp = rte_pktmbuf_mtod_offset(m, const struct wire_arp *, m->l2_len);

    if (net_contiguous(m, m->l2_len) < sizeof(*arp) || !well_formed(arp))
        return -NET_DROP_ARP_MALFORMED;
    bool asks = arp->operation_be == RTE_BE16(OPERATION_REQUEST);
    /* A request from 0.0.0.0 asks whether an address is free (RFC 5227 2.1.1) and deserves its answer. */
    bool sender_possible = (asks && arp->sender_addr_be == 0) ||
                           (net_addr_is_unicast(arp->sender_addr_be) && !net_if_is_broadcast(ifc, arp->sender_addr_be));
    if (!sender_possible || net_if_owns(ifc, arp->sender_addr_be) || net_mac_is_group(arp->sender_mac) ||
        memcmp(arp->sender_mac, zero_mac, 6) == 0)
        return -NET_DROP_ARP_SPOOF;
    if (!net_if_owns(ifc, arp->target_addr_be))
        return -NET_DROP_ARP_NOT_OURS;
    return asks ? reply(ifc, m) : learn(t, arp, now_us);
}

/* Where arp_poll puts what it finds. */
struct poll {
    const struct net_if *ifc;
    struct rte_mempool *pool;
    uint64_t now_us;
    struct rte_mbuf **out, **expired;
    uint16_t max, n_out, n_expired;
};

/* Send what waits for a MAC that is now known. */
static void send_waiting(struct arp_table *t, struct entry *e, struct poll *p) {
    while (p->n_out < p->max && p->n_expired < p->max && e->n_waiting > 0) {
        struct rte_mbuf *m = waiting_pop(t, e);
        if (eth_output(p->ifc, m, e->mac) < 0)
            p->expired[p->n_expired++] = m;
        else
            p->out[p->n_out++] = m;
    }
}

static void give_up_waiting(struct arp_table *t, struct entry *e, struct poll *p) {
    while (p->n_expired < p->max && e->n_waiting > 0)
        p->expired[p->n_expired++] = waiting_pop(t, e);
}

/* May one more broadcast go out? ARP_QUESTIONS_BURST at once, and ARP_QUESTIONS_S a second: each is for the whole link
 * to hear, and strangers' SYNs decide how many addresses are new. */
static bool may_ask_all(struct arp_table *t, uint64_t now_us) {
    const uint64_t each_us = 1000000 / ARP_QUESTIONS_S;

    if (t->asked_until_us < now_us)
        t->asked_until_us = now_us;
    if (t->asked_until_us - now_us > (ARP_QUESTIONS_BURST - 1) * each_us)
        return false;
    t->asked_until_us += each_us;
    return true;
}

/* The next question of an entry that is ASKING or PROBING, where it is due; after ARP_TRIES it falls silent. */
static void ask(struct arp_table *t, struct entry *e, struct poll *p) {
    if (p->now_us < e->due_us)
        return;
    if (e->tries >= ARP_TRIES) {
        set_state(t, e, SILENT, p->now_us + ARP_NEGATIVE_US);
        give_up_waiting(t, e, p);
        return;
    }
    if (p->n_out >= p->max)
        return;
    const uint8_t *dst_mac = e->state == PROBING && e->tries == 0 ? e->mac : NULL;
    if (dst_mac == NULL && !may_ask_all(t, p->now_us))
        return; /* nor this */
    struct rte_mbuf *m = request(p->ifc, p->pool, asking_addr(p->ifc, e->addr_be), e->addr_be, dst_mac);
    if (m == NULL)
        return; /* not a try: a later poll asks */
    p->out[p->n_out++] = m;
    e->tries++;
    e->due_us = p->now_us + ARP_RETRY_US;
}

uint16_t arp_poll(struct arp_table *t, const struct net_if *ifc, struct rte_mempool *pool, uint64_t now_us,
                  struct rte_mbuf **out, uint16_t max, struct rte_mbuf **expired, uint16_t *n_expired) {
    struct poll p = {.ifc = ifc, .pool = pool, .now_us = now_us, .out = out, .expired = expired, .max = max};
    uint16_t last = t->busy_last, id;

    while (p.n_expired < (max + 1) / 2 && t->orphans_first) /* leaves room for what is found next */
        expired[p.n_expired++] = waiter_pop(t, &t->orphans_first);
    for (int i = 0; i < POLL_ENTRIES && (id = busy_pop(t)) != 0; i++) {
        struct entry *e = &t->entries[id];
        if (e->state == ASKING || e->state == PROBING)
            ask(t, e, &p);
        else if (e->state == REACHABLE)
            send_waiting(t, e, &p);
        else
            give_up_waiting(t, e, &p);
        if (e->state == ASKING || e->state == PROBING || e->n_waiting > 0)
            busy_push(t, id);
        if (id == last) /* every entry had its turn */
            break;
    }
    *n_expired = p.n_expired;
    return p.n_out;
}

void arp_table_stats(const struct arp_table *t, struct arp_stats *s) {
    *s = t->stats;
}
