/* SPDX-License-Identifier: BSD-3-Clause */
/* The load generator against weir's own worker, in one process and on one clock: clients, TLS, MQTT, brokers. */
#include "load_fixture.h"

#include "perf/path/rig.h"

#include <criterion/criterion.h>

#define MBUFS   16383u
#define CLIENTS 50u

static struct rig rig;
static struct load_config config;
static struct load *load;
static uint64_t now_ns;

static void port_fill(struct load_port *p, const char *name, unsigned side, uint32_t addr_be) {
    *p = (struct load_port){.pool = config.client_port.pool};
    p->eth_port = fixture_eth(name, rig.tx[side], rig.rx[side], p->pool);
    p->ifc = (struct net_if){.mac = {2, 0, 0, 0, 1, (uint8_t)side}, .mtu = 1500, .n_addrs = 1};
    p->ifc.addrs[0].addr_be = addr_be;
    p->ifc.addrs[0].mask_be = RTE_BE32(0xffffff00);
}

static void setup(void) {
    rig_open(&rig, &(struct rig_options){.connections = 200, .software_checksums = true});
    now_ns = rig.now_us * 1000;
    struct rte_mempool *pool = rte_pktmbuf_pool_create("load", MBUFS, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    cr_assert_not_null(pool);
    config = (struct load_config){.client_port.pool = pool,
                                  .target_addr_be = RIG_ADDR(0, 1),
                                  .target_port_be = RTE_BE16(RIG_MQTTS),
                                  .n_brokers = 1,
                                  .broker_port_be = RTE_BE16(RIG_MQTT),
                                  .tls = true,
                                  .connections = CLIENTS,
                                  .window = 4,
                                  .seed = 1,
                                  .schedule = {.n_sizes = 1, .sizes = {{64, 64, 1}}}};
    port_fill(&config.broker_port, "load_back", RIG_BACK, RIG_BROKER);
    port_fill(&config.client_port, "load_front", RIG_FRONT, RIG_CLIENT);
}

TestSuite(load_weir, .init = setup);

static const struct load_stats *stats(void) {
    return load_stats(load);
}

static void run(uint64_t ms) {
    for (uint64_t end = now_ns + ms * 1000000; now_ns < end; now_ns += FIXTURE_STEP_NS) {
        load_turn(load, now_ns);
        rig.now_us = now_ns / 1000;
        rig_turn(&rig);
    }
}

static void start(void) {
    char error[256] = "";
    load = load_new(&config, now_ns, error, sizeof(error));
    cr_assert_not_null(load, "%s", error);
}

static void all_connect(void) {
    start();
    run(100);
    cr_assert_eq(stats()->open, CLIENTS, "open %u, connecting %u, failed %lu, %lu, %lu", stats()->open,
                 stats()->connecting, stats()->connect_failed, stats()->tls_failed, stats()->mqtt_refused);
    cr_assert_eq(stats()->tls_done, config.tls ? CLIENTS : 0);
    cr_assert_eq(stats()->broker_connections, CLIENTS);
}

static void publish(uint64_t ms) {
    load_publishing(load, true, now_ns);
    run(ms);
    load_publishing(load, false, now_ns);
    run(50);
    cr_assert_gt(stats()->messages_sent, 0);
    cr_assert_eq(stats()->messages_received, stats()->messages_sent, "%lu of %lu", stats()->messages_received,
                 stats()->messages_sent);
    cr_assert_eq(stats()->bytes_received, stats()->bytes_sent);
    cr_assert_eq(stats()->messages_lost + stats()->messages_corrupt, 0);
}

/* Everybody leaves, and nobody keeps anything. */
static void all_end(void) {
    load_goodbye(load);
    run(100);
    cr_assert_eq(stats()->open, 0);
    cr_assert_eq(stats()->resets + stats()->broker_resets + stats()->drops, 0, "%lu %lu %lu", stats()->resets,
                 stats()->broker_resets, stats()->drops);
    load_free(load);
    rig_close(&rig);
    cr_assert_eq(rte_mempool_in_use_count(config.client_port.pool), 0);
}

Test(load_weir, qos1_over_tls) {
    config.traffic = LOAD_QOS1;
    config.schedule.rate_per_s = 50000;
    all_connect();
    publish(100);
    cr_assert_eq(stats()->messages_acked, stats()->messages_sent);
    cr_assert_eq(rig.worker->tls.stats.handshakes_done, CLIENTS);
    /* One record a message, besides CONNECT. */
    cr_assert_eq(rig.worker->tls.stats.records_opened, stats()->messages_sent + CLIENTS);
    all_end();
}

Test(load_weir, qos1_in_the_clear) {
    config.traffic = LOAD_QOS1;
    config.tls = false;
    config.target_port_be = RTE_BE16(RIG_MQTT);
    all_connect();
    publish(20);
    cr_assert_eq(stats()->messages_acked, stats()->messages_sent);
    all_end();
}

Test(load_weir, qos0_closed_loop_with_long_keys) {
    config.traffic = LOAD_QOS0;
    config.suite = 0x1302;
    config.window = 16;
    config.mqtt_level = 5;
    all_connect();
    publish(20);
    cr_assert_eq(stats()->latency_ns.count, stats()->messages_sent);
    all_end();
}

Test(load_weir, bulk_in_full_records) {
    config.traffic = LOAD_BULK;
    config.suite = 0x1303;
    all_connect();
    publish(20);
    cr_assert_eq(rig.worker->tls.stats.records_opened, stats()->messages_sent + CLIENTS);
    all_end();
}

Test(load_weir, churn_resumes_with_tickets) {
    config.traffic = LOAD_CHURN;
    config.resume = true;
    start();
    run(300);
    load_connecting(load, false);
    run(100);
    cr_assert_gt(stats()->mqtt_accepted, 3 * CLIENTS, "%lu", stats()->mqtt_accepted);
    cr_assert_eq(stats()->tls_done, stats()->mqtt_accepted);
    cr_assert_geq(stats()->tls_resumed, stats()->tls_done - CLIENTS, "%lu of %lu", stats()->tls_resumed,
                  stats()->tls_done);
    cr_assert_eq(stats()->closed, stats()->mqtt_accepted);
    cr_assert_eq(stats()->tls_failed + stats()->connect_failed + stats()->mqtt_refused, 0);
    all_end();
}
