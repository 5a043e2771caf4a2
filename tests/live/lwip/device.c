/* SPDX-License-Identifier: BSD-3-Clause */
/* device INTERFACE ADDRESS SERVER PORT MTU WINDOW exchange KIND ID UP DOWN
 * device INTERFACE ADDRESS SERVER PORT MTU WINDOW mqtt CLIENT-ID COUNT SIZE
 *
 * Prints one JSON object; exit status 0 where everything was as it should be. The kernel must have no address on the
 * interface, which is the device's alone. */
#include "device.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <lwip/etharp.h>
#include <lwip/init.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/timeouts.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netif/ethernet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FRAME_MAX  2048
#define PATIENCE_S 120
#define LAST_ACK_S 15 /* for our FIN to be acknowledged after the job */
#define POLL_MS    50u
#define STAY_MS    3000u /* a reset may be lost: what still comes for that connection is answered with another one */

static void die(const char *what) {
    fprintf(stderr, "device: %s: %s\n", what, strerror(errno));
    exit(2);
}

static int open_interface(const char *name) {
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(name)};
    struct packet_mreq all = {.mr_ifindex = address.sll_ifindex, .mr_type = PACKET_MR_PROMISC};
    if (fd < 0 || address.sll_ifindex == 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) != 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)) != 0)
        die(name);
    return fd;
}

/* lwIP has a frame to send. */
static err_t frame_out(struct netif *netif, struct pbuf *p) {
    const struct device *d = netif->state;
    uint8_t frame[FRAME_MAX];
    uint16_t n = pbuf_copy_partial(p, frame, sizeof(frame), 0);
    return send(d->fd, frame, n, 0) == n ? ERR_OK : ERR_IF;
}

static err_t netif_start(struct netif *netif) {
    const struct device *d = netif->state;
    uint32_t address = ip4_addr_get_u32(&d->address);
    netif->name[0] = 'd';
    netif->name[1] = 'v';
    netif->mtu = d->mtu;
    netif->hwaddr_len = ETHARP_HWADDR_LEN;
    netif->hwaddr[0] = 2; /* locally administered; the same for an address each time */
    netif->hwaddr[1] = 0x77;
    memcpy(netif->hwaddr + 2, &address, sizeof(address));
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_LINK_UP;
    netif->output = etharp_output;
    netif->linkoutput = frame_out;
    return ERR_OK;
}

static void frames_in(struct device *d) {
    uint8_t frame[FRAME_MAX];
    for (ssize_t n; (n = recv(d->fd, frame, sizeof(frame), 0)) > 0;) {
        struct pbuf *p =
            pbuf_alloc(PBUF_RAW, (uint16_t)n, PBUF_RAM); /* Debian's pool buffers are shorter than they say */
        if (p == NULL)
            return;
        pbuf_take(p, frame, (uint16_t)n);
        if (d->netif.input(p, &d->netif) != ERR_OK)
            pbuf_free(p);
    }
}

const char *device_error(err_t err) {
    return err == ERR_RST ? "reset, which nobody asked for" : err == ERR_ABRT ? "given up by lwIP" : "an error of lwIP";
}

void device_end(struct device *d, const char *fault) {
    if (!d->over)
        d->fault = fault;
    d->over = true;
}

void device_narrow(struct device *d) {
    struct tcp_pcb *pcb = d->pcb;
    if (d->window == 0 || d->window >= pcb->rcv_wnd)
        return;
    /* lwIP takes its window from lwipopts.h. A device that is built with a smaller one would have said so in its SYN;
     * to this one the thought comes with the ACK of the handshake, before any byte could come. */
    pcb->rcv_wnd = pcb->rcv_ann_wnd = d->window;
    pcb->rcv_ann_right_edge = pcb->rcv_nxt + d->window;
}

uint32_t device_room(const struct device *d) {
    uint32_t room = tcp_sndbuf(d->pcb);
    if (d->window == 0)
        return room;
    uint32_t left = d->window > d->in_flight ? d->window - d->in_flight : 0;
    return left < room ? left : room;
}

bool device_write(struct device *d, const void *bytes, uint32_t n) {
    if (tcp_write(d->pcb, bytes, (uint16_t)n, TCP_WRITE_FLAG_COPY) != ERR_OK)
        return false;
    d->in_flight += n;
    tcp_output(d->pcb);
    return true;
}

void device_connect(struct device *d, tcp_connected_fn connected, tcp_recv_fn came, tcp_sent_fn acked,
                    tcp_err_fn failed) {
    d->pcb = tcp_new();
    tcp_arg(d->pcb, d);
    tcp_recv(d->pcb, came);
    tcp_sent(d->pcb, acked);
    tcp_err(d->pcb, failed);
    ip_addr_t server;
    ip_addr_copy_from_ip4(server, d->server);
    if (tcp_connect(d->pcb, &server, d->port, connected) != ERR_OK)
        device_end(d, "no connection can be made");
}

/* Until the job is over and its last ACK has come. */
static void run(struct device *d) {
    u32_t began = sys_now(), ended = began;
    for (;;) {
        u32_t sleep_ms = sys_timeouts_sleeptime();
        struct pollfd polled = {.fd = d->fd, .events = POLLIN};
        poll(&polled, 1, (int)(sleep_ms < POLL_MS ? sleep_ms : POLL_MS));
        frames_in(d);
        sys_check_timeouts();
        if (!d->over && sys_now() - began > PATIENCE_S * 1000u)
            device_end(d, "not over in time");
        if (!d->over) {
            ended = sys_now();
            continue;
        }
        if (tcp_active_pcbs == NULL && sys_now() - ended > STAY_MS)
            return;
        if (sys_now() - ended > LAST_ACK_S * 1000u) {
            if (d->fault == NULL)
                d->fault = "the last FIN was not acknowledged";
            return;
        }
    }
}

int main(int argc, char **argv) {
    static struct device device;
    struct device *d = &device;
    if (argc < 8) {
        fprintf(stderr, "usage: device INTERFACE ADDRESS SERVER PORT MTU WINDOW exchange|mqtt ...\n");
        return 2;
    }
    ip4_addr_t mask = {.addr = htonl(0xffffff00)}, none = {0};
    d->fd = open_interface(argv[1]);
    d->port = (uint16_t)atoi(argv[4]);
    d->mtu = (uint16_t)atoi(argv[5]);
    d->window = (uint32_t)atoi(argv[6]);
    d->words = argv + 8;
    if (!ip4addr_aton(argv[2], &d->address) || !ip4addr_aton(argv[3], &d->server))
        die("addresses");
    srand((unsigned)getpid()); /* its first port: one that an earlier device left in TIME-WAIT would refuse it */
    lwip_init();
    netif_add(&d->netif, &d->address, &mask, &none, d, netif_start, ethernet_input);
    netif_set_default(&d->netif);
    netif_set_up(&d->netif);
    bool exchange = strcmp(argv[7], "exchange") == 0;
    if (exchange ? argc != 12 || !device_exchange(d) : argc != 11 || !device_mqtt(d))
        die("the job");
    run(d);
    printf("{\"mss\": %d, \"fault\": \"%s\"}\n", TCP_MSS < d->mtu - 40 ? TCP_MSS : d->mtu - 40,
           d->fault != NULL ? d->fault : "");
    return d->fault != NULL;
}
