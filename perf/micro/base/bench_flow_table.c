/* SPDX-License-Identifier: BSD-3-Clause */
/* Flow lookup: a burst of 32 keys, of flows drawn at random from tables of several sizes, so that the large ones are
 * out of cache as they are in life; found and not found. */
#include "base/flow_table.h"

#include "bench.h"

#include <netinet/in.h>

#define BURST  32
#define BURSTS 256
#define SECRET 0x5eed /* the same table in each run */

struct ctx {
    struct flow_table table;
    struct flow_key keys[BURST * BURSTS];
    uint64_t sum;
};

static struct flow_key key_of(uint32_t n) {
    return (struct flow_key){.remote_addr_be = n * 2654435761u,
                             .local_addr_be = 0x010012c6,
                             .remote_port_be = (uint16_t)n,
                             .local_port_be = 0xb322,
                             .family = FLOW_FAMILY_IP4,
                             .proto = IPPROTO_TCP};
}

static void lookup_bulk(void *arg, uint32_t rounds) {
    struct ctx *c = arg;
    const struct flow_key *keys[BURST];
    uint32_t found[BURST];

    for (uint32_t b = 0; b < rounds; b++) {
        for (uint32_t i = 0; i < BURST; i++)
            keys[i] = &c->keys[b * BURST + i];
        flow_table_find_bulk(&c->table, keys, BURST, found);
        c->sum += found[0];
    }
}

static void lookup_single(void *arg, uint32_t rounds) {
    struct ctx *c = arg;

    for (uint32_t i = 0; i < rounds; i++)
        c->sum += flow_table_find(&c->table, &c->keys[i]);
}

static void add_and_delete(void *arg, uint32_t rounds) {
    struct ctx *c = arg;

    for (uint32_t i = 0; i < rounds; i++)
        flow_table_add(&c->table, &c->keys[i], 1);
    for (uint32_t i = 0; i < rounds; i++)
        flow_table_del(&c->table, &c->keys[i]);
}

/* Keys of flows `first` and on: all of them in turn, or `among` so many drawn at random. */
static void set_keys(struct ctx *c, uint32_t first, uint32_t among) {
    for (uint32_t i = 0; i < BURST * BURSTS; i++)
        c->keys[i] = key_of(first + (among ? (uint32_t)rand() % among : i));
}

static void run(struct ctx *c, const char *format, uint32_t size, uint32_t ops, bench_step once) {
    char name[64];

    snprintf(name, sizeof(name), format, size);
    bench_run(name, ops, BURST * BURSTS / ops, once, NULL, c);
}

int main(void) {
    const uint32_t sizes[] = {1000, 100000, 1000000};
    static struct ctx c;

    bench_eal("256");
    for (size_t s = 0; s < WEIR_ARRAY_LEN(sizes); s++) {
        if (flow_table_init(&c.table, "bench", sizes[s] + BURST * BURSTS, SECRET, SOCKET_ID_ANY) < 0)
            return 1;
        for (uint32_t i = 1; i <= sizes[s]; i++) {
            struct flow_key k = key_of(i);
            if (flow_table_add(&c.table, &k, i) < 0)
                return 1;
        }
        set_keys(&c, 1, sizes[s]);
        run(&c, "flow_table_find_bulk/32 of %u", sizes[s], BURST, lookup_bulk);
        run(&c, "flow_table_find of %u", sizes[s], 1, lookup_single);
        set_keys(&c, sizes[s] + 1, 0);
        run(&c, "flow_table_find_bulk/32 missing in %u", sizes[s], BURST, lookup_bulk);
        run(&c, "flow_table_add + del in %u", sizes[s], 1, add_and_delete);
        flow_table_fini(&c.table);
    }
    return 0;
}
