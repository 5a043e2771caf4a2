/* SPDX-License-Identifier: BSD-3-Clause */
/* Seams between the files of lib/lb; nobody else includes this. */
#ifndef WEIR_LB_INT_H
#define WEIR_LB_INT_H

#include "lb.h"

/* Fill p->maglev (allocated where NULL). Returns 0 or WEIR_ENOMEM. */
int lb_maglev_fill(struct lb_pool *p);
/* The server of the key's entry, or of the next entry whose server's bit is set in `usable`; LB_NONE where that is 0.
 */
uint16_t lb_maglev_lookup(const struct lb_pool *p, uint64_t key_hash, uint64_t usable);

#endif
