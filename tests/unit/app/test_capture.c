/* SPDX-License-Identifier: BSD-3-Clause */
#include "port_fixture.h"

#include <rte_mempool.h>
#include <sys/stat.h>
#include <time.h>

#include "app/weir/capture.h"

#define NOW_US 5000000ull /* of the workers' clock at the start */

static char path[64];
static struct capture *capture;

static void open_port(uint16_t n_workers) {
    fixture_init(n_workers);
    fixture_add("front", "net_ring0");
    fixture_eal();
    cr_assert_eq(fixture_open(), 0, "%s", fx.error);
    snprintf(path, sizeof(path), "/tmp/test_capture.%d.pcapng", (int)getpid());
}

static int start(uint64_t max_packets, uint32_t snaplen) {
    struct capture_options o = {.port = &fx.ports.port[0],
                                .path = path,
                                .max_packets = max_packets,
                                .snaplen = snaplen,
                                .n_workers = fx.config.cores.n_workers};
    return capture_start(&capture, &o, NOW_US, fx.error, sizeof(fx.error));
}

static void packet(unsigned worker, uint16_t len, uint32_t number, bool rx, uint64_t now_us) {
    const struct port *p = &fx.ports.port[0];
    struct rte_mbuf *m = fixture_mbuf(p->pools[worker], len, p->ifc.mac, number);
    capture_packet(capture, worker, m, rx, now_us);
    rte_pktmbuf_free(m);
}

static void finish(void) {
    unlink(path);
    fixture_close();
}

/* One column of every packet, as tshark reads it. */
static unsigned tshark(const char *field, char values[][64], unsigned max) {
    char command[256];
    snprintf(command, sizeof(command), "tshark -r %s -T fields -e %s 2>/dev/null", path, field);
    FILE *f = popen(command, "r");
    unsigned n = 0;
    char line[64];
    cr_assert(f);
    while (fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = '\0';
        if (n < max)
            memcpy(values[n], line, sizeof(line));
        n++;
    }
    cr_assert_eq(pclose(f), 0, "tshark does not read %s", path);
    return n;
}

Test(capture, tshark_reads_it_back) {
    char values[16][64];
    open_port(2);
    cr_assert_eq(start(100, 0), 0, "%s", fx.error);
    double wall = (double)time(NULL);
    packet(0, 61, 1, true, NOW_US + 2000000); /* lengths that need 0 to 3 bytes of padding */
    packet(0, 62, 2, false, NOW_US + 2000000);
    packet(1, 63, 3, true, NOW_US + 1000000);
    packet(1, 1514, 4, false, NOW_US + 3500000);
    cr_assert_eq(capture_drain(capture), 4);
    cr_assert(!capture_done(capture));
    capture_stop(capture);

    static const char *const lengths[] = {"63", "61", "62", "1514"};
    cr_assert_eq(tshark("frame.len", values, 16), 4u);
    for (int i = 0; i < 4; i++)
        cr_assert_str_eq(values[i], lengths[i]);
    cr_assert_eq(tshark("frame.cap_len", values, 16), 4u);
    for (int i = 0; i < 4; i++)
        cr_assert_str_eq(values[i], lengths[i]);
    static const char *const directions[] = {"1", "1", "2", "2"};
    cr_assert_eq(tshark("frame.packet_flags_direction", values, 16), 4u);
    for (int i = 0; i < 4; i++)
        cr_assert(strtol(values[i], NULL, 0) == strtol(directions[i], NULL, 0), "packet %d: direction %s", i,
                  values[i]);
    static const double seconds[] = {1, 2, 2, 3.5};
    cr_assert_eq(tshark("frame.time_epoch", values, 16), 4u);
    for (int i = 0; i < 4; i++) {
        double at = strtod(values[i], NULL) - wall;
        cr_assert(at > seconds[i] - 2 && at < seconds[i] + 2, "packet %d: %s", i, values[i]);
    }
    cr_assert_float_eq(strtod(values[3], NULL) - strtod(values[0], NULL), 2.5, 1e-4);
    cr_assert_eq(tshark("eth.type", values, 16), 4u);
    for (int i = 0; i < 4; i++)
        cr_assert_str_eq(values[i], "0x88b5");
    struct stat st;
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0600u);
    finish();
}

Test(capture, snaplen_cuts_and_chains_are_joined) {
    char values[4][64];
    open_port(1);
    cr_assert_eq(start(100, 96), 0, "%s", fx.error);
    const struct port *p = &fx.ports.port[0];
    struct rte_mbuf *m = fixture_mbuf(p->pools[0], 61, p->ifc.mac, 1);
    struct rte_mbuf *tail = fixture_mbuf(p->pools[0], 501, p->ifc.mac, 1);
    cr_assert_eq(rte_pktmbuf_chain(m, tail), 0);
    capture_packet(capture, 0, m, true, NOW_US);
    rte_pktmbuf_free(m);
    capture_stop(capture); /* drains, too */
    cr_assert_eq(tshark("frame.cap_len", values, 4), 1u);
    cr_assert_str_eq(values[0], "96");
    cr_assert_eq(tshark("frame.len", values, 4), 1u);
    cr_assert_str_eq(values[0], "562");
    finish();
}

Test(capture, ends_after_its_count) {
    char values[8][64];
    open_port(1);
    cr_assert_eq(start(5, 0), 0, "%s", fx.error);
    for (uint32_t i = 0; i < 9; i++)
        packet(0, 60, i, true, NOW_US + i);
    cr_assert_eq(capture_drain(capture), 5);
    cr_assert(capture_done(capture));
    packet(0, 60, 99, true, NOW_US + 99);
    cr_assert_eq(capture_drain(capture), 0);
    capture_stop(capture);
    cr_assert_eq(tshark("frame.len", values, 8), 5u);
    finish();
}

Test(capture, full_ring_drops_and_counts) {
    open_port(1);
    cr_assert_eq(start(1u << 20, 64), 0, "%s", fx.error);
    uint32_t offered = CAPTURE_RING + 100;
    uint32_t before = rte_mempool_avail_count(fx.ports.port[0].pools[0]);
    for (uint32_t i = 0; i < offered; i++)
        packet(0, 60, i, true, NOW_US + i);
    cr_assert_eq(rte_mempool_avail_count(fx.ports.port[0].pools[0]), before, "the port's own buffers are held");
    struct capture_stats s;
    int n = 0, total = 0;
    while ((n = capture_drain(capture)) > 0)
        total += n;
    capture_stats(capture, &s);
    cr_assert_eq(s.written, (uint64_t)total);
    cr_assert_eq(s.written + s.dropped, offered);
    cr_assert_gt(s.dropped, 0u);
    packet(0, 60, 1, true, NOW_US + offered); /* and there is room again */
    cr_assert_eq(capture_drain(capture), 1);
    capture_stop(capture);
    finish();
}

Test(capture, one_a_port_and_bad_files) {
    open_port(1);
    cr_assert_eq(start(10, 0), 0, "%s", fx.error);
    struct capture *first = capture;
    cr_assert_eq(start(10, 0), WEIR_EEXIST);
    cr_assert(strstr(fx.error, "front"), "%s", fx.error);
    capture_stop(first);

    char link[80];
    snprintf(link, sizeof(link), "%s.link", path);
    cr_assert_eq(symlink(path, link), 0);
    char kept[sizeof(path)];
    memcpy(kept, path, sizeof(path));
    snprintf(path, sizeof(path), "%.55s.link", kept);
    cr_assert_eq(start(10, 0), WEIR_EIO, "through a symbolic link");
    unlink(link);
    snprintf(path, sizeof(path), "/nowhere/at/all");
    cr_assert_eq(start(10, 0), WEIR_EIO);
    cr_assert(strstr(fx.error, "/nowhere/at/all"), "%s", fx.error);
    snprintf(path, sizeof(path), "/dev/full");
    cr_assert_eq(start(10, 0), WEIR_EIO);
    memcpy(path, kept, sizeof(path));
    finish();
}
