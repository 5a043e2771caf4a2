/* SPDX-License-Identifier: BSD-3-Clause */
/* A small device: lwIP as Debian builds it, on one interface, one connection, one thread.
 *
 *   device.c           the network: frames between an AF_PACKET socket and lwIP, its timers, the end of it all
 *   device_exchange.c  an exchange as tests/live/churn speaks it, every byte checked
 *   device_mqtt.c      an MQTT client: publishes to itself, message by message
 *
 * A job gets one struct device and says by device_end how it went. */
#ifndef DEVICE_H
#define DEVICE_H

#include <lwip/tcp.h>
#include <stdbool.h>

struct device {
    struct netif netif;
    int fd;
    ip4_addr_t address, server;
    uint16_t port, mtu;
    uint32_t window; /* bytes it lets come and has on the way at most; 0: what lwIP is built with */
    char **words;    /* of the command line, for the job */
    struct tcp_pcb *pcb;
    uint32_t in_flight; /* written, and not yet acknowledged */
    bool over;
    const char *fault;
    void *job;
};

/* A connection is under way; `connected`, `came` and `acked` are the job's. */
void device_connect(struct device *d, tcp_connected_fn connected, tcp_recv_fn came, tcp_sent_fn acked,
                    tcp_err_fn failed);
/* The handshake is through: from here on the window is what the device was told. */
void device_narrow(struct device *d);
/* How much may be written now. */
uint32_t device_room(const struct device *d);
/* Write all of it (there is room); false: lwIP is out of memory, later again. */
bool device_write(struct device *d, const void *bytes, uint32_t n);
/* The job is over; NULL: as it should be. */
void device_end(struct device *d, const char *fault);

/* In words: the package's lwip_strerr has none. */
const char *device_error(err_t err);

/* words: KIND ID UP DOWN, and CLIENT-ID COUNT SIZE. False: they make no sense. */
bool device_exchange(struct device *d);
bool device_mqtt(struct device *d);

#endif
