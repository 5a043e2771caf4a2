/* SPDX-License-Identifier: BSD-3-Clause */
/* Handshakes by their clients' IPv4 address: how many are under way from each, so that one source cannot have all of
 * them. Open addressing with linear probing; an address is there while it has any, and what is removed leaves no
 * tombstone (its successors move up). The hash is keyed: who chooses addresses cannot choose collisions. */
#include "tls_source.h"

#include <openssl/rand.h>
#include <stdlib.h>

struct slot {
    uint32_t addr_be;
    uint32_t n; /* 0: empty */
};

struct tls_sources {
    uint64_t key;
    uint32_t limit, mask, used, max;
    struct slot slot[];
};

struct tls_sources *tls_sources_new(uint32_t limit, uint32_t max) {
    uint32_t slots = 4;
    uint64_t key;

    while (slots < 2 * max)
        slots *= 2;
    struct tls_sources *t = calloc(1, sizeof(*t) + slots * sizeof(t->slot[0]));
    if (t == NULL || RAND_bytes((unsigned char *)&key, sizeof(key)) != 1) {
        free(t);
        return NULL;
    }
    t->key = key | 1;
    t->limit = limit;
    t->mask = slots - 1;
    t->max = max;
    return t;
}

void tls_sources_free(struct tls_sources *t) {
    free(t);
}

/* Multiply and shift by a secret odd number, twice: the second round mixes what the first moved up. */
static uint32_t home_of(const struct tls_sources *t, uint32_t addr_be) {
    uint64_t h = (addr_be + (t->key >> 32)) * t->key;

    h = (h ^ h >> 32) * t->key;
    return (uint32_t)(h >> 32) & t->mask;
}

/* Where the address is, or the empty slot where it would go. */
static uint32_t find(const struct tls_sources *t, uint32_t addr_be) {
    uint32_t i = home_of(t, addr_be);

    while (t->slot[i].n != 0 && t->slot[i].addr_be != addr_be)
        i = (i + 1) & t->mask;
    return i;
}

bool tls_sources_enter(struct tls_sources *t, uint32_t addr_be) {
    struct slot *s = &t->slot[find(t, addr_be)];

    if (s->n >= t->limit || (s->n == 0 && t->used == t->max))
        return false;
    t->used += s->n == 0;
    s->addr_be = addr_be;
    s->n++;
    return true;
}

/* Empty slot i, and move up those behind it that are not at home where they are. */
static void slot_remove(struct tls_sources *t, uint32_t i) {
    uint32_t gap = i;

    t->used--;
    for (i = (i + 1) & t->mask; t->slot[i].n != 0; i = (i + 1) & t->mask) {
        uint32_t home = home_of(t, t->slot[i].addr_be);
        if (((i - home) & t->mask) >= ((i - gap) & t->mask)) {
            t->slot[gap] = t->slot[i];
            gap = i;
        }
    }
    t->slot[gap].n = 0;
}

void tls_sources_leave(struct tls_sources *t, uint32_t addr_be) {
    uint32_t i = find(t, addr_be);

    assert(t->slot[i].n > 0);
    if (--t->slot[i].n == 0)
        slot_remove(t, i);
}

uint32_t tls_sources_count(const struct tls_sources *t, uint32_t addr_be) {
    return t->slot[find(t, addr_be)].n;
}
