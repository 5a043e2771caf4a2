/* SPDX-License-Identifier: BSD-3-Clause */
/* One direction of an emulated link: a bottleneck with a drop-tail queue, then a wire with a delay that loses,
 * marks, corrupts, doubles and reorders.
 *
 * No clock and no socket: line_enter takes a frame and the time, line_leave gives back those that have arrived. What
 * happens to a frame depends on the seed and on its number among the IPv4 frames of its direction alone, so that two
 * runs with the same seed harm the same numbers. Other frames (ARP) only wait: they are no part of an experiment.
 *
 * Frames lie in a pool that both directions share; a frame belongs to the pool, to a line or to the caller. */
#ifndef EMULINK_LINE_H
#define EMULINK_LINE_H

#include <stdbool.h>
#include <stdint.h>

#define FRAME_MAX   2048u /* a whole frame of an MTU of 1,500 and more; nothing here is segmented later */
#define POOL_FRAMES 16384u

struct frame {
    uint64_t due_ns; /* leaves the wire then */
    uint64_t serial; /* order of those that are due at once */
    uint32_t len;
    uint8_t data[FRAME_MAX];
};

struct pool {
    struct frame *frames;
    struct frame *free[POOL_FRAMES]; /* a stack */
    uint32_t n_free;
};

struct line_config {
    uint64_t delay_ns;
    uint64_t rate_bps;                        /* 0: no bottleneck */
    uint64_t queue_bytes;                     /* before the bottleneck, the frame in service included; 0: no limit */
    double loss, corrupt, duplicate, reorder; /* probabilities */
    double mark;                              /* of CE, where the sender is ECN-capable (RFC 3168 5) */
    uint64_t reorder_ns;                      /* how much later a reordered frame comes */
    uint64_t seed;
};

/* X(name): monotonic counters */
#define LINE_COUNTERS(X)                                                                                               \
    X(frames_in)                                                                                                       \
    X(bytes_in)                                                                                                        \
    X(frames_out)                                                                                                      \
    X(bytes_out)                                                                                                       \
    X(ect)    /* came in ECN-capable and not marked */                                                                 \
    X(marked) /* left with CE */                                                                                       \
    X(lost)                                                                                                            \
    X(corrupted)                                                                                                       \
    X(duplicated)                                                                                                      \
    X(reordered)                                                                                                       \
    X(queue_full) /* dropped at the bottleneck */                                                                      \
    X(pool_empty) /* dropped, or not doubled, because this program has no room: the figures are worth nothing */       \
    X(too_long)   /* a frame that no wire carries: somebody's segmentation offload is on */                            \
    X(tx_failed)  /* the kernel did not take it */                                                                     \
    X(max_queue_bytes)                                                                                                 \
    X(max_late_us) /* by how much this program missed the time of a frame at worst */                                  \
    X(late)        /* frames that left more than a millisecond late */

struct line {
    struct line_config config;
    struct pool *pool;
    struct frame *heap[POOL_FRAMES]; /* by due_ns, serial */
    uint32_t n;
    uint64_t serial, number;  /* of frames; of IPv4 frames */
    uint64_t bottleneck_free; /* when the last frame of the queue has left it */
#define X(name) uint64_t name;
    LINE_COUNTERS(X)
#undef X
};

/* False: no memory. */
bool pool_init(struct pool *pool);
void pool_put(struct pool *pool, struct frame *f);
struct frame *pool_get(struct pool *pool);

void line_init(struct line *line, const struct line_config *config, struct pool *pool);
/* The line owns `f` from here on. */
void line_enter(struct line *line, struct frame *f, uint64_t now_ns);
/* The next frame that is due, the caller's from here on, or NULL. */
struct frame *line_leave(struct line *line, uint64_t now_ns);
/* When the next one will be due; UINT64_MAX: none under way. */
uint64_t line_next_ns(const struct line *line);

#endif
