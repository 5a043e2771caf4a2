/* SPDX-License-Identifier: BSD-3-Clause */
/* lib/base: what every other module stands on.
 *
 *   base.h         error codes and the few macros everybody needs
 *   span.h         bounded reader and writer over bytes; the first failure sticks
 *   rope.h         a byte queue made of mbufs; exists only while data waits
 *   pool.h         fixed-size objects named by 4-byte index, mmap behind them
 *   timer_wheel.h  one lazy timer node an object, 1 ms ticks, O(1) arm
 *   flow_table.h   from a 4-tuple to a 4-byte index, a cache line a lookup, keyed per boot
 *   region.h       address space for all these
 *   clock.h        TSC to microseconds; read by the worker loop only
 *   log.h          leveled, rate-limited log to stderr, syslog or a file
 *   lower.h        names of counters from their X-lists
 *   poison.h       what AddressSanitizer cannot know of our pools
 *
 * Conventions, stated once for the whole tree:
 *   - A function that can fail returns 0 (or a count, or a verdict >= 0) or a negative code: one of enum weir_error
 *     or, where the header says so, minus a drop reason.
 *   - WEIR_MORE means "nothing wrong, more bytes are needed"; it is never an error to report.
 *   - Names carry units (_us, _ms, _bytes) and byte order (_be: as on the wire; no suffix: host order).
 *   - Time comes in as an argument (now_us: microseconds since start, monotonic, never 0).
 *   - Index 0 of any pool means "none", so zeroed memory is empty memory.
 *   - Threading: nothing here is shared between workers unless a header says so.
 */
#ifndef WEIR_BASE_H
#define WEIR_BASE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(name, value, text) */
#define WEIR_ERRORS(X)                                                                                                 \
    X(MORE, -1, "more bytes are needed")                                                                               \
    X(EINVAL, -2, "invalid argument or malformed input")                                                               \
    X(ENOMEM, -3, "out of memory or pool empty")                                                                       \
    X(EFULL, -4, "bounded queue or table is full")                                                                     \
    X(ENOENT, -5, "no such entry")                                                                                     \
    X(EEXIST, -6, "entry exists already")                                                                              \
    X(ESTATE, -7, "not possible in this state")                                                                        \
    X(ERANGE, -8, "value outside its range")                                                                           \
    X(ENOTSUP, -9, "not supported here")                                                                               \
    X(EIO, -10, "device or system error")                                                                              \
    X(EAUTH, -11, "authentication of data failed")                                                                     \
    X(ECLOSED, -12, "closed")

enum weir_error {
#define X(name, value, text) WEIR_##name = value,
    WEIR_ERRORS(X)
#undef X
};

/* The text of a code of enum weir_error; "unknown error" for anything else. Never NULL, static storage. */
const char *weir_error_text(int error);

#define WEIR_LIKELY(x)    __builtin_expect(!!(x), 1)
#define WEIR_UNLIKELY(x)  __builtin_expect(!!(x), 0)
#define WEIR_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define WEIR_CACHE_LINE   64

/* An assertion in what every packet runs through a dozen times: checked in debug, sanitizer and fuzzing builds only. */
#ifdef WEIR_HOT_ASSERTIONS
#define WEIR_ASSERT_HOT(x) assert(x)
#else
#define WEIR_ASSERT_HOT(x) ((void)0)
#endif

/* A function compiled for several instruction sets, of which the loader takes the best that the CPU has. Sanitizers
 * cannot run before the loader has done so; they get the plain one. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define WEIR_CPU_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define WEIR_CPU_CLONES
#endif

static inline uint32_t weir_min_u32(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

static inline uint32_t weir_max_u32(uint32_t a, uint32_t b) {
    return a > b ? a : b;
}

#endif
