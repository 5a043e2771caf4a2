/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of weir. */
#ifndef WEIR_OPTIONS_H
#define WEIR_OPTIONS_H

#include "base/base.h"
#include "base/log.h"

#include <stdio.h>

#define OPTIONS_DEFAULT_CONFIG "/etc/weir/weir.yaml"

enum options_action { OPTIONS_RUN, OPTIONS_CHECK, OPTIONS_HELP, OPTIONS_VERSION };

struct options {
    enum options_action action;
    const char *config_path; /* points into argv */
    int log_level;           /* enum log_level, or -1: as configured */
    char **eal_args;         /* what follows `--`, into argv */
    int n_eal_args;
};

/* Returns 0, or WEIR_EINVAL with one line about what is wrong and what to do in `error`. */
int options_parse(int argc, char **argv, struct options *o, char *error, size_t error_bytes);

void options_print_help(FILE *out);
void options_print_version(FILE *out);

#endif
