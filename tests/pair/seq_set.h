/* SPDX-License-Identifier: BSD-3-Clause */
/* A set of sequence numbers as sorted ranges that do not touch; comparisons modulo 2^32, so that all of it must lie
 * within half of the space. Additions near the end are cheap. */
#ifndef WEIR_SEQ_SET_H
#define WEIR_SEQ_SET_H

#include <stdbool.h>
#include <stdint.h>

struct seq_range {
    uint32_t left, right; /* [left, right) */
};
struct seq_set {
    struct seq_range *ranges;
    uint32_t n, room;
};

void seq_set_clear(struct seq_set *s); /* and give its memory back */
/* Add [left, right); what was in it before also goes to `twice`, where that is not NULL. */
void seq_set_add(struct seq_set *s, uint32_t left, uint32_t right, struct seq_set *twice);
/* Is all of [left, right) in it? */
bool seq_set_has(const struct seq_set *s, uint32_t left, uint32_t right);
/* End of the range that holds `from`; `from` itself where none does. */
uint32_t seq_set_end(const struct seq_set *s, uint32_t from);

#endif
