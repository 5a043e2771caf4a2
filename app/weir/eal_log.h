/* SPDX-License-Identifier: BSD-3-Clause */
/* What DPDK, libbpf and libxdp have to say, led into weir's own log: stdout stays clean, and the last complaint can be
 * put into the error that the user sees. */
#ifndef WEIR_EAL_LOG_H
#define WEIR_EAL_LOG_H

#include "base/base.h"

/* Before rte_eal_init. Returns 0 or WEIR_ENOMEM. */
int eal_log_start(void);
void eal_log_stop(void);

/* Forget what was said before; then the first error since, without its newline, or "" . Control thread. */
void eal_log_forget(void);
const char *eal_log_first_error(void);

#endif
