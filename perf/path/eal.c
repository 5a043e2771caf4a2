/* SPDX-License-Identifier: BSD-3-Clause */
#include "eal.h"

#include "base/base.h"

#include <rte_eal.h>
#include <rte_random.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

static int last_cpu(void) {
    cpu_set_t cpus;
    if (sched_getaffinity(0, sizeof(cpus), &cpus) != 0)
        return 0;
    for (int cpu = CPU_SETSIZE - 1; cpu > 0; cpu--)
        if (CPU_ISSET(cpu, &cpus))
            return cpu;
    return 0;
}

void eal_begin(uint32_t megabytes, char **devices, uint32_t n_devices) {
    char memory[16], lcore[32];
    char *argv[8 + EAL_MAX_DEVICES] = {"perf", "--no-huge",      "--no-pci",          "--no-shconf",
                                       memory, "--no-telemetry", "--log-level=error", lcore};
    snprintf(memory, sizeof(memory), "-m%u", megabytes);
    snprintf(lcore, sizeof(lcore), "--lcores=0@%d", last_cpu());
    for (uint32_t i = 0; i < n_devices && i < EAL_MAX_DEVICES; i++)
        argv[8 + i] = devices[i];
    if (rte_eal_init((int)(8 + n_devices), argv) < 0) {
        fprintf(stderr, "perf: rte_eal_init failed\n");
        exit(2);
    }
    rte_srand(1);
}
