/* SPDX-License-Identifier: BSD-3-Clause */
/* 2 MB huge pages: are there enough, may we raise their number, and giving back what we raised.
 *
 * The pages that a killed weir had raised stay in the kernel's pool, free: the next start finds and uses them. */
#ifndef WEIR_HUGEPAGES_H
#define WEIR_HUGEPAGES_H

#include "base/base.h"
#include "config.h"

struct hugepages {
    uint32_t added; /* pages by which we raised vm.nr_hugepages */
};

/* Decide for `need_mb` of EAL memory. Returns 1: use huge pages; 0: go without (`why` says why); WEIR_ENOMEM: they are
 * required and cannot be had (`why` says what to do). Pages are raised only while MemAvailable is at least twice what
 * that takes away. */
int hugepages_take(struct hugepages *h, enum config_hugepages want, uint32_t need_mb, char *why, size_t why_bytes);

/* Lower vm.nr_hugepages again by what hugepages_take added. */
void hugepages_give_back(struct hugepages *h);

#endif
