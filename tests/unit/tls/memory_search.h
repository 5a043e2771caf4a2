/* SPDX-License-Identifier: BSD-3-Clause */
/* The whole of this process's writable memory, searched for keys: where core dumps would hold them, and where not. */
#ifndef TLS_MEMORY_SEARCH_H
#define TLS_MEMORY_SEARCH_H

#include "base/base.h"
#include "base/poison.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define NEEDLE_BYTES 16u
#define NEEDLES      16
#define MAPPING_MAX  (1ull << 32)

struct needle {
    uint8_t inverted[NEEDLE_BYTES]; /* so that the search does not find itself */
    const char *what;
};

struct hits {
    uint32_t in_dumps, guarded; /* in mappings that a core dump holds, and in those it does not */
    const char *what;           /* the last one, of those in dumps if there are any */
    char where[128];
};

static inline void needle_set(struct needle *n, const uint8_t *bytes, const char *what) {
    n->what = what;
    for (uint32_t i = 0; i < NEEDLE_BYTES; i++)
        n->inverted[i] = (uint8_t)~bytes[i];
}

static inline uint32_t count(const uint8_t *at, size_t n, const struct needle *needle) {
    const uint8_t first = (uint8_t)~needle->inverted[0], *end = at + n;
    uint32_t found = 0;

    for (; (at = memchr(at, first, (size_t)(end - at))) && at + NEEDLE_BYTES <= end; at++) {
        size_t k = 1;
        while (k < NEEDLE_BYTES && (at[k] ^ needle->inverted[k]) == 0xff)
            k++;
        found += k == NEEDLE_BYTES;
    }
    return found;
}

static inline void mapping_search(int mem, uint64_t from, uint64_t to, bool dumped, const char *line,
                                  const struct needle *needles, struct hits *hits) {
#ifdef WEIR_ASAN /* instrumented frames keep what functions that returned had in them */
    if (strstr(line, "[stack]"))
        return;
#endif
    static uint8_t page[1 << 16];
    const uint64_t overlap = NEEDLE_BYTES - 1;

    if (to - from > MAPPING_MAX) /* address space of a sanitizer */
        return;
    for (uint64_t at = from; at + overlap < to; at += sizeof(page) - overlap) {
        uint64_t want = to - at < sizeof(page) ? to - at : sizeof(page);
        ssize_t n = pread(mem, page, want, (off_t)at);
        if (n <= 0)
            return;
        bool own = (uint64_t)(uintptr_t)page < at + want && at < (uint64_t)(uintptr_t)page + sizeof(page);
        for (int i = 0; i < NEEDLES && needles[i].what && !own; i++) {
            uint32_t found = count(page, (size_t)n, &needles[i]);
            *(dumped ? &hits->in_dumps : &hits->guarded) += found;
            if (found && (dumped || hits->in_dumps == 0)) {
                hits->what = needles[i].what;
                snprintf(hits->where, sizeof(hits->where), "%.100s", line);
            }
        }
    }
    explicit_bzero(page, sizeof(page));
}

/* All writable mappings; "dd" among the flags in smaps says that core dumps leave one out, "lo" that it is locked. */
static inline struct hits memory_search(const struct needle *needles) {
    FILE *maps = fopen("/proc/self/smaps", "r");
    int mem = open("/proc/self/mem", O_RDONLY);
    char line[512], head[512] = "";
    unsigned long from = 0, to = 0;
    struct hits hits = {0};

    cr_assert(maps && mem >= 0);
    while (fgets(line, sizeof(line), maps)) {
        unsigned long a, b;
        char mode[5];
        if (sscanf(line, "%lx-%lx %4s", &a, &b, mode) == 3) {
            from = mode[1] == 'w' ? a : 0;
            to = b;
            memcpy(head, line, sizeof(head));
        } else if (strncmp(line, "VmFlags:", 8) == 0 && from) {
            mapping_search(mem, from, to, strstr(line, " dd") == NULL, head, needles, &hits);
        }
    }
    fclose(maps);
    close(mem);
    return hits;
}

/* Is the mapping around `p` locked and left out of dumps? */
static inline bool guarded(const void *p) {
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[512];
    unsigned long a, b;
    bool here = false, yes = false;

    while (fgets(line, sizeof(line), maps)) {
        char mode[5];
        if (sscanf(line, "%lx-%lx %4s", &a, &b, mode) == 3)
            here = (uintptr_t)p >= a && (uintptr_t)p < b;
        else if (here && strncmp(line, "VmFlags:", 8) == 0)
            yes = strstr(line, " lo") && strstr(line, " dd");
    }
    fclose(maps);
    return yes;
}

#endif
