/* SPDX-License-Identifier: BSD-3-Clause */
#include "port_device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>

#include "base/log.h"
#include "eal_log.h"

static const struct device_traits traits[] = {
    {.prefix = "net_af_xdp", .queue_per_vdev = true},
    /* net_tap sums chains with odd segments wrongly on the way out, and by software either way. */
    {.prefix = "net_tap", .software_cksum = true, .twin_mac = true, .keys = ",iface,mac,persist,remote,"},
    {.prefix = "net_af_packet", .queues_arg = "qpairs"},
    {.prefix = "net_memif", .max_queues = 1, .socket_arg = "socket", .server_arg = "role"},
    {.prefix = "net_virtio_user",
     .needs_hugepages = true,
     .one_memory_file = true,
     .socket_arg = "path",
     .server_arg = "server"},
    {.prefix = "net_vhost", .needs_hugepages = true, .socket_arg = "iface"},
    {.prefix = NULL},
};
static const struct device_traits pci_traits = {.pci = true};

/* [dddd:]bb:dd.f, then perhaps `,arguments`. */
static bool is_pci_address(const char *device) {
    unsigned domain, bus, slot, function;
    int end = 0;
    bool found = (sscanf(device, "%4x:%2x:%2x.%1u%n", &domain, &bus, &slot, &function, &end) == 4 && end) ||
                 (sscanf(device, "%2x:%2x.%1u%n", &bus, &slot, &function, &end) == 3 && end);
    return found && (device[end] == '\0' || device[end] == ',');
}

const struct device_traits *device_traits_of(const char *device) {
    if (is_pci_address(device))
        return &pci_traits;
    const struct device_traits *t = traits;
    while (t->prefix && strncmp(device, t->prefix, strlen(t->prefix)) != 0)
        t++;
    return t;
}

bool device_arg(const char *device, const char *key, char *value, size_t value_bytes) {
    size_t key_len = strlen(key);
    for (const char *at = strchr(device, ','); at; at = strchr(at, ',')) {
        at++;
        if (strncmp(at, key, key_len) == 0 && at[key_len] == '=') {
            size_t len = strcspn(at + key_len + 1, ",");
            snprintf(value, value_bytes, "%.*s", (int)len, at + key_len + 1);
            return true;
        }
    }
    return false;
}

/* The arguments of a device string without those named in `without` (NULL-terminated). */
static void copy_args(const char *device, const char *const *without, char *out, size_t out_bytes) {
    size_t at = 0;
    out[0] = '\0';
    for (const char *arg = strchr(device, ','); arg; arg = strchr(arg, ',')) {
        arg++;
        size_t len = strcspn(arg, ",");
        bool skip = len == 0;
        for (const char *const *w = without; *w && !skip; w++)
            skip = strncmp(arg, *w, strlen(*w)) == 0 && arg[strlen(*w)] == '=';
        if (!skip && at + len + 2 < out_bytes)
            at += (size_t)snprintf(out + at, out_bytes - at, "%s%.*s", at ? "," : "", (int)len, arg);
    }
}

static uint16_t number_arg(const char *device, const char *key, uint16_t otherwise) {
    char value[16];
    return device_arg(device, key, value, sizeof(value)) ? (uint16_t)strtoul(value, NULL, 10) : otherwise;
}

/* Make one vdev and find its ethdev. */
static int probe_vdev(const char *port_name, const char *name, const char *args, uint16_t *eth_port, char *error,
                      size_t error_bytes) {
    if (rte_eth_dev_get_port_by_name(name, eth_port) == 0) {
        snprintf(error, error_bytes, "port %s: another port has the device name %s already", port_name, name);
        return WEIR_EEXIST;
    }
    int ret = rte_eal_hotplug_add("vdev", name, args);
    if (ret == 0 && rte_eth_dev_get_port_by_name(name, eth_port) == 0)
        return 0;
    /* Many drivers answer -1 for everything: what they said first is worth more. */
    const char *said = eal_log_first_error();
    const char *reason = said[0] ? said : ret ? rte_strerror(-ret) : "DPDK found no network driver for it";
    snprintf(error, error_bytes, "port %s: device %s%s%s cannot be opened: %s%s", port_name, name, args[0] ? "," : "",
             args, reason, geteuid() == 0 ? "" : " (weir does not run as root: see PRIVILEGES in weir(8))");
    return WEIR_EIO;
}

static void device_name(const char *device, char *name, size_t name_bytes) {
    snprintf(name, name_bytes, "%.*s", (int)strcspn(device, ","), device);
}

/* net_af_xdp of DPDK 22.11 counts "combined" channels only and so refuses two queues on a veth; a vdev for each queue
 * works on every interface. */
static int probe_af_xdp(struct port *p, const struct config_port *c, uint16_t n_workers, char *error,
                        size_t error_bytes) {
    static const char *const ours[] = {"start_queue", "queue_count", NULL};
    char interface[32], base[48], args[sizeof(p->device)];
    uint16_t have;
    bool is_virtual;
    if (!device_arg(c->device, "iface", interface, sizeof(interface))) {
        snprintf(error, error_bytes, "port %s: device %s lacks the interface: write net_af_xdp0,iface=NAME", c->name,
                 c->device);
        return WEIR_EINVAL;
    }
    char reason[256];
    int ret = af_xdp_prepare(interface, c->exclusive, &have, &is_virtual, reason, sizeof(reason));
    if (ret) {
        snprintf(error, error_bytes, "port %s: %s", c->name, reason);
        return ret;
    }
    uint16_t first = number_arg(c->device, "start_queue", 0);
    uint16_t want = number_arg(c->device, "queue_count", n_workers);
    if (first >= have) {
        snprintf(error, error_bytes, "port %s: start_queue %u, but interface %s has queues 0 to %u", c->name, first,
                 interface, have - 1);
        return WEIR_ERANGE;
    }
    uint16_t n = (uint16_t)RTE_MIN(RTE_MIN(want, n_workers), have - first);
    if (have > n)
        log_line(LOG_LVL_WARNING, "port",
                 "%s: interface %s has %u receive queues and weir takes %u: what arrives on the others goes to the "
                 "kernel (`ethtool -L %s rx %u`, or `combined %u`)",
                 c->name, interface, have, n, interface, n, n);
    device_name(c->device, base, sizeof(base));
    copy_args(c->device, ours, args, sizeof(args));
    char budget[16];
    bool no_budget = is_virtual && !device_arg(c->device, "busy_budget", budget, sizeof(budget));
    for (uint16_t i = 0; i < n; i++) {
        char name[64], all[sizeof(args) + 64];
        snprintf(name, sizeof(name), i ? "%s_q%u" : "%s", base, i);
        snprintf(all, sizeof(all), "%s,start_queue=%u,queue_count=1%s", args, first + i,
                 no_budget ? ",busy_budget=0" : "");
        ret = probe_vdev(c->name, name, all, &p->queues[i].eth_port, error, error_bytes);
        if (ret)
            return ret;
        p->n_queues++;
    }
    return 0;
}

/* EAL has probed it already, where it is bound to a driver that DPDK can use. */
static int find_pci(const struct config_port *c, uint16_t *eth_port, char *error, size_t error_bytes) {
    struct rte_dev_iterator it;
    char address[32];
    device_name(c->device, address, sizeof(address));
    RTE_ETH_FOREACH_MATCHING_DEV(*eth_port, address, &it) {
        rte_eth_iterator_cleanup(&it);
        return 0;
    }
    const char *said = eal_log_first_error();
    snprintf(error, error_bytes,
             "port %s: no DPDK driver has PCI device %s: check the address (`lspci`) and that it is bound to vfio-pci "
             "(`dpdk-devbind.py --status`)%s%s",
             c->name, address, said[0] ? ": " : "", said);
    return WEIR_ENOENT;
}

/* Drivers that listen on a Unix socket refuse a path that is there already, and a killed process leaves its own. Where
 * nobody listens on it any more, it goes. */
static void remove_stale_socket(const char *device, const struct device_traits *t) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    struct stat st;
    char role[16];
    bool listens = t->server_arg
                       ? device_arg(device, t->server_arg, role, sizeof(role)) &&
                             (strcmp(role, "1") == 0 || strcmp(role, "server") == 0 || strcmp(role, "master") == 0)
                       : !(device_arg(device, "client", role, sizeof(role)) && strcmp(role, "1") == 0);
    if (!t->socket_arg || !listens || !device_arg(device, t->socket_arg, to.sun_path, sizeof(to.sun_path)) ||
        lstat(to.sun_path, &st) || !S_ISSOCK(st.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int fd2 = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool dead = fd >= 0 && fd2 >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) && errno == ECONNREFUSED &&
                connect(fd2, (struct sockaddr *)&to, sizeof(to)) && errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    if (fd2 >= 0)
        close(fd2);
    if (dead && unlink(to.sun_path) == 0)
        log_line(LOG_LVL_INFO, "port", "removed the socket %s that an earlier process left", to.sun_path);
}

/* net_tap takes its defaults for all arguments where it does not know one: a typing mistake gives an interface of
 * another name, without a word. */
static bool args_are_known(const char *device, const struct device_traits *t, char *error, size_t error_bytes) {
    char key[48];
    for (const char *at = strchr(device, ','); t->keys && at; at = strchr(at, ',')) {
        size_t len = strcspn(++at, ",=");
        snprintf(key, sizeof(key), ",%.*s,", (int)RTE_MIN(len, sizeof(key) - 3), at);
        if (strstr(t->keys, key))
            continue;
        snprintf(error, error_bytes, "%s has no argument \"%.*s\" (it has %.*s)", t->prefix, (int)len, at,
                 (int)strlen(t->keys) - 2, t->keys + 1);
        return false;
    }
    return true;
}

/* A TAP that is there and vanishes with its last owner has one: a second one would take half of its packets, and set
 * the link down at the end. One that was made to stay (`ip tuntap add`) is free to be used. */
static bool tap_is_taken(const char *device) {
    char interface[32], path[80];
    unsigned flags = 0;
    if (strncmp(device, "net_tap", strlen("net_tap")) != 0 ||
        !device_arg(device, "iface", interface, sizeof(interface)) || if_nametoindex(interface) == 0)
        return false;
    snprintf(path, sizeof(path), "/sys/class/net/%s/tun_flags", interface);
    FILE *f = fopen(path, "r");
    bool taken = f && fscanf(f, "%x", &flags) == 1 && !(flags & IFF_PERSIST);
    if (f)
        fclose(f);
    return taken;
}

static int probe_one(struct port *p, const struct config_port *c, const struct device_traits *t, uint16_t n_workers,
                     char *error, size_t error_bytes) {
    uint16_t eth_port = 0;
    int ret;
    if (t->pci) {
        ret = find_pci(c, &eth_port, error, error_bytes);
    } else {
        char name[64], args[sizeof(p->device) + 32], value[16];
        device_name(c->device, name, sizeof(name));
        snprintf(args, sizeof(args), "%s", c->device + strlen(name) + (c->device[strlen(name)] == ','));
        if (t->queues_arg && !device_arg(c->device, t->queues_arg, value, sizeof(value)))
            snprintf(args + strlen(args), sizeof(args) - strlen(args), ",%s=%u", t->queues_arg, n_workers);
        char reason[160];
        if (!args_are_known(c->device, t, reason, sizeof(reason))) {
            snprintf(error, error_bytes, "port %s: device %s: %s", c->name, c->device, reason);
            return WEIR_EINVAL;
        }
        if (tap_is_taken(c->device)) {
            snprintf(error, error_bytes, "port %s: another process has the interface of %s: is a second weir running?",
                     c->name, c->device);
            return WEIR_EEXIST;
        }
        remove_stale_socket(c->device, t);
        ret = probe_vdev(c->name, name, args, &eth_port, error, error_bytes);
    }
    if (ret)
        return ret;
    struct rte_eth_dev_info info;
    p->queues[0].eth_port = eth_port;
    p->n_queues = 1; /* so that closing finds it */
    if (rte_eth_dev_info_get(eth_port, &info)) {
        snprintf(error, error_bytes, "port %s: device %s does not say what it can do", c->name, c->device);
        return WEIR_EIO;
    }
    uint16_t n = RTE_MIN(n_workers, RTE_MIN(info.max_rx_queues, info.max_tx_queues));
    if (t->max_queues)
        n = RTE_MIN(n, t->max_queues);
    if (n == 0) {
        snprintf(error, error_bytes, "port %s: device %s has no pair of a receive and a transmit queue", c->name,
                 c->device);
        return WEIR_ENOTSUP;
    }
    p->n_queues = n;
    for (uint16_t i = 0; i < n; i++)
        p->queues[i] = (struct port_queue){.eth_port = eth_port, .eth_queue = i};
    return 0;
}

int port_device_probe(struct port *p, const struct config_port *c, uint16_t n_workers, char *error,
                      size_t error_bytes) {
    const struct device_traits *t = device_traits_of(c->device);
    if (t->queue_per_vdev)
        return probe_af_xdp(p, c, n_workers, error, error_bytes);
    return probe_one(p, c, t, n_workers, error, error_bytes);
}

#define RSS_TYPES                                                                                                      \
    (RTE_ETH_RSS_FRAG_IPV4 | RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV4_UDP | RTE_ETH_RSS_IPV4 |          \
     RTE_ETH_RSS_NONFRAG_IPV4_OTHER)
#define RSS_NEEDED (RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV4_UDP)

/* Can the device spread flows as struct steer does? Software devices that claim it (net_tap) are not believed. */
static bool takes_steering(const struct device_traits *t, const struct rte_eth_dev_info *info) {
    return t->pci && info->hash_key_size == STEER_KEY_BYTES && info->reta_size >= STEER_RETA &&
           info->reta_size <= RTE_ETH_RSS_RETA_SIZE_512 && info->reta_size % STEER_RETA == 0 &&
           (info->flow_type_rss_offloads & RSS_NEEDED) == RSS_NEEDED;
}

#define TSO_SEGS_MAX 40u /* a full IP packet of Ethernet segments has 45; more help little and fill the ring */

static void request_offloads(struct port *p, const struct device_traits *t, const struct rte_eth_dev_info *info,
                             struct rte_eth_conf *conf) {
    uint64_t tx = info->tx_offload_capa, rx = info->rx_offload_capa;
    if (t->software_cksum) {
        tx &= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
        rx = 0;
    }
    conf->txmode.offloads = tx & (RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM |
                                  RTE_ETH_TX_OFFLOAD_UDP_CKSUM | RTE_ETH_TX_OFFLOAD_MULTI_SEGS);
    conf->rxmode.offloads = rx & RTE_ETH_RX_OFFLOAD_CHECKSUM;
    p->hw_ip_cksum = tx & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
    p->hw_tcp_cksum = tx & RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
    p->hw_udp_cksum = tx & RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
    p->multi_seg = tx & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
    p->max_mbufs = info->tx_desc_lim.nb_mtu_seg_max == UINT16_MAX ? 0 : info->tx_desc_lim.nb_mtu_seg_max;
    p->hw_rx_cksum = conf->rxmode.offloads != 0;
    /* Each piece needs a checksum of its own, and the payload hangs behind the header. */
    p->tso = (tx & RTE_ETH_TX_OFFLOAD_TCP_TSO) && p->hw_tcp_cksum && p->multi_seg && info->tx_desc_lim.nb_seg_max > 2;
    p->tso_segs = p->tso ? (uint16_t)RTE_MIN(info->tx_desc_lim.nb_seg_max, TSO_SEGS_MAX) : 0;
    if (p->tso)
        conf->txmode.offloads |= RTE_ETH_TX_OFFLOAD_TCP_TSO;
}

static int set_mtu(const struct port *p, uint16_t eth_port, const struct rte_eth_dev_info *info, char *error,
                   size_t error_bytes) {
    uint16_t mtu = p->ifc.mtu;
    if (mtu < info->min_mtu || mtu > info->max_mtu) {
        snprintf(error, error_bytes, "port %s: device %s takes an MTU of %u to %u, not %u", p->name, p->device,
                 info->min_mtu, info->max_mtu, mtu);
        return WEIR_ERANGE;
    }
    int ret = rte_eth_dev_set_mtu(eth_port, mtu);
    if (ret == 0 || ret == -ENOTSUP) /* not ours to set: the other side's business */
        return 0;
    const char *said = eal_log_first_error();
    snprintf(error, error_bytes, "port %s: device %s refuses an MTU of %u: %s", p->name, p->device, mtu,
             said[0] ? said : rte_strerror(-ret));
    return WEIR_ERANGE;
}

/* Replicate the indirection table and read key and table back: a device that took them only half is not `steered`. */
static bool set_steering(const struct port *p, uint16_t eth_port, uint16_t reta_size, const struct steer *steer) {
    struct rte_eth_rss_reta_entry64 want[RTE_ETH_RSS_RETA_SIZE_512 / RTE_ETH_RETA_GROUP_SIZE] = {0}, got[8] = {0};
    for (uint16_t i = 0; i < reta_size; i++) {
        struct rte_eth_rss_reta_entry64 *group = &want[i / RTE_ETH_RETA_GROUP_SIZE];
        group->mask = UINT64_MAX;
        got[i / RTE_ETH_RETA_GROUP_SIZE].mask = UINT64_MAX;
        group->reta[i % RTE_ETH_RETA_GROUP_SIZE] = steer->reta[i % STEER_RETA] % p->n_queues;
    }
    uint8_t key[STEER_KEY_BYTES];
    struct rte_eth_rss_conf rss = {.rss_key = key, .rss_key_len = sizeof(key)};
    if (rte_eth_dev_rss_reta_update(eth_port, want, reta_size) ||
        rte_eth_dev_rss_reta_query(eth_port, got, reta_size) || rte_eth_dev_rss_hash_conf_get(eth_port, &rss))
        return false;
    for (uint16_t i = 0; i < reta_size; i++)
        if (want[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE] !=
            got[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE])
            return false;
    return (rss.rss_hf & RSS_NEEDED) == RSS_NEEDED && memcmp(key, steer->key, sizeof(key)) == 0 &&
           p->n_queues == steer->n_workers;
}

static int set_up_queues(struct port *p, uint16_t first, uint16_t n, const struct rte_eth_conf *conf,
                         const struct rte_eth_dev_info *info) {
    uint16_t eth_port = p->queues[first].eth_port;
    uint16_t rx_descriptors = MEMORY_RX_DESCRIPTORS, tx_descriptors = MEMORY_TX_DESCRIPTORS;
    int ret = rte_eth_dev_adjust_nb_rx_tx_desc(eth_port, &rx_descriptors, &tx_descriptors);
    struct rte_eth_rxconf rx = info->default_rxconf;
    struct rte_eth_txconf tx = info->default_txconf;
    rx.offloads = conf->rxmode.offloads;
    tx.offloads = conf->txmode.offloads; /* never FAST_FREE: we keep references to what we send */
    int socket = rte_eth_dev_socket_id(eth_port);
    unsigned where = socket < 0 ? (unsigned)SOCKET_ID_ANY : (unsigned)socket;
    for (uint16_t q = 0; q < n && !ret; q++) {
        ret = rte_eth_rx_queue_setup(eth_port, q, rx_descriptors, where, &rx, p->pools[first + q]);
        if (!ret)
            ret = rte_eth_tx_queue_setup(eth_port, q, tx_descriptors, where, &tx);
    }
    return ret;
}

static int failed(const struct port *p, const char *step, int ret, char *error, size_t error_bytes) {
    const char *said = eal_log_first_error();
    snprintf(error, error_bytes, "port %s: cannot %s device %s: %s%s%s", p->name, step, p->device, rte_strerror(-ret),
             said[0] ? ": " : "", said);
    return WEIR_EIO;
}

/* One ethdev: queues [first, first + n) of the port. */
static int start_one(struct port *p, uint16_t first, uint16_t n, const struct steer *steer, char *error,
                     size_t error_bytes) {
    const struct device_traits *t = device_traits_of(p->device);
    uint16_t eth_port = p->queues[first].eth_port;
    struct rte_eth_dev_info info;
    struct rte_eth_conf conf = {0};
    int ret = rte_eth_dev_info_get(eth_port, &info);
    if (ret)
        return failed(p, "ask", ret, error, error_bytes);
    bool steering = takes_steering(t, &info);
    request_offloads(p, t, &info, &conf);
    if (steering) {
        conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        conf.rx_adv_conf.rss_conf = (struct rte_eth_rss_conf){.rss_key = (uint8_t *)(uintptr_t)steer->key,
                                                              .rss_key_len = STEER_KEY_BYTES,
                                                              .rss_hf = RSS_TYPES & info.flow_type_rss_offloads};
    }
    if ((ret = rte_eth_dev_configure(eth_port, n, n, &conf)))
        return failed(p, "configure", ret, error, error_bytes);
    if ((ret = set_mtu(p, eth_port, &info, error, error_bytes)))
        return ret;
    if ((ret = set_up_queues(p, first, n, &conf, &info))) {
        failed(p, "set up the queues of", ret, error, error_bytes);
        return t->queue_per_vdev ? WEIR_ESTATE : WEIR_EIO;
    }
    if ((ret = rte_eth_dev_start(eth_port)))
        return failed(p, "start", ret, error, error_bytes);
    p->steered = steering && set_steering(p, eth_port, info.reta_size, steer);
    return 0;
}

/* Give the kernel's end of a TAP an address of its own. With ours, a bridge would keep for the host what is meant for
 * us, and a kernel would take what it sent for its own. */
static void part_from_kernel_end(const struct port *p) {
    struct rte_eth_dev_info info;
    struct ifreq r = {.ifr_hwaddr.sa_family = ARPHRD_ETHER};
    memcpy(r.ifr_hwaddr.sa_data, p->ifc.mac, sizeof(p->ifc.mac));
    r.ifr_hwaddr.sa_data[sizeof(p->ifc.mac) - 1] ^= 1;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && rte_eth_dev_info_get(p->queues[0].eth_port, &info) == 0 &&
              if_indextoname(info.if_index, r.ifr_name) && ioctl(fd, SIOCSIFHWADDR, &r) == 0;
    if (!ok)
        log_line(LOG_LVL_WARNING, "port", "%s: the kernel's end keeps the port's MAC address: no bridge will do (%s)",
                 p->name, strerror(errno));
    if (fd >= 0)
        close(fd);
}

int port_device_start(struct port *p, const struct steer *steer, char *error, size_t error_bytes) {
    for (uint16_t first = 0, n; first < p->n_queues; first = (uint16_t)(first + n)) {
        for (n = 1; first + n < p->n_queues && p->queues[first + n].eth_port == p->queues[first].eth_port;)
            n++;
        int ret = start_one(p, first, n, steer, error, error_bytes);
        if (ret)
            return ret;
    }
    struct rte_ether_addr mac;
    if (rte_eth_macaddr_get(p->queues[0].eth_port, &mac)) {
        snprintf(error, error_bytes, "port %s: device %s does not tell its MAC address", p->name, p->device);
        return WEIR_EIO;
    }
    if (rte_is_zero_ether_addr(&mac)) /* net_ring has none */
        rte_eth_random_addr(mac.addr_bytes);
    memcpy(p->ifc.mac, mac.addr_bytes, sizeof(p->ifc.mac));
    if (device_traits_of(p->device)->twin_mac)
        part_from_kernel_end(p);
    return 0;
}

void port_device_close(struct port *p) {
    bool pci = device_traits_of(p->device)->pci;
    for (uint16_t i = p->n_queues; i-- > 0;) {
        uint16_t eth_port = p->queues[i].eth_port;
        char name[RTE_ETH_NAME_MAX_LEN];
        if ((i > 0 && p->queues[i - 1].eth_port == eth_port) || rte_eth_dev_get_name_by_port(eth_port, name))
            continue;
        rte_eth_dev_stop(eth_port);
        if (pci)
            rte_eth_dev_close(eth_port);
        else
            rte_eal_hotplug_remove("vdev", name);
    }
    p->n_queues = 0;
}
