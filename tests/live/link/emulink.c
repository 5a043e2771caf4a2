/* SPDX-License-Identifier: BSD-3-Clause */
/* emulink: a link with delay, bottleneck and faults between two interfaces, for kernels without netem.
 *
 *   receive (a burst from each interface) -> line_enter ... line_leave -> transmit (a burst to the other one)
 *
 * One thread that sleeps until a frame comes or is due. AF_PACKET sockets see what the interface received and put
 * frames onto its wire: with veth that is the other end's input, with TAP the program that reads it. */
#include "options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BURST        64u
#define SOCKET_BYTES (16 << 20)
#define NS_PER_S     1000000000ull
#define TICK_NS      100000ull /* with frames under way it looks that often: a wake-up costs more than a frame */
#define BURSTS       8u        /* of one kind before the others get their turn */

struct link {
    int sockets[2];
    struct line lines[2]; /* lines[i] leads from sockets[i] to the other one */
    struct pool pool;
    uint64_t kernel_drops[2];
};

static volatile sig_atomic_t stop; /* a signal handler can reach nothing else */

static void on_signal(int number) {
    (void)number;
    stop = 1;
}

static void die(const char *what, const char *which) {
    fprintf(stderr, "emulink: %s %s: %s\n", what, which, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static int open_interface(const char *name) {
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("packet socket for", name);
    int on = 1, bytes = SOCKET_BYTES;
    if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) != 0)
        die("options of the packet socket for", name);
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(name)};
    struct packet_mreq all = {.mr_ifindex = address.sll_ifindex, .mr_type = PACKET_MR_PROMISC};
    if (address.sll_ifindex == 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)) != 0)
        die("interface", name);
    return fd;
}

/* One burst from interface `side` into its line; how many came. */
static unsigned receive(struct link *link, unsigned side) {
    struct line *line = &link->lines[side];
    struct pool *pool = &link->pool;
    unsigned room = pool->n_free < BURST ? pool->n_free : BURST;
    struct frame spare; /* with an empty pool frames are still taken, and dropped */
    struct iovec buffers[BURST];
    struct mmsghdr messages[BURST] = {0};
    for (unsigned i = 0; i < (room != 0 ? room : 1); i++) {
        buffers[i] = (struct iovec){room != 0 ? pool->free[pool->n_free - 1 - i]->data : spare.data, FRAME_MAX};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &buffers[i], .msg_iovlen = 1};
    }
    int n = recvmmsg(link->sockets[side], messages, room != 0 ? room : 1, MSG_DONTWAIT | MSG_TRUNC, NULL);
    if (n <= 0)
        return 0;
    if (room == 0) {
        line->pool_empty++;
        return 1;
    }
    struct frame *came[BURST];
    for (int i = 0; i < n; i++)
        came[i] = pool_get(pool);
    uint64_t now = now_ns();
    for (int i = 0; i < n; i++) {
        came[i]->len = messages[i].msg_len;
        if (came[i]->len > FRAME_MAX) {
            line->too_long++;
            pool_put(pool, came[i]);
        } else {
            line_enter(line, came[i], now);
        }
    }
    return (unsigned)n;
}

/* One burst of frames that are due out of the other interface; how many. */
static unsigned transmit(struct link *link, unsigned side) {
    struct line *line = &link->lines[side];
    struct frame *due[BURST];
    struct iovec buffers[BURST];
    struct mmsghdr messages[BURST] = {0};
    unsigned n = 0;
    for (uint64_t now = now_ns(); n < BURST && (due[n] = line_leave(line, now)) != NULL; n++) {
        buffers[n] = (struct iovec){due[n]->data, due[n]->len};
        messages[n].msg_hdr = (struct msghdr){.msg_iov = &buffers[n], .msg_iovlen = 1};
    }
    for (unsigned sent = 0; sent < n;) {
        int taken = sendmmsg(link->sockets[!side], messages + sent, n - sent, MSG_DONTWAIT);
        if (taken <= 0) { /* the first one failed */
            line->tx_failed++;
            taken = 1;
        } else {
            for (unsigned i = sent; i < sent + (unsigned)taken; i++) {
                line->frames_out++;
                line->bytes_out += due[i]->len;
            }
        }
        sent += (unsigned)taken;
    }
    for (unsigned i = 0; i < n; i++)
        pool_put(&link->pool, due[i]);
    return n;
}

/* Sleep until the next tick where frames are under way, else until one comes or `end_ns`. Signals arrive in ppoll
 * alone: none is missed between looking at `stop` and sleeping. */
static void wait_for_frames(struct link *link, uint64_t end_ns) {
    bool idle = link->lines[0].n + link->lines[1].n == 0;
    uint64_t now = now_ns();
    uint64_t sleep_ns = !idle ? TICK_NS : end_ns > now ? end_ns - now : 0;
    struct timespec timeout = {.tv_sec = (time_t)(sleep_ns / NS_PER_S), .tv_nsec = (long)(sleep_ns % NS_PER_S)};
    struct pollfd polled[2] = {{.fd = link->sockets[0], .events = POLLIN}, {.fd = link->sockets[1], .events = POLLIN}};
    sigset_t none;
    sigemptyset(&none);
    ppoll(polled, idle ? 2 : 0, &timeout, &none);
}

static void run(struct link *link, uint64_t end_ns) {
    while (!stop && now_ns() < end_ns) {
        for (unsigned side = 0; side < 2; side++) {
            for (unsigned bursts = 0; bursts < BURSTS && receive(link, side) == BURST; bursts++)
                ;
            for (unsigned bursts = 0; bursts < BURSTS && transmit(link, side) == BURST; bursts++)
                ;
        }
        wait_for_frames(link, end_ns);
    }
}

static void print_line(const struct line *line, uint64_t kernel_drops) {
    printf("{");
#define X(name) printf("\"" #name "\": %llu, ", (unsigned long long)line->name);
    LINE_COUNTERS(X)
#undef X
    printf("\"kernel_drops\": %llu, \"under_way\": %u}", (unsigned long long)kernel_drops, line->n);
}

static void print_counters(struct link *link) {
    for (unsigned side = 0; side < 2; side++) {
        struct tpacket_stats seen;
        socklen_t size = sizeof(seen);
        if (getsockopt(link->sockets[side], SOL_PACKET, PACKET_STATISTICS, &seen, &size) == 0)
            link->kernel_drops[side] = seen.tp_drops;
    }
    printf("{\"there\": ");
    print_line(&link->lines[0], link->kernel_drops[0]);
    printf(", \"back\": ");
    print_line(&link->lines[1], link->kernel_drops[1]);
    printf("}\n");
}

/* Signals wait until ppoll lets them in. */
static void catch_signals(void) {
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t both;
    sigemptyset(&both);
    sigaddset(&both, SIGTERM);
    sigaddset(&both, SIGINT);
    sigprocmask(SIG_BLOCK, &both, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
}

int main(int argc, char **argv) {
    struct options options;
    options_read(&options, argc, argv);
    catch_signals();
    struct link *link = calloc(1, sizeof(*link));
    if (link == NULL || !pool_init(&link->pool))
        die("memory for", "frames");
    for (unsigned side = 0; side < 2; side++) {
        link->sockets[side] = open_interface(options.interfaces[side]);
        line_init(&link->lines[side], &options.lines[side], &link->pool);
    }
    if (options.realtime && sched_setscheduler(0, SCHED_RR, &(struct sched_param){.sched_priority = 1}) != 0)
        die("realtime priority for", "this program");
    printf("emulink: ready\n");
    fflush(stdout);
    run(link, now_ns() + options.seconds * NS_PER_S);
    print_counters(link);
    free(link->pool.frames);
    free(link);
    return 0;
}
