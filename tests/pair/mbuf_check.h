/* SPDX-License-Identifier: BSD-3-Clause */
/* One owner an mbuf: a walk over every place that may hold mbufs counts how often each is met as itself and how often
 * an indirect mbuf shares its buffer. What is not in its pool must be met exactly once, and reference counts must be
 * what the walk found. */
#ifndef WEIR_MBUF_CHECK_H
#define WEIR_MBUF_CHECK_H

#include "core_check.h"

struct mbuf_check;
struct mbuf_check *mbuf_check_new(struct rte_mempool *const *pools, uint32_t n_pools);
void mbuf_check_free(struct mbuf_check *k);

/* A walk: begin, everything that holds mbufs, end (false: not all is as it must be). */
void mbuf_check_begin(struct mbuf_check *k);
void mbuf_check_chain(struct mbuf_check *k, const struct rte_mbuf *m); /* by next, however nb_segs stands */
void mbuf_check_core(struct mbuf_check *k, const struct tcp_core *core);
bool mbuf_check_end(struct mbuf_check *k, struct core_fault *f);

#endif
