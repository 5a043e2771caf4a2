/* SPDX-License-Identifier: BSD-3-Clause */
/* What a reload replaces: one immutable block behind one pointer. Control publishes a new one and frees the old after
 * every worker has passed a quiescent state (rte_rcu_qsbr). Flows outlive snapshots: they hold ids, and references on
 * what they still use (struct tls_ctx counts its own). */
#ifndef WEIR_SNAPSHOT_H
#define WEIR_SNAPSHOT_H

#include "config.h"
#include "limits.h"
#include "tls/tls.h"

struct snapshot {
    uint32_t generation;
    struct tls_ctx *tls[WEIR_MAX_TLS];     /* of listeners; one reference each, as of those towards servers: */
    struct tls_ctx *pools[WEIR_MAX_POOLS]; /* NULL: the pool speaks no TLS */
};

/* Who hears of what does not make a snapshot fail. Texts begin with the place in the configuration. */
struct snapshot_told {
    /* Files of that entry: what they held serves on. entry: index in `tls`, or behind those in `pools`. */
    void (*refused)(void *arg, uint16_t entry, const char *text);
    void (*warned)(void *arg, const char *text);
    void *arg;
};

/* Load the certificates of the configuration. keep: an older snapshot, whose certificates serve where new ones are
 * refused, or NULL: then the first refusal makes the whole fail. `entries`: only these, as bits, are loaded, the others
 * are kept as they are (without `keep`: all). Returns NULL on failure, `error` filled. */
#define SNAPSHOT_ENTRIES (WEIR_MAX_TLS + WEIR_MAX_POOLS)
#define SNAPSHOT_TLS(i)  (1ull << (i))
#define SNAPSHOT_POOL(i) (1ull << (WEIR_MAX_TLS + (i)))
#define SNAPSHOT_ALL     UINT64_MAX
struct snapshot *snapshot_new(const struct config *config, const struct snapshot *keep, uint64_t entries,
                              const struct snapshot_told *ear, char *error, size_t error_bytes);
void snapshot_free(struct snapshot *s);

#endif
