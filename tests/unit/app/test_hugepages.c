/* SPDX-License-Identifier: BSD-3-Clause */
#include "port_fixture.h"

#include <sys/mman.h>

#include "app/weir/hugepages.h"

static long pages_total(void) {
    long n = -1;
    FILE *f = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "r");
    if (f) {
        cr_assert_eq(fscanf(f, "%ld", &n), 1);
        fclose(f);
    }
    return n;
}

Test(hugepages, off_takes_none) {
    struct hugepages h;
    char why[256];
    cr_assert_eq(hugepages_take(&h, CONFIG_HUGEPAGES_OFF, 64, why, sizeof(why)), 0);
    cr_assert_str_eq(why, "switched off");
    cr_assert_eq(h.added, 0u);
}

Test(hugepages, more_than_there_is) {
    enum { EXABYTE_MB = 1u << 30 };
    struct hugepages h;
    char why[512];
    long before = pages_total();
    cr_assert_eq(hugepages_take(&h, CONFIG_HUGEPAGES_AUTO, EXABYTE_MB, why, sizeof(why)), 0);
    cr_assert_gt(strlen(why), 0u);
    cr_assert_eq(hugepages_take(&h, CONFIG_HUGEPAGES_REQUIRED, EXABYTE_MB, why, sizeof(why)), WEIR_ENOMEM);
    cr_assert(strstr(why, "memory.hugepages"), "%s", why);
    cr_assert_eq(h.added, 0u);
    cr_assert_eq(pages_total(), before);
}

/* Where this machine gives some: they are taken and given back. Where not, the reason is there. */
Test(hugepages, taken_and_given_back) {
    struct hugepages h;
    char why[256] = "";
    int taken = hugepages_take(&h, CONFIG_HUGEPAGES_AUTO, 8, why, sizeof(why));
    if (taken == 1) {
        void *p = mmap(NULL, 8u << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
        cr_assert_neq(p, MAP_FAILED);
        munmap(p, 8u << 20);
    } else {
        cr_assert_eq(taken, 0);
        cr_assert_gt(strlen(why), 0u);
    }
    hugepages_give_back(&h);
    cr_assert_eq(h.added, 0u);
}

Test(hugepages, eal_says_which) {
    fixture_init(1);
    fx.config.memory.hugepages = CONFIG_HUGEPAGES_AUTO;
    fixture_add("ring", "net_ring0");
    fixture_eal();
    cr_assert(strstr(fx.ports.memory_text, "160 MB "), "%s", fx.ports.memory_text);
    cr_assert(strstr(fx.ports.memory_text, fx.ports.hugepages ? "in 2 MB huge pages" : "without huge pages"));
    cr_assert_eq(fixture_open(), 0, "%s", fx.error);
    fixture_close();
}

Test(hugepages, device_that_needs_them) {
    fixture_init(1);
    fixture_add("back", "net_virtio_user0,path=/nowhere");
    int ret = eal_start(&fx.config, &fx.plan, "weir", NULL, 0, &fx.ports, fx.error, sizeof(fx.error));
    cr_assert_eq(ret, WEIR_ENOTSUP);
    cr_assert(strstr(fx.error, "port back"), "%s", fx.error);
    cr_assert(strstr(fx.error, "vm.nr_hugepages"), "%s", fx.error);
}
