/* SPDX-License-Identifier: BSD-3-Clause */
/* Between port.c and the ethdevs: what a device string means, and opening it.
 *
 *   port_device.c  device strings, probing, queues, offloads, RSS
 *   af_xdp.c       what an interface needs before net_af_xdp may take it */
#ifndef WEIR_PORT_DEVICE_H
#define WEIR_PORT_DEVICE_H

#include "port.h"

/* What we know of a kind of device beyond what it says itself. */
struct device_traits {
    const char *prefix; /* of the vdev's name; NULL: everything else */
    bool pci;
    bool queue_per_vdev; /* one vdev with one queue for each of the interface's queues */
    bool needs_hugepages;
    bool one_memory_file;   /* its peer maps our memory over few descriptors */
    bool software_cksum;    /* its checksum offloads are not to be trusted, or no gain */
    bool twin_mac;          /* the kernel has an interface at the other end, with our MAC */
    uint16_t max_queues;    /* 0: as many as the device says; unknown peers often have one queue only */
    const char *keys;       /* all its arguments, ",a,b,"; NULL: the driver itself refuses others */
    const char *queues_arg; /* device argument that asks for several queues, or NULL */
    const char *socket_arg; /* argument with the path of its Unix socket, or NULL */
    const char *server_arg; /* argument that makes it listen there; NULL: it does, unless `client=1` */
};

const struct device_traits *device_traits_of(const char *device);

/* The value of `key` in a device string, e.g. "iface". Returns false where it is not there. */
bool device_arg(const char *device, const char *key, char *value, size_t value_bytes);

/* Probe: find or make the ethdevs, fill p->queues and p->n_queues (<= n_workers). 0, or a weir_error with `error`. */
int port_device_probe(struct port *p, const struct config_port *c, uint16_t n_workers, char *error, size_t error_bytes);

/* Configure and start them: MTU, offloads, RSS, queues on p->pools. Fills the rest of p. 0, or an error; WEIR_ESTATE:
 * an AF_XDP queue is not free, or not yet, and the pools are spoilt. */
int port_device_start(struct port *p, const struct steer *steer, char *error, size_t error_bytes);

/* Stop, close and forget the port's devices; every state that probing may have left. */
void port_device_close(struct port *p);

/* --- af_xdp.c --- */
/* Check the interface and make it ready: it exists, it is not the host's way out (unless exclusive), nobody else has an
 * AF_XDP socket on it, programs that a killed weir left are gone, it is up. *rx_queues: how many the interface has;
 * *virtual: a veth, where preferred busy polling only costs. 0, or WEIR_ENOENT, WEIR_EEXIST, WEIR_ENOTSUP, WEIR_EIO. */
int af_xdp_prepare(const char *interface, bool exclusive, uint16_t *rx_queues, bool *virtual, char *error,
                   size_t error_bytes);

/* net_af_xdp of DPDK 22.11 counts its references to the UMEM wrongly: a closed device leaves its socket open, bound to
 * its queue. So note which AF_XDP sockets this process has (at most `max`; returns their number), and close all others
 * once their devices are closed. */
uint16_t af_xdp_sockets(int *fds, uint16_t max);
void af_xdp_close_sockets_but(const int *keep, uint16_t n_keep);

#endif
