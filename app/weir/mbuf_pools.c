/* SPDX-License-Identifier: BSD-3-Clause */
#include "mbuf_pools.h"

#include <unistd.h>

#include <linux/bpf.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ether.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_memzone.h>

#ifndef XDP_PACKET_HEADROOM
#define XDP_PACKET_HEADROOM 256
#endif
#define FRAME_OVERHEAD                                                                                                 \
    (RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN + 8) /* and two VLAN tags: long enough to drop them whole */

uint16_t mbuf_pool_room(uint16_t mtu, bool af_xdp) {
    uint32_t room = mtu + FRAME_OVERHEAD + (af_xdp ? XDP_PACKET_HEADROOM : 0);
    room = RTE_ALIGN_CEIL(room, RTE_CACHE_LINE_SIZE);
    return (uint16_t)(RTE_PKTMBUF_HEADROOM + weir_max_u32(room, 2048));
}

uint32_t mbuf_pool_object_bytes(uint16_t room_bytes) {
    return rte_mempool_calc_obj_size((uint32_t)sizeof(struct rte_mbuf) + room_bytes, 0, NULL);
}

static void zone_free(struct rte_mempool_memhdr *chunk, void *zone) {
    (void)chunk;
    rte_memzone_free(zone);
}

/* One zone, page-aligned, filled without gaps. */
static int populate_packed(struct rte_mempool *pool, uint32_t n, int socket_id) {
    char name[RTE_MEMZONE_NAMESIZE];
    snprintf(name, sizeof(name), "%s_mem", pool->name);
    size_t len_bytes = (size_t)n * (pool->header_size + pool->elt_size + pool->trailer_size);
    const struct rte_memzone *zone =
        rte_memzone_reserve_aligned(name, len_bytes, socket_id, RTE_MEMZONE_SIZE_HINT_ONLY, (unsigned)getpagesize());
    if (!zone)
        return -rte_errno;
    int ret = rte_mempool_populate_iova(pool, zone->addr, zone->iova, zone->len, zone_free, (void *)(uintptr_t)zone);
    if (ret < 0) {
        rte_memzone_free(zone);
        return ret;
    }
    return ret == (int)n ? 0 : -ENOMEM;
}

static struct rte_mempool *packed_new(const char *name, uint32_t n, uint32_t cache, uint16_t room_bytes,
                                      int socket_id) {
    uint32_t element = sizeof(struct rte_mbuf) + room_bytes;
    /* The flag takes the gaps away; that addresses are contiguous all the same is what the IOVA mode says. */
    struct rte_mempool *pool = rte_mempool_create_empty(
        name, n, element, cache, sizeof(struct rte_pktmbuf_pool_private), socket_id, RTE_MEMPOOL_F_NO_IOVA_CONTIG);
    if (!pool)
        return NULL;
    struct rte_pktmbuf_pool_private priv = {.mbuf_data_room_size = room_bytes};
    rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), NULL);
    rte_pktmbuf_pool_init(pool, &priv);
    int ret = populate_packed(pool, n, socket_id);
    if (ret) {
        rte_mempool_free(pool);
        rte_errno = -ret;
        return NULL;
    }
    rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
    return pool;
}

struct rte_mempool *mbuf_pool_new(const char *name, uint32_t n, uint32_t cache, uint16_t room_bytes, int socket_id) {
    if (rte_eal_iova_mode() == RTE_IOVA_VA)
        return packed_new(name, n, cache, room_bytes, socket_id);
    return rte_pktmbuf_pool_create(name, n, cache, 0, room_bytes, socket_id);
}
