/* SPDX-License-Identifier: BSD-3-Clause */
#include "mbuf_check.h"

#include "tcp/tcp_int.h"

#include <stdlib.h>

#define SLOTS 65536u /* a power of two, more than twice the mbufs of all pools */

/* What a walk knows of one mbuf. */
struct seen {
    const struct rte_mbuf *m;
    uint32_t walk;   /* of which the counts are */
    uint16_t owners; /* times met as itself */
    uint16_t shares; /* indirect mbufs met that use its buffer */
};

struct mbuf_check {
    struct rte_mempool *const *pools;
    uint32_t n_pools, walk, n_met;
    struct seen slots[SLOTS];
    struct seen *met[SLOTS]; /* in this walk */
};

struct mbuf_check *mbuf_check_new(struct rte_mempool *const *pools, uint32_t n_pools) {
    struct mbuf_check *k = calloc(1, sizeof(*k));
    if (!k)
        abort();
    k->pools = pools;
    k->n_pools = n_pools;
    return k;
}

void mbuf_check_free(struct mbuf_check *k) {
    free(k);
}

void mbuf_check_begin(struct mbuf_check *k) {
    k->walk++;
    k->n_met = 0;
}

static struct seen *slot_of(struct mbuf_check *k, const struct rte_mbuf *m) {
    uint32_t i = (uint32_t)((uintptr_t)m / RTE_CACHE_LINE_SIZE * 2654435761u) % SLOTS;
    while (k->slots[i].m && k->slots[i].m != m)
        i = (i + 1) % SLOTS;
    struct seen *s = &k->slots[i];
    if (s->walk != k->walk) {
        *s = (struct seen){.m = m, .walk = k->walk};
        k->met[k->n_met++] = s;
    }
    return s;
}

void mbuf_check_chain(struct mbuf_check *k, const struct rte_mbuf *m) {
    for (; m; m = m->next) {
        struct seen *s = slot_of(k, m);
        if (s->owners++) /* a second way to it: what follows would be met twice as well, or for ever */
            return;
        if (RTE_MBUF_CLONED(m))
            slot_of(k, rte_mbuf_from_indirect((struct rte_mbuf *)(uintptr_t)m))->shares++;
    }
}

void mbuf_check_core(struct mbuf_check *k, const struct tcp_core *core) {
    for (tcp_id id = 0; (id = tcp_conn_next(core, id)) != 0;) {
        const struct tcp_conn *c = tcp_conn_of(core, id);
        mbuf_check_chain(k, c->rx.head);
        mbuf_check_chain(k, c->tx.head);
        for (uint32_t i = c->reasm_head, n = 0; n < c->reasm_count; n++) {
            const struct tcp_reasm *r = pool_get(&core->reasm, i);
            mbuf_check_chain(k, r->bytes.head);
            i = r->next;
        }
    }
}

bool mbuf_check_end(struct mbuf_check *k, struct core_fault *f) {
    uint32_t out = 0;
    for (uint32_t i = 0; i < k->n_met; i++) {
        const struct seen *s = k->met[i];
        if (s->owners > 1)
            return core_fault_say(f, "an mbuf of %s has %u owners", s->m->pool->name, s->owners);
        if (rte_mbuf_refcnt_read(s->m) != s->owners + s->shares)
            return core_fault_say(f, "an mbuf of %s counts %u references; it has %u owner and is shared by %u",
                                  s->m->pool->name, rte_mbuf_refcnt_read(s->m), s->owners, s->shares);
    }
    for (uint32_t i = 0; i < k->n_pools; i++)
        out += rte_mempool_in_use_count(k->pools[i]);
    if (out != k->n_met)
        return core_fault_say(f, "%u mbufs are out, %u of them have an owner", out, k->n_met);
    return true;
}
