/* SPDX-License-Identifier: BSD-3-Clause */
/* EAL as the programs of perf/path start it: without huge pages, one lcore, on the last CPU that this process may use
 * (interrupts prefer the first). */
#ifndef WEIR_PERF_EAL_H
#define WEIR_PERF_EAL_H

#include <stdint.h>

#define EAL_MAX_DEVICES 2

/* devices: "--vdev=..." arguments, at most EAL_MAX_DEVICES. Ends the program where EAL does not start. */
void eal_begin(uint32_t megabytes, char **devices, uint32_t n_devices);

#endif
