/* SPDX-License-Identifier: BSD-3-Clause */
#include "port.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ether.h>

#include "base/log.h"
#include "eal_log.h"
#include "hugepages.h"
#include "mbuf_pools.h"
#include "port_device.h"

#define PREFIX    "weir-" /* and the process id: two of us on one machine share no file */
#define MAX_EXTRA 32
#define MAX_ARGS  (32 + 2 * WEIR_MAX_PORTS + MAX_EXTRA)
#define ARG_BYTES 1024 /* --lcores of 48 threads */

struct arguments {
    int n;
    bool lost; /* one found no room */
    char *v[MAX_ARGS + 1];
};

/* EAL is one per process, and so is what has to be undone at its end. */
static struct {
    bool running;
    struct hugepages hugepages;
    struct arguments arguments; /* EAL keeps pointers to the strings */
} eal;

static void add(struct arguments *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct arguments *a, const char *format, ...) {
    char text[ARG_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (a->n < MAX_ARGS && (a->v[a->n] = strdup(text)))
        a->n++;
    else
        a->lost = true;
}

/* `0@control,1@worker,2@worker,...`: lcore ids are ours, CPU ids the configuration's. One CPU may come twice. */
static void add_lcores(struct arguments *a, const struct config_cores *cores) {
    char map[ARG_BYTES];
    unsigned lcore = 1;
    int at = snprintf(map, sizeof(map), "0@%u", cores->control);
    for (uint16_t i = 0; i < cores->n_workers; i++)
        at += snprintf(map + at, sizeof(map) - (size_t)at, ",%u@%u", lcore++, cores->workers[i]);
    for (uint16_t i = 0; i < cores->n_handshake; i++)
        at += snprintf(map + at, sizeof(map) - (size_t)at, ",%u@%u", lcore++, cores->handshake[i]);
    add(a, "--lcores");
    add(a, "%s", map);
    add(a, "--main-lcore");
    add(a, "0");
}

struct device_needs {
    bool pci, af_xdp, one_file;
    const char *hugepages_port; /* name of a port that cannot do without them, or NULL */
};

static struct device_needs devices_need(const struct config *config) {
    struct device_needs needs = {0};
    for (uint16_t i = 0; i < config->n_ports; i++) {
        const struct device_traits *t = device_traits_of(config->ports[i].device);
        needs.pci |= t->pci;
        needs.af_xdp |= t->queue_per_vdev;
        needs.one_file |= t->one_memory_file;
        if (t->needs_hugepages)
            needs.hugepages_port = config->ports[i].name;
    }
    return needs;
}

static void add_devices(struct arguments *a, const struct config *config, const struct device_needs *needs) {
    if (!needs->pci)
        add(a, "--no-pci");
    for (uint16_t i = 0; i < config->n_ports; i++)
        if (device_traits_of(config->ports[i].device)->pci) {
            add(a, "--allow");
            add(a, "%s", config->ports[i].device);
        }
    /* Software ports never need physical addresses, and packed pools (mbuf_pools.h) want virtual ones. */
    if (!needs->pci || needs->af_xdp)
        add(a, "--iova-mode=va");
}

static void add_memory(struct arguments *a, uint32_t mb, bool hugepages, const struct device_needs *needs) {
    if (hugepages) {
        add(a, "--in-memory"); /* no files in hugetlbfs that a killed process would leave behind */
        if (needs->one_file)
            add(a, "--single-file-segments"); /* vhost-user passes few descriptors on */
    } else {
        add(a, "--no-huge");
        add(a, "--no-shconf");
    }
    add(a, "-m");
    add(a, "%u", mb);
}

/* Of this process or of one that was killed; with telemetry's sockets. */
static void remove_runtime_folder(const char *folder) {
    static const char *const names[] = {"dpdk_telemetry.v2", "telemetry"};
    char path[640];
    for (size_t i = 0; i < WEIR_ARRAY_LEN(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

/* The user may have given another prefix, and with it share a folder. */
static void remove_own_runtime_folder(const char *folder) {
    char name[32];
    const char *slash = folder ? strrchr(folder, '/') : NULL;
    snprintf(name, sizeof(name), PREFIX "%d", (int)getpid());
    if (slash && strcmp(slash + 1, name) == 0)
        remove_runtime_folder(folder);
}

/* Killed processes left theirs: those go, unless somebody with that id is there. */
static void remove_stale_runtime_folders(const char *own) {
    char parent[256], path[512];
    snprintf(parent, sizeof(parent), "%s", own);
    char *slash = strrchr(parent, '/');
    if (!slash)
        return;
    *slash = '\0';
    DIR *d = opendir(parent);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d));) {
        long pid = strncmp(e->d_name, PREFIX, strlen(PREFIX)) == 0 ? strtol(e->d_name + strlen(PREFIX), NULL, 10) : 0;
        if (pid <= 0 || pid == getpid() || kill((pid_t)pid, 0) == 0 || errno != ESRCH)
            continue;
        snprintf(path, sizeof(path), "%s/%s", parent, e->d_name);
        remove_runtime_folder(path);
    }
    closedir(d);
}

/* The plan counts mbufs of the usual size. Ports with a large MTU have larger ones. */
static uint32_t memory_mb(const struct config *config, const struct memory_plan *plan) {
    uint32_t usual = mbuf_pool_object_bytes(mbuf_pool_room(RTE_ETHER_MTU, true));
    uint64_t more_bytes = 0;
    for (uint16_t i = 0; i < config->n_ports; i++) {
        bool af_xdp = device_traits_of(config->ports[i].device)->queue_per_vdev;
        uint32_t object = mbuf_pool_object_bytes(mbuf_pool_room(config->ports[i].mtu, af_xdp));
        more_bytes += (uint64_t)(object - usual) * plan->mbufs[i] * config->cores.n_workers;
    }
    return plan->eal_mb + (uint32_t)((more_bytes + (1u << 20) - 1) >> 20);
}

/* Huge pages or not, and the sentence about it. */
static int decide_memory(const struct config *config, uint32_t mb, const struct device_needs *needs,
                         struct ports *ports, char *error, size_t error_bytes) {
    char why[384];
    int taken = hugepages_take(&eal.hugepages, config->memory.hugepages, mb, why, sizeof(why));
    if (taken < 0) {
        snprintf(error, error_bytes, "%s", why);
        return taken;
    }
    ports->hugepages = taken == 1;
    if (!ports->hugepages && needs->hugepages_port) {
        snprintf(error, error_bytes,
                 "port %s: its device works with huge pages only (%s): set memory.hugepages to `auto` and "
                 "vm.nr_hugepages to at least %u",
                 needs->hugepages_port, why, (mb + 1) / 2);
        return WEIR_ENOTSUP;
    }
    if (ports->hugepages && eal.hugepages.added)
        snprintf(ports->memory_text, sizeof(ports->memory_text), "%u MB in 2 MB huge pages (%u added for this run)", mb,
                 eal.hugepages.added);
    else if (ports->hugepages)
        snprintf(ports->memory_text, sizeof(ports->memory_text), "%u MB in 2 MB huge pages", mb);
    else
        snprintf(ports->memory_text, sizeof(ports->memory_text), "%u MB without huge pages (%.70s)", mb, why);
    return 0;
}

static void unwind(void) {
    eal_log_stop();
    hugepages_give_back(&eal.hugepages);
    for (int i = 0; i < eal.arguments.n; i++)
        free(eal.arguments.v[i]);
    eal.arguments = (struct arguments){0};
}

int eal_start(const struct config *config, const struct memory_plan *plan, const char *argv0, char **extra, int n_extra,
              struct ports *ports, char *error, size_t error_bytes) {
    struct device_needs needs = devices_need(config);
    if (n_extra > MAX_EXTRA) {
        snprintf(error, error_bytes, "%d arguments for DPDK, and %d are possible", n_extra, MAX_EXTRA);
        return WEIR_ERANGE;
    }
    uint32_t mb = memory_mb(config, plan);
    int ret = decide_memory(config, mb, &needs, ports, error, error_bytes);
    if (ret)
        return ret;
    struct arguments *a = &eal.arguments;
    add(a, "%s", argv0);
    add_lcores(a, &config->cores);
    add_memory(a, mb, ports->hugepages, &needs);
    add_devices(a, config, &needs);
    add(a, "--file-prefix=" PREFIX "%d", (int)getpid());
    add(a, "--log-level=error");
    for (int i = 0; i < n_extra; i++)
        add(a, "%s", extra[i]);
    if (a->lost || eal_log_start()) {
        snprintf(error, error_bytes, "no memory for DPDK's arguments and log");
        unwind();
        return WEIR_ENOMEM;
    }
    char *argv[MAX_ARGS + 1]; /* EAL sorts them */
    memcpy(argv, a->v, sizeof(argv));
    eal_log_forget();
    if (rte_eal_init(a->n, argv) < 0) {
        snprintf(error, error_bytes, "DPDK does not start: %s (%s)", eal_log_first_error(), rte_strerror(rte_errno));
        remove_own_runtime_folder(rte_eal_get_runtime_dir());
        unwind();
        return WEIR_EIO;
    }
    eal.running = true;
    remove_stale_runtime_folders(rte_eal_get_runtime_dir());
    return 0;
}

void eal_stop(void) {
    if (!eal.running)
        return;
    eal.running = false;
    char folder[256];
    snprintf(folder, sizeof(folder), "%s", rte_eal_get_runtime_dir());
    rte_eal_cleanup();
    remove_own_runtime_folder(folder);
    unwind();
}
