/* SPDX-License-Identifier: BSD-3-Clause */
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void usage(const char *program, void (*list)(void)) {
    fprintf(stderr, "%s [--only NAME,...] [--perf SECONDS] [--quick] [--csv] [--count] [--software-checksums]\nnames:",
            program);
    list();
    fprintf(stderr, "\n");
    exit(2);
}

void options_read(struct options *o, int argc, char **argv, void (*list)(void)) {
    static const struct option known[] = {{"only", required_argument, NULL, 'o'},
                                          {"perf", required_argument, NULL, 'p'},
                                          {"quick", no_argument, NULL, 'q'},
                                          {"csv", no_argument, NULL, 'c'},
                                          {"count", no_argument, NULL, 'n'},
                                          {"software-checksums", no_argument, NULL, 's'},
                                          {0}};
    *o = (struct options){0};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (c == 'o')
            o->only = optarg;
        else if (c == 'p')
            o->perf_s = (uint32_t)strtoul(optarg, NULL, 10);
        else if (c == 'q')
            o->quick = true;
        else if (c == 'c')
            o->csv = true;
        else if (c == 'n')
            o->count = true;
        else if (c == 's')
            o->software_checksums = true;
        else
            usage(argv[0], list);
    }
    if (optind != argc)
        usage(argv[0], list);
}

bool options_want(const struct options *o, const char *name) {
    size_t n = strlen(name);
    if (o->only == NULL)
        return true;
    for (const char *at = o->only; *at != '\0';) {
        size_t length = strcspn(at, ",");
        if (length == n && memcmp(at, name, n) == 0)
            return true;
        at += length + (at[length] == ',');
    }
    return false;
}
