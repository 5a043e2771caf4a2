/* SPDX-License-Identifier: BSD-3-Clause */
/* Maglev's lookup table (Eisenbud et al., NSDI 2016, 3.4), with weights: each server walks a permutation of the table
 * of its own and takes the next free entry whenever it is its turn; turns come in proportion to weight. */
#include "lb_int.h"

#include <stdlib.h>
#include <string.h>

/* A server's walk: entries offset, offset + skip, offset + 2 skip, ... modulo the size. Every skip from 1 to size - 1
 * visits all entries, as the size is prime. */
struct walk {
    uint32_t next, skip;
    uint32_t credit; /* of turns, in units of the greatest weight */
    uint16_t server, weight;
};

/* Order by name, then address and port: the order of the configuration must not matter. */
static int server_compare(const struct lb_server *a, const struct lb_server *b) {
    int by_name = strcmp(a->name, b->name);

    if (by_name)
        return by_name;
    int by_addr = memcmp(&a->addr_be, &b->addr_be, sizeof(a->addr_be));
    return by_addr ? by_addr : memcmp(&a->port_be, &b->port_be, sizeof(a->port_be));
}

static void walks_sort(struct walk *walks, const struct lb_pool *p) {
    for (uint16_t i = 1; i < p->n_servers; i++) {
        struct walk w = walks[i];
        uint16_t j = i;
        for (; j > 0 && server_compare(&p->servers[w.server], &p->servers[walks[j - 1].server]) < 0; j--)
            walks[j] = walks[j - 1];
        walks[j] = w;
    }
}

static struct walk walk_of(const struct lb_pool *p, uint16_t index) {
    const struct lb_server *s = &p->servers[index];
    uint8_t key[sizeof(s->name) + sizeof(s->addr_be) + sizeof(s->port_be) + 1] = {0};

    memcpy(key, s->name, strnlen(s->name, sizeof(s->name)));
    memcpy(key + sizeof(s->name), &s->addr_be, sizeof(s->addr_be));
    memcpy(key + sizeof(s->name) + sizeof(s->addr_be), &s->port_be, sizeof(s->port_be));
    uint64_t offset = lb_hash(key, sizeof(key));
    key[sizeof(key) - 1] = 1; /* a second, independent hash */
    uint64_t skip = lb_hash(key, sizeof(key));
    return (struct walk){.next = (uint32_t)(offset % LB_MAGLEV_SIZE),
                         .skip = (uint32_t)(skip % (LB_MAGLEV_SIZE - 1)) + 1,
                         .server = index,
                         .weight = s->weight ? s->weight : 1};
}

static void take_entry(struct walk *w, uint16_t *table) {
    while (table[w->next] != LB_NONE)
        w->next = (w->next + w->skip) % LB_MAGLEV_SIZE;
    table[w->next] = w->server;
}

int lb_maglev_fill(struct lb_pool *p) {
    struct walk walks[LB_MAX_SERVERS];
    uint32_t heaviest = 0, taken = 0;

    if (p->maglev == NULL)
        p->maglev = malloc(LB_MAGLEV_SIZE * sizeof(*p->maglev));
    if (p->maglev == NULL)
        return WEIR_ENOMEM;
    for (uint32_t i = 0; i < LB_MAGLEV_SIZE; i++)
        p->maglev[i] = LB_NONE;
    for (uint16_t i = 0; i < p->n_servers; i++) {
        walks[i] = walk_of(p, i);
        heaviest = weir_max_u32(heaviest, walks[i].weight);
    }
    walks_sort(walks, p);
    while (p->n_servers > 0 && taken < LB_MAGLEV_SIZE) {
        for (uint16_t i = 0; i < p->n_servers && taken < LB_MAGLEV_SIZE; i++) {
            walks[i].credit += walks[i].weight;
            if (walks[i].credit < heaviest)
                continue;
            walks[i].credit -= heaviest;
            take_entry(&walks[i], p->maglev);
            taken++;
        }
    }
    return 0;
}

uint16_t lb_maglev_lookup(const struct lb_pool *p, uint64_t key_hash, uint64_t usable) {
    uint32_t at = (uint32_t)(key_hash % LB_MAGLEV_SIZE);

    /* Every server has entries, so a usable one is met before the table has gone round. */
    for (uint32_t i = 0; usable && i < LB_MAGLEV_SIZE; i++) {
        if (usable >> p->maglev[at] & 1)
            return p->maglev[at];
        if (++at == LB_MAGLEV_SIZE)
            at = 0;
    }
    return LB_NONE;
}
