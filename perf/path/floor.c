/* SPDX-License-Identifier: BSD-3-Clause */
/* What weir's path costs a packet, beside the least that a program on DPDK does for it: the same frames from the same
 * harness over the same rings through a forwarder that swaps addresses and ports (forward.c), through weir's UDP echo,
 * and through its L4 forwarding. A frame's size counts its FCS, as testers do. Cycles of the turns alone; what reading
 * the TSC takes is taken off both.
 *
 *   path_floor [--only forward_64B_burst32] and the other options of options.h */
#include "forward.h"
#include "host.h"
#include "options.h"
#include "report.h"

#include <netinet/in.h>
#include <rte_cycles.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLOWS         1024u
#define BURST_MAX     32u
#define ROUNDS        64u /* of a sample */
#define SAMPLES       1000u
#define SAMPLES_QUICK 200u
#define FIRST_SPT     10000u
#define FRAME_MAX     1518u

enum path { PATH_SWAP_BACK, PATH_ECHO, PATH_SWAP_ACROSS, PATH_UDP, PATH_COUNT };

struct scenario {
    const char *name;
    enum path path;
    enum path floor; /* what it is compared with; itself: a floor */
};

static const struct scenario scenarios[] = {{"swap", PATH_SWAP_BACK, PATH_SWAP_BACK},
                                            {"echo", PATH_ECHO, PATH_SWAP_BACK},
                                            {"swap_across", PATH_SWAP_ACROSS, PATH_SWAP_ACROSS},
                                            {"forward", PATH_UDP, PATH_SWAP_ACROSS}};

struct floor {
    struct rig rig;
    struct host host[RIG_PORTS];
    struct options options;
    struct report report;
    uint32_t frame_bytes, next_flow, burst_min, burst_max;
    uint8_t frame[FRAME_MAX];
    uint32_t payload_sum;     /* of the UDP checksum, all but the source port */
    double least[PATH_COUNT]; /* cycles a packet, of the sizes under work */
    uint64_t empty_ticks;     /* of a meter with nothing in between */
};

/* --- frames --- */

/* Of an even number of bytes as they lie in memory, not folded (RFC 1071). */
static uint32_t sum_of(const uint8_t *p, uint32_t n) {
    uint32_t sum = 0;
    for (uint16_t two; n >= sizeof(two); n -= (uint32_t)sizeof(two), p += sizeof(two)) {
        memcpy(&two, p, sizeof(two));
        sum += two;
    }
    return sum;
}

/* The frame of flow 0 towards `dport`; the others differ in their source port, and so in their checksum. */
static void frame_make(struct floor *f, uint16_t dport) {
    uint32_t ip_bytes = f->frame_bytes - 4 - (uint32_t)sizeof(struct wire_eth);
    uint32_t udp_bytes = ip_bytes - (uint32_t)sizeof(struct wire_ip4);
    struct wire_eth *eth = (struct wire_eth *)f->frame;
    struct wire_ip4 *ip = (struct wire_ip4 *)(eth + 1);
    struct wire_udp *udp = (struct wire_udp *)(ip + 1);
    memset(f->frame, 0x5a, sizeof(f->frame));
    memcpy(eth->dst, f->rig.weir.ports.port[RIG_FRONT].ifc.mac, 6);
    memcpy(eth->src, f->host[RIG_FRONT].ifc.mac, 6);
    eth->type_be = RTE_BE16(WIRE_ETH_IP4);
    *ip = (struct wire_ip4){.version_ihl = 0x45,
                            .total_len_be = rte_cpu_to_be_16((uint16_t)ip_bytes),
                            .ttl = 64,
                            .proto = IPPROTO_UDP,
                            .saddr_be = RIG_CLIENT,
                            .daddr_be = RIG_ADDR(0, 1)};
    *udp = (struct wire_udp){.dport_be = rte_cpu_to_be_16(dport), .len_be = rte_cpu_to_be_16((uint16_t)udp_bytes)};
    f->payload_sum = sum_of((const uint8_t *)udp, udp_bytes) +
                     checksum_pseudo(RIG_CLIENT, RIG_ADDR(0, 1), IPPROTO_UDP, (uint16_t)udp_bytes);
}

/* Of flow `sport_be`. */
static uint16_t udp_checksum(const struct floor *f, uint16_t sport_be) {
    uint32_t sum = f->payload_sum + sport_be;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum == 0xffff ? 0xffff : (uint16_t)~sum;
}

/* n frames of the next flows into the worker's receive ring, as a NIC would. */
static void fill(struct floor *f, uint32_t n) {
    struct rte_mbuf *m[BURST_MAX];
    uint32_t len = f->frame_bytes - 4;
    bool good = !f->options.software_checksums;
    if (rte_pktmbuf_alloc_bulk(f->rig.pool[RIG_FRONT], m, n) != 0)
        rig_fail("out of mbufs");
    for (uint32_t i = 0; i < n; i++) {
        uint8_t *data = (uint8_t *)rte_pktmbuf_append(m[i], (uint16_t)len);
        memcpy(data, f->frame, len);
        struct wire_ip4 *ip = (struct wire_ip4 *)(data + sizeof(struct wire_eth));
        struct wire_udp *udp = (struct wire_udp *)(ip + 1);
        udp->sport_be = rte_cpu_to_be_16((uint16_t)(FIRST_SPT + f->next_flow++ % FLOWS));
        udp->checksum_be = udp_checksum(f, udp->sport_be);
        if (!good)
            ip->checksum_be = (uint16_t)~checksum_chain(m[i], sizeof(struct wire_eth), sizeof(*ip));
        m[i]->ol_flags = good ? RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD : 0;
    }
    if (rte_ring_enqueue_bulk(f->rig.rx[RIG_FRONT], (void *const *)m, n, NULL) != n)
        rig_fail("the receive ring is full");
}

static unsigned out_port(enum path path) {
    return path == PATH_SWAP_BACK || path == PATH_ECHO ? RIG_FRONT : RIG_BACK;
}

/* --- turns --- */

static void turn(struct floor *f, enum path path) {
    struct rig *r = &f->rig;
    if (path == PATH_ECHO || path == PATH_UDP) {
        rig_turn(r);
        r->now_us++;
        return;
    }
    meter_on(&r->meter);
    forward_burst(r->eth_port[RIG_FRONT], r->eth_port[out_port(path)]);
    meter_off(&r->meter);
}

/* Is it the answer to, or the forwarded copy of, a frame of ours? */
static void check(const struct floor *f, enum path path, const struct rte_mbuf *m) {
    const struct wire_eth *eth = rte_pktmbuf_mtod(m, const struct wire_eth *);
    const struct wire_ip4 *ip = (const struct wire_ip4 *)(eth + 1);
    const struct wire_udp *udp = (const struct wire_udp *)(ip + 1);
    uint32_t daddr_be = path == PATH_UDP ? RIG_BROKER : RIG_CLIENT;
    uint32_t payload = f->frame_bytes - 4 - 42;
    bool ok = m->pkt_len == f->frame_bytes - 4 && m->nb_segs == 1 && ip->daddr_be == daddr_be &&
              memcmp(udp + 1, f->frame + 42, payload) == 0;
    if (path == PATH_UDP)
        ok = ok && udp->dport_be == RTE_BE16(RIG_UDP) && memcmp(eth->dst, f->host[RIG_BACK].ifc.mac, 6) == 0;
    else
        ok = ok && rte_be_to_cpu_16(udp->dport_be) - FIRST_SPT < FLOWS &&
             memcmp(eth->dst, f->host[RIG_FRONT].ifc.mac, 6) == 0;
    if (!ok)
        rig_fail("a frame came back that is not what was to");
}

/* Free what came out. Returns how many. */
static uint32_t drain(struct floor *f, enum path path) {
    struct rte_mbuf *m[BURST_MAX];
    unsigned n = rte_ring_dequeue_burst(f->rig.tx[out_port(path)], (void **)m, BURST_MAX, NULL);
    if (n != 0)
        check(f, path, m[n - 1]);
    rte_pktmbuf_free_bulk(m, n);
    return n;
}

/* Until all flows are known and the broker's MAC is: frames of both hosts are looked after meanwhile. */
static void introduce(struct floor *f, enum path path) {
    f->rig.worker->announced = false;
    for (uint32_t i = 0; i < 3 * FLOWS / BURST_MAX; i++) {
        fill(f, BURST_MAX);
        for (uint32_t k = 0; k < 3; k++) {
            turn(f, path);
            for (unsigned p = 0; p < RIG_PORTS; p++)
                host_receive(&f->host[p]);
        }
    }
}

/* --- a sample --- */

/* Returns the packets. */
static uint32_t sample(struct floor *f, enum path path) {
    uint64_t preemptions = report_preemptions();
    uint32_t sent = 0, came = 0;
    f->rig.meter = (struct meter){0};
    for (uint32_t i = 0, n = f->burst_min; i < ROUNDS; i++) {
        fill(f, n);
        turn(f, path);
        sent += n;
        came += drain(f, path);
        n = n == f->burst_max ? f->burst_min : n + 1;
    }
    if (sent != came)
        rig_fail("frames were lost");
    if (report_preemptions() == preemptions)
        report_add(&f->report, (double)(f->rig.meter.ticks - ROUNDS * f->empty_ticks) / sent);
    return sent;
}

static void meter_calibrate(struct floor *f) {
    f->empty_ticks = UINT64_MAX;
    for (int i = 0; i < 1000; i++) {
        struct meter m = {0};
        meter_on(&m);
        meter_off(&m);
        if (m.ticks < f->empty_ticks)
            f->empty_ticks = m.ticks;
    }
}

static void measure(struct floor *f, const struct scenario *s, const char *name) {
    uint64_t until = rte_rdtsc() + f->options.perf_s * rte_get_tsc_hz();
    frame_make(f, s->path == PATH_ECHO ? RIG_ECHO : RIG_UDP);
    if (s->path != s->floor)
        introduce(f, s->path);
    do {
        report_begin(&f->report);
        for (uint32_t i = 0; i < (f->options.quick ? SAMPLES_QUICK : SAMPLES); i++)
            sample(f, s->path);
    } while (f->options.perf_s != 0 && rte_rdtsc() < until);
    f->least[s->path] = report_end(&f->report, name, "cycles/packet", false);
    if (s->floor == s->path || f->least[s->floor] == 0 || f->options.csv)
        return;
    printf("%-34s %10.1f %% of the floor's rate (%.2f of %.2f million packets/s)\n", "",
           100 * f->least[s->floor] / f->least[s->path], (double)rte_get_tsc_hz() / 1e6 / f->least[s->path],
           (double)rte_get_tsc_hz() / 1e6 / f->least[s->floor]);
}

static void count(struct floor *f, const struct scenario *s, const char *name) {
    frame_make(f, s->path == PATH_ECHO ? RIG_ECHO : RIG_UDP);
    if (s->path != s->floor)
        introduce(f, s->path);
    sample(f, s->path);
    meter_count_begin();
    meter_count_end(name, sample(f, s->path));
}

static void run(struct floor *f) {
    static const uint32_t sizes[] = {64, 512};
    static const struct {
        const char *name;
        uint32_t min, max;
    } bursts[] = {{"burst32", 32, 32}, {"burst1to4", 1, 4}};
    for (size_t size = 0; size < WEIR_ARRAY_LEN(sizes); size++) {
        for (size_t b = 0; b < WEIR_ARRAY_LEN(bursts); b++) {
            f->frame_bytes = sizes[size];
            f->burst_min = bursts[b].min;
            f->burst_max = bursts[b].max;
            for (size_t s = 0; s < WEIR_ARRAY_LEN(scenarios); s++) {
                char name[48];
                snprintf(name, sizeof(name), "%s_%uB_%s", scenarios[s].name, sizes[size], bursts[b].name);
                if (options_want(&f->options, name))
                    (f->options.count ? count : measure)(f, &scenarios[s], name);
            }
        }
    }
}

static void nobody_ready(struct host *h, tcp_id id, uint8_t events) {
    (void)events;
    tcp_conn_release(h->tcp, id);
}

static void list(void) {
    fprintf(stderr, " {swap,echo,swap_across,forward}_{64,512}B_{burst32,burst1to4}");
}

int main(int argc, char **argv) {
    static struct floor f;
    options_read(&f.options, argc, argv, list);
    f.report.csv = f.options.csv;
    rig_open(&f.rig, &(struct rig_options){FLOWS, f.options.software_checksums});
    host_open(&f.host[RIG_FRONT], &f.rig, RIG_FRONT, RIG_CLIENT, 64);
    host_open(&f.host[RIG_BACK], &f.rig, RIG_BACK, RIG_BROKER, 64);
    f.host[RIG_FRONT].ready = f.host[RIG_BACK].ready = nobody_ready;
    meter_calibrate(&f);
    run(&f);
    host_close(&f.host[RIG_FRONT]);
    host_close(&f.host[RIG_BACK]);
    rig_close(&f.rig);
    return 0;
}
