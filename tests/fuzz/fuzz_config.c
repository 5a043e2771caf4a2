/* SPDX-License-Identifier: BSD-3-Clause */
/* Any bytes as a configuration file: refused with a message, or a configuration whose promises hold and whose memory
 * plan can be made. */
#include "weir/config.h"
#include "weir/memory_plan.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void promises_hold(const struct config *c) {
    assert(c->n_ports >= 1 && c->n_ports <= WEIR_MAX_PORTS && c->n_listeners >= 1);
    assert(c->cores.n_workers >= 1 && c->log.target);
    for (unsigned i = 0; i < c->n_ports; i++)
        assert(c->ports[i].n_addresses >= 1 && c->ports[i].n_addresses <= CONFIG_MAX_ADDRESSES && c->ports[i].device);
    for (unsigned i = 0; i < c->n_pools; i++)
        assert(c->pools[i].port < c->n_ports && c->pools[i].n_sources >= 1 && c->pools[i].n_servers >= 1);
    for (unsigned i = 0; i < c->n_listeners; i++) {
        const struct config_listener *l = &c->listeners[i];
        assert(l->port < c->n_ports && l->tls < c->n_tls && l->pool < c->n_pools);
        assert((l->pool == CONFIG_NONE) == (l->mode == CONFIG_MODE_ECHO));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct config *c = NULL;
    struct config_error err;
    char line[1024];
    int rc = config_parse_buffer(data, size, "fuzz.yaml", "/nonexistent", &c, &err);
    if (rc < 0) {
        assert(!c && err.message[0]);
        config_error_format(&err, line, sizeof(line));
        return 0;
    }
    static struct memory_plan plan;
    promises_hold(c);
    memory_plan_make(c, NULL, &plan);
    assert(plan.idle_bytes && plan.eal_mb);
    config_free(c);
    return 0;
}
