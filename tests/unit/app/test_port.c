/* SPDX-License-Identifier: BSD-3-Clause */
/* Each test is a process of its own: EAL starts once in each. */
#include "port_fixture.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <rte_eal.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "app/weir/port_device.h"

static const uint8_t zero_mac[6];

Test(port, device_strings) {
    char value[8];
    cr_assert(device_traits_of("0000:01:00.0")->pci);
    cr_assert(device_traits_of("01:00.1")->pci);
    cr_assert(device_traits_of("0000:3b:00.0,arg=1")->pci);
    cr_assert(!device_traits_of("net_tap0")->pci);
    cr_assert(!device_traits_of("net_pcap0,rx_pcap=/x/00:00.0")->pci);
    cr_assert(device_traits_of("net_af_xdp7,iface=x")->queue_per_vdev);
    cr_assert(device_traits_of("net_vhost0,iface=/x")->needs_hugepages);
    cr_assert(!device_traits_of("net_something")->needs_hugepages);
    cr_assert(device_arg("net_x0,iface=abc,queue_count=2", "iface", value, sizeof(value)));
    cr_assert_str_eq(value, "abc");
    cr_assert(device_arg("net_x0,iface=abc,queue_count=2", "queue_count", value, sizeof(value)));
    cr_assert_str_eq(value, "2");
    cr_assert(!device_arg("net_x0,iface=abc", "queue_count", value, sizeof(value)));
    cr_assert(!device_arg("iface=abc", "iface", value, sizeof(value)), "the name is no argument");
    cr_assert(device_arg("net_x0,iface=longer_than_that", "iface", value, sizeof(value)));
    cr_assert_str_eq(value, "longer_");
}

static void object_address(struct rte_mempool *pool, void *previous, void *object, unsigned i) {
    size_t stride = pool->header_size + pool->elt_size + pool->trailer_size;
    uintptr_t *last = previous;
    if (i)
        cr_assert_eq((uintptr_t)object - *last, stride, "a gap in front of object %u", i);
    *last = (uintptr_t)object;
}

Test(port, ring_null_and_packed_pools) {
    fixture_init(2);
    fixture_add("ring", "net_ring0");
    fixture_add("null", "net_null0");
    fixture_eal();
    cr_assert(!fx.ports.hugepages);
    cr_assert_str_eq(fx.ports.memory_text, "160 MB without huge pages (switched off)");
    cr_assert_eq(fixture_open(), 0, "%s", fx.error);
    cr_assert_eq(fx.ports.n, 2);

    const struct port *ring = &fx.ports.port[0];
    cr_assert_eq(ring->n_queues, 2);
    cr_assert(!ring->steered && !ring->is_af_xdp && ring->multi_seg);
    cr_assert(!ring->tso && ring->tso_segs == 0, "it cuts nothing");
    cr_assert(port_link_up(ring));
    cr_assert_neq(memcmp(ring->ifc.mac, zero_mac, 6), 0);
    cr_assert_eq(ring->ifc.mac[0] & 1, 0);
    cr_assert_eq(ring->ifc.mtu, 1500);
    cr_assert_eq(ring->ifc.n_addrs, 1);
    cr_assert_eq(ring->ifc.addrs[0].mask_be, inet_addr("255.255.255.0"));
    for (uint16_t w = 0; w < 2; w++) {
        uintptr_t last = 0;
        cr_assert_eq(ring->pools[w]->nb_mem_chunks, 1u);
        cr_assert_eq(ring->pools[w]->populated_size, FIXTURE_MBUFS);
        cr_assert_eq(rte_mempool_obj_iter(ring->pools[w], object_address, &last), FIXTURE_MBUFS);
        cr_assert_null(ring->pools[w + 2]);
    }
    struct rte_mbuf *got[4];
    for (uint16_t q = 0; q < 2; q++)
        cr_assert(fixture_send(ring, q, fixture_mbuf(ring->pools[q], 60, ring->ifc.mac, q)));
    cr_assert_eq(fixture_receive(ring, got, 2), 2u);
    rte_pktmbuf_free_bulk(got, 2);
    struct port_device_stats s;
    port_device_stats(ring, &s);
    cr_assert_eq(s.rx_packets, 2u);
    cr_assert_eq(s.tx_packets, 2u);
    fixture_close();
}

static uint32_t count_pool(const struct port *p, uint16_t n_workers) {
    uint32_t n = 0;
    for (uint16_t w = 0; w < n_workers; w++)
        n += rte_mempool_avail_count(p->pools[w]);
    return n;
}

Test(port, two_taps_both_ways_and_again) {
    fixture_namespace();
    fixture_init(2);
    fixture_add("front", "net_tap0,iface=wfront");
    fixture_add("back", "net_tap1,iface=wback");
    fx.config.ports[1].mtu = 1400;
    fixture_eal();
    for (int round = 0; round < 2; round++) {
        cr_assert_eq(fixture_open(), 0, "%s", fx.error);
        static const char *const interfaces[] = {"wfront", "wback"};
        for (uint16_t i = 0; i < 2; i++) {
            const struct port *p = &fx.ports.port[i];
            cr_assert_eq(p->n_queues, 2);
            cr_assert(p->multi_seg && !p->hw_tcp_cksum && !p->hw_udp_cksum && !p->hw_ip_cksum && !p->hw_rx_cksum);
            cr_assert(!p->tso, "in software by the driver: no gain");
            cr_assert(!p->steered);
            char command[96];
            snprintf(command, sizeof(command), "ip link show %s | grep -q 'mtu %u '", interfaces[i], p->ifc.mtu);
            cr_assert_eq(system(command), 0);
            struct ifreq r = {0};
            int fd = fixture_socket(interfaces[i]);
            memcpy(r.ifr_name, interfaces[i], strlen(interfaces[i]));
            cr_assert_eq(ioctl(fd, SIOCGIFHWADDR, &r), 0);
            cr_assert_neq(memcmp(r.ifr_hwaddr.sa_data, p->ifc.mac, 6), 0, "both ends have one MAC");
            uint8_t frame[1514], back[1514];
            struct rte_mbuf *got[8];
            uint16_t len = (uint16_t)(p->ifc.mtu + 14);
            fixture_fill(frame, len, p->ifc.mac, 5);
            cr_assert_eq(send(fd, frame, len, 0), len);
            cr_assert_eq(fixture_receive(p, got, 1), 1u);
            cr_assert_eq(rte_pktmbuf_pkt_len(got[0]), len);
            cr_assert_eq(memcmp(rte_pktmbuf_mtod(got[0], void *), frame, len), 0);
            cr_assert_eq(got[0]->ol_flags & (RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK), 0u);
            rte_pktmbuf_free(got[0]);
            for (uint16_t q = 0; q < 2; q++) {
                fixture_fill(frame, len, p->ifc.mac, 10u + q);
                cr_assert(fixture_send(p, q, fixture_mbuf(p->pools[q], len, p->ifc.mac, 10u + q)));
                cr_assert_eq(recv(fd, back, sizeof(back), 0), len);
                cr_assert_eq(memcmp(back, frame, len), 0);
            }
            close(fd);
        }
        ports_close(&fx.ports);
        cr_assert_eq(if_nametoindex("wfront"), 0u, "the interface outlives its port");
    }
    fixture_close();
}

/* `n` frames in, held, checked; then the same mbufs out, and checked over there. */
static void there_and_back(const struct port *p, int fd, struct rte_mbuf **held, uint32_t n) {
    uint8_t frame[1514], back[1514];
    for (uint32_t done = 0; done < n;) {
        uint32_t batch = RTE_MIN(n - done, 32u);
        for (uint32_t i = 0; i < batch; i++) {
            fixture_fill(frame, sizeof(frame), p->ifc.mac, done + i);
            cr_assert_eq(send(fd, frame, sizeof(frame), 0), (ssize_t)sizeof(frame));
        }
        uint32_t got = fixture_receive(p, held + done, batch);
        cr_assert_eq(got, batch, "%u of %u frames arrived", done + got, n);
        for (uint32_t i = 0; i < batch; i++) {
            fixture_fill(frame, sizeof(frame), p->ifc.mac, done + i);
            cr_assert_eq(memcmp(rte_pktmbuf_mtod(held[done + i], void *), frame, sizeof(frame)), 0);
        }
        done += batch;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t number;
        cr_assert(fixture_send(p, 0, held[i]));
        cr_assert_eq(recv(fd, back, sizeof(back), 0), (ssize_t)sizeof(back), "frame %u did not come back", i);
        memcpy(&number, back + 14, sizeof(number));
        cr_assert_eq(number, i);
    }
}

/* Every mbuf of the pool must lie in the memory that the kernel knows. The fill queue is 2048 of the 4096 ahead of what
 * arrives, so it takes two rounds until all have been used; then a burst, because the kernel leaves out what it does
 * not know without a word, and only has too few in the end. */
Test(port, af_xdp_uses_every_mbuf) {
    fixture_namespace();
    fixture_veth("wx0", "wpeer", 1);
    fixture_init(1);
    fixture_add("front", "net_af_xdp0,iface=wx0");
    fixture_eal();
    cr_assert_eq(fixture_open(), 0, "%s", fx.error);
    const struct port *p = &fx.ports.port[0];
    cr_assert(p->is_af_xdp && !p->multi_seg);
    cr_assert_eq(p->n_queues, 1);
    static struct rte_mbuf *held[FIXTURE_MBUFS];
    int fd = fixture_socket("wpeer");
    uint32_t n = FIXTURE_MBUFS - 2048 - 64;
    for (int round = 0; round < 3; round++)
        there_and_back(p, fd, held, n);
    uint32_t burst = 900; /* of 1024 descriptors */
    uint8_t frame[60];
    fixture_fill(frame, sizeof(frame), p->ifc.mac, 0);
    for (uint32_t i = 0; i < burst; i++)
        cr_assert_eq(send(fd, frame, sizeof(frame), 0), (ssize_t)sizeof(frame));
    uint32_t got = fixture_receive(p, held, burst);
    cr_assert_eq(got, burst, "%u of a burst of %u arrived", got, burst);
    rte_pktmbuf_free_bulk(held, burst);
    struct port_device_stats s;
    port_device_stats(p, &s);
    cr_assert_eq(s.tx_packets, 3u * n);
    cr_assert_geq(s.rx_packets, 3u * n + burst);
    cr_assert_eq(s.rx_missed, 0u);
    close(fd);
    fixture_close();
}

Test(port, af_xdp_two_queues_and_one_of_two) {
    fixture_namespace();
    fixture_veth("wx0", "wpeer", 2);
    fixture_init(2);
    fixture_add("front", "net_af_xdp0,iface=wx0");
    fixture_eal();
    cr_assert_eq(fixture_open(), 0, "%s", fx.error);
    const struct port *p = &fx.ports.port[0];
    cr_assert_eq(p->n_queues, 2);
    cr_assert_neq(p->queues[0].eth_port, p->queues[1].eth_port);
    int fd = fixture_socket("wpeer");
    for (uint16_t q = 0; q < 2; q++) {
        uint8_t back[128];
        cr_assert(fixture_send(p, q, fixture_mbuf(p->pools[q], 100, p->ifc.mac, q)));
        cr_assert_eq(recv(fd, back, sizeof(back), 0), 100);
    }
    close(fd);
    ports_close(&fx.ports);
    fixture_clear_ports();
    fixture_add("second", "net_af_xdp0,iface=wx0,start_queue=1,queue_count=1");
    cr_assert_eq(fixture_open(), 0, "%s", fx.error);
    cr_assert_eq(fx.ports.port[0].n_queues, 1);
    cr_assert_not_null(fx.ports.port[0].pools[1], "a worker without a queue has a pool all the same");
    ports_close(&fx.ports);
    fixture_clear_ports();
    fixture_add("third", "net_af_xdp0,iface=wx0,start_queue=2");
    cr_assert_eq(fixture_open(), WEIR_ERANGE);
    fixture_close();
}

static void refuse(const char *device, int code, const char *part) {
    fixture_clear_ports();
    fixture_add("front", device);
    int ret = fixture_open();
    cr_assert_eq(ret, code, "%s: %d %s", device, ret, fx.error);
    cr_assert(strstr(fx.error, "port front: "), "%s", fx.error);
    cr_assert(strstr(fx.error, part), "%s", fx.error);
    cr_assert_eq(fx.ports.n, 0);
}

Test(port, refusals) {
    fixture_namespace();
    fixture_veth("wx0", "wpeer", 1);
    cr_assert_eq(system("ip addr add 198.18.9.1/24 dev wx0 && ip link set wx0 up && "
                        "ip route add default via 198.18.9.2 dev wx0"),
                 0);
    fixture_init(1);
    fixture_eal();
    refuse("net_af_xdp0,iface=nowhere", WEIR_ENOENT, "ip link");
    refuse("net_af_xdp0", WEIR_EINVAL, "iface=");
    refuse("net_af_xdp0,iface=wx0", WEIR_ENOTSUP, "default route");
    refuse("net_tap0,ifce=wx1", WEIR_EINVAL, "no argument \"ifce\"");
    refuse("net_nothing0", WEIR_EIO, "net_nothing0");
    refuse("net_pcap0,rx_pcap=/nowhere/x", WEIR_EIO, "/nowhere/x");
    refuse("0000:ff:1f.7", WEIR_ENOENT, "0000:ff:1f.7");

    fixture_clear_ports();
    fixture_add("front", "net_af_xdp0,iface=wx0");
    fx.config.ports[0].exclusive = true;
    cr_assert_eq(fixture_open(), 0, "%s", fx.error);
    ports_close(&fx.ports);
    fx.config.ports[0].mtu = 9000;
    cr_assert_eq(fixture_open(), WEIR_ERANGE);
    cr_assert(strstr(fx.error, "9000"), "%s", fx.error);
    fx.config.ports[0].mtu = 1500;

    fixture_add("twin", "net_af_xdp0,iface=wpeer");
    cr_assert_eq(fixture_open(), WEIR_EEXIST);
    cr_assert(strstr(fx.error, "port twin"), "%s", fx.error);

    fixture_clear_ports();
    fixture_add("wide", "net_null0");
    fx.config.ports[0].n_addresses = NET_IF_ADDRS + 1;
    cr_assert_eq(fixture_open(), WEIR_ERANGE);
    fx.config.ports[0].n_addresses = 1;
    fx.plan.mbufs[0] = 1u << 20;
    cr_assert_eq(fixture_open(), WEIR_ENOMEM);
    cr_assert(strstr(fx.error, "max_connections"), "%s", fx.error);
    fixture_close();
}

/* Somebody else's XDP program, a firewall perhaps, is not ours to remove. */
Test(port, leaves_other_programs_alone) {
    fixture_namespace();
    fixture_veth("wx0", "wpeer", 1);
    struct bpf_insn pass[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS},
                              {.code = BPF_JMP | BPF_EXIT}};
    int program = bpf_prog_load(BPF_PROG_TYPE_XDP, "some_firewall", "GPL", pass, RTE_DIM(pass), NULL);
    cr_assert_geq(program, 0);
    int index = (int)if_nametoindex("wx0");
    cr_assert_eq(bpf_xdp_attach(index, program, 0, NULL), 0);
    fixture_init(1);
    fixture_eal();
    refuse("net_af_xdp0,iface=wx0", WEIR_EEXIST, "some_firewall");
    uint32_t id = 0;
    cr_assert_eq(bpf_xdp_query_id(index, 0, &id), 0);
    cr_assert_neq(id, 0u);
    cr_assert_eq(bpf_xdp_detach(index, 0, NULL), 0);
    cr_assert_eq(fixture_open(), 0, "%s", fx.error);
    fixture_close();
}

/* A process that is killed leaves its XDP program on the interface and its folder behind. */
Test(port, starts_after_kill) {
    fixture_namespace();
    fixture_veth("wx0", "wpeer", 1);
    fixture_init(1);
    fixture_add("front", "net_af_xdp0,iface=wx0");
    int ready[2], go[2];
    cr_assert_eq(pipe(ready) | pipe(go), 0);
    pid_t next = fork(); /* EAL starts once in a process, so this one waits with it */
    if (next == 0) {
        char c;
        if (read(go[0], &c, 1) != 1)
            _exit(1);
        int ret = eal_start(&fx.config, &fx.plan, "weir", NULL, 0, &fx.ports, fx.error, sizeof(fx.error));
        eal_stop();
        _exit(ret != 0);
    }
    pid_t child = fork();
    if (child == 0) {
        char c = (char)eal_start(&fx.config, &fx.plan, "weir", NULL, 0, &fx.ports, fx.error, sizeof(fx.error));
        if (c == 0)
            c = (char)fixture_open();
        if (write(ready[1], &c, 1) == 1)
            pause();
        _exit(1);
    }
    char c = 1;
    cr_assert_eq(read(ready[0], &c, 1), 1);
    cr_assert_eq(c, 0, "the child's port did not open");
    fixture_eal();
    char folder[256];
    snprintf(folder, sizeof(folder), "%s", rte_eal_get_runtime_dir());
    cr_assert_eq(fixture_open(), WEIR_EEXIST, "a live process has the interface: %s", fx.error);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    cr_assert_eq(system("ip link show wx0 | grep -q xdp"), 0);
    cr_assert_eq(fixture_open(), 0, "%s", fx.error);

    const struct port *p = &fx.ports.port[0];
    int fd = fixture_socket("wpeer");
    uint8_t frame[100];
    struct rte_mbuf *got;
    fixture_fill(frame, sizeof(frame), p->ifc.mac, 1);
    cr_assert_eq(send(fd, frame, sizeof(frame), 0), (ssize_t)sizeof(frame));
    cr_assert_eq(fixture_receive(p, &got, 1), 1u);
    rte_pktmbuf_free(got);
    close(fd);
    ports_close(&fx.ports);
    eal_stop();
    cr_assert_neq(system("ip link show wx0 | grep -q xdp"), 0);
    cr_assert_neq(access(folder, F_OK), 0, "the runtime folder is still there");

    char stale[256];
    snprintf(stale, sizeof(stale), "%.*s-%d", (int)(strrchr(folder, '-') - folder), folder, (int)child);
    cr_assert_eq(access(stale, F_OK), 0, "%s", stale);
    int status = -1;
    cr_assert_eq(write(go[1], "", 1), 1);
    waitpid(next, &status, 0);
    cr_assert_eq(status, 0);
    cr_assert_neq(access(stale, F_OK), 0, "the folder of the killed process is still there");
}

Test(port, listens_after_kill) {
    char device[128], path[64];
    snprintf(path, sizeof(path), "/tmp/test_port.%d.sock", (int)getpid());
    snprintf(device, sizeof(device), "net_memif0,role=server,socket=%s,socket-abstract=no", path);
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    memcpy(at.sun_path, path, sizeof(path));
    int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    fixture_init(2);
    fixture_add("front", device);
    fixture_eal();
    close(fd); /* as a killed process would: the path stays */
    cr_assert_eq(fixture_open(), 0, "%s", fx.error);
    cr_assert_eq(fx.ports.port[0].n_queues, 1);
    cr_assert(!port_link_up(&fx.ports.port[0]), "without a peer");
    fixture_close();
    unlink(path);
}

Test(port, large_frames) {
    fixture_init(1);
    fixture_add("front", "net_ring0");
    fx.config.ports[0].mtu = 9000;
    fx.plan.eal_mb = 64; /* which alone is not enough for 4096 of them */
    fixture_eal();
    cr_assert_eq(fixture_open(), 0, "%s", fx.error);
    const struct port *p = &fx.ports.port[0];
    struct rte_mbuf *m = fixture_mbuf(p->pools[0], 9014, p->ifc.mac, 3);
    cr_assert_eq(m->nb_segs, 1);
    rte_pktmbuf_free(m);
    fixture_close();
}

Test(port, mbufs_come_back) {
    fixture_init(2);
    fixture_add("ring", "net_ring0");
    fixture_eal();
    cr_assert_eq(fixture_open(), 0, "%s", fx.error);
    const struct port *p = &fx.ports.port[0];
    for (uint32_t i = 0; i < 3000; i++) {
        struct rte_mbuf *got;
        uint16_t q = i & 1;
        cr_assert(fixture_send(p, q, fixture_mbuf(p->pools[q], 60, p->ifc.mac, i)));
        cr_assert_eq(fixture_receive(p, &got, 1), 1u);
        rte_pktmbuf_free(got);
    }
    cr_assert_eq(count_pool(p, 2), 2 * FIXTURE_MBUFS);
    fixture_close();
}
