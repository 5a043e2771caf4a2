/* SPDX-License-Identifier: BSD-3-Clause */
#include "capture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_pcapng.h>
#include <rte_ring.h>

#define WRITE_BATCH 32

/* pcapng, section 4.3: Enhanced Packet Block. */
struct packet_block {
    uint32_t type, block_len, interface_id, time_high, time_low, captured_len, original_len;
};
/* What follows packet and padding: options epb_flags and epb_queue, end of options, the length again. */
struct packet_tail {
    uint16_t flags_code, flags_len;
    uint32_t flags;
    uint16_t queue_code, queue_len;
    uint32_t queue;
    uint32_t end;
    uint32_t block_len;
};
#define BLOCK_ENHANCED_PACKET 6
#define OPTION_FLAGS          2
#define OPTION_QUEUE          6
#define FLAGS_INBOUND         1u
#define FLAGS_OUTBOUND        2u

/* In the copy's private area, until control makes it a block. */
struct copy_info {
    uint64_t now_us;
    uint32_t original_len;
    uint32_t queue;
    bool rx;
};

struct capture_worker {
    struct rte_ring *ring;
    struct rte_mbuf *head;    /* control: taken off the ring, next to write */
    uint16_t eth_port, queue; /* the port's, where the worker's frames leave */
    uint64_t dropped;
} __attribute__((aligned(WEIR_CACHE_LINE)));

struct capture {
    rte_pcapng_t *file;
    struct rte_mempool *pool;
    uint64_t max_packets, written;
    uint64_t start_us, start_ns; /* one moment on the workers' clock and on the wall */
    uint32_t snaplen;
    uint16_t n_workers;
    bool done; /* atomic, relaxed: workers may stop copying */
    struct capture_worker workers[WEIR_MAX_WORKERS];
};

/* Anonymous memory: without huge pages EAL's own is measured out for what always runs. */
static struct rte_mempool *pool_new(const char *name, uint32_t n, uint32_t snaplen) {
    uint16_t room = (uint16_t)(RTE_PKTMBUF_HEADROOM + RTE_ALIGN_CEIL(snaplen, 4) + sizeof(struct packet_tail));
    uint16_t priv_bytes = RTE_ALIGN_CEIL(sizeof(struct copy_info), RTE_MBUF_PRIV_ALIGN);
    struct rte_mempool *pool =
        rte_mempool_create_empty(name, n, (unsigned)(sizeof(struct rte_mbuf) + priv_bytes + room), 0,
                                 sizeof(struct rte_pktmbuf_pool_private), SOCKET_ID_ANY, RTE_MEMPOOL_F_NO_IOVA_CONTIG);
    if (!pool)
        return NULL;
    struct rte_pktmbuf_pool_private priv = {.mbuf_data_room_size = room, .mbuf_priv_size = priv_bytes};
    rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), NULL);
    rte_pktmbuf_pool_init(pool, &priv);
    if (rte_mempool_populate_anon(pool) != (int)n) {
        rte_mempool_free(pool);
        return NULL;
    }
    rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
    return pool;
}

static int make_memory(struct capture *c, const struct port *port, char *error, size_t error_bytes) {
    char name[RTE_RING_NAMESIZE];
    uint16_t first = port->queues[0].eth_port;
    rte_errno = 0;
    for (uint16_t i = 0; i < c->n_workers; i++) {
        struct capture_worker *w = &c->workers[i];
        w->queue = i % port->n_queues;
        w->eth_port = port->queues[w->queue].eth_port;
        snprintf(name, sizeof(name), "capture_%u_%u", first, i);
        w->ring = rte_ring_create(name, CAPTURE_RING, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
        if (!w->ring)
            break;
    }
    snprintf(name, sizeof(name), "capture_%u", first);
    if (c->workers[c->n_workers - 1].ring)
        c->pool = pool_new(name, CAPTURE_RING * c->n_workers, c->snaplen);
    if (c->pool)
        return 0;
    bool exists = rte_errno == EEXIST;
    snprintf(error, error_bytes, exists ? "port %s: a capture runs already" : "port %s: no memory for a capture",
             port->name);
    return exists ? WEIR_EEXIST : WEIR_ENOMEM;
}

static int open_file(struct capture *c, const char *path, char *error, size_t error_bytes) {
    struct utsname host;
    char os[sizeof(host.sysname) + sizeof(host.release) + 1] = "";
    if (uname(&host) == 0)
        snprintf(os, sizeof(os), "%s %s", host.sysname, host.release);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0) {
        c->file = rte_pcapng_fdopen(fd, os, NULL, "weir " WEIR_VERSION, NULL);
        if (c->file)
            return 0;
        close(fd);
    }
    snprintf(error, error_bytes, "file %s cannot be written: %s", path, strerror(errno));
    return WEIR_EIO;
}

static void capture_free(struct capture *c) {
    for (uint16_t i = 0; i < c->n_workers; i++) {
        struct capture_worker *w = &c->workers[i];
        struct rte_mbuf *m = w->head;
        while (m || (w->ring && rte_ring_sc_dequeue(w->ring, (void **)&m) == 0)) {
            rte_pktmbuf_free(m);
            m = NULL;
        }
        rte_ring_free(w->ring);
    }
    rte_mempool_free(c->pool);
    rte_pcapng_close(c->file); /* NULL is allowed */
    free(c);
}

int capture_start(struct capture **out, const struct capture_options *options, uint64_t now_us, char *error,
                  size_t error_bytes) {
    assert(options->port->n_queues > 0 && options->n_workers > 0 && options->n_workers <= WEIR_MAX_WORKERS);
    struct capture *c = aligned_alloc(WEIR_CACHE_LINE, sizeof(*c));
    struct timespec wall;
    *out = NULL;
    if (!c) {
        snprintf(error, error_bytes, "port %s: no memory for a capture", options->port->name);
        return WEIR_ENOMEM;
    }
    memset(c, 0, sizeof(*c));
    clock_gettime(CLOCK_REALTIME, &wall);
    c->start_us = now_us;
    c->start_ns = (uint64_t)wall.tv_sec * 1000000000u + (uint64_t)wall.tv_nsec;
    c->max_packets = options->max_packets;
    c->snaplen = options->snaplen && options->snaplen < CAPTURE_SNAPLEN ? options->snaplen : CAPTURE_SNAPLEN;
    c->n_workers = options->n_workers;
    int ret = make_memory(c, options->port, error, error_bytes);
    if (!ret)
        ret = open_file(c, options->path, error, error_bytes);
    if (ret) {
        capture_free(c);
        return ret;
    }
    *out = c;
    return 0;
}

void capture_packet(struct capture *c, unsigned worker, const struct rte_mbuf *m, bool rx, uint64_t now_us) {
    struct capture_worker *w = &c->workers[worker];
    if (__atomic_load_n(&c->done, __ATOMIC_RELAXED))
        return;
    struct rte_mbuf *copy = rte_pktmbuf_copy(m, c->pool, 0, c->snaplen);
    if (!copy) {
        w->dropped++;
        return;
    }
    struct copy_info *info = rte_mbuf_to_priv(copy);
    *info = (struct copy_info){.now_us = now_us, .original_len = m->pkt_len, .queue = w->queue, .rx = rx};
    copy->port = w->eth_port;
    if (rte_ring_sp_enqueue(w->ring, copy)) {
        rte_pktmbuf_free(copy);
        w->dropped++;
    }
}

/* Around the copy's bytes, where head and tail room are left for it. rte_pcapng_write_packets fills the interface in.
 */
static void make_block(const struct capture *c, struct rte_mbuf *m) {
    const struct copy_info info = *(const struct copy_info *)rte_mbuf_to_priv(m);
    uint32_t captured = m->pkt_len, padding = RTE_ALIGN_CEIL(captured, 4) - captured;
    uint64_t time_ns = c->start_ns + (info.now_us - c->start_us) * 1000;
    struct packet_tail tail = {.flags_code = OPTION_FLAGS,
                               .flags_len = sizeof(tail.flags),
                               .flags = info.rx ? FLAGS_INBOUND : FLAGS_OUTBOUND,
                               .queue_code = OPTION_QUEUE,
                               .queue_len = sizeof(tail.queue),
                               .queue = info.queue};
    struct packet_block block = {.type = BLOCK_ENHANCED_PACKET,
                                 .time_high = (uint32_t)(time_ns >> 32),
                                 .time_low = (uint32_t)time_ns,
                                 .captured_len = captured,
                                 .original_len = info.original_len};
    block.block_len = tail.block_len = (uint32_t)(sizeof(block) + captured + padding + sizeof(tail));
    char *end = rte_pktmbuf_append(m, (uint16_t)(padding + sizeof(tail)));
    char *start = rte_pktmbuf_prepend(m, sizeof(block));
    assert(start && end); /* the pool's room was made for them */
    memset(end, 0, padding);
    memcpy(end + padding, &tail, sizeof(tail));
    memcpy(start, &block, sizeof(block));
}

static uint64_t head_us(const struct capture_worker *w) {
    return ((const struct copy_info *)rte_mbuf_to_priv(w->head))->now_us;
}

/* The earliest packet that any worker has brought, or NULL. */
static struct rte_mbuf *next_packet(struct capture *c) {
    struct capture_worker *first = NULL;
    for (uint16_t i = 0; i < c->n_workers; i++) {
        struct capture_worker *w = &c->workers[i];
        if (!w->head && rte_ring_sc_dequeue(w->ring, (void **)&w->head))
            w->head = NULL;
        if (w->head && (!first || head_us(w) < head_us(first)))
            first = w;
    }
    if (!first)
        return NULL;
    struct rte_mbuf *m = first->head;
    first->head = NULL;
    return m;
}

static bool write_batch(struct capture *c, struct rte_mbuf **batch, uint16_t n) {
    ssize_t want = 0;
    for (uint16_t i = 0; i < n; i++)
        want += batch[i]->pkt_len;
    bool ok = rte_pcapng_write_packets(c->file, batch, n) == want; /* less: the disk is full */
    rte_pktmbuf_free_bulk(batch, n);
    if (ok)
        c->written += n;
    if (!ok || c->written >= c->max_packets)
        __atomic_store_n(&c->done, true, __ATOMIC_RELAXED);
    return ok;
}

int capture_drain(struct capture *c) {
    struct rte_mbuf *batch[WRITE_BATCH];
    uint32_t total = 0;
    while (!c->done && total < CAPTURE_RING) {
        uint64_t left = c->max_packets - c->written;
        uint16_t n = 0;
        while (n < WRITE_BATCH && n < left && (batch[n] = next_packet(c)))
            make_block(c, batch[n++]);
        if (n == 0)
            break;
        if (!write_batch(c, batch, n))
            return WEIR_EIO;
        total += n;
    }
    return (int)total;
}

bool capture_done(const struct capture *c) {
    return c->done;
}

void capture_stats(const struct capture *c, struct capture_stats *s) {
    *s = (struct capture_stats){.written = c->written};
    for (uint16_t i = 0; i < c->n_workers; i++)
        s->dropped += c->workers[i].dropped;
}

void capture_stop(struct capture *c) {
    while (capture_drain(c) > 0)
        ;
    struct capture_stats s;
    capture_stats(c, &s);
    rte_pcapng_write_stats(c->file, c->workers[0].eth_port, NULL, 0, 0, s.written + s.dropped, s.dropped);
    capture_free(c);
}
