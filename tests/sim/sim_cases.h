/* SPDX-License-Identifier: BSD-3-Clause */
/* What fixed scenarios ask for and expect. */
#ifndef WEIR_SIM_CASES_H
#define WEIR_SIM_CASES_H

#include "sim.h"

#include <string.h>

#define ONLY(setup, what, i)                                                                                           \
    do {                                                                                                               \
        memset((setup)->what, 0, sizeof((setup)->what));                                                               \
        (setup)->what[i] = 1;                                                                                          \
    } while (0)

static inline void sim_expect_ends(struct sim *sim, enum session_end end, uint64_t n) {
    if (sim_ends(sim, end) != n)
        sim_fail(sim, "%lu connections ended as %s, not %lu", (unsigned long)sim_ends(sim, end), session_end_name(end),
                 (unsigned long)n);
}

static inline void sim_expect_some(struct sim *sim, enum session_end end) {
    if (sim_ends(sim, end) == 0)
        sim_fail(sim, "no connection ended as %s", session_end_name(end));
}

static inline void sim_expect_all_accepted(struct sim *sim) {
    if (sim_accepted(sim) != sim->begun)
        sim_fail(sim, "%lu accepted of %lu", (unsigned long)sim_accepted(sim), (unsigned long)sim->begun);
}

/* Every connection that a client began was accepted and ended in order, by the client. */
static inline void sim_all_in_order(struct sim *sim) {
    sim_expect_all_accepted(sim);
    sim_expect_ends(sim, SESSION_END_CLIENT_CLOSED, sim->begun);
}

/* The same though a server was down for a while; probes brought it back. */
void sim_server_down_check(struct sim *sim);

#endif
