/* SPDX-License-Identifier: BSD-3-Clause */
#include "port_device.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <xdp/libxdp.h>
#include <xdp/xsk.h>

#include "base/log.h"

/* Does the kernel route to everywhere over this interface? Asked in the network namespace that we are in. */
static bool has_default_route(const char *interface) {
    FILE *f = fopen("/proc/net/route", "re");
    if (!f)
        return false;
    char line[256], name[IF_NAMESIZE];
    unsigned destination, mask;
    bool found = false;
    while (!found && fgets(line, sizeof(line), f))
        found = sscanf(line, "%15s %x %*x %*x %*d %*d %*d %x", name, &destination, &mask) == 3 && destination == 0 &&
                mask == 0 && strcmp(name, interface) == 0;
    fclose(f);
    return found;
}

static int interface_ioctl(const char *interface, unsigned long request, struct ifreq *r) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    snprintf(r->ifr_name, sizeof(r->ifr_name), "%s", interface);
    int ret = ioctl(fd, request, r);
    close(fd);
    return ret;
}

/* Receive queues: combined channels where the driver counts so, separate ones (veth) else. */
static uint16_t receive_queues(const char *interface) {
    struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
    struct ifreq r = {.ifr_data = (char *)&channels};
    if (interface_ioctl(interface, SIOCETHTOOL, &r))
        return 1;
    uint32_t n = channels.combined_count + channels.rx_count;
    return n ? (uint16_t)n : 1;
}

static bool is_veth(const char *interface) {
    struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
    struct ifreq r = {.ifr_data = (char *)&info};
    return interface_ioctl(interface, SIOCETHTOOL, &r) == 0 && strcmp(info.driver, "veth") == 0;
}

static bool bring_up(const char *interface) {
    struct ifreq r = {0};
    if (interface_ioctl(interface, SIOCGIFFLAGS, &r))
        return false;
    if (r.ifr_flags & IFF_UP)
        return true;
    r.ifr_flags |= IFF_UP;
    return interface_ioctl(interface, SIOCSIFFLAGS, &r) == 0;
}

/* The kernel lets one AF_XDP socket have a queue. Trying it is the only way to tell a program that a killed process
 * left from one that works for a live one. */
static bool queue_in_use(const char *interface) {
    enum { FRAMES = 64, FRAME_BYTES = 4096 };
    size_t len_bytes = (size_t)FRAMES * FRAME_BYTES;
    void *area = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED)
        return false;
    struct xsk_umem_config umem_config = {.fill_size = FRAMES, .comp_size = FRAMES, .frame_size = FRAME_BYTES};
    struct xsk_socket_config config = {.rx_size = FRAMES,
                                       .tx_size = FRAMES,
                                       .libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
                                       .bind_flags = XDP_COPY};
    struct xsk_ring_prod fill, tx;
    struct xsk_ring_cons completion, rx;
    struct xsk_umem *umem = NULL;
    struct xsk_socket *socket = NULL;
    bool busy = false;
    if (xsk_umem__create(&umem, area, len_bytes, &fill, &completion, &umem_config) == 0) {
        busy = xsk_socket__create(&socket, interface, 0, umem, &rx, &tx, &config) == -EBUSY;
        if (socket)
            xsk_socket__delete(socket);
        xsk_umem__delete(umem);
    }
    munmap(area, len_bytes);
    return busy;
}

static void program_name(uint32_t id, char *name, size_t name_bytes) {
    struct bpf_prog_info info = {0};
    uint32_t info_bytes = sizeof(info);
    name[0] = '\0';
    int fd = bpf_prog_get_fd_by_id(id);
    if (fd < 0)
        return;
    if (bpf_obj_get_info_by_fd(fd, &info, &info_bytes) == 0)
        snprintf(name, name_bytes, "%s", info.name);
    close(fd);
}

/* Is it libxdp's program for AF_XDP sockets, which our driver loads? */
static bool is_socket_program(const char *name) {
    return strncmp(name, "xsk_def_prog", 12) == 0 || strncmp(name, "xdp_sock_prog", 13) == 0 ||
           strncmp(name, "xsk_def_xdp_prog", 16) == 0;
}

/* Look for a program among those of the dispatcher that is not ours; its name goes to `name`. */
static bool has_foreign_program(uint32_t id, int if_index, char *name, size_t name_bytes) {
    program_name(id, name, name_bytes);
    struct xdp_multiprog *all = xdp_multiprog__get_from_ifindex(if_index);
    if (libxdp_get_error(all) || xdp_multiprog__is_legacy(all)) {
        if (!libxdp_get_error(all))
            xdp_multiprog__close(all);
        return !is_socket_program(name) && strcmp(name, "xdp_dispatcher") != 0;
    }
    bool foreign = false;
    for (struct xdp_program *p = NULL; !foreign && (p = xdp_multiprog__next_prog(p, all));) {
        snprintf(name, name_bytes, "%s", xdp_program__name(p));
        foreign = !is_socket_program(name);
    }
    xdp_multiprog__close(all);
    return foreign;
}

static int detach_programs(int if_index, const struct bpf_xdp_query_opts *q) {
    struct xdp_multiprog *all = xdp_multiprog__get_from_ifindex(if_index);
    int ret = -1;
    if (!libxdp_get_error(all)) {
        ret = xdp_multiprog__detach(all); /* with what the dispatcher pinned */
        xdp_multiprog__close(all);
    }
    if (ret) {
        ret = 0;
        if (q->skb_prog_id || q->attach_mode == XDP_ATTACHED_SKB)
            ret |= bpf_xdp_detach(if_index, XDP_FLAGS_SKB_MODE, NULL);
        if (q->drv_prog_id || q->attach_mode == XDP_ATTACHED_DRV)
            ret |= bpf_xdp_detach(if_index, XDP_FLAGS_DRV_MODE, NULL);
    }
    libxdp_clean_references(if_index);
    return ret;
}

/* The kernel takes a moment to free the queues of a process that is gone. */
static bool stays_in_use(const char *interface) {
    for (int i = 0; i < 20; i++) {
        if (!queue_in_use(interface))
            return false;
        usleep(100000);
    }
    return true;
}

/* What a killed process left attached would keep the driver from attaching its own. */
static int remove_leftovers(const char *interface, int if_index, char *error, size_t error_bytes) {
    LIBBPF_OPTS(bpf_xdp_query_opts, q);
    char name[64];
    if (bpf_xdp_query(if_index, 0, &q) || q.attach_mode == XDP_ATTACHED_NONE)
        return 0;
    uint32_t id = q.prog_id ? q.prog_id : q.drv_prog_id ? q.drv_prog_id : q.skb_prog_id;
    if (has_foreign_program(id, if_index, name, sizeof(name))) {
        snprintf(error, error_bytes,
                 "interface %s carries the XDP program %s (id %u) of somebody else: remove it with `ip link set dev %s "
                 "xdp off`",
                 interface, name, id, interface);
        return WEIR_EEXIST;
    }
    if (stays_in_use(interface)) {
        snprintf(error, error_bytes, "another process has an AF_XDP socket on interface %s", interface);
        return WEIR_EEXIST;
    }
    if (detach_programs(if_index, &q)) {
        snprintf(error, error_bytes,
                 "interface %s carries an XDP program that a killed process left, and it cannot be removed (%s): `ip "
                 "link set dev %s xdp off`",
                 interface, strerror(errno), interface);
        return WEIR_EIO;
    }
    log_line(LOG_LVL_INFO, "port", "interface %s: removed the XDP program that an earlier process left", interface);
    return 0;
}

int af_xdp_prepare(const char *interface, bool exclusive, uint16_t *rx_queues, bool *virtual, char *error,
                   size_t error_bytes) {
    unsigned index = if_nametoindex(interface);
    if (index == 0) {
        snprintf(error, error_bytes,
                 "there is no interface %s here: `ip link` shows those of this network namespace; a pair for tests "
                 "comes with `ip link add %s type veth peer name PEER`",
                 interface, interface);
        return WEIR_ENOENT;
    }
    if (!exclusive && has_default_route(interface)) {
        snprintf(error, error_bytes,
                 "interface %s carries this host's default route, and AF_XDP takes every packet from the kernel: use "
                 "another interface, or say `exclusive: true` where the host is reached otherwise",
                 interface);
        return WEIR_ENOTSUP;
    }
    int ret = remove_leftovers(interface, (int)index, error, error_bytes);
    if (ret)
        return ret;
    if (!bring_up(interface)) {
        snprintf(error, error_bytes, "interface %s cannot be brought up (%s): root or CAP_NET_ADMIN is needed",
                 interface, strerror(errno));
        return WEIR_EIO;
    }
    *rx_queues = receive_queues(interface);
    *virtual = is_veth(interface);
    return 0;
}

uint16_t af_xdp_sockets(int *fds, uint16_t max) {
    DIR *d = opendir("/proc/self/fd");
    uint16_t n = 0;
    if (!d)
        return 0;
    for (struct dirent *e; n < max && (e = readdir(d));) {
        int fd = atoi(e->d_name), domain = 0;
        socklen_t len = sizeof(domain);
        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_XDP)
            fds[n++] = fd;
    }
    closedir(d);
    return n;
}

void af_xdp_close_sockets_but(const int *keep, uint16_t n_keep) {
    int fds[WEIR_MAX_PORTS * WEIR_MAX_WORKERS];
    uint16_t n = af_xdp_sockets(fds, WEIR_ARRAY_LEN(fds));
    for (uint16_t i = 0; i < n; i++) {
        bool kept = false;
        for (uint16_t k = 0; k < n_keep && !kept; k++)
            kept = keep[k] == fds[i];
        if (!kept)
            close(fds[i]);
    }
}

/* Builds with AddressSanitizer ask this at exit: with its socket, the driver forgets the memory of its UMEM. */
const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void) {
    return "leak:xsk_umem__create\n";
}
