/* SPDX-License-Identifier: BSD-3-Clause */
/* The cache of expanded GCM keys: found among the 512 it holds, and not found, with the key expanded anew as a
 * connection does that was away for long. */
#include "tls/tls_int.h"

#include "bench.h"

#include <intel-ipsec-mb.h>

#define KEYS   512u
#define ROUNDS 256u

struct ctx {
    struct tls_keycache *cache;
    IMB_MGR *mgr;
    uint32_t next;
    uint32_t way[1 + KEYS / 4];
    uint8_t key[16];
};

static struct gcm_key_data *add(struct ctx *c, uint32_t id, uint32_t *way) {
    bool hit;
    struct gcm_key_data *expanded = tls_keycache_get(c->cache, tls_keycache_name(id, TLS_READ, 0), way, &hit);

    if (hit)
        abort();
    return expanded;
}

/* A quarter of the cache, so that no set is full: every one of them is found. */
static void found(void *arg, uint32_t rounds) {
    struct ctx *c = arg;

    for (uint32_t i = 0; i < rounds; i++) {
        uint32_t id = 1 + (c->next++ * 7) % (KEYS / 4);
        if (tls_keycache_find(c->cache, tls_keycache_name(id, TLS_READ, 0), c->way[id]) == NULL)
            abort();
    }
}

static void missing(void *arg, uint32_t rounds) {
    struct ctx *c = arg;
    uint32_t way;

    for (uint32_t i = 0; i < rounds; i++)
        IMB_AES128_GCM_PRE(c->mgr, c->key, add(c, ++c->next, &way));
}

int main(void) {
    static struct ctx c;

    c.cache = tls_keycache_new(KEYS);
    c.mgr = alloc_mb_mgr(0);
    if (c.cache == NULL || c.mgr == NULL)
        return 1;
    init_mb_mgr_auto(c.mgr, NULL);
    for (uint32_t id = 1; id <= KEYS / 4; id++)
        add(&c, id, &c.way[id]);
    bench_run("tls_keycache_find", 1, ROUNDS, found, NULL, &c);
    c.next = KEYS;
    bench_run("tls_keycache_get, missing, and expand", 1, ROUNDS, missing, NULL, &c);
    tls_keycache_free(c.cache);
    free_mb_mgr(c.mgr);
    return 0;
}
