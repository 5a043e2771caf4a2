/* SPDX-License-Identifier: BSD-3-Clause */
#include "control_int.h"
#include "server_tls.h"

#include <rte_cycles.h>
#include <stdlib.h>

#define STALL_LOG_S   1u
#define STALL_ABORT_S 10u
#define PAUSE_S       5u  /* a look so late means that the whole process stood still: SIGSTOP, a machine suspended */
#define LOOK_EVERY    25u /* ticks: at links and servers */

static void watch_worker(struct control *c, uint16_t i, uint64_t now) {
    uint64_t last = __atomic_load_n(&c->weir->workers[i]->turn_tsc, __ATOMIC_RELAXED);
    if (last == 0)
        return; /* not in its loop yet */
    if (last < c->watch_from_tsc)
        last = c->watch_from_tsc;
    uint64_t s = now > last ? (now - last) / rte_get_tsc_hz() : 0;
    if (s < STALL_LOG_S) {
        if (c->stalled[i])
            log_line(LOG_LVL_WARNING, "watch", "worker %u turns again", i);
        c->stalled[i] = false;
        return;
    }
    if (!c->stalled[i])
        log_line(LOG_LVL_WARNING, "watch", "worker %u has not finished a turn for %u s", i, STALL_LOG_S);
    c->stalled[i] = true;
    if (s < STALL_ABORT_S)
        return;
    log_line(LOG_LVL_ERROR, "watch", "worker %u has not finished a turn for %u s: giving up, to be started again", i,
             STALL_ABORT_S);
    abort();
}

static void watch_link(struct control *c, uint16_t port) {
    bool up = port_link_up(&c->weir->ports.port[port]);
    if (up == c->link_up[port])
        return;
    for (uint16_t i = 0; i < c->weir->n_workers; i++)
        if (__atomic_load_n(&c->link_mail[i][port].done, __ATOMIC_ACQUIRE) == 0)
            return; /* the last change is still under way: look again next time */
    c->link_up[port] = up;
    log_line(LOG_LVL_WARNING, "port", "%s: link %s", c->weir->ports.port[port].name, up ? "up" : "down");
    for (uint16_t i = 0; i < c->weir->n_workers; i++) {
        struct mail *m = &c->link_mail[i][port];
        *m = (struct mail){.kind = MAIL_LINK, .port = port, .up = up};
        if (mailbox_post(&c->weir->workers[i]->mailbox, m) != 0)
            m->done = 1;
    }
}

/* Workers judge servers each by its own connections: one that finds a server down is worth a line. */
static void watch_server(struct control *c, uint16_t pool, uint16_t server) {
    const struct config_pool *cp = &c->weir->config->pools[pool];
    const struct config_server *cs = &cp->servers[server];
    uint16_t down = 0;
    for (uint16_t i = 0; i < c->weir->n_workers; i++)
        down += c->weir->workers[i]->pools[pool].servers[server].state == LB_DOWN;
    if (c->server_down[cs->id] == (down != 0))
        return;
    c->server_down[cs->id] = down != 0;
    char why[SERVER_TLS_TEXT_MAX];
    server_tls_tell(c->weir, cs->id, why);
    if (down != 0)
        log_line(LOG_LVL_WARNING, "server", "%s/%s is down, as %u of %u workers see it%s%s", cp->name, cs->name, down,
                 c->weir->n_workers, why[0] != '\0' ? "; TLS: " : "", why);
    else
        log_line(LOG_LVL_INFO, "server", "%s/%s is up again", cp->name, cs->name);
}

void watch_tick(struct control *c) {
    uint64_t now = rte_rdtsc();
    if (c->watched_tsc != 0 && now - c->watched_tsc > PAUSE_S * rte_get_tsc_hz())
        c->watch_from_tsc = now;
    c->watched_tsc = now;
    for (uint16_t i = 0; i < c->weir->n_workers; i++)
        watch_worker(c, i, now);
    if (c->tick % LOOK_EVERY != 0)
        return;
    for (uint16_t p = 0; p < c->weir->ports.n; p++)
        watch_link(c, p);
    for (uint16_t p = 0; p < c->weir->config->n_pools; p++)
        for (uint16_t s = 0; s < c->weir->config->pools[p].n_servers; s++)
            watch_server(c, p, s);
}
