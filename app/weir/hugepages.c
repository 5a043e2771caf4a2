/* SPDX-License-Identifier: BSD-3-Clause */
#include "hugepages.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"

#define PAGE_MB      2u
#define PAGE_BYTES   ((size_t)PAGE_MB << 20)
#define SYSFS_FOLDER "/sys/kernel/mm/hugepages/hugepages-2048kB/"
#define NR_FILE      SYSFS_FOLDER "nr_hugepages"
#define FREE_FILE    SYSFS_FOLDER "free_hugepages"

static int read_number(const char *path, uint64_t *value) {
    FILE *f = fopen(path, "re");
    if (!f)
        return WEIR_EIO;
    int n = fscanf(f, "%" SCNu64, value);
    fclose(f);
    return n == 1 ? 0 : WEIR_EIO;
}

static int write_number(const char *path, uint64_t value) {
    FILE *f = fopen(path, "we");
    if (!f)
        return WEIR_EIO;
    bool ok = fprintf(f, "%" PRIu64 "\n", value) > 0;
    ok = fclose(f) == 0 && ok;
    return ok ? 0 : WEIR_EIO;
}

static uint64_t mem_available_mb(void) {
    FILE *f = fopen("/proc/meminfo", "re");
    if (!f)
        return 0;
    char line[128];
    uint64_t kb = 0;
    while (fgets(line, sizeof(line), f))
        if (sscanf(line, "MemAvailable: %" SCNu64, &kb) == 1)
            break;
    fclose(f);
    return kb >> 10;
}

/* A free page may still be out of reach: a cgroup's limit, no support at all. EAL cannot be started twice, so ask the
 * kernel first: reserve them all, touch one. */
static bool pages_reachable(uint32_t pages) {
    size_t len_bytes = pages * PAGE_BYTES;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | 21 << MAP_HUGE_SHIFT;
    void *p = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (p == MAP_FAILED)
        return false;
    bool ok = madvise(p, PAGE_BYTES, MADV_POPULATE_WRITE) == 0 || errno == EINVAL; /* EINVAL: kernel before 5.14 */
    munmap(p, len_bytes);
    return ok;
}

/* Raise the pool by `missing` pages. Returns false with `why` filled where that may not or cannot be. */
static bool raise_pool(struct hugepages *h, uint32_t missing, uint64_t free_pages, char *why, size_t why_bytes) {
    uint64_t missing_mb = (uint64_t)missing * PAGE_MB, available_mb = mem_available_mb(), nr, got;
    if (available_mb < 2 * missing_mb) {
        snprintf(why, why_bytes, "%" PRIu64 " MB of memory are too few to turn %" PRIu64 " MB into huge pages",
                 available_mb, missing_mb);
        return false;
    }
    if (read_number(NR_FILE, &nr) || write_number(NR_FILE, nr + missing)) {
        snprintf(why, why_bytes, "%" PRIu64 " free, and no right to raise vm.nr_hugepages", free_pages);
        return false;
    }
    if (read_number(NR_FILE, &got) || got <= nr) {
        snprintf(why, why_bytes, "the kernel found no memory in one piece for more of them");
        return false;
    }
    h->added = (uint32_t)(got - nr);
    if (h->added < missing) {
        snprintf(why, why_bytes, "the kernel made only %u of %u more", h->added, missing);
        hugepages_give_back(h);
        return false;
    }
    return true;
}

int hugepages_take(struct hugepages *h, enum config_hugepages want, uint32_t need_mb, char *why, size_t why_bytes) {
    *h = (struct hugepages){0};
    if (want == CONFIG_HUGEPAGES_OFF) {
        snprintf(why, why_bytes, "switched off");
        return 0;
    }
    uint32_t need = (need_mb + PAGE_MB - 1) / PAGE_MB;
    uint64_t free_pages = 0;
    bool ok = true;
    if (read_number(FREE_FILE, &free_pages)) {
        snprintf(why, why_bytes, "this kernel has no 2 MB huge pages");
        ok = false;
    } else if (free_pages < need) {
        ok = raise_pool(h, need - (uint32_t)free_pages, free_pages, why, why_bytes);
    }
    if (ok && !pages_reachable(need)) {
        snprintf(why, why_bytes, "free, but this process may not use them (%s)", strerror(errno));
        hugepages_give_back(h);
        ok = false;
    }
    if (ok)
        return 1;
    if (want == CONFIG_HUGEPAGES_AUTO)
        return 0;
    char reason[128];
    snprintf(reason, sizeof(reason), "%s", why);
    snprintf(why, why_bytes,
             "memory.hugepages is `required`, and %u huge pages of 2 MB cannot be had: %s. Set vm.nr_hugepages, or "
             "lower memory.max_connections, or say `auto`",
             need, reason);
    return WEIR_ENOMEM;
}

void hugepages_give_back(struct hugepages *h) {
    uint64_t nr;
    if (h->added == 0)
        return;
    if (read_number(NR_FILE, &nr) || write_number(NR_FILE, nr > h->added ? nr - h->added : 0))
        log_line(LOG_LVL_WARNING, "eal", "%u huge pages that were added at start could not be given back", h->added);
    h->added = 0;
}
