/* SPDX-License-Identifier: BSD-3-Clause */
/* Tell AddressSanitizer which of our own memory is out of use, and where else pointers lie, which it cannot know by
 * itself. Nothing in other builds. */
#ifndef WEIR_POISON_H
#define WEIR_POISON_H

#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEIR_ASAN 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define WEIR_ASAN 1
#endif

#ifdef WEIR_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>

static inline void poison_region(void *p, size_t n) {
    ASAN_POISON_MEMORY_REGION(p, n);
}

static inline void unpoison_region(void *p, size_t n) {
    ASAN_UNPOISON_MEMORY_REGION(p, n);
}

/* Mapped memory that owns allocations; what only it points to is no leak. */
static inline void owner_region(void *p, size_t n) {
    __lsan_register_root_region(p, n);
}

static inline void owner_region_end(void *p, size_t n) {
    __lsan_unregister_root_region(p, n);
}
#else
static inline void poison_region(void *p, size_t n) {
    (void)p;
    (void)n;
}

static inline void unpoison_region(void *p, size_t n) {
    (void)p;
    (void)n;
}

static inline void owner_region(void *p, size_t n) {
    (void)p;
    (void)n;
}

static inline void owner_region_end(void *p, size_t n) {
    (void)p;
    (void)n;
}
#endif

#endif
