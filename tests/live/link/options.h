/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef EMULINK_OPTIONS_H
#define EMULINK_OPTIONS_H

#include "line.h"

struct options {
    const char *interfaces[2];
    struct line_config lines[2]; /* from the first interface to the second, and back */
    unsigned seconds;            /* ends by itself after so long */
    bool realtime;
};

/* Fills `o` from the command line; ends the program on --help (0) and on mistakes (2). */
void options_read(struct options *o, int argc, char **argv);

#endif
