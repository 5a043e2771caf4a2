/* SPDX-License-Identifier: BSD-3-Clause */
/* Flow lookup: a burst of 32 packets, each of a flow drawn at random anew, of tables of several sizes, so that the
 * large ones are out of cache as they are in life. What follows a lookup belongs to it: the flow's object of 256 bytes
 * is read in the line with its key and in the first one. Then keys that are not there, one lookup alone, and coming and
 * going. */
#include "base/flow_table.h"
#include "base/pool.h"

#include "bench.h"

#include <netinet/in.h>

#define BURST  32
#define BURSTS 256
#define SECRET 0x5eed /* the same table in each run */

/* As large as struct tcp_conn, the key in its last line. */
struct flow {
    uint8_t first_line[64], others[128];
    struct flow_key key;
    uint8_t rest[48];
};

struct ctx {
    struct flow_table table;
    struct pool flows;
    struct flow_key keys[BURST * BURSTS];
    uint32_t first, among;
    uint64_t random, sum;
};

static struct flow_key key_of(uint32_t n) {
    return (struct flow_key){.remote_addr_be = n * 2654435761u,
                             .local_addr_be = 0x010012c6,
                             .remote_port_be = (uint16_t)n,
                             .local_port_be = 0xb322,
                             .family = FLOW_FAMILY_IP4,
                             .proto = IPPROTO_TCP};
}

static uint32_t draw(struct ctx *c) {
    c->random = c->random * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(c->random >> 32);
}

static void draw_keys(void *arg, uint32_t rounds) {
    struct ctx *c = arg;

    (void)rounds;
    for (uint32_t i = 0; i < BURST * BURSTS; i++)
        c->keys[i] = key_of(c->first + (uint32_t)((uint64_t)draw(c) * c->among >> 32));
}

static void lookup_bulk(void *arg, uint32_t rounds) {
    struct ctx *c = arg;
    const struct flow_key *keys[BURST];
    uint32_t found[BURST];

    for (uint32_t b = 0; b < rounds; b++) {
        for (uint32_t i = 0; i < BURST; i++)
            keys[i] = &c->keys[b * BURST + i];
        flow_table_find_bulk(&c->table, keys, BURST, found);
        for (uint32_t i = 0; i < BURST; i++) {
            const struct flow *f = found[i] ? pool_get(&c->flows, found[i]) : NULL;
            c->sum += f ? f->first_line[0] + f->key.remote_addr_be : 1;
        }
    }
}

static void lookup_single(void *arg, uint32_t rounds) {
    struct ctx *c = arg;

    for (uint32_t i = 0; i < rounds; i++)
        c->sum += flow_table_find(&c->table, &c->keys[i]);
}

static void add_and_delete(void *arg, uint32_t rounds) {
    struct ctx *c = arg;

    for (uint32_t i = 0; i < rounds; i++) {
        struct flow *f = pool_get(&c->flows, c->among + 1 + i);
        f->key = c->keys[i];
        if (flow_table_add(&c->table, &f->key, c->among + 1 + i))
            f->key = (struct flow_key){0}; /* drawn twice */
    }
    for (uint32_t i = 0; i < rounds; i++)
        flow_table_del(&c->table, &c->keys[i]);
}

static void run(struct ctx *c, const char *format, uint32_t ops, bench_step once) {
    char name[64];

    snprintf(name, sizeof(name), format, c->among);
    bench_run(name, ops, BURST * BURSTS / ops, once, draw_keys, c);
}

int main(void) {
    const uint32_t sizes[] = {1000, 10000, 100000, 1000000};
    static struct ctx c;

    bench_eal("64");
    for (size_t s = 0; s < WEIR_ARRAY_LEN(sizes); s++) {
        uint32_t capacity = sizes[s] + BURST * BURSTS;
        if (pool_init(&c.flows, "flows", sizeof(struct flow), capacity, 0))
            return 1;
        struct flow_objects objects = {c.flows.base, sizeof(struct flow), offsetof(struct flow, key), 1};
        if (flow_table_init(&c.table, capacity, SECRET, &objects))
            return 1;
        for (uint32_t i = 1; i <= capacity; i++) {
            struct flow *f = pool_get(&c.flows, pool_alloc(&c.flows));
            f->first_line[0] = 1;
            f->key = key_of(i);
            if (i <= sizes[s] && flow_table_add(&c.table, &f->key, i))
                return 1;
        }
        c.random = c.first = 1;
        c.among = sizes[s];
        run(&c, "flow lookup, bursts of 32 of %u", BURST, lookup_bulk);
        run(&c, "flow lookup, one of %u", 1, lookup_single);
        c.first = sizes[s] + 1;
        run(&c, "flow lookup, bursts of 32 missing in %u", BURST, lookup_bulk);
        run(&c, "flow added and deleted in %u", 1, add_and_delete);
        flow_table_fini(&c.table);
        pool_fini(&c.flows);
    }
    return 0;
}
