/* SPDX-License-Identifier: BSD-3-Clause */
/* Why not rte_ip_frag: it neither notices overlaps nor counts by source, takes 8 fragments a datagram (65,515 bytes are
 * 45), and throws datagrams away without telling whose; a wrapper would have to keep this whole file beside it.
 *
 * A datagram under reassembly keeps its fragments sorted by offset, so that an overlap shows on insertion against the
 * two neighbours. What is bounded, against fragment floods (CVE-2018-5391): fragments a datagram, datagrams, fragments
 * held in all, datagrams a source (sources share a counter where their keyed hashes agree, which only ever is too
 * strict).
 *
 * A datagram that was ended by a bad fragment stays as a tombstone until its time is over, so that its later fragments
 * die too (RFC 5722 4). All datagrams are on one list by age: timeouts and evictions start at its old end. */
#include "net_int.h"

#include "../base/pool.h"

#include <netinet/in.h>
#include <rte_malloc.h>
#include <rte_random.h>

#define SOURCES 4096 /* counters */
#define EVICTED 64   /* chains waiting for ip4_reass_expired; when full nothing more is evicted */

#define IP4_LEN_MAX 65535u

struct key {
    uint32_t saddr_be, daddr_be;
    uint16_t id_be;
    uint8_t proto, zero;
};

struct fragment {
    struct rte_mbuf *m;
    uint16_t begin, end; /* of its payload in the datagram's */
};

struct datagram {
    struct key key;
    uint32_t bucket_next, older, newer; /* pool indices */
    uint16_t total;                     /* payload bytes; 0 until the last fragment is there */
    uint16_t received;                  /* payload bytes */
    uint8_t n;                          /* fragments held */
    uint8_t dead;                       /* enum net_drop that ended it, in a tombstone */
    uint8_t ecn;                        /* bit i: a fragment's ECN field is i */
    uint64_t start_us;
    struct fragment fragments[IP4_REASS_FRAGMENTS]; /* by begin */
};

struct ip4_reass {
    uint64_t secret;
    struct pool datagrams;
    uint32_t oldest, newest;
    uint32_t held, held_max; /* fragments */
    uint32_t per_source;
    uint32_t bucket_mask;
    uint32_t n_evicted;
    struct rte_mbuf *evicted[EVICTED];
    uint32_t sources[SOURCES]; /* datagrams by hash of their source */
    uint32_t buckets[];
};

static uint32_t hash_of(const struct ip4_reass *r, uint64_t v) {
    v = (v ^ r->secret) * 0x9e3779b97f4a7c15ull;
    v = (v ^ v >> 32) * 0xd6e8feb86659fd93ull;
    return (uint32_t)(v >> 32);
}

static uint32_t *bucket_of(struct ip4_reass *r, const struct key *k) {
    uint32_t source = hash_of(r, k->saddr_be),
             rest = hash_of(r, (uint64_t)k->daddr_be << 24 | k->id_be << 8 | k->proto);

    return &r->buckets[hash_of(r, (uint64_t)source << 32 | rest) & r->bucket_mask];
}

static uint32_t *source_of(struct ip4_reass *r, const struct key *k) {
    return &r->sources[hash_of(r, k->saddr_be) % SOURCES];
}

struct ip4_reass *ip4_reass_new(uint32_t max_datagrams, uint32_t per_source, int socket_id) {
    uint32_t buckets = rte_align32pow2(max_datagrams);
    struct ip4_reass *r =
        rte_zmalloc_socket("ip4_reass", sizeof(*r) + buckets * sizeof(uint32_t), WEIR_CACHE_LINE, socket_id);

    if (r == NULL)
        return NULL;
    if (pool_init(&r->datagrams, "ip4_reass", sizeof(struct datagram), max_datagrams, 0) < 0) {
        rte_free(r);
        return NULL;
    }
    r->secret = rte_rand();
    r->bucket_mask = buckets - 1;
    r->per_source = per_source;
    r->held_max = max_datagrams * IP4_REASS_HELD_PER_DATAGRAM;
    return r;
}

static uint32_t find(struct ip4_reass *r, const struct key *k) {
    uint32_t id = *bucket_of(r, k);

    while (id != POOL_NONE) {
        const struct datagram *d = pool_get(&r->datagrams, id);
        if (memcmp(&d->key, k, sizeof(*k)) == 0)
            return id;
        id = d->bucket_next;
    }
    return POOL_NONE;
}

/* The fragments of d as one chain in order, or NULL; d holds none afterwards. Ethernet and IP header go from all but
 * the first. */
static struct rte_mbuf *take_chain(struct ip4_reass *r, struct datagram *d) {
    struct rte_mbuf *head = NULL, *tail = NULL;

    for (uint8_t i = 0; i < d->n; i++) {
        struct rte_mbuf *m = d->fragments[i].m;
        if (head == NULL) {
            head = m;
        } else {
            rte_pktmbuf_adj(m, (uint16_t)(m->l2_len + m->l3_len));
            head->pkt_len += m->pkt_len;
            head->nb_segs += m->nb_segs;
            tail->next = m;
        }
        tail = rte_pktmbuf_lastseg(m);
    }
    r->held -= d->n;
    d->n = 0;
    return head;
}

/* Take a datagram without fragments off all lists. */
static void forget(struct ip4_reass *r, uint32_t id) {
    struct datagram *d = pool_get(&r->datagrams, id), *other;
    uint32_t *link = bucket_of(r, &d->key);

    while (*link != id) {
        other = pool_get(&r->datagrams, *link);
        link = &other->bucket_next;
    }
    *link = d->bucket_next;
    if (d->older) {
        other = pool_get(&r->datagrams, d->older);
        other->newer = d->newer;
    } else {
        r->oldest = d->newer;
    }
    if (d->newer) {
        other = pool_get(&r->datagrams, d->newer);
        other->older = d->older;
    } else {
        r->newest = d->older;
    }
    --*source_of(r, &d->key);
    pool_free(&r->datagrams, id);
}

void ip4_reass_free(struct ip4_reass *r) {
    if (r == NULL)
        return;
    for (uint32_t id; (id = r->oldest) != POOL_NONE; forget(r, id))
        rte_pktmbuf_free(take_chain(r, pool_get(&r->datagrams, id)));
    for (uint32_t i = 0; i < r->n_evicted; i++)
        rte_pktmbuf_free(r->evicted[i]);
    pool_fini(&r->datagrams);
    rte_free(r);
}

/* Make room: the oldest datagram other than `keep` goes. Returns false where there is none, or nowhere to put it. */
static bool evict(struct ip4_reass *r, uint32_t keep) {
    uint32_t id = r->oldest;

    if (id != POOL_NONE && id == keep)
        id = ((const struct datagram *)pool_get(&r->datagrams, id))->newer;
    if (id == POOL_NONE || r->n_evicted >= EVICTED)
        return false;
    struct rte_mbuf *chain = take_chain(r, pool_get(&r->datagrams, id));
    if (chain)
        r->evicted[r->n_evicted++] = chain;
    forget(r, id);
    return true;
}

/* A new datagram, or POOL_NONE: this source has its share, or nothing can make room. */
static uint32_t create(struct ip4_reass *r, const struct key *k, uint64_t now_us) {
    if (*source_of(r, k) >= r->per_source)
        return POOL_NONE;
    if (r->datagrams.used == r->datagrams.capacity && !evict(r, POOL_NONE))
        return POOL_NONE;
    uint32_t id = pool_alloc(&r->datagrams);
    struct datagram *d = pool_get(&r->datagrams, id);
    uint32_t *bucket = bucket_of(r, k);

    *d = (struct datagram){.key = *k, .bucket_next = *bucket, .older = r->newest, .start_us = now_us};
    *bucket = id;
    if (r->newest) {
        struct datagram *newest = pool_get(&r->datagrams, r->newest);
        newest->newer = id;
    } else {
        r->oldest = id;
    }
    r->newest = id;
    ++*source_of(r, k);
    return id;
}

/* End d over the fragment m: what it held is chained behind m. */
static int kill_datagram(struct ip4_reass *r, struct datagram *d, struct rte_mbuf *m, enum net_drop why) {
    struct rte_mbuf *chain = take_chain(r, d);

    d->dead = (uint8_t)why;
    if (chain) {
        rte_pktmbuf_lastseg(m)->next = chain;
        m->pkt_len += chain->pkt_len;
        m->nb_segs += chain->nb_segs;
    }
    return -(int)why;
}

/* Put m in its place among d's fragments. Returns 0, or minus why that cannot be; *fatal: the datagram is to end. */
static int insert(struct datagram *d, struct rte_mbuf *m, uint32_t begin, uint32_t end, bool *fatal) {
    uint8_t i = d->n;

    *fatal = true;
    while (i > 0 && d->fragments[i - 1].begin >= begin)
        i--;
    if (i < d->n && d->fragments[i].begin == begin && d->fragments[i].end == end) {
        *fatal = false; /* the network sent it twice */
        return -NET_DROP_FRAG_OVERLAP;
    }
    if ((i > 0 && d->fragments[i - 1].end > begin) || (i < d->n && d->fragments[i].begin < end))
        return -NET_DROP_FRAG_OVERLAP;
    if (d->n == IP4_REASS_FRAGMENTS)
        return -NET_DROP_FRAG_LIMIT;
    memmove(&d->fragments[i + 1], &d->fragments[i], (d->n - i) * sizeof(d->fragments[0]));
    d->fragments[i] = (struct fragment){.m = m, .begin = (uint16_t)begin, .end = (uint16_t)end};
    d->n++;
    d->received = (uint16_t)(d->received + (end - begin));
    return 0;
}

/* Does this piece fit what is known of the datagram's end? */
static bool end_consistent(const struct datagram *d, uint32_t end, bool last) {
    if (d->total != 0)
        return last ? end == d->total : end <= d->total;
    return !last || d->n == 0 || d->fragments[d->n - 1].end <= end;
}

/* Would the whole exceed an IPv4 packet? Its header is the first fragment's, which may be longer than the others'. */
static bool length_possible(const struct datagram *d, const struct rte_mbuf *m, uint32_t begin, uint32_t end) {
    uint32_t header_len = sizeof(struct wire_ip4), highest = end;

    if (begin == 0)
        header_len = m->l3_len;
    else if (d->n > 0 && d->fragments[0].begin == 0)
        header_len = d->fragments[0].m->l3_len;
    if (d->n > 0)
        highest = weir_max_u32(highest, d->fragments[d->n - 1].end);
    return header_len + highest <= IP4_LEN_MAX;
}

/* All there: one packet, with the first fragment's header, which now tells of no fragments. */
static int finish(struct ip4_reass *r, uint32_t id, struct rte_mbuf **whole) {
    struct datagram *d = pool_get(&r->datagrams, id);
    bool ce = d->ecn & 1u << WIRE_IP4_CE;
    struct rte_mbuf *m = take_chain(r, d);

    forget(r, id);
    if (rope_mbuf_private(m) && rte_pktmbuf_tailroom(m) >= m->pkt_len - m->data_len)
        (void)rte_pktmbuf_linearize(m); /* one segment fits every port; it has the room */
    struct wire_ip4 *ip = net_ip4(m);
    ip->tos |= ce ? WIRE_IP4_CE : 0; /* no mark is lost: RFC 3168 5.3 */
    ip->total_len_be = rte_cpu_to_be_16((uint16_t)(m->pkt_len - m->l2_len));
    ip->frag_be = 0;
    ip->checksum_be = 0;
    ip->checksum_be = (uint16_t)~checksum_chain(m, m->l2_len, m->l3_len);
    /* What a NIC said about the fragments is not true of the whole: software looks at the checksums. */
    m->ol_flags &= ~(RTE_MBUF_F_RX_L4_CKSUM_MASK | RTE_MBUF_F_RX_IP_CKSUM_MASK);
    *whole = m;
    return NET_TO_IP4;
}

/* The piece of a fragment, checked on its own: every one but the last is a multiple of 8 bytes, none is empty, none
 * goes beyond the largest datagram (ping of death). A first piece holds its transport header's fixed part, which no
 * honest sender cuts (RFC 1858 3, RFC 3128). */
static bool piece_possible(const struct rte_mbuf *m, const struct wire_ip4 *ip, uint32_t begin, uint32_t end,
                           bool last) {
    uint32_t header_min = ip->proto == IPPROTO_TCP ? sizeof(struct wire_tcp) : 8;

    if (end == begin || (!last && (end - begin) % 8 != 0) || end + m->l3_len > IP4_LEN_MAX)
        return false;
    return begin != 0 || end >= header_min;
}

/* RFC 3168 5.3: a mark beside a fragment that cannot be marked was set by nobody honest, and may not be passed on. */
static bool ecn_possible(struct datagram *d, const struct wire_ip4 *ip) {
    const uint8_t both = 1u << WIRE_IP4_NOT_ECT | 1u << WIRE_IP4_CE;

    d->ecn |= (uint8_t)(1u << (ip->tos & WIRE_IP4_ECN));
    return (d->ecn & both) != both;
}

int ip4_reassemble(struct ip4_reass *r, struct rte_mbuf *m, uint64_t now_us, struct rte_mbuf **whole) {
    const struct wire_ip4 *ip = net_ip4(m);
    const struct key k = {ip->saddr_be, ip->daddr_be, ip->id_be, ip->proto, 0};
    uint16_t frag = rte_be_to_cpu_16(ip->frag_be);
    uint32_t begin = (frag & WIRE_IP4_OFFSET) * 8u, end = begin + m->pkt_len - m->l2_len - m->l3_len;
    bool last = (frag & WIRE_IP4_MF) == 0, fatal;

    if (!piece_possible(m, ip, begin, end, last))
        return -NET_DROP_FRAG_MALFORMED;
    if (begin == 0 && !rope_mbuf_private(m))
        return -NET_DROP_MBUF_SHARED; /* its header is to be rewritten */
    uint32_t id = find(r, &k);
    if (id == POOL_NONE && (id = create(r, &k, now_us)) == POOL_NONE)
        return -NET_DROP_FRAG_LIMIT;
    struct datagram *d = pool_get(&r->datagrams, id);
    if (d->dead)
        return -(int)d->dead;
    if (!end_consistent(d, end, last) || !length_possible(d, m, begin, end))
        return kill_datagram(r, d, m, NET_DROP_FRAG_MALFORMED);
    if (!ecn_possible(d, ip))
        return kill_datagram(r, d, m, NET_DROP_FRAG_ECN);
    while (r->held >= r->held_max)
        if (!evict(r, id))
            return kill_datagram(r, d, m, NET_DROP_FRAG_LIMIT);
    int rc = insert(d, m, begin, end, &fatal);
    if (rc < 0)
        return fatal ? kill_datagram(r, d, m, (enum net_drop) - rc) : rc;
    r->held++;
    if (last)
        d->total = (uint16_t)end;
    if (d->total == 0 || d->received != d->total)
        return NET_HELD;
    return finish(r, id, whole);
}

uint16_t ip4_reass_expired(struct ip4_reass *r, uint64_t now_us, struct rte_mbuf **out, uint16_t max) {
    uint16_t n = 0;

    while (n < max && r->n_evicted > 0)
        out[n++] = r->evicted[--r->n_evicted];
    for (uint32_t id; n < max && (id = r->oldest) != POOL_NONE; forget(r, id)) {
        struct datagram *d = pool_get(&r->datagrams, id);
        if (now_us - d->start_us < IP4_REASS_TIMEOUT_US)
            break;
        struct rte_mbuf *chain = take_chain(r, d);
        if (chain)
            out[n++] = chain;
    }
    return n;
}
