/* SPDX-License-Identifier: BSD-3-Clause */
/* What must hold in a core whenever no call into it is under way: the numbers of each flow, its timers and lists, and
 * every gauge counted anew. Looks and changes nothing. Used by the pair tests after each turn and by the fuzzers after
 * each operation. */
#ifndef WEIR_CORE_CHECK_H
#define WEIR_CORE_CHECK_H

#include "tcp/tcp_core.h"

#include <stdarg.h>

/* Where a check writes what is wrong. The first finding stays. */
struct core_fault {
    char text[256];
};
bool core_fault_say(struct core_fault *f, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* How much of it: GAUGES is cheap (no chain is walked), ALL also walks ropes, lists and the table. */
enum core_check_depth { CORE_CHECK_GAUGES, CORE_CHECK_ALL };

/* False: something is wrong. `kept_mbufs`: what the owner has announced with tcp_rx_kept. */
bool core_check(const struct tcp_core *core, enum core_check_depth depth, uint32_t kept_mbufs, struct core_fault *f);

/* One flow. */
bool core_check_conn(const struct tcp_core *core, const struct tcp_conn *c, enum core_check_depth depth,
                     struct core_fault *f);

/* core_records.c: what it has outstanding, segment by segment. */
bool core_check_records(const struct tcp_core *core, const struct tcp_conn *c, struct core_fault *f);

/* One beyond the highest sequence number that ever left. */
uint32_t core_snd_nxt(const struct tcp_conn *c);

#endif
