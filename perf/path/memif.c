/* SPDX-License-Identifier: BSD-3-Clause */
/* What a memif link itself takes: the least work (forward.c) between receiving a burst from a memif port and sending it
 * back, that is, a copy of each frame out of shared memory and one into it. Measured end to end over memif, weir cannot
 * cost less. Both ends of the link are ports of this process; what the far one does is not measured.
 *
 *   path_memif [--only memif_64B] and the other options of options.h */
#include "eal.h"
#include "forward.h"
#include "meter.h"
#include "options.h"
#include "report.h"

#include "base/base.h"
#include "net/wire.h"

#include <netinet/in.h>
#include <rte_ethdev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLOTS         1024u
#define MBUFS         16383u
#define CACHE         256u
#define ROUNDS        32u /* of a sample */
#define SAMPLES       1000u
#define SAMPLES_QUICK 200u
#define LINK_TRIES    5000u /* milliseconds */

enum end { NEAR, FAR, ENDS };

struct link {
    struct rte_mempool *pool[ENDS];
    uint16_t port[ENDS];
    uint32_t frame_bytes; /* without FCS */
    struct meter meter;
    struct report report;
};

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "perf: %s\n", what);
    exit(2);
}

static void end_open(struct link *l, enum end e) {
    static const struct rte_eth_conf conf; /* nothing asked of it */
    static const char *const names[ENDS] = {"near", "far"};
    char device[32];
    snprintf(device, sizeof(device), "net_memif_%s", names[e]);
    l->pool[e] = rte_pktmbuf_pool_create(names[e], MBUFS, CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    if (l->pool[e] == NULL || rte_eth_dev_get_port_by_name(device, &l->port[e]) != 0)
        fail("there is no memif port; is librte-net-memif installed?");
    if (rte_eth_dev_configure(l->port[e], 1, 1, &conf) != 0 ||
        rte_eth_rx_queue_setup(l->port[e], 0, SLOTS, 0, NULL, l->pool[e]) != 0 ||
        rte_eth_tx_queue_setup(l->port[e], 0, SLOTS, 0, NULL) != 0 || rte_eth_dev_start(l->port[e]) != 0)
        fail("a memif port cannot be set up");
}

/* The first poll gives the ring its buffers. */
static void poll_empty(const struct link *l) {
    struct rte_mbuf *m[FORWARD_BURST];
    for (unsigned e = 0; e < ENDS; e++)
        rte_pktmbuf_free_bulk(m, rte_eth_rx_burst(l->port[e], 0, m, FORWARD_BURST));
}

static void wait_up(const struct link *l) {
    for (uint32_t i = 0; i < LINK_TRIES; i++) {
        struct rte_eth_link near = {0}, far = {0};
        if (rte_eth_link_get_nowait(l->port[NEAR], &near) == 0 && near.link_status &&
            rte_eth_link_get_nowait(l->port[FAR], &far) == 0 && far.link_status) {
            poll_empty(l);
            return;
        }
        usleep(1000);
    }
    fail("the memif link does not come up");
}

/* One UDP frame from the far end. */
static struct rte_mbuf *frame(const struct link *l) {
    struct rte_mbuf *m = rte_pktmbuf_alloc(l->pool[FAR]);
    char *data = m ? rte_pktmbuf_append(m, (uint16_t)l->frame_bytes) : NULL;
    if (data == NULL)
        fail("out of mbufs");
    memset(data, 0x5a, l->frame_bytes);
    struct wire_eth *eth = (struct wire_eth *)data;
    eth->type_be = RTE_BE16(WIRE_ETH_IP4);
    *(struct wire_ip4 *)(eth + 1) = (struct wire_ip4){.version_ihl = 0x45, .proto = IPPROTO_UDP};
    return m;
}

static void sample(struct link *l) {
    uint64_t preemptions = report_preemptions();
    uint32_t sent = 0, came = 0;
    l->meter = (struct meter){0};
    for (uint32_t i = 0; i < ROUNDS; i++) {
        struct rte_mbuf *m[FORWARD_BURST];
        for (uint32_t k = 0; k < FORWARD_BURST; k++)
            m[k] = frame(l);
        if (rte_eth_tx_burst(l->port[FAR], 0, m, FORWARD_BURST) != FORWARD_BURST)
            fail("the memif ring is full");
        sent += FORWARD_BURST;
        meter_on(&l->meter);
        forward_burst(l->port[NEAR], l->port[NEAR]);
        meter_off(&l->meter);
        uint16_t n = rte_eth_rx_burst(l->port[FAR], 0, m, FORWARD_BURST);
        for (uint16_t k = 0; k < n; k++)
            if (m[k]->pkt_len != l->frame_bytes)
                fail("a frame came back that is not what was sent");
        rte_pktmbuf_free_bulk(m, n);
        came += n;
    }
    if (sent != came)
        fail("frames were lost");
    if (report_preemptions() == preemptions)
        report_add(&l->report, (double)l->meter.ticks / sent);
}

static void measure(struct link *l, const char *name, const struct options *o) {
    uint64_t until = rte_rdtsc() + o->perf_s * rte_get_tsc_hz();
    l->report.csv = o->csv;
    do {
        report_begin(&l->report);
        for (uint32_t i = 0; i < (o->quick ? SAMPLES_QUICK : SAMPLES); i++)
            sample(l);
    } while (rte_rdtsc() < until);
    report_end(&l->report, name, "cycles/packet", false);
}

static void list(void) {
    fprintf(stderr, " memif_64B memif_512B memif_1518B");
}

int main(int argc, char **argv) {
    static const uint32_t sizes[] = {64, 512, 1518};
    static struct link l;
    struct options o;
    char near[96], far[96];
    options_read(&o, argc, argv, list);
    snprintf(near, sizeof(near), "--vdev=net_memif_near,role=server,id=0,socket=weir-perf-%d", (int)getpid());
    snprintf(far, sizeof(far), "--vdev=net_memif_far,role=client,id=0,socket=weir-perf-%d", (int)getpid());
    eal_begin(256, (char *[]){near, far}, ENDS);
    end_open(&l, NEAR);
    end_open(&l, FAR);
    wait_up(&l);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(sizes); i++) {
        char name[32];
        snprintf(name, sizeof(name), "memif_%uB", sizes[i]);
        l.frame_bytes = sizes[i] - 4;
        if (options_want(&o, name))
            measure(&l, name, &o);
    }
    return 0; /* the link goes with the process: on being stopped, memif ports of DPDK 22.11 complain of memory */
}
