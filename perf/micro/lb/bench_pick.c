/* SPDX-License-Identifier: BSD-3-Clause */
/* The server of a new client: the hash of its id, then Maglev's table with all servers up and with one of eight down;
 * the other policies; and a source port towards the server, taken and given back. */
#include "lb/lb.h"

#include "bench.h"

#define SERVERS 8
#define ROUNDS  256

struct ctx {
    struct lb_pool pool;
    uint64_t keys[ROUNDS];
    uint64_t sum;
};

static void draw_keys(void *arg, uint32_t rounds) {
    struct ctx *c = arg;

    for (uint32_t i = 0; i < rounds; i++)
        c->keys[i] = (uint64_t)rand() << 33 ^ (uint64_t)rand();
}

static void hash(void *arg, uint32_t rounds) {
    struct ctx *c = arg;
    static const char id[] = "mosq-7f3a9c21be";

    for (uint32_t i = 0; i < rounds; i++)
        c->sum += lb_hash(id, sizeof(id) - 1);
}

static void pick(void *arg, uint32_t rounds) {
    struct ctx *c = arg;

    for (uint32_t i = 0; i < rounds; i++)
        c->sum += lb_pick(&c->pool, c->keys[i], 0);
}

static void take_port(void *arg, uint32_t rounds) {
    struct ctx *c = arg;
    const struct lb_server *s = &c->pool.servers[0];
    uint32_t saddr_be;
    uint16_t sport_be;

    for (uint32_t i = 0; i < rounds; i++) {
        if (lb_ports_take(c->pool.ports, 0, s->addr_be, s->port_be, &saddr_be, &sport_be) < 0)
            abort();
        lb_ports_give(c->pool.ports, 0, saddr_be, sport_be);
    }
}

static void build(struct ctx *c) {
    c->pool = (struct lb_pool){.name = "bench", .policy = LB_CLIENT_ID, .n_servers = SERVERS};
    for (uint32_t i = 0; i < SERVERS; i++) {
        struct lb_server *s = &c->pool.servers[i];
        *s = (struct lb_server){.addr_be = rte_cpu_to_be_32(0xc6120101u + i),
                                .port_be = RTE_BE16(1883),
                                .weight = 1,
                                .server_id = (uint16_t)i,
                                .state = LB_UP};
        snprintf(s->name, sizeof(s->name), "b%u", i);
    }
    c->pool.ports = lb_ports_new(&(uint32_t){RTE_BE32(0xc6120001u)}, 1, SERVERS, NULL, NULL);
    if (lb_pool_build(&c->pool) < 0 || c->pool.ports == NULL)
        exit(1);
}

int main(void) {
    static struct ctx c;

    build(&c);
    bench_run("lb_hash of 15 B", 1, ROUNDS, hash, NULL, &c);
    bench_run("lb_pick client-id (Maglev)", 1, ROUNDS, pick, draw_keys, &c);
    c.pool.servers[3].state = LB_DOWN;
    bench_run("lb_pick client-id, one of 8 down", 1, ROUNDS, pick, draw_keys, &c);
    c.pool.policy = LB_LEAST_CONNECTIONS;
    bench_run("lb_pick least-connections", 1, ROUNDS, pick, draw_keys, &c);
    c.pool.policy = LB_ROUND_ROBIN;
    bench_run("lb_pick round-robin", 1, ROUNDS, pick, draw_keys, &c);
    bench_run("lb_ports_take + give", 1, ROUNDS, take_port, NULL, &c);
    lb_ports_free(c.pool.ports);
    lb_pool_fini(&c.pool);
    return 0;
}
