/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of weir-load. */
#ifndef WEIR_LOAD_OPTIONS_H
#define WEIR_LOAD_OPTIONS_H

#include "load.h"

#include <stdio.h>

#define LOAD_MAX_SHARES 8 /* of --latency-at */

enum load_action { LOAD_ACTION_RUN, LOAD_ACTION_HELP, LOAD_ACTION_VERSION };

struct load_addresses { /* n consecutive ones */
    uint32_t first;     /* host order */
    uint8_t prefix_len;
    uint32_t n;
};

/* One side of the generator: a device and what it owns there. */
struct load_side {
    const char *device; /* NULL: the other side's */
    struct load_addresses addresses;
    uint32_t gateway_be; /* 0: none */
};

struct load_ndr_options {
    bool on;
    double min, max;  /* messages a second; max 0: unknown */
    double loss;      /* share of the messages */
    double precision; /* share of the result */
    double trial_s;
    uint32_t n_shares;
    double shares[LOAD_MAX_SHARES]; /* of the result, 0..1: where latency is measured afterwards */
};

struct load_options {
    enum load_action action;
    int argc; /* as given, for the report */
    char **argv;
    struct load_side client, broker;
    uint32_t target_addr_be;
    uint16_t target_port_be, broker_port_be;
    bool tls;
    uint16_t suite;
    bool resume;
    uint32_t connections, connect_rate, connect_window, storm, patience_s;
    enum load_traffic traffic;
    struct schedule_config schedule;
    uint32_t window;
    double warmup_s, duration_s, hold_s, storm_s;
    uint32_t keepalive_s, mqtt_level;
    struct load_ndr_options ndr;
    const char *json;        /* a path, "-" or NULL */
    uint32_t cpu, memory_mb; /* memory 0: as much as the rest needs */
    bool share_cpu, by_turns;
    uint64_t seed;
    char **eal_args; /* what follows `--`, into argv */
    int n_eal_args;
};

/* Everything given and by default, checked for what the command line alone can tell. Points into argv. 0, or
 * WEIR_EINVAL with one line about what is wrong and what to do in `error`. */
int load_options_parse(int argc, char **argv, struct load_options *o, char *error, size_t error_bytes);

void load_options_help(FILE *out);

const char *load_traffic_name(enum load_traffic t); /* "qos1" */
const char *load_suite_name(uint16_t suite);        /* "TLS_AES_128_GCM_SHA256" */

#endif
