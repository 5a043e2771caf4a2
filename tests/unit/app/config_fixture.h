/* SPDX-License-Identifier: BSD-3-Clause */
/* A folder with a certificate and a key that a configuration can name, and a machine of eight CPUs. */
#ifndef WEIR_TEST_CONFIG_FIXTURE_H
#define WEIR_TEST_CONFIG_FIXTURE_H

#include "weir/config_int.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint64_t eight_cpus[CONFIG_CPUS / 64] = {0xff};

static char folder[64]; /* of the configuration, with a certificate and a key */

static void touch(const char *name) {
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    cr_assert(f, "%s", path);
    fputs("not looked into here\n", f);
    fclose(f);
    chmod(path, 0600);
}

static void set_up(void) {
    strcpy(folder, "/tmp/weir-config-XXXXXX");
    cr_assert(mkdtemp(folder));
    touch("server.crt");
    touch("server.key");
}

static void tear_down(void) {
    static const char *const files[] = {"server.crt", "server.key", "other.crt", "weir.yaml"};
    char path[512];
    for (size_t i = 0; i < WEIR_ARRAY_LEN(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
        unlink(path);
    }
    rmdir(folder);
}

#endif
