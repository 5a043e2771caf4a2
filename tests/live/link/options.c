/* SPDX-License-Identifier: BSD-3-Clause */
#include "options.h"

#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS_DEFAULT 600u
#define REORDER_DEFAULT 2e6 /* ns */

static const char usage[] =
    "usage: emulink [OPTIONS] FIRST SECOND\n"
    "Carries frames between two network interfaces like a link with delay, a bottleneck and faults. Needs root. "
    "Prints\n"
    "\"emulink: ready\", and counters of both directions as JSON when it ends (SIGTERM, SIGINT, or its time is over).\n"
    "\n"
    "VALUE is one number for both directions, or two with a comma: FIRST to SECOND, SECOND to FIRST.\n"
    "  --delay-ms VALUE      of the wire, one way (0)\n"
    "  --rate-mbit VALUE     of the bottleneck, Ethernet header included (0: none)\n"
    "  --queue-bytes VALUE   before the bottleneck, drop-tail (0: no limit)\n"
    "  --loss VALUE          percent of IPv4 frames; likewise:\n"
    "  --duplicate VALUE\n"
    "  --mark VALUE          of those that are ECN-capable: congestion experienced\n"
    "  --corrupt VALUE       one bit behind the Ethernet header is turned over\n"
    "  --reorder VALUE       comes later by\n"
    "  --reorder-ms VALUE    (2)\n"
    "  --seed N              what is lost, doubled and so on (1)\n"
    "  --seconds N           ends after so long (600)\n"
    "  --realtime            runs before ordinary programs, as a wire does\n";

enum { OPT_SEED = 256, OPT_SECONDS, OPT_REALTIME, OPT_HELP };

/* Options with a value a direction: where the value goes, and what one of the unit makes there. */
static const struct quantity {
    const char *name;
    double scale;
    size_t offset;
    bool probability;
} quantities[] = {
    {"delay-ms", 1e6, offsetof(struct line_config, delay_ns), false},
    {"rate-mbit", 1e6, offsetof(struct line_config, rate_bps), false},
    {"queue-bytes", 1, offsetof(struct line_config, queue_bytes), false},
    {"reorder-ms", 1e6, offsetof(struct line_config, reorder_ns), false},
    {"loss", 0.01, offsetof(struct line_config, loss), true},
    {"duplicate", 0.01, offsetof(struct line_config, duplicate), true},
    {"mark", 0.01, offsetof(struct line_config, mark), true},
    {"corrupt", 0.01, offsetof(struct line_config, corrupt), true},
    {"reorder", 0.01, offsetof(struct line_config, reorder), true},
};
#define QUANTITIES (sizeof(quantities) / sizeof(quantities[0]))

static void fail(const char *what, const char *text) {
    fprintf(stderr, "emulink: %s: %s (see --help)\n", what, text);
    exit(2);
}

static double number(const char *text, const char **rest, const char *option) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || !(value >= 0) || value > 1e12)
        fail(option, "takes a number that is not negative");
    *rest = end;
    return value;
}

static void set(struct line_config *line, const struct quantity *q, double value) {
    void *field = (char *)line + q->offset;
    if (!q->probability)
        *(uint64_t *)field = (uint64_t)(value * q->scale);
    else if (value <= 100)
        *(double *)field = value * q->scale;
    else
        fail(q->name, "is a percentage");
}

static void set_both(struct options *o, const struct quantity *q, const char *text) {
    const char *rest;
    double first = number(text, &rest, q->name);
    double second = *rest == ',' ? number(rest + 1, &rest, q->name) : first;
    if (*rest != '\0')
        fail(q->name, "takes one number, or two with a comma between");
    set(&o->lines[0], q, first);
    set(&o->lines[1], q, second);
}

static unsigned long integer(const char *text, const char *option) {
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (end == text || *end != '\0' || *text == '-')
        fail(option, "takes a whole number");
    return value;
}

void options_read(struct options *o, int argc, char **argv) {
    struct option known[QUANTITIES + 5] = {
        {"seed", required_argument, NULL, OPT_SEED},
        {"seconds", required_argument, NULL, OPT_SECONDS},
        {"realtime", no_argument, NULL, OPT_REALTIME},
        {"help", no_argument, NULL, OPT_HELP},
    };
    for (size_t i = 0; i < QUANTITIES; i++)
        known[4 + i] = (struct option){quantities[i].name, required_argument, NULL, (int)i};
    *o = (struct options){.seconds = SECONDS_DEFAULT};
    o->lines[0].reorder_ns = o->lines[1].reorder_ns = (uint64_t)REORDER_DEFAULT;
    unsigned long seed = 1;
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (c >= 0 && (size_t)c < QUANTITIES)
            set_both(o, &quantities[c], optarg);
        else if (c == OPT_SEED)
            seed = integer(optarg, "--seed");
        else if (c == OPT_SECONDS)
            o->seconds = (unsigned)integer(optarg, "--seconds");
        else if (c == OPT_REALTIME)
            o->realtime = true;
        else {
            fputs(usage, c == OPT_HELP ? stdout : stderr);
            exit(c == OPT_HELP ? 0 : 2);
        }
    }
    if (argc - optind != 2)
        fail("arguments", "two interfaces are needed");
    o->interfaces[0] = argv[optind];
    o->interfaces[1] = argv[optind + 1];
    o->lines[0].seed = seed * 2;
    o->lines[1].seed = seed * 2 + 1;
}
