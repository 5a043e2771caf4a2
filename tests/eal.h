/* SPDX-License-Identifier: BSD-3-Clause */
/* DPDK's environment for a test: in its own process alone, without huge pages, devices, or files that others see. */
#ifndef TESTS_EAL_H
#define TESTS_EAL_H

#include "base/base.h"

#include <rte_eal.h>
#include <sched.h>
#include <stdio.h>

/* Once a process. `megabytes`: of memory for pools and rings. Returns whether it has started. */
static inline bool test_eal(unsigned megabytes) {
    char memory[16], lcore[24];
    char *argv[] = {
        "test", memory, lcore, "--no-huge", "--no-pci", "--no-shconf", "--no-telemetry", "--log-level=error"};
    cpu_set_t cpus;

    snprintf(memory, sizeof(memory), "-m%u", megabytes);
    snprintf(lcore, sizeof(lcore), "--lcores=0@%d", sched_getcpu());
    sched_getaffinity(0, sizeof(cpus), &cpus);
    if (rte_eal_init((int)WEIR_ARRAY_LEN(argv), argv) < 0)
        return false;
    sched_setaffinity(0, sizeof(cpus), &cpus); /* EAL holds us on that CPU: nobody but the scheduler should */
    return true;
}

#endif
