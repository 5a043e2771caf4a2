/* SPDX-License-Identifier: BSD-3-Clause */
/* IPsec-MB's AES-128-GCM alone: what opening a record costs at least. */
#ifndef WEIR_PERF_RAW_H
#define WEIR_PERF_RAW_H

#include "options.h"

/* Open `bytes` in one piece again and again, and report MB/s. */
void raw_measure(const char *name, uint32_t bytes, const struct options *o);

#endif
